//! From events to rollups in SQLite, whole programs, beside the least that anybody has to do with the same bytes.
//!
//! `cargo bench --bench e2e` takes the events of a seeded scenario, in turns, through: reading the lines of a file; reading and
//! parsing them with `serde_json` into a borrowed struct; `shewhart replay --db`, under the shipped rules; and, behind a broker,
//! through a bare consumer, one that parses, and the daemon. Every part is a process of its own, measured by the CPU time that
//! the system counts for it. Ratios are taken within a round.
//!
//! `-- --events 1000000 --streams 1000 --rounds 7 --feedback 0.05 --pause 10 --zipf --no-broker` says how many of what, `--pause`
//! how many seconds lie between two outputs of a stream: a row is written for each of its minutes;
//! `-- --peers` takes other tools through the topic too, where they are installed (`benches/peers`);
//! `-- --latency 10000` measures how long decisions take at so many events a second instead.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends where something fails"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod bare;
mod broker;
mod events;
mod latency;
mod measure;
mod parsed;
mod peers;
#[path = "../../tests/world/mod.rs"]
#[expect(dead_code, reason = "tests need more of it")]
mod world;

use std::path::Path;
use std::process::Command;

use broker::Broker;
use events::Load;
use measure::{Cost, measure, run, spread};

/// The parts of a round. The ratios of the first three are to the second, those of the others to the fourth.
const PARTS: [&str; 6] =
    ["read", "read and parse", "replay to SQLite", "consume", "consume and parse", "daemon to SQLite"];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [part, of] = &words[..]
        && bare::is_part(part)
    {
        println!("{}", bare::run(part, Path::new(of)));
        return;
    }
    if let [part, brokers] = &words[..]
        && broker::is_part(part)
    {
        println!("{}", broker::run(part, brokers));
        return;
    }
    let after = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let number = |name: &str, default: f64| after(name).map_or(default, |word| word.parse().unwrap());
    let says = |name: &str| words.iter().any(|word| word == name);
    if says("--latency") {
        latency::run(number("--latency", 10_000.0) as usize);
        return;
    }
    let load = Load {
        events: number("--events", 1_000_000.0) as usize,
        streams: number("--streams", 1_000.0) as usize,
        feedback: number("--feedback", 0.05),
        zipf: says("--zipf"),
        pause: number("--pause", 10.0),
    };
    let rounds = number("--rounds", 7.0) as usize;
    if says("--peers") {
        peers::compare(&load, rounds);
    } else {
        compare(&load, rounds, !says("--no-broker"));
    }
}

/// All parts, in turns.
fn compare(load: &Load, rounds: usize, with_broker: bool) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let bytes = load.write(&file);
    let broker = with_broker.then(Broker::start);
    if let Some(broker) = &broker {
        broker.fill(load);
    }
    println!(
        "{} events of {} streams ({}), {} s between outputs of a stream, feedback on {} %, {} bytes each; {}; {rounds} rounds\n",
        load.events,
        load.streams,
        if load.zipf { "Zipf" } else { "alike" },
        load.pause,
        load.feedback * 100.0,
        bytes / load.events as u64,
        broker.as_ref().map_or("no broker", Broker::name),
    );
    let db = folder.path().join("replay.db");
    let bench = std::env::current_exe().unwrap();
    let (mut grown, mut walls) = (0.0, Vec::new());
    let mut costs: [Vec<Cost>; 6] = Default::default();
    for _ in 0..rounds {
        for (part, costs) in PARTS.into_iter().zip(&mut costs) {
            let brokers = broker.as_ref().map(Broker::bootstrap);
            costs.push(match (part, brokers) {
                ("replay to SQLite", _) => measure(|| run(&mut replay(&file, &db))),
                (part, _) if bare::is_part(part) => measure(|| run(Command::new(&bench).arg(part).arg(&file))),
                (part, Some(brokers)) if broker::is_part(part) => {
                    measure(|| run(Command::new(&bench).args([part, brokers])))
                }
                (_, Some(brokers)) => measure(|| walls.push(broker::daemon(brokers, load.events as u64))),
                (_, None) => continue,
            });
        }
        grown = std::fs::metadata(&db).unwrap().len() as f64 / 1e6;
        broker::forget(&db);
    }
    for (nth, (part, of)) in PARTS.into_iter().zip(&costs).enumerate().filter(|(_, (_, of))| !of.is_empty()) {
        let per = |cost: fn(&Cost) -> f64| spread(of.iter().map(|of| cost(of) * 1e9 / load.events as f64));
        let (yardstick, to) = if nth < 3 { (1, PARTS[1]) } else { (3, PARTS[3]) };
        let ratio = spread(of.iter().zip(&costs[yardstick]).map(|(of, to)| of.cpu / to.cpu));
        println!("{part:<18} CPU {} ns an event, wall {} ns; {ratio} x {to}", per(|c| c.cpu), per(|c| c.wall));
    }
    let replayed = &costs[2];
    println!(
        "\nreplay wrote {} MB, of which stay {grown} MB",
        spread(replayed.iter().map(|cost| cost.written as f64 / 1e6))
    );
    if !walls.is_empty() {
        let rate = spread(walls.iter().map(|seconds| load.events as f64 / seconds));
        let bare = spread(costs[3].iter().map(|cost| load.events as f64 / cost.wall));
        println!("events a second while it catches up: daemon {rate}, bare consumer {bare}");
    }
}

/// The product over a file.
fn replay(file: &Path, db: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shewhart"));
    command
        .arg("replay")
        .arg(file)
        .args(["--group-by", "agent", "--baseline-first", "500", "-o", "json", "--db"])
        .arg(db);
    command
}

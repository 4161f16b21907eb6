//! From events to rollups in SQLite, whole programs, beside the least that anybody has to do with the same bytes.
//!
//! `cargo bench --bench e2e` writes the events of a seeded scenario into a file and takes them, in turns, through: reading the
//! lines; reading and parsing them with `serde_json` into a borrowed struct; and `shewhart replay --db`, under the shipped rules.
//! Every part is a process of its own, measured by the CPU time that the system counts for it. Ratios are taken within a round.
//!
//! `-- --events 500000 --streams 1000 --rounds 7 --feedback 0.05 --zipf` says how many of what.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and ends where something fails")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod bare;
mod events;
mod measure;
mod parsed;

use std::path::Path;
use std::process::Command;

use events::Load;
use measure::{Cost, measure, spread};

const PARTS: [&str; 3] = ["read", "read and parse", "replay to SQLite"];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [part, file] = &words[..]
        && bare::is_part(part)
    {
        println!("{}", bare::run(part, Path::new(file)));
        return;
    }
    let after = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let number = |name: &str, default: f64| after(name).map_or(default, |word| word.parse().unwrap());
    let load = Load {
        events: number("--events", 500_000.0) as usize,
        streams: number("--streams", 1_000.0) as usize,
        feedback: number("--feedback", 0.05),
        zipf: words.iter().any(|word| word == "--zipf"),
    };
    from_file(&load, number("--rounds", 7.0) as usize);
}

/// The parts that read a file, in turns.
fn from_file(load: &Load, rounds: usize) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let bytes = load.write(&file);
    println!(
        "{} events of {} streams ({}), feedback on {} %, {} bytes each; {rounds} rounds\n",
        load.events,
        load.streams,
        if load.zipf { "Zipf" } else { "alike" },
        load.feedback * 100.0,
        bytes / load.events as u64,
    );
    let db = folder.path().join("replay.db");
    let bench = std::env::current_exe().unwrap();
    let mut grown = 0.0;
    let mut costs: [Vec<Cost>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (part, costs) in PARTS.into_iter().zip(&mut costs) {
            let mut command = replay(&file, &db);
            if bare::is_part(part) {
                command = Command::new(&bench);
                command.arg(part).arg(&file);
            }
            costs.push(measure(&mut command));
        }
        grown = std::fs::metadata(&db).unwrap().len() as f64 / 1e6;
        for suffix in ["", "-wal", "-shm", ".lock"] {
            drop(std::fs::remove_file(folder.path().join(format!("replay.db{suffix}"))));
        }
    }
    let [_, parsed, _] = &costs;
    for (part, costs) in PARTS.into_iter().zip(&costs) {
        let per = |of: fn(&Cost) -> f64| spread(costs.iter().map(|cost| of(cost) * 1e9 / load.events as f64));
        let ratio = spread(costs.iter().zip(parsed).map(|(cost, parsed)| cost.cpu / parsed.cpu));
        println!(
            "{part:<18} CPU {} ns an event, wall {} ns; {} x read and parse",
            per(|c| c.cpu),
            per(|c| c.wall),
            ratio
        );
    }
    let [.., replayed] = &costs;
    println!(
        "\nwritten to SQLite: {} MB, of which stay {grown} MB",
        spread(replayed.iter().map(|cost| cost.written as f64 / 1e6))
    );
}

/// The product over a file.
fn replay(file: &Path, db: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shewhart"));
    command
        .arg("replay")
        .arg(file)
        .args(["--group-by", "agent", "--baseline-first", "200", "-o", "json", "--db"])
        .arg(db);
    command
}

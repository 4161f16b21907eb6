//! How costs grow with the work: events, streams, rules, windows, partitions.
//!
//! `cargo bench --bench growth` steps events of a seeded scenario through engines and writes what they ask for into a database, as
//! a replay does, for several sizes of one thing while all others stand still. All sizes are taken in turns, five rounds. Printed
//! are the medians with the least and the most, and the exponent b of `cost = a * size^b` by least squares through the medians of the
//! logarithms: 1 where twice the size costs twice as much, 0 where it makes no difference. `-- streams windows` measures these only.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and ends where something fails")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod rules;

use std::sync::Arc;
use std::time::Instant;

use shewhart::edge::ledger::{Commit, Filling, Identity};
use shewhart::engine::rule::RuleSet;
use shewhart::engine::units::{Offset, Partition, Timestamp};
use shewhart::engine::{Effect, Engine, Engines, Group, Input, Settings};
use shewhart::simulate::{Generator, Scenario, SimulatedEvent};

const ROUNDS: usize = 5;
/// Commits of a run, whatever its size.
const COMMITS: usize = 4;
/// Outputs of a stream before its charts begin.
const LEARNT: u64 = 500;

/// One size of one thing.
struct Load {
    size: f64,
    events: usize,
    streams: usize,
    partitions: i32,
    rules: Arc<RuleSet>,
}

/// A thing that grows, and what its cost is given per.
struct Growth {
    name: &'static str,
    of: &'static str,
    per: fn(&Load) -> f64,
    unit: &'static str,
    loads: Vec<Load>,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    for growth in
        growths().into_iter().filter(|growth| words.is_empty() || words.iter().any(|word| word == growth.name))
    {
        measure(&growth);
    }
}

fn growths() -> Vec<Growth> {
    let shipped = rules::shipped();
    let load = |size: usize, events, streams, partitions, rules: &Arc<RuleSet>| Load {
        size: size as f64,
        events,
        streams,
        partitions,
        rules: Arc::clone(rules),
    };
    let seconds = |_: &Load| 1.0;
    let events = |load: &Load| load.events as f64 / 1e9;
    vec![
        Growth {
            name: "events",
            of: "events of 100 streams",
            per: seconds,
            unit: "s",
            loads: [100_000, 200_000, 400_000, 800_000].map(|n| load(n, n, 100, 1, &shipped)).into(),
        },
        Growth {
            name: "streams",
            of: "streams of 1,000 events each",
            per: seconds,
            unit: "s",
            loads: [25, 100, 400, 1_600].map(|n| load(n, 1_000 * n, n, 1, &shipped)).into(),
        },
        Growth {
            name: "rules",
            of: "rules that watch each of 20 streams",
            per: events,
            unit: "ns an event",
            loads: [5, 10, 20, 40, 80].map(|n| load(n, 100_000, 20, 1, &rules::alike(n))).into(),
        },
        Growth {
            name: "others",
            of: "rules that watch other streams",
            per: events,
            unit: "ns an event",
            loads: [240, 480, 960, 1_920].map(|n| load(n, 100_000, 20, 1, &rules::of_others(n))).into(),
        },
        Growth {
            name: "windows",
            of: "minutes in the short window of a burn rate",
            per: events,
            unit: "ns an event",
            loads: [5, 15, 60, 180, 720].map(|n| load(n, 200_000, 20, 1, &rules::burn(n))).into(),
        },
        Growth {
            name: "partitions",
            of: "partitions that 400 streams are spread over",
            per: events,
            unit: "ns an event",
            loads: [1, 4, 16, 64, 256].map(|n| load(n, 400_000, 400, n as i32, &shipped)).into(),
        },
    ]
}

fn measure(growth: &Growth) {
    let inputs: Vec<Vec<SimulatedEvent>> = growth.loads.iter().map(generate).collect();
    let mut costs: Vec<Vec<f64>> = growth.loads.iter().map(|_| Vec::new()).collect();
    let mut live = vec![0.0; growth.loads.len()];
    for _ in 0..ROUNDS {
        for (((load, events), costs), live) in growth.loads.iter().zip(&inputs).zip(&mut costs).zip(&mut live) {
            let (seconds, limits) = run(load, events);
            costs.push(seconds / (growth.per)(load));
            *live = limits;
        }
    }
    println!("\n{}", growth.of);
    let mut points = Vec::new();
    for ((load, mut costs), live) in growth.loads.iter().zip(costs).zip(live) {
        costs.sort_by(f64::total_cmp);
        let median = costs.iter().copied().nth(ROUNDS / 2).unwrap();
        let (least, most) = (costs.first().unwrap(), costs.last().unwrap());
        let unit = growth.unit;
        println!(
            "  {:>9}  {median:>9.3} {unit} ({least:.3} to {most:.3}), {live:.1} rules with a limit a stream",
            load.size
        );
        points.push((load.size.ln(), median.ln()));
    }
    println!("  exponent {:.2}", slope(&points));
}

/// The slope of the line of least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let (xy, xx) = points.iter().fold((0.0, 0.0), |(xy, xx), (x, y)| (xy + (x - mx) * (y - my), xx + (x - mx).powi(2)));
    xy / xx
}

/// An output of each stream every ten seconds.
fn generate(load: &Load) -> Vec<SimulatedEvent> {
    let scenario = format!(
        "start: 2026-01-05T00:00:00Z\nagents:\n  - name: agent\n    copies: {}\n    per_day: 8640\n    accuracy: 0.92\n    \
         confidence: {{ r2: 0.2 }}\n    escalation: 0.15\n    errors: 0.1\n    latency_ms: {{ median: 850, sigma: 0.45 }}\n    \
         cost_usd: {{ median: 0.012, sigma: 0.3 }}\n    labels: {{ fraction: 0.05, delay: 2m, delay_sigma: 0.5 }}\n",
        load.streams
    );
    Generator::new(&Scenario::parse(&scenario).unwrap(), 1).take(load.events).collect()
}

/// Seconds that it takes until all is written down, and rules of a stream whose charts have a limit by then.
fn run(load: &Load, events: &[SimulatedEvent]) -> (f64, f64) {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity { topic: "growth".to_owned(), group_by: "agent".to_owned() };
    let mut filling = Filling::begin(&folder.path().join("growth.db"), &identity).unwrap();
    let settings = Settings { group_by: vec![Group::Agent], provisional_outputs: LEARNT, ..Settings::default() };
    let settings = Arc::new(settings);
    let engine =
        |partition| Engine::new(Partition(partition), Arc::clone(&settings), Arc::clone(&load.rules), Arc::default());
    let mut engines = Engines::default();
    (0..load.partitions).map(engine).for_each(|engine| engines.insert(engine));
    let mut offsets = vec![0; load.partitions as usize];
    let mut effects: Vec<(Partition, Effect)> = Vec::new();
    let mut scratch = Vec::new();
    let begun = Instant::now();
    for batch in events.chunks(events.len().div_ceil(COMMITS)) {
        for event in batch {
            let partition = place(&event.agent, load.partitions);
            let (at, engine) = (offsets.get_mut(partition.0 as usize), engines.get_mut(partition));
            let (Some(next), Some(engine)) = (at, engine) else { continue };
            let (offset, payload) = (Offset(*next), event.json.as_bytes());
            *next += 1;
            engine.step(Input::Record { offset, appended: None, payload }, &mut scratch);
            effects.extend(scratch.drain(..).map(|effect| (partition, effect)));
        }
        let engines = engines.iter_mut().map(|engine| (engine, None)).collect();
        let commit = Commit { engines, effects: &effects, ..Commit::at(Timestamp::MIN) };
        filling.ledger().unwrap().commit(commit).unwrap();
        effects.clear();
    }
    filling.end().unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    let streams = engines.iter().flat_map(Engine::streams);
    let limits = streams.flat_map(|stream| stream.charts(&load.rules)).filter(|(_, chart)| chart.arl0().is_some());
    (seconds, limits.count() as f64 / load.streams as f64)
}

/// The partition of an agent: its number, which is at the end of its name.
fn place(agent: &str, partitions: i32) -> Partition {
    let digits = agent.rsplit('-').next().unwrap_or_default();
    Partition(digits.parse::<i32>().unwrap_or_default() % partitions)
}

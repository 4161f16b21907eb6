//! What endless names cost: ten million agents that nobody knows, each with one output, within ten minutes of event time, beside
//! twenty agents that are known, under the caps and rules as shipped.
//!
//! Run with `cargo bench --bench memory --no-default-features`. It fails where the known streams end otherwise than in a run
//! without the others, and prints what the process holds.

#[path = "../tests/world/shipped.rs"]
mod shipped;

use std::fs;
use std::sync::Arc;

use shewhart::engine::memory::Memory;
use shewhart::engine::rule::RuleSet;
use shewhart::engine::units::{Offset, Partition};
use shewhart::engine::{Engine, Group, Input, Settings};

const HOSTILE: u64 = 10_000_000;
/// One in so many records is of a known agent.
const KNOWN_EVERY: u64 = 100;
const AGENTS: u64 = 20;
const START: i64 = 1_790_863_200_000;
const MINUTES: u64 = 10;
/// Megabytes that the whole process may hold.
const BUDGET_MB: f64 = 512.0;

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn say(line: &str) {
    println!("{line}");
}

/// What the system says that the process holds, in MiB: now, or at most so far.
fn held(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0");
    let kilobytes: f64 = line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().unwrap_or(0.0);
    kilobytes / 1_024.0
}

/// Steps all records, with or without the hostile ones, and forgets what the daemon would have written down.
fn run(rules: &Arc<RuleSet>, attacked: bool) -> Engine {
    let settings = Settings { group_by: vec![Group::Agent], provisional_outputs: 1_000, ..Settings::default() };
    let mut engine = Engine::new(Partition(0), Arc::new(settings), Arc::clone(rules), Arc::default());
    let mut effects = Vec::new();
    let mut step = |engine: &mut Engine, offset: u64, payload: String| {
        let payload = payload.as_bytes();
        engine.step(Input::Record { offset: Offset(offset as i64), appended: None, payload }, &mut effects);
        effects.clear();
        if offset.is_multiple_of(5_000) {
            engine.forget_unwritten();
        }
    };
    let between = MINUTES * 60_000 * 1_000 / HOSTILE;
    for at in 0..HOSTILE {
        let ts = START + (at * between / 1_000) as i64;
        // The same offsets with and without the others.
        let offset = at + at / KNOWN_EVERY;
        if at.is_multiple_of(KNOWN_EVERY) {
            let number = at / KNOWN_EVERY;
            let (agent, correct) = (number % AGENTS, !number.is_multiple_of(9));
            let json = format!(
                "{{\"event_id\":\"k{number}\",\"agent\":\"known-{agent}\",\"ts\":{ts},\"correct\":{correct},\"latency_ms\":{}}}",
                100 + number % 37
            );
            step(&mut engine, offset, json);
        }
        if attacked {
            let json = format!("{{\"event_id\":\"h{at}\",\"agent\":\"hostile-{at}\",\"ts\":{ts},\"confidence\":0.5}}");
            step(&mut engine, offset + 1, json);
        }
    }
    engine
}

fn known(engine: &Engine) -> Vec<(String, Memory)> {
    let known = engine.streams().filter(|stream| stream.key.contains("known-"));
    known.map(|stream| (stream.key.to_string(), stream.memory.clone())).collect()
}

fn main() {
    let rules = shipped::shipped();
    let calm = run(&rules, false);
    let before = held("VmRSS");
    say(&format!("{} known streams: {before:.0} MiB", calm.streams().len()));
    let attacked = run(&rules, true);
    let (now, most) = (held("VmRSS"), held("VmHWM"));
    let streams = attacked.streams().len();
    let each = (now - before) * 1_024.0 / streams as f64;
    say(&format!(
        "{HOSTILE} names: {streams} streams, {} outputs in the overflow; {now:.0} MiB, at most {most:.0} MiB, {each:.1} KiB a stream",
        attacked.position().counters.overflow
    ));
    assert_eq!(known(&calm), known(&attacked), "the known streams are the same to the bit");
    assert!(most <= BUDGET_MB, "{most:.0} MiB, and {BUDGET_MB} were allowed");
    say(&format!("the known streams are the same to the bit, within {BUDGET_MB} MiB"));
}

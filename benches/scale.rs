//! A hundred thousand streams in one partition: what they hold in memory and in the file, how long a start takes, and how long
//! two thousand other rules take to be in force.
//!
//! Run with `cargo bench --bench scale`; `-- 10000 200` asks for so many streams and rules. Every stream had three outputs
//! within half an hour. `-- busy 10` says instead what a busy stream holds in memory: of a thousand outputs ten seconds apart, half of
//! them learnt.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and ends where something fails")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "../tests/world/shipped.rs"]
mod shipped;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shewhart::edge::ledger::{Commit, Identity, Ledger, open_read_only};
use shewhart::engine::rule::{RuleSet, Source, compile};
use shewhart::engine::units::{Offset, Partition, Timestamp};
use shewhart::engine::{Effect, Engine, Group, Input, News, Settings};
use shewhart::simulate::{Generator, Scenario};

const START: i64 = 1_790_863_200_000;
const ROUNDS: usize = 3;
const MINUTES: usize = 30;
const BATCH: usize = 20_000;
const PARTITION: Partition = Partition(0);

fn main() {
    let shipped = shipped::shipped();
    let mut after_busy = std::env::args().skip_while(|word| word != "busy").skip(1);
    if let Some(pause) = after_busy.next() {
        // In a process of its own: memory that was given back once is taken again before more is asked for.
        busy(pause.parse().unwrap(), &shipped);
        return;
    }
    let words: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let (streams, rules) = (words.first().copied().unwrap_or(100_000), words.get(1).copied().unwrap_or(2_000));
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), streams, &shipped);
    weigh(folder.path(), streams);
    // The memory that the writing engine took is given back, and asked for again.
    for _ in 0..3 {
        let (ledger, engine) = start(folder.path(), &shipped);
        drop((ledger, engine));
    }
    let (mut ledger, mut engine) = start(folder.path(), &shipped);
    reload(&mut ledger, &mut engine, &many(rules));
    reload(&mut ledger, &mut engine, &shipped);
}

/// Says what 500 streams hold that had a thousand outputs each, so many seconds apart.
fn busy(pause: f64, rules: &Arc<RuleSet>) {
    const STREAMS: usize = 500;
    let scenario = format!(
        "start: 2026-01-05T00:00:00Z\nagents:\n  - name: agent\n    copies: {STREAMS}\n    per_day: {:.0}\n    accuracy: 0.92\n    \
         confidence: {{ r2: 0.2 }}\n    escalation: 0.06\n    errors: 0.004\n    latency_ms: {{ median: 850, sigma: 0.45 }}\n    \
         latency: {{ llm: 0.7, retrieval: 0.15, tool: 0.1, orchestration: 0.05 }}\n    cost_usd: {{ median: 0.012, sigma: 0.3 }}\n    \
         tokens: {{ in: {{ median: 1800, sigma: 0.4 }}, out: {{ median: 220, sigma: 0.5 }} }}\n",
        86_400.0 / pause
    );
    let settings = Settings { group_by: vec![Group::Agent], provisional_outputs: 500, ..Settings::default() };
    let before = held();
    let mut engine = Engine::new(PARTITION, Arc::new(settings), Arc::clone(rules), Arc::default());
    let mut effects = Vec::new();
    let events = Generator::new(&Scenario::parse(&scenario).unwrap(), 1).take(1_000 * STREAMS);
    for (offset, event) in (0..).zip(events) {
        let payload = event.json.as_bytes();
        engine.step(Input::Record { offset: Offset(offset), appended: None, payload }, &mut effects);
        effects.clear();
        if offset % BATCH as i64 == 0 {
            engine.forget_unwritten();
        }
    }
    engine.forget_unwritten();
    let each = (held() - before) * 1_024.0 / STREAMS as f64;
    println!("a busy stream, outputs {pause} s apart: {each:.0} KiB, with its share of the recent outputs");
}

/// Says how long something took.
fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = run();
    println!("  {what}: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
    done
}

fn held() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1_024.0
}

fn engine(rules: &Arc<RuleSet>) -> Engine {
    let settings = Settings {
        streams_max: usize::MAX,
        streams_per_minute_max: u32::MAX,
        provisional_outputs: 1_000,
        ..Settings::default()
    };
    Engine::new(PARTITION, Arc::new(settings), Arc::clone(rules), Arc::default())
}

fn open(folder: &Path) -> Ledger {
    Ledger::open(folder, &Identity { topic: "t".to_owned(), group_by: "agent,task".to_owned() }).unwrap()
}

fn commit(ledger: &mut Ledger, engine: &mut Engine, effects: &mut Vec<Effect>) {
    let now = engine.position().time.unwrap_or(Timestamp::from_millis(START));
    let effects: Vec<(Partition, Effect)> = effects.drain(..).map(|effect| (PARTITION, effect)).collect();
    ledger.commit(Commit { engines: vec![(engine, None)], effects: &effects, ..Commit::at(now) }).unwrap();
}

fn write(folder: &Path, streams: usize, rules: &Arc<RuleSet>) {
    let before = held();
    let (mut ledger, mut engine, mut effects) = (open(folder), engine(rules), Vec::new());
    let events = streams * ROUNDS;
    println!("{streams} streams, {events} outputs");
    let begun = Instant::now();
    for nth in 0..events {
        let ts = START + (nth * MINUTES * 60_000 / events) as i64;
        let json = format!(
            r#"{{"type":"output","event_id":"e{nth}","agent":"agent-{}","ts":{ts},"version":"p118","task":"invoices","status":"ok","confidence":0.{},"escalated":false,"latency_ms":{},"tokens_in":1800,"cost_usd":0.0123}}"#,
            nth % streams,
            9_000 + nth * 7_919 % 1_000,
            800 + nth * 104_729 % 400,
        );
        let payload = json.as_bytes();
        engine.step(Input::Record { offset: Offset(nth as i64), appended: None, payload }, &mut effects);
        if nth % BATCH == BATCH - 1 {
            commit(&mut ledger, &mut engine, &mut effects);
        }
    }
    commit(&mut ledger, &mut engine, &mut effects);
    println!("  written in {:.1} s", begun.elapsed().as_secs_f64());
    println!(
        "  in memory: {:.0} MiB, {:.1} KiB a stream",
        held() - before,
        (held() - before) * 1_024.0 / streams as f64
    );
}

fn weigh(folder: &Path, streams: usize) {
    let db = open_read_only(&folder.join("shewhart.db")).unwrap();
    let bytes = |of: &str| -> f64 { db.query_row(&format!("SELECT {of}"), [], |row| row.get(0)).unwrap() };
    println!(
        "  in the file: {:.0} bytes of state a stream, {:.0} with its row; {:.0} MB in all",
        bytes("avg(length(memory)) FROM streams"),
        bytes("CAST(sum(pgsize) AS REAL) FROM dbstat WHERE name LIKE 'streams%'") / streams as f64,
        bytes("page_count * 4096.0 / 1e6 FROM pragma_page_count"),
    );
}

/// What the daemon does before it can say where it goes on.
fn start(folder: &Path, rules: &Arc<RuleSet>) -> (Ledger, Engine) {
    println!("start");
    let begun = Instant::now();
    let mut ledger = timed("opening the file", || open(folder));
    timed("finding where it goes on", || ledger.reached(PARTITION).unwrap().unwrap());
    println!("  until it can say where it goes on: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
    let state = timed("reading the partition", || ledger.restore_partition(PARTITION).unwrap().unwrap());
    let mut engine = engine(rules);
    let mut effects = Vec::new();
    timed("taking it up", || engine.restore(state.position, state.streams, state.recent.into_iter()));
    println!("  until records can be stepped: {:.0} ms; {:.0} MiB", begun.elapsed().as_secs_f64() * 1e3, held());
    engine.announce(News::Restored(None), &mut effects);
    meet(&mut ledger, &mut engine, effects);
    (ledger, engine)
}

/// Rules for some agents each.
fn many(rules: usize) -> Arc<RuleSet> {
    let mut text = "groups:\n  - name: many\n    rules:\n".to_owned();
    for nth in 0..rules {
        writeln!(
            text,
            "      - alert: Confidence{nth}\n        where: {{ agent: agent-{nth} }}\n        detect: {{ measure: confidence, drop: 2pp }}"
        )
        .unwrap();
    }
    let source = Source { name: "many.yaml".to_owned(), text };
    let compiled = compile(&[source]);
    Arc::new(compiled.rules.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics.first())))
}

fn reload(ledger: &mut Ledger, engine: &mut Engine, rules: &Arc<RuleSet>) {
    println!("{} other rules", rules.rules.len());
    let mut effects = Vec::new();
    engine.announce(News::Rules(Arc::clone(rules)), &mut effects);
    meet(ledger, engine, effects);
}

/// Lets all streams meet what is in force, for as long at a time as the daemon does, between batches.
fn meet(ledger: &mut Ledger, engine: &mut Engine, mut effects: Vec<Effect>) {
    let mut pauses = Vec::new();
    while !engine.have_all_met() {
        let begun = Instant::now();
        for _ in 0..100 {
            if engine.meet_some(10, &mut effects) || begun.elapsed() >= Duration::from_millis(15) {
                break;
            }
        }
        if engine.unwritten() > 0 {
            commit(ledger, engine, &mut effects);
        }
        pauses.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let (all, longest) = (pauses.iter().sum::<f64>(), pauses.iter().copied().fold(0.0, f64::max));
    println!("  all streams have met it after {all:.0} ms, in {} turns of at most {longest:.0} ms", pauses.len());
}

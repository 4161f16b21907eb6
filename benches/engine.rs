//! What an event costs: decoding it, and taking it through the whole engine under the shipped rules.
//!
//! Run with `cargo bench --bench engine`. Divide a time by 50,000 for the cost of one event.

use std::path::Path;
use std::sync::Arc;

use divan::Bencher;
use shewhart::engine::event::decode;
use shewhart::engine::rule::compile;
use shewhart::engine::{Engine, Group, Input, Settings, units};
use shewhart::simulate::{Generator, Scenario};

const EVENTS: usize = 50_000;

fn main() {
    divan::main();
}

fn events() -> Vec<String> {
    Generator::new(&Scenario::bench(), 1).take(EVENTS).map(|event| event.json).collect()
}

#[divan::bench(sample_count = 20)]
fn decode_events(bencher: Bencher<'_, '_>) {
    let events = events();
    bencher.bench_local(|| events.iter().filter(|json| decode(json.as_bytes()).is_ok()).count());
}

/// Streams learn from their first 100 outputs, so that most events meet live charts.
#[divan::bench(sample_count = 20)]
fn step_events(bencher: Bencher<'_, '_>) {
    let events = events();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let sources = shewhart::edge::reload::read(&[folder]).expect("the shipped rules can be read");
    let rules = Arc::new(compile(&sources).rules.expect("the shipped rules compile"));
    let settings = Settings { group_by: vec![Group::Agent], provisional_outputs: 100, ..Settings::default() };
    let settings = Arc::new(settings);
    bencher
        .with_inputs(|| Engine::new(units::Partition(0), Arc::clone(&settings), Arc::clone(&rules), Arc::default()))
        .bench_local_values(|mut engine| {
            let mut effects = Vec::new();
            for (offset, json) in (0_i64..).zip(&events) {
                let payload = json.as_bytes();
                engine.step(Input::Record { offset: units::Offset(offset), appended: None, payload }, &mut effects);
                effects.clear();
            }
            engine
        });
}

//! What an event costs on its way through the whole engine, under the shipped rules.
//!
//! Run with `cargo bench --bench engine`. divan's throughput column says how many events a second.

#[path = "../tests/world/shipped.rs"]
mod shipped;

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use shewhart::engine::{Engine, Group, Input, Settings, units};
use shewhart::simulate::{Generator, Scenario};

const EVENTS: usize = 50_000;

fn main() {
    divan::main();
}

fn events() -> Vec<String> {
    Generator::new(&Scenario::bench(), 1).take(EVENTS).map(|event| event.json).collect()
}

/// Streams learn from their first 100 outputs, so that most events meet live charts.
#[divan::bench(sample_count = 20)]
fn step_events(bencher: Bencher<'_, '_>) {
    let events = events();
    let rules = shipped::shipped();
    let settings = Settings { group_by: vec![Group::Agent], provisional_outputs: 100, ..Settings::default() };
    let settings = Arc::new(settings);
    bencher
        .counter(ItemsCount::new(EVENTS))
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

//! What reading a record costs: as the engine reads it, by `serde_json` alone into the same event, and by `serde_json` into the
//! barest borrowed struct.
//!
//! Run with `cargo bench --bench decode`. divan's throughput column says how many events a second.
#![expect(clippy::unwrap_used, reason = "a benchmark ends where something fails")]

#[path = "e2e/parsed.rs"]
mod parsed;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use parsed::Parsed;
use shewhart::engine::event::{Decoder, decode_by_serde};
use shewhart::simulate::{Generator, Scenario};

const EVENTS: usize = 50_000;

fn main() {
    divan::main();
}

fn each(bencher: Bencher<'_, '_>, mut read: impl FnMut(&str)) {
    let events: Vec<String> = Generator::new(&Scenario::bench(), 1).take(EVENTS).map(|event| event.json).collect();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| events.iter().for_each(|json| read(json)));
}

#[divan::bench(sample_count = 50)]
fn as_the_engine_reads_it(bencher: Bencher<'_, '_>) {
    let mut decoder = Decoder::default();
    each(bencher, |json| drop(black_box(decoder.decode(json.as_bytes()))));
}

#[divan::bench(sample_count = 50)]
fn by_serde_alone(bencher: Bencher<'_, '_>) {
    each(bencher, |json| drop(black_box(decode_by_serde(json.as_bytes()))));
}

#[divan::bench(sample_count = 50)]
fn into_the_barest_struct(bencher: Bencher<'_, '_>) {
    each(bencher, |json| _ = black_box(serde_json::from_str::<Parsed<'_>>(json).unwrap().weight()));
}

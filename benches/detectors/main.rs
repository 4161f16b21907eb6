//! What a chart costs: nanoseconds per sample of every detector and of its parts, the design of every limit, and the
//! bytes of state.
//!
//! Run with `cargo bench --bench detectors --no-default-features`. The bytes of the serialised state are printed first.
//! Samples are taken 10,000 at a time from a fixed sequence; divan's throughput column says how many a second.
mod answer;
mod charts;
mod design;
mod state;
mod stream;
mod update;

fn main() {
    state::print();
    divan::main();
}

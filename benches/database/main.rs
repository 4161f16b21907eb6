//! The database: how large it gets, and what a heavy reader costs the writer.
//!
//! `cargo bench --bench database -- size` writes a day of streams and prints bytes by table, by stream-day and by million events;
//! `-- size 10000 144` says for how many streams with how many outputs a day. `cargo bench --bench database -- readers` writes
//! the same events with and without a reader that looks through everything without a pause, in turns, and prints the ratio of
//! the rates. Without a word both run, small.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and ends where something fails")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod events;
mod readers;
#[path = "../../tests/world/shipped.rs"]
mod shipped;
mod size;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |at: usize, default: u64| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(default);
    match words.first().map(String::as_str) {
        Some("size") => size::run(number(1, 1_000), number(2, 1_440)),
        Some("readers") => readers::run(number(1, 7)),
        _ => {
            size::run(100, 1_440);
            readers::run(3);
        }
    }
}

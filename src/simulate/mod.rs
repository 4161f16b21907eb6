//! Seeded synthetic agents with planted changes.
//!
//! A [`Scenario`] says what the agents are like and what goes wrong with them, a [`Generator`] turns it and a seed into
//! records in event-time order. Same scenario and seed: same bytes. The demo, the benchmarks, the robustness tests and
//! `shewhart simulate` all draw from here, so that what they show is measured against a truth that is known.

mod generator;
mod hostile;
mod parse;
mod record;
mod regime;
mod scenario;
mod source;
mod write;

pub use generator::{Generator, Kind, SimulatedEvent};
pub use hostile::{ATTACKS, malformed};
pub use parse::ScenarioError;
pub use regime::Regime;
pub use scenario::{Agent, Change, Confidence, Labels, Mechanism, Planted, Scenario, Shift, Spread, Tokens};
pub use write::{Summary, write_file, write_jsonl};

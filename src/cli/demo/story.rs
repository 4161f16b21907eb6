//! What happens in the demo: validation first, then production with a planted change.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use crate::engine::event::{Event, decode};
use crate::engine::units::{Span, Timestamp};
use crate::simulate::{Generator, Planted, Scenario, SimulatedEvent};

/// How much of the scenario is validation.
const VALIDATION: Span = Span::DAY.times(10);

/// A verdict that was sent: whose, when its output happened, when it came.
struct Verdict {
    agent: String,
    output: Timestamp,
    sent: Timestamp,
}

/// The events of the demo, and what is true about them.
pub(super) struct Story {
    start: Timestamp,
    validation: Vec<SimulatedEvent>,
    production: Vec<SimulatedEvent>,
    verdicts: Vec<Verdict>,
    outputs: Vec<(String, Timestamp)>,
    truth: Vec<Planted>,
}

impl Story {
    /// The demo's scenario, ending now: event time is compressed, but never ahead of the broker's clock.
    pub(super) fn tell(seed: u64, now: Timestamp) -> Self {
        let scenario = Scenario::demo();
        let length = scenario.end().map_or(Span::ZERO, |end| end.since(scenario.start));
        // Whole days, so that a seed tells the same story whatever the hour.
        let start = now.minus(length).floor(Span::DAY);
        let scenario = scenario.starting(start);
        let mut story = Self {
            start,
            validation: Vec::new(),
            production: Vec::new(),
            verdicts: Vec::new(),
            outputs: Vec::new(),
            truth: scenario.truth(),
        };
        let mut validated: BTreeMap<String, Timestamp> = BTreeMap::new();
        let mut produced: BTreeMap<String, Timestamp> = BTreeMap::new();
        for event in Generator::new(&scenario, seed) {
            let (id, is_output) = match decode(event.json.as_bytes()) {
                Ok(Event::Output(output)) => (output.event_id.into_owned(), true),
                Ok(Event::Feedback(feedback)) => (feedback.event_id.into_owned(), false),
                Err(_) => continue,
            };
            // A verdict belongs to where its output is, however late it comes.
            let in_validation = if is_output { event.ts < start.plus(VALIDATION) } else { validated.contains_key(&id) };
            if is_output {
                let known = if in_validation { &mut validated } else { &mut produced };
                known.insert(id, event.ts);
                if !in_validation {
                    story.outputs.push((event.agent.clone(), event.ts));
                }
            } else if let Some(output) = produced.get(&id) {
                story.verdicts.push(Verdict { agent: event.agent.clone(), output: *output, sent: event.ts });
            }
            if in_validation { &mut story.validation } else { &mut story.production }.push(event);
        }
        story
    }

    pub(super) fn write_validation(&self, path: &Path) -> std::io::Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        for event in &self.validation {
            writeln!(file, "{}", event.json)?;
        }
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    }

    pub(super) fn production(&self) -> &[SimulatedEvent] {
        &self.production
    }

    pub(super) fn production_start(&self) -> Timestamp {
        self.start.plus(VALIDATION)
    }

    /// The planted changes.
    pub(super) fn truth(&self) -> &[Planted] {
        &self.truth
    }

    /// How many verdicts on outputs since `from` had been sent by `at`.
    pub(super) fn labelled(&self, agent: &str, from: Timestamp, at: Timestamp) -> usize {
        self.verdicts.iter().filter(|v| v.agent == agent && v.output >= from && v.sent <= at).count()
    }

    /// How many outputs there were from `from` to `at`.
    pub(super) fn outputs(&self, agent: &str, from: Timestamp, at: Timestamp) -> usize {
        self.outputs.iter().filter(|(who, ts)| who == agent && *ts >= from && *ts <= at).count()
    }
}

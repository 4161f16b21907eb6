//! Scenario and seed in, records in event-time order out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::record::Calendar;
use super::scenario::{Planted, Scenario};
use super::source::{Made, Source, Verdict};
use crate::engine::units::{Span, Timestamp};

/// What a simulated record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An agent's output.
    Output,
    /// A verdict on an earlier output.
    Feedback,
    /// A record that makes no sense, in place of an output.
    Malformed,
}

/// One record as a producer would send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedEvent {
    /// Event time.
    pub ts: Timestamp,
    /// The agent: the key of the Kafka record.
    pub agent: String,
    /// The value of the record, without a newline.
    pub json: String,
    /// What it is.
    pub kind: Kind,
}

/// The records of a scenario in order of event time. Endless, unless the scenario has a length.
#[derive(Clone, Debug)]
pub struct Generator {
    start: Timestamp,
    length: Option<Span>,
    sources: Vec<Source>,
    due: BinaryHeap<Reverse<Due>>,
    calendar: Calendar,
    truth: Vec<Planted>,
}

/// Something that will be sent. Ordered by time, then by agent; at the same moment an output goes before verdicts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    offset: i64,
    source: usize,
    verdict: Option<Verdict>,
}

impl Generator {
    /// The records that follow from a scenario and a seed: always the same ones.
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let sources = scenario.agents.iter().map(|agent| Source::new(agent, scenario.start, seed)).collect();
        let mut generator = Self {
            start: scenario.start,
            length: scenario.length,
            sources,
            due: BinaryHeap::new(),
            calendar: Calendar::new(),
            truth: scenario.truth(),
        };
        for source in 0..generator.sources.len() {
            generator.plan_output(source);
        }
        generator
    }

    /// The planted changes, in order of time.
    pub fn truth(&self) -> &[Planted] {
        &self.truth
    }

    fn plan_output(&mut self, source: usize) {
        if let Some(offset) = self.sources.get_mut(source).and_then(Source::next_arrival) {
            self.plan(Due { offset, source, verdict: None });
        }
    }

    /// What would come after the end does not come at all.
    fn plan(&mut self, due: Due) {
        if self.length.is_none_or(|length| due.offset < length.as_millis()) {
            self.due.push(Reverse(due));
        }
    }
}

impl Iterator for Generator {
    type Item = SimulatedEvent;

    fn next(&mut self) -> Option<SimulatedEvent> {
        let Reverse(Due { offset, source, verdict }) = self.due.pop()?;
        let worker = self.sources.get_mut(source)?;
        let made: Made = match &verdict {
            None => worker.output(offset, &mut self.calendar),
            Some(verdict) => worker.feedback(offset, verdict, &mut self.calendar),
        };
        if let Some((later, verdict)) = made.verdict {
            self.plan(Due { offset: later, source, verdict: Some(verdict) });
        }
        if verdict.is_none() {
            self.plan_output(source);
        }
        let ts = self.start.plus(Span::from_millis(offset));
        Some(SimulatedEvent { ts, agent: made.key, json: made.json, kind: made.kind })
    }
}

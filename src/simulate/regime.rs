//! What an agent is like at one moment: its in-control values with the planted changes of that moment applied.

use super::scenario::{Agent, Change, Mechanism};
use crate::engine::units::Span;

/// The values in force from one offset until another.
#[derive(Clone, Debug, PartialEq)]
pub struct Regime {
    /// Offset from the scenario's start until which these values hold; for ever, without it.
    pub until: Option<Span>,
    /// Probability of a correct output.
    pub accuracy: f64,
    /// Mean reported confidence.
    pub confidence: f64,
    /// Probability of an escalation.
    pub escalation: f64,
    /// Probability of an override.
    pub overrides: f64,
    /// Probability of an error.
    pub errors: f64,
    /// Share of outputs that are judged.
    pub labels: f64,
    /// Factor on the median latency.
    pub latency: f64,
    /// Factor on the median cost.
    pub cost: f64,
    /// Factor on the median numbers of tokens.
    pub tokens: f64,
    /// Expected outputs per day.
    pub per_day: f64,
    /// Position of the change whose release is in force.
    pub version: Option<usize>,
}

/// A ramp is climbed in this many steps: no step is large enough for a chart to see.
const STEPS: i64 = 200;

/// Confidence and rates stay this far from 0 and 1 where a Beta distribution needs it.
const EDGE: f64 = 0.001;

impl Regime {
    /// The values in force at `now`, an offset from the scenario's start.
    pub fn at(agent: &Agent, now: Span) -> Self {
        let mut regime = Self {
            until: None,
            accuracy: agent.accuracy,
            confidence: agent.accuracy,
            escalation: agent.escalation.unwrap_or(0.0),
            overrides: agent.overrides.unwrap_or(0.0),
            errors: agent.errors,
            labels: agent.labels.map_or(0.0, |labels| labels.fraction),
            latency: 1.0,
            cost: 1.0,
            tokens: 1.0,
            per_day: agent.per_day,
            version: None,
        };
        for (position, change) in agent.changes.iter().enumerate() {
            let phase = Phase::of(change, now);
            regime.until = match (regime.until, phase.until) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            if phase.weight.is_some() && change.version.is_some() {
                regime.version = Some(position);
            }
            regime.apply(change, phase.weight.unwrap_or(0.0));
        }
        regime.clamp();
        regime
    }

    fn apply(&mut self, change: &Change, weight: f64) {
        if let Some(shift) = change.accuracy {
            let moved = shift.apply(self.accuracy, weight) - self.accuracy;
            self.accuracy += moved;
            self.confidence += match change.mechanism.unwrap_or_default() {
                Mechanism::Harder => moved,
                Mechanism::Silent => 0.0,
                Mechanism::Overconfident => -moved / 2.0,
            };
        }
        for (shift, value) in [
            (change.confidence, &mut self.confidence),
            (change.escalation, &mut self.escalation),
            (change.overrides, &mut self.overrides),
            (change.errors, &mut self.errors),
            (change.labels, &mut self.labels),
            (change.latency, &mut self.latency),
            (change.cost, &mut self.cost),
            (change.tokens, &mut self.tokens),
            (change.rate, &mut self.per_day),
        ] {
            if let Some(shift) = shift {
                *value = shift.apply(*value, weight);
            }
        }
    }

    fn clamp(&mut self) {
        self.confidence = self.confidence.clamp(EDGE, 1.0 - EDGE);
        for rate in [&mut self.accuracy, &mut self.escalation, &mut self.overrides, &mut self.errors, &mut self.labels]
        {
            *rate = rate.clamp(0.0, 1.0);
        }
    }

    /// Probability that an output of this confidence is correct. Where mean confidence equals accuracy that is the
    /// confidence itself; elsewhere it is bent so that the mean is the accuracy and the order of outputs stays.
    pub fn correctness(&self, confidence: f64) -> f64 {
        if self.accuracy <= self.confidence {
            confidence * self.accuracy / self.confidence
        } else {
            1.0 - (1.0 - confidence) * (1.0 - self.accuracy) / (1.0 - self.confidence)
        }
    }
}

/// Where a moment lies in the course of one change.
struct Phase {
    /// How much of the change is in force; nothing before and after it.
    weight: Option<f64>,
    /// The next moment at which that is different.
    until: Option<Span>,
}

impl Phase {
    fn of(change: &Change, now: Span) -> Self {
        let (at, end) = (change.at, change.until);
        if now < at {
            return Self { weight: None, until: Some(at) };
        }
        if end.is_some_and(|end| now >= end) {
            return Self { weight: None, until: None };
        }
        let ramp = change.ramp.as_millis();
        let gone = now.as_millis() - at.as_millis();
        if gone >= ramp {
            return Self { weight: Some(1.0), until: end };
        }
        let step = (ramp / STEPS).max(1);
        let climbed = gone / step;
        let next = Span::from_millis(at.as_millis() + ((climbed + 1) * step).min(ramp));
        let weight = ((climbed * step) as f64 + step as f64 / 2.0) / ramp as f64;
        Self { weight: Some(weight.min(1.0)), until: Some(end.map_or(next, |end| end.min(next))) }
    }
}

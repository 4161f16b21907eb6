//! One agent at work: when its next output comes, and what that output says.

use std::borrow::Cow;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution as _, Exp1, StandardNormal};

use super::generator::Kind;
use super::hostile;
use super::record::{Calendar, push_fixed, push_padded, quoted};
use super::regime::Regime;
use super::scenario::{Agent, Spread};
use crate::engine::units::{Span, Timestamp};

/// One agent with its own randomness, so that its events are the same in whatever company it works.
///
/// Four streams of random numbers: an agent whose labels are changed still works at the same moments and says the same.
#[derive(Clone, Debug)]
pub(super) struct Source {
    agent: Agent,
    start: Timestamp,
    regime: Regime,
    beta: Option<Beta<f64>>,
    /// Offset of the latest arrival in milliseconds; a fraction, so that rounding does not change the rate.
    now: f64,
    made: u64,
    text: Fragments,
    arrivals: ChaCha8Rng,
    marks: ChaCha8Rng,
    verdicts: ChaCha8Rng,
    noise: ChaCha8Rng,
}

/// Pieces of JSON that are the same in many records.
#[derive(Clone, Debug)]
struct Fragments {
    /// First half of every event id.
    prefix: String,
    /// The agent's name, quoted.
    agent: String,
    /// The tasks, quoted, each with the sum of the shares up to it.
    tasks: Vec<(String, f64)>,
    /// The release in force, quoted.
    version: Option<String>,
}

/// What a reviewer will say about an output, and about which.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Verdict {
    number: u64,
    correct: bool,
    /// The probability of being picked, in ten-thousandths.
    sampled: u32,
    /// The name the output went out under, where it was not the agent's own.
    alias: Option<Cow<'static, str>>,
}

/// A record and what follows from it.
pub(super) struct Made {
    pub(super) key: String,
    pub(super) json: String,
    pub(super) kind: Kind,
    /// The verdict with its offset in milliseconds.
    pub(super) verdict: Option<(i64, Verdict)>,
}

const DAY_MS: f64 = 86_400_000.0;
/// The hour of the day with the most work, as a share of a day.
const PEAK: f64 = 14.0 / 24.0;
/// Room for an ordinary record.
const RECORD: usize = 384;

impl Source {
    /// An agent about to begin.
    pub(super) fn new(agent: &Agent, start: Timestamp, seed: u64) -> Self {
        let random = |purpose: &str| {
            let mut hasher = blake3::Hasher::new_derive_key("shewhart simulate 1");
            hasher.update(&seed.to_le_bytes());
            hasher.update(&(purpose.len() as u64).to_le_bytes());
            hasher.update(purpose.as_bytes());
            hasher.update(agent.name.as_bytes());
            *hasher.finalize().as_bytes()
        };
        let mut sum = 0.0;
        let tasks = agent.tasks.iter().map(|(task, share)| {
            sum += share;
            (quoted(task), sum)
        });
        let mut source = Self {
            start,
            regime: Regime::at(agent, Span::ZERO),
            beta: None,
            now: 0.0,
            made: 0,
            text: Fragments {
                prefix: blake3::Hash::from(random("id")).to_hex().chars().take(8).collect(),
                agent: quoted(&agent.name),
                tasks: tasks.collect(),
                version: None,
            },
            arrivals: ChaCha8Rng::from_seed(random("arrivals")),
            marks: ChaCha8Rng::from_seed(random("marks")),
            verdicts: ChaCha8Rng::from_seed(random("verdicts")),
            noise: ChaCha8Rng::from_seed(random("noise")),
            agent: agent.clone(),
        };
        source.enter(Span::ZERO);
        source
    }

    /// Takes on the values in force at an offset.
    fn enter(&mut self, now: Span) {
        self.regime = Regime::at(&self.agent, now);
        self.beta = self.agent.confidence.and_then(|confidence| {
            let weight = 1.0 / confidence.r2 - 1.0;
            Beta::new(self.regime.confidence * weight, (1.0 - self.regime.confidence) * weight).ok()
        });
        let changed = self.regime.version.and_then(|position| self.agent.changes.get(position));
        let version = changed.map_or(self.agent.version.as_deref(), |change| change.version.as_deref());
        self.text.version = version.map(quoted);
    }

    /// Offset of the next output in milliseconds: a Poisson process, thinned to its daily cycle. Restarting at the
    /// border of a regime is exact, because such a process has no memory.
    pub(super) fn next_arrival(&mut self) -> Option<i64> {
        let swing = self.agent.diurnal;
        loop {
            let peak = self.regime.per_day / DAY_MS * (1.0 + swing);
            let wait: f64 = Exp1.sample(&mut self.arrivals);
            let next = self.now + wait / peak;
            if let Some(until) = self.regime.until
                && (peak <= 0.0 || next >= until.as_millis() as f64)
            {
                self.now = until.as_millis() as f64;
                self.enter(until);
                continue;
            }
            if peak <= 0.0 {
                return None;
            }
            self.now = next;
            if swing <= 0.0 || self.arrivals.random::<f64>() * (1.0 + swing) < 1.0 + swing * self.cycle() {
                return Some(next as i64);
            }
        }
    }

    /// The daily cycle at this moment, from -1 to 1.
    fn cycle(&self) -> f64 {
        let day = (self.start.as_millis() as f64 + self.now) / DAY_MS;
        ((day - PEAK) * std::f64::consts::TAU).cos()
    }

    /// The output of the latest arrival.
    pub(super) fn output(&mut self, offset: i64, calendar: &mut Calendar) -> Made {
        let number = self.made;
        self.made += 1;
        let alias = self.agent.hostile.then(|| hostile::attack(&mut self.noise));
        let mut json = String::with_capacity(RECORD);
        json.push_str("{\"type\":\"output\",");
        self.push_identity(&mut json, number, alias.as_deref());
        json.push_str(",\"ts\":\"");
        calendar.push(&mut json, self.start.plus(Span::from_millis(offset)));
        json.push('"');
        let broken = self.agent.malformed > 0.0 && self.noise.random::<f64>() < self.agent.malformed;
        let broken = broken.then(|| hostile::malformed(&mut self.noise, json.trim_start_matches('{')));
        self.push_origin(&mut json);
        let correct = self.push_outcome(&mut json);
        self.push_amounts(&mut json);
        let key = alias.as_deref().unwrap_or(&self.agent.name).to_owned();
        let verdict = match (correct, self.review(correct)) {
            (Some(correct), Some(0)) => {
                json.push_str(if correct { ",\"correct\":true" } else { ",\"correct\":false" });
                None
            }
            (Some(correct), Some(delay)) => {
                let sampled = (self.regime.labels * 10_000.0).round() as u32;
                Some((offset.saturating_add(delay), Verdict { number, correct, sampled, alias }))
            }
            _ => None,
        };
        json.push('}');
        match broken {
            Some(json) => Made { key, json, kind: Kind::Malformed, verdict: None },
            None => Made { key, json, kind: Kind::Output, verdict },
        }
    }

    /// The feedback that carries a verdict.
    pub(super) fn feedback(&self, offset: i64, verdict: &Verdict, calendar: &mut Calendar) -> Made {
        let mut json = String::with_capacity(RECORD / 2);
        json.push_str("{\"type\":\"feedback\",");
        self.push_identity(&mut json, verdict.number, verdict.alias.as_deref());
        json.push_str(",\"ts\":\"");
        calendar.push(&mut json, self.start.plus(Span::from_millis(offset)));
        json.push_str(if verdict.correct { "\",\"correct\":true" } else { "\",\"correct\":false" });
        json.push_str(",\"source\":\"human\",\"sampled\":");
        push_fixed(&mut json, u64::from(verdict.sampled), 4);
        json.push('}');
        let key = verdict.alias.as_deref().unwrap_or(&self.agent.name).to_owned();
        Made { key, json, kind: Kind::Feedback, verdict: None }
    }

    fn push_identity(&self, json: &mut String, number: u64, alias: Option<&str>) {
        json.push_str("\"event_id\":\"");
        json.push_str(&self.text.prefix);
        json.push('-');
        push_padded(json, number, 7);
        json.push_str("\",\"agent\":");
        match alias {
            Some(alias) => json.push_str(&quoted(alias)),
            None => json.push_str(&self.text.agent),
        }
    }

    /// Release and task.
    fn push_origin(&mut self, json: &mut String) {
        if let Some(version) = &self.text.version {
            json.push_str(",\"version\":");
            if self.agent.hostile {
                json.push_str(&quoted(&hostile::attack(&mut self.noise)));
            } else {
                json.push_str(version);
            }
        }
        if let Some((last, _)) = self.text.tasks.last() {
            let at = if self.text.tasks.len() > 1 { self.marks.random::<f64>() } else { 0.0 };
            let task = self.text.tasks.iter().find(|(_, upto)| at < *upto).map_or(last, |(task, _)| task);
            json.push_str(",\"task\":");
            if self.agent.hostile {
                json.push_str(&quoted(&hostile::attack(&mut self.noise)));
            } else {
                json.push_str(task);
            }
        }
    }

    /// Status, confidence, escalation and override; says whether the output is correct, unless it failed.
    fn push_outcome(&mut self, json: &mut String) -> Option<bool> {
        if self.marks.random::<f64>() < self.regime.errors {
            json.push_str(",\"status\":\"error\"");
            return None;
        }
        json.push_str(",\"status\":\"ok\"");
        let (mut chance, mut said) = (self.regime.accuracy, 1.0);
        if let Some(beta) = &self.beta {
            // Rounded first: what is written is what the output is judged by, so that calibration is exact.
            let confidence = (beta.sample(&mut self.marks) * 10_000.0).round() as u64;
            json.push_str(",\"confidence\":");
            push_fixed(json, confidence, 4);
            said = confidence as f64 / 10_000.0;
            chance = self.regime.correctness(said);
        }
        let correct = self.marks.random::<f64>() < chance;
        let escalated = match self.agent.escalates_below {
            Some(bar) => Some(said < bar),
            None => self.agent.escalation.map(|_| self.marks.random::<f64>() < self.regime.escalation),
        };
        if let Some(escalated) = escalated {
            json.push_str(if escalated { ",\"escalated\":true" } else { ",\"escalated\":false" });
        }
        if self.agent.overrides.is_some() {
            let overridden = self.marks.random::<f64>() < self.regime.overrides;
            json.push_str(if overridden {
                ",\"flags\":{\"overridden\":true}"
            } else {
                ",\"flags\":{\"overridden\":false}"
            });
        }
        Some(correct)
    }

    /// Latency, tokens and cost.
    fn push_amounts(&mut self, json: &mut String) {
        if let Some(spread) = self.agent.latency_ms {
            let whole = self.draw(spread, self.regime.latency).round();
            json.push_str(",\"latency_ms\":");
            push_padded(json, whole as u64, 1);
            for (nth, (part, share)) in self.agent.latency_parts.iter().enumerate() {
                json.push_str(if nth == 0 { ",\"latency\":{\"" } else { ",\"" });
                json.push_str(part);
                json.push_str("\":");
                push_padded(json, (whole * share).round() as u64, 1);
            }
            if !self.agent.latency_parts.is_empty() {
                json.push('}');
            }
        }
        if let Some(tokens) = self.agent.tokens {
            json.push_str(",\"tokens_in\":");
            push_padded(json, self.draw(tokens.input, self.regime.tokens).round() as u64, 1);
            json.push_str(",\"tokens_out\":");
            push_padded(json, self.draw(tokens.output, self.regime.tokens).round() as u64, 1);
        }
        if let Some(spread) = self.agent.cost_usd {
            json.push_str(",\"cost_usd\":");
            push_fixed(json, (self.draw(spread, self.regime.cost) * 1e6).round() as u64, 6);
        }
    }

    fn draw(&mut self, spread: Spread, factor: f64) -> f64 {
        let normal: f64 = StandardNormal.sample(&mut self.marks);
        spread.median * factor * (spread.sigma * normal).exp()
    }

    /// Whether the output is picked for review, and after how many milliseconds the verdict comes.
    fn review(&mut self, correct: Option<bool>) -> Option<i64> {
        let labels = self.agent.labels?;
        if self.verdicts.random::<f64>() >= self.regime.labels {
            return None;
        }
        if labels.delay == Span::ZERO {
            return Some(0);
        }
        let normal: f64 = StandardNormal.sample(&mut self.verdicts);
        let median = labels.delay_wrong.filter(|_| correct == Some(false)).unwrap_or(labels.delay);
        let delay = median.as_millis() as f64 * (labels.delay_sigma * normal).exp();
        Some((delay as i64).max(1))
    }
}

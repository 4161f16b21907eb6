//! Records in order -> engine -> router; wall time made up; no I/O.
//!
//! [`Replay`] is the driver of backtests: the same two machines as the daemon's, on one partition, with stream time standing
//! in for the wall clock. [`Trial`] drives two of them over the same records and says how they differ, what they found
//! of known incidents and what they cost.

mod compare;
mod gate;
mod incident;
mod inject;
mod selector;
mod tally;
#[cfg(test)]
mod testing;
mod trial;

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Serialize;

pub use compare::{Comparison, Moved, Paired};
pub use gate::{Bounds, Check};
pub use incident::{Before, Incident, Incidents, Score, Seen};
pub use inject::{Injected, Injection, Injector};
pub use selector::{Selector, time};
pub use tally::{Tallies, Tally};
pub use trial::{Trial, Verdict};

use crate::engine::alert::{Account, Crossing, Id, State};
use crate::engine::baseline::BaselineSet;
use crate::engine::route::{Message, Policy, Router, RouterMemory, Signal};
use crate::engine::rule::RuleSet;
use crate::engine::units::{Estimate, Offset, Partition, Timestamp};
use crate::engine::{Effect, Engine, Input, Settings};

/// One incident that a replay found, as it was when the alert fired.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The alert's name.
    pub alert: String,
    /// Its severity label.
    pub severity: String,
    /// The stream's labels.
    pub stream: BTreeMap<String, String>,
    /// `firing`, or `resolved` where it ended within the records.
    pub state: State,
    /// Stream time at which it fired.
    pub at: String,
    /// Stream time at which it ended.
    pub resolved_at: Option<String>,
    /// Outputs of the stream up to the alert.
    pub outputs: u64,
    /// Labelled outputs of the stream up to the alert.
    pub labels: u64,
    /// The level since the change, in the measure's own unit.
    pub estimate: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// The baseline's level.
    pub baseline: Option<f64>,
    /// The 95 % interval of the baseline's own error.
    pub baseline_interval: Option<[f64; 2]>,
    /// When the change probably began.
    pub changed_at: Option<String>,
    /// What is watched.
    pub measure: String,
    /// How sure the chart was about the size of the change.
    pub grade: &'static str,
    /// The incident's id.
    pub id: String,
    /// The rule's id, `group/alert`.
    #[serde(skip)]
    pub rule: String,
    /// The same time as `at`.
    #[serde(skip)]
    pub fired: Timestamp,
    /// The same time as `resolved_at`.
    #[serde(skip)]
    pub ended: Option<Timestamp>,
}

/// A replay under way.
#[derive(Debug)]
pub struct Replay {
    engine: Engine,
    router: Router,
    /// When the router wants to be asked again.
    due: Option<Timestamp>,
    next: i64,
    effects: Vec<(Partition, Effect)>,
    messages: Vec<Message>,
    findings: IndexMap<Id, Finding>,
    scratch: Vec<Effect>,
    /// Stream time at which the first chart had a limit, and how many streams there were when that was last looked at.
    watched_from: Option<Timestamp>,
    looked_at: u32,
}

/// The partition that files are read as.
const PARTITION: Partition = Partition(0);

impl Replay {
    /// A replay that has read nothing.
    pub fn new(settings: Settings, rules: Arc<RuleSet>, baselines: Arc<BaselineSet>, policy: Policy) -> Self {
        Self {
            engine: Engine::new(PARTITION, Arc::new(settings), rules, baselines),
            router: Router::new(policy),
            due: None,
            next: 0,
            effects: Vec::new(),
            messages: Vec::new(),
            findings: IndexMap::new(),
            scratch: Vec::new(),
            watched_from: None,
            looked_at: 0,
        }
    }

    /// Reads the next record.
    pub fn record(&mut self, payload: &[u8]) {
        let input = Input::Record { offset: Offset(self.next), appended: None, payload };
        self.next += 1;
        self.engine.step(input, &mut self.scratch);
        self.look();
        let now = self.now().unwrap_or(Timestamp::MIN);
        let mut scratch = std::mem::take(&mut self.scratch);
        for effect in scratch.drain(..) {
            if let Effect::Crossed(crossing) = &effect {
                self.find(crossing);
                self.route(Signal::Crossed(crossing.clone()), now);
            }
            self.effects.push((PARTITION, effect));
        }
        self.scratch = scratch;
        if self.due.is_some_and(|due| due <= now) {
            self.route(Signal::Tick, now);
        }
    }

    /// Lets time pass without records: everything happens that was due by `now`, each at its own time.
    pub fn idle(&mut self, now: Timestamp) {
        self.engine.step(Input::Idle { now }, &mut self.scratch);
        for effect in std::mem::take(&mut self.scratch) {
            if let Effect::Crossed(crossing) = &effect {
                self.tick_until(crossing.at);
                self.find(crossing);
                self.route(Signal::Crossed(crossing.clone()), crossing.at);
            }
            self.effects.push((PARTITION, effect));
        }
        self.tick_until(now);
    }

    /// Sends every message that is due by `now`, at its own time.
    fn tick_until(&mut self, now: Timestamp) {
        while let Some(due) = self.due.filter(|due| *due <= now) {
            self.route(Signal::Tick, due);
            // A router that has nothing to do at its own deadline would be asked for ever.
            if self.due == Some(due) {
                return;
            }
        }
    }

    /// Notices when the first chart gets its limit: before, no alert about a level can fire.
    fn look(&mut self) {
        if self.watched_from.is_some() {
            return;
        }
        let learnt = self.scratch.iter().filter_map(|effect| match effect {
            Effect::Learnt { stream } => Some(*stream),
            _ => None,
        });
        let streams = self.engine.streams().len() as u32;
        let new = std::mem::replace(&mut self.looked_at, streams)..streams;
        let rules = self.engine.rules();
        let mut changed = learnt.chain(new).filter_map(|index| self.engine.stream_at(index));
        if changed.any(|stream| stream.charts(rules).any(|(_, chart)| chart.arl0().is_some())) {
            self.watched_from = self.now();
        }
    }

    /// Stream time from which on there was a chart with a limit; nothing where there was none.
    pub const fn watched_from(&self) -> Option<Timestamp> {
        self.watched_from
    }

    /// False alarms that each rule's charts promised over the samples taken since they were designed. Rules that read one
    /// chart each count it.
    pub fn promised_by_rule(&self) -> BTreeMap<String, f64> {
        let mut promised = BTreeMap::new();
        let rules = self.engine.rules();
        for rule in &rules.rules {
            promised.insert(rule.id.clone(), 0.0);
        }
        for stream in self.engine.streams() {
            for (rule, chart) in stream.charts(rules) {
                *promised.entry(rule.id.clone()).or_default() += chart.promised();
            }
        }
        promised
    }

    /// Stream time, which stands in for the wall clock.
    pub fn now(&self) -> Option<Timestamp> {
        self.engine.position().time
    }

    fn route(&mut self, signal: Signal, now: Timestamp) {
        self.router.step(signal, now, &mut self.messages);
        self.due = self.router.deadline();
    }

    fn find(&mut self, crossing: &Crossing) {
        match crossing.to {
            State::Firing => {
                self.findings.insert(crossing.alert_id, Finding::of(crossing));
            }
            State::Resolved => {
                if let Some(finding) = self.findings.get_mut(&crossing.alert_id) {
                    finding.state = State::Resolved;
                    finding.resolved_at = Some(crossing.at.to_string());
                    finding.ended = Some(crossing.at);
                }
            }
            State::Inactive | State::Pending => {}
        }
    }

    /// What the engine asked for since the last call.
    pub fn take_effects(&mut self) -> Vec<(Partition, Effect)> {
        std::mem::take(&mut self.effects)
    }

    /// What the router asked for since the last call.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// The incidents that fired, in the order in which they did.
    pub fn findings(&self) -> impl ExactSizeIterator<Item = &Finding> {
        self.findings.values()
    }

    /// The engine.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine, and the router's memory where it changed since the last call, for those who write them down.
    pub fn parts(&mut self) -> (&mut Engine, Option<RouterMemory>) {
        let router = self.router.take_unwritten();
        (&mut self.engine, router)
    }
}

impl Finding {
    fn of(crossing: &Crossing) -> Self {
        let account = crossing.account.as_ref();
        let pair = |e: Estimate| [e.low, e.high];
        let estimate = account.and_then(|a| a.estimate);
        let baseline = account.and_then(|a| a.baseline);
        let is_stream_label = |name: &str| crate::engine::Group::ALL.iter().any(|group| group.as_str() == name);
        Self {
            alert: crossing.alert.clone(),
            severity: crossing.labels.get("severity").cloned().unwrap_or_default(),
            stream: crossing
                .labels
                .iter()
                .filter(|(n, _)| is_stream_label(n))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect(),
            state: State::Firing,
            at: crossing.at.to_string(),
            resolved_at: None,
            outputs: account.map_or(0, |a| a.outputs),
            labels: account.map_or(0, |a| a.labels),
            estimate: estimate.map(|e| e.value),
            interval: estimate.map(pair),
            baseline: baseline.map(|e| e.value),
            baseline_interval: baseline.map(pair),
            changed_at: account.and_then(|a: &Account| a.changed_at).map(|at| at.to_string()),
            measure: account.map(|a| a.measure.to_string()).unwrap_or_default(),
            grade: account.map_or("", |a| a.grade.as_str()),
            id: crossing.alert_id.to_string(),
            rule: crossing.rule.clone(),
            fired: crossing.at,
            ended: None,
        }
    }
}

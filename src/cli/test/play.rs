//! One test on the production engine: events in, expectations held to what there is at their times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::expect;
use super::file::{Check, Test, TestFile};
use super::report::Failure;
use crate::engine::Effect;
use crate::engine::alert::{Crossing, Id, State};
use crate::engine::event::{Event, decode};
use crate::engine::route::{Message, Policy};
use crate::engine::units::{Span, Timestamp};
use crate::replay::Replay;

/// What became of a test.
pub(super) struct Outcome {
    /// What was not as expected; none where it passed.
    pub(super) failures: Vec<Failure>,
    /// The rules that fired.
    pub(super) fired: BTreeSet<String>,
    /// Events that the engine did not count.
    pub(super) rejected: u64,
}

/// A test under way.
struct Stage<'t> {
    replay: Replay,
    policy: &'t Policy,
    /// The newest crossing of every alert that is pending or fires.
    active: BTreeMap<Id, Crossing>,
    messages: Vec<Message>,
    outcome: Outcome,
}

/// Runs a test.
pub(super) fn play(file: &TestFile, test: &Test) -> anyhow::Result<Outcome> {
    let settings = test.settings.clone();
    let (rules, baselines) = (Arc::clone(&file.rules), Arc::clone(&test.baselines));
    let mut stage = Stage {
        replay: Replay::new(settings, rules, baselines, test.policy.clone()),
        policy: &test.policy,
        active: BTreeMap::new(),
        messages: Vec::new(),
        outcome: Outcome { failures: Vec::new(), fired: BTreeSet::new(), rejected: 0 },
    };
    let routes = expect::routes(&test.policy, &test.routes);
    compare((test.line, None), ("", "exp_routes"), &test.routes, &routes, &mut stage.outcome.failures);
    if test.checks.is_empty() {
        return Ok(stage.outcome);
    }
    let mut base = test.start.or_else(|| test.events.start());
    let mut checks = test.checks.iter().peekable();
    test.events.each(|payload| {
        if let Some(ts) = time_of(payload) {
            let base = *base.get_or_insert(ts);
            while let Some(check) = checks.next_if(|check| base.plus(check.at) < ts) {
                stage.check(check, base.plus(check.at));
            }
        }
        stage.replay.record(payload);
        stage.listen();
        checks.peek().is_some()
    })?;
    let Some(base) = base else { anyhow::bail!("there is no event that can be read") };
    for check in checks {
        stage.check(check, base.plus(check.at));
    }
    stage.outcome.rejected = stage.replay.engine().position().counters.rejected.iter().sum();
    Ok(stage.outcome)
}

fn time_of(payload: &[u8]) -> Option<Timestamp> {
    match decode(payload) {
        Ok(Event::Output(output)) => Some(output.ts),
        Ok(Event::Feedback(feedback)) => Some(feedback.ts),
        Err(_) => None,
    }
}

impl Stage<'_> {
    /// Takes in what the last step brought.
    fn listen(&mut self) {
        for (_, effect) in self.replay.take_effects() {
            let Effect::Crossed(crossing) = effect else { continue };
            match crossing.to {
                State::Pending | State::Firing => {
                    if crossing.to == State::Firing {
                        self.outcome.fired.insert(crossing.rule.clone());
                    }
                    self.active.insert(crossing.alert_id, *crossing);
                }
                State::Inactive | State::Resolved => {
                    self.active.remove(&crossing.alert_id);
                }
            }
        }
        self.messages.extend(self.replay.take_messages());
        self.replay.parts().0.forget_unwritten();
    }

    /// Holds a check to what there is at its time, which stream time is moved to.
    fn check(&mut self, check: &Check, at: Timestamp) {
        self.replay.idle(at);
        self.listen();
        let named: Vec<&Crossing> =
            self.active.values().filter(|c| check.alertname.as_ref().is_some_and(|name| *name == c.alert)).collect();
        let name = check.alertname.as_deref().unwrap_or_default();
        let place = (check.line, Some(check.at));
        let mut failures = Vec::new();
        if let Some(expected) = &check.alerts {
            let found = expect::alerts(named.iter().copied(), expected);
            compare(place, (name, "exp_alerts"), &expect::expected_alerts(expected), &found, &mut failures);
        }
        if let Some(expected) = &check.states {
            compare(place, (name, "exp_state"), expected, &expect::states(&named, expected), &mut failures);
        }
        if let Some(expected) = &check.notices {
            let found = expect::notices(&self.messages, expected);
            compare(place, ("", "exp_notices"), expected, &found, &mut failures);
        }
        if let Some(expected) = &check.inhibited {
            let mut expected = expected.clone();
            expected.sort();
            let found = expect::inhibited(self.policy, self.active.values());
            compare(place, ("", "exp_inhibited"), &expected, &found, &mut failures);
        }
        self.outcome.failures.extend(failures);
    }
}

fn compare<T: Serialize + PartialEq>(
    (line, at): (u64, Option<Span>),
    (name, what): (&str, &'static str),
    expected: &[T],
    found: &[T],
    failures: &mut Vec<Failure>,
) {
    if expected != found {
        let value = |side: &[T]| serde_json::to_value(side).unwrap_or_default();
        failures.push(Failure {
            line,
            alertname: name.to_owned(),
            eval_time: at.map(|at| at.to_string()),
            what,
            expected: value(expected),
            found: value(found),
        });
    }
}

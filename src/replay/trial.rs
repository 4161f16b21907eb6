//! One pass over records under one rule set or two, with known incidents and injected changes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::incident::{self, Before, CountsAt, Incident, Incidents, Score};
use super::inject::{Injected, Injector};
use super::tally::Tallies;
use super::{Bounds, Check, Comparison, Finding, Replay, Selector};
use crate::engine::Group;
use crate::engine::event::{Event, decode};
use crate::engine::stream::Stream;
use crate::engine::units::Timestamp;

/// A replay that is judged.
#[derive(Debug)]
pub struct Trial {
    new: Replay,
    old: Option<Replay>,
    injector: Injector,
    incidents: Vec<Marked>,
    /// Whether somebody said what the incidents are, possibly that there are none.
    are_known: bool,
    /// Event time of the first record that has one.
    first: Option<Timestamp>,
}

/// An incident, with the counts of its streams from when it began.
#[derive(Debug)]
struct Marked {
    incident: Incident,
    /// The injection that it is, where it is one.
    injection: Option<usize>,
    counts: Option<CountsAt>,
}

/// What a trial found, beyond the alerts themselves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether all incidents are known, so that alarms outside them are false; otherwise every alert outside the
    /// injections is counted, true or not.
    pub alarms_are_false: bool,
    /// How many alarms a week.
    pub tallies: Tallies,
    /// What became of the incidents, where any are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incidents: Option<Incidents>,
    /// What the injections did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub injected: Vec<Injected>,
    /// How the rules differ from those that they were compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Comparison>,
    /// The bounds that were set, and whether they were kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gate: Vec<Check>,
}

impl Verdict {
    /// Whether every bound was kept.
    pub fn passes(&self) -> bool {
        self.gate.iter().all(|check| check.kept)
    }
}

impl Trial {
    /// A trial of `new`, beside `old` where that is given, on streams formed by `group_by`, with all incidents that there
    /// are where those are known. Every injection is an incident too.
    pub fn new(
        (new, old): (Replay, Option<Replay>),
        incidents: Option<Vec<Incident>>,
        injector: Injector,
        group_by: &[Group],
    ) -> Self {
        let marked = |incident, injection| Marked { incident, injection, counts: None };
        let are_known = incidents.is_some();
        let mut all: Vec<Marked> = incidents.into_iter().flatten().map(|incident| marked(incident, None)).collect();
        all.extend(injector.incidents(group_by).into_iter().enumerate().map(|(at, i)| marked(i, Some(at))));
        Self { new, old, injector, incidents: all, are_known, first: None }
    }

    /// Reads the next record.
    pub fn record(&mut self, payload: &[u8]) {
        if self.first.is_none() || self.incidents.iter().any(|marked| marked.counts.is_none()) {
            self.mark(payload);
        }
        let payload = self.injector.apply(payload);
        self.new.record(&payload);
        if let Some(old) = &mut self.old {
            old.record(&payload);
        }
    }

    /// Notes what the streams had counted when an incident begins, before the record that reaches it.
    fn mark(&mut self, payload: &[u8]) {
        let now = match decode(payload) {
            Ok(Event::Output(output)) => output.ts,
            Ok(Event::Feedback(feedback)) => feedback.ts,
            Err(_) => return,
        };
        self.first.get_or_insert(now);
        for marked in &mut self.incidents {
            if marked.counts.is_none() && now >= marked.incident.from {
                let streams = self.new.engine().streams().map(|s| (s.labels(), (s.memory.outputs, s.memory.labels)));
                let selector = &marked.incident.selector;
                marked.counts = Some(streams.filter(|(labels, _)| selector.matches(labels)).collect());
            }
        }
    }

    /// The replay of the rules that are tried.
    pub const fn new_rules(&self) -> &Replay {
        &self.new
    }

    /// The same, for those who write down what it asks for.
    pub const fn new_rules_mut(&mut self) -> &mut Replay {
        &mut self.new
    }

    /// Forgets what nobody writes down of the rules that are compared with.
    pub fn forget_old(&mut self) {
        if let Some(old) = &mut self.old {
            drop((old.take_effects(), old.take_messages()));
            old.parts().0.forget_unwritten();
        }
    }

    /// What was found, held to these bounds.
    pub fn verdict(&self, bounds: &Bounds) -> Verdict {
        let known: Vec<Incident> = self.incidents.iter().map(|marked| marked.incident.clone()).collect();
        let new: Vec<&Finding> = self.new.findings().collect();
        let against = self.old.as_ref().map(|old| {
            let findings: Vec<&Finding> = old.findings().collect();
            let tallies = Tallies::of(old, &known, self.first);
            let rules = (self.new.engine().rules(), old.engine().rules());
            Comparison::of((&new, rules.0), (&findings, rules.1), tallies, &known)
        });
        let scores: Vec<Score> = self.incidents.iter().flat_map(|marked| self.scores(marked)).collect();
        let mut verdict = Verdict {
            alarms_are_false: self.are_known,
            tallies: Tallies::of(&self.new, &known, self.first),
            incidents: (!scores.is_empty()).then(|| Incidents::of(scores)),
            injected: self.injector.report(),
            against,
            gate: Vec::new(),
        };
        verdict.gate = bounds.check(&verdict);
        verdict
    }

    /// What became of an incident. An injection into several streams is one for each: the first of them to be noticed
    /// says little about the others.
    fn scores(&self, marked: &Marked) -> Vec<Score> {
        let Some(at) = marked.injection else { return vec![self.score(marked, &marked.incident)] };
        let unknown: Vec<_> = self.injector.unknown(at).collect();
        let streams = self.new.engine().streams().map(Stream::labels);
        let meant: Vec<_> =
            streams.filter(|labels| marked.incident.selector.matches(labels) && !unknown.contains(&labels)).collect();
        if meant.len() < 2 {
            return vec![self.score(marked, &marked.incident)];
        }
        let of_stream = |labels: &BTreeMap<String, String>| {
            let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let name = format!("{} on {}", marked.incident.name, pairs.join(", "));
            let incident = Incident { name, selector: Selector::exactly(labels), ..marked.incident.clone() };
            self.score(marked, &incident)
        };
        meant.iter().map(of_stream).collect()
    }

    fn score(&self, marked: &Marked, incident: &Incident) -> Score {
        let none = CountsAt::new();
        let since = (self.first.unwrap_or(incident.from), marked.counts.as_ref().unwrap_or(&none));
        let begun = incident.from.max(since.0);
        Score {
            name: incident.name.clone(),
            from: begun.to_string(),
            to: incident.to.map(|to| to.to_string()),
            injected: marked.injection.is_some(),
            found: incident::find(incident, self.new.findings(), since),
            unwatched: self.new.watched_from().is_none_or(|from| begun < from),
            already: incident::already(incident, self.new.findings()),
            before: self.old.as_ref().map(|old| Before { found: incident::find(incident, old.findings(), since) }),
        }
    }
}

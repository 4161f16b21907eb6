//! Who is told what, when: the tree of routes, inhibitions, time intervals.
//!
//! The tree is read as Alertmanager reads its own: an alert enters at the root, goes down into the first child that it
//! matches (and on to that child's siblings where it says `continue`), and is told by the deepest routes it reached.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::super::units::{Span, Timestamp};
use super::interval::Interval;
use super::matcher::{Matcher, all_match};

/// How long an alert that ended is still repeated to receivers that keep alerts themselves.
pub(super) const LEVEL_KEPT: Span = Span::MINUTE.times(15);

/// Everything that decides who is told what.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Trees of routes, each asked for every alert: the configured one, and that of `--mail-dir`.
    roots: Vec<Route>,
    /// Which alerts are not told while which others fire.
    pub inhibitions: Vec<Inhibition>,
    /// Named time intervals; one of the list is enough.
    pub intervals: BTreeMap<String, Vec<Interval>>,
    /// Messages of one route within a minute from which on one summary is sent instead.
    pub digest_over: usize,
    /// How long a silence lasts before people are reminded of it, and again after as long.
    pub silence_reminder: Span,
    /// Receivers that group and repeat by themselves: each change is told to them at once and alone.
    pub level: BTreeSet<String>,
}

/// One node of the tree, with what it inherited.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Who is told; each on its own.
    pub receivers: Vec<String>,
    /// What an alert must meet to come here.
    pub matchers: Vec<Matcher>,
    /// Whether its siblings are asked too after it took an alert.
    pub go_on: bool,
    /// What alerts of one message agree in.
    pub group_by: GroupBy,
    /// When messages go out.
    pub pace: Pace,
    /// Intervals in which nothing is told.
    pub mute: Vec<String>,
    /// Intervals outside which nothing is told; none means always.
    pub active: Vec<String>,
    /// Who is told when nobody acknowledges.
    pub escalation: Option<Escalation>,
    /// Its children.
    pub routes: Vec<Self>,
    /// The path from the root, by which groups know their route after a restart; the policy sets it.
    pub key: String,
}

/// What alerts of one message agree in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// These labels.
    Labels(Vec<String>),
    /// All labels: each alert has a message of its own.
    All,
}

/// When the messages of a group go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// How long the first message of a group waits for others to join.
    pub wait: Span,
    /// The least time between two messages of a group.
    pub interval: Span,
    /// How long a group that still fires stays silent.
    pub repeat: Span,
}

impl Default for Pace {
    fn default() -> Self {
        Self { wait: Span::from_secs(30), interval: Span::MINUTE.times(5), repeat: Span::HOUR.times(4) }
    }
}

/// Who is told when nobody acknowledges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// How long after the first message.
    pub after: Span,
    /// Who.
    pub receivers: Vec<String>,
}

/// Alerts that are not told while others fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inhibition {
    /// The alerts that keep others quiet.
    pub source: Vec<Matcher>,
    /// The alerts that are kept quiet.
    pub target: Vec<Matcher>,
    /// Labels in which both must agree; a label that neither has counts as agreeing.
    pub equal: Vec<String>,
}

impl Route {
    /// A route that takes every alert and tells one receiver.
    pub fn to(receiver: &str, group_by: &[&str], pace: Pace) -> Self {
        Self {
            receivers: vec![receiver.to_owned()],
            matchers: Vec::new(),
            go_on: false,
            group_by: GroupBy::Labels(group_by.iter().map(|name| (*name).to_owned()).collect()),
            pace,
            mute: Vec::new(),
            active: Vec::new(),
            escalation: None,
            routes: Vec::new(),
            key: String::new(),
        }
    }

    fn name(&mut self, parent: &str, position: usize) {
        let own: Vec<String> = self.matchers.iter().map(ToString::to_string).collect();
        let mark = if position == 0 { String::new() } else { format!("#{position}") };
        self.key = format!("{parent}{{{}}}{mark}", own.join(","));
        let mut seen: BTreeMap<Vec<String>, usize> = BTreeMap::new();
        let parent = format!("{}/", self.key);
        for route in &mut self.routes {
            let matchers: Vec<String> = route.matchers.iter().map(ToString::to_string).collect();
            let count = seen.entry(matchers).or_default();
            route.name(&parent, *count);
            *count += 1;
        }
    }

    fn collect<'r>(&'r self, labels: &BTreeMap<String, String>, found: &mut Vec<&'r Self>) -> bool {
        if !all_match(&self.matchers, labels) {
            return false;
        }
        let mut taken = false;
        for route in &self.routes {
            if route.collect(labels, found) {
                taken = true;
                if !route.go_on {
                    break;
                }
            }
        }
        if !taken {
            found.push(self);
        }
        true
    }

    fn find(&self, key: &str) -> Option<&Self> {
        if self.key == key {
            return Some(self);
        }
        self.routes.iter().filter(|route| key.starts_with(route.key.as_str())).find_map(|route| route.find(key))
    }

    /// What the alerts of a group have in common under this route.
    pub(super) fn group_labels(&self, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        match &self.group_by {
            GroupBy::All => labels.clone(),
            GroupBy::Labels(names) => {
                let label = |name: &String| Some((name.clone(), labels.get(name)?.clone()));
                names.iter().filter_map(label).collect()
            }
        }
    }
}

impl Policy {
    /// A policy of these trees and nothing else.
    pub fn new(mut roots: Vec<Route>) -> Self {
        for (at, root) in roots.iter_mut().enumerate() {
            root.name("", at);
        }
        Self {
            roots,
            inhibitions: Vec::new(),
            intervals: BTreeMap::new(),
            digest_over: 20,
            silence_reminder: Span::DAY.times(7),
            level: BTreeSet::new(),
        }
    }

    /// Asks one more tree for every alert.
    pub fn add_root(&mut self, mut root: Route) {
        root.name("", self.roots.len());
        self.roots.push(root);
    }

    /// The configured tree, where there is one.
    pub fn root(&self) -> Option<&Route> {
        self.roots.first()
    }

    /// The routes that tell of an alert with these labels.
    pub fn routes_of(&self, labels: &BTreeMap<String, String>) -> Vec<&Route> {
        let mut found = Vec::new();
        for root in &self.roots {
            root.collect(labels, &mut found);
        }
        found
    }

    /// Who is told of an alert with these labels at first, in the order of the tree.
    pub fn receivers_of(&self, labels: &BTreeMap<String, String>) -> Vec<&str> {
        self.routes_of(labels).into_iter().flat_map(|route| route.receivers.iter().map(String::as_str)).collect()
    }

    /// The route of a key.
    pub(super) fn find(&self, key: &str) -> Option<&Route> {
        self.roots.iter().find_map(|root| root.find(key))
    }

    /// Whether a route says nothing at this time.
    pub(super) fn is_mute(&self, route: &Route, now: Timestamp) -> bool {
        let within = |name: &String| {
            self.intervals.get(name).is_some_and(|list| list.iter().any(|interval| interval.contains(now)))
        };
        route.mute.iter().any(within) || (!route.active.is_empty() && !route.active.iter().any(within))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    fn route(receiver: &str, matcher: &str, go_on: bool, routes: Vec<Route>) -> Route {
        let matchers = if matcher.is_empty() { Vec::new() } else { vec![matcher.parse().unwrap()] };
        Route { matchers, go_on, routes, ..Route::to(receiver, &[], Pace::default()) }
    }

    #[test]
    fn alerts_go_down_as_in_alertmanager() {
        let policy = Policy::new(vec![route(
            "default",
            "",
            false,
            vec![
                route("log", "severity=~\".+\"", true, Vec::new()),
                route(
                    "invoices",
                    "team=invoices",
                    false,
                    vec![
                        route("invoices-pager", "severity=critical", false, Vec::new()),
                        route("invoices-pager-2", "severity=critical", false, Vec::new()),
                    ],
                ),
                route("never", "team=invoices", false, Vec::new()),
            ],
        )]);
        let told = |pairs: &[(&str, &str)]| policy.receivers_of(&labels(pairs)).join(" ");
        assert_eq!(told(&[]), "default");
        assert_eq!(told(&[("severity", "info")]), "log");
        assert_eq!(told(&[("team", "invoices")]), "invoices");
        assert_eq!(told(&[("team", "invoices"), ("severity", "critical")]), "log invoices-pager");
        let keys: Vec<&str> =
            policy.routes_of(&labels(&[("team", "invoices")])).iter().map(|r| r.key.as_str()).collect();
        assert_eq!(keys, ["{}/{team=\"invoices\"}"]);
        for key in ["{}", "{}/{team=\"invoices\"}#1", "{}/{team=\"invoices\"}/{severity=\"critical\"}#1"] {
            assert_eq!(policy.find(key).map(|route| route.key.as_str()), Some(key));
        }
        assert_eq!(policy.find("{}/{team=\"x\"}"), None);
    }
}

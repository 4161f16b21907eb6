//! `route`, `inhibit_rules` and `time_intervals` of the configuration -> a [`Policy`]. Keys and meaning are
//! Alertmanager's; children inherit what they do not say.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::engine::route::{Escalation, GroupBy, Inhibition, Interval, Matcher, Pace, Policy, RawInterval, Route};
use crate::engine::units::Span;

/// Deepest tree.
const MAX_DEPTH: usize = 16;
/// Labels that a group forms on where the configuration does not say.
const GROUP_BY: [&str; 2] = ["alertname", "agent"];

/// A route as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    receiver: Option<RawNames>,
    #[serde(default)]
    matchers: Vec<String>,
    #[serde(default, rename = "continue")]
    go_on: bool,
    group_by: Option<Vec<String>>,
    group_wait: Option<String>,
    group_interval: Option<String>,
    repeat_interval: Option<String>,
    #[serde(default)]
    mute_time_intervals: Vec<String>,
    #[serde(default)]
    active_time_intervals: Vec<String>,
    escalate: Option<RawEscalation>,
    #[serde(default)]
    routes: Vec<Self>,
}

/// One receiver or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum RawNames {
    One(String),
    Several(Vec<String>),
}

/// Who is told when nobody acknowledges.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEscalation {
    after: String,
    receiver: RawNames,
}

/// An inhibition as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawInhibition {
    source_matchers: Vec<String>,
    target_matchers: Vec<String>,
    #[serde(default)]
    equal: Vec<String>,
}

/// A named time interval as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNamedInterval {
    name: String,
    time_intervals: Vec<RawInterval>,
}

impl RawNames {
    fn list(&self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name.clone()],
            Self::Several(names) => names.clone(),
        }
    }
}

/// Everything of the configuration that the policy is made of.
pub(super) struct RawPolicy {
    pub(super) route: Option<RawRoute>,
    pub(super) inhibit_rules: Vec<RawInhibition>,
    pub(super) time_intervals: Vec<RawNamedInterval>,
    pub(super) digest_over: Option<usize>,
    pub(super) silence_reminder: Option<String>,
}

impl RawPolicy {
    /// The policy. `receivers` are those that there are, with whether each keeps alerts itself.
    pub(super) fn check(self, receivers: &[(String, bool)], faults: &mut Vec<String>) -> Policy {
        let mut intervals: BTreeMap<String, Vec<Interval>> = BTreeMap::new();
        for named in &self.time_intervals {
            let list = named.time_intervals.iter().filter_map(|raw| {
                Interval::new(raw).map_err(|e| faults.push(format!("time_intervals: `{}`: {e}", named.name))).ok()
            });
            if intervals.insert(named.name.clone(), list.collect()).is_some() {
                faults.push(format!("time_intervals: `{}` stands twice; names must differ", named.name));
            }
        }
        let names: BTreeSet<&str> = receivers.iter().map(|(name, _)| name.as_str()).collect();
        let level = receivers.iter().filter(|(_, level)| *level).map(|(name, _)| name.as_str()).collect();
        let mut check = Check { receivers: &names, level: &level, intervals: &intervals, faults };
        let root = self.route.map(|raw| check.root(raw));
        let inhibitions = self.inhibit_rules.iter().filter_map(|raw| check.inhibition(raw)).collect();
        let reminder = self.silence_reminder.map(|text| check.span("silence_reminder", &text));
        let mut policy = Policy::new(root.into_iter().collect());
        policy.inhibitions = inhibitions;
        policy.level = receivers.iter().filter(|(_, level)| *level).map(|(name, _)| name.clone()).collect();
        policy.silence_reminder = reminder.unwrap_or(policy.silence_reminder);
        if let Some(most) = self.digest_over {
            if !(1..=500).contains(&most) {
                faults.push(format!("digest_over is {most}; expected 1 to 500 messages a minute"));
            }
            policy.digest_over = most;
        }
        policy.intervals = intervals;
        policy
    }
}

/// What routes are checked against.
struct Check<'c> {
    receivers: &'c BTreeSet<&'c str>,
    /// Those that keep alerts themselves.
    level: &'c BTreeSet<&'c str>,
    intervals: &'c BTreeMap<String, Vec<Interval>>,
    faults: &'c mut Vec<String>,
}

impl Check<'_> {
    fn root(&mut self, raw: RawRoute) -> Route {
        if raw.receiver.as_ref().is_none_or(|names| names.list().is_empty()) {
            self.faults.push("route has no receiver: name who is told of what no other route takes".to_owned());
        }
        for (key, given) in [
            ("matchers", !raw.matchers.is_empty()),
            ("continue", raw.go_on),
            ("mute_time_intervals", !raw.mute_time_intervals.is_empty()),
            ("active_time_intervals", !raw.active_time_intervals.is_empty()),
        ] {
            if given {
                self.faults.push(format!("route.{key}: the first route takes every alert; move it into `routes`"));
            }
        }
        let nobody = Route { receivers: Vec::new(), ..Route::to("", &GROUP_BY, Pace::default()) };
        self.route(raw, &nobody, "route", 0)
    }

    fn route(&mut self, raw: RawRoute, parent: &Route, path: &str, depth: usize) -> Route {
        let receivers = raw.receiver.as_ref().map_or_else(|| parent.receivers.clone(), RawNames::list);
        self.known(&format!("{path}.receiver"), &receivers);
        let mut pace = parent.pace;
        for (key, text, span) in [
            ("group_wait", &raw.group_wait, &mut pace.wait),
            ("group_interval", &raw.group_interval, &mut pace.interval),
            ("repeat_interval", &raw.repeat_interval, &mut pace.repeat),
        ] {
            if let Some(text) = text {
                *span = self.span(&format!("{path}.{key}"), text);
            }
        }
        if raw.repeat_interval.is_some() && pace.repeat < Span::MINUTE {
            self.faults.push(format!("{path}.repeat_interval is {}; at least 1m", pace.repeat));
        }
        let group_by = match raw.group_by {
            None => parent.group_by.clone(),
            Some(names) if names == ["..."] => GroupBy::All,
            Some(names) => {
                if names.iter().any(|name| name == "...") {
                    self.faults.push(format!("{path}.group_by: `...` means all labels and stands alone"));
                }
                GroupBy::Labels(names)
            }
        };
        for (key, names) in
            [("mute_time_intervals", &raw.mute_time_intervals), ("active_time_intervals", &raw.active_time_intervals)]
        {
            for name in names.iter().filter(|name| !self.intervals.contains_key(*name)) {
                self.faults.push(format!("{path}.{key}: `{name}` is not among the time_intervals"));
            }
        }
        let mut route = Route {
            receivers,
            matchers: self.matchers(&format!("{path}.matchers"), &raw.matchers),
            go_on: raw.go_on,
            group_by,
            pace,
            mute: raw.mute_time_intervals,
            active: raw.active_time_intervals,
            escalation: raw.escalate.map_or_else(|| parent.escalation.clone(), |raw| Some(self.escalation(path, &raw))),
            ..Route::to("", &[], pace)
        };
        if depth >= MAX_DEPTH {
            self.faults.push(format!("{path}: routes lie more than {MAX_DEPTH} deep"));
            return route;
        }
        let children = raw.routes.into_iter().enumerate();
        route.routes =
            children.map(|(at, raw)| self.route(raw, &route, &format!("{path}.routes[{at}]"), depth + 1)).collect();
        route
    }

    fn escalation(&mut self, path: &str, raw: &RawEscalation) -> Escalation {
        let receivers = raw.receiver.list();
        self.known(&format!("{path}.escalate.receiver"), &receivers);
        for name in receivers.iter().filter(|name| self.level.contains(name.as_str())) {
            self.faults.push(format!(
                "{path}.escalate.receiver: `{name}` is an Alertmanager, which escalates by itself; give it a route of its own"
            ));
        }
        let after = self.span(&format!("{path}.escalate.after"), &raw.after);
        if after < Span::MINUTE {
            self.faults.push(format!("{path}.escalate.after is {after}; at least 1m"));
        }
        Escalation { after, receivers }
    }

    fn inhibition(&mut self, raw: &RawInhibition) -> Option<Inhibition> {
        let source = self.matchers("inhibit_rules.source_matchers", &raw.source_matchers);
        let target = self.matchers("inhibit_rules.target_matchers", &raw.target_matchers);
        if source.is_empty() || target.is_empty() {
            self.faults.push("inhibit_rules: source_matchers and target_matchers both need a matcher".to_owned());
            return None;
        }
        Some(Inhibition { source, target, equal: raw.equal.clone() })
    }

    fn known(&mut self, path: &str, names: &[String]) {
        if names.is_empty() && !path.starts_with("route.receiver") {
            self.faults.push(format!("{path} is an empty list: name who is told"));
        }
        for name in names.iter().filter(|name| !self.receivers.contains(name.as_str())) {
            self.faults.push(format!("{path}: `{name}` is not among the receivers"));
        }
    }

    fn matchers(&mut self, path: &str, texts: &[String]) -> Vec<Matcher> {
        let read = |text: &String| text.parse().map_err(|e| self.faults.push(format!("{path}: {e}"))).ok();
        texts.iter().filter_map(read).collect()
    }

    fn span(&mut self, path: &str, text: &str) -> Span {
        text.parse().unwrap_or_else(|error| {
            self.faults.push(format!("{path}: {error}"));
            Span::ZERO
        })
    }
}

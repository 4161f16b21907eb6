//! How many alerts a rule set raised a week, beside what it promised.

use std::collections::BTreeMap;

use serde::Serialize;

use super::incident::{Incident, explained};
use super::{Finding, Replay};
use crate::engine::detect::design::interval::poisson;
use crate::engine::rule::{Bound, Rule};
use crate::engine::units::{Span, Timestamp};

/// How sure the intervals of rates are.
const CONFIDENCE: f64 = 0.95;

/// The alerts of one rule, or of all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tally {
    /// The rule's id, or `all rules`.
    pub rule: String,
    /// How many fired: outside every incident where incidents are known, otherwise all.
    pub alarms: u64,
    /// As many a week of stream time; nothing where no time was watched.
    pub per_week: Option<f64>,
    /// Garwood's exact 95 % interval of that.
    pub interval: Option<[f64; 2]>,
    /// False alarms a week that the charts' limits promise over the same records.
    pub promised_per_week: Option<f64>,
}

/// The alerts of all rules.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tallies {
    /// Weeks of stream time that were watched: from the first chart with a limit to the last record.
    pub weeks: f64,
    /// Each rule, in the order of the set.
    pub rules: Vec<Tally>,
    /// All of them. A chart that two rules read promises once.
    pub total: Tally,
}

/// The part of a replay in which alerts could fire: from, and how long.
pub(super) fn watched(replay: &Replay, first: Option<Timestamp>) -> Span {
    // Rules without charts watch from the first record; a chart that never had a limit watched nothing.
    let rules = &replay.engine().rules().rules;
    let chartless = |rule: &Rule| matches!(rule.detect.bound, Bound::Absence(_) | Bound::Burn(_));
    let first = first.filter(|_| rules.iter().any(chartless));
    match (replay.watched_from().or(first), replay.now()) {
        (Some(from), Some(to)) => to.since(from),
        _ => Span::ZERO,
    }
}

impl Tallies {
    /// The alerts of a replay that lie outside these incidents, whose first record has the time `first`.
    pub(super) fn of(replay: &Replay, incidents: &[Incident], first: Option<Timestamp>) -> Self {
        let weeks = watched(replay, first).as_days_f64() / 7.0;
        let promised = replay.promised_by_rule();
        let mut alarms: BTreeMap<&str, u64> = BTreeMap::new();
        let unexplained: Vec<&Finding> = replay.findings().filter(|f| !explained(f, incidents)).collect();
        for finding in &unexplained {
            *alarms.entry(&finding.rule).or_default() += 1;
        }
        let rules = &replay.engine().rules().rules;
        let tally = |rule: &str, n: u64, promised: f64| Tally::of(rule, n, promised, weeks);
        let each = |id: &String| {
            tally(id, alarms.get(id.as_str()).copied().unwrap_or(0), promised.get(id).copied().unwrap_or(0.0))
        };
        Self {
            weeks,
            rules: rules.iter().map(|rule| each(&rule.id)).collect(),
            total: tally("all rules", unexplained.len() as u64, replay.engine().promised().so_far),
        }
    }
}

impl Tally {
    pub(super) fn of(rule: &str, alarms: u64, promised: f64, weeks: f64) -> Self {
        let a_week = |x: f64| (weeks > 0.0).then(|| x / weeks);
        let interval = poisson(alarms, CONFIDENCE);
        Self {
            rule: rule.to_owned(),
            alarms,
            per_week: a_week(interval.value),
            interval: a_week(interval.low).zip(a_week(interval.high)).map(|(low, high)| [low, high]),
            promised_per_week: a_week(promised),
        }
    }
}

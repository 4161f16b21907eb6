//! Two rule sets over the same records: which alerts one has and the other has not, and which fire earlier or later.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Finding;
use super::incident::{Incident, explained, text};
use super::tally::Tallies;
use crate::engine::detect::design::interval::sign_test;
use crate::engine::rule::RuleSet;
use crate::engine::units::Timestamp;

/// An alert that both rule sets raise, at different times.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moved {
    /// The alert's name.
    pub alert: String,
    /// Its stream.
    pub stream: BTreeMap<String, String>,
    /// When it fired under the old rules.
    pub old_at: String,
    /// When it fires under the new ones.
    pub new_at: String,
    /// `1h later`, `30m earlier`.
    pub by: String,
    /// The same in milliseconds; negative is earlier.
    pub by_ms: i64,
    /// Outputs of the stream in between; negative is earlier.
    pub by_outputs: i64,
    /// Labelled outputs of the stream in between; negative is earlier.
    pub by_labels: i64,
}

/// Whether the two sets differ by more than chance in how often they alarm, judged by the alarms that only one of them
/// has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Paired {
    /// Alarms of the new rules alone.
    pub only_new: u64,
    /// Alarms of the old rules alone.
    pub only_old: u64,
    /// The exact sign test of the two numbers: the chance of so uneven a split where neither set alarms more often. Takes
    /// alarms as independent, which alarms of one stream are not; then it is too small.
    pub p_value: f64,
}

/// How a rule set differs from another on the same records.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Rules that only the new set has.
    pub rules_added: Vec<String>,
    /// Rules that only the old set has.
    pub rules_removed: Vec<String>,
    /// Alerts of the new rules without a counterpart.
    pub added: Vec<Finding>,
    /// Alerts of the old rules without a counterpart.
    pub removed: Vec<Finding>,
    /// Alerts of both at different times.
    pub moved: Vec<Moved>,
    /// Alerts of both at the same time.
    pub same: u64,
    /// Which of them alarms more often.
    pub paired: Paired,
    /// What the old rules cost.
    pub old: Tallies,
}

/// Pairs every alert of the new rules with one of the old: same rule, same stream, firing at the same time at some moment,
/// the nearest in time where there are several.
fn pairs<'f>(new: &[&'f Finding], old: &[&'f Finding]) -> Vec<(Option<&'f Finding>, Option<&'f Finding>)> {
    let end = |f: &Finding| f.ended.unwrap_or(Timestamp::MAX);
    let mut left: Vec<&Finding> = old.to_vec();
    let mut pairs = Vec::new();
    for finding in new {
        let overlaps = |other: &Finding| {
            other.rule == finding.rule
                && other.stream == finding.stream
                && other.fired <= end(finding)
                && finding.fired <= end(other)
        };
        let apart = |other: &Finding| other.fired.since(finding.fired).as_millis().abs();
        let best = left.iter().enumerate().filter(|(_, f)| overlaps(f)).min_by_key(|(_, f)| apart(f)).map(|(at, _)| at);
        pairs.push((Some(*finding), best.map(|at| left.remove(at))));
    }
    pairs.extend(left.into_iter().map(|finding| (None, Some(finding))));
    pairs
}

impl Comparison {
    /// Compares what two rule sets found in the same records; alarms are what lies outside `incidents`.
    pub(super) fn of(
        (new, new_rules): (&[&Finding], &RuleSet),
        (old, old_rules): (&[&Finding], &RuleSet),
        tallies: Tallies,
        incidents: &[Incident],
    ) -> Self {
        let lacks = |set: &RuleSet, id: &str| set.rules.iter().all(|rule| rule.id != id);
        let only = |set: &RuleSet, other: &RuleSet| {
            set.rules.iter().filter(|rule| lacks(other, &rule.id)).map(|rule| rule.id.clone()).collect()
        };
        let mut comparison = Self {
            rules_added: only(new_rules, old_rules),
            rules_removed: only(old_rules, new_rules),
            added: Vec::new(),
            removed: Vec::new(),
            moved: Vec::new(),
            same: 0,
            paired: Paired { only_new: 0, only_old: 0, p_value: 1.0 },
            old: tallies,
        };
        for (new, old) in pairs(new, old) {
            let is_false = |side: Option<&Finding>| side.is_some_and(|finding| !explained(finding, incidents));
            match (is_false(new), is_false(old)) {
                (true, false) => comparison.paired.only_new += 1,
                (false, true) => comparison.paired.only_old += 1,
                _ => {}
            }
            match (new, old) {
                (Some(new), Some(old)) if new.fired == old.fired => comparison.same += 1,
                (Some(new), Some(old)) => comparison.moved.push(Moved::of(new, old)),
                (Some(new), None) => comparison.added.push(new.clone()),
                (None, Some(old)) => comparison.removed.push(old.clone()),
                (None, None) => {}
            }
        }
        comparison.paired.p_value = sign_test(comparison.paired.only_new, comparison.paired.only_old);
        comparison
    }
}

impl Moved {
    fn of(new: &Finding, old: &Finding) -> Self {
        let by = new.fired.since(old.fired).as_millis();
        let direction = if by < 0 { "earlier" } else { "later" };
        Self {
            alert: new.alert.clone(),
            stream: new.stream.clone(),
            old_at: old.at.clone(),
            new_at: new.at.clone(),
            by: format!("{} {direction}", text(by.abs())),
            by_ms: by,
            by_outputs: new.outputs as i64 - old.outputs as i64,
            by_labels: new.labels as i64 - old.labels as i64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::finding;
    use super::*;

    fn seconds(f: Option<&Finding>) -> Option<(&str, i64)> {
        f.map(|f| (f.rule.as_str(), f.fired.as_millis() / 1_000))
    }

    #[test]
    fn alerts_pair_by_rule_stream_and_overlap_and_each_once() {
        let old = [
            finding("g/A", "a", (100, Some(200))),
            finding("g/A", "a", (300, Some(400))),
            finding("g/A", "b", (100, None)),
            finding("g/B", "a", (100, None)),
        ];
        let new = [
            // Overlaps the first and the second: the nearer start wins.
            finding("g/A", "a", (150, Some(310))),
            // Ended before the second began.
            finding("g/A", "a", (210, Some(220))),
            finding("g/A", "b", (100, None)),
            finding("g/C", "a", (100, None)),
        ];
        let (new, old): (Vec<&Finding>, Vec<&Finding>) = (new.iter().collect(), old.iter().collect());
        let found: Vec<_> = pairs(&new, &old).into_iter().map(|(new, old)| (seconds(new), seconds(old))).collect();
        assert_eq!(
            found,
            [
                (Some(("g/A", 150)), Some(("g/A", 100))),
                (Some(("g/A", 210)), None),
                (Some(("g/A", 100)), Some(("g/A", 100))),
                (Some(("g/C", 100)), None),
                (None, Some(("g/A", 300))),
                (None, Some(("g/B", 100))),
            ]
        );
        let moved = Moved::of(new[0], old[0]);
        assert_eq!((moved.by.as_str(), moved.by_outputs, moved.by_labels), ("50s later", 50, 25));
        assert_eq!(Moved::of(old[0], new[0]).by, "50s earlier");
    }
}

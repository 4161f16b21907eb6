//! Inhibition: alerts that are not told while others fire.
//!
//! As in Alertmanager: a source that fires keeps every target quiet that agrees with it in the labels of `equal`, labels
//! that neither has included. An alert that is both source and target of a rule is not kept quiet by its like.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::matcher::all_match;
use super::policy::{Inhibition, Policy};

/// How many alerts that fire have which values in the labels of `equal` of each rule: of those that are sources only, and
/// of all.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Inhibited {
    by_rule: Vec<Sources>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Sources {
    all: BTreeMap<Vec<String>, usize>,
    only_sources: BTreeMap<Vec<String>, usize>,
}

impl Inhibited {
    /// Nothing fires.
    pub(super) fn new(rules: &[Inhibition]) -> Self {
        Self { by_rule: vec![Sources::default(); rules.len()] }
    }

    /// These fire.
    fn by(rules: &[Inhibition], firing: &[&BTreeMap<String, String>]) -> Self {
        let mut inhibited = Self::new(rules);
        for labels in firing {
            inhibited.add(rules, labels);
        }
        inhibited
    }

    /// An alert begins to fire.
    pub(super) fn add(&mut self, rules: &[Inhibition], labels: &BTreeMap<String, String>) {
        self.each(rules, labels, |counts, key| *counts.entry(key).or_default() += 1);
    }

    /// An alert that was added fires no more.
    pub(super) fn remove(&mut self, rules: &[Inhibition], labels: &BTreeMap<String, String>) {
        self.each(rules, labels, |counts, key| {
            if let Entry::Occupied(mut count) = counts.entry(key) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        });
    }

    fn each(
        &mut self,
        rules: &[Inhibition],
        labels: &BTreeMap<String, String>,
        mut change: impl FnMut(&mut BTreeMap<Vec<String>, usize>, Vec<String>),
    ) {
        for (rule, sources) in rules.iter().zip(&mut self.by_rule) {
            if all_match(&rule.source, labels) {
                if !all_match(&rule.target, labels) {
                    change(&mut sources.only_sources, key(rule, labels));
                }
                change(&mut sources.all, key(rule, labels));
            }
        }
    }

    /// Whether an alert is kept quiet.
    pub(super) fn holds(&self, rules: &[Inhibition], labels: &BTreeMap<String, String>) -> bool {
        rules.iter().zip(&self.by_rule).any(|(rule, sources)| {
            let of = if all_match(&rule.source, labels) { &sources.only_sources } else { &sources.all };
            !of.is_empty() && all_match(&rule.target, labels) && of.contains_key(&key(rule, labels))
        })
    }
}

impl Policy {
    /// Which of these alerts, all of which fire, are kept quiet by others of them; in their order.
    pub fn inhibited(&self, firing: &[&BTreeMap<String, String>]) -> Vec<bool> {
        let inhibited = Inhibited::by(&self.inhibitions, firing);
        firing.iter().map(|labels| inhibited.holds(&self.inhibitions, labels)).collect()
    }
}

fn key(rule: &Inhibition, labels: &BTreeMap<String, String>) -> Vec<String> {
    rule.equal.iter().map(|name| labels.get(name).cloned().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_keeps_its_equals_quiet_and_nobody_itself() {
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
        };
        let rules = [Inhibition {
            source: vec!["severity=critical".parse().unwrap()],
            target: vec!["severity=~\"warning|critical\"".parse().unwrap()],
            equal: vec!["agent".to_owned(), "task".to_owned()],
        }];
        let critical = labels(&[("severity", "critical"), ("agent", "a")]);
        let warning = |agent: &str| labels(&[("severity", "warning"), ("agent", agent)]);
        let quiet = |firing: &[BTreeMap<String, String>], labels: &BTreeMap<String, String>| {
            Inhibited::by(&rules, &firing.iter().collect::<Vec<_>>()).holds(&rules, labels)
        };
        let both = [critical.clone(), warning("a")];
        assert!(quiet(&both, &warning("a")));
        assert!(!quiet(&both, &warning("b")));
        assert!(!quiet(&both, &critical), "it matches both sides and is not kept quiet by its like");
        assert!(!quiet(&[warning("a")], &warning("a")));
    }
}

//! Inhibition: alerts that are not told while others fire.
//!
//! As in Alertmanager: a source that fires keeps every target quiet that agrees with it in the labels of `equal`, labels
//! that neither has included. An alert that is both source and target of a rule is not kept quiet by its like.

use std::collections::{BTreeMap, BTreeSet};

use super::matcher::all_match;
use super::policy::{Inhibition, Policy};

/// The values that sources of each rule have in the labels of `equal`: those that are sources only, and all.
#[derive(Debug, Default)]
pub(super) struct Inhibited {
    by_rule: Vec<Sources>,
}

#[derive(Debug, Default)]
struct Sources {
    all: BTreeSet<Vec<String>>,
    only_sources: BTreeSet<Vec<String>>,
}

impl Inhibited {
    /// What the alerts that fire keep quiet.
    pub(super) fn by(rules: &[Inhibition], firing: &[&BTreeMap<String, String>]) -> Self {
        let sources = |rule: &Inhibition| {
            let mut sources = Sources::default();
            for labels in firing.iter().filter(|labels| all_match(&rule.source, labels)) {
                let key = key(rule, labels);
                if !all_match(&rule.target, labels) {
                    sources.only_sources.insert(key.clone());
                }
                sources.all.insert(key);
            }
            sources
        };
        Self { by_rule: rules.iter().map(sources).collect() }
    }

    /// Whether an alert is kept quiet.
    pub(super) fn holds(&self, rules: &[Inhibition], labels: &BTreeMap<String, String>) -> bool {
        rules.iter().zip(&self.by_rule).any(|(rule, sources)| {
            let of = if all_match(&rule.source, labels) { &sources.only_sources } else { &sources.all };
            !of.is_empty() && all_match(&rule.target, labels) && of.contains(&key(rule, labels))
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

//! Which rules watch a stream, and which chart each of them reads: the same list for all streams that the same rules watch, kept
//! once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::alert::Id;
use super::rule::RuleSet;

/// A rule that watches a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    /// Its place in the rule set.
    pub(super) rule: usize,
    /// The definition of its chart.
    pub(super) chart: Id,
    /// Where the chart stands among those of a stream that is watched by just these rules.
    pub(super) place: usize,
    /// Whether no earlier rule reads the same chart.
    pub(super) first: bool,
}

/// The lists of an engine's streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Watches {
    /// Definitions of the charts of a rule set, by rule.
    definitions: Vec<Id>,
    /// The set that they are of.
    of: Option<Id>,
    /// By the rules that they are of, and their charts.
    known: BTreeMap<Vec<(usize, Id)>, Arc<[Watched]>>,
}

impl Watches {
    /// The rules that watch a stream with these labels.
    pub(super) fn of(&mut self, rules: &RuleSet, labels: &BTreeMap<String, String>) -> Arc<[Watched]> {
        if self.of != Some(rules.hash) {
            self.definitions = rules.rules.iter().map(|rule| rule.detect.definition()).collect();
            self.of = Some(rules.hash);
            self.known.clear();
        }
        let charts = rules.rules.iter().zip(&self.definitions).enumerate();
        let watching = charts.filter(|(_, (rule, _))| rule.matches(labels)).map(|(at, (_, chart))| (at, *chart));
        Arc::clone(self.known.entry(watching.collect()).or_insert_with_key(|watching| list(watching)))
    }
}

/// The list of these rules with their charts.
fn list(watching: &[(usize, Id)]) -> Arc<[Watched]> {
    let charts: BTreeSet<Id> = watching.iter().map(|(_, chart)| *chart).collect();
    let charts: Vec<Id> = charts.into_iter().collect();
    let mut seen = BTreeSet::new();
    let watched = watching.iter().map(|(rule, chart)| Watched {
        rule: *rule,
        chart: *chart,
        place: charts.binary_search(chart).unwrap_or_default(),
        first: seen.insert(*chart),
    });
    watched.collect()
}

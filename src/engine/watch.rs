//! Which rules watch a stream, and which chart each of them reads: the same list for all streams that the same rules watch, kept
//! once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::alert::Id;
use super::rule::{Bound, Detect, Measure, RuleSet, is_word};

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
    /// Whether its alert may begin though no event comes: silence, volume, a burn rate on windows that move on.
    pub(super) timed: bool,
}

/// The definition of a rule's chart, and whether the rule is a timed one.
type Definition = (Id, bool);

/// The lists of an engine's streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Watches {
    /// By rule.
    definitions: Vec<Definition>,
    /// The set that they are of.
    of: Option<Id>,
    /// The rules that may watch any stream, and those that ask for one value of a label, by the label and the value: there may be
    /// thousands, and a stream has three labels.
    any: Vec<usize>,
    named: BTreeMap<String, BTreeMap<String, Vec<usize>>>,
    /// By the rules that they are of, and their charts.
    known: BTreeMap<Vec<(usize, Definition)>, Arc<[Watched]>>,
}

impl Watches {
    /// The rules that watch a stream with these labels.
    pub(super) fn of(&mut self, rules: &RuleSet, labels: &BTreeMap<String, String>) -> Arc<[Watched]> {
        if self.of != Some(rules.hash) {
            self.read(rules);
        }
        let named = labels.iter().filter_map(|(name, value)| self.named.get(name)?.get(value)).flatten();
        let mut watching: Vec<usize> = self.any.iter().chain(named).copied().collect();
        watching.sort_unstable();
        watching.retain(|at| rules.rules.get(*at).is_some_and(|rule| rule.matches(labels)));
        let with_chart = |at: usize| Some((at, *self.definitions.get(at)?));
        let watching = watching.into_iter().filter_map(with_chart).collect();
        Arc::clone(self.known.entry(watching).or_insert_with_key(|watching| list(watching)))
    }

    fn read(&mut self, rules: &RuleSet) {
        *self = Self { of: Some(rules.hash), ..Self::default() };
        for (at, rule) in rules.rules.iter().enumerate() {
            self.definitions.push((rule.detect.definition(), is_timed(&rule.detect)));
            match rule.selector.iter().find(|(_, glob)| is_word(glob)) {
                Some((name, value)) => {
                    let values = self.named.entry(name.clone()).or_default();
                    values.entry(value.clone()).or_default().push(at);
                }
                None => self.any.push(at),
            }
        }
    }
}

fn is_timed(detect: &Detect) -> bool {
    match detect.bound {
        Bound::Absence(_) | Bound::Burn(_) => true,
        Bound::Drop(_) | Bound::Rise(_) | Bound::Target(_) | Bound::Limit(_) | Bound::Shape => {
            detect.measure == Measure::Volume
        }
    }
}

/// The list of these rules with their charts.
fn list(watching: &[(usize, Definition)]) -> Arc<[Watched]> {
    let charts: BTreeSet<Id> = watching.iter().map(|(_, (chart, _))| *chart).collect();
    let charts: Vec<Id> = charts.into_iter().collect();
    let mut seen = BTreeSet::new();
    let watched = watching.iter().map(|(rule, (chart, timed))| Watched {
        rule: *rule,
        chart: *chart,
        place: charts.binary_search(chart).unwrap_or_default(),
        first: seen.insert(*chart),
        timed: *timed,
    });
    watched.collect()
}

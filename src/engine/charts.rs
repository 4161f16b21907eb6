//! The charts of one stream by the identity of their definition: in one piece of memory, for there are many streams. Those that wait
//! for a baseline know nothing, and are kept nowhere.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::alert::Id;
use super::chart::Chart;

static WAITING: LazyLock<Chart> = LazyLock::new(Chart::waiting);

/// Charts in the order of their ids. A map keeps room for eleven where it has one; a stream has a dozen, once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Charts(Vec<(Id, Chart)>);

impl Charts {
    fn find(&self, id: Id) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(known, _)| *known)
    }

    /// The chart of that definition.
    pub fn get(&self, id: &Id) -> Option<&Chart> {
        self.find(*id).ok().and_then(|at| self.0.get(at)).map(|(_, chart)| chart)
    }

    /// The same, to be fed.
    pub fn get_mut(&mut self, id: &Id) -> Option<&mut Chart> {
        self.find(*id).ok().and_then(|at| self.0.get_mut(at)).map(|(_, chart)| chart)
    }

    /// The chart of that definition, looked for first where it stands if none of the stream's charts waits; one that waits
    /// where there is none.
    pub(super) fn at(&self, place: usize, id: &Id) -> &Chart {
        match self.0.get(place) {
            Some((known, chart)) if known == id => chart,
            _ => self.get(id).unwrap_or(&WAITING),
        }
    }

    /// The same, to be fed, where it does not wait.
    pub(super) fn at_mut(&mut self, place: usize, id: &Id) -> Option<&mut Chart> {
        let place =
            if self.0.get(place).is_some_and(|(known, _)| known == id) { place } else { self.find(*id).ok()? };
        self.0.get_mut(place).map(|(_, chart)| chart)
    }

    /// Whether there is one.
    pub fn contains_key(&self, id: &Id) -> bool {
        self.find(*id).is_ok()
    }

    /// Puts a chart there, unless it waits. The one that was there before.
    pub fn put(&mut self, id: Id, chart: Chart) -> Option<Chart> {
        match self.find(id) {
            Ok(at) if chart.detector.is_none() => Some(self.0.remove(at).1),
            Ok(at) => self.0.get_mut(at).map(|(_, known)| std::mem::replace(known, chart)),
            Err(_) if chart.detector.is_none() => None,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (id, chart));
                None
            }
        }
    }

    /// Keeps those that are asked for. The others.
    pub fn take_unless(&mut self, kept: impl Fn(&Id) -> bool) -> Vec<Chart> {
        self.0.extract_if(.., |(id, _)| !kept(id)).map(|(_, chart)| chart).collect()
    }

    /// All of them.
    pub fn values(&self) -> impl Iterator<Item = &Chart> {
        self.0.iter().map(|(_, chart)| chart)
    }

    /// The same, to be fed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Chart> {
        self.0.iter_mut().map(|(_, chart)| chart)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::detect::{BurnChart, Detector};
    use crate::engine::rule::{Burn, BurnRate};
    use crate::engine::units::Span;

    /// A chart that knows something.
    fn burning() -> Chart {
        let first = BurnRate { rate: 14.4, long: Span::HOUR, short: Span::MINUTE.times(5) };
        let burn = Burn { allowed: 0.01, at_least: true, first, second: None };
        let mut chart = Chart::waiting();
        chart.detector = Some(Detector::Burn(Box::new(BurnChart::new(burn))));
        chart
    }

    #[test]
    fn charts_are_found_replaced_and_taken_away_and_written_as_a_map_is() {
        let (mut charts, mut map) = (Charts::default(), BTreeMap::new());
        for id in [7_u128, 3, 9, 3] {
            let before = charts.put(Id(id), burning());
            assert_eq!(before, map.insert(Id(id), burning()));
        }
        assert_eq!(crate::engine::blob::encode(&charts), crate::engine::blob::encode(&map));
        assert!(charts.contains_key(&Id(9)) && charts.get(&Id(4)).is_none() && charts.get_mut(&Id(3)).is_some());
        assert_eq!(charts.take_unless(|id| *id == Id(3)).len(), 2);
        assert_eq!((charts.values().count(), charts.values_mut().count()), (1, 1));
    }

    #[test]
    fn a_chart_that_waits_is_kept_nowhere_and_places_are_only_hints() {
        let mut charts = Charts::default();
        for id in [1_u128, 5, 9] {
            assert_eq!(charts.put(Id(id), burning()), None);
        }
        assert_eq!(charts.put(Id(4), Chart::waiting()), None);
        assert_eq!(charts.put(Id(5), Chart::waiting()), Some(burning()));
        assert_eq!(charts.values().count(), 2);
        for place in 0..4 {
            assert_eq!((charts.at(place, &Id(9)), charts.at(place, &Id(5))), (&burning(), &Chart::waiting()));
            assert!(charts.at_mut(place, &Id(1)).is_some() && charts.at_mut(place, &Id(4)).is_none());
        }
    }
}

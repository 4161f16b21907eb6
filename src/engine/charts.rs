//! The charts of one stream by the identity of their definition: in one piece of memory, for there are many streams.

use serde::{Deserialize, Serialize};

use super::alert::Id;
use super::chart::Chart;

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

    /// The chart of that definition, looked for first where it stands if the stream's rules have not changed.
    pub(super) fn at(&self, place: usize, id: &Id) -> Option<&Chart> {
        match self.0.get(place) {
            Some((known, chart)) if known == id => Some(chart),
            _ => self.get(id),
        }
    }

    /// The same, to be fed.
    pub(super) fn at_mut(&mut self, place: usize, id: &Id) -> Option<&mut Chart> {
        let place =
            if self.0.get(place).is_some_and(|(known, _)| known == id) { place } else { self.find(*id).ok()? };
        self.0.get_mut(place).map(|(_, chart)| chart)
    }

    /// Whether there is one.
    pub fn contains_key(&self, id: &Id) -> bool {
        self.find(*id).is_ok()
    }

    /// Puts a chart there. The one that was there before.
    pub fn insert(&mut self, id: Id, chart: Chart) -> Option<Chart> {
        match self.find(id) {
            Ok(at) => self.0.get_mut(at).map(|(_, known)| std::mem::replace(known, chart)),
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

    #[test]
    fn charts_are_found_replaced_and_taken_away_and_written_as_a_map_is() {
        let (mut charts, mut map) = (Charts::default(), BTreeMap::new());
        for id in [7_u128, 3, 9, 3] {
            let before = charts.insert(Id(id), Chart::waiting());
            assert_eq!(before, map.insert(Id(id), Chart::waiting()));
        }
        assert_eq!(crate::engine::blob::encode(&charts), crate::engine::blob::encode(&map));
        assert!(charts.contains_key(&Id(9)) && charts.get(&Id(4)).is_none() && charts.get_mut(&Id(3)).is_some());
        assert_eq!(charts.take_unless(|id| *id == Id(3)).len(), 2);
        assert_eq!((charts.values().count(), charts.values_mut().count()), (1, 1));
    }
}

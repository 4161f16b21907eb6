//! The panes of one width of a stream, in the order of time, and which of them have to be written down.

use std::collections::{BTreeMap, VecDeque};

use super::sketch::Pane;
use super::units::Timestamp;

/// Panes by their start, the oldest first. Nearly every event belongs to the newest, so that one is looked at first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ring(VecDeque<Slot>);

#[derive(Clone, Debug, PartialEq)]
struct Slot {
    start: Timestamp,
    /// Whether it changed since it was last written down.
    changed: bool,
    pane: Box<Pane>,
}

impl Ring {
    /// Panes that were written down.
    pub(super) fn restore(panes: BTreeMap<Timestamp, Pane>) -> Self {
        let slot = |(start, pane)| Slot { start, changed: false, pane: Box::new(pane) };
        Self(panes.into_iter().map(slot).collect())
    }

    /// The pane that begins then, to be changed; an empty one where there was none.
    pub(super) fn change(&mut self, start: Timestamp) -> &mut Pane {
        let at = match self.0.back() {
            Some(newest) if newest.start == start => self.0.len() - 1,
            Some(newest) if newest.start > start => self.0.partition_point(|slot| slot.start < start),
            _ => self.0.len(),
        };
        if self.0.get(at).is_none_or(|slot| slot.start != start) {
            self.0.insert(at, Slot { start, changed: true, pane: Box::default() });
        }
        #[expect(clippy::indexing_slicing, reason = "it was there, or was put there")]
        let slot = &mut self.0[at];
        slot.changed = true;
        &mut slot.pane
    }

    /// Takes the oldest pane where it begins by `oldest`; whether it has to be written down.
    pub(super) fn leave(&mut self, oldest: Timestamp) -> Option<(Timestamp, Pane, bool)> {
        self.0.front().filter(|slot| slot.start <= oldest)?;
        let Slot { start, changed, mut pane } = self.0.pop_front()?;
        pane.settle();
        Some((start, *pane, changed))
    }

    /// The panes that begin at `from` or later.
    pub(super) fn since(&self, from: Timestamp) -> impl Iterator<Item = (Timestamp, &Pane)> {
        self.0.range(self.0.partition_point(|slot| slot.start < from)..).map(|slot| (slot.start, &*slot.pane))
    }

    /// Whether a pane has to be written down.
    pub(super) fn is_changed(&self) -> bool {
        self.0.iter().any(|slot| slot.changed)
    }

    /// Copies of the panes that changed since this was last asked.
    pub(super) fn take_changed(&mut self) -> impl Iterator<Item = (Timestamp, Pane)> {
        self.0.iter_mut().filter(|slot| slot.changed).map(|slot| {
            slot.changed = false;
            // It is read several times from now on.
            slot.pane.settle();
            (slot.start, Pane::clone(&slot.pane))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A ring equals a map of panes with a set of those that changed.
        #[test]
        fn a_ring_is_a_map_and_a_set(steps in proptest::collection::vec((0_i64..30, 0_u8..12), 1..200)) {
            let (mut ring, mut map) = (Ring::default(), BTreeMap::<i64, (u64, bool)>::new());
            for (at, what) in steps {
                match what {
                    0 => {
                        let taken: Vec<_> = ring.take_changed().map(|(start, pane)| (start.as_millis(), pane.outputs)).collect();
                        let changed: Vec<_> = map.iter().filter(|(_, (_, c))| *c).map(|(start, (n, _))| (*start, *n)).collect();
                        prop_assert_eq!(taken, changed);
                        for (_, changed) in map.values_mut() {
                            *changed = false;
                        }
                    }
                    1 => {
                        let left = ring.leave(Timestamp::from_millis(at)).map(|(start, pane, changed)| (start.as_millis(), (pane.outputs, changed)));
                        let first = map.first_key_value().map(|(start, of)| (*start, *of)).filter(|(start, _)| *start <= at);
                        prop_assert_eq!(left, first);
                        first.map(|(start, _)| map.remove(&start));
                    }
                    _ => {
                        ring.change(Timestamp::from_millis(at)).outputs += 1;
                        let (n, changed) = map.entry(at).or_default();
                        (*n, *changed) = (*n + 1, true);
                    }
                }
                prop_assert_eq!(ring.is_changed(), map.values().any(|(_, changed)| *changed));
                let since: Vec<_> = ring.since(Timestamp::from_millis(at)).map(|(start, pane)| (start.as_millis(), pane.outputs)).collect();
                prop_assert_eq!(since, map.range(at..).map(|(start, (n, _))| (*start, *n)).collect::<Vec<_>>());
            }
        }
    }
}

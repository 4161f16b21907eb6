//! Sums by bin that take little time to add to and little memory: one list, sorted up to a short tail of what came last.
//!
//! An addition is put at the end of the list; when the tail has grown to a quarter of the rest it is sorted in. So it costs the
//! same few moves however many bins there are, and touches no memory but the end, where a sorted list would be searched and
//! moved. Whoever reads the bins in order sees them sorted; the order of additions leaves no trace.

mod counted;

use std::borrow::Cow;

pub use counted::{Counted, Halved};

/// Additions that wait unsorted, at least.
const TAIL_MIN: usize = 16;

/// Places for entries that a list grows by, at least.
const ROOM_MIN: usize = 4;

/// What a bin adds up.
pub trait Sum: Copy {
    /// Adds another. In any order, the result is the same.
    fn merge(&mut self, other: Self);
}

impl Sum for u16 {
    fn merge(&mut self, other: Self) {
        *self = self.saturating_add(other);
    }
}

impl Sum for u32 {
    fn merge(&mut self, other: Self) {
        *self = self.saturating_add(other);
    }
}

/// Sums by bin; only bins that were added to are kept.
#[derive(Clone, Debug)]
pub struct Bins<K, V> {
    entries: Vec<(K, V)>,
    /// How many entries at the front are in ascending order, a bin each.
    sorted: usize,
}

impl<K, V> Default for Bins<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new(), sorted: 0 }
    }
}

impl<K: Copy + Ord, V: Sum> Bins<K, V> {
    /// Adds to a bin.
    pub fn add(&mut self, bin: K, value: V) {
        self.make_room(1);
        self.entries.push((bin, value));
        self.settle_if_long();
    }

    /// Adds all sums of another.
    pub fn merge(&mut self, other: &Self) {
        self.make_room(other.entries.len());
        self.entries.extend_from_slice(&other.entries);
        self.settle_if_long();
    }

    /// Grows by a quarter: there are many of these lists, and few of them grow for long.
    fn make_room(&mut self, more: usize) {
        let len = self.entries.len();
        if self.entries.capacity() - len < more {
            self.entries.reserve_exact(more.max(ROOM_MIN).max(len / 4));
        }
    }

    fn settle_if_long(&mut self) {
        if self.entries.len() - self.sorted > TAIL_MIN.max(self.sorted / 4) {
            self.settle();
        }
    }

    /// Sorts the tail in, for those who will read the bins several times.
    pub fn settle(&mut self) {
        if self.sorted < self.entries.len() {
            settle(&mut self.entries);
            self.sorted = self.entries.len();
        }
    }

    /// The bins with their sums, in ascending order.
    pub fn sorted(&self) -> Cow<'_, [(K, V)]> {
        if self.sorted == self.entries.len() {
            return Cow::Borrowed(&self.entries);
        }
        let mut entries = self.entries.clone();
        settle(&mut entries);
        Cow::Owned(entries)
    }

    /// Bins with what was added to them, in no order, a bin as often as it may be: for those who add up, and do not ask for more than
    /// one bin can hold.
    pub fn parts(&self) -> &[(K, V)] {
        &self.entries
    }

    /// Whether nothing was added.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<K: Copy + Ord, V: Sum> FromIterator<(K, V)> for Bins<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(bins: I) -> Self {
        let mut bins = Self { entries: bins.into_iter().collect(), sorted: 0 };
        bins.settle();
        bins
    }
}

/// Sorts entries by their bins and makes one of those of a bin. The sort takes a sorted front as it is.
fn settle<K: Copy + Ord, V: Sum>(entries: &mut Vec<(K, V)>) {
    entries.sort_by_key(|(bin, _)| *bin);
    entries.dedup_by(|(bin, value), (before, sum)| {
        let same = bin == before;
        if same {
            sum.merge(*value);
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Bins equal a map, whatever the order, wherever they are settled, written down or merged.
        #[test]
        fn bins_equal_a_map(added in proptest::collection::vec((0_u16..200, 1_u32..9, 0_u8..40), 0..600), cut in 0_usize..600) {
            let (mut bins, mut before, mut map) = (Bins::default(), Bins::default(), BTreeMap::<u16, u32>::new());
            for (nth, (bin, value, then)) in added.iter().enumerate() {
                if nth < cut { before.add(*bin, *value) } else { bins.add(*bin, *value) }
                *map.entry(*bin).or_default() += value;
                if *then == 0 { bins.settle(); }
                if *then == 1 { bins = bins.sorted().iter().copied().collect(); }
            }
            bins.merge(&before);
            let expected: Vec<(u16, u32)> = map.into_iter().collect();
            prop_assert_eq!(&*bins.sorted(), &*expected);
            prop_assert_eq!(bins.parts().iter().map(|(_, n)| n).sum::<u32>(), expected.iter().map(|(_, n)| n).sum::<u32>());
            // The tail is short, so memory follows the bins and not the additions.
            prop_assert!(bins.parts().len() <= expected.len() + TAIL_MIN.max(expected.len() / 4));
        }
    }

    #[test]
    fn a_sum_ends_at_the_largest_number() {
        let mut bins = Bins::default();
        (0..40).for_each(|_| bins.add(7_u16, u32::MAX / 2));
        assert_eq!(*bins.sorted(), [(7, u32::MAX)]);
    }
}

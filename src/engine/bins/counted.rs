//! Counts by bin in half the memory while there are few of them, for nearly all lists stay small.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Bins, Sum};

/// A sum that has a form of half the size.
pub trait Halved: Sum {
    /// The small form. It holds every sum of up to 65,535 cases.
    type Half: Sum + fmt::Debug;

    /// Cases that it is made of: none of its numbers is larger.
    fn cases(self) -> u64;

    /// The small form of a sum of few cases.
    fn halve(self) -> Self::Half;

    /// The sum again.
    fn whole(half: Self::Half) -> Self;
}

impl Halved for u32 {
    type Half = u16;

    fn cases(self) -> u64 {
        self.into()
    }

    fn halve(self) -> u16 {
        self as u16
    }

    fn whole(half: u16) -> Self {
        half.into()
    }
}

/// Cases that a small sum can hold, whatever they are.
const FEW: u64 = u16::MAX as u64;

/// Sums by bin that know of how many cases they are made: at most so many, where one addition has several numbers.
#[derive(Clone, Debug)]
pub struct Counted<K, V: Halved> {
    cases: u64,
    bins: Either<K, V>,
}

#[derive(Clone, Debug)]
enum Either<K, V: Halved> {
    Small(Bins<K, V::Half>),
    Large(Box<Bins<K, V>>),
}

impl<K, V: Halved> Default for Counted<K, V> {
    fn default() -> Self {
        Self { cases: 0, bins: Either::Small(Bins::default()) }
    }
}

impl<K: Copy + Ord, V: Halved> Counted<K, V> {
    /// How many cases were added; at most so many, where one has several numbers and they came apart.
    pub const fn cases(&self) -> u64 {
        self.cases
    }

    /// Takes it that there are so many cases, where they are more than the bins tell: sums end at their largest number.
    pub fn at_least(&mut self, cases: u64) {
        self.expect(cases.saturating_sub(self.cases));
    }

    /// Adds to a bin.
    pub fn add(&mut self, bin: K, value: V) {
        self.expect(value.cases());
        match &mut self.bins {
            Either::Small(bins) => bins.add(bin, value.halve()),
            Either::Large(bins) => bins.add(bin, value),
        }
    }

    /// Adds all sums of another.
    pub fn merge(&mut self, other: &Self) {
        self.expect(other.cases);
        match (&mut self.bins, &other.bins) {
            (Either::Small(mine), Either::Small(theirs)) => mine.merge(theirs),
            (Either::Large(mine), Either::Large(theirs)) => mine.merge(theirs),
            (Either::Large(mine), Either::Small(theirs)) => {
                theirs.parts().iter().for_each(|(bin, half)| mine.add(*bin, V::whole(*half)));
            }
            // With the cases of a large list there are too many for a small one.
            (Either::Small(_), Either::Large(_)) => {}
        }
    }

    /// Makes room for cases that are to be added.
    fn expect(&mut self, more: u64) {
        self.cases = self.cases.saturating_add(more);
        if self.cases > FEW
            && let Either::Small(small) = &self.bins
        {
            let whole = small.parts().iter().map(|(bin, half)| (*bin, V::whole(*half)));
            self.bins = Either::Large(Box::new(whole.collect()));
        }
    }

    /// Sorts what came last, for those who will read the bins several times.
    pub fn settle(&mut self) {
        match &mut self.bins {
            Either::Small(bins) => bins.settle(),
            Either::Large(bins) => bins.settle(),
        }
    }

    /// The bins with their sums, in ascending order.
    pub fn sorted(&self) -> Vec<(K, V)> {
        match &self.bins {
            Either::Small(bins) => bins.sorted().iter().map(|(bin, half)| (*bin, V::whole(*half))).collect(),
            Either::Large(bins) => bins.sorted().into_owned(),
        }
    }

    /// The first bin, in ascending order, of which that is so.
    pub fn find(&self, mut so: impl FnMut(K, V) -> bool) -> Option<K> {
        match &self.bins {
            Either::Small(bins) => {
                bins.sorted().iter().find(|(bin, half)| so(*bin, V::whole(*half))).map(|(bin, _)| *bin)
            }
            Either::Large(bins) => bins.sorted().iter().find(|(bin, sum)| so(*bin, *sum)).map(|(bin, _)| *bin),
        }
    }

    /// Bins with what was added to them, in no order, a bin as often as it may be.
    pub fn each_part(&self, mut each: impl FnMut(K, V)) {
        match &self.bins {
            Either::Small(bins) => bins.parts().iter().for_each(|(bin, half)| each(*bin, V::whole(*half))),
            Either::Large(bins) => bins.parts().iter().for_each(|(bin, sum)| each(*bin, *sum)),
        }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        match &self.bins {
            Either::Small(bins) => bins.is_empty(),
            Either::Large(bins) => bins.is_empty(),
        }
    }
}

impl<K: Copy + Ord, V: Halved + PartialEq> PartialEq for Counted<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.sorted() == other.sorted()
    }
}

impl<K: Copy + Ord, V: Halved + Eq> Eq for Counted<K, V> {}

impl<K: Copy + Ord, V: Halved> FromIterator<(K, V)> for Counted<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(sums: I) -> Self {
        let mut counted = Self::default();
        sums.into_iter().for_each(|(bin, sum)| counted.add(bin, sum));
        counted.settle();
        counted
    }
}

impl<K: Copy + Ord + Serialize, V: Halved + Serialize> Serialize for Counted<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.sorted().serialize(serializer)
    }
}

impl<'de, K: Copy + Ord + Deserialize<'de>, V: Halved + Deserialize<'de>> Deserialize<'de> for Counted<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few cases or many, they count as a map does, and nobody sees in which form they are.
        #[test]
        fn counted_bins_equal_a_map(
            added in proptest::collection::vec((0_u16..50, 1_u32..9_000), 0..60),
            more in proptest::collection::vec((0_u16..50, 1_u32..9_000), 0..60),
        ) {
            let mut map = BTreeMap::<u16, u32>::new();
            added.iter().chain(&more).for_each(|(bin, n)| *map.entry(*bin).or_default() += n);
            let (mut one, mut other): (Counted<u16, u32>, Counted<u16, u32>) =
                (added.iter().copied().collect(), more.iter().copied().collect());
            let apart = other.clone();
            other.merge(&one);
            one.merge(&apart);
            let expected: Vec<(u16, u32)> = map.into_iter().collect();
            let cases: u64 = expected.iter().map(|(_, n)| u64::from(*n)).sum();
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(one.sorted(), expected.clone());
            prop_assert_eq!(one.cases(), cases);
            prop_assert_eq!(matches!(one.bins, Either::Small(_)), cases <= 65_535);
            let mut parts = 0;
            one.each_part(|_, n| parts += u64::from(n));
            prop_assert_eq!(parts, cases);
            let mut seen = 0;
            prop_assert_eq!(one.find(|_, n| { seen += u64::from(n); seen >= cases }), expected.last().map(|(bin, _)| *bin));
            let bytes = postcard::to_allocvec(&one).unwrap();
            prop_assert_eq!(&bytes, &postcard::to_allocvec(&expected).unwrap());
            prop_assert_eq!(postcard::from_bytes::<Counted<u16, u32>>(&bytes).unwrap(), one);
        }
    }

    #[test]
    fn a_small_list_takes_half_the_memory_and_sums_end_at_the_largest_number() {
        assert_eq!((size_of::<(u16, u16)>(), size_of::<Counted<u16, u32>>()), (4, 40));
        let mut largest = Counted::<u16, u32>::default();
        (0..3).for_each(|_| largest.add(9, u32::MAX));
        assert_eq!((largest.sorted(), largest.cases()), (vec![(9, u32::MAX)], 3 * u64::from(u32::MAX)));
    }
}

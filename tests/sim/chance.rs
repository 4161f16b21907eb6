//! Chance from a seed: the only source of what is not decided.

/// A generator of pseudo-random numbers (splitmix64), so that a seed is a whole run.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

/// How often something happens, in parts of this many.
const ALWAYS: u64 = 10_000;

impl Chance {
    /// The numbers of a seed for one purpose: what one purpose draws moves no other.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mut chance = Self(seed ^ purpose.wrapping_mul(0xd605_bbb5_8c8a_bc85));
        chance.next();
        chance
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A whole number from 0 and below `n`; 0 where `n` is 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next().checked_rem(n).unwrap_or(0)
    }

    /// A whole number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low).unsigned_abs() + 1) as i64
    }

    /// Whether something happens that happens in `odds` of 10,000 cases.
    pub(crate) fn happens(&mut self, odds: u64) -> bool {
        self.below(ALWAYS) < odds
    }

    /// A pause around a mean, exponential as between things that do not know of each other.
    pub(crate) fn pause(&mut self, mean: i64) -> i64 {
        // Whole numbers only: a logarithm may differ between C libraries. The geometric distribution of bits is near enough.
        let halvings = self.next().trailing_zeros().min(4);
        let within = self.between(0, mean.max(1));
        (within + i64::from(halvings) * mean / 2).max(1)
    }

    /// One of a list.
    pub(crate) fn one_of<'l, T>(&mut self, list: &'l [T]) -> Option<&'l T> {
        list.get(self.below(list.len() as u64) as usize)
    }
}

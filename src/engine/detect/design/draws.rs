//! A fixed sequence of numbers for designs that are integrals over chance.
//!
//! **Definition.** Marsaglia's xorshift64*, always from the same seed: a design is a function of its arguments, and two
//! machines find the same limit. Nothing here decides anything about data.

/// The sequence.
pub(in super::super) struct Draws(u64);

impl Draws {
    /// From the beginning.
    pub(in super::super) const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// The next number, in (0, 1).
    pub(in super::super) const fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Misses before the next hit, where `ln_miss` is the logarithm of a miss's probability (below 0).
    pub(in super::super) fn misses(&mut self, ln_miss: f64) -> f64 {
        (self.uniform().ln() / ln_miss).floor()
    }
}

//! Sources of samples for tests: each is a function of its seed.

use crate::engine::units::Timestamp;

/// Marsaglia's xorshift64*, enough for statistics of a few million draws.
pub(crate) struct Xorshift(u64);

impl Xorshift {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn hit(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Box and Muller's normal deviate.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }
}

/// The reference generator of the published trajectories: x <- (1103515245 x + 12345) mod 2^31, error if x/2^31 < p.
pub(crate) fn lcg_errors(seed: u64, before: (usize, f64), after: (usize, f64)) -> impl Iterator<Item = bool> {
    let mut x = seed;
    std::iter::repeat_n(before.1, before.0).chain(std::iter::repeat_n(after.1, after.0)).map(move |p| {
        x = (1_103_515_245 * x + 12_345) % (1 << 31);
        (x as f64 / (1_u64 << 31) as f64) < p
    })
}

/// The n-th second.
pub(crate) const fn second(n: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + 1_000 * n as i64)
}

//! Repetitions with seeds of their own, and what they say together.

use std::fmt;

/// From which all seeds follow.
pub(crate) const SEED: u64 = 20_261_123;

/// Repetitions of every part: enough for standard errors that are themselves known to a sixth.
const REPETITIONS: u64 = 20;

/// Marsaglia's xorshift64*.
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

/// One part of the study: how long it runs, and with which seeds.
pub(crate) struct Study {
    part: u64,
    scale: f64,
}

impl Study {
    pub(crate) const fn new(part: u64, scale: f64) -> Self {
        Self { part, scale }
    }

    /// A number of runs in one repetition, at this study's scale.
    pub(crate) fn runs(&self, usual: u32) -> u32 {
        ((f64::from(usual) * self.scale).round() as u32).max(2)
    }

    /// The same, where one is enough.
    pub(crate) fn streams(&self, usual: u32) -> u32 {
        ((f64::from(usual) * self.scale).round() as u32).max(1)
    }

    /// The figures that `once` returns, over all repetitions. `cell` tells the seeds of one table cell from those of
    /// others.
    pub(crate) fn repeat<const N: usize>(
        &self,
        cell: u64,
        mut once: impl FnMut(&mut Xorshift) -> [f64; N],
    ) -> [Figure; N] {
        let mut figures = [Figure::default(); N];
        for repetition in 0..REPETITIONS {
            let seed = SEED + self.part * 1_000_000 + cell * 1_000 + repetition;
            for (figure, value) in figures.iter_mut().zip(once(&mut Xorshift::new(seed))) {
                figure.add(value);
            }
        }
        figures
    }
}

/// A mean over repetitions.
#[derive(Clone, Copy, Default)]
pub(crate) struct Figure {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Figure {
    pub(crate) fn add(&mut self, x: f64) {
        self.n += 1.0;
        let step = x - self.mean;
        self.mean += step / self.n;
        self.squares += step * (x - self.mean);
    }

    pub(crate) fn error(&self) -> f64 {
        (self.squares / (self.n * (self.n - 1.0))).sqrt()
    }
}

/// With as many decimals as the precision asks: `{:.2}` shows `1.04 (0.01)`.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = f.precision().unwrap_or(0);
        let (text, width) = (format!("{:.decimals$} ({:.decimals$})", self.mean, self.error()), f.width().unwrap_or(0));
        write!(f, "{text:<width$}")
    }
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The value below which this share of all lies, by nearest rank.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

//! The statistic that raises the alarm: one of several, by the design.

use serde::{Deserialize, Serialize};

use super::super::bank::{BankDesign, CusumBank};
use super::super::cusum::LatticeCusum;
use super::super::design::DesignCache;
use super::super::design::bernoulli::LATTICE;
use super::super::design::sr::MixtureDesign;
use super::super::dispersion::standardised;
use super::super::esr::Mixture;
use super::super::standard::{Standard, Step, normalised};
use super::{Alarm, CAP, Method, ProportionDesign, Spread};
use crate::engine::units::Counts;

/// What a sample did to the statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is below its limit.
    In,
    /// It has reached its limit.
    Out,
    /// After an alarm, its own reversed chart says that the level is back. Charts of batches only.
    Back,
}

/// The statistic with its limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum AlarmState {
    Mixture(Mixture),
    Cusum { chart: LatticeCusum, limit: i64 },
    Bank(CusumBank),
    Batches { chart: Standard, method: Method },
}

impl AlarmState {
    pub(super) fn new(design: &ProportionDesign, cache: &mut DesignCache) -> Self {
        let null = design.null();
        match design.alarm {
            Alarm::Mixture => {
                let (delta, phi, arl0) = (design.delta, design.spread.phi, design.arl0);
                Self::Mixture(Mixture::designed(&MixtureDesign { p0: null, delta, phi, arl0 }, cache))
            }
            Alarm::Cusum => {
                let shifted = design.shifted();
                let limit = cache.bernoulli_limit(null, shifted, design.arl0, design.spread.phi);
                Self::Cusum { chart: LatticeCusum::new(null, shifted), limit }
            }
            Alarm::Bank => Self::Bank(CusumBank::new(&bank(design), CAP, cache)),
            Alarm::Batches(method) => {
                Self::Batches { chart: Standard::new(method.scheme(design.reference()), design.arl0, cache), method }
            }
        }
    }

    /// Solves the limit for the promise that the design has now; the statistic stays.
    pub(super) fn redesign(&mut self, design: &ProportionDesign, cache: &mut DesignCache) {
        match self {
            Self::Mixture(mixture) => mixture.redesign(design.arl0, cache),
            Self::Cusum { limit, .. } => {
                *limit = cache.bernoulli_limit(design.null(), design.shifted(), design.arl0, design.spread.phi);
            }
            Self::Bank(chart) => chart.redesign(&bank(design), cache),
            Self::Batches { chart, .. } => chart.redesign(design.arl0, cache),
        }
    }

    /// Gives charts that can have one a head start of half their limit.
    pub(super) fn head_start(&mut self) {
        match self {
            Self::Cusum { chart, limit } => chart.raise_to(*limit / 2),
            Self::Bank(chart) => chart.head_start(),
            Self::Batches { chart, .. } => chart.head_start(),
            Self::Mixture(_) => {}
        }
    }

    /// Takes cases that belong together. `null` is p0*.
    pub(super) fn update(&mut self, counts: Counts, null: f64, spread: Spread) -> Told {
        let out = match self {
            Self::Mixture(mixture) => mixture.update_counts(counts) >= mixture.limit(),
            Self::Cusum { chart, limit } => chart.update_counts(counts) >= *limit,
            Self::Bank(chart) => chart.update_counts(counts),
            Self::Batches { chart, .. } => {
                let z = standardised(counts, null) / spread.sigma();
                if chart.update(normalised(z, skewness(counts.n, null))) == Step::Back {
                    return Told::Back;
                }
                chart.is_out()
            }
        };
        if out { Told::Out } else { Told::In }
    }

    pub(super) fn restart(&mut self) {
        match self {
            Self::Mixture(mixture) => mixture.reset(),
            Self::Cusum { chart, .. } => chart.reset(),
            Self::Bank(chart) => chart.reset(),
            Self::Batches { chart, .. } => chart.restart(),
        }
    }

    /// M, the CUSUM in nats, the largest of the bank in units of its limit, or the chart of z.
    pub(super) fn statistic(&self) -> f64 {
        match self {
            Self::Mixture(mixture) => mixture.statistic(),
            Self::Cusum { chart, .. } => chart.value(),
            Self::Bank(chart) => chart.statistic(),
            Self::Batches { chart, .. } => chart.statistic(),
        }
    }

    pub(super) fn limit(&self) -> f64 {
        match self {
            Self::Mixture(mixture) => mixture.limit(),
            Self::Cusum { limit, .. } => *limit as f64 / LATTICE,
            Self::Bank(_) => 1.0,
            Self::Batches { chart, .. } => chart.limit(),
        }
    }

    /// Whether its samples are batches.
    pub(super) const fn takes_batches(&self) -> bool {
        matches!(self, Self::Batches { .. })
    }
}

fn bank(design: &ProportionDesign) -> BankDesign {
    BankDesign { p0: design.null(), delta: design.delta, phi: design.spread.phi, arl0: design.arl0 }
}

/// Skewness of a binomial count.
fn skewness(n: u64, p: f64) -> f64 {
    (1.0 - 2.0 * p) / (n.max(1) as f64 * p * (1.0 - p)).sqrt()
}

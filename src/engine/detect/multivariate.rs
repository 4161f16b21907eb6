//! The chart of vectors of bucket means: MEWMA, with Hotelling's T2 of the single bucket beside it.
//!
//! **Definition.** y = (x - mu) / s, characteristic by characteristic; Z <- r y + (1 - r) Z; T2 = Z' R^-1 Z (2 - r) / r, R the
//! correlation; alarm when it exceeds a limit solved for ARL0 in buckets and widened for the error of mu and covariance
//! (`design::mewma`). Lowry, Woodall, Champ & Rigdon (1992). T2 of a single bucket is (x - mu)' S^-1 (x - mu) with its
//! exact limit at chance 1 / ARL0 (Hotelling 1947); it is drawn and never alarms: a promise is kept once.
//!
//! **Which covariance.** The classical one (divisor m - 1), as everything that moves from hour to hour in the baseline must be
//! in the limits. The successive-difference one (half the mean product of steps between neighbours; Holmes & Mergen 1993)
//! leaves slow movement out, which is what an EWMA adds up: with it alone a daily cycle would be an alarm every day. It
//! says instead how slow the movement is: c = 1 - successive / classical variance is the correlation of neighbours (von
//! Neumann 1941), and the EWMA of a characteristic with c > 0 wanders by (1 + (1 - r) c) / (1 - (1 - r) c) more in variance
//! (Schmid 1997, for an autoregression), by which its s is widened for Z.
//!
//! **Singular covariance.** A characteristic that never varied, and one that the ones before it determine (a pivot of the
//! correlation's Cholesky factor below 1e-4, so R^2 above 0.9999), is left out of the vector: there is nothing to judge it
//! by. No ridge: it would hide which one. Fewer than two left, or fewer than 30 buckets, make no chart.
//!
//! **Contributions.** What T2 of the mean since the change would lose without the characteristic, g_j^2 / K_jj with K = R^-1 and
//! g = K y (Mason, Young & Tracy 1995: T2 of j given all others), as a share of their sum.
//!
//! **Classical constants.** r = 0.1. After an alarm the chart calls the level back when Z was inside its limit for ten
//! buckets (1 / r, its own memory) in a row; beyond twice the limit Z is drawn back to it, or a large change would be
//! remembered for days after its end. The change is dated at the alarm, by likelihood among the last 64 buckets: l(t) = |sum of
//! L^-1 y from t on|^2 / (2 n), L the Cholesky factor of R; its 95 % interval is where l lies within 3.676 of the largest
//! (Nedumaran, Pignatiello & Calvin 2000; the interval as in `history`).
//!
//! **Measured.** Simulated hours of 60 outputs, four characteristics, 83 to 336 buckets of baseline, where one false alarm per
//! 500 buckets was promised: 0.5 to 0.8 where hours are independent, 0.3 with a daily cycle of one deviation, 1.2 to 2.0
//! where neighbours correlate by 0.5, 6 to 17 where by 0.9 (a fortnight then holds a dozen independent hours).
//!
//! **Bad at.** Slow wander, as measured; a strong daily cycle, which hides small changes; a single wild bucket, which can alarm alone; buckets of very different sizes; a cycle longer than the
//! baseline; a baseline that moved itself: that widens the limits until little is seen.

use std::collections::VecDeque;

use ndarray::{Array1, Array2, Axis};
use serde::{Deserialize, Serialize};

use super::design::DesignCache;
use super::design::mewma::{estimated, t2_limit};
use super::{Direction, Evidence, Part, Verdict};
use crate::engine::rule::{Characteristic, Grade};
use crate::engine::units::{Estimate, SampleUnit, Timestamp};

/// What the chart is, in words.
pub(super) const METHOD: &str = "MEWMA of bucket means";
/// Weight of the newest bucket.
const R: f64 = 0.1;
/// Fewest buckets of a baseline: with fewer, the widened limit is more than twice that of a known baseline.
const BUCKETS_MIN: u64 = 30;
/// Fewest characteristics: one has a chart of its own.
const CHARACTERISTICS_MIN: usize = 2;
/// Smallest pivot of a correlation matrix, 1 - R^2 of a characteristic given those before it.
const PIVOT: f64 = 1e-4;
/// A characteristic whose standard deviation is smaller than this, for a mean of size 1, never varied.
const CONSTANT: f64 = 1e-9;
/// Largest correlation of neighbours that is believed; 1 would widen without end.
const MAX_CORRELATION: f64 = 0.95;
/// Buckets inside the limit, one after another, that end an alarm.
const CALM_BUCKETS: u64 = 10;
/// How many times the limit T2 is kept at most.
const CAP: f64 = 2.0;
/// Buckets among which a change is dated.
const DATED: usize = 64;
/// Log-likelihood below the maximum that still lies in the 95 % interval of the change point.
const INTERVAL: f64 = 3.676;
/// Standardised values beyond this say no more, so that no bucket makes the statistic infinite.
const SATURATION: f64 = 1e6;
/// Two-sided 95 % of a normal.
const NORMAL_95: f64 = 1.959_963_984_540_054;

/// What a baseline says of its vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseOne {
    /// What the vectors are made of.
    pub characteristics: Vec<Characteristic>,
    /// Their mean.
    pub mean: Array1<f64>,
    /// Their covariance about the mean, with divisor m - 1.
    pub covariance: Array2<f64>,
    /// Their covariance by successive differences.
    pub successive: Array2<f64>,
    /// How many there were.
    pub buckets: u64,
    /// Outputs in one, on average.
    pub cases: f64,
}

impl PhaseOne {
    /// The correlation of neighbours in time, in [0, 0.95], by the ratio of the two variances of each characteristic; 0
    /// where that is no number.
    pub fn persistence(&self) -> Array1<f64> {
        let correlation = 1.0 - &self.successive.diag() / &self.covariance.diag();
        correlation.mapv(|c| if c.is_nan() { 0.0 } else { c.clamp(0.0, MAX_CORRELATION) })
    }

    /// Without what never varied and what others determine.
    fn independent(&self) -> Self {
        let mut kept: Vec<usize> = Vec::new();
        for (i, (variance, mean)) in self.covariance.diag().iter().zip(&self.mean).enumerate() {
            kept.push(i);
            let varies = mean.is_finite() && variance.is_finite() && variance.sqrt() > CONSTANT * (1.0 + mean.abs());
            if !varies || cholesky(&correlation(&select(&self.covariance, &kept))).is_none() {
                kept.pop();
            }
        }
        Self {
            characteristics: kept.iter().filter_map(|i| self.characteristics.get(*i).copied()).collect(),
            mean: self.mean.select(Axis(0), &kept),
            covariance: select(&self.covariance, &kept),
            successive: select(&self.successive, &kept),
            buckets: self.buckets,
            cases: self.cases,
        }
    }
}

fn select(matrix: &Array2<f64>, kept: &[usize]) -> Array2<f64> {
    matrix.select(Axis(0), kept).select(Axis(1), kept)
}

fn correlation(covariance: &Array2<f64>) -> Array2<f64> {
    let sd = covariance.diag().mapv(f64::sqrt);
    covariance / &sd / sd.insert_axis(Axis(1))
}

/// The lower factor L of A = L L'; nothing where a pivot is too small.
fn cholesky(a: &Array2<f64>) -> Option<Array2<f64>> {
    let mut l = Array2::zeros(a.dim());
    for ((i, j), value) in a.indexed_iter().filter(|((i, j), _)| j <= i) {
        // What is not filled yet is 0.
        let rest: f64 = value - l.row(i).dot(&l.row(j));
        let entry = match (i == j, rest >= PIVOT) {
            (true, true) => rest.sqrt(),
            (true, false) => return None,
            (false, _) => rest / l.get([j, j])?,
        };
        *l.get_mut([i, j])? = entry;
    }
    Some(l)
}

/// The inverse of a lower triangular matrix, by forward substitution.
fn inverse(l: &Array2<f64>) -> Array2<f64> {
    let unit: Array2<f64> = Array2::eye(l.nrows());
    let mut inverse = unit.clone();
    for (i, pivot) in l.diag().iter().enumerate() {
        // The rows below are still those of the unit matrix, and L has nothing to the right of its diagonal.
        let product = l.row(i).dot(&inverse);
        let row = &unit.row(i) + (&unit.row(i) - product) / *pivot;
        inverse.row_mut(i).assign(&row);
    }
    inverse
}

/// A chart of the vectors of one stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VectorChart {
    characteristics: Vec<Characteristic>,
    mean: Array1<f64>,
    sd: Array1<f64>,
    /// By how much the sd of a characteristic is widened for Z; 1 where neighbours are independent.
    slow: Array1<f64>,
    /// The inverse of the correlation's Cholesky factor: L^-1 y has unit covariance.
    whiten: Array2<f64>,
    buckets: u64,
    arl0: f64,
    limit: f64,
    single_limit: f64,
    z: Array1<f64>,
    statistic: f64,
    single: f64,
    seen: u64,
    /// The last standardised vectors, until an alarm.
    recent: VecDeque<(Timestamp, Array1<f64>)>,
    /// Where the change of an alarm most likely was.
    change: Option<Change>,
    calm: u64,
}

/// A change, dated when the chart alarmed, and what came since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Change {
    at: Timestamp,
    between: (Timestamp, Timestamp),
    buckets: u64,
    /// Sum of the standardised vectors.
    total: Array1<f64>,
}

impl VectorChart {
    /// A chart that has seen nothing, or nothing where the baseline cannot carry one. ARL0 in buckets.
    pub fn new(phase: &PhaseOne, arl0: f64, cache: &mut DesignCache) -> Option<Self> {
        let phase = phase.independent();
        let p = phase.characteristics.len();
        if p < CHARACTERISTICS_MIN || phase.buckets < BUCKETS_MIN {
            return None;
        }
        let arl0 = if arl0.is_finite() { arl0.max(1.0) } else { 1.0 };
        let known = cache.mewma_limit(p, R, arl0);
        Some(Self {
            sd: phase.covariance.diag().mapv(f64::sqrt),
            slow: phase.persistence().mapv(|c| ((1.0 + (1.0 - R) * c) / (1.0 - (1.0 - R) * c)).sqrt()),
            whiten: inverse(&cholesky(&correlation(&phase.covariance))?),
            characteristics: phase.characteristics,
            mean: phase.mean,
            buckets: phase.buckets,
            arl0,
            limit: estimated(known, p, R, phase.buckets),
            single_limit: t2_limit(p, phase.buckets, 1.0 / arl0),
            z: Array1::zeros(p),
            statistic: 0.0,
            single: 0.0,
            seen: 0,
            recent: VecDeque::new(),
            change: None,
            calm: 0,
        })
    }

    /// Changes the promise; the statistic stays.
    pub fn redesign(&mut self, arl0: f64, cache: &mut DesignCache) {
        let p = self.characteristics.len();
        self.arl0 = if arl0.is_finite() { arl0.max(1.0) } else { self.arl0 };
        self.limit = estimated(cache.mewma_limit(p, R, self.arl0), p, R, self.buckets);
        self.single_limit = t2_limit(p, self.buckets, 1.0 / self.arl0);
    }

    /// What the vectors are made of.
    pub fn characteristics(&self) -> &[Characteristic] {
        &self.characteristics
    }

    /// Takes the vector of one bucket, in the order of [`Self::characteristics`], at the bucket's start. One of another length,
    /// or with something that is no number, says nothing.
    pub fn update(&mut self, vector: &[f64], at: Timestamp) {
        if vector.len() != self.mean.len() || vector.iter().any(|x| !x.is_finite()) {
            return;
        }
        self.seen += 1;
        let mut y = (Array1::from(vector.to_vec()) - &self.mean) / &self.sd;
        y.mapv_inplace(|y| y.clamp(-SATURATION, SATURATION));
        self.single = self.distance(&y);
        self.z = &self.z * (1.0 - R) + &y / &self.slow * R;
        self.statistic = self.distance(&self.z) * (2.0 - R) / R;
        let inside = self.statistic <= self.limit;
        if self.statistic > CAP * self.limit {
            self.z *= (CAP * self.limit / self.statistic).sqrt();
            self.statistic = CAP * self.limit;
        }
        self.calm = if inside { self.calm.saturating_add(1) } else { 0 };
        match &mut self.change {
            Some(_) if self.calm >= CALM_BUCKETS => self.change = None,
            Some(change) => {
                change.buckets += 1;
                change.total += &y;
            }
            None => {
                if self.recent.len() == DATED {
                    self.recent.pop_front();
                }
                self.recent.push_back((at, y));
                if !inside {
                    self.change = self.date();
                    self.recent.clear();
                }
            }
        }
    }

    /// The likeliest change among the recent vectors.
    fn date(&self) -> Option<Change> {
        let mut total = Array1::zeros(self.z.len());
        let mut found: Vec<(f64, Change)> = Vec::new();
        for (buckets, (at, y)) in (1..).zip(self.recent.iter().rev()) {
            total += y;
            let likelihood = self.distance(&total) / (2.0 * buckets as f64);
            found.push((likelihood, Change { at: *at, between: (*at, *at), buckets, total: total.clone() }));
        }
        let (most, best) = found.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
        let inside = found.iter().filter(|(likelihood, _)| *likelihood >= most - INTERVAL).map(|(_, change)| change.at);
        let earliest = inside.clone().min().unwrap_or(best.at);
        let latest = inside.max().unwrap_or(best.at);
        Some(Change { between: (earliest, latest), ..best.clone() })
    }

    /// y' R^-1 y.
    fn distance(&self, y: &Array1<f64>) -> f64 {
        let white = self.whiten.dot(y);
        white.dot(&white)
    }

    /// What the chart says now.
    pub fn verdict(&self) -> Verdict {
        let Some(change) = &self.change else { return Verdict::InControl };
        let parts = self.parts(change);
        let first = parts.first().map_or(0.0, |part| part.given);
        Verdict::OutOfControl(Evidence {
            grade: Grade::Degraded,
            method: METHOD.to_owned(),
            statistic: self.statistic,
            limit: self.limit,
            arl0: self.arl0,
            estimate: None,
            baseline: Estimate { value: 0.0, low: 0.0, high: self.limit },
            baseline_n: self.buckets,
            changed_at: change.at,
            changed_between: change.between,
            samples: change.buckets,
            unit: SampleUnit::Bucket,
            direction: if first < 0.0 { Direction::Down } else { Direction::Up },
            parts,
        })
    }

    /// Whether the chart is out of control.
    pub const fn is_out(&self) -> bool {
        self.change.is_some()
    }

    /// Each characteristic's part in the change, the largest first.
    fn parts(&self, change: &Change) -> Vec<Part> {
        let y = &change.total / change.buckets.max(1) as f64;
        // K = W' W is never formed: products of matrices round differently on machines with other instructions.
        let diagonal = (&self.whiten * &self.whiten).sum_axis(Axis(0));
        let given = self.whiten.t().dot(&self.whiten.dot(&y)) / diagonal.mapv(f64::sqrt);
        let sum = given.dot(&given);
        let level = &y * &self.sd + &self.mean;
        let half = NORMAL_95 / (self.buckets as f64).sqrt();
        let numbers = level.iter().zip(&self.mean).zip(&self.sd).zip(&y).zip(&given);
        let mut parts: Vec<Part> = self
            .characteristics
            .iter()
            .zip(numbers)
            .map(|(characteristic, ((((level, mean), sd), y), given))| Part {
                characteristic: *characteristic,
                level: *level,
                baseline: Estimate { value: *mean, low: mean - half * sd, high: mean + half * sd },
                deviations: *y,
                given: *given,
                share: if sum > 0.0 { given * given / sum } else { 0.0 },
            })
            .collect();
        parts.sort_by(|a, b| b.share.total_cmp(&a.share));
        parts
    }

    /// T2 of Z, at most twice the limit.
    pub const fn statistic(&self) -> f64 {
        self.statistic
    }

    /// Its limit.
    pub const fn limit(&self) -> f64 {
        self.limit
    }

    /// T2 of the last bucket alone, and its limit: drawn beside the chart.
    pub const fn single(&self) -> (f64, f64) {
        (self.single, self.single_limit)
    }

    /// Buckets taken.
    pub const fn samples_seen(&self) -> u64 {
        self.seen
    }
}

#[cfg(test)]
#[path = "multivariate_tests.rs"]
mod tests;

//! The hour as a vector: what outputs of a bucket have in common, and what a baseline keeps of such vectors.
//!
//! A bucket is at least an hour and at least 50 outputs. An hour, because within one the work itself varies more than the
//! agent; 50, because the chart of these vectors weighs about twenty of them, so that its mean of a share rests on a
//! thousand outputs and is near enough to normal. (Charts of one mean look at single buckets and want 200.)

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, Axis};
use serde::{Deserialize, Serialize};

use super::detect::PhaseOne;
use super::event::Output;
use super::rule::Characteristic;
use super::units::{Span, Timestamp};

/// Fewest outputs in a closed bucket.
const BUCKET_OUTPUTS: u64 = 50;
/// Fewest outputs of a bucket that must say a characteristic; below, the bucket lacks it.
const BUCKET_VALUES: u64 = 25;
/// Share of the baseline's buckets that must have a characteristic for it to be watched.
const PRESENT: f64 = 0.8;
/// Fewest cases, and fewest opposite cases, that a bucket must have in the mean for a share to be watched: one that is
/// nearly always 0 has no spread to judge by, and the first case would be an alarm.
const CASES: f64 = 2.0;
/// Nothing at or below has a place on a log scale.
const LOG_FLOOR: f64 = 1e-9;
/// Characteristics.
const P: usize = Characteristic::ALL.len();

/// The vector of a closed bucket.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HourVector {
    /// The first hour of the bucket.
    pub start: Timestamp,
    outputs: u64,
    /// By [`Characteristic::ALL`].
    values: [Option<f64>; P],
}

impl HourVector {
    /// The values of these characteristics, or nothing where the bucket lacks one.
    pub fn of(&self, characteristics: &[Characteristic]) -> Option<Vec<f64>> {
        characteristics.iter().map(|c| self.values.get(*c as usize).copied().flatten()).collect()
    }

    fn set(&self) -> u8 {
        self.values.iter().enumerate().filter(|(_, value)| value.is_some()).map(|(i, _)| 1 << i).sum()
    }
}

/// The open bucket of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VectorBucket {
    /// Its first and its last hour so far.
    hours: Option<(Timestamp, Timestamp)>,
    outputs: u64,
    /// Numbers and sums by [`Characteristic::ALL`].
    sums: [(u64, f64); P],
}

impl VectorBucket {
    /// Adds an output. Returns the bucket that this output's hour closed.
    pub fn add(&mut self, output: &Output<'_>) -> Option<HourVector> {
        let hour = output.ts.floor(Span::HOUR);
        let closed = match self.hours {
            // Whole hours only: what is late belongs to the open bucket.
            Some((start, last)) if hour > last && self.outputs >= BUCKET_OUTPUTS => {
                let mean = |(n, sum): (u64, f64)| (n >= BUCKET_VALUES).then(|| sum / n as f64);
                let closed = HourVector { start, outputs: self.outputs, values: self.sums.map(mean) };
                *self = Self::default();
                Some(closed)
            }
            _ => None,
        };
        self.hours = Some(self.hours.map_or((hour, hour), |(start, last)| (start, last.max(hour))));
        self.outputs += 1;
        for ((n, sum), value) in self.sums.iter_mut().zip(values(output)) {
            if let Some(value) = value {
                *n += 1;
                *sum += value;
            }
        }
        closed
    }
}

/// What one output says, by [`Characteristic::ALL`].
fn values(output: &Output<'_>) -> [Option<f64>; P] {
    let share = |flag: Option<bool>| flag.map(|flag| f64::from(u8::from(flag)));
    let log = |x: Option<f64>| x.filter(|x| *x > LOG_FLOOR).map(f64::ln);
    let latency_ms = output.latency.total.map(|nanos| nanos as f64 / 1e6);
    [output.confidence, share(output.correct), share(output.escalated), log(latency_ms), log(output.cost_usd)]
}

/// Sums over vectors that have the same characteristics; those that they lack are 0. Merges by addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Scatter {
    n: u64,
    outputs: u64,
    mean: [f64; P],
    /// Sums of products of distances from the mean (Welford's recurrence).
    cross: [[f64; P]; P],
    /// Pairs of neighbours in time, and sums of products of the steps between them.
    pairs: u64,
    steps: [[f64; P]; P],
}

impl Scatter {
    fn add(&mut self, vector: &HourVector) {
        self.n += 1;
        self.outputs += vector.outputs;
        let x = vector.values.map(Option::unwrap_or_default);
        let before = difference(&x, &self.mean);
        for (mean, step) in self.mean.iter_mut().zip(before) {
            *mean += step / self.n as f64;
        }
        let after = difference(&x, &self.mean);
        add_products(&mut self.cross, &before, &after, 1.0);
    }

    fn step(&mut self, from: &HourVector, to: &HourVector) {
        self.pairs += 1;
        let step = difference(&to.values.map(Option::unwrap_or_default), &from.values.map(Option::unwrap_or_default));
        add_products(&mut self.steps, &step, &step, 1.0);
    }

    /// Adds all vectors of another (Chan, Golub & LeVeque 1979).
    fn merge(&mut self, other: &Self) {
        self.pairs += other.pairs;
        add_all(&mut self.steps, &other.steps);
        if other.n == 0 {
            return;
        }
        let (n, m) = (self.n as f64, other.n as f64);
        let apart = difference(&other.mean, &self.mean);
        add_all(&mut self.cross, &other.cross);
        add_products(&mut self.cross, &apart, &apart, n * m / (n + m));
        for (mean, apart) in self.mean.iter_mut().zip(apart) {
            *mean += apart * m / (n + m);
        }
        self.n += other.n;
        self.outputs += other.outputs;
    }
}

fn difference(x: &[f64; P], y: &[f64; P]) -> [f64; P] {
    let mut out = *x;
    out.iter_mut().zip(y).for_each(|(x, y)| *x -= y);
    out
}

fn add_products(sums: &mut [[f64; P]; P], x: &[f64; P], y: &[f64; P], weight: f64) {
    for (row, x) in sums.iter_mut().zip(x) {
        row.iter_mut().zip(y).for_each(|(sum, y)| *sum += weight * x * y);
    }
}

fn add_all(sums: &mut [[f64; P]; P], other: &[[f64; P]; P]) {
    sums.iter_mut().flatten().zip(other.iter().flatten()).for_each(|(sum, x)| *sum += x);
}

/// The vectors of a baseline: sums for every set of characteristics that buckets had, at most 32 sets of 0.5 kB and nearly
/// always one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VectorSeries {
    bucket: VectorBucket,
    last: Option<HourVector>,
    sets: BTreeMap<u8, Scatter>,
}

impl VectorSeries {
    /// Adds one output of Phase I.
    pub fn add(&mut self, output: &Output<'_>) {
        let Some(closed) = self.bucket.add(output) else { return };
        self.sets.entry(closed.set()).or_default().add(&closed);
        if let Some(last) = self.last.replace(closed) {
            self.sets.entry(last.set() & closed.set()).or_default().step(&last, &closed);
        }
    }

    /// The vectors as a chart needs them: of the characteristics that nearly all buckets have. Accuracy only where there is
    /// no confidence. Nothing without buckets.
    pub fn phase_one(&self) -> Option<PhaseOne> {
        let all = self.sets.values().map(|scatter| scatter.n).sum::<u64>() as f64;
        let having = |set: u8| self.sets.iter().filter(move |(had, _)| *had & set == set).map(|(_, scatter)| scatter);
        let present = |c: Characteristic| {
            let n: u64 = having(bit(c)).map(|scatter| scatter.n).sum();
            n > 0 && n as f64 >= PRESENT * all
        };
        let mut chosen = Characteristic::ALL.to_vec();
        chosen.retain(|c| present(*c));
        if chosen.contains(&Characteristic::Confidence) {
            chosen.retain(|c| *c != Characteristic::Accuracy);
        }
        let merged = |chosen: &[Characteristic]| {
            let mut sum = Scatter::default();
            having(chosen.iter().map(|c| bit(*c)).sum()).for_each(|scatter| sum.merge(scatter));
            sum
        };
        let first = merged(&chosen);
        chosen.retain(|c| !is_rare(*c, &first));
        let sum = merged(&chosen);
        let indexes: Vec<usize> = chosen.iter().map(|c| *c as usize).collect();
        let matrix = |sums: &[[f64; P]; P], divisor: f64| {
            let whole = Array2::from(sums.to_vec()) / divisor;
            whole.select(Axis(0), &indexes).select(Axis(1), &indexes)
        };
        (sum.n > 1 && sum.pairs > 0).then(|| PhaseOne {
            mean: Array1::from(sum.mean.to_vec()).select(Axis(0), &indexes),
            covariance: matrix(&sum.cross, sum.n as f64 - 1.0),
            successive: matrix(&sum.steps, 2.0 * sum.pairs as f64),
            characteristics: chosen,
            buckets: sum.n,
            cases: sum.outputs as f64 / sum.n as f64,
        })
    }
}

const fn bit(characteristic: Characteristic) -> u8 {
    1 << characteristic as u8
}

/// Whether a share has too few cases in a bucket, of either kind.
fn is_rare(characteristic: Characteristic, sum: &Scatter) -> bool {
    let is_share = matches!(characteristic, Characteristic::Accuracy | Characteristic::Escalation);
    let mean = sum.mean.get(characteristic as usize).copied().unwrap_or_default();
    let size = sum.outputs as f64 / sum.n.max(1) as f64;
    is_share && mean.min(1.0 - mean) * size < CASES
}

#[cfg(test)]
#[path = "vector_tests.rs"]
mod tests;

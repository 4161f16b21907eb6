//! What a pane and a baseline hold: counts, moments, histograms. Everything here merges by addition.

mod histogram;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::confidence::{ConfidenceTable, Place};
use super::event::{Output, Status};
use super::sparse::Sparse;
use super::units::{Counts, nearest_rank};

pub use histogram::{Histogram, latency};

/// Number, mean, spread and range of a quantity, by Welford's recurrence (Welford 1962; merged by Chan et al. 1979), which
/// does not lose the spread of a large mean to rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// How many values.
    pub n: u64,
    /// Their mean; 0 where there are none.
    pub mean: f64,
    /// Sum of squared distances from the mean.
    pub m2: f64,
    /// The smallest; 0 where there are none.
    pub min: f64,
    /// The largest; 0 where there are none.
    pub max: f64,
}

impl Moments {
    /// Adds one finite value.
    pub fn add(&mut self, x: f64) {
        // Zero has one sign in the database.
        let x = x + 0.0;
        self.n += 1;
        let delta = x - self.mean;
        self.mean += delta / self.n as f64;
        self.m2 += delta * (x - self.mean);
        self.min = if self.n == 1 { x } else { self.min.min(x) };
        self.max = if self.n == 1 { x } else { self.max.max(x) };
    }

    /// Adds so many equal values.
    pub fn add_equal(&mut self, x: f64, n: u64) {
        self.merge(&Self { n, mean: x, m2: 0.0, min: x, max: x });
    }

    /// Adds all values of another.
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            *self = *other;
            return;
        }
        let (n, m) = (self.n as f64, other.n as f64);
        let delta = other.mean - self.mean;
        self.mean += delta * m / (n + m);
        self.m2 += other.m2 + delta * delta * n * m / (n + m);
        self.n += other.n;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// The sample standard deviation (n - 1), or nothing below two values.
    pub fn sd(&self) -> Option<f64> {
        (self.n > 1).then(|| (self.m2 / (self.n - 1) as f64).max(0.0).sqrt())
    }
}

/// The q-quantile of values in ascending order as sketches have it (nearest rank); nothing where there are none.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = nearest_rank(q, sorted.len() as u64);
    sorted.get(usize::try_from(rank - 1).unwrap_or(usize::MAX)).copied()
}

/// The q-quantile of values in ascending order by straight lines between them, from the first at 0 to the last at 1 (type
/// 7 of Hyndman & Fan 1996); nothing where there are none.
pub fn quantile_between(sorted: &[f64], q: f64) -> Option<f64> {
    let at = q.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let below = at.floor() as usize;
    let (low, part) = (*sorted.get(below)?, at - at.floor());
    let high = sorted.get(below + 1).copied().unwrap_or(low);
    // From the nearer end, so that both ends are met exactly.
    Some(if part < 0.5 { low + (high - low) * part } else { high - (high - low) * (1.0 - part) })
}

/// Bins of charts of shape: 100 of equal width over [0, 1], the last one closed.
pub fn confidence_bin(confidence: f64) -> u16 {
    // As the bins of `confidence`: a hundredth belongs to the bin above it.
    (confidence * 100.0 + 1e-8).floor().clamp(0.0, 99.0) as u16
}

/// What happened to one stream in some span of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pane {
    /// Outputs.
    pub outputs: u64,
    /// Labelled outputs, and how many of them were right.
    pub correct: Counts,
    /// Outputs that said whether they were escalated, and how many were.
    pub escalated: Counts,
    /// Outputs that said whether they were overridden, and how many were.
    pub overridden: Counts,
    /// Outputs by status: ok, error, invalid_input, timeout.
    pub status: [u64; 4],
    /// Stated confidence.
    pub confidence: Moments,
    /// Outputs with a confidence, and their verdicts, by confidence.
    pub by_confidence: ConfidenceTable,
    /// Latency in milliseconds.
    pub latency_ms: Moments,
    /// Its distribution, by [`latency::bin`].
    pub latency_bins: Histogram,
    /// Cost in USD.
    pub cost_usd: Moments,
    /// Tokens in and out together.
    pub tokens: Moments,
    /// Custom metrics.
    pub metrics: Sparse<BTreeMap<String, Moments>>,
    /// Custom flags.
    pub flags: Sparse<BTreeMap<String, Counts>>,
    /// Labelled outputs by task, and how many of them were right, where the stream holds several tasks. The empty name
    /// stands for outputs without a task and for tasks beyond the 32 that are kept.
    #[serde(default)]
    pub tasks: Sparse<BTreeMap<String, Counts>>,
}

impl Pane {
    /// Adds one output, its verdict left out: verdicts come by [`Pane::label`].
    pub fn absorb(&mut self, output: &Output<'_>) {
        self.outputs += 1;
        if let Some(escalated) = output.escalated {
            self.escalated.add(escalated);
        }
        if let Some(status) = output.status {
            let [ok, error, invalid, timeout] = &mut self.status;
            *match status {
                Status::Ok => ok,
                Status::Error => error,
                Status::InvalidInput => invalid,
                Status::Timeout => timeout,
            } += 1;
        }
        if let Some(confidence) = output.confidence {
            self.confidence.add(confidence);
            self.by_confidence.output(Place::of(output.confidence, output.escalated));
        }
        if let Some(nanos) = output.latency.total {
            self.latency_ms.add(nanos as f64 / 1e6);
            self.latency_bins.add(latency::bin(nanos), 1);
        }
        if let Some(cost) = output.cost_usd {
            self.cost_usd.add(cost);
        }
        if let Some(tokens) = tokens(output) {
            self.tokens.add(tokens);
        }
        for (name, value) in &output.metrics {
            if let Some(moments) = entry(&mut self.metrics, name) {
                moments.add(*value);
            }
        }
        for (name, value) in &output.flags {
            if name == "overridden" {
                self.overridden.add(*value);
            } else if let Some(counts) = entry(&mut self.flags, name) {
                counts.add(*value);
            }
        }
    }

    /// Adds what was learnt later about an output of that place, of that task where the stream counts by task.
    pub fn label(&mut self, (correct, overridden): (Option<bool>, Option<bool>), place: Place, task: Option<&str>) {
        if let Some(correct) = correct {
            self.correct.add(correct);
            self.by_confidence.verdict(place, correct);
            if task.is_some() {
                count_task(&mut self.tasks, task, correct);
            }
        }
        if let Some(overridden) = overridden {
            self.overridden.add(overridden);
        }
    }

    /// Adds another pane.
    pub fn merge(&mut self, other: &Self) {
        self.outputs += other.outputs;
        self.correct.merge(other.correct);
        self.escalated.merge(other.escalated);
        self.overridden.merge(other.overridden);
        for (mine, theirs) in self.status.iter_mut().zip(other.status) {
            *mine += theirs;
        }
        self.confidence.merge(&other.confidence);
        self.by_confidence.merge(&other.by_confidence);
        self.latency_ms.merge(&other.latency_ms);
        self.latency_bins.merge(&other.latency_bins);
        self.cost_usd.merge(&other.cost_usd);
        self.tokens.merge(&other.tokens);
        for (name, moments) in &*other.metrics {
            if let Some(mine) = entry(&mut self.metrics, name) {
                mine.merge(moments);
            }
        }
        for (name, counts) in &*other.flags {
            if let Some(mine) = entry(&mut self.flags, name) {
                mine.merge(*counts);
            }
        }
        add_tasks(&mut self.tasks, &other.tasks);
    }

    /// Makes reading its histograms cheap.
    pub fn settle(&mut self) {
        self.by_confidence.settle();
        self.latency_bins.settle();
    }

    /// Outputs whose status was said, and how many of them were anything but `ok`.
    pub const fn errors(&self) -> Counts {
        let [ok, error, invalid, timeout] = self.status;
        Counts { hits: error + invalid + timeout, n: ok + error + invalid + timeout }
    }

    /// Outputs whose status was said, and how many of them were neither `error` nor `timeout`.
    pub const fn available(&self) -> Counts {
        let [ok, error, invalid, timeout] = self.status;
        Counts { hits: ok + invalid, n: ok + error + invalid + timeout }
    }

    /// The q-quantile of latency in milliseconds, within 0.1 %.
    pub fn latency_quantile_ms(&self, q: f64) -> Option<f64> {
        self.latency_bins.quantile_bin(q).map(latency::middle_ms)
    }
}

/// Tokens in and out together, where either was said.
pub fn tokens(output: &Output<'_>) -> Option<f64> {
    match (output.tokens_in, output.tokens_out) {
        (None, None) => None,
        (a, b) => Some((a.unwrap_or(0) + b.unwrap_or(0)) as f64),
    }
}

/// The most custom names that one stream keeps; names beyond are not kept, so that hostile names cannot fill the memory.
const NAMES_MAX: usize = 32;

/// The entry of a name, made where there is room.
pub(super) fn entry<'m, T: Default>(map: &'m mut BTreeMap<String, T>, name: &str) -> Option<&'m mut T> {
    if !map.contains_key(name) {
        if map.len() >= NAMES_MAX {
            return None;
        }
        map.insert(name.to_owned(), T::default());
    }
    map.get_mut(name)
}

/// Counts a labelled output of a task.
pub(super) fn count_task(tasks: &mut BTreeMap<String, Counts>, task: Option<&str>, correct: bool) {
    let Some(task) = task else { return };
    let known = entry(tasks, task).map(|counts| counts.add(correct));
    if known.is_none() {
        tasks.entry(String::new()).or_default().add(correct);
    }
}

/// Adds counts by task.
pub(super) fn add_tasks(tasks: &mut Sparse<BTreeMap<String, Counts>>, others: &BTreeMap<String, Counts>) {
    for (task, counts) in others {
        let known = entry(tasks, task).map(|mine| mine.merge(*counts));
        if known.is_none() {
            tasks.entry(String::new()).or_default().merge(*counts);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_of_values_equal_numpy() {
        let values = [1.0, 2.0, 4.0, 8.0];
        for (q, nearest, between) in
            [(0.0, 1.0, 1.0), (0.25, 1.0, 1.75), (0.5, 2.0, 3.0), (0.9, 8.0, 6.8), (1.0, 8.0, 8.0)]
        {
            assert_eq!(quantile(&values, q), Some(nearest), "{q}");
            assert!((quantile_between(&values, q).unwrap() - between).abs() < 1e-12, "{q}");
        }
        assert_eq!(
            (quantile(&[], 0.5), quantile_between(&[], 0.5), quantile_between(&[3.0], 0.7)),
            (None, None, Some(3.0))
        );
    }

    #[test]
    fn moments_of_a_billion_values_do_not_drift() {
        let mut m = Moments::default();
        (0..1_000_000).for_each(|i| m.add(1e6 + f64::from(i % 100)));
        let (mean, variance) = (1e6 + 49.5, (1e4 - 1.0) / 12.0);
        for _ in 0..10 {
            m.merge(&m.clone());
        }
        assert_eq!(m.n, 1_024_000_000);
        assert!((m.mean / mean - 1.0).abs() < 1e-13 && (m.sd().unwrap().powi(2) / variance - 1.0).abs() < 1e-8);
    }

    #[test]
    fn moments_survive_a_large_mean() {
        let mut m = Moments::default();
        for x in [4.0, 7.0, 13.0, 16.0] {
            m.add(1e9 + x);
        }
        assert_eq!(m.sd().map(|sd| (sd * sd).round()), Some(30.0));
    }

    proptest! {
        #[test]
        fn merging_in_any_grouping_gives_the_same(a in proptest::collection::vec(0.0..1.0_f64, 0..20), b in proptest::collection::vec(0.0..1.0_f64, 0..20), c in proptest::collection::vec(0.0..1.0_f64, 0..20)) {
            let make = |xs: &[f64]| { let mut m = Moments::default(); let mut h = Histogram::default(); for x in xs { m.add(*x); h.add(confidence_bin(*x), 1); } (m, h) };
            let (mut left, mut left_bins) = make(&a);
            left.merge(&make(&b).0); left.merge(&make(&c).0);
            left_bins.merge(&make(&b).1); left_bins.merge(&make(&c).1);
            let (mut tail, mut tail_bins) = make(&b);
            tail.merge(&make(&c).0); tail_bins.merge(&make(&c).1);
            let (mut right, mut right_bins) = make(&a);
            right.merge(&tail); right_bins.merge(&tail_bins);
            prop_assert_eq!(left.n, right.n);
            prop_assert!((left.mean - right.mean).abs() < 1e-12 && (left.m2 - right.m2).abs() < 1e-9);
            prop_assert_eq!(left_bins, right_bins);
        }
    }
}

//! The frozen reference of one stream (Phase I): what every chart is designed from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::batches::{Batches, OutputHours, ShareBatches};
use super::confidence::Place;
use super::detect::{CalibrationMap, Rung};
use super::event::Output;
use super::rule::{Detect, Measure};
use super::sketch::{Histogram, Moments, Pane, entry, latency, tokens};
use super::sparse::Sparse;
use super::units::{Counts, Span, Timestamp};
use super::vector::VectorSeries;
use super::verdicts::{Delays, Wait};

/// Fewest values in a closed bucket: confidence and cost are skewed, and the limit of a chart of means holds for means
/// that are near enough to normal.
const BUCKET_EVENTS: u64 = 200;

/// The open bucket of a quantity: at least an hour, at least 200 values.
///
/// Charts of means are fed with bucket means because values wander from hour to hour; the spread between buckets carries
/// that wander into the limits (STATISTICS: a per-event chart of confidence loses half of its promised run length at an
/// hourly wander of a quarter of a point).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    start: Option<Timestamp>,
    values: Moments,
}

impl Bucket {
    /// A bucket without values.
    pub const fn new() -> Self {
        Self { start: None, values: Moments { n: 0, mean: 0.0, m2: 0.0, min: 0.0, max: 0.0 } }
    }

    /// Adds a value. Returns the bucket that this value's hour closed: its mean, its size and when it began.
    pub fn add(&mut self, ts: Timestamp, x: f64) -> Option<(f64, u64, Timestamp)> {
        let hour = ts.floor(Span::HOUR);
        let closed = match self.start {
            Some(start) if hour > start && self.values.n >= BUCKET_EVENTS => {
                let closed = (self.values.mean, self.values.n, start);
                *self = Self::default();
                Some(closed)
            }
            _ => None,
        };
        self.start.get_or_insert(hour);
        self.values.add(x);
        closed
    }
}

/// A quantity during Phase I: its values, and the means of its buckets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// All values.
    pub values: Moments,
    /// The means of closed buckets.
    pub means: Moments,
    bucket: Bucket,
}

impl Series {
    fn add(&mut self, ts: Timestamp, x: f64) {
        self.values.add(x);
        if let Some((mean, ..)) = self.bucket.add(ts, x) {
            self.means.add(mean);
        }
    }
}

/// Everything that is known about a stream in control.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Event time of the first output.
    pub first: Option<Timestamp>,
    /// Event time of the last output.
    pub last: Option<Timestamp>,
    /// The longest time between two outputs.
    pub longest_gap: Span,
    /// Counts, moments and histograms over the whole phase.
    pub pane: Pane,
    /// Latency of the components.
    pub components: [Histogram; 4],
    /// Stated confidence.
    pub confidence: Series,
    /// Natural logarithm of cost in USD (outputs that cost nothing are left out).
    pub log_cost: Series,
    /// Natural logarithm of tokens in and out (outputs without any are left out).
    pub log_tokens: Series,
    /// Custom metrics.
    pub metrics: BTreeMap<String, Series>,
    /// Bad outcomes by batches: how much shares wander.
    pub shares: ShareBatches,
    /// Vectors of hours.
    pub vectors: VectorSeries,
    /// Outputs by the hour.
    pub hours: OutputHours,
    /// Verdicts by when they came and by confidence.
    pub delays: Sparse<Delays>,
    /// How long verdicts are waited for.
    pub wait: Wait,
    /// The age of outputs by which nearly all of the verdicts had come.
    pub all_in: Span,
}

/// The smallest value whose logarithm is taken; anything below (and zero) has no place on a log scale.
const LOG_FLOOR: f64 = 1e-9;

/// The logarithm of a cost or of a number of tokens, where it has one.
pub fn log_of(x: f64) -> Option<f64> {
    (x > LOG_FLOOR).then(|| x.ln())
}

impl Profile {
    /// Adds one output of Phase I that came at stream time `now`, its verdict left out.
    pub fn absorb(&mut self, output: &Output<'_>, now: Timestamp) {
        self.first = Some(self.first.map_or(output.ts, |first| first.min(output.ts)));
        if let Some(last) = self.last {
            self.longest_gap = self.longest_gap.max(output.ts.since(last));
        }
        self.last = Some(self.last.map_or(output.ts, |last| last.max(output.ts)));
        self.pane.absorb(output);
        for (histogram, nanos) in self.components.iter_mut().zip(output.latency.components) {
            if let Some(nanos) = nanos {
                histogram.add(latency::bin(nanos), 1);
            }
        }
        self.shares.absorb(output, std::iter::once(&self.pane.latency_bins).chain(&self.components));
        if let Some(confidence) = output.confidence {
            self.confidence.add(output.ts, confidence);
        }
        if let Some(x) = output.cost_usd.and_then(log_of) {
            self.log_cost.add(output.ts, x);
        }
        if let Some(x) = tokens(output).and_then(log_of) {
            self.log_tokens.add(output.ts, x);
        }
        self.vectors.add(output);
        self.hours.add(output.ts, now);
        for (name, value) in &output.metrics {
            if let Some(series) = entry(&mut self.metrics, name) {
                series.add(output.ts, *value);
            }
        }
    }

    /// The time from the first to the last output.
    pub fn span(&self) -> Span {
        match (self.first, self.last) {
            (Some(first), Some(last)) => last.since(first),
            _ => Span::ZERO,
        }
    }

    /// Settles how long verdicts are waited for: as asked, or as long as the phase's own verdicts need.
    pub fn settle(&mut self, asked: Option<Span>) {
        let own = self.delays.wait();
        self.wait = asked.map_or(own, |age| Wait { age, ..own });
        self.all_in = self.delays.nearly_all();
    }

    /// Adds the verdict on an output of this phase, of that age when it came.
    pub fn verdict(&mut self, (at, age): (Timestamp, Span), place: Place, right: bool) {
        self.pane.label((Some(right), None), place, None);
        self.shares.wrong.add(at, !right);
        self.delays.add(age, place, right);
    }

    /// The bad outcomes of a measure that is a proportion; nothing for measures that are not, or that were never seen.
    /// For accuracy, among the verdicts that came within the wait; for latency, the outputs slower than the baseline's own
    /// quantile.
    pub fn bad(&self, detect: &Detect) -> Option<Counts> {
        let measure = &detect.measure;
        let counts = match measure {
            Measure::Latency { .. } => {
                let bar = self.latency_bar(measure)?;
                let histogram = self.latency_histogram(measure)?;
                Counts { hits: histogram.above(bar), n: histogram.n() }
            }
            Measure::Accuracy => self.delays.within(self.wait.age).complement(),
            Measure::AccuracyAtCoverage => {
                let surest = self.pane.by_confidence.surest(self.coverage()?)?;
                surest.counts(&self.delays.places_within(self.wait.age)).complement()
            }
            _ => bad_in(&self.pane, detect)?,
        };
        (counts.n > 0).then_some(counts)
    }

    /// What confidence stood for, by the verdicts that came within the wait; nothing where they or confidence say too little.
    pub fn calibration(&self) -> Option<CalibrationMap> {
        CalibrationMap::fit(&self.rungs())
    }

    /// The verdicts that came within the wait, by confidence, from the lowest to the highest.
    pub fn rungs(&self) -> Vec<Rung> {
        let mut rungs: Vec<Rung> = Vec::new();
        for (place, counts) in self.delays.places_within(self.wait.age) {
            let Some(confidence) = place.confidence() else { continue };
            match rungs.last_mut() {
                Some(last) if last.confidence == confidence => {
                    last.n += counts.n;
                    last.right += counts.hits;
                }
                _ => rungs.push(Rung { confidence, n: counts.n, right: counts.hits }),
            }
        }
        rungs
    }

    /// The share of outputs that were not handed to a person, where some were.
    pub fn coverage(&self) -> Option<f64> {
        self.pane.escalated.share().filter(|share| *share > 0.0 && *share < 1.0).map(|share| 1.0 - share)
    }

    /// The same where every output can have them, possibly none of none: not for flags and latency.
    pub const fn bad_of(&self, measure: &Measure) -> Option<Counts> {
        bad_of(&self.pane, measure)
    }

    /// The bad outcomes of a measure by batches.
    pub fn batches(&self, detect: &Detect) -> Option<Batches> {
        self.shares.of(detect)
    }

    /// The batches of a measure's bad outcomes, where every output can have them: not for flags and latency.
    pub const fn batches_of(&self, measure: &Measure) -> Option<&Batches> {
        self.shares.of_measure(measure)
    }

    /// The bin above which an output counts as slow: the one that holds the baseline's quantile.
    pub fn latency_bar(&self, measure: &Measure) -> Option<u16> {
        let Measure::Latency { per_mille, .. } = measure else { return None };
        self.latency_histogram(measure)?.quantile_bin(f64::from(*per_mille) / 1_000.0)
    }

    fn latency_histogram(&self, measure: &Measure) -> Option<&Histogram> {
        let Measure::Latency { component, .. } = measure else { return None };
        match component {
            None => Some(&self.pane.latency_bins),
            Some(component) => self.components.get(component.index()),
        }
    }

    /// The series of a measure that is a mean; nothing for measures that are not.
    pub fn series(&self, measure: &Measure) -> Option<&Series> {
        match measure {
            Measure::Confidence => Some(&self.confidence),
            Measure::Cost => Some(&self.log_cost),
            Measure::Tokens => Some(&self.log_tokens),
            Measure::Metric(name) => self.metrics.get(name),
            _ => None,
        }
    }
}

/// The bad outcomes of a pane for measures that every output can have: not for flags and latency.
const fn bad_of(pane: &Pane, measure: &Measure) -> Option<Counts> {
    Some(match measure {
        Measure::Accuracy => pane.correct.complement(),
        Measure::EscalationRate => pane.escalated,
        Measure::OverrideRate => pane.overridden,
        Measure::ErrorRate => pane.errors(),
        Measure::Availability => pane.available().complement(),
        _ => return None,
    })
}

/// The bad outcomes of a pane; nothing for measures that are no shares, and for latency, which has no fixed bar.
pub fn bad_in(pane: &Pane, detect: &Detect) -> Option<Counts> {
    let Measure::Flag(name) = &detect.measure else { return bad_of(pane, &detect.measure) };
    let counts = pane.flags.get(name).copied().unwrap_or_default();
    Some(if detect.counts_good() { counts.complement() } else { counts })
}

/// A profile with its name: what a stream is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// `name@version` of a promoted baseline, `provisional` of one learnt from the stream's own first events.
    pub id: String,
    /// Whether it was learnt from the stream's own first events.
    pub provisional: bool,
    /// The reference.
    pub profile: Profile,
}

/// The baselines in force: one promoted set, or none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BaselineSet {
    /// `name@version`, empty where nothing was promoted.
    pub id: String,
    /// Profiles by stream key.
    pub streams: BTreeMap<String, Profile>,
}

impl BaselineSet {
    /// The baseline of the stream with that key, where there is one.
    pub fn of(&self, key: &str) -> Option<Baseline> {
        let profile = self.streams.get(key)?.clone();
        Some(Baseline { id: self.id.clone(), provisional: false, profile })
    }
}

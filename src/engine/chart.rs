//! One chart of one stream: how a measure is taken from events, and which detector judges it.

use serde::{Deserialize, Serialize};

use super::alert::Id;
use super::baseline::{Baseline, Bucket, Profile, Series, component_index, log_of};
use super::detect::{DesignCache, Detector, Direction, DistanceChart, DistanceDesign, MeanChart, MeanDesign};
use super::detect::{ProportionChart, ProportionDesign, Verdict};
use super::event::{Output, Status};
use super::rule::{Amount, Bound, Detect, Grade, Measure, Promise};
use super::sketch::{confidence_bin, latency, tokens};
use super::units::{Span, Timestamp};

/// Fewest labels from which a baseline of accuracy is made.
pub const LABELS_MIN: u64 = 100;
/// Fewest cases from which any other baseline of a proportion is made.
pub const CASES_MIN: u64 = 50;
/// Fewest bucket means from which their spread is estimated.
const BUCKETS_MIN: u64 = 8;
/// Outputs in one window of a chart of shape.
const SHAPE_WINDOW: u64 = 500;
/// The size of change that a chart of a fixed bound is designed for, where nothing else is said: 2 points.
const FIXED_DELTA: f64 = 0.02;
/// Samples a day that are assumed until the stream's own rate is known.
const RATE_UNKNOWN: f64 = 1_000.0;
/// How far the measured rate of samples may lie from the designed one before the limit is designed anew.
const RATE_TOLERANCE: f64 = 0.10;

/// The state of one chart: what is written down and restored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    /// Nothing while the baseline is learnt, or cannot carry the chart.
    pub detector: Option<Detector>,
    /// For latency: the bin above which an output is slow.
    bar: Option<u16>,
    bucket: Bucket,
    /// Samples judged since the baseline was frozen, and since when: the measured rate.
    samples: u64,
    since: Option<Timestamp>,
    /// The promise in samples that the limit was designed for.
    arl0: f64,
    /// The hour of the last point that was drawn.
    drawn: Option<Timestamp>,
}

/// A point of a control chart: what was plotted, and against what.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The chart's definition.
    pub chart: Id,
    /// What it watches.
    pub measure: Measure,
    /// Event time.
    pub at: Timestamp,
    /// The plotted statistic.
    pub statistic: f64,
    /// The limit it is compared with.
    pub limit: f64,
    /// The centre line, in the statistic's unit.
    pub centre: f64,
    /// Samples judged so far.
    pub samples: u64,
    /// Whether the chart is out of control.
    pub out: bool,
}

/// What a chart was fed.
enum Sample {
    /// One case, bad or not.
    Case(bool),
    /// One value.
    Value(f64),
    /// One bin of a distribution.
    Bin(u16),
}

impl Chart {
    /// A chart that waits for its baseline.
    pub const fn waiting() -> Self {
        Self { detector: None, bar: None, bucket: Bucket::new(), samples: 0, since: None, arl0: 0.0, drawn: None }
    }

    /// A chart designed from a frozen baseline; it waits for ever where the baseline cannot carry it.
    pub fn design(detect: &Detect, baseline: Option<&Baseline>, cache: &mut DesignCache) -> Self {
        let mut chart = Self::waiting();
        let profile = baseline.map(|b| &b.profile);
        chart.bar = profile.and_then(|p| p.latency_bar(&detect.measure));
        let (arl0, detector) = match (&detect.measure, detect.bound) {
            (Measure::Silence, _) => return chart,
            (Measure::Confidence, Bound::Target(_)) => {
                let Some(found) = profile.and_then(|p| mean(detect, p, &p.confidence, cache)) else { return chart };
                found
            }
            (_, Bound::Target(target)) => fixed(detect, profile, 1.0 - target, cache),
            (_, Bound::Limit(limit)) => fixed(detect, profile, limit, cache),
            (Measure::ConfidenceDistribution, _) => {
                let Some(found) = profile.and_then(|p| shape(detect, p)) else { return chart };
                found
            }
            (measure, _) => {
                let Some(profile) = profile else { return chart };
                let found = match profile.series(measure) {
                    Some(series) => mean(detect, profile, series, cache),
                    None => proportion(detect, profile, cache),
                };
                let Some(found) = found else { return chart };
                found
            }
        };
        chart.arl0 = arl0;
        chart.detector = Some(detector);
        chart
    }

    /// Feeds what an output says of the measure. Returns whether there was anything.
    pub fn output(&mut self, detect: &Detect, output: &Output<'_>) -> bool {
        match self.sample(detect, output) {
            Some(sample) => self.feed(detect, output.ts, &sample),
            None => false,
        }
    }

    /// Feeds one case that became known later (a verdict, an override), at the time of its output.
    pub fn case(&mut self, detect: &Detect, at: Timestamp, bad: bool) -> bool {
        self.feed(detect, at, &Sample::Case(bad))
    }

    fn sample(&self, detect: &Detect, output: &Output<'_>) -> Option<Sample> {
        let measure = &detect.measure;
        let flag = |name: &str| output.flags.iter().find(|(n, _)| n == name).map(|(_, v)| Sample::Case(*v));
        match measure {
            // Verdicts come by `case`, whether embedded or late.
            Measure::Accuracy | Measure::Silence => None,
            Measure::OverrideRate => flag("overridden"),
            Measure::Flag(name) => {
                let (_, value) = output.flags.iter().find(|(n, _)| n == name)?;
                Some(Sample::Case(*value != detect.counts_good()))
            }
            Measure::EscalationRate => output.escalated.map(Sample::Case),
            Measure::ErrorRate => output.status.map(|s| Sample::Case(s != Status::Ok)),
            Measure::Availability => output.status.map(|s| Sample::Case(matches!(s, Status::Error | Status::Timeout))),
            Measure::Latency { component, .. } => {
                let nanos = match component {
                    None => output.latency.total,
                    Some(c) => output.latency.components.get(component_index(*c)).copied().flatten(),
                }?;
                Some(Sample::Case(latency::bin(nanos) > self.bar?))
            }
            Measure::Confidence => output.confidence.map(Sample::Value),
            Measure::ConfidenceDistribution => output.confidence.map(|c| Sample::Bin(confidence_bin(c))),
            Measure::Cost => output.cost_usd.and_then(log_of).map(Sample::Value),
            Measure::Tokens => tokens(output).and_then(log_of).map(Sample::Value),
            Measure::Metric(name) => output.metrics.iter().find(|(n, _)| n == name).map(|(_, v)| Sample::Value(*v)),
        }
    }

    fn feed(&mut self, detect: &Detect, at: Timestamp, sample: &Sample) -> bool {
        let since = *self.since.get_or_insert(at);
        let Some(detector) = &mut self.detector else { return false };
        match (detector, sample) {
            (Detector::Proportion(chart), Sample::Case(bad)) => chart.update(*bad, at),
            (Detector::Distance(chart), Sample::Bin(bin)) => chart.update(usize::from(*bin), at),
            (Detector::Mean(chart), Sample::Value(value)) => {
                let Some((mean, n)) = self.bucket.add(at, *value) else { return false };
                chart.update(mean, n, at);
            }
            // A detector is designed from its measure, so the pairs above are all there are.
            _ => return false,
        }
        self.samples += 1;
        self.redesign(detect, at.since(since));
        true
    }

    /// Turns the promise into samples anew where the measured rate has left the designed one. The statistic stays.
    fn redesign(&mut self, detect: &Detect, elapsed: Span) {
        let Promise::Rate { count, per } = detect.promise else { return };
        // A look every 256 samples, once a day is known: rates of part of a day are the day's rhythm.
        if !self.samples.is_multiple_of(256) || elapsed < Span::DAY {
            return;
        }
        let arl0 = (self.samples as f64 / elapsed.as_days_f64() * per.as_days_f64() / count).max(ARL0_MIN);
        if (arl0 / self.arl0).ln().abs() > RATE_TOLERANCE.ln_1p() {
            self.arl0 = arl0;
            match &mut self.detector {
                Some(Detector::Proportion(chart)) => chart.redesign(arl0),
                Some(Detector::Mean(_) | Detector::Distance(_)) | None => {}
            }
        }
    }

    /// How sure the chart is while it is out of control.
    pub fn grade(&self) -> Option<Grade> {
        self.detector.as_ref().and_then(Detector::grade)
    }

    /// The verdict, `Learning` while there is no detector.
    pub fn verdict(&self) -> Verdict {
        self.detector.as_ref().map_or(Verdict::Learning { seen: 0, needed: 0 }, Detector::verdict)
    }

    /// Says whether a point is due: one for every hour with samples.
    pub fn point_due(&mut self, at: Timestamp) -> bool {
        let hour = at.floor(Span::HOUR);
        let due = self.detector.is_some() && self.drawn.is_none_or(|drawn| hour > drawn);
        if due {
            self.drawn = Some(hour);
        }
        due
    }
}

/// The shortest run length a limit is designed for: below it a chart would alarm on single cases.
const ARL0_MIN: f64 = 100.0;

/// The promise in samples, from how many samples a day there are.
fn arl0_of(promise: Promise, samples: u64, span: Span) -> f64 {
    match promise {
        Promise::Arl0(arl0) => arl0,
        Promise::Rate { count, per } => {
            let days = span.as_days_f64();
            let rate = if days > 1.0 / 24.0 { samples as f64 / days } else { RATE_UNKNOWN };
            rate * per.as_days_f64() / count
        }
    }
    .max(ARL0_MIN)
}

fn fixed(detect: &Detect, profile: Option<&Profile>, p0: f64, cache: &mut DesignCache) -> (f64, Detector) {
    let known = profile.and_then(|p| Some((p.bad(detect)?.n, p.span())));
    let (samples, span) = known.unwrap_or((0, Span::ZERO));
    let arl0 = arl0_of(detect.promise, samples, span);
    let design = ProportionDesign::fixed(p0, FIXED_DELTA, arl0);
    (arl0, Detector::Proportion(ProportionChart::new(&design, cache)))
}

fn proportion(detect: &Detect, profile: &Profile, cache: &mut DesignCache) -> Option<(f64, Detector)> {
    let baseline = profile.bad(detect)?;
    let needed = if detect.measure == Measure::Accuracy { LABELS_MIN } else { CASES_MIN };
    if baseline.n < needed {
        return None;
    }
    let p = baseline.share()?;
    // Relative sizes refer to the measure as people read it: 10 % of an accuracy of 90 % is 9 points.
    let level = if detect.counts_good() { 1.0 - p } else { p };
    let delta = match amount(detect.bound)? {
        Amount::Points(points) => points,
        Amount::Relative(share) => share * level,
        Amount::Deviations(sds) => sds * (p * (1.0 - p)).sqrt(),
        Amount::Absolute(_) => return None,
    };
    let arl0 = arl0_of(detect.promise, baseline.n, profile.span());
    let design = ProportionDesign::new(baseline, delta, arl0);
    Some((arl0, Detector::Proportion(ProportionChart::new(&design, cache))))
}

fn mean(detect: &Detect, profile: &Profile, series: &Series, cache: &mut DesignCache) -> Option<(f64, Detector)> {
    let buckets = series.means.n;
    if buckets < BUCKETS_MIN {
        return None;
    }
    let on_log_scale = matches!(detect.measure, Measure::Cost | Measure::Tokens);
    let direction = if matches!(detect.bound, Bound::Rise(_)) { Direction::Up } else { Direction::Down };
    let typical = if on_log_scale { series.values.mean.exp() } else { series.values.mean };
    let size = amount(detect.bound).unwrap_or(Amount::Points(FIXED_DELTA));
    let delta = match size {
        // So much more, or less, than the typical value, as a distance between logarithms.
        Amount::Absolute(size) if on_log_scale && direction == Direction::Up => (size / typical).ln_1p(),
        Amount::Absolute(size) if on_log_scale => -(-(size / typical).min(0.99)).ln_1p(),
        Amount::Relative(share) if on_log_scale && direction == Direction::Up => share.ln_1p(),
        Amount::Relative(share) if on_log_scale => -(-share).ln_1p(),
        Amount::Relative(share) => share * series.values.mean.abs(),
        Amount::Absolute(size) | Amount::Points(size) => size,
        Amount::Deviations(sds) => sds * series.values.sd()?,
    };
    let arl0 = arl0_of(detect.promise, buckets, profile.span());
    // A target stands in for the baseline's level; the spread is still the baseline's.
    let mu = if let Bound::Target(target) = detect.bound { target } else { series.means.mean };
    let design = MeanDesign { mu, sigma: series.means.sd()?, buckets, delta, direction, arl0 };
    Some((arl0, Detector::Mean(MeanChart::new(&design, cache))))
}

fn shape(detect: &Detect, profile: &Profile) -> Option<(f64, Detector)> {
    let histogram = &profile.pane.confidence_bins;
    if histogram.n() < SHAPE_WINDOW {
        return None;
    }
    let mut bins = vec![0_u64; 100];
    for (bin, count) in histogram.bins() {
        *bins.get_mut(usize::from(*bin))? += u64::from(*count);
    }
    let arl0 = arl0_of(detect.promise, histogram.n() / SHAPE_WINDOW, profile.span());
    let design = DistanceDesign { bins, window: SHAPE_WINDOW, arl0 };
    Some((arl0, Detector::Distance(DistanceChart::new(&design))))
}

const fn amount(bound: Bound) -> Option<Amount> {
    match bound {
        Bound::Drop(amount) | Bound::Rise(amount) => Some(amount),
        Bound::Target(_) | Bound::Limit(_) | Bound::Absence(_) | Bound::Shape => None,
    }
}

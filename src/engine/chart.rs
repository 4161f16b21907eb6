//! One chart of one stream: how a measure is taken from events, and which detector judges it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::alert::Id;
use super::baseline::{Baseline, Bucket, log_of};
use super::cause::Contradiction;
use super::confidence::Place;
use super::detect::{BurnChart, DesignCache, Detector, Direction, Form, Validity, Verdict};
use super::event::{Output, Status};
use super::plan::{BatchSize, least_promise, plan, promised};
use super::rate::Rate;
use super::rule::{Bound, Detect, Grade, Measure};
use super::sketch::{confidence_bin, latency, tokens};
use super::units::{Counts, Span, Timestamp};
use super::vector::{HourVector, VectorBucket};

/// Labels that come after their output are judged in buckets of so many: inside one, the order of arrival cannot matter.
/// It costs 5 % of delay (STATISTICS-DETAIL, section 8).
const LATE_LABELS: u64 = 10;
/// What a chart of labels keeps of a promise that it shares.
const LABELS_PART: f64 = 0.9;
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
    /// For a profile: the open bucket.
    vectors: Option<Box<VectorBucket>>,
    /// The open batch, or the open bucket of late labels.
    tally: Tally,
    /// For charts of batches: when one is closed, in hours and cases.
    batch: Option<BatchSize>,
    /// Samples a day.
    rate: Rate,
    /// Cases that make up one sample.
    cases: f64,
    /// The promise in samples that the limit was designed for, and the least that the chart can keep.
    arl0: f64,
    least: f64,
    /// False alarms promised so far: the sum of 1 / ARL0 over the samples taken.
    promised: f64,
    /// The chart's share of a budget: one false alarm in so many days.
    share_days: Option<f64>,
    /// What it keeps of its rule's own promise beside a chart that shares it; or, where it is the one that shares, the
    /// time between its false alarms in days.
    part: Part,
    /// The hour of the last point that was drawn.
    drawn: Option<Timestamp>,
}

/// How charts share one promise. Rates add: a chart that keeps 0.9 of a promise has a run length 1 / 0.9 times as long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Part {
    /// It keeps so much of it.
    Keeps(f64),
    /// It has a tenth of another chart's: one false alarm in so many days.
    Tenth(f64),
}

/// Cases counted and not judged yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    start: Option<Timestamp>,
    counts: Counts,
}

impl Tally {
    fn add(&mut self, at: Timestamp, counts: Counts) {
        self.start.get_or_insert(at);
        self.counts.merge(counts);
    }

    fn take(&mut self) -> Option<(Counts, Timestamp)> {
        let taken = std::mem::take(self);
        Some((taken.counts, taken.start?))
    }
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
    /// What the chart is, in words.
    pub method: String,
}

/// What a chart was fed.
enum Sample {
    /// One case, bad or not.
    Case(bool),
    /// One case that became known after its output.
    Late(bool),
    /// Cases in no order, bad ones of all; at least one.
    Cases(Counts),
    /// One value.
    Value(f64),
    /// The confidence of one output.
    Confidence(f64),
    /// One bin of a distribution.
    Bin(u16),
    /// One bucket of vectors.
    Hour(HourVector),
}

impl Sample {
    /// The cases that it holds, bad ones of all.
    fn counts(&self) -> Counts {
        match self {
            Self::Case(bad) | Self::Late(bad) => Counts { hits: u64::from(*bad), n: 1 },
            Self::Cases(counts) => *counts,
            Self::Value(_) | Self::Confidence(_) | Self::Bin(_) | Self::Hour(_) => Counts::default(),
        }
    }
}

impl Chart {
    /// A chart that waits for its baseline.
    pub fn waiting() -> Self {
        Self {
            detector: None,
            bar: None,
            bucket: Bucket::new(),
            vectors: None,
            tally: Tally::default(),
            batch: None,
            rate: Rate::default(),
            cases: 1.0,
            arl0: 0.0,
            least: 1.0,
            promised: 0.0,
            share_days: None,
            part: Part::Keeps(1.0),
            drawn: None,
        }
    }

    /// A chart designed at stream time `now` from a frozen baseline; it waits for ever where the baseline cannot carry it.
    pub fn design(detect: &Detect, baseline: Option<&Baseline>, now: Timestamp, cache: &mut DesignCache) -> Self {
        let profile = baseline.map(|b| &b.profile);
        let mut chart = Self { bar: profile.and_then(|p| p.latency_bar(&detect.measure)), ..Self::waiting() };
        if let Some(burn) = detect.burn() {
            chart.detector = Some(Detector::Burn(Box::new(BurnChart::new(burn))));
            return chart;
        }
        let Some(plan) = plan(detect, baseline) else { return chart };
        let days = profile.map_or(0.0, |p| p.span().as_days_f64());
        chart.rate = plan.per_day.map(|per_day| Rate::known(per_day, days)).unwrap_or_default();
        chart.cases = plan.cases;
        chart.batch = plan.batch;
        chart.least = least_promise(&plan.design);
        chart.arl0 = plan.arl0();
        chart.detector = plan.build(cache);
        match chart.detector.as_mut() {
            Some(Detector::Vector(_)) => chart.vectors = Some(Box::default()),
            Some(Detector::Volume(volume)) => volume.begin(now),
            _ => {}
        }
        chart
    }

    /// Feeds what an output that comes at stream time `now` says of the measure. Returns whether the detector took a sample.
    pub fn output(
        &mut self,
        detect: &Detect,
        (output, now): (&Output<'_>, Timestamp),
        cache: &mut DesignCache,
    ) -> bool {
        if detect.measure == Measure::Volume {
            let taken = self.pass(detect, now, cache);
            if let Some(Detector::Volume(chart)) = self.detector.as_mut() {
                chart.count(output.ts, now);
            }
            return taken;
        }
        let sample = match &mut self.vectors {
            Some(bucket) => bucket.add(output).map(Sample::Hour),
            None => self.sample(detect, output),
        };
        match sample {
            Some(sample) => self.feed(detect, output.ts, &sample, cache),
            None => false,
        }
    }

    /// Feeds one case that became known by itself (a verdict, an override), at the time of its output: with the output, or
    /// `late`.
    pub fn case(&mut self, detect: &Detect, (at, late): (Timestamp, bool), bad: bool, cache: &mut DesignCache) -> bool {
        let sample = if late { Sample::Late(bad) } else { Sample::Case(bad) };
        self.feed(detect, at, &sample, cache)
    }

    /// Feeds cases on outputs of one stretch of time, in no order: bad ones of all.
    pub fn cases(&mut self, detect: &Detect, at: Timestamp, counts: Counts, cache: &mut DesignCache) -> bool {
        let mut taken = false;
        let (mut bad, mut left) = (0, counts.n);
        // In tens with their share of the bad ones each: a larger bucket would only be judged as a whole, and later.
        while left > 0 {
            let n = left.min(LATE_LABELS);
            left -= n;
            let so_far = (u128::from(counts.hits) * u128::from(counts.n - left) / u128::from(counts.n)) as u64;
            let part = Counts { hits: so_far - bad, n };
            bad = so_far;
            taken |= self.feed(detect, at, &Sample::Cases(part), cache);
        }
        taken
    }

    /// Feeds verdicts on outputs of one stretch of time, in no order, by the outputs' confidence. Returns whether they are samples
    /// of the chart, and no mere check of what it predicts.
    pub fn verdicts(
        &mut self,
        detect: &Detect,
        at: Timestamp,
        places: &BTreeMap<Place, Counts>,
        cache: &mut DesignCache,
    ) -> bool {
        let known = places.iter().filter_map(|(place, counts)| Some((place.confidence()?, counts.n, counts.hits)));
        let cell: Vec<(f64, u64, u64)> = known.collect();
        let n = cell.iter().map(|(_, n, _)| n).sum::<u64>();
        match (self.detector.as_mut(), cell.as_slice()) {
            (_, []) => return false,
            (Some(Detector::Estimate(chart)), [(confidence, 1, right)]) => chart.label(*confidence, *right > 0, at),
            (Some(Detector::Estimate(chart)), cell) => chart.update_cell(cell, at),
            (Some(Detector::Adjusted(chart)), [(confidence, 1, right)]) => chart.update(*confidence, *right > 0, at),
            (Some(Detector::Adjusted(chart)), cell) => chart.update_cell(cell, at),
            _ => return false,
        }
        if !matches!(self.detector, Some(Detector::Adjusted(_))) {
            return false;
        }
        self.took(detect, n, at, cache);
        true
    }

    /// What a chart of predicted accuracy says of itself; nothing for others.
    pub fn validity(&self) -> Option<Validity> {
        match self.detector.as_ref() {
            Some(Detector::Estimate(chart)) => Some(chart.validity()),
            _ => None,
        }
    }

    /// What labels say against a chart of predicted accuracy, where they contradict it.
    pub fn contradiction(&self) -> Option<Contradiction> {
        match self.validity()? {
            Validity::Valid => None,
            Validity::Invalid { since, labels, shortfall, .. } => Some(Contradiction { since, labels, shortfall }),
        }
    }

    /// Gives the detector a head start: a new version begins.
    pub fn head_start(&mut self) {
        if let Some(detector) = &mut self.detector {
            detector.head_start();
        }
    }

    fn sample(&self, detect: &Detect, output: &Output<'_>) -> Option<Sample> {
        let measure = &detect.measure;
        let flag = |name: &str| output.flags.iter().find(|(n, _)| n == name).map(|(_, v)| Sample::Case(*v));
        match measure {
            // Verdicts come by themselves, whether embedded or late; what a profile is made of goes into its bucket, and outputs
            // are counted as they come.
            Measure::Accuracy
            | Measure::AccuracyAtCoverage
            | Measure::Calibration
            | Measure::Silence
            | Measure::Profile
            | Measure::Volume => None,
            Measure::EstimatedAccuracy => output.confidence.map(Sample::Confidence),
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
                    Some(c) => output.latency.components.get(c.index()).copied().flatten(),
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

    fn feed(&mut self, detect: &Detect, at: Timestamp, sample: &Sample, cache: &mut DesignCache) -> bool {
        let Some(detector) = self.detector.as_mut() else { return false };
        let mut taken = 1;
        match (detector, sample) {
            (Detector::Proportion(chart), Sample::Case(_) | Sample::Late(_) | Sample::Cases(_))
                if self.batch.is_some() =>
            {
                let closed = self.batch.filter(|size| size.closes(self.tally.start, self.tally.counts.n, at));
                let batch = closed.and_then(|_| self.tally.take());
                self.tally.add(at, sample.counts());
                let Some((counts, start)) = batch else { return false };
                chart.update_counts(counts, start);
            }
            (Detector::Proportion(chart), Sample::Case(bad)) => chart.update(*bad, at),
            (Detector::Proportion(chart), Sample::Late(_) | Sample::Cases(_)) => {
                self.tally.add(at, sample.counts());
                let full = self.tally.counts.n >= LATE_LABELS;
                let Some((counts, start)) = full.then(|| self.tally.take()).flatten() else { return false };
                chart.update_counts(counts, start);
                taken = counts.n;
            }
            (Detector::Distance(chart), Sample::Bin(bin)) => {
                if !chart.update(usize::from(*bin), at) {
                    return false;
                }
            }
            (Detector::Mean(chart), Sample::Value(value)) => {
                let Some((mean, n, start)) = self.bucket.add(at, *value) else { return false };
                chart.update(mean, n, start);
            }
            (Detector::Estimate(chart), Sample::Confidence(confidence)) => match chart.form() {
                Form::Cases => chart.case(*confidence, at),
                Form::Hourly => {
                    let predicted = chart.predict(*confidence);
                    let Some((mean, n, start)) = self.bucket.add(at, predicted) else { return false };
                    chart.update(mean, n, start);
                }
            },
            (Detector::Vector(chart), Sample::Hour(hour)) => {
                let Some(vector) = hour.of(chart.characteristics()) else { return false };
                chart.update(&vector, hour.start);
            }
            // A detector is designed from its measure, so the pairs above are all there are.
            _ => return false,
        }
        self.took(detect, taken, at, cache);
        true
    }

    /// Counts samples that the detector took.
    fn took(&mut self, detect: &Detect, samples: u64, at: Timestamp, cache: &mut DesignCache) {
        let mut ended = false;
        for _ in 0..samples {
            self.promised += 1.0 / self.arl0;
            ended |= self.rate.add(at);
        }
        if ended {
            self.redesign(detect, cache);
        }
    }

    /// Lets a chart of volume judge the blocks that are over at stream time `now`. Returns whether it took a sample.
    pub fn pass(&mut self, detect: &Detect, now: Timestamp, cache: &mut DesignCache) -> bool {
        let mut taken = false;
        while let Some(Detector::Volume(chart)) = self.detector.as_mut()
            && let Some((at, judged)) = chart.close(now)
        {
            if judged {
                taken = true;
                self.took(detect, 1, at, cache);
            }
        }
        taken
    }

    /// When the chart must be judged again although nothing comes: blocks of volume when they are over, burn rates every minute
    /// while one is exceeded, so that the alert ends when bad cases leave the windows.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.detector.as_ref() {
            Some(Detector::Volume(chart)) => chart.deadline(),
            Some(Detector::Burn(burn)) if burn.is_out() => {
                burn.judged().map(|judged| judged.floor(Span::MINUTE).plus(Span::MINUTE))
            }
            _ => None,
        }
    }

    /// Turns the promise into samples anew where the measured rate has left the designed one. The statistic stays.
    fn redesign(&mut self, detect: &Detect, cache: &mut DesignCache) {
        self.redesign_beyond(RATE_TOLERANCE, detect, cache);
    }

    fn redesign_beyond(&mut self, tolerance: f64, detect: &Detect, cache: &mut DesignCache) {
        // Of a rhythm it is known how many blocks a week has; counted by days it would come and go with the weekends.
        let per_day = match self.detector.as_ref() {
            Some(Detector::Volume(chart)) => Some(chart.per_day()),
            _ => self.rate.per_day(),
        };
        let Some(per_day) = per_day else { return };
        let own = match self.part {
            Part::Keeps(part) => promised(detect.promise, Some(per_day), self.cases) / part,
            Part::Tenth(days) => per_day * days,
        };
        let own = own.max(self.least);
        let arl0 = self.share_days.map_or(own, |days| own.max(per_day * days));
        if (arl0 / self.arl0).ln().abs() > tolerance.ln_1p() {
            self.arl0 = arl0;
            if let Some(detector) = &mut self.detector {
                detector.redesign(arl0, cache);
            }
        }
    }

    /// Takes the chart's share of a budget: at most one false alarm in so many days.
    pub fn take_share(&mut self, detect: &Detect, days: Option<f64>, cache: &mut DesignCache) {
        self.share_days = days;
        self.redesign(detect, cache);
    }

    /// Shares its promise with a chart of predicted accuracy, or no longer. Returns whether that is new.
    pub fn shares(&mut self, detect: &Detect, shares: bool, cache: &mut DesignCache) {
        let part = Part::Keeps(if shares { LABELS_PART } else { 1.0 });
        if self.part != part {
            self.part = part;
            // The tolerance for rates would swallow a tenth.
            self.redesign_beyond(0.0, detect, cache);
        }
    }

    /// Takes a tenth of the promise of this chart of accuracy.
    pub fn take_tenth(&mut self, detect: &Detect, accuracy: &Self, cache: &mut DesignCache) {
        let Some(per_day) = accuracy.rate.per_day() else { return };
        // Its run length is that of nine tenths.
        self.part = Part::Tenth(LABELS_PART / (1.0 - LABELS_PART) * accuracy.arl0 / per_day);
        self.redesign(detect, cache);
    }

    /// False alarms a week that follow from the promise and the rate as of `now`.
    pub fn per_week(&self, now: Timestamp) -> f64 {
        let known = self.rate.per_day_at(now).filter(|_| self.arl0().is_some());
        known.map_or(0.0, |per_day| 7.0 * per_day / self.arl0)
    }

    /// The promise in samples, where there is a detector that makes one.
    pub fn arl0(&self) -> Option<f64> {
        self.detector.as_ref().filter(|detector| detector.promises()).map(|_| self.arl0)
    }

    /// Samples a day, once that is known.
    pub fn per_day(&self) -> Option<f64> {
        self.rate.per_day()
    }

    /// False alarms promised so far, over all samples taken.
    pub const fn promised(&self) -> f64 {
        self.promised
    }

    /// How sure the chart is while it is out of control.
    pub fn grade(&self) -> Option<Grade> {
        self.detector.as_ref().and_then(Detector::grade)
    }

    /// The same on the side that a rule asks for: a chart of calibration looks both ways.
    pub fn grade_for(&self, detect: &Detect) -> Option<Grade> {
        let side = match self.detector.as_ref() {
            Some(Detector::Adjusted(chart)) => chart.side()?,
            _ => return self.grade(),
        };
        let asked = if matches!(detect.bound, Bound::Rise(_)) { Direction::Up } else { Direction::Down };
        self.grade().filter(|_| side == asked)
    }

    /// The verdict, `Learning` while there is no detector.
    pub fn verdict(&self) -> Verdict {
        self.detector.as_ref().map_or(Verdict::Learning { seen: 0, needed: 0 }, Detector::verdict)
    }

    /// Says whether a point is due: one for every hour with samples.
    pub fn point_due(&mut self, at: Timestamp) -> bool {
        let due = self.detector.is_some() && self.drawn.is_none_or(|drawn| at >= drawn.plus(Span::HOUR));
        if due {
            self.drawn = Some(at.floor(Span::HOUR));
        }
        due
    }
}

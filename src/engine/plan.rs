//! From a rule and a baseline to the design of a chart: which one, with which promise, and what limits it.

mod predicted;

use serde::{Deserialize, Serialize};

use super::baseline::{Baseline, Profile, Series};
use super::batches::{Batches, wider};
use super::detect::{AdjustedChart, AdjustedDesign, EstimateChart, EstimateDesign, Form};
use super::detect::{Alarm, Centre, Dispersion, HIDDEN, Method, ProportionDesign, Spread, labels_needed};
use super::detect::{DesignCache, Detector, Direction, DistanceChart, DistanceDesign, MeanChart, MeanDesign};
use super::detect::{NoVolume, PhaseOne, ProportionChart, VectorChart, VolumeBaseline, VolumeChart, VolumeDesign};
use super::rule::{Amount, Bound, ChartKind, Detect, Measure, Promise};
use super::units::{Span, Timestamp};

/// Fewest labels from which a baseline of accuracy is made.
pub const LABELS_MIN: u64 = 100;
/// Fewest cases from which any other baseline of a proportion is made.
pub const CASES_MIN: u64 = 50;
/// Fewest bucket means, or batches, from which their spread is estimated.
const BUCKETS_MIN: u64 = 8;
/// Batches from which a spread is taken at its word; with fewer at one width, a narrower one is looked at.
const BATCHES_WANTED: usize = 30;
/// Widest batches that are looked at.
const HOURS_MAX: u32 = 24 * 7;
/// Fewest cases in a batch, and fewest expected bad and good ones: z of smaller ones is far from normal.
const BATCH_CASES: f64 = 20.0;
const BATCH_EXPECTED: f64 = 5.0;
/// Below this, batches differ no more than chance as far as a chart of cases is concerned ...
const PHI_PLAIN: f64 = 1.1;
/// ... and beyond this no chart of cases keeps its promise.
const PHI_CASES: f64 = 1.5;
/// What is assumed of rates that are known to wander, escalation and latency, until the baseline has batches enough.
const PHI_ASSUMED: f64 = 1.5;
/// Neighbouring batches that move together more than this have hardly anything of their own; the correction stops here.
const LAG_MAX: f64 = 0.8;
/// Outputs in one window of a chart of shape.
const SHAPE_WINDOW: u64 = 500;
/// The size of change that a chart of a fixed bound is designed for, where nothing else is said: 2 points.
const FIXED_DELTA: f64 = 0.02;
/// The shortest run length a chart of cases is designed for: below it would alarm on single cases.
const ARL0_MIN: f64 = 100.0;
/// The shortest one for batches and buckets.
const BATCHES_ARL0_MIN: f64 = 20.0;
/// Days between false alarms of a chart that shares the promise of a rule on accuracy, where there is none.
const SHARED_DAYS: f64 = 900.0;
/// Samples a day that are assumed until the stream's own rate is known.
const RATE_UNKNOWN: f64 = 1_000.0;

/// A chart that is not built yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What it is designed from.
    pub design: Design,
    /// Samples a day in the baseline, where that is known.
    pub per_day: Option<f64>,
    /// Cases that make up one sample, on average.
    pub cases: f64,
    /// For charts of batches: how long they last, and how many cases they need.
    pub batch: Option<BatchSize>,
    /// What weakens it.
    pub findings: Vec<Finding>,
}

/// The design of any chart.
#[derive(Clone, Debug, PartialEq)]
pub enum Design {
    /// Of a share.
    Proportion(ProportionDesign),
    /// Of bucket means.
    Mean(MeanDesign),
    /// Of a shape.
    Distance(DistanceDesign),
    /// Of vectors, with the promise in buckets.
    Vector(Box<PhaseOne>, f64),
    /// Of outputs in blocks of hours.
    Volume(Box<VolumeDesign>),
    /// Of predicted accuracy.
    Estimate(Box<EstimateDesign>),
    /// Of labels given confidence.
    Adjusted(Box<AdjustedDesign>),
}

/// When a batch is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSize {
    /// Hours that it lasts at least.
    pub hours: u32,
    /// Cases that it holds at least.
    pub least: u64,
}

impl BatchSize {
    /// Whether a batch of `n` cases that began at `start` is over when a case of time `at` comes.
    pub fn closes(self, start: Option<Timestamp>, n: u64, at: Timestamp) -> bool {
        let block = |ts: Timestamp| ts.floor(Span::HOUR.times(i64::from(self.hours)));
        n >= self.least && start.is_some_and(|start| block(at) > block(start))
    }
}

impl Plan {
    /// The chart, having seen nothing; nothing where the vectors of a baseline have fewer than two dimensions.
    pub fn build(&self, cache: &mut DesignCache) -> Option<Detector> {
        Some(match &self.design {
            Design::Proportion(design) => Detector::Proportion(Box::new(ProportionChart::new(design, cache))),
            Design::Mean(design) => Detector::Mean(Box::new(MeanChart::new(design, cache))),
            Design::Distance(design) => Detector::Distance(Box::new(DistanceChart::new(design))),
            Design::Vector(phase, arl0) => Detector::Vector(Box::new(VectorChart::new(phase, *arl0, cache)?)),
            Design::Volume(design) => Detector::Volume(Box::new(VolumeChart::new(design, cache))),
            Design::Estimate(design) => Detector::Estimate(Box::new(EstimateChart::new(design, cache))),
            Design::Adjusted(design) => Detector::Adjusted(Box::new(AdjustedChart::new(design))),
        })
    }

    /// Takes over the promise of a chart that runs on this plan, where one does.
    pub const fn take_promise(&mut self, running: Option<f64>) {
        let Some(promise) = running else { return };
        match &mut self.design {
            Design::Proportion(design) => design.arl0 = promise,
            Design::Mean(design) => design.arl0 = promise,
            Design::Distance(design) => design.arl0 = promise,
            Design::Vector(_, arl0) => *arl0 = promise,
            Design::Volume(design) => design.mean.arl0 = promise,
            Design::Estimate(design) => design.mean.arl0 = promise,
            Design::Adjusted(design) => design.arl0 = promise,
        }
    }

    /// The promise in samples.
    pub const fn arl0(&self) -> f64 {
        match &self.design {
            Design::Proportion(design) => design.arl0,
            Design::Mean(design) => design.arl0,
            Design::Distance(design) => design.arl0,
            Design::Vector(_, arl0) => *arl0,
            Design::Volume(design) => design.mean.arl0,
            Design::Estimate(design) => design.mean.arl0,
            Design::Adjusted(design) => design.arl0,
        }
    }
}

/// Something that makes a chart weaker than it looks.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// The baseline has too few cases for the change asked.
    BaselineTooSmall {
        /// What it has.
        have: u64,
        /// What it would need.
        needed: u64,
    },
    /// The baseline has too few batches to say how much they differ; this much is assumed (1 is no more than chance).
    SpreadUnknown(f64),
    /// It has so few that the estimate is rough.
    SpreadRough(u64),
    /// Neighbouring batches move together, with this correlation.
    Wandering(f64),
    /// Batches differ so much that the change asked is only this many of their standard deviations.
    Hidden(f64),
    /// The rule asks for a chart of batches, of which the baseline has too few; cases are judged one by one instead.
    ChartReplaced,
    /// The promise asked is shorter than any chart can keep apart from single samples; this one is kept instead, in samples.
    PromiseRaised(f64),
}

/// Plans a chart. Nothing where the baseline cannot carry it.
pub fn plan(detect: &Detect, baseline: Option<&Baseline>) -> Option<Plan> {
    let profile = baseline.map(|b| &b.profile);
    match (&detect.measure, detect.bound) {
        (Measure::Silence, _) | (_, Bound::Burn(_)) => None,
        (Measure::ConfidenceDistribution, _) => shape(detect, profile?),
        (Measure::Profile, _) => vector(detect, profile?),
        (Measure::Volume, _) => volume(detect, profile?),
        (Measure::EstimatedAccuracy, _) => predicted::estimate(detect, profile?),
        (Measure::Calibration, _) => predicted::calibration(detect, profile?),
        (Measure::Confidence, Bound::Target(_)) => mean(detect, profile?, &profile?.confidence),
        (_, Bound::Target(target)) => Some(share(detect, profile, Centre::Known(1.0 - target), FIXED_DELTA)),
        (_, Bound::Limit(limit)) => Some(share(detect, profile, Centre::Known(limit), FIXED_DELTA)),
        (measure, _) => match profile?.series(measure) {
            Some(series) => mean(detect, profile?, series),
            None => proportion(detect, profile?),
        },
    }
}

fn proportion(detect: &Detect, profile: &Profile) -> Option<Plan> {
    let baseline = profile.bad(detect)?;
    let needed = if detect.measure.is_of_verdicts() { LABELS_MIN } else { CASES_MIN };
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
    Some(share(detect, Some(profile), Centre::Counted(baseline), delta))
}

/// A chart of cases or of batches, as the rule says or the wander of the baseline asks.
fn share(detect: &Detect, profile: Option<&Profile>, centre: Centre, delta: f64) -> Plan {
    let mut design = ProportionDesign { guarantee: detect.guarantee, ..ProportionDesign::fixed(0.5, delta, 1.0) };
    design.centre = centre;
    let p = design.plug_in();
    let wander = profile.and_then(|profile| Wander::of(&profile.batches(detect)?, p));
    let mut findings = Vec::new();
    let by_nature = matches!(detect.measure, Measure::EscalationRate | Measure::Latency { .. });
    design.spread = match wander {
        Some(wander) => Spread { phi: wander.phi, batches: wander.at_phi },
        None if by_nature => Spread { phi: PHI_ASSUMED, batches: 0 },
        None => Spread::BINOMIAL,
    };
    if wander.is_none() && profile.is_some() {
        findings.push(Finding::SpreadUnknown(design.spread.phi));
    }
    let method = match detect.chart {
        Some(ChartKind::Laney) => Some(Method::Cusum),
        Some(ChartKind::Ewma) => Some(Method::Ewma),
        Some(ChartKind::Shewhart) => Some(Method::Shewhart),
        Some(ChartKind::Esr | ChartKind::Cusum | ChartKind::Bank | ChartKind::Cases) => None,
        None => (by_nature || design.spread.phi > PHI_CASES).then_some(Method::Cusum),
    };
    let cases_a_day = profile.and_then(|profile| per_day(profile.bad(detect)?.n, profile.span()));
    let (mut per_sample, mut batch) = (1.0, None);
    if let (Some(method), Some(wander)) = (method, wander) {
        design.alarm = Alarm::Batches(method);
        design.spread = Spread { phi: wander.worst, batches: wander.batches };
        design.batch = wander.cases;
        per_sample = wander.cases;
        batch = Some(wander.size);
        if design.shift() < HIDDEN {
            findings.push(Finding::Hidden(design.shift()));
        }
    } else {
        design.alarm = match detect.chart {
            Some(ChartKind::Cusum) => Alarm::Cusum,
            Some(ChartKind::Bank) => Alarm::Bank,
            _ => Alarm::Mixture,
        };
    }
    if method.is_some() && batch.is_none() && detect.chart.is_some() {
        findings.push(Finding::ChartReplaced);
    }
    if batch.is_none() && design.spread.phi < PHI_PLAIN {
        design.spread.phi = 1.0;
    }
    findings.extend(wander.map(Wander::findings).unwrap_or_default());
    if let Centre::Counted(counts) = centre {
        let needed = (labels_needed(p, delta) as f64 * design.spread.phi).ceil() as u64;
        if counts.n < needed {
            findings.push(Finding::BaselineTooSmall { have: counts.n, needed });
        }
    }
    let least = if batch.is_some() { BATCHES_ARL0_MIN } else { ARL0_MIN };
    let promised = promised(detect.promise, cases_a_day.map(|cases| cases / per_sample), per_sample);
    if promised < least {
        findings.push(Finding::PromiseRaised(least));
    }
    design.arl0 = promised.max(least);
    let per_day = cases_a_day.map(|cases| cases / per_sample);
    Plan { design: Design::Proportion(design), per_day, cases: per_sample, batch, findings }
}

fn mean(detect: &Detect, profile: &Profile, series: &Series) -> Option<Plan> {
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
    let per_day = per_day(buckets, profile.span());
    let cases = series.values.n as f64 / buckets as f64;
    let promised = promised(detect.promise, per_day, cases);
    let method = match detect.chart {
        Some(ChartKind::Ewma) => Method::Ewma,
        Some(ChartKind::Shewhart) => Method::Shewhart,
        Some(ChartKind::Esr | ChartKind::Cusum | ChartKind::Bank | ChartKind::Laney | ChartKind::Cases) | None => {
            Method::Cusum
        }
    };
    // A target stands in for the baseline's level; the spread is still the baseline's.
    let (mu, known) =
        if let Bound::Target(target) = detect.bound { (target, true) } else { (series.means.mean, false) };
    let sigma = series.means.sd()?;
    let arl0 = promised.max(BATCHES_ARL0_MIN);
    let guarantee = detect.guarantee;
    let design = MeanDesign { mu, sigma, buckets, delta, direction, arl0, guarantee, method, known };
    let mut findings = Vec::new();
    if buckets < BATCHES_WANTED as u64 {
        findings.push(Finding::SpreadRough(buckets));
    }
    let shift = delta / design.working_sigma();
    if shift < HIDDEN {
        findings.push(Finding::Hidden(shift));
    }
    if promised < BATCHES_ARL0_MIN {
        findings.push(Finding::PromiseRaised(BATCHES_ARL0_MIN));
    }
    Some(Plan { design: Design::Mean(design), per_day, cases, batch: None, findings })
}

fn shape(detect: &Detect, profile: &Profile) -> Option<Plan> {
    let bins = profile.pane.by_confidence.hundredths();
    let n = bins.iter().sum();
    if n < SHAPE_WINDOW {
        return None;
    }
    let per_day = per_day(n, profile.span()).map(|outputs| outputs / SHAPE_WINDOW as f64);
    let promised = promised(detect.promise, per_day, SHAPE_WINDOW as f64);
    let arl0 = promised.max(BATCHES_ARL0_MIN);
    let raised = (promised < BATCHES_ARL0_MIN).then_some(Finding::PromiseRaised(BATCHES_ARL0_MIN));
    Some(Plan {
        design: Design::Distance(DistanceDesign { bins, window: SHAPE_WINDOW, arl0 }),
        per_day,
        cases: SHAPE_WINDOW as f64,
        batch: None,
        findings: raised.into_iter().collect(),
    })
}

fn vector(detect: &Detect, profile: &Profile) -> Option<Plan> {
    let phase = profile.vectors.phase_one()?;
    let (cases, per_day) = (phase.cases, per_day(phase.buckets, profile.span()));
    let promised = promised(detect.promise, per_day, cases);
    let arl0 = promised.max(BATCHES_ARL0_MIN);
    let raised = (promised < BATCHES_ARL0_MIN).then_some(Finding::PromiseRaised(BATCHES_ARL0_MIN));
    let findings = raised.into_iter().collect();
    Some(Plan { design: Design::Vector(Box::new(phase), arl0), per_day, cases, batch: None, findings })
}

/// What a baseline says of volume.
pub fn volume_of(profile: &Profile) -> Result<VolumeBaseline, NoVolume> {
    let (first, days) = profile.hours.days();
    VolumeBaseline::of(first, &days)
}

fn volume(detect: &Detect, profile: &Profile) -> Option<Plan> {
    let baseline = volume_of(profile).ok()?;
    let (cases, per_day) = (baseline.outputs(), baseline.per_day());
    let up = matches!(detect.bound, Bound::Rise(_));
    let direction = if up { Direction::Up } else { Direction::Down };
    let sign = if up { 1.0 } else { -1.0 };
    let (delta, half_way) = match amount(detect.bound)? {
        Amount::Relative(share) => (baseline.shift(1.0 + sign * share).abs(), 1.0 + sign * share / 2.0),
        Amount::Deviations(sds) => {
            let delta = sds * baseline.sigma;
            (delta, baseline.share_at(sign * delta / 2.0))
        }
        Amount::Absolute(_) | Amount::Points(_) => return None,
    };
    let promised = promised(detect.promise, Some(per_day), cases);
    let mean = MeanDesign {
        mu: baseline.mean,
        sigma: baseline.sigma,
        buckets: baseline.independent,
        delta,
        direction,
        arl0: promised.max(BATCHES_ARL0_MIN),
        guarantee: detect.guarantee,
        method: Method::Cusum,
        known: false,
    };
    let shift = delta / mean.working_sigma();
    let rough = baseline.independent < BATCHES_WANTED as u64;
    let findings = [
        rough.then_some(Finding::SpreadRough(baseline.independent)),
        (shift < HIDDEN).then_some(Finding::Hidden(shift)),
        (promised < BATCHES_ARL0_MIN).then_some(Finding::PromiseRaised(BATCHES_ARL0_MIN)),
    ];
    Some(Plan {
        design: Design::Volume(Box::new(VolumeDesign { baseline, mean, half_way })),
        per_day: Some(per_day),
        cases,
        batch: None,
        findings: findings.into_iter().flatten().collect(),
    })
}

/// Samples a day, where the baseline lasts long enough to say so.
fn per_day(samples: u64, span: Span) -> Option<f64> {
    let days = span.as_days_f64();
    (days > 1.0 / 24.0 && samples > 0).then(|| samples as f64 / days)
}

/// The promise in samples of `cases` cases each: an ARL0 is one of cases, as rules count labelled events.
pub fn promised(promise: Promise, per_day: Option<f64>, cases: f64) -> f64 {
    match promise {
        Promise::Arl0(arl0) => arl0 / cases.max(1.0),
        // Until the stream's rule on accuracy is known, a tenth of the usual promise.
        Promise::Shared => per_day.unwrap_or(RATE_UNKNOWN / cases.max(1.0)) * SHARED_DAYS,
        Promise::Rate { count, per } => per_day.unwrap_or(RATE_UNKNOWN / cases.max(1.0)) * per.as_days_f64() / count,
    }
}

/// The least promise in samples that a chart is designed for.
pub const fn least_promise(design: &Design) -> f64 {
    match design {
        Design::Proportion(ProportionDesign { alarm: Alarm::Mixture | Alarm::Cusum | Alarm::Bank, .. })
        | Design::Adjusted(_) => ARL0_MIN,
        Design::Estimate(design) if matches!(design.form, Form::Cases) => ARL0_MIN,
        _ => BATCHES_ARL0_MIN,
    }
}

const fn amount(bound: Bound) -> Option<Amount> {
    match bound {
        Bound::Drop(amount) | Bound::Rise(amount) => Some(amount),
        Bound::Target(_) | Bound::Limit(_) | Bound::Absence(_) | Bound::Shape | Bound::Burn(_) => None,
    }
}

/// What the baseline's batches say of a share's wander.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wander {
    /// The largest overdispersion among the widths where it is significant, for charts of cases; 1 where it is nowhere.
    phi: f64,
    /// Batches that it rests on.
    at_phi: u64,
    /// The largest overdispersion at any width with 30 batches: what a chart of the narrowest batches has to live with.
    worst: f64,
    /// The narrowest batches: when they close, how many there were, how many cases they had on average.
    size: BatchSize,
    batches: u64,
    cases: f64,
    /// Correlation of neighbours at the widest batches, 0 where it is not significant.
    lag: f64,
}

impl Wander {
    fn of(batches: &Batches, p: f64) -> Option<Self> {
        let least = (BATCH_EXPECTED / p.min(1.0 - p).max(1e-6)).max(BATCH_CASES).ceil() as u64;
        let mut found: Option<Self> = None;
        let mut hours = batches.hours();
        while hours <= HOURS_MAX {
            let groups = batches.grouped(hours, least);
            if groups.len() < BUCKETS_MIN as usize || found.is_some() && groups.len() < BATCHES_WANTED {
                break;
            }
            let Some(dispersion) = Dispersion::estimate(&groups) else { break };
            let lag = dispersion.significant_lag().clamp(0.0, LAG_MAX);
            // Laney's sigma_z sees only neighbours; where they move together, the long run varies more.
            let neighbours = dispersion.sigma_z * dispersion.sigma_z;
            let long_run = dispersion.pearson * (1.0 + lag) / (1.0 - lag);
            let spread = if lag > 0.0 { neighbours.max(long_run) } else { neighbours };
            let cases: u64 = groups.iter().map(|group| group.n).sum();
            let mut wander = found.unwrap_or(Self {
                phi: 1.0,
                at_phi: dispersion.batches,
                worst: 1.0,
                size: BatchSize { hours, least },
                batches: dispersion.batches,
                cases: cases as f64 / groups.len() as f64,
                lag,
            });
            // A spread that chance alone often gives is taken as chance.
            if dispersion.is_significant() && long_run > wander.phi {
                (wander.phi, wander.at_phi) = (long_run, dispersion.batches);
            }
            found = Some(Self { worst: wander.worst.max(spread), lag, ..wander });
            hours = wider(hours);
        }
        found
    }

    fn findings(self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.at_phi < BATCHES_WANTED as u64 {
            findings.push(Finding::SpreadRough(self.at_phi));
        }
        if self.lag > 0.0 {
            findings.push(Finding::Wandering(self.lag));
        }
        findings
    }
}

//! What a rule is worth on a stream: the limit, what it promises, how long it takes to see changes, and what limits it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::account::{digits, is_share, value};
use super::baseline::Baseline;
use super::burn::needed_share;
use super::chart::Chart;
use super::detect::{Alarm, BurnChart, Centre, Change, Delay, DesignCache, Detector, Form, VolumeDesign};
use super::detect::{EstimateDesign, MeanChart, MeanDesign, ProportionChart, ProportionDesign};
use super::plan::{Design, Finding, Plan, plan, volume_of};
use super::reach::{burned_out, too_late};
use super::rule::{Amount, Bound, Burn, Measure, Rule};
use super::units::{Estimate, SampleUnit};

/// Sizes that are told for shares, in points of 1.
const SIZES: [f64; 5] = [0.01, 0.02, 0.03, 0.05, 0.10];
/// Multiples of the rule's own size that are told for other means.
const MULTIPLES: [f64; 4] = [0.5, 1.0, 2.0, 4.0];

/// One rule on one stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// `group/alert`.
    pub rule: String,
    /// The stream's labels.
    pub stream: BTreeMap<String, String>,
    /// What is watched.
    pub measure: String,
    /// What the chart is; `none` where the baseline cannot carry one yet.
    pub chart: String,
    /// The limit of its statistic.
    pub limit: Option<f64>,
    /// The promise in samples, and what those are.
    pub arl0: Option<f64>,
    /// What the promise counts: `case`, `batch`, `bucket` or `window`.
    pub unit: Option<&'static str>,
    /// Cases that make up one sample.
    pub cases_per_sample: f64,
    /// Samples a day, as measured.
    pub samples_per_day: Option<f64>,
    /// False alarms a week that follow.
    pub false_alarms_per_week: Option<f64>,
    /// The probability that the promise is kept although the baseline is an estimate.
    pub guarantee: f64,
    /// The baseline's level with the 95 % interval of its own error, in the measure's direction.
    pub baseline: Option<Estimate>,
    /// Cases that it rests on.
    pub baseline_n: u64,
    /// The level that the limit is designed for: the baseline's, moved by its own error.
    pub designed_for: Option<f64>,
    /// Overdispersion: variance of batches in units of the binomial one.
    pub overdispersion: Option<f64>,
    /// How long changes of several sizes take to be seen.
    pub detects: Vec<Detects>,
    /// How many times longer the rule's own size takes because the baseline is an estimate.
    pub price_of_baseline: Option<f64>,
    /// What limits it, in words.
    pub findings: Vec<String>,
    /// Whether the rule cannot do here what it is there for.
    pub hopeless: bool,
}

/// How long a change of one size takes to be seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detects {
    /// The size as people read it.
    pub size: String,
    /// Cases until the alert, on average; a lower bound where `reached` is below 1.
    pub cases: f64,
    /// Their 90 % quantile; nothing where more than a tenth of the simulated runs never got there.
    pub cases_q90: Option<f64>,
    /// Hours until the alert, on average, at the measured rate.
    pub hours: Option<f64>,
    /// The 90 % quantile of that.
    pub hours_q90: Option<f64>,
    /// Share of simulated runs that got there.
    pub reached: f64,
}

/// Explains a rule on a stream with that baseline; `live` is the chart as it runs, where it does. Nothing for measures
/// without a chart.
pub fn explain(
    rule: &Rule,
    stream: &BTreeMap<String, String>,
    baseline: Option<&Baseline>,
    live: Option<&Chart>,
    cache: &mut DesignCache,
) -> Option<Explained> {
    if rule.detect.measure == Measure::Silence {
        return None;
    }
    let mut told = Explained {
        rule: rule.id.clone(),
        stream: stream.clone(),
        measure: rule.detect.measure.to_string(),
        chart: "none".to_owned(),
        limit: None,
        arl0: None,
        unit: None,
        cases_per_sample: 1.0,
        samples_per_day: None,
        false_alarms_per_week: None,
        guarantee: rule.detect.guarantee,
        baseline: None,
        baseline_n: 0,
        designed_for: None,
        overdispersion: None,
        detects: Vec::new(),
        price_of_baseline: None,
        findings: Vec::new(),
        hopeless: false,
    };
    if let Some(burn) = rule.detect.burn() {
        burning(&mut told, rule, &burn, baseline);
        return Some(told);
    }
    let Some(mut plan) = plan(&rule.detect, baseline) else {
        told.findings.push(nothing_yet(rule, baseline));
        return Some(told);
    };
    // The stream's own rate, once known, has the last word.
    plan.take_promise(live.and_then(Chart::arl0));
    let Some(detector) = plan.build(cache) else {
        told.findings.push(nothing_yet(rule, baseline));
        return Some(told);
    };
    told.chart = detector.method();
    told.limit = Some(detector.limit());
    told.arl0 = Some(plan.arl0());
    told.unit = Some(plan.unit().as_str());
    told.cases_per_sample = plan.cases;
    told.samples_per_day = live.and_then(Chart::per_day).or(plan.per_day);
    told.false_alarms_per_week = told.samples_per_day.map(|rate| 7.0 * rate / plan.arl0());
    match &plan.design {
        Design::Proportion(design) => share(&mut told, rule, (design, &plan, &detector), cache),
        Design::Mean(design) => mean(&mut told, rule, (design, &plan, &detector)),
        Design::Volume(design) => volume(&mut told, rule, (design, &plan, &detector)),
        Design::Estimate(design) => estimate(&mut told, rule, (design, &plan), cache),
        Design::Adjusted(design) => told.baseline_n = design.map.labelled(),
        Design::Distance(_) | Design::Vector(..) => {}
    }
    told.findings.extend(plan.findings.iter().map(|finding| words(finding, &rule.detect.measure)));
    let of_labels = rule.detect.measure.counts_verdicts();
    if let Some(wait) = baseline.map(|baseline| baseline.profile.wait).filter(|wait| of_labels && !wait.at_once) {
        let age = wait.age;
        told.findings
            .push(format!("outputs are judged when they are {age} old, by the verdicts that came: that comes on top"));
    }
    Some(told)
}

fn nothing_yet(rule: &Rule, baseline: Option<&Baseline>) -> String {
    match baseline {
        None => "the stream has no baseline yet".to_owned(),
        Some(baseline) if rule.detect.measure == Measure::Volume => {
            volume_of(&baseline.profile).map_or_else(|lack| lack.to_string(), |_| String::new())
        }
        Some(_) => format!("the baseline holds too little of {} to carry a chart", rule.detect.measure),
    }
}

/// Burn rates have no promise and no run length: what is told is the bound, and what the traffic makes of it.
fn burning(told: &mut Explained, rule: &Rule, burn: &Burn, baseline: Option<&Baseline>) {
    let turn = |x: f64| if rule.detect.counts_good() { 1.0 - x } else { x };
    let level = turn(burn.allowed);
    let chart = BurnChart::new(*burn);
    told.chart = chart.method();
    told.limit = Some(chart.limit());
    told.baseline = Some(Estimate { value: level, low: level, high: level });
    told.findings.push("a burn rate makes no promise of false alarms".to_owned());
    if let Some(finding) = burned_out(burn, rule, baseline) {
        told.findings.push(finding);
        told.hopeless = true;
        return;
    }
    let least = burn.rates().map(|rate| rate.rate * burn.allowed).fold(1.0, f64::min);
    if let Some(needed) = needed_share(burn, &rule.detect, baseline).filter(|needed| *needed > least) {
        let level = value(&rule.detect.measure, turn(needed));
        told.findings.push(format!("at this traffic ten bad cases are more than the burn rate: it fires from {level}"));
    }
}

fn share(
    told: &mut Explained,
    rule: &Rule,
    (design, plan, detector): (&ProportionDesign, &Plan, &Detector),
    cache: &mut DesignCache,
) {
    let turn = |e: Estimate| if rule.detect.counts_good() { e.complement() } else { e };
    told.baseline = Some(turn(design.baseline()));
    told.baseline_n = design.baseline_n();
    told.designed_for = Some(if rule.detect.counts_good() { 1.0 - design.null() } else { design.null() });
    told.overdispersion = Some(design.spread.phi);
    let p = design.plug_in();
    let mut sizes: Vec<f64> = SIZES.iter().copied().filter(|size| p + size < 1.0).collect();
    if !sizes.iter().any(|size| (size - design.delta).abs() < 1e-9) {
        sizes.push(design.delta);
        sizes.sort_by(f64::total_cmp);
    }
    for size in sizes {
        let Some(delay) = detector.delay(Change::Share(p + size), rule.detect.grade) else { continue };
        told.detects.push(detects(points(size), delay, plan, told.samples_per_day));
        if (size - design.delta).abs() < 1e-9 {
            own_size(told, delay, plan);
            if let Centre::Counted(_) = design.centre {
                let known = ProportionDesign { centre: Centre::Known(p), ..*design };
                let known = Detector::Proportion(Box::new(ProportionChart::new(&known, cache)));
                let best = known.delay(Change::Share(p + size), rule.detect.grade);
                told.price_of_baseline = best.map(|best| delay.mean / best.mean);
            }
        }
    }
}

fn mean(told: &mut Explained, rule: &Rule, (design, plan, detector): (&MeanDesign, &Plan, &Detector)) {
    let on_log_scale = matches!(rule.detect.measure, Measure::Cost | Measure::Tokens);
    let turn = |e: Estimate| if on_log_scale { e.map(f64::exp) } else { e };
    told.baseline = Some(turn(design.baseline()));
    told.baseline_n = design.buckets;
    let sizes: Vec<f64> = if is_share(&rule.detect.measure) {
        SIZES.to_vec()
    } else {
        MULTIPLES.iter().map(|multiple| multiple * design.delta).collect()
    };
    for size in sizes {
        let shift = Change::Shift(size / design.working_sigma());
        let Some(delay) = detector.delay(shift, rule.detect.grade) else { continue };
        let name = if is_share(&rule.detect.measure) {
            points(size)
        } else if on_log_scale {
            format!("{:.0} %", 100.0 * size.exp_m1())
        } else {
            digits(size, 2)
        };
        told.detects.push(detects(name, delay, plan, told.samples_per_day));
        if (size - design.delta).abs() < 1e-9 {
            own_size(told, delay, plan);
        }
    }
}

/// Of predicted accuracy: falls that confidence shows. It sees no others, and says so.
fn estimate(told: &mut Explained, rule: &Rule, (design, plan): (&EstimateDesign, &Plan), cache: &mut DesignCache) {
    if matches!(design.form, Form::Hourly) {
        let chart = Detector::Mean(Box::new(MeanChart::new(&design.mean, cache)));
        mean(told, rule, (&design.mean, plan, &chart));
    } else {
        told.baseline = Some(design.mean.baseline());
    }
    told.baseline_n = design.confidences;
    told.findings
        .push("these falls are those that confidence shows; to others it is blind, labels alone find them".to_owned());
    if !design.is_calibrated() {
        let n = design.confidences;
        told.findings.push(format!("uncalibrated: the baseline has {n} confidences, and a promise needs 5000"));
    }
}

/// Changes of the usual volume that are told, as shares of it, beside the one asked for.
const VOLUMES: [f64; 5] = [0.1, 0.2, 0.3, 0.5, 1.0];

fn volume(told: &mut Explained, rule: &Rule, (design, plan, detector): (&VolumeDesign, &Plan, &Detector)) {
    told.baseline = Some(design.baseline.level());
    told.baseline_n = design.baseline.blocks;
    let up = matches!(rule.detect.bound, Bound::Rise(_));
    let moved = |size: f64| design.baseline.shift(if up { 1.0 + size } else { 1.0 - size }).abs();
    let of = |shift: f64| detector.delay(Change::Shift(shift / design.mean.working_sigma()), rule.detect.grade);
    let mut sizes = VOLUMES.to_vec();
    if let Bound::Drop(Amount::Relative(size)) | Bound::Rise(Amount::Relative(size)) = rule.detect.bound
        && sizes.iter().all(|known| (known - size).abs() > 1e-9)
    {
        sizes.push(size);
        sizes.sort_by(f64::total_cmp);
    }
    // The simulated chart does not wait for half of the way asked. A change of the size asked has gone further once the chart
    // signals; a smaller one may hang at half of the way for long, so that nothing is told of it.
    let told_of = |size: &f64| moved(*size) >= design.mean.delta - 1e-9;
    for size in sizes.into_iter().filter(told_of) {
        let Some(delay) = of(moved(size)) else { continue };
        told.detects.push(detects(format!("{:.0} %", 100.0 * size), delay, plan, told.samples_per_day));
    }
    if let Some(delay) = of(design.mean.delta) {
        own_size(told, delay, plan);
    }
}

fn points(size: f64) -> String {
    let text = digits(size * 100.0, 3);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {}", if text == "1" { "point" } else { "points" })
}

fn detects(size: String, delay: Delay, plan: &Plan, per_day: Option<f64>) -> Detects {
    let q90 = Some(delay.q90).filter(|q90| q90.is_finite());
    let hours = |samples: f64| per_day.map(|per_day| samples / per_day * 24.0);
    Detects {
        size,
        cases: delay.mean * plan.cases,
        cases_q90: q90.map(|q90| q90 * plan.cases),
        hours: hours(delay.mean),
        hours_q90: q90.and_then(hours),
        reached: delay.reached,
    }
}

/// Says where the rule's own size is out of its reach.
fn own_size(told: &mut Explained, delay: Delay, plan: &Plan) {
    let samples = (delay.reached >= 0.5).then_some(delay.mean);
    if let Some(finding) = too_late(plan, samples, told.samples_per_day) {
        told.findings.push(finding);
        told.hopeless = true;
    }
}

/// A finding in words.
pub fn words(finding: &Finding, measure: &Measure) -> String {
    let cases = if measure.counts_verdicts() { "labelled outputs" } else { "outputs" };
    match finding {
        Finding::BaselineTooSmall { have, needed } => {
            format!("the baseline has {have} {cases}; a change of this size needs {needed} to be promised honestly")
        }
        Finding::SpreadUnknown(phi) if *phi > 1.0 => format!(
            "the baseline has too few batches to say how much they differ; {phi:.1} times chance is assumed, as {measure} usually wanders"
        ),
        Finding::SpreadUnknown(_) => {
            "the baseline has too few batches to say how much they differ; no more than chance is assumed".to_owned()
        }
        Finding::SpreadRough(batches) => {
            format!("how much batches differ is estimated from {batches} of them only; 30 would do")
        }
        Finding::Wandering(lag) => format!(
            "neighbouring batches move together (correlation {lag:.2}): the limit allows for it, roughly; a daily rhythm would do that"
        ),
        Finding::Hidden(shift) => {
            format!("batches differ so much that this change is only {shift:.2} of their standard deviations")
        }
        Finding::ChartReplaced => {
            "the rule asks for a chart of batches, of which the baseline has too few; cases are judged one by one"
                .to_owned()
        }
        Finding::PromiseRaised(samples) => {
            format!("so many false alarms cannot be told from signals; one per {samples:.0} samples is kept instead")
        }
    }
}

impl Explained {
    /// The baseline as people read it.
    pub fn baseline_told(&self, measure: &Measure) -> Option<String> {
        let b = self.baseline?;
        Some(format!("{} ({} to {})", value(measure, b.value), value(measure, b.low), value(measure, b.high)))
    }
}

impl Plan {
    /// What the promise counts.
    pub const fn unit(&self) -> SampleUnit {
        match &self.design {
            Design::Proportion(ProportionDesign { alarm: Alarm::Batches(_), .. }) => SampleUnit::Batch,
            Design::Estimate(design) if matches!(design.form, Form::Hourly) => SampleUnit::Bucket,
            Design::Proportion(_) | Design::Estimate(_) | Design::Adjusted(_) => SampleUnit::Case,
            Design::Mean(_) | Design::Vector(..) => SampleUnit::Bucket,
            Design::Distance(_) => SampleUnit::Window,
            Design::Volume(_) => SampleUnit::Block,
        }
    }
}

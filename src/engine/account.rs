//! From a chart's evidence to what people are told: directions turned the measure's way, numbers with their units.

use std::collections::BTreeMap;

use super::alert::{Account, Moved};
use super::around::{Around, Differ, How, Standing};
use super::baseline::Baseline;
use super::detect::{Evidence, Part};
use super::rule::{Characteristic, Detect, Grade, Measure};
use super::units::{Estimate, Timestamp};

/// What the stream itself adds to an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Outputs so far.
    pub outputs: u64,
    /// Labelled outputs so far.
    pub labels: u64,
    /// The version now.
    pub version: Option<String>,
    /// The version before.
    pub version_before: Option<String>,
}

impl Account {
    /// The account of a chart's evidence.
    pub fn new(detect: &Detect, evidence: &Evidence, baseline: Option<&Baseline>, facts: Facts) -> Self {
        let turn = |estimate: Estimate| match detect.measure {
            _ if detect.counts_good() => estimate.complement(),
            Measure::Cost | Measure::Tokens => estimate.map(f64::exp),
            _ => estimate,
        };
        Self {
            measure: detect.measure.clone(),
            grade: evidence.grade,
            estimate: evidence.estimate.map(turn),
            baseline: Some(turn(evidence.baseline)),
            change: evidence.estimate.map(|now| match detect.measure {
                Measure::Cost | Measure::Tokens => change(evidence.baseline, now).map(f64::exp_m1),
                _ => change(turn(evidence.baseline), turn(now)),
            }),
            baseline_n: evidence.baseline_n,
            baseline_id: baseline.map_or_else(|| "fixed bound".to_owned(), |b| b.id.clone()),
            provisional: baseline.is_some_and(|b| b.provisional),
            changed_at: Some(evidence.changed_at),
            changed_between: Some(evidence.changed_between),
            samples: evidence.samples,
            statistic: evidence.statistic,
            limit: evidence.limit,
            arl0: evidence.arl0,
            false_alarms_per_week: 0.0,
            unit: Some(evidence.unit),
            method: evidence.method.clone(),
            outputs: facts.outputs,
            labels: facts.labels,
            version: facts.version,
            version_before: facts.version_before,
            moved: evidence.parts.iter().map(moved).collect(),
            around: Around::default(),
        }
    }

    /// The account of a stream that went silent: there is no chart, only the last output.
    pub fn silence(last_seen: Timestamp, facts: Facts) -> Self {
        Self {
            measure: Measure::Silence,
            grade: Grade::Confirmed,
            estimate: None,
            baseline: None,
            change: None,
            baseline_n: 0,
            baseline_id: "none".to_owned(),
            provisional: false,
            changed_at: Some(last_seen),
            changed_between: None,
            samples: 0,
            statistic: 0.0,
            limit: 0.0,
            arl0: 0.0,
            false_alarms_per_week: 0.0,
            unit: None,
            method: String::new(),
            outputs: facts.outputs,
            labels: facts.labels,
            version: facts.version,
            version_before: facts.version_before,
            moved: Vec::new(),
            around: Around::default(),
        }
    }

    /// The values that annotation templates may use.
    pub fn context(&self) -> BTreeMap<String, String> {
        let show = |x: f64| value(&self.measure, x);
        let between = |e: Estimate| match self.measure {
            Measure::Volume => format!("{:.0} to {:.0} %", e.low * 100.0, e.high * 100.0),
            _ => format!("{} to {}", show(e.low), show(e.high)),
        };
        let mut context = BTreeMap::new();
        let mut put = |name: &str, text: String| context.insert(name.to_owned(), text);
        if let Some(estimate) = self.estimate {
            put("estimate", show(estimate.value));
            put("interval", between(estimate));
        }
        if let Some(baseline) = self.baseline {
            put("baseline", show(baseline.value));
            put("baseline_interval", between(baseline));
        }
        if let (Some(now), Some(before)) = (self.estimate, self.baseline) {
            put("drop", difference(&self.measure, before.value, now.value));
        }
        if let Some(change) = self.change {
            put("drop_interval", change_interval(&self.measure, change));
        }
        if !self.moved.is_empty() {
            put("moved", told(&self.moved));
        }
        if let Some(standing) = &self.around.standing {
            for (name, text) in told_standing(standing) {
                put(name, text);
            }
        }
        if let Some(cause) = &self.around.cause {
            put("meaning", cause.told());
        }
        if let Some(at) = self.changed_at {
            put("changed_at", at.to_string());
        }
        if let Some((earliest, latest)) = self.changed_between {
            put("changed_between", format!("{earliest} and {latest}"));
        }
        put("method", self.method.clone());
        put("labels", self.labels.to_string());
        put("outputs", self.outputs.to_string());
        put("samples", self.samples.to_string());
        put("statistic", digits(self.statistic, 4));
        put("limit", digits(self.limit, 4));
        put("version", self.version.clone().unwrap_or_default());
        put("version_before", self.version_before.clone().unwrap_or_default());
        context
    }
}

/// What is known of the accuracy of all outputs, by the names of annotation values.
fn told_standing(standing: &Standing) -> Vec<(&'static str, String)> {
    let show = |x: f64| value(&Measure::Accuracy, x);
    let between = |e: Estimate| format!("{} to {}", show(e.low), show(e.high));
    let Standing { outputs, labelled, .. } = standing;
    let mut told = Vec::new();
    if let Some(labels) = standing.labels {
        told.extend([("accuracy_labels", show(labels.value)), ("accuracy_labels_interval", between(labels))]);
    }
    if let (Some(estimate), None) = (standing.estimate, &standing.invalid) {
        let by = match standing.how {
            How::LabelsOnly => format!("{labelled} labels alone"),
            How::Powered { .. } => format!("{labelled} labels and the confidence of {outputs} outputs"),
            How::Stratified => format!("{labelled} labels, weighted to match {outputs} outputs"),
        };
        told.push(("accuracy_estimate", show(estimate.value)));
        told.push(("accuracy_interval", between(estimate)));
        told.push(("accuracy_by", by));
    }
    if let Some(why) = &standing.invalid {
        told.push(("accuracy_invalid", why.clone()));
    }
    if let Some(share) = standing.label_share() {
        told.push(("labels_in", format!("{labelled} of {outputs} outputs ({})", show(share))));
    }
    if let Some(share) = standing.usual {
        told.push(("labels_usual", show(share)));
    }
    if let Some(differ) = &standing.differ {
        told.push(("labels_differ", told_differ(differ)));
    }
    told
}

/// In what labelled outputs are unlike all: `mean confidence 81.2 % against 90.4 %, escalated 22.0 % against 9.0 %`.
pub fn told_differ(differ: &Differ) -> String {
    let parts = [("mean confidence", differ.confidence), ("escalated", differ.escalated)];
    let told = parts.into_iter().filter_map(|(name, versus)| {
        let (labelled, all) = versus.map(|versus| (versus.labelled, versus.all))?;
        Some(format!("{name} {:.1} % against {:.1} %", labelled * 100.0, all * 100.0))
    });
    told.collect::<Vec<_>>().join(", ")
}

/// Standard deviations from hour to hour below which a characteristic counts as where it usually is.
const USUAL: f64 = 1.0;
/// Contributions that are told: those of at least this share.
const TOLD: f64 = 0.15;

/// The part of a characteristic in the units that people read.
fn moved(part: &Part) -> Moved {
    let turn = |x: f64| match part.characteristic {
        Characteristic::Latency | Characteristic::Cost => x.exp(),
        Characteristic::Confidence | Characteristic::Accuracy | Characteristic::Escalation => x,
    };
    let Part { characteristic, level, baseline, deviations, given, share } = *part;
    Moved { characteristic, level: turn(level), baseline: baseline.map(turn), deviations, given, share }
}

/// What moved, in one line: `latency 812 ms against 640 ms (2.1 sd above)`. Where a characteristic lies near where it usually does,
/// it is how they go together that moved, and the line says so.
pub fn told(moved: &[Moved]) -> String {
    let parts = moved.iter().filter(|part| part.share >= TOLD).map(|part| {
        let show = |x: f64| match part.characteristic {
            Characteristic::Latency => format!("{} ms", digits(x, 3)),
            Characteristic::Cost => value(&Measure::Cost, x),
            Characteristic::Confidence => value(&Measure::Confidence, x),
            Characteristic::Accuracy => value(&Measure::Accuracy, x),
            Characteristic::Escalation => value(&Measure::EscalationRate, x),
        };
        let far = match part.deviations {
            far if far >= USUAL => format!("{far:.1} sd above"),
            far if far <= -USUAL => format!("{:.1} sd below", far.abs()),
            _ if part.given < 0.0 => "usual alone, but lower than the others imply".to_owned(),
            _ => "usual alone, but higher than the others imply".to_owned(),
        };
        format!("{} {} against {} ({far})", part.characteristic.as_str(), show(part.level), show(part.baseline.value))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// Whether a measure is a share of cases, shown in percent.
pub const fn is_share(measure: &Measure) -> bool {
    match measure {
        Measure::Accuracy
        | Measure::EstimatedAccuracy
        | Measure::AccuracyAtCoverage
        | Measure::Confidence
        | Measure::EscalationRate
        | Measure::OverrideRate
        | Measure::ErrorRate
        | Measure::Availability
        | Measure::Latency { .. }
        | Measure::Flag(_) => true,
        Measure::ConfidenceDistribution
        | Measure::Cost
        | Measure::Tokens
        | Measure::Silence
        | Measure::Metric(_)
        | Measure::Profile
        | Measure::Volume
        | Measure::Calibration => false,
    }
}

/// A value of a measure as people read it: `89.1 %`, `$0.0123`, `1840`.
pub fn value(measure: &Measure, x: f64) -> String {
    match measure {
        _ if is_share(measure) => format!("{:.1} %", x * 100.0),
        Measure::Cost => format!("${}", digits(x, 3)),
        Measure::Volume => format!("{:.0} % of usual", x * 100.0),
        // What labels say less what confidence says.
        Measure::Calibration => format!("{:+.1} points", x * 100.0),
        _ => digits(x, 4),
    }
}

/// Whether changes are told in points of a hundred.
const fn in_points(measure: &Measure) -> bool {
    is_share(measure) || matches!(measure, Measure::Calibration)
}

/// Whether changes are told as shares of the level before, and estimated so.
const fn is_relative(measure: &Measure) -> bool {
    matches!(measure, Measure::Cost | Measure::Tokens | Measure::Volume)
}

/// The change from one value of a measure to another as people read it: `3.1 points`, `+18 %`, `0.4`.
pub fn difference(measure: &Measure, before: f64, now: f64) -> String {
    if in_points(measure) {
        format!("{:.1} points", (now - before).abs() * 100.0)
    } else if is_relative(measure) {
        format!("{:+.0} %", (now / before - 1.0) * 100.0)
    } else {
        digits((now - before).abs(), 3)
    }
}

/// The difference of two independent estimates with its interval: the method of variance estimates recovery (Newcombe 1998;
/// Zou & Donner 2008).
fn change(before: Estimate, now: Estimate) -> Estimate {
    let value = now.value - before.value;
    Estimate {
        value,
        low: value - (now.value - now.low).hypot(before.high - before.value),
        high: value + (now.high - now.value).hypot(before.value - before.low),
    }
}

/// The interval of a change as people read it, in the unit of [`difference`]: `1.2 to 5.0 points`, `+4 to +33 %`.
pub fn change_interval(measure: &Measure, change: Estimate) -> String {
    let (low, high) = (change.low, change.high);
    if is_relative(measure) {
        return format!("{:+.0} to {:+.0} %", low * 100.0, high * 100.0);
    }
    // People read the size; an interval that holds both directions keeps its signs.
    let (small, large) = if high <= 0.0 { (-high, -low) } else { (low, high) };
    if in_points(measure) {
        return format!("{:.1} to {:.1} points", small * 100.0, large * 100.0);
    }
    format!("{} to {}", digits(small, 3), digits(large, 3))
}

/// A number with that many significant digits, without an exponent where it can be read without.
pub fn digits(x: f64, significant: i32) -> String {
    if x == 0.0 || !x.is_finite() {
        return format!("{x:.0}");
    }
    let magnitude = x.abs().log10().floor() as i32;
    let decimals = usize::try_from(significant - 1 - magnitude).unwrap_or(0).min(12);
    format!("{x:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::super::around::Versus;
    use super::*;

    #[test]
    fn numbers_are_shown_as_people_read_them() {
        assert_eq!(value(&Measure::Accuracy, 0.891_23), "89.1 %");
        assert_eq!(value(&Measure::Cost, 0.012_345), "$0.0123");
        assert_eq!(value(&Measure::Tokens, 1_840.4), "1840");
        assert_eq!(value(&Measure::Volume, 0.613), "61 % of usual");
        assert_eq!(difference(&Measure::Volume, 1.0, 0.613), "-39 %");
        assert_eq!(difference(&Measure::Accuracy, 0.92, 0.889), "3.1 points");
        assert_eq!(difference(&Measure::Cost, 0.010, 0.0118), "+18 %");
        let fall =
            change(Estimate { value: 0.92, low: 0.91, high: 0.93 }, Estimate { value: 0.88, low: 0.85, high: 0.905 });
        assert!((fall.value + 0.04).abs() < 1e-12 && (fall.high - (-0.04 + 0.025_f64.hypot(0.01))).abs() < 1e-12);
        assert_eq!(change_interval(&Measure::Accuracy, fall), "1.3 to 7.2 points");
        assert_eq!(change_interval(&Measure::Cost, Estimate { value: 0.2, low: 0.04, high: 0.33 }), "+4 to +33 %");
        assert_eq!(digits(0.0, 3), "0");
        assert_eq!(digits(1.0e-9, 3), "0.00000000100");
    }

    #[test]
    fn the_accuracy_of_all_outputs_is_told_with_what_it_rests_on() {
        let estimate = |value: f64| Estimate { value, low: value - 0.01, high: value + 0.02 };
        let versus = |labelled, all| Some(Versus { labelled, all });
        let standing = Standing {
            outputs: 8_120,
            labelled: 412,
            usual: Some(0.05),
            labels: Some(estimate(0.871)),
            estimate: Some(estimate(0.894)),
            how: How::Stratified,
            effective: 230.4,
            differ: Some(Differ { confidence: versus(0.812, 0.904), escalated: versus(0.22, 0.09) }),
            invalid: None,
        };
        let told = |standing: &Standing| told_standing(standing).into_iter().collect::<BTreeMap<_, _>>();
        let all = told(&standing);
        assert_eq!(all["accuracy_estimate"], "89.4 %");
        assert_eq!(all["accuracy_interval"], "88.4 % to 91.4 %");
        assert_eq!(all["accuracy_by"], "412 labels, weighted to match 8120 outputs");
        assert_eq!((all["accuracy_labels"].as_str(), all["labels_usual"].as_str()), ("87.1 %", "5.0 %"));
        assert_eq!(all["labels_in"], "412 of 8120 outputs (5.1 %)");
        assert_eq!(all["labels_differ"], "mean confidence 81.2 % against 90.4 %, escalated 22.0 % against 9.0 %");
        // Whatever number still stood there: what is invalid is told as a reason only.
        let invalid = told(&Standing { invalid: Some("it lies".to_owned()), ..standing });
        assert_eq!(invalid["accuracy_invalid"], "it lies");
        assert!(!invalid.contains_key("accuracy_estimate") && !invalid.contains_key("accuracy_interval"));
        assert_eq!(invalid["accuracy_labels_interval"], "86.1 % to 89.1 %");
    }

    #[test]
    fn what_moved_is_told_in_its_own_units() {
        let part = |characteristic, level: f64, mean: f64, (deviations, given), share| {
            let baseline = Estimate { value: mean, low: mean, high: mean };
            moved(&Part { characteristic, level, baseline, deviations, given, share })
        };
        let latency = part(Characteristic::Latency, 812_f64.ln(), 640_f64.ln(), (2.14, 2.0), 0.6);
        let cost = part(Characteristic::Cost, 0.013_1_f64.ln(), 0.012_9_f64.ln(), (0.4, 1.0), 0.1);
        let confidence = part(Characteristic::Confidence, 0.891, 0.902, (-0.8, -3.0), 0.3);
        assert_eq!(
            told(&[latency, confidence, cost]),
            "latency 812 ms against 640 ms (2.1 sd above), \
             confidence 89.1 % against 90.2 % (usual alone, but lower than the others imply)"
        );
        let cost = Moved { share: 0.5, ..cost };
        assert_eq!(told(&[cost]), "cost $0.0131 against $0.0129 (usual alone, but higher than the others imply)");
    }
}

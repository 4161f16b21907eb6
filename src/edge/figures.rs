//! Numbers as people read them: `89.1 % (87.9 to 90.3)`, `20,000`, `6 h 12 min`.

use crate::engine::account::digits;
use crate::engine::around::Aspect;
use crate::engine::rule::{Component, Measure};
use crate::engine::units::{Estimate, SampleUnit, Span, Timestamp};

/// The unit in which a measure is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Percent,
    /// Percent of what is usual: a change is a share of that, not points.
    Usual,
    Dollars,
    Millis,
    Tokens,
    Plain,
}

/// How the numbers of one alert are written: one unit and one number of decimals, so that level and baseline compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) struct Scale {
    unit: Unit,
    decimals: usize,
}

impl Scale {
    /// The scale for a measure whose numbers are these.
    pub(in crate::edge) fn of(measure: &Measure, shown: &[Estimate]) -> Self {
        let unit = unit(measure);
        let decimals = match unit {
            Unit::Percent | Unit::Usual => {
                let fine = |e: &Estimate| e.high - e.low < 0.004 || e.value >= 0.99 || e.value <= 0.01;
                if shown.iter().any(fine) { 2 } else { 1 }
            }
            Unit::Dollars | Unit::Millis | Unit::Tokens | Unit::Plain => {
                let largest = shown.iter().map(|e| e.value.abs()).fold(0.0, f64::max);
                significant(largest)
            }
        };
        Self { unit, decimals }
    }

    /// Shares, with so many decimals of a percent.
    pub(in crate::edge) const fn percent(decimals: usize) -> Self {
        Self { unit: Unit::Percent, decimals }
    }

    /// Dollars of which this is about the largest.
    pub(in crate::edge) fn dollars(largest: f64) -> Self {
        Self { unit: Unit::Dollars, decimals: significant(largest) }
    }

    /// Milliseconds of which this is about the smallest.
    pub(in crate::edge) fn millis(smallest: f64) -> Self {
        let decimals = match smallest {
            x if x < 10.0 => 2,
            x if x < 100.0 => 1,
            _ => 0,
        };
        Self { unit: Unit::Millis, decimals }
    }

    /// A value with its unit.
    pub(in crate::edge) fn value(self, value: f64) -> String {
        let number = self.number(value);
        match self.unit {
            Unit::Percent | Unit::Usual => format!("{number} %"),
            Unit::Dollars => format!("${number}"),
            Unit::Millis => format!("{number} ms"),
            Unit::Tokens => format!("{number} tokens"),
            Unit::Plain => number,
        }
    }

    /// The ends of an interval, without the unit.
    pub(in crate::edge) fn interval(self, estimate: Estimate) -> String {
        format!("{} to {}", self.number(estimate.low), self.number(estimate.high))
    }

    /// How far a level lies from its baseline, with the interval of that, signed, where it is known: `4.9 points (3.6 to 6.2)
    /// below`, `38 % above`, or nothing where they read the same. In the interval, what lies on the other side is negative.
    /// Of dollars, tokens and volume the change is a share, of everything else a difference.
    pub(in crate::edge) fn distance(self, level: f64, baseline: f64, change: Option<Estimate>) -> Option<String> {
        let side = if level < baseline { "below" } else { "above" };
        let away = (level - baseline).abs();
        if !away.is_finite() || self.number(level) == self.number(baseline) {
            return None;
        }
        let between = |show: &dyn Fn(f64) -> String| {
            change.map_or(String::new(), |Estimate { low, high, .. }| {
                let (low, high) = if level < baseline { (-high, -low) } else { (low, high) };
                format!(" ({} to {})", show(low), show(high))
            })
        };
        if self.unit == Unit::Percent {
            return Some(format!("{} points{} {side}", self.number(away), between(&|x| self.number(x))));
        }
        let share = 100.0 * away / baseline.abs();
        if share.is_finite() && share < 1000.0 {
            let decimals = usize::from(share < 10.0);
            let relative = matches!(self.unit, Unit::Dollars | Unit::Tokens | Unit::Usual);
            let percent = |x: f64| grouped(100.0 * if relative { x } else { x / baseline.abs() }, decimals);
            return Some(format!("{} %{} {side}", grouped(share, decimals), between(&percent)));
        }
        Some(format!("{} {side}", self.value(away)))
    }

    /// Whether values are shares, shown in percent.
    pub(in crate::edge) const fn is_percent(self) -> bool {
        matches!(self.unit, Unit::Percent | Unit::Usual)
    }

    /// A round value on an axis, percent already in percent.
    pub(in crate::edge) fn tick(self, value: f64, decimals: usize) -> String {
        // Room beside an axis is scarce.
        let short = |unit: f64, mark: &str| {
            let text = grouped(value / unit, 2);
            let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
            format!("{text}{mark}")
        };
        let number = match value.abs() {
            large if (1e4..1e6).contains(&large) => short(1e3, "k"),
            large if (1e6..1e12).contains(&large) => short(1e6, "M"),
            _ => grouped(value, decimals),
        };
        match self.unit {
            Unit::Percent | Unit::Usual => format!("{number} %"),
            Unit::Dollars => format!("${number}"),
            Unit::Millis | Unit::Tokens | Unit::Plain => number,
        }
    }

    fn number(self, value: f64) -> String {
        let value = if self.is_percent() { value * 100.0 } else { value };
        grouped(value, self.decimals)
    }
}

/// Decimals with which a number has three significant digits; a cost of $0.0131 must not read $0.01.
fn significant(largest: f64) -> usize {
    if largest > 0.0 { (2.0 - largest.log10().floor()).clamp(0.0, 8.0) as usize } else { 0 }
}

fn unit(measure: &Measure) -> Unit {
    match measure {
        Measure::Accuracy
        | Measure::EstimatedAccuracy
        | Measure::AccuracyAtCoverage
        | Measure::Calibration
        | Measure::Confidence
        | Measure::EscalationRate
        | Measure::OverrideRate
        | Measure::ErrorRate
        | Measure::Availability
        | Measure::Latency { .. }
        | Measure::Flag(_) => Unit::Percent,
        Measure::Volume => Unit::Usual,
        Measure::Cost => Unit::Dollars,
        Measure::Tokens => Unit::Tokens,
        Measure::ConfidenceDistribution | Measure::Silence | Measure::Metric(_) | Measure::Profile => Unit::Plain,
    }
}

/// What a measure is called in a sentence. Names of metrics and flags are not cleaned here.
pub(in crate::edge) fn measure_name(measure: &Measure) -> String {
    match measure {
        Measure::Accuracy => "accuracy".to_owned(),
        Measure::EstimatedAccuracy => "accuracy predicted by confidence".to_owned(),
        Measure::AccuracyAtCoverage => "accuracy at the baseline's coverage".to_owned(),
        Measure::Calibration => "accuracy less what confidence says".to_owned(),
        Measure::Confidence => "mean confidence".to_owned(),
        Measure::ConfidenceDistribution => "distribution of confidence".to_owned(),
        Measure::Profile => "joint behaviour of an hour's means".to_owned(),
        Measure::EscalationRate => "escalation rate".to_owned(),
        Measure::OverrideRate => "override rate".to_owned(),
        Measure::ErrorRate => "error rate".to_owned(),
        Measure::Availability => "availability".to_owned(),
        Measure::Latency { per_mille, component } => {
            let bar = format!("p{}", grouped(f64::from(*per_mille) / 10.0, usize::from(per_mille % 10 != 0)));
            let part = match component {
                None => "share of outputs",
                Some(Component::Llm) => "share of model calls",
                Some(Component::Retrieval) => "share of retrievals",
                Some(Component::Tool) => "share of tool calls",
                Some(Component::Orchestration) => "share of orchestration",
            };
            format!("{part} slower than the baseline's {bar}")
        }
        Measure::Cost => "cost per output".to_owned(),
        Measure::Tokens => "tokens per output".to_owned(),
        Measure::Silence => "silence".to_owned(),
        Measure::Volume => "share of the usual number of outputs".to_owned(),
        Measure::Metric(name) => format!("metric {name}"),
        Measure::Flag(name) => format!("share of outputs flagged {name}"),
    }
}

/// A level of something that moved beside the measure, with its unit.
pub(in crate::edge) fn aspect_value(what: Aspect, level: f64) -> String {
    match what {
        Aspect::Accuracy | Aspect::Confidence | Aspect::Escalation | Aspect::Overrides | Aspect::Errors => {
            format!("{} %", grouped(level * 100.0, 1))
        }
        Aspect::Latency => format!("{} ms", grouped(level, usize::from(level < 10.0))),
        Aspect::Cost => format!("${}", digits(level, 3)),
        Aspect::Volume => grouped(level, usize::from(level < 10.0)),
    }
}

/// A signed number of percentage points: `-4.1 points`.
pub(in crate::edge) fn points(change: f64) -> String {
    format!("{} points", signed(change))
}

/// A change of a share in percentage points, with its sign and without a unit: `-4.1`, `+0.3`, `0.0`.
pub(in crate::edge) fn signed(change: f64) -> String {
    let text = grouped(change * 100.0, 1);
    if change > 0.0 && text != "0.0" { format!("+{text}") } else { text }
}

/// A share in whole percent: `12 %`.
pub(in crate::edge) fn percent(share: f64) -> String {
    format!("{} %", grouped(share * 100.0, 0))
}

/// Whether the chart grades the size of a change of this measure: it does so for shares of outputs only.
pub(in crate::edge) fn is_graded(measure: &Measure) -> bool {
    let mean = matches!(measure, Measure::Confidence | Measure::EstimatedAccuracy | Measure::Calibration);
    unit(measure) == Unit::Percent && !mean
}

/// What the samples of a measure are, one by one.
pub(in crate::edge) const fn cases(measure: &Measure) -> &'static str {
    match measure {
        Measure::Accuracy | Measure::AccuracyAtCoverage | Measure::Calibration => "labelled events",
        Measure::EstimatedAccuracy | Measure::Confidence | Measure::Cost | Measure::Tokens | Measure::Metric(_) => {
            "buckets"
        }
        Measure::Profile => "buckets of an hour or more",
        Measure::Volume => "blocks of hours",
        _ => "outputs",
    }
}

/// What a promise counts.
pub(in crate::edge) const fn promised(measure: &Measure, unit: Option<SampleUnit>) -> &'static str {
    match unit {
        Some(SampleUnit::Batch) => "batches",
        Some(SampleUnit::Bucket) => "buckets",
        Some(SampleUnit::Window) => "windows",
        Some(SampleUnit::Block) => "blocks of hours",
        Some(SampleUnit::Case) | None => cases(measure),
    }
}

/// A whole number with commas: `20,000`.
pub(in crate::edge) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with commas and a fixed number of decimals; very large ones in powers of ten.
fn grouped(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "unknown".to_owned();
    }
    if value.abs() >= 1e15 {
        return format!("{value:.3e}");
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), count);
    // What rounds to zero has no sign.
    let sign = if value < 0.0 && text.bytes().any(|b| matches!(b, b'1'..=b'9')) { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A mean number of samples, rounded to three digits: nobody plans with `19,987.3`.
pub(in crate::edge) fn rounded(n: f64) -> Option<String> {
    if !n.is_finite() || n < 1.0 {
        return None;
    }
    let unit = 10_f64.powf((n.log10().floor() - 2.0).max(0.0));
    Some(grouped((n / unit).round() * unit, 0))
}

/// A moment to the minute, in UTC.
pub(in crate::edge) fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis())
        .map_or_else(|_| at.to_string(), |t| t.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// A moment that is told after another: without the date where it is the same.
pub(in crate::edge) fn moment_after(before: Timestamp, at: Timestamp) -> String {
    let whole = moment(at);
    let same_day = before.floor(Span::DAY) == at.floor(Span::DAY);
    whole.split_once(' ').filter(|_| same_day).map_or(whole.clone(), |(_, time)| time.to_owned())
}

/// An interval of moments about another: without dates where all three lie on one day.
pub(in crate::edge) fn moments(about: Timestamp, (earliest, latest): (Timestamp, Timestamp)) -> String {
    let day = |at: Timestamp| at.floor(Span::DAY);
    let same_day = day(about) == day(earliest) && day(about) == day(latest);
    let told = |at: Timestamp| {
        let whole = moment(at);
        let plain = whole.trim_end_matches(" UTC");
        plain.split_once(' ').filter(|_| same_day).map_or(plain, |(_, time)| time).to_owned()
    };
    format!("{} to {}", told(earliest), told(latest))
}

/// A length of time in its two largest units.
pub(in crate::edge) fn duration(span: Span) -> String {
    let seconds = span.as_millis().max(0) / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, m) => format!("{m} min"),
        (0, h, 0) => format!("{h} h"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, 0, _) => format!("{d} d"),
        (d, h, _) => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64, low: f64, high: f64) -> Estimate {
        Estimate { value, low, high }
    }

    #[test]
    fn every_measure_reads_in_its_own_unit() {
        let told = |measure: Measure, e: Estimate| {
            let scale = Scale::of(&measure, &[e]);
            format!("{} {} ({})", measure_name(&measure), scale.value(e.value), scale.interval(e))
        };
        assert_eq!(told(Measure::Accuracy, estimate(0.891_23, 0.879, 0.903)), "accuracy 89.1 % (87.9 to 90.3)");
        assert_eq!(
            told(Measure::Availability, estimate(0.9951, 0.9943, 0.9958)),
            "availability 99.51 % (99.43 to 99.58)"
        );
        assert_eq!(
            told(Measure::Cost, estimate(0.013_12, 0.0124, 0.0139)),
            "cost per output $0.0131 (0.0124 to 0.0139)"
        );
        assert_eq!(
            told(Measure::Tokens, estimate(12_345.6, 12_000.0, 12_700.0)),
            "tokens per output 12,346 tokens (12,000 to 12,700)"
        );
        assert_eq!(
            told(Measure::Latency { per_mille: 950, component: None }, estimate(0.123, 0.1, 0.15)),
            "share of outputs slower than the baseline's p95 12.3 % (10.0 to 15.0)"
        );
        assert_eq!(
            told(Measure::Metric("score".to_owned()), estimate(f64::NAN, -0.6, 2e20)),
            "metric score unknown (-1 to 2.000e20)"
        );
    }

    #[test]
    fn distances_are_points_or_shares() {
        let percent = Scale { unit: Unit::Percent, decimals: 1 };
        let change = |low, high| Some(estimate(f64::midpoint(low, high), low, high));
        assert_eq!(percent.distance(0.891, 0.94, None).as_deref(), Some("4.9 points below"));
        let fall = percent.distance(0.891, 0.94, change(-0.062, -0.036));
        assert_eq!(fall.as_deref(), Some("4.9 points (3.6 to 6.2) below"));
        let rise = percent.distance(0.12, 0.11, change(-0.002, 0.022));
        assert_eq!(rise.as_deref(), Some("1.0 points (-0.2 to 2.2) above"));
        assert_eq!(percent.distance(0.9401, 0.94, change(-0.01, 0.01)), None);
        let usual = Scale::of(&Measure::Volume, &[estimate(0.61, 0.5, 0.7)]);
        assert_eq!(usual.distance(0.61, 1.0, change(-0.5, -0.28)).as_deref(), Some("39 % (28 to 50) below"));
        let dollars = Scale { unit: Unit::Dollars, decimals: 3 };
        assert_eq!(dollars.distance(0.138, 0.1, change(0.29, 0.47)).as_deref(), Some("38 % (29 to 47) above"));
        assert_eq!(dollars.distance(0.5, 0.0, change(0.4, 0.6)).as_deref(), Some("$0.500 above"));
        let plain = Scale { unit: Unit::Plain, decimals: 1 };
        assert_eq!(plain.distance(18.0, 20.0, change(-3.0, -1.0)).as_deref(), Some("10 % (5 to 15) below"));
    }

    #[test]
    fn values_on_axes_are_short() {
        let scale = |unit| Scale { unit, decimals: 2 };
        let ticks = [5.0, 0.25, 12_500.0, 20_000.0, 1_250_000.0, -30_000.0].map(|x| scale(Unit::Plain).tick(x, 2));
        assert_eq!(ticks, ["5.00", "0.25", "12.5k", "20k", "1.25M", "-30k"]);
        assert_eq!(scale(Unit::Percent).tick(92.5, 1), "92.5 %");
        assert_eq!(scale(Unit::Dollars).tick(0.0125, 4), "$0.0125");
    }

    #[test]
    fn intervals_of_moments_have_dates_where_they_need_them() {
        let at = |hour: i64| Timestamp::from_millis(1_790_863_500_000 + hour * 3_600_000);
        assert_eq!(moments(at(-6), (at(-9), at(-4))), "05:05 to 10:05");
        assert_eq!(moments(at(-6), (at(-19), at(-4))), "2026-09-30 19:05 to 2026-10-01 10:05");
    }

    #[test]
    fn counts_spans_and_promises_are_short() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(rounded(19_987.3).as_deref(), Some("20,000"));
        assert_eq!(rounded(370.4).as_deref(), Some("370"));
        assert_eq!((rounded(f64::INFINITY), rounded(f64::NAN), rounded(0.0)), (None, None, None));
        let spans = [5, 65, 3_600, 22_320, 86_400, 273_600].map(|s| duration(Span::from_secs(s)));
        assert_eq!(spans, ["5 s", "1 min", "1 h", "6 h 12 min", "1 d", "3 d 4 h"]);
        assert_eq!(moment(Timestamp::from_millis(1_790_000_000_000)), "2026-09-21 14:13 UTC");
    }
}

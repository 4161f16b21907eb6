//! A rule's `detect` as written -> [`Detect`], or what is wrong with it. Every part is checked, so that one pass shows
//! every fault.

use super::amount::{self, Quantity, QuantityError, Unit};
use super::burn;
use super::diagnostic::{Sink, did_you_mean, quoted};
use super::measure::{COMPONENTS, Kind, QUANTILES, WORDS};
use super::parse::RawDetect;
use super::yaml::Text;
use super::{Amount, Bound, ChartKind, Detect, Grade, Measure, Promise};
use crate::engine::units::Span;

/// What an alert may cost when the rule does not say: one false alarm per quarter and stream.
pub(super) const DEFAULT_PROMISE: Promise = Promise::Rate { count: 1.0, per: Span::DAY.times(90) };
const PROMISE_HELP: &str = "write `false_alarms: 1 per 90d` (per stream), or `arl0: 20000` (samples)";
/// The words for grades.
pub(super) const GRADES: &[(&str, Grade)] =
    &[("drifting", Grade::Drifting), ("degraded", Grade::Degraded), ("confirmed", Grade::Confirmed)];

/// The words for charts.
pub(super) const CHARTS: &[(&str, ChartKind)] = &[
    ("esr", ChartKind::Esr),
    ("cusum", ChartKind::Cusum),
    ("bank", ChartKind::Bank),
    ("laney", ChartKind::Laney),
    ("ewma", ChartKind::Ewma),
    ("shewhart", ChartKind::Shewhart),
    ("cases", ChartKind::Cases),
];
/// The probability that a promise is kept although the baseline is an estimate, where the rule does not say.
pub(super) const DEFAULT_GUARANTEE: f64 = 0.75;

pub(super) fn detect(sink: &mut Sink<'_>, raw: &RawDetect) -> Option<Detect> {
    let measure = measure(sink, raw);
    if raw.burn_rate.is_some() {
        return burn::detect(sink, raw, measure);
    }
    burn::windows_alone(sink, raw);
    let promise = promise(sink, raw, measure.as_ref());
    let grade = grade(sink, raw, measure.as_ref());
    let bound = measure.as_ref().and_then(|measure| bound(sink, raw, measure));
    let chart = chart(sink, raw, measure.as_ref());
    let guarantee = guarantee(sink, raw, bound);
    Some(Detect {
        measure: measure?,
        bound: bound?,
        promise: promise?,
        grade: grade?,
        chart: chart?,
        guarantee: guarantee?,
    })
}

/// Outside: whether it is right. Inside: whether there is one.
#[expect(clippy::option_option, reason = "a fault, none, and one are three things")]
fn chart(sink: &mut Sink<'_>, raw: &RawDetect, measure: Option<&Measure>) -> Option<Option<ChartKind>> {
    let Some(text) = &raw.chart else { return Some(None) };
    let chart = choice(sink, text, "chart", CHARTS)?;
    let measure = measure?;
    let usual = match measure.charts() {
        [] => {
            let message = format!("{measure} has no choice of charts");
            sink.error(&text.span, message, "remove `chart`");
            return None;
        }
        charts if charts.contains(&chart) => return Some(Some(chart)),
        charts => charts,
    };
    let words = CHARTS.iter().filter(|(_, chart)| usual.contains(chart)).map(|(word, _)| *word);
    let help = format!("it has: {}", words.collect::<Vec<_>>().join(", "));
    sink.error(&text.span, format!("{measure} has no chart `{}`", text.value.trim()), help);
    None
}

fn guarantee(sink: &mut Sink<'_>, raw: &RawDetect, bound: Option<Bound>) -> Option<f64> {
    let Some(text) = &raw.guarantee else { return Some(DEFAULT_GUARANTEE) };
    if text.is_reported() {
        return None;
    }
    if let Some(Bound::Target(_) | Bound::Limit(_) | Bound::Absence(_) | Bound::Shape) = bound {
        let help = "a given bound has no sampling error; remove it";
        sink.warning(&text.span, "`guarantee` says nothing about this rule", help);
    }
    let share = match amount::quantity(&text.value) {
        Ok(Quantity { number, unit: Unit::Percent }) => number / 100.0,
        Ok(Quantity { number, unit: Unit::None }) => number,
        _ => f64::NAN,
    };
    // 99.9 percent is a little more than 0.999 as a double.
    if (0.5..=0.999 + 1e-12).contains(&share) {
        return Some(share);
    }
    let message = format!("`guarantee` is a probability from 50% to 99.9%, found {}", quoted(&text.value));
    sink.error(&text.span, message, "write `guarantee: 90%`: the promise holds for nine baselines in ten");
    None
}

fn measure(sink: &mut Sink<'_>, raw: &RawDetect) -> Option<Measure> {
    let Some(word) = &raw.measure else {
        let help = format!("write what is watched: {}, metrics.NAME or flags.NAME", WORDS.join(", "));
        sink.error(&raw.span, "`detect` has no `measure`", help);
        return None;
    };
    if word.is_reported() {
        return None;
    }
    let Some(mut measure) = Measure::from_word(word.value.trim()) else {
        unknown_measure(sink, word);
        return None;
    };
    if let Measure::Latency { per_mille, component } = &mut measure {
        let Some(text) = &raw.quantile else {
            let help = "write `quantile: p50`, `quantile: p95` or `quantile: p99`";
            sink.error(&word.span, "latency needs a quantile", help);
            return None;
        };
        *per_mille = choice(sink, text, "quantile", QUANTILES)?;
        if let Some(text) = &raw.component {
            *component = Some(choice(sink, text, "component", COMPONENTS)?);
        }
        return Some(measure);
    }
    for (key, text) in [("quantile", &raw.quantile), ("component", &raw.component)] {
        if let Some(text) = text {
            let message = format!("{} has no {key}", word.value);
            sink.error(&text.span, message, format!("only latency has one; remove `{key}`"));
        }
    }
    Some(measure)
}

fn unknown_measure(sink: &mut Sink<'_>, word: &Text) {
    let text = word.value.trim();
    let help = match did_you_mean(text, WORDS) {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("measures are: {}, metrics.NAME, flags.NAME", WORDS.join(", ")),
    };
    sink.error(&word.span, format!("unknown measure {}", quoted(text)), help);
}

fn choice<T: Copy>(sink: &mut Sink<'_>, text: &Text, key: &str, choices: &[(&str, T)]) -> Option<T> {
    let found = choices.iter().find(|(word, _)| *word == text.value.trim());
    if found.is_none() && !text.is_reported() {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let help = match did_you_mean(text.value.trim(), &words) {
            // Short words are all close to each other: name them all.
            Some(close) if close.len() > 3 => format!("did you mean `{close}`?"),
            _ => format!("write one of: {}", words.join(", ")),
        };
        sink.error(&text.span, format!("unknown {key} {}", quoted(&text.value)), help);
    }
    found.map(|(_, value)| *value)
}

fn grade(sink: &mut Sink<'_>, raw: &RawDetect, measure: Option<&Measure>) -> Option<Grade> {
    let Some(text) = &raw.grade else {
        return Some(Grade::default());
    };
    if let Some(measure) = measure.filter(|measure| !measure.kind().is_share()) {
        let message = format!("`grade` says nothing about {measure}");
        sink.warning(&text.span, message, "grades are for shares of cases (accuracy, rates, latency); remove it");
    }
    choice(sink, text, "grade", GRADES)
}

fn promise(sink: &mut Sink<'_>, raw: &RawDetect, measure: Option<&Measure>) -> Option<Promise> {
    match (&raw.false_alarms, &raw.arl0) {
        (None, None) if measure == Some(&Measure::EstimatedAccuracy) => Some(Promise::Shared),
        (None, None) => Some(DEFAULT_PROMISE),
        (Some(_), Some(arl0)) => {
            let help = "they are two ways to say the same; keep one";
            sink.error(&arl0.span, "both `false_alarms` and `arl0` are given", help);
            None
        }
        (Some(text), None) | (None, Some(text)) if text.is_reported() => None,
        (Some(text), None) => rate(sink, text),
        (None, Some(text)) => arl0(sink, text),
    }
}

fn rate(sink: &mut Sink<'_>, text: &Text) -> Option<Promise> {
    let Some((count, per)) = amount::rate(&text.value) else {
        let message = format!("`false_alarms` is a number above zero per duration, found {}", quoted(&text.value));
        sink.error(&text.span, message, PROMISE_HELP);
        return None;
    };
    let per_day = count / per.as_days_f64();
    if per_day > 1_000.0 {
        let message = format!("{} is {per_day:.0} false alarms per day and stream", quoted(&text.value));
        sink.error(&text.span, message, "at most 1000 per day; `1 per 90d` is usual");
        return None;
    }
    if per_day < 1.0 / 36_500.0 {
        let message = format!("{} is less than one false alarm per century", quoted(&text.value));
        sink.error(&text.span, message, "no chart can promise that; `1 per 90d` is usual, `1 per 10y` very strict");
        return None;
    }
    Some(Promise::Rate { count, per })
}

fn arl0(sink: &mut Sink<'_>, text: &Text) -> Option<Promise> {
    let Some(samples) = amount::count(&text.value) else {
        let message = format!("`arl0` is a number of samples, found {}", quoted(&text.value));
        sink.error(&text.span, message, PROMISE_HELP);
        return None;
    };
    if !(100.0..=1e9).contains(&samples) {
        let message = format!("`arl0: {}` cannot be promised", text.value.trim());
        let help = "write samples between false alarms, from 100 to 1000000000; 20000 is usual";
        sink.error(&text.span, message, help);
        return None;
    }
    Some(Promise::Arl0(samples))
}

pub(super) fn bound(sink: &mut Sink<'_>, raw: &RawDetect, measure: &Measure) -> Option<Bound> {
    let kind = measure.kind();
    let mut bounds = raw.bounds.iter();
    let Some((key, text)) = bounds.next() else {
        return without_bound(sink, raw, measure);
    };
    if let Some((second, _)) = bounds.next() {
        let message = format!("both `{}` and `{}` are given", key.value, second.value);
        sink.error(&second.span, message, "a rule has one; keep one, or write a second rule");
        return None;
    }
    if !kind.bounds().contains(&key.value.as_str()) {
        sink.error(&key.span, wrong_bound(measure, key), right_bound(measure, key, text));
        return None;
    }
    if text.is_reported() {
        return None;
    }
    match key.value.as_str() {
        "drop" => amount(sink, measure, key, text).map(Bound::Drop),
        "rise" => amount(sink, measure, key, text).map(Bound::Rise),
        "target" => level(sink, key, text).map(Bound::Target),
        "limit" => level(sink, key, text).map(Bound::Limit),
        _ => absence(sink, text).map(Bound::Absence),
    }
}

fn without_bound(sink: &mut Sink<'_>, raw: &RawDetect, measure: &Measure) -> Option<Bound> {
    match measure {
        Measure::ConfidenceDistribution | Measure::Profile => Some(Bound::Shape),
        // A rise that is as large as the tail for p50 and p95 would be silly small for p99, hence the three.
        Measure::Latency { per_mille: 990, .. } => Some(Bound::Rise(Amount::Points(0.01))),
        Measure::Latency { .. } => Some(Bound::Rise(Amount::Points(0.05))),
        _ => {
            let keys: Vec<String> = measure.kind().bounds().iter().map(|key| format!("`{key}`")).collect();
            let message = format!("{measure} needs one of {}", keys.join(", "));
            let message = if keys.len() == 1 { message.replace("one of ", "") } else { message };
            sink.error(&raw.span, message, format!("write `{}`", measure.kind().example()));
            None
        }
    }
}

fn wrong_bound(measure: &Measure, key: &Text) -> String {
    match (measure.kind(), key.value.as_str()) {
        (Kind::FallingShare | Kind::Fall, "rise") => format!("{measure} gets worse by falling"),
        (Kind::RisingShare | Kind::RisingMean | Kind::Exceedance, "drop") => format!("{measure} gets worse by rising"),
        (Kind::FallingShare, "limit") => format!("{measure} must stay high"),
        (Kind::RisingShare, "target") => format!("{measure} must stay low"),
        _ => format!("{measure} takes no `{}`", key.value),
    }
}

fn right_bound(measure: &Measure, key: &Text, text: &Text) -> String {
    let value = text.value.trim();
    let turned = match (measure.kind(), key.value.as_str()) {
        (Kind::FallingShare | Kind::Fall, "rise") => "drop",
        (Kind::RisingShare | Kind::RisingMean | Kind::Exceedance, "drop") => "rise",
        (Kind::FallingShare, "limit") => "target",
        (Kind::RisingShare, "target") => "limit",
        (Kind::Shape, _) => {
            return format!("it is compared with the baseline's shape; remove `{}`", key.value);
        }
        (Kind::Joint, _) => {
            return format!("it is compared with the baseline's joint behaviour; remove `{}`", key.value);
        }
        (Kind::Exceedance, _) => {
            return "latency is judged against the baseline's own quantile; write `rise: 5pp`".to_owned();
        }
        (kind, _) => return format!("write `{}`", kind.example()),
    };
    format!("write `{turned}: {value}`")
}

/// `drop` and `rise`.
fn amount(sink: &mut Sink<'_>, measure: &Measure, key: &Text, text: &Text) -> Option<Amount> {
    let quantity = quantity(sink, measure, key, text)?;
    if !measure.takes(quantity.unit) {
        let (message, help) = wrong_unit(measure, key, quantity, quantity.unit);
        sink.error(&text.span, message, help);
        return None;
    }
    let amount = match quantity.unit {
        Unit::Points => Amount::Points(quantity.number / 100.0),
        Unit::Percent => Amount::Relative(quantity.number / 100.0),
        Unit::Deviations => Amount::Deviations(quantity.number),
        Unit::None | Unit::Time => Amount::Absolute(quantity.number),
    };
    if let Some((message, help)) = too_far(measure, key, amount) {
        sink.error(&text.span, message, help);
        return None;
    }
    Some(amount)
}

/// A number above zero with a known unit, or a diagnostic.
fn quantity(sink: &mut Sink<'_>, measure: &Measure, key: &Text, text: &Text) -> Option<Quantity> {
    let help = format!("write `{}`", measure.kind().example());
    let found = quoted(&text.value);
    let message = match amount::quantity(&text.value) {
        Ok(quantity) if quantity.number > 0.0 => return Some(quantity),
        Ok(quantity) if quantity.number < 0.0 => {
            let positive = text.value.trim().trim_start_matches('-');
            let help = format!("`{}` says the direction; write `{}: {positive}`", key.value, key.value);
            sink.error(&text.span, format!("{found} is negative"), help);
            return None;
        }
        Ok(_) => format!("{found} is no change at all"),
        Err(QuantityError::NoNumber) => format!("`{}` is an amount, found {found}", key.value),
        Err(QuantityError::NotFinite) => format!("{found} is larger than any number"),
        Err(QuantityError::UnknownUnit(unit)) => format!("{found} has the unknown unit {}", quoted(&unit)),
    };
    sink.error(&text.span, message, help);
    None
}

fn wrong_unit(measure: &Measure, key: &Text, found: Quantity, unit: Unit) -> (String, String) {
    let Quantity { number, .. } = found;
    let key = &key.value;
    let share = measure.kind().is_share();
    match unit {
        Unit::Time if matches!(measure, Measure::Latency { .. }) => (
            "latency is not watched in milliseconds".to_owned(),
            "write `rise: 5pp`: the share of cases slower than the baseline's quantile grows by 5 points".to_owned(),
        ),
        Unit::Percent if share => (
            format!("`{number}%` could mean points or a share of the baseline"),
            format!("write `{key}: {number}pp` for percentage points"),
        ),
        Unit::None if share => (
            format!("`{number}` has no unit"),
            format!("write percentage points: `{key}: {}pp`", if number < 1.0 { number * 100.0 } else { number }),
        ),
        Unit::Points => (
            format!("percentage points are for shares of cases, and {measure} is none"),
            format!("write `{key}: {number}%` (of the baseline) or `{key}: 0.5sd` (standard deviations)"),
        ),
        Unit::None => (format!("`{number}` has no unit"), format!("write `{key}: 20%` (of the baseline)")),
        Unit::Time | Unit::Deviations | Unit::Percent => {
            (format!("{measure} takes no such unit"), format!("write `{}`", measure.kind().example()))
        }
    }
}

/// Changes that cannot happen.
fn too_far(measure: &Measure, key: &Text, amount: Amount) -> Option<(String, String)> {
    let help = format!("write `{}`", measure.kind().example());
    let drop = key.value == "drop";
    match (amount, measure) {
        (Amount::Points(points), Measure::Latency { per_mille, .. }) if points >= f64::from(*per_mille) / 1000.0 => {
            let room = f64::from(*per_mille) / 10.0;
            Some((format!("at most {room}pp more cases than in the baseline can be slower than that"), help))
        }
        (Amount::Points(points), _) if points >= 1.0 => Some(("a share changes by less than 100pp".to_owned(), help)),
        (Amount::Relative(share), _) if drop && share >= 1.0 => {
            Some(("nothing falls by 100% of the baseline or more".to_owned(), help))
        }
        _ => None,
    }
}

/// `target` and `limit`: a share as `92%` or `0.92`.
fn level(sink: &mut Sink<'_>, key: &Text, text: &Text) -> Option<f64> {
    let written = amount::quantity(&text.value).ok();
    let level = match written {
        Some(Quantity { number, unit: Unit::Percent }) => number / 100.0,
        Some(Quantity { number, unit: Unit::None }) => number,
        _ => f64::NAN,
    };
    if level > 0.0 && level < 1.0 {
        return Some(level);
    }
    let message = format!("`{}` is a share between 0 and 1, found {}", key.value, quoted(&text.value));
    let help = match written {
        Some(Quantity { number, unit: Unit::None | Unit::Points }) if number > 1.0 && number < 100.0 => {
            format!("write `{}: {number}%`", key.value)
        }
        _ => format!("write it like `{0}: 92%` or `{0}: 0.92`", key.value),
    };
    sink.error(&text.span, message, help);
    None
}

fn absence(sink: &mut Sink<'_>, text: &Text) -> Option<Span> {
    match amount::duration(&text.value) {
        Ok(span) if span > Span::ZERO => return Some(span),
        Ok(_) => sink.error(&text.span, "`absent` is zero, and every stream pauses", "write `absent: 6h`"),
        Err(help) => sink.error(&text.span, format!("`absent` is a duration, found {}", quoted(&text.value)), help),
    }
    None
}

//! Burn rates: how fast a share with a fixed bound may use up what the bound allows, over two windows at once.
//!
//! **Source.** Beyer, Murphy, Rensin, Kawahara & Thorne (eds.), *The Site Reliability Workbook*, O'Reilly 2018, chapter 5,
//! "Alerting on SLOs", section 6 and table 5-8: of a budget for 30 days, 14.4 over an hour uses up 2 %, 6 over six hours 5 %;
//! the short window is a twelfth of the long one.

use serde::{Deserialize, Serialize};

use super::amount::{self, Quantity, Unit};
use super::check::{self, DEFAULT_GUARANTEE, DEFAULT_PROMISE};
use super::diagnostic::{Sink, quoted};
use super::parse::RawDetect;
use super::yaml::Text;
use super::{Bound, Detect, Grade, Measure};
use crate::engine::units::Span;

/// The longest window: what a stream's panes reach back to.
const LONGEST: Span = Span::DAY;
/// The short window is this part of the long one, where the rule does not say.
const SHORT: i64 = 12;
const WINDOW_HELP: &str = "write whole minutes up to 1h, or whole hours up to 24h";

/// How fast, over which windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BurnRate {
    /// Bad cases over both windows, in units of what the bound allows; above 1.
    pub rate: f64,
    /// The window that carries the evidence: whole minutes up to an hour, or whole hours up to a day.
    pub long: Span,
    /// The window that says that it still goes on; shorter.
    pub short: Span,
}

impl BurnRate {
    /// For pages, 2 % of a month's budget in an hour.
    const FAST: Self = Self { rate: 14.4, long: Span::HOUR, short: Span::MINUTE.times(5) };
    /// For pages, 5 % of a month's budget in six hours.
    const SLOW: Self = Self { rate: 6.0, long: Span::HOUR.times(6), short: Span::MINUTE.times(30) };
}

/// A fixed bound of a share, and how fast it may be used up. It fires where either rate is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Burn {
    /// The share of bad cases that the bound allows, in (0, 1): 1 - target, or the limit.
    pub allowed: f64,
    /// Whether the bound is a target, which good cases must reach, and not a limit.
    pub at_least: bool,
    /// The rate.
    pub first: BurnRate,
    /// Another one, of `default`.
    pub second: Option<BurnRate>,
}

impl Burn {
    /// The rates, one or two.
    pub fn rates(&self) -> impl Iterator<Item = BurnRate> {
        std::iter::once(self.first).chain(self.second)
    }
}

impl Detect {
    /// The burn rates, where the rule has them: then it needs no baseline and makes no promise.
    pub const fn burn(&self) -> Option<Burn> {
        match self.bound {
            Bound::Burn(burn) => Some(burn),
            _ => None,
        }
    }
}

/// `detect` with a burn rate.
pub(super) fn detect(sink: &mut Sink<'_>, raw: &RawDetect, measure: Option<Measure>) -> Option<Detect> {
    let alone = stands_alone(sink, raw);
    let bound = measure.as_ref().and_then(|measure| fixed_bound(sink, raw, measure));
    let (allowed, at_least) = match bound {
        Some(Bound::Target(target)) => (Some(1.0 - target), true),
        Some(Bound::Limit(limit)) => (Some(limit), false),
        _ => (None, false),
    };
    let rates = rates(sink, raw, allowed);
    let (first, second) = rates?;
    let bound = Bound::Burn(Burn { allowed: allowed?, at_least, first, second });
    alone.then_some(Detect {
        measure: measure?,
        bound,
        promise: DEFAULT_PROMISE,
        grade: Grade::Confirmed,
        chart: None,
        guarantee: DEFAULT_GUARANTEE,
    })
}

/// Windows without a burn rate mean nothing.
pub(super) fn windows_alone(sink: &mut Sink<'_>, raw: &RawDetect) {
    for (key, text) in [("long", &raw.long), ("short", &raw.short)] {
        if let Some(text) = text {
            let message = format!("`{key}` is a window of a burn rate, and there is none");
            sink.error(&text.span, message, format!("add `burn_rate: 14.4`, or remove `{key}`"));
        }
    }
}

/// A burn rate is no chart with a promise: says what of the keys beside it does not fit.
fn stands_alone(sink: &mut Sink<'_>, raw: &RawDetect) -> bool {
    let promise = "a burn rate compares two windows with a bound and promises no false alarms; remove it";
    let beside = [
        ("false_alarms", &raw.false_alarms, promise),
        ("arl0", &raw.arl0, promise),
        ("grade", &raw.grade, "above a burn rate nothing is left to grade; remove it"),
        ("chart", &raw.chart, "a burn rate is judged by its two windows and not by a chart; remove one of them"),
        ("guarantee", &raw.guarantee, "a burn rate makes no promise that could be kept or not; remove it"),
    ];
    let mut alone = true;
    for (key, text, help) in beside {
        if let Some(text) = text {
            alone = false;
            sink.error(&text.span, format!("both `burn_rate` and `{key}` are given"), help);
        }
    }
    alone
}

/// The bound, which must be a fixed one.
fn fixed_bound(sink: &mut Sink<'_>, raw: &RawDetect, measure: &Measure) -> Option<Bound> {
    let kind = measure.kind();
    let fixed = kind.bounds().iter().find(|key| matches!(**key, "target" | "limit"));
    let Some(fixed) = fixed.filter(|_| *measure != Measure::Confidence) else {
        if let Some(text) = &raw.burn_rate {
            let help =
                "burn rates are for shares of cases with a target or limit: accuracy, availability, rates, flags";
            sink.error(&text.span, format!("{measure} has no burn rate"), help);
        }
        return None;
    };
    match raw.bounds.first() {
        None => {
            let message = "a burn rate needs the bound that is used up";
            let example = if *fixed == "target" { "99.5%" } else { "1%" };
            sink.error(&raw.span, message, format!("write `{fixed}: {example}` beside it"));
            None
        }
        Some((key, _)) if matches!(key.value.as_str(), "drop" | "rise") => {
            let message = format!("a burn rate needs a fixed bound, and `{}` depends on the baseline", key.value);
            let example = if *fixed == "target" { "99.5%" } else { "1%" };
            let help = format!("write `{fixed}: {example}` in its place, or remove `burn_rate`");
            sink.error(&key.span, message, help);
            None
        }
        Some(_) => check::bound(sink, raw, measure),
    }
}

/// The rates with their windows.
fn rates(sink: &mut Sink<'_>, raw: &RawDetect, allowed: Option<f64>) -> Option<(BurnRate, Option<BurnRate>)> {
    let text = raw.burn_rate.as_ref().filter(|text| !text.is_reported())?;
    if text.value.trim() == "default" {
        let mut alone = true;
        for (key, window) in [("long", &raw.long), ("short", &raw.short)] {
            if let Some(window) = window {
                alone = false;
                let help = format!("`default` is 14.4 over 1h and 5m, or 6 over 6h and 30m; remove `{key}`");
                sink.error(&window.span, format!("`burn_rate: default` has its own `{key}`"), help);
            }
        }
        let fits = allowed.is_none_or(|allowed| reachable(sink, text, BurnRate::FAST.rate, allowed));
        return (alone && fits).then_some((BurnRate::FAST, Some(BurnRate::SLOW)));
    }
    let windows = windows(sink, raw);
    let Ok(Quantity { number: rate, unit: Unit::None }) = amount::quantity(&text.value) else {
        let message = format!("`burn_rate` is a number or `default`, found {}", quoted(&text.value));
        sink.error(&text.span, message, "write `burn_rate: 14.4` or `burn_rate: default`");
        return None;
    };
    if rate <= 1.0 {
        let message = format!("a burn rate of {rate} is nothing to alert on: whoever just keeps the bound has 1");
        sink.error(&text.span, message, "write a number above 1; 14.4 over an hour and 6 over six hours are usual");
        return None;
    }
    if !allowed.is_none_or(|allowed| reachable(sink, text, rate, allowed)) {
        return None;
    }
    let (long, short) = windows?;
    Some((BurnRate { rate, long, short }, None))
}

/// Whether any stream could burn that fast.
fn reachable(sink: &mut Sink<'_>, text: &Text, rate: f64, allowed: f64) -> bool {
    if rate * allowed < 1.0 {
        return true;
    }
    let most = (10.0 / allowed).round() / 10.0;
    let message = format!("a burn rate of {rate} is never exceeded: where every case is bad it is {most}");
    sink.error(&text.span, message, format!("write a number above 1 and below {most}, or a stricter bound"));
    false
}

/// The long and the short window.
fn windows(sink: &mut Sink<'_>, raw: &RawDetect) -> Option<(Span, Span)> {
    let long = window(sink, raw.long.as_ref(), "long", BurnRate::FAST.long);
    let usual = usual_short(long.unwrap_or(BurnRate::FAST.long));
    let short = window(sink, raw.short.as_ref(), "short", usual);
    let (long, short) = (long?, short?);
    if short < long {
        return Some((long, short));
    }
    let at = raw.short.as_ref().or(raw.long.as_ref())?;
    let message = format!("the short window of {short} is not shorter than the long one of {long}");
    sink.error(&at.span, message, "the long window carries the evidence, the short one ends the alert: 1h and 5m");
    None
}

/// A twelfth of the long window, in whole minutes or hours.
fn usual_short(long: Span) -> Span {
    let part = long.as_millis() / SHORT;
    let unit = if part > Span::HOUR.as_millis() { Span::HOUR } else { Span::MINUTE };
    unit.times((part / unit.as_millis()).max(1))
}

fn window(sink: &mut Sink<'_>, text: Option<&Text>, key: &str, usual: Span) -> Option<Span> {
    let Some(text) = text else { return Some(usual) };
    if text.is_reported() {
        return None;
    }
    let span = match amount::duration(&text.value) {
        Ok(span) => span,
        Err(help) => {
            sink.error(&text.span, format!("`{key}` is a duration, found {}", quoted(&text.value)), help);
            return None;
        }
    };
    let unit = if span > Span::HOUR { Span::HOUR } else { Span::MINUTE };
    if span > Span::ZERO && span <= LONGEST && span.as_millis() % unit.as_millis() == 0 {
        return Some(span);
    }
    sink.error(&text.span, format!("no window of {} is kept", text.value.trim()), WINDOW_HELP);
    None
}

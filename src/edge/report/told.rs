//! Numbers and moments as the page has them.

use crate::edge::figures::{Scale, count, duration, moment, rounded};
use crate::engine::units::{Estimate, Span, Timestamp};

/// A share in percent.
pub(super) fn percent(share: f64, decimals: usize) -> String {
    Scale::percent(decimals).value(share)
}

/// A share with its interval: `93.1 % (92.4 to 93.8)`; near the ends one decimal more.
pub(super) fn share(e: Estimate) -> String {
    let fine = e.value >= 0.99 || e.value <= 0.01 || e.high - e.low < 0.004;
    let scale = Scale::percent(if fine { 2 } else { 1 });
    format!("{} ({})", scale.value(e.value), scale.interval(e))
}

/// The same where there may be nothing.
pub(super) fn maybe_share(e: Option<Estimate>) -> String {
    e.map_or_else(|| "–".to_owned(), share)
}

/// A number of cases, rounded to three digits.
pub(super) fn counted(n: f64) -> String {
    rounded(n).unwrap_or_else(|| if n.is_finite() { format!("{:.1}", n.max(0.0)) } else { "unknown".to_owned() })
}

/// A day: `2026-04-09`; a moment where it is none.
pub(super) fn day(at: Timestamp) -> String {
    let whole = moment(at);
    whole.strip_suffix(" 00:00 UTC").unwrap_or(&whole).to_owned()
}

/// A delay, which may be negative where a change is dated after its alert.
pub(super) fn delay(span: Span) -> String {
    if span.as_millis() < 0 { format!("-{}", duration(Span::from_millis(-span.as_millis()))) } else { duration(span) }
}

/// `1 alert`, `2 alerts`.
pub(super) fn many(n: usize, one: &str, more: &str) -> String {
    format!("{} {}", count(n as u64), if n == 1 { one } else { more })
}

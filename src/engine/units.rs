//! The quantities everything else is written in: one newtype per unit, so that milliseconds are never added to events.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A moment in event time: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest event time accepted: 1980-01-01T00:00:00Z. Anything older is a clock that was never set.
    pub const MIN: Self = Self(315_532_800_000);
    /// The latest event time accepted: 2200-01-01T00:00:00Z.
    pub const MAX: Self = Self(7_258_118_400_000);

    /// A timestamp from milliseconds since the epoch; any value.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The start of the period of length `span` that holds this moment, counted from the epoch.
    #[must_use]
    pub const fn floor(self, span: Span) -> Self {
        Self(self.0 - self.0.rem_euclid(span.0))
    }

    /// This moment plus `span`, saturating.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// This moment minus `span`, saturating.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// The time from `earlier` to this moment; negative when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    /// RFC 3339, to the millisecond; any time that can be written so.
    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse::<jiff::Timestamp>().map(|time| Self(time.as_millisecond()))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with milliseconds only where there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// A length of time in milliseconds. Parsed and printed in Prometheus' duration syntax (`1h30m`, `90d`, `0`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span(i64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// One second.
    pub const SECOND: Self = Self(1_000);
    /// One minute.
    pub const MINUTE: Self = Self(60_000);
    /// One hour.
    pub const HOUR: Self = Self(3_600_000);
    /// One day of 24 hours.
    pub const DAY: Self = Self(86_400_000);

    /// A span from milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// A span from whole seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// Milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Seconds, as a fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1_000.0
    }

    /// Days of 24 hours, as a fraction.
    pub fn as_days_f64(self) -> f64 {
        self.0 as f64 / 86_400_000.0
    }

    /// This span `n` times, saturating.
    #[must_use]
    pub const fn times(self, n: i64) -> Self {
        Self(self.0.saturating_mul(n))
    }
}

/// Why a duration could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// The text does not follow the grammar.
    #[error(
        "`{0}` is not a duration; write it like 30s, 5m, 1h30m, 90d, 1y or 0 (units y w d h m s ms, largest first)"
    )]
    Syntax(String),
    /// The duration is longer than 292 million years.
    #[error("the duration `{0}` is too long")]
    TooLong(String),
}

/// Units in the order the grammar demands, with their milliseconds.
const SPAN_UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        if text == "0" {
            return Ok(Self::ZERO);
        }
        let syntax = || SpanError::Syntax(text.chars().take(64).collect());
        let too_long = || SpanError::TooLong(text.chars().take(64).collect());
        let mut rest = text;
        let mut total: i64 = 0;
        let mut next_unit = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_lowercase).count();
            let (unit, tail) = tail.split_at(letters);
            let found = SPAN_UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(syntax)?;
            if digits == 0 || found < next_unit {
                return Err(syntax());
            }
            let number: i64 = number.parse().ok().ok_or_else(too_long)?;
            let millis = SPAN_UNITS.get(found).map_or(0, |(_, millis)| *millis);
            total = number.checked_mul(millis).and_then(|part| total.checked_add(part)).ok_or_else(too_long)?;
            next_unit = found + 1;
            rest = tail;
        }
        if next_unit == 0 { Err(syntax()) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for Span {
    /// Prometheus' form: years and weeks only when the span is a whole number of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return write!(f, "0s");
        }
        if self.0 < 0 {
            write!(f, "-")?;
        }
        let mut rest = self.0.unsigned_abs();
        for (unit, millis) in SPAN_UNITS {
            let millis = millis.unsigned_abs();
            let exact_only = matches!(unit, "y" | "w");
            if exact_only && !rest.is_multiple_of(millis) {
                continue;
            }
            let count = rest / millis;
            if count > 0 {
                write!(f, "{count}{unit}")?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

/// The number of a Kafka partition. Replays of files use partition 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition(pub i32);

/// The position of a record in its partition. Replays of files number the lines from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Offset(pub i64);

/// What a chart takes one at a time, and its promise counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleUnit {
    /// Single cases: labelled events, or outputs.
    Case,
    /// Batches of cases.
    Batch,
    /// Buckets of values.
    Bucket,
    /// Windows of values.
    Window,
    /// Blocks of hours.
    Block,
}

impl SampleUnit {
    /// The word used in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Case => "case",
            Self::Batch => "batch",
            Self::Bucket => "bucket",
            Self::Window => "window",
            Self::Block => "block",
        }
    }
}

/// An interval with its point estimate, in the measure's own unit (proportions in [0, 1]).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The point estimate.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Estimate {
    /// The same estimate of the complementary proportion: 1 - x, ends swapped.
    #[must_use]
    pub fn complement(self) -> Self {
        Self { value: 1.0 - self.value, low: 1.0 - self.high, high: 1.0 - self.low }
    }

    /// The estimate with every number put through a growing function.
    #[must_use]
    pub fn map(self, grow: impl Fn(f64) -> f64) -> Self {
        Self { value: grow(self.value), low: grow(self.low), high: grow(self.high) }
    }
}

/// `good` of `n` cases: what a proportion is estimated from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Cases in which the thing counted happened.
    pub hits: u64,
    /// All cases.
    pub n: u64,
}

impl Counts {
    /// Counts one more case.
    pub const fn add(&mut self, hit: bool) {
        self.n += 1;
        self.hits += hit as u64;
    }

    /// Adds another count.
    pub const fn merge(&mut self, other: Self) {
        self.n += other.n;
        self.hits += other.hits;
    }

    /// The share of hits, or nothing where nothing was counted.
    pub fn share(self) -> Option<f64> {
        (self.n > 0).then(|| self.hits as f64 / self.n as f64)
    }

    /// The counts of the opposite outcome.
    #[must_use]
    pub const fn complement(self) -> Self {
        Self { hits: self.n - self.hits, n: self.n }
    }
}

/// The rank of the q-quantile of n values, the smallest being 1: the least one with at least q n values up to it.
pub fn nearest_rank(q: f64, n: u64) -> u64 {
    ((q * n as f64).ceil() as u64).clamp(1, n.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_prometheus_grammar() {
        for (text, millis) in
            [("0", 0), ("90d", 7_776_000_000), ("1h30m", 5_400_000), ("1y2w3d4h5m6s7ms", 33_019_506_007), ("15ms", 15)]
        {
            assert_eq!(text.parse::<Span>().map(Span::as_millis), Ok(millis), "{text}");
        }
        for text in ["", "1", "h", "1m1h", "1h1h", "-5m", "1.5h", "5 m", "1M", "99999999999999999999y", "9999999999y"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations_print_and_parse_back() {
        for millis in
            [1, 999, 61_000, 5_400_000, 86_400_000, 604_800_000, 31_536_000_000, 31_536_000_001, 1_234_567_890_123]
        {
            let span = Span::from_millis(millis);
            assert_eq!(span.to_string().parse::<Span>(), Ok(span), "{span}");
        }
    }

    #[test]
    fn floor_goes_down_before_the_epoch_too() {
        assert_eq!(Timestamp::from_millis(-1).floor(Span::MINUTE), Timestamp::from_millis(-60_000));
        assert_eq!(Timestamp::from_millis(60_001).floor(Span::MINUTE), Timestamp::from_millis(60_000));
    }
}

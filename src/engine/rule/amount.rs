//! `2pp`, `10%`, `200ms`, `0.5sd`, `1 per 90d`: words with units -> numbers. No measure is known here.

use super::super::units::{Span, SpanError};

/// The unit that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `pp`.
    Points,
    /// `%`.
    Percent,
    /// `ms`, `s`, `m` or `h`.
    Time,
    /// `sd`.
    Deviations,
    /// Nothing.
    None,
}

/// A number with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    /// The number.
    pub number: f64,
    /// Its unit.
    pub unit: Unit,
}

/// Why text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuantityError {
    /// It does not begin with a number.
    NoNumber,
    /// The number is beyond what a double holds.
    NotFinite,
    /// What follows the number.
    UnknownUnit(String),
}

/// A number, then at most one unit.
pub fn quantity(text: &str) -> Result<Quantity, QuantityError> {
    let text = text.trim();
    let (number, unit) = leading_number(text).ok_or(QuantityError::NoNumber)?;
    if !number.is_finite() {
        return Err(QuantityError::NotFinite);
    }
    let unit = match unit.trim_start() {
        "" => Unit::None,
        "pp" => Unit::Points,
        "%" => Unit::Percent,
        "sd" => Unit::Deviations,
        "ms" | "s" | "m" | "h" => Unit::Time,
        other => return Err(QuantityError::UnknownUnit(other.to_owned())),
    };
    Ok(Quantity { number, unit })
}

/// The longest number that the text starts with, and the rest. Words like `nan` and `inf` are no numbers.
fn leading_number(text: &str) -> Option<(f64, &str)> {
    let number_like = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | 'e' | 'E');
    // 40 digits are enough; the bound keeps the search below short.
    let run = text.chars().take(40).take_while(|c| number_like(*c)).count();
    (1..=run).rev().find_map(|length| {
        let (number, rest) = text.split_at_checked(length)?;
        Some((number.parse().ok()?, rest))
    })
}

/// A plain number above zero, for `arl0`.
pub(super) fn count(text: &str) -> Option<f64> {
    let quantity = quantity(text).ok()?;
    (quantity.unit == Unit::None && quantity.number > 0.0).then_some(quantity.number)
}

/// `N per DURATION`.
pub(super) fn rate(text: &str) -> Option<(f64, Span)> {
    let (number, span) = text.split_once(" per ")?;
    let span: Span = span.trim().parse().ok()?;
    (span > Span::ZERO).then_some((count(number)?, span))
}

/// A duration, or what to write instead.
pub(super) fn duration(text: &str) -> Result<Span, String> {
    text.trim().parse().map_err(|fault: SpanError| match fault {
        SpanError::TooLong(_) => "write a shorter one".to_owned(),
        SpanError::Syntax(_) if text.trim().bytes().all(|b| b.is_ascii_digit()) => {
            format!("a number needs its unit: {0}s, {0}m or {0}h", text.trim())
        }
        SpanError::Syntax(_) => "write it like 30s, 5m, 1h30m, 90d or 0 (y w d h m s ms, largest first)".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_number_and_unit() {
        let read = |text| quantity(text).map(|q| (q.number, q.unit));
        assert_eq!(read("2pp"), Ok((2.0, Unit::Points)));
        assert_eq!(read(" 0.5 sd "), Ok((0.5, Unit::Deviations)));
        assert_eq!(read("10%"), Ok((10.0, Unit::Percent)));
        assert_eq!(read("1e-3"), Ok((0.001, Unit::None)));
        assert_eq!(read("-2pp"), Ok((-2.0, Unit::Points)));
        assert_eq!(read("200ms"), Ok((200.0, Unit::Time)));
        assert_eq!(read("nan"), Err(QuantityError::NoNumber));
        assert_eq!(read("infpp"), Err(QuantityError::NoNumber));
        assert_eq!(read("1e999"), Err(QuantityError::NotFinite));
        assert_eq!(read("2 points"), Err(QuantityError::UnknownUnit("points".to_owned())));
        assert_eq!(read("\u{662}pp"), Err(QuantityError::NoNumber));
    }

    #[test]
    fn rates_need_a_count_and_a_time() {
        assert_eq!(rate("1 per 90d"), Some((1.0, Span::DAY.times(90))));
        assert_eq!(rate("0.5 per 1w"), Some((0.5, Span::DAY.times(7))));
        for bad in ["1", "0 per 1d", "-1 per 1d", "1 per 0", "one per day", "1 per day", "1% per 1d"] {
            assert_eq!(rate(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_bare_number_is_told_its_units() {
        assert_eq!(duration("5"), Err("a number needs its unit: 5s, 5m or 5h".to_owned()));
        assert_eq!(duration("0"), Ok(Span::ZERO));
    }
}

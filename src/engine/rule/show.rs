//! Bounds, amounts and promises as they are written in rule files.

use std::fmt;

use super::{Amount, Bound, Burn, Promise};

/// A number without the noise of binary fractions: ten digits after the point at most.
fn plain(x: f64) -> f64 {
    (x * 1e10).round() / 1e10
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Points(points) => write!(f, "{}pp", plain(points * 100.0)),
            Self::Relative(share) => write!(f, "{}%", plain(share * 100.0)),
            Self::Absolute(size) => write!(f, "{}", plain(*size)),
            Self::Deviations(sds) => write!(f, "{}sd", plain(*sds)),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop(amount) => write!(f, "drop {amount}"),
            Self::Rise(amount) => write!(f, "rise {amount}"),
            Self::Target(level) => write!(f, "target {}%", plain(level * 100.0)),
            Self::Limit(level) => write!(f, "limit {}%", plain(level * 100.0)),
            Self::Absence(span) => write!(f, "absent {span}"),
            Self::Shape => f.write_str("shape"),
            Self::Burn(burn) => burn.fmt(f),
        }
    }
}

impl fmt::Display for Burn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = if self.at_least { Bound::Target(1.0 - self.allowed) } else { Bound::Limit(self.allowed) };
        write!(f, "{bound}, burn rate ")?;
        for (number, rate) in self.rates().enumerate() {
            let or = if number > 0 { " or " } else { "" };
            write!(f, "{or}{} over {} and {}", rate.rate, rate.long, rate.short)?;
        }
        Ok(())
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate { count, per } => write!(f, "{} per {per}", plain(*count)),
            Self::Arl0(samples) => write!(f, "1 per {} samples", plain(*samples)),
            Self::Shared => f.write_str("a tenth of the promise of accuracy"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rule::BurnRate;
    use crate::engine::units::Span;

    #[test]
    fn words_are_those_of_rule_files() {
        let five = BurnRate { rate: 14.4, long: Span::HOUR, short: Span::MINUTE.times(5) };
        let burn = Burn { allowed: 1.0 - 0.995, at_least: true, first: five, second: None };
        for (bound, text) in [
            (Bound::Drop(Amount::Points(0.07)), "drop 7pp"),
            (Bound::Rise(Amount::Relative(0.2)), "rise 20%"),
            (Bound::Rise(Amount::Absolute(0.005)), "rise 0.005"),
            (Bound::Drop(Amount::Deviations(0.5)), "drop 0.5sd"),
            (Bound::Target(0.995), "target 99.5%"),
            (Bound::Absence(Span::HOUR.times(6)), "absent 6h"),
            (Bound::Burn(burn), "target 99.5%, burn rate 14.4 over 1h and 5m"),
        ] {
            assert_eq!(bound.to_string(), text);
        }
        assert_eq!(Promise::Rate { count: 1.0, per: Span::DAY.times(90) }.to_string(), "1 per 90d");
        assert_eq!(Promise::Arl0(20_000.0).to_string(), "1 per 20000 samples");
    }
}

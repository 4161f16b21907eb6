//! The false alarms that a whole deployment may raise: a rate over time, split by traffic.
//!
//! **Definition.** With B false alarms a day allowed and T outputs a day on all streams, an output may cost B / (1.21 T) of a
//! false alarm: rates are followed in steps of 10 %, twice. A stream with t outputs a day and c charts gives each chart B t /
//! (1.21 T c) a day; the chart keeps the stricter of
//! this and its rule's own promise. The rates add up to B at most, whatever depends on whatever.
//!
//! **Source.** The union bound. No chart with a finite run length controls a false discovery rate (Dandapanthula & Ramdas
//! 2025), so this is a rate and is not called anything else.
//!
//! **Bad at.** Many small streams: each share is tiny, and with it the power to see anything.

use std::str::FromStr;

use super::units::Span;

/// What is not given away: a share may lie 10 % off before it is shared out anew, and a chart's promise 10 % before its limit
/// follows.
const SLACK: f64 = 1.1 * 1.1;

/// How many false alarms in how much time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// How many, over all streams and rules.
    pub count: f64,
    /// In which time.
    pub per: Span,
}

impl FromStr for Budget {
    type Err = String;

    /// `1 per 7d`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(" per ").and_then(|(count, per)| {
            let count: f64 = count.trim().parse().ok()?;
            let per: Span = per.trim().parse().ok()?;
            (count > 0.0 && count.is_finite() && per > Span::ZERO).then_some(Self { count, per })
        });
        parts.ok_or_else(|| format!("`{text}`; write how many in how much time, like `1 per 7d`"))
    }
}

impl Budget {
    /// False alarms a day.
    pub fn per_day(self) -> f64 {
        self.count / self.per.as_days_f64()
    }

    /// False alarms that one output may cost where there are `traffic` outputs a day; nothing while that is not known.
    pub fn per_output(self, traffic: f64) -> Option<f64> {
        (traffic > 0.0).then(|| self.per_day() / traffic / SLACK)
    }
}

/// False alarms that the charts of some streams promise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Promised {
    /// So far: the sum of 1 / ARL0 over all samples taken.
    pub so_far: f64,
    /// A week, at the present traffic.
    pub per_week: f64,
    /// Alerts that were raised, whatever was behind them.
    pub raised: u64,
    /// Outputs a day of the streams whose rate is known.
    pub traffic: f64,
}

impl Promised {
    /// Adds those of other streams.
    pub fn merge(&mut self, other: Self) {
        self.so_far += other.so_far;
        self.per_week += other.per_week;
        self.raised += other.raised;
        self.traffic += other.traffic;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_streams_are_the_budget() {
        let budget = Budget { count: 1.0, per: Span::DAY.times(7) };
        let traffic = [1_000.0, 10.0, 5_000.0];
        let each = budget.per_output(traffic.iter().sum()).unwrap();
        let week: f64 = traffic.iter().map(|t| 7.0 * t * each).sum();
        assert!((week - 1.0 / SLACK).abs() < 1e-12);
        assert_eq!(budget.per_output(0.0), None);
    }
}

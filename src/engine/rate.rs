//! How many samples a day a chart gets: what turns a promise in time into one in samples.

use serde::{Deserialize, Serialize};

use super::units::{Span, Timestamp};

/// Days over which the rate is averaged: two weeks, so that a weekly rhythm does not move it.
const DAYS: f64 = 14.0;

/// The rate of samples, averaged exponentially over whole days of event time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    per_day: f64,
    /// Days that it rests on, at most 14.
    days: f64,
    /// The day being counted; the first one is cut short and counts for nothing.
    day: Option<Timestamp>,
    whole: bool,
    today: u64,
}

impl Rate {
    /// What is known from a baseline of that many days.
    pub fn known(per_day: f64, days: f64) -> Self {
        Self { per_day, days: days.clamp(0.0, DAYS), ..Self::default() }
    }

    /// Counts one sample. Returns whether a whole day ended, so that the rate may have changed.
    pub fn add(&mut self, at: Timestamp) -> bool {
        // Nearly every sample is of the day that is counted: told without a division.
        if self.day.is_none_or(|day| at < day.plus(Span::DAY)) {
            self.day.get_or_insert(at.floor(Span::DAY));
            self.today += 1;
            return false;
        }
        let today = at.floor(Span::DAY);
        let day = self.day.unwrap_or(today);
        let passed = today.since(day).as_days_f64().round();
        if self.whole {
            self.end_day(self.today as f64);
        }
        // Days without a sample count as well; after so many as the average spans nothing is left to forget.
        for _ in 1..(passed.min(10.0 * DAYS) as u32) {
            self.end_day(0.0);
        }
        let ended = self.whole || passed > 1.0;
        self.day = Some(today);
        self.whole = true;
        self.today = 1;
        ended
    }

    fn end_day(&mut self, samples: f64) {
        self.days = (self.days + 1.0).min(DAYS);
        self.per_day += (samples - self.per_day) / self.days;
    }

    /// Samples a day, once at least a day is known.
    pub fn per_day(&self) -> Option<f64> {
        (self.days >= 1.0).then_some(self.per_day)
    }

    /// The same where `now` may be days after the newest sample: days without one have ended too.
    pub fn per_day_at(&self, now: Timestamp) -> Option<f64> {
        let mut then = self.clone();
        _ = then.add(now);
        then.per_day()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_gone_is_forgotten() {
        let at = |day: i64| Timestamp::from_millis(day * 86_400_000);
        let mut rate = Rate::known(100.0, 30.0);
        (0..30).for_each(|day| (0..100).for_each(|_| _ = rate.add(at(day))));
        assert_eq!((rate.per_day_at(at(29)), rate.per_day_at(at(30))), (Some(100.0), Some(100.0)));
        assert!(rate.per_day_at(at(31)) < Some(95.0) && rate.per_day_at(at(60)) < Some(15.0));
        assert_eq!(rate.per_day(), Some(100.0));
    }

    #[test]
    fn whole_days_count_and_the_first_one_does_not() {
        let mut rate = Rate::default();
        let at = |day: i64, n: i64| Timestamp::from_millis(day * 86_400_000 + 43_200_000 + n * 1_000);
        assert_eq!((rate.add(at(0, 0)), rate.per_day()), (false, None));
        assert!(!rate.add(at(1, 0)));
        (1..10).for_each(|n| assert!(!rate.add(at(1, n))));
        assert!(rate.add(at(2, 0)));
        assert_eq!(rate.per_day(), Some(10.0));
        // Day 2 had one sample, day 3 none.
        assert!(rate.add(at(4, 0)));
        assert_eq!(rate.per_day().map(|x| (x * 3.0).round()), Some(11.0));
    }

    #[test]
    fn a_new_rate_is_believed_within_a_month_and_silence_forgets() {
        let mut rate = Rate::known(1_000.0, 30.0);
        for hour in 0..24 * 45 {
            rate.add(Timestamp::from_millis(hour * 3_600_000));
        }
        let now = rate.per_day().unwrap();
        assert!((24.0..80.0).contains(&now), "{now}");
        rate.add(Timestamp::from_millis(86_400_000 * 10_000));
        assert!(rate.per_day().unwrap() < 0.01);
    }
}

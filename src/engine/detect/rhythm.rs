//! The daily and weekly rhythm of a stream's outputs: how many an hour usually brings.
//!
//! **Definition.** An hour of weekday d expects m(d) s(h) outputs: m(d) is the mean of the baseline's days d, s(h) the share of
//! all outputs that fell into hour h of the day. With whole days only, every hour is seen as often as every other, so these
//! products of margins are the maximum likelihood fit of a Poisson log-linear model with main effects. Saturday and Sunday have
//! shares of their own where they differ from those of the other days: G2 = 2 sum T_gh ln(T_gh / (T_g s(h))), divided by the
//! dispersion of hours within days, is beyond the 99 % quantile of chi-square. Hours are UTC.
//!
//! **Source.** Bishop, Fienberg & Holland (1975), Discrete Multivariate Analysis, chapter 3: closed-form estimates. McCullagh &
//! Nelder (1989), chapter 6 and 9.2: quasi-likelihood. As indices by hour and weekday it is the ratio-to-average method of any
//! textbook on time series.
//!
//! **Classical constants.** 14 days, so that every weekday was seen twice.
//!
//! **Bad at.** Days that move: holidays, month ends, daylight saving, growth. They count as spread in the baseline, and as a change
//! afterwards.

use serde::{Deserialize, Serialize};
use statrs::function::gamma::gamma_ur;

use crate::engine::units::{Span, Timestamp};

/// Fewest whole days.
pub const DAYS_MIN: usize = 14;
/// Chance below which another shape of weekends is taken as more than chance.
const SIGNIFICANT: f64 = 0.01;
/// Fewest outputs of all workdays, and of all weekends, that tell a shape: five in an hour.
const SHAPE_MIN: f64 = 5.0 * 24.0;
/// Of 1970-01-01, a Thursday, where Monday is 0.
const EPOCH_WEEKDAY: i64 = 3;
/// The first of the two days of a weekend.
const SATURDAY: usize = 5;

/// How long an hour waits for outputs that come late, in stream time.
pub(super) const GRACE: Span = Span::from_millis(15 * 60_000);

/// Whether an output that comes at stream time `now` is in time to be counted in its hour. Baselines and charts count by this
/// one rule, whatever a block lasts: outputs that usually come late would be missed by a chart otherwise.
pub fn in_time(ts: Timestamp, now: Timestamp) -> bool {
    now < ts.floor(Span::HOUR).plus(Span::HOUR).plus(GRACE)
}

/// Outputs of one day by the hour.
pub type Day = [u32; 24];

/// How many outputs an hour usually brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rhythm {
    /// Outputs of a day, Monday first.
    days: [f64; 7],
    /// The share of a day's outputs by the hour: of workdays, of weekends. They sum to 1 each, or are 0 where there were none.
    shares: [[f64; 24]; 2],
}

/// Sums over days, from which a rhythm follows.
#[derive(Clone, Default)]
struct Margins {
    seen: [f64; 7],
    outputs: [f64; 7],
    hours: [[f64; 24]; 2],
}

/// The weekday of a day counted from 1970; Monday is 0.
const fn weekday(day: i64) -> usize {
    (day + EPOCH_WEEKDAY).rem_euclid(7) as usize
}

/// 0 for workdays, 1 for weekends.
fn shape_of(weekday: usize) -> usize {
    usize::from(weekday >= SATURDAY)
}

fn total(day: &Day) -> f64 {
    day.iter().map(|n| f64::from(*n)).sum()
}

impl Margins {
    /// Adds a day, or takes it out with a weight of -1.
    fn add(&mut self, weekday: usize, day: &Day, weight: f64) {
        if let (Some(seen), Some(outputs)) = (self.seen.get_mut(weekday), self.outputs.get_mut(weekday)) {
            *seen += weight;
            *outputs += weight * total(day);
        }
        for (sum, n) in self.hours.get_mut(shape_of(weekday)).into_iter().flatten().zip(day) {
            *sum += weight * f64::from(*n);
        }
    }

    /// Shares with or without an own shape of weekends.
    fn rhythm(&self, split: bool) -> Rhythm {
        let [work, rest] = &self.hours;
        let all = std::array::from_fn(|h| at(work, h) + at(rest, h));
        let shares = if split { [normed(work), normed(rest)] } else { [normed(&all); 2] };
        let days = std::array::from_fn(|d| at(&self.outputs, d) / at(&self.seen, d).max(1.0));
        Rhythm { days, shares }
    }

    /// Whether weekends have a shape of their own.
    fn differ(&self, first: i64, days: &[Day]) -> bool {
        let together = self.rhythm(false);
        let apart = self.rhythm(true);
        let mut deviance = 0.0;
        let mut freedom = -1.0;
        for ((hours, own), common) in self.hours.iter().zip(&apart.shares).zip(&together.shares) {
            if hours.iter().sum::<f64>() < SHAPE_MIN {
                return false;
            }
            for ((n, own), common) in hours.iter().zip(own).zip(common) {
                deviance += if *n > 0.0 { 2.0 * n * (own / common).ln() } else { 0.0 };
            }
        }
        freedom += together.shares.iter().take(1).flatten().filter(|share| **share > 0.0).count() as f64;
        // Given a day's outputs, hours vary about their shares; what whole days have in common is no part of the shape.
        let (mut pearson, mut cells) = (0.0, -2.0 * freedom);
        for (day, n) in (first..).zip(days) {
            let Some(shares) = apart.shares.get(shape_of(weekday(day))) else { continue };
            let outputs = total(n);
            let expected = shares.map(|share| share * outputs);
            let terms = expected.iter().zip(n).filter(|(expected, _)| **expected > 0.0);
            pearson += terms.map(|(expected, n)| (f64::from(*n) - expected).powi(2) / expected).sum::<f64>();
            cells += if outputs > 0.0 { freedom } else { 0.0 };
        }
        let dispersion = (pearson / cells.max(1.0)).max(1.0);
        let statistic = deviance / dispersion;
        freedom > 0.0 && statistic > 0.0 && gamma_ur(freedom / 2.0, statistic / 2.0) < SIGNIFICANT
    }
}

fn at<const N: usize>(values: &[f64; N], index: usize) -> f64 {
    values.get(index).copied().unwrap_or_default()
}

fn normed(hours: &[f64; 24]) -> [f64; 24] {
    let sum: f64 = hours.iter().sum();
    hours.map(|n| if sum > 0.0 { n / sum } else { 0.0 })
}

impl Rhythm {
    /// The rhythm of whole days, the first of them counted from 1970, and what each day would have been expected to bring by
    /// the hour if it had not been among them. Nothing with fewer than [`DAYS_MIN`] days, or without outputs.
    pub fn fit(first: i64, days: &[Day]) -> Option<(Self, Vec<[f64; 24]>)> {
        let mut margins = Margins::default();
        for (day, n) in (first..).zip(days) {
            margins.add(weekday(day), n, 1.0);
        }
        if days.len() < DAYS_MIN || margins.outputs.iter().sum::<f64>() <= 0.0 {
            return None;
        }
        let split = margins.differ(first, days);
        let others = (first..).zip(days).map(|(day, n)| {
            let mut margins = margins.clone();
            margins.add(weekday(day), n, -1.0);
            margins.rhythm(split).day(day)
        });
        Some((margins.rhythm(split), others.collect()))
    }

    /// What the hours of a day, counted from 1970, are expected to bring.
    pub fn day(&self, day: i64) -> [f64; 24] {
        let weekday = weekday(day);
        let outputs = at(&self.days, weekday);
        let shares = self.shares.get(shape_of(weekday)).copied().unwrap_or_default();
        shares.map(|share| outputs * share)
    }

    /// Whether weekends have hours of their own.
    pub fn is_split(&self) -> bool {
        let [work, rest] = &self.shares;
        work != rest
    }

    /// Outputs in a week.
    pub fn week(&self) -> f64 {
        self.days.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Xorshift;
    use super::*;

    /// Day 4 after 1970-01-01 is a Monday.
    const MONDAY: i64 = 4;

    fn day(hours: &[(usize, u32)]) -> Day {
        std::array::from_fn(|h| hours.iter().find(|(at, _)| *at == h).map_or(0, |(_, n)| *n))
    }

    #[test]
    fn fitted_values_are_the_products_of_margins() {
        // Two weeks: on Mondays 30 and 50 outputs, on all other days 20. Of all 320, 200 at 9:00 and 120 at 15:00.
        let mut days = vec![day(&[(9, 12), (15, 8)]); 14];
        days[0] = day(&[(9, 20), (15, 10)]);
        days[7] = day(&[(9, 36), (15, 14)]);
        let (rhythm, others) = Rhythm::fit(MONDAY, &days).unwrap();
        let (nine, three) = (200.0 / 320.0, 120.0 / 320.0);
        assert!(!rhythm.is_split() && (rhythm.week() - 160.0).abs() < 1e-12);
        assert!((rhythm.day(MONDAY)[9] - 40.0 * nine).abs() < 1e-12);
        assert!((rhythm.day(MONDAY + 70)[15] - 40.0 * three).abs() < 1e-12);
        assert!((rhythm.day(MONDAY - 1)[9] - 20.0 * nine).abs() < 1e-12 && rhythm.day(MONDAY)[3] == 0.0);
        // The margins of the fit are those of the data: a log-linear model reproduces them.
        let nines: f64 = (MONDAY..MONDAY + 14).map(|day| rhythm.day(day)[9]).sum();
        assert!((nines - 200.0).abs() < 1e-9);
        // The first Monday as the other days foretell it: 50 outputs, 180 of 290 at 9:00.
        assert!((others[0][9] - 50.0 * 180.0 / 290.0).abs() < 1e-12);
        assert!((others[1][15] - 20.0 * 112.0 / 300.0).abs() < 1e-12);
    }

    #[test]
    fn a_fortnight_of_outputs_is_needed() {
        assert_eq!(Rhythm::fit(MONDAY, &[day(&[(9, 5)]); 13]), None);
        assert_eq!(Rhythm::fit(MONDAY, &[day(&[]); 20]), None);
        assert!(Rhythm::fit(MONDAY, &[day(&[(9, 5)]); 14]).is_some());
    }

    #[test]
    fn weekends_get_hours_of_their_own_where_they_have_them_and_rarely_where_not() {
        let mut random = Xorshift::new(31);
        let mut poisson = move |mean: f64| (mean + mean.sqrt() * random.normal()).round().max(0.0) as u32;
        let mut split = |late: bool| {
            let days: Vec<Day> = (0..28)
                .map(|d| {
                    let weekend = d % 7 >= 5;
                    let (from, level) = if weekend && late { (14, 6.0) } else { (8, if weekend { 6.0 } else { 30.0 }) };
                    std::array::from_fn(|h| poisson(level * if (from..from + 10).contains(&h) { 1.0 } else { 0.02 }))
                })
                .collect();
            Rhythm::fit(MONDAY, &days).unwrap().0.is_split()
        };
        assert!((0..20).all(|_| split(true)));
        assert!((0..100).filter(|_| split(false)).count() <= 5);
    }
}

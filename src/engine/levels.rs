//! What classical charts of hours and days are drawn against: the centre of a measure in a baseline, and how far a stretch of
//! so many cases may lie from it.
//!
//! Shares have Laney's p' chart (Laney 2002): three standard deviations of a binomial share, times sigma_z of the baseline's
//! batches of about that width, never below 1. Means have the X-bar chart with the spread of single values and, where the
//! baseline knows it, the variance of means between its hours. They are for looking: alerts come from the charts of the rules,
//! which look at every sample since the change.

use serde::Serialize;

use super::baseline::Profile;
use super::batches::Batches;
use super::detect::Dispersion;
use super::rule::Measure;
use super::sketch::Moments;
use super::units::Counts;

/// Fewest cases of a batch from which the baseline's spread is estimated.
const BATCH_CASES: u64 = 20;
/// Fewest means of hours from which their variance is taken.
const MEANS_MIN: u64 = 10;

/// The centre of one measure in a baseline, and the variance about it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Level {
    /// Cases behind it.
    pub n: u64,
    /// The level, in the measure's unit; shares in [0, 1].
    pub centre: f64,
    /// Variance of a single case within a stretch of an hour, and of a day.
    pub within: [f64; 2],
    /// Variance of whole stretches, however many cases they hold.
    pub between: f64,
}

impl Level {
    /// That of a share, and whether good outcomes are counted. Nothing where the baseline knows no case, and nothing to go by
    /// where all cases were alike.
    pub fn of_share(profile: &Profile, measure: &Measure) -> Option<Self> {
        let bad = profile.bad_of(measure)?;
        let p = bad.share().filter(|p| *p > 0.0 && *p < 1.0)?;
        let batches = profile.batches_of(measure);
        let within = [1, 24].map(|hours| {
            let sigma_z = batches.map_or(1.0, |batches| sigma_z(batches, hours));
            sigma_z * sigma_z * p * (1.0 - p)
        });
        let centre = if counts_good(measure) { 1.0 - p } else { p };
        Some(Self { n: bad.n, centre, within, between: 0.0 })
    }

    fn of_mean(values: &Moments, means: Option<&Moments>) -> Option<Self> {
        let variance = |of: &Moments| (of.n > 1).then(|| of.m2 / (of.n - 1) as f64);
        let within = variance(values).filter(|within| *within > 0.0)?;
        let between = means.filter(|means| means.n >= MEANS_MIN).and_then(variance).unwrap_or_default();
        Some(Self { n: values.n, centre: values.mean, within: [within; 2], between })
    }

    /// All that a baseline knows, with the measures' names.
    pub fn all(profile: &Profile) -> Vec<(&'static str, Self)> {
        let share = |measure| Self::of_share(profile, &measure);
        let pane = &profile.pane;
        let levels = [
            ("accuracy", share(Measure::Accuracy)),
            ("escalation_rate", share(Measure::EscalationRate)),
            ("override_rate", share(Measure::OverrideRate)),
            ("error_rate", share(Measure::ErrorRate)),
            ("confidence", Self::of_mean(&pane.confidence, Some(&profile.confidence.means))),
            ("latency", Self::of_mean(&pane.latency_ms, None)),
            ("cost", Self::of_mean(&pane.cost_usd, None)),
        ];
        levels.into_iter().filter_map(|(name, level)| Some((name, level?))).collect()
    }
}

/// Whether a share is told by its good outcomes.
pub fn counts_good(measure: &Measure) -> bool {
    *measure == Measure::Accuracy
}

/// sigma_z of the baseline's batches of about that many hours, and 1 at least.
pub fn sigma_z(batches: &Batches, hours: u32) -> f64 {
    let groups: Vec<Counts> = batches.grouped(hours.max(batches.hours()), BATCH_CASES);
    Dispersion::estimate(&groups).map_or(1.0, |dispersion| dispersion.sigma_z.max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::units::{Span, Timestamp};

    #[test]
    fn shares_have_binomial_limits_until_hours_differ() {
        let mut profile = Profile::default();
        let start = Timestamp::from_millis(1_767_571_200_000);
        for hour in 0..60_i64 {
            // Every other hour has no errors at all; days are alike.
            for case in 0..100 {
                let bad = hour % 2 == 0 && case < 20;
                profile.pane.correct.add(!bad);
                profile.shares.wrong.add(start.plus(Span::HOUR.times(hour)), bad);
            }
        }
        let level = Level::of_share(&profile, &Measure::Accuracy).unwrap();
        assert_eq!((level.n, level.centre, level.between), (6_000, 0.9, 0.0));
        // A spread of 10 points between hours, where chance gives 3: sigma_z is above 3, and its square above 9.
        let [hour, day] = level.within;
        assert!(hour > 9.0 * 0.09 && (day - 0.09).abs() < 1e-12, "{hour} {day}");
        assert_eq!(Level::of_share(&profile, &Measure::ErrorRate), None);
        assert_eq!(Level::all(&profile).len(), 1);
    }

    #[test]
    fn means_have_the_spread_of_values_and_of_hours() {
        let (mut values, mut means) = (Moments::default(), Moments::default());
        values.add(1.0);
        values.add(3.0);
        for n in 0..10 {
            means.add(f64::from(n % 2));
        }
        let level = Level::of_mean(&values, Some(&means)).unwrap();
        assert_eq!((level.n, level.centre, level.within), (2, 2.0, [2.0, 2.0]));
        assert!((level.between - 10.0 / 36.0).abs() < 1e-12, "{}", level.between);
        let equal = Moments { n: 5, mean: 1.0, m2: 0.0, min: 1.0, max: 1.0 };
        assert_eq!(Level::of_mean(&equal, None), None);
    }
}

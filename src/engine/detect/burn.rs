//! The burn rate of a fixed bound over two windows.
//!
//! **Definition.** Out of control where, for one of the rule's rates b with windows L and S, the share of bad cases over L and
//! the one over S both exceed b a, a the share that the bound allows, and L holds at least ten bad cases. The windows end
//! now, so the verdict is a function of what the windows hold and of stream time.
//!
//! **Source.** Beyer et al. (eds.), *The Site Reliability Workbook*, O'Reilly 2018, chapter 5, "Alerting on SLOs", section 6:
//! multiwindow, multi-burn-rate alerts. The ten are ours. They are what a window of 10 / (b a) cases has at a rate of b, and
//! a share that rests on ten cases has a relative standard error of a third: one error in three requests at night says
//! nothing. They count bad cases and not all cases so that a stream with little traffic is not blind to a full outage.
//!
//! **Bad at.** It promises no run length: how often it fires where nothing changed depends on the traffic and on the level.
//! Slow, small changes: the other charts are for those.

use serde::{Deserialize, Serialize};

use super::design::interval::wilson;
use super::{Direction, Evidence, Verdict};
use crate::engine::rule::{Burn, BurnRate, Grade};
use crate::engine::units::{Counts, Estimate, SampleUnit, Span, Timestamp};

/// Bad cases that the long window must hold.
pub const BAD_LEAST: u64 = 10;
/// Log-likelihood below the maximum that still lies in the 95 % interval of the change point; see `history`.
const INTERVAL: f64 = 3.676;

/// The burn rates of one share of one stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BurnChart {
    burn: Burn,
    judged: Option<Timestamp>,
    burning: Option<Burning>,
}

/// What is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Burning {
    rate: BurnRate,
    /// Bad cases of all over the long window.
    long: Counts,
    /// When it probably began, with its interval.
    began: Timestamp,
    between: (Timestamp, Timestamp),
}

impl BurnChart {
    /// A chart that has seen nothing.
    pub const fn new(burn: Burn) -> Self {
        Self { burn, judged: None, burning: None }
    }

    /// Judges the windows that end at `now`: `sum` gives the bad cases of all over a window, `panes` the same by panes with
    /// their starts, in the order of time.
    pub fn update(
        &mut self,
        now: Timestamp,
        sum: impl Fn(Span) -> Counts,
        panes: impl Fn(Span) -> Vec<(Timestamp, Counts)>,
    ) {
        self.judged = Some(now);
        let allowed = self.burn.allowed;
        let exceeds = |counts: Counts, rate: f64| counts.share().is_some_and(|share| share > rate * allowed);
        let found = self.burn.rates().find_map(|rate| {
            // The short window first: it is cheap, and nearly always calm.
            let burns = exceeds(sum(rate.short), rate.rate);
            let long = burns.then(|| sum(rate.long))?;
            (long.hits >= BAD_LEAST && exceeds(long, rate.rate)).then_some((rate, long))
        });
        self.burning = found.map(|(rate, long)| {
            if let Some(burning) = self.burning {
                return Burning { rate, long, ..burning };
            }
            let (began, between) = dated(&panes(rate.long), allowed).unwrap_or((now, (now, now)));
            Burning { rate, long, began, between }
        });
    }

    /// Whether a rate is exceeded.
    pub const fn is_out(&self) -> bool {
        self.burning.is_some()
    }

    /// Stream time of the last judgement.
    pub const fn judged(&self) -> Option<Timestamp> {
        self.judged
    }

    /// What the windows say.
    pub fn verdict(&self) -> Verdict {
        let Some(Burning { rate, long, began, between }) = self.burning else { return Verdict::InControl };
        let allowed = self.burn.allowed;
        Verdict::OutOfControl(Evidence {
            grade: Grade::Confirmed,
            method: words(rate),
            statistic: self.statistic(),
            limit: rate.rate,
            arl0: 0.0,
            estimate: Some(wilson(long, 0.95)),
            baseline: Estimate { value: allowed, low: allowed, high: allowed },
            baseline_n: 0,
            changed_at: began,
            changed_between: between,
            samples: long.n,
            unit: SampleUnit::Case,
            direction: Direction::Up,
            parts: Vec::new(),
        })
    }

    /// The burn rate of the long window while one is exceeded; 0 before.
    pub fn statistic(&self) -> f64 {
        let share = self.burning.and_then(|burning| burning.long.share());
        share.map_or(0.0, |share| share / self.burn.allowed)
    }

    /// The rate that is exceeded, or the rule's first.
    pub fn limit(&self) -> f64 {
        self.burning.map_or(self.burn.first.rate, |burning| burning.rate.rate)
    }

    /// The share of bad cases that the bound allows.
    pub const fn centre(&self) -> f64 {
        self.burn.allowed
    }

    /// Cases in the long window while a rate is exceeded.
    pub fn samples_seen(&self) -> u64 {
        self.burning.map_or(0, |burning| burning.long.n)
    }

    /// What it is, in words.
    pub fn method(&self) -> String {
        match self.burning {
            Some(burning) => words(burning.rate),
            None => self.burn.rates().map(words).collect::<Vec<_>>().join(" or "),
        }
    }
}

/// `burn rate 14.4 over 1 h and 5 min`.
fn words(rate: BurnRate) -> String {
    let span = |span: Span| {
        let hour = Span::HOUR.as_millis();
        match span.as_millis() {
            millis if millis % hour == 0 => format!("{} h", millis / hour),
            millis => format!("{} min", millis / Span::MINUTE.as_millis()),
        }
    };
    format!("burn rate {} over {} and {}", rate.rate, span(rate.long), span(rate.short))
}

/// Where the share most likely left what is allowed: the stretch up to now whose cases a level of its own explains best
/// against the level allowed, and the interval of its begin.
fn dated(panes: &[(Timestamp, Counts)], allowed: f64) -> Option<(Timestamp, (Timestamp, Timestamp))> {
    let mut sum = Counts::default();
    let mut likelihoods: Vec<(Timestamp, f64)> = Vec::with_capacity(panes.len());
    for (start, counts) in panes.iter().rev().filter(|(_, counts)| counts.n > 0) {
        sum.merge(*counts);
        likelihoods.push((*start, likelihood(sum, allowed)));
    }
    let best = likelihoods.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let within = || likelihoods.iter().filter(|(_, l)| *l >= best.1 - INTERVAL).map(|(at, _)| *at);
    Some((best.0, (within().min()?, within().max()?)))
}

/// Log-likelihood ratio of the share seen against the share allowed; 0 where no more than that was seen.
fn likelihood(counts: Counts, allowed: f64) -> f64 {
    let share = counts.share().unwrap_or_default();
    if share <= allowed {
        return 0.0;
    }
    let (bad, good) = (counts.hits as f64, (counts.n - counts.hits) as f64);
    let of_good = if good > 0.0 { good * ((1.0 - share) / (1.0 - allowed)).ln() } else { 0.0 };
    bad * (share / allowed).ln() + of_good
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(n: i64) -> Timestamp {
        Timestamp::from_millis(1_767_571_200_000).plus(Span::MINUTE.times(n))
    }

    const FAST: BurnRate = BurnRate { rate: 14.4, long: Span::HOUR, short: Span::from_secs(300) };
    const BURN: Burn = Burn { allowed: 0.005, at_least: true, first: FAST, second: None };

    /// A chart that judged these minutes, the newest last.
    fn judged(minutes: &[(u64, u64)]) -> BurnChart {
        let panes: Vec<(Timestamp, Counts)> =
            minutes.iter().zip(0..).map(|((hits, n), at)| (minute(at), Counts { hits: *hits, n: *n })).collect();
        let now = minute(minutes.len() as i64 - 1);
        let of = |span: Span| {
            let from = now.plus(Span::MINUTE).minus(span);
            panes.iter().copied().filter(|(start, _)| *start >= from).collect::<Vec<_>>()
        };
        let sum = |span: Span| {
            let mut sum = Counts::default();
            for (_, counts) in of(span) {
                sum.merge(counts);
            }
            sum
        };
        let mut chart = BurnChart::new(BURN);
        chart.update(now, sum, of);
        chart
    }

    #[test]
    fn both_windows_must_burn_and_ten_must_be_bad() {
        let calm = vec![(0, 20); 55];
        let with = |last: (u64, u64)| [calm.clone(), vec![last; 5]].concat();
        // 1200 cases: 7.2 % of them are 86.4.
        assert!(!judged(&with((17, 20))).is_out(), "85 bad ones of 1200");
        assert!(judged(&with((18, 20))).is_out(), "90 bad ones of 1200");
        // The long window burns, the short one is calm again.
        assert!(!judged(&[vec![(18, 20); 5], calm.clone()].concat()).is_out());
        // Nobody calls any more.
        assert!(!judged(&[with((18, 20)), vec![(0, 0); 5]].concat()).is_out());
        // One error in three requests at night.
        assert!(!judged(&[(1, 3)]).is_out());
        // Little traffic, and all of it fails.
        assert!(!judged(&[(9, 9)]).is_out() && judged(&[(10, 10)]).is_out());
    }

    #[test]
    fn exactly_the_rate_is_not_above_it() {
        let quarter = Burn { allowed: 0.125, first: BurnRate { rate: 2.0, ..FAST }, ..BURN };
        for (bad, out) in [(25, false), (26, true)] {
            let mut chart = BurnChart::new(quarter);
            chart.update(minute(0), |_| Counts { hits: bad, n: 100 }, |_| Vec::new());
            assert_eq!(chart.is_out(), out, "{bad}");
        }
    }

    #[test]
    fn evidence_is_the_long_window_and_dates_the_begin() {
        let chart = judged(&[vec![(0, 20); 50], vec![(15, 20); 10]].concat());
        let Verdict::OutOfControl(found) = chart.verdict() else { panic!("{chart:?}") };
        assert_eq!((found.method.as_str(), found.grade), ("burn rate 14.4 over 1 h and 5 min", Grade::Confirmed));
        assert_eq!((found.samples, found.baseline_n, found.limit), (1_200, 0, 14.4));
        assert!((found.statistic - 25.0).abs() < 1e-9, "{}", found.statistic);
        assert_eq!(found.changed_at, minute(50));
        assert!(found.changed_between.0 <= minute(50) && minute(50) <= found.changed_between.1);
        // Wilson's interval of 150 of 1200, from the published formula.
        let estimate = found.estimate.unwrap();
        assert!((estimate.low - 0.107_476).abs() < 1e-5 && (estimate.high - 0.144_917).abs() < 1e-5, "{estimate:?}");
    }

    #[test]
    fn two_rates_are_one_alert_that_names_the_one_exceeded() {
        let slow = BurnRate { rate: 6.0, long: Span::HOUR.times(6), short: Span::MINUTE.times(30) };
        let both = Burn { second: Some(slow), ..BURN };
        let mut chart = BurnChart::new(both);
        assert_eq!(chart.method(), "burn rate 14.4 over 1 h and 5 min or burn rate 6 over 6 h and 30 min");
        chart.update(minute(0), |_| Counts { hits: 40, n: 1_000 }, |_| Vec::new());
        assert_eq!((chart.is_out(), chart.method().as_str()), (true, "burn rate 6 over 6 h and 30 min"));
    }
}

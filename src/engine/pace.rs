//! Whether verdicts come as they did in the baseline: where wrong answers begin to be reported sooner, a share of errors by
//! the verdicts so far rises although nothing else did.
//!
//! **Definition.** The newest full window of 400 verdicts against all of the baseline's, right and wrong ones each by the age
//! of their outputs: chi-squared for two samples (Pearson 1900), ages with fewer than ten verdicts in both together joined to
//! the next. They come differently where chance alone would show so much in fewer than one of 2,000 windows and the share
//! by some age differs by a tenth at least.
//!
//! **Late ones.** The verdicts of a provisional baseline are closed before the last ones are in. Those that come afterwards are
//! counted here, so that both sides are cut at the same age: otherwise late verdicts would look as if only new outputs had them.
//!
//! **Bad at.** The first weeks: the verdicts that come first are the early ones. Nothing is counted before the first outputs that
//! are judged have the age by which nearly all of the baseline's verdicts were in. A baseline learnt from records that end before its last verdicts came.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::cause::PaceChange;
use super::detect::design::interval::chi_squared_tail;
use super::sparse::Empty;
use super::units::Span;
use super::verdicts::{AGES, Delays};

/// Verdicts of a window.
const WINDOW: u32 = 400;
/// Fewest verdicts of a kind on either side that are compared.
const LEAST: u64 = 30;
/// What chance may show, in either kind.
const CHANCE: f64 = 0.000_5;
/// The least difference that is told.
const TOLD: f64 = 0.10;
/// Fewest verdicts at an age, both sides together.
const TOGETHER: u64 = 10;

/// Verdicts by age, right ones and wrong ones.
type Ages = [[u32; AGES.len() + 1]; 2];

/// When the newest verdicts came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    open: Ages,
    full: Option<Box<Ages>>,
    /// Verdicts on outputs of the baseline that came after it was closed.
    later: Ages,
}

impl Empty for Pace {
    fn empty() -> &'static Self {
        static EMPTY: LazyLock<Pace> = LazyLock::new(Pace::default);
        &EMPTY
    }
}

impl Pace {
    /// Adds a verdict on an output of that age.
    pub fn add(&mut self, age: Span, right: bool) {
        count(&mut self.open, age, right);
        if self.open.iter().flatten().sum::<u32>() >= WINDOW {
            self.full = Some(Box::new(std::mem::take(&mut self.open)));
        }
    }

    /// Adds a verdict on an output of the baseline that came after it was closed.
    pub fn later(&mut self, age: Span, right: bool) {
        count(&mut self.later, age, right);
    }

    /// The larger change since the baseline, where there is one.
    pub fn change(&self, baseline: &Delays) -> Option<PaceChange> {
        let [rights, wrongs] = self.full.as_deref()?;
        let ([rights_then, wrongs_then], [rights_later, wrongs_later]) = (baseline.by_age(), &self.later);
        let changes = [(true, (rights_then, rights_later), rights), (false, (wrongs_then, wrongs_later), wrongs)];
        let found = changes.into_iter().filter_map(|(right, (then, later), now)| {
            let then: Vec<u64> = then.iter().zip(later).map(|(then, later)| then + u64::from(*later)).collect();
            compare(right, &then, now)
        });
        found.max_by(|one, other| (one.now - one.before).abs().total_cmp(&(other.now - other.before).abs()))
    }
}

fn count(ages: &mut Ages, age: Span, right: bool) {
    let [rights, wrongs] = ages;
    let kind = if right { rights } else { wrongs };
    if let Some(count) = kind.get_mut(usize::from(super::verdicts::class(age))) {
        *count = count.saturating_add(1);
    }
}

fn compare(right: bool, then: &[u64], now: &[u32]) -> Option<PaceChange> {
    let now: Vec<u64> = now.iter().map(|n| u64::from(*n)).collect();
    let (all_then, all_now) = (then.iter().sum::<u64>(), now.iter().sum::<u64>());
    if all_then < LEAST || all_now < LEAST {
        return None;
    }
    let mut cells: Vec<(f64, f64)> = Vec::new();
    let (mut so_far, mut widest) = ((0, 0), (0.0, Span::ZERO, 0.0, 0.0));
    let mut open = (0, 0);
    for (at, (then, now)) in then.iter().zip(&now).enumerate() {
        open = (open.0 + then, open.1 + now);
        so_far = (so_far.0 + then, so_far.1 + now);
        let shares = (so_far.0 as f64 / all_then as f64, so_far.1 as f64 / all_now as f64);
        let apart = (shares.0 - shares.1).abs();
        if let Some(age) = AGES.get(at).filter(|_| apart > widest.0) {
            widest = (apart, *age, shares.0, shares.1);
        }
        if open.0 + open.1 >= TOGETHER {
            cells.push((open.0 as f64, open.1 as f64));
            open = (0, 0);
        }
    }
    if let Some(last) = cells.last_mut() {
        *last = (last.0 + open.0 as f64, last.1 + open.1 as f64);
    }
    let share = all_now as f64 / (all_then + all_now) as f64;
    let distance = |(then, now): &(f64, f64)| {
        let expected = share * (then + now);
        (now - expected).powi(2) / (expected * (1.0 - share))
    };
    let chance = chi_squared_tail(cells.iter().map(distance).sum(), cells.len().saturating_sub(1));
    let (apart, age, before, now) = widest;
    (chance < CHANCE && apart >= TOLD).then_some(PaceChange { right, age, before, now })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::confidence::Place;
    use crate::engine::detect::testing::Xorshift;

    fn baseline(random: &mut Xorshift) -> Delays {
        let mut delays = Delays::default();
        for _ in 0..3_000 {
            delays.add(age(random, 6.0), Place::NONE, true);
            delays.add(age(random, 6.0), Place::NONE, false);
        }
        delays
    }

    /// Exponential with that mean, in hours.
    fn age(random: &mut Xorshift, hours: f64) -> Span {
        let far: f64 = -(1.0 - random.uniform()).ln();
        Span::from_millis((far * hours * 3.6e6) as i64)
    }

    #[test]
    fn the_same_pace_hardly_ever_looks_like_another() {
        let mut random = Xorshift::new(31);
        let delays = baseline(&mut random);
        let mut changed = 0;
        for _ in 0..2_000 {
            let mut pace = Pace::default();
            (0..WINDOW).for_each(|n| pace.add(age(&mut random, 6.0), n % 10 > 0));
            changed += u32::from(pace.change(&delays).is_some());
        }
        assert!(changed <= 6, "{changed} of 2,000");
    }

    #[test]
    fn wrong_ones_that_come_sooner_are_told() {
        let mut random = Xorshift::new(32);
        let delays = baseline(&mut random);
        let mut pace = Pace::default();
        (0..WINDOW - 1).for_each(|n| pace.add(age(&mut random, if n % 5 > 0 { 6.0 } else { 1.0 }), n % 5 > 0));
        assert_eq!(pace.change(&delays), None);
        pace.add(Span::HOUR, true);
        let change = pace.change(&delays).unwrap();
        assert!(!change.right && change.age <= Span::HOUR.times(3), "{change:?}");
        assert!(change.before < 0.5 && change.now > 0.6, "{change:?}");
    }
}

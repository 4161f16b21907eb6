//! When did values leave the level that was expected of them, and how far: the change point of a mean from bounded memory.
//!
//! **Definition.** r is what a value differs by from what was expected, v the variance expected of it. With n of them from t on,
//! T the sum of r and Q that of r^2 or of v, whichever is larger, l(t) = T^2 / (2 Q) where T has the sign asked for, else 0:
//! the score statistic of no difference. The change point maximises l; its 95 % interval holds every t with l(t) >= max l - 3.676, and the store is that of
//! `history`. The interval of the mean of r is the asymptotic confidence sequence: mean +- s sqrt(2 (n rho^2 + 1) /
//! (n^2 rho^2) ln(sqrt(n rho^2 + 1) / alpha)), which may be read at any time; s^2 is the variance found, with
//! one imagined value of deviation 1/2, and at least the mean of v: rare errors that did not come yet are not certain not to.
//!
//! **Sources.** Rao (1948) for the score; Hinkley (1970) and Siegmund (1988) as in `history`; Robbins (1970);
//! Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), Time-uniform central limit theory.
//!
//! **Classical constants.** rho is tuned to 500 values at alpha 0.05.
//!
//! **Bad at.** Fewer than ten values; slow ramps; changes further back than 50,000 values.

use serde::{Deserialize, Serialize};

use super::history::{CELL, Doubling, INTERVAL, compact};
use crate::engine::units::{Estimate, Timestamp};

/// Values at which the confidence sequence is narrowest.
const TUNED_TO: f64 = 500.0;
/// Chance that it ever misses.
const ALPHA: f64 = 0.05;
/// Squared deviation of the imagined value.
const IMAGINED: f64 = 0.25;

/// Neighbouring values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Cell {
    at: Timestamp,
    n: u32,
    size: u8,
    /// Of r, r^2 and v.
    sums: [f64; 3],
}

impl Doubling for Cell {
    fn size(&self) -> u8 {
        self.size
    }

    fn take(&mut self, older: Self) {
        self.at = older.at.min(self.at);
        self.n = self.n.saturating_add(older.n);
        self.size += 1;
        for (mine, theirs) in self.sums.iter_mut().zip(older.sums) {
            *mine += theirs;
        }
    }
}

/// The recent past, finer the nearer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Residuals {
    cells: Vec<Cell>,
}

/// Values from a time on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Since {
    /// The first.
    pub(super) at: Timestamp,
    /// The 95 % interval of that time.
    pub(super) between: (Timestamp, Timestamp),
    /// How many.
    pub(super) n: u64,
    /// Their sum.
    pub(super) sum: f64,
    /// The sum of their squares.
    pub(super) squares: f64,
    /// The sum of their squares as it was expected.
    pub(super) expected: f64,
}

impl Since {
    /// The mean with its 95 % confidence sequence.
    pub(super) fn mean(&self) -> Estimate {
        let n = (self.n as f64).max(1.0);
        let value = self.sum / n;
        let found = (IMAGINED + (self.squares - n * value * value).max(0.0)) / (n + 1.0);
        let variance = found.max(self.expected / n);
        let ln = -2.0 * ALPHA.ln();
        let rho2 = (ln + ln.ln() + 1.0) / TUNED_TO;
        let bound = 2.0 * (n * rho2 + 1.0) / (n * n * rho2) * ((n * rho2 + 1.0).sqrt() / ALPHA).ln();
        let half = (variance * bound).sqrt();
        Estimate { value, low: value - half, high: value + half }
    }
}

impl Residuals {
    /// Adds `n` values that belong together, the newest so far: the sums of r, of r^2 and of v.
    pub(super) fn add(&mut self, n: u64, sums: [f64; 3], at: Timestamp) {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        if let Some(open) = self.cells.last_mut().filter(|cell| cell.size == 0 && cell.n < CELL) {
            open.n = open.n.saturating_add(n);
            open.sums.iter_mut().zip(sums).for_each(|(mine, more)| *mine += more);
        } else if n > 0 {
            self.cells.push(Cell { at, n, size: 0, sums });
            compact(&mut self.cells);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.cells.clear();
    }

    /// The likeliest change of the mean from 0 to the side of `sign`, over stretches of at least `shortest` values; everything
    /// stored where no such stretch lies on that side. Nothing of nothing.
    pub(super) fn change(&self, sign: f64, shortest: f64) -> Option<Since> {
        let first = self.cells.first()?.at;
        let mut since = Since { at: first, between: (first, first), n: 0, sum: 0.0, squares: 0.0, expected: 0.0 };
        let mut best: Option<(f64, usize, Since)> = None;
        let mut likelihoods = vec![0.0; self.cells.len()];
        for ((place, cell), slot) in self.cells.iter().enumerate().zip(&mut likelihoods).rev() {
            let [sum, squares, expected] = cell.sums;
            since.n += u64::from(cell.n);
            since.sum += sum;
            since.squares += squares;
            since.expected += expected;
            let spread = 2.0 * since.squares.max(since.expected);
            let value = if sign * since.sum > 0.0 { since.sum * since.sum / spread } else { 0.0 };
            *slot = value;
            if since.n as f64 >= shortest && value > best.map_or(0.0, |(most, ..)| most) {
                best = Some((value, place, Since { at: cell.at, ..since }));
            }
        }
        let Some((most, _, found)) = best else { return Some(since) };
        let inside = |value: &f64| *value > 0.0 && *value >= most - INTERVAL;
        let earliest = self.cells.get(likelihoods.iter().position(inside)?)?.at;
        let last = likelihoods.iter().rposition(inside)?;
        // The change lies somewhere in its cell, and the cell's successor begins where it ends.
        let latest = self.cells.get(last + 1).or(self.cells.get(last))?.at;
        Some(Since { between: (earliest.min(found.at), latest.max(found.at)), ..found })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Xorshift, second};
    use super::*;

    fn single(residuals: &mut Residuals, r: f64, n: u64) {
        residuals.add(1, [r, r * r, 0.09], second(n));
    }

    #[test]
    fn finds_a_change_on_the_side_asked_for() {
        let mut random = Xorshift::new(3);
        let (mut residuals, mut near, mut covered) = (Residuals::default(), 0, 0);
        for _ in 0..400 {
            residuals.clear();
            for n in 0..2_000 {
                single(&mut residuals, if n < 1_200 { 0.0 } else { -0.15 } + 0.3 * random.normal(), n);
            }
            let found = residuals.change(-1.0, 30.0).unwrap();
            near += u32::from((second(1_000)..=second(1_400)).contains(&found.at));
            covered += u32::from(found.between.0 <= second(1_200) && second(1_200) <= found.between.1);
        }
        // Cells make it a little wider than 95 %.
        assert!(near >= 380 && (370..=400).contains(&covered), "{near} and {covered} of 400");
        let up = residuals.change(1.0, 30.0).unwrap();
        assert!(up.n < 800 || up.at == second(0), "{up:?}");
        assert_eq!(Residuals::default().change(1.0, 30.0), None);
    }

    #[test]
    fn without_a_change_everything_is_since() {
        let mut residuals = Residuals::default();
        (0..100).for_each(|n| single(&mut residuals, 0.1, n));
        let found = residuals.change(-1.0, 8.0).unwrap();
        assert_eq!((found.n, found.at), (100, second(0)));
        assert!((found.sum - 10.0).abs() < 1e-9);
    }

    #[test]
    fn keeps_little_and_loses_nothing_near() {
        let mut residuals = Residuals::default();
        (0..40_000).for_each(|n| single(&mut residuals, 0.25, n));
        assert!(residuals.cells.len() <= 72, "{}", residuals.cells.len());
        assert_eq!(residuals.change(-1.0, 8.0).unwrap().n, 40_000);
        residuals.add(u64::MAX, [1.0; 3], second(40_000));
        assert!(residuals.change(1.0, 8.0).is_some());
    }

    #[test]
    fn the_interval_holds_at_all_times_at_once() {
        let mut random = Xorshift::new(20_261_126);
        for p in [0.02, 0.08, 0.45] {
            let (mut missed, runs) = (0, 1_000);
            for _ in 0..runs {
                let mut since = Since {
                    at: second(0),
                    between: (second(0), second(0)),
                    n: 0,
                    sum: 0.0,
                    squares: 0.0,
                    expected: 0.0,
                };
                let missed_once = (0..3_000).any(|_| {
                    // A wrong case where p of all are: r is 1 - p or -p, of mean 0.
                    let r = f64::from(u8::from(random.hit(p))) - p;
                    since.n += 1;
                    since.sum += r;
                    since.squares += r * r;
                    since.expected += p * (1.0 - p);
                    let found = since.mean();
                    since.n >= 10 && !(found.low..=found.high).contains(&0.0)
                });
                missed += u32::from(missed_once);
            }
            assert!(missed <= 60, "{p}: {missed} of {runs}");
        }
    }
}

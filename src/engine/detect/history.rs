//! When did it change, and how far: the change point by maximum likelihood over stored counts.
//!
//! **Definition.** With level p0 before the change and an unknown one after it, the log-likelihood of a change before sample t
//! is l(t) = s ln(p/p0) + f ln((1-p)/(1-p0)), s bad and f good ones from t on, p = s/(s+f) where that is above p0, else
//! l = 0. The change point maximises l; its 95 % interval holds every t with l(t) >= max l - 3.676: near the change l is
//! a two-sided random walk with negative drift, whose maximum exceeds x on either side with chance e^-x, so
//! (1 - e^-3.676)^2 = 0.95. Overdispersed counts: l is divided by phi.
//!
//! **Sources.** Hinkley (1970), Inference about the change-point; Siegmund (1988), Confidence sets in change-point
//! problems; the store is the exponential histogram of Datar, Gionis, Indyk & Motwani (2002).
//!
//! **Classical constants.** Cells of 8 samples that double: at most 6 of each size, so that a change n samples ago is
//! dated to within n / 6.
//!
//! **Bad at.** Slow ramps (there is no change point); changes further back than 50,000 samples; several changes in a row.

use serde::{Deserialize, Serialize};

use crate::engine::units::{Counts, Timestamp};

/// Samples in a cell before it is closed.
pub(super) const CELL: u32 = 8;
/// Cells of one size before the two oldest are merged.
const CELLS_PER_SIZE: usize = 6;
/// Doublings after which the oldest cells are forgotten: 6 * 8 * 2^11 samples are known.
const SIZES: u8 = 11;
/// A change is dated to stretches that would hold so many bad ones without it ...
const EXPECTED: f64 = 4.0;
/// ... within these bounds, in samples.
const SHORTEST: (f64, f64) = (8.0, 100.0);
/// Log-likelihood below the maximum that still lies in the 95 % interval.
pub(super) const INTERVAL: f64 = 3.676;

/// Counts of neighbouring samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cell {
    at: Timestamp,
    hits: u32,
    n: u32,
    size: u8,
}

/// A cell of an exponential histogram, as [`compact`] needs it.
pub(super) trait Doubling {
    /// How often it has doubled.
    fn size(&self) -> u8;

    /// Takes in its older neighbour of the same size.
    fn take(&mut self, older: Self);
}

impl Doubling for Cell {
    fn size(&self) -> u8 {
        self.size
    }

    fn take(&mut self, older: Self) {
        self.at = older.at.min(self.at);
        self.hits = self.hits.saturating_add(older.hits);
        self.n = self.n.saturating_add(older.n);
        self.size += 1;
    }
}

/// Merges the two oldest cells of every size of which there are too many; the oldest come first.
pub(super) fn compact(cells: &mut Vec<impl Doubling>) {
    for size in 0..=SIZES {
        let Some(first) = cells.iter().position(|cell| cell.size() <= size) else { return };
        let same = cells.iter().skip(first).take_while(|cell| cell.size() == size).count();
        if same <= CELLS_PER_SIZE {
            return;
        }
        let oldest = cells.remove(first);
        if size == SIZES {
            return;
        }
        if let Some(next) = cells.get_mut(first) {
            next.take(oldest);
        }
    }
}

/// The recent past of a Bernoulli chart, finer the nearer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    cells: Vec<Cell>,
}

/// Where a change most likely was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangePoint {
    /// Time of the first sample after the change.
    pub at: Timestamp,
    /// The earliest time in the 95 % interval.
    pub earliest: Timestamp,
    /// The latest.
    pub latest: Timestamp,
    /// Samples from the change on.
    pub since: Counts,
}

impl History {
    /// A history without samples.
    pub const fn new() -> Self {
        Self { cells: Vec::new() }
    }

    /// Adds samples that belong together, the newest so far. Returns whether a cell is full now.
    pub fn add(&mut self, counts: Counts, at: Timestamp) -> bool {
        let (hits, n) = (clip(counts.hits), clip(counts.n));
        if n == 0 {
            return false;
        }
        if let Some(open) = self.cells.last_mut().filter(|cell| cell.size == 0 && cell.n < CELL) {
            open.hits = open.hits.saturating_add(hits);
            open.n = open.n.saturating_add(n);
        } else {
            self.cells.push(Cell { at, hits, n, size: 0 });
            compact(&mut self.cells);
        }
        self.cells.last().is_some_and(|cell| cell.n >= CELL)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.cells.clear();
    }

    /// Everything that is stored, as if the change came before it.
    pub fn all(&self) -> Option<ChangePoint> {
        let at = self.cells.first()?.at;
        let mut since = Counts::default();
        self.cells.iter().for_each(|cell| since.merge(Counts { hits: cell.hits.into(), n: cell.n.into() }));
        Some(ChangePoint { at, earliest: at, latest: at, since })
    }

    /// The likeliest change from `p0` upwards, its counts overdispersed by `phi` (1 is binomial). Nothing while no stretch
    /// up to now lies above `p0`.
    pub fn change_point(&self, p0: f64, phi: f64) -> Option<ChangePoint> {
        let p0 = p0.clamp(f64::MIN_POSITIVE, 1.0 - f64::EPSILON);
        let shortest = (EXPECTED / p0).clamp(SHORTEST.0, SHORTEST.1);
        let mut since = Counts::default();
        let mut best: Option<(f64, usize, Counts)> = None;
        let mut likelihoods = vec![0.0; self.cells.len()];
        for (i, cell) in self.cells.iter().enumerate().rev() {
            since.merge(Counts { hits: cell.hits.into(), n: cell.n.into() });
            let value = likelihood(since, p0) / phi.max(1.0);
            if let Some(slot) = likelihoods.get_mut(i) {
                *slot = value;
            }
            // A few bad ones in a row are likely anywhere: only stretches that hold enough cases can win.
            if since.n as f64 >= shortest && value > best.map_or(0.0, |(best, ..)| best) {
                best = Some((value, i, since));
            }
        }
        let (most, index, since) = best?;
        let inside = |value: &f64| *value >= most - INTERVAL && *value > 0.0;
        let first = likelihoods.iter().position(inside)?;
        let last = likelihoods.iter().rposition(inside)?;
        // The change lies somewhere in its cell, and the cell's successor begins where it ends.
        let end = self.cells.get(last + 1).or(self.cells.get(last))?;
        let at = self.cells.get(index)?.at;
        Some(ChangePoint { at, earliest: self.cells.get(first)?.at.min(at), latest: end.at.max(at), since })
    }
}

fn clip(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Log-likelihood ratio of the counts' own share against `p0`, 0 where it is not above.
fn likelihood(counts: Counts, p0: f64) -> f64 {
    let Some(share) = counts.share().filter(|share| *share > p0) else { return 0.0 };
    let (hits, misses) = (counts.hits as f64, (counts.n - counts.hits.min(counts.n)) as f64);
    let good = if misses > 0.0 { misses * ((-share).ln_1p() - (-p0).ln_1p()) } else { 0.0 };
    hits * (share / p0).ln() + good
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Xorshift, second};
    use super::*;

    const fn one(hit: bool) -> Counts {
        Counts { hits: hit as u64, n: 1 }
    }

    #[test]
    fn keeps_little_and_loses_nothing_near() {
        let mut history = History::new();
        for n in 0..40_000 {
            _ = history.add(one(n % 10 == 0), second(n));
        }
        assert!(history.cells.len() <= CELLS_PER_SIZE * (usize::from(SIZES) + 1), "{}", history.cells.len());
        let total: u32 = history.cells.iter().map(|cell| cell.n).sum();
        assert_eq!(total, 40_000);
        assert!(history.cells.windows(2).all(|pair| pair[0].at < pair[1].at && pair[0].size >= pair[1].size));
        for n in 40_000..400_000 {
            _ = history.add(one(false), second(n));
        }
        let total: u32 = history.cells.iter().map(|cell| cell.n).sum();
        assert!(total > 50_000 && history.cells.len() <= 72, "{total}");
    }

    #[test]
    fn finds_a_sharp_change_to_the_cell() {
        let mut history = History::new();
        for n in 0..1_000 {
            _ = history.add(one(n % 20 == 0 || n >= 800 && n % 3 == 0), second(n));
        }
        let found = history.change_point(0.05, 1.0).unwrap();
        assert!((second(760)..=second(816)).contains(&found.at), "{}", found.at);
        assert!(found.earliest <= found.at && found.at <= found.latest);
        assert!(found.since.share().unwrap() > 0.3);
        assert_eq!(History::new().change_point(0.05, 1.0), None);
        let mut calm = History::new();
        (0..500).for_each(|n| _ = calm.add(one(n % 40 == 39), second(n)));
        assert!(calm.change_point(0.9, 1.0).is_none());
    }

    #[test]
    fn the_interval_covers_the_truth_as_often_as_it_says() {
        // 1,200 samples at 8 %, then 1,000 at 12 %: the moment of an alarm, give or take.
        let mut random = Xorshift::new(77);
        let (mut covered, runs) = (0_u32, 1_000);
        for _ in 0..runs {
            let mut history = History::new();
            for n in 0..2_200 {
                _ = history.add(one(random.hit(if n < 1_200 { 0.08 } else { 0.12 })), second(n));
            }
            let found = history.change_point(0.08, 1.0).unwrap();
            covered += u32::from(found.earliest <= second(1_200) && second(1_200) <= found.latest);
        }
        // Cells make it a little wider than 95 %.
        assert!((930..=1_000).contains(&covered), "{covered} of {runs}");
    }
}

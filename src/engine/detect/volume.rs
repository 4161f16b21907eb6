//! The chart of volume: outputs of blocks of hours against the rhythm of the baseline, by a CUSUM of means.
//!
//! **Definition.** A block of B hours, from midnight UTC on, brought x outputs where the rhythm (see `rhythm`) expects e. Its
//! sample is 2 sqrt(x + 3/8) - 2 sqrt(e + 3/8), of variance 1 if outputs were Poisson; blocks with e below 5 are not judged. In the
//! baseline every day is judged by the other days, so that the error of the rhythm is in the spread s of its samples. B is the
//! smallest of 1, 2, 3, 4, 6, 12 hours whose judged blocks hold four fifths of the outputs and do not depend on each other:
//! neighbours correlate by at most 2 / sqrt(blocks), and v, the variance of sums over days in units of that of independent
//! blocks, is at most 1 + 2 sqrt(2 / days); else 24. The spread is then s sqrt(max(v, 1)), s at least 1, for days s sqrt((1 + r) / (1 - r)) where
//! their correlation r is significant; blocks count v times less. The rest is the chart of means (`mean`); it alarms once the volume since the change has gone half of
//! the way asked, of a share half of that share: a chart of hours that differ little sees a tenth where a half was asked for.
//!
//! **Source.** Anscombe (1948): the root. Batch means for the variance of dependent samples: Law & Kelton (2000), 9.5. Control charts
//! of residuals of counts: Jensen, Jones-Farmer, Champ & Woodall (2006) on what estimation does to them.
//!
//! **Classical constants.** 3/8; five expected.
//!
//! **Bad at.** Trends, holidays, and whatever a baseline of few weeks has not seen; outputs at hours that have none in the baseline,
//! which are not judged; quick changes of streams whose days differ, which are judged once a day.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::rhythm::{DAYS_MIN, Day, GRACE, Rhythm, in_time};
use super::{DesignCache, Direction, Evidence, MeanChart, MeanDesign, Verdict};
use crate::engine::units::{Estimate, SampleUnit, Span, Timestamp};

/// Hours that a block may last. All divide a day.
const HOURS: [u32; 7] = [1, 2, 3, 4, 6, 12, 24];
/// Fewest outputs expected in a block that is judged: roots of fewer are far from normal, and nights would dilute.
const EXPECTED_MIN: f64 = 5.0;
/// Share of the outputs that judged blocks must hold where a block may last longer: at the edge of being judged, blocks are
/// those whose expectation came out too high.
const COVERED: f64 = 0.8;
/// Fewest judged blocks in a baseline from which their spread is estimated.
const BLOCKS_MIN: usize = 8;
/// Standard deviation of a root of a Poisson count. Work on a schedule differs less, until the schedule changes: then one
/// output more or less would be many standard deviations.
const CHANCE: f64 = 1.0;
/// Correlation of neighbouring days that is believed at most.
const LAG_MAX: f64 = 0.8;
/// Judged blocks that are remembered: as many as the chart of means remembers to date a change.
const REMEMBERED: usize = 64;
/// Two-sided 95 % of a normal.
const NORMAL_95: f64 = 1.959_963_984_540_054;

/// Anscombe's root of a count or of an expectation.
fn root(x: f64) -> f64 {
    2.0 * (x + 0.375).sqrt()
}

/// What has that root; below 0 for roots of nothing.
fn unroot(y: f64) -> f64 {
    (y.max(0.0) / 2.0).powi(2) - 0.375
}

/// What a baseline says of volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VolumeBaseline {
    rhythm: Rhythm,
    /// Hours that a block lasts.
    pub hours: u32,
    /// Judged blocks of the baseline, and as many independent ones as tell as much.
    pub blocks: u64,
    /// The same, fewer where blocks depend on each other.
    pub independent: u64,
    /// Mean of their samples.
    pub mean: f64,
    /// The standard deviation that the chart works with, as far as dependence widens it.
    pub sigma: f64,
    /// Judged blocks in a week, and the outputs expected in them.
    pub per_week: u64,
    expected: f64,
}

/// Why a baseline carries no chart of volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoVolume {
    /// It is too short.
    #[error("volume needs {DAYS_MIN} whole days (UTC) of baseline; this one has {0}")]
    Days(usize),
    /// There is too little of it.
    #[error("volume needs {BLOCKS_MIN} days of baseline with at least {EXPECTED_MIN} outputs expected")]
    Outputs,
}

/// One width of blocks, tried on a baseline.
struct Tried {
    baseline: VolumeBaseline,
    /// Whether the blocks depend on each other.
    dependent: bool,
}

impl VolumeBaseline {
    /// Of whole days, the first of them counted from 1970.
    pub fn of(first: i64, days: &[Day]) -> Result<Self, NoVolume> {
        if days.len() < DAYS_MIN {
            return Err(NoVolume::Days(days.len()));
        }
        let (rhythm, others) = Rhythm::fit(first, days).ok_or(NoVolume::Outputs)?;
        let widths = HOURS.into_iter().filter_map(|hours| tried((&rhythm, hours), (first, days), &others));
        let found = widths.into_iter().find(|tried| !tried.dependent || tried.baseline.hours == 24);
        found.map(|tried| tried.baseline).ok_or(NoVolume::Outputs)
    }

    /// How far a change of the volume to this share of the usual one moves a sample, on average over a week.
    pub fn shift(&self, share: f64) -> f64 {
        let judged = self.week();
        let moved = |e: &f64| root(e * share.max(0.0)) - root(*e);
        judged.iter().map(moved).sum::<f64>() / judged.len().max(1) as f64
    }

    /// Outputs expected in the judged blocks of a week.
    fn week(&self) -> Vec<f64> {
        week(&self.rhythm, self.hours)
    }

    /// Whether weekends have hours of their own.
    pub fn is_split(&self) -> bool {
        self.rhythm.is_split()
    }

    /// Outputs in a judged block, on average.
    pub fn outputs(&self) -> f64 {
        self.expected / self.per_week.max(1) as f64
    }

    /// Judged blocks a day, on average over a week.
    pub fn per_day(&self) -> f64 {
        self.per_week as f64 / 7.0
    }

    /// The share of the usual volume that the baseline is, 1, with the 95 % interval of its own error.
    pub fn level(&self) -> Estimate {
        let expected = self.outputs() * self.independent as f64;
        share_of(expected, expected, self.sigma)
    }

    /// The share of the usual volume at which the samples of an average judged block have moved by so much: the inverse of
    /// [`VolumeBaseline::shift`], exact where judged blocks expect the same.
    pub fn share_at(&self, moved: f64) -> f64 {
        let judged = self.week();
        let usual = judged.iter().map(|e| root(*e)).sum::<f64>() / judged.len().max(1) as f64;
        (unroot(usual + moved) / unroot(usual).max(f64::MIN_POSITIVE)).max(0.0)
    }

    /// What a block, counted from 1970, is expected to bring; nothing where it is not judged.
    fn expected(&self, block: i64) -> Option<f64> {
        let a_day = i64::from(24 / self.hours);
        let hours = self.rhythm.day(block.div_euclid(a_day));
        let from = block.rem_euclid(a_day) as usize * self.hours as usize;
        let expected = hours.iter().skip(from).take(self.hours as usize).sum::<f64>();
        (expected >= EXPECTED_MIN).then_some(expected)
    }

    /// The length of a block.
    const fn span(&self) -> Span {
        Span::HOUR.times(self.hours as i64)
    }
}

/// Sums over blocks of a day.
fn blocks(day: [f64; 24], hours: u32) -> impl Iterator<Item = f64> {
    (0..24 / hours as usize).map(move |block| day.iter().skip(block * hours as usize).take(hours as usize).sum())
}

fn week(rhythm: &Rhythm, hours: u32) -> Vec<f64> {
    (0..7).flat_map(|day| blocks(rhythm.day(day), hours)).filter(|e| *e >= EXPECTED_MIN).collect()
}

/// Observed outputs as a share of the expected ones, with its 95 % interval: roots are normal with half of that error.
fn share_of(observed: f64, expected: f64, sigma: f64) -> Estimate {
    let expected = expected.max(f64::MIN_POSITIVE);
    let (middle, half) = ((observed / expected).sqrt(), NORMAL_95 * sigma / (2.0 * expected.sqrt()));
    Estimate { value: observed / expected, low: (middle - half).max(0.0).powi(2), high: (middle + half).powi(2) }
}

/// One width on a baseline; nothing where too few blocks could be judged, or where they hold too little.
fn tried((rhythm, hours): (&Rhythm, u32), (first, days): (i64, &[Day]), others: &[[f64; 24]]) -> Option<Tried> {
    let judged = week(rhythm, hours);
    let expected: f64 = judged.iter().sum();
    if hours < 24 && expected < COVERED * rhythm.week() {
        return None;
    }
    // The samples of every day.
    let mut samples: Vec<Vec<f64>> = Vec::with_capacity(days.len());
    for ((day, n), other) in (first..).zip(days).zip(others) {
        let found = blocks(n.map(f64::from), hours).zip(blocks(*other, hours)).zip(blocks(rhythm.day(day), hours));
        let judged = found.filter(|(_, expected)| *expected >= EXPECTED_MIN);
        samples.push(judged.map(|((x, other), _)| root(x) - root(other)).collect());
    }
    let n: usize = samples.iter().map(Vec::len).sum();
    if n < BLOCKS_MIN {
        return None;
    }
    let mean = samples.iter().flatten().sum::<f64>() / n as f64;
    let squares: f64 = samples.iter().flatten().map(|z| (z - mean).powi(2)).sum();
    let sums = samples.iter().filter(|day| !day.is_empty()).map(|day| day.iter().map(|z| z - mean).sum::<f64>());
    let held = sums.clone().count() as f64;
    let between: f64 = sums.map(|sum| sum * sum).sum();
    let all: Vec<f64> = samples.iter().flatten().map(|z| z - mean).collect();
    let neighbours: f64 = all.iter().zip(all.iter().skip(1)).map(|(a, b)| a * b).sum();
    let of = |sum: f64| if squares > 0.0 { sum / squares } else { 0.0 };
    let lag = of(neighbours);
    let correlated = lag > 2.0 / (n as f64).sqrt();
    // 1 where blocks are independent.
    let ratio = of(between) * (n as f64 - 1.0) / n as f64;
    let (dependent, wider) = if hours < 24 {
        (correlated || ratio > 1.0 + 2.0 * (2.0 / held).sqrt(), ratio.max(1.0))
    } else {
        let lag = if correlated { lag.min(LAG_MAX) } else { 0.0 };
        (correlated, (1.0 + lag) / (1.0 - lag))
    };
    let sd = (squares / (n as f64 - 1.0)).sqrt().max(CHANCE);
    let baseline = VolumeBaseline {
        rhythm: rhythm.clone(),
        hours,
        blocks: n as u64,
        independent: ((n as f64 / wider) as u64).max(2),
        mean,
        sigma: sd * wider.sqrt(),
        per_week: judged.len() as u64,
        expected,
    };
    Some(Tried { baseline, dependent })
}

/// What a chart of volume is designed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VolumeDesign {
    /// The rhythm and the blocks.
    pub baseline: VolumeBaseline,
    /// The chart of their samples.
    pub mean: MeanDesign,
    /// The share of the usual volume that lies half way to the change asked.
    pub half_way: f64,
}

/// A block that was judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Judged {
    at: Timestamp,
    observed: f64,
    expected: f64,
}

/// A chart of the volume of one stream, in one direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VolumeChart {
    baseline: VolumeBaseline,
    mean: MeanChart,
    /// The oldest block that is not closed, counted from 1970; nothing before the chart begins.
    open: Option<i64>,
    /// Outputs of the open blocks, the oldest first.
    counts: VecDeque<u32>,
    past: VecDeque<Judged>,
    /// The share of the usual volume that lies half way to the change asked.
    half_way: f64,
    /// Whether the volume went further than that since the chart of means left control.
    beyond: bool,
}

impl VolumeChart {
    /// A chart that has seen nothing.
    pub fn new(design: &VolumeDesign, cache: &mut DesignCache) -> Self {
        Self {
            baseline: design.baseline.clone(),
            mean: MeanChart::new(&design.mean, cache),
            open: None,
            counts: VecDeque::new(),
            past: VecDeque::new(),
            half_way: design.half_way,
            beyond: false,
        }
    }

    /// Changes the promise; the statistic stays.
    pub fn redesign(&mut self, arl0: f64, cache: &mut DesignCache) {
        self.mean.redesign(arl0, cache);
    }

    fn block(&self, ts: Timestamp) -> i64 {
        ts.as_millis().div_euclid(self.baseline.span().as_millis())
    }

    fn start(&self, block: i64) -> Timestamp {
        Timestamp::from_millis(block.saturating_mul(self.baseline.span().as_millis()))
    }

    /// Begins at stream time `now`, where it has not begun: not with the first output, which may be late, or never come. The
    /// block of that moment is seen in part and left out.
    pub fn begin(&mut self, now: Timestamp) {
        let block = self.block(now);
        self.open.get_or_insert(block + 1);
    }

    /// Counts an output that comes at stream time `now`, once blocks that are over by then are closed. What is later than
    /// [`in_time`] allows, or comes for a block that is closed, is not counted.
    pub fn count(&mut self, ts: Timestamp, now: Timestamp) {
        let Some(open) = self.open.filter(|_| in_time(ts, now)) else { return };
        let Ok(at) = usize::try_from(self.block(ts) - open) else { return };
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(at) {
            *count = count.saturating_add(1);
        }
    }

    /// Closes the oldest open block, if it is over at stream time `now`: when it began, and whether it was judged. A chart that
    /// has not begun begins.
    pub fn close(&mut self, now: Timestamp) -> Option<(Timestamp, bool)> {
        self.begin(now);
        let block = self.open?;
        if now < self.closes(block) {
            return None;
        }
        self.open = Some(block + 1);
        let observed = f64::from(self.counts.pop_front().unwrap_or(0));
        let at = self.start(block);
        let Some(expected) = self.baseline.expected(block) else { return Some((at, false)) };
        if self.past.len() >= REMEMBERED {
            self.past.pop_front();
        }
        self.past.push_back(Judged { at, observed, expected });
        self.mean.update(root(observed) - root(expected), 1, at);
        self.beyond = self.mean.is_out() && (self.beyond || self.is_half_way());
        Some((at, true))
    }

    /// Whether the volume since the change went half of the way that was asked, or further.
    fn is_half_way(&self) -> bool {
        let Verdict::OutOfControl(evidence) = self.mean.verdict() else { return false };
        let share = self.since(evidence.changed_at).value;
        if self.mean.design().direction == Direction::Down { share <= self.half_way } else { share >= self.half_way }
    }

    /// The share of the usual volume since then.
    fn since(&self, at: Timestamp) -> Estimate {
        let since = self.past.iter().filter(|judged| judged.at >= at);
        let (observed, expected) = since.fold((0.0, 0.0), |(x, e), judged| (x + judged.observed, e + judged.expected));
        share_of(observed, expected, self.mean.design().working_sigma())
    }

    /// Stream time at which a block is closed: somewhat after its end.
    fn closes(&self, block: i64) -> Timestamp {
        self.start(block + 1).plus(GRACE)
    }

    /// When to look again although no output comes: when the next block that is judged is over, as long as blocks without
    /// outputs can change what the chart says. Where they cannot, they are closed with the next output.
    pub fn deadline(&self) -> Option<Timestamp> {
        let falls = self.mean.design().direction == Direction::Down;
        if falls == self.is_out() {
            return None;
        }
        let a_week = i64::from(7 * 24 / self.baseline.hours);
        let open = self.open?;
        (open..open + a_week).find(|block| self.baseline.expected(*block).is_some()).map(|block| self.closes(block))
    }

    /// Whether the chart is out of control.
    pub const fn is_out(&self) -> bool {
        self.beyond
    }

    /// What the chart says now; the estimate is the share of the usual volume since the change.
    pub fn verdict(&self) -> Verdict {
        match self.mean.verdict() {
            Verdict::OutOfControl(_) if !self.beyond => Verdict::InControl,
            Verdict::OutOfControl(evidence) => Verdict::OutOfControl(Evidence {
                method: self.method(),
                estimate: Some(self.since(evidence.changed_at)),
                baseline: self.baseline.level(),
                baseline_n: self.baseline.blocks,
                unit: SampleUnit::Block,
                ..evidence
            }),
            verdict => verdict,
        }
    }

    /// What the chart is, in words.
    pub fn method(&self) -> String {
        format!("{} of outputs in blocks of {} h", self.mean.design().method.as_str(), self.baseline.hours)
    }

    /// Judged blocks a day, on average over a week.
    pub fn per_day(&self) -> f64 {
        self.baseline.per_day()
    }

    /// The chart of the blocks' samples.
    pub const fn mean(&self) -> &MeanChart {
        &self.mean
    }
}

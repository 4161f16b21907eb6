//! The risk-adjusted chart: labels given what confidence says of each.
//!
//! **Definition.** Of a case whose confidence stands for accuracy g, e = 1 - g, the label x (1 is wrong) has in control
//! chance e. Of an odds ratio R against it, L = R^x / (g + R e), whose mean is 1 whatever the mix of confidences. The alarm
//! is the mixture Shiryaev-Roberts e-detector of `esr` over six odds ratios, three on either side: R_k <- (1 + R_k) L_k, of n
//! labels at once R_k <- (n + R_k) times all their L_k; M, the weighted mean, alarms at A = ARL0. After an alarm the
//! Shiryaev-Roberts statistic of the way back, 1 / L of the change that matters, restarts everything at 20,000.
//!
//! **The promise.** M - n is a supermartingale, so ARL0 is at least A with nothing to calibrate, in fact 1.1 to 1.4 times as
//! much. The map is an estimate: on either side the logits of g are moved by the `guarantee` quantile of the standard error of
//! their level, 1 / sqrt(sum of n g e) over its blocks. What then counts is the mean over the mix, so errors of single blocks
//! cancel as long as the mix stays.
//!
//! **Sources.** Steiner, Cook, Farewell & Treasure (2000) for L; Shin, Ramdas & Rinaldo (2022) for the alarm; the move: Gandy
//! & Kvaloy (2013), on the logit scale of Cox's (1958) recalibration.
//!
//! **Classical constants.** R_k such that the mean of R e / (g + R e) over the mix is that of e and 0.5, 1.6 or 4.6 delta
//! more, the sizes and weights of `design::sr`; 1 / R_k on the other side.
//!
//! **Bad at.** Inputs that get harder where confidence says so: that is none of its business. A mix that moves to blocks that
//! few labels stand behind.

use serde::{Deserialize, Serialize};

use super::design::interval::normal_quantile;
use super::design::sr::{CAP, DROPS, WEIGHTS};
use super::isotonic::CalibrationMap;
use super::residual::Residuals;
use super::{Direction, Evidence, Verdict};
use crate::engine::rule::Grade;
use crate::engine::units::{Estimate, SampleUnit, Timestamp};

/// Where a statistic stops growing: beyond every promise, and far from overflow.
const SATURATION: f64 = 1e15;
/// The way back: one mistaken "resolved" in so many labels while the change that matters is there.
const RESOLVE_PROMISE: f64 = 20_000.0;
/// Smallest and largest logarithm of an odds ratio.
const LN_ODDS: (f64, f64) = (1e-3, 30.0);
/// Halvings when it is solved for.
const HALVINGS: u32 = 60;
/// A change is dated to stretches that would hold so many wrong ones without it ...
const EXPECTED: f64 = 4.0;
/// ... within these bounds, in labels.
const SHORTEST: (f64, f64) = (8.0, 100.0);
/// Two-sided 95 % of a normal.
const NORMAL_95: f64 = 1.959_963_984_540_054;

/// What a risk-adjusted chart is designed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdjustedDesign {
    /// What confidences stand for.
    pub map: CalibrationMap,
    /// How often each accuracy is said in validation: pairs of it and a weight, which need not add up to 1. Where there are
    /// none it is as often as it was labelled.
    pub mix: Vec<(f64, f64)>,
    /// The change of the mean error that matters, in (0, 1].
    pub delta: f64,
    /// The promise: labels between false alarms of either side.
    pub arl0: f64,
    /// The probability, over the map's own error, that the promise is kept; in (0, 1).
    pub guarantee: f64,
}

impl AdjustedDesign {
    /// The design whose mix is that of the map's own labels, at the default guarantee.
    pub const fn new(map: CalibrationMap, delta: f64, arl0: f64) -> Self {
        Self { map, mix: Vec::new(), delta, arl0, guarantee: super::ProportionDesign::GUARANTEE }
    }

    /// What was given of the mix, or that of the map's own labels where nothing was.
    fn sound_mix(&self) -> Vec<(f64, f64)> {
        let sound = |(g, weight): &&(f64, f64)| (0.0..=1.0).contains(g) && *weight > 0.0 && weight.is_finite();
        let given: Vec<(f64, f64)> = self.mix.iter().filter(sound).copied().collect();
        if given.is_empty() {
            return self.map.blocks().iter().map(|block| (block.accuracy, block.labelled as f64)).collect();
        }
        given
    }

    /// The odds ratio that adds `rise` to the mean error over the mix.
    fn odds(&self, rise: f64) -> f64 {
        let mix = self.sound_mix();
        let all: f64 = mix.iter().map(|(_, weight)| weight).sum();
        let error = |odds: f64| {
            let wrong = |(g, weight): &(f64, f64)| weight * odds * (1.0 - g) / (g + odds * (1.0 - g));
            mix.iter().map(wrong).sum::<f64>() / all
        };
        let wanted = (error(1.0) + rise).min(CAP);
        let (mut low, mut high) = LN_ODDS;
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if error(middle.exp()) < wanted {
                low = middle;
            } else {
                high = middle;
            }
        }
        high.exp()
    }

    /// The sum of n g (1 - g) over the map's blocks: the information of its labels on the level of its logits.
    fn information(&self) -> f64 {
        self.map.blocks().iter().map(|block| block.labelled as f64 * block.accuracy * (1.0 - block.accuracy)).sum()
    }
}

/// One direction of change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Side {
    odds: [f64; 3],
    /// The odds ratio of the change that matters.
    matters: f64,
    r: [f64; 3],
}

impl Side {
    /// Half of the mixture.
    fn statistic(&self) -> f64 {
        self.r.iter().zip(WEIGHTS).map(|(r, weight)| 0.5 * weight * r).sum()
    }
}

/// Labels of nearly the same confidence, as a chart takes them.
#[derive(Clone, Copy)]
struct Labels {
    /// Chances of a wrong one in control, as each side takes them.
    wrong: [f64; 2],
    n: f64,
    bad: f64,
}

impl Labels {
    /// The likelihood ratio of an odds ratio on the side with this number, as a logarithm.
    fn ln(&self, odds: f64, side: usize) -> f64 {
        self.bad * odds.ln() - self.n * ((odds - 1.0) * self.chance(side)).ln_1p()
    }

    /// The same of one label, as it is.
    fn ratio(&self, odds: f64, side: usize) -> f64 {
        (if self.bad > 0.0 { odds } else { 1.0 }) / (odds - 1.0).mul_add(self.chance(side), 1.0)
    }

    fn chance(&self, side: usize) -> f64 {
        self.wrong.get(side).copied().unwrap_or(0.5)
    }
}

/// What the labels make of a Shiryaev-Roberts statistic of an odds ratio on the side with this number; of its inverse where
/// the chart looks for the way `back`.
fn advanced(r: f64, labels: &[Labels], (odds, side): (f64, usize), back: bool) -> f64 {
    if let [one] = labels
        && one.n <= 1.0
    {
        let ratio = one.ratio(odds, side);
        return ((1.0 + r) * if back { ratio.recip() } else { ratio }).min(SATURATION);
    }
    let (n, ln) = labels.iter().fold((0.0, 0.0), |(n, ln), labels| (n + labels.n, ln + labels.ln(odds, side)));
    // As a logarithm, because the product of many overflows long before the statistic should.
    ((r + n).ln() + if back { -ln } else { ln }).exp().min(SATURATION)
}

/// A chart of labels given confidence, of one stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdjustedChart {
    design: AdjustedDesign,
    /// Chances of a wrong label by block of the map, moved for its error: where labels are to fall short, and to exceed.
    blocks: Vec<[f64; 2]>,
    /// Labels fall short of what confidence says, and exceed it.
    sides: [Side; 2],
    seen: u64,
    out: Option<Direction>,
    back: f64,
    residuals: Residuals,
}

impl AdjustedChart {
    /// What the chart is, in words.
    pub const METHOD: &str = "e-SR mixture of labels given confidence";

    /// A chart that has seen nothing.
    pub fn new(design: &AdjustedDesign) -> Self {
        let design = AdjustedDesign {
            // A change of nothing, or no number at all, is not a design; the rule compiler lets neither through.
            delta: design.delta.clamp(1e-6, 1.0).max(1e-6),
            arl0: design.arl0.max(1.0),
            ..design.clone()
        };
        let step = normal_quantile(design.guarantee).max(0.0) / design.information().sqrt();
        let moved = |g: f64, by: f64| 1.0 / (1.0 + g / (1.0 - g) * by.exp());
        let blocks =
            design.map.blocks().iter().map(|block| [-step, step].map(|by| moved(block.accuracy, by))).collect();
        let (odds, matters) = (DROPS.map(|drop| design.odds(drop * design.delta)), design.odds(design.delta));
        let short = Side { odds, matters, r: [0.0; 3] };
        let exceeds = Side { odds: odds.map(f64::recip), matters: matters.recip(), r: [0.0; 3] };
        let sides = [short, exceeds];
        Self { design, blocks, sides, seen: 0, out: None, back: 0.0, residuals: Residuals::default() }
    }

    /// Takes one label. One whose confidence is no number says nothing here.
    pub fn update(&mut self, confidence: f64, right: bool, at: Timestamp) {
        let Some((labels, g)) = self.labels(confidence, 1, u64::from(right)) else { return };
        let miss = f64::from(u8::from(right)) - g;
        self.residuals.add(1, [miss, miss * miss, g * (1.0 - g)], at);
        self.take(&[labels], 1);
    }

    /// Takes labels that belong together, in no order: confidences, how many labels each, how many of them right.
    pub fn update_cell(&mut self, cell: &[(f64, u64, u64)], at: Timestamp) {
        let (mut n, mut sums) = (0, [0.0; 3]);
        let mut all = Vec::with_capacity(cell.len());
        for (confidence, count, right) in cell {
            let Some((labels, g)) = self.labels(*confidence, *count, *right) else { continue };
            let right = labels.n - labels.bad;
            n += count;
            let squares = right * (1.0 - g) * (1.0 - g) + labels.bad * g * g;
            let more = [right - labels.n * g, squares, labels.n * g * (1.0 - g)];
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            all.push(labels);
        }
        if n == 0 {
            return;
        }
        self.residuals.add(n, sums, at);
        self.take(&all, n);
    }

    /// Labels of one confidence with the accuracy that it stands for; nothing where there are none, or no confidence.
    fn labels(&self, confidence: f64, n: u64, right: u64) -> Option<(Labels, f64)> {
        let place = self.design.map.place(confidence).filter(|_| n > 0 && right <= n)?;
        let (block, wrong) = (self.design.map.blocks().get(place)?, *self.blocks.get(place)?);
        Some((Labels { wrong, n: n as f64, bad: (n - right) as f64 }, block.accuracy))
    }

    /// Lets every statistic take these `n` labels.
    fn take(&mut self, labels: &[Labels], n: u64) {
        self.seen = self.seen.saturating_add(n);
        for (number, side) in self.sides.iter_mut().enumerate() {
            for (r, odds) in side.r.iter_mut().zip(side.odds) {
                *r = advanced(*r, labels, (odds, number), false);
            }
        }
        let Some(direction) = self.out else {
            if self.statistic() >= self.design.arl0 {
                let [short, exceeds] = self.sides.map(|side| side.statistic());
                self.out = Some(if short >= exceeds { Direction::Down } else { Direction::Up });
            }
            return;
        };
        let number = usize::from(direction == Direction::Up);
        let matters = self.sides.get(number).map_or(1.0, |side| side.matters);
        self.back = advanced(self.back, labels, (matters, number), true);
        if self.back >= RESOLVE_PROMISE {
            self.restart();
        }
    }

    fn restart(&mut self) {
        self.sides.iter_mut().for_each(|side| side.r = [0.0; 3]);
        self.back = 0.0;
        self.out = None;
        self.residuals.clear();
    }

    /// Changes the promise, in labels; the statistic stays.
    pub const fn redesign(&mut self, arl0: f64) {
        self.design.arl0 = arl0.max(1.0);
    }

    /// Whether labels are out of what confidence says of them.
    pub const fn is_out(&self) -> bool {
        self.out.is_some()
    }

    /// Which way: `Down` where labels fall short of what confidence says.
    pub const fn side(&self) -> Option<Direction> {
        self.out
    }

    /// How sure the chart is while it is out: it says nothing about size, so a signal passes every bar.
    pub fn grade(&self) -> Option<Grade> {
        self.is_out().then_some(Grade::Confirmed)
    }

    /// What the chart says now: the estimate is the mean of label less accuracy said, right being 1, since the likeliest
    /// change; the baseline is 0 with the map's own error.
    pub fn verdict(&self) -> Verdict {
        let Some(direction) = self.out else { return Verdict::InControl };
        let sign = if direction == Direction::Down { -1.0 } else { 1.0 };
        let error = 1.0 - self.design.map.share();
        let shortest = (EXPECTED / error).clamp(SHORTEST.0, SHORTEST.1);
        let Some(since) = self.residuals.change(sign, shortest) else { return Verdict::InControl };
        Verdict::OutOfControl(Evidence {
            grade: Grade::Degraded,
            method: Self::METHOD.to_owned(),
            statistic: self.statistic(),
            limit: self.limit(),
            arl0: self.design.arl0,
            estimate: Some(since.mean()),
            baseline: self.baseline(),
            baseline_n: self.design.map.labelled(),
            changed_at: since.at,
            changed_between: since.between,
            samples: since.n,
            unit: SampleUnit::Case,
            direction,
            parts: Vec::new(),
        })
    }

    /// 0 with the 95 % interval of the map's own error.
    fn baseline(&self) -> Estimate {
        let half = NORMAL_95 * self.design.information().sqrt() / (self.design.map.labelled() as f64).max(1.0);
        Estimate { value: 0.0, low: -half, high: half }
    }

    /// The design in force.
    pub const fn design(&self) -> &AdjustedDesign {
        &self.design
    }

    /// The statistic M.
    pub fn statistic(&self) -> f64 {
        self.sides.iter().map(Side::statistic).sum()
    }

    /// The limit A.
    pub const fn limit(&self) -> f64 {
        self.design.arl0
    }

    /// Labels taken.
    pub const fn samples_seen(&self) -> u64 {
        self.seen
    }
}

#[cfg(test)]
#[path = "adjusted_tests.rs"]
mod tests;

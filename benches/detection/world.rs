//! Streams of confidence and truth for the study of foresight: what is stated, what is true, and how either changes.
//!
//! In control confidence is calibrated: a case that states g is right with probability g. g is beta distributed with mean 0.92
//! and a + b = 1 / R2 - 1, so that it explains the share R2 of the variance of the truth: Var(g) = R2 0.92 0.08. It is held
//! as 2,000 equally likely values, the quantiles of that distribution. Changes are shifts on the logit scale:
//!
//! - A: inputs get harder, and confidence follows.
//! - B: the agent gets worse, and confidence does not move.
//! - half: A for one half of the drop, then B for the other.
//! - C: confident failures: only cases of the more confident half get worse.
//! - D: confidence falls by as much, accuracy does not.
//! - E: over-confident: accuracy falls, confidence rises by half as much.
#![expect(clippy::indexing_slicing, reason = "places are drawn below the lengths")]

use statrs::function::beta::beta_reg;

use super::study::Xorshift;

/// Accuracy in control.
pub(crate) const ACCURACY: f64 = 0.92;
/// Values that stand for the distribution.
const KINDS: u32 = 2_000;
/// No value lies nearer to 0 or 1.
const EDGE: f64 = 1e-6;
const HALVINGS: u32 = 60;

/// A kind of case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// The confidence that it states.
    pub(crate) stated: f64,
    /// Its probability of being right.
    pub(crate) truth: f64,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mechanism {
    Harder,
    Silent,
    Half,
    Confident,
    Benign,
    Over,
}

impl Mechanism {
    pub(crate) const ALL: [Self; 6] =
        [Self::Harder, Self::Silent, Self::Half, Self::Confident, Self::Benign, Self::Over];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Harder => "A",
            Self::Silent => "B",
            Self::Half => "half",
            Self::Confident => "C",
            Self::Benign => "D",
            Self::Over => "E",
        }
    }
}

/// Kinds of cases, equally likely.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) kinds: Vec<Kind>,
}

pub(crate) fn logit(x: f64) -> f64 {
    (x / (1.0 - x)).ln()
}

pub(crate) fn expit(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Where an increasing function of a number between two has this value.
pub(crate) fn solve(mut low: f64, mut high: f64, wanted: f64, f: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if f(middle) < wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The values, shifted on the logit scale to this mean.
fn shifted(values: &[f64], wanted: f64) -> Vec<f64> {
    let by = |s: f64| values.iter().map(|x| expit(logit(*x) + s)).collect::<Vec<f64>>();
    by(solve(-20.0, 20.0, wanted, |s| mean(&by(s))))
}

impl World {
    /// In control.
    pub(crate) fn new(r2: f64) -> Self {
        let sum = 1.0 / r2 - 1.0;
        let (a, b) = (ACCURACY * sum, (1.0 - ACCURACY) * sum);
        let ranks = (0..KINDS).map(|i| (f64::from(i) + 0.5) / f64::from(KINDS));
        let values: Vec<f64> = ranks
            .map(|rank| {
                // The distance from 1, which may be tiny.
                let far = solve(0.0, 1.0, 1.0 - rank, |x| beta_reg(b, a, x.clamp(1e-300, 1.0 - 1e-16)));
                (1.0 - far).clamp(EDGE, 1.0 - EDGE)
            })
            .collect();
        let kinds = shifted(&values, ACCURACY).into_iter().map(|g| Kind { stated: g, truth: g }).collect();
        Self { kinds }
    }

    /// After a drop of accuracy by this mechanism.
    pub(crate) fn after(&self, mechanism: Mechanism, drop: f64) -> Self {
        let before: Vec<f64> = self.kinds.iter().map(|kind| kind.truth).collect();
        let fallen = || shifted(&before, ACCURACY - drop);
        let (stated, truth) = match mechanism {
            Mechanism::Harder => (fallen(), fallen()),
            Mechanism::Silent => (before.clone(), fallen()),
            Mechanism::Half => {
                let stated = shifted(&before, ACCURACY - drop / 2.0);
                let truth = shifted(&stated, ACCURACY - drop);
                (stated, truth)
            }
            Mechanism::Confident => {
                let mut sorted = before.clone();
                sorted.sort_by(f64::total_cmp);
                let (_, upper) = sorted.split_at(sorted.len() / 2);
                let (least, all) = (upper[0], 0.5 * mean(upper));
                let truth = before.iter().map(|g| if *g >= least { g * (1.0 - drop / all) } else { *g }).collect();
                (before.clone(), truth)
            }
            Mechanism::Benign => (fallen(), before.clone()),
            Mechanism::Over => (shifted(&before, ACCURACY + drop / 2.0), fallen()),
        };
        let kinds = stated.into_iter().zip(truth).map(|(stated, truth)| Kind { stated, truth }).collect();
        Self { kinds }
    }

    pub(crate) fn draw(&self, random: &mut Xorshift) -> Kind {
        self.kinds[(random.uniform() * self.kinds.len() as f64) as usize]
    }

    /// The share of the truth's variance that confidence explains, and the chance that a right case states more than a
    /// wrong one.
    pub(crate) fn quality(&self) -> (f64, f64) {
        let mut sorted: Vec<f64> = self.kinds.iter().map(|kind| kind.truth).collect();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len() as f64;
        let level = mean(&sorted);
        let variance = sorted.iter().map(|g| (g - level).powi(2)).sum::<f64>() / n;
        let (mut below, mut more) = (0.0, 0.0);
        for g in &sorted {
            more += g * (below + 0.5 * (1.0 - g));
            below += 1.0 - g;
        }
        (variance / (level * (1.0 - level)), more / (n * n * level * (1.0 - level)))
    }
}

//! The limit of the mixture of Shiryaev-Roberts statistics, from a promised in-control average run length (ARL).
//!
//! **Definition.** M = sum of w_k R_k, R_k <- (1 + R_k) L_k from r_k; alarm at M >= A. M - n is a martingale in control, so
//! `ARL = E[M_T] - r` with r = sum of w_k r_k: exact, and at least A - r whatever happens. What exceeds A is the overshoot: by
//! renewal theory A / (ARL + r) tends to the sum of w_k nu_k, nu_k = lim E_k[exp(-overshoot)] (Pollak 1987). For steps
//! +a and -b with a/b whole, nu = (1 - e^-b) / b * KL(p0, p1) / KL(p1, p0): the ladder variables of a walk that goes down
//! without gaps (Siegmund 1985, chapter 8), over thresholds of any phase; between whole ratios it is within 1 %.
//!
//! **Rare hits.** Where one hit multiplies the largest arm by 6 and more, a few hits make an alarm and the limit theorem
//! comes too late (off by up to a fifth). There the same change of measure is taken at the finite A:
//! 1 = r E_0[1/M_T] + ARL E[1/M_T], see the module `rare`.
//!
//! **Classical constants.** Changes of 0.5, 1.6 and 4.6 delta with weights 0.41, 0.18 and 0.41, head starts of
//! 3 / KL(p1, p0) and at most a tenth of the promise: see [`DROPS`], [`WEIGHTS`], [`HEAD_START`].
//!
//! **Bad at.** Less than about one hit in a promise (p0 ARL0 < 1): every second hit alarms, or every hit, and the ARL is what
//! it is, above the promise.

use serde::{Deserialize, Serialize};

use super::ceil_digits;
use super::rare::{Octaves, Rare};

/// The arms' changes in units of delta. Found by search: with the weights below and head starts, no three or four arms that
/// were tried keep the largest mean delay at drops of 1/2, 1, 3/2, 5/2 and 5 delta (p0 = 0.08, delta = 0.02, ARL0 100,000,
/// steady state) closer to that of the CUSUM that knows the drop: 1.10 times. More arms cost time and gain nothing.
pub const DROPS: [f64; 3] = [0.5, 1.6, 4.6];

/// The arms' weights: the outer arms have one neighbour to help them, the middle one has two.
pub const WEIGHTS: [f64; 3] = [0.41, 0.18, 0.41];

/// Head start of an arm, in units of 1 / KL(p1, p0), the time in which it learns one nat. With 3, a drop that is there from
/// the start is seen in 0.92 to 1.03 times the mean delay of the CUSUM that knows it; with 4 in 0.88 to 0.99, but every head
/// start raises the limit, and a drop that comes later waits for it (`cargo bench --bench detection -- delays`).
pub const HEAD_START: f64 = 3.0;

/// No head start exceeds this share of the promise.
const HEAD_START_MOST: f64 = 0.1;

/// Probabilities above this are not told apart: the likelihood of a good outcome would vanish.
pub const CAP: f64 = 0.999;

/// The largest log-likelihood ratio of one hit for which the limit theorem is taken: below, it errs by less than 2 %.
const STEEP: f64 = 1.9;

/// Below this p0 is rounded up to three digits before run lengths are computed, so that streams share them.
const ROUNDED: f64 = 0.1;

/// What an alarm mixture is designed from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MixtureDesign {
    /// The in-control probability of a hit, in (0, 1).
    pub p0: f64,
    /// The rise that matters, in (0, 1].
    pub delta: f64,
    /// Variance of the counts in units of the binomial one, 1 and above: every likelihood ratio is taken to the power
    /// 1 / phi.
    pub phi: f64,
    /// The promise: samples between false alarms, 1 and above.
    pub arl0: f64,
}

/// One arm of the mixture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArmDesign {
    /// Its share of the mixture.
    pub weight: f64,
    /// Its level after the change.
    pub p1: f64,
    /// What a hit multiplies by.
    pub on_hit: f64,
    /// What a miss multiplies by.
    pub on_miss: f64,
    /// Where it starts.
    pub start: f64,
}

impl ArmDesign {
    /// The level that misses alone lead to.
    pub(super) fn rest(&self) -> f64 {
        self.on_miss / (1.0 - self.on_miss)
    }
}

impl MixtureDesign {
    /// The arms; none where no level lies between p0 and [`CAP`].
    pub fn arms(&self) -> Option<[ArmDesign; 3]> {
        let Self { p0, delta, phi, arl0 } = *self;
        let power = 1.0 / phi.max(1.0);
        let mut arms = [ArmDesign { weight: 0.0, p1: 0.0, on_hit: 1.0, on_miss: 1.0, start: 0.0 }; 3];
        for ((arm, drop), weight) in arms.iter_mut().zip(DROPS).zip(WEIGHTS) {
            let p1 = (p0 + drop * delta).min(CAP);
            let (on_hit, on_miss) = ((p1 / p0).powf(power), ((1.0 - p1) / (1.0 - p0)).powf(power));
            let information = power * divergence(p1, p0);
            let start = (HEAD_START / information).min(HEAD_START_MOST * arl0);
            *arm = ArmDesign { weight, p1, on_hit, on_miss, start };
        }
        arms.iter().all(|arm| arm.on_hit > 1.0 && arm.on_miss < 1.0 && arm.start >= 0.0).then_some(arms)
    }

    /// The limit A that keeps the promise: within 3 % for independent cases of probability p0, or the next step above where run
    /// lengths of rare hits go by steps; and never below what good outcomes alone can reach.
    ///
    /// With phi above 1 the share A / (ARL0 + r) of the chart with phi = 1 is taken to the power 1 / phi, as the logarithm of
    /// the overshoot goes with the size of a step.
    pub(super) fn limit(&self, octaves: &mut Octaves) -> f64 {
        let (Some(plain), Some(arms)) = (Self { phi: 1.0, ..*self }.arms(), self.arms()) else { return self.arl0 };
        // Nor does the limit theorem hold where an arm ends at the cap, or a miss takes more than a hit gives.
        let odd = |arm: &ArmDesign| arm.p1 >= CAP || arm.on_hit.ln() < -arm.on_miss.ln();
        let steep = plain.iter().any(|arm| arm.on_hit.ln() > STEEP || odd(arm));
        let share = if steep { self.refined(octaves) } else { self.renewed(&plain) };
        let limit = share.powf(1.0 / self.phi.max(1.0)) * (self.arl0 + total(&arms, |arm| arm.start));
        limit.max(total(&arms, ArmDesign::rest))
    }

    /// The share A / (ARL0 + r) of renewal theory.
    fn renewed(&self, arms: &[ArmDesign; 3]) -> f64 {
        total(arms, |arm| overshoot_factor(self.p0, arm.p1))
    }

    /// The same by the change of measure at finite A, as it is at a share of few digits.
    fn refined(&self, octaves: &mut Octaves) -> f64 {
        let p0 = if self.p0 < ROUNDED { ceil_digits(self.p0, 3) } else { self.p0 };
        let design = Self { p0, phi: 1.0, ..*self };
        let Some(arms) = design.arms() else { return 1.0 };
        let head = total(&arms, |arm| arm.start);
        // The uncalibrated limit keeps the promise for certain.
        let certain = self.arl0 + head;
        let low = (0.5 * design.renewed(&arms) * certain).max(total(&arms, ArmDesign::rest)).max(1.5 * head);
        octaves.limit(&Rare { p0, delta: self.delta, arms, head }, self.arl0, (low, certain)) / certain
    }
}

/// The weighted sum over the arms.
pub(super) fn total(arms: &[ArmDesign; 3], of: impl Fn(&ArmDesign) -> f64) -> f64 {
    arms.iter().map(|arm| arm.weight * of(arm)).sum()
}

/// Kullback-Leibler divergence of Bernoulli(p) from Bernoulli(q), in nats.
fn divergence(p: f64, q: f64) -> f64 {
    p * (p / q).ln() + (1.0 - p) * ((-p).ln_1p() - (-q).ln_1p())
}

/// nu = lim E_1[exp(-overshoot)] of the log-likelihood ratio of p1 against p0 over a high limit, p1 > p0.
pub fn overshoot_factor(p0: f64, p1: f64) -> f64 {
    let (up, down) = super::bernoulli::weights(p0, p1);
    let phase = |step: f64| -(-step).exp_m1() / step;
    if up < down {
        // Up without gaps: the ladder heights are single steps.
        return phase(up);
    }
    phase(down) * divergence(p0, p1) / divergence(p1, p0)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Xorshift;
    use super::*;

    #[test]
    fn the_factor_equals_the_overshoot_of_simulated_walks() {
        let mut random = Xorshift::new(20_261_125);
        for (p0, p1, tolerance) in [(0.08, 0.10, 0.005), (0.08, 0.18, 0.01), (0.4, 0.5, 0.01), (0.5, 0.9, 0.02)] {
            let (up, down) = super::super::bernoulli::weights(p0, p1);
            let runs = 4_000_u32;
            let mut sum = 0.0;
            for _ in 0..runs {
                // A limit of random phase: a walk with two steps has a grain.
                let limit = 4.0 + 2.0 * random.uniform();
                let mut walk = 0.0;
                while walk < limit {
                    walk += if random.hit(p1) { up } else { -down };
                }
                sum += (limit - walk).exp();
            }
            let found = sum / f64::from(runs);
            let wanted = overshoot_factor(p0, p1);
            assert!((found / wanted - 1.0).abs() < tolerance, "{p0} {p1}: {found}, in closed form {wanted}");
        }
    }

    #[test]
    fn the_factor_goes_to_one_with_the_change_and_joins_where_steps_are_equal() {
        assert!((overshoot_factor(0.08, 0.080_001) - 1.0).abs() < 1e-4);
        let equal = overshoot_factor(0.25, 0.75);
        assert!((equal - (1.0 - 1.0 / 3.0) / 3.0_f64.ln()).abs() < 1e-12);
        assert!((overshoot_factor(0.250_001, 0.75) - equal).abs() < 1e-5);
    }

    #[test]
    fn limits_stay_between_what_misses_reach_and_what_is_certain() {
        let mut octaves = Octaves::default();
        for p0 in [1e-6, 0.001, 0.02, 0.08, 0.4, 0.9, 0.998_9] {
            for delta in [0.001, 0.02, 0.1, 1.0] {
                for arl0 in [1.0, 100.0, 20_000.0, 1e6, 1e300] {
                    let design = MixtureDesign { p0, delta, phi: 1.0, arl0 };
                    let arms = design.arms().unwrap();
                    let (head, rest) = (total(&arms, |arm| arm.start), total(&arms, ArmDesign::rest));
                    let limit = design.limit(&mut octaves);
                    assert!(limit >= rest && limit <= (arl0 + head).max(rest) * (1.0 + 1e-9), "{design:?}: {limit}");
                }
            }
        }
        assert_eq!(MixtureDesign { p0: CAP, delta: 0.02, phi: 1.0, arl0: 500.0 }.limit(&mut octaves), 500.0);
    }

    #[test]
    fn long_paths_do_not_lower_the_limit() {
        for p0 in [0.6, 0.9] {
            for arl0 in [20_000.0, 1e6] {
                let design = MixtureDesign { p0, delta: 0.02, phi: 1.0, arl0 };
                let (finite, renewed) =
                    (design.refined(&mut Octaves::default()), design.renewed(&design.arms().unwrap()));
                assert!(finite > 0.95 * renewed, "{design:?}: {finite}, by renewal theory {renewed}");
            }
        }
    }

    #[test]
    fn tempered_limits_grow_with_the_spread() {
        let limit = |phi| MixtureDesign { p0: 0.08, delta: 0.02, phi, arl0: 20_000.0 }.limit(&mut Octaves::default());
        assert!(limit(1.0) < limit(1.2) && limit(1.2) < limit(1.5));
    }
}

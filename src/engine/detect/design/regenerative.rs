//! The limit of a CUSUM whose steps have any distribution, from a promised in-control average run length (ARL).
//!
//! **Definition.** S <- max(0, S + w), alarm when S >= h. From 0 back to 0 is one cycle; with L its mean length, M the largest
//! sum in it and P = P(M >= h), ARL = L / P - (what a cycle would go on after the alarm). L = E(end) / E(w) by Wald's
//! identity, `end` the sum, at most 0, at which a cycle ends. P is rare: with theta > 0 such that E(e^(theta w)) = 1, steps are
//! drawn with their chances times e^(theta w), under which sums go up, and P = E[e^(-theta S) at the first S >= h]. How many
//! paths get away at all is most of the noise, and known better: by duality their share is E(w) / E(first sum above 0), both
//! of tilted steps. One set of paths serves all limits side by side; between them ln ARL is taken as straight, as it is but
//! for the grain.
//!
//! **Sources.** Wald (1947); change of measure: Siegmund (1976); cycles: Page (1954), Asmussen (2003), chapter XIII; duality: Feller (1971), chapter XII.
//!
//! **Classical constants.** 20,000 cycles, ladder heights and paths, 16 limits; within 2 % of exact run lengths.
//! The start value is Siegmund's for normal steps. Some 10 ms, bounded by 8 million draws each.
//!
//! **Bad at.** Distributions known from a few hundred values: the tail of the sum follows from theta, and theta from them.

use super::draws::Draws;
use super::exponential_root;

/// Cycles, and paths.
const RUNS: u32 = 20_000;
/// A path has got away at so many units of 1 / theta: it comes back with chance e^-8.
const FAR: f64 = 8.0;
/// Draws after which no further path begins.
const BUDGET: u64 = 8_000_000;
/// Limits that one set of paths looks at.
const LIMITS: usize = 16;
/// How far they lie from the start value on either side, in units of 1 / theta.
const REACH: f64 = 3.5;
/// The overshoot of a normal walk over either barrier, together: 2 times 0.583.
const OVERSHOOT: f64 = 1.166;
/// Halvings when theta is solved for.
const HALVINGS: u32 = 100;

/// The steps of a CUSUM in control.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps {
    /// Steps with their chances.
    atoms: Vec<(f64, f64)>,
    mean: f64,
    variance: f64,
    theta: f64,
}

/// Atoms to draw from.
struct Source {
    ends: Vec<f64>,
    steps: Vec<f64>,
}

impl Source {
    fn new(atoms: &[(f64, f64)], theta: f64) -> Self {
        let mut sum = 0.0;
        let ends: Vec<f64> = atoms
            .iter()
            .map(|(step, chance)| {
                sum += chance * (theta * step).exp();
                sum
            })
            .collect();
        Self { ends: ends.iter().map(|end| end / sum).collect(), steps: atoms.iter().map(|(step, _)| *step).collect() }
    }

    fn mean(&self) -> f64 {
        let mut before = 0.0;
        let parts =
            self.ends.iter().zip(&self.steps).map(|(end, step)| step * (end - std::mem::replace(&mut before, *end)));
        parts.sum()
    }

    fn draw(&self, draws: &mut Draws) -> f64 {
        let u = draws.uniform();
        let place = self.ends.partition_point(|end| *end <= u);
        self.steps.get(place).or(self.steps.last()).copied().unwrap_or(0.0)
    }
}

impl Steps {
    /// From pairs of a step and its weight; the weights need not add up to 1. Nothing where sums would not come back (the mean
    /// is not below 0), or never rise.
    pub fn new(weighted: &[(f64, f64)]) -> Option<Self> {
        let all: f64 = weighted.iter().map(|(_, weight)| weight).sum();
        let atoms: Vec<(f64, f64)> = weighted.iter().map(|(step, weight)| (*step, weight / all)).collect();
        let mean: f64 = atoms.iter().map(|(step, chance)| step * chance).sum();
        let variance: f64 = atoms.iter().map(|(step, chance)| (step - mean).powi(2) * chance).sum();
        let rises = atoms.iter().any(|(step, chance)| *step > 0.0 && *chance > 0.0);
        if !(mean < 0.0 && rises && variance.is_finite()) {
            return None;
        }
        let excess = |theta: f64| atoms.iter().map(|(step, chance)| chance * (theta * step).exp_m1()).sum::<f64>();
        // Convex, 0 at 0 and falling there: one root above.
        let mut high = -2.0 * mean / variance;
        while excess(high) < 0.0 {
            high *= 2.0;
        }
        let mut low = 0.0;
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if excess(middle) < 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(Self { atoms, mean, variance, theta: high })
    }

    /// The limit whose ARL is `arl0`.
    pub fn limit(&self, arl0: f64) -> f64 {
        let deviation = self.variance.sqrt();
        let k = -self.mean / deviation;
        let start = deviation * (exponential_root(2.0 * k * k * arl0) / (2.0 * k) - OVERSHOOT);
        let most = self.atoms.iter().map(|(step, _)| *step).fold(0.0, f64::max);
        let low = (start - REACH / self.theta).max(0.1 * most);
        let high = (start + REACH / self.theta).max(2.0 * low);
        let limits: [f64; LIMITS] = std::array::from_fn(|i| low + (high - low) * i as f64 / (LIMITS - 1) as f64);
        let lns = self.arls(limits).map(|arl| arl.max(1.0).ln());
        let wanted = arl0.max(1.0).ln();
        let above = lns.iter().position(|ln| *ln >= wanted).unwrap_or(LIMITS);
        let at = |i: usize| limits.get(i).copied().zip(lns.get(i).copied());
        match (above.checked_sub(1).and_then(at), at(above)) {
            (Some((h, ln)), Some((next, ln_next))) => h + (next - h) * (wanted - ln) / (ln_next - ln),
            // Beyond the limits looked at, ln ARL rises by theta.
            (Some((h, ln)), None) => h + (wanted - ln) / self.theta,
            (None, first) => first.map_or(low, |(h, _)| h),
        }
    }

    /// The ARL of a limit.
    pub fn arl(&self, limit: f64) -> f64 {
        let [arl, ..] = self.arls([limit; LIMITS]);
        arl
    }

    /// The ARLs of ascending limits.
    fn arls(&self, limits: [f64; LIMITS]) -> [f64; LIMITS] {
        let mut draws = Draws::new();
        let calm = Source::new(&self.atoms, 0.0);
        let (mut end, mut spent) = (0.0, 0_u64);
        for _ in 0..RUNS {
            let mut sum = calm.draw(&mut draws);
            while sum > 0.0 && spent < BUDGET {
                sum += calm.draw(&mut draws);
                spent += 1;
            }
            end += sum.min(0.0) / f64::from(RUNS);
        }
        let tilted = Source::new(&self.atoms, self.theta);
        let (mut ladder, mut rungs, mut spent) = (0.0, 0_u32, 0_u64);
        while rungs < RUNS && (spent < BUDGET || rungs == 0) {
            let mut sum = tilted.draw(&mut draws);
            while sum <= 0.0 {
                sum += tilted.draw(&mut draws);
                spent += 1;
            }
            ladder += sum;
            rungs += 1;
        }
        let share = tilted.mean() * f64::from(rungs) / ladder;
        let far = limits.last().copied().unwrap_or(0.0).max(FAR / self.theta);
        // Of every limit: the sums of e^(-theta S), and of the same times S.
        let (mut chances, mut heights) = ([0.0; LIMITS], [0.0; LIMITS]);
        let (mut paths, mut escaped, mut spent) = (0, 0.0, 0_u64);
        while paths < RUNS && (spent < BUDGET || escaped < 1.0) {
            paths += 1;
            let (mut sum, mut passed) = (0.0, 0);
            while sum < far {
                sum += tilted.draw(&mut draws);
                spent += 1;
                if sum <= 0.0 {
                    break;
                }
                let reached = limits.iter().skip(passed).take_while(|limit| sum >= **limit).count();
                if reached > 0 {
                    let chance = (-self.theta * sum).exp();
                    for (slot, height) in chances.iter_mut().zip(&mut heights).skip(passed).take(reached) {
                        *slot += chance;
                        *height += chance * sum;
                    }
                    passed += reached;
                }
            }
            escaped += f64::from(u8::from(sum >= far));
        }
        let mut arls = [f64::INFINITY; LIMITS];
        for ((arl, chance), height) in arls.iter_mut().zip(chances).zip(heights) {
            if chance > 0.0 {
                // After an alarm a cycle would go on from there to its end.
                let rest = (height / chance - end) / -self.mean;
                *arl = end / self.mean / (share * chance / escaped) - rest;
            }
        }
        arls
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Xorshift;
    use super::super::bernoulli::Walk;
    use super::super::normal::NormalCusum;
    use super::*;

    #[test]
    fn normal_steps_have_the_exact_run_lengths() {
        for (k, h) in [(0.5, 4.0), (0.1, 10.0)] {
            let normal = |u: f64| super::super::interval::normal_quantile(u) - k;
            let atoms: Vec<(f64, f64)> = (0..20_000).map(|i| (normal((f64::from(i) + 0.5) / 20_000.0), 1.0)).collect();
            let steps = Steps::new(&atoms).unwrap();
            assert!((steps.theta / (2.0 * k) - 1.0).abs() < 1e-3, "{}", steps.theta);
            let exact = NormalCusum { k, h }.arl(0.0);
            assert!((steps.arl(h) / exact - 1.0).abs() < 0.02, "{k} {h}: {} {exact}", steps.arl(h));
            let limit = steps.limit(exact);
            assert!((limit - h).abs() < 0.02 / (2.0 * k), "{k}: {limit}, exactly {h}");
        }
    }

    #[test]
    fn bernoulli_steps_have_the_exact_run_lengths() {
        for (p0, p1, arl0) in [(0.08, 0.10, 20_000.0), (0.08, 0.13, 2_000.0), (0.3, 0.33, 1e6)] {
            let (up, down) = super::super::bernoulli::weights(p0, p1);
            let steps = Steps::new(&[(up, p0), (-down, 1.0 - p0)]).unwrap();
            // A log-likelihood ratio: theta is 1.
            assert!((steps.theta - 1.0).abs() < 1e-9, "{}", steps.theta);
            let limit = steps.limit(arl0);
            let exact = Walk { up, down, limit }.arl(p0).unwrap();
            assert!((exact / arl0 - 1.0).abs() < 0.04, "{p0} {p1}: {exact} for {arl0}");
            let found = steps.arl(limit);
            assert!((found / exact - 1.0).abs() < 0.02, "{p0} {p1}: {found} {exact}");
        }
    }

    #[test]
    fn skewed_steps_have_the_run_lengths_of_the_integral_equation() {
        // Accuracies said, near 1 mostly: 0.9239 less that, less half of what matters. Run lengths by scipy's sparse solver on
        // 20,000 states, each step split between the two nearest.
        let kinds = [(0.6, 0.05), (0.8, 0.15), (0.93, 0.3), (0.984, 0.5)];
        let mu = kinds.iter().map(|(g, weight)| g * weight).sum::<f64>();
        let steps = Steps::new(&kinds.map(|(g, weight)| (mu - g - 0.01, weight))).unwrap();
        for (h, exact) in [(2.052_196, 2_961.4), (4.603_927, 402_415.0), (5.825_654, 4_057_446.0)] {
            let found = steps.arl(h);
            assert!((found / exact - 1.0).abs() < 0.02, "{h}: {found}, exactly {exact}");
            assert!((steps.limit(exact) - h).abs() < 0.02, "{h}: {}", steps.limit(exact));
        }
    }

    #[test]
    fn steps_that_never_rise_or_never_come_back_have_no_limit() {
        assert_eq!(Steps::new(&[(-0.1, 1.0), (0.2, 1.0)]), None);
        assert_eq!(Steps::new(&[(-0.1, 1.0), (-0.2, 1.0)]), None);
        assert_eq!(Steps::new(&[]), None);
        assert_eq!(Steps::new(&[(f64::NAN, 1.0), (-0.2, 1.0)]), None);
        let steps = Steps::new(&[(-0.5, 1.0), (0.4, 1.0)]).unwrap();
        for arl0 in [0.0, 1.0, 10.0, 1e12] {
            assert!(steps.limit(arl0).is_finite(), "{arl0}");
        }
        let mut random = Xorshift::new(1);
        let many: Vec<(f64, f64)> = (0..500).map(|_| (random.normal() - 1e-3, 1.0)).chain([(-60.0, 1.0)]).collect();
        assert!(Steps::new(&many).is_some_and(|steps| steps.limit(1e6) > 0.0));
    }
}

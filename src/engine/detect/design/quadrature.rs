//! Gauss-Legendre quadrature, and the mean time to alarm of a finite Markov chain: what run lengths are computed with.
//!
//! **Definition.** A chain with transition probabilities P among its states and a probability of alarm in each has mean
//! times L = (I - P)^-1 1. The states are removed one by one, each handing its ways out to those that are left
//! (Grassmann, Taksar & Heyman 1985): sums and products of positive numbers only, so the digits that 1 - P(stay) loses
//! when alarms are one in a billion are kept. An integral equation becomes such a chain at the nodes of a quadrature
//! (Nystroem's method).
//!
//! **Bad at.** Size: n states cost n^3 / 3 multiplications.

use std::f64::consts::PI;

/// Steps of Newton's method for a root of a Legendre polynomial; four are enough from the start value used.
const NEWTON_STEPS: usize = 8;

/// Nodes and weights of Gauss-Legendre quadrature with `n` nodes on [0, 1], in ascending order: roots of the Legendre
/// polynomial by Newton's method.
pub(super) fn legendre_nodes(n: u32) -> Vec<(f64, f64)> {
    let half: Vec<(f64, f64)> = (1..=n.div_ceil(2)).map(|i| legendre_node(n, i)).collect();
    // The nodes mirror each other; an odd rule has its middle one once.
    let mirrored = half.iter().take((n / 2) as usize).rev().map(|(y, w)| (1.0 - y, *w));
    half.iter().copied().chain(mirrored).collect()
}

fn legendre_node(n: u32, i: u32) -> (f64, f64) {
    let degree = f64::from(n);
    let evaluate = |x: f64| {
        let (before, now) = legendre(n, x);
        (now, degree * (x * now - before) / (x * x - 1.0))
    };
    let mut x = (PI * (f64::from(i) - 0.25) / (degree + 0.5)).cos();
    for _ in 0..NEWTON_STEPS {
        let (value, slope) = evaluate(x);
        x -= value / slope;
        if (value / slope).abs() < 1e-16 {
            break;
        }
    }
    let (_, slope) = evaluate(x);
    (f64::midpoint(1.0, -x), 1.0 / ((1.0 - x * x) * slope * slope))
}

/// The Legendre polynomials of degrees n - 1 and n at x in [-1, 1].
pub(super) fn legendre(n: u32, x: f64) -> (f64, f64) {
    let (mut before, mut now) = (0.0, 1.0);
    for degree in 0..n {
        let d = f64::from(degree);
        (before, now) = (now, ((2.0 * d + 1.0) * x * now - d * before) / (d + 1.0));
    }
    (before, now)
}

/// One state of a chain: where it goes.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Probability of an alarm in the next step.
    pub alarm: f64,
    /// Probabilities of the next state, one for each state. That of staying is what is left, and not read.
    pub to: Vec<f64>,
}

/// A chain reduced state by state, from the last to the first.
#[derive(Clone, Debug)]
pub(super) struct Reduced {
    /// Row k: probabilities, when only the states up to k are left, of going on to each of them (j < k); beyond k the
    /// probabilities with which state k went to state j when j was removed.
    rows: Vec<Vec<f64>>,
    /// Probability of leaving each state, at the time of its removal.
    leave: Vec<f64>,
}

impl Reduced {
    /// From the states of the chain.
    pub(super) fn new(chain: Vec<State>) -> Self {
        let (mut rows, mut alarm): (Vec<Vec<f64>>, Vec<f64>) = chain.into_iter().map(|s| (s.to, s.alarm)).unzip();
        let mut leave = vec![0.0; rows.len()];
        for k in (0..rows.len()).rev() {
            let (above, rest) = rows.split_at_mut(k);
            let (above_alarm, alarm_rest) = alarm.split_at_mut(k);
            let (Some(row), Some(&alarm), Some(leave)) = (rest.first(), alarm_rest.first(), leave.get_mut(k)) else {
                continue;
            };
            let (to, _) = row.split_at(k);
            *leave = alarm + to.iter().sum::<f64>();
            for (from, from_alarm) in above.iter_mut().zip(above_alarm) {
                let (left, right) = from.split_at_mut(k);
                let share = right.first().map_or(0.0, |p| p / *leave);
                if share > 0.0 {
                    left.iter_mut().zip(to).for_each(|(p, through)| *p += share * through);
                    *from_alarm += share * alarm;
                }
            }
        }
        Self { rows, leave }
    }

    /// Mean number of steps to the alarm from each state; infinite where there is no way to it.
    pub(super) fn mean_steps(&self) -> Vec<f64> {
        let mut time = vec![1.0; self.leave.len()];
        for (k, leave) in self.leave.iter().enumerate().rev() {
            let (above, rest) = time.split_at_mut(k);
            let here = rest.first().map_or(0.0, |t| t / leave);
            for (t, row) in above.iter_mut().zip(&self.rows) {
                *t += row.get(k).map_or(0.0, |p| if *p > 0.0 { p * here } else { 0.0 });
            }
        }
        let mut steps: Vec<f64> = Vec::with_capacity(time.len());
        for ((row, leave), t) in self.rows.iter().zip(&self.leave).zip(time) {
            let onward: f64 = row.iter().zip(&steps).map(|(p, x)| p * x).sum();
            steps.push((t + onward) / leave);
        }
        steps
    }

    /// Mean number of visits to each state before the alarm, for a chain that starts with these weights.
    fn visits(&self, start: &[f64]) -> Vec<f64> {
        let mut weight = start.to_vec();
        for (k, (row, leave)) in self.rows.iter().zip(&self.leave).enumerate().rev() {
            let (above, rest) = weight.split_at_mut(k);
            let here = rest.first().map_or(0.0, |w| w / leave);
            above.iter_mut().zip(row).for_each(|(w, p)| *w += here * p);
        }
        let mut visits: Vec<f64> = Vec::with_capacity(weight.len());
        for (k, (w, leave)) in weight.iter().zip(&self.leave).enumerate() {
            let arrived: f64 = visits.iter().zip(&self.rows).map(|(v, row)| row.get(k).map_or(0.0, |p| v * p)).sum();
            visits.push((w + arrived) / leave);
        }
        visits
    }

    /// The distribution over the states of a chain that has run for long without an alarm: the left eigenvector of P,
    /// by inverse iteration, which is quick because alarms are rarer than anything else that happens.
    pub(super) fn quasi_stationary(&self) -> Vec<f64> {
        let mut now = vec![1.0 / self.leave.len().max(1) as f64; self.leave.len()];
        for _ in 0..1_000 {
            let mut next = self.visits(&now);
            let total: f64 = next.iter().sum();
            for x in &mut next {
                *x /= total;
            }
            let change: f64 = next.iter().zip(&now).map(|(a, b)| (a - b).abs()).sum();
            now = next;
            // A change that is no number ends it as well.
            if change.is_nan() || change < 1e-13 {
                break;
            }
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quadrature_is_exact_for_polynomials() {
        for n in [1, 2, 5, 24, 101] {
            let nodes = legendre_nodes(n);
            assert_eq!(nodes.len(), n as usize);
            assert!(nodes.iter().zip(nodes.iter().skip(1)).all(|(a, b)| a.0 < b.0));
            for power in 0..(2 * n as i32).min(40) {
                let sum: f64 = nodes.iter().map(|(y, w)| w * y.powi(power)).sum();
                assert!((sum * f64::from(power + 1) - 1.0).abs() < 1e-12, "{n} {power}: {sum}");
            }
        }
        // Abramowitz & Stegun, table 25.4, n = 3 on [-1, 1]: 0 and 0.774596669241483, weights 8/9 and 5/9.
        let three = legendre_nodes(3);
        assert!((three[2].0 - f64::midpoint(1.0, 0.774_596_669_241_483)).abs() < 1e-14);
        assert!((three[2].1 - 5.0 / 18.0).abs() < 1e-14);
    }

    fn chain(rows: &[(f64, &[f64])]) -> Reduced {
        Reduced::new(rows.iter().map(|(alarm, to)| State { alarm: *alarm, to: to.to_vec() }).collect())
    }

    #[test]
    fn rare_alarms_keep_their_digits() {
        // Two states; only the second can alarm, and that once in 1e18: L0 = 1/a + L1, L1 = (1 + (1-q) L0) / ... by
        // hand.
        let (up, alarm) = (0.25, 1e-18);
        let reduced = chain(&[(0.0, &[0.75, up]), (alarm, &[0.5, 0.5 - alarm])]);
        let steps = reduced.mean_steps();
        let second = (1.0 + 0.5 / up) / alarm;
        assert!((steps[1] / second - 1.0).abs() < 1e-15, "{steps:?}");
        assert!((steps[0] - steps[1]).abs() / second < 1e-15);
        let quasi = reduced.quasi_stationary();
        assert!((quasi[0] - 2.0 / 3.0).abs() < 1e-14 && (quasi[1] - 1.0 / 3.0).abs() < 1e-14);
    }

    #[test]
    fn a_run_of_heads_takes_what_it_takes() {
        // Eight heads in a row: 510 tosses in the mean.
        let rows: Vec<State> = (0..8)
            .map(|heads| {
                let mut to = vec![0.0; 8];
                to[0] = 0.5;
                if heads < 7 {
                    to[heads + 1] = 0.5;
                }
                State { alarm: if heads == 7 { 0.5 } else { 0.0 }, to }
            })
            .collect();
        assert!((Reduced::new(rows).mean_steps()[0] - 510.0).abs() < 1e-10);
    }

    #[test]
    fn no_way_to_the_alarm_is_for_ever() {
        assert_eq!(chain(&[(0.0, &[1.0])]).mean_steps(), [f64::INFINITY]);
        assert_eq!(chain(&[]).mean_steps(), [0.0; 0]);
    }
}

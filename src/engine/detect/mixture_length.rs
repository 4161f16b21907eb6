//! Run lengths of a mixture e-detector, simulated with as little noise as its martingales allow.
//!
//! **Definition.** Runs of a fresh chart at one level p, gap by gap between hits, from a fixed seed. At its null M - n is a martingale, so the mean run length is that of M at the alarm, less where M starts: the noise is that of the overshoot, a
//! tenth of that of the run lengths. At other levels the hits less p times the cases are a martingale: its mean is 0, and what
//! the run lengths have in common with it is taken out (a control variate; Lavenberg & Welch 1981).
//!
//! **Classical constants.** 40 million cases or 40,000 runs: a standard error of 0.05 to 0.5 %.
//!
//! **Bad at.** Levels below p0, where a run takes for ever: it gives up after a thousand million cases.

use super::Mixture;
use super::design::draws::Draws;

/// Cases that a good answer takes: no further run begins after so many, once there are enough runs.
pub const THOROUGH: f64 = 4e7;
/// Runs at most, and at least.
const RUNS: (f64, f64) = (40_000.0, 400.0);
/// Cases after which it gives up.
const CASES_MOST: f64 = 1e9;

/// A simulated mean run length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunLength {
    /// The mean, in cases.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
    /// Runs that it rests on.
    pub runs: u64,
}

/// Sums over runs of a pair of numbers.
#[derive(Default)]
struct Pairs {
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Pairs {
    fn add(&mut self, x: f64, y: f64) {
        self.n += 1.0;
        let (dx, dy) = (x - self.x, y - self.y);
        self.x += dx / self.n;
        self.y += dy / self.n;
        self.xx += dx * (x - self.x);
        self.xy += dx * (y - self.y);
        self.yy += dy * (y - self.y);
    }
}

/// The mean run length of the chart from where it is, at a level of hits `p`, from about so many `cases`. `null` is the level at
/// which M - n is a martingale; a tempered chart has none. Nothing where `p` is no probability above 0, or an alarm takes
/// too long.
pub fn run_length(fresh: &Mixture, null: Option<f64>, p: f64, cases_wanted: f64) -> Option<RunLength> {
    if !(p > 0.0 && p <= 1.0 && fresh.limit().is_finite()) {
        return None;
    }
    let in_control = null.is_some_and(|p0| (p / p0 - 1.0).abs() < 1e-12);
    let ln_miss = (-p).ln_1p();
    let mut draws = Draws::new();
    let (mut pairs, mut cases) = (Pairs::default(), 0.0);
    while (pairs.n < RUNS.1 || cases < cases_wanted) && pairs.n < RUNS.0 {
        let mut chart = fresh.clone();
        let (mut length, mut hits) = (0.0, 0.0);
        'run: while cases + length < CASES_MOST {
            let misses = if p < 1.0 { draws.misses(ln_miss) } else { 0.0 };
            for _ in 0..misses.min(CASES_MOST) as u64 {
                length += 1.0;
                chart.update(false);
                // Misses alone raise a chart that starts below where they lead to.
                if chart.is_out() {
                    break 'run;
                }
            }
            length += 1.0;
            hits += 1.0;
            chart.update(true);
            if chart.is_out() {
                break;
            }
        }
        cases += length;
        if !chart.is_out() {
            return None;
        }
        let variate = if in_control { chart.statistic() - fresh.statistic() } else { length };
        pairs.add(hits - p * length, variate);
    }
    let slope = if in_control || pairs.xx <= 0.0 { 0.0 } else { pairs.xy / pairs.xx };
    let rest = (pairs.yy - slope * pairs.xy).max(0.0) / (pairs.n - 1.0).max(1.0);
    Some(RunLength { mean: pairs.y - slope * pairs.x, error: (rest / pairs.n).sqrt(), runs: pairs.n as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DROPS: [f64; 6] = [0.01, 0.02, 0.03, 0.05, 0.08, 0.12];

    #[test]
    fn lie_within_the_errors_of_an_independent_simulation() {
        // numpy, 20,000 runs each.
        for (p, wanted, error) in [(0.08, 1_173.547, 6.588), (0.10, 405.400, 1.863), (0.13, 176.915, 0.715)] {
            let found = run_length(&Mixture::guaranteed(0.08, &DROPS, 1_000.0), Some(0.08), p, THOROUGH).unwrap();
            let noise = (found.error * found.error + error * error).sqrt();
            assert!((found.mean - wanted).abs() < 4.0 * noise, "{p}: {found:?}, wanted {wanted}");
            assert!(found.error < 0.004 * found.mean, "{found:?}");
        }
    }

    #[test]
    fn both_ways_to_less_noise_agree() {
        let chart = Mixture::guaranteed(0.08, &DROPS, 500.0);
        let by_statistic = run_length(&chart, Some(0.08), 0.08, 4e6).unwrap();
        let by_hits = run_length(&chart, None, 0.08, 4e6).unwrap();
        let noise = (by_statistic.error.powi(2) + by_hits.error.powi(2)).sqrt();
        assert!((by_statistic.mean - by_hits.mean).abs() < 4.0 * noise, "{by_statistic:?} {by_hits:?}");
        assert!(by_statistic.error < by_hits.error);
    }

    #[test]
    fn one_hit_that_alarms_is_geometric() {
        let chart = Mixture::guaranteed(0.001, &[0.2], 100.0);
        let found = run_length(&chart, Some(0.001), 0.05, 1e6).unwrap();
        assert!((found.mean - 20.0).abs() < 4.0 * found.error + 1e-9 && found.error < 0.2, "{found:?}");
        let always = run_length(&chart, Some(0.001), 1.0, 1e6).unwrap();
        assert_eq!((always.mean, always.error), (1.0, 0.0));
    }

    #[test]
    fn gives_up_where_there_is_no_end() {
        let found = |arl0: f64, p: f64| run_length(&Mixture::guaranteed(0.08, &DROPS, arl0), Some(0.08), p, 1e6);
        assert_eq!([found(1_000.0, 0.0), found(1_000.0, f64::NAN), found(f64::INFINITY, 0.08)], [None; 3]);
    }
}

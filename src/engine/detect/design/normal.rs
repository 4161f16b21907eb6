//! Run lengths of the one-sided normal CUSUM, and its limit from a promised in-control average run length (ARL).
//!
//! **Definition.** S <- max(0, S + z - k), z ~ N(shift, 1); alarm when S >= h (Page 1954). The ARL as a function of the
//! start value solves a Fredholm equation of the second kind with an atom at 0; Gauss-Legendre nodes turn it into a
//! small linear system (Nystroem's method, for CUSUMs Vance 1986). It agrees with R's `spc` to 1e-8.
//!
//! **Classical constants.** k = 0.5, h = 4 has ARL0 335.37, h = 5 has 930.9 one-sided. The start value is Siegmund's
//! (1985): ARL = (e^{2kb} - 2kb - 1) / 2k^2 with b = h + 1.166.
//!
//! **Bad at.** k near 0 with a long promise: h grows like 1 / k and the system with it. The charts keep k >= 0.05.

use statrs::function::erf::erfc;

use super::exponential_root;

/// Nodes of the quadrature: this many, and `NODES_PER_UNIT` for every unit of h, to an accuracy of 1e-9.
const NODES: f64 = 24.0;
/// See [`NODES`].
const NODES_PER_UNIT: f64 = 4.0;
/// Most nodes ever used.
const MAX_NODES: f64 = 480.0;
/// Steps after which the search for h ends wherever it is; it needs about six.
const MAX_STEPS: usize = 80;

/// The standard normal distribution function.
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x / std::f64::consts::SQRT_2)
}

fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// A one-sided normal CUSUM in standard deviations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormalCusum {
    /// Reference value: half the shift it is tuned to.
    pub k: f64,
    /// Alarm at or above.
    pub h: f64,
}

impl NormalCusum {
    /// Average run length from 0 for observations of mean `shift`.
    pub fn arl(&self, shift: f64) -> f64 {
        self.arl_from(shift, 0.0)
    }

    /// Average run length from a head start between 0 and h.
    pub fn arl_from(&self, shift: f64, start: f64) -> f64 {
        let drift = self.k - shift;
        if self.h <= 0.0 {
            return 1.0 / normal_cdf(-drift);
        }
        let nodes = legendre_nodes(self.h);
        let kernel = |from: f64, to: f64| density(to + drift - from);
        // Unknowns: the ARL at 0, then at every node; the last column is the right-hand side.
        let mut rows = Vec::with_capacity(nodes.len() + 1);
        for (i, from) in std::iter::once(0.0).chain(nodes.iter().map(|(y, _)| *y)).enumerate() {
            let mut row = vec![normal_cdf(drift - from)];
            row.extend(nodes.iter().map(|(y, w)| w * kernel(from, *y)));
            // Staying costs what does not leave: summing the ways out, the alarm among them, keeps the digits that
            // 1 - P(stay) loses when alarms are one in a billion.
            let alarm = normal_cdf(from - drift - self.h);
            let out: f64 = row.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, p)| p).sum();
            for (j, p) in row.iter_mut().enumerate() {
                *p = if i == j { alarm + out } else { -*p };
            }
            row.push(1.0);
            rows.push(row);
        }
        let Some(solution) = solve_linear(rows) else { return f64::INFINITY };
        let mut lengths = solution.into_iter();
        let zero = lengths.next().unwrap_or(f64::INFINITY);
        let inside: f64 = nodes.iter().zip(lengths).map(|((y, w), length)| w * kernel(start, *y) * length).sum();
        if start <= 0.0 { zero } else { 1.0 + normal_cdf(drift - start) * zero + inside }
    }
}

/// The limit h at which the chart with reference value `k` has an in-control ARL of `arl0`; 0 where already the chart
/// that alarms on every z >= k keeps it.
pub fn solve_h(k: f64, arl0: f64) -> f64 {
    let excess = |h: f64| (NormalCusum { k, h }.arl(0.0) / arl0).ln();
    if excess(0.0) >= 0.0 {
        return 0.0;
    }
    let start = (exponential_root(2.0 * k * k * arl0) / (2.0 * k) - 1.166).max(0.1);
    let mut low = (0.0, excess(0.0));
    let mut high = (start, excess(start));
    while high.1 < 0.0 && high.0 < 1e4 {
        low = high;
        let next = high.0 * 1.02 + 0.02;
        high = (next, excess(next));
    }
    // Illinois: regula falsi that halves the weight of an end that stays.
    let mut side = 0;
    for _ in 0..MAX_STEPS {
        if high.1.abs() < 1e-10 || high.0 - low.0 < 1e-12 {
            break;
        }
        let middle = (low.0 * high.1 - high.0 * low.1) / (high.1 - low.1);
        let value = excess(middle);
        if value < 0.0 {
            low = (middle, value);
            high.1 = if side == -1 { high.1 / 2.0 } else { high.1 };
            side = -1;
        } else {
            high = (middle, value);
            low.1 = if side == 1 { low.1 / 2.0 } else { low.1 };
            side = 1;
        }
    }
    high.0
}

/// Nodes and weights of Gauss-Legendre quadrature on [0, h]: roots of the Legendre polynomial by Newton's method.
fn legendre_nodes(h: f64) -> Vec<(f64, f64)> {
    let n = (NODES + NODES_PER_UNIT * h).ceil().min(MAX_NODES);
    let evaluate = |x: f64| {
        let (mut before, mut now, mut degree) = (1.0, x, 1.0);
        while degree < n {
            (before, now) = (now, ((2.0 * degree + 1.0) * x * now - degree * before) / (degree + 1.0));
            degree += 1.0;
        }
        (now, n * (x * now - before) / (x * x - 1.0))
    };
    (1..=n as u32)
        .map(|i| {
            let mut x = (std::f64::consts::PI * (f64::from(i) - 0.25) / (n + 0.5)).cos();
            for _ in 0..8 {
                let (value, slope) = evaluate(x);
                x -= value / slope;
            }
            let (_, slope) = evaluate(x);
            (h * (1.0 - x) / 2.0, h / ((1.0 - x * x) * slope * slope))
        })
        .collect()
}

/// Gaussian elimination with partial pivoting on rows that carry their right-hand side as the last entry.
fn solve_linear(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let n = rows.len();
    for column in 0..n {
        let size = |i: &usize| rows.get(*i).and_then(|row| row.get(column)).map_or(0.0, |x| x.abs());
        let pivot = (column..n).max_by(|a, b| size(a).total_cmp(&size(b)))?;
        rows.swap(column, pivot);
        let (top, below) = rows.split_at_mut(column + 1);
        let pivot_row = top.last()?;
        let lead = *pivot_row.get(column)?;
        if lead == 0.0 {
            return None;
        }
        for row in below {
            let factor = row.get(column)? / lead;
            for (x, y) in row.iter_mut().zip(pivot_row).skip(column) {
                *x -= factor * y;
            }
        }
    }
    let mut solution = vec![0.0; n];
    for (i, row) in rows.iter().enumerate().rev() {
        let known: f64 = row.iter().take(n).zip(&solution).skip(i + 1).map(|(a, x)| a * x).sum();
        *solution.get_mut(i)? = (row.get(n)? - known) / row.get(i)?;
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_lengths_equal_those_of_r_spc() {
        for (k, h, shift, start, wanted) in [
            (0.25, 3.0, 0.0, 0.0, 39.471_610_210_701_3),
            (0.25, 3.0, 0.0, 1.5, 33.387_755_469_606_9),
            (0.5, 4.0, 0.0, 0.0, 335.368),
            // Two-sided 465.4435 and 10.37597 (textbook: 465, 10.4): 1/L = 1/L+ + 1/L-.
            (0.5, 5.0, 0.0, 0.0, 2.0 * 465.4435),
        ] {
            let found = NormalCusum { k, h }.arl_from(shift, start);
            assert!((found / wanted - 1.0).abs() < 2e-6, "{k} {h}: found {found}, wanted {wanted}");
        }
    }

    #[test]
    fn the_limit_and_the_run_length_invert_each_other() {
        for (k, arl0) in [(0.05, 2_160.0), (0.25, 500.0), (0.5, 930.887), (1.0, 2_160.0), (2.0, 1e6)] {
            let h = solve_h(k, arl0);
            let arl = NormalCusum { k, h }.arl(0.0);
            assert!((arl / arl0 - 1.0).abs() < 1e-7, "{k} {arl0}: h {h}, arl {arl}");
        }
        assert_eq!(solve_h(4.0, 2_160.0), 0.0);
    }
}

//! Run lengths of the Bernoulli CUSUM, and its limit from a promised in-control average run length (ARL).
//!
//! **Definition.** S <- max(0, S + up) on a hit, max(0, S - down) on a miss; alarm when S >= limit. Reynolds & Stoumbos
//! (1999). Between two visits to 0 the chart is one sequential probability ratio test (Page 1954), whose state after i
//! hits and j misses is i up - j down: an acyclic graph, summed in one forward pass. With N the mean length of such a
//! cycle and P the chance that it ends in an alarm, ARL = N / P. Only positive numbers are added, so nothing cancels.
//!
//! **Classical constants.** Siegmund's diffusion form with overshoot a third of a step gives the start value; it is
//! within 0.6 % of the ARL for p0 >= 0.02 and ARL0 >= 10,000.
//!
//! **Bad at.** Small changes (below about a point) need more states than a design may take; there the closed form is used,
//! with 2 % added to the promise. Do not bin the states: a true ARL0 of 20,001 came out as 47,151 with 1,000 bins.

use super::exponential_root;

/// Units of the integer lattice in one nat: the log-likelihood ratios of the charts are multiples of 2^-20.
pub const LATTICE: f64 = 1_048_576.0;

/// States after which the exact recursion gives up; about 10 ms.
const MAX_CELLS: u64 = 4_000_000;

/// The same for one step of the search for a limit, which takes about eight: together a few milliseconds.
const DESIGN_CELLS: u64 = 500_000;

/// The same for one step of a calculator's search for a limit of real weights, which takes about forty.
const SEARCH_CELLS: u64 = 40_000_000;

/// The same for a calculator, which may take a second for one number.
const PATIENT_CELLS: u64 = 400_000_000;

/// Most states of one row; longer ones are given up at once.
const MAX_ROW: usize = MAX_CELLS as usize;

/// Width, as a share of the limit, at which a limit of real weights counts as found.
const NARROW: f64 = 2e-11;

/// Most steps of the search for one; about forty are needed.
const MAX_STEPS: u32 = 400;

/// The recursion ends when a row of states carries less than this share of the alarm probability.
const NEGLIGIBLE: f64 = 1e-12;

/// The promise is met when the ARL exceeds it by less than this share.
const TIGHT: f64 = 1e-4;

/// What is added to the promise where only the closed form is affordable; its own error there is below 1 %.
const CLOSED_FORM_MARGIN: f64 = 1.02;

/// Log-likelihood ratios of p1 against p0: what a hit adds and what a miss takes away.
pub fn weights(p0: f64, p1: f64) -> (f64, f64) {
    ((p1 / p0).ln(), (-p0).ln_1p() - (-p1).ln_1p())
}

/// The same as whole numbers of lattice units, so that sums are exact and independent of order.
pub fn lattice_weights(p0: f64, p1: f64) -> (i64, i64) {
    let (up, down) = weights(p0, p1);
    ((up * LATTICE).round() as i64, (down * LATTICE).round() as i64)
}

/// A Bernoulli CUSUM: what a hit adds, what a miss takes, and where it alarms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Walk {
    /// Added on a hit.
    pub up: f64,
    /// Taken away on a miss.
    pub down: f64,
    /// Alarm at or above.
    pub limit: f64,
}

/// What one cycle from a start value to 0 or to the alarm looks like.
struct Cycle {
    length: f64,
    alarm: f64,
}

impl Walk {
    /// Average run length from 0 when hits have probability `p`; nothing where it would cost too many states.
    pub fn arl(&self, p: f64) -> Option<f64> {
        self.run_length(p, 0.0, MAX_CELLS)
    }

    /// Average run length from a head start between 0 and the limit.
    pub fn arl_from(&self, p: f64, start: f64) -> Option<f64> {
        self.run_length(p, start, MAX_CELLS)
    }

    /// The same with a hundred times as many states before it gives up: for a calculator.
    pub fn patient_arl(&self, p: f64, start: f64) -> Option<f64> {
        self.run_length(p, start, PATIENT_CELLS)
    }

    fn run_length(&self, p: f64, start: f64, most: u64) -> Option<f64> {
        if !(self.is_sound() && p > 0.0 && p <= 1.0) {
            return None;
        }
        let cycle = self.cycle(p, 0.0, most)?;
        let from_zero = cycle.length / cycle.alarm;
        if start <= 0.0 {
            return Some(from_zero);
        }
        let first = self.cycle(p, start, most)?;
        Some(first.length + (1.0 - first.alarm) * from_zero)
    }

    /// Whether this is a walk that goes up and down: without it the recursion would not end.
    fn is_sound(&self) -> bool {
        self.up > 0.0 && self.down > 0.0 && self.up.is_finite() && self.limit.is_finite()
    }

    /// Average number of cases from a change of the probability of a hit from `p0` to `p1` to the alarm, where the change
    /// meets the chart anywhere in the cycles that it goes through in control (the cyclic steady state). One pass over
    /// the states: visits before the change feed those after it.
    pub fn steady_state(&self, p0: f64, p1: f64) -> Option<f64> {
        let after_zero = self.patient_arl(p1, 0.0)?;
        if !(p0 > 0.0 && p0 <= 1.0) {
            return None;
        }
        let control = self.cycle(p0, 0.0, PATIENT_CELLS)?.length;
        let mut row = vec![(1.0, 1.0 / control)];
        let (mut length, mut alarm) = (1.0 / control, 0.0);
        let (mut first, mut hits, mut cells) = (0_u64, 0_u64, 1_u64);
        loop {
            hits += 1;
            let height = hits as f64 * self.up;
            let over = self.over(row.len(), height, first);
            alarm += p1 * row.drain(..over).map(|(_, after)| after).sum::<f64>();
            first += over as u64;
            let top = height - first as f64 * self.down;
            let (mut before, mut after, mut left, mut mass) = (0.0, 0.0, 0.0, 0.0);
            let mut at = 0;
            while at < row.len() || top - at as f64 * self.down > 0.0 {
                let here = row.get(at).copied().unwrap_or_default();
                before = (1.0 - p0) * before + p0 * here.0;
                after = (1.0 - p1) * after + p1 * here.1 + before / control;
                left += before;
                mass += after;
                match row.get_mut(at) {
                    Some(entry) => *entry = (before, after),
                    None => row.push((before, after)),
                }
                at += 1;
                if at >= MAX_ROW {
                    return None;
                }
            }
            length += mass;
            cells += row.len() as u64;
            if left / control + mass <= NEGLIGIBLE * alarm {
                return Some(length + (1.0 - alarm) * after_zero);
            }
            if cells > PATIENT_CELLS {
                return None;
            }
        }
    }

    /// How many of a row's first entries lie at the limit or above.
    fn over(&self, entries: usize, height: f64, first: u64) -> usize {
        (0..entries).take_while(|j| height - (first + *j as u64) as f64 * self.down >= self.limit).count()
    }

    fn cycle(&self, p: f64, start: f64, most: u64) -> Option<Cycle> {
        let q = 1.0 - p;
        let mut row = self.first_row(q, start);
        if row.len() >= MAX_ROW {
            return None;
        }
        // The number of misses that the first entry of `row` stands for.
        let mut first: u64 = 0;
        let mut cycle = Cycle { length: row.iter().sum(), alarm: 0.0 };
        let mut cells = row.len() as u64;
        let mut hits: u64 = 0;
        loop {
            hits += 1;
            let height = start + hits as f64 * self.up;
            let over = self.over(row.len(), height, first);
            cycle.alarm += p * row.iter().take(over).sum::<f64>();
            first += over as u64;
            let mass = self.next_row(&mut row, over, (p, q), height - first as f64 * self.down);
            cycle.length += mass;
            cells += row.len() as u64;
            if mass <= NEGLIGIBLE * cycle.alarm {
                return Some(cycle);
            }
            if cells > most || row.len() >= MAX_ROW {
                return None;
            }
        }
    }

    /// Visits to the states before the first hit.
    fn first_row(&self, q: f64, start: f64) -> Vec<f64> {
        if start <= 0.0 {
            // A miss at 0 stays at 0 and ends the cycle.
            return vec![1.0];
        }
        let length = (start / self.down).ceil().clamp(1.0, MAX_ROW as f64) as usize;
        std::iter::successors(Some(1.0), |visits| Some(visits * q)).take(length).collect()
    }

    /// Replaces the visits of one row by those of the next (one hit more) and returns their sum. The first `over`
    /// entries went over the limit; `top` is the value of the first state that did not.
    fn next_row(&self, row: &mut Vec<f64>, over: usize, (p, q): (f64, f64), top: f64) -> f64 {
        row.drain(..over);
        let mut visits = 0.0;
        let mut mass = 0.0;
        for entry in row.iter_mut() {
            visits = q * visits + p * *entry;
            mass += visits;
            *entry = visits;
        }
        while !row.is_empty() && top - row.len() as f64 * self.down > 0.0 && row.len() < MAX_ROW {
            visits *= q;
            mass += visits;
            row.push(visits);
        }
        mass
    }
}

/// The closed-form limit (Siegmund's form): x from e^x - x - 1 = ARL0 KL(p0, p1), less the overshoot. In nats.
pub fn start_limit(p0: f64, p1: f64, arl0: f64) -> f64 {
    scaled_limit(p0, p1, arl0, 1.0)
}

/// The same for counts whose variance is `phi` times the binomial one: e^x - x - 1 = ARL0 KL(p0, p1) / phi, the limit is
/// phi x less the overshoot. In nats of the unscaled walk.
pub fn scaled_limit(p0: f64, p1: f64, arl0: f64, phi: f64) -> f64 {
    let (up, down) = weights(p0, p1);
    let divergence = (1.0 - p0) * down - p0 * up;
    phi * exponential_root(arl0 * divergence / phi) - (up + down) * (1.0 + p0) / 3.0
}

/// The smallest limit, in lattice units, of the integer chart of p0 -> p1 that keeps an in-control ARL of `arl0`.
///
/// Any limit up to one hit's weight is the same chart (every hit alarms), so the answer is never below that weight.
pub fn solve_limit(p0: f64, p1: f64, arl0: f64) -> i64 {
    limit_within(p0, p1, arl0, DESIGN_CELLS)
}

/// The same with time for smaller changes before the closed form is taken: for a calculator, and to measure charts by.
pub fn patient_limit(p0: f64, p1: f64, arl0: f64) -> i64 {
    limit_within(p0, p1, arl0, SEARCH_CELLS)
}

fn limit_within(p0: f64, p1: f64, arl0: f64, cells: u64) -> i64 {
    let (up, down) = lattice_weights(p0, p1);
    if up <= 0 || down <= 0 {
        return i64::MAX;
    }
    if 1.0 / p0 >= arl0 {
        return up;
    }
    let arl = |limit: i64| Walk { up: up as f64, down: down as f64, limit: limit as f64 }.run_length(p0, 0.0, cells);
    let start = ((start_limit(p0, p1, arl0) * LATTICE) as i64).max(up + 1);
    refine(start, up, arl0, arl).unwrap_or_else(|| {
        let safe = (start_limit(p0, p1, arl0 * CLOSED_FORM_MARGIN) * LATTICE).ceil() as i64;
        safe.max(up)
    })
}

/// The smallest limit, in nats, that keeps an average run length of `arl0` where hits have probability `p` and the weights
/// are real numbers: for comparison with other programs, the charts' limits are those of [`solve_limit`]. `p` need not be
/// the level that the weights were made for. Nothing where it would cost too many states.
pub fn solve_real_limit((up, down): (f64, f64), p: f64, arl0: f64) -> Option<f64> {
    if !arl0.is_finite() {
        return None;
    }
    let excess = |limit: f64| Walk { up, down, limit }.run_length(p, 0.0, SEARCH_CELLS).map(|arl| (arl / arl0).ln());
    let climbs = p * up >= (1.0 - p) * down;
    // Up to one hit's weight the chart is the same: every hit alarms.
    let mut low = (up, excess(up)?);
    if low.1 >= 0.0 {
        return Some(up);
    }
    let mut high = low;
    while high.1 < 0.0 {
        low = high;
        // The ARL grows like e^h; where the walk does not go down, hardly faster than h itself.
        let limit = low.0 + (1.1 * low.1.abs() + down).max(if climbs { low.0 } else { 0.0 });
        high = (limit, excess(limit)?);
    }
    // Interpolation until the steps of ARL(h) show, halving from there on.
    let mut smooth = true;
    for _ in 0..MAX_STEPS {
        let width = high.0 - low.0;
        if width <= NARROW * high.0 {
            break;
        }
        let share = if smooth { (-low.1 / (high.1 - low.1)).clamp(0.01, 0.99) } else { 0.5 };
        let middle = share.mul_add(width, low.0);
        let value = excess(middle)?;
        if value < 0.0 {
            low = (middle, value);
        } else {
            high = (middle, value);
        }
        smooth = !smooth || high.0 - low.0 < 0.1 * width;
    }
    Some(high.0)
}

/// Brackets the promise from `start`, then narrows the bracket by interpolation and halving in turn: ARL(h) is a step
/// function, on which interpolation alone can stall.
fn refine(start: i64, floor: i64, arl0: f64, arl: impl Fn(i64) -> Option<f64>) -> Option<i64> {
    let excess = |limit: i64| arl(limit).map(|value| (value / arl0).ln());
    // The ARL grows at least like e^h, so the excess is about the distance in nats.
    let stride = |excess: f64| (1.25 * excess.abs() * LATTICE) as i64 + 64;
    let first = excess(start)?;
    let (mut low, mut high) = (None, (start, first));
    if first < 0.0 {
        low = Some(high);
        while high.1 < 0.0 {
            low = Some(high);
            let next = high.0 + stride(high.1);
            high = (next, excess(next)?);
        }
    }
    while low.is_none() {
        let next = (high.0 - stride(high.1)).max(floor);
        let value = excess(next)?;
        if value < 0.0 || next == floor {
            low = Some((next, value.min(-f64::MIN_POSITIVE)));
        } else {
            high = (next, value);
        }
    }
    let mut low = low?;
    let mut halve = false;
    while high.0 - low.0 > 1 && high.1 > TIGHT {
        let width = (high.0 - low.0) as f64;
        let share = if halve { 0.5 } else { -low.1 / (high.1 - low.1) };
        let middle = low.0 + ((share * width).ceil() as i64).clamp(1, high.0 - low.0 - 1);
        let value = excess(middle)?;
        if value < 0.0 {
            low = (middle, value);
        } else {
            high = (middle, value);
        }
        halve = !halve;
    }
    Some(high.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, wanted: f64, tolerance: f64) {
        assert!((found / wanted - 1.0).abs() <= tolerance, "found {found}, wanted {wanted}");
    }

    #[test]
    fn run_lengths_of_the_integer_chart_equal_a_sparse_linear_solve() {
        // up 49, down 1, alarm at 400: solved independently on the integer lattice, 1e-8.
        let walk = Walk { up: 49.0, down: 1.0, limit: 400.0 };
        for (p, from_zero, from_half) in [
            (0.01, 3_262_226.691_549_965_6, 3_249_558.402_205_615),
            (0.02, 3_543.020_674_848_359_2, 2_722.587_261_511_481_8),
            (0.03, 723.629_769_539_287_6, 431.244_639_053_877_9),
        ] {
            close(walk.arl(p).unwrap(), from_zero, 1e-8);
            close(walk.arl_from(p, 200.0).unwrap(), from_half, 1e-8);
        }
    }

    #[test]
    fn the_start_value_is_the_published_closed_form() {
        close(start_limit(0.08, 0.10, 20_000.0), 3.869_516_080_223_668, 1e-9);
        close(start_limit(0.15, 0.18, 10_000.0), 3.514_691_650_550_931, 1e-9);
    }

    #[test]
    fn solved_limits_keep_the_promise_and_no_more() {
        for (p0, p1, arl0, wanted) in [
            (0.08, 0.10, 20_000.0, 3.869_091_025_352_479),
            (0.15, 0.18, 10_000.0, 3.514_668_590_128_422_5),
            (0.05, 0.07, 100_000.0, 5.719_803),
        ] {
            let limit = solve_limit(p0, p1, arl0);
            close(limit as f64 / LATTICE, wanted, 2e-4);
            let (up, down) = lattice_weights(p0, p1);
            let arl = |limit: i64| Walk { up: up as f64, down: down as f64, limit: limit as f64 }.arl(p0).unwrap();
            assert!(arl(limit) >= arl0);
            assert!(arl(limit) <= arl0 * (1.0 + TIGHT) || arl(limit - 1) < arl0);
        }
    }

    #[test]
    fn delays_after_control_and_with_a_head_start_equal_an_independent_recursion() {
        let walk = |p0: f64, p1: f64, limit: f64| {
            let (up, down) = weights(p0, p1);
            Walk { up, down, limit }
        };
        let rare = walk(0.01, 0.03, 2.152_941);
        for (walk, p0, p, from_half, steady) in [
            (rare, 0.01, 0.02, 201.516_877_473_819_53, 234.276_853_223_227_55),
            (rare, 0.01, 0.11, 16.390_307_779_268_277, 21.932_335_499_497_064),
            (walk(0.01, 0.03, 4.203_837), 0.01, 0.02, 544.818_770_849_818, 681.173_362_243_978_2),
        ] {
            close(walk.patient_arl(p, walk.limit / 2.0).unwrap(), from_half, 1e-8);
            close(walk.steady_state(p0, p).unwrap(), steady, 1e-8);
        }
        // Without a change the delay from anywhere is no longer than from 0, and nearly that.
        let still = rare.steady_state(0.01, 0.01).unwrap() / rare.arl(0.01).unwrap();
        assert!(still < 1.0 && still > 0.95, "{still}");
    }

    #[test]
    fn real_limits_are_the_steps_of_the_run_length() {
        for (p0, p1, arl0, wanted) in [
            (0.08, 0.10, 20_000.0, 3.869_091_025_352_479),
            (0.05, 0.07, 20_000.0, 4.165_705_208_969_118_4),
            (0.15, 0.18, 10_000.0, 3.514_668_590_128_422_5),
        ] {
            let (up, down) = weights(p0, p1);
            let limit = solve_real_limit((up, down), p0, arl0).unwrap();
            close(limit, wanted, 1e-9);
            let arl = |limit: f64| Walk { up, down, limit }.arl(p0).unwrap();
            assert!(arl(limit) >= arl0 && arl(limit - 1e-8) < arl0);
        }
        // Every hit alarms.
        let (up, down) = weights(1e-4, 0.02);
        assert_eq!(solve_real_limit((up, down), 1e-4, 5_000.0), Some(up));
    }

    #[test]
    fn what_is_no_walk_has_no_run_length() {
        for walk in [
            Walk { up: 0.0, down: 1.0, limit: 3.0 },
            Walk { up: 1.0, down: 0.0, limit: 3.0 },
            Walk { up: f64::NAN, down: 1.0, limit: 3.0 },
            Walk { up: 1.0, down: 1.0, limit: f64::INFINITY },
        ] {
            assert_eq!((walk.arl(0.1), walk.steady_state(0.1, 0.2)), (None, None), "{walk:?}");
        }
        let walk = Walk { up: 1.0, down: 1.0, limit: 2.0 };
        assert_eq!([walk.arl(0.0), walk.arl(f64::NAN), walk.steady_state(0.0, 0.1)], [None; 3]);
        assert_eq!(solve_real_limit((1.0, 1.0), 0.1, f64::INFINITY), None);
        assert_eq!(walk.arl(1.0), Some(2.0));
    }

    #[test]
    fn rare_hits_alarm_at_once_where_the_promise_allows() {
        let (up, _) = lattice_weights(1e-6, 0.02);
        assert_eq!(solve_limit(1e-6, 0.02, 20_000.0), up);
    }

    #[test]
    fn a_change_too_small_for_the_recursion_gets_the_closed_form() {
        let limit = solve_limit(0.5, 0.5005, 20_000.0);
        close(limit as f64 / LATTICE, start_limit(0.5, 0.5005, 20_400.0), 1e-4);
        assert_eq!(solve_limit(0.5, 0.5, 20_000.0), i64::MAX);
    }
}

//! The promise where the baseline is an estimate: accuracy 0.92, n0 labels of Phase I, null p0* = an upper bound.
//!
//! The chart depends on the baseline through p0* alone. So its rate of false alarms and its delays at the true rate are
//! simulated once on a grid of p0*, the same labels for every point, interpolated (the rate by its logarithm), and
//! summed over the exact binomial distribution of the baseline. No finite run of a single stream has to be judged: a
//! baseline is "broken" when the rate of its p0* exceeds the promise.
//!
//! A drop comes at a random time of stable operation, in which the chart restarts after every false alarm.

use shewhart::engine::detect::{DesignCache, ProportionDesign};
use shewhart::engine::units::Counts;
use statrs::function::factorial::ln_binomial;

use super::charts::{Chart as _, DELTA, alarm, run_length};
use super::study::{Figure, Study, Xorshift};

const P0: f64 = 0.08;
const ARL0: f64 = 20_000.0;
const BASELINES: [u64; 5] = [500, 1_000, 2_000, 5_000, 10_000];
const GUARANTEES: [f64; 2] = [ProportionDesign::GUARANTEE, 0.9];

/// The grid of p0*: its first point, its step, its points.
const FIRST: f64 = 0.044;
const STEP: f64 = 0.002;
const POINTS: usize = 45;

/// Changes in one repetition, and labels in control between them.
const CHANGES: u32 = 60;
const SPACING: u32 = 50_000;
/// Delays are cut here; a chart whose p0* lies above the level after the drop never alarms.
const MOST: u32 = 100_000;
/// Later than this is of no use to anybody.
const LATE: u32 = 20_000;

/// Of one p0*: false alarms over the promised ones, delay at 2 points, share of such delays beyond [`LATE`], delay at
/// 5.
type Behaviour = [f64; 4];

fn behaviour(null: f64, changes: u32, cache: &mut DesignCache, random: &mut Xorshift) -> Behaviour {
    let mut chart = alarm(&ProportionDesign::fixed(null, DELTA, ARL0), cache);
    let (mut alarms, mut sums) = (0_u32, [0.0; 3]);
    for _ in 0..changes {
        for _ in 0..SPACING {
            if chart.take(random.hit(P0)) {
                alarms += 1;
                chart.reset();
            }
        }
        let small = run_length(&mut chart.clone(), P0 + 0.02, MOST, random);
        let large = run_length(&mut chart.clone(), P0 + 0.05, MOST, random);
        let [at_small, late, at_large] = &mut sums;
        *at_small += f64::from(small);
        *late += f64::from(u8::from(small > LATE));
        *at_large += f64::from(large);
    }
    let [small, late, large] = sums.map(|sum| sum / f64::from(changes));
    let promised = f64::from(changes) * f64::from(SPACING) / ARL0;
    // No alarm at all is not none ever, and has no logarithm.
    [f64::from(alarms).max(0.1) / promised, small, late, large]
}

/// What lies between the points of the grid.
fn between(grid: &[Behaviour], null: f64) -> Behaviour {
    let at = ((null - FIRST) / STEP).clamp(0.0, (POINTS - 1) as f64 - 1e-9);
    let (index, part) = (at as usize, at.fract());
    let [low, high] = [index, index + 1].map(|i| grid.get(i).copied().unwrap_or_default());
    let mut found = [0.0; 4];
    for ((found, low), high) in found.iter_mut().zip(low).zip(high) {
        *found = low + part * (high - low);
    }
    let ([rate, ..], [before, ..], [after, ..]) = (&mut found, low, high);
    *rate = (before.ln() + part * (after / before).ln()).exp();
    found
}

/// Over the baselines of n0 labels: share broken, false alarms over the promised ones in the mean and in the worst
/// tenth, and the three figures of delay.
fn over_baselines(grid: &[Behaviour], n0: u64, guarantee: f64) -> [f64; 6] {
    let (mean, sd) = (n0 as f64 * P0, (n0 as f64 * P0 * (1.0 - P0)).sqrt());
    let (first, last) = ((mean - 6.0 * sd).max(0.0) as u64, (mean + 6.0 * sd) as u64);
    let (mut sums, mut below, mut worst) = ([0.0; 6], 0.0, f64::NAN);
    for hits in first..=last {
        let chance = (ln_binomial(n0, hits) + hits as f64 * P0.ln() + (n0 - hits) as f64 * (1.0 - P0).ln()).exp();
        let design = ProportionDesign { guarantee, ..ProportionDesign::new(Counts { hits, n: n0 }, DELTA, ARL0) };
        let [rate, small, late, large] = between(grid, design.null());
        // The rate falls with the number of errors in the baseline: the worst come first.
        if below < 0.1 {
            worst = rate;
        }
        below += chance;
        let broken = f64::from(u8::from(rate > 1.0));
        for (sum, value) in sums.iter_mut().zip([broken, rate, 0.0, small, late, large]) {
            *sum += chance * value;
        }
    }
    let [broken, rate, _, small, late, large] = sums;
    [broken, rate, worst, small, late, large]
}

fn line(name: &str, figures: &[Figure]) {
    let [broken, rate, worst, small, late, large] = figures else { return };
    println!("  {name:<15} {broken:<13.3} {rate:<13.2} {worst:<13.2} {small:<15} {late:<16.4} {large}");
}

pub(crate) fn run(study: &Study) {
    let mut cache = DesignCache::new();
    let changes = study.runs(CHANGES);
    let figures: [Figure; 66] = study.repeat(0, |random| {
        let seed = (random.uniform() * 1e15) as u64;
        let grid: Vec<Behaviour> = (0..POINTS)
            .map(|i| behaviour(FIRST + STEP * i as f64, changes, &mut cache, &mut Xorshift::new(seed)))
            .collect();
        let mut all = [0.0; 66];
        let cases = GUARANTEES.into_iter().flat_map(|guarantee| BASELINES.map(|n0| (n0, guarantee)));
        let figures = cases.flat_map(|(n0, guarantee)| over_baselines(&grid, n0, guarantee));
        let [rate, small, late, large] = between(&grid, P0);
        let known = [f64::from(u8::from(rate > 1.0)), rate, rate, small, late, large];
        for (slot, value) in all.iter_mut().zip(figures.chain(known)) {
            *slot = value;
        }
        all
    });
    println!(
        "Estimated baselines, accuracy 0.92, ARL0 {ARL0}; false alarms in units of the promise, delays cut at {MOST}:"
    );
    println!("  n0, guarantee   broken        false alarms  worst tenth   2 pp            beyond {LATE}     5 pp");
    let (rows, _) = figures.as_chunks::<6>();
    let names = GUARANTEES.into_iter().flat_map(|guarantee| BASELINES.map(|n0| format!("{n0}, {guarantee}")));
    for (name, row) in names.chain(["known".to_owned()]).zip(rows) {
        line(&name, row);
    }
}

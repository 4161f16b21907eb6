//! The default alarm against the CUSUM that knows the drop: delays at a known baseline.
//!
//! From the start ("zero-state") both are fresh when the drop comes; "steady" means at a random time of a long run in
//! control, each chart at least 20,000 labels after its start or its last false alarm. Both charts see the same labels.
//! The CUSUM's exact mean, from the recursion that solves its limit, stands beside the simulated one.

use shewhart::engine::detect::{DesignCache, Mixture, ProportionDesign};

use super::charts::{Chart as _, DELTA, Oracle, alarm, check_alarm, race};
use super::study::{Figure, Study, Xorshift, mean, quantile};

const P0: f64 = 0.08;
const ARL0: [f64; 2] = [20_000.0, 100_000.0];
const DROPS: [f64; 5] = [0.01, 0.02, 0.03, 0.05, 0.10];

/// Runs of one repetition from the start, and changes of one repetition in a steady state.
const RUNS: u32 = 3_000;
/// Labels in control between two changes.
const SPACING: u32 = 2_000;
/// Labels without an alarm after which a chart is in its steady state: three times the memory of its slowest arm.
const SETTLED: u32 = 20_000;

/// Delays of the default and of the oracle at one drop.
#[derive(Clone, Default)]
struct Pair {
    ours: Vec<f64>,
    oracle: Vec<f64>,
}

impl Pair {
    /// Mean and 90 % quantile of the default, of the oracle, and the ratio of the means.
    fn figures(&mut self) -> [f64; 5] {
        let (ours, oracle) = (mean(&self.ours), mean(&self.oracle));
        [ours, quantile(&mut self.ours, 0.9), oracle, quantile(&mut self.oracle, 0.9), ours / oracle]
    }
}

fn from_start(fresh: &Mixture, oracles: &[Oracle; 5], runs: u32, random: &mut Xorshift) -> [Pair; 5] {
    let mut pairs: [Pair; 5] = Default::default();
    for ((pair, oracle), drop) in pairs.iter_mut().zip(oracles).zip(DROPS) {
        for _ in 0..runs {
            let [ours, theirs] = race(&mut fresh.clone(), &mut oracle.clone(), P0 + drop, random);
            pair.ours.push(f64::from(ours));
            pair.oracle.push(f64::from(theirs));
        }
    }
    pairs
}

fn steady(fresh: &Mixture, oracles: &[Oracle; 5], runs: u32, random: &mut Xorshift) -> [Pair; 5] {
    let mut pairs: [Pair; 5] = Default::default();
    let (mut ours, mut age) = (fresh.clone(), 0);
    let mut running: Vec<(Oracle, u32)> = oracles.iter().map(|oracle| (oracle.clone(), 0)).collect();
    for n in 1.. {
        let wrong = random.hit(P0);
        age = if ours.take(wrong) { 0 } else { age + 1 };
        if age == 0 {
            ours.reset();
        }
        for ((chart, age), fresh) in running.iter_mut().zip(oracles) {
            let alarmed = chart.take(wrong);
            *age = if alarmed { 0 } else { *age + 1 };
            if alarmed {
                *chart = fresh.clone();
            }
        }
        if n < SETTLED || n % SPACING > 0 {
            continue;
        }
        if pairs.iter().all(|pair| pair.ours.len().min(pair.oracle.len()) >= runs as usize) {
            break;
        }
        for (((oracle, oracle_age), pair), drop) in running.iter().zip(&mut pairs).zip(DROPS) {
            // A chart that alarmed a while ago sits this change out; the other does not wait for it.
            if age < SETTLED && *oracle_age < SETTLED {
                continue;
            }
            let [first, second] = race(&mut ours.clone(), &mut oracle.clone(), P0 + drop, random);
            if age >= SETTLED {
                pair.ours.push(f64::from(first));
            }
            if *oracle_age >= SETTLED {
                pair.oracle.push(f64::from(second));
            }
        }
    }
    pairs
}

fn print(exact: Option<&[f64; 5]>, figures: &[Figure; 25]) {
    println!("  drop   default mean   default 90 %   CUSUM mean     CUSUM 90 %     CUSUM exact   default / CUSUM");
    let (rows, _) = figures.as_chunks::<5>();
    for (i, ([ours, ours_90, oracle, oracle_90, ratio], drop)) in rows.iter().zip(DROPS).enumerate() {
        let exact = exact.and_then(|exact| exact.get(i)).map_or("-".to_owned(), |exact| format!("{exact:.1}"));
        println!(
            "  {:>2} pp  {ours:<14} {ours_90:<14} {oracle:<14} {oracle_90:<14} {exact:<13} {ratio:.3}",
            drop * 100.0
        );
    }
}

fn flat(mut pairs: [Pair; 5]) -> [f64; 25] {
    let mut figures = [0.0; 25];
    for (slot, value) in figures.iter_mut().zip(pairs.iter_mut().flat_map(Pair::figures)) {
        *slot = value;
    }
    figures
}

pub(crate) fn run(study: &Study) {
    let mut cache = DesignCache::new();
    for (cell, arl0) in (0..).zip(ARL0) {
        let design = ProportionDesign::fixed(P0, DELTA, arl0);
        check_alarm(&design, &mut cache, &mut Xorshift::new(cell));
        let fresh = alarm(&design, &mut cache);
        let oracles = DROPS.map(|drop| Oracle::new(P0, drop, arl0));
        let mut exact = [0.0; 5];
        for ((slot, oracle), drop) in exact.iter_mut().zip(&oracles).zip(DROPS) {
            *slot = oracle.arl(P0 + drop);
        }
        let runs = study.runs(RUNS);
        println!("Delays in labels, accuracy 0.92 known, ARL0 {arl0}, the drop comes at the start:");
        print(Some(&exact), &study.repeat(2 * cell, |random| flat(from_start(&fresh, &oracles, runs, random))));
        println!("Delays in labels, accuracy 0.92 known, ARL0 {arl0}, steady state:");
        print(None, &study.repeat(2 * cell + 1, |random| flat(steady(&fresh, &oracles, runs, random))));
    }
}

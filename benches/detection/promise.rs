//! The promise at a known baseline: run lengths in control, counted, and by the identity E\[T\] = E\[M at T\] - r.
//!
//! The identity holds exactly for the mixture (M - n is a martingale in control), and M at an alarm varies far less
//! than T.

use shewhart::engine::detect::{DesignCache, ProportionDesign};

use super::charts::{Chart as _, DELTA, alarm};
use super::study::Study;

const LEVELS: [f64; 7] = [0.01, 0.02, 0.05, 0.08, 0.13, 0.20, 0.40];
const ARL0: [f64; 2] = [20_000.0, 100_000.0];
/// Designs far from the usual: error rate, drop that matters, promise. In most of them a few errors make an alarm.
const ODD: [(f64, f64, f64); 6] = [
    (0.08, 0.005, 2_000.0),
    (0.02, 0.02, 1_000.0),
    (0.01, 0.05, 2_000.0),
    (0.005, 0.1, 2_000.0),
    (0.002, 0.02, 20_000.0),
    (0.001, 0.01, 100_000.0),
];
/// Labels of one repetition, in units of the promise.
const RUNS: u32 = 200;

pub(crate) fn run(study: &Study) {
    let mut cache = DesignCache::new();
    println!("Run length in control over the promise, baseline known:");
    println!("  error rate   delta    ARL0      by the martingale   counted");
    let usual = LEVELS.into_iter().flat_map(|p0| ARL0.map(|arl0| (p0, DELTA, arl0)));
    for (cell, (p0, delta, arl0)) in (0..).zip(usual.chain(ODD)) {
        let fresh = alarm(&ProportionDesign::fixed(p0, delta, arl0), &mut cache);
        let runs = study.runs(if arl0 > 50_000.0 { RUNS / 4 } else { RUNS });
        let [martingale, counted] = study.repeat(cell, |random| {
            let (mut labels, mut reached) = (0.0, 0.0);
            for _ in 0..runs {
                let mut chart = fresh.clone();
                while !chart.take(random.hit(p0)) {
                    labels += 1.0;
                }
                labels += 1.0;
                reached += chart.statistic() - fresh.statistic();
            }
            [reached, labels].map(|sum| sum / f64::from(runs) / arl0)
        });
        println!("  {p0:<12} {delta:<8} {arl0:<9} {martingale:<19.4} {counted:.3}");
    }
}

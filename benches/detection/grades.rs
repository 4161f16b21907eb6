//! The grades: labels to *drifting* and to *degraded*, and how often a drop below what matters is paged as degraded.
//!
//! The drop comes after 5,000 labels in control, in runs without a false alarm before; the baseline of 10,000 labels is
//! drawn anew for every run, unless it is known.

use shewhart::engine::detect::{DesignCache, ProportionChart, ProportionDesign};
use shewhart::engine::rule::Grade;
use shewhart::engine::units::Counts;

use super::charts::{AT, DELTA};
use super::study::{Study, Xorshift};

const ARL0: f64 = 20_000.0;
const LEVELS: [f64; 2] = [0.08, 0.13];
const DROPS: [f64; 5] = [0.01, 0.02, 0.03, 0.05, 0.06];
const BASELINE: u64 = 10_000;
const IN_CONTROL: u32 = 5_000;
/// Labels within which a page counts as prompt.
const SOON: u32 = 10_000;
/// Where delays are cut: a drop below what matters is graded degraded only by chance, after very long.
const MOST: u32 = 100_000;
/// Runs of one repetition.
const RUNS: u32 = 40;

fn fresh(p0: f64, known: bool, random: &mut Xorshift, cache: &mut DesignCache) -> ProportionChart {
    let design = if known {
        ProportionDesign::fixed(p0, DELTA, ARL0)
    } else {
        let mut counts = Counts::default();
        (0..BASELINE).for_each(|_| counts.add(random.hit(p0)));
        ProportionDesign::new(counts, DELTA, ARL0)
    };
    ProportionChart::new(&design, cache)
}

/// Labels to the first alarm, and to the first grade of at least degraded; at most so many.
fn delays(p: f64, chart: &mut ProportionChart, most: u32, random: &mut Xorshift) -> (u32, u32) {
    let mut drifting = None;
    for n in 1..=most {
        chart.update(random.hit(p), AT);
        if let Some(grade) = chart.grade() {
            drifting.get_or_insert(n);
            if grade >= Grade::Degraded {
                return (drifting.unwrap_or(n), n);
            }
        }
    }
    (drifting.unwrap_or(most), most)
}

pub(crate) fn run(study: &Study) {
    let mut cache = DesignCache::new();
    let cells = LEVELS.into_iter().flat_map(|p0| [true, false].map(|known| (p0, known)));
    for (cell, (p0, known)) in (0..).zip(cells) {
        let name = if known { "known" } else { "of 10,000 labels" };
        println!("Grades, accuracy {:.2}, baseline {name}, ARL0 {ARL0}:", 1.0 - p0);
        println!("  drop   drifting       degraded       degraded within {SOON}");
        for (at, drop) in (0..).zip(DROPS) {
            // Below what matters only the share of prompt pages is of interest.
            let most = if drop < DELTA { SOON } else { MOST };
            let runs = study.runs(RUNS);
            let [drifting, degraded, soon] = study.repeat(10 * cell + at, |random| {
                let (mut sums, mut done) = ([0.0; 3], 0);
                while done < runs {
                    let mut chart = fresh(p0, known, random, &mut cache);
                    let alarmed = (0..IN_CONTROL).any(|_| {
                        chart.update(random.hit(p0), AT);
                        chart.grade().is_some()
                    });
                    if alarmed {
                        continue;
                    }
                    done += 1;
                    let (first, sure) = delays(p0 + drop, &mut chart, most, random);
                    let prompt = sure < SOON.min(most);
                    for (sum, value) in sums.iter_mut().zip([first, sure, u32::from(prompt)]) {
                        *sum += f64::from(value);
                    }
                }
                sums.map(|sum| sum / f64::from(runs))
            });
            let cut = if drop < DELTA { format!("  (delays cut at {SOON})") } else { String::new() };
            println!("  {:>2} pp  {drifting:<14} {degraded:<14} {soon:.3}{cut}", (drop * 100.0).round());
        }
    }
}

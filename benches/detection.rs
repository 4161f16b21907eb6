//! How long the proportion chart takes to see a drop, and how often it cries wolf: seeded simulation, two minutes.
//!
//! Run with `cargo bench --bench detection --no-default-features`. Delays count labels after 5,000 labels in control, in
//! runs without a false alarm before; the baseline is drawn anew for every run (n0 = 10,000 labels) unless it is known.
#![expect(clippy::print_stdout, reason = "the table is what this study is for")]
#![expect(clippy::disallowed_methods, reason = "a study may say how long it took")]

use std::time::Instant;

use shewhart::engine::detect::{DesignCache, ProportionChart, ProportionDesign};
use shewhart::engine::rule::Grade;
use shewhart::engine::units::{Counts, Timestamp};

const SEED: u64 = 20_261_123;
const ARL0: f64 = 20_000.0;
const DELTA: f64 = 0.02;
const BASELINE: u64 = 10_000;
const IN_CONTROL: u64 = 5_000;
const LONGEST: u64 = 400_000;
const RUNS: u32 = 1_000;
const AT: Timestamp = Timestamp::from_millis(0);

/// Marsaglia's xorshift64*.
struct Xorshift(u64);

impl Xorshift {
    fn hit(&mut self, p: f64) -> bool {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let uniform = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64;
        uniform < p
    }
}

/// Mean and standard error of what was added.
#[derive(Default)]
struct Mean {
    n: f64,
    sum: f64,
    squares: f64,
}

impl Mean {
    fn add(&mut self, x: f64) {
        self.n += 1.0;
        self.sum += x;
        self.squares += x * x;
    }

    fn show(&self) -> String {
        let mean = self.sum / self.n;
        let error = ((self.squares / self.n - mean * mean).max(0.0) / self.n).sqrt();
        format!("{mean:.0} ({error:.0})")
    }
}

/// A chart for errors of probability `p0`, known or estimated from a baseline.
fn chart(p0: f64, known: bool, random: &mut Xorshift, cache: &mut DesignCache) -> ProportionChart {
    let design = if known {
        ProportionDesign::fixed(p0, DELTA, ARL0)
    } else {
        let mut counts = Counts::default();
        for _ in 0..BASELINE {
            counts.add(random.hit(p0));
        }
        ProportionDesign::new(counts, DELTA, ARL0)
    };
    ProportionChart::new(&design, cache)
}

/// Labels to the first alarm and to the first grade of at least degraded.
fn delays(p: f64, chart: &mut ProportionChart, random: &mut Xorshift) -> (u64, u64) {
    let mut drifting = None;
    for n in 1..=LONGEST {
        chart.update(random.hit(p), AT);
        if let Some(grade) = chart.grade() {
            drifting.get_or_insert(n);
            if grade >= Grade::Degraded {
                return (drifting.unwrap_or(n), n);
            }
        }
    }
    (drifting.unwrap_or(LONGEST), LONGEST)
}

fn delay_table(p0: f64, known: bool, random: &mut Xorshift, cache: &mut DesignCache) {
    println!("  drop  drifting (SE)   degraded (SE)   degraded within 10,000   never within {LONGEST}");
    for drop in [0.01, 0.02, 0.03, 0.05, 0.06] {
        let (mut drifting, mut degraded) = (Mean::default(), Mean::default());
        let (mut soon, mut never, mut runs) = (0_u32, 0_u32, 0_u32);
        // A drop below what matters is graded degraded only by chance, after very long: fewer runs.
        let wanted = if drop < DELTA { RUNS / 4 } else { RUNS };
        while runs < wanted {
            let mut chart = chart(p0, known, random, cache);
            for _ in 0..IN_CONTROL {
                chart.update(random.hit(p0), AT);
            }
            if chart.grade().is_some() {
                continue;
            }
            runs += 1;
            let (first, sure) = delays(p0 + drop, &mut chart, random);
            drifting.add(first as f64);
            degraded.add(sure as f64);
            soon += u32::from(sure <= 10_000);
            never += u32::from(sure == LONGEST);
        }
        let share = 100.0 * f64::from(soon) / f64::from(runs);
        println!(
            "  {:>2} pp  {:<15} {:<15} {share:>5.1} % of {runs:<10} {never}",
            (drop * 100.0).round(),
            drifting.show(),
            degraded.show()
        );
    }
}

/// Alarms in stable operation: the mean run length, and the rate of alarms against the promise over baselines.
fn in_control(p0: f64, random: &mut Xorshift, cache: &mut DesignCache) {
    let mut length = Mean::default();
    let fresh = chart(p0, true, random, cache);
    for _ in 0..2 * RUNS {
        let mut chart = fresh.clone();
        while chart.grade().is_none() {
            chart.update(random.hit(p0), AT);
        }
        length.add(chart.samples_seen() as f64);
    }
    println!("  in control, p0 known:      ARL0 {} promised {ARL0}", length.show());
    let mut rates = Vec::new();
    for _ in 0..200 {
        let fresh = chart(p0, false, random, cache);
        let (mut chart, mut alarms) = (fresh.clone(), 0_u32);
        for _ in 0..LONGEST {
            chart.update(random.hit(p0), AT);
            if chart.grade().is_some() {
                alarms += 1;
                chart = fresh.clone();
            }
        }
        rates.push(f64::from(alarms) * ARL0 / LONGEST as f64);
    }
    rates.sort_by(f64::total_cmp);
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    let at = |share: f64| rates.get((share * rates.len() as f64) as usize).copied().unwrap_or_default();
    println!(
        "  in control, n0 {BASELINE}:     {mean:.2} alarms where 1 was promised (ARL0 {:.0}); over baselines: median {:.2}, worst tenth {:.2}",
        ARL0 / mean,
        at(0.5),
        at(0.9)
    );
}

fn main() {
    let started = Instant::now();
    let mut random = Xorshift(SEED);
    let mut cache = DesignCache::new();
    println!("seed {SEED}, ARL0 {ARL0}, delta {DELTA}, n0 {BASELINE}, {RUNS} runs");
    for p0 in [0.08, 0.13] {
        println!("accuracy {:.2}, baseline of {BASELINE} labels", 1.0 - p0);
        delay_table(p0, false, &mut random, &mut cache);
        println!("accuracy {:.2}, baseline known", 1.0 - p0);
        delay_table(p0, true, &mut random, &mut cache);
        in_control(p0, &mut random, &mut cache);
    }
    let built = Instant::now();
    let mut cold = DesignCache::new();
    for i in 0..100_u32 {
        let p0 = 0.02 + 0.001 * f64::from(i);
        let chart = ProportionChart::new(&ProportionDesign::fixed(p0, DELTA, ARL0), &mut cold);
        assert!(chart.limit() > 0.0);
    }
    let each = built.elapsed().as_secs_f64() * 1e3 / 100.0;
    println!("cold design: {each:.2} ms; the whole study {:.0} s", started.elapsed().as_secs_f64());
}

//! The chart of vectors: promises, delays, what singular baselines do, what is told.

use ndarray::array;

use super::super::design::mewma::solve_limit;
use super::super::testing::{Xorshift, second};
use super::*;
use crate::engine::units::Span;

const NAMES: [Characteristic; 4] =
    [Characteristic::Confidence, Characteristic::Escalation, Characteristic::Latency, Characteristic::Cost];

/// What vectors in the order of time say.
fn phase_one(vectors: &[Vec<f64>]) -> PhaseOne {
    let p = vectors[0].len();
    let m = vectors.len() as f64;
    let rows = Array2::from_shape_fn((vectors.len(), p), |(i, j)| vectors[i][j]);
    let mean = rows.mean_axis(Axis(0)).unwrap();
    let apart = &rows - &mean;
    let steps = Array2::from_shape_fn((vectors.len() - 1, p), |(i, j)| vectors[i + 1][j] - vectors[i][j]);
    PhaseOne {
        characteristics: NAMES[..p].to_vec(),
        covariance: apart.t().dot(&apart) / (m - 1.0),
        successive: steps.t().dot(&steps) / (2.0 * (m - 1.0)),
        mean,
        buckets: vectors.len() as u64,
        cases: 60.0,
    }
}

/// A baseline that knows everything: unit variances, one correlation for all pairs.
fn known(p: usize, correlation: f64) -> PhaseOne {
    let covariance = Array2::from_shape_fn((p, p), |(i, j)| if i == j { 1.0 } else { correlation });
    let mean = Array1::zeros(p);
    let successive = covariance.clone();
    let characteristics = NAMES[..p].to_vec();
    PhaseOne { characteristics, mean, covariance, successive, buckets: 1_000_000_000, cases: 60.0 }
}

fn chart(phase: &PhaseOne, arl0: f64) -> VectorChart {
    VectorChart::new(phase, arl0, &mut DesignCache::new()).unwrap()
}

/// Normal vectors with one common factor: pairs correlate by `correlation`.
fn normals(random: &mut Xorshift, p: usize, correlation: f64) -> Vec<f64> {
    let common = correlation.sqrt() * random.normal();
    (0..p).map(|_| common + (1.0 - correlation).sqrt() * random.normal()).collect()
}

/// Buckets to the first alarm.
fn run_length(chart: &VectorChart, mut next: impl FnMut(u64) -> Vec<f64>) -> u64 {
    let mut chart = chart.clone();
    let mut n = 0;
    loop {
        chart.update(&next(n), second(n));
        n += 1;
        if chart.is_out() {
            return n;
        }
    }
}

#[test]
fn delays_equal_those_of_prabhu_and_runger() {
    // p = 4, r = 0.1, h = 12.73: their Markov chain in two dimensions, in the Fortran program of Molnau et al. (2001).
    let mut random = Xorshift::new(41);
    let chart = chart(&known(4, 0.0), 200.0);
    assert!((chart.limit - 12.73).abs() < 0.01, "{}", chart.limit);
    for (delta, wanted, runs) in [(0.0, 199.98, 1_000), (0.5, 35.05, 2_000), (1.0, 12.17, 3_000), (3.0, 3.42, 3_000)] {
        let mut sum = 0;
        for _ in 0..runs {
            sum += run_length(&chart, |_| {
                let mut x = normals(&mut random, 4, 0.0);
                x[2] += delta;
                x
            });
        }
        let found = sum as f64 / f64::from(runs);
        assert!((found / wanted - 1.0).abs() < 0.08, "{delta}: {found}, wanted {wanted}");
    }
}

#[test]
fn estimated_baselines_keep_the_promise_and_plugged_in_ones_do_not() {
    // Baselines of 50 and of 168 buckets, four correlated characteristics, one false alarm per 500 buckets promised.
    // Larger runs of the same: 0.3 to 1.0 for p = 1, 2, 4, 24 to 1,000 buckets and promises of 500, 2,160 and 8,760;
    // plugged in 1.1 to 97.
    let mut random = Xorshift::new(42);
    for (m, plugged) in [(50, 3.0), (168, 1.4)] {
        let (mut corrected, mut naive, mut total) = (0_u64, 0_u64, 0_u64);
        for _ in 0..40 {
            let baseline: Vec<Vec<f64>> = (0..m).map(|_| normals(&mut random, 4, 0.5)).collect();
            let mut phase = phase_one(&baseline);
            // Without the correction for slow movement, which is another promise.
            phase.successive.clone_from(&phase.covariance);
            let fresh = chart(&phase, 500.0);
            let mut charts = [fresh.clone(), VectorChart { limit: solve_limit(4, R, 500.0), ..fresh.clone() }];
            let limits = charts.clone().map(|chart| chart.limit);
            for n in 0..2_000 {
                let x = normals(&mut random, 4, 0.5);
                total += 1;
                for ((chart, count), limit) in charts.iter_mut().zip([&mut corrected, &mut naive]).zip(limits) {
                    chart.update(&x, second(n));
                    if chart.is_out() {
                        *count += 1;
                        *chart = VectorChart { limit, ..fresh.clone() };
                    }
                }
            }
        }
        let rates = [corrected, naive].map(|alarms| alarms as f64 * 500.0 / total as f64);
        assert!((0.3..1.15).contains(&rates[0]) && rates[1] > plugged, "{m} buckets: {rates:?}");
    }
}

#[test]
fn slow_movement_in_the_baseline_is_in_the_limits() {
    // An autoregression of 0.5 from hour to hour in one of two characteristics, two weeks of baseline.
    let mut random = Xorshift::new(43);
    let (mut alarms, mut careless, mut total) = (0_u64, 0_u64, 0_u64);
    for _ in 0..40 {
        let mut level = 0.0;
        let mut next = |random: &mut Xorshift| {
            level = 0.5 * level + 0.75_f64.sqrt() * random.normal();
            vec![level, random.normal()]
        };
        let baseline: Vec<Vec<f64>> = (0..336).map(|_| next(&mut random)).collect();
        let phase = phase_one(&baseline);
        let independent = PhaseOne { successive: phase.covariance.clone(), ..phase.clone() };
        let fresh = [chart(&phase, 500.0), chart(&independent, 500.0)];
        let mut charts = fresh.clone();
        for n in 0..3_000 {
            let x = next(&mut random);
            total += 1;
            for ((chart, fresh), count) in charts.iter_mut().zip(&fresh).zip([&mut alarms, &mut careless]) {
                chart.update(&x, second(n));
                if chart.is_out() {
                    *count += 1;
                    chart.clone_from(fresh);
                }
            }
        }
    }
    let rates = [alarms, careless].map(|alarms| alarms as f64 * 500.0 / total as f64);
    assert!(rates[0] < 1.1 && rates[1] > 2.5, "{rates:?}");
}

#[test]
fn the_two_covariances_equal_their_definitions_and_tell_slow_movement() {
    let slow: Vec<Vec<f64>> = (0..200).map(|i| vec![(f64::from(i) / 4.0).sin(), f64::from(i % 2)]).collect();
    let found = phase_one(&slow).persistence();
    // A sine of period 25 has lag-1 correlation cos(1/4) = 0.969, believed up to 0.95; alternation has none above 0.
    assert_eq!((found[0], found[1]), (MAX_CORRELATION, 0.0));
}

#[test]
fn single_buckets_exceed_their_limit_as_often_as_said() {
    let mut random = Xorshift::new(44);
    let mut outside = 0_u32;
    for _ in 0..400 {
        let baseline: Vec<Vec<f64>> = (0..40).map(|_| normals(&mut random, 3, 0.3)).collect();
        let mut chart = chart(&phase_one(&baseline), 100.0);
        for n in 0..100 {
            chart.update(&normals(&mut random, 3, 0.3), second(n));
            let (t2, limit) = chart.single();
            outside += u32::from(t2 > limit);
        }
    }
    assert!((300..500).contains(&outside), "400 expected, {outside}");
}

#[test]
fn what_never_varies_and_what_others_determine_is_left_out() {
    let mut random = Xorshift::new(45);
    let vectors = |f: &dyn Fn(f64, f64) -> Vec<f64>, random: &mut Xorshift| -> Vec<Vec<f64>> {
        (0..60).map(|_| f(random.normal(), random.normal())).collect()
    };
    let kept = |phase: &PhaseOne| {
        VectorChart::new(phase, 500.0, &mut DesignCache::new()).map(|chart| chart.characteristics().to_vec())
    };
    let constant = phase_one(&vectors(&|x, y| vec![x, 0.1 + 0.2, y], &mut random));
    assert_eq!(kept(&constant), Some(vec![NAMES[0], NAMES[2]]));
    let equal = phase_one(&vectors(&|x, y| vec![x, y, x, x + y], &mut random));
    assert_eq!(kept(&equal), Some(vec![NAMES[0], NAMES[1]]));
    let close = phase_one(&vectors(&|x, y| vec![x, x + 0.02 * y], &mut random));
    assert_eq!(
        kept(&close),
        Some(vec![NAMES[0], NAMES[1]]),
        "close is not equal: that they go together is worth watching"
    );
    // Nothing to watch jointly, and too little to know it from.
    assert_eq!(kept(&phase_one(&vectors(&|x, _| vec![x, 1.0, 2.0 * x], &mut random))), None);
    let few: Vec<Vec<f64>> = (0..29).map(|_| normals(&mut random, 2, 0.0)).collect();
    assert_eq!(kept(&phase_one(&few)), None);
    let broken = PhaseOne { covariance: array![[1.0, f64::NAN], [f64::NAN, 1.0]], ..known(2, 0.0) };
    assert_eq!(kept(&broken), None);
}

#[test]
fn a_broken_bond_is_found_though_each_stays_where_it_is_and_the_way_back_is_too() {
    // Latency and cost go together at 0.95. Then latency rises and cost falls by half a deviation each.
    let mut random = Xorshift::new(46);
    let mut next = |broken: bool| {
        let mut x = normals(&mut random, 2, 0.95);
        if broken {
            x[0] += 0.5;
            x[1] -= 0.5;
        }
        x
    };
    let baseline: Vec<Vec<f64>> = (0..200).map(|_| next(false)).collect();
    let mut chart = chart(&phase_one(&baseline), 2_160.0);
    let (mut found, mut last_out) = (None, 0);
    for n in 0..300 {
        chart.update(&next((100..200).contains(&n)), second(n));
        if let (None, Verdict::OutOfControl(evidence)) = (&found, chart.verdict()) {
            assert!((101..108).contains(&n), "{n}");
            found = Some(evidence);
        }
        last_out = if chart.is_out() { n } else { last_out };
    }
    let found = found.unwrap();
    assert!((second(98)..=second(101)).contains(&found.changed_at), "{:?}", found.changed_at);
    let (earliest, latest) = found.changed_between;
    assert!(earliest <= second(100) && second(100) <= latest && latest.since(earliest) < Span::from_secs(12));
    assert_eq!(found.parts.len(), 2);
    assert!(found.parts.iter().any(|part| part.characteristic == NAMES[0] && part.given > 1.0));
    assert!(found.parts.iter().any(|part| part.characteristic == NAMES[1] && part.given < -1.0));
    for part in &found.parts {
        assert!(part.share > 0.3 && part.deviations.abs() < 1.5, "{part:?}");
        assert!(part.baseline.low < part.baseline.value && part.baseline.value < part.baseline.high);
    }
    assert!((208..225).contains(&last_out), "{last_out}");
}

#[test]
fn one_that_moves_alone_is_named_with_its_direction() {
    let mut chart = chart(&known(4, 0.3), 1_000.0);
    let mut random = Xorshift::new(47);
    for n in 0..20 {
        let mut x = normals(&mut random, 4, 0.3);
        x[1] -= 3.0;
        chart.update(&x, second(n));
    }
    let Verdict::OutOfControl(found) = chart.verdict() else { panic!("{:?}", chart.verdict()) };
    let first = found.parts[0];
    assert_eq!((first.characteristic, found.direction), (Characteristic::Escalation, Direction::Down));
    assert!(first.share > 0.7 && (first.level + 3.0).abs() < 1.0, "{first:?}");
    assert!((found.parts.iter().map(|part| part.share).sum::<f64>() - 1.0).abs() < 1e-12);
    assert_eq!(found.statistic, 2.0 * found.limit, "it is kept at twice the limit");
}

#[test]
fn an_enormous_change_is_forgotten_soon_after_its_end() {
    let mut chart = chart(&known(2, 0.0), 2_160.0);
    for n in 0..50 {
        chart.update(&[1e300, -1e9], second(n));
        assert!(chart.is_out() && chart.statistic().is_finite());
    }
    let calm = run_length(&chart, |_| vec![0.0, 0.0]);
    assert_eq!(calm, 1, "still out");
    let mut buckets = 0;
    while chart.is_out() {
        chart.update(&[0.0, 0.0], second(50 + buckets));
        buckets += 1;
    }
    assert!((CALM_BUCKETS..CALM_BUCKETS + 6).contains(&buckets), "{buckets}");
}

#[test]
fn what_is_no_vector_says_nothing() {
    let mut chart = chart(&known(2, 0.0), f64::NAN);
    for vector in [&[f64::NAN, 0.0][..], &[0.0], &[0.0, f64::INFINITY], &[0.0; 3], &[]] {
        chart.update(vector, second(0));
    }
    assert_eq!((chart.samples_seen(), chart.verdict()), (0, Verdict::InControl));
    let bytes = postcard::to_stdvec(&chart).unwrap();
    assert_eq!(postcard::from_bytes::<VectorChart>(&bytes).unwrap(), chart);
}

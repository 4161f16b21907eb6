//! What a proportion chart promises, run on seeded samples.

use super::testing::{Xorshift, second};
use super::*;
use crate::engine::rule::Grade::{Confirmed, Degraded, Drifting};
use crate::engine::units::Counts;

fn chart(p0: f64, arl0: f64) -> ProportionChart {
    ProportionChart::new(&ProportionDesign::fixed(p0, 0.02, arl0), &mut DesignCache::new())
}

fn evidence(verdict: Verdict) -> Evidence {
    match verdict {
        Verdict::OutOfControl(evidence) => evidence,
        other => panic!("{other:?}"),
    }
}

#[test]
fn false_alarms_are_no_more_often_than_promised() {
    for (p0, seed) in [(0.08, 7), (0.13, 8), (0.01, 9)] {
        let mut random = Xorshift::new(seed);
        let fresh = chart(p0, 2_000.0);
        let runs = 1_000_u32;
        let mut total = 0_u64;
        for _ in 0..runs {
            let mut chart = fresh.clone();
            while chart.grade().is_none() {
                chart.update(random.hit(p0), second(0));
            }
            total += chart.samples_seen();
        }
        // The limit is calibrated, and run lengths are nearly exponential: the mean's standard error is 3 %.
        let mean = total as f64 / f64::from(runs);
        assert!((1_820.0..2_180.0).contains(&mean), "p0 {p0}: one false alarm in {mean} samples, 2,000 promised");
    }
}

#[test]
fn five_points_alarm_grade_and_resolve() {
    let mut random = Xorshift::new(11);
    let mut chart = chart(0.08, 20_000.0);
    let mut grades = Vec::new();
    for n in 0..12_000 {
        let p = if (3_000..9_000).contains(&n) { 0.13 } else { 0.08 };
        chart.update(random.hit(p), second(n));
        if grades.last() != Some(&chart.grade()) {
            grades.push(chart.grade());
        }
        if n == 8_999 {
            let found = evidence(chart.verdict());
            // The last zero may lie well before the change: in control the chart spends hundreds of samples off 0.
            assert!((second(1_500)..second(3_200)).contains(&found.changed_at), "{}", found.changed_at);
            let estimate = found.estimate.unwrap();
            assert!(estimate.low < 0.13 && 0.13 < estimate.high && estimate.low > 0.10, "{estimate:?}");
            assert_eq!(found.direction, Direction::Up);
            assert!(found.statistic >= found.limit && found.statistic.is_finite());
        }
    }
    assert_eq!(grades, [None, Some(Drifting), Some(Degraded), Some(Confirmed), None]);
    assert_eq!(chart.verdict(), Verdict::InControl);
    assert_eq!(chart.samples_seen(), 12_000);
}

#[test]
fn a_collapse_is_graded_before_the_size_cusum_says_so() {
    let (mut random, mut sooner) = (Xorshift::new(5), 0);
    for _ in 0..50 {
        let mut chart = chart(0.08, 20_000.0);
        let mut n = 0;
        while chart.grade() < Some(Degraded) {
            n += 1;
            chart.update(random.hit(if n <= 1_000 { 0.08 } else { 0.5 }), second(n));
        }
        let (size, limit) = chart.size();
        sooner += u32::from(size < limit);
        if chart.grade() == Some(Degraded) {
            let found = evidence(chart.verdict());
            assert!(found.estimate.unwrap().value > 0.15 && n < 1_060, "{found:?} after {n}");
        }
    }
    assert!(sooner > 5, "{sooner} of 50");
}

#[test]
fn a_new_promise_moves_the_limit_and_nothing_else() {
    let mut random = Xorshift::new(3);
    let mut chart = chart(0.08, 20_000.0);
    for n in 0..500 {
        chart.update(random.hit(0.1), second(n));
    }
    let (before, limit) = (chart.statistic(), chart.limit());
    chart.redesign(40_000.0, &mut DesignCache::new());
    assert_eq!(chart.statistic(), before);
    assert!(chart.limit() > 1.9 * limit && chart.limit() < 2.1 * limit, "{limit} became {}", chart.limit());
}

#[test]
fn a_baseline_without_bad_outcomes_still_has_a_level() {
    let design = ProportionDesign::new(Counts { hits: 0, n: 1_000 }, 0.02, 20_000.0);
    assert!((design.null() - 0.001_386).abs() < 1e-6, "{}", design.null());
    let mut chart = ProportionChart::new(&design, &mut DesignCache::new());
    for n in 0..200 {
        chart.update(n % 20 == 0, second(n));
    }
    assert!(chart.grade().is_some());
    assert!(evidence(chart.verdict()).baseline.high > 0.0);
}

#[test]
fn a_level_of_never_is_once_in_a_million() {
    let mut chart = chart(0.0, 20_000.0);
    for n in 0..1_000 {
        chart.update(false, second(n));
    }
    assert_eq!(chart.verdict(), Verdict::InControl);
    for n in 0..3 {
        chart.update(true, second(n));
    }
    assert!(chart.grade().is_some());
}

#[test]
fn a_level_of_always_cannot_get_worse() {
    let always =
        [ProportionDesign::fixed(1.0, 0.02, 100.0), ProportionDesign::new(Counts { hits: 50, n: 50 }, 0.02, 100.0)];
    for design in always {
        let mut chart = ProportionChart::new(&design, &mut DesignCache::new());
        for n in 0..10_000 {
            chart.update(true, second(n));
        }
        assert_eq!(chart.verdict(), Verdict::InControl);
        assert_eq!(chart.statistic(), 0.0);
    }
}

#[test]
fn no_baseline_is_learning() {
    let design = ProportionDesign::new(Counts::default(), 0.02, 20_000.0);
    let mut chart = ProportionChart::new(&design, &mut DesignCache::new());
    chart.update(true, second(0));
    assert_eq!(chart.verdict(), Verdict::Learning { seen: 0, needed: 5_625 });
    assert_eq!(labels_needed(0.08, 0.02), 1_656);
}

#[test]
fn designs_that_are_not_numbers_stay_finite() {
    for (delta, arl0) in [(f64::NAN, f64::NAN), (0.0, 0.0), (-1.0, -1.0), (f64::INFINITY, 1.0), (0.02, 5.0)] {
        let mut chart = ProportionChart::new(&ProportionDesign::fixed(0.1, delta, arl0), &mut DesignCache::new());
        for n in 0..1_000 {
            chart.update(n % 3 == 0, second(n));
            assert!(chart.statistic().is_finite() && chart.cusum().is_finite());
        }
    }
}

#[test]
fn state_survives_its_own_bytes() {
    let mut random = Xorshift::new(5);
    let mut chart = chart(0.08, 20_000.0);
    for n in 0..777 {
        chart.update(random.hit(0.12), second(n));
    }
    let bytes = postcard::to_stdvec(&Detector::Proportion(Box::new(chart.clone()))).unwrap();
    let mut back: Detector = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(back, Detector::Proportion(Box::new(chart.clone())));
    let Detector::Proportion(twin) = &mut back else { panic!("another chart came back") };
    for n in 777..3_000 {
        let bad = random.hit(0.12);
        chart.update(bad, second(n));
        twin.update(bad, second(n));
    }
    assert_eq!(**twin, chart);
}

#[test]
fn the_drawn_limit_is_the_exact_one() {
    let limit = chart(0.08, 20_000.0).cusum_limit();
    assert!((limit / 3.869_091_025_352_479 - 1.0).abs() < 2e-4, "{limit}");
}

/// Batches of `m` cases whose level wanders with standard deviation `tau` around `p`.
fn batch(random: &mut Xorshift, m: u64, p: f64, tau: f64) -> Counts {
    let level = (p + tau * random.normal()).clamp(0.0, 1.0);
    let mut counts = Counts::default();
    (0..m).for_each(|_| counts.add(random.hit(level)));
    counts
}

#[test]
fn charts_of_wandering_batches_keep_their_promise() {
    let mut random = Xorshift::new(41);
    let mut cache = DesignCache::new();
    let cases = [(0.08, 100, 0.0, 200.0), (0.08, 100, 0.02, 200.0), (0.08, 500, 0.02, 40.0), (0.05, 120, 0.02, 300.0)];
    for (p, m, tau, arl0) in cases {
        for (method, least) in [(Method::Cusum, 0.85), (Method::Ewma, 0.8), (Method::Shewhart, 0.75)] {
            let phi = 1.0 + (m as f64 - 1.0) * tau * tau / (p * (1.0 - p));
            let design = ProportionDesign {
                spread: Spread { phi, batches: 1_000 },
                alarm: Alarm::Batches(method),
                batch: m as f64,
                ..ProportionDesign::fixed(p, 0.02, arl0)
            };
            let fresh = ProportionChart::new(&design, &mut cache);
            let (runs, mut total) = (150_u32, 0_u64);
            for _ in 0..runs {
                let mut chart = fresh.clone();
                while chart.grade().is_none() {
                    chart.update_counts(batch(&mut random, m, p, tau), second(0));
                }
                total += chart.samples_seen();
            }
            let kept = total as f64 / f64::from(runs) / arl0;
            // The standard error is 8 %; single batches of rare cases come in steps.
            assert!((least - 0.16..1.5).contains(&kept), "{method:?} {p} {m} {tau}: {kept} of the promise");
        }
    }
}

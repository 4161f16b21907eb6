//! The risk-adjusted chart against its definition, other charts, and its promise.

use proptest::prelude::*;

use super::super::testing::{Xorshift, second};
use super::super::{Mixture, Rung};
use super::*;

/// Confidences that stand for these accuracies, each with so many labels.
fn map(of: &[(f64, u64)]) -> CalibrationMap {
    let rung = |(g, n): &(f64, u64)| Rung { confidence: *g, n: *n, right: (g * *n as f64).round() as u64 };
    CalibrationMap::fit(&of.iter().map(rung).collect::<Vec<Rung>>()).unwrap()
}

/// Accuracy 0.92 of four kinds of cases.
const KINDS: [(f64, f64); 4] = [(0.6, 0.05), (0.8, 0.15), (0.93, 0.3), (0.984, 0.5)];

fn known() -> CalibrationMap {
    map(&KINDS.map(|(g, weight)| (g, (weight * 1e9) as u64)))
}

/// A case: its confidence, and whether it was right; `odds` times as likely to be wrong as its kind.
fn case(odds: f64, random: &mut Xorshift) -> (f64, bool) {
    let mut u = random.uniform();
    let (g, _) = KINDS
        .into_iter()
        .find(|(_, weight)| {
            u -= weight;
            u < 0.0
        })
        .unwrap_or(KINDS[3]);
    (g, !random.hit(odds * (1.0 - g) / (g + odds * (1.0 - g))))
}

/// Labels to the alarm of a fresh chart.
fn run_length(fresh: &AdjustedChart, odds: f64, random: &mut Xorshift) -> u64 {
    let mut chart = fresh.clone();
    while !chart.is_out() {
        let (confidence, right) = case(odds, random);
        chart.update(confidence, right, second(chart.seen));
    }
    chart.seen
}

#[test]
fn every_ratio_has_mean_one() {
    for wrong in [1e-6, 0.01, 0.3, 0.9] {
        for odds in [0.1, 0.8, 1.3, 20.0] {
            let one = |bad: f64| Labels { wrong: [wrong, wrong], n: 1.0, bad };
            let mean = wrong * one(1.0).ratio(odds, 0) + (1.0 - wrong) * one(0.0).ratio(odds, 1);
            assert!((mean - 1.0).abs() < 1e-12, "{wrong} {odds}: {mean}");
            assert!((one(1.0).ratio(odds, 0).ln() - one(1.0).ln(odds, 0)).abs() < 1e-12);
        }
    }
    // Steiner et al. (2000), odds ratio 2: a risk of 1 % scores ln(2 / 1.01) for a death, -ln 1.01 for a survivor.
    let one = |bad: f64| Labels { wrong: [0.01, 0.01], n: 1.0, bad };
    assert!((one(1.0).ln(2.0, 0) - 0.683_197).abs() < 1e-6 && (one(0.0).ln(2.0, 0) + 0.009_950).abs() < 1e-6);
}

#[test]
fn odds_move_the_mean_error_by_what_matters() {
    let design = AdjustedDesign::new(known(), 0.02, 20_000.0);
    for rise in [0.01, 0.02, 0.09] {
        let odds = design.odds(rise);
        let mean: f64 = KINDS.iter().map(|(g, weight)| weight * odds * (1.0 - g) / (g + odds * (1.0 - g))).sum();
        let before: f64 = KINDS.iter().map(|(g, weight)| weight * (1.0 - g)).sum();
        assert!((mean - before - rise).abs() < 1e-6, "{rise}: {mean}");
    }
    // Of cases of one kind the odds follow from the two probabilities.
    let one = AdjustedDesign { mix: vec![(0.9, 3.0), (0.5, 0.0), (f64::NAN, 1.0)], ..design };
    assert!((one.odds(0.1) - (0.2 / 0.8) / (0.1 / 0.9)).abs() < 1e-9);
}

#[test]
fn labels_of_one_confidence_are_a_plain_mixture() {
    let map = map(&[(0.6, 1_000_000), (0.92, 1_000_000)]);
    let g = map.accuracy(0.92);
    let design = AdjustedDesign { guarantee: 0.5, ..AdjustedDesign::new(map, 0.02, 1e12) };
    let mut chart = AdjustedChart::new(&design);
    let rises = chart.sides[0].odds.map(|odds| odds * (1.0 - g) / (g + odds * (1.0 - g)) - (1.0 - g));
    let falls = chart.sides[1].odds.map(|odds| odds * (1.0 - g) / (g + odds * (1.0 - g)));
    let weighted = [0, 1, 2].map(|k| (rises[k], 0.5 * WEIGHTS[k]));
    let mut up = Mixture::weighted(1.0 - g, &weighted, 1e12);
    let mut down = [0.0; 3];
    let mut random = Xorshift::new(8);
    for n in 0..3_000 {
        let wrong = random.hit(0.09);
        chart.update(0.92, !wrong, second(n));
        up.update(wrong);
        for (r, p) in down.iter_mut().zip(falls) {
            *r = (1.0 + *r) * if wrong { p / (1.0 - g) } else { (1.0 - p) / g };
        }
        let wanted = up.statistic() + down.iter().zip(WEIGHTS).map(|(r, weight)| 0.5 * weight * r).sum::<f64>();
        assert!((chart.statistic() / wanted - 1.0).abs() < 1e-9, "{n}: {} {wanted}", chart.statistic());
    }
}

#[test]
fn the_promise_is_kept_and_both_sides_are_found() {
    let fresh = AdjustedChart::new(&AdjustedDesign::new(known(), 0.02, 1_000.0));
    let mut random = Xorshift::new(20_261_126);
    let mut mean = |odds: f64, runs: u64| (0..runs).map(|_| run_length(&fresh, odds, &mut random)).sum::<u64>() / runs;
    let control = mean(1.0, 1_000);
    assert!((1_000..1_450).contains(&control), "{control}");
    let (two, five) = (mean(fresh.sides[0].matters, 400), mean(2.2, 400));
    assert!(two < 700 && five < 200, "{two} {five}");
    let better = mean(0.3, 400);
    assert!(better < 200, "{better}");
}

#[test]
fn an_estimated_map_breaks_the_promise_as_seldom_as_it_says() {
    // Its labels fall short or exceed; the chart looks at both sides, so the promise of one side is that of its half.
    let mut random = Xorshift::new(5);
    let (mut broken, maps) = (0, 60);
    for _ in 0..maps {
        let mut rungs = KINDS.map(|(confidence, _)| Rung { confidence, n: 0, right: 0 });
        for _ in 0..2_000 {
            let (confidence, right) = case(1.0, &mut random);
            let rung = rungs.iter_mut().find(|rung| rung.confidence >= confidence).unwrap();
            rung.n += 1;
            rung.right += u64::from(right);
        }
        let map = CalibrationMap::fit(&rungs).unwrap();
        let fresh = AdjustedChart::new(&AdjustedDesign::new(map, 0.02, 300.0));
        let mean = (0..60).map(|_| run_length(&fresh, 1.0, &mut random)).sum::<u64>() / 60;
        broken += u32::from(mean < 300);
    }
    assert!(broken <= 15 + 8, "{broken} of {maps}, where a quarter was allowed");
}

#[test]
fn says_which_way_how_far_since_when_and_comes_back() {
    let mut random = Xorshift::new(14);
    let mut chart = AdjustedChart::new(&AdjustedDesign::new(known(), 0.02, 20_000.0));
    for n in 0..14_000 {
        // Twice the odds: 0.08 becomes 0.14 or so.
        let (confidence, right) = case(if (5_000..9_000).contains(&n) { 2.0 } else { 1.0 }, &mut random);
        chart.update(confidence, right, second(n));
        if n == 4_999 {
            assert_eq!((chart.verdict(), chart.side()), (Verdict::InControl, None));
        }
        if n == 8_999 {
            let Verdict::OutOfControl(found) = chart.verdict() else { panic!("{:?}", chart.verdict()) };
            assert_eq!((found.direction, chart.side()), (Direction::Down, Some(Direction::Down)));
            assert!((second(4_500)..=second(5_300)).contains(&found.changed_at), "{}", found.changed_at);
            let estimate = found.estimate.unwrap();
            assert!(estimate.low < -0.056 && -0.056 < estimate.high && estimate.high < -0.03, "{estimate:?}");
            assert!(found.baseline.low < 0.0 && found.baseline.high > 0.0 && found.baseline.high < 0.001);
        }
    }
    assert_eq!((chart.verdict(), chart.samples_seen()), (Verdict::InControl, 14_000));
}

#[test]
fn a_cell_is_its_labels_in_any_order() {
    let mut one = AdjustedChart::new(&AdjustedDesign::new(known(), 0.02, 20_000.0));
    let mut other = one.clone();
    one.update_cell(&[(0.6, 5, 2), (0.93, 40, 37), (0.984, 30, 30)], second(1));
    other.update_cell(&[(0.984, 30, 30), (0.6, 2, 1), (0.6, 3, 1), (0.93, 40, 37)], second(1));
    assert!((one.statistic() / other.statistic() - 1.0).abs() < 1e-12);
    let odds = one.sides[0].odds[1];
    let place = |g: f64| one.blocks[one.design.map.place(g).unwrap()][0];
    let ratio = |g: f64, bad: bool| (if bad { odds } else { 1.0 }) / (1.0 + (odds - 1.0) * place(g));
    let product = ratio(0.6, true).powi(3) * ratio(0.6, false).powi(2) * ratio(0.93, true).powi(3);
    let product = product * ratio(0.93, false).powi(37) * ratio(0.984, false).powi(30);
    assert!((one.sides[0].r[1] / (75.0 * product) - 1.0).abs() < 1e-9);
    assert_eq!(one.samples_seen(), 75);
}

#[test]
fn what_is_no_label_says_nothing() {
    let fresh = AdjustedChart::new(&AdjustedDesign::new(known(), f64::NAN, f64::NAN));
    let mut chart = fresh.clone();
    chart.update(f64::NAN, true, second(0));
    chart.update_cell(&[], second(0));
    chart.update_cell(&[(0.9, 0, 0), (0.9, 2, 3), (f64::NAN, 2, 1)], second(0));
    assert_eq!(chart, fresh);
    chart.update(f64::INFINITY, false, second(1));
    chart.update_cell(&[(-5.0, u64::MAX, u64::MAX / 2)], second(2));
    chart.update_cell(&[(0.99, u64::MAX, u64::MAX)], second(2));
    assert!(chart.statistic().is_finite());
    assert!(matches!(chart.verdict(), Verdict::InControl | Verdict::OutOfControl(_)));
}

proptest! {
    #[test]
    fn stored_and_read_it_goes_on_the_same(labels in prop::collection::vec((0.0..1.0_f64, any::<bool>()), 0..200), cut in 0_usize..200) {
        let mut chart = AdjustedChart::new(&AdjustedDesign::new(known(), 0.02, 50.0));
        let mut stored = chart.clone();
        for (n, (confidence, right)) in labels.iter().enumerate() {
            chart.update(*confidence, *right, second(n as u64));
            stored.update(*confidence, *right, second(n as u64));
            if n == cut {
                stored = postcard::from_bytes(&postcard::to_stdvec(&stored).unwrap()).unwrap();
            }
        }
        prop_assert_eq!(stored, chart);
    }
}

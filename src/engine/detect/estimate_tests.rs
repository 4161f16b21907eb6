//! The chart of predicted accuracy: suspicions, their promise, and the tripwire that silences them.

use super::super::testing::{Xorshift, second};
use super::super::{CalibrationMap, Method, Rung};
use super::*;

const KINDS: [(f64, f64); 4] = [(0.6, 0.05), (0.8, 0.15), (0.93, 0.3), (0.984, 0.5)];

fn design(form: Form) -> EstimateDesign {
    // Confidence is stated a tenth below what it stands for.
    let rungs = KINDS.map(|(g, weight)| {
        let n = (weight * 20_000.0) as u64;
        Rung { confidence: g - 0.1, n, right: (g * n as f64) as u64 }
    });
    let map = CalibrationMap::fit(&rungs).unwrap();
    let values = map.values(&KINDS.map(|(g, weight)| (g - 0.1, (weight * 50_000.0) as u64)));
    let mean = MeanDesign {
        mu: 0.921,
        sigma: 0.008,
        buckets: 300,
        delta: 0.02,
        direction: Direction::Down,
        arl0: if form == Form::Hourly { 2_000.0 } else { 400_000.0 },
        guarantee: 0.75,
        method: Method::Cusum,
        known: false,
    };
    EstimateDesign { form, mean, values, confidences: 50_000, tripwire: AdjustedDesign::new(map, 0.02, 20_000.0) }
}

/// A confidence and what it stands for; `harder` is the share of the easiest that became the hardest.
fn case(harder: f64, random: &mut Xorshift) -> (f64, f64) {
    let mut u = random.uniform() - harder;
    let kind = KINDS.into_iter().find(|(_, weight)| {
        u -= weight;
        u < 0.0
    });
    let (g, _) = kind.unwrap_or(KINDS[3]);
    (g - 0.1, g)
}

/// Feeds hours of 200 cases, one in 20 of them labelled.
fn hours(chart: &mut EstimateChart, hours: u64, (harder, lies): (f64, f64), random: &mut Xorshift) {
    for _ in 0..hours {
        let at = second(chart.samples_seen());
        let mut sum = 0.0;
        for n in 0..200 {
            let (confidence, g) = case(harder, random);
            sum += chart.predict(confidence);
            chart.case(confidence, at);
            if n % 20 == 0 {
                chart.label(confidence, random.hit(g - lies), at);
            }
        }
        chart.update(sum / 200.0, 200, at);
    }
}

#[test]
fn harder_inputs_are_a_suspicion_in_terms_of_accuracy() {
    for form in [Form::Hourly, Form::Cases] {
        let mut random = Xorshift::new(1);
        let mut chart = EstimateChart::new(&design(form), &mut DesignCache::new());
        assert_eq!(chart.form(), form);
        hours(&mut chart, 40, (0.0, 0.0), &mut random);
        assert_eq!((chart.is_out(), chart.verdict(), chart.validity()), (false, Verdict::InControl, Validity::Valid));
        hours(&mut chart, 10, (0.1, 0.0), &mut random);
        assert!(chart.is_out() && chart.grade() == Some(Grade::Confirmed), "{form:?}");
        let Verdict::OutOfControl(found) = chart.verdict() else { panic!("{form:?}") };
        // A tenth of the cases is 0.3 or so worse.
        let level = found.estimate.unwrap();
        assert!(level.value > 0.87 && level.value < 0.9 && level.high < found.baseline.low, "{found:?}");
        assert_eq!((found.direction, chart.validity()), (Direction::Down, Validity::Valid));
        assert!((found.baseline.value - chart.centre()).abs() < 1e-12);
    }
}

#[test]
fn labels_that_contradict_make_it_invalid_and_silent() {
    for form in [Form::Hourly, Form::Cases] {
        let mut random = Xorshift::new(2);
        let mut chart = EstimateChart::new(&design(form), &mut DesignCache::new());
        hours(&mut chart, 40, (0.0, 0.0), &mut random);
        // Confidence falls, and is 30 points too high besides.
        hours(&mut chart, 30, (0.2, 0.3), &mut random);
        let Validity::Invalid { labels, shortfall, side, .. } = chart.validity() else { panic!("{form:?}") };
        assert!(
            side == Direction::Down && labels > 100 && shortfall.low > 0.2 && shortfall.high < 0.4,
            "{shortfall:?}"
        );
        assert_eq!((chart.is_out(), chart.grade(), chart.verdict()), (false, None, Verdict::InControl));
        // It went on all the same: with labels back, the suspicion is there.
        while chart.validity() != Validity::Valid {
            hours(&mut chart, 10, (0.2, 0.0), &mut random);
        }
        assert!(chart.is_out(), "{form:?}");
    }
}

#[test]
fn says_where_no_promise_is_made() {
    let uncalibrated = EstimateDesign { confidences: 1_200, ..design(Form::Hourly) };
    let chart = EstimateChart::new(&uncalibrated, &mut DesignCache::new());
    let wanted = "CUSUM of bucket means of predicted accuracy, uncalibrated: 1,200 of 5,000 confidences";
    assert_eq!(chart.method(), wanted);
    let chart = EstimateChart::new(&design(Form::Cases), &mut DesignCache::new());
    assert_eq!(chart.method(), "CUSUM of predicted accuracy, case by case");
    assert_eq!(thousands(1_002_003), "1,002,003");
}

#[test]
fn what_is_no_number_says_nothing() {
    for form in [Form::Hourly, Form::Cases] {
        let mut cache = DesignCache::new();
        let fresh = EstimateChart::new(&design(form), &mut cache);
        let mut chart = fresh.clone();
        chart.case(f64::NAN, second(0));
        chart.update(f64::NAN, 200, second(0));
        chart.label(f64::NAN, true, second(0));
        chart.update_cell(&[(f64::NAN, 3, 1)], second(0));
        assert_eq!(chart, fresh);
        chart.redesign(50.0, &mut cache);
        assert!(chart.limit() < fresh.limit() && chart.tripwire().limit() == fresh.tripwire().limit());
        chart.head_start();
        assert!(chart.statistic() > 0.0);
        let bytes = postcard::to_stdvec(&chart).unwrap();
        assert_eq!(postcard::from_bytes::<EstimateChart>(&bytes).unwrap(), chart);
    }
}

#[test]
fn hours_of_skewed_accuracies_keep_the_promise() {
    // Means of 50, whose skewness is -0.3: taken as normal they would alarm half as often again.
    let base = design(Form::Hourly);
    let n: f64 = base.values.iter().map(|(_, n)| *n as f64).sum();
    let moment = |of: &dyn Fn(f64) -> f64| base.values.iter().map(|(g, count)| of(*g) * *count as f64).sum::<f64>() / n;
    let mu = moment(&|g| g);
    let sigma = (moment(&|g| (g - mu).powi(2)) / 50.0).sqrt();
    let mean = MeanDesign { mu, sigma, buckets: u64::MAX, arl0: 300.0, ..base.mean };
    let mut cache = DesignCache::new();
    let charts = [base.values.clone(), Vec::new()]
        .map(|values| EstimateChart::new(&EstimateDesign { mean, values, ..base.clone() }, &mut cache));
    let (mut running, mut alarms, mut random) = (charts.clone(), [0_u32; 2], Xorshift::new(6));
    for hour in 0..60_000 {
        let sum: f64 = (0..50).map(|_| charts[0].predict(case(0.0, &mut random).0)).sum();
        for ((chart, fresh), alarms) in running.iter_mut().zip(&charts).zip(&mut alarms) {
            chart.update(sum / 50.0, 50, second(hour));
            if chart.is_out() {
                *alarms += 1;
                chart.clone_from(fresh);
            }
        }
    }
    // 200 were promised.
    let [skewed, normal] = alarms;
    assert!((160..235).contains(&skewed) && normal > skewed + 30, "{skewed} {normal}");
}

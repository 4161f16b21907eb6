//! Vectors of hours, and the rule that watches them.

use std::borrow::Cow;

use super::*;
use crate::engine::event::Latency;

/// Outputs of a day and more: (second, confidence, escalated, latency in ms, cost).
fn output(seconds: i64, confidence: Option<f64>, escalated: bool, latency_ms: f64, cost: f64) -> Output<'static> {
    Output {
        event_id: Cow::Borrowed("e"),
        agent: Cow::Borrowed("a"),
        ts: Timestamp::from_millis(1_767_571_200_000 + seconds * 1_000),
        version: None,
        task: None,
        status: None,
        confidence,
        latency: Latency { total: Some((latency_ms * 1e6) as u64), components: [None; 4] },
        tokens_in: None,
        tokens_out: None,
        cost_usd: Some(cost),
        escalated: Some(escalated),
        correct: Some(!escalated),
        metrics: Vec::new(),
        flags: Vec::new(),
    }
}

#[test]
fn a_bucket_is_an_hour_and_fifty_outputs_and_its_means_are_by_hand() {
    let mut bucket = VectorBucket::default();
    let closed: Vec<HourVector> = (0..130)
        .filter_map(|i| {
            // Forty outputs in the first hour, which is too few, then one a minute.
            let seconds = if i < 40 { i * 60 } else { 3_600 + (i - 40) * 60 };
            let confidence = (i % 4 == 0).then_some(0.5);
            bucket.add(&output(seconds, confidence, i % 2 == 0, 100.0, if i % 2 == 0 { 1.0 } else { 4.0 }))
        })
        .collect();
    let [hour] = closed[..] else { panic!("{closed:?}") };
    assert_eq!((hour.start.as_millis(), hour.outputs), (1_767_571_200_000, 100));
    let close = |found: Option<Vec<f64>>, wanted: &[f64]| {
        found.unwrap().iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-9)
    };
    let all = [Characteristic::Escalation, Characteristic::Latency, Characteristic::Cost];
    assert!(close(hour.of(&all), &[0.5, 100_f64.ln(), 2_f64.ln()]));
    assert!(close(hour.of(&[Characteristic::Confidence, Characteristic::Accuracy]), &[0.5, 0.5]));
    // Every 4th of the next 50 says a confidence: too few for a mean.
    let mut next = VectorBucket::default();
    let hours = (0..60).filter_map(|i| next.add(&output(i * 72, (i % 4 == 0).then_some(0.5), false, 0.0, 0.0)));
    let hour = hours.last().unwrap();
    assert_eq!((hour.of(&[Characteristic::Confidence]), hour.of(&[Characteristic::Cost])), (None, None));
}

fn vector(at: i64, values: [Option<f64>; P]) -> HourVector {
    HourVector { start: Timestamp::from_millis(at * 3_600_000), outputs: 100, values }
}

#[test]
fn sums_are_those_of_the_definition_and_merge() {
    let xs = [[1.0, 4.0], [2.0, 2.0], [4.0, 9.0], [3.0, 5.0], [0.5, 1.0]];
    let vectors: Vec<HourVector> =
        xs.iter().enumerate().map(|(i, [a, b])| vector(i as i64, [Some(*a), None, None, Some(*b), None])).collect();
    let sum = |vectors: &[HourVector]| {
        let mut sum = Scatter::default();
        for vector in vectors {
            sum.add(vector);
        }
        for pair in vectors.windows(2) {
            sum.step(&pair[0], &pair[1]);
        }
        sum
    };
    let whole = sum(&vectors);
    let mut parts = sum(&vectors[..2]);
    parts.merge(&sum(&vectors[2..]));
    parts.step(&vectors[1], &vectors[2]);
    parts.merge(&Scatter::default());
    let mean = [2.1, 4.2];
    let cross: f64 = xs.iter().map(|[a, b]| (a - mean[0]) * (b - mean[1])).sum();
    let steps: f64 = xs.windows(2).map(|w| (w[1][0] - w[0][0]) * (w[1][1] - w[0][1])).sum();
    for found in [whole, parts] {
        assert_eq!((found.n, found.pairs, found.outputs), (5, 4, 500));
        assert!((found.mean[0] - mean[0]).abs() < 1e-12 && (found.mean[3] - mean[1]).abs() < 1e-12);
        assert!((found.cross[0][3] - cross).abs() < 1e-12 && (found.cross[3][0] - cross).abs() < 1e-12);
        assert!((found.steps[0][3] - steps).abs() < 1e-12);
        assert_eq!(found.cross[1], [0.0; P]);
    }
}

#[test]
fn what_a_baseline_lacks_is_left_out_and_buckets_that_lack_a_part_are_skipped() {
    let mut series = VectorSeries::default();
    let escalated = |i: i64| i % 5 == 0;
    for i in 0..6_000 {
        // A cost is stated in every 100th hour only; one output a minute.
        let mut output = output(i * 60, Some(0.8), escalated(i), 100.0 + (i / 60 % 3) as f64, 0.01);
        output.cost_usd = output.cost_usd.filter(|_| i / 60 % 100 == 7);
        series.add(&output);
    }
    let phase = series.phase_one().unwrap();
    let wanted = [Characteristic::Confidence, Characteristic::Escalation, Characteristic::Latency];
    assert_eq!((phase.characteristics.as_slice(), phase.buckets), (&wanted[..], 99));
    assert_eq!(series.sets.len(), 2);

    // Without confidence, verdicts that came with the outputs stand in; where escalation is rare, it is left out.
    let mut series = VectorSeries::default();
    for i in 0..6_000 {
        let mut output = output(i * 60, None, i % 100 == 0, 100.0, 0.01);
        output.correct = Some(i % 10 != 0);
        series.add(&output);
    }
    let phase = series.phase_one().unwrap();
    assert_eq!(phase.characteristics, [Characteristic::Accuracy, Characteristic::Latency, Characteristic::Cost]);
    assert!(VectorSeries::default().phase_one().is_none());
}

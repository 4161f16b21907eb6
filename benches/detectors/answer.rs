//! What is asked of a chart now and then, not per sample.

use divan::{Bencher, black_box};
use shewhart::engine::detect::design::interval::confidence_sequence;
use shewhart::engine::detect::{Alarm, Change, Delay, Detector};
use shewhart::engine::rule::Grade;
use shewhart::engine::units::Counts;

use super::charts::{DELTA, P0, Samples, at, proportion};

#[divan::bench]
fn confidence_sequence_of_5_000() -> f64 {
    confidence_sequence(black_box(Counts { hits: 400, n: 5_000 }), 0.05).high
}

/// With change point, interval and estimate, out of control.
#[divan::bench]
fn verdict_of_a_proportion(bencher: Bencher<'_, '_>) {
    let mut chart = Detector::Proportion(Box::new(proportion(Alarm::Mixture)));
    if let Detector::Proportion(chart) = &mut chart {
        let labels = Samples::labels(100_000).into_iter().chain(Samples::many(5_000, |s| s.uniform() < 0.15));
        labels.enumerate().for_each(|(n, label)| chart.update(label, at(n)));
    }
    assert!(chart.grade().is_some(), "seven points over 5,000 labels are seen");
    bencher.bench_local(|| chart.verdict());
}

/// The forecast of `explain`: 200 simulated runs.
#[divan::bench(sample_count = 20)]
fn delay_of_a_proportion(bencher: Bencher<'_, '_>) {
    let chart = Detector::Proportion(Box::new(proportion(Alarm::Mixture)));
    bencher.bench_local(|| chart.delay(Change::Share(P0 + DELTA), Grade::Drifting).map(|Delay { mean, .. }| mean));
}

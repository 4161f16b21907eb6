//! Nanoseconds per sample: 10,000 of them in an iteration.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use shewhart::engine::detect::{Alarm, Form, LatticeCusum, Method};
use shewhart::engine::units::Timestamp;

use super::charts::{
    BATCH, DELTA, P0, SAMPLES, Samples, adjusted, at, distance, estimate, ewma, mean, mixture, proportion, severity,
    tabular, vector,
};

/// Benches `take` on samples made before, with a chart that goes on from iteration to iteration.
fn each<C, S>(bencher: Bencher<'_, '_>, mut chart: C, samples: &[S], mut take: impl FnMut(&mut C, &S, Timestamp)) {
    let mut n = 0;
    bencher.counter(ItemsCount::new(samples.len())).bench_local(|| {
        for sample in samples {
            n += 1;
            take(&mut chart, black_box(sample), at(n));
        }
    });
}

#[divan::bench]
fn mixture_alarm(bencher: Bencher<'_, '_>) {
    each(bencher, mixture(), &Samples::labels(SAMPLES), |chart, label, _| _ = black_box(chart.update(*label)));
}

#[divan::bench]
fn mixture_severity(bencher: Bencher<'_, '_>) {
    each(bencher, severity(), &Samples::labels(SAMPLES), |chart, label, _| _ = black_box(chart.update(*label)));
}

#[divan::bench]
fn bernoulli_cusum(bencher: Bencher<'_, '_>) {
    let chart = LatticeCusum::new(P0, P0 + DELTA);
    each(bencher, chart, &Samples::labels(SAMPLES), |chart, label, _| _ = black_box(chart.update(*label)));
}

#[divan::bench]
fn tabular_cusum(bencher: Bencher<'_, '_>) {
    each(bencher, tabular(), &Samples::means(SAMPLES), |chart, x, _| _ = black_box(chart.update(*x)));
}

#[divan::bench]
fn ewma_alone(bencher: Bencher<'_, '_>) {
    each(bencher, ewma(), &Samples::means(SAMPLES), |chart, x, _| _ = black_box(chart.update(*x)));
}

#[divan::bench]
fn proportion_by_mixture(bencher: Bencher<'_, '_>) {
    let labels = Samples::labels(SAMPLES);
    each(bencher, proportion(Alarm::Mixture), &labels, |chart, label, at| chart.update(*label, at));
}

#[divan::bench]
fn proportion_by_cusum(bencher: Bencher<'_, '_>) {
    let labels = Samples::labels(SAMPLES);
    each(bencher, proportion(Alarm::Cusum), &labels, |chart, label, at| chart.update(*label, at));
}

/// Fifty cases at once, given to a chart of cases.
#[divan::bench]
fn proportion_by_mixture_in_batches(bencher: Bencher<'_, '_>) {
    let batches = Samples::batches(SAMPLES);
    each(bencher, proportion(Alarm::Mixture), &batches, |chart, counts, at| chart.update_counts(*counts, at));
}

#[divan::bench]
fn proportion_of_batches(bencher: Bencher<'_, '_>) {
    let batches = Samples::batches(SAMPLES);
    let chart = proportion(Alarm::Batches(Method::Cusum));
    each(bencher, chart, &batches, |chart, counts, at| chart.update_counts(*counts, at));
}

#[divan::bench]
fn mean_by_cusum(bencher: Bencher<'_, '_>) {
    each(bencher, mean(Method::Cusum), &Samples::means(SAMPLES), |chart, x, at| chart.update(*x, BATCH, at));
}

#[divan::bench]
fn mean_by_ewma(bencher: Bencher<'_, '_>) {
    each(bencher, mean(Method::Ewma), &Samples::means(SAMPLES), |chart, x, at| chart.update(*x, BATCH, at));
}

#[divan::bench]
fn distance_of_windows(bencher: Bencher<'_, '_>) {
    each(bencher, distance(), &Samples::bins(SAMPLES), |chart, bin, at| _ = black_box(chart.update(*bin, at)));
}

#[divan::bench]
fn vector_of_four(bencher: Bencher<'_, '_>) {
    each(bencher, vector(), &Samples::vectors(SAMPLES), |chart, vector, at| chart.update(vector, at));
}

#[divan::bench]
fn labels_given_confidence(bencher: Bencher<'_, '_>) {
    each(bencher, adjusted(), &Samples::stated(SAMPLES), |chart, (c, right), at| chart.update(*c, *right, at));
}

#[divan::bench]
fn predicted_accuracy_of_a_case(bencher: Bencher<'_, '_>) {
    let chart = estimate(Form::Hourly);
    each(bencher, chart, &Samples::stated(SAMPLES), |chart, (c, _), _| _ = black_box(chart.predict(*c)));
}

#[divan::bench]
fn predicted_accuracy_by_case(bencher: Bencher<'_, '_>) {
    each(bencher, estimate(Form::Cases), &Samples::stated(SAMPLES), |chart, (c, _), at| chart.case(*c, at));
}

#[divan::bench]
fn predicted_accuracy_by_hour(bencher: Bencher<'_, '_>) {
    let means: Vec<f64> = Samples::means(SAMPLES).into_iter().map(|x| 0.95 + 0.005 * x).collect();
    each(bencher, estimate(Form::Hourly), &means, |chart, x, at| chart.update(*x, BATCH, at));
}

//! The bytes that charts keep.
#![expect(clippy::print_stdout, reason = "the bytes are what this prints")]

use serde::Serialize;
use shewhart::engine::detect::{Alarm, Detector, Form, LatticeCusum, Method};

use super::charts::{
    BATCH, DELTA, P0, Samples, adjusted, at, distance, estimate, ewma, mean, mixture, proportion, severity, tabular,
    vector,
};

/// The serialised state of a chart after 100,000 samples in control.
pub(crate) fn print() {
    const SEEN: usize = 100_000;
    fn line(name: &str, state: &impl Serialize) {
        let bytes = postcard::to_stdvec(state).expect("states are serialised whenever they are stored").len();
        println!("  {bytes:>6}  {name}");
    }
    let (labels, means) = (Samples::labels(SEEN), Samples::means(SEEN));
    println!("bytes of serialised state after {SEEN} samples in control:");
    let (mut alarm, mut severe, mut cusum) = (mixture(), severity(), LatticeCusum::new(P0, P0 + DELTA));
    let (mut table, mut average) = (tabular(), ewma());
    let mut cases = [Alarm::Mixture, Alarm::Cusum].map(proportion);
    let mut batched = proportion(Alarm::Batches(Method::Cusum));
    let mut charts = [Method::Cusum, Method::Ewma].map(mean);
    let (mut shape, mut joint) = (distance(), vector());
    for (n, (label, x)) in labels.iter().zip(&means).enumerate() {
        alarm.update(*label);
        severe.update(*label);
        cusum.update(*label);
        table.update(*x);
        average.update(*x);
        for chart in &mut cases {
            chart.update(*label, at(n));
        }
        for chart in &mut charts {
            chart.update(*x, BATCH, at(n));
        }
    }
    for (n, counts) in Samples::batches(SEEN).into_iter().enumerate() {
        batched.update_counts(counts, at(n));
    }
    for (n, (bin, vector)) in Samples::bins(SEEN).into_iter().zip(Samples::vectors(SEEN)).enumerate() {
        shape.update(bin, at(n));
        joint.update(&vector, at(n));
    }
    let (mut given, mut foresight) = (adjusted(), [Form::Hourly, Form::Cases].map(estimate));
    for (n, (confidence, right)) in Samples::stated(SEEN).into_iter().enumerate() {
        given.update(confidence, right, at(n));
        for chart in &mut foresight {
            chart.case(confidence, at(n));
            chart.update(confidence, BATCH, at(n));
            // One in 20 is labelled.
            if n.is_multiple_of(20) {
                chart.label(confidence, right, at(n));
            }
        }
    }
    line("mixture, the default alarm", &alarm);
    line("mixture, the severity", &severe);
    line("Bernoulli CUSUM", &cusum);
    line("tabular CUSUM", &table);
    line("EWMA", &average);
    let [by_mixture, by_cusum] = cases.map(|chart| Detector::Proportion(Box::new(chart)));
    line("proportion chart, mixture", &by_mixture);
    line("proportion chart, Bernoulli CUSUM", &by_cusum);
    line("proportion chart of batches, CUSUM of z", &Detector::Proportion(Box::new(batched)));
    let [by_cusum, by_average] = charts.map(|chart| Detector::Mean(Box::new(chart)));
    line("mean chart, CUSUM", &by_cusum);
    line("mean chart, EWMA", &by_average);
    line("distance chart, 100 bins", &Detector::Distance(Box::new(shape)));
    line("vector chart of four, MEWMA", &Detector::Vector(Box::new(joint)));
    line("chart of labels given confidence", &given);
    line("calibration map of 10,000 labels", &given.design().map);
    let [by_hour, by_case] = foresight;
    line("chart of predicted accuracy by the hour, with its tripwire", &by_hour);
    line("chart of predicted accuracy by the case, with its tripwire", &by_case);
}

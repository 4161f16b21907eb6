//! All charts of one stream under the shipped rules, fed with what outputs say.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use shewhart::engine::baseline::{Baseline, Profile};
use shewhart::engine::chart::Chart;
use shewhart::engine::detect::DesignCache;
use shewhart::engine::event::{Event, Output, decode};
use shewhart::engine::rule::Detect;
use shewhart::engine::units::{Span, Timestamp};

use super::charts::{SAMPLES, SEED, Samples};

#[path = "../../tests/world/shipped.rs"]
mod shipped;

/// Outputs of the baseline: two weeks of one a minute.
const BASELINE: usize = 20_160;

fn records(count: usize, from: usize, samples: &mut Samples) -> Vec<String> {
    let record = |nth: usize| {
        let ts = 1_767_571_200_000 + 60_000 * (from + nth) as i64;
        let latency = 850.0 * (0.45 * samples.normal()).exp();
        let (cost, tokens) = (0.012 * (0.3 * samples.normal()).exp(), 1_800.0 * (0.4 * samples.normal()).exp());
        let confidence = 1.0 - 0.4 * samples.uniform() * samples.uniform();
        let (escalated, status) = (samples.uniform() < 0.06, if samples.uniform() < 0.01 { "error" } else { "ok" });
        format!(
            r#"{{"event_id":"{from}-{nth}","agent":"a","ts":{ts},"confidence":{confidence:.4},"latency_ms":{latency:.0},"cost_usd":{cost:.6},"tokens_in":{tokens:.0},"escalated":{escalated},"status":"{status}"}}"#
        )
    };
    (0..count).map(record).collect()
}

fn outputs(records: &[String]) -> Vec<Output<'_>> {
    let mut outputs = Vec::new();
    for record in records {
        match decode(record.as_bytes()) {
            Ok(Event::Output(output)) => outputs.push(output),
            other => unreachable!("{other:?}"),
        }
    }
    outputs
}

/// Charts of verdicts are there too, and take none: verdicts come by themselves.
#[divan::bench]
fn all_default_charts_of_a_stream(bencher: Bencher<'_, '_>) {
    let mut samples = Samples::new(SEED);
    let (before, after) = (records(BASELINE, 0, &mut samples), records(SAMPLES, BASELINE, &mut samples));
    let mut profile = Profile::default();
    for output in outputs(&before) {
        profile.absorb(&output, output.ts);
    }
    let baseline = Baseline { id: "bench".to_owned(), provisional: false, profile };
    let rules = shipped::shipped();
    let mut cache = DesignCache::new();
    let mut charts: Vec<(&Detect, Chart)> = Vec::new();
    for rule in &rules.rules {
        if charts.iter().all(|(known, _)| known.definition() != rule.detect.definition()) {
            let chart = Chart::design(&rule.detect, Some(&baseline), Timestamp::MIN, &mut cache);
            charts.push((&rule.detect, chart));
        }
    }
    let mut outputs = outputs(&after);
    bencher.counter(ItemsCount::new(outputs.len())).bench_local(|| {
        for output in &mut outputs {
            for (detect, chart) in &mut charts {
                black_box(chart.output(detect, (output, output.ts), &mut cache));
            }
            // The next turn goes on where this one ends.
            output.ts = output.ts.plus(Span::MINUTE.times(SAMPLES as i64));
        }
    });
}

//! When verdicts come, and what they make of confidence: the engine as a whole on made-up agents.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::sync::Arc;

use shewhart::engine::alert::{Crossing, Reason, State};
use shewhart::engine::baseline::BaselineSet;
use shewhart::engine::cause::Voice;
use shewhart::engine::detect::Validity;
use shewhart::engine::rule::{Measure, RuleSet, Source, compile};
use shewhart::engine::stream::Stream;
use shewhart::engine::units::{Partition, Span, Timestamp};
use shewhart::engine::{AskedWait, Effect, Engine, Group, Input, Settings};
use shewhart::simulate::{Generator, Scenario};

use crate::world::shipped::shipped;

fn rules(text: &str) -> Arc<RuleSet> {
    let compiled = compile(&[Source { name: "test.yaml".to_owned(), text: text.to_owned() }]);
    Arc::new(compiled.rules.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics)))
}

fn engine(settings: Settings, rules: Arc<RuleSet>) -> Engine {
    Engine::new(Partition(0), Arc::new(settings), rules, Arc::new(BaselineSet::default()))
}

fn first(outputs: u64) -> Settings {
    Settings { group_by: vec![Group::Agent], provisional_outputs: outputs, ..Settings::default() }
}

/// What an agent does in `length`, as the engine sees it.
fn run(engine: &mut Engine, agent: &str, length: &str, seed: u64) -> Vec<Crossing> {
    let scenario = format!("start: 2026-01-05T00:00:00Z\nlength: {length}\nagents:\n  - {{ name: a, {agent} }}\n");
    let scenario = Scenario::parse(&scenario).unwrap_or_else(|fault| panic!("{fault}"));
    let mut crossings = Vec::new();
    for record in Generator::new(&scenario, seed) {
        crossings.extend(step(engine, &record.json));
    }
    crossings
}

fn step(engine: &mut Engine, json: &str) -> Vec<Crossing> {
    let (offset, mut effects) = (engine.position().next, Vec::new());
    engine.step(Input::Record { offset, appended: None, payload: json.as_bytes() }, &mut effects);
    engine.forget_unwritten();
    let crossed = |effect| match effect {
        Effect::Crossed(crossing) => Some(*crossing),
        _ => None,
    };
    effects.into_iter().filter_map(crossed).collect()
}

fn fired<'c>(crossings: &'c [Crossing], alert: &str) -> Option<&'c Crossing> {
    crossings.iter().find(|c| c.alert == alert && c.to == State::Firing)
}

fn only(engine: &Engine) -> &Stream {
    engine.streams().next().unwrap()
}

const ACCURACY: &str = "groups: [{ name: g, rules: [{ alert: A, detect: { measure: accuracy, drop: 2pp, arl0: 20000, \
                        grade: drifting }, labels: { severity: critical } }] }]";

#[test]
fn errors_that_are_reported_first_are_no_alarm() {
    // Wrong answers are reported within an hour, right ones confirmed after a day. In the order of arrival every stream would
    // alarm on its first day: nothing but errors comes in it.
    let agent = "per_day: 2400, accuracy: 0.92, \
                 labels: { fraction: 1.0, delay: 20h, delay_wrong: 1h, delay_sigma: 0.1 }";
    let mut alarms = 0;
    for seed in 0..30 {
        let mut engine = engine(first(5_000), rules(ACCURACY));
        alarms += u32::from(fired(&run(&mut engine, agent, "8d", seed), "A").is_some());
        let stream = only(&engine);
        assert_eq!(stream.wait().age, Span::DAY, "{seed}");
        let (_, chart) = stream.charts(engine.rules()).next().unwrap();
        let seen = chart.detector.as_ref().unwrap().samples_seen();
        assert!(seen > 10_000, "{seed}: {seen} labels were judged");
    }
    // Some 10,000 labels each at one in 20,000 and more: 30 streams raise 15 at most, and mostly far fewer.
    assert!(alarms <= 15, "{alarms}");
    let agent = format!("{agent}, changes: [ {{ at: 6d, accuracy: -6pp }} ]");
    let mut engine = engine(first(5_000), rules(ACCURACY));
    let found = run(&mut engine, &agent, "10d", 1);
    let changed = Timestamp::from_millis(1_767_571_200_000).plus(Span::DAY.times(6));
    assert!(fired(&found, "A").is_some_and(|c| c.at > changed && c.at < changed.plus(Span::DAY.times(3))));
}

#[test]
fn a_verdict_that_comes_too_late_is_counted_and_not_judged() {
    let wait = AskedWait { streams: std::collections::BTreeMap::new(), age: Some(Span::HOUR.times(6)) };
    let settings = Settings { waits: vec![wait], ..first(1_000) };
    let mut engine = engine(settings, rules(ACCURACY));
    let start = 1_767_571_200_000_i64;
    let output = |i: i64| {
        let ts = start + i * 60_000;
        format!(r#"{{"type":"output","event_id":"e{i}","agent":"a","ts":{ts},"confidence":0.9}}"#)
    };
    let verdict = |i: i64, minutes: i64, right: bool| {
        let ts = start + (i + minutes) * 60_000;
        format!(r#"{{"type":"feedback","event_id":"e{i}","agent":"a","ts":{ts},"correct":{right}}}"#)
    };
    // Every verdict after an hour, one in ten wrong; those on outputs 1,500 to 1,699 all wrong and after seven hours.
    let late = |i: i64| (1_500..1_700).contains(&i);
    let mut records: Vec<(i64, String)> = Vec::new();
    for i in 0..3_000 {
        let minutes = if late(i) { 420 } else { 60 };
        records.push((i, output(i)));
        records.push((i + minutes, verdict(i, minutes, i % 10 > 0 && !late(i))));
    }
    records.sort_by_key(|(at, _)| *at);
    let crossings: Vec<Crossing> = records.iter().flat_map(|(_, json)| step(&mut engine, json)).collect();
    assert_eq!(crossings, []);
    let stream = only(&engine);
    // Reports have all of them, the chart those on outputs after the baseline that came in time and are old enough.
    assert_eq!(stream.memory.labels, 3_000);
    let (_, chart) = stream.charts(engine.rules()).next().unwrap();
    let seen = chart.detector.as_ref().unwrap().samples_seen();
    assert!((1_420..=1_500).contains(&seen), "{seen}");
}

#[test]
fn confidence_that_lies_ends_suspicions_and_nothing_is_predicted() {
    // Confidence falls for no reason: first a suspicion, then labels that say it is none.
    let agent = "per_day: 9600, accuracy: 0.92, confidence: { r2: 0.2 }, labels: { fraction: 0.3, delay: 1h }, \
                 changes: [ { at: 60h, confidence: -8pp } ]";
    let mut engine = engine(first(16_000), shipped());
    let crossings = run(&mut engine, agent, "120h", 3);
    let suspicion = fired(&crossings, "AccuracySuspected").unwrap();
    let course = suspicion.account.as_ref().unwrap().around.course.as_ref().unwrap();
    assert!((0.90..0.94).contains(&course.centre), "{}", course.centre);
    assert!(course.points.iter().any(|point| point.value < course.centre - 0.05), "{course:?}");
    let told = &suspicion.annotations["description"];
    assert!(told.contains("a suspicion, not a finding") && told.contains("label-queue"), "{told}");
    let end = crossings.iter().find(|c| c.alert == "AccuracySuspected" && c.to == State::Resolved).unwrap();
    assert_eq!(end.reason, Reason::Contradicted);
    let cause = end.account.as_ref().unwrap().around.cause.unwrap();
    assert_eq!((cause.confidence, cause.labels), (Voice::Invalid, Voice::Calm));
    assert!(cause.told().contains("above what confidence says") && cause.told().contains("Have cases judged"));
    assert!(cause.contradicted.unwrap().shortfall.high < 0.0);
    // Nothing is suspected as long as the two disagree.
    let again = crossings.iter().any(|c| c.alert == "AccuracySuspected" && c.at > end.at);
    let (_, chart) = only(&engine)
        .charts(engine.rules())
        .find(|(rule, _)| rule.detect.measure == Measure::EstimatedAccuracy)
        .unwrap();
    assert!(!again && matches!(chart.validity(), Some(Validity::Invalid { .. })));
    assert!(fired(&crossings, "AccuracyDegraded").is_none() && fired(&crossings, "CalibrationBroken").is_none());
}

#[test]
fn an_alarm_names_its_cause() {
    let agent = |change: &str| {
        format!(
            "per_day: 9600, accuracy: 0.92, confidence: {{ r2: 0.3 }}, labels: {{ fraction: 0.5, delay: 1h }}, \
             changes: [ {{ at: 60h, accuracy: -8pp, mechanism: {change} }} ]"
        )
    };
    for (mechanism, words) in
        [("harder", "Labels and confidence fell together: inputs got harder"), ("silent", "its calibration broke")]
    {
        let mut engine = engine(first(16_000), shipped());
        let crossings = run(&mut engine, &agent(mechanism), "96h", 5);
        let page = fired(&crossings, "AccuracyDegraded").unwrap();
        let told = page.account.as_ref().unwrap().around.cause.unwrap().told();
        assert!(told.contains(words), "{mechanism}: {told}");
        let broken = fired(&crossings, "CalibrationBroken");
        assert_eq!(broken.is_some(), mechanism == "silent");
        if let Some(broken) = broken {
            let course = broken.account.as_ref().unwrap().around.course.as_ref().unwrap();
            assert!(course.centre.abs() < 0.01 && course.points.last().unwrap().value < -0.02, "{course:?}");
        }
    }
}

#[test]
fn labels_and_confidence_share_one_promise() {
    let agent = "per_day: 9600, accuracy: 0.92, confidence: { r2: 0.2 }, labels: { fraction: 0.05, delay: 1h }";
    let promise = |text: &str| {
        let mut engine = engine(first(16_000), rules(text));
        run(&mut engine, agent, "96h", 7);
        let stream = only(&engine);
        let at = stream.memory.last_seen;
        stream.charts(engine.rules()).map(|(_, chart)| chart.per_week(at)).collect::<Vec<f64>>()
    };
    let alone = "{ alert: A, detect: { measure: accuracy, drop: 2pp, arl0: 20000 }, labels: { severity: critical } }";
    let beside = "{ alert: B, detect: { measure: estimated_accuracy, drop: 2pp }, labels: { severity: warning } }";
    let group = |rules: &[&str]| format!("groups: [{{ name: g, rules: [{}] }}]", rules.join(", "));
    let one = promise(&group(&[alone]));
    let both = promise(&group(&[alone, beside]));
    assert!((both[0] / one[0] - 0.9).abs() < 0.01, "{both:?} {one:?}");
    // The rate of labels is followed by the day, in steps of a tenth.
    assert!((both[1] / one[0] - 0.1).abs() < 0.02, "{both:?} {one:?}");
}

#[test]
fn cases_picked_for_their_doubt_do_not_alarm() {
    // From the third day on half of the doubtful outputs are judged and a tenth of the others: errors among the labelled double.
    let doubtful = |i: u64| i.is_multiple_of(5);
    let wrong = |i: u64| if doubtful(i) { i.is_multiple_of(3) } else { i % 97 == 1 };
    let judge = |said: bool| {
        let mut engine = engine(first(3_000), rules(ACCURACY));
        let mut crossings = Vec::new();
        for i in 0..30_000_u64 {
            let ts = 1_767_571_200_000 + i as i64 * 30_000;
            let confidence = if doubtful(i) { 0.7 } else { 0.99 };
            let json =
                format!(r#"{{"type":"output","event_id":"e{i}","agent":"a","ts":{ts},"confidence":{confidence}}}"#);
            crossings.extend(step(&mut engine, &json));
            let every = if i < 6_000 {
                1
            } else if doubtful(i) {
                2
            } else {
                10
            };
            if (i / 5).is_multiple_of(every) {
                let sampled = if said { format!(r#","sampled":{}"#, 1.0 / every as f64) } else { String::new() };
                let right = !wrong(i);
                let json = format!(
                    r#"{{"type":"feedback","event_id":"e{i}","agent":"a","ts":{ts},"correct":{right}{sampled}}}"#
                );
                crossings.extend(step(&mut engine, &json));
            }
        }
        fired(&crossings, "A").is_some()
    };
    assert!(judge(false), "without their probabilities they look like a fall");
    assert!(!judge(true));
}

#[test]
fn a_baseline_that_is_over_before_its_verdicts_come_is_waited_for() {
    // A thousand outputs in two hours; wrong ones are reported after one, right ones confirmed after twenty, a quarter of them
    // after more than a day. Until then nothing but errors is known, of the baseline and of all that came after it.
    let agent = "per_day: 12000, accuracy: 0.92, confidence: { r2: 0.2 }, \
                 labels: { fraction: 1.0, delay: 20h, delay_wrong: 1h, delay_sigma: 0.3 }";
    let scenario = format!("start: 2026-01-05T00:00:00Z\nlength: 84h\nagents:\n  - {{ name: a, {agent} }}\n");
    let mut engine = engine(first(1_000), rules(ACCURACY));
    let learnt = |engine: &Engine| only(engine).baseline.as_ref().unwrap().profile.delays.all();
    let (mut told, mut early) = (0, 0);
    for (nth, record) in (1..).zip(Generator::new(&Scenario::parse(&scenario).unwrap(), 21)) {
        step(&mut engine, &record.json);
        let now = engine.position().time.unwrap();
        let stream = only(&engine);
        if nth % 500 == 0
            && let Some(baseline) = &stream.baseline
        {
            told += u32::from(stream.memory.pace.change(&baseline.profile.delays).is_some());
            if now < Timestamp::from_millis(1_767_571_200_000).plus(Span::DAY) {
                early += 1;
                assert_eq!(learnt(&engine).n, 0, "nothing is closed before the last verdicts are due");
            }
        }
    }
    assert!(early > 10, "{early}");
    let stream = only(&engine);
    let baseline = learnt(&engine);
    assert!((600..=1_000).contains(&baseline.n), "{baseline:?}: the baseline's own");
    let wrong = 1.0 - baseline.share().unwrap();
    assert!((0.07..0.15).contains(&wrong), "{wrong}: errors among those that came within a day");
    let (_, chart) = stream.charts(engine.rules()).next().unwrap();
    assert!(chart.detector.as_ref().unwrap().samples_seen() > 10_000);
    assert_eq!(told, 0, "late verdicts are no news");
}

#[test]
fn errors_that_come_with_their_outputs_are_not_all_that_comes() {
    // A check marks one output in ten as wrong at once; the others are confirmed after eight hours.
    let mut engine = engine(first(1_200), rules(ACCURACY));
    let start = 1_767_571_200_000_i64;
    let mut records: Vec<(i64, String)> = Vec::new();
    for i in 0..6_000_i64 {
        let ts = start + i * 30_000;
        let wrong = i % 10 == 3;
        let known = if wrong { r#","correct":false"# } else { "" };
        records.push((ts, format!(r#"{{"type":"output","event_id":"e{i}","agent":"a","ts":{ts}{known}}}"#)));
        if !wrong {
            let ts = ts + 8 * 3_600_000;
            let json = format!(r#"{{"type":"feedback","event_id":"e{i}","agent":"a","ts":{ts},"correct":true}}"#);
            records.push((ts, json));
        }
    }
    records.sort_by_key(|(at, _)| *at);
    let crossings: Vec<Crossing> = records.iter().flat_map(|(_, json)| step(&mut engine, json)).collect();
    assert_eq!(crossings, []);
    let stream = only(&engine);
    let baseline = stream.baseline.as_ref().unwrap();
    assert_eq!(stream.wait().age, Span::HOUR.times(12));
    assert_eq!(baseline.profile.delays.all(), shewhart::engine::units::Counts { hits: 1_080, n: 1_200 });
    let (_, chart) = stream.charts(engine.rules()).next().unwrap();
    let seen = chart.detector.as_ref().unwrap().samples_seen();
    assert!((3_200..=4_800).contains(&seen), "{seen}: those of the last hours are waited for");
}

#[test]
fn another_pace_of_verdicts_is_told_with_the_alarm() {
    let agent = "per_day: 4800, accuracy: 0.92, confidence: { r2: 0.2 }, \
                 labels: { fraction: 1.0, delay: 8h, delay_sigma: 0.8 }";
    let mut engine = engine(first(9_600), rules(ACCURACY));
    run(&mut engine, agent, "6d", 11);
    assert_eq!(only(&engine).memory.pace.change(&only(&engine).baseline.as_ref().unwrap().profile.delays), None);
    let slower = "per_day: 4800, accuracy: 0.90, confidence: { r2: 0.2 }, \
                  labels: { fraction: 1.0, delay: 12h, delay_wrong: 1h, delay_sigma: 0.8 }";
    let scenario = format!("start: 2026-01-11T00:00:00Z\nlength: 4d\nagents:\n  - {{ name: a, {slower} }}\n");
    let mut crossings = Vec::new();
    for record in Generator::new(&Scenario::parse(&scenario).unwrap(), 12) {
        crossings.extend(step(&mut engine, &record.json));
    }
    let told = fired(&crossings, "A").unwrap().account.as_ref().unwrap().around.cause.unwrap().told();
    assert!(told.contains("Label delay changed"), "{told}");
}

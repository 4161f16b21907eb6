//! What stands around an alert, from records to the account, against a count by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use shewhart::engine::alert::{Crossing, State};
use shewhart::engine::around::{Aspect, How, Kitagawa};
use shewhart::engine::baseline::BaselineSet;
use shewhart::engine::rule::{Source, compile};
use shewhart::engine::units::{Counts, Offset, Partition, Span, Timestamp};
use shewhart::engine::{Effect, Engine, Group, Input, Settings};

const START: i64 = 1_767_571_200_000;
/// The first output of the release that is worse.
const CHANGE: usize = 4_000;
const RULE: &str = "groups: [{ name: g, rules: [{ alert: Worse, detect: { measure: accuracy, drop: 2pp, \
                    false_alarms: 1 per 90d }, labels: { severity: warning }, \
                    annotations: { summary: worse, runbook_url: 'https://runbooks.example/x' } }] }]";

/// One output, and when its verdict comes, where it ever does.
struct Case {
    at: i64,
    task: &'static str,
    version: &'static str,
    correct: bool,
    escalated: bool,
    label_at: Option<i64>,
}

/// Two outputs a minute. With the release, refunds go from 10 % wrong to half, and more is escalated.
fn cases() -> Vec<Case> {
    let mut state = 11_u64;
    let mut draw = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 31)
    };
    let case = |i: usize| {
        let worse = i >= CHANGE;
        let at = START + i as i64 * 30_000;
        let task = if draw() < 0.7 { "invoice" } else { "refund" };
        let wrong = if worse && task == "refund" { 0.5 } else { 0.1 };
        let (correct, escalated) = (draw() >= wrong, draw() < if worse { 0.3 } else { 0.05 });
        let label_at = (draw() < 0.8).then(|| at + 600_000 + (draw() * 3e6) as i64);
        Case { at, task, version: if worse { "2" } else { "1" }, correct, escalated, label_at }
    };
    (0..CHANGE + 3_000).map(case).collect()
}

/// The records of the cases in the order of their times.
fn records(cases: &[Case]) -> Vec<(i64, String)> {
    let mut records = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        let Case { at, task, version, correct, escalated, label_at } = case;
        records.push((*at, format!(r#"{{"type":"output","event_id":"e{i}","agent":"a","ts":{at},"task":"{task}","version":"{version}","escalated":{escalated}}}"#)));
        if let Some(then) = label_at {
            records.push((
                *then,
                format!(r#"{{"type":"feedback","event_id":"e{i}","agent":"a","ts":{then},"correct":{correct}}}"#),
            ));
        }
    }
    records.sort();
    records
}

/// Steps the records until an alert fires. Returns its crossing, when that was, and the engine.
fn run(group_by: Vec<Group>, provisional_outputs: u64, cases: &[Case]) -> (Crossing, i64, Engine) {
    let compiled = compile(&[Source { name: "test.yaml".to_owned(), text: RULE.to_owned() }]);
    let rules = Arc::new(compiled.rules.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics)));
    let settings = Settings { group_by, provisional_outputs, ..Settings::default() };
    let mut engine = Engine::new(Partition(0), Arc::new(settings), rules, Arc::new(BaselineSet::default()));
    let mut effects = Vec::new();
    for (offset, (at, record)) in records(cases).into_iter().enumerate() {
        let offset = Offset(offset as i64);
        engine.step(Input::Record { offset, appended: None, payload: record.as_bytes() }, &mut effects);
        let fired = effects.drain(..).find_map(|effect| match effect {
            Effect::Crossed(crossing) if crossing.to == State::Firing => Some(crossing),
            _ => None,
        });
        if let Some(crossing) = fired {
            return (*crossing, at, engine);
        }
    }
    panic!("nothing fired");
}

fn count<'c>(cases: impl Iterator<Item = &'c Case>) -> BTreeMap<String, Counts> {
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    for case in cases {
        counts.entry(case.task.to_owned()).or_default().add(case.correct);
    }
    counts
}

#[test]
fn an_account_counts_what_a_count_by_hand_counts() {
    let cases = cases();
    let (crossing, _, engine) = run(vec![Group::Agent], 3_000, &cases);
    // Verdicts are judged when their outputs are old enough, before a record of that moment is looked at.
    let now = crossing.at.as_millis();
    let account = crossing.account.unwrap();
    let around = account.around;
    let from = around.counted_from.unwrap().as_millis();
    let changed = account.changed_at.unwrap();
    assert!(
        from <= changed.as_millis() && changed.since(Timestamp::from_millis(from)) < Span::HOUR,
        "{from} {changed}"
    );

    // Verdicts are judged when their outputs are old enough, before the record that says so is counted.
    let known = |case: &&Case| case.at < now && case.at >= from;
    let labelled = |case: &&Case| case.label_at.is_some_and(|at| at < now);
    let since: Vec<&Case> = cases.iter().filter(known).collect();
    let with_verdict = since.iter().filter(|case| labelled(case)).count();
    assert_eq!(around.outputs, since.len() as u64);
    assert_eq!(around.labels_missing, (since.len() - with_verdict) as u64);
    assert!(around.labels_missing > 50, "{}", around.labels_missing);

    let standing = around.standing.unwrap();
    assert_eq!((standing.outputs, standing.labelled), (since.len() as u64, with_verdict as u64));
    // Agents that state no confidence: labels alone.
    let counts = since.iter().copied().filter(labelled).filter(|case| case.correct).count();
    assert_eq!((standing.how, standing.estimate), (How::LabelsOnly, standing.labels));
    assert!((standing.labels.unwrap().value - counts as f64 / with_verdict as f64).abs() < 1e-12);
    // Verdicts come within the hour, on four of five outputs, as in the baseline.
    let usual = standing.usual.unwrap();
    assert!((usual - standing.label_share().unwrap()).abs() < 0.08, "{usual} {standing:?}");

    // The baseline's verdicts count as long as it is open: until one on a later output comes and there are enough.
    let stream = engine.streams().next().unwrap();
    let before = &stream.baseline.as_ref().unwrap().profile.pane;
    assert_eq!(before.tasks.values().map(|c| c.n).sum::<u64>(), before.correct.n);
    assert_eq!(before.tasks.values().map(|c| c.hits).sum::<u64>(), before.correct.hits);
    let now_by_task = count(since.iter().copied().filter(labelled));
    assert_eq!(around.tasks, Kitagawa::of(&before.tasks, &now_by_task));
    let tasks = around.tasks.unwrap();
    assert_eq!(tasks.carriers().map(|t| t.task.as_str()).collect::<Vec<_>>(), ["refund"]);

    assert_eq!(around.beside.iter().map(|b| b.what).collect::<Vec<_>>(), [Aspect::Escalation]);
    let versions: Vec<_> = around.versions.iter().map(|r| (r.version.as_str(), r.at.as_millis())).collect();
    assert_eq!(versions, [("1", cases[0].at), ("2", cases[CHANGE].at)]);

    let course = around.course.unwrap();
    let half = |case: &&Case| case.at < now && labelled(case);
    for point in &course.points {
        let inside = |case: &&Case| Timestamp::from_millis(case.at).floor(course.width) == point.at;
        let mut all = Counts::default();
        for one in count(cases.iter().filter(half).filter(inside)).values() {
            all.merge(*one);
        }
        assert_eq!((point.n, Some(point.value)), (all.n, all.share()), "{}", point.at);
        assert!(point.low < course.centre && course.centre < point.high);
    }
    assert!(course.points.len() >= 20, "{}", course.points.len());
    assert!((course.bound.unwrap() - (course.centre - 0.02)).abs() < 1e-12);
}

#[test]
fn streams_by_task_say_their_task_by_their_labels_and_count_none() {
    let (crossing, _, engine) = run(vec![Group::Agent, Group::Task], 800, &cases());
    assert_eq!(crossing.labels["task"], "refund");
    assert_eq!(crossing.account.unwrap().around.tasks, None);
    assert!(engine.streams().all(|s| s.memory.tasks.is_empty()));
}

//! The engine as a whole, with the ledger where it must survive a restart.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use shewhart::edge::ledger::{Commit, Identity, Ledger, open_read_only};
use shewhart::engine::alert::{Reason, State};
use shewhart::engine::baseline::BaselineSet;
use shewhart::engine::route::{Policy, Router};
use shewhart::engine::rule::{RuleSet, Source, compile};
use shewhart::engine::units::{Offset, Partition, Span, Timestamp};
use shewhart::engine::{Effect, Engine, Group, Input, OVERFLOW, Settings};
use shewhart::simulate::{Generator, Scenario};

use crate::world::shipped::shipped;

const START: i64 = 1_767_571_200_000;

fn rules(text: &str) -> Arc<RuleSet> {
    let compiled = compile(&[Source { name: "test.yaml".to_owned(), text: text.to_owned() }]);
    Arc::new(compiled.rules.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics)))
}

fn by_agent() -> Settings {
    Settings { group_by: vec![Group::Agent], provisional_outputs: 1_000, ..Settings::default() }
}

fn engine(settings: Settings, rules: Arc<RuleSet>) -> Engine {
    Engine::new(Partition(0), Arc::new(settings), rules, Arc::new(BaselineSet::default()))
}

fn output(agent: &str, id: i64, seconds: i64) -> String {
    let ts = START + seconds * 1_000;
    format!(r#"{{"type":"output","event_id":"e{id}","agent":"{agent}","ts":{ts},"confidence":0.9,"escalated":false}}"#)
}

/// Steps records from the engine's own position on and returns what it asked for.
fn feed(engine: &mut Engine, records: &[String]) -> Vec<Effect> {
    let mut effects = Vec::new();
    for record in records {
        let offset = engine.position().next;
        engine.step(Input::Record { offset, appended: None, payload: record.as_bytes() }, &mut effects);
    }
    effects
}

fn crossings(effects: &[Effect]) -> Vec<(State, Reason, i64)> {
    let crossed = |effect: &Effect| match effect {
        Effect::Crossed(c) => Some((c.to, c.reason, (c.at.as_millis() - START) / 1_000)),
        _ => None,
    };
    effects.iter().filter_map(crossed).collect()
}

const SILENCE: &str = "groups: [{ name: s, rules: [{ alert: Silent, detect: { measure: silence, absent: 1h }, \
                       labels: { severity: warning }, annotations: { summary: gone } }] }]";

#[test]
fn a_silent_agent_is_missed_at_the_moment_its_time_is_up_and_not_when_somebody_looks() {
    let settings = Settings { provisional_outputs: 10, ..by_agent() };
    let mut engine = engine(settings, rules(SILENCE));
    let mut records: Vec<String> = (0..10).map(|i| output("quiet", i, i * 60)).collect();
    records.extend((0..20).map(|i| output("busy", 100 + i, 600 + i * 600)));
    let effects = feed(&mut engine, &records);
    // The last output of `quiet` came after 540 s; an hour later it is missed, whatever `busy` does.
    assert_eq!(crossings(&effects), [(State::Firing, Reason::Signalled, 540 + 3_600)]);
    let effects = feed(&mut engine, &[output("quiet", 50, 13_000)]);
    assert_eq!(crossings(&effects), [(State::Resolved, Reason::Recovered, 13_000)]);
}

#[test]
fn an_agent_alone_in_its_partition_is_missed_by_the_wall_clock() {
    let settings = Settings { provisional_outputs: 10, ..by_agent() };
    let mut engine = engine(settings, rules(SILENCE));
    let records: Vec<String> = (0..11).map(|i| output("quiet", i, i * 60)).collect();
    feed(&mut engine, &records);
    let mut effects = Vec::new();
    let at = |seconds: i64| Timestamp::from_millis(START + seconds * 1_000);
    engine.step(Input::Idle { now: at(4_000) }, &mut effects);
    assert_eq!(crossings(&effects), []);
    engine.step(Input::Idle { now: at(9_000) }, &mut effects);
    assert_eq!(crossings(&effects), [(State::Firing, Reason::Signalled, 600 + 3_600)]);
}

#[test]
fn endless_names_are_counted_together_and_change_nothing_for_known_streams() {
    let settings = Settings { streams_max: 3, ..by_agent() };
    let known: Vec<String> = (0..50).map(|i| output("known", i, i * 10)).collect();
    let mut calm = engine(settings.clone(), shipped());
    feed(&mut calm, &known);
    let mut attacked = engine(settings, shipped());
    let mut records = vec![known[0].clone()];
    records.extend((0..1_000).map(|i| output(&format!("hostile-{i}"), 10_000 + i, 1)));
    records.extend(known[1..].iter().cloned());
    feed(&mut attacked, &records);
    let of = |engine: &Engine, name: &str| {
        engine.streams().find(|s| s.value_of("agent") == Some(name)).map(|s| s.memory.clone())
    };
    let (mut a, mut b) = (of(&calm, "known").unwrap(), of(&attacked, "known").unwrap());
    (a.applied, b.applied) = (Offset(0), Offset(0));
    assert_eq!(a, b);
    assert_eq!(attacked.streams().len(), 4, "three streams and the overflow");
    assert_eq!(of(&attacked, OVERFLOW).unwrap().outputs, 998);
    assert_eq!(attacked.position().counters.overflow, 998);
}

#[test]
fn a_time_from_the_future_moves_nothing_further_than_the_skew() {
    let mut engine = engine(by_agent(), shipped());
    let appended = Some(Timestamp::from_millis(START));
    let mut effects = Vec::new();
    let record = output("a", 1, 86_400 * 365);
    engine.step(Input::Record { offset: Offset(0), appended, payload: record.as_bytes() }, &mut effects);
    assert_eq!(engine.position().time, Some(Timestamp::from_millis(START).plus(Span::MINUTE.times(5))));
    assert_eq!(engine.position().counters.early, 1);
}

#[test]
fn duplicates_second_verdicts_and_strangers_are_told_apart() {
    let mut engine = engine(by_agent(), shipped());
    let verdict = |id: i64, correct: bool| {
        format!(r#"{{"type":"feedback","event_id":"e{id}","agent":"a","ts":{},"correct":{correct}}}"#, START + 5_000)
    };
    let records = [output("a", 1, 0), output("a", 1, 1), verdict(1, true), verdict(1, false), verdict(99, false)];
    let effects = feed(&mut engine, &records);
    let why: Vec<&str> = effects
        .iter()
        .filter_map(|e| match e {
            Effect::Rejected { rejection, .. } => Some(rejection.why.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(why, ["duplicate", "relabelled"]);
    let counters = engine.position().counters;
    assert_eq!((counters.outputs, counters.feedback, counters.unjoined), (1, 2, 1));
    assert_eq!(engine.streams().next().unwrap().memory.labels, 2);
}

fn identity() -> Identity {
    Identity { topic: "test".to_owned(), group_by: "agent".to_owned() }
}

fn commit(ledger: &mut Ledger, engine: &mut Engine, effects: &mut Vec<(Partition, Effect)>, router: &Router) {
    ledger
        .commit(Commit {
            engines: vec![(engine, None)],
            effects,
            router: Some(&router.memory()),
            ..Commit::at(Timestamp::from_millis(START))
        })
        .unwrap();
    effects.clear();
}

/// Runs events through an engine with commits every `batch` records and, where asked, a restart from the file after
/// every `restart` commits; returns everything the file says, as text.
fn run(events: &[String], batch: usize, restart: Option<usize>) -> BTreeMap<String, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shewhart.db");
    let rules = shipped();
    let router = Router::new(Policy::new(Vec::new()));
    let mut ledger = Ledger::open_file(&path, &identity()).unwrap();
    let mut engine = engine(by_agent(), Arc::clone(&rules));
    let mut effects = Vec::new();
    for (commits, records) in events.chunks(batch).enumerate() {
        effects.extend(feed(&mut engine, records).into_iter().map(|e| (Partition(0), e)));
        commit(&mut ledger, &mut engine, &mut effects, &router);
        if restart.is_some_and(|every| commits % every == every - 1) {
            drop(ledger);
            ledger = Ledger::open_file(&path, &identity()).unwrap();
            engine = self::engine(by_agent(), Arc::clone(&rules));
            let state = ledger.restore_partition(Partition(0)).unwrap().unwrap();
            engine.restore(state.position, state.streams, state.recent.into_iter());
        }
    }
    drop(ledger);
    let db = open_read_only(&path).unwrap();
    let dump = |sql: &str| -> Vec<String> {
        let mut select = db.prepare(sql).unwrap();
        let columns = select.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at).map(|v| format!("{v:?}"))).collect()
        };
        let rows: Vec<rusqlite::Result<Vec<String>>> = select.query_map([], row).unwrap().collect();
        rows.into_iter().map(|r| r.unwrap().join("|")).collect()
    };
    [
        ("streams", "SELECT * FROM streams ORDER BY id"),
        ("partitions", "SELECT * FROM partitions"),
        ("minutes", "SELECT * FROM rollup_minute ORDER BY start_ms, stream_id"),
        ("hours", "SELECT * FROM rollup_hour ORDER BY start_ms, stream_id"),
        ("provisional", "SELECT * FROM provisional_baselines ORDER BY stream_id"),
        ("alerts", "SELECT * FROM alerts ORDER BY id"),
        ("events", "SELECT * FROM alert_events ORDER BY id"),
        ("points", "SELECT * FROM chart_points ORDER BY at_ms, stream_id, chart"),
        ("versions", "SELECT * FROM versions ORDER BY stream_id, at_ms"),
    ]
    .into_iter()
    .map(|(name, sql)| (name.to_owned(), dump(sql)))
    .collect()
}

#[test]
fn neither_batches_nor_restarts_leave_a_trace() {
    let scenario = Scenario::demo();
    let events: Vec<String> = Generator::new(&scenario, 3).take(60_000).map(|event| event.json).collect();
    let whole = run(&events, 5_000, None);
    assert!(whole["streams"].len() == 6 && !whole["minutes"].is_empty() && !whole["points"].is_empty());
    for (batch, restart) in [(977, None), (977, Some(1)), (4_001, Some(3))] {
        let other = run(&events, batch, restart);
        for (table, rows) in &whole {
            assert!(*rows == other[table], "{table} differs with batches of {batch}, restart {restart:?}");
        }
    }
}

/// Outputs of which every tenth has the flag otherwise, then of which every `often`-th has.
fn flagged(usual: bool, often: i64) -> Vec<String> {
    let record = |i: i64, every: i64| {
        let flag = (i % every == 0) != usual;
        let ts = START + i * 60_000;
        format!(r#"{{"type":"output","event_id":"e{i}","agent":"a","ts":{ts},"flags":{{"grounded":{flag}}}}}"#)
    };
    (0..1_000).map(|i| record(i, 10)).chain((1_000..2_000).map(|i| record(i, often))).collect()
}

#[test]
fn a_flag_that_should_be_set_alarms_when_it_falls_and_one_that_should_not_when_it_rises() {
    let rule = |bound: &str| {
        rules(&format!(
            "groups: [{{ name: f, rules: [{{ alert: F, detect: {{ measure: flags.grounded, {bound}: 5pp, arl0: 5000 }}, \
             labels: {{ severity: warning }}, annotations: {{ summary: '{{{{ estimate }}}}' }} }}] }}]"
        ))
    };
    for (bound, usual, often, alarms) in
        [("drop", true, 3, true), ("drop", true, 100, false), ("rise", false, 3, true), ("rise", false, 100, false)]
    {
        let mut engine = engine(by_agent(), rule(bound));
        let effects = feed(&mut engine, &flagged(usual, often));
        assert_eq!(!crossings(&effects).is_empty(), alarms, "{bound}, every {often}-th");
        let Some(Effect::Crossed(crossing)) = effects.iter().find(|e| matches!(e, Effect::Crossed(_))) else {
            continue;
        };
        let account = crossing.account.as_ref().unwrap();
        let (estimate, baseline) = (account.estimate.unwrap().value, account.baseline.unwrap().value);
        let worse = if bound == "drop" { estimate < baseline - 0.05 } else { estimate > baseline + 0.05 };
        assert!(worse, "{estimate} against {baseline}");
    }
}

fn verdict(id: i64, correct: bool, seconds: i64) -> String {
    let ts = START + seconds * 1_000;
    format!(r#"{{"type":"feedback","event_id":"e{id}","agent":"a","ts":{ts},"correct":{correct}}}"#)
}

/// Outputs with a verdict a second later; wrong every `every`-th time from the 2,000th on, every twelfth before.
fn judged(n: i64, every: i64) -> Vec<String> {
    let wrong = |i: i64| i % (if i < 2_000 { 12 } else { every }) == 0;
    (0..n).flat_map(|i| [output("a", i, i * 10), verdict(i, !wrong(i), i * 10 + 1)]).collect()
}

#[test]
fn a_verdict_on_an_output_from_before_does_not_blind_the_chart_of_accuracy() {
    let mut records = judged(4_000, 3);
    records.insert(1_000, verdict(-1, false, 5_001));
    let mut engine = engine(by_agent(), shipped());
    let effects = feed(&mut engine, &records);
    let paged = effects.iter().any(|e| matches!(e, Effect::Crossed(c) if c.alert == "AccuracyDegraded"));
    assert!(paged && engine.position().counters.unjoined == 1);
}

#[test]
fn a_rule_that_asks_for_another_chart_ends_its_alert_without_an_all_clear_and_the_next_has_its_own_id() {
    let rule = |drop: &str| {
        rules(&format!(
            "groups: [{{ name: g, rules: [{{ alert: A, detect: {{ measure: accuracy, drop: {drop}, arl0: 20000 }}, \
             labels: {{ severity: critical }}, annotations: {{ summary: x }} }}] }}]"
        ))
    };
    let records = judged(6_000, 3);
    let mut engine = engine(by_agent(), rule("2pp"));
    let mut effects = feed(&mut engine, &records[..6_000]);
    engine.step(Input::Rules(rule("3pp")), &mut effects);
    effects.extend(feed(&mut engine, &records[6_000..]));
    let told: Vec<(State, Reason)> =
        crossings(&effects).into_iter().map(|(state, reason, _)| (state, reason)).collect();
    let fired = (State::Firing, Reason::Signalled);
    assert_eq!(told, [fired, (State::Resolved, Reason::RuleChanged), fired]);
    let ids: std::collections::BTreeSet<_> = effects
        .iter()
        .filter_map(|e| match e {
            Effect::Crossed(c) => Some(c.id),
            _ => None,
        })
        .collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn a_promotion_while_the_daemon_was_away_takes_effect_as_it_would_have_live() {
    let settings = Settings { provisional_outputs: 100_000, ..by_agent() };
    let records = judged(4_000, 3);
    let mut validation = engine(settings.clone(), rules(SILENCE));
    feed(&mut validation, &records[..4_000]);
    let stream = validation.streams().next().unwrap();
    let profile = stream.learnt_so_far().unwrap();
    let promoted = Arc::new(BaselineSet { id: "b@1".to_owned(), streams: [(stream.key.to_string(), profile)].into() });

    let mut live = engine(settings.clone(), shipped());
    feed(&mut live, &records[..1_000]);
    let mut effects = Vec::new();
    live.step(Input::Baselines(Arc::clone(&promoted)), &mut effects);
    feed(&mut live, &records[1_000..]);

    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open_file(&folder.path().join("shewhart.db"), &identity()).unwrap();
    let mut before = engine(settings.clone(), shipped());
    feed(&mut before, &records[..1_000]);
    commit(&mut ledger, &mut before, &mut Vec::new(), &Router::new(Policy::new(Vec::new())));
    let state = ledger.restore_partition(Partition(0)).unwrap().unwrap();
    let mut after = Engine::new(Partition(0), Arc::new(settings), shipped(), Arc::clone(&promoted));
    after.restore(state.position, state.streams, state.recent.into_iter());
    after.step(Input::Baselines(promoted), &mut effects);
    feed(&mut after, &records[1_000..]);

    let of = |engine: &Engine| engine.streams().next().unwrap().memory.clone();
    assert_eq!(of(&live), of(&after));
    assert!(of(&after).charts.values().any(|chart| chart.detector.is_some()));
    assert!(!of(&after).alerts.is_empty(), "accuracy fell from 92 to 67 %");
}

#[test]
fn the_end_of_an_alert_tells_again_what_it_was() {
    let text = "groups: [{ name: g, rules: [{ alert: A, detect: { measure: accuracy, drop: 2pp, arl0: 20000 }, \
                labels: { severity: critical }, annotations: { summary: '{{ estimate }} of {{ outputs }}' } }] }]";
    let mut engine = engine(by_agent(), rules(text));
    // Wrong one time in three for 2,000 outputs, then as before.
    let mut records = judged(4_000, 3);
    records.extend((4_000..12_000).flat_map(|i| [output("a", i, i * 10), verdict(i, i % 12 != 0, i * 10 + 1)]));
    let effects = feed(&mut engine, &records);
    let told = |state: State| {
        let of = |effect: &Effect| match effect {
            Effect::Crossed(c) if c.to == state => Some((c.account.clone().unwrap(), c.annotations["summary"].clone())),
            _ => None,
        };
        effects.iter().find_map(of).unwrap()
    };
    let ((mut fired, _), (mut ended, summary)) = (told(State::Firing), told(State::Resolved));
    // How it went is told up to the moment.
    assert_ne!(fired.around.course.take(), ended.around.course.take());
    assert_eq!(fired, ended);
    assert!(summary.contains(&format!(" % of {}", fired.outputs)), "{summary}");
}

#[test]
fn only_a_version_never_seen_gives_charts_a_head_start() {
    let text = "groups: [{ name: g, rules: [{ alert: A, labels: { severity: critical }, annotations: { summary: x }, \
                detect: { measure: escalation_rate, rise: 5pp, arl0: 20000, chart: cusum } }] }]";
    let mut engine = engine(by_agent(), rules(text));
    let versioned =
        |i: i64, version: &str| output("a", i, i * 60).replace('}', &format!(r#","version":"{version}"}}"#));
    let mut statistic = |records: &[String]| {
        feed(&mut engine, records);
        let stream = engine.streams().next().unwrap();
        stream.memory.charts.values().find_map(|chart| Some(chart.detector.as_ref()?.statistic())).unwrap()
    };
    let first: Vec<String> = (0..1_100).map(|i| versioned(i, "one")).collect();
    assert_eq!(statistic(&first), 0.0);
    assert!(statistic(&[versioned(1_200, "two")]) > 1.0);
    // Nobody escalates, so the statistic comes down, and stays at 0 with two hours of each in turn.
    statistic(&(1_201..1_300).map(|i| versioned(i, "two")).collect::<Vec<_>>());
    let turns: Vec<String> =
        (1_300..3_000).map(|i| versioned(i, if i / 120 % 2 == 0 { "one" } else { "two" })).collect();
    for some in turns.chunks(40) {
        assert_eq!(statistic(some), 0.0);
    }
    assert!(statistic(&[versioned(3_100, "three")]) > 1.0);
}

//! Burn rates in the engine: against a count of every record, through silence, late verdicts, reloads and restarts.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use shewhart::edge::ledger::{Commit, Identity, Ledger};
use shewhart::engine::alert::{Crossing, Reason, State};
use shewhart::engine::baseline::{Baseline, BaselineSet, Profile};
use shewhart::engine::detect::DesignCache;
use shewhart::engine::explain::explain;
use shewhart::engine::reach::out_of_reach;
use shewhart::engine::rule::{Grade, RuleSet, Source, compile};
use shewhart::engine::sketch::Pane;
use shewhart::engine::units::{Partition, Span, Timestamp};
use shewhart::engine::{Effect, Engine, Group, Input, Settings};

const START: i64 = 1_767_571_200_000;

fn rules(detect: &str) -> Arc<RuleSet> {
    let text = format!(
        "groups: [{{ name: g, rules: [{{ alert: Burning, where: {{ agent: a }}, detect: {{ {detect} }}, labels: {{ severity: \
         critical }}, annotations: {{ summary: '{{{{ estimate }}}} of {{{{ baseline }}}}, {{{{ method }}}}' }} }}] }}]"
    );
    let compiled = compile(&[Source { name: "test.yaml".to_owned(), text }]);
    Arc::new(compiled.rules.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics)))
}

const AVAILABLE: &str = "measure: availability, target: 99%, burn_rate: 14.4";

fn engine(rules: &Arc<RuleSet>) -> Engine {
    let settings = Settings { group_by: vec![Group::Agent], provisional_outputs: 100, ..Settings::default() };
    Engine::new(Partition(0), Arc::new(settings), Arc::clone(rules), Arc::new(BaselineSet::default()))
}

fn output(agent: &str, id: usize, seconds: i64, bad: bool) -> String {
    let (ts, status) = (START + seconds * 1_000, if bad { "error" } else { "ok" });
    format!(r#"{{"type":"output","event_id":"e{id}","agent":"{agent}","ts":{ts},"status":"{status}"}}"#)
}

fn feed(engine: &mut Engine, record: &str) -> Vec<Crossing> {
    let mut effects = Vec::new();
    let offset = engine.position().next;
    engine.step(Input::Record { offset, appended: None, payload: record.as_bytes() }, &mut effects);
    crossings(effects)
}

fn crossings(effects: Vec<Effect>) -> Vec<Crossing> {
    let crossed = |effect| if let Effect::Crossed(crossing) = effect { Some(*crossing) } else { None };
    effects.into_iter().filter_map(crossed).collect()
}

fn told(crossings: &[Crossing]) -> Vec<(State, Reason, i64)> {
    crossings.iter().map(|c| (c.to, c.reason, (c.at.as_millis() - START) / 1_000)).collect()
}

/// What the rule says at `now`, by counting every case: (second, whether it is bad).
fn burns(cases: &[(i64, bool)], now: i64) -> bool {
    let of = |span: i64| {
        let from = now - now.rem_euclid(60) + 60 - span;
        let inside = || cases.iter().filter(|(at, _)| *at >= from && *at <= now);
        (inside().filter(|(_, bad)| *bad).count(), inside().count())
    };
    let exceeds = |(bad, n): (usize, usize)| bad as f64 > 14.4 * 0.01 * n as f64;
    of(3_600).0 >= 10 && exceeds(of(3_600)) && exceeds(of(300))
}

/// An hour in order, then an outage of ten minutes, a case every ten seconds.
fn outage() -> Vec<(i64, bool)> {
    (0..420).map(|i| (i * 10, i >= 360)).collect()
}

#[test]
fn an_outage_fires_by_its_count_and_ends_when_nobody_calls_any_more() {
    let mut engine = engine(&rules(AVAILABLE));
    let cases = outage();
    let mut seen = Vec::new();
    for (id, (at, bad)) in cases.iter().enumerate() {
        seen.extend(feed(&mut engine, &output("a", id, *at, *bad)));
    }
    let first = (0..cases.len()).find(|i| burns(&cases[..=*i], cases[*i].0)).unwrap();
    assert_eq!(told(&seen), [(State::Firing, Reason::Signalled, cases[first].0)]);
    let account = seen[0].account.clone().unwrap();
    assert_eq!((account.baseline_n, account.unit, account.grade), (0, None, Grade::Confirmed));
    assert_eq!(
        (account.baseline_id.as_str(), account.method.as_str()),
        ("fixed bound", "burn rate 14.4 over 1 h and 5 min")
    );
    let (estimate, baseline) = (account.estimate.unwrap(), account.baseline.unwrap());
    let inside: Vec<_> =
        cases[..=first].iter().filter(|(at, _)| *at >= cases[first].0 - cases[first].0 % 60 - 3_540).collect();
    let good = inside.iter().filter(|(_, bad)| !bad).count() as f64 / inside.len() as f64;
    assert!((estimate.value - good).abs() < 1e-12 && estimate.low < good && good < estimate.high);
    assert!((baseline.value - 0.99).abs() < 1e-12 && account.samples == inside.len() as u64);
    assert_eq!(account.changed_at, Some(Timestamp::from_millis(START + 3_600_000)));
    assert!(
        seen[0].annotations["summary"].ends_with("of 99.0 %, burn rate 14.4 over 1 h and 5 min"),
        "{:?}",
        seen[0].annotations
    );
    // Only others go on. The last error lies in the minute from 4,140; five minutes later the short window is empty.
    let ended: Vec<Crossing> =
        (0..20).flat_map(|i| feed(&mut engine, &output("b", 1_000 + i, 4_200 + 60 * i as i64, false))).collect();
    assert_eq!(told(&ended), [(State::Resolved, Reason::Recovered, 4_440)]);
    assert_eq!((engine.promised().per_week, engine.promised().so_far), (0.0, 0.0), "it makes no promise");
}

#[test]
fn a_partition_that_is_quiet_ends_it_by_the_wall_clock() {
    let mut engine = engine(&rules(AVAILABLE));
    for (id, (at, bad)) in outage().into_iter().enumerate() {
        feed(&mut engine, &output("a", id, at, bad));
    }
    let mut effects = Vec::new();
    engine.step(Input::Idle { now: Timestamp::from_millis(START + 90_000_000) }, &mut effects);
    assert_eq!(told(&crossings(effects)), [(State::Resolved, Reason::Recovered, 4_440)]);
}

#[test]
fn one_error_in_three_requests_at_night_pages_nobody_and_a_full_outage_at_night_does() {
    for (bad, fires) in [(3, false), (9, false), (10, true)] {
        let mut engine = engine(&rules(AVAILABLE));
        let seen: Vec<Crossing> =
            (0..bad).flat_map(|i| feed(&mut engine, &output("a", i, 240 * i as i64, true))).collect();
        assert_eq!(!seen.is_empty(), fires, "{bad} errors");
    }
}

#[test]
fn late_verdicts_count_at_the_time_of_their_output() {
    let fires = |pause: i64| {
        let mut engine = engine(&rules("measure: accuracy, target: 90%, burn_rate: 5"));
        let mut seen = Vec::new();
        for id in 0..60 {
            seen.extend(feed(&mut engine, &output("a", id, 20 * id as i64, false)));
        }
        for id in 48..60 {
            let ts = START + (1_200 + pause) * 1_000;
            let verdict = format!(r#"{{"type":"feedback","event_id":"e{id}","agent":"a","ts":{ts},"correct":false}}"#);
            seen.extend(feed(&mut engine, &verdict));
        }
        told(&seen).len()
    };
    assert_eq!((fires(10), fires(7_200)), (1, 0), "ten wrong ones of the last five minutes; ten of two hours ago");
}

#[test]
fn baselines_and_reloads_leave_it_alone_and_a_rule_that_is_switched_off_ends_it() {
    let set = rules(AVAILABLE);
    let mut engine = engine(&set);
    for (id, (at, bad)) in outage().into_iter().enumerate() {
        feed(&mut engine, &output("a", id, at, bad));
    }
    let key = engine.streams().next().unwrap().key.to_string();
    let mut effects = Vec::new();
    let streams = BTreeMap::from([(key, Profile::default())]);
    engine.step(Input::Baselines(Arc::new(BaselineSet { id: "b@1".to_owned(), streams })), &mut effects);
    engine.step(Input::Rules(Arc::clone(&set)), &mut effects);
    engine.step(Input::Allowance(1e-9), &mut effects);
    assert_eq!(told(&crossings(effects)), []);
    let off =
        "groups: [{ name: g, rules: [{ alert: Burning, enabled: false, detect: { measure: accuracy, drop: 2pp } }] }]";
    let compiled = compile(&[Source { name: "off.yaml".to_owned(), text: off.to_owned() }]);
    assert_eq!(compiled.disabled(), 1);
    let mut effects = Vec::new();
    engine.step(Input::Rules(Arc::new(compiled.rules.unwrap())), &mut effects);
    assert_eq!(told(&crossings(effects)), [(State::Resolved, Reason::RuleRemoved, 4_190)]);
}

/// Outages of several lengths among calm hours, with hours in which nothing happens.
fn troubled() -> Vec<String> {
    let mut records = Vec::new();
    let mut at = 0;
    for round in 0..6_i64 {
        for case in 0..200 {
            at += 7 + (case * 13 + round) % 17;
            let bad = case > 120 && case < 135 + 8 * round;
            records.push(output("a", records.len(), at, bad));
        }
        at += 1_800 * round;
        records.push(output("b", records.len(), at, false));
    }
    records
}

#[test]
fn restarts_from_what_was_written_change_no_crossing() {
    let set = rules("measure: availability, target: 99.5%, burn_rate: default");
    let records = troubled();
    let run = |every: usize| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shewhart.db");
        let identity = Identity { topic: "test".to_owned(), group_by: "agent".to_owned() };
        let mut ledger = Ledger::open_file(&path, &identity).unwrap();
        let mut one = engine(&set);
        let mut seen = Vec::new();
        for chunk in records.chunks(every) {
            seen.extend(chunk.iter().flat_map(|record| feed(&mut one, record)));
            let at = Commit::at(Timestamp::from_millis(START));
            ledger.commit(Commit { engines: vec![(&mut one, None)], ..at }).unwrap();
            one = engine(&set);
            let state = ledger.restore_partition(Partition(0)).unwrap().unwrap();
            one.restore(state.position, state.streams, state.recent.into_iter());
        }
        seen
    };
    let whole = run(records.len());
    assert!(whole.len() >= 6, "{:?}", told(&whole));
    for every in [41, 197] {
        assert_eq!(run(every), whole, "a restart every {every} records");
    }
}

#[test]
fn explain_says_what_the_traffic_makes_of_it() {
    let set = rules("measure: availability, target: 99%, burn_rate: 14.4");
    let rule = &set.rules[0];
    let baseline = |a_day: u64| {
        let pane = Pane { outputs: a_day, status: [a_day, 0, 0, 0], ..Pane::default() };
        let (first, last) = (Timestamp::from_millis(START), Timestamp::from_millis(START).plus(Span::DAY));
        let profile = Profile { first: Some(first), last: Some(last), pane, ..Profile::default() };
        Baseline { id: "b@1".to_owned(), provisional: false, profile }
    };
    let mut cache = DesignCache::new();
    // 480 a day are twenty in an hour, 120 are five.
    for (a_day, hopeless, finding) in
        [(24_000, false, None), (480, false, Some("fires from 50.0 %")), (120, true, Some("even if all"))]
    {
        let told = explain(rule, &BTreeMap::new(), Some(&baseline(a_day)), None, &mut cache).unwrap();
        assert_eq!(told.hopeless, hopeless, "{a_day}: {:?}", told.findings);
        assert_eq!(
            (told.arl0, told.detects.len(), told.chart.as_str()),
            (None, 0, "burn rate 14.4 over 1 h and 5 min")
        );
        let said = told.findings.join("; ");
        assert!(finding.is_none_or(|finding| said.contains(finding)), "{a_day}: {said}");
        assert_eq!(told.findings.len(), 1 + usize::from(finding.is_some()), "{said}");
        assert_eq!(out_of_reach(rule, Some(&baseline(a_day)), None, &mut cache).is_some(), hopeless);
    }
    assert!(!explain(rule, &BTreeMap::new(), None, None, &mut cache).unwrap().hopeless);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// After every record the alert stands as a count of all records says.
    #[test]
    fn after_every_record_it_stands_as_a_full_count_says(steps in proptest::collection::vec((0_i64..90, 0_u32..10, 0_i64..40), 1..300), trouble in 0_u32..6) {
        let mut engine = engine(&rules(AVAILABLE));
        let (mut now, mut cases, mut changes) = (0, Vec::new(), 0);
        for (id, (gap, draw, pause)) in steps.into_iter().enumerate() {
            now += gap + if pause == 0 { 1_200 } else { 0 };
            let bad = draw < trouble * u32::from(id / 60 % 2 == 1);
            cases.push((now, bad));
            changes += feed(&mut engine, &output("a", id, now, bad)).len();
            let fires = !engine.streams().next().unwrap().memory.alerts.is_empty();
            prop_assert_eq!(fires, burns(&cases, now), "after {} cases, {} changes", cases.len(), changes);
        }
    }
}

//! Volume in the engine: a stream that thins out, one that stops, late outputs, restarts, and what is told of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use shewhart::edge::ledger::baselines::{Act, Baselines, LearntStream};
use shewhart::edge::ledger::{Commit, Identity, Ledger};
use shewhart::engine::alert::{Crossing, Reason, State};
use shewhart::engine::baseline::{Baseline, BaselineSet, Profile};
use shewhart::engine::detect::DesignCache;
use shewhart::engine::explain::{Explained, explain};
use shewhart::engine::plan::{Design, plan};
use shewhart::engine::reach::out_of_reach;
use shewhart::engine::rule::{RuleSet, Source, compile};
use shewhart::engine::units::{Partition, SampleUnit, Span, Timestamp};
use shewhart::engine::{Effect, Engine, Group, Input, Settings, key_of};

/// Monday, 2026-01-05T00:00:00Z, in hours.
const START: i64 = 1_767_571_200_000 / 3_600_000;

fn rules(bounds: &[&str]) -> Arc<RuleSet> {
    let of = |(at, bound): (usize, &&str)| {
        format!(
            "{{ alert: A{at}, where: {{ agent: a }}, detect: {{ measure: volume, {bound} }}, labels: {{ severity: warning }}, \
             annotations: {{ summary: '{{{{ estimate }}}} ({{{{ interval }}}}) against {{{{ baseline }}}}, {{{{ drop }}}}' }} }}"
        )
    };
    let all: Vec<String> = bounds.iter().enumerate().map(of).collect();
    let text = format!("groups: [{{ name: g, rules: [{}] }}]", all.join(", "));
    let compiled = compile(&[Source { name: "test.yaml".to_owned(), text }]);
    Arc::new(compiled.rules.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics)))
}

/// What an hour usually brings: about 60 from 8 to 18, about 6 at night, a third at weekends.
fn usual(hour: i64) -> usize {
    let wiggle = (hour * 7919).rem_euclid(11) as usize;
    let weekend = hour.rem_euclid(168) >= 120;
    match (8..18).contains(&hour.rem_euclid(24)) {
        true if weekend => 16 + wiggle,
        true => 55 + wiggle,
        false => 3 + wiggle / 3,
    }
}

fn profile(days: i64) -> Profile {
    let mut profile = Profile::default();
    // The hours before and after are seen in part.
    for hour in -1..=days * 24 {
        // Four weeks before the start of the stream, from Monday to Sunday.
        let at = Timestamp::from_millis((START - 28 * 24 + hour) * 3_600_000);
        (0..usual(hour)).for_each(|_| profile.hours.add(at, at));
        profile.first = profile.first.or(Some(at));
        profile.last = Some(at.plus(Span::HOUR.times(1)));
    }
    profile
}

fn baselines(profile: Profile) -> Arc<BaselineSet> {
    let key = key_of(&BTreeMap::from([("agent".to_owned(), "a".to_owned())]));
    Arc::new(BaselineSet { id: "b@1".to_owned(), streams: BTreeMap::from([(key, profile)]) })
}

fn engine(rules: &Arc<RuleSet>) -> Engine {
    let settings = Settings { group_by: vec![Group::Agent], ..Settings::default() };
    Engine::new(Partition(0), Arc::new(settings), Arc::clone(rules), baselines(profile(28)))
}

/// An output of an agent, so many seconds after the begin of an hour.
fn output(agent: &str, id: usize, hour: i64, seconds: i64) -> String {
    let ts = (START + hour) * 3_600_000 + seconds * 1_000;
    format!(r#"{{"type":"output","event_id":"e{id}","agent":"{agent}","ts":{ts}}}"#)
}

/// Hours of agent a, with that share of the usual outputs, spread over the hour.
fn hours(from: i64, to: i64, share: f64) -> Vec<String> {
    let of = |hour: i64| {
        let n = (usual(hour) as f64 * share).round() as usize;
        (0..n).map(move |i| output("a", (hour + 1_000) as usize * 1_000 + i, hour, (i * 3_600 / n) as i64))
    };
    (from..to).flat_map(of).collect()
}

fn feed(engine: &mut Engine, record: &str) -> Vec<Crossing> {
    let mut effects = Vec::new();
    let offset = engine.position().next;
    engine.step(Input::Record { offset, appended: None, payload: record.as_bytes() }, &mut effects);
    crossings(effects)
}

fn all(engine: &mut Engine, records: &[String]) -> Vec<Crossing> {
    records.iter().flat_map(|record| feed(engine, record)).collect()
}

fn crossings(effects: Vec<Effect>) -> Vec<Crossing> {
    let crossed = |effect| if let Effect::Crossed(crossing) = effect { Some(*crossing) } else { None };
    effects.into_iter().filter_map(crossed).collect()
}

fn hour_of(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 3_600_000.0 - START as f64
}

const DROP: &str = "drop: 30%";
/// Tuesday of the second week, noon.
const CHANGE: i64 = 8 * 24 + 12;

#[test]
fn half_of_the_usual_outputs_alarm_and_the_other_half_ends_it() {
    let mut engine = engine(&rules(&[DROP, "rise: 50%"]));
    assert_eq!(all(&mut engine, &hours(0, CHANGE, 1.0)).len(), 0);
    let fell = all(&mut engine, &hours(CHANGE, CHANGE + 24, 0.5));
    assert_eq!(fell.len(), 1, "{fell:?}");
    assert_eq!((fell[0].to, fell[0].rule.as_str()), (State::Firing, "g/A0"));
    assert!(hour_of(fell[0].at) < CHANGE as f64 + 8.0, "{}", hour_of(fell[0].at));
    let account = fell[0].account.clone().unwrap();
    assert_eq!(account.changed_at.map(hour_of), Some(CHANGE as f64));
    assert_eq!((account.unit, account.baseline_id.as_str()), (Some(SampleUnit::Block), "b@1"));
    let (estimate, change) = (account.estimate.unwrap(), account.change.unwrap());
    assert!((estimate.value - 0.5).abs() < 0.05 && estimate.low < 0.5 && estimate.high > 0.5, "{estimate:?}");
    assert!(change.low < -0.45 && change.high > -0.55 && (change.value - estimate.value + 1.0).abs() < 1e-12);
    let told = &fell[0].annotations["summary"];
    let words = format!(
        "{:.0} % of usual ({:.0} to {:.0} %)",
        100.0 * estimate.value,
        100.0 * estimate.low,
        100.0 * estimate.high
    );
    assert!(told.starts_with(&words) && told.contains("against 100 % of usual, -"), "{told}");
    let back = all(&mut engine, &hours(CHANGE + 24, CHANGE + 96, 1.0));
    assert_eq!(back.iter().map(|c| (c.to, c.reason)).collect::<Vec<_>>(), [(State::Resolved, Reason::Recovered)]);
}

#[test]
fn twice_the_usual_outputs_alarm_where_a_rise_is_watched() {
    let mut engine = engine(&rules(&[DROP, "rise: 50%"]));
    let mut seen = all(&mut engine, &hours(0, CHANGE, 1.0));
    seen.extend(all(&mut engine, &hours(CHANGE, CHANGE + 24, 2.0)));
    let told: Vec<_> = seen.iter().map(|c| (c.rule.as_str(), c.to)).collect();
    assert_eq!(told, [("g/A1", State::Firing)]);
    let estimate = seen[0].account.clone().unwrap().estimate.unwrap();
    assert!(estimate.low < 2.0 && estimate.high > 2.0, "{estimate:?}");
}

#[test]
fn a_stop_alarms_as_others_go_on_and_by_the_wall_clock() {
    let others = |engine: &mut Engine| {
        let records: Vec<String> = (0..24).map(|i| output("b", i, CHANGE + i as i64, 1_800)).collect();
        all(engine, &records)
    };
    let idle = |engine: &mut Engine| {
        let mut effects = Vec::new();
        let now = Timestamp::from_millis((START + CHANGE + 24) * 3_600_000);
        engine.step(Input::Idle { now }, &mut effects);
        crossings(effects)
    };
    for pass in [others, idle] {
        let mut engine = engine(&rules(&[DROP]));
        assert_eq!(all(&mut engine, &hours(0, CHANGE, 1.0)).len(), 0);
        let seen = pass(&mut engine);
        assert_eq!(seen.iter().map(|c| c.to).collect::<Vec<_>>(), [State::Firing]);
        assert!(hour_of(seen[0].at) < CHANGE as f64 + 4.0, "{}", hour_of(seen[0].at));
        let account = seen[0].account.clone().unwrap();
        assert_eq!((account.estimate.unwrap().value, account.changed_at.map(hour_of)), (0.0, Some(CHANGE as f64)));
        // It stays until the outputs come back, and no look at the clock is planned meanwhile.
        assert_eq!(all(&mut engine, &hours(CHANGE + 24, CHANGE + 120, 1.0)).len(), 1);
    }
}

fn step(engine: &mut Engine, input: Input<'_>) -> Vec<Crossing> {
    let mut effects = Vec::new();
    engine.step(input, &mut effects);
    crossings(effects)
}

#[test]
fn a_chart_that_begins_with_a_late_output_sees_no_stop_before_it() {
    let other = Arc::new(BaselineSet { id: "b@2".to_owned(), ..(*baselines(profile(28))).clone() });
    for (edit, baselines) in [(Some(rules(&["drop: 40%"])), None), (None, Some(other))] {
        let mut engine = engine(&rules(&[DROP]));
        assert_eq!(all(&mut engine, &hours(0, CHANGE, 1.0)).len(), 0);
        let input = edit.map(Input::Rules).or(baselines.map(Input::Baselines)).unwrap();
        assert_eq!(step(&mut engine, input).len(), 0);
        assert_eq!(feed(&mut engine, &output("a", 999_999, CHANGE - 6, 0)).len(), 0);
        assert_eq!(all(&mut engine, &hours(CHANGE, CHANGE + 24, 1.0)).len(), 0);
    }
    // Nor does that of a new stream.
    let mut engine = engine(&rules(&[DROP]));
    assert_eq!(feed(&mut engine, &output("b", 1, CHANGE, 0)).len(), 0);
    assert_eq!(feed(&mut engine, &output("a", 1, CHANGE - 6, 0)).len(), 0);
    assert_eq!(all(&mut engine, &hours(CHANGE, CHANGE + 24, 1.0)).len(), 0);
}

#[test]
fn a_stop_goes_on_over_an_edit_of_the_rule_and_a_promotion() {
    let other = Arc::new(BaselineSet { id: "b@2".to_owned(), ..(*baselines(profile(28))).clone() });
    for (edit, baselines) in [(Some(rules(&["drop: 40%"])), None), (None, Some(other))] {
        let mut engine = engine(&rules(&[DROP]));
        all(&mut engine, &hours(0, CHANGE, 1.0));
        let others = |from, to| (from..to).map(|hour| output("b", hour as usize, hour, 1_800)).collect::<Vec<_>>();
        let told = |seen: &[Crossing]| seen.iter().map(|c| c.to).collect::<Vec<_>>();
        assert_eq!(told(&all(&mut engine, &others(CHANGE, CHANGE + 5))), [State::Firing]);
        let input = edit.map(Input::Rules).or(baselines.map(Input::Baselines)).unwrap();
        assert_eq!(told(&step(&mut engine, input)), [State::Resolved]);
        let again = all(&mut engine, &others(CHANGE + 5, CHANGE + 48));
        assert_eq!(told(&again), [State::Firing]);
        // Tuesday's hours are over by then; on Wednesday it is told before noon.
        assert!(hour_of(again[0].at) < CHANGE as f64 + 24.0, "{}", hour_of(again[0].at));
    }
}

/// Hours of agent a that come all at once, so many minutes after their end.
fn uploads(from: i64, to: i64, late: i64) -> Vec<String> {
    let of = |hour: i64| {
        let clock = output("b", hour as usize, hour + 1, late * 60);
        std::iter::once(clock).chain(hours(hour, hour + 1, 1.0))
    };
    (from..to).flat_map(of).collect()
}

#[test]
fn outputs_that_always_come_late_are_missed_by_baseline_and_chart_alike() {
    let learnt = |late: i64| {
        let settings = Settings { group_by: vec![Group::Agent], provisional_outputs: u64::MAX, ..Settings::default() };
        let mut engine = Engine::new(Partition(0), Arc::new(settings), rules(&[DROP]), Arc::default());
        all(&mut engine, &uploads(-28 * 24 - 1, 1, late));
        let mut of = engine.streams().filter(|stream| stream.name() == "agent=a");
        of.next().unwrap().learnt_so_far().unwrap()
    };
    for late in [10, 30] {
        let (profile, set) = (learnt(late), rules(&[DROP]));
        let baseline = Baseline { id: "b@1".to_owned(), provisional: false, profile: profile.clone() };
        let planned = plan(&set.rules[0].detect, Some(&baseline));
        assert_eq!(planned.is_some(), late == 10, "{late} minutes");
        let settings = Settings { group_by: vec![Group::Agent], ..Settings::default() };
        let mut engine = Engine::new(Partition(0), Arc::new(settings), set, baselines(profile));
        assert_eq!(all(&mut engine, &uploads(0, CHANGE, late)).len(), 0, "{late} minutes");
    }
}

#[test]
fn half_of_the_change_asked_is_half_of_that_share() {
    let set = rules(&[DROP, "rise: 50%", "drop: 2sd"]);
    let baseline = Baseline { id: "b@1".to_owned(), provisional: false, profile: profile(28) };
    let half_way = |at: usize| match plan(&set.rules[at].detect, Some(&baseline)).unwrap().design {
        Design::Volume(design) => {
            let asked = design.baseline.share_at(-design.mean.delta);
            (design.half_way, asked)
        }
        design => panic!("{design:?}"),
    };
    assert!((half_way(0).0 - 0.85).abs() < 1e-12 && (half_way(1).0 - 1.25).abs() < 1e-12);
    let (half, whole) = half_way(2);
    assert!(whole < half && half < 1.0, "{half} {whole}");
}

#[test]
fn a_poisoned_time_far_ahead_is_survived() {
    let mut engine = engine(&rules(&[DROP, "rise: 50%"]));
    all(&mut engine, &hours(0, 48, 1.0));
    let seen = feed(&mut engine, &output("a", 1, 100 * 365 * 24, 0));
    assert_eq!(seen.iter().map(|c| c.to).collect::<Vec<_>>(), [State::Firing]);
}

#[test]
fn restarts_from_what_was_written_change_no_crossing() {
    let set = rules(&[DROP, "rise: 50%"]);
    let mut records = hours(0, 12, 1.0);
    records.extend(hours(12, 20, 0.3));
    records.extend((0..60).map(|i| output("b", i, 20 + i as i64 / 2, 60)));
    records.extend(hours(50, 100, 1.0));
    records.extend(hours(100, 110, 2.5));
    records.extend(hours(110, 150, 1.0));
    let run = |every: usize| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shewhart.db");
        let identity = Identity { topic: "test".to_owned(), group_by: "agent".to_owned() };
        let mut ledger = Ledger::open_file(&path, &identity).unwrap();
        let act = Act { now: Timestamp::from_millis(START), who: "ana", why: "a usual month" };
        let mut learnt = Baselines::open(&path).unwrap();
        let labels = BTreeMap::from([("agent".to_owned(), "a".to_owned())]);
        let streams = BTreeMap::from([(key_of(&labels), LearntStream { labels, profile: profile(28) })]);
        assert_eq!(learnt.learn("b", "test", &streams, &act).unwrap(), "b@1");
        learnt.promote("b@1", &act).unwrap();
        let mut one = engine(&set);
        let mut seen = Vec::new();
        for chunk in records.chunks(every) {
            seen.extend(all(&mut one, chunk));
            let at = Commit::at(Timestamp::from_millis(START));
            ledger.commit(Commit { engines: vec![(&mut one, None)], ..at }).unwrap();
            one = engine(&set);
            let state = ledger.restore_partition(Partition(0)).unwrap().unwrap();
            one.restore(state.position, state.streams, state.recent.into_iter());
        }
        let charts: Vec<_> = one.streams().map(|stream| stream.memory.charts.clone()).collect();
        (seen, charts)
    };
    let whole = run(records.len());
    assert_eq!(whole.0.len(), 4, "{:?}", whole.0.iter().map(|c| (c.rule.as_str(), c.to)).collect::<Vec<_>>());
    for every in [97, 431] {
        assert_eq!(run(every), whole, "a restart every {every} records");
    }
}

#[test]
fn explain_tells_the_blocks_and_what_is_missing() {
    let set = rules(&[DROP, "rise: 50%", "drop: 0.01sd", "drop: 40%"]);
    let mut cache = DesignCache::new();
    let baseline = |days| Baseline { id: "b@1".to_owned(), provisional: false, profile: profile(days) };
    let mut told =
        |at: usize, days| explain(&set.rules[at], &BTreeMap::new(), Some(&baseline(days)), None, &mut cache).unwrap();
    let fall = told(0, 28);
    assert!(fall.chart.starts_with("CUSUM of outputs in blocks of "), "{}", fall.chart);
    assert_eq!((fall.unit, fall.baseline.unwrap().value, fall.hopeless), (Some("block"), 1.0, false));
    let sizes: Vec<&str> = fall.detects.iter().map(|d| d.size.as_str()).collect();
    // Of changes smaller than the one asked little is told in time.
    assert_eq!(sizes, ["30 %", "50 %", "100 %"]);
    assert!(fall.detects.is_sorted_by(|a, b| a.hours >= b.hours), "{:?}", fall.detects);
    let sizes = |told: &Explained| told.detects.iter().map(|d| d.size.clone()).collect::<Vec<_>>();
    assert_eq!(sizes(&told(1, 28)), ["50 %", "100 %"]);
    assert_eq!(sizes(&told(3, 28)), ["40 %", "50 %", "100 %"]);
    let short = told(0, 13);
    assert_eq!((short.chart.as_str(), short.arl0), ("none", None));
    assert_eq!(short.findings, ["volume needs 14 whole days (UTC) of baseline; this one has 13"]);
    assert!(told(2, 28).hopeless);
    assert!(out_of_reach(&set.rules[2], Some(&baseline(28)), None, &mut DesignCache::new()).is_some());
}

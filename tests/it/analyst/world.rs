//! A database as a daemon leaves it after eight days of three agents, and what its lines say, counted without it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rusqlite::Connection;
use serde_json::Value;
use shewhart::edge::ledger::{
    Act, Baselines, Commit, Drawn, GapRow, Identity, LearntStream, Ledger, OperatorAct, Outcome, Payloads, Pool,
    Requests, RuleSetRow, Verdict, WaitingCase, all_streams, encode_rules, open_read_only,
};
use shewhart::engine::alert::{Id, State};
use shewhart::engine::asking::Chance;
use shewhart::engine::baseline::BaselineSet;
use shewhart::engine::route::{Message, Pace, Policy, Route, Silence};
use shewhart::engine::rule::RuleSet;
use shewhart::engine::units::{Offset, Partition, Span, Timestamp};
use shewhart::engine::{Effect, Engine, Settings};
use shewhart::replay::{Finding, Replay};
use shewhart::simulate::{Generator, Scenario};

use crate::world::shipped::shipped;

/// Eight days in which one agent gets a release that is worse and slower, and is taken back.
const SCENARIO: &str = r#"
start: 2026-01-05T00:00:00Z
length: 8d
agents:
  - name: invoice-triage
    tasks: { invoices: 0.7, credit-notes: 0.3 }
    version: "2026-01-04"
    per_day: 2000
    diurnal: 0.3
    accuracy: 0.92
    confidence: { r2: 0.2 }
    escalation: 0.06
    overrides: 0.02
    errors: 0.004
    latency_ms: { median: 850, sigma: 0.45 }
    cost_usd: { median: 0.012, sigma: 0.3 }
    tokens: { in: { median: 1800, sigma: 0.4 }, out: { median: 220, sigma: 0.5 } }
    labels: { fraction: 0.9, delay: 2h, delay_sigma: 0.5 }
    changes:
      - { at: 4d9h, until: 6d, version: "2026-01-09", accuracy: -14pp, mechanism: silent, escalation: +10pp, latency: x1.6 }
  - name: address-matching
    version: "41"
    per_day: 900
    accuracy: 0.95
    confidence: { r2: 0.2 }
    escalation: 0.02
    errors: 0.004
    latency_ms: { median: 240, sigma: 0.35 }
    cost_usd: { median: 0.001, sigma: 0.25 }
    labels: { fraction: 0.5, delay: 30m, delay_sigma: 0.5 }
  - { name: intake, per_day: 150, accuracy: 0.9, malformed: 0.05 }
"#;

/// A database as a daemon leaves it, and what went into it.
pub(crate) struct World {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) lines: Vec<String>,
    pub(super) findings: Vec<Finding>,
    /// Messages, and when they were decided.
    pub(super) messages: Vec<(Message, Timestamp)>,
    /// What was plotted, in order.
    pub(super) points: Vec<Plotted>,
    /// The alert that somebody judged, as a true one.
    pub(super) judged: Option<Id>,
    /// Ids of the messages that arrived.
    pub(super) arrived: Vec<String>,
}

/// When messages arrived.
pub(super) const ARRIVED: Timestamp = Timestamp::from_millis(1_768_300_060_000);

/// One point of a chart.
pub(super) struct Plotted {
    /// The stream's number: the partition is 0.
    pub(super) stream: i64,
    pub(super) chart: String,
    pub(super) measure: String,
    pub(super) method: String,
    pub(super) at_ms: i64,
    pub(super) statistic: f64,
    pub(super) limit: f64,
}

#[derive(Debug)]
struct Lines<'l>(&'l [String]);

impl Payloads for Lines<'_> {
    fn payload(&self, _: Partition, offset: Offset) -> Option<&[u8]> {
        self.0.get(offset.0 as usize).map(String::as_bytes)
    }
}

pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(build)
}

fn build() -> World {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shewhart.db");
    let scenario = Scenario::parse(SCENARIO).unwrap_or_else(|error| panic!("{error}"));
    let lines: Vec<String> = Generator::new(&scenario, 5).map(|event| with_custom(event.json)).collect();
    let mut ledger =
        Ledger::open_file(&path, &Identity { topic: "events".to_owned(), group_by: "agent,task".to_owned() }).unwrap();
    let baselines = promote(&path, &lines);
    let rules = shipped();
    note_rules(&mut ledger, &rules);
    let mut world = World {
        _folder: folder,
        path,
        lines,
        findings: Vec::new(),
        messages: Vec::new(),
        points: Vec::new(),
        judged: None,
        arrived: Vec::new(),
    };
    play(&mut ledger, &mut world, rules, baselines);
    world.arrived = deliver(&mut ledger);
    ask(&world.path);
    world
}

/// One agent says more of its outputs than all events have a field for.
fn with_custom(line: String) -> String {
    let said = line.contains("\"address-matching\"") && line.contains("\"type\":\"output\"");
    let (recall, grounded) = (line.len() % 10, !line.len().is_multiple_of(3));
    match line.strip_suffix('}').filter(|_| said) {
        Some(head) => format!("{head},\"metrics\":{{\"recall\":0.{recall}}},\"flags\":{{\"grounded\":{grounded}}}}}"),
        None => line,
    }
}

/// Asks for three verdicts.
fn ask(path: &Path) {
    let mut requests = Requests::open(path).unwrap();
    let streams = all_streams(requests.db()).unwrap();
    let pool = Pool { streams: &streams, from: Timestamp::MIN, again: false };
    let evenly = Chance { drawn: 0.1, uncertain: false };
    let draw = |cases: Vec<WaitingCase>| {
        cases.iter().take(3).map(|case| Drawn::of(case, evenly, "drawn evenly".to_owned())).collect()
    };
    let (drawn, _) = requests.ask(pool, (Timestamp::from_millis(1_768_300_000_000), "ann"), draw).unwrap();
    assert_eq!(drawn.len(), 3);
}

fn settings(provisional_outputs: u64) -> Settings {
    Settings { provisional_outputs, ..Settings::default() }
}

/// Learns and promotes a baseline of the one agent from its own outputs.
fn promote(path: &Path, lines: &[String]) -> BaselineSet {
    let mut replay =
        Replay::new(settings(u64::MAX), Arc::new(RuleSet::new(Vec::new())), Arc::default(), Policy::new(Vec::new()));
    for line in lines.iter().filter(|line| line.contains("\"address-matching\"")) {
        replay.record(line.as_bytes());
    }
    let learnt = |engine: &Engine| -> BTreeMap<String, LearntStream> {
        let streams = engine.streams();
        let of = |stream: &shewhart::engine::stream::Stream| {
            Some((stream.key.to_string(), LearntStream { labels: stream.labels(), profile: stream.learnt_so_far()? }))
        };
        streams.filter_map(of).collect()
    };
    let streams = learnt(replay.engine());
    let act = Act { now: Timestamp::from_millis(1_767_500_000_000), who: "ana", why: "accepted in review 12" };
    let mut baselines = Baselines::open(path).unwrap();
    let id = baselines.learn("validation", "validation.jsonl", &streams, &act).unwrap();
    baselines.promote(&id, &act).unwrap();
    BaselineSet { id, streams: streams.into_iter().map(|(key, stream)| (key, stream.profile)).collect() }
}

fn note_rules(ledger: &mut Ledger, rules: &RuleSet) {
    let accepted = RuleSetRow {
        hash: Some("5eed".to_owned()),
        accepted: true,
        origin: "start",
        who: "ann".to_owned(),
        diff: "+ - alert: A\n".to_owned(),
        rules: rules.rules.len(),
        diagnostics: String::new(),
        sources: "{}".to_owned(),
        compiled: Some(encode_rules(rules)),
    };
    let refused = RuleSetRow {
        hash: None,
        accepted: false,
        origin: "file change",
        who: String::new(),
        diff: String::new(),
        rules: 0,
        diagnostics: "accuracy.yaml:3: no such measure".to_owned(),
        sources: "{}".to_owned(),
        compiled: None,
    };
    ledger.note_rules(&accepted, Timestamp::from_millis(1_767_600_000_000)).unwrap();
    ledger.note_rules(&refused, Timestamp::from_millis(1_767_700_000_000)).unwrap();
}

fn firing(effect: &Effect) -> Option<Id> {
    let Effect::Crossed(crossing) = effect else { return None };
    (crossing.to == State::Firing).then_some(crossing.alert_id)
}

/// A silence, and somebody who took an alert on and judged it.
fn people(alert: Id, now: Timestamp) -> Vec<OperatorAct> {
    let matchers = vec!["agent=\"invoice-triage\"".parse().unwrap()];
    let silence = Silence::new(matchers, ("ann", "release 41"), (now, now.plus(Span::HOUR)), now).unwrap();
    let (owner, made_by, note) = ("ann".to_owned(), "root".to_owned(), "seen".to_owned());
    vec![
        OperatorAct::Silenced { silence, made_by: made_by.clone() },
        OperatorAct::Acknowledged { alert, owner, made_by, note, verdict: Some(Verdict::True) },
    ]
}

fn play(ledger: &mut Ledger, world: &mut World, rules: Arc<RuleSet>, baselines: BaselineSet) {
    let policy = Policy::new(vec![Route::to("ops", &["alertname", "agent"], Pace::default())]);
    let mut replay = Replay::new(settings(2_000), rules, Arc::new(baselines), policy);
    let mut fired = None;
    for (at, line) in world.lines.iter().enumerate() {
        replay.record(line.as_bytes());
        // An odd size: hours and batches must not fall together.
        let last = at + 1 == world.lines.len();
        if at % 1_499 != 0 && !last {
            continue;
        }
        let effects = replay.take_effects();
        let messages = replay.take_messages();
        let now = replay.now().unwrap_or(Timestamp::MIN);
        fired = fired.or_else(|| effects.iter().find_map(|(_, effect)| firing(effect)));
        let acts = if last { people(fired.unwrap(), now) } else { Vec::new() };
        let gap = GapRow { partition: Partition(0), from: Offset(10), to: Offset(17), reason: "retention".to_owned() };
        let (engine, router) = replay.parts();
        ledger
            .commit(Commit {
                engines: vec![(engine, None)],
                effects: &effects,
                payload: &Lines(&world.lines),
                messages: &messages,
                router: router.as_ref(),
                acts: &acts,
                gaps: if last { std::slice::from_ref(&gap) } else { &[] },
                ..Commit::at(now)
            })
            .unwrap();
        world.points.extend(effects.iter().filter_map(|(_, effect)| plotted(effect)));
        world.messages.extend(messages.into_iter().map(|message| (message, now)));
    }
    world.findings = replay.findings().cloned().collect();
    world.judged = fired;
}

fn plotted(effect: &Effect) -> Option<Plotted> {
    let Effect::Drawn { stream, point } = effect else { return None };
    Some(Plotted {
        stream: i64::from(*stream),
        chart: point.chart.to_string(),
        measure: point.measure.to_string(),
        method: point.method.clone(),
        at_ms: point.at.as_millis(),
        statistic: point.statistic,
        limit: point.limit,
    })
}

/// The first message needs a second attempt, the second one is given up, the last stays, the others arrive.
fn deliver(ledger: &mut Ledger) -> Vec<String> {
    let now = ARRIVED.minus(Span::MINUTE);
    let mut arrived = Vec::new();
    let (class, detail) = ("timeout".to_owned(), "no answer within 10 s".to_owned());
    let pending = ledger.outbox_counts().unwrap()["ops"].0;
    for at in 0..pending - 1 {
        let id = ledger.due("ops", now, 1).unwrap()[0].message.id.to_string();
        if at == 0 {
            let retry = Outcome::Retry { at: now, class: class.clone(), detail: detail.clone() };
            ledger.settle(&id, &retry, now).unwrap();
        }
        let dead = Outcome::Dead { class: class.clone(), detail: detail.clone() };
        ledger.settle(&id, if at == 1 { &dead } else { &Outcome::Delivered }, ARRIVED).unwrap();
        arrived.extend((at != 1).then_some(id));
    }
    arrived
}

/// What happened in one hour of one stream, counted from the lines alone.
#[derive(Default)]
pub(super) struct Hour {
    pub(super) outputs: i64,
    pub(super) labelled: i64,
    pub(super) correct: i64,
    pub(super) latencies: Vec<f64>,
    pub(super) cost: f64,
    pub(super) escalated: i64,
}

pub(super) type StreamName = (String, Option<String>);

/// Counts the lines of the agents whose records are all well formed.
pub(super) fn truth(lines: &[String]) -> BTreeMap<(StreamName, i64), Hour> {
    let mut hours: BTreeMap<(StreamName, i64), Hour> = BTreeMap::new();
    let mut known: BTreeMap<(String, String), (StreamName, i64)> = BTreeMap::new();
    for event in lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let sound = |agent: &&str| ["invoice-triage", "address-matching"].contains(agent);
        let Some(agent) = event["agent"].as_str().filter(sound) else { continue };
        let key = (agent.to_owned(), event["event_id"].as_str().unwrap().to_owned());
        if event["type"] == "output" {
            let at: jiff::Timestamp = event["ts"].as_str().unwrap().parse().unwrap();
            let name = (agent.to_owned(), event["task"].as_str().map(str::to_owned));
            let place = (name, at.as_millisecond() / 3_600_000 * 3_600_000);
            let hour = hours.entry(place.clone()).or_default();
            hour.outputs += 1;
            hour.latencies.extend(event["latency_ms"].as_f64());
            hour.cost += event["cost_usd"].as_f64().unwrap_or(0.0);
            hour.escalated += i64::from(event["escalated"] == true);
            known.insert(key.clone(), place);
        }
        if let Some(correct) = event["correct"].as_bool() {
            let hour = hours.get_mut(&known[&key]).unwrap();
            hour.labelled += 1;
            hour.correct += i64::from(correct);
        }
    }
    hours
}

/// One output of the agents whose records are all well formed, with what feedback said of it.
pub(super) struct Output {
    pub(super) name: StreamName,
    pub(super) at_ms: i64,
    pub(super) version: Option<String>,
    pub(super) ok: bool,
    /// Neither an error nor a timeout.
    pub(super) available: bool,
    pub(super) confidence: Option<f64>,
    pub(super) escalated: Option<bool>,
    pub(super) latency: Option<f64>,
    pub(super) cost: Option<f64>,
    /// When somebody said whether it was right, and whether it was.
    pub(super) verdict: Option<(i64, bool)>,
}

pub(super) fn outputs(lines: &[String]) -> Vec<Output> {
    let millis = |event: &Value| event["ts"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let mut outputs: Vec<Output> = Vec::new();
    let mut places: BTreeMap<(String, String), usize> = BTreeMap::new();
    for event in lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let sound = |agent: &&str| ["invoice-triage", "address-matching"].contains(agent);
        let Some(agent) = event["agent"].as_str().filter(sound) else { continue };
        let key = (agent.to_owned(), event["event_id"].as_str().unwrap().to_owned());
        if event["type"] == "output" {
            places.insert(key.clone(), outputs.len());
            outputs.push(Output {
                name: (agent.to_owned(), event["task"].as_str().map(str::to_owned)),
                at_ms: millis(&event),
                version: event["version"].as_str().map(str::to_owned),
                ok: event["status"] == "ok",
                available: event["status"] != "error" && event["status"] != "timeout",
                confidence: event["confidence"].as_f64(),
                escalated: event["escalated"].as_bool(),
                cost: event["cost_usd"].as_f64(),
                latency: event["latency_ms"].as_f64(),
                verdict: None,
            });
        }
        if let Some(correct) = event["correct"].as_bool() {
            outputs[places[&key]].verdict = Some((millis(&event), correct));
        }
    }
    outputs
}

/// Wilson's 95 % interval.
pub(super) fn wilson(k: i64, n: i64) -> (f64, f64) {
    let z = 1.959_963_984_540_054_f64;
    let (n, p) = (n as f64, k as f64 / n as f64);
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// The value that a share `q` of all values does not exceed.
pub(super) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted[rank.max(1) - 1]
}

pub(crate) fn db() -> Connection {
    open_read_only(&world().path).unwrap()
}

/// Rows of a statement, as JSON.
pub(crate) fn rows(db: &Connection, sql: &str) -> Vec<Value> {
    use rusqlite::types::ValueRef;
    let mut statement = db.prepare(sql).unwrap_or_else(|error| panic!("{error}\n{sql}"));
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Value> {
        let mut object = serde_json::Map::new();
        for (at, name) in names.iter().enumerate() {
            let value = match row.get_ref(at)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(n) => n.into(),
                ValueRef::Real(x) => x.into(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                ValueRef::Blob(bytes) => bytes.len().into(),
            };
            object.insert(name.clone(), value);
        }
        Ok(object.into())
    };
    let rows = statement.query_map([], read).and_then(Iterator::collect);
    rows.unwrap_or_else(|error| panic!("{error}\n{sql}"))
}

pub(super) fn name_of(row: &Value) -> StreamName {
    (row["agent"].as_str().unwrap().to_owned(), row["task"].as_str().map(str::to_owned))
}

//! What analysts read: the views, their documentation, and the answers they give against numbers counted independently.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
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
use shewhart::engine::route::{Pace, Policy, Route, Silence};
use shewhart::engine::rule::{RuleSet, Source, compile};
use shewhart::engine::units::{Offset, Partition, Span, Timestamp};
use shewhart::engine::{Effect, Engine, Settings};
use shewhart::replay::{Finding, Replay};
use shewhart::simulate::{Generator, Scenario};

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

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema.md");

/// A database as a daemon leaves it, and what went into it.
pub(crate) struct World {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) lines: Vec<String>,
    findings: Vec<Finding>,
    /// Changes of state in all messages together.
    told: usize,
    messages: usize,
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
    let lines: Vec<String> = Generator::new(&scenario, 5).map(|event| event.json).collect();
    let mut ledger =
        Ledger::open_file(&path, &Identity { topic: "events".to_owned(), group_by: "agent,task".to_owned() }).unwrap();
    let baselines = promote(&path, &lines);
    let rules = shipped_rules();
    note_rules(&mut ledger, &rules);
    let mut world = World { _folder: folder, path, lines, findings: Vec::new(), told: 0, messages: 0 };
    play(&mut ledger, &mut world, rules, baselines);
    deliver(&mut ledger);
    ask(&world.path);
    world
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
            Some((stream.key.clone(), LearntStream { labels: stream.labels.clone(), profile: stream.learnt_so_far()? }))
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

fn shipped_rules() -> Arc<RuleSet> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    paths.sort();
    let read =
        |path: &PathBuf| Source { name: path.display().to_string(), text: std::fs::read_to_string(path).unwrap() };
    let sources: Vec<Source> = paths.iter().map(read).collect();
    Arc::new(compile(&sources).rules.expect("the shipped rules compile"))
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
        world.messages += messages.len();
        world.told += messages.iter().map(|message| message.crossings.len()).sum::<usize>();
    }
    world.findings = replay.findings().cloned().collect();
}

/// The first message needs a second attempt, the second one is given up, the last stays, the others arrive.
fn deliver(ledger: &mut Ledger) {
    let now = Timestamp::from_millis(1_768_300_000_000);
    let (class, detail) = ("timeout".to_owned(), "no answer within 10 s".to_owned());
    let pending = ledger.outbox_counts().unwrap()["ops"].0;
    for at in 0..pending - 1 {
        let id = ledger.due("ops", now, 1).unwrap()[0].message.id.to_string();
        if at == 0 {
            let retry = Outcome::Retry { at: now, class: class.clone(), detail: detail.clone() };
            ledger.settle(&id, &retry, now).unwrap();
        }
        let dead = Outcome::Dead { class: class.clone(), detail: detail.clone() };
        ledger.settle(&id, if at == 1 { &dead } else { &Outcome::Delivered }, now.plus(Span::MINUTE)).unwrap();
    }
}

/// What happened in one hour of one stream, counted from the lines alone.
#[derive(Default)]
struct Hour {
    outputs: i64,
    labelled: i64,
    correct: i64,
    latencies: Vec<f64>,
    cost: f64,
    escalated: i64,
}

type StreamName = (String, Option<String>);

/// Counts the lines of the agents whose records are all well formed.
fn truth(lines: &[String]) -> BTreeMap<(StreamName, i64), Hour> {
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

fn name_of(row: &Value) -> StreamName {
    (row["agent"].as_str().unwrap().to_owned(), row["task"].as_str().map(str::to_owned))
}

/// The questions of the document: number, statement.
fn questions() -> BTreeMap<u32, String> {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let mut questions = BTreeMap::new();
    for part in text.split("\n### ").skip(1) {
        let Some((number, rest)) = part.split_once(". ") else { continue };
        let Ok(number) = number.parse() else { continue };
        let sql: Vec<&str> = rest.split("```sql\n").skip(1).filter_map(|s| s.split("```").next()).collect();
        assert_eq!(sql.len(), 1, "question {number} is answered by one statement");
        questions.insert(number, sql[0].to_owned());
    }
    questions
}

#[test]
fn every_question_of_the_document_is_answered() {
    let mut db = db();
    shewhart::edge::ledger::query::only_read(&mut db).unwrap();
    let questions = questions();
    assert!(questions.len() >= 10, "{}", questions.len());
    for (number, sql) in questions {
        let found = rows(&db, &sql).len();
        assert!(found > 0 || sql.contains("-- may be empty"), "question {number} found nothing:\n{sql}");
    }
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let blocks = text.matches("```sql\n").count();
    assert_eq!(blocks, self::questions().len(), "a statement outside of the questions is not tried by this test");
}

#[test]
fn the_document_describes_exactly_the_views_there_are() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let mut documented: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for part in text.split("\n### `").skip(1) {
        let (name, rest) = part.split_once('`').unwrap();
        let body = rest.split("\n## ").next().unwrap();
        let columns = body.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned()));
        documented.insert(name.to_owned(), columns.collect());
        assert!(body.trim_start().starts_with(|c: char| c.is_ascii_uppercase()), "{name} has no sentence");
    }
    let db = db();
    let there: BTreeMap<String, Vec<String>> = rows(&db, "SELECT name FROM sqlite_master WHERE type = 'view'")
        .iter()
        .map(|view| {
            let name = view["name"].as_str().unwrap();
            let mut columns = db.prepare("SELECT name FROM pragma_table_xinfo(?1)").unwrap();
            let columns = columns.query_map([name], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            (name.to_owned(), columns)
        })
        .collect();
    assert_eq!(documented, there);
    for view in there.keys() {
        let comment = format!("\nCREATE VIEW {view} AS");
        let schema = shewhart::edge::ledger::schema();
        let before = schema.split(&comment).next().unwrap();
        assert!(before.lines().last().unwrap().starts_with("--"), "{view} has no comment");
    }
}

#[test]
fn every_view_has_rows() {
    let db = db();
    for view in rows(&db, "SELECT name FROM sqlite_master WHERE type = 'view'") {
        let view = view["name"].as_str().unwrap();
        assert!(!rows(&db, &format!("SELECT * FROM {view} LIMIT 1")).is_empty(), "{view}");
    }
}

#[test]
fn hours_equal_what_the_lines_say() {
    let truth = truth(&world().lines);
    let db = db();
    let counted: BTreeMap<(StreamName, i64), [i64; 4]> = rows(
        &db,
        "SELECT agent, task, hour_ms, outputs, labelled, correct, escalated FROM v_hours WHERE agent <> 'intake'",
    )
    .iter()
    .map(|row| {
        let of = |name: &str| row[name].as_i64().unwrap();
        ((name_of(row), of("hour_ms")), ["outputs", "labelled", "correct", "escalated"].map(of))
    })
    .collect();
    let expected: BTreeMap<(StreamName, i64), [i64; 4]> =
        truth.iter().map(|(place, h)| (place.clone(), [h.outputs, h.labelled, h.correct, h.escalated])).collect();
    assert_eq!(counted, expected);
    let complete = rows(&db, "SELECT complete FROM v_hours");
    assert!(complete.iter().any(|row| row["complete"] == 0) && complete.iter().any(|row| row["complete"] == 1));
}

#[test]
fn accuracy_latency_and_cost_equal_what_the_lines_say() {
    let truth = truth(&world().lines);
    let db = db();
    let z = 1.959_963_984_540_054_f64;
    for row in rows(&db, "SELECT * FROM v_accuracy WHERE agent <> 'intake'") {
        let hour = &truth[&(name_of(&row), row["hour_ms"].as_i64().unwrap())];
        let (n, p) = (hour.labelled as f64, hour.correct as f64 / hour.labelled as f64);
        let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        for (name, expected) in [("accuracy", p), ("accuracy_low", centre - half), ("accuracy_high", centre + half)] {
            assert!((row[name].as_f64().unwrap() - expected).abs() < 1e-12, "{name}: {row}");
        }
    }
    for row in rows(&db, "SELECT * FROM v_latency WHERE agent <> 'intake' AND complete") {
        let mut latencies = truth[&(name_of(&row), row["hour_ms"].as_i64().unwrap())].latencies.clone();
        latencies.sort_by(f64::total_cmp);
        for (name, q) in [("latency_p50_ms", 0.5), ("latency_p95_ms", 0.95), ("latency_p99_ms", 0.99)] {
            let rank = (q * latencies.len() as f64).ceil() as usize;
            let exact = latencies[rank.max(1) - 1];
            assert!((row[name].as_f64().unwrap() / exact - 1.0).abs() < 0.001, "{name}: {exact} {row}");
        }
    }
    let cost: f64 = truth.values().map(|hour| hour.cost).sum();
    let counted = rows(&db, "SELECT sum(cost_usd) AS usd FROM v_cost WHERE agent <> 'intake'");
    assert!((counted[0]["usd"].as_f64().unwrap() / cost - 1.0).abs() < 1e-9);
}

#[test]
fn the_answers_about_streams_and_days_are_right() {
    let truth = truth(&world().lines);
    let (db, questions) = (db(), questions());
    let mut streams: BTreeMap<StreamName, [i64; 3]> = BTreeMap::new();
    let mut days: BTreeMap<(StreamName, i64), [i64; 2]> = BTreeMap::new();
    for ((name, hour_ms), hour) in &truth {
        let stream = streams.entry(name.clone()).or_default();
        let day = days.entry((name.clone(), hour_ms / 86_400_000)).or_default();
        for (sum, n) in stream.iter_mut().zip([hour.outputs, hour.labelled, hour.correct]) {
            *sum += n;
        }
        for (sum, n) in day.iter_mut().zip([hour.labelled, hour.correct]) {
            *sum += n;
        }
    }
    let found = rows(&db, &questions[&3]);
    assert_eq!(found.len(), 4);
    for row in found.iter().filter(|row| row["agent"] != "intake") {
        let [outputs, labelled, correct] = streams[&name_of(row)];
        assert_eq!((row["outputs"].as_i64(), row["labelled"].as_i64()), (Some(outputs), Some(labelled)));
        assert_eq!(row["accuracy"].as_f64(), Some(correct as f64 / labelled as f64));
        let kind = if row["agent"] == "address-matching" { "promoted" } else { "provisional" };
        assert_eq!(row["baseline_kind"], kind);
    }
    let accuracy = rows(&db, &questions[&4]);
    assert_eq!(accuracy.len(), days.values().filter(|[labelled, _]| *labelled > 0).count());
    for row in &accuracy {
        let day = format!("{}T00:00:00Z", row["day"].as_str().unwrap());
        let at = day.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let [labelled, correct] = days[&(name_of(row), at / 86_400_000)];
        assert_eq!((row["labelled"].as_i64(), row["correct"].as_i64()), (Some(labelled), Some(correct)), "{row}");
    }
    let versions: BTreeSet<String> =
        rows(&db, &questions[&5]).iter().map(|row| format!("{} {}", row["agent"], row["version"])).collect();
    assert!(versions.contains("\"invoice-triage\" \"2026-01-09\""), "{versions:?}");
}

#[test]
fn the_answers_about_alerts_and_messages_are_right() {
    let (db, questions, world) = (db(), questions(), world());
    assert!(world.findings.iter().any(|f| f.alert.starts_with("Accuracy")), "the planted fall was found");
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let expected: BTreeSet<_> = world
        .findings
        .iter()
        .map(|f| {
            let changed = f.changed_at.as_deref().map(at).unwrap();
            (f.id.clone(), at(&f.at), f.resolved_at.as_deref().map(at), changed, Some(f.labels))
        })
        .collect();
    let fired = rows(&db, "SELECT * FROM v_alerts WHERE fired_at IS NOT NULL");
    let counted: BTreeSet<_> = fired
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            let time = |name: &str| row[name].as_str().map(at);
            let changed = time("changed_at").unwrap();
            (text("alert_id"), time("fired_at").unwrap(), time("ended_at"), changed, row["labelled"].as_u64())
        })
        .collect();
    assert_eq!(counted, expected);
    assert_eq!(rows(&db, &questions[&1]).len(), expected.len(), "all of it happened in the last week");
    assert!(fired.iter().all(|row| row["stream_id"].is_i64()), "every alert knows its stream");

    let notices = rows(&db, &questions[&6]);
    assert_eq!(notices.len(), world.told);
    let states: BTreeSet<&str> = notices.iter().map(|row| row["delivery_state"].as_str().unwrap()).collect();
    assert_eq!(states, BTreeSet::from(["dead", "delivered", "pending"]));
    let failed: Vec<Value> = rows(&db, &questions[&7]);
    let outcomes: Vec<&str> = failed.iter().map(|row| row["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["retry", "dead"]);
    let all = rows(&db, "SELECT count(DISTINCT message_id) AS n FROM v_notices");
    assert_eq!(all[0]["n"].as_u64(), Some(world.messages as u64));
}

#[test]
fn a_span_of_time_is_searched_and_not_scanned() {
    let plan = |sql: &str| -> Vec<String> {
        let explained = rows(&db(), &format!("EXPLAIN QUERY PLAN {sql}"));
        explained.iter().map(|row| row["detail"].as_str().unwrap().to_owned()).collect()
    };
    for view in ["v_hours", "v_accuracy", "v_confidence", "v_escalation", "v_latency", "v_cost", "v_errors"] {
        let plan = plan(&format!("SELECT * FROM {view} WHERE hour_ms >= 1767600000000"));
        let has = |words: &str| plan.iter().any(|line| line.contains(words));
        assert!(has("SEARCH h USING PRIMARY KEY (start_ms>?)"), "{view}: {plan:#?}");
        assert!(has("SEARCH m USING PRIMARY KEY (start_ms=? AND stream_id=?)"), "{view}: {plan:#?}");
        assert!(
            !has("SCAN m")
                && !plan.iter().any(|line| line == "SCAN b" || line.starts_with("SCAN b "))
                && !has("SEARCH b USING PRIMARY KEY"),
            "{view}: {plan:#?}"
        );
    }
    let open = plan("SELECT * FROM v_open_alerts").join("\n");
    assert!(open.contains("alerts_open") && open.contains("streams_by_agent (agent=? AND task=?)"), "{open}");
}

fn shewhart(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shewhart")).args(args).output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_console_says_what_the_views_say() {
    let (db, path) = (db(), world().path.display().to_string());
    let status: Value = serde_json::from_str(&printed(&shewhart(&["status", "--db", &path, "-o", "json"]))).unwrap();
    let counted = rows(
        &db,
        "SELECT count(*) AS all_of_them, count(*) FILTER (WHERE state = 'learning') AS learning,
           count(*) FILTER (WHERE state = 'in control') AS in_control,
           count(*) FILTER (WHERE state = 'out of control') AS out_of_control FROM v_streams",
    );
    assert_eq!(status["streams"]["all"], counted[0]["all_of_them"]);
    for state in ["learning", "in_control", "out_of_control"] {
        assert_eq!(status["streams"][state], counted[0][state], "{state}");
    }
    assert_eq!(status["held"], false);
    assert_eq!(status["outbox"], serde_json::json!({"pending": 1, "dead": 1}));
    assert_eq!((&status["rules"]["refused_since"], &status["baseline"]), (&1.into(), &"validation@1".into()));
    assert_eq!(status["partitions"][0]["next_offset"].as_u64(), Some(world().lines.len() as u64));
    let text = printed(&shewhart(&["status", "--db", &path]));
    assert!(text.contains("rules") && text.contains("REFUSED"), "{text}");

    let alerts: Value = serde_json::from_str(&printed(&shewhart(&["alerts", "--db", &path, "-o", "json"]))).unwrap();
    let expected = rows(&db, "SELECT alert_id FROM v_alerts ORDER BY started_at_ms DESC, alert_id");
    let ids = |list: &[Value]| list.iter().map(|row| row["alert_id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(alerts.as_array().unwrap()), ids(&expected));
    assert_eq!(printed(&shewhart(&["alerts", "--db", &path])).lines().count(), expected.len() + 1);

    assert_eq!(shewhart(&["status", "--db", "/no/such/file.db"]).status.code(), Some(1));
    let csv = printed(&shewhart(&["db", "query", &path, "SELECT agent, state FROM v_streams ORDER BY 1", "-o", "csv"]));
    assert!(csv.starts_with("agent,state\r\n") && csv.lines().count() == 5, "{csv}");
    assert_eq!(shewhart(&["db", "query", &path, "DELETE FROM alerts"]).status.code(), Some(1));
    assert!(printed(&shewhart(&["db", "check", &path])).contains("whole"));
}

/// A health check by the container asks the daemon itself: a database that can be read does not make it healthy.
#[test]
fn a_daemon_that_does_not_answer_is_not_healthy() {
    use std::io::{Read as _, Write as _};
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("shewhart.yaml");
    std::fs::copy(&world().path, folder.path().join("shewhart.db")).unwrap();
    let socket = folder.path().join("shewhart.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let data = folder.path().display().to_string();
    let text = format!(
        "kafka: {{ brokers: \"127.0.0.1:1\", topic: events, group: g }}\ndata_dir: {data}\nrules: [rules]\nhttp: {{ listen: off }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let serve = |answers: Vec<&'static str>| {
        let listener = listener.try_clone().unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut client, _) = listener.accept().unwrap();
                let mut head = [0; 512];
                assert!(client.read(&mut head).unwrap() > 0);
                write!(client, "HTTP/1.1 {answer}\r\nContent-Type: text/plain\r\n\r\nwords\n").unwrap();
            }
        })
    };
    for (answers, code) in [
        (vec!["200 OK", "200 OK"], 0),
        (vec!["200 OK", "503 Service Unavailable"], 0),
        (vec!["503 Service Unavailable", "503 Service Unavailable"], 69),
    ] {
        let served = serve(answers.clone());
        let output = shewhart(&["status", "-c", &config]);
        assert_eq!(output.status.code(), Some(code), "{answers:?} {}", String::from_utf8_lossy(&output.stderr));
        served.join().unwrap();
    }
    drop(listener);
    assert_eq!(shewhart(&["status", "-c", &config]).status.code(), Some(69));
}

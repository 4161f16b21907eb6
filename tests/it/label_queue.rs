//! Asking for verdicts: which outputs are kept for it, which are drawn, what is logged, and that it happens beside a daemon.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::{Value, json};
use shewhart::edge::ledger::{Commit, Identity, Ledger, open_read_only};
use shewhart::engine::rule::RuleSet;
use shewhart::engine::units::{Offset, Partition, Span, Timestamp};
use shewhart::engine::{Effect, Engine, Group, Input, Settings};

use super::fake_http::{FakeHttp, Reply};

const BEGIN: &str = "2026-03-02T00:00:00Z";
/// Outputs a day, days, and the day on which accuracy falls.
const PER_DAY: i64 = 3_000;
const DAYS: i64 = 6;
const FALL: i64 = 5;
/// Lists that are drawn of the same cases.
const LISTS: i64 = 50;

fn shewhart(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shewhart")).args(args).output().unwrap()
}

fn lines(done: &Output) -> Vec<Value> {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout.clone()).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn count(db: &str, what: &str) -> i64 {
    open_read_only(Path::new(db))
        .unwrap()
        .query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0))
        .unwrap()
}

fn begin() -> Timestamp {
    BEGIN.parse().unwrap()
}

/// An agent that is right 19 times in 20, from the fifth day on 3 times in 4, of equal confidence. One output in five is doubtful
/// by its own word. Of the first two days every output has a verdict an hour later, then every fifth has.
fn fallen(folder: &Path) -> (String, BTreeSet<String>) {
    let (events, db) = (folder.join("events.jsonl"), folder.join("q.db").to_str().unwrap().to_owned());
    let mut text: Vec<(Timestamp, String)> = Vec::new();
    let mut labelled = BTreeSet::new();
    for nth in 0..PER_DAY * DAYS {
        let at = begin().plus(Span::from_millis(nth * 86_400_000 / PER_DAY));
        let (day, id) = (nth / PER_DAY, format!("e{nth}"));
        // A multiple of the golden ratio: spread evenly, in no rhythm with anything else here.
        let turn = (nth as f64 * 0.618_033_988_749_895).fract();
        let doubtful = nth % 5 == 2;
        let wrong = match (day < FALL, doubtful) {
            (true, true) => turn < 0.2,
            (true, false) => turn < 0.0125,
            (false, _) => turn < 0.25,
        };
        let confidence = if doubtful { 0.7 } else { 0.98 };
        let output = json!({ "type": "output", "event_id": id, "agent": "clerk", "ts": at.to_string(), "confidence": confidence, "escalated": false });
        text.push((at, output.to_string()));
        if day < 2 || nth % 25 < 5 {
            let later = at.plus(Span::HOUR);
            let verdict = json!({ "type": "feedback", "event_id": id, "agent": "clerk", "ts": later.to_string(), "correct": !wrong });
            text.push((later, verdict.to_string()));
            labelled.insert(id);
        }
    }
    text.sort_by_key(|(at, _)| *at);
    let text: Vec<String> = text.into_iter().map(|(_, line)| line).collect();
    std::fs::write(&events, text.join("\n")).unwrap();
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/rules/accuracy.yaml");
    let done = shewhart(&[
        "replay",
        events.to_str().unwrap(),
        "--rules",
        rules,
        "--group-by",
        "agent",
        "--baseline-first",
        "6000",
        "--db",
        &db,
    ]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    (db, labelled)
}

#[test]
fn cases_of_a_suspicion_are_drawn_by_doubt_with_the_chances_that_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (db, labelled) = fallen(folder.path());
    assert!(count(&db, "v_open_alerts") > 0);

    // Calm: 48 a day, give or take four standard errors; with the alert open all outputs, up to the cap.
    let midnight = |day: i64| begin().plus(Span::DAY.times(day)).as_millis();
    let calm = count(&db, &format!("cases WHERE at_ms < {}", midnight(FALL)));
    assert!(calm.abs_diff(48 * (FALL - 2)) < 48, "{calm}");
    let since_fired = midnight(FALL) + Span::HOUR.times(6).as_millis();
    let kept: Vec<i64> = (PER_DAY * FALL + PER_DAY / 4..PER_DAY * DAYS).collect();
    assert_eq!(count(&db, &format!("cases WHERE at_ms >= {since_fired}")), kept.len() as i64);
    // Verdicts that came are known.
    let judged = kept.iter().filter(|nth| labelled.contains(&format!("e{nth}"))).count();
    assert_eq!(count(&db, &format!("cases WHERE judged_ms IS NOT NULL AND at_ms >= {since_fired}")), judged as i64);

    let ask = |more: &[&str]| {
        shewhart(&[&["label-queue", "--db", &db, "--stream", "clerk", "-n", "40", "--by", "ann"], more].concat())
    };
    let done = ask(&[]);
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    let since: Timestamp = told.split_once("since ").unwrap().1.split_once(',').unwrap().0.parse().unwrap();
    assert!(
        since.since(begin().plus(Span::DAY.times(FALL))).as_millis().abs() < Span::HOUR.times(12).as_millis(),
        "{told}"
    );
    let first = lines(&done);
    assert_eq!(first.len(), 40, "{told}");
    let id = |line: &Value| line["event_id"].as_str().unwrap().to_owned();
    for line in &first {
        let sampled = line["sampled"].as_f64().unwrap();
        assert!(sampled > 0.0 && sampled <= 1.0 && line["agent"] == "clerk", "{line}");
        assert!(
            line["ts"].as_str().unwrap().parse::<Timestamp>().unwrap() >= since && !labelled.contains(&id(line)),
            "{line}"
        );
    }
    // One output in five is doubtful, and more than half of those asked for.
    let doubtful = first.iter().filter(|line| line["confidence"] == 0.7).count();
    assert!(doubtful > 15 && doubtful < 40, "{doubtful}");
    // Who asks again gets others, unless they want the same.
    let second = lines(&ask(&[]));
    let asked: BTreeSet<String> = first.iter().chain(&second).map(id).collect();
    assert_eq!(asked.len(), 80);
    assert_eq!(count(&db, "v_label_requests WHERE asked_by = 'ann' AND judged_at IS NULL AND sampled > 0"), 80);

    // Weighted by the chances told, they stand for the outputs without a verdict there (Horvitz & Thompson 1952).
    let unlabelled = |nth: &i64| !labelled.contains(&format!("e{nth}"));
    let from = since.since(begin()).as_millis() * PER_DAY / 86_400_000;
    let there = (from..PER_DAY * DAYS).filter(unlabelled).count() as f64;
    let weights = |lines: &[Value], of: fn(&Value) -> bool| -> f64 {
        lines.iter().filter(|line| of(line)).map(|line| 1.0 / line["sampled"].as_f64().unwrap()).sum()
    };
    let (mut all, mut unsure) = (0.0, 0.0);
    for _ in 0..LISTS {
        let list = lines(&ask(&["--again"]));
        assert_eq!(list.len(), 40);
        all += weights(&list, |_| true) / there / LISTS as f64;
        unsure += weights(&list, |line| line["confidence"] == 0.7) / there / LISTS as f64;
    }
    // What was kept of the calm stands for it within a few hundredths; drawing adds standard errors of 0.015 and 0.003 (of 200
    // lists: one gives 0.105 and 0.022).
    assert!((all - 1.0).abs() < 0.12, "{all}");
    assert!((unsure - 0.2).abs() < 0.05, "{unsure}");
    assert_eq!(count(&db, "v_label_requests"), 80 + 40 * LISTS);
}

#[test]
fn streams_are_named_as_people_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::new(folder.path());
    let told = |name: &str| {
        let done = shewhart(&["label-queue", "--db", &daemon.db, "--stream", name, "-n", "1", "-o", "text"]);
        (done.status.code(), String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    for name in ["clerk", "agent=clerk", "0"] {
        let (code, text, fault) = told(name);
        assert!(
            code == Some(0) && text.lines().count() == 2 && text.starts_with("agent  event  at"),
            "{name}: {text}{fault}"
        );
    }
    let (code, _, fault) = told("nobody");
    assert!(code == Some(1) && fault.contains("holds no stream `nobody`"), "{fault}");
}

/// A daemon's engine and ledger: an output an hour of the agent `clerk`.
struct Daemon {
    db: String,
    ledger: Ledger,
    engine: Engine,
    offset: i64,
}

impl Daemon {
    /// After 100 outputs of a baseline and 60 more.
    fn new(folder: &Path) -> Self {
        let path = folder.join("shewhart.db");
        let identity = Identity { topic: "t".to_owned(), group_by: "agent".to_owned() };
        let ledger = Ledger::open_file(&path, &identity).unwrap();
        let settings = Settings { group_by: vec![Group::Agent], provisional_outputs: 100, ..Settings::default() };
        let engine = Engine::new(Partition(0), Arc::new(settings), Arc::new(RuleSet::new(Vec::new())), Arc::default());
        let mut daemon = Self { db: path.to_str().unwrap().to_owned(), ledger, engine, offset: 0 };
        let output = |nth: i64| {
            let at = begin().plus(Span::HOUR.times(nth)).to_string();
            json!({ "type": "output", "event_id": format!("e{nth}"), "agent": "clerk", "ts": at, "confidence": 0.8 })
        };
        daemon.take((0..160).map(output));
        daemon
    }

    fn take(&mut self, events: impl Iterator<Item = Value>) {
        let mut effects = Vec::new();
        for event in events {
            let payload = event.to_string();
            self.engine.step(
                Input::Record { offset: Offset(self.offset), appended: None, payload: payload.as_bytes() },
                &mut effects,
            );
            self.offset += 1;
        }
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Rejected { .. })), "{effects:?}");
        let effects: Vec<(Partition, Effect)> = effects.into_iter().map(|effect| (Partition(0), effect)).collect();
        let commit = Commit { engines: vec![(&mut self.engine, None)], effects: &effects, ..Commit::at(begin()) };
        self.ledger.commit(commit).unwrap();
    }

    fn ask(&self, more: &[&str]) -> Output {
        let n = if more.contains(&"-n") { &[][..] } else { &["-n", "10"] };
        shewhart(&[&["label-queue", "--db", &self.db, "--stream", "clerk"], n, more].concat())
    }
}

#[test]
fn requests_are_made_beside_a_daemon_which_marks_what_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::new(folder.path());
    // So few outputs are all kept, those of the baseline apart.
    assert_eq!(count(&daemon.db, "cases WHERE share = 1"), 60);
    let asked = lines(&daemon.ask(&[]));
    let later = begin().plus(Span::HOUR.times(200)).to_string();
    let verdict = |line: &Value| json!({ "type": "feedback", "event_id": line["event_id"], "agent": line["agent"], "ts": later, "correct": true, "sampled": line["sampled"] });
    daemon.take(asked.iter().take(7).map(verdict));
    assert_eq!(
        count(&daemon.db, &format!("v_label_requests WHERE correct AND judged_at = '{}'", later.replace('Z', ".000Z"))),
        7
    );
    assert_eq!(count(&daemon.db, "cases WHERE judged_ms IS NOT NULL"), 7);
    // What is judged is not asked for, not even again.
    let rest: BTreeSet<String> = lines(&daemon.ask(&["--again", "-n", "1000"])).iter().map(Value::to_string).collect();
    assert_eq!(rest.len(), 53);
    let done = daemon.ask(&[]);
    assert!(lines(&done).is_empty() && String::from_utf8_lossy(&done.stderr).contains("no more cases wait"));
}

#[test]
fn a_list_that_is_not_taken_may_be_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::new(folder.path());
    let post = |reply: &str, more: &[&str]| {
        let server = FakeHttp::start(Reply::Head(format!("HTTP/1.1 {reply}")));
        let url = format!("http://{}/queue?key=secret", server.addr());
        let done = daemon.ask(&[&["--webhook", &url], more].concat());
        let requests: Vec<Value> =
            server.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect();
        (done, requests)
    };
    let allowed = ["--allow-http", "--allow-private"];
    for (reply, more, reached) in [
        ("500 No", &allowed[..], 1),
        ("302 Found\r\nLocation: /elsewhere", &allowed, 1),
        ("200 OK", &allowed[..1], 0),
        ("200 OK", &[], 0),
    ] {
        let (done, requests) = post(reply, more);
        let fault = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(
            done.status.code() == Some(1) && fault.contains("was not taken") && !fault.contains("secret"),
            "{fault}"
        );
        assert_eq!((requests.len(), count(&daemon.db, "label_requests")), (reached, 0), "{reply}");
    }
    let (done, requests) = post("200 OK", &allowed);
    let printed = lines(&done);
    assert_eq!((requests.len(), count(&daemon.db, "label_requests")), (1, 10));
    assert_eq!(requests.first(), Some(&Value::Array(printed)));
}

#[test]
fn formats_hold_the_same_and_nothing_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::new(folder.path());
    let at = begin().plus(Span::HOUR.times(170)).to_string();
    let name = "=HYPERLINK(\"http://x\")";
    daemon.take(std::iter::once(
        json!({ "type": "output", "event_id": name, "agent": "clerk", "ts": at, "confidence": 0.8, "escalated": true }),
    ));
    let all: BTreeMap<String, Value> =
        lines(&daemon.ask(&["-n", "1000"])).into_iter().map(|line| (line["event_id"].to_string(), line)).collect();
    assert_eq!(all.len(), 61);
    let csv = String::from_utf8(daemon.ask(&["-n", "1000", "--again", "-o", "csv"]).stdout).unwrap();
    assert_eq!(csv.lines().count(), 62);
    assert!(csv.contains(&format!("clerk,\"'{}\",{at},0.8,true,1,", name.replace('"', "\"\""))), "{csv}");
}

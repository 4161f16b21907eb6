//! The operator's console against a running daemon and against what a stopped one left.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::{Value, json};
use shewhart::edge::clock;
use shewhart::edge::kafka::produce::ProducerSettings;
use shewhart::edge::mock::MockBroker;
use shewhart::engine::units::Span;

use crate::daemon::Place;
use crate::workload::{Feeder, TOPIC, events};

/// What a command printed, and its exit code.
struct Said {
    code: i32,
    out: String,
    err: String,
}

fn shewhart(args: &[&str]) -> Said {
    let done = Command::new(env!("CARGO_BIN_EXE_shewhart")).args(args).output().unwrap();
    Said {
        code: done.status.code().unwrap(),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

fn done(args: &[&str]) -> String {
    let said = shewhart(args);
    assert_eq!(said.code, 0, "{args:?}: {}{}", said.out, said.err);
    said.out
}

fn table(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Records of the workload that happen before so many days.
fn until(day: i64) -> usize {
    let start = "2026-01-05T00:00:00Z".parse::<jiff::Timestamp>().unwrap();
    let end = start + jiff::SignedDuration::from_hours(24 * day);
    // Some records are malformed on purpose.
    let event = |json: &str| serde_json::from_str::<Value>(json).ok();
    let ts = |json: &str| event(json)?.get("ts")?.as_str()?.parse::<jiff::Timestamp>().ok();
    events(7).iter().position(|event| ts(&event.json).is_some_and(|ts| ts > end)).unwrap()
}

const REVIEW: &str = "SELECT count(*) FROM v_alerts WHERE agent = 'review' AND state = 'firing'";
const TOLD: &str = "SELECT count(*) FROM v_notices WHERE agent = 'review'";

#[test]
#[expect(clippy::too_many_lines, reason = "one story, in its order")]
fn alerts_are_taken_on_silenced_and_judged_from_the_command_line() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let feeder = Feeder::start(vec![ProducerSettings::new(broker.bootstrap())], events(7));
    let place = Place::new(broker.bootstrap(), TOPIC);
    let db = place.database().display().to_string();
    let quiet_from = until(8) as u64;
    let mut daemon = place.start();
    feeder.allow(quiet_from as usize);
    place.wait("eight days", &mut daemon, |place| place.committed() >= quiet_from);

    // A silence: made, seen, and what happens under it is not told.
    let add = [
        "silence",
        "add",
        "--db",
        &db,
        "agent=\"review\"",
        "--for",
        "2h",
        "--comment",
        "release 41",
        "--author",
        "ann",
    ];
    let id = done(&add).split(' ').next().unwrap().to_owned();
    assert_eq!(id.len(), 32, "{id}");
    let list = done(&["silence", "list", "--db", &db]);
    assert!(list.contains("active") && list.contains("agent=\"review\"") && list.contains("release 41"), "{list}");
    feeder.allow(until(12));
    place.wait("an alert under the silence", &mut daemon, |place| place.ask(REVIEW).is_some_and(|n| n > 0));
    place.wait("twelve days", &mut daemon, |place| place.committed() >= until(12) as u64);
    assert_eq!(place.ask(TOLD), Some(0), "silenced and told all the same");

    // It outlives a daemon that is killed.
    daemon.kill();
    let mut daemon = place.start();
    place.wait_ready(&mut daemon);
    assert_eq!(place.metric("shewhart_silences"), Some(1.0));

    // Taken on: who and what is known at once, and told to those who were told of the alert.
    let firing = "SELECT min(alert_id) FROM v_alerts WHERE state = 'firing' AND agent <> 'review'";
    let alert = place.list(firing).pop_first().unwrap();
    let said = done(&["ack", "--db", &db, &alert[..12], "--note", "looking at release 41", "--by", "ann"]);
    assert!(said.starts_with(&alert) && said.ends_with(": ann\n"), "{said}");
    let owner = format!("SELECT acknowledged_by FROM v_alerts WHERE alert_id = '{alert}'");
    assert_eq!(place.list(&owner).pop_first().as_deref(), Some("ann"));
    let told = "SELECT count(*) FROM outbox WHERE occasion = 'acknowledged' AND message LIKE '%looking at release 41%'";
    place.wait("the acknowledgement is told", &mut daemon, |place| place.ask(told).is_some_and(|n| n > 0));
    let open = table(&done(&["alerts", "--db", &db, "--open", "-o", "json"]));
    assert!(open.as_array().unwrap().iter().any(|row| row["alert_id"] == alert && row["acknowledged_by"] == "ann"));

    // Faults say what to do, and change nothing.
    for (args, code, word) in [
        (vec!["ack", "--db", &db, "ffffffffffffffff"], 1, "shewhart alerts"),
        (vec!["silence", "add", "--db", &db, "agent=~\".*\"", "--for", "2h", "--comment", "x"], 1, "needs a matcher"),
        (vec!["silence", "add", "--db", &db, "agent", "--for", "2h", "--comment", "x"], 1, "severity=\"critical\""),
        (vec!["silence", "add", "--db", &db, "agent=x", "--for", "2h", "--comment", " "], 1, "says why"),
        (vec!["silence", "add", "--db", &db, "agent=x", "--comment", "x"], 1, "--for 2h"),
        (vec!["silence", "expire", "--db", &db, "abcdef"], 1, "silence list"),
    ] {
        let said = shewhart(&args);
        assert_eq!(said.code, code, "{args:?}: {}{}", said.out, said.err);
        assert!(said.err.contains(word), "{args:?}: {}", said.err);
    }

    // The silence is ended: what happened under it is told, with what still fires.
    done(&["silence", "expire", "--db", &db, &id[..8]]);
    place.wait("what the silence kept quiet is told", &mut daemon, |place| place.ask(TOLD).is_some_and(|n| n > 0));
    assert!(place.list("SELECT occasion FROM v_notices WHERE agent = 'review'").contains("silence_ended"));
    let ended = "SELECT ended_by IS NOT NULL AND fired > 0 AND state = 'expired' FROM v_silences";
    assert_eq!(place.ask(ended), Some(1));

    // Judged: the ledger of each rule's worth.
    feeder.allow(usize::MAX);
    let records = feeder.finish();
    place.wait_for_end(&mut daemon, records);
    for (at, verdict) in ["true", "false", "noise"].iter().enumerate() {
        let nth = format!(
            "SELECT alert_id FROM v_alerts WHERE fired_at_ms IS NOT NULL ORDER BY alert_id LIMIT 1 OFFSET {at}"
        );
        done(&["ack", "--db", &db, &place.list(&nth).pop_first().unwrap(), "--verdict", verdict]);
    }
    assert_eq!(place.ask("SELECT sum(judged) * 10 + sum(judged_true) FROM v_precision"), Some(31));
    let status = done(&["status", "--db", &db]);
    assert!(status.contains("worth telling") && status.contains("1 raised") || status.contains("raised"), "{status}");
    let resolved = "SELECT alert_id FROM v_alerts WHERE state = 'resolved' ORDER BY alert_id LIMIT 1";
    let said = shewhart(&["ack", "--db", &db, &place.list(resolved).pop_first().unwrap()]);
    assert!(said.code == 1 && said.err.contains("--verdict"), "{}", said.err);
    place.stop(daemon);

    // Of a stopped daemon everything can be seen and nothing changed.
    assert_eq!(shewhart(&["ack", "--db", &db, &alert]).code, 69);
    let said = shewhart(&add);
    assert!(said.code == 69 && said.err.contains("is the daemon running"), "{} {}", said.code, said.err);
    assert!(done(&["alerts", "--db", &db]).contains("ann"));
    assert!(done(&["silence", "list", "--db", &db, "--all"]).contains("expired"));
    assert!(done(&["status", "--db", &db]).contains("worth telling"));
}

#[test]
fn over_the_network_only_the_token_may_change_anything_and_everything_is_written_down() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    let rules = place.path().join("rules");
    fs::create_dir(&rules).unwrap();
    let rule = |drop: &str| {
        format!(
            "groups:\n- name: g\n  rules:\n  - alert: A\n    detect: {{ measure: accuracy, drop: {drop} }}\n    \
             labels: {{ severity: info }}\n"
        )
    };
    fs::write(rules.join("a.yaml"), rule("2pp")).unwrap();
    place.rules = format!("[ {} ]", rules.display());
    let mut daemon = place.start();
    place.wait_ready(&mut daemon);
    let silence = json!({ "matchers": ["agent=x"], "comment": "c", "ends_at": "2099-01-01T00:00:00Z" }).to_string();
    let post = |place: &Place, headers: &str| place.request("POST", "/api/v1/silences", headers, &silence).unwrap();
    assert_eq!(post(&place, "").0, 403);
    assert_eq!(place.request("POST", "/-/reload", "", "").unwrap().0, 403);
    let socket = place.data.join("shewhart.sock").metadata().unwrap();
    assert_eq!(socket.permissions().mode() & 0o007, 0, "everybody may use the socket");
    place.stop(daemon);

    // A token that could be guessed is said at the start, and mended without another.
    fs::write(place.path().join("token"), "horse\n").unwrap();
    fs::set_permissions(place.path().join("token"), fs::Permissions::from_mode(0o600)).unwrap();
    place.http_keys = ", token_file: token, reload: true".to_owned();
    let mut daemon = place.start();
    place.wait_ready(&mut daemon);
    assert!(place.log().contains("http.token_file admits nobody: it holds 5 bytes"), "{}", place.log());
    assert_eq!(post(&place, "Authorization: Bearer horse\r\n").0, 403);
    fs::write(place.path().join("token"), "correct horse\n").unwrap();
    assert_eq!(post(&place, "").0, 401);
    assert_eq!(post(&place, "Authorization: Bearer wrong\r\n").0, 401);
    let right = "Authorization: Bearer correct horse\r\n";
    let foreign = format!("{right}Origin: https://evil.example\r\n");
    assert_eq!(post(&place, &foreign).0, 403, "whatever token a page of another site shows");
    let soon = silence.replace("2099-01-01", &soon());
    let (code, body) = place.request("POST", "/api/v1/silences", right, &soon).unwrap();
    assert_eq!(code, 200, "{body}");
    let id = table(&body)["data"]["silenceID"].as_str().unwrap().to_owned();
    assert_eq!(post(&place, right).0, 400, "longer than a year");
    let (_, list) = place.page("/api/v1/silences").unwrap();
    assert_eq!(table(&list)["data"][0]["state"], "active", "{list}");
    assert_eq!(place.list("SELECT made_by FROM v_silences").pop_first().as_deref(), Some("token"));
    assert_eq!(place.request("DELETE", &format!("/api/v1/silences/{id}"), right, "").unwrap().0, 200);
    assert_eq!(place.request("DELETE", &format!("/api/v1/silences/{id}"), right, "").unwrap().0, 400);
    let huge = format!("{{\"comment\":\"{}\"", "x".repeat(100_000));
    assert_eq!(place.request("POST", "/api/v1/silences", right, &huge).unwrap().0, 413);

    // Rules: what changed, when, by whom, taken or refused.
    let (_, shown) = place.page("/api/v1/rules").unwrap();
    let shown = table(&shown);
    let first = &shown["data"]["groups"][0]["rules"][0];
    assert_eq!((first["name"].as_str(), first["state"].as_str()), (Some("A"), Some("inactive")), "{shown}");
    assert_eq!(table(&place.page("/api/v1/alerts").unwrap().1)["data"]["alerts"], json!([]));
    fs::write(rules.join("a.yaml"), rule("3pp")).unwrap();
    let (code, body) = place.request("POST", "/-/reload", right, "").unwrap();
    assert_eq!(code, 200, "{body}");
    fs::write(rules.join("a.yaml"), rule("2")).unwrap();
    let (code, body) = place.request("POST", "/-/reload", right, "").unwrap();
    assert!(code == 400 && body.contains("has no unit"), "{code} {body}");
    let newest = "SELECT origin || ' ' || who || ' ' || accepted || ' ' || (diff LIKE '%-%drop: 2pp%+%drop: 3pp%') FROM v_rule_sets
        WHERE rule_set_id = (SELECT max(rule_set_id) FROM v_rule_sets WHERE accepted)";
    let accepted = place.list(newest).pop_first().unwrap();
    // The watch of the files may have been the first to see them.
    assert!(accepted.starts_with("request token 1 1") || accepted.starts_with("file change "), "{accepted}");
    let refused =
        "SELECT count(*) FROM v_rule_sets WHERE NOT accepted AND diagnostics LIKE '%has no unit%' AND diff <> ''";
    assert!(place.ask(refused).is_some_and(|n| n > 0));
    place.stop(daemon);
}

/// A day some weeks from now.
fn soon() -> String {
    clock::now().plus(Span::DAY.times(30)).to_string().split('T').next().unwrap().to_owned()
}

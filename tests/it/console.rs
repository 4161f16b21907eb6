//! What agents, people and requests write reaches a terminal only as harmless text.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use shewhart::edge::clock;
use shewhart::edge::kafka::produce::{Outgoing, Producer, ProducerSettings};
use shewhart::edge::mock::MockBroker;
use shewhart::engine::units::Span;

use crate::daemon::Place;
use crate::workload::TOPIC;
use crate::world::rules::one_file;

/// A name that clears a screen, sets its title, forges a line of a table and turns the direction of what follows.
const NAME: &str = "a\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\r\nfiring  critical  Forged\u{202e}b\u{8}\u{0}";

/// What a command printed on both streams, which may do nothing to a terminal.
fn harmless(args: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_shewhart")).args(args).output().unwrap();
    let text = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
    // CSV ends its lines with both.
    let text = text.replace("\r\n", "\n");
    let seen = |c: char| c == '\n' || !(c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
    assert!(text.chars().all(seen), "{args:?}: {text:?}");
    assert!(text.lines().all(|line| !line.starts_with("firing  critical")), "{args:?}: {text}");
    text
}

#[test]
fn hostile_names_notes_and_comments_do_nothing_to_a_terminal() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    let rule = "groups: [ { name: g, rules: [ { alert: Silent, detect: { measure: silence, absent: 1h } } ] } ]\n";
    one_file(&mut place, rule);
    fs::write(place.path().join("token"), "correct horse\n").unwrap();
    fs::set_permissions(place.path().join("token"), fs::Permissions::from_mode(0o600)).unwrap();
    place.http_keys = ", token_file: token".to_owned();
    let mut daemon = place.start();
    place.wait_ready(&mut daemon);

    // An agent works for some hours, and is silent for two days while another one is heard.
    let producer = Producer::new(&ProducerSettings::new(broker.bootstrap())).unwrap();
    let begin: jiff::Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
    let send = |agent: &str, minute: i64| {
        let ts = begin + jiff::SignedDuration::from_mins(minute);
        let event = json!({ "event_id": minute.to_string(), "agent": agent, "task": NAME, "ts": ts.to_string() });
        producer.send(&Outgoing::new(TOPIC, "key", event.to_string().as_bytes())).unwrap();
    };
    (0..1_001).for_each(|minute| send(NAME, minute));
    send("other", 4_000);
    producer.flush(Duration::from_secs(30)).unwrap();
    let firing = "SELECT count(*) FROM v_alerts WHERE state = 'firing'";
    place.wait("an alert", &mut daemon, |place| place.ask(firing) == Some(1));

    let db = place.database().display().to_string();
    let alert = place.list("SELECT alert_id FROM v_alerts").pop_first().unwrap();
    let right = "Authorization: Bearer correct horse\r\n";
    let post = |path: &str, body: serde_json::Value| place.request("POST", path, right, &body.to_string()).unwrap();
    let ack = json!({ "alerts": [alert], "owner": NAME, "note": NAME });
    assert_eq!(post("/api/v1/alerts/ack", ack).0, 200);
    let long = format!("{NAME}{}", "because ".repeat(100));
    let ends = clock::now().plus(Span::HOUR).to_string();
    let silence = |matcher: &str| json!({ "matchers": [matcher], "author": NAME, "comment": long, "ends_at": ends });
    let (code, body) = post("/api/v1/silences", silence(r#"agent=~"other\n.*""#));
    assert_eq!(code, 200, "{body}");
    let (code, body) = post("/api/v1/silences", silence(&format!("agent=\"{NAME}\"")));
    assert!(code == 400 && body.contains("cannot be seen"), "{code} {body}");

    // Kept whole, but for what cannot be seen.
    let comment = place.list("SELECT comment FROM v_silences").pop_first().unwrap();
    assert!(comment.ends_with("because ") || comment.ends_with("because"), "{comment}");
    for sql in [
        "SELECT agent FROM v_alerts",
        "SELECT task FROM v_alerts",
        "SELECT note FROM v_acknowledgements",
        "SELECT owner FROM v_acknowledgements",
        "SELECT author FROM v_silences",
        "SELECT comment FROM v_silences",
    ] {
        let text = place.list(sql).pop_first().unwrap();
        assert!(!text.chars().any(char::is_control) && text.contains("a[2J]0;x31m"), "{sql}: {text:?}");
    }

    for (args, rows) in [
        (&["alerts", "--db", &db][..], 2),
        (&["alerts", "--db", &db, "--open"], 2),
        (&["silence", "list", "--db", &db], 2),
        (&["db", "query", &db, "SELECT agent, task FROM v_alerts"], 2),
    ] {
        let text = harmless(args);
        assert!(text.lines().count() == rows, "{args:?}: {text}");
    }
    assert!(harmless(&["status", "--db", &db]).contains("a[2J]0;x31m"));
    for output in ["json", "csv", "markdown"] {
        harmless(&["db", "query", &db, "SELECT * FROM v_alerts", "-o", output]);
    }
    // What a terminal's user writes comes back harmless too.
    harmless(&["ack", "--db", &db, &alert[..8], "--by", &NAME[..NAME.len() - 1], "--note", "x"]);
    let silly = format!("agent=\"{}\"", &NAME[..NAME.len() - 1]);
    harmless(&["silence", "add", "--db", &db, &silly, "--for", "1h", "--comment", "x"]);
    harmless(&["silence", "expire", "--db", &db, "\u{1b}[2J"]);
    harmless(&["ack", "--db", &db, "\u{1b}[2J"]);
    harmless(&["alerts", "--db", "/none/\u{1b}[2J"]);
    place.stop(daemon);
}

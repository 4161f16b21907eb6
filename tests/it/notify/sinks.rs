//! Alertmanager, Slack and PagerDuty by HTTP: what they get, what they may answer, what is kept secret.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use shewhart::edge::notify::{
    AlertmanagerSettings, Attempt, DeliveryError, FailureClass, FailureKind, HttpTimeouts, PagerdutySettings, Receiver,
    deliver, pagerduty, refresh, text,
};
use shewhart::engine::alert::{Crossing, Id, Reason, State};
use shewhart::engine::route::{Message, Note, Occasion, SilenceSummary, Status};
use shewhart::engine::units::Span;

use super::strict::{self, Action, EventSeverity};
use super::{RAISED, attempt, crossing, firing, message, resolved};
use crate::fake_http::{FakeHttp, Reply, Request};

pub(super) const OK: Reply = Reply::Whole("HTTP/1.1 200 OK", "ok");
pub(super) const ACCEPTED: Reply = Reply::Whole("HTTP/1.1 202 Accepted", r#"{"status":"success","dedup_key":"x"}"#);
/// 32 characters, as PagerDuty's keys have.
const KEY: &str = "canarycanarycanarycanarycanary00";

fn secret(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    crate::world::secrets::write_secret(&path, content);
    path.display().to_string()
}

fn patient() -> HttpTimeouts {
    HttpTimeouts { connect: Duration::from_secs(30), total: Duration::from_mins(1) }
}

/// The three receivers of this server, each with its secret in a file of this folder.
pub(super) fn receivers(server: &FakeHttp, folder: &Path) -> [Receiver; 3] {
    let at = format!("http://{}", server.addr());
    let token = secret(folder, "token", "canary-token\n");
    let mut alertmanager: AlertmanagerSettings = serde_json::from_value(
        json!({"url": format!("{at}/am/"), "secret_file": token, "allow_http": true, "allow_private": true}),
    )
    .unwrap();
    alertmanager.timeouts = patient();
    let hook = secret(folder, "hook", &format!("{at}/services/T0/canary\n"));
    let mut slack: shewhart::edge::notify::SlackSettings =
        serde_json::from_value(json!({"url_file": hook, "allow_http": true, "allow_private": true})).unwrap();
    slack.timeouts = patient();
    let mut events = events(server, folder);
    events.timeouts = patient();
    [Receiver::Alertmanager(alertmanager), Receiver::Slack(slack), Receiver::Pagerduty(events)]
}

fn events(server: &FakeHttp, folder: &Path) -> PagerdutySettings {
    serde_json::from_value(json!({
        "routing_key_file": secret(folder, "key", KEY),
        "url": format!("http://{}/v2/enqueue", server.addr()),
        "severities": {"sev1": "critical"},
        "client_url": "https://shewhart.example/",
        "allow_http": true,
        "allow_private": true,
    }))
    .unwrap()
}

/// What a receiver got.
fn got(kind: usize, reply: Reply, message: &Message) -> Vec<Request> {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHttp::start(reply);
    let receiver = receivers(&server, folder.path()).into_iter().nth(kind).unwrap();
    deliver(&receiver, message, attempt()).unwrap();
    server.requests().clone()
}

fn silence() -> SilenceSummary {
    SilenceSummary {
        id: "s-17".to_owned(),
        author: "ana".to_owned(),
        comment: "migration <of> the \"queue\"".to_owned(),
        matchers: vec!["agent=\"invoice-triage\"".to_owned()],
        starts_at: RAISED,
        ends_at: RAISED.plus(Span::DAY.times(3)),
    }
}

/// Every occasion with the notes that it comes with.
fn occasions() -> Vec<Message> {
    let of = |occasion: Occasion, notes: Vec<Note>| Message { occasion, notes, ..firing() };
    let acknowledged = |of| Note::Acknowledged { by: "ana".to_owned(), note: "on it".to_owned(), at: RAISED, of };
    let by_alert = [("AccuracyDegraded".to_owned(), 57)].into();
    let long = of(Occasion::SilenceLong, vec![Note::SilenceLong { silence: silence(), quiet: 4 }]);
    vec![
        firing(),
        resolved(),
        of(Occasion::Repeat, Vec::new()),
        of(Occasion::Acknowledged, vec![acknowledged((1, 1))]),
        of(Occasion::Acknowledged, vec![acknowledged((1, 3))]),
        of(Occasion::Escalated, vec![Note::Escalated { since: RAISED, told: "operations".to_owned() }]),
        of(Occasion::SilenceEnded, vec![Note::SilenceEnded { silence: silence(), fired: 3, resolved: 1, firing: 2 }]),
        of(Occasion::Changed, vec![Note::Digest { firing: 57, resolved: 2, by_alert }]),
        of(Occasion::First, vec![Note::Undelivered { receiver: "pager".to_owned(), class: "client_error".to_owned() }]),
        Message { crossings: Vec::new(), ..long },
    ]
}

#[test]
fn an_alertmanager_gets_its_own_format() {
    let requests = got(0, OK, &firing());
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].line, "POST /am/api/v2/alerts HTTP/1.1");
    assert_eq!(requests[0].header("authorization"), Some("Bearer canary-token"));
    let alerts = strict::alertmanager(&requests[0].body);
    assert_eq!(alerts.len(), 1);
    let labels: Vec<_> = alerts[0].labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(labels, ["agent=invoice-triage", "alertname=AccuracyDegraded", "severity=critical", "team=invoices"]);
    assert_eq!(alerts[0].annotations["alert_id"], firing().crossings[0].alert_id.to_string());
    assert_eq!(strict::millis(&alerts[0].starts_at), RAISED.as_millis());
    let four_minutes = 4 * 60_000;
    assert_eq!(strict::millis(&alerts[0].ends_at), attempt().now.as_millis() + four_minutes);
    let insta = String::from_utf8(requests[0].body.clone()).unwrap();
    insta::assert_snapshot!("alertmanager", insta);

    // The end is in the past, or it would be none; the labels are the same, or it would be another alert.
    let over = resolved();
    let now = RAISED.plus(Span::DAY);
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHttp::start(OK);
    let [receiver, ..] = receivers(&server, folder.path());
    deliver(&receiver, &over, Attempt { fallback: false, now }).unwrap();
    let ended = strict::alertmanager(&server.requests()[0].body);
    assert_eq!(ended[0].labels, alerts[0].labels);
    assert_eq!(strict::millis(&ended[0].ends_at), over.crossings[0].at.as_millis());
    deliver(&receiver, &over, attempt()).unwrap();
    let early = strict::alertmanager(&server.requests()[1].body);
    assert_eq!(strict::millis(&early[0].ends_at), attempt().now.as_millis(), "stream time ahead of the wall's");
}

#[test]
fn without_agents_text_the_streams_stay_apart_and_the_same_over_incidents() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHttp::start(OK);
    let [receiver, ..] = receivers(&server, folder.path());
    let again = Crossing { alert_id: Id(7), ..crossing("canary") };
    let fallback = Attempt { fallback: true, ..attempt() };
    deliver(&receiver, &message(vec![crossing("canary"), crossing("other"), again]), fallback).unwrap();
    let request = server.requests()[0].clone();
    assert!(!String::from_utf8(request.body.clone()).unwrap().contains("canary"));
    let streams: Vec<_> =
        strict::alertmanager(&request.body).into_iter().map(|alert| alert.labels["stream"].clone()).collect();
    assert_ne!(streams[0], streams[1]);
    assert_eq!(streams[0], streams[2]);
}

#[test]
fn a_refresh_tells_any_number_of_alerts_in_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHttp::start(OK);
    let [receiver, ..] = receivers(&server, folder.path());
    let all: Vec<Crossing> = (0..1_201).map(|i| crossing(&format!("agent-{i:04}"))).collect();
    refresh(&receiver, &all, attempt().now).unwrap();
    let chunks: Vec<_> = server.requests().iter().map(|request| strict::alertmanager(&request.body).len()).collect();
    assert_eq!(chunks, [500, 500, 201]);
    assert_eq!(refresh(&receiver, &[], attempt().now), Ok(()));
    assert_eq!(server.requests().len(), 3, "nothing is told of nothing");
}

#[test]
fn a_refresh_that_is_refused_goes_out_once_more_without_agents_text() {
    let folder = tempfile::tempdir().unwrap();
    let refused = Reply::Head("HTTP/1.1 400 X".to_owned());
    let server = FakeHttp::start_script(vec![refused.clone(), OK]);
    let [receiver, ..] = receivers(&server, folder.path());
    assert_eq!(refresh(&receiver, &[crossing("a")], attempt().now), Ok(()));
    let second = strict::alertmanager(&server.requests()[1].body);
    assert!(!second[0].labels.contains_key("agent"));
    let server = FakeHttp::start(refused);
    let [receiver, ..] = receivers(&server, folder.path());
    let error = refresh(&receiver, &[crossing("a")], attempt().now).unwrap_err();
    assert_eq!((error.kind, server.requests().len()), (FailureKind::Permanent, 2));
}

#[test]
fn basic_authentication_is_sent_where_a_user_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHttp::start(OK);
    let password = secret(folder.path(), "password", "canary");
    let settings: AlertmanagerSettings = serde_json::from_value(json!({
        "url": format!("http://{}", server.addr()),
        "username": "shewhart", "password_file": password, "allow_http": true, "allow_private": true,
    }))
    .unwrap();
    deliver(&Receiver::Alertmanager(settings), &firing(), attempt()).unwrap();
    // base64 of shewhart:canary
    assert_eq!(server.requests()[0].header("authorization"), Some("Basic c2hld2hhcnQ6Y2FuYXJ5"));
}

#[test]
fn slack_gets_its_own_format() {
    let requests = got(1, OK, &firing());
    assert_eq!(requests[0].line, "POST /services/T0/canary HTTP/1.1");
    let shown = strict::slack(&requests[0].body);
    assert_eq!(shown.text, text::subject(&firing()));
    assert_eq!(shown.links, ["https://runbooks.example/agents/accuracy"]);
    assert!(shown.sections.iter().any(|section| section.contains("89.1 %")), "{shown:?}");
    assert_ne!(shown.colour, strict::slack(&got(1, OK, &resolved())[0].body).colour);

    let many = message((0..300).map(|i| crossing(&format!("agent-{i}"))).collect());
    let shown = strict::slack(&got(1, OK, &many)[0].body);
    assert_eq!(shown.sections.last().map(String::as_str), Some("and 290 more"), "{:?}", shown.sections.last());
}

#[test]
fn only_slacks_own_yes_is_one() {
    let folder = tempfile::tempdir().unwrap();
    for reply in [
        Reply::Whole("HTTP/1.1 200 OK", "<html>log in</html>"),
        Reply::Whole("HTTP/1.1 200 OK", ""),
        Reply::Whole("HTTP/1.1 202 Accepted", "ok"),
        Reply::Drip(200),
        Reply::Cut(200),
    ] {
        let server = FakeHttp::start(reply.clone());
        let [_, slack, _] = receivers(&server, folder.path());
        let error = deliver(&slack, &firing(), attempt()).expect_err(&format!("{reply:?}"));
        assert!(matches!(error.kind, FailureKind::Retry { .. }), "{reply:?}: {error}");
    }
}

#[test]
fn pagerduty_gets_its_own_format() {
    let requests = got(2, ACCEPTED, &firing());
    assert_eq!(requests[0].line, "POST /v2/enqueue HTTP/1.1");
    let event = strict::pagerduty(&requests[0].body);
    assert_eq!((event.action, event.routing_key.as_str()), (Action::Trigger, KEY));
    assert_eq!(event.links[0].href, "https://runbooks.example/agents/accuracy");
    assert_eq!(event.client_url.as_deref(), Some("https://shewhart.example/"));
    let payload = event.payload.unwrap();
    assert_eq!(payload.summary, text::subject(&firing()));
    assert_eq!(payload.severity, EventSeverity::Critical);
    assert_eq!(payload.component.as_deref(), Some("invoice-triage"));
    assert_eq!(payload.class.as_deref(), Some("accuracy"));
    assert_eq!(strict::millis(&payload.timestamp), RAISED.as_millis());
    assert!(payload.custom_details["alerts"][0]["what"].as_str().unwrap().contains("89.1 %"), "{payload:?}");

    // The end of this incident, although the routes, and with them the group's key, changed meanwhile.
    let over = Message { thread: firing().thread, group_key: "other".to_owned(), ..resolved() };
    let end = strict::pagerduty(&got(2, ACCEPTED, &over)[0].body);
    assert_eq!((end.action, end.dedup_key), (Action::Resolve, event.dedup_key));
    assert_ne!(pagerduty::dedup_key(&resolved()), pagerduty::dedup_key(&firing()));
}

#[test]
fn severities_become_pagerdutys() {
    for (word, expected) in [
        ("critical", EventSeverity::Critical),
        ("page", EventSeverity::Critical),
        ("sev1", EventSeverity::Critical),
        ("warning", EventSeverity::Warning),
        ("info", EventSeverity::Info),
        ("unheard", EventSeverity::Error),
        ("", EventSeverity::Error),
    ] {
        let mut odd = crossing("a");
        odd.labels.insert("severity".to_owned(), word.to_owned());
        let event = strict::pagerduty(&got(2, ACCEPTED, &message(vec![odd]))[0].body);
        assert_eq!(event.payload.unwrap().severity, expected, "{word}");
    }
    // The worst of what fires counts; what is over does not.
    let with = |word: &str, to: State| {
        let mut one = Crossing { to, reason: Reason::Recovered, ..crossing(word) };
        one.labels.insert("severity".to_owned(), word.to_owned());
        one
    };
    let mixed =
        message(vec![with("critical", State::Resolved), with("info", State::Firing), with("warning", State::Firing)]);
    let event = strict::pagerduty(&got(2, ACCEPTED, &mixed)[0].body);
    assert_eq!(event.payload.unwrap().severity, EventSeverity::Warning);
}

#[test]
fn a_long_message_still_fits_into_an_event() {
    let long = |i: usize| {
        let mut one = crossing(&format!("{i} {}", "ü".repeat(9_000)));
        one.annotations.extend((0..40).map(|n| (format!("note{n}"), "\u{1f4a5}".repeat(9_000))));
        one
    };
    let event = strict::pagerduty(&got(2, ACCEPTED, &message((0..900).map(long).collect()))[0].body);
    let details = event.payload.unwrap().custom_details;
    let told = details["alerts"].as_array().unwrap().len();
    assert!(told > 0);
    assert_eq!(details["more_alerts"], json!((900 - told).to_string()));
}

#[test]
fn every_occasion_is_told_in_every_format() {
    let expected = [
        Some(Action::Trigger),
        Some(Action::Resolve),
        Some(Action::Trigger),
        Some(Action::Acknowledge),
        None,
        Some(Action::Trigger),
        Some(Action::Trigger),
        Some(Action::Trigger),
        Some(Action::Trigger),
        None,
    ];
    for (message, action) in occasions().into_iter().zip(expected) {
        let told = format!("{:?} {:?}", message.occasion, message.notes);
        let events = got(2, ACCEPTED, &message);
        assert_eq!(events.first().map(|request| strict::pagerduty(&request.body).action), action, "{told}");

        let posted = got(0, OK, &message);
        assert_eq!(posted.len(), usize::from(!message.crossings.is_empty()), "{told}");
        let alerts: Vec<_> = posted.iter().flat_map(|request| strict::alertmanager(&request.body)).collect();
        assert!(alerts.iter().all(|alert| alert.annotations.contains_key("message_notes") != message.notes.is_empty()));

        let shown = strict::slack(&got(1, OK, &message)[0].body);
        let sections = shown.sections.join("\n");
        let word = match message.notes.first() {
            Some(Note::Acknowledged { .. } | Note::SilenceEnded { .. } | Note::SilenceLong { .. }) => "ana",
            Some(Note::Escalated { .. }) => "operations",
            Some(Note::Digest { .. }) => "57",
            Some(Note::Undelivered { .. }) => "pager",
            None => "",
        };
        assert!(sections.contains(word), "{told}: {sections}");

        for fallback in [false, true] {
            let body = shewhart::edge::notify::payload::body(&message, fallback).unwrap();
            let webhook = strict::webhook(&body);
            assert_eq!(webhook.common_annotations.contains_key("message_notes"), !message.notes.is_empty(), "{told}");
            let shown = String::from_utf8(body).unwrap();
            assert!(!fallback || !["ana", "on it", "migration"].iter().any(|text| shown.contains(text)), "{shown}");
        }
    }
    assert_eq!(Status::Firing, occasions()[4].status);
}

/// What each of the receivers makes of an answer.
fn answered(reply: &Reply) -> Vec<DeliveryError> {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHttp::start(reply.clone());
    let outcomes = receivers(&server, folder.path()).map(|receiver| {
        let error = deliver(&receiver, &firing(), attempt()).expect_err(&format!("{reply:?}"));
        assert!(!error.to_string().contains("canary"), "a secret in {error}");
        error
    });
    outcomes.into()
}

#[test]
fn every_answer_is_understood() {
    for status in [408, 425, 429, 500, 502, 503] {
        for error in answered(&Reply::Head(format!("HTTP/1.1 {status} X"))) {
            assert_eq!(error.kind, FailureKind::Retry { after: None }, "{status}: {error}");
        }
    }
    for status in [301, 307, 400, 401, 403, 404, 410, 413] {
        for error in answered(&Reply::Head(format!("HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:9/"))) {
            assert_eq!(error.kind, FailureKind::Permanent, "{status}: {error}");
        }
    }
    for error in answered(&Reply::Head("HTTP/1.1 429 X\r\nRetry-After: 30".to_owned())) {
        assert_eq!(error.kind, FailureKind::Retry { after: Some(Duration::from_secs(30)) }, "{error}");
        assert_eq!(error.class, FailureClass::RateLimited);
    }
    for error in answered(&Reply::Garbage) {
        assert!(matches!(error.kind, FailureKind::Retry { .. }), "{error}");
    }
    // PagerDuty says 202 and nothing else.
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHttp::start(OK);
    let [.., pagerduty] = receivers(&server, folder.path());
    let error = deliver(&pagerduty, &firing(), attempt()).unwrap_err();
    assert!(matches!(error.kind, FailureKind::Retry { .. }), "{error}");
}

#[test]
fn secrets_are_read_at_each_use_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHttp::start(ACCEPTED);
    let all = receivers(&server, folder.path());
    for receiver in &all {
        assert!(!format!("{receiver:?}").contains("canary"), "{receiver:?}");
        assert_eq!(receiver.validate(), Ok(()));
    }
    let [alertmanager, slack, pagerduty] = all;
    secret(folder.path(), "token", "another");
    secret(folder.path(), "key", &KEY.replace("00", "11"));
    secret(folder.path(), "hook", &format!("http://{}/moved", server.addr()));
    deliver(&alertmanager, &firing(), attempt()).unwrap();
    deliver(&pagerduty, &firing(), attempt()).unwrap();
    deliver(&slack, &firing(), attempt()).unwrap_err();
    let requests = server.requests().clone();
    assert_eq!(requests[0].header("authorization"), Some("Bearer another"));
    assert!(strict::pagerduty(&requests[1].body).routing_key.ends_with("11"));
    assert_eq!(requests[2].line, "POST /moved HTTP/1.1");

    // What is wrong with a secret is people's to mend: the message waits, and nothing of it is told.
    for (name, receiver) in [("token", &alertmanager), ("key", &pagerduty), ("hook", &slack)] {
        let path = folder.path().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = deliver(receiver, &firing(), attempt()).unwrap_err();
        assert!(error.class == FailureClass::AuthError && error.detail.contains("chmod 600"), "{name}: {error}");
        assert!(matches!(error.kind, FailureKind::Retry { .. }), "{name}: {error}");
    }
    for bad in ["http://user:canary@127.0.0.1/x", "canary", "https://canary canary/", "ftp://127.0.0.1/canary"] {
        secret(folder.path(), "hook", bad);
        let error = deliver(&slack, &firing(), attempt()).unwrap_err();
        assert!(matches!(error.kind, FailureKind::Retry { .. }), "{bad}: {error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    secret(folder.path(), "token", "canary\ninjected: x");
    let error = deliver(&alertmanager, &firing(), attempt()).unwrap_err();
    assert!(error.detail.contains("one line") && !error.detail.contains("canary"), "{error}");
    assert_eq!(server.requests().len(), 3, "nothing went out without its secret");
}

#[test]
fn settings_are_judged_before_anything_is_sent() {
    let faults = |value: serde_json::Value| {
        let settings: AlertmanagerSettings = serde_json::from_value(value).unwrap();
        let faults = Receiver::Alertmanager(settings).validate().err().unwrap_or_default();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(faults(json!({"url": "https://alertmanager.example.com/am"})), "");
    for (value, told) in [
        (json!({"url": "http://alertmanager.example.com"}), "allow_http"),
        (json!({"url": "https://127.0.0.1"}), "allow_private"),
        (json!({"url": "https://a.example/?x=y"}), "web address"),
        (json!({"url": "https://a.example/", "username": "x"}), "belong together"),
        (json!({"url": "https://a.example/", "username": "x:y", "password_file": "p"}), "colon"),
        (
            json!({"url": "https://a.example/", "username": "x", "password_file": "p", "secret_file": "s"}),
            "exclude each other",
        ),
    ] {
        let found = faults(value.clone());
        assert!(found.contains(told), "{value}: {found}");
    }
    let pagerduty = |value: serde_json::Value| serde_json::from_value::<PagerdutySettings>(value);
    let usual = pagerduty(json!({"routing_key_file": "k"})).unwrap();
    assert_eq!(usual.url.expose(), "https://events.pagerduty.com/v2/enqueue");
    assert!(pagerduty(json!({"routing_key_file": "k", "severities": {"x": "urgent"}})).is_err());
    assert!(pagerduty(json!({"routing_key": "inline"})).is_err(), "secrets are given by file only");
    let odd = pagerduty(json!({"routing_key_file": "k", "client_url": "javascript:alert(1)"})).unwrap();
    assert!(Receiver::Pagerduty(odd).validate().is_err());
}

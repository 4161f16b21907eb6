//! Web addresses that are slow, that refuse, that lead elsewhere.

use std::fs;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};
use shewhart::edge::clock;
use shewhart::edge::notify::{
    Attempt, DeliveryError, FailureClass, FailureKind, HttpTimeouts, Receiver, Secret, Url, WebhookSettings, address,
    deliver, payload,
};
use shewhart::engine::units::Timestamp;

use super::{attempt, crossing, firing, hostile, message, poisoned, resolved};
use crate::fake_http::{FakeHttp, Reply};
use crate::fake_smtp::Proof;

const RETRY: FailureKind = FailureKind::Retry { after: None };

fn settings(url: &str) -> WebhookSettings {
    WebhookSettings {
        url: Url::new(url),
        secret_file: None,
        allow_http: true,
        allow_private: true,
        ca_file: None,
        timeouts: HttpTimeouts { connect: Duration::from_secs(30), total: Duration::from_mins(1) },
    }
}

fn url(server: &FakeHttp) -> String {
    format!("http://{}/hook/canary?key=canary", server.addr())
}

fn post(settings: &WebhookSettings) -> Result<(), DeliveryError> {
    let outcome = deliver(&Receiver::Webhook(settings.clone()), &firing(), attempt());
    if let Err(e) = &outcome {
        assert!(!e.to_string().contains("canary"), "path or query in {e}");
    }
    outcome
}

fn answered(head: &str) -> Result<(), DeliveryError> {
    let server = FakeHttp::start(Reply::Head(head.to_owned()));
    let outcome = post(&settings(&url(&server)));
    assert_eq!(server.requests().len(), 1, "{head}");
    outcome
}

#[test]
fn the_body_is_alertmanagers() {
    let server = FakeHttp::start(Reply::Head("HTTP/1.1 204 No Content".to_owned()));
    let receiver = Receiver::Webhook(settings(&url(&server)));
    let mut over = resolved().crossings.remove(0);
    over.labels.insert("agent".to_owned(), "other".to_owned());
    over.annotations.remove("summary");
    deliver(&receiver, &message(vec![crossing("invoice-triage"), over]), attempt()).unwrap();
    let request = server.requests()[0].clone();
    assert_eq!(request.line, "POST /hook/canary?key=canary HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    insta::assert_snapshot!("webhook", serde_json::to_string_pretty(&body).unwrap());
}

#[test]
fn the_signature_is_over_id_time_and_body() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let server = FakeHttp::start(Reply::Head("HTTP/1.1 200 OK".to_owned()));
    let signed = WebhookSettings { secret_file: Some(Secret::in_file(&key)), ..settings(&url(&server)) };
    for (secret, mode) in [("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", 0o600), ("a key of our own", 0o400)] {
        drop(fs::remove_file(&key));
        fs::write(&key, secret).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(post(&signed), Ok(()));
        let request = server.requests().pop().unwrap();
        let id = firing().id.to_string();
        assert_eq!((request.header("webhook-id"), request.header("idempotency-key")), (Some(&*id), Some(&*id)));
        let time: i64 = request.header("webhook-timestamp").unwrap().parse().unwrap();
        let now = Timestamp::from_millis(time * 1_000);
        assert_eq!(now, attempt().now);
        let expected = payload::signature(secret.trim_end(), &id, now, &request.body);
        assert_eq!(request.header("webhook-signature"), expected.as_deref());
    }
    for (secret, mode, told) in [("whsec_?", 0o600, "base64"), ("canary", 0o644, "chmod 600")] {
        drop(fs::remove_file(&key));
        fs::write(&key, secret).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let error = post(&signed).unwrap_err();
        assert!(error.class == FailureClass::AuthError && error.detail.contains(told), "{error}");
    }
    assert!(server.requests().is_empty(), "nothing goes out unsigned");
}

#[test]
fn every_status_is_understood() {
    use FailureClass::{AuthError, ClientError, RateLimited, ServerError, Timeout};
    for status in [200, 201, 202, 204, 299] {
        assert_eq!(answered(&format!("HTTP/1.1 {status} X")), Ok(()), "{status}");
    }
    for (status, class) in [
        (408, Timeout),
        (425, ClientError),
        (429, RateLimited),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
        (599, ServerError),
    ] {
        let error = answered(&format!("HTTP/1.1 {status} X")).unwrap_err();
        assert_eq!((error.kind, error.class), (RETRY, class), "{error}");
    }
    for (status, class) in [
        (400, ClientError),
        (401, AuthError),
        (403, AuthError),
        (404, ClientError),
        (410, ClientError),
        (413, ClientError),
        (422, ClientError),
    ] {
        let error = answered(&format!("HTTP/1.1 {status} X")).unwrap_err();
        assert_eq!((error.kind, error.class), (FailureKind::Permanent, class), "{error}");
    }
}

#[test]
fn a_receiver_may_ask_for_a_pause_of_ten_minutes_at_most() {
    for (head, wanted) in [
        ("429 X\r\nRetry-After: 120", Some(120)),
        ("503 X\r\nRetry-After: 86400", Some(600)),
        ("503 X\r\nRetry-After: Thu, 01 Oct 2026 14:07:30 GMT", Some(90)),
        ("429 X\r\nRetry-After: Thu, 01 Oct 2020 14:07:30 GMT", Some(0)),
        ("429 X\r\nRetry-After: 99999999999999999999999", None),
        ("429 X\r\nRetry-After: -5", None),
        ("429 X\r\nRetry-After: soon", None),
        ("500 X\r\nRetry-After: 120", None),
    ] {
        let error = answered(&format!("HTTP/1.1 {head}")).unwrap_err();
        assert_eq!(error.kind, FailureKind::Retry { after: wanted.map(Duration::from_secs) }, "{head}");
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let canary = FakeHttp::start(Reply::Head("HTTP/1.1 200 OK".to_owned()));
    for status in [301, 302, 303, 307, 308] {
        let error = answered(&format!("HTTP/1.1 {status} X\r\nLocation: http://{}/", canary.addr())).unwrap_err();
        assert_eq!(error.kind, FailureKind::Permanent, "{error}");
    }
    assert!(canary.requests().is_empty());
}

#[test]
fn replies_that_waste_time_or_memory_are_left() {
    let cases = [
        (Reply::Endless(200), true),
        (Reply::Endless(500), false),
        (Reply::Drip(200), true),
        (Reply::Drip(404), false),
        (Reply::Cut(200), true),
        (Reply::Cut(503), false),
        (Reply::Silence, false),
        (Reply::DripHead, false),
        (Reply::Garbage, false),
    ];
    std::thread::scope(|scope| {
        for (reply, fine) in cases {
            scope.spawn(move || a_wasteful_reply_is_left(&reply, fine));
        }
    });
}

fn a_wasteful_reply_is_left(reply: &Reply, fine: bool) {
    let server = FakeHttp::start(reply.clone());
    let quick = HttpTimeouts { connect: Duration::from_secs(2), total: Duration::from_secs(2) };
    let start = clock::instant();
    let outcome = post(&WebhookSettings { timeouts: quick, ..settings(&url(&server)) });
    assert_eq!(outcome.is_ok(), fine, "{reply:?}: {outcome:?}");
    // None of these servers ends by itself, and an attempt that is not told how long it may take takes 30 s.
    assert!(start.elapsed() < Duration::from_secs(20), "{reply:?}: {:?}", start.elapsed());
    if let Err(e) = outcome {
        assert!(e.kind == RETRY || matches!(reply, Reply::Drip(404)), "{reply:?}: {e}");
    }
    // What the system's buffers took in is not ours, hence the room.
    assert!(server.sent() < 16 * 1024 * 1024, "{reply:?}: {} bytes", server.sent());
}

#[test]
fn a_certificate_must_be_right() {
    let folder = tempfile::tempdir().unwrap();
    for (proof, trusted, fine) in [
        (Proof::Good, true, true),
        (Proof::Good, false, false),
        (Proof::WrongName, true, false),
        (Proof::Expired, true, false),
    ] {
        let server = FakeHttp::start_tls(Reply::Head("HTTP/1.1 200 OK".to_owned()), proof);
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, &server.certificate).unwrap();
        let https = format!("https://{}/canary", server.addr());
        let outcome = post(&WebhookSettings { ca_file: trusted.then_some(ca), ..settings(&https) });
        match outcome {
            Ok(()) => assert!(fine, "{proof:?}"),
            Err(e) => assert!(!fine && e.class == FailureClass::Tls && e.kind == RETRY, "{proof:?}: {e}"),
        }
    }
}

#[test]
fn a_receiver_that_is_not_there_is_tried_again() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [format!("http://{gone}/canary"), "http://no-such-host.invalid/canary".to_owned()] {
        let error = post(&settings(&url)).unwrap_err();
        assert_eq!((error.kind, error.class), (RETRY, FailureClass::Connect), "{error}");
    }
}

#[test]
fn addresses_that_lead_inside_are_refused() {
    let canary = FakeHttp::start(Reply::Head("HTTP/1.1 200 OK".to_owned()));
    let port = canary.addr().port();
    let hosts = [
        "127.0.0.1",
        "127.1.2.3",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "169.254.0.1",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fc00::1]",
        "[fec0::1]",
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "224.0.0.1",
        "239.255.255.255",
        "[ff02::1]",
        "255.255.255.255",
        "240.0.0.1",
        "198.18.0.1",
        "192.0.0.192",
        "127.0.0.1.",
        "0x7f.0.0.1",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::7f00:1]",
        "[2001::7f00:1]",
    ];
    for host in hosts {
        let strict = WebhookSettings { allow_private: false, ..settings(&format!("http://{host}:{port}/canary")) };
        let error = post(&strict).unwrap_err();
        // The numbers in odd forms mean something only to the name service of some systems.
        assert!(error.class == FailureClass::RefusedAddress || error.class == FailureClass::Connect, "{host}: {error}");
        if host.parse::<IpAddr>().is_ok() || host.starts_with('[') {
            assert_eq!((error.kind, error.class), (FailureKind::Permanent, FailureClass::RefusedAddress), "{host}");
            assert!(strict.validate().is_err(), "{host}: known before anything is sent");
        }
    }
    assert!(canary.requests().is_empty());
}

#[test]
fn addresses_are_read_strictly() {
    let check = |url: &str| address::check(url, address::Policy::default()).map(|_| ()).map_err(|e| e.to_string());
    for url in ["https://hooks.example.com/x", "https://93.184.215.14/", "https://[2606:2800:21f::1]:8443/x?y=z"] {
        assert_eq!(check(url), Ok(()), "{url}");
    }
    for (url, told) in [
        ("http://hooks.example.com/", "allow_http"),
        ("https://user@hooks.example.com/", "user name"),
        ("https://hooks.example.com@169.254.169.254/", "user name"),
        ("https://hooks.example.com:443@169.254.169.254/", "user name"),
        ("https://hooks.example.com\\@169.254.169.254/", "web address"),
        ("https://169.254.169.254%2f.example.com/", "web address"),
        ("https://\u{2460}\u{2461}\u{2466}.0.0.1/", "web address"),
        ("https://[fe80::1%25eth0]/", "web address"),
        ("ftp://hooks.example.com/", "scheme"),
        ("file:///etc/passwd", "web address"),
        ("gopher://127.0.0.1:25/_HELO", "scheme"),
        ("/relative", "web address"),
        ("hooks.example.com", "web address"),
        ("https://", "web address"),
        ("https://hooks.example.com:0/", "web address"),
        ("https://hooks.example.com/\r\nX: y", "web address"),
        ("", "web address"),
    ] {
        let error = check(url).expect_err(url);
        assert!(error.contains(told), "{url}: {error}");
    }
}

#[test]
fn hostile_text_is_read_back_as_text() {
    for text in hostile() {
        for fallback in [false, true] {
            let body = payload::body(&poisoned(&text), fallback).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let alert = &body["alerts"][0];
            assert_eq!(alert["labels"]["severity"], json!("critical"));
            assert_eq!(alert["labels"].as_object().unwrap().len(), if fallback { 4 } else { 5 });
            let shown = body.to_string();
            assert!(shown.len() < 256 * 1024 && !shown.contains(['\r', '\n', '\0', '\u{202e}']));
        }
    }
    let plain = String::from_utf8(payload::body(&poisoned("canary"), true).unwrap()).unwrap();
    assert!(!plain.contains("canary"), "{plain}");
}

#[test]
fn a_fallback_is_another_message_to_those_who_remember_keys() {
    let server = FakeHttp::start(Reply::Head("HTTP/1.1 200 OK".to_owned()));
    let receiver = Receiver::Webhook(settings(&url(&server)));
    deliver(&receiver, &firing(), Attempt { fallback: true, ..attempt() }).unwrap();
    deliver(&receiver, &firing(), attempt()).unwrap();
    let requests = server.requests();
    assert_ne!(requests[0].header("idempotency-key"), requests[1].header("idempotency-key"));
}

//! Text of agents, as it came or as an old database may hold it, through every sink: each answers, and each answer is whole
//! in its format.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use shewhart::edge::notify::{Attempt, MailSettings, html, pagerduty, payload, render_eml, render_fallback_eml, slack, text};
use shewhart::edge::telemetry::{Exposition, OpenAlert, Snapshot, metrics};
use shewhart::engine::route::Message;
use shewhart::engine::units::Timestamp;

/// A message in JSON. Where it says `TEXT` an agent's words stand.
const TEMPLATE: &str = include_str!("../message.json");

static MAIL: LazyLock<MailSettings> = LazyLock::new(|| MailSettings {
    from: "shewhart <alerts@example.com>".parse().expect("a mailbox"),
    to: "ops@example.com".parse().expect("mailboxes"),
});

fn filled(texts: &[String]) -> Option<Message> {
    let mut texts = texts.iter().cycle();
    let mut parts = TEMPLATE.split("\"TEXT\"");
    let mut json = parts.next()?.to_owned();
    for part in parts {
        json += &Value::from(texts.next()?.as_str()).to_string();
        json += part;
    }
    Some(serde_json::from_str(&json).expect("a message"))
}

/// A mail's head is ASCII in short lines, and none of them begins a header that is not ours.
fn check_mail(mail: &[u8]) {
    const OURS: [&str; 14] = [
        "from", "to", "subject", "date", "message-id", "in-reply-to", "references", "mime-version", "content-type",
        "content-transfer-encoding", "auto-submitted", "precedence", "x-auto-response-suppress", "x-shewhart-alert",
    ];
    assert!(mail.is_ascii(), "a byte that some relay would change");
    let mail = std::str::from_utf8(mail).expect("ASCII");
    assert!(mail.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n', '\0'])));
    let head = mail.split("\r\n\r\n").next().unwrap_or_default();
    for line in head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])) {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        assert!(OURS.contains(&name.as_str()) || name.starts_with("x-shewhart"), "a header of nobody: {line}");
    }
}

/// No tag of a page but those that ours has, whatever the text.
fn check_page(page: &str) {
    for tag in page.split('<').skip(1) {
        let name: String = tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        assert!(
            ["html", "head", "meta", "title", "style", "body", "div", "h1", "h2", "p", "table", "tbody", "tr", "th", "td",
             "a", "img", "span", "br"].contains(&name.as_str()) || tag.starts_with("!DOCTYPE") || tag.starts_with("!doctype"),
            "<{tag}"
        );
    }
}

fuzz_target!(|texts: Vec<String>| {
    let now = Timestamp::from_millis(1_790_863_500_000);
    let Some(message) = filled(&texts) else { return };
    for fallback in [false, true] {
        let body = payload::body(&message, fallback).expect("a body");
        assert!(serde_json::from_slice::<Value>(&body).is_ok());
        let chat = slack::body(&message, Attempt { fallback, now }).to_string();
        for shout in ["<!", "<@", "<#"] {
            assert!(!chat.contains(shout), "{chat}");
        }
    }
    let key = pagerduty::dedup_key(&message);
    assert!(key.len() <= 255 && key.is_ascii());
    let subject = text::subject(&message);
    assert!(subject.chars().count() <= 200 && !subject.chars().any(char::is_control), "{subject:?}");
    assert!(!text::body(&message).contains(['\r', '\0', '\u{1b}']));
    check_page(&html::body(&message));
    check_mail(&render_eml(&message, &MAIL, now).expect("a mail"));
    check_mail(&render_fallback_eml(&message, &MAIL, now).expect("a mail"));
    let one = texts.first().cloned().unwrap_or_default();
    let alert = OpenAlert { alert: one.clone(), severity: one, state: "firing", since: now };
    let usual = metrics(&Snapshot::default(), Exposition::Text).lines().count();
    let page = metrics(&Snapshot { alerts: vec![alert], ..Snapshot::default() }, Exposition::Text);
    assert_eq!(page.lines().count(), usual + 2, "{page}");
});

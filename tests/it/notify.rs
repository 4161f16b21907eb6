//! Messages to receivers over real sockets: what people read, what receivers may do to us, what text may do to mails.

mod alertmanager;
mod corpus;
mod exec;
mod mail;
mod settings;
mod sinks;
pub(crate) mod strict;
mod text;
mod webhook;

use std::collections::BTreeMap;

use shewhart::edge::notify::Attempt;
use shewhart::engine::alert::{Account, Crossing, Id, Reason, State};
use shewhart::engine::route::{Message, Occasion, Status};
use shewhart::engine::rule::{Grade, Measure};
use shewhart::engine::units::{Estimate, Offset, Partition, SampleUnit, Span, Timestamp};

/// 2026-10-01 14:05 UTC, when the example alert was raised.
const RAISED: Timestamp = Timestamp::from_millis(1_790_863_500_000);

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn attempt() -> Attempt {
    Attempt { fallback: false, now: RAISED.plus(Span::MINUTE) }
}

fn account() -> Account {
    Account {
        measure: Measure::Accuracy,
        grade: Grade::Degraded,
        estimate: Some(Estimate { value: 0.8912, low: 0.8788, high: 0.9031 }),
        baseline: Some(Estimate { value: 0.9402, low: 0.9359, high: 0.9443 }),
        baseline_n: 12_400,
        baseline_id: "2026-08".to_owned(),
        provisional: false,
        change: Some(Estimate { value: -0.049, low: -0.0621, high: -0.0364 }),
        changed_at: Some(RAISED.minus(Span::HOUR.times(6))),
        changed_between: Some((RAISED.minus(Span::HOUR.times(9)), RAISED.minus(Span::HOUR.times(4)))),
        samples: 2_480,
        statistic: 5.31,
        limit: 5.07,
        arl0: 19_987.0,
        unit: Some(SampleUnit::Case),
        method: "e-SR mixture".to_owned(),
        outputs: 48_112,
        labels: 12_903,
        version: Some("2.4.1".to_owned()),
        version_before: Some("2.4.0".to_owned()),
        moved: Vec::new(),
    }
}

fn crossing(agent: &str) -> Crossing {
    Crossing {
        alert_id: Id::of(&[b"incident", agent.as_bytes()]),
        id: Id::of(&[b"transition", agent.as_bytes()]),
        transition: 2,
        rule: "invoice-agents/AccuracyDegraded".to_owned(),
        alert: "AccuracyDegraded".to_owned(),
        labels: texts(&[("agent", agent), ("severity", "critical"), ("team", "invoices")]),
        annotations: texts(&[
            ("summary", &format!("{agent}: accuracy 89.1 % against 94.0 %")),
            ("runbook_url", "https://runbooks.example/agents/accuracy"),
            ("rollback", "release 2.4.0; authority: head of accounts payable"),
        ]),
        from: State::Pending,
        to: State::Firing,
        reason: Reason::Signalled,
        at: RAISED,
        started_at: RAISED,
        position: (Partition(3), Offset(48_112)),
        account: Some(account()),
    }
}

fn message(crossings: Vec<Crossing>) -> Message {
    let id = Id::of(&[b"message", &(crossings.len() as u64).to_be_bytes()]);
    let over = crossings.iter().all(|c| c.to == State::Resolved);
    Message {
        id,
        thread: id,
        receiver: "accounts".to_owned(),
        group_key: "{}:{alertname=\"AccuracyDegraded\"}".to_owned(),
        group_labels: texts(&[("alertname", "AccuracyDegraded"), ("team", "invoices")]),
        status: if over { Status::Resolved } else { Status::Firing },
        occasion: Occasion::First,
        crossings,
        notes: Vec::new(),
    }
}

fn firing() -> Message {
    message(vec![crossing("invoice-triage")])
}

fn resolved() -> Message {
    let at = RAISED.plus(Span::HOUR.times(7));
    let better = Account {
        estimate: Some(Estimate { value: 0.9391, low: 0.9288, high: 0.9483 }),
        change: Some(Estimate { value: -0.0011, low: -0.0122, high: 0.0091 }),
        samples: 1_980,
        version_before: None,
        ..account()
    };
    let over = Crossing {
        from: State::Firing,
        to: State::Resolved,
        reason: Reason::Recovered,
        at,
        account: Some(better),
        ..crossing("invoice-triage")
    };
    let thread = Id::of(&[b"first"]);
    Message { thread, occasion: Occasion::Changed, ..message(vec![over]) }
}

/// Agents that try: each of these has broken some mail program, page or terminal.
fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "a\r\nBcc: everyone@example.com\r\n\r\nbody",
        "a\nSubject: fine",
        "nul\0nul",
        "<script>alert(1)</script>",
        "</td></table></textarea><img src=x onerror=alert(1)>",
        "\"><a href=\"javascript:alert(1)\">x</a>",
        "{{7*7}} {% for i in range(9) %}x{% endfor %} ${jndi:ldap://x}",
        "=?utf-8?q?=0D=0ABcc:_x@example.com?=",
        "\u{202e}txt.exe\u{2066}\u{200b}",
        "👩‍👩‍👧‍👦 ✅ Ünïcödé שלום",
        "\u{1b}[2J\u{7}\u{9b}31m",
        "\r\n.\r\nMAIL FROM:<x@example.com>\r\n",
        "'; DROP TABLE alerts; --",
        "../../../etc/passwd",
        "=cmd|'/c calc'!A1",
        "<!channel> <@U123> &amp; &lt;",
        "https://x.example/\"onmouseover=alert(1)",
        "",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push("x".repeat(65_536));
    texts.push("ü ".repeat(32_768));
    texts.push("https://".to_owned() + &"y".repeat(65_536));
    texts
}

/// The example with this text wherever an agent's words can get to.
fn poisoned(text: &str) -> Message {
    let mut crossing = crossing(text);
    crossing.labels.insert("task".to_owned(), text.to_owned());
    crossing.annotations =
        texts(&[("summary", text), ("runbook_url", text), ("description", text), ("rollback", text)]);
    crossing.account = Some(Account {
        measure: Measure::Flag(text.to_owned()),
        version: Some(text.to_owned()),
        version_before: Some(format!("{text}!")),
        baseline_id: text.to_owned(),
        ..account()
    });
    Message { group_key: text.to_owned(), group_labels: texts(&[("agent", text)]), ..message(vec![crossing]) }
}

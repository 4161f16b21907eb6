//! Messages to receivers over real sockets: what people read, what receivers may do to us, what text may do to mails.

pub(crate) mod alertmanager;
pub(crate) mod corpus;
mod exec;
mod mail;
mod settings;
mod sinks;
mod smtp;
pub(crate) mod strict;
mod text;
mod webhook;

use std::collections::BTreeMap;

pub(crate) use corpus::{read_back, strings};
use shewhart::edge::notify::Attempt;
use shewhart::engine::alert::{Account, Crossing, Id, Reason, State};
use shewhart::engine::around::{Around, Aspect, Beside, Course, CoursePoint, How, Kitagawa, Release, Standing};
use shewhart::engine::cause::{Cause, Side, Voice};
use shewhart::engine::route::{Message, Occasion, Status};
use shewhart::engine::rule::{Grade, Measure};
use shewhart::engine::units::{Counts, Estimate, Offset, Partition, SampleUnit, Span, Timestamp};

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
        false_alarms_per_week: 0.2,
        unit: Some(SampleUnit::Case),
        method: "e-SR mixture".to_owned(),
        outputs: 48_112,
        labels: 12_903,
        version: Some("2.4.1".to_owned()),
        version_before: Some("2.4.0".to_owned()),
        moved: Vec::new(),
        around: around(),
    }
}

/// What stands around the example: a release six minutes before the change, one task that carries it, a day by the hour.
fn around() -> Around {
    let beside = |what, level, baseline, z| Beside { what, level, baseline, z };
    let release = |hours: i64, minutes: i64, version: &str| Release {
        at: RAISED.minus(Span::HOUR.times(hours)).minus(Span::MINUTE.times(minutes)),
        version: version.to_owned(),
    };
    let task = |name: &str, hits, n| (name.to_owned(), Counts { hits, n });
    Around {
        outputs: 3_310,
        labels_missing: 830,
        counted_from: Some(RAISED.minus(Span::HOUR.times(6)).floor(Span::HOUR)),
        beside: vec![beside(Aspect::Escalation, 0.181, 0.124, 14.2), beside(Aspect::Latency, 1_840.0, 1_210.0, 9.1)],
        steady: vec![Aspect::Confidence, Aspect::Errors, Aspect::Cost],
        versions: vec![release(24 * 9, 0, "2.3.9"), release(40, 0, "2.4.0"), release(6, 6, "2.4.1")],
        tasks: Kitagawa::of(
            &BTreeMap::from([
                task("invoice", 8_270, 8_680),
                task("refund", 1_730, 1_860),
                task("dunning", 1_658, 1_860),
            ]),
            &BTreeMap::from([task("invoice", 1_580, 1_660), task("refund", 320, 420), task("dunning", 310, 400)]),
        ),
        course: Some(course(RAISED)),
        standing: Some(standing()),
        cause: Some(Cause {
            labels: Voice::Spoke,
            confidence: Voice::Calm,
            calibration: Voice::Spoke,
            side: Some(Side::Short),
            ..Cause::default()
        }),
    }
}

/// Three outputs in four have a verdict, and confidences help.
fn standing() -> Standing {
    Standing {
        outputs: 3_310,
        labelled: 2_480,
        usual: Some(0.731),
        labels: Some(Estimate { value: 0.8911, low: 0.8782, high: 0.9028 }),
        estimate: Some(Estimate { value: 0.8934, low: 0.8812, high: 0.9045 }),
        how: How::Powered { lambda: 0.62 },
        effective: 2_771.4,
        differ: None,
        invalid: None,
    }
}

/// A day of accuracy by the hour up to then, lower for eight hours from the change on; noise from a fixed generator.
fn course(now: Timestamp) -> Course {
    let mut state = 7_u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 31) - 0.5
    };
    let first = now.minus(Span::HOUR.times(23)).floor(Span::HOUR);
    let began = RAISED.minus(Span::HOUR.times(6)).floor(Span::HOUR);
    let points = (0..24).map(|hour: i64| {
        let at = first.plus(Span::HOUR.times(hour));
        let n = if hour == 23 { 40 } else { 300 + 10 * (hour as u64 % 12) };
        let bad = at >= began && at.since(began) < Span::HOUR.times(8);
        let level = if bad { 0.8912 } else { 0.9402 };
        let half = 3.0 * (0.9402_f64 * 0.0598 / n as f64).sqrt();
        let value = level + 0.05 * noise();
        CoursePoint { at, n, value, low: 0.9402 - half, high: (0.9402 + half).min(1.0) }
    });
    Course { width: Span::HOUR, centre: 0.9402, bound: Some(0.9202), points: points.collect() }
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
        around: Around { course: Some(course(at)), ..around() },
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
        around: Around {
            versions: [text, "2.4.1"]
                .map(|v| Release { at: RAISED.minus(Span::HOUR.times(6)), version: v.to_owned() })
                .to_vec(),
            tasks: around().tasks.map(|mut found| {
                found.tasks.iter_mut().for_each(|task| text.clone_into(&mut task.task));
                found
            }),
            ..around()
        },
        ..account()
    });
    Message { group_key: text.to_owned(), group_labels: texts(&[("agent", text)]), ..message(vec![crossing]) }
}

//! Sixty strings that have broken mail programs, pages, terminals, spreadsheets and chats, in every field that an
//! agent's words can get to, through every format. Each is read by a parser that is not ours and must come back as the
//! cleaned text and nothing more.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use shewhart::edge::ledger::{Identity, Ledger};
use shewhart::edge::notify::clean::line;
use shewhart::edge::notify::{
    Attempt, ExecSettings, MailSettings, Receiver, deliver, payload, render_eml, slack, text,
};
use shewhart::edge::telemetry::{Exposition, OpenAlert, Snapshot, metrics};
use shewhart::engine::alert::{Account, Crossing};
use shewhart::engine::route::Message;
use shewhart::engine::rule::Measure;
use shewhart::engine::text::clean;

use super::sinks::{ACCEPTED, OK, receivers};
use super::{account, attempt, crossing, message, poisoned, strict, texts};
use crate::fake_http::FakeHttp;
use crate::world::real::skipped;

/// The strings of fixtures/hostile/strings.json.
pub(crate) fn strings() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/hostile/strings.json");
    let strings: Vec<String> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(strings.iter().collect::<BTreeSet<_>>().len(), 60);
    strings
}

/// What an agent's words can get to.
const FIELDS: [&str; 9] =
    ["agent", "task", "version", "summary", "runbook_url", "team", "severity", "group label", "flag"];

/// The example with this text in one field.
fn with(field: &str, text: &str) -> Message {
    let mut one = Crossing { labels: crossing("a").labels, ..crossing("invoice-triage") };
    one.labels = texts(&[("agent", "invoice-triage"), ("severity", "critical"), ("task", "t"), ("team", "invoices")]);
    let mut group = texts(&[("alertname", "AccuracyDegraded"), ("team", "invoices")]);
    match field {
        "agent" | "task" | "team" | "severity" => drop(one.labels.insert(field.to_owned(), text.to_owned())),
        "summary" | "runbook_url" => drop(one.annotations.insert(field.to_owned(), text.to_owned())),
        "version" => one.account = Some(Account { version: Some(text.to_owned()), version_before: None, ..account() }),
        "flag" => one.account = Some(Account { measure: Measure::Flag(text.to_owned()), ..account() }),
        "group label" => drop(group.insert("agent".to_owned(), text.to_owned())),
        other => panic!("{other}"),
    }
    let key = if field == "group label" { text.to_owned() } else { "key".to_owned() };
    Message { group_labels: group, group_key: key, ..message(vec![one]) }
}

/// Every text in this field: as it came, as a database of an older version might hold it, and as it is now.
pub(crate) fn all(field: &str) -> Vec<(String, Message)> {
    let both = strings().into_iter().flat_map(|raw| [clean(&raw).into_owned(), raw]);
    both.map(|text| (text.clone(), with(field, &text))).collect()
}

/// No character that hides, breaks or turns text.
fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    })
}

#[test]
fn webhooks_give_every_string_back() {
    for field in FIELDS {
        let usual = strict::webhook(&payload::body(&with(field, "usual"), false).unwrap());
        for (text, message) in all(field) {
            let body = payload::body(&message, false).unwrap();
            let webhook = strict::webhook(&body);
            let alert = &webhook.alerts[0];
            let expected = line(&text, 4_096);
            match field {
                "agent" | "task" | "team" | "severity" => assert_eq!(alert.labels[field], expected, "{text:?}"),
                "summary" | "runbook_url" => assert_eq!(alert.annotations[field], expected, "{text:?}"),
                "group label" => assert_eq!(webhook.group_labels["agent"], expected, "{text:?}"),
                _ => {}
            }
            assert!(alert.labels.keys().eq(usual.alerts[0].labels.keys()), "{text:?}");
            assert!(alert.annotations.keys().eq(usual.alerts[0].annotations.keys()), "{text:?}");
            assert!(alert.labels.values().chain(alert.annotations.values()).all(|text| is_plain(text)), "{text:?}");
        }
    }
}

#[test]
fn an_alertmanagers_alerts_give_every_string_back() {
    let folder = tempfile::tempdir().unwrap();
    for field in FIELDS {
        let server = FakeHttp::start(OK);
        let [receiver, ..] = receivers(&server, folder.path());
        let (given, messages): (Vec<_>, Vec<_>) = all(field).into_iter().unzip();
        let together = message(messages.into_iter().flat_map(|message| message.crossings).collect());
        deliver(&receiver, &together, attempt()).unwrap();
        let alerts = strict::alertmanager(&server.requests()[0].body);
        assert_eq!(alerts.len(), given.len());
        for (alert, text) in alerts.iter().zip(&given) {
            let expected = Some(line(text, 4_096)).filter(|text| !text.is_empty());
            let found = match field {
                "agent" | "task" | "team" | "severity" => alert.labels.get(field),
                "summary" | "runbook_url" => alert.annotations.get(field),
                _ => continue,
            };
            assert_eq!(found, expected.as_ref(), "{text:?}");
            assert_eq!(alert.labels.len(), 5 - usize::from(expected.is_none() && alert.labels.len() == 4), "{text:?}");
        }
    }
}

/// How much of the text of a field people are shown of it, in characters; nothing where it is not shown as it is.
pub(crate) fn shown_up_to(field: &str) -> Option<usize> {
    match field {
        "agent" | "task" | "team" => Some(120),
        "version" => Some(60),
        "summary" => Some(1_000),
        _ => None,
    }
}

#[test]
fn slack_shows_every_string_as_text() {
    for field in FIELDS {
        for (given, message) in all(field) {
            let body = slack::body(&message, attempt());
            let shown = strict::slack(&serde_json::to_vec(&body).unwrap());
            assert_eq!(shown.text, text::subject(&message), "{field} {given:?}");
            let sections = shown.sections.join("\n");
            if let Some(limit) = shown_up_to(field) {
                assert!(sections.contains(&line(&given, limit.min(400))), "{field} {given:?}: {sections}");
            }
            assert!(sections.split('\n').all(is_plain), "{field} {given:?}");
            assert!(shown.links.iter().all(|link| link.starts_with("https://")), "{:?}", shown.links);
            assert_eq!(shown.links.len(), usize::from(field != "runbook_url" || !shown.links.is_empty()));
        }
    }
}

#[test]
fn pagerduty_gets_every_string_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHttp::start(ACCEPTED);
    let [.., receiver] = receivers(&server, folder.path());
    for field in FIELDS {
        for (given, message) in all(field) {
            deliver(&receiver, &message, attempt()).unwrap();
            let event = strict::pagerduty(&server.requests().pop().unwrap().body);
            let payload = event.payload.unwrap();
            assert_eq!(payload.summary, text::subject(&message), "{field} {given:?}");
            if field == "agent" {
                let expected = Some(line(&given, 255)).filter(|agent| !agent.is_empty());
                assert_eq!(payload.component, expected, "{given:?}");
            }
            let details = serde_json::to_string(&payload.custom_details["alerts"]).unwrap();
            if let Some(limit) = shown_up_to(field) {
                let expected = serde_json::to_string(&line(&given, limit)).unwrap();
                assert!(details.contains(expected.trim_matches('"')), "{field} {given:?}: {details}");
            }
            assert!(is_plain(&payload.summary) && is_plain(&payload.source), "{given:?}");
        }
    }
}

#[test]
fn a_command_reads_every_string() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings: ExecSettings =
        serde_json::from_value(json!({"command": ["/bin/sh", "-c", "cat > stdin"]})).unwrap();
    settings.environment = vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
    let receiver = Receiver::Exec(settings).relative_to(folder.path());
    for raw in strings() {
        deliver(&receiver, &poisoned(&raw), attempt()).unwrap();
        let hook = strict::hook(&fs::read(folder.path().join("stdin")).unwrap());
        assert_eq!(hook.webhook.alerts[0].labels["agent"], line(&raw, 4_096), "{raw:?}");
        assert_eq!(hook.webhook.alerts[0].annotations["description"], line(&raw, 4_096), "{raw:?}");
    }
}

/// What Python's own parsers make of these texts; nothing, once said, where there is no Python.
pub(crate) fn read_back(kind: &str, texts: &[String]) -> Option<Vec<Value>> {
    static MISSING: OnceLock<bool> = OnceLock::new();
    let is_missing = *MISSING.get_or_init(|| {
        let missing = !Command::new("python3").arg("-V").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
        if missing {
            skipped("mails and tables read back by another parser", "python3 is missing");
        }
        missing
    });
    if is_missing {
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/read/read_back.py");
    let mut python = Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let asked: String = texts.iter().map(|text| json!({"kind": kind, "text": text}).to_string() + "\n").collect();
    let mut stdin = python.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || stdin.write_all(asked.as_bytes()));
    let output = python.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success());
    let found: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.len(), texts.len());
    Some(found)
}

fn mail(message: &Message) -> String {
    let settings =
        MailSettings { from: "shewhart <alerts@example.com>".parse().unwrap(), to: "ops@example.com".parse().unwrap() };
    String::from_utf8(render_eml(message, &settings, attempt().now).unwrap()).unwrap()
}

/// Text with every run of white space as one space.
pub(crate) fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn without_chart(mut message: Message) -> Message {
    for account in message.crossings.iter_mut().filter_map(|crossing| crossing.account.as_mut()) {
        account.around.course = None;
    }
    message
}

#[test]
fn mails_are_read_back_by_another_parser() {
    for field in FIELDS {
        // Drawing a chart for each would take a minute: only those of one field are drawn.
        let plain = |message: Message| if field == "version" { message } else { without_chart(message) };
        let given: Vec<_> = all(field).into_iter().map(|(text, message)| (text, plain(message))).collect();
        let mut mails: Vec<String> = given.iter().map(|(_, message)| mail(message)).collect();
        // What the others are compared with.
        mails.push(mail(&plain(with(field, "usual"))));
        let Some(mut found) = read_back("mail", &mails) else { return };
        let usual = found.pop().unwrap();
        for ((raw, message), found) in given.iter().zip(found) {
            let told = format!("{field} {:?}", raw.chars().take(60).collect::<String>());
            for constant in ["headers", "from", "to", "kinds"] {
                assert_eq!(found[constant], usual[constant], "{told}");
            }
            assert_eq!(found["defects"], json!([]), "{told}");
            // What looks like an encoded word is taken apart, or some programs would decode it.
            assert_eq!(found["subject"], json!(text::subject(message).replace("=?", "= ?")), "{told}");
            let [plain] = found["plain"].as_array().unwrap().as_slice() else { panic!("{told}: one text") };
            assert_eq!(squeezed(plain.as_str().unwrap()), squeezed(&text::body(message)), "{told}");
            let [page] = found["pages"].as_array().unwrap().as_slice() else { panic!("{told}: one page") };
            check_page(page, &told);
            if let Some(limit) = shown_up_to(field) {
                let seen = page["text"].as_str().unwrap();
                assert!(seen.contains(&squeezed(&line(raw, limit))), "{told}: {seen}");
            }
        }
    }
}

/// Only the tags and attributes of our own layout, and no address but https and the mail's own parts.
fn check_page(page: &Value, told: &str) {
    const TAGS: [&str; 19] = [
        "html", "head", "meta", "title", "style", "body", "div", "h1", "h2", "p", "table", "tr", "th", "td", "a",
        "img", "tbody", "span", "br",
    ];
    const ATTRIBUTES: [&str; 11] =
        ["lang", "charset", "name", "content", "class", "href", "rel", "src", "alt", "width", "height"];
    for tag in page["tags"].as_array().unwrap() {
        assert!(TAGS.contains(&tag.as_str().unwrap()), "{told}: <{tag}>");
    }
    for attribute in page["attributes"].as_array().unwrap() {
        let [tag, name, value] = attribute.as_array().unwrap().as_slice() else { panic!("{attribute}") };
        let (name, value) = (name.as_str().unwrap(), value.as_str().unwrap());
        assert!(ATTRIBUTES.contains(&name) || name == "style", "{told}: <{tag} {name}>");
        assert!(name != "href" || value.starts_with("https://"), "{told}: {value}");
        assert!(name != "src" || value.starts_with("cid:"), "{told}: {value}");
    }
}

#[test]
fn tables_for_programs_are_read_back_by_another_parser() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shewhart.db");
    let identity = Identity { topic: "t".to_owned(), group_by: "agent".to_owned() };
    drop(Ledger::open_file(&path, &identity).unwrap());
    let cleaned: Vec<String> = strings().iter().map(|raw| clean(raw).into_owned()).collect();
    let rows: Vec<String> =
        cleaned.iter().enumerate().map(|(i, text)| format!("({i}, '{}')", text.replace('\'', "''"))).collect();
    let sql = format!("SELECT column1 AS n, column2 AS text FROM (VALUES {}) ORDER BY 1", rows.join(", "));
    let printed = |format: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_shewhart"))
            .args(["db", "query", &path.display().to_string(), &sql, "-o", format])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let as_json: Vec<BTreeMap<String, Value>> = serde_json::from_str(&printed("json")).unwrap();
    let texts: Vec<_> = as_json.iter().map(|row| row["text"].as_str().unwrap()).collect();
    assert_eq!(texts, cleaned);

    let Some(found) = read_back("csv", &[printed("csv")]) else { return };
    let rows = found[0].as_array().unwrap();
    assert_eq!(rows.len(), 61);
    for (row, text) in rows.iter().skip(1).zip(&cleaned) {
        // An apostrophe keeps a spreadsheet from computing it.
        let formula = text.starts_with(['=', '+', '-', '@']);
        let expected = if formula { format!("'{text}") } else { text.clone() };
        assert_eq!(row[1], json!(expected));
    }

    let Some(found) = read_back("markdown", &[printed("markdown")]) else { return };
    let rows = found[0].as_array().unwrap();
    assert_eq!(rows.len(), 62);
    for (row, text) in rows.iter().skip(2).zip(&cleaned) {
        assert_eq!((row[1].as_str(), row.as_array().unwrap().len()), (Some(text.as_str()), 2));
    }
}

/// The labels of every sample of a text exposition (0.0.4), read from its grammar.
fn samples(page: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut found = Vec::new();
    for sample in page.lines().filter(|line| !line.starts_with('#')) {
        let name: String = sample.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':')).collect();
        let mut rest = &sample[name.len()..];
        let mut labels = BTreeMap::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            while !rest.starts_with('}') {
                rest = rest.trim_start_matches(',');
                let (label, quoted) = rest.split_once("=\"").unwrap();
                let mut value = String::new();
                let mut chars = quoted.char_indices();
                let end = loop {
                    match chars.next().expect("a closing quote") {
                        (at, '"') => break at,
                        (_, '\\') => value.push(match chars.next().unwrap().1 {
                            'n' => '\n',
                            c @ ('\\' | '"') => c,
                            other => panic!("\\{other} is no escape: {sample}"),
                        }),
                        (_, c) => value.push(c),
                    }
                };
                assert!(labels.insert(label.to_owned(), value).is_none(), "{sample}");
                rest = &quoted[end + 1..];
            }
            rest = &rest[1..];
        }
        let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no value: {sample}"));
        assert!(value.parse::<f64>().is_ok(), "{sample}");
        found.push((name, labels));
    }
    found
}

#[test]
fn metrics_keep_every_string_inside_its_quotes() {
    let usual = samples(&metrics(&Snapshot::default(), Exposition::Text)).len();
    for raw in strings() {
        let text = clean(&raw).into_owned();
        let alert = OpenAlert { alert: text.clone(), severity: text.clone(), state: "firing", since: attempt().now };
        let page = metrics(&Snapshot { alerts: vec![alert], ..Snapshot::default() }, Exposition::Text);
        let found = samples(&page);
        assert_eq!(found.len(), usual + 2, "{text:?}");
        let (_, labels) = found.iter().find(|(name, _)| name == "ALERTS").unwrap();
        assert_eq!((&labels["alertname"], &labels["severity"]), (&text, &text));
    }
}

#[test]
fn a_fallback_holds_no_string_in_any_format() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeHttp::start(ACCEPTED);
    let all = receivers(&server, folder.path());
    let fallback = Attempt { fallback: true, ..attempt() };
    for receiver in all {
        // Slack takes 202 for no yes; what it was sent counts here.
        drop(deliver(&receiver, &poisoned("needle"), fallback));
        let body = String::from_utf8(server.requests().pop().unwrap().body).unwrap();
        assert!(!body.contains("needle") && body.contains("critical"), "{body}");
    }
}

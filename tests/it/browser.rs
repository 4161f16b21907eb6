//! What Chromium makes of our pages when their names are attacks: text, and nothing else happens.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use shewhart::edge::notify::clean::line;
use shewhart::edge::notify::html;
use shewhart::engine::text::clean;

use crate::notify::corpus::{all, shown_up_to, squeezed, without_chart};
use crate::notify::strings;
use crate::report;
use crate::world::real::skipped;

/// What is seen of these pages, in their order; nothing, once said, where there is no Chromium or no Python.
fn browsed(pages: &[PathBuf]) -> Option<Vec<Value>> {
    for program in ["chromium", "python3"] {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            skipped("pages in a browser", &format!("{program} is missing"));
            return None;
        }
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/read/browser.py");
    let mut python = Command::new("python3");
    let python = python.args([script, "chromium"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().unwrap();
    let asked = pages.iter().fold(String::new(), |all, page| all + page.to_str().unwrap() + "\n");
    // The lines of all pages are shorter than what a pipe takes at once.
    python.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let found: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.len(), pages.len());
    Some(found)
}

/// Nothing but text came of it; gives the texts and the tags.
fn shown(page: &Value, told: &str) -> (Vec<String>, BTreeSet<String>) {
    for nothing in ["dialogs", "requests", "console"] {
        assert_eq!(page[nothing], json!([]), "{told}: {nothing}");
    }
    let list = |name: &str| -> Vec<String> {
        page[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    (list("texts"), list("tags").into_iter().collect())
}

/// The report of agents with these names, each of which has an alert.
fn reported(folder: &Path, names: &[String]) -> String {
    let mut events = String::new();
    for hour in 0..6_i64 {
        for (at, name) in names.iter().enumerate() {
            let (id, ts) = (format!("{at}-{hour}"), 1_767_571_200_000 + hour * 3_600_000);
            let version = format!("{name}{}", hour / 3);
            let event = json!({
                "event_id": id, "agent": name, "task": name, "version": version, "ts": ts, "correct": hour > 0,
            });
            writeln!(events, "{event}").unwrap();
        }
    }
    let (from, to) = (folder.join("events.jsonl"), folder.join("names.db"));
    fs::write(&from, events).unwrap();
    let paths = [&from, &to].map(|path| path.to_str().unwrap());
    let done = report::shewhart(&["replay", paths[0], "--db", paths[1], "--group-by", "agent,task"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let alerts = "INSERT INTO alerts (id, rule, alert, severity, partition, labels, annotations, state, started_at_ms,
        fired_at_ms) SELECT 'a' || id, 'g/A', 'A', '', partition, labels, '{}', 'firing', last_seen_ms, last_seen_ms
        FROM streams";
    let db = rusqlite::Connection::open(&to).unwrap();
    assert_eq!(db.execute(alerts, []).unwrap(), names.len());
    report::page(&to, &[])
}

#[test]
fn a_browser_shows_attacks_in_the_report_as_text() {
    /// Agents of one report; it does not tell of many more one by one.
    const MOST: usize = 30;
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = strings().into_iter().filter(|name| !name.is_empty()).collect();
    let tame: Vec<String> = (0..MOST).map(|at| format!("agent-{at}")).collect();
    let groups: Vec<&[String]> = std::iter::once(tame.as_slice()).chain(names.chunks(MOST)).collect();
    let write = |(at, names): (usize, &&[String])| {
        let own = folder.path().join(at.to_string());
        fs::create_dir(&own).unwrap();
        let path = own.join("report.html");
        fs::write(&path, reported(&own, names)).unwrap();
        path
    };
    let pages: Vec<PathBuf> = groups.iter().enumerate().map(write).collect();
    let Some(found) = browsed(&pages) else { return };
    let mut seen = found.iter().map(|page| shown(page, "the report"));
    let (_, usual) = seen.next().unwrap();
    for ((texts, tags), names) in seen.zip(names.chunks(MOST)) {
        assert!(tags.is_subset(&usual), "no tag comes from a name: {tags:?}");
        for name in names {
            let cleaned = line(&clean(name), 60);
            let is_shown = |text: &String| text.trim() == cleaned.trim();
            assert!(texts.iter().any(is_shown), "{cleaned:?} is not the text of any element");
        }
    }
}

#[test]
fn a_browser_shows_attacks_in_mails_as_text() {
    let folder = tempfile::tempdir().unwrap();
    for field in ["agent", "summary"] {
        // Charts are parts of the mail, which a file has not.
        let given: Vec<_> = all(field).into_iter().map(|(text, message)| (text, without_chart(message))).collect();
        let write = |(at, (_, message)): (usize, &(String, _))| {
            let path = folder.path().join(format!("{field}-{at}.html"));
            fs::write(&path, html::body(message)).unwrap();
            path
        };
        let pages: Vec<PathBuf> = given.iter().enumerate().map(write).collect();
        let Some(found) = browsed(&pages) else { return };
        for ((raw, _), page) in given.iter().zip(found) {
            let told = format!("{field} {:?}", raw.chars().take(60).collect::<String>());
            let (texts, tags) = shown(&page, &told);
            assert!(
                !tags.iter().any(|tag| ["script", "iframe", "svg", "object", "form"].contains(&tag.as_str())),
                "{told}"
            );
            let text = squeezed(&texts.concat());
            assert!(text.contains(&squeezed(&line(raw, shown_up_to(field).unwrap()))), "{told}: {text}");
        }
    }
}

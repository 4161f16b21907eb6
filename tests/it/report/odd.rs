//! Databases that lack something, that hold much, and that hold names from attackers.

use super::super::analyst::world;
use super::super::notify::read_back;
use super::{cells, page, replayed, shewhart};
use shewhart::edge::ledger::{Identity, Ledger};

const HOSTILE: &str = "
start: 2026-01-05T00:00:00Z
length: 2d
agents:
  - name: intruder
    hostile: true
    tasks: { a: 0.5, b: 0.5 }
    version: x
    per_day: 900
    accuracy: 0.9
    confidence: { r2: 0.2 }
    escalation: 0.1
    errors: 0.01
    latency_ms: { median: 850, sigma: 0.45 }
    cost_usd: { median: 0.01, sigma: 0.3 }
    labels: { fraction: 0.8, delay: 1h, delay_sigma: 0.5 }
";

/// Tags that the page is made of.
const TAGS: [&str; 45] = [
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "header",
    "section",
    "footer",
    "h1",
    "h2",
    "h3",
    "p",
    "dl",
    "div",
    "dt",
    "dd",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "b",
    "span",
    "br",
    "a",
    "code",
    "figure",
    "figcaption",
    "svg",
    "desc",
    "path",
    "circle",
    "rect",
    "text",
    "g",
    "clippath",
    "defs",
    "line",
    "polyline",
    "tspan",
    "use",
    "symbol",
];

pub(super) fn hostile(folder: &std::path::Path) -> std::path::PathBuf {
    replayed(folder, HOSTILE, &["--baseline-first", "200", "--group-by", "agent"])
}

#[test]
fn an_alert_that_fires_since_before_the_period_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let db = hostile(folder.path());
    let write = rusqlite::Connection::open(&db).unwrap();
    let (stream, newest): (i64, i64) = write
        .query_row("SELECT id, last_seen_ms FROM streams ORDER BY last_seen_ms DESC", [], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })
        .unwrap();
    write.execute("DELETE FROM alerts", []).unwrap();
    let alert = "INSERT INTO alerts (id, rule, alert, severity, partition, labels, annotations, state, started_at_ms,
        fired_at_ms) SELECT 'a', 'g/A', 'A', '', partition, labels, '{}', 'firing', 0, 0 FROM streams WHERE id = ?1";
    write.execute(alert, [stream]).unwrap();
    let page = page(&db, &["--last", "1h"]);
    assert!(page.contains("fire since before.") && page.contains("1 alert fires since before."), "{newest}");
    assert!(cells(&page, "Alerts").contains(&"0, 1 firing".to_owned()), "{:?}", cells(&page, "Alerts"));
}

#[test]
fn hostile_names_are_text_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let page = page(&hostile(folder.path()), &[]);
    assert!(page.contains(concat!("default-src 'none'; style-src 'un", "safe-inline'; img-src data:")));
    let Some(mut found) = read_back("html", &[page]) else { return };
    let found = found.remove(0);
    for tag in found["tags"].as_array().unwrap().iter().filter_map(|tag| tag.as_str()) {
        assert!(TAGS.contains(&tag), "<{tag}> has no business here");
    }
    let mut links = 0;
    for attribute in found["attributes"].as_array().unwrap() {
        let [tag, name, value] = [0, 1, 2].map(|at| attribute[at].as_str().unwrap());
        assert!(!name.starts_with("on") && !["src", "style", "action", "formaction"].contains(&name), "{attribute}");
        if name == "href" {
            assert!(tag == "a" && value.starts_with("#agent-") && value.len() < 12, "{attribute}");
            links += 1;
        }
        if name == "xmlns" {
            assert_eq!(value, "http://www.w3.org/2000/svg");
        } else {
            assert!(!value.contains("://") && !value.contains("javascript:"), "{attribute}");
        }
        let is_name = ["title", "alt", "aria-label"].contains(&name);
        assert!(!is_name, "names stand in elements: {attribute}");
    }
    assert!(links > 1, "{links}");
    let text = found["text"].as_str().unwrap();
    assert!(text.contains('<'), "names that look like tags are read as text");
}

#[test]
fn an_empty_database_has_a_page_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.db");
    let identity = Identity { topic: "t".to_owned(), group_by: "agent".to_owned() };
    drop(Ledger::open_file(&path, &identity).unwrap());
    let page = page(&path, &[]);
    assert!(page.contains("No output happened from") && !page.contains("<svg"), "{page}");
    assert!(cells(&page, "Agent").is_empty());
}

const PLAIN: &str = "
start: 2026-01-05T00:00:00Z
length: 6d
agents:
  - name: bare
    per_day: 300
    accuracy: 0.9
    latency_ms: { median: 850, sigma: 0.45 }
";

#[test]
fn what_has_no_labels_and_no_baseline_is_not_known_and_not_met() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = format!("{PLAIN}    labels: {{ fraction: 0.001, delay: 400d }}\n");
    let page = page(&replayed(folder.path(), &scenario, &["--group-by", "agent"]), &[]);
    assert!(page.contains("How accurate they were is not known."), "{page}");
    assert!(page.contains("labels: there are none in the period"));
    assert!(page.contains("The proof of concept is not concluded for “bare”."));
    let verdicts = cells(&page, "Verdict");
    // Of all and of the one agent: only a status was said of every output.
    let met: Vec<bool> = verdicts.iter().map(|verdict| verdict == "met").collect();
    assert_eq!(met, [[false, false, false, true, false, false]; 2].concat(), "{verdicts:?}");
    assert!(page.contains("Latency") && !page.contains("Accuracy with its interval"), "a chart without points is none");
}

#[test]
fn a_stream_without_a_baseline_is_reviewed_by_its_labels_alone() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = format!("{PLAIN}    labels: {{ fraction: 0.9, delay: 1h }}\n");
    let page = page(&replayed(folder.path(), &scenario, &["--group-by", "agent"]), &[]);
    assert!(page.contains("there is no baseline with labels to compare it with"), "{page}");
    assert!(page.contains("the stream has no baseline yet") && page.contains("Accuracy with its interval"));
    assert!(!page.contains(": control chart"), "limits come from a baseline");
}

#[test]
fn of_many_agents_those_that_matter_are_shown_and_the_others_counted() {
    let folder = tempfile::tempdir().unwrap();
    let agent = |n: u32| {
        let per_day = 40 + n % 7;
        format!(
            "  - {{ name: agent-{n}, per_day: {per_day}, accuracy: 0.9, labels: {{ fraction: 0.5, delay: 1h }} }}\n"
        )
    };
    let agents: Vec<String> = (0..200).map(agent).collect();
    let mut scenario = format!("start: 2026-01-05T00:00:00Z\nlength: 2d\nagents:\n{}", agents.concat());
    // One of them stops working well.
    scenario += "  - { name: odd-one, per_day: 900, accuracy: 0.95, labels: { fraction: 0.9, delay: 10m }, changes: [ { at: 1d, accuracy: -40pp, mechanism: silent } ] }\n";
    let page = page(&replayed(folder.path(), &scenario, &["--baseline-first", "300", "--group-by", "agent"]), &[]);
    assert!(page.contains("201 in 201 streams"), "{}", &page[page.find("<dl>").unwrap()..][..600]);
    let names = cells(&page, "Agent");
    assert_eq!((names.len(), names[0].as_str()), (40, "odd-one"));
    assert!(page.contains("And 161 more agents"));
    assert!(
        page.contains("The 8 agents that need looking at most follow one by one; 32 more stand in the table only.")
    );
    assert!(page.len() < 1 << 21, "{} bytes", page.len());
}

#[test]
fn what_is_not_there_is_said() {
    let db = world().path.to_str().unwrap();
    let refused = |args: &[&str], why: &str| {
        let done = shewhart(&[&["report"], args].concat());
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains(why), "{said}");
    };
    refused(&["no-such.db"], "there is no database no-such.db");
    refused(&[db, "--agent", "nobody"], "no stream of agent `nobody` is known");
    refused(&[db, "--from", "2026-01-08T00:00:00Z", "--to", "2026-01-07T00:00:00Z"], "--from comes first");
    assert_eq!(shewhart(&["report"]).status.code(), Some(2), "a database or a configuration must be named");
}

#[test]
fn a_file_is_written_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("review.html");
    let (db, to) = (world().path.to_str().unwrap(), out.to_str().unwrap());
    let said = super::told(&["report", db, "-o", to, "--output", "json"]);
    let html = std::fs::read_to_string(&out).unwrap();
    assert_eq!(said["bytes"].as_u64(), Some(html.len() as u64));
    assert_eq!((said["agents"].as_u64(), said["to"].as_str()), (Some(3), Some("2026-01-13T00:00:00Z")));
    assert!(html.contains(said["verdict"].as_str().unwrap().split(" of ").next().unwrap()));
}

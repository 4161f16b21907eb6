//! Thresholds on confidence, from events through a database to what is printed.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a fault of a test's own may end the test")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use shewhart::engine::units::{Span, Timestamp};

const BEGIN: &str = "2026-03-02T00:00:00Z";

fn shewhart(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shewhart")).args(args).output().unwrap()
}

/// An output of the agent `clerk`: its time, confidence, whether it was escalated, whether it was right and whether that is
/// told.
struct Case {
    at: Timestamp,
    confidence: f64,
    escalated: bool,
    right: bool,
    labelled: bool,
}

/// Four days of outputs: below 0.8 they are handed to a person, who gives a verdict on all of them; of the others every
/// tenth has one. Some are right by a rule of their own, so that nothing is left to chance.
fn cases() -> Vec<Case> {
    let begin: Timestamp = BEGIN.parse().unwrap();
    let case = |nth: i64| {
        let confidence = [0.62, 0.75, 0.86, 0.93, 0.97, 0.97, 0.992, 0.9995][(nth % 8) as usize];
        let escalated = confidence < 0.8;
        // One in three wrong below 0.8, one in eighteen below 0.95, one in 72 above; as many of the labelled as of the others.
        let turn = nth / 8;
        let wrong = match confidence {
            ..0.8 => turn % 3 == 0,
            0.8..0.95 => (turn / 10) % 20 == 7,
            _ => turn / 10 == 7,
        };
        let labelled = escalated || turn % 10 == 3;
        Case { at: begin.plus(Span::MINUTE.times(nth)), confidence, escalated, right: !wrong, labelled }
    };
    (0..5_760).map(case).collect()
}

/// Verdicts come an hour late, as feedback.
fn database(folder: &Path, cases: &[Case]) -> String {
    let (events, db) = (folder.join("events.jsonl"), folder.join("t.db").to_str().unwrap().to_owned());
    let mut lines: Vec<(Timestamp, String)> = Vec::new();
    for (nth, Case { at, confidence, escalated, right, labelled }) in cases.iter().enumerate() {
        let output = format!(
            r#"{{"type":"output","event_id":"e{nth}","agent":"clerk","task":"mail","ts":"{at}","confidence":{confidence},"escalated":{escalated}}}"#
        );
        lines.push((*at, output));
        if *labelled {
            let later = at.plus(Span::HOUR);
            let feedback = format!(
                r#"{{"type":"feedback","event_id":"e{nth}","agent":"clerk","ts":"{later}","correct":{right}}}"#
            );
            lines.push((later, feedback));
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    let text: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    std::fs::write(&events, text.join("\n")).unwrap();
    let done = shewhart(&["replay", events.to_str().unwrap(), "--baseline-first", "1000", "--db", &db]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    db
}

fn json(done: &Output) -> Value {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn thresholds_count_the_outputs_that_were_there() {
    let folder = tempfile::tempdir().unwrap();
    let cases = cases();
    let db = database(folder.path(), &cases);
    let asked = ["threshold", "--db", &db, "--agent", "clerk", "--task", "mail"];
    let told = json(&shewhart(&[&asked[..], &["-o", "json"]].concat()));
    assert_eq!((&told["outputs"], &told["in_force"]), (&cases.len().into(), &0.86.into()));
    let rows = told["thresholds"].as_array().unwrap();
    assert_eq!(rows.len(), 7);
    for row in rows {
        let threshold = row["threshold"].as_f64().unwrap();
        let above = |case: &&Case| case.confidence >= threshold - 1e-9;
        let outputs = cases.iter().filter(above).count();
        let labels = cases.iter().filter(above).filter(|case| case.labelled).count();
        assert_eq!((&row["outputs"], &row["labels"]), (&outputs.into(), &labels.into()), "{row}");
        let share = outputs as f64 / cases.len() as f64;
        assert!((row["coverage"]["value"].as_f64().unwrap() - share).abs() < 1e-12, "{row}");
        assert!((row["escalation"]["value"].as_f64().unwrap() - (1.0 - share)).abs() < 1e-12, "{row}");
    }
    // The labels, most of which are on doubtful cases, would say less.
    let all = rows[0]["accuracy"]["value"].as_f64().unwrap();
    let truth = cases.iter().filter(|case| case.right).count() as f64 / cases.len() as f64;
    assert!((all - truth).abs() < 1e-9, "{all} {truth}");
    let uneven = &told["uneven_labels"];
    assert!(uneven["labels_alone"].as_f64().unwrap() < all - 0.05 && uneven["most"] == 1.0, "{uneven}");
}

#[test]
fn a_span_of_hours_and_formats_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cases = cases();
    let db = database(folder.path(), &cases);
    let asked = ["threshold", "--db", &db, "--agent", "clerk"];
    let day = ["--from", "2026-03-03T00:00:00Z", "--to", "2026-03-04T00:00:00Z", "-o", "json"];
    let told = json(&shewhart(&[&asked[..], &day].concat()));
    assert_eq!((&told["outputs"], &told["from"], &told["to"]), (&1_440.into(), &day[1].into(), &day[3].into()));
    // The newest hour is still in its minutes.
    let told = json(&shewhart(&[&asked[..], &["--since", "2h", "-o", "json"]].concat()));
    assert_eq!(told["outputs"], 120);
    let csv = shewhart(&[&asked[..], &["-o", "csv"]].concat());
    let csv = String::from_utf8(csv.stdout).unwrap();
    let lines: Vec<&str> = csv.trim_end().split("\r\n").collect();
    assert!(lines.len() == 8 && lines.iter().all(|line| line.split(',').count() == 13), "{csv}");
    assert!(lines[0].starts_with("threshold,outputs,coverage,") && lines[1].starts_with("0.62,5760,1,"), "{csv}");
}

#[test]
fn an_accuracy_is_answered_in_words_and_by_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(folder.path(), &cases());
    let asked = ["threshold", "--db", &db, "--agent", "clerk"];
    let told = |more: &[&str]| {
        let done = shewhart(&[&asked[..], more].concat());
        (done.status.code(), String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, text, _) = told(&["--accuracy", "94%", "--strict"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("\n94.0 % is certain from 0.86: accuracy ") && text.contains("in force"), "{text}");
    assert!(text.contains("labels are not spread evenly over confidence"), "{text}");
    let (code, text, _) = told(&["--accuracy", "99.99%"]);
    assert!(code == Some(0) && text.contains("is not reached at any threshold\nthe best is "), "{text}");
    assert_eq!(told(&["--accuracy", "99.99%", "--strict"]).0, Some(3));
    assert_eq!(told(&["--accuracy", "98"]).0, Some(2));
    let (code, _, fault) = told(&["--task", "nope"]);
    assert!(code == Some(1) && fault.contains("no stream of it is known"), "{fault}");
    let (code, _, fault) = told(&["--from", "2030-01-01T00:00:00Z"]);
    assert!(code == Some(1) && fault.contains("has a confidence"), "{fault}");
}

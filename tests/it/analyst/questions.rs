//! The questions of docs/schema.md: every statement runs, and its answer is what the lines say.
#![expect(clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::world::{StreamName, db, name_of, rows, truth, world};
use crate::docs::read;

/// The questions of the document: number, statement.
pub(super) fn questions() -> BTreeMap<u32, String> {
    let text = read("docs/schema.md");
    let mut questions = BTreeMap::new();
    for part in text.split("\n### ").skip(1) {
        let Some((number, rest)) = part.split_once(". ") else { continue };
        let Ok(number) = number.parse() else { continue };
        let sql: Vec<&str> = rest.split("```sql\n").skip(1).filter_map(|s| s.split("```").next()).collect();
        assert_eq!(sql.len(), 1, "question {number} is answered by one statement");
        questions.insert(number, sql[0].to_owned());
    }
    questions
}

#[test]
fn every_question_of_the_document_is_answered() {
    let mut db = db();
    shewhart::edge::ledger::query::only_read(&mut db).unwrap();
    let questions = questions();
    assert!(questions.len() >= 10, "{}", questions.len());
    for (number, sql) in questions {
        let found = rows(&db, &sql).len();
        assert!(found > 0 || sql.contains("-- may be empty"), "question {number} found nothing:\n{sql}");
    }
    let text = read("docs/schema.md");
    let blocks = text.matches("```sql\n").count();
    assert_eq!(blocks, self::questions().len(), "a statement outside of the questions is not tried by this test");
}

#[test]
fn the_answers_about_streams_and_days_are_right() {
    let truth = truth(&world().lines);
    let (db, questions) = (db(), questions());
    let mut streams: BTreeMap<StreamName, [i64; 3]> = BTreeMap::new();
    let mut days: BTreeMap<(StreamName, i64), [i64; 2]> = BTreeMap::new();
    for ((name, hour_ms), hour) in &truth {
        let stream = streams.entry(name.clone()).or_default();
        let day = days.entry((name.clone(), hour_ms / 86_400_000)).or_default();
        for (sum, n) in stream.iter_mut().zip([hour.outputs, hour.labelled, hour.correct]) {
            *sum += n;
        }
        for (sum, n) in day.iter_mut().zip([hour.labelled, hour.correct]) {
            *sum += n;
        }
    }
    let found = rows(&db, &questions[&3]);
    assert_eq!(found.len(), 4);
    for row in found.iter().filter(|row| row["agent"] != "intake") {
        let [outputs, labelled, correct] = streams[&name_of(row)];
        assert_eq!((row["outputs"].as_i64(), row["labelled"].as_i64()), (Some(outputs), Some(labelled)));
        assert_eq!(row["accuracy"].as_f64(), Some(correct as f64 / labelled as f64));
        let kind = if row["agent"] == "address-matching" { "promoted" } else { "provisional" };
        assert_eq!(row["baseline_kind"], kind);
    }
    let accuracy = rows(&db, &questions[&4]);
    assert_eq!(accuracy.len(), days.values().filter(|[labelled, _]| *labelled > 0).count());
    for row in &accuracy {
        let day = format!("{}T00:00:00Z", row["day"].as_str().unwrap());
        let at = day.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let [labelled, correct] = days[&(name_of(row), at / 86_400_000)];
        assert_eq!((row["labelled"].as_i64(), row["correct"].as_i64()), (Some(labelled), Some(correct)), "{row}");
    }
    let versions: BTreeSet<String> =
        rows(&db, &questions[&5]).iter().map(|row| format!("{} {}", row["agent"], row["version"])).collect();
    assert!(versions.contains("\"invoice-triage\" \"2026-01-09\""), "{versions:?}");
}

#[test]
fn the_answers_about_alerts_and_messages_are_right() {
    let (db, questions, world) = (db(), questions(), world());
    assert!(world.findings.iter().any(|f| f.alert.starts_with("Accuracy")), "the planted fall was found");
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let expected: BTreeSet<_> = world
        .findings
        .iter()
        .map(|f| {
            let changed = f.changed_at.as_deref().map(at).unwrap();
            (f.id.clone(), at(&f.at), f.resolved_at.as_deref().map(at), changed, Some(f.labels))
        })
        .collect();
    let fired = rows(&db, "SELECT * FROM v_alerts WHERE fired_at IS NOT NULL");
    let counted: BTreeSet<_> = fired
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            let time = |name: &str| row[name].as_str().map(at);
            let changed = time("changed_at").unwrap();
            (text("alert_id"), time("fired_at").unwrap(), time("ended_at"), changed, row["labelled"].as_u64())
        })
        .collect();
    assert_eq!(counted, expected);
    assert_eq!(rows(&db, &questions[&1]).len(), expected.len(), "all of it happened in the last week");
    assert!(fired.iter().all(|row| row["stream_id"].is_i64()), "every alert knows its stream");

    let notices = rows(&db, &questions[&6]);
    assert_eq!(notices.len(), world.messages.iter().map(|(message, _)| message.crossings.len()).sum::<usize>());
    let states: BTreeSet<&str> = notices.iter().map(|row| row["delivery_state"].as_str().unwrap()).collect();
    assert_eq!(states, BTreeSet::from(["dead", "delivered", "pending"]));
    let failed: Vec<Value> = rows(&db, &questions[&7]);
    let outcomes: Vec<&str> = failed.iter().map(|row| row["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["retry", "dead"]);
    let all = rows(&db, "SELECT count(DISTINCT message_id) AS n FROM v_notices");
    assert_eq!(all[0]["n"].as_u64(), Some(world.messages.len() as u64));
}

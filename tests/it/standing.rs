//! Accuracy from few verdicts and all confidences: the view gives what the engine gives, and both what the lines say.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::process::Command;

use rusqlite::{Connection, params};
use serde_json::Value;
use shewhart::engine::around::How;
use shewhart::engine::confidence::{ConfidenceTable, Place};
use shewhart::engine::standing::{Standing, table_sums};
use shewhart::engine::units::Counts;

use crate::analyst::{db, rows, world};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Outputs of an hour: all, the verdicts, those with a confidence.
#[derive(Clone, Debug, Default)]
struct Hour {
    outputs: u64,
    verdicts: Counts,
    table: ConfidenceTable,
}

impl Hour {
    fn merge(&mut self, other: &Self) {
        self.outputs += other.outputs;
        self.verdicts.merge(other.verdicts);
        self.table.merge(&other.table);
    }

    fn standing(&self) -> Standing {
        Standing::of(self.outputs, self.verdicts, &self.table)
    }
}

/// The row of the view says what the engine says.
#[track_caller]
fn same(row: &Value, standing: &Standing) {
    let number = |name: &str| row[name].as_f64();
    let close = |name: &str, wanted: f64| {
        let found = number(name).unwrap_or_else(|| panic!("{name} of {row}"));
        assert!((found - wanted).abs() < 1e-9, "{name}: {found} and not {wanted}\n{row}\n{standing:?}");
    };
    assert_eq!((row["outputs"].as_u64(), row["labelled"].as_u64()), (Some(standing.outputs), Some(standing.labelled)));
    let labels = standing.labels.unwrap();
    close("labels_accuracy", labels.value);
    close("labels_low", labels.low);
    close("labels_high", labels.high);
    close("label_share", standing.label_share().unwrap());
    assert_eq!(row["invalid"].as_str(), standing.invalid.as_deref());
    let (how, lambda) = match standing.how {
        _ if standing.invalid.is_some() => ("invalid", 0.0),
        How::LabelsOnly => ("labels", 0.0),
        How::Powered { lambda } => ("powered", lambda),
        How::Stratified => ("differ", 0.0),
    };
    assert_eq!(row["how"], how, "{row}\n{standing:?}");
    close("lambda", lambda);
    if ["differ", "invalid"].contains(&how) {
        assert!(row["estimate"].is_null() && row["estimate_low"].is_null() && row["estimate_high"].is_null(), "{row}");
        assert!(how == "differ" || number("effective") == Some(standing.labelled as f64), "{row}");
        return;
    }
    let estimate = standing.estimate.unwrap();
    close("estimate", estimate.value);
    close("estimate_low", estimate.low);
    close("estimate_high", estimate.high);
    assert!((number("effective").unwrap() / standing.effective - 1.0).abs() < 1e-9, "{row}\n{standing:?}");
}

/// Three hours of one stream. Every kind of stream is among them: with and without confidences, useful or not, all labelled or
/// few, picked or not.
fn made(seed: u64) -> [Hour; 3] {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let (states, useful, picked) = (uniform() < 0.8, uniform() < 0.7, uniform() < 0.3);
    let (share, bare) = ([0.02, 0.1, 0.6, 1.0][(uniform() * 4.0) as usize], if uniform() < 0.4 { 0.3 } else { 0.0 });
    let spread = [0.0, 0.1, 0.6][(uniform() * 3.0) as usize];
    [(); 3].map(|()| {
        let mut hour = Hour::default();
        for _ in 0..(20.0 + 900.0 * uniform()) as usize {
            let confidence = 1.0 - spread * uniform() * uniform() - 0.01;
            let escalated = confidence < 0.7 || uniform() < 0.05;
            let place = Place::of((states && uniform() >= bare).then_some(confidence), Some(escalated));
            hour.outputs += 1;
            hour.table.output(place);
            let chance = if picked { share * (1.3 - confidence) / 0.6 } else { share };
            if uniform() < chance {
                let right = uniform() < if useful { confidence } else { 0.9 };
                hour.verdicts.add(right);
                hour.table.verdict(place, right);
            }
        }
        hour
    })
}

fn insert(db: &Connection, table: &str, (stream, at): (i64, i64), hour: &Hour) {
    let (sums, [all, labelled]) = (table_sums(&hour.table), hour.table.escalated());
    let insert = format!(
        "INSERT INTO {table} (start_ms, stream_id, outputs, labelled, correct, escalation_known, escalated,
           override_known, overridden, status_ok, status_error, status_invalid_input, status_timeout, confidence_n,
           confidence_sum, confidence_squares, confidence_escalated, paired_n, paired_right, paired_sum, paired_squares,
           paired_right_sum, paired_escalated, latency_n, cost_n, tokens_n, rest)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, 0, 0, 0, 0, 0, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, 0, 0, 0, x'')"
    );
    db.execute(
        &insert,
        params![
            at,
            stream,
            hour.outputs as i64,
            hour.verdicts.n as i64,
            hour.verdicts.hits as i64,
            all.n as i64,
            sums.c + sums.free_c,
            sums.cc + sums.free_cc,
            all.hits as i64,
            sums.labelled as i64,
            sums.right as i64,
            sums.c,
            sums.cc,
            sums.cy,
            labelled.hits as i64
        ],
    )
    .unwrap();
}

#[test]
fn the_view_gives_what_the_engine_gives() {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(&shewhart::edge::ledger::schema()).unwrap();
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    let mut made_of = BTreeMap::new();
    for seed in 0..150 {
        let (stream, hours) = (seed as i64, made(seed));
        db.execute(
            "INSERT INTO streams (id, partition, idx, agent, labels, outputs, labelled, promised, promised_week, raised,
               first_seen_ms, last_seen_ms, newest_pane_ms, memory) VALUES (?1, 0, ?1, 'a', '{}', 0, 0, 0, 0, 0, 0, 0, ?2, x'')",
            params![stream, 10 * DAY],
        )
        .unwrap();
        let mut day = Hour::default();
        for (at, hour) in (0..).zip(hours) {
            insert(&db, "rollup_hour", (stream, DAY + at * HOUR), &hour);
            day.merge(&hour);
            made_of.insert((stream, "hour".to_owned(), DAY + at * HOUR), hour);
        }
        insert(&db, "rollup_day", (stream, DAY), &day);
        made_of.insert((stream, "day".to_owned(), DAY), day);
    }
    made_of.retain(|_, hour| hour.verdicts.n > 0);
    let found = rows(&db, "SELECT * FROM v_accuracy_estimates");
    assert_eq!(found.len(), made_of.len());
    for row in &found {
        let of = |name: &str| row[name].as_i64().unwrap();
        same(row, &made_of[&(of("stream_id"), row["period"].as_str().unwrap().to_owned(), of("start_ms"))].standing());
        let how = ["labels", "powered", "differ"].into_iter().find(|how| row["how"] == **how).unwrap();
        *kinds.entry(how).or_default() += 1;
    }
    assert!(kinds.values().all(|n| *n >= 20) && kinds.len() == 3, "{kinds:?}");
}

#[test]
fn a_database_gives_what_the_lines_say() {
    let mut days: BTreeMap<(String, Option<String>, i64), Hour> = BTreeMap::new();
    let mut known = BTreeMap::new();
    for event in world().lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let sound = |agent: &&str| ["invoice-triage", "address-matching"].contains(agent);
        let Some(agent) = event["agent"].as_str().filter(sound).map(str::to_owned) else { continue };
        let id = (agent.clone(), event["event_id"].as_str().unwrap().to_owned());
        if event["type"] == "output" {
            let at: jiff::Timestamp = event["ts"].as_str().unwrap().parse().unwrap();
            let key = (agent, event["task"].as_str().map(str::to_owned), at.as_millisecond() / DAY * DAY);
            let place = Place::of(event["confidence"].as_f64(), event["escalated"].as_bool());
            let day = days.entry(key.clone()).or_default();
            day.outputs += 1;
            day.table.output(place);
            known.insert(id.clone(), (key, place));
        }
        if let (Some(right), Some((key, place))) = (event["correct"].as_bool(), known.get(&id)) {
            let day = days.get_mut(key).unwrap();
            day.verdicts.add(right);
            day.table.verdict(*place, right);
        }
    }
    let found = rows(&db(), "SELECT * FROM v_accuracy_estimates WHERE period = 'day' AND agent <> 'intake'");
    // Since when labels contradict confidence, by stream.
    let since: BTreeMap<i64, i64> = rows(&db(), "SELECT id, contradicted_ms AS since FROM streams")
        .iter()
        .filter_map(|row| Some((row["id"].as_i64()?, row["since"].as_i64()?)))
        .collect();
    let mut invalid = 0;
    for row in &found {
        let text = |name: &str| row[name].as_str().map(str::to_owned);
        let start = row["start_ms"].as_i64().unwrap();
        let standing = days[&(text("agent").unwrap(), text("task"), start)].standing();
        let contradicted = since.get(&row["stream_id"].as_i64().unwrap()).is_some_and(|since| start + DAY > *since);
        assert_eq!(row["how"] == "invalid", contradicted, "{row}");
        invalid += usize::from(row["how"] == "invalid");
        // A release that is worse in silence made labels contradict the confidence of the one agent.
        let why = text("invalid").inspect(|_| assert_eq!(row["agent"], "invoice-triage"));
        same(row, &why.map_or(standing.clone(), |why| standing.without_estimate(why)));
    }
    assert!((2..found.len() / 2).contains(&invalid), "{invalid} of {}", found.len());
    assert_eq!(found.len(), days.values().filter(|day| day.verdicts.n > 0).count());
    assert!(found.iter().filter(|row| row["how"] == "powered").count() >= 15, "{found:#?}");
}

#[test]
fn status_and_alerts_tell_accuracy_with_its_interval_and_the_labels() {
    let path = world().path.display().to_string();
    let status = |format: &str| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_shewhart")).args(["status", "--db", &path, "-o", format]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let told: Value = serde_json::from_str(&status("json")).unwrap();
    let streams = told["accuracy"]["streams"].as_array().unwrap();
    assert_eq!((streams.len(), &told["accuracy"]["more"]), (3, &0.into()));
    for stream in streams {
        let (agent, task) = (stream["agent"].as_str().unwrap(), stream["task"].as_str());
        let of = task.map_or("task IS NULL".to_owned(), |task| format!("task = '{task}'"));
        let sql = format!(
            "SELECT sum(h.outputs) AS outputs, sum(h.labelled) AS labelled, sum(h.correct) AS correct FROM v_hours h
             JOIN streams s ON s.id = h.stream_id WHERE h.agent = '{agent}' AND h.{of}
             AND h.hour_ms > s.newest_pane_ms - 86400000"
        );
        let counted = &rows(&db(), &sql)[0];
        assert_eq!((&stream["outputs"], &stream["labelled"]), (&counted["outputs"], &counted["labelled"]), "{stream}");
        let share = counted["correct"].as_f64().unwrap() / counted["labelled"].as_f64().unwrap();
        assert!((stream["labels"]["value"].as_f64().unwrap() - share).abs() < 1e-12);
        assert!(stream["baseline"].as_f64().is_some(), "{stream}");
        if stream["invalid"].is_null() {
            let (low, high) =
                (stream["estimate"]["low"].as_f64().unwrap(), stream["estimate"]["high"].as_f64().unwrap());
            assert!(low < high, "{stream}");
        } else {
            assert!(stream["estimate"].is_null(), "{stream}");
        }
    }
    // A release that is worse in silence made labels contradict the confidence of the one agent.
    let invalid = |agent: &str| streams.iter().any(|s| s["agent"] == agent && s["invalid"].is_string());
    assert!(invalid("invoice-triage") && !invalid("address-matching"), "{streams:#?}");
    let text = status("text");
    assert!(text.contains("INVALID: since about 2026-01-"), "{text}");
    assert!(text.contains("accuracy of 24 h") && text.contains("labels alone"), "{text}");

    let alerts = rows(&db(), "SELECT * FROM v_alerts WHERE measure = 'accuracy'");
    assert!(!alerts.is_empty());
    for alert in alerts {
        let standing: Standing = serde_json::from_str(alert["standing"].as_str().unwrap()).unwrap();
        assert_eq!(alert["outputs_since"].as_u64(), Some(standing.outputs));
        assert_eq!(alert["labels_missing"].as_u64(), Some(standing.outputs - standing.labelled));
        assert_eq!(alert["accuracy_estimate"].as_f64(), standing.estimate.map(|e| e.value));
        assert_eq!(alert["accuracy_invalid"].as_str(), standing.invalid.as_deref());
        assert_eq!(alert["accuracy_how"] == "invalid", standing.invalid.is_some());
        assert!(standing.estimate.is_some() != standing.invalid.is_some(), "{alert}");
        assert_eq!(alert["labels_accuracy"].as_f64(), standing.labels.map(|e| e.value));
        let usual = alert["labels_usual"].as_f64().unwrap();
        assert!((usual - standing.label_share().unwrap()).abs() < 0.1, "{alert}");
    }
    assert!(
        rows(
            &db(),
            "SELECT 1 FROM v_alerts WHERE measure IN ('escalation_rate', 'cost', 'confidence') AND standing IS NOT NULL"
        )
        .is_empty()
    );
}

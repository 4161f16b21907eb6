//! The views against numbers counted from the lines, and how they are searched.

use std::collections::BTreeMap;

use super::world::{StreamName, db, name_of, quantile, rows, truth, wilson, world};

#[test]
fn every_view_has_rows() {
    let db = db();
    for view in rows(&db, "SELECT name FROM sqlite_master WHERE type = 'view'") {
        let view = view["name"].as_str().unwrap();
        assert!(!rows(&db, &format!("SELECT * FROM {view} LIMIT 1")).is_empty(), "{view}");
    }
}

#[test]
fn hours_equal_what_the_lines_say() {
    let truth = truth(&world().lines);
    let db = db();
    let counted: BTreeMap<(StreamName, i64), [i64; 4]> = rows(
        &db,
        "SELECT agent, task, hour_ms, outputs, labelled, correct, escalated FROM v_hours WHERE agent <> 'intake'",
    )
    .iter()
    .map(|row| {
        let of = |name: &str| row[name].as_i64().unwrap();
        ((name_of(row), of("hour_ms")), ["outputs", "labelled", "correct", "escalated"].map(of))
    })
    .collect();
    let expected: BTreeMap<(StreamName, i64), [i64; 4]> =
        truth.iter().map(|(place, h)| (place.clone(), [h.outputs, h.labelled, h.correct, h.escalated])).collect();
    assert_eq!(counted, expected);
    let complete = rows(&db, "SELECT complete FROM v_hours");
    assert!(complete.iter().any(|row| row["complete"] == 0) && complete.iter().any(|row| row["complete"] == 1));
}

#[test]
fn accuracy_latency_and_cost_equal_what_the_lines_say() {
    let truth = truth(&world().lines);
    let db = db();
    for row in rows(&db, "SELECT * FROM v_accuracy WHERE agent <> 'intake'") {
        let hour = &truth[&(name_of(&row), row["hour_ms"].as_i64().unwrap())];
        let (low, high) = wilson(hour.correct, hour.labelled);
        let accuracy = hour.correct as f64 / hour.labelled as f64;
        for (name, expected) in [("accuracy", accuracy), ("accuracy_low", low), ("accuracy_high", high)] {
            assert!((row[name].as_f64().unwrap() - expected).abs() < 1e-12, "{name}: {row}");
        }
    }
    for row in rows(&db, "SELECT * FROM v_latency WHERE agent <> 'intake' AND complete") {
        let latencies = &truth[&(name_of(&row), row["hour_ms"].as_i64().unwrap())].latencies;
        for (name, q) in [("latency_p50_ms", 0.5), ("latency_p95_ms", 0.95), ("latency_p99_ms", 0.99)] {
            let exact = quantile(latencies, q);
            assert!((row[name].as_f64().unwrap() / exact - 1.0).abs() < 0.001, "{name}: {exact} {row}");
        }
    }
    let cost: f64 = truth.values().map(|hour| hour.cost).sum();
    let counted = rows(&db, "SELECT sum(cost_usd) AS usd FROM v_cost WHERE agent <> 'intake'");
    assert!((counted[0]["usd"].as_f64().unwrap() / cost - 1.0).abs() < 1e-9);
}

#[test]
fn a_span_of_time_is_searched_and_not_scanned() {
    let plan = |sql: &str| -> Vec<String> {
        let explained = rows(&db(), &format!("EXPLAIN QUERY PLAN {sql}"));
        explained.iter().map(|row| row["detail"].as_str().unwrap().to_owned()).collect()
    };
    for view in ["v_hours", "v_accuracy", "v_confidence", "v_escalation", "v_latency", "v_cost", "v_errors"] {
        let plan = plan(&format!("SELECT * FROM {view} WHERE hour_ms >= 1767600000000"));
        let has = |words: &str| plan.iter().any(|line| line.contains(words));
        assert!(has("SEARCH h USING PRIMARY KEY (start_ms>?)"), "{view}: {plan:#?}");
        assert!(has("SEARCH m USING PRIMARY KEY (start_ms=? AND stream_id=?)"), "{view}: {plan:#?}");
        assert!(
            !has("SCAN m")
                && !plan.iter().any(|line| line == "SCAN b" || line.starts_with("SCAN b "))
                && !has("SEARCH b USING PRIMARY KEY"),
            "{view}: {plan:#?}"
        );
    }
    let open = plan("SELECT * FROM v_open_alerts").join("\n");
    assert!(open.contains("alerts_open") && open.contains("streams_by_agent (agent=? AND task=?)"), "{open}");
}

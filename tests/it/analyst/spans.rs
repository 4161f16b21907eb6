//! Days, pieces, delays of verdicts and classical charts against what the lines and the command line say.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::world::{Hour, StreamName, db, name_of, quantile, rows, truth, world};

const DAY: i64 = 86_400_000;

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("{name}: {row}"))
}

fn days() -> BTreeMap<(StreamName, i64), Hour> {
    let mut days: BTreeMap<(StreamName, i64), Hour> = BTreeMap::new();
    for ((name, at), hour) in truth(&world().lines) {
        let day = days.entry((name, at - at.rem_euclid(DAY))).or_default();
        day.outputs += hour.outputs;
        day.labelled += hour.labelled;
        day.correct += hour.correct;
        day.escalated += hour.escalated;
        day.cost += hour.cost;
        day.latencies.extend(hour.latencies);
    }
    days
}

#[test]
fn days_equal_what_the_lines_say() {
    let (days, db) = (days(), db());
    let counted = rows(&db, "SELECT * FROM v_days WHERE agent <> 'intake'");
    assert_eq!(counted.len(), days.len());
    let mut complete = 0;
    for row in counted {
        let day = &days[&(name_of(&row), row["day_ms"].as_i64().unwrap())];
        let counts = ["outputs", "labelled", "correct", "escalated"].map(|name| row[name].as_i64().unwrap());
        assert_eq!(counts, [day.outputs, day.labelled, day.correct, day.escalated], "{row}");
        assert!((number(&row, "cost_usd") / day.cost - 1.0).abs() < 1e-9);
        let (low, high) = (quantile(&day.latencies, 0.0), quantile(&day.latencies, 1.0));
        assert_eq!((number(&row, "latency_min_ms"), number(&row, "latency_max_ms")), (low, high));
        if row["complete"] == 1 {
            complete += 1;
            for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)] {
                let exact = quantile(&day.latencies, q);
                assert!((number(&row, &format!("latency_{name}_ms")) / exact - 1.0).abs() < 0.001, "{name}: {row}");
            }
            let n = day.latencies.len() as f64;
            let mean = day.latencies.iter().sum::<f64>() / n;
            let squares: f64 = day.latencies.iter().map(|x| (x - mean).powi(2)).sum();
            assert!((number(&row, "latency_sd_ms") / (squares / (n - 1.0)).sqrt() - 1.0).abs() < 1e-9);
        }
    }
    assert!(complete >= days.len() - 4 && complete < days.len(), "{complete} of {}", days.len());
}

#[test]
fn percentiles_of_any_span_come_from_merged_sketches() {
    let (truth, db) = (truth(&world().lines), db());
    let last = truth.keys().map(|(_, hour)| *hour).max().unwrap();
    // The last three days, with hours that are not whole yet, and ten hours in the middle.
    for (from, to) in [(last - 3 * DAY, i64::MAX), (last - 5 * DAY, last - 5 * DAY + 36_000_000)] {
        let asked = format!(
            "SELECT agent, task, sum(outputs) AS outputs, hdr_quantile(hdr_merge(latency_sketch), 0.95) AS p95,
               hdr_count(hdr_merge(latency_sketch)) AS n
             FROM v_pieces WHERE start_ms >= {from} AND start_ms < {to} AND agent <> 'intake' GROUP BY stream_id"
        );
        let found = rows(&db, &asked);
        assert_eq!(found.len(), 3);
        for row in found {
            let hours = truth.iter().filter(|((name, at), _)| *name == name_of(&row) && *at >= from && *at < to);
            let mut all = Hour::default();
            hours.for_each(|(_, hour)| {
                all.outputs += hour.outputs;
                all.latencies.extend(&hour.latencies);
            });
            assert_eq!(row["outputs"], all.outputs);
            assert_eq!(row["n"], all.latencies.len());
            assert!((number(&row, "p95") / quantile(&all.latencies, 0.95) - 1.0).abs() < 0.001, "{row}");
        }
    }
}

#[test]
fn verdicts_are_counted_when_they_came_too() {
    let mut outputs: BTreeMap<String, i64> = BTreeMap::new();
    // By agent, hour of arrival, day of the output: how many, how many right, and how many within an hour.
    let mut expected: BTreeMap<(String, i64, i64), [i64; 3]> = BTreeMap::new();
    for event in world().lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let sound = |agent: &&str| ["invoice-triage", "address-matching"].contains(agent);
        let Some(agent) = event["agent"].as_str().filter(sound) else { continue };
        let at: jiff::Timestamp = event["ts"].as_str().unwrap().parse().unwrap();
        let (id, at) = (event["event_id"].as_str().unwrap().to_owned(), at.as_millisecond());
        if event["type"] == "output" {
            outputs.insert(id, at);
        } else if let Some(right) = event["correct"].as_bool() {
            let born = outputs[&id];
            let key = (agent.to_owned(), at - at.rem_euclid(3_600_000), born - born.rem_euclid(DAY));
            let counts = expected.entry(key).or_default();
            counts[0] += 1;
            counts[1] += i64::from(right);
            counts[2] += i64::from(at - born <= 3_600_000);
        }
    }
    let asked = "SELECT agent, arrived_ms, day_ms, sum(labels) AS labels, sum(correct) AS correct,
        total(labels) FILTER (WHERE within_ms <= 3600000) AS soon
      FROM v_label_delays WHERE agent <> 'intake' GROUP BY agent, arrived_ms, day_ms";
    let of = |row: &Value, name: &str| row[name].as_f64().unwrap() as i64;
    let key = |row: &Value| (row["agent"].as_str().unwrap().to_owned(), of(row, "arrived_ms"), of(row, "day_ms"));
    let counted: BTreeMap<_, _> =
        rows(&db(), asked).iter().map(|row| (key(row), ["labels", "correct", "soon"].map(|n| of(row, n)))).collect();
    assert_eq!(counted, expected);
    let days = rows(&db(), "SELECT * FROM v_labels WHERE agent <> 'intake'");
    // Empty where no verdict came yet.
    let sum = |name: &str| days.iter().filter_map(|row| row[name].as_i64()).sum::<i64>();
    let all = |at: usize| expected.values().map(|counts| counts[at]).sum::<i64>();
    assert_eq!((sum("came"), sum("within_hour"), sum("labelled")), (all(0), all(2), all(0)));
    assert!(days.iter().any(|row| row["agent"] == "address-matching" && row["delay_p50_ms"] == 3_600_000), "{days:?}");
}

/// One agent whose accuracy falls, one whose hours differ from the beginning, so that there is something to mark.
fn drifting(folder: &Path) -> String {
    let scenario = folder.join("scenario.yaml");
    let text = "start: 2026-01-05T00:00:00Z\nlength: 12d\nagents:\n  - name: a\n    per_day: 1200\n    accuracy: 0.9\n    escalation: 0.1\n    \
      errors: 0.02\n    confidence: { r2: 0.2 }\n    latency_ms: { median: 850, sigma: 0.45 }\n    cost_usd: { median: 0.012, sigma: 0.3 }\n    \
      labels: { fraction: 1.0, delay: 30m }\n    changes:\n      - { at: 6d, version: \"2\", accuracy: -6pp, mechanism: silent, escalation: +4pp }\n";
    std::fs::write(&scenario, text).unwrap();
    let (events, path) = (folder.join("events.jsonl"), folder.join("drift.db"));
    let run = |args: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_shewhart")).args(args).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let (events, path) = (events.to_str().unwrap(), path.to_str().unwrap());
    run(&["simulate", "--seed", "4", "--scenario", scenario.to_str().unwrap(), "--out", events]);
    run(&["replay", events, "--baseline-first", "3000", "--group-by", "agent", "--db", path]);
    path.to_owned()
}

#[test]
fn the_classical_chart_is_that_of_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = drifting(folder.path());
    let db = shewhart::edge::ledger::open_read_only(Path::new(&path)).unwrap();
    let mut marked = 0;
    for measure in ["accuracy", "escalation_rate", "error_rate"] {
        for by in ["hour", "day"] {
            let args = ["chart", "--db", &path, "--measure", measure, "--by", by, "--last", "5000", "-o", "json"];
            let done = Command::new(env!("CARGO_BIN_EXE_shewhart")).args(args).output().unwrap();
            let charts: Value = serde_json::from_slice(&done.stdout)
                .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)));
            let points = charts[0]["points"].as_array().unwrap();
            let asked = format!(
                "SELECT * FROM v_control_charts WHERE measure = '{measure}' AND period = '{by}' ORDER BY start_ms"
            );
            let found = rows(&db, &asked);
            assert_eq!(found.len(), points.len());
            for (row, point) in found.iter().zip(points) {
                assert_eq!(row["n"], point["cases"]);
                for (name, theirs) in [("value", "share"), ("lower", "lower"), ("upper", "upper")] {
                    assert!((number(row, name) - number(point, theirs)).abs() < 1e-9, "{name}: {row} {point}");
                }
                assert_eq!(row["beyond"] == 1, point["beyond"] == true, "{row} {point}");
                for rules in ["nelson", "western_electric"] {
                    let numbers: Vec<String> = point[rules].as_array().unwrap().iter().map(Value::to_string).collect();
                    assert_eq!(row[rules], numbers.join(" "), "{measure} by {by}: {row} {point}");
                    marked += numbers.len();
                }
            }
        }
    }
    assert!(marked > 20, "{marked} marks");
    let phases = "SELECT phase, version, count(*) AS n, avg(value) AS mean FROM v_control_charts
      WHERE measure = 'accuracy' AND period = 'day' GROUP BY phase, version ORDER BY min(start_ms)";
    let phases = rows(&db, phases);
    let told: Vec<_> = phases.iter().map(|row| (row["phase"].as_str().unwrap(), row["version"].as_str())).collect();
    assert_eq!(told, [("baseline", None), ("monitoring", None), ("monitoring", Some("2"))]);
    assert!(number(&phases[2], "mean") < number(&phases[0], "mean") - 0.03, "{phases:?}");
    // Means have the X-bar limits: three standard errors of that many values, as far as hours do not differ.
    let means = "SELECT measure, count(*) AS points, avg(beyond) AS beyond FROM v_control_charts
      WHERE measure IN ('confidence', 'latency', 'cost') AND period = 'hour' GROUP BY measure";
    let means = rows(&db, means);
    assert_eq!(means.len(), 3);
    for row in means {
        assert!(number(&row, "points") > 250.0 && number(&row, "beyond") < 0.02, "{row}");
    }
}

#[test]
fn signals_are_the_runs_of_points_beyond_the_limit() {
    let db = db();
    let mut expected: Vec<Value> = Vec::new();
    let mut open: BTreeMap<(i64, String), usize> = BTreeMap::new();
    for point in rows(&db, "SELECT * FROM v_chart_points ORDER BY at_ms, chart, stream_id") {
        let key = (point["stream_id"].as_i64().unwrap(), point["chart"].as_str().unwrap().to_owned());
        match (open.get(&key).copied(), point["out_of_control"] == 1) {
            (None, true) => {
                open.insert(key, expected.len());
                let (at, statistic) = (point["at_ms"].clone(), point["statistic"].clone());
                expected.push(serde_json::json!({
                    "stream_id": point["stream_id"], "chart": point["chart"], "signalled_at_ms": at, "ended_at_ms": null,
                    "points": 1, "statistic": statistic, "statistic_max": statistic, "samples": point["samples"],
                }));
            }
            (Some(at), true) => {
                let signal = &mut expected[at];
                signal["points"] = (signal["points"].as_i64().unwrap() + 1).into();
                signal["statistic_max"] = number(signal, "statistic_max").max(number(&point, "statistic")).into();
            }
            (Some(at), false) => {
                expected[at]["ended_at_ms"] = point["at_ms"].clone();
                open.remove(&key);
            }
            (None, false) => {}
        }
    }
    let asked = "SELECT stream_id, chart, signalled_at_ms, ended_at_ms, points, statistic, statistic_max, samples FROM v_signals
      ORDER BY signalled_at_ms, chart, stream_id";
    assert!(expected.len() > 5, "{expected:?}");
    assert_eq!(rows(&db, asked), expected);
}

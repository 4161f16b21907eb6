//! Real streams in a database: counts, shares and means equal the published truth, percentiles within the histogram's error.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a fault of a test's own may end the test")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use shewhart::edge::ledger::open_read_only;

use super::analyst::rows;
use super::real_data::data;

/// Half of a bin's width: the middle of a bin stands for all its values.
const HALF_A_BIN: f64 = 0.0005;

const SETS: [&str; 10] = [
    "adult_shift_ladder",
    "aider_telemetry",
    "azure_llm_2023",
    "azure_vm_pg25",
    "forecast_market_crowd",
    "llmperf_2023",
    "nannyml_california",
    "nannyml_car_loan",
    "tau1_gpt4o_airline",
    "tau2_gpt41_finetune",
];

/// Everything that the truth knows of one agent, over days and over pieces.
const ASKED: &str = "SELECT d.*, p.p50, p.p95, p.p99, p.outputs AS in_pieces FROM (
    SELECT agent, sum(outputs) AS n, sum(labelled) AS n_labelled, sum(correct) AS correct, sum(confidence_n) AS confidence_n,
      total(confidence_n * confidence_mean) AS confidence, sum(latency_n) AS n_latency, total(latency_n * latency_mean_ms) AS latency,
      max(latency_max_ms) AS latency_max, sum(tokens_n) AS tokens_n, sum(tokens) AS tokens, sum(cost_n) AS cost_n,
      sum(cost_usd) AS cost, sum(status_ok) AS ok, sum(escalated) AS escalated, sum(escalation_known) AS escalation_known,
      sum(status_ok + status_error + status_invalid_input + status_timeout) AS status_known
    FROM v_days GROUP BY agent
  ) d JOIN (
    SELECT agent, sum(outputs) AS outputs, hdr_quantile(hdr_merge(latency_sketch), 0.5) AS p50,
      hdr_quantile(hdr_merge(latency_sketch), 0.95) AS p95, hdr_quantile(hdr_merge(latency_sketch), 0.99) AS p99
    FROM v_pieces GROUP BY agent
  ) p ON p.agent = d.agent";

fn truth(path: &Path) -> Value {
    let truth = path.to_str().unwrap().replace(".jsonl.gz", ".truth.json");
    serde_json::from_slice(&std::fs::read(truth).unwrap()).unwrap()
}

/// Latencies by agent, in ascending order.
fn latencies(path: &Path) -> BTreeMap<String, Vec<f64>> {
    let lines = BufReader::new(flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap())).lines();
    let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for event in lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()) {
        if let Some(latency) = event["latency_ms"].as_f64() {
            all.entry(event["agent"].as_str().unwrap().to_owned()).or_default().push(latency);
        }
    }
    for latencies in all.values_mut() {
        latencies.sort_by(f64::total_cmp);
    }
    all
}

/// Whether a number is the truth's, which has so many decimals.
fn rounds_to(found: f64, truth: &Value, decimals: i32) -> bool {
    (found - truth.as_f64().unwrap()).abs() <= 0.500_1 * 10_f64.powi(-decimals)
}

fn compare(row: &Value, overall: &Value, latencies: &[f64]) {
    let number = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{name}: {row}"));
    assert_eq!((&row["n"], &row["in_pieces"]), (&overall["n"], &overall["n"]), "{row}");
    assert_eq!(row["n_labelled"], overall["n_labelled"], "{row}");
    let known = |name: &str| !overall[name].is_null();
    if known("accuracy") {
        assert!(rounds_to(number("correct") / number("n_labelled"), &overall["accuracy"], 5), "{row}");
    }
    if known("confidence_mean") {
        assert!(rounds_to(number("confidence") / number("confidence_n"), &overall["confidence_mean"], 5), "{row}");
    }
    if known("error_rate") {
        assert!(rounds_to(1.0 - number("ok") / number("status_known"), &overall["error_rate"], 5), "{row}");
    }
    if known("escalation_rate") {
        let rate = number("escalated") / number("escalation_known");
        assert!(rounds_to(rate, &overall["escalation_rate"], 5), "{row}");
    }
    if known("cost_usd") {
        assert_eq!(row["cost_n"], overall["cost_usd"]["n"]);
        assert!(rounds_to(number("cost"), &overall["cost_usd"]["sum"], 6), "{row}");
    }
    if known("tokens_in") {
        let mean = overall["tokens_in"]["mean"].as_f64().unwrap() + overall["tokens_out"]["mean"].as_f64().unwrap();
        assert!((number("tokens") / number("tokens_n") - mean).abs() < 0.011, "{row}");
    }
    if known("latency_ms") {
        let truth = &overall["latency_ms"];
        assert_eq!(
            (row["n_latency"].as_u64(), latencies.len() as u64),
            (overall["n_latency"].as_u64(), number("n_latency") as u64)
        );
        assert!(rounds_to(number("latency") / number("n_latency"), &truth["mean"], 3), "{row}");
        assert!(rounds_to(number("latency_max"), &truth["max"], 3), "{row}");
        for (name, q) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            let rank = ((q * latencies.len() as f64).ceil() as usize).max(1);
            let exact = latencies[rank - 1];
            assert!((number(name) / exact - 1.0).abs() <= HALF_A_BIN, "{name}: {exact} {row}");
            // The truth's lie on a line between neighbours.
            let (low, high) = (latencies[rank.saturating_sub(2)], latencies[rank.min(latencies.len() - 1)]);
            let told = truth[name].as_f64().unwrap();
            assert!((low - 0.001..=high + 0.001).contains(&told), "{name}: {low} {told} {high}");
        }
    }
}

#[test]
fn counts_and_percentiles_equal_the_published_truth() {
    for name in SETS {
        let Some(path) = data(name) else { continue };
        let folder = tempfile::tempdir().unwrap();
        let db = folder.path().join("real.db");
        let done = Command::new(env!("CARGO_BIN_EXE_shewhart"))
            .arg("replay")
            .arg(&path)
            .args(["--baseline-first", "1000", "--group-by", "agent", "--db", db.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        let (truth, latencies) = (truth(&path), latencies(&path));
        let found = rows(&open_read_only(&db).unwrap(), ASKED);
        assert_eq!(found.len(), truth["agents"].as_object().unwrap().len(), "{name}");
        for row in found {
            let agent = row["agent"].as_str().unwrap();
            let none = Vec::new();
            compare(&row, &truth["agents"][agent]["overall"], latencies.get(agent).unwrap_or(&none));
        }
    }
}

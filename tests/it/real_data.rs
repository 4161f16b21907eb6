//! Real streams with their ground truth, where they lie beside the project: what the shipped rules find in them.
//! `docs/real-data.md` holds the table; these tests hold it to its word.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a fault of a test's own may end the test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

#[expect(clippy::print_stdout, reason = "seen with --nocapture")]
/// The file of a data set, or nothing (and says so) where the data are absent.
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(format!("{name}.jsonl.gz"));
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: {name}: the real data are not beside the project");
    None
}

/// Replays a data set under the shipped rules and returns its alerts.
fn replay(name: &str, first: u64, group_by: &str) -> Option<Vec<Value>> {
    Some(replayed(&data(name)?, first, group_by))
}

/// Replays a file under the shipped rules and returns its alerts.
pub(crate) fn replayed(path: &Path, first: u64, group_by: &str) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_shewhart"))
        .arg("replay")
        .arg(path)
        .args(["--baseline-first", &first.to_string(), "--group-by", group_by, "-o", "json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["alerts"].as_array().unwrap().clone()
}

/// The outputs of an agent's stream up to its first alert of that name.
pub(crate) fn first(alerts: &[Value], alert: &str, agent: &str) -> Option<u64> {
    let of = |a: &&Value| a["alert"] == alert && a["stream"]["agent"] == agent;
    alerts.iter().find(of).and_then(|a| a["outputs"].as_u64())
}

#[test]
fn drops_of_three_and_five_points_the_ramp_and_the_blip_page_and_no_drop_is_silent() {
    let Some(alerts) = replay("adult_shift_ladder", 10_000, "agent") else { return };
    // 1.5 times the delay of the reference CUSUM, from the change (at output 10,000, the blip's at 13,000).
    for (agent, at_most) in [("income-c", 12_419), ("income-d", 15_079), ("income-f", 12_994), ("income-g", 13_546)] {
        let found = first(&alerts, "AccuracyDegraded", agent);
        assert!(found.is_some_and(|outputs| outputs <= at_most), "{agent}: {found:?}, at most {at_most}");
    }
    assert!(alerts.iter().all(|a| a["stream"]["agent"] != "income-b"), "the agent without a change is silent");
    assert_eq!(first(&alerts, "AccuracyDegraded", "income-e"), None, "one point down is not two");
    for alert in alerts.iter().filter(|a| a["alert"] == "AccuracyDegraded") {
        assert_eq!((&alert["severity"], &alert["grade"]), (&"critical".into(), &"degraded".into()));
        let (estimate, baseline) = (alert["estimate"].as_f64().unwrap(), alert["baseline"].as_f64().unwrap());
        assert!(baseline - estimate > 0.02, "{alert}");
    }
}

#[test]
fn a_change_known_to_the_output_is_dated_and_found_within_a_thousand_labels() {
    let Some(alerts) = replay("nannyml_car_loan", 50_000, "agent") else { return };
    let page = alerts.iter().find(|a| a["alert"] == "AccuracyDegraded").unwrap();
    // Changed at output 75,000 (2019-03-31T03:00Z); verdicts come 30 days later.
    assert!((75_000..76_500).contains(&page["labels"].as_u64().unwrap()), "{page}");
    assert!(page["changed_at"].as_str().unwrap() > "2019-03-29", "{page}");
    assert!(page["changed_at"].as_str().unwrap() < "2019-04-02", "{page}");
    let sagging = alerts.iter().find(|a| a["alert"] == "ConfidenceFalling" && a["outputs"].as_u64() >= Some(75_000));
    assert!(
        sagging.is_some_and(|a| a["outputs"].as_u64() < Some(75_500)),
        "confidence says it weeks before the labels"
    );
}

#[test]
fn an_unstable_baseline_is_allowed_for_and_the_collapse_found_all_the_same() {
    let Some(alerts) = replay("nannyml_california", 5_832, "agent") else { return };
    let agent = "house-value-classifier";
    // Chunks of 250 of the baseline vary from 13 to 94 %. The collapse begins at output 7,857; verdicts come 720 later.
    let drifting = first(&alerts, "AccuracyDrifting", agent).unwrap();
    assert!((7_857 + 720..10_500).contains(&drifting), "{drifting}");
    let paged = first(&alerts, "AccuracyDegraded", agent).unwrap();
    assert!((drifting..13_500).contains(&paged), "{paged}");
    assert_eq!(alerts.iter().filter(|a| a["alert"] == "AccuracyDegraded").count(), 1, "one collapse, one page");
}

#[test]
fn a_coding_agents_slowing_and_its_errors_are_found() {
    let Some(alerts) = replay("aider_telemetry", 2_000, "agent") else { return };
    assert!(first(&alerts, "LatencyP95Exceeded", "aider").is_some());
    assert!(first(&alerts, "ErrorsRising", "aider").is_some());
    assert!(alerts.len() < 20, "{} alerts in 20 months", alerts.len());
}

#[test]
fn a_decline_whose_verdicts_come_weeks_late_is_paged_once_outputs_are_old_enough() {
    let Some(alerts) = replay("forecast_market_crowd", 1_000, "agent") else { return };
    let pages: Vec<&Value> = alerts.iter().filter(|a| a["alert"] == "AccuracyDegraded").collect();
    let [page] = pages[..] else { panic!("{pages:?}") };
    // What resolves falls from 95.6 % in autumn to 80.9 % from March on; outputs are judged at 45 days.
    let at = |name: &str| page[name].as_str().unwrap()[..10].to_owned();
    assert!(("2026-04-15".."2026-06-30").contains(&at("at").as_str()), "{page}");
    assert!(("2026-01-15".."2026-04-01").contains(&at("changed_at").as_str()), "{page}");
}

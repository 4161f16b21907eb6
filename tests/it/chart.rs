//! The chart that people look at: its points are the events' own, its limits Laney's, its marks the run rules'.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::docs::read;

const EVENTS: &str = "fixtures/events/drop-5pp.jsonl";
/// Outputs of the baseline.
const FIRST: usize = 200;

fn shewhart(args: &[&str]) -> Output {
    let program =
        Command::new(env!("CARGO_BIN_EXE_shewhart")).current_dir(env!("CARGO_MANIFEST_DIR")).args(args).output();
    program.unwrap()
}

fn database(folder: &Path) -> String {
    let path = folder.join("chart.db").to_str().unwrap().to_owned();
    let first = FIRST.to_string();
    let done = shewhart(&["replay", EVENTS, "--baseline-first", &first, "--group-by", "agent", "--db", &path]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    path
}

#[test]
fn points_are_the_events_own_and_limits_follow_from_the_baseline() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(folder.path());
    let done = shewhart(&["chart", "--db", &db, "--by", "hour", "-o", "json"]);
    let charts: Value = serde_json::from_slice(&done.stdout).unwrap();
    let chart = &charts[0];

    let (mut hours, mut wrong) = (BTreeMap::<String, (u64, u64)>::new(), 0);
    for (at, line) in read(EVENTS).lines().enumerate() {
        let event: Value = serde_json::from_str(line).unwrap();
        let bad = u64::from(event["correct"] == false);
        wrong += if at < FIRST { bad } else { 0 };
        let hour = hours.entry(format!("{}:00:00Z", &event["ts"].as_str().unwrap()[..13])).or_default();
        *hour = (hour.0 + bad, hour.1 + 1);
    }
    let points = chart["points"].as_array().unwrap();
    assert_eq!(points.len(), hours.len());
    let p = wrong as f64 / FIRST as f64;
    assert!((chart["centre"].as_f64().unwrap() - (1.0 - p)).abs() < 1e-12);
    let sigma = chart["sigma_z"].as_f64().unwrap();
    for (point, (hour, (bad, n))) in points.iter().zip(&hours) {
        assert_eq!((&point["at"], &point["cases"]), (&hour.as_str().into(), &(*n).into()));
        let number = |name: &str| point[name].as_f64().unwrap();
        assert!((number("share") - (1.0 - *bad as f64 / *n as f64)).abs() < 1e-12);
        let half = 3.0 * sigma * (p * (1.0 - p) / *n as f64).sqrt();
        assert!((number("lower") - (1.0 - p - half).max(0.0)).abs() < 1e-12);
        assert!((number("upper") - (1.0 - p + half).min(1.0)).abs() < 1e-12);
        assert_eq!(point["beyond"], (number("share") < number("lower")), "{point}");
    }
    // Eight points in a row on one side make rule 4 of Western Electric, nine make rule 2 of Nelson.
    let mut below = 0;
    for point in points {
        below = if point["share"].as_f64() < chart["centre"].as_f64() { below + 1 } else { 0 };
        let fires = |name: &str, rule: u64| point[name].as_array().unwrap().contains(&rule.into());
        assert_eq!((fires("western_electric", 4), fires("nelson", 2)), (below >= 8, below >= 9), "{point}");
    }
    assert!(below >= 9, "the fall is seen");
}

#[test]
fn what_is_drawn_has_a_column_a_point_and_what_cannot_be_drawn_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(folder.path());
    let drawn = String::from_utf8(shewhart(&["chart", "--db", &db, "--by", "hour", "--last", "12"]).stdout).unwrap();
    let columns = |line: &&str| line.split_once(" |").map(|(_, cells)| cells.matches(['o', 'x', '*']).count());
    let lines: Vec<&str> = drawn.lines().collect();
    assert_eq!(lines.iter().filter_map(columns).sum::<usize>(), 12, "{drawn}");
    assert!(lines.iter().any(|line| line.ends_with(&format!("+{}", "-".repeat(12)))), "{drawn}");
    let refused = |args: &[&str], why: &str| {
        let done = shewhart(&[&["chart", "--db", &db], args].concat());
        assert_eq!(done.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&done.stderr).contains(why), "{done:?}");
    };
    refused(&["--measure", "cost"], "there is no chart of `cost`");
    refused(&["--agent", "nobody"], "no stream with a baseline");
    refused(&["--measure", "override_rate"], "no stream with a baseline");
}

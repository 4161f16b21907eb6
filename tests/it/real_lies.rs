//! Real streams whose confidence is replaced by one that lies: what a daemon's database, status and alerts then say.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use shewhart::edge::ledger::open_read_only;

use crate::analyst::rows;
use crate::real_data::data;
use crate::real_estimates::{lines, streams_of, uniform};

/// A rule that asks for a level, whatever the baseline.
const FLOOR: &str = r#"
groups:
  - name: floor
    rules:
      - alert: AccuracyBelowTarget
        detect: { measure: accuracy, target: 90%, false_alarms: 1 per 1y }
        labels: { severity: critical }
        annotations: { summary: "{{ agent }}: accuracy {{ estimate }}" }
"#;

/// A daemon's database after car_loan, made another stream.
struct World {
    folder: tempfile::TempDir,
    database: PathBuf,
    lines: Vec<String>,
    alerts: Vec<Value>,
}

impl World {
    /// Replays car_loan as `change` makes it, which takes the number of an output and an event about it, and says whether
    /// that is kept.
    fn of(baseline: u64, change: impl Fn(u64, &mut Value) -> bool) -> Option<Self> {
        let path = data("nannyml_car_loan")?;
        let folder = tempfile::tempdir().unwrap();
        let (events, database) = (folder.path().join("events.jsonl"), folder.path().join("replay.db"));
        let made = |line: String| {
            let mut event: Value = serde_json::from_str(&line).unwrap();
            let number = event["event_id"].as_str().unwrap()[2..].parse().unwrap();
            change(number, &mut event).then(|| event.to_string())
        };
        let lines: Vec<String> = lines(&path).into_iter().filter_map(made).collect();
        fs::write(&events, lines.join("\n")).unwrap();
        let (events, first) = (events.display().to_string(), baseline.to_string());
        let args = ["replay", &events, "--group-by", "agent", "-o", "json", "--baseline-first", &first];
        let report: Value = serde_json::from_str(&told(&args, &database)).unwrap();
        let alerts = report["alerts"].as_array().unwrap().clone();
        Some(Self { folder, database, lines, alerts })
    }

    fn rows(&self, sql: &str) -> Vec<Value> {
        rows(&open_read_only(&self.database).unwrap(), sql)
    }

    fn names(&self) -> BTreeSet<&str> {
        self.alerts.iter().map(|alert| alert["alert"].as_str().unwrap()).collect()
    }
}

/// What a command prints with this database.
fn told(args: &[&str], database: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_shewhart")).args(args).arg("--db").arg(database).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The confidence of an event, replaced.
fn restate(event: &mut Value, say: impl Fn(f64) -> f64) {
    let stated = event["confidence"].as_f64();
    if let Some(stated) = stated {
        event["confidence"] = say(stated).into();
    }
}

#[test]
fn confidence_that_lies_is_found_out_and_no_estimate_is_told_then() {
    // From output 75,000 on, where its accuracy falls from 94.4 to 91.6 %, the stream is sure of everything; it still says in the
    // fourth digit of what it is least sure. Of the verdicts after the baseline 30 % are left.
    let lies = |number: u64, event: &mut Value| {
        if number >= 75_000 {
            restate(event, |stated| 0.97 + 0.03 * stated);
        }
        number < 50_000 || event["type"] == "output" || uniform(1, number) < 0.3
    };
    let Some(world) = World::of(50_000, lies) else { return };
    assert!(
        world.names().is_superset(&BTreeSet::from(["CalibrationBroken", "AccuracyDegraded"])),
        "{:?}",
        world.names()
    );
    // Confidence rose, so nobody suspects a fall.
    assert!(!world.names().contains("AccuracySuspected"));

    let spans = world.rows("SELECT * FROM v_accuracy_estimates");
    let (mut before, mut after) = (0, 0);
    for span in &spans {
        let start = span["start"].as_str().unwrap();
        if start < "2019-03-20" {
            before += u32::from(span["how"] == "powered");
            assert!(span["invalid"].is_null() && (span["how"] == "differ" || span["estimate"].is_number()), "{span}");
        } else if start >= "2019-04-08" {
            after += 1;
            assert_eq!(span["how"], "invalid", "{span}");
            assert!(["estimate", "estimate_low", "estimate_high"].iter().all(|name| span[*name].is_null()), "{span}");
            assert!(span["invalid"].as_str().unwrap().ends_with("below what confidence says"), "{span}");
            assert!(span["labels_accuracy"].is_number(), "{span}");
        }
    }
    assert!(before > 50 && after > 140, "{before} {after}");

    let status: Value = serde_json::from_str(&told(&["status", "-o", "json"], &world.database)).unwrap();
    let stream = &status["accuracy"]["streams"][0];
    assert!(stream["estimate"].is_null() && stream["invalid"].is_string() && stream["labels"].is_object(), "{stream}");
    assert!(told(&["status"], &world.database).contains("INVALID: since about 2019-0"));

    let page = &world.rows("SELECT * FROM v_alerts WHERE alert = 'AccuracyDegraded'")[0];
    assert_eq!(page["accuracy_how"], "invalid", "{page}");
    assert!(page["accuracy_estimate"].is_null() && page["accuracy_invalid"].is_string(), "{page}");
    let text = page["annotations"].as_str().unwrap();
    assert!(text.contains("its calibration broke, so confidence is no guide to what is right"), "{text}");
    assert!(text.contains("Accuracy is not estimated from confidence: since about 2019-0"), "{text}");
}

#[test]
fn a_stream_that_was_never_right_about_itself_is_not_believed() {
    // About 55 % right at a mean confidence of 99.4 %, in the baseline and after it.
    let sure = |number: u64, event: &mut Value| {
        restate(event, |stated| 1.0 - 0.085 * (1.0 - stated));
        if event["correct"] == true && uniform(2, number) >= 0.58 {
            event["correct"] = false.into();
        }
        number < 75_000 && (number < 20_000 || event["type"] == "output" || uniform(1, number) < 0.3)
    };
    let Some(world) = World::of(20_000, sure) else { return };
    let stream = &streams_of(&world.lines, 20_000)["car-loan-scorer"];
    let map = stream.profile.calibration().unwrap();
    let confidences: Vec<f64> = stream.cases.iter().map(|case| case.place.confidence().unwrap()).collect();
    let mean = |of: &dyn Fn(f64) -> f64| confidences.iter().copied().map(of).sum::<f64>() / confidences.len() as f64;
    let (stated, said) = (mean(&|confidence| confidence), mean(&|confidence| map.accuracy(confidence)));
    assert!((0.992..0.996).contains(&stated), "{stated}");
    assert!((0.53..0.57).contains(&said), "what confidence stands for is learnt: {said}");
    assert!(map.blocks().iter().all(|block| block.accuracy < 0.7), "{map:?}");

    // It is as bad as it was validated. On 16,500 verdicts in a year warnings may come by chance, and two of AccuracyDrifting and
    // one of CalibrationBroken do; no page and no suspicion.
    assert!(!world.names().contains("AccuracyDegraded") && !world.names().contains("AccuracySuspected"));
    for alert in world.rows("SELECT * FROM v_alerts") {
        assert!(!alert["annotations"].as_str().unwrap().contains("99."), "{alert}");
    }
    for day in world.rows("SELECT * FROM v_accuracy_estimates WHERE period = 'day' AND labelled >= 30") {
        assert!(day["estimate"].as_f64().is_some_and(|x| x < 0.8) || day["how"] == "differ", "{day}");
        assert!((0.53..0.57).contains(&day["baseline_accuracy"].as_f64().unwrap()), "{day}");
    }
    let status = told(&["status"], &world.database);
    assert!(status.contains("baseline") && !status.contains("99."), "{status}");
    let threshold = ["threshold", "--agent", "car-loan-scorer", "--accuracy", "98%"];
    let threshold = told(&threshold, &world.database);
    assert!(threshold.contains("98.0 % is not reached at any threshold"), "{threshold}");

    // Where a level is asked for, the same stream is paged at once.
    let (events, rules) = (world.folder.path().join("events.jsonl"), world.folder.path().join("floor.yaml"));
    fs::write(&rules, FLOOR).unwrap();
    let [events, rules] = [events, rules].map(|path| path.display().to_string());
    let args = ["replay", &events, "--rules", &rules, "--group-by", "agent", "--baseline-first", "20000", "-o", "json"];
    let report: Value = serde_json::from_str(&told(&args, &world.folder.path().join("floor.db"))).unwrap();
    let page = report["alerts"].as_array().unwrap().iter().find(|alert| alert["alert"] == "AccuracyBelowTarget");
    let labels = page.and_then(|page| page["labels"].as_u64());
    assert!(labels.is_some_and(|labels| (20_000..20_200).contains(&labels)), "{page:?}");
}

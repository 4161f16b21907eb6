//! Rule files: the good ones compile, every bad one is explained, the shipped ones are spotless.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use shewhart::engine::rule::{Compiled, Grade, Source, compile, render};

mod edits;
mod schema;

/// The rule files of a folder of the repository whose name ends so, sorted.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&folder).expect("the folder is part of the repository");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} holds no {ending}", folder.display());
    paths
}

fn source(path: &Path) -> Source {
    let name = path.file_name().expect("a file").to_string_lossy().into_owned();
    Source { name, text: fs::read_to_string(path).expect("readable") }
}

fn compiled(path: &Path) -> Compiled {
    compile(&[source(path)])
}

fn lines(compiled: &Compiled) -> String {
    compiled.diagnostics.iter().fold(String::new(), |mut out, diagnostic| {
        writeln!(out, "{diagnostic}").expect("strings take everything");
        out
    })
}

#[test]
fn good_files_compile_and_their_warnings_are_these() {
    let mut out = String::new();
    for path in files("fixtures/rules", ".good.yaml") {
        let compiled = compiled(&path);
        assert!(compiled.rules.is_some(), "{}", lines(&compiled));
        out += &lines(&compiled);
    }
    insta::assert_snapshot!("rules_good_warnings", out);
}

#[test]
fn bad_files_are_refused_and_explained() {
    let mut out = String::new();
    for path in files("fixtures/rules", ".bad.yaml") {
        let compiled = compiled(&path);
        assert!(compiled.rules.is_none(), "{} was accepted", path.display());
        // One fault, one message: a second one sends people looking for a second fault.
        let faults = if path.ends_with("seven-faults-at-once.bad.yaml") { 7 } else { 1 };
        assert_eq!(compiled.diagnostics.len(), faults, "{}", lines(&compiled));
        out += &lines(&compiled);
    }
    insta::assert_snapshot!("rules_bad_explained", out);
}

#[test]
fn a_diagnostic_is_drawn_with_its_line() {
    let names = ["drop-of-escalation.bad.yaml", "annotation-block-left-open.bad.yaml", "severity-misspelt.good.yaml"];
    let paths = names.iter().flat_map(|name| files("fixtures/rules", name));
    let drawn: String = paths.map(|path| render(&compiled(&path).diagnostics, false, 100)).collect();
    insta::assert_snapshot!("rules_drawn", drawn);
}

#[test]
fn shipped_rules_are_spotless() {
    let sources: Vec<Source> = files("rules", ".yaml").iter().map(|path| source(path)).collect();
    let compiled = compile(&sources);
    assert!(compiled.diagnostics.is_empty(), "{}", lines(&compiled));
    let rules = compiled.rules.expect("no diagnostics").rules;
    for rule in &rules {
        assert!(rule.labels.contains_key("severity"), "{}", rule.id);
        assert!(
            rule.annotations.contains_key("summary") && rule.annotations.contains_key("description"),
            "{}",
            rule.id
        );
    }
    let accuracy = |alert: &str| &rules.iter().find(|rule| rule.alert == alert).expect("shipped").detect;
    let (degraded, drifting) = (accuracy("AccuracyDegraded"), accuracy("AccuracyDrifting"));
    assert_eq!((degraded.grade, drifting.grade), (Grade::Degraded, Grade::Drifting));
    assert_eq!(degraded.definition(), drifting.definition(), "they share one chart");
}

#[test]
fn shipped_annotations_read_well() {
    let sources: Vec<Source> = files("rules", ".yaml").iter().map(|path| source(path)).collect();
    let values = [
        ("agent", "invoice-triage"),
        ("task", "eu"),
        ("version", "7.2"),
        ("version_before", "7.1"),
        ("estimate", "89.1 %"),
        ("interval", "86.9 to 91.0 %"),
        ("baseline", "94.0 %"),
        ("baseline_interval", "93.2 to 94.7 %"),
        ("drop", "4.9 points"),
        ("changed_at", "2026-03-01 02:10 UTC"),
        ("accuracy_estimate", "90.3 %"),
        ("accuracy_interval", "88.4 % to 91.9 %"),
        ("accuracy_by", "812 labels, weighted to match 16240 outputs"),
        ("accuracy_labels", "88.2 %"),
        ("labels_in", "812 of 16240 outputs (5.0 %)"),
        ("labels_usual", "5.1 %"),
        ("labels_differ", "mean confidence 81.2 % against 90.4 %"),
        ("samples", "812"),
        ("labels", "9120"),
        ("outputs", "80250"),
        ("statistic", "9.3"),
        ("limit", "8.9"),
    ];
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut out = String::new();
    for rule in compile(&sources).rules.expect("spotless").rules {
        writeln!(out, "== {}", rule.id).expect("strings take everything");
        for (name, text) in rule.annotate(&values) {
            writeln!(out, "{name}: {}", text.trim_end()).expect("strings take everything");
        }
    }
    insta::assert_snapshot!("rules_shipped_annotations", out);
}

#[test]
fn a_rule_that_no_traffic_could_serve_is_a_finding_of_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rules.yaml");
    let rule = |alert: &str, drop: &str| {
        format!(
            "      - alert: {alert}\n        detect: {{ measure: accuracy, drop: {drop}, false_alarms: 1 per 90d }}\n        \
             labels: {{ severity: warning }}\n        annotations: {{ summary: x }}\n"
        )
    };
    let text = format!("groups:\n  - name: g\n    rules:\n{}{}", rule("Tiny", "0.01pp"), rule("Usual", "2pp"));
    fs::write(&path, text).expect("written");
    let run = |more: &[&str]| {
        let check =
            std::process::Command::new(env!("CARGO_BIN_EXE_shewhart")).arg("check").arg(&path).args(more).output();
        let check = check.expect("started");
        let say = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (check.status.code(), say(&check.stdout), say(&check.stderr))
    };
    let (code, out, err) = run(&[]);
    assert_eq!((code, out.as_str()), (Some(0), "2 rules are good, 1 warnings\n"));
    assert!(err.contains("g/Tiny on any stream: a change of the rule's own size") && !err.contains("Usual"), "{err}");
    assert_eq!(run(&["--strict"]).0, Some(3));
    let report: serde_json::Value = serde_json::from_str(&run(&["-o", "json"]).1).expect("JSON");
    assert_eq!(report["findings"][0]["rule"], "g/Tiny");
    assert_eq!(report["findings"].as_array().map(Vec::len), Some(1));
}

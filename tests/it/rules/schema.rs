//! The JSON Schema of rule files, by a validator that knows nothing of it.

use std::process::Command;

use serde_json::Value;
use shewhart::engine::rule::schema::schema;
use shewhart::engine::rule::{Source, compile};

use super::{files, source};

/// A rule file as an editor's plugin sees it: its text as YAML reads it.
fn json(text: &str) -> Option<Value> {
    serde_saphyr::from_str(text).ok()
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema()).expect("the schema is one")
}

#[test]
fn the_schema_is_one_and_is_printed() {
    jsonschema::meta::validate(&schema()).expect("the schema follows its own schema");
    let run = Command::new(env!("CARGO_BIN_EXE_shewhart")).args(["check", "--schema"]).output().expect("started");
    assert_eq!(run.status.code(), Some(0));
    assert_eq!(serde_json::from_slice::<Value>(&run.stdout).expect("JSON"), schema());
}

#[test]
fn what_compiles_is_valid() {
    let validator = validator();
    let mut seen = 0;
    for path in files("fixtures/rules", ".good.yaml").into_iter().chain(files("rules", ".yaml")) {
        let value = json(&source(&path).text).unwrap_or_else(|| panic!("{} is YAML", path.display()));
        if value.is_null() {
            assert!(path.ends_with("only-comments.good.yaml"), "{}", path.display());
            continue;
        }
        let faults: Vec<String> =
            validator.iter_errors(&value).map(|e| format!("{} at {}", e, e.instance_path())).collect();
        assert!(faults.is_empty(), "{}: {faults:#?}", path.display());
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn most_of_what_does_not_compile_is_not_valid_and_the_rest_is_listed() {
    let validator = validator();
    let (mut refused, mut passed) = (0, Vec::new());
    for path in files("fixtures/rules", ".bad.yaml") {
        let source = source(&path);
        let Some(value) = json(&source.text) else { continue };
        if validator.is_valid(&value) {
            passed.push(source.name);
        } else {
            refused += 1;
        }
    }
    assert!(refused > 2 * passed.len(), "{refused} refused, passed: {passed:?}");
    insta::assert_snapshot!("rules_only_the_compiler_refuses", passed.join("\n"));
}

const MEASURES: [&str; 15] = [
    "accuracy",
    "confidence",
    "confidence_distribution",
    "escalation_rate",
    "override_rate",
    "error_rate",
    "availability",
    "latency",
    "latency, quantile: p95",
    "cost",
    "tokens",
    "profile",
    "silence",
    "metrics.recall",
    "flags.grounded",
];

const BOUNDS: [&str; 22] = [
    "",
    ", drop: 2pp",
    ", drop: 2 pp",
    ", drop: 10%",
    ", drop: 0.5sd",
    ", drop: 0.5",
    ", drop: 200ms",
    ", drop: -2pp",
    ", drop: 0pp",
    ", rise: 2pp",
    ", rise: 10%",
    ", rise: 1sd",
    ", rise: 0.05",
    ", target: 99.5%",
    ", target: 0.995",
    ", target: 99.5",
    ", target: 2pp",
    ", limit: 1%",
    ", limit: 0.01",
    ", absent: 6h",
    ", absent: 0",
    ", drop: 2pp, target: 92%",
];

const MORE: [&str; 26] = [
    "",
    ", false_alarms: 1 per 90d",
    ", false_alarms: often",
    ", arl0: 20000",
    ", arl0: 20",
    ", false_alarms: 1 per 90d, arl0: 20000",
    ", chart: esr",
    ", chart: cusum",
    ", chart: ewma",
    ", chart: laney",
    ", chart: lstm",
    ", grade: drifting",
    ", grade: sure",
    ", guarantee: 90%",
    ", guarantee: 20%",
    ", component: llm",
    ", quantile: p99, component: llm",
    ", burn_rate: 14.4",
    ", burn_rate: default",
    ", burn_rate: 6, long: 6h, short: 30m",
    ", burn_rate: 6, long: 3d",
    ", burn_rate: 0.5",
    ", burn_rate: 14.4, chart: cusum",
    ", burn_rate: default, long: 1h",
    ", long: 1h",
    ", measur: cost",
];

/// Every measure with every bound, unit and key beside them: the schema and the compiler agree on all of it.
#[test]
fn schema_and_compiler_agree_on_every_combination() {
    let validator = validator();
    let mut right = 0;
    for (measure, bound, more) in
        MEASURES.iter().flat_map(|m| BOUNDS.iter().flat_map(move |b| MORE.iter().map(move |more| (m, b, more))))
    {
        let twice = measure.contains("quantile") && more.contains("quantile");
        if twice {
            continue;
        }
        let detect = format!("measure: {measure}{bound}{more}");
        let text = format!("groups: [{{ name: g, rules: [{{ alert: A, detect: {{ {detect} }} }}] }}]");
        let compiles = compile(&[Source { name: "r".to_owned(), text: text.clone() }]).rules.is_some();
        let value = json(&text).unwrap_or_else(|| panic!("{text} is YAML"));
        assert_eq!(validator.is_valid(&value), compiles, "{detect}");
        right += usize::from(compiles);
    }
    assert!(right > 200, "{right} of them are right");
}

//! The JSON Schema of rule files, for editors, built from the word lists that the compiler reads by.
//!
//! It knows shapes, words and units. What takes arithmetic (a burn rate that is never reached, a name used twice) only the
//! compiler knows.

use serde_json::{Map, Value, json};

use super::amount::Unit;
use super::check::{CHARTS, GRADES};
use super::measure::{COMPONENTS, Kind, QUANTILES, WORDS};
use super::parse::{BOUND_KEYS, DETECT_KEYS, FILE_KEYS, GROUP_KEYS, RULE_KEYS};
use super::{ChartKind, Measure};
use crate::engine::rule::compile::{ENGINE_LABELS, SEVERITIES};

const NUMBER: &str = r"[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?";
const DURATION: &str = r"(0|(?=[0-9])([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)";
const LABEL: &str = "^[a-zA-Z_][a-zA-Z0-9_]{0,127}$";

/// The schema (draft 2020-12).
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "shewhart rule file",
        "description": "What shewhart watches, how much matters, and what an alarm may cost.",
        "type": "object",
        "required": ["groups"],
        "properties": keyed(FILE_KEYS, |_| json!({
            "description": "Groups of rules.", "type": ["array", "null"], "items": { "$ref": "#/$defs/group" },
        })),
        "additionalProperties": false,
        "$defs": { "group": group(), "rule": rule(), "detect": detect(), "duration": duration(), "words": texts(None) },
    })
}

/// An object of schemas, one for each key.
fn keyed(keys: &[&str], of: impl Fn(&str) -> Value) -> Value {
    Value::Object(keys.iter().map(|key| ((*key).to_owned(), of(key))).collect())
}

fn group() -> Value {
    json!({
        "type": "object",
        "required": ["name"],
        "properties": keyed(GROUP_KEYS, |key| match key {
            "name" => name("The group's name, unique among all files.", "^[^\\u0000-\\u001f]{1,128}$"),
            "labels" => described("Labels added to every rule of the group; a rule's own label wins.", &labels()),
            _ => json!({
                "description": "The rules.", "type": ["array", "null"], "items": { "$ref": "#/$defs/rule" },
            }),
        }),
        "additionalProperties": false,
    })
}

fn rule() -> Value {
    let duration = |text| json!({ "description": text, "$ref": "#/$defs/duration" });
    json!({
        "type": "object",
        "required": ["alert", "detect"],
        "properties": keyed(RULE_KEYS, |key| match key {
            "alert" => name("The alert's name, unique in its group.", "^[^/\\u0000-\\u001f]{1,128}$"),
            "enabled" => json!({
                "description": "false keeps the rule in the file and out of force.",
                "enum": [true, false, "true", "false"], "default": true,
            }),
            "where" => json!({
                "description": "Globs over the stream's labels; all must match. Left out, every stream is watched.",
                "type": "object", "propertyNames": { "pattern": LABEL },
                "additionalProperties": { "type": ["string", "number", "boolean"], "maxLength": 256 },
            }),
            "detect" => json!({ "description": "What is watched, and how much matters.", "$ref": "#/$defs/detect" }),
            "for" => duration("How long the verdict must last before the alert fires, in event time."),
            "keep_firing_for" => duration("How long the alert goes on after the level is back."),
            "labels" => described("Labels added to the stream's.", &labels()),
            _ => json!({ "description": "Templates for people.", "$ref": "#/$defs/words" }),
        }),
        "additionalProperties": false,
    })
}

fn described(text: &str, schema: &Value) -> Value {
    json!({ "description": text, "allOf": [schema] })
}

fn name(text: &str, pattern: &str) -> Value {
    json!({ "description": text, "type": ["string", "number", "boolean"], "pattern": pattern })
}

/// Names with text; YAML reads some of that text as numbers and truth values.
fn texts(more: Option<Value>) -> Value {
    let mut schema = json!({
        "type": ["object", "null"],
        "propertyNames": { "pattern": LABEL },
        "additionalProperties": { "type": ["string", "number", "boolean", "null"] },
    });
    if let (Some(object), Some(Value::Object(more))) = (schema.as_object_mut(), more) {
        object.extend(more);
    }
    schema
}

fn labels() -> Value {
    texts(Some(json!({
        "propertyNames": { "pattern": LABEL, "not": { "enum": ENGINE_LABELS } },
        "properties": { "severity": { "examples": SEVERITIES } },
    })))
}

/// YAML reads `0` as a number.
fn duration() -> Value {
    json!({
        "anyOf": [{ "type": "string", "pattern": format!("^{DURATION}$") }, { "const": 0 }],
        "description": "Like 30s, 5m, 1h30m, 90d or 0.",
    })
}

/// A positive duration.
fn span(text: &str) -> Value {
    json!({ "description": text, "type": "string", "pattern": format!("^(?!0+[a-z]*$){DURATION}$") })
}

/// What stands beside a key of `detect`, whatever the measure.
fn of_detect(key: &str) -> Value {
    let words = |words: Vec<&str>| Value::from(words);
    match key {
        "measure" => json!({
            "description": "What is watched.",
            "anyOf": [{ "enum": WORDS }, { "type": "string", "pattern": r"^(metrics|flags)\..+$" }],
        }),
        "quantile" => json!({
            "description": "The quantile of the baseline's latency that is the bar.",
            "enum": words(QUANTILES.iter().map(|(word, _)| *word).collect()),
        }),
        "component" => json!({
            "description": "A part of the latency; left out, the whole.",
            "enum": words(COMPONENTS.iter().map(|(word, _)| *word).collect()),
        }),
        "drop" => json!({ "description": "How far below the baseline matters, like 2pp, 10% or 0.5sd." }),
        "rise" => json!({ "description": "How far above the baseline matters, like 2pp, 10% or 0.5sd." }),
        "target" => level("The share must stay at or above this, like 99.5%, whatever the baseline."),
        "limit" => level("The share must stay at or below this, like 1%, whatever the baseline."),
        "absent" => span("The least silence that counts, like 6h."),
        "false_alarms" => json!({
            "description": "What an alarm may cost on one stream, like 1 per 90d.",
            "type": "string", "pattern": format!("^{NUMBER} per (?!0+[a-z]*$){DURATION}$"), "default": "1 per 90d",
        }),
        "arl0" => json!({
            "description": "The same in samples: one false alarm per so many.",
            "anyOf": [
                { "type": "number", "minimum": 100, "maximum": 1e9 },
                { "type": "string", "pattern": format!("^{NUMBER}$") },
            ],
        }),
        "grade" => json!({
            "description": "How sure the chart must be about the size; shares only.",
            "enum": words(GRADES.iter().map(|(word, _)| *word).collect()), "default": "degraded",
        }),
        "chart" => json!({
            "description": "The chart by name, where the one that follows from measure and baseline is not wanted.",
            "enum": words(CHARTS.iter().map(|(word, _)| *word).collect()),
        }),
        "guarantee" => json!({
            "description": "The probability that the promise is kept although the baseline is an estimate.",
            "anyOf": [
                { "type": "number", "minimum": 0.5, "maximum": 0.999 },
                { "type": "string", "pattern": r"^([5-9][0-9](\.[0-9]+)?%|0?\.[5-9][0-9]*)$" },
            ],
            "default": "75%",
        }),
        "burn_rate" => json!({
            "description": "How fast a target or limit may be used up: a number, or default (14.4 over 1h and 5m, or 6 over 6h and 30m).",
            "anyOf": [
                { "const": "default" },
                { "type": "number", "exclusiveMinimum": 1 },
                { "type": "string", "pattern": format!("^{NUMBER}$") },
            ],
        }),
        "long" => window("The burn rate's long window; 1h where not written."),
        _ => window("The burn rate's short window; a twelfth of the long one where not written."),
    }
}

fn detect() -> Value {
    json!({
        "type": "object",
        "required": ["measure"],
        "properties": keyed(DETECT_KEYS, of_detect),
        "additionalProperties": false,
        "not": { "required": ["false_alarms", "arl0"] },
        "dependentRequired": { "long": ["burn_rate"], "short": ["burn_rate"] },
        "dependentSchemas": { "burn_rate": { "properties": keyed(
            &["drop", "rise", "absent", "false_alarms", "arl0", "grade", "chart", "guarantee"],
            |_| Value::Bool(false),
        ) } },
        "allOf": conditions(),
        "if": { "properties": { "burn_rate": { "const": "default" } }, "required": ["burn_rate"] },
        "then": { "properties": { "long": false, "short": false } },
    })
}

/// A share as `92%` or `0.92`, between 0 and 1.
fn level(text: &str) -> Value {
    json!({
        "description": text,
        "anyOf": [
            { "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1 },
            { "type": "string", "pattern": r"^(?!0*\.?0* ?%?$)([0-9]{1,2}(\.[0-9]+)? ?%|0?\.[0-9]+)$" },
        ],
    })
}

fn window(text: &str) -> Value {
    let pattern = r"^0*([1-9][0-9]?m|[1-9][0-9]*s|1?[0-9]h|2[0-4]h|1d)$";
    json!({ "description": text, "type": "string", "pattern": pattern })
}

/// What each measure can be asked, as conditions on its word.
fn conditions() -> Vec<Value> {
    let plain = WORDS.iter().map(|word| (json!({ "const": word }), Measure::from_word(word)));
    let named = ["metrics.x", "flags.x"].map(|word| {
        let pattern = format!("^{}", word.trim_end_matches('x').replace('.', r"\."));
        (json!({ "type": "string", "pattern": pattern }), Measure::from_word(word))
    });
    let all = plain.chain(named);
    all.filter_map(|(word, measure)| {
        let condition = json!({ "properties": { "measure": word }, "required": ["measure"] });
        Some(json!({ "if": condition, "then": of_measure(&measure?) }))
    })
    .collect()
}

fn of_measure(measure: &Measure) -> Value {
    let kind = measure.kind();
    let mut properties = Map::new();
    for key in BOUND_KEYS {
        if !kind.bounds().contains(key) {
            properties.insert((*key).to_owned(), Value::Bool(false));
        } else if matches!(*key, "drop" | "rise") {
            properties.insert((*key).to_owned(), amount(measure));
        }
    }
    let latency = matches!(measure, Measure::Latency { .. });
    if !latency {
        properties.insert("quantile".to_owned(), Value::Bool(false));
        properties.insert("component".to_owned(), Value::Bool(false));
    }
    if !kind.bounds().iter().any(|key| matches!(*key, "target" | "limit")) || *measure == Measure::Confidence {
        properties.insert("burn_rate".to_owned(), Value::Bool(false));
    }
    let word = |chart: &ChartKind| CHARTS.iter().find(|(_, kind)| kind == chart).map(|(word, _)| *word);
    let charts: Vec<&str> = measure.charts().iter().filter_map(word).collect();
    let chart = if charts.is_empty() { Value::Bool(false) } else { json!({ "enum": charts }) };
    properties.insert("chart".to_owned(), chart);
    let mut then = json!({ "properties": properties });
    let Some(object) = then.as_object_mut() else { return then };
    if latency {
        object.insert("required".to_owned(), json!(["quantile"]));
    } else if !matches!(kind, Kind::Shape | Kind::Joint) {
        let one: Vec<Value> = kind.bounds().iter().map(|key| json!({ "required": [key] })).collect();
        object.insert("oneOf".to_owned(), Value::Array(one));
    }
    then
}

/// An amount above zero in one of the measure's units.
fn amount(measure: &Measure) -> Value {
    let units = [(Unit::Points, "pp"), (Unit::Percent, "%"), (Unit::Deviations, "sd"), (Unit::None, "")];
    let taken: Vec<&str> = units.iter().filter(|(unit, _)| measure.takes(*unit)).map(|(_, word)| *word).collect();
    let text =
        json!({ "type": "string", "pattern": format!(r"^(?!0*\.?0+ *[a-z%]*$){NUMBER} ?({})$", taken.join("|")) });
    if measure.takes(Unit::None) {
        return json!({ "anyOf": [{ "type": "number", "exclusiveMinimum": 0 }, text] });
    }
    text
}

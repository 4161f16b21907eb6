//! The JSON Schema of rule files, by a validator that knows nothing of it.

use std::process::Command;

use serde_json::Value;
use shewhart::engine::rule::schema::schema;

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

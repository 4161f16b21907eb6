//! Text as a rule file: it compiles, or every fault of it can be shown; what compiles can be explained in a message.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use shewhart::engine::rule::{MAX_OUTPUT, Source, compile, render};

fuzz_target!(|text: &str| {
    let compiled = compile(&[Source { name: "fuzz.yaml".to_owned(), text: text.to_owned() }]);
    let shown = render(&compiled.diagnostics, false, 100);
    assert_eq!(compiled.diagnostics.is_empty(), shown.trim().is_empty());
    assert!(!shown.contains('\u{1b}'), "the file's own escapes reach a terminal");
    assert_eq!(compiled.rules.is_none(), compiled.diagnostics.iter().any(|fault| fault.is_error()));
    let values = BTreeMap::from([("agent".to_owned(), "{{ 7*7 }}<&\"'".to_owned())]);
    for rule in compiled.rules.iter().flat_map(|set| &set.rules) {
        // The longest, and what is said where it was cut or failed.
        assert!(rule.annotate(&values).values().all(|text| text.len() <= MAX_OUTPUT + 4_096));
    }
});

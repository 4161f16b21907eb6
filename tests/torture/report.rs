//! What people are told: a line for each fault, and a table in the end.

#![expect(clippy::print_stdout, reason = "a program that talks to the person at the terminal")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use shewhart::edge::clock;

use crate::faults::{FAULTS, Proof};
use crate::run::{Outcome, Wish};

/// What there is.
pub(crate) fn list() {
    for fault in FAULTS {
        let how = match fault.proof {
            Proof::Here(tries) => format!("here: {} runs, {} at night", tries.ci, tries.night),
            Proof::Tests(tests) => format!("tests: {}", names(tests)),
            Proof::Not(why) => format!("not: {why}"),
        };
        println!("{} {} [{how}]", fault.id, fault.what);
    }
}

/// Names of tests that the list of faults has and the sources have not.
pub(crate) fn missing_tests() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut missing = Vec::new();
    for fault in FAULTS {
        let Proof::Tests(tests) = fault.proof else { continue };
        for (file, names) in tests {
            let source = fs::read_to_string(root.join(file)).unwrap_or_default();
            let gone = names.iter().filter(|name| !source.contains(&format!("fn {name}(")));
            missing.extend(gone.map(|name| format!("{}: {name} is not in {file}", fault.id)));
        }
    }
    missing
}

fn names(tests: &[(&str, &[&str])]) -> String {
    let one = |(file, tests): &(&str, &[&str])| {
        let names: Vec<String> = tests.iter().map(|name| format!("`{name}`")).collect();
        format!("{} ({file})", names.join(", "))
    };
    tests.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn result(outcome: &Outcome) -> String {
    match (&outcome.skipped, outcome.failures.len()) {
        (_, failures @ 1..) => format!("FAILED {failures} times"),
        (Some(why), 0) => format!("SKIPPED: {why}"),
        (None, 0) => "passed".to_owned(),
    }
}

/// Something happens that takes long.
pub(crate) fn said(what: &str) {
    println!("    {what}");
}

/// One fault is done.
pub(crate) fn line(outcome: &Outcome) {
    let Outcome { fault, runs, took, .. } = outcome;
    println!("{} {runs} runs, {}, {:.0} s: {}", fault.id, result(outcome), took.as_secs_f64(), fault.what);
    outcome.notes.iter().for_each(|note| println!("    {note}"));
    outcome.failures.iter().for_each(|failure| println!("    {failure}"));
}

/// All are done.
pub(crate) fn print(wish: &Wish, outcomes: &[Outcome]) {
    let here: Vec<&Outcome> = outcomes.iter().filter(|outcome| matches!(outcome.fault.proof, Proof::Here(_))).collect();
    if here.is_empty() {
        println!("no fault of that name is tried here: see --list");
        return;
    }
    let table = table(wish, outcomes);
    println!("\n{table}");
    let failed: Vec<&str> = here.iter().filter(|o| !o.is_well()).map(|o| o.fault.id).collect();
    println!("{} faults tried, {} failed {}", here.len(), failed.len(), failed.join(" "));
    if let Some(path) = &wish.write {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(path), table).expect("a file to write");
    }
}

fn table(wish: &Wish, outcomes: &[Outcome]) -> String {
    let (day, command) = (clock::now().to_string(), wish.command.trim_end().trim_end_matches(" --"));
    let day = day.split('T').next().unwrap_or_default();
    let mut text = format!(
        "# Faults\n\nWritten on {day} by `{command}`, in a build with debug assertions.\n\n\
         | fault | | runs | result | command |\n| --- | --- | --- | --- | --- |\n"
    );
    for outcome in outcomes {
        let fault = outcome.fault;
        let (runs, result, command) = match fault.proof {
            Proof::Here(_) => {
                let night = if wish.night { " --night" } else { "" };
                let command = format!("`cargo test --test torture -- {}{night}`", fault.id);
                (outcome.runs.to_string(), result(outcome), command)
            }
            Proof::Tests(tests) => ("with every build".to_owned(), "kept by tests".to_owned(), names(tests)),
            Proof::Not(why) => (String::new(), format!("not tried: {why}"), String::new()),
        };
        writeln!(text, "| {} | {} | {runs} | {result} | {command} |", fault.id, fault.what).expect("a string");
    }
    text
}

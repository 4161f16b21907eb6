//! What people are told: a line for each fault, and a table in the end.

#![expect(clippy::print_stdout, reason = "a program that talks to the person at the terminal")]

use std::fs;
use std::path::Path;

use shewhart::edge::clock;

use crate::faults::{FAULTS, Proof};
use crate::run::{Outcome, Wish};

/// Where the table begins in a page; it goes to the page's end.
const HEADING: &str = "## Every fault";

/// How the table begins.
const TOP: &str = "| fault | | runs | result | command |\n| --- | --- | --- | --- | --- |\n";

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
    let rows: Vec<String> = outcomes.iter().map(|outcome| row(wish, outcome)).collect();
    println!("\n{TOP}{}", rows.concat());
    let failed: Vec<&str> = here.iter().filter(|o| !o.is_well()).map(|o| o.fault.id).collect();
    println!("{} faults tried, {} failed {}", here.len(), failed.len(), failed.join(" "));
    // Once more, but short: of a long output the end is read first.
    let first = |failure: &String| failure.lines().next().unwrap_or_default().to_owned();
    here.iter().flat_map(|o| &o.failures).map(first).for_each(|failure| println!("    {failure}"));
    if let Some(path) = &wish.write {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let page = fs::read_to_string(&path).unwrap_or_default();
        let page = if wish.ids.is_empty() { anew(&page, &rows) } else { with_rows(&page, &rows) };
        fs::write(path, page).expect("a file to write");
    }
}

/// The page with another table.
fn anew(page: &str, rows: &[String]) -> String {
    let before = page.split(HEADING).next().unwrap_or_default();
    format!("{before}{HEADING}\n\n{TOP}{}", rows.concat())
}

/// The page with these rows in place of those for the same faults.
fn with_rows(page: &str, rows: &[String]) -> String {
    let fault = |row: &str| row.split(" | ").next().unwrap_or_default().to_owned();
    let (before, table) = page.split_once(HEADING).unwrap_or((page, ""));
    let line = |line: &str| rows.iter().find(|row| fault(row) == fault(line)).map_or(line, String::as_str).to_owned();
    format!("{before}{HEADING}{}", table.split_inclusive('\n').map(line).collect::<String>())
}

/// What a row says of one fault.
fn row(wish: &Wish, outcome: &Outcome) -> String {
    let fault = outcome.fault;
    let day = clock::now().to_string();
    let day = day.split('T').next().unwrap_or_default();
    let (runs, result, command) = match fault.proof {
        Proof::Here(_) => (outcome.runs.to_string(), format!("{}, {day}", result(outcome)), wish.command(fault)),
        Proof::Tests(tests) => ("with every build".to_owned(), "kept by tests".to_owned(), names(tests)),
        Proof::Not(why) => (String::new(), format!("not tried: {why}"), String::new()),
    };
    format!("| {} | {} | {runs} | {result} | {command} |\n", fault.id, fault.what)
}

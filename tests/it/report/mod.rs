//! The report: its numbers are those of the events, its page stands still whatever agents are called, its charts are read.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

mod layout;
mod numbers;
mod odd;

use std::path::Path;
use std::process::{Command, Output};

use regex::Regex;
use serde_json::Value;

pub(crate) fn shewhart(args: &[&str]) -> Output {
    let program =
        Command::new(env!("CARGO_BIN_EXE_shewhart")).current_dir(env!("CARGO_MANIFEST_DIR")).args(args).output();
    program.unwrap()
}

/// The page of a database.
pub(crate) fn page(db: &Path, args: &[&str]) -> String {
    let done = shewhart(&[&["report", db.to_str().unwrap()], args].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// What a command prints as JSON.
fn told(args: &[&str]) -> Value {
    let done = shewhart(args);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

/// A database of what a scenario makes.
fn replayed(folder: &Path, scenario: &str, args: &[&str]) -> std::path::PathBuf {
    let (yaml, events, db) = (folder.join("s.yaml"), folder.join("s.jsonl"), folder.join("s.db"));
    std::fs::write(&yaml, scenario).unwrap();
    let [yaml, events, path] = [&yaml, &events, &db].map(|path| path.to_str().unwrap());
    let made = shewhart(&["simulate", "--seed", "3", "--scenario", yaml, "--out", events]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let done = shewhart(&[&["replay", events, "--db", path], args].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    db
}

/// The text of all cells of that name, in the order of the page.
fn cells(page: &str, name: &str) -> Vec<String> {
    let cell = Regex::new(&format!("<td data-name=\"{}\"[^>]*>(.*?)</td>", regex::escape(name))).unwrap();
    let tag = Regex::new("<[^>]*>").unwrap();
    let text = |found: regex::Captures<'_>| {
        let text = tag.replace_all(&found[1], " ").replace("&#x2f;", "/");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    cell.captures_iter(page).map(text).collect()
}

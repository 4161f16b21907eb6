//! The dictionary: every table, view and column has its sentence, docs/schema.md holds them all, and no view shrinks.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use shewhart::edge::ledger::describe::{Dictionary, Kind};
use shewhart::edge::ledger::schema;

use super::world::{db, rows};
use crate::docs::{read, root};

/// What stands before and after the generated part of the document.
const BEGIN: &str = "<!-- begin: printed by `shewhart db schema -o markdown` -->\n\n";
const END: &str = "\n<!-- end -->\n";

fn dictionary() -> Dictionary {
    Dictionary::read(&schema()).unwrap()
}

/// The columns of every table and view, by name, as the database itself tells them.
fn columns(db: &Connection) -> BTreeMap<(String, String), Vec<String>> {
    let objects = "SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'";
    let object = |row: &serde_json::Value| {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let mut columns = db.prepare("SELECT name FROM pragma_table_xinfo(?1)").unwrap();
        let names = columns.query_map([text("name")], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        ((text("type"), text("name")), names)
    };
    rows(db, objects).iter().map(object).collect()
}

#[test]
fn every_column_has_its_sentence_and_every_sentence_its_column() {
    let dictionary = dictionary();
    assert!(dictionary.faults.is_empty(), "{}", told(&dictionary));
    let described: BTreeMap<(String, String), Vec<String>> = dictionary
        .objects
        .iter()
        .map(|object| {
            let columns = object.columns.iter().map(|column| column.name.clone()).collect();
            ((object.kind.as_str().to_owned(), object.name.clone()), columns)
        })
        .collect();
    assert_eq!(described, columns(&db()));
}

fn told(dictionary: &Dictionary) -> String {
    dictionary.faults.iter().fold(String::new(), |all, fault| all + &fault.to_string() + "\n")
}

#[test]
fn sentences_are_sentences() {
    for object in &dictionary().objects {
        let whole = |text: &str| text.ends_with('.') && text.starts_with(|c: char| !c.is_lowercase());
        assert!(whole(&object.about), "{}: {}", object.name, object.about);
        for column in &object.columns {
            assert!(whole(&column.about), "{}.{}: {}", object.name, column.name, column.about);
        }
        // Both clocks: whatever is a text for people is there as a number too, and the other way round in views.
        let has = |name: &str| object.columns.iter().any(|column| column.name == name);
        for column in object.columns.iter().filter(|column| column.unit == "text, ISO 8601 UTC") {
            let number = [format!("{}_ms", column.name), column.name.replace("_at", "_ms")];
            let exempt = ["next_attempt_at"].contains(&column.name.as_str());
            assert!(exempt || number.iter().any(|name| has(name)), "{}.{}", object.name, column.name);
        }
    }
}

/// Set `SHEWHART_BLESS` to write the generated part anew.
#[test]
fn the_document_is_what_the_comments_say() {
    let document = read("docs/schema.md");
    let (before, rest) = document.split_once(BEGIN).expect("the mark is there");
    let (shown, after) = rest.split_once(END).expect("the other mark is there");
    let reference = dictionary().markdown();
    if shown != reference && std::env::var_os("SHEWHART_BLESS").is_some() {
        std::fs::write(root().join("docs/schema.md"), format!("{before}{BEGIN}{reference}{END}{after}")).unwrap();
        panic!("docs/schema.md was written anew; read it");
    }
    similar(shown, &reference);
}

/// The first line that differs tells more than two texts of a thousand lines.
fn similar(shown: &str, expected: &str) {
    for (shown, expected) in shown.lines().zip(expected.lines()) {
        assert_eq!(shown, expected, "docs/schema.md: set SHEWHART_BLESS to write it anew");
    }
    assert_eq!(
        shown.lines().count(),
        expected.lines().count(),
        "docs/schema.md is longer or shorter than the comments"
    );
}

#[test]
fn the_file_knows_its_own_dictionary() {
    let found: Vec<String> = rows(&db(), "SELECT * FROM v_columns")
        .iter()
        .map(|row| {
            let name = row["column_name"].as_str().unwrap_or_default();
            format!(
                "{}.{name} {} {} {} {}",
                row["object"], row["kind"], row["position"], row["unit"], row["description"]
            )
        })
        .collect();
    let mut expected = Vec::new();
    for object in dictionary().objects {
        let kind = serde_json::json!(object.kind.as_str());
        let text = |text: &str| serde_json::json!(text);
        expected.push(format!("{}. {kind} 0 null {}", text(&object.name), text(&object.about)));
        for (at, column) in object.columns.iter().enumerate() {
            let (unit, about) = (text(&column.unit), text(&column.about));
            expected.push(format!("{}.{} {kind} {} {unit} {about}", text(&object.name), column.name, at + 1));
        }
    }
    assert_eq!(found, expected);
}

/// Views may only grow: what stands in the list was promised. Set `SHEWHART_BLESS` to add what is new.
#[test]
fn views_only_grow() {
    let path = root().join("tests/it/promised_views.txt");
    let promised: BTreeSet<String> =
        std::fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned).collect();
    let dictionary = dictionary();
    let views = dictionary.objects.iter().filter(|object| object.kind == Kind::View);
    let there: BTreeSet<String> =
        views.flat_map(|view| view.columns.iter().map(|column| format!("{}.{}", view.name, column.name))).collect();
    let lost: Vec<&String> = promised.difference(&there).collect();
    assert!(lost.is_empty(), "promised, and gone: {lost:?}");
    if promised != there {
        let new: Vec<&String> = there.difference(&promised).collect();
        assert!(std::env::var_os("SHEWHART_BLESS").is_some(), "not promised yet: {new:?}");
        let all: String = there.iter().fold(String::new(), |all, line| all + line + "\n");
        std::fs::write(path, all).unwrap();
    }
}

#[test]
fn the_command_line_prints_the_dictionary() {
    let printed = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_shewhart")).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(printed(&["db", "schema"]), schema());
    similar(&printed(&["db", "schema", "-o", "markdown"]), &dictionary().markdown());
    let list: serde_json::Value = serde_json::from_str(&printed(&["db", "schema", "-o", "json"])).unwrap();
    assert_eq!(list.as_array().unwrap().len(), dictionary().objects.len());
    assert_eq!((&list[0]["kind"], &list[0]["name"]), (&"table".into(), &"meta".into()));
}

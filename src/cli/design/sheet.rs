//! What a calculation found: facts and one table, for people or for programs.

use serde_json::{Map, Value};

use crate::cli::args::Format;
use crate::cli::table::table;
use crate::engine::account::digits;

/// Significant digits of numbers for people.
const DIGITS: i32 = 6;

/// A column: its name for programs and for people.
pub(super) type Column = (&'static str, &'static str);

/// Facts in order, then a table.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    title: String,
    facts: Vec<(&'static str, Value, &'static str, String)>,
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

impl Sheet {
    pub(super) fn new(title: String) -> Self {
        Self { title, ..Self::default() }
    }

    /// A fact: its name and value for programs; its name and words for people, none to leave it out.
    pub(super) fn fact(&mut self, key: &'static str, value: impl Into<Value>, name: &'static str, words: String) {
        self.facts.push((key, value.into(), name, words));
    }

    /// The table's columns.
    pub(super) fn columns(&mut self, columns: &[Column]) {
        self.columns = columns.to_vec();
    }

    /// A row: the first cell is a name, the others numbers that may be missing.
    pub(super) fn row(&mut self, name: impl Into<Value>, numbers: &[Option<f64>]) {
        let numbers = numbers.iter().map(|number| number.map_or(Value::Null, Value::from));
        self.rows.push(std::iter::once(name.into()).chain(numbers).collect());
    }

    pub(super) fn render(&self, format: Format) -> anyhow::Result<String> {
        Ok(match format {
            Format::Json => format!("{}\n", serde_json::to_string_pretty(&self.json())?),
            Format::Text => self.text(),
        })
    }

    fn json(&self) -> Value {
        let mut all: Map<String, Value> = Map::new();
        for (key, value, ..) in &self.facts {
            all.insert((*key).to_owned(), value.clone());
        }
        if !self.rows.is_empty() {
            let keys = || self.columns.iter().map(|(key, _)| (*key).to_owned());
            let row = |row: &Vec<Value>| Value::Object(keys().zip(row.iter().cloned()).collect());
            all.insert("rows".to_owned(), self.rows.iter().map(row).collect());
        }
        Value::Object(all)
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", self.title);
        for (.., name, words) in self.facts.iter().filter(|(.., words)| !words.is_empty()) {
            text.extend([format!("  {name:<12} {words}\n")]);
        }
        if !self.rows.is_empty() {
            let names: Vec<String> = self.columns.iter().map(|(_, name)| format!("  {name}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
            text.push_str(&table(&names, &rows));
        }
        text
    }
}

fn cell(value: &Value) -> String {
    let words = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map_or_else(String::new, number_text),
        _ => "-".to_owned(),
    };
    format!("  {words}")
}

/// A number for people, without zeros that say nothing.
pub(super) fn number_text(x: f64) -> String {
    let text = digits(x, DIGITS);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_facts_for_people_and_for_programs() {
        let mut sheet = Sheet::new("A title".to_owned());
        sheet.fact("h", 3.5, "limit h", number_text(3.5));
        sheet.fact("hidden", 7, "", String::new());
        sheet.columns(&[("drop", "after"), ("mean", "labels")]);
        sheet.row("2pp", &[Some(1_175.681_57)]);
        sheet.row("3pp", &[None]);
        let text = sheet.render(Format::Text).unwrap();
        assert_eq!(text, "A title\n  limit h      3.5\n  after    labels\n  2pp      1175.68\n  3pp      -\n");
        let json: Value = serde_json::from_str(&sheet.render(Format::Json).unwrap()).unwrap();
        assert_eq!(
            (&json["hidden"], &json["rows"][0]["mean"], &json["rows"][1]["mean"]),
            (&7.into(), &1_175.681_57.into(), &Value::Null)
        );
    }

    #[test]
    fn numbers_have_no_idle_zeros() {
        for (x, wanted) in [(20_000.0, "20000"), (0.08, "0.08"), (1e6, "1000000"), (0.0, "0"), (f64::INFINITY, "inf")] {
            assert_eq!(number_text(x), wanted);
        }
    }
}

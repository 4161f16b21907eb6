//! Values as text: for people, for CSV, JSON and Markdown.

use std::io::Write;

use rusqlite::types::ValueRef;

use crate::cli::table::{table, visible};

/// The most characters of a cell that a table shows.
const CELL_CHARS: usize = 100;
/// The most bytes of a blob that are shown.
const BLOB_BYTES: usize = 16;

/// What a spreadsheet takes for the beginning of a formula, or passes over to find one.
const FORMULAS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// A value as people read it.
pub(super) fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(x) => real(x),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Blob(bytes) => blob(bytes),
    }
}

/// The shortest text that reads back as the same number.
fn real(x: f64) -> String {
    if x.is_infinite() {
        // As SQLite itself writes what no JSON number can be.
        return if x > 0.0 { "9e999" } else { "-9e999" }.to_owned();
    }
    if x != 0.0 && !(1e-5..1e15).contains(&x.abs()) { format!("{x:e}") } else { format!("{x:?}") }
}

fn blob(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = "x'".to_owned();
    for byte in bytes.iter().take(BLOB_BYTES) {
        if write!(text, "{byte:02x}").is_err() {
            // Text in memory takes every write.
        }
    }
    let more = if bytes.len() > BLOB_BYTES { "..." } else { "" };
    format!("{text}{more}' ({} bytes)", bytes.len())
}

/// A table for a terminal: one line for each row, nothing in it that the terminal would obey.
pub(super) fn text_table(names: &[String], rows: Vec<Vec<String>>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    table(&names, &rows)
}

fn one_line(cell: &str) -> String {
    let mut line: String = cell.chars().take(CELL_CHARS).flat_map(visible).collect();
    if cell.chars().nth(CELL_CHARS).is_some() {
        line.push('…');
    }
    line
}

pub(super) fn markdown(names: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| {
                // Links and images too: whoever shows the page would fetch what an agent's name says.
                let marks = cell.chars().fold(String::new(), |mut escaped, c| {
                    if matches!(c, '\\' | '|' | '[' | ']' | '`' | '*') {
                        escaped.push('\\');
                    }
                    escaped.push(c);
                    escaped
                });
                marks.replace('&', "&amp;").replace('<', "&lt;").chars().flat_map(visible).collect()
            })
            .collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule = format!("|{}\n", " --- |".repeat(names.len()));
    let body: String = rows.iter().map(|row| line(row)).collect();
    format!("{}{rule}{body}", line(names))
}

/// One line of RFC 4180.
pub(super) fn write_csv<'v>(out: &mut dyn Write, values: impl Iterator<Item = ValueRef<'v>>) -> std::io::Result<()> {
    let cells: Vec<String> = values.map(csv_cell).collect();
    write!(out, "{}\r\n", cells.join(","))
}

/// A cell of CSV. Text that a spreadsheet would take for a formula is led by an apostrophe; numbers are numbers and stay
/// as they are, or no negative one could be computed with. Empty text is quoted, so that it is not nothing.
pub(in crate::cli) fn csv_cell(value: ValueRef<'_>) -> String {
    let mut cell = shown(value);
    if !matches!(value, ValueRef::Text(_)) {
        return cell;
    }
    if cell.starts_with(FORMULAS) {
        cell.insert(0, '\'');
    }
    if cell.is_empty() || cell.contains(['"', ',', '\r', '\n']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell
}

pub(super) fn json_object(names: &[String], values: &[ValueRef<'_>]) -> String {
    let pairs: Vec<String> =
        names.iter().zip(values).map(|(name, value)| format!("{}: {}", quoted(name), json_value(*value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn json_value(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(_) | ValueRef::Real(_) => shown(value),
        ValueRef::Text(_) | ValueRef::Blob(_) => quoted(&shown(value)),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

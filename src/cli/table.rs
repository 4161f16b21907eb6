//! Rows as a table for people.

use std::collections::BTreeMap;

use crate::engine::text::turns;

/// The labels of a stream on one line: `agent=invoice-triage, task=invoices`.
pub(super) fn stream(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

/// A character as a terminal may have it: control characters, and marks that turn the direction of text, as their escapes.
pub(super) fn visible(c: char) -> Vec<char> {
    if c.is_control() || turns(c) { c.escape_default().collect() } else { vec![c] }
}

/// A text on one line, as a terminal may have it.
pub(super) fn plain(text: &str) -> String {
    text.chars().flat_map(visible).collect()
}

/// A text of several lines, as a terminal may have it.
pub(super) fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// A table with aligned columns and a header. Whatever stands in a cell does nothing to a terminal.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(header.get(column).map(|h| h.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&mut header.iter().copied());
    for row in &rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

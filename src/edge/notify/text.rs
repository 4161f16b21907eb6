//! The plain-text part of a mail: one screen of 78 columns for one alert.

use super::page::{Block, Page, Row};
use crate::engine::route::Message;

/// Lines of a mail about one alert.
const SCREEN: usize = 25;
/// Lines that annotations get even when the facts fill the screen.
const ADVICE_MIN: usize = 2;
/// Columns of a line of text. Addresses of web pages are never broken.
const WIDTH: usize = 78;
/// Columns of a row's name.
const NAMES: usize = 13;

/// The subject of a message: `[FIRING] critical AccuracyDegraded: agent=invoice-triage`, at most 120 characters.
pub fn subject(message: &Message) -> String {
    Page::of(message).subject
}

/// The message as plain text.
pub fn body(message: &Message) -> String {
    layout(&Page::of(message))
}

pub(super) fn layout(page: &Page) -> String {
    let mut lines = wrap(&format!("{}: {}", page.word, page.title), WIDTH, 3);
    lines.extend(page.notes.iter().flat_map(|note| wrap(note, WIDTH, 4)));
    let alone = page.blocks.len() == 1;
    for block in &page.blocks {
        lines.push(String::new());
        let used = lines.len() + page.ids.len();
        lines.extend(if alone { whole(block, SCREEN.saturating_sub(used)) } else { compact(block) });
    }
    if page.more > 0 {
        lines.push(String::new());
        lines.push(format!("and {} more", page.more));
    }
    if !alone {
        lines.push(String::new());
    }
    lines.extend(page.ids.iter().flat_map(|r| row(r, 1)));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// A block that has the screen to itself: the annotations get the lines that the facts leave over.
fn whole(block: &Block, room: usize) -> Vec<String> {
    let mut lines = wrap(&block.lead, WIDTH, 4);
    if !block.facts.is_empty() {
        lines.push(String::new());
    }
    lines.extend(block.facts.iter().flat_map(|r| row(r, 3)));
    let ids: Vec<_> = block.ids.iter().flat_map(|r| row(r, 2)).collect();
    // What to do is worth scrolling for.
    let mut left = room.saturating_sub(lines.len() + ids.len() + 2).max(ADVICE_MIN);
    let mut advice = Vec::new();
    for told in &block.advice {
        let wanted = if told.name == "Description" && left > ADVICE_MIN { 3 } else { 2 };
        let told = row(told, wanted.min(left));
        left -= told.len();
        advice.extend(told);
    }
    if !advice.is_empty() {
        lines.push(String::new());
        lines.extend(advice);
    }
    lines.push(String::new());
    lines.extend(ids);
    lines
}

/// A block among others.
fn compact(block: &Block) -> Vec<String> {
    let mut lines: Vec<_> = block.title.iter().flat_map(|title| wrap(title, WIDTH, 2)).collect();
    lines.extend(wrap(&block.lead, WIDTH - 3, 3).into_iter().map(|l| format!("   {l}")));
    let rows = block.facts.iter().chain(&block.advice).chain(&block.ids);
    lines.extend(rows.flat_map(|r| row(r, 2)).map(|l| format!("   {l}")));
    lines
}

/// A row on at most `limit` lines, its value in a column of its own.
fn row(row: &Row, limit: usize) -> Vec<String> {
    let pad = NAMES.saturating_sub(row.name.chars().count()).max(1);
    let mut lines = wrap(&row.value, WIDTH - NAMES, limit);
    for (i, line) in lines.iter_mut().enumerate() {
        *line = if i == 0 { format!("{}{:pad$}{line}", row.name, "") } else { format!("{:NAMES$}{line}", "") };
    }
    lines
}

/// Breaks at spaces, into at most `limit` lines; what does not fit is cut with `…`. A word longer than a line stays
/// whole where it is a web address and is broken where it is not.
fn wrap(text: &str, width: usize, limit: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut current = String::new();
    for word in text.split(' ').flat_map(|word| pieces(word, width)) {
        if !current.is_empty() && current.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut current));
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(&word);
    }
    lines.push(current);
    if lines.len() > limit {
        lines.truncate(limit);
        if let Some(last) = lines.last_mut() {
            while last.chars().count() + 2 > width {
                last.pop();
            }
            last.push_str(" …");
        }
    }
    lines
}

fn pieces(word: &str, width: usize) -> Vec<String> {
    // 998 is the longest line a mail may have; quoted-printable folds this one.
    let room = if word.starts_with("https://") || word.starts_with("http://") { 500 } else { width };
    let chars: Vec<char> = word.chars().collect();
    if chars.is_empty() { Vec::new() } else { chars.chunks(room).map(|part| part.iter().collect()).collect() }
}

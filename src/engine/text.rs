//! Text that came from agents: cleaned once, at the edge of the engine, before it can reach a chart, a page or a mail.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_normalization::UnicodeNormalization as _;

use super::words::is_visible_ascii;

/// The longest text kept, in bytes.
pub const TEXT_BYTES_MAX: usize = 256;

/// How many bytes the mark of a changed text takes: `…` and eight hex digits.
const MARK_BYTES: usize = '…'.len_utf8() + 8;

/// Cleans one text: NFC, no control or bidi or zero-width characters (line breaks and tabs become spaces), at most
/// [`TEXT_BYTES_MAX`] bytes.
///
/// A text that had to be changed ends in `…` and eight hex digits of the hash of what it was, so that two different
/// names never become one stream. Cleaning what is clean changes nothing.
pub fn clean(raw: &str) -> Cow<'_, str> {
    if raw.len() <= TEXT_BYTES_MAX && is_visible_ascii(raw.as_bytes()) {
        return Cow::Borrowed(raw);
    }
    // Cut before normalising: normalisation of a hostile megabyte is work for nothing.
    let head = cut(raw, TEXT_BYTES_MAX * 4);
    let cleaned: String = shown(head).collect();
    if cleaned == raw && cleaned.len() <= TEXT_BYTES_MAX {
        return Cow::Owned(cleaned);
    }
    let mut marked = cut(&cleaned, TEXT_BYTES_MAX - MARK_BYTES).to_owned();
    let hash = blake3::hash(raw.as_bytes());
    marked.push('…');
    for byte in hash.as_bytes().iter().take(4) {
        write!(marked, "{byte:02x}").expect("writing to a String cannot fail");
    }
    Cow::Owned(marked)
}

/// Text that people wrote for other people: NFC, no control or bidi or zero-width characters (line breaks and tabs become
/// spaces). It keeps its length: who takes it has limited it.
pub fn prose(raw: &str) -> String {
    shown(raw).collect()
}

/// What can be seen of a text, in NFC. In this order: what stood between two characters may have kept them from being one.
fn shown(raw: &str) -> impl Iterator<Item = char> {
    raw.chars().filter_map(visible).nfc()
}

/// Whether every character of a text can be seen, or is an ordinary space.
pub fn is_visible(text: &str) -> bool {
    text.chars().all(|c| visible(c) == Some(c))
}

/// Whether a character turns the direction of the text around it: marks, overrides and isolates.
pub const fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The character as it may be shown, or nothing.
const fn visible(c: char) -> Option<char> {
    match c {
        '\r' | '\n' | '\t' => Some(' '),
        // Controls, bidi overrides and isolates, marks without width, line and paragraph separators, tags, byte order marks.
        '\u{0}'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => None,
        other => Some(other),
    }
}

/// The longest beginning of `text` of at most `bytes` bytes that ends between two characters.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in ["invoice-triage", "Zoë", "请求", "a b", ""] {
            assert_eq!(clean(name), name);
        }
    }

    #[test]
    fn names_that_look_alike_after_cleaning_stay_apart() {
        let plain = clean("agent");
        let hidden = clean("ag\u{200b}ent");
        let broken = clean("ag\nent");
        assert_ne!(plain, hidden);
        assert!(hidden.starts_with("agent…"), "{hidden}");
        assert!(broken.starts_with("ag ent…"), "{broken}");
        assert_ne!(clean(&"x".repeat(300)), clean(&"x".repeat(301)));
    }

    #[test]
    fn what_people_write_stays_long_and_loses_what_cannot_be_seen() {
        let long = "why ".repeat(200);
        assert_eq!(prose(&long), long);
        assert_eq!(prose("a\u{1b}[2Jb\nc\u{202e}d"), "a[2Jb cd");
        assert!(is_visible("Zoë's release") && !is_visible("a\nb") && !is_visible("a\u{200b}b"));
    }

    #[test]
    fn what_is_dropped_between_two_characters_joins_them_once_and_for_all() {
        let cleaned = clean("a\u{e}\u{300}").into_owned();
        assert!(cleaned.starts_with("\u{e0}…"), "{cleaned}");
        assert_eq!(clean(&cleaned), cleaned);
        assert_eq!(prose("e\u{200b}\u{301}"), "\u{e9}");
    }

    proptest! {
        #[test]
        fn cleaning_is_idempotent_short_and_free_of_controls(
            raw in "\\PC*|[\\x00-\\x1f\u{202e}a-z]{0,400}|.{0,2000}|[\\x0ea-e\u{300}-\u{345}\u{200b}]{0,60}"
        ) {
            let once = clean(&raw).into_owned();
            let twice = clean(&once).into_owned();
            prop_assert_eq!(&twice, &once);
            prop_assert!(once.len() <= TEXT_BYTES_MAX);
            prop_assert!(once.chars().all(|c| !c.is_control()));
        }
    }
}

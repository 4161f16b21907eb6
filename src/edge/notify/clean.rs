//! Text from outside made fit for one line of a message.
//!
//! Labels and annotations hold what agents, and the people who talk to agents, wrote. They were cleaned on the way in;
//! this is the second fence, at the way out, because a line break in a header or a reordered line in a mail can hide an
//! alert and because a message may have been stored by an older version.

/// One line of printable text: line breaks and tabs become spaces, runs of spaces become one, characters that are
/// invisible or change the direction of reading are dropped, and what is longer than `limit` characters is cut with `…`.
pub fn line(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() {
            gap = length > 0;
            continue;
        }
        if is_deceptive(c) {
            continue;
        }
        let needed = 1 + usize::from(gap);
        if length + needed > limit {
            // Room for the ellipsis is made by giving up the last character.
            if length >= limit {
                out.pop();
            }
            out.push('…');
            return out;
        }
        if gap {
            out.push(' ');
            gap = false;
        }
        out.push(c);
        length += needed;
    }
    out
}

/// A name from the operator's files for places where nothing else may stand: ASCII letters, digits and `_ . / -`.
pub fn token(text: &str, limit: usize) -> String {
    text.chars()
        .take(limit)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-') { c } else { '_' })
        .collect()
}

/// Controls, zero-width characters, marks that reorder text, and the invisible tag characters.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(line("a\r\nBcc: x\t\u{2028}y\0z", 99), "a Bcc: x yz");
        assert_eq!(line("  \u{202e}evil\u{200b}\u{2066} ", 99), "evil");
    }

    #[test]
    fn long_text_is_cut_to_the_limit_and_says_so() {
        for limit in 1..12 {
            let cut = line("one two three four", limit);
            assert!(cut.chars().count() <= limit, "{limit}: {cut}");
            assert!(cut.ends_with('…'), "{limit}: {cut}");
        }
        assert_eq!(line("one two", 7), "one two");
    }
}

//! The usual event, read in one pass over its bytes: an object of texts without escapes, plain numbers and truth values, in any
//! order.
//!
//! A scan gives what serde gives, to the bit, or gives up, and then serde reads the record and says what is wrong with it. So
//! nothing is decided here: escapes, exponents, more than 19 digits, nested values that nobody asks for and every error are
//! left to serde. What it saves: `cargo bench --bench decode`.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::json::{Extras, Raw, RawLatency, RawText, RawTime};
use super::{EXTRAS_MAX, Status, time};

/// Digits that an unsigned number of 64 bits always has room for.
const DIGITS_MAX: usize = 19;

/// Whole numbers up to this one are exact.
const EXACT_MAX: u64 = 1 << 53;

/// Powers of ten, all of them exact.
const POWERS: [f64; DIGITS_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19];

/// Reads a record; nothing where it is not a usual one.
pub(super) fn scan(payload: &[u8]) -> Option<Raw<'_>> {
    let text = std::str::from_utf8(payload).ok()?;
    let mut scanner = Scanner { text, at: 0 };
    let (mut raw, mut seen) = (Raw::default(), Seen::default());
    scanner.blank();
    scanner.object(|scanner, name| scanner.field(name, &mut raw, &mut seen))?;
    scanner.blank();
    (scanner.at == text.len()).then_some(raw)
}

/// Which names an object had so far: one that comes twice is an error.
#[derive(Default)]
struct Seen(u32);

impl Seen {
    fn first(&mut self, nth: u32) -> Option<()> {
        let bit = 1 << nth;
        let known = self.0 & bit > 0;
        self.0 |= bit;
        (!known).then_some(())
    }
}

/// A place in a record. Every method moves on behind what it reads, and gives nothing where something unusual stands there.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn takes(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// An object: `value` reads what stands behind each name.
    fn object(&mut self, mut value: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.takes(b'{').then_some(())?;
        self.blank();
        if self.takes(b'}') {
            return Some(());
        }
        loop {
            let name = self.quoted()?;
            self.blank();
            self.takes(b':').then_some(())?;
            self.blank();
            value(self, name)?;
            self.blank();
            if self.takes(b'}') {
                return Some(());
            }
            self.takes(b',').then_some(())?;
            self.blank();
        }
    }

    /// A text in quotes.
    fn quoted(&mut self) -> Option<&'a str> {
        self.takes(b'"').then_some(())?;
        let length = plain(self.text.as_bytes().get(self.at..)?);
        let text = self.text.get(self.at..self.at + length)?;
        self.at += length;
        self.takes(b'"').then_some(text)
    }

    /// Puts there what `read` reads, or nothing for `null`.
    fn put<T>(&mut self, place: &mut Option<T>, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<()> {
        *place = if self.takes_word("null") { None } else { Some(read(self)?) };
        Some(())
    }

    fn field(&mut self, name: &str, raw: &mut Raw<'a>, seen: &mut Seen) -> Option<()> {
        let (nth, read) = match name {
            "type" => (0, self.put(&mut raw.kind, Self::words)),
            "event_id" => (1, self.put(&mut raw.event_id, Self::words)),
            "agent" => (2, self.put(&mut raw.agent, Self::words)),
            "ts" => (3, self.put(&mut raw.ts, Self::time)),
            "version" => (4, self.put(&mut raw.version, Self::words)),
            "task" => (5, self.put(&mut raw.task, Self::words)),
            "status" => (6, self.put(&mut raw.status, Self::status)),
            "confidence" => (7, self.put(&mut raw.confidence, Self::number)),
            "latency_ms" => (8, self.put(&mut raw.latency_ms, Self::number)),
            "latency" => (9, self.put(&mut raw.latency, Self::latency)),
            "tokens_in" => (10, self.put(&mut raw.tokens_in, Self::number)),
            "tokens_out" => (11, self.put(&mut raw.tokens_out, Self::number)),
            "cost_usd" => (12, self.put(&mut raw.cost_usd, Self::number)),
            "escalated" => (13, self.put(&mut raw.escalated, Self::truth)),
            "correct" => (14, self.put(&mut raw.correct, Self::truth)),
            "overridden" => (15, self.put(&mut raw.overridden, Self::truth)),
            "sampled" => (16, self.put(&mut raw.sampled, Self::number)),
            "source" => (17, self.put(&mut raw.source, Self::anything)),
            "metrics" => (18, self.put(&mut raw.metrics, |of| of.extras(Self::number))),
            "flags" => (19, self.put(&mut raw.flags, |of| of.extras(Self::truth))),
            _ => return self.anything().map(drop),
        };
        read?;
        seen.first(nth)
    }

    fn words(&mut self) -> Option<RawText<'a>> {
        self.quoted().map(|text| RawText(Cow::Borrowed(text)))
    }

    fn status(&mut self) -> Option<Status> {
        match self.quoted()? {
            "ok" => Some(Status::Ok),
            "error" => Some(Status::Error),
            "invalid_input" => Some(Status::InvalidInput),
            "timeout" => Some(Status::Timeout),
            _ => None,
        }
    }

    fn truth(&mut self) -> Option<bool> {
        if self.takes_word("true") {
            return Some(true);
        }
        self.takes_word("false").then_some(false)
    }

    /// A time in text that is laid out as usual, or whole milliseconds.
    fn time(&mut self) -> Option<RawTime> {
        if self.peek() == Some(b'"') {
            return time::usual(self.quoted()?).map(RawTime::Millis);
        }
        let (negative, digits, decimals) = self.digits()?;
        (!negative && decimals == 0).then_some(())?;
        i64::try_from(digits).ok().map(RawTime::Millis)
    }

    /// The number nearest to what is written. One exact number divided by another is rounded once (Clinger 1990); what has more
    /// digits is left to the library.
    fn number(&mut self) -> Option<f64> {
        let begin = self.at;
        let (negative, digits, decimals) = self.digits()?;
        if digits > EXACT_MAX {
            return self.text.get(begin..self.at)?.parse().ok();
        }
        let value = digits as f64 / POWERS.get(decimals)?;
        Some(if negative { -value } else { value })
    }

    /// The digits of a number: whether a minus stands before them, and how many of them are decimals.
    fn digits(&mut self) -> Option<(bool, u64, usize)> {
        let negative = self.takes(b'-');
        let zero = self.peek() == Some(b'0');
        let begin = self.at;
        let mut digits = self.run_of_digits(0, DIGITS_MAX)?;
        let whole = self.at - begin;
        (whole == 1 || !zero).then_some(())?;
        let mut decimals = 0;
        if self.takes(b'.') {
            let begin = self.at;
            digits = self.run_of_digits(digits, DIGITS_MAX - whole)?;
            decimals = self.at - begin;
        }
        // Anything but an end is left to serde: more digits, an exponent.
        matches!(self.peek()?, b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t').then_some((negative, digits, decimals))
    }

    /// At least one digit, and at most so many, behind those of `number`.
    fn run_of_digits(&mut self, number: u64, most: usize) -> Option<u64> {
        let (mut number, mut length) = (number, 0);
        for byte in self.text.as_bytes().get(self.at..)? {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 || length == most {
                break;
            }
            number = number * 10 + u64::from(digit);
            length += 1;
        }
        self.at += length;
        (length > 0).then_some(number)
    }

    fn latency(&mut self) -> Option<RawLatency> {
        let (mut parts, mut seen) = (RawLatency::default(), Seen::default());
        self.object(|scanner, name| {
            let (nth, read) = match name {
                "llm" => (0, scanner.put(&mut parts.llm, Self::number)),
                "retrieval" => (1, scanner.put(&mut parts.retrieval, Self::number)),
                "tool" => (2, scanner.put(&mut parts.tool, Self::number)),
                "orchestration" => (3, scanner.put(&mut parts.orchestration, Self::number)),
                _ => return scanner.anything().map(drop),
            };
            read?;
            seen.first(nth)
        })?;
        Some(parts)
    }

    fn extras<T>(&mut self, value: impl Fn(&mut Self) -> Option<T>) -> Option<Extras<'a, T>> {
        let mut entries: Vec<(Cow<'a, str>, T)> = Vec::new();
        self.object(|scanner, name| {
            let mut found = None;
            scanner.put(&mut found, &value)?;
            let Some(value) = found else { return Some(()) };
            let name = RawText(Cow::Borrowed(name)).cleaned();
            let new = entries.len() < EXTRAS_MAX && entries.iter().all(|(known, _)| *known != name);
            new.then(|| entries.push((name, value)))
        })?;
        Some(Extras { entries, truncated: false })
    }

    /// A text, a number, a truth value or `null`: none of them is kept.
    fn anything(&mut self) -> Option<IgnoredAny> {
        match self.peek()? {
            b'"' => self.quoted().map(drop),
            b't' | b'f' => self.truth().map(drop),
            b'n' => self.takes_word("null").then_some(()),
            _ => self.digits().map(drop),
        }?;
        Some(IgnoredAny)
    }
}

/// How many bytes stand before the first quote, backslash or control character: eight at a time, by bytes of a word that are
/// below a bound (Mycroft 1987). What is found behind the first one may be wrong; the first one is not.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word & HIGH;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let mut length = 0;
    while let Some(eight) = bytes.get(length..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*eight);
        let ends = below(word, b' ') | equal(word, b'"') | equal(word, b'\\');
        if ends > 0 {
            return length + (ends.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    let rest = bytes.iter().skip(length);
    length + rest.take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What serde says, where the scan says anything.
    fn agree(json: &str) -> bool {
        let Some(scanned) = scan(json.as_bytes()) else { return false };
        let read: Raw<'_> = serde_json::from_str(json).expect("serde reads whatever a scan reads");
        assert_eq!(format!("{scanned:?}"), format!("{read:?}"), "{json}");
        true
    }

    proptest! {
        #[test]
        fn plain_bytes_are_counted_one_by_one(
            clean in proptest::collection::vec((0x20..=255_u8).prop_filter("no end", |byte| !matches!(byte, b'"' | b'\\')), 0..40),
            rest in proptest::collection::vec(prop_oneof![0..=255_u8, Just(b'\\'), Just(b'"')], 0..20),
        ) {
            let bytes = [clean, rest].concat();
            let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
            prop_assert_eq!(plain(&bytes), bytes.iter().position(ends).unwrap_or(bytes.len()));
        }
    }

    #[test]
    fn the_usual_is_scanned_and_the_unusual_is_left() {
        let usual = [
            "{}",
            r#" { "event_id" : "e1" , "agent":"b","ts":"2026-01-05T12:00:00.123Z","task":null,"correct":true } "#,
            r#"{"ts":1767571200000,"confidence":0.8123456789012345,"latency_ms":812.25,"cost_usd":-0,"tokens_in":0}"#,
            r#"{"latency":{"llm":1.5,"other":"x","tool":null},"metrics":{"recall":-0.50,"n":null},"flags":{"ok":false}}"#,
            r#"{"source":"person","unknown":false,"more":null,"less":12.50,"status":"invalid_input","agent":"é"}"#,
            r#"{"confidence":9999999999999999999,"tokens_out":0.123456789012345678}"#,
        ];
        for json in usual {
            assert!(agree(json), "{json}");
        }
        let unusual = [
            "",
            "[]",
            "{",
            "{}x",
            "{,}",
            r#"{"agent":"a",}"#,
            r#"{"agent":"a\n"}"#,
            r#"{"agent":"a","agent":"b"}"#,
            r#"{"task":null,"task":"b"}"#,
            r#"{"confidence":1e-3}"#,
            r#"{"confidence":01}"#,
            r#"{"confidence":.5}"#,
            r#"{"confidence":5.}"#,
            r#"{"confidence":-}"#,
            r#"{"confidence":99999999999999999999}"#,
            r#"{"confidence":"0.5"}"#,
            r#"{"status":"fine"}"#,
            r#"{"unknown":[1]}"#,
            r#"{"unknown":{}}"#,
            r#"{"metrics":{"a":1,"a":2}}"#,
            r#"{"ts":-5}"#,
            r#"{"ts":1.5}"#,
            r#"{"ts":"yesterday"}"#,
            "{\"agent\":\"a\tb\"}",
            r#"{"latency":{"llm":1,"llm":1}}"#,
            r#"{"correct":truefalse}"#,
            r#"{"agent" "a"}"#,
        ];
        for json in unusual {
            assert!(scan(json.as_bytes()).is_none(), "{json}");
        }
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?",
            r#""[ -~é]{0,6}""#,
            Just("true".to_owned()),
            Just("null".to_owned()),
            Just(r#""ok""#.to_owned()),
            (1_970_u16..2_200, 1..=12_u8, 1..=31_u8, 0..24_u8, r"(\.[0-9]{1,9})?", r"(Z|z|\+00:00)").prop_map(
                |(year, month, day, hour, part, zone)| format!(
                    r#""{year}-{month:02}-{day:02}T{hour:02}:59:07{part}{zone}""#
                )
            ),
            r#"\{("(llm|tool|x)":(-?[0-9]{1,4}(\.[0-9]{1,3})?|null|true))(,"(llm|y)": ?[0-9])?\}"#,
        ]
    }

    fn record() -> impl Strategy<Value = String> {
        let name = "(type|event_id|agent|ts|version|task|status|confidence|latency_ms|latency|tokens_in|tokens_out|cost_usd|escalated|correct|overridden|sampled|source|metrics|flags|other)";
        let blank = "[ \n\t]{0,1}";
        let field = (blank, name, blank, value(), blank)
            .prop_map(|(before, name, between, value, after)| format!("{before}\"{name}\"{between}:{value}{after}"));
        proptest::collection::vec(field, 0..8).prop_map(|fields| format!("{{{}}}", fields.join(",")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_a_scan_gives_serde_gives(json in record()) {
            agree(&json);
        }

        #[test]
        fn a_record_that_lost_or_changed_a_byte_is_read_as_serde_reads_it(json in record(), at in any::<proptest::sample::Index>(), byte in any::<u8>(), lost: bool) {
            let mut bytes = json.into_bytes();
            let at = at.index(bytes.len());
            if lost { bytes.remove(at); } else { bytes[at] = byte; }
            if let Ok(json) = String::from_utf8(bytes.clone()) {
                agree(&json);
            } else {
                prop_assert!(scan(&bytes).is_none());
            }
        }
    }
}

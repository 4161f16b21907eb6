//! The usual event, read in one pass over its bytes: an object of texts without escapes, plain numbers and truth values, in any
//! order.
//!
//! A scan gives what serde gives, to the bit, or gives up, and then serde reads the record and says what is wrong with it. So
//! nothing is decided here: escapes, exponents, more than 19 digits, nested values that nobody asks for and every error are
//! left to serde. What it saves: `cargo bench --bench decode`.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::super::words::{WORD, leading_digits, plain, word};
use super::json::{Extras, Raw, RawLatency, RawText, RawTime};
use super::{EXTRAS_MAX, Status, time};

/// Digits that an unsigned number of 64 bits always has room for.
const DIGITS_MAX: usize = 19;

/// Whole numbers up to this one are exact.
const EXACT_MAX: u64 = 1 << 53;

/// Powers of ten: as doubles, too, all of them are exact.
#[expect(clippy::indexing_slicing, reason = "this is run by the compiler")]
const POWERS: [u64; DIGITS_MAX + 1] = {
    let mut powers = [1; DIGITS_MAX + 1];
    let mut nth = 1;
    while nth <= DIGITS_MAX {
        powers[nth] = 10 * powers[nth - 1];
        nth += 1;
    }
    powers
};

/// A name that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Type,
    EventId,
    Agent,
    Ts,
    Version,
    Task,
    Status,
    Confidence,
    LatencyMs,
    Latency,
    TokensIn,
    TokensOut,
    CostUsd,
    Escalated,
    Correct,
    Overridden,
    Sampled,
    Source,
    Metrics,
    Flags,
    Llm,
    Retrieval,
    Tool,
    Orchestration,
    /// Any other name.
    Other,
    /// No name yet, in a record and among the parts of a latency.
    Begin,
    BeginLatency,
}

/// All that are written somewhere, in their order.
const NAMES: [(Name, Key); 24] = [
    (Name::Type, Key::new("type")),
    (Name::EventId, Key::new("event_id")),
    (Name::Agent, Key::new("agent")),
    (Name::Ts, Key::new("ts")),
    (Name::Version, Key::new("version")),
    (Name::Task, Key::new("task")),
    (Name::Status, Key::new("status")),
    (Name::Confidence, Key::new("confidence")),
    (Name::LatencyMs, Key::new("latency_ms")),
    (Name::Latency, Key::new("latency")),
    (Name::TokensIn, Key::new("tokens_in")),
    (Name::TokensOut, Key::new("tokens_out")),
    (Name::CostUsd, Key::new("cost_usd")),
    (Name::Escalated, Key::new("escalated")),
    (Name::Correct, Key::new("correct")),
    (Name::Overridden, Key::new("overridden")),
    (Name::Sampled, Key::new("sampled")),
    (Name::Source, Key::new("source")),
    (Name::Metrics, Key::new("metrics")),
    (Name::Flags, Key::new("flags")),
    (Name::Llm, Key::new("llm")),
    (Name::Retrieval, Key::new("retrieval")),
    (Name::Tool, Key::new("tool")),
    (Name::Orchestration, Key::new("orchestration")),
];

/// A name, and how it stands in a record: with its quotes and its colon, as one number.
#[derive(Clone, Copy)]
struct Key {
    name: &'static str,
    bytes: u128,
    mask: u128,
}

impl Key {
    #[expect(
        clippy::indexing_slicing,
        reason = "this is run by the compiler, and fails there where a name is too long"
    )]
    const fn new(name: &'static str) -> Self {
        let mut bytes = [0; size_of::<u128>()];
        bytes[0] = b'"';
        let mut at = 0;
        while at < name.len() {
            bytes[at + 1] = name.as_bytes()[at];
            at += 1;
        }
        bytes[at + 1] = b'"';
        bytes[at + 2] = b':';
        Self { name, bytes: u128::from_le_bytes(bytes), mask: u128::MAX >> (8 * (bytes.len() - at - 3)) }
    }

    /// Bytes that it takes in a record.
    const fn length(&self) -> usize {
        self.name.len() + 3
    }
}

/// Which name came behind which in the records before. Whoever writes records writes their names in one order, so the next name
/// is compared with the one that is likely, and read and looked up only where it is another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order([Name; Name::BeginLatency as usize + 1]);

impl Default for Order {
    fn default() -> Self {
        Self([Name::Type; Name::BeginLatency as usize + 1])
    }
}

/// Reads a record into an empty one; nothing where it is not a usual one, and then what was read is of no use.
pub(super) fn scan<'a>(payload: &'a [u8], order: &mut Order, raw: &mut Raw<'a>) -> Option<()> {
    let mut scanner = Scanner { rest: std::str::from_utf8(payload).ok()?, order };
    let mut seen = Seen::default();
    scanner.blank();
    scanner.fields(Name::Begin, |scanner, name| scanner.field(name, raw, &mut seen))?;
    scanner.blank();
    scanner.rest.is_empty().then_some(())
}

/// Which names an object had so far: one that comes twice is an error.
#[derive(Default)]
struct Seen(u32);

impl Seen {
    fn first(&mut self, name: Name) -> Option<()> {
        let bit = 1 << name as u32;
        let known = self.0 & bit > 0;
        self.0 |= bit;
        (!known).then_some(())
    }
}

/// The rest of a record. Every method moves on behind what it reads, and gives nothing where something unusual stands there.
struct Scanner<'a, 'o> {
    rest: &'a str,
    order: &'o mut Order,
}

impl<'a> Scanner<'a, '_> {
    fn peek(&self) -> Option<u8> {
        self.rest.as_bytes().first().copied()
    }

    /// Moves on by so many bytes, where a character ends there.
    fn skip(&mut self, bytes: usize) -> Option<&'a str> {
        let (skipped, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(skipped)
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.skip(1);
        }
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self.rest.strip_prefix(word);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn takes_key(&mut self, key: &Key) -> bool {
        let is_it = |next: &[u8; 16]| u128::from_le_bytes(*next) & key.mask == key.bytes;
        self.rest.as_bytes().first_chunk().is_some_and(is_it) && self.skip(key.length()).is_some()
    }

    /// An object: `name` reads each name with its colon, `value` what stands behind it.
    fn object<N>(
        &mut self,
        mut name: impl FnMut(&mut Self) -> Option<N>,
        mut value: impl FnMut(&mut Self, N) -> Option<()>,
    ) -> Option<()> {
        self.takes("{").then_some(())?;
        self.blank();
        if self.takes("}") {
            return Some(());
        }
        loop {
            let name = name(self)?;
            self.blank();
            value(self, name)?;
            self.blank();
            if self.takes("}") {
                return Some(());
            }
            self.takes(",").then_some(())?;
            self.blank();
        }
    }

    /// An object with names that mean something.
    fn fields(&mut self, begin: Name, value: impl FnMut(&mut Self, Name) -> Option<()>) -> Option<()> {
        let mut before = begin;
        self.object(
            |scanner| {
                before = scanner.known_name(before)?;
                Some(before)
            },
            value,
        )
    }

    /// A name that means something, likely the one that came behind `before` last time.
    fn known_name(&mut self, before: Name) -> Option<Name> {
        let likely = self.order.0.get(before as usize).copied()?;
        if let Some((name, key)) = NAMES.get(likely as usize)
            && self.takes_key(key)
        {
            return Some(*name);
        }
        let found = self.name()?;
        let name = NAMES.iter().find(|(_, key)| key.name == found).map_or(Name::Other, |(name, _)| *name);
        *self.order.0.get_mut(before as usize)? = name;
        Some(name)
    }

    /// A name and its colon.
    fn name(&mut self) -> Option<&'a str> {
        let name = self.quoted()?;
        self.blank();
        self.takes(":").then_some(name)
    }

    /// A text in quotes.
    fn quoted(&mut self) -> Option<&'a str> {
        self.takes("\"").then_some(())?;
        let text = self.skip(plain(self.rest.as_bytes()))?;
        self.takes("\"").then_some(text)
    }

    /// Puts there what `read` reads, or nothing for `null`.
    fn put<T>(&mut self, place: &mut Option<T>, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<()> {
        *place = if self.peek() == Some(b'n') { self.takes("null").then_some(None)? } else { Some(read(self)?) };
        Some(())
    }

    fn field(&mut self, name: Name, raw: &mut Raw<'a>, seen: &mut Seen) -> Option<()> {
        match name {
            Name::Type => self.put(&mut raw.kind, Self::words),
            Name::EventId => self.put(&mut raw.event_id, Self::words),
            Name::Agent => self.put(&mut raw.agent, Self::words),
            Name::Ts => self.put(&mut raw.ts, Self::time),
            Name::Version => self.put(&mut raw.version, Self::words),
            Name::Task => self.put(&mut raw.task, Self::words),
            Name::Status => self.put(&mut raw.status, Self::status),
            Name::Confidence => self.put(&mut raw.confidence, Self::number),
            Name::LatencyMs => self.put(&mut raw.latency_ms, Self::number),
            Name::Latency => self.put(&mut raw.latency, Self::latency),
            Name::TokensIn => self.put(&mut raw.tokens_in, Self::number),
            Name::TokensOut => self.put(&mut raw.tokens_out, Self::number),
            Name::CostUsd => self.put(&mut raw.cost_usd, Self::number),
            Name::Escalated => self.put(&mut raw.escalated, Self::truth),
            Name::Correct => self.put(&mut raw.correct, Self::truth),
            Name::Overridden => self.put(&mut raw.overridden, Self::truth),
            Name::Sampled => self.put(&mut raw.sampled, Self::number),
            Name::Source => self.put(&mut raw.source, Self::anything),
            Name::Metrics => self.put(&mut raw.metrics, |of| of.extras(Self::number)),
            Name::Flags => self.put(&mut raw.flags, |of| of.extras(Self::truth)),
            _ => return self.anything().map(drop),
        }?;
        seen.first(name)
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
        if self.takes("true") {
            return Some(true);
        }
        self.takes("false").then_some(false)
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
        if let Some(whole) = self.whole() {
            return Some(whole as f64);
        }
        let begin = self.rest;
        let (negative, digits, decimals) = self.digits()?;
        if digits > EXACT_MAX {
            return begin.strip_suffix(self.rest)?.parse().ok();
        }
        let value = digits as f64 / *POWERS.get(decimals)? as f64;
        Some(if negative { -value } else { value })
    }

    /// A number of a few digits and nothing else, as most are; stays where it is where there is none.
    fn whole(&mut self) -> Option<u64> {
        let word = word(self.rest.as_bytes());
        let (digits, number) = leading_digits(word);
        let [first, ..] = word.to_le_bytes();
        let end = word.checked_shr(8 * digits as u32)? as u8;
        let is_whole = digits == 1 || digits > 1 && first != b'0';
        (is_whole && matches!(end, b',' | b'}')).then(|| self.skip(digits))??;
        Some(number)
    }

    /// The digits of a number: whether a minus stands before them, and how many of them are decimals.
    fn digits(&mut self) -> Option<(bool, u64, usize)> {
        let negative = self.takes("-");
        let zero = self.peek() == Some(b'0');
        let mut number = 0;
        let whole = self.run_of_digits(&mut number);
        let (point, mut decimals) = (self.takes("."), 0);
        if point {
            decimals = self.run_of_digits(&mut number);
        }
        let is_number = whole > 0 && (whole == 1 || !zero) && point == (decimals > 0);
        // Anything but an end is left to serde, and so are more digits than a number has room for.
        let ends = matches!(self.peek()?, b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
        (is_number && ends && whole + decimals <= DIGITS_MAX).then_some((negative, number, decimals))
    }

    /// Puts digits behind those of a number. How many there are.
    fn run_of_digits(&mut self, number: &mut u64) -> usize {
        let mut length = 0;
        loop {
            let (digits, value) = leading_digits(word(self.rest.as_bytes()));
            let power = POWERS.get(digits).copied().unwrap_or_default();
            *number = number.wrapping_mul(power).wrapping_add(value);
            self.skip(digits);
            length += digits;
            if digits < WORD {
                return length;
            }
        }
    }

    fn latency(&mut self) -> Option<RawLatency> {
        let (mut parts, mut seen) = (RawLatency::default(), Seen::default());
        self.fields(Name::BeginLatency, |scanner, name| {
            match name {
                Name::Llm => scanner.put(&mut parts.llm, Self::number),
                Name::Retrieval => scanner.put(&mut parts.retrieval, Self::number),
                Name::Tool => scanner.put(&mut parts.tool, Self::number),
                Name::Orchestration => scanner.put(&mut parts.orchestration, Self::number),
                _ => return scanner.anything().map(drop),
            }?;
            seen.first(name)
        })?;
        Some(parts)
    }

    fn extras<T>(&mut self, value: impl Fn(&mut Self) -> Option<T>) -> Option<Extras<'a, T>> {
        let mut entries: Vec<(Cow<'a, str>, T)> = Vec::new();
        self.object(Self::name, |scanner, name| {
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
            b'n' => self.takes("null").then_some(()),
            _ => self.digits().map(drop),
        }?;
        Some(IgnoredAny)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What serde says, where the scan says anything.
    fn agree(json: &str, order: &mut Order) -> bool {
        let mut scanned = Raw::default();
        if scan(json.as_bytes(), order, &mut scanned).is_none() {
            return false;
        }
        let read: Raw<'_> = serde_json::from_str(json).expect("serde reads whatever a scan reads");
        assert_eq!(format!("{scanned:?}"), format!("{read:?}"), "{json}");
        true
    }

    proptest! {
        #[test]
        fn digits_are_counted_and_read_one_by_one(digits in "[0-9]{0,20}", behind in "[^0-9]{0,9}") {
            let text = format!("{digits}{behind}");
            let (mut scanner, mut number) = (Scanner { rest: &text, order: &mut Order::default() }, 7);
            prop_assert_eq!(scanner.run_of_digits(&mut number), digits.len());
            prop_assert_eq!(scanner.rest, behind);
            let one_by_one = digits.bytes().fold(7_u64, |n, digit| n.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
            prop_assert_eq!(number, one_by_one);
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
        let mut order = Order::default();
        for json in usual {
            // The second time, in the order that is known then.
            assert!(agree(json, &mut order) && agree(json, &mut order), "{json}");
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
            assert!(!agree(json, &mut order), "{json}");
        }
    }

    #[test]
    fn names_stand_at_their_places() {
        for (at, (name, key)) in NAMES.iter().enumerate() {
            assert_eq!(*name as usize, at, "{}", key.name);
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
            r#"\{("(llm|tool|orchestration|x)":(-?[0-9]{1,4}(\.[0-9]{1,3})?|null|true))(,"(llm|y)": ?[0-9])?\}"#,
        ]
    }

    fn record() -> impl Strategy<Value = String> {
        let name = "(type|event_id|agent|ts|version|task|status|confidence|latency_ms|latency|tokens_in|tokens_out|cost_usd|escalated|correct|overridden|sampled|source|metrics|flags|orchestration|other)";
        let blank = "[ \n\t]{0,1}";
        let field = (blank, name, blank, value(), blank)
            .prop_map(|(before, name, between, value, after)| format!("{before}\"{name}\"{between}:{value}{after}"));
        proptest::collection::vec(field, 0..8).prop_map(|fields| format!("{{{}}}", fields.join(",")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_a_scan_gives_serde_gives(records in proptest::collection::vec(record(), 1..4)) {
            let mut order = Order::default();
            for json in records {
                // An order that is known changes nothing.
                prop_assert_eq!(agree(&json, &mut order), agree(&json, &mut order));
                prop_assert_eq!(agree(&json, &mut Order::default()), agree(&json, &mut order));
            }
        }

        #[test]
        fn a_record_that_lost_or_changed_a_byte_is_read_as_serde_reads_it(json in record(), at in any::<proptest::sample::Index>(), byte in any::<u8>(), lost: bool) {
            let mut order = Order::default();
            agree(&json, &mut order);
            let mut bytes = json.into_bytes();
            let at = at.index(bytes.len());
            if lost { bytes.remove(at); } else { bytes[at] = byte; }
            if let Ok(json) = String::from_utf8(bytes.clone()) {
                agree(&json, &mut order);
            } else {
                prop_assert!(scan(&bytes, &mut order, &mut Raw::default()).is_none());
            }
        }
    }
}

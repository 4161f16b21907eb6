//! shewhart's own JSON events.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::text::clean;
use super::super::units::Timestamp;
use super::scan::{Order, scan};
use super::time::millis;
use super::{
    COST_USD_MAX, EXTRAS_MAX, Event, Feedback, LATENCY_MS_MAX, Latency, METRIC_MAX, Output, Rejection, Status,
    TOKENS_MAX, Why,
};

/// Both kinds of event as they stand in the record: one flat struct, because a tagged enum costs serde 1.6 times as much.
#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct Raw<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Option<RawText<'a>>,
    #[serde(borrow, default)]
    pub(super) event_id: Option<RawText<'a>>,
    #[serde(borrow, default)]
    pub(super) agent: Option<RawText<'a>>,
    #[serde(default)]
    pub(super) ts: Option<RawTime>,
    #[serde(borrow, default)]
    pub(super) version: Option<RawText<'a>>,
    #[serde(borrow, default)]
    pub(super) task: Option<RawText<'a>>,
    #[serde(default)]
    pub(super) status: Option<Status>,
    #[serde(default)]
    pub(super) confidence: Option<f64>,
    #[serde(default)]
    pub(super) latency_ms: Option<f64>,
    #[serde(default)]
    pub(super) latency: Option<RawLatency>,
    #[serde(default)]
    pub(super) tokens_in: Option<f64>,
    #[serde(default)]
    pub(super) tokens_out: Option<f64>,
    #[serde(default)]
    pub(super) cost_usd: Option<f64>,
    #[serde(default)]
    pub(super) escalated: Option<bool>,
    #[serde(default)]
    pub(super) correct: Option<bool>,
    #[serde(default)]
    pub(super) overridden: Option<bool>,
    #[serde(default)]
    pub(super) sampled: Option<f64>,
    /// Anything: what it says is not read.
    #[serde(default)]
    pub(super) source: Option<de::IgnoredAny>,
    #[serde(borrow, default)]
    pub(super) metrics: Option<Extras<'a, f64>>,
    #[serde(borrow, default)]
    pub(super) flags: Option<Extras<'a, bool>>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct RawLatency {
    #[serde(default)]
    pub(super) llm: Option<f64>,
    #[serde(default)]
    pub(super) retrieval: Option<f64>,
    #[serde(default)]
    pub(super) tool: Option<f64>,
    #[serde(default)]
    pub(super) orchestration: Option<f64>,
}

pub(super) fn decode<'a>(payload: &'a [u8], order: &mut Order) -> Result<Event<'a>, Rejection> {
    let mut raw = Raw::default();
    if scan(payload, order, &mut raw).is_none() {
        raw = read(payload)?;
    }
    event(&mut raw)
}

/// The same without the short way: what it must be equal to.
pub(super) fn decode_by_serde(payload: &[u8]) -> Result<Event<'_>, Rejection> {
    event(&mut read(payload)?)
}

/// A record as serde reads it, whatever it is.
fn read(payload: &[u8]) -> Result<Raw<'_>, Rejection> {
    // serde would read an array as the fields in order.
    if payload.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Rejection::new(Why::Malformed, "not a JSON object"));
    }
    serde_json::from_slice(payload).map_err(|error| Rejection::new(Why::Malformed, &error.to_string()))
}

fn event<'a>(raw: &mut Raw<'a>) -> Result<Event<'a>, Rejection> {
    let is_feedback = match raw.kind.as_ref().map(|kind| kind.0.as_ref()) {
        Some("output") => false,
        Some("feedback") => true,
        Some(other) => {
            let found = clean(other);
            return Err(Rejection::new(Why::Malformed, &format!("type `{found}`; expected output or feedback")));
        }
        None => looks_like_feedback(raw),
    };
    if is_feedback { feedback(raw).map(Event::Feedback) } else { output(raw).map(Event::Output) }
}

/// Without a `type`, a verdict (or anything that only feedback has) is feedback, unless there is anything that only outputs
/// have.
fn looks_like_feedback(raw: &Raw<'_>) -> bool {
    let only_feedback_has = raw.source.is_some() || raw.sampled.is_some() || raw.overridden.is_some();
    let only_outputs_have = raw.status.is_some()
        || raw.confidence.is_some()
        || raw.latency_ms.is_some()
        || raw.latency.is_some()
        || raw.tokens_in.is_some()
        || raw.tokens_out.is_some()
        || raw.cost_usd.is_some()
        || raw.escalated.is_some()
        || raw.metrics.is_some()
        || raw.flags.is_some()
        || raw.version.is_some()
        || raw.task.is_some();
    !only_outputs_have && (only_feedback_has || raw.correct.is_some())
}

fn output<'a>(raw: &mut Raw<'a>) -> Result<Output<'a>, Rejection> {
    let parts = raw.latency.as_ref();
    let component = |name, part: fn(&RawLatency) -> Option<f64>| nanos(name, parts.and_then(part));
    let components = [
        component("latency.llm", |l| l.llm)?,
        component("latency.retrieval", |l| l.retrieval)?,
        component("latency.tool", |l| l.tool)?,
        component("latency.orchestration", |l| l.orchestration)?,
    ];
    let total = match nanos("latency_ms", raw.latency_ms)? {
        Some(total) => Some(total),
        None => components.iter().flatten().copied().reduce(|a, b| a + b),
    };
    let metrics = extras("metrics", raw.metrics.take())?;
    for (name, value) in metrics.iter().filter(|(_, value)| value.abs() > METRIC_MAX) {
        within(&format!("metrics.{name}"), Some(*value), -METRIC_MAX, METRIC_MAX)?;
    }
    let mut flags = extras("flags", raw.flags.take())?;
    if let Some(overridden) = raw.overridden {
        flags.push((Cow::Borrowed("overridden"), overridden));
    }
    Ok(Output {
        event_id: required("event_id", raw.event_id.take())?,
        agent: required("agent", raw.agent.take())?,
        ts: time(raw.ts.as_ref())?,
        version: optional(raw.version.take()),
        task: optional(raw.task.take()),
        status: raw.status,
        confidence: within("confidence", raw.confidence, 0.0, 1.0)?,
        latency: Latency { total, components },
        tokens_in: within("tokens_in", raw.tokens_in, 0.0, TOKENS_MAX)?.map(|n| n as u64),
        tokens_out: within("tokens_out", raw.tokens_out, 0.0, TOKENS_MAX)?.map(|n| n as u64),
        cost_usd: within("cost_usd", raw.cost_usd, 0.0, COST_USD_MAX)?,
        escalated: raw.escalated,
        correct: raw.correct,
        metrics,
        flags,
    })
}

fn feedback<'a>(raw: &mut Raw<'a>) -> Result<Feedback<'a>, Rejection> {
    if raw.correct.is_none() && raw.overridden.is_none() {
        return Err(Rejection::new(Why::Missing, "feedback without `correct` and without `overridden`"));
    }
    within("sampled", raw.sampled, 0.0, 1.0)?;
    Ok(Feedback {
        event_id: required("event_id", raw.event_id.take())?,
        agent: required("agent", raw.agent.take())?,
        ts: time(raw.ts.as_ref())?,
        correct: raw.correct,
        overridden: raw.overridden,
        // No case was picked with probability 0.
        sampled: raw.sampled.filter(|sampled| *sampled > 0.0),
    })
}

fn required<'a>(field: &str, value: Option<RawText<'a>>) -> Result<Cow<'a, str>, Rejection> {
    optional(value).ok_or_else(|| Rejection::new(Why::Missing, &format!("`{field}` is missing or empty")))
}

/// The cleaned text; an empty one counts as missing.
fn optional(value: Option<RawText<'_>>) -> Option<Cow<'_, str>> {
    let cleaned = value?.cleaned();
    (!cleaned.is_empty()).then_some(cleaned)
}

fn within(field: &str, value: Option<f64>, low: f64, high: f64) -> Result<Option<f64>, Rejection> {
    match value {
        Some(x) if !(low..=high).contains(&x) => {
            Err(Rejection::new(Why::OutOfRange, &format!("`{field}` is {x}; expected {low} to {high}")))
        }
        // -0.0 becomes 0.0: equal numbers must have equal bits in every sum.
        other => Ok(other.map(|x| x + 0.0)),
    }
}

fn nanos(field: &str, millis: Option<f64>) -> Result<Option<u64>, Rejection> {
    Ok(within(field, millis, 0.0, LATENCY_MS_MAX)?.map(|ms| (ms * 1e6).round() as u64))
}

fn extras<'a, T>(field: &str, found: Option<Extras<'a, T>>) -> Result<Vec<(Cow<'a, str>, T)>, Rejection> {
    match found {
        None => Ok(Vec::new()),
        Some(Extras { truncated: true, .. }) => {
            Err(Rejection::new(Why::OutOfRange, &format!("`{field}` has more than {EXTRAS_MAX} entries")))
        }
        Some(Extras { entries, .. }) => Ok(entries),
    }
}

fn time(raw: Option<&RawTime>) -> Result<Timestamp, Rejection> {
    let millis = match raw {
        None => return Err(Rejection::new(Why::Missing, "`ts` is missing")),
        Some(RawTime::Unreadable) => {
            return Err(Rejection::new(Why::Time, "`ts` is neither RFC 3339 nor epoch milliseconds"));
        }
        Some(RawTime::Millis(millis)) => *millis,
    };
    let ts = Timestamp::from_millis(millis);
    if ts < Timestamp::MIN || ts > Timestamp::MAX {
        let hint =
            if (315_532_800..7_258_118_400).contains(&millis) { "; seconds instead of milliseconds?" } else { "" };
        return Err(Rejection::new(Why::Time, &format!("`ts` {millis} ms is not between 1980 and 2200{hint}")));
    }
    Ok(ts)
}

#[cfg_attr(test, derive(Debug))]
pub(super) enum RawTime {
    Millis(i64),
    Unreadable,
}

impl<'de> Deserialize<'de> for RawTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeVisitor)
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = RawTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time in RFC 3339 or in epoch milliseconds")
    }

    fn visit_i64<E>(self, v: i64) -> Result<RawTime, E> {
        Ok(RawTime::Millis(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<RawTime, E> {
        Ok(i64::try_from(v).map_or(RawTime::Unreadable, RawTime::Millis))
    }

    fn visit_f64<E>(self, v: f64) -> Result<RawTime, E> {
        Ok(if v.abs() < 1e15 { RawTime::Millis(v.floor() as i64) } else { RawTime::Unreadable })
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<RawTime, E> {
        Ok(millis(v).map_or(RawTime::Unreadable, RawTime::Millis))
    }
}

/// A map of names to values that keeps at most [`EXTRAS_MAX`] entries, whatever the record holds.
#[cfg_attr(test, derive(Debug))]
pub(super) struct Extras<'a, T> {
    pub(super) entries: Vec<(Cow<'a, str>, T)>,
    pub(super) truncated: bool,
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Extras<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ExtrasVisitor(std::marker::PhantomData))
    }
}

struct ExtrasVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ExtrasVisitor<T> {
    type Value = Extras<'de, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of names and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries: Vec<(Cow<'de, str>, T)> = Vec::new();
        let mut truncated = false;
        while let Some(name) = map.next_key::<RawText<'de>>()? {
            let name = name.cleaned();
            let value: Option<T> = map.next_value()?;
            let Some(value) = value else { continue };
            if entries.iter().any(|(known, _)| *known == name) {
                return Err(de::Error::custom("a name stands twice"));
            }
            if entries.len() == EXTRAS_MAX {
                truncated = true;
            } else {
                entries.push((name, value));
            }
        }
        Ok(Extras { entries, truncated })
    }
}

/// A text as it stands in the record, borrowed where it has no escapes. (serde borrows a `Cow` only inside a newtype.)
#[derive(Deserialize)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct RawText<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'a> RawText<'a> {
    pub(super) fn cleaned(self) -> Cow<'a, str> {
        match self.0 {
            Cow::Borrowed(text) => clean(text),
            Cow::Owned(text) => Cow::Owned(clean(&text).into_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Event, Why, decode};

    fn why(json: &str) -> Option<Why> {
        decode(json.as_bytes()).err().map(|r| r.why)
    }

    const HEAD: &str = r#""event_id":"e1","agent":"a","ts":"2026-01-05T00:00:00Z""#;

    fn with(rest: &str) -> String {
        format!("{{{HEAD}{rest}}}")
    }

    #[test]
    fn an_output_keeps_what_it_says_and_nothing_else() {
        let json = with(
            r#","confidence":0.5,"latency_ms":1.5,"escalated":true,"future_field":{"x":[1,{}]},"metrics":{"recall":0.9},"flags":{"overridden":false}"#,
        );
        let Ok(Event::Output(output)) = decode(json.as_bytes()) else { panic!("{:?}", decode(json.as_bytes())) };
        assert_eq!(output.confidence, Some(0.5));
        assert_eq!(output.latency.total, Some(1_500_000));
        assert_eq!(output.cost_usd, None);
        assert_eq!(output.metrics, [("recall".into(), 0.9)]);
        assert_eq!(output.flags, [("overridden".into(), false)]);
    }

    #[test]
    fn the_total_latency_is_the_sum_of_its_parts_where_it_is_missing() {
        let json = with(r#","latency":{"llm":100,"tool":20.5}"#);
        let Ok(Event::Output(output)) = decode(json.as_bytes()) else { panic!() };
        assert_eq!(output.latency.total, Some(120_500_000));
    }

    #[test]
    fn a_verdict_alone_is_feedback_without_a_type() {
        assert!(matches!(decode(with(r#","correct":true"#).as_bytes()), Ok(Event::Feedback(_))));
        assert!(matches!(decode(with(r#","correct":true,"confidence":0.3"#).as_bytes()), Ok(Event::Output(_))));
        assert!(matches!(decode(with("").as_bytes()), Ok(Event::Output(_))));
    }

    #[test]
    fn every_fault_has_its_reason() {
        let cases: &[(&str, Why)] = &[
            ("", Why::Empty),
            (" \n", Why::Empty),
            ("{", Why::Malformed),
            ("[]", Why::Malformed),
            ("null", Why::Malformed),
            ("\u{feff}{}", Why::Malformed),
            ("{} x", Why::Malformed),
            ("{}", Why::Missing),
            (r#"{"event_id":"","agent":"a","ts":1767571200000}"#, Why::Missing),
            (r#"{"event_id":"e","agent":"a"}"#, Why::Missing),
            (r#"{"event_id":"e","agent":"a","ts":"yesterday"}"#, Why::Time),
            (r#"{"event_id":"e","agent":"a","ts":1767571200}"#, Why::Time),
            (r#"{"event_id":"e","agent":"a","ts":"9999-01-01T00:00:00Z"}"#, Why::Time),
            (r#"{"event_id":"e","agent":"a","ts":true}"#, Why::Malformed),
            (r#"{"event_id":"e","event_id":"f","agent":"a","ts":1767571200000}"#, Why::Malformed),
        ];
        for (json, expected) in cases {
            assert_eq!(why(json), Some(*expected), "{json}");
        }
        let tails: &[(&str, Why)] = &[
            (r#","confidence":1.0000001"#, Why::OutOfRange),
            (r#","confidence":-0.1"#, Why::OutOfRange),
            (r#","confidence":NaN"#, Why::Malformed),
            (r#","confidence":1e309"#, Why::Malformed),
            (r#","confidence":"0.5""#, Why::Malformed),
            (r#","latency_ms":-1"#, Why::OutOfRange),
            (r#","latency_ms":1e308"#, Why::OutOfRange),
            (r#","tokens_in":18446744073709551616"#, Why::OutOfRange),
            (r#","status":"great""#, Why::Malformed),
            (r#","type":"metric""#, Why::Malformed),
            (r#","type":"feedback""#, Why::Missing),
            (r#","metrics":{"x":1e300}"#, Why::OutOfRange),
        ];
        for (tail, expected) in tails {
            assert_eq!(why(&with(tail)), Some(*expected), "{tail}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_or_ignored_never_a_crash() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(
            decode(with(&format!(r#","x":{deep}"#)).as_bytes()).is_ok_and(|e| matches!(e, Event::Output(_)))
                || why(&with(&format!(r#","x":{deep}"#))).is_some()
        );
        assert_eq!(why(&with(&format!(r#","metrics":{deep}"#))), Some(Why::Malformed));
        let many: Vec<String> = (0..40).map(|i| format!(r#""m{i}":1"#)).collect();
        let many = many.join(",");
        assert_eq!(why(&with(&format!(r#","metrics":{{{many}}}"#))), Some(Why::OutOfRange));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(decode(&bytes));
        }

        #[test]
        fn arbitrary_values_never_panic(tail in r#"(,"(confidence|ts|latency|metrics|flags|status|cost_usd)":("[^"]{0,9}"|-?[0-9]{1,30}(\.[0-9]{1,5})?(e-?[0-9]{1,3})?|\{\}|\[\]|null|true)){0,4}"#) {
            drop(decode(with(&tail).as_bytes()));
        }
    }
}

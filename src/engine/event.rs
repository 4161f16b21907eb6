//! Bytes -> [`Event`], or a [`Rejection`] that says why. All knowledge of payload formats lives here.

mod json;
mod scan;
mod time;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::units::Timestamp;

/// The largest payload read, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// The longest latency accepted: one day, in milliseconds.
pub const LATENCY_MS_MAX: f64 = 86_400_000.0;
/// The largest number of tokens accepted.
pub const TOKENS_MAX: f64 = 1e9;
/// The highest cost of one output accepted, in USD.
pub const COST_USD_MAX: f64 = 1e6;
/// The largest size of a custom metric accepted.
pub const METRIC_MAX: f64 = 1e12;
/// The most metrics, and the most flags, that one event may carry.
pub const EXTRAS_MAX: usize = 32;

/// How an output ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should.
    Ok,
    /// The agent failed.
    Error,
    /// The input was not usable; not the agent's fault.
    InvalidInput,
    /// It took too long.
    Timeout,
}

/// Latency of an output and of its parts, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The whole.
    pub total: Option<u64>,
    /// By [`super::rule::Component`]: llm, retrieval, tool, orchestration.
    pub components: [Option<u64>; 4],
}

/// What an agent put out.
#[derive(Clone, Debug, PartialEq)]
pub struct Output<'a> {
    /// Unique within the agent.
    pub event_id: Cow<'a, str>,
    /// Who.
    pub agent: Cow<'a, str>,
    /// When.
    pub ts: Timestamp,
    /// Model, prompt or release.
    pub version: Option<Cow<'a, str>>,
    /// Segment.
    pub task: Option<Cow<'a, str>>,
    /// How it ended.
    pub status: Option<Status>,
    /// Stated confidence, in [0, 1].
    pub confidence: Option<f64>,
    /// Latency.
    pub latency: Latency,
    /// Tokens in, up to 1e9.
    pub tokens_in: Option<u64>,
    /// Tokens out, up to 1e9.
    pub tokens_out: Option<u64>,
    /// Cost in USD, from 0 to 1e6.
    pub cost_usd: Option<f64>,
    /// Whether it was handed to a person.
    pub escalated: Option<bool>,
    /// The verdict, when it is known at once.
    pub correct: Option<bool>,
    /// Other numbers, at most [`EXTRAS_MAX`].
    pub metrics: Vec<(Cow<'a, str>, f64)>,
    /// Other truth values, at most [`EXTRAS_MAX`].
    pub flags: Vec<(Cow<'a, str>, bool)>,
}

/// What was learnt later about an output.
#[derive(Clone, Debug, PartialEq)]
pub struct Feedback<'a> {
    /// The output's id.
    pub event_id: Cow<'a, str>,
    /// The output's agent.
    pub agent: Cow<'a, str>,
    /// When the verdict was given.
    pub ts: Timestamp,
    /// Whether the output was right.
    pub correct: Option<bool>,
    /// Whether a person overrode it.
    pub overridden: Option<bool>,
    /// The probability, above 0 and at most 1, with which this output was picked to be judged.
    pub sampled: Option<f64>,
}

/// One event of the topic.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it lives for one step on the stack; a box would cost every output")]
pub enum Event<'a> {
    /// An output.
    Output(Output<'a>),
    /// Feedback on an output.
    Feedback(Feedback<'a>),
}

/// Why a record was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// No payload, or nothing in it.
    Empty,
    /// Larger than [`PAYLOAD_BYTES_MAX`].
    TooLarge,
    /// Not one JSON object (syntax, nesting, encoding, duplicate field, wrong type).
    Malformed,
    /// `event_id`, `agent` or `ts` is missing, or feedback without a verdict.
    Missing,
    /// A number outside its range.
    OutOfRange,
    /// `ts` is not a time, or not one between 1980 and 2200.
    Time,
    /// An output whose id was seen before.
    Duplicate,
    /// An output's second verdict.
    Relabelled,
    /// A record whose handling panics or ends the process.
    Poison,
}

impl Why {
    /// All reasons, in the order of their words.
    pub const ALL: [Self; 9] = [
        Self::Empty,
        Self::TooLarge,
        Self::Malformed,
        Self::Missing,
        Self::OutOfRange,
        Self::Time,
        Self::Duplicate,
        Self::Relabelled,
        Self::Poison,
    ];

    /// The word used in the database, in metrics and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Missing => "missing",
            Self::OutOfRange => "out_of_range",
            Self::Time => "time",
            Self::Duplicate => "duplicate",
            Self::Relabelled => "relabelled",
            Self::Poison => "poison",
        }
    }
}

/// A record that was not counted, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The kind.
    pub why: Why,
    /// What was found, cleaned and cut; may hold text from the record.
    pub detail: String,
}

impl Rejection {
    /// A rejection whose detail is cleaned.
    pub fn new(why: Why, detail: &str) -> Self {
        Self { why, detail: super::text::clean(detail).into_owned() }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.why.as_str(), self.detail)
    }
}

/// Reads records one after the other. It remembers in which order their names stand, to read the next one faster: what it reads
/// is the same without.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    order: scan::Order,
}

impl Decoder {
    /// Reads one record's payload.
    ///
    /// # Errors
    /// Why the record cannot be counted. Never panics, whatever the bytes.
    pub fn decode<'a>(&mut self, payload: &'a [u8]) -> Result<Event<'a>, Rejection> {
        if payload.iter().all(u8::is_ascii_whitespace) {
            return Err(Rejection::new(Why::Empty, "no payload"));
        }
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Rejection::new(
                Why::TooLarge,
                &format!("{} bytes; at most {PAYLOAD_BYTES_MAX}", payload.len()),
            ));
        }
        json::decode(payload, &mut self.order)
    }
}

/// Reads one record's payload, for those who read few: as [`Decoder::decode`].
///
/// # Errors
/// Why the record cannot be counted.
pub fn decode(payload: &[u8]) -> Result<Event<'_>, Rejection> {
    Decoder::default().decode(payload)
}

/// The same for a payload of moderate size, by `serde_json` alone: for those who check that a [`Decoder`] reads every record just so.
///
/// # Errors
/// Why the record cannot be counted.
pub fn decode_by_serde(payload: &[u8]) -> Result<Event<'_>, Rejection> {
    json::decode_by_serde(payload)
}

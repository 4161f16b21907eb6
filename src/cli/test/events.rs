//! The events of a test: a file, a list, or a seeded simulation.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::input;
use crate::engine::event::decode;
use crate::engine::units::{Span, Timestamp};
use crate::simulate::{Generator, Scenario};

/// Where the events of a test come from.
pub(super) enum Events {
    /// There are none: the test is about routes alone.
    None,
    /// A file of JSON lines.
    File(PathBuf),
    /// JSON as it stands in the test, from that time.
    Inline(Vec<String>, Timestamp),
    /// Drawn from a scenario.
    Simulated { scenario: Box<Scenario>, seed: u64, events: usize },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSimulate {
    scenario: Value,
    #[serde(default = "one")]
    seed: u64,
    events: Option<u64>,
}

const fn one() -> u64 {
    1
}

/// What inline events and scenarios without a start begin at: 2026-01-01T00:00:00Z.
const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Reads `input_events`. Paths are relative to `base`; inline events without a time are `interval` apart.
///
/// # Errors
/// What is wrong with them, and what would be right.
pub(super) fn read(raw: Value, base: &Path, start: Option<Timestamp>, interval: Span) -> Result<Events, String> {
    match raw {
        Value::Array(events) => inline(events, start.unwrap_or(START), interval),
        Value::Object(mut map) if map.len() == 1 => match (map.remove("file"), map.remove("simulate")) {
            (Some(Value::String(file)), _) => {
                let path = base.join(&file);
                if !path.is_file() {
                    return Err(format!("input_events: there is no file {}", path.display()));
                }
                Ok(Events::File(path))
            }
            (_, Some(simulate)) => simulated(simulate, base, start),
            _ => Err(SHAPE.to_owned()),
        },
        _ => Err(SHAPE.to_owned()),
    }
}

const SHAPE: &str =
    "input_events takes a list of events, or one of `{ file: PATH }` and `{ simulate: { scenario: ... } }`";

fn inline(events: Vec<Value>, start: Timestamp, interval: Span) -> Result<Events, String> {
    if events.is_empty() {
        return Err("input_events is an empty list".to_owned());
    }
    let mut lines = Vec::new();
    for (at, event) in events.into_iter().enumerate() {
        let place = format!("input_events[{at}]");
        let Value::Object(mut event) = event else { return Err(format!("{place} is not a mapping")) };
        let due = start.plus(interval.times(at as i64));
        let ts = ts(&event, start, due).map_err(|fault| format!("{place}: ts: {fault}"))?;
        event.insert("ts".to_owned(), ts);
        event.entry("event_id").or_insert_with(|| format!("event-{at}").into());
        let line = Value::Object(event).to_string();
        // What the engine would refuse was hardly meant.
        decode(line.as_bytes()).map_err(|rejection| format!("{place}: {rejection}"))?;
        lines.push(line);
    }
    Ok(Events::Inline(lines, start))
}

/// The time of an inline event: as it stands, `1h30m` after the start, or its turn.
fn ts(event: &Map<String, Value>, start: Timestamp, due: Timestamp) -> Result<Value, String> {
    match event.get("ts") {
        None => Ok(due.as_millis().into()),
        Some(Value::String(text)) if text.ends_with(['y', 'w', 'd', 'h', 'm', 's']) || text == "0" => {
            let offset: Span = text.parse().map_err(|error| format!("{error}"))?;
            Ok(start.plus(offset).as_millis().into())
        }
        // YAML reads 0 as a number; as a time it would be 1970.
        Some(Value::Number(number)) if number.as_i64() == Some(0) => Ok(start.as_millis().into()),
        Some(other) => Ok(other.clone()),
    }
}

fn simulated(raw: Value, base: &Path, start: Option<Timestamp>) -> Result<Events, String> {
    let raw: RawSimulate = serde_json::from_value(raw).map_err(|error| format!("simulate: {error}"))?;
    let scenario = match raw.scenario {
        Value::String(name) if name == "demo" => Scenario::demo(),
        Value::String(name) if name == "bench" => Scenario::bench(),
        Value::String(path) => {
            let path = base.join(path);
            let text = std::fs::read_to_string(&path);
            let text = text.map_err(|error| format!("simulate: cannot read {}: {error}", path.display()))?;
            Scenario::parse(&text).map_err(|error| format!("simulate: {}: {error}", path.display()))?
        }
        Value::Object(mut scenario) => {
            scenario.entry("start").or_insert_with(|| START.to_string().into());
            // JSON is YAML.
            Scenario::parse(&Value::Object(scenario).to_string()).map_err(|error| format!("simulate: {error}"))?
        }
        _ => return Err("simulate: `scenario` is a file, demo, bench, or a scenario written out".to_owned()),
    };
    let scenario = match start {
        Some(start) => scenario.starting(start),
        None => scenario,
    };
    if scenario.end().is_none() && raw.events.is_none() {
        return Err("simulate: this scenario has no end: say how many `events`".to_owned());
    }
    let events = raw.events.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    Ok(Events::Simulated { scenario: Box::new(scenario), seed: raw.seed, events })
}

impl Events {
    /// When the events begin, where that is known before reading them.
    pub(super) fn start(&self) -> Option<Timestamp> {
        match self {
            Self::None | Self::File(_) => None,
            Self::Inline(_, start) => Some(*start),
            Self::Simulated { scenario, .. } => Some(scenario.start),
        }
    }

    /// Calls `each` with every event, in order, until it says that it has enough.
    pub(super) fn each(&self, mut each: impl FnMut(&[u8]) -> bool) -> anyhow::Result<()> {
        match self {
            Self::None => {}
            Self::File(path) => {
                let mut more = true;
                let each = |line: &[u8]| {
                    more = more && each(line);
                    Ok(())
                };
                input::each_line(std::slice::from_ref(path), each, &|_| {})?;
            }
            Self::Inline(lines, _) => {
                for line in lines {
                    if !each(line.as_bytes()) {
                        break;
                    }
                }
            }
            Self::Simulated { scenario, seed, events } => {
                for event in Generator::new(scenario, *seed).take(*events) {
                    if !each(event.json.as_bytes()) {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

//! Records made to break something, by the hundred thousand: whatever comes, nothing panics and every number stays one.
//! And names made to break whatever shows them, in what the daemon says of itself.
//!
//! `SHEWHART_HOSTILE_RECORDS=1000000 cargo test --release --test it -- hostile::` makes a million of them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;

use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use shewhart::edge::kafka::produce::{Outgoing, Producer, ProducerSettings};
use shewhart::edge::mock::MockBroker;
use shewhart::engine::baseline::BaselineSet;
use shewhart::engine::event::{PAYLOAD_BYTES_MAX, Why};
use shewhart::engine::text::{TEXT_BYTES_MAX, clean, is_visible};
use shewhart::engine::units::{Offset, Partition, Timestamp};
use shewhart::engine::{Effect, Engine, Group, Input, Settings};
use shewhart::simulate::{ATTACKS, malformed};

use crate::daemon::{PATIENCE, Place, TO_FOLDER, status};
use crate::notify::strings;
use crate::workload::TOPIC;
use crate::world::rules::one_file;
use crate::world::shipped::shipped;

/// 2026-01-05.
const START: i64 = 1_767_571_200_000;

/// Numbers at the edge of something, and what is none.
const NUMBERS: [&str; 36] = [
    "0",
    "-0.0",
    "1",
    "0.5",
    "0.999999999999999",
    "1.0000001",
    "-1e-300",
    "1e-400",
    "5e-324",
    "2.2250738585072014e-308",
    "1e308",
    "-1e308",
    "1.7976931348623157e308",
    "1e309",
    "-1e309",
    "86400000",
    "86400000.1",
    "1e9",
    "1000000001",
    "1e6",
    "1e12",
    "-1e12",
    "1e12",
    "9007199254740993",
    "18446744073709551616",
    "-9223372036854775809",
    "NaN",
    "Infinity",
    "\"5\"",
    "null",
    "true",
    "[]",
    "{}",
    "1e",
    "0x10",
    "00",
];

/// Times that are none, or far from the others.
const TIMES: [&str; 14] = [
    "0",
    "-1",
    "1",
    "1767571200",
    "253402300799999",
    "9223372036854775807",
    "1e308",
    "\"1970-01-01T00:00:00Z\"",
    "\"9999-12-31T23:59:59Z\"",
    "\"2026-01-05\"",
    "\"2026-01-05T10:00:00\"",
    "\"2026-13-45T99:99:99Z\"",
    "\"\"",
    "null",
];

const FIELDS: [&str; 13] = [
    "confidence",
    "latency_ms",
    "tokens_in",
    "tokens_out",
    "cost_usd",
    "escalated",
    "correct",
    "status",
    "version",
    "task",
    "metrics",
    "flags",
    "latency",
];

struct Source {
    dice: ChaCha8Rng,
    /// Records so far.
    made: u64,
    /// From this record on agents are wrong, and fail, more often.
    worse_from: u64,
}

impl Source {
    fn one(&mut self, of: &[&'static str]) -> &'static str {
        of.choose(&mut self.dice).copied().unwrap()
    }

    fn text(&mut self) -> String {
        let raw = if self.dice.random_ratio(1, 500) {
            "\u{202e}x".repeat(self.dice.random_range(1..20_000))
        } else {
            self.one(&ATTACKS).to_owned()
        };
        Value::from(raw).to_string()
    }

    /// A number that is fine for its field, most of the time.
    fn number(&mut self) -> String {
        if self.dice.random_ratio(1, 15) {
            return if self.dice.random_ratio(1, 50) {
                "9".repeat(self.dice.random_range(1..10_000))
            } else {
                self.one(&NUMBERS).to_owned()
            };
        }
        format!("{}", self.dice.random::<f64>())
    }

    fn value(&mut self, field: &str) -> String {
        let good = if self.made < self.worse_from { 0.9 } else { 0.4 };
        let flag = |dice: &mut ChaCha8Rng| dice.random_bool(good).to_string();
        match field {
            _ if self.dice.random_ratio(1, 40) => self.number(),
            "status" if self.dice.random_bool(good) => "\"ok\"".to_owned(),
            "status" => format!("\"{}\"", self.one(&["error", "timeout", "invalid_input", "on fire"])),
            "version" => format!("\"{}\"", self.one(&["1", "2", "3"])),
            "task" => self.text(),
            "escalated" | "correct" => flag(&mut self.dice),
            "metrics" => format!("{{\"m\":{},{}:{}}}", self.number(), self.text(), self.number()),
            "flags" => format!("{{\"f\":{},{}:true}}", flag(&mut self.dice), self.text()),
            "latency" => format!("{{\"llm\":{},\"tool\":{}}}", self.number(), self.number()),
            _ => self.number(),
        }
    }

    /// The fields that every record must have, most of the time in order.
    fn required(&mut self, id: u64) -> String {
        let agent = if self.dice.random_ratio(1, 30) { self.text() } else { format!("\"a{}\"", id % 4) };
        let ts = if self.dice.random_ratio(1, 30) {
            self.one(&TIMES).to_owned()
        } else {
            // Ten seconds apart, some of them late by up to a week or early by up to an hour.
            let odd = if self.dice.random_ratio(1, 20) { self.dice.random_range(-604_800..3_600) } else { 0 };
            (START + (self.made as i64 * 10 + odd) * 1_000).to_string()
        };
        format!("\"event_id\":\"e{id}\",\"agent\":{agent},\"ts\":{ts}")
    }

    fn record(&mut self) -> Vec<u8> {
        self.made += 1;
        // Some stand twice.
        let id = self.made - u64::from(self.dice.random_ratio(1, 50));
        let mut record = match self.dice.random_range(0..100_u32) {
            0..70 => {
                let mut json = format!("{{\"type\":\"output\",{}", self.required(id));
                for field in FIELDS {
                    if self.dice.random_bool(0.5) {
                        let value = self.value(field);
                        write!(json, ",\"{field}\":{value}").unwrap();
                    }
                }
                json.push('}');
                json
            }
            70..90 => {
                let of = id.saturating_sub(self.dice.random_range(0..2_000));
                // Its agent, or nobody's.
                let agent = if self.dice.random_ratio(1, 10) { 9 } else { of % 4 };
                let (ts, sampled) = (START + id as i64 * 10_000, self.number());
                let verdict = self.dice.random_bool(if id < self.worse_from { 0.9 } else { 0.4 });
                format!("{{\"type\":\"feedback\",\"event_id\":\"e{of}\",\"agent\":\"a{agent}\",\"ts\":{ts},\"correct\":{verdict},\"sampled\":{sampled}}}")
            }
            _ => {
                let fields = self.required(id);
                malformed(&mut self.dice, &fields)
            }
        }
        .into_bytes();
        if self.dice.random_ratio(1, 20) && !record.is_empty() {
            let at = self.dice.random_range(0..record.len());
            match self.dice.random_range(0..3_u32) {
                0 => record[at] = self.dice.next_u32() as u8,
                1 => record.truncate(at),
                _ => record.insert(at, self.dice.next_u32() as u8),
            }
        }
        record
    }
}

/// What is no finite number in a state, as Rust prints it, with what stands before it.
fn odd_number(state: &impl std::fmt::Debug) -> Option<String> {
    let printed = format!("{state:?}");
    let is_word = |at: usize| {
        let (before, after) = (printed[..at].chars().next_back(), printed[at + 3..].chars().next());
        matches!(before, Some(' ' | '(' | '[' | '-')) && matches!(after, Some(',' | ')' | ']' | ' '))
    };
    let found = ["NaN", "inf"].into_iter().flat_map(|word| printed.match_indices(word)).find(|(at, _)| is_word(*at));
    found.map(|(at, word)| {
        let before: String = printed[..at].chars().rev().take(200).collect();
        before.chars().rev().collect::<String>() + word
    })
}

fn records_wanted() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "how long a test runs is set from outside")]
    let asked = std::env::var("SHEWHART_HOSTILE_RECORDS");
    asked.map_or(8_000, |text| text.parse().expect("SHEWHART_HOSTILE_RECORDS is a number of records"))
}

#[test]
fn whatever_comes_nothing_panics_and_every_number_of_a_state_is_finite() {
    let records = records_wanted();
    let settings = Settings {
        group_by: vec![Group::Agent],
        provisional_outputs: 300,
        recent_outputs: 1_000,
        streams_max: 30,
        ..Settings::default()
    };
    let mut engine = Engine::new(Partition(0), Arc::new(settings), shipped(), Arc::new(BaselineSet::default()));
    let mut source = Source { dice: ChaCha8Rng::seed_from_u64(56), made: 0, worse_from: records / 2 };
    let (mut effects, mut rejected, mut crossed) = (Vec::new(), [0_u64; Why::ALL.len()], 0_u64);
    for at in 0..records {
        let payload = source.record();
        let appended = Some(Timestamp::from_millis(START + at as i64 * 10_000));
        engine.step(Input::Record { offset: Offset(at as i64), appended, payload: &payload }, &mut effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Rejected { rejection, .. } => {
                    assert!(rejection.detail.len() <= TEXT_BYTES_MAX && is_visible(&rejection.detail));
                    rejected[Why::ALL.iter().position(|why| *why == rejection.why).unwrap()] += 1;
                }
                Effect::Crossed(crossing) => {
                    crossed += 1;
                    assert_eq!(odd_number(&crossing.account.as_ref().map(|a| (a.estimate, a.change))), None);
                }
                _ => {}
            }
        }
        // Once a number is none, all that it is added to is none: looking now and then is enough.
        if at % (records / 100).max(1) == 0 || at + 1 == records {
            for stream in engine.streams() {
                let odd = odd_number(&stream.memory).or_else(|| odd_number(&stream.window));
                assert_eq!(odd, None, "after record {at}, {}", String::from_utf8_lossy(&payload));
            }
        }
    }
    assert_eq!(engine.position().next, Offset(records as i64));
    assert!(engine.streams().len() <= 31);
    let counters = engine.position().counters;
    assert!(counters.outputs > records / 4 && counters.feedback > records / 50, "{counters:?}");
    let unseen: Vec<_> = Why::ALL.iter().zip(rejected).filter(|(_, n)| *n == 0).map(|(why, _)| why.as_str()).collect();
    assert!(unseen.iter().all(|why| ["too_large", "poison"].contains(why)), "never rejected as {unseen:?}");
    assert!(crossed > 0, "no chart was in play");
}

/// Records of up to a megabyte that are deep, wide or long, and why each is refused; nothing where it is read, because what a
/// field holds that is nobody's concern is passed over.
fn monsters() -> Vec<(String, Vec<u8>, Option<Why>)> {
    let with =
        |tail: &str| format!(r#"{{"type":"output","event_id":"{}","agent":"a","ts":{START}{tail}}}"#, tail.len());
    let most = PAYLOAD_BYTES_MAX;
    let (mut all, mut others) = (Vec::new(), Vec::new());
    for (open, close, inside) in [("[", "]", ""), ("{\"a\":", "}", "1")] {
        for depth in [20_000, 1_000_000] {
            let depth = depth.min(most / open.len() - 100);
            let unclosed = open.repeat(depth);
            let deep = if depth * (open.len() + close.len()) + 200 < most {
                format!("{unclosed}{inside}{}", close.repeat(depth))
            } else {
                unclosed.clone()
            };
            // An object that is whole only lacks fields.
            let is_whole = deep.len() > unclosed.len();
            let why = if is_whole && open == "{\"a\":" { Why::Missing } else { Why::Malformed };
            all.push((format!("{depth} deep"), deep.clone(), why));
            for field in ["metrics", "status"] {
                all.push((format!("{depth} deep in {field}"), with(&format!(",\"{field}\":{deep}")), Why::Malformed));
            }
            others.push((
                format!("{depth} deep in x"),
                format!(",\"x\":{deep}"),
                (!is_whole).then_some(Why::Malformed),
            ));
        }
    }
    let zeros = "0,".repeat(1_000_000) + "0";
    all.push(("a million numbers".to_owned(), format!("[{zeros}]"), Why::TooLarge));
    let zeros = &zeros[..most - 299];
    all.push(("half a million numbers".to_owned(), format!("[{zeros}]"), Why::Malformed));
    all.push(("as many in metrics".to_owned(), with(&format!(",\"metrics\":[{zeros}]")), Why::Malformed));
    let long = "\u{202e}x".repeat(225_000);
    all.push(("a long word".to_owned(), format!("\"{long}\""), Why::Malformed));
    all.push(("a long status".to_owned(), with(&format!(",\"status\":\"{long}\"")), Why::Malformed));
    let keys = (0..100_000).map(|n| format!("\"{n:x}\":1")).collect::<Vec<_>>().join(",");
    all.push(("100,000 metrics".to_owned(), with(&format!(",\"metrics\":{{{keys}}}")), Why::OutOfRange));
    let mut all: Vec<_> = all.into_iter().map(|(what, text, why)| (what, text.into_bytes(), Some(why))).collect();
    for (what, tail) in [
        ("half a million numbers that nobody asks for", format!(",\"x\":[{zeros}]")),
        ("a long word that nobody asks for", format!(",\"x\":\"{long}\"")),
        ("a long key", format!(",\"{long}\":1")),
        ("100,000 keys", format!(",{keys}")),
        ("a long name", format!(",\"task\":\"{long}\"")),
    ] {
        others.push((what.to_owned(), tail, None));
    }
    all.extend(others.into_iter().map(|(what, tail, why)| (what, with(&tail).into_bytes(), why)));
    all
}

/// What makes a process of this test do no more than step the monsters.
const ALONE: &str = "SHEWHART_MONSTERS_ALONE";

#[test]
fn records_that_are_deep_wide_or_long_are_refused_or_passed_over_in_little_memory() {
    if std::env::var_os(ALONE).is_some() {
        step_monsters();
        return;
    }
    // A process of its own, whose memory nobody else uses.
    let test = "hostile::records_that_are_deep_wide_or_long_are_refused_or_passed_over_in_little_memory";
    let mut child = Command::new(std::env::current_exe().unwrap());
    let run = child.args(["--exact", "--nocapture", test]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}{said}", String::from_utf8_lossy(&run.stdout));
    assert!(said.contains("100,000 keys: None"), "{said}");
}

fn step_monsters() {
    let settings = Arc::new(Settings { group_by: vec![Group::Agent, Group::Task], ..Settings::default() });
    let mut engine = Engine::new(Partition(0), settings, shipped(), Arc::new(BaselineSet::default()));
    let mut effects = Vec::new();
    let mut step = |offset: usize, payload: &[u8]| {
        engine.step(Input::Record { offset: Offset(offset as i64), appended: None, payload }, &mut effects);
        effects.drain(..).find_map(|effect| match effect {
            Effect::Rejected { rejection, .. } => Some(rejection.why),
            _ => None,
        })
    };
    // What is made once at the first record.
    let usual = format!(r#"{{"event_id":"u","agent":"a","ts":{START},"task":"t","metrics":{{"m":1}}}}"#);
    assert_eq!(step(0, usual.as_bytes()), None);
    let now = |key| status(std::process::id(), key).unwrap();
    for (at, (what, payload, why)) in monsters().into_iter().enumerate() {
        assert!(payload.len() <= PAYLOAD_BYTES_MAX || why == Some(Why::TooLarge), "{what}: {}", payload.len());
        // The peak from here on.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = now("VmRSS:");
        let found = step(at + 1, &payload);
        let more = now("VmHWM:").saturating_sub(before);
        writeln!(std::io::stderr(), "{what}: {found:?}, {more} KiB").expect("stderr");
        assert_eq!(found, why, "{what}");
        assert!(more <= 4_096, "{what}: {more} KiB for {} bytes", payload.len());
    }
}

#[test]
fn hostile_names_are_told_in_lines_of_their_own_and_read_back_from_the_api() {
    let broker = MockBroker::start(TOPIC, 1).unwrap();
    let mut place = Place::new(broker.bootstrap(), TOPIC);
    let rule = "groups: [ { name: g, rules: [ { alert: Silent, detect: { measure: silence, absent: 1h } } ] } ]\n";
    one_file(&mut place, rule);
    place.more = TO_FOLDER.replace("provisional_outputs: 1000", "provisional_outputs: 500");
    place.log_filter = "debug";
    let names: BTreeSet<String> = strings().into_iter().filter(|name| !name.is_empty()).collect();
    // Read while it is written: the broker keeps a few megabytes.
    let mut daemon = place.start();
    place.wait_ready(&mut daemon);
    let settings = ProducerSettings::new(broker.bootstrap()).with("compression.type", "gzip");
    let producer = Producer::new(&settings).unwrap();
    let mut records = 0_u64;
    let mut send = |agent: &str, minute: i64| {
        let event = json!({ "event_id": minute.to_string(), "agent": agent, "ts": START + minute * 60_000 });
        producer.send(&Outgoing::new(TOPIC, "key", event.to_string().as_bytes())).unwrap();
        records += 1;
    };
    for minute in 0..501 {
        for name in &names {
            send(name, minute);
        }
    }
    send("last", 4_000);
    producer.flush(PATIENCE).unwrap();
    let cleaned: BTreeSet<String> = names.iter().map(|name| clean(name).into_owned()).collect();
    assert_eq!(cleaned.len(), names.len(), "names that differ stay apart");
    let firing = "SELECT count(*) FROM v_alerts WHERE state = 'firing'";
    let told = |place: &Place| place.committed() == records && place.ask(firing).is_some_and(|n| n > 0);
    place.wait("the alerts", &mut daemon, told);
    let (code, page) = place.page("/api/v1/alerts").unwrap();
    assert_eq!(code, 200);
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
    let page: Value = serde_json::from_str(&page).unwrap();
    let alerts = page["data"]["alerts"].as_array().unwrap();
    let told: BTreeSet<String> = alerts.iter().map(|a| a["labels"]["agent"].as_str().unwrap().to_owned()).collect();
    assert_eq!((told, alerts.len()), (cleaned.clone(), cleaned.len()));
    place.stop(daemon);

    let log = place.log();
    let mut found = BTreeSet::new();
    for line in log.lines() {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(matches!(line["level"].as_str(), Some("DEBUG" | "INFO" | "WARN")), "{line}");
        found.extend(cleaned.iter().filter(|name| line.to_string().contains(&json_text(name))).cloned());
    }
    assert_eq!(found, cleaned, "each is named in the log");
}

/// A text as it stands inside of JSON.
fn json_text(text: &str) -> String {
    Value::from(text).to_string().trim_matches('"').to_owned()
}

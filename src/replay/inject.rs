//! Changes put into recorded events, to ask whether they would have been seen.
//!
//! An injection works on the bytes of records before the engine reads them. What it changes is chosen by a hash of the
//! event's id and a seed, so it is the same in every run and whatever the order of records; a larger change of the same
//! kind changes the same events and more.
//!
//! Bad at: everything that goes with a real fall. Confidence does not sag with accuracy, and the wrong answers are spread
//! evenly, not on one kind of work.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Incident, Selector};
use crate::engine::alert::Id;
use crate::engine::baseline::BaselineSet;
use crate::engine::event::{Event, Feedback, Output, Status, decode};
use crate::engine::rule::{Measure, Quantity, Unit, quantity};
use crate::engine::units::{Counts, Timestamp};
use crate::engine::{Group, key_of, recent};

/// What an injection changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lever {
    Accuracy,
    Escalation,
    Errors,
    Confidence,
    Latency,
    Cost,
}

/// The words of levers, which are those of measures.
const LEVERS: [(&str, Lever); 6] = [
    ("accuracy", Lever::Accuracy),
    ("escalation_rate", Lever::Escalation),
    ("error_rate", Lever::Errors),
    ("confidence", Lever::Confidence),
    ("latency", Lever::Latency),
    ("cost", Lever::Cost),
];

impl Lever {
    fn word(self) -> &'static str {
        LEVERS.iter().find(|(_, lever)| *lever == self).map_or("", |(word, _)| word)
    }

    /// Whether it is said in points; otherwise in percent.
    const fn in_points(self) -> bool {
        matches!(self, Self::Accuracy | Self::Escalation | Self::Errors | Self::Confidence)
    }

    /// The measure, where the lever is a share of cases that are thinned.
    const fn share(self) -> Option<Measure> {
        match self {
            Self::Accuracy => Some(Measure::Accuracy),
            Self::Escalation => Some(Measure::EscalationRate),
            Self::Errors => Some(Measure::ErrorRate),
            Self::Confidence | Self::Latency | Self::Cost => None,
        }
    }
}

/// `accuracy -3pp where agent=x from 2026-03-01T00:00:00Z to 2026-03-08T00:00:00Z`.
#[derive(Clone, Debug)]
pub struct Injection {
    text: String,
    lever: Lever,
    /// Points as a share, or a share of the value itself; with its sign.
    amount: f64,
    selector: Selector,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

/// What an injection did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Injected {
    /// The injection.
    pub what: String,
    /// Records changed.
    pub changed: u64,
    /// Streams that it meant but could not change, because nothing was known of their level before.
    pub unknown: Vec<String>,
}

const SHAPE: &str = "write MEASURE AMOUNT [where LABEL=GLOB, ...] [from TIME] [to TIME], like \
                     `accuracy -3pp where agent=invoice-* from 2026-03-01T00:00:00Z`";

impl FromStr for Injection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let (Some(measure), Some(amount)) = (words.next(), words.next()) else { return Err(SHAPE.to_owned()) };
        let lever = LEVERS.iter().find(|(word, _)| *word == measure).map(|(_, lever)| *lever).ok_or_else(|| {
            let known: Vec<&str> = LEVERS.iter().map(|(word, _)| *word).collect();
            format!("`{measure}` cannot be injected; these can: {}", known.join(", "))
        })?;
        let amount = signed(amount, lever)?;
        let mut parts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut part = None;
        for word in words {
            match (word, part) {
                ("where" | "from" | "to", _) if !parts.contains_key(word) => {
                    parts.insert(word, Vec::new());
                    part = Some(word);
                }
                (_, Some(part)) => parts.entry(part).or_default().push(word),
                (_, None) => return Err(format!("`{word}` is out of place; {SHAPE}")),
            }
        }
        let joined = |part: &str| parts.get(part).map(|words| words.join(" "));
        let mut globs = BTreeMap::new();
        for pair in joined("where").iter().flat_map(|text| text.split(',')) {
            let (label, glob) =
                pair.trim().split_once('=').ok_or_else(|| format!("`{pair}` is no LABEL=GLOB; {SHAPE}"))?;
            globs.insert(label.trim().to_owned(), glob.trim().to_owned());
        }
        let time = |part: &str| joined(part).map(|text| super::selector::time(&text)).transpose();
        let (from, to) = (time("from")?, time("to")?);
        if from.zip(to).is_some_and(|(from, to)| to <= from) {
            return Err("`to` must be later than `from`".to_owned());
        }
        Ok(Self { text: text.trim().to_owned(), lever, amount, selector: Selector::new(&globs)?, from, to })
    }
}

/// `-3pp` as -0.03, `+20%` as 0.2.
fn signed(text: &str, lever: Lever) -> Result<f64, String> {
    let example = if lever.in_points() { "-3pp" } else { "+20%" };
    let wrong = || format!("`{text}` is not a change of {}; write it like {example}, with its sign", lever.word());
    let (sign, size) = match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(size), _) => (-1.0, size),
        (_, Some(size)) => (1.0, size),
        _ => return Err(wrong()),
    };
    let Ok(Quantity { number, unit }) = quantity(size) else { return Err(wrong()) };
    let unit_fits = if lever.in_points() { unit == Unit::Points } else { unit == Unit::Percent };
    let share = number / 100.0;
    if !unit_fits || share <= 0.0 || (sign < 0.0 && share >= 1.0) {
        return Err(wrong());
    }
    Ok(sign * share)
}

impl Injection {
    /// Whether it changes what happened at that time.
    fn is_at(&self, ts: Timestamp) -> bool {
        self.from.is_none_or(|from| ts >= from) && self.to.is_none_or(|to| ts < to)
    }

    /// Whether what happened then is from before it.
    fn is_after(&self, ts: Timestamp) -> bool {
        self.from.is_some_and(|from| ts < from)
    }

    /// The share of cases to be turned around so that the expected share moves by the amount, from the level before.
    fn chance(&self, level: f64) -> f64 {
        // Only cases on one side can be turned to the other.
        let able = if self.amount < 0.0 { level } else { 1.0 - level };
        if able > 0.0 { (self.amount.abs() / able).min(1.0) } else { 0.0 }
    }

    /// Whether a case is turned around, given that it can be.
    fn turns(&self, value: bool) -> bool {
        value == (self.amount < 0.0)
    }
}

/// What is remembered of an output, for its verdict.
#[derive(Clone, Copy, Debug)]
struct Known {
    stream: usize,
    ts: Timestamp,
    /// The injections that mean it, a bit each.
    meant: u64,
}

/// The level of one stream, for one injection.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    before: Counts,
    /// The chance of a case to be turned around, from the first case on that could be; nothing where no level is known.
    chance: Option<f64>,
    decided: bool,
}

/// Most injections at once.
const INJECTIONS_MAX: usize = 64;

/// Applies injections to records.
#[derive(Debug, Default)]
pub struct Injector {
    injections: Vec<Injection>,
    changed: Vec<u64>,
    seed: u64,
    group_by: Vec<Group>,
    baselines: Arc<BaselineSet>,
    streams: indexmap::IndexMap<String, BTreeMap<String, String>>,
    levels: BTreeMap<(usize, usize), Level>,
    outputs: BTreeMap<u128, Known>,
    order: VecDeque<u128>,
    capacity: usize,
}

impl Injector {
    /// Injections into streams formed by `group_by`. A stream's level before is that of its outputs before the injection,
    /// or of its baseline; `capacity` outputs are remembered for their verdicts.
    ///
    /// # Errors
    /// More than 64 injections.
    pub fn new(
        injections: Vec<Injection>,
        seed: u64,
        (group_by, capacity): (&[Group], usize),
        baselines: Arc<BaselineSet>,
    ) -> Result<Self, String> {
        if injections.len() > INJECTIONS_MAX {
            return Err(format!("{} injections; at most {INJECTIONS_MAX}", injections.len()));
        }
        let changed = vec![0; injections.len()];
        let group_by = group_by.to_vec();
        Ok(Self { injections, changed, seed, group_by, baselines, capacity: capacity.max(1), ..Self::default() })
    }

    /// The incidents that the injections are, on streams formed by `group_by`.
    pub(super) fn incidents(&self, group_by: &[Group]) -> Vec<Incident> {
        let incident = |injection: &Injection| Incident {
            name: injection.text.clone(),
            from: injection.from.unwrap_or(Timestamp::MIN),
            to: injection.to,
            selector: injection.selector.of_streams(group_by),
            measure: Some(injection.lever.word().to_owned()),
            alerts: Vec::new(),
        };
        self.injections.iter().map(incident).collect()
    }

    /// What was done.
    pub(super) fn report(&self) -> Vec<Injected> {
        let name = |labels: &BTreeMap<String, String>| labels.values().cloned().collect::<Vec<_>>().join(" / ");
        let each = self.injections.iter().zip(&self.changed).enumerate();
        each.map(|(at, (injection, changed))| Injected {
            what: injection.text.clone(),
            changed: *changed,
            unknown: self.unknown(at).map(name).collect(),
        })
        .collect()
    }

    /// The streams that an injection means and could not change, because nothing was known of their level before.
    pub(super) fn unknown(&self, at: usize) -> impl Iterator<Item = &BTreeMap<String, String>> {
        let without = self.levels.iter().filter(move |((i, _), l)| *i == at && l.decided && l.chance.is_none());
        without.filter_map(|((_, stream), _)| self.streams.get_index(*stream)).map(|(_, labels)| labels)
    }

    /// The record as the injections leave it.
    pub fn apply<'p>(&mut self, payload: &'p [u8]) -> Cow<'p, [u8]> {
        if self.injections.is_empty() {
            return Cow::Borrowed(payload);
        }
        let edits = match decode(payload) {
            Ok(Event::Output(output)) => self.output(&output),
            Ok(Event::Feedback(feedback)) => self.feedback(&feedback),
            Err(_) => Vec::new(),
        };
        if edits.is_empty() {
            return Cow::Borrowed(payload);
        }
        let Ok(Value::Object(mut event)) = serde_json::from_slice(payload) else { return Cow::Borrowed(payload) };
        for (at, edit) in edits {
            if edit.make(&mut event)
                && let Some(changed) = self.changed.get_mut(at)
            {
                *changed += 1;
            }
        }
        Cow::Owned(Value::Object(event).to_string().into_bytes())
    }

    fn output(&mut self, output: &Output<'_>) -> Vec<(usize, Edit)> {
        let labels = labels(output);
        let meant: Vec<usize> = (0..self.injections.len())
            .filter(|at| self.injections.get(*at).is_some_and(|injection| injection.selector.matches(&labels)))
            .collect();
        if meant.is_empty() {
            return Vec::new();
        }
        let stream = self.stream(&labels);
        let bits = meant.iter().fold(0, |bits, at| bits | 1 << at);
        self.remember(recent::key(&output.agent, &output.event_id), Known { stream, ts: output.ts, meant: bits });
        let mut edits = Vec::new();
        for at in meant {
            let Some(injection) = self.injections.get(at) else { continue };
            let value = match injection.lever {
                Lever::Accuracy => output.correct,
                Lever::Escalation => output.escalated,
                Lever::Errors => output.status.map(|status| status != Status::Ok),
                Lever::Confidence | Lever::Latency | Lever::Cost => {
                    if injection.is_at(output.ts) {
                        edits.push((at, Edit::Move(injection.lever, injection.amount)));
                    }
                    continue;
                }
            };
            let Some(value) = value else { continue };
            if self.turns(at, stream, (&output.agent, &output.event_id, output.ts), value) {
                edits.push((at, self.injections.get(at).map_or(Edit::Correct(value), |i| Edit::turn(i.lever, !value))));
            }
        }
        edits
    }

    fn feedback(&mut self, feedback: &Feedback<'_>) -> Vec<(usize, Edit)> {
        let Some(value) = feedback.correct else { return Vec::new() };
        let Some(known) = self.outputs.get(&recent::key(&feedback.agent, &feedback.event_id)).copied() else {
            return Vec::new();
        };
        let mut edits = Vec::new();
        for at in 0..self.injections.len() {
            let is_of_labels = self.injections.get(at).is_some_and(|i| i.lever == Lever::Accuracy);
            if is_of_labels
                && known.meant & (1 << at) != 0
                && self.turns(at, known.stream, (&feedback.agent, &feedback.event_id, known.ts), value)
            {
                edits.push((at, Edit::Correct(!value)));
            }
        }
        edits
    }

    /// Whether a case of a stream is turned around. Counts it towards the level where it is from before.
    fn turns(&mut self, at: usize, stream: usize, (agent, id, ts): (&str, &str, Timestamp), value: bool) -> bool {
        let Some(injection) = self.injections.get(at) else { return false };
        let level = self.levels.entry((at, stream)).or_default();
        if injection.is_after(ts) {
            level.before.add(value);
        }
        if !injection.is_at(ts) {
            return false;
        }
        let baseline = || {
            let key = self.streams.get_index(stream).map(|(key, _)| key)?;
            let counts = self.baselines.streams.get(key)?.bad_of(&injection.lever.share()?)?;
            if injection.lever == Lever::Accuracy { counts.complement().share() } else { counts.share() }
        };
        if !level.decided {
            level.chance = level.before.share().or_else(baseline).map(|p| injection.chance(p));
            level.decided = true;
        }
        level
            .chance
            .is_some_and(|chance| injection.turns(value) && draw(self.seed, injection.lever, agent, id) < chance)
    }

    fn stream(&mut self, labels: &BTreeMap<String, String>) -> usize {
        let own: BTreeMap<String, String> = self
            .group_by
            .iter()
            .filter_map(|g| labels.get_key_value(g.as_str()))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        self.streams.insert_full(key_of(&own), own).0
    }

    fn remember(&mut self, key: u128, known: Known) {
        if self.outputs.insert(key, known).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > self.capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.outputs.remove(&oldest);
            }
        }
    }
}

/// A number in [0, 1) that belongs to an event.
fn draw(seed: u64, lever: Lever, agent: &str, id: &str) -> f64 {
    let id = Id::of(&[&seed.to_le_bytes(), lever.word().as_bytes(), agent.as_bytes(), id.as_bytes()]);
    // 53 bits are what a float can tell apart.
    (id.0 >> 75) as f64 / (1_u64 << 53) as f64
}

fn labels(output: &Output<'_>) -> BTreeMap<String, String> {
    let value = |group: Group| match group {
        Group::Agent => Some(output.agent.as_ref()),
        Group::Task => output.task.as_deref(),
        Group::Version => output.version.as_deref(),
    };
    Group::ALL.into_iter().filter_map(|group| Some((group.as_str().to_owned(), value(group)?.to_owned()))).collect()
}

/// One change of one event.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Edit {
    Correct(bool),
    Escalated(bool),
    Failed(bool),
    Move(Lever, f64),
}

impl Edit {
    const fn turn(lever: Lever, value: bool) -> Self {
        match lever {
            Lever::Escalation => Self::Escalated(value),
            Lever::Errors => Self::Failed(value),
            Lever::Accuracy | Lever::Confidence | Lever::Latency | Lever::Cost => Self::Correct(value),
        }
    }

    /// Makes the change; says whether there was anything to change.
    fn make(self, event: &mut Map<String, Value>) -> bool {
        let mut put = |name: &str, value: Value| event.insert(name.to_owned(), value).is_some();
        match self {
            Self::Correct(value) => put("correct", value.into()),
            Self::Escalated(value) => put("escalated", value.into()),
            Self::Failed(value) => put("status", if value { "error" } else { "ok" }.into()),
            Self::Move(Lever::Latency, share) => {
                let parts = event.get_mut("latency").and_then(Value::as_object_mut);
                // Every part, not the first that can be moved.
                let parts = parts.map_or(0, |parts| {
                    parts.values_mut().map(|part| usize::from(alter(part, |x| x * (1.0 + share)))).sum::<usize>()
                });
                event.get_mut("latency_ms").is_some_and(|whole| alter(whole, |x| x * (1.0 + share))) || parts > 0
            }
            Self::Move(Lever::Cost, share) => {
                event.get_mut("cost_usd").is_some_and(|cost| alter(cost, |x| x * (1.0 + share)))
            }
            Self::Move(_, points) => {
                event.get_mut("confidence").is_some_and(|stated| alter(stated, |x| (x + points).clamp(0.0, 1.0)))
            }
        }
    }
}

fn alter(value: &mut Value, change: impl Fn(f64) -> f64) -> bool {
    let Some(number) = value.as_f64() else { return false };
    *value = change(number).into();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn injector(texts: &[&str], seed: u64) -> Injector {
        let injections = texts.iter().map(|text| text.parse().unwrap()).collect();
        Injector::new(injections, seed, (&[Group::Agent], 1_000_000), Arc::default()).unwrap()
    }

    /// An hour's worth of outputs by two agents, each followed by its verdict at once; nine in ten are right.
    fn records(hours: std::ops::Range<usize>) -> Vec<String> {
        let mut records = Vec::new();
        for at in hours.start * 100..hours.end * 100 {
            let (ts, agent) = (1_767_225_600_000 + at * 36_000, if at % 2 == 0 { "a" } else { "b" });
            let output = format!(
                r#"{{"event_id":"{at}","agent":"{agent}","ts":{ts},"confidence":0.5,"latency_ms":100,"latency":{{"llm":80}}}}"#
            );
            let right = at / 2 % 10 != 0;
            records.push(output);
            records.push(format!(r#"{{"event_id":"{at}","agent":"{agent}","ts":{ts},"correct":{right}}}"#));
        }
        records
    }

    fn wrong(records: &[String], agent: &str) -> Vec<String> {
        let of = |r: &&String| r.contains("correct\":false") && r.contains(&format!("agent\":\"{agent}\""));
        records.iter().filter(of).map(|r| serde_json::from_str::<Value>(r).unwrap()["event_id"].to_string()).collect()
    }

    fn applied(injector: &mut Injector, records: &[String]) -> Vec<String> {
        records.iter().map(|r| String::from_utf8(injector.apply(r.as_bytes()).into_owned()).unwrap()).collect()
    }

    const FROM: &str = "from 2026-01-02T00:00:00Z";

    #[test]
    fn accuracy_falls_by_as_much_as_is_asked_where_and_when_it_is_asked() {
        let records = records(0..124);
        let mut injector = injector(&[&format!("accuracy -3pp where agent=a {FROM}")], 1);
        let after = applied(&mut injector, &records);
        assert_eq!(after[..4_800], records[..4_800], "before the time nothing changes");
        assert_eq!(wrong(&after, "b"), wrong(&records, "b"), "other agents do not change");
        // 5,000 outputs by agent a from then on, 4,500 of them right: 150 expected to turn, standard error 12.
        let turned = wrong(&after, "a").len() - wrong(&records, "a").len();
        assert!((114..=186).contains(&turned), "{turned}");
        let report = injector.report();
        assert_eq!((report[0].changed, report[0].unknown.len()), (turned as u64, 0));
    }

    #[test]
    fn what_is_changed_depends_on_the_event_and_the_seed_alone() {
        let records = records(0..60);
        let of = |amount: &str, seed| {
            let text = format!("accuracy {amount} {FROM}");
            wrong(&applied(&mut injector(&[&text], seed), &records), "a")
        };
        let (small, large) = (of("-3pp", 1), of("-6pp", 1));
        assert_eq!(small, of("-3pp", 1));
        assert_ne!(small, of("-3pp", 2));
        assert!(small.iter().all(|id| large.contains(id)), "a larger fall takes the same cases and more");
        // In another order after the change, the same cases.
        let mut shuffled = records[..4_800].to_vec();
        shuffled.extend(records[4_800..].chunks(2).rev().flatten().cloned());
        let mut found = wrong(&applied(&mut injector(&[&format!("accuracy -3pp {FROM}")], 1), &shuffled), "a");
        found.sort();
        let mut small = small;
        small.sort();
        assert_eq!(found, small);
    }

    #[test]
    fn values_move_and_shares_turn_both_ways() {
        let text = [format!("confidence -4pp {FROM}"), format!("latency +20% {FROM}")];
        let after = applied(&mut injector(&[&text[0], &text[1]], 1), &records(24..25));
        let event: Value = serde_json::from_str(&after[0]).unwrap();
        assert_eq!((&event["confidence"], &event["latency_ms"]), (&0.46.into(), &120.0.into()));
        assert_eq!(event["latency"]["llm"], 96.0);
        let upwards: Injection = "accuracy +5pp".parse().unwrap();
        assert!((upwards.chance(0.9) - 0.5).abs() < 1e-12 && upwards.turns(false) && !upwards.turns(true));
        assert_eq!(upwards.chance(1.0), 0.0);
    }

    #[test]
    fn without_a_level_before_nothing_is_changed_and_that_is_said() {
        let records = records(24..26);
        let mut injector = injector(&["accuracy -3pp from 2026-01-01T00:00:00Z"], 1);
        assert_eq!(applied(&mut injector, &records), records);
        assert_eq!(injector.report()[0].unknown, ["a", "b"]);
    }

    #[test]
    fn what_is_no_injection_is_explained() {
        for (text, part) in [
            ("accuracy", "write MEASURE AMOUNT"),
            ("accuray -3pp", "these can: accuracy"),
            ("accuracy 3pp", "with its sign"),
            ("accuracy -3%", "like -3pp"),
            ("accuracy --3pp", "like -3pp"),
            ("accuracy -100pp", "like -3pp"),
            ("latency +20pp", "like +20%"),
            ("accuracy -3pp agent=x", "out of place"),
            ("accuracy -3pp where agent", "LABEL=GLOB"),
            ("accuracy -3pp where team=x", "not a label of events"),
            ("accuracy -3pp where agent=[x", "not a glob"),
            ("accuracy -3pp from noon", "not a time"),
            ("accuracy -3pp from 2026-01-02T00:00:00Z to 2026-01-01T00:00:00Z", "later than"),
        ] {
            let fault = text.parse::<Injection>().expect_err(text);
            assert!(fault.contains(part), "{text}: {fault}");
        }
        let spaced: Injection =
            "accuracy -3pp where agent=income a, task=eu from 2026-01-02T00:00:00Z".parse().unwrap();
        assert_eq!(spaced.selector.to_string(), "agent=income a, task=eu");
    }
}

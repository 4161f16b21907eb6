//! What is simulated: the log of a few partitions, the rule sets, baselines and routes that daemons run under.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use shewhart::engine::baseline::{Baseline, BaselineSet};
use shewhart::engine::route::{Escalation, Pace, Policy, Route};
use shewhart::engine::rule::{RuleSet, Source, compile};
use shewhart::engine::units::{Offset, Partition, Span, Timestamp};
use shewhart::engine::{Engine, Input, Settings};

use crate::chance::Chance;

/// When every log begins.
pub(crate) const START: i64 = 1_790_863_200_000;
pub(crate) const SECOND: i64 = 1_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;

/// Partitions of the topic.
pub(crate) const PARTITIONS: i32 = 2;
const AGENTS: u64 = 3;
/// Seconds between two records of a partition.
const EVERY: i64 = 20;
/// Outputs from which a stream learns.
const LEARNT: u64 = 40;

/// A record of the log.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// When the broker took it.
    pub(crate) appended: i64,
    pub(crate) payload: Vec<u8>,
}

/// The records of every partition.
pub(crate) type Log = BTreeMap<i32, Vec<Record>>;

/// What goes wrong with an agent.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Half of its outputs fail.
    Errors,
    /// It is wrong as often as not.
    Wrong,
    /// It is slow.
    Slow,
    /// It says nothing.
    Silent,
}

/// A planted change: the agent, what, from which record to which.
type Change = (u64, Fault, usize, usize);

fn changes(chance: &mut Chance, records: usize) -> Vec<Change> {
    let mut found = Vec::new();
    for agent in 0..AGENTS {
        // What is learnt from should be in control.
        let mut at = chance.between(130, 220) as usize;
        while at < records {
            // The first agent is never silent: a log must go on.
            let known = [Fault::Errors, Fault::Wrong, Fault::Slow, Fault::Silent];
            let known = known.get(..if agent == 0 { 3 } else { 4 }).unwrap_or_default();
            let fault = *chance.one_of(known).unwrap_or(&Fault::Errors);
            let length = chance.between(40, 120) as usize;
            found.push((agent, fault, at, at + length));
            at += length + chance.between(40, 200) as usize;
        }
    }
    found
}

/// The log of a partition: outputs, later feedback, late records, duplicates, rubbish, times that are far ahead.
fn partition(seed: u64, number: i32, records: usize) -> Vec<Record> {
    let mut chance = Chance::new(seed, 100 + u64::from(number.unsigned_abs()));
    let changes = changes(&mut chance, records);
    let mut now = START;
    let mut log: Vec<Record> = Vec::new();
    // Verdicts to come: when, and what they say.
    let mut verdicts: Vec<(i64, String)> = Vec::new();
    while log.len() < records {
        now += chance.pause(EVERY * SECOND);
        if chance.below(150) == 0 {
            now += chance.between(1, 40) * MINUTE;
        }
        verdicts.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        if let Some((_, payload)) = verdicts.pop_if(|(at, _)| *at <= now) {
            log.push(Record { appended: now, payload: payload.into_bytes() });
            continue;
        }
        let at = log.len();
        let agent = chance.below(AGENTS);
        let fault = changes.iter().find(|(a, _, from, to)| *a == agent && (*from..*to).contains(&at)).map(|c| c.1);
        if matches!(fault, Some(Fault::Silent)) {
            continue;
        }
        let payload = match chance.below(200) {
            0 => "{\"agent\": \"cut".to_owned(),
            1 => String::new(),
            2 => log.iter().rev().nth(5).map_or(String::new(), |r| String::from_utf8_lossy(&r.payload).into_owned()),
            _ => output(&mut chance, (number, agent, at), now, fault, &mut verdicts),
        };
        log.push(Record { appended: now, payload: payload.into_bytes() });
    }
    log
}

fn output(
    chance: &mut Chance,
    (partition, agent, at): (i32, u64, usize),
    now: i64,
    fault: Option<Fault>,
    verdicts: &mut Vec<(i64, String)>,
) -> String {
    let name = format!("agent-{partition}-{agent}");
    let odds = |usual, faulty, is: bool| if is { faulty } else { usual };
    let fails = chance.happens(odds(200, 5_500, matches!(fault, Some(Fault::Errors))));
    let right = chance.happens(odds(9_300, 5_000, matches!(fault, Some(Fault::Wrong))));
    let latency = chance.between(100, 900) * odds(1, 5, matches!(fault, Some(Fault::Slow))) as i64;
    let confidence = chance.between(50, 99);
    let ts = match chance.below(100) {
        // Late: within the minutes that are kept, within the hours, and beyond.
        0 => now - chance.between(2, 55) * MINUTE,
        1 => now - chance.between(2, 30) * HOUR,
        // A clock that is far ahead.
        2 => now + chance.between(1, 100) * HOUR,
        _ => now - chance.between(0, 3_000),
    };
    let mut text = format!(
        "{{\"event_id\":\"{at}\",\"agent\":\"{name}\",\"ts\":\"{}\",\"status\":\"{}\",\"latency_ms\":{latency},\
         \"confidence\":0.{confidence},\"cost_usd\":0.0{confidence},\"version\":\"r{}\"",
        Timestamp::from_millis(ts),
        if fails { "error" } else { "ok" },
        at / 250
    );
    if chance.below(2) == 0 {
        write!(text, ",\"correct\":{right}").expect("writing to a String cannot fail");
    } else if chance.below(4) > 0 {
        let later = now + chance.pause(10 * MINUTE);
        let ts = Timestamp::from_millis(later);
        let verdict = format!(
            "{{\"type\":\"feedback\",\"event_id\":\"{at}\",\"agent\":\"{name}\",\"ts\":\"{ts}\",\"correct\":{right}}}"
        );
        verdicts.push((later, verdict));
    }
    text.push('}');
    text
}

/// The log of a seed.
pub(crate) fn log(seed: u64, records: usize) -> Log {
    (0..PARTITIONS).map(|number| (number, partition(seed, number, records))).collect()
}

/// What no fault changes.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) settings: Arc<Settings>,
    /// Rule sets that the files may hold.
    pub(crate) rules: Vec<Arc<RuleSet>>,
    /// Baselines that may be promoted; the first is none.
    pub(crate) baselines: Vec<Arc<BaselineSet>>,
    pub(crate) policy: Policy,
}

const RULES: &str = "
groups:
  - name: g
    rules:
      - alert: ErrorsRising
        detect: { measure: error_rate, rise: 15pp, arl0: 500, grade: drifting }
        for: 1m
        keep_firing_for: 5m
        labels: { severity: critical }
        annotations: { summary: \"{{ agent }}: {{ estimate }} of outputs fail, baseline {{ baseline }}\" }
      - alert: AccuracyDrop
        detect: { measure: accuracy, drop: 15pp, arl0: 500, grade: drifting }
        labels: { severity: warning }
      - alert: Slow
        detect: { measure: latency, quantile: p95, rise: 15pp, arl0: 500, grade: degraded }
        labels: { severity: warning }
      - alert: Burning
        detect: { measure: availability, target: 90%, burn_rate: 3, long: 1h, short: 5m }
        labels: { severity: critical }
      - alert: Silent
        detect: { measure: silence, absent: 15m }
        labels: { severity: warning }
";

fn rule_set(text: &str) -> Arc<RuleSet> {
    let compiled = compile(&[Source { name: "sim.yaml".to_owned(), text: text.to_owned() }]);
    let why = || compiled.diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    Arc::new(compiled.rules.clone().unwrap_or_else(|| panic!("the rules of the simulation compile: {}", why())))
}

impl Plan {
    /// The plan that every seed shares: designing charts and learning baselines takes longer than a run.
    pub(crate) fn new() -> Self {
        let settings = Settings {
            group_by: vec![shewhart::engine::Group::Agent],
            provisional_outputs: LEARNT,
            recent_outputs: 200,
            ..Settings::default()
        };
        let stricter =
            RULES.replace("rise: 15pp, arl0: 500, grade: drifting", "rise: 20pp, arl0: 300, grade: drifting");
        let fewer = RULES.replace("alert: AccuracyDrop\n", "alert: AccuracyDrop\n        enabled: false\n");
        let rules = vec![rule_set(RULES), rule_set(&stricter), rule_set(&fewer.replace("absent: 15m", "absent: 25m"))];
        let learnt = |id: &str, seed| baseline(id, seed, &settings, &rules);
        let baselines = vec![Arc::default(), learnt("healthy@1", 1), learnt("healthy@2", 2)];
        Self { settings: Arc::new(settings), rules, baselines, policy: policy() }
    }

    pub(crate) fn rules_of(&self, number: usize) -> Arc<RuleSet> {
        Arc::clone(self.rules.get(number).expect("rule sets are known by their numbers"))
    }

    pub(crate) fn baselines_of(&self, number: usize) -> Arc<BaselineSet> {
        Arc::clone(self.baselines.get(number).expect("baselines are known by their numbers"))
    }

    /// The baseline of that id of one stream.
    pub(crate) fn baseline(&self, id: &str, stream: &str) -> Option<Box<Baseline>> {
        let set = self.baselines.iter().find(|set| set.id == id)?;
        let profile = set.streams.get(stream)?.clone();
        Some(Box::new(Baseline { id: id.to_owned(), provisional: false, profile }))
    }
}

/// What the first records of a log teach, where nothing has changed yet.
fn baseline(id: &str, seed: u64, settings: &Settings, rules: &[Arc<RuleSet>]) -> Arc<BaselineSet> {
    let settings = Arc::new(Settings { provisional_outputs: u64::MAX, ..settings.clone() });
    let mut streams = BTreeMap::new();
    for (number, records) in log(seed, 400) {
        let Some(rules) = rules.first() else { break };
        let mut engine = Engine::new(Partition(number), Arc::clone(&settings), Arc::clone(rules), Arc::default());
        for (offset, record) in (0..).zip(records.iter().take(130)) {
            let input = Input::Record { offset: Offset(offset), appended: None, payload: &record.payload };
            engine.step(input, &mut Vec::new());
        }
        streams.extend(engine.streams().filter_map(|stream| Some((stream.key.to_string(), stream.learnt_so_far()?))));
    }
    Arc::new(BaselineSet { id: id.to_owned(), streams })
}

/// Mails that gather, a pager that does not wait and escalates, and a receiver that keeps alerts itself.
fn policy() -> Policy {
    let pace = |wait, interval| Pace {
        wait: Span::from_secs(wait),
        interval: Span::from_secs(interval),
        repeat: Span::HOUR.times(4),
    };
    let mut mail = Route::to("mail", &["alertname"], pace(30, 300));
    let mut pager = Route::to("pager", &["alertname", "agent"], pace(0, 10));
    pager.matchers = vec!["severity=critical".parse().expect("a matcher")];
    pager.escalation = Some(Escalation { after: Span::MINUTE.times(15), receivers: vec!["boss".to_owned()] });
    mail.routes.push(pager);
    let mut policy = Policy::new(vec![mail]);
    policy.add_root(Route::to("keeper", &[], pace(0, 60)));
    policy.level.insert("keeper".to_owned());
    policy
}

/// Everybody who may be told something, in the order of their names.
pub(crate) const RECEIVERS: [&str; 5] = ["boss", "keeper", "mail", "pager", "second"];

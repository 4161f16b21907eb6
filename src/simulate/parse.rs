//! Scenario files: YAML as written, checked into a [`Scenario`] that cannot be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde::Deserialize;

use super::scenario::{Agent, Change, Confidence, Labels, Mechanism, Scenario, Shift, Spread, Tokens};
use crate::engine::units::{Span, Timestamp};

/// Why a scenario was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// The file is not YAML of the expected shape; the text names line and column.
    #[error("the scenario cannot be read: {0}")]
    Shape(String),
    /// The shape is right, values are not. One line for each fault.
    #[error("the scenario has {}:\n  {}", count(.0.len()), .0.join("\n  "))]
    Values(Vec<String>),
}

fn count(faults: usize) -> String {
    if faults == 1 { "one fault".to_owned() } else { format!("{faults} faults") }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScenario {
    start: String,
    length: Option<String>,
    agents: Vec<RawAgent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAgent {
    name: String,
    copies: Option<u32>,
    #[serde(default)]
    tasks: BTreeMap<String, f64>,
    version: Option<String>,
    per_day: f64,
    #[serde(default)]
    diurnal: f64,
    accuracy: f64,
    confidence: Option<RawConfidence>,
    escalation: Option<f64>,
    escalates_below: Option<f64>,
    overrides: Option<f64>,
    #[serde(default)]
    errors: f64,
    latency_ms: Option<RawSpread>,
    #[serde(default)]
    latency: RawParts,
    cost_usd: Option<RawSpread>,
    tokens: Option<RawTokens>,
    labels: Option<RawLabels>,
    #[serde(default)]
    changes: Vec<RawChange>,
    #[serde(default)]
    malformed: f64,
    #[serde(default)]
    hostile: bool,
}

/// Shares of the latency.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawParts {
    llm: Option<f64>,
    retrieval: Option<f64>,
    tool: Option<f64>,
    orchestration: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfidence {
    r2: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSpread {
    median: f64,
    sigma: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTokens {
    #[serde(rename = "in")]
    input: RawSpread,
    #[serde(rename = "out")]
    output: RawSpread,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLabels {
    fraction: f64,
    delay: String,
    #[serde(default)]
    delay_sigma: f64,
    delay_wrong: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChange {
    at: String,
    until: Option<String>,
    ramp: Option<String>,
    accuracy: Option<String>,
    mechanism: Option<RawMechanism>,
    confidence: Option<String>,
    escalation: Option<String>,
    overrides: Option<String>,
    errors: Option<String>,
    labels: Option<String>,
    latency: Option<String>,
    cost: Option<String>,
    tokens: Option<String>,
    rate: Option<String>,
    version: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawMechanism {
    Harder,
    Silent,
    Overconfident,
}

/// Collects faults, each with the place it was found at.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn say(&mut self, place: &str, what: impl Display) {
        self.0.push(format!("{place}: {what}"));
    }

    fn within(&mut self, place: &str, value: f64, low: f64, high: f64) -> f64 {
        if !(low..=high).contains(&value) {
            self.say(place, format_args!("{value} is not between {low} and {high}"));
        }
        value
    }

    fn share(&mut self, place: &str, value: f64) -> f64 {
        self.within(place, value, 0.0, 1.0)
    }

    fn span(&mut self, place: &str, text: &str) -> Span {
        text.parse().unwrap_or_else(|error| {
            self.say(place, error);
            Span::ZERO
        })
    }
}

/// The longest offset a scenario may use: ten years.
const LONGEST: Span = Span::from_millis(3_650 * 86_400_000);

/// Reads and checks a scenario file.
pub(super) fn scenario(yaml: &str) -> Result<Scenario, ScenarioError> {
    let raw: RawScenario = serde_saphyr::from_str(yaml).map_err(|error| ScenarioError::Shape(error.to_string()))?;
    let mut faults = Faults::default();
    let start = start(&raw.start, &mut faults);
    let length = raw.length.map(|text| faults.span("length", &text));
    if length.is_some_and(|length| length <= Span::ZERO || length > LONGEST) {
        faults.say("length", "must be more than 0 and at most 10y");
    }
    let mut agents = Vec::new();
    for (position, agent) in raw.agents.into_iter().enumerate() {
        let place = format!("agents[{position}] ({})", agent.name.chars().take(40).collect::<String>());
        let copies = agent.copies;
        let agent = check_agent(agent, &place, &mut faults);
        match copies {
            None => agents.push(agent),
            Some(n @ 1..=100_000) => {
                agents.extend((1..=n).map(|i| Agent { name: format!("{}-{i:03}", agent.name), ..agent.clone() }));
            }
            Some(n) => faults.say(&format!("{place} copies"), format_args!("{n} is not between 1 and 100000")),
        }
    }
    if agents.is_empty() {
        faults.say("agents", "name at least one");
    }
    let mut names = BTreeSet::new();
    for agent in &agents {
        if !names.insert(agent.name.as_str()) {
            faults.say("agents", format_args!("the name `{}` is used twice", agent.name));
        }
    }
    if faults.0.is_empty() { Ok(Scenario { start, length, agents }) } else { Err(ScenarioError::Values(faults.0)) }
}

fn start(text: &str, faults: &mut Faults) -> Timestamp {
    match text.parse() {
        Ok(time) if (Timestamp::MIN..=Timestamp::MAX).contains(&time) => return time,
        Ok(_) => faults.say("start", "must lie between the years 1980 and 2200"),
        Err(_) => faults.say("start", format_args!("`{text}` is not a time; write it like 2026-01-05T00:00:00Z")),
    }
    Timestamp::MIN
}

fn check_agent(raw: RawAgent, place: &str, faults: &mut Faults) -> Agent {
    if raw.name.is_empty() || raw.name.len() > 200 {
        faults.say(&format!("{place} name"), "must have 1 to 200 bytes");
    }
    let field = |name: &str| format!("{place} {name}");
    let agent = Agent {
        tasks: check_tasks(raw.tasks, &field("tasks"), faults),
        version: raw.version,
        per_day: faults.within(&field("per_day"), raw.per_day, 0.001, 1e9),
        diurnal: faults.share(&field("diurnal"), raw.diurnal),
        accuracy: faults.within(&field("accuracy"), raw.accuracy, 0.01, 0.999),
        confidence: raw
            .confidence
            .map(|confidence| Confidence { r2: faults.within(&field("confidence.r2"), confidence.r2, 0.001, 0.9) }),
        escalation: raw.escalation.map(|rate| faults.share(&field("escalation"), rate)),
        escalates_below: raw.escalates_below.map(|bar| faults.share(&field("escalates_below"), bar)),
        overrides: raw.overrides.map(|rate| faults.share(&field("overrides"), rate)),
        errors: faults.share(&field("errors"), raw.errors),
        latency_ms: raw.latency_ms.map(|spread| check_spread(&spread, &field("latency_ms"), faults)),
        latency_parts: check_parts(&raw.latency, &field("latency"), faults),
        cost_usd: raw.cost_usd.map(|spread| check_spread(&spread, &field("cost_usd"), faults)),
        tokens: raw.tokens.map(|tokens| Tokens {
            input: check_spread(&tokens.input, &field("tokens.in"), faults),
            output: check_spread(&tokens.output, &field("tokens.out"), faults),
        }),
        labels: raw.labels.map(|labels| Labels {
            fraction: faults.share(&field("labels.fraction"), labels.fraction),
            delay: faults.span(&field("labels.delay"), &labels.delay).min(LONGEST),
            delay_wrong: labels.delay_wrong.map(|delay| faults.span(&field("labels.delay_wrong"), &delay).min(LONGEST)),
            delay_sigma: faults.within(&field("labels.delay_sigma"), labels.delay_sigma, 0.0, 3.0),
        }),
        changes: Vec::new(),
        malformed: faults.share(&field("malformed"), raw.malformed),
        hostile: raw.hostile,
        name: raw.name,
    };
    if agent.latency_ms.is_none() && !agent.latency_parts.is_empty() {
        faults.say(&field("latency"), "needs `latency_ms`, of which it has the shares");
    }
    if agent.escalates_below.is_some() && (agent.escalation.is_some() || agent.confidence.is_none()) {
        faults.say(&field("escalates_below"), "needs `confidence`, and no `escalation` beside it");
    }
    if agent.labels.is_some_and(|labels| {
        labels.delay_wrong.is_some_and(|wrong| (wrong == Span::ZERO) != (labels.delay == Span::ZERO))
    }) {
        faults.say(&field("labels.delay_wrong"), "is zero where `delay` is, and only there");
    }
    let changes = raw.changes.into_iter().enumerate();
    let changes = changes
        .map(|(position, change)| check_change(change, &agent, &format!("{place} changes[{position}]"), faults))
        .collect();
    Agent { changes, ..agent }
}

fn check_tasks(tasks: BTreeMap<String, f64>, place: &str, faults: &mut Faults) -> Vec<(String, f64)> {
    let sum: f64 = tasks.values().sum();
    if !tasks.is_empty() && (sum - 1.0).abs() > 1e-6 {
        faults.say(place, format_args!("the shares sum to {sum}, not to 1"));
    }
    tasks.into_iter().map(|(task, share)| (task, faults.share(place, share))).collect()
}

fn check_parts(raw: &RawParts, place: &str, faults: &mut Faults) -> Vec<(&'static str, f64)> {
    let all =
        [("llm", raw.llm), ("retrieval", raw.retrieval), ("tool", raw.tool), ("orchestration", raw.orchestration)];
    let sum: f64 = all.iter().filter_map(|(_, share)| *share).sum();
    if sum > 1.0 + 1e-6 {
        faults.say(place, format_args!("the shares sum to {sum}, more than 1"));
    }
    all.into_iter().filter_map(|(part, share)| Some((part, faults.share(place, share?)))).collect()
}

fn check_spread(raw: &RawSpread, place: &str, faults: &mut Faults) -> Spread {
    Spread {
        median: faults.within(&format!("{place}.median"), raw.median, 1e-9, 1e9),
        sigma: faults.within(&format!("{place}.sigma"), raw.sigma, 0.0, 3.0),
    }
}

fn check_change(raw: RawChange, agent: &Agent, place: &str, faults: &mut Faults) -> Change {
    let faults_before = faults.0.len();
    let at = faults.span(&format!("{place} at"), &raw.at);
    let until = raw.until.map(|text| faults.span(&format!("{place} until"), &text));
    let ramp = raw.ramp.map(|text| faults.span(&format!("{place} ramp"), &text));
    if until.is_some_and(|until| until <= at) {
        faults.say(&format!("{place} until"), "must be later than `at`");
    }
    if [Some(at), until, ramp].into_iter().flatten().any(|span| span > LONGEST) {
        faults.say(place, "no time may be longer than 10y");
    }
    if raw.mechanism.is_some() && raw.accuracy.is_none() {
        faults.say(
            &format!("{place} mechanism"),
            "says what confidence does while accuracy changes; give `accuracy` too",
        );
    }
    let mut shift = |name: &str, text: Option<String>, base: Option<f64>| {
        let text = text?;
        check_shift(&text, base, &format!("{place} {name}"), faults)
    };
    let confidence = agent.confidence.map(|_| agent.accuracy);
    let mechanism = raw.accuracy.is_some().then_some(match raw.mechanism {
        None | Some(RawMechanism::Harder) => Mechanism::Harder,
        Some(RawMechanism::Silent) => Mechanism::Silent,
        Some(RawMechanism::Overconfident) => Mechanism::Overconfident,
    });
    let change = Change {
        at,
        until,
        ramp: ramp.unwrap_or(Span::ZERO),
        accuracy: shift("accuracy", raw.accuracy, Some(agent.accuracy)),
        mechanism,
        confidence: shift("confidence", raw.confidence, confidence),
        escalation: shift("escalation", raw.escalation, agent.escalation),
        overrides: shift("overrides", raw.overrides, agent.overrides),
        errors: shift("errors", raw.errors, Some(agent.errors)),
        labels: shift("labels", raw.labels, agent.labels.map(|labels| labels.fraction)),
        latency: shift("latency", raw.latency, agent.latency_ms.map(|_| FACTOR_ONLY)),
        cost: shift("cost", raw.cost, agent.cost_usd.map(|_| FACTOR_ONLY)),
        tokens: shift("tokens", raw.tokens, agent.tokens.map(|_| FACTOR_ONLY)),
        rate: shift("rate", raw.rate, Some(FACTOR_ONLY)),
        version: raw.version,
    };
    let sound = faults.0.len() == faults_before;
    if sound && change.version.is_none() && change.shifts().iter().all(|(_, shift)| shift.is_none()) {
        faults.say(place, "changes nothing");
    }
    change
}

/// Stands for a quantity that is no proportion: points make no sense for it.
const FACTOR_ONLY: f64 = f64::INFINITY;

fn check_shift(text: &str, base: Option<f64>, place: &str, faults: &mut Faults) -> Option<Shift> {
    let Some(base) = base else {
        faults.say(place, "the agent has no such value to change");
        return None;
    };
    let Some(shift) = read_shift(text) else {
        faults.say(place, format_args!("`{text}` is not a change; write it like -3pp, +5pp or x1.5"));
        return None;
    };
    match shift {
        Shift::Points(_) if base == FACTOR_ONLY => {
            faults.say(place, format_args!("`{text}`: percentage points are for rates; write a factor like x1.5"));
        }
        Shift::Factor(factor) if !(0.0..=1000.0).contains(&factor) => {
            faults.say(place, format_args!("`{text}`: a factor lies between x0 and x1000"));
        }
        _ if base != FACTOR_ONLY && !(-1e-9..=1.0 + 1e-9).contains(&shift.apply(base, 1.0)) => {
            let after = shift.apply(base, 1.0);
            faults.say(place, format_args!("`{text}` takes {base} to {after:.4}, which is no probability"));
        }
        _ => return Some(shift),
    }
    None
}

fn read_shift(text: &str) -> Option<Shift> {
    let shift = if let Some(points) = text.strip_suffix("pp") {
        points.starts_with(['+', '-']).then(|| points.parse().map(Shift::Points))?
    } else {
        text.strip_prefix('x')?.parse().map(Shift::Factor)
    };
    shift.ok().filter(|shift| matches!(shift, Shift::Points(n) | Shift::Factor(n) if n.is_finite()))
}

//! What a message says, before it is laid out as text or as HTML: a headline, blocks of named rows, ids.

use std::collections::BTreeMap;

use super::clean::{line, token};
use super::figures::{
    Scale, cases, count, duration, is_graded, measure_name, moment, moment_after, moments, promised, rounded,
};
use crate::engine::account::told as told_parts;
use crate::engine::alert::{Account, Crossing, Reason, State};
use crate::engine::route::{Message, Occasion, Status};
use crate::engine::rule::{Grade, Measure};
use crate::engine::units::Timestamp;

/// Alerts told one by one; the rest is a number.
pub const ALERTS_SHOWN: usize = 20;

/// Longest label value shown, in characters.
const LABEL_LIMIT: usize = 120;
/// Longest annotation kept, in characters; the text layout cuts further.
const ANNOTATION_LIMIT: usize = 1_000;

/// A message for people.
pub(super) struct Page {
    /// The subject, cleaned and cut.
    pub(super) subject: String,
    /// The first line of the body.
    pub(super) title: String,
    /// Something to know about the message itself.
    pub(super) note: Option<String>,
    /// One block for each alert shown.
    pub(super) blocks: Vec<Block>,
    /// How many alerts are not shown.
    pub(super) more: usize,
    /// The message's own ids.
    pub(super) ids: Vec<Row>,
}

/// One alert.
#[derive(Default)]
pub(super) struct Block {
    /// Which alert, where there are several.
    pub(super) title: Option<String>,
    /// What is wrong and by how much.
    pub(super) lead: String,
    /// Since when, on what evidence, at which promise.
    pub(super) facts: Vec<Row>,
    /// The rule's annotations, the most useful first.
    pub(super) advice: Vec<Row>,
    /// Which rule, which stream, which incident.
    pub(super) ids: Vec<Row>,
}

/// A named value.
pub(super) struct Row {
    /// Its name, cleaned.
    pub(super) name: String,
    /// Its value, cleaned.
    pub(super) value: String,
}

impl Row {
    fn new(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.into() }
    }
}

impl Page {
    /// The page of a message.
    pub(super) fn of(message: &Message) -> Self {
        let several = message.crossings.len() > 1;
        let blocks = message.crossings.iter().take(ALERTS_SHOWN).enumerate();
        let blocks = blocks.map(|(i, crossing)| {
            let title = several.then(|| {
                let state = if is_over(crossing) { "resolved" } else { "FIRING" };
                format!("{}. {state}: {} on {}", i + 1, line(&crossing.alert, 60), stream(crossing, 100))
            });
            Block { title, ..block(crossing, several) }
        });
        Self {
            subject: subject(message),
            title: title(message),
            note: note(message),
            blocks: blocks.collect(),
            more: message.crossings.len().saturating_sub(ALERTS_SHOWN),
            ids: vec![Row::new("Message", message.id.to_string())],
        }
    }

    /// The page that is sent when a receiver refused the first one: nothing in it was written by an agent.
    pub(super) fn fallback(message: &Message, now: Timestamp) -> Self {
        let first = message.crossings.first();
        let rule = first.map_or_else(|| "alert".to_owned(), |c| token(&c.rule, 80));
        let severity = first.and_then(severity).map_or(String::new(), |s| format!("{s} "));
        let blocks = message.crossings.iter().take(ALERTS_SHOWN).map(|crossing| Block {
            lead: format!("{} is {}.", token(&crossing.rule, 80), crossing.to.as_str()),
            ids: vec![
                Row::new("Since", moment(crossing.started_at)),
                Row::new("Alert", crossing.alert_id.to_string()),
                Row::new("Record", record(crossing)),
            ],
            ..Block::default()
        });
        Self {
            subject: line(&format!("[{}] {severity}{rule} (details withheld)", status_word(message.status)), 120),
            title: format!("{}, {severity}{rule}, told at {}", status_word(message.status), moment(now)),
            note: Some(FALLBACK_NOTE.to_owned()),
            blocks: blocks.collect(),
            more: message.crossings.len().saturating_sub(ALERTS_SHOWN),
            ids: vec![Row::new("Message", message.id.to_string())],
        }
    }
}

/// Why a fallback says so little.
pub(super) const FALLBACK_NOTE: &str = "The full message was refused by the receiver. This one holds no text from \
agents, in case that text was the reason. Look the alert up by its id.";

/// The word in front of a subject.
pub(super) const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Firing => "FIRING",
        Status::Resolved => "RESOLVED",
    }
}

/// Whether people need not act on this alert any more.
pub(super) const fn is_over(crossing: &Crossing) -> bool {
    matches!(crossing.to, State::Resolved | State::Inactive)
}

/// The rule's severity where it is one plain word, as every severity in use is. Anything else could come from an agent.
pub(super) fn severity(crossing: &Crossing) -> Option<&str> {
    let text = crossing.labels.get("severity")?;
    (!text.is_empty() && text.len() <= 16 && text.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(text.as_str())
}

/// `[FIRING] critical AccuracyDegraded: agent=invoice-triage`, at most 120 characters.
fn subject(message: &Message) -> String {
    line(&format!("[{}] {}", status_word(message.status), headline(message)), 120)
}

fn title(message: &Message) -> String {
    format!("{}: {}", status_word(message.status), headline(message))
}

fn headline(message: &Message) -> String {
    let Some(first) = message.crossings.first() else { return "no alerts".to_owned() };
    let severity = severity(first).map_or(String::new(), |s| format!("{s} "));
    let alert = line(&first.alert, 60);
    let kinds = message.crossings.iter().any(|c| c.alert != first.alert);
    match message.crossings.len() {
        1 => format!("{severity}{alert}: {}", stream(first, 200)),
        n => {
            let others = if kinds { " and others" } else { "" };
            let group = labels(&message.group_labels, 200);
            let group = if group.is_empty() { group } else { format!(": {group}") };
            format!("{severity}{alert}{others} ({n} alerts){group}")
        }
    }
}

fn note(message: &Message) -> Option<String> {
    let firing = message.crossings.iter().filter(|c| !is_over(c)).count();
    let all = message.crossings.len();
    match (message.occasion, message.status) {
        (Occasion::Repeat, _) => Some("Reminder: nothing changed since the last message.".to_owned()),
        (_, Status::Firing) if firing < all => Some(format!("{firing} firing, {} resolved.", all - firing)),
        _ => None,
    }
}

/// The labels that say which stream it is, `agent` first; severity and the alert's name are said elsewhere.
fn stream(crossing: &Crossing, limit: usize) -> String {
    match crossing.labels.get("agent") {
        Some(agent) => line(&format!("agent={}", line(agent, LABEL_LIMIT)), limit),
        None => labels(&crossing.labels, limit),
    }
}

fn labels(labels: &BTreeMap<String, String>, limit: usize) -> String {
    pairs(labels.iter().filter(|(name, _)| !matches!(name.as_str(), "severity" | "alertname")), limit)
}

fn pairs<'a>(labels: impl Iterator<Item = (&'a String, &'a String)>, limit: usize) -> String {
    let parts = labels.take(20).map(|(name, value)| format!("{}={}", line(name, 40), line(value, LABEL_LIMIT)));
    line(&parts.collect::<Vec<_>>().join(", "), limit)
}

fn record(crossing: &Crossing) -> String {
    let (partition, offset) = crossing.position;
    format!("partition {}, offset {}", partition.0, offset.0)
}

/// One alert; `compact` leaves out what a list of alerts does not need.
fn block(crossing: &Crossing, compact: bool) -> Block {
    let mut facts = vec![Row::new("Since", since(crossing))];
    if let Some(account) = &crossing.account {
        facts.extend(evidence(crossing, account, compact));
    }
    let mut ids = vec![Row::new("Labels", pairs(crossing.labels.iter(), 400))];
    let mut alert = crossing.alert_id.to_string();
    if !compact {
        ids.insert(0, Row::new("Rule", line(&crossing.rule, 160)));
        alert = format!("{alert} ({})", record(crossing));
    }
    ids.push(Row::new("Alert", alert));
    Block { title: None, lead: lead(crossing), facts, advice: advice(crossing, compact), ids }
}

/// One sentence: what is wrong and by how much, or why it is over. Also the summary of a rule that has none.
pub(super) fn lead(crossing: &Crossing) -> String {
    let Some(account) = &crossing.account else { return ending(crossing) };
    let name = line(&measure_name(&account.measure), LABEL_LIMIT);
    let shown: Vec<_> = account.estimate.iter().chain(&account.baseline).copied().collect();
    let scale = Scale::of(&account.measure, &shown);
    let level = account.estimate.map(|e| format!("{} (95 % interval {})", scale.value(e.value), scale.interval(e)));
    // A bound that the rule gives is known; it rests on nothing.
    let base = if account.baseline_n == 0 { "bound" } else { "baseline" };
    let baseline = account.baseline.map(|b| match account.baseline_n {
        0 => scale.value(b.value),
        n => {
            let from = format!("{} {}", count(n), cases(&account.measure));
            format!("{} ({}, from {from})", scale.value(b.value), scale.interval(b))
        }
    });
    let pair = account.estimate.zip(account.baseline);
    let distance = pair.and_then(|(e, b)| scale.distance(e.value, b.value, account.change));
    let told = match (level, baseline, distance) {
        (Some(level), Some(of), Some(far)) => format!("{name} {level}: {far} the {base} of {of}."),
        (Some(level), Some(of), None) => format!("{name} {level} against the {base} of {of}."),
        (Some(level), None, _) => format!("{name} {level}."),
        (None, _, _) if account.measure == Measure::Silence => "no output from this stream.".to_owned(),
        (None, _, _) if !account.moved.is_empty() => {
            let (statistic, limit) = (account.statistic, account.limit);
            format!("{name}: {} (statistic {statistic:.1}, limit {limit:.1}).", told_parts(&account.moved))
        }
        (None, _, _) => {
            let (statistic, limit) = (account.statistic, account.limit);
            format!("{name} unlike the baseline's: statistic {statistic:.3}, limit {limit:.3}.")
        }
    };
    if is_over(crossing) { format!("{} Last estimate: {told}", ending(crossing)) } else { capital(&told) }
}

/// Why it is over. Two of the reasons do not mean that anything got better, and say so.
fn ending(crossing: &Crossing) -> String {
    if !is_over(crossing) {
        return format!("{} is {}.", line(&crossing.alert, 60), crossing.to.as_str());
    }
    match crossing.reason {
        Reason::Signalled | Reason::Held | Reason::Recovered => "Over: the stream is back at its baseline.",
        Reason::Passed => "Over: the verdict went back.",
        Reason::RuleRemoved => "Closed because the rule was removed or replaced; this does not say that it got better.",
        Reason::RuleChanged => {
            "Closed because the rule now asks for another chart; this does not say that it got better."
        }
        Reason::BaselineReplaced => {
            "Closed because the stream got a new baseline; this does not say that it got better."
        }
    }
    .to_owned()
}

fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

fn since(crossing: &Crossing) -> String {
    let raised = crossing.started_at;
    let account = crossing.account.as_ref();
    let told = match account.and_then(|a| a.changed_at) {
        Some(began) => {
            // When exactly it began matters to whoever looks for the cause, not once it is over.
            let between = account.and_then(|a| a.changed_between).filter(|(a, b)| a < b && !is_over(crossing));
            let between = between.map_or(String::new(), |between| format!(" ({})", moments(began, between)));
            format!("about {}{between}; alert at {}", moment(began), moment_after(began, raised))
        }
        None => format!("alert at {}", moment(raised)),
    };
    if is_over(crossing) {
        let lasted = duration(crossing.at.since(raised));
        format!("{told}, over {} after {lasted}", moment_after(raised, crossing.at))
    } else {
        told
    }
}

fn evidence(crossing: &Crossing, account: &Account, compact: bool) -> Vec<Row> {
    let unit = cases(&account.measure);
    let mut rows = Vec::new();
    if account.samples > 0 {
        let all = format!(" ({} of {} outputs labelled so far)", count(account.labels), count(account.outputs));
        let all = if compact { "" } else { &all };
        rows.push(Row::new("Rests on", format!("{} {unit}{all}", count(account.samples))));
    }
    // What is over need not be proven any more.
    if !is_over(crossing) {
        if is_graded(&account.measure) {
            rows.push(Row::new("How sure", grade(account.grade)));
        }
        if let Some(n) = rounded(account.arl0).filter(|_| !compact) {
            let unit = promised(&account.measure, account.unit);
            rows.push(Row::new("False alarm", format!("on average at most one in {n} {unit} if all is well")));
        }
    }
    if account.provisional {
        let told = "PROVISIONAL: learnt from this stream's own first events, approved by nobody";
        rows.push(Row::new("Baseline", told));
    } else if !compact {
        let chart = if account.method.is_empty() { String::new() } else { format!(" (chart: {})", account.method) };
        rows.push(Row::new("Baseline", format!("{}{chart}", line(&account.baseline_id, LABEL_LIMIT))));
    }
    match (&account.version, &account.version_before) {
        (Some(now), Some(before)) if now != before => {
            rows.push(Row::new("Version", format!("{}; before it {}", line(now, 60), line(before, 60))));
        }
        (Some(now), _) => rows.push(Row::new("Version", line(now, 60))),
        (None, _) => {}
    }
    rows
}

const fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Drifting => "drifting: the level has changed; by how much is still open",
        Grade::Degraded => "degraded: the change very likely exceeds the rule's bound",
        Grade::Confirmed => "confirmed: beyond the rule's bound at a promise of its own",
    }
}

/// Whether an annotation was written for numbers that are not there any more: what is over has none once its chart began
/// anew, and a summary with gaps in place of them says nothing.
pub(super) fn has_gaps(crossing: &Crossing, annotation: &str) -> bool {
    is_over(crossing) && crossing.account.is_none() && matches!(annotation, "summary" | "description")
}

/// The annotations, what to read and do first.
fn advice(crossing: &Crossing, compact: bool) -> Vec<Row> {
    const FIRST: [&str; 4] = ["summary", "runbook_url", "rollback", "description"];
    let first = FIRST.iter().filter_map(|name| crossing.annotations.get_key_value(*name));
    let first = first.filter(|(name, _)| !has_gaps(crossing, name));
    let rest = crossing.annotations.iter().filter(|(name, _)| !FIRST.contains(&name.as_str()));
    let limit = if compact { 2 } else { 20 };
    first
        .chain(rest)
        .map(|(name, value)| {
            let name = if name == "runbook_url" { "Runbook".to_owned() } else { capital(&line(name, 40)) };
            Row { name, value: line(value, ANNOTATION_LIMIT) }
        })
        .filter(|row| !row.value.is_empty())
        .take(limit)
        .collect()
}

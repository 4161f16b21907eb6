//! What a message says, before it is laid out as text or as HTML: a headline, blocks of named rows, ids.

use std::collections::BTreeMap;

use super::chart::Picture;
use super::clean::{line, token};
use super::facts::{LABEL_LIMIT, capital, evidence, since};
pub(super) use super::facts::{has_gaps, is_over, lead};
use super::figures::{count, duration, moment};
use crate::engine::alert::Crossing;
use crate::engine::route::{Message, Note, Occasion, SilenceSummary, Status};
use crate::engine::units::Timestamp;

/// Alerts told one by one; the rest is a number.
pub const ALERTS_SHOWN: usize = 20;

/// Longest annotation kept, in characters; the text layout cuts further.
const ANNOTATION_LIMIT: usize = 1_000;

/// A message for people.
pub(super) struct Page {
    /// The subject, cleaned and cut.
    pub(super) subject: String,
    /// What it is, in capitals.
    pub(super) word: String,
    /// What it is about.
    pub(super) title: String,
    /// Whether nothing in it is wrong any more.
    pub(super) over: bool,
    /// What to know about the message itself, sentences.
    pub(super) notes: Vec<String>,
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
    /// How it went, where there is anything to draw.
    pub(super) picture: Option<Picture>,
    /// Since when, on what evidence, what else moved, at which promise.
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
            word: occasion_word(message),
            title: headline(message),
            over: message.status == Status::Resolved,
            notes: notes(message),
            blocks: blocks.collect(),
            more: about(message).saturating_sub(message.crossings.len().min(ALERTS_SHOWN)),
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
            word: status_word(message.status).to_owned(),
            title: format!("{severity}{rule}, told at {}", moment(now)),
            over: message.status == Status::Resolved,
            notes: vec![FALLBACK_NOTE.to_owned()],
            blocks: blocks.collect(),
            more: about(message).saturating_sub(message.crossings.len().min(ALERTS_SHOWN)),
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

/// The rule's severity where it is one plain word, as every severity in use is. Anything else could come from an agent.
pub(super) fn severity(crossing: &Crossing) -> Option<&str> {
    let text = crossing.labels.get("severity")?;
    (!text.is_empty() && text.len() <= 16 && text.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(text.as_str())
}

/// `[FIRING] critical AccuracyDegraded: agent=invoice-triage`, at most 120 characters.
fn subject(message: &Message) -> String {
    line(&format!("[{}] {}", occasion_word(message), headline(message)), 120)
}

/// What a message is, in capitals: its status, or what happened to the alerts that it tells of.
fn occasion_word(message: &Message) -> String {
    let by = message.notes.iter().find_map(|note| match note {
        Note::Acknowledged { by, .. } => Some(format!(" by {}", line(by, 40))),
        _ => None,
    });
    match message.occasion {
        Occasion::Acknowledged => format!("ACKNOWLEDGED{}", by.unwrap_or_default()),
        Occasion::Escalated if message.status == Status::Firing => "ESCALATED".to_owned(),
        Occasion::SilenceLong => "SILENCE".to_owned(),
        Occasion::SilenceEnded if message.crossings.is_empty() => "SILENCE ENDED".to_owned(),
        _ => status_word(message.status).to_owned(),
    }
}

/// Alerts that the message is about, those included that it does not tell one by one.
pub(super) fn about(message: &Message) -> usize {
    let digest = message.notes.iter().find_map(|note| match note {
        Note::Digest { firing, resolved, .. } => usize::try_from(firing.saturating_add(*resolved)).ok(),
        _ => None,
    });
    digest.unwrap_or_default().max(message.crossings.len())
}

fn headline(message: &Message) -> String {
    if let Some(Note::Digest { by_alert, .. }) = message.notes.iter().find(|n| matches!(n, Note::Digest { .. })) {
        return format!("{} alerts: {}", count(about(message) as u64), by_name(by_alert));
    }
    let Some(first) = message.crossings.first() else { return silence_headline(message) };
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

/// What a message without alerts is about.
fn silence_headline(message: &Message) -> String {
    let told = message.notes.iter().find_map(|note| match note {
        Note::SilenceEnded { silence, .. } => Some(format!("{} by {}", matchers(silence), line(&silence.author, 40))),
        Note::SilenceLong { silence, quiet } => {
            let alerts = if *quiet == 1 { "alert" } else { "alerts" };
            Some(format!(
                "keeps {} {alerts} quiet: {} by {}",
                count(*quiet),
                matchers(silence),
                line(&silence.author, 40)
            ))
        }
        _ => None,
    });
    told.unwrap_or_else(|| "no alerts".to_owned())
}

/// How many of which: `AccuracyDegraded 40, CostRising 17`, the most first.
fn by_name(by_alert: &BTreeMap<String, u64>) -> String {
    const NAMED: usize = 6;
    let mut all: Vec<_> = by_alert.iter().collect();
    all.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let mut told: Vec<String> =
        all.iter().take(NAMED).map(|(name, n)| format!("{} {}", line(name, 60), count(**n))).collect();
    let rest: u64 = all.iter().skip(NAMED).map(|(_, n)| **n).sum();
    if rest > 0 {
        told.push(format!("others {}", count(rest)));
    }
    told.join(", ")
}

fn notes(message: &Message) -> Vec<String> {
    let firing = message.crossings.iter().filter(|c| !is_over(c)).count();
    let all = message.crossings.len();
    let mut told: Vec<String> = message.notes.iter().map(told).collect();
    let digest = message.notes.iter().any(|note| matches!(note, Note::Digest { .. }));
    match (message.occasion, message.status) {
        (Occasion::Repeat, _) => told.push("Reminder: nothing changed since the last message.".to_owned()),
        (_, Status::Firing) if firing < all && !digest => {
            told.push(format!("{firing} firing, {} resolved.", all - firing));
        }
        _ => {}
    }
    told
}

/// What a note says, in sentences of plain text. People's words in it are cleaned and cut, and not encoded for any sink.
pub fn told(note: &Note) -> String {
    let said = |text: &str| {
        let text = line(text, 300);
        if text.is_empty() { String::new() } else { format!(": {text}") }
    };
    match note {
        Note::Acknowledged { by, note, at, of: (taken, firing) } => {
            let share = if taken == firing { String::new() } else { format!(", {taken} of {firing} that fire") };
            format!("Acknowledged by {} at {}{share}{}", line(by, 80), moment(*at), sentence(&said(note)))
        }
        Note::Escalated { since, told } => {
            format!("Escalated: nobody has acknowledged this since {}. Told first: {}.", moment(*since), line(told, 80))
        }
        Note::SilenceEnded { silence, fired, resolved, firing } => format!(
            "A silence ended: {}. Under it {} fired and {} ended; {} still {}.",
            described(silence),
            alerts_told(*fired),
            count(*resolved),
            count(*firing),
            if *firing == 1 { "fires" } else { "fire" },
        ),
        Note::SilenceLong { silence, quiet } => format!(
            "A silence has lasted long and goes on: {}. It keeps {} quiet now. End it if it was forgotten.",
            described(silence),
            alerts_told(*quiet)
        ),
        Note::Undelivered { receiver, class } => {
            format!("{} could not be told this ({}), so you are.", line(receiver, 80), class.replace('_', " "))
        }
        Note::Digest { firing, resolved, by_alert } => format!(
            "Too many to tell one by one: {} firing, {} resolved ({}). The worst follow.",
            count(*firing),
            count(*resolved),
            by_name(by_alert)
        ),
    }
}

/// Ends what was said as a sentence ends.
fn sentence(text: &str) -> String {
    if text.ends_with(['.', '!', '?', '…']) { text.to_owned() } else { format!("{text}.") }
}

fn alerts_told(n: u64) -> String {
    format!("{} {}", count(n), if n == 1 { "alert" } else { "alerts" })
}

/// `agent="invoice-triage"`; for every alert where a silence names nothing.
fn matchers(silence: &SilenceSummary) -> String {
    if silence.matchers.is_empty() { "every alert".to_owned() } else { line(&silence.matchers.join(", "), 160) }
}

fn described(silence: &SilenceSummary) -> String {
    let comment = line(&silence.comment, 200);
    let comment = if comment.is_empty() { comment } else { format!(", \"{comment}\"") };
    format!(
        "{} by {}{comment}, {} to {} ({}), id {}",
        matchers(silence),
        line(&silence.author, 80),
        moment(silence.starts_at),
        moment(silence.ends_at),
        duration(silence.ends_at.since(silence.starts_at)),
        line(&silence.id, 64)
    )
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
        facts.extend(
            evidence(crossing, account, compact).into_iter().map(|(name, value)| Row::new(name.as_str(), value)),
        );
    }
    // The alert's name is in the title and in the rule's.
    let labels = crossing.labels.iter().filter(|(name, _)| *name != "alertname");
    let mut ids = vec![Row::new("Labels", pairs(labels, 400))];
    let mut alert = crossing.alert_id.to_string();
    if !compact {
        ids.insert(0, Row::new("Rule", line(&crossing.rule, 160)));
        alert = format!("{alert} ({})", record(crossing));
    }
    ids.push(Row::new("Alert", alert));
    let picture = Picture::of(crossing);
    Block { title: None, lead: lead(crossing), picture, facts, advice: advice(crossing, compact), ids }
}

/// The annotations, what to read and do first.
fn advice(crossing: &Crossing, compact: bool) -> Vec<Row> {
    const FIRST: [&str; 4] = ["runbook_url", "rollback", "description", "summary"];
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

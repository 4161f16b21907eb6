//! What a message says that no alert of it says, as sentences and as cleaned data.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::clean::line;
use super::figures::moment;
use super::page::{Page, told};
use crate::engine::route::{Message, Note, SilenceSummary};

/// Longest text by people that is passed on, in characters.
const TEXT_LIMIT: usize = 1_000;

/// The notes of a message as sentences; without texts by people and names of agents where it is a fallback.
pub(super) fn sentences(message: &Message, fallback: bool) -> Vec<String> {
    message.notes.iter().map(if fallback { plain } else { told }).collect()
}

/// What a page says before its alerts, in one list; a fallback's page knows of no notes.
pub(super) fn before(page: &Page, message: &Message, fallback: bool) -> Vec<String> {
    let plain = if fallback { sentences(message, true) } else { Vec::new() };
    page.notes.iter().cloned().chain(plain).collect()
}

/// The notes of a message as data: the kind, the sentence, what it was made from; times in RFC 3339.
pub(super) fn data(message: &Message) -> Vec<Value> {
    message.notes.iter().map(datum).collect()
}

/// What a note says, without anything that people or agents wrote.
fn plain(note: &Note) -> String {
    match note {
        Note::Acknowledged { at, of: (theirs, firing), .. } => {
            format!("Acknowledged at {}: {theirs} of {firing} alerts.", moment(*at))
        }
        Note::Escalated { since, .. } => format!("Escalated: unacknowledged since {}.", moment(*since)),
        Note::SilenceEnded { fired, resolved, firing, .. } => {
            format!("A silence ended. Under it {fired} alerts fired and {resolved} ended; {firing} fire still.")
        }
        Note::SilenceLong { silence, quiet } => {
            let (from, until) = (moment(silence.starts_at), moment(silence.ends_at));
            format!("A silence that began at {from} lasts until {until}. It keeps {quiet} alerts quiet now.")
        }
        // A name of the configuration and a word of ours.
        Note::Undelivered { .. } => told(note),
        Note::Digest { firing, resolved, .. } => format!("{firing} alerts fire and {resolved} ended."),
    }
}

fn datum(note: &Note) -> Value {
    let text = |text: &str| line(text, TEXT_LIMIT);
    let silence = |silence: &SilenceSummary| {
        let matchers: Vec<String> = silence.matchers.iter().map(|matcher| text(matcher)).collect();
        json!({
            "id": text(&silence.id),
            "author": text(&silence.author),
            "comment": text(&silence.comment),
            "matchers": matchers,
            "startsAt": silence.starts_at.to_string(),
            "endsAt": silence.ends_at.to_string(),
        })
    };
    let sentence = told(note);
    match note {
        Note::Acknowledged { by, note, at, of: (theirs, firing) } => json!({
            "kind": "acknowledged", "text": sentence,
            "by": text(by), "note": text(note), "at": at.to_string(), "theirs": theirs, "firing": firing,
        }),
        Note::Escalated { since, told } => json!({
            "kind": "escalated", "text": sentence, "since": since.to_string(), "told": text(told),
        }),
        Note::SilenceEnded { silence: ended, fired, resolved, firing } => json!({
            "kind": "silence_ended", "text": sentence,
            "silence": silence(ended), "fired": fired, "resolved": resolved, "firing": firing,
        }),
        Note::SilenceLong { silence: long, quiet } => json!({
            "kind": "silence_long", "text": sentence, "silence": silence(long), "quiet": quiet,
        }),
        Note::Undelivered { receiver, class } => json!({
            "kind": "undelivered", "text": sentence, "receiver": text(receiver), "class": text(class),
        }),
        Note::Digest { firing, resolved, by_alert } => {
            let by_alert: BTreeMap<String, u64> = by_alert.iter().map(|(alert, n)| (text(alert), *n)).collect();
            json!({
                "kind": "digest", "text": sentence,
                "firing": firing, "resolved": resolved, "byAlert": by_alert,
            })
        }
    }
}

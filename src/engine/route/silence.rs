//! Silences: alerts that people asked not to be told of for a time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::alert::Id;
use super::super::units::{Span, Timestamp};
use super::matcher::{Matcher, all_match};
use super::message::SilenceSummary;

/// Longest text of an author and of a comment, in characters.
const AUTHOR_MAX: usize = 100;
const COMMENT_MAX: usize = 1_000;
/// A silence for longer than this is a rule to be mended.
const LONGEST: Span = Span::DAY.times(366);

/// A silence, and what happened under it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Computed from what it was made of.
    pub id: Id,
    /// What it silences: all must match.
    pub matchers: Vec<Matcher>,
    /// Who made it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when; moved to the moment at which somebody ended it.
    pub ends_at: Timestamp,
    /// Who ended it before its time.
    pub ended_by: Option<String>,
    /// Alerts that fired under it.
    pub fired: u64,
    /// Alerts that ended under it.
    pub resolved: u64,
    /// When people were last reminded of it.
    pub reminded_at: Option<Timestamp>,
}

/// Why there can be no such silence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    /// It would silence everything.
    #[error("a silence needs a matcher that some alert does not meet; write one like agent=\"invoice-triage\"")]
    Everything,
    /// Nobody answers for it.
    #[error("a silence needs an author of at most {AUTHOR_MAX} characters")]
    Author,
    /// Nobody will know why.
    #[error("a silence needs a comment of at most {COMMENT_MAX} characters that says why")]
    Comment,
    /// It ends before it begins, or has ended.
    #[error("a silence ends after it begins and after now; write `--for 2h` or a later end")]
    End,
    /// It is too long.
    #[error("a silence lasts at most a year; what shall never be told is a matter of rules and routes")]
    TooLong,
    /// It is not there.
    #[error("there is no silence {0} in force; give four digits of its id or more, `shewhart silence list` has them")]
    Unknown(String),
    /// Several are meant.
    #[error("several silences begin with {0}; write more of it")]
    Ambiguous(String),
}

impl Silence {
    /// A silence made at `now`.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn new(
        matchers: Vec<Matcher>,
        (author, comment): (&str, &str),
        (starts_at, ends_at): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Result<Self, SilenceError> {
        let fits = |text: &str, most: usize| !text.trim().is_empty() && text.chars().count() <= most;
        if matchers.iter().all(Matcher::matches_empty) {
            return Err(SilenceError::Everything);
        }
        if !fits(author, AUTHOR_MAX) {
            return Err(SilenceError::Author);
        }
        if !fits(comment, COMMENT_MAX) {
            return Err(SilenceError::Comment);
        }
        if ends_at <= starts_at || ends_at <= now {
            return Err(SilenceError::End);
        }
        if ends_at.since(starts_at) > LONGEST {
            return Err(SilenceError::TooLong);
        }
        let words: Vec<String> = matchers.iter().map(ToString::to_string).collect();
        let times = [now, starts_at, ends_at].map(|at| at.as_millis().to_be_bytes());
        let mut parts: Vec<&[u8]> = vec![b"silence", author.as_bytes(), comment.as_bytes()];
        parts.extend(times.iter().map(<[u8; 8]>::as_slice));
        parts.extend(words.iter().map(String::as_bytes));
        Ok(Self {
            id: Id::of(&parts),
            matchers,
            author: author.trim().to_owned(),
            comment: comment.trim().to_owned(),
            created_at: now,
            starts_at,
            ends_at,
            ended_by: None,
            fired: 0,
            resolved: 0,
            reminded_at: None,
        })
    }

    /// Whether it keeps an alert with these labels quiet at this time.
    pub fn covers(&self, labels: &BTreeMap<String, String>, now: Timestamp) -> bool {
        self.starts_at <= now && now < self.ends_at && all_match(&self.matchers, labels)
    }

    /// When people are to be reminded of it next, if it lasts that long.
    pub(super) fn reminder(&self, every: Span) -> Option<Timestamp> {
        let at = self.reminded_at.unwrap_or(self.starts_at).plus(every);
        (at < self.ends_at && every > Span::ZERO).then_some(at)
    }

    /// What messages say of it.
    pub(super) fn summary(&self) -> SilenceSummary {
        SilenceSummary {
            id: self.id.to_string(),
            author: self.author.clone(),
            comment: self.comment.clone(),
            matchers: self.matchers.iter().map(ToString::to_string).collect(),
            starts_at: self.starts_at,
            ends_at: self.ends_at,
        }
    }
}

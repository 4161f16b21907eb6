//! What people ask of the running daemon: silences, acknowledgements, other rules. Answered when it is committed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::super::ledger::{NamedAlert, OperatorAct, RuleSetRow, Verdict};
use super::super::offer::offer;
use super::super::{EdgeError, clock};
use super::{Change, Core};
use crate::engine::News;
use crate::engine::alert::Id;
use crate::engine::route::{Ack, MatcherError, Signal, Silence, SilenceError};
use crate::engine::rule::RuleSet;
use crate::engine::text::{is_visible, prose};
use crate::engine::units::Timestamp;

/// Most alerts in one request.
const ALERTS_MAX: usize = 1_000;
/// Fewest digits by which a silence may be named.
const PREFIX_MIN: usize = 4;
/// Longest name of an owner and longest note, in bytes.
const NAME_MAX: usize = 200;
const NOTE_MAX: usize = 4_000;

/// Something that somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Not to be told of some alerts for a time.
    Silence(NewSilence),
    /// To be told again.
    EndSilence {
        /// The silence's id, or its beginning.
        id: String,
    },
    /// To take alerts on, or to say what they turned out to be.
    Acknowledge(NewAck),
    /// To read the rule files again.
    Reload,
}

/// A silence as it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSilence {
    /// `agent="invoice-triage"` and the like; all must match.
    pub matchers: Vec<String>,
    /// Who answers for it; who asks, where not given.
    #[serde(default)]
    pub author: String,
    /// Why.
    pub comment: String,
    /// From when, RFC 3339; now where not given.
    #[serde(default)]
    pub starts_at: Option<String>,
    /// Until when, RFC 3339.
    pub ends_at: String,
}

/// An acknowledgement as it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAck {
    /// Ids of alerts, or their beginnings.
    pub alerts: Vec<String>,
    /// Whose they are now; who asks, where not given.
    #[serde(default)]
    pub owner: String,
    /// What there is to say.
    #[serde(default)]
    pub note: String,
    /// What they turned out to be.
    #[serde(default)]
    pub verdict: Option<Verdict>,
}

/// A request under way.
#[derive(Debug)]
pub struct Command {
    /// What is asked for.
    pub ask: Ask,
    /// Who asks, by the system's word.
    pub by: String,
    /// Where the answer goes; nobody may wait any more.
    pub reply: oneshot::Sender<Result<Answer, Refusal>>,
}

/// That it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A silence is in force, or will be.
    Silenced(Id),
    /// A silence is over.
    SilenceEnded(Id),
    /// These alerts are taken on or judged.
    Acknowledged(Vec<NamedAlert>),
    /// These rules are in force; whether they were before.
    Reloaded {
        /// The set's hash.
        hash: String,
        /// How many rules.
        rules: usize,
        /// Whether they are what they were.
        unchanged: bool,
    },
}

/// Why it was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There can be no such silence.
    #[error(transparent)]
    Silence(#[from] SilenceError),
    /// A matcher cannot be read.
    #[error(transparent)]
    Matcher(#[from] MatcherError),
    /// A matcher that no label can meet.
    #[error("the matcher `{0}` holds characters that cannot be seen; no label has any, so it would match nothing")]
    Unseen(String),
    /// A time cannot be read.
    #[error("`{0}` is not a time; write it like 2026-11-26T09:00:00Z")]
    Time(String),
    /// No alert has that id.
    #[error("no alert has an id that begins with `{0}`; `shewhart alerts` has them")]
    NoAlert(String),
    /// Several do.
    #[error("several alerts have ids that begin with `{0}`; write more of it")]
    Ambiguous(String),
    /// It does not fire.
    #[error("the alert {0} ({1}) does not fire; there is nothing to take on, but `--verdict` can be given")]
    Over(Id, String),
    /// Nothing was named.
    #[error("name at least one alert and at most {ALERTS_MAX}")]
    HowMany,
    /// A text is too long.
    #[error("the owner may have {NAME_MAX} bytes, the note {NOTE_MAX}")]
    TooLong,
    /// The rule files have errors; the old rules stay.
    #[error("the rule files were refused, the old rules stay:\n{0}")]
    Rules(String),
    /// The disk is full, or the daemon stops.
    #[error("it could not be written down; the daemon's log says why")]
    NotWritten,
}

impl Core {
    /// Does what is asked for, and answers.
    pub(super) fn obey(&mut self, command: Command) -> Result<(), EdgeError> {
        let Command { ask, by, reply } = command;
        // Whoever gave up waiting may have asked again.
        if reply.is_closed() {
            return Ok(());
        }
        let done = match ask {
            Ask::Silence(new) => self.silence(&new, &by),
            Ask::EndSilence { id } => self.end_silence(&id, &by),
            Ask::Acknowledge(new) => self.acknowledge(&new, &by),
            Ask::Reload => self.reload("request", Some(&by)),
        };
        let (answer, failed) = match done {
            Ok(answer) => (answer, None),
            Err(error) => (Err(Refusal::NotWritten), Some(error)),
        };
        // Who asked may have gone away.
        drop(reply.send(answer));
        failed.map_or(Ok(()), Err)
    }

    fn silence(&mut self, new: &NewSilence, by: &str) -> Asked {
        let now = clock::now();
        let silence = match made(new, by, now) {
            Ok(silence) => silence,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let id = silence.id;
        tracing::info!(%id, author = silence.author, by, until = %silence.ends_at, "a silence");
        let act = OperatorAct::Silenced { silence: silence.clone(), made_by: by.to_owned() };
        self.act(&[act], &[Signal::Silence(Box::new(silence))], Answer::Silenced(id))
    }

    fn end_silence(&mut self, id: &str, by: &str) -> Asked {
        let id = id.to_ascii_lowercase();
        let meant = |silence: &Id| id.len() >= PREFIX_MIN && silence.to_string().starts_with(&id);
        let found: Vec<Id> = self.router.silences().map(|s| s.id).filter(meant).collect();
        let [id] = found.as_slice() else {
            let short = id.chars().take(40).collect();
            let refusal = if found.is_empty() { SilenceError::Unknown(short) } else { SilenceError::Ambiguous(short) };
            return Ok(Err(refusal.into()));
        };
        tracing::info!(%id, by, "a silence was ended");
        let act = OperatorAct::SilenceEnded { id: *id, by: by.to_owned() };
        let signal = Signal::EndSilence { id: *id, by: by.to_owned() };
        self.act(&[act], &[signal], Answer::SilenceEnded(*id))
    }

    fn acknowledge(&mut self, new: &NewAck, by: &str) -> Asked {
        if new.alerts.is_empty() || new.alerts.len() > ALERTS_MAX {
            return Ok(Err(Refusal::HowMany));
        }
        if new.owner.len() > NAME_MAX || new.note.len() > NOTE_MAX {
            return Ok(Err(Refusal::TooLong));
        }
        let mut alerts = Vec::new();
        for prefix in &new.alerts {
            let short = || prefix.chars().take(40).collect();
            let named = self.writer.ledger().alerts_named(prefix)?;
            match named.as_slice() {
                [] => return Ok(Err(Refusal::NoAlert(short()))),
                [alert] if !alert.fires && new.verdict.is_none() => {
                    return Ok(Err(Refusal::Over(alert.id, alert.alert.clone())));
                }
                [alert] => alerts.push(alert.clone()),
                _ => return Ok(Err(Refusal::Ambiguous(short()))),
            }
        }
        let owner = name(&new.owner, by);
        let note = prose(new.note.trim());
        let act = |alert: &NamedAlert| OperatorAct::Acknowledged {
            alert: alert.id,
            owner: owner.clone(),
            made_by: by.to_owned(),
            note: note.clone(),
            verdict: new.verdict,
        };
        let ack = Ack { by: owner.clone(), note: note.clone(), at: clock::now() };
        let signal = |alert: &NamedAlert| Signal::Acknowledge { alert: alert.id, ack: ack.clone() };
        let acts: Vec<OperatorAct> = alerts.iter().map(act).collect();
        let signals: Vec<Signal> = alerts.iter().filter(|alert| alert.fires).map(signal).collect();
        tracing::info!(alerts = alerts.len(), owner, by, "alerts were acknowledged");
        self.act(&acts, &signals, Answer::Acknowledged(alerts))
    }

    /// Writes an act down and lets the router know of it, in one transaction.
    fn act(&mut self, acts: &[OperatorAct], signals: &[Signal], answer: Answer) -> Asked {
        let done = self.with_room(|core| core.commit_all(&Change { acts, signals, ..Change::default() }))?;
        Ok(done.map(|()| answer).ok_or(Refusal::NotWritten))
    }

    /// Compiles the rule files and swaps the whole set, or keeps the old one. `by` asks for it; otherwise the owners of the
    /// files that changed are written down.
    pub(super) fn reload(&mut self, origin: &'static str, by: Option<&str>) -> Asked {
        let now = clock::now();
        let (rules, row) = offer(&self.config, &self.writer.ledger(), origin, by)?;
        let Some(rules) = rules else {
            tracing::error!(origin, "the rule files were refused; the old rules stay:\n{}", row.diagnostics);
            self.status.reload_ok = false;
            let noted = self.with_room(|core| core.writer.ledger().note_rules(&row, now))?;
            return Ok(Err(noted.map_or(Refusal::NotWritten, |()| Refusal::Rules(row.diagnostics))));
        };
        let answer = |rules: &RuleSet, unchanged| Answer::Reloaded {
            hash: rules.hash.to_string(),
            rules: rules.rules.len(),
            unchanged,
        };
        if rules.hash == self.rules.hash {
            tracing::info!(origin, "the rules are what they were");
            self.status.reload_ok = true;
            return Ok(Ok(answer(&rules, true)));
        }
        let taken = self.take_rules(rules, &row, now)?;
        Ok(taken.map(|()| answer(&self.rules, false)).ok_or(Refusal::NotWritten))
    }

    /// Puts rules in force. Nothing comes of it when the daemon is told to stop while the disk is full.
    fn take_rules(&mut self, rules: RuleSet, row: &RuleSetRow, now: Timestamp) -> Result<Option<()>, EdgeError> {
        tracing::info!(origin = row.origin, who = row.who, rules = rules.rules.len(), hash = %rules.hash, "new rules in force");
        self.rules = Arc::new(rules);
        let rules = Arc::clone(&self.rules);
        self.status.reload_ok = true;
        self.status.reloaded_at = Some(now);
        self.status.rules_hash = rules.hash.to_string();
        self.status.rules = Some(Arc::clone(&rules));
        self.with_room(|core| {
            let effects = core.announce(|| News::Rules(Arc::clone(&rules)));
            core.commit_all(&Change { effects: &effects, rule_set: Some(row), ..Change::default() })
        })
    }
}

/// What became of a request, or why the daemon cannot go on.
type Asked = Result<Result<Answer, Refusal>, EdgeError>;

/// The name that somebody gave, or that of who asks.
fn name(given: &str, by: &str) -> String {
    let given = prose(given.trim());
    if given.is_empty() { by.to_owned() } else { given }
}

fn made(new: &NewSilence, by: &str, now: Timestamp) -> Result<Silence, Refusal> {
    let time = |text: &String| -> Result<Timestamp, Refusal> {
        text.parse().ok().ok_or_else(|| Refusal::Time(text.chars().take(40).collect()))
    };
    if let Some(unseen) = new.matchers.iter().find(|text| !is_visible(text)) {
        return Err(Refusal::Unseen(prose(unseen).chars().take(80).collect()));
    }
    let matchers = new.matchers.iter().map(|text| text.parse()).collect::<Result<Vec<_>, MatcherError>>()?;
    let starts_at = new.starts_at.as_ref().map(time).transpose()?.unwrap_or(now);
    let author = name(&new.author, by);
    Ok(Silence::new(matchers, (&author, &prose(&new.comment)), (starts_at, time(&new.ends_at)?), now)?)
}

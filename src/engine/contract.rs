//! The engine's contract: all that can happen to it, all that it can ask for, what it is told and what it counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::alert::Crossing;
use super::asking::is_kept;
use super::baseline::BaselineSet;
use super::chart::Point;
use super::event::{Output, Rejection};
use super::rule::{RuleSet, matches};
use super::units::{Offset, Span, Timestamp};

/// A label that streams may be formed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Who.
    Agent,
    /// Segment.
    Task,
    /// Model, prompt or release.
    Version,
}

impl std::str::FromStr for Group {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|group| group.as_str() == word);
        known.ok_or_else(|| format!("`{word}` is not a label of events; use agent, task or version"))
    }
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Agent, Self::Task, Self::Version];

    /// The label's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Task => "task",
            Self::Version => "version",
        }
    }
}

/// What does not change while an engine lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What forms a stream.
    pub group_by: Vec<Group>,
    /// Outputs from which a stream without a promoted baseline learns a provisional one.
    pub provisional_outputs: u64,
    /// Outputs that late feedback can still be joined to.
    pub recent_outputs: usize,
    /// Most streams; names beyond are counted together in one overflow stream.
    pub streams_max: usize,
    /// Most streams of one agent.
    pub streams_per_agent_max: u32,
    /// Most new streams in one minute of stream time.
    pub streams_per_minute_max: u32,
    /// How far event time may run ahead of the time at which the broker took the record.
    pub skew_max: Span,
    /// How long verdicts are waited for, where that is not left to the baseline: the first that fits a stream counts.
    pub waits: Vec<AskedWait>,
}

/// How long verdicts on some streams' outputs are waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedWait {
    /// Globs over labels that a stream must match; none fit every stream.
    pub streams: BTreeMap<String, String>,
    /// The age at which outputs are judged, one of [`super::verdicts::AGES`]; nothing leaves it to the baseline.
    pub age: Option<Span>,
}

impl Settings {
    /// The age at which outputs of a stream with these labels are to be judged, where it is not left to the baseline.
    pub fn asked_wait(&self, labels: &BTreeMap<String, String>) -> Option<Span> {
        self.waits.iter().find(|wait| matches(&wait.streams, labels))?.age
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            group_by: vec![Group::Agent, Group::Task],
            provisional_outputs: 5_000,
            recent_outputs: 200_000,
            streams_max: 100_000,
            streams_per_agent_max: 1_000,
            streams_per_minute_max: 5_000,
            skew_max: Span::MINUTE.times(5),
            waits: Vec::new(),
        }
    }
}

/// Everything that can happen to an engine.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A record of the partition.
    Record {
        /// Its position.
        offset: Offset,
        /// When the broker took it, where that is known.
        appended: Option<Timestamp>,
        /// Its payload; empty for a tombstone.
        payload: &'a [u8],
    },
    /// The partition has had no record for some time: event time has reached `now` at least.
    Idle {
        /// Stream time, moved on by the wall time since the last record.
        now: Timestamp,
    },
    /// Another rule set, compiled whole.
    Rules(Arc<RuleSet>),
    /// Another set of promoted baselines.
    Baselines(Arc<BaselineSet>),
    /// False alarms that one output may cost: the share of a budget over all streams; infinite where there is none.
    Allowance(f64),
}

/// An output that is kept so that its verdict can be asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Hash of agent and event id.
    pub key: u128,
    /// Whose output it is; cleaned.
    pub agent: String,
    /// The output's id; cleaned.
    pub event_id: String,
    /// Its event time.
    pub at: Timestamp,
    /// Stated confidence, in [0, 1].
    pub confidence: f64,
    /// Whether it was handed to a person, where that was said.
    pub escalated: Option<bool>,
    /// The share of outputs that were kept then, in (0, 1].
    pub share: f64,
}

impl Case {
    /// An output whose verdict is not known yet, where it states a confidence and is among the share of outputs that are kept.
    pub fn of(output: &Output<'_>, key: u128, share: Option<f64>) -> Option<Self> {
        let confidence = output.confidence.filter(|_| output.correct.is_none())?;
        let share = share.filter(|share| is_kept(key, *share))?;
        let (agent, event_id) = (output.agent.clone().into_owned(), output.event_id.clone().into_owned());
        Some(Self { key, agent, event_id, at: output.ts, confidence, escalated: output.escalated, share })
    }
}

/// Everything an engine can ask for.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// An alert changed its state.
    Crossed(Box<Crossing>),
    /// A record was not counted.
    Rejected {
        /// Its position.
        offset: Offset,
        /// Why.
        rejection: Rejection,
    },
    /// A stream froze a provisional baseline, or its verdicts.
    Learnt {
        /// The stream's index.
        stream: u32,
    },
    /// A stream runs on another version.
    Version {
        /// The stream's index.
        stream: u32,
        /// The version before, where there was one.
        from: Option<String>,
        /// The version now.
        to: String,
        /// Event time of its first output.
        at: Timestamp,
    },
    /// An output is kept as a case that its verdict can be asked on.
    Case {
        /// The stream's index.
        stream: u32,
        /// The case.
        case: Box<Case>,
    },
    /// The verdict on a case came.
    Judged {
        /// The stream's index.
        stream: u32,
        /// Event time of the output.
        at: Timestamp,
        /// Hash of agent and event id.
        key: u128,
        /// When the verdict was given.
        judged_at: Timestamp,
        /// Whether the output was right.
        correct: bool,
    },
    /// A point of a control chart.
    Drawn {
        /// The stream's index.
        stream: u32,
        /// The point.
        point: Point,
    },
}

impl Effect {
    /// The change of an alert's state, where it is one.
    pub fn crossing(&self) -> Option<&Crossing> {
        if let Self::Crossed(crossing) = self { Some(crossing) } else { None }
    }
}

/// What an engine has counted since the partition was first read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Records read.
    pub records: u64,
    /// Outputs counted.
    pub outputs: u64,
    /// Feedback counted.
    pub feedback: u64,
    /// Feedback whose output was not remembered.
    pub unjoined: u64,
    /// Records rejected, in the order of [`super::event::Why::ALL`].
    pub rejected: [u64; 9],
    /// Outputs whose minute was no longer in memory.
    pub late: u64,
    /// Records whose event time ran ahead of the broker's by more than the skew allowed.
    pub early: u64,
    /// Records at or below the position already reflected.
    pub skipped: u64,
    /// Outputs counted in the overflow stream.
    pub overflow: u64,
}

/// What of an engine is written down with every commit, besides its streams and recent outputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The next record to read.
    pub next: Offset,
    /// Stream time: the newest event time seen, bounded.
    pub time: Option<Timestamp>,
    /// The broker's time of the last record.
    pub appended: Option<Timestamp>,
    /// The minute in which new streams are being counted, and how many there were.
    pub opened: (Timestamp, u32),
    /// What was counted.
    pub counters: Counters,
}

impl Default for Position {
    fn default() -> Self {
        Self {
            next: Offset(0),
            time: None,
            appended: None,
            opened: (Timestamp::from_millis(0), 0),
            counters: Counters::default(),
        }
    }
}

/// The name that stands for every name beyond the caps.
pub const OVERFLOW: &str = "__overflow__";

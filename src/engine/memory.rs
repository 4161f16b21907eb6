//! What of a stream is written down with every commit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::alert::{Alert, Crossing};
use super::around::Release;
use super::baseline::Profile;
use super::charts::Charts;
use super::confidence::Surest;
use super::labels::OpenLabels;
use super::pace::Pace;
use super::picks::Picks;
use super::rate::Rate;
use super::sparse::Sparse;
use super::units::{Offset, Timestamp};
use super::verdicts::{Wait, Waiting};

/// Versions that are remembered: more than anyone runs side by side.
const VERSIONS: usize = 8;

/// Tasks that a stream tells apart.
const TASKS: usize = 32;

/// What of a stream is written down with every commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The last record that this stream reflects.
    pub applied: Offset,
    /// Outputs counted.
    pub outputs: u64,
    /// Outputs whose verdict came.
    pub labels: u64,
    /// Event time of the first output.
    pub first_seen: Timestamp,
    /// Event time of the newest output.
    pub last_seen: Timestamp,
    /// The version that events name.
    pub version: Option<String>,
    /// The version before it.
    pub version_before: Option<String>,
    /// The newest versions that were ever named, the newest last.
    pub versions: Vec<String>,
    /// The baseline being learnt from the stream's own first outputs, until it is frozen.
    pub learning: Option<Box<Profile>>,
    /// What is still being learnt about the provisional baseline's own outputs.
    pub open: OpenLabels,
    /// Incidents that ever began, so that no two have one id.
    pub incidents: u64,
    /// When the version last changed.
    pub version_at: Option<Timestamp>,
    /// Outputs a day.
    pub traffic: Rate,
    /// False alarms promised by charts that are no more.
    pub promised: f64,
    /// Alerts that fired.
    pub raised: u64,
    /// Charts by the identity of their definition.
    pub charts: Charts,
    /// Alerts by rule.
    pub alerts: BTreeMap<String, Alert>,
    /// Changes of the version, the newest last.
    pub releases: Vec<Release>,
    /// Tasks of the outputs where the stream holds several, by their number less 1.
    pub tasks: Vec<String>,
    /// The wait that the charts of verdicts are designed for.
    pub wait: Wait,
    /// Outputs before this are not judged: their verdicts were waited for in another way.
    pub judged_from: Timestamp,
    /// Verdicts whose outputs are not old enough.
    pub waiting: Waiting,
    /// The latest outputs that the agent was surest of, as many as it answered in the baseline, and the hour for which that was
    /// found.
    pub surest: Option<(Timestamp, Surest)>,
    /// When verdicts come.
    pub pace: Sparse<Pace>,
    /// With what chance cases were picked to be judged.
    pub picks: Picks,
}

/// What is known of a stream whose memory is lost: it begins anew, and its open alerts end, for nobody judges them any more.
#[derive(Debug, Default)]
pub struct Remains {
    /// Its alerts that are open, each as it changed last.
    pub open: Vec<Crossing>,
    /// Incidents that it had, so that no two have one id.
    pub incidents: u64,
}

impl Memory {
    /// Of a stream that begins anew at that time. The open alerts end when the stream takes its rules.
    pub fn after(remains: &Remains, at: Timestamp) -> Self {
        let alerts = remains.open.iter().map(|last| (last.rule.clone(), Alert::left_by(last))).collect();
        Self { incidents: remains.incidents, alerts, ..Self::new(at) }
    }

    /// Of a stream whose first output happened then.
    pub fn new(at: Timestamp) -> Self {
        Self {
            applied: Offset(-1),
            outputs: 0,
            labels: 0,
            first_seen: at,
            last_seen: at,
            version: None,
            version_before: None,
            versions: Vec::new(),
            learning: None,
            open: OpenLabels::default(),
            incidents: 0,
            version_at: None,
            traffic: Rate::default(),
            promised: 0.0,
            raised: 0,
            charts: Charts::default(),
            alerts: BTreeMap::new(),
            releases: Vec::new(),
            tasks: Vec::new(),
            wait: Wait::default(),
            judged_from: Timestamp::MIN,
            waiting: Waiting::default(),
            surest: None,
            pace: Sparse::default(),
            picks: Picks::default(),
        }
    }

    /// Goes over to another wait at stream time `now`, where it is another. Returns whether it is.
    pub fn wait_from(&mut self, wait: Wait, now: Timestamp) -> bool {
        let changed = self.wait != wait;
        if changed {
            (self.wait, self.judged_from, self.waiting) = (wait, now, Waiting::default());
        }
        changed
    }

    /// The number of a task, from 1; 0 where there is no room for more.
    pub fn task_number(&mut self, task: &str) -> u8 {
        let known = self.tasks.iter().position(|known| known == task);
        if known.is_none() && self.tasks.len() >= TASKS {
            return 0;
        }
        let at = known.unwrap_or_else(|| {
            // Most streams have one or two.
            self.tasks.reserve_exact(1);
            self.tasks.push(task.to_owned());
            self.tasks.len() - 1
        });
        (at + 1) as u8
    }

    /// Remembers a version. Returns whether it was not known.
    pub fn is_new_version(&mut self, version: &str) -> bool {
        if self.versions.iter().any(|known| known == version) {
            return false;
        }
        if self.versions.len() >= VERSIONS {
            self.versions.remove(0);
        }
        self.versions.reserve_exact(1);
        self.versions.push(version.to_owned());
        true
    }
}

/// The task of a number among those that a stream tells apart: the empty name for 0, nothing where no task was ever seen.
pub(super) fn task_of(tasks: &[String], number: u8) -> Option<&str> {
    if tasks.is_empty() {
        return None;
    }
    let at = usize::from(number).checked_sub(1);
    Some(at.and_then(|at| tasks.get(at)).map_or("", String::as_str))
}

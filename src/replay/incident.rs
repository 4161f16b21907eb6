//! Known incidents, and what a rule set made of them.

use serde::Serialize;

use super::{Finding, Selector};
use crate::engine::units::{Span, Timestamp};

/// Something that is known to have been wrong.
#[derive(Clone, Debug)]
pub struct Incident {
    /// What people call it.
    pub name: String,
    /// From when.
    pub from: Timestamp,
    /// Until when; until the end of the records without it.
    pub to: Option<Timestamp>,
    /// Which streams.
    pub selector: Selector,
    /// What must be watched by the alert that finds it, as rules name measures; anything without it.
    pub measure: Option<String>,
    /// Names of alerts that can find it; any where empty.
    pub alerts: Vec<String>,
}

impl Incident {
    /// Whether a moment on a stream lies in the incident.
    fn holds(&self, finding: &Finding) -> bool {
        let in_time = finding.fired >= self.from && self.to.is_none_or(|to| finding.fired <= to);
        in_time && self.selector.matches(&finding.stream)
    }

    /// Whether an alert is one that can find the incident, whenever it fires.
    fn is_found_by(&self, finding: &Finding) -> bool {
        // A latency alert's measure is told with its quantile.
        let word = finding.measure.split(' ').next().unwrap_or_default();
        self.measure.as_ref().is_none_or(|measure| measure == word)
            && (self.alerts.is_empty() || self.alerts.contains(&finding.alert))
    }
}

/// Whether an alert lies in the time and on a stream of any incident, whatever it watches: such an alert is not false.
pub(super) fn explained(finding: &Finding, incidents: &[Incident]) -> bool {
    incidents.iter().any(|incident| incident.holds(finding))
}

/// The alert that found an incident.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// Its name.
    pub alert: String,
    /// Its stream, on one line.
    pub stream: String,
    /// Stream time at which it fired.
    pub at: String,
    /// Time since the incident began.
    pub delay: String,
    /// The same in milliseconds.
    pub delay_ms: i64,
    /// Outputs of that stream since then.
    pub outputs: u64,
    /// Labelled outputs of that stream since then.
    pub labels: u64,
}

/// What became of one incident.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Its name.
    pub name: String,
    /// From when.
    pub from: String,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether it was put into the records by us.
    pub injected: bool,
    /// The first alert that fired in it; nothing where it was missed.
    pub found: Option<Seen>,
    /// An alert that had been firing when it began, which finds nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub already: Option<String>,
    /// Whether it began before the first chart had a limit: until then nothing could find it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unwatched: bool,
    /// What the rules compared with found; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
}

/// What other rules made of an incident.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Before {
    /// The first alert that fired in it; nothing where it was missed.
    pub found: Option<Seen>,
}

/// All incidents together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Incidents {
    /// How many were found.
    pub found: u64,
    /// How many were missed.
    pub missed: u64,
    /// The median delay of those found, by the nearest rank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_delay: Option<String>,
    /// The shortest and the longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delays: Option<[String; 2]>,
    /// Each of them.
    pub scores: Vec<Score>,
}

/// Outputs and labels that a stream had when an incident began.
pub(super) type CountsAt = std::collections::BTreeMap<std::collections::BTreeMap<String, String>, (u64, u64)>;

/// The first alert that fired in an incident on one of its streams.
pub(super) fn find<'f>(
    incident: &Incident,
    findings: impl Iterator<Item = &'f Finding>,
    (begun, counts): (Timestamp, &CountsAt),
) -> Option<Seen> {
    let first = findings.filter(|f| incident.holds(f) && incident.is_found_by(f)).min_by_key(|f| f.fired)?;
    let (outputs, labels) = counts.get(&first.stream).copied().unwrap_or_default();
    let delay = first.fired.since(incident.from.max(begun));
    let stream: Vec<String> = first.stream.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Some(Seen {
        alert: first.alert.clone(),
        stream: stream.join(", "),
        at: first.at.clone(),
        delay: text(delay.as_millis()),
        delay_ms: delay.as_millis(),
        outputs: first.outputs.saturating_sub(outputs),
        labels: first.labels.saturating_sub(labels),
    })
}

/// An alert that could have found the incident, had it not been firing before.
pub(super) fn already<'f>(incident: &Incident, findings: impl Iterator<Item = &'f Finding>) -> Option<String> {
    let fires_then = |f: &&Finding| f.fired < incident.from && f.ended.is_none_or(|ended| ended > incident.from);
    let mut able = findings.filter(|f| incident.selector.matches(&f.stream) && incident.is_found_by(f));
    able.find(fires_then).map(|f| format!("{} since {}", f.alert, f.at))
}

impl Incidents {
    pub(super) fn of(scores: Vec<Score>) -> Self {
        let mut delays: Vec<i64> = scores.iter().filter_map(|score| Some(score.found.as_ref()?.delay_ms)).collect();
        delays.sort_unstable();
        let median = delays.get(delays.len().saturating_sub(1) / 2);
        Self {
            found: delays.len() as u64,
            missed: (scores.len() - delays.len()) as u64,
            median_delay: median.map(|millis| text(*millis)),
            delays: delays.first().zip(delays.last()).map(|(least, most)| [text(*least), text(*most)]),
            scores,
        }
    }
}

/// A length of time as people read it: to the second, from a second on.
pub(super) fn text(millis: i64) -> String {
    let shown = if millis.abs() < 1_000 { millis } else { (millis + 500).div_euclid(1_000) * 1_000 };
    Span::from_millis(shown).to_string()
}

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::testing::{at, finding};
    use super::*;

    fn incident(agent: &str, from: i64, to: Option<i64>) -> Incident {
        let globs = BTreeMap::from([("agent".to_owned(), agent.to_owned())]);
        Incident {
            name: "x".to_owned(),
            from: at(from),
            to: to.map(at),
            selector: Selector::new(&globs).unwrap(),
            measure: None,
            alerts: Vec::new(),
        }
    }

    fn seen(incident: &Incident, findings: &[Finding]) -> Option<(String, i64, u64, u64)> {
        let counts = CountsAt::from([(BTreeMap::from([("agent".to_owned(), "a".to_owned())]), (90, 40))]);
        let seen = find(incident, findings.iter(), (at(0), &counts))?;
        Some((seen.alert, seen.delay_ms / 1_000, seen.outputs, seen.labels))
    }

    #[test]
    fn the_first_alert_in_time_on_a_stream_of_the_incident_finds_it() {
        let findings = [
            finding("g/Before", "a", (99, None)),
            finding("g/Other", "b", (110, None)),
            finding("g/Late", "a", (180, None)),
            finding("g/First", "a", (120, Some(130))),
        ];
        assert_eq!(seen(&incident("a", 100, None), &findings), Some(("First".to_owned(), 20, 30, 20)));
        assert_eq!(seen(&incident("*", 100, None), &findings), Some(("Other".to_owned(), 10, 110, 55)), "a new stream");
        assert_eq!(seen(&incident("a", 100, Some(119)), &findings), None);
        assert_eq!(seen(&incident("a", 100, Some(120)), &findings).map(|seen| seen.1), Some(20));
        let named = Incident { alerts: vec!["Late".to_owned()], ..incident("a", 100, None) };
        assert_eq!(seen(&named, &findings).map(|seen| seen.1), Some(80));
        let latency = Incident { measure: Some("latency".to_owned()), ..incident("a", 100, None) };
        assert_eq!(seen(&latency, &findings), None);
        let slow = Finding { measure: "latency p95".to_owned(), ..findings[3].clone() };
        assert!(seen(&latency, &[slow]).is_some(), "whatever the quantile");
        // What fires in its time on its stream is no false alarm, whatever it watches.
        assert!(explained(&findings[3], &[latency]) && !explained(&findings[0], &[incident("a", 100, None)]));
    }

    #[test]
    fn what_was_firing_before_finds_nothing_and_is_told() {
        let fires_on = [finding("g/A", "a", (50, Some(101)))];
        let over = [finding("g/A", "a", (50, Some(100)))];
        let of = |findings: &[Finding]| already(&incident("a", 100, None), findings.iter());
        assert_eq!(of(&fires_on).as_deref(), Some("A since 1970-01-01T00:00:50Z"));
        assert_eq!(of(&over), None);
    }

    #[test]
    fn delays_are_summed_up_by_their_median_and_range() {
        let score = |delay: Option<i64>| Score {
            name: String::new(),
            from: String::new(),
            to: None,
            injected: false,
            found: delay.map(|seconds| Seen {
                alert: String::new(),
                stream: String::new(),
                at: String::new(),
                delay: String::new(),
                delay_ms: seconds * 1_000 + 400,
                outputs: 0,
                labels: 0,
            }),
            already: None,
            unwatched: false,
            before: None,
        };
        let all = Incidents::of([Some(90), None, Some(10), Some(60)].map(score).to_vec());
        assert_eq!((all.found, all.missed), (3, 1));
        assert_eq!(all.median_delay.as_deref(), Some("1m"));
        assert_eq!(all.delays, Some(["10s".to_owned(), "1m30s".to_owned()]));
        assert_eq!(Incidents::of(vec![score(None)]).median_delay, None);
    }
}

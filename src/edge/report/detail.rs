//! What only panes tell of an agent: percentiles of any span, confidence with verdicts, numbers by version.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::Period;
use super::agents::{Agent, Stream, width};
use crate::edge::ledger::{CountedStream, each_pane};
use crate::edge::notify::clean::line;
use crate::engine::around::Standing;
use crate::engine::confidence::ConfidenceTable;
use crate::engine::detect::{Calibration, Reliability, Rung};
use crate::engine::sketch::{Histogram, Moments, Pane, latency};
use crate::engine::threshold::Thresholds;
use crate::engine::units::{Counts, Span, Timestamp};

/// Versions that are told apart, those with the most outputs.
const VERSIONS: usize = 8;

/// What was counted of one version.
#[derive(Clone, Debug, Default)]
pub(super) struct Version {
    pub(super) name: String,
    pub(super) since: Option<Timestamp>,
    pub(super) outputs: u64,
    pub(super) correct: Counts,
    pub(super) escalated: Counts,
    pub(super) cost: Moments,
    pub(super) latency: Histogram,
}

/// What was counted in a day, or in an hour where the period is short.
#[derive(Clone, Debug, Default)]
pub(super) struct DayDetail {
    pub(super) latency: Histogram,
    pub(super) standing: Standing,
}

/// One agent over the period.
pub(super) struct Detail {
    /// How accurate it was.
    pub(super) standing: Standing,
    pub(super) days: BTreeMap<Timestamp, DayDetail>,
    /// Outputs and verdicts by confidence.
    pub(super) confidence: ConfidenceTable,
    pub(super) thresholds: Option<Thresholds>,
    pub(super) latency: Histogram,
    /// In the order in which they came.
    pub(super) versions: Vec<Version>,
    /// Versions with fewer outputs.
    pub(super) more: usize,
    /// Outputs of hours in which a version came: they count for none.
    pub(super) between: u64,
}

/// What is added up of a stretch of time before it is weighed.
#[derive(Default)]
struct Heap {
    outputs: u64,
    correct: Counts,
    table: ConfidenceTable,
    latency: Histogram,
}

impl Heap {
    fn add(&mut self, pane: &Pane) {
        self.outputs += pane.outputs;
        self.correct.merge(pane.correct);
        self.table.merge(&pane.by_confidence);
        self.latency.merge(&pane.latency_bins);
    }

    /// How accurate the outputs were; no estimate where confidence could not be gone by in this time.
    fn standing(&self, contradicted: Option<&String>) -> Standing {
        let standing = Standing::of(self.outputs, self.correct, &self.table);
        contradicted.map_or(standing.clone(), |why| standing.without_estimate(line(why, 300)))
    }
}

impl Detail {
    pub(super) fn read(db: &Connection, agent: &Agent, period: Period) -> rusqlite::Result<Self> {
        let width = width(period);
        let (mut days, mut all) = (BTreeMap::<Timestamp, Heap>::new(), Heap::default());
        let mut hours = BTreeMap::<Timestamp, ConfidenceTable>::new();
        let (mut versions, mut between) = (BTreeMap::<String, Version>::new(), 0);
        let streams: Vec<CountedStream> = agent.streams.iter().map(|stream| stream.counted.clone()).collect();
        each_pane(db, &streams, period, |counted, hour, pane| {
            days.entry(hour.floor(width)).or_default().add(pane);
            all.add(pane);
            hours.entry(hour).or_default().merge(&pane.by_confidence);
            let stream = agent.streams.iter().find(|stream| stream.counted.id == counted.id);
            match stream.and_then(|stream| version(stream, hour)) {
                Some((name, since)) => versions.entry(name.to_owned()).or_default().add(pane, since),
                None => between += pane.outputs,
            }
        })?;
        let since = agent.streams.iter().filter_map(|stream| stream.contradicted.as_ref()).min_by_key(|(at, _)| *at);
        let why = |end: Timestamp| since.filter(|(at, _)| *at < end).map(|(_, why)| why);
        let mut told: Vec<Version> =
            versions.into_iter().map(|(name, version)| Version { name: line(&name, 40), ..version }).collect();
        told.sort_by_key(|version| std::cmp::Reverse(version.outputs));
        let more = told.len().saturating_sub(VERSIONS);
        told.truncate(VERSIONS);
        told.sort_by_key(|version| version.since);
        let days = days.into_iter().map(|(at, heap)| {
            let standing = heap.standing(why(at.plus(width)));
            (at, DayDetail { standing, latency: heap.latency })
        });
        Ok(Self {
            standing: all.standing(why(period.1)),
            days: days.collect(),
            thresholds: Thresholds::by_hours(hours),
            confidence: all.table,
            latency: all.latency,
            versions: told,
            more,
            between,
        })
    }

    /// What confidence stood for in the period.
    pub(super) fn reliability(&self) -> Vec<Reliability> {
        let rungs = self.confidence.bins().into_iter().filter(|(_, cell)| cell.labelled > 0).map(|(bin, cell)| Rung {
            confidence: crate::engine::confidence::middle(bin),
            n: u64::from(cell.labelled),
            right: u64::from(cell.right),
        });
        Calibration::of(&rungs.collect::<Vec<_>>()).table()
    }
}

impl Version {
    fn add(&mut self, pane: &Pane, since: Timestamp) {
        self.since = Some(self.since.map_or(since, |known| known.min(since)));
        self.outputs += pane.outputs;
        self.correct.merge(pane.correct);
        self.escalated.merge(pane.escalated);
        self.cost.merge(&pane.cost_usd);
        self.latency.merge(&pane.latency_bins);
    }
}

/// The one version that a stream ran on in the whole of an hour, and since when; nothing where another came in it.
fn version(stream: &Stream, hour: Timestamp) -> Option<(&str, Timestamp)> {
    let end = hour.plus(Span::HOUR);
    let before = stream.versions.iter().rfind(|release| release.at <= hour);
    let within = stream.versions.iter().any(|release| release.at > hour && release.at < end);
    // The first version came with the stream's first output: nothing ran before it.
    let first = stream.versions.first().filter(|first| first.at < end && first.at > hour);
    match (before, within) {
        (Some(release), false) => Some((&release.version, release.at)),
        (None, true) => {
            let alone = stream.versions.iter().filter(|release| release.at < end).count() == 1;
            first.filter(|_| alone).map(|release| (release.version.as_str(), release.at))
        }
        _ => None,
    }
}

/// A percentile in milliseconds; nothing where there are no latencies.
pub(super) fn percentile(histogram: &Histogram, q: f64) -> Option<f64> {
    histogram.quantile_bin(q).map(latency::middle_ms)
}

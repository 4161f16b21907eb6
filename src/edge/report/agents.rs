//! Agents, their streams, and what was counted of them by day or hour.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::Period;
use super::alerts::Alerts;
use crate::edge::ledger::{CountedStream, Watched, all_streams, watched};
use crate::edge::notify::clean::line;
use crate::engine::around::Release;
use crate::engine::baseline::Baseline;
use crate::engine::memory::Memory;
use crate::engine::units::{Counts, Span, Timestamp};

/// From so long a period on a point of a course is a day; below it is an hour.
const DAYS_FROM: Span = Span::DAY.times(4);
/// From so long a period on it is a week.
const WEEKS_FROM: Span = Span::DAY.times(120);

/// One stream.
pub(super) struct Stream {
    pub(super) counted: CountedStream,
    pub(super) baseline: Option<Baseline>,
    pub(super) memory: Memory,
    /// When each version began, the oldest first.
    pub(super) versions: Vec<Release>,
    /// Since when confidence cannot be gone by, and why.
    pub(super) contradicted: Option<(Timestamp, String)>,
}

impl Stream {
    /// What the stream is called within its agent: its labels but for the agent.
    pub(super) fn name(&self) -> String {
        let others = self.counted.labels.iter().filter(|(name, _)| *name != "agent");
        line(&others.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", "), 60)
    }
}

impl Stream {
    /// All outputs that were ever counted of it.
    pub(super) const fn memory_outputs(&self) -> u64 {
        self.memory.outputs
    }

    /// Its versions, with names that fit above a chart.
    pub(super) fn releases(&self) -> Vec<Release> {
        self.versions.iter().map(|r| Release { at: r.at, version: line(&r.version, 24) }).collect()
    }
}

/// What was counted in a span, as `v_hours` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) outputs: u64,
    pub(super) correct: Counts,
    pub(super) escalated: Counts,
    /// Outputs whose status was said, and those neither `error` nor `timeout`.
    pub(super) available: Counts,
}

impl Sums {
    fn merge(&mut self, other: Self) {
        self.outputs += other.outputs;
        self.correct.merge(other.correct);
        self.escalated.merge(other.escalated);
        self.available.merge(other.available);
    }
}

/// One agent.
pub(super) struct Agent {
    /// Its name, one clean line; nothing where streams are not formed by agent.
    pub(super) name: String,
    pub(super) streams: Vec<Stream>,
    pub(super) total: Sums,
    /// By the beginning of a day, or of an hour where the period is short.
    pub(super) days: BTreeMap<Timestamp, Sums>,
    /// Alerts that fired in the period, those of them that fire now, and those that fired before it and fire still.
    pub(super) fired: usize,
    pub(super) firing: usize,
    pub(super) earlier: usize,
}

impl Agent {
    /// Accuracy counted over the baselines of all its streams.
    pub(super) fn baseline(&self) -> Counts {
        let mut all = Counts::default();
        for baseline in self.streams.iter().filter_map(|stream| stream.baseline.as_ref()) {
            all.merge(baseline.profile.pane.correct);
        }
        all
    }

    /// Versions of all its streams, each from when the first of them ran it.
    pub(super) fn versions(&self) -> Vec<Release> {
        let mut all: Vec<Release> = self.streams.iter().flat_map(Stream::releases).collect();
        all.sort_by_key(|release| release.at);
        all.dedup_by(|later, first| later.version == first.version);
        all
    }
}

/// How much time one point of a course is.
pub(super) fn width((from, to): Period) -> Span {
    match to.since(from) {
        long if long > WEEKS_FROM => Span::DAY.times(7),
        long if long >= DAYS_FROM => Span::DAY,
        _ => Span::HOUR,
    }
}

/// All streams with outputs, of one agent where it is named.
pub(super) fn streams(db: &Connection, agent: Option<&str>) -> rusqlite::Result<Vec<Stream>> {
    let mut known: BTreeMap<i64, Watched> = watched(db)?.into_iter().map(|one| (one.id, one)).collect();
    let mut versions: BTreeMap<i64, Vec<Release>> = BTreeMap::new();
    let mut select = db.prepare("SELECT stream_id, version, since_ms FROM v_versions ORDER BY stream_id, since_ms")?;
    let rows = select.query_map([], |row| {
        let at = Timestamp::from_millis(row.get(2)?);
        Ok((row.get::<_, i64>(0)?, Release { at, version: row.get(1)? }))
    })?;
    for row in rows {
        let (id, release) = row?;
        versions.entry(id).or_default().push(release);
    }
    let mut select = db.prepare("SELECT contradicted_ms, contradicted FROM streams WHERE id = ?1")?;
    let mut found = Vec::new();
    for counted in all_streams(db)? {
        if agent.is_some() && counted.labels.get("agent").map(String::as_str) != agent {
            continue;
        }
        let Some(Watched { memory, baseline, .. }) = known.remove(&counted.id) else { continue };
        let contradicted = select.query_row([counted.id], |row| {
            let (at, why): (Option<i64>, Option<String>) = (row.get(0)?, row.get(1)?);
            Ok(at.map(Timestamp::from_millis).zip(why))
        })?;
        let versions = versions.remove(&counted.id).unwrap_or_default();
        found.push(Stream { counted, baseline, memory, versions, contradicted });
    }
    Ok(found)
}

/// The agents of these streams with outputs in the period, those first that need looking at: with alerts that fire, with alerts
/// that fired, with the most outputs.
pub(super) fn agents(
    db: &Connection,
    streams: Vec<Stream>,
    period: Period,
    alerts: &Alerts,
) -> rusqlite::Result<Vec<Agent>> {
    let mut sums = sums(db, period)?;
    let mut agents: BTreeMap<Option<String>, Agent> = BTreeMap::new();
    for stream in streams {
        let Some(days) = sums.remove(&stream.counted.id) else { continue };
        let label = stream.counted.labels.get("agent").cloned();
        let agent = agents.entry(label).or_insert_with_key(|label| Agent {
            name: label.as_deref().map_or_else(|| "all outputs".to_owned(), |label| line(label, 60)),
            streams: Vec::new(),
            total: Sums::default(),
            days: BTreeMap::new(),
            fired: alerts.rows.iter().filter(|alert| alert.agent == *label).count(),
            firing: alerts.rows.iter().filter(|alert| alert.agent == *label && alert.is_firing()).count(),
            earlier: alerts.earlier.iter().filter(|agent| *agent == label).count(),
        });
        for (at, sums) in days {
            agent.days.entry(at).or_default().merge(sums);
            agent.total.merge(sums);
        }
        agent.streams.push(stream);
    }
    let mut agents: Vec<Agent> = agents.into_values().collect();
    agents.sort_by_key(|agent| std::cmp::Reverse((agent.firing + agent.earlier, agent.fired, agent.total.outputs)));
    Ok(agents)
}

/// What was counted, by stream and stretch of time.
fn sums(db: &Connection, period: Period) -> rusqlite::Result<BTreeMap<i64, BTreeMap<Timestamp, Sums>>> {
    let mut select = db.prepare(
        "SELECT stream_id, hour_ms - hour_ms % ?1 AS start_ms, sum(outputs), sum(correct), sum(labelled), sum(escalated),
           sum(escalation_known), sum(status_ok + status_invalid_input),
           sum(status_ok + status_error + status_invalid_input + status_timeout)
         FROM v_hours WHERE hour_ms >= ?2 AND hour_ms < ?3 GROUP BY stream_id, start_ms",
    )?;
    let (from, to) = period;
    let rows = select.query_map(params![width(period).as_millis(), from.as_millis(), to.as_millis()], |row| {
        let count = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
        let counts = |hits: usize| Ok::<_, rusqlite::Error>(Counts { hits: count(hits)?, n: count(hits + 1)? });
        let (outputs, correct, escalated, available) = (count(2)?, counts(3)?, counts(5)?, counts(7)?);
        let at = Timestamp::from_millis(row.get(1)?);
        Ok((row.get::<_, i64>(0)?, at, Sums { outputs, correct, escalated, available }))
    })?;
    let mut found: BTreeMap<i64, BTreeMap<Timestamp, Sums>> = BTreeMap::new();
    for row in rows {
        let (id, at, sums) = row?;
        found.entry(id).or_default().insert(at, sums);
    }
    Ok(found)
}

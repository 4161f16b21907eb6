//! `shewhart report`: what a reviewer asks of a database, in one HTML file without scripts and without a network.
//!
//! Counts come from `v_hours`, alerts from `v_alerts`, control charts from [`super::classical`], thresholds from
//! [`crate::engine::threshold`], what rules are worth from [`crate::engine::explain`]: a number here is the one that others show.
//! Percentiles of a span are those of its merged histograms.

mod agents;
mod alerts;
mod charts;
mod detail;
mod incidents;
mod page;
mod prose;
mod readiness;
mod told;

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use self::alerts::Alerts;
use self::detail::Detail;
use crate::engine::detect::DesignCache;
use crate::engine::rule::{RuleSet, Source};
use crate::engine::units::{Span, Timestamp};

/// Agents that have a part of their own; the others stand in the table only.
const PARTS: usize = 8;
/// Agents in the table.
const ROWS: usize = 40;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// SQLite refused, or what it holds cannot be read.
    #[error("{doing}: {source}; `shewhart db check` says whether the file is whole")]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// There is no such agent.
    #[error("no stream of agent `{0}` is known; `shewhart status` lists what is there")]
    NoAgent(String),
    /// The end comes before the beginning.
    #[error("the period from {0} to {1} holds no hour; --from and --to are RFC 3339 and --from comes first")]
    NoTime(Timestamp, Timestamp),
    /// The page could not be made.
    #[error("the page cannot be made: {0}")]
    Page(#[from] minijinja::Error),
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// The first hour of outputs; `last` before the end where not given.
    pub from: Option<Timestamp>,
    /// The first hour that no longer counts; the one after the newest output's where not given.
    pub to: Option<Timestamp>,
    /// How long the period is where it has no beginning.
    pub last: Span,
    /// Only this agent.
    pub agent: Option<String>,
    /// Within which time a fall of two points is to be seen.
    pub within: Span,
    /// The rules that are in force, and where they come from, in words.
    pub rules: (RuleSet, String),
    /// What the database is called on the page.
    pub database: String,
    /// When the report is made.
    pub now: Timestamp,
}

/// The period in hours of outputs: the first, and the first that no longer counts.
type Period = (Timestamp, Timestamp);

/// A report: the page, and what it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The whole page.
    pub html: String,
    /// The period.
    pub period: (Timestamp, Timestamp),
    /// Agents in it.
    pub agents: usize,
    /// The verdict in words.
    pub verdict: String,
}

/// Reads a database and writes the page.
///
/// # Errors
/// [`ReportError`].
pub fn report(db: &Connection, request: &Request) -> Result<Report, ReportError> {
    let read = |doing, source| ReportError::Sqlite { doing, source };
    let streams = agents::streams(db, request.agent.as_deref()).map_err(|e| read("reading streams", e))?;
    if let Some(agent) = request.agent.as_ref().filter(|_| streams.is_empty()) {
        return Err(ReportError::NoAgent(agent.clone()));
    }
    let ends = streams.iter().map(|stream| (stream.counted.first, stream.counted.newest));
    let period = period(request, ends.reduce(|(a, b), (c, d)| (a.min(c), b.max(d))))?;
    let alerts = Alerts::read(db, period, request.agent.as_deref()).map_err(|e| read("reading alerts", e))?;
    let agents = agents::agents(db, streams, period, &alerts).map_err(|e| read("reading hours", e))?;
    let mut cache = DesignCache::new();
    let mut parts = Vec::new();
    for agent in agents.iter().take(ROWS) {
        let detail = Detail::read(db, agent, period).map_err(|e| read("reading panes", e))?;
        let stages = readiness::stages(agent, &detail, (&request.rules.0, request.within), &mut cache);
        parts.push((agent, detail, stages));
    }
    let missing = Missing::read(db, period).map_err(|e| read("reading gaps and rejects", e))?;
    let page = page::Page::of(db, request, period, (&agents, &parts), (&alerts, &missing));
    let page = page.map_err(|e| read("reading charts", e))?;
    let verdict = page.verdict();
    Ok(Report { html: page.html()?, period, agents: agents.len(), verdict })
}

/// The hours that are asked for, where the outputs go from then to then; what is not asked for begins with the first of them.
fn period(request: &Request, outputs: Option<(Timestamp, Timestamp)>) -> Result<Period, ReportError> {
    let (first, newest) = outputs.unwrap_or((Timestamp::MIN, request.now));
    let to = request.to.unwrap_or_else(|| newest.floor(Span::HOUR).plus(Span::HOUR)).floor(Span::HOUR);
    let usual = to.minus(request.last).max(first.min(to.minus(Span::HOUR)));
    let from = request.from.unwrap_or(usual).floor(Span::HOUR);
    if from < to { Ok((from, to)) } else { Err(ReportError::NoTime(from, to)) }
}

/// What did not come to be counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Missing {
    /// Holes in the log, and records in them.
    gaps: (u64, u64),
    /// Records that were not counted, by why; the newest 10,000 are known.
    rejects: Vec<(String, u64)>,
}

impl Missing {
    fn read(db: &Connection, (from, to): Period) -> rusqlite::Result<Self> {
        let ends = params![from.as_millis(), to.as_millis()];
        let select = "SELECT count(*), coalesce(sum(records), 0) FROM v_gaps WHERE at_ms >= ?1 AND at_ms < ?2";
        let gaps = db.query_row(select, ends, |row| {
            Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()))
        })?;
        let mut select = db.prepare(
            "SELECT why, count(*) FROM v_rejects WHERE at_ms >= ?1 AND at_ms < ?2 GROUP BY why ORDER BY count(*) DESC, why",
        )?;
        let rejects = select
            .query_map(ends, |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
            .collect::<Result<_, _>>()?;
        Ok(Self { gaps, rejects })
    }
}

/// The rule files in force, as the daemon wrote them down; nothing where it wrote none, as a replay does.
///
/// # Errors
/// What SQLite says.
pub fn rules_in_force(db: &Connection) -> Result<Option<Vec<Source>>, ReportError> {
    let select = "SELECT sources FROM v_rule_sets WHERE in_force";
    let sources: Option<String> = db
        .query_row(select, [], |row| row.get(0))
        .optional()
        .map_err(|source| ReportError::Sqlite { doing: "reading the rules in force", source })?;
    let files: Option<BTreeMap<String, String>> = sources.and_then(|text| serde_json::from_str(&text).ok());
    Ok(files.map(|files| files.into_iter().map(|(name, text)| Source { name, text }).collect()))
}

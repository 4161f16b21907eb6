//! Streams, panes and alerts as rows.

use std::collections::BTreeMap;

use rusqlite::{CachedStatement, Transaction, params};

use super::packed::Packer;
use super::panes::PaneWriter;
use super::taken::StreamRow;
use crate::engine::alert::{Account, Crossing, State};
use crate::engine::baseline::Profile;
use crate::engine::labels_of;
use crate::engine::levels::Level;
use crate::engine::units::{Counts, Span, Timestamp};
use crate::engine::window::Arrival;
use crate::sql::hdr;

/// Stands for the age of an output that nobody remembers.
const UNKNOWN_AGE: i64 = -1;

/// What makes bytes of states and of histograms small. Kept from one commit to the next: getting its memory costs more than using it.
#[derive(Debug, Default)]
pub(super) struct Compressors {
    states: Packer,
    histograms: hdr::Encoder,
}

/// Writes streams of one transaction. Keeps its statements.
pub(super) struct StreamWriter<'t> {
    db: &'t Transaction<'t>,
    update: CachedStatement<'t>,
    insert: CachedStatement<'t>,
    packer: &'t mut Packer,
    /// Their panes.
    pub(super) panes: PaneWriter<'t>,
}

impl<'t> StreamWriter<'t> {
    pub(super) fn new(db: &'t Transaction<'t>, compressors: &'t mut Compressors) -> rusqlite::Result<Self> {
        let update = db.prepare_cached(
            "UPDATE streams SET outputs = ?2, labelled = ?3, version = ?4, last_seen_ms = ?5, baseline = ?6, memory = ?7,
             newest_pane_ms = ?8, promised = ?9, promised_week = ?10, raised = ?11, contradicted_ms = ?12,
             contradicted = ?13 WHERE id = ?1",
        )?;
        let insert = db.prepare_cached(
            "INSERT INTO streams (id, outputs, labelled, version, last_seen_ms, baseline, memory, newest_pane_ms, promised,
             promised_week, raised, contradicted_ms, contradicted, partition, idx, agent, task, labels, first_seen_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?;
        let Compressors { states, histograms } = compressors;
        Ok(Self { db, update, insert, packer: states, panes: PaneWriter::new(db, histograms) })
    }

    /// Writes streams that changed, and then their panes.
    pub(super) fn write(&mut self, rows: &[StreamRow]) -> rusqlite::Result<()> {
        rows.iter().try_for_each(|row| self.write_row(row))?;
        self.panes.write_all(rows.iter().map(|row| (row.id, &row.changes)))
    }

    fn write_row(&mut self, row: &StreamRow) -> rusqlite::Result<()> {
        let state = self.packer.pack(&row.state);
        if bind_state(&mut self.update, row, &state)?.raw_execute()? == 0 {
            let labels: BTreeMap<&str, &str> = labels_of(&row.key).collect();
            let insert = bind_state(&mut self.insert, row, &state)?;
            insert.raw_bind_parameter(14, row.partition.0)?;
            insert.raw_bind_parameter(15, row.index)?;
            insert.raw_bind_parameter(16, labels.get("agent"))?;
            insert.raw_bind_parameter(17, labels.get("task"))?;
            insert.raw_bind_parameter(18, json(&labels))?;
            insert.raw_bind_parameter(19, row.first_seen.as_millis())?;
            insert.raw_execute()?;
        }
        if let Some((summary, profile)) = &row.provisional {
            write_provisional(self.db, row.id, summary, profile)?;
        }
        row.changes.arrivals.iter().try_for_each(|arrival| write_arrival(self.db, row.id, *arrival))
    }
}

/// Binds what changes of a stream's row.
fn bind_state<'s, 't>(
    statement: &'s mut CachedStatement<'t>,
    row: &StreamRow,
    state: &[u8],
) -> rusqlite::Result<&'s mut CachedStatement<'t>> {
    statement.raw_bind_parameter(1, row.id)?;
    statement.raw_bind_parameter(2, row.outputs as i64)?;
    statement.raw_bind_parameter(3, row.labels as i64)?;
    statement.raw_bind_parameter(4, row.version.as_deref())?;
    statement.raw_bind_parameter(5, row.last_seen.as_millis())?;
    statement.raw_bind_parameter(6, row.baseline.as_deref())?;
    statement.raw_bind_parameter(7, state)?;
    statement.raw_bind_parameter(8, row.newest_pane.map(Timestamp::as_millis))?;
    statement.raw_bind_parameter(9, row.promised.so_far)?;
    statement.raw_bind_parameter(10, row.promised.per_week)?;
    statement.raw_bind_parameter(11, row.promised.raised as i64)?;
    statement.raw_bind_parameter(12, row.contradicted.map(|found| found.since.as_millis()))?;
    statement.raw_bind_parameter(13, row.contradicted.map(|found| found.told()))?;
    Ok(statement)
}

fn write_arrival(db: &Transaction<'_>, stream: i64, (of, counts): (Arrival, Counts)) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO label_arrivals (hour_ms, stream_id, day_ms, within_ms, labels, correct)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (hour_ms, stream_id, day_ms, within_ms)
         DO UPDATE SET labels = labels + excluded.labels, correct = correct + excluded.correct",
    )?
    .execute(params![
        of.hour.as_millis(),
        stream,
        of.day.as_millis(),
        of.within.map_or(UNKNOWN_AGE, Span::as_millis),
        counts.n as i64,
        counts.hits as i64
    ])
    .map(drop)
}

fn write_provisional(
    db: &Transaction<'_>,
    stream: i64,
    summary: &ProfileSummary,
    profile: &[u8],
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO provisional_baselines (stream_id, outputs, labelled, correct, first_ms, last_ms, confidence_mean,
         latency_p95_ms, profile, levels) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (stream_id) DO UPDATE SET outputs = excluded.outputs, labelled = excluded.labelled,
         correct = excluded.correct, first_ms = excluded.first_ms, last_ms = excluded.last_ms,
         confidence_mean = excluded.confidence_mean, latency_p95_ms = excluded.latency_p95_ms, profile = excluded.profile,
         levels = excluded.levels",
    )?
    .execute(params![
            stream,
            summary.outputs,
            summary.labelled,
            summary.correct,
            summary.first_ms,
            summary.last_ms,
            summary.confidence_mean,
            summary.latency_p95_ms,
            profile,
            summary.levels
        ])
    .map(drop)
}

/// The columns of a profile.
#[derive(Debug)]
pub(super) struct ProfileSummary {
    pub(super) outputs: i64,
    pub(super) labelled: i64,
    pub(super) correct: i64,
    pub(super) first_ms: Option<i64>,
    pub(super) last_ms: Option<i64>,
    pub(super) confidence_mean: Option<f64>,
    pub(super) latency_p95_ms: Option<f64>,
    /// What classical charts are drawn against, as JSON by measure.
    pub(super) levels: String,
}

impl ProfileSummary {
    pub(super) fn of(profile: &Profile) -> Self {
        let pane = &profile.pane;
        Self {
            outputs: pane.outputs as i64,
            labelled: pane.correct.n as i64,
            correct: pane.correct.hits as i64,
            first_ms: profile.first.map(Timestamp::as_millis),
            last_ms: profile.last.map(Timestamp::as_millis),
            confidence_mean: (pane.confidence.n > 0).then_some(pane.confidence.mean),
            latency_p95_ms: pane.latency_quantile_ms(0.95),
            levels: json(&Level::all(profile).into_iter().collect::<BTreeMap<_, _>>()),
        }
    }
}

/// Writes an alert's change of state, and the alert as it stands after it.
pub(super) fn write_crossing(db: &Transaction<'_>, crossing: &Crossing) -> rusqlite::Result<()> {
    write_alert(db, crossing)?;
    db.prepare_cached(
        "INSERT INTO alert_events (id, alert_id, transition, from_state, to_state, reason, at_ms, partition, offset, crossing)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
    )?
    .execute(params![
        crossing.id.to_string(),
        crossing.alert_id.to_string(),
        crossing.transition,
        crossing.from.as_str(),
        crossing.to.as_str(),
        crossing.reason.as_str(),
        crossing.at.as_millis(),
        crossing.position.0.0,
        crossing.position.1.0,
        json(crossing)
    ])
    .map(drop)
}

fn write_alert(db: &Transaction<'_>, crossing: &Crossing) -> rusqlite::Result<()> {
    let at = crossing.at.as_millis();
    let fired = (crossing.to == State::Firing).then_some(at);
    let ended = matches!(crossing.to, State::Resolved | State::Inactive).then_some(at);
    db.prepare_cached(
        "INSERT INTO alerts (id, rule, alert, severity, partition, labels, annotations, state, started_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (id) DO UPDATE SET state = excluded.state,
         annotations = CASE excluded.annotations WHEN '{}' THEN annotations ELSE excluded.annotations END",
    )?
    .execute(params![
        crossing.alert_id.to_string(),
        crossing.rule,
        crossing.alert,
        crossing.labels.get("severity").map_or("", String::as_str),
        crossing.position.0.0,
        json(&crossing.labels),
        // What people were told when it fired stays: the end of an alert has nothing to explain.
        if crossing.account.is_some() { json(&crossing.annotations) } else { "{}".to_owned() },
        crossing.to.as_str(),
        crossing.started_at.as_millis()
    ])?;
    db.prepare_cached(
        "UPDATE alerts SET fired_at_ms = coalesce(fired_at_ms, ?2), ended_at_ms = coalesce(?3, ended_at_ms) WHERE id = ?1",
    )?
    .execute(params![crossing.alert_id.to_string(), fired, ended])?;
    match &crossing.account {
        Some(account) => write_account(db, crossing, account),
        None => Ok(()),
    }
}

fn write_account(db: &Transaction<'_>, crossing: &Crossing, account: &Account) -> rusqlite::Result<()> {
    let (estimate, baseline, around) = (account.estimate, account.baseline, &account.around);
    db.prepare_cached(
        "UPDATE alerts SET measure = ?2, grade = ?3, changed_at_ms = ?4, estimate = ?5, estimate_low = ?6,
         estimate_high = ?7, baseline = ?8, provisional = ?9, baseline_value = ?10, baseline_low = ?11,
         baseline_high = ?12, baseline_n = ?13, statistic = ?14, limit_value = ?15, arl0 = ?16, samples = ?17,
         outputs = ?18, labelled = ?19, version = ?20, version_before = ?21, changed_earliest_ms = ?22,
         changed_latest_ms = ?23, change = ?24, change_low = ?25, change_high = ?26, unit = ?27, method = ?28,
         outputs_since = ?29, labels_missing = ?30, counted_from_ms = ?31, also_moved = ?32, task_parts = ?33,
         standing = ?34
         WHERE id = ?1",
    )?
    .execute(params![
        crossing.alert_id.to_string(),
        account.measure.to_string(),
        account.grade.as_str(),
        account.changed_at.map(Timestamp::as_millis),
        estimate.map(|e| e.value),
        estimate.map(|e| e.low),
        estimate.map(|e| e.high),
        account.baseline_id,
        account.provisional,
        baseline.map(|e| e.value),
        baseline.map(|e| e.low),
        baseline.map(|e| e.high),
        account.baseline_n as i64,
        account.statistic,
        account.limit,
        account.arl0,
        account.samples as i64,
        account.outputs as i64,
        account.labels as i64,
        account.version,
        account.version_before,
        account.changed_between.map(|(earliest, _)| earliest.as_millis()),
        account.changed_between.map(|(_, latest)| latest.as_millis()),
        account.change.map(|e| e.value),
        account.change.map(|e| e.low),
        account.change.map(|e| e.high),
        account.unit.map(crate::engine::units::SampleUnit::as_str),
        account.method,
        around.counted_from.map(|_| around.outputs as i64),
        around.counted_from.map(|_| around.labels_missing as i64),
        around.counted_from.map(Timestamp::as_millis),
        around.counted_from.map(|_| json(&around.beside)),
        around.tasks.as_ref().map(json),
        around.standing.clone().map(|standing| json(&standing.shown()))
    ])
    .map(drop)
}

/// A value as JSON. The types written so hold nothing that JSON cannot: no maps with other keys than text.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

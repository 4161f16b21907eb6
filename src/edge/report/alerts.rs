//! Alerts of the period: when the change began, when it was seen, told, taken on and over, and what it turned out to be.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::Period;
use crate::engine::detect::design::interval::wilson;
use crate::engine::sketch::quantile_between;
use crate::engine::units::{Counts, Estimate, Span, Timestamp};

/// One alert that fired in the period.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AlertRow {
    pub(super) alert: String,
    pub(super) rule: String,
    pub(super) severity: String,
    pub(super) state: String,
    pub(super) stream_id: Option<i64>,
    pub(super) agent: Option<String>,
    pub(super) task: Option<String>,
    pub(super) measure: Option<String>,
    /// The likeliest beginning of the change, with its interval.
    pub(super) changed: Option<(Timestamp, (Timestamp, Timestamp))>,
    pub(super) fired: Timestamp,
    pub(super) ended: Option<Timestamp>,
    /// When the first message of it was decided, and when the first was delivered.
    pub(super) decided: Option<Timestamp>,
    pub(super) delivered: Option<Timestamp>,
    pub(super) acknowledged: Option<(Timestamp, Option<String>)>,
    pub(super) verdict: Option<String>,
    pub(super) estimate: Option<Estimate>,
    pub(super) baseline: Option<f64>,
}

impl AlertRow {
    /// Whether it fires at the end of what is known.
    pub(super) fn is_firing(&self) -> bool {
        self.state == "firing"
    }

    /// From the beginning of the change to the alert.
    pub(super) fn delay(&self) -> Option<Span> {
        self.changed.map(|(at, _)| self.fired.since(at))
    }

    /// Whether people said that nothing was wrong, or that it did not matter.
    pub(super) fn is_false(&self) -> bool {
        matches!(self.verdict.as_deref(), Some("false" | "noise"))
    }
}

/// Number, mean and quartiles of delays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Delays {
    pub(super) n: usize,
    pub(super) mean: Span,
    pub(super) quartiles: [Span; 3],
}

impl Delays {
    fn of(delays: impl Iterator<Item = Span>) -> Option<Self> {
        let mut sorted: Vec<f64> = delays.map(Span::as_secs_f64).collect();
        sorted.sort_by(f64::total_cmp);
        let span = |seconds: f64| Span::from_millis((seconds * 1_000.0) as i64);
        let quartile = |q| quantile_between(&sorted, q).map(span);
        let quartiles = [quartile(0.25)?, quartile(0.5)?, quartile(0.75)?];
        let mean = span(sorted.iter().sum::<f64>() / sorted.len() as f64);
        Some(Self { n: sorted.len(), mean, quartiles })
    }
}

/// What one rule was worth in the period.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RuleRow {
    pub(super) rule: String,
    pub(super) fired: usize,
    /// What people said: true, false, noise.
    pub(super) judged: [usize; 3],
    pub(super) precision: Option<Estimate>,
    pub(super) delays: Option<Delays>,
}

/// The alerts that fired in the period, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Alerts {
    pub(super) rows: Vec<AlertRow>,
    /// The agents of those that fired before it and fire still.
    pub(super) earlier: Vec<Option<String>>,
}

impl Alerts {
    pub(super) fn read(db: &Connection, (from, to): Period, agent: Option<&str>) -> rusqlite::Result<Self> {
        let mut select = db.prepare(
            "SELECT a.alert, a.rule, a.severity, a.state, a.stream_id, a.agent, a.task, a.measure, a.changed_at_ms,
               a.changed_earliest_ms, a.changed_latest_ms, a.fired_at_ms, a.ended_at_ms, a.acknowledged_ms,
               a.acknowledged_by, a.verdict, a.estimate, a.estimate_low, a.estimate_high, a.baseline_value,
               (SELECT min(n.decided_at_ms) FROM v_notices n WHERE n.alert_id = a.alert_id AND n.told_state = 'firing'),
               (SELECT min(n.delivered_at_ms) FROM v_notices n WHERE n.alert_id = a.alert_id AND n.told_state = 'firing')
             FROM v_alerts a WHERE a.fired_at_ms >= ?1 AND a.fired_at_ms < ?2 AND (?3 IS NULL OR a.agent = ?3)
             ORDER BY a.fired_at_ms, a.alert_id",
        )?;
        let rows = select.query_map(params![from.as_millis(), to.as_millis(), agent], |row| {
            let at = |column: usize| row.get::<_, Option<i64>>(column).map(|at| at.map(Timestamp::from_millis));
            let (earliest, latest) = (at(9)?, at(10)?);
            let changed = at(8)?.map(|changed| (changed, (earliest.unwrap_or(changed), latest.unwrap_or(changed))));
            let estimate: [Option<f64>; 3] = [row.get(16)?, row.get(17)?, row.get(18)?];
            let estimate = match estimate {
                [Some(value), low, high] => {
                    Some(Estimate { value, low: low.unwrap_or(value), high: high.unwrap_or(value) })
                }
                _ => None,
            };
            let owner: Option<String> = row.get(14)?;
            Ok(AlertRow {
                alert: row.get(0)?,
                rule: row.get(1)?,
                severity: row.get(2)?,
                state: row.get(3)?,
                stream_id: row.get(4)?,
                agent: row.get(5)?,
                task: row.get(6)?,
                measure: row.get(7)?,
                changed,
                fired: Timestamp::from_millis(row.get(11)?),
                ended: at(12)?,
                decided: at(20)?,
                delivered: at(21)?,
                acknowledged: at(13)?.map(|at| (at, owner)),
                verdict: row.get(15)?,
                estimate,
                baseline: row.get(19)?,
            })
        })?;
        let mut earlier = db.prepare(
            "SELECT agent FROM v_alerts WHERE state = 'firing' AND fired_at_ms < ?1 AND (?2 IS NULL OR agent = ?2)",
        )?;
        let earlier = earlier.query_map(params![from.as_millis(), agent], |row| row.get(0))?;
        Ok(Self { rows: rows.collect::<Result<_, _>>()?, earlier: earlier.collect::<Result<_, _>>()? })
    }

    /// From the beginning of the change to the alert, over alerts that nobody called false.
    pub(super) fn delays(&self) -> Option<Delays> {
        Delays::of(self.rows.iter().filter(|alert| !alert.is_false()).filter_map(AlertRow::delay))
    }

    /// By rule, those that fired most first.
    pub(super) fn by_rule(&self) -> Vec<RuleRow> {
        let mut rules: BTreeMap<&str, Vec<&AlertRow>> = BTreeMap::new();
        for alert in &self.rows {
            rules.entry(&alert.rule).or_default().push(alert);
        }
        let row = |(rule, alerts): (&str, Vec<&AlertRow>)| {
            let said = |word: &str| alerts.iter().filter(|alert| alert.verdict.as_deref() == Some(word)).count();
            let judged = ["true", "false", "noise"].map(said);
            let counts = Counts { hits: judged[0] as u64, n: judged.iter().sum::<usize>() as u64 };
            RuleRow {
                rule: rule.to_owned(),
                fired: alerts.len(),
                judged,
                precision: (counts.n > 0).then(|| wilson(counts, 0.95)),
                delays: Delays::of(alerts.iter().filter(|alert| !alert.is_false()).filter_map(|alert| alert.delay())),
            }
        };
        let mut found: Vec<RuleRow> = rules.into_iter().map(row).collect();
        found.sort_by(|a, b| b.fired.cmp(&a.fired).then_with(|| a.rule.cmp(&b.rule)));
        found
    }
}

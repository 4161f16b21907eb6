//! The classical chart of a share by hours or days, as a database holds it: Laney's p' chart about the baseline, with the run rules
//! of Western Electric and Nelson marked. It looks, it never alarms; `shewhart chart` and `shewhart report` show the same one.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use serde::{Serialize, Serializer};

use crate::engine::baseline::Profile;
use crate::engine::detect::{RunRuleSet, RunRules};
use crate::engine::levels::{counts_good, sigma_z};
use crate::engine::rule::Measure;
use crate::engine::units::{Counts, Span, Timestamp};

/// Standard deviations from the centre to a limit.
const WIDTH: f64 = 3.0;
/// Fewest cases of a point: z of smaller ones is far from normal.
const POINT_CASES: i64 = 5;

/// A share that has a chart, with its columns of `v_hours`.
#[derive(Clone, Debug)]
pub struct Share {
    /// What is plotted.
    pub measure: Measure,
    bad: &'static str,
    all: &'static str,
}

/// The shares that have a chart.
pub static SHARES: [Share; 4] = [
    Share { measure: Measure::Accuracy, bad: "labelled - correct", all: "labelled" },
    Share { measure: Measure::EscalationRate, bad: "escalated", all: "escalation_known" },
    Share { measure: Measure::OverrideRate, bad: "overridden", all: "override_known" },
    Share {
        measure: Measure::ErrorRate,
        bad: "status_error + status_invalid_input + status_timeout",
        all: "status_ok + status_error + status_invalid_input + status_timeout",
    },
];

/// Which points are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How much time is one point: an hour or a day.
    pub width: Span,
    /// Hours of outputs that begin from here on ...
    pub from: Timestamp,
    /// ... and before this.
    pub to: Timestamp,
    /// The newest so many.
    pub last: usize,
}

/// One point.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// When it begins.
    #[serde(serialize_with = "as_text")]
    pub at: Timestamp,
    /// Its cases.
    pub cases: u64,
    /// The share of them, in [0, 1], and its limits.
    pub share: f64,
    /// Three standard deviations below the centre.
    pub lower: f64,
    /// Three standard deviations above.
    pub upper: f64,
    /// Whether it lies outside.
    pub beyond: bool,
    /// Rules that fire at it, in Nelson's numbers.
    pub nelson: Vec<u8>,
    /// And in those of Western Electric.
    pub western_electric: Vec<u8>,
}

/// A chart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chart {
    /// The stream's labels.
    pub stream: BTreeMap<String, String>,
    /// What is plotted, as rules name it.
    pub measure: String,
    /// The baseline's id.
    pub baseline: String,
    /// Its level.
    pub centre: f64,
    /// Laney's, of the baseline's batches; 1 where there are too few.
    pub sigma_z: f64,
    /// In the order of time.
    pub points: Vec<Point>,
    /// Versions that came meanwhile.
    pub versions: Vec<Version>,
}

/// A version, and the first point that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Its name.
    pub version: String,
    /// The point's place.
    pub point: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn as_text<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// The share of this name; nothing where it has no chart.
pub fn share_of(measure: &str) -> Option<&'static Share> {
    SHARES.iter().find(|share| share.measure.to_string() == measure)
}

/// The chart of one stream; nothing where the baseline or the hours say nothing of the share.
///
/// # Errors
/// What SQLite says.
pub fn chart(
    connection: &Connection,
    share: &Share,
    window: Window,
    labels: &BTreeMap<String, String>,
    (id, profile): (&str, &Profile),
) -> rusqlite::Result<Option<Chart>> {
    let reference = profile.bad_of(&share.measure).and_then(Counts::share);
    let Some(p) = reference.filter(|p| *p > 0.0 && *p < 1.0) else { return Ok(None) };
    let batches = profile.batches_of(&share.measure);
    let hours = (window.width.as_days_f64() * 24.0).round() as u32;
    let sigma_z = batches.map_or(1.0, |batches| sigma_z(batches, hours));
    let rows = points(connection, share, labels, window)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let (mut nelson, mut western) = (
        RunRules::new(RunRuleSet::nelson(&[1, 2, 3, 4, 5, 6, 7, 8])),
        RunRules::new(RunRuleSet::western_electric(&[1, 2, 3, 4])),
    );
    let good = counts_good(&share.measure);
    let turn = |x: f64| if good { 1.0 - x } else { x };
    let points = rows.iter().map(|(at, counts)| {
        let sigma = sigma_z * (p * (1.0 - p) / counts.n as f64).sqrt();
        let bad = counts.hits as f64 / counts.n as f64;
        let z = (turn(bad) - turn(p)) / sigma;
        let (low, high) = (p - WIDTH * sigma, p + WIDTH * sigma);
        let (low, high) = if good { (turn(high), turn(low)) } else { (low, high) };
        Point {
            at: *at,
            cases: counts.n,
            share: turn(bad),
            lower: low.max(0.0),
            upper: high.min(1.0),
            beyond: z.abs() > WIDTH,
            nelson: nelson.update(z).nelson_numbers().collect(),
            western_electric: western.update(z).western_electric_numbers().collect(),
        }
    });
    let points = points.collect();
    let times: Vec<Timestamp> = rows.iter().map(|(at, _)| *at).collect();
    Ok(Some(Chart {
        stream: labels.clone(),
        measure: share.measure.to_string(),
        baseline: id.to_owned(),
        centre: turn(p),
        sigma_z,
        points,
        versions: versions(connection, labels, &times)?,
    }))
}

/// The newest points in the order of time: when each begins, and its bad cases of all.
fn points(
    connection: &Connection,
    share: &Share,
    labels: &BTreeMap<String, String>,
    Window { width, from, to, last }: Window,
) -> rusqlite::Result<Vec<(Timestamp, Counts)>> {
    let Share { bad, all, .. } = share;
    let mut select = connection.prepare(&format!(
        "SELECT hour_ms - hour_ms % ?1 AS start_ms, sum({bad}), sum({all}) FROM v_hours
         WHERE stream_id IN (SELECT id FROM streams WHERE labels = ?2) AND hour_ms >= ?5 AND hour_ms < ?6
         GROUP BY start_ms HAVING sum({all}) >= ?3 ORDER BY start_ms DESC LIMIT ?4"
    ))?;
    let (last, from, to) = (i64::try_from(last).unwrap_or(i64::MAX), from.as_millis(), to.as_millis());
    let rows = select.query_map(params![width.as_millis(), written(labels), POINT_CASES, last, from, to], |row| {
        let (hits, n): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok((Timestamp::from_millis(row.get(0)?), Counts { hits: hits.max(0) as u64, n: n.max(0) as u64 }))
    })?;
    let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
    rows.reverse();
    Ok(rows)
}

/// The versions that came while the points were drawn, but not the one before.
fn versions(
    connection: &Connection,
    labels: &BTreeMap<String, String>,
    points: &[Timestamp],
) -> rusqlite::Result<Vec<Version>> {
    let mut select = connection.prepare(
        "SELECT v.to_version, v.at_ms FROM versions v JOIN streams s ON s.id = v.stream_id
         WHERE s.labels = ?1 AND v.from_version IS NOT NULL ORDER BY v.at_ms",
    )?;
    let rows = select.query_map([written(labels)], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (version, at) = row?;
        let after = points.partition_point(|point| *point <= Timestamp::from_millis(at));
        if let Some(point) = after.checked_sub(1) {
            found.push(Version { version, point });
        }
    }
    Ok(found)
}

/// Labels as the database holds them.
fn written(labels: &BTreeMap<String, String>) -> String {
    serde_json::to_string(labels).unwrap_or_default()
}

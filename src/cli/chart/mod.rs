//! `shewhart chart`: the classical chart of a share by hours or days, as a database holds it: Laney's p' chart about the
//! baseline, with the run rules of Western Electric and Nelson marked. It looks, it never alarms.

mod picture;

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use serde::Serialize;

use self::picture::picture;
use super::args::{ChartArgs, Format, Width};
use super::table::stream;
use super::{Invalid, OK, db, explain, print};
use crate::engine::account::value;
use crate::engine::baseline::Profile;
use crate::engine::batches::Batches;
use crate::engine::detect::{Dispersion, RunRuleSet, RunRules};
use crate::engine::rule::Measure;
use crate::engine::units::{Counts, Span, Timestamp};

/// Standard deviations from the centre to a limit.
const WIDTH: f64 = 3.0;
/// Fewest cases of a batch from which the baseline's spread is estimated.
const BATCH_CASES: u64 = 20;
/// Fewest cases of a point: z of smaller ones is far from normal.
const POINT_CASES: i64 = 5;

/// A share that has a chart, with its columns of `v_hours`.
struct Share {
    measure: Measure,
    /// Whether the measure counts good outcomes: then the chart shows those.
    good: bool,
    bad: &'static str,
    all: &'static str,
}

const SHARES: [Share; 4] = [
    Share { measure: Measure::Accuracy, good: true, bad: "labelled - correct", all: "labelled" },
    Share { measure: Measure::EscalationRate, good: false, bad: "escalated", all: "escalation_known" },
    Share { measure: Measure::OverrideRate, good: false, bad: "overridden", all: "override_known" },
    Share {
        measure: Measure::ErrorRate,
        good: false,
        bad: "status_error + status_invalid_input + status_timeout",
        all: "status_ok + status_error + status_invalid_input + status_timeout",
    },
];

/// One point.
#[derive(Serialize)]
struct Point {
    at: String,
    cases: u64,
    share: f64,
    lower: f64,
    upper: f64,
    beyond: bool,
    /// Rules that fire at it, in Nelson's numbers.
    nelson: Vec<u8>,
    /// And in those of Western Electric.
    western_electric: Vec<u8>,
}

/// A chart.
#[derive(Serialize)]
struct Chart {
    stream: BTreeMap<String, String>,
    measure: String,
    baseline: String,
    centre: f64,
    /// Laney's, of the baseline's batches; 1 where there are too few.
    sigma_z: f64,
    points: Vec<Point>,
    versions: Vec<Version>,
}

/// A version, and the first point that it is in.
#[derive(Serialize)]
struct Version {
    version: String,
    point: usize,
}

pub(super) fn run(args: &ChartArgs) -> anyhow::Result<u8> {
    let known = || SHARES.iter().map(|share| share.measure.to_string()).collect::<Vec<_>>().join(", ");
    let share = SHARES
        .iter()
        .find(|share| share.measure.to_string() == args.measure)
        .ok_or_else(|| Invalid(format!("there is no chart of `{}`; there is one of {}", args.measure, known())))?;
    let connection = db::open(&args.db)?;
    let mut charts = Vec::new();
    for subject in explain::from_database(&args.db)? {
        let labels = &subject.labels;
        let fits = |name: &str, wanted: &Option<String>| wanted.is_none() || labels.get(name) == wanted.as_ref();
        if !fits("agent", &args.agent) || !fits("task", &args.task) {
            continue;
        }
        let Some(baseline) = &subject.baseline else { continue };
        charts.extend(chart(&connection, share, args, labels, (&baseline.id, &baseline.profile))?);
    }
    if charts.is_empty() {
        let what = "no stream with a baseline has such points; `shewhart status` lists what is there";
        return Err(Invalid(format!("{}: {what}", args.db.display())).into());
    }
    match args.output {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&charts)?)),
        Format::Text => charts.iter().for_each(|chart| print(&text(chart, share))),
    }
    Ok(OK)
}

/// The chart of one stream; nothing where the baseline or the hours say nothing of the share.
fn chart(
    connection: &Connection,
    share: &Share,
    args: &ChartArgs,
    labels: &BTreeMap<String, String>,
    (id, profile): (&str, &Profile),
) -> anyhow::Result<Option<Chart>> {
    let reference = profile.bad_of(&share.measure).and_then(Counts::share);
    let Some(p) = reference.filter(|p| *p > 0.0 && *p < 1.0) else { return Ok(None) };
    let width = Span::HOUR.times(if args.by == Width::Hour { 1 } else { 24 });
    let batches = profile.batches_of(&share.measure);
    let sigma_z = batches.map_or(1.0, |batches| spread(batches, width));
    let rows = points(connection, share, labels, width, args.last)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let (mut nelson, mut western) = (
        RunRules::new(RunRuleSet::nelson(&[1, 2, 3, 4, 5, 6, 7, 8])),
        RunRules::new(RunRuleSet::western_electric(&[1, 2, 3, 4])),
    );
    let turn = |x: f64| if share.good { 1.0 - x } else { x };
    let points = rows.iter().map(|(at, counts)| {
        let sigma = sigma_z * (p * (1.0 - p) / counts.n as f64).sqrt();
        let bad = counts.hits as f64 / counts.n as f64;
        let z = (turn(bad) - turn(p)) / sigma;
        let (low, high) = (p - WIDTH * sigma, p + WIDTH * sigma);
        let (low, high) = if share.good { (turn(high), turn(low)) } else { (low, high) };
        Point {
            at: at.to_string(),
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

/// sigma_z of the baseline's batches of about the points' width, and 1 at least (Laney 2002).
fn spread(batches: &Batches, width: Span) -> f64 {
    let hours = (width.as_days_f64() * 24.0).round() as u32;
    let groups = batches.grouped(hours.max(batches.hours()), BATCH_CASES);
    Dispersion::estimate(&groups).map_or(1.0, |dispersion| dispersion.sigma_z.max(1.0))
}

/// The newest points in the order of time: when each begins, and its bad cases of all.
fn points(
    connection: &Connection,
    share: &Share,
    labels: &BTreeMap<String, String>,
    width: Span,
    last: usize,
) -> anyhow::Result<Vec<(Timestamp, Counts)>> {
    let Share { bad, all, .. } = share;
    let mut select = connection.prepare(&format!(
        "SELECT hour_ms - hour_ms % ?1 AS start_ms, sum({bad}), sum({all}) FROM v_hours
         WHERE stream_id IN (SELECT id FROM streams WHERE labels = ?2)
         GROUP BY start_ms HAVING sum({all}) >= ?3 ORDER BY start_ms DESC LIMIT ?4"
    ))?;
    let labels = serde_json::to_string(labels)?;
    let rows = select.query_map(params![width.as_millis(), labels, POINT_CASES, last as i64], |row| {
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
) -> anyhow::Result<Vec<Version>> {
    let mut select = connection.prepare(
        "SELECT v.to_version, v.at_ms FROM versions v JOIN streams s ON s.id = v.stream_id
         WHERE s.labels = ?1 AND v.from_version IS NOT NULL ORDER BY v.at_ms",
    )?;
    let rows = select.query_map([serde_json::to_string(labels)?], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
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

fn text(chart: &Chart, share: &Share) -> String {
    let told = |x: f64| value(&share.measure, x);
    let spread = if chart.sigma_z > 1.0 {
        format!("; batches of the baseline differ {:.2} times as much as chance", chart.sigma_z)
    } else {
        String::new()
    };
    let mut text = format!(
        "{} of {}: baseline {} {}, limits at three standard deviations{spread}\n\n{}\n",
        chart.measure,
        stream(&chart.stream),
        chart.baseline,
        told(chart.centre),
        picture(chart, &told),
    );
    for point in chart.points.iter().filter(|point| point.beyond || !point.western_electric.is_empty()) {
        let rules: Vec<String> = point.western_electric.iter().map(ToString::to_string).collect();
        let limits = format!("{} to {}", told(point.lower), told(point.upper));
        let rules = format!("Western Electric rule {}", rules.join(", "));
        text.extend([format!(
            "  {}  {} of {} cases, limits {limits}: {rules}\n",
            point.at,
            told(point.share),
            point.cases
        )]);
    }
    text.push('\n');
    text
}

//! The page: everything that was read, in the words and the order in which a reviewer reads it.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use rusqlite::{Connection, params};
use serde::Serialize;

use super::agents::{Agent, width};
use super::alerts::Alerts;
use super::charts::{Figure, Figures, VersionRow};
use super::detail::Detail;
use super::incidents::{AlertLine, RuleLine, detection};
use super::prose::{labels_of, lead, verdict};
use super::readiness::{Need, STAGES, overall, reached};
use super::told::{day, many, maybe_share, percent, share};
use super::{Missing, PARTS, Period, ROWS, Request};
use crate::edge::classical::{self, Window};
use crate::edge::draw;
use crate::edge::figures::{count, duration, moment};
use crate::edge::notify::clean::line;
use crate::engine::detect::design::interval::wilson;
use crate::engine::rule::Measure;
use crate::engine::threshold::{Row, Thresholds};
use crate::engine::units::{Counts, Span};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");

/// Alerts in the table, the newest.
const ALERTS: usize = 60;
/// Rules in the table.
const RULES: usize = 30;
/// Control charts of one agent, those of the streams with the most outputs.
const CONTROL: usize = 4;
/// Points of a control chart.
const POINTS: usize = 120;
/// Steps of coverage at which thresholds are shown.
const STEP: f64 = 0.1;

/// A requirement as a row.
#[derive(Debug, Serialize)]
struct NeedRow {
    stage: &'static str,
    what: &'static str,
    required: String,
    observed: String,
    evidence: String,
    met: &'static str,
    missing: String,
}

impl NeedRow {
    fn of(need: &Need) -> Self {
        let Need { stage, what, required, observed, evidence, met, missing, .. } = need.clone();
        let stage = STAGES.get(stage).copied().unwrap_or_default();
        Self { stage, what, required, observed, evidence, met: met.words(), missing }
    }
}

/// An agent in the table.
#[derive(Debug, Serialize)]
struct AgentRow {
    name: String,
    /// The part of the page that is about it; nothing where it has none.
    part: Option<usize>,
    outputs: String,
    labelled: String,
    accuracy: String,
    baseline: String,
    escalation: String,
    availability: String,
    alerts: String,
    ready: String,
}

/// The part of the page about one agent.
#[derive(Debug, Serialize)]
struct Part {
    place: usize,
    name: String,
    lead: Vec<String>,
    needs: Vec<NeedRow>,
    control: Vec<Figure>,
    more_control: usize,
    figures: Vec<Figure>,
    versions: Vec<VersionRow>,
    more_versions: usize,
    between: Option<String>,
    thresholds: Option<ThresholdTable>,
    delays: Vec<(String, String, String)>,
}

#[derive(Debug, Serialize)]
struct ThresholdTable {
    lead: String,
    rows: Vec<[String; 5]>,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    title: String,
    period: String,
    head: Vec<(&'static str, String)>,
    verdict: Vec<String>,
    within: String,
    overall: Vec<NeedRow>,
    agents: Vec<AgentRow>,
    more_agents: usize,
    parts: Vec<Part>,
    more_parts: usize,
    alerts: Vec<AlertLine>,
    more_alerts: usize,
    detection: String,
    rules: Vec<RuleLine>,
    more_rules: usize,
    rules_from: String,
}

/// An agent with what was found out about it.
pub(super) type Found<'f> = (&'f Agent, Detail, Vec<Need>);

impl Page {
    pub(super) fn of(
        db: &Connection,
        request: &Request,
        period: Period,
        (agents, found): (&[Agent], &[Found<'_>]),
        (alerts, missing): (&Alerts, &Missing),
    ) -> rusqlite::Result<Self> {
        let mut figures = Figures::default();
        let mut parts = Vec::new();
        for (place, one) in found.iter().take(PARTS).enumerate() {
            parts.push(Part::of(db, (place + 1, one), period, alerts, &mut figures)?);
        }
        let needs: Vec<(&str, &[Need])> =
            found.iter().map(|(agent, _, needs)| (agent.name.as_str(), needs.as_slice())).collect();
        let rules = alerts.by_rule();
        let who = request.agent.as_ref().map_or_else(String::new, |agent| format!(": {}", line(agent, 60)));
        let first_shown = alerts.rows.len().saturating_sub(ALERTS);
        Ok(Self {
            title: format!("Agent quality report{who}"),
            period: format!("{} to {}", day(period.0), day(period.1)),
            head: head(db, request, agents, missing)?,
            verdict: verdict(agents, found, alerts, period),
            within: duration(request.within),
            overall: overall(&needs).iter().map(NeedRow::of).collect(),
            agents: found.iter().enumerate().map(|(place, one)| AgentRow::of(place, one)).collect(),
            more_agents: agents.len().saturating_sub(ROWS),
            more_parts: found.len().saturating_sub(PARTS),
            parts,
            alerts: alerts.rows.iter().enumerate().skip(first_shown).map(|(at, a)| AlertLine::of(at + 1, a)).collect(),
            more_alerts: first_shown,
            detection: detection(alerts),
            more_rules: rules.len().saturating_sub(RULES),
            rules: rules.iter().take(RULES).map(RuleLine::of).collect(),
            rules_from: line(&request.rules.1, 200),
        })
    }

    /// The verdict in one string.
    pub(super) fn verdict(&self) -> String {
        self.verdict.join(" ")
    }

    /// The page as HTML. Everything but the pictures and our own style sheet is escaped.
    pub(super) fn html(&self) -> Result<String, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_template("page", TEMPLATE)?;
        let inks = (draw::style(false), draw::style(true));
        let style = STYLE.replace("/*light*/", &inks.0).replace("/*dark*/", &inks.1);
        environment.get_template("page")?.render(context! { page => Value::from(Serde(self)), style })
    }
}

/// What, when, of what, on what, and what is missing.
fn head(
    db: &Connection,
    request: &Request,
    agents: &[Agent],
    missing: &Missing,
) -> rusqlite::Result<Vec<(&'static str, String)>> {
    let streams: usize = agents.iter().map(|agent| agent.streams.len()).sum();
    let outputs: u64 = agents.iter().map(|agent| agent.total.outputs).sum();
    let labels = labels_of(agents);
    let topic: Option<String> =
        db.query_row("SELECT max(value) FROM v_meta WHERE key = 'topic'", [], |row| row.get(0))?;
    let mut kept = db.prepare(
        "SELECT baseline_kind, baseline_id, count(*) FROM v_stream_baselines GROUP BY 1, 2 ORDER BY count(*) DESC LIMIT 4",
    )?;
    let baselines = kept.query_map([], |row| {
        let (kind, id, n): (String, Option<String>, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let name = match (kind.as_str(), id) {
            ("promoted", Some(id)) => line(&id, 60),
            ("provisional", _) => "learnt from the first outputs".to_owned(),
            _ => "none".to_owned(),
        };
        Ok(format!("{name} ({})", many(n as usize, "stream", "streams")))
    })?;
    let baselines = baselines.collect::<rusqlite::Result<Vec<String>>>()?;
    let mut gone = Vec::new();
    let (gaps, records) = missing.gaps;
    if gaps > 0 {
        gone.push(format!("{} in the log with {} records", many(gaps as usize, "hole", "holes"), count(records)));
    }
    if !missing.rejects.is_empty() {
        let all: u64 = missing.rejects.iter().map(|(_, n)| n).sum();
        let why: Vec<String> = missing.rejects.iter().take(4).map(|(why, n)| format!("{why} {}", count(*n))).collect();
        gone.push(format!("{} records not counted ({})", count(all), why.join(", ")));
    }
    let share = Counts { hits: labels.n.min(outputs), n: outputs }.share().unwrap_or(0.0);
    Ok(vec![
        ("Made", format!("{} by shewhart {}", moment(request.now), env!("CARGO_PKG_VERSION"))),
        ("Database", line(&request.database, 160)),
        ("Topic", topic.map_or_else(|| "–".to_owned(), |topic| line(&topic, 80))),
        ("Agents", format!("{} in {}", count(agents.len() as u64), many(streams, "stream", "streams"))),
        ("Outputs", count(outputs)),
        ("Labelled", format!("{} ({})", count(labels.n), percent(share, 1))),
        ("Baseline", if baselines.is_empty() { "none".to_owned() } else { baselines.join(", ") }),
        ("Not counted", if gone.is_empty() { "nothing is known to be missing".to_owned() } else { gone.join("; ") }),
    ])
}

impl AgentRow {
    fn of(place: usize, (agent, detail, needs): &Found<'_>) -> Self {
        let maybe = |counts: Counts| if counts.n > 0 { share(wilson(counts, 0.95)) } else { "–".to_owned() };
        let judged = Counts { hits: agent.total.correct.n.min(agent.total.outputs), n: agent.total.outputs };
        let firing = agent.firing + agent.earlier;
        let alerts = if firing > 0 {
            format!("{}, {} firing", count(agent.fired as u64), count(firing as u64))
        } else {
            count(agent.fired as u64)
        };
        Self {
            name: agent.name.clone(),
            part: (place < PARTS).then_some(place + 1),
            outputs: count(agent.total.outputs),
            labelled: judged.share().map_or_else(|| "–".to_owned(), |share| percent(share, 1)),
            accuracy: maybe_share(detail.standing.estimate.or(detail.standing.labels)),
            baseline: agent.baseline().share().map_or_else(|| "–".to_owned(), |share| percent(share, 1)),
            escalation: maybe(agent.total.escalated),
            availability: maybe(agent.total.available),
            alerts,
            ready: reached(needs)
                .checked_sub(1)
                .and_then(|at| STAGES.get(at))
                .map_or("none yet", |name| *name)
                .to_owned(),
        }
    }
}

impl Part {
    fn of(
        db: &Connection,
        (place, (agent, detail, needs)): (usize, &Found<'_>),
        period: Period,
        alerts: &Alerts,
        figures: &mut Figures,
    ) -> rusqlite::Result<Self> {
        let mut control = Vec::new();
        for measure in [Measure::Accuracy, Measure::EscalationRate] {
            let Some(kind) = classical::share_of(&measure.to_string()) else { continue };
            let mut streams: Vec<_> = agent.streams.iter().collect();
            streams.sort_by_key(|stream| std::cmp::Reverse(stream.memory_outputs()));
            for stream in streams {
                let Some(baseline) = &stream.baseline else { continue };
                let window = Window { width: width(period), from: period.0, to: period.1, last: POINTS };
                let labels = &stream.counted.labels;
                let chart = classical::chart(db, kind, window, labels, (&baseline.id, &baseline.profile))?;
                let Some(chart) = chart.filter(|chart| chart.points.len() > 1) else { continue };
                let word = measure.to_string();
                let marked = alerts.rows.iter().enumerate().filter(|(_, alert)| {
                    alert.stream_id == Some(stream.counted.id) && alert.measure.as_deref() == Some(word.as_str())
                });
                let marked: Vec<_> = marked.map(|(at, alert)| (at + 1, alert)).collect();
                let name = stream.name();
                let name = if name.is_empty() { agent.name.clone() } else { format!("{}, {name}", agent.name) };
                control.push(figures.control((&name, &chart), &marked, &stream.releases(), period));
            }
        }
        let more_control = control.len().saturating_sub(CONTROL);
        control.truncate(CONTROL);
        let mut all: Vec<Figure> = [
            figures.accuracy(agent, detail, period),
            figures.escalation(agent, period),
            figures.confidence(agent, detail),
            figures.reliability(detail),
            figures.latency(agent, detail, period),
            figures.coverage(agent, period),
        ]
        .into_iter()
        .flatten()
        .collect();
        all.extend(figures.versions(detail));
        Ok(Self {
            place,
            name: agent.name.clone(),
            lead: lead(agent, detail, needs),
            needs: needs.iter().map(NeedRow::of).collect(),
            control,
            more_control,
            figures: all,
            versions: detail.versions.iter().map(VersionRow::of).collect(),
            more_versions: detail.more,
            between: (detail.between > 0 && !detail.versions.is_empty()).then(|| count(detail.between)),
            thresholds: detail.thresholds.as_ref().map(thresholds),
            delays: delays(db, agent, period)?,
        })
    }
}

fn thresholds(found: &Thresholds) -> ThresholdTable {
    let in_force =
        found.in_force.map_or(String::new(), |at| format!(" Outputs below {at} are handed to a person already."));
    let uneven = found.uneven.map_or(String::new(), |uneven| {
        format!(
            " Labels are not spread evenly over confidence ({} of some outputs, {} of others): accuracy is weighted by outputs.",
            percent(uneven.least, 1),
            percent(uneven.most, 1)
        )
    });
    let row = |row: &Row| {
        [
            format!("{}{}", row.threshold, if Some(row.threshold) == found.in_force { " (in force)" } else { "" }),
            percent(row.coverage.value, 1),
            maybe_share(row.accuracy),
            share(row.escalation),
            count(row.labels),
        ]
    };
    ThresholdTable {
        lead: format!(
            "What each threshold on confidence would do: outputs at or above it are answered, the others handed to a \
             person.{in_force}{uneven}"
        ),
        rows: found.at_coverages(STEP).iter().map(row).collect(),
    }
}

/// How old outputs were when their verdicts came: an age, the verdicts that had come by then, and their share of all.
fn delays(db: &Connection, agent: &Agent, (from, to): Period) -> rusqlite::Result<Vec<(String, String, String)>> {
    let mut select = db.prepare(
        "SELECT within_ms, sum(labels) FROM v_label_delays
         WHERE stream_id = ?1 AND day_ms >= ?2 AND day_ms < ?3 AND within_ms IS NOT NULL GROUP BY within_ms",
    )?;
    let mut ages = std::collections::BTreeMap::<i64, u64>::new();
    for stream in &agent.streams {
        let ends = params![stream.counted.id, from.floor(Span::DAY).as_millis(), to.as_millis()];
        let rows = select.query_map(ends, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
        for row in rows {
            let (age, labels) = row?;
            *ages.entry(age).or_default() += labels;
        }
    }
    let all: u64 = ages.values().sum();
    let mut so_far = 0;
    let told = ages.into_iter().map(|(age, labels)| {
        so_far += labels;
        let age = if age == 0 {
            "with the output".to_owned()
        } else {
            format!("within {}", duration(Span::from_millis(age)))
        };
        (age, count(so_far), percent(so_far as f64 / all.max(1) as f64, 1))
    });
    Ok(told.collect())
}

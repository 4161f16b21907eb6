//! The charts of the page: what [`crate::edge::draw`] draws, from what was counted.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Period;
use super::agents::{Agent, Sums, width};
use super::alerts::AlertRow;
use super::detail::{Detail, Version, percentile};
use super::readiness::ESCALATION;
use super::told::{day, percent, share};
use crate::edge::classical::Chart;
use crate::edge::draw::{
    Bar, Bars, Bin, Canvas, ControlChart, ControlPoint, Course, Distribution, Ink, Layout, Line, Mark, Naming,
    Reference, ReliabilityChart, Steps,
};
use crate::edge::figures::{Scale, count};
use crate::engine::around::{How, Release};
use crate::engine::confidence::{ConfidenceTable, edges};
use crate::engine::detect::design::interval::wilson;
use crate::engine::units::{Counts, Estimate, Span, Timestamp};

/// Bins of the distribution of confidence.
const BINS: usize = 20;

/// Versions that are marked in a chart.
const VERSIONS: usize = 12;

/// A chart on the page. The SVG is safe: all text in it was escaped where it was drawn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Figure {
    title: String,
    /// What there is to see and what the signs mean.
    legend: String,
    /// For wide pages, where the chart takes the whole width.
    wide: Option<String>,
    narrow: String,
}

/// Makes figures, each with an id of its own.
#[derive(Debug, Default)]
pub(super) struct Figures {
    made: usize,
}

impl Figures {
    fn figure(&mut self, title: String, legend: String, wide: bool, draw: impl Fn(Layout) -> Canvas) -> Figure {
        self.made += 1;
        let picture = |layout: Layout, kind: &str| {
            let id = format!("c{}{kind}", self.made);
            draw(layout).svg(Naming { id: &id, title: &title, description: &legend })
        };
        let (wide, narrow) = (wide.then(|| picture(Layout::WIDE, "w")), picture(Layout::NARROW, "n"));
        Figure { title, legend, wide, narrow }
    }

    /// The classical chart of a share, with the alerts on it; their numbers are those of the table of alerts.
    pub(super) fn control(
        &mut self,
        (name, chart): (&str, &Chart),
        alerts: &[(usize, &AlertRow)],
        versions: &[Release],
        period: Period,
    ) -> Figure {
        let width = width(period);
        let points = chart.points.iter().map(|point| ControlPoint {
            at: point.at,
            end: point.at.plus(width),
            value: point.share,
            low: point.lower,
            high: point.upper,
            n: point.cases,
            run: !point.western_electric.is_empty(),
        });
        let marks = alerts.iter().map(|(number, alert)| Mark {
            at: alert.fired,
            name: format!("A{number}"),
            ink: if alert.severity == "critical" { Ink::Alarm } else { Ink::Text },
            line: true,
        });
        let measure = chart.measure.replace('_', " ");
        let cases = if chart.measure == "accuracy" { "labelled outputs" } else { "outputs" };
        let drawn = ControlChart {
            title: String::new(),
            axes: (format!("{measure}, % of {cases}"), over(width)),
            scale: Scale::percent(1),
            width,
            points: points.collect(),
            centre: chart.centre,
            bound: None,
            name_limits: true,
            changes: alerts.iter().filter_map(|(_, alert)| alert.changed).collect(),
            marks: marks.collect(),
            versions: drawn_of(versions),
            until: period.1.min(chart.points.last().map_or(period.1, |point| point.at.plus(width))),
        };
        let beyond = chart.points.iter().filter(|point| point.beyond).count();
        let runs = chart.points.iter().filter(|point| !point.beyond && !point.western_electric.is_empty()).count();
        let spread = if chart.sigma_z > 1.0 {
            format!(", widened {:.2} times as batches of the baseline differ", chart.sigma_z)
        } else {
            String::new()
        };
        let runs = match runs {
            0 => String::new(),
            n => format!(", {n} more at which a run rule of Western Electric fires (orange)"),
        };
        let mut legend = format!(
            "{} points of {} each; band: three sigma about the baseline for their number of cases{spread}. {beyond} outside (red){runs}.",
            chart.points.len(),
            stretch(width),
        );
        if !alerts.is_empty() {
            legend.push_str(
                " A and a number: an alert of the table below. Dashed: when a change began, its interval at the foot.",
            );
        }
        legend.push_str(&came(versions));
        let title = format!("{} of {name}: control chart", capital(&measure));
        self.figure(title, legend, true, |layout| drawn.draw(layout))
    }

    /// Accuracy with its interval, beside the baseline.
    pub(super) fn accuracy(&mut self, agent: &Agent, detail: &Detail, period: Period) -> Option<Figure> {
        let labels = shares(&agent.days, |sums| sums.correct);
        let powered = detail.days.values().any(|day| day.standing.how != How::LabelsOnly);
        let estimates = detail.days.iter().filter_map(|(at, day)| Some((*at, day.standing.estimate?)));
        let mut lines = vec![Line {
            name: "labels".to_owned(),
            ink: Ink::Text,
            points: labels,
            band: true,
            whole: agent.total.correct.share(),
        }];
        if powered {
            let points = estimates.collect();
            let whole = detail.standing.estimate.map(|estimate| estimate.value);
            lines.push(Line { name: "estimate".to_owned(), ink: Ink::Second, points, band: false, whole });
        }
        let baseline = agent.baseline().share();
        let legend = format!(
            "The share of right ones among the labelled, with its 95 % interval (band){}.{}",
            if powered { "; the estimate for all outputs, which uses their confidence as well" } else { "" },
            baseline.map_or(String::new(), |level| format!(" The baseline is {}.", percent(level, 1)))
        );
        let references = baseline.map(|level| Reference { name: "baseline".to_owned(), level, ink: Ink::Centre });
        let references = references.into_iter().collect();
        let y = "accuracy, % of labelled outputs";
        self.course(
            ("Accuracy with its interval", legend),
            (y, Scale::percent(1)),
            (lines, references),
            (agent, period),
        )
    }

    /// The share of outputs handed to a person, beside what limited production allows.
    pub(super) fn escalation(&mut self, agent: &Agent, period: Period) -> Option<Figure> {
        let points = shares(&agent.days, |sums| sums.escalated);
        let lines = vec![Line {
            name: "escalated".to_owned(),
            ink: Ink::Text,
            points,
            band: true,
            whole: agent.total.escalated.share(),
        }];
        let mut before = Counts::default();
        for baseline in agent.streams.iter().filter_map(|stream| stream.baseline.as_ref()) {
            before.merge(baseline.profile.pane.escalated);
        }
        let mut references = vec![Reference { name: "limit".to_owned(), level: ESCALATION, ink: Ink::Bound }];
        references.extend(before.share().map(|level| Reference {
            name: "baseline".to_owned(),
            level,
            ink: Ink::Centre,
        }));
        let legend = "The share of outputs that were handed to a person, with its 95 % interval; dashed: what limited \
                      production allows."
            .to_owned();
        let y = "escalation, % of outputs";
        self.course(("Escalation", legend), (y, Scale::percent(1)), (lines, references), (agent, period))
    }

    /// Percentiles of latency.
    pub(super) fn latency(&mut self, agent: &Agent, detail: &Detail, period: Period) -> Option<Figure> {
        let line = |name: &str, q: f64, ink: Ink| {
            let points = detail.days.iter().filter_map(|(at, day)| {
                let value = percentile(&day.latency, q)?;
                Some((*at, Estimate { value, low: value, high: value }))
            });
            let whole = percentile(&detail.latency, q);
            Line { name: name.to_owned(), ink, points: points.collect(), band: false, whole }
        };
        let lines = vec![line("p50", 0.5, Ink::Text), line("p95", 0.95, Ink::Second), line("p99", 0.99, Ink::Third)];
        let mut before = crate::engine::sketch::Histogram::default();
        for baseline in agent.streams.iter().filter_map(|stream| stream.baseline.as_ref()) {
            before.merge(&baseline.profile.pane.latency_bins);
        }
        let reference = percentile(&before, 0.95);
        let references =
            reference.map(|level| Reference { name: "baseline p95".to_owned(), level, ink: Ink::Centre }).into_iter();
        let legend = format!("Percentiles of each stretch's own histogram.{}", came(&agent.versions()));
        let y = "latency, milliseconds";
        let scale = Scale::millis(percentile(&detail.latency, 0.5).unwrap_or_default());
        self.course(("Latency", legend), (y, scale), (lines, references.collect()), (agent, period))
    }

    /// How much is labelled.
    pub(super) fn coverage(&mut self, agent: &Agent, period: Period) -> Option<Figure> {
        if agent.total.correct.n == 0 {
            return None;
        }
        let points = shares(&agent.days, |sums| Counts { hits: sums.correct.n.min(sums.outputs), n: sums.outputs });
        let whole = Counts { hits: agent.total.correct.n.min(agent.total.outputs), n: agent.total.outputs }.share();
        let flat = points.into_iter().map(|(at, e)| (at, Estimate { value: e.value, low: e.value, high: e.value }));
        let lines =
            vec![Line { name: "judged".to_owned(), ink: Ink::Text, points: flat.collect(), band: false, whole }];
        let legend =
            "The share of outputs whose verdict has come, by the time of the output. The newest still wait for \
                      theirs."
                .to_owned();
        let y = "labelled, % of outputs";
        let references = Vec::new();
        self.course(("Label coverage", legend), (y, Scale::percent(1)), (lines, references), (agent, period))
    }

    fn course(
        &mut self,
        (title, legend): (&str, String),
        (y, scale): (&str, Scale),
        (lines, references): (Vec<Line>, Vec<Reference>),
        (agent, period): (&Agent, Period),
    ) -> Option<Figure> {
        if lines.iter().all(|line| line.points.is_empty()) {
            return None;
        }
        let width = width(period);
        let course = Course {
            axes: (y.to_owned(), over(width)),
            scale,
            width,
            lines,
            references,
            versions: drawn_of(&agent.versions()),
            ends: shown(agent, period),
            from_zero: y.starts_with("latency") || y.starts_with("labelled") || y.starts_with("escalation"),
        };
        Some(self.figure(title.to_owned(), legend, false, |layout| course.draw(layout)))
    }

    /// How confidence is spread, in the baseline and in the period.
    pub(super) fn confidence(&mut self, agent: &Agent, detail: &Detail) -> Option<Figure> {
        let now = spread(&detail.confidence)?;
        let mut before = ConfidenceTable::default();
        for baseline in agent.streams.iter().filter_map(|stream| stream.baseline.as_ref()) {
            before.merge(&baseline.profile.pane.by_confidence);
        }
        let before = spread(&before);
        let steps = |name: &str, (shares, mean): (Vec<f64>, f64), ink, filled| Steps {
            name: name.to_owned(),
            ink,
            filled,
            shares,
            mean,
        };
        let told = before.as_ref().map_or_else(
            || "There is no baseline to compare with.".to_owned(),
            |(_, mean)| format!("Mean confidence moved by {:+.1} points.", 100.0 * (now.1 - mean)),
        );
        let legend = format!("Shares of outputs by stated confidence, in steps of 5 points; dashed: the means. {told}");
        let old = before.map(|found| steps("baseline", found, Ink::Centre, Some(Ink::Band)));
        let chart = Distribution {
            axes: ("outputs, % of those with a confidence".to_owned(), "stated confidence, %".to_owned()),
            steps: old.into_iter().chain([steps("period", now, Ink::Second, Some(Ink::Wash))]).collect(),
        };
        Some(self.figure("Confidence then and now".to_owned(), legend, false, |layout| chart.draw(layout)))
    }

    /// What confidence stood for.
    pub(super) fn reliability(&mut self, detail: &Detail) -> Option<Figure> {
        let bins = detail.reliability();
        let bins: Vec<Bin> =
            bins.iter().map(|bin| Bin { said: bin.confidence, right: bin.accuracy, n: bin.n }).collect();
        if bins.is_empty() {
            return None;
        }
        let n: u64 = bins.iter().map(|bin| bin.n).sum();
        let legend = format!(
            "{} judged outputs by stated confidence, in bins; a larger point has more of them. Red: the 95 % interval does not \
             hold what was said. Below the line an agent claims more than it keeps.",
            count(n)
        );
        let chart = ReliabilityChart {
            axes: ("right, % of labelled outputs".to_owned(), "stated confidence, %".to_owned()),
            bins,
        };
        Some(self.figure("What confidence stands for".to_owned(), legend, false, |layout| chart.draw(layout)))
    }

    /// A level by version; nothing where fewer than two versions have it.
    fn by_version(
        &mut self,
        (title, x, legend): (&str, &str, &str),
        versions: &[Version],
        scale: Scale,
        (level, bound): (impl Fn(&Version) -> Option<Estimate>, Option<(f64, String)>),
    ) -> Option<Figure> {
        let bars = versions.iter().filter_map(|v| Some(Bar { name: v.name.clone(), level: level(v)? }));
        let bars: Vec<Bar> = bars.collect();
        if bars.len() < 2 {
            return None;
        }
        let chart = Bars { axes: ("version, the oldest first".to_owned(), x.to_owned()), scale, rows: bars, bound };
        Some(self.figure(title.to_owned(), legend.to_owned(), false, |layout| chart.draw(layout)))
    }

    /// Cost, escalation and latency by version.
    pub(super) fn versions(&mut self, detail: &Detail) -> Vec<Figure> {
        let versions = &detail.versions;
        let dear = versions.iter().map(|v| v.cost.mean).fold(0.0, f64::max);
        let mean = "Mean over the outputs of each version that say their cost, with its 95 % interval.";
        let cost = self.by_version(
            ("Cost by version", "cost, US dollars per output", mean),
            versions,
            Scale::dollars(dear),
            (cost, None),
        );
        let limit = Some((ESCALATION, format!("limit {}", percent(ESCALATION, 0))));
        let escalation = self.by_version(
            (
                "Escalation by version",
                "escalation, % of outputs",
                "Shares of each version's outputs, with 95 % intervals.",
            ),
            versions,
            Scale::percent(1),
            (|v: &Version| (v.escalated.n > 0).then(|| wilson(v.escalated, 0.95)), limit),
        );
        let p95 = |v: &Version| {
            let value = percentile(&v.latency, 0.95)?;
            Some(Estimate { value, low: value, high: value })
        };
        let told = "The 95th percentile of each version's merged histogram.";
        let least = versions.iter().filter_map(|v| percentile(&v.latency, 0.95)).fold(f64::INFINITY, f64::min);
        let latency = self.by_version(
            ("Latency p95 by version", "latency, milliseconds", told),
            versions,
            Scale::millis(least),
            (p95, None),
        );
        [cost, escalation, latency].into_iter().flatten().collect()
    }
}

/// Mean cost with the 95 % interval of a mean of many.
pub(super) fn cost(version: &Version) -> Option<Estimate> {
    let half = 1.96 * version.cost.sd()? / (version.cost.n as f64).sqrt();
    let value = version.cost.mean;
    Some(Estimate { value, low: (value - half).max(0.0), high: value + half })
}

/// A share of each stretch of time, with Wilson's interval; stretches without cases are left out.
fn shares(days: &BTreeMap<Timestamp, Sums>, of: impl Fn(&Sums) -> Counts) -> Vec<(Timestamp, Estimate)> {
    let all = days.iter().map(|(at, sums)| (*at, of(sums))).filter(|(_, counts)| counts.n > 0);
    all.map(|(at, counts)| (at, wilson(counts, 0.95))).collect()
}

/// The part of the period in which the agent has outputs.
fn shown(agent: &Agent, period: Period) -> Period {
    let width = width(period);
    let first = agent.days.keys().next().map_or(period.0, |at| (*at).max(period.0.floor(width)));
    let last = agent.days.keys().next_back().map_or(period.1, |at| at.plus(width));
    (first, last)
}

/// Shares of outputs in [`BINS`] bins of equal width, and the mean; nothing where no output has a confidence.
fn spread(table: &ConfidenceTable) -> Option<(Vec<f64>, f64)> {
    let all = f64::from(table.total().outputs);
    if all <= 0.0 {
        return None;
    }
    let (mut shares, mut mean) = (vec![0.0; BINS], 0.0);
    for (bin, cell) in table.bins() {
        let (low, _) = edges(bin);
        let share = f64::from(cell.outputs) / all;
        mean += share * crate::engine::confidence::middle(bin);
        if let Some(mine) = shares.get_mut(((low * BINS as f64 + 1e-9) as usize).min(BINS - 1)) {
            *mine += share;
        }
    }
    Some((shares, mean))
}

/// How long a point is.
fn stretch(width: Span) -> &'static str {
    match width {
        Span::HOUR => "an hour",
        Span::DAY => "a day",
        _ => "a week",
    }
}

/// The name of an axis of time.
fn over(width: Span) -> String {
    format!("{} of the output, UTC", stretch(width).split(' ').nth(1).unwrap_or_default())
}

/// Versions that are marked; none where they came too often to tell them apart.
fn drawn_of(versions: &[Release]) -> Vec<Release> {
    if versions.len() > VERSIONS { Vec::new() } else { versions.to_vec() }
}

/// What is said of them.
fn came(versions: &[Release]) -> String {
    match versions.len() {
        0 => String::new(),
        n if n > VERSIONS => format!(" Versions came {n} times: too often to mark them."),
        _ => " Dotted: a version came.".to_owned(),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A version in a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct VersionRow {
    name: String,
    since: String,
    outputs: String,
    accuracy: String,
    escalation: String,
    cost: String,
    latency: String,
}

impl VersionRow {
    pub(super) fn of(version: &Version) -> Self {
        let maybe = |counts: Counts| if counts.n > 0 { share(wilson(counts, 0.95)) } else { "–".to_owned() };
        let scale = Scale::dollars(version.cost.mean);
        let fine = Scale::millis(percentile(&version.latency, 0.5).unwrap_or_default());
        let ms = |q| percentile(&version.latency, q).map(|x| fine.value(x));
        let all: Option<Vec<String>> = [0.5, 0.95, 0.99].into_iter().map(ms).collect();
        Self {
            name: version.name.clone(),
            since: version.since.map_or_else(String::new, day),
            outputs: count(version.outputs),
            accuracy: maybe(version.correct),
            escalation: maybe(version.escalated),
            cost: cost(version)
                .map_or_else(|| "–".to_owned(), |e| format!("{} ({})", scale.value(e.value), scale.interval(e))),
            latency: all.map_or_else(|| "–".to_owned(), |all| all.join(" / ")),
        }
    }
}

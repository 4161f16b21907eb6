//! `shewhart explain`: what every rule is worth on every stream.

use std::collections::BTreeMap;
use std::path::Path;

use super::args::{ExplainArgs, Format};
use super::table::{stream, table};
use super::{Invalid, OK, baseline, input, print, say};
use crate::edge::ledger::{LearntStream, Watched, open_read_only, watched};
use crate::engine::account::digits;
use crate::engine::baseline::{Baseline, Profile};
use crate::engine::chart::Chart;
use crate::engine::confidence::Place;
use crate::engine::detect::DesignCache;
use crate::engine::explain::{Explained, explain};
use crate::engine::memory::Memory;
use crate::engine::rule::{Measure, Rule};
use crate::engine::sketch::Pane;
use crate::engine::units::{Counts, Span, Timestamp};

/// A stream to explain rules on.
pub(super) struct Subject {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) baseline: Option<Baseline>,
    memory: Option<Memory>,
}

impl Subject {
    /// The chart that runs for a rule, where one does.
    pub(super) fn live(&self, rule: &Rule) -> Option<&Chart> {
        self.memory.as_ref()?.charts.get(&rule.detect.definition())
    }
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<u8> {
    let rules = input::rules(&args.rules)?;
    let subjects = subjects(args)?;
    let mut cache = DesignCache::new();
    let mut told = Vec::new();
    for subject in &subjects {
        for rule in rules.rules.iter().filter(|rule| rule.matches(&subject.labels)) {
            let live = subject.live(rule);
            let explained = explain(rule, &subject.labels, subject.baseline.as_ref(), live, &mut cache);
            told.extend(explained.map(|explained| (rule.detect.measure.clone(), explained)));
        }
    }
    let hopeless = told.iter().filter(|(_, explained)| explained.hopeless).count();
    match args.output {
        Format::Json => {
            let told: Vec<&Explained> = told.iter().map(|(_, explained)| explained).collect();
            print(&format!("{}\n", serde_json::to_string_pretty(&told)?));
        }
        Format::Text => told.iter().for_each(|(measure, explained)| print(&text(measure, explained))),
    }
    if told.is_empty() {
        say("no rule watches any of these streams");
    }
    if hopeless > 0 {
        say(&format!("{hopeless} of {} cannot do what they are there for; see above", told.len()));
    }
    Ok(if hopeless > 0 && args.strict { super::FINDING } else { OK })
}

fn subjects(args: &ExplainArgs) -> anyhow::Result<Vec<Subject>> {
    if let Some(path) = &args.db {
        return from_database(path);
    }
    if let Some(path) = &args.baseline {
        let set = baseline::read_streams(path)?;
        let subject = |(id, LearntStream { labels, profile }): (String, LearntStream)| Subject {
            labels,
            baseline: Some(Baseline { id, provisional: false, profile }),
            memory: None,
        };
        return Ok(set.into_iter().map(subject).collect());
    }
    Ok(vec![imagined(args)])
}

/// The streams that a daemon watches, of which there must be some.
pub(super) fn from_database(path: &Path) -> anyhow::Result<Vec<Subject>> {
    let subjects = watched_by(path)?;
    if subjects.is_empty() {
        return Err(Invalid(format!("{} holds no streams yet", path.display())).into());
    }
    Ok(subjects)
}

/// The streams that a daemon watches; none where it has seen none yet.
pub(super) fn watched_by(path: &Path) -> anyhow::Result<Vec<Subject>> {
    let subject = |Watched { labels, memory, baseline, .. }| Subject { labels, baseline, memory: Some(memory) };
    Ok(watched(&open_read_only(path)?)?.into_iter().map(subject).collect())
}

/// A stream that exists only to see what a rule would be worth: labelled outputs at a steady rate, and nothing else.
fn imagined(args: &ExplainArgs) -> Subject {
    let wrong = (args.labels as f64 * (1.0 - args.accuracy)).round() as u64;
    let correct = Counts { hits: args.labels.saturating_sub(wrong), n: args.labels };
    steady("imagined", args.per_day, Pane { correct, outputs: args.labels, ..Pane::default() })
}

/// A stream with more traffic, more verdicts and a larger baseline than nearly any agent has: what cannot be seen here
/// cannot be seen.
pub(super) fn generous() -> Subject {
    let outputs = 3_000_000;
    let bad = Counts { hits: outputs / 20, n: outputs };
    let status = [outputs - bad.hits, bad.hits, 0, 0];
    let pane = Pane { outputs, correct: bad.complement(), escalated: bad, overridden: bad, status, ..Pane::default() };
    steady("generous", 100_000.0, pane)
}

fn steady(name: &str, per_day: f64, pane: Pane) -> Subject {
    let start = Timestamp::from_millis(0);
    let span = Span::from_millis((pane.outputs as f64 / per_day.max(0.001) * 86_400_000.0) as i64);
    let mut profile = Profile { first: Some(start), last: Some(start.plus(span)), pane, ..Profile::default() };
    profile.delays.add_all(Span::ZERO, Place::NONE, profile.pane.correct);
    Subject {
        labels: BTreeMap::from([("agent".to_owned(), name.to_owned())]),
        baseline: Some(Baseline { id: name.to_owned(), provisional: false, profile }),
        memory: None,
    }
}

fn text(measure: &Measure, told: &Explained) -> String {
    let mut text = format!("{} on {}\n", told.rule, stream(&told.stream));
    let mut row = |name: &str, value: String| text.extend([format!("  {name:<10} {value}\n")]);
    if let (Some(limit), Some(arl0), Some(unit)) = (told.limit, told.arl0, told.unit) {
        let plural = match unit {
            "batch" => format!("batches of about {} outputs", digits(told.cases_per_sample, 2)),
            "case" if measure.counts_verdicts() => "labelled outputs".to_owned(),
            "case" => "outputs".to_owned(),
            other => format!("{other}s of about {} outputs", digits(told.cases_per_sample, 2)),
        };
        row("chart", format!("{}, limit {}", told.chart, digits(limit, 4)));
        let when = told.samples_per_day.map_or(String::new(), |rate| {
            format!(", which is {} days at {} a day", digits(arl0 / rate, 2), digits(rate, 3))
        });
        row("promise", format!("one false alarm in {} {plural}{when}", digits(arl0, 4)));
    }
    if told.arl0.is_none() && told.limit.is_some() {
        row("chart", told.chart.clone());
    }
    if let Some(baseline) = told.baseline_told(measure) {
        let value = told.baseline.map_or(0.0, |estimate| estimate.value);
        let fixed = format!("{}, fixed by the rule", crate::engine::account::value(measure, value));
        let designed = told.designed_for.filter(|_| told.baseline_n > 0);
        let designed = designed.map_or(String::new(), |level| {
            let level = crate::engine::account::value(measure, level);
            let share = digits(told.guarantee * 100.0, if told.guarantee > 0.99 { 3 } else { 2 });
            format!("; the limit is for {level}: kept for {share} % of baselines like this")
        });
        let from = if told.baseline_n > 0 { format!("{baseline} from {}", told.baseline_n) } else { fixed };
        row("baseline", format!("{from}{designed}"));
    }
    if let Some(phi) = told.overdispersion.filter(|phi| *phi >= 1.05) {
        row("spread", format!("batches differ {} times as much as chance would make them", digits(phi, 2)));
    }
    if let Some(price) = told.price_of_baseline.filter(|price| *price > 1.02) {
        row("price", format!("the baseline's own error makes the alert {:.0} % slower", 100.0 * (price - 1.0)));
    }
    for finding in &told.findings {
        row("limited by", finding.clone());
    }
    if !told.detects.is_empty() {
        let rows: Vec<Vec<String>> = told.detects.iter().map(cells).collect();
        let header = ["  a change of", "outputs", "9 in 10 within", "time", "9 in 10 within", "seen"];
        text.push_str(&table(&header, &rows));
    }
    text.push('\n');
    text
}

fn cells(detects: &crate::engine::explain::Detects) -> Vec<String> {
    let at_least = if detects.reached < 1.0 { ">" } else { "" };
    let none = || "-".to_owned();
    let hours = |hours: f64| {
        if hours < 48.0 { format!("{} h", digits(hours, 2)) } else { format!("{} d", digits(hours / 24.0, 2)) }
    };
    vec![
        format!("  {}", detects.size),
        format!("{at_least}{}", digits(detects.cases, 3)),
        detects.cases_q90.map_or_else(none, |q90| digits(q90, 3)),
        detects.hours.map_or_else(none, |h| format!("{at_least}{}", hours(h))),
        detects.hours_q90.map_or_else(none, hours),
        format!("{:.0} %", (detects.reached * 100.0).floor()),
    ]
}

//! `shewhart threshold`: what each threshold on confidence would do, on operational data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::table::{stream, table};
use super::{FINDING, Invalid, OK, db, print, say};
use crate::edge::ledger::{CountedStream, confidence_by_hour, streams_of};
use crate::engine::threshold::{Reached, Row, Thresholds, Uneven};
use crate::engine::units::{Estimate, Span, Timestamp};

/// `threshold`.
#[derive(Debug, Args)]
#[command(after_help = "Example: shewhart threshold --db data/shewhart.db --agent invoice-triage --accuracy 98%")]
pub struct ThresholdArgs {
    /// The daemon's database, or one that `replay --db` wrote
    #[arg(long)]
    pub db: PathBuf,
    /// Whose outputs
    #[arg(long)]
    pub agent: String,
    /// Only those of this task
    #[arg(long)]
    pub task: Option<String>,
    /// How far back from the newest output
    #[arg(long, default_value = "30d", conflicts_with_all = ["from", "to"])]
    pub since: Span,
    /// From when, RFC 3339; the hour that holds it counts
    #[arg(long)]
    pub from: Option<Timestamp>,
    /// Until when, RFC 3339; the hour that begins then does not count
    #[arg(long)]
    pub to: Option<Timestamp>,
    /// Which threshold gives this accuracy, like 98%
    #[arg(long, value_parser = accuracy)]
    pub accuracy: Option<f64>,
    /// Exit with 3 where no threshold is certain to give --accuracy
    #[arg(long, requires = "accuracy")]
    pub strict: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: RowFormat,
}

/// How a list of rows is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For spreadsheets, RFC 4180.
    Csv,
}

/// `98%` or `0.98`.
fn accuracy(text: &str) -> Result<f64, String> {
    let fault = || format!("`{text}` is not an accuracy; write it like 98% or 0.98, between 0 and 1");
    let (number, unit) = text.trim().strip_suffix('%').map_or((text.trim(), 1.0), |number| (number.trim(), 100.0));
    let share = number.parse::<f64>().map(|number| number / unit);
    share.ok().filter(|share| *share > 0.0 && *share < 1.0).ok_or_else(fault)
}

/// Steps of coverage at which people are shown a threshold, and programs.
const STEPS: (f64, f64) = (0.05, 0.01);

/// What is printed for programs.
#[derive(Serialize)]
struct Told<'t> {
    streams: Vec<&'t BTreeMap<String, String>>,
    from: String,
    to: String,
    outputs: u64,
    labels: u64,
    escalated: u64,
    in_force: Option<f64>,
    uneven_labels: Option<Uneven>,
    reached: Option<Reached>,
    thresholds: Vec<Row>,
}

pub(super) fn run(args: &ThresholdArgs) -> anyhow::Result<u8> {
    let connection = db::open(&args.db)?;
    let streams = streams_of(&connection, &args.agent, args.task.as_deref())?;
    let task = args.task.as_ref().map_or_else(String::new, |task| format!(" and task `{task}`"));
    let who = format!("agent `{}`{task}", args.agent);
    let Some(newest) = streams.iter().map(|stream| stream.newest).max() else {
        let what = "no stream of it is known; `shewhart status` lists what is there";
        return Err(Invalid(format!("{}: {who}: {what}", args.db.display())).into());
    };
    let span = span(args, newest);
    let hours = confidence_by_hour(&connection, &streams, span)?;
    // What is told is the time of the outputs, which may be less than was asked for.
    let ends = |at: &Timestamp| (*at, at.plus(Span::HOUR));
    let told = hours.keys().next().map(ends).zip(hours.keys().next_back().map(ends));
    let span = told.map_or(span, |((first, _), (_, last))| (first, last));
    let Some(found) = Thresholds::by_hours(hours) else {
        let what = "no output between them has a confidence; outputs state it in `confidence`";
        return Err(Invalid(format!("{who}, {} to {}: {what}", span.0, span.1)).into());
    };
    let reached = args.accuracy.map(|accuracy| found.reaching(accuracy));
    match args.output {
        RowFormat::Text => print(&text(&found, reached.as_ref(), &streams, span)),
        RowFormat::Json => {
            let told = Told {
                streams: streams.iter().map(|stream| &stream.labels).collect(),
                from: span.0.to_string(),
                to: span.1.to_string(),
                outputs: found.outputs,
                labels: found.labels,
                escalated: found.escalated,
                in_force: found.in_force,
                uneven_labels: found.uneven,
                reached,
                thresholds: found.at_coverages(STEPS.1),
            };
            print(&format!("{}\n", serde_json::to_string_pretty(&told)?));
        }
        RowFormat::Csv => print(&csv(&found.at_coverages(STEPS.1))),
    }
    let certain = reached.is_none_or(|reached| reached.certain.is_some());
    if !certain && args.strict {
        say("no threshold is certain to give that accuracy");
        return Ok(FINDING);
    }
    Ok(OK)
}

/// The hours that were asked for: the first, and the first that no longer counts.
fn span(args: &ThresholdArgs, newest: Timestamp) -> (Timestamp, Timestamp) {
    let end = newest.floor(Span::HOUR).plus(Span::HOUR);
    if args.from.is_none() && args.to.is_none() {
        return (end.minus(args.since), end);
    }
    let from = args.from.map_or(Timestamp::MIN, |from| from.floor(Span::HOUR));
    (from, args.to.unwrap_or(end))
}

fn text(
    found: &Thresholds,
    reached: Option<&Reached>,
    streams: &[CountedStream],
    (from, to): (Timestamp, Timestamp),
) -> String {
    let names: Vec<String> = streams.iter().map(|one| super::table::plain(&stream(&one.labels))).collect();
    let escalated = found.escalated as f64 / found.outputs as f64;
    let mut parts = vec![format!(
        "{}\n{from} to {to}: {} outputs with a confidence, {} with a verdict, {} handed to a person\n",
        names.join("\n"),
        found.outputs,
        found.labels,
        percent(escalated),
    )];
    if let Some(in_force) = found.in_force {
        parts.push(format!("in force: outputs below {in_force} are handed to a person already\n"));
    }
    if let Some(Uneven { least, most, labels_alone }) = found.uneven {
        parts.push(format!(
            "labels are not spread evenly over confidence ({} of some outputs, {} of others): accuracy is weighted by \
             outputs; the labels alone would say {}\n",
            percent(least),
            percent(most),
            percent(labels_alone)
        ));
    }
    let rows: Vec<Vec<String>> = found.at_coverages(STEPS.0).iter().map(|row| cells(row, found.in_force)).collect();
    parts.push(format!(
        "\n{}",
        table(&["from", "coverage", "accuracy (95 %)", "escalated (95 %)", "labels", ""], &rows)
    ));
    if let Some(reached) = reached {
        parts.push(format!("\n{}", answer(reached)));
    }
    parts.concat()
}

fn cells(row: &Row, in_force: Option<f64>) -> Vec<String> {
    vec![
        row.threshold.to_string(),
        percent(row.coverage.value),
        row.accuracy.as_ref().map_or_else(|| "-".to_owned(), interval),
        interval(&row.escalation),
        row.labels.to_string(),
        if in_force == Some(row.threshold) { "in force".to_owned() } else { String::new() },
    ]
}

/// What was asked, in words.
fn answer(reached: &Reached) -> String {
    let asked = percent(reached.accuracy);
    let gives = |row: &Row| {
        let accuracy = row.accuracy.as_ref().map_or_else(|| "-".to_owned(), interval);
        let (coverage, escalation) = (percent(row.coverage.value), interval(&row.escalation));
        format!(
            "{}: accuracy {accuracy}, coverage {coverage}, escalated {escalation}, {} labels",
            row.threshold, row.labels
        )
    };
    let first = match (&reached.certain, &reached.likely) {
        (Some(row), _) => format!("{asked} is certain from {}\n", gives(row)),
        (None, Some(_)) => format!("{asked} is certain from no threshold\n"),
        (None, None) => format!("{asked} is not reached at any threshold\n"),
    };
    let likely = reached.likely.as_ref().map(|row| format!("{asked} is likely from {}\n", gives(row)));
    let certain = reached.certain.is_none().then(|| {
        match (&reached.nearest, reached.labels_needed) {
            (Some(row), Some(needed)) => {
                let (from, labels) = (row.threshold, row.labels);
                format!(
                    "it would be certain from {from} with about {needed} labels there instead of {labels}, if they say the same\n"
                )
            }
            (Some(row), None) => format!("the best is {}\n", gives(row)),
            (None, _) => "there are fewer than 30 labels: too few to say anything\n".to_owned(),
        }
    });
    [Some(first), likely, certain].into_iter().flatten().collect()
}

fn csv(rows: &[Row]) -> String {
    let head = "threshold,outputs,coverage,coverage_low,coverage_high,accuracy,accuracy_low,accuracy_high,\
                escalation,escalation_low,escalation_high,labels,effective_labels\r\n";
    let three =
        |e: Option<Estimate>| e.map_or_else(|| ",,".to_owned(), |e| format!("{},{},{}", e.value, e.low, e.high));
    let line = |row: &Row| {
        let Row { threshold, outputs, labels, effective_labels, .. } = row;
        let [coverage, accuracy, escalation] = [Some(row.coverage), row.accuracy, Some(row.escalation)].map(three);
        format!("{threshold},{outputs},{coverage},{accuracy},{escalation},{labels},{effective_labels}\r\n")
    };
    std::iter::once(head.to_owned()).chain(rows.iter().map(line)).collect()
}

fn percent(share: f64) -> String {
    format!("{:.*} %", decimals(share), share * 100.0)
}

/// Near 0 and 1 a tenth of a point is too coarse.
fn decimals(share: f64) -> usize {
    if (0.995..1.0).contains(&share) || (share > 0.0 && share < 0.005) { 2 } else { 1 }
}

fn interval(e: &Estimate) -> String {
    let decimals = decimals(e.value);
    format!("{} ({:.decimals$} to {:.decimals$})", percent(e.value), e.low * 100.0, e.high * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accuracy_is_read_as_people_write_it() {
        for text in ["98%", "98 %", "0.98", " 98% "] {
            assert!((accuracy(text).unwrap() - 0.98).abs() < 1e-12, "{text}");
        }
        for text in ["98", "0", "100%", "high", "", "NaN", "-2%"] {
            assert!(accuracy(text).unwrap_err().contains("98%"), "{text}");
        }
    }

    #[test]
    fn shares_near_the_ends_keep_another_digit() {
        assert_eq!([0.9987, 1.0, 0.98, 0.0042, 0.0].map(percent), ["99.87 %", "100.0 %", "98.0 %", "0.42 %", "0.0 %"]);
    }
}

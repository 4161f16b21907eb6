//! What a judged replay has to say, as sections of lines and tables: for a terminal or for a pull request.

use std::collections::BTreeMap;

use super::super::table;
use crate::engine::account::digits;
use crate::replay::{Comparison, Finding, Incidents, Score, Seen, Tallies, Tally, Verdict};

/// A part of the report.
pub(super) struct Section {
    /// Its heading.
    pub(super) title: &'static str,
    /// Sentences above the tables.
    pub(super) lines: Vec<String>,
    /// Tables, each with a caption that may be empty.
    pub(super) tables: Vec<Table>,
}

/// A table with its header.
pub(super) struct Table {
    pub(super) caption: String,
    pub(super) header: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

/// Every section of a verdict, the outcome of the gate first.
pub(super) fn sections(verdict: &Verdict) -> Vec<Section> {
    let mut sections = Vec::new();
    if !verdict.gate.is_empty() {
        sections.push(gate(verdict));
    }
    if let Some(incidents) = &verdict.incidents {
        sections.push(incidents_section(incidents, verdict));
    }
    if let Some(comparison) = &verdict.against {
        sections.push(comparison_section(comparison));
    }
    sections.push(rates(verdict));
    sections
}

/// The alerts, as a section of their own.
pub(super) fn alerts(findings: &[&Finding]) -> Section {
    let rows: Vec<Vec<String>> = findings.iter().map(|finding| finding_row(finding)).collect();
    let table = Table { caption: String::new(), header: FINDING.to_vec(), rows };
    Section { title: "Alerts", lines: Vec::new(), tables: vec![table] }
}

/// The columns of alerts.
const FINDING: [&str; 6] = ["fired at", "severity", "alert", "stream", "outputs", "labels"];

/// The sections for a terminal.
pub(super) fn text(sections: &[Section]) -> String {
    let mut out = Vec::new();
    for section in sections {
        out.push(format!("\n{}\n", section.title));
        for line in &section.lines {
            out.push(format!("  {line}\n"));
        }
        for table in &section.tables {
            out.push("\n".to_owned());
            if !table.caption.is_empty() {
                out.push(format!("  {}\n", table.caption));
            }
            for line in table::table(&table.header, &table.rows).lines() {
                out.push(format!("  {line}\n"));
            }
        }
    }
    out.concat()
}

fn gate(verdict: &Verdict) -> Section {
    let row = |check: &crate::replay::Check| {
        vec![if check.kept { "kept" } else { "BROKEN" }.to_owned(), check.bound.clone(), check.found.clone()]
    };
    let broken = verdict.gate.iter().filter(|check| !check.kept).count();
    let line = match broken {
        0 => "The gate is open: every bound is kept.".to_owned(),
        n => format!("The gate is shut: {n} of {} bounds broken.", verdict.gate.len()),
    };
    let table = Table {
        caption: String::new(),
        header: vec!["", "bound", "found"],
        rows: verdict.gate.iter().map(row).collect(),
    };
    Section { title: "Gate", lines: vec![line], tables: vec![table] }
}

fn incidents_section(incidents: &Incidents, verdict: &Verdict) -> Section {
    let total = incidents.scores.len();
    let delays = match (&incidents.median_delay, &incidents.delays) {
        (Some(median), Some([least, most])) => format!("; median delay {median} ({least} to {most})"),
        _ => String::new(),
    };
    let mut lines = vec![format!("{} of {total} incidents found{delays}.", incidents.found)];
    for injected in &verdict.injected {
        let is_of = |score: &&Score| {
            let name = score.name.strip_prefix(&injected.what);
            score.injected && name.is_some_and(|rest| rest.is_empty() || rest.starts_with(" on "))
        };
        let scores: Vec<&Score> = incidents.scores.iter().filter(is_of).collect();
        let found: Vec<&Seen> = scores.iter().filter_map(|score| score.found.as_ref()).collect();
        let seen = match (scores.len(), found.as_slice()) {
            (0 | 1, [seen]) => format!(
                "would have been seen after {} labelled events, {} outputs, {}, by {}",
                seen.labels, seen.outputs, seen.delay, seen.alert
            ),
            (0 | 1, _) => "would not have been seen".to_owned(),
            (all, found) => format!("would have been seen on {} of {all} streams", found.len()),
        };
        lines.push(format!("Injected: {}: {} records changed; it {seen}.", injected.what, injected.changed));
        if !injected.unknown.is_empty() {
            let streams = injected.unknown.join("; ");
            lines.push(format!("Not changed, because nothing is known of their level before: {streams}."));
        }
    }
    let before = incidents.scores.iter().any(|score| score.before.is_some());
    let mut header = vec!["incident", "from", "found by", "on", "delay", "outputs", "labels"];
    if before {
        header.push("old rules");
    }
    let rows = incidents.scores.iter().map(score_row).collect();
    Section { title: "Incidents", lines, tables: vec![Table { caption: String::new(), header, rows }] }
}

fn score_row(score: &Score) -> Vec<String> {
    let mut row = vec![score.name.clone(), score.from.clone()];
    if let Some(Seen { alert, stream, delay, outputs, labels, .. }) = &score.found {
        row.extend([alert.clone(), stream.clone(), delay.clone(), outputs.to_string(), labels.to_string()]);
    } else {
        row.push(match &score.already {
            Some(alert) => format!("missed; firing before: {alert}"),
            None if score.unwatched => "missed; it began before anything was watched".to_owned(),
            None => "missed".to_owned(),
        });
        row.extend(std::iter::repeat_n(String::new(), 4));
    }
    row.extend(score.before.as_ref().map(|before| match (&before.found, &score.found) {
        (None, None) => "missed too".to_owned(),
        (None, Some(_)) => "missed".to_owned(),
        (Some(old), Some(new)) if old.delay_ms == new.delay_ms => "the same".to_owned(),
        (Some(old), _) => format!("{} by {}", old.delay, old.alert),
    }));
    row
}

fn comparison_section(comparison: &Comparison) -> Section {
    let Comparison { added, removed, moved, same, paired, .. } = comparison;
    let mut lines = vec![format!(
        "{} alerts added, {} removed, {} moved, {same} as before.",
        added.len(),
        removed.len(),
        moved.len()
    )];
    for (what, rules) in [("New rules", &comparison.rules_added), ("Rules gone", &comparison.rules_removed)] {
        if !rules.is_empty() {
            lines.push(format!("{what}: {}.", rules.join(", ")));
        }
    }
    if paired.only_new + paired.only_old > 0 {
        lines.push(format!(
            "Alarms of the new rules alone: {}; of the old ones alone: {}; chance of a split at least so uneven were both \
             alike: {} (exact sign test; takes alarms as independent).",
            paired.only_new,
            paired.only_old,
            digits(paired.p_value, 2)
        ));
    }
    let mut tables = Vec::new();
    for (caption, findings) in [("added", added), ("removed", removed)] {
        if !findings.is_empty() {
            let rows = findings.iter().map(finding_row).collect();
            tables.push(Table { caption: caption.to_owned(), header: FINDING.to_vec(), rows });
        }
    }
    if !moved.is_empty() {
        let row = |m: &crate::replay::Moved| {
            let counts = [m.by_outputs, m.by_labels].map(|n| format!("{n:+}"));
            let [outputs, labels] = counts;
            vec![m.alert.clone(), on(&m.stream), m.old_at.clone(), m.new_at.clone(), m.by.clone(), outputs, labels]
        };
        let header = vec!["alert", "stream", "old rules", "new rules", "moved", "outputs", "labels"];
        tables.push(Table { caption: "moved".to_owned(), header, rows: moved.iter().map(row).collect() });
    }
    Section { title: "Against the old rules", lines, tables }
}

fn finding_row(f: &Finding) -> Vec<String> {
    vec![f.at.clone(), f.severity.clone(), f.alert.clone(), on(&f.stream), f.outputs.to_string(), f.labels.to_string()]
}

fn on(stream: &BTreeMap<String, String>) -> String {
    table::stream(stream)
}

fn rates(verdict: &Verdict) -> Section {
    let Tallies { weeks, rules, total } = &verdict.tallies;
    let what = match (verdict.alarms_are_false, verdict.injected.as_slice()) {
        (true, _) => "Counted are alerts outside every incident: the false ones.",
        (false, []) => "Counted are all alerts, true or not: without --incidents nothing tells them apart.",
        (false, _) => {
            "Counted are all alerts outside the injections, true or not: without --incidents nothing tells them apart."
        }
    };
    let watched = format!(
        "{weeks:.2} weeks of stream time were watched, all streams together. A week's rate stands with its exact 95 % \
         Poisson interval."
    );
    let old = verdict.against.as_ref().map(|comparison| &comparison.old);
    let mut header = vec!["rule", "alarms", "a week", "95 %", "promised a week"];
    if old.is_some() {
        header.extend(["old alarms", "old a week"]);
    }
    let old_of = |tally: &Tally| {
        let old = old?;
        let all = old.rules.iter().chain(std::iter::once(&old.total));
        Some(all.into_iter().find(|other| other.rule == tally.rule).cloned())
    };
    let row = |tally: &Tally| {
        let mut row = vec![tally.rule.clone(), tally.alarms.to_string()];
        row.extend([number(tally.per_week), interval(tally.interval), number(tally.promised_per_week)]);
        if let Some(old) = old_of(tally) {
            row.extend(old.map_or_else(
                || ["no such rule".to_owned(), String::new()],
                |old| [old.alarms.to_string(), number(old.per_week)],
            ));
        }
        row
    };
    let rows = rules.iter().chain(std::iter::once(total)).map(row).collect();
    let table = Table { caption: String::new(), header, rows };
    Section { title: "False alarms and what was promised", lines: vec![what.to_owned(), watched], tables: vec![table] }
}

fn number(x: Option<f64>) -> String {
    x.map_or_else(|| "-".to_owned(), |x| digits(x, 3))
}

fn interval(ends: Option<[f64; 2]>) -> String {
    ends.map_or_else(|| "-".to_owned(), |[low, high]| format!("{} to {}", digits(low, 3), digits(high, 3)))
}

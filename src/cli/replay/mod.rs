//! `shewhart replay`: the same engine over recorded events, alone or as a gate for changes of rules.

mod incidents;
mod markdown;
mod report;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::args::{ReplayArgs, ReportFormat};
use super::table::table;
use super::{FINDING, Invalid, OK, input, print, say};
use crate::edge::ledger::{Commit, Filling, Identity, open_read_only};
use crate::engine::Settings;
use crate::engine::baseline::BaselineSet;
use crate::engine::event::Why;
use crate::engine::route::{Pace, Policy, Route};
use crate::engine::units::Timestamp;
use crate::replay::{Bounds, Finding, Injector, Replay, Trial, Verdict};

/// Records between two commits to `--db`: many, for nobody waits for one of them, and each writes every stream that changed.
const BATCH: u64 = 100_000;

#[derive(Serialize)]
struct Report<'r> {
    events: u64,
    outputs: u64,
    feedback: u64,
    rejected: u64,
    unjoined: u64,
    streams: usize,
    alerts: Vec<&'r Finding>,
    #[serde(flatten)]
    verdict: Option<&'r Verdict>,
}

pub(super) fn replay(args: &ReplayArgs) -> anyhow::Result<u8> {
    let bounds = bounds(args)?;
    let mut trial = trial(args)?;
    let mut filling = args.db.as_deref().map(|path| new_file(path, args)).transpose()?;
    let bar = input::progress_bar(&args.events);
    let mut since_commit = 0;
    let each = |line: &[u8]| {
        trial.record(line);
        since_commit += 1;
        if since_commit == BATCH {
            since_commit = 0;
            trial.forget_old();
            commit(trial.new_rules_mut(), filling.as_mut())?;
        }
        Ok(())
    };
    let events = input::each_line(&args.events, each, &|read| bar.set_position(read))?;
    commit(trial.new_rules_mut(), filling.as_mut())?;
    filling.map_or(Ok(()), Filling::end)?;
    bar.finish_and_clear();
    let verdict = (is_judged(args) || args.output == ReportFormat::Markdown).then(|| trial.verdict(&bounds));
    report(trial.new_rules(), events, verdict.as_ref(), args.output)?;
    Ok(if verdict.is_none_or(|verdict| verdict.passes()) { OK } else { FINDING })
}

/// Whether more is asked than which alerts there would have been.
fn is_judged(args: &ReplayArgs) -> bool {
    !args.against.is_empty() || !args.inject.is_empty() || args.incidents.is_some() || args.max_false_alarms.is_some()
}

fn bounds(args: &ReplayArgs) -> anyhow::Result<Bounds> {
    let incidents = args.incidents.is_some() || !args.inject.is_empty();
    if !incidents && (args.max_missed.is_some() || args.max_delay.is_some()) {
        let what = "--max-missed and --max-delay are about incidents: give --incidents FILE or --inject CHANGE too";
        return Err(Invalid(what.to_owned()).into());
    }
    Ok(Bounds {
        missed: args.max_missed,
        false_alarms: args.max_false_alarms,
        delay: args.max_delay,
        added: args.max_added,
    })
}

/// The rules to try, and those to compare with, on streams that have seen nothing.
fn trial(args: &ReplayArgs) -> anyhow::Result<Trial> {
    let rules = Arc::new(input::rules(&args.rules)?);
    let old = (!args.against.is_empty()).then(|| input::rules(&args.against).map(Arc::new)).transpose()?;
    let baselines = Arc::new(baselines(args)?);
    let mut group_by = args.group_by.clone();
    group_by.sort_unstable();
    group_by.dedup();
    let incidents = args.incidents.as_deref().map(|path| incidents::read(path, &group_by)).transpose()?;
    let streams = (group_by.as_slice(), args.join_outputs);
    let injector = Injector::new(args.inject.clone(), args.seed, streams, Arc::clone(&baselines)).map_err(Invalid)?;
    let settings = Settings {
        provisional_outputs: args.baseline_first.unwrap_or(Settings::default().provisional_outputs),
        recent_outputs: args.join_outputs,
        group_by: group_by.clone(),
        ..Settings::default()
    };
    let replay = |rules| Replay::new(settings.clone(), rules, Arc::clone(&baselines), policy("replay"));
    Ok(Trial::new((replay(rules), old.map(replay)), incidents, injector, &group_by))
}

/// Who would have been told: one imaginary receiver, so that the database shows the messages too.
pub(super) fn policy(receiver: &str) -> Policy {
    Policy::new(vec![Route::to(receiver, &["alertname", "agent"], Pace::default())])
}

fn baselines(args: &ReplayArgs) -> anyhow::Result<BaselineSet> {
    let Some(name) = &args.baseline else { return Ok(BaselineSet::default()) };
    match &args.baseline_db {
        Some(db) => super::baseline::load(&open_read_only(db)?, name),
        None => super::baseline::read_file(Path::new(name)),
    }
}

fn new_file(path: &Path, args: &ReplayArgs) -> anyhow::Result<Filling> {
    if path.exists() {
        return Err(Invalid(format!("{} is there already; a replay writes a new file", path.display())).into());
    }
    let group_by: Vec<&str> = args.group_by.iter().map(|group| group.as_str()).collect();
    Ok(Filling::begin(path, &Identity { topic: "replay".to_owned(), group_by: group_by.join(",") })?)
}

fn commit(replay: &mut Replay, filling: Option<&mut Filling>) -> anyhow::Result<()> {
    let effects = replay.take_effects();
    let messages = replay.take_messages();
    let now = replay.now().unwrap_or(Timestamp::MIN);
    let (engine, router) = replay.parts();
    let Some(ledger) = filling.and_then(Filling::ledger) else {
        engine.forget_unwritten();
        return Ok(());
    };
    ledger.commit(Commit {
        engines: vec![(engine, None)],
        effects: &effects,
        messages: &messages,
        router: router.as_ref(),
        ..Commit::at(now)
    })?;
    Ok(())
}

fn report(replay: &Replay, events: u64, verdict: Option<&Verdict>, format: ReportFormat) -> anyhow::Result<()> {
    let counters = replay.engine().position().counters;
    let rejected = counters.rejected.iter().sum();
    let report = Report {
        events,
        outputs: counters.outputs,
        feedback: counters.feedback,
        rejected,
        unjoined: counters.unjoined,
        streams: replay.engine().streams().len(),
        alerts: replay.findings().collect(),
        verdict,
    };
    if format == ReportFormat::Json {
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?));
        return Ok(());
    }
    let Report { outputs, feedback, streams, .. } = report;
    let counted = format!(
        "{events} events, {outputs} outputs, {feedback} feedback, {streams} streams, {} alerts",
        report.alerts.len()
    );
    if rejected > 0 {
        let by = Why::ALL.iter().zip(counters.rejected).filter(|(_, n)| *n > 0);
        let parts: Vec<String> = by.map(|(why, n)| format!("{} {n}", why.as_str())).collect();
        say(&format!("{rejected} records were not counted: {}", parts.join(", ")));
    }
    if counters.unjoined > 0 {
        say(&format!("{} verdicts found no output and count for their agent as a whole", counters.unjoined));
    }
    let mut sections = verdict.map(report::sections).unwrap_or_default();
    if format == ReportFormat::Markdown {
        if !report.alerts.is_empty() {
            sections.push(report::alerts(&report.alerts));
        }
        print(&markdown::markdown(&format!("Rules tried on {counted}"), &sections));
        return Ok(());
    }
    print(&format!("{counted}\n"));
    if !report.alerts.is_empty() {
        print(&format!("\n{}", findings_table(&report.alerts)));
    }
    print(&report::text(&sections));
    Ok(())
}

fn findings_table(findings: &[&Finding]) -> String {
    let rows: Vec<Vec<String>> = findings.iter().map(|finding| row(finding)).collect();
    let header = [
        "fired at",
        "severity",
        "alert",
        "stream",
        "outputs",
        "labels",
        "baseline",
        "since change",
        "changed at",
        "ended at",
    ];
    table(&header, &rows)
}

fn row(f: &Finding) -> Vec<String> {
    let stream: Vec<String> = f.stream.values().cloned().collect();
    let level = |x: Option<f64>| x.map(|x| crate::engine::account::digits(x, 4)).unwrap_or_default();
    vec![
        f.at.clone(),
        f.severity.clone(),
        f.alert.clone(),
        stream.join(" / "),
        f.outputs.to_string(),
        f.labels.to_string(),
        level(f.baseline),
        level(f.estimate),
        f.changed_at.clone().unwrap_or_default(),
        f.resolved_at.clone().unwrap_or_else(|| "still firing".to_owned()),
    ]
}

//! `shewhart replay`: the same engine over recorded events.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::args::{Format, ReplayArgs};
use super::table::table;
use super::{Invalid, OK, input, print, say};
use crate::edge::ledger::{Commit, Identity, Ledger, NoPayloads, open_read_only};
use crate::engine::Settings;
use crate::engine::baseline::BaselineSet;
use crate::engine::event::Why;
use crate::engine::route::{Pace, Policy, Route};
use crate::engine::units::Timestamp;
use crate::replay::{Finding, Replay};

/// Records between two commits to `--db`, as many as a batch of the daemon holds.
const BATCH: u64 = 5_000;

#[derive(Serialize)]
struct Report<'r> {
    events: u64,
    outputs: u64,
    feedback: u64,
    rejected: u64,
    unjoined: u64,
    streams: usize,
    alerts: Vec<&'r Finding>,
}

pub(super) fn replay(args: &ReplayArgs) -> anyhow::Result<u8> {
    let rules = Arc::new(input::rules(&args.rules)?);
    let baselines = Arc::new(baselines(args)?);
    let mut group_by = args.group_by.clone();
    group_by.sort_unstable();
    group_by.dedup();
    let settings = Settings {
        provisional_outputs: args.baseline_first.unwrap_or(Settings::default().provisional_outputs),
        recent_outputs: args.join_outputs,
        group_by,
        ..Settings::default()
    };
    let mut ledger = args.db.as_deref().map(|path| new_ledger(path, args)).transpose()?;
    let mut replay = Replay::new(settings, rules, baselines, policy());
    let bar = input::progress_bar(&args.events);
    let mut since_commit = 0;
    let each = |line: &[u8]| {
        replay.record(line);
        since_commit += 1;
        if since_commit == BATCH {
            since_commit = 0;
            commit(&mut replay, ledger.as_mut())?;
        }
        Ok(())
    };
    let events = input::each_line(&args.events, each, &|read| bar.set_position(read))?;
    commit(&mut replay, ledger.as_mut())?;
    bar.finish_and_clear();
    report(&replay, events, args.output)?;
    Ok(OK)
}

/// Who would have been told: one imaginary receiver, so that the database shows the messages too.
fn policy() -> Policy {
    Policy::new(vec![Route::to("replay", &["alertname", "agent"], Pace::default())])
}

fn baselines(args: &ReplayArgs) -> anyhow::Result<BaselineSet> {
    let Some(name) = &args.baseline else { return Ok(BaselineSet::default()) };
    match &args.baseline_db {
        Some(db) => super::baseline::load(&open_read_only(db)?, name),
        None => super::baseline::read_file(Path::new(name)),
    }
}

fn new_ledger(path: &Path, args: &ReplayArgs) -> anyhow::Result<Ledger> {
    if path.exists() {
        return Err(Invalid(format!("{} is there already; a replay writes a new file", path.display())).into());
    }
    let group_by: Vec<&str> = args.group_by.iter().map(|group| group.as_str()).collect();
    Ok(Ledger::open_file(path, &Identity { topic: "replay".to_owned(), group_by: group_by.join(",") })?)
}

fn commit(replay: &mut Replay, ledger: Option<&mut Ledger>) -> anyhow::Result<()> {
    let effects = replay.take_effects();
    let messages = replay.take_messages();
    let now = replay.now().unwrap_or(Timestamp::MIN);
    let (engine, router) = replay.parts();
    let Some(ledger) = ledger else {
        engine.forget_unwritten();
        return Ok(());
    };
    ledger.commit(Commit {
        engines: vec![(engine, None)],
        effects: &effects,
        payload: &NoPayloads,
        messages: &messages,
        router: router.as_ref(),
        acts: &[],
        gaps: &[],
        rule_set: None,
        now,
    })?;
    Ok(())
}

fn report(replay: &Replay, events: u64, format: Format) -> anyhow::Result<()> {
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
    };
    if format == Format::Json {
        print(&format!("{}\n", serde_json::to_string_pretty(&report)?));
        return Ok(());
    }
    let Report { outputs, feedback, streams, .. } = report;
    print(&format!(
        "{events} events, {outputs} outputs, {feedback} feedback, {streams} streams, {} alerts\n",
        report.alerts.len()
    ));
    if rejected > 0 {
        let by = Why::ALL.iter().zip(counters.rejected).filter(|(_, n)| *n > 0);
        let parts: Vec<String> = by.map(|(why, n)| format!("{} {n}", why.as_str())).collect();
        say(&format!("{rejected} records were not counted: {}", parts.join(", ")));
    }
    if counters.unjoined > 0 {
        say(&format!("{} verdicts found no output and count for their agent as a whole", counters.unjoined));
    }
    if !report.alerts.is_empty() {
        print(&format!("\n{}", findings_table(&report.alerts)));
    }
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

//! `shewhart baseline`: learn, import, export, list, show, promote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::args::{BaselineArgs, BaselineCommand, Format};
use super::calibration::picture;
use super::table::table;
use super::{Invalid, OK, input, print, say};
use crate::edge::clock;
use crate::edge::ledger::{Act, BaselineRow, Baselines, LearntStream, baselines, open_read_only};
use crate::engine::baseline::BaselineSet;
use crate::engine::detect::design::interval::clopper_pearson;
use crate::engine::detect::labels_needed;
use crate::engine::route::Policy;
use crate::engine::rule::RuleSet;
use crate::engine::units::Timestamp;
use crate::engine::{Group, Settings};
use crate::replay::Replay;

pub(super) fn baseline(args: &BaselineArgs) -> anyhow::Result<u8> {
    match &args.command {
        BaselineCommand::Learn { db, from, name, group_by, promote, why } => {
            let streams = learn(from, group_by)?;
            let sources: Vec<String> = from.iter().map(|path| path.display().to_string()).collect();
            let id = write(db, name, &sources.join(", "), &streams, why)?;
            print(&format!("learnt {id} from {} streams\n\n{}", streams.len(), show_table(&streams)));
            warn_small(&streams);
            if *promote {
                promote_id(db, &id, why)?;
            } else {
                say(&format!("not in force yet: shewhart baseline promote --db {} {id} --why ...", db.display()));
            }
        }
        BaselineCommand::Import { db, file, name, why } => {
            let streams = read_exported(file)?.streams;
            let id = write(db, name, &file.display().to_string(), &streams, why)?;
            print(&format!("imported {id}, {} streams\n", streams.len()));
        }
        BaselineCommand::Export { db, id, out } => {
            let db = open_read_only(db)?;
            let row = find(&db, id)?;
            let exported =
                Exported { id: row.id.clone(), source: row.source, streams: baselines::streams(&db, &row.id)? };
            std::fs::write(out, serde_json::to_vec_pretty(&exported)?)
                .with_context(|| format!("cannot write {}", out.display()))?;
            print(&format!("wrote {} to {}\n", exported.id, out.display()));
        }
        BaselineCommand::List { db, output } => list(&open_read_only(db)?, *output)?,
        BaselineCommand::Show { db, id, calibration, output } => {
            show(&open_read_only(db)?, id, (*calibration, *output))?;
        }
        BaselineCommand::Promote { db, id, why } => {
            let found = find(&open_read_only(db)?, id)?.id;
            promote_id(db, &found, why)?;
        }
    }
    Ok(OK)
}

/// A baseline in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exported {
    id: String,
    source: String,
    streams: BTreeMap<String, LearntStream>,
}

/// Learns the profile of every stream of these files: all of their outputs are Phase I.
pub(super) fn learn(from: &[PathBuf], group_by: &[Group]) -> anyhow::Result<BTreeMap<String, LearntStream>> {
    let mut group_by = group_by.to_vec();
    group_by.sort_unstable();
    group_by.dedup();
    let settings =
        Settings { group_by, provisional_outputs: u64::MAX, recent_outputs: 10_000_000, ..Settings::default() };
    let rules = Arc::new(RuleSet::new(Vec::new()));
    let mut replay = Replay::new(settings, rules, Arc::default(), Policy::new(Vec::new()));
    let bar = input::progress_bar(from);
    let each = |line: &[u8]| {
        replay.record(line);
        drop(replay.take_effects());
        let (engine, _) = replay.parts();
        engine.forget_unwritten();
        Ok(())
    };
    input::each_line(from, each, &|read| bar.set_position(read))?;
    bar.finish_and_clear();
    let streams: BTreeMap<String, LearntStream> = replay
        .engine()
        .streams()
        .filter_map(|stream| {
            let profile = stream.learnt_so_far()?;
            Some((stream.key.to_string(), LearntStream { labels: stream.labels(), profile }))
        })
        .collect();
    if streams.is_empty() {
        return Err(Invalid("there is no output in these files to learn from".to_owned()).into());
    }
    Ok(streams)
}

fn write(
    db: &Path,
    name: &str,
    source: &str,
    streams: &BTreeMap<String, LearntStream>,
    why: &str,
) -> anyhow::Result<String> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return Err(Invalid(format!("the name `{name}` may hold letters, digits, - _ and .")).into());
    }
    let folder = db.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.exists()) {
        let folder = folder.display();
        return Err(Invalid(format!("the folder {folder} is not there; make it: mkdir -m 700 {folder}")).into());
    }
    Ok(Baselines::open(db)?.learn(name, source, streams, &act(why))?)
}

fn promote_id(db: &Path, id: &str, why: &str) -> anyhow::Result<()> {
    Baselines::open(db)?.promote(id, &act(why))?;
    print(&format!("{id} is in force\n"));
    Ok(())
}

/// Who acts: the name that the system knows for the user, as far as it is told.
fn act(why: &str) -> Act<'_> {
    Act { now: clock::now(), who: crate::config::user(), why }
}

/// The row of `NAME@VERSION`, or the newest of `NAME`.
fn find(db: &Connection, id: &str) -> anyhow::Result<BaselineRow> {
    let rows = baselines::list(db)?;
    let newest = rows.iter().filter(|row| row.name == id).max_by_key(|row| row.version);
    let found = rows.iter().find(|row| row.id == id).or(newest).cloned();
    found.ok_or_else(|| {
        let known: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        Invalid(format!(
            "there is no baseline `{id}`; there are: {}",
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        ))
        .into()
    })
}

/// The baseline of that name, to compare with.
pub(super) fn load(db: &Connection, id: &str) -> anyhow::Result<BaselineSet> {
    let row = find(db, id)?;
    let streams = baselines::streams(db, &row.id)?.into_iter().map(|(key, s)| (key, s.profile)).collect();
    Ok(BaselineSet { id: row.id, streams })
}

fn read_exported(path: &Path) -> anyhow::Result<Exported> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text)
        .map_err(|error| Invalid(format!("{} is not an exported baseline: {error}", path.display())).into())
}

/// An exported baseline, to compare with.
pub(super) fn read_file(path: &Path) -> anyhow::Result<BaselineSet> {
    let Exported { id, streams, .. } = read_exported(path)?;
    Ok(BaselineSet { id, streams: streams.into_iter().map(|(key, s)| (key, s.profile)).collect() })
}

/// The streams of an exported baseline: its id, their labels and profiles.
pub(super) fn read_streams(path: &Path) -> anyhow::Result<Vec<(String, LearntStream)>> {
    let Exported { id, streams, .. } = read_exported(path)?;
    Ok(streams.into_values().map(|stream| (id.clone(), stream)).collect())
}

fn list(db: &Connection, output: Format) -> anyhow::Result<()> {
    let rows = baselines::list(db)?;
    if output == Format::Json {
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?));
        return Ok(());
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|r| {
            let at = Timestamp::from_millis(r.learnt_at_ms).to_string();
            vec![r.id.clone(), r.state.clone(), r.streams.to_string(), at, r.source.clone()]
        })
        .collect();
    print(&table(&["baseline", "state", "streams", "learnt at", "from"], &cells));
    Ok(())
}

fn show(db: &Connection, id: &str, (calibration, output): (bool, Format)) -> anyhow::Result<()> {
    let row = find(db, id)?;
    let streams = baselines::streams(db, &row.id)?;
    if output == Format::Json {
        let exported = Exported { id: row.id, source: row.source, streams };
        print(&format!("{}\n", serde_json::to_string_pretty(&exported)?));
        return Ok(());
    }
    print(&format!("{} ({}), learnt from {}\n\n{}", row.id, row.state, row.source, show_table(&streams)));
    if calibration {
        for stream in streams.values() {
            let labels: Vec<String> = stream.labels.values().cloned().collect();
            print(&format!("\n{}: {}", labels.join(" / "), picture(&stream.profile)));
        }
    }
    Ok(())
}

fn show_table(streams: &BTreeMap<String, LearntStream>) -> String {
    let cells: Vec<Vec<String>> = streams.values().map(cells).collect();
    table(&["stream", "outputs", "labels", "accuracy (95 %)", "confidence", "escalated", "errors", "p95 ms"], &cells)
}

fn cells(stream: &LearntStream) -> Vec<String> {
    let pane = &stream.profile.pane;
    let labels: Vec<String> = stream.labels.values().cloned().collect();
    let percent = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{:.1} %", x * 100.0));
    let accuracy = if pane.correct.n == 0 {
        "-".to_owned()
    } else {
        let e = clopper_pearson(pane.correct, 0.95);
        format!("{:.1} % ({:.1} to {:.1})", e.value * 100.0, e.low * 100.0, e.high * 100.0)
    };
    vec![
        labels.join(" / "),
        pane.outputs.to_string(),
        pane.correct.n.to_string(),
        accuracy,
        percent((pane.confidence.n > 0).then_some(pane.confidence.mean)),
        percent(pane.escalated.share()),
        percent(pane.errors().share()),
        pane.latency_quantile_ms(0.95).map_or_else(|| "-".to_owned(), |x| crate::engine::account::digits(x, 3)),
    ]
}

/// Says which streams have too few labels for a promise of 2 points.
fn warn_small(streams: &BTreeMap<String, LearntStream>) {
    for stream in streams.values() {
        let bad = stream.profile.pane.correct.complement();
        let Some(p) = bad.share() else { continue };
        let needed = labels_needed(p, 0.02);
        if bad.n < needed {
            let labels: Vec<String> = stream.labels.values().cloned().collect();
            say(&format!(
                "{}: {} labels cannot carry a promise about 2 points; {needed} would",
                labels.join(" / "),
                bad.n
            ));
        }
    }
}

//! `shewhart db`: the SQLite file.

pub mod args;
mod cells;
mod export;
mod parquet;
mod query;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rusqlite::Connection;

use self::args::{DbArgs, DbCommand, SchemaFormat};
pub(super) use self::cells::csv_cell;
pub(super) use self::query::json;
use super::{INVALID, Invalid, OK, print, say};
use crate::edge::ledger::describe::Dictionary;
use crate::edge::ledger::{open_read_only, query as reading, schema, vacuum};

pub(super) fn db(args: &DbArgs) -> anyhow::Result<u8> {
    match &args.command {
        DbCommand::Check { db } => check(db),
        DbCommand::Backup { db, to } => backup(db, to),
        DbCommand::Query(args) => query::query(args),
        DbCommand::Export(args) => export::export(args),
        DbCommand::Vacuum { db } => shrink(db),
        DbCommand::Schema { output } => print_schema(*output),
    }
}

fn print_schema(format: SchemaFormat) -> anyhow::Result<u8> {
    let ddl = schema();
    print(&match format {
        SchemaFormat::Sql => ddl,
        SchemaFormat::Markdown => Dictionary::read(&ddl)?.markdown(),
        SchemaFormat::Json => serde_json::to_string_pretty(&Dictionary::read(&ddl)?.objects)? + "\n",
    });
    Ok(OK)
}

/// Opens a database for reading; a wrong name is told apart from a file that cannot be read.
pub(super) fn open(path: &Path) -> anyhow::Result<Connection> {
    must_exist(path)?;
    Ok(open_read_only(path)?)
}

fn must_exist(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    Err(Invalid(format!("there is no database {}", path.display())).into())
}

fn check(path: &Path) -> anyhow::Result<u8> {
    must_exist(path)?;
    let findings = match open_read_only(path) {
        Ok(db) => reading::check(&db).with_context(|| format!("cannot check {}", path.display()))?,
        Err(error) => vec![error.to_string()],
    };
    if findings.is_empty() {
        print(&format!("{}: whole, schema version {}\n", path.display(), crate::edge::ledger::SCHEMA_VERSION));
        return Ok(OK);
    }
    for finding in &findings {
        print(&format!("{}: {finding}\n", path.display()));
    }
    say("stop the daemon, keep this file aside, and restore the newest backup that `shewhart db check` finds whole");
    Ok(INVALID)
}

fn backup(from: &Path, to: &Path) -> anyhow::Result<u8> {
    refuse_existing(to)?;
    let source = open(from)?;
    let partial = partial_name(to);
    reading::create_private(&partial).with_context(|| format!("cannot write {}", partial.display()))?;
    let done = copy_and_check(&source, &partial).and_then(|()| {
        refuse_existing(to)?;
        std::fs::rename(&partial, to).with_context(|| format!("cannot name the copy {}", to.display()))?;
        sync_folder(to)
    });
    if let Err(error) = done {
        // What is half a copy must not look like one. A file that cannot be removed still has its telling name.
        drop(std::fs::remove_file(&partial));
        return Err(error);
    }
    let bytes = to.metadata().map_or(0, |m| m.len());
    print(&format!("{}: {bytes} bytes, whole\n", to.display()));
    Ok(OK)
}

fn refuse_existing(to: &Path) -> anyhow::Result<()> {
    // A dangling link is something too: `exists` would follow it.
    if to.symlink_metadata().is_ok() {
        return Err(Invalid(format!("{} is there already; name a new file", to.display())).into());
    }
    Ok(())
}

fn partial_name(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".partial-{}", std::process::id()));
    PathBuf::from(name)
}

fn copy_and_check(source: &Connection, partial: &Path) -> anyhow::Result<()> {
    let bar = bar();
    reading::copy(source, partial, &|done, all| {
        bar.set_length(all);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let findings = reading::check(&open_read_only(partial)?)?;
    if let Some(first) = findings.first() {
        return Err(Invalid(format!("the copy is not whole, and so probably is the original: {first}")).into());
    }
    let file = std::fs::File::open(partial).with_context(|| format!("cannot open {}", partial.display()))?;
    file.sync_all().with_context(|| format!("cannot write {} to the disk", partial.display()))
}

fn bar() -> indicatif::ProgressBar {
    use std::io::IsTerminal as _;
    if std::io::stderr().is_terminal() { indicatif::ProgressBar::new(0) } else { indicatif::ProgressBar::hidden() }
}

/// A new name is on the disk only when its folder is.
fn sync_folder(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("cannot write {} to the disk", folder.display()))
}

fn shrink(path: &Path) -> anyhow::Result<u8> {
    must_exist(path)?;
    let (before, after) = vacuum::vacuum(path)?;
    print(&format!("{}: {before} bytes before, {after} bytes after\n", path.display()));
    Ok(OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_whole_and_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("shewhart.db"), folder.path().join("copy.db"));
        let writing = crate::edge::ledger::Ledger::create(&from).unwrap();
        assert_eq!(backup(&from, &to).unwrap(), OK);
        assert!(backup(&from, &to).unwrap_err().to_string().contains("is there already"));
        assert_eq!(reading::is_held(&from), Some(true));
        drop(writing);
        assert_eq!(reading::is_held(&from), Some(false));
        assert_eq!(check(&to).unwrap(), OK);
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(!names.iter().any(|name| name.to_string_lossy().contains("partial")), "{names:?}");
        std::fs::write(&to, "not a database at all, but long enough to be looked at as one ....").unwrap();
        assert_eq!(check(&to).unwrap(), INVALID);
    }
}

//! `shewhart db export`: views as files, all of them in one state of the database, and all of them or none.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, Statement};

use super::args::{ExportArgs, ExportFormat};
use super::cells::write_csv;
use super::parquet::{Kind, Sheet};
use super::query::unique;
use super::{partial_name, refuse_existing, sync_folder};
use crate::cli::{Invalid, OK, print};
use crate::edge::ledger::query as reading;

/// A file that is being written beside its name, and taken away where it does not get that far.
struct Target {
    view: String,
    path: PathBuf,
    partial: PathBuf,
    rows: u64,
}

impl Drop for Target {
    fn drop(&mut self) {
        // What is half a file must not look like one. A file that cannot be removed still has its telling name.
        drop(std::fs::remove_file(&self.partial));
    }
}

pub(super) fn export(args: &ExportArgs) -> anyhow::Result<u8> {
    let mut db = super::open(&args.db)?;
    // Nobody's log has to shrink where nobody writes.
    if reading::is_held(&args.db) != Some(false) {
        reading::cut_after(&mut db, args.timeout)?;
    }
    let views = wanted(&db, args)?;
    std::fs::create_dir_all(&args.to).with_context(|| format!("cannot make the folder {}", args.to.display()))?;
    let ending = match args.output {
        ExportFormat::Parquet => "parquet",
        ExportFormat::Csv => "csv",
    };
    let mut targets = Vec::new();
    for view in views {
        let path = args.to.join(format!("{view}.{ending}"));
        refuse_existing(&path)?;
        targets.push(Target { view, partial: partial_name(&path), path, rows: 0 });
    }
    db.execute_batch("BEGIN").context("cannot read the database")?;
    for target in &mut targets {
        let write = match args.output {
            ExportFormat::Parquet => write_parquet,
            ExportFormat::Csv => write_comma_separated,
        };
        target.rows = write(&db, target).map_err(|error| explain(error, target, args))?;
    }
    drop(db);
    let mut done = Vec::new();
    for target in &targets {
        refuse_existing(&target.path)?;
        std::fs::rename(&target.partial, &target.path)
            .with_context(|| format!("cannot name a file {}", target.path.display()))?;
        let bytes = target.path.metadata().map_or(0, |file| file.len());
        done.push(format!("{}: {} rows, {bytes} bytes\n", target.path.display(), target.rows));
    }
    if let Some(target) = targets.first() {
        sync_folder(&target.path)?;
    }
    print(&done.concat());
    Ok(OK)
}

/// The views that were asked for, each once.
fn wanted(db: &Connection, args: &ExportArgs) -> anyhow::Result<Vec<String>> {
    let mut select = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name")?;
    let known: Vec<String> = select.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    if args.all {
        return Ok(known);
    }
    let mut wanted: Vec<String> = Vec::new();
    for view in &args.views {
        if !known.contains(view) {
            let known = known.join(", ");
            return Err(Invalid(format!("there is no view {view}; there are {known}")).into());
        }
        if !wanted.contains(view) {
            wanted.push(view.clone());
        }
    }
    Ok(wanted)
}

fn explain(error: anyhow::Error, target: &Target, args: &ExportArgs) -> anyhow::Error {
    let sqlite = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    let view = &target.view;
    if sqlite == Some(ErrorCode::OperationInterrupted) {
        let (db, seconds) = (args.db.display(), args.timeout.as_secs_f64());
        return Invalid(format!(
            "the export was cut after {seconds} s, at {view}: meanwhile the daemon's log cannot shrink; export a copy, which \
             nobody writes (`shewhart db backup {db} COPY`), or allow more with --timeout"
        ))
        .into();
    }
    if sqlite.is_some() {
        return error.context(format!("cannot read {view}"));
    }
    Invalid(format!("cannot write {}: {}; nothing was exported", target.path.display(), error.root_cause())).into()
}

fn select<'d>(db: &'d Connection, view: &str) -> rusqlite::Result<Statement<'d>> {
    db.prepare(&format!("SELECT * FROM \"{}\"", view.replace('"', "\"\"")))
}

/// Calls `each` with every row, and counts them.
fn each_row(
    statement: &mut Statement<'_>,
    mut each: impl FnMut(&[ValueRef<'_>]) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut n = 0;
    while let Some(row) = rows.next()? {
        let values: rusqlite::Result<Vec<ValueRef<'_>>> = (0..columns).map(|at| row.get_ref(at)).collect();
        each(&values?)?;
        n += 1;
    }
    Ok(n)
}

fn create(path: &Path) -> anyhow::Result<File> {
    reading::create_private(path)?;
    Ok(File::options().write(true).open(path)?)
}

fn write_comma_separated(db: &Connection, target: &Target) -> anyhow::Result<u64> {
    let mut statement = select(db, &target.view)?;
    let mut out = BufWriter::new(create(&target.partial)?);
    write_csv(&mut out, unique(&statement).iter().map(|name| ValueRef::Text(name.as_bytes())))?;
    let rows = each_row(&mut statement, |row| Ok(write_csv(&mut out, row.iter().copied())?))?;
    out.flush()?;
    out.get_ref().sync_all()?;
    Ok(rows)
}

fn write_parquet(db: &Connection, target: &Target) -> anyhow::Result<u64> {
    let mut statement = select(db, &target.view)?;
    let names = unique(&statement);
    let mut kinds: Vec<Kind> = statement.columns().map(|column| Kind::declared(column.decl_type())).collect();
    // Columns that are computed have no declared type: what is in them decides. The same state is read twice.
    each_row(&mut statement, |row| {
        kinds.iter_mut().zip(row).for_each(|(kind, value)| *kind = kind.with(*value));
        Ok(())
    })?;
    let mut sheet = Sheet::new(create(&target.partial)?, &target.view, &names, &kinds)?;
    let rows = each_row(&mut statement, |row| Ok(sheet.push(row)?))?;
    sheet.finish()?.sync_all()?;
    Ok(rows)
}

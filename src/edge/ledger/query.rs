//! Reading beside the daemon: what may be asked, is the file whole, a copy of it, where the partitions stand.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, ErrorCode};

use super::blob::decode;
use super::{LedgerError, SCHEMA_VERSION, with_suffix};
use crate::edge::clock;
use crate::engine::units::{Partition, Timestamp};
use crate::engine::{Counters, Position};

/// The most findings of a check that are kept.
const FINDINGS_MAX: usize = 100;

/// Steps of a statement between two looks at the clock: a millisecond or less.
const STEPS: i32 = 10_000;

/// Pages copied in one step of a backup.
const PAGES: i32 = 2_048;

/// Pragmas that only tell something.
const PRAGMAS: &[&str] = &[
    "application_id",
    "collation_list",
    "compile_options",
    "database_list",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "journal_mode",
    "page_count",
    "page_size",
    "pragma_list",
    "quick_check",
    "schema_version",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
];

/// Pragmas that take the name of a table, or a number of findings, and still only tell something.
const WITH_ARGUMENT: &[&str] = &[
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// Lets a connection do nothing but read. A connection that is opened read only could still write other files: by
/// `VACUUM INTO`, or by `ATTACH`.
///
/// # Errors
/// What SQLite says.
pub fn only_read(db: &mut Connection) -> rusqlite::Result<()> {
    db.authorizer(Some(|context: AuthContext<'_>| match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Allow
        }
        AuthAction::Pragma { pragma_name, pragma_value } => {
            let names = if pragma_value.is_some() { WITH_ARGUMENT } else { PRAGMAS };
            let known = names.iter().any(|name| name.eq_ignore_ascii_case(pragma_name));
            if known { Authorization::Allow } else { Authorization::Deny }
        }
        _ => Authorization::Deny,
    }))
}

/// Cuts whatever a connection runs when so much time has passed from now on, as `interrupted`: while somebody reads, the
/// daemon's log cannot shrink.
///
/// # Errors
/// What SQLite says.
pub fn cut_after(db: &mut Connection, limit: Duration) -> rusqlite::Result<()> {
    let end = clock::instant().checked_add(limit);
    db.progress_handler(STEPS, Some(move || end.is_some_and(|end| clock::instant() >= end)))
}

/// What is wrong with a file, one sentence each; nothing where it is whole.
///
/// # Errors
/// What SQLite says where it cannot even look. Damage that stops the look is a finding, not an error.
pub fn check(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut findings = Vec::new();
    match look(db, &mut findings) {
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SystemIoFailure)
            ) =>
        {
            findings.push(error.to_string());
        }
        done => done?,
    }
    Ok(findings)
}

fn look(db: &Connection, findings: &mut Vec<String>) -> rusqlite::Result<()> {
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == 0 {
        findings.push("it holds no tables of shewhart".to_owned());
    } else if version != SCHEMA_VERSION {
        findings.push(format!("its schema version is {version}, this shewhart knows {SCHEMA_VERSION}"));
    }
    let mut pages = db.prepare("PRAGMA integrity_check(100)")?;
    for found in pages.query_map([], |row| row.get::<_, String>(0))? {
        // One answer may hold many lines, below a headline that names no fault.
        let found = found?;
        let faults = found.lines().filter(|line| *line != "ok" && !line.starts_with("***"));
        findings.extend(faults.map(str::to_owned));
    }
    let mut orphans =
        db.prepare("SELECT \"table\", count(*), \"parent\" FROM pragma_foreign_key_check GROUP BY 1, 3")?;
    let rows = orphans.query_map([], |row| {
        let (table, rows, parent): (String, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!("{rows} rows of {table} point to rows of {parent} that are not there"))
    })?;
    for found in rows.take(FINDINGS_MAX) {
        findings.push(found?);
    }
    Ok(())
}

/// Copies a database that may be written meanwhile to a new file, in one consistent state, and calls `progress` with
/// the pages done and all pages.
///
/// # Errors
/// What SQLite says; the new file is then not to be used.
pub fn copy(from: &Connection, to: &Path, progress: &dyn Fn(u64, u64)) -> Result<(), LedgerError> {
    let sqlite = |source| LedgerError::Sqlite { doing: "copying to", path: to.to_owned(), source };
    let mut copy = Connection::open(to).map_err(sqlite)?;
    // One snapshot for the whole copy: otherwise every commit of the daemon would begin it anew.
    from.execute_batch("BEGIN; SELECT count(*) FROM sqlite_master;").map_err(sqlite)?;
    let done = steps(from, &mut copy, progress);
    let ended = from.execute_batch("COMMIT");
    done.and(ended).map_err(sqlite)?;
    // One plain file: it opens read only wherever it is put. The daemon switches the log on again where it writes.
    copy.execute_batch("PRAGMA journal_mode = DELETE").map_err(sqlite)?;
    copy.close().map_err(|(_, source)| sqlite(source))
}

fn steps(from: &Connection, to: &mut Connection, progress: &dyn Fn(u64, u64)) -> rusqlite::Result<()> {
    let backup = Backup::new(from, to)?;
    loop {
        let step = backup.step(PAGES)?;
        let state = backup.progress();
        progress((state.pagecount - state.remaining) as u64, state.pagecount as u64);
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            _ => clock::sleep(Duration::from_millis(50)),
        }
    }
}

/// Where a partition stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Which.
    pub partition: Partition,
    /// The next record to read.
    pub next_offset: i64,
    /// The newest event time counted.
    pub stream_time: Option<Timestamp>,
    /// The broker's time of the last record.
    pub appended: Option<Timestamp>,
    /// What was counted.
    pub counters: Counters,
}

/// Where every partition stands.
///
/// # Errors
/// What SQLite says; a position that cannot be read counts as damage.
pub fn standings(db: &Connection) -> rusqlite::Result<Vec<Standing>> {
    let mut select = db.prepare("SELECT partition, next_offset, position FROM partitions ORDER BY partition")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?)))?;
    let mut standings = Vec::new();
    for row in rows {
        let (partition, next_offset, bytes) = row?;
        let position: Position = decode(&bytes)
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Blob, Box::new(e)))?;
        standings.push(Standing {
            partition: Partition(partition),
            next_offset,
            stream_time: position.time,
            appended: position.appended,
            counters: position.counters,
        });
    }
    Ok(standings)
}

/// Whether a process holds the database for writing; nothing where that cannot be told.
pub fn is_held(path: &Path) -> Option<bool> {
    let lock = match File::open(with_suffix(path, ".lock")) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(false),
        Err(_) => return None,
    };
    // Shared, and given back at once: two who look do not see each other.
    match lock.try_lock_shared() {
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}

/// When the file or its log was last written, as the file system knows it.
pub fn written_at(path: &Path) -> Option<Timestamp> {
    let at = |path: &Path| {
        let modified = path.metadata().ok()?.modified().ok()?;
        let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?))
    };
    at(path).max(at(&with_suffix(path, "-wal")))
}

/// Makes a new empty file that only its owner may read.
///
/// # Errors
/// It is there already, or the folder cannot be written.
pub fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

//! The SQLite file: one connection that writes, one transaction for every batch, the analysts' views.

mod accuracy;
mod acts;
pub mod baselines;
mod cases;
mod confidence;
mod deaths;
pub mod describe;
mod fill;
mod log;
mod migrate;
mod outbox;
mod packed;
mod panes;
pub mod query;
mod restore;
mod retire;
mod rows;
mod taken;
pub mod vacuum;
mod windows;
mod write;

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior};

pub use accuracy::{LastDay, last_days};
pub use acts::{NamedAlert, OperatorAct, Verdict};
pub use baselines::{Act, BaselineRow, Baselines, LearntStream};
pub use cases::{Drawn, Pool, Requests, WaitingCase, doubt};
pub use confidence::{CountedStream, all_streams, confidence_by_hour, each_pane, profile_of, streams_of};
pub use deaths::{DEATHS_MAX, Marks, Suspect};
pub use fill::Filling;
pub use outbox::{Due, Outcome};
pub use restore::{PartitionState, Watched, WrittenRouter, encode_rules, watched};
pub use retire::Retention;
pub use taken::Taken;
pub use write::{Anchor, Commit, GapRow, NoPayloads, Payloads, RuleSetRow};

use rows::Compressors;

use super::clock;
use crate::engine::blob;

const SCHEMA: &str = include_str!("schema.sql");
/// One rollup; `{level}` stands for minute, hour and day.
const ROLLUP: &str = include_str!("rollup.sql");
const VIEWS: [&str; 3] = [include_str!("views.sql"), include_str!("spans.sql"), include_str!("control.sql")];
/// What `{columns of x}` and `{sums}` stand for in the views: everything counted in a rollup's row `r`, and in many rows together.
const COLUMNS: &str = include_str!("columns.sql");
const SUMS: &str = include_str!("sums.sql");

/// The version of the tables. A file with a newer one is refused.
pub const SCHEMA_VERSION: i64 = 7;

/// The oldest SQLite that may write: 3.51.3 mended a corruption of the write-ahead log.
const SQLITE_MIN: i32 = 3_051_003;

/// How often a lock that another has is asked for again, and after which pause.
const LOCK_TRIES: usize = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// How long a start after a death may look for damage.
const QUICK_CHECK_WITHIN: Duration = Duration::from_secs(2);
/// How long a lock of SQLite's own is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite refused.
    #[error("{doing} in {}: {source}", path.display())]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// Another process has the file.
    #[error(
        "another shewhart has {}: only one may write a database; stop it, or give this one another data_dir",
        path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The folder or the lock file cannot be made.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The file was written by a newer shewhart.
    #[error("{} has schema version {found}, this shewhart knows {SCHEMA_VERSION}: use the newer shewhart, or restore an older backup", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// The file was written by a shewhart from before its tables were promised.
    #[error("{} has schema version {found}, which was never released; start with an empty data_dir, and keep this file for what it tells", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// The file belongs to another topic, grouping or Kafka cluster.
    #[error(
        "{} holds `{key}` = `{found}`, but here it is `{expected}`: the wrong file is mounted, or the configuration changed; \
         give another data_dir to start anew",
        path.display()
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// What differs.
        key: &'static str,
        /// What the file says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// The file is damaged.
    #[error(
        "{} is damaged: {found}. Ways out: restore a backup (`shewhart db backup` made it), keep this file aside and start \
         with an empty data_dir, or look into it with `shewhart db check`",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// The disk has no room to write the file anew.
    #[error(
        "the disk is full: writing {} anew takes up to twice its {bytes} bytes beside it, and as much again in the folder \
         for temporary files (SQLITE_TMPDIR names another)",
        path.display()
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// Its size with its log.
        bytes: u64,
    },
    /// The file holds less than was committed to it: the disk lost what it had confirmed.
    #[error("{} fell back behind offset {offset} of partition {partition}; a restart reads again what is missing", path.display())]
    Back {
        /// The file.
        path: PathBuf,
        /// The partition.
        partition: i32,
        /// The last record that was committed.
        offset: i64,
    },
    /// A state that was written down cannot be read back.
    #[error(
        "the {what} in {} cannot be read: {why}. To go on without it would count records twice or forget who was told what. \
         Ways out: restore a backup (`shewhart db backup` made it), keep this file aside and start with an empty data_dir, or \
         use the shewhart that wrote it",
        path.display()
    )]
    Blob {
        /// The file.
        path: PathBuf,
        /// Which state.
        what: String,
        /// Why.
        why: String,
    },
}

impl LedgerError {
    /// What SQLite said on a file: damage where it says so.
    pub(super) fn of(doing: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path, found: format!("{source} ({doing})") }
            }
            _ => Self::Sqlite { doing, path, source },
        }
    }

    /// Whether the disk is full. It leaves the connection as it was.
    pub fn is_disk_full(&self) -> bool {
        let Self::Sqlite { source, .. } = self else { return false };
        // The index of the write-ahead log has an error of its own for it.
        source.sqlite_error().is_some_and(|error| {
            error.code == ErrorCode::DiskFull || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
        })
    }

    /// Whether another process holds the file for longer than it was waited for. It leaves the connection as it was.
    pub fn is_busy(&self) -> bool {
        let Self::Sqlite { source, .. } = self else { return false };
        source.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
    }

    /// Whether it may go away by itself, so that the same is worth doing again.
    pub fn passes(&self) -> bool {
        self.is_disk_full() || self.is_disk_error() || self.is_busy()
    }

    /// Whether the disk failed, or turned read only as file systems do when it fails, or what came from it makes no sense. What it
    /// holds then is known only after [`Ledger::reopen`].
    pub fn is_disk_error(&self) -> bool {
        let Self::Sqlite { source, .. } = self else { return matches!(self, Self::Damaged { .. }) };
        let failed = [ErrorCode::SystemIoFailure, ErrorCode::CannotOpen, ErrorCode::ReadOnly];
        source.sqlite_error_code().is_some_and(|code| failed.contains(&code)) && !self.is_disk_full()
    }
}

/// What a database belongs to: checked at every start, so that a wrong volume is noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The Kafka topic, or the name of a replay.
    pub topic: String,
    /// What forms a stream, joined by commas.
    pub group_by: String,
}

/// The database, open for writing. There is one in a process, and one process on a file.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    db: Connection,
    compressors: Compressors,
    /// Who is told what another receiver could not be told.
    second: Option<String>,
    care: log::Care,
    /// States that could not be read since the file was opened.
    damaged: Cell<u64>,
    /// Held for as long as the ledger lives; what is being handled stands in it.
    lock: File,
}

impl Ledger {
    /// Opens or makes the database `shewhart.db` in `folder`.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] when another process has it; `Newer`, `Other` or `Damaged` when it must not be written.
    pub fn open(folder: &Path, identity: &Identity) -> Result<Self, LedgerError> {
        make_private_folder(folder)?;
        Self::open_file(&folder.join("shewhart.db"), identity)
    }

    /// Opens or makes the database at `path`.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_file(path: &Path, identity: &Identity) -> Result<Self, LedgerError> {
        let ledger = Self::create(path)?;
        ledger.identify(identity)?;
        Ok(ledger)
    }

    /// Opens or makes the database at `path`, whatever topic it belongs to.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn create(path: &Path) -> Result<Self, LedgerError> {
        let lock = lock(path)?;
        let log_left = path.exists() && with_suffix(path, "-wal").metadata().is_ok_and(|m| m.len() > 0);
        let sqlite = |doing, source| LedgerError::of(doing, path, source);
        let db = Connection::open(path).map_err(|e| sqlite("opening", e))?;
        private(path);
        assert!(rusqlite::version_number() >= SQLITE_MIN, "shewhart was built with a SQLite older than 3.51.3");
        let care = log::Care::default();
        let mut ledger = Self {
            path: path.to_owned(),
            db,
            compressors: Compressors::default(),
            second: None,
            care,
            damaged: Cell::new(0),
            lock,
        };
        ledger.set_up().map_err(|e| sqlite("setting up", e))?;
        if log_left || ledger.died().map_err(|e| sqlite("reading how it ended", e))? {
            ledger.quick_check(QUICK_CHECK_WITHIN)?;
        }
        ledger.migrate()?;
        ledger.renew_views()?;
        Ok(ledger)
    }

    /// Closes the file and opens it again, after an error of the disk: what was written is unknown to SQLite too. What it finds it
    /// writes once more, for a system may call written what never reached the disk.
    ///
    /// # Errors
    /// As [`Ledger::create`]; call it again.
    pub fn reopen(&mut self) -> Result<(), LedgerError> {
        let nothing = Connection::open_in_memory().map_err(|source| self.sqlite("closing", source))?;
        drop(std::mem::replace(&mut self.db, nothing));
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        self.db = Connection::open_with_flags(&self.path, flags).map_err(|source| self.sqlite("opening", source))?;
        self.set_up().map_err(|source| self.sqlite("setting up", source))?;
        self.quick_check(QUICK_CHECK_WITHIN)?;
        self.empty_log()
    }

    fn set_up(&self) -> rusqlite::Result<()> {
        self.db.busy_timeout(BUSY)?;
        // A new file gives back what it does not need; an old one does after `db vacuum`, and saying it there would write.
        if self.db.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))? == 0 {
            self.db.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
        }
        self.db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;
             PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA wal_autocheckpoint = 1000;
             PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;",
        )?;
        self.db.set_prepared_statement_cache_capacity(64);
        // Statements are planned once: without this some are planned anew for every number that they are bound to.
        self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        Ok(())
    }

    /// Looks for damage for so long; a file too large for that is looked through as far as it goes.
    fn quick_check(&mut self, within: Duration) -> Result<(), LedgerError> {
        let deadline = clock::instant() + within;
        let mut look = || -> rusqlite::Result<String> {
            self.db.progress_handler(10_000, Some(move || clock::instant() >= deadline))?;
            let found = self.db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
            self.db.progress_handler(0, None::<fn() -> bool>)?;
            found
        };
        match look() {
            Ok(found) if found == "ok" => Ok(()),
            Ok(found) => Err(LedgerError::Damaged { path: self.path.clone(), found }),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                tracing::warn!(path = %self.path.display(), "the file is too large to be checked at a start; `shewhart db check` does");
                Ok(())
            }
            Err(error) => Err(self.sqlite("checking", error)),
        }
    }

    /// Makes the views of this shewhart, where the file has another's: they hold no data, so they are simply replaced.
    fn renew_views(&mut self) -> Result<(), LedgerError> {
        let path = self.path.clone();
        let renew = |db: &mut Connection| -> rusqlite::Result<()> {
            // The comments of the tables are in `v_columns`, in the form that this release gives it.
            let hash = blake3::hash([schema().as_str(), env!("CARGO_PKG_VERSION")].concat().as_bytes()).to_hex();
            let known: Option<String> =
                db.query_row("SELECT value FROM meta WHERE key = 'views'", [], |row| row.get(0)).optional()?;
            if known.as_deref() == Some(hash.as_str()) {
                return Ok(());
            }
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            migrate::drop_views(&transaction)?;
            transaction.execute_batch(&describe::Dictionary::read(&schema())?.put_into(&views()))?;
            let upsert = "INSERT INTO meta (key, value) VALUES ('views', ?1) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            transaction.execute(upsert, [hash.as_str()])?;
            transaction.commit()
        };
        renew(&mut self.db).map_err(|source| LedgerError::of("making the views", &path, source))
    }

    fn identify(&self, identity: &Identity) -> Result<(), LedgerError> {
        self.belongs_to("topic", &identity.topic)?;
        self.belongs_to("group_by", &identity.group_by)
    }

    /// Says that the offsets in the file are those of this Kafka cluster, where they are of none yet.
    ///
    /// # Errors
    /// [`LedgerError::Other`] where they are another's: its records would be passed over or count twice.
    pub fn belongs_to_cluster(&self, id: &str) -> Result<(), LedgerError> {
        self.belongs_to("cluster", id)
    }

    fn belongs_to(&self, key: &'static str, expected: &str) -> Result<(), LedgerError> {
        let sqlite = |source| self.sqlite("reading what the file belongs to", source);
        self.db
            .execute("INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING", (key, expected))
            .map_err(sqlite)?;
        let found: String =
            self.db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).map_err(sqlite)?;
        if found == expected {
            return Ok(());
        }
        Err(LedgerError::Other { path: self.path.clone(), key, found, expected: expected.to_owned() })
    }

    /// Bytes of the file and of its write-ahead log.
    pub fn bytes(&self) -> (u64, u64) {
        let of = |path: &Path| path.metadata().map_or(0, |m| m.len());
        (of(&self.path), of(&with_suffix(&self.path, "-wal")))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// States that could not be read since the file was opened: what they were of began anew.
    pub fn damaged(&self) -> u64 {
        self.damaged.get()
    }

    fn sqlite(&self, doing: &'static str, source: rusqlite::Error) -> LedgerError {
        LedgerError::of(doing, &self.path, source)
    }
}

/// Opens a database for reading only: for the command line and for pages.
///
/// # Errors
/// What SQLite says; a file that is not there is an error.
pub fn open_read_only(path: &Path) -> Result<Connection, LedgerError> {
    let sqlite = |source| LedgerError::of("opening for reading", path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    db.busy_timeout(BUSY).map_err(sqlite)?;
    db.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;").map_err(sqlite)?;
    crate::sql::functions::add(&db).map_err(sqlite)?;
    Ok(db)
}

/// The text of the tables and views, for `db schema` and the documentation. In a database `v_columns` has rows as well.
pub fn schema() -> String {
    format!("{}\n{}", tables(), views())
}

/// The text of the views.
fn views() -> String {
    let columns = |text: String, alias: &str| {
        text.replace(&format!("{{columns of {alias}}}"), &COLUMNS.trim_end().replace("r.", &format!("{alias}.")))
    };
    let text = ["m", "h", "d"].into_iter().fold(VIEWS.join("\n"), columns);
    text.replace("{sums}", SUMS.trim_end())
}

/// The text of the tables.
fn tables() -> String {
    format!("{SCHEMA}\n{}", rollups())
}

/// The text of the three rollups.
fn rollups() -> String {
    ["minute", "hour", "day"].map(|level| ROLLUP.replace("{level}", level)).join("\n")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Takes the lock beside the database; the system releases it however the process ends. A process that is just ending,
/// or a child that was forked and does not run its own program yet, may hold it a moment longer.
fn lock(path: &Path) -> Result<File, LedgerError> {
    let path = with_suffix(path, ".lock");
    let file = |source| LedgerError::File { path: path.clone(), source };
    let lock = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(file)?;
    private(&path);
    let mut tries = 0;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(std::fs::TryLockError::WouldBlock) if tries < LOCK_TRIES => {
                tries += 1;
                clock::sleep(LOCK_PAUSE);
            }
            Err(std::fs::TryLockError::WouldBlock) => return Err(LedgerError::Locked { path }),
            Err(std::fs::TryLockError::Error(source)) => return Err(LedgerError::File { path, source }),
        }
    }
}

fn make_private_folder(folder: &Path) -> Result<(), LedgerError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).map_err(|source| LedgerError::File { path: folder.to_owned(), source })
}

/// Only the owner may read what agents did. Best effort: a file on a file system without modes is still usable.
fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if let Err(error) = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)) {
        tracing::warn!(path = %path.display(), %error, "cannot make the database private");
    }
}

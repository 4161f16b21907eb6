//! A new file that is filled in one go, and has its name only once it is whole: so it needs no log, and every page is written about
//! once.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Identity, Ledger, LedgerError, lock, with_suffix};

/// A database under way, under another name beside its own. Whoever is killed leaves that behind, and the next one begins it anew.
#[derive(Debug)]
pub struct Filling {
    path: PathBuf,
    /// Nothing once it has ended.
    ledger: Option<Ledger>,
    /// Of the name that the file will have: nobody else makes one meanwhile.
    _lock: File,
}

/// What SQLite keeps beside a file.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

impl Filling {
    /// Begins the file that will have this name.
    ///
    /// # Errors
    /// As [`Ledger::open`]; `Locked` where another process has it, and what the system says where there is such a file already.
    pub fn begin(path: &Path, identity: &Identity) -> Result<Self, LedgerError> {
        let lock = lock(path)?;
        is_free(path)?;
        let under_way = under_way(path);
        gone(&under_way)?;
        // A log that was left of a file of one of these names would be taken for the new one's.
        BESIDE
            .iter()
            .flat_map(|end| [with_suffix(path, end), with_suffix(&under_way, end)])
            .try_for_each(|at| gone(&at))?;
        let ledger = Ledger::open_file(&under_way, identity)?;
        let filling = Self { path: path.to_owned(), ledger: Some(ledger), _lock: lock };
        // Nobody reads it, and what a crash leaves of it is thrown away.
        filling.journal("PRAGMA journal_mode = OFF", "off")?;
        filling.set("PRAGMA synchronous = OFF; PRAGMA cache_size = -65536")?;
        Ok(filling)
    }

    /// Where to write. Nothing once the file has its name.
    pub const fn ledger(&mut self) -> Option<&mut Ledger> {
        self.ledger.as_mut()
    }

    /// Gives the file its name, once all of it is on the disk.
    ///
    /// # Errors
    /// What SQLite or the system says.
    pub fn end(mut self) -> Result<(), LedgerError> {
        self.journal("PRAGMA journal_mode = WAL", "wal")?;
        let Some(Ledger { db, path: under_way, .. }) = self.ledger.take() else { return Ok(()) };
        let done = db.close().map_err(|(_, source)| LedgerError::of("closing", &under_way, source)).and_then(|()| {
            File::open(&under_way).and_then(|file| file.sync_all()).map_err(of(&under_way))?;
            is_free(&self.path)?;
            fs::rename(&under_way, &self.path).map_err(of(&self.path))
        });
        clear(&under_way);
        done?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(of(folder))
    }

    /// Keeps this journal from now on. SQLite answers with the one in force, which is no error where it is another.
    fn journal(&self, sql: &str, mode: &str) -> Result<(), LedgerError> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        let found: String =
            ledger.db.query_row(sql, [], |row| row.get(0)).map_err(|source| ledger.sqlite("setting up", source))?;
        if found == mode {
            return Ok(());
        }
        let source = io::Error::other(format!("its journal is `{found}` and cannot be `{mode}`"));
        Err(of(&ledger.path)(source))
    }

    fn set(&self, sql: &str) -> Result<(), LedgerError> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        ledger.db.execute_batch(sql).map_err(|source| ledger.sqlite("setting up", source))
    }
}

impl Drop for Filling {
    /// What was given up takes no room.
    fn drop(&mut self) {
        if let Some(Ledger { db, path, .. }) = self.ledger.take() {
            drop(db);
            clear(&path);
        }
    }
}

/// What a file is called until it is whole.
fn under_way(path: &Path) -> PathBuf {
    with_suffix(path, ".filling")
}

fn is_free(path: &Path) -> Result<(), LedgerError> {
    if path.exists() { Err(of(path)(io::ErrorKind::AlreadyExists.into())) } else { Ok(()) }
}

/// Removes what is left under the name of a file under way.
fn clear(under_way: &Path) {
    for end in ["", ".lock"].iter().chain(&BESIDE) {
        if let Err(error) = gone(&with_suffix(under_way, end)) {
            tracing::warn!(%error, "a file is left behind");
        }
    }
}

/// Removes a file, where it is there.
fn gone(path: &Path) -> Result<(), LedgerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(of(path)(error)),
        _ => Ok(()),
    }
}

fn of(path: &Path) -> impl FnOnce(io::Error) -> LedgerError {
    |source| LedgerError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::open_read_only;
    use super::*;

    const FILL: &str = "CREATE TABLE filler (x); INSERT INTO filler VALUES (1)";

    fn identity() -> Identity {
        Identity { topic: "replay".to_owned(), group_by: "agent".to_owned() }
    }

    fn left(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_once_it_is_whole_and_only_one_process_fills_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.db");
        fs::write(under_way(&path), "what a replay left that was killed").unwrap();
        let mut filling = Filling::begin(&path, &identity()).unwrap();
        assert!(matches!(Filling::begin(&path, &identity()), Err(LedgerError::Locked { .. })));
        filling.ledger().unwrap().db.execute_batch(FILL).unwrap();
        assert_eq!(left(folder.path()), ["r.db.filling", "r.db.filling.lock", "r.db.lock"]);
        filling.end().unwrap();
        assert_eq!(left(folder.path()), ["r.db", "r.db.lock"]);
        assert!(matches!(Filling::begin(&path, &identity()), Err(LedgerError::File { .. })));
        let db = open_read_only(&path).unwrap();
        let one = |sql: &str| db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(one("PRAGMA integrity_check"), "ok");
        assert_eq!((one("PRAGMA journal_mode"), one("SELECT count(*) || '' FROM filler")), ("wal".into(), "1".into()));
    }

    #[test]
    fn what_is_given_up_takes_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.db");
        let mut filling = Filling::begin(&path, &identity()).unwrap();
        filling.ledger().unwrap().db.execute_batch(FILL).unwrap();
        drop(filling);
        assert_eq!(left(folder.path()), ["r.db.lock"]);
    }

    #[test]
    fn a_log_that_was_left_of_an_older_file_is_not_taken_for_the_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE old (x); INSERT INTO old VALUES (1)").unwrap();
        let log = fs::read(with_suffix(&path, "-wal")).unwrap();
        drop(old);
        fs::remove_file(&path).unwrap();
        fs::write(with_suffix(&path, "-wal"), log).unwrap();
        let mut filling = Filling::begin(&path, &identity()).unwrap();
        filling.ledger().unwrap().db.execute_batch(FILL).unwrap();
        filling.end().unwrap();
        let db = Connection::open(&path).unwrap();
        assert_eq!(db.query_row("SELECT count(*) FROM filler", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
        assert!(db.prepare("SELECT * FROM old").is_err());
    }
}

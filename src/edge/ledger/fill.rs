//! A new file that is filled in one go, and has its name only once it is whole: so it needs no log, and every page is written about
//! once.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Identity, Ledger, LedgerError, lock, with_suffix};

/// A database under way. Whoever is stopped leaves `FILE.part` behind, which the next one begins anew.
#[derive(Debug)]
pub struct Filling {
    path: PathBuf,
    ledger: Ledger,
}

impl Filling {
    /// Begins the file that will have this name.
    ///
    /// # Errors
    /// As [`Ledger::open`]; `Locked` where another process fills it.
    pub fn begin(path: &Path, identity: &Identity) -> Result<Self, LedgerError> {
        let part = with_suffix(path, ".part");
        let held = lock(&part)?;
        for left in [part.clone(), with_suffix(&part, "-wal"), with_suffix(&part, "-shm")] {
            gone(&left)?;
        }
        drop(held);
        let ledger = Ledger::open_file(&part, identity)?;
        // Nobody reads it, and what a crash leaves of it is thrown away.
        ledger
            .db
            .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536")
            .map_err(|source| ledger.sqlite("setting up", source))?;
        Ok(Self { path: path.to_owned(), ledger })
    }

    /// Where to write.
    pub const fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Gives the file its name, once all of it is on the disk.
    ///
    /// # Errors
    /// What SQLite or the system says.
    pub fn end(self) -> Result<(), LedgerError> {
        let Self { path, ledger } = self;
        let part = ledger.path.clone();
        ledger.db.execute_batch("PRAGMA journal_mode = WAL").map_err(|source| ledger.sqlite("ending", source))?;
        drop(ledger);
        File::open(&part).and_then(|file| file.sync_all()).map_err(of(&part))?;
        fs::rename(&part, &path).map_err(of(&path))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(of(folder))?;
        gone(&with_suffix(&part, ".lock"))
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
    use super::super::open_read_only;
    use super::*;

    #[test]
    fn a_file_has_its_name_once_it_is_whole_and_what_was_left_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, part) = (folder.path().join("r.db"), folder.path().join("r.db.part"));
        let identity = Identity { topic: "replay".to_owned(), group_by: "agent".to_owned() };
        fs::write(&part, "what a replay left that was killed").unwrap();
        let mut filling = Filling::begin(&path, &identity).unwrap();
        assert!(matches!(Filling::begin(&path, &identity), Err(LedgerError::Locked { .. })));
        filling.ledger().db.execute_batch("CREATE TABLE filler (x); INSERT INTO filler VALUES (1)").unwrap();
        assert!(part.exists() && !path.exists());
        filling.end().unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["r.db"]);
        let db = open_read_only(&path).unwrap();
        let one = |sql: &str| db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(one("PRAGMA integrity_check"), "ok");
        assert_eq!((one("PRAGMA journal_mode"), one("SELECT count(*) || '' FROM filler")), ("wal".into(), "1".into()));
    }
}

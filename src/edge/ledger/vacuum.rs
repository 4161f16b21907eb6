//! Giving back to the disk what is no longer used, while no daemon runs.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{BUSY, LedgerError, lock, with_suffix};

/// Writes the file anew without what is no longer used, so that from now on the daemon can give pages back piece by piece.
/// Returns the bytes before and after, the log included.
///
/// # Errors
/// [`LedgerError::Locked`] while a daemon has the file, [`LedgerError::Full`] where the disk has no room for the second copy,
/// and what SQLite says otherwise. The file is then as it was.
pub fn vacuum(path: &Path) -> Result<(u64, u64), LedgerError> {
    let _lock = lock(path)?;
    let before = bytes(path);
    let failed = |source: rusqlite::Error| {
        let error = LedgerError::Sqlite { doing: "vacuuming", path: path.to_owned(), source };
        if error.is_disk_full() { LedgerError::Full { path: path.to_owned(), bytes: before } } else { error }
    };
    // No new file where there is none.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(failed)?;
    db.busy_timeout(BUSY).map_err(failed)?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    if version == 0 {
        return Err(LedgerError::Damaged { path: path.to_owned(), found: "it holds no tables of shewhart".to_owned() });
    }
    db.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA auto_vacuum = INCREMENTAL; VACUUM;").map_err(failed)?;
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
    db.close().map_err(|(_, source)| failed(source))?;
    Ok((before, bytes(path)))
}

fn bytes(path: &Path) -> u64 {
    let size = |path: &Path| path.metadata().map_or(0, |file| file.len());
    size(path) + size(&with_suffix(path, "-wal"))
}

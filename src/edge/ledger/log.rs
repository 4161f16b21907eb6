//! The write-ahead log, and how it stays short beside readers.
//!
//! SQLite copies the log into the file by itself, but begins it anew only when nobody reads from it. Readers that follow each other
//! without a pause never leave such a moment: five hundred streams filled 340 MB in ten seconds so. Beyond [`LONG`] the writer
//! therefore waits a moment for those who read, while nobody can begin to read what is not yet in the file. A reader that stays
//! longer keeps the log growing: it is waited for again and again, never long, so that the daemon loses a fortieth of its time at most.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{BUSY, Ledger, LedgerError, clock};
use crate::edge::failpoint::{Point, reach};

/// The log is begun anew beyond this size.
const LONG: u64 = 64 << 20;
/// Beyond this size somebody reads who does not end, and the log says so.
const TOO_LONG: u64 = 256 << 20;
/// How long readers are waited for ...
const PATIENCE: Duration = Duration::from_millis(250);
/// ... and how long not again.
const PAUSE: Duration = Duration::from_secs(10);
/// How often it is said that somebody does not end.
const SAID_EVERY: Duration = Duration::from_mins(10);

/// When the log was looked after.
#[derive(Debug, Default)]
pub(super) struct Care {
    tried_at: Option<Instant>,
    said_at: Option<Instant>,
}

impl Ledger {
    /// Begins the log anew where it is long, and it is time to try. What is committed stays committed whatever comes of it.
    pub(super) fn keep_log_short(&mut self) {
        let (_, log) = self.bytes();
        let lately = |at: Option<Instant>, pause| at.is_some_and(|at| at.elapsed() < pause);
        if log <= LONG || lately(self.care.tried_at, PAUSE) {
            return;
        }
        if let Err(error) = truncate(&self.db, PATIENCE) {
            tracing::warn!(%error, "the write-ahead log stays as it is");
        }
        self.care.tried_at = Some(clock::instant());
        if log > TOO_LONG && !lately(self.care.said_at, SAID_EVERY) {
            self.care.said_at = Some(clock::instant());
            tracing::warn!(
                bytes = log,
                "somebody reads without an end, and the write-ahead log grows; give them a copy: shewhart db backup"
            );
        }
    }

    /// Empties the log, as far as nobody reads.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn empty_log(&self) -> Result<(), LedgerError> {
        truncate(&self.db, Duration::ZERO).map_err(|source| self.sqlite("checkpointing", source))
    }
}

/// Nobody who reads for longer than `patience` is an error.
fn truncate(db: &Connection, patience: Duration) -> rusqlite::Result<()> {
    reach(Point::Checkpoint);
    db.busy_timeout(patience)?;
    let done = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    db.busy_timeout(BUSY)?;
    done
}

#[cfg(test)]
mod tests {
    use super::super::open_read_only;
    use super::*;

    fn fill(ledger: &Ledger, megabytes: u64) {
        ledger.db.execute_batch("CREATE TABLE IF NOT EXISTS filler (x BLOB)").unwrap();
        for _ in 0..megabytes {
            ledger.db.execute("INSERT INTO filler VALUES (zeroblob(1048576))", []).unwrap();
        }
    }

    fn log(ledger: &Ledger) -> u64 {
        ledger.bytes().1
    }

    #[test]
    fn a_log_that_a_reader_made_long_is_begun_anew_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::create(&folder.path().join("shewhart.db")).unwrap();
        fill(&ledger, 1);
        let reader = open_read_only(ledger.path()).unwrap();
        let mut statement = reader.prepare("SELECT x FROM filler").unwrap();
        let mut rows = statement.query([]).unwrap();
        assert!(rows.next().unwrap().is_some());
        fill(&ledger, 70);
        assert!(log(&ledger) > LONG, "{}", log(&ledger));
        ledger.keep_log_short();
        assert!(log(&ledger) > LONG, "the reader goes on");
        let tried = ledger.care.tried_at;
        ledger.keep_log_short();
        assert_eq!(ledger.care.tried_at, tried, "not again at once");
        drop(rows);
        ledger.care = Care::default();
        ledger.keep_log_short();
        assert_eq!(log(&ledger), 0);
    }
}

//! What a process was handling when it died, so that the next one can tell a record that kills from a death by chance.
//!
//! That a daemon runs stands in the database from its start to its stop, so the next start knows of a death. Only then, and only for
//! the first records of each partition, which hold what it died on if a record it was, it says before each record which one it is
//! about to handle. It says so in the lock file, without waiting for the disk: what a process wrote outlives it, and the power's
//! failure is no record's fault.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::{Ledger, LedgerError};
use crate::engine::units::{Offset, Partition};

/// How many processes may die on one record before it is passed over. Somebody who kills daemons at random does not hit
/// the microseconds of the same record three times, nor the milliseconds of one that ends a baseline, so that limits are designed.
pub const DEATHS_MAX: u32 = 3;

/// A record that processes died on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Where it lies.
    pub at: (Partition, Offset),
    /// How many processes died on it.
    pub deaths: u32,
}

/// Partition and offset, and their checksum.
const MARK: usize = 16;
/// Nothing is being handled: the checksum of nothing is not nothing.
const NO_MARK: [u8; MARK] = [0; MARK];

fn mark((partition, offset): (Partition, Offset)) -> [u8; MARK] {
    let mut bytes = NO_MARK;
    let [p0, p1, p2, p3] = partition.0.to_le_bytes();
    let [o0, o1, o2, o3, o4, o5, o6, o7] = offset.0.to_le_bytes();
    let body = [p0, p1, p2, p3, o0, o1, o2, o3, o4, o5, o6, o7];
    for (to, from) in bytes.iter_mut().zip(body.into_iter().chain(crc32fast::hash(&body).to_le_bytes())) {
        *to = from;
    }
    bytes
}

fn marked(bytes: [u8; MARK]) -> Option<(Partition, Offset)> {
    let [p0, p1, p2, p3, o0, o1, o2, o3, o4, o5, o6, o7, ..] = bytes;
    let partition = Partition(i32::from_le_bytes([p0, p1, p2, p3]));
    let at = (partition, Offset(i64::from_le_bytes([o0, o1, o2, o3, o4, o5, o6, o7])));
    (mark(at) == bytes).then_some(at)
}

impl Ledger {
    /// Whether the last daemon on this file ended without saying so.
    pub(super) fn died(&self) -> rusqlite::Result<bool> {
        let known = "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'";
        if self.db.query_row(known, [], |row| row.get::<_, i64>(0))? == 0 {
            return Ok(false);
        }
        let running: Option<String> =
            self.db.query_row("SELECT value FROM meta WHERE key = 'running'", [], |row| row.get(0)).optional()?;
        Ok(running.as_deref() == Some("1"))
    }

    /// Says that a daemon runs on this file. After a death of the last one: the records that daemons died on so far and that
    /// are still to be read, none where it died on no record.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn begin_run(&mut self) -> Result<Option<(Vec<Suspect>, Marks)>, LedgerError> {
        let mut bytes = NO_MARK;
        // A lock file of no mark yet is shorter.
        let read = self.lock.read_exact_at(&mut bytes, 0).ok().and_then(|()| marked(bytes));
        write_mark(&self.lock, NO_MARK);
        let path = self.path.clone();
        let died = self.died().map_err(|source| self.sqlite("reading how it ended", source))?;
        let suspects = begin(&mut self.db, died.then_some(read).flatten())
            .map_err(|source| LedgerError::of("beginning a run", &path, source))?;
        if !died {
            return Ok(None);
        }
        let lock = self.lock.try_clone().map_err(|source| LedgerError::File { path, source })?;
        Ok(Some((suspects, Marks(lock))))
    }

    /// Says that the daemon ends as it should.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn end_run(&self) -> Result<(), LedgerError> {
        let update = "UPDATE meta SET value = '0' WHERE key = 'running'";
        self.db.execute(update, []).map(drop).map_err(|source| self.sqlite("ending a run", source))
    }
}

/// Where it stands what is being handled: the lock file, which nobody has to wait for.
#[derive(Debug)]
pub struct Marks(File);

impl Marks {
    /// Says which record is about to be handled, in case that it is the last thing that is said.
    pub fn handling(&self, at: (Partition, Offset)) {
        write_mark(&self.0, mark(at));
    }

    /// Says that no record is being handled.
    pub fn handled(&self) {
        write_mark(&self.0, NO_MARK);
    }
}

fn write_mark(lock: &File, bytes: [u8; MARK]) {
    if let Err(error) = lock.write_all_at(&bytes, 0) {
        tracing::warn!(%error, "the record that is being handled cannot be written down");
    }
}

fn begin(db: &mut Connection, died_on: Option<(Partition, Offset)>) -> rusqlite::Result<Vec<Suspect>> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some((partition, offset)) = died_on {
        transaction.execute(
            "INSERT INTO inflight (partition, offset, deaths) VALUES (?1, ?2, 1)
             ON CONFLICT (partition, offset) DO UPDATE SET deaths = deaths + 1",
            (partition.0, offset.0),
        )?;
    }
    transaction.execute(
        "DELETE FROM inflight WHERE offset < (SELECT next_offset FROM partitions p WHERE p.partition = inflight.partition)",
        [],
    )?;
    transaction.execute(
        "INSERT INTO meta (key, value) VALUES ('running', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [],
    )?;
    let suspects = transaction
        .prepare("SELECT partition, offset, deaths FROM inflight ORDER BY partition, offset")?
        .query_map([], |row| Ok(Suspect { at: (Partition(row.get(0)?), Offset(row.get(1)?)), deaths: row.get(2)? }))?
        .collect::<rusqlite::Result<_>>()?;
    transaction.commit()?;
    Ok(suspects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_are_counted_by_record_and_only_those_without_a_stop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shewhart.db");
        let run = |at: Option<(Partition, Offset)>, stops: bool| {
            let mut ledger = Ledger::create(&path).unwrap();
            let known = ledger.begin_run().unwrap();
            if let Some(at) = at {
                let marks = Marks(ledger.lock.try_clone().unwrap());
                marks.handling((Partition(9), Offset(1)));
                marks.handling(at);
            }
            if stops {
                ledger.end_run().unwrap();
            }
            known.map(|(suspects, _)| suspects)
        };
        let (one, other) = ((Partition(3), Offset(1 << 40)), (Partition(0), Offset(0)));
        assert_eq!(run(Some(one), true), None);
        assert_eq!(run(Some(one), false), None, "a mark before a stop is no death");
        assert_eq!(run(Some(other), false), Some(vec![Suspect { at: one, deaths: 1 }]));
        let both = [Suspect { at: other, deaths: 1 }, Suspect { at: one, deaths: 1 }];
        assert_eq!(run(Some(one), false), Some(both.to_vec()));
        let both = [Suspect { at: other, deaths: 1 }, Suspect { at: one, deaths: 2 }];
        assert_eq!(run(None, false), Some(both.to_vec()));
        assert_eq!(run(None, true), Some(both.to_vec()), "a death on no record counts for none");
        assert_eq!(run(None, true), None);
    }

    #[test]
    fn a_mark_is_read_back_and_half_of_one_is_none() {
        let at = (Partition(7), Offset(123_456_789_012));
        assert_eq!(marked(mark(at)), Some(at));
        assert_eq!(marked(NO_MARK), None);
        for position in 0..MARK {
            let mut bytes = mark(at);
            bytes[position] ^= 1;
            assert_eq!(marked(bytes), None);
        }
    }
}

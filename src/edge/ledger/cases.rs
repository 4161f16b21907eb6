//! Cases that verdicts may be asked on, and what was asked.
//!
//! The daemon writes cases and marks those whose verdict came. The command line asks, beside a running daemon: one short
//! transaction that draws and writes down what it drew, so that two who ask at once get different cases.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::LedgerError;
use super::confidence::CountedStream;
use crate::engine::Case;
use crate::engine::asking::Chance;
use crate::engine::rule::Measure;
use crate::engine::units::Timestamp;

/// The newest cases of a stream that are kept.
const CASES_MAX: i64 = 4_096;

/// The part of a key that is written down: its other half decided whether the case is kept.
const fn short(key: u128) -> i64 {
    key as u64 as i64
}

/// Writes a case, and drops the oldest of its stream where there are too many.
pub(super) fn write(db: &Transaction<'_>, stream: i64, case: &Case) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO cases (stream_id, at_ms, key, agent, event_id, confidence, escalated, share)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
    )?
    .execute(params![
        stream,
        case.at.as_millis(),
        short(case.key),
        case.agent,
        case.event_id,
        case.confidence,
        case.escalated,
        case.share
    ])?;
    db.prepare_cached(
        "DELETE FROM cases WHERE stream_id = ?1 AND (at_ms, key) <= (SELECT at_ms, key FROM cases WHERE stream_id = ?1
         ORDER BY at_ms DESC, key DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute(params![stream, CASES_MAX])
    .map(drop)
}

/// Marks a case whose verdict came, and what was asked about it.
pub(super) fn mark(
    db: &Transaction<'_>,
    stream: i64,
    (at, key): (Timestamp, u128),
    (judged_at, correct): (Timestamp, bool),
) -> rusqlite::Result<()> {
    let marked = params![stream, at.as_millis(), short(key), judged_at.as_millis(), correct];
    for table in ["cases", "label_requests"] {
        let key = if table == "cases" { "at_ms" } else { "case_ms" };
        db.prepare_cached(&format!(
            "UPDATE {table} SET judged_ms = ?4, correct = ?5
             WHERE stream_id = ?1 AND {key} = ?2 AND key = ?3 AND judged_ms IS NULL"
        ))?
        .execute(marked)?;
    }
    Ok(())
}

/// A case that waits for a verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingCase {
    /// The row of its stream.
    pub stream: i64,
    /// What of its key is written down.
    pub key: i64,
    /// When it happened.
    pub at: Timestamp,
    /// Whose output it is.
    pub agent: String,
    /// The output's id.
    pub event_id: String,
    /// Stated confidence, in [0, 1].
    pub confidence: f64,
    /// Whether it was handed to a person, where that was said.
    pub escalated: Option<bool>,
    /// The share of outputs of which it was kept, in (0, 1].
    pub share: f64,
}

/// A case that was drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// The case.
    pub case: WaitingCase,
    /// The chance with which the output was picked: kept, and drawn.
    pub sampled: f64,
    /// Why, in words.
    pub why: String,
}

/// Which cases may be drawn.
#[derive(Clone, Copy, Debug)]
pub struct Pool<'p> {
    /// Of these streams.
    pub streams: &'p [CountedStream],
    /// That happened from then on.
    pub from: Timestamp,
    /// Also those that were asked for before.
    pub again: bool,
}

/// The begin of the trouble that an open alert found: the alert's name, and when it began at the earliest.
///
/// # Errors
/// What SQLite says.
pub fn doubt(db: &Connection, streams: &[CountedStream]) -> rusqlite::Result<Option<(String, Timestamp)>> {
    let mut select = db.prepare_cached(
        "SELECT o.alert, coalesce(a.changed_earliest_ms, a.changed_at_ms, a.started_at_ms), a.measure
         FROM v_open_alerts o JOIN alerts a ON a.id = o.alert_id WHERE o.stream_id = ?1",
    )?;
    let mut first: Option<(String, Timestamp)> = None;
    for stream in streams {
        let mut rows = select.query([stream.id])?;
        while let Some(row) = rows.next()? {
            let (alert, since) = (row.get::<_, String>(0)?, Timestamp::from_millis(row.get(1)?));
            let measure = row.get::<_, Option<String>>(2)?.and_then(|word| Measure::from_word(&word));
            if measure.is_some_and(|measure| measure.is_of_verdicts())
                && first.as_ref().is_none_or(|(_, earliest)| since < *earliest)
            {
                first = Some((alert, since));
            }
        }
    }
    Ok(first)
}

/// What is asked of people, for those who ask.
#[derive(Debug)]
pub struct Requests {
    db: Connection,
    path: PathBuf,
}

impl Requests {
    /// Opens a database to ask.
    ///
    /// # Errors
    /// What SQLite says; a file that is not there is an error.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let sqlite = |source| LedgerError::Sqlite { doing: "opening", path: path.to_owned(), source };
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(sqlite)?;
        db.busy_timeout(std::time::Duration::from_secs(5)).map_err(sqlite)?;
        db.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;").map_err(sqlite)?;
        Ok(Self { db, path: path.to_owned() })
    }

    fn sqlite(&self, doing: &'static str, source: rusqlite::Error) -> LedgerError {
        LedgerError::Sqlite { doing, path: self.path.clone(), source }
    }

    /// Lets `draw` choose among the cases that wait and writes down what it chose. Returns also the ids of
    /// the requests.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn ask(
        &mut self,
        pool: Pool<'_>,
        (now, who): (Timestamp, &str),
        draw: impl FnOnce(Vec<WaitingCase>) -> Vec<Drawn>,
    ) -> Result<(Vec<Drawn>, Vec<i64>), LedgerError> {
        let run = |db: &mut Connection| -> rusqlite::Result<(Vec<Drawn>, Vec<i64>)> {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let drawn = draw(waiting(&transaction, pool)?);
            let mut ids = Vec::with_capacity(drawn.len());
            for one in &drawn {
                let case = &one.case;
                transaction
                    .prepare_cached(
                        "INSERT INTO label_requests (at_ms, who, stream_id, case_ms, key, agent, event_id, confidence,
                         escalated, sampled, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                    )?
                    .execute(params![
                        now.as_millis(),
                        who,
                        case.stream,
                        case.at.as_millis(),
                        case.key,
                        case.agent,
                        case.event_id,
                        case.confidence,
                        case.escalated,
                        one.sampled,
                        one.why
                    ])?;
                ids.push(transaction.last_insert_rowid());
            }
            transaction.commit()?;
            Ok((drawn, ids))
        };
        run(&mut self.db).map_err(|source| LedgerError::Sqlite {
            doing: "asking for verdicts",
            path: self.path.clone(),
            source,
        })
    }

    /// Takes requests back that nobody took.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn withdraw(&mut self, ids: &[i64]) -> Result<(), LedgerError> {
        let run = |db: &mut Connection| -> rusqlite::Result<()> {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut delete = transaction.prepare("DELETE FROM label_requests WHERE id = ?1")?;
            ids.iter().try_for_each(|id| delete.execute([id]).map(drop))?;
            drop(delete);
            transaction.commit()
        };
        run(&mut self.db).map_err(|source| self.sqlite("taking requests back", source))
    }

    /// The database, for looking.
    pub const fn db(&self) -> &Connection {
        &self.db
    }
}

fn waiting(db: &Transaction<'_>, pool: Pool<'_>) -> rusqlite::Result<Vec<WaitingCase>> {
    let mut select = db.prepare(
        "SELECT key, at_ms, agent, event_id, confidence, escalated, share FROM cases c
         WHERE stream_id = ?1 AND at_ms >= ?2 AND judged_ms IS NULL AND (?3 OR NOT EXISTS (SELECT 1 FROM label_requests r
         WHERE r.stream_id = c.stream_id AND r.case_ms = c.at_ms AND r.key = c.key))",
    )?;
    let mut cases = Vec::new();
    for stream in pool.streams {
        let rows = select.query_map(params![stream.id, pool.from.as_millis(), pool.again], |row| {
            Ok(WaitingCase {
                stream: stream.id,
                key: row.get(0)?,
                at: Timestamp::from_millis(row.get(1)?),
                agent: row.get(2)?,
                event_id: row.get(3)?,
                confidence: row.get(4)?,
                escalated: row.get(5)?,
                share: row.get(6)?,
            })
        })?;
        for row in rows {
            cases.push(row?);
        }
    }
    Ok(cases)
}

impl Drawn {
    /// A case that was drawn with that chance.
    pub fn of(case: &WaitingCase, chance: Chance, why: String) -> Self {
        Self { case: case.clone(), sampled: case.share * chance.drawn, why }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Identity, Ledger};
    use super::*;
    use crate::engine::recent::key;
    use crate::engine::units::Span;

    const NOW: Timestamp = Timestamp::from_millis(1_790_863_500_000);

    fn case(nth: i64) -> Case {
        let event_id = format!("e{nth}");
        Case {
            key: key("clerk", &event_id),
            agent: "clerk".to_owned(),
            event_id,
            at: NOW.plus(Span::SECOND.times(nth)),
            confidence: 0.5,
            escalated: None,
            share: 0.1,
        }
    }

    #[test]
    fn the_newest_cases_of_a_stream_stay_and_those_of_others_are_let_alone() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { topic: "t".to_owned(), group_by: "agent".to_owned() };
        let mut ledger = Ledger::open(folder.path(), &identity).unwrap();
        let transaction = ledger.db.transaction().unwrap();
        write(&transaction, 2, &case(-1)).unwrap();
        for nth in 0..CASES_MAX + 10 {
            write(&transaction, 1, &case(nth)).unwrap();
        }
        // A record that is read twice.
        write(&transaction, 1, &case(CASES_MAX)).unwrap();
        mark(&transaction, 1, (case(20).at, case(20).key), (NOW, false)).unwrap();
        let one = |sql: &str| transaction.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(one("SELECT count(*) FROM cases WHERE stream_id = 1"), CASES_MAX);
        assert_eq!(one("SELECT min(at_ms) FROM cases WHERE stream_id = 1"), case(10).at.as_millis());
        assert_eq!(one("SELECT count(*) FROM cases WHERE stream_id = 2"), 1);
        assert_eq!(
            one("SELECT count(*) FROM cases WHERE judged_ms IS NOT NULL AND NOT correct AND event_id = 'e20'"),
            1
        );
    }
}

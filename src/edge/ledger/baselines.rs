//! Baselines: learnt, promoted, retired, and who did it and why.
//!
//! These rows are written by the command line beside a running daemon: short transactions that wait for each other. The
//! daemon sees a promotion within seconds and takes it up between two batches.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::blob::{decode, encode};
use super::rows::{ProfileSummary, json};
use super::{Ledger, LedgerError};
use crate::engine::baseline::{BaselineSet, Profile};
use crate::engine::units::Timestamp;

/// A baseline as a row.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BaselineRow {
    /// `name@version`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version, from 1.
    pub version: i64,
    /// Where it was learnt from.
    pub source: String,
    /// When.
    pub learnt_at_ms: i64,
    /// `learnt`, `promoted` or `retired`.
    pub state: String,
    /// How many streams it knows.
    pub streams: i64,
}

/// One stream of a baseline that was learnt.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LearntStream {
    /// The stream's labels.
    pub labels: BTreeMap<String, String>,
    /// Its profile.
    pub profile: Profile,
}

/// The baselines of a database, for those who change them.
#[derive(Debug)]
pub struct Baselines {
    db: Connection,
    path: std::path::PathBuf,
}

impl Baselines {
    /// Opens a database to change its baselines; makes it where it is not there.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        if !path.exists() {
            drop(Ledger::create(path)?);
        }
        let sqlite = |source| LedgerError::Sqlite { doing: "opening", path: path.to_owned(), source };
        let db = Connection::open(path).map_err(sqlite)?;
        db.busy_timeout(std::time::Duration::from_secs(5)).map_err(sqlite)?;
        db.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;").map_err(sqlite)?;
        Ok(Self { db, path: path.to_owned() })
    }

    fn sqlite(&self, doing: &'static str, source: rusqlite::Error) -> LedgerError {
        LedgerError::Sqlite { doing, path: self.path.clone(), source }
    }

    /// Writes down a new version of a baseline.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn learn(
        &mut self,
        name: &str,
        source: &str,
        streams: &BTreeMap<String, LearntStream>,
        act: &Act<'_>,
    ) -> Result<String, LedgerError> {
        let run = |db: &mut Connection| -> rusqlite::Result<String> {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let version: i64 = transaction.query_row(
                "SELECT coalesce(max(version), 0) + 1 FROM baselines WHERE name = ?1",
                [name],
                |row| row.get(0),
            )?;
            let id = format!("{name}@{version}");
            transaction.execute(
                "INSERT INTO baselines (id, name, version, source, learnt_at_ms, state) VALUES (?1, ?2, ?3, ?4, ?5, 'learnt')",
                params![id, name, version, source, act.now.as_millis()],
            )?;
            for (key, stream) in streams {
                insert_stream(&transaction, &id, key, stream)?;
            }
            record(&transaction, &id, "learnt", act)?;
            transaction.commit()?;
            Ok(id)
        };
        run(&mut self.db).map_err(|source| LedgerError::Sqlite {
            doing: "writing a baseline",
            path: self.path.clone(),
            source,
        })
    }

    /// Puts a baseline in force, and retires the one that was.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn promote(&mut self, id: &str, act: &Act<'_>) -> Result<(), LedgerError> {
        let run = |db: &mut Connection| -> rusqlite::Result<()> {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let old: Option<String> = transaction
                .query_row("SELECT id FROM baselines WHERE state = 'promoted' AND id <> ?1", [id], |row| row.get(0))
                .optional()?;
            if let Some(old) = old {
                transaction.execute("UPDATE baselines SET state = 'retired' WHERE id = ?1", [&old])?;
                record(&transaction, &old, "retired", act)?;
            }
            transaction.execute("UPDATE baselines SET state = 'promoted' WHERE id = ?1", [id])?;
            record(&transaction, id, "promoted", act)?;
            transaction.commit()
        };
        run(&mut self.db).map_err(|source| LedgerError::Sqlite {
            doing: "promoting a baseline",
            path: self.path.clone(),
            source,
        })
    }

    /// All baselines, newest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn list(&self) -> Result<Vec<BaselineRow>, LedgerError> {
        list(&self.db).map_err(|source| self.sqlite("listing baselines", source))
    }
}

/// Who does something with a baseline, when and why.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// Wall time.
    pub now: Timestamp,
    /// The user.
    pub who: &'a str,
    /// The reason given.
    pub why: &'a str,
}

fn record(db: &Connection, id: &str, action: &str, act: &Act<'_>) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO baseline_events (at_ms, baseline, action, who, why) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![act.now.as_millis(), id, action, act.who, act.why],
    )
    .map(drop)
}

fn insert_stream(db: &Connection, id: &str, key: &str, stream: &LearntStream) -> rusqlite::Result<()> {
    let summary = ProfileSummary::of(&stream.profile);
    db.execute(
        "INSERT INTO baseline_streams (baseline, stream_key, labels, outputs, labelled, correct, first_ms, last_ms,
         confidence_mean, latency_p95_ms, profile, levels) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            id,
            key,
            json(&stream.labels),
            summary.outputs,
            summary.labelled,
            summary.correct,
            summary.first_ms,
            summary.last_ms,
            summary.confidence_mean,
            summary.latency_p95_ms,
            encode(&stream.profile),
            summary.levels
        ],
    )
    .map(drop)
}

/// All baselines of a database, newest first.
///
/// # Errors
/// What SQLite says.
pub fn list(db: &Connection) -> rusqlite::Result<Vec<BaselineRow>> {
    db.prepare(
        "SELECT id, name, version, source, learnt_at_ms, state,
         (SELECT count(*) FROM baseline_streams s WHERE s.baseline = b.id)
         FROM baselines b ORDER BY learnt_at_ms DESC, name, version DESC",
    )?
    .query_map([], |row| {
        Ok(BaselineRow {
            id: row.get(0)?,
            name: row.get(1)?,
            version: row.get(2)?,
            source: row.get(3)?,
            learnt_at_ms: row.get(4)?,
            state: row.get(5)?,
            streams: row.get(6)?,
        })
    })?
    .collect()
}

/// The streams of one baseline.
///
/// # Errors
/// What SQLite says; a profile that cannot be read counts as damage.
pub fn streams(db: &Connection, id: &str) -> rusqlite::Result<BTreeMap<String, LearntStream>> {
    each_stream(db, id)?.into_iter().map(|(key, stream)| Ok((key, stream?))).collect()
}

type Read<T> = rusqlite::Result<T>;

/// The streams of one baseline by their keys, each read or not.
fn each_stream(db: &Connection, id: &str) -> Read<Vec<(String, Read<LearntStream>)>> {
    let mut select = db.prepare("SELECT stream_key, labels, profile FROM baseline_streams WHERE baseline = ?1")?;
    let rows = select
        .query_map([id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?)))?;
    let read = |labels: &str, profile: &[u8]| {
        let broken = |why: String| rusqlite::Error::ToSqlConversionFailure(why.into());
        let labels = serde_json::from_str(labels).map_err(|e| broken(e.to_string()))?;
        Ok(LearntStream { labels, profile: decode(profile).map_err(|e| broken(e.to_string()))? })
    };
    rows.map(|row| row.map(|(key, labels, profile)| (key, read(&labels, &profile)))).collect()
}

impl Ledger {
    /// The baselines in force. A stream whose profile cannot be read is without one: it learns its own. That is said and
    /// counted.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn promoted(&self) -> Result<BaselineSet, LedgerError> {
        let run = || -> rusqlite::Result<BaselineSet> {
            let id: Option<String> = self
                .db
                .query_row("SELECT id FROM baselines WHERE state = 'promoted'", [], |row| row.get(0))
                .optional()?;
            let Some(id) = id else { return Ok(BaselineSet::default()) };
            let mut streams = BTreeMap::new();
            for (key, stream) in each_stream(&self.db, &id)? {
                match stream {
                    Ok(stream) => drop(streams.insert(key, stream.profile)),
                    Err(error) => {
                        tracing::error!(baseline = id, stream = key, %error, "a stream's profile cannot be read; the stream learns its own");
                        self.count_damage(1);
                    }
                }
            }
            Ok(BaselineSet { id, streams })
        };
        run().map_err(|source| self.sqlite("reading the promoted baseline", source))
    }

    /// The name of the baselines in force: cheap enough to look every few seconds.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn promoted_id(&self) -> Result<String, LedgerError> {
        self.db
            .query_row("SELECT id FROM baselines WHERE state = 'promoted'", [], |row| row.get(0))
            .optional()
            .map(Option::unwrap_or_default)
            .map_err(|source| self.sqlite("looking for a promotion", source))
    }
}

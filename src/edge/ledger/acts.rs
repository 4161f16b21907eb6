//! What people did to alerts: silences, acknowledgements, verdicts.

use rusqlite::{Transaction, params};

use super::rows::json;
use super::{Ledger, LedgerError};
use crate::engine::alert::Id;
use crate::engine::route::Silence;
use crate::engine::units::Timestamp;

/// What an alert turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Something was wrong.
    True,
    /// Nothing was wrong.
    False,
    /// Something had changed, and it did not matter.
    Noise,
}

impl Verdict {
    /// The word used in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Noise => "noise",
        }
    }
}

/// Something that somebody did. `made_by` is who that was by the system's word, where the name they give is theirs to choose.
#[derive(Clone, Debug, PartialEq)]
pub enum OperatorAct {
    /// A silence was made.
    Silenced {
        /// The silence.
        silence: Silence,
        /// Who made it.
        made_by: String,
    },
    /// A silence was ended before its time.
    SilenceEnded {
        /// Which.
        id: Id,
        /// Who ended it.
        by: String,
    },
    /// An alert was taken on, or judged.
    Acknowledged {
        /// Which.
        alert: Id,
        /// Whose it is now.
        owner: String,
        /// Who said so.
        made_by: String,
        /// What they said; may be empty.
        note: String,
        /// What it turned out to be, where that is known.
        verdict: Option<Verdict>,
    },
}

pub(super) fn write(db: &Transaction<'_>, act: &OperatorAct, now: Timestamp) -> rusqlite::Result<()> {
    match act {
        OperatorAct::Silenced { silence, made_by } => db
            .prepare_cached(
                "INSERT INTO silences (id, matchers, author, comment, made_by, created_at_ms, starts_at_ms, ends_at_ms,
                 fired, resolved) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                silence.id.to_string(),
                json(&silence.matchers),
                silence.author,
                silence.comment,
                made_by,
                silence.created_at.as_millis(),
                silence.starts_at.as_millis(),
                silence.ends_at.as_millis(),
                silence.fired as i64,
                silence.resolved as i64
            ])
            .map(drop),
        OperatorAct::SilenceEnded { id, by } => db
            .prepare_cached("UPDATE silences SET ends_at_ms = min(ends_at_ms, ?2), ended_by = ?3 WHERE id = ?1")?
            .execute(params![id.to_string(), now.as_millis(), by])
            .map(drop),
        OperatorAct::Acknowledged { alert, owner, made_by, note, verdict } => db
            .prepare_cached(
                "INSERT INTO acknowledgements (alert_id, at_ms, owner, made_by, note, verdict, took)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, (SELECT state = 'firing' FROM alerts WHERE id = ?1))",
            )?
            .execute(params![alert.to_string(), now.as_millis(), owner, made_by, note, verdict.map(Verdict::as_str)])
            .map(drop),
    }
}

/// Brings up to date what happened under a silence.
pub(super) fn count(db: &Transaction<'_>, silence: &Silence) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE silences SET fired = ?2, resolved = ?3 WHERE id = ?1")?
        .execute(params![silence.id.to_string(), silence.fired as i64, silence.resolved as i64])
        .map(drop)
}

/// An alert as those who act on it name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedAlert {
    /// Its id.
    pub id: Id,
    /// The alert's name.
    pub alert: String,
    /// Whether it fires.
    pub fires: bool,
}

impl Ledger {
    /// The alerts whose ids begin so, at most three: one is what one hopes for.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn alerts_named(&self, prefix: &str) -> Result<Vec<NamedAlert>, LedgerError> {
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(Vec::new());
        }
        let select = "SELECT id, alert, state = 'firing' FROM alerts WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 3";
        let rows = self.db.prepare_cached(select).and_then(|mut select| {
            let found = select.query_map([prefix.to_ascii_lowercase()], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
            })?;
            found.collect::<rusqlite::Result<Vec<_>>>()
        });
        let rows = rows.map_err(|source| self.sqlite("looking for an alert", source))?;
        let named = |(id, alert, fires): (String, String, bool)| {
            Some(NamedAlert { id: Id(u128::from_str_radix(&id, 16).ok()?), alert, fires })
        };
        Ok(rows.into_iter().filter_map(named).collect())
    }
}

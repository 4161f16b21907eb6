//! The outbox: messages that were decided, until they are out or dead.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::rows::json;
use super::{Ledger, LedgerError};
use crate::edge::failpoint::{Point, reach};
use crate::edge::notify::LONGEST_PAUSE;
use crate::engine::alert::Id;
use crate::engine::route::{Message, Note, Status};
use crate::engine::units::{Span, Timestamp};

/// A message that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// The message.
    pub message: Message,
    /// When it was decided.
    pub created_at: Timestamp,
    /// How many attempts there were.
    pub attempts: u32,
    /// Whether to send the fixed text that holds nothing from agents, because the full one was refused for good.
    pub fallback: bool,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// Not now: again at that time.
    Retry {
        /// When.
        at: Timestamp,
        /// The class of the failure.
        class: String,
        /// What was said.
        detail: String,
    },
    /// Refused for good: try once more without agents' text.
    Fallback {
        /// The class of the failure.
        class: String,
        /// What was said.
        detail: String,
    },
    /// Given up.
    Dead {
        /// The class of the failure.
        class: String,
        /// What was said.
        detail: String,
    },
}

/// The longest pause that a failure or a receiver brings about. What is to wait longer was written down before the wall clock
/// was set back, and is due.
const WAITS_AT_MOST: Span = Span::from_millis(LONGEST_PAUSE.as_millis() as i64);

/// A receiver's (`?1`) pending messages, each with whether it waits behind an older one of its group. Told out of order,
/// an end before its beginning would open an incident that nobody ends. A message that failed thirty times, which takes
/// an hour or more, keeps no other back: perhaps it is what it holds that the receiver cannot take.
const IN_TURN: &str = "in_turn AS (
  SELECT id, status, next_at_ms, created_at_ms, coalesce(max(attempts < 30) OVER (
    PARTITION BY group_key ORDER BY created_at_ms, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS behind
  FROM outbox WHERE state = 'pending' AND receiver = ?1)";

/// Writes a message that was decided. A message that is there already (a replayed decision) stays as it is. In its group it
/// comes after all that wait, even where the wall clock was set back or stands still: they are told in the order of their
/// time.
pub(super) fn insert(db: &Transaction<'_>, message: &Message, now: Timestamp) -> rusqlite::Result<()> {
    let id = message.id.to_string();
    let new = db
        .prepare_cached(
            "INSERT INTO outbox (id, receiver, group_key, status, occasion, created_at_ms, state, attempts, fallback,
             next_at_ms, message) VALUES (?1, ?2, ?3, ?4, ?5, max(?6, coalesce((SELECT max(created_at_ms) + 1 FROM outbox
             WHERE state = 'pending' AND receiver = ?2 AND group_key = ?3), ?6)), 'pending', 0, 0, ?6, ?7)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            id,
            message.receiver,
            message.group_key,
            json(&message.status).trim_matches('"'),
            json(&message.occasion).trim_matches('"'),
            now.as_millis(),
            json(message)
        ])?;
    if new == 0 {
        return Ok(());
    }
    for crossing in &message.crossings {
        db.prepare_cached(
            "INSERT INTO outbox_alerts (message, notice, alert_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(params![id, crossing.id.to_string(), crossing.alert_id.to_string()])?;
    }
    Ok(())
}

struct DueRow {
    id: String,
    text: String,
    created_at: Timestamp,
    attempts: u32,
    fallback: bool,
}

impl Ledger {
    /// The messages of a receiver that are due, of each group the oldest: first those with a critical alert that fires,
    /// then the others, in each the oldest first, so that what matters most does not wait behind a thousand others after
    /// an outage.
    ///
    /// # Errors
    /// What SQLite says. A message that cannot be read is given up, and said so, instead of blocking the others.
    pub fn due(&mut self, receiver: &str, now: Timestamp, most: usize) -> Result<Vec<Due>, LedgerError> {
        let rows = self.due_rows(receiver, now, most).map_err(|source| self.sqlite("reading the outbox", source))?;
        let mut due = Vec::new();
        for DueRow { id, text, created_at, attempts, fallback } in rows {
            match serde_json::from_str(&text) {
                Ok(message) => due.push(Due { message, created_at, attempts, fallback }),
                Err(error) => {
                    tracing::error!(message = id, %error, "a message of the outbox cannot be read; it is given up");
                    let outcome = Outcome::Dead { class: "unreadable".to_owned(), detail: error.to_string() };
                    self.settle(&id, &outcome, now)?;
                }
            }
        }
        Ok(due)
    }

    fn due_rows(&self, receiver: &str, now: Timestamp, most: usize) -> rusqlite::Result<Vec<DueRow>> {
        let select = format!(
            "WITH {IN_TURN}, first AS (
               SELECT id, created_at_ms, status = 'firing' AND EXISTS (SELECT 1 FROM outbox_alerts JOIN alerts
                   ON alerts.id = outbox_alerts.alert_id
                   WHERE outbox_alerts.message = in_turn.id AND alerts.severity = 'critical') AS worst
               FROM in_turn WHERE NOT behind AND (next_at_ms <= ?2 OR next_at_ms > ?4)
               ORDER BY worst DESC, created_at_ms, id LIMIT ?3)
             SELECT id, message, outbox.created_at_ms, attempts, fallback FROM first JOIN outbox USING (id)
             ORDER BY worst DESC, first.created_at_ms, id"
        );
        let beyond = now.plus(WAITS_AT_MOST);
        self.db
            .prepare_cached(&select)?
            .query_map(params![receiver, now.as_millis(), most as i64, beyond.as_millis()], |row| {
                Ok(DueRow {
                    id: row.get(0)?,
                    text: row.get(1)?,
                    created_at: Timestamp::from_millis(row.get(2)?),
                    attempts: row.get(3)?,
                    fallback: row.get(4)?,
                })
            })?
            .collect()
    }

    /// When a receiver's next message is due.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn next_due(&self, receiver: &str) -> Result<Option<Timestamp>, LedgerError> {
        let select = format!("WITH {IN_TURN} SELECT min(next_at_ms) FROM in_turn WHERE NOT behind");
        self.db
            .prepare_cached(&select)
            .and_then(|mut select| select.query_row([receiver], |row| row.get(0)))
            .map(|at: Option<i64>| at.map(Timestamp::from_millis))
            .map_err(|source| self.sqlite("reading the outbox", source))
    }

    /// How many messages are pending and how many dead, by receiver; nothing of a receiver without either.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn outbox_counts(&self) -> Result<BTreeMap<String, (u64, u64)>, LedgerError> {
        let select = "SELECT receiver, count(*) FILTER (WHERE state = 'pending'),
             count(*) FILTER (WHERE state = 'dead') FROM outbox WHERE state IN ('pending', 'dead') GROUP BY receiver";
        let read = |db: &rusqlite::Connection| -> rusqlite::Result<BTreeMap<String, (u64, u64)>> {
            db.prepare_cached(select)?
                .query_map([], |row| Ok((row.get(0)?, (row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64))))?
                .collect()
        };
        read(&self.db).map_err(|source| self.sqlite("counting the outbox", source))
    }

    /// Says who is told what another receiver could not be told; nobody, where it is not said.
    pub fn pass_dead_letters_to(&mut self, receiver: Option<String>) {
        self.second = receiver;
    }

    /// Writes down how an attempt ended. A message that is given up goes to the second receiver, in the same transaction.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn settle(&mut self, message: &str, outcome: &Outcome, now: Timestamp) -> Result<(), LedgerError> {
        let (path, second) = (self.path.clone(), self.second.clone());
        let run = |db: &mut rusqlite::Connection| -> rusqlite::Result<()> {
            let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            settle(&transaction, message, outcome, now)?;
            if let Some(second) = &second {
                pass_on(&transaction, message, outcome, second, now)?;
            }
            transaction.commit()
        };
        run(&mut self.db).map_err(|source| LedgerError::of("settling a delivery", &path, source))?;
        reach(Point::MessageSettled);
        Ok(())
    }
}

fn settle(db: &Transaction<'_>, message: &str, outcome: &Outcome, now: Timestamp) -> rusqlite::Result<()> {
    let (word, state, next, class, detail) = match outcome {
        Outcome::Delivered => ("delivered", "delivered", now, None, None),
        Outcome::Retry { at, class, detail } => ("retry", "pending", *at, Some(class), Some(detail)),
        Outcome::Fallback { class, detail } => ("refused", "pending", now, Some(class), Some(detail)),
        Outcome::Dead { class, detail } => ("dead", "dead", now, Some(class), Some(detail)),
    };
    let done = (state != "pending").then_some(now.as_millis());
    let fallback = matches!(outcome, Outcome::Fallback { .. });
    db.prepare_cached(
        "UPDATE outbox SET state = ?2, attempts = attempts + 1, fallback = max(fallback, ?3), next_at_ms = ?4,
         done_at_ms = ?5, last_error = ?6 WHERE id = ?1",
    )?
    .execute(params![message, state, fallback, next.as_millis(), done, detail])?;
    db.prepare_cached(
        "INSERT INTO deliveries (message, attempt, at_ms, outcome, class, detail)
         SELECT ?1, attempts, ?2, ?3, ?4, ?5 FROM outbox WHERE id = ?1",
    )?
    .execute(params![message, now.as_millis(), word, class, detail])?;
    Ok(())
}

/// Tells a second receiver what the first could not be told, and then also how it ends, even where the first could be told
/// that again: what was opened there must not stay open.
fn pass_on(db: &Transaction<'_>, id: &str, outcome: &Outcome, second: &str, now: Timestamp) -> rusqlite::Result<()> {
    if !matches!(outcome, Outcome::Dead { .. } | Outcome::Delivered) {
        return Ok(());
    }
    let select = "SELECT message FROM outbox WHERE id = ?1 AND receiver <> ?2";
    let text: Option<String> = db.prepare_cached(select)?.query_row([id, second], |row| row.get(0)).optional()?;
    let Some(mut message) = text.and_then(|text| serde_json::from_str::<Message>(&text).ok()) else { return Ok(()) };
    let group_key = format!("{second}|undelivered:{}", message.group_key);
    if let Outcome::Dead { class, .. } = outcome {
        message.notes.push(Note::Undelivered { receiver: message.receiver, class: class.clone() });
    } else {
        let open = "SELECT EXISTS (SELECT 1 FROM outbox WHERE receiver = ?1 AND group_key = ?2)";
        let told: bool = db.prepare_cached(open)?.query_row([second, &group_key], |row| row.get(0))?;
        if message.status == Status::Firing || !told {
            return Ok(());
        }
    }
    let derived = |of: Id| Id::of(&[b"dead letter", second.as_bytes(), &of.0.to_be_bytes()]);
    (message.id, message.thread) = (derived(message.id), derived(message.thread));
    (message.receiver, message.group_key) = (second.to_owned(), group_key);
    insert(db, &message, now)
}

#[cfg(test)]
mod tests {
    use super::super::{Commit, Identity};
    use super::*;
    use crate::engine::Effect;
    use crate::engine::alert::{Crossing, Reason, State};
    use crate::engine::route::Occasion;
    use crate::engine::units::{Offset, Partition, Span};

    fn crossing(id: u128, severity: &str, to: State) -> Crossing {
        let at = Timestamp::from_millis(1_790_863_500_000);
        Crossing {
            alert_id: Id(id),
            id: Id(id + 1_000),
            transition: 1,
            rule: "g/A".to_owned(),
            alert: "A".to_owned(),
            labels: [("severity".to_owned(), severity.to_owned())].into(),
            annotations: BTreeMap::new(),
            from: State::Pending,
            to,
            reason: Reason::Signalled,
            at,
            started_at: at,
            position: (Partition(0), Offset(0)),
            account: None,
        }
    }

    fn message(crossing: &Crossing) -> Message {
        let over = crossing.to == State::Resolved;
        Message {
            id: crossing.alert_id,
            thread: crossing.alert_id,
            receiver: "ops".to_owned(),
            group_key: crossing.alert_id.to_string(),
            group_labels: BTreeMap::new(),
            status: if over { Status::Resolved } else { Status::Firing },
            occasion: Occasion::First,
            crossings: vec![crossing.clone()],
            notes: Vec::new(),
        }
    }

    #[test]
    fn after_an_outage_the_oldest_critical_alert_that_fires_goes_out_first() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { topic: "t".to_owned(), group_by: "agent".to_owned() };
        let mut ledger = Ledger::open(folder.path(), &identity).unwrap();
        let start = Timestamp::from_millis(1_790_863_500_000);
        let all = [
            (1, "warning", State::Firing),
            (2, "critical", State::Resolved),
            (3, "critical", State::Firing),
            (4, "", State::Firing),
            (5, "critical", State::Firing),
        ];
        for (id, severity, to) in all {
            let crossing = crossing(id, severity, to);
            let messages = [message(&crossing)];
            let effects = [(Partition(0), Effect::Crossed(Box::new(crossing)))];
            let now = start.plus(Span::MINUTE.times(id as i64));
            let commit = Commit { effects: &effects, messages: &messages, ..Commit::at(now) };
            ledger.commit(commit).unwrap();
        }
        let now = start.plus(Span::HOUR);
        let order = |ledger: &mut Ledger| -> Vec<u128> {
            ledger.due("ops", now, 10).unwrap().iter().map(|due| due.message.id.0).collect()
        };
        assert_eq!(order(&mut ledger), [3, 5, 1, 2, 4]);
        // One that must wait keeps no other group back.
        let retry = Outcome::Retry { at: now.plus(Span::MINUTE), class: "timeout".to_owned(), detail: String::new() };
        ledger.settle(&Id(3).to_string(), &retry, now).unwrap();
        assert_eq!(order(&mut ledger), [5, 1, 2, 4]);
        assert_eq!(ledger.outbox_counts().unwrap(), [("ops".to_owned(), (5, 0))].into());
    }

    #[test]
    fn a_wall_clock_that_is_set_back_keeps_no_message_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { topic: "t".to_owned(), group_by: "agent".to_owned() };
        let mut ledger = Ledger::open(folder.path(), &identity).unwrap();
        let tomorrow = Timestamp::from_millis(86_400_000);
        let told = message(&crossing(1, "critical", State::Firing));
        insert_all(&mut ledger, std::slice::from_ref(&told), tomorrow);
        assert_eq!(ledger.due("ops", Timestamp::from_millis(0), 10).unwrap().len(), 1);
        // A pause that is asked for is kept.
        let at = Timestamp::from_millis(600_000);
        let outcome = Outcome::Retry { at, class: "rate_limited".to_owned(), detail: String::new() };
        ledger.settle(&told.id.to_string(), &outcome, tomorrow).unwrap();
        assert_eq!(ledger.due("ops", Timestamp::from_millis(1), 10).unwrap(), []);
        assert_eq!(ledger.due("ops", at, 10).unwrap().len(), 1);
    }

    fn insert_all(ledger: &mut Ledger, messages: &[Message], now: Timestamp) {
        let commit = Commit { messages, ..Commit::at(now) };
        ledger.commit(commit).unwrap();
    }

    #[test]
    fn the_end_of_an_incident_is_not_told_before_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { topic: "t".to_owned(), group_by: "agent".to_owned() };
        let mut ledger = Ledger::open(folder.path(), &identity).unwrap();
        let start = Timestamp::from_millis(1_790_863_500_000);
        let group = |message: Message| Message { group_key: "g".to_owned(), ..message };
        let begin = group(message(&crossing(1, "critical", State::Firing)));
        let end = group(message(&crossing(2, "critical", State::Resolved)));
        let other = message(&crossing(3, "warning", State::Firing));
        insert_all(&mut ledger, &[begin], start);
        insert_all(&mut ledger, &[end], start.plus(Span::MINUTE));
        insert_all(&mut ledger, &[other], start.plus(Span::MINUTE.times(2)));
        let now = start.plus(Span::HOUR);
        let order = |ledger: &mut Ledger, now: Timestamp| -> Vec<u128> {
            ledger.due("ops", now, 10).unwrap().iter().map(|due| due.message.id.0).collect()
        };
        assert_eq!(order(&mut ledger, now), [1, 3]);
        let later = now.plus(Span::MINUTE.times(5));
        let retry = Outcome::Retry { at: later, class: "timeout".to_owned(), detail: String::new() };
        let first = Id(1).to_string();
        ledger.settle(&first, &retry, now).unwrap();
        ledger.settle(&Id(3).to_string(), &Outcome::Delivered, now).unwrap();
        // Nothing is due, and nothing is waited for in a hurry.
        assert_eq!(order(&mut ledger, now), [0; 0]);
        assert_eq!(ledger.next_due("ops").unwrap(), Some(later));
        for _ in 0..28 {
            ledger.settle(&first, &retry, now).unwrap();
        }
        assert_eq!(order(&mut ledger, now), [0; 0]);
        ledger.settle(&first, &retry, now).unwrap();
        assert_eq!(order(&mut ledger, now), [2], "thirty failures are enough");
        ledger.settle(&first, &Outcome::Delivered, now).unwrap();
        assert_eq!(order(&mut ledger, now), [2]);
    }

    #[test]
    fn a_clock_that_is_set_back_or_stands_still_does_not_turn_the_order_of_a_group() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { topic: "t".to_owned(), group_by: "agent".to_owned() };
        let mut ledger = Ledger::open(folder.path(), &identity).unwrap();
        let start = Timestamp::from_millis(1_790_863_500_000);
        let group = |id, state| Message { group_key: "g".to_owned(), ..message(&crossing(id, "critical", state)) };
        insert_all(&mut ledger, &[group(9, State::Firing)], start);
        insert_all(&mut ledger, &[group(5, State::Resolved), group(7, State::Firing)], start.minus(Span::HOUR));
        insert_all(&mut ledger, &[group(1, State::Resolved)], start);
        // All of them are due at once, and none waits for the time that the clock showed before.
        assert_eq!(ledger.next_due("ops").unwrap(), Some(start));
        let mut told = Vec::new();
        while let Some(due) = ledger.due("ops", start, 1).unwrap().pop() {
            told.push(due.message.id.0);
            ledger.settle(&due.message.id.to_string(), &Outcome::Delivered, start).unwrap();
        }
        assert_eq!(told, [9, 5, 7, 1]);
    }

    #[test]
    fn what_one_receiver_cannot_be_told_is_told_to_another_with_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { topic: "t".to_owned(), group_by: "agent".to_owned() };
        let mut ledger = Ledger::open(folder.path(), &identity).unwrap();
        ledger.pass_dead_letters_to(Some("second".to_owned()));
        let start = Timestamp::from_millis(1_790_863_500_000);
        let group = |message: Message| Message { group_key: "g".to_owned(), thread: Id(1), ..message };
        let begin = group(message(&crossing(1, "critical", State::Firing)));
        let end = group(message(&crossing(2, "critical", State::Resolved)));
        let other = message(&crossing(3, "warning", State::Resolved));
        insert_all(&mut ledger, &[begin, other, end], start);
        let dead = Outcome::Dead { class: "refused".to_owned(), detail: "554 no".to_owned() };
        let told = |ledger: &mut Ledger| -> Vec<Message> {
            let due = ledger.due("second", start, 10).unwrap();
            due.into_iter().map(|due| due.message).collect()
        };
        // Asked for again after a crash, it is the same one.
        ledger.settle(&Id(1).to_string(), &dead, start).unwrap();
        ledger.settle(&Id(1).to_string(), &dead, start).unwrap();
        let first = told(&mut ledger);
        assert_eq!(first.len(), 1);
        let note = Note::Undelivered { receiver: "ops".to_owned(), class: "refused".to_owned() };
        assert_eq!((&first[0].status, &first[0].notes), (&Status::Firing, &vec![note]));
        ledger.settle(&first[0].id.to_string(), &Outcome::Delivered, start).unwrap();
        assert_eq!(told(&mut ledger), [], "what is delivered goes no further");

        // Its end reached the first, and goes to who had to hear of it; that of another group does not.
        ledger.settle(&Id(3).to_string(), &Outcome::Delivered, start).unwrap();
        ledger.settle(&Id(2).to_string(), &Outcome::Delivered, start).unwrap();
        let then = told(&mut ledger);
        assert_eq!(
            then.iter().map(|m| (m.status, m.thread)).collect::<Vec<_>>(),
            [(Status::Resolved, first[0].thread)]
        );

        // What the second cannot be told is dead: nobody is third.
        ledger.settle(&then[0].id.to_string(), &dead, start).unwrap();
        assert_eq!(told(&mut ledger), []);
        assert_eq!(ledger.outbox_counts().unwrap(), [("ops".to_owned(), (0, 1)), ("second".to_owned(), (0, 1))].into());
    }

    #[test]
    fn five_thousand_messages_that_wait_are_found_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { topic: "t".to_owned(), group_by: "agent".to_owned() };
        let mut ledger = Ledger::open(folder.path(), &identity).unwrap();
        let start = Timestamp::from_millis(1_790_863_500_000);
        let messages: Vec<Message> = (0..5_000).map(|id| message(&crossing(id, "warning", State::Firing))).collect();
        insert_all(&mut ledger, &messages, start);
        let mut told = Vec::new();
        while told.len() < 100 {
            let due = ledger.due("ops", start, 1).unwrap().pop().unwrap();
            ledger.settle(&due.message.id.to_string(), &Outcome::Delivered, start).unwrap();
            told.push(due.message.id.0);
        }
        assert_eq!(told, (0..100).collect::<Vec<u128>>());
    }
}

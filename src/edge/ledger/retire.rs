//! What is deleted because it is older than it is kept.

use rusqlite::{ToSql, Transaction, params};

use super::rows::json;
use super::{Ledger, LedgerError};
use crate::engine::route::RouterMemory;
use crate::engine::units::{Span, Timestamp};

/// Days that minutes are kept.
const MINUTES_KEPT: i64 = 14;
/// Days that everything else is kept: a year to compare with, and a month to do it in.
const KEPT: i64 = 400;
/// Rule sets kept beside the one in force, however young: a broken script may offer one every second.
const RULE_SETS_MAX: i64 = 10_000;

/// Days that cases are kept that verdicts can be asked on.
const CASES_KEPT: i64 = 30;
/// Cases that go in one round: every stream makes two an hour.
const CASES_ROUND: i64 = 10_000;

/// Messages and alerts that go in one round: the loop stands still meanwhile, and what is left goes in the next.
const ROUND: i64 = 500;

/// Messages that are settled, and old.
const OLD_MESSAGES: &str = "SELECT id FROM outbox WHERE state <> 'pending' AND done_at_ms < ?1
  ORDER BY done_at_ms LIMIT ?2";
/// Cases that are old.
const OLD_CASES: &str = "SELECT c.stream_id, c.at_ms, c.key FROM streams s
  CROSS JOIN cases c ON c.stream_id = s.id AND c.at_ms < ?1 LIMIT ?2";
/// Alerts that are over, and old, and of which no message is left.
const OLD_ALERTS: &str = "SELECT id FROM alerts WHERE state NOT IN ('pending', 'firing')
  AND coalesce(ended_at_ms, started_at_ms) < ?1
  AND NOT EXISTS (SELECT 1 FROM outbox_alerts WHERE alert_id = alerts.id)
  AND id NOT IN (SELECT value FROM json_each(?3)) ORDER BY coalesce(ended_at_ms, started_at_ms) LIMIT ?2";

impl Ledger {
    /// Deletes what is older than it is kept: minutes after 14 days, cases after 30; hours, chart points, ended alerts, settled messages
    /// and rule sets after 400, of rule sets all but the newest 10,000. What is in force, open, pending, or known to the
    /// router stays whatever its age.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn retire(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        // By event time: in a topic that is read from long ago, old rows are what the windows still need.
        let newest: Option<i64> = self
            .db
            .query_row("SELECT max(newest_pane_ms) FROM streams", [], |row| row.get(0))
            .map_err(|source| self.sqlite("looking for the newest pane", source))?;
        let stream_time = newest.map_or(now, |newest| now.min(Timestamp::from_millis(newest)));
        let router = self.router_memory()?;
        let held: Vec<String> =
            router.iter().flat_map(RouterMemory::crossings).map(|(alert, _)| alert.to_string()).collect();
        let path = self.path.clone();
        delete(&mut self.db, &json(&held), stream_time, now).map_err(|source| LedgerError::Sqlite {
            doing: "deleting old rows",
            path,
            source,
        })
    }
}

/// `held` are the alerts that the router knows, as a JSON list.
fn delete(db: &mut rusqlite::Connection, held: &str, stream_time: Timestamp, now: Timestamp) -> rusqlite::Result<()> {
    let before = |time: Timestamp, days: i64| time.minus(Span::DAY.times(days)).as_millis();
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // A stream that fell silent keeps its last minutes: they never moved on into an hour.
    transaction.execute(
        "DELETE FROM rollup_minute WHERE start_ms < ?1 AND NOT EXISTS (SELECT 1 FROM streams s
         WHERE s.id = stream_id AND start_ms > s.newest_pane_ms - 7200000)",
        [before(stream_time, MINUTES_KEPT)],
    )?;
    transaction.execute("DELETE FROM rollup_hour WHERE start_ms < ?1", [before(stream_time, KEPT)])?;
    transaction.execute("DELETE FROM chart_points WHERE at_ms < ?1", [before(stream_time, KEPT)])?;
    let messages = ids(&transaction, OLD_MESSAGES, params![before(now, KEPT), ROUND])?;
    for of in ["deliveries WHERE message", "outbox_alerts WHERE message", "outbox WHERE id"] {
        forget(&transaction, of, &messages)?;
    }
    let alerts = ids(&transaction, OLD_ALERTS, params![before(stream_time, KEPT), ROUND, held])?;
    for of in ["acknowledgements WHERE alert_id", "alert_events WHERE alert_id", "alerts WHERE id"] {
        forget(&transaction, of, &alerts)?;
    }
    retire_cases(&transaction, before(stream_time, CASES_KEPT), before(now, KEPT))?;
    transaction.execute(
        "DELETE FROM rule_sets WHERE id <> (SELECT max(id) FROM rule_sets WHERE accepted)
         AND (at_ms < ?1 OR id <= (SELECT max(id) FROM rule_sets) - ?2)",
        params![before(now, KEPT), RULE_SETS_MAX],
    )?;
    transaction.commit()
}

/// Deletes old cases and old requests. No index knows how old cases are: the oldest of a stream come first in their table.
fn retire_cases(db: &Transaction<'_>, cases_before: i64, requests_before: i64) -> rusqlite::Result<()> {
    let old: Vec<(i64, i64, i64)> = db
        .prepare_cached(OLD_CASES)?
        .query_map([cases_before, CASES_ROUND], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut delete = db.prepare_cached("DELETE FROM cases WHERE stream_id = ?1 AND at_ms = ?2 AND key = ?3")?;
    old.into_iter().try_for_each(|case| delete.execute(case).map(drop))?;
    let requests = "DELETE FROM label_requests WHERE id IN (SELECT id FROM label_requests WHERE at_ms < ?1 LIMIT ?2)";
    db.execute(requests, [requests_before, ROUND]).map(drop)
}

fn ids(db: &Transaction<'_>, select: &str, values: &[&dyn ToSql]) -> rusqlite::Result<Vec<String>> {
    db.prepare_cached(select)?.query_map(values, |row| row.get(0))?.collect()
}

/// `of` is a table and the column in which it has the ids.
fn forget(db: &Transaction<'_>, of: &str, ids: &[String]) -> rusqlite::Result<()> {
    let mut delete = db.prepare_cached(&format!("DELETE FROM {of} = ?1"))?;
    ids.iter().try_for_each(|id| delete.execute([id]).map(drop))
}

#[cfg(test)]
mod tests {
    use super::super::Identity;
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_863_500_000);

    fn day(days: i64) -> i64 {
        NOW.minus(Span::DAY.times(days)).as_millis()
    }

    fn ledger(folder: &tempfile::TempDir) -> Ledger {
        let identity = Identity { topic: "t".to_owned(), group_by: "agent".to_owned() };
        Ledger::open(folder.path(), &identity).unwrap()
    }

    /// An alert that changed for the last time days ago.
    fn alert(ledger: &Ledger, id: &str, state: &str, days: i64) {
        let ended = (state == "resolved").then(|| day(days));
        let alert =
            "INSERT INTO alerts (id, rule, alert, severity, partition, labels, annotations, state, started_at_ms,
            ended_at_ms) VALUES (?1, 'g/A', 'A', '', 0, '{}', '{}', ?2, ?3, ?4)";
        ledger.db.execute(alert, params![id, state, day(days), ended]).unwrap();
        for more in [
            "INSERT INTO alert_events VALUES (?1, ?1, 1, 'inactive', 'firing', 'signalled', ?2, 0, 0, '{}')",
            "INSERT INTO acknowledgements (alert_id, at_ms, owner, made_by, note, took) VALUES (?1, ?2, '', '', '', 1)",
        ] {
            ledger.db.execute(more, params![id, day(days)]).unwrap();
        }
    }

    /// A message that was decided, and settled where it was, days ago.
    fn message(ledger: &Ledger, id: &str, state: &str, days: i64, alert: &str) {
        let done = (state != "pending").then(|| day(days));
        let message = "INSERT INTO outbox VALUES (?1, 'ops', 'g', 'firing', 'first', ?2, ?3, 1, 0, ?2, ?4, NULL, '{}')";
        ledger.db.execute(message, params![id, day(days), state, done]).unwrap();
        ledger.db.execute("INSERT INTO outbox_alerts VALUES (?1, ?2, ?2)", [id, alert]).unwrap();
        let attempt = "INSERT INTO deliveries (message, attempt, at_ms, outcome) VALUES (?1, 1, ?2, 'delivered')";
        ledger.db.execute(attempt, params![id, day(days)]).unwrap();
    }

    fn rules(ledger: &Ledger, accepted: bool, days: i64) {
        let set = "INSERT INTO rule_sets (at_ms, accepted, origin, who, diff, rules, diagnostics, sources)
            VALUES (?1, ?2, '', '', '', 0, '', '')";
        ledger.db.execute(set, params![day(days), accepted]).unwrap();
    }

    fn list(ledger: &Ledger, sql: &str) -> Vec<String> {
        let mut select = ledger.db.prepare(sql).unwrap();
        select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn what_is_old_goes_and_what_is_open_waited_for_or_in_force_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = ledger(&folder);
        alert(&ledger, "old", "resolved", 401);
        alert(&ledger, "old and waited for", "resolved", 401);
        alert(&ledger, "old and open", "firing", 401);
        alert(&ledger, "young", "resolved", 399);
        message(&ledger, "m old", "delivered", 401, "old");
        message(&ledger, "m given up", "dead", 401, "old");
        message(&ledger, "m young", "delivered", 399, "young");
        message(&ledger, "m waits", "pending", 401, "old and waited for");
        for (accepted, days) in [(true, 500), (true, 450), (false, 401), (false, 399)] {
            rules(&ledger, accepted, days);
        }
        // The second time nothing is left to do.
        for _ in 0..2 {
            ledger.retire(NOW).unwrap();
            let stays = ["old and open", "old and waited for", "young"];
            assert_eq!(list(&ledger, "SELECT id FROM alerts ORDER BY id"), stays);
            assert_eq!(list(&ledger, "SELECT alert_id FROM alert_events ORDER BY 1"), stays);
            assert_eq!(list(&ledger, "SELECT alert_id FROM acknowledgements ORDER BY 1"), stays);
            assert_eq!(list(&ledger, "SELECT id FROM outbox ORDER BY id"), ["m waits", "m young"]);
            assert_eq!(list(&ledger, "SELECT message FROM deliveries ORDER BY 1"), ["m waits", "m young"]);
            let sets = list(&ledger, "SELECT CAST(id AS TEXT) FROM rule_sets ORDER BY id");
            assert_eq!(sets, ["2", "4"], "the one in force stays");
        }
    }

    #[test]
    fn a_round_takes_so_many_and_looks_nothing_through_for_each() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = ledger(&folder);
        for at in 0..=ROUND {
            alert(&ledger, &format!("a{at}"), "resolved", 500);
            message(&ledger, &format!("m{at}"), "delivered", 500, &format!("a{at}"));
        }
        for left in [1, 0] {
            ledger.retire(NOW).unwrap();
            let counts =
                "SELECT CAST(count(*) AS TEXT) FROM outbox UNION ALL SELECT CAST(count(*) AS TEXT) FROM alerts";
            assert_eq!(list(&ledger, counts), [left.to_string(), left.to_string()]);
        }
        for delete in [
            "DELETE FROM outbox WHERE id = ?1",
            "DELETE FROM deliveries WHERE message = ?1",
            "DELETE FROM alerts WHERE id = ?1",
            OLD_MESSAGES,
            OLD_ALERTS,
            "DELETE FROM label_requests WHERE id IN (SELECT id FROM label_requests WHERE at_ms < ?1 LIMIT ?2)",
        ] {
            let plan = format!("EXPLAIN QUERY PLAN {delete}");
            let mut plan = ledger.db.prepare(&plan).unwrap();
            let steps = plan.raw_query().mapped(|row| row.get::<_, String>(3)).map(Result::unwrap);
            let scans: Vec<String> =
                steps.filter(|step| step.starts_with("SCAN") && !step.contains("json_each")).collect();
            assert_eq!(scans, [""; 0], "{delete}");
        }
    }

    #[test]
    fn cases_go_after_a_month_and_requests_after_a_year() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = ledger(&folder);
        let stream =
            "INSERT INTO streams (id, partition, idx, labels, outputs, labelled, promised, promised_week, raised,
            first_seen_ms, last_seen_ms, memory) VALUES (1, 0, 1, '{}', 0, 0, 0, 0, 0, 0, 0, x'')";
        ledger.db.execute(stream, []).unwrap();
        for days in [31, 29] {
            let case = "INSERT INTO cases (stream_id, at_ms, key, agent, event_id, confidence, share)
                VALUES (1, ?1, 7, 'a', ?2, 0.5, 1.0)";
            ledger.db.execute(case, params![day(days), days.to_string()]).unwrap();
        }
        for days in [401, 399] {
            let request =
                "INSERT INTO label_requests (at_ms, who, stream_id, case_ms, key, agent, event_id, confidence, sampled,
                why) VALUES (?1, '', 1, 0, 0, 'a', ?2, 0.5, 1.0, '')";
            ledger.db.execute(request, params![day(days), days.to_string()]).unwrap();
        }
        ledger.retire(NOW).unwrap();
        assert_eq!(list(&ledger, "SELECT event_id FROM cases"), ["29"]);
        assert_eq!(list(&ledger, "SELECT event_id FROM label_requests"), ["399"]);
    }

    #[test]
    fn an_alert_that_the_router_knows_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = ledger(&folder);
        alert(&ledger, "known", "resolved", 401);
        alert(&ledger, "unknown", "resolved", 401);
        delete(&mut ledger.db, "[\"known\"]", NOW, NOW).unwrap();
        assert_eq!(list(&ledger, "SELECT id FROM alerts"), ["known"]);
    }
}

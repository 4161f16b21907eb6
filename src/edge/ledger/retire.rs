//! What is deleted because it is older than it is kept.

use rusqlite::{Connection, ToSql, Transaction, params};

use super::rows::json;
use super::{Ledger, LedgerError};
use crate::engine::route::RouterMemory;
use crate::engine::units::{Span, Timestamp};

/// How long things are kept; nothing for ever. Rollups, chart points, cases and alerts age by event time, the rest by the wall
/// clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Rollups by minute; at least a day.
    pub minutes: Option<Span>,
    /// Rollups by hour, and when verdicts came; at least two days.
    pub hours: Option<Span>,
    /// Rollups by day.
    pub days: Option<Span>,
    /// Points of control charts.
    pub chart_points: Option<Span>,
    /// Alerts after their end, with what people said of them.
    pub alerts: Option<Span>,
    /// Messages after they were settled, with the attempts to deliver them.
    pub messages: Option<Span>,
    /// Rule sets that were offered.
    pub rule_sets: Option<Span>,
    /// Outputs that verdicts can be asked on.
    pub cases: Option<Span>,
    /// What was asked.
    pub label_requests: Option<Span>,
}

impl Default for Retention {
    /// A fortnight of minutes, a year of hours with a month to compare in; what people did and were told for ever.
    fn default() -> Self {
        let days = |n: i64| Some(Span::DAY.times(n));
        Self {
            minutes: days(14),
            hours: days(400),
            days: None,
            chart_points: days(400),
            alerts: None,
            messages: None,
            rule_sets: None,
            cases: days(30),
            label_requests: None,
        }
    }
}

/// Rule sets kept beside the one in force, however young: a broken script may offer one every second.
const RULE_SETS_MAX: i64 = 10_000;

/// Rows of rollups, cases and chart points that go in one round: the loop stands still meanwhile, and what is left goes in the
/// next.
const ROWS: i64 = 20_000;
/// Messages and alerts that go in one round, with all that hangs on them.
const ROUND: i64 = 500;

/// Free pages beyond one in so many of the file are given back ...
const SPARE: i64 = 10;
/// ... at most so many at once ...
const PAGES: i64 = 16_384;
/// ... where `auto_vacuum` says so.
const INCREMENTAL: i64 = 2;

/// Minutes that are old. A stream that fell silent keeps its last ones: they never moved on into an hour.
const OLD_MINUTES: &str = "DELETE FROM rollup_minute WHERE (start_ms, stream_id) IN (
  SELECT start_ms, stream_id FROM rollup_minute WHERE start_ms < ?1 AND NOT EXISTS (
    SELECT 1 FROM streams s WHERE s.id = stream_id AND start_ms > s.newest_pane_ms - 7200000) LIMIT ?2)";
/// Hours likewise: its last day is what the windows of a stream are restored from, and its last hour is not in a day yet.
const OLD_HOURS: &str = "DELETE FROM rollup_hour WHERE (start_ms, stream_id) IN (
  SELECT start_ms, stream_id FROM rollup_hour WHERE start_ms < ?1 AND NOT EXISTS (
    SELECT 1 FROM streams s WHERE s.id = stream_id AND start_ms > s.newest_pane_ms - 90000000) LIMIT ?2)";
const OLD_DAYS: &str = "DELETE FROM rollup_day WHERE (start_ms, stream_id) IN (
  SELECT start_ms, stream_id FROM rollup_day WHERE start_ms < ?1 LIMIT ?2)";
/// By the day of the outputs: without its first verdicts a day would tell that its verdicts were slow.
const OLD_ARRIVALS: &str = "DELETE FROM label_arrivals WHERE (hour_ms, stream_id, day_ms, within_ms) IN (
  SELECT a.hour_ms, a.stream_id, a.day_ms, a.within_ms FROM streams s CROSS JOIN label_arrivals a
  INDEXED BY label_arrivals_by_day ON a.stream_id = s.id AND a.day_ms < ?1 LIMIT ?2)";
const OLD_POINTS: &str = "DELETE FROM chart_points WHERE (at_ms, stream_id, chart) IN (
  SELECT at_ms, stream_id, chart FROM chart_points WHERE at_ms < ?1 LIMIT ?2)";
/// No index knows how old cases are: the oldest of a stream come first in their table.
const OLD_CASES: &str = "DELETE FROM cases WHERE (stream_id, at_ms, key) IN (
  SELECT c.stream_id, c.at_ms, c.key FROM streams s CROSS JOIN cases c ON c.stream_id = s.id AND c.at_ms < ?1 LIMIT ?2)";
const OLD_REQUESTS: &str =
    "DELETE FROM label_requests WHERE id IN (SELECT id FROM label_requests WHERE at_ms < ?1 LIMIT ?2)";
/// Messages that are settled, and old.
const OLD_MESSAGES: &str = "SELECT id FROM outbox WHERE state <> 'pending' AND done_at_ms < ?1
  ORDER BY done_at_ms LIMIT ?2";
/// Alerts that are over, and old, and of which no message is left.
const OLD_ALERTS: &str = "SELECT id FROM alerts WHERE state NOT IN ('pending', 'firing')
  AND coalesce(ended_at_ms, started_at_ms) < ?1
  AND NOT EXISTS (SELECT 1 FROM outbox_alerts WHERE alert_id = alerts.id)
  AND id NOT IN (SELECT value FROM json_each(?3)) ORDER BY coalesce(ended_at_ms, started_at_ms) LIMIT ?2";

impl Ledger {
    /// Deletes a part of what is older than it is kept, and gives free pages back; `true` where more is left to do. What is
    /// in force, open, pending, or known to the router stays whatever its age, and of rule sets no more than the newest
    /// 10,000.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn retire(&mut self, keep: &Retention, now: Timestamp) -> Result<bool, LedgerError> {
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
        let run = |db: &mut Connection| -> rusqlite::Result<bool> {
            let more = delete(db, keep, &json(&held), (stream_time, now))?;
            Ok(give_back(db)? || more)
        };
        run(&mut self.db).map_err(|source| LedgerError::of("deleting old rows", &path, source))
    }
}

/// `held` are the alerts that the router knows, as a JSON list. Whether more is left.
fn delete(
    db: &mut Connection,
    keep: &Retention,
    held: &str,
    (stream_time, now): (Timestamp, Timestamp),
) -> rusqlite::Result<bool> {
    let before = |time: Timestamp, kept: Option<Span>| kept.map(|kept| time.minus(kept).as_millis());
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let mut more = false;
    for (delete, time, kept) in [
        (OLD_MINUTES, stream_time, keep.minutes),
        (OLD_HOURS, stream_time, keep.hours),
        (OLD_DAYS, stream_time, keep.days),
        (OLD_ARRIVALS, stream_time, keep.hours),
        (OLD_POINTS, stream_time, keep.chart_points),
        (OLD_CASES, stream_time, keep.cases),
        (OLD_REQUESTS, now, keep.label_requests),
    ] {
        let Some(before) = before(time, kept) else { continue };
        more |= transaction.prepare_cached(delete)?.execute([before, ROWS])? as i64 == ROWS;
    }
    if let Some(before) = before(now, keep.messages) {
        let messages = ids(&transaction, OLD_MESSAGES, params![before, ROUND])?;
        more |= messages.len() as i64 == ROUND;
        for of in ["deliveries WHERE message", "outbox_alerts WHERE message", "outbox WHERE id"] {
            forget(&transaction, of, &messages)?;
        }
    }
    if let Some(before) = before(stream_time, keep.alerts) {
        let alerts = ids(&transaction, OLD_ALERTS, params![before, ROUND, held])?;
        more |= alerts.len() as i64 == ROUND;
        for of in ["acknowledgements WHERE alert_id", "alert_events WHERE alert_id", "alerts WHERE id"] {
            forget(&transaction, of, &alerts)?;
        }
    }
    transaction.execute(
        "DELETE FROM rule_sets WHERE id IS NOT (SELECT max(id) FROM rule_sets WHERE accepted)
         AND (at_ms < ?1 OR id <= (SELECT max(id) FROM rule_sets) - ?2)",
        params![before(now, keep.rule_sets).unwrap_or(i64::MIN), RULE_SETS_MAX],
    )?;
    transaction.commit()?;
    Ok(more)
}

/// Shrinks the file where far more of it is free than the next hours need. Files that were made without it keep their pages
/// until `shewhart db vacuum`.
fn give_back(db: &Connection) -> rusqlite::Result<bool> {
    let pragma = |name: &str| db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let spare = pragma("freelist_count")? - pragma("page_count")? / SPARE;
    if spare <= 0 || pragma("auto_vacuum")? != INCREMENTAL {
        return Ok(false);
    }
    // Every step gives one page back.
    let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({})", spare.min(PAGES)))?;
    let mut steps = vacuum.query([])?;
    while steps.next()?.is_some() {}
    Ok(spare > PAGES)
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
    use super::super::panes::PaneWriter;
    use super::*;
    use crate::engine::sketch::Pane;
    use crate::engine::window::{Change, Level};
    use crate::sql::hdr;

    const NOW: Timestamp = Timestamp::from_millis(1_790_863_500_000);

    /// Everything for 400 days, cases for 30.
    fn keep() -> Retention {
        let year = Some(Span::DAY.times(400));
        Retention { alerts: year, messages: year, rule_sets: year, label_requests: year, ..Retention::default() }
    }

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

    /// A stream whose newest minute was days ago.
    fn stream(ledger: &Ledger, id: i64, days: i64) {
        let stream = "INSERT INTO streams (id, partition, idx, labels, outputs, labelled, promised, promised_week, raised,
            first_seen_ms, last_seen_ms, newest_pane_ms, memory) VALUES (?1, 0, ?1, '{}', 0, 0, 0, 0, 0, 0, 0, ?2, x'')";
        ledger.db.execute(stream, [id, day(days)]).unwrap();
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
            assert!(!ledger.retire(&keep(), NOW).unwrap());
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
            assert_eq!(ledger.retire(&keep(), NOW).unwrap(), left > 0);
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
            OLD_REQUESTS,
            OLD_MINUTES,
            OLD_HOURS,
            OLD_DAYS,
            OLD_POINTS,
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
        stream(&ledger, 1, 0);
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
        ledger.retire(&keep(), NOW).unwrap();
        assert_eq!(list(&ledger, "SELECT event_id FROM cases"), ["29"]);
        assert_eq!(list(&ledger, "SELECT event_id FROM label_requests"), ["399"]);
    }

    #[test]
    fn rollups_go_by_their_age_and_the_file_shrinks() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = ledger(&folder);
        // One fell silent long ago.
        stream(&ledger, 1, 0);
        stream(&ledger, 2, 500);
        let transaction = ledger.db.transaction().unwrap();
        let mut encoder = hdr::Encoder::default();
        let mut panes = PaneWriter::new(&transaction, &mut encoder);
        let mut pane = |level, start, stream| {
            let change =
                Change { level, start: Timestamp::from_millis(start), pane: Pane { outputs: 1, ..Pane::default() } };
            panes.write(stream, &change).unwrap();
        };
        for minute in 0..ROWS + 10 {
            pane(Level::Minute, day(20) + minute, 1);
        }
        for (level, days) in [(Level::Minute, 13), (Level::Hour, 399), (Level::Hour, 401), (Level::Day, 4_000)] {
            pane(level, day(days), 1);
        }
        pane(Level::Minute, day(500), 2);
        drop(panes);
        transaction.commit().unwrap();
        let size = |ledger: &Ledger| -> i64 { ledger.db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap() };
        let before = size(&ledger);
        assert!(ledger.retire(&keep(), NOW).unwrap(), "more minutes than go in one round");
        assert!(!ledger.retire(&keep(), NOW).unwrap());
        let ages = |table: &str| {
            list(
                &ledger,
                &format!("SELECT CAST(({} - start_ms) / 86400000 AS TEXT) FROM {table} ORDER BY start_ms", day(0)),
            )
        };
        assert_eq!(
            (ages("rollup_minute"), ages("rollup_hour")),
            (vec!["500".to_owned(), "13".to_owned()], vec!["399".to_owned()])
        );
        assert_eq!(ages("rollup_day"), ["4000"], "days are kept for ever");
        assert!(size(&ledger) * 4 < before, "{} of {before} pages", size(&ledger));
        let months = Retention { days: Some(Span::DAY.times(90)), ..keep() };
        ledger.retire(&months, NOW).unwrap();
        assert_eq!(list(&ledger, "SELECT 'x' FROM rollup_day"), [""; 0]);
    }

    #[test]
    fn days_stay_whole_when_their_hours_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = ledger(&folder);
        stream(&ledger, 1, 0);
        stream(&ledger, 2, 500);
        let transaction = ledger.db.transaction().unwrap();
        let mut encoder = hdr::Encoder::default();
        let mut panes = PaneWriter::new(&transaction, &mut encoder);
        let correct = crate::engine::units::Counts { n: 40, hits: 36 };
        let hour = Span::HOUR.as_millis();
        for (level, start, stream) in [
            (Level::Hour, day(500) - hour, 2),
            (Level::Hour, day(500) - 30 * hour, 2),
            (Level::Hour, day(500), 1),
            (Level::Day, Timestamp::from_millis(day(600)).floor(Span::DAY).as_millis(), 1),
        ] {
            let pane = Pane { outputs: 50, correct, ..Pane::default() };
            panes.write(stream, &Change { level, start: Timestamp::from_millis(start), pane }).unwrap();
        }
        drop(panes);
        for (came, of) in [(402, 402), (390, 402), (390, 391)] {
            let arrival = "INSERT INTO label_arrivals VALUES (?1, 1, ?2, 0, 1, 1)";
            transaction.execute(arrival, [day(came), day(of)]).unwrap();
        }
        transaction.commit().unwrap();
        ledger.retire(&keep(), NOW).unwrap();
        let kept = list(&ledger, "SELECT stream_id || ' ' || start_ms FROM rollup_hour");
        assert_eq!(kept, [format!("2 {}", day(500) - hour)], "its windows, and a day that it is not in yet, need it");
        let kept = list(&ledger, "SELECT CAST(day_ms AS TEXT) FROM label_arrivals");
        assert_eq!(kept, [day(391).to_string()], "verdicts on a day go together");
        let estimates =
            "SELECT outputs || ' ' || labelled || ' ' || how FROM v_accuracy_estimates WHERE period = 'day'";
        assert_eq!(list(&ledger, estimates), ["50 40 labels"], "days outlive their hours");
    }

    #[test]
    fn rule_sets_go_though_none_was_ever_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = ledger(&folder);
        rules(&ledger, false, 401);
        ledger.retire(&keep(), NOW).unwrap();
        assert_eq!(list(&ledger, "SELECT CAST(id AS TEXT) FROM rule_sets"), [""; 0]);
    }

    #[test]
    fn an_alert_that_the_router_knows_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = ledger(&folder);
        alert(&ledger, "known", "resolved", 401);
        alert(&ledger, "unknown", "resolved", 401);
        delete(&mut ledger.db, &keep(), "[\"known\"]", (NOW, NOW)).unwrap();
        assert_eq!(list(&ledger, "SELECT id FROM alerts"), ["known"]);
    }
}

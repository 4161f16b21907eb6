//! What the demo prints: the agents day by day, the alerts as they come, the summary.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, params};

use super::super::print;
use super::super::table::table;
use super::story::Story;
use crate::edge::ledger::{LearntStream, open_read_only};
use crate::engine::account::{digits, value};
use crate::engine::alert::{Account, Crossing, State};
use crate::engine::rule::Measure;
use crate::engine::units::{Span, Timestamp};

/// The agent whose story it is.
const HERO: &str = "invoice-triage";

pub(super) fn opening(story: &Story, speed: f64) -> String {
    let seconds = story.production().last().map_or(0.0, |e| e.ts.since(story.production_start()).as_days_f64() / speed);
    format!(
        "shewhart demo: six simulated agents, a real Kafka protocol broker in this process, the daemon as `run` has it.\n\
         Event time is compressed: {} days in about {seconds:.0} seconds.\n\n",
        digits(seconds * speed, 2)
    )
}

pub(super) fn validated(id: &str, streams: &BTreeMap<String, LearntStream>) -> String {
    let rows: Vec<Vec<String>> = streams
        .values()
        .map(|stream| {
            let pane = &stream.profile.pane;
            let agent = stream.labels.get("agent").cloned().unwrap_or_default();
            let share = |x: Option<f64>| x.map(|x| value(&Measure::Accuracy, x)).unwrap_or_default();
            vec![
                agent,
                pane.outputs.to_string(),
                pane.correct.n.to_string(),
                share(pane.correct.share()),
                share((pane.confidence.n > 0).then_some(pane.confidence.mean)),
                share(pane.escalated.share()),
            ]
        })
        .collect();
    let header = ["agent", "outputs", "labelled", "accuracy", "confidence", "escalated"];
    format!("Validation (Phase I): baseline {id} learnt and promoted\n\n{}\n", table(&header, &rows))
}

/// Says what the daemon's database says, while it goes on.
pub(super) struct Reporter {
    db: Connection,
    next_day: Timestamp,
    start: Timestamp,
    /// The changes of alerts that were told.
    told: BTreeSet<String>,
    changes: Vec<(Timestamp, String)>,
}

impl Reporter {
    pub(super) fn new(folder: &Path, story: &Story) -> anyhow::Result<Self> {
        let start = story.production_start();
        Ok(Self {
            db: open_read_only(&folder.join("shewhart.db"))?,
            next_day: start.plus(Span::DAY),
            start,
            told: BTreeSet::new(),
            changes: planted(story),
        })
    }

    /// Prints what is new up to `now`, in the order in which it happened.
    pub(super) fn report(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let mut lines = self.new_alerts()?;
        // The agents run ahead of what the daemon has written: the screen follows the daemon.
        let newest: Option<i64> = self.db.query_row(
            "SELECT max(r.start_ms) FROM rollup_minute r JOIN streams s ON s.id = r.stream_id WHERE s.agent = ?1",
            [HERO],
            |row| row.get(0),
        )?;
        let reached = |at: Timestamp| newest.is_some_and(|newest| newest >= at.as_millis());
        let due = self.changes.iter().take_while(|(at, _)| *at <= now && reached(*at)).count();
        lines.extend(self.changes.drain(..due).map(|(at, what)| (at, format!("{}  ---- {what}\n", clock(at)))));
        while reached(self.next_day) {
            lines.push((self.next_day, self.day(self.next_day.minus(Span::DAY), self.next_day)?));
            self.next_day = self.next_day.plus(Span::DAY);
        }
        lines.sort_by_key(|(at, _)| *at);
        for (_, line) in lines {
            print(&line);
        }
        Ok(())
    }

    fn new_alerts(&mut self) -> anyhow::Result<Vec<(Timestamp, String)>> {
        let mut select = self.db.prepare_cached(
            "SELECT id, crossing FROM alert_events WHERE to_state IN ('firing', 'resolved') ORDER BY at_ms, id",
        )?;
        let rows: Vec<(String, String)> =
            select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        let mut lines = Vec::new();
        for (id, crossing) in rows {
            if self.told.insert(id) {
                let crossing: Crossing = serde_json::from_str(&crossing)?;
                lines.push((crossing.at, alert(&crossing)));
            }
        }
        Ok(lines)
    }

    /// One line for a day of the agent whose story it is.
    fn day(&self, from: Timestamp, to: Timestamp) -> anyhow::Result<String> {
        let mut select = self.db.prepare_cached(
            "SELECT sum(r.outputs), sum(r.labelled), sum(r.correct) * 1.0 / nullif(sum(r.labelled), 0),
             sum(r.confidence_mean * r.confidence_n) / nullif(sum(r.confidence_n), 0),
             sum(r.escalated) * 1.0 / nullif(sum(r.escalation_known), 0)
             FROM rollup_minute r JOIN streams s ON s.id = r.stream_id
             WHERE r.start_ms >= ?1 AND r.start_ms < ?2 AND s.agent = ?3",
        )?;
        let row = select.query_row(params![from.as_millis(), to.as_millis(), HERO], |row| {
            let share = |at: usize| -> rusqlite::Result<String> {
                Ok(row.get::<_, Option<f64>>(at)?.map_or_else(|| "-".to_owned(), |x| format!("{:5.1} %", x * 100.0)))
            };
            let (outputs, labelled): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
            Ok(format!(
                "{:>5} outputs {:>4} labelled  accuracy {}  confidence {}  escalated {}",
                outputs.unwrap_or(0),
                labelled.unwrap_or(0),
                share(2)?,
                share(3)?,
                share(4)?
            ))
        })?;
        let open: i64 = self.db.query_row(
            "SELECT count(*) FROM alerts WHERE state IN ('pending', 'firing') AND fired_at_ms < ?1",
            [to.as_millis()],
            |row| row.get(0),
        )?;
        let state = match open {
            0 => "all agents in control".to_owned(),
            n => format!("{n} alerts firing"),
        };
        let day = from.since(self.start).as_days_f64().round() as i64 + 1;
        Ok(format!("{}  day {day:>2}  {HERO}: {row}  | {state}\n", clock(to)))
    }
}

/// The planted changes in words.
fn planted(story: &Story) -> Vec<(Timestamp, String)> {
    let mut words = Vec::new();
    for planted in story.truth() {
        let mut parts = Vec::new();
        let change = &planted.change;
        if let Some(version) = &change.version {
            parts.push(format!("release {version}"));
        }
        for (name, shift) in
            [("confidence", change.confidence), ("escalations", change.escalation), ("accuracy", change.accuracy)]
        {
            if let Some(shift) = shift {
                parts.push(format!("{name} {shift}"));
            }
        }
        words.push((
            planted.from,
            format!("planted (the daemon does not know): {}, {}", planted.agent, parts.join(", ")),
        ));
        if let Some(until) = planted.until.filter(|_| change.version.is_some()) {
            words.push((until, format!("{} is rolled back", planted.agent)));
        }
    }
    words.sort_unstable();
    words
}

fn clock(at: Timestamp) -> String {
    at.floor(Span::MINUTE).to_string().replace('T', " ").replace(":00Z", "Z")
}

/// An alert as it is told on the screen: what, how much, since when.
fn alert(crossing: &Crossing) -> String {
    let who = crossing.labels.get("agent").map_or("", String::as_str);
    let severity = crossing.labels.get("severity").map_or("", String::as_str);
    let what = format!("{severity} {}: {who}", crossing.alert);
    if crossing.to == State::Resolved {
        return format!("{}  <<<< RESOLVED {what}\n", clock(crossing.at));
    }
    let head = format!("{}  >>>> FIRING {what}\n", clock(crossing.at));
    let summary = crossing.annotations.get("summary").map(|text| format!("                        {text}\n"));
    head + &summary.unwrap_or_default() + &crossing.account.as_ref().map(explain).unwrap_or_default()
}

fn explain(account: &Account) -> String {
    let (Some(estimate), Some(baseline)) = (account.estimate, account.baseline) else { return String::new() };
    let show = |x| value(&account.measure, x);
    format!(
        "                        {} ({} to {}) since about {}, on {} samples; baseline {} ({} to {})\n",
        show(estimate.value),
        show(estimate.low),
        show(estimate.high),
        account.changed_at.map(clock).unwrap_or_default(),
        account.samples,
        show(baseline.value),
        show(baseline.low),
        show(baseline.high)
    )
}

/// The end: what was found and how soon, and where to look next.
pub(super) fn closing(story: &Story, folder: &Path) -> anyhow::Result<String> {
    let path = folder.join("shewhart.db");
    let db = open_read_only(&path)?;
    let mut select = db.prepare("SELECT crossing FROM alert_events WHERE to_state = 'firing' ORDER BY at_ms, id")?;
    let fired: Vec<String> = select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut rows = Vec::new();
    for crossing in fired {
        rows.push(summary_row(story, &db, &serde_json::from_str(&crossing)?)?);
    }
    let header = ["alert", "agent", "fired at", "labelled events after the change", "false-alarm promise", "ended at"];
    let mails = folder.join("mail");
    let count = mails.read_dir().map_or(0, Iterator::count);
    let database = path.display();
    Ok(format!(
        "\nWhat was found\n\n{}\nAnother --seed is another run of luck: what the promises allow, summed over six agents, fifteen rules and sixteen days,\n\
         is about four false alarms; they are listed as such.\n\nThe database: {database}\n{}\nThe mails: {count} .eml files in {}\n",
        table(&header, &rows),
        queries(&database.to_string()),
        mails.display()
    ))
}

fn queries(database: &str) -> String {
    let queries = [
        "SELECT alert, agent, fired_at, estimate, baseline_value, changed_at, labelled FROM v_alerts ORDER BY fired_at",
        "SELECT * FROM v_accuracy WHERE agent = 'invoice-triage' ORDER BY hour DESC LIMIT 24",
        "SELECT * FROM v_versions",
    ];
    let lines: Vec<String> = queries.iter().map(|q| format!("  shewhart db query {database} \"{q}\"\n")).collect();
    format!("Three queries to try:\n{}", lines.concat())
}

fn summary_row(story: &Story, db: &Connection, crossing: &Crossing) -> anyhow::Result<Vec<String>> {
    let agent = crossing.labels.get("agent").cloned().unwrap_or_default();
    let account = crossing.account.as_ref();
    let moved = |planted: &&crate::simulate::Planted| {
        planted.agent == agent
            && planted.from <= crossing.at
            && match account.map(|a| &a.measure) {
                Some(Measure::Accuracy | Measure::AccuracyAtCoverage | Measure::Calibration) => {
                    planted.change.accuracy.is_some()
                }
                _ => planted.change.confidence.is_some(),
            }
    };
    let after = match story.truth().iter().rev().find(moved) {
        None => "no change was planted: a false alarm".to_owned(),
        Some(planted) if account.is_some_and(|a| a.measure.counts_verdicts()) => {
            let labels = story.labelled(&agent, planted.from, crossing.at);
            format!("{labels} (change planted {})", clock(planted.from))
        }
        Some(planted) => {
            let outputs = story.outputs(&agent, planted.from, crossing.at);
            format!("none needed; {outputs} outputs (change planted {})", clock(planted.from))
        }
    };
    let promise = account.map_or_else(String::new, |a| match a.measure {
        Measure::Accuracy => format!("1 per {} labels", digits(a.arl0, 3)),
        Measure::Silence => "none".to_owned(),
        Measure::EstimatedAccuracy => "a tenth of accuracy's".to_owned(),
        _ => "1 per year".to_owned(),
    });
    let ended: Option<i64> =
        db.query_row("SELECT ended_at_ms FROM alerts WHERE id = ?1", [crossing.alert_id.to_string()], |row| {
            row.get(0)
        })?;
    let ended = ended.map_or_else(|| "still firing".to_owned(), |at| clock(Timestamp::from_millis(at)));
    Ok(vec![crossing.alert.clone(), agent, clock(crossing.at), after, promise, ended])
}

//! `shewhart status` and `shewhart alerts`: the operator's console.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Row};
use serde::Serialize;

use super::accuracy::Accuracy;
use super::args::{AlertsArgs, ConsoleArgs, Format};
use super::table::{plain, plain_lines, table};
use super::{INVALID, OK, UNAVAILABLE, daemon, print, say};
use crate::config::socket_beside;
use crate::edge::clock;
use crate::edge::ledger::query;
use crate::engine::account::digits;
use crate::engine::units::{Span, Timestamp};

/// How long a daemon may take to answer about its health.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What is watched and what is wrong, on one screen.
#[derive(Serialize)]
struct Status {
    database: PathBuf,
    schema_version: i64,
    belongs_to: String,
    /// Whether a process holds the database for writing.
    held: Option<bool>,
    written_at: Option<String>,
    daemon: Option<Daemon>,
    partitions: Vec<PartitionLine>,
    streams: Streams,
    alerts: Vec<AlertLine>,
    accuracy: Accuracy,
    false_alarms: FalseAlarms,
    outbox: Outbox,
    silences: i64,
    precision: Vec<Precision>,
    rejects: i64,
    gaps: i64,
    rules: Option<Rules>,
    baseline: Option<String>,
    #[serde(skip)]
    written: Option<Timestamp>,
}

/// False alarms promised, and alerts that fired, whatever was behind them.
#[derive(Serialize)]
struct FalseAlarms {
    promised: f64,
    promised_per_week: f64,
    alerts_raised: i64,
}

/// What people said of a rule's alerts.
#[derive(Serialize)]
struct Precision {
    rule: String,
    fired: i64,
    judged: i64,
    judged_true: i64,
    share: f64,
    low: f64,
    high: f64,
}

/// What the daemon says of itself.
#[derive(Serialize)]
struct Daemon {
    socket: String,
    healthy: bool,
    ready: bool,
    says: String,
}

#[derive(Serialize)]
struct PartitionLine {
    partition: i32,
    next_offset: i64,
    stream_time: Option<String>,
    records: u64,
    rejected: u64,
    unjoined: u64,
}

#[derive(Serialize)]
struct Streams {
    all: i64,
    learning: i64,
    in_control: i64,
    out_of_control: i64,
    provisional: i64,
}

#[derive(Serialize)]
struct Outbox {
    pending: i64,
    dead: i64,
}

#[derive(Serialize)]
struct Rules {
    hash: Option<String>,
    count: i64,
    since: String,
    refused_since: i64,
}

/// An alert as the console shows it.
#[derive(Serialize)]
struct AlertLine {
    id: String,
    state: String,
    severity: String,
    alert: String,
    agent: Option<String>,
    task: Option<String>,
    since: String,
    measure: Option<String>,
    estimate: Option<f64>,
    baseline: Option<f64>,
    labelled: Option<i64>,
    acknowledged_by: Option<String>,
    verdict: Option<String>,
}

/// What an `AlertLine` is read from.
const ALERT_LINES: &str = "SELECT alert_id, state, severity, alert, agent, task, started_at, measure, estimate,
    baseline_value, labelled, acknowledged_by, verdict FROM v_alerts";
/// Dead letters that are shown one by one.
const DEAD_SHOWN: usize = 5;

impl AlertLine {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            state: row.get(1)?,
            severity: row.get(2)?,
            alert: row.get(3)?,
            agent: row.get(4)?,
            task: row.get(5)?,
            since: row.get(6)?,
            measure: row.get(7)?,
            estimate: row.get(8)?,
            baseline: row.get(9)?,
            labelled: row.get(10)?,
            acknowledged_by: row.get(11)?,
            verdict: row.get(12)?,
        })
    }

    fn cells(&self) -> Vec<String> {
        let stream: Vec<&str> = [&self.agent, &self.task].into_iter().flatten().map(String::as_str).collect();
        let measure = self.measure.as_deref().unwrap_or_default();
        let levels = match (self.estimate, self.baseline) {
            (Some(now), Some(before)) => format!("{} against {}", level(measure, now), level(measure, before)),
            _ => "-".to_owned(),
        };
        vec![
            self.state.clone(),
            if self.severity.is_empty() { "-".to_owned() } else { self.severity.clone() },
            self.alert.clone(),
            stream.join(" / "),
            self.since.clone(),
            levels,
            self.labelled.map_or_else(|| "-".to_owned(), |n| n.to_string()),
            self.id.chars().take(8).collect(),
            self.whose(),
        ]
    }
}

const ALERT_HEADER: [&str; 9] =
    ["state", "severity", "alert", "stream", "since", "estimate and baseline", "labels", "id", "owner"];

impl AlertLine {
    /// Who has it, and what it turned out to be.
    fn whose(&self) -> String {
        let owner = self.acknowledged_by.as_deref().unwrap_or("-");
        self.verdict.as_deref().map_or_else(|| owner.to_owned(), |verdict| format!("{owner} ({verdict})"))
    }
}

/// Messages that were given up, the newest first, and how many there are.
fn dead_letters(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut select = db.prepare(
        "SELECT receiver, group_key, last_error, strftime('%Y-%m-%dT%H:%M:%SZ', done_at_ms / 1000, 'unixepoch')
         FROM outbox WHERE state = 'dead' ORDER BY done_at_ms DESC",
    )?;
    let rows = select.query_map([], |row| {
        let text = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(at)?.unwrap_or_default());
        Ok(format!("UNDELIVERED to {}, given up at {}: {} ({})", text(0)?, text(3)?, text(1)?, text(2)?))
    })?;
    let mut dead = rows.collect::<rusqlite::Result<Vec<String>>>()?;
    if dead.len() > DEAD_SHOWN {
        let more = dead.len() - DEAD_SHOWN;
        dead.truncate(DEAD_SHOWN);
        dead.push(format!("... and {more} more messages that were given up; v_notices has them"));
    }
    Ok(dead)
}

/// A level of a measure as people read it, from the measure's word.
fn level(measure: &str, x: f64) -> String {
    let word = measure.split(' ').next().unwrap_or_default();
    let share = matches!(word, "confidence" | "availability" | "latency")
        || word.contains("accuracy")
        || word.ends_with("_rate")
        || word.starts_with("flags.");
    if share {
        return format!("{:.1} %", x * 100.0);
    }
    match word {
        "cost" => format!("${}", digits(x, 3)),
        "calibration" => format!("{:+.1} points", x * 100.0),
        _ => digits(x, 4),
    }
}

pub(super) fn status(args: &ConsoleArgs) -> anyhow::Result<u8> {
    let path = daemon::database(&args.place)?;
    let socket = socket_beside(&path);
    // Who names a configuration means its daemon; a file may be looked at when there is none.
    let meant = args.place.db.is_none() || query::is_held(&path) == Some(true) && socket.exists();
    let daemon = meant.then(|| ask(&socket));
    let status = match gather(&path, daemon) {
        Ok(status) => status,
        Err(error) => {
            say(&plain_lines(&format!("shewhart: {error:#}")));
            return Ok(INVALID);
        }
    };
    match args.output {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&status)?)),
        Format::Text => print(&text(&status)),
    }
    let healthy = status.daemon.as_ref().is_none_or(|daemon| daemon.healthy);
    Ok(if healthy { OK } else { UNAVAILABLE })
}

fn gather(path: &Path, daemon: Option<Daemon>) -> anyhow::Result<Status> {
    let db = super::db::open(path)?;
    // One snapshot: the numbers belong together.
    db.execute_batch("BEGIN")?;
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0));
    let written = query::written_at(path);
    Ok(Status {
        database: path.to_owned(),
        schema_version: count("PRAGMA user_version")?,
        belongs_to: belongs_to(&db)?,
        held: query::is_held(path),
        written_at: written.map(|at| at.to_string()),
        daemon,
        partitions: partitions(&db)?,
        streams: streams(&db)?,
        alerts: lines(
            &db,
            &format!("{ALERT_LINES} WHERE state IN ('pending', 'firing') ORDER BY started_at_ms DESC, alert_id"),
        )?,
        accuracy: Accuracy::read(&db)?,
        false_alarms: db.query_row(
            "SELECT coalesce(sum(promised), 0), coalesce(sum(promised_week), 0), coalesce(sum(raised), 0) FROM streams",
            [],
            |row| Ok(FalseAlarms { promised: row.get(0)?, promised_per_week: row.get(1)?, alerts_raised: row.get(2)? }),
        )?,
        outbox: Outbox {
            pending: count("SELECT count(*) FROM outbox WHERE state = 'pending'")?,
            dead: count("SELECT count(*) FROM outbox WHERE state = 'dead'")?,
        },
        silences: count("SELECT count(*) FROM v_silences WHERE state = 'active'")?,
        precision: precision(&db)?,
        rejects: count("SELECT count(*) FROM rejects")?,
        gaps: count("SELECT count(*) FROM gaps")?,
        rules: rules(&db)?,
        baseline: db
            .prepare("SELECT id FROM baselines WHERE state = 'promoted'")?
            .query_map([], |row| row.get(0))?
            .next()
            .transpose()?,
        written,
    })
}

fn belongs_to(db: &Connection) -> rusqlite::Result<String> {
    let mut meta = db.prepare("SELECT key, value FROM v_meta WHERE key <> 'views' ORDER BY key DESC")?;
    let rows = meta.query_map([], |row| Ok(format!("{} {}", row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<Vec<String>>>()?.join(", "))
}

fn partitions(db: &Connection) -> rusqlite::Result<Vec<PartitionLine>> {
    let standings = query::standings(db)?;
    let line = |standing: query::Standing| PartitionLine {
        partition: standing.partition.0,
        next_offset: standing.next_offset,
        stream_time: standing.stream_time.map(|at| at.to_string()),
        records: standing.counters.records,
        rejected: standing.counters.rejected.iter().sum(),
        unjoined: standing.counters.unjoined,
    };
    Ok(standings.into_iter().map(line).collect())
}

/// The states of v_streams, counted without the accuracy that it computes beside them.
fn streams(db: &Connection) -> rusqlite::Result<Streams> {
    db.query_row(
        "WITH firing (stream_id) AS (SELECT DISTINCT stream_id FROM v_open_alerts WHERE state = 'firing')
         SELECT count(*),
           count(*) FILTER (WHERE firing.stream_id IS NULL AND baseline IS NULL),
           count(*) FILTER (WHERE firing.stream_id IS NULL AND baseline IS NOT NULL),
           count(*) FILTER (WHERE firing.stream_id IS NOT NULL),
           count(*) FILTER (WHERE baseline = 'provisional')
         FROM streams LEFT JOIN firing ON firing.stream_id = streams.id",
        [],
        |row| {
            Ok(Streams {
                all: row.get(0)?,
                learning: row.get(1)?,
                in_control: row.get(2)?,
                out_of_control: row.get(3)?,
                provisional: row.get(4)?,
            })
        },
    )
}

fn rules(db: &Connection) -> rusqlite::Result<Option<Rules>> {
    let mut select = db.prepare(
        "SELECT hash, rules, at, (SELECT count(*) FROM rule_sets WHERE id > v.rule_set_id) FROM v_rule_sets v
         WHERE in_force",
    )?;
    let mut rows = select.query_map([], |row| {
        Ok(Rules { hash: row.get(0)?, count: row.get(1)?, since: row.get(2)?, refused_since: row.get(3)? })
    })?;
    rows.next().transpose()
}

/// Rules whose alerts were judged, the least precise first.
fn precision(db: &Connection) -> rusqlite::Result<Vec<Precision>> {
    let mut select = db.prepare(
        "SELECT rule, fired, judged, judged_true, precision, precision_low, precision_high FROM v_precision
         WHERE judged > 0 ORDER BY precision, rule",
    )?;
    let rows = select.query_map([], |row| {
        Ok(Precision {
            rule: row.get(0)?,
            fired: row.get(1)?,
            judged: row.get(2)?,
            judged_true: row.get(3)?,
            share: row.get(4)?,
            low: row.get(5)?,
            high: row.get(6)?,
        })
    })?;
    rows.collect()
}

fn lines(db: &Connection, sql: &str) -> rusqlite::Result<Vec<AlertLine>> {
    db.prepare(sql)?.query_map([], AlertLine::read)?.collect()
}

/// Asks a daemon how it is. Not to be reached is an answer too.
fn ask(socket: &Path) -> Daemon {
    let get = |page: &str| daemon::exchange(socket, "GET", page, b"", ANSWER_WITHIN);
    let healthy = get("/-/healthy");
    let ready = healthy.is_ok().then(|| get("/-/ready"));
    let ok = |answer: &std::io::Result<(u16, Vec<u8>)>| matches!(answer, Ok((200, _)));
    let first_line = |body: &[u8]| String::from_utf8_lossy(body).lines().next().unwrap_or_default().to_owned();
    let says = match (&healthy, &ready) {
        (Err(error), _) | (_, Some(Err(error))) => format!("no answer: {error}"),
        (_, Some(Ok((_, body)))) | (Ok((_, body)), None) => plain(&first_line(body)),
    };
    let ready = ready.as_ref().is_some_and(ok);
    Daemon { socket: socket.display().to_string(), healthy: ok(&healthy), ready, says }
}

fn text(status: &Status) -> String {
    let s = &status.streams;
    let mut lines = vec![
        ("database".to_owned(), database(status)),
        ("daemon".to_owned(), daemon(status)),
        ("streams".to_owned(), streams_text(s)),
        ("rules".to_owned(), rules_text(status.rules.as_ref())),
        ("baseline".to_owned(), baseline_text(status)),
        ("alarms".to_owned(), alarms_text(&status.false_alarms)),
        ("outbox".to_owned(), format!("{} pending, {} dead", status.outbox.pending, status.outbox.dead)),
        ("silences".to_owned(), format!("{} active", status.silences)),
        ("input".to_owned(), format!("{} rejected records kept, {} gaps", status.rejects, status.gaps)),
    ];
    for p in &status.partitions {
        let time = p.stream_time.as_deref().unwrap_or("never");
        let rest = format!("next offset {}, event time {time}, {} records", p.next_offset, p.records);
        let odd = format!("{} rejected, {} verdicts unjoined", p.rejected, p.unjoined);
        lines.push((format!("partition {}", p.partition), format!("{rest}, {odd}")));
    }
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> = lines.iter().map(|(name, value)| format!("{name:<width$}  {}", plain(value))).collect();
    let mut text = format!("{}\n", lines.join("\n"));
    if !status.precision.is_empty() {
        let percent = |x: f64| format!("{:.0} %", x * 100.0);
        let row = |p: &Precision| {
            let worth = format!("{} ({} to {})", percent(p.share), percent(p.low), percent(p.high));
            vec![p.rule.clone(), p.fired.to_string(), p.judged.to_string(), p.judged_true.to_string(), worth]
        };
        let rows: Vec<Vec<String>> = status.precision.iter().map(row).collect();
        text.push('\n');
        text.push_str(&table(&["rule", "fired", "judged", "true", "worth telling"], &rows));
    }
    text.push_str(&status.accuracy.text());
    if status.alerts.is_empty() {
        text.push_str("\nno open alerts\n");
    } else {
        let rows: Vec<Vec<String>> = status.alerts.iter().map(AlertLine::cells).collect();
        text.push('\n');
        text.push_str(&table(&ALERT_HEADER, &rows));
    }
    text
}

fn alarms_text(alarms: &FalseAlarms) -> String {
    let FalseAlarms { promised, promised_per_week, alerts_raised } = alarms;
    let (promised, week) = (digits(*promised, 2), digits(*promised_per_week, 2));
    format!("{alerts_raised} raised; at most {promised} false ones were promised so far, {week} a week now")
}

fn database(status: &Status) -> String {
    let age = status.written.map(|at| format!(", written {} ago", age(clock::now().since(at))));
    format!(
        "{} (schema {}, {}){}",
        status.database.display(),
        status.schema_version,
        status.belongs_to,
        age.unwrap_or_default()
    )
}

/// A length of time in its largest unit.
fn age(span: Span) -> String {
    let seconds = span.as_millis().max(0) / 1_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn daemon(status: &Status) -> String {
    let held = match status.held {
        Some(true) => "a process holds the database",
        Some(false) => "no process holds the database",
        None => "whether a process holds the database cannot be told",
    };
    match &status.daemon {
        None => held.to_owned(),
        Some(daemon) => {
            let health = if daemon.healthy { "healthy" } else { "NOT HEALTHY" };
            let ready = if daemon.ready { "ready" } else { "not ready" };
            let says = if daemon.ready { String::new() } else { format!(" ({})", daemon.says) };
            format!("{health}, {ready} at {}{says}; {held}", daemon.socket)
        }
    }
}

fn streams_text(s: &Streams) -> String {
    format!("{}: {} out of control, {} in control, {} learning", s.all, s.out_of_control, s.in_control, s.learning)
}

fn rules_text(rules: Option<&Rules>) -> String {
    let Some(rules) = rules else { return "none recorded".to_owned() };
    let hash: String = rules.hash.as_deref().unwrap_or("-").chars().take(12).collect();
    let refused = match rules.refused_since {
        0 => String::new(),
        n => format!("; {n} offered since then were REFUSED (v_rule_sets says why)"),
    };
    format!("{} rules, {hash}, since {}{refused}", rules.count, rules.since)
}

fn baseline_text(status: &Status) -> String {
    let promoted = status.baseline.as_deref().unwrap_or("none promoted");
    format!("{promoted}; {} streams on provisional ones", status.streams.provisional)
}

pub(super) fn alerts(args: &AlertsArgs) -> anyhow::Result<u8> {
    let path = daemon::database(&args.place)?;
    let open = if args.open { "WHERE state IN ('pending', 'firing')" } else { "" };
    let last = args.last.map_or(String::new(), |last| format!("LIMIT {last}"));
    let rest = format!("{open} ORDER BY started_at_ms DESC, alert_id {last}");
    if args.output == Format::Json {
        let mut text = Vec::new();
        super::db::json(&path, &format!("SELECT * FROM v_alerts {rest}"), &mut text)?;
        print(&String::from_utf8_lossy(&text));
        return Ok(OK);
    }
    let db = super::db::open(&path)?;
    let alerts = lines(&db, &format!("{ALERT_LINES} {rest}"))?;
    for dead in dead_letters(&db)? {
        say(&plain(&dead));
    }
    if alerts.is_empty() {
        print("no alerts\n");
        return Ok(OK);
    }
    let rows: Vec<Vec<String>> = alerts.iter().map(AlertLine::cells).collect();
    print(&table(&ALERT_HEADER, &rows));
    Ok(OK)
}

//! What the daemon shows of itself: a board that the loop writes and pages read, and its metrics.

mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{clock, log};
use crate::engine::Counters;
use crate::engine::budget::Promised;
use crate::engine::event::Why;
use crate::engine::rule::RuleSet;
use crate::engine::units::{Partition, Timestamp};

pub use waits::Waits;

/// One alert that is pending or firing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAlert {
    /// Its name.
    pub alert: String,
    /// Its severity.
    pub severity: String,
    /// `pending` or `firing`.
    pub state: &'static str,
    /// Stream time at which it began.
    pub since: Timestamp,
}

/// What the daemon was doing at some moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Whether partitions are assigned and the last commit went through.
    pub ready: bool,
    /// Why it is not ready.
    pub not_ready_because: String,
    /// When the loop last went round, by the clock that nobody sets.
    pub ticked_at: Option<Instant>,
    /// When the last commit went through.
    pub committed_at: Option<Timestamp>,
    /// How long records waited in the daemon until they were judged.
    pub decisions: Waits,
    /// What the engines counted, by partition.
    pub counters: BTreeMap<Partition, Counters>,
    /// Records behind the end, by partition.
    pub lag: BTreeMap<Partition, u64>,
    /// Streams.
    pub streams: usize,
    /// Streams seen in more than one partition: the topic is not keyed by agent.
    pub unkeyed_streams: usize,
    /// Open alerts.
    pub alerts: Vec<OpenAlert>,
    /// False alarms that the charts promise, and alerts that were raised.
    pub promised: Promised,
    /// False alarms a week that are allowed, where that is limited.
    pub budget_per_week: Option<f64>,
    /// Messages waiting, and messages given up.
    pub outbox: BTreeMap<String, (u64, u64)>,
    /// Attempts by receiver kind: all, and those that failed by reason.
    pub sent: BTreeMap<&'static str, u64>,
    /// Failed attempts by receiver kind and reason.
    pub failed: BTreeMap<(&'static str, String), u64>,
    /// Holes found in the log.
    pub gaps: u64,
    /// Commits that failed.
    pub commit_failures: u64,
    /// States that could not be read: what they were of began anew.
    pub damaged: u64,
    /// Partitions that have records and give none.
    pub stalled: BTreeSet<Partition>,
    /// Whether no broker has told the ends of our partitions for a minute.
    pub brokers_silent: bool,
    /// The share of the disk that is free, where the system tells.
    pub disk_free: Option<f64>,
    /// Whether the last rule files offered were taken.
    pub reload_ok: bool,
    /// When rule files were last taken.
    pub reloaded_at: Option<Timestamp>,
    /// The hash of the rules in force.
    pub rules_hash: String,
    /// The rules in force.
    pub rules: Option<Arc<RuleSet>>,
    /// Silences in force.
    pub silences: usize,
    /// The promoted baseline in force, empty where there is none.
    pub baseline: String,
    /// Bytes of the database, and of its write-ahead log.
    pub database: (u64, u64),
}

/// The loop counts as alive while its last round is younger than this.
const ALIVE_WITHIN: Duration = Duration::from_secs(30);
/// What is said where it is not.
pub(super) const STANDS: &str = "the main loop has not gone round for 30 s";
/// Below this share of free disk an operator should act, while everything can still be written.
const DISK_FREE_MIN: f64 = 0.05;

impl Snapshot {
    /// Whether the loop goes round.
    pub fn is_alive(&self, now: Instant) -> bool {
        self.ticked_at.is_some_and(|at| now.saturating_duration_since(at) < ALIVE_WITHIN)
    }

    /// Why it does not do its work as it should; nothing where it does.
    pub fn not_ready(&self, now: Instant) -> Option<String> {
        if !self.is_alive(now) {
            return Some(STANDS.to_owned());
        }
        if !self.ready {
            return Some(self.not_ready_because.clone());
        }
        if let Some(free) = self.disk_free.filter(|free| *free < DISK_FREE_MIN) {
            return Some(format!("the disk of data_dir is nearly full: {:.1} % are free", 100.0 * free));
        }
        if let Some(partition) = self.stalled.first() {
            return Some(format!("partition {} has records and gives none", partition.0));
        }
        let silent = "no broker has told the ends of the partitions for a minute";
        self.brokers_silent.then(|| silent.to_owned())
    }
}

/// Where the newest snapshot hangs.
#[derive(Debug, Default)]
pub struct Board {
    newest: Mutex<Arc<Snapshot>>,
    address: Mutex<Option<SocketAddr>>,
}

impl Board {
    /// The newest snapshot.
    pub fn read(&self) -> Arc<Snapshot> {
        Arc::clone(&lock(&self.newest))
    }

    /// Hangs up a new one.
    pub fn write(&self, snapshot: Snapshot) {
        *lock(&self.newest) = Arc::new(snapshot);
    }

    /// Says where HTTP answers.
    pub fn listening(&self, address: SocketAddr) {
        *lock(&self.address) = Some(address);
    }

    /// Where HTTP answers.
    pub fn address(&self) -> Option<SocketAddr> {
        *lock(&self.address)
    }
}

/// A reader that panicked leaves whole values behind: both are swapped in one piece.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which text format metrics are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Exposition {
    /// The content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// Writes families of metrics in one of the formats.
struct Page {
    text: String,
    format: Exposition,
}

impl Page {
    fn family(&mut self, name: &str, kind: Kind, help: &str, samples: &[(String, f64)]) {
        let (word, suffix) = match (kind, self.format) {
            (Kind::Gauge, _) => ("gauge", ""),
            // OpenMetrics names a counter without the suffix of its samples.
            (Kind::Counter, Exposition::OpenMetrics) => ("counter", ""),
            (Kind::Counter, Exposition::Text) => ("counter", "_total"),
        };
        let sample_suffix = if matches!(kind, Kind::Counter) { "_total" } else { "" };
        self.line(format_args!("# HELP {name}{suffix} {help}"));
        self.line(format_args!("# TYPE {name}{suffix} {word}"));
        for (labels, value) in samples {
            self.line(format_args!("{name}{sample_suffix}{labels} {value}"));
        }
    }

    fn counter(&mut self, name: &str, help: &str, samples: &[(String, f64)]) {
        self.family(name, Kind::Counter, help, samples);
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, Kind::Gauge, help, &[(String::new(), value)]);
    }

    fn histogram(&mut self, name: &str, help: &str, waits: &Waits) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} histogram"));
        for (bound, cases) in waits.up_to() {
            // OpenMetrics wants bounds with a point.
            self.line(format_args!("{name}_bucket{{le=\"{bound:?}\"}} {cases}"));
        }
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {}", waits.all()));
        self.line(format_args!("{name}_sum {}", waits.seconds()));
        self.line(format_args!("{name}_count {}", waits.all()));
    }

    fn line(&mut self, args: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{args}").expect("writing to a String cannot fail");
    }
}

/// Labels in braces, values escaped.
fn labels(pairs: &[(&str, &str)]) -> String {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let parts: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    format!("{{{}}}", parts.join(","))
}

fn seconds(at: Option<Timestamp>) -> f64 {
    at.map_or(0.0, |at| at.as_millis() as f64 / 1_000.0)
}

/// The metrics of a snapshot. Names never come from agents, and no label value does.
pub fn metrics(snapshot: &Snapshot, format: Exposition) -> String {
    let mut page = Page { text: String::with_capacity(4_096), format };
    let version = labels(&[("version", env!("CARGO_PKG_VERSION"))]);
    page.family("shewhart_build_info", Kind::Gauge, "What is running.", &[(version, 1.0)]);
    page.gauge(
        "shewhart_ready",
        "Whether partitions are assigned, records come and commits go through.",
        f64::from(u8::from(snapshot.not_ready(clock::instant()).is_none())),
    );
    records(&mut page, snapshot);
    let told = "From the moment at which the reader handed a record over until it and up to 31 others that came with it were judged.";
    page.histogram("shewhart_decision_seconds", told, &snapshot.decisions);
    page.gauge("shewhart_streams", "Monitored streams.", snapshot.streams as f64);
    page.gauge(
        "shewhart_unkeyed_streams",
        "Streams seen in more than one partition: the topic is not keyed by agent.",
        snapshot.unkeyed_streams as f64,
    );
    alerts(&mut page, snapshot);
    delivery(&mut page, snapshot);
    page.counter("shewhart_gaps", "Holes found in the log.", &[(String::new(), snapshot.gaps as f64)]);
    page.counter(
        "shewhart_commit_failures",
        "Commits that failed.",
        &[(String::new(), snapshot.commit_failures as f64)],
    );
    let told = "Panics, each of which cost one record, one attempt or one request.";
    page.counter("shewhart_panics", told, &[(String::new(), log::panics() as f64)]);
    let told = "States that could not be read: what they were of began anew.";
    page.counter("shewhart_states_damaged", told, &[(String::new(), snapshot.damaged as f64)]);
    let told = "Lines of the log that nobody took.";
    page.counter("shewhart_log_lines_dropped", told, &[(String::new(), log::dropped() as f64)]);
    if let Some(free) = snapshot.disk_free {
        page.gauge("shewhart_disk_free_ratio", "Share of the disk of data_dir that is free.", free);
    }
    page.gauge(
        "shewhart_last_commit_timestamp_seconds",
        "When the last commit went through.",
        seconds(snapshot.committed_at),
    );
    page.gauge(
        "shewhart_config_last_reload_successful",
        "Whether the last rule files offered were taken.",
        f64::from(u8::from(snapshot.reload_ok)),
    );
    page.gauge(
        "shewhart_config_last_reload_success_timestamp_seconds",
        "When rule files were last taken.",
        seconds(snapshot.reloaded_at),
    );
    let (file, log) = snapshot.database;
    page.gauge("shewhart_database_bytes", "Size of the database.", file as f64);
    page.gauge("shewhart_database_log_bytes", "Size of its write-ahead log.", log as f64);
    page.gauge("shewhart_silences", "Silences in force.", snapshot.silences as f64);
    page.gauge(
        "shewhart_rules",
        "Rules in force.",
        snapshot.rules.as_ref().map_or(0, |rules| rules.rules.len()) as f64,
    );
    if format == Exposition::OpenMetrics {
        page.text.push_str("# EOF\n");
    }
    page.text
}

fn records(page: &mut Page, snapshot: &Snapshot) {
    let sum =
        |pick: fn(&Counters) -> u64| vec![(String::new(), snapshot.counters.values().map(pick).sum::<u64>() as f64)];
    page.counter("shewhart_records", "Records read.", &sum(|c| c.records));
    page.counter("shewhart_outputs", "Outputs counted.", &sum(|c| c.outputs));
    page.counter("shewhart_feedback", "Feedback counted.", &sum(|c| c.feedback));
    page.counter("shewhart_feedback_unjoined", "Feedback whose output was not remembered.", &sum(|c| c.unjoined));
    page.counter("shewhart_outputs_late", "Outputs whose minute was no longer in memory.", &sum(|c| c.late));
    page.counter("shewhart_outputs_overflow", "Outputs beyond the cap on streams.", &sum(|c| c.overflow));
    page.counter(
        "shewhart_records_early",
        "Records ahead of the broker's clock by more than the skew.",
        &sum(|c| c.early),
    );
    let rejected: Vec<(String, f64)> = Why::ALL
        .iter()
        .enumerate()
        .map(|(at, why)| {
            let n: u64 = snapshot.counters.values().filter_map(|c| c.rejected.get(at)).sum();
            (labels(&[("reason", why.as_str())]), n as f64)
        })
        .collect();
    page.counter("shewhart_records_rejected", "Records not counted, by reason.", &rejected);
    let lag: Vec<(String, f64)> =
        snapshot.lag.iter().map(|(p, n)| (labels(&[("partition", &p.0.to_string())]), *n as f64)).collect();
    page.family("shewhart_consumer_lag_records", Kind::Gauge, "Records behind the end of the partition.", &lag);
}

fn alerts(page: &mut Page, snapshot: &Snapshot) {
    let promised = snapshot.promised;
    let told = "False alarms that the charts promised so far: samples taken by promised run length.";
    page.counter("shewhart_false_alarms_promised", told, &[(String::new(), promised.so_far)]);
    let told = "Alerts that fired, whatever was behind them.";
    page.counter("shewhart_alerts_raised", told, &[(String::new(), promised.raised as f64)]);
    let told = "False alarms a week that the charts promise at the present traffic.";
    page.gauge("shewhart_false_alarms_promised_per_week", told, promised.per_week);
    if let Some(allowed) = snapshot.budget_per_week {
        page.gauge("shewhart_false_alarm_budget_per_week", "False alarms a week that are allowed.", allowed);
    }
    let mut open: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for alert in &snapshot.alerts {
        *open.entry((&alert.alert, alert.state, &alert.severity)).or_default() += 1;
    }
    let count: Vec<(String, f64)> = open
        .iter()
        .map(|((name, state, severity), n)| {
            (labels(&[("alertname", name), ("alertstate", state), ("severity", severity)]), *n as f64)
        })
        .collect();
    page.family("ALERTS", Kind::Gauge, "Open alerts by name and state; the value counts streams.", &count);
    let mut since: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for alert in &snapshot.alerts {
        let first = since.entry(&alert.alert).or_insert(alert.since);
        *first = (*first).min(alert.since);
    }
    let since: Vec<(String, f64)> =
        since.iter().map(|(name, at)| (labels(&[("alertname", name)]), seconds(Some(*at)))).collect();
    page.family("ALERTS_FOR_STATE", Kind::Gauge, "When the oldest open alert of that name began.", &since);
}

fn delivery(page: &mut Page, snapshot: &Snapshot) {
    let of = |(name, n): (&String, u64)| (labels(&[("receiver", name)]), n as f64);
    let pending: Vec<_> = snapshot.outbox.iter().map(|(name, (pending, _))| of((name, *pending))).collect();
    page.family("shewhart_outbox_pending", Kind::Gauge, "Messages waiting to be delivered.", &pending);
    let dead: Vec<_> = snapshot.outbox.iter().map(|(name, (_, dead))| of((name, *dead))).collect();
    page.family("shewhart_outbox_dead", Kind::Gauge, "Messages given up.", &dead);
    let sent: Vec<(String, f64)> =
        snapshot.sent.iter().map(|(kind, n)| (labels(&[("integration", kind)]), *n as f64)).collect();
    page.counter("shewhart_notifications", "Attempts to deliver.", &sent);
    let failed: Vec<(String, f64)> = snapshot
        .failed
        .iter()
        .map(|((kind, reason), n)| (labels(&[("integration", kind), ("reason", reason)]), *n as f64))
        .collect();
    page.counter("shewhart_notifications_failed", "Attempts that failed.", &failed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_name_counters_as_their_readers_expect() {
        let snapshot = Snapshot {
            alerts: vec![OpenAlert {
                alert: "Accuracy\"Degraded".to_owned(),
                severity: "critical".to_owned(),
                state: "firing",
                since: Timestamp::from_millis(1_500),
            }],
            decisions: {
                let mut waits = Waits::default();
                waits.add(2, Duration::from_millis(2));
                waits.add(1, Duration::from_secs(20));
                waits
            },
            ..Snapshot::default()
        };
        let text = metrics(&snapshot, Exposition::Text);
        for line in [
            "bucket{le=\"0.001\"} 0",
            "bucket{le=\"0.0025\"} 2",
            "bucket{le=\"10.0\"} 2",
            "bucket{le=\"+Inf\"} 3",
            "sum 20.004",
            "count 3",
        ] {
            assert!(text.contains(&format!("\nshewhart_decision_seconds_{line}\n")), "{line}\n{text}");
        }
        assert!(text.contains("# TYPE shewhart_records_total counter\nshewhart_records_total 0\n"), "{text}");
        let line = "ALERTS{alertname=\"Accuracy\\\"Degraded\",alertstate=\"firing\",severity=\"critical\"} 1\n";
        assert!(text.contains(line), "{text}");
        let open = metrics(&snapshot, Exposition::OpenMetrics);
        assert!(open.contains("# TYPE shewhart_records counter\nshewhart_records_total 0\n"), "{open}");
        assert!(open.ends_with("# EOF\n"));
        assert!(text.lines().filter(|l| l.starts_with("# TYPE")).count() > 20);
    }
}

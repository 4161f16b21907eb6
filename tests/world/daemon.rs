//! The real binary as a child process: started, killed, stopped, watched from outside.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use shewhart::edge::clock;
use shewhart::edge::ledger::open_read_only;
use socket2::{Domain, Socket, Type};

/// How long a daemon may take for anything it is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);
/// How long a daemon may take to stop.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A number of `/proc/PID/status`; sizes are in KiB.
pub(crate) fn status(pid: u32, key: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok())
}

/// Hundredths of a second of one core that a process has spent.
pub(crate) fn spent(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The second field is a name in brackets, which may have spaces; of all fields these are the 14th and the 15th.
    let fields = stat.rsplit(") ").next().unwrap().split(' ');
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// A folder with a configuration, a database, mails and logs.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    /// The folder of the database.
    pub(crate) data: PathBuf,
    /// Where HTTP answers.
    pub(crate) http: SocketAddr,
    _reserved: Reserved,
    brokers: String,
    topic: String,
    /// The consumer group.
    pub(crate) group: &'static str,
    /// What stands in the configuration besides Kafka, the folders and HTTP.
    pub(crate) more: String,
    /// The rule files, as a YAML list.
    pub(crate) rules: String,
    /// More keys of the `http` section, each after a comma.
    pub(crate) http_keys: String,
    /// More lines of the `kafka` section.
    pub(crate) kafka: String,
    /// What the daemon logs, as `SHEWHART_LOG` says it; its own choice where it is empty.
    pub(crate) log_filter: &'static str,
    /// After how many milliseconds the group gives a silent member up; a new one waits a second less.
    pub(crate) session_ms: u32,
    /// How many milliseconds a broker without records keeps a question open; the mock broker answers no sooner, so it is short.
    pub(crate) fetch_wait_ms: u32,
    /// A program with arguments that starts the daemon; none where it is empty.
    pub(crate) under: Vec<String>,
    /// More of the daemon's environment.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Outputs of a partition that late feedback is joined to: few, so that old ones are dropped.
    pub(crate) join_outputs: usize,
}

/// Baselines after a thousand outputs; a mail for every crossing, into a folder.
pub(crate) const TO_FOLDER: &str = "baseline: { provisional_outputs: 1000 }
receivers: [ { name: mail, folder: { path: mail } } ]
route: { receiver: mail, group_wait: 0s, group_interval: 0s }
";

impl Place {
    /// A place for a daemon that reads a topic.
    pub(crate) fn new(brokers: &str, topic: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let reserved = Reserved::new();
        Self {
            data: folder.path().join("data"),
            folder,
            http: reserved.address,
            _reserved: reserved,
            brokers: brokers.to_owned(),
            topic: topic.to_owned(),
            group: "shewhart",
            more: TO_FOLDER.to_owned(),
            rules: format!("[ {} ]", Path::new(env!("CARGO_MANIFEST_DIR")).join("rules").display()),
            http_keys: String::new(),
            kafka: String::new(),
            log_filter: "",
            session_ms: 4_000,
            fetch_wait_ms: 10,
            under: Vec::new(),
            environment: Vec::new(),
            join_outputs: 4_000,
        }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where mails go.
    pub(crate) fn mail(&self) -> PathBuf {
        self.path().join("mail")
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.data.join("shewhart.db")
    }

    /// Everything that the daemons of this place said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    /// Writes the configuration. Where.
    pub(crate) fn configure(&self) -> PathBuf {
        let Self {
            brokers,
            topic,
            group,
            kafka,
            rules,
            more,
            data,
            http,
            http_keys,
            join_outputs,
            session_ms,
            fetch_wait_ms,
            ..
        } = self;
        let config = format!(
            "kafka:\n  brokers: \"{brokers}\"\n  topic: {topic}\n  group: {group}\n  properties:\n    \
             session.timeout.ms: \"{session_ms}\"\n    heartbeat.interval.ms: \"300\"\n    fetch.wait.max.ms: \"{fetch_wait_ms}\"\n    \
             reconnect.backoff.max.ms: \"500\"\n{kafka}data_dir: {}\nrules: {rules}\nhttp: {{ listen: \"{http}\"{http_keys} }}\n\
             streams: {{ join_outputs: {join_outputs} }}\n{more}",
            data.display()
        );
        let file = self.path().join("shewhart.yaml");
        fs::write(&file, config).unwrap();
        file
    }

    /// Writes the configuration and starts the daemon.
    pub(crate) fn start(&self) -> Daemon {
        let file = self.configure();
        let log = OpenOptions::new().create(true).append(true).open(self.path().join("log")).unwrap();
        let mut words = self.under.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_shewhart"), "run", "-c"]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg(&file).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        if !self.log_filter.is_empty() {
            command.env("SHEWHART_LOG", self.log_filter);
        }
        // As the unit and the image have it.
        command.env("MALLOC_ARENA_MAX", "2");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Daemon { child: command.spawn().unwrap() }
    }

    /// One number out of the database; nothing while there is none to ask.
    pub(crate) fn ask(&self, sql: &str) -> Option<i64> {
        let db = open_read_only(&self.database()).ok()?;
        db.query_row(sql, [], |row| row.get(0)).ok()?
    }

    /// One column of text out of the database.
    pub(crate) fn list(&self, sql: &str) -> BTreeSet<String> {
        let db = open_read_only(&self.database()).unwrap();
        db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// How many records the committed state reflects.
    pub(crate) fn committed(&self) -> u64 {
        self.ask("SELECT sum(next_offset) FROM partitions").unwrap_or(0) as u64
    }

    /// Waits until the database says so.
    pub(crate) fn wait(&self, what: &str, daemon: &mut Daemon, reached: impl FnMut(&Self) -> bool) {
        self.wait_asking(what, daemon, Duration::from_millis(5), reached);
    }

    /// The same for what costs something to ask: so long apart.
    pub(crate) fn wait_asking(
        &self,
        what: &str,
        daemon: &mut Daemon,
        every: Duration,
        mut reached: impl FnMut(&Self) -> bool,
    ) {
        let deadline = clock::instant() + PATIENCE;
        while !reached(self) {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                panic!("{what}: the daemon ended with {status}:\n{}", tail(&self.log()));
            }
            assert!(
                clock::instant() < deadline,
                "{what}: {} records committed, not in {PATIENCE:?}:\n{}",
                self.committed(),
                tail(&self.log())
            );
            clock::sleep(every);
        }
    }

    /// Waits until it has partitions and reads them.
    pub(crate) fn wait_ready(&self, daemon: &mut Daemon) {
        self.wait("readiness", daemon, |place| matches!(place.page("/-/ready"), Some((200, _))));
    }

    /// Waits until everything is read, and everything decided is delivered.
    pub(crate) fn wait_for_end(&self, daemon: &mut Daemon, records: u64) {
        let untold = "SELECT (SELECT count(*) FROM outbox WHERE state = 'pending') + (SELECT count(*) FROM alerts a
            WHERE fired_at_ms IS NOT NULL AND NOT EXISTS (SELECT 1 FROM outbox_alerts o JOIN alert_events e
            ON o.notice = e.id WHERE e.alert_id = a.id AND e.to_state = a.state))";
        self.wait("the end", daemon, |place| place.committed() == records && place.ask(untold) == Some(0));
    }

    /// Stops the daemon as an operator does, and takes nothing but a clean end in time.
    pub(crate) fn stop(&self, mut daemon: Daemon) -> Duration {
        let begun = clock::instant();
        daemon.signal("TERM");
        let status = daemon.ended(STOP_WITHIN).unwrap_or_else(|| {
            panic!("still running {STOP_WITHIN:?} after SIGTERM:\n{}", tail(&self.log()));
        });
        assert_eq!(status.code(), Some(0), "{status}:\n{}", tail(&self.log()));
        begun.elapsed()
    }

    /// The status code and the body of a page.
    pub(crate) fn page(&self, path: &str) -> Option<(u16, String)> {
        self.request("GET", path, "", "")
    }

    /// The same for any request; `headers` end with a line break each.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Option<(u16, String)> {
        let mut wire = TcpStream::connect(self.http).ok()?;
        wire.set_read_timeout(Some(Duration::from_secs(25))).ok()?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        wire.write_all(head.as_bytes()).ok()?;
        let mut text = String::new();
        wire.read_to_string(&mut text).ok()?;
        let code = text.split(' ').nth(1)?.parse().ok()?;
        Some((code, text.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// One sample of `/metrics`, by its name with its labels.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let (_, page) = self.page("/metrics")?;
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }
}

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Ends the process as the power would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// How it ended, where it did in time.
    pub(crate) fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = clock::instant() + within;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return Some(status),
                None if clock::instant() >= deadline => return None,
                None => clock::sleep(Duration::from_millis(5)),
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An address that the system gives nobody else while this is there. Whoever connects to it is refused until a server is
/// started there, which may be another process.
pub(crate) struct Reserved {
    /// Where.
    pub(crate) address: SocketAddr,
    /// Bound and not listening, which leaves servers the address, for they set the same option.
    _socket: Socket,
}

impl Reserved {
    /// Some address of this machine.
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Self { address: socket.local_addr().unwrap().as_socket().unwrap(), _socket: socket }
    }
}

/// The end of a log, for messages of failure.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.split_at(lines.len().saturating_sub(40)).1.join("\n")
}

//! The operator's walk-through in docs/rules.md, walked: every command is run by a shell, in order, in one folder, beside a
//! real daemon, and must print what the document shows.
//!
//! In the section, a block ```` ```yaml NAME ```` is a file, ```` ```console ```` holds commands after `$ ` and what they print,
//! ```` ```mail FOLDER ```` is the newest mail of a folder as text. Comments say what happens meanwhile:
//! `<!-- walk: agents until TIME -->` lets the agents work, `<!-- walk: told FOLDER N -->` waits for mails and
//! `<!-- walk: until SQL -->` for the database to answer 1. A line `...` stands for any lines, `...` at the end of a line
//! for its rest; how many spaces part two columns does not matter. What differs from run to run is put back by
//! [`Walk::shown`]. Set `SHEWHART_BLESS` to write the section anew where it differs.

#![expect(clippy::unwrap_used, reason = "a fault of a test's own may end the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mailparse::ParsedMail;
use regex::{Captures, Regex};
use shewhart::edge::clock;
use shewhart::edge::kafka::produce::{Outgoing, Producer, ProducerSettings};
use shewhart::edge::ledger::open_read_only;
use shewhart::edge::mock::MockBroker;
use shewhart::simulate::{Generator, Scenario, SimulatedEvent};
use tempfile::TempDir;

use crate::daemon::{PATIENCE, Reserved, tail};
use crate::docs::{read, root};

const DOCUMENT: &str = "docs/rules.md";
const HEADING: &str = "\n## A walk-through for operators\n";
const TOPIC: &str = "agent-events";
/// What stands in the document for the time of day, which is later than all events.
const NOW: &str = "2026-02-04T09:00:00Z";
const NOW_IN_MAILS: &str = "2026-02-04 09:00 UTC";
const EVENTS_END: &str = "2026-02-05T00:00:00Z";
/// What stands there for the id of the silence, which depends on the time of day.
const SILENCE: &str = "8a3f21c0d94e6b57a1c2f3048e9d7b65";

/// A running daemon; killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

struct Walk {
    folder: TempDir,
    broker: MockBroker,
    events: Vec<SimulatedEvent>,
    sent: usize,
    daemon: Option<Running>,
    /// What stands in the document, and what it is in this run.
    names: Vec<(String, String)>,
    /// How the last command ended.
    code: i32,
    /// Where HTTP answers.
    _reserved: Reserved,
}

impl Walk {
    fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = MockBroker::start(TOPIC, 1).unwrap();
        for name in ["history", "walkthrough"] {
            let scenario = format!("fixtures/scenarios/{name}.yaml");
            fs::write(folder.path().join(format!("{name}.yaml")), read(&scenario)).unwrap();
        }
        let scenario = Scenario::parse(&read("fixtures/scenarios/walkthrough.yaml")).unwrap();
        let reserved = Reserved::new();
        let names = vec![
            ("127.0.0.1:9092".to_owned(), broker.bootstrap().to_owned()),
            ("127.0.0.1:9464".to_owned(), reserved.address.to_string()),
        ];
        let events = Generator::new(&scenario, 7).collect();
        Self { folder, broker, events, sent: 0, daemon: None, names, code: 0, _reserved: reserved }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The document's text as it is in this run.
    fn real(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (shown, real)| text.replace(shown, real))
    }

    /// What was printed, as the document shows it.
    fn shown(&self, text: &str) -> String {
        let text = self.names.iter().fold(text.to_owned(), |text, (shown, real)| text.replace(real, shown));
        let time = Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z").unwrap();
        let end: jiff::Timestamp = EVENTS_END.parse().unwrap();
        let text = time.replace_all(&text, |found: &Captures<'_>| {
            let is_now = found[0].parse::<jiff::Timestamp>().is_ok_and(|at| at > end);
            if is_now { NOW.to_owned() } else { found[0].to_owned() }
        });
        let minute = Regex::new(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d) UTC").unwrap();
        let text = minute.replace_all(&text, |found: &Captures<'_>| {
            let at = format!("{}T{}:00Z", &found[1], &found[2]).parse::<jiff::Timestamp>();
            if at.is_ok_and(|at| at > end) { NOW_IN_MAILS.to_owned() } else { found[0].to_owned() }
        });
        let owner = Regex::new("\"who\": \"[^\"]+\"").unwrap();
        let text = owner.replace_all(&text, "\"who\": \"ann\"");
        let age = Regex::new(r"written \d+ (s|min) ago").unwrap();
        age.replace_all(&text, "written 1 s ago").into_owned()
    }

    /// Runs a line of shell; what it printed on both streams.
    fn run(&mut self, line: &str) -> String {
        let bin = Path::new(env!("CARGO_BIN_EXE_shewhart")).parent().unwrap().display();
        let line = self.real(line);
        let head = format!("PATH='{bin}':\"$PATH\"\n");
        let mut shell = Command::new("sh");
        shell.current_dir(self.folder.path()).stdin(Stdio::null());
        if let Some(line) = line.strip_suffix(" &") {
            let child = shell.arg("-c").arg(format!("{head}exec {line}")).stdout(Stdio::null()).spawn().unwrap();
            self.daemon = Some(Running(child));
            self.wait("readiness", |walk| walk.path("data/shewhart.sock").exists());
            return String::new();
        }
        let done = shell.arg("-c").arg(format!("{head}exec 2>&1\n(exit {})\n{line}", self.code)).output().unwrap();
        self.code = done.status.code().unwrap();
        let said = String::from_utf8(done.stdout).unwrap();
        if line.starts_with("shewhart silence add") {
            let id = said.split(' ').next().unwrap().to_owned();
            assert_eq!(id.len(), SILENCE.len(), "{said}");
            // The whole before its beginning.
            let short = |text: &str| text.chars().take(8).collect::<String>();
            self.names.push((SILENCE.to_owned(), id.clone()));
            self.names.push((short(SILENCE), short(&id)));
        }
        self.shown(&said)
    }

    /// What happens meanwhile.
    fn meanwhile(&mut self, what: &str) {
        if let Some(until) = what.strip_prefix("agents until ") {
            self.work(until);
        } else if let Some(told) = what.strip_prefix("told ") {
            let (folder, n) = told.split_once(' ').unwrap();
            let n: usize = n.parse().unwrap();
            self.wait(what, |walk| walk.mails(folder).len() >= n);
            assert_eq!(self.mails(folder).len(), n, "{what}");
        } else if let Some(sql) = what.strip_prefix("until ") {
            self.wait(what, |walk| walk.ask(sql) == Some(1));
        } else {
            panic!("nobody knows how to `{what}`");
        }
    }

    /// The agents work up to a moment, and all of it is seen.
    fn work(&mut self, until: &str) {
        let until: jiff::Timestamp = until.parse().unwrap();
        let producer = Producer::new(&ProducerSettings::new(self.broker.bootstrap())).unwrap();
        let happened = |event: &&SimulatedEvent| {
            let json: serde_json::Value = serde_json::from_str(&event.json).unwrap();
            json.get("ts").and_then(serde_json::Value::as_str).unwrap().parse::<jiff::Timestamp>().unwrap() <= until
        };
        for event in self.events.iter().skip(self.sent).take_while(happened) {
            producer.send(&Outgoing::new(TOPIC, &event.agent, event.json.as_bytes())).unwrap();
            self.sent += 1;
        }
        producer.flush(Duration::from_secs(30)).unwrap();
        let all = i64::try_from(self.sent).unwrap();
        self.wait("the agents' work", |walk| walk.ask("SELECT sum(next_offset) FROM partitions") == Some(all));
    }

    fn ask(&self, sql: &str) -> Option<i64> {
        let db = open_read_only(&self.path("data/shewhart.db")).ok()?;
        db.query_row(sql, [], |row| row.get(0)).ok()?
    }

    fn wait(&mut self, what: &str, reached: impl Fn(&Self) -> bool) {
        let deadline = clock::instant() + PATIENCE;
        while !reached(self) {
            let ended = self.daemon.as_mut().and_then(|daemon| daemon.0.try_wait().unwrap());
            let log = fs::read_to_string(self.path("daemon.log")).unwrap_or_default();
            assert!(ended.is_none() && clock::instant() < deadline, "{what} ({ended:?}):\n{}", tail(&log));
            clock::sleep(Duration::from_millis(5));
        }
    }

    /// The mails of a folder, the newest last.
    fn mails(&self, folder: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut mails: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "eml")).collect();
        mails.sort_by_key(|path| (path.metadata().unwrap().modified().unwrap(), path.clone()));
        mails
    }

    /// The newest mail of a folder as text.
    fn mail(&self, folder: &str) -> String {
        let bytes = fs::read(self.mails(folder).last().unwrap()).unwrap();
        let mail = mailparse::parse_mail(&bytes).unwrap();
        let subject = mail.headers.iter().find(|header| header.get_key() == "Subject").unwrap().get_value();
        self.shown(&format!("Subject: {subject}\n\n{}", plain(&mail).unwrap().replace('\r', "")))
    }
}

/// The first part of a mail that is plain text.
fn plain(mail: &ParsedMail<'_>) -> Option<String> {
    if mail.subparts.is_empty() {
        return (mail.ctype.mimetype == "text/plain").then(|| mail.get_body().unwrap());
    }
    mail.subparts.iter().find_map(plain)
}

/// A line with two spaces wherever there are more.
fn squeezed(line: &str) -> String {
    Regex::new("  +").unwrap().replace_all(line.trim_end(), "  ").into_owned()
}

/// Whether what was found is what is shown, where `...` may stand for what is left out.
fn meets(shown: &[&str], found: &[&str]) -> bool {
    match (shown.split_first(), found.split_first()) {
        (None, _) => found.is_empty(),
        (Some((&"...", rest)), _) => (0..=found.len()).any(|skip| meets(rest, found.split_at(skip).1)),
        (Some(_), None) => false,
        (Some((line, rest)), Some((other, left))) => {
            let (line, other) = (squeezed(line), squeezed(other));
            let same = line.strip_suffix("...").map_or(line == other, |begin| other.starts_with(begin.trim_end()));
            same && meets(rest, left)
        }
    }
}

/// What the document shall show: what it shows, where that is true.
fn truth(what: &str, shown: &[&str], found: &str) -> String {
    let lines: Vec<&str> = found.trim_end().lines().collect();
    if meets(shown, &lines) {
        return shown.join("\n") + if shown.is_empty() { "" } else { "\n" };
    }
    let blessed = std::env::var_os("SHEWHART_BLESS").is_some();
    assert!(blessed, "{what}\n--- the document shows\n{}\n--- found\n{found}", shown.join("\n"));
    lines.iter().flat_map(|line| [line.trim_end(), "\n"]).collect()
}

/// Runs a block of commands; the block as it shall be.
fn console(walk: &mut Walk, block: &[&str]) -> String {
    let mut text = String::new();
    let mut rest = block;
    while let Some((command, after)) = rest.split_first() {
        let line = command.strip_prefix("$ ").unwrap_or_else(|| panic!("no command: {command}"));
        let end = after.iter().position(|line| line.starts_with("$ ")).unwrap_or(after.len());
        let (shown, next) = after.split_at(end);
        let found = walk.run(line);
        text += &((*command).to_owned() + "\n" + &truth(command, shown, &found));
        rest = next;
    }
    text
}

#[test]
fn the_walk_through_is_what_happens() {
    let document = read(DOCUMENT);
    let (before, section) = document.split_once(HEADING).expect("the section is there");
    let mut walk = Walk::begin();
    let mut text = String::new();
    let mut commands = 0;
    let mut lines = section.lines();
    // Outside of blocks: reports have headings too.
    while let Some(line) = lines.next().filter(|line| !line.starts_with("## ")) {
        text += &(line.to_owned() + "\n");
        if let Some(what) = line.strip_prefix("<!-- walk: ") {
            walk.meanwhile(what.strip_suffix(" -->").unwrap());
        }
        let Some(kind) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let (kind, name) = kind.split_once(' ').unwrap_or((kind, ""));
        match kind {
            "console" => {
                commands += block.iter().filter(|line| line.starts_with("$ ")).count();
                text.push_str(&console(&mut walk, &block));
            }
            "mail" => text.push_str(&truth(line, &block, &walk.mail(name))),
            "yaml" => {
                let body = block.join("\n") + "\n";
                fs::write(walk.path(name), walk.real(&body)).unwrap();
                text.push_str(&body);
            }
            other => panic!("a block of {other}"),
        }
        text.push_str("```\n");
    }
    assert!(commands > 20, "{commands}");
    let after: Vec<&str> = lines.collect();
    let end = section.lines().count() - after.len() - 1;
    let heading = section.lines().nth(end).expect("another section follows");
    if !text.lines().eq(section.lines().take(end)) {
        let whole = format!("{before}{HEADING}{text}{heading}\n{}\n", after.join("\n"));
        fs::write(root().join(DOCUMENT), whole).unwrap();
        panic!("{DOCUMENT} was written anew; read it");
    }
}

#[test]
fn what_is_left_out_must_be_marked() {
    assert!(meets(&["a", "...", "d  e"], &["a", "b", "c", "d     e "]));
    assert!(meets(&["a ..."], &["a b"]));
    for (shown, found) in
        [(&["a"][..], &["a", "b"][..]), (&["a", "b"], &["a"]), (&["a", "..."], &["b"]), (&["a b"], &["a  b"])]
    {
        assert!(!meets(shown, found), "{shown:?} {found:?}");
    }
}

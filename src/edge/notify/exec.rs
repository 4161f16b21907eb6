//! Messages handed to a command: runbooks, rollback hooks.
//!
//! There is no shell, nothing of a message is ever an argument or a variable, and the command is the operator's. It
//! gets JSON on its standard input and a bounded time; when it ends, whatever it left behind in its process group is
//! ended too.

use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::{Deserialize, Deserializer};

use super::super::clock;
use super::clean::line;
use super::settings::SettingsError;
use super::{Attempt, DeliveryError, FailureClass, FailureKind, payload};
use crate::engine::route::Message;
use crate::engine::units::Span;

/// How much of what a command writes is kept.
const OUTPUT_MAX: u64 = 64 * 1024;
/// The exit code of `sysexits.h` that asks to come again later.
const EX_TEMPFAIL: i32 = 75;
/// How often a running command is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the pipes of a command that is over may take to run dry.
const PIPES_TIME: Duration = Duration::from_secs(1);
/// Longest time a command can be given.
const LONGEST: Span = Span::from_millis(10 * 60_000);

/// A command on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecSettings {
    /// The program and its arguments, as they are.
    pub command: Vec<String>,
    /// How long it may take.
    #[serde(default = "usual", deserialize_with = "duration")]
    pub timeout: Span,
    /// Where it runs: the folder of the configuration.
    #[serde(skip, default = "here")]
    pub folder: PathBuf,
    /// Its whole environment, as names and values.
    #[serde(skip)]
    pub environment: Vec<(String, String)>,
}

const fn usual() -> Span {
    Span::from_millis(30_000)
}

fn here() -> PathBuf {
    PathBuf::from(".")
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

impl ExecSettings {
    /// The same command, run in this folder; its program is looked for there when its name has a slash.
    pub(super) fn relative_to(&mut self, base: &Path) {
        let base = if base.as_os_str().is_empty() { Path::new(".") } else { base };
        self.folder = std::path::absolute(base).unwrap_or_else(|_| base.to_owned());
        if let Some(program) = self.command.first_mut().filter(|program| program.contains('/')) {
            *program = self.folder.join(&*program).to_string_lossy().into_owned();
        }
    }

    /// Everything wrong with the settings.
    pub(super) fn faults(&self) -> Vec<SettingsError> {
        let mut faults = Vec::new();
        if self.command.first().is_none_or(String::is_empty) || self.command.iter().any(|part| part.contains('\0')) {
            faults.push(SettingsError::Command);
        }
        if self.timeout < Span::from_millis(1_000) || self.timeout > LONGEST {
            faults.push(SettingsError::Timeout(self.timeout));
        }
        faults
    }

    fn program(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }
}

/// Runs the command once with the message. Exit code 0 is the only yes.
pub(super) fn deliver(settings: &ExecSettings, message: &Message, attempt: Attempt) -> Result<(), DeliveryError> {
    let body = payload::hook(message, attempt.fallback).map_err(|e| DeliveryError::build(e.to_string()))?;
    let name = line(settings.program(), 100);
    let mut child = start(settings)
        .map_err(|e| DeliveryError::retry(FailureClass::Command, format!("cannot start {name}: {e}")))?;
    let pipes = Pipes::of(&mut child, body);
    let ended = wait(&mut child, Duration::from_millis(settings.timeout.as_millis().unsigned_abs()));
    let said = pipes.said();
    match ended {
        Ok(Some(status)) => judge(&name, status, &said),
        Ok(None) => {
            Err(doubtful(FailureClass::Timeout, format!("{name} took longer than {} and was ended", settings.timeout)))
        }
        Err(e) => Err(doubtful(FailureClass::Command, format!("lost sight of {name}: {e}"))),
    }
}

fn judge(name: &str, status: ExitStatus, said: &str) -> Result<(), DeliveryError> {
    let told = if said.is_empty() { String::new() } else { format!(": {said}") };
    match status.code() {
        Some(0) => Ok(()),
        Some(EX_TEMPFAIL) => {
            Err(DeliveryError::retry(FailureClass::Command, format!("{name} asks to come again later{told}")))
        }
        Some(code) => Err(doubtful(FailureClass::Command, format!("{name} ended with code {code}{told}"))),
        None => Err(doubtful(FailureClass::Command, format!("{name} was ended by a signal{told}"))),
    }
}

/// A command that failed may have done half of its work: a few attempts, not a day of them.
fn doubtful(class: FailureClass, detail: String) -> DeliveryError {
    DeliveryError { kind: FailureKind::Doubtful, ..DeliveryError::retry(class, detail) }
}

fn start(settings: &ExecSettings) -> std::io::Result<Child> {
    let arguments = settings.command.iter().skip(1);
    Command::new(settings.program())
        .args(arguments)
        .env_clear()
        .envs(settings.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&settings.folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that all of it can be ended, and a signal to the daemon does not reach it.
        .process_group(0)
        .spawn()
}

/// Waits for the command's end, but not longer than this; nothing when its time was up. Its whole group is ended in
/// either case, and then it is reaped: until then its number cannot become another process's.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let pid = Pid::from_child(child);
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let end = clock::instant() + limit;
    let in_time = loop {
        match waitid(WaitId::Pid(pid), look) {
            Ok(Some(_)) => break Ok(true),
            Ok(None) if clock::instant() >= end => break Ok(false),
            Ok(None) => clock::sleep(LOOK_EVERY),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => break Err(e),
        }
    };
    // A group that is gone already is what is wanted.
    kill_process_group(pid, Signal::KILL).unwrap_or_default();
    let status = child.wait()?;
    Ok(in_time?.then_some(status))
}

/// The threads that feed the command and read it. They end with the pipes.
struct Pipes {
    lines: Receiver<String>,
}

impl Pipes {
    fn of(child: &mut Child, body: Vec<u8>) -> Self {
        // The first line of standard error says more than that of standard output.
        let (heard, lines) = sync_channel(2);
        if let Some(mut stdin) = child.stdin.take() {
            std::thread::spawn(move || {
                // A command need not read what it is told.
                drop(stdin.write_all(&body));
            });
        }
        if let Some(stderr) = child.stderr.take() {
            let heard = heard.clone();
            std::thread::spawn(move || heard.send(first_line(stderr)));
        }
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                drop(first_line(stdout));
                drop(heard);
            });
        }
        Self { lines }
    }

    /// The first line that the command wrote to standard error, cleaned.
    fn said(&self) -> String {
        self.lines.recv_timeout(PIPES_TIME).unwrap_or_default()
    }
}

/// The first line of a stream; the rest is read, so that the command is not stopped by a full pipe, and forgotten.
fn first_line(mut from: impl Read) -> String {
    let mut kept = Vec::new();
    drop((&mut from).take(OUTPUT_MAX).read_to_end(&mut kept));
    drop(std::io::copy(&mut from, &mut std::io::sink()));
    let text = String::from_utf8_lossy(&kept);
    line(text.lines().next().unwrap_or_default(), 200)
}

//! The command line: parse, call, print, exit codes.

mod accuracy;
pub mod args;
mod baseline;
mod calibration;
pub mod chart;
pub mod check;
mod console;
mod daemon;
pub mod db;
mod demo;
pub mod design;
mod explain;
mod input;
pub mod label_queue;
mod people;
mod replay;
pub mod report;
pub mod rules;
mod run;
mod simulate;
mod table;
mod test;
pub mod threshold;

use std::process::ExitCode;

use clap::Parser as _;

pub use args::Cli;
use args::Command;

/// The command worked, or the check found nothing.
const OK: u8 = 0;
/// The input was wrong, or a check found something.
const INVALID: u8 = 1;
/// A gate found something: the input is right, but what it says is not good enough.
const FINDING: u8 = 3;
/// Somebody else does not answer.
const UNAVAILABLE: u8 = 69;
/// Something inside is broken.
const INTERNAL: u8 = 70;

/// A failure that is the user's to mend: printed without a trace of where in the program it happened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Invalid(pub(crate) String);

/// The daemon that was asked is not there, or could not answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unavailable(pub(crate) String);

/// Runs the command line of the process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Demo(args) => demo::demo(&args),
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Rules(args) => rules::rules(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Design(args) => design::design(&args),
        Command::Chart(args) => chart::run(&args),
        Command::Report(args) => report::run(&args),
        Command::LabelQueue(args) => label_queue::run(&args),
        Command::Threshold(args) => threshold::run(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Test(args) => test::test(&args),
        Command::Baseline(args) => baseline::baseline(&args),
        Command::Simulate(args) => simulate::simulate(&args),
        Command::Status(args) => console::status(&args),
        Command::Alerts(args) => console::alerts(&args),
        Command::Ack(args) => people::ack(&args),
        Command::Silence(args) => people::silence(&args),
        Command::Db(args) => db::db(&args),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // It may quote what was asked, or what lies in a file.
            say(&table::plain_lines(&format!("shewhart: {}", in_full(&error))));
            ExitCode::from(if error.is::<std::io::Error>() || error.is::<Invalid>() {
                INVALID
            } else {
                code_of(&error)
            })
        }
    }
}

/// An error with its causes, each said once: some errors quote their cause already.
fn in_full(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// What the user can mend is 1, what only we can is 70.
fn code_of(error: &anyhow::Error) -> u8 {
    use crate::config::ConfigError;
    use crate::edge::EdgeError;
    use crate::edge::ledger::LedgerError;
    if let Some(edge) = error.downcast_ref::<EdgeError>() {
        return edge.exit_code();
    }
    if error.is::<Unavailable>() {
        return UNAVAILABLE;
    }
    if error.is::<ConfigError>() || error.is::<LedgerError>() { INVALID } else { INTERNAL }
}

/// Prints to standard output. A reader that went away ends the output, not the program.
fn print(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        // Nobody reads any more: what is left to say has no reader either.
    }
}

/// Prints a line to standard error.
fn say(text: &str) {
    use std::io::Write as _;
    let mut err = std::io::stderr().lock();
    if writeln!(err, "{text}").is_err() {
        // Nobody reads any more.
    }
}

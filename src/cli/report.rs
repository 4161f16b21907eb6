//! `shewhart report`: one self-contained HTML file for a review.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use rusqlite::{Connection, ErrorCode};
use serde::Serialize;

use super::args::Format;
use super::table::plain_lines;
use super::{Invalid, OK, db, input, print};
use crate::config::Config;
use crate::edge::clock;
use crate::edge::ledger::query;
use crate::edge::report::{ReportError, Request, report, rules_in_force};
use crate::engine::rule::{RuleSet, compile};
use crate::engine::units::{Span, Timestamp};

/// How long a file is read that a daemon writes.
const READ_WITHIN: Duration = Duration::from_mins(2);

/// `report`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  shewhart report data/shewhart.db -o review.html\n  shewhart report -c shewhart.yaml --from 2026-03-01T00:00:00Z --to 2026-04-01T00:00:00Z -o march.html"
)]
pub struct ReportArgs {
    /// The daemon's database, or one that `replay --db` wrote
    #[arg(required_unless_present = "config")]
    pub db: Option<PathBuf>,
    /// The daemon's configuration: its rules, and its database where none is named
    #[arg(short, long)]
    pub config: Option<PathBuf>,
    /// From when, RFC 3339; the hour of outputs that holds it counts
    #[arg(long)]
    pub from: Option<Timestamp>,
    /// Until when, RFC 3339; the hour that begins then does not count. The newest output's where not given
    #[arg(long)]
    pub to: Option<Timestamp>,
    /// How long the period is, where --from does not say
    #[arg(long, default_value = "30d", conflicts_with = "from")]
    pub last: Span,
    /// Only this agent
    #[arg(long)]
    pub agent: Option<String>,
    /// Within which time a fall of 2 points is to be seen, for full deployment
    #[arg(long, default_value = "7d")]
    pub within: Span,
    /// Where to; standard output where not given
    #[arg(short, long)]
    pub out: Option<PathBuf>,
    /// What is said of the file that was written
    #[arg(long, value_enum, default_value_t, requires = "out")]
    pub output: Format,
}

/// What is said of the file.
#[derive(Serialize)]
struct Written<'w> {
    file: &'w Path,
    bytes: usize,
    from: String,
    to: String,
    agents: usize,
    verdict: &'w str,
}

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<u8> {
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let path = args.db.clone().or_else(|| config.as_ref().map(Config::database)).unwrap_or_default();
    let mut connection = db::open(&path)?;
    // Nobody's log has to shrink where nobody writes.
    if query::is_held(&path) != Some(false) {
        query::cut_after(&mut connection, READ_WITHIN)?;
    }
    // One snapshot for all that is read: the daemon writes meanwhile.
    connection.execute_batch("BEGIN").context("beginning to read")?;
    let request = Request {
        from: args.from,
        to: args.to,
        last: args.last,
        agent: args.agent.clone(),
        within: args.within,
        rules: rules(&connection, config.as_ref())?,
        database: path.display().to_string(),
        now: clock::now(),
    };
    let made = report(&connection, &request).map_err(|error| match error {
        ReportError::NoAgent(_) | ReportError::NoTime(..) => Invalid(format!("{}: {error}", path.display())).into(),
        ReportError::Sqlite { source, .. } if source.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            let within = READ_WITHIN.as_secs();
            Invalid(format!(
                "{}: cut after {within} s, because a daemon writes this file; ask for a shorter period or one agent, or make the \
                 report from a copy: shewhart db backup",
                path.display()
            ))
            .into()
        }
        other => anyhow::Error::new(other),
    })?;
    let Some(out) = &args.out else {
        print(&made.html);
        return Ok(OK);
    };
    std::fs::write(out, &made.html).with_context(|| format!("cannot write {}", out.display()))?;
    let (from, to) = made.period;
    let (bytes, agents) = (made.html.len(), made.agents);
    match args.output {
        Format::Text => {
            let one = if agents == 1 { "agent" } else { "agents" };
            print(&plain_lines(&format!("{}: {bytes} bytes, {agents} {one}\n{}", out.display(), made.verdict)));
            print("\n");
        }
        Format::Json => {
            let (from, to) = (from.to_string(), to.to_string());
            let told = Written { file: out, bytes, from, to, agents, verdict: &made.verdict };
            print(&format!("{}\n", serde_json::to_string_pretty(&told)?));
        }
    }
    Ok(OK)
}

/// The rules of the configuration, else those in force in the database, else the shipped ones; and which they are, in words.
fn rules(connection: &Connection, config: Option<&Config>) -> anyhow::Result<(RuleSet, String)> {
    if let Some(config) = config {
        return Ok((input::rules(&config.rules)?, "those of the configuration".to_owned()));
    }
    let sources = rules_in_force(connection)?.unwrap_or_default();
    if let Some(rules) = compile(&sources).rules.filter(|rules| !rules.rules.is_empty()) {
        return Ok((rules, "those in force in the database".to_owned()));
    }
    Ok((input::rules(&[])?, "the shipped ones, as the database holds none".to_owned()))
}

//! The words of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::chart::args::ChartArgs;
use super::check::CheckArgs;
use super::db::args::DbArgs;
use super::design::args::DesignArgs;
use super::label_queue::LabelQueueArgs;
use super::report::ReportArgs;
use super::rules::args::RulesArgs;
use super::threshold::ThresholdArgs;
use crate::engine::Group;
use crate::engine::budget::Budget;
use crate::engine::units::Span;
use crate::replay::Injection;

/// Watches AI agents in production by statistical process control.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See it all on one machine with nothing installed: broker, agents, one of which degrades, alerts, mails
    #[command(after_help = "Example: shewhart demo --keep ./demo")]
    Demo(DemoArgs),
    /// Run the daemon
    #[command(after_help = "Example: shewhart run -c /etc/shewhart/shewhart.yaml")]
    Run(RunArgs),
    /// Check rule files and the configuration; exit 1 with every fault
    #[command(
        after_help = "Examples:\n  shewhart check rules/ -c shewhart.yaml\n  shewhart check --schema > rules.schema.json"
    )]
    Check(CheckArgs),
    /// List rules; change values of rule files and leave the rest of them alone
    #[command(
        after_help = "Example: shewhart rules set rules/accuracy.yaml AccuracyDegraded detect.drop=3pp --dry-run"
    )]
    Rules(RulesArgs),
    /// What every rule is worth on every stream: its limit, its promise, how long it takes to see changes
    #[command(
        after_help = "Examples:\n  shewhart explain rules/ --db data/shewhart.db\n  shewhart explain --accuracy 0.92 --labels 2000 --per-day 500"
    )]
    Explain(ExplainArgs),
    /// The calculator for statisticians: limits from promises, run lengths, intervals, known-answer cases
    #[command(
        after_help = "Examples:\n  shewhart design cusum --p0 0.08 --drop 2pp --arl0 20000\n  shewhart design --cases cases.json"
    )]
    Design(DesignArgs),
    /// Draw the classical chart of a share by hours or days, with run rules; it looks and never alarms
    #[command(after_help = "Example: shewhart chart --db data/shewhart.db --agent invoice-triage --measure accuracy")]
    Chart(ChartArgs),
    /// One HTML file for a review: readiness, accuracy, control charts, drift, cost, alerts with their delays
    Report(ReportArgs),
    /// Which cases people should judge next: those whose verdicts tell soonest whether something is wrong
    LabelQueue(LabelQueueArgs),
    /// What each threshold on confidence would do: coverage, accuracy, escalations, with intervals
    Threshold(ThresholdArgs),
    /// Run rules over recorded events: the same engine, no broker
    #[command(
        after_help = "Examples:\n  shewhart replay events.jsonl.gz --baseline-first 10000 --group-by agent\n  shewhart replay events.jsonl.gz --baseline-first 10000 --rules new/ --against old/ --max-false-alarms '1 per 7d'\n  shewhart replay events.jsonl.gz --baseline-first 10000 --inject 'accuracy -3pp where agent=x from 2026-03-01T00:00:00Z'"
    )]
    Replay(ReplayArgs),
    /// Run rule tests: events in, alerts expected; exit 1 where a test fails
    #[command(after_help = "Example: shewhart test rules/tests --diff")]
    Test(TestArgs),
    /// Learn, import, list, show and promote baselines
    #[command(
        after_help = "Example: shewhart baseline learn --db data/shewhart.db --from validation.jsonl --name spring --promote --why 'accepted in review 12'"
    )]
    Baseline(BaselineArgs),
    /// Make synthetic events with planted changes
    #[command(after_help = "Example: shewhart simulate --seed 7 --events 10000 --out events.jsonl.zst")]
    Simulate(SimulateArgs),
    /// What the daemon watches and what is wrong
    #[command(after_help = "Example: shewhart status -c shewhart.yaml")]
    Status(ConsoleArgs),
    /// Alerts, newest first
    #[command(
        after_help = "Examples:\n  shewhart alerts -c shewhart.yaml --open\n  shewhart alerts --db data/shewhart.db -o json"
    )]
    Alerts(AlertsArgs),
    /// Take alerts on, or say what they turned out to be
    #[command(
        after_help = "Examples:\n  shewhart ack -c shewhart.yaml 5f0c2a91 --note 'looking at the release'\n  shewhart ack -c shewhart.yaml 5f0c2a91 --verdict false"
    )]
    Ack(AckArgs),
    /// Silences: not to be told of some alerts for a time
    #[command(
        after_help = "Examples:\n  shewhart silence add -c shewhart.yaml 'agent=\"invoice-triage\"' --for 2h --comment 'release 41'\n  shewhart silence list -c shewhart.yaml\n  shewhart silence expire -c shewhart.yaml 8a3f21c0"
    )]
    Silence(SilenceArgs),
    /// The SQLite file: query, export, check, backup
    #[command(after_help = "Example: shewhart db query data/shewhart.db 'SELECT * FROM v_alerts'")]
    Db(DbArgs),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Seed of the simulated agents
    #[arg(long, default_value_t = 20)]
    pub seed: u64,
    /// Days of event time in a second of wall time
    #[arg(long, default_value_t = 0.5)]
    pub speed: f64,
    /// Keep everything in this folder (must be new or empty) instead of a temporary one
    #[arg(long)]
    pub keep: Option<PathBuf>,
    /// Port of /metrics and health on 127.0.0.1; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    pub port: u16,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration file
    #[arg(short, long)]
    pub config: PathBuf,
    /// Also write every message as an .eml file to this folder, whatever the receivers
    #[arg(long)]
    pub mail_dir: Option<PathBuf>,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Rule files or folders; the shipped rules where not given
    pub rules: Vec<PathBuf>,
    /// The daemon's database: its streams, baselines and measured rates
    #[arg(long, conflicts_with = "baseline")]
    pub db: Option<PathBuf>,
    /// An exported baseline: its streams
    #[arg(long)]
    pub baseline: Option<PathBuf>,
    /// Without either: the accuracy of an imagined stream, from 0 to 1
    #[arg(long, default_value_t = 0.92, value_parser = share)]
    pub accuracy: f64,
    /// The labels of its baseline
    #[arg(long, default_value_t = 5_000)]
    pub labels: u64,
    /// Its labelled outputs a day
    #[arg(long, default_value_t = 500.0)]
    pub per_day: f64,
    /// Exit with 3 where a rule cannot do what it is there for
    #[arg(long)]
    pub strict: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

fn share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|error| format!("{text}: {error}"))?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err("a share lies between 0 and 1, like 0.92".to_owned()) }
}

/// `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Event files (.jsonl, .jsonl.gz, .jsonl.zst), or - for standard input
    #[arg(required = true)]
    pub events: Vec<PathBuf>,
    /// Rule files or folders; the shipped rules where not given
    #[arg(long)]
    pub rules: Vec<PathBuf>,
    /// A baseline: an exported file, or the name of one in --baseline-db
    #[arg(long, conflicts_with = "baseline_first")]
    pub baseline: Option<String>,
    /// The database that holds the baseline of that name
    #[arg(long, requires = "baseline")]
    pub baseline_db: Option<PathBuf>,
    /// Learn each stream's baseline from its first N outputs
    #[arg(long)]
    pub baseline_first: Option<u64>,
    /// What forms a stream
    #[arg(long, value_delimiter = ',', default_value = "agent,task")]
    pub group_by: Vec<Group>,
    /// Write everything to this new SQLite file
    #[arg(long)]
    pub db: Option<PathBuf>,
    /// Most outputs that late feedback is joined to
    #[arg(long, default_value_t = 1_000_000)]
    pub join_outputs: usize,
    /// Rule files or folders to compare with, over the same records
    #[arg(long)]
    pub against: Vec<PathBuf>,
    /// Known incidents, a YAML list: which were found, how late; alerts outside them are false alarms
    #[arg(long)]
    pub incidents: Option<PathBuf>,
    /// Put a change into the records first: 'accuracy -3pp where agent=x from 2026-03-01T00:00:00Z'
    #[arg(long)]
    pub inject: Vec<Injection>,
    /// Picks the cases that --inject changes
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Exit with 3 where more incidents are missed
    #[arg(long)]
    pub max_missed: Option<u64>,
    /// Exit with 3 where there are more false alarms in the time replayed, like '1 per 7d'
    #[arg(long)]
    pub max_false_alarms: Option<Budget>,
    /// Exit with 3 where an incident is found later, like 12h
    #[arg(long)]
    pub max_delay: Option<Span>,
    /// Exit with 3 where there are more alerts that the rules of --against did not raise
    #[arg(long, requires = "against")]
    pub max_added: Option<u64>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: ReportFormat,
}

/// How the report of a replay is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For a pull request.
    Markdown,
}

/// `test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Test files, or folders of them
    #[arg(default_value = "rules/tests")]
    pub paths: Vec<PathBuf>,
    /// Only tests whose name matches this regular expression
    #[arg(long)]
    pub run: Option<regex::Regex>,
    /// Write the results to this file as JUnit XML
    #[arg(long)]
    pub junit: Option<PathBuf>,
    /// Show a unified diff of what was expected and what was found
    #[arg(long)]
    pub diff: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `baseline`.
#[derive(Debug, Args)]
pub struct BaselineArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: BaselineCommand,
}

/// The verbs of `baseline`.
#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// Learn a baseline from a validation file
    Learn {
        /// The database
        #[arg(long)]
        db: PathBuf,
        /// Event files of the validation
        #[arg(long, required = true, num_args = 1..)]
        from: Vec<PathBuf>,
        /// Its name; a name that is there gets the next version
        #[arg(long)]
        name: String,
        /// What forms a stream
        #[arg(long, value_delimiter = ',', default_value = "agent,task")]
        group_by: Vec<Group>,
        /// Put it in force at once
        #[arg(long)]
        promote: bool,
        /// Why, for the audit trail
        #[arg(long, default_value = "")]
        why: String,
    },
    /// Take in a baseline that was exported
    Import {
        /// The database
        #[arg(long)]
        db: PathBuf,
        /// The file
        file: PathBuf,
        /// Its name; a name that is there gets the next version
        #[arg(long)]
        name: String,
        /// Why, for the audit trail
        #[arg(long, default_value = "")]
        why: String,
    },
    /// Write a baseline to a file
    Export {
        /// The database
        #[arg(long)]
        db: PathBuf,
        /// NAME or NAME@VERSION
        id: String,
        /// Where to
        #[arg(long)]
        out: PathBuf,
    },
    /// All baselines
    List {
        /// The database
        #[arg(long)]
        db: PathBuf,
        /// How to print
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// One baseline: its streams, with the sampling error of each
    Show {
        /// The database
        #[arg(long)]
        db: PathBuf,
        /// NAME or NAME@VERSION
        id: String,
        /// Draw what confidence stood for, stream by stream
        #[arg(long)]
        calibration: bool,
        /// How to print
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Put a baseline in force; a running daemon takes it up within seconds
    Promote {
        /// The database
        #[arg(long)]
        db: PathBuf,
        /// NAME or NAME@VERSION
        id: String,
        /// Why, for the audit trail
        #[arg(long)]
        why: String,
    },
}

/// `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many events; the scenario's length where not given
    #[arg(long)]
    pub events: Option<u64>,
    /// A scenario file, or one of: demo, bench
    #[arg(long, default_value = "demo")]
    pub scenario: String,
    /// Where to: a file (.gz and .zst compress), or - for standard output
    #[arg(long, default_value = "-")]
    pub out: PathBuf,
    /// Brokers to produce to instead
    #[arg(long, conflicts_with = "out")]
    pub to_kafka: Option<String>,
    /// The topic to produce to
    #[arg(long, default_value = "agent-events")]
    pub topic: String,
}

/// Which daemon.
#[derive(Clone, Debug, Args)]
pub struct PlaceArgs {
    /// The configuration of the daemon
    #[arg(short, long, required_unless_present = "db")]
    pub config: Option<PathBuf>,
    /// Its database; what is only looked at needs no running daemon
    #[arg(long, conflicts_with = "config")]
    pub db: Option<PathBuf>,
}

/// `status`.
#[derive(Debug, Args)]
pub struct ConsoleArgs {
    /// Which daemon.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `alerts`.
#[derive(Debug, Args)]
pub struct AlertsArgs {
    /// Which daemon.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Only those that are pending or firing
    #[arg(long)]
    pub open: bool,
    /// How many, the newest; all where not given
    #[arg(long)]
    pub last: Option<usize>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `ack`.
#[derive(Debug, Args)]
pub struct AckArgs {
    /// Which daemon.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Ids of alerts, or enough of their beginnings
    #[arg(required = true)]
    pub alerts: Vec<String>,
    /// What there is to say
    #[arg(long, default_value = "")]
    pub note: String,
    /// Whose they are now; you, where not given
    #[arg(long)]
    pub by: Option<String>,
    /// What they turned out to be
    #[arg(long, value_enum)]
    pub verdict: Option<Told>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// What an alert turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Told {
    /// Something was wrong.
    True,
    /// Nothing was wrong.
    False,
    /// Something had changed, and it did not matter.
    Noise,
}

/// `silence`.
#[derive(Debug, Args)]
pub struct SilenceArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SilenceCommand,
}

/// The verbs of `silence`.
#[derive(Debug, Subcommand)]
pub enum SilenceCommand {
    /// Make a silence
    #[command(
        after_help = "Example: shewhart silence add -c shewhart.yaml 'agent=\"invoice-triage\"' --for 2h --comment 'new release'"
    )]
    Add {
        /// Which daemon.
        #[command(flatten)]
        place: PlaceArgs,
        /// What alerts must meet, all of it: 'agent="invoice-triage"', 'team=~"invoices|contracts"'
        #[arg(required = true)]
        matchers: Vec<String>,
        /// For how long: 2h, 3d
        #[arg(long = "for", conflicts_with = "until")]
        last: Option<String>,
        /// Until when, RFC 3339
        #[arg(long)]
        until: Option<String>,
        /// From when, RFC 3339; now where not given
        #[arg(long)]
        from: Option<String>,
        /// Why
        #[arg(long)]
        comment: String,
        /// Who answers for it; you, where not given
        #[arg(long)]
        author: Option<String>,
        /// How to print
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// List the silences in force or to come
    List {
        /// Which daemon.
        #[command(flatten)]
        place: PlaceArgs,
        /// Those that are over too
        #[arg(long)]
        all: bool,
        /// How to print
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// End a silence before its time
    Expire {
        /// Which daemon.
        #[command(flatten)]
        place: PlaceArgs,
        /// Its id, or enough of its beginning
        id: String,
        /// How to print
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
}

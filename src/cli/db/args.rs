//! The words of `shewhart db`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

/// The shortest and the longest time that may be asked for, in seconds.
const SECONDS: (f64, f64) = (0.1, 86_400.0);

/// `db`.
#[derive(Debug, Args)]
pub struct DbArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DbCommand,
}

/// The verbs of `db`.
#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// Check the file's integrity; exit 1 where it is damaged
    Check {
        /// The database
        db: PathBuf,
    },
    /// Copy the file while it is being written, and check the copy
    Backup {
        /// The database
        db: PathBuf,
        /// The copy; must not be there yet
        to: PathBuf,
    },
    /// Run one SQL statement, read only, with the functions of docs/sql.md
    #[command(
        after_help = "Examples:\n  shewhart db query data/shewhart.db 'SELECT * FROM v_alerts'\n  shewhart db query data/shewhart.db --file p95.sql -o csv\n  shewhart db query data/shewhart.db 'SELECT * FROM v_escalation' --watch 10"
    )]
    Query(QueryArgs),
    /// Write views to files, one each, for pandas, DuckDB or a spreadsheet
    #[command(
        after_help = "Examples:\n  shewhart db export data/shewhart.db --all --to export/\n  shewhart db export data/shewhart.db --view v_alerts --view v_accuracy --to export/ -o csv"
    )]
    Export(ExportArgs),
    /// Give back to the disk what is no longer used; the daemon must not run
    Vacuum {
        /// The database
        db: PathBuf,
    },
    /// Print the tables and views
    Schema {
        /// How to print
        #[arg(short, long, value_enum, default_value_t = SchemaFormat::Sql)]
        output: SchemaFormat,
    },
}

/// `db query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The database
    pub db: PathBuf,
    /// The statement; `-` reads it from standard input
    #[arg(required_unless_present = "file")]
    pub sql: Option<String>,
    /// Read the statement from a file
    #[arg(short, long, conflicts_with = "sql")]
    pub file: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = QueryFormat::Table)]
    pub output: QueryFormat,
    /// Run it again and again with so many seconds between, until interrupted
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub watch: Option<Duration>,
    /// Cut the statement after so many seconds: while it runs, the daemon's log cannot shrink
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    pub timeout: Duration,
}

/// `db export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The database
    pub db: PathBuf,
    /// A view to export; may be given several times
    #[arg(long = "view", value_name = "VIEW", required_unless_present = "all")]
    pub views: Vec<String>,
    /// Export every view
    #[arg(long, conflicts_with = "views")]
    pub all: bool,
    /// The folder of the files, made where it is not there; files that are there already are not touched
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
    /// What to write
    #[arg(short, long, value_enum, default_value_t = ExportFormat::Parquet)]
    pub output: ExportFormat,
    /// Give up after so many seconds where a daemon has the file: meanwhile its log cannot shrink
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    pub timeout: Duration,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QueryFormat {
    /// For people.
    Table,
    /// One line for each row, RFC 4180; cells that a spreadsheet would run begin with '.
    Csv,
    /// A list of objects.
    Json,
    /// A Markdown table.
    Markdown,
}

/// How tables and views are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaFormat {
    /// The statements that make them, with comments.
    Sql,
    /// The reference of docs/schema.md.
    Markdown,
    /// A list of objects with their columns.
    Json,
}

/// What files an export writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Apache Parquet, compressed by zstd; types are kept.
    Parquet,
    /// One line for each row, RFC 4180; cells that a spreadsheet would run begin with '.
    Csv,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("a number of seconds from {} to {} is needed", SECONDS.0, SECONDS.1);
    let seconds: f64 = text.parse().ok().ok_or_else(wrong)?;
    if (SECONDS.0..=SECONDS.1).contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err(wrong()) }
}

//! The words of `shewhart chart`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::args::Format;

/// `chart`.
#[derive(Debug, Args)]
pub struct ChartArgs {
    /// The daemon's database, or one that `replay --db` wrote
    #[arg(long)]
    pub db: PathBuf,
    /// Only streams of this agent
    #[arg(long)]
    pub agent: Option<String>,
    /// Only streams of this task
    #[arg(long)]
    pub task: Option<String>,
    /// What to draw: accuracy, escalation_rate, override_rate or error_rate
    #[arg(long, default_value = "accuracy")]
    pub measure: String,
    /// How much time is one point
    #[arg(long, value_enum, default_value_t)]
    pub by: Width,
    /// How many points, the newest
    #[arg(long, default_value_t = 60)]
    pub last: usize,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// How much time one point of a chart covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Width {
    /// An hour.
    Hour,
    /// A day, from midnight to midnight UTC.
    #[default]
    Day,
}

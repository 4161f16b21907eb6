//! The words of `shewhart rules`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::args::Format;

/// `rules`.
#[derive(Debug, Args)]
pub struct RulesArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RulesCommand,
}

/// The verbs of `rules`.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// All rules with what they ask for, those that are switched off too
    #[command(after_help = "Example: shewhart rules list rules/ -o json")]
    List(ListArgs),
    /// Change values of one rule; comments, order and everything else stay as they are
    #[command(
        after_help = "Example: shewhart rules set rules/accuracy.yaml AccuracyDegraded detect.drop=3pp for=10m --dry-run"
    )]
    Set(SetArgs),
    /// Put a rule in force that was switched off
    #[command(after_help = "Example: shewhart rules enable rules/cost.yaml CostRising")]
    Enable(SwitchArgs),
    /// Switch a rule off; it stays in its file, and its open alerts end
    #[command(after_help = "Example: shewhart rules disable rules/cost.yaml CostRising")]
    Disable(SwitchArgs),
}

/// `rules list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Rule files or folders; the shipped rules where not given
    pub rules: Vec<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `rules set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Which rule.
    #[command(flatten)]
    pub rule: SwitchArgs,
    /// Keys of the rule with their new values: for=5m, detect.drop=3pp, labels.severity=warning, where.agent=invoice-*
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = assignment)]
    pub assignments: Vec<Assignment>,
}

/// `rules enable` and `rules disable`.
#[derive(Debug, Args)]
pub struct SwitchArgs {
    /// The rule file
    pub file: PathBuf,
    /// The alert's name, or group/alert where several have it
    pub alert: String,
    /// Only show what would change
    #[arg(long)]
    pub dry_run: bool,
}

/// A key and its new value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The key, like `detect.drop`.
    pub key: String,
    /// The value.
    pub value: String,
}

fn assignment(text: &str) -> Result<Assignment, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => {
            Ok(Assignment { key: key.to_owned(), value: value.to_owned() })
        }
        _ => Err("write KEY=VALUE, like detect.drop=3pp".to_owned()),
    }
}

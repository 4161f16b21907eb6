//! `shewhart check`: rules and configuration, every fault at once; and rules that are right and useless.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::args::Format;
use super::explain::{Subject, generous, watched_by};
use super::table::stream;
use super::{FINDING, INVALID, Invalid, OK, print, say};
use crate::config::Config;
use crate::edge::reload;
use crate::engine::detect::DesignCache;
use crate::engine::reach::out_of_reach;
use crate::engine::rule::schema::schema;
use crate::engine::rule::{Diagnostic, Rule, compile, render};

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Rule files or folders
    pub rules: Vec<PathBuf>,
    /// A configuration file; its rules are checked too, on the streams of its database where there is one
    #[arg(short, long)]
    pub config: Option<PathBuf>,
    /// A daemon's database: say which rules cannot do what they are there for on its streams
    #[arg(long)]
    pub db: Option<PathBuf>,
    /// Exit with 3 where a rule cannot do what it is there for
    #[arg(long)]
    pub strict: bool,
    /// Print the JSON Schema of rule files, for editors, and check nothing
    #[arg(long, conflicts_with_all = ["rules", "config", "db", "strict"])]
    pub schema: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Findings that are shown as text; the rest is counted.
const SHOWN: usize = 20;

/// A rule that is right and cannot do what it is there for.
#[derive(Serialize)]
struct Useless {
    rule: String,
    /// The stream it is useless on; nothing where that is every stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<BTreeMap<String, String>>,
    message: String,
}

pub(super) fn check(args: &CheckArgs) -> anyhow::Result<u8> {
    if args.schema {
        print(&format!("{}\n", serde_json::to_string_pretty(&schema())?));
        return Ok(OK);
    }
    if args.rules.is_empty() && args.config.is_none() {
        return Err(
            Invalid("nothing to check: name rule files or folders, or a configuration with -c".to_owned()).into()
        );
    }
    let mut paths = args.rules.clone();
    let mut config_fault = None;
    let mut database = args.db.clone();
    if let Some(path) = &args.config {
        match Config::load(path) {
            Ok(config) => {
                let own = config.database();
                paths.extend(config.rules);
                database = database.or_else(|| own.exists().then_some(own));
            }
            Err(error) => config_fault = Some(error.to_string()),
        }
    }
    let (diagnostics, rules, disabled) = match reload::read(&paths) {
        Ok(sources) => {
            let compiled = compile(&sources);
            let disabled = compiled.disabled();
            (compiled.diagnostics, compiled.rules.map(|set| set.rules).unwrap_or_default(), disabled)
        }
        Err(diagnostics) => (diagnostics, Vec::new(), 0),
    };
    let useless = useless(&rules, database)?;
    let failed = config_fault.is_some() || diagnostics.iter().any(Diagnostic::is_error);
    match args.output {
        Format::Json => {
            let report = json(&diagnostics, config_fault.as_deref(), (rules.len(), disabled), &useless);
            print(&format!("{}\n", serde_json::to_string_pretty(&report)?));
        }
        Format::Text => {
            let colour = std::io::stderr().is_terminal();
            if !diagnostics.is_empty() {
                say(&render(&diagnostics, colour, 100));
            }
            useless.iter().take(SHOWN).for_each(|finding| say(&line(finding)));
            if useless.len() > SHOWN {
                say(&format!("... and {} more; `-o json` has all", useless.len() - SHOWN));
            }
            let config_broken = config_fault.is_some();
            if let Some(fault) = config_fault {
                say(&fault);
            }
            let warnings = diagnostics.iter().filter(|d| !d.is_error()).count();
            let errors = diagnostics.len() - warnings + usize::from(config_broken);
            let warnings = warnings + useless.len();
            if failed {
                let counted = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
                say(&format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")));
            } else {
                let off = if disabled > 0 { format!(", {disabled} disabled") } else { String::new() };
                print(&format!("{} rules are good{off}, {warnings} warnings\n", rules.len()));
            }
        }
    }
    Ok(if failed {
        INVALID
    } else if args.strict && !useless.is_empty() {
        FINDING
    } else {
        OK
    })
}

/// Rules that could not see a change of their own size in time: on any stream that one can think of, and on those that a
/// daemon watches.
fn useless(rules: &[Rule], database: Option<PathBuf>) -> anyhow::Result<Vec<Useless>> {
    let mut cache = DesignCache::new();
    let mut found = Vec::new();
    let best = generous();
    let everywhere = |rule: &Rule, cache: &mut DesignCache| {
        let message = out_of_reach(rule, best.baseline.as_ref(), None, cache)?;
        Some(Useless { rule: rule.id.clone(), stream: None, message: format!("{message}, with 100,000 outputs a day") })
    };
    found.extend(rules.iter().filter_map(|rule| everywhere(rule, &mut cache)));
    let hopeless: Vec<String> = found.iter().map(|finding| finding.rule.clone()).collect();
    let subjects = database.map_or_else(|| Ok(Vec::new()), |path| watched_by(&path))?;
    for subject in &subjects {
        let of_stream = |rule: &&Rule| rule.matches(&subject.labels) && !hopeless.contains(&rule.id);
        found.extend(rules.iter().filter(of_stream).filter_map(|rule| on(rule, subject, &mut cache)));
    }
    Ok(found)
}

fn on(rule: &Rule, subject: &Subject, cache: &mut DesignCache) -> Option<Useless> {
    let message = out_of_reach(rule, subject.baseline.as_ref(), subject.live(rule), cache)?;
    Some(Useless { rule: rule.id.clone(), stream: Some(subject.labels.clone()), message })
}

fn line(finding: &Useless) -> String {
    let place = finding.stream.as_ref().map_or_else(|| "any stream".to_owned(), stream);
    format!("  ! {} on {place}: {}", finding.rule, finding.message)
}

fn json(
    diagnostics: &[Diagnostic],
    config: Option<&str>,
    (rules, disabled): (usize, usize),
    useless: &[Useless],
) -> serde_json::Value {
    let each = |d: &Diagnostic| {
        serde_json::json!({
            "severity": d.severity.as_str(), "file": d.file, "line": d.line, "column": d.column,
            "message": d.message, "help": d.help,
        })
    };
    serde_json::json!({
        "rules": rules, "disabled": disabled, "config": config, "diagnostics": diagnostics.iter().map(each).collect::<Vec<_>>(),
        "findings": useless,
    })
}

//! `shewhart check`: rules and configuration, every fault at once.

use std::io::IsTerminal as _;

use super::args::{CheckArgs, Format};
use super::{INVALID, Invalid, OK, print, say};
use crate::config::Config;
use crate::edge::reload;
use crate::engine::rule::{Diagnostic, compile, render};

pub(super) fn check(args: &CheckArgs) -> anyhow::Result<u8> {
    if args.rules.is_empty() && args.config.is_none() {
        return Err(
            Invalid("nothing to check: name rule files or folders, or a configuration with -c".to_owned()).into()
        );
    }
    let mut paths = args.rules.clone();
    let mut config_fault = None;
    if let Some(path) = &args.config {
        match Config::load(path) {
            Ok(config) => paths.extend(config.rules),
            Err(error) => config_fault = Some(error.to_string()),
        }
    }
    let (diagnostics, rules) = match reload::read(&paths) {
        Ok(sources) => {
            let compiled = compile(&sources);
            (compiled.diagnostics, compiled.rules.map_or(0, |rules| rules.rules.len()))
        }
        Err(diagnostics) => (diagnostics, 0),
    };
    let failed = config_fault.is_some() || diagnostics.iter().any(Diagnostic::is_error);
    match args.output {
        Format::Json => {
            print(&format!("{}\n", serde_json::to_string_pretty(&json(&diagnostics, config_fault.as_deref(), rules))?));
        }
        Format::Text => {
            let colour = std::io::stderr().is_terminal();
            if !diagnostics.is_empty() {
                say(&render(&diagnostics, colour, 100));
            }
            if let Some(fault) = config_fault {
                say(&fault);
            }
            let warnings = diagnostics.iter().filter(|d| !d.is_error()).count();
            let errors = diagnostics.len() - warnings;
            if failed {
                say(&format!("{errors} errors, {warnings} warnings"));
            } else {
                print(&format!("{rules} rules are good, {warnings} warnings\n"));
            }
        }
    }
    Ok(if failed { INVALID } else { OK })
}

fn json(diagnostics: &[Diagnostic], config: Option<&str>, rules: usize) -> serde_json::Value {
    let each = |d: &Diagnostic| {
        serde_json::json!({
            "severity": d.severity.as_str(), "file": d.file, "line": d.line, "column": d.column,
            "message": d.message, "help": d.help,
        })
    };
    serde_json::json!({
        "rules": rules, "config": config, "diagnostics": diagnostics.iter().map(each).collect::<Vec<_>>(),
    })
}

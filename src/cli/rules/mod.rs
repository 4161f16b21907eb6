//! `shewhart rules`: what the rules ask for, and edits of single values that leave the rest of a file alone.

pub mod args;
mod replace;

use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use self::args::{Assignment, ListArgs, RulesArgs, RulesCommand, SwitchArgs};
use super::args::Format;
use super::table::table;
use super::{INVALID, Invalid, OK, input, print, say};
use crate::edge::reload;
use crate::engine::rule::edit::{EditError, get, set};
use crate::engine::rule::{Compiled, Diagnostic, Listed, Measure, Source, compile, render};

pub(super) fn rules(args: &RulesArgs) -> anyhow::Result<u8> {
    match &args.command {
        RulesCommand::List(args) => list(args),
        RulesCommand::Set(args) => edit(&args.rule, args.assignments.clone()),
        RulesCommand::Enable(args) => switch(args, true),
        RulesCommand::Disable(args) => switch(args, false),
    }
}

/// A rule as it is listed.
#[derive(Serialize)]
struct Row<'r> {
    file: &'r str,
    line: usize,
    group: &'r str,
    alert: &'r str,
    enabled: bool,
    measure: String,
    bound: String,
    severity: Option<&'r str>,
    /// What an alarm may cost; nothing where the rule makes no promise.
    promise: Option<String>,
}

impl<'r> Row<'r> {
    fn of(Listed { file, line, enabled, rule }: &'r Listed) -> Self {
        let promises = rule.detect.measure != Measure::Silence && rule.detect.burn().is_none();
        Self {
            file,
            line: *line,
            group: &rule.group,
            alert: &rule.alert,
            enabled: *enabled,
            measure: rule.detect.measure.to_string(),
            bound: rule.detect.bound.to_string(),
            severity: rule.labels.get("severity").map(String::as_str),
            promise: promises.then(|| rule.detect.promise.to_string()),
        }
    }

    fn cells(&self) -> Vec<String> {
        let none = || "-".to_owned();
        vec![
            format!("{}:{}", self.file, self.line),
            self.group.to_owned(),
            self.alert.to_owned(),
            if self.enabled { "on" } else { "off" }.to_owned(),
            self.measure.clone(),
            self.bound.clone(),
            self.severity.map_or_else(none, str::to_owned),
            self.promise.clone().unwrap_or_else(none),
        ]
    }
}

fn list(args: &ListArgs) -> anyhow::Result<u8> {
    let sources = if args.rules.is_empty() {
        input::shipped()
    } else {
        reload::read(&args.rules).map_err(|faults| Invalid(render(&faults, false, 100)))?
    };
    let Compiled { rules, diagnostics, listed } = compile(&sources);
    let rows: Vec<Row<'_>> = listed.iter().map(Row::of).collect();
    match args.output {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&rows)?)),
        Format::Text => {
            let header = ["place", "group", "alert", "is", "measure", "asks for", "severity", "false alarms"];
            print(&table(&header, &rows.iter().map(Row::cells).collect::<Vec<_>>()));
        }
    }
    if rules.is_some() {
        return Ok(OK);
    }
    let errors: Vec<Diagnostic> = diagnostics.into_iter().filter(Diagnostic::is_error).collect();
    say(&render(&errors, std::io::stderr().is_terminal(), 100));
    say("rules with faults are not listed, and the set is refused as it is");
    Ok(INVALID)
}

/// Puts a rule in force, or out of it. A rule without `enabled` is in force and needs no key for it.
fn switch(args: &SwitchArgs, on: bool) -> anyhow::Result<u8> {
    let source = read(&args.file)?;
    let written = get(&source, &args.alert, "enabled").map_err(invalid)?;
    if on && written.is_none() {
        say(&format!("{} is in force already", args.alert));
        return Ok(OK);
    }
    edit(args, vec![Assignment { key: "enabled".to_owned(), value: on.to_string() }])
}

/// Sets values of one rule, shows what changes, and writes the file where the result is right.
fn edit(args: &SwitchArgs, mut assignments: Vec<Assignment>) -> anyhow::Result<u8> {
    let before = read(&args.file)?;
    // Until it is renamed, the rule is found by the name that was given.
    assignments.sort_by_key(|assignment| assignment.key == "alert");
    let mut after = before.clone();
    for Assignment { key, value } in &assignments {
        after.text = set(&after, &args.alert, key, value).map_err(invalid)?;
    }
    if after.text == before.text {
        say("nothing to change: the file says that already");
        return Ok(OK);
    }
    let Compiled { rules, diagnostics, .. } = compile(std::slice::from_ref(&after));
    if !diagnostics.is_empty() {
        say(&render(&diagnostics, std::io::stderr().is_terminal(), 100));
    }
    if rules.is_none() {
        say(&format!("{} would not be right any more; nothing was written", before.name));
        return Ok(INVALID);
    }
    print(&diff(&before, &after.text, std::io::stdout().is_terminal()));
    if !args.dry_run {
        replace::replace(&args.file, before.text.as_bytes(), after.text.as_bytes())
            .with_context(|| format!("cannot write {}; it is as it was", args.file.display()))?;
    }
    Ok(OK)
}

fn invalid(error: EditError) -> anyhow::Error {
    match error {
        EditError::NotYaml(faults) => Invalid(format!("there is nothing to edit\n{}", render(&faults, false, 100))),
        other => Invalid(other.to_string()),
    }
    .into()
}

fn read(path: &Path) -> anyhow::Result<Source> {
    if path.is_dir() {
        return Err(Invalid(format!("{} is a folder; name one rule file", path.display())).into());
    }
    let sources = reload::read(&[path.to_owned()]).map_err(|faults| Invalid(render(&faults, false, 100)))?;
    sources.into_iter().next().ok_or_else(|| Invalid(format!("{} cannot be read", path.display())).into())
}

/// What changes, as a patch. On a terminal nothing of the file may steer it.
fn diff(before: &Source, after: &str, terminal: bool) -> String {
    let text = similar::TextDiff::from_lines(before.text.as_str(), after);
    let text = text.unified_diff().header(&before.name, &before.name).to_string();
    let harmless = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c };
    if terminal { text.replace("\r\n", "\n").chars().map(harmless).collect() } else { text }
}

//! `shewhart test`: rule tests in promtool's shape, on the production engine.

mod events;
mod expect;
mod file;
mod play;
mod report;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::args::{Format, TestArgs};
use super::{INVALID, Invalid, OK, print};
use file::TestFile;
use report::{Coverage, Done, Results};

pub(super) fn test(args: &TestArgs) -> anyhow::Result<u8> {
    let files = load(&args.paths)?;
    let mut results = Results::default();
    let mut rules = BTreeSet::new();
    let mut fired = BTreeSet::new();
    for file in &files {
        let chosen = |name: &str| args.run.as_ref().is_none_or(|pattern| pattern.is_match(name));
        for test in file.tests.iter().filter(|test| chosen(&test.name)) {
            let outcome = play::play(file, test)
                .with_context(|| format!("{}:{}: {}", file.path.display(), test.line, test.name))?;
            rules.extend(file.rules.rules.iter().map(|rule| rule.id.clone()));
            fired.extend(outcome.fired);
            results.done.push(Done {
                file: file.path.display().to_string(),
                line: test.line,
                name: test.name.clone(),
                failures: outcome.failures,
                rejected: outcome.rejected,
            });
        }
    }
    if results.done.is_empty() {
        let of_all = files.iter().map(|file| file.tests.len()).sum::<usize>();
        let pattern = args.run.as_ref().map_or_else(String::new, |p| format!(" matches `{p}`, of {of_all}"));
        return Err(Invalid(format!("no test{pattern}: nothing was tested")).into());
    }
    results.coverage = Coverage::of(&rules, &fired);
    if let Some(path) = &args.junit {
        let xml = results.junit().context("the results do not go into XML")?;
        std::fs::write(path, xml).with_context(|| format!("cannot write {}", path.display()))?;
    }
    match args.output {
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&results.json())?)),
        Format::Text => print(&results.text(args.diff)),
    }
    Ok(if results.failed() == 0 { OK } else { INVALID })
}

/// Reads every test file of these paths; the faults of all of them are reported at once.
fn load(paths: &[PathBuf]) -> anyhow::Result<Vec<TestFile>> {
    let mut files = Vec::new();
    let mut faults = Vec::new();
    for path in paths {
        for path in test_files(path)? {
            match file::load(&path) {
                Ok(file) => files.push(file),
                Err(found) => faults.extend(found),
            }
        }
    }
    if !faults.is_empty() {
        return Err(Invalid(faults.join("\n")).into());
    }
    if files.is_empty() {
        let where_: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Invalid(format!("there is no .yaml file in {}", where_.join(", "))).into());
    }
    Ok(files)
}

/// A file, or the YAML files of a folder in the order of their names.
fn test_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}: name a test file or a folder of them", path.display());
    if !path.metadata().with_context(cannot)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in path.read_dir().with_context(cannot)? {
        let file = entry.with_context(cannot)?.path();
        if file.extension().is_some_and(|e| e == "yaml" || e == "yml") && file.is_file() {
            files.push(file);
        }
    }
    files.sort_unstable();
    Ok(files)
}

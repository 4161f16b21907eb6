//! The documents say what is true: examples compile, commands parse, links lead somewhere, names are those of the code.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser as _;
use clap::error::ErrorKind;
use shewhart::cli::Cli;
use shewhart::config::Config;
use shewhart::edge::telemetry::{Exposition, Snapshot, metrics};
use shewhart::engine::Settings;
use shewhart::engine::route::GroupBy;
use shewhart::engine::rule::{Compiled, Diagnostic, Source, VARIABLES, compile};

use crate::world::real::skipped;
use crate::world::secrets::write_secret;

/// The documents whose examples are tried.
const TRIED: [&str; 5] = ["README.md", "docs/rules.md", "docs/operations.md", "docs/report.md", "docs/statistics.md"];

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files of the repository below a folder, as paths relative to its root, sorted.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.is_file() && name.ends_with(ending) {
                found.push(path.strip_prefix(root()).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// The fenced blocks of a document with their language, indented ones included.
pub(crate) fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), open.take()) {
            (Some(language), None) => open = Some((language.trim().to_owned(), String::new())),
            (Some(_), Some(block)) => found.push(block),
            (None, Some((language, body))) => open = Some((language, body + line + "\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is left open");
    found
}

/// A document without its fenced blocks.
pub(crate) fn prose(text: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            kept += line;
            kept.push('\n');
        }
    }
    kept
}

/// What stands between backticks.
pub(crate) fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of the tables below a heading, as cells.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let below = text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}")).1;
    let end = below.find("\n#").unwrap_or(below.len());
    let table = prose(&below[..end]);
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    rows.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

fn compiled(text: &str) -> Compiled {
    compile(&[Source { name: "example".to_owned(), text: text.to_owned() }])
}

fn said(compiled: &Compiled) -> String {
    let lines: Vec<String> = compiled.diagnostics.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Loads a configuration from a folder in which every secret that it names exists.
fn load(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    for name in text.split([' ', '\n', ',', '}', '"']).filter(|word| word.starts_with("secrets/")) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_secret(&path, "secret");
    }
    let path = folder.path().join("shewhart.yaml");
    fs::write(&path, text).unwrap();
    Config::load(&path).map_err(|error| error.to_string())
}

#[test]
fn every_example_of_rules_and_settings_is_accepted() {
    let (mut rules, mut configs) = (0, 0);
    for path in TRIED {
        for (_, body) in blocks(&read(path)).into_iter().filter(|(language, _)| language == "yaml") {
            if body.starts_with("groups:") {
                let compiled = compiled(&body);
                assert!(compiled.diagnostics.is_empty(), "{path}:\n{}", said(&compiled));
                rules += 1;
            } else if body.starts_with("rule_files:") || body.starts_with("- name:") {
                // Rule tests and incidents: `gate.rs` runs them.
            } else {
                load(&body).unwrap_or_else(|fault| panic!("{path}: {fault}"));
                configs += 1;
            }
        }
    }
    assert!(rules >= 2 && configs >= 2, "{rules} rules, {configs} configurations");
}

#[test]
fn the_settings_that_are_shipped_are_accepted() {
    for path in ["deploy/shewhart.yaml", "deploy/compose.shewhart.yaml"] {
        load(&read(path)).unwrap_or_else(|fault| panic!("{path}: {fault}"));
    }
}

/// Words of a command line, as a shell would part them.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (String::new(), None);
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (' ', None) if word.is_empty() => {}
            (' ', None) => words.push(std::mem::take(&mut word)),
            (c, _) => word.push(c),
        }
    }
    words.push(word);
    words
}

/// The part of a line that calls us, where one does.
fn call(line: &str) -> Option<&str> {
    let line = line.trim().trim_start_matches("$ ");
    let line = line.split(" && ").next().unwrap_or(line);
    let own = line.strip_prefix("cargo run --release -- ").or_else(|| line.strip_prefix("shewhart "))?;
    (!own.starts_with(':')).then_some(own)
}

#[test]
fn every_command_line_is_understood() {
    let mut tried = 0;
    for path in TRIED.into_iter().chain(["docs/schema.md", "docs/sql.md", "fixtures/README.md"]) {
        let text = read(path);
        let in_blocks: Vec<String> = blocks(&text)
            .iter()
            .filter(|(language, _)| matches!(language.as_str(), "" | "sh"))
            .flat_map(|(language, body)| {
                // Without a language it is a transcript, where only lines with a prompt are commands.
                let is_script = language == "sh";
                body.lines().filter(|l| is_script || l.starts_with("$ ")).map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        let whole = in_blocks.iter().map(|line| (line, true));
        let inline = quoted(&prose(&text));
        for (line, whole) in whole.chain(inline.iter().map(|line| (line, false))) {
            let Some(own) = call(line) else { continue };
            let Err(error) = Cli::try_parse_from(std::iter::once("shewhart".to_owned()).chain(words(own))) else {
                tried += 1;
                continue;
            };
            // In a sentence a command may be named without everything that it needs.
            let partial = matches!(
                error.kind(),
                ErrorKind::MissingRequiredArgument
                    | ErrorKind::MissingSubcommand
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            );
            assert!(partial && !whole, "{path}: {line}\n{error}");
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let lower = heading.trim().to_lowercase();
    let kept = lower.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let text = prose(text);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut followed = 0;
    for path in files(".", ".md") {
        let text = read(&path);
        let folder = root().join(&path).parent().unwrap().to_owned();
        for link in prose(&text).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, place) = link.split_once('#').map_or((link, None), |(file, place)| (file, Some(place)));
            let target = if file.is_empty() { root().join(&path) } else { folder.join(file) };
            assert!(target.exists(), "{path}: {link}");
            if let Some(place) = place {
                assert!(anchors(&fs::read_to_string(&target).unwrap()).contains(place), "{path}: {link}");
            }
            followed += 1;
        }
    }
    assert!(followed > 20, "{followed}");
}

/// A page with every metric there is: that of the budget is shown where there is a budget.
pub(crate) fn all_metrics() -> String {
    let snapshot = Snapshot { budget_per_week: Some(1.0), disk_free: Some(0.5), ..Snapshot::default() };
    metrics(&snapshot, Exposition::Text)
}

pub(crate) fn metric_names() -> BTreeSet<String> {
    let page = all_metrics();
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn every_metric_is_explained_and_every_explained_metric_exists() {
    let real = metric_names();
    let table = rows(&read("docs/operations.md"), "## Health and metrics");
    let told: BTreeSet<String> = table.iter().flat_map(|row| quoted(&row[0])).collect();
    assert_eq!(told, real);
    // Elsewhere only names that exist are used.
    for path in TRIED {
        for name in quoted(&prose(&read(path))) {
            let name = name.split(['{', ' ']).next().unwrap_or_default();
            assert!(!name.starts_with("shewhart_") || real.contains(name), "{path}: {name}");
        }
    }
}

/// The keys that a section takes, as the parser names them when it meets another.
fn keys(config: &str) -> Vec<String> {
    let fault = load(config).expect_err("`nope` is no key");
    let list = fault.split_once("expected ").unwrap_or_else(|| panic!("{fault}")).1.lines().next().unwrap();
    let list = list.trim_start_matches("one of ").replace(" or ", ", ").replace('`', "");
    list.split(", ").map(str::to_owned).collect()
}

#[test]
fn every_setting_is_explained_with_its_default() {
    const KAFKA: &str = "kafka: { brokers: \"a:1\", topic: t, group: g }";
    let sections: BTreeMap<&str, String> = BTreeMap::from([
        ("", "nope: 1".to_owned()),
        ("kafka.", "kafka: { nope: 1 }".to_owned()),
        ("http.", format!("{KAFKA}\nhttp: {{ nope: 1 }}")),
        ("baseline.", format!("{KAFKA}\nbaseline: {{ nope: 1 }}")),
        ("streams.", format!("{KAFKA}\nstreams: {{ nope: 1 }}")),
        ("retention.", format!("{KAFKA}\nretention: {{ nope: 1 }}")),
        ("labels.", format!("{KAFKA}\nlabels: {{ nope: 1 }}")),
        ("labels.streams[].", format!("{KAFKA}\nlabels: {{ streams: [ {{ nope: 1 }} ] }}")),
        ("receivers[].", format!("{KAFKA}\nreceivers: [ {{ nope: 1 }} ]")),
        ("receivers[].email.", format!("{KAFKA}\nreceivers: [ {{ name: x, email: {{ nope: 1 }} }} ]")),
        ("receivers[].webhook.", format!("{KAFKA}\nreceivers: [ {{ name: x, webhook: {{ nope: 1 }} }} ]")),
        ("receivers[].alertmanager.", format!("{KAFKA}\nreceivers: [ {{ name: x, alertmanager: {{ nope: 1 }} }} ]")),
        ("receivers[].slack.", format!("{KAFKA}\nreceivers: [ {{ name: x, slack: {{ nope: 1 }} }} ]")),
        ("receivers[].pagerduty.", format!("{KAFKA}\nreceivers: [ {{ name: x, pagerduty: {{ nope: 1 }} }} ]")),
        ("receivers[].exec.", format!("{KAFKA}\nreceivers: [ {{ name: x, exec: {{ nope: 1 }} }} ]")),
        ("receivers[].folder.", format!("{KAFKA}\nreceivers: [ {{ name: x, folder: {{ nope: 1 }} }} ]")),
        ("route.", format!("{KAFKA}\nroute: {{ nope: 1 }}")),
    ]);
    let mut real = BTreeSet::new();
    for (prefix, config) in &sections {
        for key in keys(config) {
            let name = format!("{prefix}{key}");
            let is_section = |section: &&&str| section.trim_end_matches('.').trim_end_matches("[]") == name;
            if sections.keys().find(is_section).is_none() {
                real.insert(name);
            }
        }
    }
    let table = rows(&read("docs/operations.md"), "## Configuration");
    let told: BTreeMap<String, String> =
        table.iter().skip(1).map(|row| (row[0].replace('`', ""), row[1].replace('`', ""))).collect();
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), real);

    let config = load(&format!("{KAFKA}\nrules: [rules]\n")).unwrap();
    let Settings { provisional_outputs, recent_outputs, streams_max, .. } = config.engine;
    let Settings { streams_per_agent_max, streams_per_minute_max, .. } = config.engine;
    let groups: Vec<&str> = config.engine.group_by.iter().map(|group| group.as_str()).collect();
    for (key, real) in [
        ("baseline.provisional_outputs", provisional_outputs.to_string()),
        ("streams.join_outputs", recent_outputs.to_string()),
        ("streams.max", streams_max.to_string()),
        ("streams.per_agent", streams_per_agent_max.to_string()),
        ("streams.new_per_minute", streams_per_minute_max.to_string()),
        ("group_by", format!("[{}]", groups.join(", "))),
        ("data_dir", config.data_dir.display().to_string()),
        ("http.listen", config.listen.unwrap().to_string()),
    ] {
        assert_eq!(told[key], real, "{key}");
    }
    let folder = "receivers: [ { name: x, folder: { path: p } } ]\nroute: { receiver: x }";
    let route = load(&format!("{KAFKA}\nrules: [rules]\n{folder}")).unwrap().policy.root().unwrap().clone();
    let GroupBy::Labels(group_by) = &route.group_by else { unreachable!() };
    for (key, real) in [
        ("route.group_wait", route.pace.wait.to_string()),
        ("route.group_interval", route.pace.interval.to_string()),
        ("route.repeat_interval", route.pace.repeat.to_string()),
        ("route.group_by", format!("[{}]", group_by.join(", "))),
    ] {
        assert_eq!(told[key], real, "{key}");
    }
}

/// A value for a bound in a unit of the table.
fn value(bound: &str, unit: &str) -> &'static str {
    match (bound, unit) {
        ("target" | "limit", _) => "90%",
        ("absent", _) => "6h",
        (_, "pp") => "0.5pp",
        (_, "%") => "10%",
        (_, "sd") => "0.5sd",
        _ => "0.5",
    }
}

#[test]
fn every_measure_takes_the_bounds_and_units_that_the_table_says() {
    let table = rows(&read("docs/rules.md"), "### detect");
    let measures = table.iter().filter(|row| row.len() == 5 && row[0] != "measure");
    let mut tried = 0;
    for row in measures {
        let measure = row[0].trim_matches('`').replace("NAME", "some_name");
        let extra = if measure == "latency" { ", quantile: p95" } else { "" };
        let accepted = |bound: &str| {
            let detect = format!("measure: {measure}{extra}{bound}");
            compiled(&format!("groups: [ {{ name: g, rules: [ {{ alert: A, detect: {{ {detect} }} }} ] }} ]"))
        };
        // What stands in parentheses are defaults.
        let bounds = quoted(row[2].split('(').next().unwrap());
        for bound in ["drop", "rise", "target", "limit", "absent"] {
            for unit in ["pp", "%", "sd", ""] {
                let named = quoted(&row[3]).contains(&unit.to_owned()) || (unit.is_empty() && row[3].contains("plain"));
                let unitless = matches!(bound, "target" | "limit" | "absent");
                let expected = bounds.contains(&bound.to_owned()) && (named || unitless);
                let found = accepted(&format!(", {bound}: {}", value(bound, unit)));
                let errors = found.diagnostics.iter().filter(|d| d.is_error()).collect::<Vec<&Diagnostic>>();
                assert_eq!(errors.is_empty(), expected, "{measure} {bound} {unit}: {errors:?}");
                tried += 1;
            }
        }
        if bounds.is_empty() {
            assert!(accepted("").rules.is_some(), "{measure}");
        }
    }
    assert_eq!(tried, 18 * 20);
}

#[test]
fn every_value_of_annotations_and_every_shipped_rule_is_named() {
    let text = read("docs/rules.md");
    let named: BTreeSet<String> = quoted(&prose(&text)).into_iter().collect();
    for variable in VARIABLES {
        assert!(named.contains(*variable), "{variable}");
    }
    let mut shipped = Vec::new();
    for path in files("rules", ".yaml").into_iter().filter(|path| !path.starts_with("rules/tests/")) {
        let rules = compiled(&read(&path)).rules.unwrap().rules;
        shipped.extend(rules.into_iter().map(|rule| (rule.alert, rule.labels["severity"].clone())));
    }
    let mut told: Vec<(String, String)> =
        rows(&text, "## The shipped rules").iter().skip(1).map(|row| (row[0].clone(), row[1].clone())).collect();
    shipped.sort();
    told.sort();
    assert_eq!(told, shipped);
}

/// How many tests a cell names; every one of them stands in a file that it names.
fn tests_named(cell: &str) -> usize {
    let paths = cell
        .split('(')
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|p| p.starts_with("tests/") || p.starts_with("src/"));
    let source: String = paths.map(read).collect();
    let tests = quoted(cell);
    for test in &tests {
        assert!(source.contains(&format!("fn {test}(")), "{test}");
    }
    tests.len()
}

#[test]
fn every_test_that_a_promise_names_exists() {
    let rows = rows(&read("docs/operations.md"), "## What is promised");
    let found: usize = rows.iter().skip(1).map(|row| tests_named(&row[2])).sum();
    assert!(found >= 8, "{found}");
}

#[test]
fn every_way_to_break_a_promise_still_fits_the_sources() {
    let Ok(done) = Command::new("python3").arg(root().join("tests/breaks.py")).arg("--check").output() else {
        return skipped("ways to break a promise", "python3 is missing");
    };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&[done.stdout, done.stderr].concat()));
}

#[test]
fn every_rule_of_security_is_proved_or_said_not_to_be_kept() {
    let rows = rows(&read("docs/security.md"), "## The rules");
    let numbers: Vec<String> =
        rows.iter().skip(1).map(|row| row[0].split(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(numbers, (1..=47).map(|n| format!("S{n}")).collect::<Vec<_>>());
    for row in rows.iter().skip(1) {
        let elsewhere = ["ot kept:", "in the gate", "[below](#"].iter().any(|words| row[1].contains(words));
        assert!(tests_named(&row[2]) > 0 || elsewhere, "{}: nothing proves it", row[0]);
    }
}

#[test]
fn views_and_paths_that_are_named_exist() {
    let schema = shewhart::edge::ledger::schema();
    for path in TRIED.into_iter().chain(["ARCHITECTURE.md", "docs/security.md"]) {
        for name in quoted(&prose(&read(path))) {
            let view = name.split(['.', ' ']).next().unwrap_or_default();
            if view.starts_with("v_") {
                assert!(schema.contains(&format!("CREATE VIEW {view} ")), "{path}: {view}");
            }
            let is_path = ["src/", "tests/", "docs/", "rules/", "fixtures/", "deploy/", "benches/"];
            if is_path.iter().any(|folder| name.starts_with(folder)) && !name.contains([' ', '*']) {
                assert!(Path::new(&root()).join(&name).exists(), "{path}: {name}");
            }
        }
    }
}

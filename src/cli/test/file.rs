//! Test files: YAML as written, checked into tests, with a place for every fault.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::super::replay::policy;
use super::events::{self, Events};
use super::expect::{Alert, Labels, Notice, RouteOf, StateOf};
use crate::config::Config;
use crate::edge::reload;
use crate::engine::Group;
use crate::engine::Settings;
use crate::engine::baseline::BaselineSet;
use crate::engine::route::Policy;
use crate::engine::rule::{Compiled, RuleSet, compile, render};
use crate::engine::units::{Span, Timestamp};
use crate::replay::time;

/// A test file, its rules compiled.
pub(super) struct TestFile {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// The rules that it tests.
    pub(super) rules: Arc<RuleSet>,
    /// Its tests.
    pub(super) tests: Vec<Test>,
}

/// One test.
pub(super) struct Test {
    pub(super) name: String,
    /// The line of the file on which it begins.
    pub(super) line: u64,
    /// What `eval_time` counts from, where that is not the first event.
    pub(super) start: Option<Timestamp>,
    pub(super) events: Events,
    pub(super) settings: Settings,
    pub(super) baselines: Arc<BaselineSet>,
    pub(super) policy: Policy,
    /// Who must be told of alerts, whether they fire or not.
    pub(super) routes: Vec<RouteOf>,
    /// In the order of their times.
    pub(super) checks: Vec<Check>,
}

/// What must be so at one time.
pub(super) struct Check {
    pub(super) line: u64,
    pub(super) at: Span,
    pub(super) alertname: Option<String>,
    pub(super) alerts: Option<Vec<Alert>>,
    pub(super) states: Option<Vec<StateOf>>,
    pub(super) notices: Option<Vec<Notice>>,
    pub(super) inhibited: Option<Vec<Labels>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    rule_files: Vec<Spanned<String>>,
    /// Read for promtool's sake: rules are judged at every event.
    #[serde(rename = "evaluation_interval")]
    _evaluation_interval: Option<String>,
    tests: Vec<Spanned<RawTest>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTest {
    name: Option<String>,
    start: Option<Spanned<String>>,
    interval: Option<Spanned<String>>,
    input_events: Option<Spanned<Value>>,
    baseline: Option<Spanned<RawBaseline>>,
    group_by: Option<Spanned<Vec<String>>>,
    route_config: Option<Spanned<String>>,
    #[serde(default)]
    exp_routes: Vec<RouteOf>,
    #[serde(default)]
    alert_rule_test: Vec<Spanned<RawCheck>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBaseline {
    file: Option<String>,
    first: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCheck {
    eval_time: Spanned<String>,
    alertname: Option<Spanned<String>>,
    exp_alerts: Option<Vec<Alert>>,
    exp_state: Option<Vec<StateOf>>,
    exp_notices: Option<Vec<Notice>>,
    exp_inhibited: Option<Vec<Labels>>,
}

/// Collects faults, each with its line.
struct Faults {
    file: String,
    found: Vec<String>,
}

impl Faults {
    fn say(&mut self, line: u64, what: impl std::fmt::Display) {
        self.found.push(format!("{}:{line}: {what}", self.file));
    }

    /// The value, or its fault at that line.
    fn take<T, E: std::fmt::Display>(&mut self, line: u64, read: Result<T, E>) -> Option<T> {
        read.map_err(|fault| self.say(line, fault)).ok()
    }

    fn span(&mut self, text: &Spanned<String>) -> Span {
        self.take(text.referenced.line(), text.value.trim().parse()).unwrap_or(Span::ZERO)
    }
}

/// Reads a test file and the rules that it names.
///
/// # Errors
/// Every fault, a line each.
pub(super) fn load(path: &Path) -> Result<TestFile, Vec<String>> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| vec![format!("cannot read {file}: {error}")])?;
    let raw: RawFile = serde_saphyr::from_str(&text).map_err(|error| vec![syntax(&file, &error)])?;
    let mut faults = Faults { file, found: Vec::new() };
    let base = path.parent().unwrap_or_else(|| Path::new("."));
    let rules = rules(base, &raw.rule_files, &mut faults);
    let tests = raw.tests.into_iter().enumerate();
    let tests: Vec<Test> = tests.filter_map(|(at, raw)| check_test(at, raw, base, &mut faults)).collect();
    for (test, check) in tests.iter().flat_map(|test| test.checks.iter().map(move |check| (test, check))) {
        let Some(name) = &check.alertname else { continue };
        if faults.found.is_empty() && rules.rules.iter().all(|rule| rule.alert != *name) {
            faults.say(check.line, format_args!("`{}`: no rule of rule_files is called `{name}`", test.name));
        }
    }
    if faults.found.is_empty() {
        Ok(TestFile { path: path.to_owned(), rules: Arc::new(rules), tests })
    } else {
        Err(faults.found)
    }
}

/// A fault of the YAML or of its shape: `file:line: what`, without the drawing of the place.
fn syntax(file: &str, error: &serde_saphyr::Error) -> String {
    let line = error.location().map_or(1, |location| location.line());
    format!("{file}:{line}: {}", error.without_snippet())
}

fn rules(base: &Path, patterns: &[Spanned<String>], faults: &mut Faults) -> RuleSet {
    let mut paths = Vec::new();
    for Spanned { value: pattern, referenced, .. } in patterns {
        let line = referenced.line();
        let whole = base.join(pattern);
        let found: Vec<PathBuf> = faults
            .take(line, glob::glob(&whole.to_string_lossy()))
            .map(|found| found.filter_map(Result::ok).collect())
            .unwrap_or_default();
        if found.is_empty() {
            faults.say(line, format_args!("rule_files: there is no file {}", whole.display()));
        }
        for path in found {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    let line = patterns.first().map_or(1, |first| first.referenced.line());
    if patterns.is_empty() {
        faults.say(line, "rule_files is empty: name rule files, relative to this one");
    }
    let compiled = match reload::read(&paths) {
        Ok(sources) => compile(&sources),
        Err(diagnostics) => Compiled { rules: None, diagnostics, listed: Vec::new() },
    };
    compiled.rules.unwrap_or_else(|| {
        faults.say(line, format_args!("the rules do not compile\n{}", render(&compiled.diagnostics, false, 100)));
        RuleSet::new(Vec::new())
    })
}

fn check_test(at: usize, raw: Spanned<RawTest>, base: &Path, faults: &mut Faults) -> Option<Test> {
    let line = raw.referenced.line();
    let raw = raw.value;
    let name = raw.name.unwrap_or_else(|| format!("test {}", at + 1));
    let start = raw.start.and_then(|text| faults.take(text.referenced.line(), time(&text.value)));
    let interval = raw.interval.map_or(Span::MINUTE, |text| faults.span(&text));
    let events = match raw.input_events {
        None => Some(Events::None),
        Some(input) => faults.take(input.referenced.line(), events::read(input.value, base, start, interval)),
    };
    let mut settings = Settings { recent_outputs: 1_000_000, ..Settings::default() };
    let mut baselines = BaselineSet::default();
    if let Some(Spanned { value, referenced, .. }) = raw.baseline {
        match (value.file, value.first) {
            (Some(file), None) => {
                let read = super::super::baseline::read_file(&base.join(file));
                let read = read.map_err(|error| super::super::in_full(&error));
                baselines = faults.take(referenced.line(), read).unwrap_or_default();
            }
            (None, Some(first)) => settings.provisional_outputs = first,
            _ => faults.say(referenced.line(), "baseline takes one of `first: N` and `file: PATH`"),
        }
    }
    if let Some(Spanned { value, referenced, .. }) = raw.group_by {
        let groups: Result<Vec<Group>, String> = value.iter().map(|word| word.parse()).collect();
        if let Some(mut groups) = faults.take(referenced.line(), groups) {
            groups.sort_unstable();
            groups.dedup();
            settings.group_by = groups;
        }
    }
    let policy = match raw.route_config {
        None => policy("default"),
        Some(Spanned { value, referenced, .. }) => {
            let read = Config::load_policy(&base.join(value));
            faults.take(referenced.line(), read).unwrap_or_else(|| Policy::new(Vec::new()))
        }
    };
    if raw.alert_rule_test.is_empty() && raw.exp_routes.is_empty() {
        faults.say(line, format_args!("`{name}` expects nothing: give alert_rule_test, or exp_routes"));
    }
    if !raw.alert_rule_test.is_empty() && matches!(events, Some(Events::None)) {
        faults.say(line, format_args!("`{name}` has no input_events"));
    }
    let mut checks: Vec<Check> = raw.alert_rule_test.into_iter().map(|raw| check(raw, faults)).collect();
    checks.sort_by_key(|check| check.at);
    let (baselines, routes) = (Arc::new(baselines), raw.exp_routes);
    Some(Test { name, line, start, events: events?, settings, baselines, policy, routes, checks })
}

fn check(raw: Spanned<RawCheck>, faults: &mut Faults) -> Check {
    let line = raw.referenced.line();
    let raw = raw.value;
    let about_alerts = raw.exp_alerts.is_some() || raw.exp_state.is_some();
    if raw.alertname.is_none() && about_alerts {
        faults.say(line, "exp_alerts and exp_state need an `alertname`");
    }
    let about_all = raw.exp_notices.is_some() || raw.exp_inhibited.is_some();
    if raw.alertname.is_none() && !about_all {
        faults.say(line, "nothing is expected: give `alertname` and `exp_alerts`, `exp_notices` or `exp_inhibited`");
    }
    // As with promtool: a name alone says that nothing of that name fires.
    let none_fires = raw.alertname.is_some() && !about_alerts && !about_all;
    Check {
        line,
        at: faults.span(&raw.eval_time),
        alertname: raw.alertname.map(|name| name.value),
        alerts: raw.exp_alerts.or_else(|| none_fires.then(Vec::new)),
        states: raw.exp_state,
        notices: raw.exp_notices,
        inhibited: raw.exp_inhibited,
    }
}

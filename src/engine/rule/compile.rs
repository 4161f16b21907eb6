//! Rule files -> a [`RuleSet`], or every fault of every file at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::amount;
use super::check;
use super::diagnostic::{Diagnostic, Sink, did_you_mean, quoted};
use super::parse::{RawGroup, RawRule, parse};
use super::selector;
use super::template;
use super::yaml::Text;
use super::{Detect, Rule};
use crate::engine::alert::Id;
use crate::engine::units::Span;

/// Most rules in a set.
const MAX_RULES: usize = 2_000;
/// Longest name of a group, alert or label.
const MAX_NAME: usize = 128;
/// A hold or an afterglow longer than this is probably a slip of the unit.
const LONG: Span = Span::DAY.times(30);
/// Labels that streams carry by default.
const STREAM_LABELS: &[&str] = &["agent", "task", "version"];
/// Labels that only the engine sets.
pub(super) const ENGINE_LABELS: &[&str] = &["alertname", "agent", "task", "version"];
/// Severities that receivers know how to map.
pub(super) const SEVERITIES: &[&str] = &["critical", "error", "warning", "info"];

/// A rule file: what the caller calls it, and its text.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name used in messages, usually the path.
    pub name: String,
    /// The text.
    pub text: String,
}

/// What became of a set of rule files.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The rules, unless there was an error.
    pub rules: Option<RuleSet>,
    /// All faults, file by file in the order given, top to bottom.
    pub diagnostics: Vec<Diagnostic>,
    /// The rules that could be read, those that are switched off too, in the order written.
    pub listed: Vec<Listed>,
}

impl Compiled {
    /// How many rules are switched off.
    pub fn disabled(&self) -> usize {
        self.listed.iter().filter(|listed| !listed.enabled).count()
    }
}

/// A rule as it stands in its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The file, as the caller named it.
    pub file: String,
    /// The line of the alert's name, from 1.
    pub line: usize,
    /// Whether it is in force: `enabled: false` keeps a rule in the file and out of the set.
    pub enabled: bool,
    /// What it says.
    pub rule: Rule,
}

/// Rules that are known to be right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleSet {
    /// The rules, sorted by their id.
    pub rules: Vec<Rule>,
    /// What the rules say, whatever files, order, comments and layout they were written with.
    pub hash: Id,
}

impl RuleSet {
    /// A set of rules; sorts them and computes the hash.
    pub fn new(mut rules: Vec<Rule>) -> Self {
        rules.sort_by(|a, b| a.id.cmp(&b.id));
        let hash = identity(b"rules 1", &rules);
        Self { rules, hash }
    }
}

impl Detect {
    /// Identity of the detector's state: what the chart computes. The grade is read off the chart afterwards, so two
    /// rules that differ only in it share one.
    pub fn definition(&self) -> Id {
        identity(b"detect 2", &(&self.measure, &self.bound, &self.promise, &self.chart, self.guarantee))
    }
}

/// The id of a value's canonical bytes.
fn identity(kind: &[u8], value: &impl Serialize) -> Id {
    let bytes = postcard::to_stdvec(value).expect("plain data with known lengths always has a postcard form");
    Id::of(&[kind, &bytes])
}

/// Compiles all files into one set. No files make an empty set; whether that is a fault is the caller's to say.
pub fn compile(sources: &[Source]) -> Compiled {
    let mut compiler = Compiler::default();
    let mut diagnostics = Vec::new();
    for source in sources {
        let mut sink = Sink::new(&source.name, &source.text);
        compiler.file(&mut sink);
        diagnostics.extend(sink.finish());
    }
    let refused = diagnostics.iter().any(Diagnostic::is_error);
    let listed = compiler.listed;
    let enabled = || listed.iter().filter(|listed| listed.enabled).map(|listed| listed.rule.clone()).collect();
    Compiled { rules: (!refused).then(|| RuleSet::new(enabled())), diagnostics, listed }
}

/// What is known across files.
#[derive(Default)]
struct Compiler {
    listed: Vec<Listed>,
    count: usize,
    /// Where groups and rules were first defined.
    groups: BTreeMap<String, String>,
    ids: BTreeMap<String, String>,
}

impl Compiler {
    fn file(&mut self, sink: &mut Sink<'_>) {
        if sink.text().trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').is_empty() {
            // Editors and copies pass through this state; rules must not vanish because of it.
            sink.error(
                &(0..0),
                "the file is empty",
                "write `groups: []` if it shall hold no rules, or remove the file",
            );
            return;
        }
        let faults = sink.errors();
        let groups = parse(sink);
        if sink.errors() == faults && groups.iter().all(|group| group.rules.is_empty()) {
            sink.warning(&(0..0), "the file holds no rules", "add rules under `groups:`, or remove the file");
        }
        for group in groups {
            self.group(sink, &group);
        }
    }

    fn group(&mut self, sink: &mut Sink<'_>, raw: &RawGroup) {
        match &raw.name {
            None => sink.error(&raw.span, "the group has no name", "write `name: what-it-watches`"),
            Some(name) if !name.is_reported() && check_name(sink, name, "group") => {
                if let Some(first) = self.groups.insert(name.value.clone(), sink.place(&name.span)) {
                    let message = format!("a second group is called {}", quoted(&name.value));
                    sink.error(&name.span, message, format!("the first is at {first}; merge or rename them"));
                }
            }
            Some(_) => {}
        }
        check_labels(sink, &raw.labels);
        for rule in &raw.rules {
            self.count += 1;
            if self.count == MAX_RULES + 1 {
                let help = format!("a set has at most {MAX_RULES}; use globs in `where` to cover many streams");
                sink.error(&rule.span, format!("this is rule {}", self.count), help);
            }
            if self.count <= MAX_RULES {
                self.rule(sink, raw, rule);
            }
        }
    }

    fn rule(&mut self, sink: &mut Sink<'_>, owner: &RawGroup, raw: &RawRule) {
        let group = owner.name.as_ref().map_or("", |name| name.value.as_str());
        let alert = self.alert(sink, group, raw);
        if raw.detect.is_none() {
            let help = "write `detect: { measure: accuracy, drop: 2pp }`";
            sink.error(name_or_line(raw), "the rule has no `detect`", help);
        }
        let detect = raw.detect.as_ref().and_then(|detect| check::detect(sink, detect));
        let hold = duration(sink, raw.hold.as_ref(), "for");
        let keep_firing_for = duration(sink, raw.keep_firing_for.as_ref(), "keep_firing_for");
        let selector = globs(sink, &raw.selector);
        let labels = labels(sink, owner, raw);
        let enabled = enabled(sink, raw.enabled.as_ref());
        let annotations = annotations(sink, raw, &labels, &selector);
        if let (Some(alert), Some(detect)) = (alert, detect) {
            let (group, id) = (group.to_owned(), format!("{group}/{alert}"));
            let rule = Rule { id, group, alert, selector, detect, hold, keep_firing_for, labels, annotations };
            let (file, line) = (sink.file(), sink.line(name_or_line(raw)));
            self.listed.push(Listed { file, line, enabled, rule });
        }
    }

    fn alert(&mut self, sink: &mut Sink<'_>, group: &str, raw: &RawRule) -> Option<String> {
        let Some(alert) = &raw.alert else {
            sink.error(&raw.span, "the rule has no `alert`", "write `alert: NameOfTheAlert`");
            return None;
        };
        if alert.is_reported() || !check_name(sink, alert, "alert") {
            return None;
        }
        if let Some(first) = self.ids.insert(format!("{group}/{}", alert.value), sink.place(&alert.span)) {
            let message = format!("a second alert of this group is called {}", quoted(&alert.value));
            sink.error(&alert.span, message, format!("the first is at {first}; rename one"));
        }
        Some(alert.value.clone())
    }
}

/// Where to point when the fault is something missing.
fn name_or_line(raw: &RawRule) -> &Range<usize> {
    raw.alert.as_ref().map_or(&raw.span, |alert| &alert.span)
}

/// Names of groups and alerts stand in subjects, URLs and `group/alert` ids.
fn check_name(sink: &mut Sink<'_>, name: &Text, what: &str) -> bool {
    let fault = if name.value.chars().count() > MAX_NAME {
        "is too long"
    } else if name.value.chars().any(char::is_control) {
        "has control characters"
    } else if what == "alert" && name.value.contains('/') {
        "has a `/`"
    } else {
        return true;
    };
    let help = format!("write at most {MAX_NAME} letters, digits and signs, without `/`, on one line");
    sink.error(&name.span, format!("the {what}'s name {fault}"), help);
    false
}

fn duration(sink: &mut Sink<'_>, text: Option<&Text>, key: &str) -> Span {
    let Some(text) = text.filter(|text| !text.is_reported()) else {
        return Span::ZERO;
    };
    match amount::duration(&text.value) {
        Ok(span) => {
            if span > LONG {
                let message = format!("`{key}: {}` is longer than 30 days", text.value.trim());
                sink.warning(&text.span, message, "is the unit right? m is minutes, there is no unit for months");
            }
            span
        }
        Err(help) => {
            sink.error(&text.span, format!("`{key}` is a duration, found {}", quoted(&text.value)), help);
            Span::ZERO
        }
    }
}

fn globs(sink: &mut Sink<'_>, raw: &[(Text, Text)]) -> BTreeMap<String, String> {
    for (name, glob) in raw {
        label_name(sink, name, "where");
        let close = did_you_mean(&name.value, STREAM_LABELS).filter(|close| *close != name.value);
        if let Some(close) = close {
            let message = format!("streams usually have no label {}", quoted(&name.value));
            sink.warning(&name.span, message, format!("did you mean `{close}`?"));
        }
        if glob.value.len() > selector::MAX_GLOB {
            let help = format!("a glob has at most {} bytes", selector::MAX_GLOB);
            sink.error(&glob.span, "the glob is too long", help);
        } else if let Err(fault) = selector::compiled(&glob.value) {
            let help = "globs have *, ?, [a-z] and {a,b}; put \\ before a sign that means itself";
            sink.error(&glob.span, format!("{} is not a glob: {}", quoted(&glob.value), fault.kind()), help);
        }
    }
    owned(raw)
}

/// `enabled`, true where not written.
fn enabled(sink: &mut Sink<'_>, text: Option<&Text>) -> bool {
    let Some(text) = text.filter(|text| !text.is_reported()) else {
        return true;
    };
    match text.value.trim() {
        "true" => true,
        "false" => false,
        _ => {
            let message = format!("`enabled` is true or false, found {}", quoted(&text.value));
            sink.error(&text.span, message, "write `enabled: false` to switch the rule off, or leave it out");
            true
        }
    }
}

/// The labels of a rule: its group's, and its own where both have one.
fn labels(sink: &mut Sink<'_>, group: &RawGroup, raw: &RawRule) -> BTreeMap<String, String> {
    check_labels(sink, &raw.labels);
    let mut labels = owned(&group.labels);
    labels.extend(owned(&raw.labels));
    if !labels.contains_key("severity") && !group.labels_reported && !raw.labels_reported {
        let help = "write `labels: { severity: warning }`, or it goes to the default route";
        sink.warning(name_or_line(raw), "the rule has no severity", help);
    }
    labels
}

fn check_labels(sink: &mut Sink<'_>, raw: &[(Text, Text)]) {
    for (name, value) in raw {
        label_name(sink, name, "labels");
        if ENGINE_LABELS.contains(&name.value.as_str()) {
            let message = format!("the label `{}` is set by the engine", name.value);
            sink.error(&name.span, message, "choose another name");
        }
        if name.value == "severity" {
            let close = did_you_mean(&value.value, SEVERITIES).filter(|close| *close != value.value);
            if let Some(close) = close {
                let message = format!("unusual severity {}", quoted(&value.value));
                sink.warning(&value.span, message, format!("did you mean `{close}`?"));
            }
        }
    }
}

fn annotations(
    sink: &mut Sink<'_>,
    raw: &RawRule,
    labels: &BTreeMap<String, String>,
    selector: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    // A label that `where` asks for is one that every stream of this rule has.
    let known: BTreeSet<&str> = labels.keys().chain(selector.keys()).map(String::as_str).collect();
    for (name, text) in &raw.annotations {
        label_name(sink, name, "annotations");
        if let Err(fault) = template::check(&text.value) {
            let span = template_place(sink.text(), text, &fault);
            sink.error(&span, format!("annotation `{}`: {}", name.value, fault.message), fault.help);
            continue;
        }
        for unknown in template::unknown_variables(&text.value, &known) {
            let message = format!("annotation `{}`: nothing is known as {}", name.value, quoted(&unknown));
            sink.warning(&variable_place(sink.text(), text, &unknown), message, variable_help(&unknown, &known));
        }
    }
    owned(&raw.annotations)
}

fn variable_help(unknown: &str, known: &BTreeSet<&str>) -> String {
    if let Some(label) = unknown.strip_prefix("labels.") {
        return format!("`labels` is the number of labelled outputs; write `{{{{ {label} }}}}` for the label");
    }
    let bare = unknown.rsplit('.').next().unwrap_or(unknown);
    let mut words: Vec<&str> = template::VARIABLES.to_vec();
    words.extend(known.iter().filter(|word| !template::VARIABLES.contains(word)));
    match did_you_mean(bare, &words) {
        Some(close) => format!("did you mean `{close}`? it prints nothing as it is"),
        None => format!("known are {}, and the labels named in `where`; others print nothing", words.join(", ")),
    }
}

/// Where the annotation's text mentions a variable.
fn variable_place(source: &str, text: &Text, variable: &str) -> Range<usize> {
    let raw = source.get(text.span.clone()).unwrap_or_default();
    let found =
        raw.find("{{").and_then(|tag| Some(tag + raw.get(tag..)?.find(variable)?)).or_else(|| raw.find(variable));
    found.map_or_else(|| text.span.clone(), |at| text.span.start + at..text.span.start + at + variable.len())
}

/// Where in the file a template's fault lies: exact where the text stands in the file as it is, else its line, else
/// the whole annotation.
fn template_place(source: &str, text: &Text, fault: &template::Fault) -> Range<usize> {
    let raw = source.get(text.span.clone()).unwrap_or_default();
    if let (Some(at), Some(range)) = (raw.find(text.value.trim_end()), fault.range.clone()) {
        let start = text.span.start + at + range.start;
        let end = text.span.start + at + range.end;
        if source.get(start..end).is_some() && end <= text.span.end {
            return start..end;
        }
    }
    let line = text.value.lines().nth(fault.line.saturating_sub(1)).map(str::trim).unwrap_or_default();
    match raw.find(line) {
        Some(at) if !line.is_empty() => text.span.start + at..text.span.start + at + line.len(),
        _ => text.span.clone(),
    }
}

/// Prometheus' grammar for label names, which every sink understands.
fn label_name(sink: &mut Sink<'_>, name: &Text, owner: &str) {
    let text = name.value.as_str();
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let right = starts && text.len() <= MAX_NAME && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !right {
        let message = format!("{} in `{owner}` is not a label name", quoted(text));
        sink.error(&name.span, message, "write letters, digits and _, not starting with a digit");
    }
}

fn owned(raw: &[(Text, Text)]) -> BTreeMap<String, String> {
    raw.iter().map(|(name, text)| (name.value.clone(), text.value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::rule::{Amount, Bound, Grade, Measure, Promise};

    fn one(text: &str) -> Compiled {
        compile(&[Source { name: "r.yaml".to_owned(), text: text.to_owned() }])
    }

    fn rules(text: &str) -> RuleSet {
        let compiled = one(text);
        compiled.rules.unwrap_or_else(|| panic!("{:#?}", compiled.diagnostics))
    }

    const PLAIN: &str = "groups:\n- name: g\n  rules:\n  - alert: A\n    detect: {measure: accuracy, drop: 2pp}\n";

    #[test]
    fn defaults_are_filled_in() {
        let set = rules(PLAIN);
        let rule = &set.rules[0];
        let promise = Promise::Rate { count: 1.0, per: Span::DAY.times(90) };
        let bound = Bound::Drop(Amount::Points(0.02));
        assert_eq!(
            rule.detect,
            Detect { measure: Measure::Accuracy, bound, promise, grade: Grade::Degraded, chart: None, guarantee: 0.75 }
        );
        assert_eq!((rule.id.as_str(), rule.hold, rule.keep_firing_for), ("g/A", Span::ZERO, Span::ZERO));
    }

    #[test]
    fn layout_and_order_do_not_change_the_hash() {
        let a = "groups:\n- name: g\n  rules:\n  - {alert: A, detect: {measure: accuracy, drop: 2pp}}\n  - {alert: B, \
                 detect: {measure: cost, rise: 20%}}\n";
        let b = "# words\ngroups:\n- name: g\n  rules:\n  - {detect: {rise: 20.0 %, measure: cost}, alert: B}\n  - {alert: \
                 'A', for: 0s, detect: {drop: 2.0pp, measure: accuracy}}\n";
        assert_eq!(rules(a), rules(b));
        assert_ne!(rules(a).hash, rules(PLAIN).hash);
    }

    #[test]
    fn a_stored_set_comes_back_whole_and_still_matches() {
        let set = rules(&PLAIN.replace("detect:", "where: {agent: \"in[vx]*\"}\n    detect:"));
        let bytes = postcard::to_stdvec(&set).expect("plain data");
        let back: RuleSet = postcard::from_bytes(&bytes).expect("what was written");
        assert_eq!(back, set);
        assert!(back.rules[0].matches(&BTreeMap::from([("agent".to_owned(), "invoice".to_owned())])));
        assert!(!back.rules[0].matches(&BTreeMap::from([("task".to_owned(), "invoice".to_owned())])));
    }

    #[test]
    fn only_what_the_chart_computes_defines_it() {
        let rule = |more: &str| rules(&PLAIN.replace("2pp}", more)).rules.remove(0).detect.definition();
        let plain = rule("2pp}");
        assert_eq!(rule("2pp, grade: drifting}"), plain);
        assert_eq!(rule("2pp}\n    annotations: {summary: x}\n    for: 5m"), plain);
        assert_eq!(rule("2pp, false_alarms: 1 per 90d}"), plain);
        assert_ne!(rule("3pp}"), plain);
        assert_ne!(rule("2pp, arl0: 20000}"), plain);
    }

    #[test]
    fn limits_hold() {
        assert!(one(&"x".repeat((1 << 20) + 1)).diagnostics[0].message.contains("bytes"));
        let rule = "  - {alert: A, detect: {measure: accuracy, drop: 2pp}, labels: {severity: info}}\n";
        let many: String = (0..2_002).map(|n| rule.replace("alert: A", &format!("alert: A{n}"))).collect();
        let found = one(&format!("groups:\n- name: g\n  rules:\n{many}")).diagnostics;
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].message.contains("2001"), "{found:#?}");
        for bomb in [
            "[".repeat(100_000),
            "- ".repeat(100_000),
            "{a: ".repeat(100_000),
            "a: ".repeat(100_000),
            "- a\n".repeat(250_000),
            "groups:\n".to_owned() + &"- a\n".repeat(100_000),
            "a: &a [x,x]\nb: &b [*a,*a]\ngroups: *b\n".to_owned(),
        ] {
            let compiled = one(&bomb);
            assert!(compiled.rules.is_none() && compiled.diagnostics.len() <= 201, "{}", compiled.diagnostics.len());
        }
    }

    #[test]
    fn one_bad_file_refuses_the_set_and_all_files_are_read() {
        let source = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
        let compiled = compile(&[source("a", "groups: 5"), source("b", PLAIN), source("c", "grups: []")]);
        assert!(compiled.rules.is_none());
        let errors: Vec<&str> = compiled.diagnostics.iter().filter(|d| d.is_error()).map(|d| d.file.as_str()).collect();
        assert_eq!(errors, ["a", "c"]);
    }

    fn yaml_like() -> impl Strategy<Value = String> {
        let word = prop_oneof![
            Just("groups:\n- name: g\n  rules:\n  - alert: A\n"),
            Just("    detect: {"),
            Just("measure: "),
            Just("accuracy, "),
            Just("latency, quantile: p95"),
            Just("drop: 2pp"),
            Just("}\n"),
            Just("    annotations: {summary: \"{{ a "),
            Just("}}\"}\n"),
            Just("    where: {agent: \""),
            Just("[a"),
            Just("\"}\n"),
            Just("|\n  "),
            Just(": "),
            Just("- "),
            Just("\u{fc}\u{85}"),
        ];
        prop::collection::vec(word, 0..24).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in prop_oneof![any::<String>(), "[-a-z{}\\[\\]:,&*!|>'\"%@# \\n\\t]{0,80}", yaml_like()]) {
            let compiled = one(&text);
            prop_assert!(compiled.rules.is_some() || compiled.diagnostics.iter().any(Diagnostic::is_error));
            for diagnostic in &compiled.diagnostics {
                prop_assert!(!diagnostic.to_string().contains('\n'));
            }
            crate::engine::rule::render(&compiled.diagnostics, true, 100);
        }

        #[test]
        fn no_damage_makes_it_panic(at in 0..PLAIN.len(), with in any::<char>()) {
            let mut text = PLAIN.to_owned();
            text.insert(at, with);
            one(&text);
            one(PLAIN.get(..at).unwrap_or_default());
        }
    }
}

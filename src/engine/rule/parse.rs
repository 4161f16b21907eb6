//! A rule file's tree -> its groups and rules as written, every word with its place. Shapes and keys are checked here,
//! what the words mean is checked by [`super::compile()`].

use std::ops::Range;

use super::diagnostic::{Sink, did_you_mean, quoted};
use super::yaml::{self, Node, Text, Value};

/// A group as written.
#[derive(Debug, Default)]
pub(super) struct RawGroup {
    pub(super) span: Range<usize>,
    pub(super) name: Option<Text>,
    pub(super) labels: Vec<(Text, Text)>,
    /// Whether its labels, or some, could not be read, which has been reported.
    pub(super) labels_reported: bool,
    pub(super) rules: Vec<RawRule>,
}

/// A rule as written.
#[derive(Debug, Default)]
pub(super) struct RawRule {
    pub(super) span: Range<usize>,
    pub(super) alert: Option<Text>,
    pub(super) enabled: Option<Text>,
    pub(super) selector: Vec<(Text, Text)>,
    pub(super) detect: Option<RawDetect>,
    pub(super) hold: Option<Text>,
    pub(super) keep_firing_for: Option<Text>,
    pub(super) labels: Vec<(Text, Text)>,
    /// Whether its labels, or some, could not be read, which has been reported.
    pub(super) labels_reported: bool,
    pub(super) annotations: Vec<(Text, Text)>,
}

/// A rule's `detect` as written.
#[derive(Debug, Default)]
pub(super) struct RawDetect {
    pub(super) span: Range<usize>,
    pub(super) measure: Option<Text>,
    pub(super) quantile: Option<Text>,
    pub(super) component: Option<Text>,
    /// `drop`, `rise`, `target`, `limit` and `absent`, in the order written: (key, value).
    pub(super) bounds: Vec<(Text, Text)>,
    pub(super) false_alarms: Option<Text>,
    pub(super) arl0: Option<Text>,
    pub(super) grade: Option<Text>,
    pub(super) chart: Option<Text>,
    pub(super) guarantee: Option<Text>,
    pub(super) burn_rate: Option<Text>,
    pub(super) long: Option<Text>,
    pub(super) short: Option<Text>,
}

/// The keys of a rule file.
pub(super) const FILE_KEYS: &[&str] = &["groups"];
/// The keys of a group.
pub(super) const GROUP_KEYS: &[&str] = &["name", "labels", "rules"];
/// The keys of a rule.
pub(super) const RULE_KEYS: &[&str] =
    &["alert", "enabled", "where", "detect", "for", "keep_firing_for", "labels", "annotations"];
/// The keys of `detect`.
pub(super) const DETECT_KEYS: &[&str] = &[
    "measure",
    "quantile",
    "component",
    "drop",
    "rise",
    "target",
    "limit",
    "absent",
    "false_alarms",
    "arl0",
    "grade",
    "chart",
    "guarantee",
    "burn_rate",
    "long",
    "short",
];

/// The keys of `detect` that say what matters; a rule has one of them.
pub(super) const BOUND_KEYS: &[&str] = &["drop", "rise", "target", "limit", "absent"];

/// Keys that people bring along from elsewhere, with what to do instead.
const STRANGERS: &[(&str, &str)] = &[
    ("expr", "write `detect:` where Prometheus has `expr:`"),
    ("record", "rules here only alert; remove it"),
    ("interval", "charts are read as events arrive, there is no interval; remove it"),
    ("limit", "a limit belongs into `detect:`"),
    ("chart", "it belongs into `detect:`"),
    ("measure", "it belongs into `detect:`"),
    ("drop", "it belongs into `detect:`"),
    ("rise", "it belongs into `detect:`"),
    ("severity", "it belongs into `labels:`"),
    ("burn_rate", "it belongs into `detect:`"),
    ("disabled", "write `enabled: false`"),
    ("summary", "it belongs into `annotations:`"),
    ("description", "it belongs into `annotations:`"),
];

/// The groups of a file. Faults go to the sink; what could be read is returned all the same, so that its own faults
/// come to light in the same pass.
pub(super) fn parse(sink: &mut Sink<'_>) -> Vec<RawGroup> {
    let Some(root) = yaml::read(sink) else {
        return Vec::new();
    };
    let mut groups = Vec::new();
    for (key, node) in mapping(sink, root, "a rule file") {
        match key.value.as_str() {
            "groups" => {
                for item in list(sink, node, "groups") {
                    groups.push(group(sink, item));
                }
            }
            _ => unknown(sink, &key, "a rule file", FILE_KEYS),
        }
    }
    groups
}

fn group(sink: &mut Sink<'_>, node: Node) -> RawGroup {
    let mut group = RawGroup { span: first_line(sink, &node), ..RawGroup::default() };
    for (key, node) in mapping(sink, node, "a group") {
        match key.value.as_str() {
            "name" => group.name = Some(scalar(sink, &key, node)),
            "labels" => (group.labels, group.labels_reported) = labels(sink, node),
            "rules" => {
                for item in list(sink, node, "rules") {
                    let rule = rule(sink, item);
                    group.rules.push(rule);
                }
            }
            _ => unknown(sink, &key, "a group", GROUP_KEYS),
        }
    }
    group
}

fn rule(sink: &mut Sink<'_>, node: Node) -> RawRule {
    let mut rule = RawRule { span: first_line(sink, &node), ..RawRule::default() };
    for (key, node) in mapping(sink, node, "a rule") {
        match key.value.as_str() {
            "alert" => rule.alert = Some(scalar(sink, &key, node)),
            "enabled" => rule.enabled = Some(scalar(sink, &key, node)),
            "where" if node.is_empty() => {
                // A file cut short ends like this, and an empty selector would watch everything.
                sink.error(
                    &key.span,
                    "`where` is empty",
                    "leave it out to watch every stream, or write { agent: \"x-*\" }",
                );
            }
            "where" => rule.selector = words(sink, node, "where"),
            "detect" => rule.detect = Some(detect(sink, &key, node)),
            "for" => rule.hold = Some(scalar(sink, &key, node)),
            "keep_firing_for" => rule.keep_firing_for = Some(scalar(sink, &key, node)),
            "labels" => (rule.labels, rule.labels_reported) = labels(sink, node),
            "annotations" => rule.annotations = words(sink, node, "annotations"),
            _ => unknown(sink, &key, "a rule", RULE_KEYS),
        }
    }
    rule
}

fn detect(sink: &mut Sink<'_>, key: &Text, node: Node) -> RawDetect {
    let mut detect = RawDetect { span: key.span.clone(), ..RawDetect::default() };
    if !node.is_empty() && !matches!(node.value, Value::Map(_)) {
        // Reported below as the wrong shape; a missing measure would be the same fault again.
        detect.measure = Some(Text { value: String::new(), span: key.span.clone() });
    }
    for (key, node) in mapping(sink, node, "`detect`") {
        match key.value.as_str() {
            "measure" => detect.measure = Some(scalar(sink, &key, node)),
            "quantile" => detect.quantile = Some(scalar(sink, &key, node)),
            "component" => detect.component = Some(scalar(sink, &key, node)),
            word if BOUND_KEYS.contains(&word) => {
                let value = scalar(sink, &key, node);
                detect.bounds.push((key, value));
            }
            "false_alarms" => detect.false_alarms = Some(scalar(sink, &key, node)),
            "arl0" => detect.arl0 = Some(scalar(sink, &key, node)),
            "grade" => detect.grade = Some(scalar(sink, &key, node)),
            "chart" => detect.chart = Some(scalar(sink, &key, node)),
            "guarantee" => detect.guarantee = Some(scalar(sink, &key, node)),
            "burn_rate" => detect.burn_rate = Some(scalar(sink, &key, node)),
            "long" => detect.long = Some(scalar(sink, &key, node)),
            "short" => detect.short = Some(scalar(sink, &key, node)),
            _ => unknown(sink, &key, "`detect`", DETECT_KEYS),
        }
    }
    detect
}

/// A map's entries. Nothing written is an empty map, as in Prometheus.
fn mapping(sink: &mut Sink<'_>, node: Node, owner: &str) -> Vec<(Text, Node)> {
    let what = node.what();
    let empty = node.is_empty();
    if let Value::Map(entries) = node.value {
        return entries;
    }
    if !empty {
        sink.error(&node.span, format!("{owner} is a mapping, found {what}"), "write `key: value` lines");
    }
    Vec::new()
}

fn list(sink: &mut Sink<'_>, node: Node, key: &str) -> Vec<Node> {
    let what = node.what();
    let empty = node.is_empty();
    if let Value::List(items) = node.value {
        return items;
    }
    if !empty {
        sink.error(&node.span, format!("`{key}` is a list, found {what}"), "start every entry with `- `");
    }
    Vec::new()
}

/// Text that must be there. Where it is not, the fault is reported and the text comes back empty, so that nobody
/// reports it once more as missing.
fn scalar(sink: &mut Sink<'_>, key: &Text, node: Node) -> Text {
    let what = node.what();
    match node.value {
        Value::Scalar(value) if !value.trim().is_empty() => return Text { value, span: node.span },
        Value::Scalar(_) => {
            let message = format!("`{}` is empty", key.value);
            sink.error(&key.span, message, "write a value, or remove the key");
        }
        Value::List(_) | Value::Map(_) => {
            let message = format!("`{}` is one value, found {what}", key.value);
            sink.error(&node.span, message, help_for_nested(sink.text(), &node.span));
        }
    }
    Text { value: String::new(), span: key.span.clone() }
}

/// `where`, `labels` and `annotations`: names and text. Values may be empty, names are checked later.
fn words(sink: &mut Sink<'_>, node: Node, owner: &str) -> Vec<(Text, Text)> {
    let mut found = Vec::new();
    for (key, node) in mapping(sink, node, &format!("`{owner}`")) {
        let what = node.what();
        match node.value {
            Value::Scalar(value) => found.push((key, Text { value, span: node.span })),
            Value::List(_) | Value::Map(_) => {
                let message = format!("`{}` in `{owner}` is one value, found {what}", key.value);
                let help = help_for_nested(sink.text(), &node.span);
                sink.error(&node.span, message, help);
            }
        }
    }
    found
}

/// `labels`, and whether some of it could not be read.
fn labels(sink: &mut Sink<'_>, node: Node) -> (Vec<(Text, Text)>, bool) {
    let faults = sink.errors();
    let labels = words(sink, node, "labels");
    (labels, sink.errors() > faults)
}

/// Unquoted `{{ agent }}` is YAML for a mapping in a mapping, and everybody writes it once.
fn help_for_nested(text: &str, span: &Range<usize>) -> &'static str {
    if text.get(span.start..).is_some_and(|rest| rest.starts_with("{{")) {
        "quote text that starts with a template: \"{{ agent }} ...\""
    } else {
        "write one word or quoted text"
    }
}

fn unknown(sink: &mut Sink<'_>, key: &Text, owner: &str, known: &[&str]) {
    let message = format!("{owner} has no key {}", quoted(&key.value));
    let help = STRANGERS.iter().find(|(name, _)| *name == key.value).map(|(_, help)| (*help).to_owned());
    let help = help
        .or_else(|| did_you_mean(&key.value, known).map(|word| format!("did you mean `{word}`?")))
        .unwrap_or_else(|| format!("its keys are: {}", known.join(", ")));
    sink.error(&key.span, message, help);
}

/// The first line of a group or rule: underlining all of it would hide the place.
fn first_line(sink: &Sink<'_>, node: &Node) -> Range<usize> {
    let start = node.span.start;
    let rest = sink.text().get(start..node.span.end).unwrap_or_default();
    start..start + rest.lines().next().map_or(0, |line| line.trim_end().len())
}

//! Edits of single values of a rule file's text: everything else stays as it was written, byte for byte.
//!
//! Values are replaced where they stand, in the style in which they stand. A key that is missing is put where it usually
//! stands, in the style of its mapping. The result is read again and compared, so that an edit changes that one value or
//! nothing.

use std::ops::Range;

use super::compile::Source;
use super::diagnostic::{Diagnostic, Sink, quoted};
use super::parse::{DETECT_KEYS, RULE_KEYS};
use super::yaml::{self, Node, Text, Value};

/// Keys of a rule that hold further keys.
const MAPPINGS: [&str; 4] = ["where", "detect", "labels", "annotations"];
/// Words that other readers of YAML take for something else than text.
const NO_TEXT: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "null", "~"];

/// Why an edit is not possible.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The file cannot be read as YAML; the faults say why.
    #[error("the file is no YAML, so there is nothing to edit")]
    NotYaml(Vec<Diagnostic>),
    /// No rule has that name.
    #[error("no alert is called {}; {hint}", quoted(.alert))]
    NoAlert {
        /// What was asked for.
        alert: String,
        /// Which there are.
        hint: String,
    },
    /// Several rules have that name.
    #[error("several alerts are called {}: {ids}; name one of these", quoted(.alert))]
    Ambiguous {
        /// What was asked for.
        alert: String,
        /// The rules as `group/alert`.
        ids: String,
    },
    /// The key does not name one value.
    #[error("{} names no single value; {help}", quoted(.key))]
    Key {
        /// What was asked for.
        key: String,
        /// What to write.
        help: String,
    },
    /// The edit would have changed something else, or would not have been read back.
    #[error("{} cannot be set without changing more than that; edit the file by hand", quoted(.key))]
    Unsure {
        /// What was asked for.
        key: String,
    },
}

/// The value of a rule's key as written (`for`, `detect.drop`, `labels.severity`), nothing where it is not written. The rule is
/// named by its alert, or as `group/alert`.
pub fn get(source: &Source, alert: &str, key: &str) -> Result<Option<String>, EditError> {
    let root = read(source)?;
    let rule = find(&root, alert)?;
    let (top, sub) = path(key)?;
    let found = entry(rule, top).map(|(_, node)| node);
    let found = match sub {
        Some(sub) => found.and_then(|node| entry(node, sub)).map(|(_, node)| node),
        None => found,
    };
    Ok(found.and_then(|node| if let Value::Scalar(text) = &node.value { Some(text.clone()) } else { None }))
}

/// The file's text with one value of one rule set. The rule is named by its alert, or as `group/alert`; the key like `for`,
/// `detect.drop` or `labels.severity`. Whether the result is a right rule file is for [`super::compile()`] to say.
pub fn set(source: &Source, alert: &str, key: &str, value: &str) -> Result<String, EditError> {
    let root = read(source)?;
    let rule = find(&root, alert)?;
    let (top, sub) = path(key)?;
    let text = source.text.as_str();
    let free = matches!(top, "where" | "labels" | "annotations");
    let change = match (sub, entry(rule, top)) {
        (None, _) => in_mapping(text, rule, (top, RULE_KEYS), value, free),
        (Some(sub), None) => {
            let inner = format!("{top}: {{ {sub}: {} }}", word(value, true, free));
            insert(text, rule, (top, RULE_KEYS), &inner)
        }
        (Some(sub), Some((name, node))) => match &node.value {
            Value::Map(_) => {
                let order = if top == "detect" { DETECT_KEYS } else { &[] };
                in_mapping(text, node, (sub, order), value, free)
            }
            Value::Scalar(_) if node.is_empty() => {
                let at = if node.span.is_empty() { after_colon(text, name) } else { node.span.clone() };
                let blank = if node.span.is_empty() { " " } else { "" };
                Some((at, format!("{blank}{{ {sub}: {} }}", word(value, true, free))))
            }
            Value::Scalar(_) | Value::List(_) => None,
        },
    };
    let unsure = || EditError::Unsure { key: key.to_owned() };
    let (at, with) = change.ok_or_else(unsure)?;
    let (before, after) = text.get(..at.start).zip(text.get(at.end..)).ok_or_else(unsure)?;
    let edited = format!("{before}{with}{after}");
    let place = [place_of(&root, rule), [top.to_owned()].into(), sub.map(str::to_owned).into_iter().collect()].concat();
    if is_that_change(&root, &edited, &place, value) { Ok(edited) } else { Err(unsure()) }
}

fn read(source: &Source) -> Result<Node, EditError> {
    let mut sink = Sink::new(&source.name, &source.text);
    let root = yaml::read(&mut sink);
    let faults = sink.finish();
    if faults.iter().any(Diagnostic::is_error) {
        return Err(EditError::NotYaml(faults));
    }
    Ok(root.unwrap_or(Node { span: 0..0, value: Value::Map(Vec::new()) }))
}

/// `detect.drop` as its two parts.
fn path(key: &str) -> Result<(&str, Option<&str>), EditError> {
    let fault = |help: String| EditError::Key { key: key.to_owned(), help };
    match key.split_once('.') {
        None if MAPPINGS.contains(&key) => Err(fault(format!("write {key}.NAME"))),
        None if key.is_empty() => Err(fault(format!("keys are {}", RULE_KEYS.join(", ")))),
        None => Ok((key, None)),
        Some((top, sub)) if MAPPINGS.contains(&top) && !sub.is_empty() => Ok((top, Some(sub))),
        Some(_) => Err(fault(format!("only {} have further keys", MAPPINGS.join(", ")))),
    }
}

fn entry<'n>(node: &'n Node, key: &str) -> Option<(&'n Text, &'n Node)> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(name, _)| name.value == key).map(|(name, node)| (name, node))
}

fn items<'n>(node: &'n Node, key: &str) -> &'n [Node] {
    match entry(node, key).map(|(_, node)| &node.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn scalar<'n>(node: &'n Node, key: &str) -> &'n str {
    match entry(node, key).map(|(_, node)| &node.value) {
        Some(Value::Scalar(text)) => text,
        _ => "",
    }
}

/// The rule of that name, which must be the only one.
fn find<'n>(root: &'n Node, alert: &str) -> Result<&'n Node, EditError> {
    let groups = items(root, "groups").iter();
    let rules = groups.flat_map(|group| items(group, "rules").iter().map(move |rule| (scalar(group, "name"), rule)));
    let all: Vec<(String, &Node)> =
        rules.map(|(group, rule)| (format!("{group}/{}", scalar(rule, "alert")), rule)).collect();
    let found: Vec<&(String, &Node)> =
        all.iter().filter(|(id, rule)| id == alert || scalar(rule, "alert") == alert).collect();
    let join = |ids: &mut dyn Iterator<Item = &String>| ids.map(|id| quoted(id)).collect::<Vec<_>>().join(", ");
    match found.as_slice() {
        [(_, rule)] => Ok(rule),
        [] if all.is_empty() => {
            Err(EditError::NoAlert { alert: alert.to_owned(), hint: "the file has none".to_owned() })
        }
        [] => {
            let hint = format!("there are {}", join(&mut all.iter().map(|(id, _)| id).take(20)));
            Err(EditError::NoAlert { alert: alert.to_owned(), hint })
        }
        several => {
            let ids = join(&mut several.iter().map(|(id, _)| id));
            Err(EditError::Ambiguous { alert: alert.to_owned(), ids })
        }
    }
}

/// What to write instead of what.
type Change = (Range<usize>, String);

/// Sets a key of a mapping, whether it is there or not.
fn in_mapping(text: &str, map: &Node, (key, order): (&str, &[&str]), value: &str, free: bool) -> Option<Change> {
    let in_flow = is_flow(text, map);
    if let Some(there) = entry(map, key) {
        return replace(text, in_flow, there, value, free);
    }
    insert(text, map, (key, order), &format!("{key}: {}", word(value, in_flow, free)))
}

fn is_flow(text: &str, map: &Node) -> bool {
    text.get(map.span.start..).is_some_and(|rest| rest.starts_with('{'))
}

/// Writes another value in the place and the style of the one that stands there.
fn replace(text: &str, in_flow: bool, (name, node): (&Text, &Node), value: &str, free: bool) -> Option<Change> {
    let Value::Scalar(_) = &node.value else { return None };
    if node.span.is_empty() {
        return Some((after_colon(text, name), format!(" {}", word(value, in_flow, free))));
    }
    let old = text.get(node.span.clone())?;
    let between = text.get(name.span.end..node.span.start)?;
    let header = between.find(['|', '>']).map(|at| name.span.end + at);
    let with = match (header, old.chars().next()?) {
        (Some(header), _) => return in_block(text, header, node, value),
        (None, '\'') if !value.chars().any(char::is_control) => format!("'{}'", value.replace('\'', "''")),
        (None, '"' | '\'') => double(value),
        (None, _) => word(value, in_flow, free),
    };
    Some((node.span.start..node.span.start + old.trim_end().len(), with))
}

/// Another value for a block scalar (`|` or `>`): its lines where they fit, quoted text in place of all of it where not.
fn in_block(text: &str, header: usize, node: &Node, value: &str) -> Option<Change> {
    // Blanks at the end of the last line belong to it, what follows does not.
    let content = node.span.start + text.get(node.span.clone())?.trim_end().len();
    let line = text.get(content..)?.lines().next().unwrap_or_default();
    let end = content + line.len();
    let sign = text.get(header..node.span.start)?;
    let folded_lines = sign.starts_with('>') && value.contains('\n');
    let indicator = sign.lines().next()?.contains(|c: char| c.is_ascii_digit());
    let odd = |line: &str| line.starts_with([' ', '\t']) || line.chars().any(char::is_control);
    let lines: Vec<&str> = value.trim_end_matches('\n').split('\n').collect();
    if folded_lines || indicator || value.trim().is_empty() || lines.iter().any(|line| odd(line)) {
        return Some((header..end, double(value)));
    }
    let line_start = text.get(..node.span.start)?.rfind('\n').map_or(0, |at| at + 1);
    let indent = " ".repeat(node.span.start - line_start);
    let mut with = String::new();
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            with.push_str(line_end(text));
            with.push_str(if line.is_empty() { "" } else { &indent });
        }
        with.push_str(line);
    }
    Some((node.span.start..end, with))
}

/// The place after a key's colon, where nothing is written.
fn after_colon(text: &str, name: &Text) -> Range<usize> {
    let colon = text.get(name.span.end..).and_then(|rest| rest.find(':')).unwrap_or(0);
    let at = name.span.end + colon + 1;
    at..at
}

/// Puts an entry into a mapping, after the one that usually stands before it.
fn insert(text: &str, map: &Node, (key, order): (&str, &[&str]), piece: &str) -> Option<Change> {
    let Value::Map(entries) = &map.value else { return None };
    let rank = |key: &str| order.iter().position(|known| *known == key);
    let after = match rank(key) {
        Some(own) => {
            entries.iter().rposition(|(name, _)| rank(&name.value).is_some_and(|rank| rank < own)).unwrap_or(0)
        }
        None => entries.len().saturating_sub(1),
    };
    let Some((name, node)) = entries.get(after) else {
        let at = map.span.start + 1;
        let closes = text.get(at..).is_some_and(|rest| rest.starts_with('}'));
        return Some((at..at, format!(" {piece}{}", if closes { " " } else { "" })));
    };
    let end = content_end(text, name, node);
    if is_flow(text, map) {
        return Some((end..end, format!(", {piece}")));
    }
    let rest = text.get(end..)?;
    let line = rest.find('\n').map_or(rest.len(), |at| at);
    let at = end + rest.get(..line)?.trim_end_matches('\r').len();
    let (first, _) = entries.first()?;
    let line_start = text.get(..first.span.start)?.rfind('\n').map_or(0, |at| at + 1);
    let indent = text.get(line_start..first.span.start)?.trim_start_matches('\u{feff}').chars().count();
    Some((at..at, format!("{}{}{piece}", line_end(text), " ".repeat(indent))))
}

/// Where the last sign of an entry stands.
fn content_end(text: &str, name: &Text, node: &Node) -> usize {
    let of_last = match &node.value {
        _ if is_closed(text, node) => None,
        Value::Map(entries) => entries.last().map(|(name, node)| content_end(text, name, node)),
        Value::List(items) => items.last().map(|node| content_end(text, name, node)),
        Value::Scalar(_) => None,
    };
    of_last.unwrap_or_else(|| {
        let written = text.get(node.span.clone()).unwrap_or_default().trim_end();
        if written.is_empty() { after_colon(text, name).end } else { node.span.start + written.len() }
    })
}

/// Whether a mapping or list has its own closing sign.
fn is_closed(text: &str, node: &Node) -> bool {
    text.get(node.span.start..).is_some_and(|rest| rest.starts_with(['{', '[']))
}

/// The line ends of the file.
fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// A value as it is written where nothing stands yet: bare where YAML reads the same, quoted where not.
fn word(value: &str, in_flow: bool, free: bool) -> String {
    let lower = value.to_lowercase();
    let is_text = !free || !(NO_TEXT.contains(&lower.as_str()) || value.parse::<f64>().is_ok());
    let sample = if in_flow { format!("{{ k: {value} }}") } else { format!("k: {value}\n") };
    let mut sink = Sink::new("", &sample);
    let reads_back = yaml::read(&mut sink).is_some_and(|node| match node.value {
        Value::Map(entries) => {
            entries.len() == 1 && entries.iter().all(|(_, node)| matches!(&node.value, Value::Scalar(v) if v == value))
        }
        Value::Scalar(_) | Value::List(_) => false,
    });
    let bare = is_text && reads_back && !value.is_empty() && !value.starts_with(['"', '\'', '|', '>']);
    if bare { value.to_owned() } else { double(value) }
}

/// A value in double quotes.
fn double(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                // Hexadecimal digits, four of them: all such signs lie in the basic plane.
                out.push_str("\\u");
                let code = u32::from(c);
                out.extend([12, 8, 4, 0].map(|shift| char::from_digit(code >> shift & 0xf, 16).unwrap_or('0')));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The steps from the root to a rule.
fn place_of(root: &Node, rule: &Node) -> Vec<String> {
    for (group, node) in items(root, "groups").iter().enumerate() {
        if let Some(at) = items(node, "rules").iter().position(|one| std::ptr::eq(one, rule)) {
            return ["groups".to_owned(), group.to_string(), "rules".to_owned(), at.to_string()].into();
        }
    }
    Vec::new()
}

/// All values with the steps that lead to them.
fn flat(node: &Node, place: &mut Vec<String>, out: &mut Vec<(Vec<String>, String)>) {
    let mut below = |step: String, node: &Node| {
        place.push(step);
        flat(node, place, out);
        place.truncate(place.len() - 1);
    };
    match &node.value {
        Value::Scalar(text) => out.push((place.clone(), text.clone())),
        Value::List(items) => items.iter().enumerate().for_each(|(at, node)| below(at.to_string(), node)),
        Value::Map(entries) => entries.iter().for_each(|(name, node)| below(name.value.clone(), node)),
    }
}

/// Whether the edited text says what the old one said, but for that value.
fn is_that_change(old: &Node, edited: &str, place: &[String], value: &str) -> bool {
    let mut sink = Sink::new("", edited);
    let Some(new) = yaml::read(&mut sink).filter(|_| sink.errors() == 0) else { return false };
    let all = |node: &Node| {
        let mut out = Vec::new();
        flat(node, &mut Vec::new(), &mut out);
        out
    };
    let (old, new) = (all(old), all(&new));
    let is_set =
        new.iter().any(|(at, text)| at == place && text.trim_end_matches('\n') == value.trim_end_matches('\n'));
    // An empty `labels:` is a value that turns into a mapping.
    let others = |all: Vec<(Vec<String>, String)>| -> Vec<_> {
        let own = |at: &[String], text: &str| at == place || (text.is_empty() && place.starts_with(at));
        all.into_iter().filter(|(at, text)| !own(at, text)).collect()
    };
    is_set && others(old) == others(new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::rule::{Compiled, Listed, compile};

    fn source(text: &str) -> Source {
        Source { name: "r.yaml".to_owned(), text: text.to_owned() }
    }

    fn edit(text: &str, key: &str, value: &str) -> String {
        set(&source(text), "A", key, value).unwrap_or_else(|error| panic!("{key}={value}: {error}"))
    }

    const BLOCK: &str = "# head\ngroups:\n  - name: g   # the group\n    rules:\n      - alert: A # first\n        # why\n        \
                         detect:\n          measure: accuracy\n          drop: 2pp   # points\n\n        for: 5m\n        \
                         annotations:\n          summary: |\n            one\n            two\n\n          other: 'it''s'\n\n      \
                         - { alert: B, detect: { measure: cost, rise: 20% } } # flow\n# tail\n";

    #[test]
    fn values_are_replaced_where_they_stand() {
        assert_eq!(edit(BLOCK, "detect.drop", "3pp"), BLOCK.replace("2pp", "3pp"));
        assert_eq!(edit(BLOCK, "for", "1h"), BLOCK.replace("5m", "1h"));
        assert_eq!(edit(BLOCK, "annotations.other", "that's"), BLOCK.replace("'it''s'", "'that''s'"));
        assert_eq!(edit(BLOCK, "annotations.summary", "three"), BLOCK.replace("one\n            two", "three"));
        assert_eq!(
            edit(BLOCK, "annotations.summary", " x"),
            BLOCK.replace("|\n            one\n            two", "\" x\"")
        );
        let flow = set(&source(BLOCK), "g/B", "detect.rise", "30%").expect("set");
        assert_eq!(flow, BLOCK.replace("20%", "30%"));
    }

    #[test]
    fn missing_keys_are_put_where_they_usually_stand() {
        let after = |line: &str, more: &str| BLOCK.replacen(line, &format!("{line}{more}"), 1);
        assert_eq!(edit(BLOCK, "enabled", "false"), after("alert: A # first", "\n        enabled: false"));
        assert_eq!(edit(BLOCK, "detect.grade", "drifting"), after("2pp   # points", "\n          grade: drifting"));
        assert_eq!(edit(BLOCK, "keep_firing_for", "1h"), after("for: 5m", "\n        keep_firing_for: 1h"));
        assert_eq!(edit(BLOCK, "where.agent", "in-*"), after("alert: A # first", "\n        where: { agent: in-* }"));
        assert_eq!(edit(BLOCK, "labels.cost", "12"), after("for: 5m", "\n        labels: { cost: \"12\" }"));
        assert_eq!(edit(BLOCK, "annotations.more", "a: b"), after("'it''s'", "\n          more: \"a: b\""));
        let flow = set(&source(BLOCK), "B", "labels.severity", "info").expect("set");
        assert_eq!(flow, after("rise: 20% }", ", labels: { severity: info }"));
        let flow = set(&source(BLOCK), "B", "detect.arl0", "500").expect("set");
        assert_eq!(flow, after("rise: 20%", ", arl0: 500"));
    }

    #[test]
    fn empty_mappings_and_values_are_filled() {
        let with =
            |labels: &str| format!("groups:\n- name: g\n  rules:\n  - alert: A\n    labels:{labels}\n    for: 0s\n");
        for empty in ["", " {}", " ~", " { }"] {
            let edited = edit(&with(empty), "labels.severity", "info");
            assert_eq!(edited.replace("{  severity: info", "{ severity: info"), with(" { severity: info }"), "{empty}");
        }
        assert_eq!(edit(&with(" { severity: }"), "labels.severity", "info"), with(" { severity: info }"));
    }

    #[test]
    fn line_ends_and_a_missing_last_one_survive() {
        let dos = BLOCK.replace('\n', "\r\n");
        assert_eq!(
            edit(&dos, "detect.grade", "drifting"),
            edit(BLOCK, "detect.grade", "drifting").replace('\n', "\r\n")
        );
        let marked = format!("\u{feff}{BLOCK}");
        assert_eq!(edit(&marked, "for", "1h"), marked.replace("5m", "1h"));
        let open = "groups:\n- name: g\n  rules:\n  - alert: A\n    for: 5m";
        assert_eq!(edit(open, "keep_firing_for", "1h"), format!("{open}\n    keep_firing_for: 1h"));
    }

    #[test]
    fn what_is_not_one_value_of_one_rule_is_refused() {
        let fault =
            |text: &str, alert: &str, key: &str| set(&source(text), alert, key, "x").expect_err(key).to_string();
        assert!(fault(BLOCK, "C", "for").contains("there are `g/A`, `g/B`"));
        assert!(fault(BLOCK, "A", "detect").contains("detect.NAME"));
        assert!(fault(BLOCK, "A", "for.x").contains("only where, detect, labels, annotations"));
        assert!(fault("groups: [", "A", "for").contains("no YAML"));
        assert!(fault("", "A", "for").contains("has none"));
        let twice = "groups:\n- {name: g, rules: [{alert: A}]}\n- {name: h, rules: [{alert: A}]}\n";
        assert!(fault(twice, "A", "for").contains("`g/A`, `h/A`"));
        assert_eq!(
            set(&source(twice), "h/A", "for", "5m").expect("set"),
            twice.replace("h, rules: [{alert: A", "h, rules: [{alert: A, for: 5m")
        );
        let list = "groups:\n- name: g\n  rules:\n  - {alert: A, for: [a]}\n";
        assert!(fault(list, "A", "for").contains("by hand"));
    }

    fn rule_text() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            "\"[a-z #:]{0,9}\"",
            "'[a-z #:]{0,9}'",
            "v[a-z]{1,5}",
            Just("|\n            x\n            y\n".to_owned())
        ];
        let comment = prop_oneof![Just(String::new()), Just(" # w\u{e9}\u{1f600}".to_owned())];
        (value, comment, any::<bool>(), any::<bool>()).prop_map(|(summary, comment, flow, dos)| {
            let comment = if summary.ends_with('\n') { String::new() } else { comment };
            let detect = if flow { " { measure: accuracy, drop: 2pp }" } else { "\n          measure: accuracy\n          drop: 2pp" };
            let text = format!(
                "groups:\n  - name: g\n    rules:\n      - alert: A{comment}\n        detect:{detect}{comment}\n        \
                 annotations:\n          summary: {summary}{comment}\n      - {{ alert: B, detect: {{ measure: cost, rise: 20% }} }}\n"
            );
            if dos { text.replace('\n', "\r\n") } else { text }
        })
    }

    proptest! {
        #[test]
        fn setting_and_setting_back_gives_the_same_bytes(text in rule_text(), value in "[ -~]{1,12}") {
            let before = get(&source(&text), "A", "annotations.summary").expect("there").expect("a value");
            let there = set(&source(&text), "A", "annotations.summary", &value);
            // A block scalar cannot come back once it had to be quoted.
            if let Ok(there) = there {
                let read = get(&source(&there), "A", "annotations.summary").expect("there").expect("a value");
                prop_assert_eq!(read.trim_end_matches('\n'), &value);
                let back = set(&source(&there), "A", "annotations.summary", before.trim_end_matches('\n')).expect("set back");
                let quoted = text.contains('|') && !there.contains("summary: |");
                let bare = text.contains("summary: ") && there.contains("summary: \"") && !text.contains("summary: \"");
                prop_assert!(back == text || quoted || bare, "{:?}\n{:?}\n{:?}", text, there, back);
            }
        }

        #[test]
        fn only_that_rule_changes(text in rule_text(), key in prop_oneof![Just("for"), Just("detect.arl0"), Just("labels.team"), Just("enabled")]) {
            let value = match key { "for" => "5m", "detect.arl0" => "500", "enabled" => "false", _ => "x" };
            let edited = set(&source(&text), "A", key, value).expect("set");
            let (old, new) = (compile(&[source(&text)]), compile(&[source(&edited)]));
            if old.rules.is_some() {
                prop_assert!(new.rules.is_some(), "{:?}", new.diagnostics);
                let other = |listed: &Listed| listed.rule.alert == "B";
                let of = |compiled: &Compiled| compiled.listed.iter().find(|l| other(l)).map(|l| l.rule.clone());
                prop_assert_eq!(of(&old), of(&new));
                prop_assert_ne!((&old.listed[0].rule, old.listed[0].enabled), (&new.listed[0].rule, new.listed[0].enabled));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-a-zA{}\\[\\]:,&|>'\"# \\n\\r]{0,80}", key in "[a-z.]{0,12}", value in any::<String>()) {
            let rule = format!("groups:\n- name: g\n  rules:\n  - alert: A\n    {text}");
            _ = set(&source(&rule), "A", &key, &value).is_ok();
            _ = set(&source(&text), "A", &key, &value).is_ok();
        }
    }
}

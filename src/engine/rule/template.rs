//! Annotations: minijinja cut down to what a sentence needs, so that no template can hold the engine up.
//!
//! Text that came from agents is only ever a value. What a template may do is bounded three times: by its words (no
//! `set`, no macros, no repetition operator, so text cannot grow by doubling), by fuel, and by the size of what it
//! prints.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, filters};

use super::Rule;

/// Largest rendered annotation in bytes.
pub const MAX_OUTPUT: usize = 8 * 1024;
/// Longest template in bytes.
pub(super) const MAX_TEMPLATE: usize = 8 * 1024;
/// Instructions a rendering may take: a hundred times what a long description takes, milliseconds of work.
const FUEL: u64 = 20_000;
/// What stands at the end of an annotation that was cut.
const CUT: &str = " [cut]";

/// Variables that the engine fills in, besides the labels of stream and rule.
pub const VARIABLES: &[&str] = &[
    "accuracy_by",
    "accuracy_estimate",
    "accuracy_interval",
    "accuracy_invalid",
    "accuracy_labels",
    "accuracy_labels_interval",
    "agent",
    "alert",
    "baseline",
    "baseline_interval",
    "changed_at",
    "changed_between",
    "drop",
    "drop_interval",
    "estimate",
    "interval",
    "labels",
    "labels_differ",
    "labels_in",
    "labels_usual",
    "limit",
    "meaning",
    "method",
    "moved",
    "outputs",
    "samples",
    "severity",
    "statistic",
    "stream",
    "task",
    "version",
    "version_before",
];

/// A fault of a template: what, and where in the template's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) help: String,
    /// Bytes in the template, where they are known.
    pub(super) range: Option<Range<usize>>,
    /// Line in the template, from 1.
    pub(super) line: usize,
}

impl Rule {
    /// The annotations as text for people. `values` are the engine's [`VARIABLES`] and the stream's labels, already
    /// formatted; the rule's labels are added where no value has that name. An annotation that cannot be rendered
    /// says so in its place: an alert is never lost over its prose.
    pub fn annotate(&self, values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut context = self.labels.clone();
        context.extend(values.iter().map(|(name, value)| (name.clone(), value.clone())));
        let environment = environment();
        let text = |template: &String| match render(&environment, template, &context) {
            Ok(text) => text,
            Err(fault) => format!("(this annotation could not be rendered: {fault})"),
        };
        self.annotations.iter().map(|(name, template)| (name.clone(), text(template))).collect()
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(8);
    // Missing values print nothing: an alert with a gap is better than none.
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    // Escaping is for the sinks: what is right in HTML is wrong in Slack.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_debug(true);
    environment.add_filter("default", filters::default);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);
    environment.add_test("defined", minijinja::tests::is_defined);
    environment.add_test("undefined", minijinja::tests::is_undefined);
    environment
}

fn render(
    environment: &Environment<'_>,
    template: &str,
    context: &BTreeMap<String, String>,
) -> Result<String, minijinja::Error> {
    let mut out = Capped::default();
    let rendered = environment.template_from_str(template)?.render_captured_to(context, &mut out).map(|_| ());
    match rendered {
        Err(fault) if !out.full => Err(fault),
        _ => Ok(out.finish()),
    }
}

/// Output that refuses more than [`MAX_OUTPUT`] bytes.
#[derive(Default)]
struct Capped {
    bytes: Vec<u8>,
    full: bool,
}

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_OUTPUT.saturating_sub(self.bytes.len());
        self.bytes.extend(bytes.iter().take(room));
        if bytes.len() > room {
            self.full = true;
            return Err(io::Error::other("the output is full"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Capped {
    fn finish(mut self) -> String {
        if self.full {
            self.bytes.truncate(MAX_OUTPUT - CUT.len());
            // The cut may have split a character.
            let whole = match std::str::from_utf8(&self.bytes) {
                Ok(text) => text.len(),
                Err(fault) => fault.valid_up_to(),
            };
            self.bytes.truncate(whole);
            self.bytes.extend(CUT.as_bytes());
        }
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Everything that is wrong with a template, tried with all values and with none.
pub(super) fn check(template: &str) -> Result<(), Fault> {
    if template.len() > MAX_TEMPLATE {
        let message = format!("the text has {} bytes", template.len());
        let help = format!("an annotation has at most {MAX_TEMPLATE} bytes");
        return Err(Fault { message, help, range: None, line: 1 });
    }
    if let Some((range, word)) = forbidden(template) {
        let message = format!("`{word}` is not available in annotations");
        let help = "templates have {{ name }}, if, for, and the filters default, lower, trim, upper".to_owned();
        let line = template.get(..range.start).unwrap_or_default().matches('\n').count() + 1;
        return Err(Fault { message, help, range: Some(range), line });
    }
    let environment = environment();
    let full: BTreeMap<String, String> = VARIABLES.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
    for context in [full, BTreeMap::new()] {
        render(&environment, template, &context).map_err(|fault| explained(template, &fault))?;
    }
    Ok(())
}

fn explained(template: &str, fault: &minijinja::Error) -> Fault {
    let detail =
        fault.detail().map_or_else(|| fault.kind().to_string(), |detail| format!("{}: {detail}", fault.kind()));
    let help = match fault.kind() {
        minijinja::ErrorKind::UnknownFilter => "filters are: default, lower, trim, upper",
        minijinja::ErrorKind::UnknownFunction => "there are no functions; write {{ name }}",
        minijinja::ErrorKind::OutOfFuel => "the template does too much work; write plain text with {{ name }}",
        _ if template.contains("$labels") || template.contains("$value") => {
            "write {{ agent }} and {{ estimate }} where Prometheus has {{ $labels.agent }} and {{ $value }}"
        }
        _ if detail.contains("expected end of block") => {
            "close {% if ... %} with {% endif %}, {% for ... %} with {% endfor %}"
        }
        _ => "write values as {{ name }}, and close {{ with }}",
    };
    Fault {
        message: format!("the template cannot be read: {detail}"),
        help: help.to_owned(),
        range: fault.range(),
        line: fault.line().unwrap_or(1),
    }
}

/// Names that the template uses and that are neither the engine's nor in `labels`. `labels.team` counts as a name.
pub(super) fn unknown_variables(template: &str, labels: &BTreeSet<&str>) -> Vec<String> {
    let environment = environment();
    let Ok(template) = environment.template_from_str(template) else {
        return Vec::new();
    };
    // The set is unordered; messages are not.
    let names: BTreeSet<String> = template.undeclared_variables(true).into_iter().collect();
    let known = |name: &String| VARIABLES.contains(&name.as_str()) || labels.contains(name.as_str());
    names.into_iter().filter(|name| !known(name) && name != "loop" && !name.starts_with("loop.")).collect()
}

/// The first word or sign inside a tag that could make text grow without bound.
fn forbidden(template: &str) -> Option<(Range<usize>, String)> {
    const STATEMENTS: &[&str] = &["if", "elif", "else", "endif", "for", "endfor"];
    let mut at = 0;
    loop {
        let rest = template.get(at..)?;
        let open = ["{{", "{%", "{#"].iter().filter_map(|tag| rest.find(tag)).min()?;
        let kind = rest.get(open..open + 2)?;
        let start = at + open + 2;
        if kind == "{#" {
            at = start + template.get(start..)?.find("#}")? + 2;
            continue;
        }
        let close = if kind == "{{" { "}}" } else { "%}" };
        let end = tag_end(template, start, close);
        for (index, (range, token)) in tokens(template, start, end).into_iter().enumerate() {
            let statement = kind == "{%" && index == 0;
            let refused = matches!(token, "*" | "{" | "recursive") || (statement && !STATEMENTS.contains(&token));
            if refused {
                return Some((range, token.to_owned()));
            }
        }
        at = end + 2;
    }
}

/// Where a tag's closing sign stands, past any quoted text.
fn tag_end(template: &str, start: usize, close: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    let rest = template.get(start..).unwrap_or_default();
    for (at, c) in rest.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if rest.get(at..).is_some_and(|rest| rest.starts_with(close)) => return start + at,
            Some(_) | None => {}
        }
    }
    template.len()
}

/// Words and signs between two places, without quoted text and blanks.
fn tokens(template: &str, start: usize, end: usize) -> Vec<(Range<usize>, &str)> {
    let mut found = Vec::new();
    let mut at = start;
    while let Some(c) = template.get(at..end).and_then(|rest| rest.chars().next()) {
        let rest = template.get(at..end).unwrap_or_default();
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let length = match c {
            '"' | '\'' => tag_end_of_quote(rest, c),
            _ if word > 0 => word,
            _ => c.len_utf8(),
        };
        // `{%-` and `{{+` trim blanks; they are no words.
        let trims = at == start && matches!(c, '-' | '+');
        if !c.is_whitespace() && !trims && c != '"' && c != '\'' {
            found.push((at..at + length, template.get(at..at + length).unwrap_or_default()));
        }
        at += length;
    }
    found
}

/// The length of a quoted text, quotes included.
fn tag_end_of_quote(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render_text(template: &str, values: &[(&str, &str)]) -> Result<String, String> {
        let context = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        render(&environment(), template, &context).map_err(|fault| fault.to_string())
    }

    #[test]
    fn text_of_agents_is_never_a_template() {
        let text = render_text("{{ agent }} & co", &[("agent", "{{ 7 * 7 }} <b>")]);
        assert_eq!(text.as_deref(), Ok("{{ 7 * 7 }} <b> & co"));
    }

    #[test]
    fn missing_values_print_nothing() {
        assert_eq!(render_text("[{{ version }}{{ a.b.c }}]", &[]).as_deref(), Ok("[]"));
        assert_eq!(render_text("{{ version|default('unknown') }}", &[]).as_deref(), Ok("unknown"));
    }

    #[test]
    fn output_is_cut_at_a_character() {
        let text = render_text("x{{ agent }}", &[("agent", &"\u{e9}".repeat(MAX_OUTPUT))]).expect("cut, not refused");
        assert!(text.len() <= MAX_OUTPUT && text.len() > MAX_OUTPUT - 8, "{}", text.len());
        assert!(text.ends_with("\u{e9} [cut]"));
    }

    #[test]
    fn bombs_are_refused_or_run_out_of_fuel() {
        for bomb in [
            "{% set a = agent ~ agent %}",
            "{%- set a = 1 %}",
            "{{ 'x' * 1000000 }}",
            "{% if '%}' %}{% set a = 1 %}{% endif %}",
            "{% for a in ['%}'] recursive %}{{ loop([a ~ a]) }}{% endfor %}",
            "{{ {'}}': 1} }}{{ 'a' * 9 }}",
            "{# {{ #}{% raw %}{% endraw %}",
            "{% include 'x' %}",
            "{{ range(9) }}",
            "{{ agent|replace('a', 'aa') }}",
        ] {
            assert!(check(bomb).is_err(), "{bomb}");
        }
        let nested = "{% for a in [1,2,3,4,5,6,7,8,9,0] %}".repeat(6) + &"{% endfor %}".repeat(6);
        let fault = check(&nested).expect_err("a million turns");
        assert!(fault.message.contains("fuel"), "{fault:?}");
    }

    #[test]
    fn prose_may_have_stars_and_braces() {
        for fine in
            ["*bold* {x} {{ agent }} * {", "{{ agent ~ '*{' }}", "{% if version -%} a {%- else %} b {% endif %}"]
        {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
    }

    #[test]
    fn a_fault_at_run_time_stands_in_the_annotation() {
        let template = "{% if version == 'x' %}{{ nothing() }}{% endif %}".to_owned();
        let fault = render_text(&template, &[("version", "x")]).expect_err("no such function");
        assert!(fault.contains("nothing"), "{fault}");
    }

    #[test]
    fn unknown_names_are_listed() {
        let known = BTreeSet::from(["team"]);
        let names = unknown_variables("{{ team }} {{ agent }} {{ labels.team }} {{ estmate }}", &known);
        assert_eq!(names, ["estmate", "labels.team"]);
        let loops = "{% for x in [1] %}{{ x }}{{ loop.index }}{% endfor %}";
        assert_eq!(unknown_variables(loops, &known), Vec::<String>::new());
    }
}

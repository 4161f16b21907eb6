//! What is wrong with a rule file: where, what was found, what would be accepted.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource};

use crate::engine::text::turns;

/// Faults reported of one file. A file that is not a rule file at all has one on every line, and nobody reads on.
const PER_FILE: usize = 200;

/// Whether the rules are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The whole set is refused.
    Error,
    /// The set is accepted; the operator should look.
    Warning,
}

impl Severity {
    /// The word printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One fault of one file.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Whether the rules are refused for it.
    pub severity: Severity,
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1; 0 when the fault is of the whole file.
    pub line: usize,
    /// The column in characters, from 1; 0 when the fault is of the whole file.
    pub column: usize,
    /// What was found.
    pub message: String,
    /// What would be accepted.
    pub help: String,
    place: Option<Place>,
}

/// Where in the text a fault lies, for the picture.
#[derive(Clone, Debug)]
struct Place {
    source: Arc<NamedSource<String>>,
    span: Range<usize>,
}

impl Diagnostic {
    /// A fault of a whole file: it cannot be read, is not UTF-8, is a directory.
    pub fn of_file(file: &str, message: &str, help: &str) -> Self {
        Self {
            severity: Severity::Error,
            file: harmless(file),
            line: 0,
            column: 0,
            message: harmless(message),
            help: harmless(help),
            place: None,
        }
    }

    /// Whether the rules are refused for it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    /// One line, in the form editors jump to: `file:line:column: error: found; accepted`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        write!(f, " {}: {}", self.severity.as_str(), self.message)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, "; {}", self.help) }
    }
}

impl std::error::Error for Diagnostic {}

/// Draws the diagnostics with their lines of source, for a terminal `width` columns wide.
pub fn render(diagnostics: &[Diagnostic], colour: bool, width: usize) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    // Links would be decided by looking at the terminal, which is the caller's business.
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(width).with_context_lines(1);
    let mut out = String::new();
    for diagnostic in diagnostics {
        if handler.render_report(&mut out, &Picture(diagnostic)).is_err() {
            out.push_str(&diagnostic.to_string());
        }
        out.push('\n');
    }
    out
}

/// A diagnostic as miette draws it: the place stands above the source, not in the headline.
#[derive(Debug)]
struct Picture<'a>(&'a Diagnostic);

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.place.is_none() {
            write!(f, "{}: ", self.0.file)?;
        }
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Picture<'_> {}

impl miette::Diagnostic for Picture<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.0.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.0.help.is_empty()).then(|| Box::new(&self.0.help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.0.place.as_ref().map(|place| place.source.as_ref() as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.0.place.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::underline(place.span.clone()))))
    }
}

/// Gathers the faults of one file.
pub(super) struct Sink<'a> {
    file: &'a str,
    text: &'a str,
    source: Arc<NamedSource<String>>,
    /// Where the lines start.
    lines: Vec<usize>,
    found: Vec<Diagnostic>,
    left_out: usize,
}

impl<'a> Sink<'a> {
    /// A sink for faults in `text`.
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        let source = Arc::new(NamedSource::new(harmless(file), harmless_same_length(text)));
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, text, source, lines, found: Vec::new(), left_out: 0 }
    }

    /// The text that is being read.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// The file's name, harmless to print.
    pub(super) fn file(&self) -> String {
        harmless(self.file)
    }

    /// The line of a place in this file, from 1.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.line_and_column(span.start).0
    }

    /// How many faults refuse the set so far.
    pub(super) fn errors(&self) -> usize {
        self.found.iter().filter(|diagnostic| diagnostic.is_error()).count()
    }

    /// Reports a fault that refuses the set.
    pub(super) fn error(&mut self, span: &Range<usize>, message: impl AsRef<str>, help: impl AsRef<str>) {
        self.push(Severity::Error, span, message.as_ref(), help.as_ref());
    }

    /// Reports something that the operator should look at.
    pub(super) fn warning(&mut self, span: &Range<usize>, message: impl AsRef<str>, help: impl AsRef<str>) {
        self.push(Severity::Warning, span, message.as_ref(), help.as_ref());
    }

    /// `file:line:column` of a place in this file.
    pub(super) fn place(&self, span: &Range<usize>) -> String {
        let (line, column) = self.line_and_column(span.start);
        format!("{}:{line}:{column}", harmless(self.file))
    }

    /// Line and column, from 1, of a byte offset; the column counts characters, as editors do.
    fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        (line, self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1)
    }

    fn push(&mut self, severity: Severity, span: &Range<usize>, message: &str, help: &str) {
        // Errors are never crowded out by warnings.
        if self.found.len() >= PER_FILE && (severity == Severity::Warning || self.errors() >= PER_FILE) {
            self.left_out += 1;
            return;
        }
        let (line, column) = self.line_and_column(span.start);
        self.found.push(Diagnostic {
            severity,
            file: harmless(self.file),
            line,
            column,
            message: harmless(message),
            help: harmless(help),
            place: Some(Place { source: Arc::clone(&self.source), span: span.clone() }),
        });
    }

    /// The faults in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column, diagnostic.severity));
        if self.left_out > 0 {
            let message = format!("{} more faults in this file are not shown", self.left_out);
            let severity =
                if self.found.iter().any(Diagnostic::is_error) { Severity::Error } else { Severity::Warning };
            self.found
                .push(Diagnostic { severity, ..Diagnostic::of_file(self.file, &message, "mend those above first") });
        }
        self.found
    }
}

/// Whether printing the character could do more to a terminal than show it.
fn is_harmful(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t') || turns(c)
}

/// The text on one line, without characters that steer a terminal: rule files are read by root's terminal too.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) || c == '\n' { '\u{fffd}' } else { c }).collect()
}

/// The same for source text, where byte offsets must stay what they are.
fn harmless_same_length(text: &str) -> String {
    let instead = |c: char| match c.len_utf8() {
        _ if !is_harmful(c) => c,
        1 => ' ',
        2 => '\u{bf}',
        _ => '\u{fffd}',
    };
    text.chars().map(instead).collect()
}

/// Text of a file as it is quoted in a message: short, and in backticks.
pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    if short.len() < text.len() { format!("`{short}...`") } else { format!("`{short}`") }
}

/// The candidate that was probably meant, if one is close.
pub(super) fn did_you_mean<'a>(found: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let found: Vec<char> = found.chars().take(64).flat_map(char::to_lowercase).collect();
    let close = (found.len() / 3).clamp(1, 3);
    let distances = candidates.iter().map(|candidate| (distance(&found, candidate), *candidate));
    distances.filter(|(distance, _)| *distance <= close).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// Edits (insert, delete, replace, swap neighbours) between two words: optimal string alignment.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&row, j) + usize::from(x != y)).min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            if i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x) {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let words = ["accuracy", "latency", "cost"];
        assert_eq!(did_you_mean("acuracy", &words), Some("accuracy"));
        assert_eq!(did_you_mean("latecny", &words), Some("latency"));
        assert_eq!(did_you_mean("Cost", &words), Some("cost"));
        assert_eq!(did_you_mean("throughput", &words), None);
        assert_eq!(did_you_mean("", &words), None);
    }

    #[test]
    fn columns_count_characters_and_the_terminal_is_safe() {
        let text = "a: 1\n\u{fc}\u{1b}b: x\n";
        let mut sink = Sink::new("r\u{1b}.yaml", text);
        sink.error(&(8..9), "found \u{1b}[2J", "write x");
        let found = sink.finish();
        assert_eq!(found[0].to_string(), "r\u{fffd}.yaml:2:3: error: found \u{fffd}[2J; write x");
        let drawn = render(&found, false, 80);
        assert!(!drawn.contains('\u{1b}'), "{drawn}");
        assert!(drawn.contains("write x"), "{drawn}");
        assert!(render(&found, true, 80).contains('\u{1b}'));
    }

    #[test]
    fn a_flood_of_faults_is_cut_and_stays_an_error() {
        let mut sink = Sink::new("r.yaml", "x");
        for _ in 0..300 {
            sink.warning(&(0..1), "w", "");
        }
        sink.error(&(0..1), "e", "");
        let found = sink.finish();
        assert_eq!(found.len(), 202);
        assert!(found.iter().any(|d| d.message == "e"));
        assert_eq!(found[201].message, "100 more faults in this file are not shown");
    }
}

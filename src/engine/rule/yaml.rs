//! YAML text -> a tree that remembers where everything stood. Anchors, aliases and tags are refused, depth is bounded.
//!
//! The tree is built from parser events and not by serde, which would stop at the first fault.

use std::ops::Range;

use serde_saphyr::granit_parser as granit;

use super::diagnostic::{Sink, quoted};
use granit::{Event, Parser, StrInput};

/// Largest rule file in bytes. Two thousand rules are smaller; anything larger is the wrong file. Whoever reads files
/// need not read more than one byte past it.
pub const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting. A rule needs seven levels.
const MAX_DEPTH: usize = 16;
/// Most nodes in a file: what 2,000 generous rules need.
const MAX_NODES: usize = 200_000;

/// Text and where it stood, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) value: String,
    pub(super) span: Range<usize>,
}

impl Text {
    /// Whether nothing usable was written, which has been reported already.
    pub(super) fn is_reported(&self) -> bool {
        self.value.trim().is_empty()
    }
}

/// A value and where it stood.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

/// A value. Scalars stay text: `1.10` is a version and `5` a duration's fault, not numbers.
#[derive(Debug)]
pub(super) enum Value {
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Text, Node)>),
}

impl Node {
    /// Nothing was written: `key:` alone, or `~`.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.value, Value::Scalar(text) if text.is_empty())
    }

    /// What stands there, for messages.
    pub(super) fn what(&self) -> String {
        match &self.value {
            Value::Scalar(text) if text.is_empty() => "nothing".to_owned(),
            Value::Scalar(text) => quoted(text),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// Why reading stopped; the sink knows already.
struct Stop;

/// The tree of a file, or nothing when it has no content or is not YAML. Faults go to the sink.
pub(super) fn read(sink: &mut Sink<'_>) -> Option<Node> {
    let text = sink.text();
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes", text.len());
        sink.error(&(0..0), message, format!("a rule file has at most {MAX_BYTES} bytes; split it"));
        return None;
    }
    let mut options = granit::options! { emit_unresolved_aliases: true, disallow_directives: true };
    options.set_emit_comments(false);
    let parser = Parser::new_from_str_with_options(text, options);
    Reader { sink, parser, nodes: 0 }.document().ok().flatten()
}

struct Reader<'s, 'a> {
    sink: &'s mut Sink<'a>,
    parser: Parser<'a, StrInput<'a>>,
    nodes: usize,
}

impl<'a> Reader<'_, 'a> {
    fn next(&mut self) -> Result<(Event<'a>, Range<usize>), Stop> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.byte_range().unwrap_or(0..0))),
            Some(Err(fault)) => {
                self.not_yaml(&fault);
                Err(Stop)
            }
            None => Ok((Event::StreamEnd, 0..0)),
        }
    }

    fn not_yaml(&mut self, fault: &granit::ScanError) {
        let text = self.sink.text();
        let mut at = fault.marker().byte_offset().unwrap_or(0).min(text.len());
        // A fault at the end of the text has no character to point at: point at the last one.
        if at == text.len() {
            at = text.trim_end().len();
        }
        let end = text.get(at..).and_then(|rest| rest.chars().next()).map_or(at, |c| at + c.len_utf8());
        let help = match fault.kind() {
            granit::ErrorKind::RecursionLimitExceeded => "nothing in a rule file is nested that deep",
            granit::ErrorKind::MissingAnchorOrAliasName => "a glob that starts with * must be quoted: \"*\"",
            granit::ErrorKind::TabInBlockIndentation | granit::ErrorKind::TabInIndentation => {
                "indent with spaces, YAML allows no tabs"
            }
            _ => {
                "mend the YAML here or just above: often a bracket or quote left open, indentation that differs from \
                  the line above, or `: ` in unquoted text"
            }
        };
        self.sink.error(&(at..end), format!("not YAML: {}", fault.info()), help);
    }

    fn document(&mut self) -> Result<Option<Node>, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_none() => {
                    let (event, span) = self.next()?;
                    let node = self.node(event, span, 0)?;
                    root = (!node.is_empty()).then_some(node);
                }
                Event::DocumentStart(..) => {
                    self.sink.error(&span, "a second YAML document starts here", "a rule file holds one; remove `---`");
                    return Err(Stop);
                }
                _ => return Ok(root),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Range<usize>, depth: usize) -> Result<Node, Stop> {
        self.nodes += 1;
        if self.nodes > MAX_NODES || depth > MAX_DEPTH {
            let what = if depth > MAX_DEPTH { "nesting is too deep" } else { "the file has too many values" };
            self.sink.error(&span, what, format!("at most {MAX_DEPTH} levels and {MAX_NODES} values are read"));
            return Err(Stop);
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse(&span, anchor, tag.is_some())?;
                let plain = style == granit::ScalarStyle::Plain;
                let text = if plain && matches!(text.as_ref(), "~" | "null") { "" } else { text.as_ref() };
                Ok(Node { span, value: Value::Scalar(text.to_owned()) })
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse(&span, anchor, tag.is_some())?;
                self.list(span, depth)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse(&span, anchor, tag.is_some())?;
                self.map(span, depth)
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let found = self.sink.text().get(span.clone()).unwrap_or("*");
                let message = format!("{} is read as a YAML alias, which rule files do not have", quoted(found));
                self.sink.error(&span, message, format!("quote it if it is a glob: \"{}\"", found.trim()));
                Err(Stop)
            }
            _ => Ok(Node { span, value: Value::Scalar(String::new()) }),
        }
    }

    fn refuse(&mut self, span: &Range<usize>, anchor: usize, tagged: bool) -> Result<(), Stop> {
        if anchor != 0 {
            let help = "write the value out where it is needed, or quote text that starts with &";
            self.sink.error(span, "a YAML anchor (&name), which rule files do not have", help);
            return Err(Stop);
        }
        if tagged {
            let help = "leave the tag out, or quote text that starts with !";
            self.sink.error(span, "a YAML tag (!name), which rule files do not have", help);
            return Err(Stop);
        }
        Ok(())
    }

    fn list(&mut self, span: Range<usize>, depth: usize) -> Result<Node, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::SequenceEnd | Event::StreamEnd) {
                return Ok(Node { span: span.start..at.end.max(span.end), value: Value::List(items) });
            }
            items.push(self.node(event, at, depth + 1)?);
        }
    }

    fn map(&mut self, span: Range<usize>, depth: usize) -> Result<Node, Stop> {
        let mut entries: Vec<(Text, Node)> = Vec::new();
        let mut seen = std::collections::BTreeMap::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                return Ok(Node { span: span.start..at.end.max(span.end), value: Value::Map(entries) });
            }
            let key = self.node(event, at, depth + 1)?;
            let what = key.what();
            let Value::Scalar(name) = key.value else {
                let help = "keys are words; quote templates: \"{{ agent }} ...\"";
                self.sink.error(&key.span, format!("{what} where a key is expected"), help);
                return Err(Stop);
            };
            let (event, at) = self.next()?;
            let value = self.node(event, at, depth + 1)?;
            if let Some(first) = seen.insert(name.clone(), key.span.clone()) {
                let message = format!("the key {} is written twice", quoted(&name));
                let help = format!("the first is at {}; keep one", self.sink.place(&first));
                self.sink.error(&key.span, message, help);
                continue;
            }
            entries.push((Text { value: name, span: key.span }, value));
        }
    }
}

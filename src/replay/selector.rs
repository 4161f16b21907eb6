//! Which streams something concerns: globs over labels, as in a rule's `where`.

use std::collections::BTreeMap;
use std::fmt;

use globset::GlobMatcher;

use crate::engine::Group;
use crate::engine::rule::compiled_glob;
use crate::engine::units::Timestamp;

/// Globs over the labels agent, task and version; every one must match. Without any, everything matches.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    globs: BTreeMap<String, GlobMatcher>,
    /// The labels of the one stream that is meant, where it is one.
    stream: Option<BTreeMap<String, String>>,
}

impl Selector {
    /// A selector of these globs by label.
    ///
    /// # Errors
    /// A label that events do not have, or a glob that is none, with what would be right.
    pub fn new(globs: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut selector = Self::default();
        for (label, glob) in globs {
            label.parse::<Group>()?;
            let compiled = compiled_glob(glob).map_err(|error| format!("`{glob}` is not a glob: {}", error.kind()))?;
            selector.globs.insert(label.clone(), compiled.compile_matcher());
        }
        Ok(selector)
    }

    /// The one stream with these labels.
    #[must_use]
    pub(super) fn exactly(labels: &BTreeMap<String, String>) -> Self {
        Self { globs: BTreeMap::new(), stream: Some(labels.clone()) }
    }

    /// Whether something with these labels is meant. A label that it lacks matches no glob.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.globs.iter().all(|(label, glob)| labels.get(label).is_some_and(|value| glob.is_match(value)))
            && self.stream.as_ref().is_none_or(|stream| stream == labels)
    }

    /// The labels that it names.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.globs.keys().map(String::as_str)
    }

    /// The same without labels that streams do not have: what is meant lies somewhere in the streams that are left.
    #[must_use]
    pub fn of_streams(&self, group_by: &[Group]) -> Self {
        let has = |label: &String| group_by.iter().any(|group| group.as_str() == label);
        let globs = self.globs.iter().filter(|(label, _)| has(label)).map(|(l, g)| (l.clone(), g.clone())).collect();
        Self { globs, stream: self.stream.clone() }
    }
}

impl fmt::Display for Selector {
    /// `agent=invoice-*, task=eu`, or `every stream`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.globs.is_empty() {
            return f.write_str("every stream");
        }
        let parts: Vec<String> = self.globs.iter().map(|(label, glob)| format!("{label}={}", glob.glob())).collect();
        f.write_str(&parts.join(", "))
    }
}

/// A moment as people write it.
///
/// # Errors
/// What is wrong with it: no RFC 3339, or not between the years 1980 and 2200.
pub fn time(text: &str) -> Result<Timestamp, String> {
    match text.parse() {
        Ok(time) if (Timestamp::MIN..=Timestamp::MAX).contains(&time) => Ok(time),
        Ok(_) => Err(format!("`{text}` does not lie between the years 1980 and 2200")),
        Err(_) => Err(format!("`{text}` is not a time; write it like 2026-01-05T00:00:00Z")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_matches_itself_alone_whatever_it_is_called() {
        let labels = |name: &str| BTreeMap::from([("agent".to_owned(), name.to_owned())]);
        for name in ["a", "a*", "[x]", "{a,b}", "a\\b", "a/b", "?", "!x", ""] {
            let own = Selector::exactly(&labels(name));
            assert!(own.matches(&labels(name)) && !own.matches(&labels("ab")), "{name}");
        }
    }

    #[test]
    fn globs_match_whole_values_and_what_streams_do_not_have_is_left_out() {
        let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
        };
        let selector = Selector::new(&pairs(&[("agent", "invoice-*"), ("task", "eu")])).unwrap();
        assert!(selector.matches(&pairs(&[("agent", "invoice-a/b"), ("task", "eu")])));
        assert!(!selector.matches(&pairs(&[("agent", "an-invoice-a"), ("task", "eu")])));
        assert!(!selector.matches(&pairs(&[("agent", "invoice-a")])), "a label that is not there matches nothing");
        let of_streams = selector.of_streams(&[Group::Agent]);
        assert!(of_streams.matches(&pairs(&[("agent", "invoice-a")])));
        assert_eq!(
            (selector.to_string(), Selector::default().to_string()),
            ("agent=invoice-*, task=eu".to_owned(), "every stream".to_owned())
        );
    }
}

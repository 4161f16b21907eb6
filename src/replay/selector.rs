//! Which streams something concerns: globs over labels, as in a rule's `where`.

use std::collections::BTreeMap;
use std::fmt;

use globset::{GlobBuilder, GlobMatcher};

use crate::engine::Group;
use crate::engine::units::Timestamp;

/// Globs over the labels agent, task and version; every one must match. Without any, everything matches.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    globs: BTreeMap<String, GlobMatcher>,
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
            // `*` also matches `/`, because labels are not paths.
            let compiled = GlobBuilder::new(glob).literal_separator(false).backslash_escape(true).build();
            let compiled = compiled.map_err(|error| format!("`{glob}` is not a glob: {}", error.kind()))?;
            selector.globs.insert(label.clone(), compiled.compile_matcher());
        }
        Ok(selector)
    }

    /// The one stream with these labels.
    #[must_use]
    pub(super) fn exactly(labels: &BTreeMap<String, String>) -> Self {
        let escaped = labels.iter().map(|(label, value)| (label.clone(), globset::escape(value))).collect();
        // An escaped text is a glob, and streams have no other labels than events.
        Self::new(&escaped).unwrap_or_default()
    }

    /// Whether something with these labels is meant. A label that it lacks matches no glob.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.globs.iter().all(|(label, glob)| labels.get(label).is_some_and(|value| glob.is_match(value)))
    }

    /// The labels that it names.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.globs.keys().map(String::as_str)
    }

    /// The same without labels that streams do not have: what is meant lies somewhere in the streams that are left.
    #[must_use]
    pub fn of_streams(&self, group_by: &[Group]) -> Self {
        let has = |label: &String| group_by.iter().any(|group| group.as_str() == label);
        Self { globs: self.globs.iter().filter(|(label, _)| has(label)).map(|(l, g)| (l.clone(), g.clone())).collect() }
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
    let read = text.parse::<jiff::Timestamp>().map(|time| Timestamp::from_millis(time.as_millisecond()));
    match read {
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
        for name in ["a", "a*", "[x]", "{a,b}", "a\\b", "a/b", "?", "!x", ""] {
            let labels = |name: &str| BTreeMap::from([("agent".to_owned(), name.to_owned())]);
            let own = Selector::exactly(&labels(name));
            assert_eq!(own.labels().count(), 1, "{name}");
            assert!(own.matches(&labels(name)) && !own.matches(&labels("ab")), "{name}: {own}");
        }
    }
}

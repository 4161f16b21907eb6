//! Which streams a rule watches: globs over labels.

use std::collections::BTreeMap;

use globset::{Glob, GlobBuilder};

use super::Rule;

/// Longest glob. It keeps the compiled pattern small.
pub(super) const MAX_GLOB: usize = 256;

impl Rule {
    /// Whether the rule watches a stream with these labels. A label that the stream lacks matches no glob.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        matches(&self.selector, labels)
    }
}

/// Whether a stream with these labels matches all of these globs. A label that it lacks matches no glob.
pub fn matches(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(name, glob)| labels.get(name).is_some_and(|value| glob_matches(glob, value)))
}

/// Whether a glob matches one value only: itself.
pub fn is_word(glob: &str) -> bool {
    !glob.contains(['*', '?', '[', ']', '{', '}', '\\', '!'])
}

/// Whether a value matches a glob. Nearly all globs are words with `*`; those are matched at once, without compiling
/// a pattern, because after a restart every rule meets every stream.
fn glob_matches(glob: &str, value: &str) -> bool {
    if glob.contains(['?', '[', ']', '{', '}', '\\', '!']) || glob.contains("**") {
        return compiled(glob).is_ok_and(|glob| glob.compile_matcher().is_match(value));
    }
    let mut parts = glob.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = value.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

/// A glob as it is understood here: `*` also matches `/`, because labels are not paths.
///
/// # Errors
/// Text that is no glob.
pub fn compiled(glob: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(glob).literal_separator(false).backslash_escape(true).build()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn globs_match_whole_values() {
        for (glob, value, expected) in [
            ("invoice-*", "invoice-triage", true),
            ("invoice-*", "an-invoice-triage", false),
            ("*", "", true),
            ("*", "a/b", true),
            ("a*b*c", "a/b/c", true),
            ("a*ba*ab", "abab", false),
            ("{red,blue}-?", "blue-1", true),
            ("[a-c]x", "dx", false),
            ("", "x", false),
            ("", "", true),
        ] {
            assert_eq!(glob_matches(glob, value), expected, "{glob} {value}");
        }
    }

    proptest! {
        #[test]
        fn stars_mean_what_globset_says(glob in "[ab/.*]{0,8}", value in "[ab/.]{0,10}") {
            prop_assume!(!glob.contains("**"));
            let matcher = compiled(&glob).expect("only stars").compile_matcher();
            prop_assert_eq!(glob_matches(&glob, &value), matcher.is_match(&value), "{} {}", glob, value);
        }
    }
}

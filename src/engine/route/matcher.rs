//! `severity="critical"`, `team=~"invoices|contracts"`: which alerts are meant, in Alertmanager's words.
//!
//! Grammar and meaning are those of Alertmanager's matchers: a label that is not there has the empty value, and a regular
//! expression matches the whole value.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// Longest matcher.
const MAX_LENGTH: usize = 4_096;
/// Most bytes that a compiled expression may take.
const MAX_COMPILED: usize = 256 << 10;

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Op {
    Equal,
    NotEqual,
    Matches,
    MatchesNot,
}

impl Op {
    /// The longer signs first: `=` begins `=~`.
    const ALL: [(Self, &'static str); 4] =
        [(Self::Matches, "=~"), (Self::MatchesNot, "!~"), (Self::NotEqual, "!="), (Self::Equal, "=")];

    fn sign(self) -> &'static str {
        Self::ALL.iter().find(|(op, _)| *op == self).map_or("", |(_, sign)| sign)
    }
}

/// One condition on one label. Written and stored as text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Matcher {
    name: String,
    op: Op,
    value: String,
    regex: Option<Regex>,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

/// Why text is not a matcher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// There is no operator, or no label before it.
    #[error("`{0}` is not a matcher; write it like severity=\"critical\", or with !=, =~, !~")]
    Syntax(String),
    /// The label's name has signs that label names have not.
    #[error("`{0}` is not a label name; write letters, digits and _")]
    Name(String),
    /// The regular expression cannot be used.
    #[error("`{0}` is not a regular expression: {1}")]
    Regex(String, String),
    /// The text is too long.
    #[error("the matcher is longer than {MAX_LENGTH} bytes")]
    TooLong,
}

impl Matcher {
    /// A matcher for one value of one label.
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), op: Op::Equal, value: value.to_owned(), regex: None }
    }

    /// Whether a label set meets the condition.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.name).map_or("", String::as_str);
        let found = self.regex.as_ref().map_or_else(|| value == self.value, |regex| regex.is_match(value));
        found == matches!(self.op, Op::Equal | Op::Matches)
    }

    /// Whether the condition holds for a label set that has none of the labels.
    pub fn matches_empty(&self) -> bool {
        self.matches(&BTreeMap::new())
    }
}

/// Whether a label set meets all conditions.
pub fn all_match(matchers: &[Matcher], labels: &BTreeMap<String, String>) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

impl FromStr for Matcher {
    type Err = MatcherError;

    fn from_str(text: &str) -> Result<Self, MatcherError> {
        if text.len() > MAX_LENGTH {
            return Err(MatcherError::TooLong);
        }
        let syntax = || MatcherError::Syntax(text.chars().take(80).collect());
        let at = text.find(['=', '!']).ok_or_else(syntax)?;
        let (name, rest) = text.split_at(at);
        let (op, rest) =
            Op::ALL.iter().find_map(|(op, sign)| Some((*op, rest.strip_prefix(sign)?))).ok_or_else(syntax)?;
        let name = name.trim();
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(if name.is_empty() { syntax() } else { MatcherError::Name(name.chars().take(80).collect()) });
        }
        let value = unquoted(rest.trim()).ok_or_else(syntax)?;
        let regex = matches!(op, Op::Matches | Op::MatchesNot).then(|| compiled(&value)).transpose()?;
        Ok(Self { name: name.to_owned(), op, value, regex })
    }
}

/// The value between quotes with its escapes undone, or the bare word.
fn unquoted(text: &str) -> Option<String> {
    let Some(quoted) = text.strip_prefix('"') else { return (!text.contains('"')).then(|| text.to_owned()) };
    let quoted = quoted.strip_suffix('"')?;
    let mut value = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                same @ ('"' | '\\') => value.push(same),
                // A regular expression's own escapes stay what they are, as in Alertmanager.
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    Some(value)
}

fn compiled(value: &str) -> Result<Regex, MatcherError> {
    let told = |error: regex::Error| {
        let why = match error {
            regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
            // The message shows the whole expression; its last line says what is wrong.
            other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        };
        MatcherError::Regex(value.chars().take(80).collect(), why)
    };
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(MAX_COMPILED).build().map_err(told);
    // Alone first: `a)|(b` is none, but between brackets it would be two, of which neither matches the whole value.
    build(value)?;
    build(&format!("^(?s:{value})$"))
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(f, "{}{}\"{value}\"", self.name, self.op.sign())
    }
}

impl From<Matcher> for String {
    fn from(matcher: Matcher) -> Self {
        matcher.to_string()
    }
}

impl TryFrom<String> for Matcher {
    type Error = MatcherError;

    fn try_from(text: String) -> Result<Self, MatcherError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn matchers_mean_what_alertmanager_means() {
        let critical = labels(&[("severity", "critical"), ("team", "invoices")]);
        for (text, expected) in [
            ("severity=\"critical\"", true),
            ("severity = critical", true),
            ("severity!=critical", false),
            ("team=~\"inv.*|contracts\"", true),
            ("team=~\"inv\"", false),
            ("team!~\"inv.*\"", false),
            ("region=\"\"", true),
            ("region!=\"\"", false),
            ("region=~\"|eu\"", true),
        ] {
            let matcher: Matcher = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(matcher.matches(&critical), expected, "{text}");
        }
        // An alternative is one whole value, not a part of one.
        assert!(!"team=~\"a|inv\"".parse::<Matcher>().unwrap().matches(&critical));
    }

    #[test]
    fn no_expression_closes_the_brackets_that_make_it_match_whole_values() {
        for text in [
            "team=~\"a)|(inv\"",
            "team=~\"a)|(?:inv\"",
            "team=~\"x)|.*(?:y\"",
            "team=~\"(?x) inv # \"",
            "team=~\"inv\\\\\"",
        ] {
            if let Ok(matcher) = text.parse::<Matcher>() {
                panic!("{text} is taken, and compiled to {:?}", matcher.regex);
            }
        }
    }

    #[test]
    fn what_is_no_matcher_is_told_why() {
        for text in ["", "severity", "=x", "a b=c", "a=\"b", "a=b\"", "a=~\"(\"", "1a=b", "a=~\"(?:a{1000}){1000}\""] {
            let error = text.parse::<Matcher>().expect_err(text);
            assert!(error.to_string().len() > 10, "{error}");
        }
        let huge = format!("a={}", "x".repeat(MAX_LENGTH));
        assert_eq!(huge.parse::<Matcher>(), Err(MatcherError::TooLong));
    }

    proptest! {
        #[test]
        fn text_and_matcher_are_the_same(value in any::<String>(), not in any::<bool>()) {
            prop_assume!(value.len() < 1_000);
            let mut matcher = Matcher::equal("agent", &value);
            if not {
                matcher.op = Op::NotEqual;
            }
            prop_assert_eq!(matcher.to_string().parse::<Matcher>(), Ok(matcher));
        }
    }
}

//! What an operator's rule says to a machine: where the runbook is, and how bad it is.

use super::address::{Policy, check};
use super::page::{is_over, severity};
use crate::engine::alert::Crossing;
use crate::engine::route::Message;

/// Links of one message.
const LINKS_MAX: usize = 10;
/// Longest link, in bytes.
const LINK_LENGTH: usize = 1_000;

/// The different runbooks of a message's alerts, in their order: `https` only, for the text may hold an agent's name.
pub(super) fn runbooks(message: &Message) -> Vec<String> {
    let mut links: Vec<String> = Vec::new();
    for text in message.crossings.iter().filter_map(|crossing| crossing.annotations.get("runbook_url")) {
        if links.len() < LINKS_MAX && is_link(text) && !links.contains(text) {
            links.push(text.clone());
        }
    }
    links
}

/// Whether a text is a web address and nothing else: the characters of RFC 3986, https, no user name.
pub(super) fn is_link(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b);
    text.len() <= LINK_LENGTH
        && text.bytes().all(plain)
        && check(text, Policy { allow_http: false, allow_private: true }).is_ok()
}

/// Whether an alert fires that the rule calls critical.
pub(super) fn is_critical(crossing: &Crossing) -> bool {
    !is_over(crossing) && severity(crossing).is_some_and(|s| s.eq_ignore_ascii_case("critical"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_https_and_nothing_else() {
        for fine in ["https://runbooks.example/a?b=c&d=e#f", "https://[2001:db8::1]:8443/x", "https://10.0.0.1/x"] {
            assert!(is_link(fine), "{fine}");
        }
        for bad in [
            "http://runbooks.example/",
            "javascript:alert(1)",
            "https://a.example/|<!channel>",
            "https://a.example/\"onload",
            "https://user@a.example/",
            "https://a.example/ü",
            "https://a.example/a b",
            "",
        ] {
            assert!(!is_link(bad), "{bad}");
        }
        assert!(!is_link(&format!("https://a.example/{}", "x".repeat(LINK_LENGTH))));
    }
}

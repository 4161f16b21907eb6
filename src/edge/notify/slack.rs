//! Messages to a Slack channel by an incoming webhook, as one coloured attachment.
//!
//! Text from agents is `plain_text` or has formatting off, so that a name can neither mention a channel nor become a
//! link. The one link is the operator's runbook.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use super::address::Policy;
use super::clean::line;
use super::http::{Target, post, printable};
use super::links::runbooks;
use super::notes::before;
use super::page::{Block, Page, Row};
use super::secret::Secret;
use super::settings::{HttpTimeouts, Url};
use super::{Attempt, DeliveryError, FailureClass, FailureKind};
use crate::engine::route::{Message, Status};

/// Characters that a section of Slack's takes, as sent.
const SECTION_MAX: usize = 3_000;
/// Alerts told one by one in one message: a message of Slack's holds 50 blocks, and people read fewer.
const ALERTS_SHOWN: usize = 10;
/// Longest text of one row, in characters.
const ROW_MAX: usize = 400;

/// A Slack channel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlackSettings {
    /// The file with the incoming webhook's address, which is a secret.
    pub url_file: Secret,
    /// Whether plain `http` is allowed.
    #[serde(default)]
    pub allow_http: bool,
    /// Whether loopback, link-local and private addresses are allowed.
    #[serde(default)]
    pub allow_private: bool,
    /// Certificates (PEM) to trust instead of the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long one attempt may take. Not for operators.
    #[serde(skip, default)]
    pub timeouts: HttpTimeouts,
}

/// Posts the message once. Only status 200 with the body `ok` is a yes.
pub(super) fn deliver(settings: &SlackSettings, message: &Message, attempt: Attempt) -> Result<(), DeliveryError> {
    let url = Url::new(printable(&settings.url_file)?);
    let target = Target {
        url: &url,
        policy: Policy { allow_http: settings.allow_http, allow_private: settings.allow_private },
        ca_file: settings.ca_file.as_deref(),
        timeouts: settings.timeouts,
    };
    let body = serde_json::to_vec(&body(message, attempt)).map_err(|e| DeliveryError::build(e.to_string()))?;
    let answer = post(&target, &[], &body, attempt.now).map_err(|e| repairable(e, settings))?;
    if answer.status == 200 && answer.body.trim_ascii() == b"ok" {
        Ok(())
    } else {
        let told = format!("{url} answered {} without `ok`; is that address an incoming webhook?", answer.status);
        Err(DeliveryError::retry(FailureClass::ServerError, told))
    }
}

/// An address that is refused is a fault of the file, which people mend; the message waits for them.
fn repairable(error: DeliveryError, settings: &SlackSettings) -> DeliveryError {
    if error.class == FailureClass::RefusedAddress && error.kind == FailureKind::Permanent {
        let told = format!("the address in {}: {}", settings.url_file.path().display(), error.detail);
        return DeliveryError::retry(FailureClass::RefusedAddress, told);
    }
    error
}

/// The message as Slack takes it.
pub fn body(message: &Message, attempt: Attempt) -> Value {
    let page = if attempt.fallback { Page::fallback(message, attempt.now) } else { Page::of(message) };
    let mut blocks = Vec::new();
    let noted = before(&page, message, attempt.fallback);
    if !noted.is_empty() {
        blocks.push(section(&noted.join("\n")));
    }
    blocks.extend(page.blocks.iter().take(ALERTS_SHOWN).map(|block| section(&told(block))));
    let more = page.more + page.blocks.len().saturating_sub(ALERTS_SHOWN);
    if more > 0 {
        blocks.push(section(&format!("and {more} more")));
    }
    let links = if attempt.fallback { Vec::new() } else { runbooks(message) };
    if !links.is_empty() {
        let links: Vec<String> = links.iter().map(|link| format!("<{}|Runbook>", escape(link, 1_000))).collect();
        blocks.push(json!({
            "type": "section",
            "text": {"type": "mrkdwn", "verbatim": true, "text": within(&links)},
        }));
    }
    blocks.push(json!({
        "type": "context",
        "elements": [{"type": "plain_text", "emoji": false, "text": escape(&format!("Message {}", message.id), 200)}],
    }));
    let headline = escape(&page.subject, SECTION_MAX);
    json!({
        "text": headline,
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "attachments": [{"color": colour(message), "fallback": headline, "blocks": blocks}],
    })
}

fn told(block: &Block) -> String {
    let mut lines: Vec<String> = block.title.iter().cloned().collect();
    lines.push(line(&block.lead, ROW_MAX * 2));
    let rows = block.facts.iter().chain(&block.advice).chain(&block.ids);
    // The runbook is a link of its own below.
    lines.extend(
        rows.filter(|row| row.name != "Runbook").map(|Row { name, value }| format!("{name}: {}", line(value, ROW_MAX))),
    );
    lines.join("\n")
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "plain_text", "emoji": false, "text": escape(text, SECTION_MAX)}})
}

/// As many links as a section holds; a link is never cut.
fn within(links: &[String]) -> String {
    let mut text = String::new();
    for link in links {
        if text.chars().count() + link.chars().count() < SECTION_MAX {
            text.push_str(if text.is_empty() { "" } else { " " });
            text.push_str(link);
        }
    }
    text
}

/// Exactly `&`, `<` and `>` are escaped, and nothing is cut in the middle of what one became.
fn escape(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    for c in text.chars() {
        let mut own = [0; 4];
        let piece: &str = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            other => other.encode_utf8(&mut own),
        };
        let long = piece.chars().count();
        // One character is kept free for the ellipsis.
        if length + long >= limit {
            out.push('…');
            break;
        }
        out.push_str(piece);
        length += long;
    }
    out
}

fn colour(message: &Message) -> &'static str {
    match message.status {
        Status::Resolved => "#2e7d32",
        Status::Firing if message.crossings.is_empty() => "#5f6368",
        Status::Firing if message.crossings.iter().any(super::links::is_critical) => "#c62828",
        Status::Firing => "#ef6c00",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_characters_are_escaped_and_none_is_torn() {
        assert_eq!(escape("<!channel> & \"it's\" *b* `c`", 99), "&lt;!channel&gt; &amp; \"it's\" *b* `c`");
        for limit in 2..40 {
            let cut = escape("a<b>&c<d>", limit);
            assert!(cut.chars().count() <= limit, "{limit}: {cut}");
            let whole = cut.replace("&lt;", "").replace("&gt;", "").replace("&amp;", "");
            assert!(!whole.contains('&'), "{limit}: {cut}");
        }
    }
}

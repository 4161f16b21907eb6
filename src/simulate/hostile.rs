//! Records that mean harm or make no sense, for tests of robustness.

use std::borrow::Cow;

use rand::{Rng, RngExt as _};

/// Strings that have broken a mail, a page, a terminal, a log, a spreadsheet, a template or a query before.
pub const ATTACKS: [&str; 62] = [
    "\r\nBcc: everyone@example.org",
    "agent\nX-Injected: 1",
    "\r\n.\r\nMAIL FROM:<attacker@example.org>\r\n",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "</textarea><script>alert(2)</script>",
    "</title><svg onload=alert(3)>",
    "<!--",
    "]]>",
    "<a href=\"javascript:alert(4)\">click</a>",
    "javascript:alert(5)",
    "data:text/html,<script>alert(6)</script>",
    "&lt;b&gt;",
    "&#x3c;b&#x3e;",
    "{{7*7}}",
    "{% for x in range(999999999) %}x{% endfor %}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "${jndi:ldap://127.0.0.1/a}",
    "%s%s%s%s%n",
    "=cmd|' /C calc'!A0",
    "+SUM(1+1)*cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "-2+3",
    "<!channel>",
    "<!here|everyone>",
    "<@U123>",
    "<https://example.org|a link>",
    "[a link](https://example.org)",
    "*bold* _it_ ~no~ `code`",
    "\u{202e}txt.exe",
    "\u{2066}left\u{2069}\u{200f}right",
    "zero\u{200b}width\u{feff}",
    "\u{1b}[2J\u{1b}[H",
    "\u{1b}]0;title\u{7}",
    "\u{9b}31m",
    "\u{8}\u{8}\u{8}backspace",
    "nul\u{0}byte",
    "\u{7f}\u{85}\u{2028}\u{2029}",
    "'; DROP TABLE streams; --",
    "\" OR \"\"=\"",
    "1; ATTACH DATABASE '/tmp/x' AS x",
    "../../../../etc/passwd",
    "..\\..\\windows\\system32",
    "/dev/null",
    "CON",
    "`id`",
    "$(id)",
    "| id",
    "; id",
    "--help",
    "agent{label=\"x\"} 1\n# HELP",
    "\\\" \\n \\\\",
    "",
    " ",
    "\u{a0}",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!",
    "іnvоісе-trіаgе",
    "ﷺ",
    "null",
];

/// One string in a thousand is this long: more than any field should hold.
const LONG: usize = 65_536;

/// A hostile string; at times a very long one.
pub(super) fn attack(rng: &mut impl Rng) -> Cow<'static, str> {
    if rng.random_range(0..1_000) == 0 {
        return Cow::Owned("A".repeat(LONG));
    }
    Cow::Borrowed(ATTACKS.get(rng.random_range(0..ATTACKS.len())).copied().unwrap_or_default())
}

/// The kinds of malformed record. `@` stands for fields that are in order, so that one thing is wrong at a time.
const BROKEN: [&str; 40] = [
    "",
    " ",
    "null",
    "true",
    "42",
    "\"a string\"",
    "[]",
    "{}",
    "{",
    "}{",
    "{\"type\":\"output\"",
    "not json at all",
    "\u{feff}{@}",
    "{@} trailing",
    "{@}{@}",
    "{@,}",
    "{@,\"confidence\":NaN}",
    "{@,\"confidence\":Infinity}",
    "{@,\"confidence\":1e309}",
    "{@,\"confidence\":1.0000001}",
    "{@,\"confidence\":-0.1}",
    "{@,\"confidence\":\"0.9\"}",
    "{@,\"confidence\":[0.9]}",
    "{@,\"latency_ms\":-1}",
    "{@,\"latency_ms\":1e308}",
    "{@,\"latency_ms\":18446744073709551616}",
    "{@,\"cost_usd\":-0.01}",
    "{@,\"tokens_in\":1.5}",
    "{@,\"tokens_in\":-1}",
    "{@,\"escalated\":\"yes\"}",
    "{@,\"correct\":2}",
    "{@,\"status\":\"on fire\"}",
    "{@,\"version\":7}",
    "{@,\"version\":\"\\ud800\"}",
    "{@,\"agent\":\"twice\"}",
    "{\"type\":\"output\",\"agent\":\"no-id\",\"ts\":\"2026-01-05T00:00:00Z\"}",
    "{\"type\":\"output\",\"event_id\":\"no-agent\",\"ts\":\"2026-01-05T00:00:00Z\"}",
    "{\"type\":\"output\",\"event_id\":\"no-time\",\"agent\":\"a\"}",
    "{\"type\":\"output\",\"event_id\":\"t\",\"agent\":\"a\",\"ts\":\"9999-12-31T23:59:59Z\"}",
    "{\"type\":\"output\",\"event_id\":\"t\",\"agent\":\"a\",\"ts\":\"yesterday\"}",
];

/// How deep the nested record goes: past the limit of any parser that recurses.
const DEPTH: usize = 300;

/// A malformed record, made from `fields`, the required fields of one that would be in order. Holds no newline.
pub fn malformed(rng: &mut impl Rng, fields: &str) -> String {
    let pick = rng.random_range(0..=BROKEN.len());
    match BROKEN.get(pick) {
        Some(pattern) => pattern.replace('@', fields),
        None => format!("{{{fields},\"metrics\":{}{}}}", "[".repeat(DEPTH), "]".repeat(DEPTH)),
    }
}

//! The HTML part of a mail: the same rows, with weight on what matters, and the pictures that travel with the mail.
//! Nothing is fetched; colours follow the reader's light or dark scheme.

use super::chart;
use super::page::{Block, Page, Row};
pub use crate::edge::markup::escape;
use crate::engine::route::Message;

/// Inline where mail programs drop style sheets; the rest is comfort.
const STYLE: &str = ":root{color-scheme:light dark;supported-color-schemes:light dark}\
body{font:15px/1.45 system-ui,sans-serif;margin:0;padding:16px;max-width:720px}\
h1{font-size:18px;margin:0 0 8px;overflow-wrap:anywhere}h2{font-size:15px;margin:20px 0 4px;overflow-wrap:anywhere}\
p{margin:0 0 10px}.lead{font-size:16px}.note{opacity:.8}\
table{border-collapse:collapse;margin:0 0 10px}\
th{min-width:6.5em;text-align:left;font-weight:600;padding:2px 14px 2px 0;vertical-align:top;white-space:nowrap}\
td{width:100%;padding:2px 0;vertical-align:top;overflow-wrap:anywhere}.ids{font-size:13px;opacity:.75}\
.bar{border-left:4px solid #c62828;padding-left:12px}.over{border-left-color:#2e7d32}\
.word{background:#c62828;color:#fff;border-radius:4px;padding:1px 7px;font-size:14px;letter-spacing:.03em}\
.over .word{background:#2e7d32}.chart{margin:12px 0 4px}img{display:block;max-width:100%;height:auto}\
.legend{font-size:12px;opacity:.75;max-width:600px;margin:0 0 14px}";

/// Also where style sheets are dropped: a picture must not be wider than a phone.
const IMAGE: &str = "display:block;max-width:100%;height:auto";

/// A picture that travels with the mail.
pub(super) struct Inline {
    /// The place of its block in the page.
    pub(super) block: usize,
    /// Its content id, a plain name.
    pub(super) id: String,
    /// What it shows, in words.
    pub(super) alt: String,
    /// What its signs mean.
    pub(super) legend: String,
}

/// The message as an HTML page without pictures.
pub fn body(message: &Message) -> String {
    layout(&Page::of(message), &[])
}

pub(super) fn layout(page: &Page, pictures: &[Inline]) -> String {
    let over = if page.over { " over" } else { "" };
    let mut lines = vec![
        "<!DOCTYPE html>".to_owned(),
        "<html lang=\"en\">".to_owned(),
        "<head>".to_owned(),
        "<meta charset=\"utf-8\">".to_owned(),
        "<meta name=\"viewport\" content=\"width=device-width\">".to_owned(),
        "<meta name=\"color-scheme\" content=\"light dark\">".to_owned(),
        format!("<title>{}</title>", escape(&page.subject)),
        format!("<style>{STYLE}</style>"),
        "</head>".to_owned(),
        "<body>".to_owned(),
        format!("<div class=\"bar{over}\">"),
        format!("<h1><span class=\"word\">{}</span> {}</h1>", escape(&page.word), escape(&page.title)),
    ];
    lines.extend(page.notes.iter().map(|note| format!("<p class=\"note\">{}</p>", escape(note))));
    for (at, one) in page.blocks.iter().enumerate() {
        lines.extend(block(one, pictures.iter().find(|picture| picture.block == at)));
    }
    if page.more > 0 {
        lines.push(format!("<p>and {} more</p>", page.more));
    }
    lines.extend(table(" class=\"ids\"", &page.ids));
    lines.push("</div>\n</body>\n</html>\n".to_owned());
    lines.join("\n")
}

fn block(block: &Block, picture: Option<&Inline>) -> Vec<String> {
    let mut lines: Vec<_> = block.title.iter().map(|title| format!("<h2>{}</h2>", escape(title))).collect();
    lines.push(format!("<p class=\"lead\">{}</p>", escape(&block.lead)));
    if let Some(Inline { id, alt, legend, .. }) = picture {
        let (width, alt) = (chart::SIZE.0, escape(alt));
        lines.push(format!(
            "<p class=\"chart\"><img src=\"cid:{id}\" width=\"{width}\" alt=\"{alt}\" style=\"{IMAGE}\"></p>"
        ));
        lines.push(format!("<p class=\"legend\">{}</p>", escape(legend)));
    }
    lines.extend(table("", &block.facts));
    lines.extend(table("", &block.advice));
    lines.extend(table(" class=\"ids\"", &block.ids));
    lines
}

fn table(class: &str, rows: &[Row]) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("<table{class}>")];
    lines.extend(rows.iter().map(|row| {
        let (name, value) = (escape(&row.name), escape(&row.value));
        if is_link(&row.value) {
            format!("<tr><th>{name}</th><td><a href=\"{value}\" rel=\"noreferrer\">{value}</a></td></tr>")
        } else {
            format!("<tr><th>{name}</th><td>{value}</td></tr>")
        }
    }));
    lines.push("</table>".to_owned());
    lines
}

/// Only whole `https` addresses of plain characters become links; an annotation may hold text from an agent, and
/// `javascript:` or a quote must stay text.
fn is_link(value: &str) -> bool {
    value.strip_prefix("https://").is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphanumeric())
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/?#[]!$&()*+,;=%".contains(&b))
    })
}

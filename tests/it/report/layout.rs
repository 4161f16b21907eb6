//! The page as a browser lays it out, on a desk and on a phone, light and dark: nothing overlaps, nothing sticks out, every chart
//! names its axes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::super::analyst::world;
use super::odd::hostile;
use super::page;
use crate::world::real::skipped;
use shewhart::edge::notify::html::escape;

/// Looks at every picture that is shown, and at every element of the page.
const LOOK: &str = r#"<script>
const faults = [], shown = [...document.querySelectorAll('svg')].filter(svg => svg.getClientRects().length > 0);
const box = element => element.getBoundingClientRect();
for (const svg of shown) {
  const texts = [...svg.querySelectorAll('text')], frame = box(svg), name = svg.querySelector('title').textContent;
  for (const text of texts) {
    const one = box(text);
    if (one.left < frame.left - 1 || one.right > frame.right + 1 || one.top < frame.top - 1 || one.bottom > frame.bottom + 1)
      faults.push(`${name}: "${text.textContent}" sticks out`);
    if (one.height < 8) faults.push(`${name}: "${text.textContent}" is ${one.height} pixels high`);
    for (const other of texts) {
      if (other === text) break;
      const two = box(other);
      const across = Math.min(one.right, two.right) - Math.max(one.left, two.left);
      const down = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
      // The box of a line of text has room above and below its letters.
      if (across > 1 && down > 0.3 * Math.min(one.height, two.height))
        faults.push(`${name}: "${text.textContent}" over "${other.textContent}"`);
    }
  }
  const words = texts.map(text => text.textContent);
  const unit = /, %|, milliseconds|, US dollars|UTC$|^version/;
  if (words.filter(word => unit.test(word)).length < 2) faults.push(`${name}: an axis has no name: ${words.slice(0, 3)}`);
  if (/control chart/.test(name))
    for (const part of ['baseline', 'upper limit', 'lower limit'])
      if (!words.includes(part)) faults.push(`${name}: no ${part}`);
  if (svg.getAttribute('role') !== 'img' || !document.getElementById(svg.getAttribute('aria-labelledby').split(' ')[1]))
    faults.push(`${name}: not described`);
}
const ids = [...document.querySelectorAll('[id]')].map(element => element.id);
if (new Set(ids).size !== ids.length) faults.push('an id is there twice');
for (const element of document.querySelectorAll('main *:not(svg *)')) {
  const right = box(element).right;
  if (right > innerWidth + 1) faults.push(`${element.tagName} "${element.textContent.slice(0, 40)}" ends at ${right} of ${innerWidth}`);
}
const found = { faults: faults.slice(0, 20), count: faults.length, shown: shown.length, width: innerWidth,
  scroll: document.documentElement.scrollWidth, ground: getComputedStyle(document.body).backgroundColor };
parent.document.body.textContent = '@@' + JSON.stringify(found) + '@@';
</script>"#;

fn chromium() -> Option<&'static str> {
    let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        let version = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    });
    if found.is_none() {
        skipped("the report in a browser", "chromium is missing");
    }
    found
}

/// What the script finds in a page of that width.
fn looked_at(html: &str, folder: &Path, (width, scheme): (u32, u32)) -> Option<Value> {
    let program = chromium()?;
    let path: PathBuf = folder.join(format!("{width}-{scheme}.html"));
    // The page lets no script run; the copy that is looked at lets ours.
    assert_eq!(html.matches("default-src 'none';").count(), 1);
    let html = html.replace("default-src 'none';", concat!("default-src 'none'; script-src 'un", "safe-inline';"));
    let inner = escape(&html.replace("</body>", &format!("{LOOK}</body>")));
    // A window is never as narrow as a phone; a frame is.
    let frame = format!("<iframe style=\"border:0\" width=\"{width}\" height=\"900\" srcdoc=\"{inner}\"></iframe>");
    let scheme_of = "<meta name=\"color-scheme\" content=\"light dark\">";
    std::fs::write(&path, format!("<!DOCTYPE html><meta charset=\"utf-8\">{scheme_of}<body>{frame}</body>")).unwrap();
    let output = Command::new(program)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg("--window-size=1400,900")
        .arg(format!("file://{}", path.display()))
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let dom = String::from_utf8(output.stdout).unwrap();
    let found =
        dom.split("@@").nth(1).unwrap_or_else(|| panic!("the script did not end: {}", &dom[..dom.len().min(400)]));
    let found = found.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    Some(serde_json::from_str(&found).unwrap_or_else(|error| panic!("{error}: {found}")))
}

fn is_tidy(html: &str, most: u32) {
    let folder = tempfile::tempdir().unwrap();
    for (width, scheme) in [(1280, 1), (390, 1), (800, 0), (360, 0)] {
        let Some(found) = looked_at(html, folder.path(), (width, scheme)) else { return };
        assert_eq!(found["width"], width, "{found}");
        assert_eq!(found["count"], 0, "{width}: {:#}", found["faults"]);
        assert!(found["scroll"].as_u64() <= found["width"].as_u64(), "{width}: {found}");
        assert!(found["shown"].as_u64() >= Some(u64::from(most)), "{width}: {found}");
        let dark = "rgb(16, 19, 23)";
        assert_eq!(found["ground"] == dark, scheme == 0, "{found}");
    }
}

#[test]
fn charts_are_read_on_a_desk_and_on_a_phone_light_and_dark() {
    is_tidy(&page(&world().path, &[]), 20);
}

#[test]
fn hours_instead_of_days_are_read_as_well() {
    is_tidy(&page(&world().path, &["--from", "2026-01-09T00:00:00Z", "--to", "2026-01-12T00:00:00Z"]), 20);
}

#[test]
fn hostile_names_do_not_tear_the_page() {
    let folder = tempfile::tempdir().unwrap();
    is_tidy(&page(&hostile(folder.path()), &[]), 10);
}

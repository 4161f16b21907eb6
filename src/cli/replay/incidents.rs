//! Incident files: a YAML list of what is known to have been wrong.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::super::Invalid;
use crate::engine::Group;
use crate::engine::units::Timestamp;
use crate::replay::{Incident, Selector};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    from: Spanned<String>,
    to: Option<Spanned<String>>,
    #[serde(default, rename = "where")]
    selector: BTreeMap<String, String>,
    measure: Option<String>,
    #[serde(default)]
    alerts: Vec<String>,
}

/// Reads an incident file, for streams formed by `group_by`. All faults of values are reported at once.
pub(super) fn read(path: &Path, group_by: &[Group]) -> anyhow::Result<Vec<Incident>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let raw: Vec<Spanned<Raw>> =
        serde_saphyr::from_str(&text).map_err(|error| Invalid(format!("{}: {error}", path.display())))?;
    let mut faults = Vec::new();
    let mut say = |line: u64, fault: String| faults.push(format!("{}:{line}: {fault}", path.display()));
    let mut incidents = Vec::new();
    for Spanned { value: raw, referenced, .. } in raw {
        let line = referenced.line();
        let mut time = |text: &Spanned<String>| {
            crate::replay::time(&text.value).map_err(|fault| say(text.referenced.line(), fault)).ok()
        };
        let from = time(&raw.from).unwrap_or(Timestamp::MIN);
        let to = raw.to.as_ref().and_then(&mut time);
        if to.is_some_and(|to| to <= from) {
            say(line, format!("`{}`: `to` must be later than `from`", raw.name));
        }
        let selector = Selector::new(&raw.selector).unwrap_or_else(|fault| {
            say(line, format!("`{}`: where: {fault}", raw.name));
            Selector::default()
        });
        for label in selector.labels().filter(|label| group_by.iter().all(|group| group.as_str() != *label)) {
            let fix = format!("add it to --group-by, or leave it out of `{}`", raw.name);
            say(line, format!("where: streams are not formed by `{label}`, so nothing can match: {fix}"));
        }
        incidents.push(Incident { name: raw.name, from, to, selector, measure: raw.measure, alerts: raw.alerts });
    }
    if incidents.is_empty() && faults.is_empty() {
        faults.push(format!("{}: names no incident, so there is nothing to be held to", path.display()));
    }
    if faults.is_empty() { Ok(incidents) } else { Err(Invalid(faults.join("\n")).into()) }
}

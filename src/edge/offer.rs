//! Rule files as an offer: compiled and taken whole, or refused; either way written down, with who changed what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use similar::TextDiff;

use super::ledger::{Ledger, LedgerError, RuleSetRow, encode_rules};
use super::telemetry::Snapshot;
use super::{EdgeError, clock, reload, users};
use crate::config::Config;
use crate::engine::rule::{Compiled, RuleSet, Source, compile};

/// Longest difference that is written down, in bytes.
const DIFF_MAX: usize = 256 << 10;

/// The rules to start with: the files', or the last good ones where the files are broken, and said so.
pub(super) fn first_rules(config: &Config, ledger: &mut Ledger, status: &mut Snapshot) -> Result<RuleSet, EdgeError> {
    let now = clock::now();
    let (rules, row) = offer(config, ledger, "start", None)?;
    let rules = if let Some(rules) = rules {
        let known = match ledger.last_good_rules() {
            Ok(good) => good.is_some_and(|good| good.hash == rules.hash),
            // The files are there, so nobody needs it.
            Err(error @ LedgerError::Blob { .. }) => {
                tracing::error!(%error, "the last good rules are lost; those of the files take their place");
                false
            }
            Err(error) => return Err(error.into()),
        };
        if !known {
            ledger.note_rules(&row, now)?;
        }
        status.reload_ok = true;
        status.reloaded_at = Some(now);
        rules
    } else {
        ledger.note_rules(&row, now)?;
        let Some(good) = ledger.last_good_rules()? else { return Err(EdgeError::Rules(row.diagnostics)) };
        tracing::error!(
            "the rule files are broken; starting on the last good ones ({}):\n{}",
            good.hash,
            row.diagnostics
        );
        good
    };
    status.rules_hash = rules.hash.to_string();
    status.rules = Some(Arc::new(rules.clone()));
    Ok(rules)
}

/// Reads and compiles the rule files: the set, where there is one, and what to write down of it. `by` asked for it; where
/// nobody did, it is the owners of the files that changed.
pub(super) fn offer(
    config: &Config,
    ledger: &Ledger,
    origin: &'static str,
    by: Option<&str>,
) -> Result<(Option<RuleSet>, RuleSetRow), LedgerError> {
    let (compiled, sources) = match reload::read(&config.rules) {
        Ok(sources) => (compile(&sources), sources),
        Err(diagnostics) => (Compiled { rules: None, diagnostics, listed: Vec::new() }, Vec::new()),
    };
    let texts: BTreeMap<&str, &str> = sources.iter().map(|s| (s.name.as_str(), s.text.as_str())).collect();
    let before = ledger.last_good_sources()?;
    let changes = changes(&before, &sources);
    let owners = || {
        let owners = changes.iter().filter_map(|change| users::owner(Path::new(&change.name)));
        owners.collect::<BTreeSet<String>>().into_iter().collect::<Vec<String>>().join(", ")
    };
    let lines: Vec<String> = compiled.diagnostics.iter().map(ToString::to_string).collect();
    let row = RuleSetRow {
        hash: compiled.rules.as_ref().map(|rules| rules.hash.to_string()),
        accepted: compiled.rules.is_some(),
        origin,
        who: by.map_or_else(owners, ToOwned::to_owned),
        diff: shown(&changes),
        rules: compiled.rules.as_ref().map_or(0, |rules| rules.rules.len()),
        diagnostics: lines.join("\n"),
        sources: serde_json::to_string(&texts).unwrap_or_default(),
        compiled: compiled.rules.as_ref().map(encode_rules),
    };
    Ok((compiled.rules, row))
}

/// A file that is not what it was.
struct Change<'c> {
    name: String,
    before: &'c str,
    after: &'c str,
}

fn changes<'c>(before: &'c BTreeMap<String, String>, after: &'c [Source]) -> Vec<Change<'c>> {
    let names: BTreeSet<&str> =
        before.keys().map(String::as_str).chain(after.iter().map(|source| source.name.as_str())).collect();
    let change = |name: &str| {
        let old = before.get(name).map_or("", String::as_str);
        let new = after.iter().find(|source| source.name == name).map_or("", |source| source.text.as_str());
        (old != new).then(|| Change { name: name.to_owned(), before: old, after: new })
    };
    names.into_iter().filter_map(change).collect()
}

/// The changes as a unified diff.
fn shown(changes: &[Change<'_>]) -> String {
    let mut text = String::new();
    for Change { name, before, after } in changes {
        let diff = TextDiff::from_lines(*before, *after);
        let (old, new) =
            (if before.is_empty() { "/dev/null" } else { name }, if after.is_empty() { "/dev/null" } else { name });
        write!(text, "{}", diff.unified_diff().context_radius(2).header(old, new))
            .expect("writing to a String cannot fail");
        if text.len() > DIFF_MAX {
            let end = (0..=DIFF_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
            text.push_str("\n(cut)\n");
            break;
        }
    }
    text
}

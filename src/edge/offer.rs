//! Rule files as an offer: compiled and taken whole, or refused and written down.

use std::collections::BTreeMap;

use super::ledger::{Ledger, RuleSetRow, encode_rules};
use super::telemetry::Snapshot;
use super::{EdgeError, clock, reload};
use crate::config::Config;
use crate::engine::rule::{Compiled, RuleSet, compile};

/// The rules to start with: the files', or the last good ones where the files are broken, and said so.
pub(super) fn first_rules(config: &Config, ledger: &mut Ledger, status: &mut Snapshot) -> Result<RuleSet, EdgeError> {
    let now = clock::now();
    let (rules, row) = offer(config, "start");
    let rules = if let Some(rules) = rules {
        let known = ledger.last_good_rules()?.is_some_and(|good| good.hash == rules.hash);
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
    status.rules = rules.rules.len();
    Ok(rules)
}

/// Reads and compiles the rule files: the set, where there is one, and what to write down of it.
pub(super) fn offer(config: &Config, origin: &'static str) -> (Option<RuleSet>, RuleSetRow) {
    let (compiled, sources) = match reload::read(&config.rules) {
        Ok(sources) => {
            let texts: BTreeMap<&str, &str> = sources.iter().map(|s| (s.name.as_str(), s.text.as_str())).collect();
            let texts = serde_json::to_string(&texts).unwrap_or_default();
            (compile(&sources), texts)
        }
        Err(diagnostics) => (Compiled { rules: None, diagnostics, listed: Vec::new() }, "{}".to_owned()),
    };
    let lines: Vec<String> = compiled.diagnostics.iter().map(ToString::to_string).collect();
    let row = RuleSetRow {
        hash: compiled.rules.as_ref().map(|rules| rules.hash.to_string()),
        accepted: compiled.rules.is_some(),
        origin,
        rules: compiled.rules.as_ref().map_or(0, |rules| rules.rules.len()),
        diagnostics: lines.join("\n"),
        sources,
        compiled: compiled.rules.as_ref().map(encode_rules),
    };
    (compiled.rules, row)
}

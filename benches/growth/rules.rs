//! Rule sets of several sizes.

use std::fmt::Write as _;
use std::sync::Arc;

use shewhart::engine::rule::{RuleSet, Source, compile};

#[path = "../../tests/world/shipped.rs"]
mod all;

pub(crate) use all::shipped;

fn compiled(text: String) -> Arc<RuleSet> {
    let source = Source { name: "growth.yaml".to_owned(), text };
    Arc::new(compile(&[source]).rules.unwrap())
}

const HEAD: &str = "groups:\n  - name: growth\n    rules:\n";

/// So many rules on every stream, a chart each: in turns on errors, escalation, slow outputs, confidence and cost.
pub(crate) fn alike(n: usize) -> Arc<RuleSet> {
    let mut text = HEAD.to_owned();
    for at in 0..n {
        let size = 10 + at / 5;
        let detect = match at % 5 {
            0 => format!("measure: error_rate, rise: {size}pp"),
            1 => format!("measure: escalation_rate, rise: {size}pp"),
            2 => format!("measure: latency, quantile: p95, rise: {size}pp"),
            3 => format!("measure: confidence, drop: {size}pp"),
            _ => format!("measure: cost, rise: {size}%"),
        };
        writeln!(text, "      - {{ alert: Rule{at}, detect: {{ {detect}, false_alarms: 1 per 1y }} }}").unwrap();
    }
    compiled(text)
}

/// Five rules on every stream, and so many that each name an agent that never comes.
pub(crate) fn of_others(n: usize) -> Arc<RuleSet> {
    let mut text = HEAD.to_owned();
    for at in 0..5 {
        writeln!(
            text,
            "      - {{ alert: All{at}, detect: {{ measure: error_rate, rise: {}pp, false_alarms: 1 per 1y }} }}",
            10 + at
        )
        .unwrap();
    }
    for at in 0..n {
        let detect = "measure: error_rate, rise: 10pp, false_alarms: 1 per 1y";
        writeln!(text, "      - {{ alert: Other{at}, where: {{ agent: other{at} }}, detect: {{ {detect} }} }}")
            .unwrap();
    }
    compiled(text)
}

/// One burn rate with two windows of so many minutes.
pub(crate) fn burn(minutes: usize) -> Arc<RuleSet> {
    let window = if minutes < 60 { format!("{minutes}m") } else { format!("{}h", minutes / 60) };
    compiled(format!(
        "{HEAD}      - alert: Burning\n        detect: {{ measure: error_rate, limit: 10%, burn_rate: 9, long: {window}, short: {window} }}\n"
    ))
}

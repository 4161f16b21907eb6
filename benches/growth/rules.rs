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

/// So many rules on every stream, a chart each: in turns on errors, escalation and slow outputs. No outcome is so rare that its
/// limit takes milliseconds.
pub(crate) fn alike(n: usize) -> Arc<RuleSet> {
    let mut text = HEAD.to_owned();
    for at in 0..n {
        let rise = 2.0 + 0.1 * (at / 4) as f64;
        let detect = match at % 4 {
            0 => "measure: error_rate",
            1 => "measure: escalation_rate",
            2 => "measure: latency, quantile: p50",
            _ => "measure: latency, quantile: p95",
        };
        writeln!(
            text,
            "      - {{ alert: Rule{at}, detect: {{ {detect}, rise: {rise:.1}pp, false_alarms: 1 per 1y }} }}"
        )
        .unwrap();
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

/// One burn rate whose short window has so many minutes; the long one, a day, is looked at only while the short one burns.
pub(crate) fn burn(minutes: usize) -> Arc<RuleSet> {
    let window = if minutes < 60 { format!("{minutes}m") } else { format!("{}h", minutes / 60) };
    compiled(format!(
        "{HEAD}      - alert: Burning\n        detect: {{ measure: error_rate, limit: 10%, burn_rate: 9, long: 24h, short: {window} }}\n"
    ))
}

//! What the tests of this room share.

use std::collections::BTreeMap;

use super::Finding;
use crate::engine::alert::State;
use crate::engine::units::Timestamp;

/// That many seconds after 1970.
pub(super) const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

/// An alert on the stream of an agent that fired and ended then: as many outputs as seconds, half of them labelled. It
/// watches accuracy.
pub(super) fn finding(rule: &str, agent: &str, (fired, ended): (i64, Option<i64>)) -> Finding {
    Finding {
        alert: rule.rsplit('/').next().unwrap_or_default().to_owned(),
        severity: String::new(),
        stream: BTreeMap::from([("agent".to_owned(), agent.to_owned())]),
        state: State::Firing,
        at: at(fired).to_string(),
        resolved_at: None,
        outputs: fired as u64,
        labels: fired as u64 / 2,
        estimate: None,
        interval: None,
        baseline: None,
        baseline_interval: None,
        changed_at: None,
        measure: "accuracy".to_owned(),
        grade: "",
        id: String::new(),
        rule: rule.to_owned(),
        fired: at(fired),
        ended: ended.map(at),
    }
}

//! What the loop shows of its engines: log lines, open alerts, streams in two partitions.

use std::collections::BTreeMap;

use super::telemetry::OpenAlert;
use crate::engine::units::Partition;
use crate::engine::{Effect, Engines};

/// Says in the log what happened in a batch.
pub(super) fn tell(effects: &[(Partition, Effect)]) {
    let mut rejected = 0_u64;
    let mut last = None;
    for (partition, effect) in effects {
        match effect {
            Effect::Crossed(crossing) => tracing::info!(
                alert = crossing.alert,
                stream = crossing.labels.get("agent").map(String::as_str),
                from = crossing.from.as_str(),
                to = crossing.to.as_str(),
                reason = crossing.reason.as_str(),
                id = %crossing.alert_id,
                "an alert changed"
            ),
            Effect::Rejected { offset, rejection } => {
                rejected += 1;
                last = Some((partition, offset, rejection));
            }
            Effect::Learnt { .. }
            | Effect::Version { .. }
            | Effect::Drawn { .. }
            | Effect::Case { .. }
            | Effect::Judged { .. } => {}
        }
    }
    // One line for a batch, however many records it rejects: whoever writes to the topic must not flood the log.
    if let Some((partition, offset, rejection)) = last {
        tracing::warn!(rejected, partition = partition.0, offset = offset.0, last = %rejection, "records were not counted");
    }
}

pub(super) fn open_alerts(engines: &Engines) -> Vec<OpenAlert> {
    let mut open = Vec::new();
    for engine in engines.iter() {
        for stream in engine.streams() {
            for (rule, alert) in &stream.memory.alerts {
                let Some(rule) = engine.rules().rules.iter().find(|r| r.id == *rule) else { continue };
                open.push(OpenAlert {
                    alert: rule.alert.clone(),
                    severity: rule.labels.get("severity").cloned().unwrap_or_default(),
                    state: alert.state.as_str(),
                    since: alert.started_at,
                });
            }
        }
    }
    open
}

pub(super) fn unkeyed(engines: &Engines) -> usize {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for engine in engines.iter() {
        for stream in engine.streams() {
            *seen.entry(&stream.key).or_default() += 1;
        }
    }
    seen.values().filter(|n| **n > 1).count()
}

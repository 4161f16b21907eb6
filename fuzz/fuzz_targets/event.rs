//! Bytes as records: whatever they are, they are read or refused, and an engine takes one after the other.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use shewhart::engine::baseline::BaselineSet;
use shewhart::engine::event::{Event, decode};
use shewhart::engine::rule::{RuleSet, Source, compile};
use shewhart::engine::text::TEXT_BYTES_MAX;
use shewhart::engine::units::{Offset, Partition, Timestamp};
use shewhart::engine::{Engine, Input, Settings};

static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
    let text = include_str!("../rules.yaml").to_owned();
    Arc::new(compile(&[Source { name: "rules.yaml".to_owned(), text }]).rules.expect("they compile"))
});

fn is_clean(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control)
}

fuzz_target!(|data: &[u8]| {
    let settings = Settings { provisional_outputs: 3, recent_outputs: 8, streams_max: 4, ..Settings::default() };
    let mut engine = Engine::new(Partition(0), Arc::new(settings), RULES.clone(), Arc::new(BaselineSet::default()));
    let mut effects = Vec::new();
    for (at, payload) in data.split(|byte| *byte == b'\n').enumerate() {
        match decode(payload) {
            Ok(Event::Output(output)) => {
                assert!(is_clean(&output.agent) && is_clean(&output.event_id));
                assert!(output.task.as_deref().is_none_or(is_clean) && output.version.as_deref().is_none_or(is_clean));
                assert!(output.metrics.iter().all(|(name, value)| is_clean(name) && value.is_finite()));
                assert!(output.confidence.is_none_or(|c| (0.0..=1.0).contains(&c)));
            }
            Ok(Event::Feedback(feedback)) => {
                assert!(is_clean(&feedback.agent) && is_clean(&feedback.event_id));
                assert!(feedback.sampled.is_none_or(|chance| chance > 0.0 && chance <= 1.0));
            }
            Err(refused) => assert!(is_clean(&refused.detail)),
        }
        let appended = Some(Timestamp::from_millis(1_767_571_200_000 + at as i64 * 60_000));
        engine.step(Input::Record { offset: Offset(at as i64), appended, payload }, &mut effects);
        effects.clear();
    }
    assert!(engine.streams().len() <= 5);
});

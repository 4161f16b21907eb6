//! Bytes as records: whatever they are, they are read or refused, and an engine takes one after the other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shewhart::engine::event::{Decoder, Event, decode_by_serde};
use shewhart::engine::text::TEXT_BYTES_MAX;

#[path = "../engine.rs"]
mod engine;

fn is_clean(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control)
}

fuzz_target!(|data: &[u8]| {
    let mut machine = engine::engine();
    let (mut decoder, mut effects) = (Decoder::default(), Vec::new());
    for (at, payload) in data.split(|byte| *byte == b'\n').enumerate() {
        match decoder.decode(payload) {
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
        if !payload.iter().all(u8::is_ascii_whitespace) {
            assert_eq!(decoder.decode(payload), decode_by_serde(payload));
        }
        engine::step(&mut machine, at, payload, &mut effects);
        effects.clear();
    }
    assert!(machine.streams().len() <= 5);
});

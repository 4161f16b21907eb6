//! What an event asks of the allocator once its stream is known: a program of its own, for it counts what everybody asks.

#[path = "../world/shipped.rs"]
mod shipped;

use std::sync::Arc;

use allocation_counter::measure;
use shewhart::engine::units::{Offset, Partition};
use shewhart::engine::{Effect, Engine, Group, Input, Settings};

/// 2026-01-05T00:00:00Z, in milliseconds.
const START: i64 = 1_767_571_200_000;
const AGENTS: i64 = 20;
/// Outputs of an agent in a minute of event time.
const A_MINUTE: i64 = 300;

/// Outputs of agents in turns, alike enough that nothing fires, with everything that events can say as numbers; one in ten is
/// judged three outputs of its agent later.
fn payload(nth: i64) -> String {
    let (agent, round) = (nth % AGENTS, nth / AGENTS);
    let ts = START + round * 60_000 / A_MINUTE;
    if nth % 11 == 10 && round > 3 {
        let right = round % 13 > 0;
        return format!(
            r#"{{"type":"feedback","event_id":"{agent}-{}","agent":"agent-{agent}","ts":{ts},"correct":{right}}}"#,
            round - 3
        );
    }
    let confidence = 0.80 + (round * 7 % 19) as f64 / 100.0;
    let latency = 800 + round * 37 % 400;
    format!(
        r#"{{"type":"output","event_id":"{agent}-{round}","agent":"agent-{agent}","ts":{ts},"version":"v1","task":"t{}","status":"ok","confidence":{confidence},"escalated":{},"latency_ms":{latency},"latency":{{"llm":{}}},"tokens_in":{},"tokens_out":200,"cost_usd":0.01}}"#,
        round % 2,
        round % 17 == 0,
        latency / 2,
        1_800 + round % 50,
    )
}

/// Lets an engine take these events, and drops what it asks for.
fn step(engine: &mut Engine, effects: &mut Vec<Effect>, events: &[(i64, String)]) {
    for (offset, json) in events {
        let (offset, payload) = (Offset(*offset), json.as_bytes());
        engine.step(Input::Record { offset, appended: None, payload }, effects);
        effects.clear();
    }
}

#[test]
fn an_event_of_a_known_stream_needs_hardly_any_memory_of_its_own() {
    let settings = Settings { group_by: vec![Group::Agent], provisional_outputs: 500, ..Settings::default() };
    let mut engine = Engine::new(Partition(0), Arc::new(settings), shipped::shipped(), Arc::default());
    let mut effects = Vec::with_capacity(1_000);
    let events = |from: i64, to: i64| (from..to).map(|nth| (nth, payload(nth))).collect::<Vec<_>>();
    // Until charts are designed and the tables of the windows have their size.
    let learnt = 40_000;
    step(&mut engine, &mut effects, &events(0, learnt));
    engine.forget_unwritten();
    // Minutes of event time, five thousand events between two commits, as the daemon has them.
    let (mut asked, mut taken) = (0, 0);
    for from in (learnt..learnt + 35_000).step_by(5_000) {
        let batch = events(from, from + 5_000);
        let counted = measure(|| step(&mut engine, &mut effects, &batch));
        asked += counted.count_total;
        taken += batch.len() as u64;
        engine.forget_unwritten();
    }
    // A new pane asks about 13 times, as its tables grow; everything else together asks once in 23 events. 0.087 were counted.
    let each = asked as f64 / taken as f64;
    assert!(each < 0.15, "{each} for each event");
}

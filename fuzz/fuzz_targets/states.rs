//! Bytes as states of the database: read or refused, never a panic and never more memory than the bytes are worth. What is
//! read is written as it was. And bytes as records, between which an engine is written down and restored: it goes on like
//! one that never stopped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shewhart::engine::baseline::{Baseline, Profile};
use shewhart::engine::memory::Memory;
use shewhart::engine::recent::Op;
use shewhart::engine::route::RouterMemory;
use shewhart::engine::rule::RuleSet;
use shewhart::engine::sketch::Pane;
use shewhart::engine::{Engine, Position, Restored};

#[path = "../engine.rs"]
mod engine;

/// What comes back is compared by its bytes: a NaN equals no NaN.
macro_rules! round {
    ($bytes:expr, $($state:ty),*) => {$(
        if let Ok(state) = postcard::from_bytes::<$state>($bytes) {
            let bytes = postcard::to_allocvec(&state).expect("what was read can be written");
            let again: $state = postcard::from_bytes(&bytes).expect("what was written can be read");
            assert_eq!(bytes, postcard::to_allocvec(&again).expect("and written again"));
        }
    )*};
}

/// A state that was written down and read.
macro_rules! kept {
    ($state:expr, $kind:ty) => {
        postcard::from_bytes::<$kind>(&postcard::to_allocvec($state).expect("it can be written")).expect("and read")
    };
}

/// An engine that takes up where that one was written down. All changes of its memory of outputs are added to `ops`.
fn restored(machine: &mut Engine, ops: &mut Vec<Op>) -> Engine {
    let dirty = machine.take_dirty();
    ops.extend(machine.recent_mut().take_unwritten());
    for index in dirty {
        machine.stream_at_mut(index).expect("it is dirty").window.take_unwritten();
    }
    let streams = machine.streams().map(|stream| Restored {
        labels: stream.labels.clone(),
        memory: Ok(kept!(&stream.memory, Memory)),
        window: stream.window.clone(),
        baseline: stream.baseline.as_ref().map(|baseline| {
            let profile = kept!(&baseline.profile, Profile);
            Box::new(Baseline { id: baseline.id.clone(), provisional: baseline.provisional, profile })
        }),
    });
    let mut again = engine::engine();
    again.restore(kept!(machine.position(), Position), streams.collect(), kept!(ops, Vec<Op>).into_iter());
    again
}

fuzz_target!(|data: &[u8]| {
    round!(data, Memory, Profile, Pane, RouterMemory, RuleSet, Position, Vec<Op>);
    let records: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    // Where it stops differs from input to input.
    let every = 1 + records.len() * usize::from(data.first().copied().unwrap_or_default()) / 256;
    let (mut calm, mut stopped) = (engine::engine(), engine::engine());
    let mut ops = Vec::new();
    for (at, payload) in records.iter().enumerate() {
        if at % every == 0 {
            stopped = restored(&mut stopped, &mut ops);
        }
        let mut effects = (Vec::new(), Vec::new());
        engine::step(&mut calm, at, payload, &mut effects.0);
        engine::step(&mut stopped, at, payload, &mut effects.1);
        assert_eq!(format!("{:?}", effects.0), format!("{:?}", effects.1), "after record {at}");
    }
});

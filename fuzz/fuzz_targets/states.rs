//! Bytes as states of the database: read or refused, never a panic and never more memory than the bytes are worth. What is
//! read is written as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shewhart::engine::baseline::Profile;
use shewhart::engine::memory::Memory;
use shewhart::engine::route::RouterMemory;
use shewhart::engine::rule::RuleSet;
use shewhart::engine::sketch::Pane;

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

fuzz_target!(|data: &[u8]| {
    round!(data, Memory, Profile, Pane, RouterMemory, RuleSet);
});

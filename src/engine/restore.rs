//! An engine as it was written down.

use std::sync::Arc;

use super::baseline::Baseline;
use super::memory::{Memory, Remains};
use super::recent::Op;
use super::stream::Stream;
use super::units::Timestamp;
use super::window::Window;
use super::{Engine, Position, is_overflow};

/// One stream as it was written down.
#[derive(Debug)]
pub struct Restored {
    /// Its labels, as [`super::key_of`] writes them.
    pub key: Arc<str>,
    /// Its memory, or what is left where it cannot be read.
    pub memory: Result<Memory, Remains>,
    /// Its windows.
    pub window: Window,
    /// The baseline that it was last compared with, where it had one.
    pub baseline: Option<Box<Baseline>>,
}

impl Engine {
    /// Takes up where a commit left off. Streams must come in the order of their indexes, `recent` in the order in which
    /// its changes were written. Nothing is said and nothing becomes dirty.
    pub fn restore(&mut self, position: Position, streams: Vec<Restored>, recent: impl Iterator<Item = Op>) {
        self.position = position;
        recent.for_each(|op| self.recent.fold(op));
        for Restored { key, memory, window, baseline } in streams {
            let (memory, lost) = match memory {
                Ok(memory) => (memory, false),
                Err(remains) => (Memory::after(&remains, position.time.unwrap_or(Timestamp::from_millis(0))), true),
            };
            let mut stream = Stream::restore(key, memory, window);
            let labels = stream.labels();
            stream.asked_wait = self.settings.asked_wait(&labels);
            stream.counted_only = is_overflow(&labels);
            if lost {
                self.refer(&mut stream);
            } else {
                // What it was, not what is in force by now: a promotion in between is an input like any other.
                stream.set_baseline(baseline);
            }
            stream.watch(&self.rules, &mut self.watches);
            self.admit(stream);
        }
        for index in 0..self.streams.len() {
            self.schedule(index as u32);
        }
    }
}

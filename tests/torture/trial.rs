//! One trial of one fault: so many runs of it against one log, with all chance from one seed.

use std::ops::Range;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::soak::Soak;

/// A trial while it goes on.
pub(crate) struct Trial {
    /// What all chance comes from.
    pub(crate) seed: u64,
    /// How often the fault is to happen.
    pub(crate) runs: usize,
    /// Whether there is time for the long form.
    pub(crate) night: bool,
    /// How long and how fast the long run is.
    pub(crate) soak: Soak,
    random: ChaCha8Rng,
    /// What was seen, for the table.
    pub(crate) notes: Vec<String>,
    /// Why it could not be done on this machine.
    pub(crate) skipped: Option<String>,
}

impl Trial {
    pub(crate) fn new(seed: u64, runs: usize, night: bool, soak: Soak) -> Self {
        let random = ChaCha8Rng::seed_from_u64(seed);
        Self { seed, runs, night, soak, random, notes: Vec::new(), skipped: None }
    }

    /// A number of a range.
    pub(crate) fn pick(&mut self, range: Range<u64>) -> u64 {
        self.random.random_range(range)
    }

    /// One of a list.
    pub(crate) fn choose<T: Copy>(&mut self, list: &[T]) -> T {
        *list.get(self.pick(0..list.len() as u64) as usize).expect("within the list")
    }

    /// Writes down what was seen.
    pub(crate) fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }
}

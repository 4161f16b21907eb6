//! The bounded memory of recent outputs: joins late feedback to its output, and knows an output that came twice.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::confidence::Place;
use super::units::Timestamp;

/// One recent output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Hash of agent and event id.
    pub key: u128,
    /// The output's stream, by its index.
    pub stream: u32,
    /// When it happened.
    pub ts: Timestamp,
    /// Where it stands in its stream's table of confidence.
    pub place: Place,
    /// The number of its task in its stream; 0 for none.
    pub task: u8,
    /// What else is known of it.
    pub known: Known,
}

/// What is known of an output: truths in one byte, as there are hundreds of thousands of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known(u8);

impl Known {
    /// It belongs to its stream's provisional baseline.
    pub const IN_BASELINE: Self = Self(1);
    /// Its verdict came.
    pub const LABELLED: Self = Self(2);
    /// It is known if it was overridden.
    pub const OVERRIDE: Self = Self(4);
    /// It lies within the baseline's coverage.
    pub const COVERED: Self = Self(8);
    /// It is kept as a case that its verdict can be asked on.
    pub const CASE: Self = Self(16);

    /// This truth where `holds`, nothing otherwise.
    #[must_use]
    pub const fn when(self, holds: bool) -> Self {
        if holds { self } else { Self(0) }
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is known.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A change to the memory, in the form in which it is written down: the memory is the fold of its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// A new output.
    Insert(Entry),
    /// The verdict of an output came.
    Labelled(u128),
    /// It became known whether an output was overridden.
    OverrideKnown(u128),
}

/// The outputs that can still be joined: the newest `capacity` of a partition.
#[derive(Clone, Debug)]
pub struct Recent {
    capacity: usize,
    entries: VecDeque<Entry>,
    /// Number of the entry at the front of `entries`, counted from the first ever inserted; it begins again at 2^32.
    first: u32,
    /// Numbers of entries by the hashes of their keys: four bytes an entry, for most look-ups find nothing, and they all wait for
    /// memory.
    index: HashTable<u32>,
    hash: RandomState,
    unwritten: Vec<Op>,
}

/// The key of an output: BLAKE3, which no agent can steer into collisions.
pub fn key(agent: &str, event_id: &str) -> u128 {
    super::alert::Id::of(&[agent.as_bytes(), event_id.as_bytes()]).0
}

impl Recent {
    /// An empty memory of at most `capacity` outputs, and no more than 2^31.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.clamp(1, 1 << 31),
            entries: VecDeque::new(),
            first: 0,
            index: HashTable::new(),
            hash: RandomState::new(),
            unwritten: Vec::new(),
        }
    }

    /// The output of that key, where it is still remembered.
    pub fn get(&self, key: u128) -> Option<&Entry> {
        self.entries.get(self.find(key)?)
    }

    /// Where the output of that key stands among the entries.
    fn find(&self, key: u128) -> Option<usize> {
        let Self { entries, first, .. } = self;
        let is_it = |number: &u32| entries.get(place(*first, *number)).is_some_and(|entry| entry.key == key);
        self.index.find(self.hash.hash_one(key), is_it).map(|number| place(*first, *number))
    }

    /// Applies a change and keeps it for the next commit. An output that is inserted is none that [`Recent::get`] finds.
    pub fn apply(&mut self, op: Op) {
        match op {
            Op::Insert(entry) => self.insert(entry),
            Op::Labelled(_) | Op::OverrideKnown(_) => self.fold(op),
        }
        self.unwritten.push(op);
    }

    /// Applies a change that was written down before.
    pub fn fold(&mut self, op: Op) {
        match op {
            Op::Insert(entry) => {
                // It had been forgotten by a memory that was smaller than this one.
                if let Some(at) = self.find(entry.key) {
                    self.unlist(entry.key, self.first.wrapping_add(at as u32));
                }
                self.insert(entry);
            }
            Op::Labelled(key) => self.change(key, |entry| entry.known = entry.known.and(Known::LABELLED)),
            Op::OverrideKnown(key) => self.change(key, |entry| entry.known = entry.known.and(Known::OVERRIDE)),
        }
    }

    fn insert(&mut self, entry: Entry) {
        if self.entries.len() >= self.capacity
            && let Some(oldest) = self.entries.pop_front()
        {
            self.unlist(oldest.key, self.first);
            self.first = self.first.wrapping_add(1);
        }
        let Self { entries, first, index, hash, .. } = self;
        let number = first.wrapping_add(entries.len() as u32);
        entries.push_back(entry);
        let hash_of = |number: &u32| hash.hash_one(entries.get(place(*first, *number)).map_or(0, |entry| entry.key));
        index.insert_unique(hash.hash_one(entry.key), number, hash_of);
    }

    fn unlist(&mut self, key: u128, number: u32) {
        if let Ok(known) = self.index.find_entry(self.hash.hash_one(key), |known| *known == number) {
            known.remove();
        }
    }

    fn change(&mut self, key: u128, change: impl Fn(&mut Entry)) {
        if let Some(entry) = self.find(key).and_then(|at| self.entries.get_mut(at)) {
            change(entry);
        }
    }

    /// Takes the changes since the last commit.
    pub fn take_unwritten(&mut self) -> Vec<Op> {
        std::mem::take(&mut self.unwritten)
    }

    /// How many outputs are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The most outputs that are remembered.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }
}

/// Where the entry of a number stands, the first having that one.
const fn place(first: u32, number: u32) -> usize {
    number.wrapping_sub(first) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(key: u128) -> Entry {
        Entry { key, stream: 0, ts: Timestamp::from_millis(0), place: Place::NONE, task: 0, known: Known::default() }
    }

    #[test]
    fn an_entry_takes_two_words_of_memory_and_a_key() {
        assert_eq!(size_of::<Entry>(), 32);
    }

    proptest! {
        /// The memory equals a list of the newest outputs, and folding what was written gives the same memory.
        #[test]
        fn the_newest_outputs_are_found_and_no_others(keys in proptest::collection::vec(0_u128..1_000, 0..300), capacity in 1_usize..50) {
            // Numbers begin again within the test.
            let mut recent = Recent { first: u32::MAX - 20, ..Recent::new(capacity) };
            let mut list: Vec<Entry> = Vec::new();
            let mut written = Vec::new();
            for key in keys {
                if let Some(known) = list.iter_mut().rev().take(capacity).find(|e| e.key == key) {
                    known.known = known.known.and(Known::LABELLED);
                    recent.apply(Op::Labelled(key));
                } else {
                    list.push(entry(key));
                    recent.apply(Op::Insert(entry(key)));
                }
                if key % 7 == 0 { written.extend(recent.take_unwritten()); }
            }
            written.extend(recent.take_unwritten());
            let mut restored = Recent::new(capacity);
            for op in written {
                restored.fold(op);
            }
            for key in 0..1_000 {
                let expected = list.iter().rev().take(capacity).find(|e| e.key == key);
                prop_assert_eq!(recent.get(key), expected);
                prop_assert_eq!(restored.get(key), expected);
            }
        }

        /// What a small memory had forgotten comes again in its changes: a larger one, or a smaller, has the newest of a key.
        #[test]
        fn a_memory_of_another_size_has_the_newest_outputs(keys in proptest::collection::vec(0_u128..12, 0..200), capacity in 1_usize..10, other in 1_usize..30) {
            let (mut recent, mut inserts, mut restored) = (Recent::new(capacity), Vec::new(), Recent::new(other));
            for (nth, key) in keys.into_iter().enumerate() {
                if recent.get(key).is_none() {
                    let entry = Entry { stream: nth as u32, ..entry(key) };
                    recent.apply(Op::Insert(entry));
                    inserts.push(entry);
                }
            }
            recent.take_unwritten().into_iter().for_each(|op| restored.fold(op));
            for key in 0..12 {
                let expected = inserts.iter().rev().take(other).find(|entry| entry.key == key);
                prop_assert_eq!(restored.get(key), expected);
            }
        }
    }
}

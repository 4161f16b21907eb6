//! Records that are stepped and not committed yet, by partition.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use super::super::kafka::{BATCH_RECORDS, Batch, Record, crc};
use super::super::ledger::Anchor;
use crate::engine::Effect;
use crate::engine::units::Partition;

/// Records that wait for a commit at most, but for those of one batch more.
pub(super) const RECORDS_MAX: usize = 20_000;
/// Bytes of their values, likewise.
const BYTES_MAX: usize = 16 << 20;
/// The longest that a record waits for it.
const COMMIT_WITHIN: Duration = Duration::from_secs(1);

/// What came of stepping a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Nothing that anybody waits for.
    Quiet,
    /// An alert changes its state.
    Crossing,
    /// The engine panicked.
    Panic,
}

/// What came of stepping records of a partition.
#[derive(Debug)]
pub(super) enum Stepped {
    /// What its engine asked for.
    Done(Vec<Effect>),
    /// One of the records made the engine panic.
    Panicked,
    /// Nothing any more: the engine was taken back to the last commit.
    Undone,
}

/// Records of one partition.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) batch: Batch,
    pub(super) stepped: Stepped,
    /// When they have to be committed.
    due: Instant,
    /// Whether somebody waits for that: they go before all others.
    pub(super) urgent: bool,
}

impl Open {
    /// Whether all of them were stepped, and nothing went wrong.
    pub(super) const fn is_done(&self) -> bool {
        matches!(self.stepped, Stepped::Done(_))
    }

    /// The last of them, by which a recreated topic is known.
    pub(super) fn anchor(&self) -> Option<Anchor> {
        let last = self.batch.record(self.batch.records().len().checked_sub(1)?)?;
        Some(Anchor { offset: last.offset, crc: crc(last.payload) })
    }

    /// What came of them, where all were stepped well. They have to be stepped anew if that cannot be committed.
    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        match std::mem::replace(&mut self.stepped, Stepped::Undone) {
            Stepped::Done(effects) => effects,
            Stepped::Panicked | Stepped::Undone => Vec::new(),
        }
    }
}

/// Those of all partitions.
#[derive(Debug, Default)]
pub(super) struct Opens {
    parts: BTreeMap<Partition, Open>,
    records: usize,
    bytes: usize,
}

impl Opens {
    /// When the first of them have to be committed.
    pub(super) fn due(&self) -> Option<Instant> {
        self.parts.values().map(|open| open.due).min()
    }

    /// Whether there are so many that no more should come before them.
    pub(super) const fn is_full(&self) -> bool {
        self.records >= RECORDS_MAX || self.bytes >= BYTES_MAX
    }

    /// Whether a whole batch of the reader's would still not make them too many.
    pub(super) const fn has_room(&self) -> bool {
        self.records + BATCH_RECORDS < RECORDS_MAX && self.bytes < BYTES_MAX / 2
    }

    pub(super) fn has(&self, partition: Partition) -> bool {
        self.parts.contains_key(&partition)
    }

    /// Takes a record; `step` says what comes of it, unless those before it have to be stepped anew.
    pub(super) fn take(&mut self, record: &Record<'_>, now: Instant, step: impl FnOnce(&mut Vec<Effect>) -> Came) {
        self.records += 1;
        self.bytes += record.payload.map_or(0, <[u8]>::len);
        let none = || Open {
            batch: Batch::default(),
            stepped: Stepped::Done(Vec::new()),
            due: now + COMMIT_WITHIN,
            urgent: false,
        };
        let open = self.parts.entry(record.partition).or_insert_with(none);
        open.batch.push(record);
        let Stepped::Done(effects) = &mut open.stepped else { return };
        let came = step(effects);
        if came != Came::Quiet {
            open.due = open.due.min(now);
            open.urgent = true;
        }
        if came == Came::Panic {
            open.stepped = Stepped::Panicked;
        }
    }

    /// All engines were taken back to the last commit.
    pub(super) fn undone(&mut self) {
        self.parts.values_mut().for_each(|open| open.stepped = Stepped::Undone);
    }

    /// Those that are to be committed first: what is urgent, then what is due, or whatever came first where `all` are to go.
    pub(super) fn first_due(&self, now: Instant, all: bool) -> Option<(Partition, &Open)> {
        let is_due = self.parts.iter().filter(|(_, open)| all || open.due <= now);
        is_due.map(|(partition, open)| (*partition, open)).min_by_key(|(_, open)| (!open.urgent, open.due))
    }

    /// Gives those of a partition away.
    pub(super) fn remove(&mut self, partition: Partition) -> Option<Open> {
        let open = self.parts.remove(&partition)?;
        self.records -= open.batch.records().len();
        self.bytes -= open.batch.bytes();
        Some(open)
    }

    /// Gives all of them away.
    pub(super) fn take_all(&mut self) -> BTreeMap<Partition, Open> {
        std::mem::take(self).parts
    }

    /// Gives all of them away, behind those that were taken before. Where a partition has some of both, all are to be stepped anew.
    pub(super) fn take_behind(&mut self, taken: &mut BTreeMap<Partition, Open>) {
        for (partition, open) in self.take_all() {
            match taken.entry(partition) {
                Entry::Vacant(place) => drop(place.insert(open)),
                Entry::Occupied(mut before) => {
                    before.get_mut().batch.append(&open.batch);
                    before.get_mut().stepped = Stepped::Undone;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::clock;
    use crate::engine::units::Offset;

    fn record(partition: i32, payload: &[u8]) -> Record<'_> {
        Record { partition: Partition(partition), offset: Offset(0), appended: None, payload: Some(payload) }
    }

    fn opens(partitions: impl IntoIterator<Item = i32>, at: Instant) -> Opens {
        let mut opens = Opens::default();
        partitions.into_iter().for_each(|partition| opens.take(&record(partition, b"1234"), at, |_| Came::Quiet));
        opens
    }

    /// The partitions in the order in which they go, as of then.
    fn order(opens: &mut Opens, now: Instant, all: bool) -> Vec<i32> {
        let first = |opens: &Opens| opens.first_due(now, all).map(|(partition, _)| partition);
        let next = |opens: &mut Opens| first(opens).and_then(|partition| opens.remove(partition).map(|_| partition.0));
        std::iter::from_fn(|| next(opens)).collect()
    }

    #[test]
    fn what_is_urgent_goes_first_and_then_what_is_due() {
        let begun = clock::instant();
        let later = begun + COMMIT_WITHIN;
        let between = begun + COMMIT_WITHIN / 2;
        let mut opens = opens([1, 0, 2, 1], begun);
        opens.take(&record(3, b""), between, |_| Came::Crossing);
        opens.take(&record(4, b""), later, |_| Came::Quiet);
        assert_eq!((opens.due(), opens.records, opens.bytes), (Some(between), 6, 16));
        assert_eq!(order(&mut opens, begun, false), [0; 0]);
        assert_eq!(order(&mut opens, later, false), [3, 0, 1, 2]);
        assert_eq!((opens.due(), opens.records, opens.bytes), (Some(later + COMMIT_WITHIN), 1, 0));
        assert_eq!(order(&mut opens, later, true), [4], "before it is due");
        assert_eq!((opens.due(), opens.records), (None, 0));
    }

    #[test]
    fn nothing_is_stepped_behind_what_has_to_be_stepped_anew() {
        let now = clock::instant();
        for (first, stands) in [(Came::Quiet, "Undone"), (Came::Panic, "Panicked")] {
            let mut opens = Opens::default();
            opens.take(&record(0, b""), now, |_| first);
            if first == Came::Quiet {
                opens.undone();
            }
            opens.take(&record(0, b""), now, |_| unreachable!("those before it come first"));
            let open = opens.take_all().remove(&Partition(0)).unwrap();
            assert_eq!((format!("{:?}", open.stepped).as_str(), open.batch.records().len()), (stands, 2));
        }
    }

    #[test]
    fn records_that_came_while_others_were_written_stand_behind_them() {
        let now = clock::instant();
        let mut opens = opens([0, 1], now);
        let mut taken = opens.take_all();
        for partition in [1, 2] {
            opens.take(&record(partition, b"later"), now, |_| Came::Quiet);
        }
        opens.take_behind(&mut taken);
        assert_eq!((opens.due(), opens.records, opens.bytes), (None, 0, 0));
        let stands = |open: &Open| {
            let values: Vec<_> = open.batch.records().filter_map(|record| record.payload.map(<[u8]>::to_vec)).collect();
            (values.join(&b' '), matches!(open.stepped, Stepped::Undone))
        };
        let found: Vec<_> = taken.values().map(stands).collect();
        // Of the second partition some were stepped on what may not have been written.
        assert_eq!(found, [(b"1234".to_vec(), false), (b"1234 later".to_vec(), true), (b"later".to_vec(), false)]);
    }

    #[test]
    fn it_is_full_of_records_or_of_bytes() {
        let now = clock::instant();
        assert!(!opens(vec![7; RECORDS_MAX - 1], now).is_full());
        let mut full = opens(vec![7; RECORDS_MAX], now);
        assert!(full.is_full());
        // Those that came first make room, before they are due.
        full.take(&record(8, b""), now + COMMIT_WITHIN / 2, |_| Came::Quiet);
        assert_eq!(full.first_due(now, true).map(|(partition, _)| partition), Some(Partition(7)));
        assert!(full.remove(Partition(7)).is_some() && !full.is_full() && full.first_due(now, false).is_none());
        let mut opens = Opens::default();
        opens.take(&record(0, &vec![b'x'; BYTES_MAX]), now, |_| Came::Quiet);
        assert!(opens.is_full());
    }
}

//! Records that are stepped and not committed yet, by partition.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::kafka::{Batch, Record};
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
    urgent: bool,
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

    /// Gives away what is urgent, and those that are due, the first ones first, until they weigh so much or more. Where there are too
    /// many records, all are due.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        (most, weight): (usize, impl Fn(Partition) -> usize),
    ) -> BTreeMap<Partition, Open> {
        let is_full = self.is_full();
        let is_due = self.parts.iter().filter(|(_, open)| is_full || open.due <= now);
        let mut due: Vec<(bool, Instant, Partition)> =
            is_due.map(|(partition, open)| (!open.urgent, open.due, *partition)).collect();
        due.sort_unstable();
        let (mut taken, mut weighed) = (BTreeMap::new(), 0);
        for (can_wait, _, partition) in due {
            if can_wait && weighed >= most {
                break;
            }
            weighed += weight(partition);
            let Some(open) = self.parts.remove(&partition) else { continue };
            self.records -= open.batch.records().len();
            self.bytes -= open.batch.bytes();
            taken.insert(partition, open);
        }
        taken
    }

    /// Gives all of them away.
    pub(super) fn take_all(&mut self) -> BTreeMap<Partition, Open> {
        std::mem::take(self).parts
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

    #[test]
    fn those_that_are_due_go_in_their_order_until_they_weigh_enough() {
        let begun = clock::instant();
        let later = begun + COMMIT_WITHIN;
        let between = begun + COMMIT_WITHIN / 2;
        let mut opens = opens([0, 1, 2, 1], begun);
        opens.take(&record(3, b""), between, |_| Came::Crossing);
        opens.take(&record(4, b""), later, |_| Came::Quiet);
        assert_eq!((opens.due(), opens.records, opens.bytes), (Some(between), 6, 16));
        assert!(opens.take_due(begun, (100, |_| 40)).is_empty());
        // The urgent one goes with the first, although it is due after them.
        let mut next = || opens.take_due(later, (100, |_| 60)).into_keys().map(|Partition(n)| n).collect::<Vec<_>>();
        assert_eq!((next(), next(), next()), (vec![0, 3], vec![1, 2], vec![]));
        assert_eq!((opens.due(), opens.records, opens.bytes), (Some(later + COMMIT_WITHIN), 1, 0));
        assert_eq!(opens.take_all().len(), 1);
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
    fn it_is_full_of_records_or_of_bytes() {
        let now = clock::instant();
        assert!(!opens(vec![7; RECORDS_MAX - 1], now).is_full());
        let mut full = opens(vec![7; RECORDS_MAX], now);
        assert!(full.is_full());
        // Those that came first make room, before they are due.
        full.take(&record(8, b""), now + COMMIT_WITHIN / 2, |_| Came::Quiet);
        assert_eq!(full.take_due(now, (1, |_| 1)).into_keys().collect::<Vec<_>>(), [Partition(7)]);
        assert!(!full.is_full() && full.take_due(now, (1, |_| 1)).is_empty());
        let mut opens = Opens::default();
        opens.take(&record(0, &vec![b'x'; BYTES_MAX]), now, |_| Came::Quiet);
        assert!(opens.is_full());
    }
}

//! Where we are in one partition, and whether it moves.

use std::time::{Duration, Instant};

use super::event::Anchor;
use super::start::{From, Plan};

/// What to do with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// New: hand it on.
    Deliver,
    /// Known: the anchor, or a duplicate.
    Skip,
    /// The anchor is not the record we counted.
    Mismatch,
}

/// One owned partition.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    /// The first offset not yet delivered.
    pub(super) next: i64,
    /// Times in a row that the partition was begun anew without giving a record.
    pub(super) strikes: u32,
    /// The same, where a batch that may be its next one failed its checksum each time.
    pub(super) damaged: u32,
    anchor: Option<Anchor>,
    high: Option<i64>,
    /// What the client has said about the end since the last record.
    end: End,
    lagging_since: Option<Instant>,
}

/// Behind the last record there can be markers of transactions and records of aborted ones, which have offsets and are
/// never delivered; only the client knows that nothing is left. It does not say at which offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It has not reached the end.
    Ahead,
    /// It has. The next measurement tells where that is; what was appended in between arrives, and then this is over.
    Reached,
    /// It has, and the partition ended here.
    At(i64),
}

impl Cursor {
    /// A new beginning; what was counted `before` goes on.
    pub(super) fn new(plan: &Plan, before: Option<&Self>) -> Self {
        let (strikes, damaged) = before.map_or((0, 0), |before| (before.strikes, before.damaged));
        Self {
            next: plan.next,
            strikes,
            damaged,
            anchor: plan.anchor,
            high: None,
            end: End::Ahead,
            lagging_since: None,
        }
    }

    /// Takes note of a record. `crc` is computed only where it is needed.
    pub(super) fn arrive(&mut self, offset: i64, crc: impl FnOnce() -> u32) -> Arrival {
        if let Some(anchor) = self.anchor {
            if offset >= anchor.offset.0 {
                self.anchor = None;
            }
            if offset == anchor.offset.0 {
                return if crc() == anchor.crc { Arrival::Skip } else { Arrival::Mismatch };
            }
        }
        if offset < self.next {
            return Arrival::Skip;
        }
        self.next = offset + 1;
        self.strikes = 0;
        self.damaged = 0;
        self.end = End::Ahead;
        self.lagging_since = None;
        Arrival::Deliver
    }

    /// The client has reached the end of the partition.
    pub(super) fn ended(&mut self) {
        self.end = End::Reached;
        self.lagging_since = None;
        self.strikes = 0;
    }

    /// The plan to go on from here, for when all partitions must be assigned again because of another one.
    pub(super) fn resume(&self) -> Plan {
        let from = self.anchor.map_or(self.next, |anchor| anchor.offset.0);
        Plan { from: From::At(from), next: self.next, anchor: self.anchor, gap: None }
    }

    /// The wait was ours, not the partition's.
    pub(super) fn excuse(&mut self) {
        self.lagging_since = None;
    }

    /// Records between here and the end.
    pub(super) fn lag(&self) -> u64 {
        let high = self.high.unwrap_or(self.next);
        match self.end {
            End::Reached => 0,
            End::At(end) if high <= end => 0,
            End::At(_) | End::Ahead => high.saturating_sub(self.next).max(0) as u64,
        }
    }

    /// Takes note that a batch which begins at `base` failed its checksum. How many records to leave out, once that
    /// has been the same for three times in a row: twice as many each time, for nobody knows how many the batch holds.
    pub(super) fn damage(&mut self, base: i64) -> Option<i64> {
        if base > self.next || self.end != End::Ahead {
            return None;
        }
        self.damaged += 1;
        let times = self.damaged.checked_sub(3)?;
        Some(1 << times.min(62))
    }

    /// Takes note of where the partition ends. True when it has had records for `patience` and gave none.
    pub(super) fn measure(&mut self, high: i64, now: Instant, patience: Duration) -> bool {
        self.high = Some(high);
        if self.end == End::Reached {
            self.end = End::At(high);
        }
        if self.lag() == 0 {
            self.lagging_since = None;
            return false;
        }
        let since = *self.lagging_since.get_or_insert(now);
        now.duration_since(since) >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::clock;
    use crate::engine::units::Offset;

    const MINUTE: Duration = Duration::from_mins(1);

    fn cursor(next: i64, anchor: Option<Anchor>) -> Cursor {
        Cursor::new(&Plan { from: From::At(next), next, anchor, gap: None }, None)
    }

    #[test]
    fn the_anchor_is_compared_and_never_delivered() {
        let anchor = Anchor { offset: Offset(9), crc: 7 };
        let mut same = cursor(10, Some(anchor));
        assert_eq!(same.arrive(9, || 7), Arrival::Skip);
        assert_eq!(same.arrive(10, || unreachable!()), Arrival::Deliver);
        assert_eq!(same.arrive(10, || unreachable!()), Arrival::Skip);
        let mut other = cursor(10, Some(anchor));
        assert_eq!(other.arrive(9, || 8), Arrival::Mismatch);
    }

    #[test]
    fn an_anchor_that_was_compacted_away_proves_nothing() {
        let mut cursor = cursor(10, Some(Anchor { offset: Offset(9), crc: 7 }));
        assert_eq!(cursor.arrive(12, || 8), Arrival::Deliver);
        assert_eq!(cursor.next, 13);
    }

    #[test]
    fn a_batch_that_stays_damaged_is_left_out_by_growing_steps_until_a_record_comes() {
        let mut cursor = cursor(10, None);
        let steps: Vec<Option<i64>> = (0..6).map(|_| cursor.damage(8)).collect();
        assert_eq!(steps, [None, None, Some(1), Some(2), Some(4), Some(8)]);
        let mut for_long = cursor.clone();
        assert!((0..200).all(|_| for_long.damage(8) > Some(0)));
        assert_eq!(cursor.damage(11), None, "a batch behind the next record is another partition's");
        let plan = Plan { from: From::At(25), next: 25, anchor: None, gap: None };
        let mut again = Cursor::new(&plan, Some(&cursor));
        assert_eq!(again.damage(8), Some(16));
        assert_eq!(again.arrive(41, || unreachable!()), Arrival::Deliver);
        assert_eq!(again.damage(8), None);
        again.ended();
        assert_eq!((again.damage(8), again.damage(8), again.damage(8)), (None, None, None), "it has read everything");
    }

    #[test]
    fn a_partition_stalls_only_when_it_has_records_and_gives_none() {
        let start = clock::instant();
        let mut cursor = cursor(10, None);
        assert!(!cursor.measure(10, start, MINUTE));
        assert!(!cursor.measure(20, start + MINUTE, MINUTE));
        assert!(!cursor.measure(20, start + MINUTE + Duration::from_secs(59), MINUTE));
        assert!(cursor.measure(20, start + 2 * MINUTE, MINUTE));
        assert_eq!(cursor.arrive(10, || 0), Arrival::Deliver);
        assert!(!cursor.measure(20, start + 3 * MINUTE, MINUTE));
    }

    #[test]
    fn markers_behind_the_last_record_are_no_lag() {
        let start = clock::instant();
        let mut cursor = cursor(10, None);
        assert!(!cursor.measure(11, start, MINUTE));
        assert_eq!(cursor.lag(), 1);
        cursor.ended();
        assert!(!cursor.measure(11, start + 2 * MINUTE, MINUTE));
        assert_eq!(cursor.lag(), 0);
        assert!(!cursor.measure(12, start + 3 * MINUTE, MINUTE));
        assert!(cursor.measure(12, start + 4 * MINUTE, MINUTE));
    }

    #[test]
    fn an_end_that_is_reached_before_anything_is_measured_is_the_end_that_is_measured() {
        let start = clock::instant();
        let mut cursor = cursor(10, None);
        cursor.ended();
        assert!(!cursor.measure(68, start, MINUTE));
        assert_eq!(cursor.lag(), 0, "58 records of aborted transactions");
        assert!(!cursor.measure(68, start + 2 * MINUTE, MINUTE));
        // An aborted transaction more, and the client has passed it before anybody asked.
        cursor.ended();
        assert!(!cursor.measure(90, start + 3 * MINUTE, MINUTE));
        assert_eq!(cursor.lag(), 0);
    }
}

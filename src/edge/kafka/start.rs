//! Where to start reading: our position against what the broker holds.

use super::event::{Anchor, Gap, GapReason, StartAt};
use super::settings::{OnGap, Start};
use crate::engine::units::{Offset, Partition};

/// First offset held and the offset after the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) low: i64,
    pub(super) high: i64,
}

/// Where to start when the broker has not told its marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// A known offset.
    At(i64),
    /// The first record there is.
    Beginning,
    /// After the last record.
    End,
}

/// How to begin one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// What the client is assigned.
    pub(super) from: From,
    /// The first offset to deliver; the anchor comes before it.
    pub(super) next: i64,
    /// The record to compare before anything is delivered.
    pub(super) anchor: Option<Anchor>,
    /// The hole found, if any.
    pub(super) gap: Option<Gap>,
}

/// What the user decided about starting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) start: Start,
    pub(super) on_gap: OnGap,
}

impl Policy {
    /// The plan for a partition whose marks are known.
    pub(super) fn plan(self, at: &StartAt, marks: Marks) -> Plan {
        let Some(next) = at.next else {
            let from = match self.start {
                Start::Earliest => marks.low,
                Start::Latest => marks.high,
            };
            return Plan { from: From::At(from), next: from, anchor: None, gap: None };
        };
        if next.0 < marks.low {
            return self.after_gap(at.partition, next, marks, GapReason::Retention);
        }
        if next.0 > marks.high {
            return self.after_gap(at.partition, next, marks, GapReason::Truncated);
        }
        let anchor = at.anchor.filter(|anchor| anchor.offset.0 >= marks.low && anchor.offset < next);
        let from = anchor.map_or(next.0, |anchor| anchor.offset.0);
        Plan { from: From::At(from), next: next.0, anchor, gap: None }
    }

    /// The plan when the marks cannot be had: trust our own position, and let the anchor or the broker object.
    pub(super) fn plan_blind(self, at: &StartAt) -> Plan {
        match (at.next, self.start) {
            (Some(next), _) => {
                let anchor = at.anchor.filter(|anchor| anchor.offset < next && anchor.offset.0 >= 0);
                let from = anchor.map_or(next.0, |anchor| anchor.offset.0);
                Plan { from: From::At(from), next: next.0, anchor, gap: None }
            }
            (None, Start::Earliest) => Plan { from: From::Beginning, next: 0, anchor: None, gap: None },
            (None, Start::Latest) => Plan { from: From::End, next: 0, anchor: None, gap: None },
        }
    }

    /// The plan after a hole was found at `from`.
    pub(super) fn after_gap(self, partition: Partition, from: Offset, marks: Marks, reason: GapReason) -> Plan {
        let to = match (self.on_gap, reason) {
            (OnGap::Latest, _) => marks.high,

            (OnGap::Earliest | OnGap::Stop, _) => marks.low,
        };
        let gap = Gap { partition, from, to: Offset(to), reason };
        Plan { from: From::At(to), next: to, anchor: None, gap: Some(gap) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: Marks = Marks { low: 100, high: 200 };
    const P: Partition = Partition(3);

    fn policy(start: Start, on_gap: OnGap) -> Policy {
        Policy { start, on_gap }
    }

    fn at(next: i64, anchor: Option<i64>) -> StartAt {
        let anchor = anchor.map(|offset| Anchor { offset: Offset(offset), crc: 1 });
        StartAt { partition: P, next: Some(Offset(next)), anchor }
    }

    #[test]
    fn a_known_position_starts_at_its_anchor_where_that_is_still_held() {
        for (next, anchor, from, compared) in [
            (150, Some(149), 149, true),
            (150, Some(140), 140, true),
            (200, Some(199), 199, true),
            (100, Some(99), 100, false),
            (150, None, 150, false),
            (150, Some(150), 150, false),
        ] {
            let plan = policy(Start::Earliest, OnGap::Earliest).plan(&at(next, anchor), HELD);
            assert_eq!((plan.from, plan.next), (From::At(from), next));
            assert_eq!((plan.anchor.is_some(), plan.gap), (compared, None));
        }
    }

    #[test]
    fn a_position_outside_the_log_is_a_gap() {
        for (next, on_gap, to, reason) in [
            (99, OnGap::Earliest, 100, GapReason::Retention),
            (99, OnGap::Latest, 200, GapReason::Retention),
            (201, OnGap::Earliest, 100, GapReason::Truncated),
            (201, OnGap::Latest, 200, GapReason::Truncated),
            (201, OnGap::Stop, 100, GapReason::Truncated),
        ] {
            let plan = policy(Start::Latest, on_gap).plan(&at(next, Some(next - 1)), HELD);
            assert_eq!((plan.from, plan.next, plan.anchor), (From::At(to), to, None));
            assert_eq!(plan.gap, Some(Gap { partition: P, from: Offset(next), to: Offset(to), reason }));
        }
    }

    #[test]
    fn an_unseen_partition_starts_as_configured_with_or_without_marks() {
        let unseen = StartAt { partition: P, next: None, anchor: None };
        for (start, from, blind) in [(Start::Earliest, 100, From::Beginning), (Start::Latest, 200, From::End)] {
            let policy = policy(start, OnGap::Earliest);
            assert_eq!(policy.plan(&unseen, HELD).from, From::At(from));
            assert_eq!(policy.plan_blind(&unseen).from, blind);
        }
        let blind = policy(Start::Latest, OnGap::Earliest).plan_blind(&at(150, Some(149)));
        assert_eq!((blind.from, blind.next), (From::At(149), 150));
    }
}

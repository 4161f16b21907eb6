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

//! The payloads of what is committed, as the ledger asks for them.

use std::cell::Cell;

use super::kafka::Batch;
use super::ledger::Payloads;
use crate::engine::units::{Offset, Partition};

/// The payloads of batches, each of one partition, for the records that are rejected. They are asked for partition by partition in
/// the order in which they came: each is looked for from the last one on.
#[derive(Debug)]
pub(super) struct Records<'b> {
    batches: Vec<&'b Batch>,
    next: Cell<(usize, usize)>,
}

impl<'b> Records<'b> {
    pub(super) fn of(batches: impl Iterator<Item = &'b Batch>) -> Self {
        Self { batches: batches.collect(), next: Cell::default() }
    }
}

impl Payloads for Records<'_> {
    fn payload(&self, partition: Partition, offset: Offset) -> Option<&[u8]> {
        let of = |batch: &&Batch| batch.record(0).is_some_and(|record| record.partition == partition);
        let nth = self.batches.iter().position(of)?;
        let batch = self.batches.get(nth)?;
        let next = if self.next.get().0 == nth { self.next.get().1 } else { 0 };
        let is_it = |at: &usize| batch.record(*at).is_some_and(|record| record.offset == offset);
        let at = (next..batch.records().len()).chain(0..next).find(is_it)?;
        self.next.set((nth, at + 1));
        batch.record(at)?.payload
    }
}

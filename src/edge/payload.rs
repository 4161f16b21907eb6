//! The payloads of a batch, as the ledger asks for them.

use std::cell::Cell;

use super::kafka::Batch;
use super::ledger::Payloads;
use crate::engine::units::{Offset, Partition};

/// The payloads of a batch, for the records that are rejected. They are asked for in the order in which they came: each is
/// looked for from the last one on.
#[derive(Debug)]
pub(super) struct Records<'b> {
    batch: &'b Batch,
    next: Cell<usize>,
}

impl<'b> Records<'b> {
    pub(super) const fn of(batch: &'b Batch) -> Self {
        Self { batch, next: Cell::new(0) }
    }
}

impl Payloads for Records<'_> {
    fn payload(&self, partition: Partition, offset: Offset) -> Option<&[u8]> {
        let (next, end) = (self.next.get(), self.batch.records().len());
        let is_it = |at: &usize| {
            self.batch.record(*at).is_some_and(|record| (record.partition, record.offset) == (partition, offset))
        };
        let at = (next..end).chain(0..next).find(is_it)?;
        self.next.set(at + 1);
        self.batch.record(at)?.payload
    }
}

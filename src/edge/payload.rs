//! The payloads of a batch, as the ledger asks for them.

use super::kafka::Batch;
use super::ledger::Payloads;
use crate::engine::units::{Offset, Partition};

/// The payloads of a batch, for the records that are rejected.
#[derive(Debug)]
pub(super) struct Records<'b>(pub(super) &'b Batch);

impl Payloads for Records<'_> {
    fn payload(&self, partition: Partition, offset: Offset) -> Option<&[u8]> {
        self.0.records().find(|record| record.partition == partition && record.offset == offset)?.payload
    }
}

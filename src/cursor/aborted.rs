//! The reader's half of read-committed: batches of aborted transactions, and markers, are not shown (section 7.5).

use std::ops::Range;

use crate::batch::RecordBatch;
use crate::error::Result;
use crate::offset::Offset;
use crate::partition::PartitionReader;
use crate::segment::AbortedTransaction;

/// Aborted transactions of the range that is being read, looked up once for all of it.
#[derive(Debug, Default)]
pub(super) struct AbortedFilter {
    covered: Option<Range<Offset>>,
    known: Vec<AbortedTransaction>,
}

impl AbortedFilter {
    /// Whether a batch below the last stable offset does not count.
    pub(super) fn hides(&mut self, reader: &PartitionReader, batch: &RecordBatch) -> Result<bool> {
        if batch.is_control() {
            return Ok(true);
        }
        let Some(producer) = batch.producer_id().filter(|_| batch.is_transactional()) else {
            return Ok(false);
        };
        self.cover(reader, batch.base_offset()..batch.next_offset())?;
        let base = batch.base_offset();
        // Within one producer transactions do not overlap, so its offsets tell to which one a batch belongs.
        Ok(self.known.iter().any(|aborted| {
            aborted.producer == producer && aborted.first <= base && base <= aborted.last
        }))
    }

    fn cover(&mut self, reader: &PartitionReader, range: Range<Offset>) -> Result<()> {
        let is_covered =
            |covered: &Range<Offset>| covered.start <= range.start && range.end <= covered.end;
        if !self.covered.as_ref().is_some_and(is_covered) {
            // Everything up to the last stable offset is decided, so the answer does not change.
            let stable = reader.published.watermarks().last_stable.max(range.end);
            self.known = reader.aborted(range.start..stable)?;
            self.covered = Some(range.start..stable);
        }
        Ok(())
    }
}

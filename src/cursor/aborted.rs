//! The reader's half of read-committed: batches of aborted transactions, and markers, are not shown (section 7.5).

use std::ops::Range;

use crate::batch::RecordBatch;
use crate::error::Result;
use crate::offset::Offset;
use crate::partition::PartitionReader;
use crate::segment::AbortedTransaction;

/// What becomes of a batch below the last stable offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Shown,
    Hidden,
    /// The log start went above the batch, and the list of what was aborted there may be gone with it.
    Trimmed,
}

/// Aborted transactions of the range that is being read, looked up once for all of it.
#[derive(Debug, Default)]
pub(super) struct AbortedFilter {
    covered: Option<Covered>,
    /// By producer, then by first offset.
    known: Vec<AbortedTransaction>,
}

#[derive(Debug)]
struct Covered {
    offsets: Range<Offset>,
    /// A truncation may take decisions back.
    generation: u64,
}

impl AbortedFilter {
    /// `from` is where the reader stood before the batch, at or above the log start of then.
    pub(super) fn judge(
        &mut self,
        reader: &PartitionReader,
        from: Offset,
        batch: &RecordBatch,
    ) -> Result<Verdict> {
        if batch.is_control() {
            return Ok(Verdict::Hidden);
        }
        let Some(producer) = batch.producer_id().filter(|_| batch.is_transactional()) else {
            return Ok(Verdict::Shown);
        };
        if !self.cover(reader, from.max(batch.base_offset())..batch.next_offset())? {
            return Ok(Verdict::Trimmed);
        }
        let base = batch.base_offset();
        // Transactions of one producer do not overlap, so its offset tells to which one a batch belongs.
        let key = (producer, base);
        let behind = (self.known).partition_point(|known| (known.producer, known.first) <= key);
        let last = behind.checked_sub(1).and_then(|at| self.known.get(at));
        let is_aborted = last.is_some_and(|known| known.producer == producer && base <= known.last);
        Ok(if is_aborted {
            Verdict::Hidden
        } else {
            Verdict::Shown
        })
    }

    /// Knows what was aborted in `offsets`; `false` when the log start has gone above them meanwhile.
    fn cover(&mut self, reader: &PartitionReader, offsets: Range<Offset>) -> Result<bool> {
        let snapshot = reader.published.snapshot();
        let is_covered = self.covered.as_ref().is_some_and(|covered| {
            covered.generation == snapshot.generation
                && covered.offsets.start <= offsets.start
                && offsets.end <= covered.offsets.end
        });
        if is_covered {
            return Ok(true);
        }
        self.covered = None;
        // Everything up to the last stable offset is decided, so the answer does not change.
        let stable = snapshot.watermarks.last_stable.max(offsets.end);
        self.known = reader.aborted(offsets.start..stable)?;
        self.known
            .sort_unstable_by_key(|known| (known.producer, known.first));
        if reader.published.watermarks().start > offsets.start {
            return Ok(false);
        }
        self.covered = Some(Covered {
            offsets: offsets.start..stable,
            generation: snapshot.generation,
        });
        Ok(true)
    }
}

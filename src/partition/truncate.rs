//! Cutting the tail and starting anew; neither waits for a reader.
use super::PartitionCore;
use crate::error::Result;
use crate::offset::Offset;
impl PartitionCore {
    /// `Replica::truncate_to`: batch-granular; returns the real new end.
    pub(crate) fn truncate_to(&self, offset: Offset) -> Result<Offset> {
        let _ = offset;
        todo!()
    }
    /// `Replica::reset_to`: drops everything, starts at `offset` (truncateFullyAndStartAt).
    pub(crate) fn reset_to(&self, offset: Offset) -> Result<()> {
        let _ = offset;
        todo!()
    }
}

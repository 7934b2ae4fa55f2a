//! Opening a partition: look at the directory, ask the tables of `recovery.rs`, do what they say; and closing it.
use super::{Incarnation, PartitionCore, Published, SharedByLog, TopicOptions};
use crate::error::Result;
use crate::offset::Offset;
use crate::segment::SegmentHome;
use crate::topic::TopicPartition;
use std::sync::Arc;

/// Who wrote last in the log directory (DESIGN's owner question), answered above and handed down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Fresh,
    OursClean,
    OursUnclean,
    ForeignClean,
    ForeignUnclean,
}
/// What the log directory knows of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OpenFacts {
    pub(crate) owner: Owner,
    /// Kafka's `recovery-point-offset-checkpoint`, when it has an entry.
    pub(crate) recovery_point: Option<Offset>,
    /// Kafka's `log-start-offset-checkpoint`, when it has an entry.
    pub(crate) log_start: Option<Offset>,
    pub(crate) incarnation: Incarnation,
}
/// What opening one partition found and did: a part of the `RecoveryReport`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionRecovery {
    pub(crate) name: TopicPartition,
}
/// What the log's checkpoints get when a partition closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ClosedFacts {
    pub(crate) log_start: Offset,
    pub(crate) recovery_point: Offset,
    pub(crate) high: Offset,
    pub(crate) start_is_inside_segment: bool,
}
/// A tail that must be copied to fresh blocks before it is shown.
#[derive(Debug)]
pub(crate) struct PendingCopy {}

impl PartitionCore {
    /// Opens for writing: recovers as the tables say. Everything shown afterwards is durable or will be covered by the next sync as DESIGN section 7 says.
    pub(crate) fn open(
        name: TopicPartition,
        home: SegmentHome,
        options: Arc<TopicOptions>,
        facts: OpenFacts,
        shared: Arc<SharedByLog>,
    ) -> Result<(Arc<Self>, PartitionRecovery)> {
        let _ = (name, home, options, facts, shared);
        todo!()
    }
    /// Makes a new, empty partition in its existing, empty directory, starting at offset 0; side files at full size, durable on return.
    pub(crate) fn create(
        name: TopicPartition,
        home: SegmentHome,
        options: Arc<TopicOptions>,
        shared: Arc<SharedByLog>,
    ) -> Result<Arc<Self>> {
        let _ = (name, home, options, shared);
        todo!()
    }
    /// Tries again to copy the tail that could not be copied at open; on success the tail is `Active`. Called by an append, under the writer lock.
    pub(super) fn finish_pending_copy(&self, writer: &mut super::WriterState) -> Result<()> {
        let _ = writer;
        todo!()
    }
    /// Clean close: sync, indexes, prepared space cut, snapshot at the end, facts synced. Every call afterwards says `Closed`.
    pub(crate) fn close(&self) -> Result<ClosedFacts> {
        todo!()
    }
}
/// What a reader of a directory sees without writing a byte: as recovery would see it, without a verdict.
pub(crate) fn open_read_only(
    name: &TopicPartition,
    home: &SegmentHome,
    facts: OpenFacts,
) -> Result<Arc<Published>> {
    let _ = (name, home, facts);
    todo!()
}

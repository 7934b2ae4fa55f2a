//! Tickets, and the sync that they share: one in flight per partition, never under the writer lock, never retried after a failure.
use super::PartitionCore;
use crate::error::Result;
use crate::offset::Offset;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// What an append returns: where the records stand, and later whether they are on the medium. Dropping it loses nothing.
#[derive(Debug)]
pub struct Ticket {
    offsets: Range<Offset>,
    core: Arc<PartitionCore>,
}
impl Ticket {
    pub fn offset(&self) -> Offset {
        self.offsets.start
    }
    pub fn offsets(&self) -> Range<Offset> {
        self.offsets.clone()
    }
    pub fn is_durable(&self) -> bool {
        let _ = &self.core;
        todo!()
    }
    pub fn wait_durable(&self) -> Result<()> {
        todo!()
    }
    pub fn wait_durable_timeout(&self, limit: Duration) -> Result<bool> {
        let _ = limit;
        todo!()
    }
    pub fn durable(self) -> Durable {
        todo!()
    }
}
/// A future that is ready once the ticket's records are on the medium.
#[derive(Debug)]
pub struct Durable {
    ticket: Ticket,
}
impl std::future::Future for Durable {
    type Output = Result<Offset>;
    fn poll(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let _ = (context, &self.ticket);
        todo!()
    }
}
/// The commit state of a partition: segments with un-synced bytes in order, the turn, the open group of `Always`.
#[derive(Debug)]
pub(crate) struct Commit {}
/// Holding it keeps every sync of the partition away. Truncation, trimming and closing take it.
#[derive(Debug)]
pub(crate) struct CommitTurn<'p> {
    core: &'p PartitionCore,
}
impl PartitionCore {
    /// Syncs all that was appended before the call, or shares a sync in flight; returns the durable end. `Partition::sync`.
    pub(crate) fn sync_now(&self) -> Result<Offset> {
        todo!()
    }
    /// Waits until no sync is in flight, and keeps it so.
    pub(crate) fn take_commit_turn(&self) -> CommitTurn<'_> {
        CommitTurn { core: self }
    }
    /// Background work: starts a sync if the policy, the age or the amount of un-synced bytes asks for one. When is the next look due?
    pub(crate) fn sync_if_due(&self) -> Result<Option<Duration>> {
        todo!()
    }
}
impl CommitTurn<'_> {
    pub(crate) fn core(&self) -> &PartitionCore {
        self.core
    }
}
/// Partitions that asked for a sync; a queue with a wake-up.
#[derive(Debug, Default)]
pub(crate) struct SyncRequests {}
/// Un-synced bytes of the whole log, with a limit beyond which appends wait.
#[derive(Debug, Default)]
pub(crate) struct UnsyncedBudget {}

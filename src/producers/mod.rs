//! What the log knows of each idempotent or transactional producer (KIP-98): a fold over batches, which append, recovery and truncation share.
//!
//! This folder must never know what a file is: snapshots are bytes here.

mod snapshot;
mod transactions;

use crate::batch::{BatchHeader, ControlMarker};
use crate::error::Result;
use crate::ids::{ProducerEpoch, ProducerId, Sequence};
use crate::offset::Offset;
use crate::segment::AbortedTransaction;
use crate::timestamp::Timestamp;
use std::ops::Range;

/// All producers of a partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {}

/// What `check` says of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    /// Append it.
    New,
    /// It stands in the log already, at these offsets; append nothing.
    Duplicate { offsets: Range<Offset> },
}
/// Where a batch comes from, which decides what is fatal (Kafka's `AppendOrigin`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    Leader,
    Replication,
    Coordinator,
}
/// A look at one producer, for `Replica::producers()`.
#[non_exhaustive]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProducerInfo {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
    pub last_sequence: Option<Sequence>,
    pub last_offset: Option<Offset>,
    pub last_timestamp: Option<Timestamp>,
    pub coordinator_epoch: Option<i32>,
    pub transaction_first_offset: Option<Offset>,
    /// The last batches (at most five), oldest first: (first sequence, last sequence, first offset, last offset, time).
    pub batches: Vec<ProducerBatch>,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerBatch {
    pub first_sequence: Sequence,
    pub last_sequence: Sequence,
    pub first_offset: Offset,
    pub last_offset: Offset,
    pub timestamp: Option<Timestamp>,
}

impl Producers {
    /// Whether a batch may be appended; the state does not change (KAFKA-6683). Looks at ids, epochs and sequences only.
    pub(crate) fn check(
        &self,
        header: &BatchHeader,
        marker: Option<&ControlMarker>,
        origin: Origin,
    ) -> Result<Admission> {
        let _ = (header, marker, origin);
        todo!()
    }
    /// The fold: takes in a batch that stands in the log (offsets assigned). Returns the transaction that an ABORT marker ended.
    pub(crate) fn apply(
        &mut self,
        header: &BatchHeader,
        marker: Option<&ControlMarker>,
    ) -> Option<AbortedTransaction> {
        let _ = (header, marker);
        todo!()
    }
    /// The first offset of a transaction that is open, or whose marker `high` has not passed.
    pub(crate) fn first_unstable(&self, high: Offset) -> Option<Offset> {
        let _ = high;
        todo!()
    }
    /// A transaction decided below `high` no longer holds the last stable offset back.
    pub(crate) fn forget_decided_below(&mut self, high: Offset) {
        let _ = high;
        todo!()
    }
    /// The log starts here now: decided transactions below are forgotten (producers are not, KAFKA-7190).
    pub(crate) fn advance_start(&mut self, start: Offset) {
        let _ = start;
        todo!()
    }
    /// Drops producers idle for `expiration_ms` that have no open transaction.
    pub(crate) fn expire(&mut self, now: Timestamp, expiration_ms: i64) {
        let _ = (now, expiration_ms);
        todo!()
    }
    pub(crate) fn is_empty(&self) -> bool {
        todo!()
    }
    pub(crate) fn list(&self) -> Vec<ProducerInfo> {
        todo!()
    }
    /// The snapshot file's bytes (section 2.6 of the format).
    pub(crate) fn to_snapshot(&self) -> Vec<u8> {
        todo!()
    }
    /// From a snapshot file's bytes; `Err` says what is wrong with them.
    pub(crate) fn from_snapshot(bytes: &[u8]) -> Result<Self, String> {
        let _ = bytes;
        todo!()
    }
}

//! Control batches: the markers with which a coordinator ends a transaction (KIP-98).
use crate::ids::{ProducerEpoch, ProducerId};
use crate::timestamp::Timestamp;

/// What a control record says.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ControlKind {
    /// The transaction's records do not count.
    Abort,
    /// They do.
    Commit,
}

/// The end of a transaction in this partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ControlMarker {
    pub kind: ControlKind,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub coordinator_epoch: i32,
    pub timestamp: Timestamp,
}

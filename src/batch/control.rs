//! Control batches: the markers with which a coordinator ends a transaction (KIP-98).
//!
//! ```text
//!   key    | version i16 | type i16 |               type: 0 abort, 1 commit, others are not transactions
//!   value  | version i16 | coordinator epoch i32 |
//! ```
//!
//! Longer keys and values and higher versions are read as version 0, as Kafka does.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use super::header::ProducerStamp;
use crate::ids::{ProducerEpoch, ProducerId};
use crate::timestamp::Timestamp;

const ABORT: i16 = 0;
const COMMIT: i16 = 1;

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
    /// How the transaction ended.
    pub kind: ControlKind,
    /// Whose transaction.
    pub producer_id: ProducerId,
    /// The generation of the producer; with transaction version 2 one above that of the data (KIP-890).
    pub producer_epoch: ProducerEpoch,
    /// The term of the coordinator that wrote the marker; an older one is fenced.
    pub coordinator_epoch: i32,
    /// When the coordinator wrote the marker.
    pub timestamp: Timestamp,
}

impl ControlMarker {
    pub(super) fn key(&self) -> [u8; 4] {
        let kind = match self.kind {
            ControlKind::Abort => ABORT,
            ControlKind::Commit => COMMIT,
        };
        let [a, b] = kind.to_be_bytes();
        [0, 0, a, b]
    }

    pub(super) fn value(&self) -> [u8; 6] {
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        [0, 0, a, b, c, d]
    }
}

/// Reads a control record; `None` for a type that ends no transaction.
pub(super) fn parse(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    producer: &ProducerStamp,
    timestamp: Option<Timestamp>,
) -> Result<Option<ControlMarker>, &'static str> {
    let Some(([v0, v1, t0, t1], _)) = key.unwrap_or(&[]).split_first_chunk() else {
        return Err("the key is too short");
    };
    if i16::from_be_bytes([*v0, *v1]) < 0 {
        return Err("the version of the key is negative");
    }
    let kind = match i16::from_be_bytes([*t0, *t1]) {
        ABORT => ControlKind::Abort,
        COMMIT => ControlKind::Commit,
        _ => return Ok(None),
    };
    let Some(([v0, v1, e0, e1, e2, e3], _)) = value.unwrap_or(&[]).split_first_chunk() else {
        return Err("the value is too short");
    };
    if i16::from_be_bytes([*v0, *v1]) < 0 {
        return Err("the version of the value is negative");
    }
    Ok(Some(ControlMarker {
        kind,
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        coordinator_epoch: i32::from_be_bytes([*e0, *e1, *e2, *e3]),
        // A coordinator always gives a time; 1970 stands for that of a hand-made batch without one.
        timestamp: timestamp.unwrap_or(Timestamp::from_millis(0)),
    }))
}

//! Kafka's record batch, format v2: bytes on one side, records on the other.
//!
//! ```text
//!   0        8       12      16 17     21  23   27        35        43        51   53   57   61
//!   | base    | batch | leader|m| crc   |at | last| base    | max     | producer|prod| base|re-|records...
//!   | offset  | length| epoch |a|       |tri| off-| time-   | time-   | id      |epo | seq |cord
//!   |         |       |       |g|       |but| set | stamp   | stamp   |         |ch  |     |count
//!   |<- prefix: outside the CRC        ->|   |<---------- covered by the CRC-32C, to the end ---------->
//! ```
//!
//! [`UnverifiedBatch`] is bytes that came from somewhere; it shows no records. [`RecordBatch`] has been verified
//! and is immutable, so what it shows cannot change after the check.
//!
//! This folder must never know what a file, a segment or a partition is.

pub(crate) mod header;

mod build;
mod control;
mod record;
mod varint;
mod verify;

pub use build::RecordBatchBuilder;
pub(crate) use build::encode_single;
pub use control::{ControlKind, ControlMarker};
pub use header::TimestampType;
pub(crate) use header::{BatchHeader, HEADER_BYTES, HeaderFault, PREFIX_BYTES, ProducerStamp};
pub use record::{Header, Headers, IntoRecords, Record, RecordRef, Records, StoredRecord};
pub use verify::{RecordBatch, UnverifiedBatch};

#[cfg(test)]
mod tests;

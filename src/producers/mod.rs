//! What the log knows of each idempotent or transactional producer (KIP-98): a fold over batches, which append,
//! recovery and truncation share.
//!
//! The rules are those of Kafka's `ProducerStateManager`. This folder must never know what a file is: snapshots are
//! bytes here.

mod snapshot;
#[cfg(test)]
mod tests;
mod transactions;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use crate::batch::{BatchHeader, ControlKind, ControlMarker, ProducerStamp};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{ProducerEpoch, ProducerId, Sequence};
use crate::offset::Offset;
use crate::segment::AbortedTransaction;
use crate::timestamp::Timestamp;
use transactions::Transactions;

/// So many batches per producer are remembered to recognise one that is sent again (`NUM_BATCHES_TO_RETAIN`).
const REMEMBERED_BATCHES: usize = 5;

/// All producers of a partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    by_id: BTreeMap<ProducerId, Producer>,
    transactions: Transactions,
}

/// One producer.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Producer {
    epoch: ProducerEpoch,
    coordinator_epoch: Option<i32>,
    last_timestamp: Option<Timestamp>,
    /// Oldest first.
    batches: VecDeque<ProducerBatch>,
}

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
    /// A producer: everything is checked.
    Leader,
    /// The leader, which has checked: nothing is fatal.
    Replication,
}

/// A look at one producer.
#[non_exhaustive]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProducerInfo {
    /// The producer's id.
    pub id: ProducerId,
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// The epoch of the coordinator that wrote its last marker.
    pub coordinator_epoch: Option<i32>,
    /// The largest record time of its last batch, or the time of its last marker.
    pub last_timestamp: Option<Timestamp>,
    /// Where its open transaction starts in this partition.
    pub transaction_first_offset: Option<Offset>,
    /// Its last batches, at most five, oldest first. One after a restart that replayed none.
    pub batches: Vec<ProducerBatch>,
}

/// A batch that a producer wrote, as far as it takes to recognise it when it comes again.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerBatch {
    /// Sequence of the first record.
    pub first_sequence: Sequence,
    /// Sequence of the last record.
    pub last_sequence: Sequence,
    /// Offset of the first record.
    pub first_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// The largest record time.
    pub timestamp: Option<Timestamp>,
}

impl Producers {
    /// Whether a batch may be appended; the state does not change (KAFKA-6683). Looks at ids, epochs and sequences
    /// only, so that it can be asked before offsets are assigned. `marker` is that of a control batch.
    ///
    /// # Errors
    /// `Fenced` for an older epoch of producer or coordinator, `OutOfSequence`, `InvalidInput` for a batch that the
    /// transaction rules forbid.
    pub(crate) fn check(
        &self,
        header: &BatchHeader,
        marker: Option<&ControlMarker>,
        origin: Origin,
    ) -> Result<Admission> {
        let Some(stamp) = header.producer() else {
            return Ok(Admission::New);
        };
        if origin == Origin::Replication {
            return Ok(Admission::New);
        }
        let Some(known) = self.by_id.get(&stamp.id) else {
            // Nothing is known of it: any sequence is a beginning.
            return Ok(Admission::New);
        };
        if header.is_control() {
            check_fencing(known, &stamp)?;
            return check_coordinator(known, marker, &stamp);
        }
        let Some(first) = stamp.base_sequence else {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("a batch of producer {} has no sequence", stamp.id),
            ));
        };
        let last = first.wrapping_add(header.last_offset_delta());
        if let Some(batch) = known.find(stamp.epoch, first, last) {
            let end = batch.last_offset.saturating_add(1);
            return Ok(Admission::Duplicate {
                offsets: batch.first_offset..end,
            });
        }
        check_fencing(known, &stamp)?;
        check_sequence(known, &stamp, first)?;
        if !header.is_transactional() && self.transactions.first_of(stamp.id).is_some() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "producer {} sends a batch outside of the transaction that it has open",
                    stamp.id
                ),
            )
            .remedy("end the transaction first, or send the batch as a part of it"));
        }
        Ok(Admission::New)
    }

    /// The fold: takes in a batch that stands in the log, offsets assigned. Returns the transaction that an ABORT
    /// marker ended; an empty transaction gives none (KAFKA-10702).
    pub(crate) fn apply(
        &mut self,
        header: &BatchHeader,
        marker: Option<&ControlMarker>,
    ) -> Option<AbortedTransaction> {
        let stamp = header.producer()?;
        if header.is_control() {
            // Without its record the whole transaction was compacted away.
            return marker.and_then(|marker| self.apply_marker(header, marker, &stamp));
        }
        let producer = self.at_epoch(&stamp);
        producer.last_timestamp = header.max_timestamp();
        if let Some(first_sequence) = stamp.base_sequence {
            producer.remember(ProducerBatch {
                first_sequence,
                last_sequence: first_sequence.wrapping_add(header.last_offset_delta()),
                first_offset: header.base_offset(),
                last_offset: header.last_offset(),
                timestamp: header.max_timestamp(),
            });
        }
        if header.is_transactional() {
            self.transactions.begin(stamp.id, header.base_offset());
        }
        None
    }

    fn apply_marker(
        &mut self,
        header: &BatchHeader,
        marker: &ControlMarker,
        stamp: &ProducerStamp,
    ) -> Option<AbortedTransaction> {
        let producer = self.at_epoch(stamp);
        producer.last_timestamp = Some(marker.timestamp);
        producer.coordinator_epoch = Some(marker.coordinator_epoch);
        // Paired by id alone: since transaction version 2 the marker's epoch is one above that of the data.
        let decided = self.transactions.decide(stamp.id, header.last_offset())?;
        (marker.kind == ControlKind::Abort).then(|| AbortedTransaction {
            producer: stamp.id,
            first: decided.first,
            last: decided.marker,
            last_stable: self
                .transactions
                .oldest_open()
                .unwrap_or(header.next_offset()),
        })
    }

    /// The producer, its batches forgotten when the epoch is another one.
    fn at_epoch(&mut self, stamp: &ProducerStamp) -> &mut Producer {
        let producer = self.by_id.entry(stamp.id).or_insert_with(|| Producer {
            epoch: stamp.epoch,
            coordinator_epoch: None,
            last_timestamp: None,
            batches: VecDeque::new(),
        });
        if producer.epoch != stamp.epoch {
            producer.epoch = stamp.epoch;
            producer.batches.clear();
        }
        producer
    }

    /// The first offset of a transaction that is open, or whose marker `high` has not passed.
    pub(crate) fn first_unstable(&self, high: Offset) -> Option<Offset> {
        self.transactions.first_unstable(high)
    }

    /// A transaction decided below `high` no longer holds the last stable offset back.
    pub(crate) fn forget_decided_below(&mut self, high: Offset) {
        self.transactions.forget_decided_below(high);
    }

    /// The log starts here now: transactions decided below are forgotten. Producers are not (KAFKA-7190).
    pub(crate) fn advance_start(&mut self, start: Offset) {
        self.transactions.forget_decided_below(start);
    }

    /// Drops producers that were idle for `expiration_ms` and have no open transaction, by the times in their records and markers
    /// (KAFKA-9144).
    pub(crate) fn expire(&mut self, now: Timestamp, expiration_ms: i64) {
        let transactions = &self.transactions;
        self.by_id.retain(|id, producer| {
            // Without any time it would otherwise stay for ever; Kafka drops it as well.
            let idle = producer.last_timestamp.is_none_or(|last| {
                now.as_millis().saturating_sub(last.as_millis()) >= expiration_ms
            });
            !idle || transactions.first_of(*id).is_some()
        });
    }

    /// All producers, by id.
    pub(crate) fn list(&self) -> Vec<ProducerInfo> {
        self.by_id
            .iter()
            .map(|(id, producer)| ProducerInfo {
                id: *id,
                epoch: producer.epoch,
                coordinator_epoch: producer.coordinator_epoch,
                last_timestamp: producer.last_timestamp,
                transaction_first_offset: self.transactions.first_of(*id),
                batches: producer.batches.iter().copied().collect(),
            })
            .collect()
    }
}

impl Producer {
    fn find(
        &self,
        epoch: ProducerEpoch,
        first: Sequence,
        last: Sequence,
    ) -> Option<&ProducerBatch> {
        let same =
            |batch: &&ProducerBatch| batch.first_sequence == first && batch.last_sequence == last;
        if epoch == self.epoch {
            self.batches.iter().find(same)
        } else {
            None
        }
    }

    fn remember(&mut self, batch: ProducerBatch) {
        if self.batches.len() == REMEMBERED_BATCHES {
            self.batches.pop_front();
        }
        self.batches.push_back(batch);
    }
}

fn check_fencing(known: &Producer, stamp: &ProducerStamp) -> Result<()> {
    if stamp.epoch >= known.epoch {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Fenced,
        format!(
            "producer {} sends with epoch {}, and epoch {} is known",
            stamp.id, stamp.epoch, known.epoch
        ),
    )
    .remedy("another instance of the producer has taken over; this one must end"))
}

fn check_coordinator(
    known: &Producer,
    marker: Option<&ControlMarker>,
    stamp: &ProducerStamp,
) -> Result<Admission> {
    let (Some(marker), Some(last)) = (marker, known.coordinator_epoch) else {
        return Ok(Admission::New);
    };
    if marker.coordinator_epoch >= last {
        return Ok(Admission::New);
    }
    let epoch = marker.coordinator_epoch;
    Err(Error::new(
        ErrorKind::Fenced,
        format!(
            "a marker for producer {} comes from coordinator epoch {epoch}, and {last} is known",
            stamp.id
        ),
    ))
}

fn check_sequence(known: &Producer, stamp: &ProducerStamp, first: Sequence) -> Result<()> {
    // A new epoch, or one of which only a marker is known, starts at 0.
    let expected = match known.batches.back() {
        Some(last) if stamp.epoch == known.epoch => last.last_sequence.wrapping_add(1),
        _ => Sequence::ZERO,
    };
    if first == expected {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::OutOfSequence,
        format!(
            "producer {} in epoch {} sends sequence {first}, and {expected} is next",
            stamp.id, stamp.epoch
        ),
    )
    .remedy("a batch before this one is missing; send it first, or start a new epoch"))
}

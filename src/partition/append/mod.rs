//! Appending: encode outside of the writer lock, stamp and copy inside, publish, then the policy.
//!
//! Records come in here; raw batches, as a leader or a follower gets them, in `raw.rs`; what time a record gets, in `times.rs`. All of
//! them end in [`PartitionCore::write`], the one place where bytes reach the log.

mod raw;
mod times;

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::roll::Incoming;
use super::{
    FsyncPolicy, FullDisk, HighWatermark, Partition, PartitionCore, Tail, Ticket, TopicOptions,
    WriterState,
};
use crate::batch::{
    BatchHeader, ControlMarker, Record, RecordBatchBuilder, TimestampType, encode_single, header,
};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaderEpoch;
use crate::limits::FULL_RETRY_MS;
use crate::offset::Offset;
use crate::producers::{Admission, Origin};
use crate::timestamp::Timestamp;

use times::{assign_time, check_record_time};

/// What became of a raw batch appended as leader.
#[non_exhaustive]
#[derive(Debug)]
pub enum AppendOutcome {
    /// It stands in the log.
    Appended(Ticket),
    /// The producer had sent it before (KIP-98): nothing was appended, it stands at these offsets.
    Duplicate {
        /// The first and, exclusive, the last offset of the batch that stands there.
        offsets: Range<Offset>,
    },
}

impl Partition {
    /// Appends one record as one batch, and waits for what the policy promises: under [`FsyncPolicy::Always`] for a sync, which
    /// all who wait share, together with the batch; under the others for nothing.
    ///
    /// What returned survives the death of the process. It waits as well while the log has more un-synced bytes than its limit.
    ///
    /// # Errors
    /// `TooLarge` above `max.message.bytes`; `InvalidInput` for a timestamp out of the topic's range; `Full` (nothing was written; writing
    /// resumes by itself); `Io`; `Failed` once writing has stopped; `Closed`.
    pub fn append(&self, record: Record<'_>) -> Result<Ticket> {
        let options = self.core.options();
        match options.fsync {
            FsyncPolicy::Always if record.timestamp.is_none() => {
                self.core.append_in_group(&options, record)
            }
            FsyncPolicy::Always => {
                let ticket = self.core.append_record(&options, record)?;
                ticket.wait_durable().map(|()| ticket)
            }
            _ => self.submit(record),
        }
    }

    /// Appends the records of `batch` as one batch, all or nothing, and waits as [`Partition::append`] does. The builder stays as it is.
    ///
    /// A batch of an idempotent producer that stands in the log already gives a ticket for where it stands.
    ///
    /// # Errors
    /// As [`Partition::append`]; `InvalidInput` without records; `Fenced` and `OutOfSequence` as the producer's state says (KIP-98).
    pub fn append_batch(&self, batch: &RecordBatchBuilder) -> Result<Ticket> {
        let options = self.core.options();
        let ticket = self.core.append_builder(&options, batch)?;
        if options.fsync == FsyncPolicy::Always {
            ticket.wait_durable()?;
        } else {
            self.core.ask_for_sync_by_policy(options.fsync);
        }
        Ok(ticket)
    }

    /// Appends one record as one batch and never waits for its sync, whatever the policy: what async code calls. What returned
    /// survives the death of the process; [`Ticket::durable`] tells the rest.
    ///
    /// Above the log's limit of un-synced bytes it waits as `append` does: the bound on what a power cut takes goes first.
    ///
    /// # Errors
    /// As [`Partition::append`].
    pub fn submit(&self, record: Record<'_>) -> Result<Ticket> {
        let options = self.core.options();
        let ticket = self.core.append_record(&options, record)?;
        self.core.ask_for_sync_by_policy(options.fsync);
        Ok(ticket)
    }

    /// Appends the records of `batch` as one batch, all or nothing, and never waits for its sync.
    ///
    /// # Errors
    /// As [`Partition::append_batch`].
    pub fn submit_batch(&self, batch: &RecordBatchBuilder) -> Result<Ticket> {
        let options = self.core.options();
        let ticket = self.core.append_builder(&options, batch)?;
        self.core.ask_for_sync_by_policy(options.fsync);
        Ok(ticket)
    }
}

/// An encoded batch on its way into the log.
#[derive(Debug)]
struct Encoded<'b> {
    bytes: &'b mut [u8],
    times: EncodedTimes,
    marker: Option<ControlMarker>,
    /// The leader's epoch; without one, the newest that is known.
    epoch: Option<LeaderEpoch>,
    /// The wall clock when the append began.
    began: Timestamp,
}

/// Where the records of an encoded batch have their time from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum EncodedTimes {
    /// From this append: they say `guess`, and get another one under the lock if it is not the one to assign.
    Assigned { guess: Timestamp },
    /// From the records; a topic with `LogAppendTime` covers them.
    Explicit,
}

impl PartitionCore {
    /// Encodes a record outside of the lock and appends it.
    pub(super) fn append_record(
        self: &Arc<Self>,
        options: &TopicOptions,
        record: Record<'_>,
    ) -> Result<Ticket> {
        let now = self.shared.clock.now().into();
        if let Some(at) = record.timestamp {
            check_record_time(options, at, now)?;
        }
        with_buffer(|buffer| {
            encode_single(&record, options.compression, now, buffer)?;
            let times = match record.timestamp {
                Some(_) => EncodedTimes::Explicit,
                None => EncodedTimes::Assigned { guess: now },
            };
            self.append_own(options, Encoded::of_records(buffer, times, now))
        })
    }

    fn append_builder(
        self: &Arc<Self>,
        options: &TopicOptions,
        batch: &RecordBatchBuilder,
    ) -> Result<Ticket> {
        let now = self.shared.clock.now().into();
        with_buffer(|buffer| {
            batch.encode_into(now, buffer)?;
            let times = match batch.explicit_max_timestamp() {
                Some(max) => {
                    check_record_time(options, max, now)?;
                    times::check_earliest(options, buffer, now)?;
                    EncodedTimes::Explicit
                }
                None => EncodedTimes::Assigned { guess: now },
            };
            self.append_own(options, Encoded::of_records(buffer, times, now))
        })
    }

    /// The records of a group commit, whose leader holds the commit turn and syncs afterwards. Each of them was checked when it joined.
    pub(super) fn append_group(
        self: &Arc<Self>,
        options: &TopicOptions,
        batch: &RecordBatchBuilder,
    ) -> Result<Ticket> {
        let now = self.shared.clock.now().into();
        with_buffer(|buffer| {
            batch.encode_into(now, buffer)?;
            let encoded = Encoded::of_records(buffer, EncodedTimes::Assigned { guess: now }, now);
            self.append_encoded(options, encoded)
                .map(|outcome| self.ticket_of(outcome))
        })
    }

    fn append_own(self: &Arc<Self>, options: &TopicOptions, batch: Encoded<'_>) -> Result<Ticket> {
        check_size(options, batch.bytes.len())?;
        self.wait_for_room()?;
        self.append_encoded(options, batch)
            .map(|outcome| self.ticket_of(outcome))
    }

    /// A duplicate's ticket is for the batch that stands there.
    fn ticket_of(self: &Arc<Self>, outcome: AppendOutcome) -> Ticket {
        match outcome {
            AppendOutcome::Appended(ticket) => ticket,
            AppendOutcome::Duplicate { offsets } => {
                Ticket::new(Arc::clone(self), offsets, self.published.generation())
            }
        }
    }

    /// Under the writer lock: time, place, producer, roll, one write.
    fn append_encoded(
        self: &Arc<Self>,
        options: &TopicOptions,
        mut batch: Encoded<'_>,
    ) -> Result<AppendOutcome> {
        let mut guard = self.writer.lock();
        let writer = &mut *guard;
        let at = self.next_offset(writer)?;
        let epoch = match batch.epoch {
            Some(epoch) => self.enter_epoch(writer, epoch, at)?,
            None => self.epoch_to_stamp(writer),
        };
        self.give_time(writer, options, &mut batch);
        header::stamp(batch.bytes, at, epoch);
        let header = BatchHeader::read(batch.bytes).map_err(|_| past_the_last_offset(at))?;
        let admission = writer
            .producers
            .check(&header, batch.marker.as_ref(), Origin::Leader)?;
        if let Admission::Duplicate { offsets } = admission {
            return Ok(AppendOutcome::Duplicate { offsets });
        }
        let incoming = Incoming::of(&header);
        let rolled = self.roll_if_due(writer, options, at, incoming, batch.began);
        rolled.map_err(|error| self.refused(writer, error))?;
        self.write(
            writer,
            options,
            batch.bytes,
            &[header],
            &mut std::iter::once(batch.marker),
        )?;
        let offsets = at..header.next_offset();
        let ticket = Ticket::new(Arc::clone(self), offsets, self.published.generation());
        Ok(AppendOutcome::Appended(ticket))
    }

    /// Whether anything may be appended now, and where.
    fn next_offset(&self, writer: &mut WriterState) -> Result<Offset> {
        self.latch.check()?;
        if let Some(full) = &writer.full {
            if self.shared.clock.monotonic() < full.retry_at {
                return Err(full.error.clone());
            }
            writer.full = None;
        }
        let finished = self.finish_pending(writer);
        finished.map_err(|error| self.refused(writer, error))?;
        match &writer.tail {
            Tail::Active(active) => Ok(active.next_offset()),
            Tail::Pending(_) | Tail::Closed => Err(self.closed()),
        }
    }

    /// Times that the log assigns never go back by less than a minute: another thread may have got the lock with a later one.
    fn give_time(&self, writer: &mut WriterState, options: &TopicOptions, batch: &mut Encoded<'_>) {
        let is_log_time = options.timestamp_type == TimestampType::LogAppendTime;
        let guess = match batch.times {
            EncodedTimes::Assigned { guess } => guess,
            EncodedTimes::Explicit if is_log_time => self.shared.clock.now().into(),
            EncodedTimes::Explicit => return,
        };
        let assigned = assign_time(writer.last_assigned, guess);
        if assigned.clock_stepped_back {
            self.counters.clock_steps_back.add(1);
        }
        writer.last_assigned = Some(assigned.at);
        if assigned.at != guess && matches!(batch.times, EncodedTimes::Assigned { .. }) {
            header::restamp_time(batch.bytes, assigned.at);
        }
        if is_log_time {
            header::set_log_append_time(batch.bytes, assigned.at);
        }
    }

    /// Writes stamped batches to the active segment in one write, folds them into the producers and publishes the new end.
    ///
    /// Once the bytes are written the end moves, whatever fails afterwards, so that no offset is given twice (KAFKA-7866). An abort that
    /// could not be noted in the index stops writing, and the last stable offset stays below its transaction.
    fn write(
        &self,
        writer: &mut WriterState,
        options: &TopicOptions,
        bytes: &[u8],
        headers: &[BatchHeader],
        markers: &mut dyn Iterator<Item = Option<ControlMarker>>,
    ) -> Result<()> {
        let Tail::Active(active) = &mut writer.tail else {
            return Err(self.closed());
        };
        let room = match options.fsync {
            FsyncPolicy::Always => active.prepare(u32::try_from(bytes.len()).unwrap_or(u32::MAX)),
            _ => Ok(()),
        };
        if let Err(error) = room.and_then(|()| active.append(bytes, headers).map(drop)) {
            return Err(self.refused(writer, error));
        }
        self.commit.list(active.files());
        let mut unnoted = None;
        for (header, marker) in headers.iter().zip(markers) {
            let aborted = writer.producers.apply(header, marker.as_ref());
            if let Some(aborted) = aborted
                && unnoted.is_none()
            {
                let noted = active.append_aborted(&aborted);
                unnoted = noted.err().map(|error| (aborted.first, error));
            }
        }
        let end = active.next_offset();
        let mut first_unstable = self.first_unstable(writer, options, end);
        if let Some((aborted, _)) = &unnoted {
            first_unstable = Some(first_unstable.map_or(*aborted, |first| first.min(*aborted)));
        }
        // The latch closes first: nobody may look for decided transactions any more.
        let failed = unnoted.map(|(_, error)| self.latch.close(error));
        self.published.appended(end, first_unstable);
        // Counted last: a sync that takes the count covers the end that belongs to it.
        self.count(bytes, headers);
        match failed {
            None => Ok(()),
            Some(failed) => Err(self.close_latch(failed)),
        }
    }

    /// What holds the last stable offset back once the log ends at `end`.
    fn first_unstable(
        &self,
        writer: &mut WriterState,
        options: &TopicOptions,
        end: Offset,
    ) -> Option<Offset> {
        let high = match options.high_watermark {
            HighWatermark::End => end,
            HighWatermark::Durable | HighWatermark::External => self.published.watermarks().high,
        };
        writer.producers.forget_decided_below(high);
        writer.producers.first_unstable(high)
    }

    fn count(&self, bytes: &[u8], headers: &[BatchHeader]) {
        let records = headers.iter().map(|header| u64::from(header.count()));
        self.counters.appended_records.add(records.sum());
        self.counters.appended_batches.add(headers.len() as u64);
        self.counters.appended_bytes.add(bytes.len() as u64);
        self.shared.unsynced.add(bytes.len() as u64);
        (self.commit).count(bytes.len() as u64, || self.shared.clock.monotonic());
    }

    /// Remembers what the medium refused.
    fn refused(&self, writer: &mut WriterState, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Full => {
                self.counters.full_errors.add(1);
                let pause = Duration::from_millis(FULL_RETRY_MS);
                writer.full = Some(FullDisk {
                    error: error.clone(),
                    retry_at: self.shared.clock.monotonic().saturating_add(pause),
                });
                error
            }
            ErrorKind::Failed => self.close_latch(error),
            _ => self.stop_if_in_doubt(error),
        }
    }

    /// The newest epoch. A log that never had one is in epoch 0 from its start on: what the batches say from now on, the history says too. Its
    /// file follows with the next epoch or at the close; until then an empty one means the same.
    fn epoch_to_stamp(&self, writer: &mut WriterState) -> LeaderEpoch {
        if let Some(latest) = writer.epochs.latest() {
            return latest;
        }
        writer
            .epochs
            .assign(LeaderEpoch::ZERO, self.published.watermarks().start);
        LeaderEpoch::ZERO
    }

    /// The high watermark moved, or who moves it changed: transactions whose marker it has passed no longer hold the last stable offset
    /// back.
    pub(crate) fn look_for_decided_transactions(&self) {
        let mut writer = self.writer.lock();
        if self.latch.is_closed() {
            return;
        }
        let high = self.published.watermarks().high;
        writer.producers.forget_decided_below(high);
        let first_unstable = writer.producers.first_unstable(high);
        self.published.first_unstable_is(first_unstable);
    }
}

impl<'b> Encoded<'b> {
    fn of_records(bytes: &'b mut [u8], times: EncodedTimes, began: Timestamp) -> Self {
        Self {
            bytes,
            times,
            marker: None,
            epoch: None,
            began,
        }
    }
}

impl Incoming {
    fn of(header: &BatchHeader) -> Self {
        Self {
            size_bytes: header.size_bytes(),
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp(),
        }
    }
}

/// A batch above the topic's limit, or above what one of its segments takes.
fn check_size(options: &TopicOptions, size_bytes: usize) -> Result<()> {
    let (limit, name) = if options.segment_bytes < options.max_message_bytes {
        (options.segment_bytes, "segment.bytes")
    } else {
        (options.max_message_bytes, "max.message.bytes")
    };
    if size_bytes <= limit as usize {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::TooLarge,
        format!("the batch takes {size_bytes} bytes, above the limit of {limit} ({name})"),
    )
    .remedy("split the batch, or raise the limit"))
}

#[cold]
fn past_the_last_offset(at: Offset) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "the batch would end above the largest offset",
    )
    .offset_is(at)
}

/// The largest buffer that a thread keeps for its next append.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// Lends this thread's buffer for encoding, so that an append allocates nothing.
fn with_buffer<T>(encode: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    thread_local! {
        static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut buffer = BUFFER.take();
    let result = encode(&mut buffer);
    if buffer.capacity() <= KEPT_BUFFER_BYTES {
        BUFFER.set(buffer);
    }
    result
}

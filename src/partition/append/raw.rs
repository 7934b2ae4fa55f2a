//! Raw batches: as a leader gets them from a producer, as a follower gets them from its leader, and the epochs of both.
//!
//! Nothing is encoded anew: a leader stamps offset and epoch outside of the CRC, a follower keeps both.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::super::roll::{Incoming, RollFacts, RollRule, SegmentState, roll_plan};
use super::super::{FsyncPolicy, HighWatermark, PartitionCore, Tail, TopicOptions, WriterState};
use super::{AppendOutcome, Encoded, EncodedTimes, check_size, times, with_buffer};
use crate::batch::{BatchHeader, ControlMarker, RecordBatch, TimestampType, UnverifiedBatch};
use crate::epochs::{Change, Epochs};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaderEpoch;
use crate::offset::Offset;
use crate::producers::Origin;
use crate::timestamp::Timestamp;

impl PartitionCore {
    /// `Replica::append_as_leader`.
    pub(crate) fn append_as_leader(
        self: &Arc<Self>,
        batch: UnverifiedBatch,
        epoch: LeaderEpoch,
    ) -> Result<AppendOutcome> {
        let options = self.options();
        let batch = batch
            .verify()?
            .max_decompressed_bytes(options.max_decompressed_bytes);
        check_size(&options, batch.size_bytes() as usize)?;
        let began = self.shared.clock.now().into();
        check_for_leader(&options, &batch, began)?;
        let marker = batch.control_marker()?;
        self.wait_for_room()?;
        let outcome = with_buffer(|buffer| {
            buffer.clear();
            buffer.extend_from_slice(batch.as_bytes());
            let encoded = Encoded {
                bytes: buffer,
                times: EncodedTimes::Explicit,
                marker,
                epoch: Some(epoch),
                began,
            };
            self.append_encoded(&options, encoded)
        })?;
        self.ask_for_sync_by_policy(options.fsync);
        Ok(outcome)
    }

    /// `Replica::append_as_follower`.
    pub(crate) fn append_as_follower(
        self: &Arc<Self>,
        batches: Bytes,
        high: Offset,
    ) -> Result<Range<Offset>> {
        let options = self.options();
        let run = Run::verified(&options, batches)?;
        let offsets = if run.headers.is_empty() {
            let end = self.published.watermarks().end;
            end..end
        } else {
            self.wait_for_room()?;
            self.expect_holes()?;
            self.append_run(&options, &run)?
        };
        if options.high_watermark == HighWatermark::External {
            self.published.set_external_high(high);
            if self.published.has_unstable() {
                self.look_for_decided_transactions();
            }
        }
        if options.fsync == FsyncPolicy::Always && !run.headers.is_empty() {
            self.sync_now()?;
        } else {
            self.ask_for_sync_by_policy(options.fsync);
        }
        Ok(offsets)
    }

    /// A follower's offsets may have holes, and a reader must know before the first of them is there.
    fn expect_holes(&self) -> Result<()> {
        let mut side = self.side.lock();
        if side.facts().dense_from.is_some() {
            let noted = side.update_synced(|facts| facts.dense_from = None);
            noted.map_err(|error| self.stop_if_in_doubt(error))?;
            self.published.dense_from(Offset::MAX);
        }
        Ok(())
    }

    fn append_run(self: &Arc<Self>, options: &TopicOptions, run: &Run) -> Result<Range<Offset>> {
        if run.offsets().is_some_and(|run| self.is_empty_inside(&run)) {
            return self.append_from_below_the_start(options, run);
        }
        self.append_run_to(&mut self.writer.lock(), options, run)
    }

    /// Whether the log is empty, and begins behind the first offset of `range` and within it.
    fn is_empty_inside(&self, range: &Range<Offset>) -> bool {
        let marks = self.published.watermarks();
        marks.start == marks.end && range.start < marks.start && range.contains(&marks.start)
    }

    /// The leader's log begins inside a batch, and so does this one, which has nothing yet: the files start over at the batch, the log start
    /// stays where it is (KAFKA-6975).
    fn append_from_below_the_start(
        self: &Arc<Self>,
        options: &TopicOptions,
        run: &Run,
    ) -> Result<Range<Offset>> {
        let turn = self.take_commit_turn();
        let mut writer = self.writer.lock();
        self.next_offset(&mut writer)?;
        let offsets = run.offsets();
        // Asked again, with the turn and the lock in hand.
        let Some(offsets) = offsets.filter(|run| self.is_empty_inside(run)) else {
            return self.append_run_to(&mut writer, options, run);
        };
        let start = self.published.watermarks().start;
        self.start_over_with(&turn, &mut writer, offsets.start..start)?;
        let appended = self.append_run_to(&mut writer, options, run);
        if appended.is_err() {
            // A file that begins below the start and ends there would take the next append for one below the start.
            self.start_over_with(&turn, &mut writer, start..start)?;
        }
        writer.producers.advance_start(start);
        writer.epochs.fold_start(start);
        appended
    }

    fn append_run_to(
        self: &Arc<Self>,
        writer: &mut WriterState,
        options: &TopicOptions,
        run: &Run,
    ) -> Result<Range<Offset>> {
        let end = self.next_offset(writer)?;
        let first = run.headers.first().map_or(end, BatchHeader::base_offset);
        if first < end {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the first batch starts at offset {first}, below the log end {end}"),
            )
            .offset_is(first)
            .remedy("truncate to the leader's end for the epoch first"));
        }
        for header in &run.headers {
            let checked = writer.producers.check(header, None, Origin::Replication);
            checked.map(drop)?;
        }
        self.take_epochs(writer, &run.headers)?;
        if let Err(error) = self.write_run(writer, options, run) {
            // Epochs of batches that did not come must not stay behind those that did; the file follows with its next change.
            if let Tail::Active(active) = &writer.tail {
                writer.epochs.cut_end(active.next_offset());
            }
            return Err(error);
        }
        let end = run.headers.last().map_or(end, BatchHeader::next_offset);
        Ok(first..end)
    }

    /// As few writes as the rolls between them allow.
    fn write_run(&self, writer: &mut WriterState, options: &TopicOptions, run: &Run) -> Result<()> {
        let now = self.shared.clock.now().into();
        let mut written = 0;
        while let Some(rest) = run.from(written) {
            if let Some(header) = rest.headers.first() {
                let at = header.base_offset();
                let rolled = self.roll_if_due(writer, options, at, Incoming::of(header), now);
                rolled.map_err(|error| self.refused(writer, error))?;
            }
            let count = self.fitting(writer, options, &rest);
            let part = rest.up_to(count);
            let mut markers = part.markers.iter().copied();
            self.write(writer, options, part.bytes, part.headers, &mut markers)?;
            written += count;
        }
        Ok(())
    }

    /// How many batches, at least one, go to the active segment in one write before the next roll.
    fn fitting(&self, writer: &WriterState, options: &TopicOptions, rest: &Part<'_>) -> usize {
        let Tail::Active(active) = &writer.tail else {
            return rest.headers.len();
        };
        let mut segment = SegmentState::of(active, writer.active_since);
        let rule = RollRule::new(options, writer.roll_jitter_ms);
        let now = self.shared.clock.now().into();
        for (count, header) in rest.headers.iter().enumerate() {
            let incoming = Incoming::of(header);
            let facts = RollFacts {
                segment,
                incoming,
                rule,
                now,
            };
            if count > 0 && roll_plan(&facts).is_some() {
                return count;
            }
            if segment.size_bytes == 0 {
                segment.first_timestamp = header.max_timestamp();
            }
            segment.size_bytes += u64::from(header.size_bytes());
        }
        rest.headers.len()
    }

    /// `Replica::begin_epoch`: (epoch, end) written and synced without data (KAFKA-7415).
    pub(crate) fn begin_epoch(&self, epoch: LeaderEpoch) -> Result<()> {
        let mut writer = self.writer.lock();
        let at = self.next_offset(&mut writer)?;
        self.enter_epoch(&mut writer, epoch, at).map(drop)
    }

    /// The epoch to stamp; a higher one than the last begins here, and its entry is on the medium before a batch of it follows.
    pub(super) fn enter_epoch(
        &self,
        writer: &mut WriterState,
        epoch: LeaderEpoch,
        at: Offset,
    ) -> Result<LeaderEpoch> {
        match writer.epochs.latest() {
            Some(latest) if epoch < latest => Err(Error::new(
                ErrorKind::Fenced,
                format!("leader epoch {epoch} is below {latest}, which has begun"),
            )),
            Some(latest) if epoch == latest => Ok(epoch),
            _ => {
                let mut epochs = writer.epochs.clone();
                if epochs.assign(epoch, at) == Change::Changed {
                    self.keep_epochs(writer, epochs)?;
                }
                Ok(epoch)
            }
        }
    }

    /// A follower takes the epochs as its leader stamped them.
    fn take_epochs(&self, writer: &mut WriterState, headers: &[BatchHeader]) -> Result<()> {
        let mut epochs: Option<Epochs> = None;
        for header in headers {
            let Some(epoch) = header.leader_epoch() else {
                continue;
            };
            if (epochs.as_ref().unwrap_or(&writer.epochs)).latest() == Some(epoch) {
                continue;
            }
            let epochs = epochs.get_or_insert_with(|| writer.epochs.clone());
            epochs.assign(epoch, header.base_offset());
        }
        match epochs {
            Some(epochs) if epochs != writer.epochs => self.keep_epochs(writer, epochs),
            _ => Ok(()),
        }
    }

    /// The one sync under the writer lock: no batch may slip in between the entry and its place.
    fn keep_epochs(&self, writer: &mut WriterState, epochs: Epochs) -> Result<()> {
        let written = self.write_epochs_file(&epochs);
        written.map_err(|error| self.stop_if_in_doubt(error))?;
        // The file says so now: a batch of an older epoch must not follow, whatever comes of the rest.
        writer.epochs = epochs;
        let vouched = self.vouch_for(&writer.epochs);
        vouched.map_err(|error| self.stop_if_in_doubt(error))
    }
}

/// What Kafka's `LogValidator` asks of a batch from a producer; a coordinator's marker may be one, too.
fn check_for_leader(options: &TopicOptions, batch: &RecordBatch, now: Timestamp) -> Result<()> {
    let invalid = |what: &str| Err(Error::new(ErrorKind::InvalidInput, what));
    let header = batch.header();
    if header.count() == 0 {
        return invalid("the batch has no records");
    }
    if u64::from(header.last_offset_delta()) + 1 != u64::from(header.count()) {
        return invalid("the batch has holes between its offsets, and a producer's has none");
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return invalid("the batch claims the time of an append that has not happened");
    }
    if header.lacks_producer_epoch() {
        return invalid("the batch has a producer and no producer epoch");
    }
    let has_sequence = header.producer().is_none_or(|p| p.base_sequence.is_some());
    if !header.is_control() && !has_sequence {
        return invalid("the batch has a producer and no sequence number");
    }
    if let Some(max) = header.max_timestamp() {
        times::check_record_time(options, max, now)?;
    }
    let bounds_the_past = times::bounds_the_past(options);
    for (index, record) in (0u64..).zip(batch.records()) {
        let record = record?;
        if record.offset() != batch.base_offset().saturating_add(index) {
            return invalid("the records of the batch are not numbered one after the other");
        }
        if let Some(at) = record.timestamp().filter(|_| bounds_the_past) {
            times::check_record_time(options, at, now)?;
        }
    }
    Ok(())
}

/// Verified batches of a leader, one behind the other in one buffer.
struct Run {
    bytes: Bytes,
    headers: Vec<BatchHeader>,
    markers: Vec<Option<ControlMarker>>,
    /// Where each batch starts in the bytes.
    starts: Vec<usize>,
}

/// Some neighbours of a run.
struct Part<'r> {
    bytes: &'r [u8],
    headers: &'r [BatchHeader],
    markers: &'r [Option<ControlMarker>],
}

impl Run {
    /// Splits and verifies; a partial last batch is left out, as in Kafka.
    fn verified(options: &TopicOptions, bytes: Bytes) -> Result<Self> {
        let mut run = Self {
            bytes: bytes.clone(),
            headers: Vec::new(),
            markers: Vec::new(),
            starts: Vec::new(),
        };
        let mut start = 0;
        let mut next_offset = Offset::ZERO;
        for batch in UnverifiedBatch::split(bytes) {
            let batch = batch?
                .verify()?
                .max_decompressed_bytes(options.max_decompressed_bytes);
            if batch.base_offset() < next_offset {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "the offsets of the batches do not ascend",
                )
                .offset_is(batch.base_offset()));
            }
            let size_bytes = batch.size_bytes() as usize;
            if size_bytes > options.segment_bytes as usize {
                check_size(options, size_bytes)?;
            }
            next_offset = batch.next_offset();
            run.markers.push(batch.control_marker()?);
            run.headers.push(*batch.header());
            run.starts.push(start);
            start += size_bytes;
        }
        run.bytes.truncate(start);
        Ok(run)
    }

    /// From the first batch to behind the last one; `None` without a batch.
    fn offsets(&self) -> Option<Range<Offset>> {
        let (first, last) = (self.headers.first()?, self.headers.last()?);
        Some(first.base_offset()..last.next_offset())
    }

    /// What is left behind the first `count` batches; `None` at the end.
    fn from(&self, count: usize) -> Option<Part<'_>> {
        let start = *self.starts.get(count)?;
        Some(Part {
            bytes: self.bytes.get(start..)?,
            headers: self.headers.get(count..)?,
            markers: self.markers.get(count..)?,
        })
    }
}

impl Part<'_> {
    fn up_to(&self, count: usize) -> Part<'_> {
        let size = |header: &BatchHeader| header.size_bytes() as usize;
        let (headers, _) = self.headers.split_at(count);
        let bytes: usize = headers.iter().map(size).sum();
        Part {
            bytes: &self.bytes[..bytes],
            headers,
            markers: &self.markers[..count],
        }
    }
}

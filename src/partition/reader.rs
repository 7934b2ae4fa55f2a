//! Reading a partition: where an offset stands, and batch after batch from there, over segment ends, gaps, truncations
//! and trims. A live partition and a read-only view give the same reader.
//!
//! A reader holds no lock while it reads. What keeps it right is the order: the generation is looked at before and after the
//! bytes are read, and a truncation raises it before it cuts and behind the cut, so bytes that were read under an older generation,
//! from the file or into the buffer, are thrown away.

use std::ops::Range;
use std::sync::Arc;

use super::truncate::aborted_by_the_log;
use super::{Published, ReadUpTo, Snapshot};
use crate::batch::{RecordBatch, StoredRecord};
use crate::error::{Error, ErrorKind, Gap, GapCause, Result};
use crate::offset::{FilePosition, Offset};
use crate::segment::{AbortedTransaction, OffsetRule, SegmentFiles, Step, WalkedBatch, Walker};
use crate::storage::StorageFile;
use crate::topic::TopicPartition;

/// What reading needs of a partition; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct PartitionReader {
    pub(crate) name: TopicPartition,
    pub(crate) published: Arc<Published>,
    pub(crate) max_decompressed_bytes: u32,
}

/// One step of a stream.
#[derive(Debug)]
pub(crate) enum Next {
    Batch(Found),
    /// Nothing more below the limit now.
    Tail,
}

/// A batch, and where it stands.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) batch: RecordBatch,
    pub(crate) position: FilePosition,
    pub(crate) segment: Arc<SegmentFiles>,
}

impl PartitionReader {
    /// Batches from the one that holds `at`, or the first behind it.
    pub(crate) fn stream(&self, at: Offset) -> BatchStream {
        BatchStream {
            reader: self.clone(),
            at,
            place: None,
            seen: None,
        }
    }

    /// # Errors
    /// `OffsetOutOfRange` with the range that exists. The end itself is in range: the next record will be there.
    pub(crate) fn check_in_range(&self, offset: Offset) -> Result<()> {
        let marks = self.published.watermarks();
        if offset >= marks.start && offset <= marks.end {
            return Ok(());
        }
        Err(self.about(Error::out_of_range(offset, marks.start..marks.end)))
    }

    /// One record.
    ///
    /// # Errors
    /// `OffsetOutOfRange`; `NotFound` where compaction removed the record; `Gap` where it cannot be read; `Io`.
    pub(crate) fn get(&self, offset: Offset) -> Result<StoredRecord> {
        self.check_open()?;
        let marks = self.published.watermarks();
        if offset < marks.start || offset >= marks.end {
            return Err(self.about(Error::out_of_range(offset, marks.start..marks.end)));
        }
        let missing = || {
            self.about(
                Error::new(ErrorKind::NotFound, "there is no record at this offset")
                    .offset_is(offset),
            )
        };
        let Next::Batch(found) = self.stream(offset).next(ReadUpTo::End)? else {
            return Err(missing());
        };
        if found.batch.base_offset() > offset || found.batch.is_control() {
            return Err(missing());
        }
        for record in &found.batch {
            let record = record?;
            if record.offset() == offset {
                return Ok(record.to_owned());
            }
        }
        Err(missing())
    }

    /// Aborted transactions that overlap `range`, searched from the segment of its start on (section 7.5 of the format's rules).
    pub(crate) fn aborted(&self, range: Range<Offset>) -> Result<Vec<AbortedTransaction>> {
        let snapshot = self.published.snapshot();
        let first = snapshot.segment_for(range.start).unwrap_or(0);
        let mut found = Vec::new();
        for segment in snapshot.segments.iter().skip(first) {
            let (here, is_enough) = match segment.aborted(range.clone()) {
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    let start = snapshot.watermarks.start;
                    let aborted = aborted_by_the_log(&snapshot.segments, start, segment)?;
                    segment.keep_aborted(&aborted);
                    segment.aborted(range.clone())?
                }
                found => found?,
            };
            found.extend(here);
            if is_enough {
                break;
            }
        }
        Ok(found)
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.published.is_closed() {
            return Err(self.about(Error::new(ErrorKind::Closed, "the log is closed")));
        }
        Ok(())
    }

    fn about(&self, error: Error) -> Error {
        if error.path().is_some() {
            error
        } else {
            error.path_is(self.name.to_string())
        }
    }
}

/// Reads batch after batch. Owns its buffer; holds no lock and no mapping.
#[derive(Debug)]
pub(crate) struct BatchStream {
    reader: PartitionReader,
    at: Offset,
    place: Option<Place>,
    /// What the batch before was read under, and the place is listed in. Kept from batch to batch only: nothing is pinned at the tail.
    seen: Option<Snapshot>,
}

/// Where the stream stands in a segment.
#[derive(Debug)]
struct Place {
    segment: Arc<SegmentFiles>,
    generation: u64,
    rule: OffsetRule,
    /// Of the leader epochs that the walker knows.
    epochs_version: u64,
    walker: Walker,
    /// Read, and not yet within the limit of who asked.
    early: Option<WalkedBatch>,
    /// Base of the segment behind, when there was one.
    next: Option<Offset>,
}

/// What a look at one segment came to.
enum Look {
    Found(Found),
    Gap(Error),
    /// Nothing more below the limit now.
    Tail,
    /// Look again, from a fresh snapshot.
    Again,
}

impl BatchStream {
    /// The offset that the next batch must reach.
    pub(crate) fn position(&self) -> Offset {
        self.at
    }

    pub(crate) fn reader(&self) -> &PartitionReader {
        &self.reader
    }

    /// The file of the batch that was found last.
    pub(crate) fn file(&self) -> Option<Arc<dyn StorageFile>> {
        let place = self.place.as_ref()?;
        Some(Arc::clone(place.walker.file()))
    }

    /// When the next batch was read and is not within the limit yet: the generation it was read under, and the end that the limit must
    /// reach.
    pub(crate) fn waits_for(&self) -> Option<(u64, Offset)> {
        let place = self.place.as_ref()?;
        let early = place.early.as_ref()?;
        Some((place.generation, early.batch.next_offset()))
    }

    pub(crate) fn seek(&mut self, at: Offset) {
        self.at = at;
        self.place = None;
    }

    /// The next batch whose last offset is at or above the position and whose end is within `up_to`. The position is behind it
    /// afterwards; behind a gap it is, too.
    ///
    /// # Errors
    /// A gap, once: `Gap` or, for old formats, `Unsupported`; `Closed`; `Io`, after which the stream stands where it was.
    #[inline]
    pub(crate) fn next(&mut self, up_to: ReadUpTo) -> Result<Next> {
        loop {
            self.reader.check_open()?;
            let published = &self.reader.published;
            let seen = (self.seen.take()).filter(|seen| published.is_still(seen));
            let is_in_place = seen.is_some() && self.place.is_some();
            let snapshot = seen.unwrap_or_else(|| published.snapshot());
            let marks = snapshot.watermarks;
            if self.at > marks.end {
                return Err(self.gap(marks.end..self.at, marks.end, GapCause::Truncated));
            }
            if self.at < marks.start {
                return Err(self.gap(self.at..marks.start, marks.start, GapCause::Trimmed));
            }
            let limit = marks.limit(up_to);
            if self.at >= limit {
                return Ok(Next::Tail);
            }
            let nowhere = match is_in_place {
                true => None,
                false => self.find_place(&snapshot)?,
            };
            let look = match nowhere {
                Some(look) => look,
                None => self.look(&snapshot, limit)?,
            };
            match look {
                Look::Found(found) => {
                    self.at = found.batch.next_offset();
                    self.seen = Some(snapshot);
                    return Ok(Next::Batch(found));
                }
                Look::Gap(gap) => return Err(gap),
                Look::Tail => return Ok(Next::Tail),
                Look::Again => {}
            }
        }
    }

    /// Stands in the segment of the position. `Some` when there is none to stand in.
    fn find_place(&mut self, snapshot: &Snapshot) -> Result<Option<Look>> {
        if let Some(place) = &self.place
            && place.generation == snapshot.generation
            && place.rule == snapshot.rule_for(&place.segment)
            && snapshot.lists(&place.segment)
        {
            return Ok(None);
        }
        self.place = None;
        let Some(index) = snapshot.segment_for(self.at) else {
            let first = snapshot.segments.first();
            let to = first.map_or(snapshot.watermarks.end, |first| first.base());
            let gap = self.gap(self.at..to, to, GapCause::Missing);
            return Ok(Some(Look::Gap(gap)));
        };
        let Some(segment) = snapshot.segments.get(index) else {
            return Ok(Some(Look::Tail));
        };
        let rule = snapshot.rule_for(segment);
        match segment.walk_from(self.at, rule, self.reader.max_decompressed_bytes) {
            Ok(mut walker) => {
                let (epochs_version, epochs) = self.reader.published.epochs();
                walker.hold_against(epochs);
                self.place = Some(Place {
                    segment: Arc::clone(segment),
                    generation: snapshot.generation,
                    rule,
                    epochs_version,
                    walker,
                    early: None,
                    next: (snapshot.segments.get(index.saturating_add(1))).map(|next| next.base()),
                });
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(Some(self.gone(snapshot, index)?))
            }
            Err(_) if self.reader.published.generation() != snapshot.generation => {
                Ok(Some(Look::Again))
            }
            Err(error) => Err(error),
        }
    }

    /// A segment's file is not there: trimmed or truncated meanwhile, or lost.
    fn gone(&mut self, snapshot: &Snapshot, index: usize) -> Result<Look> {
        let now = self.reader.published.snapshot();
        if !snapshot
            .segments
            .get(index)
            .is_some_and(|segment| now.lists(segment))
        {
            return Ok(Look::Again);
        }
        // A view has not seen yet what its writer has trimmed since.
        let start = match self.reader.published.start_now() {
            Err(error) if error.kind() == ErrorKind::NotFound => now.watermarks.start,
            start => start?.min(now.watermarks.end),
        };
        if start > self.at {
            let gap = self.gap(self.at..start, start, GapCause::Trimmed);
            return Ok(Look::Gap(gap));
        }
        let next = snapshot.segments.get(index.saturating_add(1));
        let to = next
            .map_or(snapshot.watermarks.end, |next| next.base())
            .max(self.at);
        Ok(Look::Gap(self.gap(self.at..to, to, GapCause::Missing)))
    }

    /// One step in the segment where the stream stands.
    #[inline]
    fn look(&mut self, snapshot: &Snapshot, limit: Offset) -> Result<Look> {
        let Some(place) = &mut self.place else {
            return Ok(Look::Again);
        };
        // What is told of damage at the end of the walk reaches up to the end of the log: nothing that was appended meanwhile may be in it.
        place.walker.extend_end(place.segment.size());
        if place.epochs_version != snapshot.epochs_version {
            let (version, epochs) = self.reader.published.epochs();
            place.epochs_version = version;
            place.walker.hold_against(epochs);
        }
        let step = match place.early.take() {
            Some(early) => Ok(Step::Batch(early)),
            None => place.walker.step(),
        };
        // Bytes that were read while the tail was cut may be anything.
        if self.reader.published.generation() != place.generation {
            self.place = None;
            return Ok(Look::Again);
        }
        let step = step?;
        // A copied tail stands in the segment behind. The cut of its source may come back after a failed sync: the higher one wins.
        let begins = match &step {
            Step::Batch(walked) => Some(walked.batch.base_offset()),
            Step::OldFormat { from, .. } => Some(*from),
            Step::Bad(spot) => Some(spot.from),
            Step::End => None,
        };
        let reaches_in =
            |next| matches!(&step, Step::Batch(walked) if walked.batch.next_offset() > next);
        if let (Some(begins), Some(next)) = (begins, place.next)
            && (begins >= next || reaches_in(next))
        {
            // A copy has its source's offsets. A batch above them, or across its start, has a damaged base offset, which no checksum covers,
            // or is not of this log.
            if begins == next || self.at >= next || !matches!(step, Step::Batch(_)) {
                return Ok(self.segment_ended(snapshot));
            }
            let path = place.segment.log_path();
            self.place = None;
            let what = "the offsets are above those of the next segment";
            let gap = self.damage(self.at..next, what);
            return Ok(Look::Gap(gap.path_is(path)));
        }
        match step {
            Step::Batch(walked) if walked.batch.last_offset() < self.at => Ok(Look::Again),
            Step::Batch(walked) if walked.batch.next_offset() > limit => {
                place.early = Some(walked);
                Ok(Look::Tail)
            }
            Step::Batch(WalkedBatch { batch, position }) => {
                let segment = Arc::clone(&place.segment);
                Ok(Look::Found(Found {
                    batch,
                    position,
                    segment,
                }))
            }
            Step::OldFormat { to, .. } if to <= self.at => Ok(Look::Again),
            Step::OldFormat { position, from, to } => {
                let to = to.min(snapshot.watermarks.end);
                let path = place.segment.log_path();
                let gap = self.gap(from.max(self.at)..to, to, GapCause::OldFormat);
                Ok(Look::Gap(gap.path_is(path).at(position)))
            }
            Step::Bad(spot) if spot.from >= limit => Ok(Look::Tail),
            Step::Bad(spot) => {
                let positions = positions_above(&place.segment, spot.position)?;
                let next = place.walker.skip(&spot, &positions);
                if self.reader.published.generation() != place.generation {
                    self.place = None;
                    return Ok(Look::Again);
                }
                let next = next?;
                let path = place.segment.log_path();
                let to = next.unwrap_or_else(|| snapshot.end_of(&place.segment));
                // What follows in a file that is not this segment's says nothing of the next segment.
                let to = to.min(place.next.unwrap_or(to));
                // The bytes of an append are there a moment before the end that covers them.
                let to = to.min(snapshot.watermarks.end);
                if next.is_none() {
                    self.place = None;
                }
                if to <= self.at {
                    return Ok(Look::Again);
                }
                let gap = self.damage(spot.from.max(self.at)..to, spot.what);
                Ok(Look::Gap(gap.path_is(path).at(spot.position)))
            }
            Step::End => Ok(self.segment_ended(snapshot)),
        }
    }

    /// The walk is at the end of its segment: another one follows, or what the log says it has is not there.
    fn segment_ended(&mut self, snapshot: &Snapshot) -> Look {
        let Some(place) = &self.place else {
            return Look::Again;
        };
        let Some(next) = snapshot.segment_behind(&place.segment) else {
            // All bytes that were published before the snapshot were walked over, and the position is below its end.
            let end = snapshot.watermarks.end;
            self.place = None;
            return Look::Gap(self.gap(self.at..end, end, GapCause::Missing));
        };
        let base = next.base();
        let from = self.at.max(place.segment.base());
        let is_dense = place.segment.base() >= snapshot.dense_from;
        self.place = None;
        if from >= base {
            return Look::Again;
        }
        if is_dense {
            return Look::Gap(self.gap(from..base, base, GapCause::Missing));
        }
        self.at = base;
        Look::Again
    }

    /// Moves behind a gap and tells it.
    fn gap(&mut self, range: Range<Offset>, go_on: Offset, cause: GapCause) -> Error {
        let message = match cause {
            GapCause::Trimmed => "the records were trimmed",
            GapCause::Truncated => "the tail was cut while it was read",
            GapCause::Missing => "records are missing",
            GapCause::OldFormat => "the records are in message format 0 or 1",
            GapCause::Damaged => "the records are damaged",
        };
        self.at = go_on;
        if cause == GapCause::Truncated {
            self.place = None;
        }
        let error = Error::gap_found(Gap::new(range.start, range.end, cause), message);
        let error = self.reader.about(error);
        match cause {
            GapCause::OldFormat => {
                error.remedy("a Kafka broker reads them; copy them to a new topic with it")
            }
            GapCause::Missing | GapCause::Damaged => {
                error.remedy("reading goes on behind the gap; restore the records from a copy")
            }
            GapCause::Trimmed | GapCause::Truncated => error,
        }
    }

    fn damage(&mut self, range: Range<Offset>, what: &str) -> Error {
        self.at = range.end;
        Error::gap_found(Gap::new(range.start, range.end, GapCause::Damaged), what)
            .remedy("reading goes on behind the gap; restore the records from a copy")
    }
}

/// Where a walk may find its feet behind damage. A segment that was trimmed meanwhile has no index any more, and is searched without.
fn positions_above(segment: &SegmentFiles, position: FilePosition) -> Result<Vec<FilePosition>> {
    match segment.positions_above(position) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        positions => positions,
    }
}

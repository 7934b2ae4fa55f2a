//! Cursors: positions in memory from which records are read, as many as one likes, each with a buffer of its own.
//!
//! This folder must never know what a consumer or a topic is.

mod aborted;
mod fetch;
mod lag;
#[cfg(feature = "futures-core-03")]
mod stream;
#[cfg(test)]
mod tests;
mod times;
mod wait;

use crate::batch::{IntoRecords, RecordBatch, StoredRecord};
use crate::error::Result;
use crate::offset::Offset;
use crate::partition::{BatchStream, Next, Partition, PartitionReader, ReadUpTo};
use crate::timestamp::Timestamp;

use aborted::{AbortedFilter, Verdict};
pub use fetch::{Fetch, Fetched, FileRange, Limit};
pub use lag::Lag;
#[cfg(feature = "futures-core-03")]
pub use stream::RecordStream;
pub(crate) use times::{Search, TimedOffset};
pub use wait::{Follow, Readable};

/// Where a cursor starts. Together with the committed position of a consumer this covers Kafka's ListOffsets and Kinesis's
/// iterator types.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// At the log start.
    Earliest,
    /// At the log end: only what is appended from now on.
    Latest,
    /// At this offset, or the first record behind it.
    At(Offset),
    /// Behind this offset.
    After(Offset),
    /// At the first record with this time or a later one; at the end when there is none.
    Timestamp(Timestamp),
}

/// A place in a partition, and a buffer to read into. Holds no lock and no mapping; cheap to make.
///
/// As an iterator it gives owned records and ends at the tail; after a later append it gives more. A damaged, missing or trimmed range is one
/// `Err` with a [`Gap`](crate::Gap), and the cursor stands behind it.
///
/// Under [`ReadUpTo::LastStable`] it gives committed records only. Otherwise control batches are given by [`Cursor::next_batch`], never as
/// records. Records and batches may be asked for in turn: a batch of which only some records were given is given again, whole.
#[derive(Debug)]
pub struct Cursor {
    stream: BatchStream,
    up_to: ReadUpTo,
    /// The batch whose records are being given one by one.
    records: Option<IntoRecords>,
    /// No record below it is given: a batch may begin before the place that was asked for. Never above where the stream stands.
    from: Offset,
    last_timestamp: Option<Timestamp>,
    aborted: AbortedFilter,
}

impl Partition {
    /// A cursor at `start`.
    ///
    /// # Errors
    /// `OffsetOutOfRange` for an offset that the log does not have; `Closed`; `Io` from looking up a time.
    pub fn cursor(&self, start: Start) -> Result<Cursor> {
        Cursor::over(self.reader(), start)
    }

    /// One record, by one index lookup, one read and one checksum.
    ///
    /// # Errors
    /// `OffsetOutOfRange`; `NotFound` where compaction removed the record or a control record stands; `Gap` where it cannot be read; `Io`;
    /// `Closed`.
    pub fn get(&self, offset: Offset) -> Result<StoredRecord> {
        self.reader().get(offset)
    }

    /// The offset of the first record whose time is `at` or later; `None` when there is none.
    ///
    /// Kafka's ListOffsets answers "none" when the match in the first segment that has one lies below the log start; here the search goes on.
    ///
    /// # Errors
    /// `Io`, `Closed`.
    pub fn offset_for(&self, at: Timestamp) -> Result<Option<Offset>> {
        let found = self.reader().offset_for(at, Search::AllSegments)?;
        Ok(found.map(|found| found.offset))
    }
}

impl Cursor {
    pub(crate) fn over(reader: PartitionReader, start: Start) -> Result<Self> {
        reader.check_open()?;
        let at = resolve(&reader, start)?;
        Ok(Self {
            stream: reader.stream(at),
            up_to: ReadUpTo::default(),
            records: None,
            from: at,
            last_timestamp: None,
            aborted: AbortedFilter::default(),
        })
    }

    /// Up to where this cursor reads; default [`ReadUpTo::End`].
    #[must_use]
    pub fn read_up_to(self, limit: ReadUpTo) -> Self {
        Self {
            up_to: limit,
            ..self
        }
    }

    /// The next batch; `None` at the tail now. Does not block for data; a cold read may block for the disk. A batch begins at or before the
    /// cursor's position when it holds it.
    ///
    /// # Errors
    /// A gap, once, and the cursor stands behind it; `Closed`; `Io`, and the cursor stands where it was.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let records = self.records.take();
        if records.is_some_and(|records| records.has_more()) {
            self.stream.seek(self.from);
        }
        let batch = self.find_batch()?;
        if let Some(batch) = &batch {
            self.last_timestamp = batch.max_timestamp().or(self.last_timestamp);
        }
        Ok(batch)
    }

    #[inline]
    fn find_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let before = self.stream.position();
            // A cut may have put a batch across the position; who steps over batches has not looked into them.
            self.from = before;
            let found = match self.stream.next(self.up_to) {
                Ok(Next::Batch(found)) => found,
                Ok(Next::Tail) => return Ok(None),
                Err(error) => {
                    // Behind a cut it stands lower than it was asked to begin.
                    self.from = self.stream.position();
                    return Err(error);
                }
            };
            if self.up_to != ReadUpTo::LastStable {
                return Ok(Some(found.batch));
            }
            let reader = self.stream.reader();
            match self.aborted.judge(reader, before, &found.batch) {
                Ok(Verdict::Shown) => return Ok(Some(found.batch)),
                Ok(Verdict::Hidden) => {}
                Ok(Verdict::Trimmed) => self.stream.seek(before),
                Err(error) => {
                    self.stream.seek(before);
                    return Err(error);
                }
            }
        }
    }

    /// The offset of the next record that this cursor gives, or a lower bound of it.
    #[must_use]
    pub fn position(&self) -> Offset {
        if self.has_records() {
            self.from
        } else {
            self.stream.position()
        }
    }

    /// Whether records of a batch that was read are still to be given.
    fn has_records(&self) -> bool {
        self.records.as_ref().is_some_and(IntoRecords::has_more)
    }

    /// Goes to another place.
    ///
    /// # Errors
    /// `OffsetOutOfRange`, and the cursor stays where it was; `Io` from looking up a time; `Closed`.
    pub fn seek(&mut self, start: Start) -> Result<()> {
        let at = resolve(self.stream.reader(), start)?;
        self.stream.seek(at);
        self.records = None;
        self.from = at;
        Ok(())
    }

    fn next_record(&mut self) -> Result<Option<StoredRecord>> {
        loop {
            if let Some(records) = &mut self.records {
                match records.next() {
                    Some(Ok(record)) if record.offset() < self.from => continue,
                    Some(Ok(record)) => {
                        self.from = record.offset().saturating_add(1);
                        self.last_timestamp = record.timestamp().or(self.last_timestamp);
                        return Ok(Some(record));
                    }
                    Some(Err(error)) => {
                        // What is left of the batch cannot be told apart: it is one gap.
                        let to = self.stream.position();
                        let from = self.from;
                        self.records = None;
                        self.from = to;
                        return Err(unreadable(from, to, error));
                    }
                    None => self.records = None,
                }
            }
            match self.find_batch()? {
                None => return Ok(None),
                Some(batch) if batch.is_control() => {}
                Some(batch) => self.records = Some(batch.into_iter()),
            }
        }
    }
}

impl Iterator for Cursor {
    type Item = Result<StoredRecord>;

    /// `None` at the tail; more may come later, so this is no `FusedIterator`.
    fn next(&mut self) -> Option<Self::Item> {
        self.next_record().transpose()
    }
}

fn resolve(reader: &PartitionReader, start: Start) -> Result<Offset> {
    let marks = reader.published.watermarks();
    match start {
        Start::Earliest => Ok(marks.start),
        Start::Latest => Ok(marks.end),
        Start::At(offset) => reader.check_in_range(offset).map(|()| offset),
        Start::After(offset) => {
            let next = offset.saturating_add(1);
            reader.check_in_range(next).map(|()| next)
        }
        Start::Timestamp(at) => {
            let found = reader.offset_for(at, Search::AllSegments)?;
            Ok(found.map_or(marks.end, |found| found.offset))
        }
    }
}

/// A batch with a right checksum whose records do not decode: damage from before it was written, or more than may be unpacked.
fn unreadable(from: Offset, to: Offset, cause: crate::error::Error) -> crate::error::Error {
    use crate::error::{Error, ErrorKind, Gap, GapCause};
    // A codec that was left out of the build, or a bound: the records are there.
    if matches!(cause.kind(), ErrorKind::Unsupported | ErrorKind::TooLarge) {
        return cause;
    }
    Error::gap_found(
        Gap::new(from, to, GapCause::Damaged),
        "the records of a batch cannot be read",
    )
    .caused_by(cause)
}

//! Holds the index files of a segment against its batches: for `verify`, which believes neither.

use super::offset_index::{self, OffsetEntry};
use super::time_index::{self, TimeEntry};
use super::txn_index;
use super::{AbortedTransaction, FileName, SegmentFiles, SegmentHome};
use crate::batch::BatchHeader;
use crate::error::{ErrorKind, Result};
use crate::ids::ProducerId;
use crate::limits::DEFAULT_SEGMENT_INDEX_BYTES;
use crate::offset::{FilePosition, Offset};
use crate::timestamp::Timestamp;

/// What is read of an index file: ten times Kafka's default of the largest.
const MOST_INDEX_BYTES: u64 = 10 * DEFAULT_SEGMENT_INDEX_BYTES as u64;

/// The entries of a segment's indexes, as the batches go by.
#[derive(Debug)]
pub(crate) struct IndexCheck {
    base: Offset,
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    aborted: Vec<AbortedTransaction>,
    next_offset: usize,
    next_time: usize,
    next_aborted: usize,
    /// An entry stands for batches up to the one with this last offset.
    indexed_up_to: Option<Offset>,
    /// `None` when the file told nothing that can be held against it.
    largest: Option<Largest>,
    faults: Vec<String>,
}

/// The largest timestamp of the batches so far.
#[derive(Debug, Default)]
struct Largest(Option<Timestamp>);

/// Whether a batch ends a transaction in a way that the index of aborted ones must know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    Nothing,
    /// The first record of what was aborted; `None` when none was seen, and the index need not know.
    Aborted {
        producer: ProducerId,
        first: Option<Offset>,
    },
}

impl IndexCheck {
    /// Reads the index files as they stand.
    ///
    /// # Errors
    /// Only what the medium says.
    pub(crate) fn new(home: &SegmentHome, files: &SegmentFiles) -> Result<Self> {
        let base = files.base();
        let mut check = Self {
            base,
            offsets: Vec::new(),
            times: Vec::new(),
            aborted: Vec::new(),
            next_offset: 0,
            next_time: 0,
            next_aborted: 0,
            indexed_up_to: None,
            largest: None,
            faults: Vec::new(),
        };
        let (end, size) = (files.end(), files.size());
        if let Some(bytes) = check.read(home, FileName::OffsetIndex(base))? {
            let entries = offset_index::decode(&bytes, base, end, size);
            check.offsets = check.fitting(FileName::OffsetIndex(base), entries);
        }
        if let Some(bytes) = check.read(home, FileName::TimeIndex(base))? {
            let entries = time_index::decode(&bytes, base, end);
            check.largest = entries.is_some().then(Largest::default);
            check.times = check.fitting(FileName::TimeIndex(base), entries);
        }
        let aborted = check.read(home, FileName::TxnIndex(base))?;
        if aborted.is_none() && !files.aborted_are_as_sealed(&[]) {
            check.fault(FileName::TxnIndex(base), "the file is missing");
        }
        if let Some(bytes) = aborted {
            let entries = txn_index::decode(&bytes, base, end);
            if !files.aborted_are_as_sealed(&bytes) {
                check.fault(FileName::TxnIndex(base), "it is not as it was sealed");
            }
            check.aborted = check.fitting(FileName::TxnIndex(base), entries);
        }
        Ok(check)
    }

    fn read(&mut self, home: &SegmentHome, name: FileName) -> Result<Option<Vec<u8>>> {
        match home.read_index(name, MOST_INDEX_BYTES) {
            Ok(None) if !matches!(name, FileName::TxnIndex(_)) => {
                self.fault(name, "the file is missing");
                Ok(None)
            }
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::InvalidInput) => {
                self.fault(name, "the file cannot be read");
                Ok(None)
            }
            read => read,
        }
    }

    fn fitting<T>(&mut self, name: FileName, entries: Option<Vec<T>>) -> Vec<T> {
        entries.unwrap_or_else(|| {
            self.fault(name, "its entries do not fit the segment");
            Vec::new()
        })
    }

    fn fault(&mut self, name: FileName, what: &str) {
        self.faults.push(format!("{name}: {what}"));
    }

    /// The next batch of the segment.
    pub(crate) fn observe(&mut self, header: &BatchHeader, position: FilePosition, ended: Ended) {
        let last = header.last_offset();
        while let Some(entry) = self
            .offsets
            .get(self.next_offset)
            .filter(|entry| entry.position <= position)
        {
            let (offset, at) = (entry.last_offset(self.base), entry.position);
            if at != position || offset < last {
                self.no_batch_ends_at(offset, at);
            } else {
                self.indexed_up_to = Some(offset);
            }
            self.next_offset += 1;
        }
        // One append of a follower may have one entry for several batches, with the last one's offset.
        if let Some(offset) = self.indexed_up_to.filter(|offset| *offset <= last) {
            if offset < last {
                self.no_batch_ends_at(offset, position);
            }
            self.indexed_up_to = None;
        }
        if let Some(Largest(largest)) = &mut self.largest {
            *largest = header.max_timestamp().max(*largest);
        }
        while let Some(entry) = self
            .times
            .get(self.next_time)
            .filter(|entry| entry.offset(self.base) <= last)
        {
            let offset = entry.offset(self.base);
            if offset != last || header.max_timestamp() != Some(entry.timestamp) {
                let at = entry.timestamp.as_millis();
                let what = format!("no batch with timestamp {at} ends at offset {offset}");
                self.fault(FileName::TimeIndex(self.base), &what);
            }
            self.next_time += 1;
        }
        self.observe_abort(last, ended);
    }

    fn no_batch_ends_at(&mut self, offset: Offset, position: FilePosition) {
        let what = format!("no batch at position {position} ends at offset {offset}");
        self.fault(FileName::OffsetIndex(self.base), &what);
    }

    fn observe_abort(&mut self, last: Offset, ended: Ended) {
        let name = FileName::TxnIndex(self.base);
        let mut is_listed = false;
        while let Some(entry) = self
            .aborted
            .get(self.next_aborted)
            .copied()
            .filter(|entry| entry.last <= last)
        {
            is_listed = match ended {
                Ended::Aborted { producer, first } => {
                    let is_first = first.is_none_or(|first| entry.first == first);
                    entry.last == last && entry.producer == producer && is_first
                }
                Ended::Nothing => false,
            };
            if !is_listed {
                let (producer, at) = (entry.producer, entry.last);
                self.fault(
                    name,
                    &format!("producer {producer} aborted nothing at offset {at}"),
                );
            }
            self.next_aborted += 1;
        }
        if let Ended::Aborted {
            producer,
            first: Some(first),
        } = ended
            && !is_listed
        {
            let what =
                format!("what producer {producer} aborted from {first} to {last} is not in it");
            self.fault(name, &what);
        }
    }

    /// A place without a batch: entries that lead there lead to damage, which is told as such.
    pub(crate) fn pass(&mut self, to: Offset, position: FilePosition) {
        self.indexed_up_to = None;
        let skip = |next: &mut usize, count: usize| *next = (*next).max(count);
        let base = self.base;
        skip(
            &mut self.next_offset,
            self.offsets
                .partition_point(|entry| entry.position < position),
        );
        skip(
            &mut self.next_time,
            self.times.partition_point(|entry| entry.offset(base) < to),
        );
        skip(
            &mut self.next_aborted,
            self.aborted.partition_point(|entry| entry.last < to),
        );
    }

    /// The segment is at its end. Where batches could not be read, entries may have led to them.
    pub(crate) fn finish(&mut self, is_whole: bool) {
        if !is_whole {
            return;
        }
        if self.next_offset < self.offsets.len() || self.indexed_up_to.is_some() {
            let what = "entries lead behind the last batch";
            self.fault(FileName::OffsetIndex(self.base), what);
        }
        if self.next_time < self.times.len() || self.next_aborted < self.aborted.len() {
            let what = "entries name offsets behind the last batch";
            let name = match self.next_time < self.times.len() {
                true => FileName::TimeIndex(self.base),
                false => FileName::TxnIndex(self.base),
            };
            self.fault(name, what);
        }
        if let Some(Largest(largest)) = self.largest
            && largest != self.times.last().map(|entry| entry.timestamp)
        {
            let what = "its last entry is not the largest timestamp of the segment";
            self.fault(FileName::TimeIndex(self.base), what);
        }
    }

    /// What is wrong, in words, since the last call.
    pub(crate) fn take_faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }
}

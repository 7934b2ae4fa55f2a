//! Holds the index files of a segment against its batches: for `verify`, which believes neither.

use super::offset_index::{self, OffsetEntry};
use super::time_index::{self, TimeEntry};
use super::{FileName, SegmentFiles, SegmentHome};
use crate::batch::BatchHeader;
use crate::error::Result;
use crate::limits::DEFAULT_SEGMENT_INDEX_BYTES;
use crate::offset::{FilePosition, Offset};

/// What is read of an index file: ten times Kafka's default of the largest.
const MOST_INDEX_BYTES: u64 = 10 * DEFAULT_SEGMENT_INDEX_BYTES as u64;

/// The entries of a segment's indexes, as the batches go by.
#[derive(Debug)]
pub(crate) struct IndexCheck {
    base: Offset,
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    next_offset: usize,
    next_time: usize,
    faults: Vec<String>,
}

impl IndexCheck {
    /// Reads both index files as they stand.
    pub(crate) fn new(home: &SegmentHome, files: &SegmentFiles) -> Result<Self> {
        let base = files.base();
        let mut faults = Vec::new();
        let mut missing = |name: FileName, what: &str| faults.push(format!("{name}: {what}"));
        let name = FileName::OffsetIndex(base);
        let offsets = match home.read_index(name, MOST_INDEX_BYTES)? {
            None => {
                missing(name, "the file is missing");
                Vec::new()
            }
            Some(bytes) => offset_index::decode(&bytes, base, files.end(), files.size())
                .unwrap_or_else(|| {
                    missing(name, "its entries do not fit the segment");
                    Vec::new()
                }),
        };
        let name = FileName::TimeIndex(base);
        let times = match home.read_index(name, MOST_INDEX_BYTES)? {
            None => {
                missing(name, "the file is missing");
                Vec::new()
            }
            Some(bytes) => time_index::decode(&bytes, base, files.end()).unwrap_or_else(|| {
                missing(name, "its entries do not fit the segment");
                Vec::new()
            }),
        };
        Ok(Self {
            base,
            offsets,
            times,
            next_offset: 0,
            next_time: 0,
            faults,
        })
    }

    /// The next batch of the segment.
    pub(crate) fn observe(&mut self, header: &BatchHeader, position: FilePosition) {
        let last = header.last_offset();
        while let Some(entry) = self
            .offsets
            .get(self.next_offset)
            .filter(|entry| entry.position <= position)
        {
            // One append of a follower may have one entry for several batches, with the last one's offset.
            if entry.position != position || entry.last_offset(self.base) < last {
                let name = FileName::OffsetIndex(self.base);
                let offset = entry.last_offset(self.base);
                let at = entry.position;
                self.faults.push(format!(
                    "{name}: no batch with last offset {offset} starts at {at}"
                ));
            }
            self.next_offset += 1;
        }
        while let Some(entry) = self
            .times
            .get(self.next_time)
            .filter(|entry| entry.offset(self.base) <= last)
        {
            if entry.offset(self.base) != last {
                let name = FileName::TimeIndex(self.base);
                let offset = entry.offset(self.base);
                self.faults
                    .push(format!("{name}: no batch ends at offset {offset}"));
            }
            self.next_time += 1;
        }
    }

    /// A place without a batch: entries that lead there lead to damage, which is told as such.
    pub(crate) fn pass(&mut self, to: Offset, position: FilePosition) {
        while self
            .offsets
            .get(self.next_offset)
            .is_some_and(|entry| entry.position < position)
        {
            self.next_offset += 1;
        }
        while self
            .times
            .get(self.next_time)
            .is_some_and(|entry| entry.offset(self.base) < to)
        {
            self.next_time += 1;
        }
    }

    /// What is wrong, in words.
    pub(crate) fn finish(mut self) -> Vec<String> {
        if self.next_offset < self.offsets.len() {
            let name = FileName::OffsetIndex(self.base);
            self.faults
                .push(format!("{name}: entries lead behind the last batch"));
        }
        if self.next_time < self.times.len() {
            let name = FileName::TimeIndex(self.base);
            self.faults.push(format!(
                "{name}: entries name offsets behind the last batch"
            ));
        }
        self.faults
    }
}

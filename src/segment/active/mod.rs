//! The segment that is being written. Consumed by `seal`.
//!
//! An append is one write and the index entries of its batches in memory; the index files are written when the segment is
//! sealed or closed. This module never syncs: `SegmentFiles::sync` does, for whoever has the turn.

mod cut;

use std::sync::Arc;

use crate::batch::{BatchHeader, HEADER_BYTES};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{MAX_SEGMENT_BYTES, MAX_SEGMENT_OFFSET_SPAN};
use crate::offset::{FilePosition, Offset};
use crate::segment::growing::GrowingIndexes;
use crate::segment::scan::{OffsetRule, Step, WalkStart, Walker};
use crate::segment::{
    AbortedTransaction, FileName, Rebuilt, SegmentFiles, SegmentHome, SegmentSettings, SegmentShape,
};
use crate::segment::{offset_index, time_index, txn_index};
use crate::storage::{Access, StorageFile};
use crate::timestamp::Timestamp;

/// The first step in which space is prepared, and the largest: each is twice the one before.
const FIRST_PREPARED_BYTES: u64 = 64 << 10;
const MOST_PREPARED_BYTES: u64 = 1 << 20;

/// The one segment of a partition that grows.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    home: SegmentHome,
    files: Arc<SegmentFiles>,
    /// Nothing was written since a clean close: the files are as that close left them.
    is_as_closed: bool,
    /// Open while the segment is written to; an idle one costs no descriptor.
    log: Option<Arc<dyn StorageFile>>,
    /// Whole batches.
    size: FilePosition,
    next_offset: Offset,
    /// Length of the file: `size`, and prepared space behind it.
    file_bytes: u64,
    end: FileEnd,
    prepare_step_bytes: u64,
    txn_index: Option<TxnIndexFile>,
}

/// Whether the file ends where `file_bytes` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FileEnd {
    AsKnown,
    /// A write failed, and there was no room even to cut off what it wrote: it is cut before the next write.
    Frayed,
}

#[derive(Debug)]
struct TxnIndexFile {
    file: Arc<dyn StorageFile>,
    bytes: u64,
}

/// What the seal says of the segment for `stratalog.segments`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SealedFacts {
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    pub(crate) sealed_at: Timestamp,
    /// `None` when not all batches were read since the segment was opened: after a clean open only the tail is.
    pub(crate) prefix_crc: Option<u32>,
    /// CRC-32 of the index of aborted transactions; `None` without one.
    pub(crate) aborted_crc: Option<u32>,
}

/// What the indexes of a growing segment say of a roll.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IndexState {
    /// Offset index or time index takes no further entry.
    pub(crate) is_full: bool,
    /// Max timestamp of the first batch, for `segment.ms`.
    pub(crate) first_timestamp: Option<Timestamp>,
}

/// A seal that failed, a full disk for example: the segment is as it was and takes appends.
#[derive(Debug)]
pub(crate) struct Unsealed {
    pub(crate) segment: ActiveSegment,
    pub(crate) error: Error,
}

impl From<Box<Unsealed>> for Error {
    fn from(unsealed: Box<Unsealed>) -> Self {
        unsealed.error
    }
}

/// What [`ActiveSegment::reopen`] found.
#[derive(Debug)]
pub(crate) enum Reopened {
    Ready(ActiveSegment),
    /// Log or indexes are not as a clean close leaves them; says what. `rebuild` tells more.
    Damaged(&'static str),
}

impl ActiveSegment {
    /// Makes the `.log` of a new segment (nothing else: indexes reach their files later). Durable after the first sync.
    ///
    /// # Errors
    /// `AlreadyExists` when the file is there; `Full`, `ReadOnly`, `Io`.
    pub(crate) fn create(
        home: SegmentHome,
        base: Offset,
        settings: SegmentSettings,
    ) -> Result<Self> {
        let log = home.storage.create(&home.path(FileName::Log(base)))?;
        let indexes = GrowingIndexes::new(base, settings);
        Ok(Self::with_indexes(
            home,
            log,
            base,
            base,
            FilePosition::ZERO,
            indexes,
        ))
    }

    /// Goes on with a segment that `rebuild` has walked: its valid length is the end, and the file is cut to it if longer.
    /// The index files are removed; aborted transactions come back through `append_aborted`. What is cut is lost: the
    /// caller has made sure that nothing durable lies behind the valid length.
    pub(crate) fn resume(
        home: SegmentHome,
        rebuilt: Rebuilt,
        settings: SegmentSettings,
    ) -> Result<Self> {
        let Rebuilt {
            base,
            end,
            valid,
            mut indexes,
            ..
        } = rebuilt;
        let log = home
            .storage
            .open(&home.path(FileName::Log(base)), Access::Write)?;
        for name in [
            FileName::OffsetIndex(base),
            FileName::TimeIndex(base),
            FileName::TxnIndex(base),
        ] {
            home.remove(name)?;
        }
        if log.len()? > valid.to_u64() {
            log.set_len(valid.to_u64())?;
        }
        indexes.use_settings(settings);
        Ok(Self::with_indexes(home, log, base, end, valid, indexes))
    }

    /// Goes on with a segment that was closed cleanly: trusts size and indexes, reads only the tail behind the last index
    /// entry. Writes nothing.
    pub(crate) fn reopen(
        home: SegmentHome,
        base: Offset,
        settings: SegmentSettings,
    ) -> Result<Reopened> {
        let path = home.path(FileName::Log(base));
        let log = home.storage.open(&path, Access::Write)?;
        let Some(size) =
            FilePosition::from_u64(log.len()?).filter(|s| s.get() <= MAX_SEGMENT_BYTES)
        else {
            return Ok(Reopened::Damaged("the segment is above 2 GiB"));
        };
        let Some(mut indexes) = read_indexes(&home, &*log, base, size, settings)? else {
            return Ok(Reopened::Damaged("the indexes do not fit the segment"));
        };
        let last = indexes.sparse().last().copied();
        let before = indexes.sparse().iter().rev().nth(1).copied();
        let start = WalkStart {
            position: FilePosition::ZERO,
            end: size,
            expected: base,
            rule: OffsetRule::Ascending,
            max_decompressed_bytes: 0,
        };
        let from = last.map_or(FilePosition::ZERO, |entry| entry.position);
        let mut walker = match last {
            Some(entry) => {
                Walker::from_claim(Arc::clone(&log), &path, entry.claim(before, base), start)
            }
            None => Walker::new(Arc::clone(&log), &path, start),
        };
        loop {
            match walker.step()? {
                Step::Batch(found) if found.position < from => {
                    return Ok(Reopened::Damaged("the offset index is not of this segment"));
                }
                Step::Batch(found) => indexes.add_covered(found.batch.header(), found.position),
                Step::OldFormat { .. } => {}
                Step::Bad(spot) => return Ok(Reopened::Damaged(spot.what)),
                Step::End => break,
            }
        }
        let end = walker.expected();
        let aborted_bytes = txn_index::ENTRY_BYTES as u64 * indexes.aborted().len() as u64;
        let mut segment = Self::with_indexes(home, log, base, end, size, indexes);
        segment.is_as_closed = true;
        if aborted_bytes > 0 {
            let name = segment.home.path(FileName::TxnIndex(base));
            segment.txn_index = Some(TxnIndexFile {
                file: segment.home.storage.open(&name, Access::Write)?,
                bytes: aborted_bytes,
            });
        }
        Ok(Reopened::Ready(segment))
    }

    fn with_indexes(
        home: SegmentHome,
        log: Arc<dyn StorageFile>,
        base: Offset,
        end: Offset,
        size: FilePosition,
        indexes: GrowingIndexes,
    ) -> Self {
        let shape = SegmentShape {
            base,
            end,
            size_bytes: size.get(),
            sealed_at: None,
        };
        Self {
            files: SegmentFiles::growing(home.clone(), shape, Arc::clone(&log), indexes),
            home,
            is_as_closed: false,
            log: Some(log),
            size,
            next_offset: end,
            file_bytes: size.to_u64(),
            end: FileEnd::AsKnown,
            prepare_step_bytes: FIRST_PREPARED_BYTES,
            txn_index: None,
        }
    }

    /// Whether nothing was written since a clean close.
    pub(crate) fn is_as_closed(&self) -> bool {
        self.is_as_closed
    }

    /// The `.log`, open for writing: what follows changes the segment.
    fn log(&mut self) -> Result<Arc<dyn StorageFile>> {
        self.is_as_closed = false;
        if let Some(log) = &self.log {
            return Ok(Arc::clone(log));
        }
        let log = self
            .home
            .storage
            .open(&self.files.log_path(), Access::Write)?;
        self.files.hold(&log);
        self.log = Some(Arc::clone(&log));
        Ok(log)
    }

    /// Closes the `.log` until the next write. The caller has seen to it that every byte of it is durable: a write-back error would be lost
    /// with the descriptor. Prepared space keeps it open.
    pub(crate) fn rest(&mut self) {
        if self.file_bytes == self.size.to_u64() && self.end == FileEnd::AsKnown {
            self.log = None;
            self.files.let_go();
        }
    }

    pub(crate) fn files(&self) -> &Arc<SegmentFiles> {
        &self.files
    }

    pub(crate) fn base(&self) -> Offset {
        self.files.base()
    }

    pub(crate) fn next_offset(&self) -> Offset {
        self.next_offset
    }

    pub(crate) fn size(&self) -> FilePosition {
        self.size
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.size() == FilePosition::ZERO
    }

    /// What a roll depends on, in one look.
    pub(crate) fn index_state(&self) -> IndexState {
        self.files.read_growing(|indexes| IndexState {
            is_full: indexes.is_full(),
            first_timestamp: indexes.first_timestamp(),
        })
    }

    /// Makes room for `bytes` more to be written without need of space (zero-fill ahead in 64 KiB to 1 MiB): for synced
    /// writes.
    ///
    /// # Errors
    /// `Full` when there is no room even for `bytes`; nothing has changed then.
    pub(crate) fn prepare(&mut self, bytes: u32) -> Result<()> {
        let needed = self.size.to_u64() + u64::from(bytes);
        if needed <= self.file_bytes || needed > u64::from(MAX_SEGMENT_BYTES) {
            return Ok(());
        }
        self.mend()?;
        let ahead = (self.file_bytes + self.prepare_step_bytes).min(MAX_SEGMENT_BYTES.into());
        let until = needed.max(ahead);
        match self.prepare_until(until) {
            Ok(()) => {
                self.prepare_step_bytes = (self.prepare_step_bytes * 2).min(MOST_PREPARED_BYTES);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Full && until > needed => {
                self.mend()?;
                self.prepare_until(needed)
            }
            Err(error) => Err(error),
        }
    }

    fn prepare_until(&mut self, until: u64) -> Result<()> {
        let prepared = self.file_bytes;
        if let Err(error) = self.log()?.prepare(prepared..until) {
            return Err(self.cut_back(error));
        }
        self.file_bytes = until;
        Ok(())
    }

    /// Cuts off what an earlier write left behind the last batch.
    fn mend(&mut self) -> Result<()> {
        if self.end == FileEnd::Frayed {
            let size_bytes = self.size.to_u64();
            self.log()?.set_len(size_bytes)?;
            self.file_bytes = size_bytes;
            self.end = FileEnd::AsKnown;
        }
        Ok(())
    }

    /// Writes whole batches (already stamped) at the end, in one write, indexes each, publishes size and end to `files`.
    /// Returns where they start. `batches` are the headers of `bytes`, in order.
    ///
    /// # Errors
    /// Nothing is published and the file is cut back, at the latest before the next write when there is no room even for that. `TooLarge`
    /// when a segment cannot hold them; `Failed` when the cut failed otherwise: the file then ends in bytes that nobody vouches for, and no
    /// more may be appended.
    pub(crate) fn append(&mut self, bytes: &[u8], batches: &[BatchHeader]) -> Result<FilePosition> {
        let start = self.size;
        let (size, next_offset) = self.after(bytes, batches)?;
        self.mend()?;
        if let Err(error) = self.log()?.write_at(bytes, start.to_u64()) {
            return Err(self.cut_back(error));
        }
        self.files.with_growing(|indexes| {
            let mut position = start;
            let mut rest = bytes;
            for header in batches {
                indexes.add(header, rest, position);
                let size_bytes = header.size_bytes();
                rest = rest.get(size_bytes as usize..).unwrap_or_default();
                position = position.checked_add(size_bytes).unwrap_or(size);
            }
        });
        self.size = size;
        self.next_offset = next_offset;
        self.file_bytes = self.file_bytes.max(size.to_u64());
        self.files.publish(size, next_offset);
        Ok(start)
    }

    /// Size and end after an append, when the segment can hold it.
    fn after(&self, bytes: &[u8], batches: &[BatchHeader]) -> Result<(FilePosition, Offset)> {
        debug_assert_eq!(
            batches
                .iter()
                .map(|batch| batch.size_bytes() as usize)
                .sum::<usize>(),
            bytes.len(),
            "the headers are those of the bytes"
        );
        debug_assert!(
            batches
                .first()
                .is_none_or(|batch| batch.base_offset() >= self.next_offset),
            "offsets never go back"
        );
        let next_offset = batches
            .last()
            .map_or(self.next_offset, BatchHeader::next_offset);
        let size = u32::try_from(bytes.len())
            .ok()
            .and_then(|len| self.size.checked_add(len))
            .filter(|size| size.get() <= MAX_SEGMENT_BYTES);
        match size {
            Some(size) if next_offset.distance_from(self.base()) <= MAX_SEGMENT_OFFSET_SPAN => {
                Ok((size, next_offset))
            }
            _ => Err(Error::new(
                ErrorKind::TooLarge,
                format!("a segment holds {MAX_SEGMENT_BYTES} bytes and as many offsets"),
            )
            .path_is(self.files.log_path())
            .remedy("roll the segment")),
        }
    }

    /// Cuts the file back to its last batch after a write that failed; the prepared space goes with it.
    fn cut_back(&mut self, error: Error) -> Error {
        let size_bytes = self.size.to_u64();
        let cut = self.log().and_then(|log| log.set_len(size_bytes));
        match cut {
            Ok(()) => {
                self.file_bytes = self.size.to_u64();
                error
            }
            Err(no_room) if no_room.kind() == ErrorKind::Full => {
                self.end = FileEnd::Frayed;
                error
            }
            Err(_) => Error::new(
                ErrorKind::Failed,
                "an append failed, and what it wrote could not be cut off",
            )
            .path_is(self.files.log_path())
            .at(self.size)
            .remedy("reopen the log")
            .caused_by(error),
        }
    }

    /// Writes an aborted transaction to `.txnindex`.
    ///
    /// # Errors
    /// The entry is not there; the file is as long as before, or ends in a part of an entry, which no reader takes.
    pub(crate) fn append_aborted(&mut self, aborted: &AbortedTransaction) -> Result<()> {
        let index = match &mut self.txn_index {
            Some(index) => index,
            none => {
                let file = self
                    .home
                    .write_index(FileName::TxnIndex(self.files.base()), &[])?;
                none.insert(TxnIndexFile { file, bytes: 0 })
            }
        };
        index.file.write_at(&aborted.encode(), index.bytes)?;
        index.bytes += txn_index::ENTRY_BYTES as u64;
        self.files
            .with_growing(|indexes| indexes.add_aborted(*aborted));
        Ok(())
    }

    /// Closes the segment for writing: closing time-index entry, indexes into their files, `.log` cut to its last batch,
    /// its time of change set to `sealed_at`. Durable on return: nothing; `SegmentFiles::sync` follows.
    ///
    /// # Errors
    /// The segment comes back as it was, to be sealed again or appended to.
    pub(crate) fn seal(
        mut self,
        sealed_at: Timestamp,
    ) -> Result<(Arc<SegmentFiles>, SealedFacts), Box<Unsealed>> {
        let written = self.write_indexes().and_then(|written| {
            self.log()?.set_modified(sealed_at.into())?;
            Ok(written)
        });
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                return Err(Box::new(Unsealed {
                    segment: self,
                    error,
                }));
            }
        };
        let facts = SealedFacts {
            base: self.base(),
            end: self.next_offset,
            sealed_at,
            prefix_crc: self.files.read_growing(GrowingIndexes::prefix_crc),
            aborted_crc: self
                .files
                .read_growing(|growing| txn_index::checksum(growing.aborted())),
        };
        self.files.vouch_for_aborted(facts.aborted_crc);
        Ok((self.finish(written, Some(sealed_at)), facts))
    }

    /// As `seal`, but the segment stays the active one of the next open (clean close): no sealed facts.
    pub(crate) fn close(mut self) -> Result<Arc<SegmentFiles>> {
        let written = match self.is_as_closed {
            true => Vec::new(),
            false => self.write_indexes()?,
        };
        Ok(self.finish(written, None))
    }

    fn finish(
        self,
        written: Vec<Arc<dyn StorageFile>>,
        sealed_at: Option<Timestamp>,
    ) -> Arc<SegmentFiles> {
        let largest = self.files.read_growing(GrowingIndexes::largest);
        let largest = largest.map(|largest| largest.timestamp);
        self.files.indexes_written(written, largest);
        self.files.set_sealed(sealed_at);
        self.files
    }

    /// Cuts the prepared space and writes the index files; both again when an earlier try has failed.
    fn write_indexes(&mut self) -> Result<Vec<Arc<dyn StorageFile>>> {
        let base = self.base();
        self.mend()?;
        if self.file_bytes > self.size.to_u64() {
            let size_bytes = self.size.to_u64();
            self.log()?.set_len(size_bytes)?;
            self.file_bytes = self.size.to_u64();
        }
        let (offsets, times) = self.files.with_growing(|indexes| {
            indexes.add_time_entry();
            let offsets = offset_index::encode(indexes.sparse());
            (offsets, time_index::encode(indexes.times()))
        });
        let mut written = vec![
            self.home
                .write_index(FileName::OffsetIndex(base), &offsets)?,
            self.home.write_index(FileName::TimeIndex(base), &times)?,
        ];
        if let Some(index) = &self.txn_index {
            index.file.set_len(index.bytes)?;
            written.push(Arc::clone(&index.file));
        }
        Ok(written)
    }
}

/// The indexes of a cleanly closed segment; `None` when they are not what a clean close leaves.
fn read_indexes(
    home: &SegmentHome,
    log: &dyn StorageFile,
    base: Offset,
    size: FilePosition,
    settings: SegmentSettings,
) -> Result<Option<GrowingIndexes>> {
    let shape = SegmentShape {
        base,
        end: base.saturating_add(MAX_SEGMENT_OFFSET_SPAN),
        size_bytes: size.get(),
        sealed_at: None,
    };
    let on_disk = SegmentFiles::sealed(home.clone(), shape);
    let (offsets, times, aborted) = match on_disk.read_all_indexes() {
        Ok(Some(all)) => all,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut header = [0; HEADER_BYTES];
    let read = log.read_at(&mut header, 0)?;
    let header = BatchHeader::read(&header[..read]).ok();
    let first_timestamp = header.and_then(|header| header.max_timestamp());
    if times.is_empty() && first_timestamp.is_some_and(|first| first.as_millis() >= 0) {
        return Ok(None);
    }
    Ok(Some(GrowingIndexes::from_files(
        base,
        settings,
        offsets,
        times,
        aborted,
        first_timestamp,
    )))
}

//! What writer, readers and syncer share of one segment.
//!
//! The files are opened, and the indexes of a sealed segment read, at first need; indexes can be let go again. An index is
//! derived from the log and never evidence: one that is missing or does not fit the segment is derived anew in memory, and
//! a walk that starts where an index says checks that it may.

mod aborted;

use std::path::PathBuf;
use std::sync::Arc;

use super::growing::GrowingIndexes;
use super::offset_index::{self, OffsetEntry};
use super::open_files::FileKey;
use super::scan::{Claim, OffsetRule, Step, WalkStart, Walker};
use super::time_index::{self, TimeEntry};
use super::{AbortedTransaction, FileName, SegmentHome, rebuild};
use crate::batch::{BatchHeader, HEADER_BYTES};
use crate::error::{Error, ErrorKind, Result};
use crate::offset::{FilePosition, Offset};
use crate::storage::{Access, StorageFile};
use crate::sync::{
    Mutex, OnceLock, RwLock,
    atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
};
use crate::timestamp::Timestamp;

/// What is known of a sealed segment before any of its files is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentShape {
    pub(crate) base: Offset,
    /// Exclusive: the next segment's base, or where the last batch ends.
    pub(crate) end: Offset,
    pub(crate) size_bytes: u32,
    /// When it was sealed: the side file's word, else the file's time of change.
    pub(crate) sealed_at: Option<Timestamp>,
}

/// The files of one segment. All methods take `&self`; reading holds no lock during I/O.
#[derive(Debug)]
pub(crate) struct SegmentFiles {
    home: SegmentHome,
    base: Offset,
    size: AtomicU32,
    end: AtomicI64,
    /// Set once, at the seal.
    sealed: OnceLock<Sealed>,
    key: FileKey,
    /// The `.log` while it may hold bytes that are not durable: out of the budget's reach.
    held: RwLock<Option<Arc<dyn StorageFile>>>,
    /// Index files that were written and not synced.
    unsynced_indexes: Mutex<Vec<Arc<dyn StorageFile>>>,
    /// The first sync has made the names last.
    is_named: AtomicBool,
    is_removed: AtomicBool,
    indexes: RwLock<Indexes>,
    /// Of the `.txnindex`, as it was noted when the segment was sealed.
    aborted_crc: OnceLock<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Sealed {
    at: Option<Timestamp>,
}

#[derive(Debug)]
enum Indexes {
    Growing(GrowingIndexes),
    OnDisk(Loaded),
}

/// What was read of a sealed segment's indexes so far.
#[derive(Debug, Default)]
struct Loaded {
    offsets: Option<Arc<[OffsetEntry]>>,
    times: Option<Arc<[TimeEntry]>>,
    aborted: Option<Arc<[AbortedTransaction]>>,
    /// Once it was looked for.
    largest_timestamp: Option<Option<Timestamp>>,
}

struct DerivedIndexes {
    offsets: Arc<[OffsetEntry]>,
    times: Arc<[TimeEntry]>,
}

impl SegmentFiles {
    /// A sealed segment that stands on disk; nothing is opened or read yet.
    pub(crate) fn sealed(home: SegmentHome, shape: SegmentShape) -> Arc<Self> {
        let indexes = Indexes::OnDisk(Loaded::default());
        let files = Self::new(home, shape, None, indexes);
        let at = shape.sealed_at;
        Arc::new(Self {
            sealed: OnceLock::from(Sealed { at }),
            ..files
        })
    }

    /// The segment that grows, with its `.log` open for writing.
    pub(super) fn growing(
        home: SegmentHome,
        shape: SegmentShape,
        log: Arc<dyn StorageFile>,
        indexes: GrowingIndexes,
    ) -> Arc<Self> {
        Arc::new(Self::new(home, shape, Some(log), Indexes::Growing(indexes)))
    }

    fn new(
        home: SegmentHome,
        shape: SegmentShape,
        held: Option<Arc<dyn StorageFile>>,
        indexes: Indexes,
    ) -> Self {
        Self {
            key: home.open_files.new_key(),
            home,
            base: shape.base,
            size: AtomicU32::new(shape.size_bytes),
            end: AtomicI64::new(shape.end.to_i64()),
            sealed: OnceLock::new(),
            held: RwLock::new(held),
            unsynced_indexes: Mutex::default(),
            is_named: AtomicBool::new(false),
            is_removed: AtomicBool::new(false),
            indexes: RwLock::new(indexes),
            aborted_crc: OnceLock::new(),
        }
    }

    pub(crate) fn home(&self) -> &SegmentHome {
        &self.home
    }

    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    /// Exclusive; grows while the segment is active.
    pub(crate) fn end(&self) -> Offset {
        Offset::from_i64(self.end.load(Ordering::Acquire)).unwrap_or(self.base)
    }

    /// Bytes of whole batches; grows while the segment is active. Shrinks only by a truncation, which raises the
    /// partition's generation first.
    pub(crate) fn size(&self) -> FilePosition {
        FilePosition::new(self.size.load(Ordering::Acquire))
    }

    /// No more batches come.
    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.get().is_some()
    }

    pub(crate) fn sealed_at(&self) -> Option<Timestamp> {
        self.sealed.get().and_then(|sealed| sealed.at)
    }

    /// The largest record timestamp (last time-index entry, or the running maximum); `None` when no record has one. A time
    /// index that was cut exactly behind an earlier entry is believed here, as Kafka does; `verify` tells.
    pub(crate) fn largest_timestamp(&self) -> Result<Option<Timestamp>> {
        match &*self.indexes.read() {
            Indexes::Growing(growing) => {
                return Ok(growing.largest().map(|largest| largest.timestamp));
            }
            Indexes::OnDisk(loaded) => {
                if let Some(known) = loaded.largest_timestamp {
                    return Ok(known);
                }
            }
        }
        let largest = match self.last_time_entry()? {
            Some(entry) => Some(entry.timestamp),
            None => self.times()?.last().map(|entry| entry.timestamp),
        };
        self.keep(|loaded| loaded.largest_timestamp = Some(largest));
        Ok(largest)
    }

    /// Timestamp of the first batch (its max timestamp), for `segment.ms`.
    pub(crate) fn first_timestamp(&self) -> Result<Option<Timestamp>> {
        if let Indexes::Growing(growing) = &*self.indexes.read() {
            return Ok(growing.first_timestamp());
        }
        let mut header = [0; HEADER_BYTES];
        let read = self.log_file()?.read_at(&mut header, 0)?;
        let header = BatchHeader::read(&header[..read]);
        Ok(header.ok().and_then(|header| header.max_timestamp()))
    }

    /// The `.log`, opened at first need. `NotFound` once the segment was removed.
    pub(crate) fn log_file(&self) -> Result<Arc<dyn StorageFile>> {
        if let Some(held) = &*self.held.read() {
            return Ok(Arc::clone(held));
        }
        let path = self.log_path();
        if self.is_removed.load(Ordering::Acquire) {
            let gone = Error::new(ErrorKind::NotFound, "the segment was removed");
            return Err(gone.path_is(path));
        }
        self.home
            .open_files
            .get(self.key, || self.home.storage.open(&path, Access::Read))
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.home.path(FileName::Log(self.base))
    }

    /// A walk from the start of the segment to its present end.
    pub(crate) fn walk(&self, rule: OffsetRule, max_decompressed_bytes: u32) -> Result<Walker> {
        let start = self.start_at_base(rule, max_decompressed_bytes);
        Ok(Walker::new(self.log_file()?, &self.log_path(), start))
    }

    /// A walk to the segment's present end that meets the first batch whose last offset is at or above `offset`; a few
    /// batches before it may come first.
    pub(crate) fn walk_from(
        &self,
        offset: Offset,
        rule: OffsetRule,
        max_decompressed_bytes: u32,
    ) -> Result<Walker> {
        let claim = self.claim(offset)?;
        let start = self.start_at_base(rule, max_decompressed_bytes);
        let file = self.log_file()?;
        Ok(match claim {
            Some(claim) => Walker::from_claim(file, &self.log_path(), claim, start),
            None => Walker::new(file, &self.log_path(), start),
        })
    }

    /// A walk to the segment's present end that meets the first batch with a timestamp of `at` or later; others may come
    /// first. Time index, then offset index, as Kafka does.
    pub(crate) fn walk_from_time(
        &self,
        at: Timestamp,
        rule: OffsetRule,
        max_decompressed_bytes: u32,
    ) -> Result<Walker> {
        let entry = match &*self.indexes.read() {
            Indexes::Growing(growing) => Some(time_index::lookup(growing.times(), at)),
            Indexes::OnDisk(_) => None,
        };
        let is_ours = entry.is_some();
        let entry = match entry {
            Some(entry) => entry,
            None => time_index::lookup(&self.times()?, at),
        };
        let Some(entry) = entry else {
            return self.walk(rule, max_decompressed_bytes);
        };
        if is_ours || self.is_borne_out(entry, rule)? {
            self.walk_from(entry.offset(self.base), rule, max_decompressed_bytes)
        } else {
            self.walk(rule, max_decompressed_bytes)
        }
    }

    /// Whether a time entry names the last offset of a batch with that very timestamp, as all right ones do.
    fn is_borne_out(&self, entry: TimeEntry, rule: OffsetRule) -> Result<bool> {
        let offset = entry.offset(self.base);
        let mut walker = self.walk_from(offset, rule, 0)?;
        loop {
            match walker.step()? {
                Step::Batch(found) if found.batch.last_offset() < offset => {}
                Step::Batch(found) => {
                    return Ok(found.batch.last_offset() == offset
                        && found.batch.max_timestamp() == Some(entry.timestamp));
                }
                Step::OldFormat { to, .. } if to <= offset => {}
                Step::OldFormat { .. } | Step::Bad(_) | Step::End => return Ok(false),
            }
        }
    }

    fn start_at_base(&self, rule: OffsetRule, max_decompressed_bytes: u32) -> WalkStart {
        WalkStart {
            position: FilePosition::ZERO,
            end: self.size(),
            expected: self.base,
            rule,
            max_decompressed_bytes,
        }
    }

    fn claim(&self, offset: Offset) -> Result<Option<Claim>> {
        if let Indexes::Growing(growing) = &*self.indexes.read() {
            return Ok(growing.claim(offset));
        }
        let entries = self.offsets()?;
        let found = offset_index::lookup(&entries, self.base, offset);
        Ok(found.map(|(entry, before)| entry.claim(before, self.base)))
    }

    /// Indexed positions above `position`, ascending: where a walk may find its feet again.
    pub(crate) fn positions_above(&self, position: FilePosition) -> Result<Vec<FilePosition>> {
        if let Indexes::Growing(growing) = &*self.indexes.read() {
            return Ok(growing.positions_above(position));
        }
        let entries = self.offsets()?;
        let above = entries.partition_point(|entry| entry.position <= position);
        Ok(entries[above..]
            .iter()
            .map(|entry| entry.position)
            .collect())
    }

    /// The offset of the first entry of the offset index at `position` or behind it: Kafka's upper bound of what a fetch that ends there
    /// can hold (`OffsetIndex.fetchUpperBoundOffset`).
    pub(crate) fn indexed_offset_from(&self, position: FilePosition) -> Result<Option<Offset>> {
        let first = |entries: &[OffsetEntry]| {
            let behind = entries.partition_point(|entry| entry.position < position);
            entries
                .get(behind)
                .map(|entry| entry.last_offset(self.base))
        };
        if let Indexes::Growing(growing) = &*self.indexes.read() {
            return Ok(first(growing.sparse()));
        }
        Ok(first(&self.offsets()?))
    }

    /// Brings everything written before the call to the medium. The first sync of a segment is `sync_all` of the `.log`
    /// and `sync_dir`; a sealed segment syncs its indexes as well. A removed segment has nothing to sync.
    ///
    /// # Errors
    /// Never try again: what was not synced is in doubt for ever.
    pub(crate) fn sync(&self) -> Result<()> {
        if self.is_removed.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.sync_files() {
            // Trimmed meanwhile (KAFKA-15391): nobody waits for it any more.
            Err(_) if self.is_removed.load(Ordering::Acquire) => Ok(()),
            synced => synced,
        }
    }

    fn sync_files(&self) -> Result<()> {
        // Taken before the sync: a seal that comes meanwhile is the next sync's business.
        let is_sealed = self.is_sealed();
        let held = self.held.read().clone();
        let log = match &held {
            Some(held) => Arc::clone(held),
            None => self.home.storage.open(&self.log_path(), Access::Write)?,
        };
        let indexes = match is_sealed {
            true => self.unsynced_indexes.lock().clone(),
            false => Vec::new(),
        };
        let is_first = !self.is_named.load(Ordering::Acquire);
        if is_first {
            log.sync_all()?;
        } else {
            log.sync_data()?;
        }
        for index in &indexes {
            index.sync_all()?;
        }
        if is_first || !indexes.is_empty() {
            self.home.storage.sync_dir(&self.home.dir)?;
            self.is_named.store(true, Ordering::Release);
        }
        if is_sealed {
            self.unsynced_indexes.lock().clear();
            if let Some(log) = self.held.write().take() {
                self.home.open_files.insert(self.key, log);
            }
        }
        Ok(())
    }

    /// The writer has opened the `.log`: out of the budget's reach from now on.
    pub(super) fn hold(&self, log: &Arc<dyn StorageFile>) {
        *self.held.write() = Some(Arc::clone(log));
    }

    /// Every byte of the `.log` is durable, and nobody writes for now.
    pub(super) fn let_go(&self) {
        let held = self.held.write().take();
        drop(held);
    }

    /// Lets go of what was read of the indexes; it is read again at the next need.
    pub(crate) fn release(&self) {
        self.keep(|loaded| {
            loaded.offsets = None;
            loaded.times = None;
            loaded.aborted = None;
        });
    }

    /// Unlinks all files. Open readers read on; a closed one meets `NotFound`.
    ///
    /// The `.log` goes first: an index without a log is rubbish that the next open removes, a log without its
    /// `.txnindex` would show aborted records.
    pub(crate) fn remove(&self) -> Result<()> {
        self.is_removed.store(true, Ordering::Release);
        let held = self.held.write().take();
        drop(held);
        self.home.open_files.forget(self.key);
        for name in FileName::of_segment(self.base) {
            self.home.remove(name)?;
        }
        Ok(())
    }

    /// The offset index of a sealed segment.
    fn offsets(&self) -> Result<Arc<[OffsetEntry]>> {
        if let Indexes::OnDisk(Loaded {
            offsets: Some(offsets),
            ..
        }) = &*self.indexes.read()
        {
            return Ok(Arc::clone(offsets));
        }
        let bytes = self.read_derived(FileName::OffsetIndex(self.base))?;
        let entries = bytes
            .and_then(|bytes| offset_index::decode(&bytes, self.base, self.end(), self.size()));
        match entries {
            Some(entries) => {
                let entries: Arc<[OffsetEntry]> = entries.into();
                self.keep(|loaded| loaded.offsets = Some(Arc::clone(&entries)));
                Ok(entries)
            }
            None => Ok(self.derive()?.offsets),
        }
    }

    /// The time index of a sealed segment.
    fn times(&self) -> Result<Arc<[TimeEntry]>> {
        if let Indexes::OnDisk(Loaded {
            times: Some(times), ..
        }) = &*self.indexes.read()
        {
            return Ok(Arc::clone(times));
        }
        let bytes = self.read_derived(FileName::TimeIndex(self.base))?;
        let entries = bytes.and_then(|bytes| time_index::decode(&bytes, self.base, self.end()));
        match entries {
            Some(entries) if !entries.is_empty() || !self.starts_with_a_time()? => {
                let entries: Arc<[TimeEntry]> = entries.into();
                self.keep(|loaded| loaded.times = Some(Arc::clone(&entries)));
                Ok(entries)
            }
            Some(_) | None => Ok(self.derive()?.times),
        }
    }

    /// All three indexes as they stand in their files; `None` when one is missing or does not fit.
    #[allow(clippy::type_complexity, reason = "one use, taken apart at once")]
    pub(super) fn read_all_indexes(
        &self,
    ) -> Result<Option<(Vec<OffsetEntry>, Vec<TimeEntry>, Vec<AbortedTransaction>)>> {
        let offsets = self.read_derived(FileName::OffsetIndex(self.base))?;
        let offsets = offsets
            .and_then(|bytes| offset_index::decode(&bytes, self.base, self.end(), self.size()));
        let times = self.read_derived(FileName::TimeIndex(self.base))?;
        let times = times.and_then(|bytes| time_index::decode(&bytes, self.base, self.end()));
        let aborted = self.read_aborted()?;
        Ok(offsets
            .zip(times)
            .map(|(offsets, times)| (offsets, times, aborted)))
    }

    /// An index file, unless it is missing or cannot be right: each entry stands for a batch, which is longer.
    fn read_derived(&self, name: FileName) -> Result<Option<Vec<u8>>> {
        match self.home.read_index(name, self.size().to_u64()) {
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
            other => other,
        }
    }

    /// Whether an empty time index must be wrong.
    fn starts_with_a_time(&self) -> Result<bool> {
        if self.size() == FilePosition::ZERO {
            return Ok(false);
        }
        let first = self.first_timestamp()?;
        Ok(first.is_some_and(|first| first.as_millis() >= 0))
    }

    /// The last entry of the time index, read alone; `None` when the whole file must be looked at.
    fn last_time_entry(&self) -> Result<Option<TimeEntry>> {
        let path = self.home.path(FileName::TimeIndex(self.base));
        let file = match self.home.storage.open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let len = file.len()?;
        let mut bytes = [0; time_index::ENTRY_BYTES];
        let Some(last_at) = len.checked_sub(bytes.len() as u64) else {
            return Ok(None);
        };
        let is_whole = last_at % (bytes.len() as u64) == 0
            && file.read_at(&mut bytes, last_at)? == bytes.len();
        let entry = time_index::decode(&bytes, self.base, self.end());
        // A zero entry is what a preallocated file ends in; only the whole file tells.
        let entry = entry.and_then(|entries| entries.first().copied());
        Ok(entry.filter(|entry| is_whole && (entry.timestamp.as_millis() > 0 || last_at == 0)))
    }

    /// Derives both indexes from the log, in memory: a file is missing or does not fit.
    fn derive(&self) -> Result<DerivedIndexes> {
        let mut walker = self.walk(OffsetRule::Ascending, 0)?;
        let derived = rebuild::derive(&mut walker, self.base)?;
        let offsets: Arc<[OffsetEntry]> = derived.sparse().into();
        let times: Arc<[TimeEntry]> = derived.times().into();
        self.keep(|loaded| {
            loaded.offsets = Some(Arc::clone(&offsets));
            loaded.times = Some(Arc::clone(&times));
        });
        Ok(DerivedIndexes { offsets, times })
    }

    fn keep(&self, change: impl FnOnce(&mut Loaded)) {
        if let Indexes::OnDisk(loaded) = &mut *self.indexes.write() {
            change(loaded);
        }
    }

    /// Looks at, or changes, what grows; for the active segment only.
    pub(super) fn with_growing<T>(&self, change: impl FnOnce(&mut GrowingIndexes) -> T) -> T {
        match &mut *self.indexes.write() {
            Indexes::Growing(growing) => change(growing),
            Indexes::OnDisk(_) => {
                unreachable!("only the active segment, which is not sealed, asks")
            }
        }
    }

    /// As `with_growing`, beside readers.
    pub(super) fn read_growing<T>(&self, look: impl FnOnce(&GrowingIndexes) -> T) -> T {
        match &*self.indexes.read() {
            Indexes::Growing(growing) => look(growing),
            Indexes::OnDisk(_) => {
                unreachable!("only the active segment, which is not sealed, asks")
            }
        }
    }

    /// Shows readers a new end. The size first: who sees the end sees the bytes below it.
    pub(super) fn publish(&self, size: FilePosition, end: Offset) {
        self.size.store(size.get(), Ordering::Release);
        self.end.store(end.to_i64(), Ordering::Release);
    }

    /// From here on the indexes are in their files, and the next sync brings those to the medium too.
    pub(super) fn indexes_written(
        &self,
        written: Vec<Arc<dyn StorageFile>>,
        largest_timestamp: Option<Timestamp>,
    ) {
        self.unsynced_indexes.lock().extend(written);
        *self.indexes.write() = Indexes::OnDisk(Loaded {
            largest_timestamp: Some(largest_timestamp),
            ..Loaded::default()
        });
    }

    pub(super) fn set_sealed(&self, at: Option<Timestamp>) {
        let first = self.sealed.set(Sealed { at });
        debug_assert!(first.is_ok(), "a segment is sealed once");
    }
}

//! A disk in memory that watches how it is used while a scheduler chooses the order of threads.
//!
//! It knows what of each file a power cut would leave, fails a sync when it is told to, and refuses what promises 10 and 23 rule out: a sync
//! under a lock that an append or a reader needs, a reader that holds a lock while it reads, a byte of a log that is written
//! without the writer lock, a sync after one that failed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
// Never held while another thread runs.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use shuttle::current::{TaskId, me};

use super::{Access, BootId, Entry, Memory, Space, Storage, StorageFile, StorageLock, private};
use crate::error::{Error, Result};
use crate::sync::held;

/// Locks under which nobody waits for the medium.
const SHORT_LOCKS: [&str; 3] = ["WriterState", "watermarks::State", "files::Indexes"];

#[derive(Clone, Debug)]
pub(crate) struct Watched {
    memory: Memory,
    ledger: Arc<Mutex<Ledger>>,
}

#[derive(Debug, Default)]
struct Ledger {
    files: HashMap<PathBuf, Kept>,
    readers: Vec<TaskId>,
    /// Truncations: appends have to wait for them anyway.
    cutters: Vec<TaskId>,
    syncs_of_logs: u64,
    /// The sync of a log with this number fails.
    failing: Option<u64>,
    has_failed: bool,
}

/// What a power cut leaves of a file.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    written_bytes: u64,
    synced_bytes: u64,
    is_named: bool,
}

impl Watched {
    pub(crate) fn new() -> Self {
        Self {
            memory: Memory::new(),
            ledger: Arc::default(),
        }
    }

    /// As `new`; the sync of a `.log` with this number, counted from zero, fails.
    pub(crate) fn failing_at(number: u64) -> Self {
        let watched = Self::new();
        watched.ledger().failing = Some(number);
        watched
    }

    /// The running thread is a reader from now on.
    pub(crate) fn i_am_a_reader(&self) {
        self.ledger().readers.push(me());
    }

    /// The running thread cuts the tail: it may sync small files under the writer lock.
    pub(crate) fn i_am_cutting(&self) {
        self.ledger().cutters.push(me());
    }

    /// Whether a power cut leaves the file's name and everything below `end`.
    pub(crate) fn keeps(&self, path: &Path, end: u64) -> bool {
        let kept = self.ledger().files.get(path).copied().unwrap_or_default();
        kept.is_named && kept.synced_bytes >= end
    }

    /// Syncs of `.log` files so far.
    pub(crate) fn syncs_of_logs(&self) -> u64 {
        self.ledger().syncs_of_logs
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse_locks_of_a_reader(&self) {
        if self.ledger().readers.contains(&me()) {
            assert!(held().is_empty(), "a reader reads under {:?}", held());
        }
    }

    fn refuse_short_locks(&self, path: &Path) {
        let mut held = held();
        let is_small = path.extension().is_none_or(|end| end != "log");
        if is_small && self.ledger().cutters.contains(&me()) {
            held.retain(|held| !held.ends_with("WriterState"));
        }
        let short = |held: &&str| SHORT_LOCKS.iter().any(|short| held.ends_with(short));
        assert!(!held.iter().any(short), "a sync under {held:?}");
    }

    fn watched(&self, path: &Path, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(WatchedFile {
            watched: self.clone(),
            path: path.into(),
            file,
        })
    }
}

impl private::Sealed for Watched {}

impl Storage for Watched {
    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn StorageFile>> {
        self.refuse_locks_of_a_reader();
        Ok(self.watched(path, self.memory.open(path, access)?))
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn StorageFile>> {
        let file = self.memory.create(path)?;
        self.ledger().files.insert(path.into(), Kept::default());
        Ok(self.watched(path, file))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.memory.create_dir(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>> {
        self.memory.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.memory.rename(from, to)?;
        let mut ledger = self.ledger();
        let kept = ledger.files.remove(from).unwrap_or_default();
        let is_named = false;
        ledger.files.insert(to.into(), Kept { is_named, ..kept });
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.memory.remove(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.memory.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.refuse_short_locks(path);
        let here = |file: &PathBuf| file.parent() == Some(path);
        let named: Vec<PathBuf> = self
            .ledger()
            .files
            .keys()
            .filter(|f| here(f))
            .cloned()
            .collect();
        self.memory.sync_dir(path)?;
        let mut ledger = self.ledger();
        for file in named {
            ledger.files.entry(file).or_default().is_named = true;
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn StorageLock>> {
        self.memory.lock(path)
    }

    fn is_locked(&self, path: &Path) -> Result<bool> {
        self.memory.is_locked(path)
    }

    fn space(&self, path: &Path) -> Result<Space> {
        self.memory.space(path)
    }

    fn boot_id(&self) -> Result<BootId> {
        Ok(BootId([1; 16]))
    }
}

#[derive(Debug)]
struct WatchedFile {
    watched: Watched,
    path: PathBuf,
    file: Arc<dyn StorageFile>,
}

impl WatchedFile {
    fn is_log(&self) -> bool {
        self.path.extension().is_some_and(|end| end == "log")
    }

    fn change(&self, change: impl FnOnce(&mut Kept)) {
        change(
            self.watched
                .ledger()
                .files
                .entry(self.path.clone())
                .or_default(),
        );
    }

    /// Everything that was written before the call is on the medium when it ends.
    fn synced(&self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        self.watched.refuse_short_locks(&self.path);
        if self.is_log() {
            let mut ledger = self.watched.ledger();
            assert!(!ledger.has_failed, "a sync after one that failed");
            ledger.has_failed = ledger.failing == Some(ledger.syncs_of_logs);
            ledger.syncs_of_logs += 1;
            if ledger.has_failed {
                let error = std::io::Error::from_raw_os_error(5);
                return Err(Error::io("sync", &self.path, error));
            }
        }
        let written = self.file.len()?;
        sync()?;
        // A step for others while the sync is under way: what they write now is not in it.
        self.file.len()?;
        self.change(|kept| {
            kept.synced_bytes = kept.synced_bytes.max(written.min(kept.written_bytes))
        });
        Ok(())
    }
}

impl private::Sealed for WatchedFile {}

impl StorageFile for WatchedFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize> {
        self.watched.refuse_locks_of_a_reader();
        self.file.read_at(buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> Result<()> {
        let is_locked = || held().iter().any(|held| held.ends_with("WriterState"));
        assert!(
            !self.is_log() || is_locked(),
            "a log is written without the writer lock"
        );
        self.file.write_at(bytes, position)?;
        let end = position + bytes.len() as u64;
        self.change(|kept| kept.written_bytes = kept.written_bytes.max(end));
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        self.synced(|| self.file.sync_data())
    }

    fn sync_all(&self) -> Result<()> {
        self.synced(|| self.file.sync_all())
    }

    fn len(&self) -> Result<u64> {
        self.watched.refuse_locks_of_a_reader();
        self.file.len()
    }

    fn set_len(&self, len_bytes: u64) -> Result<()> {
        self.file.set_len(len_bytes)?;
        self.change(|kept| {
            kept.written_bytes = kept.written_bytes.min(len_bytes);
            kept.synced_bytes = kept.synced_bytes.min(len_bytes);
        });
        Ok(())
    }

    fn prepare(&self, range: std::ops::Range<u64>) -> Result<()> {
        self.file.prepare(range)
    }

    fn set_modified(&self, at: SystemTime) -> Result<()> {
        self.file.set_modified(at)
    }
}

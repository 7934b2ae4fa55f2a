//! The log's budget of open descriptors: `.log` files of sealed segments are opened at first need, and the one that was
//! used least recently is let go first.
//!
//! A file with bytes that are not durable never comes here: `SegmentFiles` holds it itself until a sync has succeeded.
//! This module must never know what is in the files.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::Result;
use crate::storage::StorageFile;
use crate::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

/// The budget. Letting go of a file closes it once its last reader is done with it.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    max_open: usize,
    next_key: AtomicU64,
    open: Mutex<Recency>,
}

/// Names one file within the budget. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct FileKey(u64);

#[derive(Debug, Default)]
struct Recency {
    files: HashMap<FileKey, Used>,
    /// From the moment of the last use; the first entry is let go first.
    by_use: BTreeMap<u64, FileKey>,
    uses: u64,
}

#[derive(Debug)]
struct Used {
    file: Arc<dyn StorageFile>,
    last_use: u64,
}

impl OpenFiles {
    /// A budget of `max_open` descriptors, at least one.
    pub(crate) fn new(max_open: u32) -> Self {
        Self {
            max_open: usize::try_from(max_open).unwrap_or(usize::MAX).max(1),
            next_key: AtomicU64::new(0),
            open: Mutex::default(),
        }
    }

    pub(super) fn new_key(&self) -> FileKey {
        FileKey(self.next_key.fetch_add(1, Ordering::Relaxed))
    }

    /// The open file of `key`, opened with `open` when it is not there. No lock is held meanwhile, so two callers may
    /// open the same file at once; one of the two is then closed again.
    pub(super) fn get(
        &self,
        key: FileKey,
        open: impl FnOnce() -> Result<Arc<dyn StorageFile>>,
    ) -> Result<Arc<dyn StorageFile>> {
        if let Some(file) = self.open.lock().touch(key) {
            return Ok(file);
        }
        let file = open()?;
        Ok(self.insert(key, file))
    }

    /// Takes a file over, unless `key` has one; returns the one it has now.
    pub(super) fn insert(&self, key: FileKey, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        // Closing may take a system call: what is let go is dropped behind the lock.
        let (file, _let_go) = {
            let mut open = self.open.lock();
            if let Some(present) = open.touch(key) {
                (present, vec![file])
            } else {
                open.put(key, Arc::clone(&file));
                (file, open.shrink_to(self.max_open))
            }
        };
        file
    }

    /// Lets go of the file of `key`.
    pub(super) fn forget(&self, key: FileKey) {
        let forgotten = self.open.lock().take(key);
        drop(forgotten);
    }

    /// How many files are held open at the moment.
    #[cfg(test)]
    pub(crate) fn open_count(&self) -> usize {
        self.open.lock().files.len()
    }
}

impl Recency {
    fn touch(&mut self, key: FileKey) -> Option<Arc<dyn StorageFile>> {
        let used = self.files.get_mut(&key)?;
        self.by_use.remove(&used.last_use);
        self.uses += 1;
        used.last_use = self.uses;
        self.by_use.insert(used.last_use, key);
        Some(Arc::clone(&used.file))
    }

    fn put(&mut self, key: FileKey, file: Arc<dyn StorageFile>) {
        self.uses += 1;
        let last_use = self.uses;
        self.by_use.insert(last_use, key);
        self.files.insert(key, Used { file, last_use });
    }

    fn take(&mut self, key: FileKey) -> Option<Arc<dyn StorageFile>> {
        let used = self.files.remove(&key)?;
        self.by_use.remove(&used.last_use);
        Some(used.file)
    }

    fn shrink_to(&mut self, max_open: usize) -> Vec<Arc<dyn StorageFile>> {
        let mut let_go = Vec::new();
        while self.files.len() > max_open {
            let Some((_, key)) = self.by_use.pop_first() else {
                break;
            };
            let_go.extend(self.files.remove(&key).map(|used| used.file));
        }
        let_go
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::storage::{Memory, Storage};

    #[test]
    fn the_file_used_least_recently_is_let_go_first() {
        let memory = Memory::new();
        let budget = OpenFiles::new(2);
        let keys: Vec<FileKey> = (0..3).map(|_| budget.new_key()).collect();
        let mut opened = 0;
        let mut get = |key: FileKey| {
            budget
                .get(key, || {
                    opened += 1;
                    let path = format!("/{opened}");
                    memory.create(Path::new(&path))
                })
                .expect("memory opens");
            opened
        };
        assert_eq!(get(keys[0]), 1);
        assert_eq!(get(keys[1]), 2);
        assert_eq!(get(keys[0]), 2, "still open");
        assert_eq!(get(keys[2]), 3, "the second is let go");
        assert_eq!(get(keys[0]), 3, "still open");
        assert_eq!(get(keys[1]), 4, "opened again");
        assert_eq!(budget.open_count(), 2);
        budget.forget(keys[1]);
        assert_eq!(budget.open_count(), 1);
    }
}

#[cfg(all(test, shuttle))]
mod schedules {
    use std::path::Path;

    use super::*;
    use crate::storage::{Memory, Storage};
    use crate::sync::{schedules::every_order, thread};

    #[test]
    fn the_budget_is_kept_and_each_reader_gets_the_file_that_it_asked_for() {
        every_order("descriptor budget", 100_000, || {
            let budget = Arc::new(OpenFiles::new(1));
            let memory = Memory::new();
            let files = ["/a", "/b"].map(|path| memory.create(Path::new(path)).unwrap());
            let keys = [budget.new_key(), budget.new_key()];
            let get = |which: usize| {
                let (budget, file, key) =
                    (Arc::clone(&budget), Arc::clone(&files[which]), keys[which]);
                move || {
                    let got = budget.get(key, || Ok(Arc::clone(&file))).unwrap();
                    assert!(Arc::ptr_eq(&got, &file));
                }
            };
            let other = thread::spawn(get(1));
            get(0)();
            assert!(budget.open_count() <= 1);
            other.join().unwrap();
            assert_eq!(budget.open_count(), 1);
            budget.forget(keys[0]);
            budget.forget(keys[1]);
            assert_eq!(budget.open_count(), 0);
        });
    }
}

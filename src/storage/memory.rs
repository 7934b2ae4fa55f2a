//! A disk in memory: for tests of one's own, and for logs that nobody needs after the process.
//!
//! Nothing is ever lost before the last clone goes, so every sync is empty. Faults and crashes are
//! the simulated disk's business, not this one's.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::tree::{NodeId, Tree, full, require_writable};
use super::{
    Access, BootId, Entry, Filesystem, Space, Storage, StorageFile, StorageLock,
    first_prepared_byte, private,
};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::RwLock;
use crate::timestamp::{Clock, SystemClock};

/// A disk in memory; clones share it. Its top directory is there from the start, as `/` and as `.`.
///
/// Locks exclude each other among all clones. Each new disk is another boot.
///
/// ```
/// use std::path::Path;
/// use stratalog::storage::{Memory, Storage};
///
/// let disk = Memory::with_capacity_bytes(5);
/// let file = disk.create(Path::new("/a"))?;
/// file.write_at(b"12345", 0)?;
/// let error = file.write_at(b"6", 5).unwrap_err();
/// assert_eq!(error.kind(), stratalog::ErrorKind::Full);
/// # Ok::<(), stratalog::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tree: RwLock<Tree>,
    clock: SystemClock,
    boot_id: Option<BootId>,
}

impl Shared {
    fn now(&self) -> SystemTime {
        self.clock.now()
    }
}

impl Memory {
    /// An empty disk that holds as much as there is memory.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity_bytes(u64::MAX)
    }

    /// An empty disk whose files together hold `capacity_bytes`, holes included; beyond it everything
    /// that needs room answers `Full`.
    #[must_use]
    pub fn with_capacity_bytes(capacity_bytes: u64) -> Self {
        let mut boot_id = [0; 16];
        let drawn = getrandom::fill(&mut boot_id);
        Self {
            shared: Arc::new(Shared {
                tree: RwLock::new(Tree::new(capacity_bytes)),
                clock: SystemClock::new(),
                boot_id: drawn.is_ok().then_some(BootId(boot_id)),
            }),
        }
    }

    fn opened(&self, node: NodeId, path: &Path, access: Access) -> Arc<dyn StorageFile> {
        Arc::new(MemoryFile {
            shared: Arc::clone(&self.shared),
            node,
            access,
            path: path.into(),
        })
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl private::Sealed for Memory {}

impl Storage for Memory {
    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn StorageFile>> {
        let mut tree = self.shared.tree.write();
        let node = tree.file_at(path)?;
        tree.hold(node);
        drop(tree);
        Ok(self.opened(node, path, access))
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn StorageFile>> {
        let mut tree = self.shared.tree.write();
        let node = tree.create_file(path, self.shared.now())?.node;
        tree.hold(node);
        drop(tree);
        Ok(self.opened(node, path, Access::Write))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        self.shared
            .tree
            .write()
            .create_dir(path, self.shared.now())
            .map(drop)
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>> {
        self.shared.tree.read().list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.shared
            .tree
            .write()
            .rename(from, to, self.shared.now())
            .map(drop)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.shared
            .tree
            .write()
            .remove_file(path, self.shared.now())
            .map(drop)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.shared
            .tree
            .write()
            .remove_dir(path, self.shared.now())
            .map(drop)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.shared.tree.read().directory_at(path).map(drop)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn StorageLock>> {
        let mut tree = self.shared.tree.write();
        match tree.create_file(path, self.shared.now()) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let node = tree.lock(path)?;
        drop(tree);
        Ok(Box::new(MemoryLock {
            shared: Arc::clone(&self.shared),
            node,
        }))
    }

    fn is_locked(&self, path: &Path) -> Result<bool> {
        self.shared.tree.read().is_locked(path)
    }

    fn space(&self, path: &Path) -> Result<Space> {
        let tree = self.shared.tree.read();
        tree.directory_at(path).or_else(|_| tree.file_at(path))?;
        Ok(Space {
            free_bytes: tree.free_bytes(),
            filesystem: Filesystem::Simulated,
        })
    }

    fn boot_id(&self) -> Result<BootId> {
        self.shared
            .boot_id
            .ok_or_else(|| Error::new(ErrorKind::Io, "the system gave no random bytes"))
    }
}

#[derive(Debug)]
struct MemoryLock {
    shared: Arc<Shared>,
    node: NodeId,
}

impl private::Sealed for MemoryLock {}
impl StorageLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.shared.tree.write().unlock(self.node);
    }
}

#[derive(Debug)]
struct MemoryFile {
    shared: Arc<Shared>,
    node: NodeId,
    access: Access,
    path: Box<Path>,
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        self.shared.tree.write().let_go(self.node);
    }
}

impl private::Sealed for MemoryFile {}

impl StorageFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize> {
        Ok(self.shared.tree.read().read_at(self.node, buffer, position))
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> Result<()> {
        require_writable(self.access, &self.path)?;
        let now = self.shared.now();
        let written_bytes = self
            .shared
            .tree
            .write()
            .write_at(self.node, bytes, position, now);
        if written_bytes < bytes.len() {
            return Err(full("write the file", &self.path));
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        Ok(self.shared.tree.read().len_bytes(self.node))
    }

    fn set_len(&self, len_bytes: u64) -> Result<()> {
        require_writable(self.access, &self.path)?;
        let now = self.shared.now();
        if !self.shared.tree.write().set_len(self.node, len_bytes, now) {
            return Err(full("set the length of the file", &self.path));
        }
        Ok(())
    }

    fn prepare(&self, range: std::ops::Range<u64>) -> Result<()> {
        require_writable(self.access, &self.path)?;
        let mut tree = self.shared.tree.write();
        let start = first_prepared_byte(&range, tree.len_bytes(self.node), &self.path)?;
        if start < range.end && !tree.set_len(self.node, range.end, self.shared.now()) {
            return Err(full("prepare the file", &self.path));
        }
        Ok(())
    }

    fn set_modified(&self, at: SystemTime) -> Result<()> {
        require_writable(self.access, &self.path)?;
        self.shared.tree.write().set_modified(self.node, at);
        Ok(())
    }
}

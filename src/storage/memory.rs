//! A disk in memory; clones share it.
use std::path::Path;
use std::sync::Arc;

use super::{Access, BootId, Entry, Space, Storage, StorageFile, StorageLock, private};
use crate::error::Result;

/// A disk in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Memory {}

impl Memory {
    /// A disk in memory; clones share it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk in memory that holds so many bytes of files, and then answers `Full`.
    #[must_use]
    pub fn with_capacity_bytes(capacity_bytes: u64) -> Self {
        let _ = capacity_bytes;
        todo!()
    }
}

impl private::Sealed for Memory {}

impl Storage for Memory {
    fn open(&self, _path: &Path, _access: Access) -> Result<Arc<dyn StorageFile>> {
        todo!()
    }
    fn create(&self, _path: &Path) -> Result<Arc<dyn StorageFile>> {
        todo!()
    }
    fn create_dir(&self, _path: &Path) -> Result<()> {
        todo!()
    }
    fn list(&self, _path: &Path) -> Result<Vec<Entry>> {
        todo!()
    }
    fn rename(&self, _from: &Path, _to: &Path) -> Result<()> {
        todo!()
    }
    fn remove(&self, _path: &Path) -> Result<()> {
        todo!()
    }
    fn remove_dir(&self, _path: &Path) -> Result<()> {
        todo!()
    }
    fn sync_dir(&self, _path: &Path) -> Result<()> {
        todo!()
    }
    fn lock(&self, _path: &Path) -> Result<Box<dyn StorageLock>> {
        todo!()
    }
    fn is_locked(&self, _path: &Path) -> Result<bool> {
        todo!()
    }
    fn space(&self, _path: &Path) -> Result<Space> {
        todo!()
    }
    fn boot_id(&self) -> Result<BootId> {
        todo!()
    }
}

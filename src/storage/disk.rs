//! The disk of this machine.
use std::path::Path;
use std::sync::Arc;

use super::{Access, BootId, Entry, Space, Storage, StorageFile, StorageLock, private};
use crate::error::Result;

/// The disk of this machine.
#[derive(Clone, Debug, Default)]
pub struct Disk {}

impl Disk {
    /// The disk of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl private::Sealed for Disk {}

impl Storage for Disk {
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

//! The storage traits over the simulated machine.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::super::tree::{NodeId, full, require_writable};
use super::super::{
    Access, BootId, Entry, Filesystem, Space, Storage, StorageFile, StorageLock,
    first_prepared_byte, private,
};
use super::Sim;
use super::faults::{Fault, Operation};
use super::medium::Medium;
use super::world::World;
use crate::error::{ErrorKind, Result};
use crate::sync::MutexGuard;

impl Sim {
    /// The world, for an operation that changes nothing.
    fn to_read(&self, operation: Operation, path: &Path) -> Result<MutexGuard<'_, World>> {
        let (world, fault) = self.to_try(operation, path)?;
        match fault.and_then(|fault| fault.error(operation, path)) {
            Some(error) => Err(error),
            None => Ok(world),
        }
    }

    /// The world, for an operation that changes something, and the time it has then.
    fn to_change(
        &self,
        operation: Operation,
        path: &Path,
    ) -> Result<(MutexGuard<'_, World>, SystemTime)> {
        let mut world = self.to_read(operation, path)?;
        let now = world.tick();
        Ok((world, now))
    }

    /// The world, and the fault that the operation meets.
    fn to_try(
        &self,
        operation: Operation,
        path: &Path,
    ) -> Result<(MutexGuard<'_, World>, Option<Fault>)> {
        let mut world = self.world.lock();
        let fault = world.meet(operation, path)?;
        Ok((world, fault))
    }

    fn opened(&self, node: NodeId, path: &Path, access: Access) -> Arc<dyn StorageFile> {
        Arc::new(SimFile {
            sim: self.clone(),
            node,
            access,
            path: path.into(),
        })
    }
}

impl private::Sealed for Sim {}

impl Storage for Sim {
    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn StorageFile>> {
        let mut world = self.to_read(Operation::Open, path)?;
        let node = world.open(path, access)?;
        drop(world);
        Ok(self.opened(node, path, access))
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn StorageFile>> {
        let (mut world, now) = self.to_change(Operation::Create, path)?;
        let node = world.create_file(path, now)?;
        world.tree.hold(node);
        drop(world);
        Ok(self.opened(node, path, Access::Write))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        let (mut world, now) = self.to_change(Operation::CreateDir, path)?;
        let named = world.tree.create_dir(path, now)?;
        world.medium.directory_created(named);
        Ok(())
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>> {
        self.to_read(Operation::List, path)?.tree.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let (mut world, now) = self.to_change(Operation::Rename, from)?;
        let renamed = world.tree.rename(from, to, now)?;
        world.medium.renamed(renamed);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let (mut world, now) = self.to_change(Operation::Remove, path)?;
        let named = world.tree.remove_file(path, now)?;
        world.medium.removed(named);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        let (mut world, now) = self.to_change(Operation::RemoveDir, path)?;
        let named = world.tree.remove_dir(path, now)?;
        world.medium.removed(named);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        let operation = Operation::SyncDir;
        let (mut world, fault) = self.to_try(operation, path)?;
        let World { tree, medium, .. } = &mut *world;
        let directory = tree.directory_at(path)?;
        let Some(fault) = fault else {
            medium.sync_dir(directory, tree);
            return Ok(());
        };
        if fault.loses_what_is_dirty() {
            medium.lose_names(directory);
        }
        fault.error(operation, path).map_or(Ok(()), Err)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn StorageLock>> {
        let (mut world, now) = self.to_change(Operation::Lock, path)?;
        match world.create_file(path, now) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let node = world.tree.lock(path)?;
        drop(world);
        Ok(Box::new(SimLock {
            sim: self.clone(),
            node,
        }))
    }

    fn is_locked(&self, path: &Path) -> Result<bool> {
        self.to_read(Operation::Ask, path)?.tree.is_locked(path)
    }

    fn space(&self, path: &Path) -> Result<Space> {
        let world = self.to_read(Operation::Ask, path)?;
        world
            .tree
            .directory_at(path)
            .or_else(|_| world.tree.file_at(path))?;
        Ok(Space {
            free_bytes: world.tree.free_bytes(),
            filesystem: Filesystem::Simulated,
        })
    }

    fn boot_id(&self) -> Result<BootId> {
        Ok(self.to_read(Operation::Ask, Path::new("/"))?.boot_id)
    }
}

#[derive(Debug)]
struct SimLock {
    sim: Sim,
    node: NodeId,
}

impl private::Sealed for SimLock {}
impl StorageLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.sim.world.lock().tree.unlock(self.node);
    }
}

#[derive(Debug)]
struct SimFile {
    sim: Sim,
    node: NodeId,
    access: Access,
    path: Box<Path>,
}

impl SimFile {
    fn sync(&self, persist: impl FnOnce(&mut Medium, NodeId)) -> Result<()> {
        let operation = Operation::Sync;
        let (mut world, fault) = self.sim.to_try(operation, &self.path)?;
        let Some(fault) = fault else {
            persist(&mut world.medium, self.node);
            return Ok(());
        };
        if fault.loses_what_is_dirty() {
            world.medium.lose_content(self.node);
        }
        fault.error(operation, &self.path).map_or(Ok(()), Err)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.sim.world.lock().tree.let_go(self.node);
    }
}

impl private::Sealed for SimFile {}

impl StorageFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize> {
        let world = self.sim.to_read(Operation::Read, &self.path)?;
        Ok(world.tree.read_at(self.node, buffer, position))
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> Result<()> {
        require_writable(self.access, &self.path)?;
        let operation = Operation::Write;
        let (mut world, fault) = self.sim.to_try(operation, &self.path)?;
        if fault == Some(Fault::ShortWrite) {
            let part = world.random.below(bytes.len());
            world.write(self.node, &bytes[..part], position);
        }
        if let Some(error) = fault.and_then(|fault| fault.error(operation, &self.path)) {
            return Err(error);
        }
        if world.write(self.node, bytes, position) < bytes.len() {
            return Err(full(operation.action(), &self.path));
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        self.sync(Medium::sync_data)
    }

    fn sync_all(&self) -> Result<()> {
        self.sync(Medium::sync_all)
    }

    fn len(&self) -> Result<u64> {
        let world = self.sim.to_read(Operation::Length, &self.path)?;
        Ok(world.tree.len_bytes(self.node))
    }

    fn set_len(&self, len_bytes: u64) -> Result<()> {
        require_writable(self.access, &self.path)?;
        let operation = Operation::SetLen;
        let (mut world, now) = self.sim.to_change(operation, &self.path)?;
        if !world.set_len(self.node, len_bytes, now) {
            return Err(full(operation.action(), &self.path));
        }
        Ok(())
    }

    fn prepare(&self, range: std::ops::Range<u64>) -> Result<()> {
        require_writable(self.access, &self.path)?;
        let operation = Operation::Prepare;
        let (mut world, now) = self.sim.to_change(operation, &self.path)?;
        let start = first_prepared_byte(&range, world.tree.len_bytes(self.node), &self.path)?;
        // Zeros are what a lost sector reads as, so the length alone tells all that a crash may leave.
        if start < range.end && !world.set_len(self.node, range.end, now) {
            return Err(full(operation.action(), &self.path));
        }
        Ok(())
    }

    fn set_modified(&self, at: SystemTime) -> Result<()> {
        require_writable(self.access, &self.path)?;
        let (mut world, _) = self.sim.to_change(Operation::SetModified, &self.path)?;
        world.tree.set_modified(self.node, at);
        world.medium.modified_set(self.node, at);
        Ok(())
    }
}

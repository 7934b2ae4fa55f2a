//! A simulated disk: seeded, replayable, and as unkind as the fault model allows. Feature `sim`.
//!
//! # The fault model
//!
//! What programs see is a volatile page cache; under it lies a medium that lasts. A change reaches the
//! medium by a sync; a crash keeps **any subset** of the effects of what was not synced:
//!
//! - Data persists in sectors of 512 bytes, each whole or not at all, in any order. A sector is written as the
//!   cache had it; synced bytes in it and beside it are never harmed.
//! - A length persists apart from the data: where a length is kept and a sector is not, zeros are read.
//! - A creation, a rename or a removal persists once the directory is synced, and never by a sync of the
//!   file: most filesystems are kinder, none promises to be. A rename within a directory is kept or lost at
//!   once; one between directories is two effects.
//! - After `sync_data` or `sync_all` the bytes and the length of the file last (`sync_all`: its time of change
//!   too); after `sync_dir` the names in that directory do, and not those in the directory above.
//! - A **failed sync** drops what was dirty: reading goes on to show it, the next sync answers ok, and the
//!   medium never gets it. A length that was lost so does not come back by writing the same bytes again.
//! - A killed process leaves the page cache as it is, and lets go of its locks.
//!
//! The simulation does **not** break: synced sectors (no rot), the order of effects on one sector, reads
//! (except where [`Sim::fail_read`] says so). It has no threads and no clock: times of change count changes.
//!
//! This folder must never know what a batch, a segment or an offset is.

mod faults;
mod medium;
mod random;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::faults::PlannedFault;
use self::medium::Medium;
use self::random::Random;
use super::tree::{NodeId, Tree, full, require_writable};
use super::{
    Access, BootId, Entry, Filesystem, Space, Storage, StorageFile, StorageLock,
    first_prepared_byte, private,
};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Mutex, MutexGuard};

pub use self::faults::{Fault, Repeat};

/// A simulated disk; clones are the same machine. The module's head says what can and cannot break.
///
/// ```
/// use std::path::Path;
/// use stratalog::storage::sim::{Keep, Sim};
/// use stratalog::storage::{Access, Storage};
///
/// let sim = Sim::new(7);
/// let file = sim.create(Path::new("/a"))?;
/// file.write_at(b"synced", 0)?;
/// file.sync_all()?;
/// sim.sync_dir(Path::new("/"))?;
/// file.write_at(b"! and not", 6)?;
///
/// let after = sim.reboot(Keep::None);
/// assert_eq!(after.open(Path::new("/a"), Access::Read)?.len()?, 6);
/// assert!(file.len().is_err(), "the old machine is gone");
/// # Ok::<(), stratalog::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sim {
    world: Arc<Mutex<World>>,
}

/// Which effects of what was not synced a crash keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Every one.
    All,
    /// Not one.
    None,
    /// Some, drawn from this seed: now and then nearly all, now and then nearly none.
    Random(u64),
    /// Those whose bit is set, the oldest effect in bit 0. Effects after the 64th are lost.
    Subset(u64),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Halt {
    Crashed,
    Killed,
}

#[derive(Debug)]
struct World {
    tree: Tree,
    medium: Medium,
    random: Random,
    boot_id: BootId,
    changes: u64,
    reads: u64,
    ticks: u64,
    halt_after: Option<(u64, Halt)>,
    change_faults: Vec<PlannedFault>,
    read_faults: Vec<PlannedFault>,
    halted: Option<Halt>,
}

impl Sim {
    /// An empty disk. The same seed and the same calls give the same answers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let boot_id = random.boot_id();
        Self::started(Tree::new(u64::MAX), Medium::new(), random, boot_id, 0)
    }

    fn started(tree: Tree, medium: Medium, random: Random, boot_id: BootId, ticks: u64) -> Self {
        Self {
            world: Arc::new(Mutex::new(World {
                tree,
                medium,
                random,
                boot_id,
                changes: 0,
                reads: 0,
                ticks,
                halt_after: None,
                change_faults: Vec::new(),
                read_faults: Vec::new(),
                halted: None,
            })),
        }
    }

    /// How many changing operations were asked for since this machine or process started: creations, removals,
    /// renames, locks, writes, lengths, times, preparations and syncs, failed ones included.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.world.lock().changes
    }

    /// How many operations were asked for that change nothing: openings, listings, reads, lengths, space.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.world.lock().reads
    }

    /// Lets `operations` more changing operations happen; the next one crashes the machine: it does nothing, and
    /// everything fails until [`Sim::reboot`].
    pub fn crash_after(&self, operations: u64) {
        let mut world = self.world.lock();
        world.halt_after = Some((world.changes.saturating_add(operations), Halt::Crashed));
    }

    /// Lets `operations` more changing operations happen; the next one finds the process killed: it does nothing, and everything fails
    /// until [`Sim::kill`] starts another.
    pub fn kill_after(&self, operations: u64) {
        let mut world = self.world.lock();
        world.halt_after = Some((world.changes.saturating_add(operations), Halt::Killed));
    }

    /// Whether the machine has crashed.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.world.lock().halted == Some(Halt::Crashed)
    }

    /// Plans a fault for the `nth` changing operation from now on; 1 is the next one.
    pub fn fail_operation(&self, nth: u64, fault: Fault, repeat: Repeat) {
        let mut world = self.world.lock();
        let after = world.changes.saturating_add(nth.saturating_sub(1));
        world.change_faults.push(PlannedFault {
            after,
            fault,
            repeat,
        });
    }

    /// Plans an input/output error for the `nth` operation from now on that changes nothing; 1 is the next one.
    pub fn fail_read(&self, nth: u64, repeat: Repeat) {
        let mut world = self.world.lock();
        let after = world.reads.saturating_add(nth.saturating_sub(1));
        world.read_faults.push(PlannedFault {
            after,
            fault: Fault::Io,
            repeat,
        });
    }

    /// Takes back every planned fault and crash. What a failed sync has lost stays lost.
    pub fn heal(&self) {
        let mut world = self.world.lock();
        world.halt_after = None;
        world.change_faults.clear();
        world.read_faults.clear();
    }

    /// Sets how many bytes the files together may have, holes included; at first there is no limit.
    pub fn set_capacity_bytes(&self, capacity_bytes: u64) {
        self.world.lock().tree.set_capacity_bytes(capacity_bytes);
    }

    /// How many effects a crash now would keep or lose.
    #[must_use]
    pub fn pending_effects(&self) -> usize {
        self.world.lock().medium.pending_count()
    }

    /// Cuts the power, if the machine has not crashed yet, and starts it again with what `keep` left: another boot,
    /// no locks, no planned faults. Whatever was opened before answers errors for ever.
    ///
    /// The crashed machine stays as it is, so it can be started again with another choice.
    #[must_use]
    pub fn reboot(&self, keep: Keep) -> Self {
        self.world.lock().halted = Some(Halt::Crashed);
        self.crash_image(keep)
    }

    /// As [`Sim::reboot`], but this machine goes on: a copy that shows what a power cut now would leave.
    #[must_use]
    pub fn crash_image(&self, keep: Keep) -> Self {
        let mut world = self.world.lock();
        let mut chooser = keep.chooser();
        let capacity_bytes = world.tree.capacity_bytes();
        let (medium, tree) = world.medium.crashed(&mut *chooser, capacity_bytes);
        let boot_id = world.random.boot_id();
        Self::started(tree, medium, world.random.clone(), boot_id, world.ticks)
    }

    /// Kills the process and starts another on the same machine: the same boot, the same page cache, no locks, no
    /// planned faults. Whatever was opened before answers errors for ever.
    ///
    /// On a machine that has crashed, the new process finds it crashed.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut world = self.world.lock();
        let mut tree = world.tree.clone();
        tree.let_go_of_all();
        let medium = world.medium.clone();
        let after = Self::started(
            tree,
            medium,
            world.random.clone(),
            world.boot_id,
            world.ticks,
        );
        match world.halted {
            Some(Halt::Crashed) => after.world.lock().halted = Some(Halt::Crashed),
            Some(Halt::Killed) | None => world.halted = Some(Halt::Killed),
        }
        drop(world);
        after
    }

    /// The world, for an operation that changes nothing.
    fn to_read(&self, action: &str, path: &Path) -> Result<MutexGuard<'_, World>> {
        let mut world = self.world.lock();
        world.require_running(path)?;
        let done = world.reads;
        world.reads += 1;
        match world.read_faults.iter().find(|planned| planned.hits(done)) {
            Some(planned) => Err(planned.fault.error(action, path)),
            None => Ok(world),
        }
    }

    /// The world, for an operation that changes something, and the time it has then.
    fn to_change(&self, action: &str, path: &Path) -> Result<(MutexGuard<'_, World>, SystemTime)> {
        let (mut world, fault) = self.to_try(path)?;
        match fault {
            Some(fault) if fault != Fault::Lie => Err(fault.error(action, path)),
            _ => {
                let now = world.tick();
                Ok((world, now))
            }
        }
    }

    /// The world, and the fault that its next change meets.
    fn to_try(&self, path: &Path) -> Result<(MutexGuard<'_, World>, Option<Fault>)> {
        let mut world = self.world.lock();
        world.require_running(path)?;
        let done = world.changes;
        world.changes += 1;
        if let Some((after, halt)) = world.halt_after
            && done >= after
        {
            world.halted = Some(halt);
            world.require_running(path)?;
        }
        let fault = world
            .change_faults
            .iter()
            .find(|planned| planned.hits(done));
        let fault = fault.map(|planned| planned.fault);
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

impl Keep {
    fn chooser(self) -> Box<dyn FnMut(usize) -> bool> {
        match self {
            Self::All => Box::new(|_| true),
            Self::None => Box::new(|_| false),
            Self::Subset(bits) => Box::new(move |number| {
                u32::try_from(number).is_ok_and(|n| bits.checked_shr(n).unwrap_or(0) & 1 == 1)
            }),
            Self::Random(seed) => {
                let mut random = Random(seed);
                let kept_of_16 = [1, 4, 8, 12, 15][random.below(5)];
                Box::new(move |_| random.below(16) < kept_of_16)
            }
        }
    }
}

impl World {
    fn require_running(&self, path: &Path) -> Result<()> {
        let message = match self.halted {
            None => return Ok(()),
            Some(Halt::Crashed) => "the machine has crashed",
            Some(Halt::Killed) => "the process was killed",
        };
        Err(Error::new(ErrorKind::Io, message).path_is(path))
    }

    fn tick(&mut self) -> SystemTime {
        self.ticks += 1;
        UNIX_EPOCH + Duration::from_millis(self.ticks)
    }

    fn create_file(&mut self, path: &Path, now: SystemTime) -> Result<NodeId> {
        let named = self.tree.create_file(path, now)?;
        let node = named.node;
        self.medium.file_created(named, now);
        Ok(node)
    }

    /// Writes what there is room for; the count of bytes written.
    fn write(&mut self, node: NodeId, bytes: &[u8], position: u64) -> usize {
        let now = self.tick();
        let old_bytes = self.tree.len_bytes(node);
        let written = self.tree.write_at(node, bytes, position, now);
        if written > 0 {
            self.medium.written(&self.tree, node, position, written);
            self.note_length(node, old_bytes);
        }
        written
    }

    fn set_len(&mut self, node: NodeId, len_bytes: u64, now: SystemTime) -> bool {
        let old_bytes = self.tree.len_bytes(node);
        let has_room = self.tree.set_len(node, len_bytes, now);
        self.note_length(node, old_bytes);
        has_room
    }

    fn note_length(&mut self, node: NodeId, old_bytes: u64) {
        let len_bytes = self.tree.len_bytes(node);
        if len_bytes != old_bytes {
            self.medium.length_changed(node, len_bytes);
        }
    }
}

impl private::Sealed for Sim {}

impl Storage for Sim {
    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn StorageFile>> {
        let mut world = self.to_read("open the file", path)?;
        let node = world.tree.file_at(path)?;
        world.tree.hold(node);
        drop(world);
        Ok(self.opened(node, path, access))
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn StorageFile>> {
        let (mut world, now) = self.to_change("create the file", path)?;
        let node = world.create_file(path, now)?;
        world.tree.hold(node);
        drop(world);
        Ok(self.opened(node, path, Access::Write))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        let (mut world, now) = self.to_change("create the directory", path)?;
        let named = world.tree.create_dir(path, now)?;
        world.medium.directory_created(named);
        Ok(())
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>> {
        self.to_read("list the directory", path)?.tree.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let (mut world, now) = self.to_change("rename the file", from)?;
        let renamed = world.tree.rename(from, to, now)?;
        world.medium.renamed(renamed);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let (mut world, now) = self.to_change("remove the file", path)?;
        let named = world.tree.remove_file(path, now)?;
        world.medium.removed(named);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        let (mut world, now) = self.to_change("remove the directory", path)?;
        let named = world.tree.remove_dir(path, now)?;
        world.medium.removed(named);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        let (mut world, fault) = self.to_try(path)?;
        let World { tree, medium, .. } = &mut *world;
        let directory = tree.directory_at(path)?;
        if let Some(fault) = fault {
            medium.lose_names(directory);
            return fault.answer("sync the directory", path);
        }
        medium.sync_dir(directory, tree);
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn StorageLock>> {
        let (mut world, now) = self.to_change("lock the file", path)?;
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
        self.to_read("ask for the lock on the file", path)?
            .tree
            .is_locked(path)
    }

    fn space(&self, path: &Path) -> Result<Space> {
        let world = self.to_read("ask for the free space", path)?;
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
        Ok(self.to_read("read the boot id", Path::new("/"))?.boot_id)
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
        let (mut world, fault) = self.sim.to_try(&self.path)?;
        if let Some(fault) = fault {
            world.medium.lose_content(self.node);
            return fault.answer("sync the file", &self.path);
        }
        persist(&mut world.medium, self.node);
        Ok(())
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
        let world = self.sim.to_read("read the file", &self.path)?;
        Ok(world.tree.read_at(self.node, buffer, position))
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> Result<()> {
        require_writable(self.access, &self.path)?;
        let (mut world, fault) = self.sim.to_try(&self.path)?;
        if let Some(fault) = fault.filter(|fault| *fault != Fault::Lie) {
            if fault == Fault::ShortWrite {
                let part = world.random.below(bytes.len());
                world.write(self.node, &bytes[..part], position);
            }
            return Err(fault.error("write the file", &self.path));
        }
        if world.write(self.node, bytes, position) < bytes.len() {
            return Err(full("write the file", &self.path));
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
        let world = self
            .sim
            .to_read("ask for the length of the file", &self.path)?;
        Ok(world.tree.len_bytes(self.node))
    }

    fn set_len(&self, len_bytes: u64) -> Result<()> {
        require_writable(self.access, &self.path)?;
        let action = "set the length of the file";
        let (mut world, now) = self.sim.to_change(action, &self.path)?;
        if !world.set_len(self.node, len_bytes, now) {
            return Err(full(action, &self.path));
        }
        Ok(())
    }

    fn prepare(&self, range: std::ops::Range<u64>) -> Result<()> {
        require_writable(self.access, &self.path)?;
        let action = "prepare the file";
        let (mut world, now) = self.sim.to_change(action, &self.path)?;
        let start = first_prepared_byte(&range, world.tree.len_bytes(self.node), &self.path)?;
        // Zeros are what a lost sector reads as, so the length alone tells all that a crash may leave.
        if start < range.end && !world.set_len(self.node, range.end, now) {
            return Err(full(action, &self.path));
        }
        Ok(())
    }

    fn set_modified(&self, at: SystemTime) -> Result<()> {
        require_writable(self.access, &self.path)?;
        let (mut world, _) = self
            .sim
            .to_change("set the time of change of the file", &self.path)?;
        world.tree.set_modified(self.node, at);
        world.medium.modified_set(self.node, at);
        Ok(())
    }
}

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
//! # The knobs
//!
//! | what happens | asked for with | promised by the log |
//! |---|---|---|
//! | the power is cut, now or at the n-th change | [`Sim::reboot`], [`Sim::crash_after`], and [`Keep`] for what is left | yes |
//! | the same, without disturbing the running program | [`Sim::crash_image`] | yes |
//! | the process is killed, now or at the n-th change | [`Sim::kill`], [`Sim::kill_after`] | yes |
//! | input/output errors, a full disk, short writes, interrupted calls, failed syncs | [`Sim::plan`] with a [`Failure`]: the n-th operation of a kind on a path, once or for ever | yes |
//! | a disk of a given size | [`Sim::set_capacity_bytes`] | yes |
//! | a read-only medium | [`Sim::mount`] | yes |
//! | a slow disk, by a clock that stands still otherwise | [`Sim::slow_down`] | yes |
//! | a device that lies about its cache | [`Fault::Lie`] | **no**: it shows what such a device costs |
//!
//! The same seed, plan and calls give the same run, to the byte; [`Sim::history`] tells it operation by operation. Planned
//! faults and the history belong to a run and end with it; capacity, mount and latency belong to the disk and stay.
//!
//! The simulation does **not** break: synced sectors (no rot; a test can write over them), the order of effects on one
//! sector, reads that no failure is planned for. It starts no threads, and its times of change count changes.
//!
//! This folder must never know what a batch, a segment or an offset is.

mod faults;
mod file;
mod medium;
mod random;
#[cfg(test)]
mod tests;
mod world;

use std::sync::Arc;
use std::time::Duration;

use self::faults::Plan;
use self::medium::Medium;
use self::random::Random;
use self::world::{Device, Halt, World};
use super::BootId;
use super::tree::Tree;
use crate::sync::Mutex;
use crate::timestamp::ManualClock;

pub use self::faults::{Event, Failure, Fault, Operation, Repeat};

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

/// Whether the filesystem takes changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mount {
    /// It does.
    ReadWrite,
    /// Each change answers [`ErrorKind::ReadOnly`]; syncs go on, so that what was dirty can still last.
    ///
    /// [`ErrorKind::ReadOnly`]: crate::ErrorKind::ReadOnly
    ReadOnly,
}

/// How long operations take, by the clock that [`Sim::slow_down`] was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Latency {
    /// Of each operation that changes nothing.
    pub read: Duration,
    /// Of each operation that changes something.
    pub change: Duration,
    /// Of each sync.
    pub sync: Duration,
}

impl Latency {
    fn of(self, operation: Operation) -> Duration {
        if operation.is_sync() {
            self.sync
        } else if operation.is_change() {
            self.change
        } else {
            self.read
        }
    }
}

impl Sim {
    /// An empty disk. The same seed and the same calls give the same answers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let boot_id = random.boot_id();
        let device = Device {
            mount: Mount::ReadWrite,
            latency: None,
        };
        let (tree, medium) = (Tree::new(u64::MAX), Medium::new());
        Self::started(tree, medium, random, boot_id, device, 0)
    }

    fn started(
        tree: Tree,
        medium: Medium,
        random: Random,
        boot_id: BootId,
        device: Device,
        ticks: u64,
    ) -> Self {
        Self {
            world: Arc::new(Mutex::new(World {
                tree,
                medium,
                random,
                boot_id,
                device,
                changes: 0,
                reads: 0,
                ticks,
                halt_after: None,
                plan: Plan::default(),
                halted: None,
                history: None,
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

    /// Plans a failure; it counts operations from now on. Of two that meet the same operation, the older one counts.
    pub fn plan(&self, failure: Failure) {
        self.world.lock().plan.add(failure);
    }

    /// Plans a fault for the `nth` changing operation from now on; 1 is the next one.
    pub fn fail_operation(&self, nth: u64, fault: Fault, repeat: Repeat) {
        self.plan(Failure::of_change(fault).nth(nth).repeat(repeat));
    }

    /// Plans an input/output error for the `nth` operation from now on that changes nothing; 1 is the next one.
    pub fn fail_read(&self, nth: u64, repeat: Repeat) {
        self.plan(Failure::of_read(Fault::Io).nth(nth).repeat(repeat));
    }

    /// Takes back every planned fault and crash. What a failed sync has lost stays lost.
    pub fn heal(&self) {
        let mut world = self.world.lock();
        world.halt_after = None;
        world.plan.clear();
    }

    /// Sets how many bytes the files together may have, holes included; at first there is no limit.
    pub fn set_capacity_bytes(&self, capacity_bytes: u64) {
        self.world.lock().tree.set_capacity_bytes(capacity_bytes);
    }

    /// Mounts the disk so, until it is mounted otherwise, restarts included.
    pub fn mount(&self, mount: Mount) {
        self.world.lock().device.mount = mount;
    }

    /// Lets each operation from now on move `clock` on, restarts included: hand the same clock to the log. Nobody really waits.
    pub fn slow_down(&self, clock: Arc<ManualClock>, latency: Latency) {
        self.world.lock().device.latency = Some((clock, latency));
    }

    /// Keeps what is asked for from now on, for [`Sim::history`]. It grows with each operation.
    pub fn keep_history(&self) {
        let mut world = self.world.lock();
        world.history.get_or_insert_default();
    }

    /// Each operation since [`Sim::keep_history`], the oldest first; none without it.
    #[must_use]
    pub fn history(&self) -> Vec<Event> {
        self.world.lock().history.clone().unwrap_or_default()
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
        Self::started(
            tree,
            medium,
            world.random.clone(),
            boot_id,
            world.device.clone(),
            world.ticks,
        )
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
            world.device.clone(),
            world.ticks,
        );
        match world.halted {
            Some(Halt::Crashed) => after.world.lock().halted = Some(Halt::Crashed),
            Some(Halt::Killed) | None => world.halted = Some(Halt::Killed),
        }
        drop(world);
        after
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

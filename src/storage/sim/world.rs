//! The simulated machine: page cache, medium, and what is planned for it. Each operation of a program comes through here.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::tree::{NodeId, Tree};
use super::super::{Access, BootId};
use super::faults::{Event, Fault, Operation, Plan};
use super::medium::Medium;
use super::random::Random;
use super::{Latency, Mount};
use crate::error::{Error, ErrorKind, Result};
use crate::timestamp::ManualClock;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Halt {
    Crashed,
    Killed,
}

/// What stays when the machine starts anew: it is a property of the disk.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) mount: Mount,
    pub(super) latency: Option<(Arc<ManualClock>, Latency)>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) tree: Tree,
    pub(super) medium: Medium,
    pub(super) random: Random,
    pub(super) boot_id: BootId,
    pub(super) device: Device,
    pub(super) changes: u64,
    pub(super) reads: u64,
    pub(super) ticks: u64,
    pub(super) halt_after: Option<(u64, Halt)>,
    pub(super) plan: Plan,
    pub(super) halted: Option<Halt>,
    pub(super) history: Option<Vec<Event>>,
}

impl World {
    /// Counts the operation and lets its time pass; the fault that it meets.
    pub(super) fn meet(&mut self, operation: Operation, path: &Path) -> Result<Option<Fault>> {
        self.require_running(path)?;
        if operation.is_change() {
            let done = self.changes;
            self.changes += 1;
            if let Some((after, halt)) = self.halt_after
                && done >= after
            {
                self.halted = Some(halt);
                self.require_running(path)?;
            }
        } else {
            self.reads += 1;
        }
        if let Some((clock, latency)) = &self.device.latency {
            clock.advance(latency.of(operation));
        }
        let fault = self.plan.meet(operation, path);
        if let Some(history) = &mut self.history {
            history.push(Event {
                operation,
                path: path.into(),
                fault,
            });
        }
        if operation.is_change() && !operation.is_sync() {
            self.require_writable(operation, path)?;
        }
        Ok(fault)
    }

    fn require_running(&self, path: &Path) -> Result<()> {
        let message = match self.halted {
            None => return Ok(()),
            Some(Halt::Crashed) => "the machine has crashed",
            Some(Halt::Killed) => "the process was killed",
        };
        Err(Error::new(ErrorKind::Io, message).path_is(path))
    }

    fn require_writable(&self, operation: Operation, path: &Path) -> Result<()> {
        match self.device.mount {
            Mount::ReadWrite => Ok(()),
            Mount::ReadOnly => {
                let cause = std::io::ErrorKind::ReadOnlyFilesystem.into();
                Err(Error::io(operation.action(), path, cause))
            }
        }
    }

    pub(super) fn open(&mut self, path: &Path, access: Access) -> Result<NodeId> {
        let node = self.tree.file_at(path)?;
        if access == Access::Write {
            self.require_writable(Operation::Open, path)?;
        }
        self.tree.hold(node);
        Ok(node)
    }

    pub(super) fn tick(&mut self) -> SystemTime {
        self.ticks += 1;
        UNIX_EPOCH + Duration::from_millis(self.ticks)
    }

    pub(super) fn create_file(&mut self, path: &Path, now: SystemTime) -> Result<NodeId> {
        let named = self.tree.create_file(path, now)?;
        let node = named.node;
        self.medium.file_created(named, now);
        Ok(node)
    }

    /// Writes what there is room for; the count of bytes written.
    pub(super) fn write(&mut self, node: NodeId, bytes: &[u8], position: u64) -> usize {
        let now = self.tick();
        let old_bytes = self.tree.len_bytes(node);
        let written = self.tree.write_at(node, bytes, position, now);
        if written > 0 {
            self.medium.written(&self.tree, node, position, written);
            self.note_length(node, old_bytes);
        }
        written
    }

    pub(super) fn set_len(&mut self, node: NodeId, len_bytes: u64, now: SystemTime) -> bool {
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

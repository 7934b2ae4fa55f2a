//! Faults that are planned for an operation: what goes wrong, when, and for how long.

use std::io;
use std::path::Path;

use super::super::tree::full;
use crate::error::{Error, Result};

/// What goes wrong with an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It does nothing and answers an input/output error. A sync drops what was dirty.
    Io,
    /// It does nothing and answers that the disk is full. A sync drops what was dirty.
    Full,
    /// A write puts in a part of its bytes, from the first on, and answers an input/output error. Other
    /// operations fail as with `Io`.
    ShortWrite,
    /// A sync answers ok, and what was dirty never reaches the medium: a device that lies about its cache. Other operations do not notice.
    Lie,
}

impl Fault {
    /// What a sync that meets it says.
    pub(super) fn answer(self, action: &str, path: &Path) -> Result<()> {
        match self {
            Self::Lie => Ok(()),
            Self::Io | Self::Full | Self::ShortWrite => Err(self.error(action, path)),
        }
    }

    pub(super) fn error(self, action: &str, path: &Path) -> Error {
        match self {
            Self::Full => full(action, path),
            Self::Io | Self::ShortWrite | Self::Lie => Error::io(
                action,
                path,
                io::Error::other("a planned fault of the simulated disk"),
            ),
        }
    }
}

/// How long a fault lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// For the one operation.
    Once,
    /// For it and all after it, until the machine starts anew or the process does.
    Forever,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PlannedFault {
    /// How many operations come before it.
    pub(super) after: u64,
    pub(super) fault: Fault,
    pub(super) repeat: Repeat,
}

impl PlannedFault {
    /// Whether it meets the operation that `done` others came before.
    pub(super) fn hits(&self, done: u64) -> bool {
        match self.repeat {
            Repeat::Once => done == self.after,
            Repeat::Forever => done >= self.after,
        }
    }
}

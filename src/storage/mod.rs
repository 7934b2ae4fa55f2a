//! The medium: two small traits, and the contract that every implementation keeps.
//!
//! Each method states four things in the same order: **effect**, **durable on return**,
//! **concurrency**, **errors**. The implementations add nothing to that; the conformance suite runs
//! the same checks over all of them.
//!
//! The traits are public to read and to use, and sealed until 1.0: nobody else implements them.
//!
//! This folder must never know what a batch, a segment or an offset is.

#[cfg(test)]
mod conformance;
mod disk;
mod latch;
mod memory;
mod replace;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(unix)]
mod system;
mod tree;
#[cfg(all(test, shuttle))]
pub(crate) mod watched;

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::{Error, ErrorKind, Result};

pub use disk::Disk;
pub(crate) use latch::Latch;
pub use memory::Memory;
pub(crate) use replace::{read_small_file, replace_file, replace_file_with_spare};

mod private {
    /// Keeps the traits closed until 1.0.
    pub trait Sealed {}
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reading only; a write is an error.
    Read,
    /// Reading and writing.
    Write,
}

/// What an entry of a directory is. A symbolic link is never followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link, a FIFO, a socket, a device: never opened.
    Other,
}

/// One entry of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The name within its directory.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
    /// Length in bytes; 0 for what is not a file.
    pub len_bytes: u64,
    /// When its content last changed.
    pub modified: SystemTime,
}

/// The filesystem, as far as it decides how the log writes.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filesystem {
    /// ext2, ext3 or ext4.
    Ext4,
    /// tmpfs.
    Tmpfs,
    /// xfs.
    Xfs,
    /// btrfs.
    Btrfs,
    /// One of the crate's own: memory or the simulated disk.
    Simulated,
    /// Any other.
    Other,
}

/// What a medium has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// Bytes that a process without privileges may still write.
    pub free_bytes: u64,
    /// The kind of filesystem.
    pub filesystem: Filesystem,
}

/// Names one boot of the machine: whether the page cache may still hold what a dead process wrote.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct BootId(pub [u8; 16]);

/// Both locks on a `.lock` file; letting go of it is dropping it, or the death of the process.
pub trait StorageLock: Send + Sync + fmt::Debug + private::Sealed {}

/// A place with directories and files.
pub trait Storage: Send + Sync + fmt::Debug + private::Sealed {
    /// Effect: opens the regular file at `path`, which exists. A link is not followed.
    /// Durable on return: nothing changes.
    /// Concurrency: any number may be open at once, in any mixture of accesses.
    /// Errors: `NotFound`; `InvalidInput` for a link, FIFO, socket, device or directory, without blocking;
    /// `ReadOnly`; `Io` (too many open files among them).
    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn StorageFile>>;

    /// Effect: makes an empty regular file at `path` and opens it for writing.
    /// Durable on return: nothing; the name lasts once the directory is synced.
    /// Concurrency: of two callers one succeeds.
    /// Errors: `AlreadyExists` whatever stands there; `NotFound` without the directory; `Full`, `ReadOnly`, `Io`.
    fn create(&self, path: &Path) -> Result<Arc<dyn StorageFile>>;

    /// Effect: makes one directory; its parent exists.
    /// Durable on return: nothing; the name lasts once the parent is synced.
    /// Concurrency: of two callers one succeeds.
    /// Errors: `AlreadyExists`, `NotFound`, `Full`, `ReadOnly`, `Io`.
    fn create_dir(&self, path: &Path) -> Result<()>;

    /// Effect: lists a directory, in no particular order, each entry with kind, length and time of change.
    /// Durable on return: nothing changes.
    /// Concurrency: an entry that comes or goes meanwhile is listed or not.
    /// Errors: `NotFound`; `InvalidInput` when it is no directory, or a link; `Io`.
    fn list(&self, path: &Path) -> Result<Vec<Entry>>;

    /// Effect: gives a file or directory another name in the same directory or another one, at once and
    /// in place of a file that has that name.
    /// Durable on return: nothing; it lasts once the directory is synced.
    /// Concurrency: who looks sees the old name or the new one, never neither.
    /// Errors: `NotFound`, `Full`, `ReadOnly`, `Io`.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Effect: removes the name of a file. Who has it open reads on.
    /// Durable on return: nothing; it lasts once the directory is synced.
    /// Concurrency: of two callers one gets `NotFound`.
    /// Errors: `NotFound`, `ReadOnly`, `Io`.
    fn remove(&self, path: &Path) -> Result<()>;

    /// Effect: removes an empty directory.
    /// Durable on return: nothing; it lasts once the parent is synced.
    /// Concurrency: of two callers one gets `NotFound`.
    /// Errors: `NotFound`, `ReadOnly`, `Io` when it is not empty.
    fn remove_dir(&self, path: &Path) -> Result<()>;

    /// Effect: makes all names in the directory last: creations, renames and removals before the call.
    /// Durable on return: those names (not the content of the files).
    /// Concurrency: any number at once.
    /// Errors: `NotFound`; `Io` whatever the system says, no room included. A failed sync says nothing about which names lasted, and is not
    /// tried again.
    fn sync_dir(&self, path: &Path) -> Result<()>;

    /// Effect: takes both locks on the file at `path` (flock, and an open-file-description record lock over the whole
    /// file), making the file if it is not there. After locking, the name is looked up again.
    /// Durable on return: nothing.
    /// Concurrency: at most one holder among all processes and threads; dies with its holder.
    /// Errors: `Locked` at once when anybody else has either lock or the name means another file by then;
    /// `InvalidInput` for what is no regular file; `ReadOnly`, `Unsupported`, `Io`.
    fn lock(&self, path: &Path) -> Result<Box<dyn StorageLock>>;

    /// Effect: asks whether anybody holds the locks on `path`, without taking them.
    /// Durable on return: nothing changes.
    /// Concurrency: true at the moment of asking.
    /// Errors: `Io`. A missing file is held by nobody.
    fn is_locked(&self, path: &Path) -> Result<bool>;

    /// Effect: asks how much room is left around `path`.
    /// Durable on return: nothing changes.
    /// Concurrency: true at the moment of asking.
    /// Errors: `NotFound`, `Io`.
    fn space(&self, path: &Path) -> Result<Space>;

    /// Effect: names this boot of the machine.
    /// Durable on return: nothing changes.
    /// Concurrency: the same answer until the machine starts anew.
    /// Errors: `Io` where the system does not tell; the caller then believes in a new boot each time.
    fn boot_id(&self) -> Result<BootId>;
}

/// An open file.
#[allow(
    clippy::len_without_is_empty,
    reason = "an empty file is no special case here"
)]
pub trait StorageFile: Send + Sync + fmt::Debug + private::Sealed {
    /// Effect: fills `buffer` from `position` on; fewer bytes only where the file ends. The count is returned.
    /// Durable on return: nothing changes. What is read need not be on the medium.
    /// Concurrency: any number at once, beside a writer; bytes being written meanwhile are old, new or mixed.
    /// Errors: `Io`.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize>;

    /// Effect: writes all of `bytes` from `position` on; a hole before it reads as zeros. When it fails, any part of
    /// the range may have been written, nothing outside it.
    /// Durable on return: nothing, but it survives the death of the process.
    /// Concurrency: one writer of a range at a time.
    /// Errors: `Full`, `ReadOnly`, `Io`.
    fn write_at(&self, bytes: &[u8], position: u64) -> Result<()>;

    /// Effect: brings written bytes to the medium, and as much about the file as reading them needs (its length), not its name.
    /// Durable on return: every byte written, and every length set, before the call.
    /// Concurrency: any number at once; what is written meanwhile may be included.
    /// Errors: `Io` whatever the system says, no room included. After an error, bytes written since the last success are in doubt for ever, and a second call that
    /// answers ok proves nothing: never retry.
    fn sync_data(&self) -> Result<()>;

    /// Effect: as `sync_data`, and all else about the file.
    /// Durable on return: bytes, length, times.
    /// Concurrency and errors: as `sync_data`.
    fn sync_all(&self) -> Result<()>;

    /// Effect: tells the length in bytes.
    /// Durable on return: nothing changes.
    /// Concurrency: true at the moment of asking.
    /// Errors: `Io`.
    fn len(&self) -> Result<u64>;

    /// Effect: cuts the file, or lengthens it with zeros that take no room.
    /// Durable on return: nothing.
    /// Concurrency: one at a time; a reader beyond the new end reads fewer bytes.
    /// Errors: `Full`, `ReadOnly`, `Io`.
    fn set_len(&self, len_bytes: u64) -> Result<()>;

    /// Effect: makes `range` writable without need of more room: zeros are written there, up to the new end of the file.
    /// The caller names only bytes at or behind the present end; what lies between the two is filled too.
    /// Durable on return: nothing.
    /// Concurrency: beside writers of other ranges.
    /// Errors: `Full` (the file is then as long as before); `InvalidInput` for bytes before the end; `ReadOnly`, `Io`.
    fn prepare(&self, range: std::ops::Range<u64>) -> Result<()>;

    /// Effect: sets the time of change that `list` tells.
    /// Durable on return: nothing.
    /// Concurrency: one at a time.
    /// Errors: `ReadOnly`, `Io`.
    fn set_modified(&self, at: SystemTime) -> Result<()>;

    /// The descriptor for `sendfile`, where there is one.
    fn as_file(&self) -> Option<&std::fs::File> {
        None
    }
}

/// Where `prepare` starts to write zeros: at the present end of the file, so that no hole stays before `range`.
fn first_prepared_byte(range: &std::ops::Range<u64>, len_bytes: u64, path: &Path) -> Result<u64> {
    if range.is_empty() {
        return Ok(range.end);
    }
    if range.start < len_bytes {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "bytes {}..{} are to be prepared in a file of {len_bytes}",
                range.start, range.end
            ),
        )
        .path_is(path));
    }
    Ok(len_bytes)
}

//! One segment: `.log` and the indexes beside it, from the first append to the unlink.
//!
//! [`ActiveSegment`] appends and is consumed by `seal`; [`SegmentFiles`] is what writer, readers and syncer share of a
//! segment, active or sealed. `scan` has the one walker: recovery, readers, `verify` and `dump` all walk with it.
//!
//! This folder must never know what a partition, a watermark or a policy is.

mod active;
mod check;
mod copy;
mod file_name;
mod files;
mod growing;
mod offset_index;
mod open_files;
mod rebuild;
mod scan;
mod time_index;
mod txn_index;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Access, Storage, StorageFile};

pub(crate) use active::{ActiveSegment, Reopened, SealedFacts};
pub(crate) use check::{Ended, IndexCheck};
pub(crate) use copy::{copy_tail, is_copied};
pub(crate) use file_name::FileName;
pub(crate) use files::{SegmentFiles, SegmentShape};
pub(crate) use open_files::OpenFiles;
pub(crate) use rebuild::{GapKind, Rebuilt, rebuild};
pub(crate) use scan::{
    BadKind, BadSpot, Expectations, OffsetRule, Step, WalkStart, WalkedBatch, Walker,
};
pub use txn_index::AbortedTransaction;

/// Where the files of a partition's segments are, and through what they are opened.
#[derive(Clone, Debug)]
pub(crate) struct SegmentHome {
    pub(crate) storage: Arc<dyn Storage>,
    /// The partition's directory.
    pub(crate) dir: Arc<Path>,
    /// The log's budget of descriptors.
    pub(crate) open_files: Arc<OpenFiles>,
}

/// The options that the files of a segment depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentSettings {
    /// `segment.index.bytes`: an index of this size is full.
    pub(crate) index_bytes: u32,
    /// `index.interval.bytes`.
    pub(crate) index_interval_bytes: u32,
}

impl SegmentHome {
    /// Where a file of the partition stands.
    pub(crate) fn path(&self, name: FileName) -> PathBuf {
        self.dir.join(name.to_string())
    }

    /// Reads a whole index file of at most `max_bytes`; `None` when there is none.
    pub(super) fn read_index(&self, name: FileName, max_bytes: u64) -> Result<Option<Vec<u8>>> {
        let path = self.path(name);
        let file = match self.storage.open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let len = file.len()?;
        let len = usize::try_from(len)
            .ok()
            .filter(|_| len <= max_bytes)
            .ok_or_else(|| {
                let too_long =
                    Error::new(ErrorKind::Corrupt, "the index is too long for its segment");
                too_long.path_is(&path)
            })?;
        let mut bytes = vec![0; len];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(Some(bytes))
    }

    /// Writes a whole index file in place of what stands there. Nothing is durable.
    pub(super) fn write_index(&self, name: FileName, bytes: &[u8]) -> Result<Arc<dyn StorageFile>> {
        let path = self.path(name);
        let file = match self.storage.open(&path, Access::Write) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.storage.create(&path),
            other => other,
        }?;
        file.write_at(bytes, 0)?;
        file.set_len(bytes.len() as u64)?;
        Ok(file)
    }

    /// Removes a file that may be gone already.
    pub(super) fn remove(&self, name: FileName) -> Result<()> {
        match self.storage.remove(&self.path(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;

//! One segment: `.log` and the indexes beside it, from the first append to the unlink.
//!
//! [`ActiveSegment`] appends and is consumed by `seal`; [`SegmentFiles`] is what writer, readers and syncer share of a
//! segment, active or sealed. `scan` has the one walker: recovery, readers, `verify` and `dump` all walk with it.
//!
//! This folder must never know what a partition, a watermark or a policy is.

mod active;
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

use std::path::Path;
use std::sync::Arc;

use crate::storage::Storage;

pub(crate) use active::{ActiveSegment, Reopened, SealedFacts, Unsealed};
pub(crate) use copy::copy_tail;
pub(crate) use file_name::FileName;
pub(crate) use files::{SegmentFiles, SegmentShape};
pub(crate) use open_files::OpenFiles;
pub(crate) use rebuild::{AtBadSpot, GapKind, Rebuilt, SegmentGap, rebuild};
pub(crate) use scan::{BadKind, BadSpot, OffsetRule, Step, WalkStart, WalkedBatch, Walker};
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

#[cfg(test)]
mod tests;

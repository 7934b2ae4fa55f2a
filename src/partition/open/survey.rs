//! What stands in a partition's directory: one listing, sorted by what the names mean. Opens no file.

use crate::error::{Error, ErrorKind, Result};
use crate::limits::MAX_SEGMENT_BYTES;
use crate::offset::Offset;
use crate::partition::recovery::FileState;
use crate::segment::{FileName, SegmentHome};
use crate::storage::{Entry, EntryKind};
use crate::timestamp::Timestamp;

/// Bytes of an entry in `.index`, `.timeindex` and `.txnindex`: a file of another length is damaged.
const OFFSET_ENTRY_BYTES: u64 = 8;
const TIME_ENTRY_BYTES: u64 = 12;
const TXN_ENTRY_BYTES: u64 = 34;

/// The directory, sorted.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Ascending by base.
    pub(super) segments: Vec<Surveyed>,
    pub(super) prepared: Vec<Offset>,
    /// Ascending.
    pub(super) snapshots: Vec<Offset>,
    pub(super) stray_indexes: Vec<FileName>,
    /// Files with Kafka's transient suffixes, as they are named.
    pub(super) transient: Vec<(String, FileName)>,
    pub(super) list_bytes: u64,
    /// What is neither Kafka's nor ours.
    /// A file with one of Kafka's suffixes and no number before it.
    pub(super) without_number: Option<String>,
    pub(super) left_alone: Vec<String>,
}

/// A `.log` file, as the listing shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surveyed {
    pub(super) base: Offset,
    pub(super) size_bytes: u32,
    pub(super) modified: Timestamp,
    offset_index_bytes: Option<u64>,
    time_index_bytes: Option<u64>,
    txn_index_bytes: Option<u64>,
}

impl Surveyed {
    /// A file that recovery itself has made since the listing.
    pub(super) fn bare(base: Offset, modified: Timestamp) -> Self {
        Self {
            base,
            size_bytes: 0,
            modified,
            offset_index_bytes: None,
            time_index_bytes: None,
            txn_index_bytes: None,
        }
    }

    /// How `.index` and `.timeindex` look in the listing: both must be there and have whole entries.
    pub(super) fn indexes(&self) -> FileState {
        let worst = [
            state(self.offset_index_bytes, OFFSET_ENTRY_BYTES),
            state(self.time_index_bytes, TIME_ENTRY_BYTES),
        ];
        let is_not_good = |state: &FileState| *state != FileState::Good;
        worst
            .into_iter()
            .find(is_not_good)
            .unwrap_or(FileState::Good)
    }

    /// How the `.txnindex` looks in the listing.
    pub(super) fn txn_index(&self) -> FileState {
        state(self.txn_index_bytes, TXN_ENTRY_BYTES)
    }
}

impl Survey {
    /// # Errors
    /// `InvalidInput` for a link, FIFO, directory or device under the name of a file that counts; `Unsupported` for a segment above
    /// 2 GiB; `Io`.
    pub(super) fn read(home: &SegmentHome) -> Result<Self> {
        let mut survey = Self::default();
        let mut indexes = Vec::new();
        for entry in home.storage.list(&home.dir)? {
            let name = entry.name.to_string_lossy().into_owned();
            let parsed = FileName::parse(&name);
            if matches!(parsed, FileName::Unknown | FileName::BadNumber) {
                if parsed == FileName::BadNumber {
                    survey.without_number.get_or_insert_with(|| name.clone());
                }
                survey.left_alone.push(name);
                continue;
            }
            let may_be_anything = matches!(
                parsed,
                FileName::Cut(_) | FileName::CutAgain(..) | FileName::Temporary | FileName::Deleted
            );
            match entry.kind {
                EntryKind::File => {}
                _ if may_be_anything => {
                    survey.left_alone.push(name);
                    continue;
                }
                _ => return Err(no_file(home, &name)),
            }
            match parsed {
                FileName::Log(base) => survey.segments.push(surveyed(home, base, &entry)?),
                FileName::OffsetIndex(_) | FileName::TimeIndex(_) | FileName::TxnIndex(_) => {
                    indexes.push((parsed, entry.len_bytes));
                }
                FileName::Snapshot(end) => survey.snapshots.push(end),
                FileName::Prepared(base) => survey.prepared.push(base),
                FileName::Deleted | FileName::Cleaned | FileName::Swap => {
                    survey.transient.push((name, parsed));
                }
                FileName::SegmentList => survey.list_bytes = entry.len_bytes,
                FileName::Cut(_)
                | FileName::CutAgain(..)
                | FileName::Temporary
                | FileName::LeaderEpochs
                | FileName::PartitionMetadata
                | FileName::Facts
                | FileName::BadNumber
                | FileName::Unknown => {}
            }
        }
        survey.segments.sort_by_key(|segment| segment.base);
        survey.snapshots.sort();
        survey.prepared.sort();
        survey.left_alone.sort();
        for (name, len_bytes) in indexes {
            survey.place_index(name, len_bytes);
        }
        Ok(survey)
    }

    /// A writer refuses what a broker would stop at: the directory could not be handed over, and the file may be a segment that lost its
    /// name.
    ///
    /// # Errors
    /// `InvalidInput` naming the file.
    pub(super) fn check_for_writing(&self, home: &SegmentHome) -> Result<()> {
        match &self.without_number {
            None => Ok(()),
            Some(name) => Err(Error::new(
                ErrorKind::InvalidInput,
                "a file has a suffix of Kafka's and not twenty digits before it",
            )
            .path_is(home.dir.join(name))
            .remedy("give the file its number back, or move it out of the directory")),
        }
    }

    fn place_index(&mut self, name: FileName, len_bytes: u64) {
        let (FileName::OffsetIndex(base) | FileName::TimeIndex(base) | FileName::TxnIndex(base)) =
            name
        else {
            return;
        };
        let found = self.segments.binary_search_by_key(&base, |s| s.base);
        match found.ok().and_then(|index| self.segments.get_mut(index)) {
            Some(segment) => match name {
                FileName::OffsetIndex(_) => segment.offset_index_bytes = Some(len_bytes),
                FileName::TimeIndex(_) => segment.time_index_bytes = Some(len_bytes),
                _ => segment.txn_index_bytes = Some(len_bytes),
            },
            None => self.stray_indexes.push(name),
        }
    }

    /// The segment in which `offset` lies or would lie, the first one when all are above.
    pub(super) fn index_for(&self, offset: Offset) -> usize {
        let above = self.segments.partition_point(|s| s.base <= offset);
        above.saturating_sub(1)
    }
}

fn state(bytes: Option<u64>, entry_bytes: u64) -> FileState {
    match bytes {
        None => FileState::Missing,
        Some(bytes) if bytes % entry_bytes == 0 => FileState::Good,
        Some(_) => FileState::Damaged,
    }
}

fn surveyed(home: &SegmentHome, base: Offset, entry: &Entry) -> Result<Surveyed> {
    let size_bytes = u32::try_from(entry.len_bytes).ok();
    let size_bytes = size_bytes.filter(|size| *size <= MAX_SEGMENT_BYTES);
    Ok(Surveyed {
        base,
        size_bytes: size_bytes.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "the segment is above 2 GiB")
                .path_is(home.path(FileName::Log(base)))
        })?,
        modified: Timestamp::from(entry.modified),
        offset_index_bytes: None,
        time_index_bytes: None,
        txn_index_bytes: None,
    })
}

fn no_file(home: &SegmentHome, name: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "there is a link, FIFO, directory or device where a file of the log should be",
    )
    .path_is(home.dir.join(name))
    .remedy("move it away, and put the file back if it was one")
}

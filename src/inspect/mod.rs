//! Looking at directories without writing a byte: a view of a log, and `dump`, `offsets` and `verify` of one partition directory.
//!
//! Nobody need have opened the directory, and a writer may be at work in it. This folder must never call anything that writes.

mod dump;
mod json;
mod offsets;
mod verify;
mod view;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::directory::{
    Checkpoint, CheckpointName, DirectoryListing, Marker, OwnerFacts, OwnerFile, decide_owner,
};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::offset::Offset;
use crate::partition::{
    Incarnation, OpenFacts, Opening, Owner, PartitionReader, PartitionRecovery, Published,
    open_read_only,
};
use crate::segment::{FileName, OpenFiles, SegmentFiles, SegmentHome, SegmentShape};
use crate::storage::{Disk, EntryKind, Storage};
use crate::topic::{DirectoryName, TopicName, TopicPartition};

pub use dump::{DumpSummary, Format};
pub use offsets::Target;
pub use verify::{Finding, FindingKind, Progress, Verification};
pub use view::{LogView, PartitionView, TopicView};

/// Files that a look keeps open at most.
const MOST_OPEN_FILES: u32 = 64;

/// Writes every batch and record of a partition directory to `out`, one JSON object a line: the lines of Kafka's own classes, and for what cannot be
/// read an error line with the offsets that it takes away. Never writes to the directory.
///
/// # Errors
/// `NotFound`, `Io`. Damage is in the summary and in the lines.
pub fn dump(dir: impl AsRef<Path>, format: Format, out: &mut dyn Write) -> Result<DumpSummary> {
    let Format::Json = format;
    dump::dump(&PartitionDir::on_disk(dir.as_ref())?, out)
}

/// Writes the offset, time and leader epoch that Kafka's ListOffsets answers for each target, one JSON object a line. The log start comes from the parent's
/// checkpoint, and an unclean tail ends where recovery would end it. Never writes to the directory.
///
/// # Errors
/// `NotFound`, `Io`.
pub fn offsets(
    dir: impl AsRef<Path>,
    targets: &[Target],
    format: Format,
    out: &mut dyn Write,
) -> Result<()> {
    let Format::Json = format;
    offsets::offsets(&PartitionDir::on_disk(dir.as_ref())?, targets, out)
}

/// Checks every byte of a partition directory. Never writes to it.
///
/// # Errors
/// `NotFound`, `Io` from listing the directory; what is found later comes from the iterator.
pub fn verify(dir: impl AsRef<Path>) -> Result<Verification> {
    Verification::new(PartitionDir::on_disk(dir.as_ref())?)
}

/// A partition's directory, looked at from outside.
#[derive(Clone, Debug)]
pub(crate) struct PartitionDir {
    name: TopicPartition,
    home: SegmentHome,
    /// The log directory above it.
    parent: Option<Arc<Path>>,
}

impl PartitionDir {
    fn on_disk(path: &Path) -> Result<Self> {
        Self::new(Arc::new(Disk::new()), path)
    }

    /// A directory of any name; one that is no partition's stands for partition 0 of a topic of its own.
    pub(crate) fn new(storage: Arc<dyn Storage>, path: &Path) -> Result<Self> {
        let called = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let name = match TopicPartition::parse_directory(&called) {
            DirectoryName::Partition(name) => name,
            DirectoryName::SetAside | DirectoryName::Foreign => {
                TopicPartition::new(TopicName::new("unnamed")?, 0)?
            }
        };
        let home = SegmentHome {
            storage,
            dir: path.into(),
            open_files: Arc::new(OpenFiles::new(MOST_OPEN_FILES)),
        };
        // A path without a directory above it has no checkpoints either.
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        Ok(Self {
            name,
            home,
            parent: parent.map(Arc::from),
        })
    }

    /// The segments as their names and sizes say, ascending.
    fn segments(&self) -> Result<Vec<Arc<SegmentFiles>>> {
        let mut found: Vec<(Offset, u32)> = Vec::new();
        for entry in self.home.storage.list(&self.home.dir)? {
            let Some(FileName::Log(base)) = entry.name.to_str().map(FileName::parse) else {
                continue;
            };
            let path = self.home.path(FileName::Log(base));
            if entry.kind != EntryKind::File {
                return Err(
                    Error::new(ErrorKind::InvalidInput, "this is no regular file").path_is(path),
                );
            }
            let size = u32::try_from(entry.len_bytes)
                .ok()
                .filter(|size| *size <= limits::MAX_SEGMENT_BYTES);
            let size = size.ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "the segment is above 2 GiB").path_is(path)
            })?;
            found.push((base, size));
        }
        found.sort_unstable();
        let ends = found
            .iter()
            .skip(1)
            .map(|(base, _)| *base)
            .chain([Offset::MAX]);
        let shapes = found
            .iter()
            .zip(ends)
            .map(|((base, size_bytes), end)| SegmentShape {
                base: *base,
                end: end.min(base.saturating_add(limits::MAX_SEGMENT_OFFSET_SPAN)),
                size_bytes: *size_bytes,
                sealed_at: None,
            });
        Ok(shapes
            .map(|shape| SegmentFiles::sealed(self.home.clone(), shape))
            .collect())
    }

    /// What the log directory says of this partition. Checkpoints that cannot be read are not there: the log decides.
    fn facts(&self) -> Result<OpenFacts> {
        let mut facts = OpenFacts {
            owner: Owner::ForeignUnclean,
            recovery_point: None,
            log_start: None,
            incarnation: Incarnation([0; 16]),
        };
        let Some(parent) = &self.parent else {
            return Ok(facts);
        };
        let storage = &*self.home.storage;
        let file = OwnerFile::read(storage, parent)?;
        facts.owner = match (Marker::read(storage, parent)?, &file) {
            // A lone directory under somebody else's roof.
            (Marker::Absent, None) => Owner::ForeignUnclean,
            _ => {
                decide_owner(OwnerFacts::gather(
                    storage,
                    parent,
                    DirectoryListing::read(storage, parent)?.is_empty,
                    file.as_ref(),
                )?)
                .verdict
            }
        };
        if let Some(file) = file {
            facts.incarnation = file.incarnation;
        }
        let checkpoint = |name| match Checkpoint::read(storage, parent, name) {
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Checkpoint::default()),
            read => read,
        };
        facts.recovery_point = checkpoint(CheckpointName::RecoveryPoint)?.get(&self.name);
        facts.log_start = checkpoint(CheckpointName::LogStart)?.get(&self.name);
        Ok(facts)
    }

    /// What a reader sees at this moment.
    pub(crate) fn look(&self) -> Result<(Opening, PartitionRecovery)> {
        open_read_only(&self.name, &self.home, self.facts()?)
    }

    pub(crate) fn reader(&self) -> Result<PartitionReader> {
        let (opening, _) = self.look()?;
        Ok(PartitionReader {
            name: self.name.clone(),
            published: Arc::new(Published::new(opening)),
            max_decompressed_bytes: limits::DEFAULT_MAX_DECOMPRESSED_BYTES,
        })
    }
}

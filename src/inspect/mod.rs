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
use crate::offset::{FilePosition, Offset};
use crate::partition::{
    Facts, FactsFound, Incarnation, OpenFacts, Opening, Owner, PartitionReader, PartitionRecovery,
    Published, StartNow, open_read_only, read_facts,
};
use crate::segment::{FileName, OpenFiles, SegmentFiles, SegmentHome, SegmentShape};
use crate::storage::{Disk, Entry, EntryKind, Storage};
use crate::topic::{DirectoryName, TopicName, TopicPartition};

pub use dump::{DumpSummary, Format};
pub use offsets::Target;
pub use verify::{Finding, FindingKind, Progress, Verification};
pub use view::{LogView, PartitionView, TopicView};

/// Files that a look keeps open at most.
const MOST_OPEN_FILES: u32 = 64;

/// How often a look is tried when a writer removes files under it.
const MOST_LOOKS: u32 = 8;

/// Writes every batch and record of a partition directory to `out`, one JSON object a line: the lines of Kafka's own classes, and for
/// what cannot be read an error line with the offsets that it takes away. Never writes to the directory.
///
/// # Errors
/// `NotFound`; `InvalidInput` when this is no partition directory; `Io`. Damage is in the summary and in the lines.
pub fn dump(dir: impl AsRef<Path>, format: Format, out: &mut dyn Write) -> Result<DumpSummary> {
    PartitionDir::open(dir)?.dump(format, out)
}

/// Writes the offset, time and leader epoch that Kafka's ListOffsets answers for each target, one JSON object a line. The log start
/// comes from the parent's checkpoint, and an unclean tail ends where recovery would end it. Never writes to the directory.
///
/// # Errors
/// As [`dump`].
pub fn offsets(
    dir: impl AsRef<Path>,
    targets: &[Target],
    format: Format,
    out: &mut dyn Write,
) -> Result<()> {
    PartitionDir::open(dir)?.offsets(targets, format, out)
}

/// Checks every byte of a partition directory. Never writes to it.
///
/// ```no_run
/// for finding in stratalog::inspect::verify("data/user_clicks-0")? {
///     let finding = finding?;
///     println!("{finding} (damage: {})", finding.is_damage());
/// }
/// # Ok::<(), stratalog::Error>(())
/// ```
///
/// # Errors
/// As [`dump`]; what is found comes from the iterator.
pub fn verify(dir: impl AsRef<Path>) -> Result<Verification> {
    PartitionDir::open(dir)?.verify()
}

/// A partition's directory, looked at from outside. Nobody need have opened it, and a writer may be at work in it.
#[derive(Clone, Debug)]
pub struct PartitionDir {
    name: TopicPartition,
    home: SegmentHome,
    /// The log directory above it.
    parent: Option<Arc<Path>>,
}

impl PartitionDir {
    /// A partition directory on the disk of this machine; links in the path are followed, links in the directory are not.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` when this is no partition directory; `Io`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_on(Arc::new(Disk::new()), &Disk::resolve(path.as_ref())?)
    }

    /// As [`PartitionDir::open`], on another medium. A directory may have any name as long as it has segments.
    ///
    /// # Errors
    /// As [`PartitionDir::open`].
    pub fn open_on(storage: Arc<dyn Storage>, path: &Path) -> Result<Self> {
        let dir = Self::new(storage, path)?;
        let is_segment = |entry: &Entry| {
            let name = entry.name.to_str().map(FileName::parse);
            matches!(name, Some(FileName::Log(_) | FileName::Prepared(_)))
        };
        if dir.is_named() || dir.home.storage.list(path)?.iter().any(is_segment) {
            return Ok(dir);
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            "this is no partition directory: it is not called TOPIC-NUMBER, and has no segment",
        )
        .path_is(path)
        .remedy("name the directory of one partition, as data/clicks-0"))
    }

    /// A directory of any name; one that is no partition's stands for partition 0 of a topic of its own.
    fn new(storage: Arc<dyn Storage>, path: &Path) -> Result<Self> {
        let name = match named(path) {
            Some(name) => name,
            None => TopicPartition::new(TopicName::new("unnamed")?, 0)?,
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

    fn is_named(&self) -> bool {
        named(&self.home.dir).is_some()
    }

    /// As [`dump`](fn@dump), of this directory.
    ///
    /// # Errors
    /// `Io`; `InvalidInput` for a link or FIFO in the place of a segment; `Unsupported` for one above 2 GiB.
    pub fn dump(&self, format: Format, out: &mut dyn Write) -> Result<DumpSummary> {
        let Format::Json = format;
        dump::dump(self, out)
    }

    /// As [`offsets`](fn@offsets), of this directory.
    ///
    /// # Errors
    /// As [`PartitionDir::dump`].
    pub fn offsets(&self, targets: &[Target], format: Format, out: &mut dyn Write) -> Result<()> {
        let Format::Json = format;
        offsets::offsets(self, targets, out)
    }

    /// As [`verify`](fn@verify), of this directory.
    ///
    /// # Errors
    /// `Io` from the small files; `Unsupported` for a segment above 2 GiB.
    pub fn verify(&self) -> Result<Verification> {
        Verification::new(self.clone())
    }

    /// Everything that reads, at this moment.
    ///
    /// # Errors
    /// As [`PartitionDir::dump`].
    pub fn view(&self) -> Result<PartitionView> {
        PartitionView::open(self.clone())
    }

    /// The segments as their names and sizes say, ascending. What is no regular file is not among them.
    fn segments(&self) -> Result<Vec<Arc<SegmentFiles>>> {
        let mut found: Vec<(Offset, u32)> = Vec::new();
        for entry in self.home.storage.list(&self.home.dir)? {
            let name = entry.name.to_str().map(FileName::parse);
            let (Some(FileName::Log(base)), EntryKind::File) = (name, entry.kind) else {
                continue;
            };
            let size = u32::try_from(entry.len_bytes)
                .ok()
                .filter(|size| *size <= limits::MAX_SEGMENT_BYTES);
            let size = size.ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "the segment is above 2 GiB")
                    .path_is(self.home.path(FileName::Log(base)))
            })?;
            found.push((base, size));
        }
        found.sort_unstable();
        let ends = found.iter().skip(1).map(|(base, _)| *base);
        let ends = ends.chain([Offset::MAX]);
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

    /// What stands in the place of a segment and is no file: nothing can be said of the records in it.
    fn check_kinds(&self) -> Result<()> {
        for entry in self.home.storage.list(&self.home.dir)? {
            let name = entry.name.to_str().map(FileName::parse);
            if let Some(name @ FileName::Log(_)) = name
                && entry.kind != EntryKind::File
            {
                let no_file = "there is a link, FIFO, directory or device in place of a segment";
                return Err(Error::new(ErrorKind::InvalidInput, no_file)
                    .path_is(self.home.path(name))
                    .remedy("move it away, and put the file back if it was one"));
            }
        }
        Ok(())
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
        let file = unless_unreadable(OwnerFile::read(storage, parent))?;
        facts.owner = match owner(storage, parent, file.as_ref()) {
            // Something that is no marker stands in its place.
            Err(error) if is_about_content(&error) => Owner::ForeignUnclean,
            owner => owner?,
        };
        if let Some(file) = file {
            facts.incarnation = file.incarnation;
        }
        let checkpoint = |name| unless_unreadable(Checkpoint::read(storage, parent, name));
        facts.recovery_point = checkpoint(CheckpointName::RecoveryPoint)?.get(&self.name);
        facts.log_start = checkpoint(CheckpointName::LogStart)?.get(&self.name);
        Ok(facts)
    }

    /// Our own bounds of this partition, when they can be believed: we wrote last, and the side file is whole.
    fn own_facts(&self) -> Result<Option<Facts>> {
        let known = self.facts()?;
        let is_ours = matches!(
            known.owner,
            Owner::Fresh | Owner::OursClean | Owner::OursUnclean
        );
        let found = match read_facts(&self.home) {
            Err(error) if is_about_content(&error) => FactsFound::Damaged,
            found => found?,
        };
        Ok(match found {
            FactsFound::Good(facts) if is_ours && facts.incarnation == known.incarnation => {
                Some(facts)
            }
            FactsFound::Good(_) | FactsFound::Absent | FactsFound::Damaged => None,
        })
    }

    /// What a reader sees at this moment. Looks again when a writer has removed a file between the listing and the reading.
    pub(crate) fn look(&self) -> Result<(Opening, PartitionRecovery)> {
        let mut looks = 1;
        loop {
            match open_read_only(&self.name, &self.home, self.facts()?) {
                Err(error) if error.kind() == ErrorKind::NotFound && looks < MOST_LOOKS => {
                    looks += 1;
                }
                looked => return looked,
            }
        }
    }

    pub(crate) fn reader(&self) -> Result<PartitionReader> {
        let (opening, _) = self.look()?;
        let dir = self.clone();
        let start_now = StartNow(Box::new(move || Ok(dir.look()?.0.start)));
        Ok(PartitionReader {
            name: self.name.clone(),
            published: Arc::new(Published::new(opening).moved_by_others(start_now)),
            max_decompressed_bytes: limits::DEFAULT_MAX_DECOMPRESSED_BYTES,
        })
    }
}

/// Who wrote last into a log directory, as opening it would say.
fn owner(storage: &dyn Storage, dir: &Path, file: Option<&OwnerFile>) -> Result<Owner> {
    if file.is_none() && Marker::read(storage, dir)? == Marker::Absent {
        // A lone directory under somebody else's roof.
        return Ok(Owner::ForeignUnclean);
    }
    let is_empty = DirectoryListing::read(storage, dir)?.is_empty;
    let facts = OwnerFacts::gather(storage, dir, is_empty, file)?;
    Ok(decide_owner(facts).verdict)
}

/// The partition that the last name of a path stands for.
fn named(path: &Path) -> Option<TopicPartition> {
    let called = path.file_name()?.to_str()?;
    match TopicPartition::parse_directory(called) {
        DirectoryName::Partition(name) => Some(name),
        DirectoryName::SetAside | DirectoryName::Foreign => None,
    }
}

/// What cannot be read as what it should be is as good as not there.
fn unless_unreadable<T: Default>(read: Result<T>) -> Result<T> {
    match read {
        Err(error) if is_about_content(&error) => Ok(T::default()),
        read => read,
    }
}

/// `None` for a segment that a writer has removed since it was listed.
fn unless_trimmed<T>(opened: Result<T>) -> Result<Option<T>> {
    match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// Whether an error says something of the file, rather than of the medium.
fn is_about_content(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Corrupt | ErrorKind::InvalidInput | ErrorKind::Unsupported
    )
}

/// Where a walk may find its feet behind damage; an index that cannot be read names no place.
fn positions_above(segment: &SegmentFiles, position: FilePosition) -> Result<Vec<FilePosition>> {
    unless_unreadable(segment.positions_above(position))
}

#[cfg(test)]
mod tests;

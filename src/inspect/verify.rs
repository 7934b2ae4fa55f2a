//! Every byte of a partition directory, checked: batches, records, indexes, and the small files beside them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::PartitionDir;
use crate::batch::PREFIX_BYTES;
use crate::epochs::Epochs;
use crate::error::{ErrorKind, Gap, GapCause, Result};
use crate::limits;
use crate::offset::{FilePosition, Offset};
use crate::partition::{FactsFound, SegmentList, read_facts, read_segment_list};
use crate::producers::Producers;
use crate::segment::{BadKind, FileName, IndexCheck, SegmentFiles, Step, Walker};
use crate::storage::{EntryKind, read_small_file};

/// What kind of thing was found.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FindingKind {
    /// Bytes of records, or of a header, are wrong.
    Damaged,
    /// Records that are known to have been there are not.
    Missing,
    /// The log ends in an unfinished write, as a killed writer leaves it.
    TornTail,
    /// Batches of message format 0 or 1, which are not read here.
    OldFormat,
    /// An index, a snapshot or a side file contradicts the log or cannot be read; opening for writing derives it anew.
    Derived,
    /// A leader epoch that falls, or that the history does not know.
    OddEpoch,
    /// A file that does not belong here, and is left alone.
    Foreign,
}

/// One thing that was found.
#[derive(Clone, Debug)]
pub struct Finding {
    kind: FindingKind,
    text: String,
    gap: Option<Gap>,
}

impl Finding {
    /// What kind of thing it is.
    #[must_use]
    pub fn kind(&self) -> FindingKind {
        self.kind
    }

    /// The offsets that it takes away, if any.
    #[must_use]
    pub fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref()
    }

    /// Whether something that was written is lost or contradicted. A torn tail, an old format, an odd epoch and a foreign file are not.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(
            self.kind,
            FindingKind::Damaged | FindingKind::Missing | FindingKind::Derived
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            FindingKind::Damaged => "damaged",
            FindingKind::Missing => "missing",
            FindingKind::TornTail => "torn tail",
            FindingKind::OldFormat => "old format",
            FindingKind::Derived => "contradiction",
            FindingKind::OddEpoch => "odd epoch",
            FindingKind::Foreign => "foreign",
        };
        write!(f, "{kind}: {}", self.text)?;
        match &self.gap {
            Some(gap) => write!(f, " (offsets {} to {}, exclusive)", gap.from(), gap.to()),
            None => Ok(()),
        }
    }
}

/// How far a verification has come; may be read from another thread.
#[derive(Debug, Default)]
pub struct Progress {
    total_bytes: AtomicU64,
    checked_bytes: AtomicU64,
    batches: AtomicU64,
    records: AtomicU64,
}

impl Progress {
    /// Bytes of all segments.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that were checked so far.
    #[must_use]
    pub fn checked_bytes(&self) -> u64 {
        self.checked_bytes.load(Ordering::Relaxed)
    }

    /// Batches that were read.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// Records that were read.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }
}

/// A verification at work: gives findings as they come. Memory is bounded by one batch and the indexes of one segment.
#[derive(Debug)]
pub struct Verification {
    partition: PartitionDir,
    segments: VecDeque<Arc<SegmentFiles>>,
    at: Option<Walk>,
    found: VecDeque<Finding>,
    progress: Arc<Progress>,
    list: SegmentList,
    epochs: Epochs,
    /// Where the segments before have ended.
    expected: Option<Offset>,
    last_epoch: i32,
}

/// One segment at work.
#[derive(Debug)]
struct Walk {
    segment: Arc<SegmentFiles>,
    walker: Walker,
    indexes: Option<IndexCheck>,
    prefix_crc: crc32fast::Hasher,
    is_whole: bool,
    is_last: bool,
}

impl Verification {
    pub(super) fn new(partition: PartitionDir) -> Result<Self> {
        let segments: VecDeque<_> = partition.segments()?.into();
        let progress = Arc::new(Progress::default());
        let total = segments.iter().map(|segment| segment.size().to_u64()).sum();
        progress.total_bytes.store(total, Ordering::Relaxed);
        let mut verification = Self {
            list: read_segment_list(&partition.home)?,
            partition,
            segments,
            at: None,
            found: VecDeque::new(),
            progress,
            epochs: Epochs::default(),
            expected: None,
            last_epoch: 0,
        };
        verification.check_names()?;
        verification.check_small_files()?;
        Ok(verification)
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    fn find(&mut self, kind: FindingKind, text: impl Into<String>) {
        self.found.push_back(Finding {
            kind,
            text: text.into(),
            gap: None,
        });
    }

    fn lose(
        &mut self,
        kind: FindingKind,
        text: impl Into<String>,
        from: Offset,
        to: Offset,
        cause: GapCause,
    ) {
        let gap = (from < to).then(|| Gap::new(from, to, cause));
        self.found.push_back(Finding {
            kind,
            text: text.into(),
            gap,
        });
    }

    fn check_names(&mut self) -> Result<()> {
        let home = &self.partition.home;
        let mut found = Vec::new();
        for entry in home.storage.list(&home.dir)? {
            let name = entry.name.to_string_lossy().into_owned();
            match FileName::parse(&name) {
                FileName::Unknown => found.push((FindingKind::Foreign, name)),
                FileName::BadNumber => {
                    found.push((
                        FindingKind::Foreign,
                        format!("{name}: a broker does not start with this name"),
                    ));
                }
                _ if entry.kind != EntryKind::File => {
                    found.push((
                        FindingKind::Damaged,
                        format!("{name}: this is no regular file"),
                    ));
                }
                FileName::Snapshot(_) => {
                    let bytes = read_small_file(
                        &*home.storage,
                        &home.dir.join(&name),
                        limits::MAX_SEGMENT_BYTES.into(),
                    );
                    let fault = match bytes {
                        Ok(Some(bytes)) => Producers::from_snapshot(&bytes).err(),
                        Ok(None) => None,
                        Err(error) if error.kind() == ErrorKind::Corrupt => Some("it is too long"),
                        Err(error) => return Err(error),
                    };
                    found.extend(
                        fault.map(|fault| (FindingKind::Derived, format!("{name}: {fault}"))),
                    );
                }
                _ => {}
            }
        }
        found.sort();
        for (kind, text) in found {
            self.find(kind, text);
        }
        Ok(())
    }

    fn check_small_files(&mut self) -> Result<()> {
        let home = self.partition.home.clone();
        match read_facts(&home)? {
            FactsFound::Damaged => self.find(
                FindingKind::Derived,
                "stratalog.facts: both slots are unreadable",
            ),
            FactsFound::Absent | FactsFound::Good(_) => {}
        }
        if self.list.bad_count > 0 {
            let count = self.list.bad_count;
            self.find(
                FindingKind::Derived,
                format!("stratalog.segments: {count} entries are unreadable"),
            );
        }
        let path = home.path(FileName::LeaderEpochs);
        let content = read_small_file(&*home.storage, &path, limits::MAX_SEGMENT_BYTES.into())?;
        let text =
            String::from_utf8(content.unwrap_or_default()).unwrap_or_else(|_| "?".to_owned());
        match Epochs::parse(&text) {
            Ok(epochs) => self.epochs = epochs,
            Err(what) => self.find(
                FindingKind::Derived,
                format!("leader-epoch-checkpoint: {what}"),
            ),
        }
        let (opening, report) = self.partition.look()?;
        drop(opening);
        for gap in report
            .gaps()
            .iter()
            .filter(|gap| gap.cause() == GapCause::Missing)
        {
            self.found.push_back(Finding {
                kind: FindingKind::Missing,
                text: "records are gone with their file, or a part of it".to_owned(),
                gap: Some(gap.clone()),
            });
        }
        Ok(())
    }

    /// One step of the work; `Ok(false)` when all is done.
    fn work(&mut self) -> Result<Work> {
        let Some(mut walk) = self.at.take() else {
            return self.next_segment();
        };
        match walk.walker.step()? {
            Step::Batch(found) => {
                self.check_batch(&mut walk, &found.batch, found.position);
                self.at = Some(walk);
            }
            Step::OldFormat { from, to, position } => {
                walk.is_whole = false;
                let text = format!("{} position={position}", walk.segment.log_path().display());
                self.lose(FindingKind::OldFormat, text, from, to, GapCause::OldFormat);
                if let Some(indexes) = &mut walk.indexes {
                    indexes.pass(to, walk.walker.position());
                }
                self.at = Some(walk);
            }
            Step::Bad(spot) => {
                walk.is_whole = false;
                let positions = walk.segment.positions_above(spot.position)?;
                let next = walk.walker.skip(&spot, &positions)?;
                let path = walk.segment.log_path();
                let text = format!(
                    "{} position={} {}",
                    path.display(),
                    spot.position,
                    spot.what
                );
                let is_tail = walk.is_last && next.is_none();
                let kind = match spot.kind {
                    BadKind::Incomplete | BadKind::ZeroTail if is_tail => FindingKind::TornTail,
                    _ => FindingKind::Damaged,
                };
                let to = next.or_else(|| self.segments.front().map(|next| next.base()));
                self.lose(
                    kind,
                    text,
                    spot.from,
                    to.unwrap_or(spot.from),
                    GapCause::Damaged,
                );
                if let Some(indexes) = &mut walk.indexes {
                    indexes.pass(walk.walker.expected(), walk.walker.position());
                }
                match next {
                    Some(_) => self.at = Some(walk),
                    None => self.finish(walk),
                }
            }
            Step::End => self.finish(walk),
        }
        Ok(Work::GoOn)
    }

    fn next_segment(&mut self) -> Result<Work> {
        let Some(segment) = self.segments.pop_front() else {
            return Ok(Work::Done);
        };
        if let Some(end) = self.expected.filter(|end| *end > segment.base()) {
            let path = segment.log_path();
            let base = segment.base();
            let text = format!(
                "{}: starts at {base}, and the segment before ends at {end}",
                path.display()
            );
            self.find(FindingKind::Damaged, text);
        }
        let is_last = self.segments.is_empty();
        // The indexes of a segment that nobody has closed are not written yet.
        let indexes = match is_last {
            true => None,
            false => Some(IndexCheck::new(&self.partition.home, &segment)?),
        };
        self.at = Some(Walk {
            walker: segment.walk(
                crate::segment::OffsetRule::Ascending,
                limits::DEFAULT_MAX_DECOMPRESSED_BYTES,
            )?,
            segment,
            indexes,
            prefix_crc: crc32fast::Hasher::new(),
            is_whole: true,
            is_last,
        });
        Ok(Work::GoOn)
    }

    fn check_batch(
        &mut self,
        walk: &mut Walk,
        batch: &crate::batch::RecordBatch,
        position: FilePosition,
    ) {
        let header = batch.header();
        let bytes = batch.as_bytes();
        walk.prefix_crc
            .update(bytes.get(..PREFIX_BYTES).unwrap_or_default());
        if let Some(indexes) = &mut walk.indexes {
            indexes.observe(header, position);
        }
        self.progress.batches.fetch_add(1, Ordering::Relaxed);
        self.progress
            .checked_bytes
            .fetch_add(header.size_bytes().into(), Ordering::Relaxed);
        let mut next = batch.base_offset();
        for record in batch.records() {
            match record {
                Ok(record) => {
                    next = record.offset().saturating_add(1);
                    self.progress.records.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    let text = format!(
                        "{} position={position} {error}",
                        walk.segment.log_path().display()
                    );
                    self.lose(
                        FindingKind::Damaged,
                        text,
                        next,
                        batch.next_offset(),
                        GapCause::Damaged,
                    );
                    break;
                }
            }
        }
        self.check_epoch(walk, batch, position);
    }

    fn check_epoch(
        &mut self,
        walk: &Walk,
        batch: &crate::batch::RecordBatch,
        position: FilePosition,
    ) {
        let Some(epoch) = batch.leader_epoch() else {
            return;
        };
        let path = walk.segment.log_path();
        if epoch.get() < self.last_epoch {
            let last = self.last_epoch;
            let text = format!(
                "{} position={position} epoch {epoch} behind {last}",
                path.display()
            );
            self.find(FindingKind::OddEpoch, text);
        } else if !self.epochs.entries().is_empty()
            && epoch.get() > self.last_epoch
            && !self
                .epochs
                .entries()
                .iter()
                .any(|(known, _)| *known == epoch)
            && self
                .epochs
                .entries()
                .first()
                .is_some_and(|(first, _)| epoch > *first)
        {
            let text = format!(
                "{} position={position} epoch {epoch} is not in leader-epoch-checkpoint",
                path.display()
            );
            self.find(FindingKind::OddEpoch, text);
        }
        self.last_epoch = self.last_epoch.max(epoch.get());
    }

    fn finish(&mut self, walk: Walk) {
        self.expected = Some(walk.walker.expected());
        let base = walk.segment.base();
        let entry = self.list.entries.iter().find(|entry| entry.base == base);
        let noted = entry.and_then(|entry| entry.prefix_crc);
        if walk.is_whole && noted.is_some_and(|noted| noted != walk.prefix_crc.clone().finalize()) {
            let text = format!(
                "{}: offsets, lengths or epochs outside of the checksums are not as they were sealed",
                walk.segment.log_path().display()
            );
            self.find(FindingKind::Damaged, text);
        }
        for fault in walk.indexes.map(IndexCheck::finish).unwrap_or_default() {
            self.find(FindingKind::Derived, fault);
        }
    }
}

enum Work {
    GoOn,
    Done,
}

impl Iterator for Verification {
    type Item = Result<Finding>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(finding) = self.found.pop_front() {
                return Some(Ok(finding));
            }
            match self.work() {
                Ok(Work::GoOn) => {}
                Ok(Work::Done) => return self.found.pop_front().map(Ok),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

//! Everything beside the segments: names, snapshots, epochs, our side files, the parent's checkpoints, and what is known of the log from
//! them. None of it is evidence, so nothing here ends a verification but the medium.

use std::sync::Arc;

use super::super::offsets::MOST_EPOCH_BYTES;
use super::super::{PartitionDir, is_about_content};
use super::{Finding, FindingKind};
use crate::directory::{Checkpoint, CheckpointName};
use crate::epochs::Epochs;
use crate::error::{Error, Gap, GapCause, Result};
use crate::ids::LeaderEpoch;
use crate::limits;
use crate::offset::Offset;
use crate::partition::{FactsFound, Owner, SegmentList, read_facts, read_segment_list};
use crate::producers::Producers;
use crate::segment::{FileName, OffsetRule};
use crate::storage::{Entry, EntryKind, read_small_file};

/// What the segments are held against.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    pub(super) list: SegmentList,
    epochs: Epochs,
    /// The history once more, when our facts vouch for it: only then is an odd epoch damage.
    pub(super) vouched_epochs: Option<Arc<Epochs>>,
    /// Segments from here on have no holes: we wrote them as leader.
    dense_from: Option<Offset>,
    /// Bytes from here on that are no batch are an unfinished write, whatever follows. `None` where nobody knows.
    pub(super) torn_from: Option<Offset>,
    /// Nobody vouches for the indexes of segments from here on: they were written to when the writer ended. `None` when it closed.
    unvouched_from: Option<Offset>,
    /// Ranges that were found to be gone already.
    missing: Vec<(Offset, Offset)>,
}

impl Surroundings {
    /// # Errors
    /// Only what the medium says.
    pub(super) fn read(partition: &PartitionDir, found: &mut impl Extend<Finding>) -> Result<Self> {
        let mut surroundings = Self::default();
        let mut findings = Vec::new();
        surroundings.read_own_files(partition, &mut findings)?;
        surroundings.look(partition, &mut findings)?;
        surroundings.check_names(partition, &mut findings)?;
        check_checkpoints(partition, &mut findings)?;
        found.extend(findings);
        Ok(surroundings)
    }

    pub(super) fn rule(&self, base: Offset) -> OffsetRule {
        match self.dense_from {
            Some(from) if base >= from => OffsetRule::Dense,
            _ => OffsetRule::Ascending,
        }
    }

    pub(super) fn is_vouched_for(&self, base: Offset) -> bool {
        self.unvouched_from.is_none_or(|from| base < from)
    }

    /// The checksum of a sealed segment's index of aborted transactions, when we wrote last.
    pub(super) fn aborted_crc(&self, base: Offset) -> Option<u32> {
        let mut entries = self.list.entries.iter().rev();
        let listed = entries.find(|entry| entry.base == base);
        listed.filter(|_| self.torn_from.is_some())?.aborted_crc
    }

    /// Whether the history knows a leader epoch. Those below its first were folded into that when the log start moved; without a history
    /// we write 0.
    pub(super) fn knows(&self, epoch: LeaderEpoch, is_ours: bool) -> bool {
        let known = self.epochs.entries();
        match known.first() {
            Some((first, _)) => epoch < *first || known.iter().any(|(known, _)| *known == epoch),
            None => !is_ours || epoch == LeaderEpoch::ZERO,
        }
    }

    pub(super) fn is_known_to_miss(&self, offset: Offset) -> bool {
        self.missing
            .iter()
            .any(|(from, to)| (*from..*to).contains(&offset))
    }

    /// `stratalog.facts`, `stratalog.segments` and the history of leader epochs.
    fn read_own_files(&mut self, partition: &PartitionDir, found: &mut Vec<Finding>) -> Result<()> {
        let home = &partition.home;
        let derived = |name: FileName, what: &str| {
            Finding::new(FindingKind::Derived, format!("{name}: {what}"))
        };
        match read_facts(home) {
            Ok(FactsFound::Damaged) => {
                found.push(derived(FileName::Facts, "both slots are unreadable"));
            }
            Ok(FactsFound::Absent | FactsFound::Good(_)) => {}
            Err(error) => found.push(no_file(error)?),
        }
        match read_segment_list(home) {
            Ok(list) => self.list = list,
            Err(error) => found.push(no_file(error)?),
        }
        if self.list.bad_count > 0 {
            let what = format!("{} entries are unreadable", self.list.bad_count);
            found.push(derived(FileName::SegmentList, &what));
        }
        let path = home.path(FileName::LeaderEpochs);
        match read_small_file(&*home.storage, &path, MOST_EPOCH_BYTES) {
            Ok(content) => {
                let content = content.unwrap_or_default();
                let epochs = str::from_utf8(&content).map_err(|_| "it is no UTF-8");
                match epochs.and_then(Epochs::parse) {
                    Ok(epochs) => self.epochs = epochs,
                    Err(what) => found.push(derived(FileName::LeaderEpochs, what)),
                }
            }
            Err(error) => found.push(no_file(error)?),
        }
        Ok(())
    }

    /// What a reader would see: what is missing, and what nobody vouches for.
    fn look(&mut self, partition: &PartitionDir, found: &mut Vec<Finding>) -> Result<()> {
        let facts = partition.own_facts()?;
        self.dense_from = facts.and_then(|facts| facts.dense_from);
        self.torn_from = facts.map(|facts| facts.durable_end);
        let checksum = facts.and_then(|facts| facts.epochs);
        if checksum == Some(self.epochs.checksum()) {
            self.vouched_epochs = Some(Arc::new(self.epochs.clone()));
        }
        // A broker that closed its log had made all of it durable.
        let known = partition.facts()?;
        let recovery_point = known.recovery_point;
        let recovery_point = recovery_point.filter(|_| known.owner == Owner::ForeignClean);
        let known_end = self.torn_from.or(recovery_point);
        let (opening, report) = match partition.look() {
            // What is in the way is named where the names are looked at.
            Err(error) if is_about_content(&error) => {
                self.unvouched_from = Some(Offset::ZERO);
                return Ok(());
            }
            looked => looked?,
        };
        let vouched = opening
            .segments
            .len()
            .saturating_sub(report.scanned_segments());
        if !report.was_clean() {
            let first = opening.segments.get(vouched).map(|first| first.base());
            self.unvouched_from = Some(first.unwrap_or(opening.end));
        }
        let gaps = report.gaps().iter();
        let missing = gaps.filter(|gap| gap.cause() == GapCause::Missing);
        self.missing = missing.map(|gap| (gap.from(), gap.to())).collect();
        // What was durable is gone at the end: with the last file, or cut off where a batch ends.
        let told_up_to = report.gaps().iter().map(Gap::to).max();
        let told_up_to = told_up_to.unwrap_or_default().max(opening.end);
        if let Some(durable) = known_end.filter(|durable| told_up_to < *durable) {
            self.missing.push((told_up_to, durable));
        }
        for (from, to) in &self.missing {
            let text = "records are gone with their file, or a part of it";
            let finding = Finding::new(FindingKind::Missing, text);
            found.push(finding.takes(*from, *to, GapCause::Missing));
        }
        Ok(())
    }

    fn check_names(&self, partition: &PartitionDir, found: &mut Vec<Finding>) -> Result<()> {
        let home = &partition.home;
        let mut entries = home.storage.list(&home.dir)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in &entries {
            let name = entry.name.to_string_lossy();
            let finding = match FileName::parse(&name) {
                FileName::Unknown => Some(Finding::new(FindingKind::Foreign, name)),
                FileName::BadNumber => {
                    let text = format!("{name}: Kafka's suffix, and not twenty digits before it");
                    Some(Finding::new(FindingKind::BadName, text))
                }
                _ if entry.kind != EntryKind::File => {
                    let text = format!("{name}: no regular file, but a link, FIFO or directory");
                    Some(Finding::new(FindingKind::Damaged, text))
                }
                FileName::Log(_) if entry.len_bytes > limits::MAX_SEGMENT_BYTES.into() => {
                    let text = format!("{name}: above 2 GiB, the most that a segment can have");
                    Some(Finding::new(FindingKind::Damaged, text))
                }
                FileName::Snapshot(end) => self.check_snapshot(partition, entry, end)?,
                _ => None,
            };
            found.extend(finding);
        }
        Ok(())
    }

    fn check_snapshot(
        &self,
        partition: &PartitionDir,
        entry: &Entry,
        end: Offset,
    ) -> Result<Option<Finding>> {
        let home = &partition.home;
        let path = home.dir.join(&entry.name);
        let limit = limits::MAX_SEGMENT_BYTES.into();
        let fault = match read_small_file(&*home.storage, &path, limit) {
            Ok(Some(bytes)) => Producers::from_snapshot(&bytes, end).err(),
            Ok(None) => None,
            Err(error) if is_about_content(&error) => Some("it cannot be read"),
            Err(error) => return Err(error),
        };
        let kind = match self.is_vouched_for(end) {
            true => FindingKind::Derived,
            false => FindingKind::Unfinished,
        };
        let name = entry.name.to_string_lossy();
        Ok(fault.map(|fault| Finding::new(kind, format!("{name}: {fault}"))))
    }
}

/// A broker takes a log directory offline for a checkpoint that it cannot read.
fn check_checkpoints(partition: &PartitionDir, found: &mut Vec<Finding>) -> Result<()> {
    let Some(parent) = &partition.parent else {
        return Ok(());
    };
    for name in CheckpointName::ALL {
        match Checkpoint::read(&*partition.home.storage, parent, name) {
            Ok(_) => {}
            Err(error) if is_about_content(&error) => {
                found.push(Finding::new(FindingKind::Derived, error.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What stands in the place of a file of ours; an error of the medium stays one.
fn no_file(error: Error) -> Result<Finding> {
    match is_about_content(&error) {
        true => Ok(Finding::new(FindingKind::Derived, error.to_string())),
        false => Err(error),
    }
}

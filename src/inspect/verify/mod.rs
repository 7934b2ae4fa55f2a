//! Every byte of a partition directory, checked: batches, records, indexes, and the small files beside them.
//!
//! The segments decide; everything else is held against them. A verification gives findings and goes on: only the medium ends it.

mod finding;
mod surroundings;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub use self::finding::{Finding, FindingKind, Progress};
use self::surroundings::Surroundings;
use super::{PartitionDir, positions_above, unless_trimmed};
use crate::batch::{ControlKind, PREFIX_BYTES, RecordBatch};
use crate::error::{ErrorKind, GapCause, Result};
use crate::ids::{LeaderEpoch, ProducerId};
use crate::limits;
use crate::offset::{FilePosition, Offset};
use crate::segment::{BadKind, BadSpot, Ended, IndexCheck, OffsetRule, SegmentFiles, Step, Walker};
use crate::sync::atomic::Ordering;

/// Producers whose open transaction is remembered at most. Of further ones it is not known what they aborted.
const MOST_OPEN_TRANSACTIONS: usize = 100_000;

/// A verification at work: gives findings as they come. Memory is bounded by one batch and the indexes of one segment.
#[derive(Debug)]
pub struct Verification {
    partition: PartitionDir,
    /// Those that were not begun yet.
    segments: VecDeque<Arc<SegmentFiles>>,
    at: Option<Walk>,
    found: VecDeque<Finding>,
    progress: Arc<Progress>,
    surroundings: Surroundings,
    /// Where the segment before ended.
    expected: Option<Offset>,
    last_epoch: Option<LeaderEpoch>,
    open_transactions: BTreeMap<ProducerId, Offset>,
    /// Bytes of the segments before the present one.
    bytes_before: u64,
}

/// One segment at work.
#[derive(Debug)]
struct Walk {
    segment: Arc<SegmentFiles>,
    name: String,
    walker: Walker,
    indexes: Option<IndexCheck>,
    prefix_crc: crc32fast::Hasher,
    /// No batch was bad so far.
    is_whole: bool,
}

impl Verification {
    pub(super) fn new(partition: PartitionDir) -> Result<Self> {
        let mut found = VecDeque::new();
        let surroundings = Surroundings::read(&partition, &mut found)?;
        let segments: VecDeque<_> = partition.segments()?.into();
        let progress = Arc::new(Progress::default());
        let total = segments.iter().map(|segment| segment.size().to_u64()).sum();
        progress.total_bytes.store(total, Ordering::Relaxed);
        Ok(Self {
            partition,
            segments,
            at: None,
            found,
            progress,
            surroundings,
            expected: None,
            last_epoch: None,
            open_transactions: BTreeMap::new(),
            bytes_before: 0,
        })
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// One step of the work.
    fn work(&mut self) -> Result<Work> {
        let Some(mut walk) = self.at.take() else {
            return self.next_segment();
        };
        match walk.walker.step() {
            Ok(Step::Batch(found)) => self.check_batch(&mut walk, &found.batch, found.position),
            Ok(Step::OldFormat { from, to, position }) => {
                walk.is_whole = false;
                walk.pass(to);
                let text = format!("{} position={position} message format 0 or 1", walk.name);
                let finding = Finding::new(FindingKind::Unsupported, text);
                self.tell(finding.takes(from, to, GapCause::OldFormat));
            }
            Ok(Step::Bad(spot)) => {
                if self.bad(&mut walk, &spot)? == Work::Done {
                    self.finish(walk);
                    return Ok(Work::GoOn);
                }
            }
            Ok(Step::End) => {
                self.finish(walk);
                return Ok(Work::GoOn);
            }
            Err(error) => {
                self.bytes_before += walk.segment.size().to_u64();
                return Err(error);
            }
        }
        let checked = self.bytes_before + walk.walker.position().to_u64();
        self.progress
            .checked_bytes
            .store(checked, Ordering::Relaxed);
        self.at = Some(walk);
        Ok(Work::GoOn)
    }

    fn next_segment(&mut self) -> Result<Work> {
        let Some(segment) = self.segments.pop_front() else {
            return Ok(Work::Done);
        };
        let base = segment.base();
        let rule = self.surroundings.rule(base);
        // Without holes, the segment before reaches up to this one.
        if let Some(end) = self.expected
            && rule == OffsetRule::Dense
            && self.surroundings.rule(end) == OffsetRule::Dense
            && end < base
            && !self.surroundings.is_known_to_miss(end)
        {
            let finding = Finding::new(
                FindingKind::Missing,
                format!("records in front of {base} are gone"),
            );
            self.tell(finding.takes(end, base, GapCause::Missing));
        }
        let walker = segment.walk(rule, limits::DEFAULT_MAX_DECOMPRESSED_BYTES);
        let Some(mut walker) = unless_trimmed(walker)? else {
            self.bytes_before += segment.size().to_u64();
            self.expected = None;
            return Ok(Work::GoOn);
        };
        walker.hold_against(self.surroundings.vouched_epochs.clone());
        segment.vouch_for_aborted(self.surroundings.aborted_crc(base));
        let is_last = self.segments.is_empty();
        let is_vouched_for = self.surroundings.is_vouched_for(base);
        // The indexes of a segment that nobody has closed are not written yet.
        let indexes = match is_last && !is_vouched_for {
            true => None,
            false => Some(IndexCheck::new(&self.partition.home, &segment)?),
        };
        self.at = Some(Walk {
            walker: walker.below(segment.end()),
            name: segment.log_path().display().to_string(),
            segment,
            indexes,
            prefix_crc: crc32fast::Hasher::new(),
            is_whole: true,
        });
        Ok(Work::GoOn)
    }

    fn check_batch(&mut self, walk: &mut Walk, batch: &RecordBatch, position: FilePosition) {
        let prefix = batch.as_bytes().get(..PREFIX_BYTES).unwrap_or_default();
        walk.prefix_crc.update(prefix);
        self.progress.batches.fetch_add(1, Ordering::Relaxed);
        let mut next = batch.base_offset();
        let mut records = 0;
        for record in batch.records() {
            match record {
                Ok(record) => {
                    next = record.offset().saturating_add(1);
                    records += 1;
                }
                Err(error) => {
                    let kind = match error.kind() {
                        ErrorKind::Unsupported => FindingKind::Unsupported,
                        _ => FindingKind::Damaged,
                    };
                    let text = format!("{} position={position} {error}", walk.name);
                    let to = batch.next_offset();
                    self.tell(Finding::new(kind, text).takes(next, to, GapCause::Damaged));
                    break;
                }
            }
        }
        self.progress.records.fetch_add(records, Ordering::Relaxed);
        let ended = self.follow_transactions(batch);
        if let Some(indexes) = &mut walk.indexes {
            indexes.observe(batch.header(), position, ended);
            self.tell_faults(walk);
        }
        self.check_epoch(walk, batch, position);
    }

    /// What a batch does to the transactions; the transaction that it aborts.
    fn follow_transactions(&mut self, batch: &RecordBatch) -> Ended {
        let Some(producer) = batch.producer_id() else {
            return Ended::Nothing;
        };
        if !batch.is_control() {
            if batch.is_transactional() && self.open_transactions.len() < MOST_OPEN_TRANSACTIONS {
                let first = batch.base_offset();
                self.open_transactions.entry(producer).or_insert(first);
            }
            return Ended::Nothing;
        }
        // A control record that cannot be read ends nothing; it decodes as a record, and is no damage here.
        let Some(marker) = batch.control_marker().ok().flatten() else {
            return Ended::Nothing;
        };
        let first = self.open_transactions.remove(&producer);
        match marker.kind {
            ControlKind::Abort => Ended::Aborted { producer, first },
            _ => Ended::Nothing,
        }
    }

    /// The epoch is outside of the checksum, and other writers leave odd ones: where nothing vouches for the history, this is never damage.
    /// Told where it changes.
    fn check_epoch(&mut self, walk: &Walk, batch: &RecordBatch, position: FilePosition) {
        let is_ours = self.surroundings.rule(walk.segment.base()) == OffsetRule::Dense;
        let text = match batch.leader_epoch() {
            Some(epoch) => {
                let last = self.last_epoch.replace(epoch);
                if last.is_some_and(|last| epoch < last) {
                    format!("the leader epoch falls to {epoch}")
                } else if last != Some(epoch) && !self.surroundings.knows(epoch, is_ours) {
                    format!("leader epoch {epoch} is not in leader-epoch-checkpoint")
                } else {
                    return;
                }
            }
            None if is_ours => "no leader epoch".to_owned(),
            None => return,
        };
        let text = format!("{} position={position} {text}", walk.name);
        self.tell(Finding::new(FindingKind::OddEpoch, text));
    }

    /// Bytes that are no batch; `Done` when the rest of the segment is lost.
    fn bad(&mut self, walk: &mut Walk, spot: &BadSpot) -> Result<Work> {
        walk.is_whole = false;
        let text = format!("{} position={} {}", walk.name, spot.position, spot.what);
        // Pages persist in any order: above what was durable, valid batches behind a bad one are no part of the log.
        if self
            .surroundings
            .torn_from
            .is_some_and(|from| spot.from >= from)
            && !self.surroundings.is_vouched_for(walk.segment.base())
        {
            self.tell(Finding::new(FindingKind::TornTail, text));
            self.segments.clear();
            walk.indexes = None;
            let total = self.progress.total_bytes();
            self.bytes_before = total.saturating_sub(walk.segment.size().to_u64());
            return Ok(Work::Done);
        }
        let is_vouched_for = self.surroundings.is_vouched_for(walk.segment.base());
        let torn_from = self.surroundings.torn_from.filter(|_| !is_vouched_for);
        let positions = positions_above(&walk.segment, spot.position)?;
        let next = walk.walker.skip(spot, &positions)?;
        // Damage that reaches above what was durable is the end there, too.
        let next = next.filter(|to| torn_from.is_none_or(|from| *to <= from));
        let is_unfinished = matches!(spot.kind, BadKind::Incomplete | BadKind::ZeroTail);
        let is_tail = next.is_none() && self.segments.is_empty();
        // What was durable cannot be an unfinished write.
        let kind = match is_unfinished && is_tail && torn_from.is_none() && !is_vouched_for {
            true => FindingKind::TornTail,
            false => FindingKind::Damaged,
        };
        let to = next.or_else(|| self.segments.front().map(|next| next.base()));
        let to = to.or(torn_from).unwrap_or(spot.from);
        self.tell(Finding::new(kind, text).takes(spot.from, to, GapCause::Damaged));
        walk.pass(walk.walker.expected());
        Ok(match next {
            Some(_) => Work::GoOn,
            None => Work::Done,
        })
    }

    fn finish(&mut self, mut walk: Walk) {
        self.bytes_before += walk.segment.size().to_u64();
        self.progress
            .checked_bytes
            .store(self.bytes_before, Ordering::Relaxed);
        self.expected = walk.is_whole.then(|| walk.walker.expected());
        let base = walk.segment.base();
        let mut entries = self.surroundings.list.entries.iter();
        let noted = entries
            .find(|entry| entry.base == base)
            .and_then(|entry| entry.prefix_crc);
        if walk.is_whole && noted.is_some_and(|noted| noted != walk.prefix_crc.clone().finalize()) {
            let text = format!(
                "{}: offsets, lengths or epochs outside of the checksums are not as they were sealed",
                walk.name
            );
            self.tell(Finding::new(FindingKind::Damaged, text));
        }
        if let Some(indexes) = &mut walk.indexes {
            indexes.finish(walk.is_whole);
        }
        self.tell_faults(&mut walk);
    }

    fn tell_faults(&mut self, walk: &mut Walk) {
        let kind = match self.surroundings.is_vouched_for(walk.segment.base()) {
            true => FindingKind::Derived,
            false => FindingKind::Unfinished,
        };
        for fault in walk.indexes.iter_mut().flat_map(IndexCheck::take_faults) {
            self.found.push_back(Finding::new(kind, fault));
        }
    }

    fn tell(&mut self, finding: Finding) {
        self.found.push_back(finding);
    }
}

impl Walk {
    /// The walk goes on behind a place without a readable batch.
    fn pass(&mut self, to: Offset) {
        if let Some(indexes) = &mut self.indexes {
            indexes.pass(to, self.walker.position());
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
                Ok(Work::Done) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

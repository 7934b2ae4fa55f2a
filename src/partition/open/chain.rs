//! The chain, done: transient files of Kafka's completed or removed, files ahead of their name given one, ranges without a file reported.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::report::PartitionRecovery;
use super::survey::Survey;
use super::{Bounds, Opener};
use crate::error::{Error, ErrorKind, GapCause, Result};
use crate::limits::DEFAULT_MAX_DECOMPRESSED_BYTES;
use crate::offset::{FilePosition, Offset};
use crate::partition::recovery::{
    ChainFact, ChainPlan, FirstSegment, Link, Prepared, Transient, chain_row,
};
use crate::segment::{BadKind, FileName, OffsetRule, SegmentHome, Step, WalkStart, Walker};
use crate::storage::Access;

/// Kafka's name for a compacted file on its way.
const SWAP: &str = ".swap";
const LOG_SWAP: &str = ".log.swap";

impl Opener<'_> {
    /// The directory, once nothing in it is on its way any more.
    pub(super) fn settled_survey(&mut self) -> Result<Survey> {
        let mut survey = Survey::read(self.home)?;
        survey.check_for_writing(self.home)?;
        let mut is_changed = false;
        if !survey.transient.is_empty() {
            self.complete_transient(&survey)?;
            survey = Survey::read(self.home)?;
            is_changed = true;
        }
        for base in survey.prepared.clone() {
            self.settle_prepared(&survey, base)?;
            is_changed = true;
        }
        for name in std::mem::take(&mut survey.stray_indexes) {
            let row = chain_row(ChainFact::StrayIndex);
            debug_assert_eq!(row.plan, ChainPlan::RemoveIndex);
            self.remove(&name.to_string())?;
            is_changed = true;
        }
        if is_changed {
            self.home.storage.sync_dir(&self.home.dir)?;
            survey = Survey::read(self.home)?;
        }
        self.report.left_alone.clone_from(&survey.left_alone);
        Ok(survey)
    }

    /// Kafka's passes 1 to 3 (`LogLoader`): what was replaced goes first, then its replacement gets its name.
    fn complete_transient(&mut self, survey: &Survey) -> Result<()> {
        let lowest_cleaned = survey
            .transient
            .iter()
            .filter(|(_, kind)| *kind == FileName::Cleaned)
            .filter_map(|(name, _)| number_of(name))
            .min();
        let mut swaps = Vec::new();
        for (name, kind) in &survey.transient {
            let is_unfinished = lowest_cleaned.is_some_and(|l| number_of(name) >= Some(l));
            let transient = match kind {
                FileName::Deleted => Transient::Deleted,
                FileName::Cleaned => Transient::Cleaned,
                _ if is_unfinished => Transient::UnfinishedSwap,
                _ => Transient::Swap,
            };
            match chain_row(ChainFact::Transient(transient)).plan {
                ChainPlan::CompleteSwap => swaps.push(name.as_str()),
                _ => self.remove(name)?,
            }
        }
        let replaced: Vec<Range<Offset>> = swaps
            .iter()
            .filter(|name| name.ends_with(LOG_SWAP))
            .map(|name| self.range_of_swap(name))
            .collect::<Result<_>>()?;
        for entry in self.home.storage.list(&self.home.dir)? {
            let name = entry.name.to_string_lossy().into_owned();
            let is_replaced = |number: Offset| replaced.iter().any(|range| range.contains(&number));
            if !name.ends_with(SWAP) && number_of(&name).is_some_and(is_replaced) {
                self.remove(&name)?;
            }
        }
        for name in swaps {
            let to = name.strip_suffix(SWAP).unwrap_or(name);
            let dir = &self.home.dir;
            self.home.storage.rename(&dir.join(name), &dir.join(to))?;
        }
        self.home.storage.sync_dir(&self.home.dir)
    }

    fn range_of_swap(&self, name: &str) -> Result<Range<Offset>> {
        let base = number_of(name).unwrap_or_default();
        let walked = walk_file(self.home, self.home.dir.join(name), base)?;
        Ok(base..walked.end.max(base.saturating_add(1)))
    }

    fn settle_prepared(&mut self, survey: &Survey, base: Offset) -> Result<()> {
        let name = FileName::Prepared(base);
        let copy = walk_file(self.home, self.home.path(name), base)?;
        let prepared = if copy.is_empty {
            Prepared::Empty
        } else if copy.first.is_none() {
            Prepared::NoBatch
        } else if copy.end <= self.end_around(survey, base)? {
            Prepared::WithinTheLog
        } else {
            Prepared::BeyondTheLog
        };
        let dir = &self.home.dir;
        let rename = |to: FileName| {
            let storage = &self.home.storage;
            storage.rename(&dir.join(name.to_string()), &self.home.path(to))
        };
        match chain_row(ChainFact::Prepared(prepared)).plan {
            ChainPlan::RenamePrepared => {
                // Its content was synced under the other name.
                rename(FileName::Log(copy.first.unwrap_or(base)))?;
                self.report.derived.push(name.to_string());
            }
            ChainPlan::SetPreparedAside => {
                let cut = self.free_cut(base)?;
                rename(cut)?;
                self.report.set_aside.push(cut.to_string());
            }
            _ => self.remove(&name.to_string())?,
        }
        Ok(())
    }

    /// Where the batches of the segment around `base` end; everything where a later segment stands.
    fn end_around(&self, survey: &Survey, base: Offset) -> Result<Offset> {
        let Some(segment) = survey.segments.get(survey.index_for(base)) else {
            return Ok(Offset::ZERO);
        };
        if segment.base > base {
            return Ok(Offset::ZERO);
        }
        let path = self.home.path(FileName::Log(segment.base));
        Ok(walk_file(self.home, path, segment.base)?.end)
    }

    pub(super) fn remove(&mut self, name: &str) -> Result<()> {
        match self.home.storage.remove(&self.home.dir.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => {
                self.report.removed.push(name.to_owned());
                Ok(())
            }
        }
    }

    pub(super) fn remove_quietly(&self, name: FileName) -> Result<()> {
        match self.home.storage.remove(&self.home.path(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Bounds {
    /// Reports what is missing before the first segment and between segments that were sealed; `end` is where the log ends.
    pub(super) fn report_missing(
        &mut self,
        survey: &Survey,
        end: Offset,
        report: &mut PartitionRecovery,
    ) {
        if let Some(first) = survey.segments.first() {
            let first_fact = if first.base > self.log_start {
                FirstSegment::AboveStart
            } else {
                FirstSegment::AtOrBelowStart
            };
            let fact = ChainFact::First {
                first: first_fact,
                writer: self.writer,
            };
            match chain_row(fact).plan {
                ChainPlan::ReportMissing => {
                    report.add_gap(self.log_start, first.base, GapCause::Missing);
                }
                ChainPlan::IgnoreKnown => self.log_start = first.base,
                _ => {}
            }
        }
        for entry in &self.list.entries {
            let found = survey
                .segments
                .binary_search_by_key(&entry.base, |s| s.base);
            let Err(above) = found else { continue };
            if entry.end <= self.log_start || above == 0 {
                continue;
            }
            // An entry of an earlier time, or of another log: where the segment below reaches across, nothing was lost.
            let below = above.checked_sub(1).and_then(|i| survey.segments.get(i));
            let reaches = below.and_then(|below| self.listed(below.base));
            if reaches.is_none_or(|below| below.end > entry.base) {
                continue;
            }
            let link = ChainFact::Link(Link::Lost);
            debug_assert_eq!(chain_row(link).plan, ChainPlan::ReportMissing);
            let next = survey.segments.get(above).map_or(end, |next| next.base);
            // Above the durable end a power cut takes files with what was in them.
            let to = entry.end.min(next).min(self.known_end.unwrap_or(end));
            report.add_gap(entry.base.max(self.log_start), to, GapCause::Missing);
        }
    }
}

/// What a file of batches under any name holds.
struct Content {
    /// No byte that is not zero.
    is_empty: bool,
    first: Option<Offset>,
    /// Behind the last good batch before the first bad spot.
    end: Offset,
}

fn walk_file(home: &SegmentHome, path: PathBuf, base: Offset) -> Result<Content> {
    let file = home.storage.open(&path, Access::Read)?;
    let end = FilePosition::from_u64(file.len()?).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "the segment is above 2 GiB").path_is(&path)
    })?;
    let mut content = Content {
        is_empty: end == FilePosition::ZERO,
        first: None,
        end: base,
    };
    let start = WalkStart {
        position: FilePosition::ZERO,
        end,
        expected: base,
        rule: OffsetRule::Ascending,
        max_decompressed_bytes: DEFAULT_MAX_DECOMPRESSED_BYTES,
    };
    let mut walker = Walker::new(Arc::clone(&file), &path, start);
    loop {
        match walker.step()? {
            Step::Batch(found) => {
                content.first = content.first.or(Some(found.batch.base_offset()));
                content.end = found.batch.next_offset();
            }
            Step::OldFormat { from, to, .. } => {
                content.first = content.first.or(Some(from));
                content.end = to;
            }
            Step::Bad(spot) => {
                let is_zeros =
                    spot.kind == BadKind::ZeroTail && spot.position == FilePosition::ZERO;
                content.is_empty |= is_zeros;
                return Ok(content);
            }
            Step::End => return Ok(content),
        }
    }
}

/// The number before the first dot of a name, as Kafka reads it.
fn number_of(name: &str) -> Option<Offset> {
    let digits = name.split('.').next()?;
    let is_number = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    let number = is_number.then(|| digits.parse().ok()).flatten()?;
    Offset::from_i64(number)
}

//! The tail, done: segments from the recovery point on are walked, cut, copied or synced as the table says, and their indexes
//! derived anew.

use std::sync::Arc;

use super::fold::Fold;
use super::report::TornTail;
use super::survey::{Survey, Surveyed};
use super::{Bounds, Opener};
use crate::error::{Error, ErrorKind, GapCause, Result};
use crate::limits::CUT_TAIL_COPY_BYTES;
use crate::offset::{FilePosition, Offset};
use crate::partition::recovery::{
    Boot, ChainFact, ChainPlan, Link, SpotPlace, TailFact, TailPlan, Unsynced, Writer, chain_row,
    tail_row,
};
use crate::segment::{
    AbortedTransaction, ActiveSegment, BadKind, BadSpot, FileName, GapKind, OffsetRule, Rebuilt,
    SealedFacts, SegmentFiles, SegmentShape, copy_tail, is_copied, rebuild,
};
use crate::storage::Access;
use crate::timestamp::Timestamp;

/// So many torn tails are kept that were cut at one offset: a crash that comes again and again must not fill the disk.
const MOST_CUT_TAILS: u32 = 8;

/// A segment that was walked.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) rebuilt: Rebuilt,
    pub(super) aborted: Vec<AbortedTransaction>,
    /// The first batch at or above the durable end.
    pub(super) boundary: Option<(FilePosition, Offset)>,
    /// The first batch at or above the base of the next segment.
    pub(super) overlap: Option<FilePosition>,
    pub(super) modified: Timestamp,
}

/// Where a walk over the tail came to.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) scanned: Vec<Scanned>,
    /// Bytes behind the end that are to be cut, and what is wrong with them.
    torn: Option<BadSpot>,
    /// How many of the surveyed segments belong to the log.
    kept_count: usize,
    /// Nothing can be read behind damage in the last segment: no append may follow there.
    last_is_lost: bool,
}

/// What stands behind the batches of a segment that takes no more appends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rest {
    /// Space that was made ahead, when the batches reach up to the next segment.
    Prepared,
    /// Damage, in the last segment; nobody need know how far it reached.
    Lost,
}

/// What is shown after all was done.
#[derive(Debug)]
pub(super) enum Placed {
    Active {
        sealed: Vec<Arc<SegmentFiles>>,
        facts: Vec<SealedFacts>,
        active: ActiveSegment,
    },
    /// The medium has no room for the copy: this is the durable part.
    Pending {
        sealed: Vec<Arc<SegmentFiles>>,
        end: Offset,
        error: Error,
    },
}

impl Opener<'_> {
    /// Walks the segments from `from` on, and finds where the log ends. Cuts only what a crash of an earlier recovery left double.
    pub(super) fn walk_tail(
        &mut self,
        survey: &Survey,
        bounds: &Bounds,
        from: usize,
        fold: &mut Fold,
    ) -> Result<Tail> {
        let mut tail = Tail {
            scanned: Vec::new(),
            torn: None,
            kept_count: survey.segments.len(),
            last_is_lost: false,
        };
        for (index, segment) in survey.segments.iter().enumerate().skip(from) {
            let next = survey.segments.get(index.saturating_add(1));
            let next = next.map(|next| next.base);
            let mut scanned = self.scan(bounds, segment, next, Some(fold))?;
            self.report.scanned_segments = self.report.scanned_segments.saturating_add(1);
            let read = u64::from(segment.size_bytes);
            self.report.scanned_bytes = self.report.scanned_bytes.saturating_add(read);
            if let (Some(overlap), Some(next)) = (scanned.overlap, next)
                && is_copied(
                    self.home,
                    segment.base,
                    overlap,
                    scanned.rebuilt.valid,
                    next,
                )?
            {
                debug_assert_eq!(
                    chain_row(ChainFact::Link(Link::Overlap)).plan,
                    ChainPlan::CutLower
                );
                self.cut_overlap(segment.base, overlap)?;
                let aborted = scanned.aborted;
                scanned = self.scan(bounds, segment, Some(next), None)?;
                scanned.aborted = aborted;
            }
            let is_end = self.judge(bounds, &scanned, next, &mut tail);
            let trimmed_hole = next.filter(|next| scanned.rebuilt.end < *next);
            if let Some(next) = trimmed_hole.filter(|next| !is_end && *next <= bounds.log_start) {
                self.forget_producers(fold, next)?;
            }
            tail.scanned.push(scanned);
            if is_end {
                tail.kept_count = index.saturating_add(1);
                break;
            }
        }
        Ok(tail)
    }

    pub(super) fn scan(
        &self,
        bounds: &Bounds,
        segment: &Surveyed,
        next: Option<Offset>,
        mut fold: Option<&mut Fold>,
    ) -> Result<Scanned> {
        let next = next.unwrap_or(Offset::MAX);
        let (mut aborted, mut boundary, mut overlap) = (Vec::new(), None, None);
        let rebuilt = rebuild(
            self.home,
            segment.base,
            bounds.expectations(segment.base),
            self.settings,
            bounds.durable_end,
            &mut |found| {
                let base = found.batch.base_offset();
                if base >= next {
                    // A tail that was copied starts exactly where the next segment does. A batch above that has a damaged base offset: it
                    // stays where it is, and readers meet it as a gap.
                    if base == next || overlap.is_some() {
                        overlap = overlap.or(Some(found.position));
                    }
                    return Ok(());
                }
                // Cut away by a truncation to the log start within it, whose segment begins there.
                if found.batch.next_offset() > next {
                    return Ok(());
                }
                if base >= bounds.durable_end {
                    boundary = boundary.or(Some((found.position, base)));
                }
                if let Some(fold) = &mut fold {
                    aborted.extend(fold.take(&found.batch));
                }
                Ok(())
            },
        )?;
        Ok(Scanned {
            rebuilt,
            aborted,
            boundary,
            overlap,
            modified: segment.modified,
        })
    }

    /// The higher segment has the copy; its name is made to last before the source is cut.
    fn cut_overlap(&mut self, base: Offset, at: FilePosition) -> Result<()> {
        self.home.storage.sync_dir(&self.home.dir)?;
        self.cut_file(base, at)
    }

    pub(super) fn cut_file(&self, base: Offset, at: FilePosition) -> Result<()> {
        let path = self.home.path(FileName::Log(base));
        let file = self.home.storage.open(&path, Access::Write)?;
        file.set_len(at.to_u64())?;
        file.sync_all()
    }

    /// Whether the log ends in this segment.
    fn judge(
        &mut self,
        bounds: &Bounds,
        scanned: &Scanned,
        next: Option<Offset>,
        tail: &mut Tail,
    ) -> bool {
        let rebuilt = &scanned.rebuilt;
        for gap in &rebuilt.gaps {
            let cause = match gap.cause {
                GapKind::Damaged(_) => GapCause::Damaged,
                GapKind::OldFormat => GapCause::OldFormat,
            };
            let place = SpotPlace::BelowWithMore;
            if tail_row(TailFact::Spot { place }).plan == TailPlan::ServeGap {
                let from = gap.from.max(bounds.log_start);
                // What stands there in a file that is not this segment's says nothing of the next segment.
                let to = gap.to.min(next.unwrap_or(gap.to));
                self.report.add_gap(from, to, cause);
            }
        }
        match &rebuilt.bad {
            // Prepared space, or rubbish, behind a segment that has all its batches.
            Some(spot) if next.is_some_and(|next| spot.from >= next) => false,
            Some(spot) => {
                // A batch across the log start has lost nothing that was durable when only its hidden part lies below the durable end. One that
                // is hidden as a whole, in a segment that waits to be removed, ends nothing.
                let is_hidden = next.is_some_and(|next| next <= bounds.log_start);
                let from = spot.from.max(bounds.log_start);
                let place = if from >= bounds.durable_end && !is_hidden {
                    SpotPlace::AboveDurableEnd
                } else {
                    SpotPlace::BelowToTheEnd
                };
                match tail_row(TailFact::Spot { place }).plan {
                    TailPlan::CutTorn => {
                        tail.torn = Some(spot.clone());
                        true
                    }
                    _ => {
                        let known = bounds.known_end.unwrap_or(spot.from);
                        let to = next.unwrap_or(known);
                        self.report.add_gap(from, to, GapCause::Damaged);
                        tail.last_is_lost = next.is_none();
                        false
                    }
                }
            }
            None => self.judge_hole(bounds, rebuilt, next),
        }
    }

    fn judge_hole(&mut self, bounds: &Bounds, rebuilt: &Rebuilt, next: Option<Offset>) -> bool {
        let Some(next) = next.filter(|next| rebuilt.end < *next) else {
            return false;
        };
        let listed = bounds.listed(rebuilt.base);
        let is_hole = bounds.rule(rebuilt.base) == OffsetRule::Dense
            || listed.is_some_and(|entry| entry.end > rebuilt.end);
        // What a trim hides is missed by nobody, and says nothing of what lies above it.
        let from = rebuilt.end.max(bounds.log_start);
        let link = match is_hole && from < next {
            false => Link::Meets,
            true if from < bounds.durable_end => Link::HoleBelowDurable,
            true => Link::HoleAboveDurable,
        };
        match chain_row(ChainFact::Link(link)).plan {
            ChainPlan::EndLogThere => true,
            ChainPlan::ReportMissing => {
                self.report.add_gap(from, next, GapCause::Missing);
                false
            }
            _ => false,
        }
    }

    /// Does what the table says before the tail may be shown, and puts the segments together. `before` are the segments below the
    /// walked ones.
    ///
    /// 1. Keep a copy of a torn tail; rename later segments. Crash after: the same end is found again.
    /// 2. Copy what no sync has vouched for, segment by segment: copy and sync, rename, sync the directory, cut the source. Crash
    ///    between rename and cut: the chain's row of overlaps.
    /// 3. Write the indexes of sealed segments, cut the last one to its end. Crash after: they are derived again.
    /// 4. Sync each walked segment, unless all of it was durable. Crash before: nobody has seen more than was durable.
    pub(super) fn place_tail(
        &mut self,
        survey: &Survey,
        bounds: &Bounds,
        mut tail: Tail,
        before: Vec<Arc<SegmentFiles>>,
    ) -> Result<Placed> {
        self.set_aside_torn(survey, &tail)?;
        let has_tail = tail.scanned.iter().any(|s| s.boundary.is_some());
        let plan = tail_row(TailFact::Shown {
            owner: bounds.owner,
            boot: bounds.boot,
            tail: if has_tail {
                Unsynced::Records
            } else {
                Unsynced::Nothing
            },
        })
        .plan;
        if plan == TailPlan::CopyThenShow
            && let Some((index, error)) = self.copy_tails(bounds, &mut tail)?
        {
            return Ok(self.pending(bounds, &tail, before, index, error));
        }
        if bounds.writer == Writer::Ours && bounds.boot != Boot::Another {
            self.name_again(bounds, &tail)?;
        }
        let is_cut = tail.torn.is_some();
        // The page cache may show a truncation that no sync has covered: nobody may see it undone.
        let may_be_cached = bounds.boot != Boot::Another;
        let placed = self.seal_and_resume(bounds, tail, before)?;
        if let Placed::Active { sealed, active, .. } = &placed
            && (is_cut || may_be_cached || plan != TailPlan::Show)
        {
            let first = survey.segments.get(bounds.first_to_walk(survey));
            let first = first.map_or(Offset::ZERO, |first| first.base);
            for files in sealed.iter().filter(|files| files.base() >= first) {
                files.sync()?;
            }
            active.files().sync()?;
        }
        Ok(placed)
    }

    fn set_aside_torn(&mut self, survey: &Survey, tail: &Tail) -> Result<()> {
        let last = tail.scanned.last().map(|scanned| &scanned.rebuilt);
        if let (Some(spot), Some(rebuilt)) = (&tail.torn, last)
            && spot.kind != BadKind::ZeroTail
        {
            let bytes = rebuilt.file_bytes.saturating_sub(spot.position.to_u64());
            let kept_as = self.keep_copy_of(spot, rebuilt, bytes)?;
            self.report.torn = Some(TornTail {
                from: spot.from,
                bytes,
                what: spot.what,
                kept_as,
            });
        }
        let later = survey.segments.get(tail.kept_count..).unwrap_or_default();
        self.set_aside(later)
    }

    /// Renames whole segments that are no part of the log; needs no room.
    pub(super) fn set_aside(&mut self, segments: &[Surveyed]) -> Result<()> {
        for segment in segments {
            let to = self.free_cut(segment.base)?;
            let from = self.home.path(FileName::Log(segment.base));
            self.home.storage.rename(&from, &self.home.path(to))?;
            self.report.set_aside.push(to.to_string());
            for name in FileName::of_segment(segment.base).iter().skip(1) {
                self.remove_quietly(*name)?;
            }
        }
        match segments.is_empty() {
            true => Ok(()),
            false => self.home.storage.sync_dir(&self.home.dir),
        }
    }

    /// A name for what falls off: what an earlier recovery set aside under the same number stays.
    pub(super) fn free_cut(&self, base: Offset) -> Result<FileName> {
        let entries = self.home.storage.list(&self.home.dir)?;
        let names = entries.iter().filter_map(|entry| entry.name.to_str());
        let highest = names.filter_map(|name| match FileName::parse(name) {
            FileName::Cut(taken) if taken == base => Some(1),
            FileName::CutAgain(taken, count) if taken == base => Some(count),
            _ => None,
        });
        Ok(match highest.max() {
            None => FileName::Cut(base),
            Some(count) => FileName::CutAgain(base, count.saturating_add(1)),
        })
    }

    /// A convenience for people: without room, or with too much, the tail is cut all the same.
    fn keep_copy_of(
        &self,
        spot: &BadSpot,
        rebuilt: &Rebuilt,
        bytes: u64,
    ) -> Result<Option<String>> {
        let Some(to) = FilePosition::from_u64(rebuilt.file_bytes) else {
            return Ok(None);
        };
        if bytes > CUT_TAIL_COPY_BYTES {
            return Ok(None);
        }
        let name = self.free_cut(spot.from)?;
        if matches!(name, FileName::CutAgain(_, count) if count > MOST_CUT_TAILS) {
            return Ok(None);
        }
        match copy_tail(self.home, rebuilt.base, spot.position, to, spot.from) {
            Ok(copy) => {
                self.home.storage.rename(&copy, &self.home.path(name))?;
                Ok(Some(name.to_string()))
            }
            Err(error) if error.kind() == ErrorKind::Full => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn pending(
        &mut self,
        bounds: &Bounds,
        tail: &Tail,
        mut sealed: Vec<Arc<SegmentFiles>>,
        index: usize,
        error: Error,
    ) -> Placed {
        let mut end = bounds.durable_end;
        for (place, scanned) in tail
            .scanned
            .iter()
            .enumerate()
            .take(index.saturating_add(1))
        {
            let rebuilt = &scanned.rebuilt;
            let is_last = place == index;
            let (segment_end, size) = match scanned.boundary {
                Some((at, offset)) if is_last => (offset, at),
                _ => (rebuilt.end, rebuilt.valid),
            };
            end = segment_end;
            let shape = SegmentShape {
                base: rebuilt.base,
                end: segment_end,
                size_bytes: size.get(),
                sealed_at: Some(scanned.modified),
            };
            sealed.push(SegmentFiles::sealed(self.home.clone(), shape));
        }
        self.report.pending = Some(error.clone());
        Placed::Pending { sealed, end, error }
    }

    fn seal_and_resume(
        &mut self,
        bounds: &Bounds,
        tail: Tail,
        mut sealed: Vec<Arc<SegmentFiles>>,
    ) -> Result<Placed> {
        let bases: Vec<Offset> = tail.scanned.iter().map(|s| s.rebuilt.base).collect();
        let mut facts = Vec::new();
        let mut active = None;
        for (place, scanned) in tail.scanned.into_iter().enumerate() {
            let next = bases.get(place.saturating_add(1)).copied();
            let before = sealed.last().and_then(|files| files.sealed_at());
            let sealed_at = before.map_or(scanned.modified, |at| at.max(scanned.modified));
            if next.is_none() && !tail.last_is_lost {
                active = Some(self.resume(scanned)?);
                continue;
            }
            let end = next.unwrap_or(bounds.known_end.unwrap_or(scanned.rebuilt.end));
            let rest = match next {
                Some(_) => Rest::Prepared,
                None => Rest::Lost,
            };
            let (files, sealed_facts) = self.seal(scanned, end, rest, sealed_at)?;
            sealed.push(files);
            facts.push(sealed_facts);
        }
        let active = match active {
            Some(active) => active,
            None => {
                let at = sealed.last().map_or(bounds.log_start, |last| last.end());
                let at = at.max(bounds.known_end.unwrap_or(at));
                // Nothing of it can be read, and nobody knows how far it reached: it gives up its name to the one that goes on.
                if let Some(lost) = sealed.pop_if(|last| last.base() == at) {
                    facts.pop();
                    let modified = lost.sealed_at().unwrap_or(Timestamp::from_millis(0));
                    self.set_aside(&[Surveyed::bare(at, modified)])?;
                }
                ActiveSegment::create(self.home.clone(), at, self.settings)?
            }
        };
        Ok(Placed::Active {
            sealed,
            facts,
            active,
        })
    }

    fn resume(&self, scanned: Scanned) -> Result<ActiveSegment> {
        let home = self.home.clone();
        let mut active = ActiveSegment::resume(home, scanned.rebuilt, self.settings)?;
        for aborted in &scanned.aborted {
            active.append_aborted(aborted)?;
        }
        Ok(active)
    }

    /// A walked segment that takes no more appends: its indexes are written, and what stands behind its batches stays when it is
    /// damage, and goes when it was only prepared.
    fn seal(
        &mut self,
        scanned: Scanned,
        end: Offset,
        rest: Rest,
        sealed_at: Timestamp,
    ) -> Result<(Arc<SegmentFiles>, SealedFacts)> {
        let rebuilt = scanned.rebuilt;
        let base = rebuilt.base;
        let is_all = rebuilt.bad.as_ref().is_none_or(|spot| spot.from >= end);
        let is_whole = is_all && rest == Rest::Prepared;
        let size_bytes = match is_whole {
            true => rebuilt.valid.get(),
            false => u32::try_from(rebuilt.file_bytes).unwrap_or(u32::MAX),
        };
        if is_whole && rebuilt.file_bytes > rebuilt.valid.to_u64() {
            self.cut_file(base, rebuilt.valid)?;
        }
        let derived = SealedFacts {
            base,
            end: rebuilt.end,
            sealed_at,
            prefix_crc: rebuilt.prefix_crc(),
            aborted_crc: None,
        };
        let written = rebuilt.write_indexes(self.home, &scanned.aborted, sealed_at);
        let facts = match written {
            Ok(facts) => facts,
            // Without room they are derived in memory by whoever needs them; aborted transactions cannot be.
            Err(error) if error.kind() == ErrorKind::Full && scanned.aborted.is_empty() => derived,
            Err(error) => return Err(error),
        };
        let shape = SegmentShape {
            base,
            end,
            size_bytes,
            sealed_at: Some(sealed_at),
        };
        let files = SegmentFiles::sealed(self.home.clone(), shape);
        files.vouch_for_aborted(facts.aborted_crc);
        Ok((files, facts))
    }
}

//! Cutting the tail and starting anew. Neither waits for a reader: the generation goes up first, and who read meanwhile throws
//! away what it read.

use std::ops::Range;
use std::sync::Arc;

use super::{CommitTurn, PartitionCore, Tail, WriterState};
use crate::epochs::{Change, Epochs};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::offset::Offset;
use crate::producers::Producers;
use crate::segment::{
    AbortedTransaction, ActiveSegment, FileName, OffsetRule, SegmentFiles, SegmentHome, Step,
    rebuild,
};
use crate::storage::replace_file;

use super::open::{PendingRecovery, load_producers, replay};
use super::options::HighWatermark;

impl PartitionCore {
    /// `Replica::truncate_to`: cuts at the batch that holds `offset`; returns the real new end, which is durable.
    ///
    /// A crash between two steps leaves:
    /// 1. wrote a lower durable end and the next generation to the facts, synced: the log as it was, its tail to be judged as un-synced;
    /// 2. published the lower end: the same;
    /// 3. removed later segments, newest first: a shorter log without holes;
    /// 4. cut the segment and what stands beside it: the log as it should be, or a little longer while the cut is not synced;
    /// 5. synced the segment and the directory: done.
    ///
    /// # Errors
    /// `Full` in step 1: nothing has changed. `Full` in step 3 or 4 (some filesystems need room to remove or to cut): readers see what
    /// certainly stays, and the next change first recovers, as after a crash there; the log then ends somewhere between `offset` and where it
    /// ended. Call again.
    pub(crate) fn truncate_to(&self, offset: Offset) -> Result<Offset> {
        let cut = self.with_reserve(|| self.try_to_truncate(offset));
        cut.map_err(|error| self.stop_if_in_doubt(error))
    }

    fn try_to_truncate(&self, offset: Offset) -> Result<Offset> {
        let turn = self.take_commit_turn();
        self.check_may_truncate(offset)?;
        self.finish_pending(&mut self.writer.lock())?;
        let marks = self.published.watermarks();
        if offset >= marks.end {
            self.cut_epochs(&mut self.writer.lock(), marks.end)?;
            return Ok(marks.end);
        }
        if offset <= marks.start {
            self.start_over(&turn, offset)?;
            return Ok(offset);
        }
        let snapshot = self.published.snapshot();
        let index = snapshot.segment_for(offset).unwrap_or(0);
        let Some(target) = snapshot.segments.get(index) else {
            return Err(self.closed());
        };
        if nothing_stays(target, marks.start..offset)? {
            self.start_over(&turn, marks.start)?;
            return Ok(marks.start);
        }
        let bound = end_below(target, snapshot.rule_for(target), offset)?.max(marks.start);
        self.side.lock().update_synced(|facts| {
            facts.durable_end = facts.durable_end.min(bound);
            facts.recovery_point = facts.recovery_point.min(bound);
            facts.generation = facts.generation.saturating_add(1);
        })?;
        let mut writer = self.writer.lock();
        // Appends may have rolled meanwhile; the segment of the cut is the same.
        let all = self.published.snapshot().segments;
        let (kept, gone) = all.split_at(index.saturating_add(1).min(all.len()));
        let generation = self.published.truncating(bound, None, kept.to_vec());
        let stays = |files: &SegmentFiles| kept.iter().any(|kept| std::ptr::eq(&**kept, files));
        turn.forget(stays);
        let cut = self.cut(&mut writer, target, gone, offset);
        let end = *cut.as_ref().unwrap_or(&bound);
        turn.note_cut(generation, end);
        cut.map_err(|error| self.interrupted(&mut writer, error))?;
        drop(writer);
        let synced = self.home.storage.sync_dir(&self.home.dir);
        synced.map_err(|error| self.close_latch(error))?;
        turn.sync()?;
        Ok(end)
    }

    /// A cut stopped half-way. For want of room the next change recovers from there, as after a crash; anything else stops writing.
    fn interrupted(&self, writer: &mut WriterState, error: Error) -> Error {
        if error.kind() != ErrorKind::Full {
            return self.close_latch(error);
        }
        writer.tail = Tail::Pending(PendingRecovery::new(error.clone()));
        error
    }

    fn check_may_truncate(&self, offset: Offset) -> Result<()> {
        self.latch.check()?;
        if self.published.is_closed() {
            return Err(self.closed());
        }
        let high = self.published.watermarks().high;
        if self.options().high_watermark == HighWatermark::External && offset < high {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("offset {offset} is below the high watermark {high}, which was promised to readers"),
            )
            .remedy("truncate to the high watermark or above, or reset the partition"));
        }
        Ok(())
    }

    /// Steps 3 and 4. Readers hold no lock that this waits for.
    fn cut(
        &self,
        writer: &mut WriterState,
        target: &Arc<SegmentFiles>,
        gone: &[Arc<SegmentFiles>],
        offset: Offset,
    ) -> Result<Offset> {
        for segment in gone.iter().rev() {
            segment.remove()?;
        }
        self.forget_unfinished_roll(writer)?;
        let mut active = match std::mem::replace(&mut writer.tail, Tail::Closed) {
            Tail::Active(active) if gone.is_empty() => active,
            _ => self.grow_again(target)?,
        };
        let end = active.truncate_to(offset)?;
        self.published.truncated();
        let files = Arc::clone(active.files());
        writer.tail = Tail::Active(active);
        writer.active_since = self.shared.clock.now().into();
        self.remove_snapshots(|snapshot| snapshot > end)?;
        self.cut_epochs(writer, end)?;
        let base = files.base();
        self.side
            .lock()
            .retain_sealed(|sealed| sealed.base < base)?;
        let mut segments = self.published.snapshot().segments.to_vec();
        segments.pop();
        segments.push(Arc::clone(&files));
        writer.producers = replay_producers(
            &self.home,
            &segments,
            self.published.watermarks().start,
            end,
        )?;
        // What was replayed from may have lost its segment; Kafka calls such a snapshot stray.
        let stays = |snapshot: Offset| segments.iter().any(|segment| segment.base() == snapshot);
        self.remove_snapshots(|snapshot| !stays(snapshot))?;
        self.published.segments_changed(segments);
        let high = self.published.watermarks().high;
        self.published
            .appended(end, writer.producers.first_unstable(high));
        self.commit.list(&files);
        Ok(end)
    }

    /// A sealed segment becomes the active one again.
    fn grow_again(&self, target: &SegmentFiles) -> Result<ActiveSegment> {
        let settings = Self::segment_settings(&self.options());
        let rule = self.published.snapshot().rule_for(target);
        let passing = Offset::MAX;
        let mut aborted = Vec::new();
        aborted.extend(target.aborted(Offset::ZERO..Offset::MAX)?.0);
        let rebuilt = rebuild(
            &self.home,
            target.base(),
            rule,
            settings,
            passing,
            &mut |_| Ok(()),
        )?;
        target.release();
        let mut active = ActiveSegment::resume(self.home.clone(), rebuilt, settings)?;
        for transaction in &aborted {
            active.append_aborted(transaction)?;
        }
        Ok(active)
    }

    fn cut_epochs(&self, writer: &mut WriterState, end: Offset) -> Result<()> {
        let mut epochs = writer.epochs.clone();
        if epochs.cut_end(end) == Change::Changed {
            self.write_epochs(&epochs)?;
            writer.epochs = epochs;
        }
        Ok(())
    }

    /// Writes the history of leader epochs and vouches for it; durable on return. A crash in between leaves a file that nothing vouches for,
    /// and the batches say the same.
    pub(super) fn write_epochs(&self, epochs: &Epochs) -> Result<()> {
        self.write_epochs_file(epochs)?;
        self.vouch_for(epochs)
    }

    pub(super) fn write_epochs_file(&self, epochs: &Epochs) -> Result<()> {
        let path = self.home.path(FileName::LeaderEpochs);
        replace_file(&*self.home.storage, &path, epochs.to_text().as_bytes())
    }

    /// From here on batches are held against these epochs, by readers and by the next open; a checksum that is noted later only costs the
    /// check.
    pub(super) fn vouch_for(&self, epochs: &Epochs) -> Result<()> {
        self.published.epochs_changed(epochs);
        let checksum = epochs.checksum();
        let mut side = self.side.lock();
        side.note_synced(|facts| facts.epochs = Some(checksum))
            .map(drop)
    }

    pub(super) fn remove_snapshots(&self, is_gone: impl Fn(Offset) -> bool) -> Result<()> {
        for snapshot in snapshots(&self.home)?
            .into_iter()
            .filter(|snapshot| is_gone(*snapshot))
        {
            self.home
                .storage
                .remove(&self.home.path(FileName::Snapshot(snapshot)))?;
        }
        Ok(())
    }

    /// `Replica::reset_to`: drops everything; the log starts and ends at `offset`, durable on return (Kafka's truncateFullyAndStartAt).
    pub(crate) fn reset_to(&self, offset: Offset) -> Result<()> {
        let reset = self.with_reserve(|| {
            let turn = self.take_commit_turn();
            self.latch.check()?;
            if self.published.is_closed() {
                return Err(self.closed());
            }
            self.start_over(&turn, offset)
        });
        reset.map_err(|error| self.stop_if_in_doubt(error))
    }

    /// A crash between two steps leaves:
    /// 1. wrote start, durable end and the next generation to the facts, synced: segments outside of them, which opening removes, or a tail to be
    ///    judged as un-synced;
    /// 2. removed all segments, newest first: fewer of them;
    /// 3. made the new one: an empty log at the right place, also without it;
    /// 4. synced it with the directory: done.
    ///
    /// # Errors
    /// `Full` as of a truncation: before step 2 nothing has changed, later the next change recovers first.
    fn start_over(&self, turn: &CommitTurn<'_>, at: Offset) -> Result<()> {
        self.start_over_with(turn, &mut self.writer.lock(), at..at)?;
        turn.sync().map(drop)
    }

    /// As `start_over`, but for the sync: the files start over at the range's start, the log starts and ends at the range's end. What is then
    /// appended below the log start is there for nobody.
    pub(super) fn start_over_with(
        &self,
        turn: &CommitTurn<'_>,
        writer: &mut WriterState,
        range: Range<Offset>,
    ) -> Result<()> {
        self.side.lock().update_synced(|facts| {
            facts.log_start = range.end;
            facts.durable_end = range.start;
            facts.recovery_point = range.start;
            facts.generation = facts.generation.saturating_add(1);
        })?;
        let old = self.published.snapshot().segments;
        let generation = self.published.reset(range.end, Vec::new());
        turn.forget(|_| false);
        turn.note_cut(generation, Offset::ZERO);
        let started = self.replace_all(writer, &old, range.start);
        started.map_err(|error| self.interrupted(writer, error))
    }

    fn replace_all(
        &self,
        writer: &mut WriterState,
        old: &[Arc<SegmentFiles>],
        at: Offset,
    ) -> Result<()> {
        writer.tail = Tail::Closed;
        for segment in old.iter().rev() {
            segment.remove()?;
        }
        // What a trim, a roll or an earlier reset could not take away.
        for base in bases(&self.home)?.into_iter().rev() {
            for name in FileName::of_segment(base) {
                self.home.remove(name)?;
            }
        }
        writer.unfinished_roll = None;
        writer.to_unlink.clear();
        self.remove_snapshots(|_| true)?;
        writer.producers = Producers::default();
        writer.epochs = Epochs::default();
        self.write_epochs(&writer.epochs)?;
        self.side.lock().retain_sealed(|_| false)?;
        let settings = Self::segment_settings(&self.options());
        let active = ActiveSegment::create(self.home.clone(), at, settings)?;
        active.files().sync()?;
        self.published
            .segments_changed(vec![Arc::clone(active.files())]);
        writer.tail = Tail::Active(active);
        writer.active_since = self.shared.clock.now().into();
        Ok(())
    }
}

/// Whether a cut at the range's end takes everything from its start on: the batch that holds the end began at or before the log start. The log
/// then starts over there, because offsets below its start are never given again.
fn nothing_stays(segment: &SegmentFiles, range: Range<Offset>) -> Result<bool> {
    if segment.base() > range.start {
        return Ok(false);
    }
    let limit = limits::DEFAULT_MAX_DECOMPRESSED_BYTES;
    let mut walker = segment.walk_from(range.start, OffsetRule::Ascending, limit)?;
    loop {
        match walker.step()? {
            Step::Batch(found) if found.batch.last_offset() < range.start => {}
            Step::Batch(found) => return Ok(found.batch.last_offset() >= range.end),
            Step::OldFormat { to, .. } if to <= range.start => {}
            Step::OldFormat { to, .. } => return Ok(to > range.end),
            // What is damaged is cut with the rest.
            Step::Bad(_) | Step::End => return Ok(true),
        }
    }
}

/// A lower bound of where the log ends when it is cut at `offset`: behind a batch that certainly stays.
fn end_below(segment: &SegmentFiles, rule: OffsetRule, offset: Offset) -> Result<Offset> {
    let mut walker = segment.walk_from(
        offset,
        OffsetRule::Ascending,
        limits::DEFAULT_MAX_DECOMPRESSED_BYTES,
    )?;
    let mut end = segment.base();
    loop {
        match walker.step()? {
            Step::Batch(found) if found.batch.last_offset() < offset => {
                end = found.batch.next_offset();
            }
            Step::OldFormat { to, .. } if to <= offset => end = to,
            // Without holes the batch before it ends where this one begins.
            Step::Batch(found) if rule == OffsetRule::Dense => {
                return Ok(end.max(found.batch.base_offset()));
            }
            Step::End if rule == OffsetRule::Dense => {
                return Ok(end.max(segment.end().min(offset)));
            }
            Step::Batch(_) | Step::OldFormat { .. } | Step::Bad(_) | Step::End => return Ok(end),
        }
    }
}

/// The offsets of the snapshots in a partition's directory, ascending.
fn snapshots(home: &SegmentHome) -> Result<Vec<Offset>> {
    numbers(home, |name| match name {
        FileName::Snapshot(offset) => Some(offset),
        _ => None,
    })
}

/// The bases of the segments that stand in a partition's directory, ascending.
fn bases(home: &SegmentHome) -> Result<Vec<Offset>> {
    numbers(home, |name| match name {
        FileName::Log(base) => Some(base),
        _ => None,
    })
}

fn numbers(home: &SegmentHome, of: impl Fn(FileName) -> Option<Offset>) -> Result<Vec<Offset>> {
    let entries = home.storage.list(&home.dir)?;
    let names = entries.iter().filter_map(|entry| entry.name.to_str());
    let mut offsets: Vec<Offset> = names.filter_map(|name| of(FileName::parse(name))).collect();
    offsets.sort_unstable();
    Ok(offsets)
}

/// The aborted transactions whose marker stands in a sealed segment, from the log and the producers' state at its base.
pub(super) fn aborted_by_the_log(
    segments: &[Arc<SegmentFiles>],
    start: Offset,
    segment: &Arc<SegmentFiles>,
) -> Result<Vec<AbortedTransaction>> {
    let mut producers = replay_producers(segment.home(), segments, start, segment.base())?;
    let mut aborted = Vec::new();
    let range = segment.base()..segment.end();
    replay(std::slice::from_ref(segment), range, &mut |batch| {
        let marker = batch.control_marker().unwrap_or_default();
        aborted.extend(producers.apply(batch.header(), marker.as_ref()));
    })?;
    Ok(aborted)
}

/// The producers as they are at `end`: the newest snapshot that can be read, and the batches behind it.
fn replay_producers(
    home: &SegmentHome,
    segments: &[Arc<SegmentFiles>],
    start: Offset,
    end: Offset,
) -> Result<Producers> {
    // Deleting records forgets no producer (KAFKA-7190): what lies below the log start in its segment counts.
    let first = segments.first().map_or(start, |first| first.base());
    let snapshots = snapshots(home)?;
    let (mut producers, at) = load_producers(home, &snapshots, first..=end, &mut |_| {})?;
    replay(segments, at.unwrap_or(first)..end, &mut |batch| {
        let marker = batch.control_marker().unwrap_or_default();
        producers.apply(batch.header(), marker.as_ref());
    })?;
    Ok(producers)
}

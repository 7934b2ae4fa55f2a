//! The sync that all tickets of a partition share: one in flight, never under the writer lock, never retried after a failure.
//!
//! Who syncs holds the *commit turn*, a token and no lock. A sync goes in this order, and each step relies on the one before:
//!
//! 1. what is counted as un-synced is taken, so that what comes later is counted anew;
//! 2. the end is read: everything below it stands in a segment of the list;
//! 3. the list of un-synced segments is taken, and its files are synced, oldest first. Crash in between: a prefix without holes;
//! 4. the durable watermark moves, then the side file, by a plain write: it may be stale, never ahead;
//! 5. the turn is given back, and who waits looks again.
//!
//! A failed sync closes the partition's latch: no watermark moves, all tickets fail, reading goes on.

mod group;
mod requests;
mod ticket;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::facts::Noted;
use super::{FsyncPolicy, PartitionCore};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{BACKGROUND_SYNC_BYTES, BACKGROUND_SYNC_MS};
use crate::offset::Offset;
use crate::segment::SegmentFiles;
use crate::storage::StorageFile;
use crate::sync::{
    Condvar, Event, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use group::OpenGroup;
use requests::TimedKey;
pub(crate) use requests::{Lingering, SyncRequests, UnsyncedBudget};
pub use ticket::{Durable, Ticket};

/// The facts file is synced at most this often by background work.
const FACTS_SYNC_EVERY: Duration = Duration::from_secs(1);

/// The commit state of a partition.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    turn: Mutex<Turn>,
    turn_freed: Condvar,
    /// For futures: the turn was given back, the latch closed, or the partition.
    settled: Event,
    /// Oldest first; the last one is the active segment, when anything was appended to it since the last sync.
    unsynced: Mutex<Vec<UnsyncedSegment>>,
    unsynced_bytes: AtomicU64,
    /// Monotonic time of the first un-synced append, in microseconds; means nothing while nothing is un-synced.
    unsynced_since_micros: AtomicU64,
    /// Somebody looks when the un-synced bytes of now get old.
    is_watched: AtomicBool,
    /// The partition stands in the queue of [`SyncRequests`], or was just taken from it.
    asked: AtomicBool,
    /// Where the partition stands among the timed requests; changed only under their lock.
    timed: Mutex<Option<TimedKey>>,
    group: OpenGroup,
    cuts: Mutex<Vec<Cut>>,
    lingering: Mutex<Vec<Weak<dyn Lingering>>>,
    facts: Mutex<FactsSync>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Turn {
    #[default]
    Free,
    Taken,
}

/// A segment with bytes that no sync has covered, and the snapshot that was written when it started.
#[derive(Debug)]
struct UnsyncedSegment {
    files: Arc<SegmentFiles>,
    snapshot: Option<Arc<dyn StorageFile>>,
}

/// A truncation that raised the generation to `generation` and left nothing at `end` or above.
#[derive(Clone, Copy, Debug)]
struct Cut {
    generation: u64,
    end: Offset,
}

/// Whether the facts file has values that are not synced, and when it was synced last (monotonic).
#[derive(Debug, Default)]
struct FactsSync {
    is_stale: bool,
    synced_at: Option<Duration>,
}

/// Holding it keeps every sync of the partition away. Truncation, trimming and closing take it. It is given back when it is
/// dropped, a panic included.
#[derive(Debug)]
pub(crate) struct CommitTurn<'p> {
    core: &'p PartitionCore,
}

impl PartitionCore {
    /// Syncs all that was appended before the call, or shares a sync in flight; returns the durable end. `Partition::sync`.
    pub(crate) fn sync_now(&self) -> Result<Offset> {
        let target = self.published.watermarks().end;
        let is_durable = || self.published.watermarks().durable >= target;
        match self.take_commit_turn_unless(is_durable) {
            Some(turn) => turn.sync(),
            None => Ok(self.published.watermarks().durable),
        }
    }

    /// Waits until no sync is in flight, and keeps it so.
    pub(crate) fn take_commit_turn(&self) -> CommitTurn<'_> {
        let mut turn = self.commit.turn.lock();
        while *turn == Turn::Taken {
            self.commit.turn_freed.wait(&mut turn);
        }
        *turn = Turn::Taken;
        CommitTurn { core: self }
    }

    /// The turn, or nothing once `is_done` says that it is not needed.
    fn take_commit_turn_unless(&self, is_done: impl Fn() -> bool) -> Option<CommitTurn<'_>> {
        let mut turn = self.commit.turn.lock();
        loop {
            if is_done() {
                return None;
            }
            if *turn == Turn::Free {
                *turn = Turn::Taken;
                return Some(CommitTurn { core: self });
            }
            self.commit.turn_freed.wait(&mut turn);
        }
    }

    /// The turn, unless it stays with somebody else for `limit`.
    fn take_commit_turn_within(&self, limit: Duration) -> Option<CommitTurn<'_>> {
        let mut turn = self.commit.turn.lock();
        let is_taken = |turn: &mut Turn| *turn == Turn::Taken;
        let waited = (self.commit.turn_freed).wait_while_for(&mut turn, is_taken, limit);
        if waited.timed_out() && *turn == Turn::Taken {
            return None;
        }
        *turn = Turn::Taken;
        Some(CommitTurn { core: self })
    }

    /// Background work for a partition that was taken from the [`SyncRequests`]: writes what lingers, syncs if somebody asked or
    /// if the policy, the age or the amount of un-synced bytes asks for it, and syncs the facts at most once a second. It asks by
    /// itself for the next look; that is after the returned time.
    pub(crate) fn sync_if_due(&self) -> Result<Option<Duration>> {
        let now = self.shared.clock.monotonic();
        let next_linger = self.commit.write_lingering(now);
        // Before the sync reads the end: who asks from here on asks for the next one.
        let is_asked = self.commit.asked.swap(false, Ordering::AcqRel);
        let policy = self.options().fsync;
        let is_due = self
            .next_sync_in(policy, now)
            .is_some_and(|wait| wait.is_zero());
        if is_asked || is_due {
            self.take_commit_turn().sync()?;
        }
        let next_facts = self.sync_facts_if_due(now)?;
        let next_sync = self.next_sync_in(policy, now);
        let next = [next_linger, next_facts, next_sync];
        let next = next.into_iter().flatten().min();
        if let Some(wait) = next {
            self.shared
                .sync_requests
                .ask_at(self, now.saturating_add(wait));
        }
        Ok(next)
    }

    /// When the policy asks for a sync; zero is now, `None` never.
    fn next_sync_in(&self, policy: FsyncPolicy, now: Duration) -> Option<Duration> {
        if self.commit.unsynced_bytes() == 0 || self.latch.is_closed() {
            return None;
        }
        if self.is_sync_due_by_amount(policy) {
            return Some(Duration::ZERO);
        }
        let longest = match policy {
            FsyncPolicy::Interval(interval) => interval,
            _ => Duration::from_millis(BACKGROUND_SYNC_MS),
        };
        let since = self.commit.unsynced_since_micros.load(Ordering::Relaxed);
        let age = now.saturating_sub(Duration::from_micros(since));
        Some(longest.saturating_sub(age))
    }

    /// After an append, outside of the writer lock: asks for a background sync when the policy wants one, and sees to it that
    /// somebody looks when the un-synced bytes get old.
    pub(super) fn ask_for_sync_by_policy(&self, policy: FsyncPolicy) {
        let requests = &self.shared.sync_requests;
        if self.is_sync_due_by_amount(policy) {
            requests.ask(self);
        } else if !self.commit.is_watched.swap(true, Ordering::AcqRel) {
            let now = self.shared.clock.monotonic();
            if let Some(wait) = self.next_sync_in(policy, now) {
                requests.ask_at(self, now.saturating_add(wait));
            }
        }
    }

    /// Whether the amount of what is un-synced, apart from its age, asks for a sync.
    fn is_sync_due_by_amount(&self, policy: FsyncPolicy) -> bool {
        let bytes = self.commit.unsynced_bytes();
        match policy {
            FsyncPolicy::Always => bytes > 0,
            FsyncPolicy::Never => bytes >= BACKGROUND_SYNC_BYTES,
            FsyncPolicy::Interval(_) => false,
            FsyncPolicy::Bytes(most) => bytes >= most,
            FsyncPolicy::Records(most) => {
                let marks = self.published.watermarks();
                bytes > 0 && marks.end.distance_from(marks.durable) >= most
            }
        }
    }

    /// Syncs the facts when they have new values for a second; otherwise tells when to look again.
    fn sync_facts_if_due(&self, now: Duration) -> Result<Option<Duration>> {
        let mut facts = self.commit.facts.lock();
        if !facts.is_stale || self.published.is_closed() {
            return Ok(None);
        }
        let age = facts.synced_at.map(|at| now.saturating_sub(at));
        if let Some(age) = age
            && age < FACTS_SYNC_EVERY
        {
            return Ok(Some(FACTS_SYNC_EVERY.saturating_sub(age)));
        }
        self.latch.check()?;
        let noted = self.side.lock().note_synced(|_| {});
        let noted = noted.map_err(|error| self.close_latch(error))?;
        *facts = FactsSync {
            is_stale: noted == Noted::Later,
            synced_at: Some(now),
        };
        if facts.is_stale {
            return Ok(Some(FACTS_SYNC_EVERY));
        }
        drop(facts);
        self.rest_if_durable();
        Ok(None)
    }

    /// Stops writing for good, with the first cause; who waits for durability is told.
    pub(super) fn close_latch(&self, error: Error) -> Error {
        let failed = self.latch.close(error);
        self.commit.let_go_of_unsynced(&self.shared.unsynced);
        self.commit.settle();
        failed
    }

    /// A failed sync leaves in doubt what was written before it, names in the directory included: writing stops. Any other error says only that
    /// what was asked for did not happen.
    pub(super) fn stop_if_in_doubt(&self, error: Error) -> Error {
        match error.is_failed_sync() {
            true => self.close_latch(error),
            false => error,
        }
    }

    /// Before an append, outside of the writer lock: waits while the log has too many un-synced bytes. Who waits syncs: its own
    /// partition first, then any other that has something to sync.
    pub(super) fn wait_for_room(&self) -> Result<()> {
        let budget = &self.shared.unsynced;
        if budget.has_room() {
            return Ok(());
        }
        self.counters.stalls.add(1);
        loop {
            let freed = budget.listen();
            if budget.has_room() {
                return Ok(());
            }
            if self.commit.unsynced_bytes() > 0 {
                self.take_commit_turn().sync()?;
            } else if let Some(other) = self.shared.sync_requests.take_any() {
                other.commit.asked.store(true, Ordering::Release);
                match other.sync_if_due() {
                    // A failure is not ours: it closed the latch of that partition, and its bytes no longer count.
                    Ok(_) | Err(_) => {}
                }
            } else {
                requests::wait_a_moment(freed);
            }
        }
    }

    pub(crate) fn closed(&self) -> Error {
        Error::new(
            ErrorKind::Closed,
            format!("partition {} is closed", self.name),
        )
        .remedy("open the log again")
    }
}

impl CommitTurn<'_> {
    /// Brings everything appended before the call to the medium; returns the durable end.
    ///
    /// # Errors
    /// `Failed` with the first cause; the watermark does not move, and no further sync is tried.
    pub(crate) fn sync(&self) -> Result<Offset> {
        let core = self.core;
        core.latch.check()?;
        let commit = &core.commit;
        let counted = commit.unsynced_bytes.swap(0, Ordering::AcqRel);
        let marks = core.published.watermarks();
        let segments = std::mem::take(&mut *commit.unsynced.lock());
        if core.published.is_closed() && marks.durable < marks.end {
            core.shared.unsynced.release(counted);
            return Err(core.closed());
        }
        let synced = self.sync_segments(&segments);
        core.shared.unsynced.release(counted);
        if let Err(error) = synced {
            return Err(core.close_latch(error));
        }
        if segments.is_empty() && marks.durable == marks.end {
            return Ok(marks.end);
        }
        core.published.made_durable(marks.end);
        self.write_facts(marks.end, segments.len() > 1)?;
        if core.published.has_unstable() {
            core.look_for_decided_transactions();
        }
        Ok(marks.end)
    }

    /// Oldest first: what a crash leaves is a prefix without holes.
    fn sync_segments(&self, segments: &[UnsyncedSegment]) -> Result<()> {
        if segments.is_empty() {
            return Ok(());
        }
        let clock = &self.core.shared.clock;
        let started = clock.monotonic();
        for segment in segments {
            if let Some(snapshot) = &segment.snapshot {
                snapshot.sync_all()?;
            }
            segment.files.sync()?;
        }
        let took = clock.monotonic().saturating_sub(started);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.core.counters.syncs.add(1);
        self.core.counters.sync_micros.add(micros);
        Ok(())
    }

    /// The bounds that a crash is judged by: synced when a segment was sealed, else written only. Without room they are written later:
    /// older ones stay true.
    fn write_facts(&self, durable_end: Offset, has_rolled: bool) -> Result<()> {
        let core = self.core;
        let mut stale = core.commit.facts.lock();
        let mut side = core.side.lock();
        let change = |facts: &mut super::facts::Facts| {
            facts.durable_end = durable_end;
            facts.recovery_point = durable_end;
        };
        let noted = match has_rolled {
            true => side.note_synced(change),
            false => side.note(change),
        };
        drop(side);
        let noted = noted.map_err(|error| core.close_latch(error))?;
        let now = core.shared.clock.monotonic();
        if has_rolled {
            stale.synced_at = Some(now);
        }
        stale.is_stale = !has_rolled || noted == Noted::Later;
        if stale.is_stale {
            let due = now.saturating_add(FACTS_SYNC_EVERY);
            core.shared.sync_requests.ask_at(core, due);
        }
        Ok(())
    }

    /// Segments that were trimmed or cut away are not synced any more. `stays` says which are still in the list of the partition.
    pub(crate) fn forget(&self, stays: impl Fn(&SegmentFiles) -> bool) {
        self.core.commit.unsynced.lock().retain(|s| stays(&s.files));
    }

    /// A truncation raised the generation to `generation` and left nothing at `end` or above: tickets of what was cut fail. Told once the
    /// end is known, and before the turn is given back: until then tickets only see that they are not durable.
    pub(crate) fn note_cut(&self, generation: u64, end: Offset) {
        let mut cuts = self.core.commit.cuts.lock();
        // An older cut above this one says nothing that this one does not say.
        cuts.retain(|cut| cut.end < end);
        cuts.push(Cut { generation, end });
    }
}

impl Drop for CommitTurn<'_> {
    fn drop(&mut self) {
        *self.core.commit.turn.lock() = Turn::Free;
        self.core.commit.turn_freed.notify_all();
        self.core.commit.settled.notify(usize::MAX);
    }
}

impl Commit {
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.unsynced_bytes.load(Ordering::Acquire)
    }

    /// Bytes were written to the active segment; called before its new end is published.
    pub(super) fn list(&self, active: &Arc<SegmentFiles>) {
        list_last(&mut self.unsynced.lock(), active);
    }

    /// A new active segment follows `sealed`, whose indexes were just written. Called before the new one is published.
    pub(super) fn list_rolled(
        &self,
        sealed: &Arc<SegmentFiles>,
        active: &Arc<SegmentFiles>,
        snapshot: Arc<dyn StorageFile>,
    ) {
        let mut unsynced = self.unsynced.lock();
        list_last(&mut unsynced, sealed);
        unsynced.push(UnsyncedSegment {
            files: Arc::clone(active),
            snapshot: Some(snapshot),
        });
    }

    /// All that was listed is on the medium.
    pub(super) fn forget_unsynced(&self) {
        self.unsynced.lock().clear();
    }

    /// Counts what was appended; called after its end is published.
    pub(super) fn count(&self, bytes: u64, now: impl FnOnce() -> Duration) {
        if self.unsynced_bytes.fetch_add(bytes, Ordering::AcqRel) == 0 {
            let micros = u64::try_from(now().as_micros()).unwrap_or(u64::MAX);
            self.unsynced_since_micros.store(micros, Ordering::Relaxed);
            self.is_watched.store(false, Ordering::Release);
        }
    }

    /// What can never be synced any more does not count against the log's limit.
    pub(super) fn let_go_of_unsynced(&self, budget: &UnsyncedBudget) {
        budget.release(self.unsynced_bytes.swap(0, Ordering::AcqRel));
    }

    /// Wakes whoever waits for durability, to look again. Closing calls it after `Published::close`.
    pub(crate) fn settle(&self) {
        // Under the lock: a waiter that has looked and not yet slept would miss it otherwise.
        drop(self.turn.lock());
        self.turn_freed.notify_all();
        self.settled.notify(usize::MAX);
    }

    /// Where the lowest truncation cut since `generation`.
    fn cut_since(&self, generation: u64) -> Option<Offset> {
        // Ends ascend with generations, so the first later cut is the lowest.
        let cuts = self.cuts.lock();
        let later = cuts.iter().find(|cut| cut.generation > generation);
        later.map(|cut| cut.end)
    }
}

fn list_last(unsynced: &mut Vec<UnsyncedSegment>, files: &Arc<SegmentFiles>) {
    let is_last = (unsynced.last()).is_some_and(|last| Arc::ptr_eq(&last.files, files));
    if !is_last {
        unsynced.push(UnsyncedSegment {
            files: Arc::clone(files),
            snapshot: None,
        });
    }
}

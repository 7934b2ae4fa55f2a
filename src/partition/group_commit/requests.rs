//! Who wants a sync, and how much waits for one in the whole log: what partitions share with the log's flushers.
//!
//! This module must never know a thread: whoever calls `take` is a flusher.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Commit, PartitionCore};
use crate::limits::DEFAULT_UNSYNCED_LIMIT_BYTES;
use crate::sync::{
    Condvar, Event, EventListener, Listener, Mutex, OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// Partitions that asked for a sync: now, in the order of asking, or at a time (monotonic). Each stands at most once in either.
#[derive(Default)]
pub(crate) struct SyncRequests {
    state: Mutex<Requests>,
    arrived: Condvar,
    on_arrival: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// The place of a partition among the timed requests: when, and a number that makes it unique.
pub(super) type TimedKey = (Duration, u64);

#[derive(Default)]
struct Requests {
    asked: VecDeque<Weak<PartitionCore>>,
    timed: BTreeMap<TimedKey, Weak<PartitionCore>>,
    next_number: u64,
    /// Nobody waits any more.
    has_ended: bool,
}

impl SyncRequests {
    /// `hook` is called after each request, outside of every lock: for the start of flushers at first need.
    pub(crate) fn on_arrival(&self, hook: Box<dyn Fn() + Send + Sync>) {
        self.on_arrival.get_or_init(|| hook);
    }

    /// Asks for a sync as soon as may be.
    pub(crate) fn ask(&self, core: &PartitionCore) {
        if core.commit.asked.swap(true, Ordering::AcqRel) {
            return;
        }
        self.state.lock().asked.push_back(core.me.clone());
        self.announce();
    }

    /// Asks for a look at `due`, or earlier if that was asked for before.
    pub(crate) fn ask_at(&self, core: &PartitionCore, due: Duration) {
        let mut state = self.state.lock();
        let mut timed = core.commit.timed.lock();
        match *timed {
            Some((earlier, _)) if earlier <= due => return,
            Some(later) => drop(state.timed.remove(&later)),
            None => {}
        }
        let key = (due, state.next_number);
        state.next_number += 1;
        state.timed.insert(key, core.me.clone());
        *timed = Some(key);
        drop(timed);
        drop(state);
        self.announce();
    }

    /// The next partition that wants `PartitionCore::sync_if_due`: asked for now, or at `now` (monotonic) or before. Without one it
    /// waits, at most `limit` and not past the next timed request, and may then return nothing: the caller looks at its clock and
    /// comes again.
    pub(crate) fn take(&self, now: Duration, limit: Duration) -> Option<Arc<PartitionCore>> {
        let mut state = self.state.lock();
        if let Some(core) = state.pop(Some(now)) {
            return Some(core);
        }
        if state.has_ended {
            return None;
        }
        let next_due = state.timed.keys().next().map(|(due, _)| *due);
        let wait = next_due.map_or(limit, |due| limit.min(due.saturating_sub(now)));
        self.arrived.wait_for(&mut state, wait);
        state.pop(Some(now))
    }

    /// Any partition that has something to sync, whether or not its time has come.
    pub(super) fn take_any(&self) -> Option<Arc<PartitionCore>> {
        self.state.lock().pop(None)
    }

    /// Lets all who wait in `take` return, now and from now on: for the end of the flushers.
    pub(crate) fn wake_all(&self) {
        // It stays: a flusher that has looked at its own word to stop, and is not in `take` yet, would sleep on otherwise.
        self.state.lock().has_ended = true;
        self.arrived.notify_all();
    }

    fn announce(&self) {
        self.arrived.notify_one();
        if let Some(hook) = self.on_arrival.get() {
            hook();
        }
    }
}

impl Requests {
    /// The next that asked, else the first timed one that is due at `now`; `None` is any.
    fn pop(&mut self, now: Option<Duration>) -> Option<Arc<PartitionCore>> {
        while let Some(asked) = self.asked.pop_front() {
            if let Some(core) = asked.upgrade() {
                return Some(core);
            }
        }
        while let Some(entry) = self.timed.first_entry() {
            if now.is_some_and(|now| entry.key().0 > now) {
                return None;
            }
            if let Some(core) = entry.remove().upgrade() {
                *core.commit.timed.lock() = None;
                return Some(core);
            }
        }
        None
    }
}

impl fmt::Debug for SyncRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("SyncRequests")
            .field("asked", &state.asked.len())
            .field("timed", &state.timed.len())
            .finish_non_exhaustive()
    }
}

/// Un-synced bytes of the whole log, with a limit beyond which appends wait.
#[derive(Debug)]
pub(crate) struct UnsyncedBudget {
    used_bytes: AtomicU64,
    limit_bytes: u64,
    freed: Event,
}

impl Default for UnsyncedBudget {
    fn default() -> Self {
        Self::new(DEFAULT_UNSYNCED_LIMIT_BYTES)
    }
}

impl UnsyncedBudget {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self {
            used_bytes: AtomicU64::new(0),
            limit_bytes,
            freed: Event::new(),
        }
    }

    pub(in super::super) fn add(&self, bytes: u64) {
        self.used_bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(super) fn release(&self, bytes: u64) {
        if bytes > 0 {
            self.used_bytes.fetch_sub(bytes, Ordering::AcqRel);
            self.freed.notify(usize::MAX);
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.used_bytes.load(Ordering::Acquire) < self.limit_bytes
    }

    pub(super) fn listen(&self) -> EventListener {
        self.freed.listen()
    }

    #[cfg(all(test, shuttle))]
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Acquire)
    }
}

/// Somebody else syncs what stands in the way; the pause bounds what a partition that cannot sync would cost.
pub(super) fn wait_a_moment(freed: EventListener) {
    const PAUSE: Duration = Duration::from_millis(10);
    freed.wait_timeout(PAUSE);
}

/// Records that linger in memory above a partition, until somebody who looks at the time writes them.
pub(crate) trait Lingering: Send + Sync + fmt::Debug {
    /// Writes what has lingered long enough at `now` (monotonic); returns how long the rest may linger. A failure goes to those
    /// who wait for the records.
    fn write_if_due(&self, now: Duration) -> Option<Duration>;
}

impl Commit {
    /// From now on background work looks after `lingering`, until it is dropped.
    pub(crate) fn look_after(&self, lingering: Weak<dyn Lingering>) {
        let mut all = self.lingering.lock();
        all.retain(|one| one.strong_count() > 0);
        all.push(lingering);
    }

    pub(crate) fn write_lingering(&self, now: Duration) -> Option<Duration> {
        // Not under the lock: writing takes others.
        let all: Vec<_> = (self.lingering.lock().iter())
            .filter_map(Weak::upgrade)
            .collect();
        all.iter().filter_map(|one| one.write_if_due(now)).min()
    }
}

#[cfg(all(test, shuttle))]
mod schedules {
    use super::*;
    use crate::sync::{schedules::every_order, thread};

    #[test]
    fn room_that_is_given_back_wakes_who_waits_for_it() {
        every_order("un-synced budget", 100_000, || {
            let budget = Arc::new(UnsyncedBudget::new(1));
            budget.add(1);
            let syncer = Arc::clone(&budget);
            let syncer = thread::spawn(move || syncer.release(1));
            loop {
                let freed = budget.listen();
                if budget.has_room() {
                    break;
                }
                freed.wait();
            }
            syncer.join().unwrap();
        });
    }
}

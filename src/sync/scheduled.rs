//! What stands in place of locks and wake-ups when shuttle chooses the order of threads.
//!
//! The interface is that of the real ones, as far as the crate uses it. Time does not pass in a schedule: who waits for less than a
//! second lets others run once and has then waited long enough; who waits longer waits for ever, so that a wake-up that never comes
//! is a deadlock, which shuttle tells.
//!
//! Each lock notes who holds it: [`held`] lets a test say under which locks something must not happen.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::{Arc, LockResult, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use shuttle::current::TaskId;
use shuttle::sync as scheduled;
use shuttle::sync::atomic::{AtomicUsize, Ordering};

/// The shortest wait that no schedule sees the end of.
const LONG: Duration = Duration::from_secs(1);

/// A lock that a task holds: the lock's address, and the type of what it guards.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Held {
    by: Option<TaskId>,
    address: usize,
    guards: &'static str,
}

thread_local! {
    // All tasks of a schedule run on one thread of the system.
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
}

/// The types that are guarded by locks which the running task holds.
pub(crate) fn held() -> Vec<&'static str> {
    let me = shuttle::current::try_get_current_task();
    HELD.with_borrow(|all| {
        let mine = all.iter().filter(|held| held.by == me);
        mine.map(|held| held.guards).collect()
    })
}

/// What failed schedules left.
pub(super) fn forget_held() {
    HELD.with_borrow_mut(Vec::clear);
}

impl Held {
    fn note<T: ?Sized, L>(lock: &L) -> Self {
        let held = Self {
            by: shuttle::current::try_get_current_task(),
            address: std::ptr::from_ref(lock).addr(),
            guards: std::any::type_name::<T>(),
        };
        held.add();
        held
    }

    fn add(self) {
        HELD.with_borrow_mut(|all| all.push(self));
    }

    fn refuse_second<L>(lock: &L) {
        let by = shuttle::current::try_get_current_task();
        let address = std::ptr::from_ref(lock).addr();
        let second = HELD.with_borrow(|all| {
            let mut all = all.iter();
            all.any(|held| held.by == by && held.address == address)
        });
        assert!(!second, "a thread takes a lock that it holds");
    }

    fn clear(self) {
        HELD.with_borrow_mut(|all| {
            if let Some(at) = all.iter().rposition(|held| *held == self) {
                all.swap_remove(at);
            }
        });
    }
}

/// In place of `parking_lot::Mutex`.
#[derive(Default)]
pub(crate) struct Mutex<T>(scheduled::Mutex<T>);

/// In place of `parking_lot::MutexGuard`.
pub(crate) struct MutexGuard<'m, T> {
    /// Missing only inside of [`Condvar::wait`].
    guard: Option<scheduled::MutexGuard<'m, T>>,
    mutex: &'m scheduled::Mutex<T>,
    held: Held,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(scheduled::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        Held::refuse_second(&self.0);
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.guarded(guard)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(self.guarded(guard)),
            Err(TryLockError::Poisoned(poisoned)) => Some(self.guarded(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn guarded<'m>(&'m self, guard: scheduled::MutexGuard<'m, T>) -> MutexGuard<'m, T> {
        MutexGuard {
            guard: Some(guard),
            mutex: &self.0,
            held: Held::note::<T, _>(&self.0),
        }
    }
}

impl<'m, T> MutexGuard<'m, T> {
    /// Lets go of the lock, and has it again once `meanwhile` gives it back.
    fn without_lock(
        &mut self,
        meanwhile: impl FnOnce(scheduled::MutexGuard<'m, T>) -> LockResult<scheduled::MutexGuard<'m, T>>,
    ) {
        let guard = self.guard.take().expect("only a wait takes it out");
        self.held.clear();
        self.guard = Some(meanwhile(guard).unwrap_or_else(PoisonError::into_inner));
        self.held.add();
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_ref().expect("only a wait takes it out")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().expect("only a wait takes it out")
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.held.clear();
    }
}

/// In place of `parking_lot::RwLock`.
#[derive(Default)]
pub(crate) struct RwLock<T>(scheduled::RwLock<T>);

/// A guard of an [`RwLock`].
pub(crate) struct Guard<G> {
    guard: G,
    held: Held,
}

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(scheduled::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> Guard<scheduled::RwLockReadGuard<'_, T>> {
        // Twice by one thread is a deadlock with the real one as soon as a writer waits in between.
        Held::refuse_second(&self.0);
        Guard {
            guard: self.0.read().unwrap_or_else(PoisonError::into_inner),
            held: Held::note::<T, _>(&self.0),
        }
    }

    pub(crate) fn write(&self) -> Guard<scheduled::RwLockWriteGuard<'_, T>> {
        Held::refuse_second(&self.0);
        Guard {
            guard: self.0.write().unwrap_or_else(PoisonError::into_inner),
            held: Held::note::<T, _>(&self.0),
        }
    }
}

impl<G: Deref> Deref for Guard<G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G: DerefMut> DerefMut for Guard<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}

impl<G> Drop for Guard<G> {
    fn drop(&mut self) {
        self.held.clear();
    }
}

/// In place of `parking_lot::Condvar`.
#[derive(Default)]
pub(crate) struct Condvar(scheduled::Condvar);

/// Whether a wait ended without a wake-up.
pub(crate) struct Waited {
    timed_out: bool,
}

impl Waited {
    pub(crate) fn timed_out(&self) -> bool {
        self.timed_out
    }
}

impl Condvar {
    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        guard.without_lock(|guard| self.0.wait(guard));
    }

    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, limit: Duration) -> Waited {
        if limit >= LONG {
            self.wait(guard);
            return Waited { timed_out: false };
        }
        let mutex = guard.mutex;
        guard.without_lock(|guard| {
            drop(guard);
            shuttle::thread::yield_now();
            mutex.lock()
        });
        Waited { timed_out: true }
    }

    pub(crate) fn wait_while_for<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        limit: Duration,
    ) -> Waited {
        while condition(guard) {
            if self.wait_for(guard, limit).timed_out() {
                return Waited {
                    timed_out: condition(guard),
                };
            }
        }
        Waited { timed_out: false }
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// In place of `std::sync::OnceLock`. The value is set by a step that cannot be taken apart, with a choice of the scheduler before it.
pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    step: AtomicUsize,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self::from_real(std::sync::OnceLock::new())
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.step();
        self.value.get()
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        self.step();
        self.value.set(value)
    }

    /// `make` must not wait for anybody: the real one lets others wait for it.
    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        self.step();
        self.value.get_or_init(make)
    }

    fn from_real(value: std::sync::OnceLock<T>) -> Self {
        Self {
            value,
            step: AtomicUsize::new(0),
        }
    }

    /// A place where the scheduler may take another thread.
    fn step(&self) {
        self.step.fetch_add(1, Ordering::SeqCst);
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        Self::from_real(std::sync::OnceLock::from(value))
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> Self {
        Self::from_real(self.value.clone())
    }
}

/// In place of `event_listener::Event`.
#[derive(Default)]
pub(crate) struct Event(Arc<Listeners>);

#[derive(Default)]
struct Listeners {
    all: scheduled::Mutex<BTreeMap<u64, State>>,
    told: scheduled::Condvar,
}

/// What a listener knows.
enum State {
    Listening(Option<Waker>),
    Told,
}

/// In place of `event_listener::EventListener`: told by the first notification that comes after it was made.
pub(crate) struct EventListener {
    listeners: Arc<Listeners>,
    key: u64,
}

/// In place of `event_listener::Listener`.
pub(crate) trait Listener: Sized {
    fn wait(self);
    fn wait_timeout(self, limit: Duration) -> Option<()>;
    fn wait_deadline(self, deadline: Instant) -> Option<()>;
}

impl Listeners {
    fn lock(&self) -> scheduled::MutexGuard<'_, BTreeMap<u64, State>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Event {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn listen(&self) -> EventListener {
        let mut all = self.0.lock();
        let key = all.last_key_value().map_or(0, |(last, _)| last + 1);
        all.insert(key, State::Listening(None));
        EventListener {
            listeners: Arc::clone(&self.0),
            key,
        }
    }

    /// Sees to it that the `count` oldest listeners are told; those who were told before count.
    pub(crate) fn notify(&self, count: usize) {
        let mut wakers = Vec::new();
        for state in self.0.lock().values_mut().take(count) {
            if let State::Listening(waker) = std::mem::replace(state, State::Told) {
                wakers.extend(waker);
            }
        }
        self.0.told.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Listener for EventListener {
    fn wait(self) {
        let mut all = self.listeners.lock();
        while !matches!(all.get(&self.key), Some(State::Told)) {
            let waited = self.listeners.told.wait(all);
            all = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn wait_timeout(self, limit: Duration) -> Option<()> {
        if limit >= LONG {
            self.wait();
            return Some(());
        }
        shuttle::thread::yield_now();
        let all = self.listeners.lock();
        matches!(all.get(&self.key), Some(State::Told)).then_some(())
    }

    fn wait_deadline(self, deadline: Instant) -> Option<()> {
        self.wait_timeout(crate::timestamp::left_until(deadline))
    }
}

impl Future for EventListener {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut all = self.listeners.lock();
        match all.get_mut(&self.key) {
            Some(State::Listening(waker)) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            Some(State::Told) | None => Poll::Ready(()),
        }
    }
}

impl Drop for EventListener {
    fn drop(&mut self) {
        self.listeners.lock().remove(&self.key);
    }
}

macro_rules! named_only {
    ($($kind:ident $(<$param:ident>)?),+) => {$(
        impl$(<$param>)? fmt::Debug for $kind$(<$param>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($kind))
            }
        }
    )+};
}

// What they guard is another thread's business at the moment of asking.
named_only!(
    Mutex<T>,
    RwLock<T>,
    Condvar,
    OnceLock<T>,
    Event,
    EventListener
);

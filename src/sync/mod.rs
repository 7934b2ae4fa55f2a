//! Locks, atomics, wake-ups and threads: the one place where the crate takes them from.
//!
//! They are those of `parking_lot`, `std` and `event-listener`, re-exported and nothing more. A test build with `--cfg shuttle` puts
//! others in their place, whose every step is chosen by a scheduler, so that a test can try one order of threads after the other and
//! replay the one that failed. `Arc` is not here: it is the same in both.
//!
//! `stats.rs` alone counts past this module: nothing waits for a count or decides on it.

#[cfg(all(test, shuttle))]
mod scheduled;
#[cfg(all(test, shuttle))]
pub(crate) mod schedules;

#[cfg(not(all(test, shuttle)))]
pub(crate) use event_listener::{Event, EventListener, Listener};
#[cfg(all(any(test, feature = "sim"), not(all(test, shuttle))))]
pub(crate) use parking_lot::MutexGuard;
#[cfg(not(all(test, shuttle)))]
pub(crate) use parking_lot::{Condvar, Mutex, RwLock};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::{
    sync::{OnceLock, atomic},
    thread,
};

#[cfg(all(test, shuttle))]
pub(crate) use scheduled::{
    Condvar, Event, EventListener, Listener, Mutex, OnceLock, RwLock, held,
};
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::{sync::atomic, thread};

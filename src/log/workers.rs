//! The threads of a log: flushers, started at the first request for a sync, and one housekeeper. Never one per partition.

use std::sync::Arc;

use super::options::Maintenance;
use super::{LogCore, flusher, housekeeper};
use crate::error::{Error, ErrorKind, Result};
use crate::partition::SharedByLog;
use crate::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
    thread::{self, JoinHandle},
};

/// The threads that run, and the word that ends them.
#[derive(Debug, Default)]
pub(super) struct Workers {
    stop: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Workers {
    /// Starts what `maintenance` asks for.
    pub(super) fn start(log: &Arc<LogCore>, maintenance: Maintenance) -> Result<()> {
        let Maintenance::Threads { flushers } = maintenance else {
            return Ok(());
        };
        let weak = Arc::downgrade(log);
        let bell = log.housekeeper.bell();
        let house = spawn("stratalog-house".to_owned(), move || {
            housekeeper::run(&weak, &bell);
        })?;
        log.workers.threads.lock().push(house);
        let weak = Arc::downgrade(log);
        let started = AtomicBool::new(false);
        log.shared.sync_requests.on_arrival(Box::new(move || {
            if !started.swap(true, Ordering::AcqRel)
                && let Some(log) = weak.upgrade()
            {
                log.workers.start_flushers(flushers, &log.shared);
            }
        }));
        Ok(())
    }

    /// A thread that cannot be started is done without: who waits for durability syncs on its own thread.
    fn start_flushers(&self, count: u8, shared: &Arc<SharedByLog>) {
        let mut threads = self.threads.lock();
        if self.stop.load(Ordering::Acquire) {
            return;
        }
        for number in 0..count {
            let (shared, stop) = (Arc::clone(shared), Arc::clone(&self.stop));
            let name = format!("stratalog-flush-{number}");
            if let Ok(thread) = spawn(name, move || flusher::run(&shared, &stop)) {
                threads.push(thread);
            }
        }
    }

    /// Tells all of them to stop, and waits until they have. A thread of the log that drops the last clone of it does not wait for itself.
    pub(super) fn stop(&self, shared: &SharedByLog) {
        self.stop.store(true, Ordering::Release);
        shared.sync_requests.wake_all();
        let me = thread::current().id();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads
            .into_iter()
            .filter(|thread| thread.thread().id() != me)
        {
            // A worker that panicked has told so on standard error; closing goes on without it.
            drop(thread.join());
        }
    }
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name)
        .spawn(run)
        .map_err(|error| {
            Error::new(ErrorKind::Io, "cannot start a thread of the log")
                .caused_by(error)
                .remedy("raise the limit of threads, or open with Maintenance::Manual")
        })
}

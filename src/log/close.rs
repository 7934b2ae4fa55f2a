//! Closing a log, also when its last clone is dropped.

use super::LogCore;
use crate::error::Result;
use crate::sync::atomic::Ordering;

impl LogCore {
    /// Closes the log. A crash between two steps leaves an unclean log, which the next open recovers:
    /// 1. stopped the threads;
    /// 2. closed each partition: synced, indexes written, cut to its last batch;
    /// 3. wrote owner, checkpoints and marker, each synced: clean;
    /// 4. let go of the locks.
    ///
    /// When a partition does not close, or the names in the directory are in doubt, step 3 is left out: the marker would promise what is not
    /// so.
    pub(super) fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.housekeeper.bell().stop();
        self.workers.stop(&self.shared);
        let mut folder = self.folder.lock();
        let mut closed = Vec::new();
        let mut first_failure = Ok(());
        for partition in self.partitions() {
            match partition.core.close() {
                Ok(facts) => closed.push((partition.core.name.clone(), facts)),
                Err(error) => first_failure = first_failure.and(Err(error)),
            }
        }
        let done = first_failure
            .and_then(|()| self.folder_latch.check())
            .and_then(|()| folder.close_clean(&closed));
        folder.unlock();
        done
    }
}

impl Drop for LogCore {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; what is not clean costs the next open a recovery.
        drop(self.close());
    }
}

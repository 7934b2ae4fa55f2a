//! Syncing what was asked for, oldest request first: a loop for the log's threads, and one round for `maintain`.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::partition::SharedByLog;
use crate::sync::atomic::{AtomicBool, Ordering};

/// A flusher that nobody wakes looks again after this long; requests, timed ones too, wake it earlier.
const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);

/// Runs until `stop`, woken by requests. A failed sync is latched in its partition, whose tickets tell it; the thread goes on with
/// the others.
pub(super) fn run(shared: &Arc<SharedByLog>, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        let now = shared.clock.monotonic();
        if let Some(partition) = shared.sync_requests.take(now, LONGEST_SLEEP)
            && let Err(error) = partition.sync_if_due()
        {
            debug_assert!(
                partition.has_stopped(),
                "a sync fails only for good: {error}"
            );
        }
    }
}

/// One round: what is asked for now, until the budget is used up.
pub(super) fn sync_asked_for(shared: &Arc<SharedByLog>, left: &dyn Fn() -> Duration) -> Result<()> {
    let mut first = Ok(());
    while !left().is_zero() {
        let now = shared.clock.monotonic();
        let Some(partition) = shared.sync_requests.take(now, Duration::ZERO) else {
            break;
        };
        first = first.and(partition.sync_if_due().map(drop));
    }
    first
}

//! Closing a partition: what is left is what the next open, ours or a broker's, trusts.

use std::time::Duration;

use super::fold::{EpochsFound, read_epochs, write_snapshot};
use crate::error::Result;
use crate::offset::Offset;
use crate::partition::facts::Noted;
use crate::partition::{ClosedFacts, CommitTurn, PartitionCore, Tail};
use crate::segment::ActiveSegment;

impl PartitionCore {
    /// Clean close. Every call afterwards says `Closed`.
    ///
    /// 1. Take the commit turn, so that nobody else syncs or cuts.
    /// 2. Under the writer lock: write the indexes, cut the prepared space, let go of the tail. No append comes after. Crash after: as
    ///    without the close, and indexes are derived.
    /// 3. Sync what is not synced, then the closed segment with its indexes. Crash after: all records stand.
    /// 4. Write the producer snapshot at the end (none in a log that never held a record), remove those that belong to no segment, write
    ///    the epochs when a trim has folded them. Crash after: one snapshot more or less, and the batches say the same.
    /// 5. Write and sync the facts. Crash after: the next open finds no marker, scans the last segment and finds it whole.
    /// 6. Wake whoever waits: closed.
    ///
    /// # Errors
    /// `Failed` after an earlier failure, and the first failure of a step; the partition is closed all the same, and the caller
    /// writes no marker. `Full` when the tail could not be copied since it was opened. `Closed` when it was closed before.
    pub(crate) fn close(&self) -> Result<ClosedFacts> {
        // Records that linger in a writer above are appended first; a failure goes to who waits for them.
        self.commit.write_lingering(Duration::MAX);
        let turn = self.take_commit_turn();
        let tail = std::mem::replace(&mut self.writer.lock().tail, Tail::Closed);
        let closed = match tail {
            Tail::Closed => return Err(self.closed()),
            Tail::Pending(pending) => Err(pending.error),
            Tail::Active(active) => self
                .latch
                .check()
                .and_then(|()| self.close_active(&turn, active)),
        };
        self.published.close();
        drop(turn);
        self.commit.settle();
        closed
    }

    fn close_active(&self, turn: &CommitTurn<'_>, active: ActiveSegment) -> Result<ClosedFacts> {
        let is_as_closed = active.is_as_closed();
        let files = active.close()?;
        if !is_as_closed {
            self.commit.list(&files);
        }
        turn.sync()?;
        let marks = self.published.watermarks();
        let (snapshot, epochs) = {
            let writer = self.writer.lock();
            (writer.producers.to_snapshot(), writer.epochs.clone())
        };
        write_snapshot(&self.home, marks.end, &snapshot)?;
        let segments = self.published.snapshot().segments;
        // Kafka deletes snapshots at or below the log start, too: nothing is replayed from there.
        let is_base = |at: Offset| segments.iter().any(|segment| segment.base() == at);
        let stays = |at: Offset| at == marks.end || (is_base(at) && at > marks.start);
        self.remove_snapshots(|at| !stays(at))?;
        match read_epochs(&self.home)? {
            EpochsFound::Good(on_disk) if on_disk == epochs => {}
            EpochsFound::Good(_) | EpochsFound::Missing | EpochsFound::Damaged => {
                self.write_epochs(&epochs)?;
            }
        }
        let mut side = self.side.lock();
        let known = side.facts();
        let is_known = (known.log_start, known.recovery_point, known.durable_end)
            == (marks.start, marks.end, marks.end);
        if !(is_as_closed && is_known && side.noted() == Noted::Written) {
            side.update_synced(|facts| {
                facts.log_start = marks.start;
                facts.recovery_point = marks.end;
                facts.durable_end = marks.end;
            })?;
        }
        drop(side);
        Ok(ClosedFacts {
            log_start: marks.start,
            recovery_point: marks.end,
            high: marks.high,
            start_is_inside_segment: segments
                .first()
                .is_some_and(|first| marks.start > first.base()),
        })
    }
}

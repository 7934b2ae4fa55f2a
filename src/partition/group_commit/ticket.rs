//! What an append returns, and the future that waits for the medium.
//!
//! A ticket only looks at watermarks and asks for syncs; it must never know how a sync is made.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::PartitionCore;
use crate::error::{Error, Gap, GapCause, Result};
use crate::offset::Offset;
use crate::sync::EventListener;

/// Where appended records stand, and later whether they are on the medium. Dropping it loses nothing.
///
/// Waiting on it *asks* for a sync, whatever the policy says.
#[derive(Clone, Debug)]
pub struct Ticket {
    offsets: Range<Offset>,
    /// The truncation generation of the append.
    pub(super) generation: u64,
    core: Arc<PartitionCore>,
}

/// What a ticket finds when it looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Look {
    Durable,
    NotYet,
}

impl Ticket {
    /// For records at `offsets`, of the generation in which they were appended.
    pub(in super::super) fn new(
        core: Arc<PartitionCore>,
        offsets: Range<Offset>,
        generation: u64,
    ) -> Self {
        Self {
            offsets,
            generation,
            core,
        }
    }

    /// The offset of the first record.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.offsets.start
    }

    /// The offsets of all records of the call, the end exclusive.
    #[must_use]
    pub fn offsets(&self) -> Range<Offset> {
        self.offsets.clone()
    }

    /// Whether a power cut would leave the records. Asks for nothing and never blocks.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        matches!(self.look(), Ok(Look::Durable))
    }

    /// Returns once the records are on the medium. Shares a sync in flight; when nobody syncs, it does so on this thread, with or
    /// without threads of the log.
    ///
    /// # Errors
    /// `Failed` with the first cause when writing has stopped; `Closed` when the log was closed before; `Gap` when a truncation cut the
    /// records.
    pub fn wait_durable(&self) -> Result<()> {
        loop {
            let is_settled = || !matches!(self.look(), Ok(Look::NotYet));
            match self.core.take_commit_turn_unless(is_settled) {
                Some(turn) => {
                    turn.sync()?;
                }
                None => return self.look().map(drop),
            }
        }
    }

    /// As [`Ticket::wait_durable`], but waits at most `limit` for a sync of somebody else; whether the records are durable is returned. A
    /// sync of its own, once begun, may take longer; with a limit of zero it begins none.
    ///
    /// # Errors
    /// As [`Ticket::wait_durable`].
    pub fn wait_durable_timeout(&self, limit: Duration) -> Result<bool> {
        if self.look()? == Look::NotYet
            && !limit.is_zero()
            && let Some(turn) = self.core.take_commit_turn_within(limit)
            && self.look()? == Look::NotYet
        {
            turn.sync()?;
        }
        Ok(self.look()? == Look::Durable)
    }

    /// A future that is ready once the records are on the medium. It asks for a sync when it is first polled, and a flusher thread of the
    /// log makes it; under `Maintenance::Manual` it completes only while somebody calls `Log::maintain`. It does no I/O.
    #[must_use = "a future does nothing unless it is polled"]
    pub fn durable(self) -> Durable {
        Durable {
            ticket: self,
            listener: None,
            asked: Asked::NotYet,
        }
    }

    fn look(&self) -> Result<Look> {
        // Read before the generation: a mark that other records have reached since comes with a later generation.
        let durable = self.core.published.watermarks().durable;
        if self.generation != self.core.published.generation()
            && let Some(cut) = self.core.commit.cut_since(self.generation)
            && cut < self.offsets.end
        {
            let gap = Gap::new(
                cut.max(self.offsets.start),
                self.offsets.end,
                GapCause::Truncated,
            );
            return Err(Error::gap_found(
                gap,
                "the records were truncated before they were durable",
            ));
        }
        if durable >= self.offsets.end {
            return Ok(Look::Durable);
        }
        self.core.latch.check()?;
        if self.core.published.is_closed() {
            return Err(self.core.closed());
        }
        Ok(Look::NotYet)
    }
}

/// A future that is ready once the ticket's records are on the medium; it yields the offset of the first one. Dropping it
/// takes nothing back.
///
/// # Errors
/// As [`Ticket::wait_durable`].
#[derive(Debug)]
pub struct Durable {
    ticket: Ticket,
    listener: Option<EventListener>,
    asked: Asked,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    NotYet,
    Yes,
}

impl Future for Durable {
    type Output = Result<Offset>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let core = &this.ticket.core;
        loop {
            // Listened first, looked second: what settles in between is not missed.
            let listener = (this.listener).get_or_insert_with(|| core.commit.settled.listen());
            match this.ticket.look() {
                Ok(Look::Durable) => return Poll::Ready(Ok(this.ticket.offset())),
                Ok(Look::NotYet) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            if this.asked == Asked::NotYet {
                core.shared.sync_requests.ask(core);
                this.asked = Asked::Yes;
            }
            if Pin::new(listener).poll(context).is_pending() {
                return Poll::Pending;
            }
            this.listener = None;
        }
    }
}

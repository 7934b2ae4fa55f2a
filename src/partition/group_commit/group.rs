//! The open group of `FsyncPolicy::Always`: records of waiting appenders, which become one batch and share one sync.
//!
//! Whoever gets the commit turn first leads the group that is open then: it appends the records as one batch, syncs, and tells all members.
//! So a member that has the turn finds its group either led already or open: there is no third.

use std::ops::Range;
use std::sync::Arc;

use super::super::{PartitionCore, TopicOptions};
use super::{CommitTurn, Ticket};
use crate::batch::{Record, RecordBatchBuilder};
use crate::error::{Error, ErrorKind, Result};
use crate::offset::Offset;
use crate::sync::{Mutex, OnceLock};

/// The group that takes records now, and the builder of the one before.
#[derive(Debug, Default)]
pub(super) struct OpenGroup {
    open: Mutex<Option<Group>>,
    spare: Mutex<Option<RecordBatchBuilder>>,
}

#[derive(Debug)]
struct Group {
    builder: RecordBatchBuilder,
    outcome: Arc<Outcome>,
}

/// What became of a group: where its first record stands.
#[derive(Debug, Default)]
struct Outcome(OnceLock<Result<Led>>);

#[derive(Clone, Copy, Debug)]
struct Led {
    base: Offset,
    generation: u64,
}

/// What became of a record that wanted to join.
enum Join {
    /// It is the record with this number in the group.
    Joined { outcome: Arc<Outcome>, index: u32 },
    /// The group takes no more; it must be led first.
    Full(Arc<Outcome>),
    /// No group takes it, because of its size.
    Alone,
}

impl PartitionCore {
    /// Appends a record that takes its time from the log, together with those of all who wait; returns when it is on the medium.
    pub(in super::super) fn append_in_group(
        self: &Arc<Self>,
        options: &TopicOptions,
        record: Record<'_>,
    ) -> Result<Ticket> {
        self.wait_for_room()?;
        self.latch.check()?;
        loop {
            match self.commit.group.join(options, record)? {
                Join::Alone => {
                    let ticket = self.append_record(options, record)?;
                    return ticket.wait_durable().map(|()| ticket);
                }
                Join::Full(outcome) => {
                    match self.lead_until_done(&outcome) {
                        // What became of the others is theirs to hear.
                        Ok(_) | Err(_) => {}
                    }
                }
                Join::Joined { outcome, index } => {
                    let led = self.lead_until_done(&outcome)?;
                    let offset = led.base.saturating_add(u64::from(index));
                    let offsets = Range {
                        start: offset,
                        end: offset.saturating_add(1),
                    };
                    return Ok(Ticket::new(Arc::clone(self), offsets, led.generation));
                }
            }
        }
    }

    /// Waits until the group of `outcome` was led, by somebody else or by this thread.
    fn lead_until_done(self: &Arc<Self>, outcome: &Outcome) -> Result<Led> {
        loop {
            if let Some(result) = outcome.0.get() {
                return result.clone();
            }
            if let Some(turn) = self.take_commit_turn_unless(|| outcome.0.get().is_some()) {
                self.lead(&turn);
            }
        }
    }

    /// Appends the open group as one batch, syncs, and tells its members.
    fn lead(self: &Arc<Self>, turn: &CommitTurn<'_>) {
        let Some(group) = self.commit.group.open.lock().take() else {
            return;
        };
        let mut group = LedGroup(group);
        let result = self
            .append_group(&self.options(), &group.0.builder)
            .and_then(|ticket| {
                turn.sync()?;
                Ok(Led {
                    base: ticket.offset(),
                    generation: ticket.generation,
                })
            });
        group.0.outcome.settle(result);
        let done = RecordBatchBuilder::new(group.0.builder.compression());
        let builder = std::mem::replace(&mut group.0.builder, done);
        self.commit.group.keep(builder);
    }
}

/// A group in the hands of its leader. Members never wait for a leader that panicked.
struct LedGroup(Group);

impl Drop for LedGroup {
    fn drop(&mut self) {
        self.0.outcome.settle(Err(Error::new(
            ErrorKind::Failed,
            "the thread that led the group commit panicked",
        )));
    }
}

impl Outcome {
    /// The first result stays.
    fn settle(&self, result: Result<Led>) {
        self.0.get_or_init(|| result);
    }
}

impl OpenGroup {
    fn join(&self, options: &TopicOptions, record: Record<'_>) -> Result<Join> {
        let mut open = self.open.lock();
        let group = open.get_or_insert_with(|| Group {
            builder: self.builder(options),
            outcome: Arc::default(),
        });
        let index = group.builder.record_count();
        match group.builder.push(record) {
            Ok(()) => Ok(Join::Joined {
                outcome: Arc::clone(&group.outcome),
                index,
            }),
            Err(error) if error.kind() != ErrorKind::TooLarge => Err(error),
            Err(_) if index == 0 => Ok(Join::Alone),
            Err(_) => Ok(Join::Full(Arc::clone(&group.outcome))),
        }
    }

    /// An empty builder for the present options: the last one again, if it fits.
    fn builder(&self, options: &TopicOptions) -> RecordBatchBuilder {
        let spare = self.spare.lock().take();
        spare
            .filter(|spare| spare.compression() == options.compression)
            .unwrap_or_else(|| RecordBatchBuilder::new(options.compression))
            .with_limit(options.max_message_bytes.min(options.segment_bytes))
    }

    /// Records in the open group.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> u32 {
        let open = self.open.lock();
        open.as_ref()
            .map_or(0, |group| group.builder.record_count())
    }

    fn keep(&self, mut builder: RecordBatchBuilder) {
        builder.clear();
        *self.spare.lock() = Some(builder);
    }
}

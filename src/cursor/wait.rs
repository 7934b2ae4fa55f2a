//! Waiting at the tail: blocking, or as a future that does no I/O.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Cursor, lag::bytes_between};
use crate::batch::StoredRecord;
use crate::error::{ErrorKind, Result};
use crate::offset::Offset;
use crate::partition::{Next, Partition, PartitionReader, Published, ReadUpTo};
use crate::sync::{EventListener, Listener};
use crate::timestamp::deadline_after;

/// What somebody waits for.
#[derive(Clone, Debug)]
struct Wish {
    from: Offset,
    min_bytes: u64,
    up_to: ReadUpTo,
    /// The next batch as a cursor has read it already: the generation, and the end that the limit must reach.
    early: Option<(u64, Offset)>,
}

impl Wish {
    /// Whether there is something to do: data, a gap that a truncation or trim made, or the news that the log is closed.
    fn is_granted(&self, reader: &PartitionReader) -> Result<bool> {
        reader.check_open()?;
        let snapshot = reader.published.snapshot();
        let marks = snapshot.watermarks;
        if self.from < marks.start || self.from > marks.end {
            return Ok(true);
        }
        let limit = marks.limit(self.up_to);
        let needed = match self.early {
            Some((generation, end)) if generation == snapshot.generation => end,
            _ => self.from.saturating_add(1),
        };
        if limit < needed {
            return Ok(false);
        }
        if self.min_bytes > 1 {
            return match bytes_between(reader, &snapshot, self.from, limit) {
                // Trimmed or cut meanwhile: a reason to look.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
                bytes => Ok(bytes? >= self.min_bytes || self.meets_a_gap(reader)?),
            };
        }
        if self.early.is_none() && snapshot.may_split_a_batch(self.up_to) {
            return Ok(!matches!(self.next(reader)?, Some(Next::Tail)));
        }
        Ok(true)
    }

    /// What a reader would be given now; `None` for a gap.
    fn next(&self, reader: &PartitionReader) -> Result<Option<Next>> {
        match reader.stream(self.from).next(self.up_to) {
            Err(error) if error.gap().is_some() => Ok(None),
            next => next.map(Some),
        }
    }

    /// Few bytes are no reason to wait when what comes next cannot be read.
    fn meets_a_gap(&self, reader: &PartitionReader) -> Result<bool> {
        Ok(self.next(reader)?.is_none())
    }
}

/// Waits until `is_granted` says so, for at most `limit`. Listens before it looks, so that no move is missed.
fn wait_until(
    published: &Published,
    limit: Duration,
    mut is_granted: impl FnMut() -> Result<bool>,
) -> Result<bool> {
    let deadline = deadline_after(limit);
    loop {
        let listener = published.listen();
        if is_granted()? {
            return Ok(true);
        }
        match deadline {
            Some(deadline) => {
                if listener.wait_deadline(deadline).is_none() {
                    return is_granted();
                }
            }
            None => listener.wait(),
        }
    }
}

impl Cursor {
    fn wish(&self) -> Wish {
        Wish {
            from: self.position(),
            min_bytes: 1,
            up_to: self.up_to,
            early: self.stream.waits_for(),
        }
    }

    /// Blocks until [`Cursor::next_batch`] has something, for at most `limit`; whether it has.
    ///
    /// # Errors
    /// `Closed`.
    pub fn wait(&mut self, limit: Duration) -> Result<bool> {
        if self.has_records() {
            return Ok(true);
        }
        let reader = self.stream.reader();
        let wish = self.wish();
        wait_until(&reader.published, limit, || wish.is_granted(reader))
    }

    /// Waits until [`Cursor::next_batch`] has something. Cancel-safe; does no I/O, but for a look at the next batch where a high watermark
    /// from outside may stand inside of it.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn readable(&mut self) -> Result<()> {
        if self.has_records() {
            return Ok(());
        }
        self.at_the_tail().await
    }

    /// What to wait for when there is nothing to read now.
    pub(super) fn at_the_tail(&self) -> Readable {
        Readable::new(self.stream.reader().clone(), self.wish())
    }

    /// An iterator that blocks at the tail instead of ending. It ends when the log is closed.
    pub fn follow(&mut self) -> Follow<'_> {
        Follow { cursor: self }
    }
}

/// Gives records and blocks at the tail until there are more; ends when the log is closed.
#[derive(Debug)]
pub struct Follow<'c> {
    cursor: &'c mut Cursor,
}

impl Iterator for Follow<'_> {
    type Item = Result<StoredRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.cursor.next() {
                Some(Err(error)) if error.kind() == ErrorKind::Closed => return None,
                Some(record) => return Some(record),
                None => match self.cursor.wait(Duration::MAX) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Closed => return None,
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    }
}

impl Partition {
    /// A long poll: ready once at least `min_bytes` from `from` on may be read up to `up_to`, or there is a reason to look (a trim, a truncation).
    ///
    /// As a future it does no I/O when `min_bytes` is at most 1, but for a look at the next batch where a high watermark from outside may
    /// stand inside of it; [`Readable::wait`] blocks instead.
    #[must_use]
    pub fn readable(&self, from: Offset, min_bytes: u64, up_to: ReadUpTo) -> Readable {
        Readable::new(
            self.reader(),
            Wish {
                from,
                min_bytes,
                up_to,
                early: None,
            },
        )
    }
}

/// Waits for data; see [`Partition::readable`].
#[derive(Debug)]
pub struct Readable {
    reader: PartitionReader,
    wish: Wish,
    listener: Option<Pin<Box<EventListener>>>,
}

impl Readable {
    fn new(reader: PartitionReader, wish: Wish) -> Self {
        Self {
            reader,
            wish,
            listener: None,
        }
    }

    /// Blocks for at most `limit`; whether there is something.
    ///
    /// # Errors
    /// `Closed`, `Io`.
    pub fn wait(&mut self, limit: Duration) -> Result<bool> {
        let published = Arc::clone(&self.reader.published);
        wait_until(&published, limit, || self.wish.is_granted(&self.reader))
    }
}

impl Future for Readable {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            // Listens before it looks, so that no move between the two is missed.
            let listener = this
                .listener
                .get_or_insert_with(|| Box::pin(this.reader.published.listen()));
            match this.wish.is_granted(&this.reader) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            match listener.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => this.listener = None,
            }
        }
    }
}

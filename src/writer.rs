//! Records that linger in memory until they fill a batch: more records per write and per byte, at the price of one stage more.
//!
//! What a [`Writer`] took is lost by the death of the process until it is written, and its [`WriterTicket`] says so. The writer has no
//! thread: a full batch is written by who fills it, a lingering one by who waits for it or by the log's flushers when its time has come.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::batch::{Record, RecordBatchBuilder};
use crate::compress::Compression;
use crate::error::{Error, ErrorKind, Result};
use crate::offset::Offset;
use crate::partition::{Durable, Lingering, Partition, Ticket};
use crate::sync::{Event, EventListener, Listener, Mutex, OnceLock};

/// Default of `batch.size` of Kafka's producer.
const DEFAULT_BATCH_BYTES: u32 = 16_384;
/// Default of `linger.ms` of Kafka's producer (KIP-1030).
const DEFAULT_LINGER: Duration = Duration::from_millis(5);
/// When the flushers look again at a writer that was in use.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How long and how much a [`Writer`] keeps in memory.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WriterOptions {
    linger: Duration,
    batch_bytes: u32,
    compression: Option<Compression>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            linger: DEFAULT_LINGER,
            batch_bytes: DEFAULT_BATCH_BYTES,
            compression: None,
        }
    }
}

impl WriterOptions {
    /// `linger.ms`: how long the first record of a batch waits for others; 5 ms by default. With zero each record is written at once.
    pub fn linger(self, linger: Duration) -> Self {
        Self { linger, ..self }
    }

    /// `batch.size`: a batch of this many bytes, before packing, is written at once; 16 KiB by default. Above the topic's
    /// `max.message.bytes` it is that limit.
    pub fn batch_bytes(self, batch_bytes: u32) -> Self {
        Self {
            batch_bytes,
            ..self
        }
    }

    /// What batches are packed with; the topic's compression by default.
    pub fn compression(self, compression: Compression) -> Self {
        Self {
            compression: Some(compression),
            ..self
        }
    }
}

/// Fills batches in memory. Shared by reference; dropping it writes what it holds.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    partition: Partition,
    options: WriterOptions,
    filling: Mutex<Filling>,
}

/// The batch that is being filled.
#[derive(Debug)]
struct Filling {
    builder: RecordBatchBuilder,
    /// Where the tickets of its records look.
    written: Arc<Written>,
    /// When it must be written (monotonic); `None` while it is empty.
    due: Option<Duration>,
}

/// What became of a batch, once it was written.
#[derive(Debug, Default)]
struct Written {
    result: OnceLock<Result<Ticket>>,
    event: Event,
}

impl Partition {
    /// A writer that fills batches. Any number of them may write to one partition.
    ///
    /// # Errors
    /// `InvalidInput` for `batch_bytes` of zero; `Unsupported` for a compression that is not in this build; `Closed`.
    pub fn writer(&self, options: WriterOptions) -> Result<Writer> {
        if options.batch_bytes == 0 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "batch_bytes is 0; it must be 1 or more",
            ));
        }
        if self.core.published.is_closed() {
            return Err(self.core.closed());
        }
        let topic = self.core.options();
        let compression = options.compression.unwrap_or(topic.compression);
        compression.check()?;
        let limit_bytes = topic.max_message_bytes.min(topic.segment_bytes);
        let shared = Arc::new(Shared {
            partition: self.clone(),
            options,
            filling: Mutex::new(Filling {
                builder: RecordBatchBuilder::new(compression).with_limit(limit_bytes),
                written: Arc::default(),
                due: None,
            }),
        });
        let weak: std::sync::Weak<Shared> = Arc::downgrade(&shared);
        self.core.commit.look_after(weak);
        Ok(Writer { shared })
    }
}

impl Writer {
    /// Takes a copy of the record. It is in memory only until its batch is written, and lost if the process dies before.
    ///
    /// Blocks for a write when it fills the batch, never for its sync. Records with a time of their own and records without go to
    /// different batches.
    ///
    /// # Errors
    /// `TooLarge` for a record above the topic's limit, `InvalidInput` for a negative timestamp: that record alone. A write that fails is told to the
    /// tickets of its batch, and to the caller whose record made it necessary.
    pub fn send(&self, record: Record<'_>) -> Result<WriterTicket> {
        self.shared.send(record)
    }

    /// Writes what is in memory. Durable on return: nothing, but it survives the death of the process.
    ///
    /// # Errors
    /// As [`Partition::submit_batch`].
    pub fn flush(&self) -> Result<()> {
        self.shared.write(&mut self.shared.filling.lock())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        match self.flush() {
            // Told to the tickets; nobody else is left to hear it.
            Ok(()) | Err(_) => {}
        }
    }
}

impl Shared {
    fn send(self: &Arc<Self>, record: Record<'_>) -> Result<WriterTicket> {
        let mut filling = self.filling.lock();
        if filling.takes_another_time(&record) {
            self.write(&mut filling)?;
        }
        match filling.builder.push(record) {
            Err(error) if error.kind() == ErrorKind::TooLarge && !filling.builder.is_empty() => {
                self.write(&mut filling)?;
                filling.builder.push(record)?;
            }
            other => other?,
        }
        let ticket = WriterTicket {
            index: filling.builder.record_count() - 1,
            written: Arc::clone(&filling.written),
            writer: Arc::clone(self),
        };
        let is_full = filling.builder.len_bytes() >= self.options.batch_bytes as usize;
        if is_full || self.options.linger.is_zero() {
            self.write(&mut filling)?;
        } else if filling.due.is_none() {
            let core = &self.partition.core;
            let due = core.shared.clock.monotonic() + self.options.linger;
            filling.due = Some(due);
            drop(filling);
            core.shared.sync_requests.ask_at(core, due);
        }
        Ok(ticket)
    }

    /// Writes the batch, tells its tickets, and starts a new one.
    fn write(&self, filling: &mut Filling) -> Result<()> {
        if filling.builder.is_empty() {
            return Ok(());
        }
        let result = self.partition.submit_batch(&filling.builder);
        filling.builder.clear();
        filling.due = None;
        let written = std::mem::take(&mut filling.written);
        let told = result.as_ref().map(|_| ()).map_err(Error::clone);
        written.result.get_or_init(|| result);
        written.event.notify(usize::MAX);
        told
    }
}

impl Filling {
    /// Whether the batch has times from its records and `record` has none, or the other way round.
    fn takes_another_time(&self, record: &Record<'_>) -> bool {
        let is_explicit = self.builder.explicit_max_timestamp().is_some();
        !self.builder.is_empty() && is_explicit != record.timestamp.is_some()
    }
}

impl Lingering for Shared {
    fn write_if_due(&self, now: Duration) -> Option<Duration> {
        // Who holds it may be waiting for the very sync that the caller is about to make; it comes again.
        let Some(mut filling) = self.filling.try_lock() else {
            return Some(self.options.linger.max(LOOK_AGAIN));
        };
        let wait = filling.due?.saturating_sub(now);
        if !wait.is_zero() {
            return Some(wait);
        }
        match self.write(&mut filling) {
            // Told to the tickets of the batch.
            Ok(()) | Err(_) => None,
        }
    }
}

/// Where a record of a [`Writer`] is: in memory, written, or on the medium.
#[derive(Clone, Debug)]
pub struct WriterTicket {
    index: u32,
    written: Arc<Written>,
    writer: Arc<Shared>,
}

/// How far a record of a [`Writer`] has come.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stage {
    /// In memory: lost if the process dies.
    Buffered,
    /// Its batch could not be written; [`WriterTicket::wait_written`] says why.
    Failed,
    /// Written: survives the death of the process.
    Appended,
    /// On the medium: survives a power cut.
    Durable,
}

impl WriterTicket {
    /// How far the record has come. Never blocks.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.written.result.get() {
            None => Stage::Buffered,
            Some(Err(_)) => Stage::Failed,
            Some(Ok(ticket)) if ticket.is_durable() => Stage::Durable,
            Some(Ok(_)) => Stage::Appended,
        }
    }

    /// The record's offset, once it is written.
    #[must_use]
    pub fn offset(&self) -> Option<Offset> {
        let ticket = self.written.result.get()?.as_ref().ok()?;
        Some(ticket.offset().saturating_add(u64::from(self.index)))
    }

    /// Waits until the record's batch is written, and writes it on this thread when its time has come; returns the record's offset.
    ///
    /// # Errors
    /// Why the batch could not be written.
    pub fn wait_written(&self) -> Result<Offset> {
        let linger = self.writer.options.linger;
        let listener = self.written.event.listen();
        if self.written.result.get().is_none() && listener.wait_timeout(linger).is_none() {
            self.write_now();
        }
        self.batch().map(|batch| self.offset_in(&batch))
    }

    /// Waits until the record is written and on the medium; syncs on this thread when nobody else does. Does not linger.
    ///
    /// # Errors
    /// As [`WriterTicket::wait_written`] and [`Ticket::wait_durable`].
    pub fn wait_durable(&self) -> Result<Offset> {
        self.write_now();
        let batch = self.batch()?;
        batch.wait_durable()?;
        Ok(self.offset_in(&batch))
    }

    /// A future that is ready once the record is on the medium. Flushers of the log write and sync; it does no I/O.
    #[must_use = "a future does nothing unless it is polled"]
    pub fn durable(self) -> WriterDurable {
        WriterDurable {
            ticket: self,
            listener: None,
            durable: None,
        }
    }

    /// Writes the batch of the record, unless that has happened.
    fn write_now(&self) {
        let mut filling = self.writer.filling.lock();
        if Arc::ptr_eq(&filling.written, &self.written) {
            match self.writer.write(&mut filling) {
                // The tickets of the batch have it, this one among them.
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// The ticket of the whole batch.
    fn batch(&self) -> Result<Ticket> {
        match self.written.result.get() {
            Some(result) => result.clone(),
            None => Err(self.writer.partition.core.closed()),
        }
    }

    fn offset_in(&self, batch: &Ticket) -> Offset {
        batch.offset().saturating_add(u64::from(self.index))
    }
}

/// A future that is ready once a record of a [`Writer`] is on the medium; yields its offset.
#[derive(Debug)]
pub struct WriterDurable {
    ticket: WriterTicket,
    listener: Option<EventListener>,
    durable: Option<Durable>,
}

impl Future for WriterDurable {
    type Output = Result<Offset>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            if let Some(durable) = &mut this.durable {
                let index = u64::from(this.ticket.index);
                return Pin::new(durable)
                    .poll(context)
                    .map_ok(|base| base.saturating_add(index));
            }
            let written = &this.ticket.written;
            let listener = this.listener.get_or_insert_with(|| written.event.listen());
            match written.result.get() {
                Some(Ok(batch)) => {
                    this.durable = Some(batch.clone().durable());
                    continue;
                }
                Some(Err(error)) => return Poll::Ready(Err(error.clone())),
                None => {}
            }
            if Pin::new(listener).poll(context).is_pending() {
                return Poll::Pending;
            }
            this.listener = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::testing::{Bench, block_on, in_memory, offset};
    use crate::partition::{FsyncPolicy, TopicOptions};
    use crate::timestamp::{Clock, Timestamp};

    fn lingering(linger: Duration) -> (Bench, Writer) {
        let bench = in_memory(TopicOptions::default());
        let options = WriterOptions::default().linger(linger).batch_bytes(400);
        let writer = bench.partition.writer(options).unwrap();
        (bench, writer)
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_record_goes_from_memory_to_the_file_to_the_medium_and_its_ticket_says_so() {
        let (bench, writer) = lingering(HOUR);
        let first = writer.send(Record::new("a")).unwrap();
        let second = writer.send(Record::new("b")).unwrap();
        assert_eq!((second.stage(), second.offset()), (Stage::Buffered, None));
        assert_eq!(bench.partition.watermarks().end, offset(0));
        writer.flush().unwrap();
        assert_eq!(second.stage(), Stage::Appended);
        assert_eq!(second.wait_written().unwrap(), offset(1));
        bench.partition.sync().unwrap();
        assert_eq!(
            (first.stage(), second.stage()),
            (Stage::Durable, Stage::Durable)
        );
        assert_eq!(bench.partition.stats().appended_batches, 1);
    }

    #[test]
    fn a_full_batch_is_written_by_who_fills_it() {
        let (bench, writer) = lingering(HOUR);
        let tickets: Vec<_> = (0..42)
            .map(|_| writer.send(Record::new(&[b'x'; 30])).unwrap())
            .collect();
        assert_eq!(tickets[0].stage(), Stage::Appended);
        assert_eq!(tickets[41].stage(), Stage::Buffered);
        let batches = bench.partition.stats().appended_batches;
        assert!((2..10).contains(&batches), "{batches}");
        drop(writer);
        assert_eq!(tickets[41].offset(), Some(offset(41)), "dropping it writes");
    }

    #[test]
    fn what_lingers_is_written_when_its_time_has_come() {
        let (bench, writer) = lingering(Duration::from_millis(20));
        let ticket = writer.send(Record::new("a")).unwrap();
        bench.clock.advance(Duration::from_millis(19));
        assert!(!bench.flush_once().unwrap());
        assert_eq!(ticket.stage(), Stage::Buffered);
        bench.clock.advance(Duration::from_millis(1));
        assert!(bench.flush_once().unwrap());
        assert_eq!(ticket.stage(), Stage::Appended);
    }

    #[test]
    fn who_waits_for_the_medium_does_not_linger() {
        let (_bench, writer) = lingering(HOUR);
        let ticket = writer.send(Record::new("a")).unwrap();
        assert_eq!(ticket.wait_durable().unwrap(), offset(0));
        let (_bench, writer) = lingering(Duration::ZERO);
        assert_eq!(
            writer.send(Record::new("a")).unwrap().stage(),
            Stage::Appended
        );
    }

    #[test]
    fn a_future_is_ready_once_flushers_have_written_and_synced() {
        let (bench, writer) = lingering(Duration::from_millis(5));
        let ticket = writer.send(Record::new("a")).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| block_on(ticket.durable()));
            while !waiting.is_finished() {
                bench.clock.advance(Duration::from_millis(1));
                let requests = &bench.core().shared.sync_requests;
                let now = bench.clock.monotonic();
                if let Some(core) = requests.take(now, Duration::from_millis(1)) {
                    core.sync_if_due().unwrap();
                }
            }
            assert_eq!(waiting.join().unwrap().unwrap(), offset(0));
        });
    }

    #[test]
    fn records_with_and_without_a_time_go_to_batches_of_their_own() {
        let (bench, writer) = lingering(HOUR);
        let at = Timestamp::from_millis(crate::partition::testing::START_MS - 5);
        for record in [
            Record::new("a"),
            Record::new("b").timestamp(at),
            Record::new("c"),
        ] {
            writer.send(record).unwrap();
        }
        writer.flush().unwrap();
        assert_eq!(bench.partition.stats().appended_batches, 3);
        assert_eq!(bench.records().len(), 3);
    }

    #[test]
    fn a_record_that_is_too_large_is_refused_alone_and_a_failed_write_is_told_to_its_tickets() {
        let options = TopicOptions {
            max_message_bytes: 300,
            ..TopicOptions::default().fsync(FsyncPolicy::Never)
        };
        let bench = in_memory(options);
        let writer = bench
            .partition
            .writer(WriterOptions::default().linger(HOUR));
        let writer = writer.unwrap();
        let ticket = writer.send(Record::new("a")).unwrap();
        let error = writer.send(Record::new(&[0; 400])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert_eq!(ticket.wait_durable().unwrap(), offset(0));
        let lost = writer.send(Record::new("b")).unwrap();
        bench.core().close_for_deletion();
        assert_eq!(writer.flush().unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(lost.stage(), Stage::Failed);
        assert_eq!(lost.wait_written().unwrap_err().kind(), ErrorKind::Closed);
    }
}

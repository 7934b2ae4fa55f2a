//! A partition in memory, or on the simulated disk, for the tests of this floor and the ones above.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::{
    HighWatermark, Incarnation, Opening, Partition, PartitionCore, ReadUpTo, SharedByLog,
    SyncRequests, TopicOptions, UnsyncedBudget,
};
use crate::batch::RecordBatch;
use crate::error::Result;
use crate::offset::Offset;
use crate::segment::{OpenFiles, SegmentHome};
use crate::storage::{Memory, Storage};
use crate::sync::thread::{self, Thread};
use crate::timestamp::{ManualClock, Timestamp};
use crate::topic::{TopicName, TopicPartition};

/// When the clock of a test starts.
pub(crate) const START_MS: i64 = 1_700_000_000_000;

/// A partition with a clock that the test moves.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) partition: Partition,
    pub(crate) clock: Arc<ManualClock>,
}

pub(crate) fn offset(value: u64) -> Offset {
    Offset::new(value).expect("a small offset")
}

/// A partition that holds nothing.
pub(crate) fn empty_opening() -> Opening {
    Opening {
        start: Offset::ZERO,
        durable: Offset::ZERO,
        end: Offset::ZERO,
        first_unstable: None,
        high_watermark: HighWatermark::End,
        segments: Vec::new(),
        generation: 0,
        dense_from: Offset::ZERO,
        epochs: None,
    }
}

pub(crate) fn in_memory(options: TopicOptions) -> Bench {
    Bench::new(Arc::new(Memory::new()), options, UnsyncedBudget::default())
}

impl Bench {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        options: TopicOptions,
        unsynced: UnsyncedBudget,
    ) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(START_MS)));
        let open_files = Arc::new(OpenFiles::new(16));
        let shared = Arc::new(SharedByLog {
            clock: Arc::clone(&clock) as _,
            sync_requests: SyncRequests::default(),
            unsynced,
            make_room: super::MakeRoom::default(),
            incarnation: Incarnation([7; 16]),
            boot_id: storage.boot_id().ok(),
        });
        let name = TopicPartition::new(TopicName::new("t").expect("a name"), 0).expect("small");
        let dir = Path::new("/t-0");
        storage.create_dir(dir).expect("a new directory");
        storage.sync_dir(Path::new("/")).expect("a sound disk");
        let home = SegmentHome {
            storage,
            dir: dir.into(),
            open_files,
        };
        let core =
            PartitionCore::create(name, home, Arc::new(options), shared).expect("a new partition");
        Self {
            partition: Partition { core },
            clock,
        }
    }

    pub(crate) fn core(&self) -> &Arc<PartitionCore> {
        &self.partition.core
    }

    /// All batches from `at` on.
    pub(crate) fn batches_from(&self, at: Offset) -> Vec<RecordBatch> {
        let mut stream = self.partition.reader().stream(at);
        let mut batches = Vec::new();
        while let super::Next::Batch(found) =
            stream.next(ReadUpTo::End).expect("a readable partition")
        {
            batches.push(found.batch);
        }
        batches
    }

    /// Offset and value of every record.
    pub(crate) fn records(&self) -> Vec<(u64, String)> {
        let start = self.partition.watermarks().start;
        let mut records = Vec::new();
        for batch in self.batches_from(start) {
            for record in batch.records() {
                let record = record.expect("a whole record");
                let value = String::from_utf8_lossy(record.value().unwrap_or_default());
                records.push((record.offset().get(), value.into_owned()));
            }
        }
        records
    }

    /// Does once what a flusher of the log does.
    pub(crate) fn flush_once(&self) -> Result<bool> {
        use crate::timestamp::Clock;
        let shared = &self.core().shared;
        match (shared.sync_requests).take(self.clock.monotonic(), Duration::ZERO) {
            Some(core) => core.sync_if_due().map(|_| true),
            None => Ok(false),
        }
    }
}

/// Runs a future on this thread; hangs when nothing wakes it, however slow the machine is.
pub(crate) fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = std::pin::Pin::new(&mut future).poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

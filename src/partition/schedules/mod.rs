//! A partition in many orders of the threads that use it, on a disk that watches them.

mod commit;
mod cut;
mod kept;
mod marks;
mod whole;

use std::sync::Arc;

use super::testing::{Bench, offset};
use super::{PartitionCore, ReadUpTo, Tail, TopicOptions, UnsyncedBudget};
use crate::batch::{Record, RecordBatchBuilder};
use crate::compress::Compression;
use crate::error::{ErrorKind, Result};
use crate::offset::Offset;
use crate::partition::reader::{Found, Next};
use crate::segment::SegmentFiles;
use crate::storage::watched::Watched;
use crate::sync::thread::{self, JoinHandle};

/// A partition, shared by the threads of a test.
#[derive(Clone, Debug)]
struct Stage {
    bench: Arc<Bench>,
    disk: Watched,
}

impl Stage {
    fn new(options: TopicOptions) -> Self {
        Self::on(Watched::new(), options, UnsyncedBudget::default())
    }

    fn on(disk: Watched, options: TopicOptions, unsynced: UnsyncedBudget) -> Self {
        let bench = Bench::new(Arc::new(disk.clone()), options, unsynced);
        Self {
            bench: Arc::new(bench),
            disk,
        }
    }

    fn core(&self) -> &Arc<PartitionCore> {
        self.bench.core()
    }

    fn spawn<T: 'static>(&self, run: impl FnOnce(&Self) -> T + Send + 'static) -> JoinHandle<T>
    where
        T: Send,
    {
        let stage = self.clone();
        thread::spawn(move || run(&stage))
    }

    /// Whether a power cut would leave the batch.
    fn is_on_the_medium(&self, found: &Found) -> bool {
        let end = found.position.to_u64() + u64::from(found.batch.size_bytes());
        self.disk.keeps(&found.segment.log_path(), end)
    }

    /// Whether a power cut would leave all that was written.
    fn is_all_on_the_medium(&self) -> bool {
        let segments = self.core().published.snapshot().segments;
        let kept = |segment: &Arc<SegmentFiles>| {
            let end = segment.size().to_u64();
            self.disk.keeps(&segment.log_path(), end)
        };
        segments.iter().all(kept)
    }

    /// The batch that holds the record at `at`, which was appended; nothing in a partition that is closed.
    fn batch_at(&self, at: Offset) -> Option<Found> {
        let mut stream = self.bench.partition.reader().stream(at);
        match stream.next(ReadUpTo::End) {
            Ok(Next::Batch(found)) => Some(found),
            Err(error) if error.kind() == ErrorKind::Closed => None,
            other => panic!("no batch at {at}: {other:?}"),
        }
    }

    /// Starts a new segment, unless the active one is empty.
    fn roll(&self) -> Result<()> {
        let core = self.core();
        let mut writer = core.writer.lock();
        let Tail::Active(active) = &writer.tail else {
            return Ok(());
        };
        if active.is_empty() {
            return Ok(());
        }
        let end = active.next_offset();
        core.roll(&mut writer, &core.options(), end)
    }
}

/// `count` records whose values tell their offsets, the first of them `base`.
fn batch(base: u64, count: u64) -> RecordBatchBuilder {
    let mut builder = RecordBatchBuilder::new(Compression::None);
    for index in 0..count {
        let value = format!("{base}+{index}/{count}");
        builder.push(Record::new(&value)).expect("a small record");
    }
    builder
}

/// A whole batch of [`batch`] at its place; returns the offset behind it.
fn check_batch(found: &Found) -> u64 {
    let base = found.batch.base_offset().get();
    let count = u64::from(found.batch.record_count());
    let mut index = 0;
    for record in found.batch.records() {
        let record = record.expect("a whole record");
        let value = format!("{base}+{index}/{count}");
        assert_eq!(record.value(), Some(value.as_bytes()));
        assert_eq!(record.offset(), offset(base + index));
        index += 1;
    }
    assert_eq!(index, count, "half a batch at {base}");
    base + count
}

//! What readers see of a partition, and what they are made of.

mod damage;
mod fetching;
mod kafka;
mod moving;
mod places;
mod transactions;
mod waiting;

use std::time::Duration;

use crate::batch::{Record, RecordBatchBuilder};
use crate::compress::Compression;
use crate::cursor::{Cursor, Start};
use crate::error::{Error, ErrorKind, GapCause};
use crate::offset::Offset;
use crate::partition::TopicOptions;
use crate::partition::testing::{Bench, START_MS, in_memory, offset};
use crate::segment::FileName;
use crate::storage::Access;
use crate::timestamp::Timestamp;

/// Two batches of one small record each fit.
const SMALL_SEGMENT_BYTES: u32 = 150;

fn small_segments() -> TopicOptions {
    TopicOptions::default().segment_bytes(SMALL_SEGMENT_BYTES)
}

/// Record `n` has the value `v<n>`, a batch of its own and the time `START_MS + n`.
fn written(count: u64, options: TopicOptions) -> Bench {
    let bench = in_memory(options);
    append(&bench, count);
    bench
}

fn append(bench: &Bench, count: u64) {
    for _ in 0..count {
        let end = bench.partition.watermarks().end.get();
        let at = time(end);
        let record = format!("v{end}");
        let record = Record::new(&record).timestamp(at);
        bench.partition.append(record).expect("room in memory");
    }
}

fn append_batch(bench: &Bench, values: &[&str]) {
    let mut builder = RecordBatchBuilder::new(Compression::None);
    for value in values {
        builder.push(Record::new(*value)).expect("a small record");
    }
    bench.partition.append_batch(&builder).expect("room");
}

fn time(record: u64) -> Timestamp {
    Timestamp::from_millis(START_MS).saturating_add(Duration::from_millis(record))
}

fn earliest(bench: &Bench) -> Cursor {
    bench.partition.cursor(Start::Earliest).expect("open")
}

/// Offsets of the records up to the tail; a gap is its range and cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seen {
    Record(u64),
    Gap(u64, u64, GapCause),
}

fn seen(cursor: &mut Cursor) -> Vec<Seen> {
    let one = |item: Result<_, Error>| match item {
        Ok(record) => {
            let record: crate::batch::StoredRecord = record;
            Seen::Record(record.offset().get())
        }
        Err(error) => gap(&error),
    };
    cursor.map(one).collect()
}

fn gap(error: &Error) -> Seen {
    let gap = error.gap().unwrap_or_else(|| panic!("no gap: {error}"));
    Seen::Gap(gap.from().get(), gap.to().get(), gap.cause())
}

fn records(offsets: std::ops::Range<u64>) -> Vec<Seen> {
    offsets.map(Seen::Record).collect()
}

fn values(cursor: &mut Cursor) -> Vec<String> {
    let value = |record: crate::batch::StoredRecord| {
        String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned()
    };
    cursor.map(|record| value(record.expect("whole"))).collect()
}

/// Writes `bytes` over the log of the segment at `base`, `at` bytes into it.
fn overwrite(bench: &Bench, base: Offset, at: u64, bytes: &[u8]) {
    let home = &bench.core().home;
    let path = home.path(FileName::Log(base));
    let file = home.storage.open(&path, Access::Write).expect("a segment");
    file.write_at(bytes, at).expect("room");
}

fn cut_file(bench: &Bench, base: Offset, len_bytes: u64) {
    let home = &bench.core().home;
    let path = home.path(FileName::Log(base));
    let file = home.storage.open(&path, Access::Write).expect("a segment");
    file.set_len(len_bytes).expect("room");
}

/// Where the batch that holds `at` starts in its segment, and its size.
fn place_of(bench: &Bench, at: u64) -> (Offset, u64, u64) {
    let mut stream = bench.partition.reader().stream(offset(at));
    match stream.next(crate::partition::ReadUpTo::End).expect("whole") {
        crate::partition::Next::Batch(found) => (
            found.segment.base(),
            found.position.to_u64(),
            u64::from(found.batch.size_bytes()),
        ),
        crate::partition::Next::Tail => panic!("no batch at {at}"),
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.expect_err("an error").kind()
}

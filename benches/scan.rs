//! Scans and lookups: a cursor, which looks at every checksum, beside the least that a scan can do, a loop
//! that reads 64 KiB at a time and steps over the records without one. The file is in the page cache for both.

#![allow(
    clippy::disallowed_methods,
    reason = "a user of the crate touches files directly"
)]
#![allow(missing_docs, reason = "criterion's macros document nothing")]

#[path = "floor/scan.rs"]
mod floor;
#[path = "ours/scan.rs"]
mod ours;

use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stratalog::{Compression, Log, Offset, Partition, Record, RecordBatchBuilder};

const RECORDS: u64 = 500_000;
const VALUE_BYTES: usize = 100;

/// A partition of the topic `name` with [`RECORDS`] records, so many a batch.
fn filled(log: &Log, name: &str, records_a_batch: u64) -> Partition {
    let topic = log.topic(name).expect("a new topic");
    let partition = topic.partition(0).expect("the first partition");
    let mut builder = RecordBatchBuilder::new(Compression::None);
    let value = [7; VALUE_BYTES];
    for _ in 0..records_a_batch {
        builder.push(Record::new(&value)).expect("below the limit");
    }
    for _ in 0..RECORDS / records_a_batch {
        partition.append_batch(&builder).expect("room on the disk");
    }
    partition
}

fn segment_file(directory: &Path, topic: &str) -> PathBuf {
    let partition = directory.join(format!("{topic}-0"));
    partition.join("00000000000000000000.log")
}

fn scan(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("room for a directory");
    let log = Log::open(directory.path()).expect("an empty directory");
    let all = (RECORDS, RECORDS as usize * VALUE_BYTES);
    for (topic, records_a_batch) in [("hundreds", 100), ("singles", 1)] {
        let partition = filled(&log, topic, records_a_batch);
        let file = File::open(segment_file(directory.path(), topic)).expect("one segment");
        let mut group =
            criterion.benchmark_group(format!("scan, {records_a_batch} records a batch"));
        group.throughput(Throughput::Elements(RECORDS));
        group.sample_size(20);
        group.bench_function("raw 64 KiB pread, no checksum", |bench| {
            bench.iter(|| assert_eq!(floor::scan(&file), all));
        });
        group.bench_function("cursor, by batch", |bench| {
            bench.iter(|| assert_eq!(ours::by_batch(&partition), all));
        });
        group.bench_function("cursor, by owned record", |bench| {
            bench.iter(|| assert_eq!(ours::by_record(&partition), all));
        });
        group.finish();
        get(criterion, &partition, records_a_batch);
    }
    log.close().expect("a sound disk");
}

/// One record by its offset, spread over the partition so that no two calls in a row share a page.
fn get(criterion: &mut Criterion, partition: &Partition, records_a_batch: u64) {
    let mut group = criterion.benchmark_group(format!("get, {records_a_batch} records a batch"));
    group.throughput(Throughput::Elements(1));
    let mut at = 0;
    group.bench_function("by offset", |bench| {
        bench.iter(|| {
            at = (at + 7_919) % RECORDS;
            let offset = Offset::new(at).expect("a small offset");
            black_box(partition.get(offset).expect("a sound record"));
        });
    });
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);

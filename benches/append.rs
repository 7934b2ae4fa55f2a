//! Appends beside the raw floor: the same bytes through `pwrite`, and durable appends of one thread beside sixteen.
//!
//! `cargo bench --bench append`. Compare rows of one run only; the disk decides the absolute figures.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench is a user of the crate: it touches files directly and fails by panicking"
)]

#[path = "floor/append.rs"]
mod floor;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use stratalog::{
    Compression, FsyncPolicy, Log, Partition, Record, RecordBatchBuilder, Retention, TopicOptions,
};
use tempfile::TempDir;

use floor::{DurableWriter, FILE_BYTES, Writer, encoded};

const BATCH_RECORDS: usize = 100;
const VALUE_BYTES: usize = 100;

fn open(options: TopicOptions) -> (TempDir, Log, Partition) {
    let dir = TempDir::new().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let topic = log.create_topic("bench", options).unwrap();
    let partition = topic.partition(0).unwrap();
    (dir, log, partition)
}

fn options() -> TopicOptions {
    let retention = Retention::unlimited().bytes(u64::from(FILE_BYTES));
    TopicOptions::default()
        .segment_bytes(FILE_BYTES)
        .retention(retention)
}

/// Keeps the bench's disk small; not a part of what is measured.
fn trim(partition: &Partition, appended: &mut u64) {
    *appended += 1;
    if appended.is_multiple_of(20_000) {
        let marks = partition.watermarks();
        partition.delete_records_before(marks.end).unwrap();
    }
}

fn page_cache(c: &mut Criterion) {
    let mut group = c.benchmark_group("page cache");
    group.throughput(Throughput::Elements(BATCH_RECORDS as u64));
    batch(&mut group);
    raw(&mut group, BATCH_RECORDS);
    group.throughput(Throughput::Elements(1));
    single(&mut group);
    raw(&mut group, 1);
    group.finish();
}

fn batch(group: &mut BenchmarkGroup<'_, WallTime>) {
    let (_dir, _log, partition) = open(options());
    let value = [7u8; VALUE_BYTES];
    let mut batch = RecordBatchBuilder::new(Compression::None);
    let mut appended = 0;
    for _ in 0..BATCH_RECORDS {
        batch.push(Record::new(&value)).unwrap();
    }
    group.bench_function("append a batch of 100 x 100 B", |b| {
        b.iter(|| {
            partition.append_batch(black_box(&batch)).unwrap();
            trim(&partition, &mut appended);
        });
    });
    group.bench_function("fill and append a batch of 100 x 100 B", |b| {
        b.iter(|| {
            batch.clear();
            for _ in 0..BATCH_RECORDS {
                batch.push(Record::new(black_box(&value))).unwrap();
            }
            partition.append_batch(&batch).unwrap();
            trim(&partition, &mut appended);
        });
    });
}

fn single(group: &mut BenchmarkGroup<'_, WallTime>) {
    let (_dir, _log, partition) = open(options());
    let value = [7u8; VALUE_BYTES];
    let mut appended = 0;
    group.bench_function("append one record of 100 B", |b| {
        b.iter(|| {
            partition.append(Record::new(black_box(&value))).unwrap();
            trim(&partition, &mut appended);
        });
    });
}

fn raw(group: &mut BenchmarkGroup<'_, WallTime>, records: usize) {
    let dir = TempDir::new().unwrap();
    let mut writer = Writer::new(dir.path());
    let batch = encoded(records, &[7; VALUE_BYTES]);
    group.bench_function(format!("raw pwrite of a batch of {records} x 100 B"), |b| {
        b.iter(|| writer.write(black_box(&batch)));
    });
}

fn durable(c: &mut Criterion) {
    let mut group = c.benchmark_group("durable each");
    group
        .throughput(Throughput::Elements(1))
        .sample_size(20)
        .measurement_time(Duration::from_secs(5));
    for threads in [1u64, 16] {
        let (_dir, _log, partition) = open(options().fsync(FsyncPolicy::Always));
        group.bench_function(format!("append, {threads} threads"), |b| {
            b.iter_custom(|iterations| appends(&partition, threads, iterations));
        });
    }
    let dir = TempDir::new().unwrap();
    let mut writer = DurableWriter::new(dir.path());
    let batch = encoded(1, &[7; VALUE_BYTES]);
    group.bench_function("raw pwrite and fdatasync on prepared space", |b| {
        b.iter(|| writer.write(black_box(&batch)));
    });
    group.finish();
}

/// The time for `iterations` appends by all threads together.
fn appends(partition: &Partition, threads: u64, iterations: u64) -> Duration {
    let value = [7u8; VALUE_BYTES];
    let started = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let share = iterations / threads + u64::from(thread < iterations % threads);
            scope.spawn(move || {
                for _ in 0..share {
                    partition.append(Record::new(black_box(&value))).unwrap();
                }
            });
        }
    });
    started.elapsed()
}

criterion_group!(benches, page_cache, durable);
criterion_main!(benches);

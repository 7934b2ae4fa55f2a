//! Scans of 100-record batches: a cursor, which looks at every checksum, beside the least that a scan can do, a loop
//! that reads 64 KiB at a time and steps over the records without one. The file is in the page cache for both.

#![allow(
    clippy::disallowed_methods,
    reason = "a user of the crate touches files directly"
)]
#![allow(missing_docs, reason = "criterion's macros document nothing")]

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stratalog::{Compression, Log, Partition, Record, RecordBatchBuilder, Start};

const RECORDS_A_BATCH: u64 = 100;
const BATCHES: u64 = 5_000;
const VALUE_BYTES: usize = 100;
const READ_BYTES: usize = 64 << 10;

/// Bytes before the records, and where the length of what follows it stands (record batch v2).
const HEADER_BYTES: usize = 61;
const LENGTH_AT: usize = 8;
const LENGTH_END: usize = 12;

fn fill(partition: &Partition) {
    let mut builder = RecordBatchBuilder::new(Compression::None);
    let value = [7; VALUE_BYTES];
    for _ in 0..RECORDS_A_BATCH {
        builder.push(Record::new(&value)).expect("below the limit");
    }
    for _ in 0..BATCHES {
        partition.append_batch(&builder).expect("room on the disk");
    }
}

fn segment_file(directory: &Path) -> PathBuf {
    directory.join("scan-0").join("00000000000000000000.log")
}

/// Records and bytes of values, from whole batches.
fn by_batch(partition: &Partition) -> (u64, usize) {
    let mut cursor = partition.cursor(Start::Earliest).expect("an open log");
    let (mut records, mut bytes) = (0, 0);
    while let Some(batch) = cursor.next_batch().expect("sound batches") {
        for record in batch.records() {
            let record = record.expect("sound records");
            bytes += record.value().map_or(0, <[u8]>::len);
            records += 1;
        }
    }
    (records, bytes)
}

/// The same, from owned records.
fn by_record(partition: &Partition) -> (u64, usize) {
    let cursor = partition.cursor(Start::Earliest).expect("an open log");
    let (mut records, mut bytes) = (0, 0);
    for record in cursor {
        let record = record.expect("sound records");
        bytes += record.value().map_or(0, <[u8]>::len);
        records += 1;
    }
    (records, bytes)
}

fn varint(bytes: &[u8], at: &mut usize) -> i64 {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return (value >> 1) as i64 ^ -((value & 1) as i64);
        }
        shift += 7;
    }
}

/// Steps over the records of one batch: length, attributes, both deltas, key, value.
fn step_over(batch: &[u8], records: &mut u64, bytes: &mut usize) {
    let mut at = HEADER_BYTES;
    while at < batch.len() {
        let length = varint(batch, &mut at) as usize;
        let end = at + length;
        at += 1;
        black_box(varint(batch, &mut at));
        black_box(varint(batch, &mut at));
        let key = varint(batch, &mut at);
        at += usize::try_from(key).unwrap_or(0);
        *bytes += usize::try_from(varint(batch, &mut at)).unwrap_or(0);
        *records += 1;
        at = end;
    }
}

fn raw(file: &File) -> (u64, usize) {
    let mut buffer = vec![0; READ_BYTES];
    let (mut position, mut records, mut bytes) = (0, 0, 0);
    loop {
        let read = file.read_at(&mut buffer, position).expect("a local file");
        let filled = &buffer[..read];
        let mut at = 0;
        while let Some(length) = filled.get(at + LENGTH_AT..at + LENGTH_END) {
            let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
            let size = LENGTH_END + length as usize;
            let Some(batch) = filled.get(at..at + size) else {
                break;
            };
            step_over(batch, &mut records, &mut bytes);
            at += size;
        }
        if at == 0 {
            return (records, bytes);
        }
        position += at as u64;
    }
}

fn scan(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("room for a directory");
    let log = Log::open(directory.path()).expect("an empty directory");
    let topic = log.topic("scan").expect("a new topic");
    let partition = topic.partition(0).expect("the first partition");
    fill(&partition);
    let file = File::open(segment_file(directory.path())).expect("one segment");
    let all = (
        BATCHES * RECORDS_A_BATCH,
        (BATCHES * RECORDS_A_BATCH) as usize * VALUE_BYTES,
    );

    let mut group = criterion.benchmark_group("scan of 100-record batches");
    group.throughput(Throughput::Elements(BATCHES * RECORDS_A_BATCH));
    group.sample_size(20);
    group.bench_function("raw 64 KiB pread, no checksum", |bench| {
        bench.iter(|| assert_eq!(raw(&file), all));
    });
    group.bench_function("cursor, by batch", |bench| {
        bench.iter(|| assert_eq!(by_batch(&partition), all));
    });
    group.bench_function("cursor, by owned record", |bench| {
        bench.iter(|| assert_eq!(by_record(&partition), all));
    });
    group.finish();
    log.close().expect("a sound disk");
}

criterion_group!(benches, scan);
criterion_main!(benches);

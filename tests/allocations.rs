//! Filling a batch and reading it allocate nothing per record. A binary of its own, because the allocator that
//! counts is that of the whole process.

use allocation_counter::measure;
use stratalog::{
    Compression, Log, Maintenance, Partition, Record, RecordBatchBuilder, Start, Timestamp,
};

const RECORDS: u32 = 1_000;

fn fill(builder: &mut RecordBatchBuilder) {
    let headers = [("trace", Some(&b"7f"[..])), ("flag", None)];
    let value = [7; 100];
    for i in 0..RECORDS {
        let key = i.to_be_bytes();
        let at = Timestamp::from_millis(1_700_000_000_000 + i64::from(i));
        let record = Record::new(&value)
            .key(&key)
            .headers(&headers)
            .timestamp(at);
        builder.push(record).expect("below the limit");
    }
}

#[test]
fn filling_a_builder_that_was_used_before_allocates_nothing() {
    let mut builder = RecordBatchBuilder::new(Compression::None);
    fill(&mut builder);
    builder.clear();
    let used = measure(|| fill(&mut builder));
    assert_eq!(used.count_total, 0);
    assert_eq!(builder.record_count(), RECORDS);
}

#[test]
fn verifying_and_reading_an_uncompressed_batch_allocates_nothing() {
    let mut builder = RecordBatchBuilder::new(Compression::None);
    fill(&mut builder);
    let batch = builder.finish().expect("records");
    let used = measure(|| {
        let batch = batch.verify().expect("what was just built");
        let mut bytes = 0;
        for record in batch.records() {
            let record = record.expect("what was just built");
            bytes += record.value().map_or(0, <[u8]>::len);
            bytes += record
                .headers()
                .map(|header| header.key.len())
                .sum::<usize>();
        }
        assert_eq!(
            bytes,
            RECORDS as usize * (100 + "trace".len() + "flag".len())
        );
    });
    assert_eq!(used.count_total, 0);
}

#[test]
fn owned_records_share_their_batch() {
    let mut builder = RecordBatchBuilder::new(Compression::None);
    fill(&mut builder);
    let batch = builder
        .finish()
        .expect("records")
        .verify()
        .expect("what was just built");
    let used = measure(|| {
        let large = batch.into_iter().filter(|record| record.is_ok()).count();
        assert_eq!(large, RECORDS as usize);
    });
    assert!(
        used.count_total <= 1,
        "one for the count of the references, none per record"
    );
}

#[test]
fn reading_a_compressed_batch_allocates_for_the_batch_and_not_for_the_record() {
    for name in ["gzip", "snappy", "lz4", "zstd"] {
        let compression: Compression = name.parse().expect("a codec");
        if !compression.codec().is_available() {
            continue;
        }
        let mut builder = RecordBatchBuilder::new(compression);
        fill(&mut builder);
        let batch = builder
            .finish()
            .expect("records")
            .verify()
            .expect("what was just built");
        let used = measure(|| assert_eq!(batch.records().count(), RECORDS as usize));
        assert!(used.count_total < 50, "{name}: {}", used.count_total);
        let again = measure(|| assert_eq!(batch.records().count(), RECORDS as usize));
        assert_eq!(again.count_total, 0, "{name} is unpacked once");
    }
}

/// A partition on the disk of which nobody but the caller takes care: what is counted is the caller's own.
fn on_disk() -> (tempfile::TempDir, Log, Partition) {
    let directory = tempfile::tempdir().expect("room for a directory");
    let log = Log::builder(directory.path())
        .maintenance(Maintenance::Manual)
        .open()
        .expect("an empty directory");
    let topic = log.topic("numbers").expect("a new topic");
    let partition = topic.partition(0).expect("the first partition");
    (directory, log, partition)
}

fn hundred() -> RecordBatchBuilder {
    let mut builder = RecordBatchBuilder::new(Compression::None);
    for _ in 0..100 {
        builder
            .push(Record::new(&[7; 100]))
            .expect("below the limit");
    }
    builder
}

/// Three lists of index entries grow by doubling, about four times each from the warm-up to the end; the rest is slack.
const A_FEW: u64 = 20;

#[test]
fn appending_records_allocates_nothing_per_record() {
    let (_directory, _log, partition) = on_disk();
    let append = |count: u32| {
        for _ in 0..count {
            let ticket = partition.append(Record::new(&[7; 100])).expect("room");
            assert!(!ticket.is_durable());
        }
    };
    append(RECORDS);
    for count in [RECORDS, 10 * RECORDS] {
        let used = measure(|| append(count));
        assert!(used.count_total < A_FEW, "{count} records: {used:?}");
    }
}

#[test]
fn appending_batches_allocates_nothing_per_batch() {
    let (_directory, _log, partition) = on_disk();
    let mut builder = hundred();
    let mut append = |count: u32| {
        for _ in 0..count {
            builder.clear();
            for _ in 0..100 {
                builder
                    .push(Record::new(&[7; 100]))
                    .expect("below the limit");
            }
            partition.append_batch(&builder).expect("room");
        }
    };
    append(100);
    for count in [100, 1_000] {
        let used = measure(|| append(count));
        assert!(used.count_total < A_FEW, "{count} batches: {used:?}");
    }
}

#[test]
fn a_scan_allocates_nothing_per_record_or_batch() {
    // Single records and batches of a hundred: the first would show what is allocated for a batch, the others for a record.
    for (per_batch, count) in [(1, 1_000), (1, 10_000), (100, 50), (100, 500)] {
        let (_directory, _log, partition) = on_disk();
        let builder = hundred();
        for _ in 0..count {
            match per_batch {
                1 => partition.append(Record::new(&[7; 100])),
                _ => partition.append_batch(&builder),
            }
            .expect("room");
        }
        let mut cursor = partition.cursor(Start::Earliest).expect("an open log");
        let batches = measure(|| {
            while let Some(batch) = cursor.next_batch().expect("whole") {
                assert_eq!(batch.records().count(), per_batch);
            }
        });
        let cursor = partition.cursor(Start::Earliest).expect("an open log");
        let records = measure(|| assert_eq!(cursor.count(), per_batch * count));
        // Two buffers of the cursor and what they grew through.
        for used in [batches, records] {
            assert!(
                used.count_total < 40,
                "{count} batches of {per_batch}: {used:?}"
            );
        }
    }
}

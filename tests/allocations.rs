//! Filling a batch and reading it allocate nothing per record. A binary of its own, because the allocator that
//! counts is that of the whole process.

use allocation_counter::measure;
use stratalog::{Compression, Record, RecordBatchBuilder, Timestamp};

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

#[test]
fn an_append_allocates_next_to_nothing() {
    let storage = std::sync::Arc::new(stratalog::storage::Memory::new());
    let log = stratalog::Log::builder("/log")
        .storage(storage)
        .open()
        .expect("an empty disk");
    let topic = log.topic("numbers").expect("a new topic");
    let partition = topic.partition(0).expect("the first partition");
    let value = [7; 100];
    let append = || {
        for _ in 0..RECORDS {
            let ticket = partition.append(Record::new(&value)).expect("room");
            assert!(!ticket.is_durable());
        }
    };
    append();
    let used = measure(append);
    // Index entries grow by doubling; nothing is allocated for a record.
    assert!(used.count_total < 30, "{used:?}");
}

#[test]
fn a_scan_allocates_nothing_per_record_or_batch() {
    let storage = std::sync::Arc::new(stratalog::storage::Memory::new());
    let log = stratalog::Log::builder("/log")
        .storage(storage)
        .open()
        .expect("an empty disk");
    let topic = log.topic("numbers").expect("a new topic");
    let partition = topic.partition(0).expect("the first partition");
    let mut builder = RecordBatchBuilder::new(Compression::None);
    let value = [7; 100];
    for _ in 0..100 {
        builder.push(Record::new(&value)).expect("below the limit");
    }
    for _ in 0..50 {
        partition.append_batch(&builder).expect("room");
    }
    let mut cursor = partition
        .cursor(stratalog::Start::Earliest)
        .expect("an open log");
    let batches = measure(|| {
        while let Some(batch) = cursor.next_batch().expect("whole") {
            assert_eq!(batch.records().count(), 100);
        }
    });
    // Two buffers of the cursor and what they grew through; nothing for 50 batches of 100 records.
    assert!(batches.count_total < 40, "{batches:?}");
    let cursor = partition
        .cursor(stratalog::Start::Earliest)
        .expect("an open log");
    let records = measure(|| assert_eq!(cursor.count(), 5_000));
    assert!(records.count_total < 40, "{records:?}");
}

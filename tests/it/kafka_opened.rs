//! Directories that a real Kafka wrote, read and opened by us: the same lines, ends, segments, epochs, producers, fetches and
//! consumed records that Kafka's own classes and clients give.

use std::sync::Arc;

use serde_json::{Value, json};
use stratalog::inspect::{self, Format, Target};
use stratalog::{
    Fetch, Log, Maintenance, ManualClock, Offset, Partition, PartitionView, ReadUpTo, Start,
    Timestamp, UnverifiedBatch,
};

use crate::kafka_fixtures::{
    Fixture, check_each, differing_facts, differing_lines, differing_read,
};

/// The clock with which Kafka opened the fixtures.
const NOW: Timestamp = Timestamp::from_millis(1_700_003_600_000);

fn lines(bytes: Vec<u8>) -> Vec<String> {
    String::from_utf8(bytes)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn dump_prints_the_lines_of_kafkas_own_classes() {
    check_each(|fixture| {
        let mut found = Vec::new();
        inspect::dump(fixture.partition_directory(), Format::Json, &mut found).unwrap();
        differing_lines(&fixture.dump_lines(), &lines(found))
    });
}

#[test]
fn offsets_prints_what_kafka_answers_for_times() {
    check_each(|fixture| {
        let targets: Vec<Target> = fixture
            .offset_targets()
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let mut found = Vec::new();
        inspect::offsets(
            fixture.partition_directory(),
            &targets,
            Format::Json,
            &mut found,
        )
        .unwrap();
        differing_lines(&fixture.offset_lines(), &lines(found))
    });
}

#[test]
fn opening_finds_kafkas_ends_segments_epochs_and_producers() {
    check_each(|fixture| {
        let copy = fixture.copy();
        let log = Log::builder(copy.path())
            .clock(Arc::new(ManualClock::at(NOW)))
            .maintenance(Maintenance::Manual)
            .open()
            .unwrap();
        assert!(log.recovery().was_adopted(), "{}", log.recovery());
        let partition = log.topics()[0].partitions()[0].clone();
        let differences = differing_facts(&fixture.open_facts(), &facts(&partition));
        log.close().unwrap();
        differences
    });
}

fn facts(partition: &Partition) -> Value {
    let marks = partition.watermarks();
    let replica = partition.replica();
    let segments: Vec<Value> = partition
        .segments()
        .unwrap()
        .iter()
        .map(|segment| {
            json!({
                "base_offset": segment.base_offset().get(),
                "size": segment.size_bytes(),
                "next_offset": segment.end_offset().get(),
                "largest_timestamp": segment.largest_timestamp().map(Timestamp::as_millis),
            })
        })
        .collect();
    let epochs: Vec<Value> = replica
        .epochs()
        .iter()
        .map(|(epoch, start)| json!({"epoch": epoch.get(), "start_offset": start.get()}))
        .collect();
    let producers: Vec<Value> = replica
        .producers()
        .iter()
        .map(|producer| {
            let batches: Vec<Value> = producer
                .batches
                .iter()
                .map(|batch| {
                    json!({
                        "first_sequence": batch.first_sequence.get(),
                        "last_sequence": batch.last_sequence.get(),
                        "first_offset": batch.first_offset.get(),
                        "last_offset": batch.last_offset.get(),
                        "timestamp": batch.timestamp.map_or(-1, Timestamp::as_millis),
                    })
                })
                .collect();
            json!({
                "producer_id": producer.id.get(),
                "producer_epoch": producer.epoch.get(),
                "coordinator_epoch": producer.coordinator_epoch.unwrap_or(-1),
                "last_timestamp": producer.last_timestamp.map_or(-1, Timestamp::as_millis),
                "transaction_first_offset": producer.transaction_first_offset.map(Offset::get),
                "batches": batches,
            })
        })
        .collect();
    let aborted: Vec<Value> = replica
        .aborted(marks.start..marks.end)
        .unwrap()
        .iter()
        .map(|aborted| {
            json!({
                "producer_id": aborted.producer_id().get(),
                "first_offset": aborted.first_offset().get(),
                "last_offset": aborted.last_offset().get(),
                "last_stable_offset": aborted.last_stable_offset().get(),
            })
        })
        .collect();
    json!({
        "topic": partition.name().topic().as_str(),
        "partition": partition.index(),
        "log_start": marks.start.get(),
        "log_end": marks.end.get(),
        "last_stable_offset": marks.last_stable.get(),
        "segments": segments,
        "epochs": epochs,
        "producers": producers,
        "aborted_transactions": aborted,
    })
}

fn view(fixture: &Fixture) -> PartitionView {
    let topic = Log::view(fixture.log_directory()).unwrap().topics()[0].clone();
    topic.partition(topic.partitions()[0]).unwrap()
}

#[test]
fn fetches_give_kafkas_batches_and_aborted_transactions() {
    check_each(|fixture| {
        let reads = fixture.reads();
        if reads.is_empty() {
            return Vec::new();
        }
        let partition = view(fixture);
        reads
            .iter()
            .flat_map(|read| differing_read(read, &fetch(&partition, read)))
            .collect()
    });
}

fn fetch(partition: &PartitionView, read: &Value) -> Value {
    let isolation = read["isolation"].as_str().unwrap();
    let up_to = match isolation {
        "read_committed" => ReadUpTo::LastStable,
        "high_watermark" => ReadUpTo::HighWatermark,
        _ => ReadUpTo::End,
    };
    let request = Fetch::from(Offset::new(read["offset"].as_u64().unwrap()).unwrap())
        .max_bytes(u32::try_from(read["max_bytes"].as_u64().unwrap()).unwrap())
        .up_to(up_to);
    let fetched = partition.fetch(&request).unwrap();
    let bytes = fetched.bytes().unwrap();
    let mut batches = Vec::new();
    let mut offsets = Vec::new();
    for batch in UnverifiedBatch::split(bytes.clone()) {
        let batch = batch.unwrap().verify().unwrap();
        batches.push(json!({
            "base_offset": batch.base_offset().get(),
            "last_offset": batch.last_offset().get(),
            "size": batch.size_bytes(),
            "control": batch.is_control(),
        }));
        offsets.extend(batch.records().map(|record| record.unwrap().offset().get()));
    }
    let aborted: Vec<Value> = fetched
        .aborted()
        .iter()
        .map(|aborted| {
            json!({"producer_id": aborted.producer_id().get(), "first_offset": aborted.first_offset().get()})
        })
        .collect();
    json!({
        "bytes_in_complete_batches": bytes.len(),
        "batches": batches,
        "record_offsets": offsets,
        "aborted_transactions": if isolation == "read_committed" { json!(aborted) } else { Value::Null },
    })
}

#[test]
fn cursors_give_the_records_that_the_java_consumer_got() {
    check_each(|fixture| {
        let Some((all, committed)) = fixture.consumed_lines() else {
            return Vec::new();
        };
        let partition = view(fixture);
        let mut differences = Vec::new();
        for (expected, up_to) in [(all, ReadUpTo::End), (committed, ReadUpTo::LastStable)] {
            let cursor = partition.cursor(Start::Earliest).unwrap().read_up_to(up_to);
            let found: Vec<u64> = cursor
                .map(|record| record.unwrap().offset().get())
                .collect();
            let expected: Vec<u64> = expected
                .iter()
                .map(|line| {
                    serde_json::from_str::<Value>(line).unwrap()["offset"]
                        .as_u64()
                        .unwrap()
                })
                .collect();
            if found != expected {
                differences.push(format!(
                    "{up_to:?}: Kafka gave {} records, found {}",
                    expected.len(),
                    found.len()
                ));
            }
        }
        differences
    });
}

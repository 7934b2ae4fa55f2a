//! The batches that Kafka wrote, read through the public door for batches: every field and record is the one
//! that Kafka reads.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};
use stratalog::{RecordBatch, RecordRef, Timestamp, TimestampType, UnverifiedBatch};

use crate::kafka_fixtures::check_each;

/// Keys of a batch line that the public batch does not tell, or that depend on the file.
const NOT_OF_THE_BATCH: &[&str] = &["position", "file", "magic", "crc", "base_timestamp"];

#[test]
fn every_batch_of_kafka_reads_as_kafka_reads_it() {
    check_each(|fixture| {
        let mut found = Vec::new();
        for segment in segments(&fixture.partition_directory()) {
            let bytes = Bytes::from(std::fs::read(segment).unwrap());
            // What lies behind the last whole batch of a killed writer is the walker's to judge, not the batch's.
            for batch in UnverifiedBatch::split(bytes).map_while(Result::ok) {
                let batch = batch.verify().unwrap();
                found.push(batch_line(&batch));
                found.extend(
                    batch
                        .records()
                        .map(|record| record_line(&batch, record.unwrap())),
                );
            }
        }
        let expected = fixture
            .dump_lines()
            .iter()
            .map(|line| comparable(line))
            .collect::<Vec<_>>();
        let expected: Vec<_> = expected
            .into_iter()
            .filter(|l| l["kind"] != "error")
            .collect();
        let differing = expected
            .iter()
            .zip(&found)
            .find(|(expected, found)| expected != found);
        match differing {
            Some((expected, found)) => vec![format!("Kafka {expected}\nfound {found}")],
            None if expected.len() != found.len() => {
                vec![format!(
                    "Kafka {} lines, found {}",
                    expected.len(),
                    found.len()
                )]
            }
            None => Vec::new(),
        }
    });
}

fn segments(partition: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(partition)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    paths
}

fn comparable(line: &str) -> Value {
    let mut line: Value = serde_json::from_str(line).unwrap();
    let fields = line.as_object_mut().unwrap();
    fields.retain(|key, _| !NOT_OF_THE_BATCH.contains(&key.as_str()));
    fields.remove("control_type");
    line
}

fn batch_line(batch: &RecordBatch) -> Value {
    json!({
        "kind": "batch",
        "base_offset": batch.base_offset().get(),
        "last_offset": batch.last_offset().get(),
        "count": batch.record_count(),
        "size": batch.size_bytes(),
        "leader_epoch": batch.leader_epoch().map_or(-1, |epoch| epoch.get()),
        "codec": batch.codec().name(),
        "timestamp_type": match batch.timestamp_type() {
            TimestampType::LogAppendTime => "LogAppendTime",
            _ => "CreateTime",
        },
        "max_timestamp": batch.max_timestamp().map_or(-1, Timestamp::as_millis),
        "producer_id": batch.producer_id().map_or(-1, |id| id.get()),
        "producer_epoch": batch.producer_epoch().map_or(-1, |epoch| epoch.get()),
        "base_sequence": batch.base_sequence().map_or(-1, |sequence| sequence.get()),
        "transactional": batch.is_transactional(),
        "control": batch.is_control(),
        "delete_horizon": batch.delete_horizon().map(Timestamp::as_millis),
    })
}

fn record_line(batch: &RecordBatch, record: RecordRef<'_>) -> Value {
    let headers: Vec<Value> = record
        .headers()
        .map(|header| json!([header.key, hex(header.value)]))
        .collect();
    assert!(record.offset() >= batch.base_offset() && record.offset() <= batch.last_offset());
    json!({
        "kind": "record",
        "offset": record.offset().get(),
        "timestamp": record.timestamp().map_or(-1, Timestamp::as_millis),
        "key": hex(record.key()),
        "value": hex(record.value()),
        "headers": headers,
    })
}

fn hex(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

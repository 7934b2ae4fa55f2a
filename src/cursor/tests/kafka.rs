//! Directories that Apache Kafka wrote (`tests/fixtures/kafka`): reads and searches by time held against what Kafka says.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::batch::{RecordBatch, UnverifiedBatch};
use crate::cursor::{Fetch, Fetched, Search, TimedOffset};
use crate::partition::{HighWatermark, Opening, PartitionReader, Published, ReadUpTo};
use crate::segment::{
    AbortedTransaction, OffsetRule, OpenFiles, SegmentFiles, SegmentHome, SegmentShape, Step,
};
use crate::storage::{Disk, EntryKind, Storage};
use crate::topic::{TopicName, TopicPartition};

const NO_LIMIT: u32 = u32::MAX;

struct Fixture {
    name: String,
    folder: PathBuf,
    reader: PartitionReader,
}

fn fixtures() -> Vec<Fixture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kafka");
    let mut found: Vec<Fixture> = folders(&root).into_iter().map(opened).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(found.len(), 28, "fixtures are missing");
    found
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = Disk::new().list(path).expect("listed");
    let folders = (entries.into_iter()).filter(|entry| entry.kind == EntryKind::Directory);
    folders.map(|entry| path.join(entry.name)).collect()
}

/// A reader over the files as they are, with the marks that Kafka found when it opened them.
fn opened(folder: PathBuf) -> Fixture {
    let facts = text(&folder, "expected-open.json").expect("Kafka's report");
    let facts: Value = serde_json::from_str(&facts).expect("JSON");
    let facts = &facts["partitions"][0];
    let mark = |name: &str| offset(facts[name].as_u64().expect("a mark"));
    let dir = folders(&folder.join("log")).remove(0);
    let home = SegmentHome {
        storage: Arc::new(Disk::new()),
        dir: Arc::from(dir.as_path()),
        open_files: Arc::new(OpenFiles::new(8)),
    };
    let mut segments = segments(&home);
    segments.retain(|segment| segment.base() < mark("log_end") || segment.base() == Offset::ZERO);
    let undecided = mark("last_stable_offset");
    let published = Published::new(Opening {
        start: mark("log_start"),
        durable: mark("log_end"),
        end: mark("log_end"),
        first_unstable: (undecided < mark("log_end")).then_some(undecided),
        high_watermark: HighWatermark::End,
        segments,
        generation: 0,
        dense_from: Offset::MAX,
        epochs: None,
    });
    Fixture {
        name: folder
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned(),
        folder,
        reader: PartitionReader {
            name: TopicPartition::new(TopicName::new("events").expect("a name"), 0).expect("small"),
            published: Arc::new(published),
            max_decompressed_bytes: NO_LIMIT,
        },
    }
}

fn segments(home: &SegmentHome) -> Vec<Arc<SegmentFiles>> {
    let entries = home.storage.list(&home.dir).expect("listed");
    let mut logs: Vec<(Offset, u64)> = entries
        .iter()
        .filter_map(|entry| match FileName::parse(entry.name.to_str()?) {
            FileName::Log(base) => Some((base, entry.len_bytes)),
            _ => None,
        })
        .collect();
    logs.sort_unstable();
    let sealed = |base, end, size_bytes| {
        let shape = SegmentShape {
            base,
            end,
            size_bytes,
            sealed_at: None,
        };
        SegmentFiles::sealed(home.clone(), shape)
    };
    let shaped = |&(base, len_bytes): &(Offset, u64)| {
        let len_bytes = u32::try_from(len_bytes).expect("a small fixture");
        // What an unclean end left behind the last batch is not read.
        let whole = sealed(base, Offset::MAX, len_bytes);
        let mut walker = whole.walk(OffsetRule::Ascending, NO_LIMIT).expect("opened");
        while let Step::Batch(_) = walker.step().expect("read") {}
        sealed(base, walker.expected(), walker.position().get())
    };
    logs.iter().map(shaped).collect()
}

fn text(folder: &Path, name: &str) -> Option<String> {
    let path = folder.join(name);
    let file = match Disk::new().open(&path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => panic!("{error}"),
    };
    let mut bytes = vec![0; usize::try_from(file.len().expect("a length")).expect("small")];
    assert_eq!(file.read_at(&mut bytes, 0).expect("read"), bytes.len());
    Some(String::from_utf8(bytes).expect("UTF-8"))
}

fn lines(folder: &Path, name: &str) -> Vec<Value> {
    let text = text(folder, name).unwrap_or_default();
    (text.lines())
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn verified(fetched: &Fetched) -> Vec<RecordBatch> {
    UnverifiedBatch::split(fetched.bytes().expect("unchanged"))
        .map(|batch| batch.and_then(UnverifiedBatch::verify).expect("whole"))
        .collect()
}

#[test]
fn a_fetch_gives_the_batches_and_aborted_transactions_that_kafka_gives() {
    let mut compared = 0;
    for fixture in fixtures() {
        for expected in lines(&fixture.folder, "expected-reads.jsonl") {
            let number = |key: &str| expected[key].as_u64().expect("a number");
            let is_committed = expected["isolation"] == "read_committed";
            let request = Fetch::from(offset(number("offset")))
                .max_bytes(u32::try_from(number("max_bytes")).expect("small"))
                .up_to(if is_committed {
                    ReadUpTo::LastStable
                } else {
                    ReadUpTo::End
                });
            let fetched = fixture.reader.fetch(&request).expect("whole");
            let batches = verified(&fetched);
            let described = |batch: &RecordBatch| {
                json!({
                    "base_offset": batch.base_offset().get(),
                    "last_offset": batch.last_offset().get(),
                    "size": batch.size_bytes(),
                    "control": batch.is_control(),
                })
            };
            let offsets = |batch: &RecordBatch| -> Vec<u64> {
                let offset = |record: crate::error::Result<crate::batch::RecordRef<'_>>| {
                    record.expect("whole").offset().get()
                };
                batch.records().map(offset).collect()
            };
            let aborted = |aborted: &AbortedTransaction| {
                json!({
                    "producer_id": aborted.producer_id().get(),
                    "first_offset": aborted.first_offset().get(),
                })
            };
            let aborted: Vec<Value> = fetched.aborted().iter().map(aborted).collect();
            let found = json!({
                "batches": batches.iter().map(described).collect::<Vec<_>>(),
                "bytes_in_complete_batches": fetched.len_bytes(),
                "record_offsets": batches.iter().flat_map(offsets).collect::<Vec<_>>(),
                "aborted_transactions": is_committed.then_some(aborted),
            });
            for key in [
                "batches",
                "bytes_in_complete_batches",
                "record_offsets",
                "aborted_transactions",
            ] {
                let place = (&fixture.name, &expected["isolation"], number("offset"), key);
                assert_eq!(found[key], expected[key], "{place:?}");
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 20);
}

#[test]
fn records_are_found_by_time_where_kafka_finds_them() {
    let mut compared = 0;
    for fixture in fixtures() {
        for expected in lines(&fixture.folder, "expected-times.jsonl") {
            let found = match &expected["target"] {
                Value::String(name) if name == "MAX_TIMESTAMP" => {
                    fixture.reader.offset_of_max_timestamp()
                }
                Value::String(_) => continue,
                target => {
                    let at = Timestamp::from_millis(target.as_i64().expect("a time"));
                    fixture.reader.offset_for(at, Search::FirstSegment)
                }
            };
            let found = found.expect("readable").map(|found: TimedOffset| {
                json!({
                    "target": expected["target"],
                    "offset": found.offset.get(),
                    "timestamp": found.timestamp.as_millis(),
                    "leader_epoch": found.leader_epoch.map(|epoch| epoch.get()),
                })
            });
            let none = || json!({"target": expected["target"], "offset": null, "timestamp": null, "leader_epoch": null});
            assert_eq!(found.unwrap_or_else(none), expected, "{}", fixture.name);
            compared += 1;
        }
    }
    assert!(compared > 500, "{compared} compared");
}

/// Offset, value and key of each record, as text.
fn told(records: impl Iterator<Item = Value>) -> Vec<(u64, String, String)> {
    let of = |record: &Value, key: &str| record[key].to_string();
    records
        .map(|record| {
            (
                record["offset"].as_u64().expect("an offset"),
                of(&record, "key"),
                of(&record, "value"),
            )
        })
        .collect()
}

#[test]
fn a_cursor_gives_the_records_that_the_java_consumer_got() {
    let mut compared = 0;
    for fixture in fixtures() {
        for (file, up_to) in [
            ("expected-consumed.jsonl", ReadUpTo::End),
            ("expected-consumed-committed.jsonl", ReadUpTo::LastStable),
        ] {
            let expected = lines(&fixture.folder, file);
            if expected.is_empty() {
                continue;
            }
            let expected: Vec<u64> = told(expected.into_iter())
                .into_iter()
                .map(|told| told.0)
                .collect();
            let cursor = Cursor::over(fixture.reader.clone(), Start::Earliest).expect("open");
            let found: Vec<u64> = cursor
                .read_up_to(up_to)
                .map(|record| record.expect("whole").offset().get())
                .collect();
            assert_eq!(found, expected, "{} {file}", fixture.name);
            compared += 1;
        }
    }
    assert!(compared >= 4);
}

#[test]
fn every_record_of_kafka_is_given_once_and_can_be_got() {
    for fixture in fixtures() {
        let Range { start, end } = {
            let marks = fixture.reader.published.watermarks();
            marks.start..marks.end
        };
        let expected: Vec<u64> = lines(&fixture.folder, "expected.jsonl")
            .iter()
            .filter(|line| line["kind"] == "record")
            .filter_map(|line| line["offset"].as_u64())
            .filter(|at| (start.get()..end.get()).contains(at))
            .collect();
        let cursor = Cursor::over(fixture.reader.clone(), Start::Earliest).expect("open");
        let found: Vec<u64> = cursor
            .map(|record| record.expect("whole").offset().get())
            .collect();
        let missing: Vec<&u64> = expected.iter().filter(|at| !found.contains(at)).collect();
        // Kafka's dump has the records of markers too.
        for at in missing {
            let got = fixture.reader.get(offset(*at));
            assert_eq!(kind(got), ErrorKind::NotFound, "{} {at}", fixture.name);
        }
        for at in found.iter().step_by(7) {
            let record = fixture.reader.get(offset(*at)).expect("there");
            assert_eq!(record.offset().get(), *at);
            assert!(expected.contains(at), "{} {at}", fixture.name);
        }
    }
}

#[cfg(unix)]
#[test]
fn a_range_of_a_file_holds_the_same_bytes() {
    use std::os::unix::fs::FileExt;
    for fixture in fixtures() {
        let start = fixture.reader.published.watermarks().start;
        let fetched = fixture.reader.fetch(&Fetch::from(start)).expect("whole");
        let Some(range) = fetched.file_range() else {
            assert_eq!(fixture.name, "empty");
            continue;
        };
        let mut read = vec![0; range.len as usize];
        range
            .file
            .read_exact_at(&mut read, range.position)
            .expect("read");
        assert_eq!(
            read,
            fetched.bytes().expect("unchanged"),
            "{}",
            fixture.name
        );
    }
}

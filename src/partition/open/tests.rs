//! Opening after whatever may have happened: the tables of recovery, row by row, on files.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::batch::Record;
use crate::partition::testing::{Bench, START_MS, offset};
use crate::partition::{
    MakeRoom, Next, Partition, PartitionReader, ReadUpTo, SyncRequests, UnsyncedBudget,
};
use crate::segment::OpenFiles;
use crate::storage::{Access, Memory, Storage};
use crate::timestamp::ManualClock;
use crate::topic::TopicName;

const OURS: Incarnation = Incarnation([7; 16]);
const DIR: &str = "/t-0";

fn options() -> TopicOptions {
    TopicOptions::default().segment_bytes(1024)
}

/// A partition with `count` records, of which those below `durable` are synced; dropped as a killed process drops it.
fn killed(storage: &Memory, options: &TopicOptions, durable: u64, count: u64) {
    let bench = new_bench(storage, options);
    fill(&bench.partition, durable, count);
}

fn closed(storage: &Memory, options: &TopicOptions, count: u64) -> ClosedFacts {
    let bench = new_bench(storage, options);
    fill(&bench.partition, 0, count);
    bench.core().close().unwrap()
}

fn new_bench(storage: &Memory, options: &TopicOptions) -> Bench {
    let storage = Arc::new(storage.clone());
    Bench::new(storage, options.clone(), UnsyncedBudget::default())
}

fn fill(partition: &Partition, durable: u64, count: u64) {
    for number in 0..count {
        if number == durable {
            partition.sync().unwrap();
        }
        partition
            .append(Record::new(&format!("value {number}")))
            .unwrap();
    }
    if durable == count {
        partition.sync().unwrap();
    }
}

fn home(storage: &Memory) -> SegmentHome {
    SegmentHome {
        storage: Arc::new(storage.clone()),
        dir: Path::new(DIR).into(),
        open_files: Arc::new(OpenFiles::new(16)),
    }
}

fn given(owner: Owner) -> OpenFacts {
    OpenFacts {
        owner,
        recovery_point: None,
        log_start: None,
        incarnation: OURS,
    }
}

fn open_as(storage: &Memory, given: OpenFacts) -> Result<(Partition, PartitionRecovery)> {
    open_with(storage, given, options())
}

fn open_with(
    storage: &Memory,
    given: OpenFacts,
    options: TopicOptions,
) -> Result<(Partition, PartitionRecovery)> {
    let home = home(storage);
    let shared = SharedByLog {
        clock: Arc::new(ManualClock::at(Timestamp::from_millis(START_MS + 1_000))),
        open_files: Arc::clone(&home.open_files),
        sync_requests: SyncRequests::default(),
        unsynced: UnsyncedBudget::default(),
        make_room: MakeRoom::default(),
        incarnation: given.incarnation,
        boot_id: storage.boot_id().ok(),
    };
    let name = TopicPartition::new(TopicName::new("t").unwrap(), 0).unwrap();
    let opened = PartitionCore::open(name, home, Arc::new(options), given, Arc::new(shared));
    opened.map(|(core, report)| (Partition { core }, report))
}

fn open(storage: &Memory, owner: Owner) -> (Partition, PartitionRecovery) {
    open_as(storage, given(owner)).unwrap()
}

/// Values from the start on, with `None` for each gap.
fn read(partition: &Partition) -> Vec<Option<String>> {
    read_all(&partition.reader())
}

fn read_all(reader: &PartitionReader) -> Vec<Option<String>> {
    let mut stream = reader.stream(reader.published.watermarks().start);
    let mut values = Vec::new();
    loop {
        match stream.next(ReadUpTo::End) {
            Ok(Next::Batch(found)) => {
                for record in found.batch.records() {
                    let value = record.unwrap().value().unwrap_or_default().to_vec();
                    values.push(Some(String::from_utf8(value).unwrap()));
                }
            }
            Ok(Next::Tail) => return values,
            Err(error) if error.gap().is_some() => values.push(None),
            Err(error) => panic!("{error}"),
        }
    }
}

fn values(numbers: impl Iterator<Item = u64>) -> Vec<Option<String>> {
    numbers.map(|n| Some(format!("value {n}"))).collect()
}

fn logs(storage: &Memory) -> Vec<(Offset, u64)> {
    let entries = storage.list(Path::new(DIR)).unwrap();
    let mut logs: Vec<(Offset, u64)> = entries
        .iter()
        .filter_map(
            |entry| match FileName::parse(&entry.name.to_string_lossy()) {
                FileName::Log(base) => Some((base, entry.len_bytes)),
                _ => None,
            },
        )
        .collect();
    logs.sort();
    logs
}

fn path(name: FileName) -> std::path::PathBuf {
    Path::new(DIR).join(name.to_string())
}

fn check_appends_go_on(partition: &Partition, end: u64) {
    let ticket = partition.append(Record::new("more")).unwrap();
    assert_eq!(ticket.offset(), offset(end));
    ticket.wait_durable().unwrap();
    assert_eq!(read(partition).last(), Some(&Some("more".to_owned())));
}

#[test]
fn a_closed_partition_opens_without_reading_it() {
    let storage = Memory::new();
    let facts = closed(&storage, &options(), 40);
    assert_eq!(facts.recovery_point, offset(40));
    let before = logs(&storage);
    let (partition, report) = open(&storage, Owner::OursClean);
    assert!(report.was_clean() && !report.needs_attention(), "{report}");
    assert_eq!(report.scanned_bytes(), 0);
    assert!(report.derived().is_empty(), "{report}");
    assert_eq!(logs(&storage), before);
    assert_eq!(read(&partition), values(0..40));
    check_appends_go_on(&partition, 40);
}

#[test]
fn a_killed_process_loses_nothing_and_the_tail_is_copied_before_it_is_shown() {
    for durable in [0, 1, 13, 40] {
        let storage = Memory::new();
        killed(&storage, &options(), durable, 40);
        let (partition, report) = open(&storage, Owner::OursUnclean);
        assert_eq!(read(&partition), values(0..40), "durable {durable}");
        assert_eq!(partition.watermarks().durable, offset(40));
        assert_eq!(report.copied_bytes() > 0, durable < 40, "{report}");
        assert!(!report.needs_attention(), "{report}");
        check_appends_go_on(&partition, 40);
        drop(partition);
        let (partition, _) = open(&storage, Owner::OursUnclean);
        assert_eq!(read(&partition).len(), 41);
    }
}

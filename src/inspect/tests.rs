//! Logs in memory, written by this crate, spoiled by hand, looked at from outside.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::batch::{ControlKind, ControlMarker, Record, RecordBatchBuilder};
use crate::compress::Compression;
use crate::cursor::{Cursor, Start};
use crate::error::GapCause;
use crate::ids::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};
use crate::log::{Log, Maintenance};
use crate::partition::{Partition, TopicOptions};
use crate::storage::{Access, Memory};
use crate::timestamp::{ManualClock, Timestamp};

const START_MS: i64 = 1_700_000_000_000;

/// A log in memory that a test may spoil.
struct Place {
    storage: Arc<Memory>,
    clock: Arc<ManualClock>,
}

impl Place {
    fn new() -> Self {
        Self {
            storage: Arc::new(Memory::new()),
            clock: Arc::new(ManualClock::at(Timestamp::from_millis(START_MS))),
        }
    }

    fn open(&self) -> (Log, Partition) {
        let log = Log::builder("/log")
            .storage(Arc::clone(&self.storage) as _)
            .clock(Arc::clone(&self.clock) as _)
            .maintenance(Maintenance::Manual)
            .defaults(
                TopicOptions::default()
                    .segment_bytes(1_024)
                    .index_interval_bytes(100),
            )
            .open()
            .expect("a log");
        let partition = log.topic("t").and_then(|t| t.partition(0));
        (log, partition.expect("partition 0"))
    }

    /// Appends one record a millisecond.
    fn append(&self, partition: &Partition, values: std::ops::Range<u64>) {
        for value in values {
            self.clock.advance(std::time::Duration::from_millis(1));
            let value = format!("value {value}");
            partition.append(Record::new(&value)).expect("append");
        }
    }

    fn dir(&self) -> PartitionDir {
        PartitionDir::open_on(Arc::clone(&self.storage) as _, Path::new("/log/t-0"))
            .expect("a partition")
    }

    fn names(&self) -> Vec<String> {
        let entries = self.storage.list(Path::new("/log/t-0")).expect("a list");
        let mut names: Vec<String> = entries
            .into_iter()
            .map(|entry| entry.name.into_string().expect("text"))
            .collect();
        names.sort();
        names
    }

    fn names_like(&self, suffix: &str) -> Vec<String> {
        let mut names = self.names();
        names.retain(|name| name.ends_with(suffix));
        names
    }

    fn read(&self, name: &str) -> Vec<u8> {
        read_small(&*self.storage, &path(name))
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let file = match self.storage.open(&path(name), Access::Write) {
            Err(_) => self.storage.create(&path(name)),
            file => file,
        };
        let file = file.expect("a file");
        file.write_at(bytes, 0).expect("room");
        file.set_len(bytes.len() as u64).expect("room");
    }

    fn remove_own_files(&self) {
        for name in self
            .names_like("")
            .iter()
            .filter(|name| name.starts_with("stratalog."))
        {
            self.storage.remove(&path(name)).expect("it is there");
        }
        for name in ["stratalog.owner", ".kafka_cleanshutdown"] {
            let path = Path::new("/log").join(name);
            self.storage.remove(&path).expect("it is there");
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let findings: Result<Vec<_>> = self.dir().verify().expect("a directory").collect();
        findings.expect("a sound medium")
    }

    fn kinds(&self) -> Vec<FindingKind> {
        self.findings().iter().map(Finding::kind).collect()
    }

    fn is_damaged(&self) -> bool {
        self.findings().iter().any(Finding::is_damage)
    }

    fn dump(&self) -> (Vec<String>, DumpSummary) {
        let mut out = Vec::new();
        let summary = self.dir().dump(Format::Json, &mut out).expect("readable");
        let text = String::from_utf8(out).expect("text");
        (text.lines().map(str::to_owned).collect(), summary)
    }

    fn offsets(&self, words: &[&str]) -> Vec<Value> {
        let targets: Result<Vec<Target>> = words.iter().map(|word| word.parse()).collect();
        let mut out = Vec::new();
        self.dir()
            .offsets(&targets.expect("targets"), Format::Json, &mut out)
            .expect("readable");
        let text = String::from_utf8(out).expect("text");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

fn path(name: &str) -> PathBuf {
    Path::new("/log/t-0").join(name)
}

fn read_small(storage: &dyn Storage, path: &Path) -> Vec<u8> {
    let file = storage.open(path, Access::Read).expect("a file");
    let mut bytes = vec![0; file.len().expect("a length") as usize];
    file.read_at(&mut bytes, 0).expect("readable");
    bytes
}

/// A log of 40 records in several segments, closed.
fn closed() -> Place {
    let place = Place::new();
    let (log, partition) = place.open();
    place.append(&partition, 0..40);
    log.close().expect("close");
    place
}

/// The records up to the tail, none of them damaged.
fn count(cursor: &mut Cursor) -> usize {
    let records: Result<Vec<_>> = cursor.collect();
    records.expect("readable").len()
}

fn offset(value: u64) -> Offset {
    Offset::new(value).expect("small")
}

fn parsed(lines: &[String]) -> Vec<Value> {
    lines
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn a_closed_log_has_nothing_to_find_and_all_its_records_are_dumped() {
    let place = closed();
    assert!(place.names_like(".log").len() > 2);
    assert_eq!(place.findings(), []);
    let (lines, summary) = place.dump();
    assert_eq!(
        (summary.batches, summary.records, summary.damaged),
        (40, 40, 0)
    );
    assert_eq!(lines.len(), 80);
}

#[test]
fn a_log_at_work_has_no_damage() {
    let place = Place::new();
    let (log, partition) = place.open();
    for count in 0..40 {
        place.append(&partition, count..count + 1);
        assert!(!place.is_damaged(), "{:?}", place.findings());
        assert_eq!(place.dump().1.records, count + 1);
    }
    drop(log);
}

#[test]
fn every_flipped_byte_of_a_segment_is_found_and_no_other_record_is_lost_or_made_up() {
    let place = closed();
    let (whole, _) = place.dump();
    let records: BTreeSet<&String> = whole.iter().filter(|l| l.contains("record")).collect();
    for name in place.names_like(".log") {
        let bytes = place.read(&name);
        // A dump shows the batches as they stand; whether the epoch of one may be there is for readers and `verify`.
        let mut position = 0;
        let mut epochs = BTreeSet::new();
        while position < bytes.len() {
            epochs.extend(position + 12..position + 16);
            let length = bytes[position + 8..position + 12].try_into().expect("four");
            position += 12 + u32::from_be_bytes(length) as usize;
        }
        for at in 0..bytes.len() {
            let mut spoiled = bytes.clone();
            spoiled[at] ^= 1 << (at % 8);
            place.write(&name, &spoiled);
            let findings = place.findings();
            assert!(findings.iter().any(Finding::is_damage), "{name} byte {at}");
            if epochs.contains(&at) {
                let lost = findings.iter().filter_map(Finding::gap);
                let lost: u64 = lost.map(|gap| gap.to().get() - gap.from().get()).sum();
                assert!(lost <= 1, "{name} byte {at}: {lost} records lost");
                continue;
            }
            let (lines, summary) = place.dump();
            assert_eq!(summary.damaged, 1, "{name} byte {at}");
            let found: BTreeSet<&String> =
                lines.iter().filter(|l| l.contains("record\"")).collect();
            assert!(found.is_subset(&records), "{name} byte {at}");
            let lost = records.len() - found.len();
            assert!(lost <= 1, "{name} byte {at}: {lost} records lost");
        }
        place.write(&name, &bytes);
    }
    assert_eq!(place.findings(), []);
}

#[test]
fn an_error_line_names_the_lost_offsets_as_far_as_something_behind_tells_them() {
    let place = closed();
    let names = place.names_like(".log");
    let (first, last) = (&names[0], names.last().expect("several"));
    for (name, is_last) in [(first, false), (last, true)] {
        let bytes = place.read(name);
        place.write(name, &bytes[..bytes.len() - 1]);
        let (lines, _) = place.dump();
        let lines = parsed(&lines);
        let error = lines.iter().find(|line| line["kind"] == "error");
        let error = error.expect("an error line");
        assert_eq!(error["file"], **name);
        assert_eq!(error["offset"], Value::Null);
        let from = error["from"].as_u64().expect("a number");
        match is_last {
            true => assert_eq!((from, &error["to"]), (39, &Value::Null)),
            false => assert_eq!(error["to"], from + 1),
        }
        place.write(name, &bytes);
    }
}

#[test]
fn a_cut_log_that_was_closed_is_damaged_and_one_that_was_not_is_torn() {
    let place = closed();
    let last = place.names_like(".log").pop().expect("a segment");
    let bytes = place.read(&last);
    for len in 0..bytes.len() {
        place.write(&last, &bytes[..len]);
        assert!(place.is_damaged(), "cut to {len}");
    }
    place.write(&last, &bytes);

    let place = Place::new();
    let (log, partition) = place.open();
    place.append(&partition, 0..3);
    let name = place.names_like(".log").pop().expect("a segment");
    let bytes = place.read(&name);
    let half = [&bytes[..], &bytes[..bytes.len() / 6]].concat();
    place.write(&name, &half);
    assert_eq!(place.kinds(), [FindingKind::TornTail]);
    drop(log);
}

#[test]
fn a_missing_segment_is_missed_wherever_it_was() {
    let place = closed();
    let names = place.names_like(".log");
    for name in &names {
        let bytes = place.read(name);
        place.storage.remove(&path(name)).expect("removed");
        let findings = place.findings();
        let missing = findings.iter().find(|f| f.kind() == FindingKind::Missing);
        let gap = missing.and_then(Finding::gap);
        let gap = gap.unwrap_or_else(|| panic!("{name}: {findings:?}"));
        assert_eq!(gap.cause(), GapCause::Missing);
        assert_eq!(format!("{:020}.log", gap.from().get()), *name);
        place.write(name, &bytes);
    }
}

#[test]
fn every_flipped_byte_beside_the_segments_is_a_contradiction() {
    let place = closed();
    let mut tried = 0;
    for suffix in ["index", ".snapshot", "stratalog.segments"] {
        for name in place.names_like(suffix) {
            let bytes = place.read(&name);
            for at in 0..bytes.len() {
                let mut spoiled = bytes.clone();
                spoiled[at] ^= 1 << (at % 8);
                place.write(&name, &spoiled);
                assert!(place.is_damaged(), "{name} byte {at}");
                tried += 1;
            }
            place.storage.remove(&path(&name)).expect("removed");
            let is_noticed = name.ends_with("index");
            assert_eq!(place.is_damaged(), is_noticed, "{name} removed");
            place.write(&name, &bytes);
        }
    }
    assert!(tried > 100, "{tried}");
    for (name, content) in [
        ("leader-epoch-checkpoint", &b"0\n7\n"[..]),
        ("stratalog.facts", b"rubbish"),
        ("../recovery-point-offset-checkpoint", b"0\nx\n"),
    ] {
        let bytes = place.read(name);
        place.write(name, content);
        let kinds = place.kinds();
        assert!(kinds.contains(&FindingKind::Derived), "{name}: {kinds:?}");
        place.write(name, &bytes);
    }
    assert_eq!(place.findings(), []);
}

#[test]
fn a_foreign_file_is_named_and_one_that_lost_its_number_is_damage() {
    let place = closed();
    place.write("notes.txt", b"mine");
    assert_eq!(place.kinds(), [FindingKind::Foreign]);
    place.write("backup.log", b"");
    assert_eq!(place.kinds(), [FindingKind::BadName, FindingKind::Foreign]);
    assert!(place.findings()[0].is_damage() && !place.findings()[1].is_damage());
}

#[test]
fn a_directory_that_is_no_partition_is_refused_and_any_name_will_do_for_one_that_is() {
    let place = closed();
    let storage = || Arc::clone(&place.storage) as Arc<dyn Storage>;
    let error = PartitionDir::open_on(storage(), Path::new("/log")).expect_err("a log");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = PartitionDir::open_on(storage(), Path::new("/none")).expect_err("nothing");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    place
        .storage
        .create_dir(Path::new("/copy"))
        .expect("a folder");
    let name = place.names_like(".log").swap_remove(0);
    let copy = place.storage.create(&Path::new("/copy").join(&name));
    let bytes = place.read(&name);
    copy.expect("a file").write_at(&bytes, 0).expect("room");
    let copied = PartitionDir::open_on(storage(), Path::new("/copy")).expect("a partition");
    let mut out = Vec::new();
    let summary = copied.dump(Format::Json, &mut out).expect("readable");
    assert_eq!(
        summary.records * 2,
        out.split(|&b| b == b'\n').count() as u64 - 1
    );
}

/// Appends a batch of a transaction, or its end.
fn transact(partition: &Partition, producer: u64, sequence: Option<u32>, end: Option<ControlKind>) {
    let id = ProducerId::new(producer as i64).expect("an id");
    let epoch = ProducerEpoch::new(0).expect("an epoch");
    let batch = match end {
        Some(kind) => RecordBatchBuilder::control(ControlMarker {
            kind,
            producer_id: id,
            producer_epoch: epoch,
            coordinator_epoch: 0,
            timestamp: Timestamp::from_millis(START_MS),
        }),
        None => {
            let first = Sequence::new(sequence.unwrap_or(0) as i32).expect("small");
            let mut builder = RecordBatchBuilder::new(Compression::None)
                .producer(id, epoch, first)
                .transactional();
            let record = Record::new("v").timestamp(Timestamp::from_millis(START_MS));
            builder.push(record).expect("small");
            builder.finish().expect("small")
        }
    };
    let leader = LeaderEpoch::new(0).expect("an epoch");
    let replica = partition.replica();
    replica.append_as_leader(batch, leader).expect("append");
}

#[test]
fn an_index_of_aborted_transactions_is_held_against_the_markers() {
    let place = Place::new();
    let (log, partition) = place.open();
    for (producer, end) in [
        (1, ControlKind::Abort),
        (2, ControlKind::Commit),
        (3, ControlKind::Abort),
    ] {
        transact(&partition, producer, Some(0), None);
        transact(&partition, producer, None, Some(end));
    }
    log.close().expect("close");
    assert_eq!(place.findings(), []);
    let name = place.names_like(".txnindex").pop().expect("an index");
    let bytes = place.read(&name);
    assert_eq!(bytes.len(), 68);
    // One entry less, one for what was committed, none at all.
    place.write(&name, &bytes[..34]);
    assert_eq!(place.kinds(), [FindingKind::Derived]);
    let mut committed = bytes.clone();
    committed[9] = 2;
    place.write(&name, &committed);
    assert!(place.is_damaged());
    place.storage.remove(&path(&name)).expect("removed");
    assert_eq!(
        place.kinds(),
        [FindingKind::Derived, FindingKind::Derived],
        "aborted records would count"
    );
}

#[test]
fn every_flipped_bit_in_a_sealed_index_of_aborted_transactions_is_found() {
    let place = Place::new();
    let (log, partition) = place.open();
    transact(&partition, 1, Some(0), None);
    transact(&partition, 1, None, Some(ControlKind::Abort));
    place.append(&partition, 0..40);
    log.close().expect("close");
    assert_eq!(place.findings(), []);
    let name = place.names_like(".txnindex").pop().expect("an index");
    let bytes = place.read(&name);
    for bit in 0..bytes.len() * 8 {
        let mut spoiled = bytes.clone();
        spoiled[bit / 8] ^= 1 << (bit % 8);
        place.write(&name, &spoiled);
        assert!(place.is_damaged(), "bit {bit}");
    }
    place.write(&name, &bytes);
    assert_eq!(place.findings(), []);
}

#[test]
fn offsets_are_those_of_the_marks_and_of_the_first_segment_that_may_match() {
    let place = closed();
    let at = |ms: i64| (START_MS + ms).to_string();
    let lines = place.offsets(&[
        "EARLIEST",
        "LATEST",
        "MAX_TIMESTAMP",
        &at(1),
        &at(15),
        &at(41),
    ]);
    let found: Vec<Option<u64>> = lines.iter().map(|line| line["offset"].as_u64()).collect();
    assert_eq!(
        found,
        [Some(0), Some(40), Some(39), Some(0), Some(14), None]
    );
    assert_eq!(lines[0]["timestamp"], -1);
    assert_eq!(lines[2]["timestamp"], START_MS + 40);
    assert_eq!(lines[5]["leader_epoch"], Value::Null);
    assert_eq!(place.offsets(&["-1"])[0], lines[1]);
    assert_eq!(place.offsets(&["EARLIEST_LOCAL"])[0]["offset"], 0);
    assert_eq!(place.offsets(&["LATEST_TIERED"])[0]["offset"], -1);
    for word in ["earliest", "", "1.5"] {
        assert!(word.parse::<Target>().is_err(), "{word}");
    }
}

#[test]
fn a_match_below_the_log_start_hides_later_ones() {
    let place = Place::new();
    let (log, partition) = place.open();
    // The first segment ends in its largest timestamp, below the log start.
    let old = Record::new("old").timestamp(Timestamp::from_millis(START_MS + 3_000));
    partition.append(old).expect("append");
    place.append(&partition, 1..40);
    partition.delete_records_before(offset(2)).expect("trimmed");
    log.close().expect("close");
    let (early, late) = (START_MS + 1_000, START_MS + 5_000);
    let lines = place.offsets(&["EARLIEST", &early.to_string(), &late.to_string()]);
    assert_eq!(lines[0]["offset"], 2);
    assert_eq!(lines[1]["offset"], Value::Null);
    assert_eq!(lines[2]["offset"], Value::Null);
}

#[test]
fn a_view_follows_its_writer_and_a_half_written_batch_is_its_end() {
    let place = Place::new();
    let (log, partition) = place.open();
    place.append(&partition, 0..3);
    let view = place.dir().view().expect("a view");
    let mut cursor = view.cursor(Start::Earliest).expect("a cursor");
    assert_eq!(count(&mut cursor), 3);

    let name = place.names_like(".log").pop().expect("a segment");
    let bytes = place.read(&name);
    for len in [1, 11, 17, 61, 70] {
        place.write(&name, &[&bytes[..], &bytes[..len]].concat());
        view.refresh().expect("readable");
        assert_eq!(view.watermarks().end, offset(3));
        assert!(cursor.next().is_none(), "half a batch of {len} bytes");
    }
    place.write(&name, &bytes);

    place.append(&partition, 3..40);
    assert!(cursor.next().is_none(), "not looked at again yet");
    view.refresh().expect("readable");
    assert_eq!(count(&mut cursor), 37);
    assert_eq!(view.watermarks().end, offset(40));

    partition
        .delete_records_before(offset(30))
        .expect("trimmed");
    view.refresh().expect("readable");
    assert_eq!(view.watermarks().start, offset(30));
    cursor.seek(Start::At(offset(35))).expect("in range");
    assert_eq!(cursor.count(), 5);
    let kind = view.get(offset(3)).expect_err("trimmed").kind();
    assert_eq!(kind, ErrorKind::OffsetOutOfRange);
    drop(log);
}

/// What a cursor meets, in short: how many records, and the gaps.
fn met(cursor: Cursor) -> (usize, Vec<(u64, u64, GapCause)>) {
    let (mut records, mut gaps) = (0, Vec::new());
    for item in cursor {
        match item {
            Ok(_) => records += 1,
            Err(error) => {
                let gap = error.gap().expect("nothing but gaps");
                gaps.push((gap.from().get(), gap.to().get(), gap.cause()));
            }
        }
    }
    (records, gaps)
}

#[test]
fn a_view_that_has_not_looked_since_tells_what_was_trimmed_from_what_is_missing() {
    for is_ours in [true, false] {
        let place = Place::new();
        let (log, partition) = place.open();
        place.append(&partition, 0..40);
        // What is durable a view does not open before it is read.
        log.close().expect("close");
        let writer = is_ours.then(|| place.open());
        if !is_ours {
            // As a broker leaves it: nothing of ours says where the log starts.
            place.remove_own_files();
        }
        let view = place.dir().view().expect("a view");
        let cursor = |at| view.cursor(Start::At(offset(at))).expect("in range");
        let (first, at_end) = (cursor(0), cursor(40));
        if let Some((_, partition)) = &writer {
            partition
                .delete_records_before(offset(20))
                .expect("trimmed");
        } else {
            let logs = place.names_like(".log");
            let kept = logs
                .iter()
                .rposition(|name| name.as_str() <= "00000000000000000020.log");
            for name in logs.iter().take(kept.expect("a segment")) {
                place.storage.remove(&path(name)).expect("it is there");
            }
        }
        let start = place.dir().view().expect("a view").watermarks().start;
        assert!(start <= offset(20) && start > offset(10));
        let start = start.get();
        let rest = 40 - start as usize;
        assert_eq!(met(first), (rest, vec![(0, start, GapCause::Trimmed)]));
        assert_eq!(met(at_end), (0, vec![]));
        // A file in the middle is lost, not trimmed.
        let lost = &place.names_like(".log")[1];
        let from: u64 = lost.trim_end_matches(".log").parse().expect("a number");
        let view = place.dir().view().expect("a view");
        let cursor = view.cursor(Start::Earliest).expect("a cursor");
        place.storage.remove(&path(lost)).expect("it is there");
        let gaps = met(cursor).1;
        assert_eq!(gaps.len(), 1);
        assert_eq!((gaps[0].0, gaps[0].2), (from, GapCause::Missing));
    }
}

#[test]
fn a_view_tells_of_a_truncation_and_reads_what_came_instead() {
    let place = Place::new();
    let (log, partition) = place.open();
    place.append(&partition, 0..20);
    let view = place.dir().view().expect("a view");
    let mut cursor = view.cursor(Start::Earliest).expect("a cursor");
    assert_eq!(cursor.by_ref().count(), 20);
    partition.replica().truncate_to(offset(10)).expect("cut");
    view.refresh().expect("readable");
    let gap = cursor.next().expect("a gap").expect_err("a gap");
    assert_eq!(gap.gap().map(|gap| gap.cause()), Some(GapCause::Truncated));
    place.append(&partition, 100..103);
    view.refresh().expect("readable");
    let values: Vec<_> = cursor
        .map(|r| r.expect("readable").value().map(<[u8]>::to_vec))
        .collect();
    assert_eq!(values[0].as_deref(), Some(&b"value 100"[..]));
    assert_eq!(values.len(), 3);
    drop(log);
}

#[test]
fn a_log_view_lists_topics_and_writes_nothing() {
    let place = closed();
    let before = place.names();
    let view = LogView::open(Arc::clone(&place.storage) as _, Path::new("/log")).expect("a view");
    let names: Vec<String> = view.topics().iter().map(|t| t.name().to_string()).collect();
    assert_eq!(names, ["t"]);
    assert_eq!(
        view.topic("none").expect_err("none").kind(),
        ErrorKind::NotFound
    );
    let topic = view.topic("t").expect("a topic");
    assert_eq!(topic.partitions(), [0]);
    assert_eq!(
        topic.partition(1).expect_err("none").kind(),
        ErrorKind::NotFound
    );
    let partition = topic.partition(0).expect("a partition");
    assert_eq!(
        partition.cursor(Start::Earliest).expect("a cursor").count(),
        40
    );
    let segments = partition.segments().expect("readable");
    assert_eq!(segments.len(), place.names_like(".log").len());
    let (last, sealed) = segments.split_last().expect("several");
    assert!(sealed.iter().all(|segment| segment.sealed_at().is_some()));
    assert_eq!(last.sealed_at(), None, "it is not sealed");
    assert_eq!(place.names(), before);
    assert_eq!(place.findings(), []);
}

#[test]
fn a_base_offset_raised_beyond_the_next_segment_costs_its_batch_alone() {
    let place = closed();
    let dir = Path::new("/copy-0");
    place.storage.create_dir(dir).expect("a folder");
    let names = place.names_like(".log");
    for name in &names {
        let mut bytes = place.read(name);
        if *name == names[0] {
            // The last batch of the first segment; nobody says here that there are no holes.
            let mut windows = bytes.windows(8);
            let last = windows.rposition(|eight| eight == 12u64.to_be_bytes());
            bytes[last.expect("the thirteenth batch") + 6] ^= 1;
        }
        let file = place.storage.create(&dir.join(name)).expect("a file");
        file.write_at(&bytes, 0).expect("room");
    }
    let copy = PartitionDir::open_on(Arc::clone(&place.storage) as _, dir).expect("a partition");
    let summary = copy.dump(Format::Json, &mut Vec::new()).expect("readable");
    assert_eq!((summary.records, summary.damaged), (39, 1));
    let view = copy.view().expect("a view");
    let cursor = view.cursor(Start::Earliest).expect("a cursor");
    let (records, gaps): (Vec<_>, Vec<_>) = cursor.partition(Result::is_ok);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(records.len(), 39);
}

#[test]
fn segments_that_are_trimmed_under_a_verification_are_no_damage() {
    let place = Place::new();
    let (log, partition) = place.open();
    place.append(&partition, 0..40);
    let findings = place.dir().verify().expect("a directory");
    let trimmed = partition.delete_records_before(offset(30));
    trimmed.expect("trimmed");
    let findings: Result<Vec<Finding>> = findings.collect();
    let findings = findings.expect("a sound medium");
    assert!(!findings.iter().any(Finding::is_damage), "{findings:?}");
    drop(log);
}

#[test]
fn a_directory_in_place_of_the_marker_or_the_facts_does_not_end_a_verification() {
    for name in [
        "../.kafka_cleanshutdown",
        "stratalog.facts",
        "../stratalog.owner",
    ] {
        let place = closed();
        place.storage.remove(&path(name)).expect("removed");
        place.storage.create_dir(&path(name)).expect("a folder");
        let findings: Result<Vec<Finding>> = place.dir().verify().expect(name).collect();
        findings.expect(name);
        assert_eq!(place.dump().1.records, 40, "{name}");
    }
}

//! A log from the outside: opened, written, closed, killed, refused.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stratalog::storage::Memory;
use stratalog::{
    ErrorKind, FsyncPolicy, Log, Maintenance, ManualClock, Offset, Record, RecordBatchBuilder,
    Start, Timestamp, TopicOptions,
};
use tempfile::TempDir;

fn values(log: &Log, topic: &str, partition: u32) -> Vec<String> {
    let partition = log
        .topic(topic)
        .expect("topic")
        .partition(partition)
        .expect("partition");
    partition
        .cursor(Start::Earliest)
        .expect("cursor")
        .map(|record| {
            let record = record.expect("readable");
            String::from_utf8(record.value().expect("a value").to_vec()).expect("text")
        })
        .collect()
}

fn append(log: &Log, topic: &str, values: impl IntoIterator<Item = String>) {
    let partition = log
        .topic(topic)
        .expect("topic")
        .partition(0)
        .expect("partition 0");
    for value in values {
        partition.append(Record::new(&value)).expect("append");
    }
}

fn numbered(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("value {n}")).collect()
}

#[test]
fn what_was_appended_is_there_after_a_clean_close() {
    let dir = TempDir::new().expect("a folder");
    let log = Log::open(dir.path()).expect("open");
    append(&log, "events", numbered(0..100));
    log.close().expect("close");
    let log = Log::open(dir.path()).expect("reopen");
    assert_eq!(values(&log, "events", 0), numbered(0..100));
    append(&log, "events", numbered(100..110));
    assert_eq!(values(&log, "events", 0), numbered(0..110));
}

#[test]
fn what_was_appended_is_there_when_the_log_is_dropped_without_a_close() {
    let dir = TempDir::new().expect("a folder");
    append(
        &Log::open(dir.path()).expect("open"),
        "events",
        numbered(0..10),
    );
    assert_eq!(
        values(&Log::open(dir.path()).expect("reopen"), "events", 0),
        numbered(0..10)
    );
}

#[test]
fn the_marker_stands_only_while_the_log_is_closed_and_each_log_file_ends_at_its_last_batch() {
    let dir = TempDir::new().expect("a folder");
    let marker = dir.path().join(".kafka_cleanshutdown");
    let log = Log::builder(dir.path())
        .defaults(TopicOptions::default().fsync(FsyncPolicy::Always))
        .open()
        .expect("open");
    append(&log, "events", numbered(0..3));
    assert!(!marker.exists());
    log.close().expect("close");
    assert!(marker.exists());
    let bytes =
        fs::read(dir.path().join("events-0/00000000000000000000.log")).expect("the segment");
    let mut position = 0;
    while position < bytes.len() {
        let length: [u8; 4] = bytes[position + 8..position + 12]
            .try_into()
            .expect("four bytes");
        position += 12 + usize::try_from(u32::from_be_bytes(length)).expect("small");
    }
    assert_eq!(position, bytes.len(), "the file ends where a batch ends");
    let _log = Log::open(dir.path()).expect("reopen");
    assert!(!marker.exists());
}

#[test]
fn a_second_writer_is_refused_at_once_and_let_in_after_a_close() {
    let dir = TempDir::new().expect("a folder");
    let log = Log::open(dir.path()).expect("open");
    let error = Log::open(dir.path()).expect_err("locked");
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains(".lock"), "{error}");
    log.close().expect("close");
    Log::open(dir.path()).expect("free again");
}

#[test]
fn a_writer_through_a_symbolic_link_is_the_same_writer() {
    let dir = TempDir::new().expect("a folder");
    let real = dir.path().join("real");
    fs::create_dir(&real).expect("a folder");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&real, &link).expect("a link");
    let _log = Log::open(&real).expect("open");
    let kind = Log::open(&link).map(drop).expect_err("refused").kind();
    assert!(
        matches!(kind, ErrorKind::Locked | ErrorKind::InvalidInput),
        "{kind:?}"
    );
}

#[test]
fn after_a_close_every_call_says_closed() {
    let dir = TempDir::new().expect("a folder");
    let log = Log::open(dir.path()).expect("open");
    let topic = log.topic("events").expect("topic");
    let partition = topic.partition(0).expect("partition");
    let ticket = partition.append(Record::new("a")).expect("append");
    let mut cursor = partition.cursor(Start::Earliest).expect("cursor");
    log.close().expect("close");
    log.close().expect("a second close does nothing");
    ticket.wait_durable().expect("closing made it durable");
    assert_eq!(
        partition
            .append(Record::new("b"))
            .expect_err("closed")
            .kind(),
        ErrorKind::Closed
    );
    assert_eq!(
        topic.append(Record::new("b")).expect_err("closed").kind(),
        ErrorKind::Closed
    );
    assert_eq!(
        log.topic("other").expect_err("closed").kind(),
        ErrorKind::Closed
    );
    assert_eq!(
        cursor
            .next()
            .expect("an answer")
            .expect_err("closed")
            .kind(),
        ErrorKind::Closed
    );
}

#[test]
fn a_topic_keeps_its_options_over_a_close() {
    let dir = TempDir::new().expect("a folder");
    let options = TopicOptions::default()
        .partitions(3)
        .segment_bytes(4_096)
        .fsync(FsyncPolicy::Records(7));
    let log = Log::open(dir.path()).expect("open");
    let topic = log.create_topic("events", options.clone()).expect("create");
    let id = topic.id();
    assert_eq!(
        log.create_topic("events", options.clone())
            .expect_err("exists")
            .kind(),
        ErrorKind::AlreadyExists
    );
    log.close().expect("close");
    let log = Log::open(dir.path()).expect("reopen");
    let topic = log.topic("events").expect("topic");
    assert_eq!(topic.options(), options);
    assert_eq!(topic.id(), id);
    assert_eq!(topic.partitions().len(), 3);
    topic
        .set_options(options.clone().partitions(5))
        .expect("two more");
    assert_eq!(topic.partitions().len(), 5);
    let error = topic.set_options(options.partitions(2)).expect_err("fewer");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn names_and_options_out_of_range_are_refused_before_anything_is_made() {
    let dir = TempDir::new().expect("a folder");
    let log = Log::open(dir.path()).expect("open");
    for name in ["", "..", "a/b", "__consumer_offsets", "ä"] {
        assert_eq!(
            log.topic(name).expect_err(name).kind(),
            ErrorKind::InvalidInput
        );
    }
    let error = log
        .create_topic("events", TopicOptions::default().segment_bytes(1))
        .expect_err("too small");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("segment.bytes=1"), "{error}");
    assert!(!dir.path().join("events-0").exists());
    let error = Log::builder(dir.path().join("other"))
        .defaults(TopicOptions::default().partitions(0))
        .open()
        .expect_err("no partitions");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(!dir.path().join("other").exists());
}

#[test]
fn a_deleted_topic_is_gone_and_can_be_made_anew() {
    let dir = TempDir::new().expect("a folder");
    let log = Log::open(dir.path()).expect("open");
    append(&log, "events", numbered(0..10));
    let partition = log
        .topic("events")
        .expect("topic")
        .partition(0)
        .expect("partition");
    log.delete_topic("events").expect("delete");
    assert_eq!(
        partition.append(Record::new("x")).expect_err("gone").kind(),
        ErrorKind::Closed
    );
    assert!(log.topics().is_empty());
    assert!(!dir.path().join("events-0").exists());
    assert_eq!(
        log.delete_topic("events").expect_err("gone").kind(),
        ErrorKind::NotFound
    );
    assert!(values(&log, "events", 0).is_empty());
}

#[test]
fn equal_keys_share_a_partition_and_keep_their_order() {
    let dir = TempDir::new().expect("a folder");
    let log = Log::open(dir.path()).expect("open");
    let topic = log
        .create_topic("events", TopicOptions::default().partitions(4))
        .expect("create");
    for n in 0..200u32 {
        let key = format!("user-{}", n % 10);
        topic
            .append(Record::new(&n.to_string()).key(&key))
            .expect("append");
    }
    let mut seen = std::collections::HashMap::new();
    let mut total = 0;
    for (index, partition) in topic.partitions().iter().enumerate() {
        for record in partition.cursor(Start::Earliest).expect("cursor") {
            let record = record.expect("readable");
            let key = record.key().expect("a key").to_vec();
            let n: u32 = std::str::from_utf8(record.value().expect("a value"))
                .expect("text")
                .parse()
                .expect("n");
            let (home, last) = seen.entry(key).or_insert((index, None));
            assert_eq!(*home, index);
            assert!(last.is_none_or(|last| last < n));
            *last = Some(n);
            total += 1;
        }
    }
    assert_eq!(total, 200);
}

#[test]
fn a_batch_is_appended_whole_or_not_at_all() {
    let dir = TempDir::new().expect("a folder");
    let log = Log::open(dir.path()).expect("open");
    let topic = log
        .create_topic("events", TopicOptions::default().max_message_bytes(1_000))
        .expect("create");
    let partition = topic.partition(0).expect("partition");
    let mut batch = RecordBatchBuilder::new(stratalog::Compression::None);
    for n in 0..20 {
        batch
            .push(Record::new(&format!("value {n}")))
            .expect("push");
    }
    let ticket = partition.append_batch(&batch).expect("append");
    assert_eq!(
        ticket.offsets(),
        Offset::ZERO..Offset::new(20).expect("small")
    );
    for n in 0..200 {
        batch
            .push(Record::new(&format!("value {n}")))
            .expect("push");
    }
    let error = partition.append_batch(&batch).expect_err("above the limit");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("1000"), "{error}");
    assert_eq!(partition.watermarks().end, Offset::new(20).expect("small"));
}

/// A cut is as coarse as a batch. When the batch began below the log start, cutting it used to put the end below the start.
#[test]
fn a_cut_inside_the_first_batch_that_is_left_ends_the_log_at_its_start() {
    let dir = TempDir::new().expect("a folder");
    let log = Log::open(dir.path()).expect("open");
    let partition = log
        .topic("events")
        .expect("topic")
        .partition(0)
        .expect("partition");
    let mut batch = RecordBatchBuilder::new(stratalog::Compression::None);
    for n in 0..10 {
        batch
            .push(Record::new(&format!("value {n}")))
            .expect("push");
    }
    partition.append_batch(&batch).expect("0 to 10");
    partition.append_batch(&batch).expect("10 to 20");
    let at = |value| Offset::new(value).expect("small");
    partition.delete_records_before(at(13)).expect("trim");
    assert_eq!(
        partition.replica().truncate_to(at(16)).expect("cut"),
        at(13)
    );
    let marks = partition.watermarks();
    assert_eq!(
        (marks.start, marks.durable, marks.end),
        (at(13), at(13), at(13))
    );
    assert_eq!(
        partition
            .append(Record::new("next"))
            .expect("append")
            .offset(),
        at(13)
    );
    log.close().expect("close");
    assert_eq!(
        values(&Log::open(dir.path()).expect("reopen"), "events", 0),
        ["next"]
    );
}

#[test]
fn a_record_an_hour_ahead_of_the_clock_is_refused_and_one_a_minute_ahead_is_taken() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_700_000_000_000)));
    let log = Log::builder("/log")
        .storage(Arc::new(Memory::new()))
        .clock(clock)
        .maintenance(Maintenance::Manual)
        .open()
        .expect("open");
    let partition = log
        .topic("events")
        .expect("topic")
        .partition(0)
        .expect("partition");
    let at = |ms: i64| Record::new("v").timestamp(Timestamp::from_millis(1_700_000_000_000 + ms));
    partition.append(at(60_000)).expect("a minute");
    let error = partition.append(at(3_600_001)).expect_err("above an hour");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error.to_string().contains("message.timestamp.after.max.ms"),
        "{error}"
    );
}

#[test]
fn a_full_disk_refuses_appends_and_takes_them_again_after_a_trim() {
    let storage = Memory::with_capacity_bytes(600 << 10);
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_700_000_000_000)));
    let log = Log::builder("/log")
        .storage(Arc::new(storage))
        .clock(Arc::clone(&clock) as Arc<dyn stratalog::Clock>)
        .maintenance(Maintenance::Manual)
        .defaults(TopicOptions::default().segment_bytes(64 << 10))
        .open()
        .expect("open");
    let partition = log
        .topic("events")
        .expect("topic")
        .partition(0)
        .expect("partition");
    let value = vec![7u8; 1_000];
    let mut appended = 0u64;
    let error = loop {
        match partition.append(Record::new(&value)) {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
        assert!(appended < 10_000, "the disk is never full");
    };
    assert_eq!(error.kind(), ErrorKind::Full);
    let read = partition
        .cursor(Start::Earliest)
        .expect("cursor")
        .inspect(|r| assert!(r.is_ok()))
        .count();
    assert_eq!(
        read as u64, appended,
        "readers go on, and see nothing half-written"
    );
    partition
        .delete_records_before(Offset::new(appended / 2).expect("small"))
        .expect("trim");
    clock.advance(Duration::from_millis(200));
    let ticket = partition
        .append(Record::new(&value))
        .expect("writing resumes");
    assert_eq!(ticket.offset().get(), appended);
    log.close().expect("close");
}

#[test]
fn a_link_a_fifo_or_a_folder_in_place_of_a_file_is_refused_and_never_followed() {
    for kind in ["link", "fifo", "folder"] {
        let dir = TempDir::new().expect("a folder");
        let log = Log::open(dir.path()).expect("open");
        append(&log, "events", numbered(0..3));
        log.close().expect("close");
        let segment = dir.path().join("events-0/00000000000000000000.log");
        let aside = dir.path().join("aside");
        fs::rename(&segment, &aside).expect("move");
        match kind {
            "link" => std::os::unix::fs::symlink(&aside, &segment).expect("link"),
            "fifo" => {
                let made = std::process::Command::new("mkfifo")
                    .arg(&segment)
                    .status()
                    .expect("mkfifo");
                assert!(made.success());
            }
            _ => fs::create_dir(&segment).expect("folder"),
        }
        let before = fs::read(&aside).expect("the bytes");
        let error = Log::open(dir.path()).map(drop).expect_err(kind);
        assert!(
            matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Corrupt),
            "{kind}: {error:?}"
        );
        assert!(
            error.to_string().contains("00000000000000000000.log"),
            "{error}"
        );
        assert_eq!(fs::read(&aside).expect("the bytes"), before);
    }
}

#[test]
fn files_and_folders_that_are_not_ours_are_left_alone_and_reported() {
    let dir = TempDir::new().expect("a folder");
    let log = Log::open(dir.path()).expect("open");
    append(&log, "events", numbered(0..3));
    log.close().expect("close");
    let files = ["notes.txt", "events-0/notes.txt"].map(|name| dir.path().join(name));
    for file in &files {
        fs::write(file, "mine").expect("write");
    }
    let folders = [
        "lost+found",
        "__consumer_offsets-0",
        "old-0.0123456789abcdef0123456789abcdef-delete",
    ];
    for folder in folders {
        fs::create_dir(dir.path().join(folder)).expect("folder");
    }
    let log = Log::open(dir.path()).expect("open");
    let report = log.recovery().to_string();
    for name in ["notes.txt", "lost+found", "__consumer_offsets-0", "-delete"] {
        assert!(report.contains(name), "{name} is not in:\n{report}");
    }
    assert!(report.contains("events-0: closed cleanly"), "{report}");
    assert_eq!(log.topics().len(), 1);
    log.close().expect("close");
    for file in &files {
        assert_eq!(fs::read(file).expect("still there"), b"mine");
    }
    assert!(
        folders
            .iter()
            .all(|folder| dir.path().join(folder).exists())
    );
}

#[test]
fn a_file_with_kafkas_suffix_and_no_number_is_refused_with_its_name_and_a_way_out() {
    let dir = TempDir::new().expect("a folder");
    let log = Log::open(dir.path()).expect("open");
    append(&log, "events", numbered(0..3));
    log.close().expect("close");
    let foreign = dir.path().join("events-0/foo.log");
    fs::write(&foreign, "x").expect("write");
    let error = Log::open(dir.path())
        .map(drop)
        .expect_err("a broker would not start either");
    assert!(error.to_string().contains("foo.log"), "{error}");
    fs::remove_file(&foreign).expect("remove");
    assert_eq!(
        values(&Log::open(dir.path()).expect("open"), "events", 0),
        numbered(0..3)
    );
}

#[test]
fn a_damaged_topics_file_is_an_error_and_never_taken_for_defaults() {
    let dir = TempDir::new().expect("a folder");
    let log = Log::open(dir.path()).expect("open");
    log.create_topic("events", TopicOptions::default().segment_bytes(4_096))
        .expect("create");
    log.close().expect("close");
    let file = dir.path().join("stratalog.topics");
    let text = fs::read_to_string(&file)
        .expect("text")
        .replace("segment.bytes=4096", "segment.bytes=8096");
    fs::write(&file, text).expect("write");
    let error = Log::open(dir.path()).map(drop).expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("stratalog.topics"), "{error}");
}

fn snapshot(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("list") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.display().to_string(), fs::read(&path).expect("read")));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_view_reads_beside_the_writer_and_changes_nothing() {
    let dir = TempDir::new().expect("a folder");
    let log = Log::open(dir.path()).expect("open");
    append(&log, "events", numbered(0..50));
    let before = snapshot(dir.path());
    let view = Log::view(dir.path()).expect("view");
    let partition = view
        .topic("events")
        .expect("topic")
        .partition(0)
        .expect("partition");
    let mut cursor = partition.cursor(Start::Earliest).expect("cursor");
    assert_eq!(cursor.by_ref().inspect(|r| assert!(r.is_ok())).count(), 50);
    assert_eq!(snapshot(dir.path()), before);
    append(&log, "events", numbered(50..60));
    assert!(cursor.next().is_none(), "nothing new before a refresh");
    partition.refresh().expect("refresh");
    assert_eq!(cursor.inspect(|r| assert!(r.is_ok())).count(), 10);
}

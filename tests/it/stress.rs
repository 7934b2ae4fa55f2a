//! Threads of the system, all at once, on a real disk: what a sanitizer is run on.
//!
//! `STRESS_S` is how many seconds it takes; without it as many rounds as the effort says.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stratalog::{
    ErrorKind, FsyncPolicy, GapCause, Log, Offset, Partition, ReadUpTo, Record, RecordBatchBuilder,
    Start, TopicOptions, WriterOptions,
};
use tempfile::TempDir;

use crate::battery::{Cases, effort};

const RECORDS: u64 = 400;

fn offset(value: u64) -> Offset {
    Offset::new(value).expect("a small offset")
}

/// The payload of a writer's record: its name, its number, and bytes that follow from both.
fn payload(writer: char, number: u64) -> String {
    let filler = usize::try_from(number % 90).expect("small");
    format!("{writer} {number} {}", writer.to_string().repeat(filler))
}

fn write(writer: char, partition: &Partition) {
    for number in 0..RECORDS {
        let value = payload(writer, number);
        let ticket = match number % 3 {
            0 => partition.append(Record::new(&value)),
            1 => partition.submit(Record::new(&value)),
            _ => {
                let mut batch = RecordBatchBuilder::new(Default::default());
                batch.push(Record::new(&value)).expect("a small record");
                partition.submit_batch(&batch)
            }
        };
        let ticket = ticket.expect("a sound disk");
        if number % 64 == 0 {
            ticket.wait_durable().expect("a sound disk");
            assert!(partition.watermarks().durable >= ticket.offsets().end);
        }
    }
}

fn linger(writer: char, partition: &Partition) {
    let options = WriterOptions::default()
        .linger(Duration::from_millis(1))
        .batch_bytes(512);
    let filling = partition.writer(options).expect("an open log");
    let mut last = None;
    for number in 0..RECORDS {
        let value = payload(writer, number);
        last = Some(filling.send(Record::new(&value)).expect("a sound disk"));
    }
    last.expect("a record")
        .wait_durable()
        .expect("a sound disk");
}

/// Reads until `total` records were appended and read, or trimmed: each writer's numbers ascend, and no byte is another.
fn read(partition: &Partition, up_to: ReadUpTo, total: u64) -> u64 {
    let mut cursor = partition
        .cursor(Start::Earliest)
        .expect("an open log")
        .read_up_to(up_to);
    let mut next = [0_u64; 3];
    let mut read = 0;
    while cursor.position() < offset(total) {
        match cursor.next() {
            None => drop(cursor.wait(Duration::from_millis(50)).expect("an open log")),
            Some(Ok(record)) => {
                let value = record.value().expect("a value");
                let value = std::str::from_utf8(value).expect("text");
                let mut words = value.split(' ');
                let writer = words
                    .next()
                    .and_then(|word| word.chars().next())
                    .expect("a name");
                let number: u64 = words.next().expect("a number").parse().expect("a number");
                assert_eq!(value, payload(writer, number));
                let next = &mut next[usize::from(u8::try_from(writer).expect("ASCII") - b'a')];
                assert!(number >= *next, "{writer} {number} again");
                *next = number + 1;
                read += 1;
            }
            Some(Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::Gap, "{error}");
                let gap = error.gap().expect("a gap");
                assert_eq!(gap.cause(), GapCause::Trimmed, "{error}");
            }
        }
    }
    read
}

fn round(dir: &Path, fsync: FsyncPolicy, cases: &Cases) {
    let options = TopicOptions::default().fsync(fsync).segment_bytes(8_000);
    let log = Log::builder(dir)
        .defaults(options)
        .open()
        .expect("a new log");
    let partition = log
        .topic("t")
        .and_then(|topic| topic.partition(0))
        .expect("a new topic");
    let total = 3 * RECORDS;
    let done = AtomicBool::new(false);
    let trimmed = AtomicU64::new(0);
    thread::scope(|scope| {
        let writers = [
            scope.spawn(|| write('a', &partition)),
            scope.spawn(|| write('b', &partition)),
            scope.spawn(|| linger('c', &partition)),
        ];
        let readers = [
            scope.spawn(|| read(&partition, ReadUpTo::End, total)),
            scope.spawn(|| read(&partition, ReadUpTo::Durable, total)),
        ];
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                let high = partition.watermarks().high.get();
                let to = offset((high / 2).min(total / 2));
                let start = partition.delete_records_before(to).expect("a sound disk");
                trimmed.store(start.get(), Ordering::Release);
                log.maintain(Duration::from_millis(5))
                    .expect("a sound disk");
                thread::sleep(Duration::from_millis(2));
            }
        });
        for writer in writers {
            writer.join().expect("a writer that ends well");
        }
        partition.sync().expect("a sound disk");
        for reader in readers {
            let read = reader.join().expect("a reader that ends well");
            assert!(read >= total / 2, "only what was trimmed may be missing");
        }
        done.store(true, Ordering::Release);
    });
    log.close().expect("a sound disk");
    let log = Log::open(dir).expect("a closed log");
    let partition = log
        .topic("t")
        .and_then(|topic| topic.partition(0))
        .expect("the topic");
    let left = read(&partition, ReadUpTo::Durable, total);
    assert_eq!(left, total - partition.watermarks().start.get());
    cases.count();
}

/// Promises 2, 3, 5 and 25.
#[test]
fn writers_readers_trimming_and_maintenance_at_once_lose_nothing() {
    let cases = Cases::default();
    let seconds = std::env::var("STRESS_S")
        .ok()
        .map(|text| text.parse().expect("seconds"));
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let rounds = effort(3, 300);
    let policies = [
        FsyncPolicy::Never,
        FsyncPolicy::Always,
        FsyncPolicy::Bytes(4_000),
    ];
    for policy in policies.into_iter().cycle() {
        let is_enough = match until {
            Some(until) => cases.get() > 0 && Instant::now() >= until,
            None => cases.get() >= rounds,
        };
        if is_enough {
            break;
        }
        let dir = TempDir::new().expect("a folder");
        round(dir.path(), policy, &cases);
    }
    cases.report("stress, rounds", 1);
}

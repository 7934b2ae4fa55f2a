//! A whole log, with its threads, in many orders: opening, closing, creating and deleting against whoever uses it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shuttle::future::block_on;

use super::{Log, Maintenance};
use crate::batch::Record;
use crate::cursor::Start;
use crate::error::{Error, ErrorKind};
use crate::offset::Offset;
use crate::partition::{FsyncPolicy, Partition, ReadUpTo, TopicOptions};
use crate::storage::Memory;
use crate::sync::schedules::drawn_orders;
use crate::sync::thread::{self, JoinHandle};
use crate::timestamp::{ManualClock, Timestamp};
use crate::writer::{Stage, WriterOptions};

fn open(disk: &Memory, fsync: FsyncPolicy, maintenance: Maintenance) -> Result<Log, Error> {
    Log::builder(Path::new("/log"))
        .storage(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::at(Timestamp::from_millis(
            1_700_000_000_000,
        ))))
        .defaults(TopicOptions::default().fsync(fsync))
        .maintenance(maintenance)
        .open()
}

const TWO_FLUSHERS: Maintenance = Maintenance::Threads { flushers: 2 };

fn started(fsync: FsyncPolicy) -> (Memory, Log, Partition) {
    let disk = Memory::new();
    let log = open(&disk, fsync, TWO_FLUSHERS).expect("a new log");
    let topic = log.topic("t").expect("a new topic");
    let partition = topic.partition(0).expect("the only one");
    (disk, log, partition)
}

fn values(partition: &Partition) -> Vec<String> {
    let cursor = partition.cursor(Start::Earliest).expect("an open log");
    cursor
        .map(|record| {
            let record = record.expect("a sound disk");
            String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned()
        })
        .collect()
}

/// The value, once its append returned; nothing when the log was closed before.
fn unless_closed<T>(value: &str, done: Result<T, Error>) -> Option<String> {
    match done {
        Ok(_) => Some(value.to_owned()),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
            None
        }
    }
}

/// What was acknowledged before the close is there after it, once, in a log that says it is clean.
fn check_reopened(disk: &Memory, acknowledged: &[String]) {
    let log = open(disk, FsyncPolicy::Never, Maintenance::Manual).expect("a closed log");
    let all = values(
        &log.topic("t")
            .expect("a topic")
            .partition(0)
            .expect("the only one"),
    );
    for value in acknowledged {
        let times = all.iter().filter(|found| *found == value).count();
        assert_eq!(times, 1, "{value} in {all:?}");
    }
    log.close().expect("a sound disk");
}

/// Promises 1 and 25.
#[test]
fn closing_a_log_ends_its_threads_and_loses_nothing_that_was_acknowledged() {
    drawn_orders("log, close", 1_000, || {
        let (disk, log, partition) = started(FsyncPolicy::Always);
        let appends = partition.clone();
        let appends = thread::spawn(move || unless_closed("a", appends.append(Record::new("a"))));
        let submits = partition.clone();
        let submits = thread::spawn(move || {
            let ticket = submits.submit(Record::new("b"));
            unless_closed("b", ticket.and_then(|ticket| block_on(ticket.durable())))
        });
        let follower = partition.clone();
        let follows = thread::spawn(move || {
            let Ok(mut cursor) = follower.cursor(Start::Earliest) else {
                return 0;
            };
            // Ends when the log is closed, and not before.
            let seen = cursor.follow().map(|record| record.expect("a sound disk"));
            seen.count()
        });
        let waits = thread::spawn(move || {
            let mut readable = partition.readable(Offset::ZERO, 1, ReadUpTo::Durable);
            match readable.wait(Duration::MAX) {
                Ok(found) => assert!(found),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
            }
        });
        log.close().expect("a sound disk");
        let acknowledged: Vec<_> = [appends.join(), submits.join()]
            .into_iter()
            .filter_map(|one| one.expect("a thread that ends well"))
            .collect();
        assert!(follows.join().expect("a thread that ends well") <= 2);
        waits.join().expect("a thread that ends well");
        check_reopened(&disk, &acknowledged);
    });
}

/// Promise 25: the last one to let go of a log closes it, whichever thread that is.
#[test]
fn dropping_a_log_on_any_thread_closes_it() {
    drawn_orders("log, drop", 500, || {
        let (disk, log, partition) = started(FsyncPolicy::Never);
        let clone = log.clone();
        let drops = thread::spawn(move || drop(clone));
        let appends = thread::spawn(move || {
            let ticket = partition.submit(Record::new("a"));
            unless_closed("a", ticket.and_then(|ticket| block_on(ticket.durable())))
        });
        drop(log);
        drops.join().expect("a thread that ends well");
        let acknowledged = appends.join().expect("a thread that ends well");
        check_reopened(&disk, acknowledged.as_slice());
    });
}

/// Promise 17, within a process.
#[test]
fn of_two_that_open_a_directory_at_once_one_is_refused() {
    drawn_orders("log, two owners", 300, || {
        let disk = Memory::new();
        let other = disk.clone();
        let open = |disk: &Memory| open(disk, FsyncPolicy::Never, Maintenance::Manual);
        let second = thread::spawn(move || open(&other));
        let both = [open(&disk), second.join().expect("a thread that ends well")];
        let refused: Vec<_> = both.iter().filter_map(|one| one.as_ref().err()).collect();
        assert_eq!(refused.len(), 1, "{both:?}");
        assert_eq!(refused[0].kind(), ErrorKind::Locked);
    });
}

#[test]
fn a_topic_that_two_ask_for_at_once_is_created_once() {
    drawn_orders("log, topics", 300, || {
        let disk = Memory::new();
        let log = open(&disk, FsyncPolicy::Never, Maintenance::Manual).expect("a new log");
        let other = log.clone();
        let append = |log: &Log, value: &str| {
            let topic = log.topic("t").expect("a sound disk");
            topic.append(Record::new(value)).map(drop)
        };
        let second = thread::spawn(move || append(&other, "b"));
        append(&log, "a").expect("a sound disk");
        let second = second.join().expect("a thread that ends well");
        second.expect("a sound disk");
        assert_eq!(log.topics().len(), 1);
        log.close().expect("a sound disk");
        check_reopened(&disk, &["a".to_owned(), "b".to_owned()]);
    });
}

#[test]
fn deleting_a_topic_lets_go_of_whoever_uses_it() {
    drawn_orders("log, delete a topic", 500, || {
        let (_disk, log, partition) = started(FsyncPolicy::Always);
        let appends = partition.clone();
        let appends = thread::spawn(move || unless_closed("a", appends.append(Record::new("a"))));
        let follows = thread::spawn(move || match partition.cursor(Start::Earliest) {
            Ok(mut cursor) => cursor.follow().filter(Result::is_ok).count(),
            Err(_) => 0,
        });
        log.delete_topic("t").expect("a sound disk");
        appends.join().expect("a thread that ends well");
        assert!(follows.join().expect("a thread that ends well") <= 1);
        log.close().expect("a sound disk");
    });
}

/// What lingers is written by whoever comes first: the sender, who waits, the flushers, or the close.
#[test]
fn records_that_linger_are_written_once_by_whoever_comes_first() {
    drawn_orders("log, linger", 500, || {
        let (disk, log, partition) = started(FsyncPolicy::Never);
        let options = WriterOptions::default().batch_bytes(100);
        let writer = Arc::new(partition.writer(options).expect("an open log"));
        let sends = |value: &'static str| -> JoinHandle<Option<String>> {
            let writer = Arc::clone(&writer);
            thread::spawn(move || {
                let ticket = match writer.send(Record::new(value)) {
                    Ok(ticket) => ticket,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Closed);
                        return None;
                    }
                };
                let written = unless_closed(value, ticket.wait_durable());
                assert_eq!(written.is_some(), ticket.stage() == Stage::Durable);
                written
            })
        };
        let threads = [sends("a"), sends("b")];
        match writer.flush() {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
        }
        log.close().expect("a sound disk");
        let written: Vec<_> = threads
            .into_iter()
            .filter_map(|one| one.join().expect("a thread that ends well"))
            .collect();
        check_reopened(&disk, &written);
    });
}

/// Retention and rolling on one thread, appends on another, a reader on a third.
#[test]
fn maintenance_by_hand_goes_beside_appends_and_readers() {
    drawn_orders("log, maintain", 500, || {
        let disk = Memory::new();
        let log = open(&disk, FsyncPolicy::Never, Maintenance::Manual).expect("a new log");
        let partition = log.topic("t").and_then(|topic| topic.partition(0));
        let partition = partition.expect("a new topic");
        let appends = partition.clone();
        let appends = thread::spawn(move || {
            let ticket = appends.submit(Record::new("a")).expect("a sound disk");
            // Completes while somebody maintains, or syncs itself.
            ticket.wait_durable().expect("a sound disk");
        });
        let reads = thread::spawn(move || {
            let mut cursor = partition.cursor(Start::Earliest).expect("an open log");
            assert!(cursor.wait(Duration::MAX).expect("an open log"));
            values(&partition)
        });
        for _ in 0..2 {
            log.maintain(Duration::MAX).expect("a sound disk");
        }
        appends.join().expect("a thread that ends well");
        assert_eq!(reads.join().expect("a thread that ends well"), ["a"]);
        log.close().expect("a sound disk");
    });
}

//! Promises on days that no disk is to blame for: a clock that jumps, code of the user that panics, names that are none.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use stratalog::storage::{Memory, Storage};
use stratalog::{
    Clock, ErrorKind, Log, Maintenance, ManualClock, Partition, Record, Retention, Start,
    SystemClock, Timestamp, TopicOptions,
};

const HOUR: Duration = Duration::from_secs(3600);

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

const IN_2026: i64 = 1_780_000_000_000;
const IN_1970: i64 = 1_000;
const IN_2040: i64 = 2_210_000_000_000;

fn open(memory: &Memory, clock: Arc<dyn Clock>) -> Log {
    let retention = Retention::unlimited().time(HOUR);
    let defaults = TopicOptions::default()
        .segment_bytes(1024)
        .retention(retention);
    Log::builder("/log")
        .storage(Arc::new(memory.clone()))
        .clock(clock)
        .maintenance(Maintenance::Manual)
        .defaults(defaults)
        .open()
        .unwrap()
}

fn partition(log: &Log) -> Partition {
    log.topic("t").unwrap().partition(0).unwrap()
}

fn append(partition: &Partition, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let ticket = partition
            .append(Record::new(&format!("value {number}")))
            .unwrap();
        assert_eq!(ticket.offset().get(), number);
    }
}

/// Every offset below `count` with its value, in order; gives the timestamps.
fn read(partition: &Partition, count: u64) -> Vec<i64> {
    let mut times = Vec::new();
    for record in partition.cursor(Start::Earliest).unwrap() {
        let record = record.unwrap();
        let number = times.len();
        assert_eq!(record.offset().get(), number as u64);
        assert_eq!(
            record.value(),
            Some(format!("value {number}").as_bytes()),
            "offset {number}"
        );
        times.push(record.timestamp().unwrap().as_millis());
    }
    assert_eq!(times.len() as u64, count);
    times
}

/// Promise 16.
#[test]
fn a_clock_that_jumps_while_the_log_is_open_deletes_nothing_and_moves_no_offset() {
    for (jump, then) in [
        (IN_2040, IN_2026),
        (IN_1970, IN_2026),
        (IN_2040, IN_1970),
        (IN_1970, IN_2040),
    ] {
        let memory = Memory::new();
        let clock = Arc::new(ManualClock::at(at(IN_2026)));
        let log = open(&memory, Arc::clone(&clock) as Arc<dyn Clock>);
        let t = partition(&log);
        append(&t, 0..40);
        assert!(t.segments().unwrap().len() > 2);
        let mut end = 40;
        for wall in [jump, then] {
            clock.set_wall(at(wall));
            log.maintain(HOUR).unwrap();
            read(&t, end);
            // A clock that was set back is seen by a plan as well; retention itself has seen any jump.
            if wall == IN_1970 {
                let hour = Retention::unlimited().time(HOUR);
                let plan = t.plan_retention(&hour).unwrap();
                assert_eq!(plan.freed_bytes(), 0, "{plan:?}");
            }
            append(&t, end..end + 10);
            end += 10;
        }
        // Assigned times repeat over a step back of a minute at most; a larger one is believed, and counted.
        let times = read(&t, end);
        let steps_back = times.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert_eq!(t.stats().clock_steps_back, steps_back as u64, "{times:?}");
        log.close().unwrap();
        let log = open(&memory, clock);
        read(&partition(&log), end);
    }
}

/// Promise 16: steps back of at most a minute are not seen in timestamps.
#[test]
fn timestamps_repeat_while_the_clock_is_a_little_behind() {
    let memory = Memory::new();
    let clock = Arc::new(ManualClock::at(at(IN_2026)));
    let log = open(&memory, Arc::clone(&clock) as Arc<dyn Clock>);
    let t = partition(&log);
    append(&t, 0..2);
    clock.set_wall(at(IN_2026 - 59_000));
    append(&t, 2..4);
    assert_eq!(read(&t, 4), [IN_2026; 4]);
}

/// A clock of the user's own, which panics when it is told to.
#[derive(Debug)]
struct Moody {
    clock: SystemClock,
    panics: AtomicBool,
}

impl Clock for Moody {
    fn now(&self) -> SystemTime {
        assert!(!self.panics.load(Ordering::SeqCst), "a panic of the user's");
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// Promise 25.
#[test]
fn a_panic_in_the_users_clock_costs_that_append_and_nothing_else() {
    let memory = Memory::new();
    let clock = Arc::new(Moody {
        clock: SystemClock::new(),
        panics: AtomicBool::new(false),
    });
    let log = open(&memory, Arc::clone(&clock) as Arc<dyn Clock>);
    let t = partition(&log);
    append(&t, 0..20);
    clock.panics.store(true, Ordering::SeqCst);
    let panicked = catch_unwind(AssertUnwindSafe(|| t.append(Record::new("lost")).is_ok()));
    panicked.expect_err("the clock panics");
    read(&t, 20);
    clock.panics.store(false, Ordering::SeqCst);
    append(&t, 20..40);
    read(&t, 40);
    t.sync().unwrap();
    log.close().unwrap();
    read(&partition(&open(&memory, clock)), 40);
}

/// Promise 25.
#[test]
fn a_thread_that_panics_with_a_log_in_its_hands_leaves_a_log_that_opens_with_everything() {
    let memory = Memory::new();
    let clock = || Arc::new(SystemClock::new()) as Arc<dyn Clock>;
    let log = open(&memory, clock());
    let beside = partition(&log);
    append(&beside, 0..20);
    let thread = std::thread::spawn(move || {
        let t = partition(&log);
        let mut cursor = t.cursor(Start::Earliest).unwrap();
        let first = cursor.next().unwrap().unwrap();
        let _writer = t.writer(stratalog::WriterOptions::default()).unwrap();
        let _ticket = t.submit(Record::new("value 20")).unwrap();
        assert_eq!(first.value(), None, "a panic of the user's");
    });
    thread.join().expect_err("the thread panics");
    drop(beside);
    // Nothing was closed, and the directory is free again.
    let log = open(&memory, clock());
    read(&partition(&log), 21);
    append(&partition(&log), 21..30);
}

/// Promise 25.
#[test]
fn a_log_that_is_dropped_without_a_close_wakes_who_waits_and_keeps_every_record() {
    let memory = Memory::new();
    let log = open(&memory, Arc::new(SystemClock::new()));
    let t = partition(&log);
    append(&t, 0..20);
    let mut cursor = t.cursor(Start::Latest).unwrap();
    let waiting = std::thread::spawn(move || cursor.wait(HOUR).err().map(|error| error.kind()));
    drop(t);
    drop(log);
    assert!(matches!(
        waiting.join().unwrap(),
        None | Some(ErrorKind::Closed)
    ));
    let log = open(&memory, Arc::new(SystemClock::new()));
    read(&partition(&log), 20);
}

/// Promise 20.
#[test]
fn a_name_that_kafka_refuses_is_invalid_input_that_names_it_and_makes_nothing() {
    let memory = Memory::new();
    let log = open(&memory, Arc::new(SystemClock::new()));
    let names = |at: &str| memory.list(Path::new(at)).unwrap().len();
    let before = names("/log");
    let long = "n".repeat(250);
    for name in [
        "", ".", "..", "../up", "a/b", "a b", "ü", "a\0b", "__own", &long,
    ] {
        for error in [
            log.topic(name).unwrap_err(),
            log.create_topic(name, TopicOptions::default()).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}: {error}");
            assert!(
                error.to_string().contains(name.trim_matches('\0'))
                    || error.to_string().contains(&name.escape_debug().to_string()),
                "{name:?}: {error}"
            );
        }
    }
    assert_eq!(names("/log"), before);
    log.topic(&long[1..]).unwrap();
    log.topic("Az09._-").unwrap();
}

/// Promise 11.
#[test]
#[cfg(feature = "sim")]
fn a_read_that_fails_is_an_error_with_path_and_place_and_the_next_read_goes_on() {
    use stratalog::storage::sim::{Failure, Fault, Operation, Sim};
    let disk = Sim::new(1);
    let log = Log::builder("/log")
        .storage(Arc::new(disk.clone()))
        .maintenance(Maintenance::Manual)
        .open()
        .unwrap();
    let t = partition(&log);
    append(&t, 0..20);
    disk.plan(
        Failure::of(Operation::Read, Fault::Io)
            .extension("log")
            .forever(),
    );
    let mut cursor = t.cursor(Start::Earliest).unwrap();
    for _again in 0..3 {
        let error = cursor.next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(
            error
                .path()
                .is_some_and(|path| path.extension().is_some_and(|e| e == "log"))
        );
        assert!(error.position().is_some(), "{error}");
    }
    // Writing is not touched by it.
    append(&t, 20..21);
    disk.heal();
    read(&t, 21);
}

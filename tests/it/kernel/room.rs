//! Recovery without room, and on a medium that takes no writes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use stratalog::{
    ErrorKind, FsyncPolicy, Log, Offset, Partition, Record, Start, Ticket, TopicOptions,
};

use super::image::{Image, Kind, run};
use crate::battery::Cases;
use crate::driver::{Judge, Running, Said, command, dump};

/// A log whose writer was killed with records that no sync has vouched for.
fn killed_log(dir: &Path) -> Said {
    let options = "--policy records:40 --count 100 --size 500:900 --segment-bytes 20000 --hold-ms 600000 --seed 1";
    let writer = Running::start(&mut command("write", dir, options));
    while writer.heard().acknowledged.len() < 100 {
        std::thread::yield_now();
    }
    writer.kill()
}

fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files.extend(contents(&path)),
            false => {
                let content = std::fs::read(&path).expect("a file");
                files.insert(path, content);
            }
        }
    }
    files
}

/// Promise 12.
#[test]
fn recovery_on_a_read_only_medium_is_refused_changes_nothing_and_leaves_reading() {
    for kind in [Kind::Ext4, Kind::Xfs] {
        let Some(image) = Image::mount(kind, "a read-only medium") else {
            continue;
        };
        let dir = image.path().join("log");
        let said = killed_log(&dir);
        let remount = |how: &str| {
            let done = run(Command::new("mount").args(["-o", how]).arg(image.path()));
            done.expect("mounted differently");
        };
        remount("remount,ro");
        let before = contents(&dir);
        let (refused, status) = dump(&dir, "");
        assert_eq!(status.code(), Some(10), "{kind:?}: {refused:?}");
        assert!(
            refused.complaints[0].starts_with("E readonly "),
            "{refused:?}"
        );
        let (found, status) = dump(&dir, "--read-only 1");
        assert!(
            status.success() && found.read.len() == 100,
            "{kind:?}: {found:?}"
        );
        assert!(contents(&dir) == before, "{kind:?}: something was written");

        remount("remount,rw");
        let mut judge = Judge::default();
        judge.killed(&said);
        let (found, status) = dump(&dir, "");
        judge.check("writable again", &found, status, &said, 1);
    }
}

/// Promise 12: what is durable is readable, appends are `Full`, trimming makes room, and the rest of the tail is shown as soon as it has been
/// copied.
#[test]
fn recovery_on_a_full_disk_shows_what_is_durable_and_the_rest_once_there_is_room() {
    let cases = Cases::default();
    for kind in [Kind::Ext4, Kind::Xfs, Kind::Btrfs] {
        let Some(image) = Image::mount(kind, "a disk that is full during recovery") else {
            continue;
        };
        let dir = image.path().join("log");
        let said = killed_log(&dir);
        let ballast = image.path().join("ballast");
        fill(&ballast);

        let (found, status) = dump(&dir, "--read-only 1");
        assert!(
            status.success() && found.read.len() == 100,
            "{kind:?}: {found:?}"
        );
        let (full, status) = Running::start(&mut command(
            "write",
            &dir,
            "--count 1 --size 200000:200000 --seed 1 --first-stream 7",
        ))
        .wait();
        assert_eq!(status.code(), Some(11), "{kind:?}: {full:?}");
        assert!(
            full.complaints[0].starts_with("E full "),
            "{kind:?}: {full:?}"
        );
        let durable = full.opened_at.expect("a full disk opens");
        assert!(durable >= said.durable, "{kind:?}: {full:?}");

        std::fs::remove_file(&ballast).expect("removed");
        let mut judge = Judge::default();
        judge.killed(&said);
        let (found, status) = dump(&dir, "");
        judge.check(&format!("{kind:?}, room again"), &found, status, &said, 1);
        cases.count();
    }
    cases.report("full disks during recovery", 1);
}

/// Promises 8 and 12: opening needs no room for a new file, trimming makes room, and appends resume without reopening.
#[test]
fn a_full_disk_keeps_no_log_shut_and_the_trim_that_it_allows_makes_room() {
    let cases = Cases::default();
    for kind in [Kind::Ext4, Kind::Xfs, Kind::Btrfs] {
        let Some(image) = Image::mount(kind, "trimming on a full disk") else {
            continue;
        };
        let dir = image.path().join("log");
        let said = killed_log(&dir);
        let ballast = image.path().join("ballast");
        fill(&ballast);

        let log = Log::open(&dir).unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        let partition = log.topic("t").and_then(|topic| topic.partition(0));
        let partition = partition.expect("it stands there");
        let shown = partition.watermarks();
        assert!(shown.end.get() >= said.durable, "{kind:?}: {shown:?}");
        let count_from = |start: Offset| {
            let records = partition.cursor(Start::At(start)).expect("readers go on");
            let records = records.map(|record| record.expect("a record"));
            records.fold(0, |count, _| count + 1)
        };
        assert_eq!(count_from(Offset::ZERO), shown.end.get(), "{kind:?}");
        // The reserve and the end of the last block may take a few.
        let tries = (0..100).map(|_| partition.append(Record::new(&[1; 15_000])));
        let refused = tries.into_iter().find_map(Result::err).expect("no room");
        assert_eq!(refused.kind(), ErrorKind::Full, "{kind:?}: {refused}");

        let start = Offset::new(shown.end.get() / 2).expect("small");
        match partition.delete_records_before(start) {
            Ok(reached) => assert_eq!(reached, start, "{kind:?}"),
            // Where nothing is written in place even that may wait for room.
            Err(error) => assert_eq!((kind, error.kind()), (Kind::Btrfs, ErrorKind::Full)),
        }
        std::fs::remove_file(&ballast).expect("removed");
        let ticket = append_once_there_is_room(&partition);
        ticket.wait_durable().expect("there is room");
        let reached = partition
            .delete_records_before(start)
            .expect("there is room");
        assert_eq!(count_from(reached), ticket.offset().get() + 1 - start.get());
        drop((partition, ticket));
        log.close().expect("there is room");

        let log = Log::open(&dir).expect("there is room");
        assert!(log.recovery().was_clean(), "{kind:?}: {:?}", log.recovery());
        cases.count();
    }
    cases.report("trims on a full disk", 1);
}

/// A filesystem may take its time to give blocks back.
fn append_once_there_is_room(partition: &Partition) -> Ticket {
    loop {
        match partition.append(Record::new("there is room")) {
            Ok(ticket) => return ticket,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Full, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// To the last block.
fn fill(ballast: &Path) {
    let mut file = std::fs::File::create(ballast).expect("a file");
    let mut piece = 1 << 20;
    while piece >= 512 {
        if file.write_all(&vec![1; piece]).is_err() {
            piece /= 2;
        }
    }
    // A filesystem that allocates late has said yes to what it has no room for.
    drop(file.sync_all());
}

/// Promises 9, 10 and 12: the kernel takes the medium away from a log that is written to, as it does after an error of the disk. Appends end
/// with a typed error, who reads goes on, and what was durable is there at the next open.
#[test]
fn a_medium_that_turns_read_only_under_a_writer_fails_appends_and_costs_nothing_durable() {
    let cases = Cases::default();
    for policy in [FsyncPolicy::Always, FsyncPolicy::Records(20)] {
        let Some(image) = Image::mount(Kind::Ext4, "a medium that turns read-only") else {
            return;
        };
        let dir = image.path().join("log");
        let options = TopicOptions::default().segment_bytes(20_000).fsync(policy);
        let log = Log::builder(&dir)
            .defaults(options)
            .open()
            .expect("it opens");
        let partition = log.topic("t").and_then(|topic| topic.partition(0));
        let partition = partition.expect("it is made");
        let value = |offset: u64| format!("value {offset} {}", "x".repeat(300)).into_bytes();
        let append = || {
            let next = partition.watermarks().end.get();
            partition.append(Record::new(&value(next)))
        };
        let remount = |how: &str| run(Command::new("mount").args(["-o", how]).arg(image.path()));
        for _ in 0..200 {
            append().expect("a well disk");
        }
        // The kernel asks who writes; after an error it does not.
        remount("remount,ro").expect_err("a log is open for writing there");
        append().expect("nothing has happened");
        remount("remount,abort").expect("the journal ends");
        let refused = (0..10_000)
            .find_map(|_| append().err())
            .expect("it is read-only");
        let is_typed = matches!(
            refused.kind(),
            ErrorKind::Io | ErrorKind::ReadOnly | ErrorKind::Failed
        );
        assert!(is_typed, "{policy:?}: {refused}");
        let durable = partition.watermarks().durable.get();
        assert!(policy != FsyncPolicy::Always || durable >= 201, "{durable}");
        let check = |partition: &Partition| {
            let records = partition.cursor(Start::Earliest).expect("readers go on");
            let count = records.enumerate().map(|(at, record)| {
                let record = record.unwrap_or_else(|error| panic!("{policy:?} {at}: {error}"));
                assert_eq!(record.value(), Some(&value(at as u64)[..]));
            });
            assert!(
                count.count() as u64 >= durable,
                "{policy:?}: below {durable}"
            );
        };
        check(&partition);
        drop(partition);
        // What could not be closed is recovered.
        log.close().expect_err("it is read-only");
        drop(log);
        image.power_returns();

        let log = Log::open(&dir).expect("it opens");
        let partition = log.topic("t").and_then(|topic| topic.partition(0));
        check(&partition.expect("it is there"));
        log.close().expect("a well disk");
        cases.count();
    }
    cases.report("a medium that turns read-only", 2);
}

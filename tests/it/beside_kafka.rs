//! Folders in a log directory that only a broker opens: never changed, and never spoken for.

use std::fs;
use std::path::Path;

use stratalog::{ErrorKind, Log, Record, Start};
use tempfile::TempDir;

const MARKER: &str = ".kafka_cleanshutdown";
const INTERNAL: &str = "__consumer_offsets-3";

/// Like what a broker leaves: one topic of a user's and one of its own, in whose log a torn tail stands.
fn broker_left(marker: Option<&str>) -> TempDir {
    let dir = TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("written");
    for folder in [INTERNAL, "events-0"] {
        fs::create_dir(dir.path().join(folder)).expect("made");
    }
    write(&format!("{INTERNAL}/{:020}.log", 0), "torn");
    write(&format!("events-0/{:020}.log", 0), "");
    let entries =
        |offset: u32| format!("0\n3\nevents 0 0\n__consumer_offsets 3 {offset}\ngone 7 5\n");
    write("recovery-point-offset-checkpoint", &entries(11));
    write("log-start-offset-checkpoint", &entries(12));
    write("replication-offset-checkpoint", &entries(13));
    write("meta.properties", "version=1\n");
    if let Some(marker) = marker {
        write(MARKER, marker);
    }
    dir
}

fn append_and_close(dir: &Path, value: &str) {
    let log = Log::open(dir).expect("open");
    let events = log
        .topic("events")
        .expect("topic")
        .partition(0)
        .expect("partition");
    events.append(Record::new(value)).expect("append");
    log.close().expect("close");
}

fn check_untouched(dir: &Path) {
    let names: Vec<_> = fs::read_dir(dir.join(INTERNAL))
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["00000000000000000000.log"]);
    let content = fs::read(dir.join(INTERNAL).join(&names[0])).expect("read");
    assert_eq!(content, b"torn");
}

fn check_entries(dir: &Path) {
    for (name, offset) in [
        ("recovery-point-offset-checkpoint", 11),
        ("log-start-offset-checkpoint", 12),
        ("replication-offset-checkpoint", 13),
    ] {
        let text = fs::read_to_string(dir.join(name)).expect("read");
        assert!(
            text.contains(&format!("__consumer_offsets 3 {offset}\n")),
            "{name}: {text}"
        );
        assert!(
            !text.contains("gone"),
            "nothing stands there any more: {text}"
        );
    }
}

#[test]
fn what_kafkas_checkpoints_say_of_its_own_topics_outlives_our_close() {
    let dir = broker_left(Some(""));
    for value in ["a", "b"] {
        append_and_close(dir.path(), value);
        check_untouched(dir.path());
        check_entries(dir.path());
        assert!(dir.path().join(MARKER).exists(), "all of it was closed");
    }
}

#[test]
fn no_marker_of_ours_vouches_for_a_folder_that_nobody_closed() {
    let dir = broker_left(None);
    for (round, value) in ["a", "b", "c"].into_iter().enumerate() {
        append_and_close(dir.path(), value);
        check_untouched(dir.path());
        check_entries(dir.path());
        assert!(
            !dir.path().join(MARKER).exists(),
            "a broker must recover its own topic"
        );
        let log = Log::open(dir.path()).expect("reopen");
        assert!(!log.recovery().was_adopted(), "we wrote last");
        assert_eq!(log.recovery().left_alone(), [INTERNAL]);
        let events = log
            .topic("events")
            .expect("topic")
            .partition(0)
            .expect("partition");
        assert_eq!(
            events.cursor(Start::Earliest).expect("cursor").count(),
            round + 1
        );
    }
    fs::remove_dir_all(dir.path().join(INTERNAL)).expect("removed");
    append_and_close(dir.path(), "d");
    assert!(
        dir.path().join(MARKER).exists(),
        "nothing is left to speak for"
    );
}

#[test]
fn after_a_crash_of_ours_a_folder_that_was_closed_is_still_known_to_be() {
    let dir = broker_left(Some("{\"version\":0,\"brokerEpoch\":7}"));
    let log = Log::open(dir.path()).expect("open");
    let crashed = TempDir::new().expect("a folder");
    copy(dir.path(), crashed.path());
    log.close().expect("close");
    append_and_close(crashed.path(), "after");
    check_entries(crashed.path());
    assert!(crashed.path().join(MARKER).exists());
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a kind").is_dir() {
            fs::create_dir(&target).expect("made");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copied");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_a_partition_is_never_followed() {
    let dir = TempDir::new().expect("a folder");
    let outside = TempDir::new().expect("a folder");
    std::os::unix::fs::symlink(outside.path(), dir.path().join("events-0")).expect("linked");
    let log = Log::open(dir.path()).expect("open");
    assert_eq!(log.recovery().left_alone(), ["events-0"]);
    let error = log.topic("events").expect_err("a link stands there");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("events-0"), "{error}");
    assert!(
        error.to_string().contains("remove what stands there"),
        "{error}"
    );
    let inside = fs::read_dir(outside.path()).expect("listed").count();
    assert_eq!(inside, 0, "nothing is written outside of the log directory");
}

#[cfg(unix)]
#[test]
fn links_in_the_place_of_our_files_stop_the_open_by_name_and_meta_properties_does_not() {
    for name in [
        ".lock",
        MARKER,
        "stratalog.owner",
        "stratalog.topics",
        "stratalog.reserve",
        "recovery-point-offset-checkpoint",
    ] {
        let dir = TempDir::new().expect("a folder");
        let outside = TempDir::new().expect("a folder");
        let target = outside.path().join("target");
        fs::write(&target, "as it was").expect("written");
        std::os::unix::fs::symlink(&target, dir.path().join(name)).expect("linked");
        let error = Log::open(dir.path()).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(fs::read(&target).expect("read"), b"as it was", "{name}");
    }
    let dir = TempDir::new().expect("a folder");
    std::os::unix::fs::symlink("/dev/null", dir.path().join("meta.properties")).expect("linked");
    append_and_close(dir.path(), "written");
}

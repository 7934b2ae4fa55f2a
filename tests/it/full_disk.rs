//! A real disk of 32 MiB, filled to the last byte: what happens is typed, and ends as soon as there is room.
//!
//! Wants to mount (root on Linux); elsewhere it says that it was skipped.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use stratalog::{ErrorKind, FsyncPolicy, Log, Offset, Record, Start, TopicOptions};
use tempfile::TempDir;

use crate::battery;

/// A small filesystem, gone when dropped.
struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount(kind: &str) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let at = dir.path().join("disk");
        std::fs::create_dir(&at).unwrap();
        let mounted = match kind {
            "tmpfs" => run("mount", &["-t", "tmpfs", "-o", "size=32m", "tmpfs"], &at),
            _ => {
                let image = dir.path().join("image");
                std::fs::File::create(&image)
                    .unwrap()
                    .set_len(32 << 20)
                    .unwrap();
                run("mkfs.ext4", &["-q"], &image)
                    && run("mount", &["-o", "loop", image.to_str().unwrap()], &at)
            }
        };
        if !mounted {
            battery::skip("a full disk", "a disk of 32 MiB cannot be mounted here");
            return None;
        }
        Some(Self { dir })
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("disk")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &[], &self.path());
    }
}

fn run(program: &str, options: &[&str], last: &Path) -> bool {
    Command::new(program)
        .args(options)
        .arg(last)
        .output()
        .is_ok_and(|output| output.status.success())
}

fn check_full_disk(kind: &str, policy: FsyncPolicy) {
    let Some(disk) = SmallDisk::mount(kind) else {
        return;
    };
    let options = TopicOptions::default().segment_bytes(2 << 20).fsync(policy);
    let log = Log::builder(disk.path().join("log"))
        .defaults(options)
        .open()
        .unwrap();
    let partition = log.topic("events").unwrap().partition(0).unwrap();
    let value = vec![7u8; 20_000];
    let mut appended = 0u64;
    let error = loop {
        match partition.append(Record::new(&value)) {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
        assert!(appended < 10_000, "the disk is never full");
    };
    assert_eq!(error.kind(), ErrorKind::Full, "{kind}: {error}");
    let read = || {
        let cursor = partition.cursor(Start::Earliest).unwrap();
        cursor
            .map(|record| record.unwrap())
            .inspect(|r| assert_eq!(r.value(), Some(&value[..])))
            .count() as u64
    };
    assert_eq!(read(), appended, "{kind}: readers go on");
    assert_eq!(
        partition.append(Record::new(&value)).unwrap_err().kind(),
        ErrorKind::Full
    );
    let middle = Offset::new(appended / 2).unwrap();
    assert_eq!(
        partition.delete_records_before(middle).unwrap(),
        middle,
        "{kind}: trimming goes on"
    );
    std::thread::sleep(Duration::from_millis(150));
    let ticket = partition
        .append(Record::new(&value))
        .expect("writing resumes without a restart");
    assert_eq!(ticket.offset().get(), appended);
    ticket.wait_durable().unwrap();
    drop(partition);
    log.close().unwrap();
    let log = Log::open(disk.path().join("log")).unwrap();
    let partition = log.topic("events").unwrap().partition(0).unwrap();
    let read = partition
        .cursor(Start::Earliest)
        .unwrap()
        .inspect(|record| assert!(record.is_ok()))
        .count() as u64;
    assert_eq!(
        read,
        appended + 1 - middle.get(),
        "{kind}: nothing half-written is read"
    );
    log.close().unwrap();
    println!("{kind} {policy:?}: full after {appended} records, resumed after the trim");
}

#[test]
fn a_full_tmpfs_refuses_appends_and_takes_them_again_after_a_trim() {
    check_full_disk("tmpfs", FsyncPolicy::Never);
    check_full_disk("tmpfs", FsyncPolicy::Always);
}

#[test]
fn a_full_ext4_refuses_appends_and_takes_them_again_after_a_trim() {
    check_full_disk("ext4", FsyncPolicy::Never);
    check_full_disk("ext4", FsyncPolicy::Always);
}

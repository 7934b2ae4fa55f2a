//! Recovery without room, and on a medium that takes no writes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

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
    for kind in [Kind::Ext4, Kind::Xfs] {
        let Some(image) = Image::mount(kind, "a disk that is full during recovery") else {
            return;
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
        match full.opened_at {
            Some(durable) => assert!(durable >= said.durable, "{kind:?}: {full:?}"),
            // A new inode may need more room than the reserve gives back there; nothing is lost by it.
            None => assert_eq!(kind, Kind::Xfs, "a full disk opens: {full:?}"),
        }

        std::fs::remove_file(&ballast).expect("removed");
        let mut judge = Judge::default();
        judge.killed(&said);
        let (found, status) = dump(&dir, "");
        judge.check(&format!("{kind:?}, room again"), &found, status, &said, 1);
        cases.count();
    }
    cases.report("full disks during recovery", 2);
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

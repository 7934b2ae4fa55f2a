//! Limits on descriptors and on the size of a file, set on the driver by `prlimit`.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use tempfile::TempDir;

use crate::battery::{self, Cases, effort};
use crate::driver::{self, Judge, Running, Said, dump};

/// Descriptors with which a log of one partition opens, writes, rolls, trims and closes. Standard input, output and error and the driver's
/// own copy of its output are among them.
const ENOUGH_DESCRIPTORS: u64 = 16;

/// `sh` takes the limit by itself, and can ignore a signal on behalf of the program that it becomes.
fn limited(limit: &str, name: &str, dir: &Path, options: &str) -> Option<Command> {
    let is_here = Command::new("prlimit").arg("--version").output().is_ok();
    if !is_here {
        battery::skip("limits", "prlimit is missing");
        return None;
    }
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "trap '' XFSZ; limit=$1; shift; exec prlimit \"$limit\" \"$@\"",
        "sh",
    ]);
    command.arg(limit).arg(driver::driver());
    command.env("RUST_BACKTRACE", "0");
    command.arg(name).arg("--dir").arg(dir);
    command.args(options.split_whitespace());
    Some(command)
}

fn check_kept(case: &str, dir: &Path, said: &Said, batch: u64) {
    let mut judge = Judge::default();
    judge.may_trim = true;
    judge.killed(said);
    let (found, status) = dump(dir, "");
    judge.check(case, &found, status, said, batch);
}

/// Promise 22: with too few descriptors the error has a type and nothing is lost; with the documented number everything works.
#[test]
fn a_limit_on_descriptors_is_a_typed_error_and_a_small_number_is_enough() {
    let cases = Cases::default();
    let options =
        "--count 60 --batch 2 --policy always --segment-bytes 1500 --retention-bytes 3000 --seed 1";
    for descriptors in 5..=ENOUGH_DESCRIPTORS {
        let dir = TempDir::new().expect("a folder");
        let at = dir.path().join("log");
        let Some(mut writer) = limited(&format!("--nofile={descriptors}"), "write", &at, options)
        else {
            return;
        };
        let (said, status) = Running::start(&mut writer).wait();
        let case = format!("{descriptors} descriptors");
        match status.code() {
            Some(0) => assert!(said.is_closed, "{case}: {said:?}"),
            Some(10 | 14 | 17) if descriptors < ENOUGH_DESCRIPTORS => {
                assert!(!said.complaints.is_empty(), "{case}: {said:?}");
            }
            code => panic!("{case}: exit {code:?}: {said:?}"),
        }
        check_kept(&case, &at, &said, 2);
        cases.count();
    }
    cases.report("limits on descriptors", 10);
}

/// Promise 8: a file that may not grow any more is a full disk, as long as the process ignores SIGXFSZ.
#[test]
fn a_limit_on_the_size_of_a_file_is_a_full_disk() {
    let cases = Cases::default();
    for (policy, limit) in [("never", 70_000), ("always", 70_000), ("never", 200_000)] {
        let dir = TempDir::new().expect("a folder");
        let at = dir.path().join("log");
        let options = format!("--secs 60 --size 1000:1000 --policy {policy} --seed 1");
        let Some(mut writer) = limited(&format!("--fsize={limit}"), "write", &at, &options) else {
            return;
        };
        let (said, status) = Running::start(&mut writer).wait();
        let case = format!("{policy}, files of {limit} bytes");
        assert_eq!(status.code(), Some(11), "{case}: {said:?}");
        assert!(
            said.complaints[0].starts_with("E full 27 "),
            "{case}: {said:?}"
        );
        assert!(said.acknowledged.len() > 2, "{case}: {said:?}");
        check_kept(&case, &at, &said, 1);
        cases.count();
    }
    cases.report("limits on the size of a file", 3);
}

/// Done, a typed error, or the end that the system and the allocator put to a process without memory: not loaded, or aborted.
fn check_end(case: &str, said: &Said, status: ExitStatus) {
    const NOT_LOADED: i32 = 127;
    const SIGABRT: i32 = 6;
    match (status.code(), status.signal()) {
        (Some(0 | NOT_LOADED), _) | (None, Some(SIGABRT)) => {}
        (Some(10..=17), _) => assert!(!said.complaints.is_empty(), "{case}: {said:?}"),
        _ => panic!("{case}: {status:?}: {said:?}"),
    }
}

/// Promise 22: wherever memory ends, in opening, appending, recovering or reading, the log is as whole as after a kill.
#[test]
fn a_limit_on_memory_ends_a_process_and_damages_no_log() {
    let cases = Cases::default();
    let folder = TempDir::new().expect("a folder");
    let template = folder.path().join("template");
    let options = "--count 200 --batch 2 --policy never --segment-bytes 200000 --size 1000:60000 --seed 1 --hold-ms 600000";
    let writer = Running::start(&mut driver::command("write", &template, options));
    while writer.heard().acknowledged.len() < 200 {
        std::thread::yield_now();
    }
    let killed = writer.kill();
    // The smallest figures do not even load the program; with the largest all of it works.
    for kibibytes in (5_000..25_000).step_by(effort(2_000, 100) as usize) {
        let limit = format!("--as={}", kibibytes * 1024);
        let case = format!("{kibibytes} KiB of memory");
        let at = folder.path().join("new");
        let options = "--count 40 --batch 2 --policy always --segment-bytes 200000 --size 1000:60000 --seed 1";
        let Some(mut writer) = limited(&limit, "write", &at, options) else {
            return;
        };
        let (said, status) = Running::start(&mut writer).wait();
        check_end(&case, &said, status);
        check_kept(&case, &at, &said, 2);
        std::fs::remove_dir_all(&at).expect("removed");

        // Recovery and a scan of what a killed writer left.
        let at = folder.path().join("killed");
        let copied = Command::new("cp")
            .arg("-a")
            .arg(&template)
            .arg(&at)
            .status();
        assert!(copied.expect("cp").success());
        let Some(mut reader) = limited(&limit, "dump", &at, "") else {
            return;
        };
        let (found, status) = Running::start(&mut reader).wait();
        check_end(&case, &found, status);
        for (offset, origin) in &found.read {
            assert_eq!(killed.acknowledged.get(offset), Some(origin), "{case}");
        }
        if status.success() {
            assert_eq!(found.read.len(), killed.acknowledged.len(), "{case}");
        }
        check_kept(&case, &at, &killed, 2);
        std::fs::remove_dir_all(&at).expect("removed");
        cases.count();
    }
    cases.report("limits on memory", 10);
}

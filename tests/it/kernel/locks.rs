//! One writer at a time, whatever kind of lock the other one holds.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use stratalog::{ErrorKind, Log};
use tempfile::TempDir;

use crate::battery;
use crate::driver::{Running, command};

/// What a broker does: a POSIX record lock, which a flock does not see; held until its standard input ends.
const HOLD: &str = "import fcntl,sys; f=open(sys.argv[1],'r+b'); fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB); \
    print('held',flush=True); sys.stdin.read()";

/// `None`, said aloud, without python3; else whether the lock was had, and who holds it.
fn hold_posix_lock(lock: &Path) -> Option<(bool, Child)> {
    let started = Command::new("python3")
        .args(["-c", HOLD])
        .arg(lock)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut holder) = started else {
        battery::skip("a POSIX lock of another process", "python3 is missing");
        return None;
    };
    let mut said = String::new();
    let output = holder.stdout.as_mut().expect("piped");
    (BufReader::new(output).read_line(&mut said)).expect("text");
    Some((said == "held\n", holder))
}

/// Promise 17.
#[test]
fn a_posix_lock_of_another_process_and_our_locks_exclude_each_other() {
    let dir = TempDir::new().expect("a folder");
    let log = Log::open(dir.path()).expect("free");
    let lock = dir.path().join(".lock");
    let Some((is_held, mut refused)) = hold_posix_lock(&lock) else {
        return;
    };
    refused.wait().expect("reaped");
    assert!(!is_held, "a broker got in beside an open log");
    log.close().expect("closed");

    let (is_held, mut holder) = hold_posix_lock(&lock).expect("python3 ran before");
    assert!(is_held, "a closed log holds nothing");
    let error = Log::open(dir.path()).expect_err("a broker is there");
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    holder.kill().expect("SIGKILL");
    holder.wait().expect("reaped");
    Log::open(dir.path()).expect("the lock died with its holder");
}

/// Promise 17.
#[test]
fn a_second_process_is_refused_at_once_also_through_a_link_until_the_first_one_dies() {
    let folder = TempDir::new().expect("a folder");
    let dir = folder.path().join("logs/log");
    std::fs::create_dir(folder.path().join("logs")).expect("a folder");
    std::os::unix::fs::symlink("logs", folder.path().join("link")).expect("a link");
    let first = Running::start(&mut command(
        "write",
        &dir,
        "--count 3 --hold-ms 600000 --seed 1",
    ));
    while first.heard().acknowledged.len() < 3 {
        std::thread::yield_now();
    }
    for way in [dir.clone(), folder.path().join("link/log")] {
        let (said, status) = Running::start(&mut command("write", &way, "--count 1")).wait();
        assert_eq!(status.code(), Some(13), "{said:?}");
        assert!(said.complaints[0].starts_with("E locked "), "{said:?}");
    }
    // Its own process counts as another: no lock is had twice.
    let mut refused = command("dump", &dir, "");
    let mut output = String::new();
    let mut child = refused.stdout(Stdio::piped()).spawn().expect("starts");
    (child.stdout.take().expect("piped"))
        .read_to_string(&mut output)
        .expect("text");
    assert_eq!(child.wait().expect("reaped").code(), Some(13), "{output}");
    first.kill();
    let (said, status) = Running::start(&mut command("write", &dir, "--count 1 --seed 1")).wait();
    assert!(
        status.success(),
        "the locks died with their holder: {said:?}"
    );
}

//! What needs files that only a system has, and other processes.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::storage::Filesystem;

/// Promise 21.
#[test]
fn links_pipes_sockets_and_devices_are_refused_without_blocking() {
    let medium = Medium::disk();
    medium.create("file", b"1");
    medium
        .storage
        .create_dir(&medium.path("directory"))
        .unwrap();
    symlink(medium.path("file"), medium.path("link")).unwrap();
    symlink(medium.path("nothing"), medium.path("dangling")).unwrap();
    symlink(medium.path("directory"), medium.path("directory-link")).unwrap();
    nix::unistd::mkfifo(&medium.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(medium.path("socket")).unwrap();
    let strange = ["link", "dangling", "directory-link", "pipe", "socket"].map(|n| medium.path(n));
    let device = PathBuf::from("/dev/zero");
    for path in strange.iter().chain([&device]) {
        for access in [Access::Read, Access::Write] {
            let error = medium.storage.open(path, access).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert_eq!(error.path(), Some(&**path));
        }
        assert_eq!(
            kind(medium.storage.lock(path)),
            ErrorKind::InvalidInput,
            "{path:?}"
        );
        assert_eq!(
            kind(medium.storage.list(path)),
            ErrorKind::InvalidInput,
            "{path:?}"
        );
        assert_eq!(
            kind(medium.storage.sync_dir(path)),
            ErrorKind::InvalidInput,
            "{path:?}"
        );
    }
    for path in &strange {
        assert_eq!(
            kind(medium.storage.create(path)),
            ErrorKind::AlreadyExists,
            "{path:?}"
        );
    }
    assert_eq!(medium.content("file").unwrap(), b"1");
    assert_eq!(medium.content("nothing"), None);
    let entries = medium.storage.list(&medium.top).unwrap();
    let other = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Other);
    assert_eq!(other.count(), strange.len());
}

#[test]
fn a_file_longer_than_the_filesystem_can_is_full() {
    let medium = Medium::disk();
    if medium.storage.space(&medium.top).unwrap().filesystem != Filesystem::Ext4 {
        skipped("the temporary directory is on no ext4, whose files end at 16 TiB");
        return;
    }
    let file = medium.create("a", b"1");
    assert_eq!(kind(file.set_len(1 << 62)), ErrorKind::Full);
    assert_eq!(file.len().unwrap(), 1);
}

#[test]
fn where_nothing_may_be_written_the_answer_is_read_only() {
    let top = Path::new("/sys");
    if !top.is_dir() {
        skipped("no /sys, in which nobody may make a file");
        return;
    }
    assert_eq!(
        kind(Disk::new().create(&top.join("a"))),
        ErrorKind::ReadOnly
    );
    assert_eq!(
        kind(Disk::new().lock(&top.join(".lock"))),
        ErrorKind::ReadOnly
    );
}

#[test]
fn an_open_file_gives_its_descriptor() {
    let medium = Medium::disk();
    assert!(medium.create("a", b"1").as_file().is_some());
    assert!(Medium::memory().create("a", b"1").as_file().is_none());
}

#[test]
fn this_disk_tells_its_filesystem_and_its_boot() {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() {
        let space = Disk::new().space(shm).unwrap();
        assert_eq!(space.filesystem, Filesystem::Tmpfs);
    }
    assert_eq!(
        Disk::new().boot_id().unwrap(),
        Disk::new().boot_id().unwrap()
    );
}

/// Another process, in another language, as a broker is: it locks the file, says what came of it, and holds it
/// until its input ends.
const OTHER: &str = "
import fcntl, sys
f = open(sys.argv[1], 'r+')
try:
    getattr(fcntl, sys.argv[2])(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print('held', flush=True)
except OSError:
    print('refused', flush=True)
sys.stdin.read()
";

/// Past the capture of a passing test's output, which would swallow it.
fn skipped(reason: &str) {
    writeln!(std::io::stderr().lock(), "skipped, 1: {reason}").unwrap();
}

struct Other(Child);

impl Other {
    fn start(path: &Path, call: &str) -> Option<(Self, String)> {
        let started = Command::new("python3")
            .args(["-c", OTHER])
            .arg(path)
            .arg(call)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = started else {
            skipped("no python3 to hold a lock in another process");
            return None;
        };
        let mut answer = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut answer)
            .unwrap();
        Some((Self(child), answer.trim_end().to_owned()))
    }

    fn end(mut self) {
        let mut input = self.0.stdin.take().unwrap();
        input.flush().unwrap();
        drop(input);
        self.0.wait().unwrap();
    }
}

/// Promise 17, one way round.
#[test]
fn a_lock_of_either_kind_in_another_process_excludes_ours_until_it_dies() {
    let medium = Medium::disk();
    let path = medium.path(".lock");
    drop(medium.storage.lock(&path).unwrap());
    for call in ["lockf", "flock"] {
        let Some((other, answer)) = Other::start(&path, call) else {
            return;
        };
        assert_eq!(answer, "held");
        assert_eq!(
            kind(medium.storage.lock(&path)),
            ErrorKind::Locked,
            "{call}"
        );
        if call == "lockf" {
            assert!(medium.storage.is_locked(&path).unwrap());
        }
        other.end();
        assert!(!medium.storage.is_locked(&path).unwrap());
        drop(medium.storage.lock(&path).unwrap());
    }
}

/// Promise 17, the other way round.
#[test]
fn our_lock_excludes_either_kind_in_another_process() {
    let medium = Medium::disk();
    let path = medium.path(".lock");
    let _lock = medium.storage.lock(&path).unwrap();
    for call in ["lockf", "flock"] {
        let Some((other, answer)) = Other::start(&path, call) else {
            return;
        };
        assert_eq!(answer, "refused", "{call}");
        other.end();
    }
}

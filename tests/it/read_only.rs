//! A medium that takes no writes: opening for writing says so and leaves everything as it was, looking works.
//!
//! As root a tmpfs and an ext4 are mounted, filled and mounted again read-only. Anybody else takes the right to write away from
//! the directory, which the system answers alike.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use stratalog::inspect::{self, LogView};
use stratalog::{ErrorKind, Log, Record, Start, TopicOptions};
use tempfile::TempDir;

use crate::battery;

const RECORDS: usize = 40;

/// A place that can be written to until it is sealed.
struct Medium {
    dir: TempDir,
    is_mounted: bool,
}

impl Medium {
    /// `None` where such a filesystem cannot be mounted.
    fn mount(kind: &str) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let at = dir.path().join("disk");
        fs::create_dir(&at).unwrap();
        let is_mounted = match kind {
            "tmpfs" => run("mount", &["-t", "tmpfs", "-o", "size=32m", "tmpfs"], &at),
            _ => {
                let image = dir.path().join("image");
                fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
                run("mkfs.ext4", &["-q"], &image)
                    && run("mount", &["-o", "loop", image.to_str().unwrap()], &at)
            }
        };
        if !is_mounted {
            let what = format!("a read-only {kind}");
            battery::skip(&what, "it cannot be mounted here");
            return None;
        }
        Some(Self { dir, is_mounted })
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    fn seal(&self) {
        let sealed = match self.is_mounted {
            true => run("mount", &["-o", "remount,ro"], &self.path()),
            false => run("chmod", &["-R", "a-w"], &self.path()),
        };
        assert!(sealed, "the medium is made read-only");
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        match self.is_mounted {
            true => run("umount", &[], &self.path()),
            false => run("chmod", &["-R", "u+w"], &self.path()),
        };
    }
}

fn run(program: &str, options: &[&str], last: &Path) -> bool {
    let output = Command::new(program).args(options).arg(last).output();
    output.is_ok_and(|output| output.status.success())
}

/// Every name below `dir` with what a write would change of it.
fn look(dir: &Path) -> BTreeMap<PathBuf, (i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = match metadata.is_dir() {
            true => Vec::new(),
            false => fs::read(&path).unwrap(),
        };
        if metadata.is_dir() {
            found.extend(look(&path));
        }
        found.insert(path, (metadata.mtime(), metadata.mtime_nsec(), content));
    }
    found
}

/// Writes a few segments and closes.
fn write_log(dir: &Path) {
    let log = Log::builder(dir)
        .defaults(TopicOptions::default().segment_bytes(2_000))
        .open()
        .unwrap();
    let events = log.topic("events").unwrap().partition(0).unwrap();
    for _ in 0..RECORDS {
        events.append(Record::new(&[7u8; 100])).unwrap();
    }
    log.close().unwrap();
}

/// The directory as a kill leaves it, with a last batch that is cut in two.
fn make_unclean_and_torn(dir: &Path) {
    fs::remove_file(dir.join(".kafka_cleanshutdown")).unwrap();
    let last = fs::read_dir(dir.join("events-0"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "log"))
        .max()
        .unwrap();
    let file = fs::OpenOptions::new().append(true).open(last).unwrap();
    std::io::Write::write_all(&mut &file, &[0u8; 30]).unwrap();
}

fn count(view: &LogView) -> usize {
    let topic = view.topic("events").unwrap();
    let cursor = topic.partition(0).unwrap().cursor(Start::Earliest).unwrap();
    cursor.inspect(|record| assert!(record.is_ok())).count()
}

fn check_refused(medium: &Medium, dir: &Path, what: &str) {
    let before = look(&medium.path());
    let error = Log::open(dir).expect_err(what);
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{what}: {error}");
    assert!(error.to_string().contains("Log::view"), "{what}: {error}");
    assert!(error.path().is_some(), "{what}: {error}");
    assert!(before == look(&medium.path()), "{what}: something changed");
}

fn check(medium: &Medium) {
    let top = medium.path();
    let [clean, torn, kafkas, empty] =
        ["clean", "torn", "kafkas", "empty"].map(|name| top.join(name));
    write_log(&clean);
    write_log(&torn);
    make_unclean_and_torn(&torn);
    // As a directory that was copied here without its lock file.
    write_log(&kafkas);
    fs::remove_file(kafkas.join(".lock")).unwrap();
    fs::create_dir(&empty).unwrap();
    medium.seal();
    for (dir, what) in [
        (&clean, "a log that was closed"),
        (&torn, "a log with a torn tail"),
        (&kafkas, "a log without a lock file"),
        (&empty, "an empty directory"),
        (&top.join("nothing/here"), "no directory"),
    ] {
        check_refused(medium, dir, what);
    }
    let before = look(&top);
    for dir in [&clean, &torn, &kafkas] {
        assert_eq!(
            count(&Log::view(dir).unwrap()),
            RECORDS,
            "{}",
            dir.display()
        );
        let findings = inspect::verify(dir.join("events-0")).unwrap();
        let damage = findings.filter(|finding| finding.as_ref().unwrap().is_damage());
        assert_eq!(damage.count(), 0, "{}", dir.display());
    }
    assert!(Log::view(&empty).unwrap().topics().is_empty());
    assert!(before == look(&top), "looking changed something");
}

/// Promise 12.
#[test]
fn a_read_only_medium_is_refused_for_writing_left_as_it_was_and_can_be_looked_at() {
    if fs::metadata("/proc/self").is_ok_and(|me| me.uid() != 0) {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("disk")).unwrap();
        return check(&Medium {
            dir,
            is_mounted: false,
        });
    }
    for kind in ["tmpfs", "ext4"] {
        Medium::mount(kind).iter().for_each(check);
    }
}

/// Whoever may not even read is not told to make anything writable.
#[test]
fn a_directory_that_may_not_be_read_is_an_error_of_reading() {
    let what = "a directory that may not be read";
    if fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
        return battery::skip(what, "root may read everything");
    }
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("log");
    write_log(&log);
    let file = log.join("events-0").join(format!("{:020}.log", 0));
    for hidden in [&file, &log.join("events-0"), &log] {
        assert!(run("chmod", &["a-rx"], hidden));
        let seen = Log::view(&log).and_then(|view| {
            view.topic("events")?
                .partition(0)?
                .cursor(Start::Earliest)?
                .next()
                .unwrap()
        });
        assert!(run("chmod", &["u+rx"], hidden));
        let error = seen.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(!error.to_string().contains("writable"), "{error}");
    }
}

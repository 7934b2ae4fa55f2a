//! `stratalog torture`, run as a program: a log that keeps its promises passes, one that something was taken from does not, and
//! a directory of somebody else is left alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn torture(dir: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stratalog"));
    command.arg("torture").arg(dir).args(words.split(' '));
    command
}

fn run(dir: &Path, words: &str) -> Output {
    torture(dir, words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn figure(verdict: &Value, name: &str) -> u64 {
    verdict[name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name} in {verdict}"))
}

/// Promises 1, 4, 5 and 17, on whatever disk holds the temporary directory.
#[test]
fn a_log_under_kills_keeps_its_promises_and_the_verdict_says_what_was_not_tried() {
    let dir = TempDir::new().unwrap();
    let ours = dir.path().join("made");
    let words = "--for 2s --seed 7 --partitions 2 --fsync interval:20 --segment-bytes 65536 --compression lz4 --batch 3 --json";
    for _again in 0..2 {
        let ran = run(&ours, words);
        assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
        let verdict: Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert_eq!(verdict["verdict"], "kept", "{verdict}");
        for name in ["lost", "wrong", "silent", "other"] {
            assert_eq!(figure(&verdict, name), 0, "{verdict}");
        }
        assert!(figure(&verdict, "kills") >= figure(&verdict, "rounds"));
        assert!(figure(&verdict, "acknowledged") > 0);
        assert!(figure(&verdict, "compared") > 0);
        assert!(figure(&verdict["append_ns"], "p50") > 0);
        assert!(verdict.to_string().contains("power cuts"));
    }
    let ran = run(&ours, "--for 1ms --seed 1 --retention-bytes 100000");
    let words = text(&ran.stdout);
    assert_eq!(ran.status.code(), Some(0), "{words}");
    assert!(words.starts_with("promises kept: 1 rounds"), "{words}");
    assert!(words.contains("not tested: "), "{words}");
}

/// The one loss that a test can make from outside: a sealed segment goes while the run is on.
#[test]
fn a_segment_that_vanishes_is_found_and_what_is_left_is_not_cleared_by_the_next_run() {
    let dir = TempDir::new().unwrap();
    let words = "--for 10m --seed 3 --segment-bytes 20000 --json";
    let running = torture(dir.path(), words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let victim = loop {
        // The second but last is sealed, and stays unless somebody trims it: then the next one is taken.
        if let [.., victim, _, _] = &segments(&dir.path().join("data/torture-0"))[..]
            && fs::remove_file(victim).is_ok()
        {
            break victim.clone();
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let ran = running.wait_with_output().unwrap();
    let verdict: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(12), "{victim:?} {verdict}");
    assert_eq!(verdict["verdict"], "broken");
    assert!(figure(&verdict, "lost") > 0, "{verdict}");

    let evidence = segments(&dir.path().join("data/torture-0"));
    let again = run(dir.path(), "--for 1ms");
    assert_eq!(again.status.code(), Some(15));
    assert!(text(&again.stderr).contains("broken promise"));
    assert_eq!(segments(&dir.path().join("data/torture-0")), evidence);
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    found.sort();
    found
}

#[test]
fn a_directory_with_anything_else_in_it_is_left_alone() {
    for (name, what) in [
        ("letter", "dear"),
        ("stratalog-torture", "not of this tool"),
    ] {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join(name), what).unwrap();
        let ran = run(dir.path(), "--for 1ms");
        assert_eq!(ran.status.code(), Some(15), "{}", text(&ran.stderr));
        assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), what);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("data")).unwrap();
    assert_eq!(run(dir.path(), "--for 1ms").status.code(), Some(15));
    assert_eq!(run(dir.path(), "--for yesterday").status.code(), Some(2));
    assert_eq!(run(dir.path(), "--fsync often").status.code(), Some(2));
}

#[test]
fn a_second_run_on_the_same_directory_is_refused() {
    let dir = TempDir::new().unwrap();
    let mut first = torture(dir.path(), "--for 10m --seed 1")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !dir.path().join("data/torture-0").exists() {
        assert!(first.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let second = run(dir.path(), "--for 1ms");
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.status.code(), Some(13), "{}", text(&second.stderr));
}

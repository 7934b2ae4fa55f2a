//! `kill -9` in the middle of appends, again and again on one directory: what was acknowledged is there.
//!
//! The writer is `examples/logdrv.rs` in a process of its own. `SEED=` replays a run, `ROUNDS=` makes it longer.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// Rounds in the ordinary test run.
const ROUNDS: u64 = 25;

fn driver() -> PathBuf {
    // target/<profile>/deps/it-... beside target/<profile>/examples/logdrv
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("target/<profile>");
    let driver = profile.join("examples/logdrv");
    assert!(
        driver.exists(),
        "{} is missing: cargo build --examples",
        driver.display()
    );
    driver
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name}={text}"))
    })
}

/// Acknowledged records: offset to (stream, sequence).
type Acknowledged = BTreeMap<u64, (u64, u64)>;

/// Writes until it is killed after `after`; adds what was acknowledged before.
fn write_and_kill(
    dir: &Path,
    seed: u64,
    first_seq: u64,
    after: Duration,
    acknowledged: &mut Acknowledged,
) -> u64 {
    let policy = [
        "never",
        "always",
        "group",
        "interval:5",
        "bytes:20000",
        "records:50",
    ][(seed % 6) as usize];
    let batch = ["1", "3", "10"][(seed / 6 % 3) as usize];
    let codec = ["none", "zstd", "lz4"][(seed / 18 % 3) as usize];
    let mut writer = Command::new(driver())
        .args(["write", "--dir"])
        .arg(dir)
        .args([
            "--policy",
            policy,
            "--batch",
            batch,
            "--codec",
            codec,
            "--threads",
            "2",
            "--secs",
            "60",
        ])
        .args([
            "--segment-bytes",
            "65536",
            "--seed",
            "1",
            "--first-seq",
            &first_seq.to_string(),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the driver starts");
    let output = writer.stdout.take().expect("piped");
    let reader = std::thread::spawn(move || {
        BufReader::new(output)
            .lines()
            .map(|line| line.expect("text"))
            .collect::<Vec<String>>()
    });
    std::thread::sleep(after);
    writer.kill().expect("SIGKILL");
    writer.wait().expect("reaped");
    let mut last = first_seq;
    for line in reader.join().expect("the reader ends with the writer") {
        let words: Vec<&str> = line.split(' ').collect();
        assert_ne!(words[0], "E", "SEED={seed}: {line}");
        if words[0] == "A" && words.len() >= 5 {
            let number = |index: usize| words[index].parse::<u64>().expect("a number");
            let (first, count, stream, seq) = (number(1), number(2), number(3), number(4));
            for index in 0..count {
                acknowledged.insert(first + index, (stream, seq + index));
            }
            last = last.max(seq + count);
        }
    }
    last
}

/// Every record by offset, through an ordinary open.
fn dump(dir: &Path, seed: u64) -> Acknowledged {
    let output = Command::new(driver())
        .args(["dump", "--dir"])
        .arg(dir)
        .output()
        .expect("the driver runs");
    let text = String::from_utf8(output.stdout).expect("ASCII");
    assert!(
        output.status.success(),
        "SEED={seed}: {}\n{text}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut records = Acknowledged::new();
    for line in text.lines().filter(|line| line.starts_with("R ")) {
        let words: Vec<u64> = line
            .split(' ')
            .skip(1)
            .take(3)
            .map(|w| w.parse().expect("a number"))
            .collect();
        assert!(
            records.insert(words[0], (words[1], words[2])).is_none(),
            "SEED={seed}: offset twice: {line}"
        );
    }
    records
}

#[test]
fn a_killed_writer_loses_nothing_that_it_acknowledged() {
    let dir = TempDir::new().expect("a folder");
    let first = from_environment("SEED", 0);
    let rounds = from_environment("ROUNDS", ROUNDS);
    let mut acknowledged = Acknowledged::new();
    let mut shown = Acknowledged::new();
    let mut next_seq = 0;
    for seed in first..first + rounds {
        let after = Duration::from_millis(20 + seed * 7919 % 130);
        next_seq = write_and_kill(dir.path(), seed, next_seq, after, &mut acknowledged) + 1_000;
        let found = dump(dir.path(), seed);
        for (offset, what) in acknowledged.iter().chain(&shown) {
            assert_eq!(
                found.get(offset),
                Some(what),
                "SEED={seed}: offset {offset} was acknowledged or shown"
            );
        }
        let dense = (0u64..)
            .zip(found.keys())
            .all(|(expected, offset)| expected == *offset);
        assert!(dense, "SEED={seed}: offsets have a hole");
        shown = found;
    }
    println!(
        "{rounds} rounds, {} acknowledged, {} found, none lost",
        acknowledged.len(),
        shown.len()
    );
}

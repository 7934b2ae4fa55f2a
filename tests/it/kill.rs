//! `kill -9` in the middle of appends, again and again on one directory: what was acknowledged is there.
//!
//! The writer is `examples/logdrv.rs` in a process of its own. `SEED=` replays a run, `ROUNDS=` makes it longer.

use std::time::Duration;

use tempfile::TempDir;

use crate::battery::from_environment;
use crate::driver::{Judge, POLICIES, Running, command, dump};

/// Rounds in the ordinary test run.
const ROUNDS: u64 = 25;

/// Promise 1.
#[test]
fn a_killed_writer_loses_nothing_that_it_acknowledged() {
    let dir = TempDir::new().expect("a folder");
    let first = from_environment("SEED", 0);
    let rounds = from_environment("ROUNDS", ROUNDS);
    let mut judge = Judge::default();
    let (mut acknowledged, mut shown) = (0, 0);
    for seed in first..first + rounds {
        let case = format!("SEED={seed}");
        let options = options_of(seed);
        let batch = 10;
        let writer = Running::start(&mut command("write", dir.path(), &options));
        std::thread::sleep(Duration::from_millis(20 + seed * 7919 % 130));
        let said = writer.kill();
        assert!(said.complaints.is_empty(), "{case}: {:?}", said.complaints);
        judge.killed(&said);
        let (found, status) = dump(dir.path(), "");
        judge.check(&case, &found, status, &said, batch);
        acknowledged += said.acknowledged.len();
        shown = found.read.len();
    }
    println!("{rounds} rounds, {acknowledged} acknowledged, {shown} found, none lost");
}

fn options_of(seed: u64) -> String {
    let policy = POLICIES[(seed % 6) as usize];
    let batch = ["1", "3", "10"][(seed / 6 % 3) as usize];
    let codec = ["none", "zstd", "lz4"][(seed / 18 % 3) as usize];
    let first_seq = seed * 1_000_000;
    format!(
        "--policy {policy} --batch {batch} --codec {codec} --threads 2 --secs 60 --segment-bytes 65536 --seed 1 \
         --first-seq {first_seq}"
    )
}

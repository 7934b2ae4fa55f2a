//! SIGKILL at any moment, on directories that are new every few rounds: two topics, every policy, rolls and trims.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::workload::Workload;
use crate::battery::{Cases, effort, seeds};
use crate::driver::{Judge, Running, command, dump};

/// Rounds on one directory: later ones recover what earlier ones left.
const ROUNDS_A_DIRECTORY: u64 = 5;

/// Promise 1: a process killed at any instruction loses nothing that it acknowledged, under any policy.
/// Promise 3: what it had not acknowledged is there whole, or not at all.
#[test]
fn a_writer_killed_at_any_moment_loses_nothing_that_it_acknowledged() {
    let cases = Cases::default();
    for seed in seeds(5, 200) {
        check_directory(seed, &cases);
    }
    cases.report("kill -9 on new directories", effort(1, 1_000));
}

fn check_directory(seed: u64, cases: &Cases) {
    let dir = TempDir::new().expect("a folder");
    let mut judges = [Judge::default(), Judge::default()];
    for round in 0..ROUNDS_A_DIRECTORY {
        let case = format!("SEED={seed} round {round}");
        let work = Workload::of(seed * ROUNDS_A_DIRECTORY + round);
        let topic = usize::from(round % 2 == 1);
        kill_and_check(dir.path(), &work, topic, round, &mut judges[topic], &case);
        cases.count();
    }
}

fn kill_and_check(
    dir: &Path,
    work: &Workload,
    topic: usize,
    round: u64,
    judge: &mut Judge,
    case: &str,
) {
    let name = ["t", "second"][topic];
    judge.may_trim |= work.trims;
    let options = format!("--topic {name} {}", work.options(round));
    let writer = Running::start(&mut command("write", dir, &options));
    std::thread::sleep(Duration::from_millis(work.millis));
    let said = writer.kill();
    assert!(said.complaints.is_empty(), "{case}: {:?}", said.complaints);
    judge.killed(&said);
    // A writer killed before it came to its topic has made none; opening makes it then.
    let (found, status) = dump(dir, &format!("--topic {name}"));
    judge.check(case, &found, status, &said, work.batch);
}

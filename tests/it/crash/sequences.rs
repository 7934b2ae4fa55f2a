//! Every short sequence of operations, and a crash at each operation of its last step: the steps before are the shorter sequence's.

use stratalog::FsyncPolicy;
use stratalog::storage::sim::Sim;

use super::survivor::{Survivor, Tally, states};
use super::workload::Workload;
use crate::battery::effort;
use crate::modelled::{Bench, Since, Step, Story};
use crate::random::Random;

const STEPS: [Step; 8] = [
    Step::Append { bytes: 100 },
    Step::Send {
        producer: 3,
        count: 2,
    },
    // Too large for a segment that has anything in it.
    Step::AppendBatch {
        count: 1,
        bytes: 900,
    },
    Step::Sync,
    Step::DeleteBefore { part: 600 },
    Step::Truncate { part: 400 },
    Step::BeginEpoch,
    Step::Reopen,
];

/// The sequence of that number among all of that length.
fn sequence(length: u32, mut number: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..length {
        steps.push(STEPS[number % STEPS.len()]);
        number /= STEPS.len();
    }
    steps
}

/// The operations of the last step: the first of them, and the one after the last.
fn operations_of_last_step(workload: &Workload) -> std::ops::Range<u64> {
    let sim = Sim::new(1);
    let mut bench = Bench::new(sim.clone(), &workload.setup());
    let (last, before) = workload.steps.split_last().expect("not empty");
    assert!(bench.run_until_error(before).is_none());
    let from = sim.operations();
    bench.step(0, *last).expect("the disk is well");
    from..sim.operations()
}

fn crash_in_last_step(workload: &Workload, seed: u64, tally: &Tally) {
    let survivor = Survivor::new(tally);
    let operations = operations_of_last_step(workload);
    for at in operations.start..=operations.end {
        let _story = Story((&workload.steps, "operation", at));
        let mut random = Random(seed ^ at << 32);
        let sim = Sim::new(seed);
        sim.crash_after(at);
        let mut bench = Bench::new(sim.clone(), &workload.setup());
        bench.run_until_error(&workload.steps);
        tally.points.count();
        for keep in states(sim.pending_effects(), 4, &mut random) {
            let _keep = Story(keep);
            let fresh = || sim.crash_image(keep);
            survivor.check(&fresh, &bench, Since::PowerCut, &mut random);
        }
        let sim = Sim::new(seed);
        sim.kill_after(at);
        let mut bench = Bench::new(sim.clone(), &workload.setup());
        bench.run_until_error(&workload.steps);
        let killed = sim.kill();
        let _kill = Story("killed");
        survivor.check(&|| killed.kill(), &bench, Since::Killed, &mut random);
    }
}

fn crash_in_truncation(name: &str, steps: &[Step], seeds: impl IntoIterator<Item = u64>) {
    let tally = Tally::default();
    for seed in seeds {
        let workload = Workload {
            policy: FsyncPolicy::Never,
            index_interval_bytes: 0,
            steps: steps.to_vec(),
        };
        crash_in_last_step(&workload, seed, &tally);
    }
    tally.report(name, 100);
}

/// A trim to the middle of a batch says nothing of whether that batch is on the medium: with the power gone it is torn like any other,
/// and recovery once took its upper part for damage of what had been durable.
#[test]
fn a_batch_across_the_log_start_that_no_sync_has_covered_is_torn_and_not_damaged() {
    let steps = [
        Step::Send {
            producer: 3,
            count: 2,
        },
        Step::DeleteBefore { part: 600 },
        Step::AppendBatch {
            count: 1,
            bytes: 900,
        },
        Step::Truncate { part: 400 },
    ];
    crash_in_truncation("a trim within a batch", &steps, 0..20);
}

/// A truncation to the log start within a batch starts a segment there, and a crash can leave the batch's own segment below. Recovery once
/// took that batch for one of the log, and its transaction held the last stable offset back for ever.
#[test]
fn a_transaction_that_was_cut_at_the_log_start_does_not_hold_readers_back() {
    let steps = [
        Step::DeleteBefore { part: 600 },
        Step::Send {
            producer: 3,
            count: 2,
        },
        Step::Reopen,
        Step::DeleteBefore { part: 600 },
        Step::Truncate { part: 400 },
    ];
    // The seed that found it, and some more.
    crash_in_truncation("a cut within a batch", &steps, (0..20).chain([22_988]));
}

#[test]
fn every_short_sequence_of_operations_may_crash_anywhere() {
    let tally = Tally::default();
    for length in 1..=effort(3, 5) as u32 {
        for number in 0..STEPS.len().pow(length) {
            let workload = Workload {
                policy: FsyncPolicy::Never,
                index_interval_bytes: 0,
                steps: sequence(length, number),
            };
            crash_in_last_step(&workload, number as u64, &tally);
        }
    }
    tally.report("every sequence", 10_000);
}

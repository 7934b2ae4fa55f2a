//! Promises 1 to 6, 8 to 10 and 12 on the simulated disk: the power is cut, or the process killed, at every operation of drawn workloads,
//! and in the recovery after it, and in the recovery after that.
//!
//! A night tries every state of the disk at each crash point where up to eight effects were pending, and 64 drawn ones elsewhere; a commit
//! draws a few. `SEED=n` replays one workload.

mod faults;
mod sequences;
mod survivor;
mod workload;

use std::time::Duration;

use stratalog::FsyncPolicy;
use stratalog::storage::sim::Sim;

use crate::battery::{effort, seeds};
use crate::modelled::{Bench, Since, Story};
use crate::random::Random;
use survivor::{Survivor, Tally, states};
use workload::Workload;

const STEPS: usize = 24;

/// Cuts the power at every operation of the workload.
fn cut_power_everywhere(policy: FsyncPolicy, seed: u64, tally: &Tally) {
    let workload = Workload::drawn(policy, seed, STEPS);
    let survivor = Survivor::new(tally);
    let most = effort(4, 256);
    for at in 0.. {
        let _story = Story((policy, "SEED", seed, "power cut at operation", at));
        let sim = Sim::new(seed);
        sim.crash_after(at);
        let mut bench = Bench::new(sim.clone(), &workload.setup());
        let ended = bench.run_until_error(&workload.steps);
        let _step = Story(ended.as_ref().map(|(step, _)| {
            let number = step.saturating_sub(1);
            (*step, workload.steps[number])
        }));
        assert_eq!(ended.is_some(), sim.has_crashed(), "{ended:?}");
        let mut random = Random(seed ^ at);
        tally.points.count();
        for keep in states(sim.pending_effects(), most, &mut random) {
            let _keep = Story(keep);
            let fresh = || sim.crash_image(keep);
            survivor.check(&fresh, &bench, Since::PowerCut, &mut random);
        }
        if ended.is_none() {
            return;
        }
    }
}

/// Kills the process at every operation of the workload.
fn kill_everywhere(policy: FsyncPolicy, seed: u64, tally: &Tally) {
    let workload = Workload::drawn(policy, seed, STEPS);
    let survivor = Survivor::new(tally);
    for at in 0.. {
        let _story = Story((policy, "SEED", seed, "killed at operation", at));
        let sim = Sim::new(seed);
        sim.kill_after(at);
        let mut bench = Bench::new(sim.clone(), &workload.setup());
        let ended = bench.run_until_error(&workload.steps);
        let killed = sim.kill();
        let mut random = Random(seed ^ at);
        tally.points.count();
        survivor.check(&|| killed.kill(), &bench, Since::Killed, &mut random);
        if ended.is_none() {
            return;
        }
    }
}

fn crash_everywhere(name: &str, policy: FsyncPolicy) {
    let tally = Tally::default();
    for seed in seeds(2, 8) {
        cut_power_everywhere(policy, seed, &tally);
    }
    tally.report(&format!("power cut, {name}"), 1000);
    let tally = Tally::default();
    for seed in seeds(2, 8) {
        kill_everywhere(policy, seed, &tally);
    }
    tally.report(&format!("killed, {name}"), 100);
}

#[test]
fn a_log_that_syncs_each_append_keeps_all_that_it_acknowledged() {
    crash_everywhere("always", FsyncPolicy::Always);
}

#[test]
fn a_log_that_never_waits_for_a_sync_keeps_a_prefix_from_the_durable_end_on() {
    crash_everywhere("never", FsyncPolicy::Never);
}

#[test]
fn a_log_that_syncs_by_time_keeps_a_prefix_from_the_durable_end_on() {
    crash_everywhere(
        "interval",
        FsyncPolicy::Interval(Duration::from_millis(200)),
    );
}

#[test]
fn a_log_that_syncs_by_bytes_keeps_a_prefix_from_the_durable_end_on() {
    crash_everywhere("bytes", FsyncPolicy::Bytes(500));
}

#[test]
fn a_log_that_syncs_by_records_keeps_a_prefix_from_the_durable_end_on() {
    crash_everywhere("records", FsyncPolicy::Records(3));
}

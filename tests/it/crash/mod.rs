//! Promises 1 to 6, 8 to 10 and 12 on the simulated disk: the power is cut, or the process killed, at every operation of drawn workloads,
//! and in the recovery after it, and in the recovery after that.
//!
//! A night tries every state of the disk at each crash point where up to eight effects were pending, and 64 drawn ones elsewhere; a commit
//! draws a few. `SEED=n` replays one workload.

mod bench;
mod faults;
mod look;
mod model;
mod workload;

use std::fmt;
use std::time::Duration;

use stratalog::FsyncPolicy;
use stratalog::storage::sim::{Keep, Sim};

use crate::battery::{Cases, effort, seeds};
use bench::Bench;
use model::Model;
use workload::{Random, Step, Workload};

const STEPS: usize = 24;
const RECOVERY_DEPTH: u32 = 3;

/// Says where a check failed, so that it can be run again.
#[derive(Debug)]
struct Story<T: fmt::Debug>(T);

impl<T: fmt::Debug> Drop for Story<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("  in {:?}", self.0);
        }
    }
}

/// How many states of the disk were opened.
#[derive(Debug, Default)]
struct Tally {
    points: Cases,
    states: Cases,
    recoveries_crashed: Cases,
}

impl Tally {
    fn report(&self, what: &str, at_least: u64) {
        self.points.report(&format!("crash points, {what}"), 1);
        let within = format!("crashes within recovery, {what}");
        self.recoveries_crashed.report(&within, 1);
        self.states
            .report(&format!("crash states, {what}"), at_least);
    }
}

/// A disk after a crash, as often as one wants it.
type Fresh<'a> = &'a dyn Fn() -> Sim;

/// The log on a crashed disk, reopened and held against what it promised.
struct Survivor<'a> {
    workload: &'a Workload,
    tally: &'a Tally,
}

impl Survivor<'_> {
    /// Opens the disk: everything below `must` is there. What is shown then stays, whatever comes next. With `depth`, crashes in recovery too.
    fn check(&self, fresh: Fresh<'_>, model: &Model, must: u64, depth: u32, random: &mut Random) {
        let sim = fresh();
        let before = sim.operations();
        let mut bench = Bench::on(sim.clone(), self.workload, model);
        self.tally.states.count();
        bench.open(must).expect("a crash is no reason not to open");
        let operations = sim.operations() - before;
        self.check_shown(&bench, random);
        if random.below(4) == 0 {
            self.check_goes_on(&mut bench);
        }
        drop(bench);
        if depth > 0 && random.below(3) == 0 {
            let at = random.below(operations);
            self.crash_recovery(fresh, model, at, depth, random);
        }
    }

    /// Row 5: what a reopen showed outlives a power cut.
    fn check_shown(&self, bench: &Bench, random: &mut Random) {
        let keep = match random.below(2) {
            0 => Keep::None,
            _ => Keep::Random(random.next()),
        };
        let _story = Story(("what was shown", keep));
        let after = bench.sim.crash_image(keep);
        let mut again = Bench::on(after, self.workload, &bench.model);
        self.tally.states.count();
        again
            .open(bench.model.durable)
            .expect("a crash is no reason not to open");
    }

    /// The log is as good as new: producers are recognised, appends and syncs work.
    fn check_goes_on(&self, bench: &mut Bench) {
        let steps = (1..5).map(|producer| Step::Resend { producer });
        let more = [Step::Append { bytes: 40 }, Step::Sync, Step::Reopen];
        for step in steps.chain(more) {
            bench.step(step).expect("the disk is well");
        }
    }

    /// Row 4: the recovery crashes at an operation of its own.
    fn crash_recovery(
        &self,
        fresh: Fresh<'_>,
        model: &Model,
        at: u64,
        depth: u32,
        random: &mut Random,
    ) {
        let _story = Story(("recovery crashed", at));
        let sim = fresh();
        sim.crash_after(at);
        let mut bench = Bench::on(sim.clone(), self.workload, model);
        let opened = bench.open(0);
        if opened.is_ok() {
            return;
        }
        assert!(sim.has_crashed(), "{opened:?}");
        self.tally.recoveries_crashed.count();
        let keep = Keep::Random(random.next());
        self.check(
            &|| sim.crash_image(keep),
            &bench.model,
            model.durable,
            depth - 1,
            random,
        );
    }
}

/// The states of the disk to try at one crash point.
fn states(pending: usize, most: u64, random: &mut Random) -> Vec<Keep> {
    if pending <= 8 && (1 << pending) <= most {
        return (0..1 << pending).map(Keep::Subset).collect();
    }
    let mut keeps = vec![Keep::None, Keep::All];
    keeps.extend((2..most.min(64)).map(|_| Keep::Random(random.next())));
    keeps.truncate(most.max(1) as usize);
    keeps
}

/// Cuts the power at every operation of the workload.
fn cut_power_everywhere(policy: FsyncPolicy, seed: u64, tally: &Tally) {
    let workload = Workload::drawn(policy, seed, STEPS);
    let most = effort(4, 256);
    for at in 0.. {
        let _story = Story((policy, "SEED", seed, "power cut at operation", at));
        let sim = Sim::new(seed);
        sim.crash_after(at);
        let mut bench = Bench::new(sim.clone(), workload.clone());
        let ended = bench.run_until_error();
        let _step = Story((ended.as_ref().map(|(step, _)| {
            let number = step.saturating_sub(1);
            (*step, workload.steps[number])
        }),));
        assert_eq!(ended.is_some(), sim.has_crashed(), "{ended:?}");
        let mut random = Random(seed ^ at);
        tally.points.count();
        let survivor = Survivor {
            workload: &workload,
            tally,
        };
        for keep in states(sim.pending_effects(), most, &mut random) {
            let _keep = Story(keep);
            survivor.check(
                &|| sim.crash_image(keep),
                &bench.model,
                bench.model.durable,
                RECOVERY_DEPTH,
                &mut random,
            );
        }
        if ended.is_none() {
            return;
        }
    }
}

/// Kills the process at every operation of the workload.
fn kill_everywhere(policy: FsyncPolicy, seed: u64, tally: &Tally) {
    let workload = Workload::drawn(policy, seed, STEPS);
    for at in 0.. {
        let _story = Story((policy, "SEED", seed, "killed at operation", at));
        let sim = Sim::new(seed);
        sim.kill_after(at);
        let mut bench = Bench::new(sim.clone(), workload.clone());
        let ended = bench.run_until_error();
        let killed = sim.kill();
        let mut random = Random(seed ^ at);
        tally.points.count();
        let survivor = Survivor {
            workload: &workload,
            tally,
        };
        let must = bench.model.kept;
        survivor.check(
            &|| killed.kill(),
            &bench.model,
            must,
            RECOVERY_DEPTH,
            &mut random,
        );
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

#[test]
fn the_checks_find_a_record_that_was_promised_and_is_not_there() {
    let workload = Workload {
        policy: FsyncPolicy::Never,
        index_interval_bytes: 0,
        steps: vec![Step::Append { bytes: 40 }, Step::Append { bytes: 40 }],
    };
    let mut bench = Bench::new(Sim::new(1), workload.clone());
    assert!(bench.run_until_error().is_none());
    assert_eq!((bench.model.durable, bench.model.kept), (0, 2));
    let lost = bench.sim.crash_image(Keep::None);
    let mut honest = Bench::on(lost, &workload, &bench.model);
    honest.open(0).expect("nothing was promised");
    let found = honest.look().expect("readable");
    assert!(bench.model.check(&found, 0).is_ok());
    assert!(
        bench.model.check(&found, 2).is_err(),
        "a record that was never synced is asked for"
    );

    let whole = bench.sim.kill();
    let mut honest = Bench::on(whole, &workload, &bench.model);
    honest
        .open(2)
        .expect("a killed process leaves what it wrote");
    let found = honest.look().expect("readable");
    let mut other = bench.model.clone();
    let mut changed = (*other.batches[1]).clone();
    changed.values[0][0] ^= 1;
    other.batches[1] = changed.into();
    assert!(other.check(&found, 2).is_err(), "other bytes");
    let mut trimmed = bench.model.clone();
    (trimmed.start, trimmed.start_most) = (1, 1);
    assert!(trimmed.check(&found, 2).is_err(), "another log start");
}

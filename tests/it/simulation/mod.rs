//! The whole library on one thread: several topics and partitions on one simulated disk, under an injected clock, through several lives. Each
//! seed draws its own options, its own mix of steps and its own trouble: errors, a full disk, power cuts, kills. Whatever a log then shows is
//! held against the model of what it promised: promises 1 to 6, 8 to 11, 16 and 22.
//!
//! `SEED=n` replays one, and tells its steps.

mod canary;
mod swarm;

use stratalog::storage::Storage;
use stratalog::storage::sim::{Fault, Keep, Repeat, Sim};

use crate::battery::{Cases, seeds_after};
use crate::modelled::{Bench, Since, Story};
use crate::random::Random;
use swarm::{Swarm, Trouble};

/// What came about, so that a battery that does nothing is found out.
#[derive(Debug, Default)]
struct Seen {
    steps: Cases,
    refused: Cases,
    power_cuts: Cases,
    kills: Cases,
    closes: Cases,
    stopped: Cases,
    trimmed: Cases,
    truncated: Cases,
}

impl Seen {
    fn report(&self) {
        self.steps.report("simulation, steps", 1);
        self.refused.report("simulation, steps refused", 1);
        self.power_cuts.report("simulation, power cuts", 1);
        self.kills.report("simulation, kills", 1);
        self.closes.report("simulation, closes", 1);
        self.stopped.report("simulation, partitions stopped", 1);
        self.trimmed.report("simulation, partitions trimmed", 1);
        self.truncated.report("simulation, partitions truncated", 1);
    }
}

/// Seeds that failed once: a cursor gave records below its position; the model did not know that a producer was known from a marker alone, or
/// that what a truncation had cut was cut.
const FOUND: [u64; 8] = [
    108_282, 80_691, 4_859, 40_202, 7_332, 10_824, 12_261, 58_373,
];

/// How the disk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Disk {
    Sound,
    /// It answers ok to a sync and keeps nothing.
    Lies,
}

fn simulate(seed: u64, disk: Disk, setup: impl FnOnce(&mut Swarm), seen: &Seen) {
    let mut random = Random(seed);
    let mut swarm = Swarm::drawn(&mut random);
    setup(&mut swarm);
    let mut bench = Bench::new(Sim::new(seed), &swarm.setup);
    let mut since = Since::Anything;
    for life in 0..2 + random.below(4) {
        let _story = Story(("SEED", seed, "life", life));
        if disk == Disk::Lies {
            bench.sim.fail_operation(1, Fault::Lie, Repeat::Forever);
        }
        let trouble = match life {
            0 => Trouble::None,
            _ => Trouble::planned(&bench.sim, &mut random),
        };
        let _trouble = Story(trouble);
        let _told = tells().then(|| History::of(&bench.sim));
        live(&mut bench, &swarm, since, trouble, &mut random, seen);
        for subject in &bench.subjects {
            if subject.stopped_at.is_some() {
                seen.stopped.count();
            }
        }
        (bench, since) = next_life(bench, &mut random, seen);
    }
    let _story = Story(("SEED", seed, "the last word"));
    // Everything is well now, whatever came before.
    bench.open(since).expect("nothing fails any more");
    bench.close().expect("nothing fails any more");
    bench.open(Since::Killed).expect("nothing fails any more");
    for subject in &bench.subjects {
        if subject.model.start > 0 {
            seen.trimmed.count();
        }
        if subject.model.truncations > 0 {
            seen.truncated.count();
        }
    }
}

/// Opens and works until the steps are done or the machine is down.
fn live(
    bench: &mut Bench,
    swarm: &Swarm,
    since: Since,
    trouble: Trouble,
    random: &mut Random,
    seen: &Seen,
) {
    let check = |error: &stratalog::Error| {
        assert!(trouble != Trouble::None, "nothing went wrong, and: {error}");
        Bench::check_kind(error);
        seen.refused.count();
    };
    if let Err(error) = bench.open(since) {
        bench.let_go();
        return check(&error);
    }
    for number in 0..10 + random.below(50) {
        let subject = random.below(bench.subjects.len() as u64) as usize;
        let step = swarm.step(random);
        let _story = Story((number, subject, step));
        seen.steps.count();
        let done = bench.step(subject, step);
        if tells() {
            println!(
                "step {number}: {step:?} on {subject}: {:?}",
                done.as_ref().err()
            );
        }
        if let Err(error) = done {
            check(&error);
        }
        if bench.log.is_none() || is_down(&bench.sim) {
            return;
        }
    }
    for subject in &mut bench.subjects {
        subject.check_stopped();
    }
}

/// Whether one seed is replayed, to be looked at.
fn tells() -> bool {
    std::env::var_os("SEED").is_some()
}

/// Tells at the end of a life what the disk was asked for in it.
struct History(Sim);

impl History {
    fn of(sim: &Sim) -> Self {
        sim.keep_history();
        Self(sim.clone())
    }
}

impl Drop for History {
    fn drop(&mut self) {
        for event in self.0.history() {
            println!("  {event}");
        }
    }
}

fn is_down(sim: &Sim) -> bool {
    let text = |error: stratalog::Error| error.to_string();
    let listed = sim.list(std::path::Path::new("/")).map_err(text);
    listed.is_err_and(|text| text.contains("crashed") || text.contains("killed"))
}

/// Ends a life as it comes: the machine is down, the process dies, or the log is closed.
fn next_life(mut bench: Bench, random: &mut Random, seen: &Seen) -> (Bench, Since) {
    let keep = match random.below(4) {
        0 => Keep::None,
        1 => Keep::All,
        _ => Keep::Random(random.next()),
    };
    let may_go_on = !is_down(&bench.sim);
    bench.sim.heal();
    bench.sim.set_capacity_bytes(u64::MAX);
    let end = random.below(3);
    if bench.log.is_some() && may_go_on && end == 0 {
        let closed = bench.close();
        seen.closes.count();
        if closed.is_ok() && random.one_in(2) {
            return power_cut(bench, keep, seen);
        }
    }
    if bench.sim.has_crashed() || may_go_on && end == 1 {
        return power_cut(bench, keep, seen);
    }
    seen.kills.count();
    for subject in &mut bench.subjects {
        subject.model.has_failed_sync = true;
    }
    (bench.after(bench.sim.kill()), Since::Killed)
}

/// What is not durable is promised no more, even when no open comes to its end before the next trouble.
fn power_cut(mut bench: Bench, keep: Keep, seen: &Seen) -> (Bench, Since) {
    seen.power_cuts.count();
    for subject in &mut bench.subjects {
        subject.model.kept = subject.model.durable;
    }
    (bench.after(bench.sim.reboot(keep)), Since::PowerCut)
}

#[test]
fn a_log_keeps_its_promises_through_whatever_happens_to_it() {
    let seen = Seen::default();
    let all = Cases::default();
    for seed in seeds_after(&FOUND, 1_000, 100_000) {
        simulate(seed, Disk::Sound, |_| {}, &seen);
        all.count();
    }
    all.report("simulation, seeds", 1);
    if all.get() > 100 {
        seen.report();
    }
}

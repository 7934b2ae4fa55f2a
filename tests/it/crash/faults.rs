//! The n-th operation fails, once or for ever: the error is typed, and what was promised stays.

use stratalog::FsyncPolicy;
use stratalog::storage::sim::{Fault, Keep, Repeat, Sim};

use super::survivor::{Survivor, Tally};
use super::workload::Workload;
use crate::battery::effort;
use crate::modelled::{Bench, Kind, Since, Step, Story};
use crate::random::Random;

const A: Step = Step::Append { bytes: 150 };
const S: Step = Step::Submit { bytes: 90 };
const MAINTAIN: Step = Step::Maintain { seconds: 40 };
const B: Step = Step::AppendBatch {
    count: 3,
    bytes: 100,
};

/// What is under way when an operation fails.
fn scenarios() -> Vec<(&'static str, FsyncPolicy, Vec<Step>)> {
    use FsyncPolicy::{Always, Bytes, Never, Records};
    let send = |producer| Step::Send { producer, count: 2 };
    let end = |producer, kind| Step::End { producer, kind };
    let cut = Step::Truncate { part: 400 };
    let trim = Step::DeleteBefore { part: 600 };
    vec![
        ("append, synced each", Always, vec![A, A, A]),
        ("append, never synced", Never, vec![A, A, A, A]),
        ("batches over rolls", Never, vec![B, B, B, B, B, B]),
        ("batches over rolls, synced each", Always, vec![B, B, B, B]),
        ("sync", Never, vec![A, S, Step::Sync, A, Step::WaitDurable]),
        (
            "sync over rolls",
            Never,
            vec![B, B, B, B, Step::Sync, A, Step::Sync],
        ),
        ("maintenance", Bytes(100), vec![A, B, MAINTAIN, A, MAINTAIN]),
        (
            "records and tickets",
            Records(2),
            vec![S, S, Step::WaitDurable, S, Step::WaitDurable],
        ),
        ("trim", Never, vec![B, B, B, B, Step::Sync, trim, A]),
        ("trim of what is not durable", Never, vec![B, B, B, trim, A]),
        (
            "truncation in a segment",
            Never,
            vec![A, A, A, Step::Sync, cut, A],
        ),
        (
            "truncation over segments",
            Never,
            vec![B, B, B, B, B, cut, A, Step::Sync],
        ),
        (
            "producers",
            Never,
            vec![
                send(1),
                send(2),
                Step::Resend { producer: 1 },
                send(1),
                Step::Sync,
            ],
        ),
        (
            "transactions",
            Records(1),
            vec![
                send(3),
                A,
                end(3, Kind::Abort),
                send(4),
                end(4, Kind::Commit),
                MAINTAIN,
            ],
        ),
        (
            "epochs",
            Never,
            vec![A, Step::BeginEpoch, A, Step::BeginEpoch, cut, A],
        ),
        (
            "close and open",
            Never,
            vec![B, Step::Reopen, B, B, Step::Reopen, A],
        ),
        (
            "everything",
            Never,
            vec![
                B,
                send(3),
                B,
                Step::Sync,
                end(3, Kind::Abort),
                B,
                trim,
                cut,
                Step::Reopen,
                A,
            ],
        ),
    ]
}

#[test]
fn whichever_operation_fails_nothing_that_was_promised_is_lost() {
    let tally = Tally::default();
    let most = effort(50, 1000);
    for (number, (name, policy, steps)) in scenarios().into_iter().enumerate() {
        let workload = Workload {
            policy,
            index_interval_bytes: 200,
            steps,
        };
        let first = operations_until_ready(&workload);
        for (fault, repeat) in faults() {
            for nth in 1..=most {
                let _story = Story((name, fault, repeat, nth));
                let mut random = Random(number as u64 ^ nth);
                tally.points.count();
                let failure = (first + nth, fault, repeat);
                if fail(&workload, &tally, failure, &mut random) == Came::TooLate {
                    break;
                }
            }
        }
    }
    tally.report("failures", 10_000);
}

/// The name of a log directory whose sync failed never reaches the medium, and no later sync tells: only the power cut is promised.
#[test]
fn whichever_operation_fails_while_a_log_is_made_it_is_made_or_not() {
    let tally = Tally::default();
    let (_, policy, steps) = scenarios().swap_remove(0);
    let workload = Workload {
        policy,
        index_interval_bytes: 200,
        steps,
    };
    for nth in 1..=operations_until_ready(&workload) {
        for (fault, repeat) in faults() {
            let _story = Story(("creation", fault, repeat, nth));
            let sim = Sim::new(nth);
            sim.fail_operation(nth, fault, repeat);
            let (bench, _) = run_through_errors(&sim, &workload);
            tally.points.count();
            cut_power(&bench, &tally, &mut Random(nth));
        }
    }
    assert!(tally.states.get() > 500);
}

fn faults() -> Vec<(Fault, Repeat)> {
    let all = [Fault::Io, Fault::Full, Fault::ShortWrite];
    all.iter()
        .flat_map(|fault| [(*fault, Repeat::Once), (*fault, Repeat::Forever)])
        .collect()
}

/// How many operations it takes to make the log: the interesting ones come after.
fn operations_until_ready(workload: &Workload) -> u64 {
    let mut bench = Bench::new(Sim::new(1), &workload.setup());
    bench.open(Since::Anything).expect("a well disk");
    bench.sim.operations()
}

/// Whether the failure met the workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Came {
    InTime,
    TooLate,
}

fn fail(
    workload: &Workload,
    tally: &Tally,
    (nth, fault, repeat): (u64, Fault, Repeat),
    random: &mut Random,
) -> Came {
    let sim = Sim::new(nth);
    sim.fail_operation(nth, fault, repeat);
    let (mut bench, has_failed) = run_through_errors(&sim, workload);
    if bench.log.is_some() {
        bench.subjects[0].check_stopped();
    }
    cut_power(&bench, tally, random);
    let _story = Story("killed");
    let killed = sim.kill();
    bench.subjects[0].model.has_failed_sync = true;
    Survivor::new(tally).check(&|| killed.kill(), &bench, Since::Killed, random);
    match has_failed || sim.operations() >= nth {
        true => Came::InTime,
        false => Came::TooLate,
    }
}

fn cut_power(bench: &Bench, tally: &Tally, random: &mut Random) {
    for keep in [Keep::None, Keep::All, Keep::Random(random.next())] {
        let _story = Story(("power cut", keep));
        let cut = || bench.sim.crash_image(keep);
        Survivor::without_depth(tally).check(&cut, bench, Since::PowerCut, random);
    }
}

/// Takes every step that can be taken; whether any failed.
fn run_through_errors(sim: &Sim, workload: &Workload) -> (Bench, bool) {
    let mut bench = Bench::new(sim.clone(), &workload.setup());
    let mut has_failed = false;
    if let Err(error) = bench.open(Since::Anything) {
        Bench::check_kind(&error);
        return (bench, true);
    }
    for step in &workload.steps {
        if bench.log.is_none() {
            break;
        }
        if let Err(error) = bench.step(0, *step) {
            Bench::check_kind(&error);
            has_failed = true;
        }
    }
    (bench, has_failed)
}

//! The n-th operation fails, once or for ever: the error is typed, and what was promised stays.

use stratalog::storage::sim::{Fault, Keep, Repeat, Sim};
use stratalog::{ErrorKind, FsyncPolicy};

use super::bench::Bench;
use super::model::Kind;
use super::workload::{Random, Step, Workload};
use super::{RECOVERY_DEPTH, Story, Survivor, Tally};
use crate::battery::effort;

const A: Step = Step::Append { bytes: 150 };
const S: Step = Step::Submit { bytes: 90 };
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
        (
            "maintenance",
            Bytes(100),
            vec![A, B, Step::Maintain, A, Step::Maintain],
        ),
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
                Step::Maintain,
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
        for fault in [Fault::Io, Fault::Full, Fault::ShortWrite] {
            for repeat in [Repeat::Once, Repeat::Forever] {
                for nth in 1..=most {
                    let _story = Story((name, fault, repeat, nth));
                    let mut random = Random(number as u64 ^ nth);
                    let survivor = Survivor {
                        workload: &workload,
                        tally: &tally,
                    };
                    let is_past_the_end = fail(
                        &survivor,
                        first + nth,
                        fault,
                        repeat,
                        &mut random,
                        After::CutOrKill,
                    );
                    tally.points.count();
                    if is_past_the_end {
                        break;
                    }
                }
            }
        }
        for nth in 1..=first {
            let _story = Story((name, "creation", nth));
            let survivor = Survivor {
                workload: &workload,
                tally: &tally,
            };
            if number == 0 {
                for repeat in [Repeat::Once, Repeat::Forever] {
                    for fault in [Fault::Io, Fault::Full, Fault::ShortWrite] {
                        fail(&survivor, nth, fault, repeat, &mut Random(nth), After::Cut);
                    }
                }
            }
        }
    }
    tally.report("failures", 10_000);
}

/// How many operations it takes to make the log: the interesting ones come after.
fn operations_until_ready(workload: &Workload) -> u64 {
    let mut bench = Bench::new(Sim::new(1), workload.clone());
    bench.open(0).expect("a well disk");
    bench.sim.operations()
}

/// How a run with a failure ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// The name of a log directory whose sync failed never reaches the medium, and no later sync tells: only the power cut is promised.
    Cut,
    CutOrKill,
}

/// Runs the scenario to its end, through all errors; whether the fault was beyond it.
fn fail(
    survivor: &Survivor<'_>,
    nth: u64,
    fault: Fault,
    repeat: Repeat,
    random: &mut Random,
    after: After,
) -> bool {
    let sim = Sim::new(nth);
    sim.fail_operation(nth, fault, repeat);
    let mut bench = Bench::new(sim.clone(), survivor.workload.clone());
    let mut has_failed = false;
    if let Err(error) = bench.open(0) {
        check_kind(error.kind());
        has_failed = true;
    }
    for number in 0..survivor.workload.steps.len() {
        if bench.open.is_none() {
            break;
        }
        if let Err(error) = bench.step(survivor.workload.steps[number]) {
            check_kind(error.kind());
            has_failed = true;
        }
    }
    if bench.open.is_some() && bench.stopped_at.is_some() {
        bench.check_stopped();
    }
    let must = bench.model.durable;
    for keep in [Keep::None, Keep::All, Keep::Random(random.next())] {
        let _story = Story(("power cut", keep));
        let cut = || sim.crash_image(keep);
        survivor.check(&cut, &bench.model, must, 0, random);
    }
    if after == After::CutOrKill {
        let _story = Story("killed");
        let killed = sim.kill();
        let must = bench.model.kept;
        bench.model.has_failed_sync = true;
        survivor.check(
            &|| killed.kill(),
            &bench.model,
            must,
            RECOVERY_DEPTH,
            random,
        );
    }
    !has_failed && sim.operations() < nth
}

fn check_kind(kind: ErrorKind) {
    let is_typed = matches!(
        kind,
        ErrorKind::Io | ErrorKind::Full | ErrorKind::Failed | ErrorKind::Closed
    );
    assert!(is_typed, "{kind:?} is no answer to a failing disk");
}

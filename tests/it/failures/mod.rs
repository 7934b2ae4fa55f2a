//! Promises 8 to 12 by brute force: in each of thirty scenarios the n-th operation of the disk fails, for every n until the scenario
//! runs untouched. Whatever fails: no panic, a typed error that names a file, nothing acknowledged lost, readers go on, a
//! failed sync stops writing and is never tried again, and a full disk is forgotten when it has room.
//!
//! A scenario is a line in `scenarios.rs`; `book.rs` holds what was promised; the rest is here.

mod book;
mod names;
mod run;
mod scenarios;

use std::panic::{AssertUnwindSafe, catch_unwind};

use stratalog::storage::sim::{Event, Failure, Fault, Keep, Operation, Repeat, Sim};
use stratalog::{Error, ErrorKind, Result};

use crate::battery::{Cases, effort};
use book::After;
use run::Run;
use scenarios::{SCENARIOS, Scenario};

/// Where and how it fails.
#[derive(Clone, Copy, Debug)]
struct How {
    nth: u64,
    meets: Meets,
    fault: Fault,
    repeat: Repeat,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Meets {
    Changes,
    Reads,
    DirectorySyncs,
}

/// Every fault that makes a difference, once and for ever.
fn ways() -> impl Iterator<Item = (Meets, Fault, Repeat)> {
    let faults = [
        (Meets::Changes, Fault::Io),
        (Meets::Changes, Fault::Full),
        (Meets::Changes, Fault::ShortWrite),
        (Meets::Changes, Fault::Interrupted),
        (Meets::Reads, Fault::Io),
        (Meets::Reads, Fault::Interrupted),
        (Meets::DirectorySyncs, Fault::Io),
    ];
    faults.into_iter().flat_map(|(meets, fault)| {
        [Repeat::Once, Repeat::Forever].map(|repeat| (meets, fault, repeat))
    })
}

fn fail_everywhere(scenarios: &[Scenario]) {
    let cases = Cases::default();
    let mut failures = Vec::new();
    for scenario in scenarios {
        for (meets, fault, repeat) in ways() {
            // A commit tries the plainest fault at the first fifty operations, the others at the first sixteen.
            let first = if fault == Fault::Io { 50 } else { 16 };
            for nth in 1..=effort(first, u64::MAX) {
                let how = How {
                    nth,
                    meets,
                    fault,
                    repeat,
                };
                match catch_unwind(AssertUnwindSafe(|| fail(scenario, how))) {
                    Ok(true) => cases.count(),
                    Ok(false) => break,
                    // The next way is tried: the list tells more than its first line.
                    Err(_) => {
                        failures.push(format!("{:?} with {how:?}", scenario.name));
                        break;
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    cases.report("n-th failure", 50 * scenarios.len() as u64);
}

/// Runs the scenario; whether the failure met it.
fn fail(scenario: &Scenario, how: How) -> bool {
    let mut run = Run::prepared(scenario);
    run.sim.keep_history();
    let failure = match how.meets {
        Meets::Changes => Failure::of_change(how.fault),
        Meets::Reads => Failure::of_read(how.fault),
        Meets::DirectorySyncs => Failure::of(Operation::SyncDir, how.fault),
    };
    run.sim.plan(failure.nth(how.nth).repeat(how.repeat));
    let done = (scenario.act)(&mut run);
    let history = run.sim.history();
    let was_met = history.iter().any(|event| event.fault.is_some());
    assert!(was_met || done.is_ok(), "it fails by itself: {done:?}");
    if let Err(error) = &done {
        check_error(error);
    }
    run.note_durable();
    run.sim.heal();
    check_open_log(&mut run, &history, how.fault);
    check_after_crashes(&run, how.nth);
    was_met
}

fn check_error(error: &Error) {
    let is_typed = matches!(
        error.kind(),
        ErrorKind::Io | ErrorKind::Full | ErrorKind::Failed
    );
    assert!(is_typed, "{:?}: {error}", error.kind());
    assert!(error.path().is_some(), "no path: {error}");
}

/// The disk is well again; the log that met the failure is still open.
fn check_open_log(run: &mut Run, history: &[Event], fault: Fault) {
    if !run.is_open() {
        return;
    }
    let found = run.read().expect("readers go on");
    run.book.check(&found, After::Nothing);

    // An append that found the disk full is not tried again at once.
    run.wait_a_second();
    let met: Vec<&Event> = history
        .iter()
        .filter(|event| event.fault.is_some())
        .collect();
    let failed_sync = history
        .iter()
        .rposition(|event| leaves_in_doubt(event) && event.fault.is_some());
    let is_stopped = failed_sync.is_some_and(|at| !has_reopened(&history[at..]));
    let (durable, end) = (run.watermarks().durable, run.watermarks().end);
    match run.append(40) {
        Ok(()) => assert!(!is_stopped, "an append after a failed sync"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
            let wanted_room_only = !met.iter().any(|event| leaves_in_doubt(event));
            assert!(
                fault != Fault::Full || !wanted_room_only,
                "a disk that has room again is still full: {error}"
            );
        }
    }
    if is_stopped && durable < end {
        let again = run.sync().expect_err("writing has stopped");
        assert_eq!(again.kind(), ErrorKind::Failed, "{again}");
        assert_eq!(run.watermarks().durable, durable, "it moved");
    }
    check_no_sync_is_tried_again(&run.sim.history());
    let found = run.read().expect("readers go on");
    run.book.check(&found, After::Nothing);
}

/// A sync of the partition that nobody may believe in once it failed. A file that is written beside another is thrown away instead.
fn leaves_in_doubt(event: &Event) -> bool {
    let is_thrown_away = event.operation == Operation::Sync
        && (event.path.extension()).is_some_and(|end| end == "tmp" || end == "prepared");
    event.operation.is_sync() && event.path.starts_with("/log/events-0") && !is_thrown_away
}

/// Opening takes the lock.
fn has_reopened(history: &[Event]) -> bool {
    (history.iter()).any(|event| event.operation == Operation::Lock && event.fault.is_none())
}

/// Promise 10: within one opening, nothing is synced after its sync failed.
fn check_no_sync_is_tried_again(history: &[Event]) {
    let failed = |event: &Event| leaves_in_doubt(event) && event.fault.is_some();
    for (at, event) in history
        .iter()
        .enumerate()
        .filter(|(_, event)| failed(event))
    {
        let since = history[at + 1..].iter();
        // A new file may have the old name.
        let since = since.take_while(|later| {
            !matches!(later.operation, Operation::Lock | Operation::Rename)
                && (later.operation != Operation::Create || later.path != event.path)
        });
        let again =
            since.filter(|later| later.operation == event.operation && later.path == event.path);
        assert_eq!(again.count(), 0, "{event} was tried again");
    }
}

fn check_after_crashes(run: &Run, nth: u64) {
    for keep in [Keep::None, Keep::All, Keep::Random(nth)] {
        let mut after = run.on(run.sim.crash_image(keep));
        let found = open_and_read(&mut after, &format!("after a power cut that kept {keep:?}"));
        run.book.check(&found, After::PowerCut);
    }
    let mut after = run.on(run.sim.kill());
    let found = open_and_read(&mut after, "after a kill");
    run.book.check(&found, After::Kill);

    // A removal whose directory could not be synced may be undone by a power cut, whatever a later sync says.
    if is_removal_in_doubt(&run.sim.history()) {
        return;
    }
    // What was shown stays, and the log works on.
    after.book.adopt(&found);
    let mut cut = after.on(after.sim.crash_image(Keep::None));
    let found = open_and_read(&mut cut, "after a kill and a power cut");
    after.book.check(&found, After::PowerCut);
    works_on(&mut after).expect("the log works on after a reopen");
    let mut cut = after.on(after.sim.reboot(Keep::None));
    let found = open_and_read(&mut cut, "after a close and a power cut");
    after.book.check(&found, After::PowerCut);
}

/// Whether a sync of the directory failed after a segment was removed.
fn is_removal_in_doubt(history: &[Event]) -> bool {
    let failed = (history.iter())
        .rposition(|event| event.operation == Operation::SyncDir && event.fault.is_some());
    let is_removal = |event: &Event| {
        event.operation == Operation::Remove && event.path.extension().is_some_and(|e| e == "log")
    };
    failed.is_some_and(|at| history[..at].iter().any(is_removal))
}

fn open_and_read(run: &mut Run, when: &str) -> book::Found {
    let read = run.open().and_then(|()| run.read());
    read.unwrap_or_else(|error| panic!("{when}: {error}"))
}

fn works_on(run: &mut Run) -> Result<()> {
    run.append(40)?;
    run.batch(3)?;
    run.sync()?;
    run.close()
}

/// Promises 8 to 12; 4, 5 and 15 after it.
#[test]
fn whichever_operation_fails_in_writing_nothing_acknowledged_is_lost() {
    fail_everywhere(&SCENARIOS[..15]);
}

/// Promises 8 to 12; 4, 5 and 15 after it.
#[test]
fn whichever_operation_fails_in_opening_and_reading_nothing_acknowledged_is_lost() {
    fail_everywhere(&SCENARIOS[15..]);
}

/// What the checks above stand on: a disk that lies about one sync is found out.
#[test]
#[should_panic(expected = "is lost")]
fn a_sync_that_lies_is_found_out() {
    let scenario = SCENARIOS
        .iter()
        .find(|scenario| scenario.name == "append, always");
    let mut run = Run::prepared(scenario.expect("it is there"));
    run.sim
        .plan(Failure::of(Operation::Sync, Fault::Lie).forever());
    run.append(40).expect("the lie is believed");
    run.note_durable();
    check_after_crashes(&run, 1);
}

/// A scenario that meets no fault ends well, and so does everything after it.
#[test]
fn every_scenario_runs_well_on_a_well_disk() {
    let names: std::collections::BTreeSet<_> = SCENARIOS.iter().map(|s| s.name).collect();
    assert_eq!(names.len(), SCENARIOS.len(), "each has a name of its own");
    for scenario in SCENARIOS {
        let mut run = Run::prepared(scenario);
        let before = (run.sim.operations(), run.sim.reads());
        (scenario.act)(&mut run).unwrap_or_else(|error| panic!("{}: {error}", scenario.name));
        let after = (run.sim.operations(), run.sim.reads());
        assert_ne!(before, after, "{} asks nothing of the disk", scenario.name);
        check_open_log(&mut run, &[], Fault::Io);
        check_after_crashes(&run, 1);
    }
}

fn new_disk() -> Sim {
    Sim::new(1)
}

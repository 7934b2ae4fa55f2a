//! System calls that fail: each call of a run, one after the other, answers with an error or is the last of its process.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::tracer::{Answer, Tracer};
use crate::battery::{Cases, effort};
use crate::driver::{Judge, Running, Said, command, dump};

/// What the traced writer finds, and how it writes.
struct Scene {
    before: Before,
    /// For the traced `logdrv write`.
    policy: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    Nothing,
    /// A log that was closed.
    Closed,
    /// A log whose writer was killed: opening recovers, and copies what was not durable.
    Killed,
}

/// Records of one append of the traced writer.
const BATCH: u64 = 2;
const WORK: &str = "--count 24 --batch 2 --segment-bytes 1500 --retention-bytes 3000 --seed 1";

/// Promises 8, 9, 10 and 22: whatever call fails, the outcome has a type, nothing that was acknowledged is lost, and a sync that failed is
/// never tried again. Promise 4: that goes for the calls of recovery, too.
#[test]
fn a_system_call_that_fails_in_a_new_log_costs_nothing_that_was_acknowledged() {
    check_scene(&Scene {
        before: Before::Nothing,
        policy: "always",
    });
}

/// Promises 8, 9, 10 and 22.
#[test]
fn a_system_call_that_fails_in_a_closed_log_costs_nothing_that_was_acknowledged() {
    check_scene(&Scene {
        before: Before::Closed,
        policy: "never",
    });
}

/// Promises 4, 8, 9, 10 and 22.
#[test]
fn a_system_call_that_fails_while_recovering_costs_nothing_that_was_acknowledged() {
    check_scene(&Scene {
        before: Before::Killed,
        policy: "group",
    });
}

fn check_scene(scene: &Scene) {
    let folder = TempDir::new().expect("a folder");
    let test = format!("failing system calls, {:?}", scene.before);
    let Some(mut tracer) = Tracer::new(folder.path(), &test) else {
        return;
    };
    let template = folder.path().join("template");
    let judge = prepare(scene.before, &template);
    let dir = folder.path().join("log");
    let options = format!("--policy {} --first-seq 5000 {WORK}", scene.policy);

    set_up(&template, &dir);
    let (said, status) = Running::start(&mut tracer.command("write", &dir, &options, None)).wait();
    assert!(
        status.success() && said.is_closed,
        "without a fault: {said:?}"
    );
    let faults = tracer.faults(&dir);

    // Spread over all of them; `FIRST_SEED` moves where it begins.
    let wanted = effort(40, 1_700) as usize;
    let step = (faults.len() / wanted).max(1);
    let first = std::env::var("FIRST_SEED").map_or(0, |text| text.parse::<usize>().unwrap());
    let cases = Cases::default();
    for fault in faults.iter().skip(first % step).step_by(step) {
        let case = format!("{:?} {} {fault:?}", scene.before, scene.policy);
        set_up(&template, &dir);
        let mut traced = tracer.command("write", &dir, &options, Some(*fault));
        let (said, status) = Running::start(&mut traced).wait();
        check_outcome(&case, fault.answer, &said, status.code());
        let again = tracer.syncs_tried_again();
        assert!(again.is_empty(), "{case}: synced again: {again:?}");
        let mut judge = judge.clone();
        judge.killed(&said);
        let (found, status) = dump(&dir, "");
        judge.check(&case, &found, status, &said, BATCH);
        if tracer.has_injected() {
            cases.count();
        }
    }
    cases.report(&test, wanted as u64 / 2);
}

/// Done, or a typed error and its exit code; never a panic, a signal that nobody sent, or a hang.
fn check_outcome(case: &str, answer: Answer, said: &Said, code: Option<i32>) {
    match (answer, code) {
        (Answer::Kill, None | Some(137)) => {}
        (_, Some(0)) => assert!(said.is_closed, "{case}: {said:?}"),
        (_, Some(10..=17)) => assert!(!said.complaints.is_empty(), "{case}: {said:?}"),
        _ => panic!("{case}: exit {code:?}, {said:?}"),
    }
}

/// What was there before, and what has to be there ever after.
fn prepare(before: Before, dir: &Path) -> Judge {
    let mut judge = Judge::default();
    judge.may_trim = true;
    let options = "--policy records:5 --count 30 --batch 3 --segment-bytes 4096 --seed 1";
    match before {
        Before::Nothing => std::fs::create_dir(dir).expect("a folder"),
        Before::Closed => {
            let (said, status) = Running::start(&mut command("write", dir, options)).wait();
            assert!(status.success(), "{said:?}");
            judge.killed(&said);
        }
        Before::Killed => {
            let options = format!("{options} --hold-ms 600000");
            let writer = Running::start(&mut command("write", dir, &options));
            while writer.heard().acknowledged.len() < 30 {
                std::thread::yield_now();
            }
            judge.killed(&writer.kill());
        }
    }
    judge
}

fn set_up(template: &Path, dir: &Path) {
    if dir.exists() {
        std::fs::remove_dir_all(dir).expect("removed");
    }
    let copied = Command::new("cp").arg("-a").arg(template).arg(dir).status();
    assert!(copied.expect("cp").success());
}

//! A partition against a model of a hundred lines, over the public API: drawn operations, each answer compared. A run that
//! fails is made shorter before it is shown. `SEED=n` replays one run.

mod reference;
mod subject;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::battery::{Cases, effort, seeds};
use crate::random::Random;
use subject::Subject;

/// One thing to do. Parts are thousandths of what is there, so that each makes sense wherever it stands in a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Append { bytes: usize },
    AppendAt { bytes: usize, seconds_ago: u64 },
    Batch { count: usize, bytes: usize },
    Sync,
    Roll,
    DeleteBefore { part: u64 },
    Truncate { part: u64 },
    BeginEpoch,
    Earliest,
    Latest,
    At { part: u64 },
    After { part: u64 },
    Timestamp { part: u64 },
    Get { part: u64 },
    Fetch { part: u64, bytes: u32 },
    Reopen,
    Kill,
    PowerCut,
}

fn draw(random: &mut Random) -> Operation {
    let bytes = random.below(300) as usize;
    // A little outside of what is there, too.
    let part = random.below(1040);
    match random.below(48) {
        0..12 => Operation::Append { bytes },
        12..15 => Operation::AppendAt {
            bytes,
            seconds_ago: random.below(3000),
        },
        15..22 => Operation::Batch {
            count: 1 + random.below(5) as usize,
            bytes: bytes / 3,
        },
        22 => Operation::Sync,
        23 | 24 => Operation::Roll,
        25 | 26 => Operation::DeleteBefore { part },
        27 | 28 => Operation::Truncate {
            part: 1000 - part / 4,
        },
        29 => Operation::BeginEpoch,
        30 => Operation::Earliest,
        31 => Operation::Latest,
        32..35 => Operation::At { part },
        35..37 => Operation::After { part },
        37..40 => Operation::Timestamp { part },
        40..42 => Operation::Get { part },
        42..44 => Operation::Fetch {
            part,
            bytes: random.below(2000) as u32,
        },
        44 => Operation::Reopen,
        45 | 46 => Operation::Kill,
        _ => Operation::PowerCut,
    }
}

/// What went wrong, if anything did.
fn run(seed: u64, operations: &[Operation]) -> Result<(), String> {
    let run = || {
        let mut subject = Subject::new(seed);
        for operation in operations {
            subject.apply(*operation);
            subject.check();
        }
        subject.apply(Operation::Reopen);
        subject.check();
        subject.check_all();
    };
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("?")
            .to_owned()
    })
}

/// The shortest list that still fails, leaving out ever smaller pieces.
fn shortened(seed: u64, operations: &[Operation]) -> Vec<Operation> {
    let mut operations = operations.to_vec();
    let mut piece = operations.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < operations.len() {
            let mut fewer = operations.clone();
            fewer.drain(at..(at + piece).min(operations.len()));
            match run(seed, &fewer) {
                Err(_) => operations = fewer,
                Ok(()) => at += piece,
            }
        }
        piece /= 2;
    }
    operations
}

#[test]
fn a_partition_answers_as_the_model_does() {
    let length = effort(100, 300);
    let cases = Cases::default();
    for seed in seeds(2_000, 100_000) {
        let mut random = Random(seed);
        let operations: Vec<_> = (0..length).map(|_| draw(&mut random)).collect();
        if run(seed, &operations).is_err() {
            let shortest = shortened(seed, &operations);
            let what = run(seed, &shortest).expect_err("it failed before");
            panic!("{what}\nSEED={seed}, of {length} operations these are enough: {shortest:#?}");
        }
        cases.count();
    }
    cases.report("model", 1);
}

/// Story: a truncation to the log start had emptied the history of leader epochs, lower ones began, and after a power cut a batch from below the
/// log start, of a higher epoch, threw them out of it. Good records were then told as damaged.
#[test]
fn a_batch_below_the_log_start_says_nothing_against_the_epochs_above_it() {
    let mut random = Random(895);
    let operations: Vec<_> = (0..300).map(|_| draw(&mut random)).collect();
    assert_eq!(run(895, &operations), Ok(()));
}

/// What the shortening stands on.
#[test]
fn a_failing_run_is_made_as_short_as_it_can_be() {
    let mut random = Random(3);
    let mut operations: Vec<_> = (0..60).map(|_| draw(&mut random)).collect();
    operations.retain(|operation| *operation != Operation::Sync);
    // The model is not told of it, so it fails wherever it stands.
    operations.insert(
        31,
        Operation::Append {
            bytes: subject::BREAKS,
        },
    );
    assert_eq!(
        shortened(3, &operations),
        [Operation::Append {
            bytes: subject::BREAKS
        }]
    );
}

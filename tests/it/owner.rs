//! Who wrote last is told right after a power cut or a kill at any operation of a life.

use std::path::Path;
use std::sync::Arc;

use stratalog::storage::sim::{Keep, Sim};
use stratalog::{FsyncPolicy, Log, Maintenance, Record, Result, Start, TopicOptions};

const DIR: &str = "/data/log";

fn open(sim: &Sim) -> Result<Log> {
    Log::builder(Path::new(DIR))
        .storage(Arc::new(sim.clone()))
        .defaults(TopicOptions::default().fsync(FsyncPolicy::Always))
        .maintenance(Maintenance::Manual)
        .open()
}

/// One life; `Err` when the machine dies in it. What returned from `append` is counted.
fn live(sim: &Sim, acknowledged: &mut u64) -> Result<()> {
    let log = open(sim)?;
    let events = log.topic("events")?.partition(0)?;
    for _ in 0..2 {
        events.append(Record::new("value"))?;
        *acknowledged += 1;
    }
    log.close()
}

fn check_after(sim: &Sim, acknowledged: u64, what: &str) {
    let log = open(sim).expect(what);
    assert!(
        !log.recovery().was_adopted(),
        "{what}: nobody else was here\n{}",
        log.recovery()
    );
    let events = log.topic("events").expect(what).partition(0).expect(what);
    let found = events.cursor(Start::Earliest).expect(what).count() as u64;
    assert!(found >= acknowledged, "{what}: {found} of {acknowledged}");
    log.close().expect(what);
    let log = open(sim).expect(what);
    assert!(
        log.recovery().was_clean(),
        "{what}: closed\n{}",
        log.recovery()
    );
}

/// Dies at each operation of a life in turn; returns how many there are.
fn die_everywhere(lives_before: u32, seed: u64) -> u64 {
    for operations in 0.. {
        let sim = Sim::new(seed);
        let mut acknowledged = 0;
        for _ in 0..lives_before {
            live(&sim, &mut acknowledged).expect("nothing fails yet");
        }
        sim.crash_after(operations);
        let life = live(&sim, &mut acknowledged);
        if life.is_ok() && !sim.has_crashed() {
            return operations;
        }
        for keep in [Keep::None, Keep::Random(seed ^ operations), Keep::All] {
            let what =
                format!("seed {seed}, life {lives_before}, operation {operations}, {keep:?}");
            check_after(&sim.reboot(keep), acknowledged, &what);
        }
    }
    unreachable!("a life ends")
}

#[test]
fn a_crash_of_ours_at_any_operation_is_never_taken_for_somebody_elses_work() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(20);
    println!("SEED={seed}");
    let first = die_everywhere(0, seed);
    let second = die_everywhere(1, seed);
    assert!(first > 20 && second > 20, "{first} {second}");
}

/// Kills a life at each of its operations; the next process acknowledges a record, and then the power is cut.
fn kill_everywhere_then_cut_power(lives_before: u32) {
    for operations in 0.. {
        let sim = Sim::new(operations);
        let mut acknowledged = 0;
        for _ in 0..lives_before {
            live(&sim, &mut acknowledged).expect("nothing fails yet");
        }
        sim.kill_after(operations);
        let life = live(&sim, &mut acknowledged);
        let next = sim.kill();
        let what = format!("life {lives_before}, killed at operation {operations}");
        let log = open(&next).expect(&what);
        let events = log.topic("events").expect(&what).partition(0).expect(&what);
        let ticket = events.append(Record::new("value")).expect(&what);
        for keep in [Keep::None, Keep::Random(operations)] {
            let after = next.crash_image(keep);
            check_after(
                &after,
                ticket.offset().get() + 1,
                &format!("{what}, {keep:?}"),
            );
        }
        if life.is_ok() {
            return;
        }
    }
}

#[test]
fn a_directory_that_a_killed_process_made_lasts_once_the_next_one_acknowledges() {
    kill_everywhere_then_cut_power(0);
}

#[test]
fn a_checkpoint_that_comes_back_as_it_was_before_a_killed_close_is_still_ours() {
    kill_everywhere_then_cut_power(1);
}

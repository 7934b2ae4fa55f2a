//! The checks are checked: with a bug planted beneath them, or in their own eyes, they must fail.

use std::panic::{AssertUnwindSafe, catch_unwind};

use stratalog::storage::sim::{Keep, Sim};
use stratalog::{Compression, FsyncPolicy, Retention, TopicOptions};

use super::swarm::Swarm;
use super::{Disk, Seen, simulate};
use crate::modelled::{Bench, Eyes, Keeps, Setup, Since, Step, TopicSetup};

/// How many of the seeds fail.
fn failures(disk: Disk, setup: fn(&mut Swarm)) -> usize {
    let fails = |seed: &u64| {
        let run = || simulate(*seed, disk, setup, &Seen::default());
        catch_unwind(AssertUnwindSafe(run)).is_err()
    };
    (1..=20).filter(fails).count()
}

#[test]
fn the_simulation_finds_a_disk_that_answers_ok_to_a_sync_and_keeps_nothing() {
    let found = failures(Disk::Lies, |_| {});
    assert!(found >= 10, "found by {found} of 20 seeds");
}

#[test]
fn the_simulation_finds_an_acknowledged_record_that_is_not_shown() {
    let found = failures(Disk::Sound, |swarm| swarm.setup.eyes = Eyes::MissTheLast);
    assert!(found >= 10, "found by {found} of 20 seeds");
}

#[test]
fn the_simulation_finds_nothing_where_nothing_is_planted() {
    assert_eq!(failures(Disk::Sound, |_| {}), 0);
}

fn two_unsynced_records() -> Bench {
    let setup = Setup {
        topics: vec![TopicSetup {
            name: "events".to_owned(),
            partitions: 1,
            options: TopicOptions::default()
                .fsync(FsyncPolicy::Never)
                .retention(Retention::unlimited()),
            keeps: Keeps::default(),
            codec: Compression::None,
        }],
        max_open_files: 16,
        eyes: Eyes::Open,
    };
    let mut bench = Bench::new(Sim::new(1), &setup);
    let steps = [Step::Append { bytes: 40 }, Step::Append { bytes: 40 }];
    assert!(bench.run_until_error(&steps).is_none());
    let model = &bench.subjects[0].model;
    assert_eq!((model.durable, model.kept), (0, 2));
    bench
}

fn is_found(bench: &Bench, since: Since) -> bool {
    let open = || bench.after(bench.sim.crash_image(Keep::All)).open(since);
    catch_unwind(AssertUnwindSafe(open)).is_err()
}

#[test]
fn the_checks_find_a_record_that_was_promised_and_is_not_there() {
    let bench = two_unsynced_records();
    let open = |since| {
        let lost = bench.sim.crash_image(Keep::None);
        catch_unwind(AssertUnwindSafe(|| bench.after(lost).open(since)))
    };
    open(Since::PowerCut)
        .expect("nothing was promised")
        .expect("it opens");
    assert!(open(Since::Killed).is_err(), "a kill loses nothing");
}

#[test]
fn the_checks_find_other_bytes_another_epoch_and_another_start() {
    assert!(!is_found(&two_unsynced_records(), Since::Killed));
    let mut bench = two_unsynced_records();
    let mut changed = (*bench.subjects[0].model.batches[1]).clone();
    changed.values[0][0] ^= 1;
    bench.subjects[0].model.batches[1] = changed.into();
    assert!(is_found(&bench, Since::Killed), "other bytes");

    let mut bench = two_unsynced_records();
    let mut changed = (*bench.subjects[0].model.batches[0]).clone();
    changed.epoch = 1;
    bench.subjects[0].model.batches[0] = changed.into();
    assert!(is_found(&bench, Since::Killed), "another epoch");

    let mut bench = two_unsynced_records();
    let model = &mut bench.subjects[0].model;
    (model.start, model.start_most) = (1, 1);
    assert!(is_found(&bench, Since::Killed), "another log start");
}

//! Topics on a disk that fails: what a creation or a deletion leaves is what a crash leaves, and the same process goes on from there.

use std::path::Path;
use std::sync::Arc;

use stratalog::storage::sim::{Fault, Repeat, Sim};
use stratalog::{ErrorKind, FsyncPolicy, Log, Maintenance, Record, Start, Topic, TopicOptions};

fn open(sim: &Sim) -> Log {
    Log::builder(Path::new("/data/log"))
        .storage(Arc::new(sim.clone()))
        .defaults(
            TopicOptions::default()
                .partitions(2)
                .fsync(FsyncPolicy::Always),
        )
        .maintenance(Maintenance::Manual)
        .open()
        .unwrap()
}

fn records(topic: &Topic) -> usize {
    let partitions = topic.partitions();
    let counts = partitions.iter().map(|partition| {
        let records = partition.cursor(Start::Earliest).unwrap();
        let whole: Result<Vec<_>, _> = records.collect();
        whole.unwrap().len()
    });
    counts.sum()
}

/// After a failed sync of the directory only another opening changes it; else the same process goes on.
fn reopened_when_in_doubt(sim: &Sim, log: Log) -> Log {
    match log.create_topic("doubt", TopicOptions::default()) {
        Ok(_) => {
            log.delete_topic("doubt").unwrap();
            log
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
            log.close().expect_err("no marker is written");
            open(sim)
        }
    }
}

/// Story: the second try met the files of the first one, and said `AlreadyExists` until the log was opened anew.
#[test]
fn a_topic_that_could_not_be_created_is_created_by_the_next_try() {
    for fault in [Fault::Full, Fault::Io] {
        let mut failed = 0;
        for nth in 1.. {
            let sim = Sim::new(nth);
            let log = open(&sim);
            sim.fail_operation(nth, fault, Repeat::Once);
            let created = log.topic("events").is_ok();
            sim.heal();
            let log = reopened_when_in_doubt(&sim, log);
            let topic = log
                .topic("events")
                .unwrap_or_else(|error| panic!("{fault:?} at operation {nth}: {error}"));
            topic.append(Record::new("value")).unwrap();
            log.close().unwrap();
            let log = open(&sim);
            assert!(log.recovery().was_clean(), "operation {nth}");
            let topic = log.topic("events").unwrap();
            assert_eq!((topic.partitions().len(), records(&topic)), (2, 1));
            failed += u64::from(!created);
            if created {
                break;
            }
        }
        assert!(failed > 10, "{failed}");
    }
}

/// Story: a deletion that failed half-way left closed partitions behind, whose tails nobody had cut, and the close put the marker of a clean
/// shutdown beside them.
#[test]
fn what_a_deletion_that_failed_leaves_is_recovered_and_never_taken_for_clean() {
    for again in [false, true] {
        let (mut failed, mut left) = (0, 0);
        for nth in 1.. {
            let sim = Sim::new(nth);
            let log = open(&sim);
            let topic = log.topic("events").unwrap();
            for partition in topic.partitions() {
                partition.append(Record::new("value")).unwrap();
            }
            sim.fail_operation(nth, Fault::Io, Repeat::Once);
            let deleted = log.delete_topic("events").is_ok();
            sim.heal();
            if deleted {
                assert!(log.topics().is_empty());
                break;
            }
            failed += 1;
            let log = reopened_when_in_doubt(&sim, log);
            if again {
                // What still stands is there again, whole partitions only.
                let topic = log.topic("events").unwrap();
                assert!(records(&topic) <= 2, "operation {nth}");
                topic.append(Record::new("more")).unwrap();
                log.delete_topic("events").unwrap();
                assert!(log.topics().is_empty());
            }
            log.close().unwrap();
            let log = open(&sim);
            for topic in log.topics() {
                left += 1;
                assert!(!log.recovery().was_clean(), "operation {nth}");
                assert!(!again && records(&topic) <= 2, "operation {nth}");
                topic.append(Record::new("more")).unwrap();
            }
            log.close().unwrap();
            assert!(open(&sim).recovery().was_clean(), "operation {nth}");
        }
        assert!(failed > 2 && (left > 0) != again, "{failed} {left}");
    }
}

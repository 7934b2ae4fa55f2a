//! Names in a directory whose sync failed once (promises 1, 2 and 10): no later sync makes them last, so nothing that needs them is called
//! durable. The names of segments are met by the n-th failures; here is what stands in the log directory.

use std::sync::Arc;

use stratalog::storage::sim::{Failure, Fault, Keep, Operation, Sim};
use stratalog::{ErrorKind, Log, Maintenance, Partition, Record, Result, Topic};

use super::new_disk;

const ROOT: &str = "/log";

fn open(sim: &Sim) -> Result<Log> {
    Log::builder(ROOT)
        .storage(Arc::new(sim.clone()))
        .maintenance(Maintenance::Manual)
        .open()
}

fn first(topic: &Topic) -> Partition {
    topic.partition(0).expect("it has one")
}

/// The sync of the log directory failed while a topic was made, once. Asked again, the topic was there, its records were called durable, and a
/// power cut took its whole folder.
#[test]
fn a_topic_whose_folder_may_be_lost_takes_no_records() {
    let mut met = 0;
    for nth in 1..20 {
        let sim = new_disk();
        let log = open(&sim).expect("a well disk");
        let before = log.topic("before").expect("a well disk");
        sim.plan(Failure::of(Operation::SyncDir, Fault::Io).nth(nth));
        let Err(error) = log.topic("events") else {
            break;
        };
        met += 1;
        assert_eq!(error.kind(), ErrorKind::Failed, "{nth}: {error}");
        for name in ["events", "more"] {
            let again = log.topic(name).expect_err("the directory is in doubt");
            assert_eq!(again.kind(), ErrorKind::Failed, "{nth}: {again}");
        }
        let ticket = first(&before)
            .append(Record::new("x"))
            .expect("what was there goes on");
        ticket.wait_durable().expect("it lasts");
        drop(before);
        log.close().expect_err("no marker is written");

        let log = open(&sim.reboot(Keep::None)).expect("it opens");
        let read = first(&log.topic("before").expect("it lasts"));
        assert_eq!(read.watermarks().end.get(), 1, "{nth}");
        let ticket = log
            .topic("events")
            .and_then(|topic| topic.append(Record::new("y")));
        ticket
            .and_then(|ticket| ticket.wait_durable())
            .expect("a new start");
    }
    assert!(met > 2, "{met}");
}

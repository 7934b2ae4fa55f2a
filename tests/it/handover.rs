//! From one owner to the next: what the first one left un-synced, and what it still writes while the second one waits.

use std::path::Path;
use std::sync::Arc;

use stratalog::{ErrorKind, FsyncPolicy, Log, Record, TopicOptions};
use tempfile::TempDir;

/// Promise 17: the lock is let go after the last file was written, so who gets it finds a clean log.
#[test]
fn who_opens_while_another_closes_is_refused_until_the_log_is_clean() {
    let dir = TempDir::new().unwrap();
    let open = || {
        Log::builder(dir.path())
            .defaults(TopicOptions::default().fsync(FsyncPolicy::Always))
            .open()
    };
    let mut log = open().unwrap();
    for round in 0..20 {
        let clicks = log.topic("clicks").unwrap();
        clicks.append(Record::new("value")).unwrap();
        let next = std::thread::scope(|scope| {
            let closing = scope.spawn(|| log.close());
            let next = loop {
                match open() {
                    Ok(next) => break next,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Locked, "{error}"),
                }
            };
            closing.join().unwrap().unwrap();
            next
        });
        let report = next.recovery();
        assert!(report.was_clean(), "round {round}: {report}");
        log = next;
    }
    log.close().unwrap();
}

/// Promise 5, for what another writer's process left in the page cache when it was killed.
#[cfg(feature = "sim")]
#[test]
fn records_of_another_writer_that_were_shown_survive_a_power_cut() {
    use crate::kafka_fixtures::Fixture;
    use stratalog::storage::Storage;
    use stratalog::storage::sim::{Keep, Sim};
    use stratalog::{Maintenance, Start};

    let root = Path::new("/data");
    let fixtures = Fixture::all();
    let fixture = fixtures.iter().find(|fixture| fixture.name == "unclean");
    let fixture = fixture.expect("a directory that no broker closed");
    let sim = Sim::new(1);
    let partition = root.join("events-0");
    sim.create_dir(root).unwrap();
    sim.sync_dir(Path::new("/")).unwrap();
    sim.create_dir(&partition).unwrap();
    sim.sync_dir(root).unwrap();
    // Small files were synced by who wrote them; segments were not.
    for entry in std::fs::read_dir(fixture.partition_directory()).unwrap() {
        let entry = entry.unwrap();
        let file = sim.create(&partition.join(entry.file_name())).unwrap();
        file.write_at(&std::fs::read(entry.path()).unwrap(), 0)
            .unwrap();
    }
    for name in [
        "log-start-offset-checkpoint",
        "recovery-point-offset-checkpoint",
    ] {
        let content = std::fs::read(fixture.log_directory().join(name)).unwrap();
        let file = sim.create(&root.join(name)).unwrap();
        file.write_at(&content, 0).unwrap();
        file.sync_all().unwrap();
    }
    sim.sync_dir(root).unwrap();
    let read = |sim: &Sim| {
        let log = Log::builder(root)
            .storage(Arc::new(sim.clone()))
            .maintenance(Maintenance::Manual)
            .open()
            .unwrap();
        let events = log.topic("events").unwrap().partition(0).unwrap();
        let records = events.cursor(Start::Earliest).unwrap();
        let values = records.map(|record| {
            let record = record.unwrap();
            (record.offset(), record.value().map(<[u8]>::to_vec))
        });
        (values.collect::<Vec<_>>(), log)
    };
    let (shown, log) = read(&sim);
    assert!(log.recovery().was_adopted());
    assert!(shown.len() > 100, "{}", shown.len());
    let (after, _log) = read(&sim.crash_image(Keep::None));
    assert_eq!(after, shown);
}

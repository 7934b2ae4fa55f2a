//! Directories that Kafka wrote are adopted as Kafka itself opens them.

#![allow(
    clippy::disallowed_methods,
    reason = "fixtures are files of this repository"
)]

use serde_json::Value;

use super::*;

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kafka")
}

/// The entry of the one partition in a checkpoint of Kafka's.
fn checkpoint(log: &Path, name: &str) -> Option<Offset> {
    let text = std::fs::read_to_string(log.join(name)).ok()?;
    let entry = text.lines().nth(2)?;
    entry
        .split(' ')
        .nth(2)?
        .parse()
        .ok()
        .and_then(Offset::from_i64)
}

fn copied(from: &Path) -> Memory {
    let storage = Memory::new();
    storage.create_dir(Path::new(DIR)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = Path::new(DIR).join(entry.file_name());
        let bytes = std::fs::read(entry.path()).unwrap();
        storage.create(&to).unwrap().write_at(&bytes, 0).unwrap();
    }
    storage
}

fn number(value: &Value, key: &str) -> Option<i64> {
    value[key].as_i64()
}

fn check_as_kafka(partition: &Partition, expected: &Value, fixture: &str) {
    let marks = partition.watermarks();
    let end = number(expected, "log_end").unwrap();
    assert_eq!(
        marks.start.to_i64(),
        number(expected, "log_start").unwrap(),
        "{fixture}"
    );
    assert_eq!(marks.end.to_i64(), end, "{fixture}");
    let stable = number(expected, "last_stable_offset").unwrap();
    assert_eq!(marks.last_stable.to_i64(), stable, "{fixture}");
    let writer = partition.core.writer.lock();
    let epochs: Vec<(i64, i64)> = writer
        .epochs
        .entries()
        .iter()
        .map(|(epoch, start)| (epoch.get().into(), start.to_i64()))
        .collect();
    let expected_epochs: Vec<(i64, i64)> = expected["epochs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            (
                number(e, "epoch").unwrap(),
                number(e, "start_offset").unwrap(),
            )
        })
        .collect();
    assert_eq!(epochs, expected_epochs, "{fixture}");
    let producers: Vec<(i64, i64, Option<i64>, Option<i64>)> = writer
        .producers
        .list()
        .iter()
        .map(|p| {
            let last = p.batches.last().map(|batch| batch.last_offset.to_i64());
            let first = p.transaction_first_offset.map(Offset::to_i64);
            (p.id.get(), p.epoch.get().into(), first, last)
        })
        .collect();
    let mut expected_producers: Vec<(i64, i64, Option<i64>, Option<i64>)> = expected["producers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| {
            let last = p["batches"].as_array().unwrap().last();
            (
                number(p, "producer_id").unwrap(),
                number(p, "producer_epoch").unwrap(),
                number(p, "transaction_first_offset"),
                last.and_then(|batch| number(batch, "last_offset")),
            )
        })
        .collect();
    expected_producers.sort_unstable();
    assert_eq!(producers, expected_producers, "{fixture}");
    drop(writer);
    let aborted = partition.reader().aborted(marks.start..marks.end).unwrap();
    let aborted: Vec<(i64, i64)> = aborted
        .iter()
        .map(|a| (a.first.to_i64(), a.last.to_i64()))
        .collect();
    let expected_aborted: Vec<(i64, i64)> = expected["aborted_transactions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| {
            (
                number(a, "first_offset").unwrap(),
                number(a, "last_offset").unwrap(),
            )
        })
        .collect();
    assert_eq!(aborted, expected_aborted, "{fixture}");
}

#[test]
fn directories_of_kafka_are_adopted_as_kafka_opens_them() {
    let mut checked = 0;
    for fixture in std::fs::read_dir(fixtures()).unwrap() {
        let fixture = fixture.unwrap().path();
        let Ok(text) = std::fs::read_to_string(fixture.join("expected-open.json")) else {
            continue;
        };
        let expected: Value = serde_json::from_str(&text).unwrap();
        let partition = &expected["partitions"][0];
        let log = fixture.join("log");
        let directory = partition["directory"].as_str().unwrap();
        let storage = copied(&log.join(directory));
        let is_clean = expected["clean_marker"].as_bool().unwrap();
        let given = OpenFacts {
            owner: if is_clean {
                Owner::ForeignClean
            } else {
                Owner::ForeignUnclean
            },
            recovery_point: checkpoint(&log, "recovery-point-offset-checkpoint"),
            log_start: checkpoint(&log, "log-start-offset-checkpoint"),
            incarnation: OURS,
        };
        let name = fixture.file_name().unwrap().to_string_lossy().into_owned();
        let (reader, _) = {
            let topic = TopicPartition::new(TopicName::new("t").unwrap(), 0).unwrap();
            let (opening, report) = open_read_only(&topic, &home(&storage), given).unwrap();
            (Published::new(opening).watermarks(), report)
        };
        let (opened, report) =
            open_with(Arc::new(storage.clone()), given, TopicOptions::default()).unwrap();
        assert!(
            report.adopted().is_some() && report.gaps().is_empty(),
            "{name}: {report}"
        );
        assert_eq!(report.was_clean(), is_clean, "{name}: {report}");
        check_as_kafka(&opened, partition, &name);
        assert_eq!(reader.end, opened.watermarks().end, "{name}");
        assert_eq!(
            reader.last_stable,
            opened.watermarks().last_stable,
            "{name}"
        );
        opened.core.close().unwrap();
        let (again, report) = open(&storage, Owner::OursClean);
        assert!(report.was_clean(), "{name}: {report}");
        check_as_kafka(&again, partition, &name);
        checked += 1;
    }
    assert!(checked > 20, "{checked} fixtures");
}

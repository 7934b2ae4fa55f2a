//! The snapshots in directories that Apache Kafka wrote (`tests/fixtures/kafka`): read, and derived from the batches.

use std::path::{Path, PathBuf};

use super::*;
use crate::batch::{RecordBatch, UnverifiedBatch};
use crate::segment::FileName;
use crate::storage::{Disk, EntryKind, Storage, read_small_file};

/// The files of a partition in a fixture.
struct Files {
    dir: PathBuf,
    logs: Vec<Offset>,
    snapshots: Vec<Offset>,
}

fn partitions() -> Vec<Files> {
    let disk = Disk::new();
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = disk.list(path).unwrap().into_iter();
        let entries = entries.filter(|entry| entry.kind == EntryKind::Directory);
        entries.map(|entry| path.join(entry.name)).collect()
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kafka");
    let mut found = Vec::new();
    for dir in folders(&root)
        .iter()
        .flat_map(|fixture| folders(&fixture.join("log")))
    {
        let (mut logs, mut snapshots) = (Vec::new(), Vec::new());
        for entry in disk.list(&dir).unwrap() {
            match FileName::parse(&entry.name.to_string_lossy()) {
                FileName::Log(base) => logs.push(base),
                FileName::Snapshot(end) => snapshots.push(end),
                _ => {}
            }
        }
        logs.sort();
        found.push(Files {
            dir,
            logs,
            snapshots,
        });
    }
    found
}

impl Files {
    fn read(&self, name: FileName) -> Vec<u8> {
        let path = self.dir.join(name.to_string());
        read_small_file(&Disk::new(), &path, 1 << 30)
            .unwrap()
            .unwrap()
    }

    /// Up to the first that is torn.
    fn batches(&self) -> impl Iterator<Item = RecordBatch> {
        let logs = self.logs.iter().map(|base| self.read(FileName::Log(*base)));
        let batches = logs.flat_map(|log| UnverifiedBatch::split(log.into()));
        batches.map_while(|batch| batch.and_then(UnverifiedBatch::verify).ok())
    }
}

/// Kafka writes entries in the order of a hash.
fn by_id(snapshot: &[u8]) -> Vec<u8> {
    let (entries, _) = snapshot[10..].as_chunks::<46>();
    let mut entries = entries.to_vec();
    entries.sort_unstable();
    sealed(
        i32::try_from(entries.len()).unwrap(),
        entries.as_flattened(),
    )
}

#[test]
fn every_snapshot_of_kafka_is_written_back_byte_for_byte() {
    let mut entries = 0;
    for files in partitions() {
        for end in &files.snapshots {
            let bytes = files.read(FileName::Snapshot(*end));
            let read = Producers::from_snapshot(&bytes, *end).unwrap();
            let what = format!("{} {end}", files.dir.display());
            assert_eq!(read.to_snapshot(), by_id(&bytes), "{what}");
            entries += read.list().len();
        }
    }
    assert!(entries > 20, "the fixtures have producers: {entries}");
}

#[test]
fn the_batches_below_a_snapshot_of_kafka_give_that_snapshot() {
    let mut compared = 0;
    for files in partitions() {
        let name = files.dir.to_string_lossy().into_owned();
        // Where batches are gone, or compaction lowered their times, a snapshot knows more than the rest of them.
        let is_whole = files.logs.first() == Some(&Offset::ZERO)
            && !name.contains("compacted")
            && !name.contains("everything");
        if !is_whole {
            continue;
        }
        let mut producers = Producers::default();
        for batch in files.batches() {
            let header = batch.header();
            if files.snapshots.contains(&header.base_offset()) {
                let snapshot = files.read(FileName::Snapshot(header.base_offset()));
                assert_eq!(producers.to_snapshot(), by_id(&snapshot), "{name}");
                compared += 1;
            }
            let marker = batch.control_marker().unwrap();
            producers.apply(header, marker.as_ref());
        }
        let end = files
            .batches()
            .last()
            .map(|batch| batch.header().next_offset());
        if let Some(end) = end.filter(|end| files.snapshots.contains(end)) {
            let snapshot = files.read(FileName::Snapshot(end));
            assert_eq!(producers.to_snapshot(), by_id(&snapshot), "{name} {end}");
            compared += 1;
        }
    }
    assert!(compared > 20, "the fixtures have snapshots: {compared}");
}

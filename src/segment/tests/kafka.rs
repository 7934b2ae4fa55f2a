//! Segments that Apache Kafka wrote (`tests/fixtures/kafka`): walked, and their indexes held against ours.

use super::*;
use crate::segment::rebuild::rebuild;
use crate::segment::{SegmentFiles, SegmentShape};
use crate::storage::{Disk, EntryKind};

/// One segment of a fixture.
struct Found {
    home: SegmentHome,
    base: Offset,
    /// Its last segment may end in what a kill has left.
    is_torn: bool,
    what: String,
}

fn folders(disk: &Disk, path: &Path) -> Vec<PathBuf> {
    let entries = disk.list(path).expect("listed");
    let mut folders: Vec<PathBuf> = entries
        .into_iter()
        .filter(|entry| entry.kind == EntryKind::Directory)
        .map(|entry| path.join(entry.name))
        .collect();
    folders.sort();
    folders
}

fn segments() -> Vec<Found> {
    let disk = Disk::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kafka");
    let mut found = Vec::new();
    for fixture in folders(&disk, &root) {
        let name = fixture
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        for partition in folders(&disk, &fixture.join("log")) {
            let home = SegmentHome {
                storage: Arc::new(disk.clone()),
                dir: Arc::from(partition.as_path()),
                open_files: Arc::new(OpenFiles::new(4)),
            };
            let names = disk.list(&partition).expect("listed");
            let names = names
                .iter()
                .map(|entry| FileName::parse(&entry.name.to_string_lossy()));
            let bases = names.filter_map(|name| match name {
                FileName::Log(base) => Some(base),
                _ => None,
            });
            found.extend(bases.map(|base| Found {
                home: home.clone(),
                base,
                is_torn: name.contains("unclean"),
                what: format!("{name} {} {base}", partition.display()),
            }));
        }
    }
    assert!(found.len() > 50, "the fixtures are there");
    found
}

#[test]
fn segments_of_kafka_walk_to_their_end_and_their_indexes_answer_as_ours_do() {
    let mut sealed = 0;
    for Found {
        home,
        base,
        is_torn,
        what,
    } in segments()
    {
        let mut batches = Vec::new();
        let rule = OffsetRule::Ascending;
        let rebuilt = rebuild(&home, base, rule, settings(), Offset::ZERO, &mut |found| {
            batches.push(found.clone());
            Ok(())
        })
        .expect("readable");
        assert!(
            rebuilt.bad.is_none() || is_torn,
            "{what}: {:?}",
            rebuilt.bad
        );
        let shape = SegmentShape {
            base,
            end: rebuilt.end,
            size_bytes: rebuilt.valid.get(),
            sealed_at: None,
        };
        let files = SegmentFiles::sealed(home, shape);
        assert_eq!(
            files
                .largest_timestamp()
                .expect("known")
                .filter(|_| !is_torn),
            rebuilt.largest_timestamp().filter(|_| !is_torn),
            "{what}"
        );
        for batch in &batches {
            let last = batch.batch.last_offset();
            let mut walker = files.walk_from(last, rule, NO_LIMIT).expect("a walker");
            let found = find(&mut walker, last.get()).expect("it is there");
            assert_eq!(found.position, batch.position, "{what}");
            let Some(at) = batch.batch.max_timestamp() else {
                continue;
            };
            let mut walker = files.walk_from_time(at, rule, NO_LIMIT).expect("a walker");
            let walked = walk_all(&mut walker, &[]);
            let found = walked
                .batches
                .iter()
                .find(|found| found.batch.max_timestamp() >= Some(at));
            let first = batches
                .iter()
                .find(|found| found.batch.max_timestamp() >= Some(at));
            assert_eq!(
                found.map(|b| b.position),
                first.map(|b| b.position),
                "{what}"
            );
        }
        if !is_torn {
            check_entries_stand_at_batches(&files, &batches, &what);
            files.aborted(base..rebuilt.end).expect(&what);
            sealed += 1;
        }
    }
    assert!(sealed > 50);
}

/// Kafka's own files fit, and each of its entries names a batch.
fn check_entries_stand_at_batches(files: &SegmentFiles, batches: &[WalkedBatch], what: &str) {
    let indexes = files.read_all_indexes().expect("readable");
    let (offsets, times, _) = indexes.unwrap_or_else(|| panic!("{what}: the indexes fit"));
    for entry in offsets {
        let batch = batches
            .iter()
            .find(|batch| batch.position == entry.position)
            .expect(what);
        assert_eq!(
            batch.batch.last_offset(),
            entry.last_offset(files.base()),
            "{what}"
        );
    }
    for entry in times {
        let last = entry.offset(files.base());
        let batch = batches
            .iter()
            .find(|batch| batch.batch.last_offset() == last)
            .expect(what);
        assert_eq!(batch.batch.max_timestamp(), Some(entry.timestamp), "{what}");
    }
}

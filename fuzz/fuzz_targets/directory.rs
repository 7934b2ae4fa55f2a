//! A whole log directory with faults anywhere is looked at: errors, findings and gaps, nothing else.
#![no_main]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use stratalog::inspect::{Format, PartitionDir, Target};
use stratalog::storage::{Access, EntryKind, Memory, Storage};
use stratalog::{Log, Maintenance, Record, Start, TopicOptions};

const LOG: &str = "/log";
const PARTITION: &str = "/log/t-0";

#[derive(Arbitrary, Debug)]
enum Fault {
    Write { file: u8, at: u16, bytes: Vec<u8> },
    Cut { file: u8, at: u16 },
    Remove { file: u8 },
    Replace { file: u8, bytes: Vec<u8> },
}

/// A closed log of a few segments.
static FILES: LazyLock<BTreeMap<PathBuf, Vec<u8>>> = LazyLock::new(|| {
    let storage = Arc::new(Memory::new());
    let log = Log::builder(LOG)
        .storage(Arc::clone(&storage) as _)
        .maintenance(Maintenance::Manual)
        .defaults(
            TopicOptions::default()
                .segment_bytes(1_024)
                .index_interval_bytes(100),
        )
        .open()
        .expect("a log");
    let partition = log
        .topic("t")
        .and_then(|topic| topic.partition(0))
        .expect("partition 0");
    for number in 0..40 {
        let value = format!("value {number}");
        partition.append(Record::new(&value)).expect("room");
    }
    log.close().expect("a sound disk");
    let mut files = BTreeMap::new();
    for dir in [LOG, PARTITION] {
        for entry in storage.list(Path::new(dir)).expect("a directory") {
            if entry.kind == EntryKind::File {
                let path = Path::new(dir).join(&entry.name);
                let file = storage.open(&path, Access::Read).expect("a file");
                let mut bytes = vec![0; entry.len_bytes as usize];
                file.read_at(&mut bytes, 0).expect("readable");
                files.insert(path, bytes);
            }
        }
    }
    files
});

fn spoil(files: &mut BTreeMap<PathBuf, Vec<u8>>, fault: Fault) {
    let (Fault::Write { file, .. }
    | Fault::Cut { file, .. }
    | Fault::Remove { file }
    | Fault::Replace { file, .. }) = &fault;
    let Some(path) = files
        .keys()
        .nth(usize::from(*file) % files.len().max(1))
        .cloned()
    else {
        return;
    };
    let content = files.entry(path.clone()).or_default();
    match fault {
        Fault::Write { at, bytes, .. } => {
            let at = usize::from(at) % (content.len() + 1);
            let end = content.len().min(at + bytes.len());
            content.splice(at..end, bytes);
        }
        Fault::Cut { at, .. } => content.truncate(usize::from(at)),
        Fault::Remove { .. } => drop(files.remove(&path)),
        Fault::Replace { bytes, .. } => *content = bytes,
    }
}

fuzz_target!(|faults: Vec<Fault>| {
    let mut files = FILES.clone();
    for fault in faults {
        spoil(&mut files, fault);
    }
    let storage = Arc::new(Memory::new());
    for dir in [LOG, PARTITION] {
        storage.create_dir(Path::new(dir)).expect("a new directory");
    }
    for (path, bytes) in &files {
        let file = storage.create(path).expect("a new file");
        file.write_at(bytes, 0).expect("room");
    }
    let Ok(partition) = PartitionDir::open_on(storage, Path::new(PARTITION)) else {
        return;
    };
    if let Ok(findings) = partition.verify() {
        findings.for_each(drop);
    }
    drop(partition.dump(Format::Json, &mut std::io::sink()));
    let targets = ["EARLIEST", "LATEST", "MAX_TIMESTAMP", "0"].map(|word| word.parse::<Target>());
    let targets: Vec<Target> = targets.into_iter().flatten().collect();
    drop(partition.offsets(&targets, Format::Json, &mut std::io::sink()));
    if let Ok(view) = partition.view()
        && let Ok(cursor) = view.cursor(Start::Earliest)
    {
        let mut before = None;
        for record in cursor.flatten() {
            assert!(Some(record.offset()) > before, "offsets ascend");
            before = Some(record.offset());
        }
    }
});

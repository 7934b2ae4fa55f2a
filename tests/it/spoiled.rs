//! Whole directories spoiled at random and looked at: an error or a finding, never a panic, never a made-up record, and nothing lost that no
//! gap covers.
//!
//! `SEED=` says where the seeds start, `ROUNDS=` how many are tried.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use stratalog::inspect::{Format, LogView, PartitionDir, Target};
use stratalog::storage::{Memory, Storage};
use stratalog::{ErrorKind, Start};
use tempfile::TempDir;

use crate::battery::from_environment;
use crate::kafka_fixtures::Fixture;
use crate::kafka_jury::{Jury, in_parallel};
use crate::random::Random;

const ROUNDS: u64 = 100;

/// The files of a log directory with one partition.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files_under(dir: &Path, inside: &Path, files: &mut Files) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = inside.join(path.file_name().unwrap());
        match path.is_dir() {
            true => files_under(&path, &name, files),
            false => drop(files.insert(name, std::fs::read(&path).unwrap())),
        }
    }
}

fn in_memory(files: &Files) -> Arc<Memory> {
    let storage = Arc::new(Memory::new());
    for (path, bytes) in files {
        let parent = path.parent().unwrap();
        for dir in [parent.parent(), Some(parent)].into_iter().flatten() {
            // It is there already, as a rule.
            drop(storage.create_dir(dir));
        }
        let file = storage.create(path).unwrap();
        file.write_at(bytes, 0).unwrap();
    }
    storage
}

/// Name, partition directory and files of each fixture, under `/log`.
fn fixtures() -> Vec<(String, PathBuf, Files)> {
    Fixture::all()
        .into_iter()
        .map(|fixture| {
            let mut files = Files::new();
            files_under(&fixture.log_directory(), Path::new("/log"), &mut files);
            let folder = fixture.partition_directory();
            let dir = Path::new("/log").join(folder.file_name().unwrap());
            (fixture.name, dir, files)
        })
        .collect()
}

/// One fault in a file; says which.
fn spoil(files: &mut Files, name: &Path, random: &mut Random) -> String {
    let names: Vec<PathBuf> = files.keys().cloned().collect();
    let other = random.one_of(&names);
    let donor = files[other].clone();
    let bytes = files.get_mut(name).unwrap();
    let len = bytes.len() as u64;
    let at = random.below(len.max(1)) as usize;
    let until = bytes.len().min(at + random.below(600) as usize);
    let what = match random.below(7) {
        0 if len > 0 => {
            bytes[at] ^= 1 << random.below(8);
            "flipped"
        }
        1 => {
            bytes.truncate(at);
            "cut"
        }
        2 => {
            bytes[at..until].fill(0);
            "zeroed"
        }
        3 => {
            let rubbish = random.next().to_be_bytes();
            bytes.splice(at..at, rubbish);
            "inserted into"
        }
        4 => {
            bytes.drain(at..until);
            "drained"
        }
        5 => {
            *bytes = donor;
            "replaced"
        }
        _ => {
            files.remove(name);
            "removed"
        }
    };
    format!("{} {what} at {at}", name.display())
}

fn dump(partition: &PartitionDir) -> Option<Vec<String>> {
    let mut out = Vec::new();
    match partition.dump(Format::Json, &mut out) {
        Ok(_) => {}
        Err(error) => {
            assert_ne!(error.kind(), ErrorKind::Io, "{error}");
            return None;
        }
    }
    let text = String::from_utf8(out).unwrap();
    Some(text.lines().map(str::to_owned).collect())
}

/// Everything that looks, on a directory that may hold anything.
fn look_at_everything(storage: &Arc<Memory>, dir: &Path) -> Option<Vec<String>> {
    let storage = || Arc::clone(storage) as Arc<dyn Storage>;
    let partition = PartitionDir::open_on(storage(), dir).ok()?;
    if let Ok(findings) = partition.verify() {
        findings.for_each(drop);
    }
    let targets = ["EARLIEST", "LATEST", "MAX_TIMESTAMP", "0", "1700000000500"];
    let targets: Vec<Target> = targets.iter().map(|word| word.parse().unwrap()).collect();
    drop(partition.offsets(&targets, Format::Json, &mut Vec::new()));
    if let Ok(view) = partition.view() {
        drop(view.refresh());
        if let Ok(cursor) = view.cursor(Start::Earliest) {
            let mut before = None;
            for record in cursor.flatten() {
                assert!(Some(record.offset()) > before, "offsets ascend");
                before = Some(record.offset());
            }
        }
    }
    if let Ok(view) = LogView::open(storage(), dir.parent().unwrap()) {
        drop(view.topics());
    }
    dump(&partition)
}

/// Checks what was dumped of a directory with one fault against what was there before: every record is a true one, and what is not there
/// lies in a gap. Offsets are outside of the checksum: in a log with holes, a batch may move into one, and only that.
fn check(whole: &[String], found: &[String]) {
    let records = |lines: &[String]| -> BTreeMap<u64, Value> {
        let lines = lines.iter().map(|line| serde_json::from_str(line).unwrap());
        let records = lines.filter(|line: &Value| line["kind"] == "record");
        records
            .map(|mut line| (line["offset"].take().as_u64().unwrap(), line))
            .collect()
    };
    let (was, is) = (records(whole), records(found));
    let mut moved = 0;
    for (offset, record) in &is {
        if was.get(offset) != Some(record) {
            assert!(
                was.values().any(|known| known == record),
                "made up: {offset} {record}"
            );
            moved += 1;
        }
    }
    let gaps = gaps(found);
    let lost = was.keys().filter(|offset| !is.contains_key(offset));
    let untold = lost.filter(|offset| !gaps.iter().any(|(from, to)| (from..to).contains(offset)));
    let untold: Vec<_> = untold.collect();
    assert!(
        untold.len() <= moved,
        "lost without a word: {untold:?}, {gaps:?}"
    );
}

/// The ranges that the error lines take away.
fn gaps(lines: &[String]) -> Vec<(u64, u64)> {
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["kind"] == "error")
        .map(|line| {
            let to = line["to"].as_u64().unwrap_or(u64::MAX);
            (line["from"].as_u64().unwrap(), to)
        })
        .collect()
}

#[test]
#[ignore = "needs Java and Maven"]
fn kafka_jury_reads_nothing_of_a_spoiled_directory_that_is_not_read_here_or_in_a_gap() {
    let jury = Jury::summon();
    let fixtures = fixtures();
    let first = from_environment("SEED", 0);
    let seeds: Vec<u64> = (first..first + from_environment("ROUNDS", ROUNDS)).collect();
    let untold = in_parallel(&seeds, |seed| {
        let mut random = Random(*seed);
        let (name, dir, files) = random.one_of(&fixtures);
        let mut spoiled = files.clone();
        let logs: Vec<PathBuf> = files
            .keys()
            .filter(|path| path.extension().is_some_and(|e| e == "log"))
            .cloned()
            .collect();
        let log = random.one_of(&logs).clone();
        let what = spoil(&mut spoiled, &log, &mut random);
        let disk = TempDir::new().unwrap();
        for (path, bytes) in &spoiled {
            let path = disk.path().join(path.strip_prefix("/").unwrap());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let dir = disk.path().join(dir.strip_prefix("/").unwrap());
        let found = dump(&PartitionDir::open(&dir).unwrap()).unwrap();
        let gaps = gaps(&found);
        let found: BTreeSet<String> = found.into_iter().collect();
        let mut untold = jury.dump_as_far_as_it_goes(&dir);
        untold.retain(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            let offset = record["offset"].as_u64().unwrap_or(0);
            record["kind"] == "record"
                && !found.contains(line)
                && !gaps.iter().any(|(from, to)| (*from..*to).contains(&offset))
        });
        for line in untold.iter().take(2) {
            println!("SEED={seed} {name} {what}: {line} {gaps:?}");
        }
        untold.len()
    });
    assert_eq!(untold.iter().sum::<usize>(), 0);
}

#[test]
fn spoiled_directories_cost_errors_and_gaps_and_nothing_else() {
    let fixtures = fixtures();
    let first = from_environment("SEED", 0);
    for seed in first..first + from_environment("ROUNDS", ROUNDS) {
        let mut random = Random(seed);
        let (name, dir, files) = random.one_of(&fixtures);
        let whole = dump(&PartitionDir::open_on(in_memory(files), dir).unwrap()).unwrap();
        let mut spoiled = files.clone();
        let faults = 1 + random.below(3);
        let what: Vec<String> = (0..faults)
            .map(|_| {
                let names: Vec<PathBuf> = spoiled.keys().cloned().collect();
                let name = random.one_of(&names).clone();
                spoil(&mut spoiled, &name, &mut random)
            })
            .collect();
        println!("SEED={seed} {name}: {what:?}");
        if let Some(found) = look_at_everything(&in_memory(&spoiled), dir) {
            // Only one fault in place: bytes may have moved to where they are true and wrong.
            let is_in_place =
                faults == 1 && ["flipped", "zeroed"].iter().any(|w| what[0].contains(w));
            if is_in_place {
                check(&whole, &found);
            }
        }
    }
}

//! Damage to logs that we wrote: bit flips, zeroed and stale sectors, cuts, missing, swapped and foreign files, in sealed and active
//! segments and beside them, after a close and after a kill; looked at, verified, dumped, opened for writing.

mod faults;
mod oracle;
mod written;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stratalog::inspect::{Finding, FindingKind, Format, PartitionDir};
use stratalog::storage::{Memory, Storage};
use stratalog::{Log, Maintenance, Offset, Partition, Record, Start, Timestamp};

use crate::battery::{Cases, seeds};
use crate::random::Random;
use faults::spoil;
use oracle::{Damage, Read, check_kept, read};
use written::{End, FOLDER, Files, KINDS, Kind, LOG, Plan, Written, clock, files_in};

/// Logs of each kind and end, each in a few forms.
fn logs() -> Vec<Written> {
    let mut logs = Vec::new();
    for kind in KINDS {
        for end in [End::Closed, End::Killed] {
            for seed in 1..=3 {
                logs.push(written::write(Plan {
                    kind,
                    end,
                    seed,
                    steps: 40,
                    packed_one_in: 3,
                }));
            }
        }
    }
    logs
}

/// A disk with a log directory on it.
struct Place {
    storage: Arc<Memory>,
    log: PathBuf,
}

impl Place {
    /// In another boot, or in the one in which it was written.
    fn new(written: &Written, files: &Files, is_same_boot: bool) -> Self {
        let (storage, top) = match is_same_boot {
            true => (Arc::clone(&written.storage), "/case"),
            false => (Arc::new(Memory::new()), "/"),
        };
        let moved = |path: &Path| Path::new(top).join(path.strip_prefix("/").unwrap());
        for dir in [
            Path::new(top),
            &moved(Path::new(LOG)),
            &moved(Path::new(FOLDER)),
        ] {
            if dir != Path::new("/") {
                storage.create_dir(dir).unwrap();
            }
        }
        for (path, bytes) in files {
            let file = storage.create(&moved(path)).unwrap();
            file.write_at(bytes, 0).unwrap();
        }
        Self {
            storage,
            log: moved(Path::new(LOG)),
        }
    }

    fn partition(&self) -> PartitionDir {
        let storage = Arc::clone(&self.storage) as Arc<dyn Storage>;
        PartitionDir::open_on(storage, &self.log.join("t-0")).unwrap()
    }

    fn open(&self) -> stratalog::Result<Log> {
        Log::builder(&self.log)
            .storage(Arc::clone(&self.storage) as _)
            .clock(clock())
            .maintenance(Maintenance::Manual)
            .defaults(written::options())
            .open()
    }

    fn files(&self) -> Files {
        files_in(&*self.storage, &self.log)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let folder = self.log.join("t-0");
        for dir in [&folder, &self.log] {
            for entry in self.storage.list(dir).into_iter().flatten() {
                drop(self.storage.remove(&dir.join(entry.name)));
            }
            drop(self.storage.remove_dir(dir));
        }
        drop(self.storage.remove_dir(Path::new("/case")));
    }
}

fn topic_partition(log: &Log) -> Partition {
    log.topic("t").unwrap().partition(0).unwrap()
}

fn read_log(partition: &Partition) -> Read {
    let marks = partition.watermarks();
    let cursor = partition.cursor(Start::Earliest).unwrap();
    read(cursor, marks.start.get()..marks.end.get())
}

/// What is asked beside the records, where no index of times and of aborted transactions was touched: Kafka's have no checksum, and those of
/// sealed segments are believed when they look right.
fn answers(partition: &Partition, are_indexes_whole: bool) -> Vec<String> {
    let replica = partition.replica();
    let end = partition.watermarks().end;
    let mut answers = vec![format!("{:?}", partition.watermarks().last_stable)];
    for producer in replica.producers() {
        // How many batches are remembered, and with which time, hangs on what was replayed.
        let last = producer.batches.last();
        let last = last.map(|last| (last.first_sequence, last.first_offset, last.last_offset));
        answers.push(format!(
            "{} {} {:?} {:?} {last:?}",
            producer.id,
            producer.epoch,
            producer.coordinator_epoch,
            producer.transaction_first_offset,
        ));
    }
    if !are_indexes_whole {
        return answers;
    }
    answers.push(format!("{:?}", replica.aborted(Offset::ZERO..end).unwrap()));
    for millis in [0, 100, 300, 700, 1_000, 5_000] {
        let at = Timestamp::from_millis(1_700_000_000_000 + millis);
        answers.push(format!("{:?}", partition.offset_for(at).unwrap()));
    }
    answers
}

/// One case: what was done, and to which log.
struct Case<'a> {
    written: &'a Written,
    /// A log whose segment stands in the place of one of this one's.
    other: Option<&'a Written>,
    files: Files,
    is_same_boot: bool,
    /// A derived file that is right in another place, or says "nothing" by not being there: nothing in Kafka's format tells.
    is_right_elsewhere: bool,
}

impl Case<'_> {
    fn run(&self) {
        let damage = Damage::of(self.written, &self.files, self.other);
        let place = Place::new(self.written, &self.files, self.is_same_boot);
        let viewed = self.look(&place, &damage);
        println!("{damage:?}, viewed {:?} {:?}", viewed.offsets, viewed.gaps);
        let log = match place.open() {
            Ok(log) => log,
            Err(error) => {
                let is_named = error.to_string().contains("stratalog.topics");
                assert!(is_named, "cannot be opened: {error}");
                return;
            }
        };
        println!("{}", log.recovery());
        check_kept(
            self.written,
            &self.files,
            &rebased(place.files(), &place.log),
        );
        let partition = topic_partition(&log);
        let opened = read_log(&partition);
        damage.check(&opened);
        // A writer derives a history of leader epochs that is not there, and holds batches against it.
        let is_history_whole = damage.are_whole(&["leader-epoch-checkpoint"]);
        if damage.are_facts_whole() && is_history_whole && self.other.is_none() {
            assert_eq!(opened.records, viewed.records, "viewed and opened");
            assert_eq!(opened.lost(), viewed.lost(), "viewed and opened");
        }
        if damage.is_harmless() && damage.are_facts_whole() && !self.is_right_elsewhere {
            let are_indexes_whole = damage.are_whole(&["timeindex", "txnindex"]);
            let found = answers(&partition, are_indexes_whole);
            assert_eq!(found, self.sound_answers(are_indexes_whole), "answers");
        }
        let ticket = partition.append(Record::new("behind it")).unwrap();
        assert_eq!(ticket.offset().get(), opened.offsets.end);
        log.close().unwrap();
        drop(log);
        let log = place.open().unwrap();
        let again = read_log(&topic_partition(&log));
        let mut records = again.records.clone();
        let last = records.pop_last().unwrap();
        assert_eq!(last.0, ticket.offset().get());
        assert!(last.1.contains("behind it"), "{last:?}");
        assert_eq!(records, opened.records, "opened again");
        assert_eq!(again.lost(), opened.lost(), "opened again");
    }

    /// Looks, verifies, dumps: nothing is written, and all three say the same.
    fn look(&self, place: &Place, damage: &Damage<'_>) -> Read {
        let partition = place.partition();
        let view = partition.view().unwrap();
        let marks = view.watermarks();
        let cursor = view.cursor(Start::Earliest).unwrap();
        let viewed = read(cursor, marks.start.get()..marks.end.get());
        damage.check(&viewed);
        let findings: Vec<Finding> = partition.verify().unwrap().map(Result::unwrap).collect();
        let is_damage = findings.iter().any(Finding::is_damage);
        // Without the facts nobody knows what was durable.
        if damage.is_loss() && damage.are_facts_whole() && self.other.is_none() {
            assert!(is_damage, "verify finds nothing: {findings:?}");
        }
        if damage.is_harmless() && !self.is_right_elsewhere {
            let is_about_records = |finding: &Finding| {
                finding.gap().is_some() || finding.kind() == FindingKind::Missing
            };
            assert!(!findings.iter().any(is_about_records), "{findings:?}");
        }
        let mut lines = Vec::new();
        let summary = partition.dump(Format::Json, &mut lines).unwrap();
        assert!(summary.damaged == 0 || !damage.is_harmless(), "{summary:?}");
        assert_eq!(
            rebased(place.files(), &place.log),
            self.files,
            "looking writes"
        );
        viewed
    }

    /// What the same log answers without damage.
    fn sound_answers(&self, are_indexes_whole: bool) -> Vec<String> {
        let place = Place::new(self.written, &self.written.files, false);
        answers(&topic_partition(&place.open().unwrap()), are_indexes_whole)
    }
}

/// Of a fault: whether it leaves a whole derived file that is none of this place. Kafka's indexes of times and of aborted transactions, its
/// snapshots, and the list of segments name no place; and no index of aborted transactions means that there are none.
fn is_right_elsewhere(what: &str) -> bool {
    let is_moved = what.contains("swapped with") || what.contains("of another log");
    let names_no_place = ["timeindex", "txnindex", "snapshot", "stratalog.segments"];
    is_moved && names_no_place.iter().any(|name| what.contains(name))
        || what.ends_with("txnindex removed")
}

/// Under the names that they had.
fn rebased(files: Files, log: &Path) -> Files {
    files
        .into_iter()
        .map(|(path, bytes)| (Path::new(LOG).join(path.strip_prefix(log).unwrap()), bytes))
        .collect()
}

/// Promises 6, 7, 13, 15 and 18.
#[test]
fn damage_costs_the_damaged_batches_and_is_told_to_everybody_alike() {
    let logs = logs();
    let cases = Cases::default();
    let mut failed = Vec::new();
    for seed in seeds(500, 20_000) {
        let mut random = Random(seed);
        let written = random.one_of(&logs);
        let other = random.one_of(&logs);
        let mut files = written.files.clone();
        let mut what = Vec::new();
        for _ in 0..1 + random.below(3) / 2 {
            what.push(spoil(&mut files, written, other, &mut random));
            // A segment in a wrong place, and rubbish behind one, are no faults of a few bytes: another one in it would leave whole batches that
            // nobody can find.
            let alone = [".log swapped", ".log of", ".log longer"];
            let is_alone = |what: &String| alone.iter().any(|alone| what.contains(alone));
            if what.iter().any(is_alone) {
                break;
            }
        }
        let is_same_boot = random.one_in(2);
        println!(
            "SEED={seed} {:?} same boot: {is_same_boot} {what:?}",
            written.plan
        );
        let is_foreign = |what: &String| what.contains(".log of another log");
        let other = what.iter().any(is_foreign).then_some(other);
        let case = Case {
            written,
            other,
            files,
            is_same_boot,
            is_right_elsewhere: what.iter().any(|what| is_right_elsewhere(what)),
        };
        // All that fail are told, not the first alone.
        if catch_unwind(AssertUnwindSafe(|| case.run())).is_err() {
            failed.push(seed);
        }
        cases.count();
    }
    cases.report("damage", 1);
    assert!(failed.is_empty(), "failing seeds: {failed:?}");
}

/// What the fuzz targets start from. Written once and kept, so that a kept input means the same at every commit.
#[test]
#[ignore = "overwrites fuzz/base"]
fn write_the_base_of_the_fuzz_targets() {
    let written = written::write(Plan {
        kind: Kind::Transactions,
        end: End::Closed,
        seed: 7,
        steps: 48,
        packed_one_in: 8,
    });
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/base");
    for (path, bytes) in &written.files {
        let to = base.join(path.strip_prefix(LOG).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, bytes).unwrap();
    }
    println!("{FOLDER}: {:?}", written.offsets);
}

//! A whole log directory on a disk in memory, and everything that anybody does with one: looked at, read, opened for writing, appended to,
//! opened again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use stratalog::inspect::{Format, LogView, PartitionDir, Target};
use stratalog::storage::{Access, EntryKind, Memory, Storage};
use stratalog::{
    Cursor, ErrorKind, Log, Maintenance, Offset, Partition, Record, Start, StoredRecord, Timestamp,
};

pub const LOG: &str = "/log";
pub const PARTITION: &str = "/log/t-0";

/// What is neither the log directory nor below it: nobody may touch it.
const OUTSIDE: &str = "/outside";

pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Records by offset: key and value.
pub type Records = BTreeMap<u64, (Option<Vec<u8>>, Option<Vec<u8>>)>;

macro_rules! base_files {
    ($($name:literal)*) => { [$(($name, include_bytes!(concat!("../base/", $name)).as_slice())),*] };
}

/// A closed log of five segments: codecs, producers, committed and aborted transactions, epochs. Kept as files, so that an input means
/// the same at every run.
const BASE: &[(&str, &[u8])] = &base_files! {
    ".kafka_cleanshutdown" "log-start-offset-checkpoint" "recovery-point-offset-checkpoint"
    "replication-offset-checkpoint" "stratalog.owner" "stratalog.topics" "t-0/00000000000000000000.index"
    "t-0/00000000000000000000.log" "t-0/00000000000000000000.timeindex" "t-0/00000000000000000000.txnindex"
    "t-0/00000000000000000028.index" "t-0/00000000000000000028.log" "t-0/00000000000000000028.snapshot"
    "t-0/00000000000000000028.timeindex" "t-0/00000000000000000056.index" "t-0/00000000000000000056.log"
    "t-0/00000000000000000056.snapshot" "t-0/00000000000000000056.timeindex"
    "t-0/00000000000000000056.txnindex" "t-0/00000000000000000086.index" "t-0/00000000000000000086.log"
    "t-0/00000000000000000086.snapshot" "t-0/00000000000000000086.timeindex"
    "t-0/00000000000000000086.txnindex" "t-0/00000000000000000114.index" "t-0/00000000000000000114.log"
    "t-0/00000000000000000114.snapshot" "t-0/00000000000000000114.timeindex"
    "t-0/00000000000000000118.snapshot" "t-0/leader-epoch-checkpoint" "t-0/partition.metadata"
    "t-0/stratalog.facts" "t-0/stratalog.segments"
};

/// The end of the base.
pub const END: u64 = 118;

/// The base, by path.
pub fn base() -> Files {
    let path = |name: &&str| Path::new(LOG).join(name);
    BASE.iter()
        .map(|(name, bytes)| (path(name), bytes.to_vec()))
        .collect()
}

/// What a reader gets of the base.
pub static RECORDS: LazyLock<Records> = LazyLock::new(|| {
    let disk = Disk::new();
    disk.put(&base());
    let view = disk.partition().view().expect("the base can be looked at");
    let cursor = view.cursor(Start::Earliest).expect("it has a start");
    content(cursor.map(|record| record.expect("the base is whole")))
});

fn content(records: impl Iterator<Item = StoredRecord>) -> Records {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    records
        .map(|record| {
            let content = (owned(record.key()), owned(record.value()));
            (record.offset().get(), content)
        })
        .collect()
}

/// What must come out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// Every record: nothing but derived files was touched.
    Everything,
    /// Records of the base at their offsets, or gaps.
    NothingMadeUp,
    /// Anything that is no panic: bytes were put in with their checksums.
    Anything,
}

/// A disk in memory with a log directory on it.
pub struct Disk {
    storage: Arc<Memory>,
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

impl Disk {
    pub fn new() -> Self {
        let storage = Arc::new(Memory::new());
        for dir in [LOG, PARTITION, OUTSIDE] {
            storage.create_dir(Path::new(dir)).expect("a new name");
        }
        let file = storage.create(&Path::new(OUTSIDE).join("file"));
        let written = file.and_then(|file| file.write_at(b"not theirs", 0));
        written.expect("an endless disk");
        Self { storage }
    }

    pub fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    pub fn put(&self, files: &Files) {
        for (path, bytes) in files {
            let file = self.storage.create(path).expect("a new name");
            file.write_at(bytes, 0).expect("an endless disk");
        }
    }

    fn partition(&self) -> PartitionDir {
        let storage = Arc::clone(&self.storage) as Arc<dyn Storage>;
        PartitionDir::open_on(storage, Path::new(PARTITION)).expect("the folder is there")
    }

    /// Everything that anybody may do with the directory.
    pub fn use_it(&self, expect: Expect) {
        self.look(expect);
        let appended = self.write(expect, &[]);
        self.write(expect, &appended);
        self.check_outside();
    }

    /// Looks without writing.
    fn look(&self, expect: Expect) {
        let partition = self.partition();
        if let Ok(findings) = partition.verify() {
            findings.for_each(drop);
        }
        drop(partition.dump(Format::Json, &mut std::io::sink()));
        let words = ["EARLIEST", "LATEST", "MAX_TIMESTAMP", "0", "1700000000500"];
        let targets: Vec<Target> = words.iter().filter_map(|word| word.parse().ok()).collect();
        drop(partition.offsets(&targets, Format::Json, &mut std::io::sink()));
        match partition.view() {
            Ok(view) => {
                let read = |start| view.cursor(start);
                check(read, view.watermarks().end, expect, &[]);
                drop(view.segments());
                drop(view.refresh());
            }
            Err(error) => assert_ne!(expect, Expect::Everything, "{error}"),
        }
        let storage = Arc::clone(&self.storage) as Arc<dyn Storage>;
        if let Ok(view) = LogView::open(storage, Path::new(LOG)) {
            for topic in view.topics() {
                for index in topic.partitions() {
                    drop(topic.partition(index));
                }
            }
        }
    }

    /// Opens for writing, reads, appends, closes. `before` are records that earlier opens appended; it gives them and the new one.
    fn write(&self, expect: Expect, before: &[u64]) -> Vec<u64> {
        let log = Log::builder(LOG)
            .storage(Arc::clone(&self.storage) as _)
            .maintenance(Maintenance::Manual)
            .open();
        let log = match log {
            Ok(log) => log,
            Err(error) => {
                assert_ne!(expect, Expect::Everything, "{error}");
                assert!(before.is_empty(), "it opened once: {error}");
                return Vec::new();
            }
        };
        drop(log.recovery().to_string());
        let mut appended = before.to_vec();
        for topic in log.topics() {
            for partition in topic.partitions() {
                let is_base = topic.name().as_str() == "t" && partition.index() == 0;
                if is_base {
                    let end = partition.watermarks().end;
                    check(|start| partition.cursor(start), end, expect, before);
                    for offset in before {
                        let offset = Offset::new(*offset).expect("it was given");
                        let record = partition.get(offset).expect("it was appended");
                        assert_eq!(record.value(), Some(&b"appended"[..]));
                    }
                }
                look_around(&partition);
                if let Ok(ticket) = partition.append(Record::new("appended"))
                    && is_base
                {
                    let record = partition.get(ticket.offset()).expect("it was appended");
                    assert_eq!(record.value(), Some(&b"appended"[..]));
                    appended.push(ticket.offset().get());
                }
            }
        }
        drop(log.close());
        appended
    }

    fn check_outside(&self) {
        let mut names: Vec<_> = self
            .storage
            .list(Path::new("/"))
            .expect("the top")
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        names.sort();
        assert_eq!(names, ["log", "outside"]);
        let outside = self.storage.list(Path::new(OUTSIDE)).expect("outside");
        assert_eq!(outside.len(), 1);
        assert!(outside.iter().all(|entry| entry.kind == EntryKind::File));
        let path = Path::new(OUTSIDE).join("file");
        let file = self.storage.open(&path, Access::Read).expect("outside");
        let mut content = [0; 11];
        assert_eq!(file.read_at(&mut content, 0).expect("readable"), 10);
        assert_eq!(&content[..10], b"not theirs");
    }
}

/// What a broker asks.
fn look_around(partition: &Partition) {
    let replica = partition.replica();
    drop(replica.producers());
    for (epoch, _) in replica.epochs() {
        assert!(
            replica
                .end_offset_for_epoch(epoch)
                .is_none_or(|(known, _)| known <= epoch)
        );
    }
    drop(replica.aborted(Offset::ZERO..partition.watermarks().end));
    drop(partition.plan_retention(&stratalog::Retention::default()));
}

/// Reads from everywhere.
fn check(
    read: impl Fn(Start) -> stratalog::Result<Cursor>,
    end: Offset,
    expect: Expect,
    appended: &[u64],
) {
    let found = match read(Start::Earliest) {
        Ok(cursor) => whole(cursor, expect),
        Err(error) => {
            assert_ne!(expect, Expect::Everything, "{error}");
            return;
        }
    };
    // Where the end was lost with the files that tell it, an append may take the offset of a record that is gone.
    let is_base = |offset: &u64| *offset < END && !appended.contains(offset);
    match expect {
        Expect::Everything => {
            let found = found.iter().filter(|(offset, _)| is_base(offset));
            assert!(found.eq(RECORDS.iter()), "records are missing");
        }
        Expect::NothingMadeUp => {
            for (offset, record) in found.iter().filter(|(offset, _)| is_base(offset)) {
                assert_eq!(RECORDS.get(offset), Some(record), "offset {offset}");
            }
        }
        Expect::Anything => {}
    }
    let at = |offset: u64| Start::At(Offset::new(offset).unwrap_or_default());
    let time = |millis| Start::Timestamp(Timestamp::from_millis(millis));
    let starts = [
        at(0),
        at(55),
        at(100),
        at(117),
        at(end.get().saturating_sub(1)),
        Start::Latest,
        time(0),
        time(1_700_000_000_300),
        time(i64::MAX),
    ];
    for start in starts {
        let Ok(mut cursor) = read(start) else {
            continue;
        };
        let first = cursor.next();
        if let (Start::At(offset), Expect::Everything) = (start, expect)
            && let Some((least, _)) = found.range(offset.get()..).next()
        {
            let first = first.expect("there is one").expect("it is readable");
            assert_eq!(first.offset().get(), *least);
        }
    }
}

/// All records of a cursor; each gap once, and offsets that ascend.
fn whole(cursor: Cursor, expect: Expect) -> Records {
    let mut behind = 0;
    let mut found = Vec::new();
    let mut errors = 0;
    for record in cursor {
        match record {
            Ok(record) => {
                assert!(record.offset().get() >= behind, "offsets ascend");
                behind = record.offset().get() + 1;
                found.push(record);
                errors = 0;
            }
            Err(error) => {
                assert_ne!(expect, Expect::Everything, "{error}");
                match error.gap() {
                    Some(gap) => {
                        assert!(gap.from() < gap.to() && gap.from().get() >= behind);
                        behind = gap.to().get();
                    }
                    None if matches!(error.kind(), ErrorKind::Io) => break,
                    None => {}
                }
                errors += 1;
                assert!(errors < 10_000, "it does not go on: {error}");
            }
        }
    }
    content(found.into_iter())
}

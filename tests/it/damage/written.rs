//! Logs as they are written, to be damaged: every codec, several segments, idempotent and transactional producers, epochs, a trim, a
//! truncation; closed, and left by a killed writer.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use stratalog::storage::{Access, EntryKind, Memory, Storage};
use stratalog::{
    AppendOutcome, Compression, ControlKind, ControlMarker, FsyncPolicy, LeaderEpoch, Level, Log,
    Maintenance, ManualClock, Offset, Partition, ProducerEpoch, ProducerId, Record, RecordBatch,
    RecordBatchBuilder, Retention, Sequence, Timestamp, TopicOptions, UnverifiedBatch,
};

use crate::random::Random;

pub(super) const LOG: &str = "/log";
pub(super) const FOLDER: &str = "/log/t-0";

/// The files of a log directory, by path.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What a writer does beside appending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Records of one batch each, and batches in every codec.
    Plain,
    /// Transactions, committed and aborted, of several producers, and epochs.
    Transactions,
    /// The start was moved into a segment.
    Trimmed,
    /// The tail was cut once and written anew, with other records.
    Truncated,
}

pub(super) const KINDS: [Kind; 4] = [
    Kind::Plain,
    Kind::Transactions,
    Kind::Trimmed,
    Kind::Truncated,
];

/// What is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) end: End,
    pub(super) seed: u64,
    /// About so many batches.
    pub(super) steps: u64,
    /// One batch in so many is packed.
    pub(super) packed_one_in: u64,
}

/// How the writer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Closed,
    /// With records above the durable end.
    Killed,
}

/// A batch in its segment.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) log: PathBuf,
    pub(super) bytes: Range<usize>,
    pub(super) offsets: Range<u64>,
    /// Offset, and all that a reader gets.
    pub(super) records: Vec<(u64, String)>,
}

/// A log directory, and what a reader of it must get.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) plan: Plan,
    /// Where it was written: the same boot for whoever opens it there.
    pub(super) storage: Arc<Memory>,
    pub(super) files: Files,
    /// What the files were at an earlier time, where they were there.
    pub(super) before: Files,
    /// Every batch of every segment, by offset.
    pub(super) batches: Vec<Placed>,
    pub(super) offsets: Range<u64>,
    /// All below was synced.
    pub(super) durable: u64,
}

/// Everything that a reader gets of a batch, by offset; nothing of a control batch.
pub(super) fn records_of(batch: &RecordBatch) -> Vec<(u64, String)> {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| bytes.escape_ascii().to_string());
    let mut records = Vec::new();
    for record in batch.records() {
        let record = record.unwrap();
        let headers: Vec<_> = record
            .headers()
            .map(|header| (header.key.to_owned(), text(header.value)))
            .collect();
        let (key, value) = (text(record.key()), text(record.value()));
        let content = format!("{key:?} {value:?} {headers:?} {:?}", record.timestamp());
        records.push((record.offset().get(), content));
    }
    if batch.is_control() {
        records.clear();
    }
    records
}

/// All files of a log directory of one partition, but for the lock and the room that is kept.
pub(super) fn files_in(storage: &dyn Storage, log: &Path) -> Files {
    let mut files = Files::new();
    for dir in [log, &log.join("t-0")] {
        for entry in storage.list(dir).unwrap() {
            let is_idle = entry.name == ".lock" || entry.name == "stratalog.reserve";
            if entry.kind == EntryKind::File && !is_idle {
                let path = dir.join(&entry.name);
                let file = storage.open(&path, Access::Read).unwrap();
                let mut bytes = vec![0; usize::try_from(entry.len_bytes).unwrap()];
                let read = file.read_at(&mut bytes, 0).unwrap();
                assert_eq!(read, bytes.len());
                files.insert(path, bytes);
            }
        }
    }
    files
}

/// Where each batch of each segment stands.
pub(super) fn placed(files: &Files) -> Vec<Placed> {
    let mut batches = Vec::new();
    let logs = files
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "log"));
    for (log, bytes) in logs {
        let mut at = 0;
        for batch in UnverifiedBatch::split(bytes.clone().into()) {
            let Ok(batch) = batch.and_then(UnverifiedBatch::verify) else {
                // Zeros that were prepared for more.
                break;
            };
            let end = at + batch.as_bytes().len();
            batches.push(Placed {
                log: log.clone(),
                bytes: at..end,
                offsets: batch.base_offset().get()..batch.next_offset().get(),
                records: records_of(&batch),
            });
            at = end;
        }
    }
    batches
}

pub(super) fn options() -> TopicOptions {
    TopicOptions::default()
        .segment_bytes(2_500)
        .index_interval_bytes(200)
        .retention(Retention::unlimited())
        .fsync(FsyncPolicy::Never)
}

fn codecs() -> [Compression; 4] {
    [
        Compression::Gzip(Level::gzip(1).unwrap()),
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd(Level::zstd(1).unwrap()),
    ]
}

pub(super) fn clock() -> Arc<ManualClock> {
    let start = Timestamp::from_millis(1_700_000_000_000);
    Arc::new(ManualClock::at(start))
}

/// One writer at work.
struct Author {
    random: Random,
    clock: Arc<ManualClock>,
    partition: Partition,
    packed_one_in: u64,
    count: u64,
    epoch: i32,
    /// Per producer its next sequence number, and whether its transaction is open.
    producers: BTreeMap<i64, (i32, bool)>,
}

impl Author {
    fn batch(&mut self) -> RecordBatchBuilder {
        let codec = match self.random.one_in(self.packed_one_in) {
            true => *self.random.one_of(&codecs()),
            false => Compression::None,
        };
        let mut batch = RecordBatchBuilder::new(codec);
        for _ in 0..1 + self.random.below(6) {
            self.fill(&mut batch);
        }
        batch
    }

    fn fill(&mut self, batch: &mut RecordBatchBuilder) {
        self.count += 1;
        let value = format!("value {} ", self.count).repeat(1 + self.random.below(8) as usize);
        let key = format!("key {}", self.random.below(10));
        let headers = [("header", Some(&b"of a record"[..])), ("none", None)];
        let mut record = Record::new(&value);
        if self.random.below(2) == 0 {
            record = record.key(&key).headers(&headers);
        }
        batch.push(record).unwrap();
    }

    fn append(&mut self) {
        self.clock
            .advance(Duration::from_millis(self.random.below(50)));
        if self.random.below(3) == 0 {
            let mut batch = RecordBatchBuilder::new(Compression::None);
            self.fill(&mut batch);
            self.partition.append_batch(&batch).unwrap();
        } else {
            let batch = self.batch();
            self.partition.append_batch(&batch).unwrap();
        }
    }

    fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch::new(self.epoch).unwrap()
    }

    fn send(&mut self, batch: UnverifiedBatch) {
        let epoch = self.leader_epoch();
        let outcome = self.partition.replica().append_as_leader(batch, epoch);
        assert!(matches!(outcome, Ok(AppendOutcome::Appended(_))));
    }

    /// A step of a transaction: records, and now and then its end.
    fn transact(&mut self) {
        self.clock
            .advance(Duration::from_millis(self.random.below(50)));
        let id = 1 + self.random.below(3) as i64;
        let (sequence, is_open) = *self.producers.entry(id).or_insert((0, false));
        let producer = ProducerId::new(id).unwrap();
        let epoch = ProducerEpoch::new(0).unwrap();
        if is_open && self.random.below(2) == 0 {
            let kind = *self
                .random
                .one_of(&[ControlKind::Abort, ControlKind::Commit]);
            let marker = RecordBatchBuilder::control(ControlMarker {
                kind,
                producer_id: producer,
                producer_epoch: epoch,
                coordinator_epoch: 0,
                timestamp: Timestamp::from_millis(1_700_000_000_000),
            });
            self.send(marker);
            self.producers.insert(id, (sequence, false));
            return;
        }
        let mut batch = self
            .batch()
            .producer(producer, epoch, Sequence::new(sequence).unwrap())
            .transactional();
        let count = i32::try_from(batch.record_count()).unwrap();
        self.send(batch.finish().unwrap());
        self.producers.insert(id, (sequence + count, true));
    }

    fn step(&mut self, kind: Kind) {
        match kind {
            Kind::Transactions if self.random.below(10) == 0 => {
                self.epoch += 1;
                let epoch = self.leader_epoch();
                self.partition.replica().begin_epoch(epoch).unwrap();
            }
            Kind::Transactions if self.random.below(3) > 0 => self.transact(),
            _ => self.append(),
        }
    }

    fn end(&self) -> u64 {
        self.partition.watermarks().end.get()
    }
}

/// Writes a log, and gives it as it stands at the end.
pub(super) fn write(plan: Plan) -> Written {
    let Plan {
        kind,
        end,
        seed,
        steps,
        ..
    } = plan;
    let storage = Arc::new(Memory::new());
    let clock = clock();
    let log = Log::builder(LOG)
        .storage(Arc::clone(&storage) as _)
        .clock(Arc::clone(&clock) as _)
        .maintenance(Maintenance::Manual)
        .defaults(options())
        .open()
        .unwrap();
    let partition = log.topic("t").unwrap().partition(0).unwrap();
    let mut author = Author {
        random: Random(seed),
        clock,
        partition,
        packed_one_in: plan.packed_one_in,
        count: 0,
        epoch: 0,
        producers: BTreeMap::new(),
    };
    for _ in 0..steps * 2 / 3 {
        author.step(kind);
    }
    let before = files_in(&*storage, Path::new(LOG));
    match kind {
        Kind::Trimmed => {
            let to = Offset::new(author.end() / 4).unwrap();
            author.partition.delete_records_before(to).unwrap();
        }
        Kind::Truncated => {
            let to = Offset::new(author.end() / 2).unwrap();
            author.partition.replica().truncate_to(to).unwrap();
        }
        Kind::Plain | Kind::Transactions => {}
    }
    for _ in 0..steps / 4 {
        author.step(kind);
    }
    author.partition.sync().unwrap();
    for _ in 0..4 + author.random.below(steps / 4) {
        author.step(kind);
    }
    let marks = author.partition.watermarks();
    let mut durable = marks.durable.get();
    let files = match end {
        End::Killed => files_in(&*storage, Path::new(LOG)),
        End::Closed => {
            durable = marks.end.get();
            log.close().unwrap();
            files_in(&*storage, Path::new(LOG))
        }
    };
    Written {
        plan,
        storage,
        batches: placed(&files),
        files,
        before,
        offsets: marks.start.get()..marks.end.get(),
        durable,
    }
}

//! Partitions that we write at random, judged by Kafka: the same records, no complaint, and nothing that a broker
//! would change.
//!
//! `JURY_PARTITIONS=` says how many, `SEED=` where the seeds start. Needs Java and Maven: run by `.ci/run`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use stratalog::{
    AppendOutcome, Compression, ControlKind, ControlMarker, ErrorKind, LeaderEpoch, Level, Log,
    Offset, Partition, ProducerEpoch, ProducerId, Record, RecordBatchBuilder, Sequence, Start,
    StoredRecord, Timestamp, TimestampType, TopicOptions, inspect,
};
use tempfile::TempDir;

use crate::battery::from_environment;
use crate::kafka_jury::{Jury, in_parallel};
use crate::random::Random;

/// Partitions that share a log directory, because the jury opens a whole one.
const PARTITIONS_PER_LOG: u64 = 10;

/// A record as it must come back; control records are not in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Expected {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Expected {
    fn random(random: &mut Random) -> Self {
        let key = (!random.one_in(3)).then(|| random.bytes(20));
        // Without a key there is no tombstone.
        let value = (key.is_none() || !random.one_in(6)).then(|| random.bytes(300));
        let headers = (0..random.below(3))
            .map(|n| {
                (
                    format!("header {n} ü"),
                    (!random.one_in(3)).then(|| random.bytes(10)),
                )
            })
            .collect();
        Self {
            key,
            value,
            headers,
        }
    }

    fn of(record: &StoredRecord) -> Self {
        Self {
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: record
                .headers()
                .map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec)))
                .collect(),
        }
    }

    fn push(&self, at: Option<Timestamp>, batch: &mut RecordBatchBuilder) {
        let headers: Vec<(&str, Option<&[u8]>)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect();
        let mut record = match (&self.key, &self.value) {
            (Some(key), Some(value)) => Record::new(value).key(key),
            (None, Some(value)) => Record::new(value),
            (key, None) => Record::tombstone(key.as_deref().unwrap_or_default()),
        }
        .headers(&headers);
        if let Some(at) = at {
            record = record.timestamp(at);
        }
        batch.push(record).unwrap();
    }
}

struct Writer {
    random: Random,
    partition: Partition,
    model: BTreeMap<u64, Expected>,
    epoch: i32,
    /// Next sequence and open transaction of each producer.
    producers: BTreeMap<i64, (i32, bool)>,
    clock: i64,
    /// Whether records are deleted from the start. Then no transactions: what a rebuild shows of one whose first batches are deleted is less than
    /// what was noted, in Kafka's own directories too.
    trims: bool,
}

fn compression(random: &mut Random) -> Compression {
    match random.below(5) {
        0 => Compression::Gzip(Level::gzip(1 + random.below(9) as i32).unwrap()),
        1 => Compression::Snappy,
        2 => Compression::Lz4,
        3 => Compression::Zstd(Level::zstd(random.below(12) as i32 - 3).unwrap()),
        _ => Compression::None,
    }
}

impl Writer {
    fn expect(&mut self, first: Offset, records: Vec<Expected>) {
        for (index, record) in records.into_iter().enumerate() {
            self.model.insert(first.get() + index as u64, record);
        }
    }

    fn records(&mut self) -> Vec<Expected> {
        (0..1 + self.random.below(8))
            .map(|_| Expected::random(&mut self.random))
            .collect()
    }

    fn append(&mut self) {
        let records = self.records();
        let mut batch = RecordBatchBuilder::new(compression(&mut self.random));
        let timed = self.random.one_in(2);
        for record in &records {
            self.clock += self.random.below(50) as i64 - 10;
            record.push(
                timed.then(|| Timestamp::from_millis(self.clock)),
                &mut batch,
            );
        }
        let ticket = self.partition.append_batch(&batch).unwrap();
        self.expect(ticket.offset(), records);
    }

    /// A batch of an idempotent or transactional producer, raw, as a broker gets it; now and then sent twice.
    fn append_raw(&mut self) {
        let id = self.random.below(3) as i64;
        let (sequence, open) = *self.producers.entry(id).or_insert((0, false));
        let records = self.records();
        let mut batch = RecordBatchBuilder::new(compression(&mut self.random)).producer(
            ProducerId::new(id).unwrap(),
            ProducerEpoch::new(0).unwrap(),
            Sequence::new(sequence).unwrap(),
        );
        let transactional = !self.trims && (open || (id > 0 && self.random.one_in(2)));
        if transactional {
            batch = batch.transactional();
        }
        for record in &records {
            self.clock += self.random.below(50) as i64;
            record.push(Some(Timestamp::from_millis(self.clock)), &mut batch);
        }
        let batch = batch.finish().unwrap();
        let epoch = LeaderEpoch::new(self.epoch).unwrap();
        let outcome = self
            .partition
            .replica()
            .append_as_leader(batch.clone(), epoch)
            .unwrap();
        let AppendOutcome::Appended(ticket) = outcome else {
            panic!("{outcome:?} of a new batch")
        };
        if self.random.one_in(4) {
            let again = self
                .partition
                .replica()
                .append_as_leader(batch, epoch)
                .unwrap();
            assert!(
                matches!(&again, AppendOutcome::Duplicate { offsets } if *offsets == ticket.offsets()),
                "{again:?}"
            );
        }
        self.producers
            .insert(id, (sequence + records.len() as i32, transactional));
        self.expect(ticket.offset(), records);
    }

    fn end_transaction(&mut self) {
        let Some(id) = self
            .producers
            .iter()
            .find(|(_, (_, open))| *open)
            .map(|(id, _)| *id)
        else {
            return;
        };
        let kind = if self.random.one_in(2) {
            ControlKind::Abort
        } else {
            ControlKind::Commit
        };
        let marker = RecordBatchBuilder::control(ControlMarker {
            kind,
            producer_id: ProducerId::new(id).unwrap(),
            producer_epoch: ProducerEpoch::new(0).unwrap(),
            coordinator_epoch: 0,
            timestamp: Timestamp::from_millis(self.clock),
        });
        let epoch = LeaderEpoch::new(self.epoch).unwrap();
        self.partition
            .replica()
            .append_as_leader(marker, epoch)
            .unwrap();
        self.producers.get_mut(&id).unwrap().1 = false;
    }

    fn new_epoch(&mut self) {
        self.epoch += 1 + self.random.below(2) as i32;
        self.partition
            .replica()
            .begin_epoch(LeaderEpoch::new(self.epoch).unwrap())
            .unwrap();
    }

    fn truncate(&mut self) {
        let marks = self.partition.watermarks();
        let back = self.random.below(20);
        let to = marks.end.saturating_sub(back).max(marks.start);
        let end = self.partition.replica().truncate_to(to).unwrap();
        assert!(end <= to);
        self.model.retain(|offset, _| *offset < end.get());
        // What the producers know now is in the log; ask it rather than model it.
        let known = self.partition.replica().producers();
        self.producers = known
            .iter()
            .map(|info| {
                let next = info
                    .batches
                    .last()
                    .map_or(0, |batch| batch.last_sequence.get() + 1);
                (
                    info.id.get(),
                    (next, info.transaction_first_offset.is_some()),
                )
            })
            .collect();
    }

    fn trim(&mut self) {
        let marks = self.partition.watermarks();
        let span = marks.high.distance_from(marks.start);
        let to = marks.start.saturating_add(self.random.below(span / 2 + 1));
        let start = self.partition.delete_records_before(to).unwrap();
        self.model.retain(|offset, _| *offset >= start.get());
    }

    fn read_back(&self, seed: u64) {
        let mut found = BTreeMap::new();
        for record in self.partition.cursor(Start::Earliest).unwrap() {
            let record = record.unwrap_or_else(|error| panic!("SEED={seed}: {error}"));
            found.insert(record.offset().get(), Expected::of(&record));
        }
        assert_eq!(found, self.model, "SEED={seed}");
    }
}

fn options(random: &mut Random) -> TopicOptions {
    let mut options = TopicOptions::default()
        .segment_bytes(4_000 + random.below(20_000) as u32)
        .index_interval_bytes(random.below(3) as u32 * 300)
        .compression(compression(random));
    if random.one_in(5) {
        options = options.timestamp_type(TimestampType::LogAppendTime);
    }
    if random.one_in(5) {
        options = options.segment_age(Duration::from_millis(200));
    }
    if random.one_in(5) {
        options = options.segment_index_bytes(48).index_interval_bytes(100);
    }
    options
}

/// Writes one partition; the log is reopened by the caller.
fn write_partition(seed: u64, partition: Partition, now: i64) -> Writer {
    let mut writer = Writer {
        random: Random(seed),
        partition,
        model: BTreeMap::new(),
        epoch: 0,
        producers: BTreeMap::new(),
        clock: now - 600_000,
        trims: seed.is_multiple_of(3),
    };
    for _ in 0..writer.random.below(80) {
        match writer.random.below(20) {
            0..=8 => writer.append(),
            9..=14 => writer.append_raw(),
            15 | 16 => writer.end_transaction(),
            17 => writer.new_epoch(),
            18 => writer.truncate(),
            _ if writer.trims => writer.trim(),
            _ => {}
        }
    }
    writer
}

fn write_log(dir: &Path, first_seed: u64, count: u64) {
    let now = Timestamp::from(SystemTime::now()).as_millis();
    let log = Log::open(dir).unwrap();
    let mut writers = Vec::new();
    for seed in first_seed..first_seed + count {
        let options = options(&mut Random(seed ^ 0x5eed));
        let topic = log
            .create_topic(&format!("random.{seed}"), options)
            .unwrap();
        let writer = write_partition(seed, topic.partition(0).unwrap(), now);
        writer.read_back(seed);
        writers.push((seed, writer));
    }
    log.close().unwrap();
    let log = Log::open(dir).unwrap();
    for (seed, mut writer) in writers {
        writer.partition = log
            .topic(&format!("random.{seed}"))
            .unwrap()
            .partition(0)
            .unwrap();
        writer.read_back(seed);
        // The log goes on where it ended.
        writer.append();
        writer.read_back(seed);
    }
    log.close().unwrap();
}

/// What a broker changes in a directory of its own, too: it writes its own marker, and the lines of the checkpoints in the order of its
/// hash map.
fn is_kafkas_habit(objection: &str) -> bool {
    let Ok(change) = serde_json::from_str::<serde_json::Value>(objection) else {
        return false;
    };
    let file = change["file"].as_str().unwrap_or_default();
    let same_size = change["size_before"] == change["size_after"];
    change["change"] == "changed"
        && (file == ".kafka_cleanshutdown" || (file.ends_with("-offset-checkpoint") && same_size))
}

/// What Kafka holds against the log directory, and where its dump and ours differ.
fn differences(jury: &Jury, dir: &Path) -> Vec<String> {
    let now = Timestamp::from(SystemTime::now()).as_millis();
    let mut found = jury.objections(dir, now);
    found.retain(|objection| !is_kafkas_habit(objection));
    for partition in crate::kafka_jury::partition_directories(dir) {
        let mut ours = Vec::new();
        let summary = inspect::dump(&partition, inspect::Format::Json, &mut ours).unwrap();
        if summary.damaged > 0 {
            found.push(format!(
                "{}: {} damaged places",
                partition.display(),
                summary.damaged
            ));
        }
        let ours = String::from_utf8(ours).unwrap();
        let theirs = jury.dump(&partition);
        if !ours.lines().eq(theirs.iter().map(String::as_str)) {
            let first = ours.lines().zip(&theirs).find(|(a, b)| a != b);
            found.push(format!("{}: dumps differ: {first:?}", partition.display()));
        }
    }
    found
}

#[test]
fn what_is_written_at_random_reads_back_as_it_was_appended() {
    let first = from_environment("SEED", 0);
    let dir = TempDir::new().unwrap();
    write_log(dir.path(), first, 20);
}

#[test]
#[ignore = "needs Java and Maven"]
fn kafka_jury_takes_what_we_write_for_its_own() {
    let first = from_environment("SEED", 0);
    let count = from_environment("JURY_PARTITIONS", 100);
    let jury = Jury::summon();
    let seeds: Vec<u64> = (first..first + count)
        .step_by(PARTITIONS_PER_LOG as usize)
        .collect();
    let objections = in_parallel(&seeds, |seed| {
        let dir = TempDir::new().unwrap();
        write_log(
            dir.path(),
            *seed,
            PARTITIONS_PER_LOG.min(first + count - seed),
        );
        let found = differences(&jury, dir.path());
        if !found.is_empty() {
            // Kept for a look.
            println!("SEED={seed}: {}: {found:#?}", dir.keep().display());
        }
        found.len()
    });
    assert_eq!(objections.iter().sum::<usize>(), 0, "the seeds are above");
    println!("{count} partitions, no complaint");
}

#[test]
fn a_record_above_the_limit_is_refused_and_nothing_is_appended() {
    let dir = TempDir::new().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let topic = log
        .create_topic("t", TopicOptions::default().max_message_bytes(500))
        .unwrap();
    let error = topic.append(Record::new(&[1u8; 600])).expect_err("above");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(topic.partition(0).unwrap().watermarks().end, Offset::ZERO);
}

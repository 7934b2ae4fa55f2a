//! A log on a simulated disk in the middle of a scenario: each step writes into the book what it promised.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stratalog::inspect::PartitionDir;
use stratalog::storage::sim::{Failure, Fault, Operation, Sim};
use stratalog::storage::{Access, Memory, Storage};
use stratalog::{
    AppendOutcome, Compression, ControlKind, ControlMarker, Cursor, Fetch, FsyncPolicy,
    LeaderEpoch, Log, LogView, Maintenance, ManualClock, Offset, Partition, ProducerEpoch,
    ProducerId, Record, RecordBatchBuilder, Result, Retention, Sequence, Start, Ticket, Timestamp,
    TopicOptions, Watermarks,
};

use super::book::{Book, Found};
use super::new_disk;
use super::scenarios::Scenario;

const ROOT: &str = "/log";
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

#[derive(Debug)]
pub(super) struct Run {
    pub(super) sim: Sim,
    pub(super) book: Book,
    policy: FsyncPolicy,
    clock: Arc<ManualClock>,
    open: Option<(Log, Partition)>,
    last: Option<Ticket>,
    sent_count: u64,
    sequence: i32,
}

fn value(number: u64, bytes: usize) -> Vec<u8> {
    let mut value = number.to_le_bytes().to_vec();
    value.resize(bytes.max(8), number as u8);
    value
}

fn options(policy: FsyncPolicy) -> TopicOptions {
    TopicOptions::default()
        .segment_bytes(1024)
        .index_interval_bytes(200)
        .segment_index_bytes(4096)
        .retention(Retention::unlimited())
        .fsync(policy)
}

fn open_on(sim: Arc<dyn Storage>, clock: &Arc<ManualClock>, policy: FsyncPolicy) -> Result<Log> {
    Log::builder(ROOT)
        .storage(sim)
        .clock(Arc::<ManualClock>::clone(clock))
        .maintenance(Maintenance::Manual)
        .defaults(options(policy))
        .open()
}

impl Run {
    /// A new log on a well disk, with what the scenario needs in it.
    pub(super) fn prepared(scenario: &Scenario) -> Self {
        let mut run = Self {
            sim: new_disk(),
            book: Book::default(),
            policy: scenario.policy,
            clock: Arc::new(ManualClock::at(NOW)),
            open: None,
            last: None,
            sent_count: 0,
            sequence: 0,
        };
        let prepared = run.open().and_then(|()| (scenario.prepare)(&mut run));
        prepared.expect("a well disk");
        run.note_durable();
        run
    }

    /// The same promises on another disk.
    pub(super) fn on(&self, sim: Sim) -> Self {
        Self {
            sim,
            book: self.book.clone(),
            policy: self.policy,
            clock: Arc::clone(&self.clock),
            open: None,
            last: None,
            sent_count: self.sent_count,
            sequence: self.sequence,
        }
    }

    pub(super) fn open(&mut self) -> Result<()> {
        self.open = None;
        let log = open_on(Arc::new(self.sim.clone()), &self.clock, self.policy)?;
        let partition = log.topic("events")?.partition(0)?;
        let gaps = log
            .recovery()
            .partitions()
            .iter()
            .any(|p| !p.gaps().is_empty());
        assert!(!gaps, "a failure is no damage: {:?}", log.recovery());
        self.open = Some((log, partition));
        Ok(())
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Dropped without a close, as a panic would.
    pub(super) fn drop_log(&mut self) {
        self.note_durable();
        self.last = None;
        let sim = self.sim.kill();
        self.open = None;
        self.sim = sim;
    }

    /// Half a batch at the end of the log.
    pub(super) fn tear_tail(&mut self) {
        self.drop_log();
        let last = self.files("log").pop().expect("a segment");
        let file = self.sim.open(&last, Access::Write).expect("it is there");
        let end = file.len().expect("a well disk");
        file.write_at(&[0; 30], end).expect("a well disk");
    }

    /// What was not synced never reaches the medium, and reading shows it.
    pub(super) fn fail_sync(&mut self) {
        self.note_durable();
        let failure = Failure::of(Operation::Sync, Fault::Io).extension("log");
        self.sim.plan(failure);
        self.sync().expect_err("it fails");
        self.drop_log();
    }

    /// Another program was the last to close the log.
    pub(super) fn forget_owner(&mut self) {
        let marker = Path::new(ROOT).join(".kafka_cleanshutdown");
        self.sim.remove(&marker).expect("a closed log");
        let file = self.sim.create(&marker).expect("a well disk");
        let content = br#"{"version":0,"brokerEpoch":-1}"#;
        file.write_at(content, 0).expect("a well disk");
        file.sync_all().expect("a well disk");
        self.sim.sync_dir(Path::new(ROOT)).expect("a well disk");
    }

    pub(super) fn remove_indexes(&mut self) {
        let indexes = [self.files("index"), self.files("timeindex")].concat();
        assert!(indexes.len() > 4, "{indexes:?}");
        for index in indexes {
            self.sim.remove(&index).expect("a well disk");
        }
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let dir = Path::new(ROOT).join("events-0");
        let entries = self.sim.list(&dir).expect("a well disk");
        let paths = entries.into_iter().map(|entry| dir.join(entry.name));
        let mut paths: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|end| end == extension))
            .collect();
        paths.sort();
        paths
    }

    pub(super) fn close(&mut self) -> Result<()> {
        self.note_durable();
        let (log, partition) = self.open.take().expect("opened");
        self.last = None;
        log.close()?;
        let end = partition.watermarks().end.get();
        self.book.durable_to(end);
        Ok(())
    }

    pub(super) fn log(&self) -> &Log {
        &self.open.as_ref().expect("opened").0
    }

    pub(super) fn partition(&self) -> &Partition {
        &self.open.as_ref().expect("opened").1
    }

    pub(super) fn watermarks(&self) -> Watermarks {
        self.partition().watermarks()
    }

    pub(super) fn note_durable(&mut self) {
        if self.is_open() {
            let durable = self.watermarks().durable.get();
            self.book.durable_to(durable);
        }
    }

    fn new_value(&mut self, bytes: usize) -> Vec<u8> {
        self.sent_count += 1;
        value(self.sent_count, bytes)
    }

    /// Notes what an append came to.
    fn appended(&mut self, values: Vec<Vec<u8>>, ticket: Result<Ticket>) -> Result<()> {
        match ticket {
            Ok(ticket) => {
                let offsets = ticket.offsets();
                assert_eq!(offsets.end.get() - offsets.start.get(), values.len() as u64);
                for (offset, value) in (offsets.start.get()..).zip(values) {
                    self.book.acknowledge(offset, value);
                }
                if self.policy == FsyncPolicy::Always {
                    assert!(ticket.is_durable());
                    self.book.durable_to(offsets.end.get());
                }
                self.last = Some(ticket);
                self.note_durable();
                Ok(())
            }
            Err(error) => {
                values
                    .into_iter()
                    .for_each(|value| self.book.try_value(value));
                Err(error)
            }
        }
    }

    pub(super) fn append(&mut self, bytes: usize) -> Result<()> {
        let value = self.new_value(bytes);
        let ticket = self.partition().append(Record::new(&value));
        self.appended(vec![value], ticket)
    }

    pub(super) fn appends(&mut self, count: usize, bytes: usize) -> Result<()> {
        (0..count).try_for_each(|_| self.append(bytes))
    }

    pub(super) fn submit_and_wait(&mut self) -> Result<()> {
        let value = self.new_value(60);
        let ticket = self.partition().submit(Record::new(&value));
        let done = self.appended(vec![value], ticket);
        // `appended` under `Always` would ask more of a submission.
        done?;
        self.wait()
    }

    pub(super) fn wait(&mut self) -> Result<()> {
        let ticket = self.last.as_ref().expect("appended");
        ticket.wait_durable()?;
        let end = ticket.offsets().end.get();
        self.book.durable_to(end);
        Ok(())
    }

    pub(super) fn batch(&mut self, count: usize) -> Result<()> {
        let values: Vec<_> = (0..count).map(|_| self.new_value(100)).collect();
        let mut batch = RecordBatchBuilder::new(Compression::None);
        values
            .iter()
            .try_for_each(|value| batch.push(Record::new(value)))?;
        let ticket = self.partition().append_batch(&batch);
        self.appended(values, ticket)
    }

    pub(super) fn batches(&mut self, count: usize) -> Result<()> {
        (0..count).try_for_each(|_| self.batch(3))
    }

    pub(super) fn sync(&mut self) -> Result<()> {
        let end = self.partition().sync()?.get();
        self.book.durable_to(end);
        Ok(())
    }

    /// A batch of a transactional producer.
    pub(super) fn send(&mut self) -> Result<()> {
        let values: Vec<_> = (0..2).map(|_| self.new_value(80)).collect();
        let batch = RecordBatchBuilder::new(Compression::None);
        let id = ProducerId::new(7).expect("not negative");
        let epoch = ProducerEpoch::new(0).expect("not negative");
        let sequence = Sequence::new(self.sequence).expect("not negative");
        let mut batch = batch.producer(id, epoch, sequence).transactional();
        for value in &values {
            batch.push(Record::new(value).timestamp(NOW))?;
        }
        let done = self.append_raw(values, &mut batch);
        if done.is_ok() {
            self.sequence += 2;
        }
        done
    }

    fn append_raw(&mut self, values: Vec<Vec<u8>>, batch: &mut RecordBatchBuilder) -> Result<()> {
        let epoch = LeaderEpoch::new(self.epoch()).expect("not negative");
        let outcome = self
            .partition()
            .replica()
            .append_as_leader(batch.finish()?, epoch);
        let ticket = outcome.map(|outcome| match outcome {
            AppendOutcome::Appended(ticket) => ticket,
            other => panic!("{other:?}"),
        });
        self.appended(values, ticket)
    }

    fn epoch(&self) -> i32 {
        self.partition()
            .replica()
            .epochs()
            .last()
            .map_or(0, |(epoch, _)| epoch.get())
    }

    /// Ends the transaction of the producer.
    pub(super) fn commit(&mut self) -> Result<()> {
        let marker = RecordBatchBuilder::control(ControlMarker {
            kind: ControlKind::Commit,
            producer_id: ProducerId::new(7).expect("not negative"),
            producer_epoch: ProducerEpoch::new(0).expect("not negative"),
            coordinator_epoch: 0,
            timestamp: NOW,
        });
        let epoch = LeaderEpoch::new(self.epoch()).expect("not negative");
        let end = self.watermarks().end.get();
        self.book.hide(end..end + 1);
        self.partition().replica().append_as_leader(marker, epoch)?;
        self.note_durable();
        Ok(())
    }

    /// Takes what a leader sends: the batches that stand at this log's end there.
    pub(super) fn follow(&mut self, count: usize) -> Result<()> {
        let end = self.watermarks().end.get();
        let values: Vec<_> = (0..count).map(|_| self.new_value(150)).collect();
        let bytes = leader_bytes(end, &values);
        // Holes are legal in the log of a follower, and a segment after the un-synced tail makes one in a crash.
        self.book
            .hide(self.watermarks().durable.get()..end + count as u64);
        let high = Offset::new(end)?;
        let done = self.partition().replica().append_as_follower(bytes, high);
        let reached = self.watermarks().end.get();
        for (offset, value) in (end..).zip(values) {
            match offset < reached {
                true => self.book.acknowledge(offset, value),
                false => self.book.try_value(value),
            }
        }
        self.note_durable();
        done.map(drop)
    }

    pub(super) fn truncate(&mut self, offset: u64) -> Result<()> {
        self.book.cutting(offset);
        let end = self
            .partition()
            .replica()
            .truncate_to(Offset::new(offset)?)?;
        assert_eq!(end.get(), offset, "each batch here ends there");
        self.book.cut_to(offset);
        Ok(())
    }

    pub(super) fn delete_before(&mut self, offset: u64) -> Result<()> {
        self.note_durable();
        self.book.deleting_before(offset);
        self.partition()
            .delete_records_before(Offset::new(offset)?)?;
        self.book.deleted_before(offset);
        Ok(())
    }

    pub(super) fn reset(&mut self, offset: u64) -> Result<()> {
        self.book.resetting(offset);
        self.partition().replica().reset_to(Offset::new(offset)?)?;
        self.book.reset(offset);
        Ok(())
    }

    pub(super) fn begin_epoch(&mut self) -> Result<()> {
        let epoch = self.epoch() + 1;
        let id = LeaderEpoch::new(epoch).expect("not negative");
        self.partition().replica().begin_epoch(id)?;
        let from = self.watermarks().end.get();
        self.book.epoch_begun(epoch, from);
        Ok(())
    }

    pub(super) fn maintain(&mut self, seconds: u64) -> Result<()> {
        self.clock.advance(Duration::from_secs(seconds));
        let before = self.watermarks();
        if self.log().topic("events")?.options() != options(self.policy) {
            self.book.deleting_before(before.end.get());
        }
        let done = self.log().maintain(Duration::from_secs(1));
        let start = self.watermarks().start.get();
        self.book.deleted_before(start);
        self.note_durable();
        done
    }

    pub(super) fn wait_a_second(&self) {
        self.clock.advance(Duration::from_secs(1));
    }

    pub(super) fn retain_bytes(&mut self, bytes: u64) -> Result<()> {
        let kept = options(self.policy).retention(Retention::unlimited().bytes(bytes));
        self.log().topic("events")?.set_options(kept)
    }

    pub(super) fn create_topic(&mut self, name: &str) -> Result<()> {
        let topic = self
            .log()
            .create_topic(name, options(self.policy).partitions(2))?;
        topic.append(Record::new("x"))?.wait_durable()
    }

    pub(super) fn cursor(&self) -> Result<Cursor> {
        self.partition().cursor(Start::Earliest)
    }

    pub(super) fn fetch_all(&self) -> Result<()> {
        let marks = self.watermarks();
        let mut from = marks.start;
        while from < marks.end {
            let fetched = self.partition().fetch(&Fetch::from(from).max_bytes(500))?;
            fetched.bytes()?;
            from = fetched.next_offset();
        }
        Ok(())
    }

    pub(super) fn view(&self) -> Result<()> {
        let view = LogView::open(Arc::new(self.sim.clone()), Path::new(ROOT))?;
        let events = view.topic("events")?.partition(0)?;
        events
            .cursor(Start::Earliest)?
            .try_for_each(|record| record.map(drop))
    }

    pub(super) fn verify(&self) -> Result<()> {
        let path = Path::new(ROOT).join("events-0");
        let dir = PartitionDir::open_on(Arc::new(self.sim.clone()), &path)?;
        for finding in dir.verify()? {
            let finding = finding?;
            assert!(!finding.is_damage(), "a failure is no damage: {finding}");
        }
        Ok(())
    }

    pub(super) fn read(&self) -> Result<Found> {
        let marks = self.watermarks();
        let records = self.cursor()?.map(|record| {
            record.map(|r| (r.offset().get(), r.value().unwrap_or_default().to_vec()))
        });
        let epochs = self.partition().replica().epochs();
        Ok(Found {
            start: marks.start.get(),
            end: marks.end.get(),
            records: records.collect::<Result<_>>()?,
            epochs: epochs
                .iter()
                .map(|(epoch, from)| (epoch.get(), from.get()))
                .collect(),
        })
    }
}

/// What a leader has from `from` on: a batch each.
fn leader_bytes(from: u64, values: &[Vec<u8>]) -> Bytes {
    let clock = Arc::new(ManualClock::at(NOW));
    let log = open_on(Arc::new(Memory::new()), &clock, FsyncPolicy::Never).expect("memory");
    let partition = log
        .topic("events")
        .and_then(|topic| topic.partition(0))
        .expect("memory");
    let offset = Offset::new(from).expect("small");
    partition.replica().reset_to(offset).expect("memory");
    let mut bytes = Vec::new();
    for value in values {
        let ticket = partition.append(Record::new(value)).expect("memory");
        let fetched = partition
            .fetch(&Fetch::from(ticket.offset()).max_bytes(1))
            .expect("memory");
        bytes.extend_from_slice(&fetched.bytes().expect("memory"));
    }
    Bytes::from(bytes)
}

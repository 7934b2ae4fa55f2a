//! The partition under test beside its model: each operation is done to both, and the answers are compared.

use std::sync::Arc;
use std::time::Duration;

use stratalog::storage::sim::{Keep, Sim};
use stratalog::{
    Clock, Compression, Cursor, ErrorKind, Fetch, FsyncPolicy, LeaderEpoch, Log, Maintenance,
    ManualClock, Offset, Partition, Record, RecordBatchBuilder, Result, Retention, Start,
    Timestamp, TopicOptions, UnverifiedBatch,
};

use super::Operation;
use super::reference::{Entry, Reference};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const ROLL_AFTER: Duration = Duration::from_secs(600);
/// An append of so many bytes is kept from the model, so that a test can see it fail.
pub(super) const BREAKS: usize = 900;

pub(super) struct Subject {
    sim: Sim,
    seed: u64,
    clock: Arc<ManualClock>,
    log: Log,
    partition: Partition,
    model: Reference,
    sent_count: u64,
}

fn open(sim: &Sim, clock: &Arc<ManualClock>, seed: u64) -> Result<(Log, Partition)> {
    let codecs = [Compression::None, Compression::None, Compression::Lz4];
    let options = TopicOptions::default()
        .segment_bytes(1024)
        .segment_age(ROLL_AFTER)
        .index_interval_bytes([0, 200, 4096][(seed % 3) as usize])
        .segment_index_bytes(4096)
        .compression(codecs[(seed / 3 % 3) as usize])
        .retention(Retention::unlimited())
        .fsync(
            [
                FsyncPolicy::Never,
                FsyncPolicy::Always,
                FsyncPolicy::Records(3),
            ][(seed / 9 % 3) as usize],
        );
    let log = Log::builder("/log")
        .storage(Arc::new(sim.clone()))
        .clock(Arc::<ManualClock>::clone(clock))
        .maintenance(Maintenance::Manual)
        .defaults(options)
        .open()?;
    let partition = log.topic("events")?.partition(0)?;
    Ok((log, partition))
}

impl Subject {
    pub(super) fn new(seed: u64) -> Self {
        let (sim, clock) = (Sim::new(seed), Arc::new(ManualClock::at(NOW)));
        let (log, partition) = open(&sim, &clock, seed).expect("a well disk");
        Self {
            sim,
            seed,
            clock,
            log,
            partition,
            model: Reference::default(),
            sent_count: 0,
        }
    }

    pub(super) fn apply(&mut self, operation: Operation) {
        self.take(operation)
            .unwrap_or_else(|error| panic!("{operation:?}: {error}"));
    }

    fn take(&mut self, operation: Operation) -> Result<()> {
        self.clock.advance(Duration::from_millis(7));
        match operation {
            Operation::Append { bytes } => self.append(bytes, None),
            Operation::AppendAt { bytes, seconds_ago } => {
                let now = Timestamp::from(self.clock.now()).as_millis();
                self.append(bytes, Some(now - seconds_ago as i64 * 1000))
            }
            Operation::Batch { count, bytes } => self.batch(count, bytes),
            Operation::Sync => {
                assert_eq!(self.partition.sync()?.get(), self.model.end);
                self.model.durable = self.model.end;
                Ok(())
            }
            Operation::Roll => {
                self.clock.advance(ROLL_AFTER + Duration::from_secs(1));
                self.log.maintain(Duration::from_secs(1))
            }
            Operation::DeleteBefore { part } => self.delete_before(part),
            Operation::Truncate { part } => self.truncate(part),
            Operation::BeginEpoch => {
                let epoch = self.model.begin_epoch();
                let epoch = LeaderEpoch::new(epoch).expect("not negative");
                self.partition.replica().begin_epoch(epoch)
            }
            Operation::Earliest => self.read_from(Start::Earliest, self.model.start),
            Operation::Latest => self.read_from(Start::Latest, self.model.end),
            Operation::At { part } => self.read_at(self.model.at_part(part), Start::At),
            Operation::After { part } => {
                let offset = self.model.at_part(part);
                self.read_at(offset + 1, |next| {
                    Start::After(Offset::new(next.get() - 1).expect("small"))
                })
            }
            Operation::Timestamp { part } => self.look_up(part),
            Operation::Get { part } => self.get(part),
            Operation::Fetch { part, bytes } => self.fetch(part, bytes),
            Operation::Reopen => {
                self.log.close()?;
                self.reopen(self.sim.clone(), self.model.end)
            }
            Operation::Kill => self.reopen(self.sim.kill(), self.model.end),
            Operation::PowerCut => {
                let keep = Keep::Random(self.sent_count ^ self.seed);
                self.reopen(self.sim.reboot(keep), self.model.durable)
            }
        }
    }

    fn new_value(&mut self, bytes: usize) -> Vec<u8> {
        self.sent_count += 1;
        let mut value = self.sent_count.to_le_bytes().to_vec();
        value.resize(8 + bytes, self.sent_count as u8);
        value
    }

    fn now_ms(&self) -> i64 {
        Timestamp::from(self.clock.now()).as_millis()
    }

    fn append(&mut self, bytes: usize, at_ms: Option<i64>) -> Result<()> {
        let value = self.new_value(bytes);
        let mut record = Record::new(&value);
        if let Some(at_ms) = at_ms {
            record = record.timestamp(Timestamp::from_millis(at_ms));
        }
        let ticket = self.partition.append(record)?;
        if bytes != BREAKS {
            let at_ms = at_ms.unwrap_or_else(|| self.now_ms());
            let offsets = self.model.append(vec![(at_ms, value.clone())]);
            assert_eq!(ticket.offset().get(), offsets.start);
        }
        Ok(())
    }

    fn batch(&mut self, count: usize, bytes: usize) -> Result<()> {
        let values: Vec<_> = (0..count).map(|_| self.new_value(bytes)).collect();
        let mut batch = RecordBatchBuilder::new(Compression::None);
        values
            .iter()
            .try_for_each(|value| batch.push(Record::new(value)))?;
        let ticket = self.partition.append_batch(&batch)?;
        let at_ms = self.now_ms();
        let offsets = self
            .model
            .append(values.into_iter().map(|value| (at_ms, value)).collect());
        assert_eq!(
            ticket.offsets().start.get()..ticket.offsets().end.get(),
            offsets
        );
        Ok(())
    }

    fn delete_before(&mut self, part: u64) -> Result<()> {
        let offset = self.model.at_part(part);
        match self.partition.delete_records_before(Offset::new(offset)?) {
            Ok(start) => {
                self.model.delete_before(offset);
                assert_eq!(start.get(), self.model.start);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange, "{error}");
                assert!(offset > self.model.end, "{error}");
            }
        }
        Ok(())
    }

    fn truncate(&mut self, part: u64) -> Result<()> {
        let offset = self.model.at_part(part);
        let end = self.partition.replica().truncate_to(Offset::new(offset)?)?;
        assert_eq!(
            end.get(),
            self.model.truncate(offset),
            "the end of a cut at {offset}"
        );
        self.adopt_epoch();
        Ok(())
    }

    /// A cut may take back epochs.
    fn adopt_epoch(&mut self) {
        let epochs = self.partition.replica().epochs();
        self.model.epoch = epochs.last().map_or(0, |(epoch, _)| epoch.get());
    }

    fn reopen(&mut self, sim: Sim, must: u64) -> Result<()> {
        self.sim = sim;
        (self.log, self.partition) = open(&self.sim, &self.clock, self.seed)?;
        let end = self.partition.watermarks().end.get();
        let entries = &self.model.entries;
        let is_batch_end = end == self.model.start
            || (entries.iter()).all(|entry| entry.offset < end || entry.base >= end);
        let range = must.max(self.model.start)..=self.model.end;
        assert!(
            range.contains(&end) && is_batch_end,
            "a reopen ends at {end}, not in {range:?}"
        );
        if end < self.model.end {
            self.model.cut(end);
            self.adopt_epoch();
        }
        self.model.durable = end;
        self.check_all();
        Ok(())
    }

    fn read_at(&self, offset: u64, start: impl Fn(Offset) -> Start) -> Result<()> {
        let start = start(Offset::new(offset)?);
        if offset <= self.model.end {
            return self.read_from(start, offset);
        }
        let error = self.partition.cursor(start).expect_err("beyond the end");
        assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange, "{error}");
        let available = error.available().expect("what there is");
        assert_eq!(
            available.start.get()..available.end.get(),
            self.model.start..self.model.end
        );
        Ok(())
    }

    fn read_from(&self, start: Start, from: u64) -> Result<()> {
        let cursor = self.partition.cursor(start)?;
        assert_eq!(cursor.position().get(), from, "{start:?}");
        compare(cursor, self.model.from(from))
    }

    fn look_up(&self, part: u64) -> Result<()> {
        let at_ms = self.model.time_at_part(part);
        let at = Timestamp::from_millis(at_ms);
        let found = self.partition.offset_for(at)?.map(Offset::get);
        assert_eq!(
            found,
            self.model.first_at(at_ms),
            "the first record from {at_ms} on"
        );
        self.read_from(Start::Timestamp(at), found.unwrap_or(self.model.end))
    }

    fn get(&self, part: u64) -> Result<()> {
        let offset = self.model.at_part(part);
        match (
            self.partition.get(Offset::new(offset)?),
            self.model.get(offset),
        ) {
            (Ok(record), Some(entry)) => {
                assert_eq!(record.offset().get(), entry.offset);
                assert_eq!(record.value(), Some(&entry.value[..]));
            }
            (Err(error), None) => assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange, "{error}"),
            (got, expected) => panic!("{got:?} at {offset} in place of {expected:?}"),
        }
        Ok(())
    }

    /// Whole batches, the first of which holds the offset.
    fn fetch(&self, part: u64, bytes: u32) -> Result<()> {
        let offset = self.model.at_part(part).min(self.model.end);
        let request = Fetch::from(Offset::new(offset)?).max_bytes(bytes);
        let fetched = self.partition.fetch(&request)?;
        let expected = self.model.from(offset);
        let mut next = expected.first().map_or(self.model.end, |entry| entry.base);
        for batch in UnverifiedBatch::split(fetched.bytes()?) {
            let batch = batch?.verify()?;
            assert_eq!(
                batch.base_offset().get(),
                next,
                "the batches from {offset} on"
            );
            let entry = self.model.entries.iter().find(|entry| entry.offset == next);
            let entry = entry.expect("the model has it");
            assert_eq!(
                batch.leader_epoch().map(LeaderEpoch::get),
                Some(entry.epoch)
            );
            next = batch.next_offset().get();
        }
        assert_eq!(fetched.next_offset().get(), next);
        assert!(expected.is_empty() || next > offset, "at least one batch");
        Ok(())
    }

    /// What is cheap to ask.
    pub(super) fn check(&mut self) {
        let marks = self.partition.watermarks();
        let found = (
            marks.start.get(),
            marks.end.get(),
            marks.high.get(),
            marks.last_stable.get(),
        );
        let m = &self.model;
        assert_eq!(
            found,
            (m.start, m.end, m.end, m.end),
            "start, end, high, last stable"
        );
        let durable = marks.durable.get();
        assert!(
            (m.durable..=m.end).contains(&durable),
            "durable {durable}, not in {}..={}",
            m.durable,
            m.end
        );
        self.model.durable = durable;
        let epochs = self.partition.replica().epochs();
        for (epoch, from) in &self.model.begun {
            let is_visible = (self.model.start..=self.model.end).contains(from);
            let is_known = epochs.iter().any(|(known, _)| known.get() >= *epoch);
            assert!(
                !is_visible || is_known,
                "epoch {epoch} from {from} is not in {epochs:?}"
            );
        }
    }

    pub(super) fn check_all(&self) {
        let cursor = self.partition.cursor(Start::Earliest).expect("it is there");
        compare(cursor, self.model.from(self.model.start)).expect("it is read");
    }
}

fn compare(cursor: Cursor, expected: &[Entry]) -> Result<()> {
    let mut entries = expected.iter();
    for record in cursor {
        let record = record?;
        let entry = entries.next().expect("no record beyond the model's");
        assert_eq!(record.offset().get(), entry.offset);
        assert_eq!(
            record.timestamp().map(Timestamp::as_millis),
            Some(entry.at_ms)
        );
        assert_eq!(
            record.value(),
            Some(&entry.value[..]),
            "at {}",
            entry.offset
        );
    }
    assert_eq!(entries.next(), None, "the model has more");
    Ok(())
}

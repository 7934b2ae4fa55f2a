//! One partition, worked on step by step; its model is told what each step promised.

use std::sync::Arc;
use std::time::Duration;

use stratalog::storage::sim::Sim;
use stratalog::{
    AppendOutcome, Clock, Compression, ControlKind, ControlMarker, Error, ErrorKind, LeaderEpoch,
    ManualClock, Offset, Partition, ProducerEpoch, ProducerId, Record, RecordBatchBuilder, Result,
    Ticket, Timestamp, UnverifiedBatch,
};

use super::bench::{Eyes, Keeps, TopicSetup};
use super::look::{Brief, builder, list};
use super::model::{Kind, Model, Moment, Sent, Stamp};
use super::reading::Reader;
use super::step::Step;

/// A partition and what it has promised so far.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) topic: String,
    pub(crate) index: u32,
    pub(crate) model: Model,
    /// The durable end when writing stopped.
    pub(crate) stopped_at: Option<u64>,
    pub(super) sim: Sim,
    pub(super) readers: Vec<Reader>,
    clock: Arc<ManualClock>,
    eyes: Eyes,
    codec: Compression,
    keeps: Keeps,
    partition: Option<Partition>,
    /// The tail is not shown yet: there was no room for its copy. Everything below has to be in it.
    pending: Option<u64>,
    tickets: Vec<Ticket>,
    /// Values of different partitions differ.
    number: u64,
    sent_count: u64,
}

impl Subject {
    pub(super) fn new(
        number: u64,
        topic: &TopicSetup,
        index: u32,
        eyes: Eyes,
        clock: Arc<ManualClock>,
        sim: Sim,
    ) -> Self {
        Self {
            topic: topic.name.clone(),
            index,
            model: Model::new(),
            stopped_at: None,
            sim,
            readers: Vec::new(),
            clock,
            eyes,
            codec: topic.codec,
            keeps: topic.keeps,
            partition: None,
            pending: None,
            tickets: Vec::new(),
            number,
            sent_count: 0,
        }
    }

    /// What was promised on another disk.
    pub(super) fn remember(&mut self, before: &Self) {
        self.model = before.model.clone();
        self.sent_count = before.sent_count;
    }

    /// A log shows this partition: that is held against the model, which then knows it.
    pub(super) fn opened(
        &mut self,
        partition: Partition,
        is_pending: bool,
        must: u64,
    ) -> Result<()> {
        self.let_go();
        self.stopped_at = None;
        self.partition = Some(partition);
        if is_pending {
            // The tail stays where it is, un-shown, until there is room.
            self.pending = Some(must);
            return Ok(());
        }
        self.adopt(must)
    }

    fn adopt(&mut self, must: u64) -> Result<()> {
        let mut found = self.look()?;
        if self.eyes == Eyes::MissTheLast && !found.batches.is_empty() {
            found.forget_last();
        }
        if let Err(what) = self.model.check(&found, must, Moment::Reopened) {
            panic!("{what}{}", self.story());
        }
        self.model.adopt(&found);
        Ok(())
    }

    pub(super) fn let_go(&mut self) {
        self.tickets.clear();
        self.readers.clear();
        self.partition = None;
        self.pending = None;
    }

    pub(crate) fn story(&self) -> String {
        format!(
            "\n{}-{} model: {:?}\nfiles: {}",
            self.topic,
            self.index,
            Brief(&self.model),
            list(self)
        )
    }

    pub(super) fn partition(&self) -> &Partition {
        self.partition.as_ref().expect("opened")
    }

    fn now(&self) -> Timestamp {
        self.clock.now().into()
    }

    /// One step. What it promised is in the model afterwards, even when it fails.
    pub(super) fn step(&mut self, step: Step) -> Result<()> {
        if self.pending.is_some() {
            return self.step_while_pending(step);
        }
        let done = self.take_step(step);
        self.note_durable();
        if let Err(error) = &done {
            self.note_error(error);
        }
        done
    }

    pub(super) fn note_error(&mut self, error: &Error) {
        if error.kind() == ErrorKind::Failed && self.stopped_at.is_none() {
            self.stopped_at = Some(self.partition().watermarks().durable.get());
        }
    }

    /// The first append that finds room shows the tail.
    fn step_while_pending(&mut self, step: Step) -> Result<()> {
        let Step::Append { bytes } = step else {
            return Ok(());
        };
        let values = self.new_values(1, bytes);
        let ticket = (self.partition()).append(Record::new(&values[0]).timestamp(self.now()))?;
        let must = self.pending.take().unwrap_or_default();
        let mut found = self.look()?;
        let added = found.forget_last();
        if let Err(what) = self.model.check(&found, must, Moment::CopyDone) {
            panic!("{what}{}", self.story());
        }
        self.model.adopt(&found);
        let sent = self.sent(values, None);
        assert_eq!((ticket.offset().get(), &sent), (sent.base, &added));
        self.model.acknowledge(sent);
        self.tickets.push(ticket);
        self.note_durable();
        Ok(())
    }

    fn take_step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Append { bytes } => {
                let values = self.new_values(1, bytes);
                let sent = self.sent(values, None);
                self.append(sent, |partition, sent| {
                    partition.append(Record::new(&sent.values[0]).timestamp(sent.at))
                })
            }
            Step::Submit { bytes } => {
                let values = self.new_values(1, bytes);
                let sent = self.sent(values, None);
                self.append(sent, |partition, sent| {
                    partition.submit(Record::new(&sent.values[0]))
                })
            }
            Step::AppendBatch { count, bytes } => {
                let values = self.new_values(count, bytes);
                let sent = self.sent(values, None);
                let codec = self.codec;
                self.append(sent, |partition, sent| {
                    partition.append_batch(&builder(sent, codec))
                })
            }
            Step::WaitDurable => self.wait_durable(),
            Step::Sync => {
                let end = self.partition().sync()?.get();
                let is_all = end == self.model.at || self.stopped_at.is_some();
                assert!(is_all, "a sync reaches {end}{}", self.story());
                Ok(())
            }
            Step::Send { producer, count } => self.send(producer, count),
            Step::Resend { producer } => self.resend(producer),
            Step::End { producer, kind } => self.end_transaction(producer, kind),
            Step::BeginEpoch => self.begin_epoch(),
            Step::DeleteBefore { part } => self.delete_before(part),
            Step::Truncate { part } => self.truncate(part),
            Step::Look => self.check_look(),
            Step::Read { cursor, records } => self.read_on(cursor as usize, records),
            Step::Maintain { .. } | Step::Reopen => unreachable!("a step of the whole log"),
        }
    }

    fn wait_durable(&mut self) -> Result<()> {
        let Some(ticket) = self.tickets.last() else {
            return Ok(());
        };
        match ticket.wait_durable() {
            Ok(()) => self.model.durable = self.model.durable.max(ticket.offsets().end.get()),
            // The truncation failed, and cut it all the same.
            Err(error) if error.kind() == ErrorKind::Gap && self.model.is_cutting => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn new_values(&mut self, count: usize, bytes: usize) -> Vec<Vec<u8>> {
        let mut values = Vec::new();
        for _ in 0..count {
            self.sent_count += 1;
            let stamp = self.sent_count | self.number << 48;
            let mut value = stamp.to_le_bytes().to_vec();
            value.resize(bytes.max(8), self.sent_count as u8);
            values.push(value);
        }
        values
    }

    fn sent(&self, values: Vec<Vec<u8>>, producer: Option<Stamp>) -> Sent {
        Sent {
            base: self.model.at,
            epoch: self.model.epoch,
            at: self.now(),
            values,
            producer,
        }
    }

    /// Appends; what failed may stand in the log nevertheless, whole, and nothing else.
    fn append(
        &mut self,
        sent: Sent,
        call: impl FnOnce(&Partition, &Sent) -> Result<Ticket>,
    ) -> Result<()> {
        match call(self.partition(), &sent) {
            Ok(ticket) => {
                let range = ticket.offsets();
                assert_eq!(
                    range.start.get()..range.end.get(),
                    sent.base..sent.end(),
                    "where it stands{}",
                    self.story()
                );
                assert!(
                    self.stopped_at.is_none(),
                    "writing had stopped{}",
                    self.story()
                );
                self.model.acknowledge(sent);
                self.tickets.push(ticket);
                Ok(())
            }
            Err(error) => {
                self.model.tried.push(Arc::new(sent));
                Err(error)
            }
        }
    }

    fn append_raw(&mut self, sent: Sent, batch: UnverifiedBatch) -> Result<()> {
        let epoch = LeaderEpoch::new(sent.epoch).expect("not negative");
        let story = self.story();
        self.append(sent, |partition, _| {
            match partition.replica().append_as_leader(batch, epoch)? {
                AppendOutcome::Appended(ticket) => Ok(ticket),
                other => panic!("{other:?}{story}"),
            }
        })
    }

    fn send(&mut self, producer: i64, count: usize) -> Result<()> {
        let values = self.new_values(count, 60);
        let last = self.model.fold().last.get(&producer).copied();
        // Of a producer whose data was trimmed the log may know a marker alone, and then begins at 0, as Kafka does.
        let is_forgotten = (self.partition().replica().producers().iter())
            .any(|known| known.id.get() == producer && known.batches.is_empty());
        let last = last.filter(|last| !is_forgotten || last.first_offset >= self.model.start);
        let kind = match producer {
            1 | 2 => Kind::Idempotent,
            _ => Kind::Transactional,
        };
        let stamp = Stamp {
            id: producer,
            first_sequence: last.map_or(0, |last| last.last_sequence + 1),
            kind,
        };
        let sent = self.sent(values, Some(stamp));
        let batch = builder(&sent, self.codec).finish()?;
        self.append_raw(sent, batch)
    }

    /// The last batch of a producer once more: it is not appended again.
    pub(super) fn resend(&mut self, producer: i64) -> Result<()> {
        let is_last = |sent: &&Arc<Sent>| {
            (sent.producer).is_some_and(|stamp| stamp.id == producer && !stamp.kind.is_marker())
        };
        let Some(sent) = self.model.batches.iter().rev().find(is_last).cloned() else {
            return Ok(());
        };
        // Below the log start producers may be forgotten; what lies above the end was cut, and may only come back.
        if sent.base < self.model.start_most || sent.end() > self.model.at {
            return Ok(());
        }
        let batch = builder(&sent, self.codec).finish()?;
        let epoch = LeaderEpoch::new(self.model.epoch).expect("not negative");
        match self.partition().replica().append_as_leader(batch, epoch)? {
            AppendOutcome::Duplicate { offsets } => {
                assert_eq!(
                    offsets.start.get()..offsets.end.get(),
                    sent.base..sent.end()
                );
                Ok(())
            }
            AppendOutcome::Appended(_) => panic!("a duplicate was appended again{}", self.story()),
            _ => unreachable!("appended or not"),
        }
    }

    fn end_transaction(&mut self, producer: i64, kind: Kind) -> Result<()> {
        let first = self.model.fold().open.get(&producer).copied();
        if first.is_none_or(|first| first < self.model.start_most) {
            return Ok(());
        }
        let stamp = Stamp {
            id: producer,
            first_sequence: -1,
            kind,
        };
        let sent = self.sent(vec![vec![0, 0, 0, 0, 0, 0]], Some(stamp));
        let marker = ControlMarker {
            kind: match kind {
                Kind::Commit => ControlKind::Commit,
                _ => ControlKind::Abort,
            },
            producer_id: ProducerId::new(producer).expect("not negative"),
            producer_epoch: ProducerEpoch::new(0).expect("not negative"),
            coordinator_epoch: 0,
            timestamp: sent.at,
        };
        self.append_raw(sent, RecordBatchBuilder::control(marker))
    }

    fn begin_epoch(&mut self) -> Result<()> {
        let epoch = self.model.epoch + 1;
        let id = LeaderEpoch::new(epoch).expect("not negative");
        let begun = self.partition().replica().begin_epoch(id);
        // One that failed may have begun nevertheless; that it lasts is not promised then.
        let known = self.partition().replica().epochs();
        if known.last().is_some_and(|(latest, _)| *latest == id) {
            self.model.epoch = epoch;
        }
        begun?;
        self.model.epochs.push((epoch, self.model.at));
        Ok(())
    }

    fn delete_before(&mut self, part: u64) -> Result<()> {
        let marks = self.partition().watermarks();
        let (start, end) = (marks.start.get(), marks.high.get());
        let target = start + (end - start) * part / 1000;
        self.model.start_most = self.model.start_most.max(target);
        let offset = Offset::new(target)?;
        let done = self.partition().delete_records_before(offset);
        if done.is_err() {
            // The start is on the medium before segments go, and stays there when that fails.
            self.after_retention();
        }
        let now = done?;
        assert_eq!(now, offset, "the start that was asked for{}", self.story());
        self.model.start = target;
        self.model.kept = self.model.kept.max(target);
        self.model.durable = self.model.durable.max(target);
        Ok(())
    }

    fn truncate(&mut self, part: u64) -> Result<()> {
        let (start, end) = (self.model.start, self.model.at);
        let target = start + (end - start) * part / 1000;
        if target >= end {
            return Ok(());
        }
        let cut = self.model.cut_at(target);
        self.model.truncating(cut);
        let done = (self.partition().replica()).truncate_to(Offset::new(target)?);
        self.model.at = self.partition().watermarks().end.get();
        let now = done?;
        assert_eq!(
            now.get(),
            cut,
            "cut at the batch that holds {target}{}",
            self.story()
        );
        self.model.truncated(cut);
        self.tickets.clear();
        // Epochs without records are forgotten, as Kafka does.
        let epochs = self.partition().replica().epochs();
        self.model.epochs = epochs.iter().map(|(e, o)| (e.get(), o.get())).collect();
        self.model.epoch = self.model.epochs.last().map_or(0, |(epoch, _)| *epoch);
        Ok(())
    }

    /// What the log says is durable. Once writing has stopped, that does not move.
    pub(super) fn note_durable(&mut self) {
        let Some(partition) = &self.partition else {
            return;
        };
        let durable = partition.watermarks().durable.get();
        if let Some(stopped_at) = self.stopped_at {
            let most = stopped_at.max(self.model.start_most);
            assert!(
                durable <= most,
                "durable moved from {stopped_at} to {durable}{}",
                self.story()
            );
        }
        // While a truncation is on its way the old mark is no promise any more.
        if !self.model.is_cutting {
            self.model.durable = self.model.durable.max(durable);
            // What failed may have become durable nevertheless: a reader may have seen it.
            self.model.kept = self.model.kept.max(durable);
        }
    }

    /// Tickets that were not durable when writing stopped never are.
    pub(crate) fn check_stopped(&self) {
        if self.stopped_at.is_none() {
            return;
        }
        let durable = self.partition().watermarks().durable;
        let is_open = |ticket: &&Ticket| ticket.offsets().end > durable;
        for ticket in self.tickets.iter().filter(is_open) {
            assert!(!ticket.is_durable(), "{}", self.story());
            let error = ticket.wait_durable().expect_err("its sync failed");
            let is_cut = self.model.is_cutting && error.kind() == ErrorKind::Gap;
            let is_failed = error.kind() == ErrorKind::Failed;
            assert!(is_failed || is_cut, "{error}{}", self.story());
        }
        let error = (self.partition().append(Record::new("x"))).expect_err("writing has stopped");
        assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    }

    /// Retention may move the start as far as its bounds allow, and no further.
    pub(super) fn before_retention(&mut self) {
        let most = self.most_that_retention_drops();
        self.model.start_most = self.model.start_most.max(most);
    }

    pub(super) fn after_retention(&mut self) {
        let start = self.partition().watermarks().start.get();
        if self.pending.is_some() && start <= self.model.start {
            // What is shown ends below the start until the tail's copy finds room.
            return;
        }
        assert!(
            (self.model.start..=self.model.start_most).contains(&start),
            "retention moved the start to {start}{}",
            self.story()
        );
        self.model.started_at(start);
    }

    fn most_that_retention_drops(&self) -> u64 {
        let Ok(segments) = self.partition().segments() else {
            // A read failed: nobody knows.
            return self.model.at;
        };
        let mut left: u64 = segments.iter().map(|segment| segment.size_bytes()).sum();
        let mut most = self.model.start;
        for segment in segments {
            left = left.saturating_sub(segment.size_bytes());
            let range = segment.base_offset().get()..segment.end_offset().get();
            let newest = self.model.newest_in(range.clone());
            let age = newest.map_or(Duration::ZERO, |at| self.now().saturating_since(at));
            let is_old = self.keeps.time.is_some_and(|time| age > time);
            let is_spare = self.keeps.bytes.is_some_and(|bytes| left >= bytes);
            let is_below = range.end <= self.model.start;
            if !is_old && !is_spare && !is_below {
                break;
            }
            most = most.max(range.end);
        }
        most
    }
}

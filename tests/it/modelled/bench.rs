//! A log on a simulated disk, worked on step by step beside the model of what it promised.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stratalog::storage::sim::Sim;
use stratalog::{
    AppendOutcome, ControlKind, ControlMarker, Error, ErrorKind, LeaderEpoch, Log, Maintenance,
    ManualClock, Offset, Partition, ProducerEpoch, ProducerId, Record, RecordBatchBuilder, Result,
    Ticket, Timestamp, UnverifiedBatch,
};

use super::look::{Brief, builder, list};
use super::model::{Kind, Model, Sent, Stamp};
use super::workload::{Step, Workload};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const TOPIC: &str = "events";

/// An open log and what it has promised so far.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) sim: Sim,
    pub(super) workload: Workload,
    pub(super) model: Model,
    pub(super) open: Option<(Log, Partition)>,
    clock: Arc<ManualClock>,
    tickets: Vec<Ticket>,
    /// The durable end when writing stopped.
    pub(super) stopped_at: Option<u64>,
    sent_count: u64,
}

impl Bench {
    pub(super) fn new(sim: Sim, workload: Workload) -> Self {
        Self {
            sim,
            workload,
            model: Model::new(),
            open: None,
            clock: Arc::new(ManualClock::at(NOW)),
            tickets: Vec::new(),
            stopped_at: None,
            sent_count: 0,
        }
    }

    /// A bench on another disk that remembers the same promises.
    pub(super) fn on(sim: Sim, workload: &Workload, model: &Model) -> Self {
        Self {
            model: model.clone(),
            ..Self::new(sim, workload.clone())
        }
    }

    /// Opens the log and makes the topic; what the open shows is held against the model, which then knows it.
    pub(super) fn open(&mut self, must: u64) -> Result<()> {
        let log = Log::builder(Path::new("/log"))
            .storage(Arc::new(self.sim.clone()))
            .clock(self.clock.clone())
            .maintenance(Maintenance::Manual)
            .defaults(self.workload.options())
            .open()?;
        let report = log.recovery();
        assert!(
            !report.was_adopted(),
            "nobody else wrote: {report}{}",
            self.story()
        );
        for partition in report.partitions() {
            let gaps = partition.gaps();
            assert!(
                gaps.is_empty(),
                "a crash is no damage: {partition}{}",
                self.story()
            );
        }
        let pending = (report.partitions().iter()).any(|p| p.copy_pending().is_some());
        let has_topic = !log.topics().is_empty();
        assert!(
            has_topic || !self.model.has_topic,
            "the topic is gone{}",
            self.story()
        );
        let partition = log.topic(TOPIC)?.partition(0)?;
        self.model.has_topic = true;
        self.stopped_at = None;
        self.tickets.clear();
        self.open = Some((log, partition));
        if pending {
            // The tail stays where it is, un-shown, until there is room.
            return Ok(());
        }
        let found = self.look()?;
        if let Err(what) = self.model.check(&found, must) {
            panic!(
                "{what}\n{}{}",
                self.open
                    .as_ref()
                    .map_or(String::new(), |(log, _)| log.recovery().to_string()),
                self.story()
            );
        }
        self.model.adopt(&found);
        Ok(())
    }

    pub(super) fn story(&self) -> String {
        format!(
            "\nmodel: {:?}\nfiles: {}",
            Brief(&self.model),
            list(&self.sim)
        )
    }

    pub(super) fn partition(&self) -> &Partition {
        &self.open.as_ref().expect("opened").1
    }

    /// Runs the steps until one fails; the step and its error.
    pub(super) fn run_until_error(&mut self) -> Option<(usize, Error)> {
        if let Err(error) = self.open(0) {
            return Some((0, error));
        }
        for number in 0..self.workload.steps.len() {
            if let Err(error) = self.step(self.workload.steps[number]) {
                return Some((number + 1, error));
            }
        }
        None
    }

    /// One step. What it promised is in the model afterwards, even when it fails.
    pub(super) fn step(&mut self, step: Step) -> Result<()> {
        self.clock.advance(Duration::from_millis(150));
        let done = self.take_step(step);
        self.note_durable();
        if let Err(error) = &done
            && error.kind() == ErrorKind::Failed
            && self.stopped_at.is_none()
        {
            let durable = (self.open.as_ref()).map(|(_, log)| log.watermarks().durable.get());
            self.stopped_at = durable;
        }
        done
    }

    fn take_step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Append { bytes } => {
                let values = self.new_values(1, bytes);
                let sent = self.sent(values, None);
                self.append(sent, |partition, sent| {
                    partition.append(Record::new(&sent.values[0]).timestamp(NOW))
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
                self.append(sent, |partition, sent| {
                    partition.append_batch(&builder(sent))
                })
            }
            Step::WaitDurable => match self.tickets.last() {
                Some(ticket) => ticket.wait_durable().inspect(|()| {
                    self.model.durable = self.model.durable.max(ticket.offsets().end.get());
                }),
                None => Ok(()),
            },
            Step::Sync => {
                let end = self.partition().sync()?.get();
                assert_eq!(end, self.model.at, "a sync reaches the end{}", self.story());
                Ok(())
            }
            Step::Send { producer, count } => self.send(producer, count),
            Step::Resend { producer } => self.resend(producer),
            Step::End { producer, kind } => self.end_transaction(producer, kind),
            Step::BeginEpoch => {
                let epoch = self.model.epoch + 1;
                let id = LeaderEpoch::new(epoch).expect("not negative");
                self.partition().replica().begin_epoch(id)?;
                self.model.epochs.push((epoch, self.model.at));
                self.model.epoch = epoch;
                Ok(())
            }
            Step::DeleteBefore { part } => self.delete_before(part),
            Step::Truncate { part } => self.truncate(part),
            Step::Maintain => {
                self.clock.advance(Duration::from_secs(40));
                let (log, _) = self.open.as_ref().expect("opened");
                log.maintain(Duration::from_secs(1))
            }
            Step::Reopen => {
                let closed = self.open.as_ref().expect("opened").0.close();
                if closed.is_ok() {
                    self.model.durable = self.model.kept;
                }
                self.tickets.clear();
                self.open = None;
                closed?;
                let kept = self.model.kept;
                self.open(kept)
            }
        }
    }

    fn new_values(&mut self, count: usize, bytes: usize) -> Vec<Vec<u8>> {
        let mut values = Vec::new();
        for _ in 0..count {
            self.sent_count += 1;
            let mut value = self.sent_count.to_le_bytes().to_vec();
            value.resize(bytes.max(8), self.sent_count as u8);
            values.push(value);
        }
        values
    }

    fn sent(&self, values: Vec<Vec<u8>>, producer: Option<Stamp>) -> Sent {
        Sent {
            base: self.model.at,
            epoch: self.model.epoch,
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
        let batch = builder(&sent).finish()?;
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
        // An open transaction is not needed for a duplicate; below the log start producers may be forgotten.
        if sent.base < self.model.start_most {
            return Ok(());
        }
        let batch = builder(&sent).finish()?;
        let epoch = LeaderEpoch::new(self.model.epoch).expect("not negative");
        match self.partition().replica().append_as_leader(batch, epoch)? {
            AppendOutcome::Duplicate { offsets } => {
                assert_eq!(
                    offsets.start.get()..offsets.end.get(),
                    sent.base..sent.end()
                );
                Ok(())
            }
            other => panic!("a duplicate was appended again: {other:?}{}", self.story()),
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
            timestamp: NOW,
        };
        self.append_raw(sent, RecordBatchBuilder::control(marker))
    }

    fn delete_before(&mut self, part: u64) -> Result<()> {
        let marks = self.partition().watermarks();
        let (start, end) = (marks.start.get(), marks.high.get());
        let target = start + (end - start) * part / 1000;
        self.model.start_most = self.model.start_most.max(target);
        let offset = Offset::new(target)?;
        let now = self.partition().delete_records_before(offset)?;
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
        // Epochs without records are forgotten, as Kafka does.
        let epochs = self.partition().replica().epochs();
        self.model.epochs = epochs.iter().map(|(e, o)| (e.get(), o.get())).collect();
        self.model.epoch = self.model.epochs.last().map_or(0, |(epoch, _)| *epoch);
        self.tickets.clear();
        Ok(())
    }

    /// What the log says is durable. Once writing has stopped, that does not move.
    fn note_durable(&mut self) {
        let Some((_, partition)) = &self.open else {
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
    pub(super) fn check_stopped(&self) {
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
}

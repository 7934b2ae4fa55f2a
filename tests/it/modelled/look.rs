//! All that an open log holds, read in each way there is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use stratalog::{
    Compression, Fetch, LeaderEpoch, ProducerEpoch, ProducerId, ReadUpTo, Record, RecordBatch,
    RecordBatchBuilder, Result, Sequence, Start, UnverifiedBatch,
};

use super::model::{Found, Kind, Last, Model, Moment, Sent, Stamp};
use super::subject::Subject;

impl Subject {
    /// In the middle of its life a log holds exactly what was acknowledged.
    pub(super) fn check_look(&mut self) -> Result<()> {
        let found = self.look()?;
        let moment = match self.stopped_at {
            Some(_) => Moment::Stopped,
            None => Moment::Running,
        };
        match self.model.check(&found, self.model.kept, moment) {
            Ok(()) => Ok(()),
            Err(what) => panic!("{what}{}", self.story()),
        }
    }

    /// Reads all there is, in each way.
    pub(super) fn look(&self) -> Result<Found> {
        let partition = self.partition();
        let marks = partition.watermarks();
        let mut batches = Vec::new();
        let mut from = marks.start;
        while from < marks.end {
            let fetched = partition.fetch(&Fetch::from(from))?;
            assert!(
                fetched.next_offset() > from,
                "a fetch gets on{}",
                self.story()
            );
            for batch in UnverifiedBatch::split(fetched.bytes()?) {
                batches.push(received(&batch?.verify()?)?);
            }
            from = fetched.next_offset();
        }
        let records = |up_to| -> Result<Vec<(u64, Vec<u8>)>> {
            let cursor = partition.cursor(Start::Earliest)?.read_up_to(up_to);
            cursor
                .map(|record| {
                    record.map(|r| (r.offset().get(), r.value().unwrap_or_default().to_vec()))
                })
                .collect()
        };
        let replica = partition.replica();
        let mut producers = BTreeMap::new();
        for producer in replica.producers() {
            let last = producer.batches.last().map(|last| Last {
                first_sequence: last.first_sequence.get(),
                last_sequence: last.last_sequence.get(),
                first_offset: last.first_offset.get(),
                last_offset: last.last_offset.get(),
            });
            producers.insert(producer.id.get(), last);
        }
        let aborted = replica.aborted(marks.start..marks.end)?;
        let place = |a: &stratalog::AbortedTransaction| {
            (
                a.producer_id().get(),
                a.first_offset().get(),
                a.last_offset().get(),
            )
        };
        Ok(Found {
            batches,
            start: marks.start.get(),
            end: marks.end.get(),
            high: marks.high.get(),
            durable: marks.durable.get(),
            last_stable: marks.last_stable.get(),
            epochs: (replica.epochs().iter())
                .map(|(e, o)| (e.get(), o.get()))
                .collect(),
            producers,
            aborted: aborted.iter().map(place).collect(),
            shown: records(ReadUpTo::End)?,
            committed: records(ReadUpTo::LastStable)?,
        })
    }
}

pub(super) fn builder(sent: &Sent, codec: Compression) -> RecordBatchBuilder {
    let mut builder = RecordBatchBuilder::new(codec);
    if let Some(stamp) = sent.producer {
        builder = builder.producer(
            ProducerId::new(stamp.id).expect("not negative"),
            ProducerEpoch::new(0).expect("not negative"),
            Sequence::new(stamp.first_sequence).expect("not negative"),
        );
        if stamp.kind == Kind::Transactional {
            builder = builder.transactional();
        }
    }
    for value in &sent.values {
        builder
            .push(Record::new(value).timestamp(sent.at))
            .expect("small");
    }
    builder
}

fn received(batch: &RecordBatch) -> Result<Sent> {
    let (mut values, mut times) = (Vec::new(), Vec::new());
    let mut kind = match batch.is_transactional() {
        true => Kind::Transactional,
        false => Kind::Idempotent,
    };
    for record in batch.records() {
        let record = record?;
        if batch.is_control() {
            kind = match record.key() {
                Some([0, 0, 0, 1]) => Kind::Commit,
                _ => Kind::Abort,
            };
        }
        values.push(record.value().unwrap_or_default().to_vec());
        times.extend(record.timestamp());
    }
    let at = times.first().copied().expect("a record has a time");
    assert_eq!(times, vec![at; values.len()], "the times of a batch");
    Ok(Sent {
        at,
        base: batch.base_offset().get(),
        epoch: batch.leader_epoch().map_or(0, LeaderEpoch::get),
        values,
        producer: batch.producer_id().map(|id| Stamp {
            id: id.get(),
            first_sequence: batch.base_sequence().map_or(-1, Sequence::get),
            kind,
        }),
    })
}

/// A model in few words.
pub(super) struct Brief<'m>(pub(super) &'m Model);

impl std::fmt::Debug for Brief<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let m = self.0;
        let places = |batches: &[Arc<Sent>]| -> Vec<_> {
            (batches.iter())
                .map(|b| (b.base..b.end(), b.epoch, b.producer))
                .collect()
        };
        write!(
            f,
            "start {}..={}, durable {}, kept {}, epochs {:?}, batches {:?}, tried {:?}",
            m.start,
            m.start_most,
            m.durable,
            m.kept,
            m.epochs,
            places(&m.batches),
            places(&m.tried)
        )
    }
}

/// The files of a partition.
pub(super) fn list(subject: &Subject) -> String {
    use stratalog::storage::Storage;
    let dir = format!("/log/{}-{}", subject.topic, subject.index);
    let entries = subject.sim.list(Path::new(&dir)).unwrap_or_default();
    let lines = entries.iter().map(|entry| format!("{entry:?}"));
    lines.collect::<Vec<_>>().join("\n       ")
}

use super::*;
use crate::batch::{Record, RecordBatchBuilder};
use crate::compress::Compression;
use crate::ids::LeaderEpoch;

/// What a test says of a batch.
#[derive(Clone, Copy)]
struct Sent {
    id: i64,
    epoch: i16,
    sequence: i32,
    count: u32,
    transactional: bool,
}

fn data(id: i64, epoch: i16, sequence: i32, count: u32) -> Sent {
    Sent {
        id,
        epoch,
        sequence,
        count,
        transactional: false,
    }
}

fn in_transaction(sent: Sent) -> Sent {
    Sent {
        transactional: true,
        ..sent
    }
}

impl Sent {
    fn header(self, base: u64) -> BatchHeader {
        let mut builder = RecordBatchBuilder::new(Compression::None).producer(
            ProducerId::new(self.id).unwrap(),
            ProducerEpoch::new(self.epoch).unwrap(),
            Sequence::new(self.sequence).unwrap(),
        );
        if self.transactional {
            builder = builder.transactional();
        }
        for _ in 0..self.count {
            builder
                .push(Record::new("v").timestamp(Timestamp::from_millis(1_000)))
                .unwrap();
        }
        let batch = builder.finish().unwrap();
        *batch
            .stamped(Offset::new(base).unwrap(), LeaderEpoch::ZERO)
            .unwrap()
            .header()
    }
}

fn marker(kind: ControlKind, id: i64, epoch: i16, coordinator_epoch: i32) -> ControlMarker {
    ControlMarker {
        kind,
        producer_id: ProducerId::new(id).unwrap(),
        producer_epoch: ProducerEpoch::new(epoch).unwrap(),
        coordinator_epoch,
        timestamp: Timestamp::from_millis(2_000),
    }
}

/// A log of batches, folded as it grows.
#[derive(Default)]
struct Folded {
    producers: Producers,
    end: u64,
}

impl Folded {
    fn check(&self, sent: Sent) -> Result<Admission> {
        self.producers.check(&sent.header(0), None, Origin::Leader)
    }

    fn append(&mut self, sent: Sent) -> Result<Admission> {
        let admission = self.check(sent)?;
        if admission == Admission::New {
            self.producers.apply(&sent.header(self.end), None);
            self.end += u64::from(sent.count);
        }
        Ok(admission)
    }

    fn mark(&mut self, marker: ControlMarker) -> Result<Option<AbortedTransaction>> {
        let batch = RecordBatchBuilder::control(marker);
        let batch = batch
            .stamped(Offset::new(self.end).unwrap(), LeaderEpoch::ZERO)
            .unwrap();
        self.producers
            .check(batch.header(), Some(&marker), Origin::Leader)?;
        self.end += 1;
        Ok(self.producers.apply(batch.header(), Some(&marker)))
    }

    fn unstable(&self, high: u64) -> Option<u64> {
        self.producers
            .first_unstable(Offset::new(high).unwrap())
            .map(Offset::get)
    }
}

fn check_refused(result: Result<Admission>, kind: ErrorKind) {
    assert_eq!(result.expect_err("refused").kind(), kind);
}

#[test]
fn a_batch_that_comes_again_is_recognised_among_the_last_five() {
    let mut log = Folded::default();
    for index in 0..6 {
        assert_eq!(
            log.append(data(1, 0, index * 10, 10)).unwrap(),
            Admission::New
        );
    }
    for index in 1..6u64 {
        let offsets = Offset::new(index * 10).unwrap()..Offset::new(index * 10 + 10).unwrap();
        let again = log
            .append(data(1, 0, i32::try_from(index).unwrap() * 10, 10))
            .unwrap();
        assert_eq!(again, Admission::Duplicate { offsets });
    }
    check_refused(log.append(data(1, 0, 0, 10)), ErrorKind::OutOfSequence);
    check_refused(log.append(data(1, 0, 50, 9)), ErrorKind::OutOfSequence);
}

#[test]
fn a_sequence_must_follow_the_last_one_and_wraps_at_the_largest() {
    let mut log = Folded::default();
    log.append(data(1, 0, i32::MAX - 1, 2))
        .expect("an unknown producer may start anywhere");
    check_refused(log.check(data(1, 0, 1, 1)), ErrorKind::OutOfSequence);
    log.append(data(1, 0, 0, 1))
        .expect("after the largest comes 0");
    log.append(data(1, 0, 1, 1)).unwrap();
    check_refused(log.check(data(1, 0, 3, 1)), ErrorKind::OutOfSequence);
}

#[test]
fn a_sequence_may_wrap_inside_a_batch() {
    let mut log = Folded::default();
    log.append(data(1, 0, i32::MAX - 1, 4)).unwrap();
    assert!(matches!(
        log.append(data(1, 0, i32::MAX - 1, 4)),
        Ok(Admission::Duplicate { .. })
    ));
    assert_eq!(log.append(data(1, 0, 2, 1)).unwrap(), Admission::New);
}

#[test]
fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
    let mut log = Folded::default();
    log.append(data(1, 0, 0, 5)).unwrap();
    check_refused(log.check(data(1, 1, 5, 1)), ErrorKind::OutOfSequence);
    log.append(data(1, 1, 0, 1)).unwrap();
    check_refused(log.check(data(1, 0, 5, 1)), ErrorKind::Fenced);
    check_refused(log.check(data(1, 0, 0, 5)), ErrorKind::Fenced);
}

#[test]
fn what_a_leader_has_checked_is_not_checked_again() {
    let mut log = Folded::default();
    log.append(data(1, 3, 0, 5)).unwrap();
    for sent in [data(1, 0, 77, 1), data(1, 3, 77, 1), data(1, 3, 0, 5)] {
        let admission = log
            .producers
            .check(&sent.header(0), None, Origin::Replication);
        assert_eq!(admission.unwrap(), Admission::New);
    }
}

#[test]
fn asking_changes_nothing() {
    let mut log = Folded::default();
    log.append(data(1, 0, 0, 1)).unwrap();
    let before = log.producers.list();
    for _ in 0..3 {
        log.check(data(1, 0, 1, 1)).unwrap();
        log.check(data(2, 0, 0, 1)).unwrap();
    }
    assert_eq!(log.producers.list(), before);
}

#[test]
fn an_open_transaction_holds_back_until_its_marker_is_passed() {
    let mut log = Folded::default();
    log.append(data(9, 0, 0, 3)).unwrap();
    log.append(in_transaction(data(1, 0, 0, 2))).unwrap();
    log.append(in_transaction(data(2, 0, 0, 2))).unwrap();
    assert_eq!(log.unstable(7), Some(3));
    assert_eq!(
        log.mark(marker(ControlKind::Commit, 1, 0, 0)).unwrap(),
        None
    );
    assert_eq!(log.unstable(7), Some(3), "the marker at 7 is not passed");
    assert_eq!(log.unstable(8), Some(5));
    log.producers.forget_decided_below(Offset::new(8).unwrap());
    let aborted = log
        .mark(marker(ControlKind::Abort, 2, 0, 0))
        .unwrap()
        .expect("an abort");
    let offsets = (
        aborted.first.get(),
        aborted.last.get(),
        aborted.last_stable.get(),
    );
    assert_eq!(offsets, (5, 8, 9));
    assert_eq!(log.unstable(9), None);
}

#[test]
fn an_abort_names_the_oldest_other_open_transaction() {
    let mut log = Folded::default();
    log.append(in_transaction(data(1, 0, 0, 8))).unwrap();
    log.append(in_transaction(data(2, 0, 0, 2))).unwrap();
    let aborted = log
        .mark(marker(ControlKind::Abort, 2, 0, 0))
        .unwrap()
        .expect("an abort");
    assert_eq!(
        (
            aborted.first.get(),
            aborted.last.get(),
            aborted.last_stable.get()
        ),
        (8, 10, 0)
    );
}

#[test]
fn a_marker_without_data_aborts_nothing_and_the_next_sequence_is_zero() {
    let mut log = Folded::default();
    assert_eq!(log.mark(marker(ControlKind::Abort, 1, 0, 0)).unwrap(), None);
    check_refused(log.check(data(1, 0, 5, 1)), ErrorKind::OutOfSequence);
    log.append(data(1, 0, 0, 1)).unwrap();
}

#[test]
fn a_marker_one_epoch_above_the_data_ends_the_transaction() {
    let mut log = Folded::default();
    log.append(in_transaction(data(1, 0, 0, 2))).unwrap();
    assert!(
        log.mark(marker(ControlKind::Abort, 1, 1, 0))
            .unwrap()
            .is_some()
    );
    check_refused(
        log.check(in_transaction(data(1, 0, 2, 1))),
        ErrorKind::Fenced,
    );
    log.append(in_transaction(data(1, 1, 0, 1)))
        .expect("the marker raised the epoch");
}

#[test]
fn an_older_coordinator_is_fenced() {
    let mut log = Folded::default();
    log.append(in_transaction(data(1, 0, 0, 1))).unwrap();
    log.mark(marker(ControlKind::Commit, 1, 0, 5)).unwrap();
    log.append(in_transaction(data(1, 0, 1, 1))).unwrap();
    let error = log
        .mark(marker(ControlKind::Commit, 1, 0, 4))
        .expect_err("older");
    assert_eq!(error.kind(), ErrorKind::Fenced);
}

#[test]
fn a_batch_outside_of_the_open_transaction_is_refused() {
    let mut log = Folded::default();
    log.append(in_transaction(data(1, 0, 0, 1))).unwrap();
    check_refused(log.check(data(1, 0, 1, 1)), ErrorKind::InvalidInput);
}

#[test]
fn an_idle_producer_is_forgotten_unless_its_transaction_is_open() {
    let mut log = Folded::default();
    log.append(data(1, 0, 0, 1)).unwrap();
    log.append(in_transaction(data(2, 0, 0, 1))).unwrap();
    log.producers.expire(Timestamp::from_millis(1_999), 1_000);
    assert_eq!(log.producers.list().len(), 2);
    log.producers.expire(Timestamp::from_millis(2_000), 1_000);
    let left: Vec<i64> = log
        .producers
        .list()
        .iter()
        .map(|info| info.id.get())
        .collect();
    assert_eq!(left, [2]);
}

#[test]
fn a_snapshot_is_kafkas_byte_for_byte() {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let empty = "000148674bc700000000";
    assert_eq!(hex(&Producers::default().to_snapshot()), empty);
    let batch = ProducerBatch {
        first_sequence: Sequence::new(20).unwrap(),
        last_sequence: Sequence::new(24).unwrap(),
        first_offset: Offset::new(10).unwrap(),
        last_offset: Offset::new(14).unwrap(),
        timestamp: Some(Timestamp::from_millis(1_700_000_000_000)),
    };
    let producer = Producer {
        epoch: ProducerEpoch::new(5).unwrap(),
        coordinator_epoch: None,
        last_timestamp: batch.timestamp,
        batches: VecDeque::from([batch]),
    };
    let mut producers = Producers::default();
    producers
        .by_id
        .insert(ProducerId::new(1_234).unwrap(), producer);
    let expected = concat!(
        "000113c46fd60000000100000000000004d2000500000018000000000000000e",
        "000000040000018bcfe56800ffffffffffffffffffffffff"
    );
    assert_eq!(hex(&producers.to_snapshot()), expected);
    let read = Producers::from_snapshot(&producers.to_snapshot()).unwrap();
    assert_eq!(read.list(), producers.list());
}

#[test]
fn a_damaged_snapshot_is_refused_at_every_bit_and_every_length() {
    let mut log = Folded::default();
    log.append(data(1, 0, 0, 1)).unwrap();
    log.append(in_transaction(data(2, 0, 0, 1))).unwrap();
    let bytes = log.producers.to_snapshot();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Producers::from_snapshot(&damaged).is_err(), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(
            Producers::from_snapshot(&bytes[..length]).is_err(),
            "length {length}"
        );
    }
}

#[test]
fn a_snapshot_and_the_batches_behind_it_give_what_all_batches_give() {
    // Three producers, transactions decided and open, a snapshot at each place.
    let script: Vec<(Option<Sent>, Option<ControlMarker>)> = vec![
        (Some(data(1, 0, 0, 3)), None),
        (Some(in_transaction(data(2, 0, 0, 2))), None),
        (Some(data(1, 0, 3, 1)), None),
        (None, Some(marker(ControlKind::Abort, 2, 0, 1))),
        (Some(in_transaction(data(3, 4, 0, 2))), None),
        (Some(in_transaction(data(2, 0, 2, 1))), None),
        (None, Some(marker(ControlKind::Commit, 2, 1, 1))),
    ];
    let play = |log: &mut Folded, steps: &[(Option<Sent>, Option<ControlMarker>)]| {
        for (sent, marker) in steps {
            if let Some(sent) = sent {
                log.append(*sent).unwrap();
            }
            if let Some(marker) = marker {
                log.mark(*marker).unwrap();
            }
        }
    };
    let mut whole = Folded::default();
    play(&mut whole, &script);
    for cut in 0..=script.len() {
        let mut first = Folded::default();
        play(&mut first, &script[..cut]);
        let producers = Producers::from_snapshot(&first.producers.to_snapshot()).unwrap();
        let mut replayed = Folded {
            producers,
            end: first.end,
        };
        play(&mut replayed, &script[cut..]);
        let last = |log: &Folded| -> Vec<_> {
            let list = log.producers.list();
            list.into_iter()
                .map(|mut info| {
                    (
                        info.batches.pop(),
                        ProducerInfo {
                            batches: Vec::new(),
                            ..info
                        },
                    )
                })
                .collect()
        };
        assert_eq!(last(&replayed), last(&whole), "snapshot after {cut} steps");
        assert_eq!(replayed.unstable(100), whole.unstable(100));
    }
}

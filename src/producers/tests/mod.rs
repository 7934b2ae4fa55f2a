mod kafka;
mod laws;

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

    fn snapshot(&self) -> Result<Producers, &'static str> {
        let end = Offset::new(self.end).unwrap();
        Producers::from_snapshot(&self.producers.to_snapshot(), end)
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
    let end = Offset::new(15).unwrap();
    let read = Producers::from_snapshot(&producers.to_snapshot(), end).unwrap();
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
        assert!(
            Producers::from_snapshot(&damaged, Offset::MAX).is_err(),
            "bit {bit}"
        );
    }
    for length in 0..bytes.len() {
        assert!(
            Producers::from_snapshot(&bytes[..length], Offset::MAX).is_err(),
            "length {length}"
        );
    }
}

/// The bytes of a snapshot with a right checksum, whatever its entries say.
fn sealed(count: i32, entries: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 1, 0, 0, 0, 0];
    bytes.extend(count.to_be_bytes());
    bytes.extend(entries);
    let checksum = crc32c::crc32c(&bytes[6..]);
    bytes[2..6].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// An entry: id, epoch, last sequence, last offset, delta, time, coordinator epoch, first offset of the transaction.
#[rustfmt::skip]
fn entry(id: i64, epoch: i16, sequence: i32, offset: i64, delta: i32, transaction: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(id.to_be_bytes());
    bytes.extend(epoch.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(offset.to_be_bytes());
    bytes.extend(delta.to_be_bytes());
    bytes.extend(1_000i64.to_be_bytes());
    bytes.extend((-1i32).to_be_bytes());
    bytes.extend(transaction.to_be_bytes());
    bytes
}

#[test]
fn a_snapshot_that_says_what_cannot_be_is_refused_in_spite_of_its_checksum() {
    let end = Offset::new(100).unwrap();
    let fault = |count: i32, entries: &[u8]| {
        Producers::from_snapshot(&sealed(count, entries), end).expect_err("refused")
    };
    assert!(fault(i32::MAX, &[]).contains("count"));
    assert!(fault(-1, &[]).contains("count"));
    assert!(fault(1, &[entry(1, 0, 0, 0, 0, -1), vec![0]].concat()).contains("count"));
    assert!(fault(1, &entry(-1, 0, 0, 0, 0, -1)).contains("id"));
    assert!(fault(1, &entry(1, -1, 0, 0, 0, -1)).contains("epoch"));
    assert!(fault(1, &entry(1, 0, 9, 99, -1, -1)).contains("delta"));
    assert!(fault(1, &entry(1, 0, 9, 5, 6, -1)).contains("below offset 0"));
    assert!(fault(1, &entry(1, 0, 9, 100, 0, -1)).contains("above"));
    assert!(fault(1, &entry(1, 0, 9, i64::MAX, 0, -1)).contains("above"));
    assert!(fault(1, &entry(1, 0, 9, 99, 0, 100)).contains("above"));
    let twice = [entry(1, 0, 9, 99, 0, -1), entry(1, 1, 9, 99, 0, -1)].concat();
    assert!(fault(2, &twice).contains("twice"));
    let kept = Producers::from_snapshot(&sealed(1, &entry(1, 0, 9, 99, 9, 90)), end).unwrap();
    assert_eq!(kept.first_unstable(end).map(Offset::get), Some(90));
}

#[test]
fn after_a_snapshot_the_last_batch_is_still_recognised_and_the_next_one_follows() {
    let mut log = Folded::default();
    log.append(data(1, 2, i32::MAX - 2, 3)).unwrap();
    log.append(data(1, 2, 0, 4)).unwrap();
    log.mark(marker(ControlKind::Commit, 5, 7, 3)).unwrap();
    log.producers = log.snapshot().unwrap();
    let offsets = Offset::new(3).unwrap()..Offset::new(7).unwrap();
    let again = log.check(data(1, 2, 0, 4)).unwrap();
    assert_eq!(again, Admission::Duplicate { offsets });
    check_refused(
        log.check(data(1, 2, i32::MAX - 2, 3)),
        ErrorKind::OutOfSequence,
    );
    check_refused(log.check(data(1, 1, 4, 1)), ErrorKind::Fenced);
    assert_eq!(log.check(data(1, 2, 4, 1)).unwrap(), Admission::New);
    // Of producer 5 only the marker is known: its sequences start at 0, and its coordinator stays fenced.
    check_refused(log.check(data(5, 7, 1, 1)), ErrorKind::OutOfSequence);
    assert_eq!(log.check(data(5, 7, 0, 1)).unwrap(), Admission::New);
    let older = log.mark(marker(ControlKind::Abort, 5, 7, 2));
    assert_eq!(older.expect_err("older").kind(), ErrorKind::Fenced);
    log.mark(marker(ControlKind::Abort, 5, 7, 3))
        .expect("the same coordinator");
}

#[test]
fn a_marker_of_an_older_producer_epoch_is_fenced_and_a_follower_takes_it() {
    let mut log = Folded::default();
    log.append(in_transaction(data(1, 4, 0, 2))).unwrap();
    let late = marker(ControlKind::Abort, 1, 3, 0);
    assert_eq!(log.mark(late).expect_err("late").kind(), ErrorKind::Fenced);
    assert_eq!(log.unstable(2), Some(0), "the transaction is still open");
    let header = *RecordBatchBuilder::control(late)
        .stamped(Offset::new(2).unwrap(), LeaderEpoch::ZERO)
        .unwrap()
        .header();
    let asked = log
        .producers
        .check(&header, Some(&late), Origin::Replication);
    assert_eq!(asked.unwrap(), Admission::New);
    let aborted = log
        .producers
        .apply(&header, Some(&late))
        .expect("paired by id");
    assert_eq!((aborted.first.get(), aborted.last.get()), (0, 2));
}

#[test]
fn the_marker_of_transaction_version_2_starts_sequences_anew_without_an_open_transaction() {
    let mut log = Folded::default();
    for round in 0..3i16 {
        log.append(in_transaction(data(1, round, 0, 2))).unwrap();
        log.append(in_transaction(data(1, round, 2, 1))).unwrap();
        log.mark(marker(ControlKind::Commit, 1, round + 1, 0))
            .unwrap();
        assert_eq!(log.unstable(log.end), None);
        // The coordinator did not hear the answer and sends its marker again: it changes nothing.
        assert_eq!(
            log.mark(marker(ControlKind::Abort, 1, round + 1, 0))
                .unwrap(),
            None
        );
    }
    check_refused(
        log.check(in_transaction(data(1, 2, 3, 1))),
        ErrorKind::Fenced,
    );
}

#[test]
fn a_control_batch_without_a_marker_decides_nothing() {
    let mut log = Folded::default();
    log.append(in_transaction(data(1, 0, 0, 2))).unwrap();
    let header = *RecordBatchBuilder::control(marker(ControlKind::Abort, 1, 1, 0))
        .stamped(Offset::new(2).unwrap(), LeaderEpoch::ZERO)
        .unwrap()
        .header();
    let before = log.producers.list();
    assert_eq!(log.producers.apply(&header, None), None);
    assert_eq!(log.producers.list(), before);
    assert_eq!(log.unstable(3), Some(0));
}

#[test]
fn only_its_first_batch_begins_a_transaction_and_a_new_start_keeps_it_open() {
    let mut log = Folded::default();
    log.append(in_transaction(data(1, 0, 0, 3))).unwrap();
    log.append(in_transaction(data(1, 0, 3, 3))).unwrap();
    log.append(in_transaction(data(2, 0, 0, 1))).unwrap();
    log.mark(marker(ControlKind::Commit, 2, 0, 0)).unwrap();
    assert_eq!(log.unstable(4), Some(0));
    log.producers.advance_start(Offset::new(8).unwrap());
    assert_eq!(log.producers.list().len(), 2, "no producer is forgotten");
    assert_eq!(
        log.unstable(7),
        Some(0),
        "who publishes it bounds it by the start"
    );
}

#[test]
fn the_oldest_of_overlapping_transactions_holds_back_in_whatever_order_they_end() {
    for (order, first_unstable) in [
        // Markers at 9, 10, 11; first offsets 0, 3, 6.
        ([1, 2, 3], [Some(0), Some(3), Some(6), None]),
        ([3, 2, 1], [Some(0), Some(0), Some(0), None]),
        ([2, 3, 1], [Some(0), Some(0), Some(0), None]),
        ([1, 3, 2], [Some(0), Some(3), Some(3), None]),
    ] {
        let mut log = Folded::default();
        for id in [1, 2, 3] {
            log.append(in_transaction(data(id, 0, 0, 3))).unwrap();
        }
        for id in order {
            log.mark(marker(ControlKind::Commit, id, 0, 0)).unwrap();
        }
        for (high, expected) in (9..).zip(first_unstable) {
            assert_eq!(log.unstable(high), expected, "{order:?} {high}");
            log.producers
                .forget_decided_below(Offset::new(high).unwrap());
            assert_eq!(
                log.unstable(high),
                expected,
                "{order:?} {high}, forgotten below"
            );
        }
    }
}

#[test]
fn a_producer_without_any_time_is_forgotten_at_the_first_look() {
    let mut producers = Producers::default();
    let mut untimed = entry(1, 0, 9, 9, 9, -1);
    untimed[26..34].copy_from_slice(&(-1i64).to_be_bytes());
    let end = Offset::new(10).unwrap();
    producers.by_id.extend(
        Producers::from_snapshot(&sealed(1, &untimed), end)
            .unwrap()
            .by_id,
    );
    producers.expire(Timestamp::from_millis(0), i64::MAX);
    assert_eq!(producers.list(), []);
}

#[test]
fn a_producer_that_writes_in_the_future_outlives_any_clock() {
    let mut log = Folded::default();
    log.append(data(1, 0, 0, 1)).unwrap();
    log.producers.expire(Timestamp::from_millis(i64::MIN), 0);
    assert_eq!(log.producers.list().len(), 1);
    log.producers
        .expire(Timestamp::from_millis(i64::MAX), i64::MAX);
    assert_eq!(log.producers.list().len(), 1);
}

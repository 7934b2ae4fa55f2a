//! What an append does, seen through the partition.

use std::time::Duration;

use bytes::Bytes;

use crate::batch::{
    ControlKind, ControlMarker, Record, RecordBatchBuilder, TimestampType, UnverifiedBatch,
};
use crate::compress::Compression;
use crate::error::{ErrorKind, Result};
use crate::ids::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};
use crate::partition::testing::{START_MS, in_memory, offset};
use crate::partition::{AppendOutcome, FsyncPolicy, HighWatermark, TopicOptions};
use crate::timestamp::Timestamp;

fn ms(value: i64) -> Timestamp {
    Timestamp::from_millis(value)
}

fn epoch(value: i32) -> LeaderEpoch {
    LeaderEpoch::new(value).expect("not negative")
}

fn batch_of(values: &[&str]) -> RecordBatchBuilder {
    let mut builder = RecordBatchBuilder::new(Compression::None);
    for value in values {
        builder.push(Record::new(*value)).expect("a small record");
    }
    builder
}

fn producer_batch(first: i32, values: &[&str]) -> RecordBatchBuilder {
    let id = ProducerId::new(9).expect("not negative");
    let sequence = Sequence::new(first).expect("not negative");
    let mut builder = batch_of(&[]).producer(id, ProducerEpoch::default(), sequence);
    for value in values {
        builder.push(Record::new(*value)).expect("a small record");
    }
    builder
}

fn timed(values: &[&str]) -> UnverifiedBatch {
    let mut builder = RecordBatchBuilder::new(Compression::None);
    for value in values {
        let record = Record::new(*value).timestamp(ms(START_MS));
        builder.push(record).expect("a small record");
    }
    builder.finish().expect("a batch")
}

fn marker(kind: ControlKind) -> UnverifiedBatch {
    RecordBatchBuilder::control(ControlMarker {
        kind,
        producer_id: ProducerId::new(9).expect("not negative"),
        producer_epoch: ProducerEpoch::default(),
        coordinator_epoch: 0,
        timestamp: ms(START_MS),
    })
}

fn ticket(outcome: Result<AppendOutcome>) -> crate::partition::Ticket {
    match outcome.expect("an append") {
        AppendOutcome::Appended(ticket) => ticket,
        AppendOutcome::Duplicate { offsets } => panic!("a duplicate of {offsets:?}"),
    }
}

#[test]
fn records_get_consecutive_offsets_and_one_call_is_one_batch() {
    let bench = in_memory(TopicOptions::default());
    let partition = &bench.partition;
    assert_eq!(
        partition.append(Record::new("a")).unwrap().offset(),
        offset(0)
    );
    let ticket = partition.append_batch(&batch_of(&["b", "c"])).unwrap();
    assert_eq!(ticket.offsets(), offset(1)..offset(3));
    assert_eq!(
        partition.submit(Record::new("d")).unwrap().offset(),
        offset(3)
    );
    let expected = [(0, "a"), (1, "b"), (2, "c"), (3, "d")];
    assert_eq!(bench.records(), expected.map(|(at, v)| (at, v.to_owned())));
    let stats = partition.stats();
    assert_eq!((stats.appended_records, stats.appended_batches), (4, 3));
    assert_eq!(stats.unsynced_bytes, stats.appended_bytes);
}

#[test]
fn assigned_times_never_go_back_until_the_clock_is_a_minute_behind() {
    let bench = in_memory(TopicOptions::default());
    let mut times = Vec::new();
    for wall in [0, 5, -1, -59_000, 4, -60_001] {
        bench.clock.set_wall(ms(START_MS + wall));
        let at = bench.partition.append(Record::new("x")).unwrap().offset();
        times.push(bench.batches_from(at)[0].max_timestamp().unwrap());
    }
    let expected = [0, 5, 5, 5, 5, -60_001].map(|wall| ms(START_MS + wall));
    assert_eq!(times, expected);
    assert_eq!(bench.partition.stats().clock_steps_back, 1);
}

#[test]
fn times_are_monotone_over_many_threads() {
    let bench = in_memory(TopicOptions::default());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    bench.clock.advance(Duration::from_millis(1));
                    bench.partition.submit(Record::new("x")).unwrap();
                }
            });
        }
    });
    let times: Vec<_> = (bench.batches_from(offset(0)).iter())
        .map(|batch| batch.max_timestamp())
        .collect();
    assert_eq!(times.len(), 800);
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn a_topic_may_stamp_the_time_of_the_append() {
    let options = TopicOptions {
        timestamp_type: TimestampType::LogAppendTime,
        ..TopicOptions::default()
    };
    let bench = in_memory(options);
    let record = Record::new("x").timestamp(ms(5));
    bench.partition.append(record).unwrap();
    bench.partition.append(Record::new("y")).unwrap();
    for batch in bench.batches_from(offset(0)) {
        assert_eq!(batch.timestamp_type(), TimestampType::LogAppendTime);
        let record = batch.records().next().unwrap().unwrap();
        assert_eq!(record.timestamp(), Some(ms(START_MS)));
    }
}

#[test]
fn a_record_beyond_a_limit_is_refused_by_name_and_the_next_one_goes_on() {
    let options = TopicOptions {
        max_message_bytes: 200,
        ..TopicOptions::default()
    };
    for fsync in [FsyncPolicy::Never, FsyncPolicy::Always] {
        let bench = in_memory(options.clone().fsync(fsync));
        let partition = &bench.partition;
        let error = partition.append(Record::new(&[0; 300])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains("max.message.bytes"), "{error}");
        let late = Record::new("x").timestamp(ms(START_MS + 3_600_001));
        let error = partition.append(late).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            partition.append(Record::new("x")).unwrap().offset(),
            offset(0)
        );
    }
}

#[test]
fn a_batch_that_a_producer_sends_again_is_not_appended_again() {
    let bench = in_memory(TopicOptions::default());
    let partition = &bench.partition;
    let batch = producer_batch(0, &["a", "b"]);
    let first = partition.append_batch(&batch).unwrap();
    let again = partition.append_batch(&batch).unwrap();
    assert_eq!(first.offsets(), again.offsets());
    let raw = producer_batch(0, &["a", "b"]).finish().unwrap();
    match partition.core.append_as_leader(raw, epoch(0)).unwrap() {
        AppendOutcome::Duplicate { offsets } => assert_eq!(offsets, first.offsets()),
        AppendOutcome::Appended(ticket) => panic!("{ticket:?}"),
    }
    let gap = partition
        .append_batch(&producer_batch(7, &["z"]))
        .unwrap_err();
    assert_eq!(gap.kind(), ErrorKind::OutOfSequence);
    assert_eq!(partition.watermarks().end, offset(2));
}

#[test]
fn after_a_cut_a_producer_is_known_by_what_stayed() {
    let bench = in_memory(TopicOptions::default());
    let partition = &bench.partition;
    let stays = producer_batch(0, &["a", "b"]);
    partition.append_batch(&stays).unwrap();
    let goes = producer_batch(2, &["c"]);
    partition.append_batch(&goes).unwrap();
    partition.replica().truncate_to(offset(2)).unwrap();
    let again = partition.append_batch(&stays).unwrap();
    assert_eq!(again.offsets(), offset(0)..offset(2));
    assert_eq!(partition.watermarks().end, offset(2));
    let anew = partition.append_batch(&goes).unwrap();
    assert_eq!(anew.offsets(), offset(2)..offset(3));
    assert_eq!(partition.watermarks().end, offset(3));
}

#[test]
fn the_earliest_record_of_a_batch_is_held_against_the_clock_too() {
    let old = Duration::from_secs(60);
    for compression in [Compression::None, Compression::Snappy] {
        if cfg!(not(feature = "snappy")) && compression != Compression::None {
            continue;
        }
        let bench = in_memory(TopicOptions::default().timestamp_before_max(old));
        let at = |ms_before: i64| {
            let mut builder = RecordBatchBuilder::new(compression);
            for time in [START_MS - ms_before, START_MS] {
                let record = Record::new("value").timestamp(ms(time));
                builder.push(record).expect("a small record");
            }
            builder
        };
        let refused = bench.partition.append_batch(&at(60_001)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
        assert!(refused.to_string().contains("before.max.ms"), "{refused}");
        let raw = at(60_001).finish().expect("a batch");
        let replica = bench.partition.replica();
        let refused = replica.append_as_leader(raw, epoch(0)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
        assert_eq!(bench.partition.watermarks().end, offset(0));
        bench.partition.append_batch(&at(60_000)).unwrap();
        assert_eq!(bench.partition.watermarks().end, offset(2));
    }
}

#[test]
fn a_segment_rolls_when_it_is_full_and_reading_goes_over_its_end() {
    let bench = in_memory(TopicOptions::default().segment_bytes(1_000));
    for number in 0..100 {
        bench
            .partition
            .append(Record::new(&format!("{number}")))
            .unwrap();
    }
    let segments = bench.core().published.snapshot().segments;
    assert!(segments.len() > 5, "{}", segments.len());
    assert_eq!(bench.partition.stats().rolls as usize, segments.len() - 1);
    for (at, segment) in segments.iter().enumerate() {
        assert_eq!(segment.is_sealed(), at + 1 < segments.len());
        assert!(segment.size().get() <= 1_000);
    }
    let expected: Vec<_> = (0..100).map(|at| (at, at.to_string())).collect();
    assert_eq!(bench.records(), expected);
    bench.partition.sync().unwrap();
    assert_eq!(bench.partition.watermarks().durable, offset(100));
}

#[test]
fn an_idle_segment_is_rolled_at_the_second_look_and_an_empty_one_never() {
    let week = TopicOptions::default().segment_ms;
    let bench = in_memory(TopicOptions::default());
    let count = || bench.core().published.snapshot().segments.len();
    let old = Duration::from_millis(week.unsigned_abs() + 1);
    bench.partition.append(Record::new("x")).unwrap();
    bench.clock.advance(old);
    for expected in [1, 2, 2, 2] {
        bench.core().roll_if_idle().unwrap();
        assert_eq!(count(), expected);
        bench.clock.advance(old);
    }
}

#[test]
fn a_leader_stamps_offset_and_epoch_and_fences_older_ones() {
    let bench = in_memory(TopicOptions::default());
    let core = bench.core();
    core.begin_epoch(epoch(3)).unwrap();
    let first = ticket(core.append_as_leader(timed(&["a", "b"]), epoch(3)));
    assert_eq!(first.offsets(), offset(0)..offset(2));
    ticket(core.append_as_leader(timed(&["c"]), epoch(5)));
    let error = core.append_as_leader(timed(&["d"]), epoch(4)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert_eq!(
        core.begin_epoch(epoch(4)).unwrap_err().kind(),
        ErrorKind::Fenced
    );
    bench.partition.append(Record::new("d")).unwrap();
    let epochs: Vec<_> = (bench.batches_from(offset(0)).iter())
        .map(|batch| batch.leader_epoch().unwrap().get())
        .collect();
    assert_eq!(epochs, [3, 5, 5]);
    let known = core.writer.lock().epochs.entries().to_vec();
    assert_eq!(known, [(epoch(3), offset(0)), (epoch(5), offset(2))]);
}

#[test]
fn a_leader_refuses_what_a_producer_may_not_send() {
    let bench = in_memory(TopicOptions::default());
    let append = |batch| bench.core().append_as_leader(batch, epoch(0));
    let mut damaged = timed(&["a"]).as_bytes().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let damaged = UnverifiedBatch::split(damaged.into())
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(append(damaged).unwrap_err().kind(), ErrorKind::Corrupt);
    let mut stamped = timed(&["a"]).as_bytes().to_vec();
    crate::batch::header::set_log_append_time(&mut stamped, ms(START_MS));
    let stamped = UnverifiedBatch::split(stamped.into())
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(append(stamped).unwrap_err().kind(), ErrorKind::InvalidInput);
    // A producer and no epoch: no sequence of it would ever be checked, and every resend would be appended again.
    for marked in [0, 1] {
        let mut nameless = RecordBatchBuilder::new(Compression::None).producer(
            ProducerId::new(7).unwrap(),
            ProducerEpoch::new(0).unwrap(),
            Sequence::ZERO,
        );
        if marked == 1 {
            nameless = nameless.transactional();
        }
        nameless
            .push(Record::new("a").timestamp(ms(START_MS)))
            .unwrap();
        let mut bytes = nameless.finish().unwrap().as_bytes().to_vec();
        use crate::batch::header::{ATTRIBUTES_AT, CRC_AT, PRODUCER_EPOCH_AT};
        bytes[PRODUCER_EPOCH_AT..PRODUCER_EPOCH_AT + 2].fill(0xff);
        let crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        let batch = UnverifiedBatch::split(bytes.into())
            .next()
            .unwrap()
            .unwrap();
        assert_eq!(append(batch).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(bench.partition.watermarks().end, offset(0));
}

/// Batches as a leader has them in its log: at `bases`, two records each, in epoch `of`.
fn leaders_log(bases: &[u64], of: i32) -> Bytes {
    let mut bytes = Vec::new();
    for base in bases {
        let batch = timed(&["x", "y"])
            .stamped(offset(*base), epoch(of))
            .unwrap();
        bytes.extend_from_slice(batch.as_bytes());
    }
    bytes.into()
}

#[test]
fn a_follower_keeps_offsets_epochs_and_gaps_and_rolls_within_one_call() {
    let options = TopicOptions::default()
        .segment_bytes(300)
        .high_watermark(HighWatermark::External);
    let bench = in_memory(options);
    let core = bench.core();
    let mut bytes = leaders_log(&[0, 2, 10, 20, 22], 4).to_vec();
    bytes.extend_from_slice(&leaders_log(&[24], 4)[..40]);
    let range = core.append_as_follower(bytes.into(), offset(12)).unwrap();
    assert_eq!(range, offset(0)..offset(24));
    assert_eq!(core.side.lock().facts().dense_from, None);
    let marks = bench.partition.watermarks();
    assert_eq!((marks.high, marks.end), (offset(12), offset(24)));
    assert!(core.published.snapshot().segments.len() > 1);
    let offsets: Vec<_> = bench.records().iter().map(|(at, _)| *at).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 10, 11, 20, 21, 22, 23]);
    assert_eq!(core.writer.lock().epochs.entries(), [(epoch(4), offset(0))]);

    let below = core.append_as_follower(leaders_log(&[23], 4), offset(12));
    assert_eq!(below.unwrap_err().kind(), ErrorKind::InvalidInput);
    let unordered = core.append_as_follower(leaders_log(&[30, 24], 4), offset(12));
    assert_eq!(unordered.unwrap_err().kind(), ErrorKind::InvalidInput);
    let nothing = core.append_as_follower(Bytes::new(), offset(24)).unwrap();
    assert_eq!(nothing, offset(24)..offset(24));
    assert_eq!(bench.partition.watermarks().high, offset(24));
}

#[test]
fn an_aborted_transaction_holds_the_last_stable_offset_until_its_marker() {
    let bench = in_memory(TopicOptions::default());
    let core = bench.core();
    let transaction = producer_batch(0, &["a", "b"]).transactional();
    bench.partition.append_batch(&transaction).unwrap();
    bench.partition.append(Record::new("c")).unwrap();
    assert_eq!(bench.partition.watermarks().last_stable, offset(0));
    ticket(core.append_as_leader(marker(ControlKind::Abort), epoch(0)));
    assert_eq!(bench.partition.watermarks().last_stable, offset(4));
    let aborted = bench
        .partition
        .reader()
        .aborted(offset(0)..offset(4))
        .unwrap();
    assert_eq!(aborted.len(), 1);
    assert_eq!((aborted[0].first, aborted[0].last), (offset(0), offset(3)));
}

#[test]
fn a_decided_transaction_waits_for_the_durable_high_watermark() {
    let options = TopicOptions::default().high_watermark(HighWatermark::Durable);
    let bench = in_memory(options);
    let transaction = producer_batch(0, &["a"]).transactional();
    bench.partition.append_batch(&transaction).unwrap();
    bench.partition.sync().unwrap();
    ticket((bench.core()).append_as_leader(marker(ControlKind::Commit), epoch(0)));
    assert_eq!(bench.partition.watermarks().last_stable, offset(0));
    bench.partition.sync().unwrap();
    assert_eq!(bench.partition.watermarks().last_stable, offset(2));
}

#[cfg(feature = "sim")]
mod on_a_failing_disk {
    use std::sync::Arc;

    use super::*;
    use crate::partition::UnsyncedBudget;
    use crate::partition::testing::Bench;
    use crate::storage::sim::{Fault, Repeat, Sim};

    fn on(sim: &Sim, options: TopicOptions) -> Bench {
        Bench::new(Arc::new(sim.clone()), options, UnsyncedBudget::default())
    }

    /// Appends one more record until it works; the clock moves on as a full disk asks.
    fn append_at_last(bench: &Bench, value: &str) -> u64 {
        bench.clock.advance(Duration::from_millis(100));
        bench
            .partition
            .append(Record::new(value))
            .unwrap()
            .offset()
            .get()
    }

    #[test]
    fn a_full_disk_refuses_at_once_for_a_while_and_appends_resume_by_themselves() {
        for fsync in [FsyncPolicy::Never, FsyncPolicy::Always] {
            let sim = Sim::new(1);
            let bench = on(&sim, TopicOptions::default().fsync(fsync));
            append_at_last(&bench, "a");
            sim.set_capacity_bytes(0);
            let big = [b'x'; 500_000];
            let error = bench.partition.append(Record::new(&big)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Full);
            sim.set_capacity_bytes(u64::MAX);
            let asked = sim.operations();
            let error = bench.partition.append(Record::new("b")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Full);
            assert_eq!(
                sim.operations(),
                asked,
                "the medium was asked again at once"
            );
            assert_eq!(append_at_last(&bench, "b"), 1);
            let expected = [(0, "a".to_owned()), (1, "b".to_owned())];
            assert_eq!(bench.records(), expected);
            assert_eq!(bench.partition.stats().full_errors, 1);
        }
    }

    #[test]
    fn half_a_write_is_cut_back_and_the_next_record_stands_in_its_place() {
        let sim = Sim::new(2);
        let bench = on(&sim, TopicOptions::default());
        append_at_last(&bench, "a");
        sim.fail_operation(1, Fault::ShortWrite, Repeat::Once);
        let error = bench.partition.append(Record::new("b")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(append_at_last(&bench, "c"), 1);
        let expected = [(0, "a".to_owned()), (1, "c".to_owned())];
        assert_eq!(bench.records(), expected);
    }

    #[test]
    fn a_write_that_cannot_be_cut_back_stops_writing_with_its_cause() {
        let sim = Sim::new(3);
        let bench = on(&sim, TopicOptions::default());
        let first = bench.partition.append(Record::new("a")).unwrap();
        sim.fail_operation(1, Fault::Io, Repeat::Forever);
        bench.partition.append(Record::new("b")).unwrap_err();
        sim.heal();
        let error = bench.partition.append(Record::new("c")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert_eq!(first.wait_durable().unwrap_err().kind(), ErrorKind::Failed);
        assert_eq!(bench.records().len(), 1);
    }

    #[test]
    fn a_roll_that_fails_anywhere_leaves_a_partition_that_takes_appends() {
        for fault in [Fault::Io, Fault::Full, Fault::ShortWrite] {
            for nth in 1..30 {
                let sim = Sim::new(4);
                let bench = on(&sim, TopicOptions::default().segment_bytes(300));
                let mut expected = Vec::new();
                for value in ["a", "b", "c", "d"] {
                    expected.push((append_at_last(&bench, value), value.to_owned()));
                }
                sim.fail_operation(nth, fault, Repeat::Once);
                if let Ok(ticket) = bench.partition.append(Record::new("e")) {
                    expected.push((ticket.offset().get(), "e".to_owned()));
                }
                sim.heal();
                if bench.core().latch.is_closed() {
                    assert_eq!(bench.records(), expected, "{fault:?} {nth}");
                    continue;
                }
                for value in ["f", "g", "h", "i", "j"] {
                    expected.push((append_at_last(&bench, value), value.to_owned()));
                }
                let offsets: Vec<_> = expected.iter().map(|(at, _)| *at).collect();
                let dense: Vec<_> = (0..offsets.len() as u64).collect();
                assert_eq!(offsets, dense, "{fault:?} {nth}");
                assert_eq!(bench.records(), expected, "{fault:?} {nth}");
                bench.partition.sync().unwrap();
            }
        }
    }

    #[test]
    fn an_abort_that_cannot_be_noted_moves_the_end_and_stops_writing() {
        let sim = Sim::new(5);
        let bench = on(&sim, TopicOptions::default());
        let transaction = producer_batch(0, &["a"]).transactional();
        bench.partition.append_batch(&transaction).unwrap();
        bench.core().begin_epoch(epoch(0)).unwrap();
        // The marker's own write is the first operation, making the index the second.
        sim.fail_operation(2, Fault::Io, Repeat::Once);
        let outcome = bench
            .core()
            .append_as_leader(marker(ControlKind::Abort), epoch(0));
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Failed);
        let marks = bench.partition.watermarks();
        assert_eq!((marks.end, marks.last_stable), (offset(2), offset(0)));
        let error = bench.partition.append(Record::new("b")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
    }
}

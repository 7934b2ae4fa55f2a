//! The bytes are Kafka's: each golden vector was built by the classes of Kafka 4.3.1.

mod hostile;
mod laws;

use bytes::Bytes;

use super::header::{self, NewHeader, ProducerStamp};
use super::*;
use crate::compress::{Codec, Compression};
use crate::error::{ErrorKind, GapCause, Result};
use crate::ids::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};
use crate::offset::Offset;
use crate::timestamp::Timestamp;

const ONE_RECORD: &str = "00000000000000000000003a0000000002716a618900000000000000000000000003e800000000000003e8ffffffffffffffffffffffffffff0000000110000000026b027600";
const THREE_RECORDS: &str = "0000000000000064000000510000000502ac3f09580000000000020000018bcfe568000000018bcfe56807ffffffffffffffffffffffffffff000000031000000002610231000e000e02026201001c0005040102780402680201026e01";
const COMMIT: &str = "000000000000002a000000420000000302c11c27820030000000000000018bcfe568000000018bcfe5680000000000000004d20005ffffffff000000012000000008000000010c00000000000700";
const ABORT: &str = "000000000000002a0000004200000003023522f1ca0030000000000000018bcfe568000000018bcfe5680000000000000004d20005ffffffff000000012000000008000000000c00000000000700";
const EMPTY: &str = "000000000000000a00000031000000010275379100000000000004ffffffffffffffff0000018bcfe5680000000000000004d200050000001400000000";

/// k=v with offset delta 0, and with 1.
const RECORD: &str = "10000000026b027600";
const SECOND: &str = "10000002026b027600";

const T0: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

fn offset(value: u64) -> Offset {
    Offset::new(value).unwrap()
}

fn epoch(value: i32) -> LeaderEpoch {
    LeaderEpoch::new(value).unwrap()
}

fn producer() -> ProducerStamp {
    ProducerStamp {
        id: ProducerId::new(1234).unwrap(),
        epoch: ProducerEpoch::new(5).unwrap(),
        base_sequence: Sequence::new(20),
    }
}

fn only(bytes: Vec<u8>) -> UnverifiedBatch {
    let mut batches = UnverifiedBatch::split(Bytes::from(bytes));
    let batch = batches.next().expect("a batch").expect("a header");
    assert!(batches.next().is_none(), "nothing is behind the batch");
    batch
}

fn marker(kind: ControlKind) -> ControlMarker {
    ControlMarker {
        kind,
        producer_id: producer().id,
        producer_epoch: producer().epoch,
        coordinator_epoch: 7,
        timestamp: T0,
    }
}

#[test]
fn one_record_is_kafkas_bytes() {
    let record = Record::new("v")
        .key("k")
        .timestamp(Timestamp::from_millis(1000));
    let mut single = Vec::new();
    encode_single(&record, Compression::None, T0, &mut single).unwrap();
    assert_eq!(single, unhex(ONE_RECORD));

    let mut builder = RecordBatchBuilder::new(Compression::None);
    builder.push(record).unwrap();
    assert_eq!(builder.len_bytes(), single.len());
    assert_eq!(builder.finish().unwrap().as_bytes()[..], single);
}

#[test]
fn three_records_with_nulls_headers_and_a_time_that_falls_are_kafkas_bytes() {
    let mut builder = RecordBatchBuilder::new(Compression::None);
    let headers = [("h", Some(&[1u8][..])), ("n", None)];
    let times = [0, 7, -3].map(|by| Timestamp::from_millis(T0.as_millis() + by));
    builder
        .push(Record::new("1").key("a").timestamp(times[0]))
        .unwrap();
    builder
        .push(Record::tombstone("b").timestamp(times[1]))
        .unwrap();
    builder
        .push(Record::new("x").headers(&headers).timestamp(times[2]))
        .unwrap();
    let batch = builder
        .finish()
        .unwrap()
        .stamped(offset(100), epoch(5))
        .unwrap();
    assert_eq!(batch.as_bytes()[..], unhex(THREE_RECORDS));

    let batch = batch.verify().unwrap();
    let records: Vec<_> = batch.records().collect::<Result<_>>().unwrap();
    assert_eq!(
        records.iter().map(|r| r.offset().get()).collect::<Vec<_>>(),
        [100, 101, 102]
    );
    assert_eq!(
        records
            .iter()
            .map(|r| r.timestamp().unwrap())
            .collect::<Vec<_>>(),
        times
    );
    assert_eq!(records[1].key(), Some(&b"b"[..]));
    assert_eq!(records[1].value(), None);
    assert_eq!(records[2].key(), None);
    let headers: Vec<_> = records[2].headers().map(|h| (h.key, h.value)).collect();
    assert_eq!(headers, [("h", Some(&[1u8][..])), ("n", None)]);
    assert_eq!(batch.leader_epoch(), Some(epoch(5)));
    assert_eq!(batch.max_timestamp(), Some(times[1]));
}

#[test]
fn markers_are_kafkas_bytes_and_read_back() {
    for (kind, hex) in [(ControlKind::Commit, COMMIT), (ControlKind::Abort, ABORT)] {
        let batch = RecordBatchBuilder::control(marker(kind))
            .stamped(offset(42), epoch(3))
            .unwrap();
        assert_eq!(batch.as_bytes()[..], unhex(hex));
        let batch = batch.verify().unwrap();
        assert!(batch.is_control() && batch.is_transactional());
        assert_eq!(batch.control_marker().unwrap(), Some(marker(kind)));
        assert_eq!(batch.base_sequence(), None);
    }
}

#[test]
fn an_emptied_batch_that_compaction_keeps_is_kafkas_bytes_and_has_no_records() {
    let header = NewHeader {
        base_offset: offset(10),
        size_bytes: 61,
        leader_epoch: Some(epoch(1)),
        codec: Codec::None,
        timestamp_type: TimestampType::CreateTime,
        transactional: false,
        control: false,
        last_offset_delta: 4,
        base_timestamp: -1,
        max_timestamp: T0.as_millis(),
        producer: Some(producer()),
        count: 0,
    };
    let mut bytes = [0; HEADER_BYTES];
    header.into_header().write(&mut bytes);
    header::write_checksum(&mut bytes);
    assert_eq!(bytes[..], unhex(EMPTY));

    let batch = only(bytes.to_vec()).verify().unwrap();
    assert_eq!(batch.records().count(), 0);
    assert_eq!(
        (batch.last_offset(), batch.next_offset()),
        (offset(14), offset(15))
    );
    assert_eq!(batch.base_sequence(), Sequence::new(20));
    assert_eq!(batch.max_timestamp(), Some(T0));
}

#[test]
fn a_batch_may_have_fewer_records_than_offsets() {
    let batch = hostile::with_payload(Codec::None, 9, 2, &unhex(&format!("{RECORD}{SECOND}")));
    let batch = batch.verify().unwrap();
    assert_eq!(
        batch
            .records()
            .map(|r| r.unwrap().offset().get())
            .collect::<Vec<_>>(),
        [0, 1]
    );
    assert_eq!(batch.next_offset(), offset(10));
}

#[test]
fn an_unknown_codec_is_corrupt_and_the_high_attribute_bits_mean_nothing() {
    let mut bytes = unhex(ONE_RECORD);
    bytes[header::ATTRIBUTES_AT] = 0xff;
    header::write_checksum(&mut bytes);
    assert_eq!(only(bytes.clone()).verify().unwrap().records().count(), 1);
    bytes[header::ATTRIBUTES_AT + 1] = 5;
    header::write_checksum(&mut bytes);
    let error = only(bytes).verify().expect_err("codec 5");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("codec"), "{error}");
}

#[test]
fn all_records_of_a_batch_with_log_append_time_have_the_time_of_the_batch() {
    let mut bytes = unhex(THREE_RECORDS);
    let now = Timestamp::from_millis(T0.as_millis() + 1_000_000);
    header::set_log_append_time(&mut bytes, now);
    let again = bytes.clone();
    header::set_log_append_time(&mut bytes, now);
    assert_eq!(bytes, again);
    let batch = only(bytes).verify().unwrap();
    assert_eq!(batch.timestamp_type(), TimestampType::LogAppendTime);
    assert!(batch.records().all(|r| r.unwrap().timestamp() == Some(now)));
}

#[test]
fn with_a_delete_horizon_times_count_from_the_field_as_it_stands() {
    let mut bytes = unhex(THREE_RECORDS);
    bytes[header::ATTRIBUTES_AT + 1] |= 0x40;
    header::write_checksum(&mut bytes);
    let batch = only(bytes).verify().unwrap();
    assert_eq!(batch.delete_horizon(), Some(T0));
    let times: Vec<_> = batch
        .records()
        .map(|r| r.unwrap().timestamp().unwrap())
        .collect();
    assert_eq!(
        times,
        [0, 7, -3].map(|by| Timestamp::from_millis(T0.as_millis() + by))
    );
}

#[test]
fn log_assigned_times_can_be_stamped_anew() {
    let mut builder = RecordBatchBuilder::new(Compression::None);
    builder.push(Record::new("a")).unwrap();
    builder.push(Record::new("b")).unwrap();
    assert_eq!(builder.explicit_max_timestamp(), None);
    let (mut early, mut late) = (Vec::new(), Vec::new());
    let later = Timestamp::from_millis(T0.as_millis() + 5);
    builder.encode_into(T0, &mut early).unwrap();
    builder.encode_into(later, &mut late).unwrap();
    header::restamp_time(&mut early, later);
    assert_eq!(early, late);
    let batch = only(late).verify().unwrap();
    assert!(
        batch
            .records()
            .all(|r| r.unwrap().timestamp() == Some(later))
    );
}

#[test]
fn a_finished_batch_without_times_has_none() {
    let mut builder = RecordBatchBuilder::new(Compression::None);
    builder.push(Record::new("a")).unwrap();
    let batch = builder.finish().unwrap().verify().unwrap();
    assert_eq!(batch.max_timestamp(), None);
    assert_eq!(batch.records().next().unwrap().unwrap().timestamp(), None);
}

#[test]
fn a_record_above_the_limit_is_too_large_and_the_builder_goes_on() {
    let mut builder = RecordBatchBuilder::new(Compression::None).with_limit(100);
    builder.push(Record::new("small")).unwrap();
    let before = builder.len_bytes();
    let error = builder
        .push(Record::new(&[0; 60]))
        .expect_err("above the limit");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("limit of 100"), "{error}");
    assert_eq!((builder.len_bytes(), builder.record_count()), (before, 1));
    builder.push(Record::new("small")).unwrap();
    assert_eq!(
        builder
            .finish()
            .unwrap()
            .verify()
            .unwrap()
            .records()
            .count(),
        2
    );
    assert!(builder.is_empty());

    let mut builder = RecordBatchBuilder::new(Compression::None);
    let error = builder
        .push(Record::new(&vec![0; 2 << 20]))
        .expect_err("above the default");
    assert!(error.to_string().contains("1048588"), "{error}");
}

#[test]
fn what_a_batch_cannot_hold_is_invalid_input() {
    let timed = Record::new("v").timestamp(T0);
    for (first, second) in [(Record::new("v"), timed), (timed, Record::new("v"))] {
        let mut builder = RecordBatchBuilder::new(Compression::None);
        builder.push(first).unwrap();
        let error = builder.push(second).expect_err("mixed");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(builder.record_count(), 1);
    }
    let before_1970 = Record::new("v").timestamp(Timestamp::from_millis(-2));
    let mut builder = RecordBatchBuilder::new(Compression::None);
    assert_eq!(
        builder.push(before_1970).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    let single = encode_single(&before_1970, Compression::None, T0, &mut Vec::new());
    assert_eq!(single.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(
        builder.finish().unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    let mut builder = RecordBatchBuilder::new(Compression::None).transactional();
    builder.push(timed).unwrap();
    assert_eq!(
        builder.finish().unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
}

#[test]
fn a_producers_batch_tells_id_epoch_sequence_and_transaction() {
    let stamp = producer();
    let mut builder = RecordBatchBuilder::new(Compression::None)
        .producer(stamp.id, stamp.epoch, stamp.base_sequence.unwrap())
        .transactional();
    builder.push(Record::new("v")).unwrap();
    let batch = builder.finish().unwrap().verify().unwrap();
    assert!(batch.is_transactional() && !batch.is_control());
    assert_eq!(batch.producer_id(), Some(stamp.id));
    assert_eq!(batch.producer_epoch(), Some(stamp.epoch));
    assert_eq!(batch.base_sequence(), stamp.base_sequence);
    assert_eq!(batch.control_marker().unwrap(), None);
}

fn control_batch(key: &[u8], value: &[u8]) -> RecordBatch {
    let mut builder = RecordBatchBuilder::new(Compression::None);
    builder
        .push(Record::new(value).key(key).timestamp(T0))
        .unwrap();
    let stamp = producer();
    let mut builder = builder
        .producer(stamp.id, stamp.epoch, Sequence::ZERO)
        .transactional();
    let mut bytes = builder.finish().unwrap().as_bytes().to_vec();
    bytes[header::ATTRIBUTES_AT + 1] |= 0x20;
    header::write_checksum(&mut bytes);
    only(bytes).verify().unwrap()
}

#[test]
fn longer_and_newer_markers_are_read_as_version_0_and_others_are_none() {
    let commit = Some(marker(ControlKind::Commit));
    let value = [0, 0, 0, 0, 0, 7];
    assert_eq!(
        control_batch(&[0, 0, 0, 1], &value)
            .control_marker()
            .unwrap(),
        commit
    );
    let longer = control_batch(&[0, 9, 0, 1, 8, 8], &[0, 3, 0, 0, 0, 7, 1, 2]);
    assert_eq!(longer.control_marker().unwrap(), commit);
    for kind in 2..9 {
        assert_eq!(
            control_batch(&[0, 0, 0, kind], b"")
                .control_marker()
                .unwrap(),
            None
        );
    }
    for (key, value) in [
        (&[0, 0, 0][..], &value[..]),
        (&[0xff, 0xff, 0, 1], &value),
        (&[0, 0, 0, 1], &value[..5]),
        (&[0, 0, 0, 1], &[0xff, 0xff, 0, 0, 0, 7]),
    ] {
        let error = control_batch(key, value)
            .control_marker()
            .expect_err("no marker");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn splitting_ends_silently_at_a_partial_batch_and_with_an_error_at_damage() {
    let batches = [unhex(ONE_RECORD), unhex(COMMIT)].concat();
    for cut in 0..batches.len() {
        let found: Vec<_> = UnverifiedBatch::split(Bytes::from(batches[..cut].to_vec()))
            .collect::<Result<_>>()
            .unwrap();
        assert_eq!(found.len(), usize::from(cut >= 70), "cut at {cut}");
    }
    for (at, byte) in [
        (8, 0x80),
        (0, 0x80),
        (header::MAGIC_AT, 3),
        (header::LAST_OFFSET_DELTA_AT, 0x80),
    ] {
        let mut bytes = [unhex(ONE_RECORD), unhex(COMMIT), unhex(ONE_RECORD)].concat();
        bytes[70 + at] = byte;
        let found: Vec<_> = UnverifiedBatch::split(Bytes::from(bytes)).collect();
        assert_eq!(
            found.len(),
            2,
            "nothing behind an unreadable header is guessed at"
        );
        assert_eq!(found[1].as_ref().unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn an_old_batch_is_unsupported_with_its_range_and_the_next_one_is_read() {
    let mut old = vec![0u8; 34];
    old[7] = 4;
    old[header::LENGTH_AT + 3] = 34 - 12;
    old[header::MAGIC_AT] = 1;
    let bytes = [unhex(ONE_RECORD), old, unhex(COMMIT)].concat();
    let found: Vec<_> = UnverifiedBatch::split(Bytes::from(bytes)).collect();
    assert_eq!(found.len(), 3);
    let error = found[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let gap = error.gap().expect("a range");
    assert_eq!(
        (gap.from(), gap.to(), gap.cause()),
        (offset(1), offset(5), GapCause::OldFormat)
    );
    assert_eq!(found[2].as_ref().unwrap().base_offset(), offset(42));
}

#[test]
fn a_batch_cannot_be_stamped_to_end_at_the_largest_offset() {
    let batch = only(unhex(THREE_RECORDS));
    let last = Offset::MAX.saturating_sub(3);
    assert!(batch.clone().stamped(last, epoch(0)).is_ok());
    let error = batch
        .stamped(last.saturating_add(1), epoch(0))
        .expect_err("no next offset");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

fn every_codec() -> Vec<Compression> {
    ["none", "gzip", "snappy", "lz4", "zstd"]
        .map(|name| name.parse::<Compression>().unwrap())
        .into_iter()
        .filter(|compression| compression.codec().is_available())
        .collect()
}

#[test]
fn an_owned_record_outlives_its_batch_and_can_let_it_go() {
    let batch = only(unhex(THREE_RECORDS)).verify().unwrap();
    let last: StoredRecord = batch.records().last().unwrap().unwrap().to_owned();
    drop(batch);
    let detached = last.clone().detach();
    for record in [&last, &detached] {
        assert_eq!(record.offset(), offset(102));
        assert_eq!((record.key(), record.value()), (None, Some(&b"x"[..])));
        let headers: Vec<_> = record.headers().map(|h| (h.key, h.value)).collect();
        assert_eq!(headers, [("h", Some(&[1u8][..])), ("n", None)]);
    }
    assert!(format!("{detached:?}").contains("value_bytes: Some(1)"));
}

#[test]
fn one_record_into_a_warm_buffer_and_reading_it_back_allocates_nothing() {
    let headers = [("h", Some(&b"1"[..]))];
    let record = Record::new(&[7; 100]).key("key").headers(&headers);
    let mut out = Vec::new();
    encode_single(&record, Compression::None, T0, &mut out).unwrap();
    let used = allocation_counter::measure(|| {
        encode_single(&record, Compression::None, T0, &mut out).unwrap();
        header::stamp(&mut out, Offset::ZERO, LeaderEpoch::ZERO);
    });
    assert_eq!(used.count_total, 0);
    let bytes = Bytes::from(out);
    let used = allocation_counter::measure(|| {
        let header = BatchHeader::read(&bytes).unwrap();
        let batch = RecordBatch::verify_owned(bytes, header).unwrap();
        assert_eq!(
            batch
                .records()
                .filter(|r| r.as_ref().unwrap().headers().count() == 1)
                .count(),
            1
        );
    });
    assert_eq!(used.count_total, 0);
}

#[test]
fn a_record_above_what_a_segment_holds_is_too_large_before_anything_is_copied() {
    let megabyte = vec![0; 1 << 20];
    let headers = vec![("h", Some(&megabyte[..])); 2_048];
    let mut out = Vec::new();
    let record = Record::new("v").headers(&headers);
    let error = encode_single(&record, Compression::None, T0, &mut out).expect_err("2 GiB");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("2147483647"), "{error}");
    assert_eq!(out.capacity(), 0);
}

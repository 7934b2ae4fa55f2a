//! The bytes are Kafka's: each golden vector was built by the classes of Kafka 4.3.1.

use bytes::Bytes;

use super::header::{self, NewHeader, ProducerStamp};
use super::*;
use crate::compress::{Codec, Compression, Level};
use crate::error::{Error, ErrorKind, GapCause, Result};
use crate::ids::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};
use crate::offset::Offset;
use crate::timestamp::Timestamp;

const ONE_RECORD: &str = "00000000000000000000003a0000000002716a618900000000000000000000000003e800000000000003e8ffffffffffffffffffffffffffff0000000110000000026b027600";
const THREE_RECORDS: &str = "0000000000000064000000510000000502ac3f09580000000000020000018bcfe568000000018bcfe56807ffffffffffffffffffffffffffff000000031000000002610231000e000e02026201001c0005040102780402680201026e01";
const COMMIT: &str = "000000000000002a000000420000000302c11c27820030000000000000018bcfe568000000018bcfe5680000000000000004d20005ffffffff000000012000000008000000010c00000000000700";
const ABORT: &str = "000000000000002a0000004200000003023522f1ca0030000000000000018bcfe568000000018bcfe5680000000000000004d20005ffffffff000000012000000008000000000c00000000000700";
const EMPTY: &str = "000000000000000a00000031000000010275379100000000000004ffffffffffffffff0000018bcfe5680000000000000004d200050000001400000000";

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

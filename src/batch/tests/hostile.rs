//! Batches that are damaged, or made to do damage.

use super::*;

/// The header of [`ONE_RECORD`] in front of other bytes, with a right length and CRC.
pub(super) fn with_payload(
    codec: Codec,
    last_offset_delta: u32,
    count: u32,
    payload: &[u8],
) -> UnverifiedBatch {
    let header = NewHeader {
        base_offset: offset(0),
        size_bytes: u32::try_from(HEADER_BYTES + payload.len()).unwrap(),
        leader_epoch: None,
        codec,
        timestamp_type: TimestampType::CreateTime,
        transactional: false,
        control: false,
        last_offset_delta,
        base_timestamp: T0.as_millis(),
        max_timestamp: T0.as_millis(),
        producer: None,
        count,
    };
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(payload);
    header.into_header().write(bytes.first_chunk_mut().unwrap());
    header::write_checksum(&mut bytes);
    only(bytes)
}

#[track_caller]
fn check_faulty_records(last_offset_delta: u32, count: u32, payload: &str, what: &str) {
    let batch = with_payload(Codec::None, last_offset_delta, count, &unhex(payload));
    let found = batch.verify().and_then(|batch| {
        let borrowed: Vec<_> = batch.records().collect();
        let owned: Vec<_> = batch.clone().into_iter().collect();
        assert_eq!(borrowed.len(), owned.len());
        assert!(
            borrowed[..borrowed.len() - 1].iter().all(Result::is_ok),
            "the error is last"
        );
        borrowed.into_iter().try_for_each(|record| record.map(drop))
    });
    let error = found.expect_err(what);
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(what), "{error}");
    assert!(error.to_string().contains("offset="), "{error}");
}

#[test]
fn records_that_contradict_their_batch_are_corrupt() {
    let two = format!("{RECORD}{SECOND}");
    check_faulty_records(
        1,
        2,
        &format!("{two}00"),
        "bytes are left behind the last record",
    );
    check_faulty_records(1, 1, &two, "bytes are left behind the last record");
    check_faulty_records(2, 3, &two, "more records than bytes for them");
    check_faulty_records(1, 2, &format!("{RECORD}{RECORD}"), "out of order");
    check_faulty_records(1, 2, &format!("{SECOND}{RECORD}"), "out of order");
    check_faulty_records(0, 1, SECOND, "outside of its batch");
    check_faulty_records(0, 2, &two, "more records than offsets");
    check_faulty_records(0, 1, "0f000000026b027600", "negative");
    check_faulty_records(0, 1, "12000000026b027600", "past the end of its batch");
    check_faulty_records(0, 1, "12000000026b02760000", "shorter than its length");
    check_faulty_records(0, 1, "10000000026b067600", "past the end of its record");
    check_faulty_records(0, 1, "10000000026b027601", "headers is negative");
    check_faulty_records(0, 1, "10000000026b027602", "above the bytes that are left");
    check_faulty_records(0, 1, "100000000101020100", "has no name");
    check_faulty_records(0, 1, "1200000001010202ff01", "not UTF-8");
    check_faulty_records(0, 1, "10ffffffffffffffff", "is cut off");
    check_faulty_records(0, 1, "ffffffffffffffff", "more bytes than its type");
    check_faulty_records(0, 1, "00000000000000", "has no attributes");
}

/// Fifty batches: each codec, with and without times, keys, headers and a producer.
fn samples() -> Vec<Vec<u8>> {
    let headers = [("h", Some(&b"1"[..])), ("n", None)];
    let mut samples: Vec<_> = [ONE_RECORD, THREE_RECORDS, COMMIT, ABORT, EMPTY]
        .map(unhex)
        .into();
    for compression in every_codec() {
        for shape in 0..9u32 {
            let mut builder = RecordBatchBuilder::new(compression);
            for i in 0..=shape {
                let value = format!("value {i} ").repeat(shape as usize);
                let mut record = Record::new(&value);
                let key = i.to_string();
                if i % 2 == 1 {
                    record = record.key(&key);
                }
                if shape % 3 == 2 {
                    record = record.headers(&headers);
                }
                if shape % 2 == 1 {
                    record = record
                        .timestamp(T0.saturating_add(std::time::Duration::from_secs(i.into())));
                }
                builder.push(record).unwrap();
            }
            let stamp = producer();
            if shape % 4 == 3 {
                builder = builder
                    .producer(stamp.id, stamp.epoch, Sequence::ZERO)
                    .transactional();
            }
            samples.push(builder.finish().unwrap().as_bytes().to_vec());
        }
    }
    samples
}

#[test]
fn every_flipped_bit_behind_the_prefix_is_caught_and_in_it_changes_place_or_length_only() {
    let samples = samples();
    assert!(samples.len() >= 14);
    for sample in &samples {
        let whole = only(sample.clone()).verify().unwrap();
        for at in 0..sample.len() {
            for bit in 0..8 {
                let mut bytes = sample.clone();
                bytes[at] ^= 1 << bit;
                let found = UnverifiedBatch::split(Bytes::from(bytes))
                    .next()
                    .ok_or("partial")
                    .and_then(|batch| batch.map_err(|_| "header"))
                    .and_then(|batch| batch.verify().map_err(|_| "verify"));
                let Ok(batch) = found else {
                    continue;
                };
                // The bytes that a leader stamps. The scan checks them against their neighbours.
                let stamped =
                    at < header::LENGTH_AT || (header::EPOCH_AT..header::MAGIC_AT).contains(&at);
                assert!(stamped, "bit {bit} of byte {at} was not caught");
                assert_eq!(
                    batch.as_bytes()[header::CRC_AT..],
                    whole.as_bytes()[header::CRC_AT..]
                );
            }
        }
    }
}

#[test]
fn a_batch_cut_at_any_byte_is_no_batch() {
    for sample in samples() {
        for cut in 0..sample.len() {
            let bytes = Bytes::from(sample[..cut].to_vec());
            assert!(
                UnverifiedBatch::split(bytes.clone()).next().is_none(),
                "cut at {cut}"
            );
            if let Ok(header) = BatchHeader::read(&bytes) {
                assert!(
                    RecordBatch::verify_owned(bytes, header).is_err(),
                    "cut at {cut}"
                );
            }
        }
    }
}

#[test]
fn a_payload_cut_or_changed_under_a_right_checksum_never_yields_a_record_beyond() {
    let plain = unhex(&format!("{RECORD}{SECOND}"));
    for compression in every_codec() {
        let mut packed = Vec::new();
        crate::compress::compress(compression, &plain, &mut packed).unwrap();
        let codec = compression.codec();
        let check = |payload: &[u8]| {
            let Ok(batch) = with_payload(codec, 1, 2, payload).verify() else {
                return;
            };
            let count = batch.records().filter(Result::is_ok).count();
            assert!(count <= 2);
            assert_eq!(batch.into_iter().filter(Result::is_ok).count(), count);
        };
        for cut in 0..packed.len() {
            check(&packed[..cut]);
        }
        for at in 0..packed.len() {
            for bit in 0..8 {
                let mut changed = packed.clone();
                changed[at] ^= 1 << bit;
                check(&changed);
            }
        }
    }
}

#[test]
fn a_decompression_bomb_is_too_large() {
    for compression in every_codec()
        .into_iter()
        .filter(|c| *c != Compression::None)
    {
        let mut builder = RecordBatchBuilder::new(compression).with_limit(8 << 20);
        builder.push(Record::new(&vec![0; 4 << 20])).unwrap();
        let batch = builder.finish().unwrap().verify().unwrap();
        let small = batch.clone().max_decompressed_bytes(1 << 20);
        for error in [
            small
                .records()
                .next()
                .unwrap()
                .map(drop)
                .expect_err("above the limit"),
            small
                .into_iter()
                .next()
                .unwrap()
                .map(drop)
                .expect_err("above the limit"),
        ] {
            assert_eq!(error.kind(), ErrorKind::TooLarge, "{compression}");
        }
        let record = batch.into_iter().next().unwrap().unwrap();
        assert_eq!(record.value().map(<[u8]>::len), Some(4 << 20));
    }
}

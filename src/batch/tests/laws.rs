//! What holds for every batch, by random ones.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::hostile::with_payload;
use super::*;
use crate::laws::config;

type Bytes4 = Option<Vec<u8>>;

#[derive(Clone, Debug)]
struct Sample {
    key: Bytes4,
    value: Bytes4,
    headers: Vec<(String, Bytes4)>,
    time: i64,
}

fn sample() -> impl Strategy<Value = Sample> {
    let field = || option::of(vec(any::<u8>(), 0..200));
    let headers = vec((".{0,8}", option::of(vec(any::<u8>(), 0..8))), 0..4);
    let time = prop_oneof![
        0i64..3,
        Just(i64::MAX),
        1_600_000_000_000i64..1_800_000_000_000
    ];
    (field(), field(), headers, time).prop_map(|(key, value, headers, time)| Sample {
        key,
        value,
        headers,
        time,
    })
}

fn push(builder: &mut RecordBatchBuilder, sample: &Sample, timed: bool) {
    let headers: Vec<_> = sample
        .headers
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_deref()))
        .collect();
    let record = Record {
        key: sample.key.as_deref(),
        value: sample.value.as_deref(),
        headers: &headers,
        timestamp: timed.then(|| Timestamp::from_millis(sample.time)),
    };
    builder.push(record).unwrap();
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_goes_in_comes_out(
        samples in vec(sample(), 1..20),
        timed: bool,
        which in 0usize..5,
        base in 0u64..1 << 62,
    ) {
        let codecs = every_codec();
        let mut builder = RecordBatchBuilder::new(codecs[which % codecs.len()]);
        for sample in &samples {
            push(&mut builder, sample, timed);
        }
        let mut out = Vec::new();
        builder.encode_into(T0, &mut out).unwrap();
        header::stamp(&mut out, offset(base), epoch(3));
        let batch = only(out).verify().unwrap();
        prop_assert_eq!(batch.record_count() as usize, samples.len());
        prop_assert_eq!(batch.next_offset().get(), base + samples.len() as u64);
        let max = if timed { samples.iter().map(|s| s.time).max() } else { Some(T0.as_millis()) };
        prop_assert_eq!(batch.max_timestamp().map(Timestamp::as_millis), max);

        let records: Vec<_> = batch.records().collect::<Result<_>>().unwrap();
        let owned: Vec<_> = batch.clone().into_iter().collect::<Result<_>>().unwrap();
        prop_assert_eq!(records.len(), samples.len());
        prop_assert_eq!(owned.len(), samples.len());
        for (i, sample) in samples.iter().enumerate() {
            for record in [records[i], owned[i].as_ref(), owned[i].clone().detach().as_ref()] {
                prop_assert_eq!(record.offset().get(), base + i as u64);
                let time = if timed { sample.time } else { T0.as_millis() };
                prop_assert_eq!(record.timestamp().map(Timestamp::as_millis), Some(time));
                prop_assert_eq!(record.key(), sample.key.as_deref());
                prop_assert_eq!(record.value(), sample.value.as_deref());
                let headers: Vec<_> =
                    record.headers().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect();
                prop_assert_eq!(&headers, &sample.headers);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_an_error_or_a_batch_and_never_a_panic(
        bytes in vec(any::<u8>(), 0..300),
    ) {
        for batch in UnverifiedBatch::split(Bytes::from(bytes)).flatten() {
            if let Ok(batch) = batch.verify() {
                batch.records().for_each(drop);
            }
        }
    }

    #[test]
    fn arbitrary_records_under_a_right_header_never_panic(
        payload in vec(prop_oneof![any::<u8>(), 0u8..20], 0..200),
        count in 1u32..20,
        codec in 0u8..5,
    ) {
        let codec = Codec::from_id(codec).unwrap();
        if let Ok(batch) = with_payload(codec, 20, count, &payload).verify() {
            prop_assert_eq!(batch.control_marker().unwrap(), None);
            let last = batch.last_offset();
            let found: Vec<_> = batch.max_decompressed_bytes(1 << 16).into_iter().collect();
            prop_assert!(found.len() <= count as usize);
            prop_assert!(found.iter().flatten().all(|r| r.offset() <= last));
        }
    }
}

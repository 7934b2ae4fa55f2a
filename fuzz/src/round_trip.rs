//! What goes into a batch comes out of it: keys, values, headers and times, through every codec.

use arbitrary::{Arbitrary, Unstructured};
use stratalog::{Compression, Level, Record, RecordBatchBuilder, RecordRef, Timestamp};

/// The longest time that Kafka's format can tell from another by a delta lies far beyond this.
const YEAR_9999_MS: i64 = 253_402_300_799_999;

#[derive(Arbitrary, Debug)]
struct Input {
    codec: Codec,
    records: Vec<Given>,
}

#[derive(Arbitrary, Debug)]
enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Arbitrary, Debug)]
struct Given {
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    at_ms: u64,
}

impl Given {
    fn at(&self) -> Timestamp {
        Timestamp::from_millis((self.at_ms % YEAR_9999_MS as u64) as i64)
    }
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let compression = match input.codec {
        Codec::None => Compression::None,
        Codec::Gzip => Compression::Gzip(Level::gzip(1).expect("in range")),
        Codec::Snappy => Compression::Snappy,
        Codec::Lz4 => Compression::Lz4,
        Codec::Zstd => Compression::Zstd(Level::zstd(1).expect("in range")),
    };
    let mut builder = RecordBatchBuilder::new(compression);
    for given in &input.records {
        let headers: Vec<(&str, Option<&[u8]>)> = given
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect();
        let mut record = Record::new(&given.value)
            .headers(&headers)
            .timestamp(given.at());
        if let Some(key) = &given.key {
            record = record.key(key);
        }
        builder.push(record).expect("a small record fits");
    }
    if builder.is_empty() {
        return;
    }
    let batch = builder
        .finish()
        .expect("records were pushed")
        .verify()
        .expect("what was built verifies");
    assert_eq!(batch.record_count() as usize, input.records.len());
    let mut records = batch.records();
    for (index, given) in input.records.iter().enumerate() {
        let record = records
            .next()
            .expect("as many as went in")
            .expect("readable");
        assert_eq!(
            record.offset(),
            batch.base_offset().saturating_add(index as u64)
        );
        check_record(given, record);
    }
    assert!(records.next().is_none());
}

fn check_record(given: &Given, record: RecordRef<'_>) {
    assert_eq!(record.key(), given.key.as_deref());
    assert_eq!(record.value(), Some(given.value.as_slice()));
    assert_eq!(record.timestamp(), Some(given.at()));
    let found: Vec<_> = record.headers().map(|h| (h.key, h.value)).collect();
    let expected: Vec<_> = given
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect();
    assert_eq!(found, expected);
}

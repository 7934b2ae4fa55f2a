//! Each codec on hostile data, within a limit: what a batch unpacks to is bounded, or the batch is an error.

use bytes::Bytes;
use stratalog::{RecordBatch, UnverifiedBatch};

use super::batch::{CRC_AT, CRC_END, HEADER_BYTES, LENGTH_AT, LENGTH_END, MAGIC_AT};

const ATTRIBUTES_AT: usize = CRC_END + 1;
const LAST_DELTA_AT: usize = ATTRIBUTES_AT + 1;
const COUNT_AT: usize = HEADER_BYTES - 4;
/// As many as a batch of this much data can claim.
const MOST_RECORDS: u32 = 1 << 20;
/// Far below the default, so that a bomb is found small.
const LIMIT_BYTES: u32 = 1 << 20;

pub fn gzip(data: &[u8]) {
    run(1, data);
}

pub fn snappy(data: &[u8]) {
    run(2, data);
}

pub fn lz4(data: &[u8]) {
    run(3, data);
}

pub fn zstd(data: &[u8]) {
    run(4, data);
}

fn run(codec: u8, data: &[u8]) {
    let bytes = batch_of(codec, data);
    let batch = UnverifiedBatch::split(bytes)
        .next()
        .expect("one batch")
        .and_then(UnverifiedBatch::verify);
    let Ok(batch) = batch else { return };
    let small = read(batch.clone().max_decompressed_bytes(LIMIT_BYTES));
    assert!(small <= LIMIT_BYTES as usize, "{small} bytes of records");
    read(batch);
}

/// The bytes of keys and values.
fn read(batch: RecordBatch) -> usize {
    let mut bytes = 0;
    for record in batch.records() {
        let Ok(record) = record else { break };
        let len = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len);
        bytes += len(record.key()) + len(record.value());
    }
    bytes
}

/// A batch with right checksum whose packed records are `data`.
fn batch_of(codec: u8, data: &[u8]) -> Bytes {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(data);
    let length = u32::try_from(bytes.len() - LENGTH_END).expect("inputs are small");
    let count = u32::try_from(data.len() * 10 + 1).map_or(1, |count| count.min(MOST_RECORDS));
    bytes[LENGTH_AT..LENGTH_END].copy_from_slice(&length.to_be_bytes());
    bytes[MAGIC_AT] = 2;
    bytes[ATTRIBUTES_AT] = codec;
    bytes[LAST_DELTA_AT..LAST_DELTA_AT + 4].copy_from_slice(&(count - 1).to_be_bytes());
    bytes[COUNT_AT..HEADER_BYTES].copy_from_slice(&count.to_be_bytes());
    // No producer, epoch and sequence.
    bytes[COUNT_AT - 14..COUNT_AT].fill(0xff);
    let crc = crc32c::crc32c(&bytes[CRC_END..]);
    bytes[CRC_AT..CRC_END].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

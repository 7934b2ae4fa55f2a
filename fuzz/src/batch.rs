//! Hostile batches: any bytes are an error or right records; never a panic, never an endless loop.
//!
//! Each input is tried twice: as it is, and with lengths and checksums put right, so that what lies behind
//! the checksum (counts, varints, codecs) is reached too.

use bytes::Bytes;
use stratalog::UnverifiedBatch;

pub(super) const LENGTH_AT: usize = 8;
pub(super) const LENGTH_END: usize = 12;
pub(super) const MAGIC_AT: usize = 16;
pub(super) const CRC_AT: usize = 17;
pub(super) const CRC_END: usize = 21;
pub(super) const HEADER_BYTES: usize = 61;

pub fn run(data: &[u8]) {
    read(Bytes::copy_from_slice(data));
    read(with_a_right_frame(data).into());
}

fn read(bytes: Bytes) {
    let most = bytes.len() / HEADER_BYTES + 1;
    let mut seen_bytes = 0;
    for (index, batch) in UnverifiedBatch::split(bytes.clone()).enumerate() {
        assert!(index <= most, "more batches than fit");
        let Ok(batch) = batch.and_then(UnverifiedBatch::verify) else {
            continue;
        };
        seen_bytes += batch.as_bytes().len();
        assert!(seen_bytes <= bytes.len());
        let mut count = 0;
        for record in batch.records() {
            let Ok(record) = record else { break };
            assert!(record.offset() >= batch.base_offset());
            assert!(record.offset() < batch.next_offset());
            for header in record.headers() {
                assert!(header.key.len() <= isize::MAX as usize);
            }
            let owned = record.to_owned();
            assert_eq!(owned.value(), record.value());
            assert_eq!(owned.detach().key(), record.key());
            count += 1;
        }
        assert!(count <= batch.record_count());
    }
}

/// One batch of format 2 over the whole input.
fn with_a_right_frame(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    if bytes.len() < HEADER_BYTES {
        bytes.resize(HEADER_BYTES, 0);
    }
    let length = u32::try_from(bytes.len() - LENGTH_END).expect("libFuzzer's inputs are small");
    bytes[0] &= 0x7f;
    bytes[LENGTH_AT..LENGTH_END].copy_from_slice(&length.to_be_bytes());
    bytes[MAGIC_AT] = 2;
    let crc = crc32c::crc32c(&bytes[CRC_END..]);
    bytes[CRC_AT..CRC_END].copy_from_slice(&crc.to_be_bytes());
    bytes
}

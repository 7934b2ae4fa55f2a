//! The least that a scan can do: reads 64 KiB at a time and steps over the records, with no checksum and no checks.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;

const READ_BYTES: usize = 64 << 10;

/// Bytes before the records, and where the length of what follows it stands (record batch v2).
const HEADER_BYTES: usize = 61;
const LENGTH_AT: usize = 8;
const LENGTH_END: usize = 12;

/// Records, and bytes of their values.
pub(crate) fn scan(file: &File) -> (u64, usize) {
    let mut buffer = vec![0; READ_BYTES];
    let (mut position, mut records, mut bytes) = (0, 0, 0);
    loop {
        let read = file.read_at(&mut buffer, position).expect("a local file");
        let filled = &buffer[..read];
        let mut at = 0;
        while let Some(length) = filled.get(at + LENGTH_AT..at + LENGTH_END) {
            let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
            let size = LENGTH_END + length as usize;
            let Some(batch) = filled.get(at..at + size) else {
                break;
            };
            step_over(batch, &mut records, &mut bytes);
            at += size;
        }
        if at == 0 {
            return (records, bytes);
        }
        position += at as u64;
    }
}

/// Steps over the records of one batch: length, attributes, both deltas, key, value.
fn step_over(batch: &[u8], records: &mut u64, bytes: &mut usize) {
    let mut at = HEADER_BYTES;
    while at < batch.len() {
        let length = varint(batch, &mut at) as usize;
        let end = at + length;
        at += 1;
        black_box(varint(batch, &mut at));
        black_box(varint(batch, &mut at));
        let key = varint(batch, &mut at);
        at += usize::try_from(key).unwrap_or(0);
        *bytes += usize::try_from(varint(batch, &mut at)).unwrap_or(0);
        *records += 1;
        at = end;
    }
}

fn varint(bytes: &[u8], at: &mut usize) -> i64 {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return (value >> 1) as i64 ^ -((value & 1) as i64);
        }
        shift += 7;
    }
}

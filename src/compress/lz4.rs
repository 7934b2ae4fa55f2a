//! LZ4 frames: what Kafka writes, and what it takes, which is less than the format allows.
//!
//! ```text
//!   | 04 22 4D 18 | FLG | BD | content size, if any: 8 | HC | blocks | 0: 4 | content checksum, if any: 4 |
//!   block: | length u32, top bit: stored as it is | data | checksum, if any: 4 |
//! ```
//!
//! The frame is walked once before it is unpacked, because Kafka's reader takes one frame of independent blocks and
//! nothing behind it, while the library would go on.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::{Fault, read_within};
use crate::error::{Error, ErrorKind, Result};

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const VERSION_BITS: u8 = 0xc0;
const VERSION_1: u8 = 0x40;
const INDEPENDENT_BIT: u8 = 0x20;
const BLOCK_CHECKSUM_BIT: u8 = 0x10;
const CONTENT_SIZE_BIT: u8 = 0x08;
const CONTENT_CHECKSUM_BIT: u8 = 0x04;
/// A dictionary id, and a bit that has no meaning yet; Kafka takes neither.
const RESERVED_BITS: u8 = 0x03;
const STORED_BIT: u32 = 1 << 31;
const CHECKSUM_BYTES: usize = 4;
const CONTENT_SIZE_BYTES: usize = 8;

/// Packs `input` behind what `out` holds: independent blocks of 64 KiB, no checksums, no content size
/// (`Lz4BlockOutputStream`).
pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, &mut *out);
    let packed = encoder
        .write_all(input)
        .and_then(|()| encoder.finish().map(drop).map_err(std::io::Error::from));
    packed.map_err(|source| Error::new(ErrorKind::Io, "cannot pack with lz4").caused_by(source))
}

/// Unpacks one frame. Checksums that are there are verified, that of the content too, where Kafka does not look.
pub(super) fn decompress(input: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Fault> {
    if !frame_end(input)?.is_empty() {
        return Err(Fault::Damaged("there are bytes behind the frame"));
    }
    read_within(FrameDecoder::new(input), limit_bytes)
}

/// Walks the blocks of the frame; returns what is behind it.
fn frame_end(input: &[u8]) -> Result<&[u8], Fault> {
    let cut_off = Fault::Damaged("the frame is cut off");
    let Some(([m0, m1, m2, m3, flags, _block_size], mut rest)) = input.split_first_chunk() else {
        return Err(cut_off);
    };
    if [*m0, *m1, *m2, *m3] != MAGIC {
        return Err(Fault::Damaged("there is no frame"));
    }
    if flags & VERSION_BITS != VERSION_1 || flags & RESERVED_BITS != 0 {
        return Err(Fault::Damaged(
            "the frame has a version or flags that Kafka does not take",
        ));
    }
    if flags & INDEPENDENT_BIT == 0 {
        return Err(Fault::Damaged(
            "the blocks of the frame depend on each other",
        ));
    }
    let size_bytes = if flags & CONTENT_SIZE_BIT == 0 {
        0
    } else {
        CONTENT_SIZE_BYTES
    };
    let Some(blocks) = rest.get(size_bytes.saturating_add(1)..) else {
        return Err(cut_off);
    };
    rest = blocks;
    let checksum_bytes = if flags & BLOCK_CHECKSUM_BIT == 0 {
        0
    } else {
        CHECKSUM_BYTES
    };
    loop {
        let Some((length, behind)) = rest.split_first_chunk() else {
            return Err(cut_off);
        };
        let length = (u32::from_le_bytes(*length) & !STORED_BIT) as usize;
        rest = behind;
        if length == 0 {
            break;
        }
        match rest.get(length.saturating_add(checksum_bytes)..) {
            Some(behind) => rest = behind,
            None => return Err(cut_off),
        }
    }
    let checksum_bytes = if flags & CONTENT_CHECKSUM_BIT == 0 {
        0
    } else {
        CHECKSUM_BYTES
    };
    rest.get(checksum_bytes..).ok_or(cut_off)
}

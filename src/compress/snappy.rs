//! Snappy in both framings: Xerial's, which Java writes, and the raw block of other clients.
//!
//! ```text
//!   | 82 'SNAPPY' 00 | version i32 | compatible i32 | then chunks | length i32 | raw block |
//! ```
//!
//! Xerial streams may follow each other: the head of the magic where a chunk's length is due starts a new one.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::Fault;
use crate::error::{Error, ErrorKind, Result};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// The first half of the magic, as the length of a chunk would read it: negative, so it is never one.
const MAGIC_HEAD: [u8; 4] = [0x82, b'S', b'N', b'A'];
/// Magic and both versions (`SnappyCodec`).
const HEADER_BYTES: usize = 16;
const VERSION: i32 = 1;
/// `SnappyOutputStream.DEFAULT_BLOCK_SIZE`.
const CHUNK_BYTES: usize = 32 << 10;
/// `SnappyInputStream.MAX_CHUNK_SIZE`.
const MAX_CHUNK_BYTES: usize = 512 << 20;
/// No block unpacks to more than this many times its size: a copy of three bytes yields 64 at most.
const MAX_RATIO: usize = 64;

/// Packs `input` in Xerial's framing behind what `out` holds.
pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&VERSION.to_be_bytes());
    let mut encoder = Encoder::new();
    for chunk in input.chunks(CHUNK_BYTES) {
        let length_at = out.len();
        let start = length_at.saturating_add(size_of::<i32>());
        out.resize(start.saturating_add(max_compress_len(chunk.len())), 0);
        let space = out.get_mut(start..).unwrap_or_default();
        let packed = encoder.compress(chunk, space).map_err(|source| {
            Error::new(ErrorKind::Io, "cannot pack with snappy").caused_by(source)
        })?;
        out.truncate(start.saturating_add(packed));
        let length = u32::try_from(packed).unwrap_or(u32::MAX).to_be_bytes();
        if let Some(place) = out.get_mut(length_at..start) {
            place.copy_from_slice(&length);
        }
    }
    Ok(())
}

/// Unpacks Xerial streams, or one raw block when the magic is not there.
pub(super) fn decompress(input: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Fault> {
    let mut output = Vec::new();
    if !input.starts_with(&MAGIC) {
        unpack_block(input, limit_bytes, &mut output)?;
        return Ok(output);
    }
    let mut rest = skip_header(input)?;
    while !rest.is_empty() {
        let (head, behind) = rest.split_first_chunk().ok_or(Fault::Damaged(CUT_OFF))?;
        if *head == MAGIC_HEAD {
            rest = skip_header(rest)?;
            continue;
        }
        let length = usize::try_from(i32::from_be_bytes(*head))
            .ok()
            .filter(|length| *length <= MAX_CHUNK_BYTES)
            .ok_or(Fault::Damaged(
                "the length of a chunk is negative or above 512 MiB",
            ))?;
        let (block, behind) = behind
            .split_at_checked(length)
            .ok_or(Fault::Damaged(CUT_OFF))?;
        unpack_block(block, limit_bytes, &mut output)?;
        rest = behind;
    }
    Ok(output)
}

const CUT_OFF: &str = "a chunk is cut off";

/// What is behind the header of a Xerial stream.
fn skip_header(input: &[u8]) -> Result<&[u8], Fault> {
    let (header, rest) = input
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or(Fault::Damaged("the header of the framing is cut off"))?;
    let [.., a, b, c, d, _, _, _, _] = *header;
    if !header.starts_with(&MAGIC) {
        return Err(Fault::Damaged("the header of the framing is wrong"));
    }
    if i32::from_be_bytes([a, b, c, d]) < VERSION {
        return Err(Fault::Damaged("the version of the framing is below 1"));
    }
    Ok(rest)
}

/// Unpacks one raw block behind what `output` holds.
fn unpack_block(block: &[u8], limit_bytes: usize, output: &mut Vec<u8>) -> Result<(), Fault> {
    let damaged = |source: snap::Error| Fault::Library(source.into());
    let length = decompress_len(block).map_err(damaged)?;
    if length > block.len().saturating_mul(MAX_RATIO) {
        return Err(Fault::Damaged(
            "a block claims to hold more than snappy can pack",
        ));
    }
    let start = output.len();
    let end = start.saturating_add(length);
    if end > limit_bytes {
        return Err(Fault::TooLarge);
    }
    output.resize(end, 0);
    let space = output.get_mut(start..).unwrap_or_default();
    let unpacked = Decoder::new().decompress(block, space).map_err(damaged)?;
    output.truncate(start.saturating_add(unpacked));
    Ok(())
}

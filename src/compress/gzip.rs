//! gzip: one member out, as Java writes it; any number of members in.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use std::io::Write;

use flate2::bufread::MultiGzDecoder;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use super::{Fault, Level, read_within};
use crate::error::{Error, ErrorKind, Result};

/// What Java 17 writes at every level: deflate, no flags, no time, no extra flags, system unknown.
const MEMBER_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Packs `input` behind what `out` holds.
pub(super) fn compress(level: Level, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let level =
        u32::try_from(level.get()).map_or_else(|_| Compression::default(), Compression::new);
    out.extend_from_slice(&MEMBER_HEADER);
    let mut encoder = DeflateEncoder::new(&mut *out, level);
    encoder
        .write_all(input)
        .and_then(|()| encoder.finish().map(drop))
        .map_err(|source| Error::new(ErrorKind::Io, "cannot pack with gzip").caused_by(source))?;
    let mut crc = Crc::new();
    crc.update(input);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
    Ok(())
}

/// Unpacks all members; anything else behind a member is an error, where Kafka ignores it.
pub(super) fn decompress(input: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Fault> {
    if input.is_empty() {
        return Err(Fault::Damaged("there is no data"));
    }
    read_within(MultiGzDecoder::new(input), limit_bytes)
}

//! Zstandard: one frame out; frames and skippable frames in, with windows up to Kafka's 128 MiB.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use zstd::bulk::Compressor;
use zstd::stream::read::Decoder;
use zstd::zstd_safe;

use super::{Fault, Level, read_within};
use crate::error::{Error, ErrorKind, Result};

/// The largest window that Kafka's reader takes: 128 MiB, which is what level 22 asks for.
const WINDOW_LOG_MAX: u32 = 27;

/// Packs `input` behind what `out` holds. The frame tells its content size, so that a reader needs no
/// window of its own beside the output.
pub(super) fn compress(level: Level, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let failed = |source: std::io::Error| {
        Error::new(ErrorKind::Io, "cannot pack with zstd").caused_by(source)
    };
    let mut compressor = Compressor::new(level.get()).map_err(failed)?;
    let start = out.len();
    out.resize(
        start.saturating_add(zstd_safe::compress_bound(input.len())),
        0,
    );
    let space = out.get_mut(start..).unwrap_or_default();
    let packed = compressor
        .compress_to_buffer(input, space)
        .map_err(failed)?;
    out.truncate(start.saturating_add(packed));
    Ok(())
}

/// Unpacks all frames, their checksums verified; anything else behind a frame is an error, as in Kafka.
pub(super) fn decompress(input: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Fault> {
    if input.is_empty() {
        return Err(Fault::Damaged("there is no data"));
    }
    let mut decoder = Decoder::with_buffer(input)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    read_within(decoder, limit_bytes)
}

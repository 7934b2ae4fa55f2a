//! The five codecs of a batch, behind one pair of functions: pack into a buffer, unpack within a limit.
//!
//! This folder must never know what a batch is.

#[cfg(feature = "snappy")]
mod snappy;

use crate::error::Result;
use bytes::Bytes;

/// A codec of the format, whether or not this build can use it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}
impl Codec {
    pub(crate) fn from_id(id: u8) -> Option<Self> {
        let _ = id;
        todo!()
    }
    pub(crate) fn id(self) -> u8 {
        todo!()
    }
    /// Kafka's name: `none`, `gzip`, ...
    pub fn name(self) -> &'static str {
        todo!()
    }
}
/// A level, kept within the codec's range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Level(i32);

/// What to pack a batch with.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    None,
    Gzip(Level),
    Snappy,
    Lz4,
    Zstd(Level),
}

/// Packs `input` behind what `out` already holds.
pub(crate) fn compress(compression: Compression, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let _ = (compression, input, out);
    todo!()
}
/// Unpacks; an output above `limit_bytes` is `TooLarge`, before it is allocated.
pub(crate) fn decompress(codec: Codec, input: &[u8], limit_bytes: u32) -> Result<Bytes> {
    let _ = (codec, input, limit_bytes);
    todo!()
}

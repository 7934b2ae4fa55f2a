//! The five codecs of a batch, behind one pair of functions: pack into a buffer, unpack within a limit.
//!
//! Each codec is a file and a feature. What comes out of a batch from disk is bounded before it is allocated:
//! output grows in steps, and a size that the data itself claims is never believed beyond what is there.
//!
//! This folder must never know what a batch is.

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

use std::fmt;
use std::io;
use std::str::FromStr;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};

/// A codec of the format, whether or not this build can use it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    /// Records as they are.
    None,
    /// RFC 1952; feature `gzip`.
    Gzip,
    /// Snappy blocks in Xerial's framing; feature `snappy`.
    Snappy,
    /// An LZ4 frame; feature `lz4`.
    Lz4,
    /// A Zstandard frame; feature `zstd` (KIP-110).
    Zstd,
}

impl Codec {
    const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// From the three bits in a batch's attributes (`CompressionType`).
    pub(crate) fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    pub(crate) fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Kafka's name, as in `compression.type`; also the name of the feature.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Whether this build has the codec.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A level, kept within the codec's range. Ranges and defaults are Kafka's (KIP-390).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Level(i32);

impl Level {
    /// For gzip: 1 (fast) to 9 (small), or -1 for the default.
    ///
    /// # Errors
    /// `InvalidInput` for any other number.
    pub fn gzip(level: i32) -> Result<Self> {
        if level == -1 || (1..=9).contains(&level) {
            return Ok(Self(level));
        }
        Err(level_error("compression.gzip.level", level, "1 to 9 or -1"))
    }

    /// For LZ4: 1 to 17. Checked, and without effect: this crate's LZ4 has one level.
    ///
    /// # Errors
    /// `InvalidInput` for any other number.
    pub fn lz4(level: i32) -> Result<Self> {
        if (1..=17).contains(&level) {
            return Ok(Self(level));
        }
        Err(level_error("compression.lz4.level", level, "1 to 17"))
    }

    /// For Zstandard: -131072 (fast) to 22 (small).
    ///
    /// # Errors
    /// `InvalidInput` for any other number.
    pub fn zstd(level: i32) -> Result<Self> {
        if (-131_072..=22).contains(&level) {
            return Ok(Self(level));
        }
        Err(level_error(
            "compression.zstd.level",
            level,
            "-131072 to 22",
        ))
    }

    /// gzip's default, -1: the library chooses, which is 6.
    #[must_use]
    pub const fn default_gzip() -> Self {
        Self(-1)
    }

    /// LZ4's default, 9.
    #[must_use]
    pub const fn default_lz4() -> Self {
        Self(9)
    }

    /// Zstandard's default, 3.
    #[must_use]
    pub const fn default_zstd() -> Self {
        Self(3)
    }

    /// The plain number.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }
}

fn level_error(option: &str, level: i32, range: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("{option} is {level}; it must be {range}"),
    )
}

/// What to pack a batch with.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Compression {
    /// Nothing. The default.
    #[default]
    None,
    /// gzip with a level from [`Level::gzip`].
    Gzip(Level),
    /// Snappy, which has no levels.
    Snappy,
    /// LZ4, whose levels are without effect here.
    Lz4,
    /// Zstandard with a level from [`Level::zstd`].
    Zstd(Level),
}

impl Compression {
    /// The codec without its level.
    #[must_use]
    pub fn codec(self) -> Codec {
        match self {
            Self::None => Codec::None,
            Self::Gzip(_) => Codec::Gzip,
            Self::Snappy => Codec::Snappy,
            Self::Lz4 => Codec::Lz4,
            Self::Zstd(_) => Codec::Zstd,
        }
    }

    /// Kafka's name, as in `compression.type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.codec().name()
    }

    /// Whether this build can pack with it: the codec is there, and the level is one of that codec.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Gzip(level) => Level::gzip(level.0).map(drop)?,
            Self::Zstd(level) => Level::zstd(level.0).map(drop)?,
            Self::None | Self::Snappy | Self::Lz4 => {}
        }
        if self.codec().is_available() {
            Ok(())
        } else {
            Err(left_out(self.codec()))
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Compression {
    type Err = Error;

    /// Reads Kafka's name, with the default level. `uncompressed` is another word for `none`.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "none" | "uncompressed" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip(Level::default_gzip())),
            "snappy" => Ok(Self::Snappy),
            "lz4" => Ok(Self::Lz4),
            "zstd" => Ok(Self::Zstd(Level::default_zstd())),
            _ => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("compression.type is {name:?}; it must be none, gzip, snappy, lz4 or zstd"),
            )),
        }
    }
}

/// Packs `input` behind what `out` already holds.
pub(crate) fn compress(compression: Compression, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    compression.check()?;
    match compression {
        Compression::None => {
            out.extend_from_slice(input);
            Ok(())
        }
        #[cfg(feature = "gzip")]
        Compression::Gzip(level) => gzip::compress(level, input, out),
        #[cfg(feature = "snappy")]
        Compression::Snappy => snappy::compress(input, out),
        #[cfg(feature = "lz4")]
        Compression::Lz4 => lz4::compress(input, out),
        #[cfg(feature = "zstd")]
        Compression::Zstd(level) => zstd::compress(level, input, out),
        #[allow(
            unreachable_patterns,
            reason = "reached in a build without one of the codecs"
        )]
        other => Err(left_out(other.codec())),
    }
}

/// Unpacks; an output above `limit_bytes` is `TooLarge`, before it is allocated.
pub(crate) fn decompress(codec: Codec, input: &[u8], limit_bytes: u32) -> Result<Bytes> {
    let output = match codec {
        Codec::None if input.len() > limit_bytes as usize => Err(Fault::TooLarge),
        Codec::None => Ok(input.to_vec()),
        #[cfg(feature = "gzip")]
        Codec::Gzip => gzip::decompress(input, limit_bytes as usize),
        #[cfg(feature = "snappy")]
        Codec::Snappy => snappy::decompress(input, limit_bytes as usize),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => lz4::decompress(input, limit_bytes as usize),
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstd::decompress(input, limit_bytes as usize),
        #[allow(
            unreachable_patterns,
            reason = "reached in a build without one of the codecs"
        )]
        other => return Err(left_out(other)),
    };
    output
        .map(Bytes::from)
        .map_err(|fault| fault.into_error(codec, limit_bytes))
}

/// Why packed data does not unpack.
#[derive(Debug)]
#[cfg_attr(
    not(any(
        feature = "gzip",
        feature = "snappy",
        feature = "lz4",
        feature = "zstd"
    )),
    allow(
        dead_code,
        reason = "without codecs, nothing but the limit can be wrong"
    )
)]
enum Fault {
    /// The output would be above the limit.
    TooLarge,
    /// The data is none that the codec writes.
    Damaged(&'static str),
    /// The codec's library says so.
    Library(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Library(error)
    }
}

impl Fault {
    fn into_error(self, codec: Codec, limit_bytes: u32) -> Error {
        match self {
            Self::TooLarge => Error::new(
                ErrorKind::TooLarge,
                format!("{codec} data unpacks to more than the limit of {limit_bytes} bytes"),
            )
            .remedy("raise the limit on decompressed bytes if the data is to be trusted"),
            Self::Damaged(what) => Error::new(
                ErrorKind::Corrupt,
                format!("{codec} data cannot be unpacked: {what}"),
            ),
            Self::Library(source) => Error::new(
                ErrorKind::Corrupt,
                format!("{codec} data cannot be unpacked"),
            )
            .caused_by(source),
        }
    }
}

#[cold]
fn left_out(codec: Codec) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "the codec {codec} is not in this build; the feature `{codec}` of the crate adds it"
        ),
    )
}

/// The first step of an output whose size nobody knows.
#[cfg(any(feature = "gzip", feature = "lz4", feature = "zstd"))]
const FIRST_STEP_BYTES: usize = 16 << 10;

/// Reads to the end, in steps that grow with what has come out, never past the limit.
#[cfg(any(feature = "gzip", feature = "lz4", feature = "zstd"))]
fn read_within(mut reader: impl io::Read, limit_bytes: usize) -> Result<Vec<u8>, Fault> {
    let mut output: Vec<u8> = Vec::new();
    loop {
        let filled = output.len();
        let step = filled
            .max(FIRST_STEP_BYTES)
            .min(limit_bytes.saturating_sub(filled));
        if step == 0 {
            let mut probe = [0u8; 1];
            let more = read_some(&mut reader, &mut probe)?;
            return if more == 0 {
                Ok(output)
            } else {
                Err(Fault::TooLarge)
            };
        }
        output.reserve_exact(step);
        output.resize(filled.saturating_add(step), 0);
        let mut at = filled;
        while let Some(space) = output.get_mut(at..).filter(|space| !space.is_empty()) {
            let read = read_some(&mut reader, space)?;
            if read == 0 {
                output.truncate(at);
                return Ok(output);
            }
            at = at.saturating_add(read);
        }
    }
}

#[cfg(any(feature = "gzip", feature = "lz4", feature = "zstd"))]
fn read_some(reader: &mut impl io::Read, space: &mut [u8]) -> Result<usize, Fault> {
    loop {
        match reader.read(space) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests;

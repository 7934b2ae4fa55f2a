//! `Offset`, the number of a record, and `FilePosition`, a byte in a segment file: two types,
//! because one in the place of the other is the classic bug of this field.
//!
//! This module must never know what a batch or a file is.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// The number of a record in its partition, from 0 to `i64::MAX`.
///
/// Kafka stores it as a signed 64-bit integer and uses -1 and below as sentinels; a value of this
/// type is never one of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(i64);

impl Offset {
    /// The first offset of a new partition.
    pub const ZERO: Self = Self(0);
    /// The largest offset that the format can hold.
    pub const MAX: Self = Self(i64::MAX);

    /// Makes an offset.
    ///
    /// # Errors
    /// `InvalidInput` when `value` is above `i64::MAX`, which the format cannot hold.
    pub fn new(value: u64) -> Result<Self> {
        match i64::try_from(value) {
            Ok(value) => Ok(Self(value)),
            Err(_) => Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "offset {value} is above {}, the largest that the format holds",
                    i64::MAX
                ),
            )),
        }
    }

    /// The offset as a plain number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.unsigned_abs()
    }

    /// The offset as the format stores it.
    pub(crate) const fn to_i64(self) -> i64 {
        self.0
    }

    /// From the format; `None` for a negative number, which is a sentinel or damage.
    pub(crate) const fn from_i64(value: i64) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The offset `count` records further on; `None` past the largest offset.
    #[must_use]
    pub fn checked_add(self, count: u64) -> Option<Self> {
        let count = i64::try_from(count).ok()?;
        self.0.checked_add(count).map(Self)
    }

    /// The offset `count` records further on, or the largest one.
    #[must_use]
    pub fn saturating_add(self, count: u64) -> Self {
        self.checked_add(count).unwrap_or(Self::MAX)
    }

    /// The offset `count` records back, or 0.
    #[must_use]
    pub fn saturating_sub(self, count: u64) -> Self {
        Self(i64::try_from(self.get().saturating_sub(count)).unwrap_or(i64::MAX))
    }

    /// How many offsets lie in `earlier..self`; 0 when `earlier` is not earlier.
    #[must_use]
    pub fn distance_from(self, earlier: Self) -> u64 {
        self.get().saturating_sub(earlier.get())
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offset({})", self.0)
    }
}

/// A byte in a segment's `.log` file. Kafka keeps segments below 2 GiB, so four bytes hold it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FilePosition(u32);

impl FilePosition {
    /// The first byte.
    pub const ZERO: Self = Self(0);

    /// Makes a position.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The position as a plain number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The position as storage takes it.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        self.0 as u64
    }

    /// From a file length or sum; `None` when it does not fit a segment.
    #[must_use]
    pub fn from_u64(value: u64) -> Option<Self> {
        u32::try_from(value).ok().map(Self)
    }

    /// The position `bytes` further on; `None` past what a segment can hold.
    #[must_use]
    pub const fn checked_add(self, bytes: u32) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilePosition({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_above_the_formats_largest_is_refused_with_both_numbers() {
        let error = Offset::new(1 << 63).expect_err("above i64::MAX");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("9223372036854775808"), "{error}");
        assert_eq!(Offset::new(u64::MAX >> 1).expect("i64::MAX"), Offset::MAX);
    }

    #[test]
    fn arithmetic_stops_at_both_ends() {
        let ten = Offset::new(10).expect("small");
        assert_eq!(ten.saturating_sub(11), Offset::ZERO);
        assert_eq!(Offset::MAX.checked_add(1), None);
        assert_eq!(Offset::MAX.saturating_add(1), Offset::MAX);
        assert_eq!(ten.distance_from(Offset::ZERO), 10);
        assert_eq!(Offset::ZERO.distance_from(ten), 0);
    }
}

//! The one error of the crate: a kind that says what to do about it, and a text that says what
//! happened, where, and the way out.
//!
//! Expected outcomes (end of the log, a duplicate, a torn tail) are values, never errors.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::offset::{FilePosition, Offset};

/// A result whose error is [`Error`] unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What to do about an error.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ErrorKind {
    /// The medium or the system refused. What was asked for did not happen.
    Io,
    /// The disk, the quota or the file size limit is full. Free space or trim; writing resumes by itself.
    Full,
    /// Records are missing or unreadable here. A cursor goes on after them by itself.
    Gap,
    /// Bytes that cannot be what was written, outside of records (a side file, a checkpoint).
    Corrupt,
    /// Somebody else has the directory open for writing.
    Locked,
    /// The log was closed. Open it again.
    Closed,
    /// An earlier failure stopped writing; the text has the first cause. Reopen the log.
    Failed,
    /// The medium or the directory does not take writes. Read with `Log::view`.
    ReadOnly,
    /// There is no such topic, partition or file.
    NotFound,
    /// It is there already.
    AlreadyExists,
    /// The caller's value is out of range; the text names it and the range.
    InvalidInput,
    /// The record or batch is above a limit; the text names the limit.
    TooLarge,
    /// The offset is not in the log; [`Error::available`] says what is.
    OffsetOutOfRange,
    /// A newer epoch of the leader or of the producer exists.
    Fenced,
    /// A producer's sequence number does not follow the last one.
    OutOfSequence,
    /// The format, codec or platform is known, and not supported here.
    Unsupported,
}

/// Why records are not there.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum GapCause {
    /// The bytes are there and wrong.
    Damaged,
    /// The file, or a part of it, is gone.
    Missing,
    /// Retention or `delete_records_before` dropped them while the reader was on its way.
    Trimmed,
    /// The tail was cut while the reader was on its way.
    Truncated,
    /// Batches of message format 0 or 1, which this crate does not read.
    OldFormat,
}

impl fmt::Display for GapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::Trimmed => "trimmed",
            Self::Truncated => "truncated",
            Self::OldFormat => "oldformat",
        })
    }
}

/// A range of offsets that cannot be read. Holes that compaction left are not gaps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    from: Offset,
    to: Offset,
    cause: GapCause,
}

impl Gap {
    pub(crate) fn new(from: Offset, to: Offset, cause: GapCause) -> Self {
        Self { from, to, cause }
    }

    /// The first offset that cannot be read.
    #[must_use]
    pub fn from(&self) -> Offset {
        self.from
    }

    /// The offset at which reading goes on.
    #[must_use]
    pub fn to(&self) -> Offset {
        self.to
    }

    /// Why.
    #[must_use]
    pub fn cause(&self) -> GapCause {
        self.cause
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "offsets {} to {} (exclusive) {}",
            self.from, self.to, self.cause
        )
    }
}

/// Any error of this crate. One pointer wide, cheap to clone; [`Error::kind`] says what to do.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    remedy: Option<&'static str>,
    path: Option<PathBuf>,
    position: Option<FilePosition>,
    offset: Option<Offset>,
    gap: Option<Gap>,
    available: Option<Range<Offset>>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    doubt: Doubt,
}

/// What an error leaves in doubt on the medium.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doubt {
    Nothing,
    /// A sync failed: whatever was written before it may never last, and a later sync that answers ok proves nothing.
    WhatWasWritten,
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// For `Gap` and `Unsupported`: the range that cannot be read, and why.
    #[must_use]
    pub fn gap(&self) -> Option<&Gap> {
        self.0.gap.as_ref()
    }

    /// For `OffsetOutOfRange`: the offsets that exist.
    #[must_use]
    pub fn available(&self) -> Option<Range<Offset>> {
        self.0.available.clone()
    }

    /// The file, when one is to blame; of a `Failed` error that of the first cause.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        let cause = || self.source_dyn()?.downcast_ref::<Self>()?.path();
        self.0.path.as_deref().or_else(cause)
    }

    /// The byte in that file, when one is to blame.
    #[must_use]
    pub fn position(&self) -> Option<FilePosition> {
        self.0.position
    }

    /// The system's own number for the error, when the system made it.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        let mut source: Option<&(dyn std::error::Error + 'static)> = self.source_dyn();
        while let Some(error) = source {
            if let Some(io) = error.downcast_ref::<std::io::Error>() {
                return io.raw_os_error();
            }
            if let Some(ours) = error.downcast_ref::<Error>() {
                return ours.raw_os_error();
            }
            source = error.source();
        }
        None
    }

    fn source_dyn(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }

    /// A new error; `message` says what happened, in the present or past tense, without a final stop.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            remedy: None,
            path: None,
            position: None,
            offset: None,
            gap: None,
            available: None,
            source: None,
            doubt: Doubt::Nothing,
        }))
    }

    /// An error of the system; the kind follows from its number.
    pub(crate) fn io(action: &str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        let (kind, remedy) = classify(&source);
        let mut error = Self::new(kind, format!("cannot {action}"))
            .path_is(path)
            .caused_by(source);
        error.0.remedy = remedy;
        error
    }

    /// A sync that the system refused: `Io` whatever its number, because `Full` says that nothing has happened and that the next try may
    /// succeed.
    pub(crate) fn failed_sync(
        action: &str,
        path: impl Into<PathBuf>,
        source: std::io::Error,
    ) -> Self {
        let mut error = Self::io(action, path, source);
        error.0.kind = ErrorKind::Io;
        error.0.remedy = Some("reopen the log; a sync is never tried again");
        error.0.doubt = Doubt::WhatWasWritten;
        error
    }

    /// Whether it comes from a sync that failed.
    pub(crate) fn is_failed_sync(&self) -> bool {
        self.0.doubt == Doubt::WhatWasWritten
    }

    /// The same failure where the file that was to be synced is thrown away: nothing is in doubt, and no room is no room again.
    pub(crate) fn of_discarded_file(mut self) -> Self {
        let source = self.source_dyn();
        if let Some(source) = source.and_then(|source| source.downcast_ref::<std::io::Error>()) {
            (self.0.kind, self.0.remedy) = classify(source);
        }
        self.0.doubt = Doubt::Nothing;
        self
    }

    /// A gap, with what was found in the bytes.
    pub(crate) fn gap_found(gap: Gap, message: impl Into<String>) -> Self {
        let kind = match gap.cause {
            GapCause::OldFormat => ErrorKind::Unsupported,
            _ => ErrorKind::Gap,
        };
        let mut error = Self::new(kind, message);
        error.0.gap = Some(gap);
        error
    }

    /// An offset outside of what the log has.
    pub(crate) fn out_of_range(offset: Offset, available: Range<Offset>) -> Self {
        let mut error = Self::new(
            ErrorKind::OffsetOutOfRange,
            format!(
                "offset {offset} is not in the log, which has {}..{}",
                available.start, available.end
            ),
        );
        error.0.available = Some(available);
        error
    }

    #[must_use]
    pub(crate) fn path_is(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.path = Some(path.into());
        self
    }

    #[must_use]
    pub(crate) fn at(mut self, position: FilePosition) -> Self {
        self.0.position = Some(position);
        self
    }

    #[must_use]
    pub(crate) fn offset_is(mut self, offset: Offset) -> Self {
        self.0.offset = Some(offset);
        self
    }

    #[must_use]
    pub(crate) fn remedy(mut self, remedy: &'static str) -> Self {
        self.0.remedy = Some(remedy);
        self
    }

    #[must_use]
    pub(crate) fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }
}

/// Which kind a system error is, and the way out of it.
fn classify(error: &std::io::Error) -> (ErrorKind, Option<&'static str>) {
    use std::io::ErrorKind as Io;
    match error.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => (
            ErrorKind::Full,
            Some("free space on the disk or trim the log; writing resumes by itself"),
        ),
        Io::ReadOnlyFilesystem | Io::PermissionDenied => (
            ErrorKind::ReadOnly,
            Some("make the directory writable, or read it with Log::view"),
        ),
        Io::NotFound => (ErrorKind::NotFound, None),
        Io::AlreadyExists => (ErrorKind::AlreadyExists, None),
        Io::Unsupported => (ErrorKind::Unsupported, None),
        _ => (ErrorKind::Io, None),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.write_str(&inner.message)?;
        let mut separator = ": ";
        if let Some(path) = &inner.path {
            write!(f, "{separator}path={}", path.display())?;
            separator = " ";
        }
        if let Some(position) = inner.position {
            write!(f, "{separator}position={position}")?;
            separator = " ";
        }
        if let Some(offset) = inner.offset {
            write!(f, "{separator}offset={offset}")?;
            separator = " ";
        }
        if let Some(gap) = &inner.gap {
            write!(
                f,
                "{separator}from={} to={} cause={}",
                gap.from, gap.to, gap.cause
            )?;
        }
        if let Some(source) = &inner.source {
            write!(f, ": {source}")?;
        }
        if let Some(remedy) = inner.remedy {
            write!(f, "; {remedy}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source_dyn()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const _: () = assert!(size_of::<Error>() == size_of::<usize>());

    #[test]
    fn the_text_names_path_position_offset_and_ends_with_the_remedy() {
        let error = Error::new(ErrorKind::Corrupt, "batch checksum mismatch")
            .path_is("/data/a-0/00000000000000000000.log")
            .at(FilePosition::new(4200))
            .offset_is(Offset::new(7).expect("small"))
            .remedy("run verify before truncating");
        assert_eq!(
            error.to_string(),
            "batch checksum mismatch: path=/data/a-0/00000000000000000000.log position=4200 offset=7; \
             run verify before truncating"
        );
    }

    #[test]
    fn a_full_disk_a_read_only_medium_and_a_plain_failure_are_three_kinds() {
        for (number, kind) in [
            (28, ErrorKind::Full),
            (122, ErrorKind::Full),
            (27, ErrorKind::Full),
            (30, ErrorKind::ReadOnly),
            (5, ErrorKind::Io),
        ] {
            let error = Error::io("append", "x", std::io::Error::from_raw_os_error(number));
            assert_eq!(error.kind(), kind, "{number}");
            assert_eq!(error.raw_os_error(), Some(number));
        }
    }

    /// Promise 10: whoever gets `Full` may try again, and after a failed sync nobody may.
    #[test]
    fn a_sync_without_room_is_a_failed_sync_unless_its_file_is_thrown_away() {
        for number in [28, 122, 5] {
            let cause = std::io::Error::from_raw_os_error(number);
            let error = Error::failed_sync("sync", "x", cause);
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(error.is_failed_sync() && error.to_string().contains("reopen the log"));
            let error = error.of_discarded_file();
            assert!(!error.is_failed_sync());
            let is_full = error.kind() == ErrorKind::Full;
            assert_eq!((is_full, error.raw_os_error()), (number != 5, Some(number)));
        }
    }

    #[test]
    fn the_systems_number_is_found_behind_a_later_error() {
        let first = Error::io("sync", "x", std::io::Error::from_raw_os_error(5));
        let later = Error::new(ErrorKind::Failed, "writing stopped earlier").caused_by(first);
        assert_eq!(later.raw_os_error(), Some(5));
    }
}

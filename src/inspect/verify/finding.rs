//! What a verification finds, and how far it has come.

use std::fmt;

use crate::error::{Gap, GapCause};
use crate::offset::Offset;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What kind of thing was found.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FindingKind {
    /// Bytes of records, or of a header, are wrong, or no file is where one should be.
    Damaged,
    /// Records that are known to have been there are not.
    Missing,
    /// An index, a snapshot, a checkpoint or a side file contradicts the log or cannot be read; opening for writing derives it anew.
    Derived,
    /// A file with one of Kafka's suffixes and no number: a segment that lost its name, as a rule. Neither a broker nor a log opens with
    /// it.
    BadName,
    /// The log ends in an unfinished write, as a killed writer leaves it.
    TornTail,
    /// An index or a snapshot that a killed writer did not finish; opening for writing derives it anew.
    Unfinished,
    /// Batches of message format 0 or 1, or in a codec that this build leaves out.
    Unsupported,
    /// A leader epoch that falls, or that the history does not know.
    OddEpoch,
    /// A file that does not belong here, and is left alone.
    Foreign,
}

impl FindingKind {
    const fn words(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::Derived => "contradiction",
            Self::BadName => "bad name",
            Self::TornTail => "torn tail",
            Self::Unfinished => "unfinished",
            Self::Unsupported => "unsupported",
            Self::OddEpoch => "odd epoch",
            Self::Foreign => "foreign",
        }
    }
}

/// One thing that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    kind: FindingKind,
    text: String,
    gap: Option<Gap>,
}

impl Finding {
    pub(super) fn new(kind: FindingKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            gap: None,
        }
    }

    /// What takes the offsets `from..to` away; an empty range takes none.
    pub(super) fn takes(mut self, from: Offset, to: Offset, cause: GapCause) -> Self {
        self.gap = (from < to).then(|| Gap::new(from, to, cause));
        self
    }

    /// What kind of thing it is.
    #[must_use]
    pub fn kind(&self) -> FindingKind {
        self.kind
    }

    /// The offsets that it takes away, if any.
    #[must_use]
    pub fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref()
    }

    /// Whether something that was written is lost or contradicted. A torn tail and what else a killed writer leaves, an unsupported format, an
    /// odd epoch and a foreign file are no damage.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(
            self.kind,
            FindingKind::Damaged
                | FindingKind::Missing
                | FindingKind::Derived
                | FindingKind::BadName
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.words(), self.text)?;
        match &self.gap {
            Some(gap) => write!(f, " (offsets {} to {}, exclusive)", gap.from(), gap.to()),
            None => Ok(()),
        }
    }
}

/// How far a verification has come; may be read from another thread.
#[derive(Debug, Default)]
pub struct Progress {
    pub(super) total_bytes: AtomicU64,
    pub(super) checked_bytes: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) records: AtomicU64,
}

impl Progress {
    /// Bytes of all segments.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of segments that were checked so far; all of them at the end, when no error of the medium came between.
    #[must_use]
    pub fn checked_bytes(&self) -> u64 {
        self.checked_bytes.load(Ordering::Relaxed)
    }

    /// Batches that were read.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// Records that were read.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }
}

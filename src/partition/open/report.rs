//! What opening one partition found and did, for people and for programs.

use std::fmt;
use std::time::Duration;

use super::Owner;
use crate::error::{Error, Gap, GapCause};
use crate::offset::Offset;
use crate::topic::TopicPartition;

/// What opening one partition found and did: a part of the `RecoveryReport`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionRecovery {
    pub(crate) name: TopicPartition,
    pub(super) owner: Owner,
    pub(super) scanned_bytes: u64,
    pub(super) scanned_segments: usize,
    pub(super) torn: Option<TornTail>,
    pub(super) gaps: Vec<Gap>,
    pub(super) derived: Vec<String>,
    pub(super) set_aside: Vec<String>,
    pub(super) removed: Vec<String>,
    pub(super) left_alone: Vec<String>,
    pub(super) adopted: Option<Adopted>,
    pub(super) copied_bytes: u64,
    pub(super) pending: Option<Error>,
    pub(super) elapsed: Duration,
}

/// An unfinished tail that was cut.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TornTail {
    /// The first offset that is not there.
    pub from: Offset,
    /// How many bytes were cut.
    pub bytes: u64,
    /// What was wrong with them.
    pub what: &'static str,
    /// The file beside the log that has a copy of them.
    pub kept_as: Option<String>,
}

/// What was taken from somebody else's files in place of facts of our own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Adopted {
    /// The log start: the larger of Kafka's checkpoint and the first segment.
    pub log_start: Offset,
    /// Kafka's recovery point, taken as the durable end.
    pub recovery_point: Offset,
}

impl PartitionRecovery {
    pub(super) fn new(name: TopicPartition, owner: Owner) -> Self {
        Self {
            name,
            owner,
            scanned_bytes: 0,
            scanned_segments: 0,
            torn: None,
            gaps: Vec::new(),
            derived: Vec::new(),
            set_aside: Vec::new(),
            removed: Vec::new(),
            left_alone: Vec::new(),
            adopted: None,
            copied_bytes: 0,
            pending: None,
            elapsed: Duration::ZERO,
        }
    }

    pub(super) fn add_gap(&mut self, from: Offset, to: Offset, cause: GapCause) {
        if from < to {
            self.gaps.push(Gap::new(from, to, cause));
        }
    }

    /// The partition.
    #[must_use]
    pub fn name(&self) -> &TopicPartition {
        &self.name
    }

    /// Whether sizes and indexes were believed because the last writer had closed the log.
    #[must_use]
    pub fn was_clean(&self) -> bool {
        matches!(self.owner, Owner::OursClean | Owner::ForeignClean) && self.scanned_segments == 0
    }

    /// Bytes that were read batch by batch.
    #[must_use]
    pub fn scanned_bytes(&self) -> u64 {
        self.scanned_bytes
    }

    /// Segments that were read batch by batch.
    #[must_use]
    pub fn scanned_segments(&self) -> usize {
        self.scanned_segments
    }

    /// The unfinished tail that was cut; zeros that were only prepared space do not count.
    #[must_use]
    pub fn torn(&self) -> Option<&TornTail> {
        self.torn.as_ref()
    }

    /// Ranges that are known to be damaged or missing. Damage in segments that were not read is not known yet.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Indexes, snapshots, epochs and facts that were missing or damaged, and were derived anew.
    #[must_use]
    pub fn derived(&self) -> &[String] {
        &self.derived
    }

    /// Whole files that no longer belong to the log, under their new names.
    #[must_use]
    pub fn set_aside(&self) -> &[String] {
        &self.set_aside
    }

    /// Files that were removed: leftovers of Kafka's and of interrupted copies.
    #[must_use]
    pub fn removed(&self) -> &[String] {
        &self.removed
    }

    /// Names that are neither Kafka's nor ours; a broker refuses to start on some of them (`foo.log`).
    #[must_use]
    pub fn left_alone(&self) -> &[String] {
        &self.left_alone
    }

    /// What was taken from somebody else's files, when somebody else wrote last.
    #[must_use]
    pub fn adopted(&self) -> Option<Adopted> {
        self.adopted
    }

    /// Bytes of the un-synced tail that were copied to fresh blocks before they were shown.
    #[must_use]
    pub fn copied_bytes(&self) -> u64 {
        self.copied_bytes
    }

    /// Why the un-synced tail could not be copied yet: it is tried again with the first append, and not shown until then.
    #[must_use]
    pub fn copy_pending(&self) -> Option<&Error> {
        self.pending.as_ref()
    }

    /// How long it took.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Whether there is anything that somebody should look at: lost, cut or unreadable records, or a full disk.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        self.torn.is_some()
            || !self.gaps.is_empty()
            || !self.set_aside.is_empty()
            || self.pending.is_some()
    }
}

impl fmt::Display for PartitionRecovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        if self.was_clean() {
            f.write_str("closed cleanly")?;
        } else {
            write!(
                f,
                "{} bytes in {} segments read",
                self.scanned_bytes, self.scanned_segments
            )?;
        }
        if let Some(adopted) = self.adopted {
            write!(
                f,
                ", adopted with start {} and recovery point {}",
                adopted.log_start, adopted.recovery_point
            )?;
        }
        if let Some(torn) = &self.torn {
            write!(
                f,
                ", torn tail of {} bytes cut at offset {} ({})",
                torn.bytes, torn.from, torn.what
            )?;
            if let Some(name) = &torn.kept_as {
                write!(f, ", kept as {name}")?;
            }
        }
        for gap in &self.gaps {
            write!(f, ", {gap}")?;
        }
        let lists = [
            ("derived", &self.derived),
            ("set aside", &self.set_aside),
            ("removed", &self.removed),
            ("left alone", &self.left_alone),
        ];
        for (what, names) in lists {
            if !names.is_empty() {
                write!(f, ", {what}: {}", names.join(" "))?;
            }
        }
        if self.copied_bytes > 0 {
            write!(f, ", {} un-synced bytes copied", self.copied_bytes)?;
        }
        if let Some(error) = &self.pending {
            write!(f, ", the un-synced tail is not shown yet: {error}")?;
        }
        Ok(())
    }
}

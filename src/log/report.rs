//! What opening a log found and did.

use std::fmt;
use std::time::Duration;

use super::folder::Found;
use crate::directory::OwnerRow;
use crate::error::Error;
use crate::partition::{Owner, PartitionRecovery};

/// What opening a log found and did, for people (`Display`) and for programs.
#[derive(Clone, Debug)]
pub struct RecoveryReport {
    owner: OwnerRow,
    partitions: Vec<PartitionRecovery>,
    left_alone: Vec<String>,
    unreadable: Vec<Error>,
    elapsed: Duration,
}

impl RecoveryReport {
    pub(super) fn new(found: Found, partitions: Vec<PartitionRecovery>, elapsed: Duration) -> Self {
        let listing = found.listing;
        let mut left_alone = listing.internal;
        left_alone.extend(listing.set_aside);
        left_alone.extend(listing.foreign_folders);
        left_alone.extend(listing.foreign_files);
        Self {
            owner: found.owner,
            partitions,
            left_alone,
            unreadable: found.unreadable,
            elapsed,
        }
    }

    /// Whether the last writer closed the log.
    #[must_use]
    pub fn was_clean(&self) -> bool {
        matches!(
            self.owner.verdict,
            Owner::Fresh | Owner::OursClean | Owner::ForeignClean
        )
    }

    /// Whether somebody else, as a rule a Kafka broker, wrote last: the log's own facts were then drawn anew from the files.
    #[must_use]
    pub fn was_adopted(&self) -> bool {
        matches!(
            self.owner.verdict,
            Owner::ForeignClean | Owner::ForeignUnclean
        )
    }

    /// What was found and done in each partition.
    #[must_use]
    pub fn partitions(&self) -> &[PartitionRecovery] {
        &self.partitions
    }

    /// Names in the log directory that are neither partitions nor files of the log: Kafka's own topics, folders that a broker set aside, and
    /// what somebody else put there. Nothing of it was opened or changed.
    #[must_use]
    pub fn left_alone(&self) -> &[String] {
        &self.left_alone
    }

    /// Checkpoints that could not be read, and were not needed.
    #[must_use]
    pub fn unreadable(&self) -> &[Error] {
        &self.unreadable
    }

    /// How long opening took.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "opened in {:?}: row {} of the owner table, {}: {}",
            self.elapsed, self.owner.letter, self.owner.when, self.owner.reason
        )?;
        for partition in &self.partitions {
            writeln!(f, "{partition}")?;
        }
        for name in &self.left_alone {
            writeln!(f, "left alone: {name}")?;
        }
        for error in &self.unreadable {
            writeln!(f, "not used: {error}")?;
        }
        Ok(())
    }
}

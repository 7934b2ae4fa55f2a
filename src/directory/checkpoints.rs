//! Kafka's text checkpoints of a log directory: `topic partition offset` a line.

use std::collections::BTreeMap;
use std::path::Path;

use crate::checkpoint_text;
use crate::error::{Error, ErrorKind, Result};
use crate::offset::Offset;
use crate::storage::{Storage, read_small_file, replace_file};
use crate::topic::{TopicName, TopicPartition};

pub(super) const RECOVERY_POINT: &str = "recovery-point-offset-checkpoint";
pub(super) const LOG_START: &str = "log-start-offset-checkpoint";
pub(super) const HIGH_WATERMARK: &str = "replication-offset-checkpoint";

/// No checkpoint is larger: a million partitions with long names.
const LARGEST_BYTES: u64 = 300 << 20;

/// Which checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum CheckpointName {
    /// First offset that is not known to be on the medium.
    RecoveryPoint,
    /// Log start, of partitions whose start lies above their first segment's base.
    LogStart,
    /// High watermark.
    HighWatermark,
}

impl CheckpointName {
    pub(crate) const ALL: [Self; 3] = [Self::RecoveryPoint, Self::LogStart, Self::HighWatermark];

    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::RecoveryPoint => RECOVERY_POINT,
            Self::LogStart => LOG_START,
            Self::HighWatermark => HIGH_WATERMARK,
        }
    }
}

/// The entries of one checkpoint.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Checkpoint {
    offsets: BTreeMap<TopicPartition, Offset>,
}

impl Checkpoint {
    /// Reads a checkpoint; a missing or empty file has no entries.
    ///
    /// # Errors
    /// `Corrupt` for anything that Kafka would not take; `Io`.
    pub(crate) fn read(storage: &dyn Storage, dir: &Path, name: CheckpointName) -> Result<Self> {
        let path = dir.join(name.file());
        let Some(content) = read_small_file(storage, &path, LARGEST_BYTES)? else {
            return Ok(Self::default());
        };
        Self::parse(&content).map_err(|what| {
            Error::new(ErrorKind::Corrupt, format!("a checkpoint cannot be read: {what}"))
                .path_is(path)
                .remedy("a broker would refuse this directory; remove the file, so that recovery reads the log instead")
        })
    }

    fn parse(content: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(content).map_err(|_| "it is no UTF-8")?;
        let mut offsets = BTreeMap::new();
        checkpoint_text::read(text, |[topic, index, offset]| {
            let partition = TopicName::new(topic)
                .ok()
                .zip(index.parse().ok())
                .and_then(|(topic, index)| TopicPartition::new(topic, index).ok())
                .ok_or("a line names no partition")?;
            let offset: i64 = offset.parse().map_err(|_| "an offset is no number")?;
            // Kafka writes -1 for a partition whose offset it does not know.
            if let Some(offset) = Offset::from_i64(offset) {
                offsets.insert(partition, offset);
            }
            Ok(())
        })?;
        Ok(Self { offsets })
    }

    pub(crate) fn get(&self, partition: &TopicPartition) -> Option<Offset> {
        self.offsets.get(partition).copied()
    }

    pub(crate) fn set(&mut self, partition: TopicPartition, offset: Offset) {
        self.offsets.insert(partition, offset);
    }

    /// Keeps the entries of these partitions alone.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(&TopicPartition) -> bool) {
        self.offsets.retain(|partition, _| is_kept(partition));
    }

    pub(crate) fn to_text(&self) -> String {
        let line = |(partition, offset): (&TopicPartition, &Offset)| {
            format!("{} {} {offset}", partition.topic(), partition.index())
        };
        checkpoint_text::write(self.offsets.iter().map(line))
    }

    /// Replaces the file; durable on return.
    pub(crate) fn write(
        &self,
        storage: &dyn Storage,
        dir: &Path,
        name: CheckpointName,
    ) -> Result<()> {
        replace_file(storage, &dir.join(name.file()), self.to_text().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::storage::Memory;

    fn partition(topic: &str, index: u32) -> TopicPartition {
        TopicPartition::new(TopicName::new(topic).unwrap(), index).unwrap()
    }

    #[test]
    fn a_checkpoint_reads_back_as_it_was_written() {
        let storage = Memory::new();
        let dir = Path::new("/log");
        storage.create_dir(dir).unwrap();
        let name = CheckpointName::LogStart;
        assert_eq!(
            Checkpoint::read(&storage, dir, name).unwrap(),
            Checkpoint::default()
        );
        let mut checkpoint = Checkpoint::default();
        checkpoint.set(partition("b", 10), Offset::MAX);
        checkpoint.set(partition("a.b-c", 0), Offset::ZERO);
        checkpoint.write(&storage, dir, name).unwrap();
        assert_eq!(Checkpoint::read(&storage, dir, name).unwrap(), checkpoint);
        assert_eq!(
            checkpoint.to_text(),
            "0\n2\na.b-c 0 0\nb 10 9223372036854775807\n"
        );
    }

    #[test]
    fn kafkas_own_lines_are_taken_and_damage_is_named() {
        let read = Checkpoint::parse(b"0\n2\nevents 0 200\nevents 1 -1\n").unwrap();
        assert_eq!(
            read.get(&partition("events", 0)).map(Offset::get),
            Some(200)
        );
        assert_eq!(read.get(&partition("events", 1)), None);
        assert_eq!(Checkpoint::parse(b"").unwrap(), Checkpoint::default());
        for (content, what) in [
            (&b"1\n0\n"[..], "version"),
            (b"0\n", "count"),
            (b"0\n2\na 0 1\n", "count"),
            (b"0\n1\na 0\n", "line"),
            (b"0\n1\n../x 0 1\n", "partition"),
            (b"0\n1\na 0 x\n", "offset"),
            (b"0\n1\na 0 9223372036854775808\n", "offset"),
            (b"0\n1\na 2147483648 0\n", "partition"),
            (b"0\n1\na -1 0\n", "partition"),
            (b"0\n18446744073709551616\n", "count"),
            (b"0\n1\na 0 1\n\n", "line"),
            (b"\xff", "UTF-8"),
        ] {
            let found = Checkpoint::parse(content).expect_err(what);
            assert!(found.contains(what), "{found}");
        }
    }

    proptest! {
        #![proptest_config(crate::laws::config())]

        #[test]
        fn any_checkpoint_reads_back_and_any_text_is_one_or_a_named_fault(
            entries in proptest::collection::btree_map(("[a-zA-Z0-9._-]{1,20}", 0u32..100), 0u64..1 << 62, 0..8),
            other in ".{0,40}",
            lines in proptest::collection::vec("[a-z.]{0,3} [0-9]{0,2} [0-9-]{0,4}", 0..4),
        ) {
            let mut checkpoint = Checkpoint::default();
            for ((topic, index), offset) in &entries {
                if let Ok(topic) = TopicName::new(topic)
                    && let Ok(name) = TopicPartition::new(topic, *index)
                {
                    checkpoint.set(name, Offset::new(*offset).unwrap());
                }
            }
            let read = Checkpoint::parse(checkpoint.to_text().as_bytes()).unwrap();
            prop_assert_eq!(read.to_text(), checkpoint.to_text());
            let text = format!("0\n{}\n{}\n", lines.len(), lines.join("\n"));
            for text in [other, text] {
                if let Ok(checkpoint) = Checkpoint::parse(text.as_bytes()) {
                    let again = Checkpoint::parse(checkpoint.to_text().as_bytes()).unwrap();
                    prop_assert_eq!(again.to_text(), checkpoint.to_text());
                }
            }
        }
    }
}

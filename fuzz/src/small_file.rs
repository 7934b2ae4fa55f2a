//! Each small file of a log directory with any content, in the place of the right one. The first byte says how the log was left, and
//! whether the checksum is put right.

use std::path::{Path, PathBuf};

use super::disk::{Disk, Expect, LOG, PARTITION, base};

/// Which file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SmallFile {
    OffsetIndex,
    TimeIndex,
    TxnIndex,
    ProducerSnapshot,
    LeaderEpochs,
    Facts,
    SegmentList,
    /// The marker, `meta.properties` or `partition.metadata`.
    Identity,
    /// One of Kafka's three checkpoints.
    Checkpoint,
    Owner,
    Topics,
}

const NOT_CLOSED: u8 = 1;
const RIGHT_CHECKSUM: u8 = 2;
/// Which of the files of its kind: of which segment, for one.
const WHICH: u8 = 0b1100;
const MARKER: (&str, &str) = (LOG, ".kafka_cleanshutdown");

const SLOT_BYTES: usize = 512;
const ENTRY_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;

impl SmallFile {
    /// Where it stands.
    fn path(self, choice: u8) -> PathBuf {
        let which = choice & WHICH;
        let of_segment = |first: u64, last: u64, suffix: &str| {
            let number = if which == 0 { first } else { last };
            Path::new(PARTITION).join(format!("{number:020}.{suffix}"))
        };
        let (dir, name) = match (self, which) {
            (Self::OffsetIndex, _) => return of_segment(56, 86, "index"),
            (Self::TimeIndex, _) => return of_segment(56, 86, "timeindex"),
            (Self::TxnIndex, _) => return of_segment(56, 86, "txnindex"),
            (Self::ProducerSnapshot, _) => return of_segment(114, 118, "snapshot"),
            (Self::LeaderEpochs, _) => (PARTITION, "leader-epoch-checkpoint"),
            (Self::Facts, _) => (PARTITION, "stratalog.facts"),
            (Self::SegmentList, _) => (PARTITION, "stratalog.segments"),
            (Self::Identity, 0) => MARKER,
            (Self::Identity, 4) => (LOG, "meta.properties"),
            (Self::Identity, _) => (PARTITION, "partition.metadata"),
            (Self::Checkpoint, 0) => (LOG, "recovery-point-offset-checkpoint"),
            (Self::Checkpoint, 4) => (LOG, "log-start-offset-checkpoint"),
            (Self::Checkpoint, _) => (LOG, "replication-offset-checkpoint"),
            (Self::Owner, _) => (LOG, "stratalog.owner"),
            (Self::Topics, _) => (LOG, "stratalog.topics"),
        };
        Path::new(dir).join(name)
    }

    fn put_checksum_right(self, content: &mut Vec<u8>) {
        match self {
            Self::ProducerSnapshot if content.len() >= 6 => {
                let checksum = crc32c::crc32c(&content[6..]).to_be_bytes();
                content[2..6].copy_from_slice(&checksum);
            }
            Self::Facts => each_with_checksum(content, SLOT_BYTES),
            Self::SegmentList => each_with_checksum(content, ENTRY_BYTES),
            Self::Owner | Self::Topics => {
                let checksum = crc32fast::hash(content);
                content.extend_from_slice(format!("crc32 {checksum:08x}\n").as_bytes());
            }
            _ => {}
        }
    }

    /// What the log says of its records alone: nothing of it may hang on the file.
    fn is_derived(self) -> bool {
        matches!(
            self,
            Self::OffsetIndex
                | Self::TimeIndex
                | Self::TxnIndex
                | Self::ProducerSnapshot
                | Self::LeaderEpochs
        )
    }
}

fn each_with_checksum(content: &mut [u8], size: usize) {
    for part in content.chunks_exact_mut(size) {
        let (covered, place) = part.split_at_mut(size - CHECKSUM_BYTES);
        place.copy_from_slice(&crc32fast::hash(covered).to_le_bytes());
    }
}

pub fn run(file: SmallFile, data: &[u8]) {
    let (choice, content) = data.split_first().unwrap_or((&0, &[]));
    let mut content = content.to_vec();
    if choice & RIGHT_CHECKSUM != 0 {
        file.put_checksum_right(&mut content);
    }
    let mut files = base();
    if choice & NOT_CLOSED != 0 {
        let (dir, name) = MARKER;
        files.remove(&Path::new(dir).join(name));
    }
    files.insert(file.path(*choice), content);
    let disk = Disk::new();
    disk.put(&files);
    disk.use_it(if file.is_derived() {
        Expect::Everything
    } else {
        Expect::NothingMadeUp
    });
}

//! A log directory: what stands in it, who holds it, who wrote last, and the files beside the partitions.
//!
//! This folder must never know what a topic's routing, a thread or a cursor is.

mod checkpoints;
mod lock;
mod marker;
mod metadata;
mod owner;
mod reserve;
mod topics_file;

use std::path::Path;

use crate::error::Result;
use crate::storage::{EntryKind, Storage};
use crate::topic::{DirectoryName, TopicPartition};

pub(crate) use checkpoints::{Checkpoint, CheckpointName};
pub(crate) use lock::DirectoryLock;
pub(crate) use marker::Marker;
pub(crate) use metadata::{new_topic_id, read_topic_id, write_topic_id};
pub(crate) use owner::{Kafkas, OwnerFacts, OwnerFile, OwnerRow, decide_owner, draw_incarnation};
pub(crate) use reserve::Reserve;
pub(crate) use topics_file::TopicsFile;

/// The names in a log directory, sorted by what they mean.
#[derive(Clone, Debug, Default)]
pub(crate) struct DirectoryListing {
    /// Folders of partitions that a user may open, ascending.
    pub(crate) partitions: Vec<TopicPartition>,
    /// Folders of topics that start with `__`: Kafka's own, never opened here.
    pub(crate) internal: Vec<String>,
    /// Kafka's `-delete`, `-stray` and `-future` folders: never opened, changed or listed as topics.
    pub(crate) set_aside: Vec<String>,
    /// Folders whose name is no partition's. A broker refuses to start on them.
    pub(crate) foreign_folders: Vec<String>,
    /// Files that are neither Kafka's nor ours, and links, FIFOs and devices: left alone.
    pub(crate) foreign_files: Vec<String>,
    /// Whether nothing at all stands in the directory but perhaps the lock file, and the first file of ours that a crash left unfinished.
    pub(crate) is_empty: bool,
}

/// Files of a log directory that are Kafka's or ours.
const KNOWN_FILES: [&str; 13] = [
    lock::FILE,
    marker::FILE,
    checkpoints::RECOVERY_POINT,
    checkpoints::LOG_START,
    checkpoints::HIGH_WATERMARK,
    "cleaner-offset-checkpoint",
    owner::META_PROPERTIES,
    owner::FILE,
    topics_file::FILE,
    reserve::FILE,
    "bootstrap.checkpoint",
    "stratalog.live",
    "stratalog.positions",
];

impl DirectoryListing {
    pub(crate) fn read(storage: &dyn Storage, dir: &Path) -> Result<Self> {
        let mut listing = Self {
            is_empty: true,
            ..Self::default()
        };
        for entry in storage.list(dir)? {
            let name = entry.name.to_string_lossy().into_owned();
            listing.is_empty &=
                name == lock::FILE || name.strip_suffix(".tmp") == Some(owner::FILE);
            match entry.kind {
                EntryKind::Directory => listing.folder(name),
                EntryKind::File if is_known(&name) => {}
                EntryKind::File | EntryKind::Other => listing.foreign_files.push(name),
            }
        }
        listing.partitions.sort();
        listing.internal.sort();
        listing.set_aside.sort();
        listing.foreign_folders.sort();
        listing.foreign_files.sort();
        Ok(listing)
    }

    /// Whether a partition has a folder here that only Kafka opens: its own topics, and what it set aside.
    pub(crate) fn is_kafkas(&self, partition: &TopicPartition) -> bool {
        let name = partition.to_string();
        let is_of_it = |aside: &String| {
            (aside.strip_prefix(&name)).is_some_and(|suffix| suffix.starts_with('.'))
        };
        self.internal.contains(&name) || self.set_aside.iter().any(is_of_it)
    }

    /// Whether there is any such folder.
    pub(crate) fn has_kafkas(&self) -> bool {
        !self.internal.is_empty() || !self.set_aside.is_empty()
    }

    fn folder(&mut self, name: String) {
        match TopicPartition::parse_directory(&name) {
            DirectoryName::Partition(partition) if partition.topic().is_internal() => {
                self.internal.push(name);
            }
            DirectoryName::Partition(partition) => self.partitions.push(partition),
            DirectoryName::SetAside => self.set_aside.push(name),
            DirectoryName::Foreign => self.foreign_folders.push(name),
        }
    }
}

/// Also the `.tmp` of a file that was being replaced.
fn is_known(name: &str) -> bool {
    KNOWN_FILES.contains(&name.strip_suffix(".tmp").unwrap_or(name))
}

/// The last line of our text files: `crc32 <8 hex>` over everything before it.
fn with_checksum_line(mut text: String) -> String {
    let checksum = crc32fast::hash(text.as_bytes());
    text.push_str(&format!("crc32 {checksum:08x}\n"));
    text
}

/// The text before a right checksum line; `Err` says what is wrong.
fn check_checksum_line(content: &[u8]) -> Result<&str, &'static str> {
    let text = std::str::from_utf8(content).map_err(|_| "it is no UTF-8")?;
    let body = text.strip_suffix('\n').ok_or("its last line has no end")?;
    let start = body.rfind('\n').map_or(0, |end| end.saturating_add(1));
    let (covered, last) = body.split_at_checked(start).ok_or("it has no lines")?;
    let checksum = last
        .strip_prefix("crc32 ")
        .ok_or("its last line is no checksum")?;
    if parse_checksum(checksum) != Some(crc32fast::hash(covered.as_bytes())) {
        return Err("its checksum does not match its content");
    }
    Ok(covered)
}

/// Eight hexadecimal digits, as they are written.
fn parse_checksum(text: &str) -> Option<u32> {
    let is_written_so = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
    let is_whole = text.len() == 8 && text.bytes().all(is_written_so);
    is_whole.then(|| u32::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;

    #[test]
    fn a_listing_tells_partitions_from_what_is_kafkas_and_what_is_foreign() {
        let storage = Memory::new();
        let dir = Path::new("/log");
        storage.create_dir(dir).unwrap();
        let listing = DirectoryListing::read(&storage, dir).unwrap();
        assert!(listing.is_empty);
        let aside = "a-0.0123456789abcdef0123456789abcdef-stray";
        for folder in [
            "b-1",
            "a-0",
            "b-0",
            "__consumer_offsets-3",
            aside,
            "lost+found",
        ] {
            storage.create_dir(&dir.join(folder)).unwrap();
        }
        for file in [
            ".lock",
            "meta.properties",
            "stratalog.topics.tmp",
            "notes.txt",
        ] {
            storage.create(&dir.join(file)).unwrap();
        }
        let listing = DirectoryListing::read(&storage, dir).unwrap();
        let names: Vec<String> = listing.partitions.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a-0", "b-0", "b-1"]);
        assert_eq!(listing.internal, ["__consumer_offsets-3"]);
        assert_eq!(listing.set_aside, [aside]);
        assert_eq!(listing.foreign_folders, ["lost+found"]);
        assert_eq!(listing.foreign_files, ["notes.txt"]);
        assert!(!listing.is_empty);
        let is_kafkas = |topic: &str, index| {
            let topic = crate::topic::TopicName::new(topic).unwrap();
            listing.is_kafkas(&TopicPartition::new(topic, index).unwrap())
        };
        assert!(is_kafkas("__consumer_offsets", 3) && is_kafkas("a", 0));
        assert!(!is_kafkas("__consumer_offsets", 30) && !is_kafkas("b", 0));
    }

    #[test]
    fn a_text_is_believed_only_with_its_checksum() {
        let text = with_checksum_line("first\nsecond\n".to_owned());
        assert_eq!(check_checksum_line(text.as_bytes()), Ok("first\nsecond\n"));
        for index in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            for bit in 0..8 {
                damaged[index] = text.as_bytes()[index] ^ (1 << bit);
                assert!(check_checksum_line(&damaged).is_err(), "byte {index}");
            }
            assert!(
                check_checksum_line(&text.as_bytes()[..index]).is_err(),
                "cut at {index}"
            );
        }
    }
}

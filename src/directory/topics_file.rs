//! `stratalog.topics`: the options of each topic, in Kafka's names.
//!
//! ```text
//! stratalog-topics 1
//! events num.partitions=3 segment.bytes=1048576 stratalog.fsync=always
//! crc32 0f1e2d3c
//! ```
//!
//! A topic without a line has the log's defaults. A damaged file is an error: defaults in its place could lose data by
//! a retention that nobody asked for.

use std::collections::BTreeMap;
use std::path::Path;

use super::{check_checksum_line, with_checksum_line};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Storage, read_small_file, replace_file};
use crate::topic::TopicName;

pub(super) const FILE: &str = "stratalog.topics";
const HEAD: &str = "stratalog-topics 1";
const LARGEST_BYTES: u64 = 64 << 20;

/// The file's content: options by topic, as text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct TopicsFile {
    topics: BTreeMap<TopicName, Vec<(String, String)>>,
}

impl TopicsFile {
    /// Reads the file; a missing one has no topics.
    ///
    /// # Errors
    /// `Corrupt` for a damaged file; `Io`.
    pub(crate) fn read(storage: &dyn Storage, dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let Some(content) = read_small_file(storage, &path, LARGEST_BYTES)? else {
            return Ok(Self::default());
        };
        Self::parse(&content).map_err(|what| {
            Error::new(
                ErrorKind::Corrupt,
                format!("the topics' options cannot be read: {what}"),
            )
            .path_is(path)
            .remedy(
                "restore the file, or remove it: all topics then have the log's default options",
            )
        })
    }

    fn parse(content: &[u8]) -> Result<Self, &'static str> {
        let mut lines = check_checksum_line(content)?.lines();
        if lines.next() != Some(HEAD) {
            return Err("its first line is not \"stratalog-topics 1\"");
        }
        let mut topics = BTreeMap::new();
        for line in lines {
            let mut words = line.split(' ');
            let name = words
                .next()
                .and_then(|name| TopicName::new(name).ok())
                .ok_or("a line names no topic")?;
            let pairs: Option<Vec<_>> = words
                .map(|pair| {
                    pair.split_once('=')
                        .map(|(key, value)| (key.to_owned(), value.to_owned()))
                })
                .collect();
            let pairs = pairs.ok_or("an option is not key=value")?;
            if topics.insert(name, pairs).is_some() {
                return Err("a topic stands there twice");
            }
        }
        Ok(Self { topics })
    }

    pub(crate) fn get(&self, topic: &TopicName) -> Option<&[(String, String)]> {
        self.topics.get(topic).map(Vec::as_slice)
    }

    pub(crate) fn set(&mut self, topic: TopicName, pairs: Vec<(String, String)>) {
        self.topics.insert(topic, pairs);
    }

    pub(crate) fn remove(&mut self, topic: &TopicName) {
        self.topics.remove(topic);
    }

    /// Replaces the file; durable on return.
    pub(crate) fn write(&self, storage: &dyn Storage, dir: &Path) -> Result<()> {
        let mut text = format!("{HEAD}\n");
        for (topic, pairs) in &self.topics {
            text.push_str(topic.as_str());
            for (key, value) in pairs {
                text.push_str(&format!(" {key}={value}"));
            }
            text.push('\n');
        }
        replace_file(
            storage,
            &dir.join(FILE),
            with_checksum_line(text).as_bytes(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;

    #[test]
    fn options_read_back_and_any_damage_is_corrupt() {
        let storage = Memory::new();
        let dir = Path::new("/log");
        storage.create_dir(dir).unwrap();
        let mut file = TopicsFile::default();
        let name = |name: &str| TopicName::new(name).unwrap();
        file.set(
            name("b"),
            vec![("segment.bytes".to_owned(), "4096".to_owned())],
        );
        file.set(name("a"), Vec::new());
        file.write(&storage, dir).unwrap();
        assert_eq!(TopicsFile::read(&storage, dir).unwrap(), file);
        let content = read_small_file(&storage, &dir.join(FILE), LARGEST_BYTES)
            .unwrap()
            .unwrap();
        for index in 0..content.len() {
            let mut damaged = content.clone();
            damaged[index] ^= 1 << (index % 8);
            replace_file(&storage, &dir.join(FILE), &damaged).unwrap();
            let error = TopicsFile::read(&storage, dir).expect_err("damaged");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {index}");
        }
    }

    #[test]
    fn lines_that_no_writer_makes_are_named_in_spite_of_their_checksum() {
        for (lines, what) in [
            ("stratalog-topics 2\n", "first line"),
            ("", "first line"),
            ("stratalog-topics 1\n\n", "topic"),
            ("stratalog-topics 1\n../x a=1\n", "topic"),
            ("stratalog-topics 1\na retention.ms\n", "key=value"),
            ("stratalog-topics 1\na  b=1\n", "key=value"),
            ("stratalog-topics 1\na b=1\na b=2\n", "twice"),
        ] {
            let text = with_checksum_line(lines.to_owned());
            let fault = TopicsFile::parse(text.as_bytes()).expect_err(lines);
            assert!(fault.contains(what), "{lines:?}: {fault}");
        }
        assert!(
            TopicsFile::parse(b"").is_err(),
            "an empty file has no topics line"
        );
    }
}

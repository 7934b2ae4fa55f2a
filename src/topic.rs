//! Names: what a topic may be called, how a partition's directory is called, and a topic's id.
//!
//! A name is checked here before any path is built from it, so no name leaves the log directory.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

/// The longest topic name that Kafka takes.
const MAX_TOPIC_NAME_BYTES: usize = 249;

/// A topic name that passed Kafka's rule: 1 to 249 characters of `[a-zA-Z0-9._-]`, not `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Checks a name as Kafka does.
    ///
    /// # Errors
    /// `InvalidInput` naming the topic and the rule.
    pub fn new(name: &str) -> Result<Self> {
        let fault = if name.is_empty() {
            Some("is empty")
        } else if name == "." || name == ".." {
            Some("is a directory's own name")
        } else if name.len() > MAX_TOPIC_NAME_BYTES {
            Some("is longer than 249 characters")
        } else if !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        {
            Some("has a character outside [a-zA-Z0-9._-]")
        } else {
            None
        };
        match fault {
            None => Ok(Self(name.into())),
            Some(fault) => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("topic name {name:?} {fault}"),
            )
            .remedy("use 1 to 249 characters of [a-zA-Z0-9._-], not \".\" or \"..\"")),
        }
    }

    /// Checks a name that a user gave: names that start with `__` belong to Kafka itself.
    ///
    /// # Errors
    /// As [`TopicName::new`], and `InvalidInput` for a name that starts with `__`.
    pub fn for_user(name: &str) -> Result<Self> {
        let checked = Self::new(name)?;
        if checked.is_internal() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("topic name {name:?} starts with \"__\", which Kafka keeps for itself"),
            )
            .remedy("choose a name without the leading \"__\""));
        }
        Ok(checked)
    }

    /// Whether the topic is one of Kafka's own (`__consumer_offsets`).
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.0.starts_with("__")
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A topic and the number of one of its partitions; shown as its directory is called.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPartition {
    topic: TopicName,
    index: u32,
}

/// What the name of a directory in a log directory says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum DirectoryName {
    /// `<topic>-<n>`.
    Partition(TopicPartition),
    /// `<topic>-<n>.<32 hex>-delete`, `-stray` or `-future`: Kafka's, never opened here.
    SetAside,
    /// Anything else.
    Foreign,
}

impl TopicPartition {
    /// Names a partition. Kafka's partition numbers are at most `i32::MAX`.
    ///
    /// # Errors
    /// `InvalidInput` when `index` is above `i32::MAX`.
    pub fn new(topic: TopicName, index: u32) -> Result<Self> {
        if i32::try_from(index).is_err() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("partition {index} of topic {topic} is above {}", i32::MAX),
            ));
        }
        Ok(Self { topic, index })
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// The partition's number.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Reads the name of a directory; the number stands behind the last `-`.
    pub(crate) fn parse_directory(name: &str) -> DirectoryName {
        if let Some(name) = Self::parse(name) {
            return DirectoryName::Partition(name);
        }
        let set_aside = ["-delete", "-stray", "-future"].iter().any(|suffix| {
            name.strip_suffix(suffix)
                .and_then(|rest| rest.rsplit_once('.'))
                .is_some_and(|(_, id)| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
        });
        if set_aside {
            DirectoryName::SetAside
        } else {
            DirectoryName::Foreign
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let (topic, index) = name.rsplit_once('-')?;
        // A name with a sign or leading zeros would not be written back the same.
        if index.is_empty() || (index.len() > 1 && index.starts_with('0')) {
            return None;
        }
        if !index.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Self::new(TopicName::new(topic).ok()?, index.parse().ok()?).ok()
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

/// The id of a topic (KIP-516), shown as Kafka shows it: 22 characters of URL-safe base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId([u8; 16]);

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl TopicId {
    /// From its sixteen bytes; `None` for all zeros, which Kafka refuses.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        if bytes == [0; 16] {
            None
        } else {
            Some(Self(bytes))
        }
    }

    /// The sixteen bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads the 22 characters; `None` for anything else, and for the id of zeros.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 22 {
            return None;
        }
        let mut bits = 0u128;
        for (index, byte) in text.bytes().enumerate() {
            let digit = BASE64_URL.iter().position(|c| *c == byte)?;
            let digit = u128::try_from(digit).ok()?;
            // 21 digits carry 126 bits; the last one adds two and pads with four zero bits.
            if index < 21 {
                bits = (bits << 6) | digit;
            } else if digit & 0b1111 == 0 {
                bits = (bits << 2) | (digit >> 4);
            } else {
                return None;
            }
        }
        Self::from_bytes(bits.to_be_bytes())
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        for index in 0..22u32 {
            let digit = if index < 21 {
                (bits >> (122 - 6 * index)) & 63
            } else {
                (bits & 3) << 4
            };
            let character = usize::try_from(digit).ok().and_then(|d| BASE64_URL.get(d));
            write!(f, "{}", char::from(*character.unwrap_or(&b'A')))?;
        }
        Ok(())
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_directory_or_that_kafka_refuses_are_refused_by_name() {
        let long = "x".repeat(250);
        for name in ["", ".", "..", "a/b", "../x", "a b", "ä", "a\0", &long] {
            let error = TopicName::new(name).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
        }
        assert!(TopicName::new(&"x".repeat(249)).is_ok());
        assert!(TopicName::new("a.b_c-1").is_ok());
    }

    #[test]
    fn a_user_may_not_take_kafkas_own_names() {
        assert!(TopicName::for_user("__consumer_offsets").is_err());
        assert!(TopicName::new("__consumer_offsets").is_ok());
        assert!(TopicName::for_user("_mine").is_ok());
    }

    #[test]
    fn a_partition_directory_is_parsed_at_the_last_dash_and_written_back_the_same() {
        for name in ["a-0", "a-b-17", "x.y_z-2147483647"] {
            match TopicPartition::parse_directory(name) {
                DirectoryName::Partition(partition) => assert_eq!(partition.to_string(), name),
                other => panic!("{name}: {other:?}"),
            }
        }
        for name in [
            "a",
            "a-",
            "-0",
            "a-00",
            "a-+1",
            "a--1x",
            "a-2147483648",
            ".x",
            "lost+found",
        ] {
            assert_eq!(
                TopicPartition::parse_directory(name),
                DirectoryName::Foreign,
                "{name}"
            );
        }
        let id = "0123456789abcdef0123456789abcdef";
        for kind in ["delete", "stray", "future"] {
            let name = format!("a-0.{id}-{kind}");
            assert_eq!(
                TopicPartition::parse_directory(&name),
                DirectoryName::SetAside,
                "{name}"
            );
        }
    }

    #[test]
    fn a_topic_id_reads_back_as_it_is_shown() {
        for text in [
            "6qzrzIt3SKuXj0aNvFaR3w",
            "AAAAAAAAAAAAAAAAAAAAAQ",
            "_____________________w",
        ] {
            assert_eq!(TopicId::parse(text).expect(text).to_string(), text);
        }
        for text in [
            "",
            "AAAAAAAAAAAAAAAAAAAAAA",
            "6qzrzIt3SKuXj0aNvFaR3x",
            "6qzrzIt3SKuXj0aNvFaR3w=",
        ] {
            assert_eq!(TopicId::parse(text), None, "{text}");
        }
    }
}

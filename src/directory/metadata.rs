//! `partition.metadata`: the id of a partition's topic.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Storage, read_small_file, replace_file};
use crate::topic::TopicId;

const FILE: &str = "partition.metadata";
const LARGEST_BYTES: u64 = 4_096;

/// The topic's id, as the partition's folder has it; `None` without the file.
///
/// # Errors
/// `Corrupt` for a file that Kafka would not take; `Io`.
pub(crate) fn read_topic_id(
    storage: &dyn Storage,
    partition_dir: &Path,
) -> Result<Option<TopicId>> {
    let path = partition_dir.join(FILE);
    let Some(content) = read_small_file(storage, &path, LARGEST_BYTES)? else {
        return Ok(None);
    };
    match parse(&content) {
        Some(id) => Ok(Some(id)),
        None => Err(Error::new(ErrorKind::Corrupt, "the topic's id cannot be read").path_is(path)),
    }
}

/// Kafka splits at `:` and white space, and asks for the two keys only.
fn parse(content: &[u8]) -> Option<TopicId> {
    let text = std::str::from_utf8(content).ok()?;
    let field = |name: &str| {
        text.lines().find_map(|line| {
            line.split_once(':')
                .filter(|(key, _)| *key == name)
                .map(|(_, v)| v.trim())
        })
    };
    field("version")?.parse::<u32>().ok()?;
    TopicId::parse(field("topic_id")?)
}

/// Writes the file as Kafka does, without a last line end; durable on return.
pub(crate) fn write_topic_id(
    storage: &dyn Storage,
    partition_dir: &Path,
    id: TopicId,
) -> Result<()> {
    replace_file(
        storage,
        &partition_dir.join(FILE),
        format!("version: 0\ntopic_id: {id}").as_bytes(),
    )
}

/// A new id, random as Kafka's are, and like those never with a leading `-`.
pub(crate) fn new_topic_id() -> Result<TopicId> {
    loop {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(|error| {
            Error::new(ErrorKind::Io, "the system gives no random numbers")
                .caused_by(error.to_string())
        })?;
        if let Some(id) = TopicId::from_bytes(bytes)
            && !id.to_string().starts_with('-')
        {
            return Ok(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;

    #[test]
    fn an_id_reads_back_and_a_damaged_file_is_named() {
        let storage = Memory::new();
        let dir = Path::new("/a-0");
        storage.create_dir(dir).unwrap();
        assert_eq!(read_topic_id(&storage, dir).unwrap(), None);
        let id = new_topic_id().unwrap();
        write_topic_id(&storage, dir, id).unwrap();
        assert_eq!(read_topic_id(&storage, dir).unwrap(), Some(id));
        replace_file(&storage, &dir.join(FILE), b"version: 0\ntopic_id: x").unwrap();
        assert_eq!(
            read_topic_id(&storage, dir).expect_err("damaged").kind(),
            ErrorKind::Corrupt
        );
        assert_eq!(
            parse(b"version: 0\ntopic_id: 6qzrzIt3SKuXj0aNvFaR3w"),
            TopicId::parse("6qzrzIt3SKuXj0aNvFaR3w")
        );
    }
}

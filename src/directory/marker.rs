//! `.kafka_cleanshutdown`: every `.log` here ends at its last batch. For a broker its existence alone counts, so it is deleted
//! before anything is touched and written when all is done.

use std::path::Path;

use crate::error::{ErrorKind, Result};
use crate::partition::Incarnation;
use crate::storage::{Storage, read_small_file, replace_file};

pub(super) const FILE: &str = ".kafka_cleanshutdown";

/// Kafka's own has 30 bytes; whatever is longer is still a marker, and not ours.
const LARGEST_BYTES: u64 = 4_096;

/// What stands in the place of the marker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Marker {
    /// Nothing: the last writer did not close.
    Absent,
    /// Ours, of this incarnation.
    Ours(Incarnation),
    /// Somebody else's: Kafka's, or one that names no incarnation.
    Foreign,
}

impl Marker {
    pub(crate) fn read(storage: &dyn Storage, dir: &Path) -> Result<Self> {
        match read_small_file(storage, &dir.join(FILE), LARGEST_BYTES) {
            Ok(None) => Ok(Self::Absent),
            Ok(Some(content)) => Ok(Self::parse(&content)),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Self::Foreign),
            Err(error) => Err(error),
        }
    }

    /// Tolerant of spacing and order: a marker that cannot be read is a marker all the same.
    fn parse(content: &[u8]) -> Self {
        let text: String = String::from_utf8_lossy(content)
            .split_whitespace()
            .collect();
        let ours = text.contains("\"writer\":\"stratalog\"");
        let incarnation = text
            .split_once("\"incarnation\":\"")
            .and_then(|(_, rest)| rest.split_once('"'))
            .and_then(|(id, _)| Incarnation::parse(id));
        match incarnation {
            Some(incarnation) if ours => Self::Ours(incarnation),
            _ => Self::Foreign,
        }
    }

    /// Writes ours; durable on return. The caller has synced everything else. A crash leaves no marker or the whole one: half of it would
    /// name no incarnation, and read as somebody else's.
    pub(crate) fn write(storage: &dyn Storage, dir: &Path, incarnation: Incarnation) -> Result<()> {
        let text = format!(
            "{{\"version\":0,\"brokerEpoch\":-1,\"writer\":\"stratalog\",\"incarnation\":\"{incarnation}\"}}"
        );
        replace_file(storage, &dir.join(FILE), text.as_bytes())
    }

    /// Deletes whatever marker there is; durable on return.
    pub(crate) fn delete(storage: &dyn Storage, dir: &Path) -> Result<()> {
        match storage.remove(&dir.join(FILE)) {
            Ok(()) => storage.sync_dir(dir),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;

    #[test]
    fn our_marker_tells_its_incarnation_and_is_gone_once_deleted() {
        let storage = Memory::new();
        let dir = Path::new("/log");
        storage.create_dir(dir).unwrap();
        let incarnation = Incarnation([0xab; 16]);
        assert_eq!(Marker::read(&storage, dir).unwrap(), Marker::Absent);
        Marker::write(&storage, dir, incarnation).unwrap();
        assert_eq!(
            Marker::read(&storage, dir).unwrap(),
            Marker::Ours(incarnation)
        );
        let entries = storage.list(dir).unwrap();
        assert_eq!(entries.len(), 1, "nothing is left beside it");
        Marker::delete(&storage, dir).unwrap();
        Marker::delete(&storage, dir).expect("nothing to delete is no error");
        assert_eq!(Marker::read(&storage, dir).unwrap(), Marker::Absent);
    }

    #[test]
    fn whatever_stands_there_is_a_marker_and_only_ours_is_ours() {
        for content in [
            &b""[..],
            b"garbage \xff",
            b"{\"version\":0,\"brokerEpoch\":17}",
            b"{\"writer\":\"stratalog\",\"incarnation\":\"short\"}",
            b"{\"incarnation\":\"abababab-abab-abab-abab-abababababab\"}",
        ] {
            assert_eq!(Marker::parse(content), Marker::Foreign);
        }
        let spaced =
            b"{ \"incarnation\" : \"abababab-abab-abab-abab-abababababab\",\n \"writer\": \"stratalog\" }";
        assert_eq!(Marker::parse(spaced), Marker::Ours(Incarnation([0xab; 16])));
    }
}

//! Offsets by time as Kafka's ListOffsets answers them.

use std::io::Write;
use std::str::FromStr;

use super::PartitionDir;
use super::json::JsonLine;
use crate::cursor::{Search, TimedOffset};
use crate::epochs::Epochs;
use crate::error::{Error, ErrorKind, Result};
use crate::offset::Offset;
use crate::segment::FileName;
use crate::storage::read_small_file;
use crate::timestamp::Timestamp;

/// A history of a million epochs.
const MOST_EPOCH_BYTES: u64 = 32 << 20;

/// What offset is asked for; Kafka's words and numbers.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The log start.
    Earliest,
    /// The log end.
    Latest,
    /// The first record that carries the largest time.
    MaxTimestamp,
    /// The first record with this time or a later one.
    Timestamp(Timestamp),
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "EARLIEST" => Ok(Self::Earliest),
            "LATEST" => Ok(Self::Latest),
            "MAX_TIMESTAMP" => Ok(Self::MaxTimestamp),
            _ => match text.parse() {
                Ok(millis) => Ok(Self::Timestamp(Timestamp::from_millis(millis))),
                Err(_) => Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!(
                        "{text:?} is neither EARLIEST, LATEST, MAX_TIMESTAMP nor milliseconds since 1970"
                    ),
                )),
            },
        }
    }
}

pub(super) fn offsets(
    partition: &PartitionDir,
    targets: &[Target],
    out: &mut dyn Write,
) -> Result<()> {
    let reader = partition.reader()?;
    let marks = reader.published.watermarks();
    let epochs = read_epochs(partition)?;
    // Kafka gives no time with an offset that is not found by time.
    let mark = |offset: Offset, epoch| (Some(offset), Some(-1), epoch);
    let timed = |found: Option<TimedOffset>| match found {
        Some(found) => (
            Some(found.offset),
            Some(found.timestamp.as_millis()),
            found.leader_epoch,
        ),
        None => (None, None, None),
    };
    for target in targets {
        let line = JsonLine::new();
        let (line, (offset, timestamp, epoch)) = match target {
            Target::Earliest => (
                line.text("target", "EARLIEST"),
                mark(marks.start, epochs.epoch_at(marks.start)),
            ),
            Target::Latest => (
                line.text("target", "LATEST"),
                mark(marks.end, epochs.latest()),
            ),
            Target::MaxTimestamp => (
                line.text("target", "MAX_TIMESTAMP"),
                timed(reader.offset_of_max_timestamp()?),
            ),
            Target::Timestamp(at) => {
                let found = reader.offset_for(*at, Search::FirstSegment)?;
                (line.number("target", at.as_millis()), timed(found))
            }
        };
        let line = line
            .number_or_null("offset", offset.map(Offset::get))
            .number_or_null("timestamp", timestamp)
            .number_or_null("leader_epoch", epoch.map(|epoch| epoch.get()));
        out.write_all(line.finish().as_bytes())
            .map_err(|error| Error::io("write a line of offsets", "<output>", error))?;
    }
    Ok(())
}

/// What cannot be read names no epoch: it is derived from the batches.
fn read_epochs(partition: &PartitionDir) -> Result<Epochs> {
    let path = partition.home.path(FileName::LeaderEpochs);
    let content = match read_small_file(&*partition.home.storage, &path, MOST_EPOCH_BYTES) {
        Err(error) if error.kind() == ErrorKind::Corrupt => None,
        read => read?,
    };
    let text = content
        .and_then(|content| String::from_utf8(content).ok())
        .unwrap_or_default();
    Ok(Epochs::parse(&text).unwrap_or_default())
}

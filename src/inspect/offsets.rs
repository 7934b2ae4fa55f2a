//! Offsets by time as Kafka's ListOffsets answers them.

use std::io::Write;
use std::str::FromStr;

use super::json::JsonLine;
use super::{PartitionDir, unless_unreadable};
use crate::cursor::{Search, TimedOffset};
use crate::epochs::Epochs;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::LeaderEpoch;
use crate::offset::Offset;
use crate::segment::FileName;
use crate::storage::read_small_file;
use crate::timestamp::Timestamp;

/// A history of a million epochs.
pub(super) const MOST_EPOCH_BYTES: u64 = 32 << 20;

/// What offset is asked for; Kafka's words and numbers ([`FromStr`]).
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The log start.
    Earliest,
    /// The log end.
    Latest,
    /// The start of what is on this machine: the log start, because nothing is kept elsewhere.
    EarliestLocal,
    /// The end of what is kept elsewhere, which is nothing.
    LatestTiered,
    /// The first record that carries the largest time.
    MaxTimestamp,
    /// The first record with this time or a later one.
    Timestamp(Timestamp),
}

impl FromStr for Target {
    type Err = Error;

    /// Kafka's words; its numbers for them (-1 to -5, `ListOffsetsRequest`) mean the same.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "LATEST" | "-1" => Ok(Self::Latest),
            "EARLIEST" | "-2" => Ok(Self::Earliest),
            "MAX_TIMESTAMP" | "-3" => Ok(Self::MaxTimestamp),
            "EARLIEST_LOCAL" | "-4" => Ok(Self::EarliestLocal),
            "LATEST_TIERED" | "-5" => Ok(Self::LatestTiered),
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

/// What Kafka says of a target; its numbers, -1 for what is not known.
struct Answer {
    offset: i64,
    timestamp: i64,
    leader_epoch: Option<i32>,
}

impl Answer {
    /// Kafka gives no time with an offset that is not found by time.
    fn mark(offset: Offset, epoch: Option<LeaderEpoch>) -> Self {
        Self {
            offset: offset.to_i64(),
            timestamp: -1,
            leader_epoch: epoch.map(LeaderEpoch::get),
        }
    }

    fn timed(found: TimedOffset) -> Self {
        Self {
            timestamp: found.timestamp.as_millis(),
            ..Self::mark(found.offset, found.leader_epoch)
        }
    }

    /// What a partition without a tier answers when it is asked for the tier's end.
    const NO_TIER: Self = Self {
        offset: -1,
        timestamp: -1,
        leader_epoch: Some(-1),
    };
}

pub(super) fn offsets(
    partition: &PartitionDir,
    targets: &[Target],
    out: &mut dyn Write,
) -> Result<()> {
    let reader = partition.reader()?;
    let marks = reader.published.watermarks();
    let mut epochs = read_epochs(partition)?;
    // As loading does; whether that changes the file is of no concern here.
    epochs.cut_end(marks.end);
    epochs.fold_start(marks.start);
    let start = || Answer::mark(marks.start, epochs.epoch_at(marks.start));
    for target in targets {
        let line = JsonLine::new();
        let (line, answer) = match target {
            Target::Earliest => (line.text("target", "EARLIEST"), Some(start())),
            Target::EarliestLocal => (line.text("target", "EARLIEST_LOCAL"), Some(start())),
            Target::Latest => {
                let end = Answer::mark(marks.end, epochs.latest());
                (line.text("target", "LATEST"), Some(end))
            }
            Target::LatestTiered => (line.text("target", "LATEST_TIERED"), Some(Answer::NO_TIER)),
            Target::MaxTimestamp => {
                let found = reader.offset_of_max_timestamp()?;
                (
                    line.text("target", "MAX_TIMESTAMP"),
                    found.map(Answer::timed),
                )
            }
            Target::Timestamp(at) => {
                let found = reader.offset_for(*at, Search::FirstSegment)?;
                let line = line.number("target", at.as_millis());
                (line, found.map(Answer::timed))
            }
        };
        let answer = answer.as_ref();
        let line = line
            .number_or_null("offset", answer.map(|answer| answer.offset))
            .number_or_null("timestamp", answer.map(|answer| answer.timestamp))
            .number_or_null(
                "leader_epoch",
                answer.and_then(|answer| answer.leader_epoch),
            );
        out.write_all(line.finish().as_bytes())
            .map_err(|error| Error::io("write a line of offsets", "<output>", error))?;
    }
    Ok(())
}

/// What cannot be read names no epoch: it is derived from the batches.
fn read_epochs(partition: &PartitionDir) -> Result<Epochs> {
    let path = partition.home.path(FileName::LeaderEpochs);
    let content = read_small_file(&*partition.home.storage, &path, MOST_EPOCH_BYTES);
    let content = unless_unreadable(content)?;
    let text = content
        .and_then(|content| String::from_utf8(content).ok())
        .unwrap_or_default();
    Ok(Epochs::parse(&text).unwrap_or_default())
}

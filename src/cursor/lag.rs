//! How far a reader is behind, in records, bytes and time.

use std::time::Duration;

use super::Cursor;
use crate::error::Result;
use crate::offset::{FilePosition, Offset};
use crate::partition::{PartitionReader, Snapshot};
use crate::segment::{Step, Walker};

/// How far a cursor is behind what it may read.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lag {
    /// Offsets from the cursor's position up to where it may read.
    pub records: u64,
    /// Bytes of the batches from the one that holds the cursor's position up to where it may read.
    pub bytes: u64,
    /// From the time of the last record that the cursor gave, or of the first one that it may give, to the newest in the log.
    pub time: Duration,
}

impl Cursor {
    /// How far this cursor is behind. What was trimmed does not count. May read a piece of the log for the bytes.
    ///
    /// # Errors
    /// `Io`; `NotFound` when a segment goes just then.
    pub fn lag(&self) -> Result<Lag> {
        let reader = self.stream.reader();
        let snapshot = reader.published.snapshot();
        let position = self.position().max(snapshot.watermarks.start);
        let limit = snapshot.watermarks.limit(self.up_to);
        if limit <= position {
            return Ok(Lag {
                records: 0,
                bytes: 0,
                time: Duration::ZERO,
            });
        }
        Ok(Lag {
            records: limit.distance_from(position),
            bytes: bytes_between(reader, &snapshot, position, limit)?,
            time: self.time_behind(&snapshot, position)?,
        })
    }

    fn time_behind(&self, snapshot: &Snapshot, position: Offset) -> Result<Duration> {
        let first = snapshot.segment_for(position).unwrap_or(0);
        let mut newest = None;
        for segment in snapshot.segments.iter().skip(first) {
            newest = newest.max(segment.largest_timestamp()?);
        }
        let last = match (self.last_timestamp, snapshot.segments.get(first)) {
            (None, Some(segment)) => segment.first_timestamp()?,
            (last, _) => last,
        };
        let behind = newest.zip(last);
        Ok(behind.map_or(Duration::ZERO, |(newest, last)| {
            newest.saturating_since(last)
        }))
    }
}

/// Bytes of the batches from the one that holds `from` to the last one wholly below `limit`.
pub(super) fn bytes_between(
    reader: &PartitionReader,
    snapshot: &Snapshot,
    from: Offset,
    limit: Offset,
) -> Result<u64> {
    let first = snapshot.segment_for(from).unwrap_or(0);
    let mut bytes = 0u64;
    for segment in snapshot.segments.iter().skip(first) {
        if segment.base() >= limit {
            break;
        }
        let rule = snapshot.rule_for(segment);
        let end_below = |offset| {
            let walker = segment.walk_from(offset, rule, reader.max_decompressed_bytes)?;
            end_below(walker, offset)
        };
        let start = if segment.base() < from {
            end_below(from)?
        } else {
            FilePosition::ZERO
        };
        let end = if limit < snapshot.watermarks.end && limit < segment.end() {
            end_below(limit)?
        } else {
            segment.size()
        };
        bytes = bytes.saturating_add(end.to_u64().saturating_sub(start.to_u64()));
    }
    Ok(bytes)
}

/// Where the batches end that are wholly below `offset`. Damage on the way there counts with what is behind it; nothing is found behind
/// damage in which `offset` lies.
fn end_below(mut walker: Walker, offset: Offset) -> Result<FilePosition> {
    loop {
        let position = walker.position();
        match walker.step()? {
            Step::Batch(found) if found.batch.next_offset() <= offset => {}
            Step::OldFormat { to, .. } if to <= offset => {}
            Step::Batch(found) => return Ok(found.position),
            Step::Bad(spot) if spot.from < offset => match walker.skip(&spot, &[])? {
                Some(to) if to <= offset => {}
                Some(_) => return Ok(position),
                None => return Ok(walker.position()),
            },
            Step::OldFormat { .. } | Step::Bad(_) | Step::End => return Ok(position),
        }
    }
}

//! Offsets by time, as Kafka's ListOffsets asks for them (section 8.3 of the format's rules).

use std::ops::Range;
use std::sync::Arc;

use crate::error::{ErrorKind, Result};
use crate::ids::LeaderEpoch;
use crate::offset::Offset;
use crate::partition::{PartitionReader, Snapshot};
use crate::segment::{SegmentFiles, Step, Walker};
use crate::timestamp::Timestamp;

/// How far a search by time goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Search {
    /// Through all segments, until a record at or above the log start matches.
    AllSegments,
    /// Through the first segment that may have a match and no other, as Kafka does.
    FirstSegment,
}

/// A record's place and time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimedOffset {
    pub(crate) offset: Offset,
    pub(crate) timestamp: Timestamp,
    pub(crate) leader_epoch: Option<LeaderEpoch>,
}

impl PartitionReader {
    /// The first record with a time of `at` or later, at or above the log start.
    pub(crate) fn offset_for(&self, at: Timestamp, search: Search) -> Result<Option<TimedOffset>> {
        self.undisturbed(|snapshot| self.search(snapshot, at, search))
    }

    /// The first record that carries the largest time in the segments. As in Kafka it may be one below the log start, while that one's
    /// segment is there.
    pub(crate) fn offset_of_max_timestamp(&self) -> Result<Option<TimedOffset>> {
        self.undisturbed(|snapshot| self.search_largest(snapshot))
    }

    /// Searches again when segments were trimmed or the tail was cut meanwhile.
    fn undisturbed(
        &self,
        search: impl Fn(&Snapshot) -> Result<Option<TimedOffset>>,
    ) -> Result<Option<TimedOffset>> {
        loop {
            self.check_open()?;
            let snapshot = self.published.snapshot();
            let found = search(&snapshot);
            let now = self.published.snapshot();
            let is_gone = matches!(&found, Err(error) if error.kind() == ErrorKind::NotFound)
                && !Arc::ptr_eq(&now.segments, &snapshot.segments);
            if !is_gone && now.generation == snapshot.generation {
                return found;
            }
        }
    }

    fn search(
        &self,
        snapshot: &Snapshot,
        at: Timestamp,
        search: Search,
    ) -> Result<Option<TimedOffset>> {
        for segment in &*snapshot.segments {
            let largest = segment.largest_timestamp()?;
            if largest.is_none_or(|largest| largest < at) {
                continue;
            }
            let rule = snapshot.rule_for(segment);
            let walker = segment.walk_from_time(at, rule, self.max_decompressed_bytes)?;
            let offsets = snapshot.watermarks.start..snapshot.watermarks.end;
            let found = first_at_or_after(segment, walker, at, offsets)?;
            if found.is_some() || search == Search::FirstSegment {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn search_largest(&self, snapshot: &Snapshot) -> Result<Option<TimedOffset>> {
        let mut largest: Option<(Timestamp, &Arc<SegmentFiles>)> = None;
        for segment in &*snapshot.segments {
            if let Some(here) = segment.largest_timestamp()?
                && largest.is_none_or(|(so_far, _)| here > so_far)
            {
                largest = Some((here, segment));
            }
        }
        let Some((at, segment)) = largest else {
            return Ok(None);
        };
        let rule = snapshot.rule_for(segment);
        let walker = segment.walk_from_time(at, rule, self.max_decompressed_bytes)?;
        let offsets = segment.base()..snapshot.watermarks.end;
        first_at_or_after(segment, walker, at, offsets)
    }
}

/// The first record of a walk, of those at `offsets`, with a time of `at` or later. What is damaged has no time, and is passed.
fn first_at_or_after(
    segment: &SegmentFiles,
    mut walker: Walker,
    at: Timestamp,
    offsets: Range<Offset>,
) -> Result<Option<TimedOffset>> {
    loop {
        let batch = match walker.step()? {
            Step::Batch(walked) => walked.batch,
            Step::OldFormat { .. } => continue,
            Step::Bad(spot) => {
                let positions = segment.positions_above(spot.position)?;
                if walker.skip(&spot, &positions)?.is_none() {
                    return Ok(None);
                }
                continue;
            }
            Step::End => return Ok(None),
        };
        if batch.max_timestamp().is_none_or(|largest| largest < at) {
            continue;
        }
        // A record that does not decode ends its batch: a reader meets it as a gap.
        for record in batch.records().map_while(Result::ok) {
            if let Some(timestamp) = record.timestamp()
                && timestamp >= at
                && offsets.contains(&record.offset())
            {
                return Ok(Some(TimedOffset {
                    offset: record.offset(),
                    timestamp,
                    leader_epoch: batch.leader_epoch(),
                }));
            }
        }
    }
}

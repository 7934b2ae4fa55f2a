//! What may be dropped from the start of a partition, and why each segment is still here: a plan, which is pure, and dropping.
//!
//! Kafka's rules (`UnifiedLog.deleteOldSegments`) with two differences that its users asked for: the age of a segment whose largest record
//! time lies in the future counts from its seal, so that such a record pins nothing; and a jump of the clock pauses retention by time.

mod clock_watch;
#[cfg(test)]
mod tests;
mod trim;

use super::{Partition, PartitionReader, Retention};
use crate::error::Result;
use crate::offset::Offset;
use crate::timestamp::Timestamp;

pub(crate) use clock_watch::{ClockState, ClockWatch};

/// Why a segment is still here.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeptBecause {
    /// Nothing bounds what is kept.
    Unlimited,
    /// It is the active segment, and empty: its name preserves the end of the log.
    Active,
    /// It holds records at or above the high watermark.
    HighWatermark,
    /// A consumer has not read it yet.
    Consumer,
    /// It is within `retention.ms`, or within `retention.bytes`, or neither bound lets it go yet.
    WithinBounds,
    /// The clock jumped: retention by time pauses until it was steady for one check interval.
    ClockJumped,
    /// An older segment is kept, and the log has no holes.
    BehindAKeptOne,
}

/// Why a segment may go.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DroppedBecause {
    /// It lies below the log start.
    BelowStart,
    /// Without it the partition still has `retention.bytes`.
    Bytes,
    /// It is older than `retention.ms`.
    Time,
}

/// What a plan says of a segment.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// It stays.
    Keep(KeptBecause),
    /// It goes.
    Drop(DroppedBecause),
}

/// A look at one segment, as it was when it was asked for.
#[derive(Clone, Debug)]
pub struct Segment {
    base: Offset,
    end: Offset,
    size_bytes: u64,
    largest_timestamp: Option<Timestamp>,
    sealed_at: Option<Timestamp>,
    verdict: Option<Verdict>,
}

impl Segment {
    /// The first offset, which names its files.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        self.base
    }

    /// The offset behind its last record.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.end
    }

    /// Bytes of its `.log`.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The largest time of a record in it.
    #[must_use]
    pub fn largest_timestamp(&self) -> Option<Timestamp> {
        self.largest_timestamp
    }

    /// When it was sealed; `None` for the active one.
    #[must_use]
    pub fn sealed_at(&self) -> Option<Timestamp> {
        self.sealed_at
    }

    /// Whether the next retention drops it, and why or why not; `None` in a read-only view, which has no retention.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// Why it is still here; `None` when the next retention drops it.
    #[must_use]
    pub fn why_kept(&self) -> Option<KeptBecause> {
        match self.verdict {
            Some(Verdict::Keep(why)) => Some(why),
            Some(Verdict::Drop(_)) | None => None,
        }
    }
}

/// What a retention would do, segment by segment, oldest first.
#[derive(Clone, Debug)]
pub struct RetentionPlan {
    segments: Vec<Segment>,
}

impl RetentionPlan {
    /// Every segment with its verdict.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Bytes that would be freed.
    #[must_use]
    pub fn freed_bytes(&self) -> u64 {
        let dropped = self
            .segments
            .iter()
            .filter(|segment| matches!(segment.verdict, Some(Verdict::Drop(_))));
        dropped.map(Segment::size_bytes).sum()
    }
}

/// What the plan is made from.
#[derive(Clone, Debug)]
struct Facts {
    segments: Vec<SegmentFacts>,
    retention: Retention,
    start: Offset,
    high: Offset,
    /// `Offset::MAX` when nobody needs anything.
    keep_from: Offset,
    now: Timestamp,
    clock: ClockState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct SegmentFacts {
    base: Offset,
    end: Offset,
    size_bytes: u64,
    largest_timestamp: Option<Timestamp>,
    sealed_at: Option<Timestamp>,
}

impl SegmentFacts {
    /// From when the segment's age counts. The time of the seal may be a file's time of change, which a copy or an archive gives anew: it
    /// makes nothing older that its records say is young.
    fn aged_since(&self, now: Timestamp) -> Option<Timestamp> {
        match (self.largest_timestamp, self.sealed_at) {
            (Some(largest), Some(sealed)) if largest > now => Some(largest.min(sealed)),
            (largest, sealed) => largest.or(sealed),
        }
    }
}

/// The verdict on each segment, oldest first: the first one that is kept keeps all behind it.
fn plan(facts: &Facts) -> Vec<Verdict> {
    let mut left_bytes: u64 = facts
        .segments
        .iter()
        .map(|segment| segment.size_bytes)
        .sum();
    let latest_seal = facts
        .segments
        .iter()
        .filter_map(|segment| segment.sealed_at)
        .max();
    // A wall clock below a time that it has shown before was set back while nobody looked.
    let went_back = latest_seal.is_some_and(|sealed| facts.now < sealed);
    let clock = if went_back {
        ClockState::Jumped
    } else {
        facts.clock
    };
    let mut kept = false;
    let mut verdicts = Vec::with_capacity(facts.segments.len());
    for (index, segment) in facts.segments.iter().enumerate() {
        let is_last = index + 1 == facts.segments.len();
        let verdict = if kept {
            Verdict::Keep(KeptBecause::BehindAKeptOne)
        } else {
            verdict(facts, segment, clock, is_last, left_bytes)
        };
        kept |= matches!(verdict, Verdict::Keep(_));
        left_bytes = left_bytes.saturating_sub(segment.size_bytes);
        verdicts.push(verdict);
    }
    verdicts
}

fn verdict(
    facts: &Facts,
    segment: &SegmentFacts,
    clock: ClockState,
    is_last: bool,
    left_bytes: u64,
) -> Verdict {
    if is_last && segment.size_bytes == 0 {
        return Verdict::Keep(KeptBecause::Active);
    }
    if segment.end > facts.high {
        return Verdict::Keep(KeptBecause::HighWatermark);
    }
    // The owner's word goes before a consumer's need: who deletes records below an offset has decided.
    if segment.end <= facts.start && !is_last {
        return Verdict::Drop(DroppedBecause::BelowStart);
    }
    if segment.end > facts.keep_from {
        return Verdict::Keep(KeptBecause::Consumer);
    }
    if let Some(bytes) = facts.retention.bytes
        && left_bytes.saturating_sub(segment.size_bytes) >= bytes
        && left_bytes > bytes
    {
        return Verdict::Drop(DroppedBecause::Bytes);
    }
    let is_old = facts.retention.time.is_some_and(|time| {
        segment
            .aged_since(facts.now)
            .is_some_and(|since| facts.now.saturating_since(since) > time)
    });
    match (is_old, clock) {
        (true, ClockState::Steady) => Verdict::Drop(DroppedBecause::Time),
        (true, ClockState::Jumped) => Verdict::Keep(KeptBecause::ClockJumped),
        (false, _) if facts.retention == Retention::unlimited() => {
            Verdict::Keep(KeptBecause::Unlimited)
        }
        (false, _) => Verdict::Keep(KeptBecause::WithinBounds),
    }
}

impl PartitionReader {
    /// Every segment, oldest first, without a verdict.
    pub(crate) fn segments(&self) -> Result<Vec<Segment>> {
        let snapshot = self.published.snapshot();
        let ends = snapshot.segments.iter().skip(1).map(|next| next.base());
        let ends = ends.chain([snapshot.watermarks.end]);
        let segments = snapshot.segments.iter().zip(ends);
        let look = segments.map(|(segment, end)| {
            Ok(Segment {
                base: segment.base(),
                end,
                size_bytes: segment.size().to_u64(),
                largest_timestamp: segment.largest_timestamp()?,
                sealed_at: segment.sealed_at(),
                verdict: None,
            })
        });
        look.collect()
    }
}

impl Partition {
    /// Every segment, oldest first, with why it is still here under the topic's own retention.
    ///
    /// # Errors
    /// `Io` from reading an index.
    pub fn segments(&self) -> Result<Vec<Segment>> {
        Ok(self
            .plan_retention(&self.core.options().retention)?
            .segments)
    }

    /// What `retention` would do now, without doing it. The last look of the log at the clock is not asked; a clock that was set back is seen.
    ///
    /// # Errors
    /// `Io` from reading an index.
    pub fn plan_retention(&self, retention: &Retention) -> Result<RetentionPlan> {
        let facts = self
            .core
            .retention_facts(retention.clone(), ClockState::Steady)?;
        let verdicts = plan(&facts);
        let segments = facts.segments.iter().zip(verdicts);
        let segments = segments.map(|(segment, verdict)| Segment {
            base: segment.base,
            end: segment.end,
            size_bytes: segment.size_bytes,
            largest_timestamp: segment.largest_timestamp,
            sealed_at: segment.sealed_at,
            verdict: Some(verdict),
        });
        Ok(RetentionPlan {
            segments: segments.collect(),
        })
    }

    /// Deletes the records below `offset`; returns the new log start, which is durable. Whole segments below it are unlinked at once, without
    /// waiting for readers; a segment in which it lies stays, and its older records are hidden (Kafka's DeleteRecords).
    ///
    /// Works on a full disk. Blocks for a sync in flight and for one of its own.
    ///
    /// # Errors
    /// `OffsetOutOfRange` above the high watermark; `Io`; `Closed`.
    pub fn delete_records_before(&self, offset: Offset) -> Result<Offset> {
        self.core.delete_records_before(offset)
    }
}

//! When a new active segment starts (pure), and starting it.
//!
//! Kafka's rules (`LogSegment.shouldRoll`): size, age by the clock of the records, full index, span of offsets. One more rule is ours: an
//! idle active segment is rolled by the housekeeper once it is old, so that retention by time can take it.

use std::sync::Arc;

use super::{PartitionCore, Tail, TopicOptions, WriterState};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::MAX_SEGMENT_OFFSET_SPAN;
use crate::offset::Offset;
use crate::segment::{ActiveSegment, FileName, SealedFacts, SegmentFiles};
use crate::storage::{Access, StorageFile};
use crate::timestamp::Timestamp;

/// Why a new segment starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RollReason {
    Size,
    Age,
    IndexFull,
    OffsetSpan,
}

/// What the decision depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct RollFacts {
    pub(super) segment: SegmentState,
    pub(super) incoming: Incoming,
    pub(super) rule: RollRule,
    pub(super) now: Timestamp,
}

/// The active segment, with what is about to be written to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentState {
    pub(super) base: Offset,
    pub(super) size_bytes: u64,
    pub(super) is_index_full: bool,
    /// Largest time of the first batch.
    pub(super) first_timestamp: Option<Timestamp>,
    /// When it was opened or started.
    pub(super) since: Timestamp,
}

/// The batch that comes next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming {
    pub(super) size_bytes: u32,
    pub(super) last_offset: Offset,
    pub(super) max_timestamp: Option<Timestamp>,
}

/// The options that decide.
#[derive(Clone, Copy, Debug)]
pub(super) struct RollRule {
    pub(super) segment_bytes: u32,
    /// `segment.ms` without this segment's jitter.
    pub(super) segment_ms: i64,
}

impl RollRule {
    pub(super) fn new(options: &TopicOptions, jitter_ms: i64) -> Self {
        Self {
            segment_bytes: options.segment_bytes,
            segment_ms: options.segment_ms.saturating_sub(jitter_ms),
        }
    }
}

/// Whether the incoming batch goes to a new segment.
pub(super) fn roll_plan(facts: &RollFacts) -> Option<RollReason> {
    let RollFacts {
        segment,
        incoming,
        rule,
        now,
    } = facts;
    let is_empty = segment.size_bytes == 0;
    let after = segment.size_bytes + u64::from(incoming.size_bytes);
    if !is_empty && after > u64::from(rule.segment_bytes) {
        return Some(RollReason::Size);
    }
    if !is_empty && waited_ms(segment, incoming.max_timestamp, *now) > rule.segment_ms {
        return Some(RollReason::Age);
    }
    if !is_empty && segment.is_index_full {
        return Some(RollReason::IndexFull);
    }
    let span = incoming.last_offset.distance_from(segment.base);
    if span >= MAX_SEGMENT_OFFSET_SPAN {
        return Some(RollReason::OffsetSpan);
    }
    None
}

/// Whether a segment to which nothing was appended lately is sealed: by the wall clock, and never an empty one.
pub(super) fn idle_roll_plan(
    segment: &SegmentState,
    rule: &RollRule,
    now: Timestamp,
) -> Option<RollReason> {
    let is_old = waited_ms(segment, Some(now), now) > rule.segment_ms;
    (segment.size_bytes > 0 && is_old).then_some(RollReason::Age)
}

/// How long the segment has waited: by the clock of its records as long as they have times, else since it was opened. A batch without
/// a time makes nothing older.
fn waited_ms(segment: &SegmentState, latest: Option<Timestamp>, now: Timestamp) -> i64 {
    let first = segment.first_timestamp.filter(|at| at.as_millis() >= 0);
    match (first, latest) {
        (Some(first), Some(latest)) => latest.as_millis().saturating_sub(first.as_millis()),
        (Some(_), None) => 0,
        (None, _) => now.as_millis().saturating_sub(segment.since.as_millis()),
    }
}

/// Kafka's `randomSegmentJitter`: up to `segment.jitter.ms`, so that segments of many partitions do not roll at once.
pub(super) fn draw_jitter(options: &TopicOptions) -> i64 {
    let most = options.segment_jitter_ms.min(options.segment_ms);
    if most <= 0 {
        return 0;
    }
    // Without random numbers nothing is lost but the spread.
    let drawn = getrandom::u64().unwrap_or(0);
    i64::try_from(drawn % most.unsigned_abs()).unwrap_or(0)
}

impl PartitionCore {
    /// Rolls when the plan for `incoming` says so at the wall clock `now`; it will stand at `at` or above.
    pub(super) fn roll_if_due(
        &self,
        writer: &mut WriterState,
        options: &TopicOptions,
        at: Offset,
        incoming: Incoming,
        now: Timestamp,
    ) -> Result<()> {
        let Tail::Active(active) = &writer.tail else {
            return Ok(());
        };
        let facts = RollFacts {
            segment: SegmentState::of(active, writer.active_since),
            incoming,
            rule: RollRule::new(options, writer.roll_jitter_ms),
            now,
        };
        let is_unfinished = writer.unfinished_roll.is_some() && at > active.base();
        match roll_plan(&facts) {
            None if !is_unfinished => Ok(()),
            Some(_) | None => self.roll(writer, options, at),
        }
    }

    /// The housekeeper's look: seals an old active segment to which nothing was appended since the last look, and forgets producers that
    /// are silent for too long. What it appended to the list of un-synced segments is synced by the next sync.
    pub(crate) fn roll_if_idle(&self) -> Result<()> {
        let options = self.options();
        let mut writer = self.writer.lock();
        let now = self.shared.clock.now().into();
        writer.producers.expire(now, options.producer_expiration_ms);
        let Tail::Active(active) = &writer.tail else {
            return Ok(());
        };
        let end = active.next_offset();
        let segment = SegmentState::of(active, writer.active_since);
        let rule = RollRule::new(&options, writer.roll_jitter_ms);
        let is_idle = writer.end_at_last_look.replace(end) == Some(end);
        if is_idle && !self.latch.is_closed() && idle_roll_plan(&segment, &rule, now).is_some() {
            self.roll(&mut writer, &options, end)?;
            drop(writer);
            self.shared.sync_requests.ask(self);
        }
        Ok(())
    }

    /// Starts a new active segment at `at`. When it fails the old one stays active, and the next append begins with another try: what the
    /// failed one made may stand in the directory for good, or come back in a crash, and must never name a place inside of the old segment.
    ///
    /// 1. Create the new `.log` and the snapshot of the producers at its base. Crash after: an empty segment at the end, which is
    ///    what a roll leaves; failure: both are removed.
    /// 2. Seal the old segment. Crash after: as 1, and its indexes are derived; failure: both files are removed, it stays active.
    /// 3. Note it in the side file. Crash after: the same; failure: the entry is missing, which costs only a check.
    /// 4. Publish, and leave both segments and the snapshot to the next sync.
    pub(super) fn roll(
        &self,
        writer: &mut WriterState,
        options: &TopicOptions,
        at: Offset,
    ) -> Result<()> {
        if let Tail::Active(active) = &writer.tail
            && at <= active.base()
        {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "a segment holds {MAX_SEGMENT_OFFSET_SPAN} offsets, and the batch has more"
                ),
            )
            .offset_is(at));
        }
        let new = self.create_segment(options, at)?;
        let snapshot = match self.write_snapshot(writer, at) {
            Ok(snapshot) => snapshot,
            Err(error) => return Err(self.undo_roll(writer, &new, at, error)),
        };
        let sealed_at = self.sealing_time();
        let old = match std::mem::replace(&mut writer.tail, Tail::Closed) {
            Tail::Active(old) => old,
            other => {
                writer.tail = other;
                return Err(self.undo_roll(writer, &new, at, self.closed()));
            }
        };
        let (sealed, facts) = match old.seal(sealed_at) {
            Ok(sealed) => sealed,
            Err(unsealed) => {
                writer.tail = Tail::Active(unsealed.segment);
                return Err(self.undo_roll(writer, &new, at, unsealed.error));
            }
        };
        let active = Arc::clone(new.files());
        writer.tail = Tail::Active(new);
        writer.unfinished_roll = None;
        writer.active_since = self.shared.clock.now().into();
        writer.roll_jitter_ms = draw_jitter(options);
        self.counters.rolls.add(1);
        self.commit.list_rolled(&sealed, &active, snapshot);
        let mut segments = self.published.snapshot().segments.to_vec();
        segments.push(active);
        self.published.segments_changed(segments);
        self.note_sealed(&facts)
    }

    fn create_segment(&self, options: &TopicOptions, at: Offset) -> Result<ActiveSegment> {
        let settings = Self::segment_settings(options);
        let create = || ActiveSegment::create(self.home.clone(), at, settings);
        match create() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.remove_empty(at, error)?;
                create()
            }
            other => other,
        }
    }

    /// The tail is cut: what an unfinished roll may have left above it goes, too.
    pub(super) fn forget_unfinished_roll(&self, writer: &mut WriterState) -> Result<()> {
        let Some(at) = writer.unfinished_roll else {
            return Ok(());
        };
        match self.home.storage.remove(&self.home.path(FileName::Log(at))) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        writer.unfinished_roll = None;
        Ok(())
    }

    /// An earlier roll that failed, and could not remove its file either, left it empty. Anything else there is not ours to touch.
    fn remove_empty(&self, at: Offset, error: Error) -> Result<()> {
        let path = self.home.path(FileName::Log(at));
        if self.home.storage.open(&path, Access::Read)?.len()? > 0 {
            return Err(error);
        }
        self.home.storage.remove(&path)
    }

    /// Producer state of everything below `at`; the next sync brings it to the medium.
    fn write_snapshot(&self, writer: &WriterState, at: Offset) -> Result<Arc<dyn StorageFile>> {
        let path = self.home.path(FileName::Snapshot(at));
        let storage = &self.home.storage;
        match storage.remove(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = storage.create(&path)?;
        file.write_at(&writer.producers.to_snapshot(), 0)?;
        Ok(file)
    }

    /// Takes back what a roll has made; returns why it failed.
    fn undo_roll(
        &self,
        writer: &mut WriterState,
        new: &ActiveSegment,
        at: Offset,
        error: Error,
    ) -> Error {
        writer.unfinished_roll = Some(at);
        let removed = [
            new.files().remove(),
            self.home
                .storage
                .remove(&self.home.path(FileName::Snapshot(at))),
        ];
        for removed in removed {
            match removed {
                // What stays is an empty segment and a snapshot: the next roll takes their place.
                Ok(()) | Err(_) => {}
            }
        }
        error
    }

    /// Now, but never before the time at which the last segment was sealed.
    fn sealing_time(&self) -> Timestamp {
        let now = self.shared.clock.now().into();
        let segments = self.published.snapshot().segments;
        let sealed = segments
            .iter()
            .rev()
            .find_map(|s: &Arc<SegmentFiles>| s.sealed_at());
        sealed.map_or(now, |before| before.max(now))
    }

    fn note_sealed(&self, facts: &SealedFacts) -> Result<()> {
        match self.side.lock().append_sealed(facts) {
            // The roll stands, and without room for the entry only a check is missing.
            Err(error) if error.kind() != ErrorKind::Full => Err(self.close_latch(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl SegmentState {
    pub(super) fn of(active: &ActiveSegment, since: Timestamp) -> Self {
        let indexes = active.index_state();
        Self {
            base: active.base(),
            size_bytes: active.size().to_u64(),
            is_index_full: indexes.is_full,
            first_timestamp: indexes.first_timestamp,
            since,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(value: u64) -> Offset {
        Offset::new(value).expect("small")
    }

    fn ms(value: i64) -> Timestamp {
        Timestamp::from_millis(value)
    }

    /// A segment of 600 bytes whose first batch is of time 1,000; a batch of 100 bytes with time 2,000 comes.
    fn usual() -> RollFacts {
        RollFacts {
            segment: SegmentState {
                base: at(100),
                size_bytes: 600,
                is_index_full: false,
                first_timestamp: Some(ms(1_000)),
                since: ms(50_000),
            },
            incoming: Incoming {
                size_bytes: 100,
                last_offset: at(200),
                max_timestamp: Some(ms(2_000)),
            },
            rule: RollRule {
                segment_bytes: 1_000,
                segment_ms: 5_000,
            },
            now: ms(51_000),
        }
    }

    fn with(change: impl FnOnce(&mut RollFacts)) -> RollFacts {
        let mut facts = usual();
        change(&mut facts);
        facts
    }

    #[test]
    fn a_new_segment_starts_for_size_age_full_index_and_span_only() {
        let span = MAX_SEGMENT_OFFSET_SPAN;
        let rows: Vec<(&str, RollFacts, Option<RollReason>)> = vec![
            ("nothing is due", usual(), None),
            (
                "exactly full fits",
                with(|f| f.incoming.size_bytes = 400),
                None,
            ),
            (
                "one byte more does not",
                with(|f| f.incoming.size_bytes = 401),
                Some(RollReason::Size),
            ),
            (
                "an empty segment takes any batch",
                with(|f| {
                    f.segment.size_bytes = 0;
                    f.segment.first_timestamp = None;
                    f.incoming.size_bytes = 2_000;
                }),
                None,
            ),
            (
                "exactly segment.ms is not over it",
                with(|f| f.incoming.max_timestamp = Some(ms(6_000))),
                None,
            ),
            (
                "records say that it is over",
                with(|f| f.incoming.max_timestamp = Some(ms(6_001))),
                Some(RollReason::Age),
            ),
            (
                "the wall clock does not count while records have times",
                with(|f| f.now = ms(999_000)),
                None,
            ),
            (
                "without times it does",
                with(|f| {
                    f.segment.first_timestamp = None;
                    f.now = ms(55_001);
                }),
                Some(RollReason::Age),
            ),
            (
                "a batch without a time makes nothing older",
                with(|f| {
                    f.incoming.max_timestamp = None;
                    f.now = ms(999_000);
                }),
                None,
            ),
            (
                "an empty segment has no age",
                with(|f| {
                    f.segment.size_bytes = 0;
                    f.segment.first_timestamp = None;
                    f.now = ms(999_000);
                }),
                None,
            ),
            (
                "a full index",
                with(|f| f.segment.is_index_full = true),
                Some(RollReason::IndexFull),
            ),
            (
                "the last offset within the span",
                with(|f| f.incoming.last_offset = at(100 + span - 1)),
                None,
            ),
            (
                "an offset too far away, though the segment is empty",
                with(|f| {
                    f.segment.size_bytes = 0;
                    f.incoming.last_offset = at(100 + span);
                }),
                Some(RollReason::OffsetSpan),
            ),
        ];
        for (what, facts, expected) in rows {
            assert_eq!(roll_plan(&facts), expected, "{what}");
        }
    }

    #[test]
    fn an_idle_segment_is_rolled_by_the_wall_clock_and_never_an_empty_one() {
        let rows = [
            (600, Some(1_000), 6_000, None),
            (600, Some(1_000), 6_001, Some(RollReason::Age)),
            (0, None, 999_000, None),
            (600, None, 55_001, Some(RollReason::Age)),
        ];
        for (size_bytes, first, now, expected) in rows {
            let facts = with(|f| {
                f.segment.size_bytes = size_bytes;
                f.segment.first_timestamp = first.map(ms);
            });
            let plan = idle_roll_plan(&facts.segment, &facts.rule, ms(now));
            assert_eq!(plan, expected, "{size_bytes} {first:?} {now}");
        }
    }

    #[test]
    fn jitter_stays_below_what_the_option_allows() {
        let options = TopicOptions {
            segment_jitter_ms: 50,
            segment_ms: 1_000,
            ..TopicOptions::default()
        };
        for _ in 0..200 {
            assert!((0..50).contains(&draw_jitter(&options)));
        }
        assert_eq!(draw_jitter(&TopicOptions::default()), 0);
    }
}

//! What readers see of a partition, and the one place that moves it: watermarks, the list of segments, the truncation generation.
//!
//! Everything a reader needs is taken in one short read of one lock; no I/O happens under it. The writer publishes after the bytes
//! are in the page cache, never before. Lock order: the writer lock comes first, this one second.

use std::fmt;
use std::sync::Arc;

use super::options::HighWatermark;
use crate::epochs::Epochs;
use crate::error::Result;
use crate::offset::Offset;
use crate::segment::{OffsetRule, SegmentFiles};
use crate::sync::{
    Event, EventListener, RwLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// The five marks of a partition, in one consistent snapshot.
///
/// `start <= last_stable <= high <= end` and `start <= durable <= end` hold in each snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Watermarks {
    /// The first offset that can be read.
    pub start: Offset,
    /// Exclusive end of what `ReadUpTo::LastStable` shows: the first offset of the oldest undecided transaction, at most `high`.
    pub last_stable: Offset,
    /// Exclusive end of what `ReadUpTo::HighWatermark` shows.
    pub high: Offset,
    /// Exclusive end of what a power cut leaves.
    pub durable: Offset,
    /// The offset that the next record gets.
    pub end: Offset,
}

/// Up to where a reader wants to see.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ReadUpTo {
    /// All that was appended (the default).
    #[default]
    End,
    /// What a power cut leaves.
    Durable,
    /// What the partition's high watermark allows.
    HighWatermark,
    /// What is below the first undecided transaction.
    LastStable,
}

impl Watermarks {
    /// The exclusive end for a reader.
    #[must_use]
    pub fn limit(&self, up_to: ReadUpTo) -> Offset {
        match up_to {
            ReadUpTo::End => self.end,
            ReadUpTo::Durable => self.durable,
            ReadUpTo::HighWatermark => self.high,
            ReadUpTo::LastStable => self.last_stable,
        }
    }

    fn assert_ordered(&self) {
        assert!(
            self.start <= self.last_stable
                && self.last_stable <= self.high
                && self.high <= self.end
                && self.start <= self.durable
                && self.durable <= self.end,
            "watermarks out of order: {self:?}"
        );
    }
}

/// One consistent look at a partition. Holding it pins nothing but memory.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) watermarks: Watermarks,
    /// Ascending by base; the last one is the active segment (of a read-only view: the last one).
    pub(crate) segments: Arc<[Arc<SegmentFiles>]>,
    /// Raised by each truncation, before a byte is cut and once more behind the cut.
    pub(crate) generation: u64,
    /// In segments with this base or a higher one offsets have no holes.
    pub(crate) dense_from: Offset,
    /// Whether the high watermark comes from outside, and may stand inside of a batch.
    pub(crate) high_is_external: bool,
    /// Changes with the leader epochs that [`Published::epochs`] gives.
    pub(crate) epochs_version: u64,
    /// Counts the changes of what is published.
    version: u64,
}

impl Snapshot {
    /// Whether `up_to` may stand inside of a batch, which is then beyond it.
    pub(crate) fn may_split_a_batch(&self, up_to: ReadUpTo) -> bool {
        let marks = &self.watermarks;
        let is_high = matches!(up_to, ReadUpTo::HighWatermark | ReadUpTo::LastStable);
        is_high && self.high_is_external && marks.limit(up_to) < marks.end
    }

    /// The segment in which `offset` lies or would lie: the last one with a base at or below it.
    pub(crate) fn segment_for(&self, offset: Offset) -> Option<usize> {
        self.segments
            .partition_point(|segment| segment.base() <= offset)
            .checked_sub(1)
    }

    /// The segment behind this one.
    pub(crate) fn segment_behind(&self, segment: &SegmentFiles) -> Option<&Arc<SegmentFiles>> {
        let behind = self
            .segments
            .partition_point(|other| other.base() <= segment.base());
        self.segments.get(behind)
    }

    /// Where the next segment starts, else the log end.
    pub(crate) fn end_of(&self, segment: &SegmentFiles) -> Offset {
        let behind = self.segment_behind(segment);
        behind.map_or(self.watermarks.end, |behind| behind.base())
    }

    /// Whether this very segment is still a part of the log.
    pub(crate) fn lists(&self, segment: &Arc<SegmentFiles>) -> bool {
        let found = self
            .segment_for(segment.base())
            .and_then(|index| self.segments.get(index));
        found.is_some_and(|found| Arc::ptr_eq(found, segment))
    }

    pub(crate) fn rule_for(&self, segment: &SegmentFiles) -> OffsetRule {
        if segment.base() >= self.dense_from {
            OffsetRule::Dense
        } else {
            OffsetRule::Ascending
        }
    }
}

/// What stands when a partition is opened.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) start: Offset,
    pub(crate) durable: Offset,
    pub(crate) end: Offset,
    /// First offset of the oldest undecided transaction.
    pub(crate) first_unstable: Option<Offset>,
    pub(crate) high_watermark: HighWatermark,
    pub(crate) segments: Vec<Arc<SegmentFiles>>,
    pub(crate) generation: u64,
    pub(crate) dense_from: Offset,
    /// What batches without holes are held against; `None` where nothing vouches for them.
    pub(crate) epochs: Option<Epochs>,
}

/// How a view learns what has become of the log start.
pub(crate) struct StartNow(pub(crate) Box<dyn Fn() -> Result<Offset> + Send + Sync>);

impl fmt::Debug for StartNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StartNow")
    }
}

/// The published state of a partition.
#[derive(Debug)]
pub(crate) struct Published {
    state: RwLock<State>,
    /// Raised under the lock by each change: who has a snapshot of this version need not take another.
    version: AtomicU64,
    /// The generation once more, for a reader's check after a `pread` without taking the lock.
    generation: AtomicU64,
    closed: AtomicBool,
    /// Of a view, which only knows its last look: where the log starts by now.
    start_now: Option<StartNow>,
    /// Something a reader may wait for moved: any watermark, the generation, closing.
    moved: Event,
}

#[derive(Debug)]
struct State {
    marks: Watermarks,
    source: HighWatermark,
    external_high: Offset,
    first_unstable: Option<Offset>,
    segments: Arc<[Arc<SegmentFiles>]>,
    dense_from: Offset,
    epochs: Option<Arc<Epochs>>,
    epochs_version: u64,
}

impl State {
    fn put_epochs(&mut self, epochs: Option<Arc<Epochs>>) {
        if self.epochs != epochs {
            self.epochs = epochs;
            self.epochs_version += 1;
        }
    }

    /// Derives `high` and `last_stable` from what they depend on.
    fn derive(&mut self) {
        let marks = &mut self.marks;
        marks.durable = marks.durable.clamp(marks.start, marks.end);
        marks.high = match self.source {
            HighWatermark::End => marks.end,
            HighWatermark::Durable => marks.durable,
            HighWatermark::External => self.external_high.clamp(marks.start, marks.end),
        };
        marks.last_stable = match self.first_unstable {
            Some(first) => first.clamp(marks.start, marks.high),
            None => marks.high,
        };
        marks.assert_ordered();
    }
}

impl Published {
    pub(crate) fn new(opening: Opening) -> Self {
        let mut state = State {
            marks: Watermarks {
                start: opening.start,
                last_stable: opening.start,
                high: opening.start,
                durable: opening.durable,
                end: opening.end,
            },
            source: opening.high_watermark,
            external_high: opening.start,
            first_unstable: opening.first_unstable,
            segments: opening.segments.into(),
            dense_from: opening.dense_from,
            epochs: opening.epochs.map(Arc::new),
            epochs_version: 0,
        };
        state.derive();
        Self {
            state: RwLock::new(state),
            version: AtomicU64::new(0),
            generation: AtomicU64::new(opening.generation),
            closed: AtomicBool::new(false),
            start_now: None,
            moved: Event::new(),
        }
    }

    /// Somebody else moves the start, and `ask` finds out.
    pub(crate) fn moved_by_others(mut self, ask: StartNow) -> Self {
        self.start_now = Some(ask);
        self
    }

    /// Where the log starts by now: for a view a look at the directory.
    ///
    /// # Errors
    /// Those of the look.
    pub(crate) fn start_now(&self) -> Result<Offset> {
        match &self.start_now {
            Some(ask) => (ask.0)(),
            None => Ok(self.watermarks().start),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.state.read();
        Snapshot {
            watermarks: state.marks,
            segments: Arc::clone(&state.segments),
            // Read under the lock: it is only raised under it.
            generation: self.generation.load(Ordering::Acquire),
            dense_from: state.dense_from,
            high_is_external: state.source == HighWatermark::External,
            epochs_version: state.epochs_version,
            version: self.version.load(Ordering::Acquire),
        }
    }

    /// Whether nothing has changed since `snapshot` was taken. Takes no lock.
    pub(crate) fn is_still(&self, snapshot: &Snapshot) -> bool {
        snapshot.version == self.version.load(Ordering::Acquire)
    }

    /// The leader epochs and their version. They change rarely, so a snapshot holds only the version.
    pub(crate) fn epochs(&self) -> (u64, Option<Arc<Epochs>>) {
        let state = self.state.read();
        (state.epochs_version, state.epochs.clone())
    }

    pub(crate) fn watermarks(&self) -> Watermarks {
        self.state.read().marks
    }

    /// The generation now. A reader that read bytes under an older one throws them away.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Listens for the next move. Listen first, then look at the watermarks, then wait.
    pub(crate) fn listen(&self) -> EventListener {
        self.moved.listen()
    }

    /// The bytes up to `end` are in the page cache. Called under the writer lock.
    pub(crate) fn appended(&self, end: Offset, first_unstable: Option<Offset>) {
        self.change(|state| {
            // What ends below the start is there for nobody.
            let end = end.max(state.marks.start);
            assert!(end >= state.marks.end, "an append never lowers the end");
            state.marks.end = end;
            state.first_unstable = first_unstable;
        });
    }

    /// The active segment was sealed and a new one follows, or a sealed one was replaced. Called under the writer lock.
    pub(crate) fn segments_changed(&self, segments: Vec<Arc<SegmentFiles>>) {
        self.change(|state| state.segments = segments.into());
    }

    /// Everything below `durable` is on the medium.
    pub(crate) fn made_durable(&self, durable: Offset) {
        self.change(|state| {
            state.marks.durable = durable.max(state.marks.durable).min(state.marks.end);
        });
    }

    /// A transaction was decided, or `high` passed a marker. Called under the writer lock.
    pub(crate) fn first_unstable_is(&self, first_unstable: Option<Offset>) {
        self.change(|state| state.first_unstable = first_unstable);
    }

    pub(crate) fn has_unstable(&self) -> bool {
        self.state.read().first_unstable.is_some()
    }

    /// The source of the high watermark was changed by an option.
    pub(crate) fn high_watermark_from(&self, source: HighWatermark) {
        self.change(|state| {
            state.external_high = state.marks.high;
            state.source = source;
        });
    }

    /// Under `HighWatermark::External`: what the replication protocol says; beyond the end it waits for the end.
    pub(crate) fn set_external_high(&self, high: Offset) {
        self.change(|state| state.external_high = high);
    }

    /// The log starts here from now on; `segments` are those that stay.
    pub(crate) fn started_at(&self, start: Offset, segments: Vec<Arc<SegmentFiles>>) {
        self.change(|state| {
            assert!(
                start >= state.marks.start && start <= state.marks.end,
                "the start moves forward, up to the end"
            );
            state.marks.start = start;
            state.segments = segments.into();
        });
    }

    /// From some offset on, or never again (`Offset::MAX`), offsets have no holes.
    pub(crate) fn dense_from(&self, from: Offset) {
        self.change(|state| state.dense_from = from);
    }

    /// Batches are held against other leader epochs from now on. Called under the writer lock, before a batch of a new epoch is written.
    pub(crate) fn epochs_changed(&self, epochs: &Epochs) {
        let epochs = Arc::new(epochs.clone());
        self.change(|state| state.put_epochs(Some(epochs)));
    }

    /// The tail above `end` is about to be cut: raises the generation, lowers every mark. Called under the writer lock, before a byte is cut.
    pub(crate) fn truncating(
        &self,
        end: Offset,
        first_unstable: Option<Offset>,
        segments: Vec<Arc<SegmentFiles>>,
    ) -> u64 {
        self.change(|state| {
            self.generation.fetch_add(1, Ordering::AcqRel);
            state.marks.end = end;
            state.marks.start = state.marks.start.min(end);
            state.marks.durable = state.marks.durable.min(end);
            state.external_high = state.external_high.min(end);
            state.first_unstable = first_unstable;
            state.segments = segments.into();
        });
        self.generation()
    }

    /// The tail is cut, and nothing was appended yet: raises the generation once more. Who began to read between `truncating` and the cut may
    /// hold bytes of the old tail in its buffer, and what is appended next stands at the same place.
    pub(crate) fn truncated(&self) {
        self.change(|_| {
            self.generation.fetch_add(1, Ordering::AcqRel);
        });
    }

    /// Everything is dropped and the log starts and ends at `at`. Called under the writer lock.
    pub(crate) fn reset(&self, at: Offset, segments: Vec<Arc<SegmentFiles>>) -> u64 {
        self.change(|state| {
            self.generation.fetch_add(1, Ordering::AcqRel);
            state.marks = Watermarks {
                start: at,
                last_stable: at,
                high: at,
                durable: at,
                end: at,
            };
            state.external_high = at;
            state.first_unstable = None;
            state.segments = segments.into();
        });
        self.generation()
    }

    /// A read-only view looked again: everything may have moved, in any direction.
    pub(crate) fn refresh(&self, opening: Opening) {
        self.change(|state| {
            self.generation.store(opening.generation, Ordering::Release);
            state.marks.start = opening.start;
            state.marks.durable = opening.durable;
            state.marks.end = opening.end;
            state.external_high = state.external_high.clamp(opening.start, opening.end);
            state.first_unstable = opening.first_unstable;
            state.source = opening.high_watermark;
            state.segments = opening.segments.into();
            state.dense_from = opening.dense_from;
            state.put_epochs(opening.epochs.map(Arc::new));
        });
    }

    /// No more moves: who waits is woken and finds the partition closed.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.moved.notify(usize::MAX);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        {
            let mut state = self.state.write();
            change(&mut state);
            state.derive();
            let version = self.version.load(Ordering::Relaxed);
            self.version
                .store(version.wrapping_add(1), Ordering::Release);
        }
        self.moved.notify(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use crate::sync::Listener;

    use super::*;
    use crate::partition::testing::empty_opening;

    fn at(value: u64) -> Offset {
        Offset::new(value).expect("small")
    }

    fn published(source: HighWatermark) -> Published {
        Published::new(Opening {
            high_watermark: source,
            generation: 7,
            ..empty_opening()
        })
    }

    #[test]
    fn the_high_watermark_follows_its_source() {
        for (source, high) in [
            (HighWatermark::End, 10),
            (HighWatermark::Durable, 4),
            (HighWatermark::External, 6),
        ] {
            let published = published(source);
            published.appended(at(10), None);
            published.made_durable(at(4));
            published.set_external_high(at(6));
            assert_eq!(published.watermarks().high, at(high), "{source:?}");
        }
    }

    #[test]
    fn an_external_high_watermark_beyond_the_end_waits_for_the_end() {
        let published = published(HighWatermark::External);
        published.set_external_high(at(6));
        published.appended(at(4), None);
        assert_eq!(published.watermarks().high, at(4));
        published.appended(at(8), None);
        assert_eq!(published.watermarks().high, at(6));
    }

    #[test]
    fn an_open_transaction_holds_the_last_stable_offset_back() {
        let published = published(HighWatermark::End);
        published.appended(at(10), Some(at(3)));
        assert_eq!(published.watermarks().last_stable, at(3));
        published.appended(at(11), None);
        assert_eq!(published.watermarks().last_stable, at(11));
    }

    #[test]
    fn a_truncation_raises_the_generation_and_lowers_every_mark() {
        let published = published(HighWatermark::End);
        published.appended(at(10), Some(at(8)));
        published.made_durable(at(9));
        let generation = published.truncating(at(5), None, Vec::new());
        let marks = published.watermarks();
        assert_eq!(generation, 8);
        assert_eq!(published.generation(), 8);
        assert_eq!(
            (marks.durable, marks.high, marks.last_stable, marks.end),
            (at(5), at(5), at(5), at(5))
        );
    }

    #[test]
    fn a_start_above_the_durable_end_takes_it_along() {
        let published = published(HighWatermark::End);
        published.appended(at(10), None);
        published.started_at(at(6), Vec::new());
        assert_eq!(published.watermarks().durable, at(6));
    }

    #[test]
    fn who_waits_is_woken_by_an_append_and_by_closing() {
        let published = published(HighWatermark::End);
        let listener = published.listen();
        published.appended(at(1), None);
        assert!(
            listener
                .wait_timeout(std::time::Duration::from_secs(5))
                .is_some()
        );
        let listener = published.listen();
        published.close();
        assert!(
            listener
                .wait_timeout(std::time::Duration::from_secs(5))
                .is_some()
        );
        assert!(published.is_closed());
    }
}

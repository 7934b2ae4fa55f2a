//! Opening a partition: look at the directory, ask the tables of `recovery.rs`, do what they say; and closing it.
//!
//! The order: facts, then the listing (so that bounds are never ahead of files), the chain, the tail, derived files; what is shown is
//! durable before the facts say so.

mod assemble;
mod bounds;
mod chain;
mod close;
mod copies;
mod fold;
mod report;
mod survey;
mod tail;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;

use super::facts::Facts;
use super::recovery::{
    ChainFact, ChainPlan, DerivedFact, DerivedFile, DerivedPlan, FileState, FirstSegment, TailFact,
    TailPlan, Writer, chain_row, derived_row, tail_row,
};
use super::{
    HighWatermark, Incarnation, Opening, PartitionCore, Parts, Published, SharedByLog, SideFiles,
    Tail, TopicOptions, WriterState,
};
use crate::epochs::Epochs;
use crate::error::{Error, ErrorKind, GapCause, Result};
use crate::offset::Offset;
use crate::producers::Producers;
use crate::segment::{
    AbortedTransaction, ActiveSegment, FileName, Reopened, SealedFacts, SegmentFiles, SegmentHome,
    SegmentSettings, SegmentShape, rebuild,
};
use crate::timestamp::Timestamp;
use crate::topic::TopicPartition;

use bounds::{Bounds, read_known};
use fold::{EpochsFound, Fold, read_epochs};
pub(super) use fold::{load_producers, replay};
pub use report::{Adopted, PartitionRecovery, TornTail};
use survey::Survey;
use tail::Placed;
pub(crate) use view::open_read_only;

/// Who wrote last in the log directory (the owner table), answered above and handed down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Fresh,
    OursClean,
    OursUnclean,
    ForeignClean,
    ForeignUnclean,
}

/// What the log directory knows of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OpenFacts {
    pub(crate) owner: Owner,
    /// Kafka's `recovery-point-offset-checkpoint`, when it has an entry.
    pub(crate) recovery_point: Option<Offset>,
    /// Kafka's `log-start-offset-checkpoint`, when it has an entry.
    pub(crate) log_start: Option<Offset>,
    pub(crate) incarnation: Incarnation,
}

impl OpenFacts {
    /// Of a partition that this very log has left unfinished: its own facts tell the rest.
    pub(crate) fn left_by_us(incarnation: Incarnation) -> Self {
        Self {
            owner: Owner::OursUnclean,
            recovery_point: None,
            log_start: None,
            incarnation,
        }
    }
}

/// What the log's checkpoints get when a partition closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ClosedFacts {
    pub(crate) log_start: Offset,
    pub(crate) recovery_point: Offset,
    pub(crate) high: Offset,
    pub(crate) start_is_inside_segment: bool,
}

/// The files are as a crash may leave them, and only what is durable is shown: there was no room for the rest of a recovery (the copy of
/// the tail, the facts), or a truncation met a full disk half-way.
#[derive(Debug)]
pub(crate) struct PendingRecovery {
    /// What had no room.
    error: Error,
}

impl PendingRecovery {
    pub(super) fn new(error: Error) -> Self {
        Self { error }
    }
}

/// Opening one partition for writing, step by step.
pub(super) struct Opener<'a> {
    home: &'a SegmentHome,
    settings: SegmentSettings,
    given: OpenFacts,
    shared: &'a SharedByLog,
    report: PartitionRecovery,
}

/// What stands once everything was done.
struct Recovered {
    tail: Tail,
    opening: Opening,
    fold: Fold,
    /// What the side file says from now on.
    facts: Facts,
    /// Entries of segments that were walked; they replace those from the first of them on.
    listed: Option<(Offset, Vec<SealedFacts>)>,
    list_bytes: u64,
    is_clean: bool,
}

impl PartitionCore {
    /// Opens for writing: recovers as the tables say. What is shown afterwards is durable.
    ///
    /// # Errors
    /// `ReadOnly` on a medium that takes no writes, and nothing is changed; `InvalidInput` for a link or FIFO in the place of a file;
    /// `Full` when not even a small file can be written; `Io`.
    pub(crate) fn open(
        name: TopicPartition,
        home: SegmentHome,
        options: Arc<TopicOptions>,
        facts: OpenFacts,
        shared: Arc<SharedByLog>,
    ) -> Result<(Arc<Self>, PartitionRecovery)> {
        let started = shared.clock.monotonic();
        let mut opener = Opener::new(&name, &home, &options, facts, &shared);
        let recovered = opener.recover(options.high_watermark)?;
        let mut report = opener.report;
        let mut side = SideFiles::open(&home, recovered.facts, recovered.list_bytes)?;
        let tail = match note_recovered(&mut side, &recovered) {
            // What is shown is durable. Nothing may be appended before the facts say so: they name the boot and the writer.
            Err(error) if error.kind() == ErrorKind::Full => {
                report.pending = Some(error.clone());
                Tail::Pending(PendingRecovery::new(error))
            }
            noted => noted.map(|()| recovered.tail)?,
        };
        report.elapsed = shared.clock.monotonic().saturating_sub(started);
        let core = Self::new(Parts {
            name,
            home,
            options,
            tail,
            producers: recovered.fold.producers,
            epochs: recovered.fold.epochs,
            published: Published::new(recovered.opening),
            side,
            shared,
        });
        core.rest_if_durable();
        Ok((core, report))
    }

    /// Makes a new, empty partition in its existing, empty directory, starting at offset 0; side files at full size, durable on
    /// return. What an interrupted creation left in the directory is for `open`.
    ///
    /// 1. Side files, epochs: content synced. Crash after: an empty directory with small files; `open` makes the first segment.
    /// 2. First segment. 3. Directory synced: all names last.
    pub(crate) fn create(
        name: TopicPartition,
        home: SegmentHome,
        options: Arc<TopicOptions>,
        shared: Arc<SharedByLog>,
    ) -> Result<Arc<Self>> {
        let facts = Facts {
            log_start: Offset::ZERO,
            recovery_point: Offset::ZERO,
            durable_end: Offset::ZERO,
            generation: 0,
            dense_from: Some(Offset::ZERO),
            epochs: Some(Epochs::default().checksum()),
            boot_id: shared.boot_id.unwrap_or_default(),
            incarnation: shared.incarnation,
        };
        let side = SideFiles::create(&home, facts)?;
        let epochs = Epochs::default();
        let epochs_file = home.storage.create(&home.path(FileName::LeaderEpochs))?;
        epochs_file.write_at(epochs.to_text().as_bytes(), 0)?;
        epochs_file.sync_all()?;
        let settings = Self::segment_settings(&options);
        let active = ActiveSegment::create(home.clone(), Offset::ZERO, settings)?;
        active.files().sync()?;
        let published = Published::new(Opening {
            start: Offset::ZERO,
            durable: Offset::ZERO,
            end: Offset::ZERO,
            first_unstable: None,
            high_watermark: options.high_watermark,
            segments: vec![Arc::clone(active.files())],
            generation: 0,
            dense_from: Offset::ZERO,
            epochs: Some(Epochs::default()),
        });
        let core = Self::new(Parts {
            name,
            home,
            options,
            tail: Tail::Active(active),
            producers: Producers::default(),
            epochs,
            published,
            side,
            shared,
        });
        core.rest_if_durable();
        Ok(core)
    }

    /// Recovers once more what is pending; on success the tail is `Active` and durable. Called under the writer lock by whoever changes
    /// something next.
    ///
    /// # Errors
    /// `Full`: nothing has changed, and what is durable stays readable.
    pub(super) fn finish_pending(&self, writer: &mut WriterState) -> Result<()> {
        let Tail::Pending(_) = &writer.tail else {
            return Ok(());
        };
        let given = OpenFacts::left_by_us(self.shared.incarnation);
        let options = self.options();
        let mut opener = Opener::new(&self.name, &self.home, &options, given, &self.shared);
        let recovered = opener.recover(options.high_watermark)?;
        if let Tail::Pending(pending) = recovered.tail {
            return Err(pending.error);
        }
        if recovered.opening.end < self.published.watermarks().end {
            let gone = "records that were shown are gone from the files";
            return Err(Error::new(ErrorKind::Failed, gone).path_is(&*self.home.dir));
        }
        note_recovered(&mut self.side.lock(), &recovered)?;
        let opening = recovered.opening;
        writer.producers = recovered.fold.producers;
        writer.epochs = recovered.fold.epochs;
        writer.tail = recovered.tail;
        writer.unfinished_roll = None;
        // What a trim had let go and could not unlink stands in the log again, below its start.
        writer.to_unlink.clear();
        // All of it was synced by the recovery.
        self.commit.forget_unsynced();
        self.published.epochs_changed(&writer.epochs);
        self.published.appended(opening.end, opening.first_unstable);
        // The log may start in what was not shown yet.
        let start = opening.start.max(self.published.watermarks().start);
        self.published.started_at(start, opening.segments);
        self.published.made_durable(opening.end);
        Ok(())
    }
}

/// The side files, once what they say is true. Bounds that did not move are written without a sync.
fn note_recovered(side: &mut SideFiles, recovered: &Recovered) -> Result<()> {
    if let Some((from, entries)) = &recovered.listed {
        let noted = side.retain_sealed(|entry| entry.base < *from);
        let noted = noted.and_then(|()| entries.iter().try_for_each(|e| side.append_sealed(e)));
        match noted {
            // Without room only checks are missing.
            Err(error) if error.kind() != ErrorKind::Full => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    if recovered.is_clean && *side.facts() == recovered.facts {
        return Ok(());
    }
    let change = |facts: &mut Facts| *facts = recovered.facts;
    if recovered.is_clean {
        side.update(change)
    } else {
        side.update_synced(change)
    }
}

impl<'a> Opener<'a> {
    fn new(
        name: &TopicPartition,
        home: &'a SegmentHome,
        options: &TopicOptions,
        given: OpenFacts,
        shared: &'a SharedByLog,
    ) -> Self {
        Self {
            home,
            settings: PartitionCore::segment_settings(options),
            given,
            shared,
            report: PartitionRecovery::new(name.clone(), given.owner),
        }
    }

    fn recover(&mut self, source: HighWatermark) -> Result<Recovered> {
        let known = read_known(self.home)?;
        let mut survey = self.settled_survey()?;
        let mut bounds = Bounds::new(
            known,
            &self.given,
            self.shared.boot_id,
            &survey,
            &mut self.report,
        );
        self.report.owner = bounds.owner;
        if bounds.is_all_behind_a_hole(&survey) {
            self.set_aside(&survey.segments)?;
            survey = Survey::read(self.home)?;
        }
        if survey.segments.is_empty() {
            self.start_chain(&bounds)?;
            survey = Survey::read(self.home)?;
        }
        let mut fold = Fold::default();
        let mut are_epochs_known = self.load_epochs(&survey, &mut bounds, &mut fold)?;
        let (placed, scanned_from) =
            self.place(&survey, &bounds, &mut fold, &mut are_epochs_known)?;
        self.assemble(&survey, &mut bounds, placed, scanned_from, fold, source)
    }

    /// No segment at all: an empty one is made, behind everything that is known to have been there.
    fn start_chain(&mut self, bounds: &Bounds) -> Result<()> {
        let known = bounds.known_end.unwrap_or(bounds.log_start);
        let first = if known > bounds.log_start {
            FirstSegment::NoneLeft
        } else {
            FirstSegment::NoneExpected
        };
        let fact = ChainFact::First {
            first,
            writer: bounds.writer,
        };
        let at = match chain_row(fact).plan {
            ChainPlan::StartBehindLost => {
                self.report
                    .add_gap(bounds.log_start, known, GapCause::Missing);
                known
            }
            _ => bounds.log_start,
        };
        let active = ActiveSegment::create(self.home.clone(), at, self.settings)?;
        active.files().sync()
    }

    /// The epochs of the checkpoint; `false` when they must come from the batches.
    fn load_epochs(
        &mut self,
        survey: &Survey,
        bounds: &mut Bounds,
        fold: &mut Fold,
    ) -> Result<bool> {
        let is_ours = bounds.writer == Writer::Ours && bounds.dense_from.is_some();
        let (epochs, state) = match read_epochs(self.home)? {
            EpochsFound::Good(epochs) if bounds.epochs_checksum == Some(epochs.checksum()) => {
                bounds.epochs = Some(Arc::new(epochs.clone()));
                let first = epochs.entries().first().map(|(_, start)| *start);
                fold.vouched_from = first.unwrap_or_default();
                (epochs, FileState::Good)
            }
            // Stale, damaged in a way that still reads, or written right before a crash.
            EpochsFound::Good(epochs) if is_ours => {
                fold.unvouched = epochs;
                (Epochs::default(), FileState::Damaged)
            }
            EpochsFound::Good(epochs) => (epochs, FileState::Good),
            EpochsFound::Missing => (Epochs::default(), FileState::Missing),
            EpochsFound::Damaged => (Epochs::default(), FileState::Damaged),
        };
        fold.epochs = epochs;
        let file = DerivedFile::LeaderEpochs;
        let is_empty = survey.segments.iter().all(|s| s.size_bytes == 0);
        if is_empty {
            return Ok(true);
        }
        if derived_row(DerivedFact { file, state }).plan == DerivedPlan::Keep {
            return Ok(true);
        }
        self.report.derived.push(FileName::LeaderEpochs.to_string());
        Ok(false)
    }

    /// All segments, the last one ready for appends; and from where on they were walked.
    fn place(
        &mut self,
        survey: &Survey,
        bounds: &Bounds,
        fold: &mut Fold,
        are_epochs_known: &mut bool,
    ) -> Result<(Placed, Option<usize>)> {
        let last = survey.segments.len().saturating_sub(1);
        let owner = bounds.owner;
        if tail_row(TailFact::Start { owner }).plan == TailPlan::Trust {
            let base = survey.segments.last().map_or(Offset::ZERO, |s| s.base);
            match ActiveSegment::reopen(self.home.clone(), base, self.settings)? {
                // No checksum covers a base offset: one that is raised would move the end, and what is appended there.
                Reopened::Ready(active)
                    if bounds.known_end.is_some_and(|e| e < active.next_offset()) => {}
                Reopened::Ready(active) => {
                    let sealed = self.sealed_from_listing(survey, bounds, last)?;
                    let mut all = sealed.clone();
                    all.push(Arc::clone(active.files()));
                    self.fold_clean(survey, &all, active.next_offset(), fold, *are_epochs_known)?;
                    let facts = Vec::new();
                    let placed = Placed::Active {
                        sealed,
                        facts,
                        active,
                    };
                    return Ok((placed, None));
                }
                Reopened::Damaged(what) => {
                    let name = FileName::OffsetIndex(base);
                    self.report.derived.push(format!("{name} ({what})"));
                }
            }
        }
        let from = match tail_row(TailFact::Start { owner }).plan {
            TailPlan::Trust => last,
            _ => bounds.first_to_walk(survey),
        };
        let before = self.sealed_from_listing(survey, bounds, from)?;
        let base = survey.segments.get(from).map_or(Offset::ZERO, |s| s.base);
        self.fold_until(survey, &before, base, fold, *are_epochs_known)?;
        *are_epochs_known = true;
        let tail = self.walk_tail(survey, bounds, from, fold)?;
        Ok((self.place_tail(survey, bounds, tail, before)?, Some(from)))
    }

    /// Producers up to `end` from the newest snapshot below it and the batches behind; epochs from all batches when they are not known.
    fn fold_until(
        &mut self,
        survey: &Survey,
        segments: &[Arc<SegmentFiles>],
        end: Offset,
        fold: &mut Fold,
        are_epochs_known: bool,
    ) -> Result<()> {
        let start = segments.first().map_or(end, |first| first.base());
        let mut damaged = |name: FileName| self.report.derived.push(name.to_string());
        let (producers, at) =
            load_producers(self.home, &survey.snapshots, start..=end, &mut damaged)?;
        fold.producers = producers;
        replay(segments, at.unwrap_or(start)..end, &mut |batch| {
            fold.take_producer(batch);
        })?;
        if !are_epochs_known {
            replay(segments, start..end, &mut |batch| fold.take_epoch(batch))?;
        }
        Ok(())
    }

    /// What the transaction markers of one segment aborted: the producers' state at its base decides, too.
    fn derive_aborted(
        &mut self,
        survey: &Survey,
        below: &[Arc<SegmentFiles>],
        files: &Arc<SegmentFiles>,
    ) -> Result<Vec<AbortedTransaction>> {
        let mut fold = Fold::default();
        self.fold_until(survey, below, files.base(), &mut fold, true)?;
        let mut aborted = Vec::new();
        let here = [Arc::clone(files)];
        replay(&here, files.base()..files.end(), &mut |batch| {
            aborted.extend(fold.take_producer(batch));
        })?;
        Ok(aborted)
    }

    /// As `fold_until`, up to the end of a log that was closed: a snapshot should stand right there.
    fn fold_clean(
        &mut self,
        survey: &Survey,
        segments: &[Arc<SegmentFiles>],
        end: Offset,
        fold: &mut Fold,
        are_epochs_known: bool,
    ) -> Result<()> {
        let is_there = survey.snapshots.binary_search(&end).is_ok();
        let state = if is_there || end == Offset::ZERO {
            FileState::Good
        } else {
            FileState::Missing
        };
        let file = DerivedFile::Snapshot;
        if derived_row(DerivedFact { file, state }).plan == DerivedPlan::ReplayFromOlder {
            let name = FileName::Snapshot(end).to_string();
            self.report.derived.push(name);
        }
        self.fold_until(survey, segments, end, fold, are_epochs_known)
    }

    /// The first `count` segments as the listing shows them: none is opened, unless an index is missing.
    fn sealed_from_listing(
        &mut self,
        survey: &Survey,
        bounds: &Bounds,
        count: usize,
    ) -> Result<Vec<Arc<SegmentFiles>>> {
        let mut sealed: Vec<Arc<SegmentFiles>> = Vec::with_capacity(count);
        let mut sealed_at = Timestamp::from_millis(i64::MIN);
        for (index, segment) in survey.segments.iter().enumerate().take(count) {
            let listed = bounds.listed(segment.base);
            sealed_at = sealed_at.max(listed.map_or(segment.modified, |entry| entry.sealed_at));
            let next = survey.segments.get(index.saturating_add(1));
            let shape = SegmentShape {
                base: segment.base,
                end: next.map_or(segment.base, |next| next.base),
                size_bytes: segment.size_bytes,
                sealed_at: Some(sealed_at),
            };
            let files = SegmentFiles::sealed(self.home.clone(), shape);
            files.vouch_for_aborted(listed.and_then(|entry| entry.aborted_crc));
            let derived = [
                (DerivedFile::Index, segment.indexes()),
                (DerivedFile::TxnIndex, segment.txn_index()),
            ];
            let must_derive = |(file, state)| {
                derived_row(DerivedFact { file, state }).plan == DerivedPlan::DeriveIndexes
            };
            if derived.into_iter().any(must_derive) {
                let aborted = match must_derive(derived[1]) {
                    true => self.derive_aborted(survey, &sealed, &files)?,
                    false => self.aborted_of(survey, &sealed, &files)?,
                };
                self.derive_indexes(&files, bounds, &aborted, sealed_at)?;
            }
            sealed.push(files);
        }
        Ok(sealed)
    }

    /// As the `.txnindex` has them, when it fits.
    fn aborted_of(
        &mut self,
        survey: &Survey,
        below: &[Arc<SegmentFiles>],
        files: &Arc<SegmentFiles>,
    ) -> Result<Vec<AbortedTransaction>> {
        match files.aborted(files.base()..files.end()) {
            Ok((aborted, _)) => Ok(aborted),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.derive_aborted(survey, below, files)
            }
            Err(error) => Err(error),
        }
    }

    fn derive_indexes(
        &mut self,
        files: &SegmentFiles,
        bounds: &Bounds,
        aborted: &[AbortedTransaction],
        sealed_at: Timestamp,
    ) -> Result<()> {
        let base = files.base();
        let rule = bounds.rule(base);
        let skip = Offset::MAX;
        let rebuilt = rebuild(self.home, base, rule, self.settings, skip, &mut |_| Ok(()))?;
        match rebuilt.write_indexes(self.home, aborted, sealed_at) {
            Ok(_) => self
                .report
                .derived
                .push(FileName::OffsetIndex(base).to_string()),
            // Without room they are derived in memory by whoever needs them.
            Err(error) if error.kind() == ErrorKind::Full => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

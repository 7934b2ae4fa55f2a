//! The end of opening: what was found becomes a tail, a list of segments and the values of the side file.

use std::sync::Arc;

use super::bounds::Bounds;
use super::fold::{EpochsFound, Fold, read_epochs, write_snapshot};
use super::survey::Survey;
use super::tail::Placed;
use super::{Opener, PendingRecovery, Recovered};
use crate::epochs::{Change, Epochs};
use crate::error::{ErrorKind, GapCause, Result};
use crate::ids::LeaderEpoch;
use crate::offset::Offset;
use crate::partition::facts::Facts;
use crate::partition::recovery::{ChainFact, ChainPlan, LastOffset, Writer, chain_row};
use crate::partition::{HighWatermark, Opening, Tail};
use crate::producers::Producers;
use crate::segment::{ActiveSegment, FileName, SealedFacts, SegmentFiles};
use crate::storage::replace_file;
use crate::timestamp::Timestamp;

impl Opener<'_> {
    pub(super) fn assemble(
        &mut self,
        survey: &Survey,
        bounds: &mut Bounds,
        placed: Placed,
        scanned_from: Option<usize>,
        mut fold: Fold,
        source: HighWatermark,
    ) -> Result<Recovered> {
        let (mut sealed, mut listed, tail, end) = match placed {
            Placed::Pending { sealed, end, error } => {
                let pending = Tail::Pending(PendingRecovery::new(error));
                (sealed, Vec::new(), pending, end)
            }
            Placed::Active {
                mut sealed,
                mut facts,
                active,
            } => {
                let active =
                    self.reach_known_end(bounds, active, &mut sealed, &mut facts, &mut fold)?;
                let end = active.next_offset();
                (sealed, facts, Tail::Active(active), end)
            }
        };
        bounds.report_missing(survey, end, &mut self.report);
        let start = bounds.log_start.min(end);
        let mut epochs_checksum = bounds.epochs_checksum;
        if let Tail::Active(active) = &tail {
            sealed.push(Arc::clone(active.files()));
            let first = sealed.first().map_or(start, |first| first.base());
            let written = self.keep_epochs(bounds.writer, &mut fold, first, end)?;
            epochs_checksum = Some(written);
            fold.epochs.fold_start(start);
            self.remove_snapshots_above(survey, end)?;
        }
        fold.producers.advance_start(start);
        let high = match source {
            HighWatermark::End | HighWatermark::Durable => end,
            HighWatermark::External => start,
        };
        let was_cut = self.report.torn.is_some() || !self.report.set_aside.is_empty();
        let is_pending = matches!(tail, Tail::Pending(_));
        // A history that was derived from batches which contradict each other is no evidence against any of them.
        let is_in_doubt = bounds.epochs.is_none() && fold.fell_at >= bounds.dense_from;
        let dense_from = match bounds.writer {
            Writer::Ours if is_in_doubt => bounds.dense_from.map(|_| end),
            Writer::Ours => bounds.dense_from,
            Writer::Adopted => Some(end),
        };
        let facts = Facts {
            // What is shown ends below it while the tail waits for its copy.
            log_start: if is_pending { bounds.log_start } else { start },
            recovery_point: if is_pending {
                bounds.recovery_point
            } else {
                end
            },
            durable_end: if is_pending { bounds.durable_end } else { end },
            generation: bounds.generation.saturating_add(u64::from(was_cut)),
            dense_from,
            epochs: epochs_checksum,
            boot_id: self.shared.boot_id.unwrap_or_default(),
            incarnation: self.shared.incarnation,
        };
        let scanned_base = scanned_from.and_then(|from| survey.segments.get(from));
        let from = match (bounds.writer, scanned_base) {
            (Writer::Adopted, _) if survey.list_bytes > 0 => Some(Offset::ZERO),
            (_, Some(first)) if !is_pending => Some(first.base),
            _ => None,
        };
        let extra = std::mem::take(&mut listed);
        let listed = from.or_else(|| extra.first().map(|entry| entry.base));
        let is_clean = scanned_from.is_none() && bounds.writer == Writer::Ours && extra.is_empty();
        Ok(Recovered {
            opening: Opening {
                start,
                durable: end,
                end,
                first_unstable: fold.producers.first_unstable(high),
                high_watermark: source,
                segments: sealed,
                generation: facts.generation,
                dense_from: dense_from.unwrap_or(Offset::MAX),
                epochs: Some(fold.epochs.clone()),
            },
            tail,
            fold,
            facts,
            listed: listed.map(|from| (from, extra)),
            list_bytes: survey.list_bytes,
            is_clean,
        })
    }

    /// A log that ends below what is known of it goes on in a new segment: no offset is given twice.
    fn reach_known_end(
        &mut self,
        bounds: &mut Bounds,
        active: ActiveSegment,
        sealed: &mut Vec<Arc<SegmentFiles>>,
        listed: &mut Vec<SealedFacts>,
        fold: &mut Fold,
    ) -> Result<ActiveSegment> {
        let end = active.next_offset();
        let known = bounds.known_end.unwrap_or(end);
        let last = if end < known {
            LastOffset::BelowDurableEnd
        } else if end < bounds.log_start {
            LastOffset::BelowLogStart
        } else {
            LastOffset::AsExpected
        };
        let fact = ChainFact::Last {
            end: last,
            writer: bounds.writer,
        };
        let at = match chain_row(fact).plan {
            ChainPlan::GoOnAtDurableEnd => {
                let from = end.max(bounds.log_start);
                self.report.add_gap(from, known, GapCause::Missing);
                known.max(bounds.log_start)
            }
            ChainPlan::GoOnAtLogStart => bounds.log_start,
            ChainPlan::IgnoreKnown => {
                bounds.log_start = sealed.first().map_or(active.base(), |first| first.base());
                return Ok(active);
            }
            _ => return Ok(active),
        };
        self.forget_producers(fold, at)?;
        let before = sealed.last().and_then(|files| files.sealed_at());
        let now = Timestamp::from(self.shared.clock.now());
        let sealed_at = before.map_or(now, |before| before.max(now));
        let next = ActiveSegment::create(self.home.clone(), at, self.settings)?;
        let (files, facts) = active.seal(sealed_at)?;
        files.sync()?;
        next.files().sync()?;
        sealed.push(files);
        listed.push(facts);
        Ok(next)
    }

    /// Batches below `at` are gone, trimmed or lost: nobody knows what their producers sent last. The snapshot says so to whoever replays from
    /// here.
    pub(super) fn forget_producers(&self, fold: &mut Fold, at: Offset) -> Result<()> {
        fold.producers = Producers::default();
        match write_snapshot(self.home, at, &fold.producers.to_snapshot()) {
            // Without room it is written with the next roll or the close.
            Err(error) if error.kind() == ErrorKind::Full => Ok(()),
            written => written,
        }
    }

    /// Epochs that begin above the end were those of records that are not there; the file follows when it says otherwise. What lies below the
    /// log start stays in the file until the close: the start itself is not on the medium yet. Returns the checksum of what the file has, or,
    /// when there was no room for it, should have.
    fn keep_epochs(
        &mut self,
        writer: Writer,
        fold: &mut Fold,
        first: Offset,
        end: Offset,
    ) -> Result<u32> {
        fold.take_epochs_behind();
        let changed = fold.epochs.cut_end(end.saturating_add(1)) == Change::Changed;
        let on_disk = match read_epochs(self.home)? {
            EpochsFound::Good(epochs) => Some(epochs),
            EpochsFound::Missing | EpochsFound::Damaged => None,
        };
        // A log of ours that never had an epoch is in epoch 0 from its start on, and writes that down at the next one or the close.
        let is_empty = (on_disk.as_ref()).is_some_and(|epochs| epochs.latest().is_none());
        let latest = fold.epochs.latest().unwrap_or(LeaderEpoch::ZERO);
        if writer == Writer::Ours && is_empty && latest == LeaderEpoch::ZERO && first < end {
            fold.epochs = Epochs::default();
            fold.epochs.assign(LeaderEpoch::ZERO, first);
        }
        let checksum = fold.epochs.checksum();
        if !changed && on_disk.as_ref() == Some(&fold.epochs) {
            return Ok(checksum);
        }
        let path = self.home.path(FileName::LeaderEpochs);
        match replace_file(&*self.home.storage, &path, fold.epochs.to_text().as_bytes()) {
            // They are derived again next time.
            Err(error) if error.kind() == ErrorKind::Full => Ok(checksum),
            done => done.map(|()| checksum),
        }
    }

    fn remove_snapshots_above(&mut self, survey: &Survey, end: Offset) -> Result<()> {
        for above in survey.snapshots.iter().filter(|at| **at > end) {
            self.remove(&FileName::Snapshot(*above).to_string())?;
        }
        Ok(())
    }
}

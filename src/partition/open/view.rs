//! What a reader of a directory sees without writing a byte: as recovery would see it, without a verdict.
//!
//! It may stand beside a live writer: what it lists and walks is a bound from below, and another look finds more.

use std::sync::Arc;

use super::bounds::{Bounds, read_known};
use super::fold::{Fold, load_producers, read_vouched_epochs, replay};
use super::survey::Survey;
use super::{OpenFacts, Opening, PartitionRecovery};
use crate::batch::RecordBatch;
use crate::error::{GapCause, Result};
use crate::limits::{DEFAULT_MAX_DECOMPRESSED_BYTES, MAX_SEGMENT_OFFSET_SPAN};
use crate::offset::{FilePosition, Offset};
use crate::partition::HighWatermark;
use crate::partition::facts::{FactsFound, read_facts};
use crate::partition::recovery::{TailFact, TailPlan, tail_row};
use crate::segment::{OffsetRule, SegmentFiles, SegmentHome, SegmentShape, Step, Walker};
use crate::topic::TopicPartition;

/// What can be read of a segment of the tail.
struct Seen {
    end: Offset,
    size: FilePosition,
    is_log_end: bool,
}

/// Looks at a partition without changing anything. A torn tail is the end of the view, damage and missing files are gaps; ranges that
/// are known to be lost stand in the report.
///
/// # Errors
/// `NotFound` without the directory; `InvalidInput` for a link or FIFO in the place of a file; `Io`.
pub(crate) fn open_read_only(
    name: &TopicPartition,
    home: &SegmentHome,
    facts: OpenFacts,
) -> Result<(Opening, PartitionRecovery)> {
    let mut report = PartitionRecovery::new(name.clone(), facts.owner);
    let known = read_known(home)?;
    let mut survey = Survey::read(home)?;
    report.left_alone.clone_from(&survey.left_alone);
    let mut bounds = Bounds::new(known, &facts, None, &survey, &mut report);
    // After the facts: what is below their durable end has its epoch in a history that they vouch for.
    let epochs = read_vouched_epochs(home, bounds.epochs_checksum)?;
    bounds.epochs = epochs.clone().map(Arc::new);
    let is_clean = tail_row(TailFact::Start {
        owner: bounds.owner,
    })
    .plan
        == TailPlan::Trust;
    let last = survey.segments.len().saturating_sub(1);
    let from = match is_clean {
        true => last,
        false => bounds.first_to_walk(&survey),
    };
    let mut segments = Vec::with_capacity(survey.segments.len());
    let mut end = bounds.log_start;
    // A writer would set all of them aside.
    if bounds.is_all_behind_a_hole(&survey) {
        survey.segments.clear();
    }
    for (index, surveyed) in survey.segments.iter().enumerate() {
        let next = survey.segments.get(index.saturating_add(1));
        let next = next.map(|next| next.base);
        let listed = bounds.listed(surveyed.base);
        let mut shape = SegmentShape {
            base: surveyed.base,
            end: next.unwrap_or(surveyed.base.saturating_add(MAX_SEGMENT_OFFSET_SPAN)),
            size_bytes: surveyed.size_bytes,
            // Of the last one nobody knows whether it is sealed, unless it is noted.
            sealed_at: match listed {
                Some(entry) => Some(entry.sealed_at),
                None => next.map(|_| surveyed.modified),
            },
        };
        let mut is_log_end = false;
        if index >= from {
            let whole = SegmentFiles::sealed(home.clone(), shape);
            let seen = look(&whole, &bounds, next, is_clean, &mut report)?;
            shape.size_bytes = seen.size.get();
            shape.end = seen.end;
            is_log_end = seen.is_log_end;
        }
        end = shape.end;
        let files = SegmentFiles::sealed(home.clone(), shape);
        files.vouch_for_aborted(listed.and_then(|entry| entry.aborted_crc));
        segments.push(files);
        if is_log_end {
            break;
        }
    }
    bounds.report_missing(&survey, end, &mut report);
    let start = bounds.log_start;
    let kept = end.max(start);
    let end = known_end(home, &bounds)?.map_or(kept, |known| known.max(kept));
    report.add_gap(kept, end, GapCause::Missing);
    let first = survey.segments.get(from).map_or(end, |first| first.base);
    let at_most = if is_clean { end } else { first };
    let fold = fold_readers(home, &survey, &segments, at_most..end, &mut report)?;
    let opening = Opening {
        start,
        durable: if is_clean {
            end
        } else {
            bounds.durable_end.clamp(start, end)
        },
        end,
        first_unstable: fold.producers.first_unstable(end),
        high_watermark: HighWatermark::End,
        segments,
        generation: bounds.generation,
        dense_from: bounds.dense_from.unwrap_or(Offset::MAX),
        epochs,
    };
    Ok((opening, report))
}

/// Where the log ended at least, if nothing of it was lost. Asked again, because a live writer that truncates lowers it before it cuts.
fn known_end(home: &SegmentHome, bounds: &Bounds) -> Result<Option<Offset>> {
    Ok(match read_facts(home)? {
        FactsFound::Good(now) => bounds.known_end.map(|then| then.min(now.durable_end)),
        FactsFound::Absent | FactsFound::Damaged => None,
    })
}

/// Producers at the end, for the last stable offset: from a snapshot at or below `range.start`.
fn fold_readers(
    home: &SegmentHome,
    survey: &Survey,
    segments: &[Arc<SegmentFiles>],
    range: std::ops::Range<Offset>,
    report: &mut PartitionRecovery,
) -> Result<Fold> {
    let first = segments.first().map_or(range.end, |first| first.base());
    let replayable = first..=range.start;
    let (producers, at) = load_producers(home, &survey.snapshots, replayable, &mut |name| {
        report.derived.push(name.to_string());
    })?;
    let mut fold = Fold {
        producers,
        ..Fold::default()
    };
    replay(segments, at.unwrap_or(first)..range.end, &mut |batch| {
        fold.take_producer(batch);
    })?;
    Ok(fold)
}

/// Walks one segment of the tail: all of it, or what lies behind the last index entry when the log was closed.
fn look(
    files: &SegmentFiles,
    bounds: &Bounds,
    next: Option<Offset>,
    is_clean: bool,
    report: &mut PartitionRecovery,
) -> Result<Seen> {
    let mut walker: Walker = match is_clean {
        true => files.walk_from(
            Offset::MAX,
            bounds.rule(files.base()),
            DEFAULT_MAX_DECOMPRESSED_BYTES,
        )?,
        false => {
            report.scanned_segments = report.scanned_segments.saturating_add(1);
            let bytes = files.size().to_u64();
            report.scanned_bytes = report.scanned_bytes.saturating_add(bytes);
            files.walk(bounds.rule(files.base()), DEFAULT_MAX_DECOMPRESSED_BYTES)?
        }
    };
    walker.hold_against(bounds.epochs.clone());
    let mut end = files.base();
    loop {
        match walker.step()? {
            // Not a copied tail, which starts where the next segment does: a base offset that is damaged. Readers tell it.
            Step::Batch(found) if next.is_some_and(|next| is_none_of(&found.batch, next)) => {
                let to = next.unwrap_or(end);
                report.add_gap(end, to, GapCause::Damaged);
                return Ok(Seen {
                    end: to,
                    size: files.size(),
                    is_log_end: false,
                });
            }
            Step::Batch(found) if Some(found.batch.base_offset()) == next => {
                return Ok(Seen {
                    end: next.unwrap_or(end),
                    size: found.position,
                    is_log_end: false,
                });
            }
            Step::Batch(found) => end = found.batch.next_offset(),
            Step::OldFormat { from, to, .. } => {
                report.add_gap(from, to, GapCause::OldFormat);
                end = to;
            }
            Step::Bad(spot) if Some(spot.from) == next || spot.from >= bounds.durable_end => {
                return Ok(Seen {
                    end: spot.from,
                    size: spot.position,
                    is_log_end: Some(spot.from) != next,
                });
            }
            Step::Bad(spot) => {
                let positions = files.positions_above(spot.position)?;
                let found = walker.skip(&spot, &positions)?;
                // As for a writer: what lies above the durable end is no part of the log once damage reaches there.
                match found.filter(|to| *to <= bounds.durable_end) {
                    Some(to) => {
                        end = to.min(next.unwrap_or(to));
                        report.add_gap(spot.from, end, GapCause::Damaged);
                    }
                    None => {
                        let known = bounds.known_end.unwrap_or(spot.from);
                        let to = next.unwrap_or(known.max(spot.from));
                        report.add_gap(spot.from, to, GapCause::Damaged);
                        return Ok(Seen {
                            end: to,
                            size: files.size(),
                            is_log_end: false,
                        });
                    }
                }
            }
            Step::End => {
                let is_dense = bounds.rule(files.base()) == OffsetRule::Dense;
                // As for a writer: what a trim hides is missed by nobody.
                let from = end.max(bounds.log_start);
                let is_hole = next.is_some_and(|next| is_dense && from < next);
                return Ok(Seen {
                    end: next.filter(|_| !is_hole).unwrap_or(end),
                    size: files.size(),
                    is_log_end: is_hole && from >= bounds.durable_end,
                });
            }
        }
    }
}

/// Whether a batch is none of a segment that ends at `next`: it stands above, or reaches across. A copied tail starts right there.
fn is_none_of(batch: &RecordBatch, next: Offset) -> bool {
    batch.base_offset() != next && batch.next_offset() > next
}

//! Cutting the tail of the active segment, at batch granularity.

use super::{ActiveSegment, FileEnd};
use crate::error::{Error, ErrorKind, Result};
use crate::offset::{FilePosition, Offset};
use crate::segment::growing::GrowingIndexes;
use crate::segment::scan::{Claim, OffsetRule, Step, WalkStart, Walker};
use crate::segment::txn_index;

impl ActiveSegment {
    /// Cuts at the batch that holds `offset`: it and all behind it go. Returns the real new end, which is below `offset`
    /// when the batch started before it. Indexes follow. The caller has raised the generation first.
    ///
    /// # Errors
    /// `Full` when there is no room to cut, or to let follow what stands beside it; `Failed` when that cannot follow. Otherwise nothing was
    /// cut.
    pub(crate) fn truncate_to(&mut self, offset: Offset) -> Result<Offset> {
        if offset >= self.next_offset {
            return Ok(self.next_offset);
        }
        let (position, end) = self.place_of(offset)?;
        self.log()?.set_len(position.to_u64())?;
        self.file_bytes = position.to_u64();
        self.end = FileEnd::AsKnown;
        self.size = position;
        self.next_offset = end;
        self.files.publish(position, end);
        let read_again = self.files.with_growing(|indexes| indexes.truncate(end));
        let aborted_left = self.files.read_growing(|indexes| indexes.aborted().len());
        if let Some(index) = &mut self.txn_index {
            let bytes = txn_index::ENTRY_BYTES as u64 * aborted_left as u64;
            index.file.set_len(bytes).map_err(failed_truncation)?;
            index.bytes = bytes;
        }
        let mut walker = self.walker(read_again.from())?;
        loop {
            match walker.step().map_err(failed_truncation)? {
                Step::Batch(found) => {
                    let bytes = found.batch.as_bytes();
                    self.files.with_growing(|indexes| {
                        indexes.add_again(found.batch.header(), bytes, found.position, read_again);
                    });
                }
                Step::OldFormat { .. } => {}
                Step::Bad(spot) => {
                    self.files.with_growing(GrowingIndexes::forget_prefix_crc);
                    walker.skip(&spot, &[]).map_err(failed_truncation)?;
                }
                Step::End => return Ok(end),
            }
        }
    }

    /// Where the first batch with a last offset at or above `offset` starts, and where the batch before it ends.
    fn place_of(&self, offset: Offset) -> Result<(FilePosition, Offset)> {
        let claim = self
            .files
            .read_growing(|indexes| indexes.claim_below(offset));
        let mut walker = match claim {
            Some(claim) => self.walker_from(claim)?,
            None => self.walker(FilePosition::ZERO)?,
        };
        // Behind the last batch that stays.
        let mut place = (FilePosition::ZERO, self.base());
        loop {
            match walker.step()? {
                Step::Batch(found) if found.batch.last_offset() < offset => {
                    place = (walker.position(), found.batch.next_offset());
                }
                Step::Batch(found) if found.position == FilePosition::ZERO => {
                    return Ok((FilePosition::ZERO, self.base()));
                }
                Step::OldFormat { to, .. } if to <= offset => place = (walker.position(), to),
                Step::Bad(spot) => match walker.skip(&spot, &[])? {
                    // Damage below the cut stays as it is: what lies behind it decides.
                    Some(to) if to <= offset => place = (walker.position(), to),
                    Some(_) | None => return Ok((spot.position, spot.from)),
                },
                Step::Batch(_) | Step::OldFormat { .. } | Step::End => return Ok(place),
            }
        }
    }

    fn walker(&self, position: FilePosition) -> Result<Walker> {
        let start = WalkStart {
            position,
            ..self.start_at_base()
        };
        Ok(Walker::new(
            self.files.log_file()?,
            &self.files.log_path(),
            start,
        ))
    }

    fn walker_from(&self, claim: Claim) -> Result<Walker> {
        let path = self.files.log_path();
        Ok(Walker::from_claim(
            self.files.log_file()?,
            &path,
            claim,
            self.start_at_base(),
        ))
    }

    fn start_at_base(&self) -> WalkStart {
        WalkStart {
            position: FilePosition::ZERO,
            end: self.size,
            expected: self.base(),
            rule: OffsetRule::Ascending,
            max_decompressed_bytes: 0,
        }
    }
}

fn failed_truncation(error: Error) -> Error {
    if error.kind() == ErrorKind::Full {
        return error;
    }
    Error::new(
        ErrorKind::Failed,
        "the log was cut, and what stands beside it could not follow",
    )
    .remedy("reopen the log")
    .caused_by(error)
}

//! Copies of what no sync has vouched for: after a failed sync neither the bytes of a tail nor the name of its file can be trusted to last, and
//! a copy has both anew.

use super::survey::Surveyed;
use super::tail::{Scanned, Tail};
use super::{Bounds, Opener};
use crate::error::{Error, ErrorKind, Result};
use crate::offset::{FilePosition, Offset};
use crate::segment::{AbortedTransaction, FileName, copy_tail};

impl Opener<'_> {
    /// Copies everything above the durable end to fresh blocks. `Some` with the place and the cause when there is no room.
    pub(super) fn copy_tails(
        &mut self,
        bounds: &Bounds,
        tail: &mut Tail,
    ) -> Result<Option<(usize, Error)>> {
        let mut copied = Vec::new();
        let mut rest = std::mem::take(&mut tail.scanned).into_iter().enumerate();
        let mut no_room = None;
        for (index, scanned) in rest.by_ref() {
            let Some((at, offset)) = scanned.boundary else {
                copied.push(scanned);
                continue;
            };
            match self.copy_one(&scanned, at, offset) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Full => {
                    copied.push(scanned);
                    no_room = Some((index, error));
                    break;
                }
                Err(error) => return Err(error),
            }
            self.split(bounds, scanned, at, offset, &mut copied)?;
        }
        copied.extend(rest.map(|(_, scanned)| scanned));
        // A split adds a segment: the place is that of the one that could not be copied.
        let place = no_room.map(|(_, error)| {
            let place = copied.iter().position(|s| s.boundary.is_some());
            (place.unwrap_or(0), error)
        });
        tail.scanned = copied;
        Ok(place)
    }

    fn copy_one(&mut self, scanned: &Scanned, at: FilePosition, offset: Offset) -> Result<()> {
        let rebuilt = &scanned.rebuilt;
        let is_whole = at == FilePosition::ZERO;
        let new_base = if is_whole { rebuilt.base } else { offset };
        let copy = copy_tail(self.home, rebuilt.base, at, rebuilt.valid, new_base)?;
        let storage = &self.home.storage;
        storage.rename(&copy, &self.home.path(FileName::Log(new_base)))?;
        storage.sync_dir(&self.home.dir)?;
        if !is_whole {
            self.cut_file(rebuilt.base, at)?;
        }
        let bytes = rebuilt.valid.to_u64().saturating_sub(at.to_u64());
        self.report.copied_bytes = self.report.copied_bytes.saturating_add(bytes);
        Ok(())
    }

    /// A segment that starts at or above the durable end may owe its name to a sync of the directory that failed, and no later one makes that
    /// name last. The copy of a tail brings a new name with it; an empty segment gets one here, unless there is no room.
    pub(super) fn name_again(&mut self, bounds: &Bounds, tail: &Tail) -> Result<()> {
        let is_empty = |scanned: &&Scanned| {
            let rebuilt = &scanned.rebuilt;
            rebuilt.valid == FilePosition::ZERO && rebuilt.base >= bounds.durable_end
        };
        for scanned in tail.scanned.iter().filter(is_empty) {
            match self.copy_one(scanned, FilePosition::ZERO, scanned.rebuilt.base) {
                Err(error) if error.kind() != ErrorKind::Full => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// After a copy: the segment, or the two that came of it. The folds have taken its batches already.
    fn split(
        &self,
        bounds: &Bounds,
        scanned: Scanned,
        at: FilePosition,
        offset: Offset,
        copied: &mut Vec<Scanned>,
    ) -> Result<()> {
        let base = scanned.rebuilt.base;
        let (below, above): (Vec<_>, Vec<_>) = scanned
            .aborted
            .iter()
            .partition(|aborted| aborted.last < offset);
        let mut again = |base: Offset, aborted: Vec<AbortedTransaction>| {
            let segment = Surveyed::bare(base, scanned.modified);
            let one = self.scan(bounds, &segment, None, None)?;
            copied.push(Scanned {
                aborted,
                boundary: None,
                ..one
            });
            Ok::<(), Error>(())
        };
        if at == FilePosition::ZERO {
            return again(base, scanned.aborted.clone());
        }
        again(base, below)?;
        again(offset, above)
    }
}

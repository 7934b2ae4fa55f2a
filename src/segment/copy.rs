//! Copying a tail to fresh blocks: what a failed sync left in the page cache is made durable nowhere else.

use std::path::PathBuf;

use super::{FileName, SegmentHome};
use crate::error::{Error, ErrorKind, Result};
use crate::offset::{FilePosition, Offset};
use crate::storage::Access;

/// Bytes that one step copies.
const STEP_BYTES: usize = 1 << 20;

/// Copies the bytes `from..to` of the `.log` at `base` into `<new_base>.log.prepared` and syncs that file (not its
/// name). An older file of that name is overwritten: the source still has every byte. Returns its path; the rename is
/// the caller's.
///
/// # Errors
/// `Full` and `Io`, with the unfinished copy removed where that is possible; `Corrupt` when the source is shorter.
pub(crate) fn copy_tail(
    home: &SegmentHome,
    base: Offset,
    from: FilePosition,
    to: FilePosition,
    new_base: Offset,
) -> Result<PathBuf> {
    let name = FileName::Prepared(new_base);
    home.remove(name)?;
    let copied = copy_into(home, base, from, to, new_base);
    if copied.is_err() {
        // What stays of the copy is overwritten by the next try; the first cause is what matters.
        drop(home.remove(name));
    }
    copied.map(|()| home.path(name))
}

fn copy_into(
    home: &SegmentHome,
    base: Offset,
    from: FilePosition,
    to: FilePosition,
    new_base: Offset,
) -> Result<()> {
    let source_path = home.path(FileName::Log(base));
    let source = home.storage.open(&source_path, Access::Read)?;
    let copy = home
        .storage
        .create(&home.path(FileName::Prepared(new_base)))?;
    let total = to.to_u64().saturating_sub(from.to_u64());
    let step = usize::try_from(total).unwrap_or(STEP_BYTES).min(STEP_BYTES);
    let mut buffer = vec![0; step];
    let mut done = 0u64;
    while done < total {
        let wanted = usize::try_from(total - done).unwrap_or(step).min(step);
        let read = source.read_at(&mut buffer[..wanted], from.to_u64() + done)?;
        if read == 0 {
            let shorter = Error::new(
                ErrorKind::Corrupt,
                "the segment is shorter than its batches",
            );
            return Err(shorter.path_is(source_path));
        }
        copy.write_at(&buffer[..read], done)?;
        done += read as u64;
    }
    copy.sync_all().map_err(Error::of_discarded_file)
}

/// Whether the segment at `next` starts with the very bytes that stand in the one at `base` between `from` and `to`: a copied tail whose
/// source is not cut yet. Other bytes there are no copy.
pub(crate) fn is_copied(
    home: &SegmentHome,
    base: Offset,
    from: FilePosition,
    to: FilePosition,
    next: Offset,
) -> Result<bool> {
    let open = |base| {
        let path = home.path(FileName::Log(base));
        home.storage.open(&path, Access::Read)
    };
    let (source, copy) = (open(base)?, open(next)?);
    let (mut ours, mut theirs) = (vec![0; STEP_BYTES], vec![0; STEP_BYTES]);
    let mut at = from.to_u64();
    while at < to.to_u64() {
        let rest = usize::try_from(to.to_u64().saturating_sub(at)).unwrap_or(usize::MAX);
        let len = source.read_at(&mut ours, at)?.min(rest);
        let copied = copy.read_at(&mut theirs, at.saturating_sub(from.to_u64()))?;
        if len == 0 || copied < len || ours.get(..len) != theirs.get(..len) {
            return Ok(false);
        }
        at = at.saturating_add(len as u64);
    }
    Ok(true)
}

//! Walks a segment from its start and derives what stands beside it: indexes, largest timestamp, prefix checksum, end.
use super::{BadSpot, OffsetRule, SegmentHome, SegmentSettings, WalkedBatch};
use crate::error::Result;
use crate::offset::{FilePosition, Offset};
/// What a walk over a whole segment found. Opaque to floors above but for the getters.
#[derive(Debug)]
pub(crate) struct Rebuilt {
    /// `None`: the file ends exactly behind its last batch.
    pub(crate) bad: Option<BadSpot>,
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    pub(crate) valid: FilePosition,
    pub(crate) file_bytes: u64,
}
/// How far a rebuild goes when it meets a bad spot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AtBadSpot {
    /// the walk ends there: the log ends (above the durable end)
    Stop,
    /// the walk goes on behind it: a gap (below the durable end) while position < limit
    SkipBelow(Offset),
}
/// Walks; `visit` sees each good batch in order (folds of producers, epochs, transactions).
pub(crate) fn rebuild(
    home: &SegmentHome,
    base: Offset,
    rule: OffsetRule,
    settings: SegmentSettings,
    at_bad: AtBadSpot,
    visit: &mut dyn FnMut(&WalkedBatch) -> Result<()>,
) -> Result<Rebuilt> {
    let _ = (home, base, rule, settings, at_bad, visit);
    todo!()
}

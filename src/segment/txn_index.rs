//! `.txnindex`: the aborted transactions whose marker stands in this segment.
use crate::ids::ProducerId;
use crate::offset::Offset;
/// A transaction that was aborted: its records between the offsets do not count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AbortedTransaction {
    pub(crate) producer: ProducerId,
    pub(crate) first: Offset,
    /// The marker's offset.
    pub(crate) last: Offset,
    pub(crate) last_stable: Offset,
}

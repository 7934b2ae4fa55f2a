//! The names of files in a partition directory: parse and display, inverse by test.
use crate::offset::Offset;
/// A name in a partition directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum FileName {
    Log(Offset),
    OffsetIndex(Offset),
    TimeIndex(Offset),
    TxnIndex(Offset),
    /// Producer state of everything below this offset.
    Snapshot(Offset),
    /// A `.log` file made ahead of its name, or a tail copied at open: `<base>.log.prepared`.
    Prepared(Offset),
    /// A whole file set aside by recovery: `<name>.cut`.
    Cut(Offset),
    /// Kafka's transient suffixes, on whatever file: skipped by readers, removed or completed by writers.
    Deleted,
    Cleaned,
    Swap,
    Temporary,
    LeaderEpochs,
    PartitionMetadata,
    /// `stratalog.facts`, `stratalog.segments`.
    Facts,
    SegmentList,
    /// A Kafka suffix and no number before it: a broker refuses to start on it.
    BadNumber,
    /// Left alone, and reported.
    Unknown,
}
impl FileName {
    pub(crate) fn parse(name: &str) -> Self {
        let _ = name;
        todo!()
    }
}
impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
    }
}

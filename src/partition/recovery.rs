//! Recovery as tables: chain, tail, derived files (the owner table stands in `directory/owner.rs`). Each row has a letter, a condition, an
//! action and the reason; each table is total, by test.
//!
//! Pure: facts in, a plan out. This module must never know what a file is; `open/` gathers the facts and does what the plan says.

use super::open::Owner;

/// One row of a table, in the words of the manual.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Row<Plan> {
    pub(crate) letter: char,
    pub(crate) when: &'static str,
    pub(crate) plan: Plan,
    pub(crate) action: &'static str,
    pub(crate) reason: &'static str,
}

/// The row of a plan. Each plan has exactly one, by test.
fn row_of<Plan: Copy + PartialEq, const N: usize>(rows: &[Row<Plan>; N], plan: Plan) -> Row<Plan> {
    *rows
        .iter()
        .find(|row| row.plan == plan)
        .expect("each plan has its row, by test")
}

// ---- the chain: which files are the log

/// One thing that the names, lengths and first bytes of the files say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChainFact {
    /// A file with a transient suffix of Kafka's.
    Transient(Transient),
    /// An index file without its log.
    StrayIndex,
    /// A `*.log.prepared`.
    Prepared(Prepared),
    /// Where the chain starts, held against the log start.
    First { first: FirstSegment, writer: Writer },
    /// Between two segments that stand side by side.
    Link(Link),
    /// Where the chain ends, held against the durable end and the log start.
    Last { end: LastOffset, writer: Writer },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transient {
    Deleted,
    Cleaned,
    /// A `.swap` at or above the lowest `.cleaned`.
    UnfinishedSwap,
    Swap,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Prepared {
    /// No byte, or zeros.
    Empty,
    /// Bytes that are no batch.
    NoBatch,
    /// Batches that all stand in the log.
    WithinTheLog,
    /// Batches of which some stand nowhere else.
    BeyondTheLog,
}

/// Whose facts the chain is held against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Writer {
    Ours,
    Adopted,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FirstSegment {
    /// There is none, and nothing says that there ever was a record.
    NoneExpected,
    /// There is none, and there should be.
    NoneLeft,
    AtOrBelowStart,
    AboveStart,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Link {
    Meets,
    /// A segment that was sealed between the two has no file.
    Lost,
    /// Offsets between them are missing that the lower one must have had, all below the durable end.
    HoleBelowDurable,
    /// The same above the durable end.
    HoleAboveDurable,
    /// The lower one has batches at or above the base of the higher one.
    Overlap,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LastOffset {
    AsExpected,
    BelowDurableEnd,
    BelowLogStart,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChainPlan {
    Remove,
    CompleteSwap,
    RemoveIndex,
    RemovePrepared,
    SetPreparedAside,
    RemoveCopy,
    RenamePrepared,
    StartEmpty,
    StartBehindLost,
    Believe,
    ReportMissing,
    EndLogThere,
    CutLower,
    GoOnAtDurableEnd,
    GoOnAtLogStart,
    IgnoreKnown,
}

pub(crate) const CHAIN_ROWS: [Row<ChainPlan>; 16] = [
    Row {
        letter: 'a',
        when: "*.deleted, *.cleaned, or a *.swap at or above the lowest *.cleaned",
        plan: ChainPlan::Remove,
        action: "removed",
        reason: "Kafka's compaction or retention was on its way; the files that count still stand",
    },
    Row {
        letter: 'b',
        when: "any other *.swap",
        plan: ChainPlan::CompleteSwap,
        action: "what it replaces is removed, then it gets its name",
        reason: "it was synced before its name was changed, so it is whole (KAFKA-12520)",
    },
    Row {
        letter: 'c',
        when: "an index without its log",
        plan: ChainPlan::RemoveIndex,
        action: "removed",
        reason: "an index is derived; without the log it says nothing",
    },
    Row {
        letter: 'd',
        when: "*.prepared without a byte that is not zero",
        plan: ChainPlan::RemovePrepared,
        action: "removed, after it was read",
        reason: "space that was made ahead and never used",
    },
    Row {
        letter: 'e',
        when: "*.prepared that does not start with a batch",
        plan: ChainPlan::SetPreparedAside,
        action: "renamed to *.cut, reported",
        reason: "nobody vouches for it, and nothing that has content is deleted unread",
    },
    Row {
        letter: 'f',
        when: "*.prepared whose batches all stand in the log",
        plan: ChainPlan::RemoveCopy,
        action: "removed",
        reason: "an unfinished copy of the tail: its source is cut only after the copy has its name",
    },
    Row {
        letter: 'g',
        when: "*.prepared with batches that stand nowhere else",
        plan: ChainPlan::RenamePrepared,
        action: "renamed to its base offset, and recovered",
        reason: "a rename whose directory was not synced can be lost in a power cut, with acknowledged records under the old name",
    },
    Row {
        letter: 'h',
        when: "no segment, and no record is known",
        plan: ChainPlan::StartEmpty,
        action: "an empty segment at the log start",
        reason: "creation was interrupted, or nothing was ever appended",
    },
    Row {
        letter: 'i',
        when: "no segment, and records are known to have been durable",
        plan: ChainPlan::StartBehindLost,
        action: "reported as missing; an empty segment at the durable end",
        reason: "offsets are never given twice, even when their records are lost",
    },
    Row {
        letter: 'j',
        when: "first segment at or below the log start; two segments that meet; the end as expected",
        plan: ChainPlan::Believe,
        action: "none",
        reason: "as a writer leaves it",
    },
    Row {
        letter: 'k',
        when: "first segment above the log start; a listed segment without a file; a hole below the durable end",
        plan: ChainPlan::ReportMissing,
        action: "reported as missing; readers get a gap",
        reason: "the start, the durable end and the list of segments are kept apart from the segments",
    },
    Row {
        letter: 'l',
        when: "a hole above the durable end",
        plan: ChainPlan::EndLogThere,
        action: "the log ends there; what lies behind is renamed to *.cut",
        reason: "pages reach the medium in any order: what was not synced is a prefix without holes",
    },
    Row {
        letter: 'm',
        when: "two segments overlap",
        plan: ChainPlan::CutLower,
        action: "the higher one wins; the lower one is cut at its base where the higher one starts with its very bytes",
        reason: "a crash between the rename of a copied tail and the cut of its source",
    },
    Row {
        letter: 'n',
        when: "the log ends below its durable end",
        plan: ChainPlan::GoOnAtDurableEnd,
        action: "reported as missing; a new segment starts at the durable end",
        reason: "a last segment, or a part of it, was lost; offsets are never given twice",
    },
    Row {
        letter: 'o',
        when: "the log ends below its start",
        plan: ChainPlan::GoOnAtLogStart,
        action: "a new segment starts at the log start",
        reason: "records were deleted up to a start that was synced before the records below it",
    },
    Row {
        letter: 'p',
        when: "somebody else's start or recovery point does not fit the segments",
        plan: ChainPlan::IgnoreKnown,
        action: "not believed; the segments decide, reported as adopted",
        reason: "those checkpoints have no checksum, and Kafka drops all records when one is too high",
    },
];

/// Asks the table.
pub(crate) fn chain_row(fact: ChainFact) -> Row<ChainPlan> {
    row_of(&CHAIN_ROWS, chain_plan(fact))
}

fn chain_plan(fact: ChainFact) -> ChainPlan {
    match fact {
        ChainFact::Transient(Transient::Swap) => ChainPlan::CompleteSwap,
        ChainFact::Transient(_) => ChainPlan::Remove,
        ChainFact::StrayIndex => ChainPlan::RemoveIndex,
        ChainFact::Prepared(Prepared::Empty) => ChainPlan::RemovePrepared,
        ChainFact::Prepared(Prepared::NoBatch) => ChainPlan::SetPreparedAside,
        ChainFact::Prepared(Prepared::WithinTheLog) => ChainPlan::RemoveCopy,
        ChainFact::Prepared(Prepared::BeyondTheLog) => ChainPlan::RenamePrepared,
        ChainFact::First { first, writer } => match (first, writer) {
            (FirstSegment::NoneExpected, _) => ChainPlan::StartEmpty,
            (FirstSegment::NoneLeft, Writer::Ours) => ChainPlan::StartBehindLost,
            (FirstSegment::NoneLeft, Writer::Adopted) => ChainPlan::StartEmpty,
            (FirstSegment::AtOrBelowStart, _) => ChainPlan::Believe,
            (FirstSegment::AboveStart, Writer::Ours) => ChainPlan::ReportMissing,
            (FirstSegment::AboveStart, Writer::Adopted) => ChainPlan::IgnoreKnown,
        },
        ChainFact::Link(Link::Meets) => ChainPlan::Believe,
        ChainFact::Link(Link::Lost | Link::HoleBelowDurable) => ChainPlan::ReportMissing,
        ChainFact::Link(Link::HoleAboveDurable) => ChainPlan::EndLogThere,
        ChainFact::Link(Link::Overlap) => ChainPlan::CutLower,
        ChainFact::Last { end, writer } => match (end, writer) {
            (LastOffset::AsExpected, _) => ChainPlan::Believe,
            (LastOffset::BelowDurableEnd, Writer::Ours) => ChainPlan::GoOnAtDurableEnd,
            (LastOffset::BelowLogStart, Writer::Ours) => ChainPlan::GoOnAtLogStart,
            (LastOffset::BelowDurableEnd | LastOffset::BelowLogStart, Writer::Adopted) => {
                ChainPlan::IgnoreKnown
            }
        },
    }
}

// ---- the tail: up to where the batches are the log

/// One thing that the tail says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TailFact {
    /// Before anything is read.
    Start { owner: Owner },
    /// Bytes that are no batch.
    Spot { place: SpotPlace },
    /// The log ends here: what must be done before it is shown.
    Shown {
        owner: Owner,
        boot: Boot,
        tail: Unsynced,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SpotPlace {
    AboveDurableEnd,
    /// Batches can be read behind it.
    BelowWithMore,
    /// Nothing of the segment can be read behind it.
    BelowToTheEnd,
}

/// Whether the page cache may still hold what the last writer left there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Boot {
    Same,
    Another,
    Unknown,
}

/// Whether records stand above the durable end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unsynced {
    Nothing,
    Records,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TailPlan {
    Trust,
    Scan,
    CutTorn,
    ServeGap,
    LoseRestOfSegment,
    Show,
    CopyThenShow,
    SyncThenShow,
    SyncAllThenShow,
}

pub(crate) const TAIL_ROWS: [Row<TailPlan>; 9] = [
    Row {
        letter: 'a',
        when: "the last writer closed the log",
        plan: TailPlan::Trust,
        action: "sizes and indexes are believed; the tail behind the last index entry is read",
        reason: "a clean close cuts, syncs and only then writes the marker",
    },
    Row {
        letter: 'b',
        when: "the last writer did not close the log",
        plan: TailPlan::Scan,
        action: "every segment from the one that holds the recovery point on is read, and its indexes are derived anew",
        reason: "below the recovery point everything was synced; above it nothing is known",
    },
    Row {
        letter: 'c',
        when: "bytes that are no batch, at or above the durable end",
        plan: TailPlan::CutTorn,
        action: "torn: the log ends there, whatever follows; it is cut and reported, later segments are renamed to *.cut",
        reason: "pages reach the medium in any order, so good batches behind a bad one are normal there, and nobody was told that they are durable",
    },
    Row {
        letter: 'd',
        when: "bytes that are no batch, below the durable end, and batches behind them",
        plan: TailPlan::ServeGap,
        action: "corrupt: nothing is cut; readers get a gap and go on",
        reason: "what was durable cannot be an unfinished write",
    },
    Row {
        letter: 'e',
        when: "the same, and nothing of the segment can be read behind them",
        plan: TailPlan::LoseRestOfSegment,
        action: "corrupt: nothing is cut; the log goes on with the next segment, or a new one at the durable end",
        reason: "an append behind the damage could never be read",
    },
    Row {
        letter: 'f',
        when: "closed, or no record above the durable end",
        plan: TailPlan::Show,
        action: "shown; where it was not closed and the boot may be the same, its end is synced first",
        reason: "it is durable; a truncation that was cut short may not be",
    },
    Row {
        letter: 'g',
        when: "ours, not closed, records above the durable end, and perhaps the same boot",
        plan: TailPlan::CopyThenShow,
        action: "they are copied to a new file, synced, renamed, the directory synced, the old file cut; then shown",
        reason: "after a failed sync the page cache shows records that the medium does not have, and a second sync answers ok",
    },
    Row {
        letter: 'h',
        when: "ours, not closed, records above the durable end, another boot",
        plan: TailPlan::SyncThenShow,
        action: "synced once, then shown",
        reason: "the page cache is gone: what is read is what the medium has",
    },
    Row {
        letter: 'i',
        when: "somebody else's, not closed",
        plan: TailPlan::SyncAllThenShow,
        action: "every file from the recovery point on and the directory are synced, then shown",
        reason: "nobody knows what was synced; failed syncs were another writer's",
    },
];

/// Asks the table.
pub(crate) fn tail_row(fact: TailFact) -> Row<TailPlan> {
    row_of(&TAIL_ROWS, tail_plan(fact))
}

fn tail_plan(fact: TailFact) -> TailPlan {
    match fact {
        TailFact::Start { owner } => match owner {
            Owner::OursClean | Owner::ForeignClean => TailPlan::Trust,
            Owner::Fresh | Owner::OursUnclean | Owner::ForeignUnclean => TailPlan::Scan,
        },
        TailFact::Spot { place } => match place {
            SpotPlace::AboveDurableEnd => TailPlan::CutTorn,
            SpotPlace::BelowWithMore => TailPlan::ServeGap,
            SpotPlace::BelowToTheEnd => TailPlan::LoseRestOfSegment,
        },
        TailFact::Shown { owner, boot, tail } => match (owner, tail, boot) {
            (Owner::OursClean | Owner::ForeignClean, _, _) => TailPlan::Show,
            (Owner::ForeignUnclean, _, _) => TailPlan::SyncAllThenShow,
            (Owner::Fresh | Owner::OursUnclean, Unsynced::Nothing, _) => TailPlan::Show,
            (Owner::Fresh | Owner::OursUnclean, Unsynced::Records, Boot::Another) => {
                TailPlan::SyncThenShow
            }
            (Owner::Fresh | Owner::OursUnclean, Unsynced::Records, Boot::Same | Boot::Unknown) => {
                TailPlan::CopyThenShow
            }
        },
    }
}

// ---- derived files

/// A file that can be derived from the log, and how it was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DerivedFact {
    pub(crate) file: DerivedFile,
    pub(crate) state: FileState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DerivedFile {
    /// `.index` or `.timeindex`.
    Index,
    TxnIndex,
    Snapshot,
    LeaderEpochs,
    Facts,
    SegmentList,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileState {
    Good,
    Missing,
    Damaged,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DerivedPlan {
    Keep,
    DeriveIndexes,
    ReplayFromOlder,
    DeriveEpochs,
    DeriveFacts,
    LoseChecks,
}

pub(crate) const DERIVED_ROWS: [Row<DerivedPlan>; 6] = [
    Row {
        letter: 'a',
        when: "a derived file is good; a .txnindex is missing",
        plan: DerivedPlan::Keep,
        action: "none",
        reason: "no .txnindex means that no transaction was aborted in the segment",
    },
    Row {
        letter: 'b',
        when: "an .index or .timeindex is missing or does not fit; a .txnindex does not fit",
        plan: DerivedPlan::DeriveIndexes,
        action: "derived anew from the segment, reported",
        reason: "an index is never evidence: the log decides",
    },
    Row {
        letter: 'c',
        when: "the producer snapshot at the end is missing or damaged",
        plan: DerivedPlan::ReplayFromOlder,
        action: "the newest good one below is taken, and the batches above it are replayed",
        reason: "producer state is a fold over batches",
    },
    Row {
        letter: 'd',
        when: "leader-epoch-checkpoint is missing, damaged, or not as it was last written",
        plan: DerivedPlan::DeriveEpochs,
        action: "derived from the epochs that the batches carry, reported",
        reason: "Kafka takes the whole directory offline; the batches know",
    },
    Row {
        letter: 'e',
        when: "stratalog.facts is missing, or both slots are damaged",
        plan: DerivedPlan::DeriveFacts,
        action: "drawn anew: start and recovery point from Kafka's checkpoints, or the first segment",
        reason: "absence is never damage; torn and corrupt cannot be told apart for this one open",
    },
    Row {
        letter: 'f',
        when: "stratalog.segments is missing, or an entry is bad",
        plan: DerivedPlan::LoseChecks,
        action: "the good entries are kept",
        reason: "an entry costs only its check",
    },
];

/// Asks the table.
pub(crate) fn derived_row(fact: DerivedFact) -> Row<DerivedPlan> {
    row_of(&DERIVED_ROWS, derived_plan(fact))
}

fn derived_plan(fact: DerivedFact) -> DerivedPlan {
    use FileState::{Damaged, Good, Missing};
    match (fact.file, fact.state) {
        (_, Good) | (DerivedFile::TxnIndex, Missing) => DerivedPlan::Keep,
        (DerivedFile::Index, Missing | Damaged) | (DerivedFile::TxnIndex, Damaged) => {
            DerivedPlan::DeriveIndexes
        }
        (DerivedFile::Snapshot, Missing | Damaged) => DerivedPlan::ReplayFromOlder,
        (DerivedFile::LeaderEpochs, Missing | Damaged) => DerivedPlan::DeriveEpochs,
        (DerivedFile::Facts, Missing | Damaged) => DerivedPlan::DeriveFacts,
        (DerivedFile::SegmentList, Missing | Damaged) => DerivedPlan::LoseChecks,
    }
}

#[cfg(test)]
mod tests;

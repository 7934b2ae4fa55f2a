//! Open and decided transactions, and what they hold back.

use std::collections::BTreeMap;

use crate::ids::ProducerId;
use crate::offset::Offset;

/// The transactions of a partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Transactions {
    /// First offset of each open one; a producer has at most one.
    open: BTreeMap<ProducerId, Offset>,
    /// Decided ones whose marker the high watermark may not have passed, by first offset.
    decided: BTreeMap<Offset, Decided>,
}

/// A transaction that a marker ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Decided {
    pub(super) first: Offset,
    pub(super) marker: Offset,
}

impl Transactions {
    /// A batch of a transaction; only the first one begins it.
    pub(super) fn begin(&mut self, producer: ProducerId, first: Offset) {
        self.open.entry(producer).or_insert(first);
    }

    /// A marker ends the producer's transaction; `None` when it has none open.
    pub(super) fn decide(&mut self, producer: ProducerId, marker: Offset) -> Option<Decided> {
        let first = self.open.remove(&producer)?;
        let decided = Decided { first, marker };
        self.decided.insert(first, decided);
        Some(decided)
    }

    pub(super) fn first_of(&self, producer: ProducerId) -> Option<Offset> {
        self.open.get(&producer).copied()
    }

    pub(super) fn oldest_open(&self) -> Option<Offset> {
        self.open.values().min().copied()
    }

    pub(super) fn first_unstable(&self, high: Offset) -> Option<Offset> {
        let decided = self
            .decided
            .values()
            .find(|decided| decided.marker >= high)
            .map(|decided| decided.first);
        self.oldest_open().into_iter().chain(decided).min()
    }

    pub(super) fn forget_decided_below(&mut self, high: Offset) {
        self.decided.retain(|_, decided| decided.marker >= high);
    }
}

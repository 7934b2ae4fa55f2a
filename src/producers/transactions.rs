//! Open and decided transactions, and what they hold back.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ids::ProducerId;
use crate::offset::Offset;

/// The transactions of a partition. Every append asks for the first unstable offset, so none of this is ever walked.
#[derive(Clone, Debug, Default)]
pub(super) struct Transactions {
    /// First offset of each open one; a producer has at most one.
    open: BTreeMap<ProducerId, Offset>,
    /// The same by first offset.
    open_by_first: BTreeSet<(Offset, ProducerId)>,
    /// Decided ones whose marker the high watermark may not have passed, without those that another one outlasts: first offsets ascend,
    /// and so do markers. With (first 3, marker 9) and then (first 1, marker 12) the former never matters again.
    decided: VecDeque<Decided>,
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
        if let Entry::Vacant(place) = self.open.entry(producer) {
            place.insert(first);
            self.open_by_first.insert((first, producer));
        }
    }

    /// A marker ends the producer's transaction; `None` when it has none open. Markers come in the order of the log.
    pub(super) fn decide(&mut self, producer: ProducerId, marker: Offset) -> Option<Decided> {
        let first = self.open.remove(&producer)?;
        self.open_by_first.remove(&(first, producer));
        while self.decided.back().is_some_and(|last| last.first >= first) {
            self.decided.pop_back();
        }
        let decided = Decided { first, marker };
        self.decided.push_back(decided);
        Some(decided)
    }

    pub(super) fn first_of(&self, producer: ProducerId) -> Option<Offset> {
        self.open.get(&producer).copied()
    }

    pub(super) fn oldest_open(&self) -> Option<Offset> {
        self.open_by_first.first().map(|(first, _)| *first)
    }

    pub(super) fn first_unstable(&self, high: Offset) -> Option<Offset> {
        let passed = self
            .decided
            .partition_point(|decided| decided.marker < high);
        let decided = self.decided.get(passed).map(|decided| decided.first);
        self.oldest_open().into_iter().chain(decided).min()
    }

    pub(super) fn forget_decided_below(&mut self, high: Offset) {
        while self
            .decided
            .front()
            .is_some_and(|first| first.marker < high)
        {
            self.decided.pop_front();
        }
    }
}

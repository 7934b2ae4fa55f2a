//! What was promised to whom appended: kept while a scenario runs, held against what is read after it.

use std::collections::{BTreeMap, BTreeSet};

/// All that a reader sees.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) records: Vec<(u64, Vec<u8>)>,
    pub(super) epochs: Vec<(i32, u64)>,
}

/// What happened before it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum After {
    Nothing,
    Kill,
    PowerCut,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    /// What was acknowledged, by offset.
    acknowledged: BTreeMap<u64, Vec<u8>>,
    /// What was tried and failed, or cut away by a truncation that failed: it may be there, whole, or not.
    tried: BTreeSet<Vec<u8>>,
    /// Offsets that no cursor shows: markers, and what was never filled.
    hidden: BTreeSet<u64>,
    durable: u64,
    start_least: u64,
    start_most: u64,
    /// A truncation to here is on its way, or failed.
    cut: Option<u64>,
    /// The last epoch whose beginning was acknowledged.
    epoch: i32,
    epoch_from: u64,
}

impl Book {
    pub(super) fn acknowledge(&mut self, offset: u64, value: Vec<u8>) {
        // What a failed truncation had put in doubt and was written over is gone.
        if self.cut.is_some_and(|cut| offset >= cut) {
            let above = self.acknowledged.split_off(&offset);
            self.tried.extend(above.into_values());
        }
        self.acknowledged.insert(offset, value);
    }

    pub(super) fn hide(&mut self, offsets: std::ops::Range<u64>) {
        self.hidden.extend(offsets);
    }

    pub(super) fn try_value(&mut self, value: Vec<u8>) {
        self.tried.insert(value);
    }

    pub(super) fn durable_to(&mut self, durable: u64) {
        let durable = durable.min(self.cut.unwrap_or(u64::MAX));
        self.durable = self.durable.max(durable);
    }

    pub(super) fn deleting_before(&mut self, offset: u64) {
        self.start_most = self.start_most.max(offset);
    }

    pub(super) fn deleted_before(&mut self, offset: u64) {
        self.start_least = offset;
    }

    pub(super) fn cutting(&mut self, offset: u64) {
        self.cut = Some(self.cut.map_or(offset, |cut| cut.min(offset)));
        self.durable = self.durable.min(offset);
    }

    pub(super) fn cut_to(&mut self, offset: u64) {
        self.acknowledged.split_off(&offset);
        self.tried.clear();
        self.cut = None;
    }

    /// All that is there goes, and the log starts anew at `offset`.
    pub(super) fn resetting(&mut self, offset: u64) {
        self.cutting(self.start_least);
        self.start_most = self.start_most.max(offset);
    }

    pub(super) fn reset(&mut self, offset: u64) {
        self.cut_to(0);
        self.durable = offset;
        (self.start_least, self.start_most) = (offset, offset);
    }

    pub(super) fn epoch_begun(&mut self, epoch: i32, from: u64) {
        (self.epoch, self.epoch_from) = (epoch, from);
    }

    /// What a reopen showed stays.
    pub(super) fn adopt(&mut self, found: &Found) {
        let before = std::mem::replace(
            &mut self.acknowledged,
            found.records.iter().cloned().collect(),
        );
        self.tried.clear();
        // What a truncation cut whose sync failed may come back.
        if self.cut.take().is_some() {
            self.tried.extend(before.into_values());
        }
        (self.start_least, self.start_most) = (found.start, found.start);
        self.durable = found.end;
        let shown: BTreeSet<u64> = found.records.iter().map(|(offset, _)| *offset).collect();
        self.hidden = (found.start..found.end)
            .filter(|o| !shown.contains(o))
            .collect();
    }

    pub(super) fn check(&self, found: &Found, after: After) {
        assert!(
            (self.start_least..=self.start_most).contains(&found.start),
            "{after:?}: it starts at {}, not in {}..={}",
            found.start,
            self.start_least,
            self.start_most
        );
        let shown: BTreeMap<u64, &Vec<u8>> = found
            .records
            .iter()
            .map(|(offset, value)| (*offset, value))
            .collect();
        let limit = match after {
            After::PowerCut => self.durable,
            After::Nothing | After::Kill => u64::MAX,
        };
        let limit = match self.cut {
            // A truncation that failed shows what certainly stays.
            Some(cut) if after == After::Nothing => limit.min(cut).min(found.end),
            Some(cut) => limit.min(cut),
            None => limit,
        };
        for (offset, value) in self.acknowledged.range(found.start..limit.max(found.start)) {
            assert!(
                shown.get(offset) == Some(&value),
                "{after:?}: the record at {offset} is lost; durable {}, found {}..{} with {:?}",
                self.durable,
                found.start,
                found.end,
                shown.keys()
            );
        }
        for (offset, value) in &shown {
            let is_known =
                self.acknowledged.get(offset) == Some(*value) || self.tried.contains(*value);
            assert!(
                is_known,
                "{after:?}: nobody appended the record at {offset}"
            );
        }
        let first_shown = shown.keys().next().copied().unwrap_or(found.end);
        for offset in first_shown.min(found.end)..found.end {
            let is_there = shown.contains_key(&offset) || self.hidden.contains(&offset);
            assert!(
                is_there,
                "{after:?}: a hole at {offset} before {}",
                found.end
            );
        }
        let epoch = found.epochs.last().map_or(0, |(epoch, _)| *epoch);
        // One that begins behind the end is cut with what was lost.
        let is_within = (found.start..=found.end).contains(&self.epoch_from);
        assert!(
            epoch >= self.epoch || !is_within,
            "{after:?}: epoch {} is lost",
            self.epoch
        );
    }
}

//! What a partition is, in a hundred lines: records with offsets, a start, an end, epochs.

use std::ops::Range;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) at_ms: i64,
    pub(super) value: Vec<u8>,
    /// The first offset of its batch.
    pub(super) base: u64,
    pub(super) epoch: i32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Reference {
    /// Never forgotten below the start.
    pub(super) entries: Vec<Entry>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) durable: u64,
    pub(super) epoch: i32,
    /// Epochs that have begun and were not cut, each with its first offset.
    pub(super) begun: Vec<(i32, u64)>,
}

impl Reference {
    pub(super) fn append(&mut self, values: Vec<(i64, Vec<u8>)>) -> Range<u64> {
        let base = self.end;
        for (at_ms, value) in values {
            self.entries.push(Entry {
                offset: self.end,
                at_ms,
                value,
                base,
                epoch: self.epoch,
            });
            self.end += 1;
        }
        base..self.end
    }

    /// Batches are cut as a whole. The new end.
    pub(super) fn truncate(&mut self, offset: u64) -> u64 {
        let holder = self.entries.iter().find(|entry| entry.offset >= offset);
        let cut = holder.map_or(self.end, |entry| entry.base).min(self.end);
        self.cut(cut.max(self.start));
        self.end
    }

    /// The tail from `end` on is gone.
    pub(super) fn cut(&mut self, end: u64) {
        self.entries.retain(|entry| entry.offset < end);
        self.begun.retain(|(_, from)| *from < end);
        self.end = end;
        self.durable = self.durable.min(end);
    }

    pub(super) fn delete_before(&mut self, offset: u64) {
        self.start = self.start.max(offset);
        self.durable = self.durable.max(self.start);
    }

    pub(super) fn begin_epoch(&mut self) -> i32 {
        self.epoch += 1;
        self.begun.push((self.epoch, self.end));
        self.epoch
    }

    /// What a reader sees from `offset` on.
    pub(super) fn from(&self, offset: u64) -> &[Entry] {
        let from = offset.max(self.start);
        let before = self.entries.iter().take_while(|entry| entry.offset < from);
        &self.entries[before.count()..]
    }

    /// The first record that is not older.
    pub(super) fn first_at(&self, at_ms: i64) -> Option<u64> {
        let visible = self.from(self.start).iter();
        visible
            .into_iter()
            .find(|entry| entry.at_ms >= at_ms)
            .map(|entry| entry.offset)
    }

    pub(super) fn get(&self, offset: u64) -> Option<&Entry> {
        self.from(self.start)
            .iter()
            .find(|entry| entry.offset == offset)
    }

    /// The offset that lies so many thousandths between start and end, or a little behind it.
    pub(super) fn at_part(&self, part: u64) -> u64 {
        self.start + (self.end - self.start) * part / 1000
    }

    /// So far from the oldest time to the newest.
    pub(super) fn time_at_part(&self, part: u64) -> i64 {
        let times = || self.entries.iter().map(|entry| entry.at_ms);
        let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
        first + (last - first) * part as i64 / 1000
    }
}

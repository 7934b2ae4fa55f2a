//! What a log must hold after a crash, in as few words as possible: batches, and how far each promise reaches.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use stratalog::Timestamp;

/// A batch as it was sent; two are the same when everything that a reader can tell apart is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sent {
    pub(crate) base: u64,
    pub(crate) epoch: i32,
    /// The time of all its records.
    pub(crate) at: Timestamp,
    pub(crate) values: Vec<Vec<u8>>,
    pub(crate) producer: Option<Stamp>,
}

/// Who sent a batch, for idempotent and transactional producers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    pub(crate) id: i64,
    pub(crate) first_sequence: i32,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Idempotent,
    Transactional,
    Commit,
    Abort,
}

impl Kind {
    pub(crate) fn is_marker(self) -> bool {
        matches!(self, Self::Commit | Self::Abort)
    }
}

impl Sent {
    pub(crate) fn end(&self) -> u64 {
        self.base + self.values.len() as u64
    }

    pub(crate) fn is_marker(&self) -> bool {
        self.producer.is_some_and(|stamp| stamp.kind.is_marker())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) has_topic: bool,
    /// What was acknowledged and not cut by its owner, the oldest first; never forgotten below the log start.
    pub(crate) batches: Vec<Arc<Sent>>,
    /// What failed: one of them may stand, whole, behind a prefix of `batches`.
    pub(crate) tried: Vec<Arc<Sent>>,
    /// A killed process leaves everything below.
    pub(crate) kept: u64,
    /// A power cut leaves everything below.
    pub(crate) durable: u64,
    /// The log starts here or above,
    pub(crate) start: u64,
    /// and here or below.
    pub(crate) start_most: u64,
    /// Where the next append goes.
    pub(crate) at: u64,
    /// A truncation was begun, and did not end.
    pub(crate) is_cutting: bool,
    /// A sync failed: what a truncation cut may come back even after a reopen did not show it any more.
    pub(crate) has_failed_sync: bool,
    /// How often the tail was cut.
    pub(crate) truncations: u64,
    /// The epoch of appends.
    pub(crate) epoch: i32,
    /// Epochs that have begun, each with the log end of that moment.
    pub(crate) epochs: Vec<(i32, u64)>,
}

/// What a reopened log holds.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) batches: Vec<Sent>,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) high: u64,
    pub(crate) durable: u64,
    pub(crate) last_stable: u64,
    pub(crate) epochs: Vec<(i32, u64)>,
    /// Each producer with the sequences and offsets of its last batch.
    pub(crate) producers: BTreeMap<i64, Option<Last>>,
    /// Producer, first and last offset.
    pub(crate) aborted: Vec<(i64, u64, u64)>,
    /// What cursors show, by `End` and by `LastStable`.
    pub(crate) shown: Vec<(u64, Vec<u8>)>,
    pub(crate) committed: Vec<(u64, Vec<u8>)>,
}

impl Found {
    /// Without the last batch, as if it had not been appended yet.
    pub(crate) fn forget_last(&mut self) -> Sent {
        let last = self.batches.pop().expect("one was appended");
        self.end = last.base;
        (self.high, self.durable, self.last_stable) = (
            self.high.min(self.end),
            self.durable.min(self.end),
            self.last_stable.min(self.end),
        );
        let is_before = |record: &(u64, Vec<u8>)| record.0 < last.base;
        self.shown.retain(is_before);
        self.committed.retain(is_before);
        last
    }
}

/// When a log is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// Right after it was opened: all that it shows is durable.
    Reopened,
    /// Right after the copy of its tail found room.
    CopyDone,
    /// In the middle of its life: all that was acknowledged is there, and nothing else.
    Running,
    /// Writing has stopped: what the failed append wrote may be there, too.
    Stopped,
}

/// The last batch of a producer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Last {
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) first_offset: u64,
    pub(crate) last_offset: u64,
}

/// What follows from batches: producers and transactions.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    pub(crate) last: BTreeMap<i64, Last>,
    pub(crate) open: BTreeMap<i64, u64>,
    pub(crate) aborted: Vec<(i64, u64, u64)>,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            has_topic: false,
            batches: Vec::new(),
            tried: Vec::new(),
            kept: 0,
            durable: 0,
            start: 0,
            start_most: 0,
            at: 0,
            is_cutting: false,
            has_failed_sync: false,
            truncations: 0,
            epoch: 0,
            epochs: Vec::new(),
        }
    }

    /// The base of the batch that holds `offset`: where a truncation to it ends the log.
    pub(crate) fn cut_at(&self, offset: u64) -> u64 {
        let holder = self.batches.iter().find(|batch| offset < batch.end());
        holder
            .map_or(offset, |batch| batch.base.min(offset))
            .max(self.start)
    }

    pub(crate) fn acknowledge(&mut self, sent: Sent) {
        self.batches.retain(|batch| batch.end() <= sent.base);
        self.tried.clear();
        self.is_cutting = false;
        (self.kept, self.at) = (sent.end(), sent.end());
        self.batches.push(Arc::new(sent));
    }

    /// A truncation to `end` is on its way: what lies above may be there or not.
    pub(crate) fn truncating(&mut self, end: u64) {
        self.kept = self.kept.min(end);
        self.durable = self.durable.min(end);
        self.truncations += 1;
        self.is_cutting = true;
    }

    pub(crate) fn truncated(&mut self, end: u64) {
        self.truncating(end);
        self.batches.retain(|batch| batch.end() <= end);
        self.tried.clear();
        self.epochs.retain(|(_, from)| *from < end);
        (self.kept, self.durable, self.at) = (end, end, end);
        self.is_cutting = false;
    }

    /// A reopen showed this: it stays.
    pub(crate) fn adopt(&mut self, found: &Found) {
        let mut before = std::mem::take(&mut self.batches);
        let above: Vec<_> = (before.iter())
            .filter(|batch| batch.base >= found.end)
            .cloned()
            .collect();
        before.retain(|batch| batch.end() <= found.start);
        self.batches = before;
        let shown = found.batches.iter().cloned().map(Arc::new);
        self.batches.extend(shown);
        self.is_cutting &= self.has_failed_sync;
        if self.is_cutting {
            self.batches.extend(above);
        }
        self.tried.clear();
        (self.kept, self.durable, self.at) = (found.end, found.end, found.end);
        (self.start, self.start_most) = (found.start, found.start);
        self.epoch = found.epochs.last().map_or(0, |(epoch, _)| *epoch);
        // One that never began is only known from batches.
        let promised = std::mem::take(&mut self.epochs);
        let begun = found.epochs.iter().copied();
        self.epochs = begun
            .filter(|entry| entry.1 < found.end || promised.contains(entry))
            .collect();
    }

    /// The start is there, and that lasts.
    pub(crate) fn started_at(&mut self, start: u64) {
        self.start = start;
        self.kept = self.kept.max(start);
        self.durable = self.durable.max(start);
    }

    /// The time of the newest record with one of these offsets.
    pub(crate) fn newest_in(&self, offsets: Range<u64>) -> Option<Timestamp> {
        let is_in = |batch: &&Arc<Sent>| batch.base < offsets.end && offsets.start < batch.end();
        let newest = self
            .batches
            .iter()
            .filter(is_in)
            .map(|batch| batch.at)
            .max();
        // Nothing but what a failed append has left.
        newest.or_else(|| self.tried.iter().filter(is_in).map(|batch| batch.at).min())
    }

    /// Of what stands: a batch above the end was cut, and may only come back.
    pub(crate) fn fold(&self) -> Folded {
        let standing = self.batches.iter().filter(|batch| batch.end() <= self.at);
        fold(standing.map(|batch| &**batch))
    }

    /// Holds what was found against the promises; everything below `must` has to be there. The message says what is wrong.
    pub(crate) fn check(&self, found: &Found, must: u64, moment: Moment) -> Result<(), String> {
        let require = |holds: bool, what: &str| match holds {
            true => Ok(()),
            false => Err(format!("{what}; must reach {must}")),
        };
        require(
            (self.start..=self.start_most).contains(&found.start),
            &format!(
                "starts at {}, not in {}..={}",
                found.start, self.start, self.start_most
            ),
        )?;
        require(
            found.end >= must.max(found.start),
            &format!("ends at {}", found.end),
        )?;
        let below = (self.batches.iter()).take_while(|batch| batch.end() <= found.start);
        let expected = &self.batches[below.count()..];
        let mut next = None;
        for (number, sent) in found.batches.iter().enumerate() {
            let is_next = next.is_none_or(|next| next == sent.base);
            require(is_next, &format!("a hole before {}", sent.base))?;
            next = Some(sent.end());
            let is_last = number + 1 == found.batches.len();
            let is_acknowledged = expected.get(number).is_some_and(|batch| **batch == *sent);
            let may_be_tried = is_last && moment != Moment::Running;
            let is_tried = may_be_tried && self.tried.iter().any(|tried| **tried == *sent);
            require(
                is_acknowledged || is_tried,
                &format!(
                    "other bytes at {}: {:?} in place of {:?}",
                    sent.base,
                    sent,
                    expected.get(number)
                ),
            )?;
        }
        let reached = next.unwrap_or(found.start);
        require(
            reached == found.end,
            &format!("batches reach {reached}, not {}", found.end),
        )?;
        require(
            found.durable == found.end || moment != Moment::Reopened,
            &format!(
                "shows up to {}, of which durable {}",
                found.end, found.durable
            ),
        )?;
        if self.is_cutting && moment != Moment::Reopened || moment == Moment::Stopped {
            // What failed half-way has stopped the partition: nothing is derived until it is opened again.
            return Ok(());
        }
        self.check_derived(found).map_err(|what| {
            format!(
                "{what}; found {}..{}, must reach {must}",
                found.start, found.end
            )
        })
    }

    /// Producers, transactions, epochs and cursors say the same as the batches.
    fn check_derived(&self, found: &Found) -> Result<(), String> {
        let is_older = |batch: &&Arc<Sent>| batch.end() <= found.start;
        let older = self.batches.iter().take_while(is_older);
        let older = older.map(|batch| &**batch).chain(&found.batches);
        let folded = fold(older.clone());
        for (id, last) in &folded.last {
            let known = found.producers.get(id);
            // One whose batches are all below the log start may be forgotten, but never mistaken.
            let is_forgotten = known.is_none_or(Option::is_none) && last.first_offset < found.start;
            if known != Some(&Some(*last)) && !is_forgotten {
                return Err(format!("producer {id}: {known:?} in place of {last:?}"));
            }
        }
        // A transaction is open until its end is below the high watermark.
        let below_high = older.filter(|batch| batch.end() <= found.high);
        let open = fold(below_high).open;
        let first_open = open.values().min().copied();
        let first_open = first_open.map_or(found.high, |first| first.min(found.high));
        // What is left of a transaction that begins below the log start counts as it is seen.
        let is_cut = open.values().any(|from| *from < found.start);
        let stable = found.last_stable;
        if stable != first_open.max(found.start) && !(is_cut && stable >= found.start) {
            return Err(format!(
                "last stable offset {stable}, not {first_open}: {:?}",
                folded.open
            ));
        }
        for entry in folded.aborted.iter().filter(|entry| entry.1 >= found.start) {
            if !found.aborted.contains(entry) {
                return Err(format!(
                    "aborted transaction {entry:?} is not in {:?}",
                    found.aborted
                ));
            }
        }
        let is_known = |(id, _, last): &(i64, u64, u64)| {
            (folded.aborted.iter()).any(|entry| entry.0 == *id && entry.2 == *last)
        };
        if let Some(unknown) = found.aborted.iter().find(|entry| !is_known(entry)) {
            return Err(format!("aborted transaction {unknown:?} never was"));
        }
        self.check_epochs(found)?;
        check_cursors(found, &folded)
    }

    fn check_epochs(&self, found: &Found) -> Result<(), String> {
        for (epoch, from) in &self.epochs {
            let known = found.epochs.iter().any(|(e, _)| e >= epoch);
            // A truncation to where it begins forgets it.
            let may_be_cut = self.is_cutting && *from >= self.kept;
            if (found.start..=found.end).contains(from) && !known && !may_be_cut {
                return Err(format!(
                    "epoch {epoch}, begun at {from}, is not in {:?}",
                    found.epochs
                ));
            }
        }
        for batch in &found.batches {
            let at = batch.base.max(found.start);
            let entry = found.epochs.iter().rfind(|(_, from)| *from <= at);
            if entry.map(|(epoch, _)| *epoch) != Some(batch.epoch) {
                return Err(format!(
                    "offset {at} is of epoch {}, not {entry:?}",
                    batch.epoch
                ));
            }
        }
        Ok(())
    }
}

/// Cursors show each record of the batches from the log start on; those of committed records leave out what was aborted.
fn check_cursors(found: &Found, folded: &Folded) -> Result<(), String> {
    let is_aborted = |batch: &Sent| {
        (batch.producer).is_some_and(|stamp| {
            stamp.kind == Kind::Transactional
                && (folded.aborted.iter()).any(|(id, first, last)| {
                    *id == stamp.id && (*first..=*last).contains(&batch.base)
                })
        })
    };
    let records = |keep: &dyn Fn(&Sent) -> bool| -> Vec<(u64, Vec<u8>)> {
        let batches = found.batches.iter().filter(|batch| keep(batch));
        batches
            .flat_map(|batch| (batch.base..).zip(batch.values.iter().cloned()))
            .filter(|(offset, _)| *offset >= found.start)
            .collect()
    };
    let all = records(&|batch| !batch.is_marker());
    if found.shown != all {
        return Err(format!(
            "a cursor shows {} records of {}",
            found.shown.len(),
            all.len()
        ));
    }
    let committed = records(&|batch| {
        !batch.is_marker() && batch.end() <= found.last_stable && !is_aborted(batch)
    });
    if found.committed != committed {
        let offsets = |records: &[(u64, Vec<u8>)]| records.iter().map(|r| r.0).collect::<Vec<_>>();
        return Err(format!(
            "a cursor of committed records shows {:?}, not {:?}; stable {}",
            offsets(&found.committed),
            offsets(&committed),
            found.last_stable
        ));
    }
    Ok(())
}

fn fold<'b>(batches: impl Iterator<Item = &'b Sent>) -> Folded {
    let mut folded = Folded::default();
    for batch in batches {
        let Some(stamp) = batch.producer else {
            continue;
        };
        if stamp.kind.is_marker() {
            if let Some(first) = folded.open.remove(&stamp.id)
                && stamp.kind == Kind::Abort
            {
                folded.aborted.push((stamp.id, first, batch.base));
            }
            continue;
        }
        if stamp.kind == Kind::Transactional {
            folded.open.entry(stamp.id).or_insert(batch.base);
        }
        let last = Last {
            first_sequence: stamp.first_sequence,
            last_sequence: stamp.first_sequence + batch.values.len() as i32 - 1,
            first_offset: batch.base,
            last_offset: batch.end() - 1,
        };
        folded.last.insert(stamp.id, last);
    }
    folded
}

//! The comparison: everything that is read against everything that was acknowledged or shown before.

use std::collections::{BTreeMap, HashMap};

use super::value::Identity;

/// How many findings are told in words; the rest is counted.
const TOLD: usize = 20;

/// What a read of a whole partition gave, in the order in which it came.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Offset and whose record it is; `None` where the value is nobody's.
    pub(crate) records: Vec<(u64, Option<Identity>)>,
    /// Ranges that the library itself reported as unreadable.
    pub(crate) gaps: Vec<(u64, u64)>,
}

/// What the child said of one partition, read before it was killed.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) acknowledged: BTreeMap<u64, Identity>,
    pub(crate) durable: u64,
}

/// Sums over all rounds and partitions.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Records that had to be there, and were held against what was read.
    pub(crate) compared: u64,
    /// Acknowledged or shown, and not there.
    pub(crate) lost: u64,
    /// There, and not what was written at that offset: changed, swapped, doubled, never written, back from the dead.
    pub(crate) wrong: u64,
    /// Of those, the ones of which the library said nothing.
    pub(crate) silent: u64,
    /// Promises broken otherwise: a second writer let in, a reader that waits, writing that does not resume.
    pub(crate) other: u64,
    /// Told in words, the first few.
    pub(crate) told: Vec<String>,
}

impl Tally {
    pub(crate) fn is_broken(&self) -> bool {
        self.lost + self.wrong + self.other > 0
    }

    /// A promise that is about more than records.
    pub(crate) fn broken(&mut self, row: u8, words: String) {
        self.other += 1;
        self.tell(row, words);
    }

    fn lost(&mut self, is_told: bool, row: u8, words: String) {
        self.lost += 1;
        self.silent += u64::from(!is_told);
        self.tell(row, words);
    }

    fn wrong(&mut self, row: u8, words: String) {
        self.wrong += 1;
        self.silent += 1;
        self.tell(row, words);
    }

    fn tell(&mut self, row: u8, words: String) {
        if self.told.len() < TOLD {
            self.told.push(format!("promise {row}: {words}"));
        }
    }
}

/// What one partition must show.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// What the last comparison was shown, from `start` on; shown records stay.
    start: u64,
    shown: Vec<Option<Identity>>,
    /// Up to here the test itself trimmed.
    trimmed: u64,
}

impl Judge {
    pub(crate) fn end(&self) -> u64 {
        self.start + self.shown.len() as u64
    }

    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The test deleted records up to `offset`, or asked for it.
    pub(crate) fn trimmed_to(&mut self, offset: u64) {
        self.trimmed = self.trimmed.max(offset);
    }

    /// The test cut the tail at `end`.
    pub(crate) fn truncated_to(&mut self, end: u64) {
        let kept = end.saturating_sub(self.start);
        self.shown
            .truncate(usize::try_from(kept).unwrap_or(usize::MAX));
    }

    /// Holds what is found after `round` against what was shown before it and acknowledged in it.
    pub(crate) fn compare(
        &mut self,
        round: u32,
        said: &Said,
        found: &Found,
        drops_by_itself: bool,
        tally: &mut Tally,
    ) {
        let may_start_at = if drops_by_itself {
            found.start
        } else {
            self.trimmed.max(self.start)
        };
        let read: BTreeMap<u64, Option<Identity>> = found.records.iter().copied().collect();
        self.order(found, tally);
        let mut next_of_streams = HashMap::new();
        let (shown_end, acknowledged_end) = (
            self.end(),
            said.acknowledged
                .last_key_value()
                .map_or(0, |(last, _)| last + 1),
        );
        let end = shown_end.max(acknowledged_end).max(found.end);
        for offset in self.start..end {
            let is_told = found
                .gaps
                .iter()
                .any(|&(from, to)| (from..to).contains(&offset));
            let expected = match self.shown_at(offset) {
                Some(shown) => Some((5, shown)),
                None => said
                    .acknowledged
                    .get(&offset)
                    .map(|&identity| (1, Some(identity))),
            };
            match (expected, read.get(&offset)) {
                // What nobody could tell before is counted once.
                (Some((_, None)), _) => {}
                (Some(_), None) if offset < may_start_at => {}
                (Some((row, Some(identity))), None) => tally.lost(
                    is_told,
                    row,
                    format!("offset {offset} ({identity:?}) is gone"),
                ),
                (Some((row, Some(identity))), Some(&there)) => {
                    tally.compared += 1;
                    if there != Some(identity) {
                        let words =
                            format!("offset {offset} has {there:?} in place of {identity:?}");
                        tally.wrong(row, words);
                    }
                }
                (None, Some(None)) => {
                    tally.wrong(3, format!("offset {offset} has a value that nobody wrote"));
                }
                (None, None) if offset < found.end && !is_told => {
                    tally.wrong(3, format!("offset {offset} is a hole"));
                }
                (None, _) => {}
            }
            // Where a record is lost or wrong, the stream goes on behind the one that should be there.
            let told = said.acknowledged.get(&offset).copied();
            if offset >= shown_end
                && let Some(identity) = told.or(read.get(&offset).copied().flatten())
            {
                check_stream(round, offset, identity, &mut next_of_streams, tally);
            }
        }
        if said.durable > found.end.max(acknowledged_end) {
            tally.lost(
                false,
                2,
                format!("durable up to {}, found up to {}", said.durable, found.end),
            );
        }
        self.start = found.start;
        self.shown = (found.start..found.end)
            .map(|offset| read.get(&offset).copied().flatten())
            .collect();
    }

    /// A record that a reader met on its way, while the test trimmed or truncated beside it.
    pub(crate) fn met(&self, offset: u64, identity: Option<Identity>, tally: &mut Tally) {
        match self.shown_at(offset) {
            Some(shown) if shown == identity => tally.compared += 1,
            _ => tally.wrong(5, format!("a reader met {identity:?} at offset {offset}")),
        }
    }

    fn shown_at(&self, offset: u64) -> Option<Option<Identity>> {
        let index = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.shown.get(index).copied()
    }

    /// Offsets come in order, each once.
    fn order(&self, found: &Found, tally: &mut Tally) {
        for pair in found.records.windows(2) {
            let [(before, _), (after, _)] = pair else {
                continue;
            };
            if after <= before {
                tally.wrong(5, format!("offset {after} was read after {before}"));
            }
        }
    }
}

/// The records of a writer in a round are 0, 1, 2 and so on, in the order of their offsets.
fn check_stream(
    round: u32,
    offset: u64,
    identity: Identity,
    next_of_streams: &mut HashMap<u32, u64>,
    tally: &mut Tally,
) {
    if identity.round != round {
        tally.wrong(
            5,
            format!("offset {offset} has {identity:?}, which was cut or never stood there"),
        );
        return;
    }
    let next = next_of_streams.entry(identity.writer).or_insert(0);
    if identity.seq < *next {
        tally.wrong(3, format!("offset {offset} has {identity:?} once more"));
    } else if identity.seq > *next {
        let words = format!("offset {offset} has {identity:?}, and {next} is not there before it");
        tally.wrong(2, words);
        *next = identity.seq + 1;
    } else {
        *next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seq: u64) -> Identity {
        Identity {
            round: 1,
            writer: 0,
            seq,
        }
    }

    fn said(count: u64) -> Said {
        Said {
            acknowledged: (0..count).map(|n| (n, id(n))).collect(),
            durable: 0,
        }
    }

    fn found(count: u64) -> Found {
        Found {
            start: 0,
            end: count,
            records: (0..count).map(|n| (n, Some(id(n)))).collect(),
            gaps: Vec::new(),
        }
    }

    /// Lost, wrong, silent after ten acknowledged records and a reading changed by `spoil`.
    fn judged(spoil: impl FnOnce(&mut Found)) -> (u64, u64, u64) {
        let mut found = found(10);
        spoil(&mut found);
        let mut tally = Tally::default();
        Judge::default().compare(1, &said(10), &found, false, &mut tally);
        assert_eq!(tally.is_broken(), !tally.told.is_empty());
        (tally.lost, tally.wrong, tally.silent)
    }

    #[test]
    fn a_reading_with_everything_in_its_place_is_kept() {
        assert_eq!(judged(|_| {}), (0, 0, 0));
        // In flight when the child was killed: there or not, both are right.
        let more = |found: &mut Found| {
            found.records.push((10, Some(id(10))));
            found.end = 11;
        };
        assert_eq!(judged(more), (0, 0, 0));
    }

    #[test]
    fn a_lost_record_is_found_wherever_it_stood() {
        let middle = |found: &mut Found| found.records.retain(|&(offset, _)| offset != 4);
        assert_eq!(judged(middle), (1, 0, 1));
        let last = |found: &mut Found| {
            found.records.truncate(9);
            found.end = 9;
        };
        assert_eq!(judged(last), (1, 0, 1));
        let all = |found: &mut Found| *found = Found::default();
        assert_eq!(judged(all), (10, 0, 10));
        // The first ones, as a trim would: nobody asked for it.
        let first = |found: &mut Found| {
            found.records.drain(..3);
            found.start = 3;
        };
        assert_eq!(judged(first).0, 3);
    }

    #[test]
    fn a_loss_that_was_told_as_a_gap_is_lost_and_not_silent() {
        let told = |found: &mut Found| {
            found.records.truncate(9);
            found.gaps.push((9, 10));
        };
        assert_eq!(judged(told), (1, 0, 0));
    }

    #[test]
    fn a_doubled_a_swapped_and_a_changed_record_are_found() {
        let doubled = |found: &mut Found| {
            found.records.push((10, Some(id(9))));
            found.end = 11;
        };
        assert_eq!(judged(doubled), (0, 1, 1));
        let swapped = |found: &mut Found| {
            found.records[3].1 = Some(id(4));
            found.records[4].1 = Some(id(3));
        };
        assert_eq!(judged(swapped), (0, 2, 2));
        assert_eq!(judged(|found| found.records[3].1 = None), (0, 1, 1));
        let twice = |found: &mut Found| found.records.insert(4, (3, Some(id(3))));
        assert_eq!(judged(twice), (0, 1, 1));
    }

    #[test]
    fn what_was_shown_stays_and_what_was_cut_does_not_come_back() {
        let mut judge = Judge::default();
        let mut tally = Tally::default();
        judge.compare(1, &Said::default(), &found(10), false, &mut tally);
        judge.compare(2, &Said::default(), &found(10), false, &mut tally);
        assert!(!tally.is_broken(), "{tally:?}");
        assert_eq!(tally.compared, 10);
        judge.compare(3, &Said::default(), &found(8), false, &mut tally);
        assert_eq!(tally.lost, 2);

        let mut tally = Tally::default();
        judge.truncated_to(5);
        judge.compare(4, &Said::default(), &found(5), false, &mut tally);
        assert!(!tally.is_broken(), "{tally:?}");
        judge.truncated_to(3);
        judge.compare(5, &Said::default(), &found(5), false, &mut tally);
        assert_eq!(tally.wrong, 2);
    }

    #[test]
    fn a_start_that_the_test_or_retention_moved_is_no_loss() {
        let mut later = found(10);
        later.records.drain(..6);
        later.start = 6;
        for retention in [false, true] {
            let mut judge = Judge::default();
            let mut tally = Tally::default();
            judge.compare(1, &said(10), &found(10), retention, &mut tally);
            if !retention {
                judge.trimmed_to(6);
            }
            judge.compare(2, &Said::default(), &later, retention, &mut tally);
            assert!(!tally.is_broken(), "{tally:?}");
            assert_eq!((judge.start(), judge.end()), (6, 10));
        }
    }

    #[test]
    fn a_durable_end_above_what_is_found_is_a_loss() {
        let mut tally = Tally::default();
        let said = Said {
            durable: 11,
            ..said(10)
        };
        Judge::default().compare(1, &said, &found(10), false, &mut tally);
        assert_eq!((tally.lost, tally.silent), (1, 1));
    }
}

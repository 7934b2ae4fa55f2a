//! `leader-epoch-checkpoint`: from which offset each leader epoch starts (KIP-101). A value; who owns the file
//! writes its text.
//!
//! The rules are those of Kafka's `LeaderEpochFileCache`. This module must never know what a batch or a file is.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use crate::checkpoint_text;
use crate::ids::LeaderEpoch;
use crate::offset::Offset;

/// Ascending epochs with ascending start offsets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Epochs {
    entries: Vec<(LeaderEpoch, Offset)>,
}

/// Whether a call changed the entries, so that the file must be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Same,
    Changed,
}

impl Epochs {
    /// Reads the file's text; `Err` says what is wrong with it. An empty text is no entries.
    ///
    /// Of two epochs that start at one offset the later one is kept, as Kafka does when it reads such a file. What descends is damage: Kafka
    /// would drop the entries in the way, and the batches still tell them.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut epochs = Self::default();
        checkpoint_text::read(text, |[epoch, start]| {
            let epoch = (epoch.parse().ok())
                .and_then(LeaderEpoch::new)
                .ok_or("an epoch is no number")?;
            let start = (start.parse().ok())
                .and_then(Offset::from_i64)
                .ok_or("an offset is no number")?;
            if (epochs.entries.last()).is_some_and(|last| last.0 >= epoch || last.1 > start) {
                return Err("its lines do not ascend");
            }
            epochs.assign(epoch, start);
            Ok(())
        })?;
        Ok(epochs)
    }

    pub(crate) fn to_text(&self) -> String {
        let lines = (self.entries.iter()).map(|(epoch, start)| format!("{epoch} {start}"));
        checkpoint_text::write(lines)
    }

    pub(crate) fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.entries
    }

    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|(epoch, _)| *epoch)
    }

    /// Kafka's `assign`: from `start` on, batches carry `epoch`. Entries that contradict it, with a higher epoch or a later start, go.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> Change {
        if self
            .entries
            .last()
            .is_some_and(|(latest, from)| *latest == epoch && *from <= start)
        {
            return Change::Same;
        }
        // Both columns ascend, so what contradicts stands at the end; a log full of epochs must not cost a walk for each.
        while let Some((known, from)) = self.entries.last() {
            if *known < epoch && *from < start {
                break;
            }
            self.entries.pop();
        }
        self.entries.push((epoch, start));
        Change::Changed
    }

    /// Kafka's `endOffsetFor`: the largest epoch at or below `epoch`, and where it ends. `None` where nothing is known of it: above all
    /// epochs, or in an empty history.
    pub(crate) fn end_offset_for(
        &self,
        epoch: LeaderEpoch,
        log_end: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        let latest = self.latest()?;
        if epoch == latest {
            return Some((epoch, log_end));
        }
        let higher = self.entries.partition_point(|(known, _)| *known <= epoch);
        let (_, end) = *self.entries.get(higher)?;
        // Below all known epochs, Kafka answers with the epoch asked for and where the first known one starts.
        let floor = higher
            .checked_sub(1)
            .and_then(|floor| self.entries.get(floor));
        Some((floor.map_or(epoch, |(known, _)| *known), end))
    }

    /// The epoch in whose range `offset` lies.
    pub(crate) fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let behind = self.entries.partition_point(|(_, start)| *start <= offset);
        behind
            .checked_sub(1)
            .and_then(|at| self.entries.get(at))
            .map(|(epoch, _)| *epoch)
    }

    /// The epoch that a leader of this history stamps on a batch that ends at `last`; `None` for what lies below the history.
    pub(crate) fn stamped_at(&self, last: Offset) -> Option<LeaderEpoch> {
        match self.entries.is_empty() {
            true => Some(LeaderEpoch::ZERO),
            false => self.epoch_at(last),
        }
    }

    /// Tells this history from any other, however its text is spaced.
    pub(crate) fn checksum(&self) -> u32 {
        crc32fast::hash(self.to_text().as_bytes())
    }

    /// Drops entries that start at `end` or above: the log was cut there, also when it ended there already (KAFKA-10706).
    pub(crate) fn cut_end(&mut self, end: Offset) -> Change {
        let before = self.entries.len();
        self.entries.retain(|(_, start)| *start < end);
        if self.entries.len() == before {
            Change::Same
        } else {
            Change::Changed
        }
    }

    /// Folds entries below `start` into one that starts there: the log starts there now.
    pub(crate) fn fold_start(&mut self, start: Offset) -> Change {
        let below = self.entries.partition_point(|(_, from)| *from <= start);
        let Some(kept) = below.checked_sub(1) else {
            return Change::Same;
        };
        let folded = self.entries.split_off(kept);
        let changed = kept > 0 || folded.first().is_some_and(|(_, from)| *from < start);
        self.entries = folded;
        if let Some((_, from)) = self.entries.first_mut() {
            *from = start;
        }
        if changed {
            Change::Changed
        } else {
            Change::Same
        }
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn epoch(value: i32) -> LeaderEpoch {
        LeaderEpoch::new(value).unwrap()
    }

    fn at(value: u64) -> Offset {
        Offset::new(value).unwrap()
    }

    fn epochs(entries: &[(i32, u64)]) -> Epochs {
        let mut epochs = Epochs::default();
        for (number, start) in entries {
            assert_eq!(epochs.assign(epoch(*number), at(*start)), Change::Changed);
        }
        epochs
    }

    fn list(epochs: &Epochs) -> Vec<(i32, u64)> {
        epochs
            .entries()
            .iter()
            .map(|(epoch, start)| (epoch.get(), start.get()))
            .collect()
    }

    #[test]
    fn a_history_reads_back_as_it_was_written_and_damage_is_named() {
        let history = epochs(&[(0, 0), (3, 10), (7, 10_000)]);
        assert_eq!(history.to_text(), "0\n3\n0 0\n3 10\n7 10000\n");
        assert_eq!(Epochs::parse(&history.to_text()), Ok(history));
        assert_eq!(Epochs::parse(""), Ok(Epochs::default()));
        for (text, what) in [
            ("1\n0\n", "version"),
            ("0\n", "count"),
            ("0\n2\n0 0\n", "count"),
            ("0\n1\n0\n", "line"),
            ("0\n1\n-1 0\n", "epoch"),
            ("0\n1\n0 -1\n", "offset"),
            ("0\n2\n1 0\n1 5\n", "ascend"),
            ("0\n2\n1 5\n2 0\n", "ascend"),
        ] {
            assert!(
                Epochs::parse(text).expect_err(text).contains(what),
                "{text:?}"
            );
        }
    }

    #[test]
    fn of_two_epochs_that_start_together_the_later_one_is_kept() {
        let old = Epochs::parse("0\n3\n0 0\n1 0\n4 7\n").unwrap();
        assert_eq!(list(&old), [(1, 0), (4, 7)]);
        assert_eq!(old, Epochs::parse(&old.to_text()).unwrap());
    }

    #[test]
    fn no_text_makes_a_history_that_does_not_ascend() {
        for text in [
            "0\n18446744073709551616\n",
            "0\n-1\n",
            "0\n1\n2147483648 0\n",
            "0\n1\n0 9223372036854775808\n",
            "0\n1\n0 0 0\n",
            "0\n1\n0 0\n\n",
            "0\n2\n0 9\n1 8\n",
            "\u{feff}0\n0\n",
        ] {
            assert!(Epochs::parse(text).is_err(), "{text:?}");
        }
        let largest = Epochs::parse("0\n1\n2147483647 9223372036854775807").unwrap();
        let mut cut = largest.clone();
        assert_eq!(cut.fold_start(Offset::MAX), Change::Same);
        assert_eq!(cut.cut_end(Offset::MAX), Change::Changed);
        assert_eq!(
            largest.end_offset_for(epoch(i32::MAX), Offset::MAX),
            Some((epoch(i32::MAX), Offset::MAX))
        );
    }

    #[test]
    fn the_same_epoch_again_changes_nothing_and_a_contradiction_goes() {
        let mut history = epochs(&[(1, 0), (2, 10)]);
        assert_eq!(history.assign(epoch(2), at(15)), Change::Same);
        assert_eq!(history.assign(epoch(2), at(5)), Change::Changed);
        assert_eq!(list(&history), [(1, 0), (2, 5)]);
        assert_eq!(history.assign(epoch(1), at(20)), Change::Changed);
        assert_eq!(list(&history), [(1, 20)]);
    }

    #[test]
    fn a_log_in_which_every_batch_has_its_own_epoch_is_folded_in_one_walk() {
        let mut history = Epochs::default();
        for number in 0..200_000 {
            history.assign(epoch(number), at(u64::from(number.unsigned_abs())));
        }
        let read = Epochs::parse(&history.to_text()).unwrap();
        assert_eq!(read, history);
        assert_eq!(history.assign(epoch(0), at(0)), Change::Changed);
        assert_eq!(list(&history), [(0, 0)]);
    }

    #[test]
    fn an_epoch_without_a_record_is_kept_for_the_one_who_asks() {
        let mut history = epochs(&[(1, 0)]);
        history.assign(epoch(4), at(10));
        assert_eq!(history.assign(epoch(5), at(10)), Change::Changed);
        assert_eq!(list(&history), [(1, 0), (5, 10)]);
    }

    #[test]
    fn the_end_of_an_epoch_is_the_start_of_the_next_one() {
        let history = epochs(&[(2, 5), (3, 10), (7, 20)]);
        let end = |number| {
            history
                .end_offset_for(epoch(number), at(25))
                .map(|(e, o)| (e.get(), o.get()))
        };
        assert_eq!(end(7), Some((7, 25)));
        assert_eq!(end(3), Some((3, 20)));
        assert_eq!(end(5), Some((3, 20)), "a gap falls to the epoch below");
        assert_eq!(
            end(1),
            Some((1, 5)),
            "below all: where the first one starts"
        );
        assert_eq!(end(8), None);
        assert_eq!(Epochs::default().end_offset_for(epoch(0), at(5)), None);
        assert_eq!(history.epoch_at(at(4)), None);
        assert_eq!(history.epoch_at(at(19)).map(LeaderEpoch::get), Some(3));
    }

    #[test]
    fn cutting_the_end_drops_what_starts_there_or_above() {
        let mut history = epochs(&[(2, 5), (3, 10), (7, 20)]);
        assert_eq!(history.cut_end(at(21)), Change::Same);
        assert_eq!(history.cut_end(at(20)), Change::Changed, "right at a start");
        assert_eq!(history.cut_end(at(10)), Change::Changed);
        assert_eq!(list(&history), [(2, 5)]);
        assert_eq!(history.cut_end(at(0)), Change::Changed);
        assert_eq!(history.latest(), None);
        assert_eq!(history.cut_end(at(0)), Change::Same, "nothing is left");
        assert_eq!(history.fold_start(at(9)), Change::Same, "nothing to fold");
    }

    #[test]
    fn a_new_start_folds_what_lies_before_it() {
        let mut history = epochs(&[(2, 5), (3, 10), (7, 20)]);
        assert_eq!(history.fold_start(at(3)), Change::Same);
        assert_eq!(history.fold_start(at(5)), Change::Same);
        assert_eq!(history.fold_start(at(12)), Change::Changed);
        assert_eq!(list(&history), [(3, 12), (7, 20)]);
        assert_eq!(history.fold_start(at(50)), Change::Changed);
        assert_eq!(list(&history), [(7, 50)]);
    }

    fn history() -> impl Strategy<Value = Epochs> {
        let step = (1i32..5, 0u64..20);
        proptest::collection::vec(step, 0..12).prop_map(|steps| {
            let (mut epochs, mut last, mut start) = (Epochs::default(), 0, 0);
            for (up, on) in steps {
                (last, start) = (last + up, start + on);
                epochs.assign(epoch(last), at(start));
            }
            epochs
        })
    }

    proptest! {
        #![proptest_config(crate::laws::config())]

        #[test]
        fn a_history_reads_back_ascends_and_outlives_a_cut_and_a_new_start(epochs in history(), cut in 0u64..300, start in 0u64..300) {
            prop_assert_eq!(list(&Epochs::parse(&epochs.to_text()).unwrap()), list(&epochs));
            prop_assert!(list(&epochs).is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
            let mut left = epochs.clone();
            left.cut_end(at(cut));
            let below = list(&epochs).into_iter().filter(|(_, from)| *from < cut).collect::<Vec<_>>();
            prop_assert_eq!(list(&left), below);
            let mut folded = epochs.clone();
            folded.fold_start(at(start));
            for offset in start..start + 20 {
                prop_assert_eq!(folded.epoch_at(at(offset)), epochs.epoch_at(at(offset)), "at {}", offset);
            }
        }

        #[test]
        fn any_text_is_a_history_that_reads_back_or_a_named_fault(lines in proptest::collection::vec("[0-9-]{1,4} [0-9]{1,4}|.{0,9}", 0..6), count in 0usize..6) {
            let text = format!("0\n{count}\n{}", lines.join("\n"));
            if let Ok(epochs) = Epochs::parse(&text) {
                prop_assert_eq!(list(&Epochs::parse(&epochs.to_text()).unwrap()), list(&epochs));
            }
        }
    }
}

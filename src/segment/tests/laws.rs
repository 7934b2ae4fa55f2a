//! What holds for every index, and for any bytes in the place of one.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::offset_index::{self, OffsetEntry};
use super::super::time_index::{self, TimeEntry};
use super::super::txn_index::{self, AbortedTransaction};
use super::*;
use crate::ids::ProducerId;
use crate::laws::config;

const BASE: u64 = 1 << 33;

/// Steps from one entry to the next.
fn steps(least: u32) -> impl Strategy<Value = Vec<(u32, u32)>> {
    vec((least..100u32, 1..5000u32), 0..40)
}

fn offset_entries(steps: &[(u32, u32)]) -> Vec<OffsetEntry> {
    let (mut last, mut position) = (0, 0);
    let step = |(offsets, bytes): &(u32, u32)| {
        (last, position) = (last + offsets, position + bytes);
        OffsetEntry {
            last,
            position: FilePosition::new(position),
        }
    };
    steps.iter().map(step).collect()
}

fn time_entries(steps: &[(u32, u32)]) -> Vec<TimeEntry> {
    let (mut last, mut time) = (0, 1_700_000_000_000);
    let step = |(offsets, millis): &(u32, u32)| {
        (last, time) = (last + offsets, time + i64::from(*millis));
        TimeEntry {
            timestamp: at_ms(time),
            last,
        }
    };
    steps.iter().map(step).collect()
}

fn aborted(steps: &[(u32, u32)]) -> Vec<AbortedTransaction> {
    let mut last = BASE;
    let step = |(offsets, back): &(u32, u32)| {
        last += u64::from(*offsets);
        AbortedTransaction {
            producer: ProducerId::new(i64::from(*back)).expect("not negative"),
            first: offset(last.saturating_sub(u64::from(*back))),
            last: offset(last),
            last_stable: offset(last + 1),
        }
    };
    steps.iter().map(step).collect()
}

fn end() -> Offset {
    offset(BASE + 10_000)
}

const SIZE: FilePosition = FilePosition::new(1 << 20);

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_offset_index_reads_back_and_finds_what_a_walk_finds(steps in steps(1), target in 0u64..5000) {
        let entries = offset_entries(&steps);
        let bytes = offset_index::encode(&entries);
        prop_assert_eq!(offset_index::decode(&bytes, offset(BASE), end(), SIZE), Some(entries.clone()));
        let target = offset(BASE + target);
        let found = offset_index::lookup(&entries, offset(BASE), target).map(|(entry, _)| entry);
        let walked = entries.iter().rfind(|entry| entry.last_offset(offset(BASE)) <= target);
        prop_assert_eq!(found, walked.copied());
    }

    #[test]
    fn a_time_index_reads_back_and_finds_what_a_walk_finds(steps in steps(0), target in 0i64..200_000) {
        let entries = time_entries(&steps);
        let bytes = time_index::encode(&entries);
        prop_assert_eq!(time_index::decode(&bytes, offset(BASE), end()), Some(entries.clone()));
        let target = at_ms(1_700_000_000_000 + target);
        let walked = entries.iter().rfind(|entry| entry.timestamp <= target);
        prop_assert_eq!(time_index::lookup(&entries, target), walked.copied());
    }

    #[test]
    fn an_index_of_aborted_transactions_reads_back_and_finds_what_a_walk_finds(
        steps in steps(1), from in 0u64..4000, count in 0u64..1000,
    ) {
        let entries = aborted(&steps);
        let bytes = txn_index::encode(&entries);
        prop_assert_eq!(txn_index::decode(&bytes, offset(BASE), end()), Some(entries.clone()));
        let range = offset(BASE + from)..offset(BASE + from + count);
        let (found, _) = txn_index::overlapping(&entries, &range);
        let overlaps = |entry: &&AbortedTransaction| entry.last >= range.start && entry.first < range.end;
        // Behind a last stable offset at the range's end nothing overlaps any more that began in it.
        let until = entries.iter().position(|entry| entry.last_stable >= range.end);
        let asked = &entries[..until.map_or(entries.len(), |at| at + 1)];
        prop_assert_eq!(found, asked.iter().filter(overlaps).copied().collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_no_index_or_one_that_stays_within_its_segment(bytes in vec(prop_oneof![Just(0u8), 0u8..4, any::<u8>()], 0..160)) {
        if let Some(entries) = offset_index::decode(&bytes, offset(BASE), end(), SIZE) {
            prop_assert_eq!(&offset_index::encode(&entries), &bytes);
            prop_assert!(entries.is_sorted_by(|a, b| a.last < b.last && a.position < b.position));
            prop_assert!(entries.iter().all(|entry| entry.position < SIZE && entry.last_offset(offset(BASE)) < end()));
        }
        if let Some(entries) = time_index::decode(&bytes, offset(BASE), end()) {
            prop_assert_eq!(&time_index::encode(&entries), &bytes);
            prop_assert!(entries.iter().all(|entry| entry.offset(offset(BASE)) < end()));
        }
        if let Some(entries) = txn_index::decode(&bytes, offset(BASE), end()) {
            prop_assert!(bytes.starts_with(&txn_index::encode(&entries)));
            prop_assert!(entries.iter().all(|entry| entry.first <= entry.last && entry.last < end()));
        }
    }

    #[test]
    fn an_index_with_a_flipped_bit_is_refused_or_stays_within_its_segment(steps in steps(1), at: prop::sample::Index, bit in 0u32..8) {
        let mut bytes = offset_index::encode(&offset_entries(&steps));
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Some(entries) = offset_index::decode(&bytes, offset(BASE), end(), SIZE) {
            prop_assert!(entries.is_sorted_by(|a, b| a.last < b.last && a.position < b.position));
            prop_assert!(entries.iter().all(|entry| entry.position < SIZE && entry.last_offset(offset(BASE)) < end()));
        }
    }
}

#![allow(
    clippy::arithmetic_side_effects,
    reason = "numbers of a test are small"
)]

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::segment::OpenFiles;
use crate::storage::{Memory, Storage};

fn home() -> SegmentHome {
    let storage = Memory::new();
    let dir: Arc<Path> = Path::new("/t-0").into();
    storage.create_dir(&dir).unwrap();
    SegmentHome {
        storage: Arc::new(storage),
        dir,
        open_files: Arc::new(OpenFiles::new(8)),
    }
}

fn at(value: u64) -> Offset {
    Offset::new(value).unwrap()
}

fn facts(end: u64) -> Facts {
    Facts {
        log_start: at(1),
        recovery_point: at(2),
        durable_end: at(end),
        generation: 7,
        dense_from: Some(at(0)),
        epochs: Some(0),
        boot_id: BootId([3; 16]),
        incarnation: Incarnation([4; 16]),
    }
}

fn sealed(base: u64) -> SealedFacts {
    SealedFacts {
        base: at(base),
        end: at(base + 10),
        sealed_at: Timestamp::from_millis(1_000),
        prefix_crc: Some(99),
        aborted_crc: Some(7),
    }
}

fn bytes_of(home: &SegmentHome, name: FileName) -> Vec<u8> {
    let read = read_small_file(&*home.storage, &home.path(name), 1 << 20);
    read.unwrap().unwrap()
}

#[test]
fn the_newest_value_is_read_back_and_the_file_never_grows() {
    let home = home();
    assert_eq!(read_facts(&home).unwrap(), FactsFound::Absent);
    let mut side = SideFiles::create(&home, facts(3)).unwrap();
    assert_eq!(read_facts(&home).unwrap(), FactsFound::Good(facts(3)));
    for end in 4..9 {
        side.update(|facts| facts.durable_end = at(end)).unwrap();
        assert_eq!(read_facts(&home).unwrap(), FactsFound::Good(facts(end)));
        assert_eq!(bytes_of(&home, FileName::Facts).len(), FILE_BYTES);
    }
    side.update(|facts| facts.epochs = Some(u32::MAX)).unwrap();
    let FactsFound::Good(read) = read_facts(&home).unwrap() else {
        panic!("good")
    };
    assert_eq!(read.epochs, Some(u32::MAX));
    side.update(|facts| facts.epochs = None).unwrap();
    side.update_synced(|facts| facts.dense_from = None).unwrap();
    let mut side = SideFiles::open(&home, facts(0), 0).unwrap();
    let last = Facts {
        dense_from: None,
        epochs: None,
        ..facts(8)
    };
    assert_eq!(*side.facts(), last);
    side.update(|facts| facts.durable_end = at(9)).unwrap();
    let FactsFound::Good(read) = read_facts(&home).unwrap() else {
        panic!("good")
    };
    assert_eq!(read.durable_end, at(9));
}

#[test]
fn one_damaged_slot_gives_the_older_value_and_two_give_none() {
    let home = home();
    let mut side = SideFiles::create(&home, facts(3)).unwrap();
    side.update(|facts| facts.durable_end = at(4)).unwrap();
    let whole = bytes_of(&home, FileName::Facts);
    let file = home
        .storage
        .open(&home.path(FileName::Facts), Access::Write)
        .unwrap();
    for byte in 0..SLOT_BYTES {
        for slot in [0, SLOT_BYTES] {
            let mut damaged = whole.clone();
            damaged[slot + byte] ^= 0x10;
            file.write_at(&damaged, 0).unwrap();
            // The newer value stands in the first slot.
            let left = if slot == 0 { 3 } else { 4 };
            assert_eq!(
                read_facts(&home).unwrap(),
                FactsFound::Good(facts(left)),
                "byte {byte}"
            );
        }
        let mut damaged = whole.clone();
        damaged[byte] ^= 1;
        damaged[SLOT_BYTES + byte] ^= 1;
        file.write_at(&damaged, 0).unwrap();
        assert_eq!(read_facts(&home).unwrap(), FactsFound::Damaged);
    }
    for len in 0..FILE_BYTES as u64 {
        file.write_at(&whole, 0).unwrap();
        file.set_len(len).unwrap();
        let found = read_facts(&home).unwrap();
        let expected = match len {
            512.. => FactsFound::Good(facts(4)),
            _ => FactsFound::Damaged,
        };
        assert_eq!(found, expected, "cut to {len}");
    }
    let side = SideFiles::open(&home, facts(77), 0).unwrap();
    assert_eq!(side.facts().durable_end, at(4), "a short file has one slot");
}

#[test]
fn a_slot_of_another_kind_or_version_is_not_believed_though_its_checksum_is_right() {
    for changed in [MAGIC_AT, VERSION_AT] {
        let mut slot = encode_slot(&facts(3), FIRST_SEQUENCE);
        assert!(decode_slot(&slot).is_some());
        slot[changed] ^= 1;
        let crc = crc32fast::hash(&slot[..CRC_AT]);
        put(&mut slot, CRC_AT, &crc.to_le_bytes());
        assert_eq!(decode_slot(&slot), None, "byte {changed}");
    }
}

#[test]
fn a_file_that_is_too_long_is_damaged_and_no_failure() {
    let home = home();
    drop(SideFiles::create(&home, facts(3)).unwrap());
    let path = home.path(FileName::Facts);
    let file = home.storage.open(&path, Access::Write).unwrap();
    file.write_at(&[0], FILE_BYTES as u64).unwrap();
    assert_eq!(read_facts(&home).unwrap(), FactsFound::Damaged);
}

/// A start that was made to last before segments were removed came back as an older one, and what lies between was told as missing: a value that no
/// sync had covered had taken one slot, and the next, whose write failed half-way, the other.
#[test]
fn what_was_synced_last_stays_whole_until_the_next_sync() {
    let home = home();
    let path = home.path(FileName::Facts);
    let mut side = SideFiles::create(&home, facts(3)).unwrap();
    side.update_synced(|facts| facts.log_start = at(2)).unwrap();
    for reopen in [false, true] {
        if reopen {
            side = SideFiles::open(&home, facts(0), 0).unwrap();
        }
        side.update_synced(|facts| facts.log_start = at(8)).unwrap();
        let synced = side.sequence;
        for end in 10..13 {
            side.update(|facts| facts.durable_end = at(end)).unwrap();
            let file = home.storage.open(&path, Access::Write).unwrap();
            let whole = bytes_of(&home, FileName::Facts);
            file.write_at(&[0; 100], slot_position(side.sequence))
                .unwrap();
            let FactsFound::Good(read) = read_facts(&home).unwrap() else {
                panic!("one slot is whole")
            };
            assert_eq!(read.log_start, at(8), "{end}");
            assert_ne!(slot_position(side.sequence), slot_position(synced), "{end}");
            file.write_at(&whole, 0).unwrap();
        }
    }
}

#[test]
fn damaged_facts_are_replaced_by_what_was_derived() {
    let home = home();
    drop(SideFiles::create(&home, facts(3)).unwrap());
    let file = home
        .storage
        .open(&home.path(FileName::Facts), Access::Write)
        .unwrap();
    file.set_len(0).unwrap();
    let side = SideFiles::open(&home, facts(77), 0).unwrap();
    assert_eq!(*side.facts(), facts(77));
    assert_eq!(read_facts(&home).unwrap(), FactsFound::Good(facts(77)));
}

#[test]
fn a_bad_entry_of_the_list_costs_only_itself() {
    let home = home();
    let mut side = SideFiles::create(&home, facts(3)).unwrap();
    let unknown = SealedFacts {
        prefix_crc: None,
        aborted_crc: Some(7),
        ..sealed(10)
    };
    let all = [sealed(0), unknown, sealed(20)];
    for entry in &all {
        side.append_sealed(entry).unwrap();
    }
    assert_eq!(read_segment_list(&home).unwrap().entries, all);
    let path = home.path(FileName::SegmentList);
    let file = home.storage.open(&path, Access::Write).unwrap();
    let whole = bytes_of(&home, FileName::SegmentList);
    for byte in 0..ENTRY_BYTES {
        let mut damaged = whole.clone();
        damaged[ENTRY_BYTES + byte] ^= 4;
        file.write_at(&damaged, 0).unwrap();
        let list = read_segment_list(&home).unwrap();
        assert_eq!(list.entries, [all[0], all[2]], "byte {byte}");
        assert_eq!(list.bad_count, 1);
    }
    file.write_at(&whole, 0).unwrap();
    // A crash in the middle of an entry: the next one takes its place.
    file.set_len(70).unwrap();
    let mut side = SideFiles::open(&home, facts(3), 70).unwrap();
    side.append_sealed(&sealed(40)).unwrap();
    assert_eq!(
        read_segment_list(&home).unwrap().entries,
        [all[0], all[1], sealed(40)]
    );
    side.retain_sealed(|entry| entry.base >= at(10)).unwrap();
    side.append_sealed(&sealed(50)).unwrap();
    side.update_synced(|_| {}).unwrap();
    let left = read_segment_list(&home).unwrap();
    assert_eq!(left.entries, [all[1], sealed(40), sealed(50)]);
}

fn any_offset() -> impl Strategy<Value = Offset> {
    prop_oneof![0u64..100, 0..=Offset::MAX.get()].prop_map(at)
}

proptest! {
    #![proptest_config(crate::laws::config())]

    #[test]
    fn a_slot_reads_back_and_one_flipped_bit_or_a_cut_makes_it_bad(
        (log_start, recovery_point, durable_end) in (any_offset(), any_offset(), any_offset()),
        dense_from in proptest::option::of(any_offset()),
        epochs: Option<u32>,
        (generation, boot_id, incarnation) in any::<(u64, [u8; 16], [u8; 16])>(),
        sequence: u64,
        at: prop::sample::Index,
        bit in 0u32..8,
    ) {
        let facts = Facts {
            log_start,
            recovery_point,
            durable_end,
            generation,
            dense_from,
            epochs,
            boot_id: BootId(boot_id),
            incarnation: Incarnation(incarnation),
        };
        let slot = encode_slot(&facts, sequence);
        prop_assert_eq!(decode_slot(&slot), Some((facts, sequence)));
        let at = at.index(SLOT_BYTES);
        prop_assert_eq!(decode_slot(&slot[..at]), None);
        let mut flipped = slot;
        flipped[at] ^= 1 << bit;
        prop_assert_eq!(decode_slot(&flipped), None);
    }

    #[test]
    fn an_entry_of_the_list_reads_back_and_one_flipped_bit_makes_it_bad(
        base in any_offset(),
        count in 0u64..1 << 31,
        sealed_at: i64,
        prefix_crc in proptest::option::of(1u32..),
        aborted_crc in proptest::option::of(1u32..),
        flipped: prop::sample::Index,
        bit in 0u32..8,
    ) {
        let sealed = SealedFacts {
            base: base.min(at(Offset::MAX.get() - count)),
            end: base.saturating_add(count),
            sealed_at: Timestamp::from_millis(sealed_at),
            prefix_crc,
            aborted_crc,
        };
        let mut entry = encode_entry(&sealed);
        prop_assert_eq!(decode_entry(&entry), Some(sealed));
        entry[flipped.index(ENTRY_BYTES)] ^= 1 << bit;
        prop_assert_eq!(decode_entry(&entry), None);
    }
}

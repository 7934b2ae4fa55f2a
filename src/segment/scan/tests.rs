//! The walk over good bytes, bad bytes and bytes that others wrote.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "the numbers are those of the tests"
)]

use super::*;
use crate::batch::header::{BASE_OFFSET_AT, EPOCH_AT, MAGIC_AT};
use crate::segment::tests::{
    NO_LIMIT, Random, Walked, batch, batches, header, offset, walk_all, walker_over,
};
use crate::storage::{Access, Memory, Storage};

fn joined(batches: &[Vec<u8>]) -> Vec<u8> {
    batches.concat()
}

fn starts(batches: &[Vec<u8>]) -> Vec<usize> {
    batches
        .iter()
        .scan(0, |at, batch| {
            let start = *at;
            *at += batch.len();
            Some(start)
        })
        .collect()
}

fn bad(walker: &mut Walker) -> BadSpot {
    loop {
        match walker.step().expect("memory reads") {
            Step::Batch(_) => {}
            Step::Bad(spot) => return spot,
            other => panic!("no bad spot: {other:?}"),
        }
    }
}

#[test]
fn a_walk_returns_each_batch_with_its_position_and_ends_exactly() {
    let batches = batches(100, 20, 40);
    let mut walker = walker_over(&joined(&batches), 100, OffsetRule::Dense);
    let walked = walk_all(&mut walker, &[]);
    assert!(walked.gaps.is_empty());
    assert_eq!(walked.batches.len(), 20);
    for ((found, bytes), start) in walked.batches.iter().zip(&batches).zip(starts(&batches)) {
        assert_eq!(found.batch.as_bytes(), &bytes[..]);
        assert_eq!(found.position.get() as usize, start);
    }
    assert_eq!(walker.expected(), offset(160));
    assert!(matches!(walker.step(), Ok(Step::End)));
}

/// The batch `damaged` of `batches` was changed: all others come out as they went in, and one gap covers it.
fn check_only_the_damaged_batch_is_lost(
    walked: &Walked,
    batches: &[Vec<u8>],
    damaged: usize,
    what: &str,
) {
    let expected = batches.iter().enumerate().filter(|(n, _)| *n != damaged);
    let expected: Vec<&[u8]> = expected.map(|(_, bytes)| &bytes[..]).collect();
    let found: Vec<&[u8]> = walked
        .batches
        .iter()
        .map(|b| &b.batch.as_bytes()[..])
        .collect();
    assert!(found == expected, "{what}: {:?}", walked.gaps);
    let from = header(&batches[damaged]).base_offset().get();
    let to = batches
        .get(damaged + 1)
        .map(|next| header(next).base_offset().get());
    assert_eq!(walked.gaps, [(from, to)], "{what}");
}

#[test]
fn any_flipped_bit_costs_only_its_batch() {
    let batches = batches(1_000, 20, 9);
    let good = joined(&batches);
    let starts = starts(&batches);
    let positions: Vec<FilePosition> = starts
        .iter()
        .map(|at| FilePosition::new(*at as u32))
        .collect();
    for bit in 0..good.len() * 8 {
        let damaged = starts.partition_point(|start| *start <= bit / 8) - 1;
        let in_batch = bit / 8 - starts[damaged];
        if (EPOCH_AT..MAGIC_AT).contains(&in_batch) {
            continue; // held against the epochs by floors above
        }
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        for rule in [OffsetRule::Dense, OffsetRule::Ascending] {
            let is_last = damaged == batches.len() - 1;
            if rule == OffsetRule::Ascending && in_batch < LENGTH_AT && is_last {
                continue; // nothing behind it tells a hole from a flip
            }
            for index in [&[][..], &positions[..]] {
                let mut walker = walker_over(&bytes, 1_000, rule);
                let walked = walk_all(&mut walker, index);
                let what = format!("bit {bit}, byte {in_batch} of batch {damaged}, {rule:?}");
                check_only_the_damaged_batch_is_lost(&walked, &batches, damaged, &what);
            }
        }
    }
}

#[test]
fn a_tail_torn_at_any_byte_is_told_from_a_whole_one() {
    let batches = batches(0, 4, 30);
    let good = joined(&batches);
    let starts = starts(&batches);
    for len in 0..good.len() {
        let whole = starts.iter().filter(|start| **start <= len).count() - 1;
        let mut walker = walker_over(&good[..len], 0, OffsetRule::Dense);
        if len == starts[whole] {
            assert_eq!(walk_all(&mut walker, &[]).batches.len(), whole);
            continue;
        }
        let spot = bad(&mut walker);
        // A base offset of zero starts with zero bytes.
        let zeros = good[starts[whole]..len].iter().all(|byte| *byte == 0);
        let kind = if zeros {
            BadKind::ZeroTail
        } else {
            BadKind::Incomplete
        };
        assert_eq!(spot.kind, kind, "cut at {len}");
        assert_eq!(spot.position.get() as usize, starts[whole]);
        assert_eq!(spot.from.get(), 3 * whole as u64);
        assert_eq!(walker.skip(&spot, &[]).expect("memory reads"), None);
    }
}

#[test]
fn a_tail_of_zeros_is_told_from_zeros_in_the_middle() {
    let batches = batches(0, 3, 30);
    for zeros in [1, 16, 17, 60, 61, 62, 5_000, 200_000] {
        let mut bytes = joined(&batches);
        bytes.resize(bytes.len() + zeros, 0);
        let spot = bad(&mut walker_over(&bytes, 0, OffsetRule::Dense));
        assert_eq!(
            (spot.kind, spot.from),
            (BadKind::ZeroTail, offset(9)),
            "{zeros}"
        );
        bytes.push(1);
        let spot = bad(&mut walker_over(&bytes, 0, OffsetRule::Dense));
        assert_ne!(spot.kind, BadKind::ZeroTail, "{zeros}");
    }
}

#[test]
fn bytes_between_batches_cost_no_record() {
    let mut random = Random::new(7);
    let batches = batches(50, 6, 30);
    for rubbish_bytes in 1..200 {
        let rubbish: Vec<u8> = (0..rubbish_bytes)
            .map(|_| random.below(256) as u8)
            .collect();
        let bytes = [joined(&batches[..3]), rubbish, joined(&batches[3..])].concat();
        let walked = walk_all(&mut walker_over(&bytes, 50, OffsetRule::Dense), &[]);
        assert_eq!(walked.batches.len(), 6, "seed {}", random.seed);
        assert_eq!(walked.gaps, [(59, Some(59))], "seed {}", random.seed);
    }
}

#[test]
fn damage_to_neighbours_is_one_gap_or_two_and_costs_nothing_else() {
    let batches = batches(0, 8, 30);
    let starts = starts(&batches);
    for at_byte in [LENGTH_AT + 2, MAGIC_AT, HEADER_BYTES + 3] {
        let mut bytes = joined(&batches);
        bytes[starts[2] + at_byte] ^= 0x41;
        bytes[starts[3] + at_byte] ^= 0x41;
        let walked = walk_all(&mut walker_over(&bytes, 0, OffsetRule::Dense), &[]);
        let bases: Vec<u64> = walked
            .batches
            .iter()
            .map(|b| b.batch.base_offset().get())
            .collect();
        assert_eq!(bases, [0, 3, 12, 15, 18, 21], "{at_byte} {:?}", walked.gaps);
    }
}

#[test]
fn batches_inside_of_a_damaged_value_are_never_taken_for_the_logs_own() {
    let inner = batch(4, 1, 5, 100);
    let mut builder = crate::batch::RecordBatchBuilder::new(crate::compress::Compression::None);
    builder
        .push(crate::batch::Record::new(&inner))
        .expect("small");
    let outer = builder.finish().expect("whole");
    let outer = outer
        .stamped(offset(3), crate::ids::LeaderEpoch::ZERO)
        .expect("small");
    let mut outer = outer.into_bytes().to_vec();
    outer[LENGTH_AT + 1] ^= 1;
    let bytes = [
        batch(0, 3, 5, 9),
        outer,
        batch(4, 3, 6, 9),
        batch(7, 1, 6, 9),
    ]
    .concat();
    let walked = walk_all(&mut walker_over(&bytes, 0, OffsetRule::Ascending), &[]);
    let spans: Vec<(u64, u64)> = walked
        .batches
        .iter()
        .map(|found| {
            (
                found.batch.base_offset().get(),
                found.batch.next_offset().get(),
            )
        })
        .collect();
    assert_eq!(spans, [(0, 3), (4, 7), (7, 8)]);
}

#[test]
fn a_search_through_hostile_bytes_ends_after_four_times_the_segment() {
    // Each of these headers claims all bytes behind it, with a right successor: none has a right checksum.
    let mut bytes = batch(0, 1, 1, 9);
    bytes[LENGTH_AT] ^= 1;
    let fakes = 40_000;
    let total = bytes.len() + fakes * HEADER_BYTES;
    for n in 0..fakes {
        let mut fake = batch(1 + n as u64, 1, 1, 9)[..HEADER_BYTES].to_vec();
        let size = total - bytes.len() - LENGTH_END;
        fake[LENGTH_AT..LENGTH_END].copy_from_slice(&(size as u32).to_be_bytes());
        bytes.extend_from_slice(&fake);
    }
    let mut walker = walker_over(&bytes, 0, OffsetRule::Ascending);
    let spot = bad(&mut walker);
    assert_eq!(walker.skip(&spot, &[]).expect("memory reads"), None);
    assert_eq!(walker.search_crc_bytes, 0);
}

#[test]
fn a_length_that_damage_made_up_takes_no_memory() {
    let batches = batches(0, 3, 30);
    let memory = Memory::new();
    let path = Path::new("/log");
    let file = memory.create(path).expect("created");
    let mut bytes = joined(&batches);
    let at = starts(&batches)[1] + LENGTH_AT;
    bytes[at..at + 4].copy_from_slice(&(6u32 << 20).to_be_bytes());
    file.write_at(&bytes, 0).expect("written");
    file.set_len(64 << 20).expect("longer");
    let start = WalkStart {
        position: FilePosition::ZERO,
        end: FilePosition::new(64 << 20),
        expected: Offset::ZERO,
        rule: OffsetRule::Dense,
        max_decompressed_bytes: NO_LIMIT,
    };
    let mut walker = Walker::new(
        memory.open(path, Access::Read).expect("opened"),
        path,
        start,
    );
    let used = allocation_counter::measure(|| {
        assert_eq!(bad(&mut walker).kind, BadKind::Content);
    });
    assert!(used.bytes_max < 1 << 20, "{used:?}");
}

#[test]
fn a_scan_whose_batches_are_let_go_allocates_nothing_per_batch() {
    let batches = batches(0, 6_000, 30);
    let mut walker = walker_over(&joined(&batches), 0, OffsetRule::Dense);
    for _ in 0..1_000 {
        assert!(matches!(walker.step(), Ok(Step::Batch(_))));
    }
    let mut held = None;
    let used = allocation_counter::measure(|| {
        for _ in 0..2_000 {
            assert!(matches!(walker.step(), Ok(Step::Batch(_))));
        }
    });
    assert_eq!(
        used.count_total, 0,
        "each batch is let go at once: {used:?}"
    );
    for _ in 0..500 {
        held = Some(walker.step().expect("memory reads"));
    }
    let used = allocation_counter::measure(|| {
        for _ in 0..2_000 {
            held = Some(walker.step().expect("memory reads"));
        }
    });
    assert_eq!(used.count_total, 0, "the last batch is held: {used:?}");
    drop(held);
}

#[test]
fn a_batch_that_is_kept_does_not_change_when_the_walk_goes_on() {
    let batches = batches(0, 3_000, 200);
    let mut walker = walker_over(&joined(&batches), 0, OffsetRule::Dense);
    let walked = walk_all(&mut walker, &[]);
    for (found, bytes) in walked.batches.iter().zip(&batches) {
        assert_eq!(found.batch.as_bytes(), &bytes[..]);
    }
}

#[test]
fn batches_larger_than_the_buffer_are_read_whole_among_small_ones() {
    let mut bytes = Vec::new();
    let mut sizes = Vec::new();
    for n in 0..30 {
        let value_bytes = [10, 70_000, 3_000_000, 65_536, 200][n % 5];
        let one = batch(n as u64, 1, 7, value_bytes);
        sizes.push(one.len() as u32);
        bytes.extend_from_slice(&one);
    }
    let walked = walk_all(&mut walker_over(&bytes, 0, OffsetRule::Dense), &[]);
    let found: Vec<u32> = walked
        .batches
        .iter()
        .map(|found| found.batch.size_bytes())
        .collect();
    assert_eq!(found, sizes);
}

#[test]
fn a_walk_at_the_tail_goes_on_when_the_segment_grows() {
    let batches = batches(0, 4, 30);
    let bytes = joined(&batches);
    let starts = starts(&batches);
    let mut walker = walker_over(&bytes, 0, OffsetRule::Dense);
    walker.end = starts[1] as u64;
    assert_eq!(walk_all(&mut walker, &[]).batches.len(), 1);
    for (n, end) in [(1, starts[2]), (2, bytes.len())] {
        walker.extend_end(FilePosition::new(end as u32));
        assert_eq!(walk_all(&mut walker, &[]).batches.len(), n);
    }
}

#[test]
fn a_hole_is_damage_in_a_dense_segment_and_none_in_an_ascending_one() {
    let bytes = [batch(0, 2, 1, 9), batch(7, 2, 2, 9), batch(9, 1, 3, 9)].concat();
    let walked = walk_all(&mut walker_over(&bytes, 0, OffsetRule::Ascending), &[]);
    assert_eq!((walked.batches.len(), walked.gaps.len()), (3, 0));
    let spot = bad(&mut walker_over(&bytes, 0, OffsetRule::Dense));
    assert_eq!(
        (spot.kind, spot.header_offset),
        (BadKind::Header, Some(offset(7)))
    );
}

#[test]
fn offsets_above_what_a_segment_can_hold_are_damage() {
    let far = batch(10 + MAX_SEGMENT_OFFSET_SPAN + 1, 1, 1, 9);
    let bytes = [batch(10, 1, 1, 9), far].concat();
    let walked = walk_all(&mut walker_over(&bytes, 10, OffsetRule::Ascending), &[]);
    assert_eq!((walked.batches.len(), walked.gaps), (1, vec![(11, None)]));
}

/// An entry of message format 0 or 1.
fn old_entry(last_offset: u64, magic: u8, payload: &[u8]) -> Vec<u8> {
    let mut covered = vec![magic, 0];
    if magic == 1 {
        covered.extend_from_slice(&5i64.to_be_bytes());
    }
    covered.extend_from_slice(&(-1i32).to_be_bytes());
    covered.extend_from_slice(&(payload.len() as i32).to_be_bytes());
    covered.extend_from_slice(payload);
    let mut entry = last_offset.to_be_bytes().to_vec();
    entry.extend_from_slice(&(covered.len() as u32 + 4).to_be_bytes());
    entry.extend_from_slice(&crc32fast::hash(&covered).to_be_bytes());
    entry.extend_from_slice(&covered);
    entry
}

#[test]
fn a_run_of_old_batches_is_one_step_up_to_the_next_batch() {
    let old: Vec<u8> = [
        old_entry(0, 0, b""),
        old_entry(3, 1, b"value"),
        old_entry(4, 0, b"v"),
    ]
    .concat();
    let old_bytes = old.len();
    let bytes = [old.clone(), batch(9, 2, 1, 9)].concat();
    let mut walker = walker_over(&bytes, 0, OffsetRule::Ascending);
    let Step::OldFormat { position, from, to } = walker.step().expect("memory reads") else {
        panic!("old format");
    };
    assert_eq!((position.get(), from, to), (0, offset(0), offset(9)));
    assert_eq!(walker.position().get() as usize, old_bytes);
    assert!(matches!(walker.step(), Ok(Step::Batch(_))));

    let walked = walk_all(&mut walker_over(&old, 0, OffsetRule::Ascending), &[]);
    assert_eq!(walked.gaps, [(0, Some(5))]);

    let mut damaged = bytes;
    damaged[old_bytes - 1] ^= 1;
    let walked = walk_all(&mut walker_over(&damaged, 0, OffsetRule::Ascending), &[]);
    assert_eq!(
        walked.gaps,
        [(0, Some(4)), (4, Some(9))],
        "its own checksum tells"
    );
}

#[test]
fn a_walk_that_an_index_misleads_starts_over_at_the_base() {
    let batches = batches(0, 10, 30);
    let bytes = joined(&batches);
    let starts = starts(&batches);
    let memory = Memory::new();
    let path = Path::new("/log");
    memory
        .create(path)
        .expect("created")
        .write_at(&bytes, 0)
        .expect("written");
    let start = WalkStart {
        position: FilePosition::ZERO,
        end: FilePosition::new(bytes.len() as u32),
        expected: Offset::ZERO,
        rule: OffsetRule::Dense,
        max_decompressed_bytes: NO_LIMIT,
    };
    let first = |position: usize, last: u64| {
        let claim = Claim {
            position: FilePosition::new(position as u32),
            last: offset(last),
            at_least: Offset::ZERO,
            base: Offset::ZERO,
        };
        let file = memory.open(path, Access::Read).expect("opened");
        let mut walker = Walker::from_claim(file, path, claim, start);
        match walker.step().expect("memory reads") {
            Step::Batch(found) => found.batch.base_offset().get(),
            other => panic!("no batch: {other:?}"),
        }
    };
    assert_eq!(first(starts[4], 14), 12, "a right claim");
    assert_eq!(first(starts[4], 11), 0, "the batch there ends higher");
    assert_eq!(first(starts[4] + 1, 14), 0, "no batch there");
    assert_eq!(first(bytes.len() + 9, 14), 0, "beyond the end");
    let lowered = [
        &bytes[..starts[4] + BASE_OFFSET_AT + 7],
        &[2],
        &bytes[starts[4] + 8..],
    ]
    .concat();
    memory
        .open(path, Access::Write)
        .expect("opened")
        .write_at(&lowered, 0)
        .expect("written");
    assert_eq!(first(starts[4], 14), 0, "its base offset was damaged");
}

#[test]
fn random_bytes_end_without_a_panic_and_with_no_batch() {
    let mut random = Random::new(11);
    let (cases, most) = if cfg!(miri) { (5, 300) } else { (300, 3_000) };
    for _ in 0..cases {
        let len = random.below(most);
        let bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
        let walked = walk_all(&mut walker_over(&bytes, 0, OffsetRule::Ascending), &[]);
        assert!(walked.batches.is_empty(), "seed {}", random.seed);
    }
}

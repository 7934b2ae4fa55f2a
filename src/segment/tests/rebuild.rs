//! What a walk over a whole file derives, and where it ends.

use super::*;
use crate::error::{Error, ErrorKind};
use crate::ids::ProducerId;
use crate::segment::rebuild::{GapKind, Rebuilt, SegmentGap, rebuild};
use crate::segment::{AbortedTransaction, BadKind, SegmentFiles, SegmentShape, copy_tail};

fn rebuilt(home: &SegmentHome, base: u64, rule: OffsetRule, skip_below: Offset) -> Rebuilt {
    rebuild(
        home,
        offset(base),
        rule,
        settings(),
        skip_below,
        &mut |_| Ok(()),
    )
    .expect("memory reads")
}

fn write_log(home: &SegmentHome, base: u64, bytes: &[u8]) {
    write_file(home, FileName::Log(offset(base)), bytes);
}

#[test]
fn a_rebuilt_segment_has_the_files_that_a_seal_writes() {
    let sealed = home();
    let batches = batches(50, 300, 120);
    let (_, facts) = segment_with(&sealed, 50, &batches)
        .seal(at_ms(9_000))
        .expect("sealed");
    let names = FileName::of_segment(offset(50));
    let [log, index, times, aborted] = names.map(|name| read_file(&sealed, name));

    let other = home();
    write_log(&other, 50, &log.expect("there"));
    write_file(&other, names[3], &[1; 34]);
    let rebuilt = rebuilt(&other, 50, OffsetRule::Dense, Offset::ZERO);
    assert_eq!((rebuilt.bad.is_none(), rebuilt.end), (true, offset(950)));
    assert_eq!(rebuilt.largest_timestamp(), Some(at_ms(1_299)));
    let written = rebuilt
        .write_indexes(&other, &[], at_ms(9_000))
        .expect("written");
    assert_eq!(written, facts);
    assert_eq!(read_file(&other, names[1]), index);
    assert_eq!(read_file(&other, names[2]), times);
    assert_eq!(read_file(&other, names[3]), aborted);
}

#[test]
fn each_good_batch_is_visited_in_order_and_an_error_of_the_visitor_ends_the_walk() {
    let home = home();
    write_log(&home, 0, &batches(0, 10, 10).concat());
    let mut seen = Vec::new();
    let rule = OffsetRule::Dense;
    rebuild(
        &home,
        offset(0),
        rule,
        settings(),
        Offset::ZERO,
        &mut |found| {
            seen.push(found.batch.base_offset().get());
            Ok(())
        },
    )
    .expect("memory reads");
    assert_eq!(seen, (0..10).map(|n| 3 * n).collect::<Vec<u64>>());
    let error = rebuild(
        &home,
        offset(0),
        rule,
        settings(),
        Offset::ZERO,
        &mut |_| Err(Error::new(ErrorKind::Fenced, "an old producer")),
    )
    .expect_err("the visitor's");
    assert_eq!(error.kind(), ErrorKind::Fenced);
}

#[test]
fn random_corruption_at_a_random_point_keeps_exactly_the_records_before_it() {
    let mut random = Random::new(0x5e6);
    let batches = batches(0, 40, 25);
    let good = batches.concat();
    for _ in 0..400 {
        let at = random.below(good.len());
        let mut bytes = good.clone();
        let garbage = 1 + random.below(200);
        for byte in bytes.iter_mut().skip(at).take(garbage) {
            *byte = random.below(256) as u8;
        }
        bytes.truncate(bytes.len() - random.below(3) * random.below(500));
        // Epochs are the business of floors above; a damage that changes nothing is none.
        let kept = batches
            .iter()
            .scan(0, |end, batch| {
                let start = *end;
                *end += batch.len();
                Some(start..*end)
            })
            .take_while(|range| {
                let same = |at: usize| bytes.get(at) == good.get(at);
                range.end <= bytes.len()
                    && range
                        .clone()
                        .all(|at| same(at) || (12..16).contains(&(at - range.start)))
            })
            .count();
        let home = home();
        write_log(&home, 0, &bytes);
        let rebuilt = rebuilt(&home, 0, OffsetRule::Dense, Offset::ZERO);
        let valid: usize = batches[..kept].iter().map(Vec::len).sum();
        assert_eq!(rebuilt.valid.get() as usize, valid, "SEED={}", random.seed);
        assert_eq!(rebuilt.end.get(), 3 * kept as u64, "SEED={}", random.seed);
        assert_eq!(
            rebuilt.bad.is_none(),
            valid == bytes.len(),
            "SEED={}",
            random.seed
        );

        let segment = ActiveSegment::resume(home.clone(), rebuilt, settings()).expect("resumed");
        assert_eq!(segment.size().get() as usize, valid);
        let log = segment.files().log_file().expect("open");
        assert_eq!(log.len().expect("known") as usize, valid, "the rest is cut");
    }
}

#[test]
fn a_resumed_segment_appends_and_seals_as_if_nothing_had_happened() {
    let batches = batches(0, 120, 100);
    let untouched = home();
    let (_, expected) = segment_with(&untouched, 0, &batches)
        .seal(at_ms(9_000))
        .expect("sealed");

    let home = home();
    let mut bytes = batches[..80].concat();
    bytes.resize(bytes.len() + 70_000, 0);
    write_log(&home, 0, &bytes);
    for name in &FileName::of_segment(offset(0))[1..] {
        write_file(&home, *name, b"stale");
    }
    let rebuilt = rebuilt(&home, 0, OffsetRule::Dense, Offset::ZERO);
    assert_eq!(
        rebuilt.bad.as_ref().map(|spot| spot.kind),
        Some(BadKind::ZeroTail)
    );
    let mut segment = ActiveSegment::resume(home.clone(), rebuilt, settings()).expect("resumed");
    for name in &FileName::of_segment(offset(0))[1..] {
        assert_eq!(read_file(&home, *name), None);
    }
    for batch in &batches[80..] {
        append(&mut segment, batch);
    }
    let (_, facts) = segment.seal(at_ms(9_000)).expect("sealed");
    assert_eq!(facts, expected);
    for name in FileName::of_segment(offset(0)) {
        assert_eq!(
            read_file(&home, name),
            read_file(&untouched, name),
            "{name}"
        );
    }
}

#[test]
fn damage_below_the_durable_end_is_a_gap_and_damage_above_it_the_end() {
    let batches = batches(0, 10, 20);
    let mut bytes = batches.concat();
    let start = |n: usize| batches[..n].iter().map(Vec::len).sum::<usize>();
    bytes[start(2) + 70] ^= 1;
    bytes[start(6) + 70] ^= 1;
    let home = home();
    write_log(&home, 0, &bytes);
    let gap = |n: usize| SegmentGap {
        from: offset(3 * n as u64),
        to: offset(3 * n as u64 + 3),
        position: FilePosition::new(start(n) as u32),
        cause: GapKind::Damaged("batch checksum mismatch"),
    };
    for (durable, gaps, end) in [
        (0, vec![], 6),
        (6, vec![], 6),
        (9, vec![gap(2)], 18),
        (20, vec![gap(2)], 18),
        (21, vec![gap(2), gap(6)], 30),
        (30, vec![gap(2), gap(6)], 30),
    ] {
        let skip_below = offset(durable);
        let rebuilt = rebuilt(&home, 0, OffsetRule::Dense, skip_below);
        assert_eq!(
            (&rebuilt.gaps, rebuilt.end),
            (&gaps, offset(end)),
            "durable to {durable}"
        );
        assert_eq!(rebuilt.prefix_crc().is_some(), gaps.is_empty());
        assert_eq!(rebuilt.valid.get() as usize, start(end as usize / 3));
    }
}

#[test]
fn a_rebuilt_index_of_aborted_transactions_reads_as_it_was_given() {
    let home = home();
    write_log(&home, 0, &batches(0, 20, 10).concat());
    let entry = AbortedTransaction {
        producer: ProducerId::new(9).expect("positive"),
        first: offset(3),
        last: offset(30),
        last_stable: offset(31),
    };
    let rebuilt = rebuilt(&home, 0, OffsetRule::Dense, Offset::ZERO);
    let facts = rebuilt
        .write_indexes(&home, &[entry], at_ms(1))
        .expect("written");
    let size = home
        .storage
        .open(&home.path(FileName::Log(offset(0))), Access::Read);
    let size = size.expect("there").len().expect("known");
    let shape = SegmentShape {
        base: facts.base,
        end: facts.end,
        size_bytes: u32::try_from(size).expect("small"),
        sealed_at: None,
    };
    let files = SegmentFiles::sealed(home, shape);
    let (found, complete) = files.aborted(offset(0)..offset(31)).expect("read");
    assert_eq!((found, complete), (vec![entry], true));
}

#[test]
fn a_tail_is_copied_byte_for_byte_and_an_older_copy_is_overwritten() {
    let home = home();
    let batches = batches(0, 3_000, 400);
    let bytes = batches.concat();
    write_log(&home, 0, &bytes);
    let from: usize = batches[..5].iter().map(Vec::len).sum();
    write_file(
        &home,
        FileName::Prepared(offset(15)),
        &vec![7; bytes.len() * 2],
    );
    let (from, to) = (
        FilePosition::new(from as u32),
        FilePosition::new(bytes.len() as u32),
    );
    let path = copy_tail(&home, offset(0), from, to, offset(15)).expect("copied");
    assert_eq!(path, home.path(FileName::Prepared(offset(15))));
    let copy = read_file(&home, FileName::Prepared(offset(15))).expect("there");
    assert_eq!(copy, bytes[from.get() as usize..]);
}

#[test]
fn a_copy_without_room_leaves_nothing_behind() {
    let storage = Arc::new(Memory::with_capacity_bytes(150_000));
    let home = home_on(storage);
    write_log(&home, 0, &[1; 100_000]);
    let to = FilePosition::new(100_000);
    let error = copy_tail(&home, offset(0), FilePosition::ZERO, to, offset(0)).expect_err("full");
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!(read_file(&home, FileName::Prepared(offset(0))), None);
}

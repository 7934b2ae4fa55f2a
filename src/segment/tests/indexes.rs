//! The three indexes: bytes, lookups, and what becomes of ones that do not fit.

use super::*;
use crate::ids::ProducerId;
use crate::segment::offset_index::{self, OffsetEntry};
use crate::segment::time_index::{self, TimeEntry};
use crate::segment::txn_index;
use crate::segment::{AbortedTransaction, SegmentFiles, SegmentShape};

fn offset_entry(last: u64, position: u32) -> OffsetEntry {
    OffsetEntry::new(offset(1_000), offset(last), FilePosition::new(position)).expect("in reach")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn entries_are_the_bytes_that_kafka_writes() {
    let entry = offset_entry(1_055, 4_200);
    assert_eq!(hex(&entry.encode()), "0000003700001068");
    let at = at_ms(1_700_000_000_000);
    let entry = TimeEntry::new(offset(1_000), at, offset(1_055)).expect("in reach");
    assert_eq!(hex(&entry.encode()), "0000018bcfe5680000000037");
    let entry = AbortedTransaction {
        producer: ProducerId::new(1_234).expect("positive"),
        first: offset(10),
        last: offset(42),
        last_stable: offset(43),
    };
    let bytes = entry.encode();
    assert_eq!(
        hex(&bytes),
        "000000000000000004d2000000000000000a000000000000002a000000000000002b"
    );
    assert_eq!(
        txn_index::decode(&bytes, offset(0), offset(43)),
        Some(vec![entry])
    );
}

#[test]
fn an_offset_lookup_finds_the_last_entry_at_or_below() {
    let entries = [offset_entry(1_055, 4_200), offset_entry(1_080, 9_000)];
    let at = |target: u64| {
        offset_index::lookup(&entries, offset(1_000), offset(target))
            .map(|(entry, before)| (entry.position.get(), before.map(|e| e.position.get())))
    };
    assert_eq!(at(1_000), None);
    assert_eq!(at(1_054), None);
    assert_eq!(at(1_055), Some((4_200, None)));
    assert_eq!(at(1_079), Some((4_200, None)));
    assert_eq!(at(1_080), Some((9_000, Some(4_200))));
    assert_eq!(at(5_000), Some((9_000, Some(4_200))));
}

#[test]
fn a_time_lookup_finds_the_last_entry_at_or_below() {
    let entry = |at, last| TimeEntry::new(offset(0), at_ms(at), offset(last)).expect("in reach");
    let entries = [entry(10, 4), entry(30, 9)];
    assert_eq!(time_index::lookup(&entries, at_ms(9)), None);
    assert_eq!(time_index::lookup(&entries, at_ms(10)), Some(entries[0]));
    assert_eq!(time_index::lookup(&entries, at_ms(29)), Some(entries[0]));
    assert_eq!(time_index::lookup(&entries, at_ms(31)), Some(entries[1]));
}

#[test]
fn an_offset_beyond_31_bits_has_no_entry() {
    let position = FilePosition::new(1);
    assert!(OffsetEntry::new(offset(5), offset(5 + 0x7fff_ffff), position).is_some());
    assert!(OffsetEntry::new(offset(5), offset(5 + 0x8000_0000), position).is_none());
    assert!(OffsetEntry::new(offset(5), offset(4), position).is_none());
    assert!(TimeEntry::new(offset(5), at_ms(1), offset(5 + 0x8000_0000)).is_none());
}

#[test]
fn an_offset_index_that_does_not_fit_its_segment_is_refused() {
    let decode = |entries: &[OffsetEntry], extra: &[u8]| {
        let bytes = [offset_index::encode(entries), extra.to_vec()].concat();
        let (end, size) = (offset(1_100), FilePosition::new(10_000));
        offset_index::decode(&bytes, offset(1_000), end, size)
    };
    let good = [offset_entry(1_055, 4_200), offset_entry(1_080, 9_000)];
    assert_eq!(decode(&good, &[]).as_deref(), Some(&good[..]));
    assert_eq!(decode(&[], &[]), Some(vec![]));
    for (what, entries, extra) in [
        ("zeros behind it", good.to_vec(), vec![0; 8]),
        ("a part of an entry", good.to_vec(), vec![0; 3]),
        ("only zeros", vec![], vec![0; 16]),
        ("offsets that go back", vec![good[1], good[0]], vec![]),
        (
            "an offset twice",
            vec![good[0], offset_entry(1_055, 5_000)],
            vec![],
        ),
        (
            "a position twice",
            vec![good[0], offset_entry(1_056, 4_200)],
            vec![],
        ),
        (
            "a position behind the end",
            vec![offset_entry(1_055, 10_000)],
            vec![],
        ),
        (
            "an offset behind the end",
            vec![offset_entry(1_100, 9_999)],
            vec![],
        ),
    ] {
        assert_eq!(decode(&entries, &extra), None, "{what}");
    }
}

#[test]
fn a_time_index_that_does_not_fit_its_segment_is_refused() {
    let entry = |at, last| TimeEntry::new(offset(0), at_ms(at), offset(last)).expect("in reach");
    let decode = |entries: &[TimeEntry], extra: &[u8]| {
        let bytes = [time_index::encode(entries), extra.to_vec()].concat();
        time_index::decode(&bytes, offset(0), offset(100))
    };
    let good = [entry(0, 4), entry(30, 4), entry(40, 99)];
    assert_eq!(decode(&good, &[]).as_deref(), Some(&good[..]));
    for (what, entries, extra) in [
        ("zeros behind it", good.to_vec(), vec![0; 12]),
        ("a part of an entry", good.to_vec(), vec![0; 3]),
        ("a time twice", vec![entry(5, 4), entry(5, 6)], vec![]),
        ("times that go back", vec![entry(5, 4), entry(4, 6)], vec![]),
        (
            "offsets that go back",
            vec![entry(5, 4), entry(6, 3)],
            vec![],
        ),
        ("an offset behind the end", vec![entry(5, 100)], vec![]),
        ("no time", vec![entry(-1, 4)], vec![]),
    ] {
        assert_eq!(decode(&entries, &extra), None, "{what}");
    }
}

#[test]
fn an_index_of_aborted_transactions_that_does_not_fit_its_segment_is_refused() {
    let entry = |first, last| AbortedTransaction {
        producer: ProducerId::new(1).expect("positive"),
        first: offset(first),
        last: offset(last),
        last_stable: offset(last + 1),
    };
    let decode = |bytes: &[u8]| txn_index::decode(bytes, offset(10), offset(100));
    let good = vec![entry(3, 12), entry(20, 99)];
    let bytes = txn_index::encode(&good);
    assert_eq!(decode(&bytes), Some(good.clone()));
    assert_eq!(
        decode(&bytes[..bytes.len() - 1]),
        Some(good[..1].to_vec()),
        "a short entry"
    );
    assert_eq!(
        decode(&txn_index::encode(&[good[1], good[0]])),
        None,
        "markers that go back"
    );
    assert_eq!(
        decode(&txn_index::encode(&[entry(3, 9)])),
        None,
        "a marker before the segment"
    );
    assert_eq!(
        decode(&txn_index::encode(&[entry(3, 100)])),
        None,
        "a marker behind it"
    );
    assert_eq!(
        decode(&txn_index::encode(&[entry(30, 20)])),
        None,
        "it ends before it begins"
    );
    let mut newer = bytes;
    newer[1] = 1;
    assert_eq!(decode(&newer), None, "another version");
}

#[test]
fn aborted_transactions_are_collected_as_kafka_does() {
    // TransactionIndexTest.testCollectAbortedTransactions
    let entry = |first, last, last_stable| AbortedTransaction {
        producer: ProducerId::new(0).expect("not negative"),
        first: offset(first),
        last: offset(last),
        last_stable: offset(last_stable),
    };
    let all = [
        entry(0, 10, 11),
        entry(5, 15, 13),
        entry(18, 35, 25),
        entry(32, 50, 40),
    ];
    let collect = |from, to| txn_index::overlapping(&all, &(offset(from)..offset(to)));
    assert_eq!(collect(0, 100), (all.to_vec(), false));
    assert_eq!(collect(0, 32), (all[..3].to_vec(), true));
    assert_eq!(collect(0, 35), (all.to_vec(), true));
    assert_eq!(collect(10, 35), (all.to_vec(), true));
    assert_eq!(collect(11, 35), (all[1..].to_vec(), true));
    assert_eq!(collect(20, 41), (all[2..].to_vec(), false));
}

#[test]
fn the_first_batch_never_has_an_entry_and_the_interval_is_tested_before_it_is_added_to() {
    let home = home();
    // 141 bytes each: the 30th is the first with more than 4096 bytes before it.
    let batches: Vec<Vec<u8>> = (0..100)
        .map(|n| batch(n, 1, 1_000 + n as i64, 71))
        .collect();
    assert_eq!(batches[0].len(), 141);
    segment_with(&home, 0, &batches).close().expect("closed");
    let bytes = read_file(&home, FileName::OffsetIndex(offset(0))).expect("there");
    let expected = [(30u32, 30 * 141u32), (60, 60 * 141), (90, 90 * 141)];
    let expected: Vec<u8> = expected
        .iter()
        .flat_map(|(last, position)| [last.to_be_bytes(), position.to_be_bytes()].concat())
        .collect();
    assert_eq!(hex(&bytes), hex(&expected));
    let times = read_file(&home, FileName::TimeIndex(offset(0))).expect("there");
    let expected: Vec<u8> = [(1_030i64, 30u32), (1_060, 60), (1_090, 90), (1_099, 99)]
        .iter()
        .flat_map(|(at, last)| [&at.to_be_bytes()[..], &last.to_be_bytes()].concat())
        .collect();
    assert_eq!(hex(&times), hex(&expected));
}

#[test]
fn the_time_index_names_the_earliest_batch_with_the_largest_time() {
    let home = home();
    let batches: Vec<Vec<u8>> = [(0, 5), (2, 9), (4, 9), (6, 3)]
        .iter()
        .map(|(base, at)| batch(*base, 2, *at, 10))
        .collect();
    segment_with(&home, 0, &batches).close().expect("closed");
    let times = read_file(&home, FileName::TimeIndex(offset(0))).expect("there");
    assert_eq!(hex(&times), "000000000000000900000003");
}

/// A sealed segment whose index files `spoil` has changed, not yet opened.
fn sealed_and(spoil: impl Fn(&SegmentHome)) -> Arc<SegmentFiles> {
    let home = home();
    let batches = batches(0, 300, 100);
    let (files, _) = segment_with(&home, 0, &batches)
        .seal(at_ms(9_000))
        .expect("sealed");
    spoil(&home);
    let shape = SegmentShape {
        base: files.base(),
        end: files.end(),
        size_bytes: files.size().get(),
        sealed_at: None,
    };
    SegmentFiles::sealed(home, shape)
}

fn check_all_is_found(files: &SegmentFiles, what: &str) {
    for rule in [OffsetRule::Dense, OffsetRule::Ascending] {
        for target in (0..900).step_by(7) {
            let mut walker = files
                .walk_from(offset(target), rule, NO_LIMIT)
                .expect("a walker");
            let found = find(&mut walker, target).expect(what);
            assert_eq!(
                found.batch.base_offset().get(),
                target - target % 3,
                "{what}"
            );
        }
        for n in (0..300).step_by(11) {
            let at = at_ms(1_000 + n);
            let mut walker = files.walk_from_time(at, rule, NO_LIMIT).expect("a walker");
            let walked = walk_all(&mut walker, &[]);
            let found = walked
                .batches
                .iter()
                .find(|found| found.batch.max_timestamp() >= Some(at));
            let found = found.expect(what).batch.base_offset().get();
            assert_eq!(found, 3 * n as u64, "{what}");
        }
    }
    assert_eq!(
        files.largest_timestamp().expect("known"),
        Some(at_ms(1_299)),
        "{what}"
    );
}

#[test]
fn a_wrong_index_never_hides_a_record() {
    let names = FileName::of_segment(offset(0));
    let (index, times) = (names[1], names[2]);
    let change = |name: FileName, change: fn(&mut Vec<u8>)| {
        move |home: &SegmentHome| {
            let mut bytes = read_file(home, name).expect("there");
            change(&mut bytes);
            write_file(home, name, &bytes);
        }
    };
    check_all_is_found(&sealed_and(|_| {}), "both right");
    for name in [index, times] {
        check_all_is_found(
            &sealed_and(|home| home.remove(name).expect("removed")),
            "missing",
        );
        check_all_is_found(&sealed_and(change(name, Vec::clear)), "empty");
        check_all_is_found(
            &sealed_and(change(name, |bytes| bytes.extend([0; 24]))),
            "zeros",
        );
        check_all_is_found(
            &sealed_and(change(name, |bytes| bytes.fill(0))),
            "only zeros",
        );
        check_all_is_found(
            &sealed_and(change(name, |bytes| bytes.fill(0xff))),
            "only ones",
        );
        check_all_is_found(
            &sealed_and(change(name, |bytes| bytes.resize(9 << 20, 0))),
            "long",
        );
    }
    let off_by_one = sealed_and(change(index, |bytes| {
        for entry in bytes.chunks_mut(8) {
            entry[7] ^= 1;
        }
    }));
    check_all_is_found(&off_by_one, "positions inside of batches");
    let shifted = sealed_and(change(index, |bytes| {
        for entry in bytes.chunks_mut(8) {
            let last = u32::from_be_bytes([entry[0], entry[1], entry[2], entry[3]]) - 30;
            entry[..4].copy_from_slice(&last.to_be_bytes());
        }
    }));
    check_all_is_found(&shifted, "batches that stand further on");
    let earlier = sealed_and(change(times, |bytes| {
        let last = bytes.len() - 12;
        for entry in bytes[..last].chunks_mut(12) {
            let at = i64::from_be_bytes(entry[..8].try_into().expect("eight")) - 40;
            entry[..8].copy_from_slice(&at.to_be_bytes());
        }
    }));
    check_all_is_found(&earlier, "times of other batches");
}

#[test]
fn a_damaged_index_of_aborted_transactions_is_an_error_and_not_an_answer() {
    let files = sealed_and(|home| {
        write_file(home, FileName::TxnIndex(offset(0)), &[0xff; 34]);
    });
    let error = files.aborted(offset(0)..offset(9)).expect_err("damaged");
    assert_eq!(error.kind(), crate::error::ErrorKind::Corrupt);
}

#[test]
fn times_that_no_record_has_leave_an_empty_time_index() {
    let home = home();
    let mut bytes = batch(0, 1, 5, 10);
    // Max timestamp -1, the checksum right again.
    bytes[27..43].fill(0xff);
    let crc = crate::batch::header::checksum(&bytes);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let segment = segment_with(&home, 0, &[bytes]);
    let (files, _) = segment.seal(at_ms(9)).expect("sealed");
    assert_eq!(files.largest_timestamp().expect("known"), None);
    assert_eq!(
        read_file(&home, FileName::TimeIndex(offset(0))),
        Some(vec![])
    );
    let shape = SegmentShape {
        base: files.base(),
        end: files.end(),
        size_bytes: files.size().get(),
        sealed_at: None,
    };
    let files = SegmentFiles::sealed(home, shape);
    assert_eq!(files.largest_timestamp().expect("known"), None);
    files
        .walk_from_time(at_ms(3), OffsetRule::Dense, NO_LIMIT)
        .expect("a walker");
}

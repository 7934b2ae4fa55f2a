//! Damaged, missing and old batches: one typed gap each, and on behind it (promises 7 and 15).

use std::sync::Arc;

use super::*;
use crate::batch::header;
use crate::ids::LeaderEpoch;
use crate::partition::ReadUpTo;
use crate::segment::{SegmentFiles, SegmentShape};

#[test]
fn a_damaged_batch_is_one_gap_and_reading_goes_on() {
    let bench = written(9, small_segments());
    let (base, position, size) = place_of(&bench, 4);
    overwrite(&bench, base, position + size - 2, b"?");
    let mut cursor = earliest(&bench);
    let mut expected = records(0..4);
    expected.push(Seen::Gap(4, 5, GapCause::Damaged));
    expected.extend(records(5..9));
    assert_eq!(seen(&mut cursor), expected);
    assert_eq!(seen(&mut cursor), []);

    let error = bench.partition.get(offset(4)).unwrap_err();
    assert_eq!(gap(&error), Seen::Gap(4, 5, GapCause::Damaged));
    assert_eq!(error.position().map(|at| at.to_u64()), Some(position));
    assert!(error.path().unwrap().ends_with("00000000000000000004.log"));
    assert_eq!(bench.partition.get(offset(5)).unwrap().offset(), offset(5));
}

#[test]
fn every_damaged_header_byte_costs_that_batch_only() {
    // Base offset, length, leader epoch, magic.
    for byte in 0..17 {
        let bench = written(9, TopicOptions::default());
        let (base, position, _) = place_of(&bench, 4);
        overwrite(&bench, base, position + byte, &[0x55]);
        let mut expected = records(0..4);
        expected.push(Seen::Gap(4, 5, GapCause::Damaged));
        expected.extend(records(5..9));
        assert_eq!(seen(&mut earliest(&bench)), expected, "byte {byte}");
    }
}

#[test]
fn a_flipped_epoch_in_a_sealed_segment_costs_that_batch_only() {
    let bench = in_memory(small_segments());
    for epoch in 0..3 {
        let epoch = LeaderEpoch::new(epoch).unwrap();
        bench.partition.replica().begin_epoch(epoch).unwrap();
        append(&bench, 3);
    }
    // Epoch 1 is that of the offsets 3 to 5: 0 and 2 are known, and not there.
    for (at, to) in [(3, 0), (5, 2), (4, 7)] {
        let (base, position, _) = place_of(&bench, at);
        overwrite(&bench, base, position + 15, &[to]);
        let mut expected = records(0..at);
        expected.push(Seen::Gap(at, at + 1, GapCause::Damaged));
        expected.extend(records(at + 1..9));
        assert_eq!(seen(&mut earliest(&bench)), expected, "{at}");
        let error = bench.partition.get(offset(at)).unwrap_err();
        assert_eq!(gap(&error), Seen::Gap(at, at + 1, GapCause::Damaged));
        overwrite(&bench, base, position + 15, &[1]);
    }
}

#[test]
fn a_cursor_at_the_tail_takes_each_epoch_that_begins_for_what_it_is() {
    let bench = in_memory(TopicOptions::default());
    let mut cursor = earliest(&bench);
    for epoch in 0..5 {
        let number = LeaderEpoch::new(i32::try_from(epoch).unwrap()).unwrap();
        bench.partition.replica().begin_epoch(number).unwrap();
        append(&bench, 2);
        assert_eq!(seen(&mut cursor), records(epoch * 2..epoch * 2 + 2));
    }
    let replica = bench.partition.replica();
    replica.truncate_to(offset(5)).unwrap();
    let cut = [Seen::Gap(5, 10, GapCause::Truncated)];
    assert_eq!(seen(&mut cursor), cut);
    replica.begin_epoch(LeaderEpoch::new(9).unwrap()).unwrap();
    append(&bench, 2);
    assert_eq!(seen(&mut cursor), records(5..7));
}

#[test]
fn a_cursor_that_stands_at_a_leaders_tail_takes_a_followers_holes_for_no_damage() {
    let bench = written(3, TopicOptions::default());
    let mut cursor = earliest(&bench);
    assert_eq!(seen(&mut cursor), records(0..3));
    let mut builder = RecordBatchBuilder::new(Compression::None);
    builder.push(Record::new("a").timestamp(time(7))).unwrap();
    let batch = builder.finish().unwrap();
    let batch = batch.stamped(offset(7), LeaderEpoch::ZERO).unwrap();
    let replica = bench.partition.replica();
    replica
        .append_as_follower(batch.as_bytes().clone(), offset(8))
        .unwrap();
    assert_eq!(seen(&mut cursor), records(7..8));
}

#[test]
fn damage_at_the_end_takes_nothing_that_is_appended_later() {
    let bench = written(5, TopicOptions::default());
    let mut cursor = earliest(&bench);
    assert_eq!(cursor.by_ref().take(4).count(), 4);
    let (base, position, size) = place_of(&bench, 4);
    overwrite(&bench, base, position + size - 2, b"?");
    append(&bench, 3);
    // A new cursor: the one above has the bytes in its buffer, from before they were damaged.
    let mut other = bench.partition.cursor(Start::At(offset(4))).unwrap();
    let mut expected = vec![Seen::Gap(4, 5, GapCause::Damaged)];
    expected.extend(records(5..8));
    assert_eq!(seen(&mut other), expected);
    append(&bench, 1);
    assert_eq!(seen(&mut other), records(8..9));
    assert_eq!(seen(&mut cursor), records(4..9));
}

#[test]
fn damage_of_the_last_batch_is_told_before_and_after_more_is_appended() {
    let bench = written(5, TopicOptions::default());
    let (base, position, size) = place_of(&bench, 4);
    overwrite(&bench, base, position + size - 2, b"?");
    let mut cursor = earliest(&bench);
    let mut expected = records(0..4);
    expected.push(Seen::Gap(4, 5, GapCause::Damaged));
    assert_eq!(seen(&mut cursor), expected);
    append(&bench, 2);
    assert_eq!(seen(&mut cursor), records(5..7));
}

#[test]
fn a_gap_begins_at_the_cursor_and_not_before_it() {
    let bench = in_memory(TopicOptions::default());
    append_batch(&bench, &["a", "b", "c", "d"]);
    append_batch(&bench, &["e"]);
    overwrite(&bench, offset(0), 70, b"?");
    let mut cursor = bench.partition.cursor(Start::At(offset(2))).unwrap();
    assert_eq!(
        seen(&mut cursor),
        [Seen::Gap(2, 4, GapCause::Damaged), Seen::Record(4)]
    );
}

#[test]
fn a_segment_that_is_gone_is_missing_and_reading_goes_on_behind_it() {
    let bench = written(8, small_segments());
    // As after opening: no file is open yet.
    let sealed = |segment: &Arc<SegmentFiles>| {
        let shape = SegmentShape {
            base: segment.base(),
            end: segment.end(),
            size_bytes: segment.size().get(),
            sealed_at: None,
        };
        SegmentFiles::sealed(bench.core().home.clone(), shape)
    };
    let segments = bench.core().published.snapshot().segments;
    let segments = segments.iter().map(sealed).collect();
    bench.core().published.segments_changed(segments);
    let home = &bench.core().home;
    home.storage
        .remove(&home.path(FileName::Log(offset(2))))
        .unwrap();
    let mut expected = records(0..2);
    expected.push(Seen::Gap(2, 4, GapCause::Missing));
    expected.extend(records(4..8));
    assert_eq!(seen(&mut earliest(&bench)), expected);
    let error = bench.partition.get(offset(3)).unwrap_err();
    assert_eq!(gap(&error), Seen::Gap(3, 4, GapCause::Missing));
}

#[test]
fn a_segment_cut_at_a_batch_is_missing_its_end() {
    let bench = written(8, small_segments());
    let (base, position, _) = place_of(&bench, 3);
    assert_eq!((base, position > 0), (offset(2), true));
    cut_file(&bench, base, position);
    let mut expected = records(0..3);
    expected.push(Seen::Gap(3, 4, GapCause::Damaged));
    expected.extend(records(4..8));
    assert_eq!(seen(&mut earliest(&bench)), expected);
}

#[test]
fn a_log_that_ends_below_its_end_is_missing_the_rest() {
    let bench = written(3, TopicOptions::default());
    // As when the durable end is above what a directory still has.
    bench.core().published.appended(offset(5), None);
    let mut cursor = earliest(&bench);
    let mut expected = records(0..3);
    expected.push(Seen::Gap(3, 5, GapCause::Missing));
    assert_eq!(seen(&mut cursor), expected);
    assert_eq!(cursor.position(), offset(5));
    assert!(!cursor.wait(Duration::ZERO).unwrap());
}

#[test]
fn a_hole_between_segments_is_missing_only_where_offsets_are_dense() {
    let bench = written(6, small_segments());
    let without_second = |bench: &Bench| {
        let segments = bench.core().published.snapshot().segments;
        let left = segments.iter().filter(|s| s.base() != offset(2)).cloned();
        bench.core().published.segments_changed(left.collect());
    };
    without_second(&bench);
    let mut expected = records(0..2);
    expected.push(Seen::Gap(2, 4, GapCause::Missing));
    expected.extend(records(4..6));
    assert_eq!(seen(&mut earliest(&bench)), expected);

    bench.core().published.dense_from(Offset::MAX);
    let mut expected = records(0..2);
    expected.extend(records(4..6));
    assert_eq!(seen(&mut earliest(&bench)), expected);
}

#[test]
fn the_first_segment_above_the_start_is_missing_records_before_it() {
    let bench = written(6, small_segments());
    let segments = bench.core().published.snapshot().segments;
    bench
        .core()
        .published
        .segments_changed(segments[1..].to_vec());
    let mut expected = vec![Seen::Gap(0, 2, GapCause::Missing)];
    expected.extend(records(2..6));
    assert_eq!(seen(&mut earliest(&bench)), expected);
}

/// As a follower takes it: the checksum is right, and the records are not what the header says. Promise 7.
#[test]
fn records_that_do_not_decode_under_a_right_checksum_are_one_gap() {
    let bench = in_memory(TopicOptions::default());
    append(&bench, 1);
    let mut builder = RecordBatchBuilder::new(Compression::None);
    for value in ["a", "b", "c"] {
        builder.push(Record::new(value)).expect("a small record");
    }
    let mut bytes = Vec::new();
    builder.encode_into(time(1), &mut bytes).expect("small");
    header::stamp(&mut bytes, offset(1), LeaderEpoch::ZERO);
    // The last record says that it is longer than the batch.
    let last = bytes.len() - 8;
    bytes[last] = 0x7e;
    let crc = header::checksum(&bytes);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let replica = bench.partition.replica();
    let appended = replica
        .append_as_follower(bytes.into(), offset(4))
        .expect("not looked into");
    assert_eq!(appended, offset(1)..offset(4));
    append(&bench, 1);

    let mut cursor = earliest(&bench);
    let expected = [
        Seen::Record(0),
        Seen::Record(1),
        Seen::Record(2),
        Seen::Gap(3, 4, GapCause::Damaged),
        Seen::Record(4),
    ];
    assert_eq!(seen(&mut cursor), expected);
    assert_eq!(
        cursor.seek(Start::At(offset(3))).map_err(|e| e.kind()),
        Ok(())
    );
    assert_eq!(seen(&mut cursor), expected[3..]);
    assert_eq!(kind(bench.partition.get(offset(3))), ErrorKind::Corrupt);
}

#[test]
fn the_hole_of_a_follower_is_no_gap() {
    let leader = written(9, TopicOptions::default());
    let follower = in_memory(small_segments());
    let replica = follower.partition.replica();
    for batch in leader.batches_from(offset(0)) {
        if batch.base_offset() != offset(3) && batch.base_offset() != offset(6) {
            replica
                .append_as_follower(batch.as_bytes().clone(), offset(0))
                .unwrap();
        }
    }
    let expected = [0, 1, 2, 4, 5, 7, 8].map(Seen::Record);
    assert_eq!(seen(&mut earliest(&follower)), expected);
    let mut cursor = follower.partition.cursor(Start::At(offset(6))).unwrap();
    assert_eq!(seen(&mut cursor), records(7..9));
    assert_eq!(kind(follower.partition.get(offset(6))), ErrorKind::NotFound);
}

#[test]
fn a_run_of_old_batches_is_one_gap_with_a_way_out() {
    let bench = written(4, TopicOptions::default());
    // A message of format 1 of the same size in place of records 1 and 2.
    let (base, first, _) = place_of(&bench, 1);
    for (at, position) in [(1u64, first), (2, place_of(&bench, 2).1)] {
        let size = place_of(&bench, at).2 as usize;
        overwrite(&bench, base, position, &old_message(at, size));
    }
    let mut cursor = earliest(&bench);
    assert_eq!(cursor.next().unwrap().unwrap().offset(), offset(0));
    let error = cursor.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(gap(&error), Seen::Gap(1, 3, GapCause::OldFormat));
    assert_eq!(seen(&mut cursor), records(3..4));
}

fn old_message(offset: u64, size: usize) -> Vec<u8> {
    let mut bytes = offset.to_be_bytes().to_vec();
    bytes.extend(u32::try_from(size - 12).unwrap().to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend([1, 0]);
    bytes.extend([0; 8]);
    bytes.extend((-1i32).to_be_bytes());
    let value = size - bytes.len() - 4;
    bytes.extend(u32::try_from(value).unwrap().to_be_bytes());
    bytes.resize(size, b'x');
    let crc = crc32fast::hash(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn damage_above_the_limit_is_not_told_before_the_limit_reaches_it() {
    let bench = written(3, TopicOptions::default());
    bench.partition.sync().unwrap();
    append(&bench, 1);
    let (base, position, size) = place_of(&bench, 3);
    overwrite(&bench, base, position + size - 2, b"?");
    let mut cursor = earliest(&bench).read_up_to(ReadUpTo::Durable);
    assert_eq!(seen(&mut cursor), records(0..3));
    bench.partition.sync().unwrap();
    assert_eq!(seen(&mut cursor), [Seen::Gap(3, 4, GapCause::Damaged)]);
}

//! The active segment: append, seal, close, reopen, truncate, and what happens when the medium refuses.

use std::sync::Arc;

use super::*;
use crate::batch::HEADER_BYTES;
use crate::error::ErrorKind;
use crate::ids::ProducerId;
use crate::segment::{AbortedTransaction, Reopened, SegmentFiles, SegmentShape};
use crate::storage::Memory;

fn bases(walked: &Walked) -> Vec<u64> {
    walked
        .batches
        .iter()
        .map(|found| found.batch.base_offset().get())
        .collect()
}

fn all_bases(segment: &ActiveSegment) -> Vec<u64> {
    let mut walker = segment
        .files()
        .walk(OffsetRule::Ascending, NO_LIMIT)
        .expect("a walker");
    bases(&walk_all(&mut walker, &[]))
}

fn reopened(home: &SegmentHome, base: u64) -> ActiveSegment {
    match ActiveSegment::reopen(home.clone(), offset(base), settings()).expect("memory reads") {
        Reopened::Ready(segment) => segment,
        Reopened::Damaged(what) => panic!("{what}"),
    }
}

fn aborted(first: u64, last: u64, last_stable: u64) -> AbortedTransaction {
    AbortedTransaction {
        producer: ProducerId::new(1234).expect("positive"),
        first: offset(first),
        last: offset(last),
        last_stable: offset(last_stable),
    }
}

#[test]
fn what_is_appended_is_shown_to_readers_at_once() {
    let home = home();
    let mut segment = segment_with(&home, 10, &[]);
    let files = Arc::clone(segment.files());
    assert!(segment.is_empty());
    let mut walker = files.walk(OffsetRule::Dense, NO_LIMIT).expect("a walker");
    for (n, batch) in batches(10, 5, 40).iter().enumerate() {
        append(&mut segment, batch);
        assert_eq!(files.end(), offset(13 + 3 * n as u64));
        assert_eq!(files.size(), segment.size());
        walker.extend_end(files.size());
        assert_eq!(walk_all(&mut walker, &[]).batches.len(), 1);
    }
    assert_eq!(segment.index_state().first_timestamp, Some(at_ms(1_000)));
    assert_eq!(
        files.largest_timestamp().expect("known"),
        Some(at_ms(1_004))
    );
}

#[test]
fn several_batches_of_one_append_are_indexed_each() {
    let home = home();
    let mut segment = segment_with(&home, 0, &[]);
    let batches = batches(0, 30, 300);
    let headers: Vec<BatchHeader> = batches.iter().map(|batch| header(batch)).collect();
    let at = segment
        .append(&batches.concat(), &headers)
        .expect("appended");
    assert_eq!(at, FilePosition::ZERO);
    let one_by_one = segment_with(&super::home(), 0, &batches);
    let (together, apart) = (segment.close(), one_by_one.close());
    let together = together
        .expect("closed")
        .positions_above(FilePosition::ZERO);
    let apart = apart.expect("closed").positions_above(FilePosition::ZERO);
    assert_eq!(together.expect("read"), apart.expect("read"));
}

#[test]
fn every_offset_is_found_while_the_segment_grows_and_after_the_seal() {
    let home = home();
    // Holes between the batches: each spans three offsets of five.
    let batches: Vec<Vec<u8>> = (0..200)
        .map(|n| batch(1_000 + 5 * n, 3, 1_000 + n as i64, 50))
        .collect();
    let segment = segment_with(&home, 1_000, &batches);
    let check = |files: &SegmentFiles, rule: OffsetRule| {
        for target in 1_000..1_998 {
            let mut walker = files
                .walk_from(offset(target), rule, NO_LIMIT)
                .expect("a walker");
            let found = find(&mut walker, target).expect("at or above");
            let in_step = (target - 1_000) % 5;
            let first = target - in_step + if in_step < 3 { 0 } else { 5 };
            assert_eq!(found.batch.base_offset().get(), first, "for {target}");
        }
        for n in 0..200u64 {
            let at = at_ms(1_000 + n as i64);
            let mut walker = files.walk_from_time(at, rule, NO_LIMIT).expect("a walker");
            let walked = walk_all(&mut walker, &[]);
            let found = walked
                .batches
                .iter()
                .find(|found| found.batch.max_timestamp() >= Some(at));
            let found = found.expect("there is one").batch.base_offset().get();
            assert_eq!(found, 1_000 + 5 * n);
        }
    };
    check(segment.files(), OffsetRule::Ascending);
    let (files, facts) = segment.seal(at_ms(5_000)).expect("sealed");
    assert_eq!((facts.base, facts.end), (offset(1_000), offset(1_998)));
    assert!(files.is_sealed());
    check(&files, OffsetRule::Ascending);
    files.release();
    check(&files, OffsetRule::Ascending);
    let shape = SegmentShape {
        base: offset(1_000),
        end: offset(1_998),
        size_bytes: files.size().get(),
        sealed_at: None,
    };
    check(&SegmentFiles::sealed(home, shape), OffsetRule::Ascending);
}

#[test]
fn the_newest_batches_are_found_without_walking_over_others() {
    let batches = batches(0, 300, 10);
    let segment = segment_with(&home(), 0, &batches);
    for target in 3..900 {
        let files = segment.files();
        let mut walker = files
            .walk_from(offset(target), OffsetRule::Dense, NO_LIMIT)
            .expect("a walker");
        let Step::Batch(first) = walker.step().expect("memory reads") else {
            panic!("a batch");
        };
        assert!(first.batch.base_offset().get() <= target);
        assert!(first.batch.last_offset().get() >= target);
    }
}

#[test]
fn a_sealed_segment_is_cut_to_its_last_batch_and_bears_the_time_of_its_seal() {
    let home = home();
    let batches = batches(0, 100, 200);
    let mut segment = segment_with(&home, 0, &batches[..50]);
    segment.prepare(10).expect("room");
    let prepared = segment
        .files()
        .log_file()
        .expect("open")
        .len()
        .expect("known");
    assert_eq!(prepared, segment.size().to_u64() + (64 << 10));
    for batch in &batches[50..] {
        segment.prepare(batch.len() as u32).expect("room");
        append(&mut segment, batch);
    }
    let (files, facts) = segment.seal(at_ms(77_000)).expect("sealed");
    files.sync().expect("synced");
    let log = home.storage.list(&home.dir).expect("listed");
    let log = log
        .iter()
        .find(|entry| entry.name == "00000000000000000000.log");
    let log = log.expect("it is there");
    assert_eq!(log.len_bytes, batches.concat().len() as u64);
    assert_eq!(Timestamp::from(log.modified), at_ms(77_000));
    assert_eq!(files.sealed_at(), Some(at_ms(77_000)));
    let prefixes: Vec<u8> = batches
        .iter()
        .flat_map(|batch| batch[..17].to_vec())
        .collect();
    assert_eq!(facts.prefix_crc, Some(crc32fast::hash(&prefixes)));
    assert_eq!(files.largest_timestamp().expect("read"), Some(at_ms(1_099)));
    assert_eq!(files.first_timestamp().expect("read"), Some(at_ms(1_000)));
}

#[test]
fn an_empty_segment_leaves_empty_indexes_and_no_index_of_aborted_transactions() {
    let home = home();
    segment_with(&home, 0, &[]).close().expect("closed");
    let [log, index, times, aborted] = FileName::of_segment(offset(0)).map(|n| read_file(&home, n));
    assert_eq!(
        [log, index, times],
        [Some(vec![]), Some(vec![]), Some(vec![])]
    );
    assert_eq!(aborted, None);
    let segment = reopened(&home, 0);
    assert!(segment.is_empty());
    assert_eq!(segment.next_offset(), offset(0));
}

#[test]
fn a_cleanly_closed_segment_is_reopened_and_goes_on() {
    let home = home();
    let batches = batches(7, 120, 100);
    let mut segment = segment_with(&home, 7, &batches[..100]);
    let gone = aborted(7, 20, 21);
    segment.append_aborted(&gone).expect("written");
    segment.close().expect("closed").sync().expect("synced");

    let mut segment = reopened(&home, 7);
    assert_eq!(segment.next_offset(), offset(307));
    assert_eq!(segment.index_state().first_timestamp, Some(at_ms(1_000)));
    let largest = segment.files().largest_timestamp().expect("known");
    assert_eq!(largest, Some(at_ms(1_099)));
    for batch in &batches[100..] {
        append(&mut segment, batch);
    }
    let again = aborted(30, 330, 331);
    segment.append_aborted(&again).expect("written");
    let every: Vec<u64> = (0..120).map(|n| 7 + 3 * n).collect();
    assert_eq!(all_bases(&segment), every);
    let (files, facts) = segment.seal(at_ms(9_000)).expect("sealed");
    assert_eq!(facts.prefix_crc, None, "only the tail was read");
    let (found, complete) = files.aborted(offset(7)..offset(367)).expect("read");
    assert_eq!((found, complete), (vec![gone, again], false));
    let (found, complete) = files.aborted(offset(8)..offset(21)).expect("read");
    assert_eq!((found, complete), (vec![gone], true));
    let mut walker = files.walk(OffsetRule::Dense, NO_LIMIT).expect("a walker");
    assert_eq!(bases(&walk_all(&mut walker, &[])), every);
}

#[test]
fn a_close_that_was_not_clean_is_told_and_not_trusted() {
    let batches = batches(0, 60, 200);
    type Spoil = fn(&SegmentHome);
    let spoil: [(&str, Spoil); 6] = [
        ("no index", |home| {
            home.remove(FileName::OffsetIndex(offset(0)))
                .expect("removed");
        }),
        ("no time index", |home| {
            home.remove(FileName::TimeIndex(offset(0)))
                .expect("removed");
        }),
        ("empty time index", |home| {
            write_file(home, FileName::TimeIndex(offset(0)), &[]);
        }),
        ("zeros behind the index", |home| {
            let name = FileName::OffsetIndex(offset(0));
            let mut bytes = read_file(home, name).expect("there");
            bytes.extend_from_slice(&[0; 16]);
            write_file(home, name, &bytes);
        }),
        ("a torn tail", |home| {
            let name = FileName::Log(offset(0));
            let mut bytes = read_file(home, name).expect("there");
            bytes.pop();
            write_file(home, name, &bytes);
        }),
        ("an index that leads astray", |home| {
            let name = FileName::OffsetIndex(offset(0));
            let mut bytes = read_file(home, name).expect("there");
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            write_file(home, name, &bytes);
        }),
    ];
    for (what, spoil) in spoil {
        let home = home();
        segment_with(&home, 0, &batches).close().expect("closed");
        spoil(&home);
        let found = ActiveSegment::reopen(home, offset(0), settings()).expect("memory reads");
        assert!(matches!(found, Reopened::Damaged(_)), "{what}");
    }
}

#[test]
fn truncation_cuts_at_the_batch_and_everything_follows() {
    let batches = batches(0, 200, 60);
    for target in [0, 1, 2, 3, 4, 299, 300, 301, 302, 597, 599] {
        let home = home();
        let mut segment = segment_with(&home, 0, &batches);
        segment.append_aborted(&aborted(5, 6, 7)).expect("written");
        segment
            .append_aborted(&aborted(5, 500, 501))
            .expect("written");
        segment.prepare(1).expect("room");
        let kept = target / 3;
        let end = segment.truncate_to(offset(target)).expect("cut");
        assert_eq!(end, offset(kept * 3), "at {target}");
        let size: usize = batches[..kept as usize].iter().map(Vec::len).sum();
        assert_eq!(segment.size().get() as usize, size);
        assert_eq!(segment.files().size(), segment.size());
        assert_eq!(segment.files().end(), end);
        assert_eq!(
            segment
                .files()
                .log_file()
                .expect("open")
                .len()
                .expect("known"),
            size as u64
        );
        let largest = segment.files().largest_timestamp().expect("known");
        assert_eq!(
            largest,
            kept.checked_sub(1).map(|last| at_ms(1_000 + last as i64))
        );
        let (found, _) = segment
            .files()
            .aborted(offset(0)..offset(600))
            .expect("known");
        assert_eq!(
            found.len(),
            usize::from(end.get() > 6) + usize::from(end.get() > 500)
        );
        // Appending goes on, and the checksum of the prefixes is that of the batches that are there.
        for batch in &batches[kept as usize..] {
            append(&mut segment, batch);
        }
        assert_eq!(segment.index_state().first_timestamp, Some(at_ms(1_000)));
        let (_, facts) = segment.seal(at_ms(9_000)).expect("sealed");
        let prefixes: Vec<u8> = batches
            .iter()
            .flat_map(|batch| batch[..17].to_vec())
            .collect();
        assert_eq!(
            facts.prefix_crc,
            Some(crc32fast::hash(&prefixes)),
            "at {target}"
        );
    }
}

#[test]
fn truncation_into_a_hole_and_above_the_end_leave_what_lies_below() {
    let batches = [batch(0, 2, 5, 10), batch(10, 2, 9, 10), batch(20, 2, 7, 10)];
    let cut = |target: u64| {
        let mut segment = segment_with(&home(), 0, &batches);
        let end = segment.truncate_to(offset(target)).expect("cut").get();
        let largest = segment.files().largest_timestamp().expect("known");
        (
            end,
            all_bases(&segment).len(),
            largest.map(Timestamp::as_millis),
        )
    };
    assert_eq!(cut(5), (2, 1, Some(5)));
    assert_eq!(cut(15), (12, 2, Some(9)));
    assert_eq!(cut(12), (12, 2, Some(9)));
    assert_eq!(cut(22), (22, 3, Some(9)));
    assert_eq!(cut(1_000), (22, 3, Some(9)));
}

#[test]
fn a_full_disk_leaves_no_part_of_an_append_and_writing_goes_on_later() {
    let batches = batches(0, 4, 1_000);
    let room = batches[..2].concat().len() as u64 + 100;
    let home = home_on(Arc::new(Memory::with_capacity_bytes(room)));
    let mut segment = segment_with(&home, 0, &batches[..2]);
    let error = segment
        .append(&batches[2], &[header(&batches[2])])
        .expect_err("full");
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!(segment.next_offset(), offset(6));
    let log = segment.files().log_file().expect("open");
    assert_eq!(log.len().expect("known"), segment.size().to_u64());
    assert_eq!(all_bases(&segment), [0, 3]);
    let small = batch(6, 1, 9, 10);
    append(&mut segment, &small);
    assert_eq!(all_bases(&segment), [0, 3, 6]);
    assert_eq!(
        segment.prepare(1_000).expect_err("full").kind(),
        ErrorKind::Full
    );
}

#[test]
fn a_seal_that_fails_gives_the_segment_back() {
    let batches = batches(0, 60, 400);
    let room = batches.concat().len() as u64 + 20;
    let home = home_on(Arc::new(Memory::with_capacity_bytes(room)));
    let segment = segment_with(&home, 0, &batches);
    let mut unsealed = segment.seal(at_ms(5)).expect_err("no room for indexes");
    assert_eq!(unsealed.error.kind(), ErrorKind::Full);
    assert!(!unsealed.segment.files().is_sealed());
    assert_eq!(all_bases(&unsealed.segment).len(), 60);
    unsealed.segment.truncate_to(offset(90)).expect("cut");
    let (files, _) = unsealed.segment.seal(at_ms(5)).expect("there is room now");
    assert!(files.is_sealed());
}

#[test]
fn an_index_counts_as_full_one_time_entry_before_its_size() {
    let settings = SegmentSettings {
        index_bytes: 48,
        index_interval_bytes: 0,
    };
    let mut segment = ActiveSegment::create(home(), offset(0), settings).expect("created");
    // The first batch has no entry; 48 bytes are six offset entries, or three time entries and the closing one.
    for (n, batch) in batches(0, 4, 10).iter().enumerate() {
        assert_eq!(segment.index_state().is_full, n == 4, "{n}");
        append(&mut segment, batch);
    }
    assert!(segment.index_state().is_full);
}

#[test]
fn a_segment_refuses_offsets_that_it_cannot_index() {
    let mut segment = segment_with(&home(), 0, &[]);
    let far = batch(0x7fff_ffff, 1, 1, 10);
    let error = segment.append(&far, &[header(&far)]).expect_err("too far");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    append(&mut segment, &batch(0x7fff_fffe, 1, 1, 10));
    assert_eq!(segment.next_offset(), offset(0x7fff_ffff));
}

#[test]
fn a_removed_segment_is_not_found_but_who_reads_it_reads_on() {
    let home = home();
    let batches = batches(0, 3, 10);
    let segment = segment_with(&home, 0, &batches);
    let (files, _) = segment.seal(at_ms(5)).expect("sealed");
    files.sync().expect("synced");
    let mut walker = files.walk(OffsetRule::Dense, NO_LIMIT).expect("a walker");
    files.remove().expect("removed");
    assert_eq!(walk_all(&mut walker, &[]).batches.len(), 3);
    assert_eq!(
        files.log_file().expect_err("gone").kind(),
        ErrorKind::NotFound
    );
    files.sync().expect("nothing to sync");
    files.remove().expect("gone already");
    assert!(home.storage.list(&home.dir).expect("listed").is_empty());
    // Another segment of the same name is not this one.
    segment_with(&home, 0, &batches);
    assert_eq!(
        files.log_file().expect_err("gone").kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn a_file_with_bytes_that_are_not_durable_stays_out_of_the_budget() {
    let home = home();
    let (files, _) = segment_with(&home, 0, &batches(0, 3, 10))
        .seal(at_ms(5))
        .expect("sealed");
    files.log_file().expect("held");
    assert_eq!(home.open_files.open_count(), 0);
    files.sync().expect("synced");
    assert_eq!(home.open_files.open_count(), 1);
}

#[test]
fn an_append_allocates_nothing_once_its_indexes_have_room() {
    let home = home();
    let mut segment = segment_with(&home, 0, &[]);
    let batches: Vec<(Vec<u8>, BatchHeader)> = batches(0, 3_000, 10)
        .into_iter()
        .map(|batch| {
            let header = header(&batch);
            (batch, header)
        })
        .collect();
    // Memory's own files grow by copying; what counts is that it does not grow with the batches.
    let used = allocation_counter::measure(|| {
        for (batch, header) in &batches {
            segment.append(batch, &[*header]).expect("appended");
        }
    });
    assert!(used.count_total < 100, "{used:?}");
    assert!(batches[0].0.len() > HEADER_BYTES);
}

#[test]
fn a_reader_beside_the_writer_sees_whole_batches_only() {
    let mut segment = segment_with(&home(), 0, &[]);
    let files = Arc::clone(segment.files());
    let reader = std::thread::spawn(move || {
        let mut walker = files.walk(OffsetRule::Dense, NO_LIMIT).expect("a walker");
        let mut next = 0;
        while next < 6_000 {
            walker.extend_end(files.size());
            match walker.step().expect("memory reads") {
                Step::Batch(found) => {
                    assert_eq!(found.batch.base_offset(), offset(next));
                    next = found.batch.next_offset().get();
                    let target = offset(next / 2);
                    let walker = files.walk_from(target, OffsetRule::Dense, NO_LIMIT);
                    let first = walker.expect("a walker").step().expect("memory reads");
                    let Step::Batch(first) = first else {
                        panic!("{first:?}")
                    };
                    assert!(first.batch.base_offset() <= target);
                }
                Step::End => std::thread::yield_now(),
                other => panic!("{other:?}"),
            }
        }
    });
    for batch in batches(0, 2_000, 20) {
        append(&mut segment, &batch);
    }
    reader.join().expect("the reader saw what was appended");
}

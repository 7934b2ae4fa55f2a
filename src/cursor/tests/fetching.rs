//! Raw batches for a broker.

use super::*;
use crate::batch::UnverifiedBatch;
use crate::cursor::{Fetch, Fetched, Limit};
use crate::partition::ReadUpTo;

/// First and last offset of each batch.
fn batches(fetched: &Fetched) -> Vec<(u64, u64)> {
    let bytes = fetched.bytes().expect("unchanged");
    assert_eq!(bytes.len() as u64, u64::from(fetched.len_bytes()));
    UnverifiedBatch::split(bytes)
        .map(|batch| batch.and_then(UnverifiedBatch::verify).expect("whole"))
        .map(|batch| (batch.base_offset().get(), batch.last_offset().get()))
        .collect()
}

fn fetched(bench: &Bench, fetch: Fetch) -> Vec<(u64, u64)> {
    batches(&bench.partition.fetch(&fetch).expect("in range"))
}

#[test]
fn a_fetch_gives_whole_batches_of_one_segment_from_the_one_that_holds_the_offset() {
    let bench = in_memory(TopicOptions::default().segment_bytes(290));
    append_batch(&bench, &["a", "b", "c"]);
    append_batch(&bench, &["d", "e"]);
    append_batch(&bench, &["f"]);
    append_batch(&bench, &["g"]);
    append_batch(&bench, &["h"]);
    let last_of_first = bench.partition.segments().unwrap()[1].base_offset().get();
    assert_eq!(last_of_first, 6);
    assert_eq!(
        fetched(&bench, Fetch::from(offset(1))),
        [(0, 2), (3, 4), (5, 5)]
    );
    assert_eq!(fetched(&bench, Fetch::from(offset(4))), [(3, 4), (5, 5)]);
    let whole = bench.partition.fetch(&Fetch::from(offset(4))).unwrap();
    assert_eq!(whole.next_offset(), offset(6));
    assert_eq!(whole.watermarks(), bench.partition.watermarks());
    assert_eq!(fetched(&bench, Fetch::from(offset(6))), [(6, 6), (7, 7)]);
}

#[test]
fn a_fetch_at_the_end_is_empty_and_beyond_it_is_out_of_range() {
    let bench = written(6, small_segments());
    let at_end = bench.partition.fetch(&Fetch::from(offset(6))).unwrap();
    assert_eq!((at_end.len_bytes(), at_end.next_offset()), (0, offset(6)));
    assert!(at_end.bytes().unwrap().is_empty() && at_end.file_range().is_none());
    bench.partition.delete_records_before(offset(3)).unwrap();
    for from in [2, 7] {
        let error = bench
            .partition
            .fetch(&Fetch::from(offset(from)))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange);
        assert_eq!(error.available(), Some(offset(3)..offset(6)));
    }
}

#[test]
fn the_soft_limit_gives_one_batch_at_least_and_the_hard_one_gives_none() {
    let bench = written(5, TopicOptions::default());
    let size = u32::try_from(place_of(&bench, 0).2).unwrap();
    let first = Fetch::from(offset(0));
    for (bytes, soft, hard) in [
        (0, 1, 0),
        (size - 1, 1, 0),
        (size, 1, 1),
        (2 * size - 1, 1, 1),
        (2 * size, 2, 2),
        (u32::MAX, 5, 5),
    ] {
        for (limit, count) in [(Limit::Soft, soft), (Limit::Hard, hard)] {
            let fetch = first.max_bytes(bytes).limit(limit);
            assert_eq!(fetched(&bench, fetch).len(), count, "{bytes} {limit:?}");
        }
    }
}

#[test]
fn a_fetch_ends_at_the_limit_of_who_asks() {
    let bench = written(3, TopicOptions::default());
    bench.partition.sync().unwrap();
    append(&bench, 2);
    let durable = Fetch::from(offset(1)).up_to(ReadUpTo::Durable);
    assert_eq!(fetched(&bench, durable), [(1, 1), (2, 2)]);
    assert!(fetched(&bench, Fetch::from(offset(4)).up_to(ReadUpTo::Durable)).is_empty());
}

#[test]
fn a_fetch_ends_before_damage_and_the_next_one_tells_it() {
    let bench = written(5, TopicOptions::default());
    let (base, position, size) = place_of(&bench, 2);
    overwrite(&bench, base, position + size - 2, b"?");
    let before = bench.partition.fetch(&Fetch::from(offset(0))).unwrap();
    assert_eq!(batches(&before), [(0, 0), (1, 1)]);
    let error = bench
        .partition
        .fetch(&Fetch::from(before.next_offset()))
        .unwrap_err();
    assert_eq!(gap(&error), Seen::Gap(2, 3, GapCause::Damaged));
    let behind = Fetch::from(error.gap().unwrap().to());
    assert_eq!(fetched(&bench, behind), [(3, 3), (4, 4)]);
}

#[test]
fn what_was_fetched_stays_readable_after_a_trim_and_not_after_a_cut() {
    let bench = written(6, small_segments());
    let first = bench.partition.fetch(&Fetch::from(offset(0))).unwrap();
    bench.partition.delete_records_before(offset(4)).unwrap();
    assert_eq!(batches(&first), [(0, 0), (1, 1)]);
    let last = bench.partition.fetch(&Fetch::from(offset(4))).unwrap();
    bench.partition.replica().truncate_to(offset(5)).unwrap();
    let error = last.bytes().unwrap_err();
    assert_eq!(gap(&error), Seen::Gap(4, 6, GapCause::Truncated));
}

#[test]
fn bytes_that_changed_since_the_fetch_are_not_given() {
    let bench = written(2, TopicOptions::default());
    let fetched = bench.partition.fetch(&Fetch::from(offset(0))).unwrap();
    assert!(fetched.file_range().is_none(), "memory has no descriptor");
    overwrite(&bench, offset(0), 68, b"?");
    assert_eq!(kind(fetched.bytes()), ErrorKind::Gap);
}

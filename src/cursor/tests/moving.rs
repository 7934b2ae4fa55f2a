//! A log that is trimmed, cut or started over under a reader (promise 5: what was shown stays, unless its owner takes it away).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;
use crate::partition::Tail;

#[test]
fn what_is_trimmed_under_a_reader_is_one_gap() {
    let bench = written(10, small_segments());
    let mut cursor = earliest(&bench);
    assert_eq!(cursor.by_ref().take(3).count(), 3);
    bench.partition.delete_records_before(offset(7)).unwrap();
    let mut expected = vec![Seen::Gap(3, 7, GapCause::Trimmed)];
    expected.extend(records(7..10));
    assert_eq!(seen(&mut cursor), expected);
}

#[test]
fn a_start_inside_a_batch_hides_the_records_below_it() {
    let bench = in_memory(TopicOptions::default());
    append_batch(&bench, &["a", "b", "c", "d"]);
    let mut cursor = earliest(&bench);
    assert_eq!(cursor.next().unwrap().unwrap().offset(), offset(0));
    bench.partition.delete_records_before(offset(2)).unwrap();
    assert_eq!(values(&mut earliest(&bench)), ["c", "d"]);
}

#[test]
fn a_cut_above_the_reader_is_not_noticed() {
    let bench = written(10, small_segments());
    let mut cursor = earliest(&bench);
    assert_eq!(cursor.by_ref().take(3).count(), 3);
    bench.partition.replica().truncate_to(offset(6)).unwrap();
    assert_eq!(seen(&mut cursor), records(3..6));
    append(&bench, 2);
    assert_eq!(seen(&mut cursor), records(6..8));
}

#[test]
fn a_cut_below_the_reader_is_a_gap_and_what_is_appended_there_is_read() {
    for segments in [small_segments(), TopicOptions::default()] {
        let bench = written(10, segments);
        let mut cursor = earliest(&bench);
        assert_eq!(cursor.by_ref().take(8).count(), 8);
        bench.partition.replica().truncate_to(offset(5)).unwrap();
        assert_eq!(seen(&mut cursor), [Seen::Gap(5, 8, GapCause::Truncated)]);
        assert_eq!(cursor.position(), offset(5));
        assert!(!cursor.wait(Duration::ZERO).unwrap());
        append(&bench, 2);
        assert_eq!(seen(&mut cursor), records(5..7));
    }
}

/// Story: a cursor that had stepped over whole batches or a marker gave records from below its position, once a cut and a larger batch had put
/// another one there. Found by simulation (seed 80691).
#[test]
fn a_batch_that_a_cut_put_across_the_position_is_read_from_the_position_on() {
    let bench = written(3, TopicOptions::default());
    let mut cursor = earliest(&bench);
    for _ in 0..3 {
        cursor.next_batch().unwrap().expect("a batch");
    }
    assert_eq!(cursor.position(), offset(3));
    bench.partition.replica().truncate_to(offset(1)).unwrap();
    append_batch(&bench, &["b", "c", "d", "e"]);
    let next = cursor.next().expect("a record").unwrap();
    assert_eq!(next.offset(), offset(3));
}

#[test]
fn a_cursor_that_was_told_to_start_above_a_cut_starts_at_the_new_end() {
    let bench = written(10, TopicOptions::default());
    let mut cursor = bench.partition.cursor(Start::At(offset(9))).unwrap();
    bench.partition.replica().truncate_to(offset(4)).unwrap();
    assert_eq!(seen(&mut cursor), [Seen::Gap(4, 9, GapCause::Truncated)]);
    append(&bench, 1);
    assert_eq!(seen(&mut cursor), records(4..5));
}

#[test]
fn a_batch_that_was_cut_in_its_middle_goes_with_all_its_records() {
    let bench = in_memory(TopicOptions::default());
    append_batch(&bench, &["a", "b"]);
    append_batch(&bench, &["c", "d"]);
    let mut cursor = earliest(&bench);
    assert_eq!(cursor.by_ref().take(3).count(), 3);
    let end = bench.partition.replica().truncate_to(offset(3)).unwrap();
    assert_eq!(end, offset(2));
    // The batch had been read as a whole.
    assert_eq!(cursor.next().unwrap().unwrap().offset(), offset(3));
    assert_eq!(seen(&mut cursor), [Seen::Gap(2, 4, GapCause::Truncated)]);
}

#[test]
fn bytes_that_were_read_while_the_tail_was_cut_are_thrown_away() {
    let bench = written(3, TopicOptions::default());
    let core = bench.core();
    let segments = core.published.snapshot().segments;
    // Between raising the generation and the cut a reader fills its buffer with the old tail.
    core.published
        .truncating(offset(1), None, segments.to_vec());
    let mut cursor = earliest(&bench);
    assert_eq!(seen(&mut cursor), records(0..1));
    if let Tail::Active(active) = &mut core.writer.lock().tail {
        active.truncate_to(offset(1)).unwrap();
    }
    core.published.truncated();
    append_batch(&bench, &["x1"]);
    append_batch(&bench, &["x2"]);
    assert_eq!(values(&mut cursor), ["x1", "x2"]);
}

#[test]
fn a_log_that_starts_over_above_the_reader_is_a_gap() {
    let bench = written(5, TopicOptions::default());
    let mut cursor = earliest(&bench);
    assert_eq!(cursor.by_ref().take(2).count(), 2);
    bench.partition.replica().reset_to(offset(20)).unwrap();
    assert_eq!(seen(&mut cursor), [Seen::Gap(2, 20, GapCause::Trimmed)]);
    append(&bench, 1);
    assert_eq!(seen(&mut cursor), records(20..21));
}

#[test]
fn a_log_that_starts_over_below_the_reader_is_a_gap() {
    let bench = written(5, TopicOptions::default());
    let mut cursor = earliest(&bench);
    assert_eq!(cursor.by_ref().count(), 5);
    bench.partition.replica().reset_to(offset(1)).unwrap();
    assert_eq!(seen(&mut cursor), [Seen::Gap(1, 5, GapCause::Truncated)]);
    append(&bench, 1);
    assert_eq!(seen(&mut cursor), records(1..2));
}

/// Each record names the round in which it was written. Once an append has returned, who then reads its offset must get this round or a
/// later one: an earlier one was cut away, and would come from stale bytes.
fn check_that_no_stale_record_is_seen(options: TopicOptions) {
    const ROUNDS: u64 = 200;
    const APPENDED: u64 = 12;
    const CUT: u64 = 8;
    let bench = in_memory(options);
    let count = ROUNDS * (APPENDED - CUT) + APPENDED;
    let lowest: Vec<AtomicU64> = (0..count).map(|_| AtomicU64::new(0)).collect();
    let is_done = AtomicBool::new(false);
    // At most 30 records behind the end, again and again.
    let read = || {
        while !is_done.load(Ordering::Relaxed) {
            let end = bench.partition.watermarks().end;
            let Ok(mut cursor) = (bench.partition).cursor(Start::At(end.saturating_sub(30))) else {
                continue;
            };
            for _ in 0..40 {
                let at = usize::try_from(cursor.position().get()).expect("small");
                let lowest = lowest.get(at).map(|round| round.load(Ordering::Acquire));
                match cursor.next() {
                    None => thread::yield_now(),
                    Some(Ok(record)) => {
                        let value = std::str::from_utf8(record.value().unwrap()).unwrap();
                        let round: u64 = value.parse().unwrap();
                        assert_eq!(record.offset().get(), at as u64);
                        assert!(Some(round) >= lowest, "{at}: {round} below {lowest:?}");
                    }
                    Some(Err(error)) => {
                        let gap = error.gap().unwrap_or_else(|| panic!("{error}"));
                        assert_eq!(gap.cause(), GapCause::Truncated, "{error}");
                    }
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(read);
        }
        for round in 1..=ROUNDS {
            for _ in 0..APPENDED {
                append_batch(&bench, &[&round.to_string()]);
                let end = bench.partition.watermarks().end.get();
                let at = usize::try_from(end - 1).expect("small");
                lowest[at].store(round, Ordering::Release);
            }
            let end = bench.partition.watermarks().end;
            let cut = bench
                .partition
                .replica()
                .truncate_to(end.saturating_sub(CUT));
            cut.expect("a cut");
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn no_reader_sees_what_was_cut_once_something_else_stands_there() {
    check_that_no_stale_record_is_seen(TopicOptions::default());
    check_that_no_stale_record_is_seen(TopicOptions::default().segment_bytes(2_000));
}

#[test]
fn readers_go_on_while_the_start_is_trimmed() {
    let bench = in_memory(small_segments());
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut cursor = earliest(&bench);
                let mut next = cursor.position().get();
                loop {
                    let was_done = is_done.load(Ordering::Acquire);
                    match cursor.next() {
                        None if was_done => break,
                        None => thread::yield_now(),
                        Some(Ok(record)) => {
                            assert_eq!(record.offset().get(), next);
                            next += 1;
                        }
                        Some(Err(error)) => {
                            let Seen::Gap(from, to, cause) = gap(&error) else {
                                unreachable!("a gap");
                            };
                            assert_eq!((from, cause), (next, GapCause::Trimmed));
                            next = to;
                        }
                    }
                }
                assert_eq!(next, 400);
            });
        }
        for end in (10..=400).step_by(10) {
            append(&bench, 10);
            let start = offset(end - 7);
            bench.partition.delete_records_before(start).unwrap();
        }
        is_done.store(true, Ordering::Release);
    });
}

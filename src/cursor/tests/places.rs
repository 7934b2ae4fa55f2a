//! Where a cursor starts, and how it goes over records, batches and segments.

use std::thread;
use std::time::Duration;

use super::*;
use crate::partition::ReadUpTo;

fn first(bench: &Bench, start: Start) -> Option<u64> {
    let mut cursor = bench.partition.cursor(start).expect("in range");
    cursor
        .next()
        .map(|record| record.expect("whole").offset().get())
}

#[test]
fn a_cursor_starts_where_it_is_told_to() {
    let bench = written(10, small_segments());
    for (start, expected) in [
        (Start::Earliest, Some(0)),
        (Start::Latest, None),
        (Start::At(offset(0)), Some(0)),
        (Start::At(offset(7)), Some(7)),
        (Start::At(offset(10)), None),
        (Start::After(offset(0)), Some(1)),
        (Start::After(offset(9)), None),
        (Start::Timestamp(time(0)), Some(0)),
        (Start::Timestamp(time(5)), Some(5)),
        (Start::Timestamp(Timestamp::from_millis(0)), Some(0)),
        (Start::Timestamp(time(10)), None),
    ] {
        assert_eq!(first(&bench, start), expected, "{start:?}");
        let mut cursor = bench.partition.cursor(Start::Latest).expect("open");
        cursor.seek(start).expect("in range");
        let sought = cursor.next().map(|r| r.expect("whole").offset().get());
        assert_eq!(sought, expected, "sought {start:?}");
    }
}

#[test]
fn a_cursor_at_the_latest_sees_what_is_appended_from_then_on() {
    let bench = written(3, TopicOptions::default());
    let mut cursor = bench.partition.cursor(Start::Latest).unwrap();
    assert_eq!(seen(&mut cursor), []);
    append(&bench, 2);
    assert_eq!(seen(&mut cursor), records(3..5));
}

#[test]
fn a_place_that_the_log_does_not_have_is_refused_with_the_range_it_has() {
    let bench = written(10, small_segments());
    bench.partition.delete_records_before(offset(4)).unwrap();
    for start in [
        Start::At(offset(3)),
        Start::At(offset(11)),
        Start::At(Offset::MAX),
        Start::After(offset(2)),
        Start::After(offset(10)),
        Start::After(Offset::MAX),
    ] {
        let error = bench.partition.cursor(start).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange, "{start:?}");
        assert_eq!(error.available(), Some(offset(4)..offset(10)), "{start:?}");
    }
    let mut cursor = bench.partition.cursor(Start::At(offset(6))).unwrap();
    assert_eq!(
        kind(cursor.seek(Start::At(offset(3)))),
        ErrorKind::OffsetOutOfRange
    );
    assert_eq!(seen(&mut cursor), records(6..10));
}

#[test]
fn records_below_the_start_in_its_batch_are_not_given() {
    let bench = in_memory(TopicOptions::default());
    append_batch(&bench, &["a", "b", "c", "d"]);
    let mut cursor = bench.partition.cursor(Start::At(offset(2))).unwrap();
    assert_eq!(values(&mut cursor), ["c", "d"]);
    let mut cursor = bench.partition.cursor(Start::At(offset(2))).unwrap();
    let batch = cursor.next_batch().unwrap().unwrap();
    assert_eq!(batch.base_offset(), offset(0));
    assert_eq!(cursor.position(), offset(4));
}

#[test]
fn a_cursor_goes_over_the_ends_of_segments() {
    let bench = written(25, small_segments());
    assert!(bench.partition.segments().unwrap().len() > 10);
    assert_eq!(seen(&mut earliest(&bench)), records(0..25));
    for start in 0..25 {
        let mut cursor = bench.partition.cursor(Start::At(offset(start))).unwrap();
        assert_eq!(seen(&mut cursor), records(start..25));
    }
}

#[test]
fn an_iterator_that_ended_at_the_tail_goes_on_after_an_append_and_over_a_roll() {
    let bench = in_memory(small_segments());
    let mut cursor = earliest(&bench);
    for end in 0..12 {
        assert!(cursor.next().is_none());
        append(&bench, 1);
        assert_eq!(seen(&mut cursor), records(end..end + 1));
        assert_eq!(cursor.position(), offset(end + 1));
    }
}

#[test]
fn a_batch_of_which_some_records_were_given_is_given_again_whole() {
    let bench = in_memory(TopicOptions::default());
    append_batch(&bench, &["a", "b", "c"]);
    append_batch(&bench, &["d"]);
    let mut cursor = earliest(&bench);
    assert_eq!(cursor.next().unwrap().unwrap().offset(), offset(0));
    assert_eq!(cursor.position(), offset(1));
    let batch = cursor.next_batch().unwrap().unwrap();
    assert_eq!(batch.base_offset(), offset(0));
    assert_eq!(values(&mut cursor), ["d"]);

    let mut cursor = earliest(&bench);
    assert_eq!(cursor.by_ref().take(3).count(), 3);
    let batch = cursor.next_batch().unwrap().unwrap();
    assert_eq!(batch.base_offset(), offset(3));
}

#[test]
fn one_record_is_got_by_its_offset() {
    let bench = written(9, small_segments());
    for at in 0..9 {
        let record = bench.partition.get(offset(at)).unwrap();
        assert_eq!(record.offset(), offset(at));
        assert_eq!(record.value(), Some(format!("v{at}").as_bytes()));
    }
    let error = bench.partition.get(offset(9)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange);
    assert_eq!(error.available(), Some(offset(0)..offset(9)));
    bench.partition.delete_records_before(offset(3)).unwrap();
    assert_eq!(
        kind(bench.partition.get(offset(2))),
        ErrorKind::OffsetOutOfRange
    );
}

#[test]
fn a_limit_hides_what_is_above_it() {
    let options = TopicOptions::default().high_watermark(crate::partition::HighWatermark::External);
    let bench = written(4, options);
    bench.partition.sync().unwrap();
    append(&bench, 2);
    bench
        .partition
        .replica()
        .set_high_watermark(offset(2))
        .unwrap();
    for (up_to, end) in [
        (ReadUpTo::End, 6),
        (ReadUpTo::Durable, 4),
        (ReadUpTo::HighWatermark, 2),
        (ReadUpTo::LastStable, 2),
    ] {
        let mut cursor = earliest(&bench).read_up_to(up_to);
        assert_eq!(seen(&mut cursor), records(0..end), "{up_to:?}");
        assert_eq!(cursor.position(), offset(end));
    }
}

#[test]
fn a_batch_is_shown_only_when_all_of_it_is_within_the_limit() {
    let options = TopicOptions::default().high_watermark(crate::partition::HighWatermark::External);
    let bench = in_memory(options);
    append_batch(&bench, &["a", "b", "c"]);
    let mut cursor = earliest(&bench).read_up_to(ReadUpTo::HighWatermark);
    bench
        .partition
        .replica()
        .set_high_watermark(offset(2))
        .unwrap();
    assert!(cursor.next_batch().unwrap().is_none());
    assert!(!cursor.wait(Duration::ZERO).unwrap());
    bench
        .partition
        .replica()
        .set_high_watermark(offset(3))
        .unwrap();
    assert!(cursor.wait(Duration::ZERO).unwrap());
    assert_eq!(values(&mut cursor), ["a", "b", "c"]);
}

#[test]
fn lag_counts_records_bytes_and_time() {
    let bench = written(10, small_segments());
    let size = |bench: &Bench| {
        let segments = bench.partition.reader().published.snapshot().segments;
        segments.iter().map(|s| s.size().to_u64()).sum::<u64>()
    };
    let mut cursor = earliest(&bench);
    let lag = cursor.lag().unwrap();
    assert_eq!(
        (lag.records, lag.bytes, lag.time),
        (10, size(&bench), Duration::from_millis(9))
    );
    assert_eq!(cursor.by_ref().take(4).count(), 4);
    let lag = cursor.lag().unwrap();
    assert_eq!((lag.records, lag.time), (6, Duration::from_millis(6)));
    assert!(lag.bytes < size(&bench) && lag.bytes >= 6 * 70);
    assert_eq!(cursor.by_ref().count(), 6);
    let lag = cursor.lag().unwrap();
    assert_eq!((lag.records, lag.bytes, lag.time), (0, 0, Duration::ZERO));
}

#[test]
fn what_was_trimmed_is_no_lag() {
    let bench = written(10, small_segments());
    let cursor = earliest(&bench);
    bench.partition.delete_records_before(offset(8)).unwrap();
    assert_eq!(cursor.lag().unwrap().records, 2);
}

#[test]
fn times_are_looked_up_over_all_segments() {
    let bench = written(9, small_segments());
    let of = |at| bench.partition.offset_for(at).unwrap();
    assert_eq!(of(Timestamp::from_millis(0)), Some(offset(0)));
    for record in 0..9 {
        assert_eq!(of(time(record)), Some(offset(record)));
    }
    assert_eq!(of(time(9)), None);
    bench.partition.delete_records_before(offset(5)).unwrap();
    assert_eq!(of(time(0)), Some(offset(5)));
}

#[test]
fn the_search_by_time_goes_on_where_kafka_stops_below_the_log_start() {
    let bench = in_memory(small_segments());
    for (value, at) in [("a", 9), ("b", 1), ("c", 9), ("d", 1)] {
        let record = Record::new(value).timestamp(time(at));
        bench.partition.append(record).unwrap();
    }
    bench.partition.delete_records_before(offset(1)).unwrap();
    let reader = bench.partition.reader();
    let found = |search| {
        let found = reader.offset_for(time(5), search).unwrap();
        found.map(|found| (found.offset, found.timestamp))
    };
    use crate::cursor::Search;
    assert_eq!(found(Search::FirstSegment), None);
    assert_eq!(found(Search::AllSegments), Some((offset(2), time(9))));
    let largest = reader.offset_of_max_timestamp().unwrap();
    assert_eq!(largest.map(|found| found.offset), Some(offset(0)));
}

#[test]
fn four_cursors_in_threads_see_the_same_records_while_they_are_appended() {
    const COUNT: u64 = 2_000;
    let bench = in_memory(TopicOptions::default().segment_bytes(10_000));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut cursor = earliest(&bench);
                for (expected, record) in (0..COUNT).zip(cursor.follow()) {
                    let record = record.expect("whole");
                    assert_eq!(record.offset().get(), expected);
                    assert_eq!(record.value(), Some(format!("v{expected}").as_bytes()));
                }
            });
        }
        scope.spawn(|| append(&bench, COUNT));
    });
}

#[test]
fn readers_can_be_sent_to_other_threads() {
    fn is_send<T: Send>() {}
    is_send::<Cursor>();
    is_send::<crate::cursor::Readable>();
    is_send::<crate::cursor::Fetched>();
    fn future_is_send(cursor: &mut Cursor) -> impl Send {
        cursor.readable()
    }
    let bench = written(1, TopicOptions::default());
    drop(future_is_send(&mut earliest(&bench)));
}

#[test]
fn a_closed_partition_says_so() {
    let bench = written(3, TopicOptions::default());
    let mut cursor = earliest(&bench);
    assert!(cursor.next().is_some());
    bench.core().close().unwrap();
    assert_eq!(kind(cursor.next().unwrap()), ErrorKind::Closed);
    assert_eq!(
        kind(bench.partition.cursor(Start::Earliest)),
        ErrorKind::Closed
    );
    assert_eq!(kind(bench.partition.get(offset(99))), ErrorKind::Closed);
    assert_eq!(kind(bench.partition.offset_for(time(0))), ErrorKind::Closed);
    assert_eq!(kind(cursor.wait(Duration::ZERO)), ErrorKind::Closed);
    assert!(cursor.follow().next().is_none());
}

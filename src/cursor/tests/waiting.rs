//! Waiting at the tail: blocking and awaited, woken by whatever gives a reason to look.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::cursor::Fetch;
use crate::partition::testing::block_on;
use crate::partition::{HighWatermark, ReadUpTo};

/// Until something happens: a wake that is lost hangs, and a slow machine fails nothing.
const LONG: Duration = Duration::MAX;
const SHORT: Duration = Duration::from_millis(20);

/// Counts its wakes.
#[derive(Default)]
struct Alarm(AtomicUsize);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs `change` in another thread while `wait` waits.
fn meanwhile<T>(change: impl FnOnce() + Send, wait: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(SHORT);
            change();
        });
        wait()
    })
}

#[test]
fn a_wait_ends_when_something_is_appended_or_the_time_is_over() {
    let bench = written(1, TopicOptions::default());
    let mut cursor = earliest(&bench);
    assert!(cursor.wait(Duration::ZERO).unwrap());
    assert!(cursor.next().is_some());
    #[allow(
        clippy::disallowed_methods,
        reason = "the test asks how long a wait took"
    )]
    let start = Instant::now();
    assert!(!cursor.wait(SHORT).unwrap());
    assert!(start.elapsed() >= SHORT);
    assert!(meanwhile(
        || append(&bench, 1),
        || cursor.wait(LONG).unwrap()
    ));
    assert_eq!(seen(&mut cursor), records(1..2));
}

#[test]
fn a_wait_with_records_of_a_batch_left_is_over_at_once() {
    let bench = in_memory(TopicOptions::default());
    append_batch(&bench, &["a", "b"]);
    let mut cursor = earliest(&bench);
    assert!(cursor.next().is_some());
    assert!(cursor.wait(Duration::ZERO).unwrap());
    assert!(cursor.next().is_some());
    assert!(!cursor.wait(Duration::ZERO).unwrap());
}

#[test]
fn a_wait_is_ended_by_a_cut_a_trim_and_the_close() {
    let bench = written(4, TopicOptions::default());
    let mut cursor = earliest(&bench);
    assert_eq!(cursor.by_ref().count(), 4);
    let cut = || {
        bench.partition.replica().truncate_to(offset(2)).unwrap();
    };
    assert!(meanwhile(cut, || cursor.wait(LONG).unwrap()));
    assert_eq!(seen(&mut cursor), [Seen::Gap(2, 4, GapCause::Truncated)]);
    let reset = || bench.partition.replica().reset_to(offset(9)).unwrap();
    assert!(meanwhile(reset, || cursor.wait(LONG).unwrap()));
    assert_eq!(seen(&mut cursor), [Seen::Gap(2, 9, GapCause::Trimmed)]);
    let close = || {
        bench.core().close().unwrap();
    };
    let closed = meanwhile(close, || cursor.wait(LONG));
    assert_eq!(kind(closed), ErrorKind::Closed);
}

#[test]
fn following_blocks_at_the_tail_and_ends_with_the_log() {
    let bench = written(2, small_segments());
    let mut cursor = earliest(&bench);
    let (told, last) = std::sync::mpsc::channel();
    let writer = &bench;
    let change = move || {
        append(writer, 3);
        while last.recv().expect("five records") != 4 {}
        writer.core().close().unwrap();
    };
    let followed = meanwhile(change, || {
        let offset = |record: crate::error::Result<crate::batch::StoredRecord>| {
            let offset = record.expect("whole").offset().get();
            told.send(offset).expect("somebody listens");
            offset
        };
        cursor.follow().map(offset).collect::<Vec<_>>()
    });
    assert_eq!(followed, [0, 1, 2, 3, 4]);
}

#[test]
fn a_reader_of_what_is_durable_is_woken_by_a_sync() {
    let bench = written(1, TopicOptions::default());
    let mut cursor = earliest(&bench).read_up_to(ReadUpTo::Durable);
    assert!(!cursor.wait(SHORT).unwrap());
    let sync = || {
        bench.partition.sync().unwrap();
    };
    assert!(meanwhile(sync, || cursor.wait(LONG).unwrap()));
    assert_eq!(seen(&mut cursor), records(0..1));
}

#[test]
fn an_awaited_cursor_is_woken_by_an_append() {
    let bench = written(1, TopicOptions::default());
    let mut cursor = earliest(&bench);
    block_on(Box::pin(cursor.readable())).unwrap();
    assert!(cursor.next().is_some());
    meanwhile(
        || append(&bench, 1),
        || block_on(Box::pin(cursor.readable())),
    )
    .unwrap();
    assert_eq!(seen(&mut cursor), records(1..2));
    let close = || {
        bench.core().close().unwrap();
    };
    let closed = meanwhile(close, || block_on(Box::pin(cursor.readable())));
    assert_eq!(kind(closed), ErrorKind::Closed);
}

#[test]
fn a_wait_that_is_dropped_loses_nothing() {
    let bench = written(1, TopicOptions::default());
    let mut cursor = earliest(&bench);
    assert!(cursor.next().is_some());
    let alarm = Arc::new(Alarm::default());
    let waker = Waker::from(Arc::clone(&alarm));
    let mut context = Context::from_waker(&waker);
    for round in 1..4 {
        {
            let mut waiting = pin!(cursor.readable());
            assert!(waiting.as_mut().poll(&mut context).is_pending());
        }
        append(&bench, 1);
        {
            let mut waiting = pin!(cursor.readable());
            let polled = waiting.as_mut().poll(&mut context);
            assert!(matches!(polled, Poll::Ready(Ok(()))));
        }
        assert_eq!(seen(&mut cursor), records(round..round + 1));
    }
}

#[test]
fn one_append_wakes_all_who_wait() {
    let bench = written(1, TopicOptions::default());
    let alarm = Arc::new(Alarm::default());
    let waker = Waker::from(Arc::clone(&alarm));
    let mut context = Context::from_waker(&waker);
    let mut waiting: Vec<_> = (0..5)
        .map(|_| bench.partition.readable(offset(1), 1, ReadUpTo::End))
        .collect();
    for one in &mut waiting {
        assert!(std::pin::Pin::new(one).poll(&mut context).is_pending());
    }
    append(&bench, 1);
    assert_eq!(alarm.0.load(Ordering::SeqCst), 5);
    for one in waiting {
        block_on(one).unwrap();
    }
}

#[test]
fn a_long_poll_waits_for_as_many_bytes_as_it_asks_for() {
    let bench = written(2, small_segments());
    let size = place_of(&bench, 0).2;
    let mut poll = bench.partition.readable(offset(1), 3 * size, ReadUpTo::End);
    assert!(!poll.wait(Duration::ZERO).unwrap());
    append(&bench, 1);
    assert!(!poll.wait(Duration::ZERO).unwrap());
    append(&bench, 1);
    assert!(poll.wait(Duration::ZERO).unwrap());
    block_on(poll).unwrap();
}

#[test]
fn bytes_above_the_limit_do_not_count_for_a_long_poll() {
    let bench = written(2, small_segments());
    let size = place_of(&bench, 0).2;
    bench.partition.sync().unwrap();
    append(&bench, 3);
    for (bytes, is_ready) in [(1, true), (2 * size, true), (2 * size + 1, false)] {
        let mut poll = bench
            .partition
            .readable(offset(0), bytes, ReadUpTo::Durable);
        assert_eq!(
            poll.wait(Duration::ZERO).unwrap(),
            is_ready,
            "{bytes} bytes"
        );
    }
}

#[test]
fn a_high_watermark_inside_of_a_batch_is_no_reason_to_look() {
    let options = TopicOptions::default().high_watermark(HighWatermark::External);
    let bench = in_memory(options);
    append_batch(&bench, &["a", "b", "c"]);
    append_batch(&bench, &["d"]);
    let replica = bench.partition.replica();
    for up_to in [ReadUpTo::HighWatermark, ReadUpTo::LastStable] {
        replica.reset_to(offset(0)).unwrap();
        append_batch(&bench, &["a", "b", "c"]);
        append_batch(&bench, &["d"]);
        let fetch = |from| {
            let request = Fetch::from(offset(from)).up_to(up_to);
            bench.partition.fetch(&request).unwrap().len_bytes()
        };
        for high in 0..=4 {
            replica.set_high_watermark(offset(high)).unwrap();
            for from in 0..=4 {
                for min_bytes in [0, 1, 2] {
                    let mut poll = bench.partition.readable(offset(from), min_bytes, up_to);
                    let is_ready = poll.wait(Duration::ZERO).unwrap();
                    assert_eq!(is_ready, fetch(from) > 0, "{high}, {from}, {min_bytes}");
                }
                let cursor = bench.partition.cursor(Start::At(offset(from))).unwrap();
                let mut cursor = cursor.read_up_to(up_to);
                let is_ready = cursor.wait(Duration::ZERO).unwrap();
                assert_eq!(cursor.next_batch().unwrap().is_some(), is_ready);
            }
        }
        replica.set_high_watermark(offset(1)).unwrap();
        let poll = || bench.partition.readable(offset(1), 1, up_to).wait(LONG);
        let raise = || replica.set_high_watermark(offset(3)).unwrap();
        assert!(meanwhile(raise, poll).unwrap());
        assert!(fetch(1) > 0);
    }
}

#[test]
fn a_long_poll_for_more_bytes_than_damage_leaves_is_ready_for_the_gap() {
    let options = TopicOptions::default().high_watermark(HighWatermark::External);
    let bench = written(6, options);
    bench
        .partition
        .replica()
        .set_high_watermark(offset(5))
        .unwrap();
    let (base, position, size) = place_of(&bench, 1);
    overwrite(&bench, base, position + size - 2, b"?");
    let is_ready = |from, bytes| {
        let up_to = ReadUpTo::HighWatermark;
        let mut poll = bench.partition.readable(offset(from), bytes, up_to);
        poll.wait(Duration::ZERO).unwrap()
    };
    assert!(is_ready(1, 100 * size), "what comes next is a gap");
    assert!(is_ready(0, 5 * size), "damage does not end the count");
    assert!(!is_ready(0, 5 * size + 1));
    assert!(!is_ready(2, 4 * size));
}

#[test]
fn a_long_poll_outside_of_the_log_is_ready_at_once() {
    let bench = written(6, small_segments());
    bench.partition.delete_records_before(offset(4)).unwrap();
    for from in [0, 3, 7] {
        let poll = bench.partition.readable(offset(from), 1, ReadUpTo::End);
        block_on(poll).unwrap();
    }
}

/// Whoever looks, sees nothing and then waits must be woken by an append in between.
#[test]
fn no_wake_is_lost_between_a_look_and_a_wait() {
    let bench = in_memory(TopicOptions::default());
    const COUNT: u64 = 500;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut cursor = earliest(&bench);
            for expected in 0..COUNT {
                block_on(Box::pin(cursor.readable())).unwrap();
                let record = cursor.next().unwrap().unwrap();
                assert_eq!(record.offset().get(), expected);
            }
        });
        scope.spawn(|| {
            for _ in 0..COUNT {
                append(&bench, 1);
                thread::yield_now();
            }
        });
    });
}

#[cfg(feature = "futures-core-03")]
#[test]
fn a_stream_waits_at_the_tail_and_ends_with_the_log() {
    use futures_core::Stream;
    let bench = written(2, TopicOptions::default());
    let mut stream = earliest(&bench).into_stream();
    let mut next = || {
        block_on(std::future::poll_fn(|context| {
            std::pin::Pin::new(&mut stream).poll_next(context)
        }))
    };
    for expected in 0..2 {
        assert_eq!(next().unwrap().unwrap().offset(), offset(expected));
    }
    let third = meanwhile(|| append(&bench, 1), &mut next);
    assert_eq!(third.unwrap().unwrap().offset(), offset(2));
    let close = || {
        bench.core().close().unwrap();
    };
    assert!(meanwhile(close, &mut next).is_none());
    assert!(next().is_none());
    assert_eq!(stream.into_cursor().position(), offset(3));
}

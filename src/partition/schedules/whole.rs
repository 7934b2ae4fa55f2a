//! Writer, syncer, flusher, roller, trimmer and two readers at once.

use std::time::Duration;

use super::super::testing::offset;
use super::super::watermarks::Watermarks;
use super::super::{FsyncPolicy, ReadUpTo, TopicOptions};
use super::{Next, Stage, batch, check_batch};
use crate::error::{ErrorKind, GapCause};
use crate::sync::{Listener, schedules::drawn_orders};
use crate::timestamp::Clock;

/// Records in the batches that the writer appends.
const COUNTS: [u64; 4] = [1, 2, 1, 2];
const TOTAL: u64 = 6;

/// Two batches fill a segment.
fn small_segments(fsync: FsyncPolicy) -> TopicOptions {
    TopicOptions {
        segment_bytes: 200,
        ..TopicOptions::default().fsync(fsync)
    }
}

fn write(stage: &Stage) {
    let mut base = 0;
    let mut last = None;
    for count in COUNTS {
        let appended = stage.bench.partition.submit_batch(&batch(base, count));
        let ticket = appended.expect("an append to a sound disk");
        assert_eq!(ticket.offsets(), offset(base)..offset(base + count));
        base += count;
        last = Some(ticket);
    }
    let last = last.expect("there are batches");
    last.wait_durable().expect("a sync of a sound disk");
    assert!(stage.bench.partition.watermarks().durable >= offset(TOTAL));
}

fn sync(stage: &Stage) {
    for _ in 0..2 {
        let before = stage.bench.partition.watermarks();
        let durable = stage.bench.partition.sync().expect("a sound disk");
        assert!(
            durable >= before.end,
            "a sync that covers less than was there"
        );
    }
}

fn flush(stage: &Stage) {
    let requests = &stage.core().shared.sync_requests;
    for _ in 0..2 {
        if let Some(core) = requests.take(stage.bench.clock.monotonic(), Duration::ZERO) {
            core.sync_if_due().expect("a sound disk");
        }
    }
}

fn trim(stage: &Stage) {
    for to in [1, 4] {
        let high = stage.bench.partition.watermarks().high;
        let to = offset(to).min(high);
        let start = stage.bench.partition.delete_records_before(to);
        assert!(start.expect("a sound disk") >= to);
    }
}

fn check_forward(before: Watermarks, after: Watermarks) {
    assert!(
        before.start <= after.start && before.durable <= after.durable && before.end <= after.end,
        "{before:?} became {after:?}"
    );
}

/// Reads to the end: whole batches, one behind the other, but for what was trimmed.
fn read(stage: &Stage, up_to: ReadUpTo) {
    stage.disk.i_am_a_reader();
    let reader = stage.bench.partition.reader();
    let mut stream = reader.stream(offset(0));
    let mut before = reader.published.watermarks();
    while stream.position() < offset(TOTAL) {
        let listener = reader.published.listen();
        let at = stream.position();
        match stream.next(up_to) {
            Ok(Next::Batch(found)) => {
                assert!(found.batch.base_offset() <= at, "a hole at {at}");
                let next = check_batch(&found);
                assert_eq!(stream.position(), offset(next));
                if up_to == ReadUpTo::Durable {
                    assert!(
                        stage.is_on_the_medium(&found),
                        "{at} is shown and not synced"
                    );
                }
                assert!(reader.published.watermarks().limit(up_to) >= offset(next));
            }
            Ok(Next::Tail) => listener.wait(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Gap, "{error}");
                let gap = error.gap().expect("a gap says where");
                assert_eq!((gap.cause(), gap.from()), (GapCause::Trimmed, at));
                assert!(gap.to() <= reader.published.watermarks().start);
                assert_eq!(stream.position(), gap.to());
            }
        }
        let after = reader.published.watermarks();
        check_forward(before, after);
        before = after;
    }
}

fn check_all_at_once(fsync: FsyncPolicy) {
    let stage = Stage::new(small_segments(fsync));
    let threads = [
        stage.spawn(write),
        stage.spawn(sync),
        stage.spawn(flush),
        stage.spawn(|stage| stage.roll().expect("a sound disk")),
        stage.spawn(trim),
        stage.spawn(|stage| read(stage, ReadUpTo::End)),
        stage.spawn(|stage| read(stage, ReadUpTo::Durable)),
    ];
    for thread in threads {
        thread.join().expect("a thread that ends well");
    }
    let marks = stage.bench.partition.watermarks();
    assert_eq!((marks.end, marks.durable), (offset(TOTAL), offset(TOTAL)));
    // An append counts its bytes behind its end: a sync in between leaves the count to the next one.
    let settled = stage.core().take_commit_turn().sync();
    assert_eq!(settled.expect("a sound disk"), offset(TOTAL));
    assert_eq!(stage.bench.partition.stats().unsynced_bytes, 0);
}

/// Promises 2, 3, 5 and 23.
#[test]
fn all_who_use_a_partition_at_once_keep_its_promises() {
    drawn_orders("the whole partition", 4_000, || {
        check_all_at_once(FsyncPolicy::Never)
    });
}

/// Promises 2, 3, 5 and 23, with a background sync asked for by each append.
#[test]
fn all_who_use_a_partition_at_once_keep_its_promises_when_each_append_asks_for_a_sync() {
    drawn_orders("the whole partition, every byte", 2_000, || {
        check_all_at_once(FsyncPolicy::Bytes(1));
    });
}

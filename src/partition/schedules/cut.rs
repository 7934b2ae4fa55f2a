//! The tail is cut and written anew while others read it, sync it and wait for it.

use super::super::testing::offset;
use super::super::{FsyncPolicy, ReadUpTo, TopicOptions};
use super::{Next, Stage};
use crate::batch::{Record, RecordBatchBuilder};
use crate::compress::Compression;
use crate::error::{ErrorKind, GapCause};
use crate::partition::reader::Found;
use crate::sync::{Listener, schedules::drawn_orders};

/// Where the tail is cut, and where the log ends before and behind it.
const CUT: u64 = 1;
const OLD_END: u64 = 4;
const NEW_END: u64 = 5;

/// Which tail a record is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    Old,
    New,
}

fn batch(life: Life, base: u64, count: u64) -> RecordBatchBuilder {
    let mut builder = RecordBatchBuilder::new(Compression::None);
    for index in 0..count {
        let value = format!("{life:?} {}", base + index);
        builder.push(Record::new(&value)).expect("a small record");
    }
    builder
}

fn append(stage: &Stage, life: Life, counts: &[u64], mut base: u64) {
    for count in counts {
        let appended = stage
            .bench
            .partition
            .submit_batch(&batch(life, base, *count));
        let ticket = appended.expect("a sound disk");
        assert_eq!(ticket.offset(), offset(base));
        base += count;
    }
}

/// All records of a batch are of one tail, at their places.
fn life_of(found: &Found) -> Life {
    let base = found.batch.base_offset().get();
    let first = found
        .batch
        .records()
        .next()
        .expect("a record")
        .expect("whole");
    let life = match first.value() {
        Some(value) if value.starts_with(b"Old") => Life::Old,
        _ => Life::New,
    };
    for (record, at) in found.batch.records().zip(base..) {
        let record = record.expect("a whole record");
        let value = format!("{life:?} {at}");
        assert_eq!(record.value(), Some(value.as_bytes()));
    }
    life
}

fn cut_and_go_on(stage: &Stage) {
    stage.disk.i_am_cutting();
    let end = stage.core().truncate_to(offset(CUT)).expect("a sound disk");
    assert_eq!(end, offset(CUT));
    append(stage, Life::New, &[2, 1, 1], CUT);
    stage.bench.partition.sync().expect("a sound disk");
}

/// Reads until the end of the new tail. Once a reader can know of the cut it is shown nothing of the old tail.
fn read(stage: &Stage, up_to: ReadUpTo) {
    stage.disk.i_am_a_reader();
    let reader = stage.bench.partition.reader();
    let mut stream = reader.stream(offset(0));
    while stream.position() < offset(NEW_END) {
        let listener = reader.published.listen();
        let at = stream.position();
        let before = reader.published.generation();
        match stream.next(up_to) {
            Ok(Next::Batch(found)) => {
                assert_eq!(found.batch.base_offset(), at, "a hole at {at}");
                let is_cut = before > 0 && at >= offset(CUT);
                assert!(!is_cut || life_of(&found) == Life::New, "old bytes at {at}");
                let kept = stage.is_on_the_medium(&found);
                let is_same = reader.published.generation() == before;
                if up_to == ReadUpTo::Durable && is_same {
                    assert!(kept, "{at} is shown and not synced");
                }
            }
            Ok(Next::Tail) => listener.wait(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Gap, "{error}");
                let gap = error.gap().expect("a gap says where");
                assert_eq!(gap.cause(), GapCause::Truncated, "{error}");
                assert_eq!(gap.to(), at);
                assert_eq!(stream.position(), gap.from());
            }
        }
    }
}

/// Begins to read when the cut has begun, and may find the old bytes still there.
fn read_late(stage: &Stage) {
    let published = &stage.core().published;
    loop {
        let listener = published.listen();
        if published.generation() > 0 {
            break;
        }
        listener.wait();
    }
    read(stage, ReadUpTo::End);
}

/// Promises 5 and 23: a cut by the owner is told as a gap, and nobody waits for a reader.
fn check_cut(segment_bytes: u32) {
    let options = TopicOptions {
        segment_bytes,
        ..TopicOptions::default().fsync(FsyncPolicy::Never)
    };
    let stage = Stage::new(options);
    append(&stage, Life::Old, &[1, 2, 1], 0);
    let old = stage
        .bench
        .partition
        .submit_batch(&batch(Life::Old, OLD_END, 1));
    let old = old.expect("a sound disk");
    let threads = [
        stage.spawn(cut_and_go_on),
        stage.spawn(|stage| {
            stage.bench.partition.sync().expect("a sound disk");
        }),
        stage.spawn(|stage| read(stage, ReadUpTo::End)),
        stage.spawn(|stage| read(stage, ReadUpTo::Durable)),
        stage.spawn(read_late),
        stage.spawn(move |_| match old.wait_durable() {
            Ok(()) => {}
            Err(error) => {
                let gap = error.gap().expect("the tail was cut");
                assert_eq!(gap.cause(), GapCause::Truncated);
                assert_eq!(
                    (gap.from(), gap.to()),
                    (offset(OLD_END), offset(OLD_END + 1))
                );
            }
        }),
    ];
    for thread in threads {
        thread.join().expect("a thread that ends well");
    }
    let marks = stage.bench.partition.watermarks();
    assert_eq!(
        (marks.end, marks.durable),
        (offset(NEW_END), offset(NEW_END))
    );
    assert!(stage.is_all_on_the_medium());
}

#[test]
fn a_cut_in_one_segment_shows_nothing_of_the_old_tail() {
    drawn_orders("truncation", 2_000, || check_cut(1 << 20));
}

#[test]
fn a_cut_over_several_segments_shows_nothing_of_the_old_tail() {
    drawn_orders("truncation over segments", 2_000, || check_cut(200));
}

//! The cells that come down from above: what consumers still need, and options that change.

use std::sync::Arc;

use super::super::retention::ClockState;
use super::super::testing::offset;
use super::super::{HighWatermark, Retention, TopicOptions};
use super::{Stage, batch};
use crate::sync::atomic::Ordering;
use crate::sync::schedules::drawn_orders;

fn small_segments() -> TopicOptions {
    TopicOptions {
        segment_bytes: 100,
        ..TopicOptions::default().retention(Retention::default().bytes(1))
    }
}

#[test]
fn retention_never_goes_beyond_what_a_consumer_still_needs() {
    drawn_orders("keep_from", 1_000, || {
        let stage = Stage::new(small_segments());
        stage.core().keep_from.store(0, Ordering::Release);
        let threads = [
            stage.spawn(|stage| {
                for base in 0..4 {
                    let appended = stage.bench.partition.submit_batch(&batch(base, 1));
                    appended.expect("a sound disk");
                }
            }),
            stage.spawn(|stage| {
                for needed in [1, 3] {
                    stage.core().keep_from.store(needed, Ordering::Release);
                }
            }),
            stage.spawn(|stage| {
                for _ in 0..2 {
                    let kept = stage.core().housekeep(ClockState::Steady);
                    kept.expect("a sound disk");
                }
            }),
            stage.spawn(|stage| {
                for _ in 0..3 {
                    let start = stage.bench.partition.watermarks().start;
                    // It only rises here: what it was when the trim looked is at most what it is now.
                    let needed = stage.core().keep_from.load(Ordering::Acquire);
                    assert!(
                        start.get() <= needed,
                        "{start} was dropped, {needed} is needed"
                    );
                }
            }),
        ];
        for thread in threads {
            thread.join().expect("a thread that ends well");
        }
        assert!(stage.bench.partition.watermarks().start <= offset(3));
    });
}

/// The marks keep their order, whoever is asked for the high one.
#[test]
fn the_source_of_the_high_watermark_changes_under_appends_and_syncs() {
    drawn_orders("options", 500, || {
        let stage = Stage::new(TopicOptions::default());
        let threads = [
            stage.spawn(|stage| {
                for base in 0..2 {
                    let appended = stage.bench.partition.submit_batch(&batch(base, 1));
                    appended.expect("a sound disk");
                }
            }),
            stage.spawn(|stage| {
                stage.bench.partition.sync().expect("a sound disk");
            }),
            stage.spawn(|stage| {
                for source in [HighWatermark::Durable, HighWatermark::End] {
                    let options = TopicOptions::default().high_watermark(source);
                    stage.core().set_options(Arc::new(options));
                }
            }),
        ];
        for thread in threads {
            thread.join().expect("a thread that ends well");
        }
        let marks = stage.bench.partition.watermarks();
        assert_eq!((marks.high, marks.end), (offset(2), offset(2)));
    });
}

//! The published state alone, mostly small enough for every order that there is.

use std::sync::Arc;

use super::super::watermarks::{Published, ReadUpTo, Watermarks};
use crate::partition::testing::{empty_opening, offset};
use crate::sync::{
    Listener,
    schedules::{drawn_orders, every_order},
    thread,
};

fn empty() -> Arc<Published> {
    Arc::new(Published::new(empty_opening()))
}

/// No mark went back.
fn check_forward(before: Watermarks, after: Watermarks) {
    assert!(
        before.start <= after.start
            && before.durable <= after.durable
            && before.high <= after.high
            && before.last_stable <= after.last_stable
            && before.end <= after.end,
        "{before:?} became {after:?}"
    );
}

#[test]
fn marks_are_in_order_and_never_go_back_for_whoever_looks() {
    every_order("watermarks", 100_000, || {
        let published = empty();
        let writer = Arc::clone(&published);
        let writer = thread::spawn(move || writer.appended(offset(2), None));
        let first = published.watermarks();
        published.made_durable(first.end);
        let second = published.snapshot().watermarks;
        check_forward(first, second);
        assert_eq!(second.durable, first.end);
        writer.join().unwrap();
        check_forward(second, published.watermarks());
        assert_eq!(published.watermarks().end, offset(2));
    });
}

/// Whoever listens first and looks then is never left asleep.
fn check_woken(name: &str, before: u64, up_to: ReadUpTo, move_it: fn(&Published)) {
    every_order(name, 100_000, move || {
        let published = empty();
        published.appended(offset(before), None);
        let mover = Arc::clone(&published);
        let mover = thread::spawn(move || move_it(&mover));
        loop {
            let listener = published.listen();
            if published.is_closed() || published.watermarks().limit(up_to) >= offset(1) {
                break;
            }
            listener.wait();
        }
        mover.join().unwrap();
    });
}

#[test]
fn a_reader_at_the_tail_is_woken_by_an_append() {
    check_woken("wake-up by an append", 0, ReadUpTo::End, |published| {
        published.appended(offset(1), None);
    });
}

#[test]
fn a_reader_of_what_is_durable_is_woken_by_a_sync() {
    check_woken("wake-up by a sync", 1, ReadUpTo::Durable, |published| {
        published.made_durable(offset(1));
    });
}

#[test]
fn a_reader_at_the_tail_is_woken_by_closing() {
    check_woken("wake-up by closing", 0, ReadUpTo::End, Published::close);
}

/// A reader that looks at the generation before and behind what it reads knows when the tail was cut in between.
#[test]
fn a_generation_that_stays_means_that_nothing_was_cut() {
    drawn_orders("generation", 2_000, || {
        let published = empty();
        published.appended(offset(2), None);
        published.made_durable(offset(2));
        let cutter = Arc::clone(&published);
        let cutter = thread::spawn(move || {
            let generation = cutter.truncating(offset(1), None, Vec::new());
            cutter.truncated();
            generation
        });
        let first = published.snapshot();
        let second = published.snapshot();
        let generation = published.generation();
        assert!(first.generation <= second.generation && second.generation <= generation);
        for snapshot in [&first, &second] {
            let is_cut = snapshot.watermarks.durable == offset(1);
            assert_eq!(is_cut, snapshot.generation > 0);
        }
        if first.generation == generation {
            assert_eq!(first.watermarks, second.watermarks);
        }
        assert_eq!(cutter.join().unwrap(), 1);
    });
}

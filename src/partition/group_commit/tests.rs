//! What tickets, syncs and requests promise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::batch::{Record, RecordBatchBuilder};
use crate::compress::Compression;
use crate::error::{ErrorKind, GapCause, Result};
use crate::partition::testing::{Bench, block_on, in_memory, offset};
use crate::partition::{FsyncPolicy, Partition, Ticket, TopicOptions, UnsyncedBudget};
use crate::storage::Memory;
use crate::timestamp::Clock;

fn always() -> TopicOptions {
    TopicOptions::default().fsync(FsyncPolicy::Always)
}

fn group_len(bench: &Bench) -> u32 {
    bench.core().commit.group.waiting()
}

#[test]
fn appenders_that_wait_become_one_batch_and_share_one_sync() {
    let bench = in_memory(always());
    let syncing = bench.core().take_commit_turn();
    let mut offsets: Vec<u64> = std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| bench.partition.append(Record::new("x")).unwrap()))
            .collect();
        while group_len(&bench) < 16 {
            std::thread::yield_now();
        }
        drop(syncing);
        let tickets = waiting.into_iter().map(|one| one.join().unwrap());
        tickets
            .map(|ticket| {
                assert!(ticket.is_durable());
                ticket.offset().get()
            })
            .collect()
    });
    offsets.sort_unstable();
    assert_eq!(offsets, (0..16).collect::<Vec<_>>());
    let stats = bench.partition.stats();
    assert_eq!((stats.appended_batches, stats.syncs), (1, 1));
    assert_eq!(stats.unsynced_bytes, 0);
}

#[test]
fn a_group_that_is_full_is_led_before_the_next_record_joins() {
    let options = TopicOptions {
        max_message_bytes: 200,
        ..always()
    };
    let bench = in_memory(options);
    let syncing = bench.core().take_commit_turn();
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| bench.partition.append(Record::new(&[b'x'; 50])).unwrap()))
            .collect();
        while group_len(&bench) < 2 {
            std::thread::yield_now();
        }
        drop(syncing);
        for one in waiting {
            assert!(one.join().unwrap().is_durable());
        }
    });
    let offsets: Vec<_> = bench.records().iter().map(|(at, _)| *at).collect();
    assert_eq!(offsets, (0..8).collect::<Vec<_>>());
    assert!(bench.partition.stats().appended_batches >= 4);
}

#[test]
fn many_threads_under_always_lose_nothing_and_wake_everybody() {
    let bench = in_memory(always().segment_bytes(4_000));
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let bench = &bench;
            scope.spawn(move || {
                for number in 0..100 {
                    let value = format!("{thread} {number}");
                    let ticket = bench.partition.append(Record::new(&value)).unwrap();
                    assert!(ticket.is_durable());
                }
            });
        }
    });
    let marks = bench.partition.watermarks();
    assert_eq!((marks.durable, marks.end), (offset(1_600), offset(1_600)));
    let records = bench.records();
    for thread in 0..16 {
        let mine = format!("{thread} ");
        let numbers: Vec<_> = (records.iter())
            .filter_map(|(_, value)| value.strip_prefix(&mine)?.parse::<u32>().ok())
            .collect();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn waiting_on_a_ticket_syncs_on_the_callers_thread_under_every_policy() {
    let bench = in_memory(TopicOptions::default());
    let ticket = bench.partition.append(Record::new("x")).unwrap();
    assert!(!ticket.is_durable());
    assert!(!ticket.wait_durable_timeout(Duration::ZERO).unwrap());
    ticket.wait_durable().unwrap();
    assert!(ticket.is_durable());
    assert_eq!(bench.partition.stats().syncs, 1);
    ticket.wait_durable().unwrap();
    assert_eq!(bench.partition.stats().syncs, 1, "nothing was left to sync");

    let later = bench.partition.append(Record::new("y")).unwrap();
    let syncing = bench.core().take_commit_turn();
    let limit = Duration::from_millis(5);
    assert!(!later.wait_durable_timeout(limit).unwrap());
    drop(syncing);
    assert!(later.wait_durable_timeout(limit).unwrap());
}

#[test]
fn a_future_does_no_sync_of_its_own_and_no_wake_up_is_lost() {
    let bench = in_memory(TopicOptions::default());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let requests = &bench.core().shared.sync_requests;
            while !done.load(Ordering::Acquire) {
                let now = bench.clock.monotonic();
                if let Some(core) = requests.take(now, Duration::from_millis(50)) {
                    core.sync_if_due().unwrap();
                }
            }
        });
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..300 {
                        let ticket = bench.partition.submit(Record::new("x")).unwrap();
                        let expected = ticket.offset();
                        assert_eq!(block_on(ticket.durable()).unwrap(), expected);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.join().unwrap();
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(bench.partition.watermarks().durable, offset(1_200));
}

#[test]
fn a_future_that_is_dropped_takes_nothing_back() {
    let bench = in_memory(TopicOptions::default());
    let ticket = bench.partition.submit(Record::new("x")).unwrap();
    let mut future = ticket.clone().durable();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(
        std::pin::Pin::new(&mut future)
            .poll(&mut context)
            .is_pending()
    );
    drop(future);
    assert!(bench.flush_once().unwrap());
    assert!(ticket.is_durable());
}

#[test]
fn a_closed_partition_fails_tickets_unless_they_are_durable() {
    let bench = in_memory(TopicOptions::default());
    let durable = bench.partition.append(Record::new("x")).unwrap();
    durable.wait_durable().unwrap();
    let lost = bench.partition.append(Record::new("y")).unwrap();
    let waiting = lost.clone();
    std::thread::scope(|scope| {
        let syncing = bench.core().take_commit_turn();
        let waiting = scope.spawn(move || waiting.wait_durable());
        bench.core().published.close();
        bench.core().commit.settle();
        drop(syncing);
        assert_eq!(
            waiting.join().unwrap().unwrap_err().kind(),
            ErrorKind::Closed
        );
    });
    durable.wait_durable().unwrap();
    let future = block_on(lost.durable());
    assert_eq!(future.unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_ticket_of_truncated_records_is_told_so_and_never_durable() {
    let bench = in_memory(TopicOptions::default());
    let tickets: Vec<_> = (0..3)
        .map(|_| bench.partition.append(Record::new("x")).unwrap())
        .collect();
    let core = bench.core();
    let turn = core.take_commit_turn();
    let segments = core.published.snapshot().segments.to_vec();
    let generation = core.published.truncating(offset(1), None, segments);
    turn.note_cut(generation, offset(1));
    drop(turn);
    // Other records come to stand where those stood.
    core.published.appended(offset(9), None);
    core.published.made_durable(offset(9));
    tickets[0].wait_durable().unwrap();
    for cut in &tickets[1..] {
        assert!(!cut.is_durable());
        let error = cut.wait_durable().unwrap_err();
        assert_eq!(error.gap().unwrap().cause(), GapCause::Truncated);
    }
}

#[test]
fn a_real_truncation_fails_the_tickets_of_what_it_cut_and_no_others() {
    let bench = in_memory(TopicOptions::default().segment_bytes(300));
    let tickets: Vec<_> = (0..20)
        .map(|_| bench.partition.append(Record::new("x")).unwrap())
        .collect();
    let end = bench.core().truncate_to(offset(11)).unwrap();
    assert_eq!(end, offset(11));
    let again = bench.partition.append(Record::new("y")).unwrap();
    for (at, ticket) in tickets.iter().enumerate() {
        assert_eq!(ticket.wait_durable().is_ok(), at < 11, "{at}");
    }
    again.wait_durable().unwrap();
}

#[test]
fn appending_syncing_trimming_and_cutting_at_once_neither_hang_nor_lose_the_order() {
    const RECORDS: u64 = 3_000;
    let bench = in_memory(TopicOptions::default().segment_bytes(2_000));
    let done = AtomicBool::new(false);
    let until_done = |step: &dyn Fn()| {
        while !done.load(Ordering::Acquire) {
            step();
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until_done(&|| {
                bench.partition.sync().unwrap();
            });
        });
        scope.spawn(|| {
            until_done(&|| {
                bench.flush_once().unwrap();
            });
        });
        scope.spawn(|| until_done(&|| bench.core().roll_if_idle().unwrap()));
        scope.spawn(|| {
            until_done(&|| {
                let marks = bench.partition.watermarks();
                let before = offset(marks.high.get().saturating_sub(500));
                // A truncation may have come in between.
                let deleted = (bench.partition).delete_records_before(before.max(marks.start));
                if let Err(error) = deleted {
                    assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange, "{error}");
                }
            });
        });
        scope.spawn(|| {
            until_done(&|| {
                let end = bench.partition.watermarks().end;
                bench.core().truncate_to(end.saturating_sub(1)).unwrap();
                std::thread::sleep(Duration::from_millis(2));
            });
        });
        let writers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..RECORDS {
                        let ticket = bench.partition.submit(Record::new("x")).unwrap();
                        if ticket.offset().get().is_multiple_of(64)
                            && let Err(error) = ticket.wait_durable()
                        {
                            assert_eq!(error.kind(), ErrorKind::Gap, "{error}");
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Release);
    });
    bench.partition.sync().unwrap();
    let marks = bench.partition.watermarks();
    let offsets: Vec<_> = bench.records().iter().map(|(at, _)| *at).collect();
    assert_eq!(marks.durable, marks.end);
    assert_eq!(
        offsets,
        (marks.start.get()..marks.end.get()).collect::<Vec<_>>()
    );
}

#[test]
fn a_panic_with_the_turn_gives_it_back() {
    let bench = in_memory(always());
    let panicked = std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let _turn = bench.core().take_commit_turn();
            panic!("planned");
        });
        holder.join().is_err()
    });
    assert!(panicked);
    assert!(
        bench
            .partition
            .append(Record::new("x"))
            .unwrap()
            .is_durable()
    );
}

#[test]
fn each_policy_asks_for_its_sync_in_the_background() {
    let record = || Record::new("x");
    let ms = Duration::from_millis;
    for (fsync, quiet, due) in [
        (FsyncPolicy::Never, 3, Some(ms(30_000))),
        (FsyncPolicy::Interval(ms(70)), 3, Some(ms(70))),
        (FsyncPolicy::Bytes(200), 2, None),
        (FsyncPolicy::Records(3), 2, None),
    ] {
        let bench = in_memory(TopicOptions::default().fsync(fsync));
        for _ in 0..quiet {
            bench.partition.append(record()).unwrap();
            assert!(!bench.flush_once().unwrap(), "{fsync:?} asked too early");
        }
        match due {
            Some(due) => {
                bench.clock.advance(due - ms(1));
                assert!(!bench.flush_once().unwrap(), "{fsync:?} asked too early");
                bench.clock.advance(ms(1));
            }
            None => drop(bench.partition.append(record()).unwrap()),
        }
        assert!(bench.flush_once().unwrap(), "{fsync:?}");
        let marks = bench.partition.watermarks();
        assert_eq!(marks.durable, marks.end, "{fsync:?}");
        assert_eq!(bench.partition.stats().syncs, 1, "{fsync:?}");
    }
}

#[test]
fn every_way_to_append_asks_for_the_sync_of_the_policy() {
    let batch = || {
        let mut batch = RecordBatchBuilder::new(Compression::None);
        batch.push(Record::new("x")).expect("a small record");
        batch
    };
    type Append = fn(&Partition, RecordBatchBuilder) -> Result<Ticket>;
    let ways: [(&str, Append); 4] = [
        ("append", |partition, _| partition.append(Record::new("x"))),
        ("append_batch", |partition, batch| {
            partition.append_batch(&batch)
        }),
        ("submit", |partition, _| partition.submit(Record::new("x"))),
        ("submit_batch", |partition, batch| {
            partition.submit_batch(&batch)
        }),
    ];
    for fsync in [
        FsyncPolicy::Never,
        FsyncPolicy::Interval(Duration::from_secs(30)),
        FsyncPolicy::Bytes(1),
        FsyncPolicy::Records(1),
    ] {
        for (name, append) in ways {
            let bench = in_memory(TopicOptions::default().fsync(fsync));
            let ticket = append(&bench.partition, batch()).unwrap();
            bench.clock.advance(Duration::from_secs(30));
            assert!(bench.flush_once().unwrap(), "{name} under {fsync:?}");
            assert!(ticket.is_durable(), "{name} under {fsync:?}");
        }
    }
}

#[test]
fn a_partition_stands_once_in_the_queue_and_at_its_earliest_time() {
    let bench = in_memory(TopicOptions::default());
    let core = bench.core();
    let requests = &core.shared.sync_requests;
    let ms = Duration::from_millis;
    requests.ask(core);
    requests.ask(core);
    requests.ask_at(core, ms(50));
    requests.ask_at(core, ms(20));
    requests.ask_at(core, ms(90));
    assert!(requests.take(ms(0), Duration::ZERO).is_some());
    assert!(requests.take(ms(19), Duration::ZERO).is_none());
    assert!(requests.take(ms(20), Duration::ZERO).is_some());
    assert!(requests.take(ms(999), Duration::ZERO).is_none());
}

#[test]
fn a_request_wakes_who_waits_and_calls_the_hook() {
    let bench = in_memory(TopicOptions::default());
    let requests = &bench.core().shared.sync_requests;
    let called = Arc::new(AtomicBool::new(false));
    let hook = Arc::clone(&called);
    requests.on_arrival(Box::new(move || hook.store(true, Ordering::Release)));
    std::thread::scope(|scope| {
        let flusher = scope.spawn(|| requests.take(Duration::ZERO, Duration::from_secs(10)));
        requests.ask(bench.core());
        assert!(flusher.join().unwrap().is_some());
    });
    assert!(called.load(Ordering::Acquire));
}

#[test]
fn an_append_beyond_the_logs_limit_of_unsynced_bytes_syncs_first() {
    let budget = UnsyncedBudget::new(150);
    let bench = Bench::new(Arc::new(Memory::new()), TopicOptions::default(), budget);
    for _ in 0..10 {
        bench.partition.submit(Record::new("x")).unwrap();
        assert!(bench.partition.stats().unsynced_bytes < 300);
    }
    let stats = bench.partition.stats();
    assert!(stats.stalls >= 3 && stats.syncs >= 3, "{stats:?}");
}

#[test]
fn facts_follow_the_durable_end() {
    let bench = in_memory(TopicOptions::default());
    bench.partition.append(Record::new("x")).unwrap();
    bench.partition.sync().unwrap();
    let facts = *bench.core().side.lock().facts();
    assert_eq!(
        (facts.durable_end, facts.recovery_point),
        (offset(1), offset(1))
    );
}

#[cfg(feature = "sim")]
mod on_a_failing_disk {
    use super::*;
    use crate::batch::UnverifiedBatch;
    use crate::storage::sim::{Fault, Keep, Repeat, Sim};
    use crate::storage::{Access, Storage};

    fn on(sim: &Sim, options: TopicOptions) -> Bench {
        Bench::new(Arc::new(sim.clone()), options, UnsyncedBudget::default())
    }

    #[test]
    fn a_failed_sync_stops_writing_fails_all_tickets_and_is_never_tried_again() {
        let sim = Sim::new(1);
        let bench = on(&sim, TopicOptions::default());
        let early = bench.partition.append(Record::new("a")).unwrap();
        early.wait_durable().unwrap();
        let ticket = bench.partition.append(Record::new("b")).unwrap();
        let future = ticket.clone().durable();
        sim.fail_operation(1, Fault::Io, Repeat::Once);
        assert_eq!(
            bench.partition.sync().unwrap_err().kind(),
            ErrorKind::Failed
        );
        let before = sim.operations();
        for error in [
            ticket.wait_durable().unwrap_err(),
            block_on(future).unwrap_err(),
            bench.partition.sync().unwrap_err(),
            bench.partition.append(Record::new("c")).unwrap_err(),
            bench
                .core()
                .begin_epoch(crate::ids::LeaderEpoch::ZERO)
                .unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Failed);
            let cause = std::error::Error::source(&error).expect("the first cause");
            assert!(cause.to_string().contains("sync"), "{cause}");
        }
        assert_eq!(sim.operations(), before, "something was tried again");
        let marks = bench.partition.watermarks();
        assert_eq!((marks.durable, marks.end), (offset(1), offset(2)));
        assert!(early.is_durable());
        assert_eq!(bench.records().len(), 2, "reading goes on");
        assert_eq!(bench.partition.stats().unsynced_bytes, 0);
    }

    #[test]
    fn a_full_disk_fails_the_whole_group_and_the_next_one_is_written() {
        let sim = Sim::new(2);
        let bench = on(&sim, always());
        sim.set_capacity_bytes(0);
        let syncing = bench.core().take_commit_turn();
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| bench.partition.append(Record::new("x"))))
                .collect();
            while group_len(&bench) < 4 {
                std::thread::yield_now();
            }
            drop(syncing);
            for one in waiting {
                assert_eq!(one.join().unwrap().unwrap_err().kind(), ErrorKind::Full);
            }
        });
        sim.set_capacity_bytes(u64::MAX);
        bench.clock.advance(Duration::from_millis(100));
        let ticket = bench.partition.append(Record::new("y")).unwrap();
        assert_eq!(ticket.offset(), offset(0));
        assert!(ticket.is_durable());
    }

    /// Offset and value of every whole record in the files of the partition, as a disk has them.
    fn records_on(disk: &Sim) -> Vec<(u64, String)> {
        let dir = std::path::Path::new("/t-0");
        let mut names: Vec<_> = (disk.list(dir).expect("the directory").into_iter())
            .filter_map(|entry| entry.name.into_string().ok())
            .filter(|name| name.ends_with(".log"))
            .collect();
        names.sort_unstable();
        let mut records = Vec::new();
        for name in names {
            let file = disk.open(&dir.join(name), Access::Read).expect("listed");
            let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
            assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
            for batch in UnverifiedBatch::split(bytes.into()) {
                let Ok(batch) = batch.and_then(UnverifiedBatch::verify) else {
                    break;
                };
                for record in batch.records() {
                    let record = record.unwrap();
                    let value = String::from_utf8_lossy(record.value().unwrap());
                    records.push((record.offset().get(), value.into_owned()));
                }
            }
        }
        records
    }

    #[test]
    fn what_was_acknowledged_under_always_survives_a_power_cut_whatever_failed_before() {
        for fault in [Fault::Io, Fault::Full, Fault::ShortWrite] {
            for nth in 1..90 {
                let sim = Sim::new(nth);
                let bench = on(&sim, always().segment_bytes(300));
                sim.fail_operation(nth, fault, Repeat::Once);
                let mut acknowledged = Vec::new();
                for number in 0..12 {
                    bench.clock.advance(Duration::from_millis(100));
                    let value = number.to_string();
                    if let Ok(ticket) = bench.partition.append(Record::new(&value)) {
                        acknowledged.push((ticket.offset().get(), value));
                    }
                }
                let left = records_on(&sim.reboot(Keep::None));
                for record in &acknowledged {
                    assert!(
                        left.contains(record),
                        "{fault:?} {nth}: {record:?} of {left:?}"
                    );
                }
                if !bench.core().latch.is_closed() {
                    assert!(
                        acknowledged.len() >= 11,
                        "{fault:?} {nth}: one fault, one failure"
                    );
                }
            }
        }
    }
}

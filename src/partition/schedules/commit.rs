//! Tickets, the commit turn, group commit, requests for syncs and the un-synced limit.

use std::time::Duration;

use shuttle::future::block_on;

use super::super::testing::offset;
use super::super::{FsyncPolicy, Ticket, TopicOptions, UnsyncedBudget};
use super::{Stage, batch};
use crate::batch::Record;
use crate::error::{ErrorKind, Result};
use crate::storage::watched::Watched;
use crate::sync::schedules::drawn_orders;
use crate::timestamp::Clock;

fn always() -> TopicOptions {
    TopicOptions::default().fsync(FsyncPolicy::Always)
}

/// What a ticket says is durable is on the medium.
fn check_kept(stage: &Stage, ticket: &Ticket) {
    assert!(ticket.is_durable());
    let Some(found) = stage.batch_at(ticket.offset()) else {
        assert!(stage.core().published.is_closed());
        return;
    };
    assert!(found.batch.base_offset() <= ticket.offset());
    assert!(stage.is_on_the_medium(&found), "{ticket:?} was not synced");
}

/// Promise 2.
#[test]
fn appends_that_share_a_sync_each_have_a_place_of_their_own_on_the_medium() {
    drawn_orders("group commit", 3_000, || {
        let stage = Stage::new(always());
        let appenders: Vec<_> = (0..3)
            .map(|number| {
                stage.spawn(move |stage| {
                    let value = format!("{number}");
                    let ticket = stage.bench.partition.append(Record::new(&value));
                    let ticket = ticket.expect("a sound disk");
                    check_kept(stage, &ticket);
                    ticket.offset().get()
                })
            })
            .collect();
        let mut offsets: Vec<u64> = appenders
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect();
        offsets.sort_unstable();
        assert_eq!(offsets, [0, 1, 2]);
        assert!(
            stage.disk.syncs_of_logs() <= 3 + 1,
            "who shares a sync makes none"
        );
    });
}

/// Promise 10: the first cause for everybody, no watermark moves, and the disk is not asked again.
#[test]
fn a_failed_sync_fails_all_who_wait_for_it_and_is_never_tried_again() {
    drawn_orders("group commit, a sync fails", 2_000, || {
        // The first sync of all made the segment's name last.
        let disk = Watched::failing_at(2);
        let stage = Stage::on(disk, always(), UnsyncedBudget::default());
        let appenders: Vec<_> = (0..3)
            .map(|_| {
                stage.spawn(
                    |stage| match stage.bench.partition.append(Record::new("x")) {
                        Ok(ticket) => check_kept(stage, &ticket),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Failed);
                            assert_eq!(error.raw_os_error(), Some(5), "{error}");
                        }
                    },
                )
            })
            .collect();
        for appender in appenders {
            appender.join().unwrap();
        }
        let again = stage.bench.partition.append(Record::new("x"));
        if stage.core().latch.is_closed() {
            assert_eq!(again.unwrap_err().kind(), ErrorKind::Failed);
        }
        let durable = stage.bench.partition.watermarks().durable;
        let synced = stage.batch_at(durable.saturating_sub(1)).expect("open");
        assert!(stage.is_on_the_medium(&synced), "the first sync succeeds");
    });
}

/// Waits in every way there is.
fn wait(way: usize, ticket: &Ticket) -> Result<()> {
    match way {
        0 => ticket.wait_durable(),
        1 => block_on(ticket.clone().durable()).map(drop),
        _ => ticket.wait_durable_timeout(Duration::MAX).map(|durable| {
            assert!(durable || way > 2, "it waited for ever and says not yet");
        }),
    }
}

/// Promise 2, with somebody who flushes, as the log's threads do.
#[test]
fn a_ticket_is_told_however_it_is_waited_for() {
    drawn_orders("tickets", 2_000, || {
        let stage = Stage::new(TopicOptions::default());
        let flusher = stage.spawn(|stage| {
            let requests = &stage.core().shared.sync_requests;
            // Until the end is told: nothing else wakes it.
            while !stage.core().published.is_closed() {
                let now = stage.bench.clock.monotonic();
                if let Some(core) = requests.take(now, Duration::MAX) {
                    core.sync_if_due().expect("a sound disk");
                }
            }
        });
        let waiting: Vec<_> = (0..3)
            .map(|way| {
                stage.spawn(move |stage| {
                    let ticket = stage.bench.partition.submit(Record::new("x"));
                    let ticket = ticket.expect("a sound disk");
                    wait(way, &ticket).expect("a sound disk");
                    check_kept(stage, &ticket);
                    wait(way, &ticket).expect("it stays so");
                })
            })
            .collect();
        for one in waiting {
            one.join().unwrap();
        }
        stage.core().close().expect("a sound disk");
        stage.core().shared.sync_requests.wake_all();
        flusher.join().unwrap();
    });
}

/// Promise 25: nobody sleeps on when the partition goes, whatever it waits for.
#[test]
fn closing_lets_go_of_whoever_appends_syncs_or_waits() {
    drawn_orders("close against everybody", 2_000, || {
        let stage = Stage::new(always());
        let first = stage
            .bench
            .partition
            .submit(Record::new("x"))
            .expect("a sound disk");
        let threads = [
            stage.spawn(
                |stage| match stage.bench.partition.append(Record::new("y")) {
                    Ok(ticket) => check_kept(stage, &ticket),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
                },
            ),
            stage.spawn(|stage| {
                let ticket = stage.bench.partition.submit_batch(&batch(9, 2));
                match ticket.and_then(|ticket| block_on(ticket.durable())) {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
                }
            }),
            stage.spawn(|stage| {
                // With nothing left to sync it says where the end is.
                match stage.bench.partition.sync() {
                    Ok(durable) => assert!(durable >= offset(1)),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
                }
            }),
        ];
        let closed = stage.core().close().expect("a sound disk");
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(
            closed.recovery_point,
            stage.bench.partition.watermarks().end
        );
        assert!(first.is_durable());
        assert!(stage.is_all_on_the_medium());
        assert_eq!(stage.core().shared.unsynced.used_bytes(), 0);
    });
}

/// A topic that is deleted: nothing is synced, and still nobody sleeps on.
#[test]
fn deletion_lets_go_of_whoever_appends_or_waits() {
    drawn_orders("deletion against everybody", 1_000, || {
        let stage = Stage::new(TopicOptions::default());
        let ticket = stage
            .bench
            .partition
            .submit(Record::new("x"))
            .expect("a sound disk");
        let waits = stage.spawn(move |stage| match block_on(ticket.clone().durable()) {
            Ok(_) => check_kept(stage, &ticket),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
        });
        let appends = stage.spawn(|stage| {
            let appended = stage.bench.partition.submit(Record::new("y"));
            match appended.and_then(|ticket| ticket.wait_durable()) {
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
            }
        });
        stage.core().close_for_deletion();
        waits.join().unwrap();
        appends.join().unwrap();
    });
}

/// Each request is seen by a flusher that looks, and a flusher that sleeps is woken: also by the word to stop.
#[test]
fn a_request_for_a_sync_is_never_lost_between_flushers() {
    drawn_orders("requests", 1_500, || {
        let stage = Stage::new(TopicOptions::default());
        let ticket = stage
            .bench
            .partition
            .submit(Record::new("x"))
            .expect("a sound disk");
        let flushers: Vec<_> = (0..2)
            .map(|_| {
                stage.spawn(|stage| {
                    let requests = &stage.core().shared.sync_requests;
                    while !stage.core().latch.is_closed() {
                        let now = stage.bench.clock.monotonic();
                        if let Some(core) = requests.take(now, Duration::MAX) {
                            drop(core.sync_if_due());
                        }
                    }
                })
            })
            .collect();
        let waits = stage.spawn(move |_| block_on(ticket.durable()));
        waits.join().unwrap().expect("a sound disk");
        // Any word to stop will do, as long as the flushers look at it.
        let stop = crate::error::Error::new(ErrorKind::Io, "stop");
        drop(stage.core().latch.close(stop));
        stage.core().shared.sync_requests.wake_all();
        for flusher in flushers {
            flusher.join().unwrap();
        }
    });
}

#[test]
fn appends_wait_at_the_unsynced_limit_and_go_on_behind_a_sync() {
    drawn_orders("un-synced limit", 1_000, || {
        let disk = Watched::new();
        let stage = Stage::on(disk, TopicOptions::default(), UnsyncedBudget::new(100));
        let appenders: Vec<_> = (0..3)
            .map(|_| {
                stage.spawn(|stage| {
                    for _ in 0..2 {
                        let appended = stage.bench.partition.submit(Record::new("x"));
                        appended.expect("a sound disk");
                        // Each of those who looked while there was room may have gone in.
                        assert!(stage.core().shared.unsynced.used_bytes() < 100 + 3 * 100);
                    }
                })
            })
            .collect();
        for appender in appenders {
            appender.join().unwrap();
        }
        stage
            .core()
            .take_commit_turn()
            .sync()
            .expect("a sound disk");
        assert_eq!(stage.core().shared.unsynced.used_bytes(), 0);
        assert_eq!(stage.bench.partition.watermarks().durable, offset(6));
    });
}

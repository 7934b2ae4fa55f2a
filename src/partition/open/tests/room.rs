//! What stands after a change that found no room, or whose sync failed (promises 2, 8, 10, 12 and 15).

use std::time::Duration;

use super::*;
use crate::partition::facts::{FactsFound, read_facts};
use crate::storage::sim::{Failure, Fault, Keep, Operation, Sim};

fn bench_on(sim: &Sim) -> Bench {
    Bench::new(Arc::new(sim.clone()), options(), UnsyncedBudget::default())
}

fn open_ours(sim: &Sim) -> (Partition, PartitionRecovery) {
    open_with(Arc::new(sim.clone()), given(Owner::OursUnclean), options()).unwrap()
}

/// A trim unlinked the first segments, and a power cut brought one of them back and took the first un-synced one. The hole between them
/// begins among trimmed offsets, and what lies behind it was never durable: the log ends there, and nothing is missing. It was reported
/// as missing once, and the records behind it were shown.
///
/// Promises 2 and 15.
#[test]
fn a_hole_above_the_durable_end_ends_the_log_also_where_it_begins_among_trimmed_offsets() {
    let storage = Memory::new();
    let bench = new_bench(&storage, &options());
    fill(&bench.partition, 0, 40);
    let bases: Vec<Offset> = logs(&storage).into_iter().map(|(base, _)| base).collect();
    assert!(bases.len() > 3, "{bases:?}");
    drop(bench);

    let storage = Memory::new();
    let bench = new_bench(&storage, &options());
    fill(&bench.partition, bases[2].get(), 40);
    let first = path(FileName::Log(bases[0]));
    let content = read_small_file(&storage, &first, 1 << 20).unwrap().unwrap();
    bench.partition.delete_records_before(bases[2]).unwrap();
    drop(bench);
    let back = storage.create(&first).unwrap();
    back.write_at(&content, 0).unwrap();
    storage.remove(&path(FileName::Log(bases[2]))).unwrap();

    let (view, report) = view(&storage, Owner::OursUnclean);
    assert!(report.gaps().is_empty(), "{report}");
    assert_eq!(view.published.watermarks().end, bases[2], "{report}");
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert!(report.gaps().is_empty(), "{report}");
    assert!(!report.set_aside().is_empty(), "{report}");
    check_appends_go_on(&partition, bases[2].get());
}

/// A truncation unlinked a segment and the sync of its directory failed; the log was opened again, closed cleanly, and a power cut brought the
/// segment back. Behind a clean close nothing stands above the durable end, so it is no part of the log; it was taken for one behind
/// missing records.
///
/// Promises 5 and 10.
#[test]
fn a_segment_that_comes_back_behind_a_clean_close_is_no_part_of_the_log() {
    let storage = Memory::new();
    let bench = new_bench(&storage, &options());
    fill(&bench.partition, 0, 40);
    let (last, _) = logs(&storage).pop().unwrap();
    let name = path(FileName::Log(last));
    let content = read_small_file(&storage, &name, 1 << 20).unwrap().unwrap();
    let end = offset(last.get() - 3);
    bench.partition.replica().truncate_to(end).unwrap();
    bench.core().close().unwrap();
    drop(bench);
    let back = storage.create(&name).unwrap();
    back.write_at(&content, 0).unwrap();

    let (view, report) = view(&storage, Owner::OursClean);
    assert!(report.gaps().is_empty(), "{report}");
    assert_eq!(view.published.watermarks().end, end, "{report}");
    let (partition, report) = open(&storage, Owner::OursClean);
    assert!(report.gaps().is_empty(), "{report}");
    assert_eq!(read(&partition), values(0..end.get()), "{report}");
    check_appends_go_on(&partition, end.get());
}

fn facts_have_no_room() -> Failure {
    Failure::of(Operation::Write, Fault::Full).below(path(FileName::Facts))
}

/// The facts are written in place, which a copy-on-write filesystem can refuse. Their older values stay true: nothing waits for them, and
/// they follow once there is room. It stopped writing once.
///
/// Promise 8.
#[test]
fn facts_without_room_are_written_later_and_stop_nobody() {
    let sim = Sim::new(1);
    let bench = bench_on(&sim);
    sim.plan(facts_have_no_room().forever());
    fill(&bench.partition, 20, 40);
    assert_eq!(bench.partition.sync().unwrap(), offset(40));
    let facts = || match read_facts(&bench.core().home).unwrap() {
        FactsFound::Good(facts) => facts,
        other => panic!("{other:?}"),
    };
    assert_eq!(facts().durable_end, offset(0));
    let after = sim.crash_image(Keep::None);
    assert_eq!(read(&open_ours(&after).0), values(0..40));
    sim.heal();
    bench.clock.advance(Duration::from_secs(2));
    while bench.flush_once().unwrap() {}
    assert_eq!(facts().durable_end, offset(40));
    check_appends_go_on(&bench.partition, 40);
}

/// Opening has to say which boot and which writer the next records are of. Without room for that the log is read and not written, until the
/// next append finds room.
///
/// Promise 12.
#[test]
fn a_log_without_room_for_its_facts_opens_and_takes_appends_later() {
    let sim = Sim::new(1);
    fill(&bench_on(&sim).partition, 20, 40);
    let sim = sim.reboot(Keep::All);
    sim.plan(facts_have_no_room().forever());
    let (partition, report) = open_ours(&sim);
    assert_eq!(report.copy_pending().unwrap().kind(), ErrorKind::Full);
    let shown = read(&partition).len() as u64;
    assert!(shown >= 20, "{report}");
    let refused = partition.append(Record::new("no room")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Full);
    drop(partition);
    let (partition, _) = open_ours(&sim.kill());
    check_appends_go_on(&partition, shown);
}

/// A truncation that meets a full disk anywhere is `Full`; nothing that stays is lost, readers go on, and once there is room it is done by a
/// second call, or an append goes on where the log ends. It stopped writing once.
///
/// Promise 8.
#[test]
fn a_truncation_or_a_reset_without_room_is_done_by_a_second_call() {
    type Change = fn(&Partition) -> Result<Offset>;
    let truncate: Change = |partition| partition.core.truncate_to(offset(5));
    let reset: Change = |partition| partition.core.reset_to(offset(100)).map(|()| offset(100));
    let back: Change = |partition| partition.core.reset_to(offset(3)).map(|()| offset(3));
    for (change, kept) in [(truncate, 5_usize), (reset, 0), (back, 0)] {
        let is_met = |nth: u64, is_appended: bool| {
            let sim = Sim::new(nth);
            let bench = bench_on(&sim);
            let partition = &bench.partition;
            fill(partition, 20, 40);
            sim.plan(Failure::of_change(Fault::Full).nth(nth).forever());
            let first = change(partition);
            sim.heal();
            if first.as_ref().is_err_and(|e| e.kind() == ErrorKind::Failed) {
                // A sync failed for want of room.
                return true;
            }
            let is_refused = first.is_err();
            if let Err(error) = first {
                assert_eq!(error.kind(), ErrorKind::Full, "{nth}: {error}");
                let shown = read(partition);
                assert_eq!(shown[..], values(0..40)[..shown.len()], "{nth}");
                assert!(shown.len() >= kept, "{nth}");
            }
            if is_appended && is_refused {
                partition
                    .append(Record::new("between"))
                    .expect("there is room");
            }
            let end = change(partition).unwrap_or_else(|error| panic!("{nth}: {error}"));
            assert_eq!(read(partition)[..], values(0..40)[..kept], "{nth}");
            check_appends_go_on(partition, end.get());
            let after = sim.crash_image(Keep::None);
            let (partition, report) = open_ours(&after);
            assert!(report.gaps().is_empty(), "{nth}: {report}");
            assert_eq!(partition.watermarks().end, end.saturating_add(1), "{nth}");
            is_refused
        };
        for is_appended in [false, true] {
            let met = (1..80).filter(|nth| is_met(*nth, is_appended)).count();
            assert!(met > 20, "{met}");
        }
    }
}

/// Some filesystems need room to remove a file. The log starts where it should all the same, and what could not go goes with the next look.
///
/// Promise 8.
#[test]
fn a_trim_that_cannot_unlink_for_want_of_room_unlinks_later() {
    let sim = Sim::new(1);
    let bench = bench_on(&sim);
    fill(&bench.partition, 40, 40);
    let logs = || {
        let entries = sim.list(Path::new(DIR)).unwrap();
        let names = entries.iter().filter_map(|entry| entry.name.to_str());
        names.filter(|name| name.ends_with(".log")).count()
    };
    let before = logs();
    sim.plan(Failure::of(Operation::Remove, Fault::Full).forever());
    let trimmed = bench.partition.delete_records_before(offset(30));
    assert_eq!(trimmed.unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(bench.partition.watermarks().start, offset(30));
    assert_eq!(read(&bench.partition), values(30..40));
    assert_eq!(logs(), before);
    sim.heal();
    bench.partition.delete_records_before(offset(30)).unwrap();
    assert!(logs() < before, "they stay for ever");
    check_appends_go_on(&bench.partition, 40);
}

/// The write found no room, and neither did the cut of what it had written.
///
/// Promise 8.
#[test]
fn an_append_that_cannot_even_be_cut_back_for_want_of_room_is_full_and_the_next_one_goes_on() {
    let sim = Sim::new(1);
    let bench = bench_on(&sim);
    fill(&bench.partition, 2, 5);
    for operation in [Operation::Write, Operation::SetLen] {
        sim.plan(
            Failure::of(operation, Fault::Full)
                .extension("log")
                .forever(),
        );
    }
    let refused = bench.partition.append(Record::new("no room")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Full);
    assert_eq!(read(&bench.partition), values(0..5));
    sim.heal();
    bench.clock.advance(Duration::from_secs(1));
    check_appends_go_on(&bench.partition, 5);
    assert_eq!(read(&open_ours(&sim.kill()).0).len(), 6);
}

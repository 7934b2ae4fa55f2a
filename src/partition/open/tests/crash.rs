//! Crashes and failed syncs at any operation, in recovery as well: what was durable or shown stays (promises 1 to 5, 10).

use super::*;
use crate::partition::AppendOutcome;
use crate::storage::sim::{Fault, Keep, Repeat, Sim};

/// Small numbers from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// What must be there, and what may be.
#[derive(Default, Debug)]
struct Promised {
    /// Durable, or shown by an open: survives anything.
    kept: u64,
    /// Acknowledged: survives the death of the process.
    acknowledged: u64,
    tried: u64,
}

fn write_until_it_fails(partition: &Partition, dice: &mut Dice, promised: &mut Promised) {
    for _ in 0..dice.below(60) {
        promised.tried = partition.watermarks().end.get() + 1;
        let text = format!("value {}", promised.tried - 1);
        match partition.append(Record::new(&text)) {
            Ok(_) => promised.acknowledged = promised.tried,
            Err(_) => return,
        }
        if dice.below(9) == 0 {
            match partition.sync() {
                Ok(durable) => promised.kept = durable.get(),
                Err(_) => return,
            }
        }
    }
}

/// The machine after a kill or a power cut; what is only acknowledged does not survive the second.
fn after_an_end(sim: &Sim, dice: &mut Dice, promised: &mut Promised) -> Sim {
    if !sim.has_crashed() && dice.below(2) == 0 {
        return sim.kill();
    }
    promised.acknowledged = promised.kept;
    sim.reboot(Keep::Random(dice.below(u64::MAX)))
}

fn check(partition: &Partition, promised: &Promised, seed: u64, report: &PartitionRecovery) {
    let found = read(partition);
    let count = found.len() as u64;
    assert_eq!(found, values(0..count), "SEED={seed} {promised:?} {report}");
    let least = promised.kept.max(promised.acknowledged);
    assert!(
        count >= least,
        "SEED={seed}: {count} left, {promised:?}, {report}"
    );
    assert!(count <= promised.tried, "SEED={seed}: {count} {promised:?}");
    assert!(report.gaps().is_empty(), "SEED={seed} {report}");
}

fn run(seed: u64) {
    let mut dice = Dice(seed);
    let mut promised = Promised::default();
    let mut sim = Sim::new(seed);
    let bench = Bench::new(Arc::new(sim.clone()), options(), UnsyncedBudget::default());
    plan_trouble(&sim, &mut dice, 120);
    write_until_it_fails(&bench.partition, &mut dice, &mut promised);
    drop(bench);
    for round in 0..5 {
        sim = after_an_end(&sim, &mut dice, &mut promised);
        if round < 4 {
            plan_trouble(&sim, &mut dice, 40);
        }
        let opened = open_with(Arc::new(sim.clone()), given(Owner::OursUnclean), options());
        let (partition, report) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                assert!(round < 4, "SEED={seed}: {error}");
                continue;
            }
        };
        if !sim.has_crashed() {
            check(&partition, &promised, seed, &report);
        }
        let shown = partition.watermarks().end.get();
        promised.kept = shown;
        promised.acknowledged = shown;
        promised.tried = promised.tried.max(shown);
        if round < 4 {
            write_until_it_fails(&partition, &mut dice, &mut promised);
        }
    }
}

fn plan_trouble(sim: &Sim, dice: &mut Dice, operations: u64) {
    match dice.below(4) {
        0 => {}
        1 => sim.fail_operation(1 + dice.below(operations), Fault::Io, Repeat::Once),
        _ => sim.crash_after(dice.below(operations)),
    }
}

#[test]
fn what_was_durable_or_shown_survives_any_crash_and_any_crash_of_the_recovery() {
    if let Ok(seed) = std::env::var("SEED") {
        return run(seed.parse().expect("a number"));
    }
    // 704: a file lost above the durable end was called missing. 7922: a cut came back after its sync had failed.
    for seed in (0..600).chain([704, 7922]) {
        run(seed);
    }
}

fn open_ours(sim: &Sim) -> (Partition, PartitionRecovery) {
    open_with(
        Arc::new(sim.clone()),
        given(Owner::OursUnclean),
        one_segment(),
    )
    .unwrap()
}

fn bench_on(sim: &Sim) -> Bench {
    let storage = Arc::new(sim.clone());
    Bench::new(storage, one_segment(), UnsyncedBudget::default())
}

/// One record of an idempotent producer.
fn send(core: &Arc<PartitionCore>, sequence: i32) -> AppendOutcome {
    use crate::batch::RecordBatchBuilder;
    use crate::{Compression, ProducerEpoch, ProducerId, Sequence};

    let mut batch = RecordBatchBuilder::new(Compression::None).producer(
        ProducerId::new(5).unwrap(),
        ProducerEpoch::new(0).unwrap(),
        Sequence::new(sequence).unwrap(),
    );
    batch.push(Record::new("sent")).unwrap();
    core.append_as_leader(batch.finish().unwrap(), LeaderEpoch::ZERO)
        .unwrap()
}

/// A trim may go beyond what is durable. After the power cut the trimmed records are gone, and nobody misses them, however often the log
/// is opened: the first open starts a segment at the log start, the next one finds the hole before it.
#[test]
fn records_that_were_trimmed_before_they_were_durable_are_never_called_missing() {
    let sim = Sim::new(1);
    let bench = bench_on(&sim);
    fill(&bench.partition, 9, 3);
    let start = bench.partition.delete_records_before(offset(2)).unwrap();
    assert_eq!(start, offset(2));
    let mut sim = sim.crash_image(Keep::None);
    for _ in 0..3 {
        let (partition, report) = open_ours(&sim);
        assert!(report.gaps().is_empty(), "{report}");
        assert_eq!(partition.watermarks().start, offset(2));
        sim = sim.crash_image(Keep::None);
    }
}

/// A process that is killed in a truncation leaves segments that the page cache does not show any more, and the medium still has. What the
/// next open shows is shorter, too, and must not grow again by a power cut.
#[test]
fn a_truncation_that_a_reopen_showed_is_not_undone_by_a_power_cut() {
    let is_cut_when_killed_at = |operations| {
        let sim = Sim::new(operations);
        let storage = Arc::new(sim.clone());
        let bench = Bench::new(storage, options(), UnsyncedBudget::default());
        fill(&bench.partition, 40, 40);
        let second = bench.core().published.snapshot().segments[1].base();
        sim.kill_after(operations);
        let cut = bench.core().truncate_to(second);
        let next = sim.kill();
        let open = |sim: &Sim| {
            let storage = Arc::new(sim.clone());
            open_with(storage, given(Owner::OursUnclean), options()).unwrap()
        };
        let (partition, _) = open(&next);
        let shown = read(&partition);
        for keep in [Keep::None, Keep::Random(operations)] {
            let after = read(&open(&next.crash_image(keep)).0);
            assert_eq!(after, shown, "killed at operation {operations}, {keep:?}");
        }
        cut.is_ok()
    };
    assert!((0..100).any(is_cut_when_killed_at));
}

/// All records are durable, then the segment is sealed, and the power is cut before its indexes reached the medium: the recovery point
/// stands right at its end, and nothing else vouches for them.
#[test]
fn aborted_transactions_of_a_segment_that_was_just_sealed_outlive_a_power_cut() {
    for (operations, seed) in (0..16).flat_map(|at| (0..8).map(move |seed| (at, seed))) {
        let sim = Sim::new(seed);
        let storage = Arc::new(sim.clone());
        let bench = Bench::new(storage, options(), UnsyncedBudget::default());
        abort_a_transaction(bench.core());
        fill(&bench.partition, 4, 4);
        sim.crash_after(operations);
        // Too large for the segment.
        let rolled = bench.partition.append(Record::new(&"x".repeat(900)));
        assert_eq!(rolled.is_err(), sim.has_crashed());
        let after = sim.reboot(Keep::Random(seed));
        let opened = open_with(Arc::new(after), given(Owner::OursUnclean), options());
        let (partition, report) = opened.unwrap();
        let aborted = partition.reader().aborted(Offset::ZERO..offset(6)).unwrap();
        assert_eq!(aborted.len(), 1, "{operations} {seed} {report}");
    }
}

/// A log that never began an epoch is in epoch 0 from its first record on, wherever recovery began to walk.
#[test]
fn a_log_without_epochs_is_in_the_first_from_its_first_record_on_after_a_crash() {
    let sim = Sim::new(1);
    let storage = Arc::new(sim.clone());
    let bench = Bench::new(storage, options(), UnsyncedBudget::default());
    fill(&bench.partition, 30, 40);
    let opened = open_with(Arc::new(sim.kill()), given(Owner::OursUnclean), options());
    let (partition, report) = opened.unwrap();
    let writer = partition.core.writer.lock();
    let epochs = writer.epochs.entries();
    assert_eq!(epochs, [(LeaderEpoch::ZERO, Offset::ZERO)], "{report}");
}

/// A trim removes segments with their snapshots; a power cut may bring back an old snapshot, and leave out the newest. The batches between
/// the two are gone: what the old one says of a producer would refuse its next batch, or take one twice.
#[test]
fn a_snapshot_that_outlived_the_batches_behind_it_says_nothing_of_its_producers() {
    let storage = Memory::new();
    let bench = new_bench(&storage, &options());
    for number in 0..8 {
        send(bench.core(), number);
        // Too large for a segment that has anything in it.
        (bench.partition.append(Record::new(&"x".repeat(900)))).unwrap();
    }
    let all = storage.list(Path::new(DIR)).unwrap();
    let is_snapshot = |name: &str| matches!(FileName::parse(name), FileName::Snapshot(_));
    let snapshots = (all
        .iter()
        .map(|entry| entry.name.to_string_lossy().into_owned()))
    .filter(|name| is_snapshot(name));
    let old = path(FileName::parse(&snapshots.min().unwrap()));
    let content = read_small_file(&storage, &old, 4096).unwrap().unwrap();
    let end = bench.partition.sync().unwrap();
    bench.partition.delete_records_before(end).unwrap();
    drop(bench);
    for entry in storage.list(Path::new(DIR)).unwrap() {
        if is_snapshot(&entry.name.to_string_lossy()) {
            storage.remove(&Path::new(DIR).join(entry.name)).unwrap();
        }
    }
    crate::storage::replace_file(&storage, &old, &content).unwrap();
    let (partition, report) = open(&storage, Owner::OursUnclean);
    let outcome = send(&partition.core, 8);
    assert!(matches!(outcome, AppendOutcome::Appended(_)), "{report}");
}

/// Un-synced batches of a producer are trimmed, and the power takes them: only older ones are left to be replayed, below the log start. What
/// they say of the producer is not the last that it sent.
#[test]
fn producers_are_forgotten_with_the_batches_that_were_trimmed_before_they_were_durable() {
    for (operations, seed) in (0..16).flat_map(|at| (0..8).map(move |seed| (at, seed))) {
        let sim = Sim::new(seed);
        let bench = bench_on(&sim);
        send(bench.core(), 0);
        bench.partition.sync().unwrap();
        send(bench.core(), 1);
        let end = bench.partition.watermarks().end;
        sim.crash_after(operations);
        let trimmed = bench.partition.delete_records_before(end);
        let mut after = sim.crash_image(Keep::Random(seed));
        for _ in 0..2 {
            drop(open_ours(&after));
            after = after.reboot(Keep::None);
        }
        let (partition, report) = open_ours(&after);
        if trimmed.is_ok() || partition.watermarks().start == end {
            let outcome = send(&partition.core, 2);
            let is_taken = matches!(outcome, AppendOutcome::Appended(_));
            assert!(is_taken, "{operations} {seed} {report}");
        }
    }
}

/// A truncation that fails stops the partition. Until it is opened again readers see less than before, but all that would have stayed.
#[test]
fn a_truncation_that_fails_hides_no_batch_that_it_would_have_kept() {
    let stays_when_it_fails_at = |nth| {
        let sim = Sim::new(nth);
        let bench = bench_on(&sim);
        fill(&bench.partition, 6, 6);
        sim.fail_operation(nth, Fault::Io, Repeat::Once);
        let cut = bench.core().truncate_to(offset(3));
        let end = bench.partition.watermarks().end;
        assert!(end >= offset(3), "failed at operation {nth}: {end}");
        assert_eq!(read(&bench.partition)[..3], values(0..3));
        cut.is_ok()
    };
    assert!((1..100).any(stays_when_it_fails_at));
}

/// The log start may lie above what is durable. While there is no room for the copy of the tail less than that is shown, and the start is
/// what it was all the same.
#[test]
fn a_start_above_what_a_full_disk_shows_is_not_forgotten() {
    let sim = Sim::new(1);
    let bench = bench_on(&sim);
    fill(&bench.partition, 9, 6);
    bench.partition.delete_records_before(offset(3)).unwrap();
    let sim = sim.kill();
    let space = sim.space(Path::new("/")).unwrap();
    sim.set_capacity_bytes(u64::MAX - space.free_bytes);
    let (partition, report) = open_ours(&sim);
    assert!(report.copy_pending().is_some(), "{report}");
    sim.set_capacity_bytes(u64::MAX);
    for keep in [Keep::None, Keep::All] {
        let (partition, report) = open_ours(&sim.crash_image(keep));
        assert_eq!(partition.watermarks().start, offset(3), "{report}");
    }
    partition.append(Record::new("there is room")).unwrap();
    assert_eq!(partition.watermarks().start, offset(3));
    assert_eq!(read(&partition).len(), 4);
}

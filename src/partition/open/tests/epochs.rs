//! Leader epochs stand outside of the checksum: one that was flipped costs its batch and nothing else, and a history that was spoiled
//! costs nothing at all (promises 7 and 13).

use super::*;

/// Epoch 0 below 10, 3 below 20, 4 from there on; one record a batch.
const STARTS: [(i32, u64); 3] = [(0, 0), (3, 10), (4, 20)];
const EPOCH_AT: usize = 12;

fn epoch(number: i32) -> LeaderEpoch {
    LeaderEpoch::new(number).unwrap()
}

fn led(storage: &Memory, durable: u64) -> Bench {
    let bench = new_bench(storage, &options());
    for (number, start) in STARTS {
        bench.core().begin_epoch(epoch(number)).unwrap();
        for record in start..start + 10 {
            if record == durable {
                bench.partition.sync().unwrap();
            }
            let value = format!("value {record}");
            bench.partition.append(Record::new(&value)).unwrap();
        }
    }
    bench
}

/// Writes another epoch into the header of the batch at `at`.
fn flip(storage: &Memory, at: u64, to: i32) {
    let (base, _) = logs(storage)
        .into_iter()
        .rfind(|(base, _)| *base <= offset(at))
        .unwrap();
    damage(storage, base, |bytes| {
        let mut start = 0;
        loop {
            let number = u64::from_be_bytes(bytes[start..start + 8].try_into().unwrap());
            if number == at {
                break;
            }
            let length = bytes[start + 8..start + 12].try_into().unwrap();
            start += 12 + usize::try_from(u32::from_be_bytes(length)).unwrap();
        }
        bytes[start + EPOCH_AT..start + EPOCH_AT + 4].copy_from_slice(&to.to_be_bytes());
    });
}

fn all_but(lost: u64) -> Vec<Option<String>> {
    let mut expected = values(0..30);
    expected[usize::try_from(lost).unwrap()] = None;
    expected
}

fn rewrite_history(storage: &Memory, text: &str) {
    let file = storage
        .open(&path(FileName::LeaderEpochs), Access::Write)
        .unwrap();
    file.set_len(0).unwrap();
    file.write_at(text.as_bytes(), 0).unwrap();
}

fn history(partition: &Partition) -> Vec<(i32, u64)> {
    let epochs = partition.replica().epochs();
    epochs.iter().map(|(e, at)| (e.get(), at.get())).collect()
}

#[test]
fn a_flipped_epoch_is_a_gap_of_that_batch_for_readers_after_opening_and_in_a_view() {
    for (at, to) in [
        (0, 1),
        (5, 1 << 30),
        (9, 3),
        (10, 0),
        (15, 0),
        (20, 3),
        (29, -1),
    ] {
        for is_closed in [true, false] {
            let storage = Memory::new();
            let bench = led(&storage, 29);
            bench.partition.sync().unwrap();
            if is_closed {
                bench.core().close().unwrap();
            }
            drop(bench);
            flip(&storage, at, to);
            let what = format!("{at} to {to}, closed: {is_closed}");
            let owner = match is_closed {
                true => Owner::OursClean,
                false => Owner::OursUnclean,
            };
            let (reader, report) = view(&storage, owner);
            assert_eq!(read_all(&reader), all_but(at), "{what} {report}");
            let before = logs(&storage);
            let (partition, report) = open(&storage, owner);
            assert_eq!(read(&partition), all_but(at), "{what} {report}");
            assert_eq!(
                partition.get(offset(at)).unwrap_err().kind(),
                ErrorKind::Gap
            );
            assert_eq!(history(&partition), STARTS, "{what} {report}");
            assert_eq!(
                logs(&storage)[..before.len()],
                before,
                "{what}: nothing is cut"
            );
            check_appends_go_on(&partition, 30);
        }
    }
}

#[test]
fn a_flipped_epoch_above_the_durable_end_ends_the_log_there() {
    let storage = Memory::new();
    drop(led(&storage, 15));
    flip(&storage, 25, 7);
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert_eq!(read(&partition), values(0..25), "{report}");
    assert_eq!(report.torn().map(|torn| torn.from), Some(offset(25)));
    assert_eq!(history(&partition), STARTS);
    check_appends_go_on(&partition, 25);
}

#[test]
fn a_history_that_is_not_as_it_was_written_is_derived_anew_and_costs_no_record() {
    for (owner, text) in [Owner::OursClean, Owner::OursUnclean]
        .into_iter()
        .flat_map(|owner| {
            [
                "0\n0\n",
                "0\n1\n0 0\n",
                "0\n2\n0 0\n2 10\n",
                "0\n3\n1 0\n3 10\n4 20\n",
            ]
            .map(|text| (owner, text))
        })
    {
        let storage = Memory::new();
        let bench = led(&storage, 29);
        bench.partition.sync().unwrap();
        if owner == Owner::OursClean {
            bench.core().close().unwrap();
        }
        drop(bench);
        rewrite_history(&storage, text);
        let (reader, report) = view(&storage, owner);
        assert_eq!(read_all(&reader), values(0..30), "{text:?} {report}");
        let (partition, report) = open(&storage, owner);
        assert_eq!(read(&partition), values(0..30), "{text:?} {report}");
        assert_eq!(report.derived(), [FileName::LeaderEpochs.to_string()]);
        assert_eq!(history(&partition), STARTS, "{text:?}");
        drop(partition);
        let (partition, report) = open(&storage, Owner::OursUnclean);
        assert!(report.derived().is_empty(), "{report}");
        check_appends_go_on(&partition, 30);
    }
}

#[test]
fn a_lost_history_and_a_flipped_epoch_together_cost_no_record() {
    for (at, to) in [(5, 1 << 20), (15, 0), (15, 9), (29, 9)] {
        let storage = Memory::new();
        led(&storage, 0).core().close().unwrap();
        storage.remove(&path(FileName::LeaderEpochs)).unwrap();
        flip(&storage, at, to);
        for owner in [Owner::OursClean, Owner::OursUnclean] {
            let (partition, report) = open(&storage, owner);
            let read = read(&partition);
            assert_eq!(read[..30], values(0..30), "{at} to {to}: {report}");
            check_appends_go_on(&partition, read.len() as u64);
        }
    }
}

#[test]
fn a_crash_between_the_history_and_the_word_that_vouches_for_it_costs_no_record() {
    let storage = Memory::new();
    drop(led(&storage, 29));
    rewrite_history(&storage, "0\n4\n0 0\n3 10\n4 20\n9 30\n");
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert_eq!(read(&partition), values(0..30), "{report}");
    let expected = [STARTS.as_slice(), &[(9, 30)]].concat();
    assert_eq!(history(&partition), expected, "{report}");
    partition.core.begin_epoch(epoch(9)).unwrap();
    check_appends_go_on(&partition, 30);
    assert_eq!(history(&partition).last(), Some(&(9, 30)));
}

#[test]
fn a_log_that_never_had_another_leader_is_held_against_epoch_zero() {
    let storage = Memory::new();
    killed(&storage, &options(), 30, 30);
    flip(&storage, 12, 1);
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert_eq!(read(&partition), all_but(12), "{report}");
    assert!(report.derived().is_empty(), "{report}");
}

#[test]
fn an_adopted_log_keeps_the_epochs_that_others_left_however_odd() {
    let storage = Memory::new();
    led(&storage, 0).core().close().unwrap();
    flip(&storage, 15, 0);
    flip(&storage, 16, 70);
    let moved = OpenFacts {
        incarnation: Incarnation([8; 16]),
        recovery_point: Some(offset(30)),
        ..given(Owner::OursClean)
    };
    let (partition, report) = open_as(&storage, moved).unwrap();
    assert_eq!(read(&partition), values(0..30), "{report}");
    check_appends_go_on(&partition, 30);
}

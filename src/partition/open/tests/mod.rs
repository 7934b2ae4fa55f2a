//! Opening after whatever may have happened: the tables of recovery, row by row, on files.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::batch::Record;
use crate::ids::LeaderEpoch;
use crate::partition::testing::{Bench, START_MS, offset};
use crate::partition::{
    MakeRoom, Next, Partition, PartitionReader, ReadUpTo, SyncRequests, UnsyncedBudget,
};
use crate::segment::OpenFiles;
use crate::storage::{Access, Memory, Storage, read_small_file};
use crate::timestamp::ManualClock;
use crate::topic::TopicName;

const OURS: Incarnation = Incarnation([7; 16]);
const DIR: &str = "/t-0";

fn options() -> TopicOptions {
    TopicOptions::default().segment_bytes(1024)
}

/// A partition with `count` records, of which those below `durable` are synced; dropped as a killed process drops it.
fn killed(storage: &Memory, options: &TopicOptions, durable: u64, count: u64) {
    let bench = new_bench(storage, options);
    fill(&bench.partition, durable, count);
}

fn closed(storage: &Memory, options: &TopicOptions, count: u64) -> ClosedFacts {
    let bench = new_bench(storage, options);
    fill(&bench.partition, 0, count);
    bench.core().close().unwrap()
}

fn new_bench(storage: &Memory, options: &TopicOptions) -> Bench {
    let storage = Arc::new(storage.clone());
    Bench::new(storage, options.clone(), UnsyncedBudget::default())
}

fn fill(partition: &Partition, durable: u64, count: u64) {
    for number in 0..count {
        if number == durable {
            partition.sync().unwrap();
        }
        partition
            .append(Record::new(&format!("value {number}")))
            .unwrap();
    }
    if durable == count {
        partition.sync().unwrap();
    }
}

fn home(storage: &Memory) -> SegmentHome {
    home_on(Arc::new(storage.clone()))
}

fn home_on(storage: Arc<dyn Storage>) -> SegmentHome {
    SegmentHome {
        storage,
        dir: Path::new(DIR).into(),
        open_files: Arc::new(OpenFiles::new(16)),
    }
}

fn given(owner: Owner) -> OpenFacts {
    OpenFacts {
        owner,
        recovery_point: None,
        log_start: None,
        incarnation: OURS,
    }
}

fn open_as(storage: &Memory, given: OpenFacts) -> Result<(Partition, PartitionRecovery)> {
    open_with(Arc::new(storage.clone()), given, options())
}

fn open_with(
    storage: Arc<dyn Storage>,
    given: OpenFacts,
    options: TopicOptions,
) -> Result<(Partition, PartitionRecovery)> {
    let boot_id = storage.boot_id().ok();
    let home = home_on(storage);
    let shared = SharedByLog {
        clock: Arc::new(ManualClock::at(Timestamp::from_millis(START_MS + 1_000))),
        sync_requests: SyncRequests::default(),
        unsynced: UnsyncedBudget::default(),
        make_room: MakeRoom::default(),
        incarnation: given.incarnation,
        boot_id,
    };
    let name = TopicPartition::new(TopicName::new("t").unwrap(), 0).unwrap();
    let opened = PartitionCore::open(name, home, Arc::new(options), given, Arc::new(shared));
    opened.map(|(core, report)| (Partition { core }, report))
}

fn open(storage: &Memory, owner: Owner) -> (Partition, PartitionRecovery) {
    open_as(storage, given(owner)).unwrap()
}

/// Values from the start on, with `None` for each gap.
fn read(partition: &Partition) -> Vec<Option<String>> {
    read_all(&partition.reader())
}

fn read_all(reader: &PartitionReader) -> Vec<Option<String>> {
    let mut stream = reader.stream(reader.published.watermarks().start);
    let mut values = Vec::new();
    loop {
        match stream.next(ReadUpTo::End) {
            Ok(Next::Batch(found)) => {
                for record in found.batch.records() {
                    let value = record.unwrap().value().unwrap_or_default().to_vec();
                    values.push(Some(String::from_utf8(value).unwrap()));
                }
            }
            Ok(Next::Tail) => return values,
            Err(error) if error.gap().is_some() => values.push(None),
            Err(error) => panic!("{error}"),
        }
    }
}

fn values(numbers: impl Iterator<Item = u64>) -> Vec<Option<String>> {
    numbers.map(|n| Some(format!("value {n}"))).collect()
}

fn logs(storage: &Memory) -> Vec<(Offset, u64)> {
    let entries = storage.list(Path::new(DIR)).unwrap();
    let mut logs: Vec<(Offset, u64)> = entries
        .iter()
        .filter_map(
            |entry| match FileName::parse(&entry.name.to_string_lossy()) {
                FileName::Log(base) => Some((base, entry.len_bytes)),
                _ => None,
            },
        )
        .collect();
    logs.sort();
    logs
}

fn path(name: FileName) -> std::path::PathBuf {
    Path::new(DIR).join(name.to_string())
}

fn check_appends_go_on(partition: &Partition, end: u64) {
    let ticket = partition.append(Record::new("more")).unwrap();
    assert_eq!(ticket.offset(), offset(end));
    ticket.wait_durable().unwrap();
    assert_eq!(read(partition).last(), Some(&Some("more".to_owned())));
}

#[test]
fn a_closed_partition_opens_without_reading_it() {
    let storage = Memory::new();
    let facts = closed(&storage, &options(), 40);
    assert_eq!(facts.recovery_point, offset(40));
    let before = logs(&storage);
    let (partition, report) = open(&storage, Owner::OursClean);
    assert!(report.was_clean() && !report.needs_attention(), "{report}");
    assert_eq!(report.scanned_bytes(), 0);
    assert!(report.derived().is_empty(), "{report}");
    assert_eq!(logs(&storage), before);
    assert_eq!(read(&partition), values(0..40));
    check_appends_go_on(&partition, 40);
}

#[test]
fn a_killed_process_loses_nothing_and_the_tail_is_copied_before_it_is_shown() {
    for durable in [0, 1, 13, 40] {
        let storage = Memory::new();
        killed(&storage, &options(), durable, 40);
        let (partition, report) = open(&storage, Owner::OursUnclean);
        assert_eq!(read(&partition), values(0..40), "durable {durable}");
        assert_eq!(partition.watermarks().durable, offset(40));
        assert_eq!(report.copied_bytes() > 0, durable < 40, "{report}");
        assert!(!report.needs_attention(), "{report}");
        check_appends_go_on(&partition, 40);
        drop(partition);
        let (partition, _) = open(&storage, Owner::OursUnclean);
        assert_eq!(read(&partition).len(), 41);
    }
}

/// Changes the bytes of a `.log`.
fn damage(storage: &Memory, base: Offset, change: impl FnOnce(&mut Vec<u8>)) {
    let file = storage
        .open(&path(FileName::Log(base)), Access::Write)
        .unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(&mut bytes, 0).unwrap();
    change(&mut bytes);
    file.set_len(0).unwrap();
    file.write_at(&bytes, 0).unwrap();
}

fn one_segment() -> TopicOptions {
    TopicOptions::default()
}

/// Where each batch of the one segment starts, and the end.
fn batch_starts(partition: &Partition) -> Vec<usize> {
    let mut stream = partition.reader().stream(Offset::ZERO);
    let mut starts = vec![0];
    while let Next::Batch(found) = stream.next(ReadUpTo::End).unwrap() {
        let last = *starts.last().unwrap();
        starts.push(last + usize::try_from(found.batch.size_bytes()).unwrap());
    }
    starts
}

#[test]
fn a_torn_tail_is_cut_and_reported_at_every_byte_of_the_last_batch() {
    let whole = Memory::new();
    killed(&whole, &one_segment(), 3, 5);
    let (partition, _) = {
        let storage = Memory::new();
        killed(&storage, &one_segment(), 5, 5);
        open(&storage, Owner::OursUnclean)
    };
    let starts = batch_starts(&partition);
    for cut in starts[4] + 1..starts[5] {
        let storage = Memory::new();
        killed(&storage, &one_segment(), 3, 5);
        damage(&storage, Offset::ZERO, |bytes| bytes.truncate(cut));
        let (partition, report) = open(&storage, Owner::OursUnclean);
        assert_eq!(read(&partition), values(0..4), "cut at {cut}");
        // The first bytes of an offset are zeros, as those of prepared space are: nothing is lost there.
        let Some(torn) = report.torn() else {
            assert!(cut < starts[4] + 8, "cut at {cut}");
            continue;
        };
        assert_eq!(torn.from, offset(4));
        assert_eq!(torn.bytes, (cut - starts[4]) as u64);
        let kept = torn.kept_as.as_ref().expect("there is room");
        let kept = storage.open(&Path::new(DIR).join(kept), Access::Read);
        assert_eq!(kept.unwrap().len().unwrap(), torn.bytes);
        assert!(report.gaps().is_empty(), "{report}");
        check_appends_go_on(&partition, 4);
    }
}

#[test]
fn what_was_set_aside_stays_when_a_later_recovery_cuts_at_the_same_offset() {
    let storage = Memory::new();
    killed(&storage, &one_segment(), 5, 5);
    let mut kept: Vec<(String, u8)> = Vec::new();
    for fill in 1..=10 {
        let (base, _) = *logs(&storage).last().unwrap();
        damage(&storage, base, |bytes| bytes.extend([fill; 30]));
        let (partition, report) = open(&storage, Owner::OursUnclean);
        assert_eq!(read(&partition), values(0..5), "{report}");
        let torn = report.torn().expect("30 bytes are torn");
        assert_eq!((torn.from, torn.bytes), (offset(5), 30));
        kept.extend(torn.kept_as.clone().map(|name| (name, fill)));
        for (name, fill) in &kept {
            let file = storage.open(&Path::new(DIR).join(name), Access::Read);
            let mut bytes = [0; 31];
            assert_eq!(file.unwrap().read_at(&mut bytes, 0).unwrap(), 30);
            assert_eq!(bytes[..30], [*fill; 30], "{name}");
        }
        assert!(report.left_alone().is_empty(), "{report}");
    }
    assert_eq!(kept.len(), 8, "no more than eight tails of one offset");
    let (first, second) = (&kept[0].0, &kept[1].0);
    assert_eq!(first, &FileName::Cut(offset(5)).to_string());
    assert_eq!(second, &FileName::CutAgain(offset(5), 2).to_string());
}

#[test]
fn a_flipped_bit_above_the_durable_end_ends_the_log_whatever_follows() {
    let storage = Memory::new();
    killed(&storage, &options(), 10, 40);
    let before = logs(&storage);
    assert!(before.len() > 3);
    // In the first batch of the third segment.
    damage(&storage, before[2].0, |bytes| bytes[70] ^= 1);
    let (partition, report) = open(&storage, Owner::OursUnclean);
    let end = before[2].0.get();
    assert_eq!(read(&partition), values(0..end), "{report}");
    assert_eq!(report.torn().unwrap().from, before[2].0);
    assert_eq!(report.set_aside().len(), before.len() - 3, "{report}");
    check_appends_go_on(&partition, end);
}

#[test]
fn a_flipped_bit_below_the_durable_end_is_a_gap_and_nothing_is_cut() {
    for clean in [true, false] {
        let storage = Memory::new();
        let owner = if clean {
            closed(&storage, &options(), 40);
            Owner::OursClean
        } else {
            killed(&storage, &options(), 40, 40);
            Owner::OursUnclean
        };
        let before = logs(&storage);
        let last = before.last().unwrap().0;
        for base in [before[1].0, last] {
            damage(&storage, base, |bytes| bytes[70] ^= 1);
        }
        let (partition, report) = open(&storage, owner);
        let mut expected = values(0..40);
        for base in [before[1].0, last] {
            expected[usize::try_from(base.get()).unwrap()] = None;
        }
        assert_eq!(read(&partition), expected, "{report}");
        assert_eq!(logs(&storage)[..before.len()], before, "nothing is cut");
        assert!(report.torn().is_none());
        assert!(!report.gaps().is_empty(), "{report}");
        check_appends_go_on(&partition, 40);
    }
}

#[test]
fn damage_at_the_very_end_below_the_durable_end_is_a_gap_and_its_offsets_are_not_given_again() {
    let storage = Memory::new();
    killed(&storage, &one_segment(), 6, 6);
    damage(&storage, Offset::ZERO, |bytes| {
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
    });
    let before = logs(&storage);
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert_eq!(report.gaps().len(), 1, "{report}");
    assert_eq!(report.gaps()[0].from(), offset(5));
    assert_eq!(report.gaps()[0].to(), offset(6));
    assert_eq!(logs(&storage)[0], before[0], "nothing is cut");
    check_appends_go_on(&partition, 6);
    let mut expected = values(0..5);
    expected.extend([None, Some("more".to_owned())]);
    assert_eq!(read(&partition), expected);
    drop(partition);
    let (partition, _) = open(&storage, Owner::OursUnclean);
    assert_eq!(read(&partition), expected);
}

#[test]
fn a_missing_segment_is_reported_wherever_it_was() {
    for owner in [Owner::OursClean, Owner::OursUnclean] {
        for missing in [0, 1, 5] {
            let storage = Memory::new();
            if owner == Owner::OursClean {
                closed(&storage, &options(), 40);
            } else {
                killed(&storage, &options(), 40, 40);
            }
            let before = logs(&storage);
            let missing = missing.min(before.len() - 1);
            let from = before[missing].0;
            let to = before.get(missing + 1).map_or(offset(40), |next| next.0);
            storage.remove(&path(FileName::Log(from))).unwrap();
            let (partition, report) = open(&storage, owner);
            let gaps: Vec<_> = report
                .gaps()
                .iter()
                .map(|g| (g.from(), g.to(), g.cause()))
                .collect();
            assert_eq!(gaps, [(from, to, GapCause::Missing)], "{owner:?} {report}");
            let lost = from.get()..to.get();
            let mut expected = values(0..from.get());
            expected.push(None);
            expected.extend(values(to.get()..40));
            check_appends_go_on(&partition, 40);
            expected.push(Some("more".to_owned()));
            assert_eq!(read(&partition), expected, "{lost:?}");
        }
    }
}

#[test]
fn a_file_cut_at_a_record_end_is_reported_and_its_offsets_are_not_given_again() {
    let storage = Memory::new();
    killed(&storage, &one_segment(), 6, 6);
    let (partition, _) = open(&storage, Owner::OursUnclean);
    let starts = batch_starts(&partition);
    drop(partition);
    damage(&storage, Offset::ZERO, |bytes| bytes.truncate(starts[4]));
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert_eq!(report.gaps().len(), 1, "{report}");
    assert_eq!(
        (report.gaps()[0].from(), report.gaps()[0].to()),
        (offset(4), offset(6))
    );
    check_appends_go_on(&partition, 6);
}

#[test]
fn all_segments_gone_is_missing_data_and_not_a_new_log() {
    let storage = Memory::new();
    killed(&storage, &options(), 40, 40);
    for (base, _) in logs(&storage) {
        storage.remove(&path(FileName::Log(base))).unwrap();
    }
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert_eq!(
        (report.gaps()[0].from(), report.gaps()[0].to()),
        (offset(0), offset(40))
    );
    check_appends_go_on(&partition, 40);
}

#[test]
fn acknowledged_records_under_a_temporary_name_are_found() {
    let storage = Memory::new();
    killed(&storage, &options(), 5, 40);
    let last = logs(&storage).last().unwrap().0;
    storage
        .rename(&path(FileName::Log(last)), &path(FileName::Prepared(last)))
        .unwrap();
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert_eq!(read(&partition), values(0..40), "{report}");
    assert!(logs(&storage).iter().all(|(base, _)| *base <= last));
}

#[test]
fn an_unfinished_copy_of_the_tail_goes_and_rubbish_is_set_aside() {
    let storage = Memory::new();
    killed(&storage, &one_segment(), 3, 6);
    let file = storage
        .open(&path(FileName::Log(Offset::ZERO)), Access::Read)
        .unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(&mut bytes, 0).unwrap();
    let write = |base, bytes: &[u8]| {
        storage
            .create(&path(FileName::Prepared(base)))
            .unwrap()
            .write_at(bytes, 0)
            .unwrap();
    };
    write(Offset::ZERO, &bytes[..bytes.len() - 9]);
    write(offset(77), &[0; 500]);
    write(offset(88), b"no batch at all, but somebody's bytes");
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert_eq!(read(&partition), values(0..6), "{report}");
    assert_eq!(report.set_aside(), [FileName::Cut(offset(88)).to_string()]);
    assert_eq!(report.removed().len(), 2, "{report}");
}

#[test]
fn a_crash_between_rename_and_cut_leaves_an_overlap_and_each_record_once() {
    let storage = Memory::new();
    killed(&storage, &one_segment(), 3, 6);
    let (source, starts) = {
        let other = Memory::new();
        killed(&other, &one_segment(), 6, 6);
        (
            home(&storage),
            batch_starts(&open(&other, Owner::OursUnclean).0),
        )
    };
    let at = |position: usize| crate::offset::FilePosition::new(u32::try_from(position).unwrap());
    let copy = crate::segment::copy_tail(
        &source,
        Offset::ZERO,
        at(starts[3]),
        at(starts[6]),
        offset(3),
    )
    .unwrap();
    storage
        .rename(&copy, &path(FileName::Log(offset(3))))
        .unwrap();
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert_eq!(read(&partition), values(0..6), "{report}");
    assert_eq!(logs(&storage)[0], (Offset::ZERO, starts[3] as u64));
}

#[test]
fn a_full_disk_opens_with_what_is_durable_and_appends_resume_once_there_is_room() {
    let storage = Memory::with_capacity_bytes(1 << 20);
    killed(&storage, &one_segment(), 3, 6);
    let ballast = storage.create(Path::new("/ballast")).unwrap();
    let free = storage.space(Path::new("/")).unwrap().free_bytes;
    ballast.prepare(0..free - 10).unwrap();
    let before = logs(&storage);
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert_eq!(report.copy_pending().unwrap().kind(), ErrorKind::Full);
    assert_eq!(read(&partition), values(0..3), "{report}");
    let refused = partition.append(Record::new("no room")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Full);
    assert_eq!(logs(&storage), before, "nothing is cut before it is copied");
    let closed = partition.core.close().unwrap_err();
    assert_eq!(
        closed.kind(),
        ErrorKind::Full,
        "and no marker may be written"
    );
    let (partition, _) = open(&storage, Owner::OursUnclean);
    ballast.set_len(0).unwrap();
    check_appends_go_on(&partition, 6);
    let mut expected = values(0..6);
    expected.push(Some("more".to_owned()));
    assert_eq!(read(&partition), expected);
}

#[test]
fn a_crash_while_everything_was_replaced_leaves_no_false_gap() {
    let storage = Memory::new();
    killed(&storage, &options(), 40, 40);
    for (base, _) in logs(&storage).into_iter().take(2) {
        storage.remove(&path(FileName::Log(base))).unwrap();
    }
    let home = home(&storage);
    let mut side = SideFiles::open(&home, wrong_facts(), 0).unwrap();
    side.update(|facts| {
        facts.log_start = offset(1);
        facts.recovery_point = offset(1);
        facts.durable_end = offset(1);
    })
    .unwrap();
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert!(report.gaps().is_empty(), "{report}");
    assert!(!report.set_aside().is_empty());
    check_appends_go_on(&partition, 1);
}

fn wrong_facts() -> Facts {
    Facts {
        log_start: offset(9),
        recovery_point: offset(9),
        durable_end: offset(9),
        generation: 9,
        dense_from: None,
        epochs: None,
        boot_id: Default::default(),
        incarnation: OURS,
    }
}

#[test]
fn derived_files_that_are_gone_or_damaged_are_derived_and_reported() {
    for damaged in [false, true] {
        let storage = Memory::new();
        closed(&storage, &options(), 40);
        let first = logs(&storage)[1].0;
        let names = [
            FileName::OffsetIndex(first),
            FileName::TimeIndex(first),
            FileName::Snapshot(offset(40)),
            FileName::LeaderEpochs,
        ];
        for name in names {
            if damaged {
                let file = storage.open(&path(name), Access::Write).unwrap();
                file.set_len(0).unwrap();
                file.write_at(b"rubbish", 0).unwrap();
            } else {
                storage.remove(&path(name)).unwrap();
            }
        }
        let (partition, report) = open(&storage, Owner::OursClean);
        assert_eq!(read(&partition), values(0..40), "{report}");
        for name in [names[0], names[2], names[3]] {
            assert!(
                report.derived().contains(&name.to_string()),
                "{name} {report}"
            );
        }
        assert!(
            report.gaps().is_empty() && report.torn().is_none(),
            "{report}"
        );
        let epochs = partition.core.writer.lock().epochs.entries().to_vec();
        assert_eq!(epochs, [(LeaderEpoch::ZERO, Offset::ZERO)]);
        check_appends_go_on(&partition, 40);
    }
}

#[test]
fn lost_facts_are_drawn_anew_and_nothing_is_called_missing() {
    for owner in [Owner::OursClean, Owner::OursUnclean] {
        let storage = Memory::new();
        closed(&storage, &options(), 40);
        storage.remove(&path(FileName::Facts)).unwrap();
        storage.remove(&path(FileName::SegmentList)).unwrap();
        let (partition, report) = open(&storage, owner);
        assert_eq!(read(&partition), values(0..40), "{report}");
        assert!(report.gaps().is_empty(), "{report}");
        assert_eq!(report.derived(), [FileName::Facts.to_string()]);
        check_appends_go_on(&partition, 40);
    }
}

#[test]
fn an_interrupted_creation_opens_as_an_empty_log() {
    let storage = Memory::new();
    storage.create_dir(Path::new(DIR)).unwrap();
    storage.create(&path(FileName::Facts)).unwrap();
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert!(!report.needs_attention(), "{report}");
    check_appends_go_on(&partition, 0);
}

#[test]
fn another_incarnation_is_adopted_and_its_facts_are_not_believed() {
    let storage = Memory::new();
    closed(&storage, &options(), 40);
    let moved = OpenFacts {
        incarnation: Incarnation([8; 16]),
        recovery_point: Some(offset(40)),
        ..given(Owner::OursClean)
    };
    let (partition, report) = open_as(&storage, moved).unwrap();
    assert!(
        report.adopted().is_some() && report.gaps().is_empty(),
        "{report}"
    );
    assert_eq!(read(&partition), values(0..40));
    check_appends_go_on(&partition, 40);
}

#[test]
fn kafkas_unfinished_compaction_is_completed_or_undone() {
    let storage = Memory::new();
    closed(&storage, &options(), 40);
    let all = logs(&storage);
    let (swapped, cleaned) = (all[1].0, all[2].0);
    storage
        .rename(
            &path(FileName::Log(swapped)),
            &Path::new(DIR).join(format!("{}.swap", FileName::Log(swapped))),
        )
        .unwrap();
    for name in [
        format!("{}.cleaned", FileName::Log(cleaned)),
        format!("{}.swap", FileName::Log(cleaned)),
        format!("{}.deleted", FileName::Log(Offset::ZERO)),
    ] {
        storage.create(&Path::new(DIR).join(name)).unwrap();
    }
    let (partition, report) = open(&storage, Owner::OursClean);
    assert_eq!(read(&partition), values(0..40), "{report}");
    assert!(report.gaps().is_empty(), "{report}");
    assert!(report.removed().len() >= 3, "{report}");
}

#[test]
fn a_start_above_the_end_starts_anew_there_and_drops_nothing() {
    let storage = Memory::new();
    killed(&storage, &one_segment(), 3, 6);
    let mut side = SideFiles::open(&home(&storage), wrong_facts(), 0).unwrap();
    side.update(|facts| facts.log_start = offset(50)).unwrap();
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert_eq!(partition.watermarks().start, offset(50), "{report}");
    assert_eq!(logs(&storage)[0].0, Offset::ZERO, "nothing is dropped");
    check_appends_go_on(&partition, 50);
}

#[test]
fn foreign_names_are_left_alone_and_a_folder_in_the_place_of_a_file_is_refused() {
    let storage = Memory::new();
    closed(&storage, &options(), 10);
    storage
        .create(&Path::new(DIR).join("stratalog.meta"))
        .unwrap();
    storage.create_dir(&Path::new(DIR).join("notes")).unwrap();
    let (partition, report) = open(&storage, Owner::OursClean);
    assert_eq!(report.left_alone(), ["notes", "stratalog.meta"]);
    drop(partition);
    let without_number = Path::new(DIR).join("foo.log");
    storage.create(&without_number).unwrap();
    let error = open_as(&storage, given(Owner::OursClean)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let (_, report) = view(&storage, Owner::OursClean);
    assert!(report.left_alone().contains(&"foo.log".to_owned()));
    storage.remove(&without_number).unwrap();
    storage
        .create_dir(&path(FileName::Log(offset(1_000))))
        .unwrap();
    let error = open_as(&storage, given(Owner::OursClean)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        error.path(),
        Some(path(FileName::Log(offset(1_000))).as_path())
    );
}

fn view(storage: &Memory, owner: Owner) -> (PartitionReader, PartitionRecovery) {
    let name = TopicPartition::new(TopicName::new("t").unwrap(), 0).unwrap();
    let (opening, report) = open_read_only(&name, &home(storage), given(owner)).unwrap();
    let reader = PartitionReader {
        name,
        published: Arc::new(Published::new(opening)),
        max_decompressed_bytes: 1 << 20,
    };
    (reader, report)
}

#[test]
fn a_view_shows_what_recovery_would_show_and_writes_nothing() {
    let all = |storage: &Memory| {
        let mut entries = storage.list(Path::new(DIR)).unwrap();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    };
    for (durable, torn, missing) in [(40, false, None), (10, true, None), (40, false, Some(1))] {
        let storage = Memory::new();
        killed(&storage, &options(), durable, 40);
        let last = *logs(&storage).last().unwrap();
        if torn {
            damage(&storage, last.0, |bytes| bytes.truncate(bytes.len() - 5));
        }
        if let Some(missing) = missing {
            let base = logs(&storage)[missing].0;
            storage.remove(&path(FileName::Log(base))).unwrap();
        }
        let before = all(&storage);
        let (reader, seen) = view(&storage, Owner::OursUnclean);
        let shown = read_all(&reader);
        assert_eq!(all(&storage), before, "a view writes nothing");
        let (partition, report) = open(&storage, Owner::OursUnclean);
        assert_eq!(shown, read(&partition), "{report}");
        assert_eq!(seen.gaps(), report.gaps());
    }
    let storage = Memory::new();
    closed(&storage, &options(), 40);
    let (reader, report) = view(&storage, Owner::OursClean);
    assert_eq!(read_all(&reader), values(0..40), "{report}");
    assert_eq!(report.scanned_bytes(), 0);
}

#[cfg(feature = "sim")]
mod crash;
mod epochs;
mod follower;
mod kafka;
#[cfg(feature = "sim")]
mod room;
mod rows;

#[test]
fn after_a_reboot_one_sync_replaces_the_copy() {
    let storage = Memory::new();
    killed(&storage, &options(), 10, 40);
    let mut side = SideFiles::open(&home(&storage), wrong_facts(), 0).unwrap();
    side.update(|facts| facts.boot_id = crate::storage::BootId([1; 16]))
        .unwrap();
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert_eq!(read(&partition), values(0..40), "{report}");
    assert_eq!(report.copied_bytes(), 0, "{report}");
    assert_eq!(partition.watermarks().durable, offset(40));
    check_appends_go_on(&partition, 40);
}

#[test]
fn a_clean_open_of_many_segments_opens_none_of_them() {
    let storage = Memory::new();
    closed(&storage, &options(), 3_000);
    assert!(logs(&storage).len() > 200);
    let (partition, report) = open(&storage, Owner::OursClean);
    assert!(report.was_clean(), "{report}");
    assert_eq!(partition.core.home.open_files.open_count(), 0);
    assert_eq!(read(&partition), values(0..3_000));
}

/// Two records' offsets: what never happened, and the marker that says so.
fn abort_a_transaction(core: &Arc<PartitionCore>) {
    use crate::batch::{ControlKind, ControlMarker, RecordBatchBuilder};
    use crate::{Compression, ProducerEpoch, ProducerId, Sequence};

    let (id, epoch) = (ProducerId::new(5).unwrap(), ProducerEpoch::new(0).unwrap());
    let mut batch = RecordBatchBuilder::new(Compression::None)
        .producer(id, epoch, Sequence::ZERO)
        .transactional();
    batch.push(Record::new("never happened")).unwrap();
    core.append_as_leader(batch.finish().unwrap(), LeaderEpoch::ZERO)
        .unwrap();
    let marker = RecordBatchBuilder::control(ControlMarker {
        kind: ControlKind::Abort,
        producer_id: id,
        producer_epoch: epoch,
        coordinator_epoch: 0,
        timestamp: Timestamp::from_millis(START_MS),
    });
    core.append_as_leader(marker, LeaderEpoch::ZERO).unwrap();
}

#[test]
fn an_index_of_aborted_transactions_that_does_not_fit_is_derived_anew() {
    let storage = Memory::new();
    let bench = new_bench(&storage, &options());
    let core = bench.core();
    abort_a_transaction(core);
    fill(&bench.partition, 0, 40);
    core.close().unwrap();
    let file = storage
        .open(&path(FileName::TxnIndex(Offset::ZERO)), Access::Write)
        .unwrap();
    file.set_len(20).unwrap();
    let (partition, report) = open(&storage, Owner::OursClean);
    let aborted = partition
        .reader()
        .aborted(Offset::ZERO..offset(42))
        .unwrap();
    assert_eq!(aborted.len(), 1, "{report}");
    assert_eq!(
        (aborted[0].first, aborted[0].last),
        (Offset::ZERO, offset(1))
    );
    assert_eq!(
        file.len().unwrap(),
        20,
        "the old file is replaced, not written over"
    );
}

/// Promise 13: what is read committed is the same, whatever became of the list of what was aborted.
#[test]
fn a_spoiled_index_of_aborted_transactions_changes_no_answer() {
    let storage = Memory::new();
    let bench = new_bench(&storage, &options());
    fill(&bench.partition, 0, 3);
    abort_a_transaction(bench.core());
    fill(&bench.partition, 0, 40);
    let all = Offset::ZERO..bench.partition.watermarks().end;
    let expected = bench.partition.reader().aborted(all.clone()).unwrap();
    assert_eq!(expected.len(), 1);
    bench.core().close().unwrap();
    drop(bench);
    let path = path(FileName::TxnIndex(Offset::ZERO));
    let whole = read_small_file(&storage, &path, 100);
    let whole = whole.unwrap().unwrap();
    let check = |what: &str| {
        let (reader, _) = view(&storage, Owner::OursClean);
        assert_eq!(
            reader.aborted(all.clone()).unwrap(),
            expected,
            "view, {what}"
        );
        let (partition, report) = open(&storage, Owner::OursClean);
        let aborted = partition.reader().aborted(all.clone());
        assert_eq!(aborted.unwrap(), expected, "{what} {report}");
        partition.core.close().unwrap();
    };
    let write = |bytes: &[u8]| {
        let staged = Path::new(DIR).join("spoiled");
        let file = storage.create(&staged).unwrap();
        file.write_at(bytes, 0).unwrap();
        storage.rename(&staged, &path).unwrap();
    };
    for bit in 0..whole.len() * 8 {
        let mut spoiled = whole.clone();
        spoiled[bit / 8] ^= 1 << (bit % 8);
        write(&spoiled);
        check(&format!("bit {bit}"));
    }
    for len in 0..whole.len() {
        write(&whole[..len]);
        check(&format!("cut to {len}"));
    }
    storage.remove(&path).unwrap();
    check("removed");
}

#[test]
fn a_cut_that_came_back_below_the_recovery_point_shows_each_record_once() {
    let storage = Memory::new();
    killed(&storage, &one_segment(), 3, 6);
    let whole = home(&storage)
        .storage
        .open(&path(FileName::Log(Offset::ZERO)), Access::Read)
        .unwrap();
    let mut bytes = vec![0; usize::try_from(whole.len().unwrap()).unwrap()];
    whole.read_at(&mut bytes, 0).unwrap();
    drop(open(&storage, Owner::OursUnclean));
    assert_eq!(logs(&storage).len(), 2, "the tail was copied");
    damage(&storage, Offset::ZERO, |cut| {
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        *cut = bytes;
    });
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert_eq!(read(&partition), values(0..6), "{report}");
    check_appends_go_on(&partition, 6);
}

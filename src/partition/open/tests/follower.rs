//! A follower whose leader's log begins inside of a batch (KAFKA-6975).

use super::*;
use crate::batch::RecordBatchBuilder;
use crate::compress::Compression;

/// Batches of three records each, as a leader has them in its log.
fn leaders(bases: &[u64]) -> bytes::Bytes {
    let mut bytes = Vec::new();
    for base in bases {
        let mut builder = RecordBatchBuilder::new(Compression::None);
        for number in *base..base + 3 {
            let value = format!("value {number}");
            let record = Record::new(&value);
            builder
                .push(record.timestamp(Timestamp::from_millis(START_MS)))
                .unwrap();
        }
        let batch = builder.finish().unwrap();
        let batch = batch.stamped(offset(*base), LeaderEpoch::ZERO).unwrap();
        bytes.extend_from_slice(batch.as_bytes());
    }
    bytes.into()
}

/// Values that a reader sees from the log start on.
fn seen(partition: &Partition) -> Vec<Option<String>> {
    let start = partition.watermarks().start;
    let cursor = crate::Cursor::over(partition.reader(), crate::Start::At(start)).unwrap();
    cursor
        .map(|record| String::from_utf8(record.unwrap().value().unwrap().to_vec()).ok())
        .collect()
}

#[test]
fn an_empty_log_takes_the_batch_in_which_it_starts() {
    for owner in [Owner::OursClean, Owner::OursUnclean] {
        let storage = Memory::new();
        let bench = new_bench(&storage, &options());
        let replica = bench.partition.replica();
        replica.reset_to(offset(31)).unwrap();
        let mut stream = bench.partition.reader().stream(offset(31));
        assert!(matches!(stream.next(ReadUpTo::End), Ok(Next::Tail)));
        let range = replica.append_as_follower(leaders(&[30, 33]), offset(36));
        assert_eq!(range.unwrap(), offset(30)..offset(36));
        let marks = bench.partition.watermarks();
        assert_eq!((marks.start, marks.end), (offset(31), offset(36)));
        assert_eq!(seen(&bench.partition), values(31..36));
        let Ok(Next::Batch(found)) = stream.next(ReadUpTo::End) else {
            panic!("a reader that waited at the start goes on")
        };
        assert_eq!(found.batch.base_offset(), offset(30));
        assert_eq!(replica.epochs(), [(LeaderEpoch::ZERO, offset(31))]);
        match owner {
            Owner::OursClean => drop(bench.core().close().unwrap()),
            _ => drop(bench.partition.sync().unwrap()),
        }
        drop(bench);
        let (partition, report) = open(&storage, owner);
        let marks = partition.watermarks();
        assert_eq!(
            (marks.start, marks.end),
            (offset(31), offset(36)),
            "{report}"
        );
        assert_eq!(seen(&partition), values(31..36), "{report}");
        assert!(report.gaps().is_empty(), "{report}");
        check_appends_go_on(&partition, 36);
    }
}

#[test]
fn batches_wholly_below_the_start_come_along_with_one_that_reaches_beyond_it() {
    let storage = Memory::new();
    let bench = new_bench(&storage, &options().segment_bytes(300));
    let replica = bench.partition.replica();
    replica.reset_to(offset(40)).unwrap();
    let range = replica.append_as_follower(leaders(&[30, 33, 36, 39, 42]), offset(45));
    assert_eq!(range.unwrap(), offset(30)..offset(45));
    assert!(logs(&storage).len() > 1, "it rolls on the way");
    assert_eq!(seen(&bench.partition), values(40..45));
}

#[test]
fn what_ends_below_the_start_or_comes_to_a_log_with_records_is_refused() {
    let storage = Memory::new();
    let bench = new_bench(&storage, &options());
    let replica = bench.partition.replica();
    replica.reset_to(offset(33)).unwrap();
    let refused = replica.append_as_follower(leaders(&[30]), offset(33));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    replica
        .append_as_follower(leaders(&[33]), offset(36))
        .unwrap();
    let refused = replica.append_as_follower(leaders(&[35]), offset(38));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(seen(&bench.partition), values(33..36));
}

#[test]
fn a_kill_between_the_new_file_and_the_batch_leaves_an_empty_log_at_its_start() {
    let storage = Memory::new();
    let bench = new_bench(&storage, &options());
    let replica = bench.partition.replica();
    replica.reset_to(offset(31)).unwrap();
    replica
        .append_as_follower(leaders(&[30]), offset(33))
        .unwrap();
    drop(bench);
    for cut in [0, 40] {
        damage(&storage, offset(30), |bytes| bytes.truncate(cut));
        let (partition, report) = open(&storage, Owner::OursUnclean);
        let marks = partition.watermarks();
        assert_eq!(
            (marks.start, marks.end),
            (offset(31), offset(31)),
            "{report}"
        );
        assert!(report.gaps().is_empty(), "{report}");
        let replica = partition.replica();
        replica
            .append_as_follower(leaders(&[30]), offset(33))
            .unwrap();
        assert_eq!(seen(&partition), values(31..33));
    }
}

#[test]
fn a_full_disk_leaves_the_log_empty_at_its_start_and_the_batch_may_come_again() {
    let storage = Memory::with_capacity_bytes(4 << 10);
    let bench = new_bench(&storage, &options());
    let replica = bench.partition.replica();
    replica.reset_to(offset(31)).unwrap();
    let hog = storage.create(Path::new("/hog")).unwrap();
    let mut hog_bytes = 0;
    while hog.write_at(&[1; 16], hog_bytes).is_ok() {
        hog_bytes += 16;
    }
    // Room for what starting over writes, and not for the batch.
    hog.set_len(hog_bytes.saturating_sub(64)).unwrap();
    let full = replica.append_as_follower(leaders(&[30]), offset(33));
    assert_eq!(full.unwrap_err().kind(), ErrorKind::Full);
    let marks = bench.partition.watermarks();
    assert_eq!((marks.start, marks.end), (offset(31), offset(31)));
    storage.remove(Path::new("/hog")).unwrap();
    drop(hog);
    bench.clock.advance(std::time::Duration::from_secs(1));
    check_appends_go_on(&bench.partition, 31);
}

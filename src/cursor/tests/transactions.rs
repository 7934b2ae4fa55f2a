//! Read committed: what was aborted is hidden, what is undecided waits.

use super::*;
use crate::batch::{ControlKind, ControlMarker};
use crate::cursor::Fetch;
use crate::ids::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};
use crate::partition::ReadUpTo;

/// One batch of a transaction of `producer`.
fn in_transaction(bench: &Bench, producer: i64, first: i32, values: &[&str]) {
    let id = ProducerId::new(producer).expect("not negative");
    let first = Sequence::new(first).expect("not negative");
    let mut builder = RecordBatchBuilder::new(Compression::None)
        .producer(id, ProducerEpoch::default(), first)
        .transactional();
    for value in values {
        builder.push(Record::new(*value)).expect("a small record");
    }
    bench.partition.append_batch(&builder).expect("in sequence");
}

fn end(bench: &Bench, producer: i64, kind: ControlKind) {
    let marker = RecordBatchBuilder::control(ControlMarker {
        kind,
        producer_id: ProducerId::new(producer).expect("not negative"),
        producer_epoch: ProducerEpoch::default(),
        coordinator_epoch: 0,
        timestamp: time(0),
    });
    let epoch = LeaderEpoch::new(0).expect("not negative");
    bench
        .partition
        .replica()
        .append_as_leader(marker, epoch)
        .expect("a marker");
}

fn committed(bench: &Bench) -> Vec<String> {
    values(&mut earliest(bench).read_up_to(ReadUpTo::LastStable))
}

/// Two producers at once; 1 aborts its first transaction and commits its second, 2 commits.
fn interleaved(options: TopicOptions) -> Bench {
    let bench = in_memory(options);
    in_transaction(&bench, 1, 0, &["a1", "a2"]);
    in_transaction(&bench, 2, 0, &["b1"]);
    append_batch(&bench, &["plain"]);
    in_transaction(&bench, 1, 2, &["a3"]);
    end(&bench, 1, ControlKind::Abort);
    in_transaction(&bench, 1, 3, &["a4"]);
    in_transaction(&bench, 2, 1, &["b2"]);
    end(&bench, 2, ControlKind::Commit);
    end(&bench, 1, ControlKind::Commit);
    bench
}

#[test]
fn aborted_records_and_markers_are_hidden_from_a_committed_reader() {
    for options in [TopicOptions::default(), small_segments()] {
        let bench = interleaved(options);
        assert_eq!(committed(&bench), ["b1", "plain", "a4", "b2"]);
        let all = ["a1", "a2", "b1", "plain", "a3", "a4", "b2"];
        assert_eq!(values(&mut earliest(&bench)), all);
    }
}

#[test]
fn markers_are_batches_of_other_readers_and_never_records() {
    let bench = interleaved(TopicOptions::default());
    let mut cursor = earliest(&bench);
    let mut markers = 0;
    while let Some(batch) = cursor.next_batch().unwrap() {
        markers += u32::from(batch.is_control());
    }
    assert_eq!(markers, 3);
    let mut cursor = earliest(&bench).read_up_to(ReadUpTo::LastStable);
    while let Some(batch) = cursor.next_batch().unwrap() {
        assert!(!batch.is_control());
    }
    assert_eq!(kind(bench.partition.get(offset(5))), ErrorKind::NotFound);
}

#[test]
fn an_undecided_transaction_holds_a_committed_reader_back_until_its_marker() {
    let bench = in_memory(TopicOptions::default());
    append_batch(&bench, &["before"]);
    in_transaction(&bench, 1, 0, &["a"]);
    append_batch(&bench, &["behind"]);
    let mut cursor = earliest(&bench).read_up_to(ReadUpTo::LastStable);
    assert_eq!(values(&mut cursor), ["before"]);
    assert!(!cursor.wait(Duration::ZERO).unwrap());
    end(&bench, 1, ControlKind::Abort);
    assert!(cursor.wait(Duration::ZERO).unwrap());
    assert_eq!(values(&mut cursor), ["behind"]);
}

#[test]
fn a_reader_that_starts_inside_an_aborted_transaction_hides_the_rest_of_it() {
    let bench = interleaved(small_segments());
    for start in 0..bench.partition.watermarks().end.get() {
        let mut cursor = (bench.partition.cursor(Start::At(offset(start))))
            .expect("in range")
            .read_up_to(ReadUpTo::LastStable);
        let given = values(&mut cursor);
        assert!(
            given
                .iter()
                .all(|value| !["a1", "a2", "a3"].contains(&&**value))
        );
        assert!(
            ["b1", "plain", "a4", "b2"].ends_with(&given.iter().map(|v| &**v).collect::<Vec<_>>())
        );
    }
}

#[test]
fn what_was_decided_again_after_a_cut_is_believed() {
    let bench = in_memory(TopicOptions::default());
    append_batch(&bench, &["plain"]);
    in_transaction(&bench, 1, 0, &["a"]);
    in_transaction(&bench, 1, 1, &["b"]);
    end(&bench, 1, ControlKind::Abort);
    let mut cursor = bench
        .partition
        .cursor(Start::Earliest)
        .unwrap()
        .read_up_to(ReadUpTo::LastStable);
    assert_eq!(cursor.next().unwrap().unwrap().offset(), offset(0));
    assert!(cursor.next().is_none());
    // The marker and the batch before it go; the transaction is open again, and is committed this time.
    bench.partition.replica().truncate_to(offset(2)).unwrap();
    in_transaction(&bench, 1, 1, &["c"]);
    end(&bench, 1, ControlKind::Commit);
    cursor.seek(Start::Earliest).unwrap();
    assert_eq!(values(&mut cursor), ["plain", "a", "c"]);
}

#[test]
fn a_fetch_names_the_aborted_transactions_only_for_a_committed_reader() {
    let bench = interleaved(TopicOptions::default());
    let fetch = Fetch::from(offset(0));
    let fetched = bench.partition.fetch(&fetch).unwrap();
    assert!(fetched.aborted().is_empty());
    let fetched = bench
        .partition
        .fetch(&fetch.up_to(ReadUpTo::LastStable))
        .unwrap();
    let aborted = fetched.aborted();
    assert_eq!(aborted.len(), 1);
    assert_eq!(
        (
            aborted[0].producer_id().get(),
            aborted[0].first_offset(),
            aborted[0].last_offset()
        ),
        (1, offset(0), offset(5))
    );
}

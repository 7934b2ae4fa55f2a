//! What holds for every history of producers, tried on random ones.

use proptest::prelude::*;

use super::*;
use crate::laws::config;

/// What happens next to the log.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The producer sends its next batch, in its transaction or outside of one.
    Send {
        id: i64,
        count: u32,
    },
    /// It sends an arbitrary batch.
    Wild {
        id: i64,
        epoch: i16,
        sequence: i32,
    },
    Begin {
        id: i64,
    },
    /// A marker, its epoch so much above the known one (transaction version 2: one).
    End {
        id: i64,
        kind: ControlKind,
        up: i16,
        coordinator: i32,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let id = 1i64..4;
    let event = prop_oneof![
        4 => (id.clone(), 1u32..4).prop_map(|(id, count)| Event::Send { id, count }),
        1 => (id.clone(), 0i16..3, prop_oneof![0i32..4, (i32::MAX - 3)..=i32::MAX])
            .prop_map(|(id, epoch, sequence)| Event::Wild { id, epoch, sequence }),
        2 => id.clone().prop_map(|id| Event::Begin { id }),
        2 => (id, prop_oneof![Just(ControlKind::Abort), Just(ControlKind::Commit)], -1i16..2, 0i32..3)
            .prop_map(|(id, kind, up, coordinator)| Event::End { id, kind, up, coordinator }),
    ];
    prop::collection::vec(event, 0..60)
}

/// A batch that the leader took, as it stands in the log.
type Stored = (BatchHeader, Option<ControlMarker>);

/// Plays the events as a leader and returns the log.
fn play(events: &[Event]) -> (Folded, Vec<Stored>) {
    let mut log = Folded::default();
    let mut stored = Vec::new();
    for event in events {
        let info = |id: i64| {
            log.producers
                .list()
                .into_iter()
                .find(|info| info.id.get() == id)
        };
        let (header, marker) = match *event {
            Event::Send { id, count } => {
                let known = info(id);
                let last = known.as_ref().and_then(|info| info.batches.last());
                let next = last.map_or(0, |batch| batch.last_sequence.wrapping_add(1).get());
                let epoch = known.as_ref().map_or(0, |info| info.epoch.get());
                let is_open = known.is_some_and(|info| info.transaction_first_offset.is_some());
                let sent = data(id, epoch, next, count);
                let sent = if is_open { in_transaction(sent) } else { sent };
                (sent.header(log.end), None)
            }
            Event::Wild {
                id,
                epoch,
                sequence,
            } => (data(id, epoch, sequence, 2).header(log.end), None),
            Event::Begin { id } => {
                let known = info(id);
                let last = known.as_ref().and_then(|info| info.batches.last());
                let next = last.map_or(0, |batch| batch.last_sequence.wrapping_add(1).get());
                let epoch = known.as_ref().map_or(0, |info| info.epoch.get());
                (
                    in_transaction(data(id, epoch, next, 1)).header(log.end),
                    None,
                )
            }
            Event::End {
                id,
                kind,
                up,
                coordinator,
            } => {
                let epoch = info(id).map_or(0, |info| info.epoch.get());
                let marker = marker(kind, id, (epoch + up).max(0), coordinator);
                let batch = RecordBatchBuilder::control(marker);
                let batch = batch
                    .stamped(Offset::new(log.end).unwrap(), LeaderEpoch::ZERO)
                    .unwrap();
                (*batch.header(), Some(marker))
            }
        };
        if let Ok(Admission::New) = log
            .producers
            .check(&header, marker.as_ref(), Origin::Leader)
        {
            log.producers.apply(&header, marker.as_ref());
            log.end = header.next_offset().get();
            stored.push((header, marker));
        }
    }
    (log, stored)
}

fn fold(producers: &mut Producers, batches: &[Stored]) -> Vec<AbortedTransaction> {
    let folded = batches
        .iter()
        .filter_map(|(header, marker)| producers.apply(header, marker.as_ref()));
    folded.collect()
}

/// What a snapshot keeps: all but the batches before the last one, and that one's own time.
fn kept(producers: &Producers) -> Vec<ProducerInfo> {
    let mut list = producers.list();
    for info in &mut list {
        let before_last = info.batches.len().saturating_sub(1);
        info.batches.drain(..before_last);
        for batch in &mut info.batches {
            batch.timestamp = None;
        }
    }
    list
}

/// The first unstable offset and the aborted transactions, from the log as it stands alone: no state is kept.
fn by_definition(batches: &[Stored], high: Offset) -> (Option<Offset>, Vec<(i64, u64, u64)>) {
    let mut open: BTreeMap<ProducerId, Offset> = BTreeMap::new();
    let mut unstable = Vec::new();
    let mut aborted = Vec::new();
    for (header, marker) in batches {
        let id = header.producer().unwrap().id;
        match marker {
            Some(marker) => {
                if let Some(first) = open.remove(&id) {
                    if header.base_offset() >= high {
                        unstable.push(first);
                    }
                    if marker.kind == ControlKind::Abort {
                        aborted.push((id.get(), first.get(), header.base_offset().get()));
                    }
                }
            }
            None if header.is_transactional() => {
                open.entry(id).or_insert(header.base_offset());
            }
            None => {}
        }
    }
    unstable.extend(open.into_values());
    (unstable.into_iter().min(), aborted)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_snapshot_and_the_batches_behind_it_give_what_all_batches_give(events in events(), at in any::<prop::sample::Index>()) {
        let (log, stored) = play(&events);
        let at = at.index(stored.len() + 1);
        let mut first = Producers::default();
        let mut aborted = fold(&mut first, &stored[..at]);
        let end = stored[..at].last().map_or(Offset::ZERO, |(header, _)| header.next_offset());
        let mut replayed = Producers::from_snapshot(&first.to_snapshot(), end).unwrap();
        prop_assert_eq!(replayed.to_snapshot(), first.to_snapshot());
        aborted.extend(fold(&mut replayed, &stored[at..]));
        prop_assert_eq!(kept(&replayed), kept(&log.producers));
        let whole = fold(&mut Producers::default(), &stored);
        prop_assert_eq!(aborted, whole, "the same transactions are aborted, with the same last stable offsets");
        // Decided transactions are not in a snapshot: it stands below the high watermark.
        let high = Offset::new(log.end).unwrap();
        prop_assert_eq!(replayed.first_unstable(high), log.producers.first_unstable(high));
    }

    #[test]
    fn what_is_unstable_and_aborted_is_what_the_markers_in_the_log_say(events in events(), high in any::<prop::sample::Index>()) {
        let (log, stored) = play(&events);
        let high = Offset::new(high.index(usize::try_from(log.end).unwrap() + 2) as u64).unwrap();
        let (unstable, aborted) = by_definition(&stored, high);
        let mut producers = Producers::default();
        let mut found = Vec::new();
        for (header, marker) in &stored {
            found.extend(producers.apply(header, marker.as_ref()));
        }
        prop_assert_eq!(producers.first_unstable(high), unstable);
        producers.forget_decided_below(high);
        prop_assert_eq!(producers.first_unstable(high), unstable, "after forgetting, too");
        let found: Vec<_> = found.iter().map(|a| (a.producer.get(), a.first.get(), a.last.get())).collect();
        prop_assert_eq!(found, aborted);
    }

    #[test]
    fn any_bytes_are_a_snapshot_or_a_named_fault(count in any::<i32>(), entries in prop::collection::vec(any::<u8>(), 0..200), few in any::<bool>(), end in 0u64..1 << 40) {
        let count = if few { i32::try_from(entries.len() / 46).unwrap() } else { count };
        let bytes = sealed(count, &entries);
        let end = Offset::new(end).unwrap();
        if let Ok(producers) = Producers::from_snapshot(&bytes, end) {
            let again = Producers::from_snapshot(&producers.to_snapshot(), end).unwrap();
            prop_assert_eq!(again.list(), producers.list());
        }
    }
}

//! What holds for every byte and every bit of a log, through the reader that users have.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use stratalog::storage::{Access, Memory, Storage, StorageFile};
use stratalog::{
    AppendOutcome, Compression, FsyncPolicy, GapCause, LeaderEpoch, Level, Log, Maintenance,
    Partition, ProducerEpoch, ProducerId, Record, RecordBatchBuilder, Sequence, Start, Timestamp,
    TopicOptions, UnverifiedBatch,
};

use crate::battery::Cases;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const BATCHES: usize = 50;
/// The bytes of a batch that its checksum does not cover: base offset, length, epoch, magic.
const PREFIX_BYTES: usize = 17;
const SEGMENT: &str = "/log/events-0/00000000000000000000.log";

fn open(storage: impl Storage + 'static) -> (Log, Partition) {
    let log = Log::builder("/log")
        .storage(Arc::new(storage))
        .maintenance(Maintenance::Manual)
        .defaults(TopicOptions::default().fsync(FsyncPolicy::Never))
        .open()
        .unwrap();
    let partition = log.topic("events").unwrap().partition(0).unwrap();
    (log, partition)
}

/// Batches of every codec, with and without keys, headers and a producer.
fn sample(number: usize) -> UnverifiedBatch {
    let codecs = [
        Compression::None,
        Compression::Lz4,
        Compression::Snappy,
        Compression::Gzip(Level::gzip(6).unwrap()),
        Compression::Zstd(Level::zstd(3).unwrap()),
    ];
    let mut batch = RecordBatchBuilder::new(codecs[number % codecs.len()]);
    for i in 0..=number % 4 {
        let (key, value) = (
            i.to_string(),
            format!("value {number} {i} ").repeat(number % 7 + 1),
        );
        let headers = [("name", Some(&b"x"[..])), ("none", None)];
        let mut record = Record::new(&value).timestamp(NOW);
        if i % 2 == 1 {
            record = record.key(&key);
        }
        if number % 3 == 2 {
            record = record.headers(&headers);
        }
        batch.push(record).unwrap();
    }
    if number % 5 == 4 {
        batch = batch.producer(
            ProducerId::new(number as i64).unwrap(),
            ProducerEpoch::new(0).unwrap(),
            Sequence::new(0).unwrap(),
        );
    }
    batch.finish().unwrap()
}

/// Where each batch stands: its first byte, the byte behind it, its offsets.
type Place = (u64, u64, std::ops::Range<u64>);

fn append_samples(partition: &Partition, count: usize) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for number in 0..count {
        let batch = sample(number);
        let from = places.last().map_or(0, |place| place.1);
        let end = from + u64::from(batch.size_bytes());
        let epoch = LeaderEpoch::new(number as i32 / 10).unwrap();
        let outcome = partition.replica().append_as_leader(batch, epoch).unwrap();
        let AppendOutcome::Appended(ticket) = outcome else {
            panic!("{outcome:?}")
        };
        let offsets = ticket.offsets();
        places.push((from, end, offsets.start.get()..offsets.end.get()));
    }
    places
}

/// What a cursor shows: records, and the offsets that it says are damaged.
fn read(partition: &Partition) -> (BTreeMap<u64, Vec<u8>>, Vec<u64>) {
    let (mut shown, mut lost) = (BTreeMap::new(), Vec::new());
    for record in partition.cursor(Start::Earliest).unwrap() {
        match record {
            Ok(record) => {
                let value = record.value().unwrap_or_default().to_vec();
                let twice = shown.insert(record.offset().get(), value);
                assert_eq!(twice, None, "offset {} was shown twice", record.offset());
            }
            Err(error) => {
                let gap = error.gap().unwrap_or_else(|| panic!("no gap: {error}"));
                assert_eq!(gap.cause(), GapCause::Damaged);
                lost.extend(gap.from().get()..gap.to().get());
            }
        }
    }
    (shown, lost)
}

/// Promise 7: bytes 0 to 16 are checked against their neighbours, the others by the checksum.
#[test]
fn every_flipped_bit_of_fifty_batches_costs_that_batch_and_no_other() {
    let storage = Memory::new();
    let (_log, partition) = open(storage.clone());
    // One more, so that each of the fifty has a neighbour behind it.
    let places = append_samples(&partition, BATCHES + 1);
    let (whole, lost) = read(&partition);
    assert_eq!(
        (whole.len(), lost.len()),
        (places.last().unwrap().2.end as usize, 0)
    );

    let file = storage.open(Path::new(SEGMENT), Access::Write).unwrap();
    let cases = Cases::default();
    for (from, end, offsets) in &places[..BATCHES] {
        for at in *from..*end {
            // Behind the prefix the checksum sees every bit; there one of each byte shows that the reader asks it.
            let bits = if at - from < PREFIX_BYTES as u64 {
                0..8
            } else {
                at % 8..at % 8 + 1
            };
            for bit in bits {
                flip(&*file, at, bit as u32);
                let (shown, lost) = read(&partition);
                let story = || {
                    format!(
                        "bit {bit} of byte {} of the batch at {from}, offsets {offsets:?}",
                        at - from
                    )
                };
                assert!(
                    lost.iter().all(|offset| offsets.contains(offset)),
                    "{}: a gap of {lost:?}",
                    story()
                );
                assert!(
                    offsets.clone().all(|offset| lost.contains(&offset)),
                    "{}: it was not caught",
                    story()
                );
                let expected = whole.iter().filter(|(offset, _)| !offsets.contains(offset));
                assert!(shown.iter().eq(expected), "{}: others were harmed", story());
                flip(&*file, at, bit as u32);
                cases.count();
            }
        }
    }
    assert_eq!(read(&partition).0, whole, "put right again");
    cases.report("flipped bits through the reader", 10_000);
}

fn flip(file: &dyn StorageFile, at: u64, bit: u32) {
    let mut byte = [0];
    assert_eq!(file.read_at(&mut byte, at).unwrap(), 1);
    byte[0] ^= 1 << bit;
    file.write_at(&byte, at).unwrap();
}

/// Promise 6: a tail that was never synced, cut anywhere.
#[cfg(feature = "sim")]
#[test]
fn a_log_cut_at_every_byte_shows_the_batches_before_the_cut() {
    use stratalog::storage::sim::{Keep, Sim};

    let sim = Sim::new(1);
    let (_log, partition) = open(sim.clone());
    let places = append_samples(&partition, 12);
    let (whole, _) = read(&partition);
    let cases = Cases::default();
    for cut in 0..=places.last().unwrap().1 {
        let after = sim.crash_image(Keep::All);
        let file = after.open(Path::new(SEGMENT), Access::Write).unwrap();
        file.set_len(cut).unwrap();
        let (log, partition) = open(after.clone());
        let kept = places.iter().rev().find(|place| place.1 <= cut);
        let end = kept.map_or(0, |place| place.2.end);
        assert_eq!(partition.watermarks().end.get(), end, "cut at {cut}");
        let (shown, lost) = read(&partition);
        assert!(
            lost.is_empty(),
            "cut at {cut}: an unfinished tail is no damage"
        );
        assert!(shown.iter().eq(whole.range(..end)), "cut at {cut}");
        assert!(
            log.recovery()
                .partitions()
                .iter()
                .all(|p| p.gaps().is_empty())
        );
        cases.count();
    }
    cases.report("cuts", 1_000);
}

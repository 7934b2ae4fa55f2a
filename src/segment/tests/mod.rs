//! Tests of this floor, and what they are made of.

mod active;
mod indexes;
mod kafka;
mod laws;
mod rebuild;
#[cfg(feature = "sim")]
mod sim;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{
    ActiveSegment, FileName, OffsetRule, OpenFiles, SegmentHome, SegmentSettings, Step, WalkStart,
    WalkedBatch, Walker,
};
use crate::batch::{BatchHeader, Record, RecordBatchBuilder};
use crate::compress::Compression;
use crate::ids::LeaderEpoch;
use crate::offset::{FilePosition, Offset};
use crate::storage::{Access, Memory, Storage};
use crate::timestamp::Timestamp;

pub(crate) const NO_LIMIT: u32 = u32::MAX;

pub(crate) fn offset(value: u64) -> Offset {
    Offset::new(value).expect("a small number")
}

pub(crate) fn at_ms(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn settings() -> SegmentSettings {
    SegmentSettings {
        index_bytes: 10_485_760,
        index_interval_bytes: 4_096,
    }
}

pub(crate) fn home_on(storage: Arc<dyn Storage>) -> SegmentHome {
    let dir = Path::new("/t-0");
    storage.create_dir(dir).expect("a new directory");
    SegmentHome {
        storage,
        dir: Arc::from(dir),
        open_files: Arc::new(OpenFiles::new(4)),
    }
}

pub(crate) fn home() -> SegmentHome {
    home_on(Arc::new(Memory::new()))
}

/// A batch of `count` records of `value_bytes` each; all have the time `millis`.
pub(crate) fn batch(base: u64, count: u64, millis: i64, value_bytes: usize) -> Vec<u8> {
    let mut builder = RecordBatchBuilder::new(Compression::None).with_limit(1 << 30);
    for record in 0..count {
        let value = vec![(base + record) as u8; value_bytes];
        let record = Record::new(&value).timestamp(at_ms(millis));
        builder.push(record).expect("a small record");
    }
    let batch = builder.finish().expect("a whole batch");
    let batch = batch
        .stamped(offset(base), LeaderEpoch::ZERO)
        .expect("small offsets");
    batch.into_bytes().to_vec()
}

/// `count` batches of three records, dense from `base` on, one millisecond apart.
pub(crate) fn batches(base: u64, count: u64, value_bytes: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|n| batch(base + 3 * n, 3, 1_000 + n as i64, value_bytes))
        .collect()
}

pub(crate) fn header(bytes: &[u8]) -> BatchHeader {
    BatchHeader::read(bytes).expect("a good header")
}

pub(crate) fn append(segment: &mut ActiveSegment, bytes: &[u8]) -> FilePosition {
    segment.append(bytes, &[header(bytes)]).expect("appended")
}

/// An active segment at `base` with these batches.
pub(crate) fn segment_with(home: &SegmentHome, base: u64, batches: &[Vec<u8>]) -> ActiveSegment {
    let mut segment =
        ActiveSegment::create(home.clone(), offset(base), settings()).expect("created");
    for batch in batches {
        append(&mut segment, batch);
    }
    segment
}

/// Puts `bytes` in the place of the file `name`.
pub(crate) fn write_file(home: &SegmentHome, name: FileName, bytes: &[u8]) -> PathBuf {
    drop(home.write_index(name, bytes).expect("written"));
    home.path(name)
}

pub(crate) fn read_file(home: &SegmentHome, name: FileName) -> Option<Vec<u8>> {
    home.read_index(name, 1 << 30).expect("read")
}

/// A walker over `bytes` as a `.log` at `base`.
pub(crate) fn walker_over(bytes: &[u8], base: u64, rule: OffsetRule) -> Walker {
    let memory = Memory::new();
    let path = Path::new("/log");
    let file = memory.create(path).expect("created");
    file.write_at(bytes, 0).expect("written");
    let file = memory.open(path, Access::Read).expect("opened");
    let start = WalkStart {
        position: FilePosition::ZERO,
        end: FilePosition::from_u64(bytes.len() as u64).expect("small"),
        expected: offset(base),
        rule,
        max_decompressed_bytes: NO_LIMIT,
    };
    Walker::new(file, path, start)
}

/// What a walk that gets past damage finds.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    pub(crate) batches: Vec<WalkedBatch>,
    pub(crate) gaps: Vec<(u64, Option<u64>)>,
}

/// Walks to the end, past damage, with these index positions.
pub(crate) fn walk_all(walker: &mut Walker, index_positions: &[FilePosition]) -> Walked {
    let mut walked = Walked::default();
    loop {
        match walker.step().expect("memory reads") {
            Step::Batch(found) => walked.batches.push(found),
            Step::Bad(spot) => {
                let to = walker.skip(&spot, index_positions).expect("memory reads");
                walked.gaps.push((spot.from.get(), to.map(Offset::get)));
            }
            Step::OldFormat { from, to, .. } => walked.gaps.push((from.get(), Some(to.get()))),
            Step::End => return walked,
        }
    }
}

/// The first batch of a walk whose last offset is at or above `target`.
pub(crate) fn find(walker: &mut Walker, target: u64) -> Option<WalkedBatch> {
    let walked = walk_all(walker, &[]);
    let mut found = walked.batches.into_iter();
    found.find(|found| found.batch.last_offset().get() >= target)
}

/// A small generator with a seed that a failing test prints (`SEED=` repeats it).
#[derive(Debug)]
pub(crate) struct Random {
    pub(crate) seed: u64,
    state: u64,
}

impl Random {
    pub(crate) fn new(default_seed: u64) -> Self {
        let seed = std::env::var("SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(default_seed);
        Self { seed, state: seed }
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // splitmix64
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

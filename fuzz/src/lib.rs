//! What the fuzz targets do, as functions of bytes: `fuzz_targets/` hands them what libFuzzer makes up, and the crate's own tests what is
//! kept in `corpus/`.

pub mod batch;
pub mod codec;
pub mod directory;
pub mod disk;
pub mod round_trip;
pub mod small_file;

use small_file::SmallFile;

/// A target: its name, as of the program and of the folder of its corpus, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 18] = [
    ("batch", batch::run),
    ("checkpoint", |data| {
        small_file::run(SmallFile::Checkpoint, data);
    }),
    ("codec_gzip", codec::gzip),
    ("codec_lz4", codec::lz4),
    ("codec_snappy", codec::snappy),
    ("codec_zstd", codec::zstd),
    ("directory", directory::run),
    ("facts", |data| {
        small_file::run(SmallFile::Facts, data);
    }),
    ("identity", |data| {
        small_file::run(SmallFile::Identity, data);
    }),
    ("leader_epochs", |data| {
        small_file::run(SmallFile::LeaderEpochs, data);
    }),
    ("offset_index", |data| {
        small_file::run(SmallFile::OffsetIndex, data);
    }),
    ("owner", |data| {
        small_file::run(SmallFile::Owner, data);
    }),
    ("producer_snapshot", |data| {
        small_file::run(SmallFile::ProducerSnapshot, data);
    }),
    ("round_trip", round_trip::run),
    ("segment_list", |data| {
        small_file::run(SmallFile::SegmentList, data);
    }),
    ("time_index", |data| {
        small_file::run(SmallFile::TimeIndex, data);
    }),
    ("topics", |data| {
        small_file::run(SmallFile::Topics, data);
    }),
    ("txn_index", |data| {
        small_file::run(SmallFile::TxnIndex, data);
    }),
];

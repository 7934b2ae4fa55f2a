//! Opening what was closed cleanly: many segments in one partition, many partitions; and what idle partitions cost.
//!
//! `cargo bench --bench open`. The footprint is printed first.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench is a user of the crate: it touches files directly and fails by panicking"
)]

use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use stratalog::{Log, Record, TopicOptions};
use tempfile::TempDir;

const SEGMENTS: u32 = 1_000;
const PARTITIONS: u32 = 1_000;

/// Resident bytes and open descriptors of this process.
fn footprint() -> (u64, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    (kib.unwrap_or(0) * 1024, descriptors)
}

fn many_segments(dir: &Path) {
    let log = Log::open(dir).unwrap();
    let options = TopicOptions::default().segment_bytes(1_024);
    let partition = log
        .create_topic("bench", options)
        .unwrap()
        .partition(0)
        .unwrap();
    while partition.stats().rolls < u64::from(SEGMENTS) {
        partition.append(Record::new(&[7u8; 800])).unwrap();
    }
    log.close().unwrap();
}

fn many_partitions(dir: &Path) {
    let log = Log::open(dir).unwrap();
    let topic = log
        .create_topic("bench", TopicOptions::default().partitions(PARTITIONS))
        .unwrap();
    for partition in topic.partitions() {
        partition.append(Record::new("one record")).unwrap();
    }
    log.close().unwrap();
}

fn open(c: &mut Criterion) {
    let dir = TempDir::new().unwrap();
    many_partitions(dir.path());
    let (bytes, descriptors) = footprint();
    let log = Log::open(dir.path()).unwrap();
    let (open_bytes, open_descriptors) = footprint();
    println!(
        "{PARTITIONS} partitions open and idle: {:.1} MiB, {} descriptors",
        open_bytes.saturating_sub(bytes) as f64 / f64::from(1 << 20),
        open_descriptors - descriptors
    );
    log.close().unwrap();
    let mut group = c.benchmark_group("open after a clean close");
    group.sample_size(10);
    group.bench_function(format!("{PARTITIONS} partitions, and close"), |b| {
        b.iter(|| Log::open(dir.path()).unwrap().close().unwrap());
    });
    let dir = TempDir::new().unwrap();
    many_segments(dir.path());
    group.bench_function(format!("{SEGMENTS} segments"), |b| {
        b.iter_custom(|iterations| {
            let mut took = std::time::Duration::ZERO;
            for _ in 0..iterations {
                let started = std::time::Instant::now();
                let log = Log::open(dir.path()).unwrap();
                took += started.elapsed();
                log.close().unwrap();
            }
            took
        });
    });
    group.finish();
}

criterion_group!(benches, open);
criterion_main!(benches);

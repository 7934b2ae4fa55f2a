//! Opening what was closed cleanly: many segments in one partition, many partitions; and what idle partitions cost.
//!
//! `cargo bench --bench open`. The footprint is printed first; a process of its own measures it, because one that has made
//! the partitions would open them in memory that it has already.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench is a user of the crate: it touches files directly and fails by panicking"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group};
use stratalog::{Clock, Log, Maintenance, ManualClock, Record, Timestamp, TopicOptions};
use tempfile::TempDir;

const SEGMENTS: u32 = 1_000;
const PARTITIONS: u32 = 1_000;

/// Names the directory in the environment of the process that measures.
const FOOTPRINT_OF: &str = "FOOTPRINT_OF";

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
    let ourselves = std::env::current_exe().unwrap();
    let measured = Command::new(ourselves)
        .env(FOOTPRINT_OF, dir.path())
        .status();
    assert!(measured.unwrap().success());
    let mut group = c.benchmark_group("open after a clean close");
    group.sample_size(10);
    group.bench_function(format!("{PARTITIONS} partitions, and close"), |b| {
        b.iter(|| Log::open(dir.path()).unwrap().close().unwrap());
    });
    let dir = TempDir::new().unwrap();
    many_segments(dir.path());
    group.bench_function(format!("{SEGMENTS} segments"), |b| {
        b.iter_custom(|iterations| {
            let mut took = Duration::ZERO;
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

/// What the partitions of `dir` cost once they are open: as they were closed, appended to, and at rest again.
fn print_footprint(dir: &Path) {
    let (bytes, descriptors) = footprint();
    let print = |state: &str| {
        let (now_bytes, now_descriptors) = footprint();
        println!(
            "{PARTITIONS} partitions {state}: {:.1} MiB, {} descriptors",
            now_bytes.saturating_sub(bytes) as f64 / f64::from(1 << 20),
            now_descriptors.saturating_sub(descriptors),
        );
    };
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_700_000_000_000)));
    let log = Log::builder(dir)
        .clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .maintenance(Maintenance::Manual)
        .open()
        .unwrap();
    print("open and idle");
    let topic = log.topic("bench").unwrap();
    for partition in topic.partitions() {
        partition.append(Record::new("one more")).unwrap();
    }
    print("appended to, not synced");
    // The age of what is not synced, then a second for the facts.
    for _ in 0..3 {
        clock.advance(Duration::from_secs(60));
        log.maintain(Duration::from_secs(60)).unwrap();
    }
    print("synced and idle again");
    log.close().unwrap();
}

criterion_group!(benches, open);

fn main() {
    match std::env::var_os(FOOTPRINT_OF) {
        Some(dir) => print_footprint(Path::new(&dir)),
        None => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}

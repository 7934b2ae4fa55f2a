//! The ratios that the crate promises of itself, each from turns that alternate: ours, raw, ours, raw. What the machine
//! does meanwhile then falls on both sides, and the ratio of the medians holds where absolute figures do not.
//!
//! `cargo bench --bench ratios`, or with a number of rounds, or with words, and then only rows that have one of them:
//! `cargo bench --bench ratios -- 31 scan`. A row that misses its target is marked; nothing fails, because a busy machine
//! is no defect.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench is a user of the crate: it touches files directly and prints"
)]

#[path = "floor/append.rs"]
mod floor_of_append;
#[path = "floor/scan.rs"]
mod floor_of_scan;
#[path = "ours/scan.rs"]
mod ours;

use std::cell::Cell;
use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use stratalog::{
    Compression, FsyncPolicy, Log, Offset, Partition, Record, RecordBatchBuilder, Retention,
    TopicOptions,
};

use floor_of_append::{DurableWriter, FILE_BYTES, Writer, encoded};

const ROUNDS: usize = 201;
const VALUE: [u8; 100] = [7; 100];
const RECORDS_A_BATCH: usize = 100;
const THREADS: u32 = 16;
const SCANNED_RECORDS: usize = 50_000;

/// Two sides of a comparison, each giving the time of one piece of its work.
struct Pair<'a> {
    what: &'a str,
    beside: &'a str,
    /// How many times as fast as the other side; `None` where nothing is promised.
    target: Option<f64>,
    ours: &'a mut dyn FnMut() -> Duration,
    other: &'a mut dyn FnMut() -> Duration,
}

/// What the command line asks for.
struct Wanted {
    rounds: usize,
    words: Vec<String>,
}

impl Wanted {
    fn from_arguments() -> Self {
        let (options, words): (Vec<String>, Vec<String>) = std::env::args()
            .skip(1)
            .partition(|argument| argument.starts_with('-'));
        let (rounds, words): (Vec<String>, Vec<String>) = words
            .into_iter()
            .partition(|word| word.parse::<usize>().is_ok());
        // Without `--bench` it is `cargo test` that runs this: one round shows that it works.
        let is_bench = options.iter().any(|option| option == "--bench");
        let rounds = rounds.first().and_then(|rounds| rounds.parse().ok());
        Self {
            rounds: rounds.unwrap_or(if is_bench { ROUNDS } else { 1 }),
            words,
        }
    }
}

impl Pair<'_> {
    fn run(self, wanted: &Wanted) {
        let (rounds, words) = (wanted.rounds, &wanted.words);
        if !words.is_empty() && !words.iter().any(|word| self.what.contains(word)) {
            return;
        }
        let (mut ours, mut other) = (Vec::new(), Vec::new());
        // The first round only warms up.
        for round in 0..=rounds {
            let turns = [(self.ours)(), (self.other)()];
            if round > 0 {
                ours.push(turns[0]);
                other.push(turns[1]);
            }
        }
        let (ours, other) = (median(ours), median(other));
        let ratio = other.as_secs_f64() / ours.as_secs_f64();
        let (target, verdict) = match self.target {
            None => (String::new(), ""),
            Some(target) if ratio >= target => (format!("{target:.1}"), "met"),
            Some(target) => (format!("{target:.1}"), "MISSED"),
        };
        println!(
            "{:<46} {:>10.3} us  {:<40} {:>10.3} us  {ratio:>6.2} x {target:>5} {verdict}",
            self.what,
            ours.as_secs_f64() * 1e6,
            self.beside,
            other.as_secs_f64() * 1e6,
        );
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The time of one of `count` calls.
fn each(count: u32, mut call: impl FnMut()) -> Duration {
    let started = Instant::now();
    for _ in 0..count {
        call();
    }
    started.elapsed() / count
}

fn partition(log: &Log, topic: &str, fsync: FsyncPolicy) -> Partition {
    let options = TopicOptions::default()
        .segment_bytes(FILE_BYTES)
        .retention(Retention::unlimited())
        .fsync(fsync);
    let topic = log.create_topic(topic, options).expect("a new topic");
    topic.partition(0).expect("the first partition")
}

fn batch(records: usize) -> RecordBatchBuilder {
    let mut batch = RecordBatchBuilder::new(Compression::None);
    refill(&mut batch, records);
    batch
}

fn refill(batch: &mut RecordBatchBuilder, records: usize) {
    batch.clear();
    for _ in 0..records {
        let record = Record::new(black_box(&VALUE));
        batch.push(record).expect("below the limit");
    }
}

/// Keeps the disk small between two turns, about as the raw writer does.
fn trim(partition: &Partition, trimmed: &Cell<u64>) {
    let appended = partition.stats().appended_bytes;
    if appended - trimmed.get() > u64::from(FILE_BYTES) {
        let end = partition.watermarks().end;
        let start = partition.delete_records_before(end);
        start.expect("an open log");
        trimmed.set(appended);
    }
}

/// Appends that wait for no sync.
fn page_cache(directory: &Path, log: &Log, wanted: &Wanted) {
    const BATCHES: u32 = 200;
    const SINGLES: u32 = 2_000;
    let partition = partition(log, "page-cache", FsyncPolicy::Never);
    let mut writer = Writer::new(directory);
    let hundred = encoded(RECORDS_A_BATCH, &VALUE);
    let single = encoded(1, &VALUE);
    let mut filled = batch(RECORDS_A_BATCH);
    let trimmed = Cell::new(0);
    let ours = |count: u32, append: &mut dyn FnMut()| {
        let took = each(count, append);
        trim(&partition, &trimmed);
        took
    };
    Pair {
        what: "append a batch of 100 x 100 B",
        beside: "pwrite of the same bytes",
        target: Some(0.8),
        ours: &mut || {
            ours(BATCHES, &mut || {
                let appended = partition.append_batch(black_box(&filled));
                appended.expect("room on the disk");
            })
        },
        other: &mut || each(BATCHES, || writer.write(black_box(&hundred))),
    }
    .run(wanted);
    Pair {
        what: "fill and append a batch of 100 x 100 B",
        beside: "pwrite of the same bytes",
        target: None,
        ours: &mut || {
            ours(BATCHES, &mut || {
                refill(&mut filled, RECORDS_A_BATCH);
                let appended = partition.append_batch(&filled);
                appended.expect("room on the disk");
            })
        },
        other: &mut || each(BATCHES, || writer.write(black_box(&hundred))),
    }
    .run(wanted);
    Pair {
        what: "append one record of 100 B",
        beside: "pwrite of the same bytes",
        target: None,
        ours: &mut || {
            ours(SINGLES, &mut || {
                let appended = partition.append(Record::new(black_box(&VALUE)));
                appended.expect("room on the disk");
            })
        },
        other: &mut || each(SINGLES, || writer.write(black_box(&single))),
    }
    .run(wanted);
}

/// Appends that are on the medium when they return.
fn durable(directory: &Path, log: &Log, wanted: &Wanted) {
    const APPENDS: u32 = 160;
    let partition = partition(log, "durable", FsyncPolicy::Always);
    let mut writer = DurableWriter::new(directory);
    let single = encoded(1, &VALUE);
    // A turn is long, and syncs are steady.
    let wanted = &Wanted {
        rounds: wanted.rounds.div_ceil(10),
        words: wanted.words.clone(),
    };
    Pair {
        what: "durable append, one thread",
        beside: "pwrite and fdatasync on prepared space",
        target: None,
        ours: &mut || appends(&partition, 1, APPENDS),
        other: &mut || each(APPENDS, || writer.write(black_box(&single))),
    }
    .run(wanted);
    Pair {
        what: "durable append, 16 threads, each",
        beside: "one thread",
        target: Some(5.0),
        ours: &mut || appends(&partition, THREADS, APPENDS * 10),
        other: &mut || appends(&partition, 1, APPENDS),
    }
    .run(wanted);
}

/// The time of one of `count` appends by all threads together.
fn appends(partition: &Partition, threads: u32, count: u32) -> Duration {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..count / threads {
                    let appended = partition.append(Record::new(black_box(&VALUE)));
                    appended.expect("room on the disk");
                }
            });
        }
    });
    started.elapsed() / count
}

/// Scans of a file in the page cache. The times are those of one record.
fn scans(directory: &Path, log: &Log, wanted: &Wanted) {
    for (topic, records_a_batch, target) in [
        ("hundreds", RECORDS_A_BATCH, Some(0.6)),
        ("singles", 1, None),
    ] {
        let partition = partition(log, topic, FsyncPolicy::Never);
        let filled = batch(records_a_batch);
        for _ in 0..SCANNED_RECORDS / records_a_batch {
            let appended = partition.append_batch(&filled);
            appended.expect("room on the disk");
        }
        let path = directory.join(format!("{topic}-0/00000000000000000000.log"));
        let file = File::open(path).expect("one segment");
        let all = (SCANNED_RECORDS as u64, SCANNED_RECORDS * VALUE.len());
        let one = |scan: &dyn Fn() -> (u64, usize)| {
            each(1, || assert_eq!(scan(), all)) / SCANNED_RECORDS as u32
        };
        Pair {
            what: &format!("scan by batch, {records_a_batch} records a batch"),
            beside: "64 KiB pread, no checksum",
            target,
            ours: &mut || one(&|| ours::by_batch(&partition)),
            other: &mut || one(&|| floor_of_scan::scan(&file)),
        }
        .run(wanted);
        Pair {
            what: &format!("scan by owned record, {records_a_batch} records a batch"),
            beside: "64 KiB pread, no checksum",
            target: None,
            ours: &mut || one(&|| ours::by_record(&partition)),
            other: &mut || one(&|| floor_of_scan::scan(&file)),
        }
        .run(wanted);
        gets(&partition, &file, records_a_batch, wanted);
    }
}

/// One record at a time, spread over the partition.
fn gets(partition: &Partition, file: &File, records_a_batch: usize, wanted: &Wanted) {
    use std::os::unix::fs::FileExt;
    const GETS: u32 = 500;
    let size = file.metadata().expect("a local file").len();
    let batches = (SCANNED_RECORDS / records_a_batch) as u64;
    let mut buffer = vec![0; usize::try_from(size / batches).expect("a small batch")];
    let (mut ours, mut raw) = (0, 0);
    Pair {
        what: &format!("get by offset, {records_a_batch} records a batch"),
        beside: "pread of one batch at a known place",
        target: None,
        ours: &mut || {
            each(GETS, || {
                ours = (ours + 7_919) % SCANNED_RECORDS as u64;
                let offset = Offset::new(ours).expect("a small offset");
                black_box(partition.get(offset).expect("a sound record"));
            })
        },
        other: &mut || {
            each(GETS, || {
                raw = (raw + 7_919) % SCANNED_RECORDS as u64;
                let position = raw / records_a_batch as u64 * buffer.len() as u64;
                let read = file.read_exact_at(&mut buffer, position);
                read.expect("a whole batch");
                black_box(&buffer);
            })
        },
    }
    .run(wanted);
}

fn main() {
    let wanted = Wanted::from_arguments();
    let directory = tempfile::tempdir().expect("room for a directory");
    let raw = tempfile::tempdir().expect("room for a directory");
    let log = Log::open(directory.path()).expect("an empty directory");
    println!(
        "medians of {} alternating turns; how many times as fast as what stands beside",
        wanted.rounds
    );
    page_cache(raw.path(), &log, &wanted);
    scans(directory.path(), &log, &wanted);
    durable(raw.path(), &log, &wanted);
    log.close().expect("a sound disk");
}

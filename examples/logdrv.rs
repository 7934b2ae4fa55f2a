//! `logdrv`: a small driver with which tests outside of the crate exercise the library as a black box.
//!
//! Written with the public API alone. Each line on standard output is one `write(2)`: `O` opened, `A` an append
//! returned, `D` durable, `R` a record, `G` a gap, `N` start and next offset, `V` a verdict, `M` a measure, `E` an error,
//! `X` closed. `logdrv caps` tells what this build can do.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    missing_docs,
    reason = "a program beside the crate: it has the system's clock and files, and speaks to people"
)]

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use stratalog::{
    Compression, Cursor, ErrorKind, FsyncPolicy, Level, Log, Offset, Partition, ReadUpTo, Record,
    RecordBatchBuilder, Retention, Start, Ticket, Topic, TopicOptions, WritePath, inspect,
};

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(usage) => return usage.leave(),
    };
    let out = match Lines::new() {
        Ok(out) => out,
        Err(error) => {
            eprintln!("logdrv: cannot write to standard output: {error}");
            return ExitCode::from(10);
        }
    };
    let done = match arguments.command.as_str() {
        "caps" => caps(&out),
        "write" => write(&arguments, &out),
        "dump" => dump(&arguments, &out),
        "follow" => follow(&arguments, &out),
        "trim" => trim(&arguments, &out),
        "verify" => verify(&arguments, &out),
        "many" => many(&arguments, &out),
        "commit" | "committed" | "compact" => {
            out.line(format_args!(
                "E unsupported 0 {} is not in this version",
                arguments.command
            ));
            Ok(Outcome::Unsupported)
        }
        other => Err(Stop::Usage(format!("unknown command {other:?}"))),
    };
    match done {
        Ok(outcome) => ExitCode::from(outcome as u8),
        Err(stop) => stop.tell(&out),
    }
}

/// How a command that ran to its end says it ended.
#[derive(Clone, Copy)]
enum Outcome {
    Done = 0,
    Damage = 12,
    Unsupported = 16,
}

/// Why a command did not run to its end.
enum Stop {
    Usage(String),
    Error(stratalog::Error),
}

impl From<stratalog::Error> for Stop {
    fn from(error: stratalog::Error) -> Self {
        Self::Error(error)
    }
}

impl Stop {
    fn leave(self) -> ExitCode {
        match self {
            Self::Usage(text) => {
                eprintln!("logdrv: {text}");
                ExitCode::from(2)
            }
            Self::Error(error) => ExitCode::from(class(error.kind()).1),
        }
    }

    fn tell(self, out: &Lines) -> ExitCode {
        if let Self::Error(error) = &self {
            out.error(error);
        }
        self.leave()
    }
}

/// The contract's class of an error, and the exit code that goes with it.
fn class(kind: ErrorKind) -> (&'static str, u8) {
    match kind {
        ErrorKind::Full => ("full", 11),
        ErrorKind::Gap | ErrorKind::Corrupt => ("corrupt", 12),
        ErrorKind::Locked => ("locked", 13),
        ErrorKind::Closed | ErrorKind::Failed => ("closed", 14),
        ErrorKind::InvalidInput
        | ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::OffsetOutOfRange
        | ErrorKind::Fenced
        | ErrorKind::OutOfSequence => ("invalid", 15),
        ErrorKind::Unsupported => ("unsupported", 16),
        ErrorKind::TooLarge => ("limit", 17),
        ErrorKind::ReadOnly => ("readonly", 10),
        _ => ("io", 10),
    }
}

/// Standard output without a buffer: one line, one `write(2)`.
struct Lines {
    file: Mutex<File>,
}

impl Lines {
    fn new() -> std::io::Result<Self> {
        let descriptor = std::io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self {
            file: Mutex::new(File::from(descriptor)),
        })
    }

    fn line(&self, words: std::fmt::Arguments<'_>) {
        let line = format!("{words}\n");
        if let Err(error) = self.file.lock().write_all(line.as_bytes()) {
            eprintln!("logdrv: cannot write to standard output: {error}");
            std::process::exit(10);
        }
    }

    fn error(&self, error: &stratalog::Error) {
        let text: String = error
            .to_string()
            .chars()
            .map(|c| if c.is_ascii_graphic() { c } else { ' ' })
            .collect();
        let (class, _) = class(error.kind());
        self.line(format_args!(
            "E {class} {} {text}",
            error.raw_os_error().unwrap_or(0)
        ));
    }
}

/// `COMMAND --name value ...`.
struct Arguments {
    command: String,
    values: HashMap<String, String>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Stop> {
        let command = words.next().ok_or_else(|| {
            Stop::Usage("logdrv caps|write|dump|follow|trim|verify|many --dir DIR ...".to_owned())
        })?;
        let mut values = HashMap::new();
        while let Some(word) = words.next() {
            let name = word
                .strip_prefix("--")
                .ok_or_else(|| Stop::Usage(format!("{word:?} is no option")))?
                .to_owned();
            let value = words
                .next()
                .ok_or_else(|| Stop::Usage(format!("--{name} has no value")))?;
            values.insert(name, value);
        }
        Ok(Self { command, values })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Stop> {
        match self.text(name) {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(Stop::Usage(format!(
                    "--{name} {text} is no number of its kind"
                ))),
            },
        }
    }

    fn dir(&self) -> Result<PathBuf, Stop> {
        self.text("dir")
            .map(PathBuf::from)
            .ok_or_else(|| Stop::Usage("--dir DIR is missing".to_owned()))
    }

    fn topic(&self) -> &str {
        self.text("topic").unwrap_or("t")
    }

    fn partition(&self) -> Result<u32, Stop> {
        Ok(self.number("partition")?.unwrap_or(0))
    }
}

fn caps(out: &Lines) -> Result<Outcome, Stop> {
    out.line(format_args!("C contract 1"));
    out.line(format_args!(
        "C policies always group interval bytes records never"
    ));
    let codecs: &[&str] = &[
        #[cfg(feature = "gzip")]
        "gzip",
        #[cfg(feature = "snappy")]
        "snappy",
        #[cfg(feature = "lz4")]
        "lz4",
        #[cfg(feature = "zstd")]
        "zstd",
    ];
    out.line(format_args!(
        "C features retention compression:{} follow trim verify many index read-only",
        codecs.join(",")
    ));
    Ok(Outcome::Done)
}

/// Opens the partition for writing, and says so.
fn open(
    arguments: &Arguments,
    options: TopicOptions,
    out: &Lines,
) -> Result<(Log, Topic, Partition), Stop> {
    let index = arguments.partition()?;
    let options = options.partitions(index.saturating_add(1));
    let log = Log::builder(arguments.dir()?).defaults(options).open()?;
    let topic = log.topic(arguments.topic())?;
    let partition = topic.partition(index)?;
    let marks = partition.watermarks();
    out.line(format_args!("O {} {}", marks.end, marks.durable));
    Ok((log, topic, partition))
}

fn range(text: &str, name: &str) -> Result<(u64, u64), Stop> {
    let wrong = || Stop::Usage(format!("--{name} {text} is not LO:HI"));
    let (low, high) = text.split_once(':').unwrap_or((text, text));
    let low = low.parse().map_err(|_| wrong())?;
    let high = high.parse().map_err(|_| wrong())?;
    if low > high {
        Err(wrong())
    } else {
        Ok((low, high))
    }
}

/// What `write` was asked for.
struct Work {
    wait_for_durable: bool,
    batch: u64,
    count: Option<u64>,
    until: Option<Instant>,
    seed: u64,
    size: (u64, u64),
    first_stream: u32,
    first_seq: u64,
    keys: Option<u64>,
    pause: Option<Duration>,
    go_on_when_full: bool,
    trim_at_rolls: bool,
    compression: Compression,
}

fn policy(text: &str) -> Result<(FsyncPolicy, bool), Stop> {
    let wrong = || Stop::Usage(format!("--policy {text}"));
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    Ok(match text.split_once(':') {
        None if text == "always" => (FsyncPolicy::Always, false),
        None if text == "group" => (FsyncPolicy::Never, true),
        None if text == "never" => (FsyncPolicy::Never, false),
        Some(("interval", ms)) => (
            FsyncPolicy::Interval(Duration::from_millis(number(ms)?)),
            false,
        ),
        Some(("bytes", bytes)) => (FsyncPolicy::Bytes(number(bytes)?), false),
        Some(("records", records)) => (FsyncPolicy::Records(number(records)?), false),
        _ => return Err(wrong()),
    })
}

fn compression(text: &str) -> Result<Compression, Stop> {
    Ok(match text {
        "none" => Compression::None,
        "gzip" => Compression::Gzip(Level::default_gzip()),
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd(Level::default_zstd()),
        _ => return Err(Stop::Usage(format!("--codec {text}"))),
    })
}

fn topic_options(arguments: &Arguments) -> Result<(TopicOptions, bool), Stop> {
    let (policy, wait_for_durable) = policy(arguments.text("policy").unwrap_or("never"))?;
    let mut options = TopicOptions::default()
        .fsync(policy)
        .compression(compression(arguments.text("codec").unwrap_or("none"))?)
        .write_path(match arguments.text("path").unwrap_or("auto") {
            "auto" => WritePath::Auto,
            "mapped" => WritePath::Mapped,
            "positional" => WritePath::Positional,
            other => return Err(Stop::Usage(format!("--path {other}"))),
        });
    if let Some(bytes) = arguments.number("segment-bytes")? {
        options = options.segment_bytes(bytes);
    }
    if let Some(bytes) = arguments.number("retention-bytes")? {
        options = options.retention(Retention::unlimited().bytes(bytes));
    }
    Ok((options, wait_for_durable))
}

fn write(arguments: &Arguments, out: &Lines) -> Result<Outcome, Stop> {
    if arguments.text("group").is_some() {
        out.line(format_args!(
            "E unsupported 0 consumers are not in this version"
        ));
        return Ok(Outcome::Unsupported);
    }
    let (options, wait_for_durable) = topic_options(arguments)?;
    let (log, topic, partition) = open(arguments, options.clone(), out)?;
    // An existing topic keeps its options until it is told otherwise.
    topic.set_options(options)?;
    let work = Work {
        wait_for_durable,
        batch: arguments.number("batch")?.unwrap_or(1).max(1),
        count: arguments.number("count")?,
        until: arguments
            .number("secs")?
            .map(|secs| Instant::now() + Duration::from_secs(secs)),
        seed: arguments.number("seed")?.unwrap_or(1),
        size: range(arguments.text("size").unwrap_or("32:200"), "size")?,
        first_stream: arguments.number("first-stream")?.unwrap_or(0),
        first_seq: arguments.number("first-seq")?.unwrap_or(0),
        keys: arguments.number("keys")?,
        pause: arguments.number("pause-us")?.map(Duration::from_micros),
        go_on_when_full: arguments.text("on-error") == Some("go-on"),
        trim_at_rolls: arguments.text("retention-bytes").is_some(),
        compression: compression(arguments.text("codec").unwrap_or("none"))?,
    };
    if work.count.is_none() && work.until.is_none() {
        return Err(Stop::Usage("write wants --count or --secs".to_owned()));
    }
    let threads: u32 = arguments.number("threads")?.unwrap_or(1);
    let told_durable = AtomicU64::new(0);
    let ended: Result<(), stratalog::Error> = std::thread::scope(|scope| {
        let (work, log, partition, told) = (&work, &log, &partition, &told_durable);
        let run = move |thread: u32| {
            let number = work.first_stream.wrapping_add(thread);
            stream(work, number, log, partition, told, out)
        };
        let others: Vec<_> = (1..threads)
            .map(|thread| scope.spawn(move || run(thread)))
            .collect();
        // The first on this thread: where no other can be started, one stream still runs.
        let first = match threads {
            0 => Ok(()),
            _ => run(0),
        };
        first.and_then(|()| {
            others
                .into_iter()
                .try_for_each(|worker| worker.join().expect("a stream does not panic"))
        })
    });
    if let Some(ms) = arguments.number("hold-ms")? {
        std::thread::sleep(Duration::from_millis(ms));
    }
    ended?;
    log.close()?;
    out.line(format_args!("X"));
    Ok(Outcome::Done)
}

/// One stream of records: sequence numbers 0, 1, 2 ... in batches.
fn stream(
    work: &Work,
    stream: u32,
    log: &Log,
    partition: &Partition,
    told_durable: &AtomicU64,
    out: &Lines,
) -> Result<(), stratalog::Error> {
    let mut seq = work.first_seq;
    let end = work.count.map(|count| work.first_seq.saturating_add(count));
    let mut batch = RecordBatchBuilder::new(work.compression);
    let mut value = Vec::new();
    let mut rolls = 0;
    while end.is_none_or(|end| seq < end) && work.until.is_none_or(|until| Instant::now() < until) {
        let count = end.map_or(work.batch, |end| work.batch.min(end - seq));
        let ticket = loop {
            match append(work, partition, stream, seq, count, &mut batch, &mut value) {
                Ok(ticket) => break ticket,
                Err(error) if work.go_on_when_full && error.kind() == ErrorKind::Full => {
                    out.error(&error);
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(error),
            }
        };
        if work.wait_for_durable {
            ticket.wait_durable()?;
        }
        out.line(format_args!("A {} {count} {stream} {seq}", ticket.offset()));
        let durable = partition.watermarks().durable.get();
        if told_durable.fetch_max(durable, Ordering::SeqCst) < durable {
            out.line(format_args!("D {durable}"));
        }
        seq += count;
        if work.trim_at_rolls && partition.stats().rolls > rolls {
            rolls = partition.stats().rolls;
            log.maintain(Duration::from_secs(1))?;
        }
        if let Some(pause) = work.pause {
            std::thread::sleep(pause);
        }
    }
    Ok(())
}

fn append(
    work: &Work,
    partition: &Partition,
    stream: u32,
    seq: u64,
    count: u64,
    batch: &mut RecordBatchBuilder,
    value: &mut Vec<u8>,
) -> Result<Ticket, stratalog::Error> {
    batch.clear();
    for seq in seq..seq + count {
        payload(work, stream, seq, value);
        let key = work.keys.map(|keys| key(stream, seq, keys));
        let mut record = Record::new(&*value);
        if let Some(key) = &key {
            record = record.key(key.as_str());
        }
        if count == 1 {
            return partition.append(record);
        }
        batch.push(record)?;
    }
    partition.append_batch(batch)
}

/// The payload law: a header of 32 bytes, repeated to the length.
fn payload(work: &Work, stream: u32, seq: u64, out: &mut Vec<u8>) {
    let (low, high) = work.size;
    let mut mixed = work.seed ^ seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (u64::from(stream) << 32);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let len = (low + mixed % (high - low + 1)).max(32);
    let len = u32::try_from(len).expect("a record is below 4 GiB");
    let mut header = Vec::with_capacity(32);
    header.extend_from_slice(&work.seed.to_le_bytes());
    header.extend_from_slice(&seq.to_le_bytes());
    header.extend_from_slice(&stream.to_le_bytes());
    header.extend_from_slice(&len.to_le_bytes());
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    header.extend_from_slice(b"PAYL");
    out.clear();
    out.extend(header.iter().cycle().take(len as usize));
}

/// The key law: `k` and a checksum of sequence and stream, modulo the number of keys.
fn key(stream: u32, seq: u64, keys: u64) -> String {
    let mut bytes = seq.to_le_bytes().to_vec();
    bytes.extend_from_slice(&stream.to_le_bytes());
    format!("k{}", u64::from(crc32fast::hash(&bytes)) % keys.max(1))
}

/// Stream and sequence as the payload itself says; -1 where it is too short to say.
fn origin(value: &[u8]) -> (i64, i64) {
    let seq = value
        .get(8..16)
        .and_then(|b| b.try_into().ok())
        .map(u64::from_le_bytes);
    let stream = value
        .get(16..20)
        .and_then(|b| b.try_into().ok())
        .map(u32::from_le_bytes);
    (
        stream.map_or(-1, i64::from),
        seq.and_then(|seq| seq.try_into().ok()).unwrap_or(-1),
    )
}

fn tell_record(record: &stratalog::StoredRecord, out: &Lines) {
    let value = record.value().unwrap_or(&[]);
    let (stream, seq) = origin(value);
    out.line(format_args!(
        "R {} {stream} {seq} {} {:08x}",
        record.offset(),
        value.len(),
        crc32fast::hash(value)
    ));
}

/// Whether a gap is damage; says it.
fn tell_gap(error: &stratalog::Error, out: &Lines) -> Option<Outcome> {
    let gap = error.gap()?;
    out.line(format_args!(
        "G {} {} {}",
        gap.from(),
        gap.to(),
        gap.cause()
    ));
    Some(match gap.cause() {
        stratalog::GapCause::Damaged | stratalog::GapCause::Missing => Outcome::Damage,
        _ => Outcome::Done,
    })
}

/// Every record that `cursor` gives, up to `limit` of them.
fn tell_all(cursor: &mut Cursor, limit: u64, out: &Lines) -> Result<Outcome, Stop> {
    let mut outcome = Outcome::Done;
    let mut told = 0;
    while told < limit {
        match cursor.next() {
            None => break,
            Some(Ok(record)) => {
                tell_record(&record, out);
                told += 1;
            }
            Some(Err(error)) => match tell_gap(&error, out) {
                Some(Outcome::Done) => {}
                Some(damage) => outcome = damage,
                None => return Err(error.into()),
            },
        }
    }
    Ok(outcome)
}

fn dump(arguments: &Arguments, out: &Lines) -> Result<Outcome, Stop> {
    let index = arguments.partition()?;
    let from: Option<u64> = arguments.number("from")?;
    let limit = arguments.number("limit")?.unwrap_or(u64::MAX);
    let start = match from {
        Some(from) => Start::At(Offset::new(from)?),
        None => Start::Earliest,
    };
    let by_index = arguments.text("by") == Some("index");
    let (mut cursor, marks, log) = if arguments.text("read-only") == Some("1") {
        let view = Log::view(arguments.dir()?)?;
        let partition = view.topic(arguments.topic())?.partition(index)?;
        let marks = partition.watermarks();
        out.line(format_args!("O {} {}", marks.end, marks.durable));
        (partition.cursor(start)?, marks, None)
    } else {
        let (log, _, partition) = open(arguments, TopicOptions::default(), out)?;
        (partition.cursor(start)?, partition.watermarks(), Some(log))
    };
    let outcome = if by_index {
        one_by_one(
            &mut cursor,
            from.unwrap_or(marks.start.get())..marks.end.get(),
            limit,
            out,
        )?
    } else {
        tell_all(&mut cursor, limit, out)?
    };
    out.line(format_args!("N {} {}", marks.start, marks.end));
    if let Some(log) = log {
        log.close()?;
        out.line(format_args!("X"));
    }
    Ok(outcome)
}

/// Each offset by its own seek.
fn one_by_one(
    cursor: &mut Cursor,
    offsets: std::ops::Range<u64>,
    limit: u64,
    out: &Lines,
) -> Result<Outcome, Stop> {
    let mut outcome = Outcome::Done;
    let mut at = offsets.start;
    let mut told = 0;
    while at < offsets.end && told < limit {
        cursor.seek(Start::At(Offset::new(at)?))?;
        match cursor.next() {
            None => break,
            Some(Ok(record)) => {
                tell_record(&record, out);
                told += 1;
                at = record.offset().get() + 1;
            }
            Some(Err(error)) => match tell_gap(&error, out) {
                Some(kind) => {
                    if let Outcome::Damage = kind {
                        outcome = kind;
                    }
                    at = Cursor::position(cursor).get().max(at + 1);
                }
                None => return Err(error.into()),
            },
        }
    }
    Ok(outcome)
}

fn follow(arguments: &Arguments, out: &Lines) -> Result<Outcome, Stop> {
    let index = arguments.partition()?;
    let until: u64 = arguments.number("until")?.unwrap_or(u64::MAX);
    let deadline = arguments
        .number("secs")?
        .map(|secs| Instant::now() + Duration::from_secs(secs));
    if until == u64::MAX && deadline.is_none() {
        return Err(Stop::Usage("follow wants --until or --secs".to_owned()));
    }
    let up_to = match arguments.text("up-to").unwrap_or("durable") {
        "durable" => ReadUpTo::Durable,
        "written" => ReadUpTo::End,
        other => return Err(Stop::Usage(format!("--up-to {other}"))),
    };
    let view = Log::view(arguments.dir()?)?;
    let partition = view.topic(arguments.topic())?.partition(index)?;
    let mut cursor = partition.cursor(Start::Earliest)?.read_up_to(up_to);
    let mut outcome = Outcome::Done;
    while cursor.position().get() < until && deadline.is_none_or(|end| Instant::now() < end) {
        match cursor.next() {
            Some(Ok(record)) => tell_record(&record, out),
            Some(Err(error)) => match tell_gap(&error, out) {
                Some(Outcome::Done) => {}
                Some(damage) => outcome = damage,
                None => return Err(error.into()),
            },
            None => {
                std::thread::sleep(Duration::from_millis(5));
                partition.refresh()?;
            }
        }
    }
    let marks = partition.watermarks();
    out.line(format_args!("N {} {}", marks.start, marks.end));
    Ok(outcome)
}

fn trim(arguments: &Arguments, out: &Lines) -> Result<Outcome, Stop> {
    let before = arguments
        .number("before")?
        .ok_or_else(|| Stop::Usage("trim wants --before OFFSET".to_owned()))?;
    let (log, _, partition) = open(arguments, TopicOptions::default(), out)?;
    let start = partition.delete_records_before(Offset::new(before)?)?;
    let end = partition.watermarks().end;
    log.close()?;
    out.line(format_args!("N {start} {end}"));
    out.line(format_args!("X"));
    Ok(Outcome::Done)
}

fn verify(arguments: &Arguments, out: &Lines) -> Result<Outcome, Stop> {
    let dir = arguments
        .dir()?
        .join(format!("{}-{}", arguments.topic(), arguments.partition()?));
    let mut outcome = Outcome::Done;
    for finding in inspect::verify(&dir)? {
        let finding = finding?;
        if finding.is_damage() {
            let text = finding.to_string().replace('\n', " ");
            out.line(format_args!("V bad {text}"));
            outcome = Outcome::Damage;
        }
    }
    if let Outcome::Done = outcome {
        out.line(format_args!("V ok"));
    }
    Ok(outcome)
}

/// What this process costs: resident KiB, descriptors, mappings.
fn footprint() -> (u64, usize, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|line| line.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0);
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let maps = std::fs::read_to_string("/proc/self/maps").map_or(0, |maps| maps.lines().count());
    (resident, descriptors, maps)
}

fn many(arguments: &Arguments, out: &Lines) -> Result<Outcome, Stop> {
    let partitions = arguments.number("partitions")?.unwrap_or(1);
    let hold = arguments.number("hold-ms")?.unwrap_or(0);
    let started = Instant::now();
    let options = TopicOptions::default().partitions(partitions);
    let log = Log::builder(arguments.dir()?)
        .defaults(options.clone())
        .open()?;
    let topic = log.topic(arguments.topic())?;
    if topic.partitions().len() < partitions as usize {
        topic.set_options(options)?;
    }
    let opened = started.elapsed().as_millis();
    let (resident, descriptors, maps) = footprint();
    out.line(format_args!("M {resident} {descriptors} {maps} {opened}"));
    std::thread::sleep(Duration::from_millis(hold));
    log.close()?;
    out.line(format_args!("X"));
    Ok(Outcome::Done)
}

//! A first look: appends a text file line by line, closes the log, reopens it, and reads it twice.
//!
//! ```text
//! cargo run --release --example quickstart              # the crate's own CHANGELOG.md
//! cargo run --release --example quickstart -- FILE
//! some-command | cargo run --release --example quickstart -- -
//! ```

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    missing_docs,
    reason = "a program beside the crate: it reads files and speaks to people"
)]

use std::error::Error;
use std::io::Read;
use std::time::{Instant, SystemTime};

use stratalog::{Log, Record, Start, Timestamp, TopicOptions};

const PARTITIONS: u32 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let (name, text) = input()?;
    let dir = std::env::temp_dir().join(format!("stratalog-quickstart-{}", std::process::id()));

    // Write: one record a line, its first word as the key, so that equal words share a partition.
    let started = Instant::now();
    let log = Log::open(&dir)?;
    let lines = log.create_topic("lines", TopicOptions::default().partitions(PARTITIONS))?;
    let mut appended = 0u64;
    let mut middle = Timestamp::from(SystemTime::now());
    let half = text.lines().count() / 2;
    for (number, line) in text.lines().enumerate() {
        if number == half {
            // Two milliseconds apart, so that a timestamp tells the two halves from each other.
            std::thread::sleep(std::time::Duration::from_millis(2));
            middle = Timestamp::from(SystemTime::now());
        }
        let key = line.split_whitespace().next().unwrap_or("");
        lines.append(Record::new(line).key(key))?;
        appended += 1;
    }
    println!(
        "read     {} bytes in {appended} lines from {name}",
        text.len()
    );
    println!(
        "appended {appended} records to topic \"lines\" in {:.1?}",
        started.elapsed()
    );
    log.close()?;
    println!("closed   {} (a Kafka log directory)", dir.display());

    // Read: two cursors, each at its own place.
    let log = Log::open(&dir)?;
    let lines = log.topic("lines")?;
    let (mut from_start, mut from_middle) = (0u64, 0u64);
    for partition in lines.partitions() {
        let marks = partition.watermarks();
        let mut all = 0u64;
        let mut bytes = 0usize;
        for record in partition.cursor(Start::Earliest)? {
            bytes += record?.value().map_or(0, <[u8]>::len);
            all += 1;
        }
        let mut late = 0u64;
        for record in partition.cursor(Start::Timestamp(middle))? {
            record?;
            late += 1;
        }
        println!(
            "partition {}: offsets {} to {}, {all} records ({bytes} bytes) from the start, {late} from the second half",
            partition.index(),
            marks.start,
            marks.end,
        );
        from_start += all;
        from_middle += late;
    }
    println!("re-read  {from_start} of {appended} records, {from_middle} of them by time");
    log.close()?;
    std::fs::remove_dir_all(&dir)?;
    if from_start != appended {
        return Err(format!("{appended} records went in and {from_start} came out").into());
    }
    Ok(())
}

/// The text to append, and where it came from.
fn input() -> Result<(String, String), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            Ok(("standard input".to_owned(), text))
        }
        Some(path) => Ok((path.to_owned(), std::fs::read_to_string(path)?)),
        None => {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/CHANGELOG.md");
            Ok(("CHANGELOG.md".to_owned(), std::fs::read_to_string(path)?))
        }
    }
}

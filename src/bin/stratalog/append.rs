//! `stratalog append`: lines in, records out.

use std::io::{BufRead, Read};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use stratalog::{Log, Partition, Record, Topic, TopicOptions, limits};

use crate::Outcome;
use crate::lines::Line;

/// JSON may write each byte of a record as six (`\u0000`); nothing longer can be a record.
const MOST_LINE_BYTES: u64 = 6 * limits::MAX_BATCH_BYTES as u64;

#[derive(Args)]
pub(crate) struct Options {
    /// The log directory; made if it is missing.
    log_dir: PathBuf,
    /// The topic; made with one partition (or as many as --partition needs) if it is missing.
    topic: String,
    /// Append to this partition; without it the key decides, as in Kafka's clients.
    #[arg(long)]
    partition: Option<u32>,
    /// Each line is a JSON object {"key":s|null,"value":s|null,"headers":[[name,s|null]],"timestamp":ms}; only "value" is required.
    #[arg(long)]
    json: bool,
}

/// Where the records go.
enum Place {
    Partition(Partition),
    ByKey(Topic),
}

impl Place {
    fn submit(&self, record: Record<'_>) -> anyhow::Result<()> {
        match self {
            Self::Partition(partition) => partition.submit(record)?,
            Self::ByKey(topic) => topic.submit(record)?,
        };
        Ok(())
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Outcome> {
    let wanted = options
        .partition
        .map_or(1, |partition| partition.saturating_add(1));
    let log = Log::builder(&options.log_dir)
        .defaults(TopicOptions::default().partitions(wanted))
        .open()?;
    let topic = log.topic(&options.topic)?;
    let place = match options.partition {
        Some(index) => Place::Partition(topic.partition(index)?),
        None => Place::ByKey(topic),
    };
    let appended = append_lines(options, &place);
    // What was appended before a bad line stays, and is made durable.
    let closed = log.close();
    let appended = appended?;
    closed?;
    eprintln!(
        "{appended} records appended to {} in {}",
        options.topic,
        options.log_dir.display()
    );
    Ok(Outcome::Done)
}

/// Appends line by line, so that what was read before a bad line is there; returns how many.
fn append_lines(options: &Options, place: &Place) -> anyhow::Result<u64> {
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    let mut count = 0u64;
    loop {
        line.clear();
        let mut limited = (&mut input).take(MOST_LINE_BYTES);
        let read = limited.read_until(b'\n', &mut line);
        if read.context("cannot read standard input")? == 0 {
            return Ok(count);
        }
        let number = count + 1;
        if line.len() as u64 >= MOST_LINE_BYTES {
            bail!("line {number}: longer than any record: {MOST_LINE_BYTES} bytes");
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        append_line(options, place, text).with_context(|| format!("line {number}"))?;
        count = number;
    }
}

fn append_line(options: &Options, place: &Place, text: &[u8]) -> anyhow::Result<()> {
    if !options.json {
        return place.submit(Record::new(text));
    }
    let line = Line::parse(std::str::from_utf8(text).context("this is no UTF-8")?)?;
    let headers: Vec<(&str, Option<&[u8]>)> = line
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref().map(str::as_bytes)))
        .collect();
    let mut record = match (&line.value, &line.key) {
        (Some(value), Some(key)) => Record::new(value).key(key),
        (Some(value), None) => Record::new(value),
        (None, key) => Record::tombstone(key.as_deref().unwrap_or_default()),
    }
    .headers(&headers);
    if let Some(at) = line.timestamp {
        record = record.timestamp(at);
    }
    place.submit(record)
}

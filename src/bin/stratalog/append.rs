//! `stratalog append`: lines in, records out.

use std::io::BufRead;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use stratalog::{Log, Record, Topic, TopicOptions};

use crate::Outcome;
use crate::lines::Line;

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

pub(crate) fn run(options: &Options) -> anyhow::Result<Outcome> {
    let wanted = options
        .partition
        .map_or(1, |partition| partition.saturating_add(1));
    let log = Log::builder(&options.log_dir)
        .defaults(TopicOptions::default().partitions(wanted))
        .open()?;
    let topic = log.topic(&options.topic)?;
    let appended = append_lines(options, &topic);
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

fn append_lines(options: &Options, topic: &Topic) -> anyhow::Result<u64> {
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    let mut number = 0u64;
    loop {
        line.clear();
        if input
            .read_until(b'\n', &mut line)
            .context("cannot read standard input")?
            == 0
        {
            return Ok(number);
        }
        number += 1;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        append_line(options, topic, text).with_context(|| format!("line {number}"))?;
    }
}

fn append_line(options: &Options, topic: &Topic, text: &[u8]) -> anyhow::Result<()> {
    if !options.json {
        return submit(options, topic, Record::new(text));
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
    submit(options, topic, record)
}

fn submit(options: &Options, topic: &Topic, record: Record<'_>) -> anyhow::Result<()> {
    match options.partition {
        Some(index) => topic.partition(index)?.submit(record)?,
        None => topic.submit(record)?,
    };
    Ok(())
}

//! Every batch and every record of a partition directory as lines of JSON, the very lines of Kafka's own classes.
//!
//! Nothing is written and nothing is believed: each batch is verified, and what cannot be read is an error line with the offsets that
//! it takes away.

use std::io::Write;
use std::sync::Arc;

use super::PartitionDir;
use super::json::JsonLine;
use crate::batch::{RecordBatch, RecordRef, TimestampType};
use crate::error::{Error, Result};
use crate::limits;
use crate::offset::{FilePosition, Offset};
use crate::segment::{BadKind, BadSpot, OffsetRule, SegmentFiles, Step, WalkStart, Walker};

/// How `dump` writes.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One JSON object a line: a batch, then its records.
    Json,
}

/// What a dump met.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct DumpSummary {
    /// Batches that were read.
    pub batches: u64,
    /// Records that were read.
    pub records: u64,
    /// Places that cannot be read.
    pub damaged: u64,
    /// Runs of batches in message format 0 or 1.
    pub old_formats: u64,
}

/// Where the lines go, and what was met so far.
struct Dump<'w> {
    out: &'w mut dyn Write,
    summary: DumpSummary,
}

/// One place that cannot be read.
struct Fault<'a> {
    position: FilePosition,
    /// The base offset in the header, where Kafka's dump names it as well.
    offset: Option<Offset>,
    what: &'a str,
    from: Offset,
    /// `None` where nothing behind tells.
    to: Option<Offset>,
}

pub(super) fn dump(partition: &PartitionDir, out: &mut dyn Write) -> Result<DumpSummary> {
    let mut dump = Dump {
        out,
        summary: DumpSummary::default(),
    };
    let mut expected = Offset::ZERO;
    for segment in partition.segments()? {
        expected = dump.segment(&segment, expected.max(segment.base()))?;
    }
    Ok(dump.summary)
}

impl Dump<'_> {
    /// One segment; returns the offset that the next one may start with.
    fn segment(&mut self, segment: &Arc<SegmentFiles>, expected: Offset) -> Result<Offset> {
        let path = segment.log_path();
        let file = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let mut walker = Walker::new(
            segment.log_file()?,
            &path,
            WalkStart {
                position: FilePosition::ZERO,
                end: segment.size(),
                expected,
                rule: OffsetRule::Ascending,
                max_decompressed_bytes: limits::DEFAULT_MAX_DECOMPRESSED_BYTES,
            },
        );
        loop {
            match walker.step()? {
                Step::Batch(walked) => self.batch(&file, walked.position, &walked.batch)?,
                Step::OldFormat { position, from, to } => {
                    self.summary.old_formats += 1;
                    let what = "message format 0 or 1, which is not read here";
                    self.error(
                        &file,
                        Fault {
                            position,
                            offset: Some(from),
                            what,
                            from,
                            to: Some(to),
                        },
                    )?;
                }
                Step::Bad(spot) => {
                    let positions = segment.positions_above(spot.position)?;
                    let next = walker.skip(&spot, &positions)?;
                    self.bad(&file, &spot, next)?;
                    if next.is_none() {
                        return Ok(walker.expected());
                    }
                }
                Step::End => return Ok(walker.expected()),
            }
        }
    }

    fn batch(&mut self, file: &str, position: FilePosition, batch: &RecordBatch) -> Result<()> {
        self.summary.batches += 1;
        self.line(batch_line(file, position, batch))?;
        let mut next = batch.base_offset();
        for record in batch.records() {
            match record {
                Ok(record) => {
                    self.summary.records += 1;
                    next = record.offset().saturating_add(1);
                    self.line(record_line(&record, batch.is_control()))?;
                }
                Err(error) => {
                    self.summary.damaged += 1;
                    let what = format!("unreadable records: {error}");
                    let offset = Some(batch.base_offset());
                    let to = Some(batch.next_offset());
                    return self.error(
                        file,
                        Fault {
                            position,
                            offset,
                            what: &what,
                            from: next,
                            to,
                        },
                    );
                }
            }
        }
        Ok(())
    }

    fn bad(&mut self, file: &str, spot: &BadSpot, next: Option<Offset>) -> Result<()> {
        self.summary.damaged += 1;
        // Kafka names the offset only where the header could be read and the batch is all there.
        let offset = match spot.kind {
            BadKind::Content => spot.header_offset,
            BadKind::Header | BadKind::Incomplete | BadKind::ZeroTail => None,
        };
        let (position, what, from) = (spot.position, spot.what, spot.from);
        self.error(
            file,
            Fault {
                position,
                offset,
                what,
                from,
                to: next,
            },
        )
    }

    fn error(&mut self, file: &str, fault: Fault<'_>) -> Result<()> {
        self.line(
            JsonLine::new()
                .text("kind", "error")
                .text("file", file)
                .number("position", fault.position.get())
                .number_or_null("offset", fault.offset.map(Offset::get))
                .text("what", fault.what)
                .null("cause")
                .number("from", fault.from.get())
                .number_or_null("to", fault.to.map(Offset::get)),
        )
    }

    fn line(&mut self, line: JsonLine) -> Result<()> {
        self.out
            .write_all(line.finish().as_bytes())
            .map_err(|error| Error::io("write a line of the dump", "<output>", error))
    }
}

fn batch_line(file: &str, position: FilePosition, batch: &RecordBatch) -> JsonLine {
    let header = batch.header();
    let producer = header.producer();
    JsonLine::new()
        .text("kind", "batch")
        .number("base_offset", header.base_offset().get())
        .number("last_offset", header.last_offset().get())
        .number("count", header.count())
        .number("size", header.size_bytes())
        .number("position", position.get())
        .text("file", file)
        .number(
            "leader_epoch",
            header.leader_epoch().map_or(-1, |epoch| epoch.get()),
        )
        .number("magic", 2)
        .text("crc", &format!("{:08x}", header.crc()))
        .text("codec", batch.codec().name())
        .text(
            "timestamp_type",
            match header.timestamp_type() {
                TimestampType::CreateTime => "CreateTime",
                TimestampType::LogAppendTime => "LogAppendTime",
            },
        )
        .number("base_timestamp", header.base_timestamp_field())
        .number(
            "max_timestamp",
            header.max_timestamp().map_or(-1, |at| at.as_millis()),
        )
        .number("producer_id", producer.map_or(-1, |p| p.id.get()))
        .number("producer_epoch", producer.map_or(-1, |p| p.epoch.get()))
        .number(
            "base_sequence",
            producer
                .and_then(|p| p.base_sequence)
                .map_or(-1, |s| s.get()),
        )
        .boolean("transactional", header.is_transactional())
        .boolean("control", header.is_control())
        .number_or_null(
            "delete_horizon",
            header.delete_horizon().map(|at| at.as_millis()),
        )
}

fn record_line(record: &RecordRef<'_>, control: bool) -> JsonLine {
    let line = JsonLine::new()
        .text("kind", "record")
        .number("offset", record.offset().get())
        .number(
            "timestamp",
            record.timestamp().map_or(-1, |at| at.as_millis()),
        )
        .hex("key", record.key())
        .hex("value", record.value())
        .headers(
            "headers",
            record.headers().map(|header| (header.key, header.value)),
        );
    if control {
        line.text("control_type", control_type(record.key()))
    } else {
        line
    }
}

/// Kafka's name of a control record's type, which stands behind the version in its key.
fn control_type(key: Option<&[u8]>) -> &'static str {
    let id = key
        .and_then(|key| key.get(2..)?.first_chunk::<2>())
        .map(|bytes| i16::from_be_bytes(*bytes));
    match id {
        Some(0) => "ABORT",
        Some(1) => "COMMIT",
        Some(2) => "LEADER_CHANGE",
        Some(3) => "SNAPSHOT_HEADER",
        Some(4) => "SNAPSHOT_FOOTER",
        Some(5) => "KRAFT_VERSION",
        Some(6) => "KRAFT_VOTERS",
        _ => "UNKNOWN",
    }
}

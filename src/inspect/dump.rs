//! Every batch and every record of a partition directory as lines of JSON, the very lines of Kafka's own classes.
//!
//! Nothing is written and nothing is believed: each batch is verified, and what cannot be read is an error line with the offsets that
//! it takes away.

use std::io::Write;

use super::json::JsonLine;
use super::{PartitionDir, positions_above, unless_trimmed};
use crate::batch::{BatchHeader, HEADER_BYTES, RecordBatch, RecordRef, TimestampType};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::offset::{FilePosition, Offset};
use crate::segment::{BadKind, BadSpot, FileName, OffsetRule, SegmentFiles, Step, Walker};

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
    /// Runs of batches in message format 0 or 1, and batches in a codec that this build leaves out.
    pub unsupported: u64,
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
    partition.check_kinds()?;
    let mut dump = Dump {
        out,
        summary: DumpSummary::default(),
    };
    let facts = partition.own_facts()?;
    let dense_from = facts.and_then(|facts| facts.dense_from);
    let segments = partition.segments()?;
    for (index, segment) in segments.iter().enumerate() {
        let rule = match dense_from {
            Some(from) if segment.base() >= from => OffsetRule::Dense,
            _ => OffsetRule::Ascending,
        };
        let next = segments.get(index + 1).map(|next| next.base());
        dump.segment(segment, rule, next)?;
    }
    Ok(dump.summary)
}

impl Dump<'_> {
    /// One segment; `next` is where the one behind it starts.
    fn segment(
        &mut self,
        segment: &SegmentFiles,
        rule: OffsetRule,
        next: Option<Offset>,
    ) -> Result<()> {
        let file = FileName::Log(segment.base()).to_string();
        let walker = segment.walk(rule, limits::DEFAULT_MAX_DECOMPRESSED_BYTES);
        let Some(walker) = unless_trimmed(walker)? else {
            return Ok(());
        };
        let mut walker = walker.below(segment.end());
        loop {
            match walker.step()? {
                Step::Batch(walked) => self.batch(&file, walked.position, &walked.batch)?,
                Step::OldFormat { position, from, to } => {
                    self.summary.unsupported += 1;
                    let what = "message format 0 or 1, which is not read here";
                    let fault = Fault {
                        position,
                        offset: Some(from),
                        what,
                        from,
                        to: Some(to),
                    };
                    self.error(&file, fault)?;
                }
                Step::Bad(spot) => {
                    let positions = positions_above(segment, spot.position)?;
                    let found = walker.skip(&spot, &positions)?;
                    self.summary.damaged += 1;
                    let fault = Fault {
                        position: spot.position,
                        offset: named_offset(&spot, &walker, segment.size())?,
                        what: spot.what,
                        from: spot.from,
                        to: found.or(next.map(|next| next.max(spot.from))),
                    };
                    self.error(&file, fault)?;
                    if found.is_none() {
                        return Ok(());
                    }
                }
                Step::End => return Ok(()),
            }
        }
    }

    /// A batch and its records; records behind one that cannot be decoded are lost.
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
                    match error.kind() {
                        ErrorKind::Unsupported => self.summary.unsupported += 1,
                        _ => self.summary.damaged += 1,
                    }
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

/// Kafka's dump names the offset where the header can be read and the batch is all there.
fn named_offset(spot: &BadSpot, walker: &Walker, end: FilePosition) -> Result<Option<Offset>> {
    let is_whole = match spot.kind {
        BadKind::Content => true,
        BadKind::Incomplete | BadKind::ZeroTail => false,
        BadKind::Header => {
            let mut header = [0; HEADER_BYTES];
            let read = walker.file().read_at(&mut header, spot.position.to_u64())?;
            let header = BatchHeader::read(header.get(..read).unwrap_or_default()).ok();
            header.is_some_and(|header| {
                let size = u64::from(header.size_bytes());
                size <= end.to_u64().saturating_sub(spot.position.to_u64())
            })
        }
    };
    Ok(spot.header_offset.filter(|_| is_whole))
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

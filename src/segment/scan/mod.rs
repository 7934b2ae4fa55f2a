//! The one walker over a `.log`: header against its neighbours, length bounded, CRC, each batch a private copy.
//!
//! It tells apart what recovery, readers, `verify` and `dump` treat differently, and decides nothing: a batch, a bad
//! spot, an old format, the end. The 17 bytes before the CRC are outside of it (`batch/header.rs`), so they are held
//! against what stands around them: the base offset against the batch before, or, where offsets may have holes, the
//! batch behind; the length through the CRC, which it bounds; the magic must be 2; the leader epoch, where offsets have no holes and
//! somebody vouches for the history of epochs, must be the one that stands there for these offsets.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

mod neighbours;
mod search;
mod window;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use self::neighbours::Expectations;
use self::window::Window;
use crate::batch::header::{ATTRIBUTES_AT, LENGTH_AT, LENGTH_END, MIN_LENGTH_FIELD};
use crate::batch::{BatchHeader, HEADER_BYTES, HeaderFault, RecordBatch};
use crate::epochs::Epochs;
use crate::error::Result;
use crate::limits::{DEFAULT_MAX_MESSAGE_BYTES, MAX_SEGMENT_OFFSET_SPAN};
use crate::offset::{FilePosition, Offset};
use crate::storage::StorageFile;

/// Bytes of an entry of message format 0 or 1 before what its CRC covers: offset, size, CRC (`LegacyRecord`).
const OLD_CRC_AT: usize = 12;
const OLD_CRC_END: usize = OLD_CRC_AT + 4;

/// How many times the segment's bytes a search behind damage may put through a CRC. Hostile bytes can offer a batch at
/// every place; the bound keeps the time linear in the size of the file.
const SEARCH_CRC_FACTOR: u64 = 4;

/// What the base offset of the next batch must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OffsetRule {
    /// Exactly the expected one: a segment that we wrote as leader.
    Dense,
    /// The expected one or above: a follower's, a compacted or an adopted segment.
    Ascending,
}

/// A verified batch and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct WalkedBatch {
    pub(crate) batch: RecordBatch,
    pub(crate) position: FilePosition,
}

/// Bytes that are no batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BadSpot {
    pub(crate) position: FilePosition,
    /// The first offset that is lost: the expected one.
    pub(crate) from: Offset,
    /// The base offset in the header, when the header can be read.
    pub(crate) header_offset: Option<Offset>,
    /// Where the next batch starts and its offset, when the header's length leads to a readable header with a base
    /// offset above `from`; or the end of the walk and the offset behind the bad batch, when it leads exactly there.
    pub(crate) next: Option<(FilePosition, Offset)>,
    /// What is wrong, for people.
    pub(crate) what: &'static str,
    /// Whether this could be an unfinished write: it runs past the end of the file, or is zeros to the end.
    pub(crate) kind: BadKind,
}

/// How bytes are bad.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadKind {
    /// The header is unreadable, or does not fit between its neighbours.
    Header,
    /// The header fits; CRC or content are wrong.
    Content,
    /// It runs past the end.
    Incomplete,
    /// Zeros up to the end.
    ZeroTail,
}

/// One step of a walk.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A verified batch; the walker stands behind it.
    Batch(WalkedBatch),
    /// A run of batches of message format 0 or 1, their own CRC right: `from..to`, reading goes on behind.
    OldFormat {
        position: FilePosition,
        from: Offset,
        to: Offset,
    },
    /// No batch; the walker stands where it was.
    Bad(BadSpot),
    /// The end given to the walker, reached exactly.
    End,
}

/// Where and how a walk starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalkStart {
    /// The start of a batch.
    pub(crate) position: FilePosition,
    /// Exclusive: where the bytes of whole batches end.
    pub(crate) end: FilePosition,
    /// At position 0 what `rule` compares the first batch with: the segment's base. Elsewhere a lower bound of the
    /// first batch's base offset; the segment's base will do.
    pub(crate) expected: Offset,
    pub(crate) rule: OffsetRule,
    /// Handed to each batch: what it may unpack to.
    pub(crate) max_decompressed_bytes: u32,
}

/// What is known of the first batch of a walk, and of the one behind damage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Footing {
    /// It follows the batch before.
    Sure,
    /// Its base offset is at or above the expected one; holes are no damage.
    AtLeast,
    /// An index named its place. An index is no evidence: when the batch is not there, the walk starts over at the
    /// segment's base.
    Claimed(Claim),
}

/// What an index says of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Claim {
    pub(super) position: FilePosition,
    /// The entry's offset: the last one of the batch, or of the batches that one append of Kafka wrote together.
    pub(super) last: Offset,
    /// The base offset of the batch is at or above this.
    pub(super) at_least: Offset,
    /// Where the segment starts.
    pub(super) base: Offset,
}

/// Walks one `.log`. Owns its buffer (64 KiB, growing to the batch); holds no lock.
#[derive(Debug)]
pub(crate) struct Walker {
    window: Window,
    path: PathBuf,
    position: u64,
    end: u64,
    expected: Offset,
    /// No batch of the segment can have a higher offset.
    highest: Offset,
    rule: OffsetRule,
    footing: Footing,
    max_decompressed_bytes: u32,
    /// What batches that we wrote as leader carry; `None` when nothing vouches for it.
    epochs: Option<Arc<Epochs>>,
    /// Bytes that searches may still put through a CRC.
    search_crc_bytes: u64,
}

impl Walker {
    /// From `start.position`, where a batch starts. `path` is for errors.
    pub(crate) fn new(file: Arc<dyn StorageFile>, path: &Path, start: WalkStart) -> Self {
        let end = start.end.to_u64();
        Self {
            window: Window::new(file),
            path: path.to_path_buf(),
            position: start.position.to_u64(),
            end,
            expected: start.expected,
            highest: start.expected.saturating_add(MAX_SEGMENT_OFFSET_SPAN),
            rule: start.rule,
            footing: match start.position {
                FilePosition::ZERO => Footing::Sure,
                _ => Footing::AtLeast,
            },
            max_decompressed_bytes: start.max_decompressed_bytes,
            epochs: None,
            search_crc_bytes: end.saturating_mul(SEARCH_CRC_FACTOR),
        }
    }

    /// From where an index claims that a batch stands. The first batch of the walk ends at or below the claimed offset,
    /// or is the first of the segment, whatever the index says.
    pub(super) fn from_claim(
        file: Arc<dyn StorageFile>,
        path: &Path,
        claim: Claim,
        start: WalkStart,
    ) -> Self {
        let mut walker = Self::new(
            file,
            path,
            WalkStart {
                position: claim.position,
                expected: claim.at_least,
                ..start
            },
        );
        walker.highest = claim.base.saturating_add(MAX_SEGMENT_OFFSET_SPAN);
        if claim.position != FilePosition::ZERO {
            walker.footing = Footing::Claimed(claim);
        }
        walker
    }

    /// No batch of the walk reaches `end`: another segment starts there, and a base offset that says otherwise is damaged.
    pub(crate) fn below(mut self, end: Offset) -> Self {
        self.highest = self.highest.min(end.saturating_sub(1));
        self
    }

    /// From here on, batches of a segment without holes are held against these leader epochs.
    pub(crate) fn hold_against(&mut self, epochs: Option<Arc<Epochs>>) {
        self.epochs = epochs;
    }

    /// The file that is walked, which stays open as long as somebody holds it.
    pub(crate) fn file(&self) -> &Arc<dyn StorageFile> {
        self.window.file()
    }

    /// Where the next step reads.
    pub(crate) fn position(&self) -> FilePosition {
        FilePosition::from_u64(self.position).unwrap_or(FilePosition::new(u32::MAX))
    }

    /// The base offset of the next batch, or a lower bound of it.
    pub(crate) fn expected(&self) -> Offset {
        self.expected
    }

    /// The segment has grown.
    pub(crate) fn extend_end(&mut self, end: FilePosition) {
        let grown = end.to_u64().saturating_sub(self.end);
        self.end = self.end.max(end.to_u64());
        self.search_crc_bytes = self
            .search_crc_bytes
            .saturating_add(grown.saturating_mul(SEARCH_CRC_FACTOR));
    }

    /// One step. After `Bad` the walker stands where it was: `skip` moves it.
    ///
    /// # Errors
    /// Only what the medium says; wrong bytes are [`Step::Bad`].
    #[inline]
    pub(crate) fn step(&mut self) -> Result<Step> {
        let Footing::Claimed(claim) = self.footing else {
            return self.step_once();
        };
        let step = self.step_once()?;
        self.footing = Footing::Sure;
        let stands = match &step {
            Step::Batch(found) => match self.rule {
                OffsetRule::Dense => found.batch.last_offset() == claim.last,
                OffsetRule::Ascending => found.batch.last_offset() <= claim.last,
            },
            Step::OldFormat { .. } => true,
            Step::Bad(_) | Step::End => false,
        };
        if stands {
            return Ok(step);
        }
        self.position = 0;
        self.expected = claim.base;
        self.step_once()
    }

    #[inline]
    fn step_once(&mut self) -> Result<Step> {
        if self.position >= self.end {
            return Ok(Step::End);
        }
        match self.header_at(self.position)? {
            Ok(header) => self.step_over(header),
            Err(HeaderFault::OldFormat {
                size_bytes,
                last_offset,
            }) => self.step_over_old(size_bytes, last_offset),
            Err(HeaderFault::Short { .. }) => {
                self.no_header("fewer bytes than a batch header", BadKind::Incomplete)
            }
            Err(HeaderFault::Invalid(what)) => self.no_header(what, BadKind::Header),
        }
    }

    /// A batch with a readable header: neighbours, length, CRC.
    #[inline]
    fn step_over(&mut self, header: BatchHeader) -> Result<Step> {
        let size = u64::from(header.size_bytes());
        if let Some(what) = self.offset_fault(&header) {
            return self.bad_batch(&header, what, BadKind::Header);
        }
        if size > self.end.saturating_sub(self.position) {
            return self.bad_batch(&header, "the batch runs past the end", BadKind::Incomplete);
        }
        // A damaged length may ask for a gigabyte that is really there; the header behind it tells, and costs nothing.
        // A damaged length may ask for a gigabyte that is really there: it is checked before memory is taken for it.
        if header.size_bytes() > DEFAULT_MAX_MESSAGE_BYTES
            && !self.leads_to_a_batch(&header)?
            && !self.checksum_is_right(self.position, &header)?
        {
            return self.bad_batch(&header, "batch checksum mismatch", BadKind::Content);
        }
        let bytes = self
            .window
            .slice_at(self.position, size_in_memory(&header), self.end);
        let bytes = bytes.map_err(|error| error.path_is(&self.path))?;
        if bytes.len() < size_in_memory(&header) {
            return self.bad_batch(
                &header,
                "the batch runs past the end of the file",
                BadKind::Incomplete,
            );
        }
        let batch = match RecordBatch::verify_owned(bytes, header) {
            Ok(mut batch) => {
                batch.limit_decompressed_bytes(self.max_decompressed_bytes);
                batch
            }
            Err(what) => return self.bad_batch(&header, what, BadKind::Content),
        };
        if header.base_offset() > self.expected && self.is_above_the_next(&header)? {
            return self.bad_batch(
                &header,
                "the offsets are above those of the next batch",
                BadKind::Header,
            );
        }
        if let Some(what) = self.epoch_fault(&header) {
            return self.bad_batch(&header, what, BadKind::Header);
        }
        let position = self.position();
        self.position = self.position.saturating_add(size);
        self.expected = header.next_offset();
        if self.footing == Footing::AtLeast {
            self.footing = Footing::Sure;
        }
        Ok(Step::Batch(WalkedBatch { batch, position }))
    }

    /// The CRC of a batch that fits before the end, read piece by piece.
    fn checksum_is_right(&mut self, position: u64, header: &BatchHeader) -> Result<bool> {
        let until = position.saturating_add(u64::from(header.size_bytes()));
        let mut at = position.saturating_add(ATTRIBUTES_AT as u64);
        let mut crc = 0;
        while at < until {
            let bytes = self.window.all_at(at, 1, until);
            let bytes = bytes.map_err(|error| error.path_is(&self.path))?;
            if bytes.is_empty() {
                return Ok(false);
            }
            crc = crc32c::crc32c_append(crc, bytes);
            at = at.saturating_add(bytes.len() as u64);
        }
        Ok(crc == header.crc())
    }

    /// A run of old entries, each with the CRC-32 of its own format: a v2 batch whose magic was damaged has none.
    fn step_over_old(&mut self, size_bytes: u32, last_offset: Offset) -> Result<Step> {
        let (start, from) = (self.position, self.expected);
        let (mut at, mut size, mut last) = (start, u64::from(size_bytes), last_offset);
        let mut reached = None;
        let to = loop {
            let fits = size <= self.end.saturating_sub(at);
            if last < reached.unwrap_or(from) || last > self.highest || !fits {
                break reached;
            }
            if !self.old_checksum_is_right(at, size)? {
                break reached;
            }
            at = at.saturating_add(size);
            reached = Some(last.saturating_add(1));
            if at >= self.end {
                break reached;
            }
            match self.header_at(at)? {
                Err(HeaderFault::OldFormat {
                    size_bytes,
                    last_offset,
                }) => (size, last) = (u64::from(size_bytes), last_offset),
                Ok(next) => break reached.map(|end| end.max(next.base_offset())),
                Err(_) => break reached,
            }
        };
        let Some(to) = to else {
            let kind = if size > self.end.saturating_sub(start) {
                BadKind::Incomplete
            } else {
                BadKind::Header
            };
            return self.no_header("the magic byte is not 2", kind);
        };
        // The base offset of a damaged header behind the run must not lift the expected one.
        let to = if to > self.highest {
            reached.unwrap_or(to)
        } else {
            to
        };
        let position = self.position();
        self.position = at;
        self.expected = to;
        self.footing = match self.footing {
            Footing::AtLeast => Footing::Sure,
            other => other,
        };
        Ok(Step::OldFormat { position, from, to })
    }

    fn old_checksum_is_right(&mut self, position: u64, size: u64) -> Result<bool> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let entry = self.window.bytes_at(position, size, self.end);
        let entry = entry.map_err(|error| error.path_is(&self.path))?;
        let Some(stored) = entry.get(OLD_CRC_AT..OLD_CRC_END) else {
            return Ok(false);
        };
        let covered = entry.get(OLD_CRC_END..).unwrap_or_default();
        Ok(entry.len() == size && stored == crc32fast::hash(covered).to_be_bytes())
    }

    /// A bad batch whose header can be read.
    fn bad_batch(
        &mut self,
        header: &BatchHeader,
        what: &'static str,
        kind: BadKind,
    ) -> Result<Step> {
        let next_at = self.position.saturating_add(u64::from(header.size_bytes()));
        let next = if next_at == self.end {
            let behind = header.next_offset().max(self.expected.saturating_add(1));
            FilePosition::from_u64(next_at).map(|end| (end, behind))
        } else {
            self.lead_to(next_at)?
        };
        Ok(self.bad(Some(header.base_offset()), next, what, kind))
    }

    /// Bytes without a readable header. Their length field may still be right.
    fn no_header(&mut self, what: &'static str, kind: BadKind) -> Result<Step> {
        if self.is_zero_to_the_end(self.position)? {
            return Ok(self.bad(None, None, "zeros to the end", BadKind::ZeroTail));
        }
        let mut length = [0; size_of::<u32>()];
        let at = self.position.saturating_add(LENGTH_AT as u64);
        let read = self.peek(at, &mut length)?;
        let length = u64::from(u32::from_be_bytes(length));
        let next = if read == size_of::<u32>() && length >= u64::from(MIN_LENGTH_FIELD) {
            let size = length.saturating_add(LENGTH_END as u64);
            self.lead_to(self.position.saturating_add(size))?
        } else {
            None
        };
        Ok(self.bad(None, next, what, kind))
    }

    fn bad(
        &self,
        header_offset: Option<Offset>,
        next: Option<(FilePosition, Offset)>,
        what: &'static str,
        kind: BadKind,
    ) -> Step {
        Step::Bad(BadSpot {
            position: self.position(),
            from: self.expected,
            header_offset,
            next,
            what,
            kind,
        })
    }

    fn is_zero_to_the_end(&mut self, from: u64) -> Result<bool> {
        let mut at = from;
        while at < self.end {
            let bytes = self.window.all_at(at, 1, self.end);
            let bytes = bytes.map_err(|error| error.path_is(&self.path))?;
            if bytes.iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            if bytes.is_empty() {
                break;
            }
            at = at.saturating_add(bytes.len() as u64);
        }
        Ok(true)
    }

    /// The header at a place that the walk is about to read.
    fn header_at(&mut self, position: u64) -> Result<Result<BatchHeader, HeaderFault>> {
        let bytes = self.window.bytes_at(position, HEADER_BYTES, self.end);
        Ok(BatchHeader::read(
            bytes.map_err(|error| error.path_is(&self.path))?,
        ))
    }

    /// The header at a place that the walk may never reach, if it can be read.
    fn peek_header(&self, position: u64) -> Result<Option<BatchHeader>> {
        let mut bytes = [0; HEADER_BYTES];
        let read = self.peek(position, &mut bytes)?;
        Ok(BatchHeader::read(bytes.get(..read).unwrap_or_default()).ok())
    }

    /// Reads beside the window when the bytes are not in it; fewer bytes only at the end.
    fn peek(&self, position: u64, place: &mut [u8]) -> Result<usize> {
        let before_end = self.end.saturating_sub(position);
        let wanted = usize::try_from(before_end)
            .unwrap_or(usize::MAX)
            .min(place.len());
        let read = self
            .window
            .peek(position, place.get_mut(..wanted).unwrap_or_default());
        read.map_err(|error| error.path_is(&self.path))
    }
}

fn size_in_memory(header: &BatchHeader) -> usize {
    usize::try_from(header.size_bytes()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;

//! Raw batches for a broker: one segment, whole batches, verified; as bytes or as a range of a file.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::UnverifiedBatch;
use crate::error::{Error, Gap, GapCause, Result};
use crate::offset::{FilePosition, Offset};
use crate::partition::{Next, Partition, PartitionReader, ReadUpTo, Snapshot, Watermarks};
use crate::segment::{AbortedTransaction, SegmentFiles};
use crate::storage::StorageFile;

/// Default of `Fetch::max_bytes`: Kafka's `max.partition.fetch.bytes`.
const DEFAULT_MAX_BYTES: u32 = 1 << 20;

/// What `max_bytes` means for the first batch (KIP-74).
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Limit {
    /// The first batch is given even when it alone is larger, so that a reader always gets on (the default).
    #[default]
    Soft,
    /// Nothing is given when the first batch is larger.
    Hard,
}

/// What to fetch.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fetch {
    from: Offset,
    max_bytes: u32,
    limit: Limit,
    up_to: ReadUpTo,
}

impl Fetch {
    /// Batches from the one that holds `offset` on, or the first behind it.
    pub fn from(offset: Offset) -> Self {
        Self {
            from: offset,
            max_bytes: DEFAULT_MAX_BYTES,
            limit: Limit::Soft,
            up_to: ReadUpTo::End,
        }
    }

    /// The most bytes to give; default 1 MiB.
    pub fn max_bytes(self, max_bytes: u32) -> Self {
        Self { max_bytes, ..self }
    }

    /// What `max_bytes` means for the first batch; default [`Limit::Soft`].
    pub fn limit(self, limit: Limit) -> Self {
        Self { limit, ..self }
    }

    /// Up to where to read; default [`ReadUpTo::End`]. With [`ReadUpTo::LastStable`] the aborted transactions are listed.
    pub fn up_to(self, up_to: ReadUpTo) -> Self {
        Self { up_to, ..self }
    }
}

/// Raw batches, all of one segment. Holding it keeps the file open.
#[derive(Debug)]
pub struct Fetched {
    watermarks: Watermarks,
    aborted: Vec<AbortedTransaction>,
    range: Option<Batches>,
    next: Offset,
    reader: PartitionReader,
}

#[derive(Debug)]
struct Batches {
    segment: Arc<SegmentFiles>,
    file: Arc<dyn StorageFile>,
    position: FilePosition,
    first: Offset,
    len_bytes: u32,
    generation: u64,
}

/// Why a fetch holds no more batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    /// The next one would be above `max_bytes`.
    Size,
    /// The limit, the end of the segment, or something that cannot be read.
    Other,
}

/// A part of a file that holds whole, verified batches.
#[derive(Clone, Copy, Debug)]
pub struct FileRange<'a> {
    /// The segment's file, open for as long as the [`Fetched`] lives.
    pub file: &'a File,
    /// The first byte.
    pub position: u64,
    /// How many bytes.
    pub len: u32,
}

impl Partition {
    /// Raw batches; never waits for data.
    ///
    /// # Errors
    /// `OffsetOutOfRange`; `Gap` or `Unsupported` when what comes next cannot be read, with the range to go on behind; `Closed`; `Io`.
    pub fn fetch(&self, request: &Fetch) -> Result<Fetched> {
        self.reader().fetch(request)
    }
}

impl PartitionReader {
    pub(crate) fn fetch(&self, request: &Fetch) -> Result<Fetched> {
        loop {
            self.check_open()?;
            self.check_in_range(request.from)?;
            let snapshot = self.published.snapshot();
            let fetched = self.fetch_once(request, &snapshot)?;
            let now = self.published.snapshot();
            // After a cut the batches may not lie side by side; after a trim the aborted transactions may be gone.
            let is_undisturbed =
                now.generation == snapshot.generation && now.watermarks.start <= request.from;
            if is_undisturbed {
                return Ok(fetched);
            }
        }
    }

    fn fetch_once(&self, request: &Fetch, snapshot: &Snapshot) -> Result<Fetched> {
        let mut fetched = Fetched {
            watermarks: snapshot.watermarks,
            aborted: Vec::new(),
            range: None,
            next: request.from,
            reader: self.clone(),
        };
        let mut stream = self.stream(request.from);
        let mut stop = Stop::Other;
        while let Next::Batch(found) = self.next_of(&mut stream, request, &fetched)? {
            let size = found.batch.size_bytes();
            let Some(range) = &mut fetched.range else {
                if size > request.max_bytes && request.limit == Limit::Hard {
                    break;
                }
                let Some(file) = stream.file() else { break };
                fetched.next = found.batch.next_offset();
                fetched.range = Some(Batches {
                    file,
                    segment: found.segment,
                    position: found.position,
                    first: found.batch.base_offset(),
                    len_bytes: size,
                    generation: snapshot.generation,
                });
                continue;
            };
            // Old batches and damage that took no offset away may lie between two batches.
            let end = range.position.to_u64() + u64::from(range.len_bytes);
            let is_next =
                Arc::ptr_eq(&range.segment, &found.segment) && found.position.to_u64() == end;
            if !is_next {
                break;
            }
            match range.len_bytes.checked_add(size) {
                Some(len_bytes) if len_bytes <= request.max_bytes => range.len_bytes = len_bytes,
                _ => {
                    stop = Stop::Size;
                    break;
                }
            }
            fetched.next = found.batch.next_offset();
        }
        if request.up_to == ReadUpTo::LastStable
            && let Some(range) = &fetched.range
        {
            let end = aborted_up_to(snapshot, range, request, stop)?.max(fetched.next);
            fetched.aborted = self.aborted(request.from..end)?;
        }
        Ok(fetched)
    }

    /// The next batch; what cannot be read ends a fetch that has something already, and the next one tells it.
    fn next_of(
        &self,
        stream: &mut crate::partition::BatchStream,
        request: &Fetch,
        so_far: &Fetched,
    ) -> Result<Next> {
        match stream.next(request.up_to) {
            Err(error) if so_far.range.is_some() && error.gap().is_some() => Ok(Next::Tail),
            next => next,
        }
    }
}

/// Up to where Kafka looks for aborted transactions: the offset index tells where the bytes end that were asked for, else the next segment
/// or the log end does. So it names transactions behind the last batch as well, which no reader minds.
fn aborted_up_to(
    snapshot: &Snapshot,
    range: &Batches,
    request: &Fetch,
    stop: Stop,
) -> Result<Offset> {
    let bytes = match stop {
        Stop::Size => request.max_bytes.max(range.len_bytes),
        Stop::Other => range.len_bytes,
    };
    if let Some(position) = range.position.checked_add(bytes)
        && let Some(offset) = range.segment.indexed_offset_from(position)?
    {
        return Ok(offset);
    }
    Ok(snapshot.end_of(&range.segment))
}

impl Fetched {
    /// The marks as they were when the fetch began.
    #[must_use]
    pub fn watermarks(&self) -> Watermarks {
        self.watermarks
    }

    /// Under [`ReadUpTo::LastStable`]: the aborted transactions that overlap the batches, for the reader to leave out.
    #[must_use]
    pub fn aborted(&self) -> &[AbortedTransaction] {
        &self.aborted
    }

    /// The offset behind the last batch: where the next fetch goes on.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.next
    }

    /// How many bytes there are; 0 at the tail.
    #[must_use]
    pub fn len_bytes(&self) -> u32 {
        self.range.as_ref().map_or(0, |range| range.len_bytes)
    }

    /// The batches as bytes, ready for a Kafka client; their checksums are looked at once more.
    ///
    /// # Errors
    /// `Io`; `Gap` when the tail was cut meanwhile, or the bytes are no longer what they were.
    pub fn bytes(&self) -> Result<Bytes> {
        let Some(range) = &self.range else {
            return Ok(Bytes::new());
        };
        // Bounded by the bytes that the fetch has walked over.
        let mut bytes = vec![0; range.len_bytes as usize];
        let read = range.file.read_at(&mut bytes, range.position.to_u64())?;
        let cause = if self.reader.published.generation() != range.generation {
            GapCause::Truncated
        } else if read < bytes.len() {
            GapCause::Damaged
        } else {
            let bytes = Bytes::from(bytes);
            if is_run(&bytes, range.first..self.next) {
                return Ok(bytes);
            }
            GapCause::Damaged
        };
        let gap = Gap::new(range.first, self.next, cause);
        Err(Error::gap_found(gap, "the batches changed since the fetch")
            .path_is(range.segment.log_path())
            .at(range.position)
            .remedy("fetch again"))
    }

    /// The batches as a part of a file, for `sendfile`; `None` at the tail and where the storage has no descriptor.
    ///
    /// A truncation by this partition's owner may cut the file while it is being sent: who truncates must have stopped its fetches.
    #[must_use]
    pub fn file_range(&self) -> Option<FileRange<'_>> {
        let range = self.range.as_ref()?;
        Some(FileRange {
            file: range.file.as_file()?,
            position: range.position.to_u64(),
            len: range.len_bytes,
        })
    }
}

/// Whether the bytes are whole batches from the first of `offsets` up to their end.
fn is_run(bytes: &Bytes, offsets: Range<Offset>) -> bool {
    let mut next = offsets.start;
    for batch in UnverifiedBatch::split(bytes.clone()) {
        match batch.and_then(UnverifiedBatch::verify) {
            Ok(batch) if batch.base_offset() >= next => next = batch.next_offset(),
            Ok(_) | Err(_) => return false,
        }
    }
    next == offsets.end
}

//! Raw batches for a broker: one segment, whole batches, verified; as bytes or as a range of a file.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::offset::{FilePosition, Offset};
use crate::partition::{Next, Partition, PartitionReader, ReadUpTo, Watermarks};
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
    len_bytes: u32,
    generation: u64,
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
        self.check_open()?;
        self.check_in_range(request.from)?;
        let snapshot = self.published.snapshot();
        let mut fetched = Fetched {
            watermarks: snapshot.watermarks,
            aborted: Vec::new(),
            range: None,
            next: request.from,
            reader: self.clone(),
        };
        let mut stream = self.stream(request.from);
        let mut first = request.from;
        while let Next::Batch(found) = self.next_of(&mut stream, request, &fetched)? {
            let size = found.batch.size_bytes();
            let Some(range) = &mut fetched.range else {
                if size > request.max_bytes && request.limit == Limit::Hard {
                    break;
                }
                first = found.batch.base_offset();
                fetched.next = found.batch.next_offset();
                fetched.range = Some(Batches {
                    file: found.segment.log_file()?,
                    segment: found.segment,
                    position: found.position,
                    len_bytes: size,
                    generation: snapshot.generation,
                });
                continue;
            };
            let len_bytes = range.len_bytes.saturating_add(size);
            if !Arc::ptr_eq(&range.segment, &found.segment) || len_bytes > request.max_bytes {
                break;
            }
            range.len_bytes = len_bytes;
            fetched.next = found.batch.next_offset();
        }
        if request.up_to == ReadUpTo::LastStable && fetched.range.is_some() {
            fetched.aborted = self.aborted(first..fetched.next)?;
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

    /// The batches as bytes, ready for a Kafka client.
    ///
    /// # Errors
    /// `Io`; `Gap` when the tail was cut meanwhile.
    pub fn bytes(&self) -> Result<Bytes> {
        let Some(range) = &self.range else {
            return Ok(Bytes::new());
        };
        // Bounded by the bytes that the fetch has walked over.
        let mut bytes = vec![0; range.len_bytes as usize];
        let read = range.file.read_at(&mut bytes, range.position.to_u64())?;
        let is_current = self.reader.published.generation() == range.generation;
        if read < bytes.len() || !is_current {
            return Err(Error::new(
                ErrorKind::Gap,
                "the tail was cut since the fetch; fetch again",
            )
            .path_is(range.segment.log_path())
            .at(range.position));
        }
        Ok(bytes.into())
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

//! The buffer of a walk: a window of the file, read with `pread`, of which batches are slices.
//!
//! Nobody changes a buffer while a slice of it is held. When no slice is left it is filled anew; until then another one
//! takes its place, so a walk whose reader lets go of its batches allocates nothing.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::error::Result;
use crate::limits::READ_BUFFER_BYTES;
use crate::offset::FilePosition;
use crate::storage::StorageFile;

/// What the first read brings: who looks for one record reads little more, and a scan soon reads whole buffers.
const FIRST_READ_BYTES: usize = 8 << 10;

/// A buffer that is more times as large as what is asked for is given back.
const SHRINK_FACTOR: usize = 4;

#[derive(Debug)]
pub(super) struct Window {
    file: Arc<dyn StorageFile>,
    /// As long as its memory; only the first `filled` bytes mean something.
    buffer: Bytes,
    filled: usize,
    /// The byte of the file at the start of the buffer.
    start: u64,
    /// A buffer of which somebody still held a slice when it was replaced.
    resting: Bytes,
    /// What one read tries to bring: grows to the largest batch, shrinks with what follows.
    target: usize,
    /// The most that was asked for since the last read: a header alone says nothing of the batch behind it.
    largest_wanted: usize,
}

impl Window {
    pub(super) fn new(file: Arc<dyn StorageFile>) -> Self {
        Self {
            file,
            buffer: Bytes::new(),
            filled: 0,
            start: 0,
            resting: Bytes::new(),
            target: FIRST_READ_BYTES,
            largest_wanted: 0,
        }
    }

    pub(super) fn file(&self) -> &Arc<dyn StorageFile> {
        &self.file
    }

    /// The bytes from `position` on, `wanted` of them or as many as stand before `end` and before the end of the file.
    /// Memory is bounded by `end - position`: a length that damage has made up costs nothing.
    pub(super) fn bytes_at(&mut self, position: u64, wanted: usize, end: u64) -> Result<&[u8]> {
        let range = self.cover(position, wanted, end)?;
        Ok(self.buffer.get(range).unwrap_or_default())
    }

    /// As `bytes_at`, as a slice that may be kept.
    pub(super) fn slice_at(&mut self, position: u64, wanted: usize, end: u64) -> Result<Bytes> {
        let range = self.cover(position, wanted, end)?;
        Ok(self.buffer.slice(range))
    }

    /// All that is at hand from `position` on, at least `wanted` bytes if there are so many before `end`.
    pub(super) fn all_at(&mut self, position: u64, wanted: usize, end: u64) -> Result<&[u8]> {
        let range = self.cover(position, wanted, end)?;
        let before_end = usize::try_from(end.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let until = self.filled.min(before_end).max(range.start);
        Ok(self.buffer.get(range.start..until).unwrap_or_default())
    }

    /// Fills `place` from `position` on, from memory where it is there; the window stays where it is.
    pub(super) fn peek(&self, position: u64, place: &mut [u8]) -> Result<usize> {
        let held = position
            .checked_sub(self.start)
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| {
                let until = at.checked_add(place.len())?;
                (until <= self.filled).then_some(at..until)
            })
            .and_then(|range| self.buffer.get(range));
        if let Some(held) = held {
            place.copy_from_slice(held);
            return Ok(place.len());
        }
        read_at(&*self.file, place, position)
    }

    fn cover(&mut self, position: u64, wanted: usize, end: u64) -> Result<std::ops::Range<usize>> {
        let remaining = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
        let wanted = wanted.min(remaining);
        let at = position.checked_sub(self.start);
        let at = at.and_then(|at| usize::try_from(at).ok());
        if let Some(at) = at
            && let Some(until) = at.checked_add(wanted)
            && until <= self.filled
        {
            self.largest_wanted = self.largest_wanted.max(wanted);
            return Ok(at..until);
        }
        self.fill(position, wanted, remaining)?;
        Ok(0..wanted.min(self.filled))
    }

    fn fill(&mut self, position: u64, wanted: usize, remaining: usize) -> Result<()> {
        if wanted > self.target {
            self.target = wanted.checked_next_power_of_two().unwrap_or(wanted);
        }
        let read_bytes = self.target.min(remaining);
        self.choose_next_target(wanted);
        let mut buffer = self.take_buffer(read_bytes);
        self.start = position;
        self.filled = 0;
        let room = read_bytes.min(buffer.len());
        let (place, _) = buffer.split_at_mut(room);
        let read = read_at(&*self.file, place, position);
        self.buffer = buffer.freeze();
        self.filled = read?.min(room);
        Ok(())
    }

    /// Up to the usual size from read to read, and back to it when batches are small again.
    fn choose_next_target(&mut self, wanted: usize) {
        let largest_wanted = self.largest_wanted.max(wanted);
        if self.target < READ_BUFFER_BYTES {
            self.target = self.target.saturating_mul(2);
        } else if largest_wanted.saturating_mul(SHRINK_FACTOR) < self.target {
            self.target = (self.target / 2).max(READ_BUFFER_BYTES);
        }
        self.largest_wanted = wanted;
    }

    /// A buffer of at least `bytes` that nobody else holds.
    fn take_buffer(&mut self, bytes: usize) -> BytesMut {
        let fits = |len: usize| {
            len >= bytes && len <= bytes.max(READ_BUFFER_BYTES).saturating_mul(SHRINK_FACTOR)
        };
        match std::mem::take(&mut self.buffer).try_into_mut() {
            Ok(free) if fits(free.len()) => return free,
            Ok(_) => {}
            Err(held) => {
                let earlier = std::mem::replace(&mut self.resting, held);
                match earlier.try_into_mut() {
                    Ok(free) if fits(free.len()) => return free,
                    Ok(_) | Err(_) => {}
                }
            }
        }
        new_buffer(bytes)
    }
}

/// A read whose failure tells where in the file it was.
fn read_at(file: &dyn StorageFile, place: &mut [u8], position: u64) -> Result<usize> {
    let read = file.read_at(place, position);
    read.map_err(|error| match u32::try_from(position) {
        Ok(position) => error.at(FilePosition::new(position)),
        Err(_) => error,
    })
}

/// Zeroed memory that can be taken back from `Bytes` without another allocation: splitting off the one byte more makes
/// it counted from the start, while a buffer that is never split allocates its count anew each time it is frozen.
fn new_buffer(bytes: usize) -> BytesMut {
    let mut buffer = BytesMut::zeroed(bytes.saturating_add(1));
    drop(buffer.split_off(bytes));
    buffer
}

//! One record: as it goes in (borrowing), as it comes out (borrowing from its batch), as it is kept (owning).
//!
//! This module must never know how a batch came by its bytes.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::header::{BatchHeader, TimestampType};
use super::varint;
use super::verify::RecordBatch;
use crate::error::{Error, ErrorKind, Result};
use crate::offset::Offset;
use crate::timestamp::Timestamp;

/// A record on its way in. Borrows everything; an append copies it once.
///
/// ```
/// use stratalog::Record;
///
/// let headers = [("trace", Some(&b"7f"[..])), ("flag", None)];
/// let record = Record::new("paid").key("order-17").headers(&headers);
/// # let _ = record;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [(&'a str, Option<&'a [u8]>)],
    pub(crate) timestamp: Option<Timestamp>,
}

impl<'a> Record<'a> {
    /// A record with a value and no key.
    #[must_use]
    pub fn new<V: AsRef<[u8]> + ?Sized>(value: &'a V) -> Self {
        Self {
            key: None,
            value: Some(value.as_ref()),
            headers: &[],
            timestamp: None,
        }
    }

    /// A record that says that `key` has no value any more: compaction drops what was under it.
    #[must_use]
    pub fn tombstone<K: AsRef<[u8]> + ?Sized>(key: &'a K) -> Self {
        Self {
            key: Some(key.as_ref()),
            value: None,
            headers: &[],
            timestamp: None,
        }
    }

    /// Gives the record a key.
    #[must_use]
    pub fn key<K: AsRef<[u8]> + ?Sized>(self, key: &'a K) -> Self {
        Self {
            key: Some(key.as_ref()),
            ..self
        }
    }

    /// Gives the record headers, in this order; a name may come more than once.
    #[must_use]
    pub fn headers(self, headers: &'a [(&'a str, Option<&'a [u8]>)]) -> Self {
        Self { headers, ..self }
    }

    /// Gives the record its own time; without it, it gets that of the append.
    #[must_use]
    pub fn timestamp(self, at: Timestamp) -> Self {
        Self {
            timestamp: Some(at),
            ..self
        }
    }
}

/// A record that borrows from its batch.
#[derive(Clone, Copy)]
pub struct RecordRef<'a> {
    /// What key, value and headers lie in.
    source: &'a Bytes,
    offset: Offset,
    timestamp: Option<Timestamp>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    /// Read through once, so that it is well-formed.
    headers: &'a [u8],
    header_count: u32,
}

impl<'a> RecordRef<'a> {
    /// The record's number in its partition.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// The record's time; `None` where the writer gave none.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// The key; `None` is not the same as an empty one.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value; `None` (a tombstone, when there is a key) is not the same as an empty one.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The headers, in the order of the writer.
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        Headers {
            rest: self.headers,
            count: self.header_count,
        }
    }

    /// The same record with one reference to its batch instead of a borrow. Copies no data.
    #[must_use]
    pub fn to_owned(&self) -> StoredRecord {
        StoredRecord {
            source: self.source.clone(),
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.map(|key| Span::of(key, self.source)),
            value: self.value.map(|value| Span::of(value, self.source)),
            headers: Span::of(self.headers, self.source),
            header_count: self.header_count,
        }
    }
}

impl fmt::Debug for RecordRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_record("RecordRef", f, self)
    }
}

/// A place within the bytes that a record came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    at: u32,
    len_bytes: u32,
}

impl Span {
    /// Where `part` lies in `whole`, of which it is a part.
    fn of(part: &[u8], whole: &Bytes) -> Self {
        let at = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
        Self {
            at: u32::try_from(at).unwrap_or(u32::MAX),
            len_bytes: u32::try_from(part.len()).unwrap_or(u32::MAX),
        }
    }

    fn within(self, whole: &[u8]) -> &[u8] {
        whole
            .get(self.at as usize..)
            .and_then(|behind| behind.get(..self.len_bytes as usize))
            .expect("a span is made from a slice of the bytes that it is kept with")
    }
}

/// A record that owns: it keeps its whole batch alive. [`StoredRecord::detach`] lets the batch go.
#[derive(Clone)]
pub struct StoredRecord {
    source: Bytes,
    offset: Offset,
    timestamp: Option<Timestamp>,
    key: Option<Span>,
    value: Option<Span>,
    headers: Span,
    header_count: u32,
}

impl StoredRecord {
    /// The record's number in its partition.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// The record's time; `None` where the writer gave none.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// The key; `None` is not the same as an empty one.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.key.map(|span| span.within(&self.source))
    }

    /// The value; `None` (a tombstone, when there is a key) is not the same as an empty one.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.value.map(|span| span.within(&self.source))
    }

    /// The headers, in the order of the writer.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers {
            rest: self.headers.within(&self.source),
            count: self.header_count,
        }
    }

    /// Copies the record out of its batch, so that keeping it does not keep the batch in memory.
    #[must_use]
    pub fn detach(self) -> StoredRecord {
        let parts = [
            self.key(),
            self.value(),
            Some(self.headers.within(&self.source)),
        ];
        let mut copy = BytesMut::with_capacity(
            parts
                .iter()
                .flatten()
                .fold(0usize, |sum, part| sum.saturating_add(part.len())),
        );
        let [key, value, headers] = parts.map(|part| {
            let part = part?;
            let at = u32::try_from(copy.len()).unwrap_or(u32::MAX);
            copy.put_slice(part);
            Some(Span {
                at,
                len_bytes: u32::try_from(part.len()).unwrap_or(u32::MAX),
            })
        });
        StoredRecord {
            source: copy.freeze(),
            key,
            value,
            headers: headers.unwrap_or(Span {
                at: 0,
                len_bytes: 0,
            }),
            ..self
        }
    }

    /// The same record as a borrow, for code that takes either.
    #[must_use]
    pub fn as_ref(&self) -> RecordRef<'_> {
        RecordRef {
            source: &self.source,
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key(),
            value: self.value(),
            headers: self.headers.within(&self.source),
            header_count: self.header_count,
        }
    }
}

impl fmt::Debug for StoredRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_record("StoredRecord", f, &self.as_ref())
    }
}

fn debug_record(name: &str, f: &mut fmt::Formatter<'_>, record: &RecordRef<'_>) -> fmt::Result {
    f.debug_struct(name)
        .field("offset", &record.offset)
        .field("timestamp", &record.timestamp)
        .field("key", &record.key.map(|key| String::from_utf8_lossy(key)))
        .field("value_bytes", &record.value.map(<[u8]>::len))
        .field("header_count", &record.header_count)
        .finish()
}

/// A header of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    /// The name; may come more than once in a record.
    pub key: &'a str,
    /// The value; `None` is not the same as an empty one.
    pub value: Option<&'a [u8]>,
}

/// The headers of a record, in order.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
    count: u32,
}

impl<'a> Headers<'a> {
    fn read_one(&mut self) -> Result<Header<'a>, &'static str> {
        let key = take_nullable(&mut self.rest)?.ok_or("a header has no name")?;
        let key = std::str::from_utf8(key).map_err(|_| "the name of a header is not UTF-8")?;
        let value = take_nullable(&mut self.rest)?;
        self.count = self.count.saturating_sub(1);
        Ok(Header { key, value })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        if self.count == 0 {
            return None;
        }
        Some(
            self.read_one()
                .expect("headers were read through when their record was made"),
        )
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count as usize, Some(self.count as usize))
    }
}

impl ExactSizeIterator for Headers<'_> {}
impl std::iter::FusedIterator for Headers<'_> {}

/// The records of a batch, in order. The first error is the last item.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    header: &'a BatchHeader,
    /// What the records lie in; `None` when it could not be unpacked.
    source: Option<&'a Bytes>,
    walk: Walk,
    fault: Option<Error>,
}

impl<'a> Records<'a> {
    pub(super) fn new(header: &'a BatchHeader, source: Result<&'a Bytes>, at: usize) -> Self {
        match source {
            Ok(source) => Self {
                header,
                source: Some(source),
                walk: Walk::new(header, at),
                fault: None,
            },
            Err(fault) => Self {
                header,
                source: None,
                walk: Walk::ended(),
                fault: Some(fault),
            },
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordRef<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.source {
            Some(source) => self.walk.next(self.header, source),
            None => self.fault.take().map(Err),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (
            0,
            Some((self.walk.remaining as usize).saturating_add(usize::from(self.fault.is_some()))),
        )
    }
}

impl std::iter::FusedIterator for Records<'_> {}

/// The records of a batch, each with a reference to it. The first error is the last item.
#[derive(Clone, Debug)]
pub struct IntoRecords {
    batch: RecordBatch,
    walk: Walk,
    /// What unpacking the batch said, until it was handed out.
    fault: Option<Error>,
}

impl IntoRecords {
    pub(super) fn new(batch: RecordBatch) -> Self {
        match batch.payload() {
            Ok((_, at)) => Self {
                walk: Walk::new(batch.header(), at),
                batch,
                fault: None,
            },
            Err(fault) => Self {
                walk: Walk::ended(),
                batch,
                fault: Some(fault),
            },
        }
    }

    /// The batch that the records come from.
    #[must_use]
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Whether `next` has something.
    pub(crate) fn has_more(&self) -> bool {
        self.fault.is_some() || self.walk.remaining > 0
    }
}

impl Iterator for IntoRecords {
    type Item = Result<StoredRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(fault) = self.fault.take() {
            return Some(Err(fault));
        }
        if self.walk.remaining == 0 {
            return None;
        }
        match self.batch.payload() {
            Ok((source, _)) => {
                let next = self.walk.next(self.batch.header(), source)?;
                Some(next.map(|record| record.to_owned()))
            }
            Err(fault) => {
                self.walk = Walk::ended();
                Some(Err(fault))
            }
        }
    }
}

impl std::iter::FusedIterator for IntoRecords {}

/// Where an iteration stands. Borrows nothing, so that borrowing and owning iterators share it.
#[derive(Clone, Debug)]
struct Walk {
    at: usize,
    remaining: u32,
    /// The smallest offset delta that the next record may have.
    next_delta: i64,
}

impl Walk {
    fn new(header: &BatchHeader, at: usize) -> Self {
        Self {
            at,
            remaining: header.count(),
            next_delta: 0,
        }
    }

    fn ended() -> Self {
        Self {
            at: 0,
            remaining: 0,
            next_delta: 0,
        }
    }

    #[inline]
    fn next<'a>(
        &mut self,
        header: &BatchHeader,
        source: &'a Bytes,
    ) -> Option<Result<RecordRef<'a>>> {
        self.remaining = self.remaining.checked_sub(1)?;
        match self.read(header, source) {
            Ok(record) => Some(Ok(record)),
            Err(what) => {
                self.remaining = 0;
                Some(Err(self.corrupt(header, what)))
            }
        }
    }

    #[inline]
    fn read<'a>(
        &mut self,
        header: &BatchHeader,
        source: &'a Bytes,
    ) -> Result<RecordRef<'a>, &'static str> {
        let mut rest: &'a [u8] = source.get(self.at..).unwrap_or(&[]);
        let body = varint::take_i32(&mut rest)?;
        let body = usize::try_from(body).map_err(|_| "the length of a record is negative")?;
        let (mut body, rest) = rest
            .split_at_checked(body)
            .ok_or("a record runs past the end of its batch")?;
        // Kafka never looks at the attributes of a record.
        body = body.get(1..).ok_or("a record has no attributes")?;
        let timestamp_delta = varint::take_i64(&mut body)?;
        let delta = i64::from(varint::take_i32(&mut body)?);
        if delta < self.next_delta || delta > i64::from(header.last_offset_delta()) {
            return Err("the offset of a record is out of order or outside of its batch");
        }
        let key = take_nullable(&mut body)?;
        let value = take_nullable(&mut body)?;
        let headers = take_headers(&mut body)?;
        if !body.is_empty() {
            return Err("a record is shorter than its length says");
        }
        if self.remaining == 0 && !rest.is_empty() {
            return Err("bytes are left behind the last record");
        }
        self.at = source.len().saturating_sub(rest.len());
        self.next_delta = delta.saturating_add(1);
        let timestamp = match header.timestamp_type() {
            TimestampType::LogAppendTime => header.max_timestamp(),
            // Kafka's sum wraps as well.
            TimestampType::CreateTime => {
                Timestamp::from_format(header.base_timestamp_field().wrapping_add(timestamp_delta))
            }
        };
        let offset = header.base_offset().saturating_add(delta.unsigned_abs());
        let Headers {
            rest: headers,
            count: header_count,
        } = headers;
        Ok(RecordRef {
            source,
            offset,
            timestamp,
            key,
            value,
            headers,
            header_count,
        })
    }

    #[cold]
    fn corrupt(&self, header: &BatchHeader, what: &str) -> Error {
        let offset = header
            .base_offset()
            .saturating_add(self.next_delta.unsigned_abs());
        Error::new(ErrorKind::Corrupt, format!("record cannot be read: {what}")).offset_is(offset)
    }
}

/// Takes a length and as many bytes; any negative length is "none", as in Kafka.
#[inline]
fn take_nullable<'a>(input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
    let Ok(length) = usize::try_from(varint::take_i32(input)?) else {
        return Ok(None);
    };
    let (bytes, rest) = input
        .split_at_checked(length)
        .ok_or("a field runs past the end of its record")?;
    *input = rest;
    Ok(Some(bytes))
}

#[inline]
fn take_headers<'a>(body: &mut &'a [u8]) -> Result<Headers<'a>, &'static str> {
    let count = varint::take_i32(body)?;
    if count == 0 {
        return Ok(Headers {
            rest: (*body).get(..0).unwrap_or(&[]),
            count: 0,
        });
    }
    read_headers(body, count)
}

/// Reads headers through once, so that the iterator that is handed out cannot fail.
#[cold]
fn read_headers<'a>(body: &mut &'a [u8], count: i32) -> Result<Headers<'a>, &'static str> {
    let count = u32::try_from(count).map_err(|_| "the number of headers is negative")?;
    // Each takes two bytes at least, so the loop below ends with the record.
    if count as usize > body.len() {
        return Err("the number of headers is above the bytes that are left");
    }
    let whole = *body;
    let mut unread = Headers { rest: whole, count };
    while unread.count > 0 {
        unread.read_one()?;
    }
    *body = unread.rest;
    let read = whole.len().saturating_sub(unread.rest.len());
    Ok(Headers {
        rest: whole.get(..read).unwrap_or(whole),
        count,
    })
}

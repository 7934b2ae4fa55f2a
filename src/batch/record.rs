//! One record: as it goes in (borrowing), as it comes out (borrowing from its batch), as it is kept (owning).

use crate::error::Result;
use crate::offset::Offset;
use crate::timestamp::Timestamp;
use bytes::Bytes;
use std::marker::PhantomData;

/// A record on its way in. Borrows everything; an append copies it once.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [(&'a str, Option<&'a [u8]>)],
    pub(crate) timestamp: Option<Timestamp>,
}
impl<'a> Record<'a> {
    pub fn new<V: AsRef<[u8]> + ?Sized>(value: &'a V) -> Self {
        Self {
            key: None,
            value: Some(value.as_ref()),
            headers: &[],
            timestamp: None,
        }
    }
    pub fn tombstone<K: AsRef<[u8]> + ?Sized>(key: &'a K) -> Self {
        Self {
            key: Some(key.as_ref()),
            value: None,
            headers: &[],
            timestamp: None,
        }
    }
    #[must_use]
    pub fn key<K: AsRef<[u8]> + ?Sized>(self, key: &'a K) -> Self {
        Self {
            key: Some(key.as_ref()),
            ..self
        }
    }
    #[must_use]
    pub fn headers(self, headers: &'a [(&'a str, Option<&'a [u8]>)]) -> Self {
        Self { headers, ..self }
    }
    #[must_use]
    pub fn timestamp(self, at: Timestamp) -> Self {
        Self {
            timestamp: Some(at),
            ..self
        }
    }
}

/// A record that borrows from its batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a>(PhantomData<&'a ()>);
impl<'a> RecordRef<'a> {
    pub fn offset(&self) -> Offset {
        todo!()
    }
    pub fn timestamp(&self) -> Option<Timestamp> {
        todo!()
    }
    pub fn key(&self) -> Option<&'a [u8]> {
        todo!()
    }
    pub fn value(&self) -> Option<&'a [u8]> {
        todo!()
    }
    pub fn headers(&self) -> Headers<'a> {
        todo!()
    }
    pub fn to_owned(&self) -> StoredRecord {
        todo!()
    }
}
/// A record that owns: one reference to its batch.
#[derive(Clone, Debug)]
pub struct StoredRecord(Bytes);
impl StoredRecord {
    pub fn offset(&self) -> Offset {
        todo!()
    }
    pub fn timestamp(&self) -> Option<Timestamp> {
        todo!()
    }
    pub fn key(&self) -> Option<&[u8]> {
        todo!()
    }
    pub fn value(&self) -> Option<&[u8]> {
        todo!()
    }
    pub fn headers(&self) -> Headers<'_> {
        todo!()
    }
    #[must_use]
    pub fn detach(self) -> StoredRecord {
        todo!()
    }
}
/// A header of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    pub key: &'a str,
    pub value: Option<&'a [u8]>,
}
/// The headers of a record, in order.
#[derive(Clone, Debug)]
pub struct Headers<'a>(PhantomData<&'a ()>);
impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;
    fn next(&mut self) -> Option<Header<'a>> {
        todo!()
    }
}
/// The records of a batch.
#[derive(Clone, Debug)]
pub struct Records<'a>(PhantomData<&'a ()>);
impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordRef<'a>>;
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}

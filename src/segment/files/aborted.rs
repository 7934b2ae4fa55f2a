//! The index of aborted transactions: what is missing in it shows records that do not count, so it is believed only as it was sealed.

use std::ops::Range;
use std::sync::Arc;

use super::super::{AbortedTransaction, FileName, txn_index};
use super::{Indexes, SegmentFiles};
use crate::error::{Error, ErrorKind, Result};
use crate::offset::Offset;

/// What is read of an index of aborted transactions: two million of them.
const MOST_TXN_INDEX_BYTES: u64 = 64 << 20;

impl SegmentFiles {
    /// What `stratalog.segments` says of the index; without a word it is taken as it is.
    pub(crate) fn vouch_for_aborted(&self, crc: Option<u32>) {
        if let Some(crc) = crc {
            self.aborted_crc.get_or_init(|| crc);
        }
    }

    /// Whether the index is as it was sealed, as far as that is known.
    pub(crate) fn aborted_are_as_sealed(&self, index: &[u8]) -> bool {
        (self.aborted_crc.get()).is_none_or(|crc| crc32fast::hash(index) == *crc)
    }

    /// What the log tells, in the place of an index that cannot be believed.
    pub(crate) fn keep_aborted(&self, entries: &[AbortedTransaction]) {
        self.keep(|loaded| loaded.aborted = Some(entries.into()));
    }

    /// Aborted transactions of this segment's `.txnindex` that overlap `range`, and whether the search may end here
    /// (an entry whose last stable offset is at or above `range.end` was met).
    ///
    /// # Errors
    /// `Corrupt` when the file does not fit the segment, or is not as it was sealed: the producers' state and the log tell what was in it.
    pub(crate) fn aborted(&self, range: Range<Offset>) -> Result<(Vec<AbortedTransaction>, bool)> {
        let loaded = match &*self.indexes.read() {
            Indexes::Growing(growing) => {
                return Ok(txn_index::overlapping(growing.aborted(), &range));
            }
            Indexes::OnDisk(loaded) => loaded.aborted.clone(),
        };
        let entries = match loaded {
            Some(entries) => entries,
            None => {
                let entries: Arc<[AbortedTransaction]> = self.read_aborted()?.into();
                self.keep(|loaded| loaded.aborted = Some(Arc::clone(&entries)));
                entries
            }
        };
        Ok(txn_index::overlapping(&entries, &range))
    }

    pub(in crate::segment) fn read_aborted(&self) -> Result<Vec<AbortedTransaction>> {
        let name = FileName::TxnIndex(self.base);
        let bytes = self.home.read_index(name, MOST_TXN_INDEX_BYTES)?;
        let bytes = bytes.unwrap_or_default();
        let is_as_sealed = self.aborted_are_as_sealed(&bytes);
        let entries = txn_index::decode(&bytes, self.base, self.end());
        entries.filter(|_| is_as_sealed).ok_or_else(|| {
            Error::new(
                ErrorKind::Corrupt,
                "the index of aborted transactions does not fit its segment",
            )
            .path_is(self.home.path(name))
        })
    }
}

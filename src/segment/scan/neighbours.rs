//! What stands around a batch: the first 17 bytes of its header are under no checksum, and are held against it.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use std::sync::Arc;

use super::{Footing, OffsetRule, Walker};
use crate::batch::{BatchHeader, HEADER_BYTES, HeaderFault};
use crate::epochs::Epochs;
use crate::error::Result;
use crate::offset::{FilePosition, Offset};

/// What the 17 bytes before the checksum of each batch are held against.
#[derive(Clone, Debug)]
pub(crate) struct Expectations {
    pub(crate) rule: OffsetRule,
    /// What batches that we wrote as leader carry; `None` when nothing vouches for it.
    pub(crate) epochs: Option<Arc<Epochs>>,
}

impl From<OffsetRule> for Expectations {
    fn from(rule: OffsetRule) -> Self {
        Self { rule, epochs: None }
    }
}

impl Walker {
    /// Why the offsets of a header cannot stand here.
    pub(super) fn offset_fault(&self, header: &BatchHeader) -> Option<&'static str> {
        let base = header.base_offset();
        if base < self.expected {
            Some("the base offset is below that of the batch before")
        } else if header.last_offset() > self.highest {
            Some("the last offset is above any of this segment")
        } else if base > self.expected
            && self.rule == OffsetRule::Dense
            && self.footing == Footing::Sure
        {
            Some("the base offset does not follow the batch before")
        } else {
            None
        }
    }

    /// Why the leader epoch of a batch cannot stand here.
    pub(super) fn epoch_fault(&self, header: &BatchHeader) -> Option<&'static str> {
        if self.rule != OffsetRule::Dense {
            return None;
        }
        let stamped = self.epochs.as_ref()?.stamped_at(header.last_offset())?;
        (header.leader_epoch() != Some(stamped))
            .then_some("the leader epoch is not the one of these offsets")
    }

    /// Whether the length leads to the end exactly, or to a header with a higher offset.
    pub(super) fn leads_to_a_batch(&self, header: &BatchHeader) -> Result<bool> {
        let next = self.position.saturating_add(u64::from(header.size_bytes()));
        Ok(next == self.end || self.lead_to(next)?.is_some())
    }

    /// Whether behind a batch at `position` stands what can follow one: the end, a header with a higher offset, an
    /// old entry, an unfinished write, or zeros.
    pub(super) fn may_be_followed(&self, position: u64, header: &BatchHeader) -> Result<bool> {
        let next = position.saturating_add(u64::from(header.size_bytes()));
        if next >= self.end {
            return Ok(next == self.end);
        }
        let mut bytes = [0; HEADER_BYTES];
        let read = self.peek(next, &mut bytes)?;
        let bytes = bytes.get(..read).unwrap_or_default();
        Ok(match BatchHeader::read(bytes) {
            Ok(following) => following.base_offset() > header.last_offset(),
            Err(HeaderFault::OldFormat { last_offset, .. }) => last_offset > header.last_offset(),
            Err(HeaderFault::Short { .. }) => true,
            Err(HeaderFault::Invalid(_)) => bytes.iter().all(|&byte| byte == 0),
        })
    }

    /// Behind a hole: whether the next batch has a lower offset, although it may follow the batch before this one.
    pub(super) fn is_above_the_next(&self, header: &BatchHeader) -> Result<bool> {
        let next = self.position.saturating_add(u64::from(header.size_bytes()));
        if next >= self.end {
            return Ok(false);
        }
        let following = self.peek_header(next)?;
        Ok(following.is_some_and(|following| {
            following.base_offset() <= header.last_offset()
                && following.base_offset() > self.expected
        }))
    }

    /// The place where a damaged header leads, when a header with a higher offset stands there.
    pub(super) fn lead_to(&self, next_at: u64) -> Result<Option<(FilePosition, Offset)>> {
        if next_at >= self.end {
            return Ok(None);
        }
        let base = self
            .peek_header(next_at)?
            .map(|header| header.base_offset());
        let base = base.filter(|&base| base > self.expected && base <= self.highest);
        Ok(FilePosition::from_u64(next_at).zip(base))
    }
}

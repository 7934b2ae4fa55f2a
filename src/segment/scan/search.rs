//! Finding the next batch behind damage: the length in the damaged header, the places that an index names, and every byte
//! between them, in the order in which they cost and mislead least.
//!
//! A place counts only with a right CRC and something behind it that may follow a batch: a value may hold whole batches
//! of somebody else's log, and those must never be taken for ours.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use super::{BadKind, BadSpot, Footing, OffsetRule, Walker};
use crate::batch::header::MAGIC_AT;
use crate::batch::{BatchHeader, HEADER_BYTES};
use crate::error::Result;
use crate::offset::{FilePosition, Offset};

impl Walker {
    /// Moves past a bad spot: to where its header leads, else to the next place with a batch (magic 2, plausible length,
    /// base offset at or above the expected one, right CRC, followed by a header or the end), looking at each byte up to
    /// the next of `index_positions` (ascending) and at that, and so on. At most four times the bytes of the segment go
    /// through a CRC in all searches of a walker; after that only index positions are looked at.
    ///
    /// Returns the offset at which reading goes on; equal to `spot.from` when bytes were lost and no offset. `None` when
    /// the rest of the segment is lost: the walker then stands at the end, and what is appended later is read.
    ///
    /// # Errors
    /// Only what the medium says.
    pub(crate) fn skip(
        &mut self,
        spot: &BadSpot,
        index_positions: &[FilePosition],
    ) -> Result<Option<Offset>> {
        let start = spot.position.to_u64();
        if let Some((lead, offset)) = spot.next {
            if let Some(found) = self.jumped_over(start, lead.to_u64(), offset)? {
                return Ok(self.go_on_at(found));
            }
            if lead.to_u64() >= self.end {
                return Ok(self.give_up());
            }
            if let Some(found) = self.batch_at(lead.to_u64())? {
                return Ok(self.go_on_at(found));
            }
        }
        if spot.kind == BadKind::ZeroTail {
            return Ok(self.give_up());
        }
        let mut from = start.saturating_add(1);
        for position in index_positions {
            let stop = position.to_u64();
            if stop < from || stop >= self.end {
                continue;
            }
            if let Some(found) = self.search(from, stop)? {
                return Ok(self.go_on_at(found));
            }
            if let Some(found) = self.batch_at(stop)? {
                return Ok(self.go_on_at(found));
            }
            from = stop.saturating_add(1);
        }
        match self.search(from, self.end)? {
            Some(found) => Ok(self.go_on_at(found)),
            None => Ok(self.give_up()),
        }
    }

    /// The next batch of a segment without holes, when a damaged length leads beyond it: by chance exactly to a later one, at
    /// `lead`, or to the end. The count of offsets is told by the header and not by its length.
    fn jumped_over(
        &mut self,
        start: u64,
        lead: u64,
        lead_offset: Offset,
    ) -> Result<Option<(u64, Offset)>> {
        if self.rule != OffsetRule::Dense {
            return Ok(None);
        }
        let Ok(header) = self.header_at(start)? else {
            return Ok(None);
        };
        let count = header
            .next_offset()
            .get()
            .saturating_sub(header.base_offset().get());
        let behind = self.expected.saturating_add(count);
        if lead < self.end && lead_offset <= behind {
            return Ok(None);
        }
        let found = self.search(start.saturating_add(1), lead)?;
        Ok(found.filter(|(_, offset)| *offset == behind))
    }

    fn go_on_at(&mut self, (position, offset): (u64, Offset)) -> Option<Offset> {
        self.position = position;
        self.expected = offset;
        self.footing = Footing::Sure;
        Some(offset)
    }

    fn give_up(&mut self) -> Option<Offset> {
        self.position = self.end;
        self.footing = Footing::AtLeast;
        None
    }

    /// The first batch that starts in `from..until`.
    fn search(&mut self, from: u64, until: u64) -> Result<Option<(u64, Offset)>> {
        let mut at = from;
        while at < until && self.search_crc_bytes > 0 {
            let bytes = self.window.all_at(at, HEADER_BYTES, self.end);
            let bytes = bytes.map_err(|error| error.path_is(&self.path))?;
            if bytes.len() < HEADER_BYTES {
                return Ok(None);
            }
            let places = until.saturating_sub(at);
            match next_candidate(bytes, places, self.expected, self.highest) {
                Candidate::At(distance) => {
                    let candidate = at.saturating_add(distance);
                    if let Some(found) = self.batch_found_at(candidate)? {
                        return Ok(Some(found));
                    }
                    at = candidate.saturating_add(1);
                }
                Candidate::NoneBefore(distance) => at = at.saturating_add(distance.max(1)),
            }
        }
        Ok(None)
    }

    /// The batch at `position`, if its offsets may stand behind the damage and its CRC is right.
    fn batch_at(&mut self, position: u64) -> Result<Option<(u64, Offset)>> {
        let Ok(header) = self.header_at(position)? else {
            return Ok(None);
        };
        let size = u64::from(header.size_bytes());
        let is_plausible = header.base_offset() >= self.expected
            && header.last_offset() <= self.highest
            && size <= self.end.saturating_sub(position);
        if !is_plausible || self.is_contradicted(position, &header)? {
            return Ok(None);
        }
        self.search_crc_bytes = self.search_crc_bytes.saturating_sub(size);
        let is_right = self.checksum_is_right(position, &header)?;
        Ok(is_right.then(|| (position, header.base_offset())))
    }

    /// Whether the next header says that the offsets of this one, which no checksum covers, are damaged: without holes it goes on where this
    /// one ends.
    fn is_contradicted(&self, position: u64, header: &BatchHeader) -> Result<bool> {
        let next = position.saturating_add(u64::from(header.size_bytes()));
        if self.rule != OffsetRule::Dense || next >= self.end {
            return Ok(false);
        }
        let following = self.peek_header(next)?;
        Ok(following.is_some_and(|following| following.base_offset() != header.next_offset()))
    }

    /// As `batch_at`, of a place that nothing but its own bytes speaks for: something that may follow it must stand behind.
    fn batch_found_at(&mut self, position: u64) -> Result<Option<(u64, Offset)>> {
        let Ok(header) = self.header_at(position)? else {
            return Ok(None);
        };
        if !self.may_be_followed(position, &header)? {
            return Ok(None);
        }
        self.batch_at(position)
    }
}

/// What a look through bytes found.
enum Candidate {
    /// A header that may be one, this many bytes further on.
    At(u64),
    /// None among so many bytes.
    NoneBefore(u64),
}

/// Looks for magic 2 and an offset in range; `bytes` hold at least one header, of `places` places at most are looked at.
fn next_candidate(bytes: &[u8], places: u64, lowest: Offset, highest: Offset) -> Candidate {
    let places = usize::try_from(places).unwrap_or(usize::MAX);
    let whole = bytes.len().saturating_sub(HEADER_BYTES).saturating_add(1);
    let places = places.min(whole);
    let magics = bytes.get(MAGIC_AT..).unwrap_or_default();
    for (place, &magic) in magics.iter().enumerate().take(places) {
        if magic != 2 {
            continue;
        }
        let header = bytes.get(place..).map(BatchHeader::read);
        if let Some(Ok(header)) = header
            && header.base_offset() >= lowest
            && header.last_offset() <= highest
        {
            return Candidate::At(place as u64);
        }
    }
    Candidate::NoneBefore(places as u64)
}

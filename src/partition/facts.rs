//! The side files: `stratalog.facts` (two 512-byte slots of bounds that stay true when stale) and `stratalog.segments`
//! (32 bytes per sealed segment).
//!
//! Kafka's format says nowhere up to where the log was durable, so a torn tail and rot look alike in it; these two files
//! tell them apart, and make a missing first or last segment visible. They are never evidence against the log: without
//! them only checks are lost. This module must never know what is done with the values.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use std::sync::Arc;

use crate::error::{ErrorKind, Result};
use crate::offset::Offset;
use crate::segment::{FileName, SealedFacts, SegmentHome};
use crate::storage::{Access, BootId, StorageFile, read_small_file, replace_file};
use crate::timestamp::Timestamp;

/// One slot is one sector, which a power cut leaves old or new and never mixed.
const SLOT_BYTES: usize = 512;
const FILE_BYTES: usize = 2 * SLOT_BYTES;

const MAGIC: [u8; 4] = *b"SLF1";
const VERSION: u32 = 1;

const MAGIC_AT: usize = 0;
const VERSION_AT: usize = MAGIC_AT + 4;
const SEQUENCE_AT: usize = VERSION_AT + 4;
const LOG_START_AT: usize = SEQUENCE_AT + 8;
const RECOVERY_POINT_AT: usize = LOG_START_AT + 8;
const DURABLE_END_AT: usize = RECOVERY_POINT_AT + 8;
const GENERATION_AT: usize = DURABLE_END_AT + 8;
const BOOT_ID_AT: usize = GENERATION_AT + 8;
const INCARNATION_AT: usize = BOOT_ID_AT + 16;
const DENSE_FROM_AT: usize = INCARNATION_AT + 16;
const EPOCHS_AT: usize = DENSE_FROM_AT + 8;
const CRC_AT: usize = SLOT_BYTES - 4;

const _: () = assert!(EPOCHS_AT + 8 == 96 && CRC_AT == 508);

/// In the format: offsets may have holes anywhere.
const NOT_DENSE: u64 = u64::MAX;

/// In the format: the checksum of the leader epochs is known. Without this bit it is not.
const EPOCHS_KNOWN: u64 = 1 << 32;

const ENTRY_BYTES: usize = 32;
const ENTRY_CRC_AT: usize = ENTRY_BYTES - 4;

/// What is read of a list of segments: two million of them.
const MOST_LIST_BYTES: u64 = 64 << 20;

/// Sixteen random bytes that name one history of a log directory: drawn when it is created or adopted, never at a mere open.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Incarnation(pub(crate) [u8; 16]);

impl Incarnation {
    /// Reads the form that `Display` writes, a UUID's; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits: String = text.split('-').collect();
        let dashes = text
            .char_indices()
            .filter(|(_, c)| *c == '-')
            .map(|(at, _)| at);
        if !dashes.eq([8, 13, 18, 23]) || digits.len() != 32 || digits.contains('+') {
            return None;
        }
        u128::from_str_radix(&digits, 16)
            .ok()
            .map(|bits| Self(bits.to_be_bytes()))
    }
}

impl std::fmt::Display for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The values of a slot. Each is a bound that stays true when stale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Facts {
    /// The log starts here or above.
    pub(crate) log_start: Offset,
    /// Everything below was synced, indexes included: recovery starts here.
    pub(crate) recovery_point: Offset,
    /// Everything below was synced.
    pub(crate) durable_end: Offset,
    /// Raised by each truncation.
    pub(crate) generation: u64,
    /// From here on every batch was written as leader, without holes; `None` = nothing is known (lowered to `None`,
    /// synced, before the first follower append).
    pub(crate) dense_from: Option<Offset>,
    /// Of the leader epochs that were last written. A history with another checksum, or without one, is no evidence against a batch.
    pub(crate) epochs: Option<u32>,
    /// The boot in which the slot was written; all zeros where the system does not tell.
    pub(crate) boot_id: BootId,
    pub(crate) incarnation: Incarnation,
}

/// What reading the facts file found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FactsFound {
    Good(Facts),
    Absent,
    /// Both slots are bad: the same as absent, but reported.
    Damaged,
}

/// What reading the list of segments found: the good entries in the order of the file, and how many are bad.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SegmentList {
    pub(crate) entries: Vec<SealedFacts>,
    pub(crate) bad_count: usize,
}

/// What became of values whose older ones stay true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Noted {
    Written,
    /// There was no room: the file has older values, and the next write brings these.
    Later,
}

/// Whether the slot that was written last is on the medium. While it is not, it is the one to be written again: the other slot is the last
/// that a power cut leaves for sure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Newest {
    Synced,
    Unsynced,
    /// Another process wrote it.
    Unknown,
}

/// Both side files, open for writing.
#[derive(Debug)]
pub(crate) struct SideFiles {
    home: SegmentHome,
    /// Open while the partition is at work; an idle one costs no descriptor.
    file: Option<Arc<dyn StorageFile>>,
    /// Of the slot that was written last.
    sequence: u64,
    newest: Newest,
    facts: Facts,
    /// Whether the file has these facts or older ones.
    noted: Noted,
    list: ListFile,
}

/// `stratalog.segments`: opened at the first entry, let go once it is synced. Most partitions roll rarely.
#[derive(Debug, Default)]
struct ListFile {
    unsynced: Option<Arc<dyn StorageFile>>,
    len_bytes: u64,
}

/// Reads `stratalog.facts`. Never writes.
pub(crate) fn read_facts(home: &SegmentHome) -> Result<FactsFound> {
    Ok(match read_slots(home)? {
        Slots::Absent => FactsFound::Absent,
        Slots::Bad => FactsFound::Damaged,
        Slots::Good { facts, .. } => FactsFound::Good(facts),
    })
}

/// Reads `stratalog.segments`. Never writes; a missing or bad entry costs only its check.
pub(crate) fn read_segment_list(home: &SegmentHome) -> Result<SegmentList> {
    let path = home.path(FileName::SegmentList);
    let bytes = match read_small_file(&*home.storage, &path, MOST_LIST_BYTES) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            return Ok(SegmentList {
                entries: Vec::new(),
                bad_count: 1,
            });
        }
        Err(error) => return Err(error),
    };
    let mut list = SegmentList::default();
    for entry in bytes.chunks(ENTRY_BYTES) {
        match decode_entry(entry) {
            Some(entry) => list.entries.push(entry),
            None => list.bad_count = list.bad_count.saturating_add(1),
        }
    }
    Ok(list)
}

impl SideFiles {
    /// Makes both files in a new partition. Their content is durable on return; their names are once the caller has
    /// synced the directory.
    pub(crate) fn create(home: &SegmentHome, facts: Facts) -> Result<Self> {
        let file = home.storage.create(&home.path(FileName::Facts))?;
        file.write_at(&encode_both(&facts), 0)?;
        file.sync_all()?;
        home.storage
            .create(&home.path(FileName::SegmentList))?
            .sync_all()?;
        Ok(Self {
            home: home.clone(),
            file: Some(file),
            sequence: FIRST_SEQUENCE,
            newest: Newest::Synced,
            facts,
            noted: Noted::Written,
            list: ListFile::default(),
        })
    }

    /// Opens both files as they are. `otherwise` are the values when the facts are absent or damaged; they are then
    /// written at full size, durable on return, or with the next change when there is no room. `list_bytes` is the length of
    /// `stratalog.segments`.
    pub(crate) fn open(home: &SegmentHome, otherwise: Facts, list_bytes: u64) -> Result<Self> {
        let open = |facts, sequence, newest, noted| Self {
            home: home.clone(),
            file: None,
            sequence,
            newest,
            facts,
            noted,
            list: ListFile {
                unsynced: None,
                // A part of an entry that a crash left is overwritten.
                len_bytes: whole_entries(list_bytes),
            },
        };
        let noted = match read_slots(home)? {
            Slots::Good { facts, sequence } => {
                return Ok(open(facts, sequence, Newest::Unknown, Noted::Written));
            }
            Slots::Absent | Slots::Bad => match replace_facts(home, &otherwise) {
                Err(error) if error.kind() == ErrorKind::Full => Noted::Later,
                replaced => replaced.map(|()| Noted::Written)?,
            },
        };
        Ok(open(otherwise, FIRST_SEQUENCE, Newest::Synced, noted))
    }

    /// The values that hold; the file has them, or older ones.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether the file has the values that hold.
    pub(crate) fn noted(&self) -> Noted {
        self.noted
    }

    /// Writes a new slot (plain `pwrite`, not synced). After an error the values are as before.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Facts)) -> Result<()> {
        let mut facts = self.facts;
        change(&mut facts);
        match self.file() {
            Ok(file) => {
                let ahead = match self.newest {
                    Newest::Synced => OTHER_SLOT,
                    Newest::Unsynced => SAME_SLOT,
                    Newest::Unknown => {
                        file.sync_data()?;
                        OTHER_SLOT
                    }
                };
                let sequence = self.sequence.saturating_add(ahead);
                file.write_at(&encode_slot(&facts, sequence), slot_position(sequence))?;
                // Only now: the next try after a failure goes to the same slot, and the other one stays whole.
                (self.sequence, self.newest) = (sequence, Newest::Unsynced);
            }
            // There was no room for it when the partition was opened.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                replace_facts(&self.home, &facts)?;
                self.newest = Newest::Synced;
            }
            Err(error) => return Err(error),
        }
        self.facts = facts;
        self.noted = Noted::Written;
        Ok(())
    }

    /// Writes a new slot and syncs it before it returns: for the changes that must come before their act. Entries of
    /// sealed segments that were appended meanwhile are synced too.
    ///
    /// # Errors
    /// After an error of the sync it is in doubt which values the medium has; after any other the values are as before.
    pub(crate) fn update_synced(&mut self, change: impl FnOnce(&mut Facts)) -> Result<()> {
        self.update(change)?;
        if let Some(list) = self.list.unsynced.take() {
            list.sync_data()?;
        }
        self.file()?.sync_data()?;
        self.newest = Newest::Synced;
        Ok(())
    }

    /// As `update`, for a change whose older values stay true: it holds at once, and reaches the file later when there is no room.
    pub(crate) fn note(&mut self, change: impl FnOnce(&mut Facts)) -> Result<Noted> {
        change(&mut self.facts);
        later_without_room(self.update(|_| {}), &mut self.noted)
    }

    /// As `note`, and synced before it returns, unless it is noted later.
    pub(crate) fn note_synced(&mut self, change: impl FnOnce(&mut Facts)) -> Result<Noted> {
        change(&mut self.facts);
        later_without_room(self.update_synced(|_| {}), &mut self.noted)
    }

    fn file(&mut self) -> Result<Arc<dyn StorageFile>> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let file = self
            .home
            .storage
            .open(&self.home.path(FileName::Facts), Access::Write)?;
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Closes the facts until the next change. A write-back error that is lost with the descriptor leaves values that are older, and true.
    pub(crate) fn rest(&mut self) {
        self.file = None;
    }

    /// Appends the entry of a sealed segment to `stratalog.segments` (plain `pwrite`); the next `update_synced` syncs it too.
    pub(crate) fn append_sealed(&mut self, sealed: &SealedFacts) -> Result<()> {
        let file = match &self.list.unsynced {
            Some(file) => Arc::clone(file),
            None => self.open_list()?,
        };
        file.write_at(&encode_entry(sealed), self.list.len_bytes)?;
        self.list.len_bytes = self.list.len_bytes.saturating_add(ENTRY_BYTES as u64);
        self.list.unsynced = Some(file);
        Ok(())
    }

    fn open_list(&mut self) -> Result<Arc<dyn StorageFile>> {
        let path = self.home.path(FileName::SegmentList);
        match self.home.storage.open(&path, Access::Write) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.list.len_bytes = 0;
                self.home.storage.create(&path)
            }
            other => other,
        }
    }

    /// Rewrites `stratalog.segments` with the entries that `keep` wants; durable on return. Nothing is written when all stay.
    pub(crate) fn retain_sealed(&mut self, keep: impl Fn(&SealedFacts) -> bool) -> Result<()> {
        let list = read_segment_list(&self.home)?;
        let kept: Vec<SealedFacts> = list.entries.iter().filter(|e| keep(e)).copied().collect();
        if kept.len() == list.entries.len() && list.bad_count == 0 {
            return Ok(());
        }
        self.replace_sealed(&kept)
    }

    /// Rewrites `stratalog.segments`; durable on return.
    pub(crate) fn replace_sealed(&mut self, entries: &[SealedFacts]) -> Result<()> {
        let bytes: Vec<u8> = entries.iter().flat_map(encode_entry).collect();
        let path = self.home.path(FileName::SegmentList);
        // Dropped first: it names the old file once the new one has its name.
        self.list.unsynced = None;
        replace_file(&*self.home.storage, &path, &bytes)?;
        self.list.len_bytes = bytes.len() as u64;
        Ok(())
    }
}

fn later_without_room(updated: Result<()>, noted: &mut Noted) -> Result<Noted> {
    match updated {
        Err(error) if error.kind() == ErrorKind::Full => *noted = Noted::Later,
        updated => updated?,
    }
    Ok(*noted)
}

fn replace_facts(home: &SegmentHome, facts: &Facts) -> Result<()> {
    replace_file(
        &*home.storage,
        &home.path(FileName::Facts),
        &encode_both(facts),
    )
}

/// Slots as they stand in the file.
enum Slots {
    Absent,
    Bad,
    Good { facts: Facts, sequence: u64 },
}

fn read_slots(home: &SegmentHome) -> Result<Slots> {
    let path = home.path(FileName::Facts);
    let bytes = match read_small_file(&*home.storage, &path, FILE_BYTES as u64) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Slots::Absent),
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(Slots::Bad),
        Err(error) => return Err(error),
    };
    let good = bytes.chunks(SLOT_BYTES).filter_map(decode_slot);
    Ok(match good.max_by_key(|(_, sequence)| *sequence) {
        Some((facts, sequence)) => Slots::Good { facts, sequence },
        None => Slots::Bad,
    })
}

/// Of the second slot of a new file.
const FIRST_SEQUENCE: u64 = 1;

/// How far the sequence goes on: its last bit names the slot.
const OTHER_SLOT: u64 = 1;
const SAME_SLOT: u64 = 2;

/// The bytes of whole entries in a list of this length.
const fn whole_entries(list_bytes: u64) -> u64 {
    const BYTES: u64 = ENTRY_BYTES as u64;
    list_bytes.wrapping_div(BYTES).saturating_mul(BYTES)
}

fn slot_position(sequence: u64) -> u64 {
    if sequence.is_multiple_of(2) {
        0
    } else {
        SLOT_BYTES as u64
    }
}

fn encode_both(facts: &Facts) -> Vec<u8> {
    let mut bytes = encode_slot(facts, FIRST_SEQUENCE.saturating_sub(1)).to_vec();
    bytes.extend_from_slice(&encode_slot(facts, FIRST_SEQUENCE));
    bytes
}

fn encode_slot(facts: &Facts, sequence: u64) -> [u8; SLOT_BYTES] {
    let dense_from = facts.dense_from.map_or(NOT_DENSE, Offset::get);
    let mut slot = [0; SLOT_BYTES];
    put(&mut slot, MAGIC_AT, &MAGIC);
    put(&mut slot, VERSION_AT, &VERSION.to_le_bytes());
    put(&mut slot, SEQUENCE_AT, &sequence.to_le_bytes());
    put(
        &mut slot,
        LOG_START_AT,
        &facts.log_start.get().to_le_bytes(),
    );
    put(
        &mut slot,
        RECOVERY_POINT_AT,
        &facts.recovery_point.get().to_le_bytes(),
    );
    put(
        &mut slot,
        DURABLE_END_AT,
        &facts.durable_end.get().to_le_bytes(),
    );
    put(&mut slot, GENERATION_AT, &facts.generation.to_le_bytes());
    put(&mut slot, BOOT_ID_AT, &facts.boot_id.0);
    put(&mut slot, INCARNATION_AT, &facts.incarnation.0);
    put(&mut slot, DENSE_FROM_AT, &dense_from.to_le_bytes());
    let epochs = facts.epochs.map_or(0, |sum| EPOCHS_KNOWN | u64::from(sum));
    put(&mut slot, EPOCHS_AT, &epochs.to_le_bytes());
    let crc = crc32fast::hash(slot.get(..CRC_AT).unwrap_or_default());
    put(&mut slot, CRC_AT, &crc.to_le_bytes());
    slot
}

fn decode_slot(slot: &[u8]) -> Option<(Facts, u64)> {
    if slot.len() != SLOT_BYTES
        || get::<4>(slot, MAGIC_AT)? != MAGIC
        || u32::from_le_bytes(get(slot, VERSION_AT)?) != VERSION
        || u32::from_le_bytes(get(slot, CRC_AT)?) != crc32fast::hash(slot.get(..CRC_AT)?)
    {
        return None;
    }
    let number = |at| Some(u64::from_le_bytes(get(slot, at)?));
    let offset = |at| Offset::new(number(at)?).ok();
    let dense_from = match number(DENSE_FROM_AT)? {
        NOT_DENSE => None,
        from => Some(Offset::new(from).ok()?),
    };
    let epochs = number(EPOCHS_AT)? ^ EPOCHS_KNOWN;
    let facts = Facts {
        log_start: offset(LOG_START_AT)?,
        recovery_point: offset(RECOVERY_POINT_AT)?,
        durable_end: offset(DURABLE_END_AT)?,
        generation: number(GENERATION_AT)?,
        dense_from,
        epochs: u32::try_from(epochs).ok(),
        boot_id: BootId(get(slot, BOOT_ID_AT)?),
        incarnation: Incarnation(get(slot, INCARNATION_AT)?),
    };
    Some((facts, number(SEQUENCE_AT)?))
}

/// An entry: base u64, from there to the end u32, CRC-32 of the index of aborted transactions u32 (0: there is none), sealed-at i64, prefix
/// CRC u32 (0: not known), CRC-32 of what stands before it.
fn encode_entry(sealed: &SealedFacts) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    put(&mut entry, 0, &sealed.base.get().to_le_bytes());
    // A segment spans less than 2^31 offsets.
    let span = u32::try_from(sealed.end.distance_from(sealed.base)).unwrap_or(u32::MAX);
    put(&mut entry, 8, &span.to_le_bytes());
    let aborted_crc = sealed.aborted_crc.unwrap_or(0);
    put(&mut entry, 12, &aborted_crc.to_le_bytes());
    put(&mut entry, 16, &sealed.sealed_at.as_millis().to_le_bytes());
    put(
        &mut entry,
        24,
        &sealed.prefix_crc.unwrap_or(0).to_le_bytes(),
    );
    let crc = crc32fast::hash(entry.get(..ENTRY_CRC_AT).unwrap_or_default());
    put(&mut entry, ENTRY_CRC_AT, &crc.to_le_bytes());
    entry
}

fn decode_entry(entry: &[u8]) -> Option<SealedFacts> {
    if entry.len() != ENTRY_BYTES
        || u32::from_le_bytes(get(entry, ENTRY_CRC_AT)?)
            != crc32fast::hash(entry.get(..ENTRY_CRC_AT)?)
    {
        return None;
    }
    let base = Offset::new(u64::from_le_bytes(get(entry, 0)?)).ok()?;
    let span = u32::from_le_bytes(get(entry, 8)?);
    let end = Offset::new(base.get().checked_add(u64::from(span))?).ok()?;
    let known = |crc: u32| (crc != 0).then_some(crc);
    Some(SealedFacts {
        base,
        end,
        sealed_at: Timestamp::from_millis(i64::from_le_bytes(get(entry, 16)?)),
        prefix_crc: known(u32::from_le_bytes(get(entry, 24)?)),
        aborted_crc: known(u32::from_le_bytes(get(entry, 12)?)),
    })
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    let place = bytes
        .get_mut(at..)
        .and_then(|rest| rest.get_mut(..value.len()));
    place
        .expect("the constants lie within the record")
        .copy_from_slice(value);
}

fn get<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests;

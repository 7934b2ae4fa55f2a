//! The side files: `stratalog.facts` (two 512-byte slots of bounds that stay true when stale) and `stratalog.segments`
//! (32 bytes per sealed segment).
use crate::error::Result;
use crate::offset::Offset;
use crate::segment::SegmentHome;
use crate::storage::BootId;

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
    pub(crate) log_start: Offset,
    pub(crate) recovery_point: Offset,
    pub(crate) durable_end: Offset,
    pub(crate) generation: u64,
    /// From here on every batch was written as leader, without holes; `None` = nothing is known (lowered to `None`, synced, before the first follower append).
    pub(crate) dense_from: Option<Offset>,
    pub(crate) boot_id: BootId,
    pub(crate) incarnation: Incarnation,
}
/// Both side files, open for writing.
#[derive(Debug)]
pub(crate) struct SideFiles {}
impl SideFiles {
    /// The values as last written.
    pub(crate) fn facts(&self) -> &Facts {
        todo!()
    }
    /// Writes a new slot (plain `pwrite`, not synced).
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Facts)) -> Result<()> {
        let _ = change;
        todo!()
    }
    /// Writes a new slot and syncs it before it returns: for the changes that must come before their act.
    pub(crate) fn update_synced(&mut self, change: impl FnOnce(&mut Facts)) -> Result<()> {
        let _ = change;
        todo!()
    }
}
impl SideFiles {
    /// Appends the entry of a sealed segment to `stratalog.segments` (plain `pwrite`); the next `update_synced` syncs it too.
    pub(crate) fn append_sealed(&mut self, sealed: &crate::segment::SealedFacts) -> Result<()> {
        let _ = sealed;
        todo!()
    }
}
/// What reading the facts file found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FactsFound {
    Good(Facts),
    Absent,
    Damaged,
}
pub(crate) fn read_facts(home: &SegmentHome) -> Result<FactsFound> {
    let _ = home;
    todo!()
}

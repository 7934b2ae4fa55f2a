//! What every store is asked to do, and what it says about itself.

use std::path::Path;

use anyhow::Result;

/// How a store is opened for a piece of work.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// A directory that is empty before.
    pub dir: &'a Path,
    pub durability: Durability,
}

/// What holds when an append has returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// It survives the death of the process: the bytes are with the operating system.
    Process,
    /// It survives a power cut: it was synced.
    Power,
}

/// A log, or what is used as one. Records are numbered from 0 in the order of appends.
///
/// Every call leaves the records where the setup's durability says. A store that cannot is not opened for it.
pub trait Store: Send + Sync {
    /// Appends one record.
    fn append(&self, record: &[u8]) -> Result<()>;

    /// Appends records in one call, all or nothing where the store can.
    fn append_batch(&self, records: &[&[u8]]) -> Result<()>;

    /// Brings what was appended to where a reader usually finds it (out of memory tables into files).
    fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// Reads all records from the first on and hands each to `each`.
    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<()>;

    /// Reads one record by its number.
    fn get(&self, number: u64, take: &mut dyn FnMut(&[u8])) -> Result<()>;
}

/// What a store can be measured in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Abilities {
    pub process: bool,
    pub power: bool,
    pub scan: bool,
    pub get: bool,
}

/// A store beside which the log is measured.
#[derive(Clone, Copy)]
pub struct Peer {
    pub name: &'static str,
    /// The raw floor is no store: it is shown apart and is never the best peer.
    pub kind: Kind,
    pub abilities: Abilities,
    /// What it promises in these settings, in a few words.
    pub promises: &'static str,
    pub open: fn(Setup<'_>) -> Result<Box<dyn Store>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Ours,
    Peer,
    Floor,
}

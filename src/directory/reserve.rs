//! A little room kept for bad days: freed on a full disk, so that facts, checkpoints and trims can still be written.

use std::path::Path;

use crate::error::{ErrorKind, Result};
use crate::limits::RESERVE_BYTES;
use crate::storage::Storage;

pub(super) const FILE: &str = "stratalog.reserve";

/// The file that holds the room.
#[derive(Debug)]
pub(crate) struct Reserve;

impl Reserve {
    /// Takes the room if it is not held. A disk that is full already has none to give: no error.
    pub(crate) fn fill(storage: &dyn Storage, dir: &Path) -> Result<()> {
        let file = match storage.create(&dir.join(FILE)) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Full) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match file.prepare(0..RESERVE_BYTES) {
            Err(error) if error.kind() == ErrorKind::Full => Self::free(storage, dir),
            done => done,
        }
    }

    /// Gives the room back to the disk.
    pub(crate) fn free(storage: &dyn Storage, dir: &Path) -> Result<()> {
        match storage.remove(&dir.join(FILE)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;

    #[test]
    fn the_reserve_holds_room_and_gives_it_back() {
        let storage = Memory::with_capacity_bytes(100 << 10);
        let dir = Path::new("/log");
        storage.create_dir(dir).unwrap();
        let free = || storage.space(dir).unwrap().free_bytes;
        let before = free();
        Reserve::fill(&storage, dir).unwrap();
        Reserve::fill(&storage, dir).expect("held already");
        assert!(before - free() >= RESERVE_BYTES);
        Reserve::free(&storage, dir).unwrap();
        Reserve::free(&storage, dir).expect("free already");
        assert_eq!(free(), before);
    }

    #[test]
    fn a_full_disk_gives_no_reserve_and_no_error() {
        let storage = Memory::with_capacity_bytes(10 << 10);
        let dir = Path::new("/log");
        storage.create_dir(dir).unwrap();
        Reserve::fill(&storage, dir).unwrap();
        assert_eq!(storage.list(dir).unwrap(), []);
    }
}

//! A little room kept for bad days: freed on a full disk, so that facts, checkpoints and trims can still be written.

use std::path::Path;

use crate::error::{ErrorKind, Result};
use crate::limits::RESERVE_BYTES;
use crate::storage::{Access, Storage, replace_file, replace_file_with_spare};

pub(super) const FILE: &str = "stratalog.reserve";

/// The file that holds the room.
#[derive(Debug)]
pub(crate) struct Reserve;

impl Reserve {
    /// Takes the room, or the part of it that is missing since a crash or a full disk. A disk that is full has none to give: no error.
    pub(crate) fn fill(storage: &dyn Storage, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let file = match storage.create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                storage.open(&path, Access::Write)
            }
            created => created,
        };
        let filled = file.and_then(|file| {
            let held_bytes = file.len()?;
            if held_bytes < RESERVE_BYTES {
                file.prepare(held_bytes..RESERVE_BYTES)?;
            }
            Ok(())
        });
        match filled {
            Err(error) if error.kind() == ErrorKind::Full => Self::free(storage, dir),
            done => done,
        }
    }

    /// Replaces a small file, on a full disk with what the reserve holds: first its file and blocks as they are, because a new file can need
    /// more than the reserve gives back (xfs makes inodes by the dozen); then, where blocks are never written in place, its room.
    pub(crate) fn replace_file(
        storage: &dyn Storage,
        dir: &Path,
        path: &Path,
        content: &[u8],
    ) -> Result<()> {
        let is_full = |done: &Result<()>| {
            let error = done.as_ref().err();
            error.is_some_and(|error| error.kind() == ErrorKind::Full)
        };
        let done = replace_file(storage, path, content);
        if !is_full(&done) {
            return done;
        }
        let spent = replace_file_with_spare(storage, path, content, &dir.join(FILE));
        match spent {
            Err(error) if error.kind() == ErrorKind::NotFound => return done,
            spent if !is_full(&spent) => return spent,
            _ => Self::free(storage, dir)?,
        }
        replace_file(storage, path, content)
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
    fn on_a_full_disk_a_small_file_takes_the_blocks_of_the_reserve_once() {
        let storage = Memory::with_capacity_bytes(100 << 10);
        let dir = Path::new("/log");
        storage.create_dir(dir).unwrap();
        Reserve::fill(&storage, dir).unwrap();
        let ballast = storage.create(&dir.join("ballast")).unwrap();
        let fill = || {
            let free_bytes = storage.space(dir).unwrap().free_bytes;
            let end = ballast.len().unwrap();
            let bytes = vec![1; usize::try_from(free_bytes).unwrap()];
            ballast.write_at(&bytes, end).unwrap();
        };
        let work = |len: usize| {
            let content = vec![2; len];
            Reserve::replace_file(&storage, dir, &dir.join("small"), &content)
        };
        fill();
        work(1_000).expect("the reserve has room");
        fill();
        assert_eq!(work(2_000).unwrap_err().kind(), ErrorKind::Full);
    }

    #[test]
    fn a_reserve_that_a_crash_left_empty_is_filled_again() {
        let storage = Memory::new();
        let dir = Path::new("/log");
        storage.create_dir(dir).unwrap();
        for held_bytes in [0, 1, RESERVE_BYTES - 1, RESERVE_BYTES] {
            let file = storage.create(&dir.join(FILE)).unwrap();
            file.set_len(held_bytes).unwrap();
            Reserve::fill(&storage, dir).unwrap();
            assert_eq!(file.len().unwrap(), RESERVE_BYTES);
            Reserve::free(&storage, dir).unwrap();
        }
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

//! The `.lock` file: one writer per log directory, a Kafka broker included.

use std::path::Path;

use crate::error::{ErrorKind, Result};
use crate::storage::{Storage, StorageLock};

/// The same file that a broker locks.
pub(super) const FILE: &str = ".lock";

/// Held for as long as the log is open. The file stays: removing it would let two writers in.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _held: Box<dyn StorageLock>,
}

impl DirectoryLock {
    pub(crate) fn take(storage: &dyn Storage, dir: &Path) -> Result<Self> {
        match storage.lock(&dir.join(FILE)) {
            Ok(held) => Ok(Self { _held: held }),
            Err(error) if error.kind() == ErrorKind::Locked => {
                Err(error.remedy("close the other writer (another process or a Kafka broker), or read beside it with Log::view"))
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;

    #[test]
    fn a_second_holder_is_refused_by_path_until_the_first_lets_go() {
        let storage = Memory::new();
        let dir = Path::new("/log");
        storage.create_dir(dir).unwrap();
        let held = DirectoryLock::take(&storage, dir).unwrap();
        let error = DirectoryLock::take(&storage, dir).expect_err("held");
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert!(error.to_string().contains("/log/.lock"), "{error}");
        assert!(error.to_string().contains("Log::view"), "{error}");
        drop(held);
        DirectoryLock::take(&storage, dir).expect("free");
    }
}

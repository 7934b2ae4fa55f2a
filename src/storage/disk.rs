//! The disk of this machine: the only module that touches files of the system.
//!
//! Everything is opened without following a link and without blocking, and then must be a regular
//! file (or a directory, where one is asked for): a FIFO or a device in place of a file hangs or
//! floods whoever opens it naively. This module must never know what is in the files.

#![allow(
    clippy::disallowed_methods,
    reason = "this is the one module that touches files of the system"
)]

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// The disk of this machine.
///
/// On systems other than Unix it compiles, and every call answers `Unsupported`.
#[derive(Clone, Debug, Default)]
pub struct Disk {}

impl Disk {
    /// The disk of this machine; nothing is opened yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The directory that `path` means: absolute, links followed. For a path that a user gave; beneath it no link is followed.
    pub(crate) fn resolve(path: &Path) -> Result<PathBuf> {
        std::fs::canonicalize(path).map_err(|error| Error::io("find the directory", path, error))
    }
}

impl super::private::Sealed for Disk {}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::fs::File;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::FileExt;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat};
    use rustix::io::Errno;

    use super::super::system;
    use super::super::{
        Access, BootId, Entry, EntryKind, Space, Storage, StorageFile, StorageLock,
        first_prepared_byte, private,
    };
    use super::{Disk, Error, ErrorKind, Path, Result};

    /// Beneath every open: no link is followed, nothing blocks, no child process inherits it.
    const SAFELY: OFlags = OFlags::NOFOLLOW
        .union(OFlags::NONBLOCK)
        .union(OFlags::CLOEXEC);

    /// Source of the zeros that `prepare` writes. Larger writes gain nothing, and smaller ones than
    /// 64 KiB leave the file in more pieces.
    static ZEROS: [u8; 256 * 1024] = [0; 256 * 1024];

    impl Storage for Disk {
        fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn StorageFile>> {
            let access = match access {
                Access::Read => OFlags::RDONLY,
                Access::Write => OFlags::RDWR,
            };
            let file = open_regular(path, access)?;
            Ok(Arc::new(DiskFile {
                file,
                path: path.into(),
            }))
        }

        fn create(&self, path: &Path) -> Result<Arc<dyn StorageFile>> {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | SAFELY;
            let file = again(|| rustix::fs::open(path, flags, mode_of_new_files()))
                .map_err(|errno| Error::io("create the file", path, errno.into()))?;
            Ok(Arc::new(DiskFile {
                file: file.into(),
                path: path.into(),
            }))
        }

        fn create_dir(&self, path: &Path) -> Result<()> {
            std::fs::create_dir(path).map_err(|e| Error::io("create the directory", path, e))
        }

        fn list(&self, path: &Path) -> Result<Vec<Entry>> {
            let directory = open_directory(path)?;
            let failed = |errno: Errno| Error::io("list the directory", path, errno.into());
            let mut entries = Vec::new();
            for entry in Dir::read_from(&directory).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => entries.push(entry_of(name.to_bytes(), &stat)),
                    // It went while the directory was read.
                    Err(Errno::NOENT) => {}
                    Err(errno) => {
                        let path = path.join(OsStr::from_bytes(name.to_bytes()));
                        return Err(Error::io("look at the entry", path, errno.into()));
                    }
                }
            }
            Ok(entries)
        }

        fn rename(&self, from: &Path, to: &Path) -> Result<()> {
            std::fs::rename(from, to).map_err(|error| {
                Error::io(&format!("rename the file to {}", to.display()), from, error)
            })
        }

        fn remove(&self, path: &Path) -> Result<()> {
            std::fs::remove_file(path).map_err(|error| Error::io("remove the file", path, error))
        }

        fn remove_dir(&self, path: &Path) -> Result<()> {
            std::fs::remove_dir(path)
                .map_err(|error| Error::io("remove the directory", path, error))
        }

        fn sync_dir(&self, path: &Path) -> Result<()> {
            let directory = open_directory(path)?;
            again(|| rustix::fs::fsync(&directory))
                .map_err(|errno| Error::failed_sync("sync the directory", path, errno.into()))
        }

        fn lock(&self, path: &Path) -> Result<Box<dyn StorageLock>> {
            let file = open_regular(path, OFlags::RDWR | OFlags::CREATE)?;
            take_locks(file, path)
        }

        fn is_locked(&self, path: &Path) -> Result<bool> {
            let file = match open_regular(path, OFlags::RDONLY) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            };
            system::is_locked(&file).map_err(|e| Error::io("ask for the lock on the file", path, e))
        }

        fn space(&self, path: &Path) -> Result<Space> {
            let failed = |errno: Errno| Error::io("ask for the free space", path, errno.into());
            let room = again(|| rustix::fs::statvfs(path)).map_err(failed)?;
            // A medium without a size of its own (tmpfs without a limit) tells of no blocks at all.
            let free_bytes = match room.f_blocks {
                0 => u64::MAX,
                _ => room.f_bavail.saturating_mul(room.f_frsize),
            };
            let filesystem = system::filesystem(path).map_err(failed)?;
            Ok(Space {
                free_bytes,
                filesystem,
            })
        }

        fn boot_id(&self) -> Result<BootId> {
            system::boot_id()
        }
    }

    /// Takes both locks on `file`, which was opened as `path`, and keeps them if `path` is still that file:
    /// a broker removes its `.lock` on exit, and a lock on a file without a name excludes nobody.
    pub(super) fn take_locks(file: File, path: &Path) -> Result<Box<dyn StorageLock>> {
        let refused = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock => locked(path, "somebody else holds the lock"),
            _ => Error::io("lock the file", path, error),
        };
        again(|| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive))
            .map_err(|errno| refused(errno.into()))?;
        let lock = DiskLock { file };
        system::lock_records(&lock.file).map_err(refused)?;

        let looked_up = |errno: Errno| Error::io("look at the lock file", path, errno.into());
        let held = rustix::fs::fstat(&lock.file).map_err(looked_up)?;
        let named = match rustix::fs::lstat(path) {
            Ok(named) => named,
            Err(Errno::NOENT) => return Err(locked(path, "the lock file was removed meanwhile")),
            Err(errno) => return Err(looked_up(errno)),
        };
        if (held.st_dev, held.st_ino) != (named.st_dev, named.st_ino) {
            return Err(locked(
                path,
                "the lock file was replaced by another meanwhile",
            ));
        }
        Ok(Box::new(lock))
    }

    fn locked(path: &Path, message: &str) -> Error {
        Error::new(ErrorKind::Locked, message)
            .path_is(path)
            .remedy("close the other writer, or read with Log::view")
    }

    /// Both locks stand on this one open file.
    #[derive(Debug)]
    struct DiskLock {
        file: File,
    }

    /// Closing alone would not do: a child process that is being started holds a copy of every descriptor until it runs its own program,
    /// and the locks stay for as long as any copy is open.
    impl Drop for DiskLock {
        fn drop(&mut self) {
            // What fails here is let go of with the last copy.
            drop(system::unlock_records(&self.file));
            again(|| rustix::fs::flock(&self.file, FlockOperation::Unlock)).unwrap_or_default();
        }
    }

    impl private::Sealed for DiskLock {}
    impl StorageLock for DiskLock {}

    #[derive(Debug)]
    struct DiskFile {
        file: File,
        path: Box<Path>,
    }

    impl DiskFile {
        fn failed(&self, action: &str, error: io::Error) -> Error {
            Error::io(action, &*self.path, error)
        }
    }

    impl private::Sealed for DiskFile {}

    impl StorageFile for DiskFile {
        fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize> {
            let mut filled = 0;
            while filled < buffer.len() {
                match self
                    .file
                    .read_at(&mut buffer[filled..], position + filled as u64)
                {
                    Ok(0) => break,
                    Ok(read_bytes) => filled += read_bytes,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(self.failed("read the file", error)),
                }
            }
            Ok(filled)
        }

        fn write_at(&self, bytes: &[u8], position: u64) -> Result<()> {
            // Goes on after a signal and after a short write; what stopped a short write is the error of the next.
            self.file
                .write_all_at(bytes, position)
                .map_err(|error| self.failed("write the file", error))
        }

        fn sync_data(&self) -> Result<()> {
            self.file
                .sync_data()
                .map_err(|error| Error::failed_sync("sync the file", &*self.path, error))
        }

        fn sync_all(&self) -> Result<()> {
            self.file
                .sync_all()
                .map_err(|error| Error::failed_sync("sync the file", &*self.path, error))
        }

        fn len(&self) -> Result<u64> {
            match self.file.metadata() {
                Ok(metadata) => Ok(metadata.len()),
                Err(error) => Err(self.failed("ask for the length of the file", error)),
            }
        }

        fn set_len(&self, len_bytes: u64) -> Result<()> {
            self.file
                .set_len(len_bytes)
                .map_err(|error| self.failed("set the length of the file", error))
        }

        fn prepare(&self, range: std::ops::Range<u64>) -> Result<()> {
            let len_bytes = self.len()?;
            let mut position = first_prepared_byte(&range, len_bytes, &self.path)?;
            while position < range.end {
                let chunk_bytes = usize::try_from(range.end - position)
                    .map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
                if let Err(error) = self.write_at(&ZEROS[..chunk_bytes], position) {
                    self.set_len(len_bytes)?;
                    return Err(error);
                }
                position += chunk_bytes as u64;
            }
            Ok(())
        }

        fn set_modified(&self, at: SystemTime) -> Result<()> {
            self.file
                .set_modified(at)
                .map_err(|error| self.failed("set the time of change of the file", error))
        }

        fn as_file(&self) -> Option<&File> {
            Some(&self.file)
        }
    }

    fn open_regular(path: &Path, flags: OFlags) -> Result<File> {
        let file = again(|| rustix::fs::open(path, flags | SAFELY, mode_of_new_files())).map_err(
            |errno| match errno {
                // A link; a socket, or a device that is not there; a directory opened for writing.
                Errno::LOOP | Errno::MLINK | Errno::NXIO | Errno::OPNOTSUPP | Errno::ISDIR => {
                    no_regular_file(path).caused_by(io::Error::from(errno))
                }
                Errno::ACCESS | Errno::PERM if flags == OFlags::RDONLY => unreadable(path, errno),
                _ => Error::io("open the file", path, errno.into()),
            },
        )?;
        let stat = rustix::fs::fstat(&file)
            .map_err(|errno| Error::io("look at the file", path, errno.into()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(file.into()),
            _ => Err(no_regular_file(path)),
        }
    }

    /// Whoever may not even read is not told to read with a view.
    fn unreadable(path: &Path, errno: Errno) -> Error {
        Error::new(ErrorKind::Io, "this process may not read here")
            .path_is(path)
            .caused_by(io::Error::from(errno))
            .remedy("let it read the file and enter the directory")
    }

    fn no_regular_file(path: &Path) -> Error {
        Error::new(ErrorKind::InvalidInput, "not a regular file")
            .path_is(path)
            .remedy("move it away; links, pipes and devices are never followed")
    }

    fn open_directory(path: &Path) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | SAFELY;
        match again(|| rustix::fs::open(path, flags, Mode::empty())) {
            Ok(directory) => Ok(directory.into()),
            Err(errno @ (Errno::NOTDIR | Errno::LOOP | Errno::MLINK)) => {
                Err(Error::new(ErrorKind::InvalidInput, "not a directory")
                    .path_is(path)
                    .caused_by(io::Error::from(errno))
                    .remedy("name the directory itself; a link is never followed"))
            }
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => Err(unreadable(path, errno)),
            Err(errno) => Err(Error::io("open the directory", path, errno.into())),
        }
    }

    /// Readable by all and writable by the owner, as far as the umask of the process lets it.
    fn mode_of_new_files() -> Mode {
        Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH
    }

    fn again<T>(call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
        rustix::io::retry_on_intr(call)
    }

    fn entry_of(name: &[u8], stat: &Stat) -> Entry {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            _ => EntryKind::Other,
        };
        let len_bytes = match kind {
            EntryKind::File => u64::try_from(stat.st_size).unwrap_or(0),
            EntryKind::Directory | EntryKind::Other => 0,
        };
        Entry {
            name: OsStr::from_bytes(name).to_owned(),
            kind,
            len_bytes,
            modified: modified_of(stat),
        }
    }

    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_fallible_conversions,
        reason = "the types of these fields differ between systems"
    )]
    fn modified_of(stat: &Stat) -> SystemTime {
        let seconds = i64::try_from(stat.st_mtime).unwrap_or(0);
        let distance = Duration::from_secs(seconds.unsigned_abs());
        let whole = match seconds {
            0.. => UNIX_EPOCH.checked_add(distance),
            _ => UNIX_EPOCH.checked_sub(distance),
        };
        let nanos = Duration::from_nanos(u64::try_from(stat.st_mtime_nsec).unwrap_or(0));
        whole
            .and_then(|whole| whole.checked_add(nanos))
            .unwrap_or(UNIX_EPOCH)
    }
}

/// Systems without the calls that the promises need.
#[cfg(not(unix))]
mod elsewhere {
    use std::sync::Arc;

    use super::super::{Access, BootId, Entry, Space, Storage, StorageFile, StorageLock};
    use super::{Disk, Error, ErrorKind, Path, Result};

    impl Storage for Disk {
        fn open(&self, path: &Path, _: Access) -> Result<Arc<dyn StorageFile>> {
            unsupported(path)
        }

        fn create(&self, path: &Path) -> Result<Arc<dyn StorageFile>> {
            unsupported(path)
        }

        fn create_dir(&self, path: &Path) -> Result<()> {
            unsupported(path)
        }

        fn list(&self, path: &Path) -> Result<Vec<Entry>> {
            unsupported(path)
        }

        fn rename(&self, from: &Path, _: &Path) -> Result<()> {
            unsupported(from)
        }

        fn remove(&self, path: &Path) -> Result<()> {
            unsupported(path)
        }

        fn remove_dir(&self, path: &Path) -> Result<()> {
            unsupported(path)
        }

        fn sync_dir(&self, path: &Path) -> Result<()> {
            unsupported(path)
        }

        fn lock(&self, path: &Path) -> Result<Box<dyn StorageLock>> {
            unsupported(path)
        }

        fn is_locked(&self, path: &Path) -> Result<bool> {
            unsupported(path)
        }

        fn space(&self, path: &Path) -> Result<Space> {
            unsupported(path)
        }

        fn boot_id(&self) -> Result<BootId> {
            unsupported(Path::new("."))
        }
    }

    fn unsupported<T>(path: &Path) -> Result<T> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "the disk of this system is not supported",
        )
        .path_is(path)
        .remedy("run on Linux or another Unix, or use storage::Memory"))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_lock_file_that_was_replaced_or_removed_while_locking_answers_locked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".lock");
        for replaced in [true, false] {
            let opened = File::create(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            if replaced {
                // The old file is still open, so its number cannot be given to the new one.
                File::create_new(&path).unwrap();
            }
            let error = unix::take_locks(opened, &path).map(drop).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
        }
    }

    #[test]
    fn a_lock_is_let_go_of_though_a_starting_child_still_has_the_descriptor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".lock");
        let opened = File::create(&path).unwrap();
        let of_the_child = opened.try_clone().unwrap();
        drop(unix::take_locks(opened, &path).unwrap());
        let opened = File::options().write(true).open(&path).unwrap();
        unix::take_locks(opened, &path).expect("free");
        drop(of_the_child);
    }
}

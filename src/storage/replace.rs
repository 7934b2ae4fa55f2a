//! Small whole files: read within a bound, and changed from one whole content to another.
//!
//! Checkpoints, facts and snapshots all change this way. This file must never know what is in them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Access, Storage};
use crate::error::{Error, ErrorKind, Result};

/// Replaces the file at `path` by `content`, through `<name>.tmp`. Durable on return; it blocks for two syncs.
///
/// 1. Remove a `<name>.tmp` that an earlier crash left. Crash after: the old content, no `.tmp`.
/// 2. Create `<name>.tmp`. Crash after: the old content; an empty `.tmp`, or none.
/// 3. Write the content. Crash after: the old content; a `.tmp` with any of the new sectors.
/// 4. Sync all of it. Crash after: the old content; a whole `.tmp`, or none while its name is not synced.
/// 5. Rename it to `path`. Crash after: the old content or the new, each whole.
/// 6. Sync the directory. Crash after: the new content.
///
/// Without step 4 the crash after step 5 leaves a torn file under the good name; without step 6 the old content
/// may come back after the caller went on.
pub(crate) fn replace_file(storage: &dyn Storage, path: &Path, content: &[u8]) -> Result<()> {
    let staged = staged_path(path)?;
    remove_if_present(storage, &staged)?;
    let written = storage.create(&staged).and_then(|file| {
        file.write_at(content, 0)?;
        file.sync_all().map_err(Error::of_discarded_file)
    });
    put_in_place(storage, &staged, path, written)
}

/// As [`replace_file`], without need of room: the file at `spare` becomes the staged one, and the content takes its blocks. For a filesystem
/// that has none for a new file. The spare file is gone afterwards, also when this fails.
pub(crate) fn replace_file_with_spare(
    storage: &dyn Storage,
    path: &Path,
    content: &[u8],
    spare: &Path,
) -> Result<()> {
    let staged = staged_path(path)?;
    storage.rename(spare, &staged)?;
    let written = storage.open(&staged, Access::Write).and_then(|file| {
        file.write_at(content, 0)?;
        file.set_len(content.len() as u64)?;
        file.sync_all().map_err(Error::of_discarded_file)
    });
    put_in_place(storage, &staged, path, written)
}

/// Steps 5 and 6, once the staged file is written.
fn put_in_place(
    storage: &dyn Storage,
    staged: &Path,
    path: &Path,
    written: Result<()>,
) -> Result<()> {
    if let Err(error) = written {
        // What was written takes room that a full disk needs. When it cannot go now, the next replacement
        // removes it, and the cause of the failure is the better error.
        return Err(remove_if_present(storage, staged).map_or(error.clone(), |()| error));
    }
    storage.rename(staged, path)?;
    storage.sync_dir(parent_of(path))
}

/// Reads the whole file at `path`; `None` when there is none, `Corrupt` when it is longer than `limit_bytes`.
pub(crate) fn read_small_file(
    storage: &dyn Storage,
    path: &Path,
    limit_bytes: u64,
) -> Result<Option<Vec<u8>>> {
    let file = match storage.open(path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len_bytes = file.len()?;
    let too_long = || {
        Error::new(
            ErrorKind::Corrupt,
            format!("the file has {len_bytes} bytes, and at most {limit_bytes} are possible"),
        )
        .path_is(path)
    };
    if len_bytes > limit_bytes {
        return Err(too_long());
    }
    let mut content = vec![0; usize::try_from(len_bytes).map_err(|_| too_long())?];
    let read_bytes = file.read_at(&mut content, 0)?;
    content.truncate(read_bytes);
    Ok(Some(content))
}

/// The directory in which `path` is a name.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn staged_path(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "the path names no file").path_is(path)
    })?;
    let mut staged = OsString::from(name);
    staged.push(".tmp");
    Ok(path.with_file_name(staged))
}

fn remove_if_present(storage: &dyn Storage, path: &Path) -> Result<()> {
    match storage.remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

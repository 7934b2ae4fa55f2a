//! The directory of a run: never one that holds anything of somebody else.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Says that the directory was made by this command, and how its last run ended.
const NOTE: &str = "stratalog-torture";
const NOTE_BEGINS: &str = "stratalog torture 1";
const BROKEN: &str = "broken";
const DATA: &str = "data";
const BALLAST: &str = "ballast";

/// A directory that is ours for the run.
pub(crate) struct Place {
    dir: PathBuf,
    /// Locked, so that a second run cannot clear what the first one works on.
    note: File,
}

impl Place {
    /// Takes an absent or empty directory, or one that an earlier run made and left without a broken promise.
    pub(crate) fn prepare(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let mut is_empty = true;
        for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
            is_empty = false;
            let name = entry?.file_name();
            if ![NOTE, DATA, BALLAST].iter().any(|ours| name == *ours) {
                bail!(
                    "{} holds {name:?}, which is not of this command: name an empty or absent directory",
                    dir.display()
                );
            }
        }
        let path = dir.join(NOTE);
        if !is_empty {
            let note = fs::read_to_string(&path).unwrap_or_default();
            if !note.starts_with(NOTE_BEGINS) {
                bail!(
                    "{} is neither empty nor of this command: name an empty or absent directory",
                    dir.display()
                );
            }
            if note.contains(BROKEN) {
                bail!(
                    "{} holds what a broken promise left: look into it, then remove it or name another directory",
                    dir.display()
                );
            }
        }
        let note = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        note.try_lock()
            .with_context(|| format!("another run has {}", dir.display()))?;
        let place = Self {
            dir: dir.to_path_buf(),
            note,
        };
        place.write_note("running")?;
        absent_is_fine(fs::remove_file(place.dir.join(BALLAST)))?;
        absent_is_fine(fs::remove_dir_all(place.data()))?;
        Ok(place)
    }

    /// The log directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join(DATA)
    }

    /// Notes the verdict; what a broken promise left is never cleared by a later run.
    pub(crate) fn finish(&self, is_broken: bool) -> anyhow::Result<()> {
        self.write_note(if is_broken { BROKEN } else { "kept" })
    }

    fn write_note(&self, state: &str) -> anyhow::Result<()> {
        self.note.set_len(0)?;
        let text = format!("{NOTE_BEGINS}\n{state}\n");
        std::os::unix::fs::FileExt::write_all_at(&self.note, text.as_bytes(), 0)?;
        Ok(())
    }

    /// Fills the file system, until the ballast is dropped.
    pub(crate) fn fill(&self) -> io::Result<Ballast> {
        let ballast = Ballast(self.dir.join(BALLAST));
        let mut file = File::create(&ballast.0)?;
        let (mut at, mut step) = (0, LARGEST_STEP);
        while step >= SMALLEST_STEP {
            match extend(&mut file, at, step) {
                Ok(()) => at += step,
                Err(error) if is_full(&error) => step /= 2,
                Err(error) => return Err(error),
            }
        }
        Ok(ballast)
    }
}

const LARGEST_STEP: u64 = 1 << 36;
const SMALLEST_STEP: u64 = 1 << 12;

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Takes `step` bytes more from the file system.
#[cfg(target_os = "linux")]
fn extend(file: &mut File, at: u64, step: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    match fallocate(&*file, FallocateFlags::empty(), at, step) {
        Err(rustix::io::Errno::OPNOTSUPP) => write_zeros(file, step),
        other => Ok(other?),
    }
}

#[cfg(not(target_os = "linux"))]
fn extend(file: &mut File, _at: u64, step: u64) -> io::Result<()> {
    write_zeros(file, step)
}

fn write_zeros(file: &mut File, step: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut left = step;
    while left > 0 {
        let piece = left.min(zeros.len() as u64);
        file.write_all(&zeros[..usize::try_from(piece).unwrap_or(zeros.len())])?;
        left -= piece;
    }
    Ok(())
}

/// A file that takes all the room there is; gone when dropped.
pub(crate) struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            eprintln!("stratalog: remove {} by hand: {error}", self.0.display());
        }
    }
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

//! Faults that are planned for operations: what goes wrong, with which of them, and for how long.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::super::tree::full;
use crate::error::Error;

/// What a program asks of the disk.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operation {
    /// A file is opened.
    Open,
    /// A directory is listed.
    List,
    /// Bytes are read.
    Read,
    /// A file's length is asked for.
    Length,
    /// Free space, a lock or the boot is asked for.
    Ask,
    /// A file is made.
    Create,
    /// A directory is made.
    CreateDir,
    /// A file or directory gets another name; its path is the old one.
    Rename,
    /// A file is removed.
    Remove,
    /// A directory is removed.
    RemoveDir,
    /// The lock on a file is taken.
    Lock,
    /// Bytes are written.
    Write,
    /// A file is cut or lengthened.
    SetLen,
    /// A file gets room for writes to come.
    Prepare,
    /// A file's time of change is set.
    SetModified,
    /// A file is synced, by `sync_data` or `sync_all`.
    Sync,
    /// A directory is synced.
    SyncDir,
}

impl Operation {
    /// Whether it changes something, or makes a change last.
    #[must_use]
    pub fn is_change(self) -> bool {
        !matches!(
            self,
            Self::Open | Self::List | Self::Read | Self::Length | Self::Ask
        )
    }

    /// Whether it makes changes last.
    #[must_use]
    pub fn is_sync(self) -> bool {
        matches!(self, Self::Sync | Self::SyncDir)
    }

    pub(super) fn action(self) -> &'static str {
        match self {
            Self::Open => "open the file",
            Self::List => "list the directory",
            Self::Read => "read the file",
            Self::Length => "ask for the length of the file",
            Self::Ask => "ask about the disk",
            Self::Create => "create the file",
            Self::CreateDir => "create the directory",
            Self::Rename => "rename the file",
            Self::Remove => "remove the file",
            Self::RemoveDir => "remove the directory",
            Self::Lock => "lock the file",
            Self::Write => "write the file",
            Self::SetLen => "set the length of the file",
            Self::Prepare => "prepare the file",
            Self::SetModified => "set the time of change of the file",
            Self::Sync => "sync the file",
            Self::SyncDir => "sync the directory",
        }
    }
}

/// What goes wrong with an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It does nothing and answers an input/output error. A sync drops what was dirty.
    Io,
    /// It does nothing and answers that the disk is full. A sync drops what was dirty, and answers an input/output error.
    Full,
    /// A write puts in a part of its bytes, from the first on, and answers an input/output error. Other
    /// operations fail as with `Io`.
    ShortWrite,
    /// It does nothing and answers that a signal interrupted it. Nothing is lost, not even by a sync.
    Interrupted,
    /// A sync answers ok, and what was dirty never reaches the medium: a device that lies about its cache. Other operations
    /// do not notice. No log keeps its promises on such a disk; a test can show what it costs.
    Lie,
}

impl Fault {
    /// The error that the operation answers; `None` where it answers ok.
    pub(super) fn error(self, operation: Operation, path: &Path) -> Option<Error> {
        let action = operation.action();
        let cause = match self {
            Self::Full if operation.is_sync() => io::ErrorKind::StorageFull.into(),
            Self::Full => return Some(full(action, path)),
            Self::Io | Self::ShortWrite => {
                io::Error::other("a planned fault of the simulated disk")
            }
            Self::Interrupted => io::ErrorKind::Interrupted.into(),
            Self::Lie => return None,
        };
        Some(match operation.is_sync() {
            true => Error::failed_sync(action, path, cause),
            false => Error::io(action, path, cause),
        })
    }

    /// Whether a sync that meets it loses what was dirty.
    pub(super) fn loses_what_is_dirty(self) -> bool {
        self != Self::Interrupted
    }
}

/// How long a fault lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// For the one operation.
    Once,
    /// For it and all after it, until the machine starts anew or the process does.
    Forever,
}

/// A plan: the n-th operation of a kind, on a path, meets a fault, once or for ever. Hand it to [`Sim::plan`].
///
/// ```
/// use stratalog::storage::sim::{Failure, Fault, Operation, Sim};
///
/// let sim = Sim::new(7);
/// // The third sync of any segment of the partition, and all after it:
/// let failure = Failure::of(Operation::Sync, Fault::Io).below("/data/orders-0").extension("log");
/// sim.plan(failure.nth(3).forever());
/// ```
///
/// [`Sim::plan`]: super::Sim::plan
#[must_use = "a failure happens once `Sim::plan` has it"]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    wanted: Wanted,
    below: Option<PathBuf>,
    extension: Option<String>,
    /// How many operations that it could meet come before.
    after: u64,
    repeat: Repeat,
    fault: Fault,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Kind(Operation),
    Changes,
    Reads,
}

impl Failure {
    /// Of the next operation of that kind, wherever, once.
    pub fn of(operation: Operation, fault: Fault) -> Self {
        Self::new(Wanted::Kind(operation), fault)
    }

    /// Of the next operation that changes something ([`Operation::is_change`]), wherever, once.
    pub fn of_change(fault: Fault) -> Self {
        Self::new(Wanted::Changes, fault)
    }

    /// Of the next operation that changes nothing, wherever, once.
    pub fn of_read(fault: Fault) -> Self {
        Self::new(Wanted::Reads, fault)
    }

    fn new(wanted: Wanted, fault: Fault) -> Self {
        Self {
            wanted,
            below: None,
            extension: None,
            after: 0,
            repeat: Repeat::Once,
            fault,
        }
    }

    /// Only of operations on this file or directory, or on anything below it.
    pub fn below(mut self, path: impl Into<PathBuf>) -> Self {
        self.below = Some(path.into());
        self
    }

    /// Only of operations on files with this extension, given without the dot.
    pub fn extension(mut self, extension: impl Into<String>) -> Self {
        self.extension = Some(extension.into());
        self
    }

    /// Of the `nth` operation that fits; 1 is the next one.
    pub fn nth(mut self, nth: u64) -> Self {
        self.after = nth.saturating_sub(1);
        self
    }

    /// Of that operation and of all that fit after it.
    pub fn forever(self) -> Self {
        self.repeat(Repeat::Forever)
    }

    /// For so long.
    pub fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }

    fn fits(&self, operation: Operation, path: &Path) -> bool {
        let is_wanted = match self.wanted {
            Wanted::Kind(kind) => kind == operation,
            Wanted::Changes => operation.is_change(),
            Wanted::Reads => !operation.is_change(),
        };
        is_wanted
            && (self.below.as_ref()).is_none_or(|below| path.starts_with(below))
            && (self.extension.as_deref())
                .is_none_or(|end| path.extension().is_some_and(|extension| extension == end))
    }
}

/// The failures that are planned, each counting down to its operation.
#[derive(Debug, Default)]
pub(super) struct Plan(Vec<Failure>);

impl Plan {
    pub(super) fn add(&mut self, failure: Failure) {
        self.0.push(failure);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts the operation, and tells the fault that it meets: of several the one that was planned first.
    pub(super) fn meet(&mut self, operation: Operation, path: &Path) -> Option<Fault> {
        let mut met = None;
        self.0.retain_mut(|failure| {
            if !failure.fits(operation, path) {
                return true;
            }
            if failure.after > 0 {
                failure.after -= 1;
                return true;
            }
            met = met.or(Some(failure.fault));
            failure.repeat == Repeat::Forever
        });
        met
    }
}

/// One operation that was asked for. Its text is a line of a story: `sync /data/a: Io`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// What was asked for.
    pub operation: Operation,
    /// Of which file or directory.
    pub path: PathBuf,
    /// The planned fault that it met.
    pub fault: Option<Fault>,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation.action(), self.path.display())?;
        match self.fault {
            Some(fault) => write!(f, ": {fault:?}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Keep, Mount, Sim};
    use super::*;
    use crate::error::ErrorKind;
    use crate::storage::{Access, Storage};

    const A: &str = "/d/a.log";
    const B: &str = "/d/b.index";

    fn two_files() -> Sim {
        let sim = Sim::new(1);
        sim.create_dir(Path::new("/d")).unwrap();
        for path in [A, B] {
            let file = sim.create(Path::new(path)).unwrap();
            file.write_at(b"1", 0).unwrap();
            file.sync_all().unwrap();
        }
        for path in ["/d", "/"] {
            sim.sync_dir(Path::new(path)).unwrap();
        }
        sim
    }

    #[test]
    fn a_failure_meets_the_nth_operation_of_its_kind_on_its_path_and_no_other() {
        let sim = two_files();
        let failure = Failure::of(Operation::Write, Fault::Full).extension("log");
        sim.plan(failure.below("/d").nth(2));
        let (a, b) = (Path::new(A), Path::new(B));
        let a = sim.open(a, Access::Write).unwrap();
        let b = sim.open(b, Access::Write).unwrap();
        for _ in 0..3 {
            b.write_at(b"2", 0).unwrap();
        }
        a.write_at(b"2", 0).unwrap();
        a.sync_data().unwrap();
        assert_eq!(a.write_at(b"3", 0).unwrap_err().kind(), ErrorKind::Full);
        a.write_at(b"3", 0).unwrap();

        sim.plan(Failure::of(Operation::Read, Fault::Io).below(A).forever());
        for _ in 0..2 {
            let error = a.read_at(&mut [0], 0).unwrap_err();
            assert!(error.to_string().contains(A), "{error}");
            assert_eq!(b.read_at(&mut [0], 0).unwrap(), 1);
        }
        sim.heal();
        assert_eq!(a.read_at(&mut [0], 0).unwrap(), 1);
    }

    #[test]
    fn an_interrupted_sync_loses_nothing() {
        let sim = two_files();
        let file = sim.open(Path::new(A), Access::Write).unwrap();
        file.write_at(b"2", 0).unwrap();
        sim.plan(Failure::of(Operation::Sync, Fault::Interrupted));
        assert_eq!(file.sync_data().unwrap_err().kind(), ErrorKind::Io);
        file.sync_data().unwrap();
        let after = sim.reboot(Keep::None);
        let mut byte = [0];
        let file = after.open(Path::new(A), Access::Read).unwrap();
        file.read_at(&mut byte, 0).unwrap();
        assert_eq!(&byte, b"2");
    }

    #[test]
    fn a_read_only_medium_takes_no_change_and_is_read() {
        let sim = two_files();
        let file = sim.open(Path::new(A), Access::Write).unwrap();
        sim.mount(Mount::ReadOnly);
        let refused = [
            file.write_at(b"2", 0).unwrap_err(),
            file.set_len(9).unwrap_err(),
            sim.create(Path::new("/d/c")).unwrap_err(),
            sim.remove(Path::new(A)).unwrap_err(),
            sim.lock(Path::new("/d/.lock")).unwrap_err(),
            sim.open(Path::new(A), Access::Write).unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
        }
        assert_eq!(file.read_at(&mut [0], 0).unwrap(), 1);
        assert!(sim.kill().create(Path::new("/d/c")).is_err());
        let sim = sim.reboot(Keep::None);
        assert!(
            sim.create(Path::new("/d/c")).is_err(),
            "the disk is the same"
        );
        sim.mount(Mount::ReadWrite);
        sim.create(Path::new("/d/c")).unwrap();
    }

    #[test]
    fn a_slow_disk_moves_the_clock_and_a_history_tells_what_was_asked() {
        use std::sync::Arc;
        use std::time::Duration;

        use super::super::Latency;
        use crate::timestamp::{Clock, ManualClock, Timestamp};

        let sim = two_files();
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(0)));
        sim.slow_down(
            Arc::clone(&clock),
            Latency {
                read: Duration::from_millis(1),
                change: Duration::from_millis(10),
                sync: Duration::from_secs(2),
            },
        );
        sim.keep_history();
        let file = sim.open(Path::new(A), Access::Write).unwrap();
        file.write_at(b"2", 0).unwrap();
        sim.plan(Failure::of(Operation::Sync, Fault::Io));
        assert!(file.sync_data().is_err());
        assert_eq!(clock.monotonic(), Duration::from_millis(2011));
        let lines: Vec<String> = sim.history().iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                format!("open the file {A}"),
                format!("write the file {A}"),
                format!("sync the file {A}: Io"),
            ]
        );
    }
}

//! How a log is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Log;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::partition::TopicOptions;
use crate::storage::{Disk, Storage};
use crate::timestamp::{Clock, SystemClock};

/// Who does the background work of a log.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Maintenance {
    /// Threads of the log, started at first need: flushers, and one housekeeper.
    Threads {
        /// How many threads sync, 1 to 64; default 2.
        flushers: u8,
    },
    /// Nobody but [`Log::maintain`]. A future from [`Ticket::durable`](crate::Ticket::durable) completes only while somebody calls it;
    /// [`Ticket::wait_durable`](crate::Ticket::wait_durable) syncs on the caller's thread.
    Manual,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self::Threads { flushers: 2 }
    }
}

/// Options of a log; [`LogBuilder::open`] checks them all.
#[must_use]
#[derive(Debug)]
pub struct LogBuilder {
    path: PathBuf,
    pub(crate) defaults: TopicOptions,
    pub(crate) maintenance: Maintenance,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) max_open_files: u32,
    pub(crate) unsynced_limit_bytes: u64,
}

impl LogBuilder {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            defaults: TopicOptions::default(),
            maintenance: Maintenance::default(),
            clock: Arc::new(SystemClock::new()),
            storage: Arc::new(Disk::new()),
            max_open_files: limits::DEFAULT_MAX_OPEN_FILES,
            unsynced_limit_bytes: limits::DEFAULT_UNSYNCED_LIMIT_BYTES,
        }
    }

    /// Options of topics that have none of their own, and of new ones.
    pub fn defaults(self, options: TopicOptions) -> Self {
        Self {
            defaults: options,
            ..self
        }
    }

    /// Who does the background work; default two flushers and a housekeeper.
    pub fn maintenance(self, mode: Maintenance) -> Self {
        Self {
            maintenance: mode,
            ..self
        }
    }

    /// Where the time comes from; default the system's clocks.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The medium; default this machine's disk.
    pub fn storage(self, storage: Arc<dyn Storage>) -> Self {
        Self { storage, ..self }
    }

    /// How many sealed segments are kept open at most, 16 to 1,000,000; default
    /// [`limits::DEFAULT_MAX_OPEN_FILES`](crate::limits::DEFAULT_MAX_OPEN_FILES). Active segments and those with un-synced bytes come on top.
    pub fn max_open_files(self, files: u32) -> Self {
        Self {
            max_open_files: files,
            ..self
        }
    }

    /// How many bytes of the log may be un-synced before an append waits, from 1 MiB; default
    /// [`limits::DEFAULT_UNSYNCED_LIMIT_BYTES`](crate::limits::DEFAULT_UNSYNCED_LIMIT_BYTES).
    pub fn unsynced_limit_bytes(self, bytes: u64) -> Self {
        Self {
            unsynced_limit_bytes: bytes,
            ..self
        }
    }

    /// Opens the log: creates what is missing, takes both locks, recovers. Blocks for as long as recovery takes (in async code: `spawn_blocking`).
    ///
    /// # Errors
    /// `Locked` when another process, a Kafka broker included, has the directory; `InvalidInput` for an option out of range;
    /// `ReadOnly`, `Full`, `Io`, `Corrupt` with the path and the way out; `Unsupported` on a system without positional files.
    pub fn open(self) -> Result<Log> {
        self.validate()?;
        let path = self.path.clone();
        Log::open_with(&path, self)
    }

    fn validate(&self) -> Result<()> {
        self.defaults.validate()?;
        let refuse = |option: &str, value: u64, range: &str| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("{option}={value} is out of range: {range}"),
            )
        };
        if !(16..=1_000_000).contains(&self.max_open_files) {
            return Err(refuse(
                "max_open_files",
                self.max_open_files.into(),
                "16 to 1000000",
            ));
        }
        if self.unsynced_limit_bytes < 1 << 20 {
            return Err(refuse(
                "unsynced_limit_bytes",
                self.unsynced_limit_bytes,
                "1048576 and up",
            ));
        }
        if let Maintenance::Threads { flushers } = self.maintenance
            && !(1..=64).contains(&flushers)
        {
            return Err(refuse("flushers", flushers.into(), "1 to 64"));
        }
        Ok(())
    }
}

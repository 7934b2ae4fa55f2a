//! A log: a directory of topics, open for writing by one process at a time.
//!
//! Opening answers who wrote last (`directory/owner.rs`), recovers each partition (`partition/open.rs`), and closing leaves what a
//! Kafka broker takes over. This folder must never know what a cursor or a consumer is.

mod close;
mod flusher;
mod folder;
mod housekeeper;
mod open;
mod options;
mod report;
mod routing;
#[cfg(all(test, shuttle))]
mod schedules;
mod topic;
mod workers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::directory::new_topic_id;
use crate::error::{Error, ErrorKind, Result};
use crate::partition::{OpenFacts, Partition, PartitionCore, SharedByLog, TopicOptions};
use crate::stats::Stats;
use crate::storage::{Latch, Storage};
use crate::sync::{
    Mutex, RwLock,
    atomic::{AtomicBool, Ordering},
};
use crate::topic::{TopicId, TopicName, TopicPartition};

use folder::{LogFolder, MadeFolder};
pub use options::{LogBuilder, Maintenance};
pub use report::RecoveryReport;
pub use topic::Topic;
pub(crate) use topic::TopicCore;

/// An open log. Clones share it.
///
/// The last clone to be dropped closes the log as [`Log::close`] does; what fails then costs the next open a recovery.
#[derive(Clone, Debug)]
pub struct Log {
    core: Arc<LogCore>,
}

/// The state behind [`Log`].
#[derive(Debug)]
pub(crate) struct LogCore {
    pub(crate) dir: Arc<Path>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) shared: Arc<SharedByLog>,
    pub(crate) defaults: TopicOptions,
    pub(crate) topics: RwLock<BTreeMap<TopicName, Arc<TopicCore>>>,
    /// Locks, marker, checkpoints, `stratalog.topics`. Held while topics come, change or go, never by an append.
    folder: Mutex<LogFolder>,
    /// Closed by the first failed sync in a change of the directory.
    folder_latch: Latch,
    recovery: RecoveryReport,
    workers: workers::Workers,
    housekeeper: housekeeper::Housekeeper,
    closed: AtomicBool,
}

impl Log {
    /// Opens the log at `path`, or creates it, with default options.
    ///
    /// # Errors
    /// As [`LogBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).open()
    }

    /// Opens the log at `path` with options.
    pub fn builder(path: impl AsRef<Path>) -> LogBuilder {
        LogBuilder::new(path.as_ref())
    }

    /// A topic; a new one is created with the log's default options, durable on return.
    ///
    /// # Errors
    /// `InvalidInput` for a name that Kafka refuses or keeps for itself; `Io`, `Full`, `ReadOnly` from creating it; `Failed` once a
    /// sync of the log directory has failed: topics that are there go on, and another opening makes new ones; `Closed`.
    pub fn topic(&self, name: &str) -> Result<Topic> {
        let name = TopicName::for_user(name)?;
        if let Some(topic) = self.core.find(&name) {
            return Ok(Topic::new(topic, Arc::clone(&self.core)));
        }
        match self.core.create_topic(&name, self.core.defaults.clone()) {
            // Somebody else was quicker.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => match self.core.find(&name) {
                Some(topic) => Ok(Topic::new(topic, Arc::clone(&self.core))),
                None => Err(error),
            },
            created => Ok(Topic::new(created?, Arc::clone(&self.core))),
        }
    }

    /// Creates a topic, durable on return.
    ///
    /// # Errors
    /// `AlreadyExists`; else as [`Log::topic`]; `InvalidInput` for an option out of range.
    pub fn create_topic(&self, name: &str, options: TopicOptions) -> Result<Topic> {
        let name = TopicName::for_user(name)?;
        Ok(Topic::new(
            self.core.create_topic(&name, options)?,
            Arc::clone(&self.core),
        ))
    }

    /// The topics, by name. Kafka's own (`__...`) are not listed.
    #[must_use]
    pub fn topics(&self) -> Vec<Topic> {
        let topics = self.core.topics.read();
        topics
            .values()
            .map(|topic| Topic::new(Arc::clone(topic), Arc::clone(&self.core)))
            .collect()
    }

    /// Deletes a topic with all its records. Its partitions answer `Closed` from now on; readers at work finish their batch.
    ///
    /// Durable on return: the topic is gone. A crash meanwhile leaves it whole, or leaves folders named `-delete`, which nothing opens. So
    /// does a failure: [`Log::topic`] opens what still stands, and the next open of the log recovers.
    ///
    /// # Errors
    /// `NotFound`; `Io`, `ReadOnly`; `Closed`.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        self.core.delete_topic(&TopicName::for_user(name)?)
    }

    /// What opening found and did.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.core.recovery
    }

    /// Does background work on this thread for about as long as `budget`: syncs what was asked for, rolls what is old, trims.
    /// The only one who does under [`Maintenance::Manual`]; beside the log's threads it does no harm.
    ///
    /// # Errors
    /// The first error of a partition; the others were worked on all the same. `Closed`.
    pub fn maintain(&self, budget: Duration) -> Result<()> {
        self.core.check_open()?;
        let clock = &self.core.shared.clock;
        let started = clock.monotonic();
        let left = || budget.saturating_sub(clock.monotonic().saturating_sub(started));
        let synced = flusher::sync_asked_for(&self.core.shared, &left);
        let kept = self.core.housekeep(&left);
        synced.and(kept)
    }

    /// What the log counted since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for partition in self.core.partitions() {
            stats.add(&partition.stats());
        }
        stats
    }

    /// Closes the log: every partition is synced and trimmed to its last batch, the checkpoints and, last of all, the marker of a clean
    /// shutdown are written, the locks are let go. A second call does nothing.
    ///
    /// Durable on return: everything.
    ///
    /// # Errors
    /// The first failure. The marker is then not written, and the next open recovers.
    pub fn close(&self) -> Result<()> {
        self.core.close()
    }
}

impl LogCore {
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the log is closed").path_is(&*self.dir));
        }
        Ok(())
    }

    fn find(&self, name: &TopicName) -> Option<Arc<TopicCore>> {
        self.topics.read().get(name).cloned()
    }

    /// All partitions of all topics.
    pub(crate) fn partitions(&self) -> Vec<Partition> {
        let topics = self.topics.read();
        topics
            .values()
            .flat_map(|topic| {
                topic
                    .partitions
                    .read()
                    .values()
                    .cloned()
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// A change of what stands in the log directory. Once a sync has failed in one, no other is tried: names that were made before would be
    /// called durable by the next sync, and might be lost all the same.
    fn change_folder<T>(&self, change: impl FnOnce(&mut LogFolder) -> Result<T>) -> Result<T> {
        let mut folder = self.folder.lock();
        self.folder_latch.check()?;
        change(&mut folder).map_err(|error| match error.is_failed_sync() {
            true => self.folder_latch.close(error),
            false => error,
        })
    }

    /// Creates a topic. A crash between two steps leaves:
    /// 1. the options written to `stratalog.topics`: a line without folders, which the next creation replaces;
    /// 2. some folders made: the topic with fewer partitions, which the next open completes from its options.
    fn create_topic(&self, name: &TopicName, options: TopicOptions) -> Result<Arc<TopicCore>> {
        self.check_open()?;
        options.validate()?;
        self.change_folder(|folder| self.create_topic_in(folder, name, options))
    }

    fn create_topic_in(
        &self,
        folder: &mut LogFolder,
        name: &TopicName,
        options: TopicOptions,
    ) -> Result<Arc<TopicCore>> {
        if self.topics.read().contains_key(name) {
            return Err(
                Error::new(ErrorKind::AlreadyExists, format!("topic {name} exists"))
                    .path_is(&*self.dir)
                    .remedy("open it with Log::topic, or change it with Topic::set_options"),
            );
        }
        folder.write_topic_options(name, &options.to_pairs())?;
        let options = Arc::new(options);
        let id = new_topic_id()?;
        let mut partitions = BTreeMap::new();
        for index in 0..options.partitions {
            let partition = self.create_partition(folder, name, index, id, &options)?;
            partitions.insert(index, partition);
        }
        self.storage.sync_dir(&self.dir)?;
        let topic = Arc::new(TopicCore::new(name.clone(), id, options, partitions));
        self.topics.write().insert(name.clone(), Arc::clone(&topic));
        Ok(topic)
    }

    fn create_partition(
        &self,
        folder: &LogFolder,
        name: &TopicName,
        index: u32,
        id: TopicId,
        options: &Arc<TopicOptions>,
    ) -> Result<Partition> {
        let name = TopicPartition::new(name.clone(), index)?;
        make_partition(folder, &self.shared, name, options, id)
    }

    pub(crate) fn set_topic_options(&self, topic: &TopicCore, options: TopicOptions) -> Result<()> {
        self.check_open()?;
        options.validate()?;
        self.change_folder(|folder| self.set_topic_options_in(folder, topic, options))
    }

    fn set_topic_options_in(
        &self,
        folder: &mut LogFolder,
        topic: &TopicCore,
        options: TopicOptions,
    ) -> Result<()> {
        let present = topic
            .partitions
            .read()
            .last_key_value()
            .map_or(0, |(last, _)| last + 1);
        if options.partitions < present {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "num.partitions={} is below the {present} that topic {} has",
                    options.partitions, topic.name
                ),
            )
            .remedy("partitions can be added, never taken away"));
        }
        folder.write_topic_options(&topic.name, &options.to_pairs())?;
        let options = Arc::new(options);
        let mut added = Vec::new();
        for index in present..options.partitions {
            added.push((
                index,
                self.create_partition(folder, &topic.name, index, topic.id, &options)?,
            ));
        }
        if !added.is_empty() {
            self.storage.sync_dir(&self.dir)?;
        }
        *topic.options.write() = Arc::clone(&options);
        let mut partitions = topic.partitions.write();
        partitions.extend(added);
        for partition in partitions.values() {
            partition.core.set_options(Arc::clone(&options));
        }
        Ok(())
    }

    /// Deletes a topic. A crash between two steps leaves:
    /// 1. partitions closed: the topic, whole;
    /// 2. some folders renamed to Kafka's `-delete` names, synced: the topic with fewer partitions, or none;
    /// 3. files and folders removed: folders that nothing opens, named in the recovery report;
    /// 4. the line in `stratalog.topics` removed: nothing.
    fn delete_topic(&self, name: &TopicName) -> Result<()> {
        self.check_open()?;
        self.change_folder(|folder| self.delete_topic_in(folder, name))
    }

    fn delete_topic_in(&self, folder: &mut LogFolder, name: &TopicName) -> Result<()> {
        let topic = self.topics.write().remove(name).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no topic {name}")).path_is(&*self.dir)
        })?;
        let renamed = self.set_aside_for_deletion(folder, &topic);
        if renamed.is_err() {
            folder.note_leftovers();
        }
        let renamed = renamed?;
        for path in renamed {
            folder.remove_folder(&path)?;
        }
        self.storage.sync_dir(&self.dir)?;
        folder.forget_topic_options(name)
    }

    /// Steps 1 and 2 of a deletion.
    fn set_aside_for_deletion(
        &self,
        folder: &LogFolder,
        topic: &TopicCore,
    ) -> Result<Vec<PathBuf>> {
        let partitions = topic.partitions.read();
        for partition in partitions.values() {
            partition.core.close_for_deletion();
        }
        let names = partitions.values().map(|partition| &partition.core.name);
        let renamed = names.map(|name| folder.rename_for_deletion(name));
        let renamed = renamed.collect::<Result<Vec<_>>>()?;
        self.storage.sync_dir(&self.dir)?;
        Ok(renamed)
    }
}

/// A partition in a folder of its own. What stands there already, after a creation or a deletion that did not come to its end, is recovered.
fn make_partition(
    folder: &LogFolder,
    shared: &Arc<SharedByLog>,
    name: TopicPartition,
    options: &Arc<TopicOptions>,
    id: TopicId,
) -> Result<Partition> {
    let (options, shared) = (Arc::clone(options), Arc::clone(shared));
    let core = match folder.make_partition_dir(&name, id)? {
        MadeFolder::New(home) => PartitionCore::create(name, home, options, shared)?,
        MadeFolder::Present(home) => {
            let facts = OpenFacts::left_by_us(folder.incarnation());
            PartitionCore::open(name, home, options, facts, shared)?.0
        }
    };
    Ok(Partition { core })
}

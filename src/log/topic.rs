//! A topic: its partitions, its options, and to which of them a record goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::LogCore;
use super::routing::Router;
use crate::batch::Record;
use crate::error::{Error, ErrorKind, Result};
use crate::partition::{Partition, Ticket, TopicOptions};
use crate::sync::RwLock;
use crate::topic::{TopicId, TopicName};

/// A topic of an open log. Clones share it.
#[derive(Clone, Debug)]
pub struct Topic {
    core: Arc<TopicCore>,
    log: Arc<LogCore>,
}

/// The state behind [`Topic`].
#[derive(Debug)]
pub(crate) struct TopicCore {
    pub(crate) name: TopicName,
    pub(crate) id: TopicId,
    /// By number: a directory that a broker wrote may hold only some of a topic's partitions.
    pub(crate) partitions: RwLock<BTreeMap<u32, Partition>>,
    pub(crate) options: RwLock<Arc<TopicOptions>>,
    router: Router,
}

impl TopicCore {
    pub(crate) fn new(
        name: TopicName,
        id: TopicId,
        options: Arc<TopicOptions>,
        partitions: BTreeMap<u32, Partition>,
    ) -> Self {
        Self {
            name,
            id,
            partitions: RwLock::new(partitions),
            options: RwLock::new(options),
            router: Router::default(),
        }
    }
}

impl Topic {
    pub(crate) fn new(core: Arc<TopicCore>, log: Arc<LogCore>) -> Self {
        Self { core, log }
    }

    /// Appends to the partition that the key says (Kafka's murmur2), or the sticky one without a key.
    ///
    /// Blocks as [`Partition::append`] does, and promises what it promises.
    ///
    /// # Errors
    /// As [`Partition::append`]; `NotFound` when this directory does not hold the key's partition.
    pub fn append(&self, record: Record<'_>) -> Result<Ticket> {
        self.route(&record)?.append(record)
    }

    /// As [`Topic::append`], and never waits for a sync.
    ///
    /// # Errors
    /// As [`Partition::submit`]; `NotFound` when this directory does not hold the key's partition.
    pub fn submit(&self, record: Record<'_>) -> Result<Ticket> {
        self.route(&record)?.submit(record)
    }

    fn route(&self, record: &Record<'_>) -> Result<Partition> {
        let partitions = self.core.partitions.read();
        let count = partitions
            .last_key_value()
            .map_or(0, |(last, _)| last.saturating_add(1));
        let bytes = record.value.map_or(0, <[u8]>::len);
        let index = self.core.router.route(record.key, bytes, count);
        partitions
            .get(&index)
            .cloned()
            .ok_or_else(|| self.no_partition(index))
    }

    /// The topic's name.
    #[must_use]
    pub fn name(&self) -> &TopicName {
        &self.core.name
    }

    /// The topic's id, as `partition.metadata` has it. A topic whose directories have none got one at open, for as long as it is open.
    #[must_use]
    pub fn id(&self) -> TopicId {
        self.core.id
    }

    /// One partition.
    ///
    /// # Errors
    /// `NotFound` when the topic has no partition of that number here.
    pub fn partition(&self, index: u32) -> Result<Partition> {
        self.core
            .partitions
            .read()
            .get(&index)
            .cloned()
            .ok_or_else(|| self.no_partition(index))
    }

    fn no_partition(&self, index: u32) -> Error {
        Error::new(
            ErrorKind::NotFound,
            format!("topic {} has no partition {index} here", self.core.name),
        )
        .path_is(&*self.log.dir)
        .remedy("ask Topic::partitions which there are, or add some with set_options")
    }

    /// All partitions that stand here, by number.
    #[must_use]
    pub fn partitions(&self) -> Vec<Partition> {
        self.core.partitions.read().values().cloned().collect()
    }

    /// The options now.
    pub fn options(&self) -> TopicOptions {
        TopicOptions::clone(&self.core.options.read())
    }

    /// Replaces the options. They count from the next decision on: the next append, roll, sync or retention. More partitions than before are
    /// added; fewer are refused, as Kafka refuses them.
    ///
    /// Durable on return.
    ///
    /// # Errors
    /// `InvalidInput` for an option out of range; `Io`, `Full`, `ReadOnly` from writing `stratalog.topics`; `Closed`.
    pub fn set_options(&self, options: TopicOptions) -> Result<()> {
        self.log.set_topic_options(&self.core, options)
    }
}

//! A log directory as one may look at it beside its writer: nothing here can write, and nothing here takes a lock.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::PartitionDir;
use crate::batch::StoredRecord;
use crate::cursor::{Cursor, Fetch, Fetched, Search, Start};
use crate::directory::DirectoryListing;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Log;
use crate::offset::Offset;
use crate::partition::{PartitionReader, Segment, Watermarks};
use crate::storage::{Disk, Storage};
use crate::timestamp::Timestamp;
use crate::topic::{TopicName, TopicPartition};

/// A log directory, opened for looking.
///
/// What is seen is what recovery would see at that moment; [`PartitionView::refresh`] looks again. A batch that a writer is just
/// writing is the end of the view, not damage.
#[derive(Clone, Debug)]
pub struct LogView {
    storage: Arc<dyn Storage>,
    dir: Arc<Path>,
    topics: BTreeMap<TopicName, Vec<TopicPartition>>,
}

/// A topic of a [`LogView`].
#[derive(Clone, Debug)]
pub struct TopicView {
    log: LogView,
    name: TopicName,
}

/// A partition of a [`LogView`]: everything that reads, nothing that writes.
#[derive(Clone, Debug)]
pub struct PartitionView {
    dir: PartitionDir,
    reader: PartitionReader,
}

impl Log {
    /// Opens a log directory for reading only, also beside a live writer in another process. Writes nothing, locks nothing. Links in
    /// the path are followed, links in the directory are not.
    ///
    /// # Errors
    /// `NotFound` when there is no such directory; `Io`.
    pub fn view(path: impl AsRef<Path>) -> Result<LogView> {
        LogView::open(Arc::new(Disk::new()), &Disk::resolve(path.as_ref())?)
    }
}

impl LogView {
    /// As [`Log::view`], on another medium.
    ///
    /// # Errors
    /// As [`Log::view`].
    pub fn open(storage: Arc<dyn Storage>, path: &Path) -> Result<Self> {
        let mut topics: BTreeMap<TopicName, Vec<TopicPartition>> = BTreeMap::new();
        for partition in DirectoryListing::read(&*storage, path)?.partitions {
            topics
                .entry(partition.topic().clone())
                .or_default()
                .push(partition);
        }
        for partitions in topics.values_mut() {
            partitions.sort();
        }
        Ok(Self {
            storage,
            dir: path.into(),
            topics,
        })
    }

    /// The topics, by name.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicView> {
        self.topics
            .keys()
            .map(|name| TopicView {
                log: self.clone(),
                name: name.clone(),
            })
            .collect()
    }

    /// One topic.
    ///
    /// # Errors
    /// `InvalidInput` for a name that no topic can have; `NotFound`.
    pub fn topic(&self, name: &str) -> Result<TopicView> {
        let name = TopicName::new(name)?;
        if self.topics.contains_key(&name) {
            return Ok(TopicView {
                log: self.clone(),
                name,
            });
        }
        Err(
            Error::new(ErrorKind::NotFound, format!("there is no topic {name}"))
                .path_is(&*self.dir),
        )
    }
}

impl TopicView {
    /// The topic's name.
    #[must_use]
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// The numbers of the partitions that stand here.
    #[must_use]
    pub fn partitions(&self) -> Vec<u32> {
        self.log
            .topics
            .get(&self.name)
            .into_iter()
            .flatten()
            .map(TopicPartition::index)
            .collect()
    }

    /// Looks at one partition.
    ///
    /// # Errors
    /// `NotFound`; `Io`. Damage is no error here: a cursor tells it as a gap.
    pub fn partition(&self, index: u32) -> Result<PartitionView> {
        let known = self.log.topics.get(&self.name).into_iter().flatten();
        let Some(name) = known
            .into_iter()
            .find(|partition| partition.index() == index)
        else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("topic {} has no partition {index} here", self.name),
            )
            .path_is(&*self.log.dir));
        };
        let path = self.log.dir.join(name.to_string());
        PartitionView::open(PartitionDir::new(Arc::clone(&self.log.storage), &path)?)
    }
}

impl PartitionView {
    pub(super) fn open(dir: PartitionDir) -> Result<Self> {
        let reader = dir.reader()?;
        Ok(Self { dir, reader })
    }

    /// Looks at the directory again: what a writer appended, rolled, trimmed or cut meanwhile is seen by this view and its cursors from
    /// now on.
    ///
    /// # Errors
    /// `Io`; `NotFound` once the partition is gone.
    pub fn refresh(&self) -> Result<()> {
        let (opening, _) = self.dir.look()?;
        self.reader.published.refresh(opening);
        Ok(())
    }

    /// A cursor that starts at `start`.
    ///
    /// # Errors
    /// `OffsetOutOfRange` for an offset that the view does not have.
    pub fn cursor(&self, start: Start) -> Result<Cursor> {
        Cursor::over(self.reader.clone(), start)
    }

    /// One record.
    ///
    /// # Errors
    /// As [`Partition::get`](crate::Partition::get).
    pub fn get(&self, offset: Offset) -> Result<StoredRecord> {
        self.reader.get(offset)
    }

    /// Raw batches, never waiting for data.
    ///
    /// # Errors
    /// As [`Partition::fetch`](crate::Partition::fetch).
    pub fn fetch(&self, request: &Fetch) -> Result<Fetched> {
        self.reader.fetch(request)
    }

    /// The marks as they were at the last look.
    #[must_use]
    pub fn watermarks(&self) -> Watermarks {
        self.reader.published.watermarks()
    }

    /// The first offset whose record has a time of `at` or later. What is damaged has no time, and is passed.
    ///
    /// # Errors
    /// `Io`; `NotFound` when the writer has removed a segment since the last look: [`PartitionView::refresh`], and ask again.
    pub fn offset_for(&self, at: Timestamp) -> Result<Option<Offset>> {
        let found = self.reader.offset_for(at, Search::AllSegments)?;
        Ok(found.map(|found| found.offset))
    }

    /// The segments as they were at the last look.
    ///
    /// # Errors
    /// `Io` from reading an index.
    pub fn segments(&self) -> Result<Vec<Segment>> {
        self.reader.segments()
    }
}

//! The log directory, held open for writing: lock, options of topics, folders of partitions, and the two ends of its life.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::directory::{
    Checkpoint, CheckpointName, DirectoryListing, DirectoryLock, Kafkas, Marker, OwnerFacts,
    OwnerFile, OwnerRow, Reserve, TopicsFile, decide_owner, draw_incarnation, new_topic_id,
    write_topic_id,
};
use crate::error::{Error, ErrorKind, Result};
use crate::partition::{ClosedFacts, Incarnation, Owner};
use crate::segment::{OpenFiles, SegmentHome};
use crate::storage::Storage;
use crate::topic::{TopicId, TopicName, TopicPartition};

/// The directory of an open log.
#[derive(Debug)]
pub(crate) struct LogFolder {
    storage: Arc<dyn Storage>,
    dir: Arc<Path>,
    open_files: Arc<OpenFiles>,
    owner: OwnerFile,
    topics: TopicsFile,
    /// What Kafka's checkpoints say of folders that only Kafka opens; it stays there.
    kafkas: [(CheckpointName, Checkpoint); CheckpointName::ALL.len()],
    /// A folder of ours was closed and could not be deleted: its tail stands as a crash leaves it, and only recovery may judge it.
    has_leftovers: bool,
    /// Let go of at the end of `close`.
    lock: Option<DirectoryLock>,
}

/// Where a partition's files go, and whether anything stands there.
#[derive(Debug)]
pub(super) enum MadeFolder {
    New(SegmentHome),
    /// An interrupted creation, or a deletion that failed, left it.
    Present(SegmentHome),
}

/// What opening the directory found, for the partitions and for the report.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) listing: DirectoryListing,
    pub(super) owner: OwnerRow,
    pub(super) recovery_points: Checkpoint,
    pub(super) log_starts: Checkpoint,
    /// What could not be read, in words: such a checkpoint is derived, never evidence.
    pub(super) unreadable: Vec<Error>,
}

impl LogFolder {
    /// Opens the directory for writing. A crash between two steps leaves:
    /// 1. made the directory: an empty directory, or none;
    /// 2. took both locks: as before, the locks die with the process;
    /// 3. read listing, owner, marker, checkpoints and options, and decided who wrote last: as before. The name of an empty directory is
    ///    synced, and so are those above it, whoever made them: a process that was killed here, or somebody else, may not have;
    /// 4. wrote `stratalog.owner`, synced: the same verdict, because the marker is still there, or the same files as witnesses;
    /// 5. deleted the marker, synced: "ours, unclean", which recovery handles like any crash of ours. Only now are partitions touched.
    ///
    /// Step 4 of an adopted directory draws the incarnation that step 5 makes ours: a crash in between leaves somebody else's marker, and
    /// the next open adopts again.
    pub(super) fn open(
        storage: Arc<dyn Storage>,
        dir: &Arc<Path>,
        open_files: Arc<OpenFiles>,
    ) -> Result<(Self, Found)> {
        make_directory(&*storage, dir)?;
        let lock = DirectoryLock::take(&*storage, dir)?;
        let listing = DirectoryListing::read(&*storage, dir)?;
        let file = OwnerFile::read(&*storage, dir)?;
        let owner = decide_owner(OwnerFacts::gather(
            &*storage,
            dir,
            listing.is_empty,
            file.as_ref(),
        )?);
        if owner.verdict == Owner::Fresh {
            sync_names(&*storage, dir)?;
        }
        let mut unreadable = Vec::new();
        let mut kafkas = CheckpointName::ALL.map(|name| (name, Checkpoint::default()));
        let mut checkpoint = |name| match Checkpoint::read(&*storage, dir, name) {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                unreadable.push(error);
                Ok(Checkpoint::default())
            }
            read => read,
        };
        for (name, entries) in &mut kafkas {
            *entries = checkpoint(*name)?;
        }
        let [recovery_points, log_starts, _] = kafkas.clone().map(|(_, entries)| entries);
        for (_, entries) in &mut kafkas {
            entries.retain(|partition| listing.is_kafkas(partition));
        }
        let topics = TopicsFile::read(&*storage, dir)?;
        let noted = file.as_ref().map(|file| file.kafkas);
        let mut owner_file = match (owner.verdict, file) {
            (Owner::OursClean | Owner::OursUnclean, Some(file)) => file,
            _ => OwnerFile::new(draw_incarnation()?),
        };
        owner_file.opens = owner_file.opens.saturating_add(1);
        owner_file.kafkas = Kafkas::at_open(&listing, owner.verdict, noted);
        match owner.verdict {
            Owner::OursUnclean => owner_file.look_also(&*storage, dir)?,
            _ => owner_file.look_again(&*storage, dir)?,
        }
        owner_file.write(&*storage, dir)?;
        Marker::delete(&*storage, dir)?;
        let folder = Self {
            storage,
            dir: Arc::clone(dir),
            open_files,
            owner: owner_file,
            topics,
            kafkas,
            has_leftovers: false,
            lock: Some(lock),
        };
        Ok((
            folder,
            Found {
                listing,
                owner,
                recovery_points,
                log_starts,
                unreadable,
            },
        ))
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        self.owner.incarnation
    }

    /// Where a partition's files are.
    pub(super) fn home(&self, partition: &TopicPartition) -> SegmentHome {
        SegmentHome {
            storage: Arc::clone(&self.storage),
            dir: self.dir.join(partition.to_string()).into(),
            open_files: Arc::clone(&self.open_files),
        }
    }

    pub(super) fn topics(&self) -> &TopicsFile {
        &self.topics
    }

    /// Notes a topic's options; durable on return.
    pub(super) fn write_topic_options(
        &mut self,
        topic: &TopicName,
        pairs: &[(&'static str, String)],
    ) -> Result<()> {
        let mut changed = self.topics.clone();
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        changed.set(topic.clone(), pairs);
        self.replace_topics(changed)
    }

    pub(super) fn forget_topic_options(&mut self, topic: &TopicName) -> Result<()> {
        let mut changed = self.topics.clone();
        changed.remove(topic);
        self.replace_topics(changed)
    }

    fn replace_topics(&mut self, changed: TopicsFile) -> Result<()> {
        if changed != self.topics {
            changed.write(&*self.storage, &self.dir)?;
            self.topics = changed;
        }
        Ok(())
    }

    /// Makes a partition's folder with its topic's id. The folder's name lasts once the log directory is synced. A folder that an
    /// interrupted creation left is taken over; a link of that name is refused, because it leads out of the log directory.
    pub(super) fn make_partition_dir(
        &self,
        partition: &TopicPartition,
        id: TopicId,
    ) -> Result<MadeFolder> {
        let home = self.home(partition);
        let made = match self.storage.create_dir(&home.dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.storage.list(&home.dir).map_err(|error| {
                    error.remedy("remove what stands there; it is no folder of the log")
                })?;
                MadeFolder::Present(home.clone())
            }
            made => made.map(|()| MadeFolder::New(home.clone()))?,
        };
        write_topic_id(&*self.storage, &home.dir, id)?;
        Ok(made)
    }

    /// A topic was closed and could not be deleted.
    pub(super) fn note_leftovers(&mut self) {
        self.has_leftovers = true;
    }

    /// Renames a partition's folder as Kafka does before it deletes one, so that a half-deleted partition is never opened as a whole one.
    pub(super) fn rename_for_deletion(&self, partition: &TopicPartition) -> Result<PathBuf> {
        let id = u128::from_be_bytes(*new_topic_id()?.as_bytes());
        let suffix = format!(".{id:032x}-delete");
        let mut name = partition.to_string();
        // Kafka cuts the topic so that the name stays within 255 bytes; topic names are ASCII.
        name.truncate(255usize.saturating_sub(suffix.len()));
        let renamed = self.dir.join(name + &suffix);
        self.storage
            .rename(&self.dir.join(partition.to_string()), &renamed)?;
        Ok(renamed)
    }

    /// Removes a folder and the files in it. Nothing is below a partition's folder; what somebody put there stays, with the folder.
    pub(super) fn remove_folder(&self, folder: &Path) -> Result<()> {
        for entry in self.storage.list(folder)? {
            self.storage.remove(&folder.join(entry.name))?;
        }
        self.storage.remove_dir(folder)
    }

    /// Makes the names of new partitions last.
    pub(super) fn sync(&self) -> Result<()> {
        self.storage.sync_dir(&self.dir)
    }

    /// Keeps a little room for bad days.
    pub(super) fn fill_reserve(&self) -> Result<()> {
        Reserve::fill(&*self.storage, &self.dir)
    }

    /// Ends a clean life. All partitions are closed. A crash between two steps leaves:
    /// 1. wrote `stratalog.owner` with the looks that step 2 gives its witnesses, synced: "ours, unclean";
    /// 2. replaced each checkpoint: "ours, unclean", because either look of each is ours;
    /// 3. wrote the marker, synced: "ours, clean". Not while a folder stands here that only a broker can recover: a broker that finds the
    ///    marker takes a torn tail in it for records, and does not start or loses what it acknowledges behind it. Nor beside what a
    ///    deletion left.
    pub(super) fn close_clean(
        &mut self,
        partitions: &[(TopicPartition, ClosedFacts)],
    ) -> Result<()> {
        let mut checkpoints = self.kafkas.clone();
        for (name, checkpoint) in &mut checkpoints {
            for (partition, facts) in partitions {
                let offset = match name {
                    CheckpointName::RecoveryPoint => Some(facts.recovery_point),
                    CheckpointName::HighWatermark => Some(facts.high),
                    CheckpointName::LogStart => {
                        facts.start_is_inside_segment.then_some(facts.log_start)
                    }
                };
                if let Some(offset) = offset {
                    checkpoint.set(partition.clone(), offset);
                }
            }
        }
        self.owner.look_also(&*self.storage, &self.dir)?;
        for (name, checkpoint) in &checkpoints {
            self.owner.expect(*name, &checkpoint.to_text());
        }
        self.owner.write(&*self.storage, &self.dir)?;
        for (name, checkpoint) in &checkpoints {
            checkpoint.write(&*self.storage, &self.dir, *name)?;
        }
        let is_clean = self.owner.kafkas == Kafkas::Clean && !self.has_leftovers;
        if !is_clean {
            return Ok(());
        }
        Marker::write(&*self.storage, &self.dir, self.owner.incarnation)
    }

    /// Lets go of both locks.
    pub(super) fn unlock(&mut self) {
        self.lock = None;
    }
}

/// Makes the directory and what is missing above it. No name lasts yet.
fn make_directory(storage: &dyn Storage, dir: &Path) -> Result<()> {
    match storage.create_dir(dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = dir
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
                .ok_or(error)?;
            make_directory(storage, parent)?;
            storage.create_dir(dir)
        }
        // On a medium that takes no writes the directory may stand there all the same.
        Err(error) if error.kind() == ErrorKind::ReadOnly && storage.list(dir).is_ok() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the names of the directory and of all above it last.
fn sync_names(storage: &dyn Storage, dir: &Path) -> Result<()> {
    for above in dir.ancestors().skip(1) {
        let above = match above.as_os_str().is_empty() {
            true => Path::new("."),
            false => above,
        };
        match storage.sync_dir(above) {
            // Who may not look into it has not made what stands in it, either.
            Err(error) if error.kind() == ErrorKind::ReadOnly => return Ok(()),
            synced => synced?,
        }
    }
    Ok(())
}

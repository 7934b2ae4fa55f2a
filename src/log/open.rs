//! Opening a log: the directory first, then each partition, then the topics over them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::folder::{Found, LogFolder};
use super::housekeeper::Housekeeper;
use super::options::LogBuilder;
use super::report::RecoveryReport;
use super::workers::Workers;
use super::{Log, LogCore, TopicCore, make_partition};
use crate::directory::{Reserve, new_topic_id, read_topic_id};
use crate::error::{Error, ErrorKind, Result};
use crate::partition::{
    MakeRoom, OpenFacts, Partition, PartitionCore, PartitionRecovery, SharedByLog, SyncRequests,
    TopicOptions, UnsyncedBudget,
};
use crate::segment::OpenFiles;
use crate::storage::{Latch, Storage};
use crate::sync::{Mutex, RwLock, atomic::AtomicBool};
use crate::topic::{TopicId, TopicName, TopicPartition};

impl Log {
    /// Opens the log; the builder's options are in range.
    pub(super) fn open_with(path: &Path, builder: LogBuilder) -> Result<Self> {
        let started = builder.clock.monotonic();
        let dir: Arc<Path> = path.into();
        let open_files = Arc::new(OpenFiles::new(builder.max_open_files));
        let storage = Arc::clone(&builder.storage);
        let (folder, found) = LogFolder::open(Arc::clone(&storage), &dir, Arc::clone(&open_files))?;
        let shared = Arc::new(SharedByLog {
            clock: Arc::clone(&builder.clock),
            sync_requests: SyncRequests::default(),
            unsynced: UnsyncedBudget::new(builder.unsynced_limit_bytes),
            make_room: give_back_reserve(&storage, &dir),
            incarnation: folder.incarnation(),
            boot_id: storage.boot_id().ok(),
        });
        let (topics, recovered) = open_topics(&folder, &found, &builder.defaults, &shared)?;
        folder.fill_reserve()?;
        let elapsed = builder.clock.monotonic().saturating_sub(started);
        let core = Arc::new(LogCore {
            dir,
            storage,
            recovery: RecoveryReport::new(found, recovered, elapsed),
            housekeeper: Housekeeper::new(&*shared.clock),
            shared,
            defaults: builder.defaults,
            topics: RwLock::new(topics),
            folder: Mutex::new(folder),
            folder_latch: Latch::default(),
            workers: Workers::default(),
            closed: AtomicBool::new(false),
        });
        Workers::start(&core, builder.maintenance)?;
        Ok(Self { core })
    }
}

fn give_back_reserve(storage: &Arc<dyn Storage>, dir: &Arc<Path>) -> MakeRoom {
    let (storage, dir) = (Arc::clone(storage), Arc::clone(dir));
    let make_room = MakeRoom::default();
    make_room.0.get_or_init(|| {
        Box::new(move || {
            // Without the room the caller fails with the error it has already.
            drop(Reserve::free(&*storage, &dir));
        })
    });
    make_room
}

type Topics = BTreeMap<TopicName, Arc<TopicCore>>;

/// Opens every partition that stands in the directory, one at a time, and completes topics whose creation was interrupted.
fn open_topics(
    folder: &LogFolder,
    found: &Found,
    defaults: &TopicOptions,
    shared: &Arc<SharedByLog>,
) -> Result<(Topics, Vec<PartitionRecovery>)> {
    let mut by_topic: BTreeMap<TopicName, Vec<TopicPartition>> = BTreeMap::new();
    for partition in &found.listing.partitions {
        by_topic
            .entry(partition.topic().clone())
            .or_default()
            .push(partition.clone());
    }
    let mut topics = Topics::new();
    let mut recovered = Vec::new();
    for (name, names) in by_topic {
        let options = Arc::new(options_of(folder, &name, defaults)?);
        let id = topic_id(folder, &names)?;
        let mut partitions = BTreeMap::new();
        for partition in names {
            let index = partition.index();
            let facts = OpenFacts {
                owner: found.owner.verdict,
                recovery_point: found.recovery_points.get(&partition),
                log_start: found.log_starts.get(&partition),
                incarnation: folder.incarnation(),
            };
            let home = folder.home(&partition);
            let (core, recovery) = PartitionCore::open(
                partition,
                home,
                Arc::clone(&options),
                facts,
                Arc::clone(shared),
            )?;
            partitions.insert(index, Partition { core });
            recovered.push(recovery);
        }
        complete(folder, shared, &name, (&options, id), &mut partitions)?;
        topics.insert(
            name.clone(),
            Arc::new(TopicCore::new(name, id, options, partitions)),
        );
    }
    Ok((topics, recovered))
}

/// Makes the partitions that an interrupted creation left out. Only of topics with a line in `stratalog.topics`: those we have made.
fn complete(
    folder: &LogFolder,
    shared: &Arc<SharedByLog>,
    name: &TopicName,
    (options, id): (&Arc<TopicOptions>, TopicId),
    partitions: &mut BTreeMap<u32, Partition>,
) -> Result<()> {
    if folder.topics().get(name).is_none() {
        return Ok(());
    }
    for index in 0..options.partitions {
        if partitions.contains_key(&index) {
            continue;
        }
        let partition = TopicPartition::new(name.clone(), index)?;
        let made = make_partition(folder, shared, partition, options, id)?;
        partitions.insert(index, made);
        folder.sync()?;
    }
    Ok(())
}

/// The options in `stratalog.topics`, or the log's defaults for a topic without a line.
fn options_of(
    folder: &LogFolder,
    topic: &TopicName,
    defaults: &TopicOptions,
) -> Result<TopicOptions> {
    let Some(pairs) = folder.topics().get(topic) else {
        return Ok(defaults.clone());
    };
    let options = TopicOptions::from_pairs(
        pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str())),
    );
    options
        .and_then(|options| options.validate().map(|()| options))
        .map_err(|error| {
            Error::new(
                error.kind(),
                format!("the options of topic {topic} in stratalog.topics cannot be used"),
            )
            .caused_by(error)
        })
}

/// The id that the folders have; a topic without one gets one for as long as it is open, and nothing is written: an id that a cluster does
/// not know would make its broker set the folder aside.
fn topic_id(folder: &LogFolder, partitions: &[TopicPartition]) -> Result<TopicId> {
    for partition in partitions {
        let home = folder.home(partition);
        match read_topic_id(&*home.storage, &home.dir) {
            Ok(Some(id)) => return Ok(id),
            Ok(None) => {}
            // The log decides; the id only names it.
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            Err(error) => return Err(error),
        }
    }
    new_topic_id()
}

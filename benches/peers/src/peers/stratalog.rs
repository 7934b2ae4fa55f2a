//! The log itself, with its defaults but for the policy of syncs.

use anyhow::{Context as _, Result};
use stratalog::{
    Compression, FsyncPolicy, Log, Offset, Partition, Record, RecordBatchBuilder, Start,
    TopicOptions,
};

use crate::store::{Abilities, Durability, Kind, Peer, Store};

pub const PEER: Peer = Peer {
    name: "stratalog",
    kind: Kind::Ours,
    abilities: Abilities {
        process: true,
        power: true,
        scan: true,
        get: true,
    },
    promises: "CRC-32C checked on every read; a batch is all or nothing; never half a record after a power cut",
    open: |setup| {
        let policy = match setup.durability {
            Durability::Process => FsyncPolicy::Never,
            Durability::Power => FsyncPolicy::Always,
        };
        let log = Log::open(setup.dir)?;
        let topic = log.create_topic("peers", TopicOptions::default().fsync(policy))?;
        let partition = topic.partition(0)?;
        Ok(Box::new(Stratalog {
            partition,
            _log: log,
        }))
    },
};

struct Stratalog {
    partition: Partition,
    _log: Log,
}

impl Store for Stratalog {
    fn append(&self, record: &[u8]) -> Result<()> {
        self.partition.append(Record::new(record))?;
        Ok(())
    }

    fn append_batch(&self, records: &[&[u8]]) -> Result<()> {
        let mut batch = RecordBatchBuilder::new(Compression::None);
        for record in records {
            batch.push(Record::new(*record))?;
        }
        self.partition.append_batch(&batch)?;
        Ok(())
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut cursor = self.partition.cursor(Start::Earliest)?;
        while let Some(batch) = cursor.next_batch()? {
            for record in batch.records() {
                each(record?.value().context("a value")?);
            }
        }
        Ok(())
    }

    fn get(&self, number: u64, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        let offset = Offset::new(number).context("a small number")?;
        take(self.partition.get(offset)?.value().context("a value")?);
        Ok(())
    }
}

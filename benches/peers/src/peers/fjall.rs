//! fjall: a store of keys in a log-structured tree; the key is the record's number.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::store::{Abilities, Durability, Kind, Peer, Store};

pub const PEER: Peer = Peer {
    name: "fjall",
    kind: Kind::Peer,
    abilities: Abilities {
        process: true,
        power: true,
        scan: true,
        get: true,
    },
    promises: "a batch is all or nothing; blocks have checksums; the newest records stand in memory as well",
    open: |setup| {
        let database = Database::builder(setup.dir.join("db")).open()?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
        let mode = match setup.durability {
            Durability::Process => PersistMode::Buffer,
            Durability::Power => PersistMode::SyncData,
        };
        Ok(Box::new(Adapter {
            database,
            records,
            mode,
            next: AtomicU64::new(0),
        }))
    },
};

struct Adapter {
    database: Database,
    records: Keyspace,
    mode: PersistMode,
    next: AtomicU64,
}

impl Store for Adapter {
    fn append(&self, record: &[u8]) -> Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.records.insert(number.to_be_bytes(), record)?;
        Ok(self.database.persist(self.mode)?)
    }

    fn append_batch(&self, records: &[&[u8]]) -> Result<()> {
        let mut number = self.next.fetch_add(records.len() as u64, Ordering::Relaxed);
        let mut batch = self.database.batch().durability(Some(self.mode));
        for record in records {
            batch.insert(&self.records, number.to_be_bytes(), *record);
            number += 1;
        }
        Ok(batch.commit()?)
    }

    fn settle(&self) -> Result<()> {
        Ok(self.records.rotate_memtable_and_wait()?)
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        for entry in self.records.iter() {
            each(&entry.value()?);
        }
        Ok(())
    }

    fn get(&self, number: u64, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        take(
            &self
                .records
                .get(number.to_be_bytes())?
                .context("a record")?,
        );
        Ok(())
    }
}

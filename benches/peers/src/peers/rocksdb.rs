//! RocksDB: a store of keys with a write-ahead log; the key is the record's number.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use rocksdb::{DB, IteratorMode, Options, WriteBatch, WriteOptions};

use crate::store::{Abilities, Durability, Kind, Peer, Store};

pub const PEER: Peer = Peer {
    name: "RocksDB",
    kind: Kind::Peer,
    abilities: Abilities {
        process: true,
        power: true,
        scan: true,
        get: true,
    },
    promises: "a batch is all or nothing; checksums of blocks checked on reads; the newest records stand in memory as well",
    open: |setup| {
        let mut options = Options::default();
        options.create_if_missing(true);
        let mut write = WriteOptions::default();
        write.set_sync(setup.durability == Durability::Power);
        Ok(Box::new(Adapter {
            db: DB::open(&options, setup.dir.join("db"))?,
            write,
            next: AtomicU64::new(0),
        }))
    },
};

struct Adapter {
    db: DB,
    write: WriteOptions,
    next: AtomicU64,
}

impl Store for Adapter {
    fn append(&self, record: &[u8]) -> Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(self.db.put_opt(number.to_be_bytes(), record, &self.write)?)
    }

    fn append_batch(&self, records: &[&[u8]]) -> Result<()> {
        let mut number = self.next.fetch_add(records.len() as u64, Ordering::Relaxed);
        let mut batch = WriteBatch::default();
        for record in records {
            batch.put(number.to_be_bytes(), record);
            number += 1;
        }
        Ok(self.db.write_opt(batch, &self.write)?)
    }

    fn settle(&self) -> Result<()> {
        Ok(self.db.flush()?)
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        for entry in self.db.iterator(IteratorMode::Start) {
            each(&entry?.1);
        }
        Ok(())
    }

    fn get(&self, number: u64, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        take(
            &self
                .db
                .get_pinned(number.to_be_bytes())?
                .context("a record")?,
        );
        Ok(())
    }
}

//! wal-db: a write-ahead log with appends beside each other and shared syncs.

use std::sync::Mutex;

use anyhow::{Context as _, Result};
use wal_db::{Lsn, Wal};

use crate::store::{Abilities, Durability, Kind, Peer, Store};

pub const PEER: Peer = Peer {
    name: "wal-db",
    kind: Kind::Peer,
    abilities: Abilities {
        process: true,
        power: true,
        scan: true,
        get: true,
    },
    promises: "CRC-32C checked on every read; a reader finds a record by a place that its user keeps",
    open: |setup| {
        Ok(Box::new(Adapter {
            wal: Wal::open(setup.dir.join("wal"))?,
            durability: setup.durability,
            places: Mutex::default(),
        }))
    },
};

struct Adapter {
    wal: Wal,
    durability: Durability,
    /// Where each record stands, which a user of this log keeps.
    places: Mutex<Vec<Lsn>>,
}

impl Adapter {
    fn keep(&self, places: impl IntoIterator<Item = Lsn>) {
        let mut kept = self.places.lock().expect("nobody panics with it");
        kept.extend(places);
    }
}

impl Store for Adapter {
    fn append(&self, record: &[u8]) -> Result<()> {
        let place = match self.durability {
            Durability::Process => self.wal.append(record)?,
            Durability::Power => self.wal.append_and_sync(record)?,
        };
        self.keep([place]);
        Ok(())
    }

    /// It has no call for several.
    fn append_batch(&self, records: &[&[u8]]) -> Result<()> {
        let mut places = Vec::with_capacity(records.len());
        for record in records {
            places.push(self.wal.append(record)?);
        }
        self.keep(places);
        if self.durability == Durability::Power {
            self.wal.sync()?;
        }
        Ok(())
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        for record in self.wal.iter()? {
            each(record?.data());
        }
        Ok(())
    }

    fn get(&self, number: u64, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        let place = self.places.lock().expect("nobody panics with it")[number as usize];
        let record = self.wal.iter_from(place)?.next().context("a record")??;
        take(record.data());
        Ok(())
    }
}

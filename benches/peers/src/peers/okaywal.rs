//! OkayWAL: every entry is synced, many writers share a sync. It reads one chunk at a place, and all of them only while it recovers.

use std::io;
use std::sync::Mutex;

use anyhow::{Result, ensure};
use okaywal::{Configuration, LogPosition, LogVoid, WriteAheadLog};

use crate::store::{Abilities, Kind, Peer, Store};

/// Above what is measured, so that no checkpoint drops what is read afterwards.
const FILE_BYTES: u32 = 512 << 20;

pub const PEER: Peer = Peer {
    name: "okaywal",
    kind: Kind::Peer,
    abilities: Abilities {
        process: false,
        power: true,
        scan: false,
        get: true,
    },
    promises: "CRC-32 a chunk, checked when asked for; a reader finds a record by a place that its user keeps",
    open: |setup| {
        let configuration = Configuration::default_for(setup.dir.join("wal"))
            .preallocate_bytes(FILE_BYTES)
            .checkpoint_after_bytes(u64::from(FILE_BYTES) - 1);
        Ok(Box::new(Adapter {
            wal: configuration.open(LogVoid)?,
            places: Mutex::default(),
        }))
    },
};

struct Adapter {
    wal: WriteAheadLog,
    places: Mutex<Vec<LogPosition>>,
}

impl Store for Adapter {
    fn append(&self, record: &[u8]) -> Result<()> {
        let mut entry = self.wal.begin_entry()?;
        entry.write_chunk(record)?;
        entry.commit()?;
        Ok(())
    }

    fn append_batch(&self, records: &[&[u8]]) -> Result<()> {
        let mut entry = self.wal.begin_entry()?;
        let mut places = Vec::with_capacity(records.len());
        for record in records {
            places.push(entry.write_chunk(record)?.position);
        }
        entry.commit()?;
        self.places
            .lock()
            .expect("nobody panics with it")
            .extend(places);
        Ok(())
    }

    fn scan(&self, _: &mut dyn FnMut(&[u8])) -> Result<()> {
        unreachable!("it is not among its abilities")
    }

    fn get(&self, number: u64, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        let place = self.places.lock().expect("nobody panics with it")[number as usize];
        let mut chunk = self.wal.read_at(place)?;
        let mut record = Vec::new();
        io::copy(&mut chunk, &mut record)?;
        ensure!(chunk.crc_is_valid()?, "a wrong checksum");
        take(&record);
        Ok(())
    }
}

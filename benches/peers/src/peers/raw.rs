//! The least that any log can do: the very bytes that ours writes, encoded before, through `pwrite` and `pread`, with nothing checked.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use stratalog::{Compression, Record, RecordBatchBuilder};

use crate::store::{Abilities, Durability, Kind, Peer, Store};

/// Synced writes go round in space that was written before.
const RING_BYTES: u64 = 8 << 20;
const BLOCK_BYTES: usize = 64 * 1024;

pub const PEER: Peer = Peer {
    name: "raw pwrite/pread",
    kind: Kind::Floor,
    abilities: Abilities {
        process: true,
        power: true,
        scan: true,
        get: true,
    },
    promises: "none: no checksum, no recovery, no reader beside the writer",
    open: |setup| {
        let file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(setup.dir.join("raw"))?;
        if setup.durability == Durability::Power {
            file.write_all_at(&vec![0; RING_BYTES as usize], 0)?;
            file.sync_all()?;
        }
        Ok(Box::new(Raw {
            file,
            durability: setup.durability,
            end: AtomicU64::new(0),
            encoded: Mutex::default(),
        }))
    },
};

struct Raw {
    file: File,
    durability: Durability,
    end: AtomicU64,
    /// A batch of so many records of such a length, as ours would write it.
    encoded: Mutex<HashMap<(usize, usize), &'static [u8]>>,
}

impl Raw {
    fn write(&self, records: &[&[u8]]) -> Result<()> {
        let bytes = self.batch_of(records)?;
        let len = bytes.len() as u64;
        let end = self.end.fetch_add(len, Ordering::Relaxed);
        match self.durability {
            Durability::Process => self.file.write_all_at(bytes, end)?,
            Durability::Power => {
                self.file.write_all_at(bytes, end % (RING_BYTES - len))?;
                self.file.sync_data()?;
            }
        }
        Ok(())
    }

    fn batch_of(&self, records: &[&[u8]]) -> Result<&'static [u8]> {
        let shape = (records.len(), records.first().context("a record")?.len());
        let mut encoded = self.encoded.lock().expect("nobody panics with it");
        if let Some(bytes) = encoded.get(&shape) {
            return Ok(bytes);
        }
        let mut batch = RecordBatchBuilder::new(Compression::None);
        for record in records {
            batch.push(Record::new(*record))?;
        }
        // A handful of shapes in all.
        let bytes = Box::leak(batch.finish()?.as_bytes().to_vec().into_boxed_slice());
        encoded.insert(shape, bytes);
        Ok(bytes)
    }
}

impl Store for Raw {
    fn append(&self, record: &[u8]) -> Result<()> {
        self.write(&[record])
    }

    fn append_batch(&self, records: &[&[u8]]) -> Result<()> {
        self.write(records)
    }

    /// A block a call, because nothing here knows where a record begins.
    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut block = vec![0; BLOCK_BYTES];
        let mut position = 0;
        loop {
            let read = self.file.read_at(&mut block, position)?;
            if read == 0 {
                return Ok(());
            }
            each(&block[..read]);
            position += read as u64;
        }
    }

    /// Every batch has the same size here.
    fn get(&self, number: u64, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        let encoded = self.encoded.lock().expect("nobody panics with it");
        let (&(records, _), bytes) = encoded.iter().next().context("appended before")?;
        let mut batch = vec![0; bytes.len()];
        drop(encoded);
        let position = number / records as u64 * batch.len() as u64;
        self.file.read_exact_at(&mut batch, position)?;
        take(&batch);
        Ok(())
    }
}

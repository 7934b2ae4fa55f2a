//! commitlog: a log in Kafka's manner. It has no sync at all, so nothing of it is measured as durable.

use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};
use commitlog::message::{MessageBuf, MessageSet as _};
use commitlog::{CommitLog, LogOptions, ReadLimit};

use crate::store::{Abilities, Kind, Peer, Store};

const READ_BYTES: usize = 64 * 1024;

pub const PEER: Peer = Peer {
    name: "commitlog",
    kind: Kind::Peer,
    abilities: Abilities {
        process: true,
        power: false,
        scan: true,
        get: true,
    },
    promises: "CRC-32C checked on every read; never synced",
    open: |setup| {
        let mut options = LogOptions::new(setup.dir.join("log"));
        options
            .segment_max_bytes(1 << 30)
            .index_max_items(10_000_000);
        Ok(Box::new(Adapter(Mutex::new(CommitLog::new(options)?))))
    },
};

struct Adapter(Mutex<CommitLog>);

impl Store for Adapter {
    fn append(&self, record: &[u8]) -> Result<()> {
        let mut log = self.0.lock().expect("nobody panics with it");
        match log.append_msg(record) {
            Ok(_) => Ok(()),
            Err(error) => bail!("{error}"),
        }
    }

    fn append_batch(&self, records: &[&[u8]]) -> Result<()> {
        let mut messages = MessageBuf::default();
        for record in records {
            messages.push(record).ok().context("a small record")?;
        }
        let mut log = self.0.lock().expect("nobody panics with it");
        match log.append(&mut messages) {
            Ok(_) => Ok(()),
            Err(error) => bail!("{error}"),
        }
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        let log = self.0.lock().expect("nobody panics with it");
        let mut next = 0;
        while next < log.next_offset() {
            let Ok(messages) = log.read(next, ReadLimit::max_bytes(READ_BYTES)) else {
                bail!("cannot read at {next}");
            };
            for message in messages.iter() {
                each(message.payload());
                next = message.offset() + 1;
            }
        }
        Ok(())
    }

    fn get(&self, number: u64, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        let log = self.0.lock().expect("nobody panics with it");
        // The limit counts whole messages only, so it leaves room for one with its header.
        let Ok(messages) = log.read(number, ReadLimit::max_bytes(2048)) else {
            bail!("cannot read at {number}");
        };
        take(messages.iter().next().context("a message")?.payload());
        Ok(())
    }
}

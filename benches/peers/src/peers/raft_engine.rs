//! raft-engine: the log of TiKV's raft groups. A thread is a group, as one is there.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use crate::store::{Abilities, Durability, Kind, Peer, Store};

pub const PEER: Peer = Peer {
    name: "raft-engine",
    kind: Kind::Peer,
    abilities: Abilities {
        process: true,
        power: true,
        scan: true,
        get: true,
    },
    promises: "CRC-32 a batch, checked on reads; the place of every entry in memory; a thread has a group of its own",
    open: |setup| {
        let config = Config {
            dir: setup
                .dir
                .join("engine")
                .to_str()
                .context("a path")?
                .to_owned(),
            // Ours does not compress here either.
            batch_compression_threshold: ReadableSize(0),
            ..Config::default()
        };
        static STORES: AtomicU64 = AtomicU64::new(1);
        Ok(Box::new(Adapter {
            engine: Engine::open(config)?,
            durability: setup.durability,
            number: STORES.fetch_add(1, Ordering::Relaxed),
            groups: AtomicU64::new(0),
        }))
    },
};

/// An entry like that of raft, a number and bytes, in a type that the protobuf crate brings along.
struct Entry;

impl MessageExt for Entry {
    type Entry = UninterpretedOption;

    fn index(entry: &UninterpretedOption) -> u64 {
        entry.get_positive_int_value()
    }
}

struct Adapter {
    engine: Engine,
    durability: Durability,
    number: u64,
    groups: AtomicU64,
}

/// Where this thread appends.
#[derive(Clone, Copy, Default)]
struct Place {
    store: u64,
    group: u64,
    next: u64,
}

thread_local! {
    static PLACE: Cell<Place> = const { Cell::new(Place { store: 0, group: 0, next: 0 }) };
}

impl Adapter {
    fn place(&self) -> Place {
        let place = PLACE.get();
        if place.store == self.number {
            return place;
        }
        Place {
            store: self.number,
            group: self.groups.fetch_add(1, Ordering::Relaxed) + 1,
            next: 1,
        }
    }
}

impl Store for Adapter {
    fn append(&self, record: &[u8]) -> Result<()> {
        self.append_batch(&[record])
    }

    fn append_batch(&self, records: &[&[u8]]) -> Result<()> {
        let mut place = self.place();
        let entries: Vec<_> = records
            .iter()
            .map(|record| {
                let mut entry = UninterpretedOption::new();
                entry.set_positive_int_value(place.next);
                entry.set_string_value(record.to_vec());
                place.next += 1;
                entry
            })
            .collect();
        let mut batch = LogBatch::default();
        batch.add_entries::<Entry>(place.group, &entries)?;
        self.engine
            .write(&mut batch, self.durability == Durability::Power)?;
        PLACE.set(place);
        Ok(())
    }

    /// Of the thread that appended.
    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        let place = self.place();
        let mut entries = Vec::new();
        let mut next = 1;
        while next < place.next {
            let until = (next + 1000).min(place.next);
            self.engine
                .fetch_entries_to::<Entry>(place.group, next, until, None, &mut entries)?;
            for entry in entries.drain(..) {
                each(entry.get_string_value());
            }
            next = until;
        }
        Ok(())
    }

    fn get(&self, number: u64, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        let entry = self
            .engine
            .get_entry::<Entry>(self.place().group, number + 1)?;
        take(entry.context("an entry")?.get_string_value());
        Ok(())
    }
}

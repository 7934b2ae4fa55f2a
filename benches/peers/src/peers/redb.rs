//! redb: a tree of pages that are copied on write. A commit that is not synced does not survive the process, so it is measured as durable only.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use crate::store::{Abilities, Kind, Peer, Store};

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

pub const PEER: Peer = Peer {
    name: "redb",
    kind: Kind::Peer,
    abilities: Abilities {
        process: false,
        power: true,
        scan: true,
        get: true,
    },
    promises: "a transaction is all or nothing; no checksum on ordinary reads",
    open: |setup| {
        Ok(Box::new(Adapter {
            database: Database::create(setup.dir.join("redb"))?,
            next: AtomicU64::new(0),
        }))
    },
};

struct Adapter {
    database: Database,
    next: AtomicU64,
}

impl Store for Adapter {
    fn append(&self, record: &[u8]) -> Result<()> {
        self.append_batch(&[record])
    }

    fn append_batch(&self, records: &[&[u8]]) -> Result<()> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(RECORDS)?;
            for record in records {
                table.insert(self.next.fetch_add(1, Ordering::Relaxed), *record)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        let transaction = self.database.begin_read()?;
        for entry in transaction.open_table(RECORDS)?.iter()? {
            each(entry?.1.value());
        }
        Ok(())
    }

    fn get(&self, number: u64, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(RECORDS)?;
        take(table.get(number)?.context("a record")?.value());
        Ok(())
    }
}

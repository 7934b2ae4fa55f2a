//! SQLite with its write-ahead log: one table, the key is the record's number.

use std::sync::Mutex;

use anyhow::Result;
use rusqlite::Connection;

use crate::store::{Abilities, Durability, Kind, Peer, Store};

pub const PEER: Peer = Peer {
    name: "SQLite",
    kind: Kind::Peer,
    abilities: Abilities {
        process: true,
        power: true,
        scan: true,
        get: true,
    },
    promises: "a transaction is all or nothing; no checksum on reads",
    open: |setup| {
        let connection = Connection::open(setup.dir.join("records.db"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let synchronous = match setup.durability {
            Durability::Process => "NORMAL",
            Durability::Power => "FULL",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.execute(
            "CREATE TABLE records (number INTEGER PRIMARY KEY, value BLOB NOT NULL)",
            (),
        )?;
        Ok(Box::new(Adapter(Mutex::new(connection))))
    },
};

const INSERT: &str = "INSERT INTO records (value) VALUES (?1)";

struct Adapter(Mutex<Connection>);

impl Store for Adapter {
    fn append(&self, record: &[u8]) -> Result<()> {
        let connection = self.0.lock().expect("nobody panics with it");
        connection.prepare_cached(INSERT)?.execute([record])?;
        Ok(())
    }

    fn append_batch(&self, records: &[&[u8]]) -> Result<()> {
        let mut connection = self.0.lock().expect("nobody panics with it");
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for record in records {
                insert.execute([record])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn scan(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        let connection = self.0.lock().expect("nobody panics with it");
        let mut select = connection.prepare_cached("SELECT value FROM records ORDER BY number")?;
        let mut rows = select.query(())?;
        while let Some(row) = rows.next()? {
            each(row.get_ref(0)?.as_blob()?);
        }
        Ok(())
    }

    /// Its numbers begin at 1.
    fn get(&self, number: u64, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        let connection = self.0.lock().expect("nobody panics with it");
        let mut select =
            connection.prepare_cached("SELECT value FROM records WHERE number = ?1")?;
        let mut rows = select.query([number.cast_signed() + 1])?;
        let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        take(row.get_ref(0)?.as_blob()?);
        Ok(())
    }
}

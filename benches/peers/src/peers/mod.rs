//! The stores, one file each.

mod commitlog;
mod fjall;
mod okaywal;
mod raft_engine;
mod raw;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod sqlite;
mod stratalog;
mod wal_db;

use crate::store::Peer;

/// All of them, the log itself first.
pub fn all() -> Vec<Peer> {
    vec![
        stratalog::PEER,
        raw::PEER,
        commitlog::PEER,
        wal_db::PEER,
        okaywal::PEER,
        raft_engine::PEER,
        fjall::PEER,
        redb::PEER,
        #[cfg(feature = "rocksdb")]
        rocksdb::PEER,
        sqlite::PEER,
    ]
}

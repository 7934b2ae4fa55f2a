//! A service of one's own, tested on a disk that loses power at every operation.
//!
//! The service is a ledger: a transfer is one batch of two records, so that money never appears or vanishes. The test cuts
//! the power at every change that the ledger makes to the disk, keeps different parts of what was not synced, opens what
//! is left, and checks the ledger's own promise. Then it does the same on a device that lies about its cache, to show that
//! the test can fail.
//!
//! ```text
//! cargo run --release --features sim --example simulated_disk
//! ```

#![allow(
    clippy::print_stdout,
    missing_docs,
    reason = "a program beside the crate: it speaks to people"
)]

use std::sync::Arc;

use stratalog::storage::sim::{Failure, Fault, Keep, Sim};
use stratalog::{
    Compression, FsyncPolicy, Log, Maintenance, Partition, Record, RecordBatchBuilder, Result,
    Start, TopicOptions,
};

const TRANSFERS: i64 = 12;

/// What a crash may keep of what was not synced: nothing, all, or a draw.
fn keeps() -> impl Iterator<Item = Keep> {
    [Keep::None, Keep::All]
        .into_iter()
        .chain((1..=6).map(Keep::Random))
}

/// The service: four accounts in a log.
struct Ledger {
    log: Log,
    entries: Partition,
}

impl Ledger {
    fn open(disk: &Sim) -> Result<Self> {
        let options = TopicOptions::default()
            .fsync(FsyncPolicy::Never)
            .segment_bytes(1024);
        let log = Log::builder("/ledger")
            .storage(Arc::new(disk.clone()))
            .maintenance(Maintenance::Manual)
            .defaults(options)
            .open()?;
        let entries = log.topic("entries")?.partition(0)?;
        Ok(Self { log, entries })
    }

    /// Moves money. On return the transfer survives a power cut: that is what the caller tells its own client.
    fn transfer(&self, number: i64, from: &str, to: &str, amount: i64) -> Result<()> {
        let mut batch = RecordBatchBuilder::new(Compression::None);
        for (account, change) in [(from, -amount), (to, amount)] {
            let entry = format!("{number} {change}");
            batch.push(Record::new(&entry).key(account))?;
        }
        self.entries.append_batch(&batch)?.wait_durable()
    }

    /// The numbers of all transfers, and the sum of all accounts.
    fn read(&self) -> Result<(Vec<i64>, i64)> {
        let (mut transfers, mut sum) = (Vec::new(), 0);
        for record in self.entries.cursor(Start::Earliest)? {
            let record = record?;
            let text = String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned();
            let (number, change) = text.split_once(' ').expect("two numbers");
            let change: i64 = change.parse().expect("a number");
            sum += change;
            if change < 0 {
                transfers.push(number.parse().expect("a number"));
            }
        }
        Ok((transfers, sum))
    }
}

/// Works until the disk fails; the count of transfers that were acknowledged.
fn work(disk: &Sim) -> i64 {
    let mut acknowledged = 0;
    let Ok(ledger) = Ledger::open(disk) else {
        return 0;
    };
    let accounts = ["ann", "ben", "cleo", "dan"];
    for number in 0..TRANSFERS {
        let from = accounts[number as usize % 4];
        let to = accounts[(number as usize + 1) % 4];
        if ledger.transfer(number, from, to, 10 + number).is_err() {
            return acknowledged;
        }
        acknowledged += 1;
    }
    ledger.log.close().map_or(acknowledged, |()| acknowledged)
}

/// The ledger's promise: no money is made or lost, every acknowledged transfer is there, once and in order, and at most the
/// one that was under way besides.
fn is_kept(disk: &Sim, acknowledged: i64) -> Result<bool> {
    let (transfers, sum) = Ledger::open(disk)?.read()?;
    let is_in_order = transfers.iter().copied().eq(0..transfers.len() as i64);
    let count = transfers.len() as i64;
    Ok(sum == 0 && is_in_order && (acknowledged..=acknowledged + 1).contains(&count))
}

#[derive(Default)]
struct Figures {
    cuts: u64,
    crashes: u64,
    broken: u64,
}

/// Cuts the power at every operation; `prepare` sets up each fresh disk.
fn cut_everywhere(prepare: impl Fn(&Sim)) -> Result<Figures> {
    let mut figures = Figures::default();
    for operation in 0.. {
        let disk = Sim::new(operation);
        prepare(&disk);
        disk.crash_after(operation);
        let acknowledged = work(&disk);
        for keep in keeps() {
            figures.crashes += 1;
            if !is_kept(&disk.reboot(keep), acknowledged)? {
                figures.broken += 1;
            }
        }
        if disk.operations() <= operation {
            break;
        }
        figures.cuts += 1;
    }
    Ok(figures)
}

fn main() -> Result<()> {
    let honest = cut_everywhere(|_| {})?;
    println!(
        "a ledger of {TRANSFERS} transfers changes the disk {} times",
        honest.cuts
    );
    println!(
        "the power was cut at each of them; {} disks were opened again, {} had broken the ledger's promise",
        honest.crashes, honest.broken
    );
    let lying = cut_everywhere(|disk| disk.plan(Failure::of_change(Fault::Lie).forever()))?;
    println!(
        "on a device that only pretends to sync, the same test finds {} of {} disks with transfers lost",
        lying.broken, lying.crashes
    );
    assert_eq!(
        honest.broken, 0,
        "an acknowledged transfer is lost, or money is"
    );
    assert!(lying.broken > 0, "a test that cannot fail shows nothing");
    Ok(())
}

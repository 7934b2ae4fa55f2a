//! The rows: which work is done, by how many threads, and how one piece of it is timed.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use crate::store::{Abilities, Durability, Store};

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    pub name: &'static str,
    pub what: What,
    pub record_bytes: usize,
    /// Records in one call; 1 is the call for a single record.
    pub batch: usize,
    pub threads: usize,
    /// What an append promises; readers read what was appended so.
    pub durability: Durability,
    /// Records in one timed piece, over all threads.
    pub piece: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Append,
    /// Everything that stands in the store, from the first record on.
    Scan,
    /// Records one by one, at numbers that follow no order.
    Get,
}

/// Records that stand in a store before it is read.
const READ_RECORDS: usize = 200_000;

const PLAIN: Work = Work {
    name: "",
    what: What::Append,
    record_bytes: 100,
    batch: 1,
    threads: 1,
    durability: Durability::Process,
    piece: 20_000,
};

pub const ALL: [Work; 10] = [
    Work {
        name: "append 100 B",
        ..PLAIN
    },
    Work {
        name: "append 100 B, 16 threads",
        threads: 16,
        piece: 32_000,
        ..PLAIN
    },
    Work {
        name: "append batches of 100 x 100 B",
        batch: 100,
        piece: 50_000,
        ..PLAIN
    },
    Work {
        name: "append batches of 64 x 1 KiB",
        batch: 64,
        record_bytes: 1024,
        piece: 64 * 128,
        ..PLAIN
    },
    Work {
        name: "durable append 100 B",
        durability: Durability::Power,
        piece: 100,
        ..PLAIN
    },
    Work {
        name: "durable append 100 B, 16 threads",
        durability: Durability::Power,
        threads: 16,
        piece: 1_600,
        ..PLAIN
    },
    Work {
        name: "scan 100 B, batches of 100",
        what: What::Scan,
        batch: 100,
        piece: READ_RECORDS,
        ..PLAIN
    },
    Work {
        name: "scan 100 B, one a batch",
        what: What::Scan,
        piece: READ_RECORDS,
        ..PLAIN
    },
    Work {
        name: "scan 1 KiB, batches of 64",
        what: What::Scan,
        batch: 64,
        record_bytes: 1024,
        piece: 64 * 800,
        ..PLAIN
    },
    Work {
        name: "get 100 B by number, one a batch",
        what: What::Get,
        piece: 10_000,
        ..PLAIN
    },
];

/// What one piece took.
#[derive(Debug)]
pub struct Piece {
    pub records: usize,
    pub took: Duration,
}

impl Work {
    /// Whether a store with these abilities can do this.
    pub fn is_for(&self, abilities: Abilities) -> bool {
        let appends = match self.durability {
            Durability::Process => abilities.process,
            Durability::Power => abilities.power,
        };
        match self.what {
            What::Append => appends,
            What::Scan => abilities.scan,
            What::Get => abilities.get,
        }
    }

    /// How the store is opened: a reader does not mind what appends promise.
    pub fn durability_for(&self, abilities: Abilities) -> Durability {
        match self.what {
            What::Scan | What::Get if !abilities.process => Durability::Power,
            _ => self.durability,
        }
    }

    /// Puts in what readers read.
    pub fn fill(&self, store: &dyn Store, durability: Durability) -> Result<()> {
        let records = match self.what {
            What::Append => return Ok(()),
            What::Scan => self.piece,
            What::Get => READ_RECORDS,
        };
        // One sync a record would take minutes; how the records came in is not what is measured there.
        let batch = match durability {
            Durability::Process => self.batch,
            Durability::Power => self.batch.max(1_000),
        };
        self.append(store, records, batch, |_| {})?;
        store.settle()
    }

    /// Does one piece of the work and times it as a whole.
    pub fn run(&self, store: &dyn Store) -> Result<Piece> {
        self.timed(store, |_| {})
    }

    /// Does one piece of the work and notes how long each call takes.
    pub fn note_calls(&self, store: &dyn Store, calls: &mut Histogram<u64>) -> Result<()> {
        let (give, taken) = std::sync::mpsc::channel();
        self.timed(store, move |took| give.send(took).expect("somebody takes"))?;
        for took in taken {
            calls.record(took.as_nanos().try_into()?)?;
        }
        Ok(())
    }

    fn timed(&self, store: &dyn Store, call: impl Fn(Duration) + Clone + Send) -> Result<Piece> {
        let began = match self.what {
            What::Append => return self.append_in_threads(store, call),
            What::Scan | What::Get => Instant::now(),
        };
        let records = match self.what {
            What::Scan => self.scan(store)?,
            What::Append | What::Get => self.get(store, call)?,
        };
        Ok(Piece {
            records,
            took: began.elapsed(),
        })
    }

    fn append_in_threads(
        &self,
        store: &dyn Store,
        call: impl Fn(Duration) + Clone + Send,
    ) -> Result<Piece> {
        let each = self.piece / self.threads;
        if self.threads == 1 {
            let began = Instant::now();
            self.append(store, each, self.batch, call)?;
            return Ok(Piece {
                records: each,
                took: began.elapsed(),
            });
        }
        let (ready, done) = (
            Barrier::new(self.threads + 1),
            Barrier::new(self.threads + 1),
        );
        thread::scope(|scope| {
            let writers: Vec<_> = (0..self.threads)
                .map(|_| {
                    let call = call.clone();
                    scope.spawn(|| {
                        let call = call;
                        ready.wait();
                        let result = self.append(store, each, self.batch, call);
                        done.wait();
                        result
                    })
                })
                .collect();
            ready.wait();
            let began = Instant::now();
            done.wait();
            let took = began.elapsed();
            for writer in writers {
                writer.join().expect("a writer that does not panic")?;
            }
            Ok(Piece {
                records: each * self.threads,
                took,
            })
        })
    }

    fn append(
        &self,
        store: &dyn Store,
        records: usize,
        batch: usize,
        call: impl Fn(Duration),
    ) -> Result<()> {
        let record = vec![b'r'; self.record_bytes];
        let several = vec![record.as_slice(); batch];
        for _ in 0..records / batch {
            let began = Instant::now();
            match batch {
                1 => store.append(&record)?,
                _ => store.append_batch(&several)?,
            }
            call(began.elapsed());
        }
        Ok(())
    }

    fn scan(&self, store: &dyn Store) -> Result<usize> {
        let (mut pieces, mut bytes) = (0, 0);
        store.scan(&mut |record| {
            pieces += 1;
            bytes += record.len();
        })?;
        let needed = self.piece * self.record_bytes;
        ensure!(
            bytes >= needed,
            "{bytes} bytes in {pieces} pieces instead of {needed}"
        );
        Ok(self.piece)
    }

    fn get(&self, store: &dyn Store, call: impl Fn(Duration)) -> Result<usize> {
        // A step that shares no factor with the number of records comes past all of them.
        const STEP: usize = 77_773;
        let mut bytes = 0;
        for n in 0..self.piece {
            let began = Instant::now();
            store.get((n * STEP % READ_RECORDS) as u64, &mut |record| {
                bytes += record.len()
            })?;
            call(began.elapsed());
        }
        let needed = self.piece * self.record_bytes;
        ensure!(bytes >= needed, "{bytes} bytes instead of {needed}");
        Ok(self.piece)
    }
}

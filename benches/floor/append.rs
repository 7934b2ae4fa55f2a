//! The least that an append can do: the bytes of a batch, encoded before, through one `pwrite`, and for a durable one an
//! `fdatasync` on space that was prepared as the log prepares it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use stratalog::{Compression, Record, RecordBatchBuilder};

/// Both sides start a new file at this size, so that neither fills the disk.
pub(crate) const FILE_BYTES: u32 = 64 << 20;

/// A batch of so many records, each with this value, as it stands in a file.
pub(crate) fn encoded(records: usize, value: &[u8]) -> Vec<u8> {
    let mut batch = RecordBatchBuilder::new(Compression::None);
    for _ in 0..records {
        batch.push(Record::new(value)).expect("below the limit");
    }
    batch.finish().expect("records").as_bytes().to_vec()
}

/// Writes one batch behind the other.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    file: File,
    position: u64,
}

impl Writer {
    pub(crate) fn new(directory: &Path) -> Self {
        let path = directory.join("raw");
        let file = File::create(&path).expect("room for a file");
        Self {
            path,
            file,
            position: 0,
        }
    }

    pub(crate) fn write(&mut self, batch: &[u8]) {
        let written = self.file.write_all_at(batch, self.position);
        written.expect("room on the disk");
        self.position += batch.len() as u64;
        if self.position > u64::from(FILE_BYTES) {
            self.file = File::create(&self.path).expect("room for a file");
            self.position = 0;
        }
    }
}

/// Writes and syncs, in a ring of prepared space.
#[derive(Debug)]
pub(crate) struct DurableWriter {
    file: File,
    position: u64,
}

impl DurableWriter {
    const PREPARED_BYTES: u64 = 8 << 20;

    pub(crate) fn new(directory: &Path) -> Self {
        let file = File::create(directory.join("prepared")).expect("room for a file");
        let zeros = vec![0; Self::PREPARED_BYTES as usize];
        file.write_all_at(&zeros, 0).expect("room on the disk");
        file.sync_all().expect("a sound disk");
        Self { file, position: 0 }
    }

    pub(crate) fn write(&mut self, batch: &[u8]) {
        if self.position + batch.len() as u64 > Self::PREPARED_BYTES {
            self.position = 0;
        }
        let written = self.file.write_all_at(batch, self.position);
        written.expect("room on the disk");
        self.file.sync_data().expect("a sound disk");
        self.position += batch.len() as u64;
    }
}

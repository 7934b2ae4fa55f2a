//! How a user of the crate scans: by batch, and by owned record.

use stratalog::{Partition, Start};

/// Records and bytes of values, from whole batches.
pub(crate) fn by_batch(partition: &Partition) -> (u64, usize) {
    let mut cursor = partition.cursor(Start::Earliest).expect("an open log");
    let (mut records, mut bytes) = (0, 0);
    while let Some(batch) = cursor.next_batch().expect("sound batches") {
        for record in batch.records() {
            let record = record.expect("sound records");
            bytes += record.value().map_or(0, <[u8]>::len);
            records += 1;
        }
    }
    (records, bytes)
}

/// The same, from owned records.
pub(crate) fn by_record(partition: &Partition) -> (u64, usize) {
    let cursor = partition.cursor(Start::Earliest).expect("an open log");
    let (mut records, mut bytes) = (0, 0);
    for record in cursor {
        let record = record.expect("sound records");
        bytes += record.value().map_or(0, <[u8]>::len);
        records += 1;
    }
    (records, bytes)
}

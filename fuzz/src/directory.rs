//! A whole log directory with faults anywhere: content, lengths, names, what stands in a file's place.

use std::path::{Path, PathBuf};

use arbitrary::{Arbitrary, Unstructured};

use super::batch::{CRC_AT, CRC_END, HEADER_BYTES, LENGTH_AT, LENGTH_END};
use super::disk::{Disk, Expect, Files, LOG, PARTITION, base};

const MOST_FAULTS: usize = 8;
/// So far a single write may lengthen a file.
const MOST_BYTES: usize = 64 << 10;

#[derive(Arbitrary, Debug)]
enum Fault {
    Flip {
        file: u8,
        at: u16,
        bit: u8,
    },
    Write {
        file: u8,
        at: u16,
        bytes: Vec<u8>,
    },
    Zero {
        file: u8,
        at: u16,
        len: u16,
    },
    Cut {
        file: u8,
        at: u16,
    },
    Lengthen {
        file: u8,
        by: u16,
    },
    Insert {
        file: u8,
        at: u16,
        bytes: Vec<u8>,
    },
    Drain {
        file: u8,
        at: u16,
        len: u16,
    },
    Remove {
        file: u8,
    },
    Replace {
        file: u8,
        bytes: Vec<u8>,
    },
    Copy {
        from: u8,
        to: Name,
    },
    Rename {
        file: u8,
        to: Name,
    },
    Make {
        name: Name,
        bytes: Vec<u8>,
    },
    Folder {
        name: Name,
    },
    /// The checksum of each batch of a file, put right again.
    RightChecksums {
        file: u8,
    },
}

/// A name that means something, or nearly does.
#[derive(Arbitrary, Debug)]
struct Name {
    place: Place,
    number: Number,
    suffix: Suffix,
}

#[derive(Arbitrary, Debug)]
enum Place {
    Log,
    Partition,
}

#[derive(Arbitrary, Debug)]
enum Number {
    Known(u8),
    Any(u64),
    Short,
}

#[derive(Arbitrary, Debug)]
enum Suffix {
    Segment(u8),
    Plain(u8),
}

const NUMBERS: [u64; 10] = [0, 1, 28, 56, 86, 114, 115, 118, 200, i64::MAX as u64];
const SUFFIXES: [&str; 16] = [
    "log",
    "index",
    "timeindex",
    "txnindex",
    "snapshot",
    "log.prepared",
    "cut",
    "log.cleaned",
    "log.swap",
    "log.deleted",
    "index.swap",
    "timeindex.cleaned",
    "log.tmp",
    "log.1",
    "LOG",
    "",
];
const PLAIN: [&str; 16] = [
    ".kafka_cleanshutdown",
    ".lock",
    "meta.properties",
    "stratalog.owner.tmp",
    "stratalog.topics",
    "stratalog.reserve",
    "stratalog.live",
    "cleaner-offset-checkpoint",
    "leader-epoch-checkpoint.tmp",
    "stratalog.facts",
    "t-1",
    "t-2147483647",
    "__consumer_offsets-0",
    "t-0.0123456789abcdef0123456789abcdef-delete",
    "t--1",
    "u-0",
];

impl Name {
    fn path(&self) -> PathBuf {
        let dir = match self.place {
            Place::Log => LOG,
            Place::Partition => PARTITION,
        };
        let name = match (&self.suffix, &self.number) {
            (Suffix::Plain(index), _) => PLAIN[usize::from(*index) % PLAIN.len()].to_owned(),
            (Suffix::Segment(index), number) => {
                let suffix = SUFFIXES[usize::from(*index) % SUFFIXES.len()];
                match number {
                    Number::Known(index) => {
                        let number = NUMBERS[usize::from(*index) % NUMBERS.len()];
                        format!("{number:020}.{suffix}")
                    }
                    Number::Any(number) => format!("{number:020}.{suffix}"),
                    Number::Short => format!("7.{suffix}"),
                }
            }
        };
        Path::new(dir).join(name)
    }
}

/// A directory that faults are done to.
struct Spoiled {
    files: Files,
    folders: Vec<PathBuf>,
    expect: Expect,
}

impl Spoiled {
    fn name_of(&self, file: u8) -> Option<PathBuf> {
        let count = self.files.len().max(1);
        self.files.keys().nth(usize::from(file) % count).cloned()
    }

    fn apply(&mut self, fault: Fault) {
        let (Fault::Flip { file, .. }
        | Fault::Write { file, .. }
        | Fault::Zero { file, .. }
        | Fault::Cut { file, .. }
        | Fault::Lengthen { file, .. }
        | Fault::Insert { file, .. }
        | Fault::Drain { file, .. }
        | Fault::Remove { file }
        | Fault::Replace { file, .. }
        | Fault::Copy { from: file, .. }
        | Fault::Rename { file, .. }
        | Fault::RightChecksums { file }) = &fault
        else {
            return self.make(fault);
        };
        let Some(path) = self.name_of(*file) else {
            return;
        };
        match fault {
            // Bytes that were right elsewhere are right records at wrong places.
            Fault::Copy { to, .. } => {
                let content = self.files[&path].clone();
                self.insert(to.path(), content);
                self.expect = Expect::Anything;
            }
            Fault::Rename { to, .. } => {
                let content = self.files.remove(&path).unwrap_or_default();
                self.insert(to.path(), content);
                self.expect = Expect::Anything;
            }
            Fault::Remove { .. } => drop(self.files.remove(&path)),
            Fault::RightChecksums { .. } => {
                self.expect = Expect::Anything;
                self.files
                    .entry(path)
                    .and_modify(|content| put_right(content));
            }
            fault => {
                let content = self.files.entry(path).or_default();
                change(content, fault);
            }
        }
    }

    fn make(&mut self, fault: Fault) {
        match fault {
            Fault::Make { name, bytes } => self.insert(name.path(), bytes),
            Fault::Folder { name } => {
                let path = name.path();
                if !self.files.contains_key(&path) && !self.folders.contains(&path) {
                    self.folders.push(path);
                }
            }
            _ => {}
        }
    }

    fn insert(&mut self, path: PathBuf, content: Vec<u8>) {
        if !self.folders.contains(&path) {
            self.files.insert(path, content);
        }
    }
}

fn change(content: &mut Vec<u8>, fault: Fault) {
    let len = content.len();
    let within = |at: u16| usize::from(at) % (len + 1);
    match fault {
        Fault::Flip { at, bit, .. } => {
            if let Some(byte) = content.get_mut(within(at)) {
                *byte ^= 1 << (bit % 8);
            }
        }
        Fault::Write { at, bytes, .. } => {
            let at = within(at);
            content.splice(at..len.min(at + bytes.len()), bytes);
        }
        Fault::Zero { at, len: count, .. } => {
            let at = within(at);
            content[at..len.min(at + usize::from(count))].fill(0);
        }
        Fault::Cut { at, .. } => content.truncate(within(at)),
        Fault::Lengthen { by, .. } => content.resize((len + usize::from(by)).min(MOST_BYTES), 0),
        Fault::Insert { at, bytes, .. } => {
            let at = within(at);
            content.splice(at..at, bytes);
        }
        Fault::Drain { at, len: count, .. } => {
            let at = within(at);
            content.drain(at..len.min(at + usize::from(count)));
        }
        Fault::Replace { bytes, .. } => *content = bytes,
        _ => {}
    }
}

/// Walks batches by their lengths.
fn put_right(content: &mut [u8]) {
    let mut at = 0;
    while let Some(rest) = content
        .get_mut(at..)
        .filter(|rest| rest.len() >= HEADER_BYTES)
    {
        let mut length = [0; 4];
        length.copy_from_slice(&rest[LENGTH_AT..LENGTH_END]);
        let end = LENGTH_END + u32::from_be_bytes(length) as usize;
        let Some(batch) = rest
            .get_mut(..end)
            .filter(|batch| batch.len() >= HEADER_BYTES)
        else {
            return;
        };
        let crc = crc32c::crc32c(&batch[CRC_END..]);
        batch[CRC_AT..CRC_END].copy_from_slice(&crc.to_be_bytes());
        at += end;
    }
}

pub fn run(data: &[u8]) {
    let Ok(faults) = Vec::<Fault>::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let mut spoiled = Spoiled {
        files: base(),
        folders: Vec::new(),
        expect: Expect::NothingMadeUp,
    };
    for fault in faults.into_iter().take(MOST_FAULTS) {
        spoiled.apply(fault);
    }
    let disk = Disk::new();
    for folder in &spoiled.folders {
        let made = disk.storage().create_dir(folder);
        made.expect("a new name");
    }
    disk.put(&spoiled.files);
    disk.use_it(spoiled.expect);
}

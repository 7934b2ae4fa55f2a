//! What a medium, a copy or a person does to files.

use std::path::{Path, PathBuf};

use super::written::{Files, LOG, Written};
use crate::random::Random;

const SECTOR_BYTES: usize = 512;

/// Does one thing to one file, and says what.
pub(super) fn spoil(
    files: &mut Files,
    written: &Written,
    other: &Written,
    random: &mut Random,
) -> String {
    let name = choose(files, random);
    let what = match random.below(12) {
        0 => flip(files, &name, random),
        1 => zero(files, &name, random),
        2 => stale(files, &name, written, random),
        3 => rubbish(files, &name, random),
        4..=6 => cut(files, &name, written, random),
        // Behind damage, rubbish at the end costs the batch before it, too.
        7 if *files != written.files => zero(files, &name, random),
        7 => lengthen(files, &name, random),
        8..=9 => {
            files.remove(&name);
            "removed".to_owned()
        }
        10 => swap(files, &name, random),
        _ => foreign(files, &name, other),
    };
    format!("{} {what}", shown(&name))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(LOG).unwrap().display().to_string()
}

/// A segment as often as anything else.
fn choose(files: &Files, random: &mut Random) -> PathBuf {
    let is_log = |path: &&PathBuf| path.extension().is_some_and(|e| e == "log");
    let (logs, others): (Vec<_>, Vec<_>) = files.keys().partition(is_log);
    let from = match random.one_in(2) && !logs.is_empty() {
        true => logs,
        false => others,
    };
    (*random.one_of(&from)).clone()
}

fn flip(files: &mut Files, name: &Path, random: &mut Random) -> String {
    let bytes = files.get_mut(name).unwrap();
    if bytes.is_empty() {
        return "is empty".to_owned();
    }
    let at = random.below(bytes.len() as u64) as usize;
    bytes[at] ^= 1 << random.below(8);
    format!("flipped at {at}")
}

/// Whole sectors, as a medium loses them.
fn sectors(bytes: &[u8], random: &mut Random) -> std::ops::Range<usize> {
    let sectors = bytes.len().div_ceil(SECTOR_BYTES) as u64;
    let first = random.below(sectors) as usize * SECTOR_BYTES;
    let count = 1 + random.below(3) as usize;
    first..bytes.len().min(first + count * SECTOR_BYTES)
}

fn zero(files: &mut Files, name: &Path, random: &mut Random) -> String {
    let bytes = files.get_mut(name).unwrap();
    let range = sectors(bytes, random);
    bytes[range.clone()].fill(0);
    format!("zeroed {range:?}")
}

/// Sectors as they were before, where the file was there before: zeros at its end, or what stood there before the log was cut.
fn stale(files: &mut Files, name: &Path, written: &Written, random: &mut Random) -> String {
    let bytes = files.get_mut(name).unwrap();
    let range = sectors(bytes, random);
    let mut old = written.before.get(name).cloned().unwrap_or_default();
    old.resize(bytes.len(), 0);
    bytes[range.clone()].copy_from_slice(&old[range.clone()]);
    format!("stale in {range:?}")
}

fn rubbish(files: &mut Files, name: &Path, random: &mut Random) -> String {
    let bytes = files.get_mut(name).unwrap();
    let at = random.below(bytes.len() as u64 + 1) as usize;
    let end = bytes.len().min(at + random.below(40) as usize);
    for byte in &mut bytes[at..end] {
        *byte = random.next() as u8;
    }
    format!("rubbish in {at}..{end}")
}

/// Anywhere, at a batch, around its header, at a sector, at nothing.
fn cut(files: &mut Files, name: &Path, written: &Written, random: &mut Random) -> String {
    let bytes = files.get_mut(name).unwrap();
    let starts: Vec<usize> = written
        .batches
        .iter()
        .filter(|batch| batch.log == *name)
        .map(|batch| batch.bytes.start)
        .collect();
    let at = random.below(bytes.len() as u64 + 1) as usize;
    let at = match random.below(6) {
        0 if !starts.is_empty() => *random.one_of(&starts),
        1 if !starts.is_empty() => *random.one_of(&starts) + 1 + random.below(70) as usize,
        2 => at / SECTOR_BYTES * SECTOR_BYTES,
        3 => 0,
        _ => at,
    };
    bytes.truncate(at);
    format!("cut to {}", bytes.len())
}

fn lengthen(files: &mut Files, name: &Path, random: &mut Random) -> String {
    let bytes = files.get_mut(name).unwrap();
    let by = 1 + random.below(200);
    let is_zeros = random.one_in(2);
    for _ in 0..by {
        bytes.push(if is_zeros { 0 } else { random.next() as u8 });
    }
    format!("longer by {by}, zeros: {is_zeros}")
}

/// With another file of its kind.
fn swap(files: &mut Files, name: &Path, random: &mut Random) -> String {
    let alike: Vec<PathBuf> = files
        .keys()
        .filter(|other| other.extension() == name.extension() && *other != name)
        .cloned()
        .collect();
    if alike.is_empty() {
        files.remove(name);
        return "removed".to_owned();
    }
    let other = random.one_of(&alike).clone();
    let (mine, theirs) = (files[name].clone(), files[&other].clone());
    files.insert(name.to_owned(), theirs);
    files.insert(other.clone(), mine);
    format!("swapped with {}", shown(&other))
}

/// The file of that name of another log, or one of its kind.
fn foreign(files: &mut Files, name: &Path, other: &Written) -> String {
    let alike = |path: &&PathBuf| path.extension() == name.extension();
    let donor = match other.files.get_key_value(name) {
        Some((path, _)) => Some(path),
        None => other.files.keys().find(alike),
    };
    let content = donor.map(|path| other.files[path].clone());
    files.insert(name.to_owned(), content.unwrap_or_default());
    format!("of another log ({:?})", donor.map(|path| shown(path)))
}

//! The gap rule: a reader gets exactly the records outside of the damaged batches, byte for byte, and gaps over exactly what is lost; and
//! nothing that has content goes from the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use stratalog::{Cursor, ErrorKind, GapCause};

use super::written::{End, Files, Placed, Written, placed};

/// What a reader got.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Read {
    pub(super) records: BTreeMap<u64, String>,
    pub(super) gaps: Vec<(Range<u64>, GapCause)>,
    pub(super) offsets: Range<u64>,
}

impl Read {
    pub(super) fn lost(&self) -> BTreeSet<u64> {
        let gaps = self.gaps.iter();
        gaps.flat_map(|(range, _)| range.clone()).collect()
    }
}

/// Reads to the end; each gap once, and nothing twice.
pub(super) fn read(mut cursor: Cursor, offsets: Range<u64>) -> Read {
    let mut found = Read {
        offsets,
        ..Read::default()
    };
    let mut behind = 0;
    loop {
        match cursor.next_batch() {
            Ok(None) => return found,
            Ok(Some(batch)) => {
                assert!(batch.base_offset().get() >= behind, "offsets ascend");
                behind = batch.next_offset().get();
                found.records.extend(super::written::records_of(&batch));
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Gap, "{error}");
                let gap = error.gap().unwrap();
                let range = gap.from().get()..gap.to().get();
                assert!(!range.is_empty() && range.start >= behind, "{error}");
                behind = range.end;
                found.gaps.push((range, gap.cause()));
            }
        }
    }
}

/// What the faults did, from the files themselves.
pub(super) struct Damage<'a> {
    written: &'a Written,
    files: &'a Files,
    /// Batches whose bytes are not where they were, by base offset.
    hit: BTreeMap<u64, &'a Placed>,
    /// Those of which only the leader epoch differs: a reader need not see it.
    epochs_only: BTreeSet<u64>,
    /// The first batch that is hit above the durable end: the log may end there.
    torn_from: u64,
    /// Whether the files that tell what was durable are as they were.
    are_facts_whole: bool,
    /// Batches that are whole and right where they stand, and not this log's newest: those of another log whose file was put here, and
    /// those of an earlier time, before the log was cut there and written anew. Nothing in the format tells them from the right ones.
    others: Vec<Placed>,
    are_logs_same: bool,
    are_checkpoints_whole: bool,
}

impl fmt::Debug for Damage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hit = self
            .hit
            .values()
            .map(|batch| (&batch.log, &batch.bytes, &batch.offsets));
        f.debug_struct("Damage")
            .field("offsets", &self.written.offsets)
            .field("durable", &self.written.durable)
            .field("torn_from", &self.torn_from)
            .field("hit", &hit.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

const EPOCH: Range<usize> = 12..16;

impl<'a> Damage<'a> {
    pub(super) fn of(written: &'a Written, files: &'a Files, other: Option<&Written>) -> Self {
        let mut others: Vec<Placed> = other.map_or_else(Vec::new, |other| other.batches.clone());
        for batch in placed(&written.before) {
            let in_log = |files: &Files| {
                let bytes = files
                    .get(&batch.log)
                    .and_then(|bytes| bytes.get(batch.bytes.clone()));
                bytes.map(<[u8]>::to_vec)
            };
            let was = in_log(&written.before);
            if in_log(files) == was && in_log(&written.files) != was {
                others.push(batch);
            }
        }
        let mut hit = BTreeMap::new();
        let mut epochs_only = BTreeSet::new();
        for batch in &written.batches {
            let was = &written.files[&batch.log][batch.bytes.clone()];
            let is = files
                .get(&batch.log)
                .and_then(|bytes| bytes.get(batch.bytes.clone()));
            if is == Some(was) {
                continue;
            }
            let is_epoch = is.is_some_and(|is| {
                is[..EPOCH.start] == was[..EPOCH.start] && is[EPOCH.end..] == was[EPOCH.end..]
            });
            if is_epoch {
                epochs_only.insert(batch.offsets.start);
            }
            hit.insert(batch.offsets.start, batch);
        }
        let is_same = |name: &str| {
            let name = |path: &&PathBuf| path.file_name().is_some_and(|n| n == name);
            let was = written.files.keys().find(name).map(|p| &written.files[p]);
            was == files.keys().find(name).map(|path| &files[path])
        };
        let who_wrote = ["stratalog.facts", "stratalog.owner", ".kafka_cleanshutdown"];
        let checkpoints = [
            "meta.properties",
            "recovery-point-offset-checkpoint",
            "log-start-offset-checkpoint",
            "replication-offset-checkpoint",
        ];
        let are_checkpoints_whole = checkpoints.into_iter().all(is_same);
        // After a kill they tell whether somebody else was here.
        let is_same_writer = written.plan.end == End::Closed || are_checkpoints_whole;
        let torn_from = match written.plan.end {
            End::Closed => u64::MAX,
            End::Killed => hit
                .range(written.durable..)
                .next()
                .map_or(u64::MAX, |(base, _)| *base),
        };
        let is_log = |path: &&PathBuf| path.extension().is_some_and(|e| e == "log");
        let mut logs = written.files.keys().filter(is_log);
        let are_logs_same = logs.all(|path| files.get(path) == Some(&written.files[path]));
        Self {
            written,
            files,
            others,
            are_logs_same,
            hit,
            epochs_only,
            torn_from,
            are_facts_whole: is_same_writer && who_wrote.into_iter().all(is_same),
            are_checkpoints_whole,
        }
    }

    /// No segment was touched.
    pub(super) fn is_harmless(&self) -> bool {
        self.are_logs_same
    }

    /// What was durable was hit.
    pub(super) fn is_loss(&self) -> bool {
        let mut hit = self.hit.keys();
        hit.any(|base| *base < self.torn_from && !self.epochs_only.contains(base))
    }

    /// Whether all files with these suffixes are as they were.
    pub(super) fn are_whole(&self, suffixes: &[&str]) -> bool {
        let is_one = |path: &&PathBuf| {
            let name = path.to_string_lossy();
            suffixes.iter().any(|suffix| name.ends_with(suffix))
        };
        let files = self.written.files.keys().chain(self.files.keys());
        files
            .filter(is_one)
            .all(|path| self.written.files.get(path) == self.files.get(path))
    }

    pub(super) fn are_facts_whole(&self) -> bool {
        self.are_facts_whole
    }

    /// Holds what a reader got against the rule. `foreign` are records of another log that was put in place.
    pub(super) fn check(&self, read: &Read) {
        let all = self.written.batches.iter().chain(&self.others);
        let truth: BTreeSet<&(u64, String)> = all.flat_map(|batch| &batch.records).collect();
        for (offset, record) in &read.records {
            // In a log of nobody knows whom, offsets may have holes: a base offset that stays within one is seen only by `verify`.
            let is_true = match self.are_facts_whole {
                true => truth.contains(&(*offset, record.clone())),
                false => truth.iter().any(|(_, true_record)| true_record == record),
            };
            assert!(is_true, "made up at {offset}: {record}");
        }
        // Without the facts nobody knows what was durable: a damaged batch may be the end.
        let first_hit = self.hit.keys().next().copied().unwrap_or(u64::MAX);
        let ends_at = match self.are_facts_whole {
            true => self.torn_from,
            // Nor where the log starts, when Kafka's checkpoints, which have no checksum, are not as they were either.
            false if !self.are_checkpoints_whole => return,
            false => first_hit,
        };
        let lost = read.lost();
        for batch in self.written.batches.iter() {
            let base = batch.offsets.start;
            let is_other = |other: &Placed| other.offsets.contains(&base);
            let is_covered = self.others.iter().any(is_other) || self.has_rubbish_behind(batch);
            if base >= ends_at || self.hit.contains_key(&base) || is_covered {
                continue;
            }
            for offset in batch.offsets.clone() {
                assert!(
                    !lost.contains(&offset) || !self.written.offsets.contains(&offset),
                    "a gap over {offset}, which is whole: {:?}",
                    read.gaps
                );
            }
            for (offset, _) in batch.records.iter() {
                assert!(
                    read.records.contains_key(offset) || !self.written.offsets.contains(offset),
                    "{offset} is whole and was not read; gaps {:?}",
                    read.gaps
                );
            }
        }
        if self.are_facts_whole {
            self.check_told(read, &lost);
        }
    }

    /// A search behind damage takes a batch only with something behind it that may follow one.
    fn has_rubbish_behind(&self, batch: &Placed) -> bool {
        let behind = self.files.get(&batch.log);
        let behind = behind.and_then(|bytes| bytes.get(batch.bytes.end..));
        let is_last = batch.bytes.end == self.written.files[&batch.log].len();
        is_last && behind.is_some_and(|behind| behind.iter().any(|&byte| byte != 0))
    }

    /// Whatever is lost below the end is told, and the end is not below what was durable.
    fn check_told(&self, read: &Read, lost: &BTreeSet<u64>) {
        assert_eq!(read.offsets.start, self.written.offsets.start, "the start");
        assert!(
            read.offsets.end >= self.written.durable,
            "the end {} is below the durable end {}",
            read.offsets.end,
            self.written.durable
        );
        if self.torn_from == u64::MAX && self.others.is_empty() {
            assert_eq!(read.offsets.end, self.written.offsets.end, "the end");
        }
        for batch in self.hit.values() {
            for offset in batch.offsets.clone() {
                let is_in = read.offsets.contains(&offset);
                // A control record is no record, and its loss is told as any other.
                let is_read = read.records.contains_key(&offset)
                    || self
                        .others
                        .iter()
                        .any(|other| other.offsets.contains(&offset));
                assert!(
                    !is_in || is_read || lost.contains(&offset) || offset >= self.torn_from,
                    "{offset} is lost without a word; gaps {:?}",
                    read.gaps
                );
            }
        }
    }
}

/// No byte that was ever written may go from the disk: it stands where it stood, or in another file.
pub(super) fn check_kept(written: &Written, before: &Files, after: &Files) {
    let is_log = |path: &&PathBuf| path.extension().is_some_and(|e| e == "log");
    for path in before.keys().filter(is_log) {
        let len = written.files.get(path).map_or(0, Vec::len);
        let was = &before[path][..before[path].len().min(len)];
        let is = after.get(path).map_or(&[][..], Vec::as_slice);
        let same = was.iter().zip(is).take_while(|(a, b)| a == b).count();
        let mut rest = &was[same..];
        while let Some((0, shorter)) = rest.split_last() {
            rest = shorter;
        }
        // A copied tail and a torn one behind it are two files.
        for _ in 0..2 {
            rest = &rest[longest_part(rest, after)..];
        }
        assert!(
            rest.is_empty(),
            "{} bytes of {} are nowhere",
            rest.len(),
            name(path)
        );
    }
}

/// How much of the front of `bytes` stands in one file.
fn longest_part(bytes: &[u8], files: &Files) -> usize {
    let first = &bytes[..bytes.len().min(8)];
    let mut longest = 0;
    for content in files.values().filter(|_| !first.is_empty()) {
        for at in 0..content.len() {
            if content[at..].starts_with(first) {
                let same = content[at..].iter().zip(bytes).take_while(|(a, b)| a == b);
                longest = longest.max(same.count());
            }
        }
    }
    longest
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

//! The names of files in a partition directory: parse and display, inverse by test.
//!
//! Kafka's own rule is older than this type: it reads the number before the first dot, and refuses to start when there
//! is none (`LogLoader`, `LogFileUtils`). This module must never know what the files hold.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use std::fmt;

use crate::offset::Offset;

/// A name in a partition directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum FileName {
    /// The batches from this base offset on.
    Log(Offset),
    OffsetIndex(Offset),
    TimeIndex(Offset),
    TxnIndex(Offset),
    /// Producer state of everything below this offset.
    Snapshot(Offset),
    /// A `.log` file made ahead of its name, or a tail copied at open: `<base>.log.prepared`.
    Prepared(Offset),
    /// A whole `.log`, or a torn tail, set aside by recovery: `<base>.log.cut`.
    Cut(Offset),
    /// The second, third … that was set aside under one number: `<base>.log.cut-<count>`, from 2 on.
    CutAgain(Offset, u32),
    /// Kafka's transient suffixes, on whatever file: skipped by readers, removed or completed by writers.
    Deleted,
    /// Half-made by a compaction.
    Cleaned,
    /// Made by a compaction and synced, on its way to its final name.
    Swap,
    /// A small file on its way to its final name.
    Temporary,
    LeaderEpochs,
    PartitionMetadata,
    /// `stratalog.facts`.
    Facts,
    /// `stratalog.segments`.
    SegmentList,
    /// A Kafka suffix and not twenty digits before it: a broker refuses to start on it, or looks for another name.
    BadNumber,
    /// Left alone, and reported.
    Unknown,
}

/// Digits of a base offset in a name.
const NUMBER_DIGITS: usize = 20;

const LOG: &str = ".log";
const OFFSET_INDEX: &str = ".index";
const TIME_INDEX: &str = ".timeindex";
const TXN_INDEX: &str = ".txnindex";
const SNAPSHOT: &str = ".snapshot";
const PREPARED: &str = ".log.prepared";
const CUT: &str = ".log.cut";
const DELETED: &str = ".deleted";
const CLEANED: &str = ".cleaned";
const SWAP: &str = ".swap";
const TEMPORARY: &str = ".tmp";
const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
const PARTITION_METADATA: &str = "partition.metadata";
const FACTS: &str = "stratalog.facts";
const SEGMENT_LIST: &str = "stratalog.segments";

/// Makes the name from its number.
type Numbered = fn(Offset) -> FileName;

impl FileName {
    /// The files of the segment at `base`, the `.log` first.
    pub(crate) fn of_segment(base: Offset) -> [Self; 4] {
        [
            Self::Log(base),
            Self::OffsetIndex(base),
            Self::TimeIndex(base),
            Self::TxnIndex(base),
        ]
    }

    /// What `name` is. Never fails: what is not known is [`FileName::Unknown`].
    pub(crate) fn parse(name: &str) -> Self {
        match name {
            LEADER_EPOCHS => return Self::LeaderEpochs,
            PARTITION_METADATA => return Self::PartitionMetadata,
            FACTS => return Self::Facts,
            SEGMENT_LIST => return Self::SegmentList,
            _ => {}
        }
        let with_kafkas_number: [(&str, Numbered); 5] = [
            (LOG, Self::Log),
            (OFFSET_INDEX, Self::OffsetIndex),
            (TIME_INDEX, Self::TimeIndex),
            (TXN_INDEX, Self::TxnIndex),
            (SNAPSHOT, Self::Snapshot),
        ];
        for (suffix, numbered) in with_kafkas_number {
            if let Some(number) = name.strip_suffix(suffix) {
                return parse_number(number).map_or(Self::BadNumber, numbered);
            }
        }
        let with_our_number: [(&str, Numbered); 2] = [(PREPARED, Self::Prepared), (CUT, Self::Cut)];
        for (suffix, numbered) in with_our_number {
            if let Some(number) = name.strip_suffix(suffix) {
                return parse_number(number).map_or(Self::Unknown, numbered);
            }
        }
        if let Some(again) = parse_cut_again(name) {
            return again;
        }
        for (suffix, transient) in [(CLEANED, Self::Cleaned), (SWAP, Self::Swap)] {
            if name.ends_with(suffix) {
                let number = name.split('.').next().unwrap_or_default();
                return parse_number(number).map_or(Self::BadNumber, |_| transient);
            }
        }
        if name.ends_with(DELETED) {
            Self::Deleted
        } else if name.ends_with(TEMPORARY) {
            Self::Temporary
        } else {
            Self::Unknown
        }
    }
}

fn parse_cut_again(name: &str) -> Option<FileName> {
    let (cut, count) = name.rsplit_once('-')?;
    let base = parse_number(cut.strip_suffix(CUT)?)?;
    let again = FileName::CutAgain(base, count.parse().ok().filter(|count| *count >= 2)?);
    (again.to_string() == name).then_some(again)
}

/// Exactly twenty digits within the range of an offset: `String.format("%020d")` gives nothing else.
fn parse_number(digits: &str) -> Option<Offset> {
    if digits.len() != NUMBER_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().and_then(Offset::from_i64)
}

/// Names with a number and fixed names come out as they went in; of a transient or unknown one only the pattern is known.
impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, suffix) = match self {
            Self::Log(base) => (base, LOG),
            Self::OffsetIndex(base) => (base, OFFSET_INDEX),
            Self::TimeIndex(base) => (base, TIME_INDEX),
            Self::TxnIndex(base) => (base, TXN_INDEX),
            Self::Snapshot(end) => (end, SNAPSHOT),
            Self::Prepared(base) => (base, PREPARED),
            Self::Cut(base) => (base, CUT),
            Self::CutAgain(base, count) => return write!(f, "{base:020}{CUT}-{count}"),
            Self::Deleted => return write!(f, "*{DELETED}"),
            Self::Cleaned => return write!(f, "*{CLEANED}"),
            Self::Swap => return write!(f, "*{SWAP}"),
            Self::Temporary => return write!(f, "*{TEMPORARY}"),
            Self::LeaderEpochs => return f.write_str(LEADER_EPOCHS),
            Self::PartitionMetadata => return f.write_str(PARTITION_METADATA),
            Self::Facts => return f.write_str(FACTS),
            Self::SegmentList => return f.write_str(SEGMENT_LIST),
            Self::BadNumber => return f.write_str("a name without its number"),
            Self::Unknown => return f.write_str("an unknown name"),
        };
        write!(f, "{:0width$}{suffix}", number.get(), width = NUMBER_DIGITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_number_is_written_as_it_was_read() {
        let digits = [
            "00000000000000000000",
            "00000000000000001000",
            "09223372036854775807",
        ];
        let suffixes = [
            LOG,
            OFFSET_INDEX,
            TIME_INDEX,
            TXN_INDEX,
            SNAPSHOT,
            PREPARED,
            CUT,
        ];
        for digits in digits {
            for suffix in suffixes {
                let name = format!("{digits}{suffix}");
                assert_eq!(FileName::parse(&name).to_string(), name);
            }
        }
        for count in [2, 10, u32::MAX] {
            let name = format!("{}.log.cut-{count}", digits[1]);
            assert_eq!(FileName::parse(&name).to_string(), name);
        }
        for name in [LEADER_EPOCHS, PARTITION_METADATA, FACTS, SEGMENT_LIST] {
            assert_eq!(FileName::parse(name).to_string(), name);
        }
        let base = Offset::new(1000).expect("small");
        assert_eq!(
            FileName::parse("00000000000000001000.log"),
            FileName::Log(base)
        );
    }

    #[test]
    fn a_kafka_suffix_without_its_number_is_told_from_an_unknown_name() {
        for name in [
            "foo.log",
            "foo.index",
            ".timeindex",
            "foo.txnindex",
            "foo.snapshot",
            "foo.swap",
            "foo.log.cleaned",
            "5.log",
            "0000000000000000000x.log",
            "+0000000000000000005.log",
            "99999999999999999999.log",
        ] {
            assert_eq!(FileName::parse(name), FileName::BadNumber, "{name}");
        }
        for name in [
            "stratalog.meta",
            "",
            "00000000000000000000",
            "00000000000000000000.meta",
            "foo.log.prepared",
            "foo.log.cut",
            "foo.log.cut-2",
            "00000000000000000000.log.cut-1",
            "00000000000000000000.log.cut-02",
            "00000000000000000000.log.cut-4294967296",
            "00000000000000000000.index.cut",
            "00000000000000000000-0000000001.checkpoint",
        ] {
            assert_eq!(FileName::parse(name), FileName::Unknown, "{name}");
        }
    }

    #[test]
    fn kafkas_transient_suffixes_win_over_what_stands_before_them() {
        for (name, kind) in [
            ("00000000000000000000.log.deleted", FileName::Deleted),
            ("anything.deleted", FileName::Deleted),
            ("00000000000000000000.index.cleaned", FileName::Cleaned),
            ("00000000000000000000.log.swap", FileName::Swap),
            ("leader-epoch-checkpoint.tmp", FileName::Temporary),
            ("stratalog.facts.tmp", FileName::Temporary),
        ] {
            assert_eq!(FileName::parse(name), kind, "{name}");
        }
    }
}

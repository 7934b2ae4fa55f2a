//! Who wrote last in a log directory: the first question of every open, and a table.
//!
//! `stratalog.owner` holds the incarnation, a counter of opens, and the CRC-32 of each file that a Kafka broker would have changed. It is
//! synced before the marker is deleted, so that after a crash of ours those files are byte for byte as it says.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::checkpoints::CheckpointName;
use super::marker::Marker;
use super::reserve::Reserve;
use super::{DirectoryListing, check_checksum_line, parse_checksum, with_checksum_line};
use crate::error::{Error, ErrorKind, Result};
use crate::partition::{Incarnation, Owner};
use crate::storage::{Storage, read_small_file};

pub(super) const FILE: &str = "stratalog.owner";
pub(super) const META_PROPERTIES: &str = "meta.properties";
const HEAD: &str = "stratalog-owner 1";
const KAFKAS_CLEAN: &str = "kafkas clean";
const KAFKAS_UNCLEAN: &str = "kafkas unclean";
const LARGEST_BYTES: u64 = 64 << 10;
/// So many looks of a witness are ours at once; each close that fails adds one.
const MOST_LOOKS: usize = 16;
/// No checkpoint reaches it, so a larger file is nothing that we left.
const LARGEST_WITNESS_BYTES: u64 = 300 << 20;

/// Files that a broker changes when it runs here.
const WITNESSES: [&str; 5] = [
    META_PROPERTIES,
    CheckpointName::RecoveryPoint.file(),
    CheckpointName::LogStart.file(),
    CheckpointName::HighWatermark.file(),
    "cleaner-offset-checkpoint",
];

/// What a witness looked like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Look {
    Absent,
    /// The CRC-32 of its content.
    Content(u32),
    /// A link, a FIFO, a directory, or far too long: nothing that we leave, so it is never as we left it.
    Unreadable,
}

/// The folders that only Kafka opens, as whoever wrote them left them: the marker speaks for them, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kafkas {
    /// Closed, or there are none.
    Clean,
    /// Not closed. Only a broker can recover them, so no marker of ours may say that all is clean.
    Unclean,
}

/// The content of `stratalog.owner`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OwnerFile {
    pub(crate) incarnation: Incarnation,
    /// How often the directory was opened for writing: a follower tells two writers of one incarnation apart by it.
    pub(crate) opens: u64,
    pub(crate) kafkas: Kafkas,
    /// Per witness, each look that is ours: what we last saw, and what we are about to write.
    witnesses: BTreeMap<String, Vec<Look>>,
}

impl OwnerFile {
    pub(crate) fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            opens: 0,
            kafkas: Kafkas::Clean,
            witnesses: BTreeMap::new(),
        }
    }

    /// Reads the file; `None` when it is missing or damaged: then nobody knows, which reads as somebody else.
    pub(crate) fn read(storage: &dyn Storage, dir: &Path) -> Result<Option<Self>> {
        match read_small_file(storage, &dir.join(FILE), LARGEST_BYTES) {
            Ok(content) => Ok(content.and_then(|content| Self::parse(&content).ok())),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(content: &[u8]) -> Result<Self, &'static str> {
        let mut lines = check_checksum_line(content)?.lines();
        if lines.next() != Some(HEAD) {
            return Err("its first line is unknown");
        }
        let incarnation = lines
            .next()
            .and_then(|line| line.strip_prefix("incarnation "));
        let incarnation = incarnation
            .and_then(Incarnation::parse)
            .ok_or("its incarnation is unreadable")?;
        let opens = lines.next().and_then(|line| line.strip_prefix("opens "));
        let opens = opens
            .and_then(|text| text.parse().ok())
            .ok_or("its counter is unreadable")?;
        let kafkas = match lines.next() {
            Some(KAFKAS_CLEAN) => Kafkas::Clean,
            Some(KAFKAS_UNCLEAN) => Kafkas::Unclean,
            _ => return Err("the state of Kafka's folders is unreadable"),
        };
        let mut witnesses = BTreeMap::new();
        for line in lines {
            let mut words = line.split(' ');
            let name = words.next().ok_or("a line is empty")?;
            let looks: Option<Vec<Look>> = words.map(Look::parse).collect();
            witnesses.insert(name.to_owned(), looks.ok_or("a checksum is unreadable")?);
        }
        Ok(Self {
            incarnation,
            opens,
            kafkas,
            witnesses,
        })
    }

    /// Replaces the file; durable on return.
    pub(crate) fn write(&self, storage: &dyn Storage, dir: &Path) -> Result<()> {
        let kafkas = match self.kafkas {
            Kafkas::Clean => KAFKAS_CLEAN,
            Kafkas::Unclean => KAFKAS_UNCLEAN,
        };
        let mut text = format!(
            "{HEAD}\nincarnation {}\nopens {}\n{kafkas}\n",
            self.incarnation, self.opens
        );
        for (name, looks) in &self.witnesses {
            text.push_str(name);
            for look in looks {
                text.push_str(&format!(" {look}"));
            }
            text.push('\n');
        }
        let content = with_checksum_line(text);
        // A disk that is full must not keep a log shut: opening is the way to trim it.
        Reserve::replace_file(storage, dir, &dir.join(FILE), content.as_bytes())
    }

    /// Notes how every witness looks now, and forgets how it looked before: what is there was synced, and so was its name.
    pub(crate) fn look_again(&mut self, storage: &dyn Storage, dir: &Path) -> Result<()> {
        self.witnesses.clear();
        self.look_also(storage, dir)
    }

    /// Notes how every witness looks now, beside how it looked before: a file of ours whose new name was never synced, or whose sync failed,
    /// comes back as it was.
    pub(crate) fn look_also(&mut self, storage: &dyn Storage, dir: &Path) -> Result<()> {
        for name in WITNESSES {
            self.note(name, Look::at(storage, dir, name)?);
        }
        Ok(())
    }

    /// Notes what we are about to write in the place of a witness, beside how it looks now: a crash between the two leaves one of them.
    pub(crate) fn expect(&mut self, checkpoint: CheckpointName, content: &str) {
        let look = Look::Content(crc32fast::hash(content.as_bytes()));
        self.note(checkpoint.file(), look);
    }

    fn note(&mut self, witness: &str, look: Look) {
        let looks = self.witnesses.entry(witness.to_owned()).or_default();
        looks.retain(|known| *known != look);
        looks.push(look);
        let forgotten = looks.len().saturating_sub(MOST_LOOKS);
        looks.drain(..forgotten);
    }

    /// Whether every witness looks as we left it.
    fn recognises(&self, storage: &dyn Storage, dir: &Path) -> Result<bool> {
        for name in WITNESSES {
            let look = Look::at(storage, dir, name)?;
            let is_as_left = |looks: &Vec<Look>| looks.contains(&look);
            if look == Look::Unreadable || !self.witnesses.get(name).is_some_and(is_as_left) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Look {
    fn at(storage: &dyn Storage, dir: &Path, name: &str) -> Result<Self> {
        match read_small_file(storage, &dir.join(name), LARGEST_WITNESS_BYTES) {
            Ok(Some(content)) => Ok(Self::Content(crc32fast::hash(&content))),
            Ok(None) => Ok(Self::Absent),
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::InvalidInput) => {
                Ok(Self::Unreadable)
            }
            Err(error) => Err(error),
        }
    }

    fn parse(word: &str) -> Option<Self> {
        match word {
            "absent" => Some(Self::Absent),
            "unreadable" => Some(Self::Unreadable),
            _ => parse_checksum(word).map(Self::Content),
        }
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Content(checksum) => write!(f, "{checksum:08x}"),
            Self::Unreadable => f.write_str("unreadable"),
        }
    }
}

impl Kafkas {
    /// How Kafka's folders stand at an open: a marker spoke for them, an earlier open of ours noted it, or nobody closed them.
    pub(crate) fn at_open(listing: &DirectoryListing, owner: Owner, noted: Option<Self>) -> Self {
        if !listing.has_kafkas() {
            return Self::Clean;
        }
        match owner {
            Owner::Fresh | Owner::OursClean | Owner::ForeignClean => Self::Clean,
            Owner::OursUnclean => noted.unwrap_or(Self::Unclean),
            Owner::ForeignUnclean => Self::Unclean,
        }
    }
}

/// What the owner question is decided by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OwnerFacts {
    pub(crate) contents: Contents,
    pub(crate) marker: MarkerFact,
    pub(crate) witnesses: Witnesses,
}

/// Whether anything stands in the directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Contents {
    Nothing,
    Something,
}

/// The marker, held against `stratalog.owner`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MarkerFact {
    Absent,
    OurIncarnation,
    AnotherOrNone,
}

/// The files that a broker would have changed, held against `stratalog.owner`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Witnesses {
    AsWeLeftThem,
    /// Changed, or there is no readable `stratalog.owner` to hold them against.
    Changed,
}

impl OwnerFacts {
    /// Gathers the facts; writes nothing.
    pub(crate) fn gather(
        storage: &dyn Storage,
        dir: &Path,
        is_empty: bool,
        file: Option<&OwnerFile>,
    ) -> Result<Self> {
        let marker = match Marker::read(storage, dir)? {
            Marker::Absent => MarkerFact::Absent,
            Marker::Ours(incarnation)
                if file.is_some_and(|file| file.incarnation == incarnation) =>
            {
                MarkerFact::OurIncarnation
            }
            Marker::Ours(_) | Marker::Foreign => MarkerFact::AnotherOrNone,
        };
        let recognised = match file {
            Some(file) => file.recognises(storage, dir)?,
            None => false,
        };
        Ok(Self {
            contents: if is_empty {
                Contents::Nothing
            } else {
                Contents::Something
            },
            marker,
            witnesses: if recognised {
                Witnesses::AsWeLeftThem
            } else {
                Witnesses::Changed
            },
        })
    }
}

/// One row of the owner table, in the words of the manual.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnerRow {
    pub(crate) letter: char,
    pub(crate) when: &'static str,
    pub(crate) verdict: Owner,
    pub(crate) reason: &'static str,
}

/// The owner table, asked from the top: exactly one row holds for each combination of facts.
pub(crate) const OWNER_ROWS: [OwnerRow; 5] = [
    OwnerRow {
        letter: 'n',
        when: "the directory is empty",
        verdict: Owner::Fresh,
        reason: "nobody wrote here; an incarnation is drawn",
    },
    OwnerRow {
        letter: 'a',
        when: "marker with our incarnation",
        verdict: Owner::OursClean,
        reason: "we closed, and nobody opened since: a broker deletes the marker when it opens",
    },
    OwnerRow {
        letter: 'b',
        when: "marker without it, or with another one",
        verdict: Owner::ForeignClean,
        reason: "somebody else closed cleanly; our own facts describe an older state and are drawn anew",
    },
    OwnerRow {
        letter: 'c',
        when: "no marker, and every file that a broker would change is as we left it",
        verdict: Owner::OursUnclean,
        reason: "we were the last to open, and did not close",
    },
    OwnerRow {
        letter: 'd',
        when: "no marker, and one of those files is not as we left it",
        verdict: Owner::ForeignUnclean,
        reason: "somebody else opened after us and did not close",
    },
];

/// Asks the table.
pub(crate) fn decide_owner(facts: OwnerFacts) -> OwnerRow {
    let holds = |row: &OwnerRow| match row.verdict {
        Owner::Fresh => facts.contents == Contents::Nothing,
        Owner::OursClean => facts.marker == MarkerFact::OurIncarnation,
        Owner::ForeignClean => facts.marker == MarkerFact::AnotherOrNone,
        Owner::OursUnclean => facts.witnesses == Witnesses::AsWeLeftThem,
        Owner::ForeignUnclean => true,
    };
    *OWNER_ROWS
        .iter()
        .find(|row| holds(row))
        .expect("the last row always holds")
}

/// A new incarnation.
pub(crate) fn draw_incarnation() -> Result<Incarnation> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(ErrorKind::Io, "the system gives no random numbers").caused_by(error.to_string())
    })?;
    Ok(Incarnation(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Memory, replace_file};

    fn verdict(contents: Contents, marker: MarkerFact, witnesses: Witnesses) -> Owner {
        decide_owner(OwnerFacts {
            contents,
            marker,
            witnesses,
        })
        .verdict
    }

    #[test]
    fn every_combination_of_facts_has_its_verdict() {
        use Contents::{Nothing, Something};
        use MarkerFact::{Absent, AnotherOrNone, OurIncarnation};
        use Witnesses::{AsWeLeftThem, Changed};
        let mut hit = std::collections::BTreeSet::new();
        for contents in [Nothing, Something] {
            for marker in [Absent, OurIncarnation, AnotherOrNone] {
                for witnesses in [AsWeLeftThem, Changed] {
                    let expected = match (contents, marker, witnesses) {
                        (Nothing, ..) => Owner::Fresh,
                        (_, OurIncarnation, _) => Owner::OursClean,
                        (_, AnotherOrNone, _) => Owner::ForeignClean,
                        (_, Absent, AsWeLeftThem) => Owner::OursUnclean,
                        (_, Absent, Changed) => Owner::ForeignUnclean,
                    };
                    assert_eq!(verdict(contents, marker, witnesses), expected);
                    let row = decide_owner(OwnerFacts {
                        contents,
                        marker,
                        witnesses,
                    });
                    hit.insert(row.letter);
                }
            }
        }
        assert_eq!(hit.len(), OWNER_ROWS.len(), "every row is reached: {hit:?}");
    }

    fn gather(storage: &Memory, dir: &Path) -> Owner {
        let file = OwnerFile::read(storage, dir).unwrap();
        decide_owner(OwnerFacts::gather(storage, dir, false, file.as_ref()).unwrap()).verdict
    }

    #[test]
    fn a_broker_that_changed_a_checkpoint_is_recognised_and_our_own_crash_too() {
        let storage = Memory::new();
        let dir = Path::new("/log");
        storage.create_dir(dir).unwrap();
        assert_eq!(
            gather(&storage, dir),
            Owner::ForeignUnclean,
            "no owner file"
        );
        let mut file = OwnerFile::new(draw_incarnation().unwrap());
        file.look_again(&storage, dir).unwrap();
        file.write(&storage, dir).unwrap();
        assert_eq!(gather(&storage, dir), Owner::OursUnclean);
        Marker::write(&storage, dir, file.incarnation).unwrap();
        assert_eq!(gather(&storage, dir), Owner::OursClean);
        Marker::delete(&storage, dir).unwrap();
        let checkpoint = dir.join(CheckpointName::RecoveryPoint.file());
        replace_file(&storage, &checkpoint, b"0\n0\n").unwrap();
        assert_eq!(gather(&storage, dir), Owner::ForeignUnclean);
        Marker::write(&storage, dir, Incarnation([1; 16])).unwrap();
        assert_eq!(gather(&storage, dir), Owner::ForeignClean);
    }

    #[test]
    fn a_crash_while_we_write_a_checkpoint_leaves_either_look_ours() {
        let storage = Memory::new();
        let dir = Path::new("/log");
        storage.create_dir(dir).unwrap();
        let mut file = OwnerFile::new(draw_incarnation().unwrap());
        file.look_again(&storage, dir).unwrap();
        file.expect(CheckpointName::LogStart, "0\n0\n");
        file.write(&storage, dir).unwrap();
        assert_eq!(gather(&storage, dir), Owner::OursUnclean, "before");
        replace_file(
            &storage,
            &dir.join(CheckpointName::LogStart.file()),
            b"0\n0\n",
        )
        .unwrap();
        assert_eq!(gather(&storage, dir), Owner::OursUnclean, "after");
    }

    #[test]
    fn what_cannot_be_read_is_never_as_we_left_it() {
        let storage = Memory::new();
        let dir = Path::new("/log");
        storage.create_dir(dir).unwrap();
        let witness = dir.join(META_PROPERTIES);
        // An empty file has the CRC-32 0.
        storage.create(&witness).unwrap();
        let mut file = OwnerFile::new(draw_incarnation().unwrap());
        file.look_again(&storage, dir).unwrap();
        file.write(&storage, dir).unwrap();
        assert_eq!(gather(&storage, dir), Owner::OursUnclean);
        storage.remove(&witness).unwrap();
        assert_eq!(gather(&storage, dir), Owner::ForeignUnclean, "removed");
        storage.create_dir(&witness).unwrap();
        assert_eq!(gather(&storage, dir), Owner::ForeignUnclean, "a folder");
        file.look_again(&storage, dir).unwrap();
        file.write(&storage, dir).unwrap();
        assert_eq!(OwnerFile::read(&storage, dir).unwrap(), Some(file));
        assert_eq!(gather(&storage, dir), Owner::ForeignUnclean, "still one");
    }

    #[test]
    fn kafkas_folders_are_clean_by_a_marker_by_our_note_or_not_at_all() {
        let none = DirectoryListing::default();
        let some = DirectoryListing {
            internal: vec!["__consumer_offsets-0".to_owned()],
            ..DirectoryListing::default()
        };
        use Kafkas::{Clean, Unclean};
        for (owner, noted, expected) in [
            (Owner::Fresh, None, Clean),
            (Owner::OursClean, Some(Unclean), Clean),
            (Owner::ForeignClean, Some(Unclean), Clean),
            (Owner::OursUnclean, Some(Clean), Clean),
            (Owner::OursUnclean, Some(Unclean), Unclean),
            (Owner::OursUnclean, None, Unclean),
            (Owner::ForeignUnclean, Some(Clean), Unclean),
        ] {
            assert_eq!(
                Kafkas::at_open(&some, owner, noted),
                expected,
                "{owner:?} {noted:?}"
            );
            assert_eq!(Kafkas::at_open(&none, owner, noted), Clean);
        }
    }

    #[test]
    fn a_checkpoint_of_ours_that_comes_back_as_it_was_is_still_ours() {
        let storage = Memory::new();
        let dir = Path::new("/log");
        storage.create_dir(dir).unwrap();
        let checkpoint = dir.join(CheckpointName::LogStart.file());
        let mut file = OwnerFile::new(draw_incarnation().unwrap());
        file.look_again(&storage, dir).unwrap();
        file.expect(CheckpointName::LogStart, "0\n0\n");
        replace_file(&storage, &checkpoint, b"0\n0\n").unwrap();
        file.look_also(&storage, dir).unwrap();
        file.write(&storage, dir).unwrap();
        storage.remove(&checkpoint).unwrap();
        assert_eq!(gather(&storage, dir), Owner::OursUnclean);
        for number in 0..2 * MOST_LOOKS {
            file.expect(CheckpointName::LogStart, &number.to_string());
        }
        file.write(&storage, dir).unwrap();
        assert_eq!(gather(&storage, dir), Owner::ForeignUnclean, "long ago");
        file.look_again(&storage, dir).unwrap();
        file.write(&storage, dir).unwrap();
        assert_eq!(gather(&storage, dir), Owner::OursUnclean);
    }

    #[test]
    fn a_damaged_owner_file_reads_as_nobodys() {
        let storage = Memory::new();
        let dir = Path::new("/log");
        storage.create_dir(dir).unwrap();
        let mut file = OwnerFile::new(draw_incarnation().unwrap());
        file.opens = 41;
        file.kafkas = Kafkas::Unclean;
        file.look_again(&storage, dir).unwrap();
        file.write(&storage, dir).unwrap();
        assert_eq!(OwnerFile::read(&storage, dir).unwrap(), Some(file));
        let whole = read_small_file(&storage, &dir.join(FILE), LARGEST_BYTES)
            .unwrap()
            .unwrap();
        for length in 0..whole.len() {
            replace_file(&storage, &dir.join(FILE), &whole[..length]).unwrap();
            assert_eq!(
                OwnerFile::read(&storage, dir).unwrap(),
                None,
                "cut at {length}"
            );
        }
        for body in [
            "stratalog-owner 2\nincarnation abababab-abab-abab-abab-abababababab\nopens 1\nkafkas clean\n",
            "stratalog-owner 1\nincarnation abab\nopens 1\nkafkas clean\n",
            "stratalog-owner 1\nincarnation abababab-abab-abab-abab-abababababab\nopens -1\nkafkas clean\n",
            "stratalog-owner 1\nincarnation abababab-abab-abab-abab-abababababab\nopens 1\nkafkas\n",
            "stratalog-owner 1\nincarnation abababab-abab-abab-abab-abababababab\nopens 1\nkafkas clean\nx 0\n",
        ] {
            let text = with_checksum_line(body.to_owned());
            replace_file(&storage, &dir.join(FILE), text.as_bytes()).unwrap();
            assert_eq!(OwnerFile::read(&storage, dir).unwrap(), None, "{body}");
        }
    }
}

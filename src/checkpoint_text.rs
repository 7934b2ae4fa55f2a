//! The text of Kafka's checkpoint files (`CheckpointFile`): a version line, a count line, then an entry a line, its words apart by spaces.
//!
//! The checkpoints of a log directory and the leader epochs of a partition are such files. This module must never know what the words mean.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used
)]

use std::fmt;

const VERSION: &str = "0";

/// Shows `take` the words of each entry, in order; `Err` says what is wrong with the text. An empty text has no entries.
pub(crate) fn read<const WORDS: usize>(
    text: &str,
    mut take: impl FnMut([&str; WORDS]) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let mut lines = text.lines();
    let Some(version) = lines.next() else {
        return Ok(());
    };
    if version.trim() != VERSION {
        return Err("its version is not 0");
    }
    let count = lines.next().ok_or("its count is missing")?;
    let count: u64 = count.trim().parse().map_err(|_| "its count is no number")?;
    let mut taken = 0u64;
    for line in lines {
        let mut words = line.split_whitespace();
        let entry = [(); WORDS].map(|()| words.next().unwrap_or_default());
        if entry.contains(&"") || words.next().is_some() {
            return Err("a line has too few or too many words");
        }
        take(entry)?;
        taken = taken.saturating_add(1);
    }
    match taken == count {
        true => Ok(()),
        false => Err("its count does not match its lines"),
    }
}

/// The text with these entries.
pub(crate) fn write<Entry: fmt::Display>(entries: impl ExactSizeIterator<Item = Entry>) -> String {
    let mut text = format!("{VERSION}\n{}\n", entries.len());
    for entry in entries {
        text.push_str(&format!("{entry}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Result<Vec<(String, String)>, &'static str> {
        let mut pairs = Vec::new();
        read(text, |[a, b]| {
            pairs.push((a.to_owned(), b.to_owned()));
            Ok(())
        })?;
        Ok(pairs)
    }

    #[test]
    fn entries_read_back_as_they_were_written() {
        for count in [0, 1, 3] {
            let entries: Vec<(String, String)> = (0..count)
                .map(|n| (format!("a{n}"), format!("{n}")))
                .collect();
            let text = write(entries.iter().map(|(a, b)| format!("{a} {b}")));
            assert_eq!(pairs(&text), Ok(entries));
        }
        assert_eq!(pairs(""), Ok(Vec::new()));
        let spaced = pairs(" 0 \n1\n\ta   1  \n");
        assert_eq!(spaced, Ok(vec![("a".to_owned(), "1".to_owned())]));
    }

    #[test]
    fn a_spoiled_text_is_named() {
        for (text, what) in [
            ("1\n0\n", "version"),
            ("\n", "version"),
            ("0\n", "count"),
            ("0\nx\n", "count"),
            ("0\n-1\n", "count"),
            ("0\n18446744073709551616\n", "count"),
            ("0\n2\na 1\n", "count"),
            ("0\n0\na 1\n", "count"),
            ("0\n1\na\n", "line"),
            ("0\n1\na 1 2\n", "line"),
            ("0\n2\na 1\n\n", "line"),
        ] {
            let error = pairs(text).expect_err(text);
            assert!(error.contains(what), "{text:?}: {error}");
        }
    }
}

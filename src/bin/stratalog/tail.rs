//! `stratalog tail`: records out, also while another process writes them.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use stratalog::{Cursor, GapCause, Log, Offset, PartitionView, Start, StoredRecord, Timestamp};

use crate::Outcome;
use crate::lines;

/// How often a followed directory is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// While nothing comes, looking takes at most a fifth of the time.
const REST_PER_LOOK: u32 = 4;

#[derive(Args)]
pub(crate) struct Options {
    /// The log directory.
    log_dir: PathBuf,
    /// The topic.
    topic: String,
    /// Only this partition; without it all of them, one after the other.
    #[arg(long)]
    partition: Option<u32>,
    /// earliest, latest, an offset, or a time (2026-01-31T12:00:00Z, or @ and milliseconds since 1970).
    #[arg(long, default_value = "earliest")]
    from: From,
    /// Goes on with what is appended, until it is stopped.
    #[arg(long)]
    follow: bool,
    /// Prints JSON objects instead of values.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Earliest,
    Latest,
    Offset(u64),
    Time(Timestamp),
}

impl FromStr for From {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Some(millis) = text.strip_prefix('@') {
            return Ok(Self::Time(Timestamp::from_millis(millis.parse()?)));
        }
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            _ => match (text.parse(), text.parse::<jiff::Timestamp>()) {
                (Ok(offset), _) => Ok(Self::Offset(offset)),
                (_, Ok(at)) => Ok(Self::Time(Timestamp::from_millis(at.as_millisecond()))),
                _ => bail!(
                    "neither earliest, latest, an offset, @MS nor a time like 2026-01-31T12:00:00Z"
                ),
            },
        }
    }
}

impl From {
    fn start(self) -> stratalog::Result<Start> {
        Ok(match self {
            Self::Earliest => Start::Earliest,
            Self::Latest => Start::Latest,
            Self::Offset(offset) => Start::At(Offset::new(offset)?),
            Self::Time(at) => Start::Timestamp(at),
        })
    }
}

struct Place {
    index: u32,
    view: PartitionView,
    cursor: Cursor,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Outcome> {
    let topic = Log::view(&options.log_dir)?.topic(&options.topic)?;
    let indexes = match options.partition {
        Some(index) => vec![index],
        None => topic.partitions(),
    };
    let mut places = Vec::new();
    for index in indexes {
        let view = topic.partition(index)?;
        let cursor = view.cursor(options.from.start()?)?;
        places.push(Place {
            index,
            view,
            cursor,
        });
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut outcome = Outcome::Done;
    loop {
        let mut printed = false;
        for place in &mut places {
            for record in place.cursor.by_ref() {
                match record {
                    Ok(record) => print(options, place.index, &record, &mut out)?,
                    Err(error) => outcome = told(&error, &place.view, outcome)?,
                }
                printed = true;
            }
        }
        out.flush()?;
        if !options.follow {
            return Ok(outcome);
        }
        let looking = Instant::now();
        for place in &places {
            place.view.refresh()?;
        }
        if !printed {
            // Without a clean end a look reads the last segment.
            std::thread::sleep(LOOK_AGAIN.max(looking.elapsed() * REST_PER_LOOK));
        }
    }
}

fn print(
    options: &Options,
    index: u32,
    record: &StoredRecord,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    if options.json {
        writeln!(out, "{}", lines::to_json(record, index))?;
    } else {
        out.write_all(record.value().unwrap_or_default())?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// A gap is said on standard error and passed; anything else ends the command.
fn told(
    error: &stratalog::Error,
    view: &PartitionView,
    so_far: Outcome,
) -> anyhow::Result<Outcome> {
    let Some(gap) = error.gap() else {
        return Err(error.clone().into());
    };
    let mut cause = gap.cause();
    if cause == GapCause::Missing {
        // A file that is gone was trimmed, as a rule: the writer knows.
        view.refresh()?;
        if view.watermarks().start >= gap.to() {
            cause = GapCause::Trimmed;
        }
    }
    eprintln!("stratalog: {error}");
    Ok(match cause {
        GapCause::Trimmed | GapCause::Truncated => so_far,
        GapCause::OldFormat if so_far == Outcome::Done => Outcome::Unsupported,
        GapCause::OldFormat => so_far,
        _ => Outcome::Damage,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_to_start_is_a_word_an_offset_or_a_time() {
        let parse = |text: &str| text.parse::<From>().ok();
        assert_eq!(parse("latest"), Some(From::Latest));
        assert_eq!(parse("17"), Some(From::Offset(17)));
        let at = From::Time(Timestamp::from_millis(1_700_000_000_000));
        assert_eq!(parse("@1700000000000"), Some(at));
        assert_eq!(parse("2023-11-14T22:13:20Z"), Some(at));
        assert_eq!(parse("yesterday"), None);
    }
}

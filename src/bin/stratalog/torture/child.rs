//! The process that is killed: it appends, and says on a pipe what was acknowledged.
//!
//! One [`Message`] is one `write(2)` of fewer bytes than a pipe takes at once, so none is ever half there. The latencies travel with the
//! messages, because what a killed process counted is gone.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use stratalog::{ErrorKind, FsyncPolicy, Log, Partition, Record, RecordBatchBuilder};

use super::settings::Settings;
use super::value::{self, Draws, Identity};
use crate::Outcome;

/// Name of the hidden subcommand.
pub(crate) const COMMAND: &str = "torture-child";

pub(crate) const TOPIC: &str = "torture";

/// An append in so many is followed by a sync on request, so that there is something durable and a latency to tell.
const APPENDS_PER_SYNC: u64 = 200;

/// Rest after an append that found no room.
const REST_WHEN_FULL: Duration = Duration::from_millis(20);

#[derive(Args)]
pub(crate) struct Options {
    /// The log directory.
    log_dir: PathBuf,
    /// Stands in each value.
    #[arg(long)]
    round: u32,
    /// Recovers, and appends nothing.
    #[arg(long)]
    recover_only: bool,
    #[command(flatten)]
    settings: Settings,
}

/// What the child says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Message {
    /// The log is open, recovery is behind us.
    Opened,
    /// An append of `count` records returned.
    Acknowledged {
        partition: u32,
        first: u64,
        count: u32,
        writer: u32,
        seq: u64,
        nanos: u64,
    },
    /// Everything below `end` is durable; `nanos` is what a sync on request took, where there was one.
    Durable {
        partition: u32,
        end: u64,
        nanos: Option<u64>,
    },
    /// An append was refused, because the disk is full.
    Full,
}

impl Message {
    pub(crate) const BYTES: usize = 40;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let (kind, partition, count, writer, first, seq, nanos) = match self {
            Self::Opened => (1, 0, 0, 0, 0, 0, 0),
            Self::Acknowledged {
                partition,
                first,
                count,
                writer,
                seq,
                nanos,
            } => (2, partition, count, writer, first, seq, nanos),
            Self::Durable {
                partition,
                end,
                nanos,
            } => {
                let nanos = nanos.map_or(0, |nanos| nanos.max(1));
                (3, partition, 0, 0, end, 0, nanos)
            }
            Self::Full => (4, 0, 0, 0, 0, 0, 0),
        };
        let mut bytes = [0; Self::BYTES];
        for (slot, number) in bytes
            .chunks_exact_mut(4)
            .zip([kind, partition, count, writer])
        {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        for (slot, number) in bytes[16..].chunks_exact_mut(8).zip([first, seq, nanos]) {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let (first, nanos) = (long(16)?, long(32)?);
        Some(match word(0)? {
            1 => Self::Opened,
            2 => Self::Acknowledged {
                partition: word(4)?,
                first,
                count: word(8)?,
                writer: word(12)?,
                seq: long(24)?,
                nanos,
            },
            3 => Self::Durable {
                partition: word(4)?,
                end: first,
                nanos: (nanos > 0).then_some(nanos),
            },
            4 => Self::Full,
            _ => return None,
        })
    }
}

/// Messages as they come, until the pipe ends.
pub(crate) fn read_message(pipe: &mut impl Read) -> Option<Message> {
    let mut bytes = [0; Message::BYTES];
    pipe.read_exact(&mut bytes).ok()?;
    Message::from_bytes(&bytes)
}

/// Standard output without a buffer.
struct Pipe(File);

impl Pipe {
    /// Nobody reads any more: the process that started us is gone.
    fn say(&self, message: Message) {
        if (&self.0).write_all(&message.to_bytes()).is_err() {
            std::process::exit(0);
        }
    }
}

/// Appends until it is killed.
pub(crate) fn run(options: &Options) -> anyhow::Result<Outcome> {
    let pipe = Pipe(File::from(std::io::stdout().as_fd().try_clone_to_owned()?));
    let settings = &options.settings;
    let log = Log::builder(&options.log_dir)
        .defaults(settings.topic_options())
        .open()?;
    let topic = log.topic(TOPIC)?;
    let partitions = topic.partitions();
    pipe.say(Message::Opened);
    if options.recover_only {
        return Ok(Outcome::Done);
    }
    std::thread::scope(|scope| {
        let (log, partitions, pipe) = (&log, &partitions, &pipe);
        let writers: Vec<_> = (0..settings.writers)
            .map(|writer| scope.spawn(move || append(options, writer, log, partitions, pipe)))
            .collect();
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().expect("a writer does not panic"))
    })?;
    Ok(Outcome::Done)
}

/// One writer: a stream of records 0, 1, 2 and so on for each partition.
fn append(
    options: &Options,
    writer: u32,
    log: &Log,
    partitions: &[Partition],
    pipe: &Pipe,
) -> stratalog::Result<()> {
    let settings = &options.settings;
    let seed = settings.seed.unwrap_or(0);
    let mut draws = Draws(seed ^ u64::from(options.round) << 32 ^ u64::from(writer) << 16);
    let mut next = vec![0u64; partitions.len()];
    let mut batch = RecordBatchBuilder::new(settings.compression.compression());
    let mut bytes = Vec::new();
    let mut rolls = 0;
    loop {
        let at = draws.next() % partitions.len() as u64;
        let at = usize::try_from(at).unwrap_or(0);
        let (Some(partition), Some(seq)) = (partitions.get(at), next.get_mut(at)) else {
            return Ok(());
        };
        batch.clear();
        let first_seq = *seq;
        for _ in 0..settings.batch {
            let identity = Identity {
                round: options.round,
                writer,
                seq: *seq,
            };
            let sizes = settings.value_bytes;
            let length = draws.between(sizes.low.into(), sizes.high.into());
            let length = u32::try_from(length).unwrap_or(sizes.high);
            value::write(identity, partition.index(), length, &mut bytes);
            batch.push(Record::new(&bytes))?;
            *seq += 1;
        }
        let (ticket, nanos) = loop {
            let started = Instant::now();
            match partition.append_batch(&batch) {
                Ok(ticket) => break (ticket, nanos_since(started)),
                Err(error) if error.kind() == ErrorKind::Full => {
                    pipe.say(Message::Full);
                    std::thread::sleep(REST_WHEN_FULL);
                }
                Err(error) => return Err(error),
            }
        };
        pipe.say(Message::Acknowledged {
            partition: partition.index(),
            first: ticket.offset().get(),
            count: settings.batch,
            writer,
            seq: first_seq,
            nanos,
        });
        if draws.once_in(APPENDS_PER_SYNC) {
            say_what_is_durable(settings, partition, pipe)?;
        }
        // Retention takes what it may at once, and not at the housekeeper's leisure.
        if settings.drops_by_itself() && partition.stats().rolls != rolls {
            rolls = partition.stats().rolls;
            log.maintain(Duration::from_millis(50))?;
        }
    }
}

fn say_what_is_durable(
    settings: &Settings,
    partition: &Partition,
    pipe: &Pipe,
) -> stratalog::Result<()> {
    if settings.fsync.policy == FsyncPolicy::Always {
        // Each append was a sync; one more would find nothing to do.
        pipe.say(Message::Durable {
            partition: partition.index(),
            end: partition.watermarks().durable.get(),
            nanos: None,
        });
        return Ok(());
    }
    let started = Instant::now();
    match partition.sync() {
        Ok(end) => pipe.say(Message::Durable {
            partition: partition.index(),
            end: end.get(),
            nanos: Some(nanos_since(started)),
        }),
        Err(error) if error.kind() == ErrorKind::Full => pipe.say(Message::Full),
        Err(error) => return Err(error),
    }
    Ok(())
}

fn nanos_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_went_in() {
        for message in [
            Message::Opened,
            Message::Acknowledged {
                partition: 1,
                first: 2,
                count: 3,
                writer: 4,
                seq: 5,
                nanos: 6,
            },
            Message::Durable {
                partition: 7,
                end: 8,
                nanos: None,
            },
            Message::Durable {
                partition: 7,
                end: 8,
                nanos: Some(9),
            },
            Message::Full,
        ] {
            let bytes = message.to_bytes();
            assert_eq!(read_message(&mut &bytes[..]), Some(message));
            assert_eq!(read_message(&mut &bytes[1..]), None);
        }
    }
}

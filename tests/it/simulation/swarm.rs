//! What differs from seed to seed: how the log is made, what is done to it, and what goes wrong.

use std::time::Duration;

use stratalog::storage::sim::{Fault, Repeat, Sim};
use stratalog::{Compression, FsyncPolicy, HighWatermark, Level, Retention, TopicOptions};

use crate::modelled::{Eyes, Keeps, Kind, Setup, Step, TopicSetup};
use crate::random::Random;

/// A draw: some kinds of steps are rare, and some never come.
#[derive(Debug)]
pub(super) struct Swarm {
    pub(super) setup: Setup,
    weights: [u64; 14],
}

impl Swarm {
    pub(super) fn drawn(random: &mut Random) -> Self {
        let names = ["orders", "clicks.eu", "_audit"];
        let topics = names
            .iter()
            .take(1 + random.below(3) as usize)
            .map(|name| draw_topic(name, random))
            .collect();
        let mut weights = [0; 14];
        for weight in &mut weights {
            *weight = *random.one_of(&[0, 1, 1, 4]);
        }
        // Without appends there is nothing to see.
        weights[0] = weights[0].max(2);
        Self {
            setup: Setup {
                topics,
                max_open_files: *random.one_of(&[16, 64]),
                eyes: Eyes::Open,
            },
            weights,
        }
    }

    pub(super) fn step(&self, random: &mut Random) -> Step {
        let bytes = 8 + random.below(400) as usize;
        let count = 1 + random.below(6) as usize;
        let producer = 1 + random.below(4) as i64;
        let part = random.below(1001);
        match self.kind(random) {
            0 => Step::Append { bytes },
            1 => Step::Submit { bytes },
            2 => Step::AppendBatch {
                count,
                bytes: bytes / count,
            },
            3 => Step::Send { producer, count },
            4 => Step::Resend { producer },
            5 => Step::End {
                producer: 3 + random.below(2) as i64,
                kind: *random.one_of(&[Kind::Commit, Kind::Abort]),
            },
            6 => Step::BeginEpoch,
            7 => Step::DeleteBefore { part: part / 2 },
            8 => Step::Truncate {
                part: 1000 - part / 3,
            },
            9 => Step::Maintain {
                seconds: *random.one_of(&[1, 40, 400]),
            },
            10 => Step::Sync,
            11 => Step::WaitDurable,
            12 => Step::Read {
                cursor: random.below(4),
                records: 1 + random.below(20),
            },
            _ => match random.below(3) {
                0 => Step::Reopen,
                _ => Step::Look,
            },
        }
    }

    fn kind(&self, random: &mut Random) -> usize {
        let mut left = random.below(self.weights.iter().sum());
        for (kind, weight) in self.weights.iter().enumerate() {
            match left.checked_sub(*weight) {
                Some(less) => left = less,
                None => return kind,
            }
        }
        0
    }
}

fn draw_topic(name: &str, random: &mut Random) -> TopicSetup {
    let codec = draw_codec(random);
    let keeps = Keeps {
        time: *random.one_of(&[None, Some(Duration::from_secs(600)), Some(Duration::ZERO)]),
        bytes: *random.one_of(&[None, None, Some(3000)]),
    };
    let mut retention = Retention::unlimited();
    if let Some(time) = keeps.time {
        retention = retention.time(time);
    }
    if let Some(bytes) = keeps.bytes {
        retention = retention.bytes(bytes);
    }
    let policy = *random.one_of(&[
        FsyncPolicy::Always,
        FsyncPolicy::Never,
        FsyncPolicy::Interval(Duration::from_millis(700)),
        FsyncPolicy::Bytes(1000),
        FsyncPolicy::Records(5),
    ]);
    let options = TopicOptions::default()
        .segment_bytes(*random.one_of(&[1024, 1024, 4096, 65536]))
        .segment_age(Duration::from_secs(*random.one_of(&[60, 100_000])))
        .segment_index_bytes(*random.one_of(&[64, 4096]))
        .index_interval_bytes(*random.one_of(&[0, 200, 4096]))
        .high_watermark(*random.one_of(&[HighWatermark::End, HighWatermark::Durable]))
        .compression(draw_codec(random))
        .retention(retention)
        .fsync(policy);
    TopicSetup {
        name: name.to_owned(),
        partitions: 1 + random.below(2) as u32,
        options,
        keeps,
        codec,
    }
}

fn draw_codec(random: &mut Random) -> Compression {
    *random.one_of(&[
        Compression::None,
        Compression::None,
        Compression::Gzip(Level::gzip(1).expect("a level")),
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd(Level::zstd(1).expect("a level")),
    ])
}

/// What goes wrong in a life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    None,
    /// The power is cut.
    Crash,
    Kill,
    /// An operation fails, once or for ever.
    Fault(Fault, Repeat),
    FailedRead,
    /// There is little room, until the end of the life.
    SmallDisk,
}

impl Trouble {
    pub(super) fn planned(sim: &Sim, random: &mut Random) -> Self {
        let trouble = match random.below(10) {
            0..4 => Self::None,
            4 | 5 => Self::Crash,
            6 => Self::Kill,
            7 => Self::SmallDisk,
            8 => Self::FailedRead,
            _ => Self::Fault(
                *random.one_of(&[Fault::Io, Fault::Full, Fault::ShortWrite]),
                *random.one_of(&[Repeat::Once, Repeat::Once, Repeat::Forever]),
            ),
        };
        let at = random.below(200);
        match trouble {
            Self::None => {}
            Self::Crash => sim.crash_after(at),
            Self::Kill => sim.kill_after(at),
            Self::Fault(fault, repeat) => sim.fail_operation(1 + at, fault, repeat),
            Self::FailedRead => sim.fail_read(1 + at, Repeat::Once),
            Self::SmallDisk => sim.set_capacity_bytes(used_bytes(sim) + 20 * at),
        }
        trouble
    }
}

fn used_bytes(sim: &Sim) -> u64 {
    use stratalog::storage::Storage;
    let space = sim.space(std::path::Path::new("/")).expect("a sound disk");
    u64::MAX - space.free_bytes
}

//! What is done to a log: steps, drawn from a seed.

use stratalog::{FsyncPolicy, Retention, TopicOptions};

use super::model::Kind;

/// Splitmix: small, and the same everywhere.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Append {
        bytes: usize,
    },
    Submit {
        bytes: usize,
    },
    AppendBatch {
        count: usize,
        bytes: usize,
    },
    WaitDurable,
    Sync,
    Send {
        producer: i64,
        count: usize,
    },
    Resend {
        producer: i64,
    },
    End {
        producer: i64,
        kind: Kind,
    },
    BeginEpoch,
    /// In thousandths of what is there.
    DeleteBefore {
        part: u64,
    },
    Truncate {
        part: u64,
    },
    Maintain,
    Reopen,
}

/// A workload: all of it follows from the seed.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) policy: FsyncPolicy,
    pub(super) index_interval_bytes: u32,
    pub(super) steps: Vec<Step>,
}

impl Workload {
    pub(super) fn drawn(policy: FsyncPolicy, seed: u64, length: usize) -> Self {
        // Other steps for each policy.
        let salt: u64 = format!("{policy:?}").bytes().map(u64::from).sum();
        let mut random = Random(seed.wrapping_mul(1000) + salt);
        let index_interval_bytes = [0, 200, 4096][random.below(3) as usize];
        let steps = (0..length).map(|_| draw_step(&mut random)).collect();
        Self {
            policy,
            index_interval_bytes,
            steps,
        }
    }

    pub(super) fn options(&self) -> TopicOptions {
        TopicOptions::default()
            .segment_bytes(1024)
            .index_interval_bytes(self.index_interval_bytes)
            .segment_index_bytes(4096)
            .retention(Retention::unlimited())
            .fsync(self.policy)
    }
}

fn draw_step(random: &mut Random) -> Step {
    let bytes = 8 + random.below(320) as usize;
    let count = 1 + random.below(4) as usize;
    // Two producers are idempotent, two transactional.
    let producer = 1 + random.below(4) as i64;
    let part = random.below(1001);
    match random.below(40) {
        0..8 => Step::Append { bytes },
        8..12 => Step::Submit { bytes },
        12..16 => Step::AppendBatch {
            count,
            bytes: bytes / 2,
        },
        16 | 17 => Step::WaitDurable,
        18 => Step::Sync,
        19..26 => Step::Send { producer, count },
        26 => Step::Resend { producer },
        27..30 => Step::End {
            producer: 3 + random.below(2) as i64,
            kind: if random.below(2) == 0 {
                Kind::Commit
            } else {
                Kind::Abort
            },
        },
        30 | 31 => Step::BeginEpoch,
        32 | 33 => Step::DeleteBefore { part },
        34 | 35 => Step::Truncate {
            part: 1000 - part / 3,
        },
        36 | 37 => Step::Maintain,
        _ => Step::Reopen,
    }
}

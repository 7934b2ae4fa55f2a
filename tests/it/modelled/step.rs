//! What can be done to a partition of a log.

use super::model::Kind;
use crate::random::Random;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
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
    /// Time passes, and the background work is done.
    Maintain {
        seconds: u64,
    },
    Reopen,
    /// All that is there, in each way of reading.
    Look,
    /// A cursor that stays open goes on.
    Read {
        cursor: u64,
        records: u64,
    },
}

pub(crate) fn draw_step(random: &mut Random) -> Step {
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
            kind: *random.one_of(&[Kind::Commit, Kind::Abort]),
        },
        30 | 31 => Step::BeginEpoch,
        32 | 33 => Step::DeleteBefore { part },
        34 | 35 => Step::Truncate {
            part: 1000 - part / 3,
        },
        36 | 37 => Step::Maintain { seconds: 40 },
        _ => Step::Reopen,
    }
}

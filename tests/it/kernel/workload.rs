//! What a writer does in one round, drawn from a number.

use crate::driver::POLICIES;

/// Policy, batches, codec, segments and retention of one writer, and when it is stopped.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) policy: &'static str,
    /// Records of one append.
    pub(crate) batch: u64,
    codec: &'static str,
    segment_bytes: u64,
    pub(crate) trims: bool,
    /// How long it runs before its end.
    pub(crate) millis: u64,
    threads: u64,
}

impl Workload {
    pub(crate) fn of(number: u64) -> Self {
        let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut draw = |below: u64| {
            state ^= state >> 29;
            state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            state ^= state >> 32;
            state % below
        };
        Self {
            policy: POLICIES[draw(6) as usize],
            batch: [1, 3, 10][draw(3) as usize],
            codec: ["none", "zstd", "lz4"][draw(3) as usize],
            segment_bytes: [16_384, 65_536, 1 << 20][draw(3) as usize],
            trims: draw(3) == 0,
            millis: 10 + draw(120),
            threads: 1 + draw(3),
        }
    }

    /// Whether an acknowledgement says that the records are on the medium.
    pub(crate) fn acknowledges_durable(&self) -> bool {
        matches!(self.policy, "always" | "group")
    }

    /// For a first `logdrv write` that ends by itself.
    pub(crate) fn first_options(&self) -> String {
        self.options_for(0, "--count 50")
    }

    /// For `logdrv write`; sequence numbers of each `round` start apart from those before.
    pub(crate) fn options(&self, round: u64) -> String {
        self.options_for(round, "--secs 60")
    }

    fn options_for(&self, round: u64, end: &str) -> String {
        let Self {
            policy,
            batch,
            codec,
            segment_bytes,
            threads,
            ..
        } = self;
        let first_seq = round * 1_000_000;
        let retention = match self.trims {
            true => "--retention-bytes 100000",
            false => "",
        };
        format!(
            "--policy {policy} --batch {batch} --codec {codec} --segment-bytes {segment_bytes} --threads {threads} \
             {end} --seed 1 --first-seq {first_seq} {retention}"
        )
    }
}

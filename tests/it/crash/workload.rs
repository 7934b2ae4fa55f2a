//! What is done to a log of one partition before it crashes.

use stratalog::{Compression, FsyncPolicy, Retention, TopicOptions};

use crate::modelled::{Eyes, Keeps, Setup, Step, TopicSetup, draw_step};
use crate::random::Random;

#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) policy: FsyncPolicy,
    pub(super) index_interval_bytes: u32,
    pub(super) steps: Vec<Step>,
}

impl Workload {
    /// All of it follows from the seed.
    pub(super) fn drawn(policy: FsyncPolicy, seed: u64, length: usize) -> Self {
        // Other steps for each policy.
        let salt: u64 = format!("{policy:?}").bytes().map(u64::from).sum();
        let mut random = Random(seed.wrapping_mul(1000) + salt);
        let index_interval_bytes = *random.one_of(&[0, 200, 4096]);
        let steps = (0..length).map(|_| draw_step(&mut random)).collect();
        Self {
            policy,
            index_interval_bytes,
            steps,
        }
    }

    pub(super) fn setup(&self) -> Setup {
        let options = TopicOptions::default()
            .segment_bytes(1024)
            .index_interval_bytes(self.index_interval_bytes)
            .segment_index_bytes(4096)
            .retention(Retention::unlimited())
            .fsync(self.policy);
        Setup {
            topics: vec![TopicSetup {
                name: "events".to_owned(),
                partitions: 1,
                options,
                keeps: Keeps::default(),
                codec: Compression::None,
            }],
            max_open_files: 64,
            eyes: Eyes::Open,
        }
    }
}

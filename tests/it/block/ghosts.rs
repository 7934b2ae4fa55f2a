//! Ghosts on btrfs: a disk that refuses what btrfs writes, but for its trees, and is well again afterwards.
//!
//! The other filesystems have theirs on a medium without room; btrfs copies its trees at each write, so there it would stop as a whole.

use std::time::Duration;

use super::{Disk, Recorded, prepare};
use crate::battery::{Cases, effort, seeds};
use crate::driver::{Running, Said, command, dump};
use crate::kernel::image::{Image, Kind};
use crate::kernel::workload::Workload;
use crate::random::Random;

/// Promise 10: write-back fails, the partition stops writing with a typed error; it is opened again in the same boot, and
/// what it shows then is there after a power cut. Promise 5.
#[test]
fn what_is_shown_after_a_failed_sync_on_btrfs_survives_a_power_cut() {
    let rounds = effort(2, 20);
    let cases = Cases::default();
    let mut in_doubt = 0;
    let mut stopped = 0;
    for seed in seeds(rounds, rounds) {
        match check_round(seed) {
            Some(Round::Shown(records)) => {
                in_doubt += records;
                cases.count();
            }
            Some(Round::Stopped) => stopped += 1,
            None => return,
        }
    }
    assert!(
        rounds < 10 || stopped <= rounds / 2,
        "{stopped} of {rounds} times the filesystem gave up"
    );
    assert!(
        rounds < 10 || in_doubt > 0,
        "no record was in doubt in {rounds} rounds: nothing was shown"
    );
    println!("Btrfs: {in_doubt} records in doubt were shown, and kept");
    cases.report("ghosts on Btrfs", 1);
}

/// What came of one failure.
enum Round {
    /// So many records above the durable end were shown, and survived.
    Shown(u64),
    /// The filesystem found that its trees could not be written either, and takes no writes any more.
    Stopped,
}

/// `None`, said aloud, where the tools or the rights are missing.
fn check_round(seed: u64) -> Option<Round> {
    let case = format!("SEED={seed}");
    let work = Workload::of(seed);
    let (folder, device, mut judge) = prepare(Kind::Btrfs, &work, "ghosts on Btrfs")?;
    let mounted = device.mount().expect("the image mounts");
    let dir = mounted.path().join("log");
    let policy = ["interval:50", "records:40", "bytes:9000", "group"][(seed % 4) as usize];
    let segments = ["30000", "1000000"][(seed / 4 % 2) as usize];
    let options = format!(
        "--policy {policy} --segment-bytes {segments} --secs 600 --pause-us 300 --seed 1 --first-seq 1000000"
    );
    let writer = Running::start(&mut command("write", &dir, &options));
    let is_under_way =
        |said: &Said| (said.opened_at).is_some_and(|first| said.durable >= first + 50 + seed % 7);
    while !is_under_way(&writer.heard()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    device.refuse_data(true);
    let (said, status) = writer.wait();
    assert!(
        matches!(status.code(), Some(10 | 11 | 14)) && !said.complaints.is_empty(),
        "{case}: {status}: {:?}",
        said.complaints
    );
    device.refuse_data(false);

    judge.power_went(&said, policy == "group");
    let (shown, status) = dump(&dir, "");
    let says = shown.complaints.first();
    if says.is_some_and(|says| says.starts_with("E readonly ")) {
        return Some(Round::Stopped);
    }
    judge.check(
        &format!("{case}, same boot"),
        &shown,
        status,
        &said,
        u64::MAX,
    );
    let told = device.told();
    drop(mounted);
    let recorded = Recorded {
        kind: Kind::Btrfs,
        folder,
        heard: Vec::new(),
        told,
        said,
        judge,
        is_durable_when_acknowledged: policy == "group",
    };
    let until = recorded.told.len();
    let state = recorded.state(until, Disk::Keeps, &mut Random(seed));
    let after = Image::again(Kind::Btrfs, &state).expect("a filesystem that was cut off mounts");
    recorded.check(&format!("{case}, after the cut"), until, &after);
    let in_doubt = shown.read.range(recorded.said.durable..).count();
    Some(Round::Shown(in_doubt as u64))
}

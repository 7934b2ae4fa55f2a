//! Power cuts as the disk sees them: a recording of all writes and flushes is cut anywhere, and behind the last flush any subset of the sectors
//! may have come to the medium.
//!
//! What needs root, a tool or a filesystem that is not here says aloud that it was skipped.

mod device;
mod ghosts;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::battery::{Cases, effort, seeds, skip};
use crate::driver::{Judge, Running, Said, command, dump};
use crate::kernel::image::{Image, Kind};
use crate::kernel::workload::Workload;
use crate::random::Random;
use device::{Device, Told};

/// States that are tried of one recording.
const STATES: u64 = 20;

/// How a recording becomes a state of the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Disk {
    /// It keeps what was flushed.
    Keeps,
    /// It says yes to a flush and forgets.
    Lies,
}

/// A writer that was recorded.
struct Recorded {
    kind: Kind,
    /// Has the `image` before it was recorded.
    folder: TempDir,
    told: Vec<Told>,
    /// What was heard of the writer, and how much the disk had been told by then.
    heard: Vec<(usize, Said)>,
    said: Said,
    judge: Judge,
    is_durable_when_acknowledged: bool,
}

/// What a disk writes as a whole. btrfs asks for more than a sector: it does not outlive half of a superblock.
fn sector_bytes(kind: Kind) -> usize {
    match kind {
        Kind::Ext4 | Kind::Xfs => 512,
        Kind::Btrfs => 4096,
    }
}

impl Recorded {
    /// Runs a writer for a while. `None`, said aloud, where the tools or the rights are missing.
    fn write(kind: Kind, seed: u64, test: &str) -> Option<Self> {
        let work = Workload::of(seed);
        let (folder, device, judge) = prepare(kind, &work, test)?;
        let mounted = device.mount().expect("the image mounts");
        let dir = mounted.path().join("log");
        let writer = Running::start(&mut command("write", &dir, &work.options(1)));
        let heard = (0..8).map(|_| {
            std::thread::sleep(Duration::from_millis(work.millis / 8 + 1));
            let said = writer.heard();
            // Counted afterwards: what the disk was told up to here, the writer may have relied on.
            (device.told_count(), said)
        });
        let heard = heard.collect();
        let said = writer.kill();
        drop(mounted);
        Some(Self {
            kind,
            folder,
            told: device.told(),
            heard,
            said,
            judge,
            is_durable_when_acknowledged: work.acknowledges_durable(),
        })
    }

    /// The disk after a power cut when it had been told `until` things.
    fn state(&self, until: usize, disk: Disk, random: &mut Random) -> PathBuf {
        let image = self.folder.path().join("state");
        std::fs::copy(self.folder.path().join("image"), &image).unwrap();
        let file = File::options().write(true).open(&image).unwrap();
        let told = &self.told[..until];
        let is_flush = |told: &Told| matches!(told, Told::Flush);
        let kept = match disk {
            Disk::Keeps => told.iter().rposition(is_flush).unwrap_or(0),
            Disk::Lies => 0,
        };
        // Of what follows all, nothing, or some.
        let share = random.below(5);
        for (number, told) in told.iter().enumerate() {
            let Told::Write { at, bytes } = told else {
                continue;
            };
            let sector_bytes = sector_bytes(self.kind);
            for (sector, bytes) in bytes.chunks(sector_bytes).enumerate() {
                if number < kept || random.below(4) < share {
                    let at = at + (sector * sector_bytes) as u64;
                    file.write_all_at(bytes, at).unwrap();
                }
            }
        }
        image
    }

    /// Opens what a power cut has left, and holds it against what the writer had been promised by then.
    fn check(&self, case: &str, until: usize, mounted: &Image) {
        let mut judge = self.judge.clone();
        let before = self.heard.iter().rev().find(|(told, _)| *told <= until);
        let nothing = Said::default();
        let before = before.map_or(&nothing, |(_, said)| said);
        judge.power_went(before, self.is_durable_when_acknowledged);
        let (found, status) = dump(&mounted.path().join("log"), "");
        judge.check(case, &found, status, &self.said, u64::MAX);
    }
}

/// A log that is there before anything is recorded: a crash while its folder is made is another story.
fn prepare(kind: Kind, work: &Workload, test: &str) -> Option<(TempDir, Device, Judge)> {
    let image = Image::mount(kind, test)?;
    let dir = image.path().join("log");
    let first = Running::start(&mut command("write", &dir, &work.first_options()));
    let (said, status) = first.wait();
    assert!(status.success(), "{status}");
    let mut judge = Judge::default();
    judge.may_trim = work.trims;
    judge.killed(&said);
    let (found, status) = dump(&dir, "");
    judge.check("before the recording", &found, status, &said, u64::MAX);
    let folder = image.into_file();
    let now = folder.path().join("now");
    std::fs::copy(folder.path().join("image"), &now).unwrap();
    match Device::over(&now) {
        Ok(device) => Some((folder, device, judge)),
        Err(why) => {
            skip(test, &why);
            None
        }
    }
}

fn check_power_cuts(kind: Kind, states: u64) {
    let test = "power cuts at the block device";
    let cases = Cases::default();
    let mut unmountable = 0;
    let recordings = states.div_ceil(STATES);
    for seed in seeds(recordings, recordings) {
        let Some(recorded) = Recorded::write(kind, seed, test) else {
            return;
        };
        let mut random = Random(seed);
        for _ in 0..states.min(STATES) {
            let until = random.below(recorded.told.len() as u64 + 1) as usize;
            let case = format!(
                "SEED={seed} {kind:?} cut at {until} of {}",
                recorded.told.len()
            );
            let state = recorded.state(until, Disk::Keeps, &mut random);
            match Image::again(kind, &state) {
                Ok(mounted) => {
                    recorded.check(&case, until, &mounted);
                    cases.count();
                }
                // Half of a block under one checksum, a superblock of ext4 or a directory of xfs for example.
                Err(why) => {
                    println!("{case}: the filesystem itself does not outlive it: {why}");
                    unmountable += 1;
                }
            }
        }
    }
    assert!(
        unmountable <= states / 10,
        "{unmountable} of {states} states do not mount"
    );
    cases.report(&format!("power cuts at the block device on {kind:?}"), 1);
}

/// Promise 2: whatever order the disk keeps its sectors in between two flushes, what a policy promised is there, and of the rest a prefix.
/// Promise 3: never half a batch.
#[test]
fn a_power_cut_between_any_two_sectors_takes_nothing_promised_on_ext4() {
    check_power_cuts(Kind::Ext4, effort(60, 2_000));
}

/// Promise 2.
#[test]
fn a_power_cut_between_any_two_sectors_takes_nothing_promised_on_xfs() {
    check_power_cuts(Kind::Xfs, effort(20, 300));
}

/// Promise 2.
#[test]
fn a_power_cut_between_any_two_sectors_takes_nothing_promised_on_btrfs() {
    check_power_cuts(Kind::Btrfs, effort(20, 500));
}

/// Promise 24 is that nothing is promised of a disk that lies. So it is what shows that the judge can say no.
#[test]
fn a_disk_that_forgets_what_it_flushed_is_found_out() {
    let test = "a disk that lies";
    let is_lost = (0..20).any(|seed| {
        let Some(recorded) = Recorded::write(Kind::Ext4, seed, test) else {
            return true;
        };
        let until = recorded.told.len();
        let state = recorded.state(until, Disk::Lies, &mut Random(seed));
        let Ok(mounted) = Image::again(Kind::Ext4, &state) else {
            // The filesystem noticed, which is not the judge.
            return false;
        };
        let check = || recorded.check("a lie", until, &mounted);
        catch_unwind(AssertUnwindSafe(check)).is_err()
    });
    assert!(is_lost, "twenty lies, and nobody noticed");
}

//! A medium that fails while data is written back, and is well again afterwards: what the page cache shows then is not on it.
//!
//! Without the device mapper: the image is a file on a tmpfs, its free blocks are holes, and while the tmpfs is full nothing can be written
//! to a block that was never used. Journal and inode tables have blocks of their own, so the filesystem itself lives on. A filesystem that
//! copies its metadata at each write does not, which is why btrfs is not here.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::image::{Image, Kind, can_cut_power, run};
use crate::battery::{self, Cases, effort, seeds};
use crate::driver::{Judge, Running, command, dump};

/// Dropped in this order: the image is unmounted before what it lies on.
struct FailingMedium {
    image: Image,
    below: Tmpfs,
}

struct Tmpfs(TempDir);

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if let Err(why) = run(Command::new("umount").arg(self.0.path())) {
            eprintln!("{} stays mounted: {why}", self.0.path().display());
        }
    }
}

impl FailingMedium {
    fn new(kind: Kind, test: &str) -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        let below = TempDir::new().expect("a folder");
        let size = format!("size={}", kind.image_bytes() + (4 << 20));
        let mounted = run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(below.path()));
        if let Err(why) = mounted {
            battery::skip(test, &why);
            return None;
        }
        let below = Tmpfs(below);
        let image = below.0.path().join("image");
        let file = std::fs::File::create(&image).expect("an image file");
        file.set_len(kind.image_bytes()).expect("a sparse file");
        let made = kind.make(&image).and_then(|()| {
            fill_holes(&image);
            Image::of(folder, image)
        });
        let image = match made {
            Ok(image) => image,
            Err(why) => {
                battery::skip(&format!("{test} on {kind:?}"), &why);
                return None;
            }
        };
        Some(Self { image, below })
    }

    fn ballast(&self) -> PathBuf {
        self.below.0.path().join("ballast")
    }

    /// From now on no block is taken that was never used.
    fn fail(&self) {
        let mut ballast = std::fs::File::create(self.ballast()).expect("a file");
        let mut piece = 1 << 20;
        while piece >= 4096 {
            if ballast.write_all(&vec![1; piece]).is_err() {
                piece /= 2;
            }
        }
    }

    fn heal(&self) {
        std::fs::remove_file(self.ballast()).expect("removed");
    }
}

/// The tools leave holes where they want zeros, in the journal too.
fn fill_holes(image: &Path) {
    let content = std::fs::read(image).expect("an image");
    let mut file = std::fs::File::options()
        .write(true)
        .open(image)
        .expect("an image");
    file.write_all(&content).expect("room for the image");
}

/// Promise 10: write-back fails, the partition stops writing with a typed error; it is opened again in the same boot, and
/// what it shows then is there after a power cut. Promise 5.
#[test]
fn what_is_shown_after_a_failed_sync_on_ext4_survives_a_power_cut() {
    check_ghosts(Kind::Ext4, effort(2, 20));
}

/// Promises 5 and 10.
#[test]
fn what_is_shown_after_a_failed_sync_on_xfs_survives_a_power_cut() {
    check_ghosts(Kind::Xfs, effort(1, 20));
}

fn check_ghosts(kind: Kind, rounds: u64) {
    let test = "ghosts after a failed sync";
    if !can_cut_power(test) {
        return;
    }
    let cases = Cases::default();
    let mut in_doubt = 0;
    for seed in seeds(rounds, rounds) {
        let Some(medium) = FailingMedium::new(kind, test) else {
            return;
        };
        match check_round(&medium, seed) {
            Ok(records) => in_doubt += records,
            Err(why) => return battery::skip(test, &why),
        }
        cases.count();
    }
    assert!(
        rounds < 10 || in_doubt > 0,
        "no record was in doubt in {rounds} rounds: nothing was shown"
    );
    println!("{kind:?}: {in_doubt} records in doubt were shown, and kept");
    cases.report(&format!("ghosts on {kind:?}"), 1);
}

/// How many records above the durable end were shown, and survived.
fn check_round(medium: &FailingMedium, seed: u64) -> Result<u64, String> {
    // Every free block becomes a hole; what the writer writes from now on is no longer one.
    run(Command::new("fstrim").arg(medium.image.path()))?;
    medium.image.one_page_a_request()?;
    let case = format!("SEED={seed}");
    let dir = medium.image.path().join("log");
    let policy = ["interval:50", "records:40", "bytes:9000", "group"][(seed % 4) as usize];
    let segments = ["30000", "1000000"][(seed / 4 % 2) as usize];
    let options =
        format!("--policy {policy} --segment-bytes {segments} --secs 600 --pause-us 300 --seed 1");
    let writer = Running::start(&mut command("write", &dir, &options));
    while writer.heard().durable < 50 + seed % 7 {
        std::thread::sleep(Duration::from_millis(1));
    }
    medium.fail();
    let (said, status) = writer.wait();
    assert!(
        matches!(status.code(), Some(10 | 11 | 14)) && !said.complaints.is_empty(),
        "{case}: {status}: {:?}",
        said.complaints
    );
    medium.heal();

    let (shown, status) = dump(&dir, "");
    let mut judge = Judge::default();
    judge.power_went(&said, policy == "group");
    judge.check(
        &format!("{case}, same boot"),
        &shown,
        status,
        &said,
        u64::MAX,
    );
    medium.image.shut_down();
    medium.image.power_returns();
    let (found, status) = dump(&dir, "");
    judge.check(
        &format!("{case}, after the cut"),
        &found,
        status,
        &said,
        u64::MAX,
    );
    Ok(shown.read.range(said.durable..).count() as u64)
}

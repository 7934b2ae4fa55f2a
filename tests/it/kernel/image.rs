//! A filesystem of its own in an image file: mounted, cut off from power, mounted again.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::battery;

/// What stands in the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
    Btrfs,
}

impl Kind {
    /// The smallest image that its tools agree to, with room for a few rounds.
    pub(crate) fn image_bytes(self) -> u64 {
        match self {
            Self::Ext4 => 64 << 20,
            Self::Xfs => 320 << 20,
            Self::Btrfs => 128 << 20,
        }
    }

    pub(crate) fn make(self, image: &Path) -> Result<(), String> {
        match self {
            Self::Ext4 => run(Command::new("mkfs.ext4")
                .args([
                    "-q",
                    "-F",
                    "-b",
                    "4096",
                    "-E",
                    "nodiscard,lazy_itable_init=0,lazy_journal_init=0",
                ])
                .arg(image)),
            Self::Xfs => run(Command::new("mkfs.xfs").args(["-q", "-f", "-K"]).arg(image)),
            Self::Btrfs => run(Command::new("mkfs.btrfs")
                .args(["-q", "-f", "-K"])
                .arg(image)),
        }
    }
}

/// A mounted image; unmounted when dropped.
pub(crate) struct Image {
    folder: TempDir,
    image: PathBuf,
}

impl Image {
    /// `None`, said aloud, where the tools or the rights are missing.
    pub(crate) fn mount(kind: Kind, test: &str) -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        let image = folder.path().join("image");
        let file = std::fs::File::create(&image).expect("an image file");
        file.set_len(kind.image_bytes()).expect("a sparse file");
        let mounted = (kind.make(&image)).and_then(|()| Self::of(folder, image));
        if let Err(why) = &mounted {
            battery::skip(&format!("{test} on {kind:?}"), why);
        }
        mounted.ok()
    }

    /// Mounts the filesystem in the file `image` in `folder`.
    pub(crate) fn of(folder: TempDir, image: PathBuf) -> Result<Self, String> {
        std::fs::create_dir(folder.path().join("mounted")).expect("a folder");
        let this = Self { folder, image };
        this.try_mount().map(|()| this)
    }

    /// Mounts the filesystem in the file `image`, which stays where it is.
    pub(crate) fn again(kind: Kind, image: &Path) -> Result<Self, String> {
        let folder = TempDir::new().map_err(|why| format!("a folder for {kind:?}: {why}"))?;
        Self::of(folder, image.to_owned())
    }

    /// Unmounts it; the folder has the file `image`.
    pub(crate) fn into_file(self) -> TempDir {
        self.unmount().expect("unmounted");
        let folder = TempDir::new().expect("a folder");
        std::fs::rename(&self.image, folder.path().join("image")).expect("on the same filesystem");
        folder
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn try_mount(&self) -> Result<(), String> {
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&self.image)
            .arg(self.path()))
    }

    /// Each request to the medium is one page, so that it fails as a whole: what a loop device could write only in part it takes for written.
    pub(crate) fn one_page_a_request(&self) -> Result<(), String> {
        let found = Command::new("losetup")
            .args(["-n", "-O", "NAME", "-j"])
            .arg(&self.image)
            .output()
            .map_err(|why| format!("losetup: {why}"))?;
        let device = String::from_utf8_lossy(&found.stdout);
        let name = device.trim().trim_start_matches("/dev/");
        let knob = format!("/sys/block/{name}/queue/max_sectors_kb");
        std::fs::write(&knob, "4").map_err(|why| format!("{knob}: {why}"))
    }

    /// Nothing reaches the medium from now on: the filesystem refuses all, and drops what it had not written, its journal included.
    pub(crate) fn shut_down(&self) {
        cut_power(&self.path()).expect("the power goes");
    }

    /// Unmounts what was shut down, and mounts what the medium has.
    pub(crate) fn power_returns(&self) {
        self.unmount().expect("unmounted");
        self.try_mount().expect("mounted again");
    }

    fn unmount(&self) -> Result<(), String> {
        let unmount = || run(Command::new("umount").arg(self.path()));
        // A process that was killed a moment ago may still hold a file.
        (0..50)
            .map(|_| unmount())
            .find(|done| match done {
                Err(why) if why.contains("busy") => {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    false
                }
                _ => true,
            })
            .unwrap_or_else(unmount)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if let Err(why) = self.unmount()
            && !why.contains("not mounted")
        {
            eprintln!("{} stays mounted: {why}", self.path().display());
        }
    }
}

/// Whether something here can cut the power; else it is said aloud.
pub(crate) fn can_cut_power(test: &str) -> bool {
    let has = |program: &str| Command::new(program).arg("-V").output().is_ok();
    let can = has("xfs_io") || has("python3");
    if !can {
        battery::skip(
            test,
            "neither xfs_io nor python3 is here to shut a filesystem down",
        );
    }
    can
}

/// `EXT4_IOC_SHUTDOWN` and `XFS_IOC_GOINGDOWN` are one number, and 2 says that the journal is not flushed either.
fn cut_power(at: &Path) -> Result<(), String> {
    const IOCTL: &str = "import fcntl,os,struct,sys; \
        fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
    run(Command::new("xfs_io")
        .args(["-x", "-c", "shutdown"])
        .arg(at))
    .or_else(|_| run(Command::new("python3").args(["-c", IOCTL]).arg(at)))
}

/// The last line of what it complained about, when it fails.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|why| format!("{program}: {why}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let last = said.lines().last().unwrap_or_default();
            Err(format!("{program}: {last}"))
        }
    }
}

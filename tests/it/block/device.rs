//! A disk whose every write and flush is recorded: one file of a filesystem in user space, under a loop device.
//!
//! What is recorded is what a disk with a volatile cache is told, barriers included, whatever filesystem stands on it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyWrite, Request, WriteFlags,
};
use tempfile::TempDir;

use crate::kernel::image::run;

const NAME: &str = "disk";
const DISK: INodeNo = INodeNo(2);
const FOR_LONG: Duration = Duration::from_secs(3600);

/// What the disk was told.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Write {
        at: u64,
        bytes: Vec<u8>,
    },
    /// Everything before is on the medium.
    Flush,
}

/// All that the disk was told, in order.
type Recording = Arc<Mutex<Vec<Told>>>;

/// The recorded disk as a block device; gone when dropped.
pub(super) struct Device {
    recording: Recording,
    refuses_data: Arc<AtomicBool>,
    name: String,
    // Let go of in this order: the loop device holds the file.
    _session: BackgroundSession,
    _at: TempDir,
}

impl Device {
    /// A disk with the content of `image`, which is written to as well.
    pub(super) fn over(image: &Path) -> Result<Self, String> {
        let at = TempDir::new().map_err(|why| why.to_string())?;
        let file = File::options().read(true).write(true).open(image);
        let file = file.map_err(|why| why.to_string())?;
        let recording = Recording::default();
        let refuses_data = Arc::default();
        let disk = Disk {
            btrfs: id_of_btrfs(&file).map_err(|why| format!("{}: {why}", image.display()))?,
            file,
            recording: Arc::clone(&recording),
            refuses_data: Arc::clone(&refuses_data),
        };
        let session = fuser::spawn_mount(disk, at.path(), &Config::default());
        let session = session.map_err(|why| format!("a filesystem in user space: {why}"))?;
        let mut attach = Command::new("losetup");
        let attach = attach.args(["--find", "--show"]).arg(at.path().join(NAME));
        let attached = attach.output().map_err(|why| format!("losetup: {why}"))?;
        let name = String::from_utf8_lossy(&attached.stdout).trim().to_owned();
        if name.is_empty() {
            let why = String::from_utf8_lossy(&attached.stderr).trim().to_owned();
            return Err(format!("losetup: {why}"));
        }
        Ok(Self {
            recording,
            refuses_data,
            name,
            _session: session,
            _at: at,
        })
    }

    /// How often the disk was told something.
    pub(super) fn told_count(&self) -> usize {
        self.recording.lock().unwrap().len()
    }

    pub(super) fn told(&self) -> Vec<Told> {
        self.recording.lock().unwrap().clone()
    }

    /// Whether what btrfs writes fails from now on, but for what it needs to live: its trees and superblocks.
    pub(super) fn refuse_data(&self, refuses: bool) {
        self.refuses_data.store(refuses, Ordering::SeqCst);
    }

    /// Mounts what stands on the disk, until the result is dropped.
    pub(super) fn mount(&self) -> Result<Mounted, String> {
        let at = TempDir::new().map_err(|why| why.to_string())?;
        run(Command::new("mount").arg(&self.name).arg(at.path()))?;
        Ok(Mounted { at })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(why) = run(Command::new("losetup").arg("--detach").arg(&self.name)) {
            eprintln!("{} stays attached: {why}", self.name);
        }
    }
}

/// A mounted filesystem.
pub(super) struct Mounted {
    at: TempDir,
}

impl Mounted {
    pub(super) fn path(&self) -> PathBuf {
        self.at.path().to_owned()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Nobody asks what comes behind the crash points; a writer that was killed may still hold a file.
        if let Err(why) = run(Command::new("umount").arg("--lazy").arg(self.at.path())) {
            eprintln!("{} stays mounted: {why}", self.at.path().display());
        }
    }
}

/// Where each block of a tree of btrfs and each of its superblocks has the identity of the filesystem.
const BTRFS_ID: std::ops::Range<usize> = 32..48;

/// What stands there; it means something on a btrfs only.
fn id_of_btrfs(file: &File) -> std::io::Result<[u8; 16]> {
    const SUPERBLOCK_AT: u64 = 64 << 10;
    let mut id = [0; 16];
    file.read_exact_at(&mut id, SUPERBLOCK_AT + BTRFS_ID.start as u64)?;
    Ok(id)
}

/// A directory with one file.
struct Disk {
    file: File,
    btrfs: [u8; 16],
    recording: Recording,
    refuses_data: Arc<AtomicBool>,
}

impl Disk {
    fn refuses(&self, bytes: &[u8]) -> bool {
        self.refuses_data.load(Ordering::SeqCst) && bytes.get(BTRFS_ID) != Some(&self.btrfs)
    }

    fn attributes(&self, kind: FileType) -> FileAttr {
        let (ino, perm, size) = match kind {
            FileType::Directory => (INodeNo::ROOT, 0o700, 0),
            _ => (
                DISK,
                0o600,
                self.file.metadata().map_or(0, |file| file.len()),
            ),
        };
        FileAttr {
            ino,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    fn record(&self, told: Told) {
        self.recording.lock().unwrap().push(told);
    }
}

impl Filesystem for Disk {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name.to_str() {
            Some(NAME) => {
                let attributes = self.attributes(FileType::RegularFile);
                reply.entry(&FOR_LONG, &attributes, Generation(0));
            }
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let kind = match ino {
            DISK => FileType::RegularFile,
            _ => FileType::Directory,
        };
        reply.attr(&FOR_LONG, &self.attributes(kind));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        at: u64,
        bytes: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut buffer = vec![0; bytes as usize];
        match self.file.read_at(&mut buffer, at) {
            Ok(read) => reply.data(&buffer[..read]),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        at: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if self.refuses(bytes) || self.file.write_all_at(bytes, at).is_err() {
            return reply.error(Errno::EIO);
        }
        self.record(Told::Write {
            at,
            bytes: bytes.to_vec(),
        });
        reply.written(bytes.len() as u32);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.record(Told::Flush);
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }
}

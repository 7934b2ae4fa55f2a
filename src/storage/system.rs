//! What Unix systems do each in its own way: record locks, the kind of a filesystem, the name of a boot.
//!
//! The disk asks here; nobody else does.

pub(super) use kind::{boot_id, filesystem, is_locked, lock_records, unlock_records};

#[cfg(target_os = "linux")]
mod kind {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    use super::super::{BootId, Filesystem};
    use crate::error::{Error, ErrorKind, Result};

    const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

    /// A broker holds a POSIX record lock, which flock does not see on Linux. This kind excludes it, and stays
    /// when another descriptor of the same file is closed in this process, which a plain POSIX lock does not.
    pub(in super::super) fn lock_records(file: &File) -> io::Result<()> {
        fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file()))
            .map(drop)
            .map_err(io::Error::from)
    }

    pub(in super::super) fn unlock_records(file: &File) -> io::Result<()> {
        let mut none = whole_file();
        none.l_type = libc::F_UNLCK as libc::c_short;
        fcntl(file, FcntlArg::F_OFD_SETLK(&none))
            .map(drop)
            .map_err(io::Error::from)
    }

    /// Asks for the record lock only: who holds one of ours holds both, and trying the flock instead would take it
    /// for a moment, in which a writer that opens would be refused.
    pub(in super::super) fn is_locked(file: &File) -> io::Result<bool> {
        let mut answer = whole_file();
        fcntl(file, FcntlArg::F_OFD_GETLK(&mut answer))?;
        Ok(i32::from(answer.l_type) != libc::F_UNLCK)
    }

    fn whole_file() -> libc::flock {
        libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            // To the end of the file, wherever that is by then.
            l_len: 0,
            // The system demands zero here for a lock of an open file.
            l_pid: 0,
        }
    }

    pub(in super::super) fn filesystem(path: &Path) -> rustix::io::Result<Filesystem> {
        const EXT: i64 = 0xEF53;
        const TMPFS: i64 = 0x0102_1994;
        const XFS: i64 = 0x5846_5342;
        const BTRFS: i64 = 0x9123_683E;
        let stat = rustix::io::retry_on_intr(|| rustix::fs::statfs(path))?;
        // 32 bits whatever the width of the field.
        Ok(match i64::from(stat.f_type as u32) {
            EXT => Filesystem::Ext4,
            TMPFS => Filesystem::Tmpfs,
            XFS => Filesystem::Xfs,
            BTRFS => Filesystem::Btrfs,
            _ => Filesystem::Other,
        })
    }

    pub(in super::super) fn boot_id() -> Result<BootId> {
        let text = std::fs::read_to_string(BOOT_ID)
            .map_err(|error| Error::io("read the boot id", BOOT_ID, error))?;
        parse_boot_id(&text).ok_or_else(|| {
            Error::new(
                ErrorKind::Io,
                "the system tells no boot id that can be read",
            )
            .path_is(BOOT_ID)
        })
    }

    pub(in super::super) fn parse_boot_id(text: &str) -> Option<BootId> {
        let digits = text.trim_end().replace('-', "");
        let is_hex = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = is_hex.then(|| u128::from_str_radix(&digits, 16).ok())??;
        Some(BootId(number.to_be_bytes()))
    }
}

/// Without Linux: flock alone, and no name for a boot.
#[cfg(not(target_os = "linux"))]
mod kind {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    use rustix::fs::FlockOperation;

    use super::super::{BootId, Filesystem};
    use crate::error::{Error, ErrorKind, Result};

    pub(in super::super) fn lock_records(_: &File) -> io::Result<()> {
        Ok(())
    }

    pub(in super::super) fn unlock_records(_: &File) -> io::Result<()> {
        Ok(())
    }

    /// There is no way to ask but to try; the descriptor is closed right after.
    pub(in super::super) fn is_locked(file: &File) -> io::Result<bool> {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(in super::super) fn filesystem(_: &Path) -> rustix::io::Result<Filesystem> {
        Ok(Filesystem::Other)
    }

    pub(in super::super) fn boot_id() -> Result<BootId> {
        Err(Error::new(
            ErrorKind::Io,
            "this system does not name its boots",
        ))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_boot_id_is_read_from_its_text_and_nothing_else_is() {
        let parse = super::kind::parse_boot_id;
        let text = "0d1c2b3a-4f5e-6071-8293-a4b5c6d7e8f9\n";
        assert_eq!(
            parse(text).unwrap().0,
            0x0d1c2b3a4f5e60718293a4b5c6d7e8f9_u128.to_be_bytes()
        );
        for text in ["", "0d1c2b3a", "+d1c2b3a-4f5e-6071-8293-a4b5c6d7e8f9"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

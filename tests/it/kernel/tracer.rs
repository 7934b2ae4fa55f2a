//! `strace`, which lets a chosen system call fail or kills the process right there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::battery;
use crate::driver;

/// The system calls of the library's ways, and what a kernel may answer them.
const CALLS: &[(&str, &[&str])] = &[
    ("open", &["EIO", "ENOSPC", "EMFILE", "ENOMEM", "EINTR"]),
    ("openat", &["EIO", "EMFILE", "ENFILE", "ENOMEM"]),
    ("pwrite64", &["EIO", "ENOSPC", "EDQUOT", "EFBIG", "EINTR"]),
    ("pread64", &["EIO", "ENOMEM", "EINTR"]),
    ("fdatasync", &["EIO", "ENOSPC", "EDQUOT", "EINTR"]),
    ("fsync", &["EIO", "ENOSPC", "EDQUOT", "EINTR"]),
    ("ftruncate", &["EIO", "ENOSPC", "EINTR"]),
    ("fallocate", &["EIO", "ENOSPC"]),
    ("rename", &["EIO", "ENOSPC", "EINTR"]),
    ("unlink", &["EIO", "ENOSPC"]),
    ("mkdir", &["EIO", "ENOSPC", "EDQUOT"]),
    ("getdents64", &["EIO", "ENOMEM", "EINTR"]),
    ("fstat", &["EIO", "ENOMEM"]),
    ("statx", &["EIO", "ENOMEM"]),
    ("newfstatat", &["EIO", "ENOMEM"]),
    ("statfs", &["EIO", "EINTR"]),
    ("flock", &["EIO", "ENOLCK", "EINTR"]),
    ("fcntl", &["EIO", "ENOLCK"]),
    ("utimensat", &["EIO"]),
    ("close", &["EIO", "EINTR"]),
];

/// What happens to the `nth` call of this kind in each thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) call: &'static str,
    pub(super) nth: usize,
    pub(super) answer: Answer,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    Error(&'static str),
    Kill,
}

impl Fault {
    fn words(self) -> String {
        let Self { call, nth, answer } = self;
        match answer {
            Answer::Error(error) => format!("inject={call}:error={error}:when={nth}"),
            Answer::Kill => format!("inject={call}:signal=KILL:when={nth}"),
        }
    }
}

/// One run of the driver under the tracer; only calls on `paths` are seen and refused.
pub(super) struct Tracer {
    trace: PathBuf,
    paths: BTreeSet<String>,
}

impl Tracer {
    /// `None`, said aloud, where nothing can be traced.
    pub(super) fn new(folder: &Path, test: &str) -> Option<Self> {
        let works = Command::new("strace")
            .args(["-o", "/dev/null", "true"])
            .output();
        if !works.is_ok_and(|output| output.status.success()) {
            battery::skip(test, "strace is missing or may not trace");
            return None;
        }
        Some(Self {
            trace: folder.join("trace"),
            paths: BTreeSet::new(),
        })
    }

    /// `logdrv COMMAND` under the tracer. It ends a process that hangs, with an exit code of its own.
    pub(super) fn command(
        &self,
        name: &str,
        dir: &Path,
        options: &str,
        fault: Option<Fault>,
    ) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "300", "strace", "-f", "-y", "-qq", "-o"]);
        command.arg(&self.trace);
        let calls: Vec<&str> = CALLS.iter().map(|(call, _)| *call).collect();
        command.args(["-e", &format!("trace={}", calls.join(","))]);
        for path in &self.paths {
            command.args(["-P", path]);
        }
        if let Some(fault) = fault {
            command.args(["-e", &fault.words()]);
        }
        command.arg("--").arg(driver::driver());
        command.arg(name).arg("--dir").arg(dir);
        command.args(options.split_whitespace());
        command
    }

    /// Every fault there is for a run like the last one, which had none; from now on only what it touched under `dir` is seen.
    pub(super) fn faults(&mut self, dir: &Path) -> Vec<Fault> {
        let mut counts: BTreeMap<(String, &str), usize> = BTreeMap::new();
        for line in self.lines() {
            let Some(path) = path_in(&line, dir) else {
                continue;
            };
            self.paths.insert(path);
            let mut words = line.split_whitespace();
            let thread = words.next().unwrap_or_default().to_owned();
            let call = words.next().unwrap_or_default();
            let known = CALLS.iter().find(|(name, _)| {
                call.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('('))
            });
            if let Some((name, _)) = known {
                *counts.entry((thread, name)).or_default() += 1;
            }
        }
        let mut faults = Vec::new();
        for (call, errors) in CALLS {
            let of_call = counts.iter().filter(|((_, name), _)| name == call);
            let most = of_call.map(|(_, count)| *count).max().unwrap_or(0);
            for nth in 1..=most {
                let answers = errors.iter().map(|error| Answer::Error(error));
                let answers = answers.chain([Answer::Kill]);
                faults.extend(answers.map(|answer| Fault { call, nth, answer }));
            }
        }
        faults
    }

    /// Files of records that were synced again after a sync of theirs had failed. A side file is written anew before each of its syncs,
    /// and says nothing that a lost write makes untrue.
    pub(super) fn syncs_tried_again(&self) -> Vec<String> {
        let mut failed = BTreeSet::new();
        let mut again = Vec::new();
        for line in self.lines() {
            let is_sync = line.contains("fsync(") || line.contains("fdatasync(");
            let Some((_, path)) = line.split_once('<').filter(|_| is_sync) else {
                continue;
            };
            let path = path.split('>').next().unwrap_or_default().to_owned();
            // An interrupted sync has not failed: it has not been made.
            if line.contains("(INJECTED)") && !line.contains("EINTR") {
                failed.insert(path);
            } else if failed.contains(&path) && path.ends_with(".log") {
                again.push(line);
            }
        }
        again
    }

    pub(super) fn has_injected(&self) -> bool {
        self.lines()
            .iter()
            .any(|line| line.contains("(INJECTED)") || line.contains("SIGKILL"))
    }

    fn lines(&self) -> Vec<String> {
        let trace = std::fs::read_to_string(&self.trace).expect("a trace");
        trace.lines().map(str::to_owned).collect()
    }
}

/// The first path at or under `dir` in a line of the trace.
fn path_in(line: &str, dir: &Path) -> Option<String> {
    let at = line.find(dir.to_str().expect("UTF-8"))?;
    let path = line[at..].split(['"', '>', ',']).next()?;
    Some(path.to_owned())
}

//! One round: a child appends, something happens to it, it is killed.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::child::{self, Message};
use super::settings::Settings;

/// How often we look whether something was said.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Nothing that is promised takes this long; what does is reported as hanging.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a child is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Work {
    Append,
    RecoverOnly,
}

/// A child at work, and what it said so far.
pub(crate) struct Running {
    process: Child,
    heard: Arc<Mutex<Heard>>,
    listener: JoinHandle<()>,
    complaints: JoinHandle<String>,
}

#[derive(Default)]
struct Heard {
    messages: Vec<Message>,
    has_ended: bool,
}

/// What is believed of a child that is dead.
pub(crate) struct Ended {
    /// Everything that was read before it was killed, and nothing that came later.
    pub(crate) messages: Vec<Message>,
    /// What it wrote to standard error, when it ended before it was killed.
    pub(crate) ended_by_itself: Option<String>,
}

impl Running {
    pub(crate) fn start(
        log_dir: &Path,
        settings: &Settings,
        seed: u64,
        round: u32,
        work: Work,
    ) -> anyhow::Result<Self> {
        let tool = std::env::current_exe().context("cannot find this program")?;
        let mut process = Command::new(tool)
            .arg(child::COMMAND)
            .arg(log_dir)
            .args(["--round", &round.to_string()])
            .args((work == Work::RecoverOnly).then_some("--recover-only"))
            .args(settings.words(seed))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start this program again")?;
        let (Some(mut out), Some(mut err)) = (process.stdout.take(), process.stderr.take()) else {
            bail!("a child without pipes");
        };
        let heard = Arc::new(Mutex::new(Heard::default()));
        let listening = Arc::clone(&heard);
        let listener = std::thread::spawn(move || {
            while let Some(message) = child::read_message(&mut out) {
                lock(&listening).messages.push(message);
            }
            lock(&listening).has_ended = true;
        });
        let complaints = std::thread::spawn(move || {
            let mut text = String::new();
            // Words for a person; what cannot be read of them is not missed.
            drop(err.read_to_string(&mut text));
            text
        });
        Ok(Self {
            process,
            heard,
            listener,
            complaints,
        })
    }

    /// Waits until a message for which `wanted` holds is heard at or behind number `from`.
    pub(crate) fn wait_for(&self, from: usize, wanted: impl Fn(&Message) -> bool) -> Wait {
        let began = Instant::now();
        let mut from = from;
        loop {
            {
                let heard = lock(&self.heard);
                if heard.messages.iter().skip(from).any(&wanted) {
                    return Wait::Heard;
                }
                from = heard.messages.len().max(from);
                if heard.has_ended {
                    return Wait::Ended;
                }
            }
            if began.elapsed() > PATIENCE {
                return Wait::InVain;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    pub(crate) fn heard(&self) -> usize {
        lock(&self.heard).messages.len()
    }

    /// SIGSTOP: from here on the child does nothing, and holds what it holds.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        self.signal(rustix::process::Signal::STOP)
    }

    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        self.signal(rustix::process::Signal::CONT)
    }

    fn signal(&self, signal: rustix::process::Signal) -> anyhow::Result<()> {
        let child = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(child, signal).context("cannot signal the child")
    }

    /// SIGKILL. Nothing can be heard between the last message that counts and the kill, because the lock is held.
    pub(crate) fn kill(mut self) -> anyhow::Result<Ended> {
        let messages = {
            let mut heard = lock(&self.heard);
            self.process.kill().context("cannot kill the child")?;
            std::mem::take(&mut heard.messages)
        };
        let status = self.process.wait().context("cannot wait for the child")?;
        if self.listener.join().is_err() {
            bail!("the listener gave up");
        }
        let complaints = self.complaints.join().unwrap_or_default();
        Ok(Ended {
            messages,
            ended_by_itself: status
                .signal()
                .is_none()
                .then(|| format!("{status}: {}", complaints.trim())),
        })
    }
}

/// How a wait for a message ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    Heard,
    /// The child closed its end of the pipe.
    Ended,
    /// Long after anything that is promised.
    InVain,
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

//! `examples/logdrv.rs` in a process of its own: what it said, and what must be there afterwards.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Stream and sequence number of a record.
pub(crate) type Origin = (u64, u64);

/// The seed of all payloads: the judge needs it to know the bytes of a record.
pub(crate) const PAYLOAD_SEED: u64 = 1;

/// Each policy that `logdrv` takes, at a figure that a short round meets.
pub(crate) const POLICIES: [&str; 6] = [
    "never",
    "always",
    "group",
    "interval:5",
    "bytes:20000",
    "records:50",
];

/// Beside the test's own program: `target/<profile>/deps/it-...` and `target/<profile>/examples/logdrv`.
pub(crate) fn driver() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test.parent().and_then(Path::parent);
    let driver = profile.expect("target/<profile>").join("examples/logdrv");
    assert!(
        driver.exists(),
        "{} is missing: cargo build --examples",
        driver.display()
    );
    driver
}

/// `logdrv COMMAND --dir DIR` with `options`, which are words with a space between.
pub(crate) fn command(name: &str, dir: &Path, options: &str) -> Command {
    let mut command = Command::new(driver());
    command.arg(name).arg("--dir").arg(dir);
    command.args(options.split_whitespace());
    command
}

/// A running driver whose lines are read as they come.
pub(crate) struct Running {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the driver starts");
        let output = child.stdout.take().expect("piped");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            while output.read_line(&mut line).expect("text") > 0 {
                // A line without its end was cut by the kill: it was not said.
                if let Some(whole) = line.strip_suffix('\n') {
                    told.lock().unwrap().push(whole.to_owned());
                }
                line.clear();
            }
        });
        Self {
            child,
            lines,
            reader,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// What was read up to now.
    pub(crate) fn heard(&self) -> Said {
        Said::from_lines(&self.lines.lock().unwrap())
    }

    /// SIGKILL; all that it had said.
    pub(crate) fn kill(mut self) -> Said {
        self.child.kill().expect("SIGKILL");
        self.wait().0
    }

    pub(crate) fn wait(mut self) -> (Said, ExitStatus) {
        let status = self.child.wait().expect("reaped");
        self.reader.join().expect("the reader ends with the driver");
        (Said::from_lines(&self.lines.lock().unwrap()), status)
    }
}

/// What a driver said, in any command.
#[derive(Clone, Default, Debug)]
pub(crate) struct Said {
    /// Next offset when it had opened.
    pub(crate) opened_at: Option<u64>,
    /// Everything below is on the medium.
    pub(crate) durable: u64,
    /// Acknowledged records by offset.
    pub(crate) acknowledged: BTreeMap<u64, Origin>,
    /// Records that were read, by offset.
    pub(crate) read: BTreeMap<u64, Origin>,
    /// Start and next offset of a log that was read to its end.
    pub(crate) bounds: Option<(u64, u64)>,
    /// Lines of errors and gaps.
    pub(crate) complaints: Vec<String>,
    pub(crate) is_closed: bool,
}

impl Said {
    fn from_lines(lines: &[String]) -> Self {
        let mut said = Self::default();
        for line in lines {
            said.hear(line);
        }
        said
    }

    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |index: usize| -> u64 {
            let word = words.get(index);
            word.and_then(|word| word.parse().ok())
                .unwrap_or_else(|| panic!("no number at {index}: {line}"))
        };
        match words[0] {
            "O" => {
                self.opened_at = Some(number(1));
                self.durable = self.durable.max(number(2));
            }
            "A" => {
                let (first, count, stream, seq) = (number(1), number(2), number(3), number(4));
                for index in 0..count {
                    (self.acknowledged).insert(first + index, (stream, seq + index));
                }
            }
            "D" => self.durable = self.durable.max(number(1)),
            "R" => {
                let (offset, stream, seq) = (number(1), number(2), number(3));
                let len = usize::try_from(number(4)).expect("a length");
                assert_eq!(
                    words[5],
                    format!("{:08x}", checksum_of(stream, seq, len)),
                    "other bytes: {line}"
                );
                let twice = self.read.insert(offset, (stream, seq));
                assert!(twice.is_none(), "offset twice: {line}");
            }
            "N" => self.bounds = Some((number(1), number(2))),
            "E" | "G" => self.complaints.push(line.to_owned()),
            "X" => self.is_closed = true,
            _ => {}
        }
    }
}

/// CRC-32 of the payload that the driver's law gives to this record.
fn checksum_of(stream: u64, seq: u64, len: usize) -> u32 {
    let mut header = Vec::with_capacity(32);
    header.extend_from_slice(&PAYLOAD_SEED.to_le_bytes());
    header.extend_from_slice(&seq.to_le_bytes());
    header.extend_from_slice(&u32::try_from(stream).expect("a stream").to_le_bytes());
    header.extend_from_slice(&u32::try_from(len).expect("a length").to_le_bytes());
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    header.extend_from_slice(b"PAYL");
    let payload: Vec<u8> = header.iter().copied().cycle().take(len).collect();
    crc32fast::hash(&payload)
}

/// Reads everything through an ordinary open, which recovers; `options` as for [`command`].
pub(crate) fn dump(dir: &Path, options: &str) -> (Said, ExitStatus) {
    Running::start(&mut command("dump", dir, options)).wait()
}

/// What the records of one partition have to be, over any number of writers and ends.
#[derive(Clone, Default, Debug)]
pub(crate) struct Judge {
    /// Was acknowledged as the policy promises, or shown by an earlier opening.
    must: BTreeMap<u64, Origin>,
    /// Log start of the last dump.
    start: u64,
    /// Behind the records of earlier writers: where those of the last one can begin.
    earlier_end: u64,
    /// Retention was on, so that the start may rise.
    pub(crate) may_trim: bool,
}

impl Judge {
    /// A process was killed: everything that it acknowledged stays (promise 1).
    pub(crate) fn killed(&mut self, said: &Said) {
        self.note_earlier_end();
        (self.must).extend(said.acknowledged.iter().map(|(offset, o)| (*offset, *o)));
    }

    /// The power went: of what was heard before, everything under a policy that waits for the medium, else what was below the durable
    /// figure (promise 2).
    pub(crate) fn power_went(&mut self, heard_before: &Said, all_is_durable: bool) {
        self.note_earlier_end();
        let kept = heard_before.acknowledged.iter();
        let kept = kept.filter(|(offset, _)| all_is_durable || **offset < heard_before.durable);
        self.must.extend(kept.map(|(offset, o)| (*offset, *o)));
    }

    fn note_earlier_end(&mut self) {
        self.earlier_end = (self.must.last_key_value()).map_or(0, |(last, _)| last + 1);
    }

    /// The dump after the end of a writer that had said `said` in all, with up to `in_flight` records of each stream on their way.
    pub(crate) fn check(
        &mut self,
        case: &str,
        found: &Said,
        status: ExitStatus,
        said: &Said,
        in_flight: u64,
    ) {
        assert!(
            status.success() && found.complaints.is_empty(),
            "{case}: {status}, {:?}",
            found.complaints
        );
        let (start, next) = found.bounds.expect("a dump ends with its bounds");
        assert!(
            start >= self.start && (self.may_trim || start == self.start),
            "{case}: start {} became {start}",
            self.start
        );
        self.start = start;
        self.must = self.must.split_off(&start);
        for (offset, origin) in &self.must {
            assert_eq!(
                found.read.get(offset),
                Some(origin),
                "{case}: offset {offset} was acknowledged or shown; log is {start}..{next}"
            );
        }
        assert!(
            found.read.keys().copied().eq(start..next),
            "{case}: not each offset of {start}..{next} is there once"
        );
        self.check_streams(case, found, said, in_flight);
        // What was shown stays (promise 5).
        self.must.clone_from(&found.read);
    }

    /// What the last writer left: each stream without a hole, and nothing that it had not come to.
    fn check_streams(&self, case: &str, found: &Said, said: &Said, in_flight: u64) {
        let Some(opened_at) = said.opened_at else {
            return;
        };
        let mut last_of: BTreeMap<u64, u64> = BTreeMap::new();
        // A log that opens without room for its tail shows the rest of it later.
        let first = opened_at.max(self.earlier_end);
        for (offset, (stream, seq)) in found.read.range(first..) {
            if let Some(last) = last_of.insert(*stream, *seq) {
                assert_eq!(*seq, last + 1, "{case}: offset {offset}: stream {stream}");
            }
            if let Some(acknowledged) = said.acknowledged.get(offset) {
                assert_eq!(*acknowledged, (*stream, *seq), "{case}: offset {offset}");
            }
        }
        for (stream, last) in last_of {
            let acknowledged = said.acknowledged.values();
            let of_stream = acknowledged
                .filter(|(s, _)| *s == stream)
                .map(|(_, seq)| seq);
            if let Some(acknowledged) = of_stream.max() {
                assert!(
                    last <= acknowledged.saturating_add(in_flight),
                    "{case}: stream {stream} is at {last}, acknowledged {acknowledged}"
                );
            }
        }
    }
}

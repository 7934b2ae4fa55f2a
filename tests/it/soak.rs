//! One directory for a long time: what a process takes from the system is the same at the end as at the beginning.
//!
//! `SOAK_S` is how many seconds each test takes, 4 by default; `SOAK_CSV` a folder for all that was measured. The processes are others than
//! this one, because what tests beside it hold would be counted too.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::battery::{Cases, from_environment};
use crate::driver;

const SEGMENT_BYTES: u64 = 65_536;
const RETENTION_BYTES: u64 = 1 << 20;

/// What the files of all kinds may take beside the records that retention keeps: a segment more, indexes, a few small files.
const DIRECTORY_BYTES: u64 = 2 * RETENTION_BYTES;

/// Memory that an allocator takes or returns without any meaning.
const RSS_NOISE_KIB: u64 = 8_192;

/// Each segment that retention keeps may be open twice, or not at all.
const HANDLES_NOISE: u64 = 2 * RETENTION_BYTES / SEGMENT_BYTES + 8;

fn seconds() -> u64 {
    from_environment("SOAK_S", 4)
}

/// Ended when it is dropped, however a test ends.
struct Process {
    name: &'static str,
    child: Child,
    samples: Vec<Sample>,
}

/// What a process holds at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    rss_kib: u64,
    descriptors: u64,
    maps: u64,
}

/// What is read off a sample.
type Figure = fn(&Sample) -> u64;

impl Process {
    fn start(name: &'static str, command: &mut Command) -> Self {
        let child = command.spawn().expect("a process");
        Self {
            name,
            child,
            samples: Vec::new(),
        }
    }

    /// Nothing is added once the process has ended.
    fn sample(&mut self, began: Instant) {
        if self.has_ended() {
            return;
        }
        let proc = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = fs::read_to_string(proc.join("status")).expect("a process that lives");
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let maps = fs::read_to_string(proc.join("maps")).expect("a process that lives");
        let descriptors = fs::read_dir(proc.join("fd")).map(Iterator::count);
        let (Some(rss), Ok(descriptors)) = (rss, descriptors) else {
            // It ended in between, and its parent has not asked for it yet.
            return;
        };
        let kib = rss.trim().split(' ').next().expect("a number");
        self.samples.push(Sample {
            at: began.elapsed(),
            rss_kib: kib.parse().expect("a number"),
            descriptors: u64::try_from(descriptors).expect("a small number"),
            maps: u64::try_from(maps.lines().count()).expect("a small number"),
        });
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    fn must_be_flat(&self) {
        let grown = growths(&self.samples);
        assert!(grown.is_empty(), "{}: {grown:?}", self.name);
        let of = |figure: Figure| most(&self.samples, figure);
        println!(
            "{}: {} samples, at most {} KiB, {} descriptors, {} maps",
            self.name,
            self.samples.len(),
            of(|sample| sample.rss_kib),
            of(|sample| sample.descriptors),
            of(|sample| sample.maps)
        );
    }

    fn write_csv(&self) {
        let Ok(folder) = std::env::var("SOAK_CSV") else {
            return;
        };
        let mut text = "ms,rss_kib,descriptors,maps\n".to_owned();
        for sample in &self.samples {
            let (ms, rss) = (sample.at.as_millis(), sample.rss_kib);
            let (descriptors, maps) = (sample.descriptors, sample.maps);
            writeln!(text, "{ms},{rss},{descriptors},{maps}").expect("memory");
        }
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(Path::new(&folder).join(format!("{}.csv", self.name)), text).expect("a file");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.write_csv();
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The last sixth of the time against the second one, because caches and pools are filled in the first.
fn growths(samples: &[Sample]) -> Vec<String> {
    let sixth = samples.len() / 6;
    assert!(sixth > 0, "too short: {samples:?}");
    let early = &samples[sixth..2 * sixth];
    let late = &samples[samples.len() - sixth..];
    let figures: [(_, Figure, _); 3] = [
        ("KiB", |sample| sample.rss_kib, RSS_NOISE_KIB),
        ("descriptors", |sample| sample.descriptors, HANDLES_NOISE),
        ("maps", |sample| sample.maps, HANDLES_NOISE),
    ];
    let grown = figures.into_iter().filter_map(|(what, figure, noise)| {
        let (before, after) = (most(early, figure), most(late, figure));
        (after > before + before / 10 + noise).then(|| format!("{before} {what} became {after}"))
    });
    grown.collect()
}

fn most(samples: &[Sample], of: Figure) -> u64 {
    samples.iter().map(of).max().expect("a sample")
}

/// Bytes of all files; those that go away meanwhile count for nothing.
fn bytes_under(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_under(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// Samples until all processes have ended, about a hundred times and each ten seconds at least.
fn watch(processes: &mut [&mut Process], dir: &Path, most_bytes: u64) {
    let began = Instant::now();
    let pause = Duration::from_millis((seconds() * 1000 / 100).clamp(20, 10_000));
    while processes.iter_mut().any(|process| !process.has_ended()) {
        for process in processes.iter_mut() {
            process.sample(began);
        }
        let bytes = bytes_under(dir);
        assert!(bytes <= most_bytes, "{bytes} bytes in the directory");
        thread::sleep(pause);
    }
}

/// What a reader at the tail said, judged as it comes: an hour of it is not kept.
#[derive(Default)]
struct Followed {
    records: u64,
    trimmed: u64,
    end: u64,
}

impl Followed {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        match words[0] {
            "R" => {
                let is_first = self.records == 0 && self.trimmed == 0;
                assert!(
                    is_first || number(1) == self.end,
                    "not {}: {line}",
                    self.end
                );
                self.records += 1;
                self.end = number(1) + 1;
            }
            "G" => {
                assert_eq!(words[3], "trimmed", "{line}");
                self.trimmed += number(2) - number(1);
                self.end = number(2);
            }
            "N" => {}
            _ => panic!("{line}"),
        }
    }
}

#[test]
fn what_grows_is_told_and_what_goes_up_and_down_is_not() {
    let sample = |at: u64, descriptors| Sample {
        at: Duration::from_secs(at),
        rss_kib: 5_000 + at % 7,
        descriptors,
        maps: 40,
    };
    let steady: Vec<_> = (0..100).map(|at| sample(at, 10 + at % 20)).collect();
    assert_eq!(growths(&steady), Vec::<String>::new());
    let leaking: Vec<_> = (0..100).map(|at| sample(at, 10 + at)).collect();
    assert_eq!(growths(&leaking), ["41 descriptors became 109"]);
}

/// Promises 5 and 22: rolls, retention and a cursor that follows, hour after hour.
#[test]
fn a_writer_and_a_reader_that_run_on_hold_no_more_than_at_first() {
    let dir = TempDir::new().expect("a folder");
    let log_dir = dir.path().join("log");
    // The topic is there before anybody follows it.
    let made = driver::command("write", &log_dir, "--count 1 --first-stream 9").output();
    assert!(made.expect("the driver").status.success());
    let said = fs::File::create(dir.path().join("said")).expect("a file");
    let work = format!(
        "--secs {} --policy interval:50 --threads 2 --batch 10 --size 100:2000 --pause-us 4000 \
         --segment-bytes {SEGMENT_BYTES} --retention-bytes {RETENTION_BYTES}",
        seconds()
    );
    let mut writer = Process::start(
        "writer",
        driver::command("write", &log_dir, &work).stdout(said),
    );
    let follow = format!("--secs {}", seconds());
    let mut reader = Process::start(
        "reader",
        driver::command("follow", &log_dir, &follow).stdout(Stdio::piped()),
    );
    let output = reader.child.stdout.take().expect("piped");
    let judge = thread::spawn(move || {
        let mut followed = Followed::default();
        for line in BufReader::new(output).lines() {
            followed.hear(&line.expect("text"));
        }
        followed
    });
    watch(&mut [&mut writer, &mut reader], &log_dir, DIRECTORY_BYTES);
    let followed = judge.join().expect("a reader that ends well");
    for process in [&mut writer, &mut reader] {
        let status = process.child.wait().expect("a child");
        assert!(status.success(), "{}: {status}", process.name);
        process.must_be_flat();
    }
    let (found, status) = driver::dump(&log_dir, "");
    assert!(status.success() && found.complaints.is_empty(), "{found:?}");
    let (start, end) = found.bounds.expect("an end");
    assert_eq!(found.read.len() as u64, end - start);
    assert!(start > 0, "retention dropped nothing");
    println!(
        "{end} records appended, {} followed, {} trimmed under the reader",
        followed.records, followed.trimmed
    );
    let cases = Cases::default();
    (0..followed.records).for_each(|_| cases.count());
    cases.report("soak, records followed", 100);
}

/// Promises 1 and 22: one process that opens the same log again and again, after a kill each time.
#[cfg(feature = "cli")]
#[test]
fn a_process_that_opens_a_log_after_each_kill_holds_no_more_than_at_first() {
    let dir = TempDir::new().expect("a folder");
    let words = format!(
        "--for {}s --seed 15 --fsync interval:20 --segment-bytes {SEGMENT_BYTES} --retention-bytes {RETENTION_BYTES} --json",
        seconds()
    );
    let verdict = dir.path().join("verdict");
    let ours = dir.path().join("made");
    let mut torture = Command::new(env!("CARGO_BIN_EXE_stratalog"));
    torture.arg("torture").arg(&ours).args(words.split(' '));
    torture.stdout(fs::File::create(&verdict).expect("a file"));
    let mut judge = Process::start("judge", &mut torture);
    // A writer may be ahead of retention by what it appends between two of its rounds.
    watch(&mut [&mut judge], &ours, 8 * DIRECTORY_BYTES);
    let text = fs::read_to_string(&verdict).expect("a verdict");
    let status = judge.child.wait().expect("a child");
    assert!(status.success(), "{status}: {text}");
    judge.must_be_flat();
    let verdict: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let rounds = verdict["rounds"].as_u64().expect("rounds");
    println!("{rounds} rounds, {} kills", verdict["kills"]);
    let cases = Cases::default();
    (0..rounds).for_each(|_| cases.count());
    cases.report("soak, kills and opens", 1);
}

//! Kafka's own classes as judge of a directory, through the command `tests/kafka/kafka-jury`.
//!
//! The tests here need Java and Maven, so they are ignored unless asked for, as `.ci/run` does:
//! `cargo test --all-features --test it kafka_jury -- --ignored`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::kafka_fixtures::{Fixture, check_each, differing_facts, differing_lines};

/// The clock of the fixtures: an hour behind their last record.
const NOW_MS: i64 = 1_700_003_600_000;

/// What the command says when it found damage, has a complaint or refuses; anything above is its own failure.
const MOST_OF_A_VERDICT: i32 = 1;

/// The command, built on first use.
pub(crate) struct Jury {
    program: PathBuf,
}

impl Jury {
    /// The one of this repository, or the one that `KAFKA_JURY` names.
    pub(crate) fn summon() -> Self {
        let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/kafka-jury");
        Self {
            program: std::env::var_os("KAFKA_JURY").map_or_else(own, PathBuf::from),
        }
    }

    /// Every batch and record of a partition directory, in Kafka's words.
    pub(crate) fn dump(&self, partition: &Path) -> Vec<String> {
        self.lines("dump", partition, &[])
    }

    /// What Kafka has against the files of a partition directory, also after rebuilding them from the
    /// `.log` files alone. Empty when it has nothing.
    pub(crate) fn complaints(&self, partition: &Path) -> Vec<String> {
        let mut lines = self.lines("check", partition, &["--rebuild"]);
        let verdict = lines.pop().unwrap_or_else(|| "no verdict".to_owned());
        if verdict == "ok" {
            return Vec::new();
        }
        lines.retain(|line| !line.starts_with("note:"));
        lines.push(verdict);
        lines
    }

    /// Opens a copy of a whole log directory as a broker would at `now_ms`, and closes it; the report.
    pub(crate) fn open(&self, log: &Path, now_ms: i64) -> Value {
        let report = self
            .lines("open", log, &["--now", &now_ms.to_string()])
            .concat();
        serde_json::from_str(&report).expect("the report is JSON")
    }

    /// Everything that Kafka has against a whole log directory that was closed in order: a refusal, a warning, a
    /// change that it makes in all, a complaint about a file of a partition. Empty when it takes the
    /// directory for one of its own.
    pub(crate) fn objections(&self, log: &Path, now_ms: i64) -> Vec<String> {
        let report = self.open(log, now_ms);
        let mut objections = changes_in_all(&report);
        if report["outcome"] != "opened" || report["clean_marker"] != true {
            objections.push(format!(
                "{}, marker {}",
                report["outcome"], report["clean_marker"]
            ));
        }
        let messages = report["messages"].as_array().into_iter().flatten();
        let loud = messages
            .filter_map(Value::as_str)
            .filter(|text| !text.starts_with("INFO"));
        objections.extend(loud.map(str::to_owned));
        for partition in partition_directories(log) {
            let complaints = self.complaints(&partition);
            objections.extend(complaints.into_iter().map(|complaint| {
                format!("{}: {complaint}", partition.file_name().unwrap().display())
            }));
        }
        objections
    }

    /// As [`Jury::dump`], up to where Kafka's own classes give up on a damaged batch.
    pub(crate) fn dump_as_far_as_it_goes(&self, partition: &Path) -> Vec<String> {
        lines_of(&self.run("dump", partition, &[]))
    }

    fn lines(&self, command: &str, directory: &Path, options: &[&str]) -> Vec<String> {
        let output = self.run(command, directory, options);
        let code = output.status.code();
        assert!(
            code.is_some_and(|code| code <= MOST_OF_A_VERDICT),
            "kafka-jury {command} {}: exit {code:?}: {}",
            directory.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        lines_of(&output)
    }

    fn run(&self, command: &str, directory: &Path, options: &[&str]) -> Output {
        Command::new(&self.program)
            .arg(command)
            .arg(directory)
            .args(options)
            .output()
            .unwrap()
    }
}

fn lines_of(output: &Output) -> Vec<String> {
    let text = str::from_utf8(&output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// What Kafka would change in a directory that it opens and closes again; nothing, when it was left as Kafka
/// leaves it.
pub(crate) fn changes_in_all(report: &Value) -> Vec<String> {
    match &report["changed_in_all"] {
        Value::Array(changes) => changes.iter().map(Value::to_string).collect(),
        other => vec![format!("no list of changes: {other}")],
    }
}

/// The folders of a log directory, which are all partitions.
pub(crate) fn partition_directories(log: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders
}

/// Does `work` for each item on as many threads as there are processors: a jury call is mostly the start of Java.
pub(crate) fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let handles: Vec<_> = items
            .chunks(share)
            .map(|chunk| scope.spawn(|| chunk.iter().map(&work).collect::<Vec<R>>()))
            .collect();
        handles
            .into_iter()
            .flat_map(|handle| handle.join().unwrap())
            .collect()
    })
}

#[test]
#[ignore = "needs Java and Maven"]
fn the_jury_says_of_the_fixtures_what_is_written_down() {
    let jury = Jury::summon();
    check_each(|fixture| {
        let log = fixture.log_directory();
        let report = jury.open(&log, NOW_MS);
        let mut differences = differing_lines(
            &fixture.dump_lines(),
            &jury.dump(&fixture.partition_directory()),
        );
        differences.extend(differing_facts(
            &fixture.open_facts(),
            &report["partitions"][0],
        ));
        differences
    });
}

/// Closed fixtures in which Kafka removes snapshots that truncation, trimming or compaction had left.
const WITH_STRAY_SNAPSHOTS: usize = 3;

#[test]
#[ignore = "needs Java and Maven"]
fn the_jury_objects_to_damage_and_not_to_what_kafka_closed() {
    let jury = Jury::summon();
    let fixtures: Vec<Fixture> = Fixture::all()
        .into_iter()
        .filter(|fixture| !fixture.name.starts_with("broker-"))
        .collect();
    let found = in_parallel(&fixtures, |f| jury.objections(&f.log_directory(), NOW_MS));
    let mut with_objections = 0;
    for (fixture, objections) in fixtures.iter().zip(found) {
        let only_snapshots = objections.iter().all(|o| o.contains(".snapshot"));
        assert!(
            fixture.is_unclean() != only_snapshots,
            "{}: {objections:?}",
            fixture.name
        );
        with_objections += usize::from(only_snapshots && !objections.is_empty());
    }
    assert_eq!(with_objections, WITH_STRAY_SNAPSHOTS);
}

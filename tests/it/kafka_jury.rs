//! Kafka's own classes as judge of a directory, through the command `tests/kafka/kafka-jury`.
//!
//! The tests here need Java and Maven, so they are ignored unless asked for, as `.ci/run` does:
//! `cargo test --all-features --test it kafka_jury -- --ignored`.

use std::path::{Path, PathBuf};
use std::process::Command;

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

    fn lines(&self, command: &str, directory: &Path, options: &[&str]) -> Vec<String> {
        let output = Command::new(&self.program)
            .arg(command)
            .arg(directory)
            .args(options)
            .output()
            .unwrap();
        let says = || String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code();
        assert!(
            code.is_some_and(|code| code <= MOST_OF_A_VERDICT),
            "kafka-jury {command} {}: exit {code:?}: {}",
            directory.display(),
            says()
        );
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

/// What Kafka would change in a directory that it opens and closes again; nothing, when it was left as Kafka
/// leaves it.
pub(crate) fn changes_in_all(report: &Value) -> Vec<String> {
    match &report["changed_in_all"] {
        Value::Array(changes) => changes.iter().map(Value::to_string).collect(),
        other => vec![format!("no list of changes: {other}")],
    }
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

#[test]
#[ignore = "needs Java and Maven"]
fn the_jury_has_nothing_against_what_kafka_closed_and_something_against_damage() {
    let jury = Jury::summon();
    check_each(
        |fixture| match jury.complaints(&fixture.partition_directory()) {
            complaints if fixture.is_unclean() == complaints.is_empty() => {
                vec![format!("unexpected verdict: {complaints:?}")]
            }
            _ => Vec::new(),
        },
    );
    let plain = Fixture::all()
        .into_iter()
        .find(|fixture| fixture.name == "plain")
        .unwrap();
    assert_eq!(
        changes_in_all(&jury.open(&plain.log_directory(), NOW_MS)),
        [""; 0]
    );
}

//! Directories that a real Kafka wrote, and how what we say of them is held against what Kafka says.
//!
//! `tests/fixtures/kafka/README.md` tells what each fixture is for. The comparisons are on text where the
//! text is promised to be the same, and on named facts where two correct readers may differ elsewhere.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

/// What opening must find as Kafka finds it. Left out: recovery points and high watermarks, which a broker
/// and a log of one's own set by different rules, and the numbers of index entries, which may differ.
const FACTS_OF_A_PARTITION: &[&str] = &[
    "topic",
    "partition",
    "log_start",
    "log_end",
    "last_stable_offset",
    "segments",
    "epochs",
    "producers",
    "aborted_transactions",
];
const FACTS_OF_A_SEGMENT: &[&str] = &["base_offset", "size", "next_offset", "largest_timestamp"];

/// What a fetch must give as Kafka's does. Left out: `bytes`, because Kafka's slice may end inside a batch.
const FACTS_OF_A_READ: &[&str] = &[
    "bytes_in_complete_batches",
    "batches",
    "record_offsets",
    "aborted_transactions",
];

/// More lines than this of one comparison are counted, not shown.
const DIFFERENCES_SHOWN: usize = 5;

/// One folder of `tests/fixtures/kafka`.
pub(crate) struct Fixture {
    pub(crate) name: String,
    folder: PathBuf,
}

impl Fixture {
    /// All of them, by name.
    pub(crate) fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kafka");
        let mut all: Vec<Self> = entries(&root)
            .into_iter()
            .filter(|folder| folder.join("log").is_dir())
            .map(|folder| Self {
                name: file_name(&folder),
                folder,
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The log directory as it lies in the repository: to be read, never to be opened for writing.
    pub(crate) fn log_directory(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The one partition directory of the log directory.
    pub(crate) fn partition_directory(&self) -> PathBuf {
        let mut folders = entries(&self.log_directory());
        folders.retain(|path| path.is_dir());
        assert_eq!(
            folders.len(),
            1,
            "{}: a fixture has one partition",
            self.name
        );
        folders.remove(0)
    }

    /// A copy of the log directory that a test may open and change.
    pub(crate) fn copy(&self) -> TempDir {
        let copy = TempDir::new().unwrap();
        copy_directory(&self.log_directory(), copy.path());
        copy
    }

    /// Whether the writer was killed: then nothing vouches for the tail.
    pub(crate) fn is_unclean(&self) -> bool {
        !self.log_directory().join(".kafka_cleanshutdown").exists()
    }

    /// What Kafka says: the lines of `kafka-jury dump`.
    pub(crate) fn dump_lines(&self) -> Vec<String> {
        self.lines("expected.jsonl")
    }

    /// What Kafka says: the lines of `kafka-jury offsets-for-times`.
    pub(crate) fn offset_lines(&self) -> Vec<String> {
        self.lines("expected-times.jsonl")
    }

    /// The targets asked for in `offset_lines`, as words of a command line.
    pub(crate) fn offset_targets(&self) -> Vec<String> {
        let target = |line: &String| match &parsed(line)["target"] {
            Value::String(name) => name.clone(),
            number => number.to_string(),
        };
        self.offset_lines().iter().map(target).collect()
    }

    /// What Kafka says: the partition as it stands after opening with the clock at 1700003600000, an hour
    /// behind the last record; producers idle for a day before that are forgotten.
    pub(crate) fn open_facts(&self) -> Value {
        let report = std::fs::read_to_string(self.folder.join("expected-open.json")).unwrap();
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["outcome"], "opened", "{}", self.name);
        report["partitions"][0].clone()
    }

    /// What Kafka says: fetches by offset, with `isolation`, `offset` and `max_bytes` as they were asked.
    pub(crate) fn reads(&self) -> Vec<Value> {
        let lines = self.lines_if_any("expected-reads.jsonl");
        lines.iter().map(|line| parsed(line)).collect()
    }

    /// What Kafka says: the record lines that the Java consumer got, all of them and the committed ones.
    pub(crate) fn consumed_lines(&self) -> Option<(Vec<String>, Vec<String>)> {
        let all = self.lines_if_any("expected-consumed.jsonl");
        let committed = self.lines_if_any("expected-consumed-committed.jsonl");
        (!all.is_empty()).then_some((all, committed))
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join(file)).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn lines_if_any(&self, file: &str) -> Vec<String> {
        if self.folder.join(file).exists() {
            self.lines(file)
        } else {
            Vec::new()
        }
    }
}

/// Holds lines against Kafka's: equal as text, but error lines by kind, file, position and offset, because
/// the words of an error are ours. Empty when nothing differs.
pub(crate) fn differing_lines(expected: &[String], found: &[String]) -> Vec<String> {
    let mut differences = Vec::new();
    for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
        if expected != found && error_place(expected).is_none_or(|e| error_place(found) != Some(e))
        {
            differences.push(format!(
                "line {}:\n  Kafka {}\n  found {}",
                index + 1,
                shortened(expected),
                shortened(found)
            ));
        }
    }
    if expected.len() != found.len() {
        let behind = expected.len().min(found.len());
        let more = if expected.len() > behind {
            &expected[behind]
        } else {
            &found[behind]
        };
        differences.push(format!(
            "Kafka has {} lines, found {}; the first one more: {}",
            expected.len(),
            found.len(),
            shortened(more)
        ));
    }
    few(differences)
}

/// Holds a partition after opening against Kafka's report of it. `found` has the keys of `FACTS_OF_A_PARTITION`,
/// written as Kafka writes them; producers and aborted transactions in any order.
pub(crate) fn differing_facts(expected: &Value, found: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    for &key in FACTS_OF_A_PARTITION {
        let [expected, found] = [expected, found].map(|facts| comparable(key, facts.get(key)));
        if expected != found {
            differences.push(format!(
                "{key}:\n  Kafka {}\n  found {}",
                shortened(&expected.to_string()),
                shortened(&found.to_string())
            ));
        }
    }
    few(differences)
}

/// Holds a fetch against Kafka's of the same offset, size and isolation.
pub(crate) fn differing_read(expected: &Value, found: &Value) -> Vec<String> {
    let differing = FACTS_OF_A_READ
        .iter()
        .filter(|&&key| expected.get(key) != found.get(key));
    differing
        .map(|&key| {
            format!(
                "{} from {}: {key}:\n  Kafka {}\n  found {}",
                expected["isolation"],
                expected["offset"],
                shortened(&expected[key].to_string()),
                shortened(&found[key].to_string())
            )
        })
        .collect()
}

/// Fails with what differs, fixture by fixture.
pub(crate) fn check_each(check: impl Fn(&Fixture) -> Vec<String>) {
    let mut failures = Vec::new();
    for fixture in Fixture::all() {
        let differences = check(&fixture);
        if !differences.is_empty() {
            failures.push(format!("{}:\n{}", fixture.name, differences.join("\n")));
        }
    }
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n\n"));
}

/// A fact without what may differ between two correct readers: order of sets, parts that are not compared.
fn comparable(key: &str, value: Option<&Value>) -> Value {
    let Some(Value::Array(items)) = value else {
        return value.cloned().unwrap_or(Value::Null);
    };
    let mut items = items.clone();
    match key {
        "segments" => items
            .iter_mut()
            .for_each(|segment| keep(segment, FACTS_OF_A_SEGMENT)),
        "producers" => items.sort_by_key(|producer| producer["producer_id"].as_i64()),
        "aborted_transactions" => items.sort_by_key(|aborted| aborted["last_offset"].as_i64()),
        _ => {}
    }
    Value::Array(items)
}

fn keep(object: &mut Value, keys: &[&str]) {
    if let Value::Object(fields) = object {
        fields.retain(|key, _| keys.contains(&key.as_str()));
    }
}

/// The part of an error line that both sides must agree on; none for any other line.
fn error_place(line: &str) -> Option<[Value; 3]> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["kind"] == "error").then(|| ["file", "position", "offset"].map(|key| line[key].clone()))
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

fn shortened(text: &str) -> String {
    const MOST: usize = 400;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

fn few(mut differences: Vec<String>) -> Vec<String> {
    let count = differences.len();
    if count > DIFFERENCES_SHOWN {
        differences.truncate(DIFFERENCES_SHOWN);
        differences.push(format!("and {} more", count - DIFFERENCES_SHOWN));
    }
    differences
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for path in entries(from) {
        let target = to.join(file_name(&path));
        if path.is_dir() {
            copy_directory(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn the_fixtures_are_complete_and_agree_with_themselves() {
    let all = Fixture::all();
    assert_eq!(
        all.len(),
        28,
        "fixtures are missing; `*.log` ignored by git?"
    );
    for fixture in &all {
        let name = &fixture.name;
        assert_eq!(
            fixture.is_unclean(),
            name.contains("unclean"),
            "{name}: hidden marker"
        );
        let copy = fixture.copy();
        let partition = copy.path().join(file_name(&fixture.partition_directory()));
        assert_eq!(
            entries(&partition).len(),
            entries(&fixture.partition_directory()).len()
        );
        assert!(
            entries(&partition)
                .iter()
                .any(|p| p.extension().is_some_and(|e| e == "log"))
        );
        assert_eq!(fixture.offset_lines().len(), fixture.offset_targets().len());
        assert_eq!(
            fixture.offset_targets()[..3],
            ["EARLIEST", "LATEST", "MAX_TIMESTAMP"]
        );
    }
    check_each(|fixture| {
        let (dump, offsets) = (fixture.dump_lines(), fixture.offset_lines());
        let facts = fixture.open_facts();
        let mut differences = differing_lines(&dump, &dump);
        differences.extend(differing_lines(&offsets, &offsets));
        differences.extend(differing_facts(&facts, &facts));
        differences.extend(
            fixture
                .reads()
                .iter()
                .flat_map(|read| differing_read(read, read)),
        );
        differences
    });
    assert_eq!(all.iter().filter(|f| !f.reads().is_empty()).count(), 2);
    assert_eq!(
        all.iter().filter(|f| f.consumed_lines().is_some()).count(),
        4
    );
}

#[test]
fn a_line_that_differs_is_a_difference_unless_it_is_the_words_of_an_error() {
    let line = |text: &str| vec![text.to_owned()];
    let error = line(
        r#"{"kind":"error","file":"0.log","position":7,"offset":null,"what":"a","cause":null}"#,
    );
    let in_our_words = line(
        r#"{"kind":"error","file":"0.log","position":7,"offset":null,"what":"b","cause":"c","from":1,"to":null}"#,
    );
    let elsewhere = line(
        r#"{"kind":"error","file":"0.log","position":8,"offset":null,"what":"a","cause":null}"#,
    );
    let record = line(r#"{"kind":"record","offset":1}"#);
    let other_record = line(r#"{"kind":"record","offset":1.0}"#);

    assert_eq!(differing_lines(&error, &in_our_words), [""; 0]);
    assert_eq!(differing_lines(&error, &elsewhere).len(), 1);
    assert_eq!(differing_lines(&error, &record).len(), 1);
    assert_eq!(differing_lines(&record, &error).len(), 1);
    assert_eq!(differing_lines(&record, &other_record).len(), 1);
    assert_eq!(differing_lines(&record, &[]).len(), 1);
    assert_eq!(differing_lines(&[], &record).len(), 1);
    let [many, others] = [&record, &error].map(|line| vec![line[0].clone(); 20]);
    assert_eq!(differing_lines(&many, &others).len(), DIFFERENCES_SHOWN + 1);
}

#[test]
fn each_fact_of_an_opened_partition_counts() {
    let fixture = Fixture::all()
        .into_iter()
        .find(|f| f.name == "transactions")
        .unwrap();
    let facts = fixture.open_facts();
    for &key in FACTS_OF_A_PARTITION {
        let mut other = facts.clone();
        match &mut other[key] {
            Value::Array(items) => drop(items.pop().unwrap()),
            value => *value = Value::Null,
        }
        assert_eq!(differing_facts(&facts, &other).len(), 1, "{key}");
    }
    let mut other = facts.clone();
    other["producers"].as_array_mut().unwrap().reverse();
    other["segments"][0]["index_entries"] = Value::Null;
    assert_eq!(differing_facts(&facts, &other), [""; 0]);
}

#[test]
fn each_fact_of_a_read_counts() {
    let fixture = Fixture::all()
        .into_iter()
        .find(|f| f.name == "everything")
        .unwrap();
    let read = fixture
        .reads()
        .into_iter()
        .find(|r| r["isolation"] == "read_committed")
        .unwrap();
    for &key in FACTS_OF_A_READ {
        let mut other = read.clone();
        other[key] = Value::from(-1);
        assert_eq!(differing_read(&read, &other).len(), 1, "{key}");
    }
}

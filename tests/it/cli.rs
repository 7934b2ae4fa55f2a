//! The tool `stratalog`, run as a program: what it prints, how it ends, and that looking writes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use serde_json::{Value, json};
use stratalog::{Log, Record};
use tempfile::TempDir;

use crate::kafka_fixtures::Fixture;

/// How a run ended.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn lines(&self) -> Vec<&str> {
        self.out.lines().collect()
    }

    fn json(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn tool(dir: &Path, words: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_stratalog"))
        .args(words)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn run_with(dir: &Path, words: &[&str], input: &[u8]) -> Ran {
    let mut child = tool(dir, words);
    let mut stdin = child.stdin.take().unwrap();
    // A command that takes no input may have ended.
    drop(stdin.write_all(input));
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(dir: &Path, words: &[&str]) -> Ran {
    run_with(dir, words, b"")
}

/// A folder with a log `data` of one topic `t` and three records.
fn with_three_records() -> TempDir {
    let dir = TempDir::new().unwrap();
    let ran = run_with(dir.path(), &["append", "data", "t"], b"one\ntwo\r\nthree");
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert!(ran.err.contains("3 records"), "{}", ran.err);
    dir
}

fn segment(dir: &TempDir) -> PathBuf {
    dir.path().join("data/t-0/00000000000000000000.log")
}

#[test]
fn lines_that_were_appended_are_printed_from_where_one_says() {
    let dir = with_three_records();
    let tail = |words: &[&str]| run(dir.path(), &[&["tail", "data", "t"], words].concat());
    assert_eq!(tail(&[]).lines(), ["one", "two", "three"]);
    assert_eq!(tail(&["--from", "2"]).lines(), ["three"]);
    assert_eq!(tail(&["--from", "latest"]).lines(), [""; 0]);
    assert_eq!(tail(&["--from", "@0"]).lines().len(), 3);
    assert_eq!(tail(&["--from", "2001-02-03T04:05:06Z"]).lines().len(), 3);
    assert_eq!(tail(&["--from", "@99999999999999"]).lines().len(), 0);
    assert_eq!(tail(&["--partition", "0"]).lines().len(), 3);
    assert_eq!(tail(&["--from", "7"]).code, 15);
    assert_eq!(tail(&["--partition", "1"]).code, 15);
    assert_eq!(tail(&["--from", "yesterday"]).code, 2);
}

#[test]
fn json_lines_come_back_as_they_went_in() {
    let dir = TempDir::new().unwrap();
    let records = [
        json!({"key": "k", "value": "v ü \u{1F600}", "headers": [["h", "x"], ["h", null]], "timestamp": 1_700_000_000_000u64}),
        json!({"key": null, "value": "", "headers": [], "timestamp": 1_700_000_000_001u64}),
        json!({"key": "k", "value": null, "headers": [], "timestamp": 1_700_000_000_002u64}),
    ];
    let input: String = records.iter().map(|record| format!("{record}\n")).collect();
    let words = ["append", "data", "t", "--json", "--partition", "2"];
    let ran = run_with(dir.path(), &words, input.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let tail = run(dir.path(), &["tail", "data", "t", "--json"]);
    let mut found = tail.json();
    for (offset, record) in found.iter_mut().enumerate() {
        let record = record.as_object_mut().unwrap();
        assert_eq!(record.remove("offset"), Some(json!(offset)));
        assert_eq!(record.remove("partition"), Some(json!(2)));
    }
    assert_eq!(found, records);
    assert!(
        tail.out
            .starts_with(r#"{"partition":2,"offset":0,"timestamp":"#)
    );
}

#[test]
fn a_bad_line_ends_the_appending_and_what_came_before_it_is_there() {
    let dir = TempDir::new().unwrap();
    for bad in [&b"{\"value\":1}"[..], b"nothing", b"{\"value\":\"\xff\"}"] {
        let input = [
            &b"{\"value\":\"good\"}\n"[..],
            bad,
            b"\n{\"value\":\"late\"}\n",
        ]
        .concat();
        let ran = run_with(dir.path(), &["append", "data", "t", "--json"], &input);
        assert_eq!(ran.code, 15, "{}", ran.err);
        assert!(ran.err.contains("line 2"), "{}", ran.err);
    }
    let tail = run(dir.path(), &["tail", "data", "t"]);
    assert_eq!(tail.lines(), ["good"; 3]);
}

#[test]
fn wrong_use_is_told_from_wrong_arguments_and_missing_things() {
    let dir = with_three_records();
    for (words, code) in [
        (&[][..], 2),
        (&["dump", "data/t-0"], 2),
        (&["offsets", "--json", "data/t-0"], 2),
        (&["append", "data"], 2),
        (&["append", "data", "__x"], 15),
        (&["append", "data", "a/b"], 15),
        (&["append", "data", "t", "--partition", "1"], 15),
        (&["append", "data", "u", "--partition", "4000000000"], 15),
        (&["tail", "nowhere", "t"], 15),
        (&["tail", "data", "u"], 15),
        (&["dump", "--json", "nowhere"], 15),
        (&["dump", "--json", "data"], 15),
        (&["verify", "data"], 15),
        (&["offsets", "--json", "data/t-0", "SOON"], 15),
        (&["--help"], 0),
        (&["--version"], 0),
    ] {
        let ran = run(dir.path(), words);
        assert_eq!(ran.code, code, "{words:?}: {}", ran.err);
        assert_eq!(ran.err.is_empty(), code == 0, "{words:?}");
    }
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn a_log_that_is_open_for_writing_is_locked_for_append_and_open_for_looking() {
    let dir = TempDir::new().unwrap();
    let log = Log::open(dir.path().join("data")).unwrap();
    let partition = log.topic("t").unwrap().partition(0).unwrap();
    partition.append(Record::new("one")).unwrap();
    assert_eq!(run(dir.path(), &["append", "data", "t"]).code, 13);
    assert_eq!(run(dir.path(), &["tail", "data", "t"]).lines(), ["one"]);
    let verified = run(dir.path(), &["verify", "data/t-0"]);
    assert_eq!(verified.code, 0, "{}", verified.out);
    log.close().unwrap();
}

#[test]
fn a_followed_topic_is_printed_as_it_grows() {
    let dir = TempDir::new().unwrap();
    let log = Log::open(dir.path().join("data")).unwrap();
    let partition = log.topic("t").unwrap().partition(0).unwrap();
    partition.append(Record::new("one")).unwrap();
    let mut child = tool(dir.path(), &["tail", "data", "t", "--follow"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    for word in ["two", "three"] {
        partition.append(Record::new(word)).unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), word);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn who_reads_only_the_first_line_is_no_error() {
    let dir = TempDir::new().unwrap();
    let input = "a line\n".repeat(20_000);
    let ran = run_with(dir.path(), &["append", "data", "t"], input.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    for words in [&["tail", "data", "t"][..], &["dump", "--json", "data/t-0"]] {
        let mut child = tool(dir.path(), words);
        let mut byte = [0];
        child.stdout.take().unwrap().read_exact(&mut byte).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_eq!(output.stderr, b"", "{words:?}");
    }
}

#[test]
fn damage_is_exit_12_and_the_rest_is_printed() {
    let dir = with_three_records();
    let mut bytes = fs::read(segment(&dir)).unwrap();
    // The second record's value.
    let at = bytes.windows(3).position(|three| three == b"two").unwrap();
    bytes[at] ^= 1;
    fs::write(segment(&dir), &bytes).unwrap();

    let dump = run(dir.path(), &["dump", "--json", "data/t-0"]);
    assert_eq!(dump.code, 12);
    let lines = dump.json();
    let kinds: Vec<&str> = lines.iter().map(|l| l["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["batch", "record", "error", "batch", "record"]);
    let error = &lines[2];
    assert_eq!([&error["from"], &error["to"], &error["offset"]], [1, 2, 1]);
    let keys: Vec<_> = dump.lines()[2]
        .split(['{', ','])
        .map(|f| f.split(':').next().unwrap())
        .collect();
    assert_eq!(
        keys[1..],
        [
            "\"kind\"",
            "\"file\"",
            "\"position\"",
            "\"offset\"",
            "\"what\"",
            "\"cause\"",
            "\"from\"",
            "\"to\""
        ]
    );

    let tail = run(dir.path(), &["tail", "data", "t"]);
    assert_eq!((tail.code, tail.lines()), (12, vec!["one", "three"]));
    assert!(!tail.err.is_empty());

    let verify = run(dir.path(), &["verify", "data/t-0"]);
    assert_eq!(verify.code, 12);
    assert!(verify.lines()[0].starts_with("damaged: "), "{}", verify.out);
    assert!(verify.out.ends_with("bytes checked\n"), "{}", verify.out);
}

#[test]
fn an_old_format_is_exit_16() {
    let dir = with_three_records();
    // A record of message format 1 without a key, value "x": offset 3, CRC-32 over what follows it.
    let mut entry = vec![1, 0];
    entry.extend(1_700_000_000_000u64.to_be_bytes());
    entry.extend((-1i32).to_be_bytes());
    entry.extend(1i32.to_be_bytes());
    entry.push(b'x');
    let checksum = crc32fast::hash(&entry);
    let mut bytes = fs::read(segment(&dir)).unwrap();
    bytes.extend(3u64.to_be_bytes());
    bytes.extend((entry.len() as u32 + 4).to_be_bytes());
    bytes.extend(checksum.to_be_bytes());
    bytes.extend(entry);
    let lone = dir.path().join("lone-0");
    fs::create_dir(&lone).unwrap();
    fs::write(lone.join("00000000000000000000.log"), bytes).unwrap();
    let dump = run(dir.path(), &["dump", "--json", "lone-0"]);
    assert_eq!(dump.code, 16, "{}", dump.out);
    let last = dump.json().pop().unwrap();
    assert_eq!([&last["from"], &last["to"]], [3, 4]);
    let verify = run(dir.path(), &["verify", "lone-0"]);
    assert_eq!(verify.code, 16, "{}", verify.out);
}

#[test]
fn offsets_are_printed_in_the_order_asked_for_also_from_inside_the_directory() {
    let dir = with_three_records();
    let words = ["offsets", "--json", "data/t-0", "LATEST", "0", "EARLIEST"];
    let lines = run(dir.path(), &words).json();
    let found: Vec<_> = lines.iter().map(|line| line["offset"].as_u64()).collect();
    assert_eq!(found, [Some(3), Some(0), Some(0)]);
    let inside = run(
        &dir.path().join("data/t-0"),
        &["offsets", "--json", ".", "LATEST", "0", "EARLIEST"],
    );
    assert_eq!(inside.json(), lines);
    std::os::unix::fs::symlink(dir.path().join("data"), dir.path().join("link")).unwrap();
    let linked = run(dir.path(), &["tail", "link", "t"]);
    assert_eq!(linked.lines().len(), 3, "{}", linked.err);
}

#[test]
fn a_link_or_a_pipe_in_place_of_a_segment_is_refused_and_never_waited_for() {
    let dir = with_three_records();
    let place = dir.path().join("data/t-0/00000000000000000003.log");
    let outside = dir.path().join("outside");
    fs::write(&outside, b"").unwrap();
    std::os::unix::fs::symlink(&outside, &place).unwrap();
    for words in [
        &["dump", "--json", "data/t-0"][..],
        &["offsets", "--json", "data/t-0", "LATEST"],
    ] {
        let ran = run(dir.path(), words);
        assert_eq!(ran.code, 15, "{words:?}: {}", ran.err);
        assert!(ran.err.contains("00000000000000000003.log"), "{}", ran.err);
    }
    let verify = run(dir.path(), &["verify", "data/t-0"]);
    assert_eq!(verify.code, 12);
    assert!(
        verify.out.contains("00000000000000000003.log"),
        "{}",
        verify.out
    );
    assert!(
        verify.out.contains("3 records"),
        "the rest is checked: {}",
        verify.out
    );
    fs::remove_file(&place).unwrap();
    let made = Command::new("mkfifo").arg(&place).status().unwrap();
    assert!(made.success());
    assert_eq!(run(dir.path(), &["dump", "--json", "data/t-0"]).code, 15);
    assert_eq!(run(dir.path(), &["verify", "data/t-0"]).code, 12);
}

/// Every file under `dir`: its bytes and when it was changed.
fn state(dir: &Path, into: &mut BTreeMap<PathBuf, (Vec<u8>, SystemTime)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        match path.is_dir() {
            true => {
                into.insert(path.clone(), (Vec::new(), changed));
                state(&path, into);
            }
            false => {
                into.insert(path.clone(), (fs::read(&path).unwrap(), changed));
            }
        }
    }
}

#[test]
fn looking_at_what_kafka_wrote_prints_kafkas_lines_and_changes_nothing() {
    for fixture in Fixture::all() {
        let copy = fixture.copy();
        let folder = fixture.partition_directory();
        let folder = folder.file_name().unwrap().to_str().unwrap();
        let mut before = BTreeMap::new();
        state(copy.path(), &mut before);
        let dump = run(copy.path(), &["dump", "--json", folder]);
        let verify = run(copy.path(), &["verify", folder]);
        let targets = fixture.offset_targets();
        let mut words = vec!["offsets", "--json", folder];
        words.extend(targets.iter().map(String::as_str));
        let offsets = run(copy.path(), &words);
        let topic = folder.rsplit_once('-').unwrap().0;
        let tail = run(copy.path(), &["tail", ".", topic, "--json"]);
        let mut after = BTreeMap::new();
        state(copy.path(), &mut after);
        let name = &fixture.name;
        assert!(before == after, "{name}: something was written");
        assert_eq!(offsets.lines(), fixture.offset_lines(), "{name}");
        let damage = if fixture.is_unclean() { 12 } else { 0 };
        assert_eq!(dump.code, damage, "{name}: {}", dump.err);
        assert_eq!(dump.lines().len(), fixture.dump_lines().len(), "{name}");
        assert_eq!(verify.code, 0, "{name}: {}{}", verify.out, verify.err);
        assert_eq!(tail.code, 0, "{name}: {}", tail.err);
    }
}

//! `dump`, `offsets` and `verify` on directories that a real Kafka wrote, held against what Kafka's own classes say.

use std::path::Path;

use serde_json::Value;
use stratalog::inspect::{self, Finding, FindingKind, Format, Target};

use crate::kafka_fixtures::{Fixture, check_each, differing_lines};

fn lines(text: Vec<u8>) -> Vec<String> {
    let text = String::from_utf8(text).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn dumped(partition: &Path) -> Vec<String> {
    let mut out = Vec::new();
    inspect::dump(partition, Format::Json, &mut out).unwrap();
    lines(out)
}

#[test]
fn the_lines_of_a_dump_are_those_of_kafka() {
    check_each(|fixture| {
        differing_lines(
            &fixture.dump_lines(),
            &dumped(&fixture.partition_directory()),
        )
    });
}

#[test]
fn an_error_line_of_a_dump_names_the_offsets_that_it_takes_away() {
    let mut errors = 0;
    for fixture in Fixture::all() {
        for line in dumped(&fixture.partition_directory()) {
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["kind"] == "error" {
                errors += 1;
                assert!(line["from"].is_u64(), "{}: {line}", fixture.name);
                assert!(line["to"].is_null(), "nothing is behind: {line}");
            }
        }
    }
    assert_eq!(errors, 2, "the two fixtures of killed writers");
}

#[test]
fn offsets_by_time_are_those_of_kafka() {
    check_each(|fixture| {
        let targets: Vec<Target> = fixture
            .offset_targets()
            .iter()
            .map(|word| word.parse().unwrap())
            .collect();
        let mut out = Vec::new();
        let partition = fixture.partition_directory();
        inspect::offsets(&partition, &targets, Format::Json, &mut out).unwrap();
        differing_lines(&fixture.offset_lines(), &lines(out))
    });
}

#[test]
fn what_kafka_wrote_has_no_damage_and_what_it_left_unfinished_is_a_torn_tail() {
    check_each(|fixture| {
        let findings = inspect::verify(fixture.partition_directory()).unwrap();
        let progress = findings.progress();
        let findings: Vec<Finding> = findings.map(Result::unwrap).collect();
        let torn = findings
            .iter()
            .filter(|finding| finding.kind() == FindingKind::TornTail);
        assert_eq!(
            torn.count(),
            usize::from(fixture.is_unclean()),
            "{}",
            fixture.name
        );
        assert_eq!(progress.checked_bytes(), progress.total_bytes());
        let lines = fixture.dump_lines();
        let records = lines.iter().filter(|l| l.contains(r#""kind":"record""#));
        assert_eq!(progress.records(), records.count() as u64);
        let damage = findings.iter().filter(|finding| finding.is_damage());
        damage.map(ToString::to_string).collect()
    });
}

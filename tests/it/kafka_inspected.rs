//! What `dump` and `verify` say of directories that a real Kafka wrote, beyond the lines of Kafka's own classes.

use serde_json::Value;
use stratalog::inspect::{self, Finding, FindingKind, Format};

use crate::kafka_fixtures::{Fixture, check_each};

#[test]
fn an_error_line_of_a_dump_names_the_offsets_that_it_takes_away() {
    let mut errors = 0;
    for fixture in Fixture::all() {
        let mut out = Vec::new();
        inspect::dump(fixture.partition_directory(), Format::Json, &mut out).unwrap();
        for line in String::from_utf8(out).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
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

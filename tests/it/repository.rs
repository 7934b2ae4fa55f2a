//! What the repository says about itself, held against what it is: prose that nobody checks goes stale.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stratalog::limits;

const TOP_LEVEL: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "examples",
    "fuzz",
    "src",
    "tests",
];

const README_COMMANDS: &[&str] = &[
    "cargo run --release --example quickstart",
    "cargo test --all-features",
];

const PROMISES: usize = 25;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The first cells of the rows of all tables in a text.
fn first_cells(text: &str) -> Vec<&str> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    rows.filter_map(|row| row.split('|').nth(1))
        .map(str::trim)
        .collect()
}

#[test]
fn nothing_unexpected_stands_at_the_top_of_the_repository() {
    let names = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let unexpected: BTreeSet<String> = names
        .map(|name| name.into_string().unwrap())
        .filter(|name| !name.starts_with('.') && name != "target")
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

#[test]
fn the_commands_of_the_readme_are_those_that_are_checked() {
    let readme = text_of("README.md");
    let checks = text_of(".ci/run");
    for command in README_COMMANDS {
        assert!(
            readme.lines().any(|line| line == *command),
            "README.md: {command}"
        );
        let is_step = |line: &str| line.starts_with("step ") && line.ends_with(command);
        assert!(checks.lines().any(is_step), ".ci/run: {command}");
    }
    assert!(
        readme.lines().count() < 150,
        "the README is a page, the manual is the book"
    );
}

#[test]
fn each_feature_stands_in_the_readme() {
    let cargo = text_of("Cargo.toml");
    let features = cargo
        .split("[features]")
        .nth(1)
        .unwrap()
        .split("\n[")
        .next()
        .unwrap();
    let readme = text_of("README.md");
    let table = readme
        .split("## Features")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    for line in features.lines().filter(|line| !line.starts_with('#')) {
        let Some((feature, _)) = line.split_once(" = ") else {
            continue;
        };
        assert!(
            feature == "default" || table.contains(&format!("`{feature}`")),
            "{feature}"
        );
    }
}

#[test]
fn every_promise_has_its_number_in_the_manual() {
    let durability = text_of("src/manual/durability.md");
    let numbers: Vec<usize> = first_cells(&durability)
        .iter()
        .filter_map(|cell| cell.parse().ok())
        .collect();
    assert_eq!(numbers, (1..=PROMISES).collect::<Vec<_>>());
}

#[test]
#[cfg(feature = "serde")]
fn each_option_stands_in_the_manual_with_its_default() {
    let defaults = serde_json::to_value(stratalog::TopicOptions::default()).unwrap();
    let chapter = text_of("src/manual/kafka.md");
    let section = chapter
        .split("## Options")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let documented: serde_json::Map<_, _> = rows
        .map(|row| {
            row.split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect::<Vec<_>>()
        })
        .map(|cells| (cells[1].to_owned(), cells[2].into()))
        .collect();
    assert_eq!(serde_json::Value::Object(documented), defaults);
}

#[test]
fn the_defaults_in_the_prose_are_those_of_the_code() {
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let loss = format!(
        "one starts every\n{} s or {}), never more than {} GiB",
        Duration::from_millis(limits::BACKGROUND_SYNC_MS).as_secs(),
        mib(limits::BACKGROUND_SYNC_BYTES),
        limits::DEFAULT_UNSYNCED_LIMIT_BYTES >> 30,
    );
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for path in ["README.md", "src/manual/durability.md"] {
        assert!(
            one_line(&text_of(path)).contains(&one_line(&loss)),
            "{path}: {loss}"
        );
    }
    let decompressed = mib(u64::from(limits::DEFAULT_MAX_DECOMPRESSED_BYTES));
    assert!(text_of("src/manual/kafka.md").contains(&format!("{decompressed} by default")));
    let cut_tail = format!("at\nmost {}", mib(limits::CUT_TAIL_COPY_BYTES));
    assert!(one_line(&text_of("src/manual/recovery.md")).contains(&one_line(&cut_tail)));
}

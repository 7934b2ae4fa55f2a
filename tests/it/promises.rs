//! Each promise of the manual, each row of recovery and each kind of error is shown by tests that are named, and that exist.
//!
//! The names stand in the chapters; here they are held against the sources, which are read as text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::source_text::shipped_code;

const DURABILITY: &str = "src/manual/durability.md";
const RECOVERY: &str = "src/manual/recovery.md";

/// Promises that wait for code that is not there yet: the number, and the module that ends the wait.
const WAITING: &[(usize, &str)] = &[(14, "src/consumer")];

/// What a waiting promise says in place of tests.
const WAITS: &str = "waits for the code";

const PROMISES: usize = 25;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// All sources below `dir`.
fn sources(dir: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().join(dir)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// The names of all test functions: those behind `#[test]`, and those that a macro makes into tests.
fn tests_in(sources: &[(String, String)]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (path, text) in sources {
        for (at, _) in text.match_indices("#[test]") {
            let rest = text[at..].split("fn ").nth(1).unwrap_or_default();
            let name: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            names.insert(name);
        }
        // A check of the conformance suite runs on each medium, as a test of its name.
        if path.starts_with("src/storage/conformance") {
            let checks = text.lines().filter_map(|line| line.strip_prefix("fn "));
            names.extend(checks.filter_map(|line| Some(line.split_once("(medium")?.0.to_owned())));
        }
    }
    names.remove("");
    names
}

/// The rows of the table behind `<!-- shown: name -->`: cells of each.
fn shown(chapter: &str, name: &str) -> Vec<Vec<String>> {
    let marker = format!("<!-- shown: {name} -->");
    let section = chapter
        .split(&marker)
        .nth(1)
        .unwrap_or_else(|| panic!("no `{marker}`"));
    let lines = section.lines().skip_while(|line| line.is_empty());
    lines
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(cells)
        .collect()
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_matches('|');
    inner
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}

/// The names in backticks of a cell.
fn named(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// What is wrong with the table of promises, given what else is known.
fn wrong_with_promises(
    chapter: &str,
    tests: &BTreeSet<String>,
    exists: impl Fn(&str) -> bool,
) -> Vec<String> {
    let events: BTreeMap<usize, String> = chapter
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(cells)
        .filter_map(|cells| Some((cells[0].parse().ok()?, cells[1].clone())))
        .collect();
    let rows = shown(chapter, "promises");
    let mut wrong = Vec::new();
    for number in 1..=PROMISES {
        let label = format!("promise {number}");
        let Some(row) = rows.iter().find(|row| row[0] == label) else {
            wrong.push(format!("{label} has no row"));
            continue;
        };
        if events.get(&number) != Some(&row[1]) {
            wrong.push(format!(
                "{label} is called {:?} in one table and {:?} in the other",
                events.get(&number),
                row[1]
            ));
        }
        let waiting = WAITING.iter().find(|(waiting, _)| *waiting == number);
        match waiting {
            Some((_, module)) if exists(module) => {
                wrong.push(format!(
                    "{label} waits for {module}, which is there: name its tests"
                ));
            }
            Some(_) if row[2] != WAITS => wrong.push(format!("{label} should say: {WAITS}")),
            Some(_) => {}
            None if named(&row[2]).is_empty() => wrong.push(format!("{label} names no test")),
            None => wrong.extend(not_among(tests, &label, &row[2])),
        }
    }
    if rows.len() != PROMISES {
        wrong.push(format!("{} rows for {PROMISES} promises", rows.len()));
    }
    wrong
}

fn not_among(tests: &BTreeSet<String>, label: &str, cell: &str) -> Vec<String> {
    let missing = named(cell).into_iter().filter(|name| !tests.contains(name));
    missing
        .map(|name| format!("{label} names `{name}`, and no test is called that"))
        .collect()
}

fn all_tests() -> BTreeSet<String> {
    let mut all = sources("src");
    all.extend(sources("tests"));
    tests_in(&all)
}

#[test]
fn each_promise_names_tests_that_exist() {
    let wrong = wrong_with_promises(&text_of(DURABILITY), &all_tests(), |module| {
        root().join(module).exists() || root().join(format!("{module}.rs")).exists()
    });
    assert!(wrong.is_empty(), "{DURABILITY}:\n{}\n", wrong.join("\n"));
}

#[test]
fn each_row_of_recovery_names_tests_that_exist() {
    let (chapter, tests) = (text_of(RECOVERY), all_tests());
    let mut wrong = Vec::new();
    for (table, file) in [
        ("owner", "src/directory/owner.rs"),
        ("chain", "src/partition/recovery.rs"),
        ("tail", "src/partition/recovery.rs"),
        ("derived", "src/partition/recovery.rs"),
    ] {
        let letters = letters_of(&text_of(file), table);
        assert!(!letters.is_empty(), "{table}");
        let rows = shown(&chapter, table);
        let labels: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(labels, letters, "{RECOVERY}: tests of the table {table}");
        for row in &rows {
            let label = format!("{table}, row {}", row[0]);
            if named(&row[1]).is_empty() {
                wrong.push(format!("{label} names no test"));
            }
            wrong.extend(not_among(&tests, &label, &row[1]));
        }
    }
    assert!(wrong.is_empty(), "{RECOVERY}:\n{}\n", wrong.join("\n"));
}

fn letters_of(source: &str, table: &str) -> Vec<String> {
    let start = format!("const {}_ROWS:", table.to_uppercase());
    let rows = source.split(&start).nth(1).unwrap_or_default();
    let rows = rows.split("];").next().unwrap_or_default();
    rows.split("letter: '")
        .skip(1)
        .map(|rest| rest.chars().take(1).collect())
        .collect()
}

/// What of `text` is a test's: everything in a file of tests, else what is left once the shipped code is taken away.
fn code_of_tests(path: &str, text: &str) -> String {
    if path.starts_with("tests/") || path.contains("/tests") || path.contains("/conformance/") {
        return text.to_owned();
    }
    let shipped = shipped_code(text);
    let tests = text.lines().zip(shipped.lines());
    tests
        .filter(|(_, shipped)| shipped.trim().is_empty())
        .map(|(line, _)| line)
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn each_kind_of_error_is_met_by_a_test_that_names_it() {
    let error = text_of("src/error.rs");
    let kinds = error.split("pub enum ErrorKind {").nth(1).unwrap();
    let kinds = kinds.split("\n}").next().unwrap().lines();
    let kinds: Vec<&str> = kinds
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .filter_map(|line| line.strip_suffix(','))
        .collect();
    assert_eq!(kinds.len(), 16, "{kinds:?}");
    let mut all = sources("src");
    all.extend(sources("tests"));
    // Where errors are made by hand nothing is met.
    all.retain(|(path, _)| path != "src/error.rs" && path != file!());
    let tests: Vec<String> = all
        .iter()
        .map(|(path, text)| code_of_tests(path, text))
        .collect();
    for kind in kinds {
        let name = format!("ErrorKind::{kind}");
        let is_met = tests.iter().any(|text| {
            text.match_indices(&name).any(|(at, _)| {
                let more = text[at + name.len()..].chars().next();
                let line = text[..at].rsplit('\n').next().unwrap_or_default();
                // In an expectation, and not in an error that the test makes itself.
                !more.is_some_and(char::is_alphanumeric) && !line.contains("Error::new")
            })
        });
        assert!(is_met, "no test meets {name}");
    }
}

#[test]
fn a_promise_without_tests_or_with_tests_that_are_gone_is_named() {
    let event = |number: usize| format!("event {number}");
    let chapter = |tests_of: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for number in 1..=PROMISES {
            text += &format!("| {number} | {} | promise |\n", event(number));
        }
        text += "<!-- shown: promises -->\n\n| a | b | c |\n|---|---|---|\n";
        for number in 1..=PROMISES {
            let tests = tests_of(number);
            text += &format!("| promise {number} | {} | {tests} |\n", event(number));
        }
        text
    };
    let tests: BTreeSet<String> = ["it_holds".to_owned()].into();
    let good = |number: usize| match number {
        14 => WAITS.to_owned(),
        _ => "`it_holds`".to_owned(),
    };
    let wrong = |text: &str, consumers: bool| wrong_with_promises(text, &tests, |_| consumers);
    let none: [String; 0] = [];
    assert_eq!(wrong(&chapter(&good), false), none);
    assert!(wrong(&chapter(&good), true)[0].contains("name its tests"));
    let gone = |number| match number {
        3 => "`it_held`".to_owned(),
        4 => String::new(),
        14 => "`it_holds`".to_owned(),
        15 => WAITS.to_owned(),
        number => good(number),
    };
    let found = wrong(&chapter(&gone), false);
    assert_eq!(found.len(), 4, "{found:?}");
    let renamed = chapter(&good).replacen("event 7", "another event", 1);
    assert_eq!(wrong(&renamed, false).len(), 1);
    let missing = chapter(&good).replace("| promise 25 |", "| promise 26 |");
    assert_eq!(wrong(&missing, false).len(), 1);
}

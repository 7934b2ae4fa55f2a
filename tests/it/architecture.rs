//! The floors of the crate, checked: a module uses only floors below its own.
//!
//! The check reads the sources as text. It names the file, both floors and the way out, so that whoever
//! adds an arrow learns at once why it is not allowed. The same pass keeps files and folders small.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::source_text::{is_word, line_of, positions_of_word, shipped_code};

/// Each top-level module and its floor. Floor 0 is words: those may name each other.
const FLOORS: &[(u8, &[&str])] = &[
    (
        0,
        &[
            "error",
            "ids",
            "laws",
            "limits",
            "offset",
            "stats",
            "sync",
            "timestamp",
            "topic",
        ],
    ),
    (1, &["checkpoint_text", "compress", "storage"]),
    (2, &["batch", "epochs"]),
    (3, &["segment"]),
    (4, &["compaction", "producers"]),
    (5, &["partition"]),
    (6, &["cursor", "replica", "writer"]),
    (7, &["consumer", "directory"]),
    (8, &["log"]),
    (9, &["inspect"]),
    (10, &["bin", "ship"]),
];

/// Modules that hold prose only; they stand on no floor and no code may name them.
const PROSE: &[&str] = &["manual"];

const MOST_LINES_IN_A_FILE: usize = 600;
const MOST_FILES_IN_A_FOLDER: usize = 12;
const UNSAFE_IS_ALLOWED_IN: &str = "src/storage/mapped.rs";
/// What `src/sync` stands for, so that tests can put other locks and threads in its place.
const BEHIND_SYNC: &[&str] = &[
    "parking_lot",
    "event_listener",
    "std::sync::atomic",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "std::sync::OnceLock",
    "std::sync::mpsc",
    "std::thread",
];
/// The module itself, counts that nobody waits for, what a disk of tests notes between two steps, and the tool, which is a user of
/// the crate.
const MAY_GO_PAST_SYNC: &[&str] = &[
    "src/sync/",
    "src/stats.rs",
    "src/storage/watched.rs",
    "src/bin/",
];

/// A source file: its path from the root of the repository, with `/`, and its text.
struct Source {
    path: String,
    text: String,
}

#[test]
fn every_arrow_points_down_and_every_file_is_small() {
    let complaints = complaints(&sources_under(Path::new(env!("CARGO_MANIFEST_DIR"))));
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn complaints(sources: &[Source]) -> Vec<String> {
    let exported = exported_items(sources);
    let mut found = folders_with_too_many_files(sources);
    for source in sources.iter().filter(|s| !is_test_file(&s.path)) {
        found.extend(too_long(source));
        let code = shipped_code(&source.text);
        found.extend(unsafe_code(source, &code));
        found.extend(past_sync(source, &code));
        let Some(module) = top_level_module(&source.path) else {
            found.extend(modules_out_of_order(source, &code));
            continue;
        };
        if PROSE.contains(&module) || module == "bin" {
            continue; // `bin` stands on the crate from outside; its `crate::` is the tool's own
        }
        let Some(floor) = floor_of(module) else {
            found.push(format!(
                "{}: module `{module}` stands on no floor; put the code into a module that exists, or give it a floor in {}",
                source.path,
                file!(),
            ));
            continue;
        };
        for reference in references_to_the_root(&source.path, &code) {
            found.extend(forbidden_arrow(
                source, module, floor, &reference, &exported,
            ));
        }
    }
    found
}

/// A name that follows `crate::` (or as many `super::` as lead to the root).
struct Reference {
    line: usize,
    name: String,
}

fn forbidden_arrow(
    source: &Source,
    module: &str,
    floor: u8,
    reference: &Reference,
    exported: &BTreeMap<String, String>,
) -> Option<String> {
    let place = format!("{}:{}", source.path, reference.line);
    let name = reference.name.as_str();
    let target = match floor_of(name) {
        Some(_) => name,
        None if PROSE.contains(&name) => {
            return Some(format!("{place}: code names prose, `{name}`"));
        }
        None => match exported.get(name) {
            Some(target) => target.as_str(),
            None => {
                return Some(format!(
                    "{place}: `crate::{name}` is neither a module on a floor nor exported by name in lib.rs; write the path through its module"
                ));
            }
        },
    };
    let target_floor = floor_of(target)?;
    if target == module || target_floor < floor || (floor == 0 && target_floor == 0) {
        return None;
    }
    let (direction, way_out) = if target_floor == floor {
        (
            "sideways",
            "move what both need to a floor below, or let the floor above bring them together",
        )
    } else {
        (
            "up",
            "hand the fact down as a value or a cell, or let the upper floor add the method in its own file",
        )
    };
    Some(format!(
        "{place}: `{module}` (floor {floor}) uses `{target}` (floor {target_floor}), an arrow {direction}: {way_out}"
    ))
}

fn floor_of(module: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(_, modules)| modules.contains(&module))
        .map(|&(floor, _)| floor)
}

/// `batch` for `src/batch/header.rs` and `src/batch.rs`; none for `src/lib.rs`.
fn top_level_module(path: &str) -> Option<&str> {
    let first = path.strip_prefix("src/")?.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (module != "lib").then_some(module)
}

/// How many `super::` lead from the top of this file to the root of the crate.
fn depth_below_the_root(path: &str) -> usize {
    path.trim_start_matches("src/")
        .trim_end_matches("/mod.rs")
        .split('/')
        .count()
}

/// In how many modules written out in this file a position lies.
fn inline_modules_around(code: &str, position: usize) -> usize {
    let opens_a_block = |at: &usize| {
        let name = code[at + "mod".len()..].trim_start();
        name.trim_start_matches(is_word)
            .trim_start()
            .starts_with('{')
    };
    let bodies = positions_of_word(&code[..position], "mod").filter(opens_a_block);
    bodies
        .filter(|&at| !closes_before(code, at, position))
        .count()
}

/// Whether the first block behind `from` is closed again before `position`.
fn closes_before(code: &str, from: usize, position: usize) -> bool {
    let mut depth = 0_usize;
    for c in code[from..position].chars() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return true,
            '}' => depth -= 1,
            _ => {}
        }
    }
    false
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("/schedules/")
}

/// What lib.rs exports by name, and from which module: so that `crate::Error` counts as `crate::error::Error`.
fn exported_items(sources: &[Source]) -> BTreeMap<String, String> {
    let Some(root) = sources.iter().find(|s| s.path == "src/lib.rs") else {
        return BTreeMap::new();
    };
    let code = shipped_code(&root.text);
    let mut items = BTreeMap::new();
    for at in positions_of_word(&code, "use") {
        let statement = code[at + "use".len()..]
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        let statement = statement.strip_prefix("crate::").unwrap_or(statement);
        let Some((module, rest)) = statement.split_once("::") else {
            continue;
        };
        for item in rest.split(|c: char| "{},".contains(c)) {
            let name = item
                .rsplit(" as ")
                .next()
                .unwrap_or(item)
                .rsplit("::")
                .next()
                .unwrap_or(item);
            if !name.trim().is_empty() {
                items.insert(name.trim().to_owned(), module.trim().to_owned());
            }
        }
    }
    items
}

fn references_to_the_root(path: &str, code: &str) -> Vec<Reference> {
    let below_the_root = depth_below_the_root(path);
    let from_crate = positions_of_word(code, "crate").map(|at| at + "crate".len());
    let from_super = positions_of_word(code, "super")
        .filter(|&at| !code[..at].ends_with("super::"))
        .filter_map(|at| {
            let climbs = below_the_root + inline_modules_around(code, at);
            let to_the_root = "super::".repeat(climbs);
            code[at..]
                .starts_with(&to_the_root)
                .then(|| at + to_the_root.len() - "::".len())
        });
    let mut references = Vec::new();
    for at in from_crate.chain(from_super) {
        let Some(rest) = code[at..].strip_prefix("::") else {
            continue;
        };
        for name in first_names(rest) {
            if name != "super" {
                references.push(Reference {
                    line: line_of(code, at),
                    name,
                });
            }
        }
    }
    references
}

/// The names directly behind `crate::`: one, or the heads of a group in braces.
fn first_names(rest: &str) -> Vec<String> {
    let word = |s: &str| {
        s.trim_start()
            .chars()
            .take_while(|&c| is_word(c))
            .collect::<String>()
    };
    let Some(group) = rest.trim_start().strip_prefix('{') else {
        return vec![word(rest)];
    };
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut head = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => head = true,
            c if head && is_word(c) => {
                names.push(word(&group[at..]));
                head = false;
            }
            _ => {}
        }
    }
    names
}

fn modules_out_of_order(source: &Source, code: &str) -> Option<String> {
    let floors: Vec<(u8, String)> = positions_of_word(code, "mod")
        .map(|at| first_names(&code[at + "mod".len()..]).concat())
        .filter_map(|module| Some((floor_of(&module)?, module)))
        .collect();
    let (_, below) = floors
        .windows(2)
        .find(|w| w[1].0 < w[0].0)
        .map(|w| (&w[0], &w[1]))?;
    Some(format!(
        "{}: `{}` (floor {}) is declared after a module of a higher floor; lib.rs lists the floors from below",
        source.path, below.1, below.0
    ))
}

fn too_long(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    (lines > MOST_LINES_IN_A_FILE).then(|| {
        format!(
            "{}: {lines} lines, more than {MOST_LINES_IN_A_FILE}; find the second noun in it and give that a file (tests go to a sibling tests.rs)",
            source.path
        )
    })
}

fn folders_with_too_many_files(sources: &[Source]) -> Vec<String> {
    let mut files = BTreeMap::<&str, usize>::new();
    for source in sources.iter().filter(|s| !is_test_file(&s.path)) {
        let folder = source
            .path
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        *files.entry(folder).or_default() += 1;
    }
    files.retain(|_, count| *count > MOST_FILES_IN_A_FOLDER);
    files
        .iter()
        .map(|(folder, count)| {
            format!("{folder}: {count} files, more than {MOST_FILES_IN_A_FOLDER}; a part of them is a folder of its own")
        })
        .collect()
}

fn unsafe_code(source: &Source, code: &str) -> Option<String> {
    if source.path == UNSAFE_IS_ALLOWED_IN {
        return None;
    }
    let at = positions_of_word(code, "unsafe").next()?;
    Some(format!(
        "{}:{}: `unsafe` stands only in {UNSAFE_IS_ALLOWED_IN}",
        source.path,
        line_of(code, at)
    ))
}

fn past_sync(source: &Source, code: &str) -> Option<String> {
    if MAY_GO_PAST_SYNC
        .iter()
        .any(|place| source.path.starts_with(place))
    {
        return None;
    }
    // `use std::sync::{Arc, Mutex}` names it as well.
    let grouped = positions_of_word(code, "std::sync::").find_map(|at| {
        let group = code[at + "std::sync::".len()..].strip_prefix('{')?;
        let names = group.split('}').next()?;
        let mut names = names.split([',', ':', '{']).map(str::trim);
        names.find_map(|name| {
            let path = format!("std::sync::{name}");
            BEHIND_SYNC.contains(&path.as_str()).then_some((at, path))
        })
    });
    let alone = BEHIND_SYNC.iter().find_map(|path| {
        let at = positions_of_word(code, path).next()?;
        Some((at, (*path).to_owned()))
    });
    let (at, path) = grouped.or(alone)?;
    Some(format!(
        "{}:{}: `{path}` is taken from `crate::sync`, where tests can put another in its place",
        source.path,
        line_of(code, at)
    ))
}

fn sources_under(root: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    collect_rust_files(&root.join("src"), &mut files);
    files.sort();
    let path_of = |file: &Path| {
        let parts = file.strip_prefix(root).unwrap().iter();
        parts
            .map(|part| part.to_str().unwrap())
            .collect::<Vec<_>>()
            .join("/")
    };
    files
        .iter()
        .map(|file| Source {
            path: path_of(file),
            text: std::fs::read_to_string(file).unwrap(),
        })
        .collect()
}

fn collect_rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_rust_files(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

// The checker is itself checked: a check that accepts everything would pass for ever.

fn check_sample(files: &[(&str, &str)], expected: &[&str]) {
    let sources: Vec<Source> = files
        .iter()
        .map(|&(path, text)| Source {
            path: path.to_owned(),
            text: text.to_owned(),
        })
        .collect();
    let found = complaints(&sources);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (complaint, part) in found.iter().zip(expected) {
        assert!(
            complaint.contains(part),
            "`{complaint}` does not say `{part}`"
        );
    }
}

#[test]
fn arrows_down_and_among_words_are_allowed() {
    check_sample(
        &[
            (
                "src/lib.rs",
                "mod error; mod offset; mod batch; pub use error::{Error, Kind as K};",
            ),
            ("src/error.rs", "use crate::offset::Offset;"),
            (
                "src/batch/mod.rs",
                "use crate::{Error, K, batch::header, error::{self}}; use super::error;",
            ),
            (
                "src/storage/disk.rs",
                "mod unix {\n    use super::super::Storage;\n    mod deep { use super::super::super::Storage; }\n}",
            ),
            (
                "src/batch/header.rs",
                "use super::verify; use crate::batch::verify::X;\n// crate::log\n",
            ),
            ("src/batch/tests.rs", "use crate::log::Log;"),
            (
                "src/segment/scan.rs",
                "#[cfg(test)]\nmod tests { use crate::log::Log; }",
            ),
            ("src/bin/stratalog/main.rs", "use crate::append::run;"),
        ],
        &[],
    );
}

#[test]
fn an_arrow_up_or_sideways_is_named_with_both_floors() {
    check_sample(
        &[
            ("src/lib.rs", "pub use partition::{\n    Partition,\n};"),
            ("src/batch/mod.rs", "\nuse crate::segment::Scan;"),
            (
                "src/batch/build.rs",
                "use crate::{error::Error, log::{Log, Topic}};",
            ),
            (
                "src/compress/mod.rs",
                "fn f(s: &dyn crate::storage::Storage) {}",
            ),
            ("src/cursor/mod.rs", "use super::writer::Writer;"),
            (
                "src/cursor/fetch.rs",
                "mod a {} use super::super::log::Log;",
            ),
            ("src/epochs.rs", "use crate::Partition;"),
        ],
        &[
            "src/batch/mod.rs:2: `batch` (floor 2) uses `segment` (floor 3), an arrow up",
            "src/batch/build.rs:1: `batch` (floor 2) uses `log` (floor 8), an arrow up",
            "src/compress/mod.rs:1: `compress` (floor 1) uses `storage` (floor 1), an arrow sideways",
            "src/cursor/mod.rs:1: `cursor` (floor 6) uses `writer` (floor 6), an arrow sideways",
            "src/cursor/fetch.rs:1: `cursor` (floor 6) uses `log` (floor 8), an arrow up",
            "src/epochs.rs:1: `epochs` (floor 2) uses `partition` (floor 5), an arrow up",
        ],
    );
}

#[test]
fn unknown_modules_names_and_orders_are_refused() {
    check_sample(
        &[
            ("src/lib.rs", "mod batch; mod error;"),
            ("src/utils.rs", ""),
            (
                "src/error.rs",
                "use crate::Thing; use crate::manual::format;",
            ),
        ],
        &[
            "src/lib.rs: `error` (floor 0) is declared after",
            "src/utils.rs: module `utils` stands on no floor",
            "src/error.rs:1: `crate::Thing` is neither",
            "src/error.rs:1: code names prose",
        ],
    );
}

#[test]
fn locks_and_threads_come_from_one_module() {
    check_sample(
        &[
            ("src/sync/mod.rs", "pub(crate) use parking_lot::Mutex;"),
            (
                "src/error.rs",
                "use std::sync::{Arc, Weak}; use crate::sync::Mutex;",
            ),
            ("src/batch/mod.rs", "use parking_lot::RwLock;"),
            ("src/log/mod.rs", "use std::sync::{Arc, atomic::AtomicU64};"),
            ("src/writer.rs", "\nfn f() { std::thread::yield_now() }"),
        ],
        &[
            "src/batch/mod.rs:1: `parking_lot` is taken from `crate::sync`",
            "src/log/mod.rs:1: `std::sync::atomic` is taken from `crate::sync`",
            "src/writer.rs:2: `std::thread` is taken from `crate::sync`",
        ],
    );
}

#[test]
fn long_files_full_folders_and_unsafe_code_are_refused() {
    let long = "\n".repeat(MOST_LINES_IN_A_FILE + 1);
    let unsafe_code = "#![deny(unsafe_code)]\nfn f() { unsafe { g() } }";
    let names: Vec<String> = (0..=MOST_FILES_IN_A_FOLDER)
        .map(|n| format!("src/batch/f{n}.rs"))
        .collect();
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    files.push(("src/batch/tests.rs", &long));
    files.push(("src/error.rs", &long));
    files.push(("src/storage/disk.rs", unsafe_code));
    files.push(("src/storage/mapped.rs", unsafe_code));
    check_sample(
        &files,
        &[
            "src/batch: 13 files, more than 12",
            "src/error.rs: 601 lines, more than 600",
            "src/storage/disk.rs:2: `unsafe` stands only in src/storage/mapped.rs",
        ],
    );
}

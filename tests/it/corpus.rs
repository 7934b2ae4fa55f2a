//! What the fuzz targets kept, run through the same functions at every commit: what was once found stays mended.

use std::path::Path;

use crate::battery::Cases;

#[path = "../../fuzz/src/lib.rs"]
#[allow(
    unreachable_pub,
    clippy::indexing_slicing,
    reason = "the same source is a crate of its own, too"
)]
mod targets;

/// Promises 18 and 19.
#[test]
fn what_the_fuzz_targets_kept_is_an_error_or_right_records() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let cases = Cases::default();
    for (name, run) in targets::TARGETS {
        let mut inputs: Vec<_> = std::fs::read_dir(corpus.join(name))
            .unwrap_or_else(|error| panic!("{name} has no corpus: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        inputs.sort();
        for input in inputs {
            println!("{}", input.display());
            run(&std::fs::read(&input).unwrap());
            cases.count();
        }
    }
    cases.report("fuzz, kept inputs", 500);
}

#[test]
fn each_fuzz_target_is_a_program_with_a_row_in_the_table() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let readme = std::fs::read_to_string(fuzz.join("README.md")).unwrap();
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let mut names: Vec<String> = std::fs::read_dir(fuzz.join("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, targets::TARGETS.map(|(name, _)| name));
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        assert!(readme.contains(&format!("`{name}`")), "{name}");
    }
}

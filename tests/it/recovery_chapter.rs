//! The tables of recovery stand twice: as rows in the code, which decide, and in the manual, which explains.
//! Here the second is held against the first, row by row.

use std::path::Path;

/// The files whose constants `<NAME>_ROWS` are tables of the chapter, under `<!-- rows: name -->`.
const TABLES_IN: &[&str] = &["src/directory/owner.rs", "src/partition/recovery.rs"];
const CHAPTER: &str = "src/manual/recovery.md";

struct Row {
    letter: char,
    /// Every text of the row, in the order of the code.
    texts: Vec<String>,
}

#[test]
fn the_chapter_on_recovery_has_the_rows_that_decide() {
    let chapter = text_of(CHAPTER);
    let tables: Vec<(String, Vec<Row>)> = TABLES_IN
        .iter()
        .flat_map(|path| tables_in(&text_of(path)))
        .collect();
    assert!(!tables.is_empty());
    for (name, rows) in tables {
        let written = rows_in_the_chapter(&chapter, &name);
        let expected: Vec<String> = rows.iter().map(as_line).collect();
        let letters: Vec<char> = written
            .iter()
            .filter_map(|cells| cells[0].chars().next())
            .collect();
        assert_eq!(
            letters,
            rows.iter().map(|row| row.letter).collect::<Vec<_>>(),
            "{CHAPTER}: the table `{name}` should have these rows:\n{}\n",
            expected.join("\n")
        );
        for (row, cells) in rows.iter().zip(&written) {
            for text in &row.texts {
                assert!(
                    cells.contains(text),
                    "{CHAPTER}: table `{name}`, row {}: no cell says: {text}",
                    row.letter
                );
            }
        }
    }
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn as_line(row: &Row) -> String {
    format!("| {} | {} |", row.letter, row.texts.join(" | "))
}

/// The cells of each row behind `<!-- rows: name -->`.
fn rows_in_the_chapter(chapter: &str, name: &str) -> Vec<Vec<String>> {
    let marker = format!("<!-- rows: {name} -->");
    let section = chapter.split(&marker).nth(1);
    let section = section.unwrap_or_else(|| panic!("{CHAPTER}: no `{marker}`"));
    let lines = section.lines().skip_while(|line| line.is_empty());
    lines
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            line.trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect()
}

/// Each `const NAME_ROWS ... = [ ... ];` of a source text.
fn tables_in(source: &str) -> Vec<(String, Vec<Row>)> {
    let mut tables = Vec::new();
    for part in source.split("const ").skip(1) {
        let Some((name, _)) = part.split_once("_ROWS:") else {
            continue;
        };
        let body = part.split("];").next().unwrap_or_default();
        let rows = body.split("letter: '").skip(1).map(row_of).collect();
        tables.push((name.to_lowercase(), rows));
    }
    tables
}

fn row_of(text: &str) -> Row {
    let (letter, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    Row {
        letter: letter.chars().next().unwrap(),
        texts: literals(rest),
    }
}

/// The string literals of a source text, as they read.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut chars = source.chars();
    while chars.by_ref().any(|c| c == '"') {
        let mut literal = String::new();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => match chars.next() {
                    Some('\n') => {
                        let indented = chars.as_str();
                        chars = indented.trim_start().chars();
                    }
                    Some(escaped) => literal.push(escaped),
                    None => {}
                },
                c => literal.push(c),
            }
        }
        found.push(literal);
    }
    found
}

#[test]
fn rows_are_read_from_source_as_they_read() {
    let source = r#"
        pub(crate) const X_ROWS: [Row; 2] = [
            Row { letter: 'a', when: "one \"two\"", verdict: V::A, reason: "three \
                four" },
            Row { letter: 'b', when: "five", verdict: V::B, reason: "six" },
        ];
        const OTHER: u8 = 1;
    "#;
    let tables = tables_in(source);
    assert_eq!(tables.len(), 1);
    let (name, rows) = &tables[0];
    assert_eq!(name, "x");
    assert_eq!(as_line(&rows[0]), r#"| a | one "two" | three four |"#);
    assert_eq!(as_line(&rows[1]), "| b | five | six |");
    let chapter = "<!-- rows: x -->\n\n| | when | reason |\n|---|---|---|\n| a | p | q |\n\nmore\n";
    assert_eq!(rows_in_the_chapter(chapter, "x"), [["a", "p", "q"]]);
}

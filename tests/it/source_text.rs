//! Rust source as the architecture check wants to see it: no comments, no strings, no test code.
//!
//! This works on text, not on a syntax tree. It is enough to find paths, because comments, literals and
//! `#[cfg(test)]` items are the only places where a path is written that is no arrow.

/// The text with comments and the insides of literals turned to blanks, and `#[cfg(test)]` items too.
/// Line breaks stay, so that line numbers do.
pub(crate) fn shipped_code(text: &str) -> String {
    without_test_items(&without_comments_and_literals(text))
}

/// The line, counted from one, of a byte position.
pub(crate) fn line_of(text: &str, position: usize) -> usize {
    text[..position].matches('\n').count() + 1
}

/// Positions where `word` stands as a whole word.
pub(crate) fn positions_of_word<'a>(
    text: &'a str,
    word: &'a str,
) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| {
            let before = text[..at].chars().next_back();
            let after = text[at + word.len()..].chars().next();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn without_comments_and_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = blank_until(&chars, at);
        if end > at {
            out.extend(
                chars[at..end]
                    .iter()
                    .map(|&c| if c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself if none starts there.
fn blank_until(chars: &[char], at: usize) -> usize {
    let starts = |s: &str| {
        s.chars()
            .enumerate()
            .all(|(i, c)| chars.get(at + i) == Some(&c))
    };
    let after_word = at > 0 && is_word(chars[at - 1]);
    if starts("//") {
        (at..chars.len())
            .find(|&i| chars[i] == '\n')
            .unwrap_or(chars.len())
    } else if starts("/*") {
        block_comment_end(chars, at)
    } else if starts("\"") {
        string_end(chars, at + 1)
    } else if !after_word && (starts("r\"") || starts("r#\"") || starts("r##")) {
        raw_string_end(chars, at + 1)
    } else if !after_word && (starts("br\"") || starts("br#")) {
        raw_string_end(chars, at + 2)
    } else if starts("'") {
        char_end(chars, at)
    } else {
        at
    }
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => {
                depth += 1;
                at += 2;
            }
            ('*', '/') => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], start: usize) -> usize {
    let hashes = chars[start..].iter().take_while(|&&c| c == '#').count();
    let body = start + hashes;
    if chars.get(body) != Some(&'"') {
        return start - 1; // a raw identifier
    }
    let closes = |i: usize| {
        chars[i] == '"'
            && chars
                .iter()
                .skip(i + 1)
                .take(hashes)
                .filter(|&&c| c == '#')
                .count()
                == hashes
    };
    (body + 1..chars.len())
        .find(|&i| closes(i))
        .map_or(chars.len(), |i| i + 1 + hashes)
}

/// A character literal; a lifetime is left as it is.
fn char_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => (at + 3..chars.len())
            .find(|&i| chars[i] == '\'')
            .map_or(chars.len(), |i| i + 1),
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

fn without_test_items(text: &str) -> String {
    let mut out = text.to_owned();
    while let Some(start) = ["#[cfg(test)]", "#[cfg(all(test"]
        .iter()
        .filter_map(|a| out.find(a))
        .min()
    {
        let end = item_end(&out, start);
        let blank: String = out[start..end]
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        out.replace_range(start..end, &blank);
    }
    out
}

/// The end of the item whose first attribute starts at `start`: its `;`, or the brace that closes it.
fn item_end(text: &str, start: usize) -> usize {
    let mut depth = 0_i32;
    let mut in_item = false;
    for (at, c) in text[start..].char_indices().map(|(i, c)| (start + i, c)) {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        in_item |= depth == 0 && c.is_alphabetic();
        let closed = depth == 0 && in_item;
        let followed_by_semicolon = || text[at + 1..].trim_start().starts_with(';');
        if closed && (c == ';' || c == '}' && !followed_by_semicolon()) {
            return at + 1;
        }
    }
    text.len()
}

#[test]
fn comments_strings_and_test_items_are_blanks() {
    let text = concat!(
        "// crate::a\n/* crate::b /* x */ */ let s = \"crate::c \\\" crate::d\";\n",
        "let r = r#\"crate::e \" \"#; let c = '\"'; let l: &'static str = b;\n",
        "#[cfg(test)]\n#[path = \"x\"]\nmod tests {\n  use crate::f::{g};\n}\n",
        "#[cfg(test)]\nuse crate::h::{i, j};\nuse crate::kept;\n",
    );
    let shipped = shipped_code(text);
    assert_eq!(shipped.matches("crate::").count(), 1, "{shipped}");
    assert!(shipped.contains("use crate::kept;"));
    assert!(shipped.contains("&'static str"));
    assert_eq!(shipped.lines().count(), text.lines().count());
}

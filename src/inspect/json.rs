//! JSON lines as `serde_json` writes them: no spaces, only quotes, backslashes and control characters escaped.
//!
//! The keys keep the order in which they are put, which the comparison with Kafka's own dump needs.

use std::fmt::Write;

/// One object on one line.
#[derive(Debug, Default)]
pub(super) struct JsonLine {
    text: String,
}

impl JsonLine {
    pub(super) fn new() -> Self {
        Self {
            text: "{".to_owned(),
        }
    }

    pub(super) fn text(self, key: &str, value: &str) -> Self {
        self.put(key, |text| push_string(text, value))
    }

    pub(super) fn number(self, key: &str, value: impl Into<i128>) -> Self {
        let value = value.into();
        self.put(key, |text| push_display(text, value))
    }

    pub(super) fn boolean(self, key: &str, value: bool) -> Self {
        self.put(key, |text| push_display(text, value))
    }

    pub(super) fn null(self, key: &str) -> Self {
        self.put(key, |text| text.push_str("null"))
    }

    pub(super) fn number_or_null(self, key: &str, value: Option<impl Into<i128>>) -> Self {
        match value {
            Some(value) => self.number(key, value),
            None => self.null(key),
        }
    }

    pub(super) fn hex(self, key: &str, bytes: Option<&[u8]>) -> Self {
        self.put(key, |text| push_hex(text, bytes))
    }

    /// A list of pairs of a name and bytes.
    pub(super) fn headers<'a>(
        self,
        key: &str,
        headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) -> Self {
        self.put(key, |text| {
            text.push('[');
            for (index, (name, value)) in headers.enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push('[');
                push_string(text, name);
                text.push(',');
                push_hex(text, value);
                text.push(']');
            }
            text.push(']');
        })
    }

    fn put(mut self, key: &str, value: impl FnOnce(&mut String)) -> Self {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        push_string(&mut self.text, key);
        self.text.push(':');
        value(&mut self.text);
        self
    }

    /// The line, its end included.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("}\n");
        self.text
    }
}

fn push_display(text: &mut String, value: impl std::fmt::Display) {
    write!(text, "{value}").expect("writing to a String does not fail");
}

fn push_hex(text: &mut String, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else {
        text.push_str("null");
        return;
    };
    text.push('"');
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).expect("four bits are one hex digit"));
        }
    }
    text.push('"');
}

fn push_string(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            control if control < ' ' => {
                write!(text, "\\u{:04x}", u32::from(control))
                    .expect("writing to a String does not fail");
            }
            plain => text.push(plain),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_what_was_put_whatever_the_characters() {
        let name = "a\"b\\c\n\r\t\u{8}\u{c}\u{1}\u{1f}ä\u{1F600}\u{2028}";
        let line = JsonLine::new()
            .text("text", name)
            .number("number", i64::MIN)
            .boolean("flag", true)
            .null("nothing")
            .hex("bytes", Some(&[0, 255, 16]))
            .headers(
                "headers",
                [(name, None), ("b", Some(&[1u8][..]))].into_iter(),
            )
            .finish();
        let read: serde_json::Value = serde_json::from_str(&line).expect("valid JSON");
        assert_eq!(read["text"], name);
        assert_eq!(read["number"], i64::MIN);
        assert_eq!(read["bytes"], "00ff10");
        assert_eq!(read["headers"][0][0], name);
        assert_eq!(read["headers"][1][1], "01");
        assert_eq!(JsonLine::new().text("k", name).finish().trim_end(), {
            let mut map = serde_json::Map::new();
            map.insert("k".to_owned(), name.into());
            serde_json::to_string(&map).expect("a map of text")
        });
    }
}

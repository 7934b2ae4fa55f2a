//! A record as a line of JSON, in and out: `{"key":…,"value":…,"headers":[[name,…]],"timestamp":ms}`.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use stratalog::{StoredRecord, Timestamp};

/// A record read from a line. Only `value` is required; `null` is a tombstone and wants a key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) headers: Vec<(String, Option<String>)>,
    pub(crate) timestamp: Option<Timestamp>,
}

impl Line {
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let Value::Object(mut object) = serde_json::from_str(text).context("this is no JSON")?
        else {
            bail!("a record is a JSON object");
        };
        let value = object.remove("value").context("\"value\" is missing")?;
        let line = Self {
            value: text_or_null("value", value)?,
            key: text_or_null("key", object.remove("key").unwrap_or(Value::Null))?,
            headers: headers(object.remove("headers").unwrap_or(Value::Null))?,
            timestamp: timestamp(object.remove("timestamp").unwrap_or(Value::Null))?,
        };
        if let Some((name, _)) = object.iter().next() {
            bail!("{name:?} is no field of a record: key, value, headers, timestamp");
        }
        if line.value.is_none() && line.key.is_none() {
            bail!("a record with \"value\": null deletes a key, and has no \"key\"");
        }
        Ok(line)
    }
}

fn text_or_null(name: &str, value: Value) -> anyhow::Result<Option<String>> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => bail!("{name:?} is neither a string nor null"),
    }
}

fn headers(value: Value) -> anyhow::Result<Vec<(String, Option<String>)>> {
    let list = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(list) => list,
        _ => bail!("\"headers\" is no list of [name, value] pairs"),
    };
    list.into_iter()
        .map(
            |pair| match <[Value; 2]>::try_from(pair.as_array().cloned().unwrap_or_default()) {
                Ok([Value::String(name), value]) => Ok((name, text_or_null("headers", value)?)),
                _ => bail!("\"headers\" is no list of [name, value] pairs"),
            },
        )
        .collect()
}

fn timestamp(value: Value) -> anyhow::Result<Option<Timestamp>> {
    match value {
        Value::Null => Ok(None),
        value => match value.as_i64() {
            Some(millis) => Ok(Some(Timestamp::from_millis(millis))),
            None => bail!("\"timestamp\" is no whole number of milliseconds"),
        },
    }
}

/// The same object, with where the record stands. What is not UTF-8 is shown with replacement characters.
pub(crate) fn to_json(record: &StoredRecord, partition: u32) -> String {
    let text = |bytes: Option<&[u8]>| json!(bytes.map(String::from_utf8_lossy));
    let headers: Vec<Value> = record
        .headers()
        .map(|header| json!([header.key, text(header.value)]))
        .collect();
    // Written field by field, because a map would sort them.
    format!(
        r#"{{"partition":{partition},"offset":{},"timestamp":{},"key":{},"value":{},"headers":{}}}"#,
        record.offset(),
        json!(record.timestamp().map(Timestamp::as_millis)),
        text(record.key()),
        text(record.value()),
        Value::Array(headers),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_value_is_required() {
        let line = Line::parse(r#"{"value":"v"}"#).expect("a record");
        assert_eq!(
            line,
            Line {
                value: Some("v".to_owned()),
                ..Line::default()
            }
        );
        let line = Line::parse(
            r#"{"value":null,"key":"k","headers":[["a","b"],["c",null]],"timestamp":-5}"#,
        )
        .expect("a tombstone");
        assert_eq!(
            line.headers,
            [
                ("a".to_owned(), Some("b".to_owned())),
                ("c".to_owned(), None)
            ]
        );
        assert_eq!(line.timestamp, Some(Timestamp::from_millis(-5)));
    }

    #[test]
    fn a_line_that_is_no_record_is_refused_with_the_reason() {
        for (text, reason) in [
            ("x", "JSON"),
            ("[]", "object"),
            ("{}", "missing"),
            (r#"{"value":1}"#, "string"),
            (r#"{"value":"v","kee":"k"}"#, "kee"),
            (r#"{"value":null}"#, "deletes"),
            (r#"{"value":"v","headers":[["a"]]}"#, "pairs"),
            (r#"{"value":"v","timestamp":"now"}"#, "milliseconds"),
        ] {
            let error = format!("{:#}", Line::parse(text).expect_err(text));
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}

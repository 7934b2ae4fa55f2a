//! Options as `key=value` in Kafka's names, and through serde as a map of them.

use std::time::Duration;

use super::{FsyncPolicy, HighWatermark, TopicOptions, WritePath, millis, out_of_range};
use crate::batch::TimestampType;
use crate::compress::{Compression, Level};
use crate::error::{Error, ErrorKind, Result};

impl TopicOptions {
    /// All options as `key=value` in Kafka's names.
    pub(crate) fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let unlimited = || "-1".to_owned();
        let (codec, level) = compression_pairs(self.compression);
        let mut pairs = vec![
            ("num.partitions", self.partitions.to_string()),
            ("segment.bytes", self.segment_bytes.to_string()),
            ("segment.ms", self.segment_ms.to_string()),
            ("segment.jitter.ms", self.segment_jitter_ms.to_string()),
            ("segment.index.bytes", self.segment_index_bytes.to_string()),
            (
                "index.interval.bytes",
                self.index_interval_bytes.to_string(),
            ),
            ("max.message.bytes", self.max_message_bytes.to_string()),
            (
                "retention.ms",
                self.retention
                    .time
                    .map_or_else(unlimited, |time| millis(time).to_string()),
            ),
            (
                "retention.bytes",
                self.retention
                    .bytes
                    .map_or_else(unlimited, |bytes| bytes.to_string()),
            ),
            ("stratalog.fsync", fsync_text(self.fsync)),
            (
                "stratalog.high.watermark",
                name_of(&HIGH_WATERMARKS, self.high_watermark),
            ),
            (
                "stratalog.write.path",
                name_of(&WRITE_PATHS, self.write_path),
            ),
            ("compression.type", codec.to_owned()),
            (
                "message.timestamp.type",
                name_of(&TIMESTAMP_TYPES, self.timestamp_type),
            ),
            (
                "message.timestamp.before.max.ms",
                self.timestamp_before_max_ms.to_string(),
            ),
            (
                "message.timestamp.after.max.ms",
                self.timestamp_after_max_ms.to_string(),
            ),
            (
                "stratalog.max.decompressed.bytes",
                self.max_decompressed_bytes.to_string(),
            ),
            (
                "producer.id.expiration.ms",
                self.producer_expiration_ms.to_string(),
            ),
        ];
        pairs.extend(level);
        pairs
    }

    /// Sets one option by Kafka's name.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is no option here, or a value that is none of its kind.
    pub(crate) fn set_pair(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "num.partitions" => self.partitions = number(key, value)?,
            "segment.bytes" => self.segment_bytes = number(key, value)?,
            "segment.ms" => self.segment_ms = number(key, value)?,
            "segment.jitter.ms" => self.segment_jitter_ms = number(key, value)?,
            "segment.index.bytes" => self.segment_index_bytes = number(key, value)?,
            "index.interval.bytes" => self.index_interval_bytes = number(key, value)?,
            "max.message.bytes" => self.max_message_bytes = number(key, value)?,
            "retention.ms" => self.retention.time = bound(key, value)?.map(Duration::from_millis),
            "retention.bytes" => self.retention.bytes = bound(key, value)?,
            "stratalog.fsync" => self.fsync = parse_fsync(value)?,
            "stratalog.high.watermark" => {
                self.high_watermark = named(key, &HIGH_WATERMARKS, value)?;
            }
            "stratalog.write.path" => self.write_path = named(key, &WRITE_PATHS, value)?,
            "compression.type" => self.compression = parse_codec(value)?,
            "compression.gzip.level" => {
                let level = Level::gzip(number(key, value)?)?;
                if let Compression::Gzip(_) = self.compression {
                    self.compression = Compression::Gzip(level);
                }
            }
            "compression.zstd.level" => {
                let level = Level::zstd(number(key, value)?)?;
                if let Compression::Zstd(_) = self.compression {
                    self.compression = Compression::Zstd(level);
                }
            }
            // lz4_flex has no levels: the option is taken, so that Kafka's settings load, and has no effect.
            "compression.lz4.level" => {
                Level::lz4(number(key, value)?)?;
            }
            "message.timestamp.type" => self.timestamp_type = named(key, &TIMESTAMP_TYPES, value)?,
            "message.timestamp.before.max.ms" => self.timestamp_before_max_ms = number(key, value)?,
            "message.timestamp.after.max.ms" => self.timestamp_after_max_ms = number(key, value)?,
            "stratalog.max.decompressed.bytes" => self.max_decompressed_bytes = number(key, value)?,
            "producer.id.expiration.ms" => self.producer_expiration_ms = number(key, value)?,
            _ => {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("{key}={value}: no option of that name exists"),
                )
                .remedy("see the setters of TopicOptions for the names"));
            }
        }
        Ok(())
    }

    /// Defaults changed by pairs; `compression.type` counts before the levels, wherever it stands.
    pub(crate) fn from_pairs<'a>(
        pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<Self> {
        let mut options = Self::default();
        let is_codec = |key: &str| key == "compression.type";
        for (key, value) in pairs.clone().filter(|(key, _)| is_codec(key)) {
            options.set_pair(key, value)?;
        }
        for (key, value) in pairs.filter(|(key, _)| !is_codec(key)) {
            options.set_pair(key, value)?;
        }
        Ok(options)
    }
}

const HIGH_WATERMARKS: [(&str, HighWatermark); 3] = [
    ("end", HighWatermark::End),
    ("durable", HighWatermark::Durable),
    ("external", HighWatermark::External),
];

const WRITE_PATHS: [(&str, WritePath); 3] = [
    ("auto", WritePath::Auto),
    ("positional", WritePath::Positional),
    ("mapped", WritePath::Mapped),
];

const TIMESTAMP_TYPES: [(&str, TimestampType); 2] = [
    ("CreateTime", TimestampType::CreateTime),
    ("LogAppendTime", TimestampType::LogAppendTime),
];

fn name_of<T: PartialEq + Copy, const N: usize>(
    names: &[(&'static str, T); N],
    value: T,
) -> String {
    let found = names.iter().find(|(_, known)| *known == value);
    found.map_or("", |(name, _)| *name).to_owned()
}

fn named<T: Copy, const N: usize>(
    key: &str,
    names: &[(&'static str, T); N],
    text: &str,
) -> Result<T> {
    match names.iter().find(|(name, _)| *name == text) {
        Some((_, value)) => Ok(*value),
        None => {
            let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            Err(out_of_range(key, text, &names.join(", ")))
        }
    }
}

fn number<T: std::str::FromStr>(key: &str, text: &str) -> Result<T> {
    text.parse()
        .map_err(|_| out_of_range(key, text, "a whole number of its size"))
}

/// A bound for which Kafka writes -1 when there is none.
fn bound(key: &str, text: &str) -> Result<Option<u64>> {
    let value: i64 = number(key, text)?;
    match u64::try_from(value) {
        Ok(value) => Ok(Some(value)),
        Err(_) if value == -1 => Ok(None),
        Err(_) => Err(out_of_range(key, text, "-1 (no bound) and up")),
    }
}

fn fsync_text(policy: FsyncPolicy) -> String {
    match policy {
        FsyncPolicy::Never => "never".to_owned(),
        FsyncPolicy::Always => "always".to_owned(),
        FsyncPolicy::Interval(every) => format!("interval:{}", every.as_millis()),
        FsyncPolicy::Bytes(bytes) => format!("bytes:{bytes}"),
        FsyncPolicy::Records(records) => format!("records:{records}"),
    }
}

fn parse_fsync(text: &str) -> Result<FsyncPolicy> {
    let key = "stratalog.fsync";
    match text.split_once(':') {
        None if text == "never" => Ok(FsyncPolicy::Never),
        None if text == "always" => Ok(FsyncPolicy::Always),
        Some(("interval", ms)) => Ok(FsyncPolicy::Interval(Duration::from_millis(number(
            key, ms,
        )?))),
        Some(("bytes", bytes)) => Ok(FsyncPolicy::Bytes(number(key, bytes)?)),
        Some(("records", records)) => Ok(FsyncPolicy::Records(number(key, records)?)),
        _ => Err(out_of_range(
            key,
            text,
            "never, always, interval:MS, bytes:N, records:N",
        )),
    }
}

fn compression_pairs(compression: Compression) -> (&'static str, Option<(&'static str, String)>) {
    match compression {
        Compression::None => ("uncompressed", None),
        Compression::Gzip(level) => (
            "gzip",
            Some(("compression.gzip.level", level.get().to_string())),
        ),
        Compression::Snappy => ("snappy", None),
        Compression::Lz4 => ("lz4", None),
        Compression::Zstd(level) => (
            "zstd",
            Some(("compression.zstd.level", level.get().to_string())),
        ),
    }
}

/// "producer" means that the codec is the producer's choice, who is the caller here.
fn parse_codec(text: &str) -> Result<Compression> {
    if text == "producer" {
        Ok(Compression::None)
    } else {
        text.parse()
    }
}

#[cfg(feature = "serde")]
mod with_serde {
    //! A map from Kafka's names to values, numbers or text.

    use std::collections::BTreeMap;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::TopicOptions;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Number(i64),
        Text(String),
    }

    impl Serialize for TopicOptions {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.to_pairs()
                .into_iter()
                .collect::<BTreeMap<_, _>>()
                .serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for TopicOptions {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let map = BTreeMap::<String, Value>::deserialize(deserializer)?;
            let pairs: Vec<(String, String)> = map
                .into_iter()
                .map(|(key, value)| match value {
                    Value::Number(number) => (key, number.to_string()),
                    Value::Text(text) => (key, text),
                })
                .collect();
            let pairs = pairs
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()));
            TopicOptions::from_pairs(pairs).map_err(D::Error::custom)
        }
    }
}

//! The settings under test, as they stand on the command line of the tool and of its child.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use stratalog::{Compression, FsyncPolicy, Level, Retention, TopicOptions};

use super::value::HEADER_BYTES;

/// What the child does, and what the report repeats.
#[derive(Args, Clone, Debug)]
pub(crate) struct Settings {
    /// never, always, interval:MS, bytes:N or records:N.
    #[arg(long, default_value = "never")]
    pub(crate) fsync: Fsync,
    /// segment.bytes: small segments roll often.
    #[arg(long, default_value_t = 1 << 20)]
    pub(crate) segment_bytes: u32,
    /// Threads that append at the same time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) writers: u32,
    /// Partitions of the topic; every writer appends to all of them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) partitions: u32,
    /// Bytes of a value, N or LOW:HIGH, from 36 up.
    #[arg(long, default_value = "36:400")]
    pub(crate) value_bytes: Sizes,
    /// Records of one append.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batch: u32,
    /// none, gzip, snappy, lz4 or zstd.
    #[arg(long, default_value = "none")]
    pub(crate) compression: Codec,
    /// retention.bytes of a partition; without it nothing is dropped but what the test itself trims.
    #[arg(long)]
    pub(crate) retention_bytes: Option<u64>,
    /// retention.ms of a partition.
    #[arg(long)]
    pub(crate) retention_ms: Option<u64>,
    /// Draws moments, sizes and faults; without it the clock gives one, which is printed.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

impl Settings {
    pub(crate) fn topic_options(&self) -> TopicOptions {
        let mut retention = Retention::unlimited();
        if let Some(bytes) = self.retention_bytes {
            retention = retention.bytes(bytes);
        }
        if let Some(ms) = self.retention_ms {
            retention = retention.time(Duration::from_millis(ms));
        }
        TopicOptions::default()
            .partitions(self.partitions)
            .segment_bytes(self.segment_bytes)
            .fsync(self.fsync.policy)
            .compression(self.compression.compression)
            .retention(retention)
    }

    pub(crate) fn drops_by_itself(&self) -> bool {
        self.retention_bytes.is_some() || self.retention_ms.is_some()
    }

    /// The same settings as words of a command line.
    pub(crate) fn words(&self, seed: u64) -> Vec<String> {
        let mut words = Vec::new();
        let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        option("fsync", self.fsync.text.clone());
        option("segment-bytes", self.segment_bytes.to_string());
        option("writers", self.writers.to_string());
        option("partitions", self.partitions.to_string());
        option(
            "value-bytes",
            format!("{}:{}", self.value_bytes.low, self.value_bytes.high),
        );
        option("batch", self.batch.to_string());
        option("compression", self.compression.text.clone());
        if let Some(bytes) = self.retention_bytes {
            option("retention-bytes", bytes.to_string());
        }
        if let Some(ms) = self.retention_ms {
            option("retention-ms", ms.to_string());
        }
        option("seed", seed.to_string());
        words
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Fsync {
    pub(crate) policy: FsyncPolicy,
    text: String,
}

impl FromStr for Fsync {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let number = |number: &str| {
            number
                .parse::<u64>()
                .with_context(|| format!("{number:?} is no number"))
        };
        let policy = match text.split_once(':') {
            None if text == "never" => FsyncPolicy::Never,
            None if text == "always" => FsyncPolicy::Always,
            Some(("interval", ms)) => FsyncPolicy::Interval(Duration::from_millis(number(ms)?)),
            Some(("bytes", bytes)) => FsyncPolicy::Bytes(number(bytes)?),
            Some(("records", records)) => FsyncPolicy::Records(number(records)?),
            _ => bail!("neither never, always, interval:MS, bytes:N nor records:N"),
        };
        Ok(Self {
            policy,
            text: text.to_owned(),
        })
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Codec {
    compression: Compression,
    text: String,
}

impl FromStr for Codec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let compression = match text {
            "none" => Compression::None,
            "gzip" => Compression::Gzip(Level::default_gzip()),
            "snappy" => Compression::Snappy,
            "lz4" => Compression::Lz4,
            "zstd" => Compression::Zstd(Level::default_zstd()),
            _ => bail!("neither none, gzip, snappy, lz4 nor zstd"),
        };
        Ok(Self {
            compression,
            text: text.to_owned(),
        })
    }
}

impl Codec {
    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }
}

/// From `low` to `high` bytes, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sizes {
    pub(crate) low: u32,
    pub(crate) high: u32,
}

impl FromStr for Sizes {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (low, high) = text.split_once(':').unwrap_or((text, text));
        let (low, high) = (low.parse()?, high.parse()?);
        if low < HEADER_BYTES || high < low || high > MOST_VALUE_BYTES {
            bail!("N or LOW:HIGH, from {HEADER_BYTES} to {MOST_VALUE_BYTES}");
        }
        Ok(Self { low, high })
    }
}

const MOST_VALUE_BYTES: u32 = 1 << 19;

/// `500ms`, `60s`, `5m`, `8h`.
pub(crate) fn duration(text: &str) -> anyhow::Result<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .context("a time is a number with ms, s, m or h, for instance 60s")?;
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => bail!("a time is a number with ms, s, m or h, for instance 60s"),
    };
    let ms = number.checked_mul(unit_ms).context("too long")?;
    Ok(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sizes_and_policies_are_read_and_others_refused() {
        assert_eq!(duration("90s").ok(), Some(Duration::from_secs(90)));
        assert_eq!(duration("2m").ok(), Some(Duration::from_secs(120)));
        assert_eq!(duration("15ms").ok(), Some(Duration::from_millis(15)));
        for wrong in ["", "s", "5", "5d", "-1s", "99999999999999999999h"] {
            duration(wrong).expect_err(wrong);
        }
        assert_eq!(
            "40:50".parse::<Sizes>().ok(),
            Some(Sizes { low: 40, high: 50 })
        );
        for wrong in ["1", "50:40", "x", "40:99999999"] {
            wrong.parse::<Sizes>().expect_err(wrong);
        }
        for (text, policy) in [
            ("never", FsyncPolicy::Never),
            ("always", FsyncPolicy::Always),
            (
                "interval:5",
                FsyncPolicy::Interval(Duration::from_millis(5)),
            ),
            ("bytes:7", FsyncPolicy::Bytes(7)),
            ("records:9", FsyncPolicy::Records(9)),
        ] {
            assert_eq!(text.parse::<Fsync>().expect(text).policy, policy);
        }
        "sometimes".parse::<Fsync>().expect_err("no policy");
    }
}

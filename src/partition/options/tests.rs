use super::*;
use crate::compress::Level;

fn check_refused(options: TopicOptions, words: [&str; 3]) {
    let error = options.validate().expect_err("out of range");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    for word in words {
        assert!(error.to_string().contains(word), "{error} lacks {word}");
    }
}

#[test]
fn defaults_are_in_range_and_come_back_from_their_pairs() {
    let options = TopicOptions::default();
    options.validate().expect("defaults");
    let pairs = options.to_pairs();
    let read = TopicOptions::from_pairs(pairs.iter().map(|(k, v)| (*k, v.as_str())));
    assert_eq!(read.expect("own pairs"), options);
}

#[test]
fn every_option_comes_back_from_its_pair() {
    let options = TopicOptions::default()
        .partitions(7)
        .segment_bytes(1 << 20)
        .segment_age(Duration::from_secs(9))
        .segment_jitter(Duration::from_secs(1))
        .segment_index_bytes(4_096)
        .index_interval_bytes(0)
        .max_message_bytes(5_000)
        .retention(Retention::unlimited().bytes(77))
        .fsync(FsyncPolicy::Interval(Duration::from_millis(250)))
        .high_watermark(HighWatermark::External)
        .write_path(WritePath::Positional)
        .compression(Compression::Zstd(Level::zstd(-5).expect("in range")))
        .timestamp_type(TimestampType::LogAppendTime)
        .timestamp_before_max(Duration::from_secs(3))
        .timestamp_after_max(Duration::from_secs(4))
        .max_decompressed_bytes(1 << 16)
        .producer_expiration(Duration::from_secs(60));
    options.validate().expect("in range");
    let pairs = options.to_pairs();
    let usual = TopicOptions::default().to_pairs();
    for key in [
        "num.partitions",
        "segment.bytes",
        "segment.ms",
        "segment.jitter.ms",
        "segment.index.bytes",
        "index.interval.bytes",
        "max.message.bytes",
        "retention.bytes",
        "stratalog.fsync",
        "stratalog.high.watermark",
        "stratalog.write.path",
        "compression.type",
        "message.timestamp.type",
        "message.timestamp.before.max.ms",
        "message.timestamp.after.max.ms",
        "stratalog.max.decompressed.bytes",
        "producer.id.expiration.ms",
    ] {
        let value = |pairs: &[(&'static str, String)]| {
            let found = pairs.iter().find(|(name, _)| *name == key);
            found.map(|(_, value)| value.clone())
        };
        assert!(value(&pairs).is_some(), "{key} is not told");
        assert_ne!(value(&pairs), value(&usual), "the setter of {key}");
    }
    let read = TopicOptions::from_pairs(pairs.iter().rev().map(|(k, v)| (*k, v.as_str())));
    assert_eq!(read.expect("own pairs"), options);
}

#[test]
fn an_option_out_of_range_is_refused_with_its_name_value_and_range() {
    let options = TopicOptions::default();
    check_refused(
        options.clone().segment_bytes(13),
        ["segment.bytes", "13", "1024 to 2147483647"],
    );
    check_refused(
        options.clone().partitions(0),
        ["num.partitions", "0", "1 to 100000"],
    );
    check_refused(
        options.clone().segment_age(Duration::ZERO),
        ["segment.ms", "0", "1 to"],
    );
    check_refused(
        options.fsync(FsyncPolicy::Bytes(0)),
        ["stratalog.fsync", "0", "1 upward"],
    );
}

#[test]
fn a_level_for_a_codec_without_levels_is_taken_and_changes_nothing() {
    let mut options = TopicOptions::default().compression(Compression::Lz4);
    let before = options.clone();
    options
        .set_pair("compression.lz4.level", "9")
        .expect("Kafka's default");
    assert_eq!(options, before);
}

#[test]
fn an_unknown_name_and_a_wrong_value_are_refused_by_name() {
    for (key, value) in [
        ("segment.byte", "1"),
        ("segment.bytes", "much"),
        ("retention.ms", "-2"),
        ("stratalog.fsync", "sometimes"),
        ("compression.type", "brotli"),
        ("compression.lz4.level", "18"),
    ] {
        let error = TopicOptions::default().set_pair(key, value).expect_err(key);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error.to_string().contains(key) && error.to_string().contains(value),
            "{error}"
        );
    }
}

#[cfg(feature = "serde")]
#[test]
fn kafkas_names_deserialise_with_numbers_or_text() {
    let json = r#"{"segment.bytes": 1048576, "retention.ms": "-1", "compression.type": "lz4"}"#;
    let options: TopicOptions = serde_json::from_str(json).expect("Kafka's names");
    let expected = TopicOptions::default()
        .segment_bytes(1 << 20)
        .retention(Retention::unlimited())
        .compression(Compression::Lz4);
    assert_eq!(options, expected);
    let again = serde_json::to_string(&options).expect("a map");
    assert_eq!(
        serde_json::from_str::<TopicOptions>(&again).expect("own text"),
        options
    );
}

//! What time a record gets, and which times of its own it may bring.

use bytes::Bytes;

use super::super::TopicOptions;
use crate::batch::{BatchHeader, RecordBatch, TimestampType, UnverifiedBatch};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::MAX_TIMESTAMP_REPEAT_MS;
use crate::timestamp::Timestamp;

/// A time that the log gives to records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Assigned {
    pub(super) at: Timestamp,
    /// The clock was so far behind the last assigned time that it is believed.
    pub(super) clock_stepped_back: bool,
}

/// Assigned times are monotone as long as the clock is at most [`MAX_TIMESTAMP_REPEAT_MS`] behind the last one, which is repeated
/// then. A larger step is believed: repeating it would stamp a wrong time for as long as the clock was wrong before.
pub(super) fn assign_time(last: Option<Timestamp>, now: Timestamp) -> Assigned {
    let behind_ms = last.map_or(0, |last| {
        last.as_millis().saturating_sub(now.as_millis()).max(0)
    });
    let clock_stepped_back = behind_ms > MAX_TIMESTAMP_REPEAT_MS;
    let at = match last {
        Some(last) if !clock_stepped_back => last.max(now),
        _ => now,
    };
    Assigned {
        at,
        clock_stepped_back,
    }
}

/// `message.timestamp.after.max.ms` and `message.timestamp.before.max.ms` (KIP-937). A topic that stamps the time of the append takes any.
pub(super) fn check_record_time(
    options: &TopicOptions,
    at: Timestamp,
    now: Timestamp,
) -> Result<()> {
    if options.timestamp_type == TimestampType::LogAppendTime {
        return Ok(());
    }
    let ahead_ms = at.as_millis().saturating_sub(now.as_millis());
    let (limit_ms, name) = if ahead_ms > options.timestamp_after_max_ms {
        (
            options.timestamp_after_max_ms,
            "ahead of the clock (message.timestamp.after.max.ms)",
        )
    } else if ahead_ms.saturating_neg() > options.timestamp_before_max_ms {
        (
            options.timestamp_before_max_ms,
            "behind the clock (message.timestamp.before.max.ms)",
        )
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("the timestamp {at} is more than {limit_ms} ms {name}, which shows {now}"),
    )
    .remedy("correct the timestamp or the clock, or raise the limit"))
}

/// Whether a topic bounds how old a record may be; looking at each record costs a walk over the batch.
pub(super) fn bounds_the_past(options: &TopicOptions) -> bool {
    options.timestamp_type == TimestampType::CreateTime
        && options.timestamp_before_max_ms < i64::MAX
}

/// The earliest record of an encoded batch of our own.
pub(super) fn check_earliest(options: &TopicOptions, encoded: &[u8], now: Timestamp) -> Result<()> {
    if !bounds_the_past(options) {
        return Ok(());
    }
    let header = BatchHeader::read(encoded)
        .map_err(|_| Error::new(ErrorKind::Corrupt, "the batch cannot be read"))?;
    let batch = UnverifiedBatch::new(Bytes::copy_from_slice(encoded), header).verify()?;
    check_each(options, &batch, now)
}

pub(super) fn check_each(
    options: &TopicOptions,
    batch: &RecordBatch,
    now: Timestamp,
) -> Result<()> {
    for record in batch.records() {
        if let Some(at) = record?.timestamp() {
            check_record_time(options, at, now)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: i64) -> Timestamp {
        Timestamp::from_millis(value)
    }

    #[test]
    fn an_assigned_time_repeats_the_last_one_up_to_a_minute_behind_it() {
        let minute = MAX_TIMESTAMP_REPEAT_MS;
        let rows = [
            (None, 100_000, 100_000, false),
            (Some(100_000), 100_001, 100_001, false),
            (Some(100_000), 100_000, 100_000, false),
            (Some(100_000), 99_999, 100_000, false),
            (Some(100_000), 100_000 - minute, 100_000, false),
            (
                Some(100_000),
                100_000 - minute - 1,
                100_000 - minute - 1,
                true,
            ),
        ];
        for (last, now, at, clock_stepped_back) in rows {
            let expected = Assigned {
                at: ms(at),
                clock_stepped_back,
            };
            assert_eq!(
                assign_time(last.map(ms), ms(now)),
                expected,
                "{last:?} {now}"
            );
        }
    }

    #[test]
    fn a_record_may_bring_a_time_within_the_topics_range_only() {
        let options = TopicOptions {
            timestamp_after_max_ms: 10,
            timestamp_before_max_ms: 20,
            ..TopicOptions::default()
        };
        for (at, is_fine) in [(110, true), (111, false), (80, true), (79, false)] {
            let checked = check_record_time(&options, ms(at), ms(100));
            assert_eq!(checked.is_ok(), is_fine, "{at}");
            if let Err(error) = checked {
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                assert!(error.to_string().contains(".max.ms"), "{error}");
            }
        }
        let log_time = TopicOptions {
            timestamp_type: TimestampType::LogAppendTime,
            ..options
        };
        assert!(check_record_time(&log_time, ms(999_999), ms(100)).is_ok());
    }
}

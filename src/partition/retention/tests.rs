use std::time::Duration;

use super::*;
use crate::limits::RETENTION_CHECK_INTERVAL_MS;
use crate::timestamp::Clock;
use crate::timestamp::ManualClock;

const DAY_MS: i64 = 86_400_000;

fn at(value: u64) -> Offset {
    Offset::new(value).unwrap()
}

fn ms(value: i64) -> Timestamp {
    Timestamp::from_millis(value)
}

/// Four segments of ten records and 100 bytes, sealed a day apart, the last one active; now is a day behind the last record.
fn usual() -> Facts {
    let segment = |index: u64| {
        let day = i64::try_from(index).unwrap();
        SegmentFacts {
            base: at(index * 10),
            end: at(index * 10 + 10),
            size_bytes: 100,
            largest_timestamp: Some(ms((day + 1) * DAY_MS)),
            sealed_at: (index < 3).then(|| ms((day + 1) * DAY_MS)),
        }
    };
    Facts {
        segments: (0..4).map(segment).collect(),
        retention: Retention::unlimited(),
        start: at(0),
        high: at(40),
        keep_from: Offset::MAX,
        now: ms(5 * DAY_MS),
        clock: ClockState::Steady,
    }
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86_400)
}

/// The verdicts in short: `-` and a letter for dropped (start, bytes, time), a letter for kept.
fn short(facts: &Facts) -> String {
    let letter = |verdict| match verdict {
        Verdict::Drop(DroppedBecause::BelowStart) => "-s",
        Verdict::Drop(DroppedBecause::Bytes) => "-b",
        Verdict::Drop(DroppedBecause::Time) => "-t",
        Verdict::Keep(KeptBecause::Unlimited) => "u",
        Verdict::Keep(KeptBecause::Active) => "a",
        Verdict::Keep(KeptBecause::HighWatermark) => "h",
        Verdict::Keep(KeptBecause::Consumer) => "c",
        Verdict::Keep(KeptBecause::WithinBounds) => "w",
        Verdict::Keep(KeptBecause::ClockJumped) => "j",
        Verdict::Keep(KeptBecause::BehindAKeptOne) => ".",
    };
    plan(facts).into_iter().map(letter).collect()
}

#[test]
fn each_rule_lets_go_what_it_should_and_says_why_the_rest_stays() {
    let table: Vec<(&str, Facts, &str)> = vec![
        ("nothing is bounded", usual(), "u..."),
        (
            "by time, strictly",
            Facts {
                retention: Retention::unlimited().time(days(2)),
                ..usual()
            },
            "-t-tw.",
        ),
        (
            "by time, all",
            Facts {
                retention: Retention::unlimited().time(days(0)),
                ..usual()
            },
            "-t-t-t-t",
        ),
        (
            "by bytes, never below",
            Facts {
                retention: Retention::unlimited().bytes(250),
                ..usual()
            },
            "-bw..",
        ),
        (
            "by bytes, exactly",
            Facts {
                retention: Retention::unlimited().bytes(200),
                ..usual()
            },
            "-b-bw.",
        ),
        (
            "below the start",
            Facts {
                start: at(20),
                ..usual()
            },
            "-s-su.",
        ),
        (
            "start inside a segment",
            Facts {
                start: at(19),
                ..usual()
            },
            "-su..",
        ),
        (
            "the high watermark pins",
            Facts {
                high: at(15),
                retention: Retention::unlimited().time(days(0)),
                ..usual()
            },
            "-th..",
        ),
        (
            "a consumer pins",
            Facts {
                keep_from: at(12),
                retention: Retention::unlimited().bytes(0),
                ..usual()
            },
            "-bc..",
        ),
        (
            "the owner's word goes before a consumer's need",
            Facts {
                keep_from: at(5),
                start: at(30),
                ..usual()
            },
            "-s-s-sc",
        ),
        (
            "a jumped clock pauses ages",
            Facts {
                clock: ClockState::Jumped,
                retention: Retention::unlimited().time(days(2)),
                ..usual()
            },
            "j...",
        ),
        (
            "a jumped clock does not pause bytes",
            Facts {
                clock: ClockState::Jumped,
                retention: Retention::unlimited().bytes(200),
                ..usual()
            },
            "-b-bw.",
        ),
        (
            "a clock below a seal was set back",
            Facts {
                now: ms(2 * DAY_MS),
                retention: Retention::unlimited().time(days(0)),
                ..usual()
            },
            "j...",
        ),
    ];
    for (name, facts, expected) in table {
        assert_eq!(short(&facts), expected, "{name}");
    }
}

#[test]
fn a_record_from_the_future_pins_nothing_once_its_segment_is_sealed() {
    let mut facts = Facts {
        retention: Retention::unlimited().time(days(2)),
        ..usual()
    };
    facts.segments[0].largest_timestamp = Some(ms(1_000 * DAY_MS));
    assert_eq!(short(&facts), "-t-tw.");
}

/// A directory that comes out of an archive has files that changed in 1970, and no list of seals.
#[test]
fn a_time_of_change_in_the_past_makes_no_segment_older_than_its_records() {
    let mut facts = Facts {
        retention: Retention::unlimited().time(days(10)),
        ..usual()
    };
    for segment in &mut facts.segments {
        segment.sealed_at = Some(ms(0));
    }
    facts.now = ms(11 * DAY_MS);
    assert_eq!(short(&facts), "w...");
}

#[test]
fn an_empty_active_segment_stays_to_preserve_the_end() {
    let mut facts = Facts {
        retention: Retention::unlimited().time(days(0)),
        ..usual()
    };
    facts.segments[3].size_bytes = 0;
    assert_eq!(short(&facts), "-t-t-ta");
}

#[test]
fn a_jump_of_the_clock_pauses_for_one_check_interval() {
    let clock = ManualClock::at(ms(1_000_000));
    let mut watch = ClockWatch::new(&clock);
    let interval = Duration::from_millis(RETENTION_CHECK_INTERVAL_MS);
    clock.advance(interval);
    assert_eq!(watch.look(&clock), ClockState::Steady);
    for jump_ms in [3_600_000, -3_600_000] {
        let wall = Timestamp::from(clock.now());
        clock.set_wall(ms(wall.as_millis() + jump_ms));
        assert_eq!(watch.look(&clock), ClockState::Jumped);
        clock.advance(interval / 2);
        assert_eq!(
            watch.look(&clock),
            ClockState::Jumped,
            "steady for half an interval"
        );
        clock.advance(interval - interval / 2);
        assert_eq!(watch.look(&clock), ClockState::Steady);
    }
    clock.set_wall(ms(Timestamp::from(clock.now()).as_millis() + 30_000));
    assert_eq!(
        watch.look(&clock),
        ClockState::Steady,
        "half a minute is no jump"
    );
}

//! The scenarios: what stands in the log before, and what is under way when an operation fails.

use stratalog::FsyncPolicy::{self, Always, Bytes, Interval, Never, Records};
use stratalog::{Fetch, Offset, ReadUpTo, Result, Start, Timestamp};

use super::run::Run;

#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) policy: FsyncPolicy,
    pub(super) prepare: fn(&mut Run) -> Result<()>,
    /// Ends at the first error.
    pub(super) act: fn(&mut Run) -> Result<()>,
}

const fn scenario(
    name: &'static str,
    policy: FsyncPolicy,
    prepare: fn(&mut Run) -> Result<()>,
    act: fn(&mut Run) -> Result<()>,
) -> Scenario {
    Scenario {
        name,
        policy,
        prepare,
        act,
    }
}

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

fn nothing(_: &mut Run) -> Result<()> {
    Ok(())
}

fn some_batches(run: &mut Run) -> Result<()> {
    run.batches(4)?;
    run.sync()?;
    run.append(50)
}

fn several_segments(run: &mut Run) -> Result<()> {
    run.batches(8)?;
    run.sync()?;
    run.batches(2)
}

fn closed(run: &mut Run) -> Result<()> {
    several_segments(run)?;
    run.close()
}

fn killed(run: &mut Run) -> Result<()> {
    several_segments(run)?;
    run.drop_log();
    Ok(())
}

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario("append, always", Always, nothing, |run| run.appends(4, 100)),
    scenario("append, never", Never, some_batches, |run| {
        run.appends(6, 100)
    }),
    scenario("append, interval", Interval(MINUTE), nothing, |run| {
        run.appends(3, 100)?;
        run.maintain(61)?;
        run.appends(2, 100)
    }),
    scenario("append, bytes", Bytes(300), nothing, |run| {
        run.appends(6, 100)?;
        run.maintain(1)
    }),
    scenario("append, records", Records(2), nothing, |run| {
        run.appends(5, 100)?;
        run.maintain(1)
    }),
    scenario("submit and wait", Never, some_batches, |run| {
        run.submit_and_wait()?;
        run.submit_and_wait()
    }),
    scenario("batch", Always, nothing, |run| run.batches(2)),
    scenario("roll, never", Never, some_batches, |run| run.batches(7)),
    scenario("roll, always", Always, some_batches, |run| run.batches(5)),
    scenario("seal and sync", Never, nothing, |run| {
        run.batches(5)?;
        run.sync()?;
        run.append(100)?;
        run.wait()
    }),
    scenario("replica, leader", Never, nothing, |run| {
        run.send()?;
        run.send()?;
        run.commit()?;
        run.sync()
    }),
    scenario("replica, follower", Never, several_segments, |run| {
        run.follow(9)
    }),
    scenario(
        "producer snapshot at a roll",
        Records(3),
        |run| run.send(),
        |run| {
            run.send()?;
            run.batches(5)?;
            run.commit()?;
            run.maintain(1)
        },
    ),
    scenario("begin epoch", Never, some_batches, |run| {
        run.begin_epoch()?;
        run.append(100)?;
        run.begin_epoch()?;
        run.sync()
    }),
    scenario("maintain", Bytes(100), several_segments, |run| {
        run.maintain(40)?;
        run.batches(3)?;
        run.maintain(40)
    }),
    scenario("trim", Never, several_segments, |run| {
        run.retain_bytes(1500)?;
        run.maintain(400)
    }),
    scenario("delete records", Never, several_segments, |run| {
        run.delete_before(7)?;
        run.delete_before(24)?;
        run.append(100)
    }),
    scenario(
        "truncate within a segment",
        Never,
        several_segments,
        |run| {
            run.truncate(27)?;
            run.batch(3)
        },
    ),
    scenario("truncate over segments", Never, several_segments, |run| {
        run.truncate(9)?;
        run.batch(3)?;
        run.sync()
    }),
    scenario("reset", Never, several_segments, |run| {
        run.reset(100)?;
        run.batch(3)?;
        run.sync()
    }),
    scenario("create topic", Never, some_batches, |run| {
        run.create_topic("more")
    }),
    scenario("set options", Never, some_batches, |run| {
        run.retain_bytes(1 << 30)?;
        run.batch(3)
    }),
    scenario("close", Never, several_segments, |run| run.close()),
    scenario("close and open", Always, some_batches, |run| {
        run.close()?;
        run.open()?;
        run.append(100)
    }),
    scenario("open clean", Never, closed, |run| {
        run.open()?;
        run.append(100)
    }),
    scenario("open unclean", Never, killed, |run| {
        run.open()?;
        run.append(100)
    }),
    scenario(
        "open with a torn tail",
        Never,
        |run| {
            several_segments(run)?;
            run.tear_tail();
            Ok(())
        },
        |run| {
            run.open()?;
            run.append(100)
        },
    ),
    scenario(
        "open after a failed sync, with a copy",
        Never,
        |run| {
            several_segments(run)?;
            run.fail_sync();
            Ok(())
        },
        |run| {
            run.open()?;
            run.append(100)
        },
    ),
    scenario(
        "adopt",
        Never,
        |run| {
            closed(run)?;
            run.forget_owner();
            Ok(())
        },
        |run| {
            run.open()?;
            run.append(100)
        },
    ),
    scenario(
        "indexes rebuilt",
        Never,
        |run| {
            closed(run)?;
            run.remove_indexes();
            Ok(())
        },
        |run| {
            run.open()?;
            run.partition().get(Offset::new(5)?).map(drop)
        },
    ),
    scenario("fetch", Never, several_segments, |run| run.fetch_all()),
    scenario("cursor scan", Never, several_segments, |run| {
        let records = run.cursor()?.read_up_to(ReadUpTo::Durable);
        records.into_iter().try_for_each(|record| record.map(drop))
    }),
    scenario("get", Never, several_segments, |run| {
        for offset in [0, 7, 13, 29] {
            run.partition().get(Offset::new(offset)?)?;
        }
        Ok(())
    }),
    scenario("lookup by time", Never, several_segments, |run| {
        let at = Timestamp::from_millis(1_700_000_000_000);
        run.partition().offset_for(at)?;
        run.partition()
            .cursor(Start::Timestamp(at))?
            .next_batch()
            .map(drop)
    }),
    scenario("a fetch beside an append", Never, some_batches, |run| {
        run.append(100)?;
        let end = run.watermarks().end;
        run.partition().fetch(&Fetch::from(end))?;
        run.fetch_all()
    }),
    scenario("view", Never, several_segments, |run| run.view()),
    scenario("verify", Never, several_segments, |run| {
        run.sync()?;
        run.verify()
    }),
];

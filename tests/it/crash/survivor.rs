//! A log on a crashed disk, reopened and held against what it promised, and crashed again.

use stratalog::storage::sim::{Keep, Sim};

use crate::battery::Cases;
use crate::modelled::{Bench, Since, Step, Story};
use crate::random::Random;

/// How often recovery crashes before it is let go.
const RECOVERY_DEPTH: u32 = 3;

/// How many states of the disk were opened.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) points: Cases,
    pub(super) states: Cases,
    pub(super) recoveries_crashed: Cases,
}

impl Tally {
    pub(super) fn report(&self, what: &str, at_least: u64) {
        self.points.report(&format!("crash points, {what}"), 1);
        let within = format!("crashes within recovery, {what}");
        self.recoveries_crashed.report(&within, 1);
        self.states
            .report(&format!("crash states, {what}"), at_least);
    }
}

/// A disk after a crash, as often as one wants it.
type Fresh<'a> = &'a dyn Fn() -> Sim;

#[derive(Debug)]
pub(super) struct Survivor<'a> {
    tally: &'a Tally,
    depth: u32,
}

impl<'a> Survivor<'a> {
    pub(super) fn new(tally: &'a Tally) -> Self {
        Self {
            tally,
            depth: RECOVERY_DEPTH,
        }
    }

    /// One whose recoveries do not crash.
    pub(super) fn without_depth(tally: &'a Tally) -> Self {
        Self { tally, depth: 0 }
    }

    /// Opens the disk: what was promised is there. What is shown then stays, whatever comes next. Its recoveries crash, too.
    pub(super) fn check(
        &self,
        fresh: Fresh<'_>,
        before: &Bench,
        since: Since,
        random: &mut Random,
    ) {
        let sim = fresh();
        let operations_before = sim.operations();
        let mut bench = before.after(sim.clone());
        self.tally.states.count();
        bench.open(since).expect("a crash is no reason not to open");
        let operations = sim.operations() - operations_before;
        self.check_shown(&bench, random);
        if random.one_in(4) {
            check_goes_on(&mut bench);
        }
        drop(bench);
        if self.depth > 0 && random.one_in(3) {
            let at = random.below(operations);
            self.crash_recovery(fresh, before, at, random);
        }
    }

    /// Row 5: what a reopen showed outlives a power cut.
    fn check_shown(&self, bench: &Bench, random: &mut Random) {
        let keep = match random.one_in(2) {
            true => Keep::None,
            false => Keep::Random(random.next()),
        };
        let _story = Story(("what was shown", keep));
        self.tally.states.count();
        (bench
            .after(bench.sim.crash_image(keep))
            .open(Since::PowerCut))
        .expect("a crash is no reason not to open");
    }

    /// Row 4: the recovery crashes at an operation of its own.
    fn crash_recovery(&self, fresh: Fresh<'_>, before: &Bench, at: u64, random: &mut Random) {
        let _story = Story(("recovery crashed", at));
        let sim = fresh();
        sim.crash_after(at);
        let mut bench = before.after(sim.clone());
        let opened = bench.open(Since::Anything);
        if opened.is_ok() {
            return;
        }
        assert!(sim.has_crashed(), "{opened:?}");
        self.tally.recoveries_crashed.count();
        let keep = Keep::Random(random.next());
        let deeper = Self {
            tally: self.tally,
            depth: self.depth - 1,
        };
        deeper.check(&|| sim.crash_image(keep), &bench, Since::PowerCut, random);
    }
}

/// The log is as good as new: producers are recognised, appends and syncs work.
fn check_goes_on(bench: &mut Bench) {
    let steps = (1..5).map(|producer| Step::Resend { producer });
    let more = [Step::Append { bytes: 40 }, Step::Sync, Step::Reopen];
    for step in steps.chain(more) {
        bench.step(0, step).expect("the disk is well");
    }
}

/// The states of the disk to try at one crash point.
pub(super) fn states(pending: usize, most: u64, random: &mut Random) -> Vec<Keep> {
    if pending <= 8 && (1 << pending) <= most {
        return (0..1 << pending).map(Keep::Subset).collect();
    }
    let mut keeps = vec![Keep::None, Keep::All];
    keeps.extend((2..most.min(64)).map(|_| Keep::Random(random.next())));
    keeps.truncate(most.max(1) as usize);
    keeps
}

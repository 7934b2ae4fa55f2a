//! `stratalog torture`: the user's settings on the user's disk, under kills and what else can be done to a process.
//!
//! A child appends and says what was acknowledged; it is killed at moments that a seed draws; the log is opened again and everything in
//! it is held against everything that was said before the kill. What it cannot do, such as a power cut, it says.

pub(crate) mod child;
mod judge;
mod place;
mod report;
mod round;
mod settings;
mod value;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use stratalog::{Cursor, ErrorKind, FsyncPolicy, Log, Maintenance, Offset, Partition, Start};

use crate::Outcome;
use child::{Message, TOPIC};
use judge::{Found, Judge, Said};
use place::Place;
use report::Report;
use round::{Ended, Running, Wait, Work};
use settings::{Settings, duration};
use value::{Draws, Identity};

/// Before the kill the child appends this long, in milliseconds; drawn anew each round.
const WORKS_FOR_MS: (u64, u64) = (2, 400);

#[derive(Args)]
pub(crate) struct Options {
    /// An empty or absent directory, or one that this command made.
    dir: PathBuf,
    /// How long: 500ms, 60s, 5m, 8h.
    #[arg(long = "for", value_parser = duration, default_value = "60s")]
    time: Duration,
    #[command(flatten)]
    settings: Settings,
    /// Also fills the file system to its last byte, with a file in DIR that is removed again.
    #[arg(long)]
    fill: bool,
    /// The test trims a partition from the start when it keeps more than this, so that the disk is not filled by the way.
    #[arg(long, default_value_t = 64 << 20)]
    keep_bytes: u64,
    /// One JSON object on standard output instead of words.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Outcome> {
    let seed = options.settings.seed.unwrap_or_else(|| {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        u64::from(since.subsec_nanos()) ^ since.as_secs() << 32
    });
    let place = Place::prepare(&options.dir)?;
    let mut run = Run {
        options,
        data: place.data(),
        place,
        draws: Draws(seed),
        judges: Vec::new(),
        life: 0,
        report: Report::new(seed)?,
    };
    let came_to_its_end = run.rounds();
    let report = &run.report;
    run.place.finish(report.tally.is_broken())?;
    let mut out = std::io::stdout().lock();
    if options.json {
        writeln!(out, "{}", report.to_json(&options.settings, options.fill))?;
    } else {
        report.print(&options.settings, options.fill, &mut out)?;
    }
    came_to_its_end?;
    Ok(if report.tally.is_broken() {
        Outcome::Damage
    } else {
        Outcome::Done
    })
}

/// What is done to the child before it is killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    KillWhileOpening,
    Pause,
    SecondOpener,
    FullDisk,
}

struct Run<'a> {
    options: &'a Options,
    place: Place,
    data: PathBuf,
    draws: Draws,
    /// One for each partition.
    judges: Vec<Judge>,
    /// Children so far; stands in each value.
    life: u32,
    report: Report,
}

impl Run<'_> {
    fn rounds(&mut self) -> anyhow::Result<()> {
        let settings = &self.options.settings;
        let log = Log::builder(&self.data)
            .defaults(settings.topic_options())
            .open()?;
        let partitions = log.topic(TOPIC)?.partitions().len();
        self.judges.resize_with(partitions, Judge::default);
        log.close()?;

        let began = Instant::now();
        let bar = self.bar();
        loop {
            let done = self.round();
            self.report.elapsed = began.elapsed();
            done?;
            bar.set_position(millis(began.elapsed()));
            let tally = &self.report.tally;
            bar.set_message(format!(
                "{} rounds, {} acknowledged, {} lost, {} wrong",
                self.report.rounds, self.report.acknowledged, tally.lost, tally.wrong
            ));
            // What is broken is left as it was found.
            if began.elapsed() >= self.options.time || tally.is_broken() {
                break;
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn bar(&self) -> ProgressBar {
        if !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(millis(self.options.time));
        if let Ok(style) = ProgressStyle::with_template("{elapsed} {bar:30} {msg}") {
            bar.set_style(style);
        }
        bar
    }

    fn round(&mut self) -> anyhow::Result<()> {
        let fault = self.draw_fault();
        let running = self.start(Work::Append)?;
        match running.wait_for(0, |message| *message == Message::Opened) {
            Wait::Heard => self.torment(&running, fault)?,
            Wait::Ended => {}
            Wait::InVain => {
                let words = "the log was not open after two minutes".to_owned();
                self.report.tally.broken(4, words);
            }
        }
        let ended = running.kill()?;
        self.report.kills += 1;
        self.report.rounds += 1;
        let said = self.count(&ended);
        if fault == Fault::KillWhileOpening {
            for _ in 0..self.draws.between(1, 3) {
                self.kill_while_opening()?;
            }
        }
        self.reopen(&said)?;
        match ended.ended_by_itself {
            None => Ok(()),
            Some(complaint) => Err(std::io::Error::other(format!(
                "the writer ended by itself: {complaint}"
            ))
            .into()),
        }
    }

    fn draw_fault(&mut self) -> Fault {
        match self.draws.between(0, 7) {
            0 | 1 => Fault::KillWhileOpening,
            2 => Fault::Pause,
            3 => Fault::SecondOpener,
            4 | 5 if self.options.fill => Fault::FullDisk,
            _ => Fault::None,
        }
    }

    fn start(&mut self, work: Work) -> anyhow::Result<Running> {
        if work == Work::Append {
            self.life += 1;
        }
        let (settings, seed) = (&self.options.settings, self.report.seed);
        Running::start(&self.data, settings, seed, self.life, work)
    }

    /// Kills the next process while it recovers what the last one left.
    fn kill_while_opening(&mut self) -> anyhow::Result<()> {
        let usual = self.report.recoveries.value_at_quantile(0.5).max(5_000_000);
        let running = self.start(Work::RecoverOnly)?;
        std::thread::sleep(Duration::from_nanos(self.draws.between(0, usual)));
        let ended = running.kill()?;
        self.report.kills += 1;
        if !ended.messages.contains(&Message::Opened) {
            self.report.kills_while_opening += 1;
        }
        Ok(())
    }

    /// Lets the child work, and does to it what was drawn.
    fn torment(&mut self, running: &Running, fault: Fault) -> anyhow::Result<()> {
        let (low, high) = WORKS_FOR_MS;
        std::thread::sleep(Duration::from_millis(self.draws.between(low, high)));
        match fault {
            Fault::None | Fault::KillWhileOpening => {}
            Fault::Pause => {
                running.pause()?;
                self.report.pauses += 1;
                // A reader holds nothing that the stopped writer has, so this ends.
                self.look_from_outside()?;
                std::thread::sleep(Duration::from_millis(self.draws.between(1, 200)));
                // Half of them die in their sleep.
                if self.draws.once_in(2) {
                    running.resume()?;
                    std::thread::sleep(Duration::from_millis(self.draws.between(1, 50)));
                }
            }
            Fault::SecondOpener => {
                self.report.second_openers += 1;
                match Log::open(&self.data) {
                    Err(error) if error.kind() == ErrorKind::Locked => {}
                    Err(error) => {
                        let words = format!("a second opener was told {error:?}, not Locked");
                        self.report.tally.broken(17, words);
                    }
                    Ok(_) => {
                        let words = "a second opener was let in".to_owned();
                        self.report.tally.broken(17, words);
                    }
                }
            }
            Fault::FullDisk => self.fill_the_disk(running)?,
        }
        Ok(())
    }

    fn fill_the_disk(&mut self, running: &Running) -> anyhow::Result<()> {
        let before = running.heard();
        let ballast = self.place.fill()?;
        self.report.fills += 1;
        if running.wait_for(before, |message| *message == Message::Full) == Wait::InVain {
            // Retention may make room as fast as the writer takes it.
            return Ok(());
        }
        self.look_from_outside()?;
        let before = running.heard();
        drop(ballast);
        let is_append = |message: &Message| matches!(message, Message::Acknowledged { .. });
        if running.wait_for(before, is_append) == Wait::InVain {
            let words = "there is room again, and no append succeeded for two minutes".to_owned();
            self.report.tally.broken(8, words);
        }
        Ok(())
    }

    /// Reads beside the writer, in whatever state that is: what was shown before is there.
    fn look_from_outside(&mut self) -> anyhow::Result<()> {
        let topic = Log::view(&self.data)?.topic(TOPIC)?;
        for index in topic.partitions() {
            let view = topic.partition(index)?;
            let Some(judge) = self.judges.get(index as usize) else {
                continue;
            };
            let (known, mut again) = (judge.end(), Vec::new());
            for record in view.cursor(Start::Earliest)? {
                match record {
                    Ok(record) if record.offset().get() < known => {
                        let identity =
                            value::read(record.value().unwrap_or_default(), index, &mut again);
                        judge.met(record.offset().get(), identity, &mut self.report.tally);
                    }
                    Ok(_) => break,
                    Err(error) if error.gap().is_some() => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// What the child said, by partition.
    fn said(&self, messages: &[Message]) -> Vec<Said> {
        let mut said: Vec<Said> = Vec::new();
        said.resize_with(self.judges.len(), Said::default);
        for message in messages {
            match *message {
                Message::Durable { partition, end, .. } => {
                    if let Some(said) = said.get_mut(partition as usize) {
                        said.durable = said.durable.max(end);
                    }
                }
                Message::Acknowledged {
                    partition,
                    first,
                    count,
                    writer,
                    seq,
                    ..
                } => {
                    if let Some(said) = said.get_mut(partition as usize) {
                        said.acknowledged.extend((0..u64::from(count)).map(|n| {
                            let identity = Identity {
                                round: self.life,
                                writer,
                                seq: seq + n,
                            };
                            (first + n, identity)
                        }));
                    }
                }
                Message::Opened | Message::Full => {}
            }
        }
        said
    }

    /// Counts what a child said, and measures.
    fn count(&mut self, ended: &Ended) -> Vec<Said> {
        for message in &ended.messages {
            match *message {
                Message::Acknowledged { nanos, .. } => self.report.appends.saturating_record(nanos),
                Message::Durable {
                    nanos: Some(nanos), ..
                } => self.report.syncs.saturating_record(nanos),
                _ => {}
            }
        }
        let said = self.said(&ended.messages);
        for said in &said {
            self.report.acknowledged += said.acknowledged.len() as u64;
            // Under `always` what is acknowledged is durable, told or not.
            if self.options.settings.fsync.policy != FsyncPolicy::Always {
                self.report.unsynced += said.acknowledged.range(said.durable..).count() as u64;
            }
        }
        said
    }

    /// Opens the log, compares everything, sometimes trims or truncates, and leaves it closed or dropped.
    fn reopen(&mut self, said: &[Said]) -> anyhow::Result<()> {
        let began = Instant::now();
        // Retention beside a comparison would be a second judge.
        let log = Log::builder(&self.data)
            .maintenance(Maintenance::Manual)
            .open()?;
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.report.recoveries.saturating_record(nanos);
        for partition in log.recovery().partitions() {
            self.report.torn_tails += u64::from(partition.torn().is_some());
        }
        let partitions = log.topic(TOPIC)?.partitions();
        if partitions.len() != self.judges.len() {
            let words = format!("{} partitions of {}", partitions.len(), self.judges.len());
            self.report.tally.broken(15, words);
        }
        for ((partition, said), at) in partitions.iter().zip(said).zip(0..) {
            self.compare(partition, said, at)?;
            if !self.report.tally.is_broken() {
                self.change(partition, at)?;
            }
        }
        if self.draws.once_in(2) {
            log.close()?;
        }
        Ok(())
    }

    fn compare(&mut self, partition: &Partition, said: &Said, at: usize) -> anyhow::Result<()> {
        let found = read_all(partition)?;
        self.report.gaps += found.gaps.len() as u64;
        if let Some(judge) = self.judges.get_mut(at) {
            let drops = self.options.settings.drops_by_itself();
            judge.compare(self.life, said, &found, drops, &mut self.report.tally);
        }
        Ok(())
    }

    /// Trims what is too much, or now and then a piece, or cuts the tail; each under a reader that is on its way.
    fn change(&mut self, partition: &Partition, at: usize) -> anyhow::Result<()> {
        let Some(judge) = self.judges.get_mut(at) else {
            return Ok(());
        };
        let (start, end) = (judge.start(), judge.end());
        let kept: u64 = partition
            .segments()?
            .iter()
            .map(stratalog::Segment::size_bytes)
            .sum();
        let must_trim = kept > self.options.keep_bytes / self.options.settings.partitions as u64;
        let draw = self.draws.between(0, 19);
        if end - start < 4 || !(must_trim || draw < 2) {
            return Ok(());
        }
        let mut reader = partition.cursor(Start::Earliest)?;
        let tally = &mut self.report.tally;
        read_some(&mut reader, (end - start) / 4, at, judge, tally)?;
        if must_trim || draw == 0 {
            let middle = start + (end - start) / 2;
            let before = match must_trim {
                true => middle,
                false => self.draws.between(start + 1, middle),
            };
            partition.delete_records_before(Offset::new(before)?)?;
            read_some(&mut reader, u64::MAX, at, judge, tally)?;
            judge.trimmed_to(before);
            self.report.trims += 1;
        } else {
            let wanted = self.draws.between(start + (end - start) / 2, end - 1);
            let cut = partition.replica().truncate_to(Offset::new(wanted)?)?;
            read_some(&mut reader, u64::MAX, at, judge, tally)?;
            judge.truncated_to(cut.get());
            self.report.truncations += 1;
        }
        self.compare(partition, &Said::default(), at)
    }
}

/// Goes on with a reader beside which the test trims or truncates; it meets right records or gaps.
fn read_some(
    reader: &mut Cursor,
    most: u64,
    partition: usize,
    judge: &Judge,
    tally: &mut judge::Tally,
) -> anyhow::Result<()> {
    let mut again = Vec::new();
    let partition = u32::try_from(partition)?;
    for _ in 0..most {
        match reader.next() {
            None => break,
            Some(Ok(record)) => {
                let value = record.value().unwrap_or_default();
                let identity = value::read(value, partition, &mut again);
                judge.met(record.offset().get(), identity, tally);
            }
            Some(Err(error)) if error.gap().is_some() => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

fn read_all(partition: &Partition) -> anyhow::Result<Found> {
    let marks = partition.watermarks();
    let mut found = Found {
        start: marks.start.get(),
        end: marks.end.get(),
        ..Found::default()
    };
    let mut again = Vec::new();
    let mut cursor = partition.cursor(Start::Earliest)?;
    // A cursor that stands still would read for ever.
    let most = 2 * (found.end - found.start) + 1000;
    for _ in 0..most {
        match cursor.next() {
            None => return Ok(found),
            Some(Ok(record)) => {
                let value = record.value().unwrap_or_default();
                let identity = value::read(value, partition.index(), &mut again);
                found.records.push((record.offset().get(), identity));
            }
            Some(Err(error)) => match error.gap() {
                Some(gap) => found.gaps.push((gap.from().get(), gap.to().get())),
                None => return Err(error.into()),
            },
        }
    }
    bail!("a reader of {} comes to no end", partition.name())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
